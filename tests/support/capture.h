/* capture.h: what a function writes to standard output or standard error. */
#ifndef TESTS_SUPPORT_CAPTURE_H
#define TESTS_SUPPORT_CAPTURE_H

#include "support/check.h"

#include <stdio.h>
#include <unistd.h>

struct capture {
    FILE *stream, *file;
    int saved;
};

/* Until capture_end, what is written to the stream goes to a temporary file. */
static inline void capture_begin(struct capture *c, FILE *stream)
{
    fflush(stream);
    c->stream = stream;
    c->file = tmpfile();
    assert_non_null(c->file);
    c->saved = dup(fileno(stream));
    assert_true(c->saved >= 0 && dup2(fileno(c->file), fileno(stream)) >= 0);
}

/* What was written; cut at size. */
static inline void capture_end(struct capture *c, char *out, size_t size)
{
    fflush(c->stream);
    assert_true(dup2(c->saved, fileno(c->stream)) >= 0);
    close(c->saved);
    rewind(c->file);
    out[fread(out, 1, size - 1, c->file)] = '\0';
    fclose(c->file);
}

#endif
