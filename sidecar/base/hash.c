/* hash.c: the only home of xxHash and libcrypto. The streaming state lives in storage of the
 * caller's, so that the hot path allocates nothing.
 */
#include "lull/base/hash.h"

#include "lull/base/ascii.h"
#include "lull/base/os.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#ifdef LULL_HAS_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* puts its functions in place of those of xxhash.h */
#endif

_Static_assert(sizeof(XXH3_state_t) <= sizeof(((struct hash_state *)NULL)->opaque),
               "hash_state holds an XXH3 state");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct hash_state), "and is aligned for it");
_Static_assert(HASH_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "long enough for XXH3");

enum err hash_secret_generate(struct hash_secret *secret)
{
    return os_random(secret->bytes, sizeof secret->bytes);
}

static XXH3_state_t *state_of(struct hash_state *s)
{
    return (XXH3_state_t *)(void *)s->opaque;
}

void hash_begin(struct hash_state *s, const struct hash_secret *secret)
{
    XXH_errorcode e =
        XXH3_128bits_reset_withSecret(state_of(s), secret->bytes, sizeof secret->bytes);
    require(e == XXH_OK);
}

void hash_update(struct hash_state *s, const void *data, size_t len)
{
    if (len > 0) {
        (void)XXH3_128bits_update(state_of(s), data, len);
    }
}

static struct hash_key key_from(XXH128_hash_t h)
{
    return (struct hash_key){.hi = h.high64, .lo = h.low64};
}

struct hash_key hash_end(struct hash_state *s)
{
    return key_from(XXH3_128bits_digest(state_of(s)));
}

struct hash_key hash_key_of(const struct hash_secret *secret, struct span data)
{
    return key_from(
        XXH3_128bits_withSecret(data.ptr, data.len, secret->bytes, sizeof secret->bytes));
}

void hash_key_hex(struct hash_key key, char out[HASH_KEY_HEX + 1])
{
    for (int i = 0; i < 16; i++) {
        out[i] = ascii_hex_digit((unsigned)(key.hi >> (60 - 4 * i)));
        out[16 + i] = ascii_hex_digit((unsigned)(key.lo >> (60 - 4 * i)));
    }
    out[HASH_KEY_HEX] = '\0';
}

enum err hash_key_parse(struct span hex, struct hash_key *out)
{
    uint64_t half[2] = {0, 0};
    if (hex.len != HASH_KEY_HEX) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < hex.len; i++) {
        int v = ascii_hex_value(hex.ptr[i]);
        if (v < 0) {
            return ERR_INVALID;
        }
        half[i / 16] = half[i / 16] << 4 | (uint64_t)v;
    }
    *out = (struct hash_key){.hi = half[0], .lo = half[1]};
    return ERR_OK;
}

uint64_t hash_checksum(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Looked up once: EVP_sha256() is looked up by libcrypto in every digest, which costs as much as a
 * digest of 200 bytes. Without memory for its default context libcrypto 3.0 reads through NULL. */
static void find_sha256(void)
{
    (void)mem_have(OSSL_LIB_CTX_get0_global_default());
    sha256 = mem_have(EVP_MD_fetch(NULL, "SHA256", NULL));
}

void hash_sha256(const struct span *parts, size_t count, uint8_t out[HASH_SHA256_BYTES])
{
    EVP_MD_CTX *md = mem_have(EVP_MD_CTX_new());
    unsigned len = 0;
    (void)pthread_once(&sha256_once, find_sha256);
    int ok = EVP_DigestInit_ex(md, sha256, NULL);
    (void)mem_have(ok == 1 ? md : NULL); /* it fails only where memory is short */
    for (size_t i = 0; i < count && ok == 1; i++) {
        ok = parts[i].len == 0 ? 1 : EVP_DigestUpdate(md, parts[i].ptr, parts[i].len);
    }
    ok = ok == 1 ? EVP_DigestFinal_ex(md, out, &len) : ok;
    require(ok == 1 && len == HASH_SHA256_BYTES);
    EVP_MD_CTX_free(md);
}

void hash_sha256_base64(struct span text, char out[HASH_SHA256_BASE64])
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_sha256(&text, 1, digest);
    int len = EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
    require(len == HASH_SHA256_BASE64 - 1);
}
