/* fingerprint.h: keys of requests. The exact key is made of the request as it came, without a JSON
 * parse. The normalized key is made of what the request means. Each key is an address (128-bit
 * keyed XXH3) with the whole key material beside it, which is compared on every hit, byte for byte
 * or by its SHA-256.
 *
 * Material is a sequence of length-prefixed fields (8-byte little-endian length, then the bytes),
 * so that no two different sequences are equal as bytes.
 *
 * Pure functions but for the memory of struct fingerprint.
 */
#ifndef LULL_PATH_FINGERPRINT_FINGERPRINT_H
#define LULL_PATH_FINGERPRINT_FINGERPRINT_H

#include "lull/base/hash.h"
#include "lull/config/settings.h"
#include "lull/http/request.h"
#include "lull/path/json/json.h"
#include "lull/path/webui/classify.h"

enum { FINGERPRINT_VERSION = 3 };

/* Which requests share answers: those with equal digests. */
struct scope {
    uint8_t digest[HASH_SHA256_BYTES];
    bool one_user; /* a user id is in it */
    bool usable;   /* false: rule `user` and no user id is known: bypass the cache */
};
/* Memo that saves the SHA-256 where a connection repeats its Authorization and user id; zeroed at
 * first. Fits HTTP_CONN_MEMO. */
enum { SCOPE_MEMO_TEXT = 320 };
struct scope_memo {
    uint32_t auth_len, user_len;
    uint8_t rule; /* rule + 1; 0: empty */
    struct scope scope;
    char text[SCOPE_MEMO_TEXT]; /* Authorization, then user id */
};
/* auth and user: values of the headers; ptr NULL when absent. memo may be NULL. */
struct scope scope_of(enum scope_rule rule, struct span auth, struct span user,
                      struct scope_memo *memo);
enum { SCOPE_SHOWN = 8 };
/* As it is shown: the beginning of the digest in hex, and a NUL. */
void scope_show(const struct scope *scope, char out[SCOPE_SHOWN + 1]);

/* A key: material is head followed by body. */
struct fingerprint {
    struct hash_key hash;
    struct span head; /* points into `storage` */
    /* Exact: the request's body, borrowed; normalized: part of storage, or empty. */
    struct span body;
    /* Normalized: the place in storage of the part that depends on the request's body alone: the
     * body's length, and the body. 0: the key has no such part (fingerprint_behind()). */
    size_t own;
    struct hash_key beside; /* exact: hash of head without the body's length, */
    uint64_t secret_mark;   /* with the secret that has this mark */
    struct buf storage;
};
void fingerprint_free(struct fingerprint *f); /* zeroed struct is fine */

/* The exact key. All parts are of the request as received; upstream is the addressed one. f is
 * zeroed or used before: its storage is reused. No allocation beyond the storage (about 300 bytes,
 * more for a long path or header value). ERR_NOMEM: f is no key. */
struct fingerprint_exact {
    const struct settings *settings;
    int upstream;
    enum task_header header;
    struct span header_value;
    struct span method, path, query; /* path without /@NAME */
    const struct scope *scope;
    struct span body;
};
MUST_CHECK enum err fingerprint_exact(const struct fingerprint_exact *in,
                                      const struct hash_secret *secret, struct fingerprint *f);

/* The same for a request that differs from another one in its body only; of: its exact key. */
MUST_CHECK enum err fingerprint_exact_again(const struct fingerprint *of, struct span body,
                                            const struct hash_secret *secret,
                                            struct fingerprint *f);

/* A body in normalized form, read once: whether it converts decides where it may be sent, and where
 * it is sent is part of its key. */
struct normalized_body {
    enum json_verdict verdict; /* of the body as it came */
    bool converts;             /* to the other dialect: see dialect_normalize() */
    size_t len;                /* of the body */
    struct buf text;           /* canonical; empty unless the verdict is JSON_OK */
};
/* request: the body, parsed. The caller frees out. */
void normalized_body_read(struct span body, const struct dialect_request *request,
                          struct normalized_body *out);
void normalized_body_free(struct normalized_body *b);

/* The normalized key: kind name, dialect and endpoint, upstream (name and url) and model that will
 * answer, the base of the client's path and its query where they are sent to the upstream (a
 * gateway may have one model server behind each), scope, what the kind's policy asks for beside the
 * request, and the canonical body without model, stream, stream_options, user, metadata. JSON_OK,
 * or why the request has none: it bypasses the cache. f as for fingerprint_exact(). */
struct fingerprint_normalized {
    const struct settings *settings;
    int kind;
    enum endpoint endpoint;
    int upstream;            /* the one that will be called */
    struct span model;       /* the one that will be asked for */
    struct span base, query; /* of the client's path; empty where the call goes under another one */
    const struct scope *scope;
    const struct normalized_body *body;
};
enum json_verdict fingerprint_normalized(const struct fingerprint_normalized *in,
                                         const struct hash_secret *secret, struct fingerprint *f);
/* Whether the normalized key of a request has that own part (struct fingerprint). request: body,
 * parsed. */
bool fingerprint_is_own(struct span body, const struct dialect_request *request, struct span own);

/* Adds the digest of the conversation that the request is asked behind: an answer made behind one
 * conversation answers no request behind another, and none as asked. f->storage: the material of a
 * normalized key; f is a key of that and the digest then, all of it in head. ERR_NOMEM: f is
 * unchanged. */
MUST_CHECK enum err fingerprint_behind(struct fingerprint *f,
                                       const uint8_t digest[HASH_SHA256_BYTES],
                                       const struct hash_secret *secret);

/* The context of a completed text: everything of a normalized key but the text itself, so that
 * requests with equal contexts differ in nothing else. text: the completed text inside of prompt,
 * both decoded, prompt being a whole string of the request. false: the text cannot be cut out of
 * the key (prompt longer than FINGERPRINT_PROMPT_MAX, or found there not once): it has no context.
 * f as for fingerprint_exact(); head is the whole material, body is empty. */
enum { FINGERPRINT_PROMPT_MAX = 64 * 1024 };
bool fingerprint_context(const struct fingerprint *normalized, struct span prompt, struct span text,
                         const struct hash_secret *secret, struct fingerprint *f);
/* The hash of the normalized key that has this context and this text, which needs no escapes in
 * JSON. material: of fingerprint_context(). */
struct hash_key fingerprint_completed(struct span material, struct span text,
                                      const struct hash_secret *secret);
/* The material of an exact key that is not the body nor its length. */
struct span fingerprint_beside_body(const struct fingerprint *exact);

#endif
