/* conditions.c: the conditions of ls and purge, as kind=title. What can be refused without asking the
 * daemon is wrong usage.
 */
#include "ctl/ctl.h"

#include <stdio.h>

enum { CONDITIONS_MAX = 7 };

static bool is_number(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

bool conditions_is_duration(const char *text)
{
    static const char *const units[] = {"us", "ms", "s", "m", "h", "d"};
    size_t digits = strspn(text, "0123456789");
    bool known = strcmp(text, "0") == 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        known = known || (digits > 0 && digits < 16 && strcmp(text + digits, units[i]) == 0);
    }
    return known;
}

static bool is_yes(const char *text)
{
    return strcmp(text, "yes") == 0;
}

static bool is_given(const char *text)
{
    return text[0] != '\0';
}

static const struct {
    const char *name;
    const char *only; /* the verb that has it; NULL: all */
    bool (*fits)(const char *value);
    const char *form;
} conditions[] = {
    {"kind", NULL, is_given, "kind is written kind=title"},
    {"scope", NULL, is_given, "scope is written scope=ID"},
    {"model", NULL, is_given, "model is written model=NAME"},
    {"older", NULL, conditions_is_duration, "older is a duration with its unit, as in older=7d"},
    {"limit", "ls", is_number, "limit is a number, as in limit=50"},
    {"after", "ls", is_number, "after is a number: next of the page before"},
    {"all", "purge", is_yes, "all is written all=yes"},
};

/* What is wrong with a condition; NULL: nothing. */
static const char *wrong_condition(const char *verb, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || strlen(text) > 1000) {
        return "a condition is written NAME=VALUE, as in kind=title";
    }
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        size_t len = strlen(conditions[i].name);
        bool here = conditions[i].only == NULL || strcmp(conditions[i].only, verb) == 0;
        if (here && (size_t)(equals - text) == len && strncmp(text, conditions[i].name, len) == 0) {
            return conditions[i].fits(equals + 1) ? NULL : conditions[i].form;
        }
    }
    return strcmp(verb, "ls") == 0 ? "conditions are kind, scope, model, older, limit and after"
                                   : "conditions are kind, scope, model, older and all";
}

const char *conditions_append(const char *verb, char *const *given, struct buf *target)
{
    for (size_t i = 0; given[i] != NULL; i++) {
        const char *why =
            i == CONDITIONS_MAX ? "too many conditions" : wrong_condition(verb, given[i]);
        if (why != NULL) {
            return why;
        }
        const char *equals = strchr(given[i], '=');
        require_ok(buf_append_char(target, i == 0 ? '?' : '&'));
        ctl_encode(target, span_make(given[i], (size_t)(equals - given[i])));
        require_ok(buf_append_char(target, '='));
        ctl_encode(target, span_of(equals + 1));
    }
    return NULL;
}
