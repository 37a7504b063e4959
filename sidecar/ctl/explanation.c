/* explanation.c: the answer of lullctl explain as text: the decision, why, the nearest stored
 * request and how it differs, then the values of the configuration that decided.
 */
#include "ctl/ctl.h"

#include <stdio.h>

static void print_members(const cJSON *answer)
{
    static const char *const names[] = {"decision",  "detail",  "now",    "class",       "kind",
                                        "why",       "refused", "ttl_s",  "joins",       "follows",
                                        "window_ms", "waits",   "prefix", "prefix_not",  "upstream",
                                        "fallback",  "model",   "scope",  "fingerprint", "body"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer, names[i]);
        if (cJSON_IsString(item) && item->valuestring[0] != '\0') {
            printf("%-12s ", names[i]);
            ctl_print_text(item->valuestring, false);
            printf("\n");
        } else if (cJSON_IsNumber(item)) {
            printf("%-12s %.0f\n", names[i], item->valuedouble);
        } else if (cJSON_IsTrue(item)) {
            printf("%-12s yes\n", names[i]);
        }
    }
}

static void print_last_miss(const cJSON *past)
{
    if (past != NULL) {
        printf("%-12s at ", "missed");
        ctl_print_text(ctl_text_of(past, "at"), false);
        if (ctl_text_of(past, "expired")[0] != '\0') {
            printf("; its stored answer had expired at ");
            ctl_print_text(ctl_text_of(past, "expired"), false);
        }
        printf("\n");
    }
}

static void print_side(const cJSON *line, const char *name, const char *label)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, name));
    if (text != NULL) {
        printf("    %-7s ", label);
        ctl_print_text(text, false);
        printf("\n");
    }
}

static void print_difference(const cJSON *line)
{
    const char *only = ctl_text_of(line, "only");
    printf("  ");
    ctl_print_text(ctl_text_of(line, "path"), false);
    if (only[0] != '\0') {
        printf(": only in the %s request", strcmp(only, "mine") == 0 ? "missed" : "stored");
    } else if (ctl_number_of(line, "position") > 0) {
        printf(": from character %.0f", ctl_number_of(line, "position") + 1);
    }
    printf("\n");
    print_side(line, "mine", "missed");
    print_side(line, "stored", "stored");
}

static void print_nearest(const cJSON *answer)
{
    const cJSON *nearest = cJSON_GetObjectItemCaseSensitive(answer, "nearest");
    const cJSON *lines = cJSON_GetObjectItemCaseSensitive(nearest, "differences");
    const cJSON *line = NULL;
    const char *not_compared = ctl_text_of(answer, "not_compared");
    bool expired = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(nearest, "expired"));
    if (cJSON_IsNull(nearest)) {
        printf("%-12s none of this kind and scope is stored with its request%s", "nearest",
               not_compared[0] != '\0' ? ": " : "");
        ctl_print_text(not_compared, false);
        printf("\n");
    }
    if (!cJSON_IsObject(nearest)) {
        return;
    }
    double different = ctl_number_of(nearest, "different");
    printf("%-12s ", "nearest");
    ctl_print_text(ctl_text_of(nearest, "id"), false);
    printf(", stored ");
    ctl_print_text(ctl_text_of(nearest, "created"), false);
    printf(expired ? ", expired " : ", expires ");
    ctl_print_text(ctl_text_of(nearest, "expires"), false);
    printf(": %.0f values are equal, %.0f differ\n", ctl_number_of(nearest, "equal"), different);
    cJSON_ArrayForEach(line, lines)
    {
        print_difference(line);
    }
    if (different > cJSON_GetArraySize(lines)) {
        printf("  and %.0f more\n", different - cJSON_GetArraySize(lines));
    } else if (different == 0 && !expired) {
        printf("  the path, its query or values of the kind differ\n");
    }
}

static bool is_decided_by(const cJSON *answer, const char *name)
{
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(answer, "decided_by"))
    {
        if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0) {
            return true;
        }
    }
    return false;
}

static void print_values(const cJSON *answer, bool all)
{
    const cJSON *value = NULL;
    cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(answer, "policy"))
    {
        const char *from = ctl_text_of(value, "origin");
        if (all || is_decided_by(answer, ctl_name_of(value))) {
            printf("  ");
            ctl_print_column(ctl_name_of(value), 15);
            ctl_print_text(ctl_text_of(value, "value"), false);
            printf("  (");
            ctl_print_text(from[0] == '\0' ? "?" : from, false);
            printf(")\n");
        }
    }
}

static void print_answer(const cJSON *answer, bool all)
{
    print_members(answer);
    print_last_miss(cJSON_GetObjectItemCaseSensitive(answer, "last_miss"));
    print_nearest(answer);
    print_values(answer, all);
}

void ctl_print_explanation(const cJSON *answer)
{
    print_answer(answer, false);
}

void ctl_print_explanation_all(const cJSON *answer)
{
    print_answer(answer, true);
}
