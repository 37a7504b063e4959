/* compare_stream.c: POST /compare: tries models on stored requests. The body names them, one a
 * line, or with prefix=1 none; each call that has ended is a JSON object in a line of its own, and
 * the last line sums up.
 *
 * Only root and the daemon's own uid may: the answers show what users wrote, and the requests are
 * sent on their behalf. The run ends when its client goes away.
 */
#include "control/control_priv.h"

enum { MODEL_MAX = 255, LINE_MAX = 64 * 1024 };

/* ---- what is asked ---- */

struct question {
    struct compare_spec spec;
    struct compare_candidate candidates[COMPARE_CANDIDATES];
    struct buf why; /* what is wrong with it */
};

static bool refuse_line(struct question *q, size_t line, const char *what, struct span word)
{
    buf_text(&q->why, "line %zu: %s%.*s", line, what, (int)(word.len < 64 ? word.len : 64),
             word.ptr == NULL ? "" : word.ptr);
    return false;
}

/* Whether it could be the name of an upstream: what follows an @ in a model's own name is not. */
static bool is_upstream_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool letter = s.ptr[i] >= 'a' && s.ptr[i] <= 'z';
        bool digit = (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '_';
        if (!letter && !(digit && i > 0)) {
            return false;
        }
    }
    return true;
}

/* MODEL[@UPSTREAM] */
static bool read_line(struct question *q, struct span text, size_t line)
{
    size_t at = span_rfind(text, SPAN("@"));
    struct compare_candidate c = {.text = text, .model = text, .upstream = -1};
    if (at != SIZE_MAX && is_upstream_name(span_make(text.ptr + at + 1, text.len - at - 1))) {
        struct span name = span_make(text.ptr + at + 1, text.len - at - 1);
        c.model = span_make(text.ptr, at);
        c.upstream = settings_find_upstream(q->spec.settings, name);
        if (c.upstream < 0) {
            return refuse_line(q, line, "there is no upstream named ", name);
        }
    }
    if (c.model.len == 0) {
        return refuse_line(q, line, "no model; write MODEL or MODEL@UPSTREAM", SPAN_NONE);
    }
    if (c.model.len > MODEL_MAX || span_find(text, SPAN("\0"), 0) != SIZE_MAX) {
        return refuse_line(q, line, "that is no model", SPAN_NONE);
    }
    if (q->spec.count == COMPARE_CANDIDATES) {
        return refuse_line(q, line, "16 models at most", SPAN_NONE);
    }
    for (size_t i = 0; i < q->spec.count; i++) {
        if (span_eq(q->candidates[i].text, text)) {
            return refuse_line(q, line, "named twice: ", text);
        }
    }
    q->candidates[q->spec.count++] = c;
    return true;
}

static bool read_lines(struct question *q, struct span body)
{
    size_t line = 1;
    if (q->spec.prefix) {
        return span_trim(body).len == 0 ||
               refuse_line(q, line, "prefix=1 takes no models", SPAN_NONE);
    }
    for (struct span text; span_next(&body, '\n', &text); line++) {
        if (!read_line(q, span_trim(text), line)) {
            return false;
        }
    }
    return q->spec.count > 0 ||
           refuse_line(q, line, "no model; write MODEL or MODEL@UPSTREAM", SPAN_NONE);
}

static bool take_parameter(void *ctx, struct span name, struct span value)
{
    struct question *q = ctx;
    if (span_eq(name, SPAN("kind"))) {
        q->spec.kind = settings_find_kind(q->spec.settings, value);
        return control_query_kind(q->spec.settings, value, &q->why);
    }
    if (span_eq(name, SPAN("last"))) {
        int64_t n = 0;
        bool ok = control_query_number(value, COMPARE_LAST_MAX, &n) && n > 0;
        q->spec.last = ok ? (size_t)n : 0;
        if (!ok) {
            buf_text(&q->why, "last is a number from 1 to %d", COMPARE_LAST_MAX);
        }
        return ok;
    }
    if (span_eq(name, SPAN("prefix")) && span_eq(value, SPAN("1"))) {
        q->spec.prefix = true;
        return true;
    }
    q->spec.yes = span_eq(name, SPAN("yes")) && span_eq(value, SPAN("1"));
    if (!q->spec.yes) {
        buf_text(&q->why, "there are kind, last, yes=1, and prefix=1");
    }
    return q->spec.yes;
}

/* ---- what is answered ---- */

/* One line, beginning the reply with the first. false: the client is slow to read. */
static bool send_line(struct http_conn *c, cJSON *tree)
{
    static const struct http_header type = {{"Content-Type", 12}, {"application/x-ndjson", 20}};
    char *text = cJSON_PrintUnformatted(tree);
    bool whole = text != NULL && control_json_whole();
    struct span line = whole ? span_of(text) : SPAN("{\"error\":\"out of memory\"}");
    control_json_begin();
    if (!http_reply_begun(c)) {
        http_reply_begin(c, 200, SPAN_NONE, &type, 1, -1);
    }
    bool before = http_reply_data(c, line);
    bool after = http_reply_data(c, SPAN("\n"));
    cJSON_free(text);
    cJSON_Delete(tree);
    return before && after;
}

static bool on_result(void *ctx, const struct compare_result *r)
{
    struct control *ctl = ctx;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", r->id);
    control_add_span(o, "candidate", r->candidate);
    control_add_span(o, "model", r->model);
    cJSON_AddStringToObject(o, "upstream", r->upstream);
    cJSON_AddBoolToObject(o, "ok", r->error == NULL);
    if (r->error != NULL) {
        cJSON_AddStringToObject(o, "error", r->error);
    } else {
        cJSON_AddBoolToObject(o, "shape", r->shape);
        control_add_ms(o, "latency_ms", r->latency);
        cJSON_AddNumberToObject(o, "tokens_in", (double)r->tokens_in);
        cJSON_AddNumberToObject(o, "tokens_out", (double)r->tokens_out);
        cJSON_AddBoolToObject(o, "estimated", r->estimated);
        control_add_quotient(o, "tokens_read", (double)r->tokens_read, r->tokens_read >= 0, 0);
        control_add_ms(o, "prompt_ms", r->prompt_time);
        cJSON_AddNumberToObject(o, "cost", (double)r->cost / 1e6);
        control_add_span(o, "answer", r->answer);
    }
    control_add_span(o, "stored", r->stored);
    cJSON_AddNumberToObject(o, "done", (double)r->finished);
    cJSON_AddNumberToObject(o, "of", (double)r->planned);
    return send_line(ctl->compare.conn, o);
}

static void add_summary(cJSON *list, const struct compare_summary *s)
{
    cJSON *o = cJSON_CreateObject();
    double answers = (double)(s->calls - s->failed);
    control_add_span(o, "candidate", s->candidate);
    cJSON_AddNumberToObject(o, "calls", (double)s->calls);
    cJSON_AddNumberToObject(o, "failed", (double)s->failed);
    cJSON_AddNumberToObject(o, "skipped", (double)s->skipped);
    control_add_quotient(o, "shape", (double)s->shaped, answers, 4);
    cJSON *ms = cJSON_AddObjectToObject(o, "latency_ms");
    control_add_ms(ms, "p50", s->p50);
    control_add_ms(ms, "p90", s->p90);
    control_add_ms(ms, "p95", s->p95);
    cJSON_AddNumberToObject(o, "tokens_in", (double)s->tokens_in);
    cJSON_AddNumberToObject(o, "tokens_out", (double)s->tokens_out);
    control_add_quotient(o, "tokens_read", (double)s->tokens_read.total,
                         (double)s->tokens_read.answers, 1);
    control_add_quotient(o, "prompt_ms", (double)s->prompt_time.total / 1e3,
                         (double)s->prompt_time.answers, 2);
    if (answers > 0) {
        cJSON_AddNumberToObject(o, "cost_per_1000", (double)s->cost / 1e3 / answers);
    } else {
        cJSON_AddNullToObject(o, "cost_per_1000");
    }
    cJSON_AddItemToArray(list, o);
}

/* The run is gone; returns whose it was. */
static struct http_conn *detach_run(struct control *ctl)
{
    struct http_conn *c = ctl->compare.conn;
    ctl->compare.conn = NULL;
    ctl->compare.run = NULL;
    return c;
}

static void on_ended(void *ctx, const struct compare_ending *ending)
{
    struct http_conn *c = detach_run(ctx);
    cJSON *o = cJSON_CreateObject();
    if (ending->why != NULL) {
        cJSON_AddStringToObject(o, "error", ending->why);
    }
    cJSON *list = cJSON_AddArrayToObject(o, "summary");
    for (size_t i = 0; i < ending->count; i++) {
        add_summary(list, &ending->rows[i]);
    }
    cJSON *left_out = ending->prefix ? cJSON_AddObjectToObject(o, "prefix_not") : NULL;
    for (size_t i = 0; left_out != NULL && i < PREFIX_REASON_COUNT; i++) {
        if (ending->prefix_not[i] > 0) {
            cJSON_AddNumberToObject(left_out, prefix_reason_name((enum prefix_reason)i),
                                    (double)ending->prefix_not[i]);
        }
    }
    (void)send_line(c, o);
    http_reply_end(c);
}

/* What would be sent elsewhere, and how to say yes. */
static void reply_needs_yes(struct http_conn *c, const struct compare_refusal *refusal)
{
    struct buf text = {.max = 64 * 1024};
    const struct compare_transfer *first = &refusal->transfers[0];
    buf_text(&text, "would send ");
    for (size_t i = 0; i < refusal->count; i++) {
        const struct compare_transfer *t = &refusal->transfers[i];
        buf_text(&text, "%s%zu stored request%s of %zu user%s to %s (upstream %s)",
                 i > 0 ? ", and " : "", t->requests, t->requests == 1 ? "" : "s", t->users,
                 t->users == 1 ? "" : "s", t->host, t->upstream);
    }
    buf_text(&text, "; --yes-send-stored-requests does it");
    require_ok(buf_append_char(&text, '\0'));
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "error", text.data);
    cJSON_AddNumberToObject(o, "requests", (double)first->requests);
    cJSON_AddNumberToObject(o, "users", (double)first->users);
    cJSON_AddStringToObject(o, "upstream", first->upstream);
    cJSON_AddStringToObject(o, "host", first->host);
    control_reply_tree(c, 409, o);
    buf_free(&text);
}

static void on_refused(void *ctx, const struct compare_refusal *refusal)
{
    struct http_conn *c = detach_run(ctx);
    if (refusal->count > 0) {
        reply_needs_yes(c, refusal);
    } else {
        control_reply_error(c, 409, span_of(refusal->why));
    }
}

static const struct compare_events events = {
    .refused = on_refused, .result = on_result, .ended = on_ended};

/* ---- the request ---- */

static void start_run(struct control *ctl, struct http_conn *c, const struct compare_spec *spec)
{
    if (*ctl->parts.draining) {
        control_reply_error(c, 409, SPAN("the daemon is stopping"));
        return;
    }
    struct compare_run *run = compare_start(ctl->parts.compare, spec, &events, ctl);
    if (run == NULL) {
        control_reply_error(c, 409, SPAN("another comparison is under way"));
        return;
    }
    ctl->compare.run = run;
    ctl->compare.conn = c;
}

void control_compare(struct control *ctl, struct http_conn *c)
{
    struct question q = {.spec = {.settings = control_settings(&ctl->parts),
                                  .kind = KIND_NONE,
                                  .last = COMPARE_LAST_DEFAULT},
                         .why = {.max = 4096}};
    struct buf text = {.max = LINE_MAX};
    bool good = control_query_walk(http_conn_request(c)->query, &text, take_parameter, &q, &q.why);
    q.spec.candidates = q.candidates;
    if (good && q.spec.kind == KIND_NONE) {
        buf_text(&q.why, "say which kind, as in kind=title");
        good = false;
    }
    if (good && read_lines(&q, http_body(c))) {
        start_run(ctl, c, &q.spec);
    } else {
        control_reply_error(c, 400, buf_span(&q.why));
    }
    buf_free(&text);
    buf_free(&q.why);
}

void control_compare_writable(struct control *ctl, struct http_conn *c)
{
    if (ctl->compare.conn == c) {
        compare_resume(ctl->compare.run);
    }
}

void control_compare_gone(struct control *ctl, const struct http_conn *c)
{
    if (ctl->compare.conn != NULL && (c == NULL || ctl->compare.conn == c)) {
        struct compare_run *run = ctl->compare.run;
        (void)detach_run(ctl);
        compare_stop(run);
    }
}
