/* task_support.h: settings with the built-in kinds, requests made by hand, and records of JSON
 * lines.
 */
#ifndef UNIT_TASK_TASK_SUPPORT_H
#define UNIT_TASK_TASK_SUPPORT_H

#include "lull/path/webui/classify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OWN_KINDS_MAX = 4 };

/* Settings whose kinds are the built-in ones and, after them, own kinds of the test. */
struct task_fixture {
    struct settings settings;
    struct kind_policy kinds[KIND_BUILTIN_COUNT + OWN_KINDS_MAX];
};

static char no_text[] = "";

static inline struct kind_policy *fixture_add_kind(struct task_fixture *f, char *name)
{
    struct kind_policy *p = &f->kinds[f->settings.kind_count++];
    *p = (struct kind_policy){.name = name,
                              .enabled = true,
                              .upstream = no_text,
                              .upstream_index = -1,
                              .model = no_text,
                              .match = no_text,
                              .system_match = no_text,
                              .shape_member = no_text};
    return p;
}

static inline void fixture_init(struct task_fixture *f)
{
    *f = (struct task_fixture){0};
    f->settings.kinds = f->kinds;
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        const struct kind_info *info = kind_info((enum kind_id)i);
        struct kind_policy *p = fixture_add_kind(f, (char *)(uintptr_t)info->name);
        p->builtin = true;
        p->cls = info->cls;
    }
}

/* An unstreamed request of one user message. */
static inline struct dialect_request request_of(const char *text)
{
    return (struct dialect_request){.endpoint = ENDPOINT_CHAT,
                                    .has_input = true,
                                    .message_count = 1,
                                    .last_text = span_of(text),
                                    .first_user = span_of(text)};
}

static inline struct dialect_request request_with_system(const char *system, const char *text)
{
    struct dialect_request r = request_of(text);
    r.system = span_of(system);
    r.message_count = 2;
    return r;
}

/* Name of what was decided: of the kind, or "chat" or "other". */
static inline const char *decided(const struct settings *s, struct task_decision d)
{
    if (d.cls == TASK_CLASS_TASK) {
        return s->kinds[d.kind].name;
    }
    return d.cls == TASK_CLASS_CHAT ? "chat" : "other";
}

/* The next line of the file, without its newline; NULL at the end. free() it. */
static inline char *next_line(FILE *file)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, file);
    if (n <= 0) {
        free(line);
        return NULL;
    }
    if (line[n - 1] == '\n') {
        line[n - 1] = '\0';
    }
    return line;
}

#endif
