/* fuzz_control_days.c: any bytes as a day of the savings that was kept: refused and nothing added, or
 * taken; what is taken is written and read back as the same, within the bounds of a day.
 * covers: control/days.c
 */
#include "control/days.h"

#include "control/control_priv.h"

#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(const struct day_rows *a, const struct day_rows *b)
{
    require(a->count == b->count && a->count <= DAY_ROWS_MOST + 1);
    for (size_t i = 0; i < a->count; i++) {
        require(strlen(a->items[i].name) < DAY_ROW_NAME);
        require(strcmp(a->items[i].name, b->items[i].name) == 0);
        require(memcmp(&a->items[i].sum, &b->items[i].sum, sizeof a->items[i].sum) == 0);
        for (size_t k = 0; k < i; k++) {
            require(strcmp(a->items[i].name, a->items[k].name) != 0);
        }
    }
}

/* So many days before it expires a date of the calendar is that date. */
static void check_expiry(const char *date)
{
    char back[DAY_DATE];
    int year = 0, month = 0, day = 0;
    wall_t expires = day_expires(date);
    require(sscanf(date, "%4d-%2d-%2d", &year, &month, &day) == 3);
    if (year > 1971 && year < 2900 && month >= 1 && month <= 12 && day >= 1 && day <= 28) {
        day_date(expires, DAYS_KEPT, back);
        require(strcmp(back, date) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct days first = {0}, second = {0};
    struct day *d = days_get(&first, "2026-11-28"), *again = days_get(&second, "2026-11-28");
    struct buf text = {.max = 1024 * 1024};
    control_json_watch();
    control_json_begin();
    if (day_decode(d, span_make((const char *)data, size))) {
        day_encode(d, &text);
        require(text.len > 0 && day_decode(again, buf_span(&text)));
        check_rows(&d->kinds, &again->kinds);
        check_rows(&d->users, &again->users);
        struct savings a = day_total(d), b = day_total(again);
        require(memcmp(&a, &b, sizeof a) == 0);
    } else {
        require(d->kinds.count == 0 && d->users.count == 0);
    }
    char date[DAY_DATE];
    snprintf(date, sizeof date, "%.*s", (int)(size < 10 ? size : 10), (const char *)data);
    if (day_is_date(date)) {
        struct day *made = days_get(&first, date);
        require(made != NULL && days_get(&first, date) == made);
        check_expiry(date);
    }
    days_free(&first);
    days_free(&second);
    buf_free(&text);
    return 0;
}
