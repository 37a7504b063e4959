/* print.c: the daemon's answers as text: aligned columns, and no byte that controls a terminal. */
#include "ctl/ctl.h"

#include "lull/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

size_t ctl_control_length(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    if (first < ' ' || first == 0x7f) {
        return first == '\0' ? 0 : 1;
    }
    unsigned char second = (unsigned char)text[1]; /* U+0080 to U+009F: some terminals obey them */
    return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0;
}

void ctl_print_text(const char *text, bool lines)
{
    while (*text != '\0') {
        size_t control = lines && (*text == '\n' || *text == '\t') ? 0 : ctl_control_length(text);
        for (size_t i = 0; i < control; i++) {
            printf("\\x%02x", (unsigned char)text[i]);
        }
        if (control == 0) {
            putchar(*text);
        }
        text += control > 0 ? control : 1;
    }
}

int ctl_width_of(const char *text)
{
    int n = 0;
    while (*text != '\0') {
        size_t control = ctl_control_length(text);
        n += control > 0 ? 4 * (int)control : utf8_continues(*text) ? 0 : 1;
        text += control > 0 ? control : 1;
    }
    return n;
}

void ctl_print_padded(const char *text, int width)
{
    int own = ctl_width_of(text);
    ctl_print_text(text, false);
    printf("%*s", width > own ? width - own : 0, "");
}

void ctl_print_column(const char *text, int width)
{
    ctl_print_padded(text, width);
    putchar(' ');
}

static void print_member(const cJSON *o, const char *name, int width)
{
    ctl_print_column(ctl_text_of(o, name), width);
}

void ctl_print_json(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.ptr[i];
        bool c1 = c == 0xc2 && i + 1 < text.len && ((unsigned char)text.ptr[i + 1] & 0xe0) == 0x80;
        if (c1) {
            c = (unsigned char)text.ptr[++i];
        }
        if (c1 || c == 0x7f || (c < ' ' && c != '\n' && c != '\t')) {
            printf("\\u%04x", (unsigned)c);
        } else {
            putchar(c);
        }
    }
    putchar('\n');
}

const char *ctl_text_of(const cJSON *o, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return text == NULL ? "" : text;
}

const char *ctl_name_of(const cJSON *item)
{
    return item->string == NULL ? "" : item->string;
}

double ctl_number_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

void ctl_format_ms(const cJSON *o, const char *name, char *out, size_t size)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(o, name);
    double ms = cJSON_IsNumber(member) ? member->valuedouble : -1;
    if (ms < 0) {
        snprintf(out, size, "-");
    } else if (ms < 1000) {
        snprintf(out, size, "%.*f ms", ms < 10 ? 1 : 0, ms);
    } else {
        snprintf(out, size, ms < 100000 ? "%.1f s" : "%.0f s", ms / 1000);
    }
}

bool ctl_flush(void)
{
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

bool ctl_has_colour(void)
{
    const char *off = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (off == NULL || off[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

/* A number or "-" in a column. */
static void print_column(const cJSON *o, const char *name, int width, const char *format)
{
    char text[32];
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    if (cJSON_IsNumber(item)) {
        snprintf(text, sizeof text,
                 strcmp(format, "ms") == 0      ? "%.1f"
                 : strcmp(format, "money") == 0 ? "%.4f"
                                                : "%.0f",
                 item->valuedouble);
    } else {
        snprintf(text, sizeof text, "-");
    }
    printf(" %*s", width, text);
}

/* Whether a kind has anything there. */
static bool is_used(const cJSON *tasks, const char *name)
{
    const cJSON *task = NULL;
    cJSON_ArrayForEach(task, tasks)
    {
        if (ctl_number_of(task, name) > 0) {
            return true;
        }
    }
    return false;
}

/* How requests ended: hits and misses, and whatever else there was, so that a row adds up. */
static void print_tasks(const cJSON *tasks)
{
    static const char *const outcomes[] = {
#define OUTCOME(id, name, without_call, help) name,
#include "lull/config/outcomes.def"
    };
    enum { COUNT = sizeof outcomes / sizeof outcomes[0] };
    const char *columns[COUNT + 2] = {"requests"};
    size_t count = 1;
    const cJSON *task = NULL;
    for (size_t i = 0; i < COUNT; i++) {
        bool always = strcmp(outcomes[i], "hits") == 0 || strcmp(outcomes[i], "misses") == 0;
        if (always || is_used(tasks, outcomes[i])) {
            columns[count++] = outcomes[i];
        }
    }
    columns[count++] = "failed";
    printf("%-19s", "kind");
    for (size_t i = 0; i < count; i++) {
        printf(" %*s", (int)strlen(columns[i]), columns[i]);
    }
    printf(" %10s %8s\n", "saved s", "p50 ms");
    cJSON_ArrayForEach(task, tasks)
    {
        ctl_print_padded(ctl_name_of(task), 19);
        for (size_t i = 0; i < count; i++) {
            print_column(task, columns[i], (int)strlen(columns[i]), "");
        }
        print_column(task, "saved_s", 10, "ms");
        print_column(cJSON_GetObjectItemCaseSensitive(task, "latency_ms"), "p50", 8, "ms");
        printf("\n");
    }
}

/* What calls took and cost; money only where prices are set. */
static void print_costs(const cJSON *tasks)
{
    const cJSON *task = NULL;
    bool money = is_used(tasks, "cost") || is_used(tasks, "saved_cost");
    printf("\n%-19s %8s %8s %8s %9s %8s %9s %9s %9s", "kind", "model s", "wasted s", "waited s",
           "preempted", "obsolete", "tokens in", "out", "estimated");
    if (money) {
        printf(" %10s %10s", "cost", "saved cost");
    }
    printf("\n");
    cJSON_ArrayForEach(task, tasks)
    {
        ctl_print_padded(ctl_name_of(task), 19);
        print_column(task, "upstream_s", 8, "ms");
        print_column(task, "wasted_s", 8, "ms");
        print_column(task, "wait_s", 8, "ms");
        print_column(task, "preempted", 9, "");
        print_column(task, "obsolete", 8, "");
        print_column(task, "tokens_in", 9, "");
        print_column(task, "tokens_out", 9, "");
        print_column(task, "tokens_estimated", 9, "");
        if (money) {
            print_column(task, "cost", 10, "money");
            print_column(task, "saved_cost", 10, "money");
        }
        printf("\n");
    }
}

/* What observing has found: the sums over all kinds. */
static void print_observed(const cJSON *tasks)
{
    double answered = 0;
    double superseded = 0;
    double requests = 0;
    double saved = 0;
    double waited = 0;
    const cJSON *task = NULL;
    cJSON_ArrayForEach(task, tasks)
    {
        if (cJSON_HasObjectItem(task, "would_hit")) {
            answered += ctl_number_of(task, "would_hit") +
                        ctl_number_of(task, "would_type_through") +
                        ctl_number_of(task, "would_collapse");
            superseded += ctl_number_of(task, "would_supersede");
            saved += ctl_number_of(task, "would_save_s");
            waited += ctl_number_of(task, "would_wait_s");
            requests += ctl_number_of(task, "requests");
        }
    }
    printf("\nobserve: would have answered %.0f of %.0f tasks without a call, saving %.1f s of the "
           "model; %.0f superseded, %.1f s held back\n",
           answered, requests, saved, superseded, waited);
}

static void print_upstreams(const cJSON *upstreams)
{
    const cJSON *up = NULL;
    printf("\n%-19s %-7s %-7s %8s %8s %8s %8s %8s\n", "upstream", "state", "dialect", "running",
           "calls", "finished", "failed", "aborted");
    cJSON_ArrayForEach(up, upstreams)
    {
        ctl_print_column(ctl_name_of(up), 19);
        print_member(up, "state", 7);
        ctl_print_padded(ctl_text_of(up, "dialect"), 7);
        print_column(up, "running", 8, "");
        print_column(up, "calls", 8, "");
        print_column(up, "finished", 8, "");
        print_column(up, "failed", 8, "");
        print_column(up, "aborted", 8, "");
        printf("\n");
    }
}

void ctl_print_stats(const cJSON *s)
{
    const cJSON *cache = cJSON_GetObjectItemCaseSensitive(s, "cache");
    const cJSON *chat = cJSON_GetObjectItemCaseSensitive(s, "chat");
    const cJSON *process = cJSON_GetObjectItemCaseSensitive(s, "process");
    printf("lulld ");
    ctl_print_text(ctl_text_of(s, "version"), false);
    printf(", up %.0f s, tasks ", ctl_number_of(s, "uptime_s"));
    ctl_print_text(ctl_text_of(s, "mode"), false);
    printf("\n\n");
    print_tasks(cJSON_GetObjectItemCaseSensitive(s, "tasks"));
    print_costs(cJSON_GetObjectItemCaseSensitive(s, "tasks"));
    if (strcmp(ctl_text_of(s, "mode"), "observe") == 0) {
        print_observed(cJSON_GetObjectItemCaseSensitive(s, "tasks"));
    }
    printf("\nchats %.0f (%.0f open, %.0f failed), other %.0f, unrecognised %.0f\n",
           ctl_number_of(chat, "requests"), ctl_number_of(chat, "open"),
           ctl_number_of(chat, "failed"),
           ctl_number_of(cJSON_GetObjectItemCaseSensitive(s, "other"), "requests"),
           ctl_number_of(s, "unrecognised"));
    print_upstreams(cJSON_GetObjectItemCaseSensitive(s, "upstreams"));
    printf("\ncache ");
    ctl_print_text(ctl_text_of(cache, "state"), false);
    printf(": %.0f entries, %.1f of %.0f MB, %.0f inserted, %.0f expired, %.0f evicted\n",
           ctl_number_of(cache, "entries"), ctl_number_of(cache, "bytes") / 1048576,
           ctl_number_of(cache, "max_bytes") / 1048576, ctl_number_of(cache, "inserted"),
           ctl_number_of(cache, "expired"), ctl_number_of(cache, "evicted"));
    printf("process %.1f MB own memory, %.1f s CPU, %.0f descriptors, longest turn %.1f ms\n",
           ctl_number_of(process, "rss_anon_bytes") / 1048576, ctl_number_of(process, "cpu_s"),
           ctl_number_of(process, "fds"), ctl_number_of(process, "loop_longest_turn_ms"));
}

static void print_left_out(const cJSON *list)
{
    const cJSON *one = NULL;
    if (cJSON_GetArraySize(list) == 0) {
        return;
    }
    printf("\n%-19s %-14s %-9s %-20s %s\n", "refused by", "left out", "is", "since", "model");
    cJSON_ArrayForEach(one, list)
    {
        bool proven = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "proven"));
        print_member(one, "upstream", 19);
        print_member(one, "addition", 14);
        printf("%-9s ", proven ? "proven" : "suspected");
        print_member(one, "since", 20);
        ctl_print_text(ctl_text_of(one, "model"), false);
        printf("\n");
    }
}

/* What was learnt of tasks behind their conversation: "on: 289 of 871 tokens read". */
static void print_prefix(const cJSON *list)
{
    static const char *const states[] = {"first", "after_own", "after_others"};
    const cJSON *one = NULL;
    if (cJSON_GetArraySize(list) > 0) {
        printf("\n%-19s %-28s %-28s %-28s %s\n", "behind the chat", states[0], states[1], states[2],
               "model");
    }
    cJSON_ArrayForEach(one, list)
    {
        print_member(one, "upstream", 19);
        for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
            const cJSON *gain = cJSON_GetObjectItemCaseSensitive(one, states[i]);
            char text[64];
            snprintf(text, sizeof text, "%.16s: %.0f of %.0f read", ctl_text_of(gain, "state"),
                     ctl_number_of(gain, "tokens_read"), ctl_number_of(gain, "tokens"));
            ctl_print_column(text, 28);
        }
        ctl_print_text(ctl_text_of(one, "model"), false);
        printf("\n");
    }
}

void ctl_print_flights(const cJSON *answer)
{
    const cJSON *f = NULL;
    printf("%-19s %-9s %-10s %8s %8s %7s %-19s %s\n", "kind", "state", "waits for", "age s",
           "waited s", "waiters", "upstream", "model");
    cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(answer, "flights"))
    {
        print_member(f, "kind", 19);
        print_member(f, "state", 9);
        print_member(f, "why", 10);
        printf("%8.1f %8.1f %7.0f ", ctl_number_of(f, "age_s"), ctl_number_of(f, "waited_s"),
               ctl_number_of(f, "waiters"));
        print_member(f, "upstream", 19);
        ctl_print_text(ctl_text_of(f, "model"), false);
        printf("\n");
    }
    printf("\n%-19s %7s %11s %8s %8s %8s\n", "machine", "chats", "foreground", "running", "waiting",
           "quiet s");
    cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(answer, "machines"))
    {
        ctl_print_padded(ctl_text_of(f, "machine"), 19);
        print_column(f, "chats", 7, "");
        print_column(f, "foreground", 11, "");
        print_column(f, "running", 8, "");
        print_column(f, "waiting", 8, "");
        print_column(f, "quiet_s", 8, "ms");
        printf("\n");
    }
    print_left_out(cJSON_GetObjectItemCaseSensitive(answer, "left_out"));
    print_prefix(cJSON_GetObjectItemCaseSensitive(answer, "prefix"));
}

void ctl_print_entries(const cJSON *page)
{
    const cJSON *e = NULL;
    printf("%-32s %-19s %-20s %8s %5s %s\n", "id", "kind", "expires", "bytes", "hits", "model");
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(page, "entries"))
    {
        print_member(e, "id", 32);
        print_member(e, "kind", 19);
        print_member(e, "expires", 20);
        printf("%8.0f %5.0f ", ctl_number_of(e, "bytes"), ctl_number_of(e, "hits"));
        ctl_print_text(ctl_text_of(e, "model"), false);
        printf("\n");
    }
    if (ctl_text_of(page, "next")[0] != '\0') {
        printf("more: the same with after=");
        ctl_print_text(ctl_text_of(page, "next"), false);
        printf("\n");
    }
}

void ctl_print_entry(const cJSON *entry)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, entry)
    {
        bool text =
            strcmp(ctl_name_of(item), "request") == 0 || strcmp(ctl_name_of(item), "answer") == 0;
        printf(text ? "\n" : "");
        ctl_print_padded(ctl_name_of(item), text ? 0 : 9);
        printf(text ? ":\n" : " ");
        if (cJSON_IsString(item)) {
            ctl_print_text(item->valuestring, text);
        } else {
            printf("%.0f", item->valuedouble);
        }
        printf("\n");
    }
}

void ctl_print_config(const cJSON *config)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, config)
    {
        ctl_print_text(ctl_name_of(item), false);
        printf(" = ");
        ctl_print_text(ctl_text_of(item, "value"), false);
        printf("  (");
        ctl_print_text(ctl_text_of(item, "origin"), false);
        printf(")\n");
    }
}

static void print_line(const char *what, const cJSON *name)
{
    printf("%s", what);
    ctl_print_text(cJSON_IsString(name) ? name->valuestring : "?", false);
    printf("\n");
}

void ctl_print_reload(const cJSON *answer)
{
    const cJSON *item = NULL;
    const cJSON *changed = cJSON_GetObjectItemCaseSensitive(answer, "changed");
    const cJSON *restart = cJSON_GetObjectItemCaseSensitive(answer, "restart");
    cJSON_ArrayForEach(item, changed)
    {
        print_line("changed: ", item);
    }
    cJSON_ArrayForEach(item, restart)
    {
        print_line("after a restart: ", item);
    }
    if (cJSON_GetArraySize(changed) + cJSON_GetArraySize(restart) == 0) {
        printf("nothing changed\n");
    }
}

void ctl_print_health(const cJSON *answer)
{
    const cJSON *up = NULL;
    const char *cache = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "cache"));
    printf("ready; cache ");
    ctl_print_text(cache == NULL ? "?" : cache, false);
    cJSON_ArrayForEach(up, cJSON_GetObjectItemCaseSensitive(answer, "upstreams"))
    {
        const char *state = cJSON_IsString(up) ? up->valuestring : "?";
        printf("; upstream ");
        ctl_print_text(ctl_name_of(up), false);
        printf(" ");
        ctl_print_text(strcmp(state, "untried") == 0 ? "not tried yet" : state, false);
    }
    printf("\n");
}

void ctl_print_purged(const cJSON *answer)
{
    printf("%.0f removed\n", ctl_number_of(answer, "purged"));
}

void ctl_print_draining(const cJSON *answer)
{
    (void)answer;
    printf("draining\n");
}

void ctl_print_paused(const cJSON *answer)
{
    double left = ctl_number_of(answer, "paused_s");
    if (left > 0) {
        printf("background tasks are paused for %.*f s\n", left < 1 ? 3 : 0, left);
    } else {
        printf("background tasks go on\n");
    }
}
