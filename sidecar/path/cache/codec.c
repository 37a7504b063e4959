/* codec.c: the values of the two sorts of records: a fixed head, then the parts one after the
 * other. The store verified the checksum; lengths are checked all the same before any is used. The
 * request is the last part of an answer record, since it has a checksum of its own.
 *
 * The text of a request stands once, in the answer record. The material of that record's own key is
 * kept as its SHA-256, or as that of its head (material.c). An exact record keeps the head of its
 * key's material; the body is compared with the answer record's request, except for a stretch in
 * the middle that the exact record holds itself (most often the name of another model). Where the
 * two have little in common, or requests are not kept, an exact record has the SHA-256 of its
 * material too.
 */
#include "path/cache/cache_priv.h"

#include "lull/base/scan.h"

enum { CODEC_VERSION = 3, ANSWER_PARTS = 6, EXACT_PARTS = 3 };

/* A flag of an answer record beside those of CACHE_FLAG_: by_request. A lulld that does not know it
 * compares the digest with that of the whole material, and finds nothing. */
static const uint32_t BY_REQUEST = 1U << 31;

struct answer_head {
    uint32_t version, flags;
    int64_t created, fresh, model_time, tokens, cost;
    uint8_t digest[HASH_SHA256_BYTES];
    uint32_t lengths[ANSWER_PARTS];
};

struct exact_head {
    uint32_t version, hashed;
    uint64_t hi, lo;
    int64_t seq;
    uint32_t first, last;
    uint32_t lengths[EXACT_PARTS];
    uint32_t unused;
};

_Static_assert(sizeof(struct answer_head) == 104, "no holes");
_Static_assert(sizeof(struct exact_head) == 56, "no holes");

static enum err append_record(struct buf *out, struct span head, const struct span *parts,
                              size_t count)
{
    size_t size = head.len;
    for (size_t i = 0; i < count; i++) {
        size += parts[i].len;
    }
    enum err e = buf_reserve(out, size);
    e = e == ERR_OK ? buf_append_span(out, head) : e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = buf_append_span(out, parts[i]);
    }
    return e;
}

/* Cuts the value behind its head into parts. */
static enum err cut_parts(struct span value, size_t head, const uint32_t *lengths, size_t count,
                          struct span **parts)
{
    size_t at = head;
    for (size_t i = 0; i < count; i++) {
        if (lengths[i] > value.len - at) {
            return ERR_CORRUPT;
        }
        *parts[i] = span_make(value.ptr + at, lengths[i]);
        at += lengths[i];
    }
    return at == value.len ? ERR_OK : ERR_CORRUPT;
}

enum err answer_record_encode(const struct answer_record *v, struct buf *out)
{
    const struct span parts[ANSWER_PARTS] = {v->kind,     v->scope,  v->model,
                                             v->upstream, v->answer, v->request};
    struct answer_head head = {.version = CODEC_VERSION,
                               .flags = v->flags | (v->by_request ? BY_REQUEST : 0),
                               .created = v->created.us,
                               .fresh = v->fresh.us,
                               .model_time = v->model_time,
                               .tokens = v->tokens,
                               .cost = v->cost};
    memcpy(head.digest, v->digest, sizeof head.digest);
    for (size_t i = 0; i < ANSWER_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    return append_record(out, span_make((const char *)&head, sizeof head), parts, ANSWER_PARTS);
}

enum err answer_record_decode(struct span value, struct answer_record *out)
{
    struct answer_head head;
    struct span *parts[ANSWER_PARTS] = {&out->kind,     &out->scope,  &out->model,
                                        &out->upstream, &out->answer, &out->request};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->flags = head.flags & ~BY_REQUEST;
    out->by_request = (head.flags & BY_REQUEST) != 0;
    out->created.us = head.created;
    out->fresh.us = head.fresh;
    out->model_time = head.model_time;
    out->tokens = head.tokens;
    out->cost = head.cost;
    memcpy(out->digest, head.digest, sizeof out->digest);
    return cut_parts(value, sizeof head, head.lengths, ANSWER_PARTS, parts);
}

enum err exact_record_encode(const struct exact_record *v, struct buf *out)
{
    const struct span parts[EXACT_PARTS] = {v->material, v->middle, v->model};
    struct exact_head head = {.version = CODEC_VERSION,
                              .hashed = v->hashed ? 1 : 0,
                              .hi = v->answer.hi,
                              .lo = v->answer.lo,
                              .seq = v->seq,
                              .first = (uint32_t)v->first,
                              .last = (uint32_t)v->last};
    for (size_t i = 0; i < EXACT_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    return append_record(out, span_make((const char *)&head, sizeof head), parts, EXACT_PARTS);
}

enum err exact_record_decode(struct span value, struct exact_record *out)
{
    struct exact_head head;
    struct span *parts[EXACT_PARTS] = {&out->material, &out->middle, &out->model};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->answer = (struct hash_key){.hi = head.hi, .lo = head.lo};
    out->seq = head.seq;
    out->hashed = head.hashed != 0;
    out->first = head.first;
    out->last = head.last;
    return cut_parts(value, sizeof head, head.lengths, EXACT_PARTS, parts);
}

bool exact_record_target(struct span value, struct hash_key *answer, int64_t *seq)
{
    struct exact_record v;
    if (exact_record_decode(value, &v) != ERR_OK) {
        return false;
    }
    *answer = v.answer;
    *seq = v.seq;
    return true;
}

void material_digest(const struct cache_key *key, uint8_t out[HASH_SHA256_BYTES])
{
    const struct span parts[] = {key->head, key->body};
    hash_sha256(parts, 2, out);
}

bool material_has_digest(const struct cache_key *key, struct span digest)
{
    uint8_t own[HASH_SHA256_BYTES];
    material_digest(key, own);
    return span_eq(span_make((const char *)own, sizeof own), digest);
}

bool exact_record_matches(const struct exact_record *v, const struct answer_record *answer,
                          const struct cache_key *key)
{
    if (v->hashed) {
        return material_has_digest(key, v->material);
    }
    struct span request = answer->request, body = key->body;
    if (!span_eq(v->material, key->head) || v->first > request.len || v->last > request.len ||
        v->first + v->middle.len + v->last != body.len) {
        return false;
    }
    const char *middle = body.ptr + v->first;
    return span_eq(span_make(body.ptr, v->first), span_make(request.ptr, v->first)) &&
           span_eq(span_make(middle, v->middle.len), v->middle) &&
           span_eq(span_make(middle + v->middle.len, v->last),
                   span_make(request.ptr + (request.len - v->last), v->last));
}

bool exact_record_share(struct exact_record *v, const struct cache_key *key, struct span request)
{
    struct span body = key->body;
    size_t most = body.len < request.len ? body.len : request.len;
    bool same = span_eq(body, request); /* most are */
    size_t first = same ? most : scan_common(body.ptr, request.ptr, most);
    size_t last = scan_common_back(body.ptr + body.len, request.ptr + request.len, most - first);
    v->first = first;
    v->last = last;
    v->middle = span_make(body.ptr + first, body.len - first - last);
    v->material = key->head;
    v->hashed = false;
    return v->middle.len <= CACHE_EXACT_MIDDLE;
}
