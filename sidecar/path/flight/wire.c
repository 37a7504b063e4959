/* wire.c: what a call sends: in whose words, to which path, with which additions.
 *
 *   the client's words ──cross, if the server has others──▶ its words ──shape──▶ what is sent
 *
 * A server's dialect is set, or found out by asking it once (probe.h): Ollama speaks both, so the
 * client's stays; llama.cpp, hosted APIs and all others speak OpenAI's. What cannot be put into the
 * server's words is sent as the client wrote it; fly.c sees to it that a task is not sent elsewhere
 * at all then.
 *
 * Additions are what the server may not know: a streamed answer, thinking off, a schema, caps. Those
 * that it has refused are left out (refusal.c); a second call has none of them.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/dialect/convert.h"

#include <stdlib.h>

/* ---- the load options of chats ---- */

struct load_row {
    struct hash_key of; /* upstream and model */
    mono_t used;
    struct buf text;
};

static struct hash_key load_key(const struct flight_table *t, const struct upstream_settings *to,
                                struct span model)
{
    struct hash_state state;
    hash_begin(&state, &t->secret);
    hash_update(&state, to->name, strlen(to->name) + 1);
    hash_update(&state, model.ptr, model.len);
    return hash_end(&state);
}

static struct load_row *load_find(const struct flight_table *t, struct hash_key of)
{
    for (size_t i = 0; t->loads != NULL && i < FLIGHT_LOADS; i++) {
        if (hash_key_eq(t->loads[i].of, of)) {
            return &t->loads[i];
        }
    }
    return NULL;
}

static struct load_row *load_make(struct flight_table *t, struct hash_key of)
{
    struct load_row *row = load_find(t, of);
    if (t->loads == NULL) {
        t->loads = mem_new(FLIGHT_LOADS * sizeof *t->loads);
    }
    if (row == NULL) { /* the least recently used makes room */
        row = &t->loads[0];
        for (size_t i = 1; i < FLIGHT_LOADS; i++) {
            row = t->loads[i].used.us < row->used.us ? &t->loads[i] : row;
        }
    }
    row->of = of;
    row->used = loop_now(t->loop);
    return row;
}

void flight_chat_loads(struct flight_table *t, const struct upstream_settings *to,
                       struct span model, struct span body, enum endpoint endpoint)
{
    struct buf text = {.max = DIALECT_LOAD_MAX};
    if (model.len > 0 && dialect_load_of(body, endpoint, &text) == ERR_OK) {
        struct load_row *row = load_make(t, load_key(t, to, model));
        buf_free(&row->text);
        buf_move(&row->text, &text);
    }
    buf_free(&text);
}

void loads_free(struct flight_table *t)
{
    for (size_t i = 0; t->loads != NULL && i < FLIGHT_LOADS; i++) {
        buf_free(&t->loads[i].text);
    }
    free(t->loads);
}

static struct span load_of(const struct flight *f)
{
    struct hash_key of = load_key(f->table, flight_upstream(f), flight_way_model(f));
    const struct load_row *row = load_find(f->table, of);
    return row == NULL ? SPAN_NONE : buf_span(&row->text);
}

/* ---- whose words ---- */

struct span flight_way_model(const struct flight *f)
{
    return f->fell_back ? f->spec.fallback.model : f->spec.model;
}

static struct span way_body(const struct flight *f)
{
    return f->fell_back ? f->spec.fallback.body : f->spec.body;
}

/* The dialect that a task of dialect `asked` is sent in. */
static enum dialect wire_dialect(struct probes *probes, const struct upstream_settings *to,
                                 enum dialect asked)
{
    if (to->dialect != DIALECT_CHOICE_AUTO) {
        return to->dialect == DIALECT_CHOICE_OLLAMA ? DIALECT_OLLAMA : DIALECT_OPENAI;
    }
    if (asked == DIALECT_OPENAI || !probes_known(probes, to)) {
        return to->tls ? DIALECT_OPENAI : asked;
    }
    return probes_sort(probes, to) == SERVER_OLLAMA ? asked : DIALECT_OPENAI;
}

/* Puts the body into the server's words; what cannot be put so stays. */
static struct span cross(struct flight *f)
{
    struct span body = way_body(f);
    enum dialect wanted =
        wire_dialect(f->table->probes, flight_upstream(f), endpoint_dialect(f->spec.endpoint));
    enum endpoint to = dialect_task_endpoint(f->spec.endpoint, wanted);
    f->wire = f->spec.endpoint;
    buf_free(&f->crossed);
    buf_init(&f->crossed, 2 * body.len + 4096);
    if (to != f->spec.endpoint &&
        dialect_convert_request(body, f->spec.endpoint, to, &f->crossed, NULL) == ERR_OK) {
        f->wire = to;
        return buf_span(&f->crossed);
    }
    return body;
}

/* ---- what is sent ---- */

static struct span target_of(const struct flight *f)
{
    if (f->wire == f->spec.endpoint) {
        return f->fell_back ? f->spec.fallback.target : f->spec.target;
    }
    return endpoint_task_path(f->wire, flight_upstream(f));
}

void wire_make(struct flight *f, struct upstream_request *req)
{
    struct flight_table *t = f->table;
    const struct upstream_settings *to = flight_upstream(f);
    struct span body = cross(f);
    f->trial = 0;
    struct overrides how = {.policy = flight_policy(f),
                            .sort = probes_sort(t->probes, to),
                            .schema = f->shape_retried,
                            .load = load_of(f),
                            .stream = f->spec.may_stream && !to->tls,
                            .without = f->again ? (unsigned)ADDITION_ALL : refusal_left_out(f)};
    buf_free(&f->shaped);
    buf_init(&f->shaped, 2 * body.len + 6 * strlen(how.policy->extra) + DIALECT_LOAD_MAX + 4096);
    enum err e = dialect_override(body, f->wire, &how, &f->shaped, &f->asked);
    *req = (struct upstream_request){
        .to = to,
        .method = SPAN("POST"),
        .target = target_of(f),
        .headers = f->fell_back ? f->fallback_headers : f->headers,
        .header_count = f->fell_back ? f->spec.fallback.header_count : f->spec.header_count,
        .body = e == ERR_OK ? buf_span(&f->shaped) : body,
        .content_length = -1,
        .decode = true,
    };
}
