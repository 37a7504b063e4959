/* test_reload.c: a reload from one configuration to another behaves as a start with that other one: the same
 * requests, in the same order and at the same times, get the same replies and make the same calls. Random
 * configurations, from fixed seeds.
 *
 * What is kept is left out: what was learnt of a server whose url stays (the urls change where the first
 * configuration had traffic), figures, and what the cache holds (other texts are asked).
 */
#include "scenario/scenario.h"
#include "support/random.h"

#include "lull/config/config.h"
#include "lull/config/options.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/exchange/explain.h"

#include <stdlib.h>

enum { SETS = 110, SET_SIZE = 160, SEEDS = 60, STEPS = 40 };

/* ---- configurations ---- */

struct lines {
    char text[SETS][SET_SIZE];
    const char *items[SETS + 1];
    size_t count;
};

static bool is_good(const struct lines *all)
{
    struct buf errors = {.max = 65536}, warnings = {.max = 65536};
    char *first[] = {(char *)(uintptr_t) "server.listen=unix:/tmp/lull-no-such/port",
                     (char *)(uintptr_t) "server.data_dir=/tmp/lull-no-such",
                     (char *)(uintptr_t) "server.control=/tmp/lull-no-such/control"};
    char *items[SETS + 3];
    memcpy(items, first, sizeof first);
    memcpy(items + 3, all->items, all->count * sizeof *items);
    struct config_sources sources = {.sets = {items, all->count + 3}};
    struct config *c = config_read(&sources, &errors, &warnings);
    bool good = c != NULL;
    config_destroy(c);
    buf_free(&errors);
    buf_free(&warnings);
    return good;
}

/* Leaves it out where it is not valid beside the others. */
static void add(struct lines *all, const char *section, const char *key, const char *value)
{
    if (all->count < SETS) {
        snprintf(all->text[all->count], SET_SIZE, "%s.%s=%s", section, key, value);
        all->items[all->count] = all->text[all->count];
        all->count++;
        all->count -= is_good(all) ? 0 : 1;
        all->items[all->count] = NULL;
    }
}

static int64_t number(const struct option *o)
{
    static const int64_t few[] = {0, 1, 2, 5, 20};
    int64_t n = o->min + few[pick(5)];
    return n <= o->max ? n : o->max;
}

/* Mostly short ones, so that what they bound happens. */
static int64_t duration(const struct option *o)
{
    static const int64_t ms[] = {0, 1, 20, 300, 1000, 2500, 9000, 60000};
    int64_t us = ms[pick(8)] * USEC_PER_MS;
    return us < o->min ? o->min : us > o->max ? o->max : us;
}

/* Of some types, words that are valid in each key; an empty one ends them. */
static const struct {
    enum option_type type;
    const char *words[6];
} drawn[] = {
    {TYPE_BOOL, {"yes", "no"}},
    {TYPE_CLASS, {"background", "foreground", "completion"}},
    {TYPE_DECIMAL, {"0.5", "1", "0"}},
    {TYPE_DIALECT, {"auto", "openai", "ollama"}},
    {TYPE_DURABILITY, {"group", "os"}},
    {TYPE_HEADER, {"X-One", "X-Two", "-", "X-OpenWebUI-Task"}},
    {TYPE_HEADERS, {"X-Priority: 1", "X-Priority: 2; X-Batch: yes"}},
    {TYPE_HOSTS, {"one.test", "one.test two.test"}},
    {TYPE_JSON, {"{\"seed\":1}", "{\"seed\":2,\"stop\":null}"}},
    {TYPE_KEEP_ALIVE, {"match", "as-asked", "30m", "0", "-1"}},
    {TYPE_NUM_CTX, {"match", "as-asked", "8192"}},
    {TYPE_OBSOLETE, {"empty", "keep"}},
    {TYPE_PREFIX, {"auto", "chat", "as-asked"}},
    {TYPE_PRICE, {"0.5", "2"}},
    {TYPE_PROXY, {"http://127.0.0.1:3128"}},
    {TYPE_REWARM, {"off", "on", "auto"}},
    {TYPE_SCOPE, {"auto", "user", "auth", "shared"}},
    {TYPE_SECRET, {"key-one", "key-two"}},
    {TYPE_SHAPE, {"text", "json", "title:string"}},
    {TYPE_SLOTS, {"auto", "0", "1", "2", "6"}},
    {TYPE_TASKS_MODE, {"on", "on", "observe", "off"}},
    {TYPE_THINK, {"auto", "off", "on", "as-asked"}},
    {TYPE_WINDOW, {"off", "auto", "90ms", "2s"}},
    {TYPE_YIELD, {"auto", "always", "when_full", "never"}},
};

static const char *one_of(const char *const words[6])
{
    unsigned count = 0;
    while (count < 6 && words[count] != NULL) {
        count++;
    }
    return words[pick(count)];
}

/* NULL: this option is of no interest here. */
static const char *word_of(const struct option *o)
{
    static const char *const upstreams[6] = {"default", "other", "third"};
    static const char *const machines[6] = {"localhost", "rack", "desk"};
    static const char *const texts[6] = {"small", "m", "none"};
    for (size_t i = 0; i < sizeof drawn / sizeof drawn[0]; i++) {
        if (drawn[i].type == o->type) {
            return one_of(drawn[i].words);
        }
    }
    if (o->type != TYPE_TEXT || strstr(o->key, "match") != NULL) {
        return NULL;
    }
    return one_of(strstr(o->key, "upstream") != NULL || strcmp(o->key, "fallback") == 0 ? upstreams
                  : strcmp(o->key, "machine") == 0                                      ? machines
                                                                                        : texts);
}

static bool draw_value(const struct option *o, char *out, size_t size)
{
    bool counted = o->type == TYPE_INT || o->type == TYPE_SIZE || o->type == TYPE_MAYBE;
    if (counted) {
        snprintf(out, size, "%lld", (long long)number(o));
        return true;
    }
    if (o->type == TYPE_DURATION) {
        snprintf(out, size, "%lldus", (long long)duration(o));
        return true;
    }
    const char *word = word_of(o);
    snprintf(out, size, "%s", word == NULL ? "" : word);
    return word != NULL;
}

static void add_some(struct lines *all, enum section in, const char *name, unsigned share)
{
    char value[SET_SIZE / 2];
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        /* with few connections, requests from before the reload come after it */
        bool wanted = section_has(in, o) && !o->absent && o->reload && pick(share) == 0 &&
                      strcmp(o->key, "max_connections") != 0;
        if (wanted && draw_value(o, value, sizeof value)) {
            add(all, name, o->key, value);
        }
    }
}

/* generation: of the urls. */
static void draw(struct lines *all, unsigned generation)
{
    static const char *const names[] = {"default", "other", "third"};
    static const char *const kinds[] = {"title", "follow_up", "autocomplete", "query", "tags"};
    char name[64], url[64];
    all->count = 0;
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "upstream.%s", names[i]);
        snprintf(url, sizeof url, "http%s://%s-%u.test", i == 2 && pick(2) == 0 ? "s" : "",
                 names[i], generation);
        add(all, name, "url", url);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "upstream.%s", names[i]);
        add_some(all, SECTION_UPSTREAM, name, 6);
    }
    for (unsigned i = pick(3); i < 2; i++) { /* own ones, in one order or the other */
        const char *own = pick(2) == 0 ? "alpha" : "beta";
        snprintf(name, sizeof name, "task.%s", own);
        add(all, name, "match",
            strcmp(own, "alpha") == 0 ? "Summarise this text" : "Translate this text");
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        snprintf(name, sizeof name, "task.%s", kinds[i]);
        add_some(all, SECTION_TASK, name, 14);
    }
    add_some(all, SECTION_TASKS, "tasks", 7);
    add_some(all, SECTION_SERVER, "server", 8);
    add_some(all, SECTION_CACHE, "cache", 4);
}

/* ---- what is seen of a daemon ---- */

struct play {
    struct world *world;
    struct buf *seen;
    mono_t began;
    size_t calls; /* that were written down */
    size_t looked;
    struct client *clients[STEPS];
    size_t client_count;
    unsigned people; /* of which group */
};

static bool is_private(struct span line)
{
    return span_starts(line, SPAN("Via:")) || span_starts(line, SPAN("Age:"));
}

/* Calls that began since, each with its time. */
static void look(struct play *p)
{
    cache_flush(world_cache(p->world)); /* when it writes is not decided by virtual time */
    for (; p->calls < model_calls(p->world); p->calls++) {
        struct upstream_call *call = model_call(p->world, p->calls);
        buf_text(p->seen, "%lld call %s %s\n",
                 (long long)mono_diff(loop_now(world_loop(p->world)), p->began),
                 model_upstream(call), model_target(call));
        struct span rest = span_of(model_headers(call));
        for (struct span line; span_next(&rest, '\n', &line);) {
            if (!is_private(line)) {
                buf_text(p->seen, "  %.*s\n", (int)line.len, line.ptr);
            }
        }
        buf_text(p->seen, "  %s\n", model_body(call));
    }
}

/* In steps, so that each call is written down with its time. */
static void pass(struct play *p, usec_t us)
{
    enum { PIECES = 8 };
    for (int i = 0; i < PIECES; i++) {
        world_pass(p->world, us / PIECES);
        look(p);
    }
}

static const char *text_of(unsigned group, unsigned n)
{
    static char text[64];
    snprintf(text, sizeof text, "How do I write daemon %u of %u in C", n, group);
    return text;
}

static const char *own_task(const char *begin, const char *text)
{
    static char body[512];
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%s: %s\"}]}", begin,
             text);
    return body;
}

static const char *draw_body(unsigned group)
{
    const char *turns[] = {text_of(group, pick(3)), NULL};
    switch (pick(8)) {
    case 0:
    case 1:
        return ask_chat(turns);
    case 2:
        return ask_title(turns[0], pick(2) == 0 ? "" : "Well.");
    case 3:
        return ask_follow_up(turns[0], "Well.");
    case 4:
        return ask_query(turns[0]);
    case 5:
        return own_task("Summarise this text", turns[0]);
    case 6:
        return own_task("Translate this text", turns[0]);
    default:
        return ask_autocomplete(turns[0]);
    }
}

/* Other names in each group. */
static void draw_headers(unsigned group, char *out, size_t size)
{
    static const char *const others[] = {"", "X-OpenWebUI-Task: title_generation\r\n",
                                         "X-One: tags_generation\r\n",
                                         "Origin: http://one.test\r\n"};
    snprintf(out, size, "X-OpenWebUI-User-Id: u%u-%u\r\nX-Two: v%u-%u\r\n%s%s", group, pick(2),
             group, pick(2), others[pick(4)],
             pick(4) != 0 ? ""
             : group == 0 ? "Authorization: Bearer key-two\r\n"
                          : "Authorization: Bearer key-one\r\n");
}

static const char *draw_path(void)
{
    static const char *const paths[] = {"/v1/chat/completions", "/v1/chat/completions",
                                        "/@other/v1/chat/completions",
                                        "/@third/v1/chat/completions"};
    return paths[pick(4)];
}

static void explain(struct play *p, const char *path, const char *headers, const char *body)
{
    struct http_header list[8];
    struct span rest = span_of(headers);
    struct explain_request in = {.path = span_of(path), .query = SPAN(""), .headers = list};
    struct explanation e;
    for (struct span line; span_next(&rest, '\n', &line) && line.len > 1;) {
        size_t colon = span_find(line, SPAN(": "), 0);
        list[in.header_count].name = span_make(line.ptr, colon);
        list[in.header_count++].value = span_make(line.ptr + colon + 2, line.len - colon - 3);
    }
    in.body = span_of(body);
    engine_explain(world_engine(p->world), &in, &e);
    buf_text(p->seen, "explain %s %s %s %s %s %s %s %s %lld %s %d %d %d %d %d %zu\n",
             e.refused == NULL ? "" : e.refused, e.cls, e.why, e.kind, e.upstream, e.model,
             strcmp(e.decision, "pending") == 0 ? "hit" : e.decision,
             e.detail == NULL ? "" : e.detail, (long long)e.window, e.waits, (int)e.may_prefix,
             (int)e.prefix_not, (int)e.joins, (int)e.follows, (int)e.endpoint,
             strlen(e.fingerprint));
}

static void ask(struct play *p)
{
    char headers[256];
    char *body = mem_strdup(draw_body(p->people));
    const char *path = draw_path();
    draw_headers(p->people, headers, sizeof headers);
    explain(p, path, headers, body);
    struct client *c = client_open(p->world);
    p->clients[p->client_count++] = c;
    client_post(c, path, headers, body);
    free(body);
}

static void answer(struct play *p, size_t i)
{
    struct upstream_call *call = model_call(p->world, i);
    if (!model_open(call)) {
        return;
    }
    switch (pick(6)) {
    case 0:
        model_break(call, false);
        break;
    case 1:
        model_refuse(call, 429, "Retry-After: 3\r\n", "{}");
        break;
    default:
        model_answer(call,
                     "{\"title\": \"A daemon\", \"follow_ups\": [\"Why?\"], \"queries\": []}");
    }
}

static void answer_some(struct play *p)
{
    for (size_t i = p->looked; i < model_calls(p->world); i++) {
        if (pick(3) != 0) {
            answer(p, i);
        }
    }
}

static void end_all(struct play *p)
{
    for (int round = 0; round < 200; round++) {
        for (size_t i = p->looked; i < model_calls(p->world); i++) {
            if (model_open(model_call(p->world, i))) {
                model_answer(model_call(p->world, i), "{\"title\": \"A daemon\"}");
            }
        }
        p->looked = model_calls(p->world);
        pass(p, round < 20 ? USEC_PER_S : 10 * USEC_PER_S);
    }
}

/* Without what is another one each time. */
static void write_reply(struct play *p, const char *reply)
{
    struct span rest = span_of(reply);
    for (struct span line; span_next(&rest, '\n', &line);) {
        size_t id = span_find(line, SPAN("\"id\":\""), 0);
        if (id != SIZE_MAX) {
            size_t end = span_find(line, SPAN("\""), id + 6);
            buf_text(p->seen, "%.*s...%.*s\n", (int)id, line.ptr, (int)(line.len - end),
                     line.ptr + end);
        } else if (!is_private(line)) {
            buf_text(p->seen, "%.*s\n", (int)line.len, line.ptr);
        }
    }
}

/* The same for the same state of the sequence. */
static void play(struct world *w, unsigned people, struct buf *seen)
{
    struct play p = {.world = w, .seen = seen, .people = people};
    p.began = loop_now(world_loop(w));
    p.calls = p.looked = model_calls(w);
    for (int i = 0; i < STEPS; i++) {
        ask(&p);
        look(&p);
        if (pick(2) == 0) {
            pass(&p, (usec_t)pick(3000) * USEC_PER_MS);
        }
        answer_some(&p);
        look(&p);
    }
    end_all(&p);
    for (size_t i = 0; i < p.client_count; i++) {
        buf_text(seen, "client %zu\n", i);
        write_reply(&p, client_reply(p.clients[i]));
    }
    buf_text(seen, "end\n");
}

static void fail_at_difference(unsigned seed, const struct lines *a, const struct lines *b,
                               struct span one, struct span two)
{
    size_t at = 0, begin = 0;
    while (at < one.len && at < two.len && one.ptr[at] == two.ptr[at]) {
        at++;
    }
    for (size_t i = 0; i < at; i++) {
        begin = one.ptr[i] == 10 && i + 700 < at ? i : begin;
    }
    for (size_t i = 0; i < a->count; i++) {
        fprintf(stderr, "A %s\n", a->items[i]);
    }
    for (size_t i = 0; i < b->count; i++) {
        fprintf(stderr, "B %s\n", b->items[i]);
    }
    fprintf(stderr, "after the reload\n%.*s\n---- after a start\n%.*s\n",
            (int)(one.len - begin < 3000 ? one.len - begin : 3000), one.ptr + begin,
            (int)(two.len - begin < 3000 ? two.len - begin : 3000), two.ptr + begin);
    fail_msg("seed %u", seed);
}

/* busy: the first configuration has traffic, of which some is under way at the reload. */
static void compare(unsigned seed, bool busy)
{
    static struct lines a, b, c;
    struct buf reloaded = {.max = SIZE_MAX}, started = {.max = SIZE_MAX}, rest = {.max = SIZE_MAX};
    random_state = seed;
    draw(&a, 1);
    draw(&b, busy ? 2 : pick(2));
    draw(&c, 3);
    unsigned slots = pick(5);
    uint64_t sequence = random_state;
    struct world *w = world_begin(a.items);
    world_props(w, (int)slots);
    if (busy) {
        play(w, 0, &rest);
        struct play p = {
            .world = w, .seen = &rest, .calls = model_calls(w), .looked = model_calls(w)};
        for (int i = 0; i < 12; i++) {
            ask(&p);
            pass(&p, (usec_t)pick(500) * USEC_PER_MS);
        }
        if (pick(2) == 0) {
            world_reload(w, c.items);
            ask(&p);
        }
        world_reload(w, b.items);
        end_all(&p);
        for (size_t i = 0; i < p.client_count; i++) {
            assert_true(client_reply(p.clients[i])[0] != '\0');
        }
    } else {
        world_reload(w, c.items);
        world_reload(w, b.items);
    }
    usec_t passed = loop_now(world_loop(w)).us;
    random_state = sequence;
    play(w, 1, &reloaded);
    world_end(w);
    w = world_begin(b.items);
    world_props(w, (int)slots);
    world_pass(w, passed - loop_now(world_loop(w)).us);
    random_state = sequence;
    play(w, 1, &started);
    world_end(w);
    if (!span_eq(buf_span(&reloaded), buf_span(&started))) {
        fail_at_difference(seed, &a, &b, buf_span(&reloaded), buf_span(&started));
    }
    buf_free(&reloaded);
    buf_free(&started);
    buf_free(&rest);
}

static void compare_all(bool busy)
{
    const char *one = getenv("SEED"); /* only that one */
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        if (one == NULL || strtoul(one, NULL, 10) == seed) {
            compare(seed, busy);
        }
    }
}

static void a_reload_is_as_a_start(void **state)
{
    (void)state;
    compare_all(false);
}

static void nothing_of_other_servers_stays(void **state)
{
    (void)state;
    compare_all(true);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_is_as_a_start),
        cmocka_unit_test(nothing_of_other_servers_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
