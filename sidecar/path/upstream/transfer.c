/* transfer.c: what libcurl calls back during one transfer: header lines, data, the wish for more of
 * a streamed body, and the moment before a request goes out.
 *
 * Backpressure. Answer: after on_data returned false, the next piece is refused with PAUSE;
 * libcurl keeps that one piece (at most its 64 KB buffer) and stops reading. Request: when the
 * queue is empty, the read callback answers PAUSE until more is written.
 *
 * Turns. libcurl reads on while the server is fast, up to 100 times its buffer, in one call. After
 * READ_MOST the next piece is refused in the same way, and reading goes on in a later turn.
 *
 * Sending again. libcurl sends a request again by itself when a reused connection dies silently.
 * transfer_send is called before each sending and refuses where that would be wrong: a byte of an
 * answer had come, or part of a streamed body is gone.
 *
 * Chunks. libcurl takes them off, but drops what lies behind the last one and keeps the
 * connection. So they come to us as they are. Where libcurl has to decode the answer, it takes
 * them off, and the connection is not kept.
 *
 * Encodings. Clients take a body whose encoding does not exist ("utf-8") as it is; libcurl, asked to
 * decode, refuses it, and has decided so before we see the header. Such a request is sent once more
 * without that wish, and its server gets the next ones without it, until it packs an answer all the
 * same: then the request is sent once more with it.
 *
 * Early answers. With an answer below 300 libcurl goes on sending the request after the answer is
 * complete, for as long as it takes, without use. It does not say when the answer is complete, but
 * it stops asking for the socket to be read: sockets_answer_is_early(). It does so at the end of the
 * connection, too: is_whole_early().
 */
#include "path/upstream/upstream_priv.h"

#include <string.h>

/* What is given in one turn: bytes, and PIECE_WORK for each piece, which costs about as much. */
enum { READ_MOST = 256 * 1024, PIECE_WORK = 128 };

static void give_head(struct upstream_call *call)
{
    struct answer_head *h = &call->head;
    struct http_header headers[UPSTREAM_MAX_HEADERS];
    size_t count = head_fields(h, call->decoding, headers);
    call->length = h->chunked || call->decoding ? -1 : h->content_length;
    call->given = true;
    struct span reason = SPAN_NONE;
    if (h->reason_len > 0) { /* else there may be no text at all */
        reason = span_make(h->text.data + h->reason, h->reason_len);
    }
    call->events->on_head(call->ctx, h->status, reason, headers, count, call->length);
}

/* On a connection that was idle: the server means the request that never came (RFC 9110, 15.5.9).
 */
static bool is_of_no_request(const struct upstream_call *call)
{
    return call->head.status == 408 && call->reused && !call->again;
}

/* Whether bytes behind the answer would be seen: by us behind the last chunk; by libcurl behind a
 * Content-Length, but not where it lies in TLS's own buffer; else where the socket had nothing but
 * the head. */
static bool end_is_seen(const struct upstream_call *call)
{
    if (call_has_no_body(call) || call->head.content_length == 0) {
        return !call->to->tls && call->head_came == call->head_used;
    }
    return call->unchunking || (call->head.length && !call->to->tls);
}

/* Errors are what servers send unasked: for a request that they gave up, or could not read. */
static bool may_be_kept(const struct upstream_call *call)
{
    return call->head.status < 400 && end_is_seen(call);
}

static void begin_body(struct upstream_call *call)
{
    const struct answer_head *h = &call->head;
    call->decoding = call->decode && h->encoded;
    call->unchunking = h->chunked && !h->coded && !call->decoding && !call_has_no_body(call);
    call->unchunked = false;
    call->length = -1;
    call->got = 0;
    call->chunks = (struct http_chunked){.lenient = true};
    if (!call->unchunking) {
        curl_easy_setopt(call->easy, CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    }
    if (!may_be_kept(call)) {
        curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
    }
}

/* Whether libcurl was asked to decode what it cannot, or was not asked and can. */
static bool is_misjudged(const struct upstream_call *call)
{
    const struct answer_head *h = &call->head;
    bool wrong = call->decode ? h->unknown : h->encoded && !h->unknown;
    return wrong && call->no_encoding && call->judged < 2 && call_is_repeatable(call) &&
           !call_has_no_body(call);
}

size_t transfer_header(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_call *call = arg;
    size_t n = size * count;
    if (call->aborted) {
        return 0;
    }
    call->answer_begun = true;
    call->head_used += call->head.final ? 0 : n;
    switch (head_line(&call->head, span_make(data, n))) {
    case HEAD_MORE:
        return n;
    case HEAD_REFUSE:
        call->failed = "the head of the answer is too large";
        return 0;
    case HEAD_SHORT:
        call->failed = "no memory for the head of the answer";
        call->no_memory = true;
        return 0;
    case HEAD_SWITCH: /* libcurl would hand out what follows as an answer's body */
        call->failed = "the server switched protocols, which no request asks for";
        return 0;
    case HEAD_FINAL:
        break;
    }
    if (is_of_no_request(call)) {
        call->late = true;
        return 0;
    }
    if (is_misjudged(call)) {
        call->misjudged = true;
        return 0;
    }
    begin_body(call);
    give_head(call);
    return call->aborted ? 0 : n;
}

static bool is_within_bounds(struct upstream_call *call, size_t n)
{
    call->decoded += call->decoding ? n : 0;
    if (call->decoded > UPSTREAM_MAX_DECODED) {
        call->failed = "the answer is too large once it is decoded";
    }
    return call->failed == NULL;
}

/* Gives a piece to the caller. false: it ends the transfer. */
static bool give_piece(struct upstream_call *call, struct span piece)
{
    call->given_work += piece.len + PIECE_WORK;
    call->held = !call->events->on_data(call->ctx, piece);
    return !call->aborted;
}

/* Whether the caller has enough, or others are to have their turn. These wait where a pause would leave
 * bytes on a connection that counts as idle. */
static bool must_pause(const struct upstream_call *call)
{
    return call->held || (call->given_work >= READ_MOST && sockets_are_known(call));
}

static size_t pause_reading(struct upstream_call *call, size_t taken)
{
    call->taken_of_piece = taken;
    call->recv_paused = true;
    if (!call->held) {
        loop_later(call->pool->loop, &call->work);
    }
    return CURL_WRITEFUNC_PAUSE;
}

/* Takes the chunks off; each comes to the caller as one piece. Where the caller has enough amid the
 * bytes, libcurl keeps them all, and what was taken is skipped when they come again. Bytes behind
 * the last chunk end the connection. Anything but n, as what is returned, fails the transfer. */
static size_t give_chunks(struct upstream_call *call, struct span bytes)
{
    struct span body = SPAN_NONE;
    size_t at = call->taken_of_piece, used = 0;
    while (at < bytes.len && !call->unchunked) {
        if (must_pause(call)) {
            return pause_reading(call, at);
        }
        enum http_chunk got =
            http_chunked_feed(&call->chunks, bytes.ptr + at, bytes.len - at, &used, &body);
        at += used;
        call->given_work += got == HTTP_CHUNK_DATA ? used - body.len : used;
        call->unchunked = got == HTTP_CHUNK_END;
        if (got == HTTP_CHUNK_ERROR) {
            call->failed = "the answer has malformed chunks";
            return bytes.len + 1;
        }
        call->follows = bytes.len - at > strlen("\r\n"); /* which ends this chunk */
        if (got == HTTP_CHUNK_DATA && !give_piece(call, body)) {
            return bytes.len + 1;
        }
    }
    if (at < bytes.len) {
        curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
        origin_distrust(call->pool, call->origin);
    }
    call->taken_of_piece = 0;
    return bytes.len;
}

size_t transfer_data(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_call *call = arg;
    size_t n = size * count;
    if (call->aborted || !call->head.final) {
        return n + 1;
    }
    if (must_pause(call)) {
        return pause_reading(call, call->taken_of_piece);
    }
    if (n == 0) {
        return 0;
    }
    if (call->unchunking) {
        return give_chunks(call, span_make(data, n));
    }
    call->got += (int64_t)n;
    /* anything but n fails the transfer, and 0 of 0 would not */
    return is_within_bounds(call, n) && give_piece(call, span_make(data, n)) ? n : n + 1;
}

static void give_unread_body(struct upstream_call *call, struct span body)
{
    if (call->unchunking) {
        while (give_chunks(call, body) == CURL_WRITEFUNC_PAUSE) {
            call->held = false; /* it is a little, and here already */
            call->given_work = 0;
        }
    } else if (call->length > 0 && body.len > 0) {
        size_t n = body.len < (uint64_t)call->length ? body.len : (size_t)call->length;
        call->got = (int64_t)n;
        (void)give_piece(call, span_make(body.ptr, n));
    }
}

void transfer_unread(struct upstream_call *call)
{
    struct span unread = buf_span(&call->unread);
    size_t at = 0;
    while (!call->head.final) {
        size_t lf = span_find(unread, SPAN("\n"), at);
        enum head_step step = lf == SIZE_MAX
                                  ? HEAD_REFUSE
                                  : head_line(&call->head, span_make(unread.ptr + at, lf + 1 - at));
        if (step == HEAD_REFUSE || step == HEAD_SWITCH) {
            return;
        }
        at = lf + 1;
    }
    if (is_misjudged(call)) {
        call->misjudged = true;
        return;
    }
    begin_body(call);
    if (call->decoding) {
        call->failed = "the connection broke while the request was being sent";
        return;
    }
    give_head(call);
    if (!call->aborted && !call_has_no_body(call)) {
        give_unread_body(call, span_make(unread.ptr + at, unread.len - at));
    }
}

/* Never more than was announced: the server would take the rest for the next request. */
static size_t sendable(const struct upstream_call *call, size_t room)
{
    size_t n = call->queue.len - call->queue_at;
    n = n < room ? n : room;
    if (call->stream_length >= 0 && (int64_t)n > call->stream_length - call->taken) {
        n = (size_t)(call->stream_length - call->taken);
    }
    return n;
}

static size_t queue_dry(struct upstream_call *call)
{
    if (!call->body_ended) {
        call->send_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    if (call->stream_length >= 0 && call->taken < call->stream_length) {
        call->failed = "the request ended early";
        return CURL_READFUNC_ABORT;
    }
    return 0;
}

size_t transfer_read(char *out, size_t size, size_t count, void *arg)
{
    struct upstream_call *call = arg;
    if (call->aborted) {
        return CURL_READFUNC_ABORT;
    }
    if (call->stream_length >= 0 && call->taken == call->stream_length) {
        return 0;
    }
    size_t n = sendable(call, size * count);
    if (n == 0) {
        return queue_dry(call);
    }
    memcpy(out, call->queue.data + call->queue_at, n);
    call->queue_at += n;
    call->taken += (int64_t)n;
    if (call->queue_at == call->queue.len && !call->keeps_body) {
        call->queue_at = 0;
        if (call->queue.cap > (size_t)UPSTREAM_QUEUE_HIGH * 4) {
            buf_free(&call->queue);
        } else {
            buf_clear(&call->queue);
        }
    }
    if (call->want_room && call->queue.len - call->queue_at <= UPSTREAM_QUEUE_LOW) {
        call->want_room = false;
        if (call->events->on_body_room != NULL) {
            call->events->on_body_room(call->ctx);
        }
    }
    return call->aborted ? CURL_READFUNC_ABORT : n;
}

/* libcurl only asks to begin again; what was taken from the queue is gone unless it is kept. */
int transfer_seek(void *arg, curl_off_t offset, int origin)
{
    struct upstream_call *call = arg;
    bool begins = offset == 0 && origin == SEEK_SET;
    if (!begins || (call->taken > 0 && !call->keeps_body)) {
        return CURL_SEEKFUNC_FAIL;
    }
    call->queue_at = 0;
    call->taken = 0;
    return CURL_SEEKFUNC_OK;
}

int transfer_send(void *arg, char *to_ip, char *from_ip, int to_port, int from_port)
{
    struct upstream_call *call = arg;
    (void)to_ip;
    (void)from_ip;
    (void)to_port;
    if (call->aborted) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (call->attempts > 0 && (call->answer_begun || (call->taken > 0 && !call->keeps_body))) {
        call->failed = "the connection broke before an answer came";
        return CURL_PREREQFUNC_ABORT;
    }
    long fresh = 0;
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &fresh);
    call->reused = fresh == 0;
    call->first_on = !call->reused;
    call->attempts++;
    call->head_came = 0;
    call->head_used = 0;
    bool numbered = call->to->unix_socket[0] == '\0';
    if (call->reused && !sockets_are_silent(call, numbered ? from_port : 0)) {
        call->late = true;
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}
