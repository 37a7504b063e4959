/* fuzz_json_reader.c: any bytes as JSON: the canonical form of a canonical form is itself, cJSON
 * reads both alike, and an edit changes what it names and nothing else.
 * covers: path/json/json_read.c path/json/json_token.c path/json/json_edit.c path/json/json.c
 */
#include "lull/base/ascii.h"
#include "lull/path/json/json.h"
#include "lull/path/json/reader.h"

#include <cJSON.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(struct span text, const struct buf *canonical)
{
    struct buf again = {.max = SIZE_MAX};
    require(json_canonical(buf_span(canonical), NULL, 0, &again) == JSON_OK);
    require(span_eq(buf_span(&again), buf_span(canonical)));
    cJSON *a = cJSON_ParseWithLength(text.ptr, text.len);
    cJSON *b = cJSON_ParseWithLength(canonical->data, canonical->len);
    require((a == NULL) == (b == NULL));
    require(a == NULL || cJSON_Compare(a, b, true));
    cJSON_Delete(a);
    cJSON_Delete(b);
    buf_free(&again);
}

/* RFC 8259, 6. */
static bool is_number(struct span s)
{
    size_t at = s.len > 0 && s.ptr[0] == '-' ? 1 : 0, from = at;
    for (; at < s.len && ascii_is_digit(s.ptr[at]); at++) {
    }
    bool good = at > from && (s.ptr[from] != '0' || at == from + 1);
    if (at < s.len && s.ptr[at] == '.') {
        for (from = ++at; at < s.len && ascii_is_digit(s.ptr[at]); at++) {
        }
        good = good && at > from;
    }
    if (at < s.len && (s.ptr[at] | 32) == 'e') {
        at++;
        at += at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-') ? 1 : 0;
        for (from = at; at < s.len && ascii_is_digit(s.ptr[at]); at++) {
        }
        good = good && at > from;
    }
    return good && at == s.len;
}

/* Each number of a text that is JSON is one: cJSON takes more for numbers. */
static void check_numbers(struct span text)
{
    bool quoted = false;
    for (size_t at = 0; at < text.len; at++) {
        char c = text.ptr[at];
        if (quoted && c == '\\') {
            at++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '-' || ascii_is_digit(c))) {
            size_t end = at;
            while (end < text.len && strchr("+-.0123456789eE", text.ptr[end]) != NULL) {
                end++;
            }
            require(is_number(span_make(text.ptr + at, end - at)));
            at = end - 1;
        }
    }
}

static void check_edit(struct span text)
{
    struct buf out = {.max = SIZE_MAX};
    const struct json_edit set = {SPAN("stream"), SPAN("true")};
    const struct json_edit unset = {SPAN("stream"), SPAN_NONE};
    struct span value;
    if (json_edit(text, &set, 1, &out) != ERR_OK) {
        buf_free(&out);
        return;
    }
    require(json_canonical(buf_span(&out), NULL, 0, NULL) != JSON_INVALID);
    require(json_member(buf_span(&out), SPAN("stream"), &value) && span_eq(value, SPAN("true")));
    buf_clear(&out);
    require(json_edit(text, &unset, 1, &out) == ERR_OK);
    require(!json_member(buf_span(&out), SPAN("stream"), &value));
    require(json_canonical(buf_span(&out), NULL, 0, NULL) != JSON_INVALID);
    buf_clear(&out);
    require(json_edit(text, NULL, 0, &out) == ERR_OK);
    require(span_eq(buf_span(&out), text));
    buf_free(&out);
}

/* What all parsers read alike, each grammar reads; a whole object read as JavaScript does is whole in
 * the others but for Python's bounds; no front part of an object is whole. */
static void check_extent(struct span text, enum json_verdict v)
{
    struct span trimmed = span_trim(text);
    size_t looked = 0;
    if (v == JSON_OK) {
        require(json_is_whole(trimmed, JSON_PYTHON) && json_is_whole(trimmed, JSON_JAVASCRIPT));
    }
    if (json_is_whole(trimmed, JSON_PYTHON)) {
        require(json_is_whole(trimmed, JSON_LOOSE));
    }
    bool object = trimmed.len > 1 && trimmed.ptr[0] == '{' && json_is_whole(trimmed, JSON_LOOSE);
    for (size_t n = 1; object && n < trimmed.len; n++) {
        require(json_extent(span_make(trimmed.ptr, n), JSON_LOOSE, &looked) == JSON_CUT);
        require(looked == n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct buf canonical = {.max = SIZE_MAX};
    enum json_verdict v = json_canonical(text, NULL, 0, &canonical);
    require(v != JSON_TOO_LARGE);
    if (size < 4096) {
        check_extent(text, v); /* it reads every front part */
    }
    require(json_canonical(text, NULL, 0, NULL) == v);
    if (v == JSON_OK) {
        check_canonical(text, &canonical);
        check_numbers(text);
        check_edit(text); /* what is ambiguous is never edited: it bypasses */
    }
    buf_free(&canonical);
    return 0;
}
