/* typist.c: rows of typists, streams of arrivals, the adaptive window.
 *
 * A client that sends every key shows itself by related requests less than a second apart, which
 * Open WebUI's editor cannot send (it waits a second itself). Only such a stream is debounced: its
 * next request comes with the next key, and a call that starts now is for a text that is obsolete a
 * moment later. For CHATTY after its last fast arrival a stream is debounced from its first key on.
 *
 * The window. Intervals between keys are spread about log-normally around their median, and after
 * twice the mean interval without a key most of what is left are pauses. A call that starts too
 * early costs model time until the next key aborts it, at most the call's own length; one that
 * starts too late makes the user wait. So the window grows from WINDOW_FAST to WINDOW_SLOW mean
 * intervals with the model's latency. The constants are those that tests/bench/typing favours: with
 * 6 mean intervals for a fast model too, less is shown than without lull; with 2.8 for a slow one,
 * an eighth more model time is spent. (Tabby's 1.5 to 3 times the mean interval and Cotabby's steps
 * by latency are close to this.)
 */
#include "lull/path/typist/typist.h"

#include "lull/base/utf8.h"
#include "lull/path/typist/typed_text.h"
#include "lull/path/webui/classify.h"

#include <stdlib.h>

static const usec_t FAST = USEC_PER_S; /* related arrivals closer than this: every key is sent */
static const usec_t CHATTY = 10 * USEC_PER_S; /* how long that is remembered */
static const usec_t WINDOW_MAX = USEC_PER_S;
static const usec_t RHYTHM_DEFAULT = 200 * USEC_PER_MS; /* about 60 words a minute */
static const usec_t LATENCY_DEFAULT = USEC_PER_S;
static const usec_t LATENCY_HALF = USEC_PER_S; /* half way between the two: */
enum { WINDOW_FAST = 16, WINDOW_SLOW = 60 };   /* tenths of a mean interval */

struct typist {
    bool used;
    struct typist_arrival last; /* text: of `text` */
    struct buf text;
};

struct stream {
    bool used;
    struct hash_key person;
    struct hash_key context; /* of the last arrival */
    struct buf text;
    mono_t seen, fast;
    usec_t rhythm;
    uint64_t run;
    unsigned steps; /* of the run so far */
};

struct typist_table {
    struct typist rows[TYPISTS];
    struct stream streams[TYPIST_STREAMS];
    uint64_t runs;
};

struct typist_table *typist_table_create(void)
{
    return mem_new(sizeof(struct typist_table));
}

void typist_table_destroy(struct typist_table *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < TYPISTS; i++) {
        buf_free(&t->rows[i].text);
    }
    for (size_t i = 0; i < TYPIST_STREAMS; i++) {
        buf_free(&t->streams[i].text);
    }
    free(t);
}

bool typist_same(const struct typist_arrival *a, const struct typist_arrival *b)
{
    return a->text.len <= TYPIST_TEXT_MAX && b->text.len <= TYPIST_TEXT_MAX &&
           hash_key_eq(a->context, b->context) &&
           task_same_typist(a->text, b->text, a->one_user, a->history_empty);
}

/* The newest row of the typist; NULL: there is none. */
static const struct typist *own_row(const struct typist_table *t, const struct typist_arrival *a)
{
    const struct typist *own = NULL;
    for (size_t i = 0; i < TYPISTS; i++) {
        const struct typist *row = &t->rows[i];
        if (row->used && typist_same(&row->last, a) &&
            (own == NULL || row->last.now.us > own->last.now.us)) {
            own = row;
        }
    }
    return own;
}

/* A free row, else the least recently seen. */
static size_t row_to_replace(const struct typist_table *t)
{
    size_t take = 0;
    for (size_t i = 0; i < TYPISTS && t->rows[take].used; i++) {
        if (!t->rows[i].used || t->rows[i].last.now.us < t->rows[take].last.now.us) {
            take = i;
        }
    }
    return take;
}

static bool keep_text(struct buf *to, struct span text)
{
    buf_clear(to);
    to->max = TYPIST_TEXT_MAX;
    return buf_append_span(to, text) == ERR_OK;
}

/* Index of the user's stream; TYPIST_STREAMS: none yet. */
static size_t own_stream(const struct typist_table *t, const struct typist_arrival *a)
{
    size_t i = 0;
    while (i < TYPIST_STREAMS &&
           !(t->streams[i].used && hash_key_eq(t->streams[i].person, a->person))) {
        i++;
    }
    return i;
}

static struct stream *stream_for(struct typist_table *t, const struct typist_arrival *a)
{
    size_t own = own_stream(t, a);
    if (own < TYPIST_STREAMS) {
        return &t->streams[own];
    }
    struct stream *take = &t->streams[0];
    for (size_t i = 0; i < TYPIST_STREAMS && take->used; i++) {
        struct stream *s = &t->streams[i];
        take = !s->used || s->seen.us < take->seen.us ? s : take;
    }
    struct buf text = take->text;
    *take = (struct stream){.used = true, .person = a->person, .text = text};
    buf_clear(&take->text);
    return take;
}

/* Whether a's text goes on from the stream's last, however short they are. */
static bool continues_stream(const struct stream *s, const struct typist_arrival *a)
{
    struct span last = buf_span(&s->text);
    return s->seen.us != 0 && hash_key_eq(s->context, a->context) && last.len > 0 &&
           (span_starts(a->text, last) || span_starts(last, a->text));
}

/* Interval since the stream's last key, where this arrival is the next one; -1: it is not. */
static usec_t key_interval(const struct stream *s, const struct typist_arrival *a)
{
    usec_t since = s->seen.us == 0 ? FAST : mono_diff(a->now, s->seen);
    return since < FAST && continues_stream(s, a) ? since : -1;
}

static struct typist_verdict verdict(const struct stream *s, const struct typist_arrival *a)
{
    usec_t interval = key_interval(s, a);
    bool chatty = s->fast.us != 0 && mono_diff(a->now, s->fast) <= CHATTY;
    return (struct typist_verdict){.lone = interval < 0 && !chatty, .rhythm = s->rhythm};
}

/* Whether a's text is the stream's last with one character more or less at its end. */
static bool is_one_key(const struct stream *s, const struct typist_arrival *a)
{
    struct span last = buf_span(&s->text);
    struct span longer = last.len > a->text.len ? last : a->text;
    size_t common = last.len > a->text.len ? a->text.len : last.len;
    return continues_stream(s, a) &&
           utf8_count(span_make(longer.ptr + common, longer.len - common)) == 1;
}

static void note_run(struct typist_table *t, struct stream *s, const struct typist_arrival *a)
{
    if (a->one_user && key_interval(s, a) >= 0 && is_one_key(s, a)) {
        s->steps += s->steps < TYPIST_RUN ? 1 : 0;
    } else {
        s->steps = 0;
        s->run = a->one_user ? ++t->runs : 0;
    }
}

static void note_stream(struct stream *s, const struct typist_arrival *a)
{
    usec_t interval = key_interval(s, a);
    if (interval >= 0) {
        s->rhythm = s->rhythm == 0 ? interval : s->rhythm + (interval - s->rhythm) / 8;
        s->fast = a->now;
    }
    s->context = a->context;
    s->seen = a->now;
    if (!keep_text(&s->text, a->text)) {
        buf_clear(&s->text);
    }
}

static bool is_usable(const struct typist_arrival *a)
{
    return a->text.len > 0 && a->text.len <= TYPIST_TEXT_MAX;
}

struct typist_verdict typist_peek(const struct typist_table *t, const struct typist_arrival *a)
{
    struct typist_verdict v = {.lone = true};
    if (!is_usable(a)) {
        return v;
    }
    size_t stream = own_stream(t, a);
    if (stream < TYPIST_STREAMS) {
        v = verdict(&t->streams[stream], a);
    }
    v.known = own_row(t, a) != NULL;
    return v;
}

struct typist_verdict typist_note(struct typist_table *t, const struct typist_arrival *a)
{
    struct typist_verdict v = typist_peek(t, a);
    if (!is_usable(a)) {
        return v;
    }
    const struct typist *own = own_row(t, a);
    struct typist *row = &t->rows[own != NULL ? (size_t)(own - t->rows) : row_to_replace(t)];
    row->used = keep_text(&row->text, a->text);
    row->last = *a;
    row->last.text = buf_span(&row->text);
    struct stream *stream = stream_for(t, a);
    note_run(t, stream, a);
    note_stream(stream, a);
    v.run = stream->run;
    v.settled = stream->steps >= TYPIST_RUN;
    return v;
}

usec_t typist_window(const struct typist_verdict *v, usec_t latency, usec_t waited)
{
    if (v->lone) {
        return 0;
    }
    usec_t rhythm = v->rhythm > 0 ? v->rhythm : RHYTHM_DEFAULT;
    double slow = (double)(latency < 0 ? LATENCY_DEFAULT : latency) / (double)LATENCY_HALF;
    double share = slow * slow / (slow * slow + 1);
    usec_t tenths = WINDOW_FAST + (usec_t)((WINDOW_SLOW - WINDOW_FAST) * share);
    usec_t window = rhythm * tenths / 10;
    window = window > WINDOW_MAX ? WINDOW_MAX : window;
    return window > waited ? window - waited : 0;
}
