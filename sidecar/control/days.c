/* days.c: the savings of each day: a list of days by their date, each with a row per kind and a row
 * per user, and how a day is written as text.
 *
 * A day is found by its local date, as text. So an hour that the clock shows twice, a day of 23 or
 * 25 hours, and a clock that is set back all add to the day that the clock names, and no day is
 * counted twice. Days older than DAYS_KEPT are dropped where there are more than so many: a clock that
 * is ahead for an hour does not drop them all. Days after today come from a clock that was wrong once,
 * or is wrong now: they are kept, up to DAYS_MOST in all, and shown when their date comes.
 */
#include "control/days.h"

#include "control/control_priv.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- dates ---- */

static struct tm local_noon(wall_t at, int back)
{
    struct tm tm = {0};
    time_t seconds = (time_t)(at.us / USEC_PER_S);
    if (localtime_r(&seconds, &tm) != NULL) {
        tm.tm_hour = 12; /* there is no change of the clock at noon */
        tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday -= back;
        tm.tm_isdst = -1;
        (void)mktime(&tm);
    }
    return tm;
}

void day_date(wall_t at, int back, char out[DAY_DATE])
{
    struct tm tm = local_noon(at, back);
    if (strftime(out, DAY_DATE, "%Y-%m-%d", &tm) != DAY_DATE - 1) {
        snprintf(out, DAY_DATE, "0000-00-00");
    }
}

bool day_is_date(const char *text)
{
    static const char form[] = "dddd-dd-dd";
    size_t i = 0;
    while (form[i] != '\0' &&
           (form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == '-')) {
        i++;
    }
    return form[i] == '\0' && text[i] == '\0';
}

wall_t day_expires(const char *date)
{
    struct tm tm = {.tm_hour = 12, .tm_isdst = -1};
    if (sscanf(date, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3) {
        return (wall_t){0};
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    tm.tm_mday += DAYS_KEPT;
    return (wall_t){(int64_t)mktime(&tm) * USEC_PER_S};
}

/* ---- rows ---- */

static struct day_row *find_row(struct day_rows *rows, const char *name)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (strcmp(rows->items[i].name, name) == 0) {
            return &rows->items[i];
        }
    }
    return NULL;
}

void day_rows_add(struct day_rows *rows, const char *name, const struct savings *s)
{
    struct day_row *row = find_row(rows, name);
    if (row == NULL && rows->count >= DAY_ROWS_MOST) {
        name = DAY_OTHERS;
        row = find_row(rows, name);
    }
    if (row == NULL) {
        rows->items = mem_have(realloc(rows->items, (rows->count + 1) * sizeof *rows->items));
        row = &rows->items[rows->count++];
        *row = (struct day_row){0};
        snprintf(row->name, sizeof row->name, "%s", name);
    }
    savings_add(&row->sum, s);
}

struct savings day_total(const struct day *d)
{
    struct savings sum = {0};
    for (size_t i = 0; i < d->kinds.count; i++) {
        savings_add(&sum, &d->kinds.items[i].sum);
    }
    return sum;
}

/* ---- the list ---- */

static void day_free(struct day *d)
{
    free(d->kinds.items);
    free(d->users.items);
    free(d);
}

static void remove_day(struct days *days, size_t i)
{
    day_free(days->items[i]);
    days->count--;
    memmove(&days->items[i], &days->items[i + 1], (days->count - i) * sizeof days->items[0]);
}

void days_free(struct days *days)
{
    while (days->count > 0) {
        remove_day(days, days->count - 1);
    }
}

struct day *days_get(struct days *days, const char *date)
{
    size_t at = 0;
    while (at < days->count && strcmp(days->items[at]->date, date) < 0) {
        at++;
    }
    if (at < days->count && strcmp(days->items[at]->date, date) == 0) {
        return days->items[at];
    }
    if (days->count == DAYS_MOST) {
        if (at == days->count) {
            return NULL;
        }
        remove_day(days, days->count - 1);
    }
    struct day *d = mem_new(sizeof *d);
    snprintf(d->date, sizeof d->date, "%s", date);
    memmove(&days->items[at + 1], &days->items[at], (days->count - at) * sizeof days->items[0]);
    days->items[at] = d;
    days->count++;
    return d;
}

void days_drop_old(struct days *days, wall_t now)
{
    char first[DAY_DATE];
    day_date(now, DAYS_KEPT - 1, first);
    while (days->count > DAYS_KEPT && strcmp(days->items[0]->date, first) < 0) {
        remove_day(days, 0);
    }
}

size_t days_between(const struct days *days, const char *first, const char *last, size_t *from)
{
    size_t i = 0;
    while (i < days->count && strcmp(days->items[i]->date, first) < 0) {
        i++;
    }
    *from = i;
    while (i < days->count && strcmp(days->items[i]->date, last) <= 0) {
        i++;
    }
    return i - *from;
}

/* ---- as text ---- */

static void add_rows(cJSON *to, const char *name, const struct day_rows *rows)
{
    cJSON *list = cJSON_AddObjectToObject(to, name);
    for (size_t i = 0; i < rows->count; i++) {
        cJSON *row = cJSON_AddObjectToObject(list, rows->items[i].name);
#define ADD_COUNTER(field, title, unit)                                                            \
    if (rows->items[i].sum.field != 0) {                                                           \
        cJSON_AddNumberToObject(row, #field, (double)rows->items[i].sum.field);                    \
    }
        SAVINGS_FIGURES(ADD_COUNTER)
#undef ADD_COUNTER
    }
}

void day_encode(const struct day *d, struct buf *out)
{
    control_json_begin();
    cJSON *tree = cJSON_CreateObject();
    add_rows(tree, "kinds", &d->kinds);
    add_rows(tree, "users", &d->users);
    char *text = cJSON_PrintUnformatted(tree);
    if (text == NULL || !control_json_whole() || buf_append_span(out, span_of(text)) != ERR_OK) {
        buf_clear(out);
    }
    cJSON_free(text);
    cJSON_Delete(tree);
}

/* Up to 2^53 a number of JSON is exact; 285 years in microseconds. */
static int64_t read_counter(const cJSON *row, const char *field)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, field);
    bool usable = cJSON_IsNumber(item) && item->valuedouble > -9e15 && item->valuedouble < 9e15;
    return usable ? (int64_t)item->valuedouble : 0;
}

static void read_rows(const cJSON *list, struct day_rows *rows)
{
    const cJSON *row = NULL;
    cJSON_ArrayForEach(row, list)
    {
        struct savings s = {0};
        if (row->string == NULL || strlen(row->string) >= DAY_ROW_NAME) {
            continue;
        }
#define READ_COUNTER(field, title, unit) s.field = read_counter(row, #field);
        SAVINGS_FIGURES(READ_COUNTER)
#undef READ_COUNTER
        day_rows_add(rows, row->string, &s);
    }
}

bool day_decode(struct day *d, struct span text)
{
    cJSON *tree = cJSON_ParseWithLength(text.ptr, text.len);
    bool whole = cJSON_IsObject(tree);
    if (whole) {
        read_rows(cJSON_GetObjectItemCaseSensitive(tree, "kinds"), &d->kinds);
        read_rows(cJSON_GetObjectItemCaseSensitive(tree, "users"), &d->users);
    }
    cJSON_Delete(tree);
    return whole;
}
