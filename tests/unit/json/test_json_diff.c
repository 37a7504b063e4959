/* test_json_diff.c: which of two documents is more like a third, and where documents differ. */
#include "support/check.h"

#include "lull/base/utf8.h"
#include "lull/path/json/json.h"
#include "lull/path/json/json_diff.h"

#include <stdio.h>

/* Both sides canonical, as the callers have them. */
struct pair {
    struct buf mine, stored;
};

static void pair_begin(struct pair *p, const char *mine, const char *stored)
{
    *p = (struct pair){{.max = 1 << 20}, {.max = 1 << 20}};
    assert_int_equal(json_canonical(span_of(mine), NULL, 0, &p->mine), JSON_OK);
    assert_int_equal(json_canonical(span_of(stored), NULL, 0, &p->stored), JSON_OK);
}

static void pair_end(struct pair *p)
{
    buf_free(&p->mine);
    buf_free(&p->stored);
}

static struct json_likeness likeness(const char *mine, const char *stored)
{
    struct pair p;
    struct json_likeness out;
    pair_begin(&p, mine, stored);
    json_diff_likeness(buf_span(&p.mine), buf_span(&p.stored), &out);
    pair_end(&p);
    return out;
}

static size_t lines(const char *mine, const char *stored,
                    struct json_difference out[JSON_DIFF_LINES])
{
    struct pair p;
    pair_begin(&p, mine, stored);
    size_t count = json_diff_lines(buf_span(&p.mine), buf_span(&p.stored), out);
    pair_end(&p);
    return count;
}

static void equal_values_are_counted_at_every_depth(void **state)
{
    static const char one[] =
        "{\"a\":1,\"m\":[{\"c\":\"x\",\"r\":\"user\"},true],\"o\":{\"p\":null}}";
    (void)state;
    assert_int_equal(likeness(one, one).equal, 5);
    assert_int_equal(likeness(one, "{\"m\":[{\"r\":\"user\",\"c\":\"y\"},true],\"z\":1}").equal, 2);
    assert_int_equal(likeness("{\"a\":1}", "{\"a\":1.0}").equal, 0);
    assert_int_equal(likeness("{\"a\":{\"b\":1}}", "{\"a\":[1]}").equal, 0);
    assert_int_equal(likeness("{\"ab\":1,\"a\":2,\"a\\\"\":3}", "{\"a\":2,\"a\\\"\":3}").equal, 2);
}

static void the_longest_text_decides_among_equals(void **state)
{
    static const char mine[] = "{\"a\":\"short\",\"b\":\"the quick brown fox\"}";
    struct json_likeness near = likeness(mine, "{\"a\":\"other\",\"b\":\"the quick red fox\"}");
    struct json_likeness far = likeness(mine, "{\"a\":\"shore\",\"b\":\"a quick brown dog\"}");
    (void)state;
    assert_int_equal(near.equal, 0);
    assert_int_equal(near.common, 1 + 10 + 5); /* the quote, `the quick `, ` fox"` */
    assert_true(json_likeness_exceeds(&near, &far));
    assert_false(json_likeness_exceeds(&far, &near));
    assert_false(json_likeness_exceeds(&near, &near));
    struct json_likeness equal = likeness(mine, "{\"a\":\"short\",\"b\":\"\"}");
    assert_true(json_likeness_exceeds(&equal, &near));
    /* what both have is counted once, though both ends match all of it */
    assert_int_equal(likeness("\"aaaa\"", "\"aa\"").common, 4);
    assert_int_equal(likeness("{\"a\":\"text\"}", "{\"b\":\"text\"}").common, 0);
}

static void a_difference_has_its_path_and_place(void **state)
{
    struct json_difference out[JSON_DIFF_LINES];
    (void)state;
    assert_int_equal(lines("{\"messages\":[{\"content\":\"one two\"}],\"temperature\":0.2}",
                           "{\"messages\":[{\"content\":\"one six\"}],\"temperature\":0.25}", out),
                     2);
    assert_string_equal(out[0].path, "messages[0].content");
    assert_int_equal(out[0].position, 4);
    assert_string_equal(out[0].mine, "one two");
    assert_string_equal(out[0].stored, "one six");
    assert_string_equal(out[1].path, "temperature");
    assert_int_equal(out[1].position, 0);
    assert_string_equal(out[1].mine, "0.2");
    assert_string_equal(out[1].stored, "0.25");
    assert_int_equal(lines("{\"a\":[]}", "{\"a\":[]}", out), 0);
    assert_int_equal(lines("{\"a\":\"abc\"}", "{\"a\":\"abcd\"}", out), 1);
    assert_int_equal(out[0].position, 3);
}

static void arrays_of_different_length_differ_in_the_rest(void **state)
{
    struct json_difference out[JSON_DIFF_LINES];
    (void)state;
    assert_int_equal(lines("[1,{\"a\":2}]", "[1,{\"a\":2},{\"b\":[3]},4]", out), 2);
    assert_string_equal(out[0].path, "[2]");
    assert_false(out[0].in_mine);
    assert_string_equal(out[0].stored, "{\"b\":[3]}");
    assert_string_equal(out[0].mine, "");
    assert_string_equal(out[1].path, "[3]");
    assert_int_equal(lines("{\"s\":[\"a\"],\"x\":1}", "{\"s\":[]}", out), 2);
    assert_string_equal(out[0].path, "s[0]");
    assert_true(out[0].in_mine && !out[0].in_stored);
    assert_string_equal(out[0].mine, "a");
    assert_string_equal(out[1].path, "x");
}

/* Positions count characters, and no excerpt has a part of one. */
static void positions_are_in_code_points(void **state)
{
    struct json_difference out[JSON_DIFF_LINES];
    (void)state;
    /* the two differ in the last byte of a sequence */
    assert_int_equal(lines("{\"a\":\"Gr\\u00fc\\u00dfe \xF0\x9F\x98\x80!\"}",
                           "{\"a\":\"Gr\xC3\xBC\xC3\x9F"
                           "e \xF0\x9F\x98\x81!\"}",
                           out),
                     1);
    assert_int_equal(out[0].position, 6);
    assert_string_equal(out[0].mine, "Gr\xC3\xBC\xC3\x9F"
                                     "e \xF0\x9F\x98\x80!");
    /* an escape is one character */
    assert_int_equal(lines("\"a\\nb\\u0001x\"", "\"a\\nb\\u0001y\"", out), 1);
    assert_int_equal(out[0].position, 4);
    assert_int_equal(lines("\"a\\nb\"", "\"a\\tb\"", out), 1);
    assert_int_equal(out[0].position, 1);
}

static void excerpts_are_short_and_around_the_place(void **state)
{
    char mine[4096], stored[4096], text[2048] = "";
    struct json_difference out[JSON_DIFF_LINES];
    (void)state;
    for (size_t i = 0; i < 300; i++) {
        memcpy(text + 2 * i, "\xC3\xA9", 3);
    }
    snprintf(mine, sizeof mine, "\"%sX%s\"", text, text);
    snprintf(stored, sizeof stored, "\"%sY%s\"", text, text);
    assert_int_equal(lines(mine, stored, out), 1);
    assert_int_equal(out[0].position, 300);
    assert_int_equal(utf8_count(span_of(out[0].mine)), JSON_DIFF_EXCERPT);
    assert_true(utf8_valid(span_of(out[0].mine)));
    assert_non_null(strchr(out[0].mine, 'X'));
    assert_non_null(strchr(out[0].stored, 'Y'));
}

static void lines_and_paths_are_bounded(void **state)
{
    char mine[2048] = "{", deep[2048], name[400];
    struct json_difference out[JSON_DIFF_LINES];
    (void)state;
    for (int i = 0; i < 20; i++) {
        size_t at = strlen(mine);
        snprintf(mine + at, sizeof mine - at, "%s\"k%02d\":1", i == 0 ? "" : ",", i);
    }
    snprintf(mine + strlen(mine), sizeof mine - strlen(mine), "}");
    assert_int_equal(lines(mine, "{}", out), 20);
    assert_string_equal(out[JSON_DIFF_LINES - 1].path, "k07");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(deep, sizeof deep, "{\"a\":{\"%s\":{\"b\":1}}}", name);
    assert_int_equal(lines(deep, "{\"a\":{}}", out), 1);
    assert_string_equal(out[0].path, "a");
}

static void plain_texts_are_compared_too(void **state)
{
    struct json_difference line;
    (void)state;
    assert_false(json_difference_of("model", SPAN("m"), SPAN("m"), &line));
    assert_true(json_difference_of("model", SPAN("m1"), SPAN("m2"), &line));
    assert_string_equal(line.path, "model");
    assert_int_equal(line.position, 1);
    assert_string_equal(line.mine, "m1");
    assert_string_equal(line.stored, "m2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_values_are_counted_at_every_depth),
        cmocka_unit_test(the_longest_text_decides_among_equals),
        cmocka_unit_test(a_difference_has_its_path_and_place),
        cmocka_unit_test(arrays_of_different_length_differ_in_the_rest),
        cmocka_unit_test(positions_are_in_code_points),
        cmocka_unit_test(excerpts_are_short_and_around_the_place),
        cmocka_unit_test(lines_and_paths_are_bounded),
        cmocka_unit_test(plain_texts_are_compared_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
