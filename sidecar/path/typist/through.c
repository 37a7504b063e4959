/* through.c: suggestions by the text they were made for.
 *
 * A look-up finds the context first, and then walks back over the text of the request. The context
 * knows the lengths of the texts that it has suggestions for, as one count for each LENGTHS of them:
 * only where there may be one of that length is the text hashed and looked up. The text is hashed in
 * one pass: a copy of the running state is finished at each such place, so that the worst case, 128
 * look-ups, costs one pass over the text and 128 short digests (about 20 us), however many suggestions
 * are kept. A hash only finds: text and context are compared whole.
 *
 * Contexts are long (template and history) and shared by all suggestions of one conversation: each
 * is kept once, with a count of its users.
 *
 * Rejected: a trie over texts (Copilot's), which saves nothing at 128 characters; going back over
 * deleted characters ("rld" for "Hello wo" after "Hello wor"), which suggests what the user has
 * just deleted.
 */
#include "path/typist/through_priv.h"

#include "lull/base/utf8.h"
#include "lull/path/typist/typed_text.h"

#include <stdlib.h>

struct through *through_create(size_t entries)
{
    struct through *t = mem_new(sizeof *t);
    enum err e = hash_secret_generate(&t->secret);
    require(e == ERR_OK);
    t->max = entries;
    list_init(&t->ages);
    return t;
}

static void context_drop(struct through *t, struct context *c)
{
    if (c != NULL && --c->refs == 0) {
        forms_drop(t, c);
        t->bytes -= c->material.len + ROOM_CONTEXT;
        list_remove(&c->node);
        buf_free(&c->material);
        free(c);
    }
}

static void drop_entry(struct through *t, struct entry *e)
{
    t->count--;
    t->bytes -= e->bytes.len + ROOM_ENTRY;
    e->context->lengths[e->text_len % LENGTHS]--;
    context_drop(t, e->context);
    list_remove(&e->node);
    list_remove(&e->age);
    list_remove(&e->id);
    buf_free(&e->bytes);
    free(e);
}

void through_make_room(struct through *t, size_t most, size_t bytes)
{
    while (!list_empty(&t->ages) && (t->count > most || t->bytes > bytes)) {
        drop_entry(t, list_item(t->ages.next, struct entry, age));
    }
}

void through_destroy(struct through *t)
{
    if (t != NULL) {
        through_make_room(t, 0, 0);
        free(t->buckets);
        free(t);
    }
}

void through_resize(struct through *t, size_t entries)
{
    t->max = entries;
    through_make_room(t, entries, THROUGH_BYTES);
}

static struct list *bucket(const struct through *t, struct hash_key key)
{
    return &t->buckets[key.lo % BUCKETS];
}

static struct list *id_bucket(const struct through *t, struct hash_key id)
{
    return &t->buckets[BUCKETS + id.lo % BUCKETS];
}

static struct list *context_bucket(const struct through *t, struct hash_key hash)
{
    return &t->buckets[2 * BUCKETS + hash.lo % FEW_BUCKETS];
}

static struct span text_of(const struct entry *e)
{
    return span_make(e->bytes.data, e->text_len);
}

/* The key of a text, from its hash: other contexts have it under other keys. */
static struct hash_key key_in(const struct context *c, struct hash_key text)
{
    return (struct hash_key){text.hi ^ c->hash.hi, text.lo ^ c->hash.lo};
}

static struct entry *find_entry(const struct through *t, const struct context *c,
                                struct hash_key key, struct span text)
{
    list_each(node, bucket(t, key))
    {
        struct entry *e = list_item(node, struct entry, node);
        if (e->context == c && hash_key_eq(e->key, key) && span_eq(text_of(e), text)) {
            return e;
        }
    }
    return NULL;
}

struct context *through_context(const struct through *t, const struct typist_context *wanted)
{
    if (t->count == 0) {
        return NULL;
    }
    list_each(node, context_bucket(t, wanted->hash))
    {
        struct context *c = list_item(node, struct context, node);
        if (hash_key_eq(c->hash, wanted->hash) &&
            span_eq(buf_span(&c->material), wanted->material)) {
            return c;
        }
    }
    return NULL;
}

/* NULL: no memory. */
static struct context *context_take(struct through *t, const struct typist_context *wanted)
{
    struct context *c = through_context(t, wanted);
    if (c == NULL) {
        c = mem_new(sizeof *c);
        c->hash = wanted->hash;
        buf_init(&c->material, THROUGH_BYTES);
        if (buf_append_span(&c->material, wanted->material) != ERR_OK) {
            free(c);
            return NULL;
        }
        list_init(&c->node);
        list_init(&c->forms);
        list_append(context_bucket(t, c->hash), &c->node);
        t->bytes += c->material.len + ROOM_CONTEXT;
    }
    c->refs++;
    return c;
}

static void make_buckets(struct through *t)
{
    if (t->buckets == NULL) {
        t->buckets = mem_new(ALL_BUCKETS * sizeof *t->buckets);
        for (size_t i = 0; i < ALL_BUCKETS; i++) {
            list_init(&t->buckets[i]);
        }
    }
}

static void link_entry(struct through *t, struct entry *e)
{
    list_init(&e->node);
    list_init(&e->age);
    list_init(&e->id);
    list_append(bucket(t, e->key), &e->node);
    list_append(&t->ages, &e->age);
    list_append(id_bucket(t, e->answer), &e->id);
    e->context->lengths[e->text_len % LENGTHS]++;
    t->count++;
    t->bytes += e->bytes.len + ROOM_ENTRY;
}

/* NULL: no memory. The context is the entry's then. */
static struct entry *entry_new(struct context *c, const struct through_put *put)
{
    struct entry *e = mem_new(sizeof *e);
    e->context = c;
    e->answer = put->answer;
    e->generation = put->generation;
    e->made = put->made;
    e->expires = put->expires;
    e->model_time = put->model_time;
    e->tokens = put->tokens;
    e->cost = put->cost;
    e->text_len = put->text.len;
    buf_init(&e->bytes, THROUGH_BYTES);
    if (buf_append_span(&e->bytes, put->text) != ERR_OK ||
        buf_append_span(&e->bytes, put->suggestion) != ERR_OK) {
        buf_free(&e->bytes);
        free(e);
        return NULL;
    }
    return e;
}

void through_put(struct through *t, const struct through_put *put)
{
    size_t need = put->context.material.len + put->text.len + put->suggestion.len;
    if (t->max == 0 || need > THROUGH_BYTES / 8) {
        return;
    }
    make_buckets(t);
    struct context *c = context_take(t, &put->context);
    struct entry *e = c == NULL ? NULL : entry_new(c, put);
    if (e == NULL) {
        context_drop(t, c);
        return;
    }
    e->key = key_in(c, hash_key_of(&t->secret, put->text));
    struct entry *old = find_entry(t, c, e->key, put->text);
    if (old != NULL) {
        drop_entry(t, old);
    }
    link_entry(t, e);
    through_make_room(t, t->max, THROUGH_BYTES);
}

bool through_has(const struct through *t, struct hash_key answer, uint64_t generation)
{
    if (t->buckets == NULL) {
        return false;
    }
    list_each(node, id_bucket(t, answer))
    {
        const struct entry *e = list_item(node, struct entry, id);
        if (hash_key_eq(e->answer, answer) && e->generation == generation) {
            return true;
        }
    }
    return false;
}

/* A look-up; use: what it finds counts as used, and void entries are dropped. */
struct search {
    struct through *table;
    struct span text;
    uint64_t generation;
    wall_t now;
    bool use;
};

/* Expired, removed from the cache, or made by a clock that was ahead. */
static bool is_void(const struct entry *e, const struct search *s)
{
    return e->expires.us <= s->now.us || e->generation != s->generation ||
           wall_is_ahead(e->made, s->now);
}

/* Whether the suggestion of e, for the first `at` bytes of the text, fits the whole text. */
static bool answers(const struct search *s, struct entry *e, size_t at, struct through_hit *hit)
{
    if (is_void(e, s)) {
        if (s->use) {
            drop_entry(s->table, e);
        }
        return false;
    }
    struct span suggestion = span_make(e->bytes.data + e->text_len, e->bytes.len - e->text_len);
    struct span typed = span_make(s->text.ptr + at, s->text.len - at);
    if (!text_remainder(text_of(e), suggestion, typed, &hit->remainder)) {
        return false;
    }
    if (s->use) {
        list_remove(&e->age);
        list_append(&s->table->ages, &e->age);
    }
    hit->expires = e->expires;
    hit->model_time = e->model_time;
    hit->tokens = e->tokens;
    hit->cost = e->cost;
    return true;
}

/* The places in the text, the last first and none more than TEXT_WALK characters before the end, up to
 * which the context may have a suggestion. */
static size_t find_places(const struct search *s, const struct context *c,
                          size_t places[TEXT_WALK + 1])
{
    const struct span text = s->text;
    size_t count = 0;
    for (size_t at = text.len, passed = 0; at > 0 && passed <= TEXT_WALK; at--) {
        bool begins = at == text.len || !utf8_continues(text.ptr[at]);
        if (begins && c->lengths[at % LENGTHS] != 0 && text_boundary(text, at)) {
            places[count++] = at;
        }
        passed += begins ? 1 : 0;
    }
    return count;
}

static bool search_in(const struct search *s, struct context *c, struct through_hit *hit)
{
    size_t places[TEXT_WALK + 1];
    struct hash_key keys[TEXT_WALK + 1];
    struct hash_state running;
    size_t count = find_places(s, c, places);
    hash_begin(&running, &s->table->secret);
    for (size_t i = count, done = 0; i-- > 0; done = places[i]) {
        hash_update(&running, s->text.ptr + done, places[i] - done);
        struct hash_state copy = running;
        keys[i] = key_in(c, hash_end(&copy));
    }
    for (size_t i = 0; i < count; i++) { /* the longest first */
        struct span shorter = span_make(s->text.ptr, places[i]);
        struct entry *e = find_entry(s->table, c, keys[i], shorter);
        if (e != NULL && answers(s, e, places[i], hit)) {
            return true;
        }
    }
    return false;
}

static bool search(const struct search *s, struct context *c, struct through_hit *hit)
{
    if (c == NULL || s->text.len == 0) {
        return false;
    }
    c->refs++; /* its last suggestion may be dropped meanwhile */
    bool found = search_in(s, c, hit);
    context_drop(s->table, c);
    return found;
}

bool through_find(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit)
{
    const struct search s = {t, text, generation, now, true};
    return search(&s, through_context(t, context), hit);
}

bool through_peek(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit)
{
    const struct search s = {t, text, generation, now, false};
    return search(&s, through_context(t, context), hit);
}

bool through_find_known(struct through *t, const struct through_known *known, struct span text,
                        uint64_t generation, wall_t now, struct through_hit *hit)
{
    const struct search s = {t, text, generation, now, true};
    return search(&s, known->in, hit);
}

size_t through_count(const struct through *t)
{
    return t->count;
}

size_t through_bytes(const struct through *t)
{
    return t->bytes;
}
