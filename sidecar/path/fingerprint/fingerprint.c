/* fingerprint.c: keys.
 *
 * A key answers "is this the same request?" and must never say yes wrongly. So it is made of
 * everything that can change the answer, except for a short list of what cannot; new members that
 * nobody has thought of are in it by themselves. Level 1 takes the request as it came and costs one
 * hash over its bytes: the repeat of a request that was seen before is found without a JSON parse.
 * Level 2 takes the request in neutral words and canonical form, so that it is found again in
 * another JSON style, with another spelling, by another path, or in the other dialect. What decides
 * beside the body stands in front of it as a head of length-prefixed fields.
 *
 * The hash is an address. The material (head, then body) is what the cache compares, byte for byte or
 * by its SHA-256. `storage` belongs to the fingerprint and is used
 * again; spans into it hold until the next call. The raw body stays the caller's.
 *
 * Rejected: allow-lists of members (a forgotten one serves a wrong answer); hashing a printed DOM
 * (20 times slower than the bytes, and it loses what numbers and \u0000 looked like).
 */
#include "lull/path/fingerprint/fingerprint.h"

#include "lull/path/dialect/convert.h"
#include "lull/path/webui/classify.h"

#include <stdio.h>

enum {
    LENGTH_BYTES = 8,
    /* over all that HTTP lets a client put into a head */
    HEAD_MAX = HTTP_MAX_HEAD + HTTP_MAX_TARGET + 80 * 1024, /* `extra` may have 64 KB */
    NEUTRAL_MORE = 4096, /* what the neutral form of a body may be longer by than twice the body */
};

/* Members that say how the answer is to be sent or who asks, not what is asked; the model stands in
 * the head. */
static const struct span outside_meaning[] = {
    {"model", 5}, {"stream", 6}, {"stream_options", 14}, {"user", 4}, {"metadata", 8},
};

/* Written out, so that the compiler makes it one store. */
static void put_length(char *out, size_t len)
{
    uint64_t n = len;
    out[0] = (char)(n & 0xFF);
    out[1] = (char)(n >> 8 & 0xFF);
    out[2] = (char)(n >> 16 & 0xFF);
    out[3] = (char)(n >> 24 & 0xFF);
    out[4] = (char)(n >> 32 & 0xFF);
    out[5] = (char)(n >> 40 & 0xFF);
    out[6] = (char)(n >> 48 & 0xFF);
    out[7] = (char)(n >> 56 & 0xFF);
}

static void put(struct buf *out, const void *data, size_t len)
{
    if (len != 0) {
        memcpy(out->data + out->len, data, len);
        out->len += len;
    }
}

/* The head: each field after its length, and room for the length of the body, set by seal(). */
static MUST_CHECK enum err write_head(struct buf *out, const struct span *fields, size_t count)
{
    size_t need = LENGTH_BYTES;
    for (size_t i = 0; i < count; i++) {
        need += LENGTH_BYTES + fields[i].len;
    }
    buf_clear(out);
    enum err e = buf_reserve(out, need);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < count; i++) {
        put_length(out->data + out->len, fields[i].len);
        out->len += LENGTH_BYTES;
        put(out, fields[i].ptr, fields[i].len);
    }
    out->len += LENGTH_BYTES;
    return ERR_OK;
}

/* Sets the body's length at the end of the head and the spans and hash of f. */
static void seal(struct fingerprint *f, size_t head_len, struct span body,
                 const struct hash_secret *secret)
{
    put_length(f->storage.data + head_len - LENGTH_BYTES, body.len);
    f->head = span_make(f->storage.data, head_len);
    f->body = body;
    struct hash_state state;
    hash_begin(&state, secret);
    hash_update(&state, f->head.ptr, f->head.len);
    if (body.len != 0) {
        hash_update(&state, body.ptr, body.len);
    }
    f->hash = hash_end(&state);
}

static void begin(struct fingerprint *f, size_t max)
{
    f->hash = (struct hash_key){0, 0};
    f->head = SPAN_NONE;
    f->body = SPAN_NONE;
    f->storage.max = max;
}

static const struct upstream_settings *upstream_at(const struct settings *settings, int index)
{
    require(index >= 0 && (size_t)index < settings->upstream_count);
    return &settings->upstreams[index];
}

void fingerprint_free(struct fingerprint *f)
{
    buf_free(&f->storage);
    begin(f, 0);
}

void fingerprint_exact(const struct fingerprint_exact *in, const struct hash_secret *secret,
                       struct fingerprint *f)
{
    const struct settings *s = in->settings;
    const uint8_t tag[4] = {'1', FINGERPRINT_VERSION, TASK_SIGNATURES_VERSION, (uint8_t)in->header};
    const struct span fields[] = {
        span_make((const char *)tag, sizeof tag),
        span_make((const char *)s->policy_digest, sizeof s->policy_digest),
        span_of(upstream_at(s, in->upstream)->name),
        span_make((const char *)in->scope->digest, sizeof in->scope->digest),
        in->header == TASK_HEADER_VALUE ? in->header_value : SPAN_NONE,
        in->method,
        in->path,
        in->query,
    };
    begin(f, HEAD_MAX);
    /* the parser of heads bounds every field, so this fails only where memory is gone */
    enum err e = write_head(&f->storage, fields, sizeof fields / sizeof fields[0]);
    require(e == ERR_OK);
    seal(f, f->storage.len, in->body, secret);
}

void normalized_body_read(struct span body, const struct dialect_request *request,
                          struct normalized_body *out)
{
    out->len = body.len;
    buf_init(&out->text, 2 * body.len + NEUTRAL_MORE);
    out->converts =
        dialect_request_neutral(body, request->endpoint, request, &out->text, &out->verdict);
}

void normalized_body_free(struct normalized_body *b)
{
    buf_free(&b->text);
}

enum json_verdict fingerprint_normalized(const struct fingerprint_normalized *in,
                                         const struct hash_secret *secret, struct fingerprint *f)
{
    const struct settings *s = in->settings;
    require(in->kind >= 0 && (size_t)in->kind < s->kind_count);
    const struct kind_policy *policy = &s->kinds[in->kind];
    const struct upstream_settings *upstream = upstream_at(s, in->upstream);
    const struct normalized_body *body = in->body;
    const uint8_t tag[5] = {'2', FINGERPRINT_VERSION, (uint8_t)body->converts,
                            body->converts ? 0 : (uint8_t)in->endpoint, (uint8_t)policy->shape};
    char shaping[64]; /* what is asked for beside the request */
    snprintf(shaping, sizeof shaping, "%d %d %lld", (int)policy->think, (int)policy->json_schema,
             (long long)policy->max_tokens);
    const struct span fields[] = {
        span_make((const char *)tag, sizeof tag),
        span_make((const char *)in->scope->digest, sizeof in->scope->digest),
        span_of(policy->name),
        span_of(policy->shape_member), /* what a stored answer was judged by */
        span_of(upstream->name),
        span_of(upstream->url),
        in->base,
        in->query,
        in->model,
        span_of(shaping),
        span_of(policy->temperature),
        span_of(policy->extra),
    };
    /* the model's name may be as long as the body; the canonical form is no longer than the text */
    begin(f, HEAD_MAX + 3 * body->len + NEUTRAL_MORE);
    if (body->verdict != JSON_OK) {
        return body->verdict;
    }
    if (body->text.len == 0 ||
        write_head(&f->storage, fields, sizeof fields / sizeof fields[0]) != ERR_OK) {
        buf_clear(&f->storage);
        return JSON_TOO_LARGE;
    }
    size_t head_len = f->storage.len;
    enum json_verdict verdict =
        json_canonical(buf_span(&body->text), outside_meaning,
                       sizeof outside_meaning / sizeof outside_meaning[0], &f->storage);
    if (verdict != JSON_OK) {
        buf_clear(&f->storage);
        return verdict;
    }
    seal(f, head_len, span_make(f->storage.data + head_len, f->storage.len - head_len), secret);
    return JSON_OK;
}

/* Where the decoded prompt stands in the canonical body, as JSON; written into `escaped`. */
static size_t find_prompt(struct span body, struct span prompt, struct buf *escaped)
{
    if (prompt.len > FINGERPRINT_PROMPT_MAX || buf_append_json(escaped, prompt) != ERR_OK) {
        return SIZE_MAX;
    }
    return span_find(body, buf_span(escaped), 0);
}

/* Length that the first `len` decoded bytes of the prompt have as JSON. */
static size_t escaped_length(struct span prompt, size_t len, struct buf *scratch)
{
    buf_clear(scratch);
    enum err e = buf_append_json(scratch, span_make(prompt.ptr, len));
    return e == ERR_OK ? scratch->len : SIZE_MAX;
}

bool fingerprint_context(const struct fingerprint *meaning, struct span prompt, struct span text,
                         const struct hash_secret *secret, struct fingerprint *f)
{
    struct buf scratch = {.max = 6 * FINGERPRINT_PROMPT_MAX};
    size_t before = (size_t)(text.ptr - prompt.ptr);
    size_t at = find_prompt(meaning->body, prompt, &scratch);
    size_t from = at == SIZE_MAX ? SIZE_MAX : escaped_length(prompt, before, &scratch);
    size_t to = at == SIZE_MAX ? SIZE_MAX : escaped_length(prompt, before + text.len, &scratch);
    buf_free(&scratch);
    if (from == SIZE_MAX || to == SIZE_MAX) {
        return false;
    }
    /* the head without the body's length, which depends on the text */
    const struct span fields[] = {
        SPAN("context"),
        span_make(meaning->head.ptr, meaning->head.len - LENGTH_BYTES),
        span_make(meaning->body.ptr, at + from),
        span_make(meaning->body.ptr + at + to, meaning->body.len - at - to),
    };
    begin(f, HEAD_MAX + meaning->head.len + meaning->body.len);
    if (write_head(&f->storage, fields, sizeof fields / sizeof fields[0]) != ERR_OK) {
        return false;
    }
    seal(f, f->storage.len, SPAN_NONE, secret);
    return true;
}
