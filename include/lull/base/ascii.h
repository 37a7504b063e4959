/* ascii.h: what a byte is in ASCII, independent of the locale. Bytes over 0x7F belong to no
 * class.
 */
#ifndef LULL_BASE_ASCII_H
#define LULL_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* White space of JSON, and of what span_trim() removes: space, tab, CR, LF. */
static inline bool ascii_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c);
}

/* Whether c may stand in a token of HTTP: a method, a field name (RFC 9110, 5.6.2): letters, digits
 * and !#$%&'*+-.^_`|~, as one bit a byte. */
static inline bool ascii_is_token(char c)
{
    static const uint64_t tokens[4] = {0x3ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0};
    unsigned char u = (unsigned char)c;
    return (tokens[u >> 6] >> (u & 63) & 1) != 0;
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Value of a hex digit, upper or lower case; -1: c is none. */
static inline int ascii_hex_value(char c)
{
    char lower = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Lower-case hex digit of the low four bits of n. */
static inline char ascii_hex_digit(unsigned n)
{
    return "0123456789abcdef"[n & 15];
}

enum { ASCII_DECIMAL_MAX = 20 };

/* Writes n in decimal at the end of digits, without a terminator; returns where it begins. For hot
 * paths, where printf costs more than the rest. */
static inline size_t ascii_decimal(uint64_t n, char digits[ASCII_DECIMAL_MAX])
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    size_t at = ASCII_DECIMAL_MAX;
    for (; n >= 100; n /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (n % 100), 2);
    }
    if (n >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * n, 2);
    } else {
        digits[--at] = (char)('0' + n);
    }
    return at;
}

#endif
