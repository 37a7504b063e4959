/* test_stored.c: the stored form of an answer. */
#include "support/check.h"

#include "lull/path/dialect/answer.h"

static const wall_t AT = {1700000000 * USEC_PER_S};

static void make(struct answer *a, struct span content, struct span thinking)
{
    answer_init(a);
    a->finish = FINISH_STOP;
    a->tokens_in = 5;
    a->tokens_out = 7;
    assert_int_equal(buf_append_span(&a->content, content), ERR_OK);
    assert_int_equal(buf_append_span(&a->thinking, thinking), ERR_OK);
}

/* A hit's body is that of the call that made it. */
static void what_is_stored_is_rendered_as_the_answer_is(void **state)
{
    static const char *const texts[] = {"",
                                        "plain",
                                        "{\"title\": \"A \\ B\"}",
                                        "\"",
                                        "\b\t\n\f\r\x01\x1f\x7f",
                                        "Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
                                        "\xff not UTF-8 \xc3"};
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE};
    enum { N = sizeof texts / sizeof texts[0] };
    (void)state;
    for (size_t i = 0; i < (size_t)N * N * 3 * 2; i++) {
        struct buf stored = {.max = 4096}, fresh = {.max = 4096}, hit = {.max = 4096};
        struct answer a, back;
        make(&a, span_of(texts[i % N]), span_of(texts[i / N % N]));
        a.is_reasoning = i % 2 != 0; /* N is odd: both go with all texts */
        enum endpoint endpoint = endpoints[i / N / N % 3];
        assert_int_equal(answer_encode(&a, &stored), ERR_OK);
        assert_int_equal(answer_render(&a, endpoint, SPAN("m\""), AT, 9, &fresh), ERR_OK);
        assert_int_equal(
            answer_render_stored(buf_span(&stored), endpoint, SPAN("m\""), AT, 9, &hit), ERR_OK);
        assert_true(span_eq(buf_span(&fresh), buf_span(&hit)));
        assert_int_equal(answer_decode(buf_span(&stored), &back), ERR_OK);
        assert_true(back.is_reasoning == a.is_reasoning);
        if (i % N < N - 1) {
            assert_span(buf_span(&back.content), texts[i % N]);
        } else {
            assert_span(buf_span(&back.content), "\xEF\xBF\xBD not UTF-8 \xEF\xBF\xBD");
        }
        answer_free(&a);
        answer_free(&back);
        buf_free(&stored);
        buf_free(&fresh);
        buf_free(&hit);
    }
}

/* It could not be read back. */
static void an_answer_with_a_zero_byte_is_not_stored(void **state)
{
    struct buf stored = {.max = 4096};
    struct answer a;
    (void)state;
    for (int in_thinking = 0; in_thinking < 2; in_thinking++) {
        struct span zero = span_make("a\0b", 3), plain = SPAN("text");
        make(&a, in_thinking ? plain : zero, in_thinking ? zero : plain);
        assert_int_equal(answer_encode(&a, &stored), ERR_INVALID);
        assert_int_equal(stored.len, 0);
        answer_free(&a);
    }
    buf_free(&stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_rendered_as_the_answer_is),
        cmocka_unit_test(an_answer_with_a_zero_byte_is_not_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
