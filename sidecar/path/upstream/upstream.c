/* upstream.c: the life of one call: begun, fed, paused, aborted, over.
 *
 *   upstream_start ──▶ attached ──▶ call_over ──▶ call_end: on_done ──▶ freed
 *                       ▲   │            │
 *                       └───┘            └──▶ attached again: the connection was of no use
 *                 call_work: paused        (call_retry_fresh), or the address (look_up_again)
 *                 directions go on
 *
 * Two rules make it safe. libcurl is not entered from inside its callbacks, and our caller is not
 * called back from inside a function of upstream.h. What would break one of them is noted in the
 * call and done by call_work at the end of the turn. A call is freed in one place (call_free),
 * reached from call_over, from call_work, or from upstream_abort outside libcurl.
 *
 * Removing an unfinished transfer from libcurl closes its connection at once. An abort needs that:
 * model servers notice only a client whose connection is closed.
 */
#include "path/upstream/upstream_priv.h"

#include <stdlib.h>

/* Only a caller that ignores what upstream_body_write returns reaches it. */
static const size_t MAX_QUEUE = (size_t)1 << 30;

/* Ends the call at the end of the turn. */
static void call_short(struct upstream_call *call, const char *why)
{
    call->failed = why;
    call->no_memory = true;
    call_defer(call);
}

static void call_attach(struct upstream_call *call)
{
    /* its callbacks here are those of the pool (timer, sockets), never the caller's */
    call->pool->in_curl++;
    call->first_on = false;
    call->no_socket = false;
    CURLMcode code = curl_multi_add_handle(call->pool->multi, call->easy);
    call->pool->in_curl--;
    call->attached = code == CURLM_OK;
    if (!call->attached) {
        call->broke = true;
        call_short(call, "no memory for the request");
    }
}

static void call_detach(struct upstream_call *call)
{
    if (call->attached) {
        call->pool->in_curl++;
        curl_multi_remove_handle(call->pool->multi, call->easy);
        call->pool->in_curl--;
        call->attached = false;
        sockets_release(call);
    }
}

static void call_free(struct upstream_call *call)
{
    struct upstream_pool *pool = call->pool;
    call_detach(call);
    if (call->work.waiting) {
        loop_defer_cancel(pool->loop, &call->work);
    }
    pool_give_easy(pool, call->easy, !call->not_set && !call->broke);
    buf_free(&call->text);
    buf_free(&call->queue);
    buf_free(&call->unread);
    head_free(&call->head);
    origin_url_give(call->url);
    free(call->lines);
    free(call);
    pool->calls--;
}

static void call_end(struct upstream_call *call, enum upstream_result result)
{
    const struct answer_head *h = &call->head;
    struct upstream_report report = {
        .result = result,
        .why = result == UPSTREAM_DONE ? "done" : call->why,
        .no_memory = result != UPSTREAM_DONE && call->no_memory,
        .got_head = call->given,
        .close_delimited = call->given && !h->chunked && !h->length && !call_has_no_body(call),
    };
    call->answered = sockets_connection(call);
    call_detach(call);
    call->finished = true; /* an abort from inside on_done finds nothing to do */
    call->events->on_done(call->ctx, &report);
    call_free(call);
}

/* Gives the connection up and sends the request on a fresh one. Not inside libcurl. */
static void call_retry_fresh(struct upstream_call *call)
{
    call->again = true;
    call_detach(call);
    head_free(&call->head);
    head_begin(&call->head);
    call->length = -1;
    call->late = false;
    call->reused = false;
    call->answer_begun = false;
    call->what = CURL_POLL_NONE;
    call->send_paused = false;
    call->queue_at = 0;
    call->taken = 0;
    buf_free(&call->unread);
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L);
    call_attach(call);
}

/* libcurl sends again when a reused connection ends while it reads, not when it breaks while a long
 * body is being written, nor where the bytes on it are not an answer. The rule is the same: nothing
 * of an answer came, and the body is still there. */
static bool may_retry_fresh(const struct upstream_call *call, CURLcode code)
{
    bool died = code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR;
    bool junk = (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY) &&
                call->head.status == 0;
    bool unanswered = call->late || junk || (died && !call->answer_begun);
    return unanswered && call->reused && !call->again && call_is_repeatable(call);
}

/* Once more: what was to be decoded is taken as it comes, or the other way round. */
static void call_retry_decoding(struct upstream_call *call)
{
    call->misjudged = false;
    call->judged++;
    call->decode = !call->decode;
    origin_take_plain(call->pool, call->origin, !call->decode);
    curl_easy_setopt(call->easy, CURLOPT_ACCEPT_ENCODING, call->decode ? "identity" : NULL);
    call_retry_fresh(call);
}

/* The server may have moved since its name was looked up. */
static bool may_look_up_again(const struct upstream_call *call, CURLcode code)
{
    return call->remembered && call->attempts == 0 &&
           (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT);
}

static void look_up_again(struct upstream_call *call)
{
    call->remembered = false;
    call->origin->resolved = (mono_t){0}; /* without a cache time libcurl keeps nothing */
    call_detach(call);
    curl_easy_setopt(call->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    call_attach(call);
}

/* Whether the end of the answer has come by what it says itself. */
static bool has_ended(const struct upstream_call *call)
{
    return call->head.final && call->failed == NULL && !call->late &&
           (call_has_no_body(call) || (call->unchunking && call->unchunked) ||
            (call->length >= 0 && call->got >= call->length));
}

/* libcurl reads no more while the request is still being sent: the answer has come to its end, or
 * only the connection has. Where libcurl decodes, what came is known by a length alone. */
static bool is_whole_early(const struct upstream_call *call)
{
    const struct answer_head *h = &call->head;
    curl_off_t came = 0;
    if (has_ended(call) || (!h->chunked && !h->length)) {
        return true;
    }
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &came);
    return call->decoding && !h->chunked && came >= h->content_length;
}

static void call_over(struct upstream_call *call, CURLcode code)
{
    call->broke = call->broke || code != CURLE_OK;
    if (code == CURLE_SEND_ERROR && call->unread.len > 0 && !call->aborted) {
        call->pool->in_curl++; /* as there: an abort by a callback waits until it has returned */
        transfer_unread(call);
        call->pool->in_curl--;
    }
    bool whole = call->head.final && (!call->unchunking || call->unchunked);
    if (call->aborted) {
        call_free(call);
    } else if ((code == CURLE_OK && whole) || has_ended(call)) {
        call_end(call, UPSTREAM_DONE); /* even if the rest of the request could not be sent */
    } else if (call->misjudged) {
        call_retry_decoding(call);
    } else if (call->failed == NULL && may_retry_fresh(call, code)) {
        call_retry_fresh(call);
    } else if (call->failed == NULL && may_look_up_again(call, code)) {
        look_up_again(call);
    } else {
        CURLcode unended = call->head.final ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING;
        call_end(call, why_failed(call, code == CURLE_OK ? unended : code));
    }
}

/* Lets the directions go on that may. curl_easy_pause() hands out the kept piece of the answer. */
static CURLcode call_unpause(struct upstream_call *call)
{
    bool recv = call->recv_paused && !call->held;
    bool send = call->send_paused && (call->queue.len > call->queue_at || call->body_ended);
    if (!recv && !send) {
        return CURLE_OK;
    }
    call->recv_paused = call->recv_paused && !recv;
    call->given_work = recv ? 0 : call->given_work;
    call->send_paused = call->send_paused && !send;
    int bits = (call->recv_paused ? CURLPAUSE_RECV : 0) | (call->send_paused ? CURLPAUSE_SEND : 0);
    call->pool->in_curl++;
    CURLcode code = curl_easy_pause(call->easy, bits);
    call->pool->in_curl--;
    return code;
}

static void call_work(void *ctx)
{
    struct upstream_call *call = ctx;
    if (call->aborted) {
        call_free(call);
        return;
    }
    if (call->failed != NULL) {
        call_end(call, why_failed(call, CURLE_FAILED_INIT));
        return;
    }
    if (!call->attached) {
        call_attach(call);
        return;
    }
    if (call->late) {
        call_retry_fresh(call);
        return;
    }
    CURLcode code = call_unpause(call);
    if (call->aborted) { /* by a callback inside: libcurl does not end the transfer by itself */
        call_free(call);
    } else if (code != CURLE_OK) {
        call_over(call, code);
    } else if (sockets_answer_is_early(call)) {
        call_end(call, is_whole_early(call) ? UPSTREAM_DONE : why_failed(call, CURLE_PARTIAL_FILE));
    }
}

struct upstream_pool *upstream_pool_create(struct loop *loop)
{
    static const struct pool_events events = {.over = call_over, .late = call_retry_fresh};
    return pool_create(loop, sockets_wanted, &events);
}

void upstream_pool_destroy(struct upstream_pool *pool)
{
    if (pool != NULL) {
        pool_destroy(pool);
    }
}

struct upstream_call *upstream_start(struct upstream_pool *pool, const struct upstream_request *req,
                                     const struct upstream_events *events, void *ctx)
{
    struct upstream_call *call = mem_new(sizeof *call);
    call->pool = pool;
    call->events = events;
    call->ctx = ctx;
    call->work = (struct loop_deferred){.fn = call_work, .ctx = call};
    call->easy = pool_take_easy(pool);
    buf_init(&call->queue, MAX_QUEUE);
    head_begin(&call->head);
    list_init(&call->socks);
    call->picked = CURL_SOCKET_BAD;
    call->answered = CURL_SOCKET_BAD;
    call->length = -1;
    pool->calls++;
    if (!call_setup(call, req)) {
        call_short(call, "no memory for the request");
    } else if (pool->in_curl > 0) {
        call_defer(call);
    } else {
        call_attach(call);
    }
    return call;
}

void upstream_abort(struct upstream_call *call)
{
    if (call->finished || call->aborted) {
        return;
    }
    call->aborted = true;
    if (call->pool->in_curl > 0) {
        call_defer(call);
    } else {
        call_free(call);
    }
}

void upstream_distrust_answer(struct upstream_call *call)
{
    sockets_distrust_answer(call->pool, call->answered);
}

bool upstream_more_follows(const struct upstream_call *call)
{
    return call->follows;
}

void upstream_resume(struct upstream_call *call)
{
    call->held = false;
    if (call->recv_paused) {
        call_defer(call);
    }
}

/* Frees the front of the queue once it is half of the whole: each byte moves at most once. */
static void queue_compact(struct upstream_call *call)
{
    if (!call->keeps_body && call->queue_at > 0 && call->queue_at >= call->queue.len / 2) {
        buf_consume(&call->queue, call->queue_at);
        call->queue_at = 0;
    }
}

bool upstream_body_write(struct upstream_call *call, struct span piece)
{
    if (call->aborted || call->finished || call->drop_body) {
        return true;
    }
    queue_compact(call);
    if (buf_append_span(&call->queue, piece) != ERR_OK) {
        call_short(call, "no memory for the request's body");
        return false;
    }
    if (call->send_paused) {
        call_defer(call);
    }
    call->want_room = call->queue.len - call->queue_at > UPSTREAM_QUEUE_HIGH;
    return !call->want_room;
}

void upstream_body_end(struct upstream_call *call)
{
    call->body_ended = true;
    if (call->send_paused && !call->aborted && !call->finished) {
        call_defer(call);
    }
}
