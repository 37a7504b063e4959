/* utf8.h: UTF-8 sequences (RFC 3629).
 */
#ifndef LULL_BASE_UTF8_H
#define LULL_BASE_UTF8_H

#include "lull/base/buf.h"

/* Bytes of the valid sequence at p; 0: there is none. left: bytes at p, at least 1. */
size_t utf8_length(const char *p, size_t left);
/* The code point of the valid sequence of n bytes at p. */
unsigned utf8_decode(const char *p, size_t n);
/* Writes cp (below 0x110000) and returns the bytes used. Surrogates are written as they are. */
size_t utf8_encode(unsigned cp, char out[4]);
bool utf8_valid(struct span s);

#endif
