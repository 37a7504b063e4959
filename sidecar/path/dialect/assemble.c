/* assemble.c: a model server's answer, put together piece by piece as it arrives.
 *
 * Three framings: SSE ("data: {...}" lines, "[DONE]" at the end), NDJSON (one object a line,
 * "done": true at the end), and one JSON object. The content type says which; where it says nothing
 * useful, the first byte does. A byte order mark before the first byte says nothing. An answer is
 * whole when its transport has ended well and its end mark has come, or a finish reason: not every
 * server sends "[DONE]".
 */
#include "lull/http/fields.h"
#include "lull/path/json/reader.h"
#include "path/dialect/dialect_priv.h"

enum { FORMAT_SNIFF, FORMAT_SSE, FORMAT_NDJSON, FORMAT_JSON, FORMAT_ODD };
enum { LINE_MAX_BYTES = 8 * 1024 * 1024, ERROR_MAX = 1024 * 1024 };

void answer_init(struct answer *a)
{
    *a = (struct answer){.tokens_in = -1, .tokens_out = -1, .cached_tokens = -1, .model_time = -1};
    buf_init(&a->content, ANSWER_MAX);
    buf_init(&a->thinking, ANSWER_MAX);
}

void answer_free(struct answer *a)
{
    buf_free(&a->content);
    buf_free(&a->thinking);
}

static void append(struct assembler *a, struct buf *to, struct span s)
{
    if (s.len == 0) {
        return;
    }
    a->first_token_seen = true;
    if (a->answer.content.len + a->answer.thinking.len + s.len > ANSWER_MAX ||
        buf_append_span(to, s) != ERR_OK) {
        a->too_large = true;
    }
}

/* A list of parts that are text. */
static void take_parts(struct assembler *a, struct buf *to, const cJSON *list)
{
    const cJSON *part = NULL;
    cJSON_ArrayForEach(part, list)
    {
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(part, "type");
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(part, "text");
        bool plain =
            type == NULL || (cJSON_IsString(type) && strcmp(type->valuestring, "text") == 0);
        if (!plain || !cJSON_IsString(text)) {
            a->odd = true;
            return;
        }
        append(a, to, span_of(text->valuestring));
    }
}

static void take_text(struct assembler *a, struct buf *to, const cJSON *text)
{
    if (cJSON_IsString(text)) {
        append(a, to, span_of(text->valuestring));
    } else if (cJSON_IsArray(text)) {
        take_parts(a, to, text);
    } else if (text != NULL && !cJSON_IsNull(text)) {
        a->odd = true;
    }
}

void assemble_content(struct assembler *a, const cJSON *text)
{
    take_text(a, &a->answer.content, text);
}

void assemble_thinking(struct assembler *a, const cJSON *text)
{
    take_text(a, &a->answer.thinking, text);
}

/* The status an item states, as a number or its digits; 0: none that is an error's. */
static int status_of(const cJSON *item)
{
    int status = 0;
    if (cJSON_IsNumber(item) && item->valuedouble >= 400 && item->valuedouble < 600) {
        status = (int)item->valuedouble;
    } else if (cJSON_IsString(item)) {
        struct span s = span_trim(span_of(item->valuestring));
        bool digits = s.len == 3;
        for (size_t i = 0; digits && i < s.len; i++) {
            digits = s.ptr[i] >= '0' && s.ptr[i] <= '9';
            status = status * 10 + (s.ptr[i] - '0');
        }
        status = digits ? status : 0;
    }
    return status >= 400 && status < 600 ? status : 0;
}

/* The status of an error, where any server puts it; 0: it has none. */
static int error_status(const cJSON *root, const cJSON *error)
{
    static const char *const names[] = {"code", "status", "status_code", "http_status"};
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(error, "error");
    const cJSON *const places[] = {error, inner, root};
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            int status = status_of(cJSON_GetObjectItemCaseSensitive(places[p], names[i]));
            if (status != 0) {
                return status;
            }
        }
    }
    return 0;
}

const cJSON *find_error(const cJSON *root)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(root, "error");
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "object");
    bool empty = error == NULL || cJSON_IsNull(error) || cJSON_IsFalse(error) ||
                 (cJSON_IsString(error) && error->valuestring[0] == '\0') ||
                 (cJSON_IsNumber(error) && error->valuedouble == 0) ||
                 ((cJSON_IsObject(error) || cJSON_IsArray(error)) && error->child == NULL);
    if (!empty) {
        return error;
    }
    bool is_one = cJSON_IsString(object) && strcmp(object->valuestring, "error") == 0;
    return is_one ? root : NULL; /* vLLM: {"object": "error", "message", "code"} */
}

void assemble_error(struct assembler *a, const cJSON *root, const cJSON *error)
{
    if (a->failed) {
        return;
    }
    a->failed = true;
    int status = error_status(root, error);
    a->error_coded = status != 0;
    a->error_status = status != 0 ? status : 500;
    char *text = cJSON_PrintUnformatted(error);
    if (text == NULL || buf_printf(&a->error, "{\"error\":%s}", text) != ERR_OK) {
        buf_clear(&a->error);
        enum err e = buf_append_span(&a->error, SPAN("{\"error\":\"unknown\"}"));
        (void)e;
    }
    cJSON_free(text);
}

void assembler_init(struct assembler *a, enum endpoint endpoint, struct span content_type)
{
    *a = (struct assembler){.endpoint = endpoint, .format = FORMAT_SNIFF};
    answer_init(&a->answer);
    buf_init(&a->line, LINE_MAX_BYTES);
    buf_init(&a->error, ERROR_MAX);
    if (http_is_type(content_type, SPAN("text/html"))) {
        a->format = FORMAT_ODD;
    } else if (http_is_type(content_type, SPAN("application/x-ndjson"))) {
        a->format = FORMAT_NDJSON;
    }
}

void assembler_free(struct assembler *a)
{
    answer_free(&a->answer);
    buf_free(&a->line);
    buf_free(&a->error);
}

/* Whether a string of the document holds U+0000, which cJSON takes for the string's end. */
static bool has_nul(struct span json)
{
    if (memchr(json.ptr, '\0', json.len) != NULL) {
        return true;
    }
    struct span nul = SPAN("\\u0000");
    for (size_t at = 0; (at = span_find(json, nul, at)) != SIZE_MAX; at += nul.len) {
        size_t before = at;
        while (before > 0 && json.ptr[before - 1] == '\\') {
            before--;
        }
        if ((at - before) % 2 == 0) {
            return true;
        }
    }
    return false;
}

static void event(struct assembler *a, struct span json, bool streamed)
{
    cJSON *root = json_tree_parse(json);
    a->event_seen = true;
    a->odd = a->odd || has_nul(json);
    if (!cJSON_IsObject(root)) {
        a->odd = true;
    } else if (endpoint_dialect(a->endpoint) == DIALECT_OLLAMA) {
        ollama_event(a, root);
    } else {
        openai_event(a, root, streamed);
    }
    cJSON_Delete(root);
}

static struct span after(struct span line, size_t n)
{
    return span_trim(span_make(line.ptr + n, line.len - n));
}

static void sse_line(struct assembler *a, struct span line)
{
    if (span_starts(line, SPAN("data:"))) {
        struct span data = after(line, 5);
        if (span_eq(data, SPAN("[DONE]"))) {
            a->ended = true;
        } else if (data.len > 0 && !a->ended) {
            event(a, data, true);
        }
    } else if (span_starts(line, SPAN("error:"))) {
        /* llama.cpp up to 2025 sent errors of a stream as a line of their own */
        struct buf wrapped = {.max = ERROR_MAX};
        struct span data = after(line, 6);
        if (buf_printf(&wrapped, "{\"error\":%.*s}", (int)data.len, data.ptr) == ERR_OK) {
            event(a, buf_span(&wrapped), true);
        }
        buf_free(&wrapped);
    }
    /* comments, "event:", "id:", "retry:" and empty lines say nothing here */
}

static void one_line(struct assembler *a, struct span line)
{
    line = span_trim(line);
    if (line.len == 0 || a->failed) {
        return;
    }
    if (a->format == FORMAT_SSE) {
        sse_line(a, line);
    } else if (!a->ended) {
        event(a, line, true);
    }
}

/* An OpenAI type server that answers with one object begins with '{', like an NDJSON line. */
static void sniff(struct assembler *a, struct span piece)
{
    struct span rest = span_trim(piece);
    if (rest.len == 0) {
        return;
    }
    if (rest.ptr[0] == '{') {
        a->format = endpoint_dialect(a->endpoint) == DIALECT_OLLAMA ? FORMAT_NDJSON : FORMAT_JSON;
    } else if (rest.ptr[0] == '<') {
        a->format = FORMAT_ODD;
    } else {
        a->format = FORMAT_SSE;
    }
}

/* Whether the first line of an Ollama body ends inside of an object: the body is one object that is
 * printed over several lines, no NDJSON. */
static bool is_spread(const struct assembler *a, struct span line)
{
    struct span text = span_trim(line);
    size_t looked = 0;
    return a->format == FORMAT_NDJSON && !a->event_seen && text.len > 0 &&
           json_extent(text, JSON_LOOSE, &looked) == JSON_CUT;
}

static void feed_object(struct assembler *a, struct span piece)
{
    if (buf_append_span(&a->line, piece) != ERR_OK) {
        a->too_large = true;
    }
}

static void feed_lines(struct assembler *a, struct span piece)
{
    while (piece.len > 0 && !a->too_large) {
        const char *lf = memchr(piece.ptr, '\n', piece.len);
        size_t n = lf == NULL ? piece.len : (size_t)(lf - piece.ptr) + 1;
        bool copied = lf == NULL || a->line.len > 0;
        if (copied && buf_append(&a->line, piece.ptr, n) != ERR_OK) {
            a->too_large = true;
        }
        struct span line = copied ? buf_span(&a->line) : span_make(piece.ptr, n);
        if (lf != NULL && is_spread(a, line)) {
            size_t had = copied ? n : 0;
            a->format = FORMAT_JSON;
            feed_object(a, span_make(piece.ptr + had, piece.len - had));
            return;
        }
        if (lf != NULL && !a->too_large) {
            one_line(a, line);
            buf_clear(&a->line);
        }
        piece = span_make(piece.ptr + n, piece.len - n);
    }
}

/* Drops a byte order mark before the body's first byte; it may come in pieces. */
static struct span without_mark(struct assembler *a, struct span piece)
{
    static const char mark[] = "\xEF\xBB\xBF";
    while (a->mark < 3 && piece.len > 0 && piece.ptr[0] == mark[a->mark]) {
        a->mark++;
        piece = span_make(piece.ptr + 1, piece.len - 1);
    }
    if (piece.len > 0) {
        a->mark = 3; /* what else begins like one is no JSON and no event */
    }
    return piece;
}

void assembler_feed(struct assembler *a, struct span piece)
{
    piece = without_mark(a, piece);
    a->any = a->any || span_trim(piece).len > 0;
    if (a->format == FORMAT_SNIFF) {
        sniff(a, piece);
    }
    if (a->format == FORMAT_SSE || a->format == FORMAT_NDJSON) {
        feed_lines(a, piece);
    } else if (a->format == FORMAT_JSON) {
        feed_object(a, piece);
    }
}

bool assembler_finished(const struct assembler *a)
{
    return a->failed || a->too_large || a->ended || a->finish_seen;
}

/* The rest that no line end came for. True: it is the front part of a line or an object, so the
 * server did not say something odd but was cut off. */
static bool take_rest(struct assembler *a)
{
    size_t looked = 0;
    struct span rest = span_trim(buf_span(&a->line));
    struct span said = rest;
    if (a->format == FORMAT_SSE) {
        bool data = span_starts(rest, SPAN("data:"));
        bool error = span_starts(rest, SPAN("error:"));
        said = data ? after(rest, 5) : error ? after(rest, 6) : SPAN_NONE;
    }
    bool mark = said.len < 6 && span_starts(SPAN("[DONE]"), said);
    if (said.len > 0 && (mark || json_extent(said, JSON_LOOSE, &looked) == JSON_CUT)) {
        return true;
    }
    if (a->format == FORMAT_JSON) {
        event(a, rest, false);
    } else {
        one_line(a, rest);
    }
    return false;
}

bool assembler_begun(const struct assembler *a)
{
    struct span line = buf_span(&a->line);
    struct span data = SPAN("data:");
    data.len = line.len < data.len ? line.len : data.len;
    bool event = line.len > 0 && (a->format != FORMAT_SSE || span_starts(line, data));
    return a->first_token_seen || event;
}

enum assembled assembler_finish(struct assembler *a, bool transport_whole)
{
    bool cut = !transport_whole || !a->any || (a->line.len > 0 && take_rest(a));
    bool ended = a->ended || a->finish_seen;
    buf_clear(&a->line);
    if (a->failed) {
        return ASSEMBLED_ERROR;
    }
    if (a->too_large) {
        return ASSEMBLED_TOO_LARGE;
    }
    if (!transport_whole || (cut && !ended)) {
        return ASSEMBLED_INCOMPLETE;
    }
    if (a->format == FORMAT_ODD || a->format == FORMAT_SNIFF || a->odd) {
        return ASSEMBLED_ODD;
    }
    return ended ? ASSEMBLED_WHOLE : ASSEMBLED_INCOMPLETE;
}
