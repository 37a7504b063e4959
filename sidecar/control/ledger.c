/* ledger.c: keeps the savings of 35 days over restarts.
 *
 *   figures' totals --(difference, once a minute)--> today's record --> a note of the cache
 *
 * Every TICK, and whenever the days are shown, what the totals of each kind have grown by since the
 * look before is added to the record of the local date (days.c). Every TICK, records that changed
 * are written as notes "day/DATE" into the cache's data file, and the writer thread commits them
 * within a second: a process that is killed loses the last minute at most. A minute that begins
 * before midnight counts for the day in which it ends. Users are known by the digest that
 * conversation_user() makes, and rows of users are cleared at every look.
 *
 * All days are in memory. They are read once, when the cache is first on; what was counted before
 * (with the cache off) is added to what the file has. From then on memory is the record: when the
 * cache comes on again, with the same file or with a new one, every day is written again. While the
 * cache is off, the days are in memory only.
 */
#include "control/control_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t TICK = 60 * USEC_PER_S;
static const char PREFIX[] = "day/";

struct ledger {
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct loop_timer *timer;
    struct days days;
    struct savings *last; /* the totals at the last look, by the rows of figures->tasks */
    size_t last_count;
    uint64_t openings;   /* of the cache, as of the last look */
    char date[DAY_DATE]; /* of the last look; "": none yet */
};

static void take_note(void *ctx, const char *name, struct span value)
{
    struct days *days = ctx;
    const char *date = name + sizeof PREFIX - 1;
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0 || !day_is_date(date)) {
        return;
    }
    struct day *d = days_get(days, date);
    if (d != NULL) {
        (void)day_decode(d, value);
    }
}

static void write_all_again(struct ledger *l)
{
    for (size_t i = 0; i < l->days.count; i++) {
        l->days.items[i]->dirty = true;
    }
}

/* Follows the cache: reads the days when it is first on, and has them written again later. */
static void follow_cache(struct ledger *l)
{
    uint64_t openings = cache_openings(l->cache);
    if (openings == l->openings) {
        return;
    }
    if (l->openings == 0) {
        cache_each_note(l->cache, take_note, &l->days);
    } else {
        write_all_again(l);
    }
    l->openings = openings;
}

static bool is_zero(const struct savings *s)
{
    static const struct savings zero;
    return memcmp(s, &zero, sizeof zero) == 0;
}

/* Adds what the totals have grown by to today's record. */
static void add_growth(struct ledger *l, struct day *today)
{
    const struct figures *f = l->figures;
    if (l->last_count < f->task_count) {
        l->last = mem_have(realloc(l->last, f->task_count * sizeof *l->last));
        memset(l->last + l->last_count, 0, (f->task_count - l->last_count) * sizeof *l->last);
        l->last_count = f->task_count;
    }
    for (size_t i = 0; i < f->task_count; i++) {
        struct savings now = figures_savings(f->tasks[i]);
        struct savings growth = now;
        savings_subtract(&growth, &l->last[i]);
        if (!is_zero(&growth)) {
            day_rows_add(&today->kinds, f->tasks[i]->name, &growth);
            today->dirty = true;
        }
        l->last[i] = now;
    }
}

/* The users' rows hold what was counted since the look before. */
static void add_users(struct ledger *l, struct day *today)
{
    for (size_t i = 0; i < l->figures->user_count; i++) {
        const struct user_figures *u = &l->figures->users[i];
        char name[16];
        snprintf(name, sizeof name, "%08x", (unsigned)u->user);
        if (!is_zero(&u->sum)) {
            day_rows_add(&today->users,
                         u->user == FIGURE_USER_NONE     ? "none"
                         : u->user == FIGURE_USER_OTHERS ? DAY_OTHERS
                                                         : name,
                         &u->sum);
            today->dirty = true;
        }
    }
    figures_users_clear(l->figures);
}

static void update(struct ledger *l)
{
    char date[DAY_DATE];
    wall_t now = loop_wall(l->loop);
    day_date(now, 0, date);
    follow_cache(l);
    if (strcmp(date, l->date) < 0) {
        write_all_again(l); /* by a clock that was ahead, their notes may have expired */
    }
    memcpy(l->date, date, sizeof date);
    days_drop_old(&l->days, now);
    struct day *today = days_get(&l->days, date);
    if (today != NULL) { /* else the clock is wrong: it counts when the clock is right */
        add_growth(l, today);
        add_users(l, today);
    }
}

static void write_days(struct ledger *l)
{
    for (size_t i = 0; i < l->days.count; i++) {
        struct day *d = l->days.items[i];
        struct buf text = {.max = CACHE_NOTE_MAX};
        struct buf name = {.max = CACHE_NOTE_NAME};
        if (!d->dirty) {
            continue;
        }
        day_encode(d, &text);
        require_ok(buf_printf(&name, "%s%s%c", PREFIX, d->date, '\0'));
        d->dirty = text.len == 0 || cache_store_note(l->cache, name.data, buf_span(&text),
                                                     day_expires(d->date)) != ERR_OK;
        buf_free(&text);
        buf_free(&name);
    }
}

static void on_tick(void *ctx)
{
    struct ledger *l = ctx;
    update(l);
    write_days(l);
    loop_timer_start(l->timer, TICK);
}

struct ledger *ledger_create(struct loop *loop, struct figures *figures, struct cache *cache)
{
    struct ledger *l = mem_new(sizeof *l);
    l->loop = loop;
    l->figures = figures;
    l->cache = cache;
    l->timer = loop_timer_create(loop, on_tick, l);
    update(l);
    loop_timer_start(l->timer, TICK);
    return l;
}

void ledger_destroy(struct ledger *l)
{
    if (l == NULL) {
        return;
    }
    update(l);
    write_days(l);
    loop_timer_destroy(l->timer);
    days_free(&l->days);
    free(l->last);
    free(l);
}

struct day *const *ledger_days(struct ledger *l, int days, size_t *count)
{
    char first[DAY_DATE], last[DAY_DATE];
    wall_t now = loop_wall(l->loop);
    size_t from = 0;
    update(l);
    day_date(now, days - 1, first);
    day_date(now, 0, last);
    *count = days_between(&l->days, first, last, &from);
    return &l->days.items[from];
}
