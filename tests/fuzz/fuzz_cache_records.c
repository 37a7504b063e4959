/* fuzz_cache_records.c: any bytes as the value of an answer record and of an exact record: refused,
 * or cut into parts that lie inside it and are written back as the same bytes.
 * covers: path/cache/codec.c
 */
#include "path/cache/cache_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span part, struct span whole)
{
    require(part.len == 0 ||
            (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

/* What a text says of a request is compared within the bounds of the two. */
static void compare(const struct exact_text *t, struct span value)
{
    struct cache_key key = {.head = t->material, .body = SPAN("a body")};
    inside(t->model, value);
    inside(t->middle, value);
    require(!exact_text_matches(t, SPAN("a request of few bytes"), &key) || t->hashed ||
            t->first + t->middle.len + t->last == key.body.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span value = span_make((const char *)data, size);
    struct buf out = {.max = SIZE_MAX};
    struct answer_record e;
    struct exact_record a;
    if (answer_record_decode(value, &e) == ERR_OK) {
        inside(e.answer, value);
        inside(e.request, value);
        compare(&e.exact, value);
        require(answer_record_encode(&e, &out) == ERR_OK && out.len == value.len);
    }
    buf_clear(&out);
    if (exact_record_decode(value, &a) == ERR_OK) {
        struct hash_key answer;
        int64_t seq = 0;
        compare(&a.text, value);
        require(exact_record_target(value, &answer, &seq) && seq == a.seq);
        require(exact_record_encode(&a, &out) == ERR_OK && out.len == value.len);
    }
    buf_free(&out);
    return 0;
}
