/* call_result.c: what comes of a call that is over: its answer is used or passed on as it came, it is
 * asked for once more, or it has failed (failure.c).
 *
 * A request that lull changed and that fails before its first token is asked once more exactly as
 * the client wrote it, unless the failure is silence or an empty body of a good status; so is one
 * whose answer cannot be shown as one plain answer. server/refusal.c remembers what was refused. Where
 * the answers to a kind's requests as written are no plain ones either, twice in a row, the next ones are
 * asked so at once (begin_call()), until one is plain: else each would cost two calls. An
 * answer that has not the kind's form is asked for once more with a schema.
 */
#include "path/flight/flight_priv.h"

enum flight_event call_fail(struct flight *f, enum http_error error, const char *why)
{
    f->end = (struct flight_end){
        .result = FLIGHT_RESULT_FAILED, .error = error, .why = why, .upstream_failed = true};
    call_wasted(f);
    return failure_next(f, f->status != 0);
}

/* Statuses that say nothing about what was asked: who asks, or when. 504, 522 and 524 are proxies'
 * whose patience has ended, maybe amid the answer: asked again, the server would make it twice. 529
 * is "overloaded". */
static bool is_about_request(int status)
{
    static const int others[] = {401, 403, 408, 429, 503, 504, 522, 524, 529};
    size_t i = 0;
    while (i < sizeof others / sizeof others[0] && others[i] != status) {
        i++;
    }
    return i == sizeof others / sizeof others[0];
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

/* Once more, after an answer that cannot be read as one, or does not say that it is whole. Where that
 * comes of the stream, and again and again, the stream is left out (use_answer). */
static enum flight_event ask_again_unread(struct flight *f)
{
    f->unread = !f->is_behind && (f->asked.sent & ADDITION_STREAM) != 0 && !failure_is_page(f);
    return ask_again(f, false);
}

/* Whether a status says that the server has not the API into which lull put the task, and may have the
 * client's. */
static bool has_not_api(const struct flight *f, int status)
{
    bool missing = status == 404 || status == 405 || status == 501;
    return missing && !f->again && !f->has_first && !f->detached && f->wire != f->spec.endpoint &&
           flight_upstream(f)->dialect == DIALECT_CHOICE_AUTO &&
           probe_sort(flight_server(f), flight_upstream(f)) != SERVER_LLAMA_CPP;
}

/* Once more, after a refusal by status. */
static enum flight_event ask_again_refused(struct flight *f, int status, struct span text)
{
    f->api_refused = has_not_api(f, status);
    if (f->is_behind || f->api_refused) {
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
        return call_fail(f, HTTP_ERROR_UPSTREAM_BROKE, "the answer is larger than lull holds");
    }
    f->end = (struct flight_end){.result = FLIGHT_RESULT_RAW,
                                 .status = f->status,
                                 .raw_endpoint = f->wire,
                                 .raw_headers = buf_span(&f->raw_headers),
                                 .raw_body = buf_span(&f->raw_body),
                                 .model_time = f->took,
                                 .upstream_failed = !f->assembling || failure_is_page(f)};
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
                                 .raw_endpoint = f->wire,
                                 .raw_headers = SPAN("Content-Type: application/json\r\n"),
                                 .raw_body = buf_span(&f->assembler.error),
                                 .upstream_failed = true};
    call_wasted(f);
    return failure_next(f, true);
}

static bool has_json_shape(const struct kind_policy *policy)
{
    return policy->shape != KIND_SHAPE_TEXT && policy->shape != KIND_SHAPE_EMOJI;
}

bool call_has_form(const struct flight *f)
{
    const struct kind_policy *policy = flight_policy(f);
    return has_json_shape(policy) &&
           answer_validate(&f->assembler.answer, policy, f->spec.kind) == ANSWER_GOOD;
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
    bool json = has_json_shape(policy) && policy->shape_member[0] != '\0';
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
    if (!f->spec.untracked) {
        server_note_served(flight_server(f), SERVER_CALLER_TASK, flight_way_model(f));
    }
    flight_server(f)->speaks_ollama |= endpoint_dialect(f->wire) == DIALECT_OLLAMA;
    flight_count_tokens(f->shaped.len, flight_upstream(f), flight_task_figures(f),
                        f->spec.untracked ? NULL : flight_server(f)->figures, end);
    flight_user_figures(f, f->spec.user)->cost += end->cost;
    if (f->again) {
        refusal_proven(flight_model(f), f->wire, &f->refused, now);
    } else {
        refusal_answered(flight_model(f), f->wire, &f->asked, f->trial, now);
    }
    if (f->unread || (f->asked.sent & ADDITION_STREAM) != 0) {
        refusal_stream_read(flight_model(f), f->wire, !f->unread, now);
    }
    if (!f->spec.untracked) {
        figure_times_add(&flight_server(f)->figures->latency, now, end->took);
    }
    pace_add(flight_pace(f), end->took, f->spec.body.len);
    flight_pace(f)->odd = 0;
    bool fit = is_fit(f, end);
    f->fits = end->verdict != ANSWER_BAD;
    behind_answered(f, end->verdict == ANSWER_BAD);
    if (!fit) {
        return ask_for_shape(f);
    }
    /* used, if a waiter takes the answer; an answer before it is not: unlink_flight() */
    f->took = 0;
    return FLIGHT_EVENT_ANSWERED;
}

/* No plain answer: a tool call, say. The client gets it as it came, where it was asked for as the client
 * wrote it. */
static enum flight_event after_odd(struct flight *f)
{
    if (f->has_first) {
        return call_use_first(f);
    }
    if (is_changed(f)) {
        return ask_again_unread(f);
    }
    flight_pace(f)->odd += f->again ? 1 : 0;
    return pass_raw(f);
}

static enum flight_event after_assembled(struct flight *f, enum assembled how, const char *broke)
{
    switch (how) {
    case ASSEMBLED_WHOLE:
        return use_answer(f);
    case ASSEMBLED_ERROR:
        return pass_error(f);
    case ASSEMBLED_ODD:
        return after_odd(f);
    case ASSEMBLED_UNMARKED:
        if (may_ask_again(f, 0)) {
            return ask_again_unread(f);
        }
        return f->asked.sent == 0 && !f->has_first ? pass_raw(f)
                                                   : call_fail(f, HTTP_ERROR_UPSTREAM_BROKE, broke);
    case ASSEMBLED_INCOMPLETE:
        if (f->assembler.any && !f->answer_begun && may_ask_again(f, 0)) {
            return ask_again(f, false);
        }
        break; /* an empty body of a good status refuses nothing */
    case ASSEMBLED_TOO_LARGE:
        break;
    }
    return call_fail(f, HTTP_ERROR_UPSTREAM_BROKE, broke);
}

enum flight_event call_broken(struct flight *f, const struct upstream_report *report)
{
    bool reached = report->result == UPSTREAM_BROKE;
    if (report->no_memory) {
        return call_fail(f, HTTP_ERROR_BUSY, report->why);
    }
    if (reached && !f->answer_begun && may_ask_again(f, f->status)) {
        f->retried = true; /* this is the one more try that a lost connection is worth */
        return ask_again(f, true);
    }
    return call_fail(f, reached ? HTTP_ERROR_UPSTREAM_BROKE : HTTP_ERROR_UPSTREAM_UNREACHABLE,
                     report->why);
}

/* An answer that is not assembled: a status of its own. */
static enum flight_event after_status(struct flight *f)
{
    note_schema(f, f->status);
    return f->status >= 400 && (may_ask_again(f, f->status) || has_not_api(f, f->status))
               ? ask_again_refused(f, f->status, buf_span(&f->raw_body))
               : pass_raw(f);
}

enum flight_event call_result(struct flight *f, enum assembled how, const char *broke)
{
    return f->assembling ? after_assembled(f, how, broke) : after_status(f);
}
