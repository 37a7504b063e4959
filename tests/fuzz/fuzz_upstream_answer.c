/* fuzz_upstream_answer.c: any bytes as what a model server sends on a connection, through libcurl. Input:
 * one byte (how they are cut, and whether the answer is decoded), then the bytes. However they are
 * cut, the caller sees one head at most, the same body and the same end; and what the server sent
 * never becomes the answer of the next request.
 * covers: path/upstream/transfer.c path/upstream/sockets.c path/upstream/response_head.c path/upstream/upstream.c path/upstream/why.c
 */
#include "support/fake_loop.h"
#include "support/upstream_at.h"

#include "lull/path/upstream/upstream.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS_MOST = 8 };

static struct loop *loop;
static struct upstream_settings to;
static char folder[] = "/tmp/lull-fuzz-XXXXXX", path[64];
static int listener;

/* ---- the caller ---- */

struct seen {
    int heads, status;
    size_t fields;
    int64_t length;
    struct buf body;
    bool done;
    struct upstream_report report;
};

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t length)
{
    struct seen *s = ctx;
    require(!s->done && s->heads == 0 && status >= 200);
    (void)reason; /* as it came: the writer of a head looks at its bytes */
    require(length >= -1);
    for (size_t i = 0; i < count; i++) {
        require(http_is_one_line(headers[i].name) && http_is_one_line(headers[i].value));
    }
    s->heads++;
    s->status = status;
    s->fields = count;
    s->length = length;
}

static bool on_data(void *ctx, struct span piece)
{
    struct seen *s = ctx;
    require(!s->done && s->heads == 1);
    require(buf_append_span(&s->body, piece) == ERR_OK);
    return true;
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct seen *s = ctx;
    require(!s->done && report->why != NULL && report->got_head == (s->heads == 1));
    require(report->result == UPSTREAM_DONE || report->why[0] != '\0');
    s->done = true;
    s->report = *report;
    s->report.why = "";
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_done = on_done};

/* ---- the server ---- */

static int peers[PEERS_MOST];
static size_t peer_count;

/* The newest connection with a request on it; -1: there is none. */
static int take_request(void)
{
    char request[4096];
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd >= 0) {
        require(peer_count < PEERS_MOST);
        peers[peer_count++] = fd;
        fake_loop_settle(loop);
    }
    for (size_t i = peer_count; i > 0; i--) {
        ssize_t n = recv(peers[i - 1], request, sizeof request, 0);
        if (n > 0) {
            return peers[i - 1];
        }
    }
    return -1;
}

static void hang_up(void)
{
    while (peer_count > 0) {
        close(peers[--peer_count]);
    }
    fake_loop_settle(loop);
}

static bool say(int fd, const char *bytes, size_t len)
{
    bool sent = send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
    fake_loop_settle(loop);
    return sent;
}

/* ---- one run ---- */

static void begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static char url[] = "http://localhost", host[] = "localhost";
    loop = loop_create();
    require(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/s", folder);
    memcpy(address.sun_path, path, strlen(path));
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    require(listen(listener, 8) == 0);
    to = upstream_at(url, host, path);
    to.first_byte_timeout = to.stall_timeout = 20 * USEC_PER_S;
}

static void finish(void)
{
    unlink(path);
    rmdir(folder);
}

static struct upstream_call *ask(struct upstream_pool *pool, bool decode, struct seen *seen)
{
    struct upstream_request request = {.to = &to,
                                       .method = SPAN("POST"),
                                       .target = SPAN("/v1/chat/completions"),
                                       .body = SPAN("{}"),
                                       .decode = decode};
    *seen = (struct seen){.body = {.max = 64 * 1024 * 1024}};
    struct upstream_call *call = upstream_start(pool, &request, &events, seen);
    fake_loop_settle(loop);
    return call;
}

/* The next request gets its own answer. */
static void check_next(struct upstream_pool *pool)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
    struct seen seen;
    (void)ask(pool, false, &seen);
    for (int i = 0; i < 4 && !seen.done; i++) {
        int fd = take_request();
        if (fd >= 0) {
            (void)say(fd, answer, sizeof answer - 1);
        }
        fake_loop_settle(loop);
    }
    require(seen.done && seen.report.result == UPSTREAM_DONE);
    require(span_eq(buf_span(&seen.body), SPAN("second")));
    buf_free(&seen.body);
}

/* stay: the connection stays open behind the bytes, for as long as the call goes on. */
static void run(struct span bytes, size_t step, bool decode, bool stay, struct seen *seen)
{
    struct upstream_pool *pool = upstream_pool_create(loop);
    struct upstream_call *call = ask(pool, decode, seen);
    int fd = take_request();
    bool open = fd >= 0;
    require(fd >= 0);
    for (size_t at = 0; at < bytes.len && open && !seen->done; at += step) {
        open = say(fd, bytes.ptr + at, bytes.len - at < step ? bytes.len - at : step);
    }
    if (!stay) {
        hang_up();
        for (int i = 0; i < 3 && !seen->done; i++) { /* it may ask once more: again a close */
            (void)take_request();
            hang_up();
        }
        require(seen->done);
    } else if (!seen->done) {
        upstream_abort(call);
        fake_loop_settle(loop);
    }
    check_next(pool);
    upstream_pool_destroy(pool);
    hang_up();
}

static void check_same(const struct seen *once, const struct seen *cut)
{
    require(once->heads == cut->heads && once->done == cut->done && once->status == cut->status);
    require(once->fields == cut->fields && once->length == cut->length);
    if (once->done) {
        require(once->report.result == cut->report.result);
        require(once->report.close_delimited == cut->report.close_delimited);
    }
    if (once->done && once->report.result == UPSTREAM_DONE) {
        require(span_eq(buf_span(&once->body), buf_span(&cut->body)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (loop == NULL) {
        begin();
        atexit(finish);
    }
    if (size < 2 || size > 32 * 1024) {
        return 0;
    }
    struct span bytes = span_make((const char *)data + 1, size - 1);
    bool decode = (data[0] & 1) != 0, stay = (data[0] & 2) != 0;
    size_t step = (size_t)(data[0] >> 2) + 1;
    struct seen once, cut;
    run(bytes, bytes.len, decode, stay, &once);
    run(bytes, step, decode, stay, &cut);
    /* of a NUL in a head libcurl 7.88 thinks differently by where it is cut */
    bool comparable = span_find(bytes, SPAN("\0"), 0) == SIZE_MAX;
    if (comparable) {
        check_same(&once, &cut);
    }
    buf_free(&once.body);
    buf_free(&cut.body);
    return 0;
}
