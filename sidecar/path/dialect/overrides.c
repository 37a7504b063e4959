/* overrides.c: what is added to a task before it is sent.
 *
 * The body is read once. What is to be set is gathered in two lists of edits, one for the root and
 * one for Ollama's options, and then made in one pass: so no name is set twice and no other byte
 * moves. The user's own members (`extra`) come last, over everything. An addition counts only where
 * it changes something: a member that has the value already is not touched.
 *
 * A member that is null counts as not given: servers read it so.
 */
#include "lull/path/dialect/overrides.h"

#include "lull/path/json/reader.h"
#include "path/dialect/dialect_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OWN_EDITS = 24, NUMBER_MAX = 24 };

struct edits {
    struct json_edit *items;
    size_t count, room;
};

struct override {
    const struct overrides *how;
    const struct kind_policy *policy; /* NULL: only model and stream */
    struct additions made;
    bool ollama; /* the endpoint's dialect */
    struct json_doc body, extra;
    const struct json_node *root;    /* of the body; an object */
    const struct json_node *options; /* Ollama's, as the client gave them; NULL: not as an object */
    bool sets_options;               /* also where nothing is in them */
    struct edits set, set_options;
    struct buf model, stream_options, kwargs, format, options_text, names; /* texts of edits */
    char cap[NUMBER_MAX], slot[NUMBER_MAX];
};

/* ---- members ---- */

static void set_member(struct edits *list, struct span name, struct span value)
{
    size_t i = 0;
    while (i < list->count && !span_eq(list->items[i].name, name)) {
        i++;
    }
    require(i < list->room);
    list->items[i] = (struct json_edit){name, value};
    list->count = i == list->count ? i + 1 : list->count;
}

/* Whether the addition is to be made; noted either way. */
static bool may_add(struct override *o, enum addition what)
{
    if ((o->how->without & (unsigned)what) != 0) {
        o->made.left |= (unsigned)what;
        return false;
    }
    o->made.sent |= (unsigned)what;
    return true;
}

/* Whether an edit leaves an object as it is. */
static bool changes_nothing(const struct json_node *object, struct span name, struct span value)
{
    const struct json_node *old = json_get(object, name);
    return value.ptr == NULL ? old == NULL : old != NULL && span_eq(old->raw, value);
}

/* Sets a member of the root as part of that addition; SPAN_NONE removes it. What changes nothing is
 * no addition. */
static void add_member(struct override *o, enum addition what, struct span name, struct span value)
{
    if (!changes_nothing(o->root, name, value) && may_add(o, what)) {
        set_member(&o->set, name, value);
    }
}

/* The same of Ollama's options. */
static void add_option(struct override *o, enum addition what, struct span name, struct span value)
{
    if (!changes_nothing(o->options, name, value) && may_add(o, what)) {
        set_member(&o->set_options, name, value);
    }
}

enum err dialect_edit_given(const struct json_node *object, const struct json_edit *edits,
                            size_t count, struct buf *out)
{
    static const struct json_node empty = {.raw = {"{}", 2}, .size = 1, .type = JSON_OBJECT};
    return json_edit_object(json_is(object, JSON_OBJECT) ? object : &empty, edits, count, out);
}

/* An object of the root with one more member, as part of that addition. */
static enum err add_inside(struct override *o, enum addition what, struct span name,
                           struct json_edit edit, struct buf *text)
{
    const struct json_node *given = json_get(o->root, name);
    buf_init(text, (given == NULL ? 0 : given->raw.len) + 256);
    enum err e = dialect_edit_given(given, &edit, 1, text);
    if (e == ERR_OK) {
        add_member(o, what, name, buf_span(text));
    }
    return e;
}

/* ---- model and stream ---- */

static enum err set_model(struct override *o)
{
    struct span model = o->how->model;
    if (model.len == 0) {
        return ERR_OK;
    }
    buf_init(&o->model, model.len * 6 + 8);
    enum err e = buf_append_json_string(&o->model, model);
    if (e == ERR_OK) {
        set_member(&o->set, SPAN("model"), buf_span(&o->model));
    }
    return e;
}

static enum err add_stream(struct override *o)
{
    struct span name = SPAN("stream");
    const struct json_node *old = json_get(o->root, name);
    bool stream = o->how->stream && (json_is(old, JSON_TRUE) || may_add(o, ADDITION_STREAM));
    if (json_is(old, stream ? JSON_TRUE : JSON_FALSE) || (!stream && !o->ollama)) {
        return ERR_OK;
    }
    /* said, since Ollama streams where it is not */
    set_member(&o->set, name, stream ? SPAN("true") : SPAN("false"));
    return o->ollama ? ERR_OK
                     : add_inside(o, ADDITION_STREAM_USAGE, SPAN("stream_options"),
                                  (struct json_edit){SPAN("include_usage"), SPAN("true")},
                                  &o->stream_options);
}

/* ---- limits ---- */

static struct span number_text(char text[NUMBER_MAX], int64_t n)
{
    int len = snprintf(text, NUMBER_MAX, "%" PRId64, n);
    return span_make(text, len > 0 ? (size_t)len : 0);
}

static void add_cap(struct override *o)
{
    if (o->policy->max_tokens <= 0) {
        return; /* 0 would be "no limit" for Ollama */
    }
    struct span cap = number_text(o->cap, o->policy->max_tokens);
    bool newer = json_given(o->root, SPAN("max_completion_tokens")) != NULL;
    if (o->ollama) {
        add_option(o, ADDITION_LIMITS, SPAN("num_predict"), cap);
        return;
    }
    if (newer) {
        add_member(o, ADDITION_LIMITS, SPAN("max_completion_tokens"), cap);
    }
    if (json_given(o->root, SPAN("n_predict")) != NULL) { /* llama.cpp takes it before the others */
        add_member(o, ADDITION_LIMITS, SPAN("n_predict"), cap);
    }
    /* Ollama reads max_tokens only; of two, a server may read either */
    if (!newer || o->how->sort == SERVER_OLLAMA ||
        json_given(o->root, SPAN("max_tokens")) != NULL) {
        add_member(o, ADDITION_LIMITS, SPAN("max_tokens"), cap);
    }
}

static bool is_number(struct span text)
{
    struct json_doc doc;
    bool is = json_is(json_read(text, &doc), JSON_NUMBER) && doc.verdict == JSON_OK;
    json_doc_free(&doc);
    return is;
}

static void add_limits(struct override *o)
{
    struct span temperature = span_trim(span_of(o->policy->temperature));
    bool slots = o->how->sort == SERVER_LLAMA_CPP || o->how->sort == SERVER_OPENAI;
    add_cap(o);
    if (is_number(temperature) && o->ollama) {
        add_option(o, ADDITION_LIMITS, SPAN("temperature"), temperature);
    } else if (is_number(temperature)) {
        add_member(o, ADDITION_LIMITS, SPAN("temperature"), temperature);
    }
    if (!o->ollama && slots && o->policy->id_slot >= 0) {
        add_member(o, ADDITION_SLOT, SPAN("id_slot"), number_text(o->slot, o->policy->id_slot));
    }
}

/* ---- thinking ---- */

static bool any_given(const struct json_node *object, const struct span *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_given(object, names[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool decides_thinking(const struct json_node *root)
{
    static const struct span names[] = {{"think", 5},     {"reasoning_effort", 16},
                                        {"reasoning", 9}, {"enable_thinking", 15},
                                        {"thinking", 8},  {"thinking_budget", 15}};
    static const struct span inside[] = {{"enable_thinking", 15},
                                         {"thinking", 8},
                                         {"thinking_budget", 15},
                                         {"reasoning_effort", 16}};
    return any_given(root, names, sizeof names / sizeof names[0]) ||
           any_given(json_get(root, SPAN("chat_template_kwargs")), inside,
                     sizeof inside / sizeof inside[0]);
}

/* Servers refuse two members about one thing, or take `reasoning` first. */
static void add_effort(struct override *o, struct span effort)
{
    add_member(o, ADDITION_THINK, SPAN("reasoning_effort"), effort);
    add_member(o, ADDITION_THINK, SPAN("reasoning"), SPAN_NONE);
}

/* A hosted model cannot be kept from thinking: the lowest effort that all of them know, unless the
 * client knows a lower one. */
static void lower_effort(struct override *o)
{
    const struct json_node *old = json_get(o->root, SPAN("reasoning_effort"));
    if (!json_is_text(old, SPAN("none")) && !json_is_text(old, SPAN("minimal"))) {
        add_effort(o, SPAN("\"low\""));
    }
}

static enum err add_thinking(struct override *o)
{
    enum think_rule rule = o->policy->think;
    if (rule == THINK_AUTO) {
        rule = decides_thinking(o->root) ? THINK_AS_ASKED : THINK_OFF;
    }
    if (rule == THINK_AS_ASKED) {
        return ERR_OK;
    }
    bool on = rule == THINK_ON;
    struct span value = on ? SPAN("true") : SPAN("false");
    if (o->ollama) {
        add_member(o, ADDITION_THINK, SPAN("think"), value);
    } else if (o->how->sort == SERVER_OLLAMA) {
        add_effort(o, on ? SPAN("\"medium\"") : SPAN("\"none\""));
    } else if (o->how->sort != SERVER_HOSTED) {
        return add_inside(o, ADDITION_THINK, SPAN("chat_template_kwargs"),
                          (struct json_edit){SPAN("enable_thinking"), value}, &o->kwargs);
    } else if (!on) {
        lower_effort(o);
    }
    return ERR_OK;
}

/* ---- schema ---- */

bool dialect_schema(const struct kind_policy *policy, struct buf *out)
{
    struct span member = span_of(policy->shape_member);
    bool text = policy->shape == KIND_SHAPE_STRING;
    bool list = policy->shape == KIND_SHAPE_STRINGS || policy->shape == KIND_SHAPE_ARRAY;
    size_t before = out->len;
    if (member.len == 0 || (!text && !list)) {
        return false;
    }
    enum err e = buf_append_span(out, SPAN("{\"type\":\"object\",\"properties\":{\""));
    e = e == ERR_OK ? buf_append_json(out, member) : e;
    e = e == ERR_OK ? buf_append_span(out, SPAN("\":")) : e;
    e = e != ERR_OK ? e
        : text      ? buf_append_span(out, SPAN("{\"type\":\"string\"}"))
               : buf_append_span(out, SPAN("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"));
    e = e == ERR_OK ? buf_append_span(out, SPAN("},\"required\":[\"")) : e;
    e = e == ERR_OK ? buf_append_json(out, member) : e;
    e = e == ERR_OK ? buf_append_span(out, SPAN("\"],\"additionalProperties\":false}")) : e;
    if (e != ERR_OK) {
        out->len = before;
    }
    return e == ERR_OK;
}

static enum err add_schema(struct override *o)
{
    static const struct span decided[] = {{"response_format", 15}, {"format", 6}};
    bool wanted = o->policy->json_schema || o->how->schema;
    enum err e = ERR_OK;
    if (!wanted || any_given(o->root, decided, sizeof decided / sizeof decided[0])) {
        return ERR_OK;
    }
    buf_init(&o->format, 12 * span_of(o->policy->shape_member).len + 512);
    if (!o->ollama) {
        e = buf_append_span(&o->format, SPAN("{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                             "\"answer\",\"strict\":true,\"schema\":"));
    }
    if (e != ERR_OK || !dialect_schema(o->policy, &o->format)) {
        return e;
    }
    e = o->ollama ? e : buf_append_span(&o->format, SPAN("}}"));
    if (e == ERR_OK) {
        struct span name = o->ollama ? SPAN("format") : SPAN("response_format");
        add_member(o, ADDITION_SCHEMA, name, buf_span(&o->format));
    }
    return e;
}

/* ---- what Ollama loads a model with ---- */

/* What the configuration says, whatever the chat has. */
static void add_load_values(struct override *o)
{
    if (o->ollama && o->policy->num_ctx == MATCH_VALUE) {
        set_member(&o->set_options, SPAN("num_ctx"), span_of(o->policy->num_ctx_value));
    }
    if (o->ollama && o->policy->keep_alive == MATCH_VALUE) {
        set_member(&o->set, SPAN("keep_alive"), span_of(o->policy->keep_alive_value));
    }
}

static void add_load(struct override *o)
{
    struct json_doc doc;
    add_load_values(o);
    const struct json_node *load = json_read(o->how->load, &doc);
    bool good = o->ollama && load != NULL && doc.verdict == JSON_OK;
    for (size_t i = 0; good && o->policy->num_ctx == MATCH_CHAT && i < LOAD_OPTIONS; i++) {
        const struct json_node *value = json_get(load, load_options[i]);
        add_option(o, ADDITION_LOAD, load_options[i], value == NULL ? SPAN_NONE : value->raw);
    }
    const struct json_node *keep_alive = json_get(load, SPAN("keep_alive"));
    if (good && o->policy->keep_alive == MATCH_CHAT && keep_alive != NULL) {
        add_member(o, ADDITION_LOAD, SPAN("keep_alive"), keep_alive->raw);
    }
    json_doc_free(&doc); /* the values point into how->load */
}

/* ---- the user's own members ---- */

/* Sets every member of an object of `extra`; null removes one. `options` is left out where Ollama's
 * are merged. */
static void set_extra(struct override *o, struct edits *list, const struct json_node *object,
                      bool merges)
{
    JSON_EACH(value, object)
    {
        struct span name = value->name;
        size_t from = o->names.len;
        if (merges && json_named(value, SPAN("options"))) {
            continue;
        }
        if (value->name_escaped && json_text(name, &o->names)) {
            name = span_make(o->names.data + from, o->names.len - from);
        }
        set_member(list, name, value->type == JSON_NULL ? SPAN_NONE : value->raw);
    }
}

/* Ollama's options are merged member by member: what the user did not name stays. */
static enum err add_extra(struct override *o)
{
    const struct json_node *extra = o->extra.count > 0 ? o->extra.nodes : NULL;
    const struct json_node *options = json_get(extra, SPAN("options"));
    if (extra == NULL || !may_add(o, ADDITION_EXTRA)) {
        return ERR_OK;
    }
    bool merges = o->ollama && json_is(options, JSON_OBJECT);
    o->sets_options = merges;
    buf_init(&o->names, extra->raw.len);
    enum err e = buf_reserve(&o->names, extra->raw.len); /* the edits point into it */
    if (e == ERR_OK) {
        set_extra(o, &o->set, extra, merges);
        set_extra(o, &o->set_options, merges ? options : NULL, false);
        o->set_options.count = merges || options == NULL ? o->set_options.count : 0; /* replaced */
    }
    return e;
}

/* ---- all of it ---- */

static enum err set_options(struct override *o)
{
    struct span name = SPAN("options");
    size_t more = 512 + DIALECT_LOAD_MAX + 6 * span_of(o->policy->extra).len;
    if (o->set_options.count == 0 && !o->sets_options) {
        return ERR_OK;
    }
    buf_init(&o->options_text, (o->options == NULL ? 0 : o->options->raw.len) + more);
    enum err e = dialect_edit_given(o->options, o->set_options.items, o->set_options.count,
                                    &o->options_text);
    if (o->sets_options || o->options != NULL || !span_eq(buf_span(&o->options_text), SPAN("{}"))) {
        set_member(&o->set, name, buf_span(&o->options_text));
    }
    return e;
}

static enum err gather(struct override *o)
{
    enum err e = add_stream(o);
    if (e == ERR_OK && o->policy != NULL) {
        add_limits(o);
        e = add_thinking(o);
        e = e == ERR_OK ? add_schema(o) : e;
        add_load(o);
        e = e == ERR_OK ? add_extra(o) : e;
        e = e == ERR_OK ? set_options(o) : e;
    }
    return e;
}

/* Whether nothing but the model is changed. */
static bool is_as_asked(const struct override *o)
{
    for (size_t i = 0; i < o->set.count; i++) {
        const struct json_edit *edit = &o->set.items[i];
        if (!span_eq(edit->name, SPAN("model")) &&
            !changes_nothing(o->root, edit->name, edit->value)) {
            return false;
        }
    }
    return true;
}

static void begin(struct override *o, struct span body)
{
    const struct json_node *root = o->how->root != NULL ? o->how->root : json_read(body, &o->body);
    const struct json_node *options = json_get(root, SPAN("options"));
    struct span extra = o->policy == NULL ? SPAN_NONE : span_of(o->policy->extra);
    o->root = json_is(root, JSON_OBJECT) ? root : NULL;
    o->options = json_is(options, JSON_OBJECT) ? options : NULL;
    if (!json_is(json_read(extra, &o->extra), JSON_OBJECT) || o->extra.verdict == JSON_INVALID) {
        json_doc_free(&o->extra); /* the configuration has refused it already */
    }
    struct edits *lists[] = {&o->set, &o->set_options};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        lists[i]->room = OWN_EDITS + o->extra.count;
        lists[i]->items = mem_new(lists[i]->room * sizeof *lists[i]->items);
    }
}

static void end(struct override *o)
{
    struct buf *texts[] = {&o->model,  &o->stream_options, &o->kwargs,
                           &o->format, &o->options_text,   &o->names};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        buf_free(texts[i]);
    }
    free(o->set.items);
    free(o->set_options.items);
    json_doc_free(&o->body);
    json_doc_free(&o->extra);
}

enum err dialect_override(struct span body, enum endpoint endpoint, const struct overrides *how,
                          struct buf *out, struct additions *added)
{
    bool assembles = endpoint_assembles(endpoint);
    struct override o = {.how = how,
                         .policy = assembles ? how->policy : NULL,
                         .ollama = endpoint_dialect(endpoint) == DIALECT_OLLAMA};
    *added = (struct additions){0};
    begin(&o, body);
    enum err e = o.root == NULL ? ERR_INVALID : set_model(&o);
    e = e == ERR_OK && assembles ? gather(&o) : e;
    e = e == ERR_OK ? json_edit_root(body, o.root, o.set.items, o.set.count, out) : e;
    if (e == ERR_OK) {
        *added = (struct additions){.sent = is_as_asked(&o) ? 0 : o.made.sent, .left = o.made.left};
    }
    end(&o);
    return e;
}
