/* test_random.c: random interleavings of arrive, leave, finish, fail, supersede, reload and time,
 * from fixed seeds: every accepted request gets exactly one answer, nothing is called after its
 * end, and the equations of the figures hold (world_end).
 */
#include "scenario/scenario.h"

enum { CLIENTS = 12, STEPS = 300, SEEDS = 40 };

struct person {
    struct client *client;
    size_t sent, answered;
    bool waiting;
};

static uint64_t state_of_random;

static unsigned pick(unsigned n)
{
    state_of_random = state_of_random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(state_of_random >> 33) % n;
}

static size_t count_replies(const char *text)
{
    size_t n = 0;
    for (const char *at = strstr(text, "HTTP/1.1 "); at != NULL; at = strstr(at + 9, "HTTP/1.1 ")) {
        n++;
    }
    return n;
}

static void look(struct person *p)
{
    if (p->client == NULL) {
        return;
    }
    p->answered = count_replies(client_reply(p->client));
    assert_true(p->answered <= p->sent);
    p->waiting = p->answered < p->sent;
}

static void arrive(struct world *w, struct person *p)
{
    static const char *const texts[] = {"How do I write a daemon", "How do I write a daemon in C",
                                        "How do I write a daemon in C with libevent",
                                        "What is the best way to cook rice"};
    static const char *const controls[] = {
        "", "", "", "", "Cache-Control: no-cache\r\n", "Cache-Control: no-store\r\n"};
    if (p->client == NULL) {
        p->client = client_open(w);
        p->sent = 0;
    }
    look(p);
    if (p->waiting) {
        return;
    }
    const char *path = pick(2) == 0 ? "/v1/chat/completions" : "/api/chat";
    const char *text = texts[pick(4)];
    const char *body =
        pick(3) == 0 ? ask_title(text, pick(2) == 0 ? "" : "Well.") : ask_autocomplete(text);
    p->sent++;
    client_post(p->client, path, controls[pick(6)], body);
}

static void leave(struct person *p)
{
    if (p->client != NULL) {
        client_close(p->client);
        *p = (struct person){0};
    }
}

/* Something happens to one of the calls that are open. */
static void model_moves(struct world *w)
{
    static const char *const answers[] = {"{\"title\": \"A title\"}", "{\"text\": \" and so on\"}",
                                          "{\"text\": \"\"}", "prose"};
    for (unsigned tries = 0; tries < 8 && model_calls(w) > 0; tries++) {
        struct upstream_call *call = model_call(w, pick((unsigned)model_calls(w)));
        if (!model_open(call)) {
            continue;
        }
        switch (pick(8)) {
        case 0:
            model_break(call, pick(2) == 0);
            return;
        case 1:
            model_head(call, 500, "application/json");
            model_data(call, "{\"error\":{\"message\":\"broken\"}}");
            model_end(call);
            return;
        case 2:
            model_head(call, 400, "application/json");
            model_data(call, "{\"error\":\"no\"}");
            model_end(call);
            return;
        default:
            model_answer(call, answers[pick(4)]);
            return;
        }
    }
}

static void run(uint64_t seed)
{
    static const char *const windows[] = {"task.autocomplete.debounce=off",
                                          "task.autocomplete.debounce=auto",
                                          "task.autocomplete.debounce=300ms"};
    state_of_random = seed * 7919 + 17;
    const char *sets[] = {windows[pick(3)], "upstream.default.first_byte_timeout=20s", NULL};
    struct world *w = world_begin(sets);
    struct person people[CLIENTS] = {0};
    for (int i = 0; i < STEPS; i++) {
        switch (pick(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
            arrive(w, &people[pick(CLIENTS)]);
            break;
        case 4:
            leave(&people[pick(CLIENTS)]);
            break;
        case 5:
        case 6:
            model_moves(w);
            break;
        case 7:
            sets[0] = windows[pick(3)];
            world_reload(w, sets);
            break;
        default:
            world_pass(w, (usec_t)pick(700) * USEC_PER_MS);
            break;
        }
    }
    world_pass(w, 60 * USEC_PER_S); /* whoever still waits gets 504 */
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
