/* hash.h: the digests: keyed 128-bit XXH3 for table keys, XXH3-64 as checksum of stored records,
 * SHA-256 where a collision must not be possible. The only home of xxHash and libcrypto.
 *
 * XXH3 is not collision resistant (colliding pairs are known for many secrets): a key is
 * an address, never a proof. A record that is found by a key counts only after its whole key
 * material was compared.
 */
#ifndef LULL_BASE_HASH_H
#define LULL_BASE_HASH_H

#include "lull/base/buf.h"

#include <stdint.h>

enum {
    HASH_SECRET_BYTES = 192,
    HASH_SHA256_BYTES = 32,
    HASH_SHA256_BASE64 = 45,
    HASH_KEY_HEX = 32
};

struct hash_key {
    uint64_t hi, lo;
};

struct hash_secret {
    uint8_t bytes[HASH_SECRET_BYTES];
};

/* Fills the secret from the system's random source. ERR_IO when there is none. */
MUST_CHECK enum err hash_secret_generate(struct hash_secret *secret);

/* Streaming keyed hash, no allocation. The secret must outlive the state. */
struct hash_state {
    _Alignas(64) uint8_t opaque[640];
};
void hash_begin(struct hash_state *s, const struct hash_secret *secret);
void hash_update(struct hash_state *s, const void *data, size_t len);
struct hash_key hash_end(struct hash_state *s);
/* One part, hashed at once. */
struct hash_key hash_key_of(const struct hash_secret *secret, struct span data);

/* One hash of two; in the other order it is another one. */
static inline uint64_t hash_join(uint64_t a, uint64_t b)
{
    const uint64_t odd = 0x9e3779b97f4a7c15;
    return odd * a + b;
}

static inline struct hash_key hash_key_join(struct hash_key a, struct hash_key b)
{
    return (struct hash_key){.hi = hash_join(a.hi, b.hi), .lo = hash_join(a.lo, b.lo)};
}

static inline bool hash_key_eq(struct hash_key a, struct hash_key b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* Where a key of 0, 0 stands for none. */
static inline bool hash_key_is_set(struct hash_key key)
{
    return (key.hi | key.lo) != 0;
}

/* Half a key as a number that compares as its bytes in memory do. */
static inline uint64_t hash_half_order(uint64_t half)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    half = __builtin_bswap64(half);
#endif
    return half;
}

/* 32 hex digits and a terminator. */
void hash_key_hex(struct hash_key key, char out[HASH_KEY_HEX + 1]);
/* ERR_INVALID unless exactly 32 hex digits. */
MUST_CHECK enum err hash_key_parse(struct span hex, struct hash_key *out);

/* Unkeyed XXH3-64. */
uint64_t hash_checksum(const void *data, size_t len);

/* SHA-256 over the parts, one after the other. */
void hash_sha256(const struct span *parts, size_t count, uint8_t out[HASH_SHA256_BYTES]);
/* SHA-256 of text in base64 with padding, terminated: the form of a Content-Security-Policy. */
void hash_sha256_base64(struct span text, char out[HASH_SHA256_BASE64]);

#endif
