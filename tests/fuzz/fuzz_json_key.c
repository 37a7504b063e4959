/* fuzz_json_key.c: the canonical text, which keys are made of, against cJSON. Input: eight bytes of
 * choices, then one document, or two with a zero byte between. Other white space, another order of
 * members and other escapes keep the canonical text; what has the same text is equal for cJSON;
 * what is equal for cJSON and has no number has the same text.
 * covers: path/json/json.c path/json/json_token.c path/json/json_read.c path/json/json_members.c
 */
#include "support/random.h"

#include "lull/base/utf8.h"
#include "lull/path/json/json.h"
#include "lull/path/json/reader.h"

#include <cJSON.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS_MOST = 64 };

static void put(struct buf *out, struct span s)
{
    require(buf_append_span(out, s) == ERR_OK);
}

static void put_blanks(struct buf *out)
{
    const struct span blanks[] = {SPAN(""), SPAN(""), SPAN(" "), SPAN("\n\t"), SPAN("\r")};
    put(out, blanks[pick(sizeof blanks / sizeof blanks[0])]);
}

static void put_unit(struct buf *out, unsigned unit)
{
    buf_text(out, pick(2) == 0 ? "\\u%04x" : "\\u%04X", unit);
}

/* A code point as another writer may have it: raw, or escaped. */
static void put_code_point(struct buf *out, const char *at, size_t n)
{
    unsigned cp = utf8_decode(at, n);
    bool must = cp < 0x20 || cp == '"' || cp == '\\';
    if (!must && pick(4) != 0) {
        put(out, span_make(at, n));
    } else if (cp >= 0x10000) {
        put_unit(out, 0xD800 + ((cp - 0x10000) >> 10));
        put_unit(out, 0xDC00 + ((cp - 0x10000) & 0x3FF));
    } else if (cp == '/' && pick(2) == 0) {
        put(out, SPAN("\\/"));
    } else {
        put_unit(out, cp);
    }
}

static void put_string(struct buf *out, struct span raw)
{
    struct buf text = {.max = SIZE_MAX};
    require(json_text(raw, &text)); /* the document has one meaning */
    put(out, SPAN("\""));
    for (size_t i = 0, n = 0; i < text.len; i += n) {
        n = utf8_length(text.data + i, text.len - i);
        require(n > 0);
        put_code_point(out, text.data + i, n);
    }
    put(out, SPAN("\""));
    buf_free(&text);
}

static void rewrite(const struct json_node *node, struct buf *out);

/* The values in an array in their order, the members of an object in another one. */
static void rewrite_inside(const struct json_node *node, struct buf *out)
{
    const struct json_node *inside[MEMBERS_MOST];
    size_t count = 0;
    bool object = node->type == JSON_OBJECT;
    JSON_EACH(child, node)
    {
        require(count < MEMBERS_MOST); /* the caller looked */
        inside[count++] = child;
    }
    for (size_t i = count; object && i > 1; i--) {
        unsigned other = pick((unsigned)i);
        const struct json_node *swap = inside[i - 1];
        inside[i - 1] = inside[other];
        inside[other] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        put(out, i == 0 ? SPAN("") : SPAN(","));
        put_blanks(out);
        if (object) {
            put_string(out, inside[i]->name);
            put_blanks(out);
            put(out, SPAN(":"));
        }
        rewrite(inside[i], out);
    }
}

static void rewrite(const struct json_node *node, struct buf *out)
{
    put_blanks(out);
    if (node->type == JSON_OBJECT || node->type == JSON_ARRAY) {
        put(out, node->type == JSON_OBJECT ? SPAN("{") : SPAN("["));
        rewrite_inside(node, out);
        put_blanks(out);
        put(out, node->type == JSON_OBJECT ? SPAN("}") : SPAN("]"));
    } else if (node->type == JSON_STRING) {
        put_string(out, span_make(node->raw.ptr + 1, node->raw.len - 2));
    } else {
        put(out, node->raw);
    }
    put_blanks(out);
}

static bool is_small(const struct json_doc *doc)
{
    for (uint32_t i = 0; i < doc->count; i++) {
        size_t inside = 0;
        JSON_EACH(child, &doc->nodes[i])
        {
            inside += child != NULL;
        }
        if (inside > MEMBERS_MOST) {
            return false;
        }
    }
    return doc->count < 2000; /* cJSON compares members with members */
}

static bool equal_for_cjson(struct span a, struct span b)
{
    cJSON *one = cJSON_ParseWithLength(a.ptr, a.len);
    cJSON *other = cJSON_ParseWithLength(b.ptr, b.len);
    bool equal = one != NULL && other != NULL && cJSON_Compare(one, other, true) != 0;
    cJSON_Delete(one);
    cJSON_Delete(other);
    return equal;
}

static bool has_number(const struct json_doc *doc)
{
    for (uint32_t i = 0; i < doc->count; i++) {
        if (doc->nodes[i].type == JSON_NUMBER) {
            return true;
        }
    }
    return false;
}

static void check_rewritten(const struct json_node *root, struct span canonical)
{
    struct buf other = {.max = SIZE_MAX}, again = {.max = SIZE_MAX};
    rewrite(root, &other);
    require(json_canonical(buf_span(&other), NULL, 0, &again) == JSON_OK);
    require(span_eq(buf_span(&again), canonical));
    buf_free(&other);
    buf_free(&again);
}

static void check_pair(struct span a, struct span a_canonical, struct span b, bool numbers)
{
    struct buf canonical = {.max = SIZE_MAX};
    struct json_doc doc;
    const struct json_node *root = json_read(b, &doc);
    if (root != NULL && doc.verdict == JSON_OK && is_small(&doc)) {
        require(json_append_canonical(root, NULL, 0, &canonical));
        bool same = span_eq(buf_span(&canonical), a_canonical);
        bool equal = equal_for_cjson(a, b);
        /* cJSON nests 1,000 deep, lull's verdict allows 512 */
        require(!same || equal);
        require(!equal || same || numbers || has_number(&doc));
    }
    json_doc_free(&doc);
    buf_free(&canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof random_state) {
        return 0;
    }
    memcpy(&random_state, data, sizeof random_state);
    struct span all =
        span_make((const char *)data + sizeof random_state, size - sizeof random_state);
    size_t split = span_find(all, SPAN("\0"), 0);
    struct span first = span_make(all.ptr, split == SIZE_MAX ? all.len : split);
    struct buf canonical = {.max = SIZE_MAX};
    struct json_doc doc;
    const struct json_node *root = json_read(first, &doc);
    if (root != NULL && doc.verdict == JSON_OK && is_small(&doc)) {
        require(json_append_canonical(root, NULL, 0, &canonical));
        check_rewritten(root, buf_span(&canonical));
        if (split != SIZE_MAX) {
            struct span second = span_make(all.ptr + split + 1, all.len - split - 1);
            check_pair(first, buf_span(&canonical), second, has_number(&doc));
        }
    }
    json_doc_free(&doc);
    buf_free(&canonical);
    return 0;
}
