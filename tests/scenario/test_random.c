/* test_random.c: random interleavings of arrive, leave, stream, finish, fail, refuse, fall back,
 * supersede, join, send, purge, reload (also to observe and back) and time, from fixed seeds: every accepted request gets
 * exactly one answer, nothing is called after its end, and the equations of the figures hold
 * (world_end).
 */
#include "scenario/scenario.h"
#include "support/random.h"

enum { CLIENTS = 12, STEPS = 300, SEEDS = 60 };

struct person {
    struct client *client;
    size_t sent, answered;
    bool waiting;
};

static size_t count_replies(const char *text)
{
    size_t n = 0;
    for (const char *at = strstr(text, "HTTP/1.1 "); at != NULL; at = strstr(at + 9, "HTTP/1.1 ")) {
        n++;
    }
    return n;
}

/* Whether the last reply is a stream that has not ended. */
static bool is_streaming(struct client *c)
{
    const char *last = NULL;
    const char *reply = client_reply(c);
    for (const char *at = reply; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++) {
        last = at;
    }
    size_t len = last == NULL ? 0 : strlen(last);
    return len > 0 && strstr(last, "Transfer-Encoding: chunked") != NULL && !client_closed(c) &&
           strcmp(last + len - 5, "0\r\n\r\n") != 0;
}

static void look(struct person *p)
{
    if (p->client == NULL) {
        return;
    }
    p->answered = count_replies(client_reply(p->client));
    assert_true(p->answered <= p->sent);
    p->waiting = p->answered < p->sent || is_streaming(p->client);
}

static void leave(struct person *p)
{
    if (p->client != NULL) {
        client_close(p->client);
        *p = (struct person){0};
    }
}

static const char sentence[] = "How do I write a daemon in C with libevent and so on";

/* A task, or now and then a chat that sends what was typed. */
static const char *body_of(char *chat, size_t size)
{
    char text[64];
    /* often one key more or less than another client's text */
    size_t len = pick(4) == 0 ? pick(sizeof sentence) : 22 + pick(10);
    snprintf(text, sizeof text, "%.*s", (int)len, sentence);
    switch (pick(8)) {
    case 0:
        if (pick(2) == 0) {
            const char *turns[] = {"x", "How do I write a daemon?", text, NULL};
            snprintf(chat, size, "%s", ask_chat(turns));
            return chat;
        }
        snprintf(chat, size,
                 "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                 "\"%s\"}]}",
                 text);
        return chat;
    case 1:
    case 2:
        return ask_title(text, pick(2) == 0 ? "" : "Well.");
    case 3:
        return pick(2) == 0 ? ask_query(text) : ask_follow_up("x", "How do I write a daemon?");
    default:
        return ask_autocomplete(text);
    }
}

static void arrive(struct world *w, struct person *p)
{
    static const char *const controls[] = {"",
                                           "",
                                           "X-OpenWebUI-User-Id: ann\r\n",
                                           "X-OpenWebUI-User-Id: ann\r\n",
                                           "X-OpenWebUI-User-Id: bob\r\n",
                                           "X-OpenWebUI-User-Id: ann\r\nX-OpenWebUI-Chat-Id: c\r\n",
                                           "Cache-Control: no-cache\r\n",
                                           "Cache-Control: no-store\r\n"};
    char chat[512];
    if (p->client != NULL && client_closed(p->client)) {
        look(p); /* a reply that broke in its middle: the connection ends with it */
        assert_false(p->waiting);
        leave(p);
    }
    if (p->client == NULL) {
        p->client = client_open(w);
        p->sent = 0;
    }
    look(p);
    if (p->waiting) {
        return;
    }
    const char *path = pick(4) != 0 ? "/v1/chat/completions" : "/api/chat";
    p->sent++;
    client_post(p->client, path, controls[pick(8)], body_of(chat, sizeof chat));
}

/* A piece of an answer, or the beginning of one: suggestions that fit, or that stop to. */
static void stream_a_piece(struct upstream_call *call)
{
    static const char *const pieces[] = {"{\\\"text\\\": \\\"", " in C", "n C w", "x", "\\\"}"};
    char line[256];
    if (strstr(model_body(call), "\"stream\":true") == NULL ||
        strstr(model_target(call), "/v1/") == NULL) {
        return;
    }
    if (!model_has_head(call)) {
        model_head(call, 200, "text/event-stream");
    }
    snprintf(line, sizeof line,
             "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\n",
             pieces[pick(5)]);
    model_data(call, line);
}

/* An error of the server's, as a whole answer. */
static void refuse(struct upstream_call *call)
{
    static const int statuses[] = {400, 404, 429, 429, 500, 503, 401};
    static const char *const lines[] = {"", "Retry-After: 1\r\n", "Retry-After: 7\r\n",
                                        "Retry-After: 3600\r\n",
                                        "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"};
    static const char *const bodies[] = {"{\"error\":{\"message\":\"broken\"}}",
                                         "{\"error\":\"no\"}", "<html>"};
    if (!model_has_head(call)) {
        model_refuse(call, statuses[pick(7)], lines[pick(5)], bodies[pick(3)]);
    }
}

/* Something happens to one of the calls that are open. */
static void model_moves(struct world *w)
{
    static const char *const answers[] = {"{\"title\": \"A title\"}",
                                          "{\"text\": \" and so on\"}",
                                          "{\"text\": \"n C with libevent and\"}",
                                          "{\"text\": \" in C with libevent and\"}",
                                          "{\"text\": \"\"}",
                                          "<think>{</think>{\"title\": \"B\"}",
                                          "{\"queries\": [\"a\"], \"follow_ups\": [\"b\"]}",
                                          "prose"};
    for (unsigned tries = 0; tries < 8 && model_calls(w) > 0; tries++) {
        struct upstream_call *call = model_call(w, pick((unsigned)model_calls(w)));
        if (!model_open(call)) {
            continue;
        }
        switch (pick(9)) {
        case 3:
            stream_a_piece(call);
            return;
        case 0:
            model_break(call, pick(2) == 0);
            return;
        case 1:
        case 2:
            refuse(call);
            return;
        default:
            model_answer(call, answers[pick(8)]);
            return;
        }
    }
}

/* Ends what is open: nothing times a chat out. What waits for its turn begins on the way. */
static void model_ends_all(struct world *w)
{
    for (int quiet = 0; quiet < 3; quiet++) {
        for (size_t i = 0; i < model_calls(w); i++) {
            if (model_open(model_call(w, i))) {
                model_break(model_call(w, i), false);
                quiet = -1;
            }
        }
        world_pass(w, 70 * USEC_PER_S);
    }
}

static void step(struct world *w, struct person *people, const char **sets)
{
    static const char *const windows[] = {
        "task.autocomplete.debounce=off", "task.autocomplete.debounce=auto",
        "task.autocomplete.debounce=auto", "task.autocomplete.debounce=300ms"};
    static const char *const deadlines[] = {"task.autocomplete.deadline=off",
                                            "task.autocomplete.deadline=auto",
                                            "task.autocomplete.deadline=500ms"};
    static const char *const slots[] = {"upstream.default.slots=auto", "upstream.default.slots=2",
                                        "upstream.default.slots=6", "upstream.default.slots=0"};
    static const char *const fallbacks[] = {"tasks.fallback=", "tasks.fallback=other",
                                            "tasks.fallback=other"};
    static const char *const dialects[] = {"upstream.other.dialect=auto",
                                           "upstream.other.dialect=ollama",
                                           "upstream.other.dialect=openai"};
    static const char *const ways[] = {"tasks.upstream=", "tasks.upstream=other",
                                       "tasks.upstream=", "tasks.stale_if_error=1h"};
    switch (pick(21)) {
    case 0:
        sets[0] = windows[pick(4)];
        sets[1] = deadlines[pick(3)];
        sets[4] = slots[pick(4)];
        sets[6] = fallbacks[pick(3)];
        sets[7] = dialects[pick(3)];
        sets[8] = ways[pick(4)];
        sets[9] = pick(4) == 0 ? "tasks.mode=observe" : "tasks.mode=on";
        sets[2] = pick(4) == 0 ? "cache.type_through=no" : "cache.type_through_entries=3";
        world_reload(w, sets);
        break;
    case 1:
        cache_purge(world_cache(w), &(struct cache_filter){.kind = SPAN_NONE}, NULL, NULL);
        break;
    case 2:
    case 3:
        leave(&people[pick(CLIENTS)]);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        model_moves(w);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        world_pass(w, (usec_t)pick(pick(2) == 0 ? 700 : 90) * USEC_PER_MS);
        break;
    default:
        arrive(w, &people[pick(CLIENTS)]);
        break;
    }
}

static void run(uint64_t seed)
{
    random_state = seed * 7919 + 17;
    const char *sets[] = {"task.autocomplete.debounce=auto",
                          "task.autocomplete.deadline=off",
                          "cache.type_through_entries=3",
                          "upstream.default.first_byte_timeout=20s",
                          "upstream.default.slots=auto",
                          "upstream.other.url=http://other.test",
                          "tasks.fallback=other",
                          "upstream.other.dialect=auto",
                          "tasks.stale_if_error=1h",
                          "tasks.mode=on",
                          NULL};
    struct world *w = world_begin(sets);
    struct person people[CLIENTS] = {0};
    for (int i = 0; i < STEPS; i++) {
        step(w, people, sets);
    }
    model_ends_all(w);
    for (size_t i = 0; i < CLIENTS; i++) {
        look(&people[i]);
        if (people[i].waiting) {
            fail_msg("seed %llu: client %zu sent %zu, got %zu", (unsigned long long)seed, i,
                     people[i].sent, people[i].answered);
        }
    }
    world_end(w);
}

static void every_request_is_answered_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_request_is_answered_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
