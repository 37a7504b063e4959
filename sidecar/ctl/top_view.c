/* top_view.c: the screen of lullctl top, from what was seen. Plain ASCII; every text of the daemon is
 * cut and cleaned, so that it can neither break a line nor reach the terminal as a command. */
#include "ctl/top.h"

#include "lull/config/figures.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 512, KINDS_SHOWN = 32 };

struct screen {
    const struct top *top;
    struct buf *out;
    int lines; /* written */
};

static bool has_room(const struct screen *s, int lines)
{
    return s->lines + lines <= s->top->rows;
}

/* Adds a line, cut at the width; attribute: an SGR sequence, or "". */
static void add_line(struct screen *s, const char *attribute, const char *text)
{
    char clean[LINE_MAX_BYTES];
    int n = 0;
    if (!has_room(s, 1)) {
        return;
    }
    for (; *text != '\0' && n < s->top->columns && n + 1 < LINE_MAX_BYTES; text++) {
        unsigned char c = (unsigned char)*text;
        clean[n++] = (char)(c < ' ' || c > '~' ? '?' : c);
    }
    clean[n] = '\0';
    bool lit = s->top->colour && attribute[0] != '\0';
    buf_text(s->out, "%s%s%s%s", s->lines > 0 ? "\n" : "", lit ? attribute : "", clean,
             lit ? "\033[0m" : "");
    s->lines++;
}

static void add_line_of(struct screen *s, const char *attribute, const char *format, ...)
    PRINTF_LIKE(3, 4);
static void add_line_of(struct screen *s, const char *attribute, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_line(s, attribute, text);
}

static const char BOLD[] = "\033[1m";
static const char DIM[] = "\033[2m";
static const char RED[] = "\033[31m";

static const cJSON *member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

static void format_seconds(double s, char *out, size_t size)
{
    snprintf(out, size,
             s < 0        ? "-"
             : s < 100    ? "%.1fs"
             : s < 5995   ? "%.0fm"
             : s < 172800 ? "%.1fh"
                          : "%.1fd",
             s < 100      ? s
             : s < 5995   ? s / 60
             : s < 172800 ? s / 3600
                          : s / 86400);
}

static void add_head(struct screen *s)
{
    const cJSON *stats = s->top->stats;
    const cJSON *cache = member(stats, "cache");
    const cJSON *chat = member(stats, "chat");
    char uptime[24], p50[24], p99[24];
    format_seconds(ctl_number_of(stats, "uptime_s"), uptime, sizeof uptime);
    ctl_format_ms(member(chat, "ttft_ms"), "p50", p50, sizeof p50);
    ctl_format_ms(member(chat, "ttft_ms"), "p99", p99, sizeof p99);
    add_line_of(s, BOLD, "lulld %s  up %s  mode %s  cache %s, %.0f entries, %.1f MB%s",
                ctl_text_of(stats, "version"), uptime, ctl_text_of(stats, "mode"),
                ctl_text_of(cache, "state"), ctl_number_of(cache, "entries"),
                ctl_number_of(cache, "bytes") / 1048576, s->top->paused ? "  PAUSED" : "");
    double late = 0;
    const cJSON *up = NULL;
    cJSON_ArrayForEach(up, member(stats, "upstreams"))
    {
        double one = ctl_number_of(member(up, "abort_cost_ms"), "p90");
        late = one > late ? one : late;
    }
    add_line_of(s, "",
                "chats %.0f open of %.0f  first token p50 %s p99 %s  held up by tasks p90 %.0f ms",
                ctl_number_of(chat, "open"), ctl_number_of(chat, "requests"), p50, p99, late);
}

static void add_servers(struct screen *s)
{
    const cJSON *up = NULL;
    add_line_of(s, DIM, "%-16s %-7s %-7s %5s %3s %3s %7s %4s %4s %7s %7s", "SERVER", "STATE",
                "DIALECT", "SLOTS", "RUN", "QUE", "CALLS", "FAIL", "ABRT", "P50", "P99");
    cJSON_ArrayForEach(up, member(s->top->stats, "upstreams"))
    {
        char p50[24], p99[24];
        const char *state = ctl_text_of(up, "state");
        ctl_format_ms(member(up, "latency_ms"), "p50", p50, sizeof p50);
        ctl_format_ms(member(up, "latency_ms"), "p99", p99, sizeof p99);
        add_line_of(s, strcmp(state, "down") == 0 ? RED : "",
                    "%-16.16s %-7s %-7s %5.0f %3.0f %3.0f %7.0f %4.0f %4.0f %7s %7s",
                    ctl_name_of(up), state, ctl_text_of(up, "dialect"), ctl_number_of(up, "slots"),
                    ctl_number_of(up, "running"), ctl_number_of(up, "queued"),
                    ctl_number_of(up, "calls"), ctl_number_of(up, "failed"),
                    ctl_number_of(up, "aborted"), p50, p99);
    }
}

/* How long a running call is still expected to take, or what a waiting one waits for. */
static void describe_flight(const cJSON *flight, char *out, size_t size)
{
    const cJSON *left = member(flight, "left_s");
    const char *why = ctl_text_of(flight, "why");
    if (why[0] != '\0') {
        snprintf(out, size, "waits for %s", why);
    } else if (cJSON_IsNumber(left)) {
        snprintf(out, size, "about %.1f s more", left->valuedouble);
    } else {
        snprintf(out, size, "%s", "");
    }
}

static void add_flights(struct screen *s, int most)
{
    const cJSON *list = member(s->top->flights, "flights");
    const cJSON *flight = NULL;
    int shown = 0, count = cJSON_GetArraySize(list);
    add_line_of(s, DIM, "TASK (%d)         STATE     Q   AGE    WAITED REQ SERVER     MODEL",
                count);
    cJSON_ArrayForEach(flight, list)
    {
        char age[24], waited[24], what[64], q[12] = "-";
        if (shown++ == most) {
            break;
        }
        format_seconds(ctl_number_of(flight, "age_s"), age, sizeof age);
        format_seconds(ctl_number_of(flight, "waited_s"), waited, sizeof waited);
        describe_flight(flight, what, sizeof what);
        if (cJSON_IsNumber(member(flight, "position"))) {
            snprintf(q, sizeof q, "%.0f", ctl_number_of(flight, "position"));
        }
        add_line_of(s, "", "%-16.16s %-9.9s %-3s %-6s %-6s %3.0f %-10.10s %-14.14s %s",
                    ctl_text_of(flight, "kind"), ctl_text_of(flight, "state"), q, age, waited,
                    ctl_number_of(flight, "waiters"), ctl_text_of(flight, "upstream"),
                    ctl_text_of(flight, "model"), what);
    }
}

/* ---- kinds ---- */

static double without_call(const cJSON *task)
{
    double sum = 0;
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        enum outcome outcome = (enum outcome)i;
        sum += figures_is_without_call(outcome) ? ctl_number_of(task, outcome_name(outcome)) : 0;
    }
    return sum;
}

static double sort_value(enum top_sort sort, const cJSON *task)
{
    return sort == TOP_SORT_SAVED  ? ctl_number_of(task, "saved_s")
           : sort == TOP_SORT_SLOW ? ctl_number_of(member(task, "latency_ms"), "p99")
                                   : ctl_number_of(task, "requests");
}

/* Largest first; by name from a to z. */
static size_t sorted_kinds(const struct top *top, const cJSON **out)
{
    size_t count = 0;
    const cJSON *task = NULL;
    cJSON_ArrayForEach(task, member(top->stats, "tasks"))
    {
        if (count == KINDS_SHOWN) {
            break;
        }
        size_t at = count++;
        while (at > 0 && (top->sort == TOP_SORT_NAME
                              ? strcmp(ctl_name_of(task), ctl_name_of(out[at - 1])) < 0
                              : sort_value(top->sort, task) > sort_value(top->sort, out[at - 1]))) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = task;
    }
    return count;
}

static void add_kinds(struct screen *s)
{
    static const char *const sorts[] = {"requests", "saved", "p99", "name"};
    const cJSON *kinds[KINDS_SHOWN];
    size_t count = sorted_kinds(s->top, kinds);
    add_line_of(s, DIM, "KIND (by %s)%*s  TASKS   /MIN  NO CALL   SAVED   SPENT     P50     P99",
                sorts[s->top->sort], (int)(8 - strlen(sorts[s->top->sort])), "");
    for (size_t i = 0; i < count; i++) {
        char saved[24], spent[24], p50[24], p99[24], rate[24] = "-";
        double requests = ctl_number_of(kinds[i], "requests");
        double a_minute = top_rate(s->top, ctl_name_of(kinds[i]));
        format_seconds(ctl_number_of(kinds[i], "saved_s"), saved, sizeof saved);
        format_seconds(ctl_number_of(kinds[i], "upstream_s"), spent, sizeof spent);
        ctl_format_ms(member(kinds[i], "latency_ms"), "p50", p50, sizeof p50);
        ctl_format_ms(member(kinds[i], "latency_ms"), "p99", p99, sizeof p99);
        if (a_minute >= 0) {
            snprintf(rate, sizeof rate, "%.1f", a_minute);
        }
        add_line_of(s, "", "%-17.17s %8.0f %6s %7.1f%% %7s %7s %7s %7s", ctl_name_of(kinds[i]),
                    requests, rate, requests > 0 ? 100 * without_call(kinds[i]) / requests : 0,
                    saved, spent, p50, p99);
    }
}

/* ---- the histogram of answer times ---- */

static void add_histogram(struct screen *s, int height)
{
    unsigned most = 0;
    for (size_t i = 0; i < TOP_BUCKETS; i++) {
        unsigned sum = s->top->hits[i] + s->top->others[i];
        most = sum > most ? sum : most;
    }
    add_line_of(s, DIM, "ANSWER TIMES   | without a call   # with one   (highest: %u)", most);
    for (int row = height; row > 0; row--) {
        char line[TOP_BUCKETS + 1];
        for (size_t i = 0; i < TOP_BUCKETS; i++) {
            unsigned sum = s->top->hits[i] + s->top->others[i];
            unsigned full = most == 0 ? 0 : (sum * (unsigned)height + most - 1) / most;
            unsigned hit = sum == 0 ? 0 : (s->top->hits[i] * full + sum / 2) / sum;
            line[i] = (unsigned)row > full ? ' ' : (unsigned)row > hit ? '#' : '|';
        }
        line[TOP_BUCKETS] = '\0';
        add_line(s, "", line);
    }
    add_line(s, DIM, "1ms     10      100     1s      10      100 s");
}

static void add_last(struct screen *s)
{
    const struct top *top = s->top;
    add_line_of(s, DIM, "LAST             OUTCOME      TIME       SERVER     MODEL%s",
                top->lost > 0 ? "   (some exchanges were not shown)" : "");
    for (size_t i = 0; i < top->last_count && has_room(s, 1); i++) {
        const struct top_exchange *x = &top->last[(top->last_next + TOP_LAST - 1 - i) % TOP_LAST];
        add_line_of(s, x->failed ? RED : "", "%-8s %-14.14s %-12.12s %9s  %-10.10s %s", x->time,
                    x->what, x->outcome, x->took, x->upstream, x->model);
    }
}

static void add_help(struct screen *s)
{
    static const char *const lines[] = {
        "",
        "q  quit          p  pause and go on         s  sort the kinds",
        "?  this help",
        "",
        "SAVED    model time that answers without a call avoided",
        "NO CALL  share of tasks that were answered without a call of their own",
        "Q        position among the tasks that wait for the same machine",
        "p50, p99 of the last five minutes; /MIN of the last 30 seconds",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        add_line(s, "", lines[i]);
    }
}

void top_draw(const struct top *top, struct buf *out)
{
    struct screen s = {.top = top, .out = out};
    add_head(&s);
    if (top->help) {
        add_help(&s);
        return;
    }
    add_servers(&s);
    int left = top->rows - s.lines;
    int kinds = cJSON_GetArraySize(member(top->stats, "tasks"));
    int flights = cJSON_GetArraySize(member(top->flights, "flights"));
    int most = left - kinds - 2 - 6;
    most = most < 2 ? 2 : most > 8 ? 8 : most;
    add_flights(&s, flights < most ? flights : most);
    add_kinds(&s);
    left = top->rows - s.lines;
    if (left >= 8) {
        add_histogram(&s, left >= 16 ? 6 : 3);
    }
    if (has_room(&s, 2)) {
        add_last(&s);
    }
}

void top_draw_line(const struct top *top, struct buf *out)
{
    double requests = 0, without = 0, saved = 0;
    const cJSON *task = NULL;
    cJSON_ArrayForEach(task, member(top->stats, "tasks"))
    {
        requests += ctl_number_of(task, "requests");
        without += without_call(task);
        saved += ctl_number_of(task, "saved_s");
    }
    buf_text(out, "tasks %.0f, without a call %.0f, saved %.1f s, chats open %.0f, flights %d\n",
             requests, without, saved, ctl_number_of(member(top->stats, "chat"), "open"),
             cJSON_GetArraySize(member(top->flights, "flights")));
}
