/* record.c: see record.h. A table with open addressing over history and text; the shorter texts of
 * a request are found by taking its characters off one by one.
 */
#include "bench/typing/record.h"

#include "bench/typing/prng.h"

#include "lull/base/err.h"

#include <stdlib.h>

const usec_t SUGGESTION_TTL = 600 * USEC_PER_S;

enum { RECORDS_MASK = 32767 };

struct records {
    struct record *slots[RECORDS_MASK + 1];
    size_t count;
};

struct records *records_create(void)
{
    return mem_new(sizeof(struct records));
}

void records_free(struct records *r)
{
    for (size_t i = 0; i <= RECORDS_MASK; i++) {
        if (r->slots[i] != NULL) {
            free((char *)(uintptr_t)r->slots[i]->text.ptr);
            free((char *)(uintptr_t)r->slots[i]->suggestion.ptr);
            free(r->slots[i]);
        }
    }
    free(r);
}

static uint64_t hash_of(size_t context, struct span text)
{
    return prng_mix(prng_hash(PRNG_HASH + context, text));
}

static struct record **slot_of(const struct records *r, size_t context, struct span text)
{
    uint64_t hash = hash_of(context, text);
    size_t at = (size_t)hash & RECORDS_MASK;
    struct record *const *slot = &r->slots[at];
    while (*slot != NULL && !((*slot)->hash == hash && (*slot)->context == context &&
                              span_eq((*slot)->text, text))) {
        at = (at + 1) & RECORDS_MASK;
        slot = &r->slots[at];
    }
    return (struct record **)(uintptr_t)slot;
}

struct record *records_find(const struct records *r, size_t context, struct span text)
{
    return *slot_of(r, context, text);
}

struct record *records_of(struct records *r, size_t context, struct span text,
                          struct span suggestion)
{
    struct record **slot = slot_of(r, context, text);
    if (*slot == NULL) {
        require(r->count++ < RECORDS_MASK / 2);
        *slot = mem_new(sizeof **slot);
        **slot = (struct record){
            .hash = hash_of(context, text),
            .context = context,
            .text = {mem_strndup(text.ptr, text.len), text.len},
            .suggestion = {mem_strndup(suggestion.ptr, suggestion.len), suggestion.len},
            .finished = -1};
    }
    return *slot;
}

static struct span after(struct span s, size_t from)
{
    return span_make(s.ptr + from, s.len - from);
}

static bool blank_at_end(struct span s)
{
    return s.len == 0 || strchr(" \t\n", s.ptr[s.len - 1]) != NULL;
}

struct span remainder_of(struct span shorter, struct span suggestion, struct span longer)
{
    struct span rest = SPAN_NONE;
    if (!span_starts(longer, shorter)) {
        return SPAN_NONE;
    }
    struct span typed = after(longer, shorter.len);
    if (span_starts(suggestion, typed)) {
        rest = after(suggestion, typed.len);
    } else if (typed.len > 0 && typed.ptr[0] == ' ' && !blank_at_end(shorter) &&
               suggestion.len > 0 && suggestion.ptr[0] != ' ' &&
               span_starts(suggestion, after(typed, 1))) {
        rest = after(suggestion, typed.len - 1);
    }
    return span_trim(rest).len > 0 ? rest : SPAN_NONE;
}

static bool holds(const struct record *rec, usec_t now, bool running)
{
    bool whole = rec->finished >= 0 && now - rec->finished < SUGGESTION_TTL;
    return whole || (running && rec->active > 0);
}

struct record *records_cover(const struct records *r, size_t context, struct span text, usec_t now,
                             bool running)
{
    size_t len = text.len;
    for (size_t back = 0; back < WALK_BACK && len > 0; back++) {
        do {
            len--;
        } while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80);
        struct record *rec = records_find(r, context, span_make(text.ptr, len));
        if (rec != NULL && holds(rec, now, running) &&
            remainder_of(rec->text, rec->suggestion, text).ptr != NULL) {
            return rec;
        }
    }
    return NULL;
}

struct record *records_source(const struct records *r, size_t context, struct span text,
                              struct span shown)
{
    for (size_t len = text.len + 1; len-- > 0;) {
        struct record *rec = records_find(r, context, span_make(text.ptr, len));
        if (rec != NULL && rec->finished >= 0 &&
            span_eq(remainder_of(rec->text, rec->suggestion, text), shown)) {
            return rec;
        }
    }
    return NULL;
}
