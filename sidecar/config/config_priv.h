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
    int64_t most_connections; /* 0: any number */
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
/* Whole file into out (whose max holds); otherwise an error under source and place that names key
 * and path. key NULL: the place is the file itself. */
bool slurp(struct reading *r, enum source source, const char *place, const char *key,
           const char *path, struct buf *out);

/* nearest.c */
enum { WORD_MAX = 64 };
/* Edits between two words, a swap of neighbours being one; SIZE_MAX: one is longer than WORD_MAX.
 */
size_t word_distance(struct span a, struct span b);
/* Lower case, and '_' for blanks and dashes; cut at WORD_MAX. */
struct span plain_word(struct span word, char out[WORD_MAX + 1]);
/* The end of a message about a key that the section does not have: the key that is meant, or the
 * section that has it, or where to look. */
void suggest_key(enum section section, struct span key, struct buf *out);

/* address.c */
bool is_address(const char *text);
/* Whether two of the addresses cannot be listened on at once: then why names them. */
bool addresses_collide(const struct strings *list, struct buf *why);
/* Whether both are the socket file of that path, however it is written. */
bool is_same_path(const char *a, const char *b);

/* own_listener.c: the address of the list that the url leads to; NULL: none that can be seen. The
 * derived fields are filled. Asks the system for its addresses, no resolver. */
const char *upstream_own_listener(const struct upstream_settings *u, const struct strings *listen);

/* url.c: fills the derived fields. */
bool upstream_take_url(struct upstream_settings *u, struct buf *why);
/* Whether the url has Ollama's /api at its end, where requests bring it along: then why says what
 * to write. Some OpenAI servers have such a base path. */
bool upstream_url_is_doubtful(const struct upstream_settings *u, struct buf *why);

struct value {
    char *name; /* "task.title.ttl" */
    const struct option *option;
    char *text;
    enum source source;
    char *place;   /* "" for defaults */
    bool of_tasks; /* [tasks] says it for all kinds */
};

struct config {
    struct settings *settings;
    struct value *values;
    size_t count, capacity;
};

/* build.c */
/* Default of control or data_dir. */
void default_path(const struct option *o, char *out, size_t size);
/* Takes one option of a section into base: the assignment, or else the default. */
void take_option(struct config *c, struct reading *r, const char *prefix, const struct option *o,
                 const struct assignment *a, const char *def, void *base);
void build_settings(struct config *c, struct reading *r);
/* Where a value was set, for errors found later: "FILE:LINE: " or nothing. A line that is there
 * already is not said again: what [tasks] says is read once for each kind. */
void say_about(struct reading *r, const struct assignment *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The same as a warning. */
void warn_about(struct reading *r, const struct assignment *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* kinds.c */
void build_kinds(struct config *c, struct reading *r);
/* The defaults of an option that differ from kind to kind: "20s; title 1m, autocomplete 300ms". */
void kind_defaults(const struct option *o, struct buf *out);
/* The digest over everything that decides an answer. */
void build_digest(struct settings *s);

#endif
