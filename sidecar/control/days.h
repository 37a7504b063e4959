/* days.h: the savings of each day; see days.c. Plain values: no clock, no file, no callback. */
#ifndef CONTROL_DAYS_H
#define CONTROL_DAYS_H

#include "lull/base/buf.h"
#include "lull/config/figures.h"

enum {
    DAYS_KEPT = 35,      /* with today */
    DAYS_MOST = 70,      /* with those of a wrong clock */
    DAY_DATE = 11,       /* "2026-11-28", terminated */
    DAY_ROWS_MOST = 256, /* kinds, or users, of a day; the rest is one row more: others */
    DAY_ROW_NAME = 65,
};

#define DAY_OTHERS "others" /* the row of what has no row of its own */

struct day_row {
    char name[DAY_ROW_NAME];
    struct savings sum;
};
struct day_rows {
    struct day_row *items; /* in order of first use */
    size_t count;
};
struct day {
    char date[DAY_DATE];
    bool dirty; /* not written as it is */
    struct day_rows kinds, users;
};
/* Zero at first. */
struct days {
    struct day *items[DAYS_MOST]; /* oldest first */
    size_t count;
};

/* The local date of a moment, or that of so many days before. */
void day_date(wall_t at, int back, char out[DAY_DATE]);
/* Whether a text has the form of a date. */
bool day_is_date(const char *text);
/* When a day is older than DAYS_KEPT: at noon of the first day that does not show it. */
wall_t day_expires(const char *date);

/* Adds to the row of that name, or to "others" where there are DAY_ROWS_MOST rows. */
void day_rows_add(struct day_rows *rows, const char *name, const struct savings *s);
/* The sum over its kinds. */
struct savings day_total(const struct day *d);

/* The day of a date, made where it is missing; valid until the next call for the list. Where there
 * are DAYS_MOST days, the youngest is removed; NULL: the date is younger than all of these. */
struct day *days_get(struct days *days, const char *date);
/* Drops the days that are older than DAYS_KEPT, while there are more than so many. */
void days_drop_old(struct days *days, wall_t now);
/* How many days there are from first to last, and the place of the first one. */
size_t days_between(const struct days *days, const char *first, const char *last, size_t *from);
void days_free(struct days *days);

/* Appends a day as text (JSON); empty where out has no room for it. */
void day_encode(const struct day *d, struct buf *out);
/* Adds what a text has to a day; false: it is none, and nothing is added. */
bool day_decode(struct day *d, struct span text);

#endif
