/* options.c: options.def as a table, and what can be asked about it. */
#include "config/config_priv.h"

#define FIELD_SERVER(field) offsetof(struct server_settings, field)
#define FIELD_UPSTREAM(field) offsetof(struct upstream_settings, field)
#define FIELD_TASKS(field) offsetof(struct settings, field)
#define FIELD_KIND(field) offsetof(struct kind_policy, field)
#define FIELD_OWN(field) offsetof(struct kind_policy, field)
#define FIELD_COMPLETION(field) offsetof(struct kind_policy, field)
#define FIELD_TITLE(field) offsetof(struct kind_policy, field)
#define FIELD_FOLLOW_UP(field) offsetof(struct kind_policy, field)
#define FIELD_PREFIX(field) offsetof(struct kind_policy, field)
#define FIELD_CACHE(field) offsetof(struct cache_settings, field)
#define RELOAD_YES true
#define RELOAD_NO false

const struct option options[] = {
#define OPTION(section, key, type, field, def, min, max, reload, help)                             \
    {OPTION_##section,                                                                             \
     key,                                                                                          \
     TYPE_##type,                                                                                  \
     FIELD_##section(field),                                                                       \
     def,                                                                                          \
     min,                                                                                          \
     max,                                                                                          \
     RELOAD_##reload,                                                                              \
     false,                                                                                        \
     NULL,                                                                                         \
     help},
#define LATER(section, key) {OPTION_##section, key, TYPE_TEXT, 0, "", 0, 0, false, true, NULL, ""},
#define RENAMED(section, key, instead)                                                             \
    {OPTION_##section, key, TYPE_TEXT, 0, "", 0, 0, false, true, instead, ""},
#include "lull/config/options.def"
};
const size_t option_count = sizeof options / sizeof options[0];

static const struct {
    const char *word;
    bool named;
} sections[] = {
    [SECTION_SERVER] = {"server", false}, [SECTION_UPSTREAM] = {"upstream", true},
    [SECTION_TASKS] = {"tasks", false},   [SECTION_TASK] = {"task", true},
    [SECTION_CACHE] = {"cache", false},
};

bool section_has(enum section section, const struct option *o)
{
    switch (section) {
    case SECTION_SERVER:
        return o->section == OPTION_SERVER;
    case SECTION_UPSTREAM:
        return o->section == OPTION_UPSTREAM;
    case SECTION_TASKS:
        return o->section == OPTION_TASKS || o->section == OPTION_KIND ||
               o->section == OPTION_PREFIX;
    case SECTION_TASK:
        return o->section == OPTION_KIND || o->section == OPTION_OWN ||
               o->section == OPTION_COMPLETION || o->section == OPTION_TITLE ||
               o->section == OPTION_FOLLOW_UP || o->section == OPTION_PREFIX;
    case SECTION_CACHE:
        return o->section == OPTION_CACHE;
    }
    return false;
}

const char *option_place(const struct option *o)
{
    static const char *const places[] = {
        [OPTION_SERVER] = "[server]",
        [OPTION_UPSTREAM] = "[upstream NAME]",
        [OPTION_TASKS] = "[tasks]",
        [OPTION_KIND] = "[tasks] and [task KIND]",
        [OPTION_OWN] = "[task KIND]",
        [OPTION_COMPLETION] = "[task autocomplete] and own kinds of class completion",
        [OPTION_TITLE] = "[task title]",
        [OPTION_FOLLOW_UP] = "[task follow_up]",
        [OPTION_PREFIX] = "[tasks] and [task follow_up], [task tags], [task title], [task query]",
        [OPTION_CACHE] = "[cache]",
    };
    return places[o->section];
}

const char *section_word(enum section section)
{
    return sections[section].word;
}

bool section_is_named(enum section section)
{
    return sections[section].named;
}

bool section_parse(struct span word, enum section *out)
{
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (span_eq(word, span_of(sections[i].word))) {
            *out = (enum section)i;
            return true;
        }
    }
    return false;
}

const struct option *option_find(enum section section, struct span key)
{
    for (size_t i = 0; i < option_count; i++) {
        if (section_has(section, &options[i]) && span_eq(key, span_of(options[i].key))) {
            return &options[i];
        }
    }
    return NULL;
}

const struct option *option_of_name(const char *name)
{
    struct span all = span_of(name);
    size_t first = span_find(all, SPAN("."), 0);
    size_t last = span_rfind(all, SPAN("."));
    enum section section = SECTION_SERVER;
    if (first == SIZE_MAX || !section_parse(span_make(name, first), &section)) {
        return NULL;
    }
    return option_find(section, span_of(name + last + 1));
}

bool is_name(struct span s)
{
    if (s.len == 0 || s.len > 64 || s.ptr[0] < 'a' || s.ptr[0] > 'z') {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return true;
}

static void describe_size(int64_t bytes, struct buf *out)
{
    static const char *const units[] = {"", "KB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (unit < 4 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_text(out, "%lld%s", (long long)bytes, units[unit]);
}

static void describe_range(const struct option *o, struct buf *out)
{
    char low[32], high[32];
    switch (o->type) {
    case TYPE_DURATION:
    case TYPE_WINDOW:
        duration_text(o->min, low, sizeof low);
        duration_text(o->max, high, sizeof high);
        buf_text(out, " from %s to %s", low, high);
        break;
    case TYPE_INT:
    case TYPE_MAYBE:
    case TYPE_NUM_CTX:
    case TYPE_SLOTS:
        buf_text(out, " from %lld to %lld", (long long)o->min, (long long)o->max);
        break;
    case TYPE_SIZE:
        buf_text(out, " from ");
        describe_size(o->min, out);
        buf_text(out, " to ");
        describe_size(o->max, out);
        break;
    default:
        break;
    }
}

void option_describe(const struct option *o, struct buf *out)
{
    static const char *const words[] = {
        [TYPE_ADDRESSES] = "addresses",
        [TYPE_BOOL] = "yes or no",
        [TYPE_DECIMAL] = "as-asked or a number such as 0.7",
        [TYPE_DURATION] = "duration",
        [TYPE_HEADER] = "header name or -",
        [TYPE_HEADERS] = "NAME: value; NAME: value",
        [TYPE_INT] = "number",
        [TYPE_JSON] = "a JSON object",
        [TYPE_HOSTS] = "names of hosts",
        [TYPE_KEEP_ALIVE] = "match, as-asked or a duration",
        [TYPE_NUM_CTX] = "match, as-asked or a number",
        [TYPE_MAYBE] = "as-asked or a number",
        [TYPE_MODE] = "octal permission bits",
        [TYPE_PATH] = "path",
        [TYPE_PRICE] = "number such as 0.15",
        [TYPE_PROXY] = "http://HOST:PORT",
        [TYPE_SECRET] = "secret text",
        [TYPE_SHAPE] = "shape",
        [TYPE_SIZE] = "size",
        [TYPE_SLOTS] = "auto or a number",
        [TYPE_TEXT] = "text",
        [TYPE_URL] = "URL",
        [TYPE_WINDOW] = "off, auto or a duration",
    };
    const size_t count = sizeof words / sizeof words[0];
    if ((size_t)o->type < count && words[o->type] != NULL) {
        buf_text(out, "%s", words[o->type]);
    } else {
        choice_list(o->type, out);
    }
    describe_range(o, out);
}
