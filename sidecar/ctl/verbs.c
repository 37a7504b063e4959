/* verbs.c: the verbs of lullctl, and which arguments and options each takes. */
#include "ctl/ctl.h"

#include <limits.h>
#include <stdio.h>

enum { TARGET_MAX = 8192 };

struct verb {
    const char *name;
    int (*run)(const struct ctl *ctl, const struct verb *verb);
    const char *method, *target;
    void (*print)(const cJSON *answer); /* NULL: nothing is printed, or run prints */
    int least, most;                    /* arguments */
    const char *wrong_count;            /* what is said of another number */
    unsigned options;
};

static const char NO_ARGUMENTS[] = " takes no arguments";
static const char AN_ID[] = " needs an id";

static int usage(const char *text, const char *verb)
{
    fprintf(stderr, "lullctl: %s%s; try lullctl --help\n", verb, text);
    return CTL_USAGE;
}

static int run_plain(const struct ctl *ctl, const struct verb *verb)
{
    return ctl_run(ctl, verb->method, verb->target, verb->print);
}

static int run_query(const struct ctl *ctl, const struct verb *verb)
{
    struct buf target = {.max = TARGET_MAX};
    require_ok(buf_printf(&target, "%s", verb->target));
    const char *why = conditions_append(verb->name, ctl->arguments, &target);
    int result = CTL_USAGE;
    if (why == NULL) {
        require_ok(buf_append_char(&target, '\0'));
        result = ctl_run(ctl, verb->method, target.data, verb->print);
    } else {
        fprintf(stderr, "lullctl: %s; try lullctl --help\n", why);
    }
    buf_free(&target);
    return result;
}

/* Each of the ids; stops where there is no daemon. */
static int run_entries(const struct ctl *ctl, const struct verb *verb)
{
    int result = CTL_DONE;
    for (char **id = ctl->arguments; *id != NULL && result != CTL_NO_DAEMON; id++) {
        struct buf target = {.max = TARGET_MAX};
        int one = CTL_USAGE;
        if (strlen(*id) > 1000) {
            fprintf(stderr, "lullctl: that is no id\n");
        } else {
            require_ok(buf_printf(&target, "/entries/"));
            ctl_encode(&target, span_of(*id));
            require_ok(buf_append_char(&target, '\0'));
            one = ctl_run(ctl, verb->method, target.data, verb->print);
        }
        buf_free(&target);
        result = one == CTL_DONE ? result : one;
    }
    return result;
}

static int run_explain(const struct ctl *ctl, const struct verb *verb)
{
    bool has_file = ctl->arguments[0] != NULL;
    if (ctl->last_miss != NULL && has_file) {
        return usage(" --last-miss takes no file", verb->name);
    }
    if (ctl->last_miss == NULL && !has_file) {
        return usage(verb->wrong_count, verb->name);
    }
    return ctl_explain(ctl);
}

static int run_compare(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_compare(ctl);
}

static int run_tail(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_tail(ctl);
}

static int run_top(const struct ctl *ctl, const struct verb *verb)
{
    return ctl->json ? usage(" has no JSON; stats, flights and tail have", verb->name)
                     : ctl_top(ctl);
}

static int run_config(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_config(ctl);
}

static int run_set(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_set(ctl);
}

static int run_pause(const struct ctl *ctl, const struct verb *verb)
{
    const char *duration = ctl->arguments[0] == NULL ? "60s" : ctl->arguments[0];
    struct buf target = {.max = TARGET_MAX};
    if (!conditions_is_duration(duration)) {
        fprintf(stderr, "lullctl: pause takes a duration with its unit, as in pause 60s\n");
        return CTL_USAGE;
    }
    require_ok(buf_printf(&target, "%s?for=%s%c", verb->target, duration, '\0'));
    int result = ctl_run(ctl, verb->method, target.data, verb->print);
    buf_free(&target);
    return result;
}

static int run_doctor(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_doctor(ctl);
}

static int run_completion(const struct ctl *ctl, const struct verb *verb)
{
    return ctl->json ? usage(" has no JSON", verb->name) : ctl_completion(ctl);
}

static int run_report(const struct ctl *ctl, const struct verb *verb)
{
    (void)verb;
    return ctl_report(ctl);
}

#define PLAIN(name, method, target, print)                                                         \
    {                                                                                              \
        name, run_plain, method, target, print, 0, 0, NO_ARGUMENTS, 0                              \
    }
static const struct verb verbs[] = {
    PLAIN("stats", "GET", "/stats", ctl_print_stats),
    PLAIN("flights", "GET", "/flights", ctl_print_flights),
    PLAIN("health", "GET", "/readyz", ctl_print_health),
    PLAIN("reload", "POST", "/reload", ctl_print_reload),
    PLAIN("drain", "POST", "/drain", ctl_print_draining),
    PLAIN("resume", "POST", "/resume", ctl_print_paused),
    {"pause", run_pause, "POST", "/pause", ctl_print_paused, 0, 1,
     " takes one duration, as in pause 60s", 0},
    {"config", run_config, "GET", "/config", NULL, 0, 0, NO_ARGUMENTS, CTL_OPTION_CHANGED},
    {"set", run_set, "POST", "/config", NULL, 1, INT_MAX, " needs SECTION.KEY=VALUE", 0},
    {"ls", run_query, "GET", "/entries", ctl_print_entries, 0, INT_MAX, "", 0},
    {"get", run_entries, "GET", "", ctl_print_entry, 1, 1, AN_ID, 0},
    {"rm", run_entries, "DELETE", "", NULL, 1, INT_MAX, AN_ID, 0},
    {"purge", run_query, "POST", "/purge", ctl_print_purged, 1, INT_MAX,
     " needs a condition, or all=yes for everything", 0},
    {"explain", run_explain, "POST", "/explain", NULL, 0, INT_MAX, " needs a file, or -",
     CTL_OPTION_EXPLAIN},
    {"compare", run_compare, "POST", "/compare", NULL, 0, 0, NO_ARGUMENTS,
     CTL_OPTION_KIND | CTL_OPTION_COMPARE},
    {"tail", run_tail, "GET", "/events", NULL, 0, 0, NO_ARGUMENTS,
     CTL_OPTION_KIND | CTL_OPTION_FILTER},
    {"top", run_top, "GET", "/stats", NULL, 0, 0, NO_ARGUMENTS, 0},
    {"completion", run_completion, "", "", NULL, 1, 1, " needs a shell: bash, zsh or fish", 0},
    {"doctor", run_doctor, "GET", "/doctor", NULL, 0, 0, NO_ARGUMENTS, 0},
    {"report", run_report, "GET", "/report", NULL, 0, 0, NO_ARGUMENTS, CTL_OPTION_REPORT},
};
#undef PLAIN

const char *verbs_name(size_t i)
{
    return i < sizeof verbs / sizeof verbs[0] ? verbs[i].name : NULL;
}

int verbs_run(const struct ctl *ctl)
{
    int count = 0;
    while (ctl->arguments[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(verb->name, ctl->verb) != 0) {
            continue;
        }
        if ((ctl->given & ~verb->options) != 0) {
            return usage(" takes no such option", ctl->verb);
        }
        if (count < verb->least || count > verb->most) {
            return usage(verb->wrong_count, ctl->verb);
        }
        return verb->run(ctl, verb);
    }
    return usage(" is not a verb", ctl->verb);
}
