/* trace.c: the people of a run, what each of them writes in which chat, and the memory behind it.
 *
 * Each person has a language, a pace and its own source of random numbers, all from the run's
 * seed. Messages come from the corpus; strangers share a few of them, because strangers do ask the
 * same things. The person with two tabs leaves one sentence for the other in the middle.
 */
#include "bench/typing/trace.h"
#include "bench/typing/prng.h"

#include "lull/base/err.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HOT_LINES = 6,        /* messages that several people write */
    HOT = 200,            /* thousandths of messages that are one of them */
    FOREIGN = 100,        /* ... that are in another language than the person's own */
    SWITCHES_TAB = 300,   /* ... that are left in the middle for the other tab */
    SAME_IN_BOTH = 250,   /* of those: the same text in both tabs */
    NEW_CHAT = 250,       /* ... after which a chat that grows is left for a new one */
    HISTORY_MESSAGES = 6, /* Open WebUI puts at most six messages into the prompt */
};

static const char *const NAMES[PEOPLE_COUNT] = {"solo", "tabs", "strangers", "shared"};
static const char *const REPLIES[] = {
    "It depends on what you want. In most cases the simple way is good enough: begin small.",
    "Gerne. Am besten beginnt man mit dem Einfachsten und prüft jeden Schritt.",
    "Sure! Here are three points:\n1. Keep it short.\n2. Say why.\n3. End with a date.",
    "Claro. Lo más importante es empezar pronto y revisar el resultado con calma.",
    "There are two reasons. The first is time; the second is that nobody asked before.",
};

const char *people_name(enum people people)
{
    return NAMES[people];
}

bool people_have_users(enum people people)
{
    return people == PEOPLE_SOLO || people == PEOPLE_TABS;
}

/* ---- memory ---- */

/* Room for one more in an array that grows. */
static void *grow(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return items;
    }
    *room = *room == 0 ? 64 : *room * 2;
    items = realloc(items, *room * size);
    require(items != NULL);
    return items;
}

struct span cast_keep(struct cast *cast, struct span s)
{
    if (s.len == 0) {
        return span_make("", 0);
    }
    cast->kept = grow(cast->kept, cast->kept_count, &cast->kept_room, sizeof *cast->kept);
    char *copy = mem_strndup(s.ptr, s.len);
    cast->kept[cast->kept_count++] = copy;
    return span_make(copy, s.len);
}

void person_add(struct person *p, const struct key *key)
{
    p->keys = grow(p->keys, p->count, &p->room, sizeof *p->keys);
    p->keys[p->count++] = *key;
}

void cast_free(struct cast *cast)
{
    for (size_t i = 0; i < cast->person_count; i++) {
        free(cast->persons[i].keys);
    }
    for (size_t i = 0; i < cast->kept_count; i++) {
        free(cast->kept[i]);
    }
    free(cast->kept);
    free(cast->contexts);
    free(cast->messages);
    free(cast);
}

/* ---- corpus ---- */

struct corpus *corpus_read(const char *path)
{
    struct corpus *c = mem_new(sizeof *c);
    FILE *f = fopen(path, "rb");
    size_t room = 0;
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    c->bytes = mem_new(256 * 1024);
    size_t len = fread(c->bytes, 1, 256 * 1024 - 1, f);
    fclose(f);
    for (char *at = c->bytes, *end; at < c->bytes + len; at = end + 1) {
        static const char *const languages[LANGUAGES] = {"en|", "de|", "es|"};
        char *to = at;
        end = strchr(at, '\n');
        require(end != NULL);
        for (unsigned i = 0; i < LANGUAGES; i++) {
            if (strncmp(at, languages[i], 3) != 0) {
                continue;
            }
            for (char *from = at + 3; from < end; from++) {
                bool mark = from[0] == '\\' && from[1] == 'n';
                *to++ = mark ? '\n' : *from;
                from += mark ? 1 : 0;
            }
            c->lines = grow(c->lines, c->count, &room, sizeof *c->lines);
            c->lines[c->count++] = (struct line){i, span_make(at, (size_t)(to - at))};
        }
    }
    require(c->count > 0);
    return c;
}

void corpus_free(struct corpus *c)
{
    free(c->lines);
    free(c->bytes);
    free(c);
}

/* ---- characters ---- */

static unsigned code_point(struct span s, size_t at, size_t *len)
{
    unsigned char b = (unsigned char)s.ptr[at];
    unsigned value = b < 0x80 ? b : b < 0xE0 ? b & 0x1FU : b < 0xF0 ? b & 0x0FU : b & 7U;
    *len = b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < *len; i++) {
        value = value << 6 | ((unsigned char)s.ptr[at + i] & 0x3FU);
    }
    return value;
}

/* From a picker, not from the keyboard: with joiners and variation selectors it is one key. */
static bool is_emoji(unsigned code)
{
    return code >= 0x2190 || code == 0x200D;
}

size_t text_unit(struct span s, size_t at)
{
    size_t len = 0;
    size_t all = 0;
    while (at + all < s.len && is_emoji(code_point(s, at + all, &len))) {
        all += len;
    }
    if (all == 0) {
        (void)code_point(s, at, &all);
    }
    return all;
}

size_t text_unit_back(struct span s, size_t at)
{
    size_t begin = 0;
    size_t len = 0;
    for (size_t i = 0; i < at; i += len) {
        begin = i;
        len = text_unit(s, i);
    }
    return at - begin;
}

/* ---- chats ---- */

struct span cast_reply(const struct cast *cast, size_t message)
{
    uint64_t h = prng_mix(prng_hash(PRNG_HASH, cast->messages[message].text));
    return span_of(REPLIES[h % (sizeof REPLIES / sizeof REPLIES[0])]);
}

/* The history as the template writes it: the last messages, oldest first. */
static struct span history_of(struct cast *cast, int last)
{
    struct buf out = {.max = 65536};
    int chain[HISTORY_MESSAGES / 2];
    size_t n = 0;
    for (int at = last; at >= 0 && n < HISTORY_MESSAGES / 2; at = cast->messages[at].previous) {
        chain[n++] = at;
    }
    while (n-- > 0) {
        struct span text = cast->messages[chain[n]].text;
        struct span reply = cast_reply(cast, (size_t)chain[n]);
        enum err e = buf_printf(&out, "%sUSER: %.*s\nASSISTANT: %.*s", out.len > 0 ? "\n" : "",
                                (int)text.len, text.ptr, (int)reply.len, reply.ptr);
        require(e == ERR_OK);
    }
    struct span kept = cast_keep(cast, buf_span(&out));
    buf_free(&out);
    return kept;
}

static size_t context_of(struct cast *cast, int last)
{
    struct span text = history_of(cast, last);
    for (size_t i = 0; i < cast->context_count; i++) {
        if (span_eq(cast->contexts[i], text)) {
            return i;
        }
    }
    cast->contexts =
        grow(cast->contexts, cast->context_count, &cast->context_room, sizeof *cast->contexts);
    cast->contexts[cast->context_count] = text;
    return cast->context_count++;
}

static size_t add_message(struct cast *cast, struct span text, int previous)
{
    struct message m = {.text = cast_keep(cast, text), .previous = previous};
    m.context = context_of(cast, previous);
    cast->messages =
        grow(cast->messages, cast->message_count, &cast->message_room, sizeof *cast->messages);
    cast->messages[cast->message_count] = m;
    return cast->message_count++;
}

/* ---- people ---- */

struct author {
    struct typing typing;
    struct prng random;
    size_t hot[HOT_LINES];
    int last[TABS_MAX]; /* the message before, in that tab's chat */
};

static struct span choose_line(struct author *a)
{
    const struct corpus *corpus = a->typing.corpus;
    if (prng_chance(&a->random, HOT)) {
        return corpus->lines[a->hot[prng_below(&a->random, HOT_LINES)]].text;
    }
    bool foreign = prng_chance(&a->random, FOREIGN);
    for (;;) {
        const struct line *line = &corpus->lines[prng_below(&a->random, (unsigned)corpus->count)];
        if (foreign || line->language == a->typing.language) {
            return line->text;
        }
    }
}

static size_t next_message(struct author *a, unsigned tab, struct span text)
{
    struct cast *cast = a->typing.cast;
    int previous = a->last[tab];
    if (cast->people == PEOPLE_STRANGERS) {
        previous = -1;
    } else if (cast->people == PEOPLE_SHARED) {
        previous = 0;
    } else if (prng_chance(&a->random, NEW_CHAT)) {
        previous = -1;
    }
    size_t m = add_message(cast, text, previous);
    a->last[tab] = (int)m;
    return m;
}

static void append_keys(struct person *p, const struct person *from, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        person_add(p, &from->keys[i]);
    }
}

/* A key after which a sentence may be left for the other tab. */
static size_t leave_after(struct author *a, const struct person *p)
{
    for (size_t tries = 0; tries < 200 && p->count > 20; tries++) {
        size_t at = 10 + prng_below(&a->random, (unsigned)p->count - 15);
        struct span before = p->keys[at].before;
        if (p->keys[at].kind == KEY_TEXT && p->keys[at].at_end && span_ends(before, SPAN(" "))) {
            return at + 1;
        }
    }
    return p->count;
}

static void click(struct author *a, struct person *p, const struct key *there)
{
    struct key key = *there;
    key.kind = KEY_CLICK;
    key.at = (700 + prng_below(&a->random, 1300)) * USEC_PER_MS;
    person_add(p, &key);
}

/* A message in each tab: the first is left in the middle for the second, which is left for the rest
 * of the first. */
static void two_at_once(struct author *a, struct person *into, unsigned tab)
{
    struct person one = {0};
    struct person two = {0};
    unsigned other = 1 - tab;
    struct span text = choose_line(a);
    struct span second = prng_chance(&a->random, SAME_IN_BOTH) ? text : choose_line(a);
    compose_message(&a->typing, &one, tab, next_message(a, tab, text));
    compose_message(&a->typing, &two, other, next_message(a, other, second));
    size_t cut_one = leave_after(a, &one);
    size_t cut_two = leave_after(a, &two);
    append_keys(into, &one, 0, cut_one);
    two.keys[0].at = (700 + prng_below(&a->random, 1300)) * USEC_PER_MS; /* no reply to read */
    append_keys(into, &two, 0, cut_two);
    if (cut_one < one.count) {
        click(a, into, &one.keys[cut_one - 1]);
        append_keys(into, &one, cut_one, one.count);
    }
    if (cut_two < two.count) {
        click(a, into, &two.keys[cut_two - 1]);
        append_keys(into, &two, cut_two, two.count);
    }
    free(one.keys);
    free(two.keys);
}

/* Makes times of the gaps from key i on; returns the last one. */
static usec_t set_times(struct person *p, size_t i, usec_t at)
{
    for (; i < p->count; i++) {
        at += p->keys[i].at;
        p->keys[i].at = at;
    }
    return at;
}

static void write_all(struct author *a, struct person *p, unsigned minutes)
{
    usec_t end = (usec_t)minutes * 60 * USEC_PER_S;
    usec_t at = (usec_t)prng_below(&a->random, 5000) * USEC_PER_MS;
    unsigned tab = 0;
    while (at < end) {
        size_t from = p->count;
        if (a->typing.cast->people == PEOPLE_TABS) {
            tab = prng_below(&a->random, TABS_MAX);
        }
        if (a->typing.cast->people == PEOPLE_TABS && prng_chance(&a->random, SWITCHES_TAB)) {
            two_at_once(a, p, tab);
        } else {
            size_t m = next_message(a, tab, choose_line(a));
            compose_message(&a->typing, p, tab, m);
        }
        at = set_times(p, from, at);
    }
}

struct cast *cast_create(const struct corpus *corpus, enum people people, uint64_t seed,
                         unsigned minutes)
{
    struct cast *cast = mem_new(sizeof *cast);
    struct prng random = {seed};
    size_t hot[HOT_LINES];
    cast->people = people;
    cast->seed = seed;
    cast->person_count = people_have_users(people) ? 1 : PEOPLE_MAX;
    (void)context_of(cast, -1); /* 0: no history */
    if (people == PEOPLE_SHARED) {
        (void)add_message(cast, SPAN("Hello, I have a question about our product."), -1);
    }
    for (size_t i = 0; i < HOT_LINES; i++) {
        hot[i] = prng_below(&random, (unsigned)corpus->count);
    }
    for (size_t i = 0; i < cast->person_count; i++) {
        struct author a = {.random = {prng_next(&random)}, .last = {-1, -1}};
        a.typing = (struct typing){.corpus = corpus, .cast = cast};
        a.typing.language = prng_below(&random, 4) % LANGUAGES; /* half of them: English */
        a.typing.pace = 890 + prng_below(&random, 420);
        a.typing.random = &a.random;
        memcpy(a.hot, hot, sizeof hot);
        write_all(&a, &cast->persons[i], minutes);
    }
    return cast;
}

/* ---- digest ---- */

static uint64_t digest_number(uint64_t h, int64_t n)
{
    char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)((uint64_t)n >> (8 * i) & 0xFF);
    }
    return prng_hash(h, span_make(bytes, sizeof bytes));
}

uint64_t cast_digest(const struct cast *cast)
{
    uint64_t h = PRNG_HASH;
    for (size_t i = 0; i < cast->message_count; i++) {
        h = prng_hash(digest_number(h, cast->messages[i].previous), cast->messages[i].text);
        h = prng_hash(h, cast->contexts[cast->messages[i].context]);
    }
    for (size_t p = 0; p < cast->person_count; p++) {
        for (size_t i = 0; i < cast->persons[p].count; i++) {
            const struct key *k = &cast->persons[p].keys[i];
            h = digest_number(h, k->at);
            h = digest_number(h, (int64_t)k->kind * 8 + (int64_t)k->tab * 4 + k->at_end * 2 +
                                     k->takes);
            h = prng_hash(digest_number(h, (int64_t)k->before.len), k->before);
            h = prng_hash(digest_number(h, (int64_t)k->goal.len), k->goal);
        }
    }
    return prng_mix(h);
}
