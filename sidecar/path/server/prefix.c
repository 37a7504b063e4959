/* prefix.c: see prefix.h.
 *
 * A gain is read off the server's own figures. llama.cpp and vLLM say how many tokens of the prompt
 * they had cached: at least half of the conversation must be among them. Ollama says how long it
 * read a prompt and how many tokens that has; the time for one token is learnt from tasks as asked,
 * and a call behind a conversation must have saved at least half of the conversation's time. A
 * server that says neither cannot be judged: after three such calls it is left as asked.
 */
#include "lull/path/server/prefix.h"

#include "path/server/server_priv.h"

#include <stdlib.h>

enum {
    WITHOUT_MOST = 2, /* calls in a row without a gain, or of a wrong form */
    UNKNOWN_MOST = 3,
    FORMS = 50,
    FORMS_LEAST = 20, /* of each sort, before shares are compared */
    POINTS_MOST = 5,
    SLOTS_MOST = 8,
    CONTEXT_STEP =
        2048, /* contexts are set in steps of this, and of CONTEXT_STEP_LARGE above that */
    CONTEXT_STEP_LARGE = 4096,
};

static const int64_t COUNT_MOST = (int64_t)1 << 53; /* of what a note says */

static const usec_t DAY = 86400 * USEC_PER_S;

struct prefix {
    struct prefix_learnt learnt;
    /* what slots read last, the most recent first */
    struct resident {
        struct prefix_place what;
        bool after_task;
    } residents[SLOTS_MOST];
    size_t resident_count;
    uint64_t changes;
};

static struct prefix *prefix_of(struct server_model *m)
{
    m->prefix = m->prefix == NULL ? mem_new(sizeof *m->prefix) : m->prefix;
    return m->prefix;
}

/* ---- deciding ---- */

static bool is_a_day_old(wall_t since, wall_t now)
{
    usec_t age = wall_diff(now, since);
    return age >= DAY || age < 0; /* the clock was set back */
}

enum prefix_reason prefix_look(const struct server_model *m, int kind, enum prefix_when when,
                               enum prefix_rule rule, wall_t now)
{
    if (rule == PREFIX_CHAT || m->prefix == NULL) {
        return PREFIX_REASON_NONE;
    }
    const struct prefix_learnt *l = &m->prefix->learnt;
    const struct prefix_gain *g = &l->gain[when];
    const struct prefix_kind *k = &l->kinds[kind];
    if (k->off_since.us != 0 && !is_a_day_old(k->off_since, now)) {
        return PREFIX_REASON_FORM;
    }
    if (g->off && !is_a_day_old(g->off_since, now)) {
        return g->unknown >= UNKNOWN_MOST ? PREFIX_REASON_NO_FIGURES : PREFIX_REASON_NO_GAIN;
    }
    return PREFIX_REASON_NONE;
}

enum prefix_reason prefix_may(const struct server_model *m, int kind, enum prefix_rule rule,
                              wall_t now)
{
    enum prefix_reason why = PREFIX_REASON_NONE;
    for (int when = 0; when < PREFIX_WHENS; when++) {
        why = prefix_look(m, kind, (enum prefix_when)when, rule, now);
        if (why == PREFIX_REASON_NONE) {
            break;
        }
    }
    return why;
}

bool prefix_goes_back(const struct server_model *m)
{
    return m->prefix != NULL && m->prefix->learnt.gain[PREFIX_AFTER_OWN].on;
}

/* ---- forms ---- */

unsigned prefix_wrong(const struct prefix_forms *f)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < FORMS; i++) {
        wrong += (unsigned)(f->wrong >> i & 1U);
    }
    return wrong;
}

static void add_form(struct prefix_forms *f, bool wrong)
{
    f->wrong = (f->wrong << 1 | (wrong ? 1U : 0U)) & ((UINT64_C(1) << FORMS) - 1);
    f->count += f->count < FORMS ? 1 : 0;
}

/* In percent; 0 of none. */
static unsigned share_of(const struct prefix_forms *f)
{
    return f->count > 0 ? 100 * prefix_wrong(f) / f->count : 0;
}

/* Whether answers behind the conversation have the wrong form more often: by the last two, or by
 * the share of enough of them. A model that is as bad as asked gains nothing by that. */
static bool is_worse(const struct prefix_kind *k)
{
    bool two = k->behind.count >= WITHOUT_MOST && (k->behind.wrong & 3U) == 3U;
    bool more = share_of(&k->behind) > share_of(&k->asked) + POINTS_MOST;
    return more && (two || k->behind.count >= FORMS_LEAST);
}

static void note_form(struct prefix_kind *k, const struct prefix_call *call, wall_t now)
{
    if (!call->behind) {
        add_form(&k->asked, call->wrong_form);
        if (k->off_since.us != 0 && k->asked.count >= WITHOUT_MOST && !is_worse(k)) {
            k->off_since.us = 0;
        }
        return;
    }
    if (k->off_since.us != 0) { /* the try of a day later */
        k->behind = (struct prefix_forms){0};
        k->off_since.us = call->wrong_form ? now.us : 0;
    }
    add_form(&k->behind, call->wrong_form);
    if (is_worse(k)) {
        k->off_since = now;
    }
}

/* ---- gains ---- */

enum gain { GAIN_UNKNOWN, GAIN_NONE, GAIN_SOME };

/* Tokens that were read; -1: not known. */
static int64_t tokens_read(const struct prefix_learnt *l, const struct prefix_call *call)
{
    if (call->tokens_in < 0) {
        return -1;
    }
    if (call->cached >= 0) {
        return call->tokens_in - call->cached;
    }
    if (call->prompt_time >= 0 && l->token_us > 0) {
        double read = (double)call->prompt_time / l->token_us;
        return read < (double)call->tokens_in ? (int64_t)read : call->tokens_in;
    }
    return -1;
}

static enum gain gain_of(const struct prefix_learnt *l, const struct prefix_call *call)
{
    int64_t read = tokens_read(l, call);
    if (read < 0 || call->conversation <= 0) {
        return GAIN_UNKNOWN;
    }
    int64_t all = call->tokens_in > call->conversation ? call->tokens_in : call->conversation;
    return all - read >= call->conversation / 2 ? GAIN_SOME : GAIN_NONE;
}

static void judge(struct prefix_gain *g, enum gain gain, wall_t now)
{
    switch (gain) {
    case GAIN_SOME:
        g->on = true;
        g->off = false;
        g->without = g->unknown = 0;
        return;
    case GAIN_NONE:
        g->without++;
        break;
    case GAIN_UNKNOWN:
        g->unknown++;
        break;
    }
    if (g->off || g->without >= WITHOUT_MOST || g->unknown >= UNKNOWN_MOST) {
        g->on = false;
        g->off = true;
        g->off_since = now;
    }
    g->without = g->without < WITHOUT_MOST ? g->without : WITHOUT_MOST;
    g->unknown = g->unknown < UNKNOWN_MOST ? g->unknown : UNKNOWN_MOST;
}

static void note_gain(struct prefix_learnt *l, const struct prefix_call *call, wall_t now)
{
    struct prefix_gain *g = &l->gain[call->when];
    int64_t read = tokens_read(l, call);
    g->calls++;
    g->tokens += read >= 0 ? call->tokens_in : 0;
    g->tokens_read += read >= 0 ? read : 0;
    judge(g, gain_of(l, call), now);
}

/* The slowest of late: prompts as asked may be cached in part, and then tell too little. */
static void note_pace(struct prefix_learnt *l, const struct prefix_call *call)
{
    if (call->behind || call->cached >= 0 || call->prompt_time <= 0 || call->tokens_in <= 0) {
        return;
    }
    double token_us = (double)call->prompt_time / (double)call->tokens_in;
    double faded = l->token_us * 0.95;
    l->token_us = token_us > faded ? token_us : faded;
}

void prefix_note(struct server_model *m, const struct prefix_call *call, wall_t now)
{
    struct prefix_learnt *l = &prefix_of(m)->learnt;
    require(call->kind >= 0 && call->kind < KIND_BUILTIN_COUNT);
    note_pace(l, call);
    note_form(&l->kinds[call->kind], call, now);
    if (call->behind) {
        note_gain(l, call, now);
    }
    prefix_of(m)->changes++;
}

void prefix_note_chat(struct server_model *m, const struct prefix_call *call, wall_t now)
{
    struct prefix_learnt *l = &prefix_of(m)->learnt;
    enum gain gain = gain_of(l, call);
    if (gain != GAIN_UNKNOWN) {
        judge(&l->gain[PREFIX_AFTER_OTHERS], gain, now);
        prefix_of(m)->changes++;
    }
}

/* ---- the context ---- */

void prefix_note_size(struct server_model *m, int64_t tokens)
{
    struct prefix_learnt *l = tokens > 0 ? &prefix_of(m)->learnt : NULL;
    if (l != NULL && tokens > l->shown) {
        l->shown = tokens;
    }
}

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

int64_t prefix_context(const struct server_model *m, int64_t stated)
{
    int64_t shown = m->prefix == NULL ? 0 : m->prefix->learnt.shown;
    if (stated > 0) {
        return stated;
    }
    return shown <= CONTEXT_STEP_LARGE
               ? round_up(shown > CONTEXT_STEP ? shown : CONTEXT_STEP, CONTEXT_STEP)
               : round_up(shown, CONTEXT_STEP_LARGE);
}

/* ---- what slots read last ---- */

static size_t slots_kept(int64_t slots)
{
    return slots < 1 ? 1 : slots > SLOTS_MOST ? SLOTS_MOST : (size_t)slots;
}

/* Takes the conversation's place, else that of the least recent one, to the front. */
static struct resident *to_front(struct prefix *p, size_t slots, struct prefix_place what)
{
    size_t at = 0;
    while (at < p->resident_count &&
           (what.conversation == 0 || p->residents[at].what.conversation != what.conversation)) {
        at++;
    }
    if (at == p->resident_count) {
        p->resident_count += p->resident_count < slots ? 1 : 0;
        at = p->resident_count - 1;
        p->residents[at] = (struct resident){.after_task = false};
    }
    struct resident r = p->residents[at];
    memmove(&p->residents[1], &p->residents[0], at * sizeof p->residents[0]);
    p->residents[0] = r;
    p->residents[0].what = what;
    return &p->residents[0];
}

void prefix_read_chat(struct server_model *m, int64_t slots, struct prefix_place what)
{
    to_front(prefix_of(m), slots_kept(slots), what)->after_task = false;
}

void prefix_read_task(struct server_model *m, int64_t slots, struct prefix_place what)
{
    to_front(prefix_of(m), slots_kept(slots), what)->after_task = true;
}

static const struct resident *find_resident(const struct server_model *m, uint64_t conversation)
{
    for (size_t i = 0; m != NULL && m->prefix != NULL && i < m->prefix->resident_count; i++) {
        if (m->prefix->residents[i].what.conversation == conversation) {
            return &m->prefix->residents[i];
        }
    }
    return NULL;
}

enum prefix_when prefix_when_of(const struct server_model *m, struct prefix_place what)
{
    const struct resident *r = find_resident(m, what.conversation);
    return r == NULL                                    ? PREFIX_AFTER_OTHERS
           : r->after_task || r->what.turn != what.turn ? PREFIX_AFTER_OWN
                                                        : PREFIX_FIRST;
}

size_t prefix_displaces(const struct server_model *m, int64_t slots)
{
    const struct prefix *p = m->prefix;
    if (p == NULL || slots_kept(slots) > 1 || p->resident_count == 0 ||
        !p->learnt.gain[PREFIX_AFTER_OTHERS].off) {
        return 0;
    }
    const struct resident *r = &p->residents[0];
    bool lost_by_its_task = r->after_task && p->learnt.gain[PREFIX_AFTER_OWN].off;
    return lost_by_its_task ? 0 : r->what.size;
}

bool prefix_is_held(const struct server *s, struct hash_key model, uint64_t conversation)
{
    return conversation != 0 && find_resident(server_find_model(s, model), conversation) != NULL;
}

/* ---- for display, and over restarts ---- */

const char *prefix_state(const struct prefix_gain *g)
{
    return g->on ? "on" : g->off ? "off" : "trying";
}

const char *prefix_when_name(enum prefix_when when)
{
    static const char *const names[] = {[PREFIX_FIRST] = "first",
                                        [PREFIX_AFTER_OWN] = "after_own",
                                        [PREFIX_AFTER_OTHERS] = "after_others"};
    return names[when];
}

void prefix_each(struct servers *all, void (*fn)(void *ctx, const struct prefix_view *v), void *ctx)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct server *s = all->items[i];
        for (size_t k = 0; k < s->model_count; k++) {
            const struct server_model *m = s->models[k];
            if (!s->replaced && m->prefix != NULL && m->name[0] != '\0') {
                const struct prefix_view view = {s->name, m->name, &m->prefix->learnt};
                fn(ctx, &view);
            }
        }
    }
}

uint64_t prefix_changes(const struct servers *all)
{
    uint64_t changes = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct server *s = all->items[i];
        for (size_t k = 0; k < s->model_count; k++) {
            changes += s->models[k]->prefix == NULL ? 0 : s->models[k]->prefix->changes;
        }
    }
    return changes;
}

/* In front of each record; names follow without terminators. */
struct saved_model {
    uint32_t size;            /* of struct prefix_learnt: another version's is not read */
    uint32_t upstream, model; /* lengths */
    uint32_t unused;
    uint64_t url; /* checksum */
};

static enum err save_model(const struct server *s, const struct server_model *m, struct buf *out)
{
    const struct saved_model head = {.size = sizeof m->prefix->learnt,
                                     .upstream = (uint32_t)strlen(s->name),
                                     .model = (uint32_t)strlen(m->name),
                                     .url = hash_checksum(s->url, strlen(s->url))};
    size_t begin = out->len;
    enum err e = buf_append(out, &head, sizeof head);
    e = e == ERR_OK ? buf_append(out, s->name, head.upstream) : e;
    e = e == ERR_OK ? buf_append(out, m->name, head.model) : e;
    e = e == ERR_OK ? buf_append(out, &m->prefix->learnt, head.size) : e;
    out->len = e == ERR_OK ? out->len : begin;
    return e;
}

/* A name that was cut is no key. */
static bool is_whole(const struct server_model *m)
{
    size_t len = strlen(m->name);
    return len > 0 && len < SERVER_MODEL_NAME_MAX - 1;
}

enum err prefix_save(struct servers *all, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < all->count && e == ERR_OK; i++) {
        const struct server *s = all->items[i];
        for (size_t k = 0; k < s->model_count && e == ERR_OK; k++) {
            const struct server_model *m = s->models[k];
            e = m->prefix != NULL && is_whole(m) ? save_model(s, m, out) : ERR_OK;
        }
    }
    return e;
}

static struct server *find(struct servers *all, struct span name, uint64_t url)
{
    for (size_t i = 0; i < all->count; i++) {
        struct server *s = all->items[i];
        if (span_eq(span_of(s->name), name) && hash_checksum(s->url, strlen(s->url)) == url) {
            return s;
        }
    }
    return NULL;
}

/* A bool that was written by another layout of the struct can have any value. */
static bool is_flag(const bool *flag)
{
    unsigned char byte = 0;
    memcpy(&byte, flag, sizeof byte);
    return byte <= 1;
}

static bool is_count(int64_t n)
{
    return n >= 0 && n <= COUNT_MOST;
}

static bool are_forms(const struct prefix_forms *f)
{
    return f->count <= FORMS && f->wrong >> f->count == 0;
}

/* Whether a note's record has values that this program could have written. Its checksum says that
 * it is what was written, and its size that the struct was as large: another version's struct can be
 * as large and mean something else. */
static bool is_sound(const struct prefix_learnt *l)
{
    bool sound = l->token_us >= 0 && l->token_us <= (double)DAY && is_count(l->shown);
    for (int i = 0; i < PREFIX_WHENS && sound; i++) {
        const struct prefix_gain *g = &l->gain[i];
        sound = is_flag(&g->on) && is_flag(&g->off) && !(g->on && g->off) &&
                g->without <= WITHOUT_MOST && g->unknown <= UNKNOWN_MOST && is_count(g->calls) &&
                is_count(g->tokens) && is_count(g->tokens_read) && g->off_since.us >= 0;
    }
    for (int i = 0; i < KIND_BUILTIN_COUNT && sound; i++) {
        const struct prefix_kind *k = &l->kinds[i];
        sound = are_forms(&k->behind) && are_forms(&k->asked) && k->off_since.us >= 0;
    }
    return sound;
}

/* The record at the beginning of `saved`, whose head was read. */
static void load_model(struct servers *all, const struct saved_model *head, struct span saved)
{
    struct prefix_learnt learnt;
    memcpy(&learnt, saved.ptr + head->upstream + head->model, sizeof learnt);
    struct server *s = find(all, span_make(saved.ptr, head->upstream), head->url);
    if (s == NULL || !is_sound(&learnt)) {
        return;
    }
    struct server_model *m = server_model(s, span_make(saved.ptr + head->upstream, head->model));
    if (m != NULL && m->prefix == NULL) {
        prefix_of(m)->learnt = learnt;
    }
}

void prefix_load(struct servers *all, struct span saved)
{
    struct saved_model head;
    while (saved.len >= sizeof head) {
        memcpy(&head, saved.ptr, sizeof head);
        saved = span_make(saved.ptr + sizeof head, saved.len - sizeof head);
        size_t names = (size_t)head.upstream + head.model;
        if (head.size != sizeof(struct prefix_learnt) || head.model >= SERVER_MODEL_NAME_MAX ||
            saved.len < names + head.size) {
            return;
        }
        load_model(all, &head, saved);
        saved = span_make(saved.ptr + names + head.size, saved.len - names - head.size);
    }
}
