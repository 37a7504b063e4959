/* json_token.c: the tokens of JSON: white space, numbers, words, and the text of strings. */
#include "lull/path/json/reader.h"

#include "lull/base/ascii.h"
#include "lull/base/utf8.h"

const char *json_blanks(const char *at, const char *end)
{
    while (at < end && ascii_is_blank(*at)) {
        at++;
    }
    return at;
}

int json_hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int d = ascii_hex_value(p[i]);
        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

static size_t digits(const char **at, const char *end)
{
    const char *from = *at;
    while (*at < end && **at >= '0' && **at <= '9') {
        (*at)++;
    }
    return (size_t)(*at - from);
}

static bool one_of(const char **at, const char *end, const char *set)
{
    bool there = *at < end && **at != '\0' && strchr(set, **at) != NULL;
    *at += there ? 1 : 0;
    return there;
}

bool json_number(const char **at, const char *end)
{
    (void)one_of(at, end, "-");
    if (!one_of(at, end, "0") && digits(at, end) == 0) {
        return false;
    }
    if (one_of(at, end, ".") && digits(at, end) == 0) {
        return false;
    }
    if (one_of(at, end, "eE")) {
        (void)one_of(at, end, "+-");
        return digits(at, end) > 0;
    }
    return true;
}

bool json_word(const char **at, const char *end, const char *word)
{
    for (; *word != '\0'; word++, (*at)++) {
        if (*at == end || **at != *word) {
            return false;
        }
    }
    return true;
}

char json_escaped(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return '\0';
    }
}

unsigned json_code_point(const char **at, const char *end)
{
    char c = *at < end ? *(*at)++ : '\0';
    if (c != 'u') {
        return (unsigned char)json_escaped(c);
    }
    int cp = end - *at >= 4 ? json_hex4(*at) : -1;
    *at += cp < 0 ? 0 : 4;
    if (cp >= 0xD800 && cp < 0xDC00) {
        bool pair = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u';
        int low = pair ? json_hex4(*at + 2) : -1;
        bool good = low >= 0xDC00 && low < 0xE000;
        *at += good ? 6 : 0;
        return good ? 0x10000U + ((unsigned)(cp - 0xD800) << 10) + (unsigned)(low - 0xDC00) : 0;
    }
    return cp < 0 || (cp >= 0xDC00 && cp < 0xE000) ? 0 : (unsigned)cp;
}

bool json_text(struct span raw, struct buf *out)
{
    size_t before = out->len;
    bool quoted = raw.len >= 2 && raw.ptr[0] == '"' && raw.ptr[raw.len - 1] == '"';
    const char *at = raw.ptr + (quoted ? 1 : 0);
    const char *end = raw.ptr + raw.len - (quoted ? 1 : 0);
    bool good = true;
    while (good && at < end) {
        const char *from = at;
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        at = slash == NULL ? end : slash;
        good = buf_append(out, from, (size_t)(at - from)) == ERR_OK;
        if (good && at < end) {
            char utf8[4];
            at++;
            unsigned cp = json_code_point(&at, end);
            good = cp != 0 && buf_append(out, utf8, utf8_encode(cp, utf8)) == ERR_OK;
        }
    }
    if (!good) {
        out->len = before;
    }
    return good;
}
