/* test_hash.c: digests and keys. */
#include "support/check.h"

#include "lull/base/hash.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- libcrypto without memory ---- */

static int passes = INT_MAX; /* allocations that succeed before the one that fails */

static void *failing_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return passes-- == 0 ? NULL : malloc(size);
}

static void *failing_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return passes-- == 0 ? NULL : realloc(old, size);
}

static void plain_free(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

enum { MADE = SIGKILL, NOT_REACHED = SIGTERM, NOT_SET = SIGINT };

/* The first digest of a process in which libcrypto's allocation number n fails: by which signal it ended.
 * No exit status: what libcrypto leaks then would be Valgrind's. */
static int first_digest(int n)
{
    static const int own[] = {SIGABRT, SIGSEGV, NOT_REACHED, NOT_SET};
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        uint8_t out[HASH_SHA256_BYTES];
        setrlimit(RLIMIT_CORE, &none);
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
            signal(own[i], SIG_DFL);
        }
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        if (CRYPTO_set_mem_functions(failing_malloc, failing_realloc, plain_free) != 1) {
            raise(NOT_SET);
        }
        /* its tables of names and messages are made by thousands of allocations that may fail */
        (void)OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_ADD_ALL_CIPHERS |
                                      OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
                                      OPENSSL_INIT_NO_LOAD_CONFIG,
                                  NULL);
        passes = n;
        hash_sha256(NULL, 0, out);
        raise(passes < 0 ? MADE : NOT_REACHED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return WTERMSIG(status);
}

/* Each of the first hundred allocations, which make the default context, and some of those behind. */
static void without_memory_the_first_digest_says_so(void **state)
{
    (void)state;
    int n = 0, aborts = 0, end = first_digest(n);
    while (end == MADE || end == SIGABRT) {
        aborts += end == SIGABRT ? 1 : 0;
        n += n < 100 ? 1 : 37;
        end = first_digest(n);
    }
    assert_int_equal(end, NOT_REACHED);
    assert_true(aborts > 0);
}

/* ---- digests and keys ---- */

static struct hash_secret secret_of(uint8_t byte)
{
    struct hash_secret s;
    for (size_t i = 0; i < sizeof s.bytes; i++) {
        s.bytes[i] = (uint8_t)(byte + i * 7);
    }
    return s;
}

static void pieces_and_whole_are_equal(void **state)
{
    (void)state;
    static char data[5000];
    struct hash_secret secret = secret_of(1);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 31);
    }
    for (size_t len = 0; len < sizeof data; len += 123) {
        struct hash_state s;
        hash_begin(&s, &secret);
        for (size_t at = 0; at < len; at += 37) {
            hash_update(&s, data + at, len - at < 37 ? len - at : 37);
        }
        assert_true(hash_key_eq(hash_end(&s), hash_key_of(&secret, span_make(data, len))));
    }
}

static void the_secret_matters(void **state)
{
    (void)state;
    struct hash_secret a = secret_of(1), b = secret_of(2);
    assert_false(hash_key_eq(hash_key_of(&a, SPAN("text")), hash_key_of(&b, SPAN("text"))));
    struct hash_secret r1, r2;
    assert_int_equal(hash_secret_generate(&r1), ERR_OK);
    assert_int_equal(hash_secret_generate(&r2), ERR_OK);
    assert_memory_not_equal(r1.bytes, r2.bytes, sizeof r1.bytes);
}

static void hex_round_trip(void **state)
{
    (void)state;
    struct hash_key key = {.hi = 0x0123456789abcdefULL, .lo = 0xfedcba9876543210ULL}, back;
    char hex[HASH_KEY_HEX + 1];
    hash_key_hex(key, hex);
    assert_string_equal(hex, "0123456789abcdeffedcba9876543210");
    assert_int_equal(hash_key_parse(span_of(hex), &back), ERR_OK);
    assert_true(hash_key_eq(key, back));
    assert_int_equal(hash_key_parse(SPAN("0123456789ABCDEFfedcba9876543210"), &back), ERR_OK);
    assert_true(hash_key_eq(key, back));
    assert_int_equal(hash_key_parse(SPAN(""), &back), ERR_INVALID);
    assert_int_equal(hash_key_parse(SPAN("0123456789abcdeffedcba987654321"), &back), ERR_INVALID);
    assert_int_equal(hash_key_parse(SPAN("0123456789abcdeffedcba987654321g"), &back), ERR_INVALID);
}

/* FIPS 180-2, appendix B.1 and the empty message */
static void sha256_known_answers(void **state)
{
    (void)state;
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const uint8_t empty[] = {0xe3, 0xb0, 0xc4, 0x42};
    uint8_t out[HASH_SHA256_BYTES];
    struct span parts[] = {SPAN("a"), SPAN_NONE, SPAN("bc")};
    hash_sha256(parts, 3, out);
    assert_memory_equal(out, abc, sizeof abc);
    hash_sha256(NULL, 0, out);
    assert_memory_equal(out, empty, sizeof empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: in this process libcrypto must not have been used */
        cmocka_unit_test(without_memory_the_first_digest_says_so),
        cmocka_unit_test(pieces_and_whole_are_equal),
        cmocka_unit_test(the_secret_matters),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(sha256_known_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
