/* compare_table.c: lullctl compare: models tried on stored requests. The calls that have ended are
 * counted on standard error where that is a terminal. At the end comes the table; before it, with
 * --show, what each model answered to each request. With --prefix, the two forms of a request stand
 * where the models do, and their answers are always shown.
 */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RESULTS_MAX = CTL_MODELS * 1000 };

struct comparison {
    const struct ctl *ctl;
    bool progress; /* standard error is a terminal */
    cJSON **results;
    size_t count, room;
    cJSON *summary; /* the last line; NULL: it has not come */
};

/* ---- as it comes ---- */

static void add_result(struct comparison *c, cJSON *result)
{
    if (c->count == RESULTS_MAX) {
        cJSON_Delete(result);
        return;
    }
    if (c->count == c->room) {
        c->room = c->room == 0 ? 64 : 2 * c->room;
        cJSON **more = realloc(c->results, c->room * sizeof *c->results);
        require(more != NULL);
        c->results = more;
    }
    c->results[c->count++] = result;
}

static void on_line(void *ctx, char *text)
{
    struct comparison *c = ctx;
    cJSON *line = cJSON_Parse(text);
    if (c->ctl->json) {
        ctl_print_json(span_of(text));
        fflush(stdout);
    }
    if (line == NULL) {
        return;
    }
    if (ctl_member(line, "summary") != NULL) {
        cJSON_Delete(c->summary);
        c->summary = line;
        return;
    }
    if (c->progress) {
        fprintf(stderr, "\r%.0f of %.0f ", ctl_number_of(line, "done"), ctl_number_of(line, "of"));
    }
    if (c->ctl->json) {
        cJSON_Delete(line);
    } else {
        add_result(c, line);
    }
}

/* ---- the table ---- */

static const char *title_of(const struct comparison *c)
{
    return c->ctl->compare.prefix ? "asked" : "candidate";
}

static int widest_candidate(const struct comparison *c)
{
    const cJSON *row = NULL;
    int width = ctl_width_of(title_of(c));
    cJSON_ArrayForEach(row, ctl_member(c->summary, "summary"))
    {
        int own = ctl_width_of(ctl_text_of(row, "candidate"));
        width = own > width ? own : width;
    }
    return width;
}

/* An answer behind its name; further lines stand below the first. */
static void print_answer(const char *name, const char *answer, int width)
{
    printf("  ");
    ctl_print_padded(name, width);
    printf("  ");
    for (;;) {
        size_t len = strcspn(answer, "\n");
        char *line = mem_strndup(answer, len);
        ctl_print_text(line, false);
        printf("\n");
        free(line);
        if (answer[len] == '\0') {
            return;
        }
        answer += len + 1;
        printf("%*s", width + 4, "");
    }
}

static void print_result(const cJSON *r, int width)
{
    struct buf text = {.max = (size_t)16 * 1024 * 1024};
    if (!cJSON_IsTrue(ctl_member(r, "ok"))) {
        require_ok(buf_printf(&text, "failed: %s%c", ctl_text_of(r, "error"), '\0'));
    } else {
        require_ok(buf_printf(
            &text, "%s%s%c", ctl_text_of(r, "answer"),
            cJSON_IsTrue(ctl_member(r, "shape")) ? "" : "   <- not of the right shape", '\0'));
    }
    print_answer(ctl_text_of(r, "candidate"), text.data, width);
    buf_free(&text);
}

/* Per request: what is stored, and what each model answered. */
static void print_answers(struct comparison *c, int width)
{
    bool *shown = mem_new((c->count + 1) * sizeof *shown);
    for (size_t i = 0; i < c->count; i++) {
        const char *id = ctl_text_of(c->results[i], "id");
        if (shown[i]) {
            continue;
        }
        ctl_print_text(id, false);
        printf("\n");
        print_answer("(stored)", ctl_text_of(c->results[i], "stored"), width);
        for (size_t k = i; k < c->count; k++) {
            if (!shown[k] && strcmp(ctl_text_of(c->results[k], "id"), id) == 0) {
                shown[k] = true;
                print_result(c->results[k], width);
            }
        }
        printf("\n");
    }
    free(shown);
}

static void print_cell(const cJSON *o, const char *name, int width, double times,
                       const char *format)
{
    char text[48] = "-";
    const cJSON *item = ctl_member(o, name);
    if (cJSON_IsNumber(item)) {
        double value = item->valuedouble * times;
        if (strcmp(format, "%") == 0) {
            snprintf(text, sizeof text, "%.0f %%", value);
        } else if (strcmp(format, "money") == 0) {
            snprintf(text, sizeof text, "%.4g", value);
        } else if (strcmp(format, "s") == 0) {
            snprintf(text, sizeof text, "%.2f", value / 1e3);
        } else {
            snprintf(text, sizeof text, "%.0f", value);
        }
    }
    printf(" %*s", width, text);
}

/* What a row of either table begins with. */
static void print_candidate(const cJSON *row, int width)
{
    ctl_print_padded(ctl_text_of(row, "candidate"), width);
    print_cell(row, "calls", 6, 1, "");
    print_cell(row, "failed", 6, 1, "");
    print_cell(row, "shape", 7, 100, "%");
}

/* Tokens read and the time for it: the mean of a call. */
static void print_forms(const struct comparison *c, int width)
{
    const cJSON *row = NULL;
    printf("%-*s %6s %6s %7s %11s %10s %8s %8s\n", width, title_of(c), "calls", "failed", "shape",
           "tokens read", "reading s", "p50 s", "p90 s");
    cJSON_ArrayForEach(row, ctl_member(c->summary, "summary"))
    {
        const cJSON *ms = ctl_member(row, "latency_ms");
        print_candidate(row, width);
        print_cell(row, "tokens_read", 11, 1, "");
        print_cell(row, "prompt_ms", 10, 1, "s");
        print_cell(ms, "p50", 8, 1, "s");
        print_cell(ms, "p90", 8, 1, "s");
        printf("\n");
    }
}

/* What was left out, and why. */
static void print_left_out(const struct comparison *c)
{
    const cJSON *reason = NULL;
    cJSON_ArrayForEach(reason, ctl_member(c->summary, "prefix_not"))
    {
        printf("left out: %.0f ", reason->valuedouble);
        ctl_print_text(ctl_name_of(reason), false);
        printf("\n");
    }
}

static void print_table(const struct comparison *c, int width)
{
    const cJSON *row = NULL;
    if (c->ctl->compare.prefix) {
        print_forms(c, width);
        return;
    }
    printf("%-*s %6s %6s %7s %8s %8s %10s %10s %10s\n", width, title_of(c), "calls", "failed",
           "shape", "p50 ms", "p95 ms", "tokens in", "out", "cost/1000");
    cJSON_ArrayForEach(row, ctl_member(c->summary, "summary"))
    {
        const cJSON *ms = ctl_member(row, "latency_ms");
        print_candidate(row, width);
        print_cell(ms, "p50", 8, 1, "");
        print_cell(ms, "p95", 8, 1, "");
        print_cell(row, "tokens_in", 10, 1, "");
        print_cell(row, "tokens_out", 10, 1, "");
        print_cell(row, "cost_per_1000", 10, 1, "money");
        printf("\n");
    }
}

/* The first error of each model, what was skipped, and whether tokens were counted by us. */
static void print_notes(const struct comparison *c)
{
    const cJSON *row = NULL;
    bool estimated = false;
    for (size_t i = 0; i < c->count; i++) {
        estimated = estimated || cJSON_IsTrue(ctl_member(c->results[i], "estimated"));
    }
    cJSON_ArrayForEach(row, ctl_member(c->summary, "summary"))
    {
        const char *name = ctl_text_of(row, "candidate");
        size_t i = 0;
        while (i < c->count && (cJSON_IsTrue(ctl_member(c->results[i], "ok")) ||
                                strcmp(ctl_text_of(c->results[i], "candidate"), name) != 0)) {
            i++;
        }
        if (i < c->count) {
            ctl_print_text(name, false);
            printf(" failed: ");
            ctl_print_text(ctl_text_of(c->results[i], "error"), false);
            printf("\n");
        }
        if (ctl_number_of(row, "skipped") > 0) {
            ctl_print_text(name, false);
            printf(": %.0f skipped, their upstream is not configured any more\n",
                   ctl_number_of(row, "skipped"));
        }
    }
    print_left_out(c);
    if (estimated && !c->ctl->compare.prefix) {
        printf("tokens are partly estimated from bytes: not every server said them\n");
    }
}

/* After the last line; returns the exit status. */
static int print_comparison(struct comparison *c)
{
    if (c->progress) {
        fprintf(stderr, "\r                    \r");
    }
    if (c->summary != NULL && !c->ctl->json) {
        int width = widest_candidate(c);
        if (c->ctl->compare.show || c->ctl->compare.prefix) {
            print_answers(c, width);
        }
        print_table(c, width);
        print_notes(c);
    }
    if (c->summary == NULL || ctl_member(c->summary, "error") != NULL) {
        const char *why = c->summary == NULL ? "it ended early" : ctl_text_of(c->summary, "error");
        fprintf(stderr, "lullctl: not finished: %s\n", why);
        return CTL_REFUSED;
    }
    return CTL_DONE;
}

/* ---- asking ---- */

static bool is_count(const char *text)
{
    long n = strspn(text, "0123456789") == strlen(text) ? strtol(text, NULL, 10) : 0;
    return n >= 1 && n <= 1000;
}

/* The first thing that is wrong with the options goes to standard error. */
static bool check_options(const struct ctl *ctl)
{
    const struct ctl_compare *asked = &ctl->compare;
    const char *why =
        ctl->kind == NULL                   ? "compare needs --kind, as in --kind title"
        : asked->prefix && asked->count > 0 ? "compare takes --prefix or --model, not both"
        : asked->prefix && asked->yes       ? "compare --prefix sends requests to no other upstream"
        : asked->count == 0 && !asked->prefix
            ? "compare needs --model MODEL or MODEL@UPSTREAM, or --prefix"
        : asked->models[CTL_MODELS] != NULL ? "compare takes 16 models at most"
                                            : NULL;
    for (size_t i = 0; why == NULL && i < asked->count; i++) {
        why = strlen(asked->models[i]) > 1000 || strchr(asked->models[i], '\n') != NULL
                  ? "that is no model"
                  : NULL;
    }
    if (why == NULL &&
        (strlen(ctl->kind) > 1000 || (asked->last != NULL && strlen(asked->last) > 20))) {
        why = "that is too long";
    }
    if (why == NULL && asked->last != NULL && !is_count(asked->last)) {
        why = "--last is a number from 1 to 1000";
    }
    if (why != NULL) {
        fprintf(stderr, "lullctl: %s; try lullctl --help\n", why);
    }
    return why == NULL;
}

static void build_request(const struct ctl *ctl, struct buf *target, struct buf *body)
{
    const struct ctl_compare *asked = &ctl->compare;
    require_ok(buf_printf(target, "/compare?kind="));
    ctl_encode(target, span_of(ctl->kind));
    if (asked->last != NULL) {
        require_ok(buf_printf(target, "&last="));
        ctl_encode(target, span_of(asked->last));
    }
    require_ok(buf_printf(target, "%s%s%c", asked->yes ? "&yes=1" : "",
                          asked->prefix ? "&prefix=1" : "", '\0'));
    for (size_t i = 0; i < asked->count; i++) {
        require_ok(buf_printf(body, "%s\n", asked->models[i]));
    }
}

int ctl_compare(const struct ctl *ctl)
{
    struct comparison c = {.ctl = ctl, .progress = !ctl->json && isatty(STDERR_FILENO) != 0};
    struct buf target = {.max = 8192};
    struct buf body = {.max = 64 * 1024};
    struct buf out;
    if (!check_options(ctl)) {
        return CTL_USAGE;
    }
    build_request(ctl, &target, &body);
    long status = ctl_stream(ctl, target.data, buf_span(&body), on_line, &c, &out);
    int result = CTL_NO_DAEMON;
    if (status == 200) {
        result = print_comparison(&c);
        buf_free(&out);
    } else {
        result = ctl_finish(ctl, status, &out, NULL);
    }
    for (size_t i = 0; i < c.count; i++) {
        cJSON_Delete(c.results[i]);
    }
    free(c.results);
    cJSON_Delete(c.summary);
    buf_free(&target);
    buf_free(&body);
    return result;
}
