/* call.c: the upstream call of a flight, from its start to its end: what is sent, what comes back, and
 * how long it may take. call_result.c says what comes of it.
 *
 * Tasks are asked for as a stream where that is possible, because a model server notices a closed
 * client only when it writes, and put together again (dialect/answer.h). Nothing reaches a client
 * before the stream has ended, so an error inside it becomes a proper status.
 *
 * Timers are ours, in the loop's time: first_byte_timeout until the first piece of the answer's
 * body (llama.cpp sends the head of a stream before it has a slot, so the head says nothing), then
 * stall_timeout between two pieces, and at the end END_WAIT behind the last piece that an answer
 * needs: not every server sends an end mark or closes. Behind a finish reason that is doubted it is
 * stall_timeout, unless the answer has its form. No wait goes beyond answer_timeout, which counts from
 * the beginning of the call: a server that sends a byte now and then is never silent.
 */
#include "path/flight/flight_priv.h"

static const usec_t END_WAIT = USEC_PER_S;

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length);
static bool on_data(void *ctx, struct span piece);
static void on_done(void *ctx, const struct upstream_report *report);

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = NULL, .on_done = on_done};

static void reset_answer(struct flight *f)
{
    assembler_free(&f->assembler);
    f->assembling = false;
    suggestion_reader_free(&f->reader);
    buf_free(&f->raw_headers);
    buf_init(&f->raw_headers, FLIGHT_HEAD_MAX);
    buf_free(&f->raw_body);
    buf_init(&f->raw_body, FLIGHT_RAW_MAX);
    f->raw_over = false;
    f->fits = false;
    f->status = 0;
    f->first_data = (mono_t){0};
    f->last_data = (mono_t){0};
    f->ending = false;
    (void)flight_count_memory(f); /* less than before */
}

/* What is left of answer_timeout. */
static usec_t answer_left(const struct flight *f)
{
    usec_t took = mono_diff(loop_now(f->table->parts.loop), f->started);
    return took < flight_upstream(f)->answer_timeout ? flight_upstream(f)->answer_timeout - took
                                                     : 0;
}

/* Until the next piece. */
static void wait_for(struct flight *f, usec_t most)
{
    usec_t left = answer_left(f);
    loop_timer_start(f->timer, most < left ? most : left);
}

void call_start(struct flight *f)
{
    struct flight_table *t = f->table;
    struct upstream_settings *to = flight_upstream(f);
    f->cut = false;
    reset_answer(f);
    struct upstream_request req;
    wire_make(f, &req);
    f->ticket.job.loads = to->one_model || to->dialect == DIALECT_CHOICE_OLLAMA ||
                          probe_sort(flight_server(f), to) == SERVER_OLLAMA;
    f->started = loop_now(t->parts.loop);
    flight_pace(f)->tried_at = f->started;
    flight_task_figures(f)->upstream_calls++;
    behind_called(f);
    flight_released(f);
    schedule_called(&f->ticket.job);
    flight_server(f)->figures->calls++;
    flight_server(f)->figures->running++;
    wait_for(f, to->first_byte_timeout);
    f->call = upstream_start(t->parts.pool, &req, &events, f);
}

/* Model time of a call, whole or cut off: the server's own durations, which include the prompt;
 * where it says none, from the request's going out to the last byte of a whole answer, else until
 * now. */
static usec_t model_time(const struct flight *f, bool whole)
{
    if (f->assembling && f->assembler.answer.model_time > 0) { /* a server that says 0 says none */
        return f->assembler.answer.model_time;
    }
    mono_t end = whole && f->last_data.us != 0 ? f->last_data : loop_now(f->table->parts.loop);
    return mono_diff(end, f->started);
}

/* The call is over, however: exactly once for each call_start. Its time is spent; whether it is
 * wasted as well depends on what becomes of its answer. */
static void call_ended(struct flight *f, int64_t *how, usec_t took)
{
    (*how)++;
    f->call = NULL;
    f->took = took;
    flight_task_figures(f)->upstream_us += took;
    flight_user_figures(f, f->spec.user)->spent_us += took;
    flight_server(f)->figures->running--;
    loop_timer_stop(f->timer);
}

void call_wasted(struct flight *f)
{
    flight_task_figures(f)->wasted_us += f->took;
    flight_user_figures(f, f->spec.user)->wasted_us += f->took;
    f->took = 0;
}

/* A completion that was cut off says that such calls take at least that long. */
static void note_slowness(struct flight *f)
{
    usec_t took = mono_diff(loop_now(f->table->parts.loop), f->started);
    usec_t limit = flight_policy(f)->max_expected;
    usec_t expected = pace_expected_for(flight_pace(f), f->spec.body.len);
    if (limit > 0 && took > limit && took > expected) {
        pace_add(flight_pace(f), took, f->spec.body.len);
    }
}

void call_abort(struct flight *f)
{
    if (f->call == NULL) {
        return;
    }
    upstream_abort(f->call);
    f->cut = true;
    if (f->first_data.us == 0) {
        behind_read(f);
    }
    note_slowness(f);
    call_ended(f, &flight_server(f)->figures->aborted, model_time(f, false));
    call_wasted(f);
    failure_forget_trial(f);
}

static enum flight_event over(struct flight *f, const struct upstream_report *report);

/* Whether the silence is no end yet: the finish reason came beside text, and more text may come. What
 * has the kind's form lacks none. */
static bool may_go_on(const struct flight *f)
{
    return f->ending && f->assembling && f->assembler.finish_seen && f->assembler.finish_doubted &&
           !f->assembler.ended && !call_has_form(f);
}

enum flight_event call_timer(struct flight *f)
{
    if (may_go_on(f)) {
        f->ending = false;
        wait_for(f, flight_upstream(f)->stall_timeout - END_WAIT);
        return FLIGHT_EVENT_NONE;
    }
    if (f->ending || (f->assembling && f->assembler.finish_seen)) {
        /* all of the answer is there, and the server neither ends it nor goes on */
        const struct upstream_report report = {.result = UPSTREAM_DONE, .got_head = true};
        upstream_abort(f->call);
        return over(f, &report);
    }
    const char *why = answer_left(f) == 0     ? "no whole answer within answer_timeout"
                      : f->first_data.us == 0 ? "no answer within first_byte_timeout"
                                              : "silence for longer than stall_timeout";
    call_abort(f);
    return call_fail(f, HTTP_ERROR_UPSTREAM_TIMEOUT, why);
}

/* Whether a body with an answer belongs to that status. */
static bool has_answer(int status)
{
    return status / 100 == 2 && status != 204 && status != 205;
}

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length)
{
    struct flight *f = ctx;
    (void)reason;
    (void)content_length;
    f->status = status;
    for (size_t i = 0; i < count; i++) {
        if (!span_eq_nocase(headers[i].name, SPAN("Content-Length"))) {
            (void)http_lines_add(&f->raw_headers, &headers[i]); /* over the bound: left out */
        }
    }
    if (has_answer(status)) {
        assembler_init(&f->assembler, f->wire, http_field(headers, count, SPAN("Content-Type")));
        f->assembling = true;
    }
}

/* How long it may stay silent now. What comes behind the end of an answer, or behind what is held of
 * one, does not prolong it; text of the answer does (`said`). */
static void arm_silence(struct flight *f, bool said)
{
    bool finished = f->assembling ? assembler_finished(&f->assembler) : f->raw_over;
    if (!finished || !f->ending || said) {
        wait_for(f, finished ? END_WAIT : flight_upstream(f)->stall_timeout);
    }
    f->ending = finished;
}

/* Bytes of the answer's texts so far. */
static size_t text_size(const struct flight *f)
{
    const struct answer *a = &f->assembler.answer;
    return f->assembling ? a->content.len + a->thinking.len : 0;
}

/* max_buffered is used up, or there is no memory: not the server's fault. */
static enum flight_event no_room(struct flight *f, const char *why)
{
    call_abort(f);
    if (f->has_first) {
        return call_use_first(f);
    }
    f->end = (struct flight_end){.result = FLIGHT_RESULT_FAILED,
                                 .error = HTTP_ERROR_BUSY,
                                 .why = why,
                                 .upstream_failed = true};
    flight_task_figures(f)->not_stored++;
    return FLIGHT_EVENT_FAILED;
}

static bool on_data(void *ctx, struct span piece)
{
    struct flight *f = ctx;
    mono_t now = loop_now(f->table->parts.loop);
    if (f->first_data.us == 0) {
        f->first_data = now;
        if (prefix_is_read(f->status)) {
            behind_read(f);
        }
    }
    f->last_data = now;
    size_t had = text_size(f);
    if (f->assembling) {
        assembler_feed(&f->assembler, piece);
        f->ticket.job.answering = f->assembler.first_token_seen;
    }
    gate_first_byte(f->table->parts.gate, &f->ticket, f->assembling);
    arm_silence(f, text_size(f) > had);
    /* Kept as it came where it may have to be passed on so: errors, and answers asked for as
     * written. */
    enum err kept = ERR_OK;
    if ((!f->assembling || f->asked.sent == 0) && !f->raw_over) {
        kept = buf_append_span(&f->raw_body, piece);
        f->raw_over = kept != ERR_OK;
    }
    if (kept == ERR_NOMEM || f->assembler.no_memory) {
        flight_apply(f, no_room(f, "out of memory"));
        return true;
    }
    if (!flight_count_memory(f)) {
        flight_apply(f, no_room(f, "max_buffered is used up by bodies and answers"));
        return true;
    }
    completion_progress(f);
    if (f->detached && f->for_load && list_empty(&f->followers)) {
        flight_drop(f, FLIGHT_EVENT_LEFT); /* the model is loaded */
    }
    return true;
}

/* Of an answer without an end mark: where only the close ended it, it may be cut; else what has the
 * kind's form lacks nothing. */
static enum assembled without_mark(const struct flight *f, const struct upstream_report *report)
{
    return !report->close_delimited && call_has_form(f) ? ASSEMBLED_WHOLE : ASSEMBLED_UNMARKED;
}

/* Why an answer is no whole one though its transport ended well; NULL: it is. */
static const char *why_broken(const struct upstream_report *report, enum assembled how)
{
    if (how == ASSEMBLED_TOO_LARGE) {
        return "the answer is larger than lull holds";
    }
    if (how != ASSEMBLED_INCOMPLETE && how != ASSEMBLED_UNMARKED) {
        return NULL;
    }
    return report->close_delimited ? "the connection was closed before the end of the answer"
                                   : "the answer ended without its end mark";
}

/* Ends the books of the call, and says what comes of it. */
static enum flight_event over(struct flight *f, const struct upstream_report *report)
{
    struct server *server = flight_server(f);
    struct upstream_figures *up = server->figures;
    bool whole = report->result == UPSTREAM_DONE;
    bool reached = report->result != UPSTREAM_UNREACHABLE;
    f->answer_begun = f->assembling && assembler_begun(&f->assembler);
    enum assembled how = f->assembling ? assembler_finish(&f->assembler, whole) : ASSEMBLED_WHOLE;
    how = how == ASSEMBLED_UNMARKED ? without_mark(f, report) : how;
    const char *broke = whole ? why_broken(report, how) : report->why;
    if (!report->no_memory) {
        server_note_reached(server, flight_upstream(f), reached, report->why);
    }
    call_ended(f, broke == NULL ? &up->finished : &up->failed, reached ? model_time(f, whole) : 0);
    return whole ? call_result(f, how, broke) : call_broken(f, report);
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct flight *f = ctx;
    struct upstream_call *call = f->call;
    enum flight_event event = over(f, report);
    if (!f->fits) { /* it may be an answer that no request asked for */
        upstream_distrust_answer(call);
    }
    flight_apply(f, event);
}
