/* setup.c: one request as options of an easy handle.
 *
 * libcurl's defaults that alter a request are disabled: it adds Accept, Content-Type and Expect,
 * follows the environment's proxies, normalizes paths. The server gets what the caller gave: the
 * target byte for byte (CURLOPT_REQUEST_TARGET), the headers in their order and case. A header line
 * "Name:" means "remove" to libcurl; an empty value is written "Name;".
 *
 * All text of a request lives in one buffer of the call, and the header list in one array: libcurl
 * copies neither. A held body goes as POSTFIELDS (borrowed, sent together with the head where it is
 * small), a streamed one through UPLOAD and its read callback.
 */
#include "path/upstream/upstream_priv.h"

#include <stdlib.h>

static const size_t MAX_REQUEST_TEXT = (size_t)1024 * 1024;
/* libcurl allocates one for each transfer. A task's answer is short; a model that is pulled is not. */
static const long TASK_BUFFER = 16L * 1024, STREAM_BUFFER = 64L * 1024;

static const char IDENTITY[] = "Accept-Encoding: identity";

/* Headers that libcurl adds where there is none, and the lines that suppress them. Each line costs:
 * libcurl goes through all of them a dozen times. */
static const struct {
    struct span name;
    const char *line;
} suppressed[] = {{{"Accept", 6}, "Accept:"},
                  {{"Content-Type", 12}, "Content-Type:"},
                  {{"Expect", 6}, "Expect:"}};
enum {
    SUPPRESSED_COUNT = sizeof suppressed / sizeof suppressed[0],
    OWN_LINES = SUPPRESSED_COUNT + 4 + 8 /* task_header has 8 at most */
};

/* Everything below has room reserved: see text_size. */
static char *text_add(struct buf *text, const struct span *parts, size_t count)
{
    char *at = text->data + text->len;
    for (size_t i = 0; i < count; i++) {
        require_ok(buf_append_span(text, parts[i]));
    }
    require_ok(buf_append_char(text, '\0'));
    return at;
}

/* libcurl only reads a line. */
static void add_line(struct upstream_call *call, const char *line)
{
    struct curl_slist *node = &call->lines[call->line_count];
    node->data = (char *)(uintptr_t)line;
    node->next = NULL;
    if (call->line_count > 0) {
        call->lines[call->line_count - 1].next = node;
    }
    call->line_count++;
}

/* given: the headers of `suppressed` that there are, a bit each. */
static void add_header(struct upstream_call *call, const struct http_header *h, unsigned *given)
{
    const struct span line[] = {h->name, h->value.len == 0 ? SPAN(";") : SPAN(": "), h->value};
    add_line(call, text_add(&call->text, line, 3));
    for (size_t i = 0; i < SUPPRESSED_COUNT; i++) {
        *given |= span_eq_nocase(h->name, suppressed[i].name) ? 1U << i : 0;
    }
}

/* Lines of the configuration for this request. */
static struct span task_lines(const struct upstream_request *req)
{
    return req->task && req->to->task_header != NULL ? span_of(req->to->task_header) : SPAN_NONE;
}

/* A body of unknown length, for which libcurl writes the line itself. */
static bool is_streamed_chunked(const struct upstream_request *req)
{
    return req->stream_body && req->content_length < 0;
}

/* libcurl writes a Host of its own through its printf, and the head with it once more. So it gets none
 * ("Host:"), and the server the line behind, which stands first all the same: only Transfer-Encoding
 * would be written before it. */
static void add_headers(struct upstream_call *call, const struct upstream_request *req)
{
    struct span lines = task_lines(req);
    struct http_header own;
    unsigned given = 0;
    const struct span host[] = {SPAN("Host: "), span_of(req->to->host)};
    if (!is_streamed_chunked(req)) {
        add_line(call, "Host:");
    }
    add_line(call, text_add(&call->text, host, 2));
    if (req->chunked && !req->stream_body) {
        add_line(call, "Transfer-Encoding: chunked");
    }
    if (req->decode) {
        add_line(call, IDENTITY);
    }
    for (size_t i = 0; i < req->header_count; i++) {
        const struct http_header *h = &req->headers[i];
        bool one_line = http_is_one_line(h->name) && http_is_one_line(h->value);
        if (one_line && http_lines_field(lines, h->name).ptr == NULL) {
            add_header(call, h, &given); /* another one would end the line: never sent */
        }
    }
    while (http_lines_next(&lines, &own)) {
        add_header(call, &own, &given);
    }
    for (size_t i = 0; i < SUPPRESSED_COUNT; i++) {
        if ((given & 1U << i) == 0) {
            add_line(call, suppressed[i].line);
        }
    }
}

static size_t text_size(const struct upstream_request *req)
{
    size_t size = req->method.len + strlen(req->to->base_path) + req->target.len + 2;
    size += sizeof "Host: " + strlen(req->to->host);
    for (size_t i = 0; i < req->header_count; i++) {
        size += req->headers[i].name.len + req->headers[i].value.len + 3;
    }
    return size + task_lines(req).len;
}

/* An option that was not taken (no memory for its text) would send the request to another server,
 * with another method or another target: the call fails then. */
#define SET(call, option, value)                                                                   \
    ((call)->not_set = (call)->not_set || curl_easy_setopt((call)->easy, option, value) != CURLE_OK)

/* Requests go through a proxy by CONNECT, for http too: it learns the host and the port, and nothing
 * of the request. */
static void set_proxy(struct upstream_call *call, const char *proxy)
{
    SET(call, CURLOPT_PROXY, proxy);
    if (proxy[0] == '\0') {
        SET(call, CURLOPT_NOPROXY, "*");
        return;
    }
    SET(call, CURLOPT_NOPROXY, "");
    SET(call, CURLOPT_HTTPPROXYTUNNEL, 1L);
    SET(call, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* The URL as text, which is what errors name, and read: libcurl would read it and write it again for
 * each call. */
static void set_url(struct upstream_call *call, const struct upstream_settings *to)
{
    call->url = origin_url_take(call->origin);
    SET(call, CURLOPT_URL, to->origin);
    if (call->url->parsed != NULL) {
        SET(call, CURLOPT_CURLU, call->url->parsed);
    }
}

/* Beside a file of certificates libcurl reads its folder of the system's: other servers than those of
 * ca_file would be trusted. And with a folder it reads all of them for each connection, 30 ms of CPU for
 * Debian's 140, in which nothing else runs; of a file alone it keeps what it has read for a day.
 * ca_file is read each time, since a reload may follow a change of it. */
static void set_trust(struct upstream_call *call, const char *ca_file)
{
    if (ca_file[0] != '\0') {
        SET(call, CURLOPT_CAINFO, ca_file);
#if LIBCURL_VERSION_NUM >= 0x075700
        (void)curl_easy_setopt(call->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    }
    if (ca_file[0] != '\0' || call->pool->system_file) {
        (void)curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL); /* fails where there is none */
    }
}

static void set_connection(struct upstream_call *call, const struct upstream_settings *to)
{
    set_url(call, to);
    if (to->unix_socket[0] != '\0') {
        SET(call, CURLOPT_UNIX_SOCKET_PATH, to->unix_socket);
    }
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set_proxy(call, to->proxy);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    SET(call, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(call, CURLOPT_DNS_CACHE_TIMEOUT, (long)UPSTREAM_DNS_SECONDS);
    SET(call, CURLOPT_CONNECTTIMEOUT_MS, (long)(to->connect_timeout / USEC_PER_MS));
    SET(call, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(call, CURLOPT_SSL_VERIFYHOST, 2L);
    if (to->tls) {
        set_trust(call, to->ca_file);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    /* an aborted call must not wait for its name's look-up thread */
    SET(call, CURLOPT_QUICK_EXIT, 1L);
#endif
}

/* libcurl compares whole seconds of idle time with "older than": n - 1 there means "younger than n
 * seconds" here, and a server that closes after exactly n + 1 is not raced. A request that cannot
 * be sent twice goes out on a fresh connection. */
static void set_reuse(struct upstream_call *call)
{
    long seconds = (long)(call->to->keepalive / USEC_PER_S);
    bool keep = seconds >= 1 && !call->apart && !origin_is_distrusted(call->pool, call->origin);
    SET(call, CURLOPT_FRESH_CONNECT, keep && call_is_repeatable(call) ? 0L : 1L);
    SET(call, CURLOPT_FORBID_REUSE, keep ? 0L : 1L);
    SET(call, CURLOPT_MAXAGE_CONN, keep ? seconds - 1 : 0L);
    SET(call, CURLOPT_OPENSOCKETFUNCTION, sockets_open);
    SET(call, CURLOPT_OPENSOCKETDATA, call);
    SET(call, CURLOPT_CLOSESOCKETFUNCTION, sockets_closed);
    SET(call, CURLOPT_CLOSESOCKETDATA, call->pool);
}

/* The chunks come as they are, until the head says otherwise (transfer.c). Any text makes libcurl
 * decode all encodings that it knows; our own header line tells the server that none is wanted. */
static void set_decoding(struct upstream_call *call)
{
    SET(call, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    if (call->decode) {
        SET(call, CURLOPT_ACCEPT_ENCODING, "identity");
    }
}

static void set_callbacks(struct upstream_call *call)
{
    SET(call, CURLOPT_PRIVATE, call);
    SET(call, CURLOPT_ERRORBUFFER, call->error);
    SET(call, CURLOPT_BUFFERSIZE, call->decode ? TASK_BUFFER : STREAM_BUFFER);
    /* curl_easy_reset() leaves these at 0 where it finds no memory, and does not say so */
    SET(call, CURLOPT_UPLOAD_BUFFERSIZE, STREAM_BUFFER);
    SET(call, CURLOPT_TCP_NODELAY, 1L);
    SET(call, CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, (long)CURL_HET_DEFAULT);
    SET(call, CURLOPT_HEADERFUNCTION, transfer_header);
    SET(call, CURLOPT_HEADERDATA, call);
    SET(call, CURLOPT_WRITEFUNCTION, transfer_data);
    SET(call, CURLOPT_WRITEDATA, call);
    SET(call, CURLOPT_PREREQFUNCTION, transfer_send);
    SET(call, CURLOPT_PREREQDATA, call);
}

static void set_stream(struct upstream_call *call)
{
    SET(call, CURLOPT_UPLOAD, 1L);
    SET(call, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->stream_length);
    SET(call, CURLOPT_READFUNCTION, transfer_read);
    SET(call, CURLOPT_READDATA, call);
    SET(call, CURLOPT_SEEKFUNCTION, transfer_seek);
    SET(call, CURLOPT_SEEKDATA, call);
}

static void set_body(struct upstream_call *call, const struct upstream_request *req)
{
    if (span_eq(req->method, SPAN("HEAD"))) {
        SET(call, CURLOPT_NOBODY, 1L);
        call->drop_body = true;
    } else if (req->stream_body) {
        set_stream(call);
    } else if (req->no_body) {
        SET(call, CURLOPT_HTTPGET, 1L);
    } else {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.len);
        SET(call, CURLOPT_POSTFIELDS, req->body.len == 0 ? "" : req->body.ptr);
    }
}

bool call_setup(struct upstream_call *call, const struct upstream_request *req)
{
    buf_init(&call->text, MAX_REQUEST_TEXT);
    if (buf_reserve(&call->text, text_size(req)) != ERR_OK) {
        return false;
    }
    call->lines = calloc(req->header_count + OWN_LINES, sizeof *call->lines);
    if (call->lines == NULL) {
        return false;
    }
    call->to = req->to;
    call->urgent = req->urgent;
    call->apart = req->apart;
    call->origin = origin_of(call->pool, req->to);
    call->remembered = origin_is_remembered(call->pool, call->origin, req->to);
    call->no_encoding = req->decode;
    call->decode = req->decode && !origin_is_plain(call->pool, call->origin);
    call->body = req->body;
    call->stream = req->stream_body;
    call->stream_length = req->stream_body ? req->content_length : -1;
    call->keeps_body = call->stream_length >= 0 && call->stream_length <= UPSTREAM_KEPT_BODY;
    set_connection(call, req->to);
    set_reuse(call);
    set_decoding(call);
    set_callbacks(call);
    set_body(call, req);
    const struct span target[] = {span_of(req->to->base_path), req->target};
    SET(call, CURLOPT_CUSTOMREQUEST, text_add(&call->text, &req->method, 1));
    SET(call, CURLOPT_PATH_AS_IS, 1L);
    SET(call, CURLOPT_REQUEST_TARGET, text_add(&call->text, target, 2));
    add_headers(call, req);
    SET(call, CURLOPT_HTTPHEADER, call->lines);
    return !call->not_set;
}
