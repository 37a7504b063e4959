/* test_typed_text.c: what is left of a suggestion: cases, and the property for random texts: what
 * was typed and the rest together are what the model said, or are once the one missing space is put
 * in.
 */
#include "support/check.h"
#include "support/random.h"

#include "lull/path/typist/typed_text.h"

enum { ROUNDS = 200000 };

static void rests(void **state)
{
    (void)state;
    static const struct {
        const char *old, *suggestion, *typed, *rest; /* rest NULL: does not fit */
    } rows[] = {
        {"How do", " I make bread?", "", " I make bread?"},
        {"How do", " I make bread?", " I", " make bread?"},
        {"How do", " I make bread?", " I make ", "bread?"},
        {"How do", " I make bread?", " you", NULL},
        {"How do", " I make bread?", " I make bread?", NULL},  /* nothing is left */
        {"How do", " I make bread? ", " I make bread?", NULL}, /* only a blank is */
        {"How do", "I make bread?", " I", " make bread?"},     /* the model left the space out */
        {"How do", "I make bread?", " ", "I make bread?"},
        {"How do", "I make bread?", "I", " make bread?"}, /* so did the user */
        {"How do", "I make bread?", "  I", NULL},         /* one space, not two */
        {"How do ", "I make bread?", " I", NULL},         /* none was missing */
        {"How do ", " I make bread?", "I", NULL},
        {"How d", "o I make bread?", "o", " I make bread?"},
        {"caf", "e\xcc\x81 au lait", "e", NULL}, /* would split e and its accent */
        {"caf", "e\xcc\x81 au lait", "e\xcc\x81", " au lait"},
        {"", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa!", "\xf0\x9f\x87\xa9", NULL}, /* half a flag */
        {"", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa!", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa", "!"},
        {"", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x8d\xb3 cooks", "\xf0\x9f\x91\xa9",
         NULL},                                                                 /* joiner */
        {"", "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd yes", "\xf0\x9f\x91\x8d", NULL}, /* skin colour */
        {"line", "\r\nnext", "\r", NULL},
        {"line", "\r\nnext", "\r\n", "next"},
        {"na", "\xc3\xafve idea", "\xc3", NULL}, /* half a code point */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span rest = SPAN_NONE;
        bool fits = text_remainder(span_of(rows[i].old), span_of(rows[i].suggestion),
                                   span_of(rows[i].typed), &rest);
        bool right = rows[i].rest == NULL ? !fits : fits && span_eq(rest, span_of(rows[i].rest));
        if (!right) {
            fail_msg("row %zu: %s | %s | %s -> %.*s", i, rows[i].old, rows[i].suggestion,
                     rows[i].typed, (int)rest.len, rest.ptr);
        }
    }
}

static void while_it_is_still_written(void **state)
{
    (void)state;
    static const struct {
        const char *old, *begun, *typed;
        bool may;
    } rows[] = {
        {"How do", "", " I", true},     {"How do", " ", " I", true},
        {"How do", " I m", " I", true}, {"How do", " you", " I", false},
        {"How do", "I m", " I", true},  {"How do", "I", " I make", true},
        {"How do ", "I", " I", false},  {"How do", "u", " I", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (text_may_fit(span_of(rows[i].old), span_of(rows[i].begun), span_of(rows[i].typed)) !=
            rows[i].may) {
            fail_msg("row %zu", i);
        }
    }
}

static const char *const pieces[] = {
    "a",
    "b",
    "z",
    " ",
    " ",
    ".",
    "\r\n",
    "\n",
    "\r",
    "\t",
    "\xc3\xa4",
    "\xc3\xb1",
    "e\xcc\x81",
    "\xcc\x81",
    "\xe2\x80\x8d",
    "\xf0\x9f\x8d\x9e",
    "\xf0\x9f\x87\xa9",
    "\xf0\x9f\x87\xaa",
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x8d\xb3",
    "\xf0\x9f\x8f\xbd",
    "\xef\xb8\x8f",
    "\xe0\xa4\xa8\xe0\xa4\xbf",
    "\xe4\xbd\xa0",
    "\xed\x95\x9c",
};

static void random_text(struct buf *out, unsigned most)
{
    buf_clear(out);
    out->max = 4096;
    for (unsigned n = pick(most + 1); n > 0; n--) {
        enum err e = buf_append_span(out, span_of(pieces[pick(sizeof pieces / sizeof pieces[0])]));
        assert_int_equal(e, ERR_OK);
    }
}

static void join(struct buf *out, struct span a, struct span b, struct span c)
{
    buf_clear(out);
    out->max = 16384;
    assert_int_equal(buf_append_span(out, a), ERR_OK);
    assert_int_equal(buf_append_span(out, b), ERR_OK);
    assert_int_equal(buf_append_span(out, c), ERR_OK);
}

static bool is_whole_utf8(struct span s)
{
    return s.len == 0 || ((unsigned char)s.ptr[0] & 0xC0) != 0x80;
}

static void typed_and_rest_are_what_was_suggested(void **state)
{
    (void)state;
    struct buf old = {0}, said = {0}, typed = {0}, left = {0}, right = {0};
    size_t fitting = 0, spaces = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct span rest;
        random_text(&old, 6);
        random_text(&said, 8);
        random_text(&typed, 3);
        if (pick(2) == 0 && said.len > 0) { /* often the beginning of what was said */
            size_t cut = pick((unsigned)said.len + 1);
            join(&typed, pick(4) == 0 ? SPAN(" ") : SPAN(""), span_make(said.data, cut), SPAN(""));
        }
        if (!text_remainder(buf_span(&old), buf_span(&said), buf_span(&typed), &rest)) {
            continue;
        }
        fitting++;
        join(&left, buf_span(&old), buf_span(&typed), rest);
        join(&right, buf_span(&old), SPAN(""), buf_span(&said));
        if (!span_eq(buf_span(&left), buf_span(&right))) {
            spaces++;
            join(&right, buf_span(&old), SPAN(" "), buf_span(&said));
            assert_true(span_eq(buf_span(&left), buf_span(&right)));
        }
        assert_true(span_trim(rest).len > 0);
        assert_true(is_whole_utf8(rest));
        assert_true(text_may_fit(buf_span(&old), buf_span(&said), buf_span(&typed)));
        /* whatever of it was there before must not have been given up */
        size_t part = pick((unsigned)said.len + 1);
        assert_true(text_may_fit(buf_span(&old), span_make(said.data, part), buf_span(&typed)));
    }
    assert_true(fitting > ROUNDS / 20 && spaces > 100); /* both happen */
    struct buf *all[] = {&old, &said, &typed, &left, &right};
    for (size_t i = 0; i < 5; i++) {
        buf_free(all[i]);
    }
}

static void last_paragraphs(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"one line", "one line"},
        {"first\nsecond", "second"},
        {"first\n\nsecond\n\n", "second"},
        {"  first \n  second  ", "second"},
        {"", ""},
        {"\n\n", ""},
        {"a\r\nb\r\n", "b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span got = text_last_paragraph(span_of(rows[i][0]));
        assert_true(span_eq(got, span_of(rows[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rests),
        cmocka_unit_test(while_it_is_still_written),
        cmocka_unit_test(typed_and_rest_are_what_was_suggested),
        cmocka_unit_test(last_paragraphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
