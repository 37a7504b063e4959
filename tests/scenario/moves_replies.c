/* moves_replies.c: what came for a request, checked against what was asked. */
#include "scenario/moves_priv.h"

#include "lull/base/err.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reply_fail(const struct ask *a, const struct reply *r, const char *what)
{
    fprintf(stderr, "%s: asked for %s of q%dq by %s; the reply:\n%.*s\n%.*s\n", what,
            a->kind < ASK_KINDS ? kind_word(a->kind) : "something", a->subject, a->user,
            (int)r->head.len, r->head.ptr, (int)r->body.len, r->body.ptr);
    require_failed(what, __FILE__, __LINE__);
}

void body_unchunk(struct span head, struct span rest, struct buf *out)
{
    if (reply_field(head, "Transfer-Encoding").ptr == NULL) {
        require(buf_append_span(out, rest) == ERR_OK);
        return;
    }
    for (size_t size = 1; size > 0;) {
        size_t line = span_find(rest, SPAN("\r\n"), 0);
        size = strtoul(rest.ptr, NULL, 16);
        require(buf_append(out, rest.ptr + line + 2, size) == ERR_OK);
        line += 2 + size + 2;
        rest = span_make(rest.ptr + line, rest.len - line);
    }
}

/* The content that one line of a body says; a line without any as it is, or not at all. A server that goes
 * on behind an end without a line feed says two things in one line. */
static void add_content(struct span line, bool lines, struct buf *out)
{
    size_t skip = span_starts(line, SPAN("data: ")) ? 6 : 0;
    const char *end = NULL, *behind = line.ptr + line.len;
    cJSON *tree = cJSON_ParseWithLengthOpts(line.ptr + skip, line.len - skip, &end, false);
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(tree, "choices");
    const cJSON *from = choices == NULL ? tree : cJSON_GetArrayItem(choices, 0);
    const cJSON *delta = cJSON_GetObjectItemCaseSensitive(from, "delta");
    const cJSON *message =
        delta != NULL ? delta : cJSON_GetObjectItemCaseSensitive(from, "message");
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(message, "content");
    content = content != NULL ? content : cJSON_GetObjectItemCaseSensitive(from, "response");
    struct span other = lines ? line : SPAN("");
    require(buf_append_span(out, cJSON_IsString(content) ? span_of(content->valuestring) : other) ==
            ERR_OK);
    bool more = tree != NULL && end < behind && *end == '{';
    cJSON_Delete(tree);
    if (more) {
        add_content(span_make(end, (size_t)(behind - end)), lines, out);
    }
}

/* What a reply says, over all its pieces. */
static void content_of_reply(const struct reply *r, bool lines, struct buf *out)
{
    struct buf body = {.max = SIZE_MAX};
    body_unchunk(r->head, r->body, &body);
    for (size_t at = 0; at < body.len;) {
        size_t end = span_find(buf_span(&body), SPAN("\n"), at);
        end = end == SIZE_MAX ? body.len : end;
        add_content(span_make(body.data + at, end - at), lines, out);
        at = end + 1;
    }
    buf_free(&body);
}

void reply_said(const struct reply *r, char *out, size_t size)
{
    struct buf text = {.max = SIZE_MAX};
    content_of_reply(r, false, &text);
    bool fits = r->status == 200 && text.len < size;
    snprintf(out, size, "%.*s", fits ? (int)text.len : 0, fits && text.len > 0 ? text.data : "");
    buf_free(&text);
}

/* One "KIND of qNq by USER." of those that may answer it. A model that did not see all (the body was no
 * JSON, or had not come to its end) answers of q-1q, and may take it for a chat. */
static bool answers(const struct ask *a, struct span name)
{
    bool known = a->kind < ASK_KINDS;
    const char *word = kind_word(known ? a->kind : ASK_CHAT);
    const struct {
        const char *word;
        int subject;
    } may[] = {{word, known ? a->subject : -1}, {word, -1}, {kind_word(ASK_CHAT), -1}};
    const char *const users[] = {known ? a->user : "none", "other"};
    char own[TEXT_SIZE];
    for (size_t i = 0; i < 6; i++) {
        snprintf(own, sizeof own, "%s of q%dq by %s.", may[i / 2].word, may[i / 2].subject,
                 users[i % 2]);
        if (span_ends(name, span_of(own))) {
            return true;
        }
    }
    return false;
}

/* Each name in it is its own. */
static void check_names(const struct ask *a, const struct reply *r, struct span text)
{
    for (size_t at = 0; (at = span_find(text, SPAN(" of q"), at)) != SIZE_MAX; at++) {
        size_t end = span_find(text, SPAN("."), at);
        if (end == SIZE_MAX || !answers(a, span_make(text.ptr, end + 1))) {
            reply_fail(a, r, "another answer");
        }
    }
}

/* A completion goes on where its text ended, as that person would, or as the other server thinks. */
static void check_completion(const struct ask *a, const struct reply *r, struct span text)
{
    char full[TEXT_SIZE], others[TEXT_SIZE];
    size_t at = span_find(text, SPAN("{\"text\": \""), 0);
    if (a->kind != ASK_AUTOCOMPLETE || r->status != 200 || at == SIZE_MAX) {
        return;
    }
    at += SPAN("{\"text\": \"").len;
    size_t end = span_find(text, SPAN("\""), at);
    if (end == SIZE_MAX) {
        return;
    }
    struct span suggestion = span_make(text.ptr + at, end - at);
    full_text(a->subject, a->user, full);
    full_text(a->subject, "other", others);
    if (!span_starts(span_of(full + a->typed), suggestion) &&
        !span_starts(span_of(others + a->typed), suggestion)) {
        reply_fail(a, r, "a completion of another text");
    }
}

/* What comes out of the cache was said whole, and not before the last purge that was answered when the
 * request was written. */
static void check_stored(const struct game *g, const struct ask *a, const struct reply *r,
                         struct span text)
{
    struct span status = reply_field(r->head, "Cache-Status");
    unsigned number = 0;
    char end = '\0';
    if (a->kind >= ASK_KINDS || span_find(status, SPAN("; hit"), 0) == SIZE_MAX) {
        return;
    }
    for (size_t at = 0; (at = span_find(text, SPAN("s"), at)) != SIZE_MAX; at++) {
        if (sscanf(text.ptr + at, "s%5u%c", &number, &end) == 2 && end == 's') {
            if (number >= g->said_count || !g->said[number].whole) {
                reply_fail(a, r, "a hit of an answer that was not whole");
            }
            if (g->said[number].purges < a->purges) {
                reply_fail(a, r, "a hit of an answer from before a purge");
            }
        }
    }
}

void reply_check(const struct game *g, const struct ask *a, const struct reply *r)
{
    struct buf text = {.max = SIZE_MAX};
    content_of_reply(r, true, &text);
    check_names(a, r, buf_span(&text));
    check_completion(a, r, buf_span(&text));
    require(buf_append_char(&text, '\0') == ERR_OK);
    check_stored(g, a, r, span_make(text.data, text.len - 1));
    buf_free(&text);
    if (a->kind == ASK_BAD && r->status < 400) {
        reply_fail(a, r, "a bad request was served");
    }
}
