/* reply_text.h: what a client has received, cut into replies. Aborts where it is no reply. */
#ifndef TESTS_SUPPORT_REPLY_TEXT_H
#define TESTS_SUPPORT_REPLY_TEXT_H

#include "lull/base/buf.h"
#include "lull/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reply {
    int status;
    struct span head, body;
    size_t len; /* 0: it is not complete */
};

/* A field's value; SPAN_NONE: absent. */
static inline struct span reply_field(struct span head, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    size_t at = span_find(head, span_of(line), 0);
    if (at == SIZE_MAX) {
        return SPAN_NONE;
    }
    at += strlen(line);
    size_t end = span_find(head, SPAN("\r\n"), at);
    return span_make(head.ptr + at, end - at);
}

/* Bytes of a chunked body up to its end; SIZE_MAX: it has not come. */
static inline size_t reply_chunks(struct span text)
{
    for (size_t at = 0; at < text.len;) {
        size_t line = span_find(text, SPAN("\r\n"), at);
        char *digits_end = NULL;
        if (line == SIZE_MAX) {
            break;
        }
        size_t size = strtoul(text.ptr + at, &digits_end, 16);
        require(digits_end == text.ptr + line);
        at = line + 2 + size + 2;
        if (size == 0) {
            return at <= text.len ? at : SIZE_MAX;
        }
    }
    return SIZE_MAX;
}

/* The reply at the beginning of text. no_body: to HEAD; closed: nothing more will come. */
static inline struct reply reply_at(struct span text, bool no_body, bool closed)
{
    struct reply r = {0};
    char line[16];
    size_t end = span_find(text, SPAN("\r\n\r\n"), 0);
    if (end == SIZE_MAX) {
        return r;
    }
    snprintf(line, sizeof line, "%.*s", (int)sizeof line - 1, text.ptr);
    require(sscanf(line, "HTTP/1.1 %3d ", &r.status) == 1);
    r.head = span_make(text.ptr, end + 2);
    struct span rest = span_make(text.ptr + end + 4, text.len - end - 4);
    struct span length = reply_field(r.head, "Content-Length");
    struct span coding = reply_field(r.head, "Transfer-Encoding");
    require(length.ptr == NULL || coding.ptr == NULL);
    size_t n = no_body || r.status < 200 || r.status == 204 || r.status == 304 ? 0
               : coding.ptr != NULL                                            ? reply_chunks(rest)
               : length.ptr != NULL ? strtoul(length.ptr, NULL, 10)
               : closed             ? rest.len
                                    : SIZE_MAX;
    if (n <= rest.len) {
        r.body = span_make(rest.ptr, n);
        r.len = end + 4 + n;
    }
    return r;
}

#endif
