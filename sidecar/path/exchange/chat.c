/* chat.c: chats, and other requests that a reply waits for (forwarded foreground tasks, embeddings).
 *
 * Before a chat is sent, tasks that it makes obsolete are answered (autocompletes of the text that
 * it sends, follow-ups to an earlier turn) and calls in its way are preempted. Its answer is read
 * after each piece was passed on, for two facts: when the first token came (the head of a stream
 * does not tell: llama.cpp sends it before the request has a slot), and whether it ends in tool
 * calls.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/loads.h"

#include "lull/path/webui/turn.h"

static void begin_front(struct exchange *x, enum schedule_interactive_kind kind)
{
    struct span model = x->parsed ? x->request.model : SPAN_NONE;
    x->front = (struct schedule_interactive){
        .to = exchange_upstream(x),
        .kind = kind,
        .conversation = conversation_of(x),
        .model = servers_key(x->engine->parts.servers, model),
        .size = x->body.len,
        .first_turn = x->parsed && !x->request.answered,
    };
    x->is_front = true;
    gate_interactive_began(x->engine->gate, &x->front);
    if (x->settings->mode == TASKS_OBSERVE && !x->observing) {
        observe_front_began(x->engine->observe, x);
    }
}

/* Cancels tasks that this chat makes obsolete. */
static void cancel_obsolete(struct exchange *x)
{
    struct schedule_conversation whose = conversation_of(x);
    const struct dialect_request *request = x->parsed ? &x->request : NULL;
    bool goes_on = request != NULL && request->after_tool;
    autocomplete_chat_sent(x);
    if (x->settings->mode == TASKS_OBSERVE) {
        if (!goes_on) {
            observe_moved_on(x->engine->observe, &whose, request);
        }
    } else if (flight_count(x->engine->flights) > 0 && !goes_on) {
        flight_moved_on(x->engine->flights, &whose, request);
    }
}

void chat_begin(struct exchange *x)
{
    if (x->decision.cls == TASK_CLASS_CHAT) {
        struct schedule_conversation whose = conversation_of(x);
        const struct upstream_settings *to = exchange_upstream(x);
        cancel_obsolete(x);
        behind_chat_began(x);
        x->watch.gap =
            rewarm_chat_began(x->engine->rewarm, to, &whose, !x->parsed || !x->request.answered);
        x->watch.keep = (to->rewarm != REWARM_OFF && x->settings->mode != TASKS_OBSERVE) ||
                        behind_keeps_chats(x->settings);
        if (x->parsed && x->request.has_input && x->request.model.len > 0) {
            loads_note(server_model(exchange_server(x), x->request.model), x->request.json.nodes,
                       x->head.endpoint);
        }
        begin_front(x, SCHEDULE_CHAT);
    } else if (x->decision.cls == TASK_CLASS_TASK ? exchange_policy(x)->cls == KIND_CLASS_FOREGROUND
                                                  : x->head.endpoint == ENDPOINT_EMBEDDINGS) {
        begin_front(x, SCHEDULE_FOREGROUND);
    }
}

static void note_token(struct exchange *x)
{
    struct engine *e = x->engine;
    mono_t now = loop_now(e->parts.loop);
    x->watch.first_token = now;
    rewarm_chat_token(e->rewarm, exchange_upstream(x), x->watch.gap, mono_diff(now, x->begun));
    observe_front_token(e->observe, x);
    usec_t late = schedule_interactive_token(&x->front, now);
    if (late >= 0) {
        figure_times_add(&exchange_server(x)->figures->abort_cost, now, late);
    }
}

void watch_head(void *ctx, int status, const struct http_header *headers, size_t count)
{
    struct exchange *x = ctx;
    struct span type = http_field(headers, count, SPAN("Content-Type"));
    bool plain = http_field(headers, count, SPAN("Content-Encoding")).ptr == NULL;
    if (status / 100 == 2 && plain && endpoint_assembles(x->head.endpoint)) {
        assembler_init(&x->watch.answer, x->head.endpoint, type);
        x->watch.watching = true;
    }
}

static void stop_watching(struct exchange *x)
{
    if (x->watch.watching) {
        assembler_free(&x->watch.answer);
        x->watch.watching = false;
        (void)budget_settle(x->engine->parts.memory, &x->watch.counted, 0);
    }
}

static void on_data(void *ctx, struct span piece)
{
    struct exchange *x = ctx;
    struct answer_watch *w = &x->watch;
    if (!w->watching) {
        return;
    }
    assembler_feed(&w->answer, piece);
    if (w->answer.first_token_seen && w->first_token.us == 0) {
        note_token(x);
    }
    if (!budget_settle(x->engine->parts.memory, &w->counted, assembler_room(&w->answer))) {
        stop_watching(x); /* max_buffered is used up: the chat goes on as it is */
        return;
    }
    if (!w->keep) {
        buf_clear(&w->answer.answer.content);
    }
    w->thought = w->thought || w->answer.answer.thinking.len > 0;
    buf_clear(&w->answer.answer.thinking);
}

/* The turn is complete: its conversation may be rewarmed later. */
static void keep_for_rewarm(struct exchange *x, struct prefix_place place)
{
    bool sent = exchange_upstream(x)->rewarm != REWARM_OFF && x->body_held;
    struct http_header headers[EXCHANGE_HEADERS];
    struct buf key = {.max = 8 * 1024};
    struct rewarm_chat chat = {.settings = x->settings,
                               .upstream = x->head.upstream,
                               .endpoint = x->head.endpoint,
                               .conversation = x->front.conversation,
                               .server = exchange_server(x),
                               .model = x->request.model,
                               .place = place,
                               .target = x->head.target,
                               .body = x->body,
                               .headers = headers};
    if (sent) {
        chat.header_count = dispatch_headers(x, x->head.upstream, headers, &key);
        chat.reply = buf_span(&x->watch.answer.answer.content);
    }
    rewarm_chat_ended(x->engine->rewarm, &chat);
    buf_free(&key);
}

/* While the request is still there: its reply has not been ended. */
static struct prefix_place end_transcript(struct exchange *x)
{
    if (x->decision.cls != TASK_CLASS_CHAT) {
        return (struct prefix_place){.conversation = 0};
    }
    x->watch.noted = true;
    return prefix_is_read(http_reply_status(x->conn)) ? behind_chat_ended(x, x->watch.whole)
                                                      : (struct prefix_place){.conversation = 0};
}

static void on_end(void *ctx)
{
    struct exchange *x = ctx;
    struct answer_watch *w = &x->watch;
    if (!w->watching) {
        (void)end_transcript(x);
        return;
    }
    enum assembled how = assembler_finish(&w->answer, true);
    rewarm_chat_read(x->engine->rewarm, exchange_upstream(x), w->gap, w->answer.answer.tokens_in,
                     w->answer.answer.cached_tokens);
    w->goes_on = how == ASSEMBLED_ODD && w->answer.calls;
    w->whole = how == ASSEMBLED_WHOLE;
    exchange_server(x)->speaks_ollama |=
        w->whole && endpoint_dialect(x->head.endpoint) == DIALECT_OLLAMA;
    struct prefix_place place = end_transcript(x);
    if (w->whole && x->settings->mode != TASKS_OBSERVE) {
        keep_for_rewarm(x, place);
    }
}

const struct relay_tap chat_tap = {.on_head = watch_head, .on_data = on_data, .on_end = on_end};

void chat_end(struct exchange *x)
{
    if (x->decision.cls == TASK_CLASS_CHAT && !x->watch.noted) {
        behind_read_other(x);
    }
    stop_watching(x);
    if (x->is_front) {
        x->is_front = false;
        gate_interactive_ended(x->engine->gate, &x->front, x->watch.goes_on);
        observe_front_ended(x->engine->observe, x);
    }
}
