/* prefix_choice.c: which tasks are asked behind their conversation (option prefix), and the chats that are
 * kept for it.
 *
 *   a chat's answer is whole ──▶ transcript
 *   a follow-up, tags, title, query ──▶ its conversation's transcript, where all of this is certain:
 *       the same server and model, API, path, key and user as that chat's
 *       its history is the end of the conversation, word by word
 *       conversation, instruction and answer fit the model's context
 *   and, with `auto`, where the model was seen to gain by it
 *
 * The conversation's digest becomes part of the key; the rest is flight/prefix_call.c's.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/loads.h"

#include <stdlib.h>

enum { INSTRUCTION_MAX = 256 * 1024, ANSWER_TOKENS = 512, TOKENS_OF_BYTES = 3 };

/* ---- chats ---- */

bool behind_keeps_chats(const struct settings *s)
{
    for (size_t i = 0; i < s->kind_count; i++) {
        if (s->kinds[i].prefix != PREFIX_AS_ASKED && s->kinds[i].enabled) {
            return s->mode == TASKS_ON;
        }
    }
    return false;
}

/* After any purge no conversation is kept. */
static struct transcripts *transcripts_of(struct engine *e)
{
    uint64_t generation = cache_generation(e->parts.cache);
    if (generation != e->held_since) {
        transcripts_clear(e->transcripts);
        e->held_since = generation;
    }
    return e->transcripts;
}

static struct transcript_place place_of(struct exchange *x)
{
    return (struct transcript_place){.person = conversation_person(x),
                                     .server = exchange_upstream(x)->server,
                                     .endpoint = x->head.endpoint,
                                     .target = x->head.target,
                                     .model = x->request.model};
}

static int64_t slots_of(struct exchange *x)
{
    return schedule_slots(x->engine->parts.schedule, exchange_upstream(x));
}

void behind_chat_began(struct exchange *x)
{
    if (x->parsed && behind_keeps_chats(x->settings)) {
        transcript_chat_began(x->engine->transcripts, conversation_person(x), &x->request,
                              x->begun);
    }
}

void behind_read_other(struct exchange *x)
{
    if (x->parsed && behind_keeps_chats(x->settings)) {
        prefix_read_chat(server_model(exchange_server(x), x->request.model), slots_of(x),
                         (struct prefix_place){.conversation = 0});
    }
}

/* Whether the server kept the conversation while it read other prompts: by a chat that goes on. */
static void note_kept(struct exchange *x, struct server_model *model, const struct transcript *t,
                      struct prefix_place where)
{
    const struct answer *a = &x->watch.answer.answer;
    const struct prefix_call call = {.when = prefix_when_of(model, where),
                                     .conversation = t->tokens_before,
                                     .tokens_in = a->tokens_in,
                                     .cached = a->cached_tokens,
                                     .prompt_time = a->prompt_time};
    if (call.when == PREFIX_AFTER_OTHERS && t->tokens_before > 0) {
        prefix_note_chat(model, &call, loop_wall(x->engine->parts.loop));
    }
}

struct prefix_place behind_chat_ended(struct exchange *x, bool whole)
{
    struct engine *e = x->engine;
    const struct answer_watch *w = &x->watch;
    const struct answer *a = &w->answer.answer;
    struct prefix_place read = {.conversation = 0};
    if (!x->parsed || !behind_keeps_chats(x->settings)) {
        return read;
    }
    struct server_model *model = server_model(exchange_server(x), x->request.model);
    if (whole && w->keep && x->body_held) {
        int64_t tokens = a->tokens_in > 0 && a->tokens_out > 0 ? a->tokens_in + a->tokens_out : -1;
        const struct transcript_chat chat = {.place = place_of(x),
                                             .chat = conversation_of(x).chat,
                                             .request = &x->request,
                                             .body = x->body,
                                             .reply = buf_span(&a->content),
                                             .thought = w->thought,
                                             .tokens = tokens,
                                             .begun = x->begun};
        const struct transcript *t =
            transcript_keep(transcripts_of(e), &chat, loop_now(e->parts.loop));
        if (t != NULL) {
            read = (struct prefix_place){t->conversation, t->turn, t->body.len + t->reply.len};
            note_kept(x, model, t, read);
        }
        prefix_note_size(model, tokens);
    }
    prefix_read_chat(model, slots_of(x), read);
    flight_replied(e->flights);
    return read;
}

/* ---- tasks ---- */

/* What is asked, of an exchange or of a flight. */
struct question {
    struct engine *engine;
    const struct settings *settings;
    int kind;
    const struct kind_policy *policy;
    const struct upstream_settings *to;
    struct hash_key chat;
    struct transcript_place place;
    const struct dialect_request *request;
    struct buf *instruction; /* where the instruction is written */
};

static struct server_model *model_of(const struct question *q)
{
    return server_model(server_of(q->engine->parts.servers, q->to), q->place.model);
}

/* Whether the chat itself says how its model thinks. */
static bool configures_thinking(const struct transcript *t)
{
    struct json_doc doc;
    const struct json_node *root = json_read(t->body, &doc);
    bool does = json_given(root, SPAN("think")) != NULL ||
                json_given(root, SPAN("reasoning_effort")) != NULL ||
                json_given(root, SPAN("chat_template_kwargs")) != NULL;
    json_doc_free(&doc);
    return does;
}

/* Tokens of the context, as the server or the model's last chat states them; 0: not stated. */
static int64_t stated_context(const struct question *q)
{
    const struct server *server = server_of(q->engine->parts.servers, q->to);
    struct span loads = loads_of(model_of(q));
    struct span value = SPAN_NONE;
    char digits[16] = "";
    if (server->found_context > 0) {
        return server->found_context;
    }
    if (loads.len > 0 && json_member(loads, SPAN("num_ctx"), &value) && value.len < sizeof digits) {
        memcpy(digits, value.ptr, value.len);
    }
    return strtoll(digits, NULL, 10);
}

static bool fits_context(const struct question *q, const struct transcript *t)
{
    int64_t guess = (int64_t)(t->body.len + t->reply.len) / TOKENS_OF_BYTES;
    int64_t stated = stated_context(q);
    int64_t need = t->tokens > 0 ? t->tokens : guess;
    if (stated == 0 && t->tokens <= 0) {
        return true; /* nothing is known of either: the server says if it does not fit */
    }
    need += (int64_t)q->instruction->len / TOKENS_OF_BYTES;
    need += q->policy->max_tokens > 0 ? q->policy->max_tokens : ANSWER_TOKENS;
    return need <= prefix_context(model_of(q), stated);
}

static enum prefix_reason reason_of(enum transcript_found found)
{
    static const enum prefix_reason reasons[] = {[TRANSCRIPT_FOUND] = PREFIX_REASON_NONE,
                                                 [TRANSCRIPT_NONE] = PREFIX_REASON_NOT_HELD,
                                                 [TRANSCRIPT_DIFFERS] = PREFIX_REASON_DIFFERS,
                                                 [TRANSCRIPT_AMBIGUOUS] = PREFIX_REASON_AMBIGUOUS};
    return reasons[found];
}

static unsigned forms_of(int kind)
{
    return kind == KIND_TITLE   ? CHAT_HISTORY_AWAITS_REPLY
           : kind == KIND_QUERY ? CHAT_HISTORY_NEW_MESSAGE
                                : CHAT_HISTORY_END;
}

/* Whether the conversation that was found may be asked behind. */
static enum prefix_reason rule_out_transcript(const struct question *q, const struct transcript *t,
                                              const struct chat_history_place *where)
{
    if (t->changes) {
        return PREFIX_REASON_CHANGES;
    }
    if (t->thought && q->policy->think == THINK_AUTO && configures_thinking(t)) {
        return PREFIX_REASON_THINKS;
    }
    buf_free(q->instruction);
    buf_init(q->instruction, INSTRUCTION_MAX);
    if (chat_history_instruction(where, q->instruction) != ERR_OK || !fits_context(q, t)) {
        return PREFIX_REASON_CONTEXT;
    }
    return prefix_may(model_of(q), q->kind, q->policy->prefix, loop_wall(q->engine->parts.loop));
}

/* Looks for the conversation. *t: its transcript, where the reason is NONE. */
static enum prefix_reason find(const struct question *q, struct transcript **t)
{
    struct chat_history_place where;
    enum transcript_found found =
        transcript_find(transcripts_of(q->engine), &q->place, q->chat, q->request->last_text,
                        forms_of(q->kind), loop_now(q->engine->parts.loop), t, &where);
    if (found != TRANSCRIPT_FOUND) {
        bool first = q->kind == KIND_TITLE && !task_title_has_reply(q->request);
        return first ? PREFIX_REASON_NO_REPLY : reason_of(found);
    }
    return rule_out_transcript(q, *t, &where);
}

/* ---- of an exchange ---- */

static enum prefix_reason rule_out_request(const struct dialect_request *request,
                                           enum endpoint endpoint)
{
    bool single = request->message_count == 1 && request->last_text.len > 0;
    if (endpoint != ENDPOINT_CHAT && endpoint != ENDPOINT_OLLAMA_CHAT) {
        return PREFIX_REASON_DIALECT;
    }
    return single && chat_history_has(request->last_text) ? PREFIX_REASON_NONE
                                                          : PREFIX_REASON_NO_HISTORY;
}

/* What rules it out before any conversation is looked for. */
static enum prefix_reason rule_out(struct exchange *x)
{
    if (x->upstream != x->head.upstream || !span_eq(x->model, x->request.model)) {
        return PREFIX_REASON_ELSEWHERE;
    }
    if (exchange_policy(x)->prefix == PREFIX_AUTO && slots_of(x) == 0) {
        return PREFIX_REASON_HOSTED;
    }
    return rule_out_request(&x->request, x->head.endpoint);
}

void behind_forget(struct exchange *x)
{
    transcript_unref(x->behind.transcript);
    x->behind = (struct flight_behind){.wanted = false};
    buf_free(&x->instruction);
}

void behind_find(struct exchange *x)
{
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    struct transcript *t = NULL;
    behind_forget(x);
    if (exchange_policy(x)->prefix == PREFIX_AS_ASKED || x->settings->mode != TASKS_ON) {
        return;
    }
    struct question q = {.engine = x->engine,
                         .settings = x->settings,
                         .kind = x->decision.kind,
                         .policy = exchange_policy(x),
                         .to = exchange_upstream(x),
                         .chat = conversation_of(x).chat,
                         .place = place_of(x),
                         .request = &x->request,
                         .instruction = &x->instruction};
    x->behind.wanted = true;
    x->behind.why = rule_out(x);
    x->behind.why = x->behind.why == PREFIX_REASON_NONE ? find(&q, &t) : x->behind.why;
    x->behind.later = x->behind.why == PREFIX_REASON_NO_REPLY;
    if (x->behind.why == PREFIX_REASON_NONE &&
        fingerprint_behind(&x->normalized, transcript_digest(t), secret) == ERR_OK) {
        x->behind.transcript = transcript_ref(t);
        x->behind.instruction = buf_span(&x->instruction);
    }
}

enum prefix_reason behind_outlook(const struct exchange *x)
{
    const struct transcript *t = x->behind.transcript;
    if (t == NULL) {
        return x->behind.why;
    }
    const struct server_model *model = server_model(exchange_server(x), x->model);
    const struct prefix_place where = {t->conversation, t->turn, t->body.len + t->reply.len};
    return prefix_look(model, x->decision.kind, prefix_when_of(model, where),
                       exchange_policy(x)->prefix, loop_wall(x->engine->parts.loop));
}

/* ---- of a flight, when its call begins ---- */

void behind_found_later(void *ctx, const struct flight_spec *spec, struct flight_found *found)
{
    struct engine *e = ctx;
    const struct upstream_settings *to = &spec->settings->upstreams[spec->upstream];
    struct fingerprint *key = &e->later_key;
    struct dialect_request request;
    struct transcript *t = NULL;
    *found = (struct flight_found){.behind = {.wanted = true, .why = PREFIX_REASON_NO_REPLY}};
    struct question q = {.engine = e,
                         .settings = spec->settings,
                         .kind = spec->kind,
                         .policy = &spec->settings->kinds[spec->kind],
                         .to = to,
                         .chat = spec->turn.conversation.chat,
                         .place = {.person = spec->turn.conversation.person,
                                   .server = to->server,
                                   .endpoint = spec->endpoint,
                                   .target = spec->target,
                                   .model = spec->model},
                         .request = &request,
                         .instruction = &e->later_instruction};
    if (!transcript_may_be(transcripts_of(e), &q.place, q.chat) ||
        !dialect_request_parse(spec->body, spec->endpoint, &request)) {
        return;
    }
    found->behind.why = find(&q, &t);
    fingerprint_free(key);
    key->storage.max = spec->material.len;
    if (found->behind.why == PREFIX_REASON_NONE &&
        buf_append_span(&key->storage, spec->material) == ERR_OK &&
        fingerprint_behind(key, transcript_digest(t), cache_secret(e->parts.cache)) == ERR_OK) {
        found->behind.transcript = t;
        found->behind.instruction = buf_span(&e->later_instruction);
        found->hash = key->hash;
        found->material = key->head;
    }
    dialect_request_free(&request);
}

/* ---- of a kept request ---- */

/* A scope is shown as the first bytes of its digest, and so begins the person's key where the kind's
 * scope is `auto`. Under another rule it begins that of no person. */
static bool person_of_scope(const struct engine *e, struct span scope, struct hash_key *person)
{
    uint8_t bytes[4];
    char digits[9] = "";
    if (scope.len != 2 * sizeof bytes) {
        return false;
    }
    memcpy(digits, scope.ptr, scope.len);
    unsigned long value = strtoul(digits, NULL, 16);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
    return transcript_person(e->transcripts, bytes, sizeof bytes, person);
}

/* The conversation as it is now, or as it was at the end of an earlier turn. *t is referenced. */
static enum prefix_reason find_kept(const struct question *q, struct transcript **t)
{
    struct chat_history_place where;
    enum prefix_reason why = find(q, t);
    if (why == PREFIX_REASON_NONE) {
        transcript_ref(*t);
        return why;
    }
    *t = NULL;
    if (why != PREFIX_REASON_DIFFERS && why != PREFIX_REASON_NO_REPLY) {
        return why;
    }
    enum transcript_found found =
        transcript_find_earlier(q->engine->transcripts, &q->place, q->request->last_text,
                                forms_of(q->kind), loop_now(q->engine->parts.loop), t, &where);
    return found == TRANSCRIPT_FOUND ? rule_out_transcript(q, *t, &where) : reason_of(found);
}

void engine_find_behind(struct engine *e, const struct flight_spec *spec, struct flight_behind *out)
{
    const struct upstream_settings *to = &spec->settings->upstreams[spec->upstream];
    struct dialect_request request;
    struct transcript *t = NULL;
    struct question q = {.engine = e,
                         .settings = spec->settings,
                         .kind = spec->kind,
                         .policy = spec->policy,
                         .to = to,
                         .place = {.server = to->server,
                                   .endpoint = spec->endpoint,
                                   .target = spec->target,
                                   .model = spec->model},
                         .request = &request,
                         .instruction = &e->later_instruction};
    *out = (struct flight_behind){.wanted = true, .why = PREFIX_REASON_NO_HISTORY};
    if (!dialect_request_parse(spec->body, spec->endpoint, &request)) {
        return;
    }
    out->why = !span_eq(request.model, spec->model) ? PREFIX_REASON_ELSEWHERE
                                                    : rule_out_request(&request, spec->endpoint);
    if (out->why == PREFIX_REASON_NONE) {
        out->why = person_of_scope(e, spec->scope, &q.place.person) ? find_kept(&q, &t)
                                                                    : PREFIX_REASON_NOT_HELD;
    }
    if (out->why == PREFIX_REASON_NONE) {
        out->transcript = t;
        out->instruction = buf_span(&e->later_instruction);
    } else {
        transcript_unref(t);
    }
    dialect_request_free(&request);
}
