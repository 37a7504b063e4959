/* assemble.c: a model server's answer, put together piece by piece as it arrives.
 *
 * Three framings: SSE ("data: {...}" lines, "[DONE]" at the end), NDJSON (one object a line,
 * "done": true at the end), and one JSON object. The content type says which; where it says nothing
 * useful, the first byte does. A byte order mark before the first byte says nothing. An answer is
 * whole when its transport has ended well and its end mark has come, or a finish reason: not every
 * server sends "[DONE]".
 */
#include "lull/base/scan.h"
#include "lull/http/fields.h"
#include "lull/path/json/reader.h"
#include "path/dialect/dialect_priv.h"

enum { FORMAT_SNIFF, FORMAT_SSE, FORMAT_NDJSON, FORMAT_JSON, FORMAT_ODD };
enum { LINE_MAX_BYTES = 8 * 1024 * 1024, ERROR_MAX = 1024 * 1024 };

void answer_init(struct answer *a)
{
    *a = (struct answer){.tokens_in = -1,
                         .tokens_out = -1,
                         .cached_tokens = -1,
                         .prompt_time = -1,
                         .model_time = -1};
    buf_init(&a->content, ANSWER_MAX);
    buf_init(&a->thinking, ANSWER_MAX);
}

void answer_free(struct answer *a)
{
    buf_free(&a->content);
    buf_free(&a->thinking);
}

void assemble_string(struct assembler *a, struct buf *to, const struct json_node *text)
{
    size_t before = to->len;
    if (!json_append_text(text, to)) {
        bool full = text->raw.len > to->max - before;
        a->too_large = a->too_large || full;
        a->odd = a->odd || !full; /* it has no text in UTF-8 */
    } else if (a->answer.content.len + a->answer.thinking.len > ANSWER_MAX) {
        to->len = before;
        a->too_large = true;
    }
    if (to->len > before) {
        a->first_token_seen = true;
        a->said.count++;
        a->said.raw = text->raw;
        a->said.thinking = to == &a->answer.thinking;
    }
}

/* {"type": "text", "text": T}, or without its type. */
static void text_part(struct assembler *a, struct buf *to, const struct json_node *part)
{
    const struct json_node *type = json_get(part, SPAN("type"));
    const struct json_node *text = json_get(part, SPAN("text"));
    bool known =
        type == NULL || json_is_text(type, SPAN("text")) || json_is_text(type, SPAN("output_text"));
    if (known && json_is(text, JSON_STRING)) {
        assemble_string(a, to, text);
    } else {
        a->odd = true;
    }
}

/* {"type": "thinking", "thinking": T}, or a list of text parts as T: Mistral's. */
static void thinking_part(struct assembler *a, const struct json_node *thinking)
{
    if (json_is(thinking, JSON_STRING)) {
        assemble_string(a, &a->answer.thinking, thinking);
    } else if (json_is(thinking, JSON_ARRAY)) {
        JSON_EACH(part, thinking)
        {
            text_part(a, &a->answer.thinking, part);
        }
    } else {
        a->odd = true;
    }
}

static void read_part(struct assembler *a, struct buf *to, const struct json_node *part)
{
    if (json_is_text(json_get(part, SPAN("type")), SPAN("thinking"))) {
        thinking_part(a, json_get(part, SPAN("thinking")));
    } else {
        text_part(a, to, part);
    }
}

void assemble_text(struct assembler *a, struct buf *to, const struct json_node *text)
{
    if (json_is(text, JSON_STRING)) {
        assemble_string(a, to, text);
    } else if (json_is(text, JSON_ARRAY)) {
        JSON_EACH(part, text)
        {
            read_part(a, to, part);
        }
    } else if (text != NULL && text->type != JSON_NULL) {
        a->odd = true;
    }
}

/* The status that a value states, as a number or its digits; 0: none that is an error's. */
static int status_of(const struct json_node *value)
{
    struct span s = value == NULL ? SPAN_NONE : value->raw;
    if (json_is(value, JSON_NUMBER)) {
        double n = json_number_of(value);
        return n >= 400 && n < 600 ? (int)n : 0;
    }
    if (!json_is(value, JSON_STRING)) {
        return 0;
    }
    s = span_trim(span_make(s.ptr + 1, s.len - 2));
    bool digits = s.len == 3 && (s.ptr[0] == '4' || s.ptr[0] == '5') && s.ptr[1] >= '0' &&
                  s.ptr[1] <= '9' && s.ptr[2] >= '0' && s.ptr[2] <= '9';
    return digits ? (s.ptr[0] - '0') * 100 + (s.ptr[1] - '0') * 10 + (s.ptr[2] - '0') : 0;
}

/* The status of an error, where any server puts it; 0: it has none. */
static int error_status(const struct json_node *root, const struct json_node *error)
{
    static const struct span names[] = {
        {"code", 4}, {"status", 6}, {"status_code", 11}, {"http_status", 11}};
    const struct json_node *const places[] = {error, json_get(error, SPAN("error")), root};
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            int status = status_of(json_get(places[p], names[i]));
            if (status != 0) {
                return status;
            }
        }
    }
    return 0;
}

const struct json_node *find_error(const struct json_node *root)
{
    const struct json_node *error = json_given(root, SPAN("error"));
    bool empty = error == NULL || error->type == JSON_FALSE || json_is_text(error, SPAN("")) ||
                 (error->type == JSON_NUMBER && json_number_of(error) == 0) ||
                 ((error->type == JSON_OBJECT || error->type == JSON_ARRAY) && error->size == 1);
    if (!empty) {
        return error;
    }
    bool is_one = json_is_text(json_get(root, SPAN("object")), SPAN("error"));
    return is_one ? root : NULL; /* vLLM: {"object": "error", "message", "code"} */
}

void assemble_error(struct assembler *a, const struct json_node *root,
                    const struct json_node *error)
{
    if (a->failed) {
        return;
    }
    a->failed = true;
    int status = error_status(root, error);
    a->error_coded = status != 0;
    a->error_status = status != 0 ? status : 500;
    if (buf_append_span(&a->error, SPAN("{\"error\":")) != ERR_OK ||
        !json_append_plain(error, &a->error) || buf_append_char(&a->error, '}') != ERR_OK) {
        buf_clear(&a->error);
        enum err e = buf_append_span(&a->error, SPAN("{\"error\":\"unknown\"}"));
        (void)e;
    }
}

/* JSON and event streams are UTF-8 (RFC 8259, 8.1), but a client goes by the charset that is named. */
static bool is_foreign(struct span content_type)
{
    static const struct span names[] = {{"utf-8", 5}, {"utf8", 4}, {"us-ascii", 8}, {"", 0}};
    struct span charset = http_parameter(content_type, SPAN("charset"));
    bool known = http_is_type(content_type, SPAN("text/event-stream"));
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !known; i++) {
        known = span_eq_nocase(charset, names[i]);
    }
    return !known;
}

void assembler_init(struct assembler *a, enum endpoint endpoint, struct span content_type)
{
    *a = (struct assembler){
        .endpoint = endpoint, .format = FORMAT_SNIFF, .foreign = is_foreign(content_type)};
    answer_init(&a->answer);
    buf_init(&a->line, LINE_MAX_BYTES);
    buf_init(&a->error, ERROR_MAX);
    buf_init(&a->form.json, EVENT_FORM_MAX);
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
    buf_free(&a->form.json);
}

size_t assembler_room(const struct assembler *a)
{
    return a->answer.content.cap + a->answer.thinking.cap + a->line.cap + a->error.cap +
           a->form.json.cap;
}

static void read_event(struct assembler *a, struct span json, bool streamed)
{
    struct json_doc doc;
    if (streamed && event_repeats(a, json)) {
        return;
    }
    const struct json_node *root = json_read(json, &doc);
    a->event_seen = true;
    a->said = (struct event_said){0};
    if (!doc.whole || !json_is(root, JSON_OBJECT)) {
        a->odd = true;
    } else if (endpoint_dialect(a->endpoint) == DIALECT_OLLAMA) {
        ollama_event(a, root);
    } else {
        openai_event(a, root, streamed);
    }
    event_keep_form(a, json, root);
    json_doc_free(&doc);
}

static struct span behind(struct span line, size_t n)
{
    return span_trim(span_make(line.ptr + n, line.len - n));
}

static void sse_line(struct assembler *a, struct span line)
{
    if (span_starts(line, SPAN("data:"))) {
        struct span data = behind(line, 5);
        if (span_eq(data, SPAN("[DONE]"))) {
            a->ended = true;
        } else if (data.len > 0 && !a->ended) {
            read_event(a, data, true);
        }
    } else if (span_starts(line, SPAN("error:"))) {
        /* llama.cpp up to 2025 sent errors of a stream as a line of their own */
        struct buf wrapped = {.max = ERROR_MAX};
        struct span data = behind(line, 6);
        if (buf_printf(&wrapped, "{\"error\":%.*s}", (int)data.len, data.ptr) == ERR_OK) {
            read_event(a, buf_span(&wrapped), true);
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
        read_event(a, line, true);
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

static void keep_piece(struct assembler *a, struct span piece)
{
    enum err e = buf_append_span(&a->line, piece);
    a->no_memory = a->no_memory || e == ERR_NOMEM;
    a->too_large = a->too_large || e != ERR_OK;
}

static void feed_lines(struct assembler *a, struct span piece)
{
    while (piece.len > 0 && !a->too_large) {
        const char *lf = memchr(piece.ptr, '\n', piece.len);
        size_t n = lf == NULL ? piece.len : (size_t)(lf - piece.ptr) + 1;
        bool copied = lf == NULL || a->line.len > 0;
        if (copied) {
            keep_piece(a, span_make(piece.ptr, n));
        }
        struct span line = copied ? buf_span(&a->line) : span_make(piece.ptr, n);
        if (lf != NULL && is_spread(a, line)) {
            size_t had = copied ? n : 0;
            a->format = FORMAT_JSON;
            keep_piece(a, span_make(piece.ptr + had, piece.len - had));
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
    if (a->foreign && scan_ascii(piece.ptr, piece.len) < piece.len) {
        a->format = FORMAT_ODD; /* its letters are others here than at the client */
        buf_clear(&a->line);
    }
    if (a->format == FORMAT_SNIFF) {
        sniff(a, piece);
    }
    if (a->format == FORMAT_SSE || a->format == FORMAT_NDJSON) {
        feed_lines(a, piece);
    } else if (a->format == FORMAT_JSON) {
        keep_piece(a, piece);
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
        said = data ? behind(rest, 5) : error ? behind(rest, 6) : SPAN_NONE;
    }
    bool mark = said.len < 6 && span_starts(SPAN("[DONE]"), said);
    bool name = a->format == FORMAT_SSE && rest.len > 0 && span_starts(SPAN("data:"), rest);
    if (name || (said.len > 0 && (mark || json_extent(said, JSON_LOOSE, &looked) == JSON_CUT))) {
        return true;
    }
    if (a->format == FORMAT_JSON) {
        read_event(a, rest, false);
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
    bool repeated = a->finish_doubted && a->finish_repeats; /* the next event would have it too */
    bool ended = a->ended || (a->finish_seen && !repeated);
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
    return ended                 ? ASSEMBLED_WHOLE
           : a->first_token_seen ? ASSEMBLED_UNMARKED
                                 : ASSEMBLED_INCOMPLETE;
}
