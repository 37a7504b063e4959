/* utf8.h: UTF-8 sequences (RFC 3629). The one place that knows how they are built.
 */
#ifndef LULL_BASE_UTF8_H
#define LULL_BASE_UTF8_H

#include "lull/base/buf.h"

/* Whether the byte is the second to fourth of a sequence. */
static inline bool utf8_continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Bytes of the sequence that begins with this byte; 0: none begins with it. */
size_t utf8_expected(char first);
/* Bytes of the valid sequence at p; 0: there is none. left: bytes at p, at least 1. */
size_t utf8_length(const char *p, size_t left);
/* The code point of the valid sequence of n bytes at p. */
unsigned utf8_decode(const char *p, size_t n);
/* Writes cp (below 0x110000) and returns the bytes used. Surrogates are written as they are. */
size_t utf8_encode(unsigned cp, char out[4]);
bool utf8_valid(struct span s);
/* Appends s to out; each byte that is no part of a sequence becomes U+FFFD. */
MUST_CHECK enum err utf8_repair(struct span s, struct buf *out);
/* Code points in s: its bytes that do not continue a sequence. */
size_t utf8_count(struct span s);
/* Byte offset of code point n, counted from 0; the length where s has no more than n. */
size_t utf8_offset(struct span s, size_t n);

#endif
