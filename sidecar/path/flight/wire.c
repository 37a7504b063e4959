/* wire.c: what a call sends: in which API, to which path, with which additions.
 *
 *   the client's words ──cross, if the server has others──▶ its words ──shape──▶ what is sent
 *
 * A server's dialect is set, or found out by asking it once (probe.h): Ollama speaks both, so the
 * client's stays; llama.cpp, hosted APIs and all others speak OpenAI's. What cannot be put into the
 * server's words is sent as the client wrote it, and only to the server that the client addressed
 * (lookup_takes_dialect()).
 *
 * Additions are what the server may not know: a streamed answer, thinking off, a schema, caps.
 * Those that it has refused are left out (refusal.c); a second call has none of them.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/dialect/convert.h"

/* ---- the API ---- */

struct span flight_way_model(const struct flight *f)
{
    return f->fell_back ? f->spec.fallback.model : f->spec.model;
}

static struct span way_body(const struct flight *f)
{
    return f->fell_back ? f->spec.fallback.body : f->spec.body;
}

/* The dialect that a task of dialect `asked` is sent in. */
static enum dialect wire_dialect(const struct server *server, const struct upstream_settings *to,
                                 enum dialect asked)
{
    if (to->dialect != DIALECT_CHOICE_AUTO) {
        return to->dialect == DIALECT_CHOICE_OLLAMA ? DIALECT_OLLAMA : DIALECT_OPENAI;
    }
    bool ollama = probe_sort(server, to) == SERVER_OLLAMA || (to->tls && server->speaks_ollama);
    if (asked == DIALECT_OPENAI || ollama) {
        return asked;
    }
    return to->tls || probe_known(server, to) ? DIALECT_OPENAI : asked;
}

/* Puts the body into the server's words; what cannot be put so stays. */
static struct span cross(struct flight *f)
{
    struct span body = way_body(f);
    enum dialect asked = endpoint_dialect(f->spec.endpoint);
    enum dialect wanted =
        f->api_refused ? asked : wire_dialect(flight_server(f), flight_upstream(f), asked);
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

struct span wire_authorization(const struct flight *f)
{
    return http_field(f->fell_back ? f->fallback_headers : f->headers,
                      f->fell_back ? f->spec.fallback.header_count : f->spec.header_count,
                      SPAN("Authorization"));
}

void wire_make(struct flight *f, struct upstream_request *req)
{
    const struct upstream_settings *to = flight_upstream(f);
    struct server_model *model = flight_model(f);
    struct span body = cross(f);
    struct span behind = behind_body(f);
    struct kind_policy policy = *flight_policy(f);
    if (f->is_behind) {
        body = behind;
        if (policy.think == THINK_AUTO && !f->spec.behind.transcript->thought) {
            policy.think = THINK_AS_ASKED; /* the prompt stays laid out as the chat's */
        }
    }
    f->trial = 0;
    unsigned without =
        f->again ? (unsigned)ADDITION_ALL
                 : refusal_left_out(model, f->wire, loop_now(f->table->parts.loop), &f->trial);
    struct overrides how = {.policy = &policy,
                            .sort = probe_sort(flight_server(f), to),
                            .schema = f->shape_retried,
                            .load = loads_of(model),
                            .root = body.ptr == f->spec.body.ptr ? f->nodes : NULL,
                            .stream = f->spec.may_stream && !to->tls,
                            .without = without};
    buf_free(&f->shaped);
    buf_init(&f->shaped, 2 * body.len + 6 * strlen(how.policy->extra) + DIALECT_LOAD_MAX + 4096);
    enum err e = dialect_override(body, f->wire, &how, &f->shaped, &f->asked);
    *req = (struct upstream_request){
        .to = to,
        .method = SPAN("POST"),
        .target = target_of(f),
        .headers = f->fell_back ? f->fallback_headers : f->headers,
        .header_count = f->fell_back ? f->spec.fallback.header_count : f->spec.header_count,
        .task = true,
        .body = e == ERR_OK ? buf_span(&f->shaped) : body,
        .content_length = -1,
        .decode = true,
    };
}
