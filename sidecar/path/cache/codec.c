/* codec.c: the values of the two sorts of records: fixed heads, then the parts one after the other.
 * The store verified the checksum; lengths are checked all the same before any is used.
 *
 * The text of a request stands once, as the entry's `request`. The entry's key material is kept as
 * its SHA-256. An alias keeps the head of its material; its body is compared with the entry's
 * request, but for a stretch in the middle that the alias holds itself (another model's name, most
 * often). Where the two have little in common, or no request is kept, it is the SHA-256 as well.
 */
#include "path/cache/cache_priv.h"

enum { CODEC_VERSION = 3, ENTRY_PARTS = 6, ALIAS_PARTS = 3 };

struct entry_head {
    uint32_t version, flags;
    int64_t created, fresh, model_time, tokens, cost;
    uint8_t digest[HASH_SHA256_BYTES];
    uint32_t lengths[ENTRY_PARTS];
};

struct alias_head {
    uint32_t version, hashed;
    uint64_t hi, lo;
    int64_t seq;
    uint32_t first, last;
    uint32_t lengths[ALIAS_PARTS];
    uint32_t unused;
};

_Static_assert(sizeof(struct entry_head) == 104, "no holes");
_Static_assert(sizeof(struct alias_head) == 56, "no holes");

static enum err append_parts(struct buf *out, const struct span *parts, size_t count)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = buf_append_span(out, parts[i]);
    }
    return e;
}

/* Cuts the parts out of value behind its head. */
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

enum err entry_encode(const struct entry_value *v, struct buf *out)
{
    const struct span parts[ENTRY_PARTS] = {v->kind,     v->scope,  v->model,
                                            v->upstream, v->answer, v->request};
    struct entry_head head = {.version = CODEC_VERSION,
                              .flags = v->flags,
                              .created = v->created.us,
                              .fresh = v->fresh.us,
                              .model_time = v->model_time,
                              .tokens = v->tokens,
                              .cost = v->cost};
    memcpy(head.digest, v->digest, sizeof head.digest);
    for (size_t i = 0; i < ENTRY_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    enum err e = buf_append(out, &head, sizeof head);
    return e == ERR_OK ? append_parts(out, parts, ENTRY_PARTS) : e;
}

enum err entry_decode(struct span value, struct entry_value *out)
{
    struct entry_head head;
    struct span *parts[ENTRY_PARTS] = {&out->kind,     &out->scope,  &out->model,
                                       &out->upstream, &out->answer, &out->request};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->flags = head.flags;
    out->created.us = head.created;
    out->fresh.us = head.fresh;
    out->model_time = head.model_time;
    out->tokens = head.tokens;
    out->cost = head.cost;
    memcpy(out->digest, head.digest, sizeof out->digest);
    return cut_parts(value, sizeof head, head.lengths, ENTRY_PARTS, parts);
}

enum err alias_encode(const struct alias_value *v, struct buf *out)
{
    const struct span parts[ALIAS_PARTS] = {v->material, v->middle, v->model};
    struct alias_head head = {.version = CODEC_VERSION,
                              .hashed = v->hashed ? 1 : 0,
                              .hi = v->entry.hi,
                              .lo = v->entry.lo,
                              .seq = v->seq,
                              .first = (uint32_t)v->first,
                              .last = (uint32_t)v->last};
    for (size_t i = 0; i < ALIAS_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    enum err e = buf_append(out, &head, sizeof head);
    return e == ERR_OK ? append_parts(out, parts, ALIAS_PARTS) : e;
}

enum err alias_decode(struct span value, struct alias_value *out)
{
    struct alias_head head;
    struct span *parts[ALIAS_PARTS] = {&out->material, &out->middle, &out->model};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->entry = (struct hash_key){.hi = head.hi, .lo = head.lo};
    out->seq = head.seq;
    out->hashed = head.hashed != 0;
    out->first = head.first;
    out->last = head.last;
    return cut_parts(value, sizeof head, head.lengths, ALIAS_PARTS, parts);
}

bool exact_record_target(struct span value, struct hash_key *entry, int64_t *seq)
{
    struct alias_value v;
    if (alias_decode(value, &v) != ERR_OK) {
        return false;
    }
    *entry = v.entry;
    *seq = v.seq;
    return true;
}

void material_digest(const struct cache_key *key, uint8_t out[HASH_SHA256_BYTES])
{
    const struct span parts[] = {key->head, key->body};
    hash_sha256(parts, 2, out);
}

static bool digest_equal(const struct cache_key *key, struct span digest)
{
    uint8_t own[HASH_SHA256_BYTES];
    material_digest(key, own);
    return span_eq(span_make((const char *)own, sizeof own), digest);
}

bool entry_is_of(const struct entry_value *v, const struct cache_key *key)
{
    return digest_equal(key, span_make((const char *)v->digest, sizeof v->digest));
}

bool alias_is_of(const struct alias_value *v, const struct entry_value *entry,
                 const struct cache_key *key)
{
    if (v->hashed) {
        return digest_equal(key, v->material);
    }
    struct span request = entry->request, body = key->body;
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

bool alias_share(struct alias_value *v, const struct cache_key *key, struct span request)
{
    struct span body = key->body;
    size_t most = body.len < request.len ? body.len : request.len;
    size_t first = 0, last = 0;
    while (first < most && body.ptr[first] == request.ptr[first]) {
        first++;
    }
    while (last < most - first &&
           body.ptr[body.len - 1 - last] == request.ptr[request.len - 1 - last]) {
        last++;
    }
    v->first = first;
    v->last = last;
    v->middle = span_make(body.ptr + first, body.len - first - last);
    v->material = key->head;
    v->hashed = false;
    return v->middle.len <= CACHE_ALIAS_MIDDLE;
}
