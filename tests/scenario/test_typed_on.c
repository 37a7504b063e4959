/* test_typed_on.c: autocompletes in the form of an earlier one, which are answered without being read:
 * with what they would be answered with if they were read, and only where that is a remainder.
 */
#include "scenario/scenario.h"

#include "lull/path/json/json.h"

#include <unistd.h>

static const char *const FIXED[] = {"task.autocomplete.debounce=100ms", NULL};
static const char ANN[] = "X-OpenWebUI-User-Id: ann\r\n";
static const char BOB[] = "X-OpenWebUI-User-Id: bob\r\n";
static const char T1[] = "How do I write a small daemon";
static const char T2[] = "How do I write a small daemon in C";
static const char T3[] = "How do I write a small daemon in C with";
static const char SAID[] = "{\"text\": \" in C with libevent\"}";
static const char THROUGH[] = "Cache-Status: lull; hit; detail=type-through\r\n";

static struct client *complete(struct world *w, const char *headers, const char *text)
{
    return post(w, headers, ask_autocomplete(text));
}

/* Asks a first text, and lets the model answer it. */
static void suggest(struct world *w, const char *headers, const char *body, const char *answer)
{
    size_t calls = model_calls(w);
    (void)post(w, headers, body);
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), calls + 1);
    model_answer(model_call(w, calls), answer);
}

/* A world in which the form of T1 and T2 is kept. */
static struct world *world_with_form(const char *const *sets)
{
    struct world *w = world_begin(sets);
    suggest(w, ANN, ask_autocomplete(T1), SAID);
    assert_has(client_reply(complete(w, ANN, T2)), THROUGH);
    return w;
}

static void asserts_read(struct world *w, const char *headers, const char *body, bool read)
{
    uint64_t before = json_bytes_read();
    (void)post(w, headers, body);
    assert_int_equal(json_bytes_read() > before, read);
}

/* The body with one part of it in place of another. */
static const char *with(const char *body, const char *part, const char *other)
{
    static char out[16384];
    const char *at = strstr(body, part);
    assert_non_null(at);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - body), body, other, at + strlen(part));
    return out;
}

static void the_next_text_is_answered_without_reading_it(void **state)
{
    (void)state;
    struct world *w = world_with_form(FIXED);
    uint64_t before = json_bytes_read();
    struct client *c = complete(w, ANN, T3);
    assert_has(client_reply(c), THROUGH);
    assert_has(client_reply(c), "\"model\":\"m\"");
    assert_has(client_reply(c), "{\\\"text\\\": \\\" libevent\\\"}");
    assert_int_equal(json_bytes_read(), before);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_TYPE_THROUGH], 2);
    world_end(w);
}

static void what_differs_in_anything_else_is_read(void **state)
{
    (void)state;
    struct world *w = world_with_form(FIXED);
    asserts_read(w, BOB, ask_autocomplete(T3), true);
    asserts_read(w, "", ask_autocomplete(T3), true);
    asserts_read(w, "X-OpenWebUI-User-Id: ann\r\nAuthorization: Bearer k\r\n", ask_autocomplete(T3),
                 true);
    asserts_read(w, ANN, with(ask_autocomplete(T3), "given language", "given tongue"), true);
    asserts_read(w, ANN, with(ask_autocomplete(T3), "\"m\"", "\"n\""), true);
    asserts_read(w, ANN, with(ask_autocomplete(T3), "false}", "false }"), true);
    asserts_read(w, ANN, with(ask_autocomplete(T3), "false}", "true}"), true);
    world_end(w);
}

/* The suggestion has a backslash, the text a line end that JSON writes as one. */
static void what_has_escapes_is_read(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    suggest(w, ANN, ask_autocomplete(T1), "{\"text\": \" at C:\\\\new folder\"}");
    assert_has(client_reply(complete(w, ANN, "How do I write a small daemon at")), THROUGH);
    struct client *c = complete(w, ANN, "How do I write a small daemon at C:\new");
    assert_false(client_answered(c));
    client_close(c);
    world_end(w);
}

static void an_answer_of_its_own_goes_first(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    suggest(w, ANN, ask_autocomplete(T3), "{\"text\": \" my own\"}");
    suggest(w, ANN, ask_autocomplete("Why"), "{\"text\": \" not\"}");
    cache_flush(world_cache(w));
    world_restart(w); /* suggestions are not held any more */
    suggest(w, ANN, ask_autocomplete(T1), SAID);
    assert_has(client_reply(complete(w, ANN, T2)), THROUGH);
    struct client *c = complete(w, ANN, T3);
    assert_has(client_reply(c), "Cache-Status: lull; hit; ttl=");
    assert_has(client_reply(c), " my own");
    world_end(w);
}

static void a_foreign_page_gets_nothing(void **state)
{
    (void)state;
    struct world *w = world_with_form(FIXED);
    struct client *c =
        complete(w, "X-OpenWebUI-User-Id: ann\r\nOrigin: http://evil.example\r\n", T3);
    assert_has(client_reply(c), "HTTP/1.1 403");
    world_end(w);
}

/* A request in Ollama's words that has no others. */
static const char *ollama(const char *text)
{
    return with(ask_autocomplete(text), "false}", "false,\"own\":1}");
}

static struct client *complete_ollama(struct world *w, const char *text)
{
    return post_to(w, "/api/chat", ANN, ollama(text));
}

/* In place of Ollama another server answers at the address of the task's upstream: what cannot be
 * converted is passed to the client's own, whether it is read or not. */
static void where_the_dialect_is_not_taken_any_more_it_is_read(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms",
                                       "task.autocomplete.upstream=other",
                                       "upstream.other.url=http://other.test", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    world_probes(w, PROBES_OLLAMA);
    suggest(w, ANN, ask_autocomplete("Why"), "{\"text\": \" not\"}"); /* asks what it is */
    (void)complete_ollama(w, T1);
    world_pass(w, 100 * USEC_PER_MS);
    assert_string_equal(model_upstream(last_call(w)), "other");
    model_answer(last_call(w), SAID);
    assert_has(client_reply(complete_ollama(w, T2)), THROUGH);
    uint64_t before = json_bytes_read();
    assert_has(client_reply(complete_ollama(w, T3)), THROUGH);
    assert_int_equal(json_bytes_read(), before);

    world_probes(w, PROBES_ANSWERED);
    world_pass(w, 11 * USEC_PER_S);
    for (int i = 0; i < 2; i++) { /* it is gone for a moment; then it is asked again */
        (void)post(w, ANN, ask_autocomplete(i == 0 ? "When" : "Where"));
        world_pass(w, 100 * USEC_PER_MS);
        while (model_open(last_call(w))) {
            if (i == 0) {
                model_break(last_call(w), true);
            } else {
                model_answer(last_call(w), "{\"text\": \" not\"}");
            }
        }
        world_pass(w, 11 * USEC_PER_S);
    }
    const char *again = "How do I write a small daemon in C w";
    assert_false(client_answered(complete_ollama(w, again)));
    world_pass(w, 100 * USEC_PER_MS);
    assert_string_equal(model_upstream(last_call(w)), "default");
    world_end(w);
}

static void nothing_outlives_a_purge_or_a_reload(void **state)
{
    (void)state;
    struct world *w = world_with_form(FIXED);
    static const char *const off[] = {"task.autocomplete.enabled=no", NULL};
    static const char *const without[] = {"task.autocomplete.debounce=100ms",
                                          "cache.type_through=no", NULL};
    world_reload(w, off);
    assert_has(client_reply(complete(w, ANN, T3)), "detail=switched-off");
    world_reload(w, FIXED);
    asserts_read(w, ANN, ask_autocomplete(T3), true);
    asserts_read(w, ANN, ask_autocomplete("How do I write a small daemon in"), false);
    world_reload(w, without);
    assert_false(client_answered(complete(w, ANN, T3)));
    world_reload(w, FIXED);
    struct cache_filter all = {.kind = SPAN_NONE};
    cache_purge(world_cache(w), &all, NULL, NULL);
    cache_flush(world_cache(w));
    world_pass(w, 0);
    assert_false(client_answered(complete(w, ANN, "How do I write a small daemon in C wi")));
    world_end(w);
}

/* A kind of one's own whose `match` goes on into the text. */
/* Another data file has another secret: a request that is read finds nothing of before. */
static void nothing_outlives_the_data_file(void **state)
{
    (void)state;
    char path[256];
    struct world *w = world_with_form(FIXED);
    struct cache *cache = world_cache(w);
    struct hash_secret before = *cache_secret(cache);
    snprintf(path, sizeof path, "%s/data.mdb", world_settings(w)->server.data_dir);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < 4 && memcmp(&before, cache_secret(cache), sizeof before) == 0; i++) {
        world_pass(w, 11 * USEC_PER_S); /* something is written, and it is missed */
        cache_flush(cache);
        world_pass(w, 0);
    }
    assert_true(memcmp(&before, cache_secret(cache), sizeof before) != 0);
    asserts_read(w, ANN, ask_autocomplete(T3), true);
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 2);
    world_end(w);
}

static void a_text_that_decides_the_kind_is_read(void **state)
{
    (void)state;
    static char match[1024];
    const char *prompt = strstr(ask_autocomplete(T3), "### Task:");
    size_t n = 0;
    n += (size_t)snprintf(match, sizeof match, "task.mine.match=");
    for (const char *at = prompt; at < strstr(prompt, T3) + strlen(T3); at++) {
        bool line = at[0] == '\\' && at[1] == 'n';
        match[n++] = line ? '\n' : *at;
        at += line ? 1 : 0;
    }
    match[n] = '\0';
    const char *const sets[] = {"task.autocomplete.debounce=100ms", match, NULL};
    struct world *w = world_with_form(sets);
    struct client *c = complete(w, ANN, T3);
    world_pass(w, USEC_PER_S);
    assert_has_not(client_reply(c), THROUGH);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "said");
    assert_has(client_reply(c), "X-Lull-Task: mine\r\n");
    world_end(w);
}

/* A copy of the prompt behind it, in a member that is no part of the question. */
static void a_copy_of_the_prompt_is_not_taken_for_it(void **state)
{
    (void)state;
    static char copy[8192], body[8192];
    struct world *w = world_begin(FIXED);
    const char *texts[] = {T1, T2, T2};
    const char *copies[] = {T1, T2, T3};
    for (size_t i = 0; i < 3; i++) {
        const char *prompt = strstr(ask_autocomplete(copies[i]), "### Task:");
        snprintf(copy, sizeof copy, "false,\"metadata\":{\"prompt\":\"%.*s\"}}",
                 (int)(strchr(prompt, '"') - prompt), prompt);
        snprintf(body, sizeof body, "%s", with(ask_autocomplete(texts[i]), "false}", copy));
        if (i == 0) {
            suggest(w, ANN, body, SAID);
        } else {
            struct client *c = post(w, ANN, body);
            assert_has(client_reply(c), THROUGH);
            assert_has(client_reply(c), "{\\\"text\\\": \\\" with libevent\\\"}");
        }
    }
    world_end(w);
}

/* ---- the same as if it were read ---- */

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

static const char *draw_text(void)
{
    static const char *const begins[] = {"How do I", "How do I ", "Why", "How do I make \xc3\xa4"};
    static const char *const more[] = {"",
                                       " make",
                                       " make br",
                                       " make bread",
                                       " make bread? ",
                                       " do it",
                                       "<",
                                       "</text>",
                                       "\"",
                                       "\\",
                                       "\n",
                                       "\xc3\xa4rger",
                                       "\xcc\x88",
                                       " ",
                                       "<type>general</type>  \n<text>",
                                       " make \xc3\xa4rger now"};
    static const char typed[] = " make bread? With flour";
    static char text[256];
    if (draw(2) == 0) { /* as one types on */
        snprintf(text, sizeof text, "How do I%.*s", (int)draw(sizeof typed), typed);
    } else {
        snprintf(text, sizeof text, "%s%s%s", begins[draw(4)], more[draw(16)],
                 draw(3) == 0 ? more[draw(16)] : "");
    }
    return text;
}

static void model_answers_all(struct world *w, const char *answer)
{
    for (size_t i = 0; i < model_calls(w); i++) {
        if (model_open(model_call(w, i))) {
            model_answer(model_call(w, i), answer);
        }
    }
}

/* What is behind the head's Date and what differs between two runs. */
static const char *reply_of(struct client *c)
{
    const char *reply = client_reply(c), *status = strstr(reply, "X-Lull-Task:");
    return status == NULL ? reply : status;
}

static void what_is_not_read_is_answered_as_if_it_were(void **state)
{
    (void)state;
    static const char *const answers[] = {"{\"text\": \" make bread? With flour\"}",
                                          "{\"text\": \"\xc3\xa4rger now\"}",
                                          "{\"text\": \" do it\\nat \\\"home\\\"\"}"};
    static const char *const sets[] = {"task.autocomplete.debounce=off", NULL};
    size_t unread = 0;
    for (uint32_t run = 1; run <= 12; run++) {
        struct world *w = world_begin(sets), *reads = world_begin(sets);
        cache_hold_writer(world_cache(w), true); /* every hit is `pending` */
        cache_hold_writer(world_cache(reads), true);
        seed = run;
        for (size_t i = 0; i < 120; i++) {
            static char body[8192];
            const char *user = draw(4) == 0 ? BOB : ANN, *answer = answers[draw(3)];
            snprintf(body, sizeof body, "%s", ask_autocomplete(draw_text()));
            world_reload(reads, sets); /* forgets the forms */
            uint64_t before = json_bytes_read();
            struct client *a = post(w, user, body);
            unread +=
                json_bytes_read() == before && strstr(client_reply(a), THROUGH) != NULL ? 1 : 0;
            struct client *b = post(reads, user, body);
            model_answers_all(w, answer);
            model_answers_all(reads, answer);
            assert_string_equal(reply_of(a), reply_of(b));
            client_close(a);
            client_close(b);
        }
        cache_hold_writer(world_cache(w), false);
        cache_hold_writer(world_cache(reads), false);
        world_end(w);
        world_end(reads);
    }
    if (unread <= 100) {
        fail_msg("%zu not read", unread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_text_is_answered_without_reading_it),
        cmocka_unit_test(what_differs_in_anything_else_is_read),
        cmocka_unit_test(what_has_escapes_is_read),
        cmocka_unit_test(an_answer_of_its_own_goes_first),
        cmocka_unit_test(a_foreign_page_gets_nothing),
        cmocka_unit_test(where_the_dialect_is_not_taken_any_more_it_is_read),
        cmocka_unit_test(nothing_outlives_a_purge_or_a_reload),
        cmocka_unit_test(nothing_outlives_the_data_file),
        cmocka_unit_test(a_text_that_decides_the_kind_is_read),
        cmocka_unit_test(a_copy_of_the_prompt_is_not_taken_for_it),
        cmocka_unit_test(what_is_not_read_is_answered_as_if_it_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
