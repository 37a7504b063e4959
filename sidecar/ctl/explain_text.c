/* explain_text.c: lullctl explain: a request from a file, asked about.
 *
 * The file is a JSON body, or a whole HTTP request as a proxy's log has it ("POST /path HTTP/1.1",
 * headers, an empty line, the body). After the file, what begins with a slash is the path, what has
 * a colon is a header. With --last-miss the daemon has the request.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 2 * 1024 * 1024, LINES_MAX = 100 };

struct question {
    struct buf text, target;
    struct span body;
    char *lines[LINES_MAX];
    size_t count;
};

static bool read_input(const char *path, struct buf *out)
{
    char piece[65536];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    const char *why = f == NULL ? strerror(errno) : NULL;
    for (size_t n = 1; why == NULL && n > 0;) {
        n = fread(piece, 1, sizeof piece, f);
        why = ferror(f) != 0                        ? strerror(errno)
              : buf_append(out, piece, n) == ERR_OK ? NULL
                                                    : "it is larger than 2 MB";
    }
    if (f != NULL && f != stdin) {
        fclose(f);
    }
    if (why != NULL) {
        fprintf(stderr, "lullctl: %s cannot be read: %s\n", path, why);
    }
    return why == NULL;
}

/* One header as X-Explain-NAME; those that curl writes are left out. */
static bool add_header(struct question *q, struct span line)
{
    size_t colon = span_find(line, SPAN(":"), 0);
    struct span name = span_make(line.ptr, colon == SIZE_MAX ? 0 : colon);
    if (name.len == 0 || q->count == LINES_MAX) {
        return false;
    }
    if (span_eq_nocase(name, SPAN("Content-Length")) ||
        span_eq_nocase(name, SPAN("Transfer-Encoding"))) {
        return true;
    }
    size_t size = line.len + sizeof "X-Explain-";
    q->lines[q->count] = malloc(size);
    require(q->lines[q->count] != NULL);
    snprintf(q->lines[q->count++], size, "X-Explain-%.*s", (int)line.len, line.ptr);
    return true;
}

static void set_path(struct question *q, struct span path)
{
    buf_clear(&q->target);
    require_ok(buf_append_span(&q->target, SPAN("/explain")));
    require_ok(buf_append_span(&q->target, path));
}

/* The path of "http://host/path", as a proxy is asked for it. */
static struct span path_of(struct span target)
{
    size_t scheme = span_find(target, SPAN("://"), 0);
    size_t slash = scheme == SIZE_MAX || span_starts(target, SPAN("/"))
                       ? 0
                       : span_find(target, SPAN("/"), scheme + 3);
    return slash == SIZE_MAX ? SPAN("/") : span_make(target.ptr + slash, target.len - slash);
}

/* "POST /path HTTP/1.1" and what follows; false: not of that form. */
static bool read_http_request(struct question *q)
{
    struct span rest = buf_span(&q->text);
    for (bool first = true;; first = false) {
        size_t end = span_find(rest, SPAN("\n"), 0);
        if (end == SIZE_MAX) {
            return false;
        }
        struct span line = span_trim(span_make(rest.ptr, end));
        rest = span_make(rest.ptr + end + 1, rest.len - end - 1);
        if (line.len == 0 && !first) {
            q->body = rest;
            return true;
        }
        if (first) {
            size_t from = sizeof "POST " - 1;
            size_t to = span_find(line, SPAN(" "), from);
            if (to == SIZE_MAX) {
                return false;
            }
            set_path(q, path_of(span_make(line.ptr + from, to - from)));
        } else if (!add_header(q, line)) {
            return false;
        }
    }
}

static void (*printer_of(const struct ctl *ctl))(const cJSON *)
{
    return ctl->all ? ctl_print_explanation_all : ctl_print_explanation;
}

static int ask_about(const struct ctl *ctl, struct question *q, const char *file, char **arguments)
{
    q->body = buf_span(&q->text);
    set_path(q, SPAN(""));
    if (span_starts(q->body, SPAN("POST ")) && !read_http_request(q)) {
        fprintf(stderr, "lullctl: the file begins like an HTTP request and is none\n");
        return CTL_USAGE;
    }
    for (; *arguments != NULL; arguments++) {
        if (arguments[0][0] == '/') {
            set_path(q, span_of(*arguments));
        } else if (!add_header(q, span_of(*arguments))) {
            fprintf(stderr,
                    "lullctl: after the file come a /path and headers, written 'Name: value'\n");
            return CTL_USAGE;
        }
    }
    struct buf out;
    require_ok(buf_append_char(&q->target, '\0'));
    long status = ctl_send(ctl, q->target.data, q->lines, q->count, q->body, &out);
    cJSON *answer = status == 200 ? cJSON_ParseWithLength(out.data, out.len) : NULL;
    char broken[64] = "";
    snprintf(broken, sizeof broken, "%s", ctl_text_of(answer, "body"));
    cJSON_Delete(answer);
    int result = ctl_finish(ctl, status, &out, printer_of(ctl));
    if (result == CTL_DONE && broken[0] != '\0') {
        fprintf(stderr, "lullctl: %s is %s\n", file, broken);
        return CTL_USAGE;
    }
    return result;
}

static int ask_last_miss(const struct ctl *ctl)
{
    struct buf target = {.max = FILE_MAX}, out;
    require_ok(buf_printf(&target, "/explain?last-miss="));
    ctl_encode(&target, span_of(ctl->last_miss));
    require_ok(buf_append_char(&target, '\0'));
    long status = ctl_send(ctl, target.data, NULL, 0, SPAN_NONE, &out);
    buf_free(&target);
    return ctl_finish(ctl, status, &out, printer_of(ctl));
}

int ctl_explain(const struct ctl *ctl)
{
    char **arguments = ctl->arguments;
    struct question q = {.text = {.max = FILE_MAX}, .target = {.max = FILE_MAX}};
    if (ctl->last_miss != NULL) {
        return ask_last_miss(ctl);
    }
    int result = read_input(arguments[0], &q.text) ? ask_about(ctl, &q, arguments[0], arguments + 1)
                                                   : CTL_USAGE;
    while (q.count > 0) {
        free(q.lines[--q.count]);
    }
    buf_free(&q.text);
    buf_free(&q.target);
    return result;
}
