/* render.c: the neutral answer as the one JSON object a client wants, and as bytes for the store.
 *
 * The JSON is written by hand into a buffer: its shape is fixed, and it is on the way of every
 * answer. Content that is not valid UTF-8 is repaired (U+FFFD), so that the object is valid
 * whatever the model said.
 */
#include "lull/base/utf8.h"
#include "path/dialect/dialect_priv.h"

#include <inttypes.h>
#include <time.h>

enum { RECORD_VERSION = 1, RECORD_HEAD = 48 };

enum err put_string(struct buf *out, struct span s)
{
    enum err e = buf_append_char(out, '"');
    size_t from = 0;
    for (size_t at = 0; at < s.len && e == ERR_OK;) {
        size_t n = utf8_length(s.ptr + at, s.len - at);
        if (n == 0) {
            e = buf_append_json(out, span_make(s.ptr + from, at - from));
            e = e == ERR_OK ? buf_append_span(out, SPAN("\xEF\xBF\xBD")) : e;
            from = at + 1;
        }
        at += n == 0 ? 1 : n;
    }
    if (e == ERR_OK && from < s.len) {
        e = buf_append_json(out, span_make(s.ptr + from, s.len - from));
    }
    return e == ERR_OK ? buf_append_char(out, '"') : e;
}

static const char *finish_name(enum finish f)
{
    return f == FINISH_LENGTH ? "length" : "stop";
}

static enum err put_member(struct buf *out, const char *before, struct span text)
{
    enum err e = buf_append_span(out, span_of(before));
    return e == ERR_OK ? put_string(out, text) : e;
}

static enum err render_openai(const struct answer *a, struct span model, wall_t created,
                              uint64_t serial, struct buf *out)
{
    enum err e = buf_printf(out,
                            "{\"id\":\"chatcmpl-lull-%" PRIx64
                            "\",\"object\":\"chat.completion\",\"created\":%" PRId64,
                            serial, created.us / USEC_PER_S);
    e = e == ERR_OK ? put_member(out, ",\"model\":", model) : e;
    e = e == ERR_OK
            ? put_member(
                  out,
                  ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":",
                  buf_span(&a->content))
            : e;
    if (e == ERR_OK && a->thinking.len > 0) {
        e = put_member(out, ",\"reasoning_content\":", buf_span(&a->thinking));
    }
    e = e == ERR_OK ? buf_printf(out, "},\"finish_reason\":\"%s\"}]", finish_name(a->finish)) : e;
    if (e == ERR_OK && a->tokens_in >= 0 && a->tokens_out >= 0) {
        e = buf_printf(out,
                       ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                       ",\"total_tokens\":%" PRId64 "}",
                       a->tokens_in, a->tokens_out, a->tokens_in + a->tokens_out);
    }
    return e == ERR_OK ? buf_append_char(out, '}') : e;
}

static enum err put_created_at(struct buf *out, wall_t created)
{
    char text[40];
    struct tm utc;
    time_t seconds = (time_t)(created.us / USEC_PER_S);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    return buf_printf(out, ",\"created_at\":\"%s.%06dZ\"", text, (int)(created.us % USEC_PER_S));
}

static enum err put_message(const struct answer *a, bool generate, struct buf *out)
{
    const char *before =
        generate ? ",\"response\":" : ",\"message\":{\"role\":\"assistant\",\"content\":";
    enum err e = put_member(out, before, buf_span(&a->content));
    if (e == ERR_OK && a->thinking.len > 0) {
        e = put_member(out, ",\"thinking\":", buf_span(&a->thinking));
    }
    return e == ERR_OK && !generate ? buf_append_char(out, '}') : e;
}

static enum err render_ollama(const struct answer *a, bool generate, struct span model,
                              wall_t created, struct buf *out)
{
    enum err e = put_member(out, "{\"model\":", model);
    e = e == ERR_OK ? put_created_at(out, created) : e;
    e = e == ERR_OK ? put_message(a, generate, out) : e;
    e = e == ERR_OK
            ? buf_printf(out, ",\"done\":true,\"done_reason\":\"%s\"", finish_name(a->finish))
            : e;
    if (e == ERR_OK && a->model_time >= 0) {
        e = buf_printf(out, ",\"total_duration\":%" PRId64, a->model_time * 1000);
    }
    if (e == ERR_OK && a->tokens_in >= 0) {
        e = buf_printf(out, ",\"prompt_eval_count\":%" PRId64, a->tokens_in);
    }
    if (e == ERR_OK && a->tokens_out >= 0) {
        e = buf_printf(out, ",\"eval_count\":%" PRId64, a->tokens_out);
    }
    return e == ERR_OK ? buf_append_char(out, '}') : e;
}

enum err answer_render(const struct answer *a, enum endpoint endpoint, struct span model,
                       wall_t created, uint64_t serial, struct buf *out)
{
    if (endpoint_dialect(endpoint) == DIALECT_OLLAMA) {
        return render_ollama(a, endpoint == ENDPOINT_OLLAMA_GENERATE, model, created, out);
    }
    return render_openai(a, model, created, serial, out);
}

/* ---- stored form: a head of fixed size (little-endian), then content and thinking ---- */

static void put_le(unsigned char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (unsigned char)(v >> (8 * i));
    }
}

static uint64_t get_le(const unsigned char *at)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | at[i];
    }
    return v;
}

enum err answer_encode(const struct answer *a, struct buf *out)
{
    unsigned char head[RECORD_HEAD] = {RECORD_VERSION, (unsigned char)a->finish};
    put_le(head + 8, (uint64_t)a->tokens_in);
    put_le(head + 16, (uint64_t)a->tokens_out);
    put_le(head + 24, (uint64_t)a->cached_tokens);
    put_le(head + 32, (uint64_t)a->model_time);
    put_le(head + 40, a->content.len);
    size_t before = out->len;
    enum err e = buf_append(out, head, sizeof head);
    e = e == ERR_OK ? buf_append_span(out, buf_span(&a->content)) : e;
    e = e == ERR_OK ? buf_append_span(out, buf_span(&a->thinking)) : e;
    if (e != ERR_OK) {
        out->len = before;
    }
    return e;
}

/* Counts as the assembler bounds them (count_of): sums of two cannot overflow. */
static int64_t or_unknown(uint64_t v)
{
    return v < 1000000000000000 ? (int64_t)v : -1;
}

enum err answer_decode(struct span bytes, struct answer *out)
{
    const unsigned char *head = (const unsigned char *)bytes.ptr;
    answer_init(out);
    if (bytes.len < RECORD_HEAD || head[0] != RECORD_VERSION || head[1] > FINISH_OTHER) {
        return ERR_CORRUPT;
    }
    uint64_t content = get_le(head + 40);
    size_t rest = bytes.len - RECORD_HEAD;
    if (content > rest || rest > ANSWER_MAX) {
        return ERR_CORRUPT;
    }
    out->finish = (enum finish)head[1];
    out->tokens_in = or_unknown(get_le(head + 8));
    out->tokens_out = or_unknown(get_le(head + 16));
    out->cached_tokens = or_unknown(get_le(head + 24));
    out->model_time = or_unknown(get_le(head + 32));
    enum err e = buf_append(&out->content, bytes.ptr + RECORD_HEAD, (size_t)content);
    e = e == ERR_OK
            ? buf_append(&out->thinking, bytes.ptr + RECORD_HEAD + content, rest - (size_t)content)
            : e;
    if (e != ERR_OK) {
        answer_free(out);
    }
    return e;
}
