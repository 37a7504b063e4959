/* test_choices.c: options whose value is one of a closed set of words (choices.def). */
#include "support/check.h"

#include "lull/config/options.h"
#include "lull/config/settings.h"

#include <stdlib.h>

union fields {
    struct server_settings server;
    struct upstream_settings upstream;
    struct kind_policy kind;
    struct cache_settings cache;
    struct settings all;
};

static const struct {
    enum option_type type;
    int value;
    const char *word;
} rows[] = {
#define CHOICE(type, value, word) {TYPE_##type, (int)(value), word},
#include "lull/config/choices.def"
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static bool is_choice(enum option_type type)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].type == type && type != TYPE_SHAPE) {
            return true;
        }
    }
    return false;
}

static void each_word_is_read_as_its_value(void **state)
{
    size_t read = 0;
    (void)state;
    for (size_t o = 0; o < option_count; o++) {
        for (size_t i = 0; i < ROWS; i++) {
            union fields base;
            struct buf why = {.max = 1024};
            int got = -1;
            if (!is_choice(options[o].type) || rows[i].type != options[o].type) {
                continue;
            }
            memset(&base, 0xff, sizeof base);
            assert_true(value_read(&options[o], rows[i].word, &base, &why));
            memcpy(&got, (const char *)&base + options[o].offset, sizeof got);
            assert_int_equal(got, rows[i].value);
            assert_string_equal(choice_word(rows[i].type, got), rows[i].word);
            assert_int_equal(why.len, 0);
            read++;
        }
    }
    assert_true(read >= 30);
}

/* Every type's words are values of its own: none stands twice. */
static void no_word_or_value_stands_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = i + 1; k < ROWS; k++) {
            assert_false(rows[i].type == rows[k].type && rows[i].value == rows[k].value);
            assert_false(rows[i].type == rows[k].type && strcmp(rows[i].word, rows[k].word) == 0);
        }
    }
}

static void another_word_is_answered_with_the_list(void **state)
{
    (void)state;
    for (size_t o = 0; o < option_count; o++) {
        union fields base;
        struct buf why = {.max = 1024}, described = {.max = 1024}, expected = {.max = 1024};
        if (!is_choice(options[o].type)) {
            continue;
        }
        assert_false(value_read(&options[o], "Auto ", &base, &why));
        option_describe(&options[o], &described);
        buf_text(&expected, "write %.*s", (int)described.len, described.data);
        assert_true(span_eq(buf_span(&why), buf_span(&expected)));
        buf_free(&why);
        buf_free(&described);
        buf_free(&expected);
    }
}

static void the_list_has_commas_and_one_or(void **state)
{
    static const struct {
        enum option_type type;
        const char *list;
    } lists[] = {
        {TYPE_DURABILITY, "group or os"},
        {TYPE_DIALECT, "auto, openai or ollama"},
        {TYPE_YIELD, "auto, always, when_full or never"},
        {TYPE_TEXT, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct buf out = {.max = 1024};
        choice_list(lists[i].type, &out);
        assert_span(buf_span(&out), lists[i].list);
        buf_free(&out);
    }
}

static void a_shape_names_its_member(void **state)
{
    static const struct {
        const char *text;
        bool good;
        enum kind_shape shape;
        const char *member;
    } cases[] = {
        {"text", true, KIND_SHAPE_TEXT, ""},
        {"emoji", true, KIND_SHAPE_EMOJI, ""},
        {"title:string", true, KIND_SHAPE_STRING, "title"},
        {"a:b:strings", true, KIND_SHAPE_STRINGS, "a:b"},
        {"tags:array", true, KIND_SHAPE_ARRAY, "tags"},
        {"string", false, 0, NULL},
        {":string", false, 0, NULL},
        {"title:json", false, 0, NULL},
        {"title:", false, 0, NULL},
        {"", false, 0, NULL},
    };
    const struct option *o = option_find(SECTION_TASK, SPAN("shape"));
    (void)state;
    assert_non_null(o);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kind_policy k = {0};
        struct buf why = {.max = 1024};
        assert_int_equal(value_read(o, cases[i].text, &k, &why), cases[i].good);
        if (cases[i].good) {
            assert_int_equal(k.shape, cases[i].shape);
            assert_string_equal(k.shape_member, cases[i].member);
        } else {
            assert_true(span_starts(buf_span(&why), SPAN("write text, json, emoji, or MEMBER:")));
        }
        free(k.shape_member);
        buf_free(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_is_read_as_its_value),
        cmocka_unit_test(no_word_or_value_stands_twice),
        cmocka_unit_test(another_word_is_answered_with_the_list),
        cmocka_unit_test(the_list_has_commas_and_one_or),
        cmocka_unit_test(a_shape_names_its_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
