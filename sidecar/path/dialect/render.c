/* render.c: the neutral answer as the one JSON object a client wants, and as bytes for the store.
 *
 * The JSON is written by hand into a buffer: its shape is fixed, and it is on the way of every
 * answer. Content that is not valid UTF-8 is repaired (U+FFFD), so that the object is valid
 * whatever the model said. The stored form has it as it stands in JSON: a hit copies it.
 */
#include "lull/base/ascii.h"
#include "lull/path/json/reader.h"
#include "path/dialect/dialect_priv.h"

#include <time.h>

enum { RECORD_VERSION = 2, RECORD_HEAD = 48 };

/* ---- writing ----
 *
 * Room for the whole object is reserved first, so that each piece is one copy: a reply is rendered
 * on every hit.
 */

struct pen {
    char *at;
};

static void write_bytes(struct pen *p, const char *bytes, size_t len)
{
    memcpy(p->at, bytes, len);
    p->at += len;
}

#define WRITE(pen, literal) write_bytes((pen), "" literal, sizeof(literal) - 1)

static void write_string(struct pen *p, struct span s)
{
    *p->at++ = '"';
    p->at = json_write(p->at, s);
    *p->at++ = '"';
}

/* n: not negative. */
static void write_number(struct pen *p, uint64_t n)
{
    char text[ASCII_DECIMAL_MAX];
    size_t at = ascii_decimal(n, text);
    write_bytes(p, text + at, sizeof text - at);
}

static void write_hex(struct pen *p, uint64_t n)
{
    char text[2 * sizeof n];
    size_t at = sizeof text;
    do {
        text[--at] = ascii_hex_digit((unsigned)n);
        n >>= 4;
    } while (n > 0);
    write_bytes(p, text + at, sizeof text - at);
}

static void write_padded(struct pen *p, int n, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        p->at[i] = (char)('0' + n % 10);
        n /= 10;
    }
    p->at += digits;
}

/* What is rendered: of an answer, or of its stored form. */
struct parts {
    struct span content, thinking;
    bool escaped; /* they are as they stand in JSON */
    bool is_reasoning;
    enum finish finish;
    int64_t tokens_in, tokens_out, model_time;
};

static void write_text(struct pen *p, const struct parts *a, struct span s)
{
    if (!a->escaped) {
        write_string(p, s);
        return;
    }
    WRITE(p, "\"");
    write_bytes(p, s.ptr, s.len);
    WRITE(p, "\"");
}

/* Room for it, but for the quotes. */
static size_t text_room(const struct parts *a, struct span s)
{
    return a->escaped ? s.len : json_room(s);
}

static void write_finish(struct pen *p, enum finish f)
{
    if (f == FINISH_LENGTH) {
        WRITE(p, "\"length\"");
    } else {
        WRITE(p, "\"stop\"");
    }
}

static void write_openai(struct pen *p, const struct parts *a, struct span model, wall_t created,
                         uint64_t serial)
{
    WRITE(p, "{\"id\":\"chatcmpl-lull-");
    write_hex(p, serial);
    WRITE(p, "\",\"object\":\"chat.completion\",\"created\":");
    write_number(p, (uint64_t)(created.us / USEC_PER_S));
    WRITE(p, ",\"model\":");
    write_string(p, model);
    WRITE(p, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    write_text(p, a, a->content);
    if (a->thinking.len > 0 && a->is_reasoning) {
        WRITE(p, ",\"reasoning\":");
        write_text(p, a, a->thinking);
    } else if (a->thinking.len > 0) {
        WRITE(p, ",\"reasoning_content\":");
        write_text(p, a, a->thinking);
    }
    WRITE(p, "},\"finish_reason\":");
    write_finish(p, a->finish);
    WRITE(p, "}]");
    if (a->tokens_in >= 0 && a->tokens_out >= 0) {
        WRITE(p, ",\"usage\":{\"prompt_tokens\":");
        write_number(p, (uint64_t)a->tokens_in);
        WRITE(p, ",\"completion_tokens\":");
        write_number(p, (uint64_t)a->tokens_out);
        WRITE(p, ",\"total_tokens\":");
        write_number(p, (uint64_t)(a->tokens_in + a->tokens_out));
        WRITE(p, "}");
    }
    WRITE(p, "}");
}

/* As Go writes a time: 2026-01-02T03:04:05.678901Z. */
static void write_time(struct pen *p, wall_t t)
{
    struct tm utc;
    time_t seconds = (time_t)(t.us / USEC_PER_S);
    gmtime_r(&seconds, &utc);
    write_padded(p, utc.tm_year + 1900, 4);
    WRITE(p, "-");
    write_padded(p, utc.tm_mon + 1, 2);
    WRITE(p, "-");
    write_padded(p, utc.tm_mday, 2);
    WRITE(p, "T");
    write_padded(p, utc.tm_hour, 2);
    WRITE(p, ":");
    write_padded(p, utc.tm_min, 2);
    WRITE(p, ":");
    write_padded(p, utc.tm_sec, 2);
    WRITE(p, ".");
    write_padded(p, (int)(t.us % USEC_PER_S), 6);
    WRITE(p, "Z");
}

static void write_ollama(struct pen *p, const struct parts *a, bool generate, struct span model,
                         wall_t created)
{
    WRITE(p, "{\"model\":");
    write_string(p, model);
    WRITE(p, ",\"created_at\":\"");
    write_time(p, created);
    if (generate) {
        WRITE(p, "\",\"response\":");
    } else {
        WRITE(p, "\",\"message\":{\"role\":\"assistant\",\"content\":");
    }
    write_text(p, a, a->content);
    if (a->thinking.len > 0) {
        WRITE(p, ",\"thinking\":");
        write_text(p, a, a->thinking);
    }
    if (!generate) {
        WRITE(p, "}");
    }
    WRITE(p, ",\"done\":true,\"done_reason\":");
    write_finish(p, a->finish);
    if (a->model_time >= 0) {
        WRITE(p, ",\"total_duration\":");
        write_number(p, (uint64_t)a->model_time * 1000);
    }
    if (a->tokens_in >= 0) {
        WRITE(p, ",\"prompt_eval_count\":");
        write_number(p, (uint64_t)a->tokens_in);
    }
    if (a->tokens_out >= 0) {
        WRITE(p, ",\"eval_count\":");
        write_number(p, (uint64_t)a->tokens_out);
    }
    WRITE(p, "}");
}

static enum err render(const struct parts *a, enum endpoint endpoint, struct span model,
                       wall_t created, uint64_t serial, struct buf *out)
{
    enum { FIXED = 512 }; /* over all names, numbers and quotes */
    enum err e = buf_reserve(out, FIXED + json_room(model) + text_room(a, a->content) +
                                      text_room(a, a->thinking));
    if (e != ERR_OK) {
        return e;
    }
    struct pen p = {out->data + out->len};
    if (endpoint_dialect(endpoint) == DIALECT_OLLAMA) {
        write_ollama(&p, a, endpoint == ENDPOINT_OLLAMA_GENERATE, model, created);
    } else {
        write_openai(&p, a, model, created, serial);
    }
    out->len = (size_t)(p.at - out->data);
    return ERR_OK;
}

enum err answer_render(const struct answer *a, enum endpoint endpoint, struct span model,
                       wall_t created, uint64_t serial, struct buf *out)
{
    const struct parts p = {.content = buf_span(&a->content),
                            .thinking = buf_span(&a->thinking),
                            .is_reasoning = a->is_reasoning,
                            .finish = a->finish,
                            .tokens_in = a->tokens_in,
                            .tokens_out = a->tokens_out,
                            .model_time = a->model_time};
    return render(&p, endpoint, model, created, serial, out);
}

/* ---- stored form: a head of fixed size (little-endian), then content and thinking, as they stand in
 * JSON, without quotes ---- */

static void put_le(unsigned char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (unsigned char)(v >> (8 * i));
    }
}

/* Written out, so that the compiler makes it one load. */
static uint64_t get_le(const unsigned char *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

/* A text with U+0000 cannot be read back. */
static enum err append_text(struct buf *out, struct span s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL ? ERR_INVALID : buf_append_json(out, s);
}

enum err answer_encode(const struct answer *a, struct buf *out)
{
    unsigned char head[RECORD_HEAD] = {RECORD_VERSION, (unsigned char)a->finish, a->is_reasoning};
    size_t before = out->len;
    enum err e = buf_append(out, head, sizeof head);
    e = e == ERR_OK ? append_text(out, buf_span(&a->content)) : e;
    uint64_t content = out->len - before - sizeof head;
    e = e == ERR_OK ? append_text(out, buf_span(&a->thinking)) : e;
    if (e != ERR_OK) {
        out->len = before;
        return e;
    }
    put_le(head + 8, (uint64_t)a->tokens_in);
    put_le(head + 16, (uint64_t)a->tokens_out);
    put_le(head + 24, (uint64_t)a->cached_tokens);
    put_le(head + 32, (uint64_t)a->model_time);
    put_le(head + 40, content);
    memcpy(out->data + before, head, sizeof head);
    return ERR_OK;
}

/* Counts as the assembler bounds them (count_of): sums of two cannot overflow. */
static int64_t or_unknown(uint64_t v)
{
    return v < 1000000000000000 ? (int64_t)v : -1;
}

/* The stored form, in place. */
static bool read_stored(struct span bytes, struct parts *out, int64_t *cached_tokens)
{
    const unsigned char *head = (const unsigned char *)bytes.ptr;
    if (bytes.len < RECORD_HEAD || head[0] != RECORD_VERSION || head[1] > FINISH_OTHER ||
        head[2] > 1) {
        return false;
    }
    uint64_t content = get_le(head + 40);
    size_t rest = bytes.len - RECORD_HEAD;
    if (content > rest || rest > ANSWER_MAX) {
        return false;
    }
    out->escaped = true;
    out->finish = (enum finish)head[1];
    out->is_reasoning = head[2] != 0;
    out->tokens_in = or_unknown(get_le(head + 8));
    out->tokens_out = or_unknown(get_le(head + 16));
    *cached_tokens = or_unknown(get_le(head + 24));
    out->model_time = or_unknown(get_le(head + 32));
    out->content = span_make(bytes.ptr + RECORD_HEAD, (size_t)content);
    out->thinking = span_make(bytes.ptr + RECORD_HEAD + content, rest - (size_t)content);
    return true;
}

enum err answer_render_stored(struct span bytes, enum endpoint endpoint, struct span model,
                              wall_t created, uint64_t serial, struct buf *out)
{
    struct parts p;
    int64_t cached_tokens = 0;
    return read_stored(bytes, &p, &cached_tokens)
               ? render(&p, endpoint, model, created, serial, out)
               : ERR_CORRUPT;
}

enum err answer_decode(struct span bytes, struct answer *out)
{
    struct parts p;
    answer_init(out);
    if (!read_stored(bytes, &p, &out->cached_tokens)) {
        return ERR_CORRUPT;
    }
    out->is_reasoning = p.is_reasoning;
    out->finish = p.finish;
    out->tokens_in = p.tokens_in;
    out->tokens_out = p.tokens_out;
    out->model_time = p.model_time;
    bool read = json_text(p.content, &out->content) && json_text(p.thinking, &out->thinking);
    if (!read) {
        answer_free(out);
    }
    return read ? ERR_OK : ERR_CORRUPT;
}
