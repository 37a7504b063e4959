/* report_table.c: lullctl report: two tables, one of the days and one of the kinds or the users, over
 * all of them; or the daemon's CSV. */
#include "ctl/ctl.h"

#include <stdio.h>

enum { DAYS_MOST = 35, NAME_WIDTH = 19 };

static const struct column {
    const char *figure, *title;
    int width, decimals;
    bool money; /* shown where something has a price */
} columns[] = {
    {"requests", "requests", 9, 0, false},          {"without_call", "without call", 12, 0, false},
    {"saved_s", "saved s", 10, 1, false},           {"spent_s", "spent s", 10, 1, false},
    {"wasted_s", "wasted s", 9, 1, false},          {"wait_s", "waited s", 9, 1, false},
    {"saved_tokens", "saved tokens", 12, 0, false}, {"cost", "cost", 10, 4, true},
    {"saved_cost", "saved cost", 10, 4, true},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static bool has_money(const cJSON *days)
{
    const cJSON *day = NULL;
    cJSON_ArrayForEach(day, days)
    {
        const cJSON *total = cJSON_GetObjectItemCaseSensitive(day, "total");
        if (ctl_number_of(total, "cost") > 0 || ctl_number_of(total, "saved_cost") > 0) {
            return true;
        }
    }
    return false;
}

static void print_titles(const char *first, bool money)
{
    printf("%-*s", NAME_WIDTH, first);
    for (size_t i = 0; i < COLUMNS; i++) {
        if (money || !columns[i].money) {
            printf(" %*s", columns[i].width, columns[i].title);
        }
    }
    printf("\n");
}

static void print_row(const char *name, const cJSON *row, bool money)
{
    ctl_print_padded(name, NAME_WIDTH);
    for (size_t i = 0; i < COLUMNS; i++) {
        if (money || !columns[i].money) {
            printf(" %*.*f", columns[i].width, columns[i].decimals,
                   ctl_number_of(row, columns[i].figure));
        }
    }
    printf("\n");
}

/* Adds the figures of a row to those of the same name; sums is an object. */
static void add_to_row(cJSON *sums, const char *name, const cJSON *row)
{
    cJSON *sum = cJSON_GetObjectItemCaseSensitive(sums, name);
    if (sum == NULL) {
        sum = cJSON_AddObjectToObject(sums, name);
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        double value =
            ctl_number_of(sum, columns[i].figure) + ctl_number_of(row, columns[i].figure);
        cJSON_DeleteItemFromObjectCaseSensitive(sum, columns[i].figure);
        cJSON_AddNumberToObject(sum, columns[i].figure, value);
    }
}

static void print_report(const cJSON *report)
{
    const cJSON *days = cJSON_GetObjectItemCaseSensitive(report, "days");
    bool money = has_money(days);
    bool by_user = cJSON_HasObjectItem(cJSON_GetArrayItem(days, 0), "users");
    cJSON *all = cJSON_CreateObject(), *sums = cJSON_CreateObject();
    const cJSON *day = NULL, *row = NULL;
    print_titles("day", money);
    cJSON_ArrayForEach(day, days)
    {
        const cJSON *total = cJSON_GetObjectItemCaseSensitive(day, "total");
        print_row(ctl_text_of(day, "day"), total, money);
        add_to_row(all, "all days", total);
        cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(day, by_user ? "users" : "kinds"))
        {
            add_to_row(sums, ctl_name_of(row), row);
        }
    }
    cJSON_ArrayForEach(row, all)
    {
        print_row(ctl_name_of(row), row, money);
    }
    printf("\n");
    print_titles(by_user ? "user" : "kind", money);
    cJSON_ArrayForEach(row, sums)
    {
        print_row(ctl_name_of(row), row, money);
    }
    cJSON_Delete(all);
    cJSON_Delete(sums);
}

/* A number of days from 1 to DAYS_MOST; 0: it is none. */
static int read_days(const char *text)
{
    int days = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 2 || strspn(text, "0123456789") != len) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        days = days * 10 + (text[i] - '0');
    }
    return days <= DAYS_MOST ? days : 0;
}

static int usage(const char *text)
{
    fprintf(stderr, "lullctl: %s; try lullctl --help\n", text);
    return CTL_USAGE;
}

int ctl_report(const struct ctl *ctl)
{
    int days = ctl->days == NULL ? DAYS_MOST : read_days(ctl->days);
    bool by_user = ctl->by != NULL && strcmp(ctl->by, "user") == 0;
    char target[64];
    struct buf out;
    if (days == 0) {
        return usage("--days takes a number from 1 to 35");
    }
    if (ctl->by != NULL && !by_user && strcmp(ctl->by, "kind") != 0) {
        return usage("--by takes user or kind");
    }
    if (ctl->csv && ctl->json) {
        return usage("--csv and --json exclude each other");
    }
    snprintf(target, sizeof target, "/report?days=%d&by=%s", days, by_user ? "user" : "kind");
    if (!ctl->csv) {
        return ctl_run(ctl, "GET", target, print_report);
    }
    long status = ctl_ask_as(ctl, target, "text/csv", &out);
    if (status != 200) {
        return ctl_finish(ctl, status, &out, NULL);
    }
    if (out.len > 0) {
        fwrite(out.data, 1, out.len, stdout);
    }
    buf_free(&out);
    return CTL_DONE;
}
