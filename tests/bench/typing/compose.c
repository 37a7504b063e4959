/* compose.c: how a person types one message. See README.md for where the numbers come from.
 *
 * Times are drawn from quantile tables: 33 points of a log-normal distribution in milliseconds,
 * with straight lines between them, so that no floating point is needed. Pauses stand before a key;
 * most before the first letter of a word, some before the space.
 */
#include "bench/typing/prng.h"
#include "bench/typing/trace.h"

#include "lull/base/err.h"

enum { POINTS = 33 };
struct quantiles {
    uint16_t ms[POINTS];
};

/* within a word: median 172 ms, sigma 0.42 */
static const struct quantiles in_word = {{56,  79,  90,  99,  106, 113, 118, 124, 130, 135, 140,
                                          145, 150, 156, 161, 166, 172, 178, 184, 190, 197, 204,
                                          211, 219, 228, 238, 250, 263, 279, 299, 328, 376, 524}};
/* a word's first letter, and the space before it: median 222 ms, sigma 0.48 */
static const struct quantiles first_letter = {
    {62,  91,  106, 118, 128, 137, 145, 153, 161, 168, 176, 183, 191, 198, 206, 214, 222,
     231, 239, 249, 259, 269, 281, 293, 307, 322, 340, 360, 386, 418, 464, 543, 793}};
/* thinking of a word: median 750 ms, sigma 0.75, from 300 ms to 4 s */
static const struct quantiles word_pause = {
    {300, 300, 300, 300, 316,  352,  386,  419,  452,  486,  520,  555,  591,  628,  667,  707, 750,
     795, 844, 896, 952, 1014, 1082, 1158, 1244, 1343, 1459, 1600, 1777, 2015, 2370, 3032, 4000}};
/* after a sentence: median 1,350 ms, sigma 0.60, from 400 ms to 4 s */
static const struct quantiles sentence_pause = {
    {400,  442,  538,  612,  677,  736,  793,  847,  901,  954,  1007,
     1061, 1115, 1171, 1228, 1288, 1350, 1415, 1484, 1556, 1634, 1719,
     1810, 1911, 2023, 2151, 2299, 2475, 2692, 2977, 3389, 4000, 4000}};
/* reading it over before sending: median 1,100 ms, sigma 0.60, from 300 ms to 4 s */
static const struct quantiles review_pause = {{300,  360,  438,  499,  552,  600,  646,  690,  734,
                                               777,  820,  864,  909,  954,  1001, 1049, 1100, 1153,
                                               1209, 1268, 1332, 1400, 1475, 1557, 1649, 1753, 1873,
                                               2016, 2194, 2426, 2762, 3363, 4000}};
/* a long pause: median 7 s, sigma 0.40, from 4 s to 15 s */
static const struct quantiles long_thought = {
    {4000, 4000, 4000, 4132, 4418, 4674,  4909,  5131,  5345,  5553,  5757,
     5960, 6162, 6366, 6573, 6784, 7000,  7223,  7455,  7697,  7952,  8222,
     8512, 8825, 9168, 9549, 9982, 10485, 11090, 11859, 12930, 14746, 15000}};
/* reading the reply: median 6 s, sigma 0.60, from 2 s to 25 s */
static const struct quantiles reading_pause = {
    {2000, 2000, 2390, 2721, 3009,  3273,  3524,  3766,  4003,  4239,  4475,
     4713, 4956, 5204, 5460, 5724,  6000,  6289,  6594,  6918,  7264,  7638,
     8045, 8493, 8993, 9560, 10217, 10998, 11965, 13231, 15063, 18346, 25000}};
/* Backspace again and again: median 110 ms, sigma 0.25 */
static const struct quantiles backspaces = {
    {57,  69,  75,  79,  83,  85,  88,  91,  93,  95,  97,  99,  102, 104, 106, 108, 110,
     112, 114, 117, 119, 122, 124, 127, 130, 134, 137, 142, 147, 153, 161, 175, 213}};

/* In thousandths. */
enum {
    PAUSE_AT_WORD = 280,
    PAUSE_AT_COMMA = 400,
    PAUSE_AT_SENTENCE = 750,
    PAUSE_BEFORE_SPACE = 300, /* of the pauses at a word */
    THINKS_AT_WORD = 12,      /* long */
    THINKS_AT_SENTENCE = 60,
    THINKS_AT_END = 120, /* of messages, before they are sent */
    TYPO = 22,           /* of letters */
    OTHER_WORDS = 35,    /* of words: writes others first and deletes them */
    HESITATES = 15,      /* of words: deletes the last ones and types them again */
    PASTES = 50,         /* of messages: some words at once */
    EDITS_MIDDLE = 100,  /* of messages of six words and more: a word was forgotten */
    TAPS = 100,          /* of pauses over 1.2 s: a key that changes nothing */
    TAKES = 600,         /* of keys: would take a right suggestion */
    NEW_MOOD = 250,      /* of words: bursts and slow stretches */
};

enum { PARAGRAPH_MAX = 2048 };

struct composer {
    const struct typing *who;
    struct prng *random;
    struct person *into;
    unsigned tab;
    size_t message;
    char text[PARAGRAPH_MAX]; /* the paragraph */
    size_t len, caret;
    struct span goal; /* of this paragraph, now */
    unsigned mood;    /* thousandths */
    usec_t pause;     /* that stands before the next key */
};

static usec_t draw(struct prng *random, const struct quantiles *q)
{
    unsigned at = prng_below(random, (POINTS - 1) * 1024);
    usec_t from = q->ms[at / 1024] * USEC_PER_MS;
    usec_t to = q->ms[at / 1024 + 1] * USEC_PER_MS;
    return from + (to - from) * (at % 1024) / 1024;
}

static usec_t key_gap(struct composer *c, const struct quantiles *q)
{
    return draw(c->random, q) * c->who->pace / 1000 * c->mood / 1000;
}

/* Adds a key that has led to the text as it is now. */
static void add(struct composer *c, enum key_kind kind, usec_t gap)
{
    struct span before = span_make(c->text, c->caret);
    bool on_path = c->goal.ptr != NULL && span_starts(c->goal, before);
    struct key key = {.at = gap,
                      .kind = kind,
                      .tab = c->tab,
                      .message = c->message,
                      .before = cast_keep(c->who->cast, before),
                      .at_end = c->caret == c->len,
                      .goal = on_path ? c->goal : SPAN_NONE,
                      .takes = prng_chance(c->random, TAKES)};
    person_add(c->into, &key);
}

/* Time before the next key: its own, and the pause that is due. A long pause may hold a key that
 * changes nothing, which splits it. To be called before the text is changed. */
static usec_t wait(struct composer *c, usec_t gap)
{
    usec_t pause = c->pause;
    c->pause = 0;
    if (pause > 1200 * USEC_PER_MS && prng_chance(c->random, TAPS)) {
        usec_t first = pause * (300 + prng_below(c->random, 500)) / 1000;
        add(c, KEY_TAP, first);
        pause -= first;
    }
    return gap + pause;
}

static void insert(struct composer *c, struct span s)
{
    require(c->len + s.len <= sizeof c->text);
    memmove(c->text + c->caret + s.len, c->text + c->caret, c->len - c->caret);
    memcpy(c->text + c->caret, s.ptr, s.len);
    c->len += s.len;
    c->caret += s.len;
}

static void clear(struct composer *c, struct span goal)
{
    c->len = 0;
    c->caret = 0;
    c->goal = goal;
}

static void type(struct composer *c, struct span unit, const struct quantiles *q)
{
    usec_t gap = wait(c, key_gap(c, q));
    if (unit.len == 1 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ?!\":()", unit.ptr[0]) != NULL) {
        add(c, KEY_TAP, gap); /* Shift */
        gap = (60 + prng_below(c->random, 80)) * USEC_PER_MS;
    }
    insert(c, unit);
    add(c, KEY_TEXT, gap);
}

static void backspace(struct composer *c, usec_t gap)
{
    size_t len = text_unit_back(span_make(c->text, c->len), c->caret);
    gap = wait(c, gap);
    memmove(c->text + c->caret - len, c->text + c->caret, c->len - c->caret);
    c->len -= len;
    c->caret -= len;
    add(c, KEY_BACKSPACE, gap);
}

/* Deletes until `len` bytes are left before the caret. */
static void delete_to(struct composer *c, size_t len)
{
    usec_t gap = (250 + prng_below(c->random, 350)) * USEC_PER_MS;
    while (c->caret > len) {
        backspace(c, gap);
        gap = draw(c->random, &backspaces);
    }
}

static struct span part(struct span s, size_t from, size_t to)
{
    return span_make(s.ptr + from, to - from);
}

static bool is_letter(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* A wrong letter, noticed after up to three more. */
static void typo(struct composer *c, struct span text, size_t at)
{
    char wrong = (char)('a' + prng_below(c->random, 26));
    size_t start = c->caret;
    size_t late = prng_below(c->random, 4);
    if (wrong == text.ptr[at]) {
        wrong = wrong == 'z' ? 'a' : (char)(wrong + 1);
    }
    type(c, span_make(&wrong, 1), &in_word);
    at += text_unit(text, at);
    while (late-- > 0 && at < text.len) {
        size_t len = text_unit(text, at);
        type(c, part(text, at, at + len), &in_word);
        at += len;
    }
    c->pause = draw(c->random, &in_word);
    delete_to(c, start);
}

/* One to three words of another message, which are taken back again. */
static void other_words(struct composer *c)
{
    const struct corpus *corpus = c->who->corpus;
    struct span line = corpus->lines[prng_below(c->random, (unsigned)corpus->count)].text;
    size_t words = 1 + prng_below(c->random, 3);
    size_t start = c->caret;
    size_t at = span_find(line, SPAN(" "), line.len / 3);
    for (at = at == SIZE_MAX ? line.len : at + 1; at < line.len && line.ptr[at] != '\n';) {
        size_t len = text_unit(line, at);
        words -= line.ptr[at] == ' ' ? 1 : 0;
        if (words == 0) {
            break;
        }
        type(c, part(line, at, at + len), &in_word);
        at += len;
    }
    if (c->caret > start) {
        c->pause = draw(c->random, &word_pause);
        delete_to(c, start);
        c->pause = draw(c->random, &in_word) * 2;
    }
}

/* Takes back the last one or two words, which are right, and types them again. */
static void hesitate(struct composer *c)
{
    size_t back = c->caret;
    size_t end = c->caret;
    for (size_t words = 1 + prng_below(c->random, 2); words > 0 && back > 0; words--) {
        back--;
        while (back > 0 && c->text[back - 1] != ' ') {
            back--;
        }
    }
    struct span again = cast_keep(c->who->cast, span_make(c->text + back, end - back));
    c->pause = draw(c->random, &word_pause);
    delete_to(c, back);
    c->pause = draw(c->random, &word_pause);
    for (size_t at = 0; at < again.len; at += text_unit(again, at)) {
        type(c, part(again, at, at + text_unit(again, at)), &in_word);
    }
}

static size_t word_count(struct span text)
{
    size_t n = text.len > 0 ? 1 : 0;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == ' ' ? 1 : 0;
    }
    return n;
}

/* The n-th word's place; its end is the next space or the end. */
static size_t word_place(struct span text, size_t n)
{
    size_t at = 0;
    while (n-- > 0) {
        at = span_find(text, SPAN(" "), at) + 1;
    }
    return at;
}

/* What happens between two words: the caret is after a space. */
static void between_words(struct composer *c, struct span text, size_t at)
{
    char last = at >= 2 ? text.ptr[at - 2] : ' ';
    bool sentence = last == '.' || last == '?' || last == '!';
    bool comma = last == ',' || last == ';' || last == ':';
    if (prng_chance(c->random, NEW_MOOD)) {
        static const unsigned moods[] = {700, 1000, 1000, 1250};
        c->mood = moods[prng_below(c->random, 4)];
    }
    if (word_count(part(text, 0, at)) > 3 && prng_chance(c->random, OTHER_WORDS)) {
        other_words(c);
    } else if (word_count(part(text, 0, at)) > 3 && prng_chance(c->random, HESITATES)) {
        hesitate(c);
    }
    if (prng_chance(c->random, sentence ? THINKS_AT_SENTENCE : THINKS_AT_WORD)) {
        c->pause += draw(c->random, &long_thought);
    } else if (sentence ? prng_chance(c->random, PAUSE_AT_SENTENCE)
                        : prng_chance(c->random, comma ? PAUSE_AT_COMMA : PAUSE_AT_WORD)) {
        c->pause += draw(c->random, sentence ? &sentence_pause : &word_pause);
    }
}

/* Types text at the caret, with all that goes wrong on the way. paste_at: place of a word from
 * which on a few words come at once; SIZE_MAX: nowhere. */
static void type_text(struct composer *c, struct span text, size_t paste_at)
{
    bool paused = false;
    for (size_t at = 0; at < text.len;) {
        size_t len = text_unit(text, at);
        bool first = at > 0 && text.ptr[at - 1] == ' ';
        if (first && !paused) {
            between_words(c, text, at);
        }
        if (at == paste_at) {
            size_t words = word_count(part(text, 0, at)) + 2 + prng_below(c->random, 4);
            size_t end = word_place(text, words);
            c->pause += draw(c->random, &review_pause);
            usec_t gap = wait(c, 0);
            insert(c, part(text, at, end));
            add(c, KEY_PASTE, gap);
            at = end;
            continue;
        }
        paused = text.ptr[at] == ' ' && prng_chance(c->random, PAUSE_AT_WORD) &&
                 prng_chance(c->random, PAUSE_BEFORE_SPACE);
        if (paused) {
            c->pause += draw(c->random, &word_pause);
        }
        if (is_letter(text.ptr[at]) && prng_chance(c->random, TYPO)) {
            typo(c, text, at);
        }
        type(c, part(text, at, at + len), first ? &first_letter : &in_word);
        at += len;
    }
}

/* A paragraph in which a word was forgotten: typed without it, then the caret goes back. */
static void type_forgetting(struct composer *c, struct span text)
{
    char without[PARAGRAPH_MAX];
    size_t n = 2 + prng_below(c->random, (unsigned)word_count(text) - 4);
    size_t from = word_place(text, n);
    size_t to = word_place(text, n + 1);
    require(text.len < sizeof without);
    memcpy(without, text.ptr, from);
    memcpy(without + from, text.ptr + to, text.len - to);
    c->goal = cast_keep(c->who->cast, span_make(without, text.len - (to - from)));
    type_text(c, c->goal, SIZE_MAX);
    c->pause = draw(c->random, &sentence_pause);
    usec_t gap = wait(c, 400 * USEC_PER_MS);
    c->goal = SPAN_NONE;
    c->caret = from;
    add(c, prng_chance(c->random, 500) ? KEY_CLICK : KEY_MOVE, gap);
    c->goal = cast_keep(c->who->cast, part(text, 0, to));
    for (size_t at = from; at < to; at += text_unit(text, at)) {
        type(c, part(text, at, at + text_unit(text, at)), &in_word);
    }
    c->goal = text;
    c->caret = c->len;
    add(c, KEY_MOVE, 300 * USEC_PER_MS);
}

static void type_paragraph(struct composer *c, struct span text)
{
    size_t words = word_count(text);
    size_t paste_at = SIZE_MAX;
    clear(c, text);
    if (words >= 6 && prng_chance(c->random, EDITS_MIDDLE)) {
        type_forgetting(c, text);
        return;
    }
    if (words >= 10 && prng_chance(c->random, PASTES)) {
        paste_at = word_place(text, 2 + prng_below(c->random, (unsigned)words - 9));
    }
    type_text(c, text, paste_at);
}

void compose_message(const struct typing *who, struct person *into, unsigned tab, size_t message)
{
    struct composer c = {.who = who,
                         .random = who->random,
                         .into = into,
                         .tab = tab,
                         .message = message,
                         .mood = 1000};
    struct span text = who->cast->messages[message].text;
    size_t from = 0;
    c.pause = draw(c.random, &reading_pause);
    while (from <= text.len) {
        size_t to = span_find(text, SPAN("\n"), from);
        to = to == SIZE_MAX ? text.len : to;
        type_paragraph(&c, part(text, from, to));
        from = to + 1;
        if (from <= text.len) { /* Shift+Enter */
            c.pause = draw(c.random, &sentence_pause);
            usec_t gap = wait(&c, 200 * USEC_PER_MS);
            clear(&c, SPAN_NONE);
            add(&c, KEY_TEXT, gap);
        }
    }
    c.pause = draw(c.random, prng_chance(c.random, THINKS_AT_END) ? &long_thought : &review_pause);
    usec_t gap = wait(&c, 0);
    clear(&c, SPAN_NONE);
    add(&c, KEY_SEND, gap);
}
