/* top_data.c: what lullctl top has seen: figures a second apart, and finished exchanges. */
#include "ctl/top.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void copy_text(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; *text != '\0' && n + 1 < size; text++) {
        out[n++] = (unsigned char)*text < ' ' || *text == 127 ? '?' : *text;
    }
    out[n] = '\0';
}

static size_t bucket_of(double ms)
{
    double at = ms <= 1 ? 0 : log10(ms) * 8;
    return at < (double)TOP_BUCKETS ? (size_t)at : TOP_BUCKETS - 1;
}

static void take_event(struct top *top, const cJSON *event)
{
    struct top_exchange *x = &top->last[top->last_next];
    const char *kind = ctl_text_of(event, "kind");
    time_t seconds = (time_t)ctl_number_of(event, "time");
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(x->time, sizeof x->time, "%H:%M:%S", &local);
    copy_text(x->what, sizeof x->what, kind[0] != '\0' ? kind : ctl_text_of(event, "what"));
    copy_text(x->outcome, sizeof x->outcome, ctl_text_of(event, "outcome"));
    copy_text(x->model, sizeof x->model, ctl_text_of(event, "model"));
    copy_text(x->upstream, sizeof x->upstream, ctl_text_of(event, "upstream"));
    ctl_format_ms(event, "ms", x->took, sizeof x->took);
    x->failed = ctl_number_of(event, "status") >= 400;
    top->last_next = (top->last_next + 1) % TOP_LAST;
    top->last_count += top->last_count < TOP_LAST ? 1 : 0;
    if (kind[0] != '\0') {
        bool called = cJSON_GetObjectItemCaseSensitive(event, "held_ms") != NULL;
        unsigned *counts = called ? top->others : top->hits;
        counts[bucket_of(ctl_number_of(event, "ms"))]++;
    }
}

void top_take_line(void *ctx, char *line)
{
    struct top *top = ctx;
    if (strncmp(line, "data: ", 6) != 0 || top->paused) {
        return;
    }
    cJSON *event = cJSON_Parse(line + 6);
    double lost = ctl_number_of(event, "lost");
    if (lost > 0) {
        top->lost += (unsigned long)lost;
    } else if (event != NULL) {
        take_event(top, event);
    }
    cJSON_Delete(event);
}

static struct top_rate *rate_of(struct top *top, const char *kind)
{
    for (size_t i = 0; i < top->rate_count; i++) {
        if (strcmp(top->rates[i].kind, kind) == 0) {
            return &top->rates[i];
        }
    }
    if (top->rate_count == TOP_KINDS) {
        return NULL;
    }
    struct top_rate *rate = &top->rates[top->rate_count++];
    snprintf(rate->kind, sizeof rate->kind, "%s", kind);
    return rate;
}

static void add_totals(struct top *top)
{
    const cJSON *task = NULL;
    top->at = (top->at + 1) % (TOP_WINDOW + 1);
    top->samples += top->samples <= TOP_WINDOW ? 1 : 0;
    cJSON_ArrayForEach(task, cJSON_GetObjectItemCaseSensitive(top->stats, "tasks"))
    {
        struct top_rate *rate = rate_of(top, ctl_name_of(task));
        if (rate != NULL) {
            rate->requests[top->at] = ctl_number_of(task, "requests");
        }
    }
}

bool top_sample(struct top *top)
{
    if (top->paused && top->stats != NULL) {
        return true;
    }
    cJSON *stats = ctl_fetch(top->ctl, "/stats", top->on_screen);
    cJSON *flights = stats == NULL ? NULL : ctl_fetch(top->ctl, "/flights", top->on_screen);
    if (flights == NULL) {
        cJSON_Delete(stats);
        return false;
    }
    top_free(top);
    top->stats = stats;
    top->flights = flights;
    add_totals(top);
    return true;
}

double top_rate(const struct top *top, const char *kind)
{
    size_t seconds = top->samples > 0 ? top->samples - 1 : 0;
    seconds = seconds > TOP_WINDOW ? TOP_WINDOW : seconds;
    for (size_t i = 0; i < top->rate_count && seconds > 0; i++) {
        const struct top_rate *rate = &top->rates[i];
        if (strcmp(rate->kind, kind) == 0) {
            size_t before = (top->at + TOP_WINDOW + 1 - seconds) % (TOP_WINDOW + 1);
            return 60 * (rate->requests[top->at] - rate->requests[before]) / (double)seconds;
        }
    }
    return -1;
}

void top_free(struct top *top)
{
    cJSON_Delete(top->stats);
    cJSON_Delete(top->flights);
    top->stats = NULL;
    top->flights = NULL;
}
