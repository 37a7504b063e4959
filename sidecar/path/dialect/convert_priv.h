/* convert_priv.h: what the files of the conversion share; convert.c says how it goes. */
#ifndef PATH_DIALECT_CONVERT_PRIV_H
#define PATH_DIALECT_CONVERT_PRIV_H

#include "lull/path/dialect/convert.h"
#include "lull/path/json/json.h"

/* What a member about thinking says. A level also says "on". */
enum thought { THOUGHT_UNSAID, THOUGHT_OFF, THOUGHT_ON, THOUGHT_LOW, THOUGHT_MEDIUM, THOUGHT_HIGH };

/* Members of an object that is being written: each as text, with a comma in front, and a value of
 * the body behind it, which is written where the object is. Their names are those of the tables. */
enum { MEMBERS_MAX = 64 };
struct members {
    struct buf text;
    struct {
        const char *name;
        size_t from;                   /* in text */
        const struct json_node *value; /* NULL: none */
    } at[MEMBERS_MAX];
    size_t count;
};

/* One request on its way. */
struct conversion {
    enum endpoint from;
    bool normalized;        /* the form for keys is written: canonical, and without the model */
    struct members root;    /* as the other dialect has them */
    struct members options; /* those of Ollama's options; from OpenAI only */
    struct members kept;    /* normalized only: from OpenAI the members as they are, from Ollama
                                    those that root has no counterpart of */
    struct members kept_options;             /* normalized only: the same of Ollama's options */
    const struct json_node *limit;           /* OpenAI: the cap on tokens */
    const struct json_node *prompt, *system; /* /api/generate */
    const struct json_node *kwargs_node;
    bool has_input;
    enum thought think, kwargs, effort;
    enum err e; /* the first failure; nothing is written after it */
    const char *what;
};

/* A member that is known. take reads it and writes its counterpart (NULL: it has none and needs
 * none); kept: the normalized form has it as written. */
struct known_member {
    const char *name;
    void (*take)(struct conversion *c, const char *name, const struct json_node *value);
    bool kept;
};
struct known_members {
    const struct known_member *at;
    size_t count;
    const char *unknown; /* what a member that is not among them is called */
};

/* convert.c: notes the first failure. */
void convert_cannot(struct conversion *c, const char *what);
void convert_invalid(struct conversion *c);
/* convert.c: appends text, or a value (as written; canonical in the normalized form), unless
 * something has failed. */
void convert_put(struct conversion *c, struct buf *to, struct span text);
void convert_put_value(struct conversion *c, struct buf *to, const struct json_node *value);
/* convert.c: the same as a new member; convert_open_member() begins one whose value is appended to
 * the list's text piece by piece. */
void convert_open_member(struct conversion *c, struct members *to, const char *name);
void convert_put_text_member(struct conversion *c, struct members *to, const char *name,
                             struct span text);
void convert_put_member(struct conversion *c, struct members *to, const char *name,
                        const struct json_node *value);
/* convert.c: appends the object of these members, sorted in the normalized form. */
void convert_put_object(struct conversion *c, struct buf *to, const struct members *members);
void convert_members_init(struct members *m, size_t max);
/* convert.c: every member of an object by its row; kept ones go to `kept` too. */
void convert_members(struct conversion *c, const struct json_node *object,
                     const struct known_members *known, struct members *kept);
/* convert.c: checks for members without a counterpart. */
void convert_if_empty(struct conversion *c, const char *name, const struct json_node *value);
void convert_if_false(struct conversion *c, const char *name, const struct json_node *value);
void convert_never(struct conversion *c, const char *name, const struct json_node *value);
/* convert.c: members that both dialects have. */
void convert_model(struct conversion *c, const char *name, const struct json_node *value);
void convert_think(struct conversion *c, const char *name, const struct json_node *value);
/* convert.c: a list of texts, none of them empty. */
bool convert_is_stop(const struct json_node *list);
/* convert.c: whether it is {"enable_thinking": bool}, and what that says. */
bool convert_kwargs(const struct json_node *object, enum thought *said);
/* convert.c: what a level of thinking in a list of `count` says; THOUGHT_UNSAID: it is none. */
struct thought_level {
    struct span level;
    enum thought said;
};
enum thought convert_level(const struct json_node *value, const struct thought_level *levels,
                           size_t count);

/* convert_messages.c */
void convert_messages(struct conversion *c, const char *name, const struct json_node *list);
void convert_prompt(struct conversion *c);

/* convert_openai.c, convert_ollama.c: everything in a body of that dialect. */
void convert_from_openai(struct conversion *c, const struct json_node *body);
void convert_from_ollama(struct conversion *c, const struct json_node *body);

#endif
