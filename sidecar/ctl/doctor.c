/* doctor.c: lullctl doctor: what is wrong with the set-up, worst first, each with what to change.
 *
 * The daemon has the facts (/stats, /readyz, /config, /flights, /doctor); the rules are here, one
 * function for each subject, and those about model servers in doctor_servers.c. A rule reports only
 * on evidence: it waits for enough requests before it judges a share. Without a daemon, that is the
 * first finding, and what can be seen from outside is checked (doctor_socket.c).
 */
#include "ctl/doctor_priv.h"

#include "lull/config/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const double SOME = 10;          /* requests */
static const double REFUSED_KEPT = 600; /* seconds */
static const char *const severities[] = {"note", "warning", "error"};

/* Where a finding goes: when there are FINDINGS_MAX, it takes the place of a lesser one. */
static struct finding *place_of(struct doctor *d, enum severity severity)
{
    static struct finding dropped;
    if (d->count < FINDINGS_MAX) {
        return &d->findings[d->count++];
    }
    for (size_t i = FINDINGS_MAX; i-- > 0;) {
        if (d->findings[i].severity < severity) {
            return &d->findings[i];
        }
    }
    return &dropped;
}

struct finding *add_finding(struct doctor *d, enum severity severity, const char *fix,
                            const char *format, ...)
{
    struct finding *f = place_of(d, severity);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    snprintf(f->fix, sizeof f->fix, "%s", fix);
    f->severity = severity;
    return f;
}

/* Whether a number is there and below the bound. A daemon of another version may not have it. */
static bool is_below(const cJSON *o, const char *name, double bound)
{
    return cJSON_IsNumber(ctl_member(o, name)) && ctl_number_of(o, name) < bound;
}

const char *value_of(const struct doctor *d, const char *key)
{
    return ctl_text_of(ctl_member(d->config, key), "value");
}

/* A duration in force, in seconds; 0 where it is none. */
static double seconds_of(const struct doctor *d, const char *key)
{
    static const struct option duration = {.type = TYPE_DURATION, .max = INT64_MAX};
    struct buf why = {.max = 256};
    int64_t us = 0;
    bool ok = value_read(&duration, value_of(d, key), &us, &why);
    buf_free(&why);
    return ok ? (double)us / 1e6 : 0;
}

/* ---- the daemon, the cache, the disk ---- */

static void check_daemon(struct doctor *d)
{
    const cJSON *cache = ctl_member(d->stats, "cache");
    const char *state = ctl_text_of(cache, "state");
    const cJSON *free_bytes = ctl_member(d->facts, "disk_free_bytes");
    double room = ctl_number_of(cache, "max_bytes") - ctl_number_of(cache, "bytes");
    if (cJSON_IsFalse(ctl_member(d->ready, "ready"))) {
        add_finding(d, WARNING, "Start it again when it has stopped.", "lulld is stopping.");
    }
    if (strcmp(state, "on") != 0) {
        add_finding(
            d, ERROR,
            "The state says what is in the way; the cache goes on by itself once it is gone.",
            "The cache is %s. Every task is a call to the model.", state);
    } else if (cJSON_IsNumber(free_bytes) && free_bytes->valuedouble < room) {
        add_finding(d, WARNING, "Free space there, or set a smaller [cache] max_size.",
                    "The disk of %s has %.0f MB left, and the cache may still grow by %.0f MB.",
                    value_of(d, "server.data_dir"), free_bytes->valuedouble / 1048576,
                    room / 1048576);
    }
    if (ctl_number_of(cache, "evicted") > ctl_number_of(cache, "inserted") / 2 &&
        ctl_number_of(cache, "inserted") > 1000) {
        add_finding(d, NOTE, "Set a larger [cache] max_size.",
                    "The cache removes answers for want of room: %.0f of %.0f that were stored.",
                    ctl_number_of(cache, "evicted"), ctl_number_of(cache, "inserted"));
    }
    if (ctl_number_of(ctl_member(d->stats, "connections"), "refused") > 0) {
        add_finding(d, WARNING,
                    "Raise the limit of open files of the service, or [server] max_connections.",
                    "lulld stopped accepting connections %.0f times: no descriptors were left, or "
                    "max_connections was reached.",
                    ctl_number_of(ctl_member(d->stats, "connections"), "refused"));
    }
    if (is_below(d->facts, "time_s", 1700000000)) {
        add_finding(d, WARNING, "Set the clock; answers are kept by its time.",
                    "The clock of this machine is before 2023.");
    }
    if (strcmp(ctl_text_of(d->stats, "mode"), "on") != 0) {
        add_finding(d, NOTE, "Set [tasks] mode = on when you have seen enough.",
                    "mode = %s: lull forwards every request and only counts.",
                    ctl_text_of(d->stats, "mode"));
    }
}

/* What --check warns of: said in the log when the configuration was read. */
static void check_config(struct doctor *d)
{
    const cJSON *warning = NULL;
    cJSON_ArrayForEach(warning, ctl_member(d->facts, "config_warnings"))
    {
        if (cJSON_IsString(warning)) {
            add_finding(d, WARNING, "lulld --check names it too; lullctl reload applies a change.",
                        "%s", warning->valuestring);
        }
    }
}

/* ---- Open WebUI ---- */

static const char HEADERS_FIX[] = "In Open WebUI: Admin Settings, Connections, the connection's "
                                  "gear, Advanced, Headers; the JSON is "
                                  "in docs/open-webui.md.";

/* A connection that points elsewhere shows only by what does not come. */
static void check_traffic(struct doctor *d)
{
    double uptime = ctl_number_of(d->stats, "uptime_s");
    if (is_below(ctl_member(d->stats, "connections"), "accepted", 1)) {
        add_finding(
            d, uptime < 60 ? NOTE : WARNING,
            "Compare the URL of Open WebUI's connection (address and port) with that address; from "
            "a container, 127.0.0.1 is the container itself.",
            "Nothing has connected to %s in the %.0f s since the start.",
            value_of(d, "server.listen"), uptime);
    }
}

/* Requests that lull refused by itself within the last minutes. Not for an upstream that there is not:
 * contrib/open-webui/setup knows lull by that answer. */
static void check_refused(struct doctor *d)
{
    static const struct {
        const char *error, *what, *fix;
    } rows[] = {
        {"unauthorized", "without the client_token of lull.conf",
         "Enter client_token as the key of Open WebUI's connection."},
        {"forbidden_host", "for a host name that is not allowed (403)",
         "List the name in [server] hosts."},
        {"forbidden_origin", "of a web page of another host (403)",
         "If the page is yours, list its host in [server] hosts."},
        {"upstream_loop", "that came back to this lulld (508)",
         "The url of an upstream must be that of the model server; lulld's log names it."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const cJSON *one = ctl_member(ctl_member(d->facts, "refused"), rows[i].error);
        if (ctl_number_of(one, "count") > 0 && is_below(one, "ago_s", REFUSED_KEPT)) {
            add_finding(d, WARNING, rows[i].fix, "Refused: %.0f requests %s, the last %.0f s ago.",
                        ctl_number_of(one, "count"), rows[i].what, ctl_number_of(one, "ago_s"));
        }
    }
}

static void check_headers(struct doctor *d)
{
    const cJSON *up = NULL;
    cJSON_ArrayForEach(up, ctl_member(d->facts, "upstreams"))
    {
        double named =
            ctl_number_of(up, "tasks_by_header") + ctl_number_of(up, "chats_with_header");
        double unnamed = ctl_number_of(up, "tasks_by_text");
        double chats = ctl_number_of(up, "chats_without_header");
        double crowded = ctl_number_of(up, "crowded");
        if (named == 0 && unnamed + chats >= 3) {
            add_finding(
                d, WARNING, HEADERS_FIX,
                "The connection to %s does not send the task header: %.0f tasks were recognised "
                "by their text, %.0f requests passed as chats.",
                ctl_name_of(up), unnamed, chats);
        } else if (named > 0 && unnamed >= 3 && unnamed > named / 4) {
            add_finding(
                d, WARNING, HEADERS_FIX,
                "Some connections to %s do not send the task header: %.0f tasks had it, %.0f were "
                "recognised by their text.",
                ctl_name_of(up), ctl_number_of(up, "tasks_by_header"), unnamed);
        }
        if (crowded >= 3) {
            add_finding(
                d, WARNING, HEADERS_FIX,
                "Several people seem to share the connection to %s without the user header: %.0f "
                "chats began while another one without a user id was open.",
                ctl_name_of(up), crowded);
        }
        if (ctl_number_of(up, "unknown_header") > 0) {
            add_finding(d, NOTE, "A newer lull may know it; until then it passes as a chat.",
                        "%.0f requests to %s had a task header of an unknown kind.",
                        ctl_number_of(up, "unknown_header"), ctl_name_of(up));
        }
    }
}

static void check_lookalikes(struct doctor *d)
{
    const cJSON *one = NULL;
    double count = ctl_number_of(d->facts, "lookalike_count");
    if (count == 0) {
        return;
    }
    add_finding(
        d, WARNING,
        "If it is an edited or translated template, send the task header, or name its beginning "
        "with match = \"...\" in [task KIND].",
        "%.0f chats look like a task whose template is not known.", count);
    cJSON_ArrayForEach(one, ctl_member(d->facts, "lookalikes"))
    {
        if (ctl_text_of(one, "text")[0] != '\0') {
            add_finding(d, NOTE, "", "  it begins: %s", ctl_text_of(one, "text"));
        }
    }
}

/* ---- tasks ---- */

static double sum_of(const cJSON *task, const char *const *names, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += ctl_number_of(task, names[i]);
    }
    return sum;
}

static void check_task(struct doctor *d, const cJSON *task)
{
    static const char *const unseen[] = {"superseded", "deadline", "busy",
                                         "obsolete",   "sent",     "abandoned"};
    const char *kind = ctl_name_of(task);
    double requests = ctl_number_of(task, "requests");
    double stored = ctl_number_of(task, "stored");
    double odd = ctl_number_of(task, "not_stored");
    double failed = ctl_number_of(task, "failed");
    bool completion = strcmp(kind, "autocomplete") == 0;
    bool cached = completion || strcmp(kind, "title") == 0 || strcmp(kind, "tags") == 0 ||
                  strcmp(kind, "follow_up") == 0 || strcmp(kind, "query") == 0;
    char key[128];
    if (requests >= SOME && failed > requests / 10) {
        add_finding(d, WARNING, "lulld's log has the reason; a [tasks] fallback can stand in.",
                    "%.0f of %.0f %s tasks failed.", failed, requests, kind);
    } else if (cached && stored + odd >= SOME && odd - failed > (stored + odd) / 10) {
        struct finding *f =
            add_finding(d, WARNING, "", "%.0f of %.0f answers to %s tasks have the wrong form.",
                        odd - failed, stored + odd, kind);
        snprintf(f->fix, sizeof f->fix,
                 "Set json_schema = yes in [task %s], or choose another model: lullctl compare "
                 "--kind %s",
                 kind, kind);
    }
    if (completion && is_many(requests) && sum_of(task, unseen, 6) > 0.95 * requests) {
        add_finding(d, WARNING,
                    "Give autocomplete a smaller model of its own ([task autocomplete] model, "
                    "upstream), or "
                    "switch it off in Open WebUI.",
                    "Autocomplete is on, but %.0f of %.0f requests ended without a suggestion.",
                    sum_of(task, unseen, 6), requests);
    }
    snprintf(key, sizeof key, "task.%.64s.max_hold", kind);
    double max_hold = seconds_of(d, key);
    if (!completion && requests >= SOME && max_hold > 0 &&
        ctl_number_of(task, "wait_s") / requests > max_hold / 2) {
        struct finding *f =
            add_finding(d, WARNING, "", "A %s task waits %.1f s on average, of at most %.0f s.",
                        kind, ctl_number_of(task, "wait_s") / requests, max_hold);
        snprintf(
            f->fix, sizeof f->fix,
            "The machine has too little room between chats: a task model on another machine, or a "
            "larger max_hold in [task %s].",
            kind);
    }
}

static void check_tasks(struct doctor *d)
{
    const cJSON *task = NULL;
    cJSON_ArrayForEach(task, ctl_member(d->stats, "tasks"))
    {
        check_task(d, task);
    }
}

/* ---- the whole ---- */

/* Worst first; equal ones in the order in which they were found. */
static void sort_findings(struct doctor *d)
{
    for (size_t i = 1; i < d->count; i++) {
        struct finding f = d->findings[i];
        size_t at = i;
        for (; at > 0 && d->findings[at - 1].severity < f.severity; at--) {
            d->findings[at] = d->findings[at - 1];
        }
        d->findings[at] = f;
    }
}

static void print_json(const struct doctor *d)
{
    cJSON *tree = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(tree, "findings");
    for (size_t i = 0; i < d->count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "severity", severities[d->findings[i].severity]);
        cJSON_AddStringToObject(one, "text", d->findings[i].text);
        cJSON_AddStringToObject(one, "fix", d->findings[i].fix);
        cJSON_AddItemToArray(list, one);
    }
    char *text = cJSON_PrintUnformatted(tree);
    ctl_print_json(span_of(text));
    cJSON_free(text);
    cJSON_Delete(tree);
}

static void print_text(const struct doctor *d)
{
    static const char *const colours[] = {"", "\033[33m", "\033[31m"};
    bool colour = ctl_has_colour();
    for (size_t i = 0; i < d->count; i++) {
        const struct finding *f = &d->findings[i];
        printf("%s%-8s%s ", colour ? colours[f->severity] : "", severities[f->severity],
               colour ? "\033[0m" : "");
        ctl_print_text(f->text, false);
        printf("\n");
        if (f->fix[0] != '\0') {
            printf("         ");
            ctl_print_text(f->fix, false);
            printf("\n");
        }
    }
    if (d->count == 0) {
        printf("nothing to change\n");
    }
}

int ctl_doctor(const struct ctl *ctl)
{
    struct doctor *d = mem_new(sizeof *d);
    cJSON *answers[5];
    static const char *const targets[] = {"/stats", "/readyz", "/config", "/flights", "/doctor"};
    bool something = false;
    d->ctl = ctl;
    for (size_t i = 0; i < 5; i++) {
        answers[i] = i > 0 && answers[0] == NULL ? NULL : ctl_fetch(ctl, targets[i], true);
    }
    d->stats = answers[0];
    d->ready = answers[1];
    d->config = answers[2];
    d->flights = answers[3];
    d->facts = answers[4];
    if (d->stats == NULL) {
        char text[TEXT_MAX];
        const char *fix = ctl_doctor_socket(ctl->socket, text, sizeof text);
        add_finding(d, ERROR, fix, "%s", text);
    } else {
        check_daemon(d);
        check_config(d);
        check_servers(d);
        check_traffic(d);
        check_refused(d);
        check_headers(d);
        check_tasks(d);
        check_lookalikes(d);
    }
    sort_findings(d);
    if (ctl->json) {
        print_json(d);
    } else {
        print_text(d);
    }
    for (size_t i = 0; i < d->count; i++) {
        something = something || d->findings[i].severity > NOTE;
    }
    for (size_t i = 0; i < 5; i++) {
        cJSON_Delete(answers[i]);
    }
    free(d);
    return something ? CTL_REFUSED : CTL_DONE;
}
