/* scan.c: vectors of 16 bytes, which gcc and clang have on every machine. The last bytes, which fill
 * no block, are read byte by byte. Comparisons are signed, so that every byte over 0x7F is less
 * than a blank.
 */
#include "lull/base/scan.h"

#include "lull/base/ascii.h"

enum { BLOCK = 16, HALF = 8 };

typedef signed char block __attribute__((vector_size(BLOCK)));
typedef uint64_t halves __attribute__((vector_size(BLOCK)));

static inline block block_at(const char *p)
{
    block b;
    memcpy(&b, p, sizeof b);
    return b;
}

/* The place of the first byte that is not 0 in the bytes of a word in memory; it is not 0. */
static inline size_t first_byte(uint64_t half)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(half) / 8;
#else
    return (size_t)__builtin_clzll(half) / 8;
#endif
}

static inline size_t last_byte(uint64_t half)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return HALF - 1 - (size_t)__builtin_clzll(half) / 8;
#else
    return HALF - 1 - (size_t)__builtin_ctzll(half) / 8;
#endif
}

/* The first byte for which a comparison was true; BLOCK: none. */
static inline size_t first(block found)
{
    halves h = (halves)found;
    return h[0] != 0 ? first_byte(h[0]) : h[1] != 0 ? HALF + first_byte(h[1]) : BLOCK;
}

static inline bool is_none(block found)
{
    halves h = (halves)found;
    return (h[0] | h[1]) == 0;
}

/* Goes on over one block, and returns at the first byte in it for which `ends` is true. */
#define SCAN_BLOCK(i, p, ends)                                                                     \
    block b = block_at((p) + (i));                                                                 \
    size_t n = first((block)(ends));                                                               \
    (i) += n;                                                                                      \
    if (n < BLOCK) {                                                                               \
        return (i);                                                                                \
    }

/* The same over all whole blocks. Most texts end in the first; behind it, two at a time while there is
 * no end in either. */
#define SCAN_BLOCKS(i, p, len, ends)                                                               \
    if ((len) - (i) >= BLOCK) {                                                                    \
        SCAN_BLOCK(i, p, ends)                                                                     \
    }                                                                                              \
    while ((len) - (i) >= (size_t)2 * BLOCK) {                                                     \
        block b = block_at((p) + (i));                                                             \
        block here = (block)(ends);                                                                \
        b = block_at((p) + (i) + BLOCK);                                                           \
        if (!is_none(here | (block)(ends))) {                                                      \
            break;                                                                                 \
        }                                                                                          \
        (i) += (size_t)2 * BLOCK;                                                                  \
    }                                                                                              \
    while ((len) - (i) >= BLOCK) {                                                                 \
        SCAN_BLOCK(i, p, ends)                                                                     \
    }

size_t scan_json_plain(const char *p, size_t len)
{
    size_t i = 0;
    SCAN_BLOCKS(i, p, len, (b < 0x20) | (b == '"') | (b == '\\'))
    while (i < len && (signed char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
        i++;
    }
    return i;
}

size_t scan_to_mark(const char *p, size_t len, const char marks[3])
{
    const signed char x = (signed char)marks[0], y = (signed char)marks[1],
                      z = (signed char)marks[2];
    size_t i = 0;
    SCAN_BLOCKS(i, p, len, (b == x) | (b == y) | (b == z))
    while (i < len && p[i] != marks[0] && p[i] != marks[1] && p[i] != marks[2]) {
        i++;
    }
    return i;
}

size_t scan_ascii(const char *p, size_t len)
{
    size_t i = 0;
    SCAN_BLOCKS(i, p, len, b < 0)
    while (i < len && (signed char)p[i] >= 0) {
        i++;
    }
    return i;
}

size_t scan_field_value(const char *p, size_t len)
{
    size_t i = 0;
    SCAN_BLOCKS(i, p, len, ((b < 0x20) & (b >= 0) & (b != '\t')) | (b == 0x7F))
    while (i < len && ((unsigned char)p[i] >= 0x20 || p[i] == '\t') && p[i] != 0x7F) {
        i++;
    }
    return i;
}

/* Where the letters, digits and hyphens end that most tokens are of. */
static size_t scan_word(const char *p, size_t len)
{
    size_t i = 0;
    SCAN_BLOCKS(i, p, len,
                ~(((b | 0x20) >= 'a') & ((b | 0x20) <= 'z')) & ~((b >= '0') & (b <= '9')) &
                    (b != '-'))
    return i;
}

size_t scan_token(const char *p, size_t len)
{
    size_t i = scan_word(p, len);
    while (i < len && ascii_is_token(p[i])) {
        i++;
    }
    return i;
}

size_t scan_common(const char *a, const char *b, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK) {
        size_t n = first(block_at(a + i) ^ block_at(b + i));
        i += n;
        if (n < BLOCK) {
            return i;
        }
    }
    while (i < len && a[i] == b[i]) {
        i++;
    }
    return i;
}

size_t scan_common_back(const char *a_end, const char *b_end, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK) {
        halves h = (halves)(block_at(a_end - i - BLOCK) ^ block_at(b_end - i - BLOCK));
        if (h[1] != 0) {
            return i + HALF - 1 - last_byte(h[1]);
        }
        if (h[0] != 0) {
            return i + BLOCK - 1 - last_byte(h[0]);
        }
        i += BLOCK;
    }
    while (i < len && *(a_end - i - 1) == *(b_end - i - 1)) {
        i++;
    }
    return i;
}
