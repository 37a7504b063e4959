/* fuzz_cache_records.c: any bytes as the value of a stored entry and of an alias: refused, or cut
 * into parts that lie inside it and are written back as the same bytes.
 */
#include "path/cache/cache_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span part, struct span whole)
{
    require(part.len == 0 ||
            (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span value = span_make((const char *)data, size);
    struct buf out = {.max = SIZE_MAX};
    struct entry_value e;
    struct alias_value a;
    if (entry_decode(value, &e) == ERR_OK) {
        inside(e.answer, value);
        inside(e.request, value);
        require(entry_encode(&e, &out) == ERR_OK && out.len == value.len);
    }
    buf_clear(&out);
    if (alias_decode(value, &a) == ERR_OK) {
        struct hash_key entry;
        int64_t seq = 0;
        inside(a.model, value);
        inside(a.middle, value);
        /* whatever it says of a request is compared inside of the two */
        struct entry_value short_entry = {.request = SPAN("a request of few bytes")};
        struct cache_key key = {.head = a.material, .body = SPAN("a body")};
        require(!alias_is_of(&a, &short_entry, &key) || a.hashed ||
                a.first + a.middle.len + a.last == key.body.len);
        require(exact_record_target(value, &entry, &seq) && seq == a.seq);
        require(alias_encode(&a, &out) == ERR_OK && out.len == value.len);
    }
    buf_free(&out);
    return 0;
}
