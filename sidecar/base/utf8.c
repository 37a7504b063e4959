/* utf8.c: UTF-8 sequences: their lengths, and code points there and back. */
#include "lull/base/utf8.h"

#include "lull/base/scan.h"

size_t utf8_expected(char first)
{
    unsigned char c = (unsigned char)first;
    return c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
}

size_t utf8_length(const char *p, size_t left)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n = utf8_expected(p[0]);
    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (!utf8_continues(p[i])) {
            return 0;
        }
    }
    bool bad = (u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) ||
               (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F);
    return bad ? 0 : n;
}

unsigned utf8_decode(const char *p, size_t n)
{
    static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    unsigned cp = (unsigned char)p[0] & first[n];
    for (size_t i = 1; i < n; i++) {
        cp = cp << 6 | ((unsigned char)p[i] & 0x3FU);
    }
    return cp;
}

size_t utf8_encode(unsigned cp, char out[4])
{
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char mark[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3F));
        cp >>= 6;
    }
    out[0] = (char)(mark[n] | cp);
    return n;
}

bool utf8_valid(struct span s)
{
    for (size_t at = 0; at < s.len;) {
        at += scan_ascii(s.ptr + at, s.len - at);
        size_t n = at < s.len ? utf8_length(s.ptr + at, s.len - at) : 0;
        if (n == 0) {
            return at == s.len;
        }
        at += n;
    }
    return true;
}

size_t utf8_count(struct span s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++) {
        count += utf8_continues(s.ptr[i]) ? 0 : 1;
    }
    return count;
}

size_t utf8_offset(struct span s, size_t n)
{
    size_t at = 0;
    while (at < s.len && (n > 0 || utf8_continues(s.ptr[at]))) {
        n -= utf8_continues(s.ptr[at]) ? 0 : 1;
        at++;
        while (at < s.len && utf8_continues(s.ptr[at])) {
            at++;
        }
    }
    return at;
}

enum err utf8_repair(struct span s, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t at = 0, from = 0; e == ERR_OK && from < s.len; from = at) {
        size_t n = 0;
        while (at < s.len && (n = utf8_length(s.ptr + at, s.len - at)) > 0) {
            at += n;
        }
        e = buf_append(out, s.ptr + from, at - from);
        if (e == ERR_OK && at < s.len) {
            e = buf_append_span(out, SPAN("\xEF\xBF\xBD"));
            at++;
        }
    }
    return e;
}
