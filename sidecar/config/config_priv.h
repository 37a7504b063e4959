/* config_priv.h: what the files that make up the reading of the configuration share.
 *
 * All sources (ini.c, environment.c, arguments.c) end in the same thing: assignments, kept in order
 * of rising precedence. build.c and kinds.c then take, for every option of every section, the last
 * assignment or the default, have value.c read it into the settings, and note it as a value with
 * its origin for --print-config and reloads.
 */
#ifndef CONFIG_CONFIG_PRIV_H
#define CONFIG_CONFIG_PRIV_H

#include "lull/config/config.h"
#include "lull/config/options.h"

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENT };

struct assignment {
    enum section section;
    char *name;                  /* of the upstream or the kind; "" where the section has none */
    const struct option *option; /* NULL: only the section's head */
    char *text;
    enum source source;
    char *place; /* "lull.conf:12", the variable's name, "--set server.listen" */
};

/* Everything read so far. */
struct reading {
    struct assignment *items;
    size_t count, capacity;
    struct buf *errors, *warnings;
};

/* reading.c */
/* Appends "PLACE: message\n" to errors (and cuts it at the buffer's end). */
void say(struct buf *to, enum source source, const char *place, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void reading_head(struct reading *r, enum section section, struct span name, enum source source,
                  const char *place);
/* Looks the key up (an unknown or later one is an error) and keeps the text. */
void reading_assign(struct reading *r, const struct assignment *target, struct span key,
                    struct span text);
/* The last one; NULL if there is none. */
const struct assignment *reading_find(const struct reading *r, enum section section,
                                      const char *name, const struct option *o);
void reading_free(struct reading *r);

/* The sources. */
void read_file(struct reading *r, const char *path, bool optional);
void read_ini(struct reading *r, const char *path, struct span text);
void read_environment(struct reading *r, char **environment);
void read_arguments(struct reading *r, const struct config_sources *s);
/* Whole file into out (whose max holds); otherwise an error under source and place. */
bool slurp(struct reading *r, enum source source, const char *place, const char *path,
           struct buf *out);

/* nearest.c: the candidate that looks most like word, within a third of its length; NULL if none.
 */
const char *nearest(struct span word, const char *const *candidates, size_t count);

/* url.c: fills the derived fields. */
bool upstream_take_url(struct upstream_settings *u, struct buf *why);

struct value {
    char *name; /* "task.title.ttl" */
    const struct option *option;
    char *text;
    enum source source;
    char *place; /* "" for defaults */
};

struct config {
    struct settings *settings;
    struct value *values;
    size_t count, capacity;
};

/* build.c */
/* Takes one option of a section into base: the assignment, or else the default. */
void take_option(struct config *c, struct reading *r, const char *prefix, const struct option *o,
                 const struct assignment *a, const char *def, void *base);
void build_settings(struct config *c, struct reading *r);
/* Where a value was set, for errors found later: "FILE:LINE: " or nothing. */
void say_about(struct reading *r, const struct assignment *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* kinds.c */
void build_kinds(struct config *c, struct reading *r);
/* The digest over everything that decides an answer. */
void build_digest(struct settings *s);

#endif
