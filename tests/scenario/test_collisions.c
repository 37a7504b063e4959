/* test_collisions.c: requests with one hash. XXH3 is no cryptographic hash: with the secret
 * of the data directory two texts of one hash can be made, as here, and no answer may cross.
 *
 * Longer than 240 bytes, XXH3 adds each 8 bytes d of lane i of a stripe to an accumulator, and the
 * product of both halves of d ^ s, s being 8 bytes of the secret, to the one beside it. So equal
 * changes of two stripes cancel out where the other halves of their d ^ s are equal (printable
 * texts); and where one half of d ^ s is 0, the other may be anything (any bytes).
 */
#include "scenario/scenario.h"
#include "support/check.h"

#include "lull/config/kinds.h"
#include "lull/path/fingerprint/fingerprint.h"

#include <stdio.h>
#include <stdlib.h>

enum { STRIPE = 64, LANES = 8, BLOCK = 16 /* stripes */, FILLER = 4096 };

static uint64_t word_at(const void *bytes)
{
    const uint8_t *b = bytes;
    uint64_t w = 0;
    for (size_t i = 8; i-- > 0;) {
        w = w << 8 | b[i];
    }
    return w;
}

static void put_word(void *bytes, uint64_t w)
{
    uint8_t *b = bytes;
    for (size_t i = 0; i < 8; i++) {
        b[i] = (uint8_t)(w >> (8 * i));
    }
}

static uint64_t secret_word(const struct hash_secret *secret, size_t stripe, size_t lane)
{
    return word_at(secret->bytes + 8 * (stripe % BLOCK) + 8 * lane);
}

static bool is_plain(unsigned c)
{
    return c >= ' ' && c < 0x7F && c != '"' && c != '\\';
}

/* Fills hi bytes of both words so that their halves of d ^ s are equal. false: not with text. */
static bool equal_halves(char *a, char *b, uint64_t difference)
{
    for (size_t i = 4; i < 8; i++) {
        unsigned x = (unsigned)(difference >> (8 * i) & 0xFF);
        unsigned c = ' ';
        while (c < 0x7F && !(is_plain(c) && is_plain(c ^ x))) {
            c++;
        }
        if (c == 0x7F) {
            return false;
        }
        a[i] = (char)c;
        b[i] = (char)(c ^ x);
    }
    return true;
}

/* Writes 8 characters to each of both places, so that the letters at *at of both may change places:
 * "a" and "e" differ in one bit. */
static bool write_pair(const struct hash_secret *secret, char *text, size_t first, size_t second,
                       size_t lane, size_t *at)
{
    char *a = text + first * STRIPE + 8 * lane, *b = text + second * STRIPE + 8 * lane;
    uint64_t difference = secret_word(secret, first, lane) ^ secret_word(secret, second, lane);
    char old[2][8];
    memcpy(old[0], a, 8);
    memcpy(old[1], b, 8);
    for (*at = 0; *at < 4; ++*at) {
        if ((difference >> (8 * *at) & ('a' ^ 'e')) == 0 && equal_halves(a, b, difference)) {
            memset(a, 'x', 4);
            memset(b, 'x', 4);
            a[*at] = 'a';
            b[*at] = 'e';
            return true;
        }
    }
    memcpy(a, old[0], 8);
    memcpy(b, old[1], 8);
    return false;
}

/* Changes text, of which from..to are free, and copies it to `other` with two letters changed, both
 * of one hash. */
static bool craft_text(const struct hash_secret *secret, char *text, size_t len, size_t from,
                       size_t to, char *other)
{
    size_t low = (from + STRIPE - 1) / STRIPE, high = to / STRIPE;
    for (size_t n = low; n < high; n++) {
        for (size_t m = n + 1; m < high && m / BLOCK == n / BLOCK; m++) {
            for (size_t lane = 0, at = 0; lane < LANES; lane++) {
                if (write_pair(secret, text, n, m, lane, &at)) {
                    memcpy(other, text, len);
                    other[n * STRIPE + 8 * lane + at] = 'e';
                    other[m * STRIPE + 8 * lane + at] = 'a';
                    return true;
                }
            }
        }
    }
    return false;
}

/* ---- whole requests ---- */

/* What the hash of a normalized key is made of. */
static char *canonical(const char *body)
{
    struct dialect_request request;
    struct normalized_body n = {0};
    (void)dialect_request_parse(span_of(body), ENDPOINT_CHAT, &request);
    normalized_body_read(span_of(body), &request, &n);
    assert_int_equal(n.verdict, JSON_OK);
    char *text = mem_strndup(n.text.data, n.text.len);
    normalized_body_free(&n);
    dialect_request_free(&request);
    return text;
}

/* Two titles' bodies: of one hash as they are, or in canonical form. */
static void craft_bodies(const struct hash_secret *secret, bool of_canonical, char *bodies[2])
{
    char filler[FILLER + 1];
    memset(filler, 'z', FILLER);
    filler[FILLER] = '\0';
    bodies[0] = mem_strdup(ask_title(filler, "I am fine."));
    bodies[1] = mem_strdup(bodies[0]);
    char *hashed = of_canonical ? canonical(bodies[0]) : mem_strdup(bodies[0]);
    char *other = mem_strdup(hashed);
    size_t from = span_find(span_of(hashed), span_of(filler), 0);
    size_t in_body = span_find(span_of(bodies[0]), span_of(filler), 0);
    assert_true(craft_text(secret, hashed, strlen(hashed), from, from + FILLER, other));
    memcpy(bodies[0] + in_body, hashed + from, FILLER);
    memcpy(bodies[1] + in_body, other + from, FILLER);
    free(hashed);
    free(other);
    assert_string_not_equal(bodies[0], bodies[1]);
    char *texts[2] = {of_canonical ? canonical(bodies[0]) : mem_strdup(bodies[0]),
                      of_canonical ? canonical(bodies[1]) : mem_strdup(bodies[1])};
    assert_true(hash_key_eq(hash_key_of(secret, span_of(texts[0])),
                            hash_key_of(secret, span_of(texts[1]))));
    free(texts[0]);
    free(texts[1]);
}

static void ask(struct client *c, const char *body)
{
    client_clear(c);
    client_post(c, "/v1/chat/completions", "Content-Type: application/json\r\n", body);
}

static void each_gets_its_own(struct client *const clients[2], char *const bodies[2])
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++) {
            ask(clients[i], bodies[i]);
            assert_has(client_reply(clients[i]), "lull; hit");
            assert_has(client_reply(clients[i]), i == 0 ? "Ann" : "Bob");
        }
    }
}

/* Together, so that the second might join the first; as hits, pending and committed; and after a
 * restart, which keeps the secret. */
static void two_requests_of_one_hash(bool of_canonical)
{
    static const char *const sets[] = {"upstream.default.slots=8", NULL};
    struct world *w = world_begin(sets);
    struct client *clients[2] = {client_open(w), client_open(w)};
    char *bodies[2];
    craft_bodies(cache_secret(world_cache(w)), of_canonical, bodies);
    ask(clients[0], bodies[0]);
    ask(clients[1], bodies[1]);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 0), "{\"title\": \"Ann\"}");
    model_answer(model_call(w, 1), "{\"title\": \"Bob\"}");
    assert_has(client_reply(clients[0]), "Ann");
    assert_has(client_reply(clients[1]), "Bob");
    for (int round = 0; round < 3 && !of_canonical; round++) {
        each_gets_its_own(clients, bodies);
        cache_flush(world_cache(w));
    }
    /* of the canonical form's hash there is one record, and it is the last one's */
    for (int i = 0; i < 2 && of_canonical; i++) {
        size_t calls = model_calls(w);
        ask(clients[0], bodies[0]);
        assert_int_equal(model_calls(w), calls + 1);
        model_answer(model_call(w, calls), "{\"title\": \"Ann\"}");
        assert_has(client_reply(clients[0]), "Ann");
        ask(clients[1], bodies[1]);
        assert_int_equal(model_calls(w), calls + 2);
        model_answer(model_call(w, calls + 1), "{\"title\": \"Bob\"}");
        assert_has(client_reply(clients[1]), "Bob");
        cache_flush(world_cache(w));
    }
    assert_true(cache_stats(world_cache(w)).collisions > 0);
    free(bodies[0]);
    free(bodies[1]);
    world_end(w);
}

static void the_bytes_of_two_requests_have_one_hash(void **state)
{
    (void)state;
    two_requests_of_one_hash(false);
}

static void the_meanings_of_two_requests_have_one_hash(void **state)
{
    (void)state;
    two_requests_of_one_hash(true);
}

/* ---- across scopes ---- */

/* Two people's keys of one hash, on one connection, as a proxy would use it for both. */
static void two_keys_have_one_hash(void **state)
{
    enum { KEY = 2048 };
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    const struct hash_secret *secret = cache_secret(world_cache(w));
    char keys[2][KEY + 1], head[2][KEY + 64];
    memset(keys, 'k', sizeof keys);
    keys[0][KEY] = '\0';
    memcpy(keys[0], "Bearer ", 7);
    assert_true(craft_text(secret, keys[0], sizeof keys[0], STRIPE, KEY - STRIPE, keys[1]));
    assert_true(
        hash_key_eq(hash_key_of(secret, span_of(keys[0])), hash_key_of(secret, span_of(keys[1]))));
    char *body = mem_strdup(ask_title("How are you?", "I am fine."));
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < 2; i++) {
            snprintf(head[i], sizeof head[i], "Authorization: %.*s\r\n", KEY, keys[i]);
            client_clear(a);
            client_post(a, "/v1/chat/completions", head[i], body);
            if (round == 0) {
                assert_int_equal(model_calls(w), i + 1);
                model_answer(model_call(w, i),
                             i == 0 ? "{\"title\": \"Ann\"}" : "{\"title\": \"Bob\"}");
            }
            assert_has(client_reply(a), i == 0 ? "Ann" : "Bob");
        }
    }
    assert_int_equal(model_calls(w), 2);
    free(body);
    world_end(w);
}

struct sums {
    uint64_t acc[LANES];
};

static struct sums sums_of(const struct hash_secret *secret, struct span head)
{
    struct sums s = {{0}};
    for (size_t stripe = 0; stripe < (head.len - 1) / STRIPE; stripe++) {
        for (size_t i = 0; i < LANES; i++) {
            uint64_t d = word_at(head.ptr + stripe * STRIPE + 8 * i);
            uint64_t x = d ^ secret_word(secret, stripe, i);
            s.acc[i ^ 1] += d;
            s.acc[i] += (x & 0xFFFFFFFF) * (x >> 32);
        }
    }
    return s;
}

/* Changes two free stripes of `head` so that it gets the hash of `model`, which is as long and ends
 * with the same STRIPE bytes. */
static void craft_head(const struct hash_secret *secret, struct span model, char *head,
                       size_t stripe)
{
    struct sums want = sums_of(secret, model);
    memset(head + stripe * STRIPE, 0, (size_t)2 * STRIPE);
    for (size_t i = 0; i < LANES; i++) { /* nothing but d counts of them: products of 0 */
        put_word(head + stripe * STRIPE + 8 * i, secret_word(secret, stripe, i));
        put_word(head + (stripe + 1) * STRIPE + 8 * i, secret_word(secret, stripe + 1, i));
    }
    struct sums have = sums_of(secret, span_make(head, model.len));
    for (size_t i = 0; i < LANES; i++) {
        uint64_t low = secret_word(secret, stripe, i), high = secret_word(secret, stripe + 1, i);
        uint64_t sum = want.acc[i ^ 1] - have.acc[i ^ 1] + low + high;
        uint64_t part = (low & ~(uint64_t)0xFFFFFFFF) | ((sum - high) & 0xFFFFFFFF);
        put_word(head + stripe * STRIPE + 8 * i, part);
        put_word(head + (stripe + 1) * STRIPE + 8 * i, sum - part);
    }
}

#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* The exact key of a request of that scope with that query. */
static void exact_key(const struct scope *scope, struct span query,
                      const struct hash_secret *secret, struct fingerprint *out)
{
    static struct upstream_settings upstream;
    static struct settings settings;
    upstream =
        (struct upstream_settings){.name = TEXT("default"), .url = TEXT("http://127.0.0.1:1")};
    settings = (struct settings){.upstreams = &upstream, .upstream_count = 1};
    const struct fingerprint_exact in = {.settings = &settings,
                                         .method = SPAN("POST"),
                                         .path = SPAN("/v1/chat/completions"),
                                         .query = query,
                                         .scope = scope,
                                         .body = SPAN("{\"model\":\"m\"}")};
    assert_int_equal(fingerprint_exact(&in, secret, out), ERR_OK);
}

static struct cache_key key_of(const struct fingerprint *f)
{
    return (struct cache_key){.hash = f->hash, .head = f->head, .body = f->body};
}

static void expect_miss(struct cache *c, const struct fingerprint *f, wall_t now)
{
    struct cache_key key = key_of(f);
    struct cache_hit hit;
    assert_int_equal(cache_find_answer(c, &key, now, &hit), CACHE_MISS);
    assert_int_equal(cache_find_stale(c, &key, now, &hit), CACHE_MISS);
    assert_int_equal(cache_peek_answer(c, &key, now, &hit), CACHE_MISS);
    assert_int_equal(cache_find_exact(c, &key, now, &hit), CACHE_MISS);
}

/* Two people's keys, of different scopes, with one hash: neither finds what is the other's, in the
 * pending writes or in the store, with the request's text kept or only its digest. */
static void two_scopes_have_one_hash(void **state)
{
    static const char *const keeps[][2] = {{"cache.keep_requests=yes", NULL},
                                           {"cache.keep_requests=no", NULL}};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct world *w = world_begin(keeps[k]);
        struct cache *c = world_cache(w);
        const struct hash_secret *secret = cache_secret(c);
        struct scope ann = scope_of(SCOPE_AUTO, SPAN("Bearer k"), SPAN("ann"), NULL);
        struct scope bob = scope_of(SCOPE_AUTO, SPAN("Bearer k"), SPAN("bob"), NULL);
        struct fingerprint of_ann = {0}, of_bob = {0};
        char query[6 * STRIPE];
        memset(query, 'q', sizeof query);
        exact_key(&ann, span_make(query, sizeof query), secret, &of_ann);
        exact_key(&bob, span_make(query, sizeof query), secret, &of_bob);
        assert_false(hash_key_eq(of_ann.hash, of_bob.hash));
        size_t at = span_find(of_bob.head, span_make(query, sizeof query), 0);
        size_t stripe = (at + STRIPE - 1) / STRIPE;
        craft_head(secret, of_ann.head, of_bob.storage.data, stripe);
        memcpy(query, of_bob.storage.data + at, sizeof query);
        exact_key(&bob, span_make(query, sizeof query), secret, &of_bob);
        assert_true(hash_key_eq(of_ann.hash, of_bob.hash));
        wall_t now = loop_wall(world_loop(w)), later = {now.us + 3600 * USEC_PER_S};
        struct cache_put put = {.key = key_of(&of_ann),
                                .kind = SPAN("title"),
                                .created = now,
                                .expires = later,
                                .answer = SPAN("of_ann"),
                                .request = SPAN("{\"model\":\"m\"}")};
        int64_t seq = 0;
        cache_hold_writer(c, true);
        assert_int_equal(cache_store_answer(c, &put, cache_generation(c), &seq), ERR_OK);
        assert_int_equal(
            cache_store_exact(c, &put.key, of_ann.hash, seq, SPAN("m"), later, cache_generation(c)),
            ERR_OK);
        for (int committed = 0; committed < 2; committed++) {
            struct cache_hit hit;
            expect_miss(c, &of_bob, now);
            enum cache_result found = committed ? CACHE_HIT : CACHE_PENDING;
            assert_int_equal(cache_find_exact(c, &put.key, now, &hit), found);
            assert_span(hit.answer, "of_ann");
            cache_release(c);
            cache_hold_writer(c, false);
            cache_flush(c);
        }
        assert_true(cache_stats(c).collisions >= 4);
        fingerprint_free(&of_ann);
        fingerprint_free(&of_bob);
        world_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_two_requests_have_one_hash),
        cmocka_unit_test(the_meanings_of_two_requests_have_one_hash),
        cmocka_unit_test(two_keys_have_one_hash),
        cmocka_unit_test(two_scopes_have_one_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
