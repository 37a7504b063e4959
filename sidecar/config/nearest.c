/* nearest.c: "did you mean": Damerau-Levenshtein distance (optimal string alignment) over short
 * words; https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance */
#include "config/config_priv.h"

enum { WORD_MAX = 64 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static size_t distance(struct span a, struct span b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++) {
        last[j] = j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1;
            now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + change);
            bool swapped =
                i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1];
            if (swapped && before[j - 2] + 1 < now[j]) {
                now[j] = before[j - 2] + 1;
            }
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

const char *nearest(struct span word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t best_distance = word.len < 6 ? 2 : word.len / 3;
    if (word.len == 0 || word.len > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct span candidate = span_of(candidates[i]);
        size_t d = candidate.len > WORD_MAX ? SIZE_MAX : distance(word, candidate);
        if (d <= best_distance && d < candidate.len && (best == NULL || d < best_distance)) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}
