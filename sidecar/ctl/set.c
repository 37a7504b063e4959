/* set.c: lullctl set, and lullctl config --changed. */
#include "ctl/ctl.h"

#include "lull/config/config.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINES_MAX = 32 * 1024, VALUE_MAX = 4 * 1024 * 1024 };

static void print_change(const cJSON *change, const char *indent)
{
    printf("%s", indent);
    ctl_print_text(ctl_text_of(change, "name"), false);
    printf(": ");
    ctl_print_text(ctl_text_of(change, "old"), false);
    printf(" -> ");
    ctl_print_text(ctl_text_of(change, "new"), false);
    printf("\n");
}

static void print_set(const cJSON *answer)
{
    const cJSON *one = NULL, *change = NULL;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(answer, "set"))
    {
        const cJSON *kinds = cJSON_GetObjectItemCaseSensitive(one, "kinds");
        if (kinds == NULL) {
            print_change(one, "");
            continue;
        }
        ctl_print_text(ctl_text_of(one, "name"), false);
        printf(": set for every kind that has no value of its own%s\n",
               cJSON_GetArraySize(kinds) == 0 ? "; none changes" : "");
        cJSON_ArrayForEach(change, kinds)
        {
            print_change(change, "  ");
        }
    }
}

int ctl_set(const struct ctl *ctl)
{
    char **lines = ctl->arguments;
    struct buf body = {.max = LINES_MAX}, out;
    enum err e = ERR_OK;
    for (size_t i = 0; lines[i] != NULL && e == ERR_OK; i++) {
        const char *equals = strchr(lines[i], '=');
        if (equals == NULL || strchr(lines[i], '.') == NULL || strchr(lines[i], '.') > equals ||
            strchr(lines[i], '\n') != NULL) {
            fprintf(stderr,
                    "lullctl: write SECTION.KEY=VALUE, as in task.autocomplete.debounce=300ms\n");
            buf_free(&body);
            return CTL_USAGE;
        }
        e = buf_append_span(&body, span_of(lines[i]));
        e = e == ERR_OK ? buf_append_char(&body, '\n') : e;
    }
    if (e != ERR_OK) {
        fprintf(stderr, "lullctl: that is more than fits into one request\n");
        buf_free(&body);
        return CTL_USAGE;
    }
    long status = ctl_send(ctl, "/config", NULL, 0, buf_span(&body), &out);
    buf_free(&body);
    return ctl_finish(ctl, status, &out, print_set);
}

/* "section.key" and "section.name.key": the section's head and the key. */
static void split_name(const char *name, char *head, size_t size, const char **key)
{
    const char *first = strchr(name, '.');
    const char *last = strrchr(name, '.');
    *key = last == NULL ? name : last + 1;
    if (first == NULL || first == last) {
        snprintf(head, size, "[%.*s]", (int)(last == NULL ? 0 : last - name), name);
    } else {
        snprintf(head, size, "[%.*s %.*s]", (int)(first - name), name, (int)(last - first - 1),
                 first + 1);
    }
}

static void print_value(const char *value)
{
    struct buf quoted = {.max = VALUE_MAX};
    config_quote(value, &quoted);
    require_ok(buf_append_char(&quoted, '\0'));
    ctl_print_text(quoted.data, false);
    buf_free(&quoted);
}

static bool is_changed(const cJSON *value)
{
    return strcmp(ctl_text_of(value, "origin"), "control socket") == 0;
}

static void print_changed(const cJSON *config)
{
    char shown[256] = "", head[256];
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, config)
    {
        const char *key = NULL;
        if (!is_changed(one)) {
            continue;
        }
        split_name(ctl_name_of(one), head, sizeof head, &key);
        if (strcmp(head, shown) != 0) {
            printf("%s%s\n", shown[0] != '\0' ? "\n" : "", head);
            snprintf(shown, sizeof shown, "%s", head);
        }
        bool secret = strcmp(ctl_text_of(one, "value"), "***") == 0;
        printf("%s%s = ", secret ? "# secret, not shown: " : "", key);
        print_value(ctl_text_of(one, "value"));
        printf("\n");
    }
}

/* Leaves what was set over the control socket. */
static void keep_changed(cJSON *config)
{
    for (cJSON *one = config->child, *next = NULL; one != NULL; one = next) {
        next = one->next;
        if (!is_changed(one)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(config, one));
        }
    }
}

static void print_changed_json(const cJSON *config)
{
    cJSON *own = cJSON_Duplicate(config, true);
    require(own != NULL);
    keep_changed(own);
    char *text = cJSON_PrintUnformatted(own);
    require(text != NULL);
    ctl_print_json(span_of(text));
    cJSON_free(text);
    cJSON_Delete(own);
}

int ctl_config(const struct ctl *ctl)
{
    bool changed = (ctl->given & CTL_OPTION_CHANGED) != 0;
    if (changed && ctl->json) {
        struct ctl plain = *ctl;
        plain.json = false; /* not as it came */
        return ctl_run(&plain, "GET", "/config", print_changed_json);
    }
    return ctl_run(ctl, "GET", "/config", changed ? print_changed : ctl_print_config);
}
