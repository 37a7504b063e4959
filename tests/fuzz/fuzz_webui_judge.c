/* fuzz_webui_judge.c: the judge of answers against a reader of its own. Input: one byte (kind; whether
 * the text was thought), then the text of an answer, or of a prompt of which the harmless answer is made. The reader below is written after json.loads and JSON.parse and shares no code
 * with lull's: an answer is good, empty or bad where that reader finds the member of the kind so.
 * covers: path/webui/validate.c path/webui/thoughts.c path/json/json_read.c
 */
#include "lull/base/utf8.h"
#include "path/webui/webui_priv.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MOST = 200, DIGITS_MOST = 4000 };

/* ---- JSON by recursive descent ---- */

struct seen {
    bool there;   /* the member */
    char type;    /* 's' string, 'a' array, 'o' else */
    bool blank;   /* of a string: white space only */
    size_t items; /* of an array */
    bool strings; /* all of them are */
};

struct descent {
    const unsigned char *at, *end;
    bool python;
    bool unsure; /* by size: Python's bounds are not looked at here */
    const char *member;
    struct seen seen;
};

static bool value(struct descent *d, int depth, struct seen *out);

static void blanks(struct descent *d)
{
    while (d->at < d->end && strchr(" \t\r\n", *d->at) != NULL && *d->at != '\0') {
        d->at++;
    }
}

static bool word(struct descent *d, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(d->end - d->at) < n || memcmp(d->at, text, n) != 0) {
        return false;
    }
    d->at += n;
    return true;
}

static int hex(unsigned char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Decodes into text (code units of UTF-16 below the surrogates, others as 0xFFFF). */
static bool string(struct descent *d, struct buf *text)
{
    if (d->at == d->end || *d->at != '"') {
        return false;
    }
    d->at++;
    while (d->at < d->end && *d->at != '"') {
        char piece[4] = {(char)*d->at};
        size_t n = 1;
        if (*d->at < 0x20) {
            return false;
        }
        if (*d->at == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            if (++d->at == d->end) {
                return false;
            }
            const char *known = *d->at == '\0' ? NULL : strchr(from, *d->at);
            if (known != NULL) {
                piece[0] = to[known - from];
            } else if (*d->at == 'u' && d->end - d->at > 4) {
                unsigned unit = 0;
                for (int i = 1; i <= 4; i++) {
                    int h = hex(d->at[i]);
                    if (h < 0) {
                        return false;
                    }
                    unit = unit * 16 + (unsigned)h;
                }
                n = unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
                if (n == 1) {
                    piece[0] = (char)unit;
                } else if (n == 2) {
                    piece[0] = (char)(0xC0 | unit >> 6);
                    piece[1] = (char)(0x80 | (unit & 0x3F));
                } else {
                    piece[0] = (char)(0xE0 | unit >> 12);
                    piece[1] = (char)(0x80 | (unit >> 6 & 0x3F));
                    piece[2] = (char)(0x80 | (unit & 0x3F));
                }
                d->at += 4;
            } else {
                return false;
            }
        }
        d->at++;
        require(buf_append(text, piece, n) == ERR_OK);
    }
    return d->at < d->end && *d->at++ == '"';
}

static bool digits(struct descent *d)
{
    const unsigned char *from = d->at;
    while (d->at < d->end && *d->at >= '0' && *d->at <= '9') {
        d->at++;
    }
    d->unsure = d->unsure || d->at - from > DIGITS_MOST;
    return d->at > from;
}

static bool number(struct descent *d)
{
    if (d->python && (word(d, "NaN") || word(d, "Infinity") || word(d, "-Infinity"))) {
        return true;
    }
    if (d->at < d->end && *d->at == '-') {
        d->at++;
    }
    const unsigned char *from = d->at;
    if (!digits(d) || (*from == '0' && d->at - from > 1)) {
        return false;
    }
    if (d->at < d->end && *d->at == '.') {
        d->at++;
        if (!digits(d)) {
            return false;
        }
    }
    if (d->at < d->end && (*d->at | 32) == 'e') {
        d->at++;
        if (d->at < d->end && (*d->at == '+' || *d->at == '-')) {
            d->at++;
        }
        return digits(d);
    }
    return true;
}

static bool array(struct descent *d, int depth, struct seen *out)
{
    *out = (struct seen){.there = true, .type = 'a', .strings = true};
    d->at++;
    blanks(d);
    if (d->at < d->end && *d->at == ']') {
        d->at++;
        return true;
    }
    for (;;) {
        struct seen item = {0};
        blanks(d);
        if (!value(d, depth + 1, &item)) {
            return false;
        }
        out->items++;
        out->strings = out->strings && item.type == 's';
        blanks(d);
        if (d->at == d->end || (*d->at != ',' && *d->at != ']')) {
            return false;
        }
        if (*d->at++ == ']') {
            return true;
        }
    }
}

static bool members(struct descent *d, int depth)
{
    d->at++;
    blanks(d);
    if (d->at < d->end && *d->at == '}') {
        d->at++;
        return true;
    }
    for (;;) {
        struct buf name = {.max = SIZE_MAX};
        struct seen item = {0};
        blanks(d);
        bool good = string(d, &name);
        blanks(d);
        good = good && d->at < d->end && *d->at++ == ':';
        blanks(d);
        good = good && value(d, depth + 1, &item);
        if (good && depth == 0 && span_eq(buf_span(&name), span_of(d->member))) {
            d->seen = item; /* the last one counts */
        }
        buf_free(&name);
        blanks(d);
        if (!good || d->at == d->end || (*d->at != ',' && *d->at != '}')) {
            return false;
        }
        if (*d->at++ == '}') {
            return true;
        }
    }
}

static bool is_blank(struct span s)
{
    static const char *const spaces[] = {"\t",           "\n",           "\v",
                                         "\f",           "\r",           " ",
                                         "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80",
                                         "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83",
                                         "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
                                         "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89",
                                         "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9",
                                         "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
                                         "\xEF\xBB\xBF"};
    while (s.len > 0) {
        size_t n = 0;
        for (size_t i = 0; i < sizeof spaces / sizeof spaces[0] && n == 0; i++) {
            n = span_starts(s, span_of(spaces[i])) ? strlen(spaces[i]) : 0;
        }
        if (n == 0) {
            return false;
        }
        s = span_make(s.ptr + n, s.len - n);
    }
    return true;
}

static bool value(struct descent *d, int depth, struct seen *out)
{
    d->unsure = d->unsure || depth > DEPTH_MOST;
    if (d->at == d->end || d->unsure) {
        return false;
    }
    *out = (struct seen){.there = true, .type = 'o'};
    if (*d->at == '{') {
        return members(d, depth);
    }
    if (*d->at == '[') {
        return array(d, depth, out);
    }
    if (*d->at == '"') {
        struct buf text = {.max = SIZE_MAX};
        bool good = string(d, &text);
        out->type = 's';
        out->blank = is_blank(buf_span(&text));
        buf_free(&text);
        return good;
    }
    return word(d, "true") || word(d, "false") || word(d, "null") || number(d);
}

/* ---- as Open WebUI reads an answer ---- */

static struct span slice(struct span s, bool last)
{
    const char *open = NULL, *close = NULL;
    for (const char *c = s.ptr; c < s.ptr + s.len; c++) {
        open = *c == '{' && (open == NULL || last) ? c : open;
        close = *c == '}' ? c : close;
    }
    return open == NULL || close == NULL || close < open
               ? SPAN_NONE
               : span_make(open, (size_t)(close - open) + 1);
}

static bool expected(struct descent *d, int kind, enum kind_shape shape, enum answer_verdict *out)
{
    struct seen root = {0};
    bool whole = value(d, 0, &root) && d->at == d->end;
    const struct seen *m = &d->seen;
    bool all_strings = kind == KIND_TAGS || kind == KIND_QUERY;
    *out = ANSWER_BAD;
    if (d->unsure) {
        return false;
    }
    if (whole && shape == KIND_SHAPE_STRING && m->there && m->type == 's') {
        *out = m->blank ? ANSWER_EMPTY : ANSWER_GOOD;
    } else if (whole && shape != KIND_SHAPE_STRING && m->there && m->type == 'a' &&
               (m->strings || !(all_strings || shape == KIND_SHAPE_STRINGS))) {
        *out = m->items == 0 ? ANSWER_EMPTY : ANSWER_GOOD;
    }
    return true;
}

static enum answer_verdict judge(const struct kind_policy *policy, enum kind_id kind,
                                 enum finish finish, struct span content, struct span thinking)
{
    struct answer a;
    answer_init(&a);
    a.finish = finish;
    require(buf_append_span(&a.content, content) == ERR_OK);
    require(buf_append_span(&a.thinking, thinking) == ERR_OK);
    enum answer_verdict verdict = answer_validate(&a, policy, (int)kind);
    answer_free(&a);
    return verdict;
}

static struct kind_policy policy_of(enum kind_id kind)
{
    const struct kind_info *info = kind_info(kind);
    return (struct kind_policy){.cls = info->cls,
                                .shape = info->shape,
                                .shape_member = (char *)(uintptr_t)info->member,
                                .answer = (char *)(uintptr_t)info->empty};
}

/* The kinds whose answer is an object. thought: the text is what the model thought, and it said
 * nothing. */
static void check_object(enum kind_id kind, struct span text, bool thought)
{
    struct kind_policy policy = policy_of(kind);
    bool read = !thought || kind == KIND_TITLE || kind == KIND_TAGS || kind == KIND_FOLLOW_UP;
    enum answer_verdict got =
        judge(&policy, kind, FINISH_STOP, thought ? SPAN_NONE : text, thought ? text : SPAN_NONE);
    struct span json = slice(text, kind == KIND_QUERY || kind == KIND_IMAGE_PROMPT);
    require(judge(&policy, kind, FINISH_OTHER, text, text) == ANSWER_BAD);
    require(!thought || judge(&policy, kind, FINISH_LENGTH, SPAN_NONE, text) == ANSWER_BAD);
    if (!read || json.len == 0 || !utf8_valid(thought ? json : text)) {
        require(got == ANSWER_BAD);
    } else if (thoughts_unended(text) == SIZE_MAX) {
        struct descent d = {(const unsigned char *)json.ptr,
                            (const unsigned char *)json.ptr + json.len,
                            kind != KIND_AUTOCOMPLETE,
                            false,
                            policy.shape_member,
                            {0}};
        enum answer_verdict want = ANSWER_BAD;
        require(!expected(&d, (int)kind, policy.shape, &want) || got == want);
    }
}

/* Any text that is not blank; of one that was cut off not even that. */
static void check_text(struct span text)
{
    struct kind_policy policy = policy_of(KIND_CONTEXT_COMPACTION);
    bool good = utf8_valid(text) && !is_blank(text);
    enum answer_verdict got = judge(&policy, KIND_CONTEXT_COMPACTION, FINISH_STOP, text, SPAN_NONE);
    require(good || got == ANSWER_BAD);
    require(!good || thoughts_unended(span_trim(text)) != SIZE_MAX || got == ANSWER_GOOD);
    require(judge(&policy, KIND_CONTEXT_COMPACTION, FINISH_LENGTH, text, SPAN_NONE) == ANSWER_BAD);
}

/* No picture is below U+00A9 but a key with its cap; any text with one behind it has one. */
static void check_emoji(struct span text)
{
    struct kind_policy policy = policy_of(KIND_EMOJI);
    struct buf more = {.max = SIZE_MAX};
    bool ascii = true;
    for (size_t i = 0; i < text.len; i++) {
        ascii = ascii && (unsigned char)text.ptr[i] < 0x80;
    }
    enum answer_verdict got = judge(&policy, KIND_EMOJI, FINISH_STOP, text, SPAN_NONE);
    require(got != ANSWER_EMPTY && (!ascii || got == ANSWER_BAD));
    require(utf8_valid(text) || got == ANSWER_BAD);
    require(buf_append_span(&more, text) == ERR_OK);
    require(buf_append_span(&more, SPAN("\xF0\x9F\x98\x80")) == ERR_OK);
    if (utf8_valid(text) && thoughts_unended(buf_span(&more)) == SIZE_MAX) {
        require(judge(&policy, KIND_EMOJI, FINISH_STOP, buf_span(&more), SPAN_NONE) == ANSWER_GOOD);
    }
    buf_free(&more);
}

/* The harmless answer is one that its kind's parser reads: of a query the last thing that was asked. */
static void check_harmless(struct span prompt)
{
    static const char open[] = "<chat_history>\n";
    struct kind_policy policy = policy_of(KIND_QUERY);
    struct dialect_request request = {.last_text = prompt};
    struct buf out = {.max = SIZE_MAX};
    require(answer_empty_content(&policy, KIND_QUERY, &request, &out) == ERR_OK);
    struct descent d = {(const unsigned char *)out.data,
                        (const unsigned char *)out.data + out.len,
                        true,
                        false,
                        policy.shape_member,
                        {0}};
    enum answer_verdict want = ANSWER_BAD;
    require(expected(&d, KIND_QUERY, policy.shape, &want) && want != ANSWER_BAD);
    bool asked = span_find(prompt, span_of(open), 0) != SIZE_MAX &&
                 span_find(prompt, SPAN("USER: "), 0) != SIZE_MAX;
    require(d.seen.items == 0 || (d.seen.items == 1 && asked));
    buf_clear(&out);
    require(answer_empty_content(&policy, KIND_TAGS, &request, &out) == ERR_OK);
    require(span_eq(buf_span(&out), span_of(policy.answer)));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { OBJECTS = 192, OBJECTS_THOUGHT = 96, TEXTS = 208, EMOJI = 224 };
    static const enum kind_id kinds[] = {KIND_TITLE, KIND_TAGS,         KIND_FOLLOW_UP,
                                         KIND_QUERY, KIND_AUTOCOMPLETE, KIND_IMAGE_PROMPT};
    if (size < 1) {
        return 0;
    }
    struct span text = span_make((const char *)data + 1, size - 1);
    if (data[0] < OBJECTS) {
        check_object(kinds[data[0] % (sizeof kinds / sizeof kinds[0])], text,
                     data[0] >= OBJECTS_THOUGHT);
    } else if (data[0] < TEXTS) {
        check_text(text);
    } else if (data[0] < EMOJI) {
        check_emoji(text);
    } else if (utf8_valid(text)) {
        check_harmless(text);
    }
    return 0;
}
