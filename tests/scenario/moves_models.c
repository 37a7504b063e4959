/* moves_models.c: what the model servers do. Each answer names what its call asked about, so that a
 * reply that comes to another client is seen. */
#include "scenario/moves_priv.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_openai(const struct upstream_call *call)
{
    return strstr(model_target(call), "/v1/") != NULL;
}

static bool is_streamed(const struct upstream_call *call)
{
    return strstr(model_body(call), "\"stream\":true") != NULL;
}

static bool is_passed_on(const struct upstream_call *call)
{
    enum ask_kind kind = kind_of_body(model_body(call));
    return kind == ASK_CHAT || kind == ASK_MOA;
}

/* Asked with HEAD, as the people do: its head is all that comes. */
static bool is_head(const struct upstream_call *call)
{
    return strcmp(model_target(call), "/api/tags") == 0;
}

/* The number of the last "q12q" in a body; of a chat, that may end in what was typed, the largest. -1:
 * there is none. */
static int subject_of(const char *text, enum ask_kind kind)
{
    int subject = -1, n = 0;
    char end = '\0';
    for (const char *at = strchr(text, 'q'); at != NULL; at = strchr(at + 1, 'q')) {
        if (sscanf(at, "q%3d%c", &n, &end) == 2 && end == 'q') {
            subject = kind != ASK_CHAT || n > subject ? n : subject;
        }
    }
    return subject;
}

/* "other": no user's name goes to that upstream. */
static void user_of(const struct upstream_call *call, char out[32])
{
    const char *line = strstr(model_headers(call), "X-OpenWebUI-User-Id: ");
    if (strcmp(model_upstream(call), "other") == 0) {
        require(line == NULL || kind_of_body(model_body(call)) == ASK_CHAT);
        snprintf(out, 32, "other");
    } else if (line == NULL || sscanf(line, "X-OpenWebUI-User-Id: %30[a-z]", out) != 1) {
        snprintf(out, 32, "none");
    }
}

/* How the typed text goes on, or the beginning of that. */
static void complete(struct game *g, const struct upstream_call *call, int subject,
                     const char *user, char out[TEXT_SIZE])
{
    char full[TEXT_SIZE], typed[TEXT_SIZE] = "";
    const char *at = NULL;
    for (const char *next = model_body(call); (next = strstr(next, "<text>")) != NULL; next++) {
        at = next;
    }
    char end = '\0';
    if (at != NULL && sscanf(at, "<text>%255[^<]%c", typed, &end) < 2) {
        typed[0] = '\0'; /* the body has not come to its end */
    }
    full_text(subject, user, full);
    size_t len = strlen(typed);
    bool fits = len > 0 && strncmp(full, typed, len) == 0;
    snprintf(out, TEXT_SIZE, "%.*s", (int)(4 + pick(g, 40)), fits ? full + len : "");
}

static struct said *said_by(struct game *g, const struct upstream_call *call)
{
    size_t i = g->said_count;
    while (i > 0 && g->said[i - 1].call != call) {
        i--;
    }
    if (i == 0) {
        enum ask_kind kind = kind_of_body(model_body(call));
        require(g->said_count < SAID_MOST);
        g->said[g->said_count++] =
            (struct said){.call = call, .kind = kind, .purges = g->purges[kind]};
        i = g->said_count;
    }
    return &g->said[i - 1];
}

void models_forget(struct game *g)
{
    for (size_t i = 0; i < g->said_count; i++) {
        g->said[i].call = NULL;
    }
}

/* The content of a good answer. */
static void content_of(struct game *g, const struct upstream_call *call, char out[2 * TEXT_SIZE])
{
    static const char *const forms[ASK_KINDS] = {[ASK_TITLE] = "{\"title\": \"%s\"}",
                                                 [ASK_FOLLOW_UP] = "{\"follow_ups\": [\"%s\"]}",
                                                 [ASK_QUERY] = "{\"queries\": [\"%s\"]}",
                                                 [ASK_AUTOCOMPLETE] = "{\"text\": \"%s\"}",
                                                 [ASK_TAGS] = "{\"tags\": [\"%s\"]}",
                                                 [ASK_EMOJI] = "\xF0\x9F\x98\x80 %s",
                                                 [ASK_IMAGE_PROMPT] = "{\"prompt\": \"%s\"}",
                                                 [ASK_TOOL_SELECTION] = "{\"tool\": \"%s\"}",
                                                 [ASK_MEMORY_REVIEW] = "{\"memory\": \"%s\"}",
                                                 [ASK_CONTEXT_COMPACTION] = "%s",
                                                 [ASK_MOA] = "%s",
                                                 [ASK_CHAT] = "%s"};
    enum ask_kind kind = kind_of_body(model_body(call));
    char text[TEXT_SIZE], user[32];
    int subject = subject_of(model_body(call), kind);
    user_of(call, user);
    if (kind == ASK_AUTOCOMPLETE) {
        complete(g, call, subject, user, text);
    } else {
        size_t number = (size_t)(said_by(g, call) - g->said);
        snprintf(text, sizeof text, "s%zus %s of q%dq by %s.", number, kind_word(kind), subject,
                 user);
    }
    char *at = strstr(forms[kind], "%s");
    snprintf(out, 2 * TEXT_SIZE, "%.*s%s%s", (int)(at - forms[kind]), forms[kind], text, at + 2);
}

static void say(struct upstream_call *call, const char *text)
{
    daemon_enter();
    model_data(call, text);
    daemon_leave();
}

static void begin(struct upstream_call *call)
{
    if (!model_has_head(call)) {
        model_head(call, 200,
                   !is_streamed(call) ? "application/json"
                   : is_openai(call)  ? "text/event-stream"
                                      : "application/x-ndjson");
    }
}

static void send_piece(struct upstream_call *call, const char *text)
{
    char line[4 * TEXT_SIZE];
    cJSON *string = cJSON_CreateString(text);
    char *json = cJSON_PrintUnformatted(string);
    if (is_openai(call)) {
        snprintf(line, sizeof line,
                 "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", json);
    } else if (strstr(model_target(call), "generate") != NULL) {
        snprintf(line, sizeof line, "{\"response\":%s,\"done\":false}\n", json);
    } else {
        snprintf(line, sizeof line,
                 "{\"message\":{\"role\":\"assistant\",\"content\":%s},\"done\":false}\n", json);
    }
    say(call, line);
    cJSON_free(json);
    cJSON_Delete(string);
}

/* A stream in pieces: of a chat each names what it is about; of a task cut anywhere. */
static void stream(struct game *g, struct upstream_call *call)
{
    char content[2 * TEXT_SIZE];
    content_of(g, call, content);
    begin(call);
    if (kind_of_body(model_body(call)) == ASK_CHAT || pick(g, 3) == 0) {
        struct person *p = chats_client(g, call);
        send_piece(call, content);
        chats_check_said(g, p, content);
        return;
    }
    size_t cut = pick(g, (unsigned)strlen(content) + 1);
    char first[2 * TEXT_SIZE];
    snprintf(first, sizeof first, "%.*s", (int)cut, content);
    send_piece(call, first);
    if (model_open(call)) {
        send_piece(call, content + cut);
    }
}

/* More of a chat than its client's socket takes, as far as it is taken. */
static void flood(struct game *g, struct upstream_call *call)
{
    enum { PIECE = 60 * 1024, PIECES = 12 };
    char content[2 * TEXT_SIZE];
    char *line = mem_new(PIECE + 256);
    content_of(g, call, content);
    begin(call);
    int at = snprintf(line, 128,
                      is_openai(call) ? "data: {\"choices\":[{\"delta\":{\"content\":\""
                                      : "{\"message\":{\"content\":\"");
    memset(line + at, '-', PIECE);
    snprintf(line + at + PIECE, 64, is_openai(call) ? "\"}}]}\n\n" : "\"},\"done\":false}\n");
    for (int i = 0; i < PIECES && model_open(call) && !model_held(call); i++) {
        say(call, line);
    }
    free(line);
}

/* The end of a stream, as well as servers write it. */
static void end_stream(struct game *g, struct upstream_call *call)
{
    static const char openai_whole[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,"
        "\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\ndata: [DONE]\n\n";
    static const char ollama_whole[] =
        "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":7,"
        "\"prompt_eval_count\":9,\"prompt_eval_duration\":1000}\n";
    static const char *const openai[] = {
        openai_whole,
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
        "data: [DONE]\n\n",
        "data: {\"error\":{\"message\":\"out of memory\"}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":7},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choi",
        ""};
    static const char *const ollama[] = {
        ollama_whole,
        "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}",
        "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\"}\n",
        "{\"done\":true}\n",
        "{\"error\":\"out of memory\"}\n",
        "{\"message\":{\"content\":7},\"done\":true}\n",
        "{\"mess",
        ""};
    unsigned how = pick(g, 3) > 0 ? 0 : pick(g, 8);
    begin(call);
    struct said *said =
        said_by(g, call); /* JSON that has its end, or an emoji, is whole at any length */
    bool json = said->kind != ASK_EMOJI && said->kind < ASK_CONTEXT_COMPACTION;
    said->whole = said->whole || how == 0 || how == 1 || how == 3 ||
                  (how == 2 && (json || said->kind == ASK_EMOJI));
    say(call, is_openai(call) ? openai[how] : ollama[how]);
    unsigned end = pick(g, 12);
    if (model_open(call) && (end > 1 || how == 6)) { /* else the transport stays open */
        said->whole =
            said->whole || (json && how == 7 && end != 2); /* has its form without a mark */
        struct person *p = chats_client(g, call);
        (end == 2 ? model_close : model_end)(call);
        chats_check_over(g, p);
    }
}

static void answer(struct game *g, struct upstream_call *call)
{
    static const char *const odd[] = {"prose without any form", "", "<think>{\"title\": \"x\"",
                                      "{\"title\": 5}", "<think>well</think>{\"title\": \"x\"}"};
    char content[2 * TEXT_SIZE];
    content_of(g, call, content);
    if (pick(g, 6) == 0) {
        snprintf(content, sizeof content, "%s", odd[pick(g, 5)]);
    }
    said_by(g, call)->whole = true;
    daemon_enter();
    model_answer(call, content);
    daemon_leave();
}

/* The rest of a chat's answer whose head was sent: the close of the connection is its end, or cuts it. */
static void close_document(struct game *g, struct upstream_call *call)
{
    char content[2 * TEXT_SIZE], text[3 * TEXT_SIZE];
    content_of(g, call, content);
    int len =
        snprintf(text, sizeof text, "{\"choices\":[{\"message\":{\"content\":\"%s\"}}]}", content);
    unsigned how = pick(g, 4);
    text[how == 0 ? 0 : how == 1 ? len - 1 : len] = '\0';
    say(call, text);
    if (model_open(call)) {
        model_close(call);
    }
}

/* A whole answer that is none of the API's, or an error. */
static void refuse(struct game *g, struct upstream_call *call)
{
    static const int statuses[] = {400, 404, 422, 429, 429, 500, 503, 401, 200, 302};
    static const char *const lines[] = {"", "Retry-After: 1\r\n", "Retry-After: 2.5\r\n",
                                        "Retry-After: 3600\r\n",
                                        "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"};
    static const char *const bodies[] = {"{\"error\":{\"message\":\"broken\"}}",
                                         "{\"error\":\"no\"}", "<html>", "", "{\"choices\":[]}"};
    int status = statuses[pick(g, 10)];
    const char *line = lines[pick(g, 5)];
    model_refuse(call, status, line, bodies[pick(g, 5)]);
}

static void move(struct game *g, struct upstream_call *call)
{
    bool fresh = !model_has_head(call);
    if (model_held(call)) {
        return;
    }
    model_take(call);
    switch (pick(g, 20)) {
    case 18:
        if (is_streamed(call) && kind_of_body(model_body(call)) == ASK_CHAT) {
            flood(g, call);
        }
        break;
    case 19:
        world_slow(g->world, pick(g, 2) == 0);
        g->slow = true;
        break;
    case 0:
        model_break(call, fresh && pick(g, 2) == 0);
        break;
    case 1:
        if (fresh) {
            refuse(g, call);
        }
        break;
    case 2:
        begin(call);
        if (is_head(call)) {
            model_end(call);
        }
        break;
    case 3:
    case 4:
    case 5:
        if (is_streamed(call)) {
            stream(g, call);
        }
        break;
    case 6:
    case 7:
        if (is_streamed(call)) {
            end_stream(g, call);
        }
        break;
    default:
        if (fresh) {
            answer(g, call);
        } else if (is_streamed(call)) {
            end_stream(g, call);
        } else if (is_passed_on(call)) {
            close_document(g, call);
        }
        break;
    }
}

void models_move(struct game *g)
{
    size_t count = model_calls(g->world);
    size_t recent = count < 16 ? count : 16;
    for (unsigned tries = 0; tries < 4 && recent > 0; tries++) {
        struct upstream_call *call = model_call(g->world, count - 1 - pick(g, (unsigned)recent));
        if (model_open(call)) {
            move(g, call);
            return;
        }
    }
}

/* A good end of what is open, whatever its server has said so far. */
static void finish(struct game *g, struct upstream_call *call)
{
    char content[2 * TEXT_SIZE];
    people_look(g); /* what waits for them goes on */
    model_take(call);
    if (!model_open(call)) {
        return;
    }
    if (!model_has_head(call)) {
        content_of(g, call, content);
        said_by(g, call)->whole = true;
        model_answer(call, content);
    } else if (is_streamed(call)) {
        end_stream(g, call); /* no bytes are left to choose another end */
        if (model_open(call)) {
            model_end(call);
        }
    } else {
        model_break(call, false);
    }
}

/* No task waits longer than max_hold, which chats that have all slots may renew once, and for a swap of
 * models beside that; then its call begins, behind those before it. */
void models_answer_all(struct game *g)
{
    static const usec_t moment = 200 * USEC_PER_MS, most = (60 + 60 + 60 + 60) * USEC_PER_S;
    world_slow(g->world, false);
    for (usec_t passed = 0; passed < most; passed += moment) {
        for (size_t i = 0; i < model_calls(g->world); i++) {
            struct upstream_call *call = model_call(g->world, i);
            if (model_open(call)) {
                finish(g, call);
            }
        }
        world_pass(g->world, moment);
    }
    people_look(g);
    people_check_end(g);
}

void models_end_all(struct game *g)
{
    world_slow(g->world, false);
    for (int quiet = 0; quiet < 4; quiet++) {
        for (size_t i = 0; i < model_calls(g->world); i++) {
            struct upstream_call *call = model_call(g->world, i);
            if (model_open(call)) {
                quiet = 0;
                people_look(g); /* what waits for them goes on */
                model_take(call);
            }
            if (model_open(call)) {
                model_break(call, false);
            }
        }
        world_pass(g->world, 70 * USEC_PER_S);
    }
}
