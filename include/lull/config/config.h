/* config.h: from file, environment and arguments to struct settings. One table, options.def, drives
 * the parser, --check, --print-config, --help-config, the man page and the tests.
 *
 * Precedence: default < file < environment < argument < set over the control socket. All errors are
 * collected and reported; settings exist only when there are none.
 */
#ifndef LULL_CONFIG_CONFIG_H
#define LULL_CONFIG_CONFIG_H

#include "lull/base/buf.h"
#include "lull/config/settings.h"

struct config_sources {
    const char *file;                /* NULL: none */
    bool file_optional;              /* a missing file is no error (the default path) */
    const struct config *same_files; /* not NULL: files are as they were when this was read */
    char **environment;              /* as environ; NULL: none */
    struct strings listen;           /* --listen, replaces the file's list when not empty */
    const char *upstream;            /* --upstream URL; NULL: none. It is [upstream default] url */
    const char *data_dir, *control;  /* NULL: not given */
    struct strings
        sets; /* --set SECTION.KEY=VALUE, e.g. "upstream.chat.url=http://x", "task.title.ttl=2d" */
    struct strings live;      /* the same, set over the control socket: they win over everything */
    int64_t most_connections; /* what the process has room for: max_connections is lowered to it,
                                 with a warning; 0: any number */
};

struct config; /* settings together with the origin of every value */

/* Reads everything. On errors returns NULL and errors holds one "FILE:LINE: message" line each (for
 * other sources: "environment NAME: ..." or "argument --set ...: ..."); warnings (ignored container
 * variables) are appended to warnings. Both buffers are the caller's. */
struct config *config_read(const struct config_sources *sources, struct buf *errors,
                           struct buf *warnings);
void config_destroy(struct config *c); /* NULL is fine */
/* The settings; config_destroy drops its own reference. */
struct settings *config_settings(const struct config *c);

/* Appends "PLACE: KEY: text" about the value "section.key" as a line, as errors of config_read are
 * written; without its place where there is no such value. */
void config_say(const struct config *c, const char *name, const char *text, struct buf *out);

/* "section.key = value  (origin)" a line; secrets masked as "***". */
void config_print(const struct config *c, struct buf *out);
/* The same as a JSON object {"section.key":{"value","origin"}}, of the names that begin with
 * `section` ("": all), without that beginning. */
void config_print_json(const struct config *c, const char *section, struct buf *out);
/* Leaves what only a restart changes as it is in force: settings, values and origins of `running`. */
void config_keep_fixed(struct config *c, const struct config *running);
/* Appends a value as the configuration file has it: in quotes where it has to be. */
void config_quote(const char *text, struct buf *out);
/* The value of "section.key" with secrets masked; NULL where it is none; free() it. */
char *config_value(const struct config *c, const char *name);
/* Every key of options.def: type, default, range, reload, help. */
void config_help(struct buf *out);
/* What a reload from a to b changes, each name once: "task.title.ttl"; "tasks.ttl" where a
 * line of [tasks] comes, goes or changes; "upstream.chat" where a whole section comes or goes. names: one a line.
 * applied: "NAME = VALUE, NAME removed, ..." in one line, secrets masked; fixed: the same for what only a restart
 * changes (data_dir, control ...). */
void config_diff(const struct config *a, const struct config *b, struct buf *names,
                 struct buf *applied, struct buf *fixed);

#endif
