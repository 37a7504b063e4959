/* test_fingerprint_keys.c: what belongs to a key and what does not: the exact one over the
 * bytes, the normalized one over the normalized, and the material that a hit is compared by.
 */
#include "lull/path/fingerprint/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(literal) ((char *)(uintptr_t)(literal))

static struct hash_secret secret;

struct fixture {
    struct upstream_settings upstreams[2];
    struct kind_policy kinds[2];
    struct settings settings;
    struct scope scope;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    f->upstreams[0].name = TEXT("big");
    f->upstreams[0].url = TEXT("http://127.0.0.1:8080");
    f->upstreams[1].name = TEXT("small");
    f->upstreams[1].url = TEXT("http://127.0.0.1:8081");
    for (size_t i = 0; i < 2; i++) {
        f->kinds[i] = (struct kind_policy){.name = i == 0 ? TEXT("title") : TEXT("tags"),
                                           .shape_member = i == 0 ? TEXT("title") : TEXT("tags"),
                                           .temperature = TEXT(""),
                                           .extra = TEXT(""),
                                           .max_tokens = UNSET};
    }
    f->settings = (struct settings){.upstreams = f->upstreams,
                                    .upstream_count = 2,
                                    .kinds = f->kinds,
                                    .kind_count = 2,
                                    .policy_digest = {1, 2, 3}};
    f->scope = scope_of(SCOPE_AUTO, SPAN("Bearer a"), SPAN("u1"), NULL);
}

static struct fingerprint_exact exact_of(const struct fixture *f)
{
    return (struct fingerprint_exact){.settings = &f->settings,
                                      .header = TASK_HEADER_VALUE,
                                      .header_value = SPAN("title_generation"),
                                      .method = SPAN("POST"),
                                      .path = SPAN("/v1/chat/completions"),
                                      .scope = &f->scope,
                                      .body = SPAN("{\"model\":\"m\"}")};
}

/* The parts of a normalized key, with the body as it came. */
struct asked {
    const struct settings *settings;
    int kind;
    enum endpoint endpoint;
    int upstream;
    struct span model, base, query;
    const struct scope *scope;
    struct span body;
};

static enum json_verdict asked_key(const struct asked *in, const struct hash_secret *with,
                                   struct fingerprint *f)
{
    struct dialect_request request;
    struct normalized_body body = {0};
    (void)dialect_request_parse(in->body, in->endpoint, &request);
    normalized_body_read(in->body, &request, &body);
    struct fingerprint_normalized parts = {.settings = in->settings,
                                           .kind = in->kind,
                                           .endpoint = in->endpoint,
                                           .upstream = in->upstream,
                                           .model = in->model,
                                           .base = in->base,
                                           .query = in->query,
                                           .scope = in->scope,
                                           .body = &body};
    enum json_verdict verdict = fingerprint_normalized(&parts, with, f);
    normalized_body_free(&body);
    dialect_request_free(&request);
    return verdict;
}

static struct asked normalized_of(const struct fixture *f, const char *body)
{
    return (struct asked){.settings = &f->settings,
                          .endpoint = ENDPOINT_CHAT,
                          .model = SPAN("m"),
                          .scope = &f->scope,
                          .body = span_of(body)};
}

static bool same(const struct fingerprint *a, const struct fingerprint *b)
{
    bool material = span_eq(a->head, b->head) && span_eq(a->body, b->body);
    assert_int_equal(material, hash_key_eq(a->hash, b->hash));
    return material;
}

static bool exact_same(const struct fingerprint_exact *a, const struct fingerprint_exact *b)
{
    struct fingerprint fa = {0};
    struct fingerprint fb = {0};
    assert_int_equal(fingerprint_exact(a, &secret, &fa), ERR_OK);
    assert_int_equal(fingerprint_exact(b, &secret, &fb), ERR_OK);
    bool equal = same(&fa, &fb);
    fingerprint_free(&fa);
    fingerprint_free(&fb);
    return equal;
}

static bool normalized_same(const struct asked *a, const struct asked *b)
{
    struct fingerprint fa = {0};
    struct fingerprint fb = {0};
    assert_int_equal(asked_key(a, &secret, &fa), JSON_OK);
    assert_int_equal(asked_key(b, &secret, &fb), JSON_OK);
    bool equal = same(&fa, &fb);
    fingerprint_free(&fa);
    fingerprint_free(&fb);
    return equal;
}

static void test_exact_repeats(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint_exact a = exact_of(&f);
    struct fingerprint_exact b = exact_of(&f);
    char *copy = strdup("{\"model\":\"m\"}");
    b.body = span_of(copy);
    assert_true(exact_same(&a, &b));
    free(copy);
}

static void test_exact_differs_in_every_part(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint_exact a = exact_of(&f);
    struct fingerprint_exact b;
#define FLIP(change)                                                                               \
    do {                                                                                           \
        b = a;                                                                                     \
        change;                                                                                    \
        assert_false(exact_same(&a, &b));                                                          \
    } while (0)
    FLIP(b.header = TASK_HEADER_ABSENT);
    FLIP(b.header = TASK_HEADER_EMPTY);
    FLIP(b.header_value = SPAN("tags_generation"));
    FLIP(b.method = SPAN("PUT"));
    FLIP(b.path = SPAN("/chat/completions"));
    FLIP(b.query = SPAN("a=1"));
    FLIP(b.upstream = 1);
    FLIP(b.body = SPAN("{\"model\":\"n\"}"));
    FLIP(b.body = SPAN("{\"model\": \"m\"}"));
    FLIP(b.body = SPAN_NONE);
    struct scope other = scope_of(SCOPE_AUTO, SPAN("Bearer a"), SPAN("u2"), NULL);
    FLIP(b.scope = &other);
    struct settings changed = f.settings;
    changed.policy_digest[15] = 1;
    FLIP(b.settings = &changed);
#undef FLIP
}

static void test_parts_cannot_be_shifted_into_each_other(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint_exact a = exact_of(&f);
    struct fingerprint_exact b = exact_of(&f);
    a.path = SPAN("/ab");
    a.query = SPAN("c");
    b.path = SPAN("/a");
    b.query = SPAN("bc");
    assert_false(exact_same(&a, &b));
    a = exact_of(&f);
    b = exact_of(&f);
    a.query = SPAN("x");
    a.body = SPAN("yz");
    b.query = SPAN("xy");
    b.body = SPAN("z");
    assert_false(exact_same(&a, &b));
}

static void test_exact_borrows_the_body_and_reuses_its_storage(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint_exact a = exact_of(&f);
    struct fingerprint fp = {0};
    assert_int_equal(fingerprint_exact(&a, &secret, &fp), ERR_OK);
    assert_ptr_equal(fp.body.ptr, a.body.ptr);
    const char *data = fp.storage.data;
    struct hash_key first = fp.hash;
    assert_int_equal(fingerprint_exact(&a, &secret, &fp), ERR_OK);
    assert_ptr_equal(fp.storage.data, data);
    assert_true(hash_key_eq(first, fp.hash));
    assert_true(fp.head.len <= 400);
    struct hash_secret other = secret;
    other.bytes[0] ^= 0xFF;
    other.bytes[100] ^= 0xFF;
    assert_int_equal(fingerprint_exact(&a, &other, &fp), ERR_OK);
    assert_false(hash_key_eq(first, fp.hash));
    fingerprint_free(&fp);
    fingerprint_free(&fp); /* twice is fine */
    assert_null(fp.storage.data);
}

/* The secret is new where the files of the cache were replaced. */
static void test_exact_again_is_the_key_of_that_body_and_secret(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint_exact a = exact_of(&f);
    struct fingerprint of = {0}, again = {0}, whole = {0};
    struct hash_secret other = secret;
    other.bytes[0] ^= 0xFF;
    assert_int_equal(fingerprint_exact(&a, &secret, &of), ERR_OK);
    a.body = SPAN("{\"model\":\"another\"}");
    assert_int_equal(fingerprint_exact(&a, &other, &whole), ERR_OK);
    assert_int_equal(fingerprint_exact_again(&of, a.body, &other, &again), ERR_OK);
    assert_true(same(&whole, &again));
    fingerprint_free(&of);
    fingerprint_free(&again);
    fingerprint_free(&whole);
}

static void test_normalized_ignores_style_order_and_what_is_not_asked(void **state)
{
    (void)state;
    static const char *const equal[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Brot "
        "\\ud83c\\udf5e\"}],\"stream\":false}",
        "{\"model\": \"m\", \"messages\": [{\"role\": \"user\", \"content\": \"Brot 🍞\"}], "
        "\"stream\": false}",
        "{\"messages\":[{\"content\":\"Brot 🍞\",\"role\":\"user\"}]}",
        "{\"messages\":[{\"content\":\"\\u0042rot 🍞\",\"role\":\"user\"}],\"model\":\"other\"}",
        "{\"messages\":[{\"content\":\"Brot "
        "🍞\",\"role\":\"user\"}],\"stream\":true,\"stream_options\":{\"a\":1}}",
        " {\"user\":\"u\",\"messages\":[{\"content\":\"Brot "
        "🍞\",\"role\":\"user\"}],\"metadata\":{\"chat_id\":\"c\"}} ",
    };
    struct fixture f;
    fixture_init(&f);
    struct asked a = normalized_of(&f, equal[0]);
    for (size_t i = 1; i < sizeof equal / sizeof equal[0]; i++) {
        struct asked b = normalized_of(&f, equal[i]);
        assert_true(normalized_same(&a, &b));
    }
}

static void test_normalized_differs_in_every_other_member(void **state)
{
    (void)state;
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Polish\"}]"
    static const char *const bodies[] = {
        "{" MESSAGES "}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"polish\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Polish \"}]}",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Polish\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Polish\",\"user\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Polish\"},{\"role\":\"user\",\"content\":"
        "\"Polish\"}]}",
        "{" MESSAGES ",\"temperature\":0}",
        "{" MESSAGES ",\"temperature\":0.0}",
        "{" MESSAGES ",\"temperature\":0.1}",
        "{" MESSAGES ",\"seed\":1}",
        "{" MESSAGES ",\"seed\":\"1\"}",
        "{" MESSAGES ",\"max_tokens\":1000}",
        "{" MESSAGES ",\"options\":{\"num_ctx\":4096}}",
        "{" MESSAGES ",\"options\":{\"num_ctx\":4096,\"model\":\"m\"}}",
        "{" MESSAGES ",\"think\":false}",
        "{" MESSAGES ",\"think\":true}",
        "{" MESSAGES ",\"Stream\":true}",
        "{" MESSAGES ",\"not_a_known_member\":[]}",
        "{" MESSAGES ",\"not_a_known_member\":{}}",
        /* the key has a model's name, and no other value */
        "{" MESSAGES ",\"model\":\"\"}",
        "{" MESSAGES ",\"model\":5}",
        "{" MESSAGES ",\"model\":6}",
        "{" MESSAGES ",\"model\":[\"a\"]}",
        "{" MESSAGES ",\"model\":{\"id\":\"a\"}}",
        "{" MESSAGES ",\"model\":6,\"not_a_known_member\":{}}",
    };
    struct fixture f;
    fixture_init(&f);
    size_t count = sizeof bodies / sizeof bodies[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            struct asked a = normalized_of(&f, bodies[i]);
            struct asked b = normalized_of(&f, bodies[j]);
            assert_int_equal(normalized_same(&a, &b), i == j);
        }
    }
}

static void test_normalized_differs_in_every_part_beside_the_body(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct asked a = normalized_of(&f, "{" MESSAGES "}");
    struct asked b;
#define FLIP(change)                                                                               \
    do {                                                                                           \
        b = a;                                                                                     \
        change;                                                                                    \
        assert_false(normalized_same(&a, &b));                                                     \
    } while (0)
    FLIP(b.kind = 1);
    FLIP(b.endpoint = ENDPOINT_OLLAMA_GENERATE);
    FLIP(b.upstream = 1);
    FLIP(b.model = SPAN("n"));
    FLIP(b.model = SPAN_NONE);
    struct scope other = scope_of(SCOPE_AUTO, SPAN("Bearer b"), SPAN("u1"), NULL);
    FLIP(b.scope = &other);
    struct fixture moved;
    fixture_init(&moved);
    moved.upstreams[0].url = TEXT("http://10.0.0.1:8080");
    FLIP(b.settings = &moved.settings);
    struct fixture shaped; /* what is asked for beside the request */
    fixture_init(&shaped);
    shaped.kinds[0].max_tokens = 50;
    FLIP(b.settings = &shaped.settings);
    fixture_init(&shaped);
    shaped.kinds[0].temperature = TEXT("0.2");
    FLIP(b.settings = &shaped.settings);
    fixture_init(&shaped);
    shaped.kinds[0].think = THINK_ON;
    FLIP(b.settings = &shaped.settings);
    fixture_init(&shaped);
    shaped.kinds[0].json_schema = true;
    FLIP(b.settings = &shaped.settings);
    fixture_init(&shaped);
    shaped.kinds[0].extra = TEXT("{\"top_k\":1}");
    FLIP(b.settings = &shaped.settings);
    fixture_init(&shaped); /* two kinds that differ in nothing but their names */
    shaped.kinds[1] = shaped.kinds[0];
    shaped.kinds[1].name = TEXT("another");
    FLIP((b.settings = &shaped.settings, b.kind = 1));
    fixture_init(&shaped); /* does not change the answer */
    shaped.kinds[0].num_ctx = MATCH_AS_ASKED;
    b = a;
    b.settings = &shaped.settings;
    assert_true(normalized_same(&a, &b));
    struct fixture reshaped;
    fixture_init(&reshaped);
    reshaped.kinds[0].shape = KIND_SHAPE_TEXT;
    FLIP(b.settings = &reshaped.settings);
#undef FLIP
    /* the digest of all policy is in the exact key: a change elsewhere keeps stored answers */
    struct fixture elsewhere;
    fixture_init(&elsewhere);
    elsewhere.settings.policy_digest[0] = 99;
    b = a;
    b.settings = &elsewhere.settings;
    assert_true(normalized_same(&a, &b));
}

static void test_ambiguous_documents_have_no_normalized_key(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum json_verdict verdict;
    } rows[] = {
        {"{\"a\":1,\"a\":2}", JSON_AMBIGUOUS},
        {"{\"a\":\"\\u0000\"}", JSON_AMBIGUOUS},
        {"{\"a\":9007199254740993}", JSON_AMBIGUOUS},
        {"{\"a\":1} x", JSON_INVALID},
        {"", JSON_INVALID},
    };
    struct fixture f;
    fixture_init(&f);
    struct fingerprint fp = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asked in = normalized_of(&f, rows[i].body);
        assert_int_equal(asked_key(&in, &secret, &fp), rows[i].verdict);
        assert_int_equal(fp.head.len, 0);
        assert_int_equal(fp.body.len, 0);
    }
    /* the same struct serves afterwards */
    struct asked in = normalized_of(&f, "{" MESSAGES "}");
    assert_int_equal(asked_key(&in, &secret, &fp), JSON_OK);
    assert_true(fp.body.len > 0);
    fingerprint_free(&fp);
}

static void test_a_model_name_of_any_length_is_part_of_the_key(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    char *body = malloc(LONG + 32);
    assert_non_null(body);
    size_t len = (size_t)snprintf(body, 32, "{\"model\":\"");
    memset(body + len, 'm', LONG);
    memcpy(body + len + LONG, "\"}", 3);
    struct fixture f;
    fixture_init(&f);
    struct asked a = normalized_of(&f, body);
    a.model = span_make(body + len, LONG);
    struct asked b = a;
    b.model.len--;
    assert_false(normalized_same(&a, &b));
    free(body);
}

/* All orders of the members of one document. */
static void test_member_order_never_matters(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"messages\":[{\"role\":\"user\",\"content\":\"a, \\\"b\\\": {c}\"}]",
        "\"temperature\":0.5",
        "\"options\":{\"b\":1,\"a\":[{\"d\":1,\"c\":2}]}",
        "\"é\":\"x\"",
    };
    enum { COUNT = 4, FORMS = 24 };
    struct fixture f;
    fixture_init(&f);
    char first[512] = "";
    for (int form = 0; form < FORMS; form++) {
        bool used[COUNT] = {false};
        char body[512] = "{";
        int rank = form;
        for (int left = COUNT; left > 0; left--) {
            int pick = rank % left;
            rank /= left;
            int at = -1;
            for (int unused = -1; unused < pick;) {
                at++;
                unused += used[at] ? 0 : 1;
            }
            used[at] = true;
            size_t len = strlen(body);
            snprintf(body + len, sizeof body - len, "%s%s", members[at], left > 1 ? "," : "}");
        }
        if (form == 0) {
            memcpy(first, body, sizeof first);
        }
        struct asked a = normalized_of(&f, first);
        struct asked b = normalized_of(&f, body);
        assert_true(normalized_same(&a, &b));
    }
}

/* The context of a request whose prompt is `before` text `after`; the caller frees the fingerprint.
 */
static bool context_of(const struct fixture *f, const char *member, const char *before,
                       const char *text, const char *after, struct fingerprint *out)
{
    struct buf prompt = {.max = 65536}, body = {.max = 262144};
    struct fingerprint normalized = {0};
    assert_int_equal(buf_printf(&prompt, "%s%s%s", before, text, after), ERR_OK);
    assert_int_equal(
        buf_printf(&body, "{%s\"messages\":[{\"role\":\"user\",\"content\":\"", member), ERR_OK);
    assert_int_equal(buf_append_json(&body, buf_span(&prompt)), ERR_OK);
    assert_int_equal(buf_append_span(&body, SPAN("\"}]}")), ERR_OK);
    assert_int_equal(buf_append_char(&body, '\0'), ERR_OK);
    struct asked in = normalized_of(f, body.data);
    assert_int_equal(asked_key(&in, &secret, &normalized), JSON_OK);
    struct span inside = span_make(prompt.data + strlen(before), strlen(text));
    bool found = fingerprint_context(&normalized, buf_span(&prompt), inside, &secret, out);
    fingerprint_free(&normalized);
    buf_free(&prompt);
    buf_free(&body);
    return found;
}

static void test_the_context_is_everything_but_the_text(void **state)
{
    (void)state;
    struct fixture f, other;
    fixture_init(&f);
    fixture_init(&other);
    other.scope = scope_of(SCOPE_AUTO, SPAN("Bearer a"), SPAN("u2"), NULL);
    static const char template[] = "Complete \"this\":\n\x01<text>", end[] = "</text>\t\x7f";
    const struct {
        const struct fixture *f;
        const char *member, *before, *text, *after;
        bool same;
    } rows[] = {
        {&f, "", template, "How do I", end, true},
        {&f, "", template, "", end, true},
        {&f, "", template, "quotes \" and \\ and \n \x1f \xc3\xa4", end, true},
        {&f, "", template, template, end, true}, /* the template itself as the text */
        {&f, "\"stream\":false,", template, "How do", end, true},
        {&f, "\"seed\":1,", template, "How do", end, false},
        {&f, "", "Complete that: <text>", "How do", end, false},
        {&f, "", template, "How do", "</text>", false},
        {&other, "", template, "How do", end, false},
    };
    struct fingerprint base = {0};
    assert_true(context_of(&f, "", template, "How", end, &base));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fingerprint c = {0};
        assert_true(
            context_of(rows[i].f, rows[i].member, rows[i].before, rows[i].text, rows[i].after, &c));
        if (hash_key_eq(c.hash, base.hash) != rows[i].same ||
            span_eq(c.head, base.head) != rows[i].same) {
            fail_msg("row %zu", i);
        }
        fingerprint_free(&c);
    }
    fingerprint_free(&base);
}

static void test_where_the_text_cannot_be_cut_out_there_is_no_context(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint normalized = {0}, c = {0};
    struct asked in =
        normalized_of(&f, "{\"messages\":[{\"content\":\"in \"},{\"content\":\"parts\"}]}");
    assert_int_equal(asked_key(&in, &secret, &normalized), JSON_OK);
    struct span prompt = SPAN("in parts");
    assert_false(fingerprint_context(&normalized, prompt, prompt, &secret, &c));
    fingerprint_free(&normalized);
    in = normalized_of(&f, "{\"messages\":[{\"content\":\"twice\"},{\"content\":\"twice\"}]}");
    assert_int_equal(asked_key(&in, &secret, &normalized), JSON_OK);
    prompt = SPAN("twice");
    assert_false(fingerprint_context(&normalized, prompt, prompt, &secret, &c));
    fingerprint_free(&normalized);
    char *large = malloc(FINGERPRINT_PROMPT_MAX + 2);
    memset(large, 'x', FINGERPRINT_PROMPT_MAX + 1);
    large[FINGERPRINT_PROMPT_MAX + 1] = '\0';
    prompt = span_of(large);
    assert_false(fingerprint_context(&normalized, prompt, prompt, &secret, &c));
    free(large);
    fingerprint_free(&c);
}

static void test_the_key_of_another_text_is_made_of_the_context(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct fingerprint c = {0}, normalized = {0};
    assert_true(context_of(&f, "\"seed\":1,", "Complete\n<text>", "How", "</text>", &c));
    struct asked in = normalized_of(&f, "{\"seed\":1,\"messages\":[{\"role\":\"user\",\"content\":"
                                        "\"Complete\\n<text>How do I \xc3\xa4</text>\"}]}");
    assert_int_equal(asked_key(&in, &secret, &normalized), JSON_OK);
    assert_true(hash_key_eq(normalized.hash,
                            fingerprint_completed(c.head, SPAN("How do I \xc3\xa4"), &secret)));
    assert_false(
        hash_key_eq(normalized.hash, fingerprint_completed(c.head, SPAN("How do I a"), &secret)));
    fingerprint_free(&normalized);
    fingerprint_free(&c);
}

int main(void)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof secret.bytes; i++) {
        seed = seed * 1664525U + 1013904223U;
        secret.bytes[i] = (uint8_t)(seed >> 24);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_repeats),
        cmocka_unit_test(test_exact_differs_in_every_part),
        cmocka_unit_test(test_parts_cannot_be_shifted_into_each_other),
        cmocka_unit_test(test_exact_borrows_the_body_and_reuses_its_storage),
        cmocka_unit_test(test_exact_again_is_the_key_of_that_body_and_secret),
        cmocka_unit_test(test_normalized_ignores_style_order_and_what_is_not_asked),
        cmocka_unit_test(test_normalized_differs_in_every_other_member),
        cmocka_unit_test(test_normalized_differs_in_every_part_beside_the_body),
        cmocka_unit_test(test_ambiguous_documents_have_no_normalized_key),
        cmocka_unit_test(test_a_model_name_of_any_length_is_part_of_the_key),
        cmocka_unit_test(test_member_order_never_matters),
        cmocka_unit_test(test_the_context_is_everything_but_the_text),
        cmocka_unit_test(test_where_the_text_cannot_be_cut_out_there_is_no_context),
        cmocka_unit_test(test_the_key_of_another_text_is_made_of_the_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
