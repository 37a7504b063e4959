/* test_report.c: the savings of each day: days and their bounds, and the ledger with a real cache,
 * in virtual time. */
#include "support/fake_loop.c"

#include "control/control_priv.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static int setup(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Madrid", 1);
    tzset();
    snprintf(dir, sizeof dir, "/tmp/lull-report-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    char command[256];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

static wall_t wall_of(int64_t seconds)
{
    return (wall_t){seconds * USEC_PER_S};
}

static const int64_t HOUR = 3600;
static const int64_t NOON = 1793185200; /* 2026-10-28 12:00 in Madrid, after the end of its DST */

/* ---- days ---- */

static void a_day_is_the_local_date_on_days_of_23_and_25_hours(void **state)
{
    static const struct {
        int64_t at;
        int back;
        const char *date;
    } cases[] = {
        {1792879199, 0, "2026-10-24"}, /* 23:59:59 */
        {1792879200, 0, "2026-10-25"}, /* 25 hours */
        {1792969199, 0, "2026-10-25"}, {1792969200, 0, "2026-10-26"},
        {1792969200, 1, "2026-10-25"}, {1774738800, 0, "2026-03-29"}, /* 23 hours */
        {1774821599, 0, "2026-03-29"}, {1774821600, 0, "2026-03-30"},
        {1774821600, 1, "2026-03-29"}, {1774821600, 34, "2026-02-24"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char date[DAY_DATE];
        day_date(wall_of(cases[i].at), cases[i].back, date);
        assert_string_equal(date, cases[i].date);
    }
    assert_true(day_is_date("2026-10-25"));
    assert_false(day_is_date("2026-10-2") || day_is_date("2026-10-255") || day_is_date("x"));
}

static void days_stay_in_order_and_no_longer_than_35_days(void **state)
{
    struct days days = {0};
    size_t from = 0;
    char date[DAY_DATE];
    (void)state;
    for (int back = 0; back < 60; back++) {
        day_date(wall_of(NOON), (back * 7) % 60, date);
        assert_non_null(days_get(&days, date));
    }
    assert_int_equal(days.count, 60);
    days_drop_old(&days, wall_of(NOON));
    assert_int_equal(days.count, DAYS_KEPT);
    assert_string_equal(days.items[0]->date, "2026-09-24");
    assert_string_equal(days.items[34]->date, "2026-10-28");
    assert_true(day_expires("2026-09-24").us > NOON * USEC_PER_S - 1);
    assert_true(day_expires("2026-09-23").us <= NOON * USEC_PER_S);
    assert_int_equal(days_between(&days, "2026-10-26", "2026-10-27", &from), 2);
    assert_string_equal(days.items[from]->date, "2026-10-26");
    days_free(&days);
}

static void days_of_a_wrong_clock_are_bounded(void **state)
{
    struct days days = {0};
    char date[DAY_DATE];
    (void)state;
    for (int i = 0; i < 2 * DAYS_MOST; i++) {
        snprintf(date, sizeof date, "%04d-01-01", 2100 + i);
        (void)days_get(&days, date);
    }
    assert_int_equal(days.count, DAYS_MOST);
    assert_null(days_get(&days, "2500-01-01"));
    assert_non_null(days_get(&days, "2026-10-28"));
    assert_int_equal(days.count, DAYS_MOST);
    assert_string_equal(days.items[0]->date, "2026-10-28");
    days_free(&days);
}

static void rows_are_bounded_and_a_day_comes_back_from_its_text(void **state)
{
    struct day d = {.date = "2026-10-28"}, back = {.date = "2026-10-28"};
    struct buf text = {.max = CACHE_NOTE_MAX};
    struct savings s = {.requests = 1, .saved_us = 9000000000000, .saved_cost = 7};
    char name[DAY_ROW_NAME];
    (void)state;
    for (int i = 0; i < 2 * DAY_ROWS_MOST; i++) {
        snprintf(name, sizeof name, "%064d", i);
        day_rows_add(&d.kinds, name, &s);
        day_rows_add(&d.users, name, &s);
    }
    assert_int_equal(d.kinds.count, DAY_ROWS_MOST + 1);
    assert_string_equal(d.kinds.items[DAY_ROWS_MOST].name, "others");
    assert_int_equal(d.kinds.items[DAY_ROWS_MOST].sum.requests, DAY_ROWS_MOST);
    day_encode(&d, &text);
    assert_true(day_decode(&back, buf_span(&text)));
    assert_int_equal(back.users.count, d.users.count);
    for (size_t i = 0; i < d.users.count; i++) {
        assert_string_equal(back.users.items[i].name, d.users.items[i].name);
        assert_memory_equal(&back.users.items[i].sum, &d.users.items[i].sum, sizeof s);
    }
    assert_int_equal(day_total(&back).requests, 2 * DAY_ROWS_MOST);
    assert_false(day_decode(&back, SPAN("{\"kinds\":")));
    assert_int_equal(day_total(&back).requests, 2 * DAY_ROWS_MOST);
    struct day *list[] = {&d, &back};
    for (size_t i = 0; i < 2; i++) {
        free(list[i]->kinds.items);
        free(list[i]->users.items);
    }
    buf_free(&text);
}

/* ---- the ledger ---- */

struct world {
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct ledger *ledger;
};

/* Sets the wall clock to NOON and so many days later. */
static void set_clock(struct world *w, int64_t days)
{
    fake_loop_set_wall_offset(w->loop, (NOON + days * 24 * HOUR) * USEC_PER_S - FAKE_WALL);
}

/* The clock begins at NOON and so many days later. */
static void begin(struct world *w, int64_t days)
{
    struct cache_options o = {
        .dir = dir, .settings = {.max_size = 8 * 1024 * 1024, .durability = DURABILITY_GROUP}};
    w->loop = loop_create();
    set_clock(w, days);
    w->figures = figures_create();
    w->cache = cache_create(w->loop, &o);
    w->ledger = ledger_create(w->loop, w->figures, w->cache);
}

static void end(struct world *w)
{
    ledger_destroy(w->ledger);
    cache_destroy(w->cache);
    figures_destroy(w->figures);
    loop_destroy(w->loop);
}

static void work(struct world *w, const char *kind, uint64_t requests)
{
    struct task_figures *t = figures_task(w->figures, kind);
    t->requests += requests;
    t->outcomes[OUTCOME_HIT] += requests;
    t->saved_us += (int64_t)requests * USEC_PER_S;
    figures_user(w->figures, 0x00c0ffee)->requests += (int64_t)requests;
}

/* So many titles, and that time. */
static void work_for(struct world *w, uint64_t requests, usec_t seconds)
{
    work(w, "title", requests);
    fake_loop_advance(w->loop, seconds * USEC_PER_S);
}

static int64_t requests_of(struct world *w, int days, const char *date)
{
    size_t count = 0;
    struct day *const *list = ledger_days(w->ledger, days, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i]->date, date) == 0) {
            return day_total(list[i]).requests;
        }
    }
    return -1;
}

static void a_restart_keeps_the_day(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 0);
    work_for(&w, 3, 60);
    work(&w, "tags", 2);
    end(&w);
    begin(&w, 0);
    work(&w, "title", 4);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), 9);
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), 9);
    end(&w);
    begin(&w, 1);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), 9);
    assert_int_equal(requests_of(&w, 35, "2026-10-29"), 0);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), -1);
    end(&w);
    begin(&w, 34);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), 9);
    end(&w);
    begin(&w, 35);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), -1);
    end(&w);
}

/* The process ends by SIGKILL, after a minute that was written and in one that was not. */
static void a_kill_loses_the_last_minute_only(void **state)
{
    struct world w;
    int status = 0;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        begin(&w, 0);
        work_for(&w, 5, 60);
        cache_flush(w.cache); /* the writer commits by real time */
        work_for(&w, 7, 59);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    begin(&w, 0);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), 5);
    end(&w);
}

static void a_clock_that_is_set_back_adds_to_the_day_it_names(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 0);
    work_for(&w, 1, 60);
    set_clock(&w, 1);
    work_for(&w, 10, 60);
    set_clock(&w, 0);
    work_for(&w, 100, 60);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), 101);
    assert_int_equal(requests_of(&w, 35, "2026-10-29"), -1); /* not yet */
    set_clock(&w, 1);
    assert_int_equal(requests_of(&w, 35, "2026-10-29"), 10);
    end(&w);
}

/* The clock is two months ahead for two minutes: older days are not shown, and are there again. */
static void a_clock_that_was_ahead_drops_no_day(void **state)
{
    struct world w;
    (void)state;
    begin(&w, 0);
    work_for(&w, 3, 60);
    set_clock(&w, 60);
    work_for(&w, 10, 120);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), -1);
    cache_flush(w.cache); /* its note has expired */
    set_clock(&w, 0);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), 3);
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    cache_flush(w.cache);
    end(&w);
    begin(&w, 0);
    assert_int_equal(requests_of(&w, 35, "2026-10-28"), 3);
    end(&w);
}

/* The file is removed under the daemon: the days are in the next one. */
static void a_new_data_file_gets_every_day(void **state)
{
    struct world w;
    char path[128];
    (void)state;
    begin(&w, 0);
    work_for(&w, 6, 60);
    cache_flush(w.cache);
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(unlink(path), 0);
    work_for(&w, 1, 60);
    cache_flush(w.cache); /* it is not written: the file is gone */
    assert_string_equal(cache_state(w.cache), "on");
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    cache_flush(w.cache);
    end(&w);
    begin(&w, 0);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), 7);
    end(&w);
}

/* What was counted with the cache off is added to what the file has, once. */
static void days_of_a_time_without_cache_are_added(void **state)
{
    struct world w, other;
    (void)state;
    begin(&w, 0);
    work(&w, "title", 2);
    begin(&other, 0); /* the directory is in use: off */
    assert_int_equal(strncmp(cache_state(other.cache), "off", 3), 0);
    work_for(&other, 5, 60);
    assert_int_equal(requests_of(&other, 1, "2026-10-28"), 5);
    end(&w);
    fake_loop_advance(other.loop, 60 * USEC_PER_S);
    assert_string_equal(cache_state(other.cache), "on");
    assert_int_equal(requests_of(&other, 1, "2026-10-28"), 7);
    end(&other);
    begin(&w, 0);
    assert_int_equal(requests_of(&w, 1, "2026-10-28"), 7);
    end(&w);
}

static void users_of_a_day_are_bounded(void **state)
{
    struct world w;
    size_t count = 0;
    (void)state;
    begin(&w, 0);
    for (uint32_t user = 0; user < 1000; user++) {
        figures_user(w.figures, user)->requests++;
    }
    figures_user(w.figures, 0)->requests++;
    struct day *const *list = ledger_days(w.ledger, 1, &count);
    assert_int_equal(count, 1);
    const struct day_rows *users = &list[0]->users;
    assert_true(users->count <= DAY_ROWS_MOST + 1);
    int64_t sum = 0;
    for (size_t i = 0; i < users->count; i++) {
        sum += users->items[i].sum.requests;
    }
    assert_int_equal(sum, 1001);
    assert_string_equal(users->items[0].name, "none");
    assert_int_equal(users->items[0].sum.requests, 2);
    assert_string_equal(users->items[1].name, "00000001");
    end(&w);
}

static void the_report_as_json_and_csv(void **state)
{
    struct world w;
    struct buf csv = {.max = 64 * 1024};
    (void)state;
    begin(&w, 0);
    work(&w, "title", 3);
    figures_task(w.figures, "title")->cost = 1500000;
    report_csv(w.ledger, 35, false, &csv);
    assert_true(span_eq(
        buf_span(&csv),
        SPAN("day,kind,requests,without_call,saved_s,spent_s,wasted_s,wait_s,saved_tokens,cost,"
             "saved_cost\r\n"
             "2026-10-28,title,3,3,3.000000,0.000000,0.000000,0.000000,0,1.500000,0.000000\r\n")));
    buf_clear(&csv);
    report_csv(w.ledger, 35, true, &csv);
    assert_true(span_starts(buf_span(&csv), SPAN("day,user,requests,without_call,")));
    assert_true(span_find(buf_span(&csv), SPAN("\r\n2026-10-28,00c0ffee,3,"), 0) != SIZE_MAX);
    cJSON *tree = report_tree(w.ledger, 35, false);
    char *text = cJSON_PrintUnformatted(tree);
    static const char ROW[] = "{\"requests\":3,\"without_call\":3,\"saved_s\":3,\"spent_s\":0,"
                              "\"wasted_s\":0,\"wait_s\":0,\"saved_tokens\":0,\"cost\":1.5,"
                              "\"saved_cost\":0}";
    char want[1024];
    snprintf(want, sizeof want,
             "{\"days\":[{\"day\":\"2026-10-28\",\"total\":%s,\"kinds\":{\"title\":%s}}]}", ROW,
             ROW);
    assert_string_equal(text, want);
    cJSON_free(text);
    cJSON_Delete(tree);
    cJSON *history = report_history(w.ledger);
    text = cJSON_PrintUnformatted(history);
    assert_string_equal(text, "[{\"day\":\"2026-10-28\",\"saved_s\":3,\"spent_s\":0,\"requests\":3,"
                              "\"without_call\":3}]");
    cJSON_free(text);
    cJSON_Delete(history);
    buf_free(&csv);
    end(&w);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_day_is_the_local_date_on_days_of_23_and_25_hours),
        TEST(days_stay_in_order_and_no_longer_than_35_days),
        TEST(days_of_a_wrong_clock_are_bounded),
        TEST(rows_are_bounded_and_a_day_comes_back_from_its_text),
        TEST(a_restart_keeps_the_day),
        TEST(a_kill_loses_the_last_minute_only),
        TEST(a_clock_that_is_set_back_adds_to_the_day_it_names),
        TEST(a_clock_that_was_ahead_drops_no_day),
        TEST(a_new_data_file_gets_every_day),
        TEST(days_of_a_time_without_cache_are_added),
        TEST(users_of_a_day_are_bounded),
        TEST(the_report_as_json_and_csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
