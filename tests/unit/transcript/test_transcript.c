/* test_transcript.c: which conversations are held, for how long, and which one is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/speed.h"

#include "lull/path/json/json.h"
#include "lull/path/transcript/transcript.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct hash_key ANN = {0x0101010101010101, 1}, BOB = {2, 2}, CHAT_1 = {3, 1},
                             CHAT_2 = {3, 2}, NO = {0};
static const mono_t START = {1000000};

static struct transcript_place place(struct hash_key person)
{
    return (struct transcript_place){.person = person,
                                     .server = 1,
                                     .endpoint = ENDPOINT_CHAT,
                                     .target = SPAN("/v1/chat/completions"),
                                     .model = SPAN("m")};
}

static uint64_t keep_at(struct transcripts *all, struct hash_key person, struct hash_key chat,
                        const char *body, const char *reply, mono_t now)
{
    struct dialect_request request;
    assert_true(dialect_request_parse(span_of(body), ENDPOINT_CHAT, &request));
    const struct transcript_chat c = {.place = place(person),
                                      .chat = chat,
                                      .request = &request,
                                      .body = span_of(body),
                                      .reply = span_of(reply),
                                      .tokens = 50,
                                      .begun = now};
    const struct transcript *t = transcript_keep(all, &c, now);
    uint64_t id = t == NULL ? 0 : t->conversation;
    dialect_request_free(&request);
    return id;
}

static uint64_t keep(struct transcripts *all, struct hash_key person, struct hash_key chat,
                     const char *body, const char *reply)
{
    return keep_at(all, person, chat, body, reply, START);
}

static enum transcript_found find_at(struct transcripts *all, const struct transcript_place *where,
                                     struct hash_key chat, const char *history, mono_t now,
                                     struct transcript **out)
{
    char prompt[1024];
    struct chat_history_place p;
    snprintf(prompt, sizeof prompt, "Do.\n<chat_history>\n%s\n</chat_history>", history);
    return transcript_find(all, where, chat, span_of(prompt), CHAT_HISTORY_END, now, out, &p);
}

static enum transcript_found find(struct transcripts *all, struct hash_key person,
                                  struct hash_key chat, const char *history)
{
    struct transcript *t = NULL;
    const struct transcript_place where = place(person);
    return find_at(all, &where, chat, history, START, &t);
}

static size_t count(const struct transcripts *all)
{
    size_t bytes = 0;
    return transcripts_count(all, &bytes);
}

#define HI "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define HI_2                                                                                       \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":"   \
    "\"Hello there, person.\"},{\"role\":\"user\",\"content\":\"And?\"}]}"
#define ODD_2                                                                                      \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":"   \
    "\"Hello.\"},{\"role\":\"user\",\"content\":\"And?\"}]}"
#define REPLY "Hello there, person."

static void every_part_of_the_place_counts(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    struct transcript *t = NULL;
    assert_int_not_equal(keep(all, ANN, CHAT_1, HI, REPLY), 0);
    assert_int_equal(find(all, ANN, CHAT_1, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_FOUND);
    assert_int_equal(find(all, ANN, NO, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_FOUND);
    assert_int_equal(find(all, ANN, CHAT_2, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_NONE);
    assert_int_equal(find(all, BOB, CHAT_1, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_NONE);
    assert_int_equal(find(all, ANN, CHAT_1, "USER: Ho\nASSISTANT: " REPLY), TRANSCRIPT_DIFFERS);
    struct transcript_place other[] = {place(ANN), place(ANN), place(ANN), place(ANN)};
    other[0].server = 2;
    other[1].endpoint = ENDPOINT_OLLAMA_CHAT;
    other[2].target = SPAN("/v1/chat/completions?x=1");
    other[3].model = SPAN("n");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(find_at(all, &other[i], CHAT_1, "USER: Hi\nASSISTANT: " REPLY, START, &t),
                         TRANSCRIPT_NONE);
        assert_false(transcript_may_be(all, &other[i], CHAT_1));
    }
    transcripts_destroy(all);
}

/* Two people with one key and no chat id greet each other's model: the end of a long conversation is all
 * of a short one, which is held no more. */
static void the_end_of_another_conversation_is_not_enough(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    keep(all, ANN, NO, HI_2, "Yes.");
    assert_int_equal(find(all, ANN, NO, "USER: And?\nASSISTANT: Yes."), TRANSCRIPT_AMBIGUOUS);
    assert_int_equal(
        find(all, ANN, NO, "USER: Hi\nASSISTANT: " REPLY "\nUSER: And?\nASSISTANT: Yes."),
        TRANSCRIPT_FOUND);
    keep(all, BOB, CHAT_1, HI_2, "Yes.");
    assert_int_equal(find(all, BOB, CHAT_1, "USER: And?\nASSISTANT: Yes."), TRANSCRIPT_FOUND);
    assert_int_equal(find(all, BOB, NO, "USER: And?\nASSISTANT: Yes."), TRANSCRIPT_AMBIGUOUS);
    transcripts_destroy(all);
}

static void a_conversation_goes_on(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    uint64_t first = keep(all, ANN, CHAT_1, HI, REPLY);
    struct transcript *t = NULL;
    const struct transcript_place where = place(ANN);
    assert_int_equal(find_at(all, &where, CHAT_1, "USER: Hi\nASSISTANT: " REPLY, START, &t),
                     TRANSCRIPT_FOUND);
    transcript_ref(t);
    assert_int_equal(keep(all, ANN, CHAT_1, HI_2, "Yes."), first);
    assert_int_equal(count(all), 1);
    assert_int_equal(find(all, ANN, CHAT_1, "USER: And?\nASSISTANT: Yes."), TRANSCRIPT_FOUND);
    assert_true(span_eq(t->reply, SPAN(REPLY))); /* what is referenced lives on */
    transcript_unref(t);
    /* without chat ids the texts tell */
    first = keep(all, BOB, NO, HI, REPLY);
    assert_int_equal(keep(all, BOB, NO, HI_2, "Yes."), first);
    assert_int_not_equal(keep(all, BOB, NO, HI, REPLY), first);
    transcripts_destroy(all);
}

static bool changes(struct transcripts *all, struct hash_key chat, const char *history)
{
    struct transcript *t = NULL;
    const struct transcript_place where = place(ANN);
    assert_int_equal(find_at(all, &where, chat, history, START, &t), TRANSCRIPT_FOUND);
    return t->changes;
}

static void what_does_not_go_on_as_expected_is_marked(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    for (uint64_t i = 1; i <= 3; i++) {
        const struct hash_key chat = {9, i};
        keep(all, ANN, chat, HI, REPLY);
        assert_int_equal(changes(all, chat, "USER: Hi\nASSISTANT: " REPLY), i > 2);
        keep(all, ANN, chat, ODD_2, "Yes.");
        assert_true(changes(all, chat, "USER: And?\nASSISTANT: Yes."));
    }
    /* one that goes on as expected ends it */
    keep(all, ANN, CHAT_1, HI, REPLY);
    assert_true(changes(all, CHAT_1, "USER: Hi\nASSISTANT: " REPLY));
    keep(all, ANN, CHAT_1, HI_2, "Yes.");
    assert_false(changes(all, CHAT_1, "USER: And?\nASSISTANT: Yes."));
    keep(all, ANN, CHAT_2, HI, REPLY);
    assert_false(changes(all, CHAT_2, "USER: Hi\nASSISTANT: " REPLY));
    transcripts_destroy(all);
}

static bool bob_changes(struct transcripts *all)
{
    struct transcript *t = NULL;
    const struct transcript_place where = place(BOB);
    assert_int_equal(find_at(all, &where, NO, "USER: Hi\nASSISTANT: " REPLY, START, &t),
                     TRANSCRIPT_FOUND);
    return t->changes;
}

static void of_two_models_neither_reply_is_certain(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    struct dialect_request request;
    static const char other[] = "{\"model\":\"n\",\"messages\":[{\"role\":\"user\",\"content\":"
                                "\"Hi\"}]}";
    assert_true(dialect_request_parse(span_of(other), ENDPOINT_CHAT, &request));
    transcript_chat_began(all, BOB, &request, (mono_t){START.us - 2 * USEC_PER_S});
    keep(all, ANN, CHAT_1, HI, REPLY);
    assert_false(changes(all, CHAT_1, "USER: Hi\nASSISTANT: " REPLY));
    transcript_chat_began(all, ANN, &request, (mono_t){0}); /* after the reply, or before it */
    assert_true(changes(all, CHAT_1, "USER: Hi\nASSISTANT: " REPLY));
    keep(all, ANN, (struct hash_key){3, 3}, HI, REPLY);
    assert_true(changes(all, (struct hash_key){3, 3}, "USER: Hi\nASSISTANT: " REPLY));
    keep(all, BOB, CHAT_1, HI, REPLY);
    transcript_chat_began(all, ANN, &request, START);
    assert_true(bob_changes(all));
    keep(all, ANN, CHAT_2, HI_2, "Yes.");
    assert_false(changes(all, CHAT_2, "USER: And?\nASSISTANT: Yes."));
    dialect_request_free(&request);
    transcripts_destroy(all);
}

static void what_is_not_certain_is_not_kept(void **state)
{
    (void)state;
    static const char unfinished[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\","
        "\"content\":\"Hel\"}]}";
    static const char twice[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"a\":1,"
                                "\"a\":2}";
    struct transcripts *all = transcripts_create();
    assert_int_equal(keep(all, ANN, CHAT_1, HI, ""), 0);
    assert_int_equal(keep(all, ANN, CHAT_1, HI, "<think>a</think>"), 0);
    assert_int_equal(keep(all, ANN, CHAT_1, HI, "So <think>a</think> it is"), 0);
    assert_int_equal(keep(all, ANN, CHAT_1, unfinished, "lo"), 0);
    assert_int_equal(keep(all, ANN, CHAT_1, twice, REPLY), 0);
    assert_int_equal(count(all), 0);
    /* and what was kept before of that conversation is forgotten */
    keep(all, ANN, CHAT_1, HI, REPLY);
    assert_int_equal(keep(all, ANN, CHAT_1, HI_2, ""), 0);
    assert_int_equal(count(all), 0);
    transcripts_destroy(all);
}

static void the_least_recently_used_make_room(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    struct transcript *t = NULL;
    const struct transcript_place where = place(ANN);
    size_t size = 1024 * 1024, bytes = 0;
    char *body = malloc(size + 128);
    memset(body, 'x', size);
    static const char begin[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"";
    memcpy(body, begin, strlen(begin));
    memcpy(body + size, "\"}]}", sizeof "\"}]}");
    for (uint64_t i = 1; i <= 40; i++) {
        keep(all, ANN, (struct hash_key){8, i}, body, REPLY);
        /* the first is used */
        (void)find_at(all, &where, (struct hash_key){8, 1}, "ASSISTANT: " REPLY, START, &t);
    }
    assert_true(transcripts_count(all, &bytes) < 40);
    assert_true(bytes <= TRANSCRIPTS_MAX);
    assert_true(transcript_may_be(all, &where, (struct hash_key){8, 1}));
    assert_false(transcript_may_be(all, &where, (struct hash_key){8, 2}));
    assert_true(transcript_may_be(all, &where, (struct hash_key){8, 40}));
    free(body);
    transcripts_clear(all);
    for (uint64_t i = 1; i <= TRANSCRIPTS_MOST + 10; i++) {
        keep(all, ANN, (struct hash_key){8, i}, HI, REPLY);
    }
    assert_int_equal(count(all), TRANSCRIPTS_MOST);
    mono_t later = {START.us + (usec_t)TRANSCRIPT_IDLE_S * USEC_PER_S};
    keep_at(all, BOB, CHAT_1, HI, REPLY, later);
    assert_int_equal(count(all), 1);
    transcripts_destroy(all);
}

static void equal_ends_of_different_beginnings_are_ambiguous(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    static const char system[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                                 "{\"role\":\"user\",\"content\":\"Hi\"}]}";
    keep(all, ANN, CHAT_1, HI, REPLY);
    keep(all, ANN, CHAT_2, HI, REPLY);
    assert_int_equal(find(all, ANN, NO, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_FOUND);
    keep(all, ANN, CHAT_2, system, REPLY);
    assert_int_equal(find(all, ANN, NO, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_AMBIGUOUS);
    assert_int_equal(find(all, ANN, CHAT_2, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_FOUND);
    transcripts_destroy(all);
}

/* A task of an earlier turn; the caller unreferences *out. */
static enum transcript_found find_earlier(struct transcripts *all, struct hash_key person,
                                          const char *history, struct transcript **out)
{
    char prompt[1024];
    struct chat_history_place p;
    const struct transcript_place where = place(person);
    snprintf(prompt, sizeof prompt, "Do.\n<chat_history>\n%s\n</chat_history>", history);
    return transcript_find_earlier(all, &where, span_of(prompt), CHAT_HISTORY_END, START, out, &p);
}

static void an_earlier_turn_is_found_as_it_was(void **state)
{
    (void)state;
    struct transcripts *all = transcripts_create();
    struct transcript *then = NULL;
    struct transcript *now = NULL;
    const struct transcript_place where = place(ANN);
    keep(all, ANN, CHAT_1, HI, REPLY);
    assert_int_equal(find_at(all, &where, CHAT_1, "USER: Hi\nASSISTANT: " REPLY, START, &then),
                     TRANSCRIPT_FOUND);
    transcript_ref(then);
    keep(all, ANN, CHAT_1, HI_2, "Yes.");
    assert_int_equal(find(all, ANN, CHAT_1, "USER: Hi\nASSISTANT: " REPLY), TRANSCRIPT_DIFFERS);
    assert_int_equal(find_earlier(all, ANN, "USER: Hi\nASSISTANT: " REPLY, &now), TRANSCRIPT_FOUND);
    assert_memory_equal(transcript_digest(now), transcript_digest(then), HASH_SHA256_BYTES);
    assert_true(span_eq(now->body, then->body));
    assert_true(span_eq(now->reply, then->reply));
    assert_int_equal(now->conversation, then->conversation);
    assert_int_equal(count(all), 1); /* it is not kept */
    transcript_unref(now);
    transcript_unref(then);
    assert_int_equal(find_earlier(all, ANN, "USER: And?\nASSISTANT: Yes.", &now),
                     TRANSCRIPT_DIFFERS); /* the last turn is no earlier one */
    assert_int_equal(find_earlier(all, BOB, "USER: Hi\nASSISTANT: " REPLY, &now), TRANSCRIPT_NONE);
    /* two conversations that went on alike from there */
    keep(all, ANN, CHAT_2, HI_2, "No.");
    assert_int_equal(find_earlier(all, ANN, "USER: Hi\nASSISTANT: " REPLY, &now), TRANSCRIPT_FOUND);
    transcript_unref(now);
    keep(
        all, ANN, NO,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," /* and one that began otherwise */
        "{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":"
        "\"Hello there, person.\"},{\"role\":\"user\",\"content\":\"So?\"}]}",
        "So.");
    assert_int_equal(find_earlier(all, ANN, "USER: Hi\nASSISTANT: " REPLY, &now),
                     TRANSCRIPT_AMBIGUOUS);
    transcripts_destroy(all);
}

static void a_person_is_shown_by_the_beginning_of_the_key(void **state)
{
    (void)state;
    static const struct hash_key alike = {0x0101010101010101, 9}; /* as ANN's, up to its middle */
    struct transcripts *all = transcripts_create();
    struct hash_key found;
    uint8_t ann[sizeof ANN];
    memcpy(ann, &ANN, sizeof ann);
    assert_false(transcript_person(all, ann, 4, &found));
    keep(all, BOB, CHAT_1, HI, REPLY);
    assert_false(transcript_person(all, ann, 4, &found));
    keep(all, ANN, CHAT_1, HI, REPLY);
    keep(all, ANN, CHAT_2, HI, REPLY);
    assert_true(transcript_person(all, ann, 4, &found));
    assert_true(hash_key_eq(found, ANN));
    keep(all, alike, CHAT_1, HI, REPLY);
    assert_false(transcript_person(all, ann, 4, &found)); /* it could be either */
    assert_true(transcript_person(all, ann, sizeof ann, &found));
    assert_true(hash_key_eq(found, ANN));
    transcripts_destroy(all);
}

/* A chat of 60 KB whose answer is `n`, too. */
static void keep_long(struct transcripts *all, int n)
{
    enum { LONG = 60000 };
    struct buf body = {.max = 2 * LONG}, reply = {.max = LONG};
    buf_text(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%d ", n);
    buf_text(&reply, "%d ", n);
    for (int i = 0; i < LONG / 10; i++) {
        buf_text(&body, "word %04d ", i);
        buf_text(&reply, "%s", i < 400 ? "answer " : "");
    }
    buf_text(&body, "%d?\"}]}", n);
    buf_text(&reply, "%d.", n);
    require_ok(buf_append_span(&body, SPAN("\0")));
    require_ok(buf_append_span(&reply, SPAN("\0")));
    keep(all, ANN, NO, body.data, reply.data);
    buf_free(&body);
    buf_free(&reply);
}

/* Conversations that do not fit cost no look at all of their text: it took seconds. */
static void what_does_not_fit_is_known_at_once(void **state)
{
    (void)state;
    enum { CONVERSATIONS = 200, FINDS = 2000 };
    struct transcripts *all = transcripts_create();
    for (int n = 0; n < CONVERSATIONS; n++) {
        keep_long(all, n);
    }
    assert_int_equal(count(all), CONVERSATIONS);
    clock_t began = clock();
    for (int i = 0; i < FINDS; i++) {
        assert_int_equal(find(all, ANN, NO, "USER: Hi\nASSISTANT: Hello"), TRANSCRIPT_DIFFERS);
    }
    assert_true(speed_seconds(began) < 1);
    transcripts_destroy(all);
}

/* A chat that begins like the others; its template has that size. */
static uint64_t keep_alike(struct transcripts *all, const char *reply, const char *more, int size)
{
    static char body[65536];
    snprintf(body, sizeof body,
             "{\"template\":\"%*s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}%s]}", size,
             "", more);
    return keep(all, ANN, NO, body, reply);
}

static const char GOES_ON[] = ",{\"role\":\"assistant\",\"content\":\"" REPLY "\"},"
                              "{\"role\":\"user\",\"content\":\"And?\"}";

/* Conversations that begin alike are not read again for a chat that has another reply. */
static void replies_tell_apart_what_begins_alike(void **state)
{
    (void)state;
    enum { CONVERSATIONS = 100, SIZE = 50000 };
    struct transcripts *all = transcripts_create();
    uint64_t first = keep_alike(all, REPLY, "", SIZE);
    for (int i = 1; i < CONVERSATIONS; i++) {
        char reply[64];
        snprintf(reply, sizeof reply, "Hello there, person %d.", i);
        assert_int_not_equal(keep_alike(all, reply, "", SIZE), first);
    }
    uint64_t before = json_bytes_read();
    assert_int_equal(keep_alike(all, "So.", GOES_ON, SIZE), first);
    assert_in_range(json_bytes_read() - before, SIZE, 3 * SIZE); /* the chat and its conversation */
    transcripts_destroy(all);
}

/* ... and of those that have that reply, too, the four that were used last are read. */
static void few_of_what_begins_alike_are_read(void **state)
{
    (void)state;
    for (int others = 3; others <= 4; others++) {
        struct transcripts *all = transcripts_create();
        uint64_t first = keep_alike(all, REPLY, "", 1);
        for (int i = 0; i < others; i++) {
            (void)keep_alike(all, REPLY, "", 2 + i); /* what stands around the messages differs */
        }
        uint64_t found = keep_alike(all, "So.", GOES_ON, 1);
        assert_true((found == first) == (others == 3));
        transcripts_destroy(all);
    }
}

/* A body may have messages that its endpoint does not read. */
static void messages_of_another_endpoint_are_no_sequel(void **state)
{
    (void)state;
    static const char body[] =
        "{\"prompt\":\"Hi\",\"x\":\"                    \",\"messages\":[1,2,3,4,5,6]}";
    struct transcripts *all = transcripts_create();
    struct dialect_request request;
    (void)keep(all, ANN, NO, HI, REPLY);
    assert_true(dialect_request_parse(SPAN(body), ENDPOINT_OLLAMA_GENERATE, &request));
    const struct transcript_chat c = {.place = place(ANN), .request = &request, .body = SPAN(body)};
    assert_null(transcript_keep(all, &c, START));
    assert_int_equal(count(all), 1);
    dialect_request_free(&request);
    transcripts_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_of_the_place_counts),
        cmocka_unit_test(the_end_of_another_conversation_is_not_enough),
        cmocka_unit_test(a_conversation_goes_on),
        cmocka_unit_test(what_does_not_go_on_as_expected_is_marked),
        cmocka_unit_test(of_two_models_neither_reply_is_certain),
        cmocka_unit_test(what_is_not_certain_is_not_kept),
        cmocka_unit_test(the_least_recently_used_make_room),
        cmocka_unit_test(equal_ends_of_different_beginnings_are_ambiguous),
        cmocka_unit_test(an_earlier_turn_is_found_as_it_was),
        cmocka_unit_test(a_person_is_shown_by_the_beginning_of_the_key),
        cmocka_unit_test(what_does_not_fit_is_known_at_once),
        cmocka_unit_test(replies_tell_apart_what_begins_alike),
        cmocka_unit_test(few_of_what_begins_alike_are_read),
        cmocka_unit_test(messages_of_another_endpoint_are_no_sequel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
