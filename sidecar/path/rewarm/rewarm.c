/* rewarm.c: see rewarm.h. One row per machine: the conversation that ended last there, the jobs
 * since, and the rewarm call in progress. Per upstream, the time to first token of turns without
 * tasks before them, after tasks, and after a rewarm: `auto` decides by these.
 *
 * `auto` starts after two turns that followed tasks. While no turn without tasks was measured, one
 * call is made as a trial; from then on only where tasks were measured to delay the next turn.
 */
#include "lull/path/rewarm/rewarm.h"

#include "lull/path/dialect/warmup.h"

#include <stdlib.h>

static const usec_t REST = USEC_PER_S; /* idle for this long: the tasks of the turn have ended */
static const usec_t LOSS_LEAST = 200 * USEC_PER_MS;
static const usec_t LONGEST = 120 * USEC_PER_S; /* of a call */
enum { MACHINES = 16, UPSTREAMS = 32, TRIAL_AFTER = 2, TRIES = 2, REWARM_MAX = 4 * 1024 * 1024 };

struct row {
    char *machine; /* NULL: free */
    mono_t used;
    struct rewarm *all;
    /* the conversation that ended last there */
    unsigned number; /* of its server */
    struct schedule_conversation conversation;
    uint64_t displacing; /* jobs of its upstream that displace what is cached, by then */
    bool rewarmed;
    uint64_t displacing_then; /* the same when it was rewarmed */
    unsigned tries;
    /* its request; settings NULL: not kept */
    struct settings *settings;
    int to;
    struct buf memory;
    struct server *server;
    struct span model, target, body;
    struct prefix_place place;
    struct http_header *headers;
    size_t header_count;
    /* the call under way */
    struct upstream_call *call;
    int status; /* of its answer; 0: none yet */
    mono_t began;
};

struct measured {
    unsigned number;                     /* of the server; 0: free */
    usec_t token[TURN_AFTER_REWARM + 1]; /* smoothed */
    unsigned count[TURN_AFTER_REWARM + 1];
};

struct rewarm {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct figures *figures;
    struct loop_timer *timer;
    struct row rows[MACHINES];
    struct measured measured[UPSTREAMS];
};

struct rewarm *rewarm_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule, struct figures *figures)
{
    struct rewarm *r = mem_new(sizeof *r);
    r->loop = loop;
    r->pool = pool;
    r->schedule = schedule;
    r->figures = figures;
    r->timer = loop_timer_create(loop, rewarm_look, r);
    return r;
}

/* ---- the call ---- */

static void forget_request(struct row *row)
{
    buf_free(&row->memory);
    free(row->headers);
    row->headers = NULL;
    settings_unref(row->settings);
    row->settings = NULL;
}

static struct upstream_figures *figures_of(const struct row *row)
{
    return figures_upstream(row->all->figures, row->settings->upstreams[row->to].name);
}

/* Its slot holds the conversation again; of a call that broke off, some beginning of it. */
static void note_slot(const struct row *row, bool finished)
{
    const struct upstream_settings *to = &row->settings->upstreams[row->to];
    struct prefix_place read = finished ? row->place : (struct prefix_place){.conversation = 0};
    if (row->place.conversation != 0) {
        prefix_read_chat(server_model(row->server, row->model),
                         schedule_slots(row->all->schedule, to), read);
    }
}

static void call_over(struct row *row, bool finished, bool aborted)
{
    bool refused = finished && row->status / 100 != 2; /* what its slot holds stays */
    struct upstream_figures *up = figures_of(row);
    up->running--;
    up->finished += finished ? 1 : 0;
    up->aborted += aborted ? 1 : 0;
    up->failed += !finished && !aborted ? 1 : 0;
    up->rewarm_us += mono_diff(loop_now(row->all->loop), row->began);
    if (!refused) {
        note_slot(row, finished);
    }
    row->call = NULL;
    row->rewarmed = finished && !refused;
    row->displacing_then =
        schedule_count(row->all->schedule, &row->settings->upstreams[row->to]).displacing;
    if (!aborted || row->tries >= TRIES) {
        forget_request(row);
    }
}

/* Its request stays: a call that was aborted for a task may be tried once more after it. */
static void abort_call(struct row *row)
{
    if (row->call != NULL) {
        upstream_abort(row->call);
        call_over(row, false, true);
    }
}

static void drop_request(struct row *row)
{
    abort_call(row);
    forget_request(row);
}

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length)
{
    struct row *row = ctx;
    (void)reason;
    (void)headers;
    (void)count;
    (void)content_length;
    row->status = status;
}

static bool on_data(void *ctx, struct span piece)
{
    (void)ctx;
    (void)piece;
    return true;
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    call_over(ctx, report->result == UPSTREAM_DONE, false);
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = NULL, .on_done = on_done};

static void begin_call(struct row *row)
{
    struct upstream_figures *up = figures_of(row);
    struct upstream_request request = {.to = &row->settings->upstreams[row->to],
                                       .method = SPAN("POST"),
                                       .target = row->target,
                                       .headers = row->headers,
                                       .header_count = row->header_count,
                                       .body = row->body,
                                       .content_length = -1};
    up->calls++;
    up->running++;
    up->rewarms++;
    row->tries++;
    row->status = 0;
    row->began = loop_now(row->all->loop);
    row->call = upstream_start(row->all->pool, &request, &events, row);
}

/* ---- rows ---- */

static struct row *row_find(struct rewarm *r, const char *machine)
{
    for (size_t i = 0; i < MACHINES; i++) {
        if (r->rows[i].machine != NULL && strcmp(r->rows[i].machine, machine) == 0) {
            return &r->rows[i];
        }
    }
    return NULL;
}

static void row_clear(struct row *row)
{
    drop_request(row);
    free(row->machine);
    *row = (struct row){.machine = NULL};
}

static struct row *row_of(struct rewarm *r, const char *machine)
{
    struct row *row = row_find(r, machine);
    if (row == NULL) {
        row = &r->rows[0];
        for (size_t i = 1; i < MACHINES && row->machine != NULL; i++) {
            row =
                r->rows[i].machine == NULL || r->rows[i].used.us < row->used.us ? &r->rows[i] : row;
        }
        row_clear(row);
        row->all = r;
        row->machine = mem_strdup(machine);
    }
    return row;
}

void rewarm_destroy(struct rewarm *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < MACHINES; i++) {
        row_clear(&r->rows[i]);
    }
    loop_timer_destroy(r->timer);
    free(r);
}

static struct measured *measured_of(struct rewarm *r, const struct upstream_settings *to)
{
    for (size_t i = 0; i < UPSTREAMS; i++) {
        struct measured *m = &r->measured[i];
        if (m->number == 0) {
            m->number = to->server;
        }
        if (m->number == to->server) {
            return m;
        }
    }
    return &r->measured[UPSTREAMS - 1]; /* servers beyond UPSTREAMS share the last row */
}

/* Whether tasks there were measured to cost the next turn its cached prefix. */
static bool is_lossy(struct rewarm *r, const struct upstream_settings *to)
{
    const struct measured *m = measured_of(r, to);
    enum turn_gap good = m->count[TURN_ALONE] > 0 ? TURN_ALONE : TURN_AFTER_REWARM;
    if (m->count[TURN_AFTER_TASKS] < TRIAL_AFTER) {
        return false;
    }
    usec_t loss = m->token[TURN_AFTER_TASKS] - m->token[good];
    return m->count[good] == 0 || (loss > LOSS_LEAST && loss > m->token[good] / 2);
}

static bool is_wanted(struct rewarm *r, const struct upstream_settings *to)
{
    return to->rewarm == REWARM_ON || (to->rewarm == REWARM_AUTO && is_lossy(r, to));
}

/* ---- chats ---- */

static bool is_same(const struct schedule_conversation *a, const struct schedule_conversation *b)
{
    return hash_key_eq(a->person, b->person) && hash_key_eq(a->chat, b->chat);
}

enum turn_gap rewarm_chat_began(struct rewarm *r, const struct upstream_settings *to,
                                const struct schedule_conversation *whose, bool first_turn)
{
    struct row *row = row_find(r, to->machine);
    enum turn_gap gap = TURN_UNKNOWN;
    if (row == NULL) {
        return gap;
    }
    drop_request(row);
    if (!first_turn && row->number == to->server && is_same(&row->conversation, whose)) {
        bool tasks = schedule_count(r->schedule, to).displacing != row->displacing;
        bool rewarmed =
            row->rewarmed && schedule_count(r->schedule, to).displacing == row->displacing_then;
        gap = rewarmed ? TURN_AFTER_REWARM : tasks ? TURN_AFTER_TASKS : TURN_ALONE;
    }
    row_clear(row);
    return gap;
}

void rewarm_chat_token(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                       usec_t took)
{
    struct measured *m = measured_of(r, to);
    struct upstream_figures *up = figures_upstream(r->figures, to->name);
    mono_t now = loop_now(r->loop);
    if (gap == TURN_UNKNOWN) {
        return;
    }
    m->token[gap] = m->count[gap] == 0 ? took : m->token[gap] + (took - m->token[gap]) / 4;
    m->count[gap]++;
    figure_times_add(gap == TURN_ALONE         ? &up->token_alone
                     : gap == TURN_AFTER_TASKS ? &up->token_after_tasks
                                               : &up->token_after_rewarm,
                     now, took);
}

void rewarm_chat_read(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                      int64_t tokens, int64_t cached)
{
    struct upstream_figures *up = figures_upstream(r->figures, to->name);
    if (gap == TURN_UNKNOWN || tokens < 0 || cached < 0) {
        return;
    }
    int64_t *all = gap == TURN_ALONE         ? &up->turn_tokens_alone
                   : gap == TURN_AFTER_TASKS ? &up->turn_tokens_after_tasks
                                             : &up->turn_tokens_after_rewarm;
    int64_t *kept = gap == TURN_ALONE         ? &up->turn_cached_alone
                    : gap == TURN_AFTER_TASKS ? &up->turn_cached_after_tasks
                                              : &up->turn_cached_after_rewarm;
    *all += tokens;
    *kept += cached;
}

static struct span copy_text(struct row *row, struct span s)
{
    size_t at = row->memory.len;
    if (s.len == 0 || buf_append_span(&row->memory, s) != ERR_OK) {
        return SPAN("");
    }
    return span_make(row->memory.data + at, s.len);
}

static void keep_request(struct row *row, const struct rewarm_chat *chat, struct span body)
{
    size_t need = chat->target.len + chat->model.len + body.len + 1;
    for (size_t i = 0; i < chat->header_count; i++) {
        need += chat->headers[i].name.len + chat->headers[i].value.len;
    }
    buf_init(&row->memory, need);
    if (buf_reserve(&row->memory, need) != ERR_OK) {
        return;
    }
    row->headers = mem_new((chat->header_count + 1) * sizeof *row->headers);
    row->header_count = chat->header_count;
    for (size_t i = 0; i < chat->header_count; i++) {
        row->headers[i].name = copy_text(row, chat->headers[i].name);
        row->headers[i].value = copy_text(row, chat->headers[i].value);
    }
    row->server = chat->server;
    row->place = chat->place;
    row->model = copy_text(row, chat->model);
    row->target = copy_text(row, chat->target);
    row->body = copy_text(row, body);
    row->to = chat->upstream;
    row->settings = settings_ref(chat->settings);
}

void rewarm_chat_ended(struct rewarm *r, const struct rewarm_chat *chat)
{
    const struct upstream_settings *to = &chat->settings->upstreams[chat->upstream];
    struct row *row = row_of(r, to->machine);
    struct buf body = {.max = REWARM_MAX};
    drop_request(row);
    row->number = to->server;
    row->conversation = chat->conversation;
    row->used = loop_now(r->loop);
    row->displacing = schedule_count(r->schedule, to).displacing;
    row->rewarmed = false;
    row->tries = 0;
    if (chat->reply.len > 0 &&
        dialect_warmup_request(chat->body, chat->endpoint, chat->reply, &body) == ERR_OK) {
        keep_request(row, chat, buf_span(&body));
    }
    buf_free(&body);
}

/* Time until the call under way takes too long; -1: it was aborted, since it does, or since its machine is
 * not idle any more. */
static usec_t watch_call(struct row *row, const struct schedule_machine *m)
{
    usec_t took = mono_diff(loop_now(row->all->loop), row->began);
    if (m->idle < 0) {
        abort_call(row);
        return -1;
    }
    if (took >= LONGEST) {
        drop_request(row);
        return -1;
    }
    return LONGEST - took;
}

/* Time until the row is to be looked at again; 0: its call may begin now; -1: no time decides. */
static usec_t due_in(struct row *row)
{
    struct rewarm *r = row->all;
    if (row->machine == NULL || row->settings == NULL) {
        return -1;
    }
    const struct upstream_settings *to = &row->settings->upstreams[row->to];
    struct schedule_machine m = schedule_look_machine(r->schedule, to, loop_now(r->loop));
    if (row->call != NULL) {
        return watch_call(row, &m);
    }
    bool tasks = schedule_count(r->schedule, to).displacing != row->displacing;
    if (m.idle < 0 || !tasks || row->server->replaced || !is_wanted(r, to)) {
        return -1;
    }
    return m.idle >= REST ? 0 : REST - m.idle;
}

void rewarm_look(void *ctx)
{
    struct rewarm *r = ctx;
    usec_t due = -1;
    for (size_t i = 0; i < MACHINES; i++) {
        usec_t left = due_in(&r->rows[i]);
        if (left == 0) {
            begin_call(&r->rows[i]);
            left = LONGEST;
        }
        due = left > 0 && (due < 0 || left < due) ? left : due;
    }
    if (due >= 0) {
        loop_timer_start(r->timer, due);
    } else {
        loop_timer_stop(r->timer);
    }
}
