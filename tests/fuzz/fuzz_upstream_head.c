/* fuzz_upstream_head.c: any lines as the heads of a model server's answer. What is handed on has no
 * line end in it, no field of one hop, and is what stands in the last head; its length and coding
 * are what its fields say.
 * covers: path/upstream/response_head.c http/fields.c
 */
#include "path/upstream/upstream_priv.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_field(const struct http_header *f, struct span text)
{
    require(f->name.len > 0 && http_is_one_line(f->name) && http_is_one_line(f->value));
    require(span_find(f->name, SPAN(":"), 0) == SIZE_MAX && span_trim(f->name).len == f->name.len);
    require(span_trim(f->value).len == f->value.len);
    require(span_find(text, f->name, 0) != SIZE_MAX); /* as it was written */
}

static void check_fields(const struct answer_head *h, struct span text, bool decoded)
{
    const struct span hops[] = {SPAN("Connection"),      SPAN("Keep-Alive"),        SPAN("TE"),
                                SPAN("Trailer"),         SPAN("Transfer-Encoding"), SPAN("Upgrade"),
                                SPAN("Proxy-Connection")};
    struct http_header out[UPSTREAM_MAX_HEADERS];
    size_t count = head_fields(h, decoded, out);
    require(count <= h->count && h->count <= UPSTREAM_MAX_HEADERS);
    for (size_t i = 0; i < count; i++) {
        check_field(&out[i], text);
        for (size_t k = 0; k < sizeof hops / sizeof hops[0]; k++) {
            require(!span_eq_nocase(out[i].name, hops[k]));
        }
        require(!decoded || !span_eq_nocase(out[i].name, SPAN("Content-Encoding")));
    }
    if (!decoded) {
        struct span length = http_field(out, count, SPAN("Content-Length"));
        require(length.ptr == NULL || h->length);
    }
}

/* The lines once more as lines of a head: found by name as in the list. */
static void check_lines(const struct answer_head *h)
{
    struct http_header out[UPSTREAM_MAX_HEADERS], again;
    size_t count = head_fields(h, false, out), seen = 0;
    struct buf lines = {.max = SIZE_MAX};
    for (size_t i = 0; i < count; i++) {
        require(http_lines_add(&lines, &out[i]));
    }
    struct span rest = buf_span(&lines);
    while (http_lines_next(&rest, &again)) {
        require(seen < count && span_eq(again.name, out[seen].name) &&
                span_eq(again.value, out[seen].value));
        struct span first = http_lines_field(buf_span(&lines), again.name);
        require(span_eq(first, http_field(out, count, again.name)));
        seen++;
    }
    require(seen == count);
    buf_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct answer_head h = {0};
    enum head_step got = HEAD_MORE;
    head_begin(&h);
    for (size_t at = 0; at < text.len && got == HEAD_MORE;) {
        size_t end = span_find(text, SPAN("\n"), at);
        end = end == SIZE_MAX ? text.len : end + 1;
        got = head_line(&h, span_make(text.ptr + at, end - at));
        at = end;
    }
    require((got == HEAD_FINAL) == h.final && (!h.final || h.status >= 200));
    require(h.status >= 0 && h.status < 10000);
    if (got != HEAD_REFUSE) {
        check_fields(&h, text, false);
        check_fields(&h, text, true);
        check_lines(&h);
    }
    if (h.final) {
        size_t count = h.count;
        require(head_line(&h, SPAN("Trailer-Field: x\r\n")) == HEAD_MORE && h.count == count);
    }
    head_free(&h);
    return 0;
}
