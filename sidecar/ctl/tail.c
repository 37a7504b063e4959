/* tail.c: lullctl tail: finished exchanges, one a line, as they end. */
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CONDITION_MAX = 255 };

struct tail {
    const struct ctl *ctl;
    bool colour;
};

static const char *colour_of(const cJSON *event)
{
    const char *outcome = ctl_text_of(event, "outcome");
    if (ctl_number_of(event, "status") >= 400 || strcmp(outcome, "failed") == 0) {
        return "\033[31m";
    }
    bool model = cJSON_GetObjectItemCaseSensitive(event, "held_ms") != NULL;
    bool task = ctl_text_of(event, "kind")[0] != '\0';
    return !task ? "" : model ? "\033[33m" : "\033[32m";
}

/* The local time of an event, to the second. */
static void print_time(const cJSON *event)
{
    char text[16];
    time_t seconds = (time_t)ctl_number_of(event, "time");
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(text, sizeof text, "%H:%M:%S", &local);
    printf("%s ", text);
}

static void print_event(const struct tail *tail, const cJSON *event)
{
    static const struct {
        const char *name;
        const char *label;
    } times[] = {
        {"held_ms", " held "}, {"model_ms", " model "}, {"first_token_ms", " first token "}};
    const char *kind = ctl_text_of(event, "kind");
    const char *colour = tail->colour ? colour_of(event) : "";
    char ms[32];
    print_time(event);
    ctl_format_ms(event, "ms", ms, sizeof ms);
    printf("%s", colour);
    ctl_print_column(kind[0] != '\0' ? kind : ctl_text_of(event, "what"), 14);
    ctl_print_padded(ctl_text_of(event, "outcome"), 12);
    printf("%s %3.0f %9s", colour[0] != '\0' ? "\033[0m" : "", ctl_number_of(event, "status"), ms);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (cJSON_GetObjectItemCaseSensitive(event, times[i].name) != NULL) {
            ctl_format_ms(event, times[i].name, ms, sizeof ms);
            printf("%s%s", times[i].label, ms);
        }
    }
    if (cJSON_GetObjectItemCaseSensitive(event, "tokens_in") != NULL) {
        printf(" tokens %.0f+%.0f", ctl_number_of(event, "tokens_in"),
               ctl_number_of(event, "tokens_out"));
    }
    printf(" ");
    ctl_print_text(ctl_text_of(event, "upstream"), false);
    printf(" ");
    ctl_print_text(ctl_text_of(event, "model"), false);
    if (kind[0] == '\0') {
        printf(" ");
        ctl_print_text(ctl_text_of(event, "path"), false);
    } else {
        printf(" [");
        ctl_print_text(ctl_text_of(event, "cache_status"), false);
        printf("]");
    }
    printf("\n");
}

/* One line of the event stream. */
static void on_line(void *ctx, char *text)
{
    const struct tail *tail = ctx;
    if (strncmp(text, "data: ", 6) != 0) {
        return;
    }
    if (tail->ctl->json) {
        ctl_print_json(span_of(text + 6));
    } else {
        cJSON *event = cJSON_Parse(text + 6);
        double lost = ctl_number_of(event, "lost");
        if (lost > 0) {
            printf("(%.0f exchanges were not shown: this terminal read too slowly)\n", lost);
        } else if (event != NULL) {
            print_event(tail, event);
        }
        cJSON_Delete(event);
    }
    fflush(stdout);
}

int ctl_tail(const struct ctl *ctl)
{
    const char *const given[][2] = {
        {"kind", ctl->kind}, {"outcome", ctl->outcome}, {"slow", ctl->slow}};
    struct tail tail = {.ctl = ctl, .colour = ctl_has_colour()};
    struct buf target, out;
    const char *separator = "?";
    buf_init(&target, 4096);
    require_ok(buf_append_span(&target, SPAN("/events")));
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (given[i][1] == NULL) {
            continue;
        }
        if (strlen(given[i][1]) > CONDITION_MAX) {
            fprintf(stderr, "lullctl: --%s is too long\n", given[i][0]);
            buf_free(&target);
            return CTL_USAGE;
        }
        require_ok(buf_printf(&target, "%s%s=", separator, given[i][0]));
        ctl_encode(&target, span_of(given[i][1]));
        separator = "&";
    }
    require_ok(buf_append_char(&target, '\0'));
    long status = ctl_follow(ctl, target.data, on_line, &tail, &out);
    buf_free(&target);
    if (status == 200) {
        buf_free(&out);
        return CTL_DONE; /* the daemon ended the stream: it has stopped */
    }
    return ctl_finish(ctl, status, &out, NULL);
}
