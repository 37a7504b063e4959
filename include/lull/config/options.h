/* options.h: the table of options (options.def) and how a value is read from text.
 */
#ifndef LULL_CONFIG_OPTIONS_H
#define LULL_CONFIG_OPTIONS_H

#include "lull/base/buf.h"
#include "lull/config/kinds.h"

enum option_section {
    OPTION_SERVER,
    OPTION_UPSTREAM,
    OPTION_TASKS,
    OPTION_KIND,
    OPTION_OWN,
    OPTION_COMPLETION,
    OPTION_TITLE,
    OPTION_FOLLOW_UP,
    OPTION_PREFIX,
    OPTION_CACHE
};

enum option_type {
    TYPE_ADDRESSES,
    TYPE_BOOL,
    TYPE_CLASS,
    TYPE_DECIMAL,
    TYPE_DIALECT,
    TYPE_DURABILITY,
    TYPE_DURATION,
    TYPE_HEADER,
    TYPE_HEADERS,
    TYPE_INT,
    TYPE_KEEP_ALIVE,
    TYPE_JSON,
    TYPE_HOSTS,
    TYPE_LOG_FORMAT,
    TYPE_LOG_LEVEL,
    TYPE_MAYBE,
    TYPE_MODE,
    TYPE_NUM_CTX,
    TYPE_OBSOLETE,
    TYPE_PATH,
    TYPE_PREFIX,
    TYPE_PRICE,
    TYPE_PROXY,
    TYPE_REWARM,
    TYPE_SCOPE,
    TYPE_SECRET,
    TYPE_SHAPE,
    TYPE_SIZE,
    TYPE_SLOTS,
    TYPE_TASKS_MODE,
    TYPE_TEXT,
    TYPE_THINK,
    TYPE_URL,
    TYPE_WINDOW,
    TYPE_YIELD,
};

struct option {
    enum option_section section;
    const char *key;
    enum option_type type;
    size_t offset; /* of the field in the section's struct */
    const char *def;
    int64_t min, max;
    bool reload;
    bool absent;         /* no key of this version: LATER or RENAMED */
    const char *instead; /* RENAMED: its name now */
    const char *help;
};

/* All of them, in the order of the table. */
extern const struct option options[];
extern const size_t option_count;

/* Sections as they stand in the file. */
enum section { SECTION_SERVER, SECTION_UPSTREAM, SECTION_TASKS, SECTION_TASK, SECTION_CACHE };
bool section_has(enum section section, const struct option *o);
const char *section_word(enum section section);
bool section_is_named(enum section section);
/* false: no such word. */
bool section_parse(struct span word, enum section *out);
/* NULL: the section has no such key. */
const struct option *option_find(enum section section, struct span key);
/* The option behind a printed name such as "task.title.ttl"; NULL if there is none. */
const struct option *option_of_name(const char *name);
/* [a-z][a-z0-9_]*, at most 64 bytes. */
bool is_name(struct span s);
/* Whether a kind has the key in its [task KIND]: debounce only where its class is completion. */
bool kind_has(const struct kind_info *k, const struct option *o);
/* The sections that have it: "[tasks] and [task KIND]". */
const char *option_place(const struct option *o);
/* Type and range of an option for --help-config and the manual page. */
void option_describe(const struct option *o, struct buf *out);

/* choices.def: the word of a value, the value of a word (false: there is none), and all words of a
 * type, as "auto, openai or ollama". */
const char *choice_word(enum option_type type, int value);
bool choice_find(enum option_type type, struct span word, int *value);
void choice_list(enum option_type type, struct buf *out);

/* Reads text into the field of base that the option names; false: why says what is wrong. */
bool value_read(const struct option *o, const char *text, void *base, struct buf *why);
/* The candidate that looks most like word, within a third of its length; NULL if none. */
const char *nearest(struct span word, const char *const *candidates, size_t count);
/* Name of the built-in kind that is meant, also by its header value; NULL: none looks like it. */
const char *nearest_kind(struct span word);
/* Writes a duration as the configuration does: "7d", "90s". */
void duration_text(int64_t us, char *out, size_t size);

#endif
