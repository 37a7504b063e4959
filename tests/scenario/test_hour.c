/* test_hour.c: an hour of typing, chats and tasks in virtual time, and the figures against a count that
 * is made from outside: what the model saw of each call, and what each client saw of its answer.
 *
 * Each answer of the model has the number of its call in it, so that a client's answer says which call
 * made it. The model's pieces, the arrivals and the clients' looks are all on a grid of GRID.
 */
#include "scenario/scenario.h"
#include "support/random.h"

#include "lull/base/loop.h"

#include <stdlib.h>

enum { GRID_MS = 20, SECONDS = 3600, PEOPLE = 6, CALLS = 4000, LATENCIES = 8192 };

static const char *const KINDS[] = {"title", "follow_up", "query", "autocomplete"};
enum { TITLE, FOLLOW_UP, QUERY, AUTOCOMPLETE, KINDS_COUNT, CHAT = KINDS_COUNT };

struct call {
    struct upstream_call *call;
    struct loop_timer *timer;
    struct hour *hour;
    char *body, *headers;
    int kind, number;
    usec_t begun, first, whole; /* since the hour began */
    bool over;
    usec_t spent; /* model time, as it is to be counted */
    bool says, fails, aborted, used;
};

struct person {
    struct client *client;
    char user[32], headers[64];
    char *body;
    int kind;
    bool waits, chases;
    int64_t since, next, leaves;
    usec_t held;
    char text[256], suggestion[256]; /* what is being typed, and how it was said to go on */
};

struct reference {
    uint64_t requests, calls, outcomes[OUTCOME_COUNT];
    usec_t spent, saved, wasted, waited;
    usec_t latencies[LATENCIES];
    size_t latency_count;
};

struct hour {
    struct world *world;
    struct call *calls[CALLS];
    int count;
    usec_t zero;   /* of the loop's time */
    int64_t now;   /* grid steps */
    usec_t recent; /* since when answers are in the percentiles at the end */
    uint64_t finished, failed, aborted;
    struct person people[PEOPLE];
    struct reference want[KINDS_COUNT];
};

static usec_t of_steps(int64_t steps)
{
    return steps * GRID_MS * USEC_PER_MS;
}

static usec_t passed(const struct hour *h)
{
    return loop_now(world_loop(h->world)).us - h->zero;
}

/* ---- the model ---- */

static int kind_of(const char *body)
{
    static const char *const marks[] = {"concise title", "follow-up questions", "search queries",
                                        "autocompletion system"};
    for (int i = 0; i < KINDS_COUNT; i++) {
        if (strstr(body, "### Task") != NULL && strstr(body, marks[i]) != NULL) {
            return i;
        }
    }
    return CHAT;
}

static void call_over(struct call *c, bool aborted)
{
    c->over = true;
    c->aborted = aborted;
    if (c->spent == 0) {
        c->spent = passed(c->hour) - c->begun;
    }
    loop_timer_stop(c->timer);
    c->hour->aborted += aborted;
    c->hour->failed += !aborted && c->fails;
    c->hour->finished += !aborted && !c->fails;
}

static void answer(struct call *c)
{
    static const char *const forms[] = {
        "{\\\"title\\\": \\\"c%d.\\\"}", "{\\\"follow_ups\\\": [\\\"c%d.\\\"]}",
        "{\\\"queries\\\": [\\\"c%d.\\\"]}",
        "{\\\"text\\\": \\\" and c%d. and c%d. and c%d. and c%d. and c%d. on\\\"}", "c%d."};
    char content[256];
    char events[1024];
    char timings[128] = "";
    snprintf(content, sizeof content, forms[c->kind], c->number, c->number, c->number, c->number,
             c->number);
    if (c->says) { /* the server's own durations: less than it looked like */
        c->spent = (c->whole - c->begun) * 3 / 4;
        snprintf(timings, sizeof timings, ",\"timings\":{\"prompt_ms\":%g,\"predicted_ms\":%g}",
                 (double)c->spent / 2e3, (double)c->spent / 2e3);
    }
    snprintf(events, sizeof events,
             "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\n"
             "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]%s}\n\n"
             "data: [DONE]\n\n",
             content, timings);
    model_data(c->call, events);
    call_over(c, false);
    model_end(c->call);
}

static void on_model_timer(void *ctx)
{
    struct call *c = ctx;
    if (c->fails) {
        call_over(c, false);
        model_break(c->call, false);
    } else if (!model_has_head(c->call)) {
        model_head(c->call, 200, "text/event-stream");
        model_data(c->call, ": begins\n\n");
        loop_timer_start(c->timer, c->whole - c->first);
    } else {
        answer(c);
    }
}

static void on_began(void *ctx, struct upstream_call *call)
{
    struct hour *h = ctx;
    struct call *c = mem_new(sizeof *c);
    c->call = call;
    c->hour = h;
    c->body = mem_strdup(model_body(call));
    c->headers = mem_strdup(model_headers(call));
    c->kind = kind_of(c->body);
    c->number = h->count;
    c->begun = passed(h);
    c->first = c->begun + of_steps(5 + pick(40));
    c->whole = c->first + of_steps(1 + pick(c->kind == CHAT ? 300 : 60));
    c->says = pick(2) == 0;
    c->fails = c->kind != CHAT && pick(40) == 0;
    c->timer = loop_timer_create(world_loop(h->world), on_model_timer, c);
    loop_timer_start(c->timer, c->first - c->begun);
    require(h->count < CALLS);
    h->calls[h->count++] = c;
    if (c->kind != CHAT) {
        h->want[c->kind].calls++;
    }
}

static void on_aborted(void *ctx, struct upstream_call *call)
{
    struct hour *h = ctx;
    for (int i = h->count - 1; i >= 0; i--) {
        if (h->calls[i]->call == call) {
            call_over(h->calls[i], true);
            return;
        }
    }
}

/* ---- people ---- */

static const char *body_for(struct person *p)
{
    static const char *const openings[] = {
        "How do I write a small daemon", "What is the best way to bake",
        "Please explain to me how tides", "Write a letter to my landlord"};
    char user[64];
    unsigned which = pick(12);
    snprintf(user, sizeof user, "Question %u?", pick(400));
    const char *turns[] = {user, NULL};
    if (which == 0) {
        p->kind = CHAT;
        return ask_chat(turns);
    }
    if (which <= 2) {
        p->kind = TITLE;
        snprintf(user, sizeof user, "Question %u?", pick(60));
        return ask_title(user, "Well.");
    }
    if (which <= 3) {
        p->kind = FOLLOW_UP;
        return ask_follow_up(user, "Well.");
    }
    if (which <= 4) {
        p->kind = QUERY;
        snprintf(user, sizeof user, "Question %u?", pick(40));
        return ask_query(user);
    }
    p->kind = AUTOCOMPLETE;
    size_t len = strlen(p->text);
    if (len == 0 || len > 120 || pick(8) == 0) {
        snprintf(p->text, sizeof p->text, "%s", openings[pick(4)]);
    } else if (p->suggestion[0] != '\0' && pick(2) == 0) { /* as it was suggested */
        snprintf(p->text + len, sizeof p->text - len, "%.*s", 3 + (int)pick(4), p->suggestion);
    } else {
        snprintf(p->text + len, sizeof p->text - len, " w%u", pick(30));
    }
    p->suggestion[0] = '\0';
    return ask_autocomplete(p->text);
}

/* The other tab of the same person asks the same, or goes on with the text. */
static void imitate(struct person *p, const struct person *beside)
{
    free(p->body);
    p->body = mem_strdup(beside->body);
    p->kind = beside->kind;
    memcpy(p->text, beside->text, sizeof p->text);
    p->suggestion[0] = '\0';
    size_t len = strlen(p->text);
    if (p->chases && p->kind == AUTOCOMPLETE) {
        snprintf(p->text + len, sizeof p->text - len, " x%u", pick(30));
        free(p->body);
        p->body = mem_strdup(ask_autocomplete(p->text));
    }
}

static void arrive(struct hour *h, struct person *p)
{
    if (p->client == NULL) {
        p->client = client_open(h->world);
    }
    client_clear(p->client);
    free(p->body);
    p->body = mem_strdup(body_for(p));
    struct person *beside = &h->people[(p - h->people) ^ 1];
    if (beside->waits && beside->kind != CHAT && (p->chases || pick(3) == 0)) {
        imitate(p, beside);
    }
    p->chases = false;
    if (p->kind == AUTOCOMPLETE && !beside->waits && pick(5) == 0) {
        beside->chases = true;
        beside->next = h->now + 1 + pick(9);
    }
    p->waits = true;
    p->since = h->now;
    p->held = 0;
    p->leaves = pick(25) == 0 ? h->now + 1 + pick(100) : INT64_MAX;
    client_post(p->client, "/v1/chat/completions", p->headers, p->body);
    p->next = 0;
}

/* The call whose number is in the answer; NULL: none. */
static struct call *call_in(struct hour *h, const char *reply)
{
    for (const char *at = strchr(reply, 'c'); at != NULL; at = strchr(at + 1, 'c')) {
        int number = 0;
        int used = 0;
        if (sscanf(at, "c%d.%n", &number, &used) == 1 && used > 0 && number < h->count) {
            return h->calls[number];
        }
    }
    return NULL;
}

static enum outcome outcome_of(const char *reply)
{
    static const struct {
        const char *part;
        enum outcome outcome;
    } rows[] = {
        {"hit; detail=type-through", OUTCOME_TYPE_THROUGH},
        {"hit; ttl=-", OUTCOME_STALE},
        {"lull; hit; ", OUTCOME_HIT},
        {"fwd=miss; collapsed", OUTCOME_COLLAPSED},
        {"fwd=miss", OUTCOME_MISS},
        {"detail=regenerate", OUTCOME_MISS},
        {"detail=superseded", OUTCOME_SUPERSEDED},
        {"detail=busy", OUTCOME_BUSY},
        {"detail=sent", OUTCOME_SENT},
        {"detail=obsolete", OUTCOME_OBSOLETE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strstr(reply, rows[i].part) != NULL) {
            return rows[i].outcome;
        }
    }
    fail_msg("no outcome in: %s", reply);
    return OUTCOME_MISS;
}

/* What was held back is what passed while no call of its own ran, less the run of the call that
 * answered it. */
static usec_t held_of(const struct person *p, const struct call *by)
{
    if (by == NULL || strcmp(by->body, "") == 0) {
        return p->held;
    }
    usec_t since = of_steps(p->since);
    usec_t before = by->begun > since ? by->begun - since : 0;
    return before < p->held ? before : p->held;
}

static void count(struct hour *h, struct person *p, const char *reply)
{
    struct reference *r = &h->want[p->kind];
    enum outcome outcome = reply == NULL ? OUTCOME_ABANDONED : outcome_of(reply);
    struct call *by = reply == NULL ? NULL : call_in(h, reply);
    r->requests++;
    r->outcomes[outcome]++;
    bool own = outcome == OUTCOME_MISS || outcome == OUTCOME_COLLAPSED;
    bool saved = outcome == OUTCOME_HIT || outcome == OUTCOME_STALE ||
                 outcome == OUTCOME_TYPE_THROUGH || (outcome == OUTCOME_COLLAPSED && by != NULL);
    if (saved) {
        assert_non_null(by);
        r->saved += by->spent;
    }
    if (own && by != NULL) {
        by->used = true;
    }
    bool held = (outcome != OUTCOME_HIT || p->held > 0) && outcome != OUTCOME_TYPE_THROUGH;
    r->waited += held ? held_of(p, outcome == OUTCOME_COLLAPSED ? by : NULL) : 0;
    if (reply != NULL && of_steps(h->now) >= h->recent) {
        require(r->latency_count < LATENCIES);
        r->latencies[r->latency_count++] = of_steps(h->now - p->since);
    }
    if (p->kind == AUTOCOMPLETE && reply != NULL && strstr(reply, "\\\"text\\\": \\\"") != NULL) {
        const char *text = strstr(reply, "\\\"text\\\": \\\"") + strlen("\\\"text\\\": \\\"");
        size_t len = strcspn(text, "\\");
        len = len < 40 ? 0 : len; /* what is left of it still has a number in it */
        snprintf(p->suggestion, sizeof p->suggestion, "%.*s", (int)len, text);
    }
}

static bool is_over(struct person *p, const char *reply)
{
    size_t len = strlen(reply);
    return p->kind == CHAT ? len > 5 && strcmp(reply + len - 5, "0\r\n\r\n") == 0
                           : client_answered(p->client);
}

static void done(struct hour *h, struct person *p)
{
    p->waits = false;
    p->next = h->now + 1 + (p->kind == AUTOCOMPLETE ? 20 + pick(90) : 50 + pick(400));
}

/* Whether a call of this request's own runs. */
static bool is_called(const struct hour *h, const struct person *p)
{
    const char *prompt = strstr(p->body, "### Task");
    const char *end = prompt == NULL ? NULL : strstr(prompt, "\"}]");
    size_t len = end == NULL ? 0 : (size_t)(end - prompt);
    for (int i = h->count - 1; i >= 0 && i >= h->count - 40; i--) {
        const struct call *c = h->calls[i];
        const char *other = strstr(c->body, "### Task");
        if (!c->over && other != NULL && len > 0 && strncmp(prompt, other, len) == 0 &&
            strstr(c->headers, p->user) != NULL) {
            return true;
        }
    }
    return false;
}

static void look(struct hour *h, struct person *p)
{
    if (!p->waits) {
        if (h->now >= p->next && h->now * GRID_MS < (SECONDS - 120) * 1000) {
            arrive(h, p);
        } else {
            return;
        }
    }
    const char *reply = client_reply(p->client);
    if (is_over(p, reply)) {
        if (p->kind != CHAT) {
            count(h, p, reply);
        }
        done(h, p);
    } else if (h->now >= p->leaves) {
        client_close(p->client);
        p->client = NULL;
        if (p->kind != CHAT) {
            count(h, p, NULL);
        }
        done(h, p);
    } else if (!is_called(h, p)) {
        p->held += of_steps(1);
    }
}

/* ---- the comparison ---- */

static void assert_near(const char *kind, const char *what, int64_t have, int64_t want)
{
    int64_t off = have > want ? have - want : want - have;
    if (off * 100 > want * 2 && off > of_steps(3)) { /* clients are looked at once a step */
        fail_msg("%s %s: %.3f s, counted from outside %.3f s", kind, what, (double)have / 1e6,
                 (double)want / 1e6);
    }
}

static int by_size(const void *a, const void *b)
{
    const usec_t *x = a;
    const usec_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void compare_percentiles(const struct hour *h, int kind, const struct task_figures *have)
{
    static const unsigned percents[] = {50, 90, 99};
    struct reference r = h->want[kind];
    qsort(r.latencies, r.latency_count, sizeof r.latencies[0], by_size);
    for (size_t i = 0; r.latency_count > 0 && i < 3; i++) {
        size_t rank = (r.latency_count * percents[i] + 99) / 100;
        assert_near(
            KINDS[kind], "percentile",
            figure_times_percentile(&have->latency, loop_now(world_loop(h->world)), percents[i]),
            r.latencies[rank - 1]);
    }
}

static void compare(struct hour *h)
{
    for (int i = 0; i < h->count; i++) {
        const struct call *c = h->calls[i];
        if (c->kind != CHAT) {
            h->want[c->kind].spent += c->spent;
            h->want[c->kind].wasted += c->used ? 0 : c->spent;
        }
    }
    for (int kind = 0; kind < KINDS_COUNT; kind++) {
        const struct task_figures *have = world_task(h->world, KINDS[kind]);
        const struct reference *want = &h->want[kind];
        assert_int_equal(have->requests, want->requests);
        assert_int_equal(have->upstream_calls, want->calls);
        for (int o = 0; o < OUTCOME_COUNT; o++) {
            if (have->outcomes[o] != want->outcomes[o]) {
                fail_msg("%s %s: %d, counted from outside %d", KINDS[kind],
                         outcome_name((enum outcome)o), (int)have->outcomes[o],
                         (int)want->outcomes[o]);
            }
        }
        assert_near(KINDS[kind], "upstream_s", have->upstream_us, want->spent);
        assert_near(KINDS[kind], "saved_s", have->saved_us, want->saved);
        assert_near(KINDS[kind], "wasted_s", have->wasted_us, want->wasted);
        assert_near(KINDS[kind], "wait_s", have->wait_us, want->waited);
        compare_percentiles(h, kind, have);
    }
    const struct upstream_figures *up = world_figures(h->world)->upstreams[0];
    assert_int_equal(up->calls, h->count);
    assert_int_equal(up->finished, h->finished);
    assert_int_equal(up->failed, h->failed);
    assert_int_equal(up->aborted, h->aborted);
}

/* The hour has something of all that is compared. */
static void assert_much_happened(const struct hour *h)
{
    static const enum outcome seen[] = {OUTCOME_HIT,      OUTCOME_TYPE_THROUGH, OUTCOME_COLLAPSED,
                                        OUTCOME_MISS,     OUTCOME_SUPERSEDED,   OUTCOME_BUSY,
                                        OUTCOME_ABANDONED};
    for (size_t o = 0; o < sizeof seen / sizeof seen[0]; o++) {
        uint64_t sum = 0;
        for (int kind = 0; kind < KINDS_COUNT; kind++) {
            sum += h->want[kind].outcomes[seen[o]];
        }
        if (sum == 0) {
            fail_msg("only %d %s", (int)sum, outcome_name(seen[o]));
        }
    }
    for (int kind = 0; kind < KINDS_COUNT; kind++) {
        assert_true(h->want[kind].spent > 0 && h->want[kind].waited >= 0);
    }
    assert_true(h->want[TITLE].wasted > 0 && h->want[TITLE].waited > 0);
    assert_true(h->want[AUTOCOMPLETE].latency_count > 20);
    assert_true(h->finished > 100 && h->failed > 5 && h->aborted > 5);
    assert_true(world_task(h->world, "title")->preempted > 0);
}

static void the_figures_of_an_hour_are_what_was_seen_from_outside(void **state)
{
    (void)state;
    const char *sets[] = {"task.autocomplete.debounce=200ms", "upstream.default.slots=5",
                          "upstream.default.breaker_failures=1000",
                          "task.autocomplete.max_expected=0", NULL};
    struct hour *h = mem_new(sizeof *h);
    h->world = world_begin(sets);
    random_state = 2;
    struct model_script script = {.began = on_began, .aborted = on_aborted, .ctx = h};
    world_script(h->world, &script);
    h->zero = loop_now(world_loop(h->world)).us;
    usec_t slice = 30 * USEC_PER_S; /* the last ten half minutes, the one under way included */
    h->recent = ((h->zero + SECONDS * USEC_PER_S) / slice - 9) * slice - h->zero;
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(h->people[i].user, sizeof h->people[i].user, "User-Id: u%d\n", i / 2);
        snprintf(h->people[i].headers, sizeof h->people[i].headers, "X-OpenWebUI-User-Id: u%d\r\n",
                 i / 2); /* two tabs each */
    }
    for (h->now = 0; h->now * GRID_MS < SECONDS * 1000;) {
        for (int i = 0; i < PEOPLE; i++) {
            look(h, &h->people[i]);
        }
        int64_t then = h->now + 1;
        world_pass(h->world, of_steps(1));
        h->now = then;
    }
    compare(h);
    assert_much_happened(h);
    world_script(h->world, NULL);
    for (int i = 0; i < h->count; i++) {
        loop_timer_destroy(h->calls[i]->timer);
    }
    world_end(h->world);
    for (int i = 0; i < h->count; i++) {
        free(h->calls[i]->body);
        free(h->calls[i]->headers);
        free(h->calls[i]);
    }
    for (int i = 0; i < PEOPLE; i++) {
        free(h->people[i].body);
    }
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_figures_of_an_hour_are_what_was_seen_from_outside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
