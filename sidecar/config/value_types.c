/* value_types.c: one reader for each type of option: text in, field out. Readers are strict: a
 * number ends where the text ends, a duration has its unit, a word is one of choices.def.
 */
#include "config/config_priv.h"

#include "lull/base/ascii.h"
#include "lull/base/host.h"

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

/* Digits at the front; the rest is returned. NULL: there are none, or too many. */
static const char *read_digits(const char *text, int64_t *out)
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
static bool read_with_unit(const char *text, const struct unit *units, int64_t *out)
{
    int64_t n = 0;
    const char *rest = read_digits(text, &n);
    for (const struct unit *u = units; rest != NULL && u->name != NULL; u++) {
        if (span_eq_nocase(span_of(rest), span_of(u->name))) {
            return !__builtin_mul_overflow(n, u->factor, out);
        }
    }
    return false;
}

static bool check_range(const struct option *o, int64_t n, struct buf *why)
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
    } else if (!read_with_unit(text, durations, out)) {
        return refuse_text(why,
                           "a duration is a whole number with its unit: 150ms, 2s, 5m, 12h, 7d");
    }
    return check_range(o, *out, why);
}

static bool read_size(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (!read_with_unit(text, sizes, out)) {
        return refuse_text(why,
                           "a size is a whole number, with KB, MB, GB or TB where it is not bytes");
    }
    return check_range(o, *out, why);
}

static bool read_int(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    const char *rest = read_digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return refuse_text(why, "not a whole number");
    }
    return check_range(o, *out, why);
}

/* A whole number that need not be given. */
static bool read_maybe(const struct option *o, const char *text, int64_t *out, struct buf *why)
{
    if (text[0] == '\0' || strcmp(text, "as-asked") == 0) {
        *out = UNSET;
        return true;
    }
    const char *rest = read_digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return refuse_text(why, "write as-asked or a whole number");
    }
    return check_range(o, *out, why);
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
        return refuse_text(why, "write as-asked or a number such as 0.7");
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
        return refuse_text(why, "a price is a number such as 0.15");
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
        return refuse_text(why, "write a JSON object, such as {\"top_k\": 20}");
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
    const char *rest = read_digits(text, out);
    if (rest == NULL || *rest != '\0') {
        return refuse_text(why, "write auto or a whole number");
    }
    return check_range(o, *out, why);
}

/* match or as-asked; false: neither. */
static bool read_match(const char *text, enum match_rule *out)
{
    bool match = strcmp(text, "match") == 0;
    *out = match ? MATCH_CHAT : MATCH_AS_ASKED;
    return match || strcmp(text, "as-asked") == 0;
}

static bool read_num_ctx(const struct option *o, const char *text, struct kind_policy *k,
                         struct buf *why)
{
    char number[24];
    int64_t n = 0;
    if (read_match(text, &k->num_ctx)) {
        return true;
    }
    const char *rest = read_digits(text, &n);
    if (rest == NULL || *rest != '\0') {
        return refuse_text(why, "write match, as-asked or a number of tokens: 8192");
    }
    snprintf(number, sizeof number, "%lld", (long long)n);
    k->num_ctx = MATCH_VALUE;
    k->num_ctx_value = mem_strdup(number);
    return check_range(o, n, why);
}

/* Ollama reads a number as seconds and Go's durations, which have no days. Below 0: for ever. */
static bool read_keep_alive(const char *text, struct kind_policy *k, struct buf *why)
{
    char value[32];
    int64_t n = 0;
    if (read_match(text, &k->keep_alive)) {
        return true;
    }
    bool negative = text[0] == '-';
    const char *rest = read_digits(text + (negative ? 1 : 0), &n);
    if (rest != NULL && *rest == '\0' && n < INT32_MAX) {
        snprintf(value, sizeof value, "%s%lld", negative ? "-" : "", (long long)n);
    } else if (!negative && read_with_unit(text, durations, &n) && n / USEC_PER_S < INT32_MAX) {
        bool days = rest[0] == 'd' || rest[0] == 'D';
        (void)read_digits(text, &n);
        snprintf(value, sizeof value, "\"%lld%s\"", (long long)(days ? 24 * n : n),
                 days ? "h" : rest);
    } else {
        return refuse_text(why, "write match, as-asked, a duration with its unit (30m), 0 or -1");
    }
    for (char *c = value; *c != '\0'; c++) {
        *c = ascii_lower(*c);
    }
    k->keep_alive = MATCH_VALUE;
    k->keep_alive_value = mem_strdup(value);
    return true;
}

static bool read_mode(const char *text, int *out, struct buf *why)
{
    char *end = NULL;
    size_t len = strlen(text);
    long n = strtol(text, &end, 8);
    if (len < 3 || len > 4 || strspn(text, "01234567") != len || n > 0777) {
        return refuse_text(why, "permission bits are written in octal: 0660");
    }
    *out = (int)n;
    return true;
}

static bool read_bool(const char *text, bool *out, struct buf *why)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return refuse_text(why, "write yes or no");
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
    if (strcmp(text, "0") != 0 && !read_with_unit(text, durations, out)) {
        return refuse_text(why, "write off, auto or a duration with its unit: 250ms");
    }
    return read_duration(o, text, out, why);
}

static bool read_choice(const struct option *o, const char *text, void *field, struct buf *why)
{
    int value = 0;
    if (!choice_find(o->type, span_of(text), &value)) {
        buf_text(why, "write ");
        choice_list(o->type, why);
        return false;
    }
    _Static_assert(sizeof(enum scope_rule) == sizeof value, "fields are enums of the size of int");
    memcpy(field, &value, sizeof value);
    return true;
}

static bool read_list(const struct option *o, const char *text, struct strings *out,
                      struct buf *why)
{
    const char *at = text + strspn(text, " \t");
    require(o->max > 0 && o->max <= UINT16_MAX);
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
        return refuse_text(why, "must not be empty");
    }
    return true;
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
    return !addresses_collide(out, why);
}

/* As Host and Origin name them; a port is not compared. */
static bool read_hosts(const struct option *o, const char *text, struct strings *out,
                       struct buf *why)
{
    if (!read_list(o, text, out, why)) {
        return false;
    }
    for (size_t i = 0; i < out->count; i++) {
        const char *host = out->items[i];
        size_t good =
            strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]");
        if (host[good] != '\0' || host_part(span_of(host)).len == 0) {
            buf_text(why,
                     "'%.100s' is no name of a host; write it without scheme, path and *: "
                     "chat.example.org",
                     host);
            return false;
        }
    }
    return true;
}

static bool is_token(const char *text)
{
    while (ascii_is_token(*text)) {
        text++;
    }
    return *text == '\0';
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

/* What a shell would expand and this program does not. */
static bool is_expanded_by_a_shell(const char *text, struct buf *why)
{
    const char *home = getenv("HOME");
    if (text[0] != '~' && text[0] != '$') {
        return false;
    }
    if (text[0] == '~' && (text[1] == '/' || text[1] == '\0') && home != NULL && home[0] == '/') {
        buf_text(why, "~ is not expanded here; write %s%s", home, text + 1);
    } else {
        buf_text(why, "%c is not expanded here; write the whole path", text[0]);
    }
    return true;
}

static bool read_text(const struct option *o, const char *text, char **out, struct buf *why)
{
    size_t len = strlen(text);
    if (len < (size_t)o->min) {
        return refuse_text(why, "must not be empty");
    }
    if (o->max > 0 && len > (size_t)o->max) {
        buf_text(why, "longer than %lld bytes", (long long)o->max);
        return false;
    }
    if (o->type == TYPE_PATH && is_expanded_by_a_shell(text, why)) {
        return false;
    }
    if (o->type == TYPE_HEADER && !is_token(text)) {
        return refuse_text(why, "not the name of a header; - for none");
    }
    if (o->type == TYPE_PROXY && len > 0 && (!is_visible(text) || !is_proxy(text))) {
        return refuse_text(why, "write http://HOST:PORT");
    }
    if (o->type == TYPE_SECRET && !is_visible(text)) {
        return refuse_text(why, "a key has only visible ASCII characters, without blanks");
    }
    *out = mem_strdup(text);
    return true;
}

/* text, json, emoji, or MEMBER:string, MEMBER:strings, MEMBER:array */
static bool read_shape(const char *text, struct kind_policy *k, struct buf *why)
{
    const char *colon = strrchr(text, ':');
    const char *word = colon == NULL ? text : colon + 1;
    int shape = 0;
    bool known = choice_find(TYPE_SHAPE, span_of(word), &shape);
    bool member =
        shape == KIND_SHAPE_STRING || shape == KIND_SHAPE_STRINGS || shape == KIND_SHAPE_ARRAY;
    if (known && member == (colon != NULL) && colon != text) {
        k->shape = (enum kind_shape)shape;
        k->shape_member = mem_strndup(text, colon == NULL ? 0 : (size_t)(colon - text));
        return true;
    }
    return refuse_text(why,
                       "write text, json, emoji, or MEMBER:string, MEMBER:strings, MEMBER:array");
}

bool value_read(const struct option *o, const char *text, void *base, struct buf *why)
{
    void *field = (char *)base + o->offset;
    switch (o->type) {
    case TYPE_ADDRESSES:
        return read_addresses(o, text, field, why);
    case TYPE_HOSTS:
        return read_hosts(o, text, field, why);
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
    case TYPE_NUM_CTX:
        return read_num_ctx(o, text, base, why);
    case TYPE_KEEP_ALIVE:
        return read_keep_alive(text, base, why);
    case TYPE_HEADERS:
        return value_read_headers(o, text, field, why);
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
        return read_choice(o, text, field, why);
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
