/* spec.c: a flight's own copy of what it was asked, and what follows from it. All texts lie in one
 * buffer, reserved at once: a flight that gets no memory for them has none at all, and is answered
 * so.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>

enum { NODES_MAX = 64 }; /* 3 KB; a body with more is read once more */

/* Copies s into the flight's memory, whose size was reserved before: the buffer must not move. */
static struct span keep(struct flight *f, struct span s)
{
    size_t at = f->memory.len;
    if (s.len == 0 || buf_append_span(&f->memory, s) != ERR_OK) {
        return (struct span){"", 0};
    }
    return span_make(f->memory.data + at, s.len);
}

/* Copies of headers, whose bytes go into the flight's memory. */
static struct http_header *keep_headers(struct flight *f, const struct http_header *from,
                                        size_t count)
{
    struct http_header *to = mem_new((count + 1) * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i].name = keep(f, from[i].name);
        to[i].value = keep(f, from[i].value);
    }
    return to;
}

static void move_span(struct span *s, const char *from, const char *to)
{
    s->ptr = s->ptr == NULL ? NULL : to + (s->ptr - from);
}

/* The nodes of the body as it stood there, as those of the flight's own copy. */
static void keep_nodes(struct flight *f, const struct json_doc *read, const char *from)
{
    if (read == NULL || read->count == 0 || read->count > NODES_MAX) {
        return;
    }
    f->nodes = mem_have(malloc(read->count * sizeof *f->nodes));
    memcpy(f->nodes, read->nodes, read->count * sizeof *f->nodes);
    for (size_t i = 0; i < read->count; i++) {
        move_span(&f->nodes[i].raw, from, f->spec.body.ptr);
        move_span(&f->nodes[i].name, from, f->spec.body.ptr);
    }
}

static size_t headers_size(const struct http_header *headers, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += headers[i].name.len + headers[i].value.len;
    }
    return size;
}

static size_t texts_size(const struct flight_spec *spec)
{
    const struct flight_fallback *other = &spec->fallback;
    return spec->target.len + spec->body.len + spec->material.len + spec->model.len +
           spec->scope.len + spec->turn.history.len + spec->behind.instruction.len +
           spec->completion.who.text.len + spec->completion.context.material.len +
           other->target.len + other->body.len + other->model.len +
           headers_size(spec->headers, spec->header_count) +
           headers_size(other->headers, other->header_count);
}

/* The spec without what it only borrows: no text, no header, related to no other request. */
static struct flight_spec without_texts(const struct flight_spec *spec)
{
    struct flight_spec bare = *spec;
    bare.read = NULL;
    bare.headers = NULL;
    bare.header_count = 0;
    bare.target = bare.body = bare.material = bare.model = bare.scope = SPAN_NONE;
    bare.turn.history = SPAN_NONE;
    bare.behind.transcript = NULL;
    bare.behind.instruction = SPAN_NONE;
    bare.completion.usable = false;
    bare.completion.who.text = bare.completion.context.material = SPAN_NONE;
    bare.fallback = (struct flight_fallback){.upstream = -1};
    return bare;
}

bool spec_copy(struct flight *f, const struct flight_spec *spec)
{
    const struct flight_fallback *other = &spec->fallback;
    size_t need = texts_size(spec) + 1;
    f->spec = without_texts(spec);
    f->spec.settings = settings_ref(spec->settings);
    if (spec->policy != NULL) {
        f->own_policy = mem_new(sizeof *f->own_policy);
        *f->own_policy = *spec->policy;
        f->spec.policy = f->own_policy;
    }
    buf_init(&f->memory, need);
    if (buf_reserve(&f->memory, need) != ERR_OK) {
        return false;
    }
    f->spec.target = keep(f, spec->target);
    f->spec.body = keep(f, spec->body);
    keep_nodes(f, spec->read, spec->body.ptr);
    f->spec.material = keep(f, spec->material);
    f->spec.model = keep(f, spec->model);
    f->spec.scope = keep(f, spec->scope);
    f->spec.turn.history = keep(f, spec->turn.history);
    f->spec.behind.transcript = transcript_ref(spec->behind.transcript);
    f->spec.behind.instruction = keep(f, spec->behind.instruction);
    f->spec.completion = spec->completion;
    f->spec.completion.who.text = keep(f, spec->completion.who.text);
    f->spec.completion.context.material = keep(f, spec->completion.context.material);
    f->headers = keep_headers(f, spec->headers, spec->header_count);
    f->spec.headers = f->headers;
    f->spec.header_count = spec->header_count;
    f->fallback_headers = keep_headers(f, other->headers, other->header_count);
    f->spec.fallback = (struct flight_fallback){.upstream = other->upstream,
                                                .headers = f->fallback_headers,
                                                .header_count = other->header_count,
                                                .target = keep(f, other->target),
                                                .body = keep(f, other->body),
                                                .model = keep(f, other->model)};
    return true;
}

const struct flight_spec *flight_spec(const struct flight *f)
{
    return &f->spec;
}

const struct kind_policy *flight_policy(const struct flight *f)
{
    return f->own_policy != NULL ? f->own_policy : &f->spec.settings->kinds[f->spec.kind];
}

bool flight_is_completion(const struct flight *f)
{
    return flight_policy(f)->cls == KIND_CLASS_COMPLETION;
}

struct upstream_settings *flight_upstream(const struct flight *f)
{
    int at = f->fell_back ? f->spec.fallback.upstream : f->spec.upstream;
    return &f->spec.settings->upstreams[at];
}

struct server *flight_server(const struct flight *f)
{
    return server_of(f->table->parts.servers, flight_upstream(f));
}

struct server_model *flight_model(const struct flight *f)
{
    return server_model(flight_server(f), flight_way_model(f));
}

struct task_figures *flight_task_figures(const struct flight *f)
{
    return f->spec.untracked ? &f->table->untracked
                             : figures_task(f->table->parts.figures, flight_policy(f)->name);
}

struct savings *flight_user_figures(const struct flight *f, uint32_t user)
{
    return f->spec.untracked ? &f->table->untracked_user
                             : figures_user(f->table->parts.figures, user);
}
