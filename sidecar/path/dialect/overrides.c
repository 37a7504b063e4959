/* overrides.c: see shape.h.
 *
 * What is to be set is first gathered in two lists of edits, one for the root and one for Ollama's
 * options, and then made in one pass of json_edit(): so no name is set twice and no other byte
 * moves. The client's own members are looked up in a copy without the long ones (messages, prompt
 * ...), since json_member() reads the whole text for each name. The user's own members (`extra`)
 * come last, over everything. An addition counts only where it changes something: a member that has
 * the value already is not touched.
 *
 * A member that is null counts as not given: servers read it so.
 */
#include "lull/path/dialect/overrides.h"

#include "lull/path/json/json.h"
#include "path/dialect/dialect_priv.h"

#include <inttypes.h>
#include <stdio.h>

enum { EDITS_MAX = 32 /* what json_edit() takes */, NUMBER_MAX = 24 };

struct edits {
    struct json_edit items[EDITS_MAX];
    size_t count;
};

struct shaper {
    const struct overrides *how;
    const struct kind_policy *policy; /* NULL: only model and stream */
    struct additions made;
    bool ollama;      /* the endpoint's dialect */
    struct span body; /* the model already in place */
    struct span few;  /* of it, the members that are short */
    struct edits root, options;
    struct buf named, few_text, stream_options, kwargs, format, options_text;
    char cap[NUMBER_MAX], slot[NUMBER_MAX];
};

/* ---- members ---- */

static void set(struct edits *list, struct span name, struct span value)
{
    size_t i = 0;
    while (i < list->count && !span_eq(list->items[i].name, name)) {
        i++;
    }
    require(i < EDITS_MAX);
    list->items[i] = (struct json_edit){name, value};
    list->count = i == list->count ? i + 1 : list->count;
}

static bool given(struct span object, const char *name)
{
    struct span value = SPAN_NONE;
    return json_member(object, span_of(name), &value) && !span_eq(value, SPAN("null"));
}

/* A member that is an object; "{}" when it is none. */
static struct span object_member(struct span object, struct span name, bool *found)
{
    struct span value = SPAN_NONE;
    *found = json_member(object, name, &value) && span_starts(value, SPAN("{"));
    return *found ? value : SPAN("{}");
}

/* Whether the addition is to be made; noted either way. */
static bool takes(struct shaper *s, enum addition what)
{
    if ((s->how->without & (unsigned)what) != 0) {
        s->made.left |= (unsigned)what;
        return false;
    }
    s->made.sent |= (unsigned)what;
    return true;
}

static bool already(struct span object, struct span name, struct span value)
{
    struct span old = SPAN_NONE;
    return json_member(object, name, &old) && span_eq(old, value);
}

/* Sets a member of `object`, whose edits are in list, as part of that addition; an empty value
 * removes it. What changes nothing is no addition. */
static void add(struct shaper *s, enum addition what, struct edits *list, struct span object,
                struct json_edit edit)
{
    struct span old = SPAN_NONE;
    bool there = json_member(object, edit.name, &old);
    bool changes = edit.value.len == 0 ? there : !there || !span_eq(old, edit.value);
    if (changes && takes(s, what)) {
        set(list, edit.name, edit.value);
    }
}

static void add_root(struct shaper *s, enum addition what, struct span name, struct span value)
{
    add(s, what, &s->root, s->few, (struct json_edit){name, value});
}

/* Of Ollama's options. */
static void add_option(struct shaper *s, enum addition what, struct span name, struct span value)
{
    bool found = false;
    struct span old = object_member(s->few, SPAN("options"), &found);
    add(s, what, &s->options, old, (struct json_edit){name, value});
}

/* An object of the client's with one member set. */
static enum err with_member(const struct shaper *s, struct span object, struct json_edit edit,
                            struct buf *out)
{
    bool found = false;
    buf_init(out, s->few.len + 256);
    return json_edit(object_member(s->few, object, &found), &edit, 1, out);
}

/* ---- model and stream ---- */

static enum err put_model(struct shaper *s)
{
    struct span model = s->how->model;
    struct buf name = {.max = model.len * 6 + 8};
    struct json_edit edit = {SPAN("model"), SPAN_NONE};
    if (model.len == 0) {
        return ERR_OK;
    }
    buf_init(&s->named, s->body.len + name.max + 16);
    enum err e = buf_append_char(&name, '"');
    e = e == ERR_OK ? buf_append_json(&name, model) : e;
    e = e == ERR_OK ? buf_append_char(&name, '"') : e;
    edit.value = buf_span(&name);
    e = e == ERR_OK ? json_edit(s->body, &edit, 1, &s->named) : e;
    buf_free(&name);
    if (e == ERR_OK) {
        s->body = buf_span(&s->named);
    }
    return e;
}

static enum err put_few(struct shaper *s)
{
    const struct json_edit without[] = {
        {SPAN("messages"), SPAN_NONE}, {SPAN("prompt"), SPAN_NONE}, {SPAN("system"), SPAN_NONE},
        {SPAN("images"), SPAN_NONE},   {SPAN("tools"), SPAN_NONE},
    };
    buf_init(&s->few_text, s->body.len);
    enum err e = json_edit(s->body, without, sizeof without / sizeof without[0], &s->few_text);
    s->few = buf_span(&s->few_text);
    return e;
}

static enum err add_stream(struct shaper *s)
{
    struct span name = SPAN("stream");
    bool stream = s->how->stream;
    if (stream && !already(s->few, name, SPAN("true"))) {
        stream = takes(s, ADDITION_STREAM);
    }
    struct span value = stream ? SPAN("true") : SPAN("false");
    if (already(s->few, name, value) || (!stream && !s->ollama)) {
        return ERR_OK;
    }
    set(&s->root, name, value); /* said, since Ollama streams where it is not */
    if (s->ollama) {
        return ERR_OK;
    }
    struct json_edit edit = {SPAN("include_usage"), SPAN("true")};
    enum err e = with_member(s, SPAN("stream_options"), edit, &s->stream_options);
    if (e == ERR_OK) {
        add_root(s, ADDITION_STREAM_USAGE, SPAN("stream_options"), buf_span(&s->stream_options));
    }
    return e;
}

/* ---- limits ---- */

static struct span written(char text[NUMBER_MAX], int64_t n)
{
    int len = snprintf(text, NUMBER_MAX, "%" PRId64, n);
    return span_make(text, len > 0 ? (size_t)len : 0);
}

static void add_cap(struct shaper *s)
{
    if (s->policy->max_tokens <= 0) {
        return; /* 0 would be "no limit" for Ollama */
    }
    struct span cap = written(s->cap, s->policy->max_tokens);
    bool newer = given(s->few, "max_completion_tokens");
    if (s->ollama) {
        add_option(s, ADDITION_LIMITS, SPAN("num_predict"), cap);
        return;
    }
    if (newer) {
        add_root(s, ADDITION_LIMITS, SPAN("max_completion_tokens"), cap);
    }
    /* Ollama reads max_tokens only; of two, nobody knows which one a server reads */
    if (!newer || s->how->sort == SERVER_OLLAMA || given(s->few, "max_tokens")) {
        add_root(s, ADDITION_LIMITS, SPAN("max_tokens"), cap);
    }
}

static bool is_number(struct span text)
{
    return text.len > 0 && (text.ptr[0] == '-' || (text.ptr[0] >= '0' && text.ptr[0] <= '9')) &&
           json_canonical(text, NULL, 0, NULL) == JSON_OK;
}

static void add_limits(struct shaper *s)
{
    struct span temperature = span_trim(span_of(s->policy->temperature));
    bool slots = s->how->sort == SERVER_LLAMA_CPP || s->how->sort == SERVER_OPENAI;
    add_cap(s);
    if (is_number(temperature) && s->ollama) {
        add_option(s, ADDITION_LIMITS, SPAN("temperature"), temperature);
    } else if (is_number(temperature)) {
        add_root(s, ADDITION_LIMITS, SPAN("temperature"), temperature);
    }
    if (!s->ollama && slots && s->policy->id_slot >= 0) {
        add_root(s, ADDITION_SLOT, SPAN("id_slot"), written(s->slot, s->policy->id_slot));
    }
}

/* ---- thinking ---- */

static bool any_given(struct span object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (given(object, names[i])) {
            return true;
        }
    }
    return false;
}

static bool speaks_of_thinking(const struct shaper *s)
{
    static const char *const root[] = {"think", "reasoning_effort", "reasoning", "enable_thinking"};
    static const char *const inside[] = {"enable_thinking", "thinking", "thinking_budget",
                                         "reasoning_effort"};
    bool found = false;
    struct span kwargs = object_member(s->few, SPAN("chat_template_kwargs"), &found);
    return any_given(s->few, root, sizeof root / sizeof root[0]) ||
           any_given(kwargs, inside, sizeof inside / sizeof inside[0]);
}

/* Servers refuse two words about one thing, or take `reasoning` first. */
static void add_effort(struct shaper *s, struct span effort)
{
    add_root(s, ADDITION_THINK, SPAN("reasoning_effort"), effort);
    add_root(s, ADDITION_THINK, SPAN("reasoning"), SPAN_NONE);
}

/* A hosted model cannot be kept from thinking: the lowest effort that all of them know, unless the
 * client knows a lower one. */
static void lower_effort(struct shaper *s)
{
    if (!already(s->few, SPAN("reasoning_effort"), SPAN("\"none\"")) &&
        !already(s->few, SPAN("reasoning_effort"), SPAN("\"minimal\""))) {
        add_effort(s, SPAN("\"low\""));
    }
}

static enum err add_thinking(struct shaper *s)
{
    enum think_rule rule = s->policy->think;
    enum err e = ERR_OK;
    if (rule == THINK_AUTO) {
        rule = speaks_of_thinking(s) ? THINK_AS_ASKED : THINK_OFF;
    }
    if (rule == THINK_AS_ASKED) {
        return ERR_OK;
    }
    bool on = rule == THINK_ON;
    if (s->ollama) {
        add_root(s, ADDITION_THINK, SPAN("think"), on ? SPAN("true") : SPAN("false"));
    } else if (s->how->sort == SERVER_OLLAMA) {
        add_effort(s, on ? SPAN("\"medium\"") : SPAN("\"none\""));
    } else if (s->how->sort != SERVER_HOSTED) {
        struct span name = SPAN("chat_template_kwargs");
        struct json_edit edit = {SPAN("enable_thinking"), on ? SPAN("true") : SPAN("false")};
        e = with_member(s, name, edit, &s->kwargs);
        if (e == ERR_OK) {
            add_root(s, ADDITION_THINK, name, buf_span(&s->kwargs));
        }
    } else if (!on) {
        lower_effort(s);
    }
    return e;
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

static enum err add_schema(struct shaper *s)
{
    static const char *const decided[] = {"response_format", "format"};
    bool wanted = s->policy->json_schema || s->how->schema;
    enum err e = ERR_OK;
    if (!wanted || any_given(s->few, decided, sizeof decided / sizeof decided[0])) {
        return ERR_OK;
    }
    buf_init(&s->format, 12 * span_of(s->policy->shape_member).len + 512);
    if (!s->ollama) {
        e = buf_append_span(&s->format, SPAN("{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                             "\"answer\",\"strict\":true,\"schema\":"));
    }
    if (e != ERR_OK || !dialect_schema(s->policy, &s->format)) {
        return e;
    }
    e = s->ollama ? e : buf_append_span(&s->format, SPAN("}}"));
    if (e == ERR_OK) {
        struct span name = s->ollama ? SPAN("format") : SPAN("response_format");
        add_root(s, ADDITION_SCHEMA, name, buf_span(&s->format));
    }
    return e;
}

/* ---- what Ollama loads a model with ---- */

/* What the configuration says, whatever the chat has. */
static void add_load_values(struct shaper *s)
{
    if (s->ollama && s->policy->num_ctx == MATCH_VALUE) {
        set(&s->options, SPAN("num_ctx"), span_of(s->policy->num_ctx_value));
    }
    if (s->ollama && s->policy->keep_alive == MATCH_VALUE) {
        set(&s->root, SPAN("keep_alive"), span_of(s->policy->keep_alive_value));
    }
}

static void add_load(struct shaper *s)
{
    struct span load = s->how->load;
    struct span value = SPAN_NONE;
    add_load_values(s);
    if (!s->ollama || load.len == 0 || json_canonical(load, NULL, 0, NULL) != JSON_OK) {
        return;
    }
    for (size_t i = 0; s->policy->num_ctx == MATCH_CHAT && i < LOAD_OPTIONS; i++) {
        struct span name = span_of(load_options[i]);
        add_option(s, ADDITION_LOAD, name, json_member(load, name, &value) ? value : SPAN_NONE);
    }
    if (s->policy->keep_alive == MATCH_CHAT && json_member(load, SPAN("keep_alive"), &value)) {
        add_root(s, ADDITION_LOAD, SPAN("keep_alive"), value);
    }
}

static enum err add_options(struct shaper *s)
{
    bool found = false;
    struct span name = SPAN("options");
    struct span old = object_member(s->few, name, &found);
    if (s->options.count == 0) {
        return ERR_OK;
    }
    buf_init(&s->options_text, old.len + DIALECT_LOAD_MAX + 512);
    enum err e = json_edit(old, s->options.items, s->options.count, &s->options_text);
    if (found || !span_eq(buf_span(&s->options_text), old)) {
        set(&s->root, name, buf_span(&s->options_text));
    }
    return e;
}

/* ---- the user's own members ---- */

/* One member of `extra` as an edit; `options` has its own value where Ollama's are merged. */
static void take_extra(struct edits *edits, struct span extra, const cJSON *item,
                       struct span options)
{
    struct span name = span_of(item->string);
    struct span value = SPAN_NONE;
    if (options.len > 0 && span_eq(name, SPAN("options"))) {
        set(edits, name, options);
    } else if (json_member(extra, name, &value)) {
        set(edits, name, cJSON_IsNull(item) ? SPAN_NONE : value);
    }
}

/* text with every member of `extra` set; parsed is the same object. */
static enum err set_members(struct span text, struct span extra, const cJSON *parsed,
                            struct span options, struct buf *out)
{
    size_t max = text.len + 6 * extra.len + options.len + 64;
    struct buf now = {.max = max};
    const cJSON *item = parsed->child;
    enum err e = buf_append_span(&now, text);
    while (e == ERR_OK && item != NULL) {
        struct edits edits = {.count = 0};
        struct buf next = {.max = max};
        for (; item != NULL && edits.count < EDITS_MAX; item = item->next) {
            take_extra(&edits, extra, item, options);
        }
        e = json_edit(buf_span(&now), edits.items, edits.count, &next);
        buf_free(&now);
        buf_move(&now, &next);
    }
    e = e == ERR_OK ? buf_append_span(out, buf_span(&now)) : e;
    buf_free(&now);
    return e;
}

/* Ollama's options, member by member: what the user did not name stays. */
static enum err merge_options(const struct shaper *s, struct span text, struct span extra,
                              const cJSON *parsed, struct buf *out)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(parsed, "options");
    bool theirs = false;
    bool found = false;
    struct span members = object_member(extra, SPAN("options"), &theirs);
    if (!s->ollama || !theirs || !cJSON_IsObject(options)) {
        return ERR_OK;
    }
    struct span old = object_member(text, SPAN("options"), &found);
    return set_members(old, members, options, SPAN_NONE, out);
}

static enum err put_extra(const struct shaper *s, struct span text, struct buf *out)
{
    struct span extra = span_of(s->policy->extra);
    struct buf options = {.max = text.len + 6 * extra.len + 64};
    cJSON *parsed =
        json_canonical(extra, NULL, 0, NULL) == JSON_INVALID ? NULL : json_tree_parse(extra);
    enum err e = ERR_OK;
    if (cJSON_IsObject(parsed)) {
        e = merge_options(s, text, extra, parsed, &options);
        e = e == ERR_OK ? set_members(text, extra, parsed, buf_span(&options), out) : e;
    } else {
        e = buf_append_span(out, text); /* the configuration has refused it already */
    }
    cJSON_Delete(parsed);
    buf_free(&options);
    return e;
}

/* ---- all of it ---- */

static enum err gather(struct shaper *s)
{
    enum err e = put_few(s);
    e = e == ERR_OK ? add_stream(s) : e;
    if (e == ERR_OK && s->policy != NULL) {
        add_limits(s);
        e = add_thinking(s);
        e = e == ERR_OK ? add_schema(s) : e;
        add_load(s);
        e = e == ERR_OK ? add_options(s) : e;
    }
    return e;
}

static enum err write_body(struct shaper *s, struct buf *out)
{
    bool extra = s->policy != NULL && span_of(s->policy->extra).len > 0;
    if (!extra || !takes(s, ADDITION_EXTRA)) {
        return json_edit(s->body, s->root.items, s->root.count, out);
    }
    struct buf plain = {.max = 2 * s->body.len + 12 * span_of(s->policy->shape_member).len +
                               DIALECT_LOAD_MAX + 4096};
    enum err e = json_edit(s->body, s->root.items, s->root.count, &plain);
    e = e == ERR_OK ? put_extra(s, buf_span(&plain), out) : e;
    buf_free(&plain);
    return e;
}

enum err dialect_override(struct span body, enum endpoint endpoint, const struct overrides *how,
                          struct buf *out, struct additions *added)
{
    bool assembles = endpoint_assembles(endpoint);
    struct shaper s = {.how = how,
                       .policy = assembles ? how->policy : NULL,
                       .ollama = endpoint_dialect(endpoint) == DIALECT_OLLAMA,
                       .body = body};
    size_t before = out->len;
    *added = (struct additions){0};
    enum err e = put_model(&s);
    e = e == ERR_OK && assembles ? gather(&s) : e;
    e = e == ERR_OK ? write_body(&s, out) : e;
    if (e == ERR_OK) {
        bool same = span_eq(span_make(out->data + before, out->len - before), s.body);
        *added = (struct additions){.sent = same ? 0 : s.made.sent, .left = s.made.left};
    } else {
        out->len = before;
    }
    buf_free(&s.named);
    buf_free(&s.few_text);
    buf_free(&s.stream_options);
    buf_free(&s.kwargs);
    buf_free(&s.format);
    buf_free(&s.options_text);
    return e;
}
