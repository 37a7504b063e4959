/* codec.c: the values of the two sorts of records: a fixed head, then the parts one after the
 * other. The store verified the checksum; lengths are checked all the same before any is used. The
 * request is the last part of an answer record, since it has a checksum of its own.
 *
 * The text of a request stands once, in the answer record. The material of that record's own key is
 * kept as its SHA-256, or as that of its head (material.c). Of an exact key the head of the material
 * is kept; the body is compared with the answer record's request, except for a stretch in the middle
 * that is kept as well (most often the name of another model). Where the two have little in common,
 * or requests are not kept, the SHA-256 of the material is. All this stands in the answer record, of
 * the first exact key that leads to it, or in an exact record.
 */
#include "path/cache/cache_priv.h"

#include "lull/base/scan.h"

enum { CODEC_VERSION = 4, EXACT_PARTS = 3, ANSWER_PARTS = 6 + EXACT_PARTS };

/* Flags of an answer record beside those of CACHE_FLAG_: by_request, has_exact. */
static const uint32_t BY_REQUEST = 1U << 31, HAS_EXACT = 1U << 30;

struct exact_numbers {
    uint32_t hashed, first, last;
};

struct answer_head {
    uint32_t version, flags;
    int64_t created, fresh, model_time, tokens, cost;
    uint8_t digest[HASH_SHA256_BYTES];
    struct exact_numbers exact;
    uint32_t lengths[ANSWER_PARTS];
};

struct exact_head {
    uint32_t version;
    struct exact_numbers exact;
    uint64_t hi, lo;
    int64_t seq;
    uint32_t lengths[EXACT_PARTS];
    uint32_t unused;
};

_Static_assert(sizeof(struct answer_head) == 128, "no holes");
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

static struct exact_numbers exact_numbers(const struct exact_text *t)
{
    return (struct exact_numbers){
        .hashed = t->hashed ? 1 : 0, .first = (uint32_t)t->first, .last = (uint32_t)t->last};
}

static void set_exact_numbers(struct exact_text *t, struct exact_numbers n)
{
    t->hashed = n.hashed != 0;
    t->first = n.first;
    t->last = n.last;
}

enum err answer_record_encode(const struct answer_record *v, struct buf *out)
{
    const struct exact_text *exact = &v->exact; /* empty without has_exact */
    const struct span parts[ANSWER_PARTS] = {v->kind,       v->scope,     v->model,
                                             v->upstream,   v->answer,    exact->material,
                                             exact->middle, exact->model, v->request};
    struct answer_head head = {.version = CODEC_VERSION,
                               .flags = v->flags | (v->by_request ? BY_REQUEST : 0) |
                                        (v->has_exact ? HAS_EXACT : 0),
                               .exact = exact_numbers(exact),
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
    struct exact_text *exact = &out->exact;
    struct span *parts[ANSWER_PARTS] = {&out->kind,     &out->scope,   &out->model,
                                        &out->upstream, &out->answer,  &exact->material,
                                        &exact->middle, &exact->model, &out->request};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->flags = head.flags & ~(BY_REQUEST | HAS_EXACT);
    out->by_request = (head.flags & BY_REQUEST) != 0;
    out->has_exact = (head.flags & HAS_EXACT) != 0;
    set_exact_numbers(exact, head.exact);
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
    const struct span parts[EXACT_PARTS] = {v->text.material, v->text.middle, v->text.model};
    struct exact_head head = {.version = CODEC_VERSION,
                              .exact = exact_numbers(&v->text),
                              .hi = v->answer.hi,
                              .lo = v->answer.lo,
                              .seq = v->seq};
    for (size_t i = 0; i < EXACT_PARTS; i++) {
        head.lengths[i] = (uint32_t)parts[i].len;
    }
    return append_record(out, span_make((const char *)&head, sizeof head), parts, EXACT_PARTS);
}

enum err exact_record_decode(struct span value, struct exact_record *out)
{
    struct exact_head head;
    struct span *parts[EXACT_PARTS] = {&out->text.material, &out->text.middle, &out->text.model};
    if (value.len < sizeof head) {
        return ERR_CORRUPT;
    }
    memcpy(&head, value.ptr, sizeof head);
    if (head.version != CODEC_VERSION) {
        return ERR_CORRUPT;
    }
    out->answer = (struct hash_key){.hi = head.hi, .lo = head.lo};
    out->seq = head.seq;
    set_exact_numbers(&out->text, head.exact);
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

bool exact_text_matches(const struct exact_text *t, struct span request,
                        const struct cache_key *key)
{
    if (t->hashed) {
        return material_has_digest(key, t->material);
    }
    struct span body = key->body;
    if (!span_eq(t->material, key->head) || t->first > request.len || t->last > request.len ||
        t->first + t->middle.len + t->last != body.len) {
        return false;
    }
    const char *middle = body.ptr + t->first;
    return span_eq(span_make(body.ptr, t->first), span_make(request.ptr, t->first)) &&
           span_eq(span_make(middle, t->middle.len), t->middle) &&
           span_eq(span_make(middle + t->middle.len, t->last),
                   span_make(request.ptr + (request.len - t->last), t->last));
}

/* false: the two have too little in common. */
static bool share(struct exact_text *t, const struct cache_key *key, struct span request)
{
    struct span body = key->body;
    size_t most = body.len < request.len ? body.len : request.len;
    bool same = span_eq(body, request); /* most are */
    t->first = same ? most : scan_common(body.ptr, request.ptr, most);
    t->last = scan_common_back(body.ptr + body.len, request.ptr + request.len, most - t->first);
    t->middle = span_make(body.ptr + t->first, body.len - t->first - t->last);
    t->material = key->head;
    return t->middle.len <= CACHE_EXACT_MIDDLE;
}

void exact_text_make(struct exact_text *t, const struct cache_key *key, struct span model,
                     struct span request, uint8_t digest[HASH_SHA256_BYTES])
{
    *t = (struct exact_text){.model = model};
    if (request.len > 0 && share(t, key, request)) {
        return;
    }
    material_digest(key, digest);
    *t = (struct exact_text){.hashed = true,
                             .material = span_make((const char *)digest, HASH_SHA256_BYTES),
                             .model = model};
}
