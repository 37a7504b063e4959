/* doctor_servers.c: what lullctl doctor finds about model servers; see doctor.c. */
#include "ctl/doctor_priv.h"

#include <stdio.h>
#include <string.h>

/* url of an upstream without user and password. */
static const char *url_of(const struct doctor *d, const char *name, char *out, size_t size)
{
    char key[128];
    snprintf(key, sizeof key, "upstream.%.64s.url", name);
    const char *url = value_of(d, key);
    const char *at = strrchr(url, '@');
    snprintf(out, size, "%s", at != NULL ? at + 1 : url);
    return out;
}

static void down(struct doctor *d, const char *name)
{
    char url[256];
    const char *why = ctl_text_of(ctl_member(ctl_member(d->facts, "servers"), name), "unreached");
    url_of(d, name, url, sizeof url);
    if (why[0] != '\0') {
        add_finding(d, ERROR,
                    "Start it, or correct its url. In a container, 127.0.0.1 is the container "
                    "itself.",
                    "Model server %s (%s) cannot be reached: %s.", name, url, why);
    } else {
        add_finding(d, ERROR, "Start it, or correct its url; lulld's log has the reason.",
                    "Model server %s (%s) does not answer, or with errors only.", name, url);
    }
}

/* The last answers of a model server that tell of the set-up. */
static void check_answers(struct doctor *d)
{
    static const char key[] = "Correct the api_key or api_key_file of that upstream; without one, "
                              "the key of Open WebUI's connection.";
    static const char model_fix[] =
        "Correct model in [tasks] or [task KIND], or add the model to that server (ollama pull); "
        "if nothing is found there, correct its url.";
    const cJSON *server = NULL;
    const cJSON *task = NULL;
    cJSON_ArrayForEach(server, ctl_member(d->facts, "servers"))
    {
        double chat = ctl_number_of(server, "chat_refused");
        cJSON_ArrayForEach(task, ctl_member(server, "tasks_refused"))
        {
            double status = ctl_number_of(task, "status");
            add_finding(d, WARNING, status == 404 ? model_fix : key,
                        "Model server %s answered the last task for the model %s with %.0f.",
                        ctl_name_of(server), ctl_text_of(task, "model"), status);
        }
        if (chat > 0) {
            add_finding(d, WARNING,
                        chat == 404 ? "Choose a model that this server has; if it has none, "
                                      "correct its url."
                                    : key,
                        "Model server %s answered the last chat with %.0f.", ctl_name_of(server),
                        chat);
        }
    }
}

static void check_upstreams(struct doctor *d)
{
    const cJSON *up = NULL;
    char url[256];
    cJSON_ArrayForEach(up, ctl_member(d->stats, "upstreams"))
    {
        const char *state = ctl_text_of(up, "state");
        double calls = ctl_number_of(up, "calls");
        double turn = ctl_number_of(up, "turn_tokens_after_tasks");
        double cached = ctl_number_of(up, "turn_cached_after_tasks");
        double alone = ctl_number_of(up, "turn_tokens_alone");
        double cached_alone = ctl_number_of(up, "turn_cached_alone");
        if (strcmp(state, "down") == 0) {
            down(d, ctl_name_of(up));
        } else if (strcmp(state, "up") != 0 && ctl_number_of(d->stats, "uptime_s") > 600) {
            add_finding(d, NOTE, "Send a chat through it, or remove its section.",
                        "Model server %s (%s) has not been asked for anything yet.",
                        ctl_name_of(up), url_of(d, ctl_name_of(up), url, sizeof url));
        } else if (is_many(calls) && ctl_number_of(up, "failed") > calls / 10) {
            add_finding(d, WARNING, "lulld's log has one a minute, with log_level = debug each.",
                        "%.0f of %.0f calls to model server %s failed.",
                        ctl_number_of(up, "failed"), calls, ctl_name_of(up));
        }
        if (turn > 5000 && alone > 5000 && cached / turn < 0.5 * cached_alone / alone) {
            add_finding(
                d, WARNING, "Set rewarm = auto for that upstream, or a task model of its own.",
                "Tasks push the chat out of the prompt cache of %s: %.0f %% of the prompt is "
                "read from it after tasks, %.0f %% otherwise.",
                ctl_name_of(up), 100 * cached / turn, 100 * cached_alone / alone);
        }
    }
}

static void check_refusals(struct doctor *d)
{
    const cJSON *row = NULL;
    cJSON_ArrayForEach(row, ctl_member(d->flights, "left_out"))
    {
        add_finding(d, NOTE, "Nothing breaks. To stop trying, leave it out of the configuration.",
                    "Model server %s refuses \"%s\" for %s; tasks are sent without it (since %s).",
                    ctl_text_of(row, "upstream"), ctl_text_of(row, "addition"),
                    ctl_text_of(row, "model"), ctl_text_of(row, "since"));
    }
}

void check_servers(struct doctor *d)
{
    check_upstreams(d);
    check_answers(d);
    check_refusals(d);
}
