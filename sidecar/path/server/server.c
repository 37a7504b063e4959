/* server.c: the records of servers and models: made, bound to settings, found, forgotten; and what
 * all that is known of a server amounts to.
 */
#include "path/server/server_priv.h"

#include "lull/base/log.h"
#include "lull/path/server/pace.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t SAY_FAILED_EVERY = 60 * USEC_PER_S;

static void make_id(struct servers *all)
{
    struct hash_secret random;
    enum err e = hash_secret_generate(&random);
    size_t len = (size_t)snprintf(all->id, sizeof all->id, "lull-");
    require(e == ERR_OK);
    for (size_t i = 0; i < 16; i++) {
        len += (size_t)snprintf(all->id + len, sizeof all->id - len, "%02x", random.bytes[i]);
    }
}

struct servers *servers_create(struct loop *loop, struct upstream_pool *pool,
                               struct figures *figures)
{
    struct servers *all = mem_new(sizeof *all);
    all->loop = loop;
    all->pool = pool;
    all->figures = figures;
    enum err e = hash_secret_generate(&all->secret);
    require(e == ERR_OK);
    make_id(all);
    return all;
}

static void model_free(struct server_model *m)
{
    refusals_free(m);
    buf_free(&m->loads);
    paces_free(m);
    free(m->prefix);
    free(m);
}

static void models_free(struct server *s)
{
    while (s->model_count > 0) {
        model_free(s->models[--s->model_count]);
    }
}

void servers_destroy(struct servers *all)
{
    if (all == NULL) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        struct server *s = all->items[i];
        probe_destroy(s->probe);
        models_free(s);
        free(s->name);
        free(s->url);
        free(s);
    }
    free(all->items);
    free(all);
}

/* ---- binding ---- */

static struct server *make(struct servers *all, const char *name, const char *url)
{
    struct server *s = mem_new(sizeof *s);
    struct server **items = mem_have(realloc(all->items, (all->count + 1) * sizeof *items));
    all->items = items;
    all->items[all->count++] = s;
    s->all = all;
    s->name = mem_strdup(name);
    s->url = mem_strdup(url);
    s->number = (unsigned)all->count;
    s->figures = figures_upstream(all->figures, name);
    return s;
}

void servers_watch(struct servers *all, void (*fn)(void *ctx), void *ctx)
{
    all->watch = fn;
    all->watch_ctx = ctx;
}

void server_found_slots(struct server *s, int64_t slots)
{
    bool changes = s->found_slots != slots;
    s->found_slots = slots;
    if (changes && s->all->watch != NULL) {
        s->all->watch(s->all->watch_ctx);
    }
}

/* What failed says nothing about another way there. */
static void forget_failures(struct server *s)
{
    probe_retry(s->probe);
    s->called = SERVER_REACH_UNTRIED;
    s->unreached[0] = '\0';
    s->chat_refused = 0;
    s->breaker = (struct breaker){.failures = 0};
    s->throttled_until = s->said_until = (mono_t){0};
}

static void forget(struct server *s)
{
    forget_failures(s);
    probe_reset(s->probe);
    models_free(s);
    s->found_slots = 0;
    s->found_context = 0;
    s->speaks_ollama = false;
    s->loops = false;
}

/* What decides beside the url whether a call gets through. */
static struct hash_key access_of(const struct servers *all, const struct upstream_settings *to)
{
    const char *parts[] = {to->api_key, to->ca_file, to->proxy};
    struct hash_state state;
    hash_begin(&state, &all->secret);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *part = parts[i] == NULL ? "" : parts[i];
        hash_update(&state, part, strlen(part) + 1);
    }
    return hash_end(&state);
}

/* Another url is another server: what is known of the one before says nothing about it, and what comes of
 * calls that began there neither. */
static struct server *find_or_make(struct servers *all, const char *name, const char *url)
{
    struct server *found = NULL;
    for (size_t i = 0; i < all->count; i++) {
        struct server *s = all->items[i];
        if (strcmp(s->name, name) != 0) {
            continue;
        }
        bool moved = strcmp(s->url, url) != 0;
        found = moved ? found : s;
        if (moved != s->replaced) {
            s->replaced = moved;
            forget(s);
        }
    }
    return found == NULL ? make(all, name, url) : found;
}

/* Tasks may have other models now: one that is asked for no more would be named for ever. */
static void forget_refused_tasks(struct server *s)
{
    for (size_t i = 0; i < s->model_count; i++) {
        s->models[i]->task_refused = 0;
    }
}

void servers_bind(struct servers *all, struct upstream_settings *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct server *s = find_or_make(all, list[i].name, list[i].url == NULL ? "" : list[i].url);
        forget_refused_tasks(s);
        struct hash_key access = access_of(all, &list[i]);
        if (!hash_key_eq(s->access, access)) {
            s->access = access;
            s->access_number++;
            forget_failures(s);
        }
        list[i].server = s->number;
        list[i].access = s->access_number;
    }
}

bool server_access_is_current(const struct server *s, const struct upstream_settings *to)
{
    return to->access == s->access_number;
}

struct server *server_of(const struct servers *all, const struct upstream_settings *to)
{
    require(to->server > 0 && to->server <= all->count);
    return all->items[to->server - 1];
}

struct server *servers_at(const struct servers *all, size_t i)
{
    return i < all->count ? all->items[i] : NULL;
}

/* ---- models ---- */

struct hash_key servers_key(const struct servers *all, struct span text)
{
    return text.len == 0 ? (struct hash_key){0} : hash_key_of(&all->secret, text);
}

static struct server_model *find_model(const struct server *s, struct hash_key key)
{
    for (size_t i = 0; i < s->model_count; i++) {
        if (hash_key_eq(s->models[i]->key, key)) {
            return s->models[i];
        }
    }
    return NULL;
}

const struct server_model *server_find_model(const struct server *s, struct hash_key model)
{
    return find_model(s, model);
}

/* Finds or makes; the least recently used makes room. */
static struct server_model *use_model(struct server *s, struct hash_key key, mono_t now)
{
    struct server_model *m = find_model(s, key);
    if (m == NULL) {
        size_t at = s->model_count;
        if (at == SERVER_MODELS) {
            at = 0;
            for (size_t i = 1; i < SERVER_MODELS; i++) {
                at = s->models[i]->used.us < s->models[at]->used.us ? i : at;
            }
            model_free(s->models[at]);
        } else {
            s->model_count++;
        }
        m = s->models[at] = mem_new(sizeof *m);
        m->key = key;
    }
    m->used = now;
    return m;
}

struct server_model *server_model(struct server *s, struct span name)
{
    struct server_model *m = use_model(s, servers_key(s->all, name), loop_now(s->all->loop));
    if (m->name[0] == '\0') {
        snprintf(m->name, sizeof m->name, "%.*s",
                 (int)(name.len < sizeof m->name ? name.len : sizeof m->name),
                 name.len > 0 ? name.ptr : "");
    }
    return m;
}

void server_model_answered(struct server *s, struct hash_key model, mono_t now)
{
    use_model(s, model, now)->answered = now;
}

mono_t server_model_answered_at(const struct server *s, struct hash_key model)
{
    const struct server_model *m = find_model(s, model);
    return m == NULL ? (mono_t){0} : m->answered;
}

/* ---- what it amounts to ---- */

enum server_state server_state(const struct server *s, mono_t now)
{
    enum server_reach probed = probe_reach(s);
    enum server_reach reach = s->called != SERVER_REACH_UNTRIED ? s->called : probed;
    if (s->breaker.open_until.us != 0) {
        bool waits = !s->breaker.half_open && s->breaker.open_until.us > now.us;
        return waits ? SERVER_STATE_DOWN : SERVER_STATE_HALF_OPEN;
    }
    if (s->loops || reach == SERVER_REACH_UNREACHED) {
        return SERVER_STATE_DOWN;
    }
    return reach == SERVER_REACH_REACHED ? SERVER_STATE_UP : SERVER_STATE_UNTRIED;
}

const char *server_state_name(enum server_state state)
{
    static const char *const names[] = {[SERVER_STATE_UNTRIED] = "untried",
                                        [SERVER_STATE_UP] = "up",
                                        [SERVER_STATE_HALF_OPEN] = "probing",
                                        [SERVER_STATE_DOWN] = "down"};
    return names[state];
}

void server_note_reached(struct server *s, const struct upstream_settings *to, bool reached,
                         const char *why)
{
    if (!reached && !server_access_is_current(s, to)) {
        return;
    }
    if (reached && s->called == SERVER_REACH_UNREACHED) {
        log_info("upstream", "%s is up again", s->name);
    } else if (!reached && s->called != SERVER_REACH_UNREACHED) {
        log_warn("upstream", "%s is down: %s", s->name, why);
    }
    snprintf(s->unreached, sizeof s->unreached, "%s", reached || why == NULL ? "" : why);
    s->called = reached ? SERVER_REACH_REACHED : SERVER_REACH_UNREACHED;
}

/* Whether the status tells of the set-up: another try is answered the same. */
static bool is_of_setup(int status)
{
    return status == 401 || status == 403 || status == 404;
}

/* Where the failure of a call is kept. NULL: nowhere. */
static int *refused_of(struct server *s, enum server_caller caller, struct span model)
{
    if (caller == SERVER_CALLER_CHAT) {
        return &s->chat_refused;
    }
    return model.len > 0 ? &server_model(s, model)->task_refused : NULL;
}

static void note_refused(struct server *s, enum server_caller caller, struct span model, int status)
{
    int *refused = refused_of(s, caller, model);
    if (refused != NULL) {
        *refused = status;
    }
}

void server_note_served(struct server *s, enum server_caller caller, struct span model)
{
    note_refused(s, caller, model, 0);
}

/* What to look at first. */
static void status_hint(const struct server_failure *failure, char *out, size_t size)
{
    bool named = failure->model.len > 0;
    out[0] = '\0';
    if (failure->status == 404) {
        snprintf(out, size, ": does it have %s%.*s?", named ? "the model " : "this model",
                 named ? (int)failure->model.len : 0, named ? failure->model.ptr : "");
    } else if (is_of_setup(failure->status)) {
        snprintf(out, size, ": does it take this key?");
    }
}

void server_note_failed(struct server *s, const struct server_failure *failure, mono_t now)
{
    const char *what = failure->caller == SERVER_CALLER_CHAT ? "a chat" : "a task";
    char hint[SERVER_MODEL_NAME_MAX + 64];
    if (is_of_setup(failure->status) && server_access_is_current(s, failure->to)) {
        note_refused(s, failure->caller, failure->model, failure->status);
    }
    if (s->failure_said.us != 0 && mono_diff(now, s->failure_said) < SAY_FAILED_EVERY) {
        return;
    }
    s->failure_said = now;
    if (failure->status >= 300) {
        status_hint(failure, hint, sizeof hint);
        log_warn("upstream", "%s answered %s with status %d%s", s->name, what, failure->status,
                 hint);
    } else {
        log_warn("upstream", "%s failed %s: %s", s->name, what, failure->why);
    }
}
