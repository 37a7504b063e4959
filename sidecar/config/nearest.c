/* nearest.c: "did you mean": Damerau-Levenshtein distance (optimal string alignment) over short
 * words; https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance
 *
 * A key that another section has is named with that section: a key that only looks like it would
 * be a wrong suggestion. */
#include "config/config_priv.h"

#include "lull/base/ascii.h"

enum { FEW_KEYS = 8 };

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t word_distance(struct span a, struct span b)
{
    if (a.len > WORD_MAX || b.len > WORD_MAX) {
        return SIZE_MAX;
    }
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
            now[j] = least_of(last[j] + 1, now[j - 1] + 1, last[j - 1] + change);
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
    size_t best_distance = word.len < 5 ? 1 : word.len < 9 ? 2 : word.len / 3;
    for (size_t i = 0; i < count && word.len > 0; i++) {
        size_t d = word_distance(word, span_of(candidates[i]));
        if (d <= best_distance && d < strlen(candidates[i]) &&
            (best == NULL || d < best_distance)) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}

struct span plain_word(struct span word, char out[WORD_MAX + 1])
{
    size_t len = word.len < WORD_MAX ? word.len : WORD_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = word.ptr[i];
        out[i] = c == '-' || c == ' ' ? '_' : ascii_lower(c);
    }
    out[len] = '\0';
    return span_make(out, len);
}

const char *nearest_kind(struct span word)
{
    const char *names[KIND_BUILTIN_COUNT];
    char plain[WORD_MAX + 1];
    word = plain_word(word, plain);
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        const struct kind_info *info = kind_info((enum kind_id)i);
        names[i] = info->name;
        if (span_eq(word, span_of(info->name)) || span_eq(word, span_of(info->header_value))) {
            return info->name;
        }
    }
    return nearest(word, names, KIND_BUILTIN_COUNT);
}

/* The keys that stand inside the section, or those that do not. */
static size_t keys_of(enum section section, bool inside, const char **out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < option_count && count < max; i++) {
        if (section_has(section, &options[i]) == inside && !options[i].absent) {
            out[count++] = options[i].key;
        }
    }
    return count;
}

/* "; it belongs to [server]": every section that has the key; false: none has it. */
static bool append_places(struct span key, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < option_count; i++) {
        if (!options[i].absent && span_eq(key, span_of(options[i].key))) {
            buf_text(out, "%s%s", count++ == 0 ? "; it belongs to " : " or ",
                     option_place(&options[i]));
        }
    }
    return count > 0;
}

void suggest_key(enum section section, struct span key, struct buf *out)
{
    const char *keys[256];
    char plain[WORD_MAX + 1];
    key = plain_word(key, plain);
    size_t count = keys_of(section, true, keys, sizeof keys / sizeof keys[0]);
    if (option_find(section, key) == NULL && append_places(key, out)) {
        return;
    }
    const char *close = nearest(key, keys, count);
    if (close != NULL) {
        buf_text(out, "; did you mean '%s'?", close);
        return;
    }
    const char *others[256];
    size_t other_count = keys_of(section, false, others, sizeof others / sizeof others[0]);
    close = nearest(key, others, other_count);
    if (close != NULL && word_distance(key, span_of(close)) == 1) {
        buf_text(out, "; did you mean '%s'", close);
        (void)append_places(span_of(close), out);
        buf_text(out, "?");
        return;
    }
    size_t listed = 0;
    for (size_t i = 0; i < count; i++) {
        bool part = key.len >= 4 && span_find(span_of(keys[i]), key, 0) != SIZE_MAX;
        if (part || count <= FEW_KEYS) {
            buf_text(out, "%s%s", listed++ == 0 ? "; there are " : ", ", keys[i]);
        }
    }
    buf_text(out, "; lulld --help-config lists all keys");
}
