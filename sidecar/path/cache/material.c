/* material.c: whether an answer record is of a key.
 *
 * A record has no copy of its key's material. Where the request is kept, it says the material's body
 * again: a look-up that finds the record brings the request into its normalized form once more and
 * compares. So a miss, which is what stores a record, has no digest over a whole request to make;
 * and look-ups by the normalized key that find something are rare, since a repeat byte for byte is
 * found by its exact key. The head, which the request does not say, is kept as its SHA-256. Without
 * the request, the record has the SHA-256 of the whole material.
 */
#include "path/cache/cache_priv.h"

enum { MEMO_HEAD_MAX = 4096 };

/* The digest of a head; that of the last one is at hand. */
static void head_digest(struct head_memo *memo, struct span head, uint8_t out[HASH_SHA256_BYTES])
{
    if (head.len > 0 && span_eq(buf_span(&memo->head), head)) {
        memcpy(out, memo->digest, HASH_SHA256_BYTES);
        return;
    }
    hash_sha256(&head, 1, out);
    buf_clear(&memo->head);
    memo->head.max = MEMO_HEAD_MAX;
    if (buf_append_span(&memo->head, head) == ERR_OK) {
        memcpy(memo->digest, out, HASH_SHA256_BYTES);
    }
}

void material_note(struct cache *c, const struct cache_key *key, struct answer_record *v)
{
    v->by_request = c->means != NULL && key->body.len > 0 && v->request.len > 0;
    if (v->by_request) {
        head_digest(&c->memo, key->head, v->digest);
    } else {
        material_digest(key, v->digest);
    }
}

bool material_matches(struct cache *c, const struct cache_key *key, const struct answer_record *v)
{
    uint8_t own[HASH_SHA256_BYTES];
    if (!v->by_request) {
        return material_has_digest(key, span_make((const char *)v->digest, sizeof v->digest));
    }
    head_digest(&c->memo, key->head, own);
    return memcmp(own, v->digest, sizeof own) == 0 && c->means != NULL && key->body.len > 0 &&
           c->means(v->request, v->flags, key->body);
}
