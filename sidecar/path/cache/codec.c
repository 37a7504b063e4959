/* codec.c: the values of the two sorts of records: fixed heads, then the parts one after the other.
 * The store's checksum has already spoken for the bytes; lengths are checked all the same before
 * any is used.
 */
#include "path/cache/cache_priv.h"

enum { CODEC_VERSION = 2, ENTRY_PARTS = 7, ALIAS_PARTS = 2 };

struct entry_head {
    uint32_t version, flags;
    int64_t created, fresh, model_time, tokens, cost;
    uint32_t hashed;
    uint32_t lengths[ENTRY_PARTS];
};

struct alias_head {
    uint32_t version, hashed;
    uint64_t hi, lo;
    int64_t seq;
    uint32_t lengths[ALIAS_PARTS];
};

_Static_assert(sizeof(struct entry_head) == 80, "no holes");
_Static_assert(sizeof(struct alias_head) == 40, "no holes");

/* more: a second piece of the material (a key's body), may be NULL. */
static enum err append_parts(struct buf *out, const struct span *parts, size_t count,
                             size_t material, const struct span *more)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = buf_append_span(out, parts[i]);
        if (e == ERR_OK && i == material && more != NULL) {
            e = buf_append_span(out, *more);
        }
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

enum err entry_encode(const struct entry_value *v, const struct span *more, struct buf *out)
{
    const struct span parts[ENTRY_PARTS] = {v->kind,     v->scope,  v->model,  v->upstream,
                                            v->material, v->answer, v->request};
    struct entry_head head = {.version = CODEC_VERSION,
                              .flags = v->flags,
                              .created = v->created.us,
                              .fresh = v->fresh.us,
                              .model_time = v->model_time,
                              .tokens = v->tokens,
                              .cost = v->cost,
                              .hashed = v->hashed ? 1 : 0};
    for (size_t i = 0; i < ENTRY_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    head.lengths[4] += more == NULL ? 0 : (uint32_t)more->len;
    enum err e = buf_append(out, &head, sizeof head);
    return e == ERR_OK ? append_parts(out, parts, ENTRY_PARTS, 4, more) : e;
}

enum err entry_decode(struct span value, struct entry_value *out)
{
    struct entry_head head;
    struct span *parts[ENTRY_PARTS] = {&out->kind,     &out->scope,  &out->model,  &out->upstream,
                                       &out->material, &out->answer, &out->request};
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
    out->hashed = head.hashed != 0;
    return cut_parts(value, sizeof head, head.lengths, ENTRY_PARTS, parts);
}

enum err alias_encode(const struct alias_value *v, const struct span *more, struct buf *out)
{
    const struct span parts[ALIAS_PARTS] = {v->material, v->reply};
    struct alias_head head = {.version = CODEC_VERSION,
                              .hashed = v->hashed ? 1 : 0,
                              .hi = v->entry.hi,
                              .lo = v->entry.lo,
                              .seq = v->seq,
                              .lengths = {(uint32_t)v->material.len, (uint32_t)v->reply.len}};
    head.lengths[0] += more == NULL ? 0 : (uint32_t)more->len;
    enum err e = buf_append(out, &head, sizeof head);
    return e == ERR_OK ? append_parts(out, parts, ALIAS_PARTS, 0, more) : e;
}

enum err alias_decode(struct span value, struct alias_value *out)
{
    struct alias_head head;
    struct span *parts[ALIAS_PARTS] = {&out->material, &out->reply};
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
    return cut_parts(value, sizeof head, head.lengths, ALIAS_PARTS, parts);
}

bool alias_target(struct span value, struct hash_key *entry, int64_t *seq)
{
    struct alias_value v;
    if (alias_decode(value, &v) != ERR_OK) {
        return false;
    }
    *entry = v.entry;
    *seq = v.seq;
    return true;
}

bool material_equal(const struct cache_key *key, struct span material, bool hashed)
{
    if (hashed) {
        uint8_t digest[HASH_SHA256_BYTES];
        const struct span parts[] = {key->head, key->body};
        hash_sha256(parts, 2, digest);
        return material.len == sizeof digest && memcmp(material.ptr, digest, sizeof digest) == 0;
    }
    if (material.len != key->head.len + key->body.len) {
        return false;
    }
    return span_eq(span_make(material.ptr, key->head.len), key->head) &&
           span_eq(span_make(material.ptr + key->head.len, key->body.len), key->body);
}
