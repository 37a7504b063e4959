/* test_through.c: suggestions held in memory: found from longer text, under the same context only,
 * within bounds.
 */
#include "support/check.h"

#include "lull/path/typist/through.h"

#include <stdio.h>
#include <stdlib.h>

static const wall_t NOW = {1000 * USEC_PER_S};

static struct typist_context context_of(const char *material)
{
    /* the hash of another context may be equal: only the material tells them apart */
    return (struct typist_context){.hash = {7, 7}, .material = span_of(material)};
}

static void put(struct through *t, const char *context, const char *text, const char *suggestion,
                uint64_t id, uint64_t generation)
{
    struct through_put p = {.context = context_of(context),
                            .text = span_of(text),
                            .suggestion = span_of(suggestion),
                            .answer = {id, id},
                            .generation = generation,
                            .made = NOW,
                            .expires = {NOW.us + 60 * USEC_PER_S},
                            .model_time = 5,
                            .tokens = 9};
    through_put(t, &p);
}

/* NULL: nothing is found. Valid until the next call. */
static const char *find_at(struct through *t, const char *context, const char *text,
                           uint64_t generation, wall_t now)
{
    static char out[1024];
    struct typist_context c = context_of(context);
    struct through_hit hit;
    if (!through_find(t, &c, span_of(text), generation, now, &hit)) {
        return NULL;
    }
    assert_int_equal(hit.model_time, 5);
    assert_int_equal(hit.tokens, 9);
    snprintf(out, sizeof out, "%.*s", (int)hit.remainder.len, hit.remainder.ptr);
    return out;
}

static const char *find(struct through *t, const char *context, const char *text)
{
    return find_at(t, context, text, 1, NOW);
}

static void longer_text_gets_the_rest(void **state)
{
    (void)state;
    struct through *t = through_create(16);
    assert_null(find(t, "c", "How do")); /* an empty table */
    put(t, "c", "How do", " I make bread?", 1, 1);
    assert_string_equal(find(t, "c", "How do"), " I make bread?");
    assert_string_equal(find(t, "c", "How do I m"), "ake bread?");
    assert_null(find(t, "c", "How do you"));
    assert_null(find(t, "c", "How d")); /* shorter text is another question */
    assert_null(find(t, "c", "How do I make bread?"));
    put(t, "c", "How do I", " bake a cake?", 2, 1); /* the longest text speaks first */
    assert_string_equal(find(t, "c", "How do I "), "bake a cake?");
    assert_string_equal(find(t, "c", "How do I m"),
                        "ake bread?");  /* the next where it does not fit */
    put(t, "c", "How do", " we", 3, 1); /* in place of the first */
    assert_string_equal(find(t, "c", "How do"), " we");
    assert_int_equal(through_count(t), 2);
    through_destroy(t);
    through_destroy(NULL);
}

static void nothing_crosses_a_context_a_generation_or_its_end(void **state)
{
    (void)state;
    struct through *t = through_create(16);
    put(t, "ann, chat 1", "How do", " I make bread?", 1, 1);
    assert_null(find(t, "bob, chat 1", "How do"));
    assert_null(find(t, "ann, chat 2", "How do I"));
    assert_null(find(t, "ann, chat", "How do I"));
    assert_null(find(t, "ann, chat 1 ", "How do I"));
    assert_true(through_has(t, (struct hash_key){1, 1}, 1));
    assert_false(through_has(t, (struct hash_key){1, 1}, 2));
    assert_false(through_has(t, (struct hash_key){2, 1}, 1));
    assert_null(find_at(t, "ann, chat 1", "How do", 2, NOW)); /* purged since: deleted */
    assert_int_equal(through_count(t), 0);
    put(t, "ann, chat 1", "How do", " I make bread?", 1, 2);
    wall_t late = {NOW.us + 61 * USEC_PER_S};
    assert_null(find_at(t, "ann, chat 1", "How do", 2, late));
    assert_int_equal(through_count(t), 0);
    put(t, "ann, chat 1", "How do", " I make bread?", 1, 2);
    wall_t before = {NOW.us - 60 * USEC_PER_S};
    assert_non_null(find_at(t, "ann, chat 1", "How do", 2, before));
    before.us--; /* it was made by a clock that was ahead */
    assert_null(find_at(t, "ann, chat 1", "How do", 2, before));
    assert_int_equal(through_count(t), 0);
    assert_int_equal(through_bytes(t), 0);
    through_destroy(t);
}

static void walks_back_128_characters(void **state)
{
    (void)state;
    char said[512], text[512];
    struct through *t = through_create(16);
    for (size_t i = 0; i < 200; i++) { /* two bytes each */
        said[2 * i] = '\xc3';
        said[2 * i + 1] = '\xa4';
    }
    said[400] = '\0';
    put(t, "c", "x", said, 1, 1);
    for (size_t typed = 126; typed < 131; typed++) {
        text[0] = 'x';
        memcpy(text + 1, said, 2 * typed);
        text[1 + 2 * typed] = '\0';
        if (typed <= 128) {
            assert_int_equal(strlen(find(t, "c", text)), 400 - 2 * typed);
        } else {
            assert_null(find(t, "c", text));
        }
    }
    through_destroy(t);
}

static void bounded_in_entries_and_bytes(void **state)
{
    (void)state;
    struct through *t = through_create(10);
    char text[64];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "text %d", i);
        put(t, i % 2 == 0 ? "even" : "odd", text, " and so on", (uint64_t)i, 1);
        assert_true(through_count(t) <= 10);
    }
    assert_null(find(t, "odd", "text 1")); /* the oldest made room */
    assert_non_null(find(t, "odd", "text 99"));
    assert_non_null(find(t, "even", "text 90")); /* used: it stays longer than what is older */
    put(t, "odd", "text 100", " and so on", 100, 1);
    assert_null(find(t, "odd", "text 91"));
    assert_non_null(find(t, "even", "text 90"));
    through_resize(t, 2);
    assert_int_equal(through_count(t), 2);
    through_resize(t, 0);
    assert_int_equal(through_bytes(t), 0);
    put(t, "odd", "text", " and so on", 1, 1);
    assert_int_equal(through_count(t), 0); /* 0 holds nothing */
    through_resize(t, 100000);
    char *large = malloc(600 * 1024);
    memset(large, 'x', 600 * 1024);
    large[600 * 1024 - 1] = '\0';
    for (int i = 0; i < 40; i++) { /* each in a large context of its own */
        large[0] = (char)('A' + i);
        snprintf(text, sizeof text, "text %d", i);
        put(t, large, text, " and so on", (uint64_t)i, 1);
        assert_true(through_bytes(t) <= THROUGH_BYTES);
    }
    assert_true(through_count(t) > 5 && through_count(t) < 20);
    assert_non_null(find(t, large, "text 39"));
    free(large);
    through_destroy(t);
}

/* A context counts its suggestions by the length of their texts: a count that is wrong hides one. */
static void replaced_often_it_is_still_found(void **state)
{
    (void)state;
    struct through *t = through_create(16);
    for (size_t i = 0; i <= UINT16_MAX; i++) {
        put(t, "c", "How do", " I make bread?", i, 1);
    }
    assert_int_equal(through_count(t), 1);
    assert_string_equal(find(t, "c", "How do I"), " make bread?");
    put(t, "c", "How to", " make bread?", 1, 1);
    assert_null(find_at(t, "c", "How to", 2, NOW)); /* dropped: another of that length stays */
    assert_string_equal(find(t, "c", "How do I"), " make bread?");
    through_destroy(t);
}

/* Texts whose lengths count as one, and longer than the hash takes in one piece. */
static void long_texts_of_all_lengths_are_found(void **state)
{
    (void)state;
    enum { LONGEST = 700 };
    char text[LONGEST + 1], said[LONGEST + 1];
    struct through *t = through_create(LONGEST);
    for (size_t i = 0; i < LONGEST; i++) {
        said[i] = (char)('a' + i * 7 % 26);
    }
    said[LONGEST] = '\0';
    for (size_t at = 1; at < LONGEST; at += 96) {
        snprintf(text, sizeof text, "%.*s", (int)at, said);
        put(t, "c", text, said + at, at, 1);
    }
    for (size_t at = 1; at < LONGEST; at++) {
        snprintf(text, sizeof text, "%.*s", (int)at, said);
        assert_string_equal(find(t, "c", text), said + at);
    }
    through_destroy(t);
}

static void keep_form(struct through *t, const char *context, const char *head, const char *before,
                      const char *note)
{
    struct typist_context c = context_of(context);
    struct through_form form = {.head = span_of(head),
                                .before = span_of(before),
                                .after = SPAN("</text>"),
                                .note = span_of(note)};
    through_keep_form(t, &c, &form);
}

/* The note of a form; "": there is none. */
static const char *note_of(struct through *t, const char *head, const char *before)
{
    static char out[64];
    struct through_known known;
    struct through_hit hit;
    out[0] = '\0';
    if (through_find_form(t, span_of(head), span_of(before), SPAN("</text>"), &known)) {
        assert_true(through_find_known(t, &known, SPAN("How do I"), 1, NOW, &hit));
        snprintf(out, sizeof out, "%.*s", (int)known.note.len, known.note.ptr);
    }
    return out;
}

/* More forms than buckets, so that many share one. */
static void a_form_leads_to_its_context_only(void **state)
{
    (void)state;
    enum { FORMS = 1500 };
    char name[32], other[32];
    struct through *t = through_create(FORMS);
    for (int i = 0; i < FORMS; i++) {
        snprintf(name, sizeof name, "name %d", i);
        put(t, name, "How do", " I make bread?", (uint64_t)i, 1);
        keep_form(t, name, name, "same", name);
        keep_form(t, name, "same", name, name);
    }
    for (int i = 0; i < FORMS; i++) {
        snprintf(name, sizeof name, "name %d", i);
        snprintf(other, sizeof other, "none %d", i);
        assert_string_equal(note_of(t, name, "same"), name);
        assert_string_equal(note_of(t, "same", name), name);
        assert_string_equal(note_of(t, other, "same"), "");
        assert_string_equal(note_of(t, "same", other), "");
    }
    assert_true(through_bytes(t) <= THROUGH_BYTES);
    through_resize(t, 0);
    assert_int_equal(through_bytes(t), 0);
    assert_string_equal(note_of(t, "same", "name 1"), "");
    through_destroy(t);
}

static void a_context_has_few_forms(void **state)
{
    (void)state;
    char name[32];
    struct through *t = through_create(16);
    keep_form(t, "c", "early", "same", "none"); /* there is no such context yet */
    assert_string_equal(note_of(t, "early", "same"), "");
    put(t, "c", "How do", " I make bread?", 1, 1);
    size_t bytes = through_bytes(t);
    for (int i = 0; i <= THROUGH_FORMS; i++) {
        snprintf(name, sizeof name, "head %d", i);
        keep_form(t, "c", name, "same", name);
        keep_form(t, "c", name, "same", "not twice");
    }
    assert_string_equal(note_of(t, "head 0", "same"), "");
    assert_string_equal(note_of(t, "head 1", "same"), "head 1");
    through_forget_forms(t);
    assert_string_equal(note_of(t, "head 1", "same"), "");
    assert_int_equal(through_bytes(t), bytes);
    through_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longer_text_gets_the_rest),
        cmocka_unit_test(nothing_crosses_a_context_a_generation_or_its_end),
        cmocka_unit_test(walks_back_128_characters),
        cmocka_unit_test(bounded_in_entries_and_bytes),
        cmocka_unit_test(replaced_often_it_is_still_found),
        cmocka_unit_test(long_texts_of_all_lengths_are_found),
        cmocka_unit_test(a_form_leads_to_its_context_only),
        cmocka_unit_test(a_context_has_few_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
