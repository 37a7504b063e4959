/* assemble.c: a model server's answer, put together piece by piece as it arrives.
 *
 * Three framings: SSE ("data: {...}" lines, "[DONE]" at the end), NDJSON (one object a line,
 * "done": true at the end), and one JSON object. The content type says which; where it says nothing
 * useful, the first byte does. Only an answer whose end mark has come is whole, however the
 * transport ended.
 */
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

static void append(struct assembler *a, struct buf *to, const cJSON *text)
{
    if (!cJSON_IsString(text) || text->valuestring[0] == '\0') {
        return;
    }
    struct span s = span_of(text->valuestring);
    a->first_token_seen = true;
    if (a->answer.content.len + a->answer.thinking.len + s.len > ANSWER_MAX ||
        buf_append_span(to, s) != ERR_OK) {
        a->too_large = true;
    }
}

void assemble_content(struct assembler *a, const cJSON *text)
{
    append(a, &a->answer.content, text);
}

void assemble_thinking(struct assembler *a, const cJSON *text)
{
    append(a, &a->answer.thinking, text);
}

void assemble_error(struct assembler *a, const cJSON *root)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(root, "error");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
    if (a->failed) {
        return;
    }
    a->failed = true;
    a->error_status = 500;
    if (cJSON_IsNumber(code) && code->valuedouble >= 400 && code->valuedouble < 600) {
        a->error_status = (int)code->valuedouble;
    }
    char *text = cJSON_PrintUnformatted(error);
    if (text == NULL || buf_printf(&a->error, "{\"error\":%s}", text) != ERR_OK) {
        buf_clear(&a->error);
        enum err e = buf_append_span(&a->error, SPAN("{\"error\":\"unknown\"}"));
        (void)e;
    }
    cJSON_free(text);
}

static bool has_type(struct span content_type, struct span type)
{
    return content_type.len >= type.len &&
           span_eq_nocase(span_make(content_type.ptr, type.len), type);
}

void assembler_init(struct assembler *a, enum endpoint endpoint, struct span content_type)
{
    *a = (struct assembler){.endpoint = endpoint, .format = FORMAT_SNIFF};
    answer_init(&a->answer);
    buf_init(&a->line, LINE_MAX_BYTES);
    buf_init(&a->error, ERROR_MAX);
    if (has_type(content_type, SPAN("text/html"))) {
        a->format = FORMAT_ODD;
    } else if (has_type(content_type, SPAN("application/x-ndjson"))) {
        a->format = FORMAT_NDJSON;
    }
}

void assembler_free(struct assembler *a)
{
    answer_free(&a->answer);
    buf_free(&a->line);
    buf_free(&a->error);
}

static void event(struct assembler *a, struct span json, bool streamed)
{
    cJSON *root = json_tree_parse(json);
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

static void feed_lines(struct assembler *a, struct span piece)
{
    while (piece.len > 0 && !a->too_large) {
        const char *lf = memchr(piece.ptr, '\n', piece.len);
        size_t n = lf == NULL ? piece.len : (size_t)(lf - piece.ptr) + 1;
        if (lf != NULL && a->line.len == 0) {
            one_line(a, span_make(piece.ptr, n)); /* whole in this piece: no copy */
        } else if (buf_append(&a->line, piece.ptr, n) != ERR_OK) {
            a->too_large = true;
        } else if (lf != NULL) {
            one_line(a, buf_span(&a->line));
            buf_clear(&a->line);
        }
        piece = span_make(piece.ptr + n, piece.len - n);
    }
}

void assembler_feed(struct assembler *a, struct span piece)
{
    if (a->format == FORMAT_SNIFF) {
        sniff(a, piece);
    }
    if (a->format == FORMAT_SSE || a->format == FORMAT_NDJSON) {
        feed_lines(a, piece);
    } else if (a->format == FORMAT_JSON && buf_append_span(&a->line, piece) != ERR_OK) {
        a->too_large = true;
    }
}

enum assembled assembler_finish(struct assembler *a, bool transport_whole)
{
    if (transport_whole && a->line.len > 0) {
        if (a->format == FORMAT_JSON) {
            event(a, buf_span(&a->line), false);
        } else {
            one_line(a, buf_span(&a->line)); /* the last line may lack its end */
        }
        buf_clear(&a->line);
    }
    if (a->failed) {
        return ASSEMBLED_ERROR;
    }
    if (a->too_large) {
        return ASSEMBLED_TOO_LARGE;
    }
    if (!transport_whole) {
        return ASSEMBLED_INCOMPLETE;
    }
    if (a->format == FORMAT_ODD || a->format == FORMAT_SNIFF || a->odd) {
        return ASSEMBLED_ODD;
    }
    return a->ended ? ASSEMBLED_WHOLE : ASSEMBLED_INCOMPLETE;
}
