/* moves.c: see moves.h. */
#include "scenario/moves.h"
#include "scenario/moves_priv.h"

#include "support/fake_loop.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 17 };

enum move {
    MOVE_ASK,
    MOVE_SEND_ON,
    MOVE_LEAVE,
    MOVE_MODEL,
    MOVE_TIME,
    MOVE_LOOK,
    MOVE_RELOAD,
    MOVE_CONTROL,
    MOVE_CLOCK,
    MOVE_PROBES,
    MOVE_RESTART,
    MOVE_DISK,
    MOVE_MEMORY,
    MOVES
};

static size_t counts[MOVES];

unsigned pick(struct game *g, unsigned n)
{
    unsigned value = g->at < g->len ? g->bytes[g->at++] : 0;
    if (n > 256) {
        value = value << 8 | (g->at < g->len ? g->bytes[g->at++] : 0);
    }
    return n > 0 ? value % n : 0;
}

/* ---- what is not a client's and not a model's ---- */

static const char *const values[SETS][5] = {
    {"task.autocomplete.debounce=auto", "task.autocomplete.debounce=off",
     "task.autocomplete.debounce=300ms", "upstream.other.machine=localhost",
     "task.autocomplete.debounce=off"},
    {"task.autocomplete.deadline=off", "task.autocomplete.deadline=auto",
     "task.autocomplete.deadline=500ms", "task.autocomplete.max_expected=0s",
     "task.autocomplete.deadline=off"},
    {"upstream.default.slots=auto", "upstream.default.slots=2", "upstream.default.slots=6",
     "upstream.default.slots=0", "upstream.default.one_model=yes"},
    {"tasks.fallback=", "tasks.fallback=other", "upstream.other.one_model=yes",
     "tasks.yield=when_full", "tasks.fallback=other"},
    {"upstream.other.dialect=auto", "upstream.other.dialect=ollama",
     "upstream.other.dialect=openai", "upstream.other.dialect=ollama",
     "upstream.default.dialect=openai"},
    {"tasks.upstream=", "tasks.upstream=other", "tasks.stale_if_error=1h", "tasks.model=small",
     "upstream.other.machine=localhost"},
    {"tasks.mode=on", "tasks.yield=never", "tasks.mode=observe", "tasks.mode=off", "tasks.mode=on"},
    {"cache.type_through=yes", "cache.type_through=no", "cache.type_through_entries=3",
     "cache.keep_requests=no", "cache.durability=os"},
    {"upstream.default.rewarm=off", "upstream.default.rewarm=on", "upstream.default.rewarm=auto",
     "upstream.other.rewarm=on", "upstream.default.rewarm=off"},
    {"tasks.scope=auto", "tasks.scope=auto", "tasks.scope=user", "task.title.scope=user",
     "tasks.scope=auto"},
    {"task.title.prefix=auto", "task.title.prefix=chat", "task.follow_up.prefix=chat",
     "tasks.think=off", "task.title.json_schema=yes"},
    {"tasks.settle=1s", "tasks.settle=0s", "tasks.max_hold=2s", "tasks.queue=1",
     "tasks.max_requeue=0"},
    {"task.title.ttl=7d", "task.title.ttl=1s", "task.title.cache=no", "task.title.enabled=no",
     "task.tool_selection.cache=yes"},
    {"server.max_buffered=256MB", "server.max_task_body=1KB", "server.idle_timeout=5s",
     "upstream.default.breaker_failures=1", "server.body_timeout=2s"},
    {"upstream.other.api_key=", "upstream.default.api_key=k1", "server.max_buffered=64KB",
     "upstream.other.api_key=k2", "server.client_token="},
    {"tasks.stale_if_error=0s", "tasks.stale_if_error=1h", "tasks.stale_if_error=1m",
     "tasks.stale_if_error=1h", "tasks.ttl=1s"},
    {"upstream.default.one_model=no", "upstream.default.one_model=yes",
     "upstream.default.dialect=ollama", "upstream.default.dialect=ollama", "tasks.prefix=chat"},
};

static void draw_sets(struct game *g, const char *sets[SETS + 4])
{
    size_t n = 0;
    sets[n++] = "upstream.other.url=http://other.test";
    sets[n++] = "upstream.default.first_byte_timeout=20s";
    sets[n++] = "upstream.default.stall_timeout=20s";
    for (size_t i = 0; i < SETS; i++) {
        sets[n++] = values[i][pick(g, 3) == 0 ? pick(g, 5) : 0]; /* mostly as it comes */
    }
    sets[n] = NULL;
}

static void reload(struct game *g)
{
    const char *sets[SETS + 4];
    draw_sets(g, sets);
    if (!world_draining(g->world)) {
        world_reload(g->world, sets);
    }
}

static void let_time_pass(struct game *g)
{
    static const usec_t times[] = {0,
                                   20 * USEC_PER_MS,
                                   90 * USEC_PER_MS,
                                   300 * USEC_PER_MS,
                                   700 * USEC_PER_MS,
                                   1500 * USEC_PER_MS,
                                   3 * USEC_PER_S,
                                   30 * USEC_PER_S};
    usec_t most = times[pick(g, pick(g, 4) == 0 ? 8 : 5)];
    daemon_enter();
    world_pass(g->world, most / 8 * (1 + pick(g, 8)));
    daemon_leave();
}

static void move_clock(struct game *g)
{
    static const int64_t steps[] = {3600, -3600, 86400, -2 * 86400, 40 * 86400, 1, -5, 0};
    g->wall += steps[pick(g, 8)] * USEC_PER_S;
    fake_loop_set_wall_offset(world_loop(g->world), g->wall);
}

static void set_probes(struct game *g)
{
    static const enum world_probes how[] = {PROBES_ANSWERED, PROBES_ANSWERED, PROBES_MUTE,
                                            PROBES_REFUSED,  PROBES_OLLAMA,   PROBES_LOOP};
    world_probes(g->world, how[pick(g, 6)]);
    world_props(g->world, (int)pick(g, 5));
}

static void restart(struct game *g)
{
    if (pick(g, 2) == 0) { /* what is open may finish first */
        struct client *c = client_open_at(g->world, world_control_path(g->world));
        static const char drain[] = "POST /drain HTTP/1.1\r\nHost: lull\r\n\r\n";
        client_try_send(c, drain, sizeof drain - 1);
        models_move(g);
        world_pass(g->world, USEC_PER_S);
    }
    people_look(g);
    people_forget(g);
    models_forget(g);
    disk_go_on();
    world_restart(g->world);
}

static void play(struct game *g, enum move m)
{
    counts[m]++;
    switch (m) {
    case MOVE_ASK:
        people_ask(g);
        break;
    case MOVE_SEND_ON:
        people_send_on(g);
        break;
    case MOVE_LEAVE:
        people_leave(g);
        break;
    case MOVE_MODEL:
        models_move(g);
        break;
    case MOVE_TIME:
        let_time_pass(g);
        break;
    case MOVE_LOOK:
        people_look(g);
        break;
    case MOVE_RELOAD:
        reload(g);
        break;
    case MOVE_CONTROL:
        control_ask(g);
        break;
    case MOVE_CLOCK:
        move_clock(g);
        break;
    case MOVE_PROBES:
        set_probes(g);
        break;
    case MOVE_RESTART:
        restart(g);
        break;
    case MOVE_DISK:
        disk_move(g);
        break;
    case MOVE_MEMORY:
        memory_short(pick(g, 12));
        break;
    case MOVES:
        break;
    }
}

static enum move draw(struct game *g)
{
    static const unsigned char shares[MOVES] = {
        [MOVE_ASK] = 68,  [MOVE_SEND_ON] = 8, [MOVE_LEAVE] = 8,   [MOVE_MODEL] = 88,
        [MOVE_TIME] = 44, [MOVE_LOOK] = 6,    [MOVE_RELOAD] = 4,  [MOVE_CONTROL] = 10,
        [MOVE_CLOCK] = 4, [MOVE_PROBES] = 5,  [MOVE_RESTART] = 3, [MOVE_DISK] = 5,
        [MOVE_MEMORY] = 3};
    unsigned value = pick(g, 256);
    int m = 0;
    while (m < MOVES - 1 && value >= shares[m]) {
        value -= shares[m++];
    }
    return (enum move)m;
}

/* Descriptors of this process. */
static size_t descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

void moves_play(const uint8_t *bytes, size_t len)
{
    static struct game g;
    g = (struct game){.bytes = bytes, .len = len, .next_chat = FIRST_CHAT};
    const char *sets[SETS + 4];
    size_t before = descriptors();
    log_setup(getenv("MOVES_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    draw_sets(&g, sets);
    g.world = world_begin(sets);
    world_control(g.world);
    set_probes(&g);
    g.people = people_create(&g);
    while (g.at < g.len && g.next_chat < 900) {
        play(&g, draw(&g));
        order_check(&g);
        tally_check_open(&g);
    }
    disk_end(&g);
    memory_is_back();
    if (len % 2 == 1) {
        models_answer_all(&g);
    }
    models_end_all(&g);
    people_look(&g);
    people_check_end(&g);
    order_check_end(&g);
    people_destroy(g.people);
    world_end(g.world);
    require(descriptors() == before);
}

const char *moves_counted(void)
{
    static const char *const names[MOVES] = {"ask",     "send on", "leave",   "model", "time",
                                             "look",    "reload",  "control", "clock", "probes",
                                             "restart", "disk",    "memory"};
    static char text[512];
    size_t at = 0;
    for (int m = 0; m < MOVES; m++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %zu", m == 0 ? "" : ", ",
                               names[m], counts[m]);
    }
    return text;
}
