/* test_print.c: no byte of an answer controls the terminal, and missing members are shown as such. */
#include "support/capture.h"

#include "ctl/ctl.h"

enum { OUT_MAX = 16384 };

static const char HOSTILE[] = "a\\u001b[2Jb\\u009b\\u007f\\r\\nc\\td";

static void printed_text(const char *text, bool lines, char *out)
{
    struct capture c;
    capture_begin(&c, stdout);
    ctl_print_text(text, lines);
    capture_end(&c, out, OUT_MAX);
}

static void control_characters_are_shown_as_numbers(void **state)
{
    char out[OUT_MAX];
    (void)state;
    printed_text("a\033[2J\x7f\b", false, out);
    assert_string_equal(out, "a\\x1b[2J\\x7f\\x08");
    printed_text("a\nb\tc\r", false, out);
    assert_string_equal(out, "a\\x0ab\\x09c\\x0d");
    printed_text("a\nb\tc\r", true, out);
    assert_string_equal(out, "a\nb\tc\\x0d");
    printed_text("a\xc2\x9b"
                 "2J\xc2\xa0",
                 false, out);
    assert_string_equal(out, "a\\xc2\\x9b2J\xc2\xa0");
    printed_text("Grüße 日本", false, out);
    assert_string_equal(out, "Grüße 日本");
}

static void printed_answer(void (*print)(const cJSON *), const char *json, char *out)
{
    struct capture c;
    cJSON *answer = cJSON_Parse(json);
    assert_non_null(answer);
    capture_begin(&c, stdout);
    print(answer);
    capture_end(&c, out, OUT_MAX);
    cJSON_Delete(answer);
}

static void assert_harmless(void (*print)(const cJSON *), const char *format)
{
    char json[2048], out[OUT_MAX];
    snprintf(json, sizeof json, format, HOSTILE, HOSTILE, HOSTILE, HOSTILE);
    printed_answer(print, json, out);
    assert_non_null(strstr(out, "\\x1b[2J"));
    for (const char *at = out; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        assert_true((byte >= ' ' && byte != 0x7f) || byte == '\n' || byte == '\t');
        assert_false(byte == 0xc2 && (unsigned char)at[1] < 0xa0);
    }
}

static void no_answer_controls_the_terminal(void **state)
{
    (void)state;
    assert_harmless(ctl_print_flights, "{\"flights\":[{\"kind\":\"title\",\"model\":\"%s\"}],"
                                       "\"machines\":[],\"left_out\":[{\"model\":\"%s\"}]}");
    assert_harmless(ctl_print_entries, "{\"entries\":[{\"id\":\"0\",\"model\":\"%s\"}],"
                                       "\"next\":null}");
    assert_harmless(ctl_print_entry, "{\"scope\":\"%s\",\"request\":\"%s\",\"answer\":\"%s\"}");
    assert_harmless(ctl_print_config, "{\"server.x\":{\"value\":\"%s\",\"origin\":\"%s\"}}");
    assert_harmless(ctl_print_health, "{\"ready\":true,\"cache\":\"%s\",\"upstreams\":{}}");
    assert_harmless(ctl_print_stats, "{\"tasks\":{},\"cache\":{\"state\":\"%s\"}}");
}

static void members_of_another_type_are_empty(void **state)
{
    cJSON *o = cJSON_Parse("{\"a\":\"x\",\"n\":1.5,\"b\":true}");
    (void)state;
    assert_string_equal(ctl_text_of(o, "a"), "x");
    assert_string_equal(ctl_text_of(o, "n"), "");
    assert_string_equal(ctl_text_of(NULL, "a"), "");
    assert_true(ctl_number_of(o, "n") == 1.5);
    assert_true(ctl_number_of(o, "a") == 0 && ctl_number_of(o, "missing") == 0);
    cJSON_Delete(o);
}

static void times_are_short(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{\"ms\":0.26}", "0.3 ms"},  {"{\"ms\":250.4}", "250 ms"}, {"{\"ms\":12400}", "12.4 s"},
        {"{\"ms\":250000}", "250 s"}, {"{\"ms\":null}", "-"},       {"{}", "-"},
        {"{\"ms\":\"1\"}", "-"},      {"{\"ms\":999.4}", "999 ms"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        cJSON *o = cJSON_Parse(cases[i].json);
        ctl_format_ms(o, "ms", text, sizeof text);
        assert_string_equal(text, cases[i].text);
        cJSON_Delete(o);
    }
}

/* The columns of outcomes add up to the requests of their row. */
static void stats_show_each_outcome_that_occurred(void **state)
{
    char out[OUT_MAX];
    (void)state;
    printed_answer(ctl_print_stats,
                   "{\"tasks\":{\"title\":{\"requests\":5,\"hits\":2,\"misses\":1,"
                   "\"superseded\":2,\"stale\":0}}}",
                   out);
    assert_non_null(strstr(out, "requests hits misses superseded failed"));
    assert_null(strstr(out, "stale"));
}

static void assert_printed(void (*print)(const cJSON *), const char *json, const char *text)
{
    char out[OUT_MAX];
    printed_answer(print, json, out);
    if (strstr(out, text) == NULL) {
        fail_msg("no '%s' in: %s", text, out);
    }
}

static void money_is_shown_where_there_is_some(void **state)
{
    char out[OUT_MAX];
    (void)state;
    printed_answer(ctl_print_stats,
                   "{\"tasks\":{\"title\":{\"requests\":5,\"cost\":0,\"saved_cost\":0}}}", out);
    assert_null(strstr(out, "cost"));
    assert_printed(ctl_print_stats,
                   "{\"tasks\":{\"title\":{\"requests\":5,\"cost\":0,\"saved_cost\":1.23456}}}",
                   " saved cost\n");
    assert_printed(ctl_print_stats,
                   "{\"tasks\":{\"title\":{\"requests\":5,\"cost\":0.5,\"saved_cost\":1.23456}}}",
                   "     0.5000     1.2346\n");
}

static void what_is_left_to_do_is_said(void **state)
{
    (void)state;
    assert_printed(ctl_print_entries, "{\"entries\":[],\"next\":\"07ab\"}",
                   "\nmore: the same with after=07ab\n");
    assert_printed(ctl_print_reload, "{\"changed\":[\"a\"],\"restart\":[\"server.control\"]}",
                   "changed: a\nafter a restart: server.control\n");
    assert_printed(ctl_print_reload, "{\"changed\":[],\"restart\":[]}", "nothing changed\n");
    assert_printed(ctl_print_draining, "{}", "draining\n");
    assert_printed(ctl_print_health, "{\"upstreams\":{\"a\":\"untried\",\"b\":\"up\",\"c\":5}}",
                   "ready; cache ?; upstream a not tried yet; upstream b up; upstream c ?\n");
}

/* A name or a text that is longer than its column is not cut, and stays apart from the next. */
static void a_text_that_is_longer_than_its_column_ends_with_a_blank(void **state)
{
    (void)state;
    assert_printed(ctl_print_stats,
                   "{\"tasks\":{\"a_kind_of_twenty_six_bytes\":{\"requests\":1}},\"upstreams\":{"
                   "\"a_server_of_twenty_eight_byte\":{\"state\":\"ok\",\"dialect\":\"ollama\"}}}",
                   "\na_server_of_twenty_eight_byte ok      ollama ");
    assert_printed(ctl_print_stats,
                   "{\"upstreams\":{\"gpu\":{\"state\":\"ok\",\"dialect\":\"ollama\"}}}",
                   "\ngpu                 ok      ollama ");
    assert_printed(
        ctl_print_flights,
        "{\"flights\":[{\"kind\":\"context_compaction_of_mine\",\"state\":\"in_call_now\","
        "\"why\":\"retry-after-all\"}]}",
        "\ncontext_compaction_of_mine in_call_now retry-after-all ");
    assert_printed(ctl_print_flights,
                   "{\"prefix\":[{\"upstream\":\"gpu\",\"first\":{\"state\":\"measured\","
                   "\"tokens_read\":123456,\"tokens\":234567},\"model\":\"m\"}]}",
                   "of 234567 read ");
}

static void print_json(const cJSON *unused)
{
    (void)unused;
    ctl_print_json(SPAN("{\"a\":\n\t\"x\x7f \xc2\x9b \xc3\x9b \x1b\"}\xc2"));
}

static void json_does_not_control_the_terminal_either(void **state)
{
    (void)state;
    assert_printed(print_json, "{}", "{\"a\":\n\t\"x\\u007f \\u009b \xc3\x9b \\u001b\"}\xc2\n");
}

static void elements_have_no_name(void **state)
{
    (void)state;
    assert_printed(ctl_print_stats, "{\"tasks\":[1],\"upstreams\":[{}]}", "\nupstream ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_shown_as_numbers),
        cmocka_unit_test(no_answer_controls_the_terminal),
        cmocka_unit_test(json_does_not_control_the_terminal_either),
        cmocka_unit_test(elements_have_no_name),
        cmocka_unit_test(members_of_another_type_are_empty),
        cmocka_unit_test(times_are_short),
        cmocka_unit_test(stats_show_each_outcome_that_occurred),
        cmocka_unit_test(money_is_shown_where_there_is_some),
        cmocka_unit_test(what_is_left_to_do_is_said),
        cmocka_unit_test(a_text_that_is_longer_than_its_column_ends_with_a_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
