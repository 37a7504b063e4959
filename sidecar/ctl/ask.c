/* ask.c: HTTP requests over the control socket, with libcurl, and what an answer means. */
#include "ctl/ctl.h"

#include "lull/base/ascii.h"
#include "lull/base/os.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PATIENCE_S = 60,
    PATH_MOST = sizeof((struct sockaddr_un *)NULL)->sun_path - 1,
};
static const size_t ANSWER_MAX = (size_t)64 * 1024 * 1024;

void ctl_default_socket(char *out, size_t size)
{
    const char *set = getenv("LULL_SERVER_CONTROL");
    if (set != NULL && set[0] != '\0') {
        snprintf(out, size, "%s", set);
        return;
    }
    os_default_control(out, size);
    /* no daemon of one's own: the system's (in the container image it is the only one); what another
     * user put below /tmp is none */
    bool own = access(out, F_OK) == 0;
    if ((!own && access(OS_SYSTEM_CONTROL, F_OK) == 0) || (own && !os_is_out_of_reach(out))) {
        snprintf(out, size, "%s", OS_SYSTEM_CONTROL);
    }
}

static size_t append_piece(char *data, size_t size, size_t count, void *ctx)
{
    struct buf *out = ctx;
    return buf_append(out, data, size * count) == ERR_OK ? size * count : 0;
}

/* libcurl asks at least once a second, and where a signal has come. */
static int is_stopped(void *ctx, curl_off_t to_get, curl_off_t got, curl_off_t to_send,
                      curl_off_t sent)
{
    const volatile sig_atomic_t *stop = ctx;
    (void)to_get;
    (void)got;
    (void)to_send;
    (void)sent;
    return *stop != 0;
}

static void prepare(CURL *easy, const struct ctl *ctl, const char *method, const char *target,
                    struct buf *out)
{
    curl_easy_setopt(easy, CURLOPT_URL, "http://lull");
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, target);
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)PATIENCE_S);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append_piece);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
    if (ctl->stop != NULL) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, is_stopped);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, (void *)(uintptr_t)ctl->stop);
    }
    if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* Why there is no answer, and what to do about it. */
static void report_unanswered(CURL *easy, CURLcode code, const char *path)
{
    long errnum = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &errnum);
    if (strlen(path) > PATH_MOST) {
        fprintf(stderr, "lullctl: the path of a socket has %d bytes at most, not %zu: %s\n",
                PATH_MOST, strlen(path), path);
    } else if (code == CURLE_COULDNT_CONNECT && errnum == EACCES) {
        fprintf(stderr,
                "lullctl: %s: you may not use it; root may, and the group that "
                "control_group names\n",
                path);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        fprintf(stderr, "lullctl: lulld on %s has not answered for %d s\n", path, PATIENCE_S);
    } else if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING ||
               code == CURLE_RECV_ERROR) {
        fprintf(stderr, "lullctl: lulld on %s has ended the connection\n", path);
    } else {
        bool by_system = code == CURLE_COULDNT_CONNECT && errnum != 0;
        fprintf(stderr, "lullctl: no answer on %s: %s; is lulld running? --socket names another\n",
                path, by_system ? strerror((int)errnum) : curl_easy_strerror(code));
    }
}

/* quiet: nothing is said when there is no answer. */
static long perform(CURL *easy, const struct ctl *ctl, bool quiet)
{
    long status = 0;
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK) {
        if (!quiet && !ferror(stdout)) {
            report_unanswered(easy, code, ctl->socket);
        }
    } else {
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    }
    curl_easy_cleanup(easy);
    return status;
}

long ctl_ask(const struct ctl *ctl, const char *method, const char *target, struct buf *out)
{
    CURL *easy = curl_easy_init();
    require(easy != NULL);
    buf_init(out, ANSWER_MAX);
    prepare(easy, ctl, method, target, out);
    return perform(easy, ctl, false);
}

long ctl_ask_as(const struct ctl *ctl, const char *target, const char *type, struct buf *out)
{
    char line[128];
    snprintf(line, sizeof line, "Accept: %s", type);
    struct curl_slist *list = curl_slist_append(NULL, line);
    CURL *easy = curl_easy_init();
    require(easy != NULL && list != NULL);
    buf_init(out, ANSWER_MAX);
    prepare(easy, ctl, "GET", target, out);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    long status = perform(easy, ctl, false);
    curl_slist_free_all(list);
    return status;
}

cJSON *ctl_fetch(const struct ctl *ctl, const char *target, bool quiet)
{
    CURL *easy = curl_easy_init();
    struct buf out = {.max = ANSWER_MAX};
    require(easy != NULL);
    prepare(easy, ctl, "GET", target, &out);
    bool answered = perform(easy, ctl, quiet) > 0;
    cJSON *answer = answered ? cJSON_ParseWithLength(out.data, out.len) : NULL;
    buf_free(&out);
    return answer;
}

long ctl_send(const struct ctl *ctl, const char *target, char *const *lines, size_t count,
              struct span body, struct buf *out)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    CURL *easy = curl_easy_init();
    require(easy != NULL);
    buf_init(out, ANSWER_MAX);
    for (size_t i = 0; i < count; i++) {
        list = curl_slist_append(list, lines[i]);
        require(list != NULL);
    }
    prepare(easy, ctl, "POST", target, out);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.len > 0 ? body.ptr : "");
    long status = perform(easy, ctl, false);
    curl_slist_free_all(list);
    return status;
}

struct ctl_stream {
    CURL *easy;
    void (*line)(void *ctx, char *text);
    void *ctx;
    struct buf rest;  /* of a line */
    struct buf other; /* the body of an answer that is not 200 */
    struct curl_slist *headers;
};

static size_t take_lines(char *data, size_t size, size_t count, void *ctx)
{
    struct ctl_stream *s = ctx;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    struct buf *to = status == 200 ? &s->rest : &s->other;
    if (buf_append(to, data, len) != ERR_OK) {
        return 0;
    }
    for (size_t end = 0; (end = span_find(buf_span(&s->rest), SPAN("\n"), 0)) != SIZE_MAX;) {
        s->rest.data[end] = '\0';
        s->line(s->ctx, s->rest.data);
        buf_consume(&s->rest, end + 1);
        if (ferror(stdout)) {
            return 0; /* nothing reads what it prints: the stream ends */
        }
    }
    return len;
}

static struct ctl_stream *stream_new(const struct ctl *ctl, const char *method, const char *target,
                                     void (*line)(void *ctx, char *text), void *ctx)
{
    struct ctl_stream *s = mem_new(sizeof *s);
    s->line = line;
    s->ctx = ctx;
    s->headers = curl_slist_append(NULL, "Expect:");
    s->easy = curl_easy_init();
    require(s->easy != NULL && s->headers != NULL);
    buf_init(&s->rest, ANSWER_MAX);
    buf_init(&s->other, ANSWER_MAX);
    prepare(s->easy, ctl, method, target, &s->other);
    curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, take_lines);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    return s;
}

struct ctl_stream *ctl_stream_open(const struct ctl *ctl, const char *target,
                                   void (*line)(void *ctx, char *text), void *ctx)
{
    return stream_new(ctl, "GET", target, line, ctx);
}

void *ctl_stream_handle(struct ctl_stream *s)
{
    return s->easy;
}

void ctl_stream_close(struct ctl_stream *s)
{
    if (s->easy != NULL) {
        curl_easy_cleanup(s->easy);
    }
    curl_slist_free_all(s->headers);
    buf_free(&s->rest);
    buf_free(&s->other);
    free(s);
}

/* To the end of the stream; what is not 200 goes to out. */
static long stream_run(const struct ctl *ctl, struct ctl_stream *s, struct buf *out)
{
    long status = perform(s->easy, ctl, false);
    s->easy = NULL;
    buf_init(out, ANSWER_MAX);
    buf_move(out, &s->other);
    ctl_stream_close(s);
    return status;
}

long ctl_follow(const struct ctl *ctl, const char *target, void (*line)(void *ctx, char *text),
                void *ctx, struct buf *out)
{
    return stream_run(ctl, stream_new(ctl, "GET", target, line, ctx), out);
}

long ctl_stream(const struct ctl *ctl, const char *target, struct span body,
                void (*line)(void *ctx, char *text), void *ctx, struct buf *out)
{
    struct ctl_stream *s = stream_new(ctl, "POST", target, line, ctx);
    curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)body.len);
    curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body.len > 0 ? body.ptr : "");
    return stream_run(ctl, s, out);
}

void ctl_encode(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = ascii_is_alnum(text.ptr[i]) || c == '-' || c == '_' || c == '.';
        require_ok(buf_printf(out, plain ? "%c" : "%%%02X", c));
    }
}

/* {"error": text}, or {"error": {"message": text}} of a request that was refused as HTTP. */
static const char *error_of(const cJSON *answer)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
    const char *text = cJSON_GetStringValue(error);
    return text != NULL ? text
                        : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(error, "message"));
}

static void report_refusal(const cJSON *answer, long status)
{
    const char *text = error_of(answer);
    fprintf(stderr, "lullctl: ");
    if (text == NULL) {
        fprintf(stderr, "lulld answered %ld", status);
    }
    while (text != NULL && *text != '\0') {
        size_t control = *text == '\n' ? 0 : ctl_control_length(text);
        fputc(control > 0 ? '?' : *text, stderr);
        text += control > 0 ? control : 1;
    }
    fputc('\n', stderr);
}

int ctl_finish(const struct ctl *ctl, long status, struct buf *out, void (*print)(const cJSON *))
{
    cJSON *answer = out->len > 0 ? cJSON_ParseWithLength(out->data, out->len) : NULL;
    int result = CTL_DONE;
    if (status == 0) {
        result = CTL_NO_DAEMON;
    } else if (status >= 300 || (answer == NULL && (status != 204 || print != NULL))) {
        report_refusal(answer, status);
        result = CTL_REFUSED;
    } else if (ctl->json && out->len > 0) {
        ctl_print_json(buf_span(out));
    } else if (print != NULL) {
        print(answer);
    }
    cJSON_Delete(answer);
    buf_free(out);
    return result;
}

int ctl_run(const struct ctl *ctl, const char *method, const char *target,
            void (*print)(const cJSON *answer))
{
    struct buf out;
    long status = ctl_ask(ctl, method, target, &out);
    return ctl_finish(ctl, status, &out, print);
}
