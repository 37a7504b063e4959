/* learnt.c: keeps over restarts what server/prefix.c has learnt, as one note of the cache, and shows
 * it. Written once a minute where something has changed, and read once, when the cache is first on.
 */
#include "control/control_priv.h"

#include "lull/path/server/prefix.h"

#include <stdlib.h>

static const char NAME[] = "prefix";
static const usec_t TICK = 60 * USEC_PER_S;
static const usec_t KEPT = (usec_t)90 * 86400 * USEC_PER_S;

struct learnt {
    struct loop *loop;
    struct servers *servers;
    struct cache *cache;
    struct loop_timer *timer;
    uint64_t openings, saved; /* of the cache; prefix_changes() that is stored */
};

static void take_note(void *ctx, const char *name, struct span value)
{
    if (strcmp(name, NAME) == 0) {
        prefix_load(ctx, value);
    }
}

static void update(struct learnt *l)
{
    struct buf text = {.max = CACHE_NOTE_MAX};
    uint64_t openings = cache_openings(l->cache);
    if (openings != 0 && l->openings == 0) {
        cache_each_note(l->cache, take_note, l->servers);
    }
    bool wanted = prefix_changes(l->servers) != l->saved || openings != l->openings;
    l->openings = openings;
    wall_t expires = {loop_wall(l->loop).us + KEPT};
    /* records that find no room in the note are learnt again */
    if (openings != 0 && wanted && (prefix_save(l->servers, &text) == ERR_OK || text.len > 0) &&
        text.len > 0 && cache_store_note(l->cache, NAME, buf_span(&text), expires) == ERR_OK) {
        l->saved = prefix_changes(l->servers);
    }
    buf_free(&text);
}

static void on_tick(void *ctx)
{
    struct learnt *l = ctx;
    update(l);
    loop_timer_start(l->timer, TICK);
}

struct learnt *learnt_create(struct loop *loop, struct servers *servers, struct cache *cache)
{
    struct learnt *l = mem_new(sizeof *l);
    l->loop = loop;
    l->servers = servers;
    l->cache = cache;
    l->timer = loop_timer_create(loop, on_tick, l);
    on_tick(l);
    return l;
}

void learnt_destroy(struct learnt *l)
{
    if (l != NULL) {
        update(l);
        loop_timer_destroy(l->timer);
        free(l);
    }
}

/* ---- shown ---- */

static void add_since(cJSON *to, bool off, wall_t since)
{
    if (off) {
        control_add_time(to, "since", since);
    }
}

static void add_gains(cJSON *to, const struct prefix_learnt *l)
{
    for (int i = 0; i < PREFIX_WHENS; i++) {
        const struct prefix_gain *g = &l->gain[i];
        cJSON *one = cJSON_AddObjectToObject(to, prefix_when_name((enum prefix_when)i));
        cJSON_AddStringToObject(one, "state", prefix_state(g));
        cJSON_AddNumberToObject(one, "calls", (double)g->calls);
        cJSON_AddNumberToObject(one, "tokens", (double)g->tokens);
        cJSON_AddNumberToObject(one, "tokens_read", (double)g->tokens_read);
        add_since(one, g->off, g->off_since);
    }
}

static void add_forms(cJSON *to, const char *name, const struct prefix_forms *f)
{
    cJSON *one = cJSON_AddObjectToObject(to, name);
    cJSON_AddNumberToObject(one, "answers", (double)f->count);
    cJSON_AddNumberToObject(one, "wrong_form", (double)prefix_wrong(f));
}

static void add_kinds(cJSON *to, const struct prefix_learnt *l)
{
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        const struct prefix_kind *k = &l->kinds[i];
        if (k->behind.count > 0 || k->asked.count > 0) {
            cJSON *one = cJSON_AddObjectToObject(to, kind_info((enum kind_id)i)->name);
            cJSON_AddStringToObject(one, "state", k->off_since.us != 0 ? "off" : "on");
            add_forms(one, "chat", &k->behind);
            add_forms(one, "as-asked", &k->asked);
            add_since(one, k->off_since.us != 0, k->off_since);
        }
    }
}

static void add_model(void *ctx, const struct prefix_view *v)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "upstream", v->upstream);
    cJSON_AddStringToObject(one, "model", v->model);
    add_gains(one, v->learnt);
    add_kinds(cJSON_AddObjectToObject(one, "kinds"), v->learnt);
    cJSON_AddItemToArray(ctx, one);
}

void learnt_show(struct servers *servers, cJSON *to)
{
    prefix_each(servers, add_model, to);
}
