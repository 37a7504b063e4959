/* transfer.c: what libcurl calls back during one transfer: header lines, data, the wish for more of
 * a streamed body, and the moment before a request goes out.
 *
 * Backpressure. Answer: when the receiver has had enough, the next piece is refused with PAUSE;
 * libcurl keeps that one piece (at most its 64 KB buffer) and stops reading. Request: when the
 * queue is empty, the read callback answers PAUSE until more is written.
 *
 * Sending again. libcurl sends a request again by itself when a reused connection dies silently.
 * transfer_send is called before each sending and refuses where that would be wrong: a byte of an
 * answer had come, or part of a streamed body is gone.
 *
 * Early answers. With an answer below 300 libcurl goes on sending the request after the answer is
 * complete, for as long as it takes; nobody needs that. It does not say when the answer is
 * complete, but it stops asking for the socket to be read: transfer_is_early.
 */
#include "path/upstream/upstream_priv.h"

#include <string.h>

static void give_head(struct upstream_call *call)
{
    struct answer_head *h = &call->head;
    struct http_header headers[UPSTREAM_MAX_HEADERS];
    size_t count = head_fields(h, headers);
    curl_off_t length = -1;
    if (h->length && !h->chunked) {
        curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    }
    struct span reason = span_make(h->text.data + h->reason, h->reason_len);
    if (h->reason_len == 0) {
        reason = SPAN_NONE;
    }
    call->events->on_head(call->ctx, h->status, reason, headers, count, (int64_t)length);
}

size_t transfer_header(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_call *call = arg;
    size_t n = size * count;
    if (call->aborted) {
        return 0;
    }
    call->answer_begun = true;
    switch (head_line(&call->head, span_make(data, n))) {
    case HEAD_MORE:
        return n;
    case HEAD_REFUSE:
        call->failed = "the head of the answer is too large";
        return 0;
    case HEAD_FINAL:
        break;
    }
    give_head(call);
    return call->aborted ? 0 : n;
}

size_t transfer_data(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_call *call = arg;
    size_t n = size * count;
    if (call->aborted) {
        return n + 1;
    }
    if (call->held) {
        call->recv_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (n == 0) {
        return 0;
    }
    bool more = call->events->on_data(call->ctx, span_make(data, n));
    if (call->aborted) {
        return n + 1; /* anything but n fails the transfer, and 0 of 0 would not */
    }
    call->held = !more;
    return n;
}

/* Never more than was announced: the server would take the rest for the next request. */
static size_t allowed(const struct upstream_call *call, size_t room)
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
    size_t n = allowed(call, size * count);
    if (n == 0) {
        return queue_dry(call);
    }
    memcpy(out, call->queue.data + call->queue_at, n);
    call->queue_at += n;
    call->taken += (int64_t)n;
    if (call->queue_at == call->queue.len) {
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

/* Only asked to begin anew; what was taken from the queue is gone. */
int transfer_seek(void *arg, curl_off_t offset, int origin)
{
    const struct upstream_call *call = arg;
    bool whole = call->taken == 0 && offset == 0 && origin == SEEK_SET;
    return whole ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

int transfer_send(void *arg, char *to_ip, char *from_ip, int to_port, int from_port)
{
    struct upstream_call *call = arg;
    (void)to_ip;
    (void)from_ip;
    (void)to_port;
    (void)from_port;
    if (call->aborted) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (call->attempts > 0 && (call->answer_begun || call->taken > 0)) {
        call->failed = "the connection broke before an answer came";
        return CURL_PREREQFUNC_ABORT;
    }
    long fresh = 0;
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &fresh);
    call->reused = fresh == 0;
    call->attempts++;
    return CURL_PREREQFUNC_OK;
}

bool transfer_is_early(const struct upstream_call *call)
{
    bool reading = call->recv_paused || (call->what & CURL_POLL_IN) != 0;
    bool sending = call->send_paused || (call->what & CURL_POLL_OUT) != 0;
    return call->head.final && !call->finished && !reading && sending;
}
