/* nearest_entry.c: which stored request is most like one that was missed, and where they differ.
 *
 * Bodies are compared in the form that their keys are made of, so that what makes no difference to
 * a key is no difference here. Model and upstream are compared as they are called.
 *
 * Most stored requests of a client are the same text but for the inside of one string, the prompt:
 * these are compared byte by byte. Any other is read as JSON. The work is bounded: 512 entries in
 * four pages of the list (16,384 records), 2 MB of requests, twice 128 KB of them read as JSON.
 */
#include "control/control_priv.h"

#include "lull/path/fingerprint/fingerprint.h"
#include "lull/path/json/json_diff.h"
#include "lull/path/json/reader.h"

#include <stdio.h>

enum { PAGE = 128, PAGES_MAX = 4 };
static const size_t BYTES_MAX = (size_t)2 * 1024 * 1024; /* of requests compared */
static const size_t JSON_SHARE =
    (size_t)128 * 1024; /* of them read as JSON, for each of two sorts */
static const size_t READ_MAX = (size_t)32 * 1024 * 1024; /* of entries read */

struct search {
    const struct control_nearest *in;
    struct normalized_body mine;
    char own_id[HASH_KEY_HEX + 1];
    wall_t now;
    size_t compared, read;           /* bytes, of requests and of whole entries */
    size_t parsed[2];                /* bytes of requests read as JSON: without the text, with it */
    struct span before, text, after; /* the body, around the inside of its longest text */
    size_t values;                   /* in the body, in the form of its key */
    bool found;
    struct hash_key id;
    struct json_likeness likeness;
};

static bool read_body(struct span body, enum endpoint endpoint, struct normalized_body *out)
{
    struct dialect_request request = {0};
    bool parsed = dialect_request_parse(body, endpoint, &request);
    if (parsed) {
        normalized_body_read(body, &request, out);
    }
    dialect_request_free(&request);
    return parsed && out->verdict == JSON_OK;
}

static bool is_same_key(const struct search *s, const struct cache_info *info)
{
    char id[HASH_KEY_HEX + 1];
    hash_key_hex(info->id, id);
    return strcmp(id, s->own_id) == 0;
}

/* Whether the entry counts: it was there when the request was missed, and could have served. */
static bool is_candidate(const struct search *s, const struct cache_info *info)
{
    bool later = s->in->before.us != 0 && info->created.us > s->in->before.us;
    bool own = s->in->before.us != 0 && is_same_key(s, info); /* the answer to the miss */
    return !later && !own && (info->flags & CACHE_FLAG_OBSERVED) == 0 && info->request.len > 0 &&
           info->request.len <= CONTROL_NEAREST_BODY;
}

/* Finds the longest text of the messages in the body as it is written. */
static void find_text(struct search *s)
{
    struct json_doc doc;
    struct span body = s->in->body;
    const struct json_node *root = json_read(body, &doc);
    const struct json_node *asked = json_get(root, SPAN("messages"));
    asked = asked != NULL ? asked : json_get(root, SPAN("prompt"));
    for (uint32_t i = 0; asked != NULL && i < asked->size; i++) {
        const struct json_node *node = &asked[i];
        if (json_is(node, JSON_STRING) && node->raw.len > s->text.len + 2) {
            s->text = span_make(node->raw.ptr + 1, node->raw.len - 2);
        }
    }
    if (s->text.len > 0) {
        const char *end = s->text.ptr + s->text.len;
        s->before = span_make(body.ptr, (size_t)(s->text.ptr - body.ptr));
        s->after = span_make(end, (size_t)(body.ptr + body.len - end));
    }
    json_doc_free(&doc);
}

/* For a stored request that differs inside of that text only. */
static bool compare_text(const struct search *s, const struct cache_info *info,
                         struct json_likeness *out)
{
    struct span stored = info->request;
    size_t looked = 0, around = s->before.len + s->after.len;
    if (s->text.len == 0 || stored.len < around || !span_starts(stored, s->before) ||
        !span_ends(stored, s->after) ||
        engine_entry_endpoint(info->flags) != s->in->about->endpoint) {
        return false;
    }
    struct span text = span_make(stored.ptr + s->before.len, stored.len - around);
    struct span token = span_make(text.ptr - 1, text.len + 2);
    if (json_extent(token, JSON_PYTHON, &looked) != JSON_ENDS || looked != token.len) {
        return false; /* a string ends inside */
    }
    out->equal = s->values - (span_eq(text, s->text) ? 0 : 1);
    out->common = 2 + json_diff_common(s->text, text); /* 2: the quotes */
    return true;
}

/* Whether a request may be read as JSON still. Those that have the text somewhere have a share of
 * their own, so that one with another value beside an equal text is found among many others. */
static bool has_room(struct search *s, struct span stored)
{
    bool alike = s->text.len > 0 && span_find(stored, s->text, 0) != SIZE_MAX;
    size_t *parsed = &s->parsed[alike ? 1 : 0];
    bool room = *parsed == 0 || *parsed + stored.len <= JSON_SHARE;
    *parsed += room ? stored.len : 0;
    return room;
}

static bool compare_json(struct search *s, const struct cache_info *info, struct json_likeness *out)
{
    struct normalized_body stored = {0};
    bool readable = has_room(s, info->request) &&
                    read_body(info->request, engine_entry_endpoint(info->flags), &stored);
    if (readable) {
        json_diff_likeness(buf_span(&s->mine.text), buf_span(&stored.text), out);
    }
    normalized_body_free(&stored);
    return readable;
}

static void look_at(void *ctx, const struct cache_info *info)
{
    struct search *s = ctx;
    struct json_likeness likeness;
    s->read += info->bytes;
    if (!is_candidate(s, info) || s->compared + info->request.len > BYTES_MAX) {
        return;
    }
    s->compared += info->request.len;
    if (!compare_text(s, info, &likeness) && !compare_json(s, info, &likeness)) {
        return;
    }
    likeness.equal += span_eq(info->model, span_of(s->in->about->model)) ? 1 : 0;
    likeness.equal += span_eq(info->upstream, span_of(s->in->about->upstream)) ? 1 : 0;
    if (!s->found || json_likeness_exceeds(&likeness, &s->likeness)) {
        s->found = true;
        s->id = info->id;
        s->likeness = likeness;
    }
}

/* Reads the list page by page until a limit is reached. */
static void search_list(struct control *ctl, struct search *s)
{
    struct cache_filter filter = {.kind = span_of(s->in->about->kind),
                                  .scope = span_of(s->in->about->scope)};
    int64_t next = 0;
    for (int page = 0; page < PAGES_MAX && s->read < READ_MAX && s->compared < BYTES_MAX; page++) {
        cache_list(ctl->parts.cache, &filter, PAGE, CACHE_LIST_ROWS, next, look_at, s, &next);
        if (next == 0) {
            return;
        }
    }
}

/* ---- the reply ---- */

/* Without texts also without a position: by asking again and again with one character changed, a
 * position would give the stored text away. */
static void add_line(cJSON *lines, const struct json_difference *line, bool texts)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "path", line->path);
    if (texts) {
        cJSON_AddNumberToObject(o, "position", (double)line->position);
    } else {
        cJSON_AddNullToObject(o, "position");
    }
    if (texts && line->in_mine) {
        cJSON_AddStringToObject(o, "mine", line->mine);
    } else {
        cJSON_AddNullToObject(o, "mine");
    }
    if (texts && line->in_stored) {
        cJSON_AddStringToObject(o, "stored", line->stored);
    } else {
        cJSON_AddNullToObject(o, "stored");
    }
    if (!line->in_mine || !line->in_stored) {
        cJSON_AddStringToObject(o, "only", line->in_mine ? "mine" : "stored");
    }
    cJSON_AddItemToArray(lines, o);
}

struct reply {
    const struct search *search;
    cJSON *tree;
};

static void describe_entry(void *ctx, const struct cache_info *info)
{
    struct reply *r = ctx;
    const struct search *s = r->search;
    const struct explanation *e = s->in->about;
    struct normalized_body stored = {0};
    struct json_difference found[JSON_DIFF_LINES + 2];
    char id[HASH_KEY_HEX + 1];
    size_t count = 0;
    if (!read_body(info->request, engine_entry_endpoint(info->flags), &stored)) {
        normalized_body_free(&stored);
        return;
    }
    count += json_difference_of("model", span_of(e->model), info->model, &found[count]) ? 1 : 0;
    count +=
        json_difference_of("upstream", span_of(e->upstream), info->upstream, &found[count]) ? 1 : 0;
    count += json_diff_lines(buf_span(&s->mine.text), buf_span(&stored.text), &found[count]);
    normalized_body_free(&stored);
    hash_key_hex(info->id, id);
    r->tree = cJSON_CreateObject();
    cJSON_AddStringToObject(r->tree, "id", id);
    control_add_time(r->tree, "created", info->created);
    control_add_time(r->tree, "expires", info->expires);
    cJSON_AddBoolToObject(r->tree, "expired", info->expires.us <= s->now.us);
    cJSON_AddNumberToObject(r->tree, "equal", (double)s->likeness.equal);
    cJSON_AddNumberToObject(r->tree, "different", (double)count);
    cJSON *lines = cJSON_AddArrayToObject(r->tree, "differences");
    for (size_t i = 0; i < count && i < JSON_DIFF_LINES; i++) {
        add_line(lines, &found[i], s->in->texts);
    }
}

cJSON *control_nearest(struct control *ctl, const struct control_nearest *in)
{
    struct search s = {.in = in, .now = loop_wall(ctl->parts.loop)};
    struct reply r = {.search = &s};
    snprintf(s.own_id, sizeof s.own_id, "%s", in->about->fingerprint);
    if (in->body.len <= CONTROL_NEAREST_BODY && read_body(in->body, in->about->endpoint, &s.mine)) {
        json_diff_likeness(buf_span(&s.mine.text), buf_span(&s.mine.text), &s.likeness);
        s.values = s.likeness.equal;
        find_text(&s);
        search_list(ctl, &s);
    }
    if (s.found && cache_get(ctl->parts.cache, s.id, describe_entry, &r) != ERR_OK) {
        cJSON_Delete(r.tree);
        r.tree = NULL;
    }
    normalized_body_free(&s.mine);
    return r.tree;
}
