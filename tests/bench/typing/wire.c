/* wire.c: see wire.h. The template is taken apart once, at the history and at the text; a body is
 * its JSON pieces with both filled in between.
 */
#include "bench/typing/wire.h"

#include "lull/base/err.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#define HISTORY_OPENS "<chat_history>\n"
#define HISTORY_CLOSES "\n</chat_history>\n<type>"
#define TEXT_OPENS "<text>"
#define TEXT_CLOSES "</text>  \n#### Output:\n"

struct wire {
    struct buf before, between, after; /* the body, as JSON text */
    struct buf head;                   /* the request's lines, without those that change */
    char *opening, *marks;             /* of the prompt; what stands between history and text */
};

static void add(struct buf *b, struct span s)
{
    enum err e = buf_append_span(b, s);
    require(e == ERR_OK);
}

static void add_json(struct buf *b, struct span s)
{
    enum err e = buf_append_json(b, s);
    require(e == ERR_OK);
}

/* ---- the template ---- */

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static cJSON *find_record(const char *path)
{
    static char line[65536];
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        cJSON *record = cJSON_Parse(line);
        if (strcmp(text_of(record, "kind"), "autocomplete") == 0 &&
            strcmp(text_of(record, "version"), "0.12.4") == 0 &&
            strcmp(text_of(record, "note"), "new chat") == 0) {
            fclose(f);
            return record;
        }
        cJSON_Delete(record);
    }
    fprintf(stderr, "%s: no autocomplete of 0.12.4 in it\n", path);
    exit(2);
}

static void read_headers(struct wire *w, const cJSON *record)
{
    const cJSON *pair = NULL;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(record, "headers"))
    {
        const char *name = cJSON_GetArrayItem(pair, 0)->valuestring;
        const char *value = cJSON_GetArrayItem(pair, 1)->valuestring;
        if (strncmp(name, "X-OpenWebUI-", 12) != 0) {
            enum err e = buf_printf(&w->head, "%s: %s\r\n", name, value);
            require(e == ERR_OK);
        }
    }
}

struct wire *wire_create(const char *fixtures)
{
    struct wire *w = mem_new(sizeof *w);
    cJSON *record = find_record(fixtures);
    cJSON *body = cJSON_Parse(text_of(record, "body"));
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(body, "messages");
    struct span prompt = span_of(text_of(cJSON_GetArrayItem(messages, 0), "content"));
    size_t history = span_rfind(prompt, SPAN(HISTORY_OPENS)) + sizeof HISTORY_OPENS - 1;
    size_t closes = span_rfind(prompt, SPAN(HISTORY_CLOSES));
    size_t text = span_rfind(prompt, SPAN(TEXT_OPENS)) + sizeof TEXT_OPENS - 1;
    require(closes != SIZE_MAX && closes >= history && text > closes);
    require(span_ends(prompt, SPAN(TEXT_CLOSES)));
    buf_init(&w->before, 65536);
    buf_init(&w->between, 65536);
    buf_init(&w->after, 65536);
    buf_init(&w->head, 65536);
    enum err e =
        buf_printf(&w->before, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"",
                   text_of(body, "model"));
    require(e == ERR_OK);
    add_json(&w->before, span_make(prompt.ptr, history));
    w->opening = mem_strndup(prompt.ptr, history);
    w->marks = mem_strndup(prompt.ptr + closes, text - closes);
    add_json(&w->between, span_of(w->marks));
    add_json(&w->after, SPAN(TEXT_CLOSES));
    add(&w->after, SPAN("\"}],\"stream\":false}"));
    read_headers(w, record);
    cJSON_Delete(body);
    cJSON_Delete(record);
    return w;
}

void wire_free(struct wire *w)
{
    buf_free(&w->before);
    buf_free(&w->between);
    buf_free(&w->after);
    buf_free(&w->head);
    free(w->opening);
    free(w->marks);
    free(w);
}

/* ---- requests ---- */

static void add_request(const struct wire *w, const struct cast *cast, size_t person,
                        const char *task, struct span body, struct buf *out)
{
    enum err e = buf_printf(out, "POST /v1/chat/completions HTTP/1.1\r\n%.*s", (int)w->head.len,
                            w->head.data);
    require(e == ERR_OK);
    if (people_have_users(cast->people)) {
        e = buf_printf(out, "X-OpenWebUI-User-Id: 6f1c2d3e-0000-4000-8000-%012zu\r\n", person);
        require(e == ERR_OK);
    }
    e = buf_printf(out, "X-OpenWebUI-Task: %s\r\nContent-Length: %zu\r\n\r\n", task, body.len);
    require(e == ERR_OK);
    add(out, body);
}

void wire_autocomplete(const struct wire *w, const struct cast *cast, size_t person, size_t context,
                       struct span text, struct buf *out)
{
    struct buf body = {.max = 1024 * 1024};
    add(&body, buf_span(&w->before));
    add_json(&body, cast->contexts[context]);
    add(&body, buf_span(&w->between));
    add_json(&body, text);
    add(&body, buf_span(&w->after));
    add_request(w, cast, person, "autocomplete_generation", buf_span(&body), out);
    buf_free(&body);
}

static void add_turn(struct buf *body, const char *role, struct span text)
{
    bool first = body->data[body->len - 1] == '[';
    enum err e = buf_printf(body, "%s{\"role\":\"%s\",\"content\":\"", first ? "" : ",", role);
    require(e == ERR_OK);
    add_json(body, text);
    add(body, SPAN("\"}"));
}

static void add_turns_before(struct buf *body, const struct cast *cast, int message)
{
    if (message >= 0) {
        add_turns_before(body, cast, cast->messages[message].previous);
        add_turn(body, "user", cast->messages[message].text);
        add_turn(body, "assistant", cast_reply(cast, (size_t)message));
    }
}

void wire_chat(const struct wire *w, const struct cast *cast, size_t person, size_t message,
               struct buf *out)
{
    struct buf body = {.max = 1024 * 1024};
    add(&body, SPAN("{\"stream\":true,\"model\":\"qwen3-8b\",\"messages\":["));
    add_turns_before(&body, cast, cast->messages[message].previous);
    add_turn(&body, "user", cast->messages[message].text);
    add(&body, SPAN("]}"));
    add_request(w, cast, person, "", buf_span(&body), out);
    buf_free(&body);
}

/* ---- what reaches the model ---- */

static size_t context_of(const struct cast *cast, struct span history)
{
    size_t i = 0;
    while (i < cast->context_count && !span_eq(cast->contexts[i], history)) {
        i++;
    }
    require(i < cast->context_count); /* else lull has changed the prompt */
    return i;
}

void wire_read_call(const struct wire *w, const struct cast *cast, const char *body,
                    struct asked *asked, struct buf *room)
{
    cJSON *root = cJSON_Parse(body);
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(root, "messages");
    int count = cJSON_GetArraySize(messages);
    require(count > 0);
    struct span prompt = span_of(text_of(cJSON_GetArrayItem(messages, count - 1), "content"));
    struct span opening = span_of(w->opening);
    asked->stream = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "stream"));
    asked->chat = !span_starts(prompt, opening);
    if (!asked->chat) {
        size_t closes = span_rfind(prompt, span_of(w->marks));
        require(closes != SIZE_MAX && span_ends(prompt, SPAN(TEXT_CLOSES)));
        size_t text = closes + strlen(w->marks);
        asked->context =
            context_of(cast, span_make(prompt.ptr + opening.len, closes - opening.len));
        buf_clear(room);
        add(room, span_make(prompt.ptr + text, prompt.len - text - (sizeof TEXT_CLOSES - 1)));
        asked->text = buf_span(room);
    }
    cJSON_Delete(root);
}

/* ---- replies ---- */

static enum how how_of(const char *head)
{
    const char *status = strstr(head, "Cache-Status: lull; ");
    require(status != NULL);
    status += sizeof "Cache-Status: lull; " - 1;
    if (strncmp(status, "hit; detail=type-through", 24) == 0) {
        return HOW_REST;
    }
    if (strncmp(status, "hit", 3) == 0) {
        return HOW_HIT;
    }
    if (strncmp(status, "detail=", 7) == 0) {
        return HOW_EMPTY;
    }
    return strncmp(status, "fwd=miss; collapsed", 19) == 0 ? HOW_JOINED : HOW_CALL;
}

/* The suggestion as Open WebUI's editor takes it out of the content. */
static void read_content(const char *content, struct answered *out)
{
    cJSON *inner = cJSON_Parse(content);
    const char *text = text_of(inner, "text");
    out->len = strlen(text);
    require(inner != NULL && out->len < sizeof out->text);
    memcpy(out->text, text, out->len + 1);
    cJSON_Delete(inner);
}

void wire_read_reply(const char *reply, size_t len, struct answered *out)
{
    const char *body = strstr(reply, "\r\n\r\n");
    require(len > 12 && body != NULL);
    *out = (struct answered){.how = HOW_FAILED};
    if (strncmp(reply + 9, "200", 3) != 0) {
        return;
    }
    out->how = how_of(reply);
    cJSON *root = cJSON_Parse(body + 4);
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(root, "choices");
    const cJSON *message =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(choices, 0), "message");
    require(cJSON_GetArraySize(choices) == 1);
    read_content(text_of(message, "content"), out);
    cJSON_Delete(root);
}
