/* chunked.c: the decoder of chunked bodies: a state machine over single bytes for the lines, over
 * spans for the data. Sizes are hex digits only; CRLF must follow each piece; trailers are read and
 * dropped. Requests are read strictly. Answers are read as clients read them (`lenient`): some
 * servers pad sizes with blanks or end lines with a bare LF.
 */
#include "lull/base/ascii.h"
#include "lull/http/request.h"

enum chunk_state {
    CHUNK_SIZE, /* first digit of a size */
    CHUNK_SIZE_MORE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_BODY,
    CHUNK_BODY_CR,
    CHUNK_BODY_LF,
    CHUNK_TRAILER, /* at the beginning of a trailer line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_LINE,
    CHUNK_TRAILER_LF,
    CHUNK_LAST_LF,
    CHUNK_DONE,
};

enum { MAX_EXTENSION = 1024, MAX_TRAILERS = 8 * 1024 };

static bool size_char(struct http_chunked *c, char ch)
{
    int digit = ascii_hex_value(ch);
    if (digit >= 0) {
        c->line_len++;
        if (c->line_len > 16 || c->left >> 58 != 0) {
            return false;
        }
        c->left = c->left << 4 | (uint64_t)digit;
        c->state = CHUNK_SIZE_MORE;
        return true;
    }
    if (c->state == CHUNK_SIZE) {
        return false;
    }
    c->line_len = 0;
    if (ch == '\r') {
        c->state = CHUNK_SIZE_LF;
        return true;
    }
    c->state = CHUNK_EXTENSION;
    return ch == ';' || c->lenient;
}

static bool line_char(struct http_chunked *c, char ch, int next, size_t max)
{
    if (ch == '\r') {
        c->state = next;
        return true;
    }
    c->line_len++;
    return c->line_len <= max && ch != '\n' && ((unsigned char)ch >= 0x20 || ch == '\t') &&
           ch != 0x7f;
}

/* A trailer of a request is a name and a colon: what looks like a request is none. Those of answers
 * are dropped whatever they are. */
static bool trailer_name_char(struct http_chunked *c, char ch, bool first)
{
    if (c->lenient || (ch == ':' && !first)) {
        c->state = CHUNK_TRAILER_LINE;
        return ch != ' ' && ch != '\t' && line_char(c, ch, CHUNK_TRAILER_LF, MAX_TRAILERS);
    }
    c->state = CHUNK_TRAILER_NAME;
    return ascii_is_token(ch) && ++c->line_len <= MAX_TRAILERS;
}

static bool expect_char(struct http_chunked *c, char ch, char want, int next)
{
    c->state = next;
    return ch == want;
}

static bool wants_lf(const struct http_chunked *c)
{
    return c->state == CHUNK_SIZE_LF || c->state == CHUNK_BODY_LF || c->state == CHUNK_TRAILER_LF ||
           c->state == CHUNK_LAST_LF;
}

/* One byte outside the data; false: malformed. */
static bool chunk_step(struct http_chunked *c, char ch)
{
    if (c->lenient && ch == '\n' && !wants_lf(c) && !chunk_step(c, '\r')) {
        return false;
    }
    switch (c->state) {
    case CHUNK_SIZE:
    case CHUNK_SIZE_MORE:
        return size_char(c, ch);
    case CHUNK_EXTENSION:
        return (c->lenient || (unsigned char)ch < 0x80) &&
               line_char(c, ch, CHUNK_SIZE_LF, MAX_EXTENSION);
    case CHUNK_SIZE_LF:
        c->line_len = 0;
        return expect_char(c, ch, '\n', c->left > 0 ? CHUNK_BODY : CHUNK_TRAILER);
    case CHUNK_BODY_CR:
        return expect_char(c, ch, '\r', CHUNK_BODY_LF);
    case CHUNK_BODY_LF:
        return expect_char(c, ch, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER:
        if (ch == '\r') {
            c->state = CHUNK_LAST_LF;
            return true;
        }
        return trailer_name_char(c, ch, true);
    case CHUNK_TRAILER_NAME:
        return trailer_name_char(c, ch, false);
    case CHUNK_TRAILER_LINE:
        return line_char(c, ch, CHUNK_TRAILER_LF, MAX_TRAILERS);
    case CHUNK_TRAILER_LF:
        return expect_char(c, ch, '\n', CHUNK_TRAILER);
    case CHUNK_LAST_LF:
        return expect_char(c, ch, '\n', CHUNK_DONE);
    default:
        return false;
    }
}

enum http_chunk http_chunked_feed(struct http_chunked *c, const char *data, size_t len,
                                  size_t *used, struct span *body)
{
    *used = 0;
    while (*used < len) {
        if (c->state == CHUNK_BODY) {
            size_t n = len - *used < c->left ? len - *used : (size_t)c->left;
            *body = span_make(data + *used, n);
            *used += n;
            c->left -= n;
            c->state = c->left == 0 ? CHUNK_BODY_CR : CHUNK_BODY;
            return HTTP_CHUNK_DATA;
        }
        if (!chunk_step(c, data[(*used)++])) {
            return HTTP_CHUNK_ERROR;
        }
        if (c->state == CHUNK_DONE) {
            return HTTP_CHUNK_END;
        }
    }
    return c->state == CHUNK_DONE ? HTTP_CHUNK_END : HTTP_CHUNK_MORE;
}
