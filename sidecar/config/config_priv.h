/* config_priv.h: what the files that read the configuration share, in the order of the work:
 *
 *   ini, environment ──▶ assignments ──▶ build, policies ──▶ settings, and the origin of each value
 *   (the sources)        (all that was   (which assignment   (value: for --print-config
 *                         written)        or default counts)  and reloads)
 *
 * options.c has the table of keys, value_types.c reads the text of one value. A file uses only the
 * sections of this header before its own; config.c uses all of them.
 */
#ifndef CONFIG_CONFIG_PRIV_H
#define CONFIG_CONFIG_PRIV_H

#include "lull/config/config.h"
#include "lull/config/options.h"

/* ---- nearest.c: "did you mean" ---- */

enum { WORD_MAX = 64 };
/* Edits between two words, a swap of neighbours being one; SIZE_MAX: one is longer than WORD_MAX.
 */
size_t word_distance(struct span a, struct span b);
/* Lower case, and '_' for blanks and dashes; cut at WORD_MAX. */
struct span plain_word(struct span word, char out[WORD_MAX + 1]);
/* Appends the end of a message about a key that the section does not have: the key that is meant,
 * or the section that has it, or where to look. */
void suggest_key(enum section section, struct span key, struct buf *out);

/* Appends text to why and returns false. */
static inline bool refuse_text(struct buf *why, const char *text)
{
    buf_text(why, "%s", text);
    return false;
}

/* ---- address.c: addresses to listen on ---- */

bool is_address(const char *text);
/* Whether a server cannot open all of the list, in its order: then why names two. */
bool addresses_collide(const struct strings *list, struct buf *why);
/* Whether one server cannot open `other` while another one has `list`: then why names two. */
bool address_lists_collide(const struct strings *list, const struct strings *other,
                           struct buf *why);

/* ---- url.c: urls, taken apart ---- */

/* Fills the derived fields of an upstream. */
bool url_split(struct upstream_settings *u, struct buf *why);
/* Whether it is http://[USER:PASSWORD@]HOST:PORT. The port must be there: what stands behind the last
 * colon could else be a password. */
bool is_proxy(const char *text);
/* Whether the url has Ollama's /api at its end, where requests bring it along: then why says what
 * to write. Some OpenAI servers have such a base path. */
bool url_is_doubtful(const struct upstream_settings *u, struct buf *why);

/* ---- own_listener.c ---- */

/* The address of the list that the url leads to; NULL: none that can be seen. The derived fields
 * are filled. Asks the system for its addresses, no resolver. */
const char *own_listener_of(const struct upstream_settings *u, const struct strings *listen);

/* ---- assignments.c: everything that was written, and the messages about it ---- */

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENT, SOURCE_LIVE };

struct assignment {
    enum section section;
    char *name;                  /* of the upstream or the kind; "" where the section has none */
    const struct option *option; /* NULL: only the section's head */
    char *text;
    enum source source;
    char *place; /* "lull.conf:12", the variable's name, "--set server.listen" */
};

/* A file as it was read. */
struct file_text {
    char *path;
    struct buf text;
};

/* In order of rising precedence. */
struct assignments {
    struct assignment *items;
    size_t count, capacity;
    struct buf *errors, *warnings;
    int64_t most_connections;  /* 0: any number */
    bool unread;               /* of the file or a section of it: what is missing may stand there */
    const char *missing;       /* the optional file that is not there; NULL: none */
    struct config *config;     /* keeps the files that are read */
    const struct config *same; /* not NULL: files are as they were when this was read */
};

/* A section's head. */
void assignments_add_section(struct assignments *r, enum section section, struct span name,
                             enum source source, const char *place);
/* target has the section, its name, the source and the place; copied. A key that is unknown, or of
 * another version, or given twice in a file or by two variables, is an error. */
void assignments_add(struct assignments *r, const struct assignment *target, struct span key,
                     struct span text);
/* The last one; NULL if there is none. */
const struct assignment *assignments_find(const struct assignments *r, enum section section,
                                          const char *name, const struct option *o);
/* The last one of a key that the section has. */
const struct assignment *assignments_find_key(const struct assignments *r, enum section section,
                                              const char *name, const char *key);
void assignments_free(struct assignments *r);

/* Appends "PLACE: message\n", cut at the buffer's end. */
void report(struct buf *to, enum source source, const char *place, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Errors and warnings about an assignment (NULL: without a place). A line that is there already is
 * not repeated: what [tasks] says is read once for each kind. */
void report_error(struct assignments *r, const struct assignment *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void report_warning(struct assignments *r, const struct assignment *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Whole file into out (whose max holds); false: an error under source and place names key and path.
 * key NULL: the place is the file itself; else a NUL byte is an error, too. */
bool read_whole_file(struct assignments *r, enum source source, const char *place, const char *key,
                     const char *path, struct buf *out);
/* The same for a file whose text is kept, or was when r->same was read: then it is that text. */
bool read_kept_file(struct assignments *r, enum source source, const char *place, const char *key,
                    const char *path, struct buf *out);
/* Whether r->same has read the file. */
bool was_read(const struct assignments *r, const char *path);

/* ---- ini.c, environment.c: the sources ---- */

void read_file(struct assignments *r, const char *path, bool optional);
void read_ini(struct assignments *r, const char *path, struct span text);
void read_environment(struct assignments *r, char **environment);
void read_arguments(struct assignments *r, const struct config_sources *s);

/* ---- value.c: each value in the settings, with where it comes from ---- */

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
    struct file_text *files; /* but those of certificates */
    size_t file_count;
};

/* Reads the assignment, or def where a is NULL, into the field of base that the option names, and
 * records the value as "PREFIX.KEY". What is wrong with it is an error. */
void value_add(struct config *c, struct assignments *r, const char *prefix, const struct option *o,
               const struct assignment *a, const char *def, void *base);
/* NULL: there is none of that name. */
const struct value *value_find(const struct config *c, const char *name);
/* The place of a value of a file; else the name of its source. */
const char *value_place(const struct value *v);
/* The text without secrets, and without the password of a proxy; the caller frees it. */
char *value_shown(const struct value *v);
void values_free(struct config *c);

/* ---- value_headers.c ---- */

/* Reads "NAME: value; NAME: value" as lines of a head, which the caller frees. false: why says what
 * is wrong. */
bool value_read_headers(const struct option *o, const char *text, char **out, struct buf *why);

/* ---- policies.c: what holds for each kind ---- */

void policies_build(struct config *c, struct assignments *r);
/* The defaults of an option that differ from kind to kind: "20s; title 1m, autocomplete 300ms". */
void policies_defaults(const struct option *o, struct buf *out);
/* The digest over everything that decides an answer. */
void policies_digest(struct settings *s);

/* ---- build.c: all sections ---- */

/* Default of control or data_dir. */
void build_default_path(const struct option *o, char *out, size_t size);
void build_settings(struct config *c, struct assignments *r);

#endif
