/* top.h: what the files of lullctl top share: what was seen, and the picture of it. */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "ctl/ctl.h"

enum {
    TOP_LAST = 64,    /* exchanges that are kept for the list of the last ones */
    TOP_BUCKETS = 44, /* of the histogram: 8 a decade from 1 ms to 316 s */
    TOP_KINDS = 80,   /* kinds whose rate is known */
    TOP_WINDOW = 30,  /* seconds that rates are averaged over */
};

/* One finished exchange, as text that fits a line. */
struct top_exchange {
    char time[16], what[32], outcome[24], took[16], model[40], upstream[24];
    bool failed;
};

struct top_rate {
    char kind[65];
    double requests[TOP_WINDOW + 1]; /* totals, a second apart; the newest at `at` */
};

enum top_sort { TOP_SORT_REQUESTS, TOP_SORT_SAVED, TOP_SORT_SLOW, TOP_SORT_NAME, TOP_SORTS };

struct top {
    const struct ctl *ctl;
    cJSON *stats, *flights; /* NULL before the first answer */
    struct top_exchange last[TOP_LAST];
    size_t last_count, last_next;
    unsigned hits[TOP_BUCKETS],
        others[TOP_BUCKETS]; /* of tasks: answered without a call, or by one */
    unsigned long lost;
    struct top_rate rates[TOP_KINDS];
    size_t rate_count, samples, at;
    enum top_sort sort;
    bool paused, help, colour;
    bool on_screen; /* what is printed is lost with the screen */
    int rows, columns;
};

/* top_data.c */
/* Takes one line of the event stream. */
void top_take_line(void *ctx, char *line);
/* Asks for the figures and flights; false: there is no daemon any more. */
bool top_sample(struct top *top);
/* Requests of a kind a minute, over the last TOP_WINDOW seconds; -1: not known yet. */
double top_rate(const struct top *top, const char *kind);
void top_free(struct top *top);

/* top_view.c */
/* Appends the screen: at most rows lines of at most columns characters, separated by line feeds. */
void top_draw(const struct top *top, struct buf *out);
/* One line that says the most, for terminals that cannot be drawn on. */
void top_draw_line(const struct top *top, struct buf *out);

#endif
