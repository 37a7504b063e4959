/* test_top.c: the screen of lullctl top, from figures that a test makes: what it shows, in which order,
 * and that nothing of the daemon's breaks a line or its bounds.
 */
#include "support/capture.h"

#include "ctl/top.h"

#include <stdlib.h>

static struct top *top_of(const char *stats, const char *flights)
{
    struct top *top = mem_new(sizeof *top);
    top->rows = 60;
    top->columns = 132;
    top->stats = cJSON_Parse(stats);
    top->flights = cJSON_Parse(flights);
    assert_non_null(top->stats);
    assert_non_null(top->flights);
    return top;
}

static void end(struct top *top)
{
    top_free(top);
    free(top);
}

static const char *text_of(struct buf *b)
{
    assert_int_equal(buf_append_char(b, '\0'), ERR_OK);
    return b->data;
}

/* The screen as text; freed by the caller. */
static char *drawn(const struct top *top)
{
    struct buf out = {.max = 256 * 1024};
    top_draw(top, &out);
    assert_int_equal(buf_append_char(&out, '\0'), ERR_OK);
    return out.data;
}

static void assert_shows(const struct top *top, const char *part)
{
    char *text = drawn(top);
    if (strstr(text, part) == NULL) {
        fail_msg("no '%s' in: %s", part, text);
    }
    free(text);
}

static void assert_in_order(const struct top *top, const char *a, const char *b, const char *c)
{
    char *text = drawn(top);
    const char *first = strstr(text, a), *second = strstr(text, b), *third = strstr(text, c);
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(third);
    assert_true(first < second && second < third);
    free(text);
}

static void kinds_are_sorted_by_what_was_asked(void **state)
{
    struct top *top = top_of("{\"tasks\":{"
                             "\"kb\":{\"requests\":9,\"saved_s\":1,\"latency_ms\":{\"p99\":5}},"
                             "\"kc\":{\"requests\":1,\"saved_s\":9,\"latency_ms\":{\"p99\":7}},"
                             "\"ka\":{\"requests\":5,\"saved_s\":5,\"latency_ms\":{\"p99\":9}}}}",
                             "{}");
    (void)state;
    assert_in_order(top, "\nkb ", "\nka ", "\nkc ");
    top->sort = TOP_SORT_SAVED;
    assert_in_order(top, "\nkc ", "\nka ", "\nkb ");
    top->sort = TOP_SORT_SLOW;
    assert_in_order(top, "\nka ", "\nkc ", "\nkb ");
    top->sort = TOP_SORT_NAME;
    assert_in_order(top, "\nka ", "\nkb ", "\nkc ");
    assert_shows(top, "KIND (by name)");
    end(top);
}

static void times_have_the_unit_that_fits(void **state)
{
    static const char *const rows[][2] = {
        {"0", "0.0s"},    {"99.9", "99.9s"},   {"100", "2m"},      {"5994", "100m"},
        {"5995", "1.7h"}, {"172799", "48.0h"}, {"172800", "2.0d"}, {"-1", "-"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char stats[64], want[64];
        snprintf(stats, sizeof stats, "{\"uptime_s\":%s,\"mode\":\"on\"}", rows[i][0]);
        snprintf(want, sizeof want, "  up %s  mode on", rows[i][1]);
        struct top *top = top_of(stats, "{}");
        assert_shows(top, want);
        end(top);
    }
}

static void a_flight_says_what_it_waits_for(void **state)
{
    struct top *top =
        top_of("{}", "{\"flights\":["
                     "{\"kind\":\"title\",\"state\":\"queued\",\"position\":2,\"why\":\"a chat\"},"
                     "{\"kind\":\"tags\",\"state\":\"running\",\"left_s\":1.25},"
                     "{\"kind\":\"query\",\"state\":\"running\"}]}");
    (void)state;
    assert_shows(top, "TASK (3)");
    assert_shows(top, " queued    2 ");
    assert_shows(top, " waits for a chat\n");
    assert_shows(top, "about 1.2 s more\n");
    assert_shows(top, "\nquery            running   - ");
    end(top);
}

static void the_screen_keeps_its_rows_and_columns(void **state)
{
    struct buf stats = {.max = 65536}, flights = {.max = 65536};
    (void)state;
    buf_text(&stats, "{\"tasks\":{\"none\":{}");
    buf_text(&flights, "{\"flights\":[{}");
    for (int i = 0; i < 60; i++) {
        buf_text(&stats, ",\"k%d\":{\"requests\":%d}", i, i + 1);
        buf_text(&flights, ",{\"kind\":\"k\\n\\u001b[2J\\u00e9\",\"model\":\"%0200d\"}", i);
    }
    buf_text(&stats, "}}");
    buf_text(&flights, "]}");
    struct top *top = top_of(text_of(&stats), text_of(&flights));
    for (int rows = 1; rows <= 70; rows += 3) {
        top->rows = rows;
        top->columns = 20 + rows;
        char *text = drawn(top);
        int lines = 1, column = 0;
        for (const char *at = text; *at != '\0'; at++) {
            column = *at == '\n' ? 0 : column + 1;
            lines += *at == '\n' ? 1 : 0;
            assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
            assert_true(column <= top->columns);
        }
        assert_true(lines <= rows);
        free(text);
    }
    end(top);
    buf_free(&stats);
    buf_free(&flights);
}

static void take(struct top *top, const char *line)
{
    char text[512];
    snprintf(text, sizeof text, "%s", line);
    top_take_line(top, text);
}

static void exchanges_are_shown_newest_first(void **state)
{
    struct top *top = top_of("{}", "{}");
    (void)state;
    take(top, ": a comment");
    take(top, "data: no JSON");
    assert_int_equal(top->last_count, 0);
    take(top, "data: {\"kind\":\"title\",\"outcome\":\"hits\",\"status\":200,\"ms\":0.5}");
    take(
        top,
        "data: {\"kind\":\"tags\",\"outcome\":\"misses\",\"status\":200,\"ms\":1e9,\"held_ms\":1}");
    take(top, "data: {\"what\":\"chat\",\"status\":502,\"model\":\"m\\u001b[2J\\u007f\",\"ms\":5}");
    assert_in_order(top, " chat ", " tags ", " title ");
    assert_shows(top, "m?[2J?");
    assert_int_equal(top->hits[0], 1);
    assert_int_equal(top->others[TOP_BUCKETS - 1], 1);
    assert_shows(top, "(highest: 1)");
    assert_true(top->last[2].failed && !top->last[1].failed);
    take(top, "data: {\"lost\":3}");
    assert_int_equal(top->lost, 3);
    assert_shows(top, "(some exchanges were not shown)");
    top->paused = true;
    take(top, "data: {\"what\":\"chat\",\"status\":200}");
    assert_int_equal(top->last_count, 3);
    assert_shows(top, "  PAUSED\n");
    top->paused = false;
    for (int i = 0; i < 2 * TOP_LAST; i++) {
        take(top, "data: {\"what\":\"chat\",\"status\":200}");
    }
    assert_int_equal(top->last_count, TOP_LAST);
    end(top);
}

static void colours_mark_what_is_down(void **state)
{
    struct top *top =
        top_of("{\"upstreams\":{\"here\":{\"state\":\"up\"},\"gone\":{\"state\":\"down\"}}}", "{}");
    (void)state;
    char *text = drawn(top);
    assert_null(strchr(text, '\033'));
    free(text);
    top->colour = true;
    assert_shows(top, "\n\033[31mgone ");
    assert_shows(top, "\nhere ");
    end(top);
}

static void help_takes_the_place_of_the_tables(void **state)
{
    struct top *top = top_of("{}", "{}");
    (void)state;
    top->help = true;
    assert_shows(top, "?  this help");
    char *text = drawn(top);
    assert_null(strstr(text, "SERVER"));
    free(text);
    end(top);
}

static void one_line_has_the_sums(void **state)
{
    struct top *top =
        top_of("{\"chat\":{\"open\":2},\"tasks\":{"
               "\"a\":{\"requests\":5,\"hits\":1,\"collapsed\":1,\"misses\":3,\"saved_s\":1.5},"
               "\"b\":{\"requests\":2,\"stale\":1,\"misses\":1,\"saved_s\":2}}}",
               "{\"flights\":[{},{}]}");
    struct buf out = {.max = 1024};
    (void)state;
    top_draw_line(top, &out);
    assert_string_equal(text_of(&out),
                        "tasks 7, without a call 3, saved 3.5 s, chats open 2, flights 2\n");
    buf_free(&out);
    end(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_sorted_by_what_was_asked),
        cmocka_unit_test(times_have_the_unit_that_fits),
        cmocka_unit_test(a_flight_says_what_it_waits_for),
        cmocka_unit_test(the_screen_keeps_its_rows_and_columns),
        cmocka_unit_test(exchanges_are_shown_newest_first),
        cmocka_unit_test(colours_mark_what_is_down),
        cmocka_unit_test(help_takes_the_place_of_the_tables),
        cmocka_unit_test(one_line_has_the_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
