/* convert_priv.h: what the files of the conversion share; convert.c says how it goes. */
#ifndef PATH_DIALECT_CONVERT_PRIV_H
#define PATH_DIALECT_CONVERT_PRIV_H

#include "path/dialect/dialect_priv.h"

#include "lull/path/dialect/convert.h"

/* What a word about thinking says. A level also says "on". */
enum thought { THOUGHT_UNSAID, THOUGHT_OFF, THOUGHT_ON, THOUGHT_LOW, THOUGHT_MEDIUM, THOUGHT_HIGH };

/* One request on its way. The lists hold members as text, each with a comma in front. */
struct conversion {
    enum endpoint from;
    bool neutral;
    struct buf root;         /* members in the words of the other dialect */
    struct buf options;      /* those of Ollama's options; from OpenAI only */
    struct buf kept;         /* neutral only: from OpenAI the members as they are, from Ollama what
                                root has no word for */
    struct buf kept_options; /* neutral only: the same of Ollama's options */
    struct span limit;       /* OpenAI: the cap on tokens, raw */
    double limit_value;
    struct span prompt, system; /* /api/generate, raw */
    bool has_input;
    enum thought think, kwargs, effort;
    struct span kwargs_raw;
    enum err e; /* the first failure; nothing is written after it */
    const char *what;
};

/* A member that is asked about: its raw text and the same parsed. */
struct member {
    const char *name;
    const cJSON *item;
    struct span raw;
};

/* A member that is known. take reads it and writes its counterpart (NULL: it has none and needs
 * none); kept: neutral has it as written. */
struct word {
    const char *name;
    void (*take)(struct conversion *c, const struct member *m);
    bool kept;
};
struct words {
    const struct word *at;
    size_t count;
    const char *unknown; /* what a member that is not among them is called */
};

/* convert.c: notes the first failure. */
void convert_cannot(struct conversion *c, const char *what);
void convert_invalid(struct conversion *c);
/* convert.c: appends to a list, unless something has failed. */
void convert_put(struct conversion *c, struct buf *to, struct span text);
void convert_put_member(struct conversion *c, struct buf *to, const char *name, struct span raw);
/* convert.c: every member of an object by its word; kept ones go to `kept` too. */
void convert_members(struct conversion *c, const struct member *object, const struct words *words,
                     struct buf *kept);
/* convert.c: checks for words without a counterpart. */
void convert_if_empty(struct conversion *c, const struct member *m);
void convert_if_false(struct conversion *c, const struct member *m);
void convert_never(struct conversion *c, const struct member *m);
/* convert.c: words that both dialects have. */
void convert_model(struct conversion *c, const struct member *m);
void convert_think(struct conversion *c, const struct member *m);
/* convert.c: a list of texts, none of them empty. */
bool convert_is_stop(const cJSON *list);
/* convert.c: whether it is {"enable_thinking": bool}, and what that says. */
bool convert_kwargs(const cJSON *object, enum thought *said);

/* convert_messages.c */
void convert_messages(struct conversion *c, const struct member *m);
void convert_prompt(struct conversion *c);

/* convert_openai.c, convert_ollama.c: everything in a body of that dialect. */
void convert_from_openai(struct conversion *c, const struct member *body);
void convert_from_ollama(struct conversion *c, const struct member *body);

#endif
