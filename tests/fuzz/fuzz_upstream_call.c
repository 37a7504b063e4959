/* fuzz_upstream_call.c: callers and a server that do anything in any order, in virtual time, through
 * libcurl. Bytes choose who does what next: calls begin with a held, a streamed or no body, write it,
 * wait, are resumed and aborted, begin others; the server reads a little, answers in any framing,
 * early, late, never, sends what no request asked for, and closes; connecting fails or hangs.
 *
 * What a call gets is its own, in order, and whole where it is said to be; what the server gets is what
 * was written. A body that cannot be sent twice is not; no call is called back when it is over; no
 * descriptor stays. libcurl acts when it wants to, and not without end in one turn.
 * covers: path/upstream/transfer.c path/upstream/sockets.c path/upstream/upstream.c path/upstream/why.c path/upstream/pool.c path/upstream/setup.c path/upstream/origin.c
 */
#include "support/curl_wishes.h"
#include "support/fake_loop.h"
#include "support/numbered.h"
#include "support/resolver_threads.h"
#include "support/short_memory.h"
#include "support/upstream_at.h"

#include "lull/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPEN_MOST = 4 /* calls at once */, MOVES_MOST = 400 };
enum { BY_NAME = 6, DESTINATIONS }; /* of calls; the others have no name to look up */

static char folder[] = "/tmp/lull-fuzz-XXXXXX", path[64], gone[64], dead[64];
static int mute = -1, mute_filled = -1;

/* ---- the system, as libcurl sees it: its clock is the loop's, connect() fails as chosen ---- */

static int connect_errno;

/* Later by a microsecond at every look: libcurl 8 runs what is due at the time of its first look, and
 * what is due at once is later than that. CLOCK_MONOTONIC_RAW is what libcurl 8 reads. */
int clock_gettime(clockid_t id, struct timespec *out)
{
    static int64_t last;
    if ((id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_RAW) || loop == NULL) {
        return (int)syscall(SYS_clock_gettime, id, out);
    }
    int64_t now = loop_now(loop).us;
    bool same = last >= now && last < now + USEC_PER_S;
    last = same ? last + 1 : now;
    *out = (struct timespec){.tv_sec = last / USEC_PER_S, .tv_nsec = last % USEC_PER_S * 1000};
    return 0;
}

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
    if (connect_errno != 0) {
        errno = connect_errno;
        return -1;
    }
    const struct sockaddr *plain;
    memcpy(&plain, &to, sizeof plain); /* a union for gcc, a pointer for others */
    return (int)syscall(SYS_connect, fd, plain, len);
}

/* Between two writes of libcurl's the server answers one whose request it has in part, and leaves. */
static struct call *leaves_at_send;

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    struct call *c = leaves_at_send;
    bool of_peer = false;
    for (size_t i = 0; i < PEERS_MOST; i++) {
        of_peer = of_peer || peers[i].fd == fd;
    }
    if (c != NULL && !of_peer) {
        leaves_at_send = NULL;
        answer_and_leave(c);
    }
    return sendto(fd, data, len, flags, NULL, 0);
}

static bool add_fails; /* libcurl has no memory for the next transfer */

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    static CURLMcode (*real)(CURLM *, CURL *);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_add_handle");
    bool fails = add_fails;
    add_fails = false;
    memory_refused += fails ? 1 : 0;
    return fails ? CURLM_OUT_OF_MEMORY : real(multi, easy);
}

/* Buffers of the test have no bound. */
static bool memory_counts(const struct buf *b, size_t len)
{
    (void)len;
    return b->max != SIZE_MAX;
}

static int lookups; /* of the server's name */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real);
    lookups++;
    return real(strcmp(node, "server.test") == 0 ? "127.0.0.1" : node, service, hints, out);
}

/* Names are found, and what is known of them is taken over. */
static void find_names(void)
{
    resolvers_run();
    fake_loop_settle(loop);
}

/* ---- the callers ---- */

static struct upstream_pool *pool;
static char scratch[BODY_LARGE];
static int named_calls; /* in all runs, as the lookups */

static void start_call(void);

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t length)
{
    struct call *c = ctx;
    (void)reason;
    require(c->call != NULL && c->heads == 0 && (status == 200 || status == 204 || status == 408));
    for (size_t i = 0; i < count; i++) {
        require(http_is_one_line(headers[i].name) && http_is_one_line(headers[i].value));
    }
    c->heads++;
    c->announced = length;
    if (c->more_at_head) {
        start_call();
    }
    for (size_t i = 0; i < call_count && c->abort_others; i++) {
        if (&calls[i] != c && calls[i].call != NULL) {
            upstream_abort(calls[i].call);
            calls[i].call = NULL;
        }
    }
    if (c->abort_at_head) {
        upstream_abort(c->call);
        c->call = NULL;
    }
}

static bool on_data(void *ctx, struct span piece)
{
    struct call *c = ctx;
    require(c->call != NULL && c->heads == 1 && piece.len > 0 && c->body != BODY_HEAD);
    bool packed = c->framing == PACKED || c->framing == LARGE;
    require(packed || is_of(number_of(c), c->got, piece));
    c->got += piece.len;
    require(!c->decode || c->got <= UPSTREAM_MAX_DECODED);
    if (c->abort_at_data) {
        upstream_abort(c->call);
        c->call = NULL;
    }
    return !c->hold;
}

static void on_body_room(void *ctx)
{
    struct call *c = ctx;
    require(c->call != NULL && c->full);
    c->full = false;
    if (c->reset_at_room) {
        answer_and_leave(c);
    } else if (c->abort_at_room) {
        upstream_abort(c->call);
        c->call = NULL;
    }
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct call *c = ctx;
    require(c->call != NULL && c->dones == 0 && report->got_head == (c->heads == 1));
    require(report->result == UPSTREAM_DONE || report->why[0] != '\0');
    require(strstr(report->why, "://") == NULL);
    require(!report->no_memory || (memory_refused > 0 && report->result != UPSTREAM_DONE));
    require(!c->refused || report->no_memory);
    bool unreadable = strstr(report->why, "unknown transfer encoding") != NULL;
    require(!unreadable || c->odd > 1); /* the server means now this, now that */
    c->dones++;
    c->call = NULL;
    c->report = *report;
    if (report->result != UPSTREAM_DONE) {
        require(report->result == UPSTREAM_BROKE || !report->got_head);
        return;
    }
    bool bodiless = c->body == BODY_HEAD || c->framing == EMPTY;
    require(c->heads == 1 && c->arrivals > 0);
    require(bodiless || c->sent_whole || report->close_delimited);
    bool packed = c->framing == PACKED || c->framing == LARGE;
    require(bodiless ? c->got == 0 : packed || c->got == c->answer);
    bool decoded = !bodiless && c->decode && c->odd == 0;
    require(!decoded || c->framing != PACKED || c->got == 2);
    require(!decoded || c->framing != LARGE); /* it is cut at the bound */
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = on_body_room, .on_done = on_done};

/* Where a call goes to. */
static const struct upstream_settings *destination(unsigned which)
{
    static char url[] = "http://localhost", empty[] = "", host[] = "localhost",
                called[] = "server.test", by_name[64], tls[] = "https://localhost",
                bad[] = "http://[", no_file[] = "/dev/null", tcp[64];
    static struct upstream_settings all[DESTINATIONS];
    struct upstream_settings *out = &all[which];
    *out = upstream_at(url, host, path);
    switch (which) {
    case 1:
        out->unix_socket = gone;
        break;
    case 2:
        out->unix_socket = dead;
        break;
    case 3: { /* its queue is full: connecting hangs */
        struct sockaddr_in in;
        socklen_t len = sizeof in;
        require(getsockname(mute, (struct sockaddr *)&in, &len) == 0);
        snprintf(tcp, sizeof tcp, "http://127.0.0.1:%d", ntohs(in.sin_port));
        out->origin = tcp;
        out->unix_socket = empty;
        break;
    }
    case 4:
        out->origin = tls;
        out->tls = true;
        out->ca_file = no_file;
        break;
    case 5:
        out->origin = bad;
        break;
    case BY_NAME: {
        struct sockaddr_in in;
        socklen_t len = sizeof in;
        require(getsockname(named, (struct sockaddr *)&in, &len) == 0);
        snprintf(by_name, sizeof by_name, "http://server.test:%d", ntohs(in.sin_port));
        out->origin = by_name;
        out->host = called;
        out->unix_socket = empty;
        break;
    }
    default:
        break;
    }
    return out;
}

static void start_call(void)
{
    static const int errnums[] = {
        0, 0, 0, 0, 0, ECONNREFUSED, EPERM, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, ECONNRESET, EIO};
    static const size_t lengths[] = {0, 5, 1000, 60 * 1024, 70 * 1024, BODY_LARGE};
    size_t open = 0;
    for (size_t i = 0; i < call_count; i++) {
        open += calls[i].call != NULL ? 1 : 0;
    }
    if (open == OPEN_MOST || call_count == CALLS_MOST) {
        return;
    }
    struct call *c = &calls[call_count];
    char target[32];
    snprintf(target, sizeof target, "/call/%zu", call_count++);
    *c = (struct call){.body = (enum body)pick(BODIES), .announced = -1};
    c->length = c->body == BODY_HELD ? 9 : c->body == BODY_LONG ? BODY_LARGE : 0;
    c->length = c->body >= BODY_LENGTH && c->body != BODY_HEAD ? lengths[pick(6)] : c->length;
    c->decode = c->body <= BODY_LONG && pick(4) > 0;
    unsigned odd = pick(16);
    c->abort_at_head = odd == 0;
    c->abort_at_data = odd == 1;
    c->more_at_head = odd == 2;
    c->abort_others = odd == 4;
    c->abort_at_room = odd == 3;
    c->reset_at_room = odd >= 12;
    const struct http_header header = {SPAN("X-Number"), span_of(target)};
    unsigned to = pick(3) > 0 ? (pick(4) > 0 ? 0 : BY_NAME) : pick(DESTINATIONS);
    c->by_name = to == BY_NAME;
    bool holds = c->body == BODY_HELD || c->body == BODY_LONG;
    c->held = mem_new(holds ? c->length : 1);
    fill(c->held, number_of(c), 0, holds ? c->length : 0);
    struct upstream_request request = {
        .to = destination(to),
        .method = c->body == BODY_HEAD ? SPAN("HEAD") : SPAN("POST"),
        .target = span_of(target),
        .headers = &header,
        .header_count = 1,
        .body = span_make(c->held, holds ? c->length : 0),
        .stream_body = c->body == BODY_LENGTH || c->body == BODY_CHUNKED,
        .content_length = c->body == BODY_LENGTH ? (int64_t)c->length : -1,
        .no_body = c->body == BODY_NONE || c->body == BODY_HEAD,
        .decode = c->decode};
    connect_errno = errnums[pick(12)];
    unsigned shortage = pick(32);
    add_fails = shortage == 0;
    memory_left = shortage < 5 ? (int)shortage : memory_left;
    size_t refused = memory_refused;
    c->call = upstream_start(pool, &request, &events, c);
    c->refused = memory_refused > refused;
    named_calls += c->by_name ? 1 : 0;
}

/* The name of one in 16 is not found before the next move. */
static void begin_call(void)
{
    static struct loop_deferred stray = {.fn = stray_now};
    if (pick(6) == 0) {
        loop_defer(loop, &stray);
    }
    start_call();
    fake_loop_settle(loop);
    if (call_count % 16 != 3) {
        find_names();
    }
    connect_errno = 0;
}

/* One that is not over; NULL: there is none. */
static struct call *an_open_call(void)
{
    size_t from = pick(OPEN_MOST);
    for (size_t i = 0; i < call_count; i++) {
        struct call *c = &calls[(call_count - 1 - i + call_count - from % call_count) % call_count];
        if (c->call != NULL) {
            return c;
        }
    }
    return NULL;
}

static void move_call(void)
{
    struct call *c = an_open_call();
    if (c == NULL) {
        return;
    }
    bool streams = c->body == BODY_LENGTH || c->body == BODY_CHUNKED;
    size_t left = c->length - c->written;
    switch (pick(8)) {
    case 0:
    case 1:
    case 2:
        if (streams && !c->ended && !c->full && left > 0) {
            size_t n = pick(2) == 0 ? left : 1 + left * pick(200) / 256;
            fill(scratch, number_of(c), c->written, n);
            c->written += n;
            size_t more = c->body == BODY_LENGTH && n == left && n < BODY_LARGE ? pick(2) : 0;
            size_t refused = memory_refused;
            c->full = !upstream_body_write(c->call, span_make(scratch, n + more));
            c->refused = c->refused || memory_refused > refused;
        }
        break;
    case 3:
        if (streams && !c->ended && (left == 0 || pick(4) == 0)) {
            c->ended = true;
            upstream_body_end(c->call);
        }
        break;
    case 4:
        c->hold = true;
        break;
    case 5:
        c->hold = false;
        upstream_resume(c->call);
        break;
    case 6:
        fake_loop_settle(loop);
        break;
    default:
        if (pick(3) == 1) {
            leaves_at_send = c;
        } else if (pick(2) == 0) {
            upstream_abort(c->call);
            c->call = NULL;
        }
        break;
    }
}

/* ---- one run ---- */

static void begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    signal(SIGPIPE, SIG_IGN);
    require(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(gone, sizeof gone, "%s/gone", folder);
    snprintf(dead, sizeof dead, "%s/dead", folder);
    for (int i = 0; i < 2; i++) {
        snprintf(address.sun_path, sizeof address.sun_path, "%s", i == 0 ? dead : path);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        require(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
        require(i == 1 || close(listener) == 0);
    }
    require(listen(listener, PEERS_MOST) == 0);
    named = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(named >= 0 && bind(named, (struct sockaddr *)&in, sizeof in) == 0);
    require(listen(named, PEERS_MOST) == 0);
    mute = socket(AF_INET, SOCK_STREAM, 0);
    require(mute >= 0 && bind(mute, (struct sockaddr *)&in, sizeof in) == 0);
    require(listen(mute, 0) == 0 && getsockname(mute, (struct sockaddr *)&in, &len) == 0);
    mute_filled = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(mute_filled, (struct sockaddr *)&in, sizeof in) == 0);
    for (size_t i = 0; i < PEERS_MOST; i++) {
        peers[i].fd = -1;
    }
    for (size_t i = 0; i < PATTERN; i++) {
        pattern[i] = (char)('A' + i / 11 % 50);
    }
    loop = loop_create();
}

static void finish(void)
{
    unlink(path);
    unlink(dead);
    rmdir(folder);
}

static void close_peers(void)
{
    find_names();
    accept_all();
    for (size_t i = 0; i < PEERS_MOST; i++) {
        if (peers[i].fd >= 0) {
            peer_close(&peers[i]);
        }
    }
    fake_loop_settle(loop);
}

/* The callers ask for all, the server is gone: each call comes to its end. */
static void end_all(void)
{
    for (size_t i = 0; i < call_count; i++) {
        struct call *c = &calls[i];
        bool streams = c->body == BODY_LENGTH || c->body == BODY_CHUNKED;
        c->hold = false;
        if (c->call != NULL && streams && !c->ended) {
            c->ended = true;
            upstream_body_end(c->call);
        }
        if (c->call != NULL) {
            upstream_resume(c->call);
        }
    }
    for (int i = 0; i < 8; i++) {
        close_peers();
        fake_loop_advance(loop, 6 * USEC_PER_S);
    }
    for (size_t i = 0; i < call_count; i++) {
        require(calls[i].call == NULL);
        free(calls[i].held);
    }
}

/* A code of libcurl's, with any text of its own: a phrase that ends. */
static void check_why(unsigned code, struct span text)
{
    struct upstream_call call = {.easy = curl_easy_init(), .head.final = code % 2 != 0};
    size_t n = text.len < sizeof call.error - 1 ? text.len : sizeof call.error - 1;
    require(call.easy != NULL);
    memcpy(call.error, text.ptr, n);
    enum upstream_result result = why_failed(&call, (CURLcode)(1 + code / 2 % (CURL_LAST - 1)));
    require(result != UPSTREAM_DONE && (result == UPSTREAM_BROKE || !call.head.final));
    require(call.why[0] != '\0' && memchr(call.why, '\0', sizeof call.why) != NULL);
    curl_easy_cleanup(call.easy);
}

/* Or libcurl wants to act at once so many times more. */
static void let_time_pass(void)
{
    unsigned how = pick(8);
    if (how == 7) {
        wishes_forced = pick(2) == 0 ? 5 : 60;
    } else {
        fake_loop_advance(loop, (usec_t)how * 900 * USEC_PER_MS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (loop == NULL) {
        log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        begin();
        atexit(finish);
    }
    if (size >= 2 && data[0] == UINT8_MAX) {
        check_why(data[1], span_make((const char *)data + 2, size - 2));
        return 0;
    }
    choices = data;
    choices_left = size;
    call_count = 0;
    large_sent = odd_sent = false;
    int before = dup(mute);
    wishes_loop = loop;
    wishes_forced = 0;
    memory_left = -1;
    memory_refused = 0;
    add_fails = false;
    leaves_at_send = NULL;
    pool = upstream_pool_create(loop);
    for (int i = 0; i < MOVES_MOST && choices_left > 0; i++) {
        unsigned what = pick(16);
        if (what < 3) {
            begin_call();
        } else if (what < 8) {
            move_call();
        } else if (what < 15) {
            move_peer();
        } else {
            let_time_pass();
        }
        if (what >= 3) {
            find_names();
        }
        fake_loop_settle(loop);
        wishes_check();
    }
    end_all();
    require(lookups <= 4 * named_calls); /* as often as a request may go out */
    upstream_pool_destroy(pool);
    close_peers();
    close(before);
    int after = dup(mute);
    require(after == before); /* no descriptor is left */
    close(after);
    return 0;
}
