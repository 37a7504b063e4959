/* suggest.c: see suggest.h. The words of a suggestion that does not match come from a list of
 * common words in the three languages of the corpus; its first word differs from the right one.
 */
#include "bench/typing/suggest.h"

#include "bench/typing/prng.h"

#include "lull/base/err.h"

#include <stdlib.h>

enum {
    NO_SPACE = 150, /* thousandths of suggestions at a word's end that lack their first space */
    NOTHING = 80,   /* ... of those that do not match that are empty */
    WORDS_MAX = 6,
};

static const char *const ENDINGS[] = {"ing", "s", "ed", "er", "en", "lich", "os", "ado", "ly", "e"};

struct path {
    uint64_t hash;
    size_t context;
    struct span text, goal;
};

struct paths {
    struct path *slots; /* open addressing; text.ptr NULL: free */
    size_t mask;
    struct span *goals;
    size_t goal_count;
};

static uint64_t hash_of(size_t context, struct span text)
{
    char first[8];
    for (size_t i = 0; i < sizeof first; i++) {
        first[i] = (char)((uint64_t)context >> (8 * i) & 0xFF);
    }
    return prng_mix(prng_hash(prng_hash(PRNG_HASH, span_make(first, sizeof first)), text));
}

static struct path *slot_of(const struct paths *p, uint64_t hash, size_t context, struct span text)
{
    size_t at = (size_t)hash & p->mask;
    while (p->slots[at].text.ptr != NULL &&
           !(p->slots[at].hash == hash && p->slots[at].context == context &&
             span_eq(p->slots[at].text, text))) {
        at = (at + 1) & p->mask;
    }
    return &p->slots[at];
}

static void add_all_of(struct paths *p, struct span goal, size_t context)
{
    for (size_t len = 0; len <= goal.len; len += len < goal.len ? text_unit(goal, len) : 1) {
        struct span text = span_make(goal.ptr, len);
        uint64_t hash = hash_of(context, text);
        struct path *slot = slot_of(p, hash, context, text);
        if (slot->text.ptr == NULL) {
            *slot = (struct path){hash, context, text, goal};
        }
    }
}

/* The goals in the cast's order, each once in a row; fills p->goals where it is there already. */
static size_t list_goals(struct paths *p, const struct cast *cast, size_t *bytes)
{
    const char *last = NULL;
    size_t count = 0;
    for (size_t i = 0; i < cast->person_count; i++) {
        for (size_t k = 0; k < cast->persons[i].count; k++) {
            const struct key *key = &cast->persons[i].keys[k];
            if (key->goal.ptr == NULL || key->goal.ptr == last) {
                continue;
            }
            last = key->goal.ptr;
            *bytes += key->goal.len + 1;
            if (p->goals != NULL) {
                p->goals[count] = key->goal;
                add_all_of(p, key->goal, cast->messages[key->message].context);
            }
            count++;
        }
    }
    return count;
}

struct paths *paths_create(const struct cast *cast)
{
    struct paths *p = mem_new(sizeof *p);
    size_t bytes = 0;
    p->goal_count = list_goals(p, cast, &bytes);
    p->mask = 1023;
    while (p->mask < bytes * 2) {
        p->mask = p->mask * 2 + 1;
    }
    p->slots = mem_new((p->mask + 1) * sizeof *p->slots);
    p->goals = mem_new((p->goal_count + 1) * sizeof *p->goals);
    (void)list_goals(p, cast, &bytes);
    return p;
}

void paths_free(struct paths *p)
{
    free(p->slots);
    free(p->goals);
    free(p);
}

struct span paths_goal(const struct paths *p, size_t context, struct span text)
{
    return slot_of(p, hash_of(context, text), context, text)->goal;
}

/* ---- suggestions ---- */

static size_t put(char out[SUGGESTION_MAX], size_t len, struct span s)
{
    require(len + s.len < SUGGESTION_MAX);
    memcpy(out + len, s.ptr, s.len);
    return len + s.len;
}

static bool in_a_word(struct span text)
{
    char last = text.len > 0 ? text.ptr[text.len - 1] : ' ';
    return (last & 0x80) != 0 || (last >= 'a' && last <= 'z') || (last >= 'A' && last <= 'Z');
}

/* The rest of the word at the caret and the words after it, `words` in all. */
static size_t right_words(struct span rest, size_t words, char out[SUGGESTION_MAX])
{
    size_t end = 0;
    while (words-- > 0 && end < rest.len) {
        end += rest.ptr[end] == ' ' ? 1 : 0;
        size_t space = span_find(rest, SPAN(" "), end);
        end = space == SIZE_MAX ? rest.len : space;
    }
    return put(out, 0, span_make(rest.ptr, end));
}

/* Words of another place, none of which is `next`'s first; at most `words`, at least one. */
static size_t elsewhere(const struct paths *p, struct prng *random, struct span next, size_t words,
                        char out[SUGGESTION_MAX], size_t len)
{
    for (;;) {
        struct span goal = span_trim(p->goals[prng_below(random, (unsigned)p->goal_count)]);
        size_t at = span_find(goal, SPAN(" "), prng_below(random, (unsigned)goal.len + 1));
        if (at == SIZE_MAX || at + 1 >= goal.len) {
            continue;
        }
        struct span from = span_make(goal.ptr + at + 1, goal.len - at - 1);
        size_t end = span_find(from, SPAN(" "), 0);
        if (span_starts(next, span_make(from.ptr, end == SIZE_MAX ? from.len : end))) {
            continue;
        }
        while (--words > 0 && end != SIZE_MAX) {
            end = span_find(from, SPAN(" "), end + 1);
        }
        return put(out, len, span_make(from.ptr, end == SIZE_MAX ? from.len : end));
    }
}

/* Other words than `next`, which is what the person will write. */
static size_t wrong_words(const struct paths *p, struct prng *random, struct span text,
                          struct span next, size_t words, char out[SUGGESTION_MAX])
{
    const unsigned endings = sizeof ENDINGS / sizeof ENDINGS[0];
    bool spaced = text.len == 0 || text.ptr[text.len - 1] == ' ';
    size_t len = 0;
    if (next.len > 0 && next.ptr[0] == ' ') {
        next = span_make(next.ptr + 1, next.len - 1);
    } else if (in_a_word(text) && next.len > 0) {
        unsigned i = prng_below(random, endings);
        i = span_starts(next, span_of(ENDINGS[i])) ? (i + 1) % endings : i;
        len = put(out, len, span_of(ENDINGS[i]));
        if (--words == 0) {
            return len;
        }
        next = SPAN_NONE;
    }
    if (len > 0 || !spaced) {
        len = put(out, len, SPAN(" "));
    }
    return elsewhere(p, random, next, words, out, len);
}

size_t suggest(const struct paths *p, size_t context, struct span text, unsigned match,
               char out[SUGGESTION_MAX])
{
    struct prng random = {hash_of(context, text) ^ 0x5DEECE66DULL};
    struct span goal = paths_goal(p, context, text);
    struct span next = SPAN_NONE;
    size_t words = 1 + prng_below(&random, WORDS_MAX);
    bool right = prng_below(&random, 100) < match;
    bool no_space = prng_chance(&random, NO_SPACE);
    bool nothing = prng_chance(&random, NOTHING);
    size_t len = 0;
    if (goal.ptr != NULL) {
        next = span_make(goal.ptr + text.len, goal.len - text.len);
    }
    if (right && span_trim(next).len > 0) {
        len = right_words(next, words, out);
    } else if (!nothing) {
        len = wrong_words(p, &random, text, next, words, out);
    }
    out[len] = '\0';
    if (len > 1 && out[0] == ' ' && no_space) {
        memmove(out, out + 1, len);
        len--;
    }
    return len;
}

uint64_t suggest_digest(const struct paths *p, const struct cast *cast, unsigned match)
{
    uint64_t h = PRNG_HASH;
    char out[SUGGESTION_MAX];
    for (size_t i = 0; i < cast->person_count; i++) {
        for (size_t k = 0; k < cast->persons[i].count; k++) {
            const struct key *key = &cast->persons[i].keys[k];
            size_t len = suggest(p, cast->messages[key->message].context, key->before, match, out);
            h = prng_hash(h, span_make(out, len + 1));
        }
    }
    return prng_mix(h);
}
