/* fingerprint.c: keys.
 *
 * A key answers "is this the same request?" and must never say yes wrongly. So it is made of
 * everything that can change the answer, except for a short list of members that cannot; members
 * that a later client adds are in it without a change here. The exact key takes the request as it
 * came and costs one hash over its bytes: a repeat is found without a JSON parse. The normalized
 * key takes the request in a neutral, canonical form: it is found again in another JSON style, with
 * other escapes, by another path, or in the other dialect. What decides beside the body stands in
 * front of it, as a head of length-prefixed fields.
 *
 * The hash is an address. The material (head, then body) is what the cache compares, byte for byte
 * or by its SHA-256. `storage` belongs to the fingerprint and is used again; spans into it are
 * valid until the next call. The exact key borrows the caller's body.
 *
 * Rejected: lists of the members that count (a forgotten one serves a wrong answer); hashing a
 * printed tree (20 times slower than the bytes, and it loses how numbers and \u0000 were written).
 */
#include "lull/path/fingerprint/fingerprint.h"

#include "lull/base/ascii.h"
#include "lull/path/dialect/convert.h"
#include "lull/path/webui/classify.h"

enum {
    LENGTH_BYTES = 8,
    SHAPING_MAX = 3 * (ASCII_DECIMAL_MAX + 2),
    /* more than HTTP lets a client put into a head */
    HEAD_MAX = HTTP_MAX_HEAD + HTTP_MAX_TARGET + 80 * 1024, /* `extra` may have 64 KB */
    NORMALIZED_MORE = 4096, /* the normalized form is at most so much longer than twice the body */
};

/* Unrolled, so that the compiler makes it one store. */
static void write_length(char *out, size_t len)
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
        write_length(out->data + out->len, fields[i].len);
        out->len += LENGTH_BYTES;
        if (fields[i].len != 0) {
            memcpy(out->data + out->len, fields[i].ptr, fields[i].len);
            out->len += fields[i].len;
        }
    }
    out->len += LENGTH_BYTES;
    return ERR_OK;
}

/* Sets the body's length at the end of the head, and the spans of f. */
static void set_parts(struct fingerprint *f, size_t head_len, struct span body)
{
    write_length(f->storage.data + head_len - LENGTH_BYTES, body.len);
    f->head = span_make(f->storage.data, head_len);
    f->body = body;
}

/* Each part is hashed where it stands, at once. */
static struct hash_key hash_of_both(struct hash_key head, struct span body,
                                    const struct hash_secret *secret)
{
    return hash_key_join(head, hash_key_of(secret, body));
}

/* Sets the body's length, the spans and the hash of f. */
static void seal(struct fingerprint *f, size_t head_len, struct span body,
                 const struct hash_secret *secret)
{
    set_parts(f, head_len, body);
    f->hash = hash_of_both(hash_key_of(secret, f->head), body, secret);
}

/* What tells secrets apart: another data file has another one. */
static uint64_t mark_of(const struct hash_secret *secret)
{
    uint64_t mark;
    memcpy(&mark, secret->bytes, sizeof mark);
    return mark;
}

/* The same for an exact key. The hash of its head is without the body's length: it is that of every key
 * with the same head. of: one of them; NULL: none is known. */
static void seal_exact(struct fingerprint *f, const struct fingerprint *of, struct span body,
                       const struct hash_secret *secret)
{
    set_parts(f, f->storage.len, body);
    f->secret_mark = mark_of(secret);
    f->beside = of != NULL && of->secret_mark == f->secret_mark
                    ? of->beside
                    : hash_key_of(secret, fingerprint_beside_body(f));
    f->hash = hash_of_both(f->beside, body, secret);
}

static void reset(struct fingerprint *f, size_t max)
{
    f->hash = (struct hash_key){0, 0};
    f->head = SPAN_NONE;
    f->body = SPAN_NONE;
    f->own = 0;
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
    reset(f, 0);
}

enum err fingerprint_exact(const struct fingerprint_exact *in, const struct hash_secret *secret,
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
    reset(f, HEAD_MAX);
    enum err e = write_head(&f->storage, fields, sizeof fields / sizeof fields[0]);
    if (e == ERR_OK) {
        seal_exact(f, NULL, in->body, secret);
    }
    return e;
}

enum err fingerprint_exact_again(const struct fingerprint *of, struct span body,
                                 const struct hash_secret *secret, struct fingerprint *f)
{
    reset(f, HEAD_MAX);
    buf_clear(&f->storage);
    enum err e = buf_append_span(&f->storage, of->head);
    if (e == ERR_OK) {
        seal_exact(f, of, body, secret);
    }
    return e;
}

void normalized_body_read(struct span body, const struct dialect_request *request,
                          struct normalized_body *out)
{
    *out = (struct normalized_body){.len = body.len};
    buf_init(&out->text, 2 * body.len + NORMALIZED_MORE);
    out->verdict = request->json.verdict;
    if (out->verdict == JSON_OK &&
        dialect_normalize(request, &out->text, &out->converts) != ERR_OK) {
        out->verdict = JSON_TOO_LARGE;
    }
}

void normalized_body_free(struct normalized_body *b)
{
    buf_free(&b->text);
}

static char *put_number(char *at, int64_t n)
{
    char digits[ASCII_DECIMAL_MAX];
    size_t from = ascii_decimal(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, digits);
    if (n < 0) {
        *at++ = '-';
    }
    memcpy(at, digits + from, sizeof digits - from);
    return at + (sizeof digits - from);
}

/* What the policy asks for beside the request: three numbers with a blank between them. */
static struct span shaping_of(const struct kind_policy *policy, char text[SHAPING_MAX])
{
    const int64_t numbers[] = {(int64_t)policy->think, policy->json_schema ? 1 : 0,
                               policy->max_tokens};
    char *at = text;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (i > 0) {
            *at++ = ' ';
        }
        at = put_number(at, numbers[i]);
    }
    return span_make(text, (size_t)(at - text));
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
    char shaping[SHAPING_MAX];
    const struct span fields[] = {
        span_make((const char *)tag, sizeof tag),
        span_make((const char *)in->scope->digest, sizeof in->scope->digest),
        span_of(policy->name),
        span_of(policy->shape_member), /* what a stored answer was validated by */
        span_of(upstream->name),
        span_of(upstream->url),
        in->base,
        in->query,
        in->model,
        shaping_of(policy, shaping),
        span_of(policy->temperature),
        span_of(policy->extra),
    };
    /* the model's name may be as long as the body; the canonical form is no longer than the text */
    reset(f, HEAD_MAX + 3 * body->len + NORMALIZED_MORE);
    if (body->verdict != JSON_OK) {
        return body->verdict;
    }
    enum err e = write_head(&f->storage, fields, sizeof fields / sizeof fields[0]);
    size_t head_len = f->storage.len;
    e = e == ERR_OK ? buf_append_span(&f->storage, buf_span(&body->text)) : e;
    if (e != ERR_OK) {
        buf_clear(&f->storage);
        return JSON_TOO_LARGE;
    }
    seal(f, head_len, span_make(f->storage.data + head_len, f->storage.len - head_len), secret);
    f->own = head_len - LENGTH_BYTES;
    return JSON_OK;
}

bool fingerprint_is_own(struct span body, const struct dialect_request *request, struct span own)
{
    char length[LENGTH_BYTES];
    struct normalized_body normalized;
    normalized_body_read(body, request, &normalized);
    struct span text = buf_span(&normalized.text);
    write_length(length, text.len);
    bool is = normalized.verdict == JSON_OK && own.len == LENGTH_BYTES + text.len &&
              span_eq(span_make(own.ptr, LENGTH_BYTES), span_make(length, LENGTH_BYTES)) &&
              span_eq(span_make(own.ptr + LENGTH_BYTES, text.len), text);
    normalized_body_free(&normalized);
    return is;
}

/* Material says its own length, so nothing that is not such a key is longer by a digest. */
enum err fingerprint_behind(struct fingerprint *f, const uint8_t digest[HASH_SHA256_BYTES],
                            const struct hash_secret *secret)
{
    f->storage.max += HASH_SHA256_BYTES;
    enum err e = buf_append(&f->storage, digest, HASH_SHA256_BYTES);
    if (e == ERR_OK) {
        f->head = buf_span(&f->storage);
        f->body = SPAN_NONE;
        f->own = 0;
        f->hash = hash_key_of(secret, f->head);
    }
    return e;
}

/* Where the decoded text, a part of the decoded prompt, stands in the canonical body; false: the
 * prompt is not there once. */
static bool find_text(struct span body, struct span prompt, struct span text, size_t *from,
                      size_t *to)
{
    struct buf json = {.max = 6 * FINGERPRINT_PROMPT_MAX};
    const char *behind = text.ptr + text.len;
    size_t before = (size_t)(text.ptr - prompt.ptr);
    if (prompt.len > FINGERPRINT_PROMPT_MAX) {
        return false;
    }
    buf_expect(&json, prompt.len + prompt.len / 8);
    enum err e = buf_append_json(&json, span_make(prompt.ptr, before));
    *from = json.len;
    e = e == ERR_OK ? buf_append_json(&json, text) : e;
    *to = json.len;
    e = e == ERR_OK
            ? buf_append_json(&json, span_make(behind, (size_t)(prompt.ptr + prompt.len - behind)))
            : e;
    size_t at = e == ERR_OK ? span_find(body, buf_span(&json), 0) : SIZE_MAX;
    /* which of two is the prompt cannot be seen here */
    bool once = at != SIZE_MAX && span_find(body, buf_span(&json), at + 1) == SIZE_MAX;
    buf_free(&json);
    *from += at;
    *to += at;
    return once;
}

bool fingerprint_context(const struct fingerprint *normalized, struct span prompt, struct span text,
                         const struct hash_secret *secret, struct fingerprint *f)
{
    size_t from, to;
    if (!find_text(normalized->body, prompt, text, &from, &to)) {
        return false;
    }
    /* the head without the body's length, which depends on the text */
    const struct span fields[] = {
        SPAN("context"),
        span_make(normalized->head.ptr, normalized->head.len - LENGTH_BYTES),
        span_make(normalized->body.ptr, from),
        span_make(normalized->body.ptr + to, normalized->body.len - to),
    };
    reset(f, HEAD_MAX + normalized->head.len + normalized->body.len);
    if (write_head(&f->storage, fields, sizeof fields / sizeof fields[0]) != ERR_OK) {
        return false;
    }
    seal(f, f->storage.len, SPAN_NONE, secret);
    return true;
}

static uint64_t read_length(const char *at)
{
    uint64_t n = 0;
    for (int i = LENGTH_BYTES; i-- > 0;) {
        n = n << 8 | (unsigned char)at[i];
    }
    return n;
}

/* Cuts a field off the front of material that write_head() has written. */
static struct span cut_field(struct span *rest)
{
    size_t len = (size_t)read_length(rest->ptr);
    struct span field = span_make(rest->ptr + LENGTH_BYTES, len);
    *rest = span_make(field.ptr + len, rest->len - LENGTH_BYTES - len);
    return field;
}

/* The hashes of head and body joined, as seal() does. */
struct hash_key fingerprint_completed(struct span material, struct span text,
                                      const struct hash_secret *secret)
{
    (void)cut_field(&material); /* "context" */
    struct span head = cut_field(&material);
    struct span before = cut_field(&material);
    struct span after = cut_field(&material);
    struct hash_state state;
    struct hash_key of_head;
    char length[LENGTH_BYTES];
    write_length(length, before.len + text.len + after.len);
    hash_begin(&state, secret);
    hash_update(&state, head.ptr, head.len);
    hash_update(&state, length, sizeof length);
    of_head = hash_end(&state);
    hash_begin(&state, secret);
    hash_update(&state, before.ptr, before.len);
    hash_update(&state, text.ptr, text.len);
    hash_update(&state, after.ptr, after.len);
    return hash_key_join(of_head, hash_end(&state));
}

struct span fingerprint_beside_body(const struct fingerprint *exact)
{
    return span_make(exact->head.ptr, exact->head.len - LENGTH_BYTES);
}
