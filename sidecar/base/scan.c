/* scan.c: vectors of 16 bytes, which gcc and clang have on every machine. A block in which a byte
 * ends the run, and the last bytes that fill no block, are read byte by byte. Comparisons are
 * signed, so that every byte over 0x7F is less than a blank.
 */
#include "lull/base/scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 16 };

typedef signed char block __attribute__((vector_size(BLOCK)));
typedef uint64_t halves __attribute__((vector_size(BLOCK)));

static inline block block_at(const char *p)
{
    block b;
    memcpy(&b, p, sizeof b);
    return b;
}

/* Whether a comparison was true for one byte at least. */
static inline bool any(block found)
{
    halves h = (halves)found;
    return (h[0] | h[1]) != 0;
}

size_t scan_json_plain(const char *p, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK) {
        block b = block_at(p + i);
        if (any((b < 0x20) | (b == '"') | (b == '\\'))) {
            break;
        }
        i += BLOCK;
    }
    while (i < len && (signed char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
        i++;
    }
    return i;
}

size_t scan_ascii(const char *p, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK && !any(block_at(p + i) < 0)) {
        i += BLOCK;
    }
    while (i < len && (signed char)p[i] >= 0) {
        i++;
    }
    return i;
}

size_t scan_field_value(const char *p, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK) {
        block b = block_at(p + i);
        if (any(((b < 0x20) & (b >= 0) & (b != '\t')) | (b == 0x7F))) {
            break;
        }
        i += BLOCK;
    }
    while (i < len && ((unsigned char)p[i] >= 0x20 || p[i] == '\t') && p[i] != 0x7F) {
        i++;
    }
    return i;
}

size_t scan_common(const char *a, const char *b, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK && !any(block_at(a + i) ^ block_at(b + i))) {
        i += BLOCK;
    }
    while (i < len && a[i] == b[i]) {
        i++;
    }
    return i;
}

size_t scan_common_back(const char *a_end, const char *b_end, size_t len)
{
    size_t i = 0;
    while (len - i >= BLOCK && !any(block_at(a_end - i - BLOCK) ^ block_at(b_end - i - BLOCK))) {
        i += BLOCK;
    }
    while (i < len && *(a_end - i - 1) == *(b_end - i - 1)) {
        i++;
    }
    return i;
}
