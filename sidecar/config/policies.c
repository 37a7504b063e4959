/* policies.c: what holds for one kind: [task KIND] over [tasks] over the kind's own defaults, which
 * for built-in kinds are the row in kinds.def. A section with an unknown name makes a kind of its
 * own, if it says by which text it is recognised; otherwise it is a typing mistake.
 */
#include "config/config_priv.h"

#include "lull/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

enum { OWN_KINDS_MAX = 64, MATCH_LEAST = 4 };

static bool is_kind(const struct kind_info *k, enum kind_id id)
{
    return strcmp(k->name, kind_info(id)->name) == 0;
}

static usec_t default_max_hold(const struct kind_info *k)
{
    if (k->cls == KIND_CLASS_COMPLETION) {
        return 300 * USEC_PER_MS;
    }
    return (is_kind(k, KIND_TITLE) ? 60 : 20) * USEC_PER_S;
}

/* A title is asked beside the first reply and has a budget of its own; a completion is not held
 * after a reply, since it would be answered empty before that is over. */
static usec_t default_duration(const struct option *o, const struct kind_info *k)
{
    if (strcmp(o->key, "max_hold") == 0) {
        return default_max_hold(k);
    }
    if (strcmp(o->key, "settle") == 0) {
        return k->cls == KIND_CLASS_COMPLETION ? 0 : USEC_PER_S;
    }
    if (strcmp(o->key, "stale_if_error") == 0) {
        return (int64_t)k->stale_s * USEC_PER_S;
    }
    return (int64_t)k->ttl_s * USEC_PER_S;
}

static int default_priority(const struct kind_info *k)
{
    if (k->cls == KIND_CLASS_FOREGROUND) {
        return 1;
    }
    if (k->cls == KIND_CLASS_COMPLETION) {
        return 2;
    }
    return is_kind(k, KIND_TITLE)           ? 3
           : is_kind(k, KIND_FOLLOW_UP)     ? 4
           : is_kind(k, KIND_MEMORY_REVIEW) ? 6
                                            : 5;
}

bool kind_has(const struct kind_info *k, const struct option *o)
{
    switch (o->section) {
    case OPTION_COMPLETION:
        return k->cls == KIND_CLASS_COMPLETION;
    case OPTION_TITLE:
        return is_kind(k, KIND_TITLE);
    case OPTION_FOLLOW_UP:
        return is_kind(k, KIND_FOLLOW_UP);
    case OPTION_PREFIX:
        return is_kind(k, KIND_FOLLOW_UP) || is_kind(k, KIND_TAGS) || is_kind(k, KIND_TITLE) ||
               is_kind(k, KIND_QUERY);
    default:
        return section_has(SECTION_TASK, o);
    }
}

/* The text of an option's default for this kind. */
static void kind_default(const struct option *o, const struct kind_info *k, char *out, size_t size)
{
    if (strcmp(o->def, "@") != 0) {
        snprintf(out, size, "%s", o->def);
        return;
    }
    switch (o->type) {
    case TYPE_BOOL: /* cache */
        snprintf(out, size, "%s", k->cached ? "yes" : "no");
        break;
    case TYPE_DURATION:
        duration_text(default_duration(o, k), out, size);
        break;
    case TYPE_INT: /* priority */
        snprintf(out, size, "%d", default_priority(k));
        break;
    case TYPE_CLASS:
        snprintf(out, size, "%s", choice_word(TYPE_CLASS, (int)k->cls));
        break;
    case TYPE_SHAPE:
        snprintf(out, size, "%s%s%s", k->member, k->member[0] != '\0' ? ":" : "",
                 choice_word(TYPE_SHAPE, (int)k->shape));
        break;
    default: /* answer */
        snprintf(out, size, "%s", k->empty == NULL ? "" : k->empty);
        break;
    }
}

void policies_defaults(const struct option *o, struct buf *out)
{
    char texts[KIND_BUILTIN_COUNT][256];
    size_t usual = 0, most = 0, others = 0;
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        kind_default(o, kind_info((enum kind_id)i), texts[i], sizeof texts[i]);
    }
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        size_t same = 0;
        for (size_t k = 0; k < KIND_BUILTIN_COUNT; k++) {
            same += strcmp(texts[i], texts[k]) == 0 ? 1 : 0;
        }
        usual = same > most ? i : usual;
        most = same > most ? same : most;
    }
    buf_text(out, "%s", texts[usual]);
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        if (strcmp(texts[i], texts[usual]) != 0) {
            buf_text(out, "%s%s %s", others++ == 0 ? "; " : ", ", kind_info((enum kind_id)i)->name,
                     texts[i]);
        }
    }
}

static const struct assignment *kind_assignment(const struct assignments *r, const char *name,
                                                const struct option *o)
{
    const struct assignment *own = assignments_find(r, SECTION_TASK, name, o);
    const struct assignment *all = assignments_find(r, SECTION_TASKS, "", o);
    return own != NULL ? own : all;
}

/* Keys that only some kinds have: debounce elsewhere, first_turn_wait of another kind. */
static void check_misplaced_keys(struct assignments *r, const struct kind_policy *k,
                                 const struct kind_info *info)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        const struct assignment *a = section_has(SECTION_TASK, o) && !kind_has(info, o)
                                         ? assignments_find(r, SECTION_TASK, k->name, o)
                                         : NULL;
        if (a != NULL) {
            report_error(r, a, "%s: only for %s", o->key,
                         o->section == OPTION_TITLE       ? "the kind title"
                         : o->section == OPTION_FOLLOW_UP ? "the kind follow_up"
                         : o->section == OPTION_PREFIX
                             ? "the kinds follow_up, tags, title and query"
                             : "autocomplete and own kinds of class "
                               "completion");
        }
    }
}

/* The editor is locked while a completion waits: what [tasks] says for all kinds makes its wait
 * shorter, never longer. */
static bool is_longer_than_default(const struct kind_info *k, const struct option *o,
                                   const struct assignment *a)
{
    struct kind_policy all = {0};
    struct buf why = {.max = 1024};
    bool asked = a != NULL && a->section == SECTION_TASKS && k->cls == KIND_CLASS_COMPLETION &&
                 strcmp(o->key, "max_hold") == 0;
    bool longer = asked && value_read(o, a->text, &all, &why) && all.max_hold > default_max_hold(k);
    buf_free(&why);
    return longer;
}

static bool has_answer(const struct assignments *r, const struct kind_info *k)
{
    return k->empty != NULL || assignments_find_key(r, SECTION_TASK, k->name, "answer") != NULL;
}

/* What [tasks] says for all kinds and holds for those that can be switched off. */
static bool is_for_others(const struct assignments *r, const struct kind_info *k,
                          const struct option *o, const struct assignment *a)
{
    return a != NULL && a->section == SECTION_TASKS && strcmp(o->key, "enabled") == 0 &&
           !has_answer(r, k);
}

/* answer: NULL unless given or known. An own kind's class decides its other defaults, so it is read
 * first. */
static void build_policy(struct config *c, struct assignments *r, struct kind_policy *k,
                         const struct kind_info *info)
{
    char prefix[80];
    char def[256];
    snprintf(prefix, sizeof prefix, "task.%s", k->name);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (kind_has(info, o) && !o->absent) {
            kind_default(o, info, def, sizeof def);
            const struct assignment *a = kind_assignment(r, k->name, o);
            bool ignored = is_longer_than_default(info, o, a) || is_for_others(r, info, o, a);
            value_add(c, r, prefix, o, ignored ? NULL : a, def, k);
        }
    }
    check_misplaced_keys(r, k, info);
    if (!has_answer(r, info)) {
        free(k->answer);
        k->answer = NULL;
    }
}

/* Index of the upstream that the key names; -1 if it names none. */
static int named_upstream(const struct settings *s, struct assignments *r,
                          const struct kind_policy *k, const char *key, const char *name)
{
    if (name == NULL || name[0] == '\0') {
        return -1;
    }
    int index = settings_find_upstream(s, span_of(name));
    const struct assignment *a =
        kind_assignment(r, k->name, option_find(SECTION_TASK, span_of(key)));
    if (index < 0) {
        report_error(r, a, "%s: there is no [upstream %.64s]", key, name);
    }
    return index;
}

static void check_kind(const struct settings *s, struct assignments *r, struct kind_policy *k)
{
    const struct assignment *cls = assignments_find_key(r, SECTION_TASK, k->name, "class");
    const struct assignment *enabled =
        kind_assignment(r, k->name, option_find(SECTION_TASK, SPAN("enabled")));
    if (k->builtin && cls != NULL) {
        report_error(r, cls, "class: the class of a built-in kind is fixed");
    }
    if (!k->enabled && k->answer == NULL && enabled != NULL) {
        report_error(r, enabled, "enabled: %s has no harmless answer, so it cannot be switched off",
                     k->name);
    }
    k->upstream_index = named_upstream(s, r, k, "upstream", k->upstream);
    k->fallback_index = named_upstream(s, r, k, "fallback", k->fallback);
}

static void check_match(struct assignments *r, const char *name, const char *key)
{
    const struct assignment *a = assignments_find_key(r, SECTION_TASK, name, key);
    if (a != NULL && a->text[0] != '\0' && span_trim(span_of(a->text)).len < MATCH_LEAST) {
        report_error(r, a, "%s: shorter than %d characters: chats would be taken for tasks", key,
                     MATCH_LEAST);
    }
}

static struct kind_policy *add_kind(struct settings *s, const char *name, bool builtin,
                                    enum kind_class cls)
{
    s->kinds = mem_have(realloc(s->kinds, (s->kind_count + 1) * sizeof *s->kinds));
    struct kind_policy *k = &s->kinds[s->kind_count++];
    *k = (struct kind_policy){.name = mem_strdup(name), .builtin = builtin, .cls = cls};
    return k;
}

static void report_unknown_kind(struct assignments *r, const struct assignment *a)
{
    const char *close = nearest_kind(span_of(a->name));
    if (strcmp(a->name, "moa") == 0) {
        report_error(r, a, "moa is a chat in everything; it has no settings");
        return;
    }
    report_error(r, a,
                 "unknown kind '%s'%s%s%s a kind of your own needs match = the beginning of its "
                 "prompt",
                 a->name, close != NULL ? "; did you mean '" : ";", close != NULL ? close : "",
                 close != NULL ? "'? If not:" : "");
}

static enum kind_class own_class(const struct assignments *r, const char *name)
{
    const struct assignment *a = assignments_find_key(r, SECTION_TASK, name, "class");
    int cls = KIND_CLASS_BACKGROUND;
    (void)(a != NULL && choice_find(TYPE_CLASS, span_of(a->text), &cls));
    return (enum kind_class)cls;
}

static bool has_text(const struct assignment *a)
{
    return a != NULL && span_trim(span_of(a->text)).len > 0;
}

static void add_own_kind(struct config *c, struct assignments *r, const struct assignment *a)
{
    struct kind_info info = {.name = a->name,
                             .header_value = "",
                             .cls = own_class(r, a->name),
                             .cached = true,
                             .shape = KIND_SHAPE_TEXT,
                             .member = ""};
    info.ttl_s = info.cls == KIND_CLASS_COMPLETION ? 600 : 3600;
    if (!has_text(assignments_find_key(r, SECTION_TASK, a->name, "match")) &&
        !has_text(assignments_find_key(r, SECTION_TASK, a->name, "system_match"))) {
        report_unknown_kind(r, a);
    } else if (c->settings->kind_count >= KIND_BUILTIN_COUNT + OWN_KINDS_MAX) {
        report_error(r, a, "more than %d kinds of your own", OWN_KINDS_MAX);
        return;
    }
    struct kind_policy *k = add_kind(c->settings, a->name, false, info.cls);
    build_policy(c, r, k, &info);
}

void policies_build(struct config *c, struct assignments *r)
{
    struct settings *s = c->settings;
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        const struct kind_info *info = kind_info((enum kind_id)i);
        build_policy(c, r, add_kind(s, info->name, true, info->cls), info);
    }
    for (size_t i = 0; i < r->count; i++) {
        const struct assignment *a = &r->items[i];
        if (a->section == SECTION_TASK && settings_find_kind(s, span_of(a->name)) == KIND_NONE) {
            add_own_kind(c, r, a);
        }
    }
    for (size_t i = 0; i < s->kind_count; i++) {
        check_kind(s, r, &s->kinds[i]);
        check_match(r, s->kinds[i].name, "match");
        check_match(r, s->kinds[i].name, "system_match");
    }
}

/* Length first, so that neighbours cannot be shifted into each other. */
static void digest_text(struct buf *out, const char *text)
{
    struct span s = span_of(text);
    buf_text(out, "%zu:", s.len);
    if (buf_append_span(out, s) != ERR_OK) {
        (void)mem_have(NULL); /* the configuration fixes the size */
    }
}

void policies_digest(struct settings *s)
{
    struct buf all = {.max = 64UL * 1024 * 1024};
    uint8_t digest[HASH_SHA256_BYTES];
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        digest_text(&all, u->name);
        digest_text(&all, u->url);
        digest_text(&all, u->api_key);
        buf_text(&all, "%d;", (int)u->dialect);
    }
    for (size_t i = 0; i < s->kind_count; i++) {
        const struct kind_policy *k = &s->kinds[i];
        const char *const texts[] = {
            k->name,         k->upstream,     k->model,
            k->match,        k->system_match, k->answer == NULL ? "" : k->answer,
            k->shape_member, k->temperature,  k->extra};
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
            digest_text(&all, texts[t]);
        }
        buf_text(&all, "%d,%d,%d,%d,%lld;", (int)k->enabled, (int)k->cache, (int)k->scope,
                 (int)k->shape, (long long)k->ttl);
        buf_text(&all, "%d,%d,%lld;", (int)k->think, (int)k->json_schema, (long long)k->max_tokens);
    }
    buf_text(&all, "%d %s", s->default_upstream, s->server.user_header);
    const struct span parts[] = {buf_span(&all)};
    hash_sha256(parts, 1, digest);
    memcpy(s->policy_digest, digest, sizeof s->policy_digest);
    buf_free(&all);
}
