/* scope.c: which requests share answers.
 *
 * An answer made for one user must not reach another. What distinguishes users on this port is the
 * Authorization value (one key per connection that is configured in Open WebUI) and the user id
 * that Open WebUI may send along. A scope is the SHA-256 of both, with the rule and the presence of
 * each part in front, all length-prefixed, so that no two different pairs are equal as bytes.
 * SHA-256, not XXH3: an Authorization made to collide would open another user's answers.
 *
 * The digest costs more than the rest of a hit together, and a connection repeats its headers: a
 * memo of the connection keeps the last result with both parts, which are compared whole. A hash of
 * them would not be safe: where a proxy keeps a connection open, several users' requests come on
 * it, and with the hash's secret two keys of one hash can be made.
 */
#include "lull/path/fingerprint/fingerprint.h"

#include "lull/base/ascii.h"
#include "lull/http/server.h"

_Static_assert(sizeof(struct scope_memo) <= HTTP_CONN_MEMO, "the memo lives in the connection");

static const uint32_t absent_len = UINT32_MAX;

static uint32_t memo_len(struct span s)
{
    return s.ptr == NULL ? absent_len : (uint32_t)s.len;
}

static bool memo_is_of(const struct scope_memo *memo, enum scope_rule rule, struct span auth,
                       struct span user)
{
    return memo->rule == (uint8_t)rule + 1 && memo->auth_len == memo_len(auth) &&
           memo->user_len == memo_len(user) && span_eq(span_make(memo->text, auth.len), auth) &&
           span_eq(span_make(memo->text + auth.len, user.len), user);
}

/* What is too long is not kept. */
static void memo_keep(struct scope_memo *memo, enum scope_rule rule, struct span auth,
                      struct span user, const struct scope *scope)
{
    memo->rule = 0;
    if (auth.len > SCOPE_MEMO_TEXT || user.len > SCOPE_MEMO_TEXT - auth.len) {
        return;
    }
    memo->rule = (uint8_t)(rule + 1);
    memo->auth_len = memo_len(auth);
    memo->user_len = memo_len(user);
    memo->scope = *scope;
    if (auth.len > 0) {
        memcpy(memo->text, auth.ptr, auth.len);
    }
    if (user.len > 0) {
        memcpy(memo->text + auth.len, user.ptr, user.len);
    }
}

static void put_length(uint8_t out[8], size_t len)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)((uint64_t)len >> (8 * i));
    }
}

static struct scope scope_make(enum scope_rule rule, struct span auth, struct span user)
{
    struct scope scope = {.one_user = user.ptr != NULL,
                          .usable = rule != SCOPE_USER || user.ptr != NULL};
    uint8_t tag[4] = {'s', FINGERPRINT_VERSION, (uint8_t)rule,
                      (uint8_t)((auth.ptr != NULL ? 1 : 0) | (user.ptr != NULL ? 2 : 0))};
    uint8_t auth_len[8];
    uint8_t user_len[8];
    put_length(auth_len, auth.len);
    put_length(user_len, user.len);
    struct span parts[] = {
        {(const char *)tag, sizeof tag},
        {(const char *)auth_len, sizeof auth_len},
        auth,
        {(const char *)user_len, sizeof user_len},
        user,
    };
    hash_sha256(parts, sizeof parts / sizeof parts[0], scope.digest);
    return scope;
}

struct scope scope_of(enum scope_rule rule, struct span auth, struct span user,
                      struct scope_memo *memo)
{
    if (rule == SCOPE_SHARED) {
        auth = SPAN_NONE;
    }
    if (rule == SCOPE_SHARED || rule == SCOPE_AUTH || user.len == 0) {
        user = SPAN_NONE; /* a user header without a value names no user */
    }
    if (memo != NULL && memo_is_of(memo, rule, auth, user)) {
        return memo->scope;
    }
    struct scope scope = scope_make(rule, auth, user);
    if (memo != NULL) {
        memo_keep(memo, rule, auth, user, &scope);
    }
    return scope;
}

void scope_show(const struct scope *scope, char out[SCOPE_SHOWN + 1])
{
    for (size_t i = 0; i < SCOPE_SHOWN; i++) {
        out[i] = ascii_hex_digit((unsigned)scope->digest[i / 2] >> (i % 2 == 0 ? 4 : 0));
    }
    out[SCOPE_SHOWN] = '\0';
}
