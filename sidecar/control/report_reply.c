/* report_reply.c: GET /report?days=35&by=user: the savings of each day, by kind or by user, as JSON
 * or, for a client that accepts text/csv, as CSV. Names of the figures come from SAVINGS_FIGURES. */
#include "control/control_priv.h"

struct report_query {
    int days;
    bool by_user;
    struct buf *why;
};

static bool take_parameter(void *ctx, struct span name, struct span value)
{
    struct report_query *q = ctx;
    int64_t n = 0;
    if (span_eq(name, SPAN("days"))) {
        bool ok = control_query_number(value, DAYS_KEPT, &n) && n > 0;
        q->days = ok ? (int)n : q->days;
        if (!ok) {
            buf_text(q->why, "days is a number from 1 to %d", DAYS_KEPT);
        }
        return ok;
    }
    q->by_user = span_eq(value, SPAN("user"));
    bool ok = span_eq(name, SPAN("by")) && (q->by_user || span_eq(value, SPAN("kind")));
    if (!ok) {
        buf_text(q->why, "there are days=%d, by=kind and by=user", DAYS_KEPT);
    }
    return ok;
}

static void add_figures(cJSON *to, const struct savings *s)
{
#define ADD_FIGURE(field, name, unit) control_add_figure(to, name, FIGURE_##unit, s->field);
    SAVINGS_FIGURES(ADD_FIGURE)
#undef ADD_FIGURE
}

cJSON *report_tree(struct ledger *l, int days, bool by_user)
{
    size_t count = 0;
    struct day *const *list = ledger_days(l, days, &count);
    cJSON *tree = cJSON_CreateObject();
    cJSON *to = cJSON_AddArrayToObject(tree, "days");
    for (size_t i = 0; i < count; i++) {
        const struct day_rows *rows = by_user ? &list[i]->users : &list[i]->kinds;
        struct savings total = day_total(list[i]);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "day", list[i]->date);
        add_figures(cJSON_AddObjectToObject(one, "total"), &total);
        cJSON *named = cJSON_AddObjectToObject(one, by_user ? "users" : "kinds");
        for (size_t k = 0; k < rows->count; k++) {
            add_figures(cJSON_AddObjectToObject(named, rows->items[k].name), &rows->items[k].sum);
        }
        cJSON_AddItemToArray(to, one);
    }
    return tree;
}

static void append_cell(struct buf *out, enum figure_unit unit, int64_t value)
{
    if (unit == FIGURE_COUNT) {
        buf_text(out, ",%lld", (long long)value);
    } else {
        buf_text(out, ",%.6f", (double)value / 1e6);
    }
}

void report_csv(struct ledger *l, int days, bool by_user, struct buf *out)
{
    size_t count = 0;
    struct day *const *list = ledger_days(l, days, &count);
    buf_text(out, "day,%s", by_user ? "user" : "kind");
#define ADD_TITLE(field, name, unit) buf_text(out, "," name);
    SAVINGS_FIGURES(ADD_TITLE)
#undef ADD_TITLE
    buf_text(out, "\r\n");
    for (size_t i = 0; i < count; i++) {
        const struct day_rows *rows = by_user ? &list[i]->users : &list[i]->kinds;
        for (size_t k = 0; k < rows->count; k++) {
            buf_text(out, "%s,%s", list[i]->date, rows->items[k].name);
#define ADD_CELL(field, name, unit) append_cell(out, FIGURE_##unit, rows->items[k].sum.field);
            SAVINGS_FIGURES(ADD_CELL)
#undef ADD_CELL
            buf_text(out, "\r\n");
        }
    }
}

cJSON *report_history(struct ledger *l)
{
    size_t count = 0;
    struct day *const *list = ledger_days(l, DAYS_KEPT, &count);
    cJSON *days = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        struct savings total = day_total(list[i]);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "day", list[i]->date);
        control_add_seconds(one, "saved_s", total.saved_us);
        control_add_seconds(one, "spent_s", total.spent_us);
        cJSON_AddNumberToObject(one, "requests", (double)total.requests);
        cJSON_AddNumberToObject(one, "without_call", (double)total.without_call);
        cJSON_AddItemToArray(days, one);
    }
    return days;
}

enum { CSV_MAX = 16 * 1024 * 1024 };

void control_report(struct control *ctl, struct http_conn *c)
{
    const struct http_request *r = http_conn_request(c);
    struct buf text = {.max = 16 * 1024}, why = {.max = 1024}, out = {.max = CSV_MAX};
    struct report_query q = {.days = DAYS_KEPT, .why = &why};
    struct span accept = http_header_get(r, SPAN("Accept"));
    if (!control_query_walk(r->query, &text, take_parameter, &q, &why)) {
        control_reply_error(c, 400, buf_span(&why));
    } else if (span_find(accept, SPAN("text/csv"), 0) != SIZE_MAX) {
        report_csv(ctl->ledger, q.days, q.by_user, &out);
        control_reply_buf(c, SPAN("text/csv; charset=utf-8"), &out, CSV_MAX);
    } else {
        control_reply_tree(c, 200, report_tree(ctl->ledger, q.days, q.by_user));
    }
    buf_free(&text);
    buf_free(&why);
    buf_free(&out);
}
