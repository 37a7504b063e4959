/* value.c: one reader for each type of option: text in, field out. No reader guesses: a number ends
 * where the text ends, a duration has its unit, a word is one of the words listed.
 */
#include "config/config_priv.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    {"us", 1},
    {"ms", USEC_PER_MS},
    {"s", USEC_PER_S},
    {"m", 60 * USEC_PER_S},
    {"h", 3600 * USEC_PER_S},
    {"d", 86400 * USEC_PER_S},
    {NULL, 0},
};
static const struct unit sizes[] = {
    {"", 1},
    {"KB", (int64_t)1 << 10},
    {"MB", (int64_t)1 << 20},
    {"GB", (int64_t)1 << 30},
    {"TB", (int64_t)1 << 40},
    {NULL, 0},
};

static bool wrong(struct buf *why, const char *text)
{
    buf_text(why, "%s", text);
    return false;
}

/* Digits at the front; the rest is returned. NULL: there are none, or too many. */
static const char *digits(const char *text, int64_t *out)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return NULL;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    *out = n;
    return errno != 0 ? NULL : end;
}

/* Number with one of the units; false: not of that form. */
static bool with_unit(const char *text, const struct unit *units, int64_t *out)
{
    int64_t n = 0;
    const char *rest = digits(text, &n);
    for (const struct unit *u = units; rest != NULL && u->name != NULL; u++) {
        if (span_eq_nocase(span_of(rest), span_of(u->name))) {
            return !__builtin_mul_overflow(n, u->factor, out);
        }
    }
    return false;
}

static bool in_range(const struct option *o, int64_t n, struct buf *why)
{
    if (n >= o->min && n <= o->max) {
        return true;
    }
    buf_text(why, "out of range: ");
    option_describe(o, why);
    return false;
}

static bool read_duration(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (strcmp(text, "0") == 0) {
        *out = 0;
    } else if (!with_unit(text, durations, out)) {
        return wrong(why, "a duration is a whole number with its unit: 150ms, 2s, 5m, 12h, 7d");
    }
    return in_range(o, *out, why);
}

static bool read_size(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (!with_unit(text, sizes, out)) {
        return wrong(why, "a size is a whole number, with KB, MB or GB where it is not bytes");
    }
    return in_range(o, *out, why);
}

static bool read_int(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    const char *rest = digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return wrong(why, "not a whole number");
    }
    return in_range(o, *out, why);
}

/* A whole number that need not be given. */
static bool read_maybe(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (text[0] == '\0' || strcmp(text, "as-asked") == 0) {
        *out = UNSET;
        return true;
    }
    const char *rest = digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return wrong(why, "write as-asked or a whole number");
    }
    return in_range(o, *out, why);
}

/* "0.25": digits with at most one point, and no sign or exponent. */
static bool is_decimal(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t part = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t len = text[whole] == '.' ? whole + 1 + part : whole;
    return whole > 0 && whole < 16 && part < 16 && (text[whole] != '.' || part > 0) &&
           text[len] == '\0';
}

/* Kept as text, since it goes into a request as it is written. */
static bool read_decimal(const struct option *o, const char *text, char **out, struct buf *why)
{
    bool unset = text[0] == '\0' || strcmp(text, "as-asked") == 0;
    if (!unset && (!is_decimal(text) || (text[0] == '0' && text[1] != '\0' && text[1] != '.'))) {
        return wrong(why, "write as-asked or a number such as 0.7");
    }
    if (!unset && (strtod(text, NULL) < (double)o->min || strtod(text, NULL) > (double)o->max)) {
        buf_text(why, "out of range: from %lld to %lld", (long long)o->min, (long long)o->max);
        return false;
    }
    *out = mem_strdup(unset ? "" : text);
    return true;
}

static bool read_price(const char *text, double *out, struct buf *why)
{
    if (!is_decimal(text)) {
        return wrong(why, "a price is a number such as 0.15");
    }
    *out = strtod(text, NULL);
    return true;
}

static bool read_json(const struct option *o, const char *text, char **out, struct buf *why)
{
    static const char *const own[] = {"model", "stream", "stream_options", "messages", "prompt"};
    cJSON *root = text[0] == '\0' ? NULL : cJSON_Parse(text);
    bool good = text[0] == '\0' || cJSON_IsObject(root);
    const char *taken = NULL;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        taken = cJSON_HasObjectItem(root, own[i]) ? own[i] : taken;
    }
    cJSON_Delete(root);
    if (!good || strlen(text) > (size_t)o->max) {
        return wrong(why, "write a JSON object, such as {\"top_k\": 20}");
    }
    if (taken != NULL) {
        buf_text(why, "%s is not a further member", taken);
        return false;
    }
    *out = mem_strdup(text);
    return true;
}

static bool read_slots(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (strcmp(text, "auto") == 0) {
        *out = SLOTS_AUTO;
        return true;
    }
    const char *rest = digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return wrong(why, "write auto or a whole number");
    }
    return in_range(o, *out, why);
}

static bool read_mode(const char *text, int *out, struct buf *why)
{
    char *end = NULL;
    size_t len = strlen(text);
    long n = strtol(text, &end, 8);
    if (len < 3 || len > 4 || strspn(text, "01234567") != len || n > 0777) {
        return wrong(why, "permission bits are written in octal: 0660");
    }
    *out = (int)n;
    return true;
}

static bool read_bool(const char *text, bool *out, struct buf *why)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return wrong(why, "write yes or no");
    }
    *out = strcmp(text, "yes") == 0;
    return true;
}

static bool read_window(const struct option *o, const char *text, usec_t *out, struct buf *why)
{
    if (strcmp(text, "off") == 0) {
        *out = WINDOW_OFF;
        return true;
    }
    if (strcmp(text, "auto") == 0) {
        *out = WINDOW_AUTO;
        return true;
    }
    if (strcmp(text, "0") != 0 && !with_unit(text, durations, out)) {
        return wrong(why, "write off, auto or a duration with its unit: 250ms");
    }
    return read_duration(o, text, out, why);
}

/* The index of text among the words. */
static bool read_word(const char *text, const char *const *words, size_t count, void *out,
                      struct buf *why)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            int index = (int)i;
            memcpy(out, &index, sizeof index); /* an enum of this program is an int in size */
            return true;
        }
    }
    buf_text(why, "write ");
    for (size_t i = 0; i < count; i++) {
        buf_text(why, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
    }
    return false;
}

#define WORDS(...)                                                                                 \
    (const char *const[]){__VA_ARGS__},                                                            \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

static bool read_choice(enum option_type type, const char *text, void *field, struct buf *why)
{
    _Static_assert(sizeof(enum scope_rule) == sizeof(int), "enums are ints");
    switch (type) {
    case TYPE_LOG_LEVEL:
        return read_word(text, WORDS("error", "warn", "info", "debug"), field, why);
    case TYPE_LOG_FORMAT:
        return read_word(text, WORDS("text", "json"), field, why);
    case TYPE_DIALECT:
        return read_word(text, WORDS("auto", "openai", "ollama"), field, why);
    case TYPE_TASKS_MODE:
        return read_word(text, WORDS("on", "observe", "off"), field, why);
    case TYPE_SCOPE:
        return read_word(text, WORDS("auto", "user", "auth", "shared"), field, why);
    case TYPE_YIELD:
        return read_word(text, WORDS("auto", "always", "when_full", "never"), field, why);
    case TYPE_REWARM:
        return read_word(text, WORDS("off", "on", "auto"), field, why);
    case TYPE_OBSOLETE:
        return read_word(text, WORDS("empty", "keep"), field, why);
    case TYPE_THINK:
        return read_word(text, WORDS("auto", "as-asked", "off", "on"), field, why);
    case TYPE_MATCH:
        return read_word(text, WORDS("match", "as-asked"), field, why);
    case TYPE_DURABILITY:
        return read_word(text, WORDS("group", "os"), field, why);
    default:
        return read_word(text, WORDS("background", "foreground", "completion"), field, why);
    }
}

static bool read_list(const struct option *o, const char *text, struct strings *out,
                      struct buf *why)
{
    const char *at = text + strspn(text, " \t");
    *out = (struct strings){mem_new((size_t)o->max * sizeof(char *)), 0};
    while (*at != '\0') {
        size_t len = strcspn(at, " \t");
        if (out->count == (size_t)o->max) {
            buf_text(why, "more than %lld entries", (long long)o->max);
            return false;
        }
        out->items[out->count++] = mem_strndup(at, len);
        at += len;
        at += strspn(at, " \t");
    }
    if (out->count < (size_t)o->min) {
        return wrong(why, "must not be empty");
    }
    return true;
}

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    if (strncmp(text, "unix:", 5) == 0) {
        return text[5] == '/' && strlen(text) < 5 + 108;
    }
    const char *rest = colon == NULL ? NULL : digits(colon + 1, &port);
    if (rest == NULL || *rest != '\0' || port > 65535 || colon == text) {
        return false;
    }
    char host[256];
    size_t len = (size_t)(colon - text);
    snprintf(host, sizeof host, "%.*s", (int)len, text);
    if (host[0] == '[') {
        unsigned char ip[16];
        if (len < 3 || len >= sizeof host || host[len - 1] != ']') {
            return false;
        }
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, ip) == 1;
    }
    return len < sizeof host && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789.-_") == len;
}

static bool read_addresses(const struct option *o, const char *text, struct strings *out,
                           struct buf *why)
{
    if (!read_list(o, text, out, why)) {
        return false;
    }
    for (size_t i = 0; i < out->count; i++) {
        if (!is_address(out->items[i])) {
            buf_text(why,
                     "'%.100s' is no address; write HOST:PORT, [v6]:PORT or unix:/path (at most "
                     "107 bytes)",
                     out->items[i]);
            return false;
        }
    }
    return true;
}

static bool is_token(const char *text)
{
    size_t len = strlen(text);
    return strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

/* Text that goes into a header: one line of visible ASCII. */
static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static bool is_proxy(const char *text)
{
    return strncmp(text, "http://", 7) == 0 && text[7] != '\0' && is_visible(text) &&
           strpbrk(text + 7, "/?#") == NULL && strchr(text + 7, ':') != NULL;
}

static bool read_text(const struct option *o, const char *text, char **out, struct buf *why)
{
    size_t len = strlen(text);
    if (len < (size_t)o->min) {
        return wrong(why, "must not be empty");
    }
    if (o->max > 0 && len > (size_t)o->max) {
        buf_text(why, "longer than %lld bytes", (long long)o->max);
        return false;
    }
    if (o->type == TYPE_HEADER && !is_token(text)) {
        return wrong(why, "not the name of a header; - for none");
    }
    if (o->type == TYPE_PROXY && len > 0 && !is_proxy(text)) {
        return wrong(why, "write http://HOST:PORT");
    }
    if (o->type == TYPE_SECRET && !is_visible(text)) {
        return wrong(why, "a key has only visible ASCII characters, without blanks");
    }
    *out = mem_strdup(text);
    return true;
}

/* text, json, emoji, or MEMBER:string, MEMBER:strings, MEMBER:array */
static bool read_shape(const char *text, struct kind_policy *k, struct buf *why)
{
    static const struct {
        const char *word;
        enum kind_shape shape;
        bool member;
    } rows[] = {
        {"text", KIND_SHAPE_TEXT, false},      {"json", KIND_SHAPE_JSON, false},
        {"emoji", KIND_SHAPE_EMOJI, false},    {"string", KIND_SHAPE_STRING, true},
        {"strings", KIND_SHAPE_STRINGS, true}, {"array", KIND_SHAPE_ARRAY, true},
    };
    const char *colon = strrchr(text, ':');
    const char *word = colon == NULL ? text : colon + 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(word, rows[i].word) == 0 && rows[i].member == (colon != NULL) && colon != text) {
            k->shape = rows[i].shape;
            k->shape_member = mem_strndup(text, colon == NULL ? 0 : (size_t)(colon - text));
            return true;
        }
    }
    return wrong(why, "write text, json, emoji, or MEMBER:string, MEMBER:strings, MEMBER:array");
}

bool value_read(const struct option *o, const char *text, void *base, struct buf *why)
{
    void *field = (char *)base + o->offset;
    switch (o->type) {
    case TYPE_ADDRESSES:
        return read_addresses(o, text, field, why);
    case TYPE_LIST:
        return read_list(o, text, field, why);
    case TYPE_BOOL:
        return read_bool(text, field, why);
    case TYPE_WINDOW:
        return read_window(o, text, field, why);
    case TYPE_DURATION:
        return read_duration(o, text, field, why);
    case TYPE_SIZE:
        return read_size(o, text, field, why);
    case TYPE_INT:
        return read_int(o, text, field, why);
    case TYPE_SLOTS:
        return read_slots(o, text, field, why);
    case TYPE_MAYBE:
        return read_maybe(o, text, field, why);
    case TYPE_DECIMAL:
        return read_decimal(o, text, field, why);
    case TYPE_PRICE:
        return read_price(text, field, why);
    case TYPE_JSON:
        return read_json(o, text, field, why);
    case TYPE_MODE:
        return read_mode(text, field, why);
    case TYPE_SHAPE:
        return read_shape(text, base, why);
    case TYPE_TEXT:
    case TYPE_SECRET:
    case TYPE_PATH:
    case TYPE_HEADER:
    case TYPE_PROXY:
    case TYPE_URL:
        return read_text(o, text, field, why);
    default:
        return read_choice(o->type, text, field, why);
    }
}

void duration_text(int64_t us, char *out, size_t size)
{
    size_t i = sizeof durations / sizeof durations[0] - 2; /* days */
    while (i > 0 && us % durations[i].factor != 0) {
        i--;
    }
    if (us == 0) {
        snprintf(out, size, "0");
    } else {
        snprintf(out, size, "%lld%s", (long long)(us / durations[i].factor), durations[i].name);
    }
}
