/* call.c: the upstream call of a flight: what is sent, what comes back, what it means.
 *
 * Tasks are asked for as a stream where that is possible, because a model server notices a closed
 * client only when it writes, and put together again (dialect/answer.h). Nothing reaches a client
 * before the stream has ended, so an error inside it becomes a proper status. A request that
 * lull changed and that fails before its first token is asked once more exactly as the client wrote
 * it, unless the failure is silence or an empty body of a good status; so is one whose answer
 * cannot be shown as one plain answer. server/refusal.c remembers what was refused.
 *
 * Timers are ours, in the loop's time: first_byte_timeout until the first piece of the answer's
 * body (llama.cpp sends the head of a stream before it has a slot, so the head says nothing), then
 * stall_timeout between two pieces, and at the end END_WAIT behind the last piece that an answer
 * needs: not every server sends an end mark or closes. No wait goes beyond answer_timeout, which
 * counts from the beginning of the call: a server that sends a byte now and then is never silent.
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

static enum flight_event fail(struct flight *f, enum http_error error, const char *why)
{
    f->end = (struct flight_end){
        .result = FLIGHT_RESULT_FAILED, .error = error, .why = why, .upstream_failed = true};
    call_wasted(f);
    return failure_next(f, f->status != 0);
}

static enum flight_event over(struct flight *f, const struct upstream_report *report);

enum flight_event call_timer(struct flight *f)
{
    if (f->ending) { /* all of the answer is there, and the server neither ends it nor goes on */
        const struct upstream_report report = {.result = UPSTREAM_DONE, .got_head = true};
        upstream_abort(f->call);
        return over(f, &report);
    }
    const char *why = answer_left(f) == 0     ? "no whole answer within answer_timeout"
                      : f->first_data.us == 0 ? "no answer within first_byte_timeout"
                                              : "silence for longer than stall_timeout";
    call_abort(f);
    return fail(f, HTTP_ERROR_UPSTREAM_TIMEOUT, why);
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
 * one, does not prolong it. */
static void arm_silence(struct flight *f)
{
    bool finished = f->assembling ? assembler_finished(&f->assembler) : f->raw_over;
    if (!finished || !f->ending) {
        wait_for(f, finished ? END_WAIT : flight_upstream(f)->stall_timeout);
    }
    f->ending = finished;
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
        behind_read(f);
    }
    f->last_data = now;
    if (f->assembling) {
        assembler_feed(&f->assembler, piece);
        f->ticket.job.answering = f->assembler.first_token_seen;
    }
    gate_first_byte(f->table->parts.gate, &f->ticket, f->assembling);
    arm_silence(f);
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

/* Statuses that say nothing about what was asked: who asks, or when. */
static bool is_about_request(int status)
{
    return status != 401 && status != 403 && status != 408 && status != 429 && status != 503;
}

/* Whether the call asks otherwise than the client wrote. */
static bool is_changed(const struct flight *f)
{
    return f->asked.sent != 0 || f->is_behind;
}

/* Whether the call that failed with that status (0: with none) is asked once more as the client
 * wrote it. */
static bool may_ask_again(const struct flight *f, int status)
{
    return is_changed(f) && !f->has_first && !f->detached && is_about_request(status);
}

/* broken: the connection, which says nothing about what was asked. */
static enum flight_event ask_again(struct flight *f, bool broken)
{
    call_wasted(f);
    if (f->is_behind) { /* first without the conversation, and with the rest */
        behind_failed(f, broken);
    } else {
        f->again = true;
    }
    return FLIGHT_EVENT_ASKED_AGAIN;
}

/* Once more, after a refusal by status. */
static enum flight_event ask_again_refused(struct flight *f, int status, struct span text)
{
    if (f->is_behind) {
        return ask_again(f, false);
    }
    unsigned sent = f->asked.sent;
    struct span extra = span_of(flight_policy(f)->extra);
    f->refused = (struct refused){.sent = sent,
                                  .trial = sent & f->trial,
                                  .named = addition_named(text, sent, extra),
                                  .status = status};
    return ask_again(f, false);
}

/* The second try for the form of an answer was refused: was it for the schema, which the first one
 * did not have? */
static void note_schema(struct flight *f, int status)
{
    unsigned more = f->has_first ? f->asked.sent & ~f->first->sent : 0;
    if ((more & ADDITION_SCHEMA) != 0 && is_about_request(status)) {
        refusal_certain(flight_model(f), f->wire, ADDITION_SCHEMA, status,
                        loop_now(f->table->parts.loop));
    }
}

static enum flight_event pass_raw(struct flight *f)
{
    if (f->raw_over) {
        return fail(f, HTTP_ERROR_UPSTREAM_BROKE, "the answer is larger than lull holds");
    }
    f->end = (struct flight_end){.result = FLIGHT_RESULT_RAW,
                                 .status = f->status,
                                 .raw_dialect = endpoint_dialect(f->wire),
                                 .raw_headers = buf_span(&f->raw_headers),
                                 .raw_body = buf_span(&f->raw_body),
                                 .model_time = f->took,
                                 .upstream_failed = f->status >= 400 || failure_is_page(f)};
    if (f->end.upstream_failed || list_empty(&f->waiters)) {
        call_wasted(f);
    }
    if (f->end.upstream_failed) {
        return failure_next(f, true);
    }
    failure_success(f);
    flight_task_figures(f)->not_stored++;
    return FLIGHT_EVENT_ANSWERED;
}

/* An error object inside an answer of status 200: its own status, as JSON. */
static enum flight_event pass_error(struct flight *f)
{
    const struct assembler *a = &f->assembler;
    if (a->error_coded) {
        note_schema(f, a->error_status);
    }
    if (may_ask_again(f, a->error_status) && !a->first_token_seen) {
        return a->error_coded ? ask_again_refused(f, a->error_status, buf_span(&a->error))
                              : ask_again(f, false);
    }
    f->end = (struct flight_end){.result = FLIGHT_RESULT_RAW,
                                 .status = f->assembler.error_status,
                                 .raw_dialect = endpoint_dialect(f->wire),
                                 .raw_headers = SPAN("Content-Type: application/json\r\n"),
                                 .raw_body = buf_span(&f->assembler.error),
                                 .upstream_failed = true};
    call_wasted(f);
    return failure_next(f, true);
}

/* Whether the answer has the kind's form, or can be brought into it; otherwise it is asked for once
 * more, by the kind's schema. */
static bool is_fit(struct flight *f, struct flight_end *end)
{
    const struct kind_policy *policy = flight_policy(f);
    struct pace *pace = flight_pace(f);
    struct answer *a = &f->assembler.answer;
    end->verdict = answer_validate(a, policy, f->spec.kind);
    if (end->verdict == ANSWER_BAD && answer_repair(a, policy, f->spec.kind)) {
        end->verdict = answer_validate(a, policy, f->spec.kind);
    }
    bool fit = end->verdict != ANSWER_BAD;
    bool json = policy->shape != KIND_SHAPE_TEXT && policy->shape != KIND_SHAPE_EMOJI &&
                policy->shape_member[0] != '\0';
    if (fit || f->shape_retried) {
        pace->shape_lost = fit ? 0 : pace->shape_lost + 1;
        return true;
    }
    bool typed_on = !list_empty(&f->followers);
    return !json || policy->retry_shape == 0 || f->again || f->detached || typed_on ||
           pace->shape_lost >= FLIGHT_SHAPE_LOST ||
           refusal_has(flight_model(f), f->wire, ADDITION_SCHEMA, loop_now(f->table->parts.loop));
}

static enum flight_event ask_for_shape(struct flight *f)
{
    if (f->has_first) { /* of another upstream: it fell back while it waited */
        flight_waste_first(f);
        answer_free(&f->first->answer);
    } else {
        f->first = mem_new(sizeof *f->first);
    }
    f->shape_retried = true;
    f->has_first = true;
    *f->first = (struct first_try){f->assembler.answer, f->end, f->asked.sent};
    f->first->end.answer = &f->first->answer;
    f->took = 0; /* it is the first end's */
    answer_init(&f->assembler.answer);
    return FLIGHT_EVENT_ASKED_AGAIN;
}

enum flight_event call_use_first(struct flight *f)
{
    f->end = f->first->end;
    call_wasted(f);
    f->first->end.model_time = 0; /* used */
    return FLIGHT_EVENT_ANSWERED;
}

static enum flight_event use_answer(struct flight *f)
{
    mono_t now = loop_now(f->table->parts.loop);
    struct flight_end *end = &f->end;
    *end = (struct flight_end){.result = FLIGHT_RESULT_ANSWER,
                               .answer = &f->assembler.answer,
                               .model_time = f->took,
                               .took = mono_diff(f->last_data, f->started)};
    failure_success(f);
    flight_count_tokens(f->shaped.len, flight_upstream(f), flight_task_figures(f),
                        f->spec.untracked ? NULL : flight_server(f)->figures, end);
    flight_user_figures(f, f->spec.user)->cost += end->cost;
    if (f->again) {
        refusal_proven(flight_model(f), f->wire, &f->refused, now);
    } else {
        refusal_answered(flight_model(f), f->wire, &f->asked, f->trial, now);
    }
    if (!f->spec.untracked) {
        figure_times_add(&flight_server(f)->figures->latency, now, end->took);
    }
    pace_add(flight_pace(f), end->took, f->spec.body.len);
    bool fit = is_fit(f, end);
    behind_answered(f, end->verdict == ANSWER_BAD);
    if (!fit) {
        return ask_for_shape(f);
    }
    /* used, if a waiter takes the answer; an answer before it is not: unlink_flight() */
    f->took = 0;
    return FLIGHT_EVENT_ANSWERED;
}

/* The transport ended well; how: what the assembler says. */
static enum flight_event after_whole(struct flight *f, enum assembled how, const char *broke)
{
    switch (how) {
    case ASSEMBLED_WHOLE:
        return use_answer(f);
    case ASSEMBLED_ERROR:
        return pass_error(f);
    case ASSEMBLED_ODD:
        return f->has_first ? call_use_first(f) : is_changed(f) ? ask_again(f, false) : pass_raw(f);
    case ASSEMBLED_INCOMPLETE:
        if (f->assembler.any && !f->answer_begun && may_ask_again(f, 0)) {
            return ask_again(f, false);
        }
        break; /* an empty body of a good status refuses nothing */
    case ASSEMBLED_TOO_LARGE:
        break;
    }
    return fail(f, HTTP_ERROR_UPSTREAM_BROKE, broke);
}

/* Why an answer is no whole one though its transport ended well; NULL: it is. */
static const char *why_broken(const struct upstream_report *report, enum assembled how)
{
    if (how == ASSEMBLED_TOO_LARGE) {
        return "the answer is larger than lull holds";
    }
    if (how != ASSEMBLED_INCOMPLETE) {
        return NULL;
    }
    return report->close_delimited ? "the connection was closed before the end of the answer"
                                   : "the answer ended without its end mark";
}

/* The connection broke, or was never made. */
static enum flight_event after_broken(struct flight *f, const struct upstream_report *report)
{
    bool reached = report->result == UPSTREAM_BROKE;
    if (report->no_memory) {
        return fail(f, HTTP_ERROR_BUSY, report->why);
    }
    if (reached && !f->answer_begun && may_ask_again(f, f->status)) {
        f->retried = true; /* this is the one more try that a lost connection is worth */
        return ask_again(f, true);
    }
    return fail(f, reached ? HTTP_ERROR_UPSTREAM_BROKE : HTTP_ERROR_UPSTREAM_UNREACHABLE,
                report->why);
}

/* An answer that is not assembled: a status of its own. */
static enum flight_event after_status(struct flight *f)
{
    note_schema(f, f->status);
    return f->status >= 400 && may_ask_again(f, f->status)
               ? ask_again_refused(f, f->status, buf_span(&f->raw_body))
               : pass_raw(f);
}

/* The call is over: what comes of it. */
static enum flight_event over(struct flight *f, const struct upstream_report *report)
{
    struct server *server = flight_server(f);
    struct upstream_figures *up = server->figures;
    bool whole = report->result == UPSTREAM_DONE;
    bool reached = report->result != UPSTREAM_UNREACHABLE;
    f->answer_begun = f->assembling && assembler_begun(&f->assembler);
    enum assembled how = f->assembling ? assembler_finish(&f->assembler, whole) : ASSEMBLED_WHOLE;
    const char *broke = whole ? why_broken(report, how) : report->why;
    if (!report->no_memory) {
        server_note_reached(server, reached, report->why);
    }
    call_ended(f, broke == NULL ? &up->finished : &up->failed, reached ? model_time(f, whole) : 0);
    if (!whole) {
        return after_broken(f, report);
    }
    return f->assembling ? after_whole(f, how, broke) : after_status(f);
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    flight_apply(ctx, over(ctx, report));
}
