/* opening.c: the life of the cache: its store is opened, tried again, replaced and closed. */
#include "path/cache/cache_priv.h"

#include "lull/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t RETRY = 10 * USEC_PER_S;
static const usec_t TOUCH = 5 * USEC_PER_S;

/* On the writer thread. */
static void wake_loop(void *ctx)
{
    struct cache *c = ctx;
    loop_wake(c->waker);
}

/* why: NULL: on. Logs a change; while the cache is not on, the retry timer runs. */
static void set_state(struct cache *c, const char *why)
{
    char state[sizeof c->state];
    bool was_on = strcmp(c->state, "on") == 0;
    snprintf(state, sizeof state, "%s%s", why == NULL ? "on" : "off: ", why == NULL ? "" : why);
    bool changed = strcmp(state, c->state) != 0;
    if (changed && why != NULL) {
        log_error("cache", "%s: the cache is off: %s", c->dir, why);
    } else if (changed && !was_on && c->state[0] != '\0') {
        log_info("cache", "%s: the cache is on again", c->dir);
    }
    c->openings += why == NULL && !was_on ? 1 : 0;
    memcpy(c->state, state, sizeof state);
    if (why == NULL) {
        loop_timer_stop(c->retry);
    } else if (!loop_timer_running(c->retry)) {
        loop_timer_start(c->retry, RETRY);
    }
}

/* Another data file has another secret, and so other keys: nothing that was made under the one before
 * can be found any more. */
static void take_secret(struct cache *c)
{
    const struct hash_secret *secret = store_secret(c->store);
    if (memcmp(&c->secret, secret, sizeof *secret) != 0) {
        c->secret = *secret;
        c->generation++;
    }
}

static void try_open(struct cache *c)
{
    char why[256] = "";
    struct store_options options = {.dir = c->dir,
                                    .max_size = c->settings.max_size,
                                    .sync = c->settings.durability == DURABILITY_GROUP,
                                    .crash_mark = c->crash_mark,
                                    .wake = wake_loop,
                                    .ctx = c};
    enum err e = store_open(&options, &c->store, why, sizeof why);
    if (e != ERR_OK) {
        set_state(c, why);
        return;
    }
    store_set_target_fn(c->store, exact_record_target);
    take_secret(c);
    set_state(c, NULL);
}

static void on_retry(void *ctx)
{
    struct cache *c = ctx;
    if (c->store == NULL) {
        try_open(c);
    } else {
        loop_timer_start(c->retry, RETRY);
        store_check(c->store);
    }
}

/* Opens a new store in place of one whose files are damaged (set aside) or removed. */
static void replace_store(struct cache *c, bool damaged)
{
    struct store *store = c->store;
    struct store_stats s = store_stats(store);
    cache_hand_over(c);
    c->expired_before += s.expired;
    c->evicted_before += s.evicted;
    c->errors_before += s.errors;
    c->store = NULL;
    c->openings += strcmp(c->state, "on") == 0 ? 1 : 0; /* try_open() finds no change */
    if (damaged) {
        store_close_damaged(store);
    } else {
        log_error("cache", "%s: the data file was removed; the cache begins empty", c->dir);
        store_close(store);
    }
    try_open(c);
}

/* Takes finished jobs back, `most` at most and the others in a later turn, and acts on what became of
 * the store. */
static void collect(struct cache *c, size_t most)
{
    usec_t times[64];
    char why[256];
    bool more = false;
    if (c->store == NULL) {
        return;
    }
    enum err e = store_collect(c->store, most, &more);
    if (more) {
        loop_later(c->loop, &c->rest);
    }
    size_t n = store_commit_times(c->store, times, sizeof times / sizeof times[0]);
    for (size_t i = 0; i < n; i++) {
        figure_times_add(&c->commits, loop_now(c->loop), times[i]);
    }
    if (e != ERR_OK) {
        replace_store(c, e == ERR_CORRUPT);
    } else {
        set_state(c, store_trouble(c->store, why, sizeof why) ? why : NULL);
    }
}

static void on_wake(void *ctx)
{
    collect(ctx, CACHE_COLLECT_JOBS);
}

static void sweep_expired(struct cache *c)
{
    if (c->store != NULL && store_stats(c->store).entries > 0) {
        struct store_job *sweep = store_job_new(STORE_SWEEP);
        sweep->now = loop_wall(c->loop);
        sweep->done = cache_job_done;
        cache_submit(c, sweep);
    }
}

static void on_touch(void *ctx)
{
    struct cache *c = ctx;
    cache_write_touches(c, CACHE_TOUCHES_JOB);
    sweep_expired(c);
    loop_timer_start(c->touch, TOUCH);
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
    struct cache *c = mem_new(sizeof *c);
    c->loop = loop;
    c->dir = mem_strdup(options->dir);
    c->settings = options->settings;
    c->crash_mark = options->crash_mark;
    c->waker = loop_waker_create(loop, on_wake, c);
    c->retry = loop_timer_create(loop, on_retry, c);
    c->touch = loop_timer_create(loop, on_touch, c);
    c->open_work = (struct loop_deferred){.fn = cache_hand_over, .ctx = c};
    c->rest = (struct loop_deferred){.fn = on_wake, .ctx = c};
    enum err e = hash_secret_generate(&c->secret);
    require(e == ERR_OK);
    try_open(c);
    loop_timer_start(c->touch, TOUCH);
    return c;
}

static bool is_any(const struct store_job *job, const void *ctx)
{
    (void)job;
    (void)ctx;
    return true;
}

void cache_destroy(struct cache *c)
{
    if (c == NULL) {
        return;
    }
    cache_write_touches(c, SIZE_MAX);
    cache_hand_over(c);
    store_close(c->store);
    loop_defer_cancel(c->loop, &c->rest);
    pending_drop_if(&c->pending, is_any, NULL);
    loop_timer_destroy(c->retry);
    loop_timer_destroy(c->touch);
    loop_waker_destroy(c->waker);
    figure_times_free(&c->commits);
    touches_free(&c->touches);
    buf_free(&c->memo.head);
    free(c->dir);
    free(c);
}

void cache_configure(struct cache *c, const struct cache_settings *settings)
{
    bool changed = settings->max_size != c->settings.max_size ||
                   settings->durability != c->settings.durability;
    c->settings = *settings;
    if (changed && c->store != NULL) {
        store_configure(c->store, settings->max_size, settings->durability == DURABILITY_GROUP);
    }
}

void cache_set_means_fn(struct cache *c, cache_means_fn fn)
{
    c->means = fn;
}

const struct hash_secret *cache_secret(const struct cache *c)
{
    return &c->secret;
}

const char *cache_state(const struct cache *c)
{
    return c->state;
}

uint64_t cache_generation(const struct cache *c)
{
    return c->generation;
}

uint64_t cache_openings(const struct cache *c)
{
    return c->openings;
}

void cache_hold_writer(struct cache *c, bool hold)
{
    if (c->store != NULL) {
        store_hold(c->store, hold);
    }
}

void cache_flush(struct cache *c)
{
    if (c->store != NULL) {
        cache_hand_over(c);
        store_flush(c->store);
    }
    collect(c, SIZE_MAX);
}
