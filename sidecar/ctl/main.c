/* main.c: lullctl: one verb, one request (rm: one for each id), one exit status. */
#include "ctl/ctl.h"

#include <curl/curl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char USAGE[] =
    "usage: lullctl [--socket PATH] [--json] VERB\n"
    "\n"
    "  stats                  what lulld has done\n"
    "  top                    a live screen: servers, tasks, kinds, the last exchanges\n"
    "  tail [--kind KIND] [--outcome OUTCOME] [--slow 1s]\n"
    "                         finished exchanges as they end, one a line\n"
    "  flights                what runs and waits now, and why\n"
    "  doctor                 what is wrong with the set-up, worst first, and what to change\n"
    "  health                 whether it is alive and ready\n"
    "  ls [CONDITION...]      answers in the cache, newest first\n"
    "  get ID                 one of them, with its request\n"
    "  rm ID...               remove them\n"
    "  purge CONDITION...     remove all that match\n"
    "  explain FILE|- [PATH] [HEADER...]\n"
    "                         what would be done with a request\n"
    "  compare --kind KIND --model MODEL[@UPSTREAM]... [--last 50] [--show]\n"
    "                         try models on the stored requests of a kind; asks for\n"
    "                         --yes-send-stored-requests before they leave their upstream\n"
    "  config [--changed]     every value and where it came from; --changed: only what was set "
    "live\n"
    "  set SECTION.KEY=VALUE...\n"
    "                         change values at once, all or none; not written to the file\n"
    "  pause [60s], resume    answer background tasks empty for a while; end that\n"
    "  reload                 read the configuration anew\n"
    "  drain                  stop when everything open is done\n"
    "\n"
    "CONDITION: kind=title scope=... model=... older=7d, for ls also limit=50 after=...,\n"
    "for purge also all=yes.\n"
    "Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 no daemon.\n";

typedef void (*print_fn)(const cJSON *answer);

static void print_purged(const cJSON *answer)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(answer, "purged");
    printf("%.0f removed\n", cJSON_IsNumber(n) ? n->valuedouble : 0);
}

static void print_paused(const cJSON *answer)
{
    double left = ctl_number_of(answer, "paused_s");
    if (left > 0) {
        printf("background tasks are paused for %.0f s\n", left);
    } else {
        printf("background tasks go on\n");
    }
}

static void print_draining(const cJSON *answer)
{
    (void)answer;
    printf("draining\n");
}

/* /readyz, for people; the exit status is what health checks look at. */
static void print_health(const cJSON *answer)
{
    const cJSON *up = NULL;
    const char *cache = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "cache"));
    printf("ready; cache ");
    ctl_print_text(cache == NULL ? "?" : cache, false);
    cJSON_ArrayForEach(up, cJSON_GetObjectItemCaseSensitive(answer, "upstreams"))
    {
        const char *state = cJSON_IsString(up) ? up->valuestring : "?";
        printf("; upstream %s %s", up->string,
               strcmp(state, "untried") == 0 ? "not tried yet" : state);
    }
    printf("\n");
}

static void say_error(const cJSON *answer, long status)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, "error"));
    fprintf(stderr, "lullctl: ");
    if (text == NULL) {
        fprintf(stderr, "lulld answered %ld", status);
    }
    for (; text != NULL && *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        fputc(c < ' ' && c != '\n' ? '?' : c, stderr);
    }
    fputc('\n', stderr);
}

int ctl_finish(const struct ctl *ctl, long status, struct buf *out, print_fn print)
{
    cJSON *answer = out->len > 0 ? cJSON_ParseWithLength(out->data, out->len) : NULL;
    int result = CTL_DONE;
    if (status == 0) {
        result = CTL_NO_DAEMON;
    } else if (status >= 300 || (answer == NULL && status != 204)) {
        say_error(answer, status);
        result = CTL_REFUSED;
    } else if (ctl->json && out->len > 0) {
        printf("%.*s\n", (int)out->len, out->data);
    } else if (print != NULL) {
        print(answer);
    }
    cJSON_Delete(answer);
    buf_free(out);
    return result;
}

/* Asks, and prints the answer. */
static int run(const struct ctl *ctl, const char *method, const char *target, print_fn print)
{
    struct buf out;
    long status = ctl_ask(ctl, method, target, &out);
    return ctl_finish(ctl, status, &out, print);
}

/* ---- conditions: what can be told without the daemon is wrong usage ---- */

static bool is_number(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

static bool is_duration(const char *text)
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
    {"older", NULL, is_duration, "older is a duration with its unit, as in older=7d"},
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

/* PATH?NAME=VALUE&... of the conditions. */
static int run_query(const struct ctl *ctl, const char *verb, const char *const route[2],
                     char **given, print_fn print)
{
    struct buf target;
    buf_init(&target, 8192);
    require_ok(buf_printf(&target, "%s", route[1]));
    for (int i = 0; given[i] != NULL; i++) {
        char *equals = strchr(given[i], '=');
        const char *why = i > 6 ? "too many conditions" : wrong_condition(verb, given[i]);
        if (why != NULL) {
            fprintf(stderr, "lullctl: %s; try lullctl --help\n", why);
            buf_free(&target);
            return CTL_USAGE;
        }
        *equals = '\0';
        require_ok(buf_append_char(&target, i == 0 ? '?' : '&'));
        ctl_encode(&target, given[i]);
        require_ok(buf_append_char(&target, '='));
        ctl_encode(&target, equals + 1);
    }
    require_ok(buf_append_char(&target, '\0'));
    int result = run(ctl, route[0], target.data, print);
    buf_free(&target);
    return result;
}

static int run_entry(const struct ctl *ctl, const char *method, const char *id, print_fn print)
{
    struct buf target;
    buf_init(&target, 8192);
    if (strlen(id) > 1000) {
        fprintf(stderr, "lullctl: that is no id\n");
        return CTL_USAGE;
    }
    require_ok(buf_printf(&target, "/entries/"));
    ctl_encode(&target, id);
    require_ok(buf_append_char(&target, '\0'));
    int result = run(ctl, method, target.data, print);
    buf_free(&target);
    return result;
}

static int run_pause(const struct ctl *ctl, const char *duration)
{
    struct buf target;
    if (!is_duration(duration)) {
        fprintf(stderr, "lullctl: pause takes a duration with its unit, as in pause 60s\n");
        return CTL_USAGE;
    }
    buf_init(&target, 256);
    require_ok(buf_append_span(&target, SPAN("/pause?for=")));
    ctl_encode(&target, duration);
    require_ok(buf_append_char(&target, '\0'));
    int result = run(ctl, "POST", target.data, print_paused);
    buf_free(&target);
    return result;
}

static int remove_all(const struct ctl *ctl, char **ids)
{
    int result = CTL_DONE;
    for (; *ids != NULL && result != CTL_NO_DAEMON; ids++) {
        int one = run_entry(ctl, "DELETE", *ids, NULL);
        result = one == CTL_DONE ? result : one;
    }
    return result;
}

enum form {
    FORM_PLAIN,
    FORM_CONDITIONS,
    FORM_ID,
    FORM_IDS,
    FORM_EXPLAIN,
    FORM_COMPARE,
    FORM_TAIL,
    FORM_TOP,
    FORM_DOCTOR,
    FORM_SET,
    FORM_PAUSE,
    FORM_CONFIG
};
static const struct {
    const char *verb;
    enum form form;
    const char *route[2];
    print_fn print;
} verbs[] = {
    {"stats", FORM_PLAIN, {"GET", "/stats"}, ctl_print_stats},
    {"top", FORM_TOP, {"GET", "/stats"}, NULL},
    {"doctor", FORM_DOCTOR, {"GET", "/doctor"}, NULL},
    {"tail", FORM_TAIL, {"GET", "/events"}, NULL},
    {"health", FORM_PLAIN, {"GET", "/readyz"}, print_health},
    {"flights", FORM_PLAIN, {"GET", "/flights"}, ctl_print_flights},
    {"ls", FORM_CONDITIONS, {"GET", "/entries"}, ctl_print_entries},
    {"get", FORM_ID, {"GET", ""}, ctl_print_entry},
    {"rm", FORM_IDS, {"DELETE", ""}, NULL},
    {"purge", FORM_CONDITIONS, {"POST", "/purge"}, print_purged},
    {"explain", FORM_EXPLAIN, {"POST", "/explain"}, NULL},
    {"compare", FORM_COMPARE, {"POST", "/compare"}, NULL},
    {"config", FORM_CONFIG, {"GET", "/config"}, ctl_print_config},
    {"reload", FORM_PLAIN, {"POST", "/reload"}, ctl_print_reload},
    {"drain", FORM_PLAIN, {"POST", "/drain"}, print_draining},
    {"set", FORM_SET, {"POST", "/config"}, ctl_print_set},
    {"pause", FORM_PAUSE, {"POST", "/pause"}, print_paused},
    {"resume", FORM_PLAIN, {"POST", "/resume"}, print_paused},
};
static const char *const later[] = {"report"};

static int usage(const char *text, const char *verb)
{
    fprintf(stderr, "lullctl: %s%s; try lullctl --help\n", verb, text);
    return CTL_USAGE;
}

static int run_verb(const struct ctl *ctl, const char *verb, char **arguments)
{
    int count = 0;
    while (arguments[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        enum form form = verbs[i].form;
        if (strcmp(verbs[i].verb, verb) != 0) {
            continue;
        }
        bool filtered =
            ctl->tail.kind != NULL || ctl->tail.outcome != NULL || ctl->tail.slow != NULL;
        bool kind_only = ctl->tail.outcome == NULL && ctl->tail.slow == NULL;
        if ((ctl->changed && strcmp(verb, "config") != 0) ||
            (ctl->compare.given && form != FORM_COMPARE) ||
            (filtered && form != FORM_TAIL && !(form == FORM_COMPARE && kind_only))) {
            return usage(" takes no such option", verb);
        }
        bool plain = form != FORM_CONDITIONS && form != FORM_ID && form != FORM_IDS &&
                     form != FORM_EXPLAIN && form != FORM_SET && form != FORM_PAUSE;
        if ((plain && count > 0) || (form == FORM_ID && count != 1) ||
            (form == FORM_IDS && count == 0)) {
            return usage(plain ? " takes no arguments" : " needs an id", verb);
        }
        if (verbs[i].print == print_purged && count == 0) {
            return usage(" needs a condition, or all=yes for everything", verb);
        }
        switch (form) {
        case FORM_CONDITIONS:
            return run_query(ctl, verb, verbs[i].route, arguments, verbs[i].print);
        case FORM_ID:
            return run_entry(ctl, "GET", arguments[0], verbs[i].print);
        case FORM_EXPLAIN:
            return count > 0 ? ctl_explain(ctl, arguments) : usage(" needs a file, or -", verb);
        case FORM_IDS:
            return remove_all(ctl, arguments);
        case FORM_COMPARE:
            return ctl_compare(ctl);
        case FORM_TAIL:
            return ctl_tail(ctl);
        case FORM_TOP:
            return ctl_top(ctl);
        case FORM_DOCTOR:
            return ctl_doctor(ctl);
        case FORM_CONFIG:
            return run(ctl, "GET", "/config", ctl->changed ? ctl_print_changed : ctl_print_config);
        case FORM_SET:
            return count > 0 ? ctl_set(ctl, arguments) : usage(" needs SECTION.KEY=VALUE", verb);
        case FORM_PAUSE:
            return count <= 1 ? run_pause(ctl, count == 1 ? arguments[0] : "60s")
                              : usage(" takes one duration, as in pause 60s", verb);
        default:
            return run(ctl, verbs[i].route[0], verbs[i].route[1], verbs[i].print);
        }
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (strcmp(later[i], verb) == 0) {
            return usage(" is not supported in this version", verb);
        }
    }
    return usage(" is not a verb", verb);
}

/* An option of `compare`; others are not touched. */
static void take_compare(struct ctl_compare *c, int o, const char *value)
{
    switch (o) {
    case 'm':
        c->models[c->count] = value;
        c->count += c->count < CTL_MODELS ? 1 : 0;
        break;
    case 'l':
        c->last = value;
        break;
    case 'w':
        c->show = true;
        break;
    case 'y':
        c->yes = true;
        break;
    default:
        return;
    }
    c->given = true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"kind", required_argument, NULL, 'k'},
                                            {"outcome", required_argument, NULL, 'o'},
                                            {"changed", no_argument, NULL, 'c'},
                                            {"slow", required_argument, NULL, 'S'},
                                            {"model", required_argument, NULL, 'm'},
                                            {"last", required_argument, NULL, 'l'},
                                            {"show", no_argument, NULL, 'w'},
                                            {"yes-send-stored-requests", no_argument, NULL, 'y'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char socket_path[512];
    struct ctl ctl = {.socket = socket_path};
    ctl_default_socket(socket_path, sizeof socket_path);
    for (int o = 0; (o = getopt_long(argc, argv, "s:jVh", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            ctl.socket = optarg;
            break;
        case 'j':
            ctl.json = true;
            break;
        case 'V':
            printf("lullctl " LULL_VERSION "\n");
            return CTL_DONE;
        case 'h':
            fputs(USAGE, stdout);
            return CTL_DONE;
        case '?':
            return CTL_USAGE;
        case 'c':
            ctl.changed = true;
            break;
        case 'o':
            ctl.tail.outcome = optarg;
            break;
        case 'S':
            ctl.tail.slow = optarg;
            break;
        case 'k':
            ctl.tail.kind = optarg;
            ctl.compare.kind = optarg;
            break;
        default:
            take_compare(&ctl.compare, o, optarg);
        }
    }
    if (optind == argc) {
        fputs(USAGE, stderr);
        return CTL_USAGE;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int result = run_verb(&ctl, argv[optind], argv + optind + 1);
    curl_global_cleanup();
    return fflush(stdout) == 0 ? result : CTL_REFUSED;
}
