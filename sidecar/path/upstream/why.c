/* why.c: libcurl's codes as our three results, and as a phrase that a person understands. The only
 * place that knows the codes. No phrase holds a URL: it could carry a password.
 */
#include "path/upstream/upstream_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set_why(struct upstream_call *call, const char *text)
{
    snprintf(call->why, sizeof call->why, "%s", text);
}

static const char *errno_phrase(int errnum)
{
    switch (errnum) {
    case ECONNREFUSED:
        return "connection refused";
    case ENOENT:
        return "the socket does not exist";
    case EACCES:
    case EPERM:
        return "permission denied";
    case EHOSTUNREACH:
        return "no route to the host";
    case ENETUNREACH:
        return "the network is unreachable";
    case ECONNRESET:
        return "connection reset";
    case ETIMEDOUT:
        return "the connection timed out";
    default:
        return NULL;
    }
}

static const char *system_phrase(struct upstream_call *call, const char *otherwise)
{
    long errnum = 0;
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &errnum);
    const char *text = errno_phrase((int)errnum);
    return text == NULL ? otherwise : text;
}

static const char NO_TLS[] = "wrong version number";

/* libcurl's own text about a certificate is good ("self-signed certificate"); it names hosts at
 * most. */
static void set_why_tls(struct upstream_call *call)
{
    const char *text = call->error;
    static const char *const lead[] = {"SSL certificate problem: ", "SSL: "};
    for (size_t i = 0; i < sizeof lead / sizeof lead[0]; i++) {
        if (strncmp(text, lead[i], strlen(lead[i])) == 0) {
            text += strlen(lead[i]);
        }
    }
    /* OpenSSL's words for what is no TLS at all */
    if (strstr(text, NO_TLS) != NULL) {
        set_why(call, "no TLS there; if it speaks plain HTTP, write http:// in the url");
        return;
    }
    snprintf(call->why, sizeof call->why, "TLS refused: %.180s",
             text[0] == '\0' ? "no common ground" : text);
}

static bool set_why_unreachable(struct upstream_call *call, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        set_why(call, "name not found");
        return true;
    case CURLE_COULDNT_CONNECT:
        set_why(call, system_phrase(call, "no connection"));
        return true;
    case CURLE_OPERATION_TIMEDOUT: /* the only time limit that libcurl has from us */
        set_why(call, "no connection within connect_timeout");
        return true;
    case CURLE_SSL_CACERT_BADFILE:
        set_why(call, "ca_file cannot be read");
        return true;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        set_why_tls(call);
        return true;
    case CURLE_URL_MALFORMAT:
    case CURLE_INTERFACE_FAILED:
        set_why(call, "the url cannot be used");
        return true;
    default:
        return false;
    }
}

static const char HEAD_TOO_LARGE[] = "the head of the answer is too large";

static const char *broken_phrase(struct upstream_call *call, CURLcode code)
{
    enum { TOO_LARGE = 100 }; /* CURLE_TOO_LARGE of libcurl 8.6; the headers may be older */
    if ((int)code == TOO_LARGE && !call->head.final) {
        return HEAD_TOO_LARGE;
    }
    switch (code) {
    case CURLE_GOT_NOTHING:
        return "the connection was closed without an answer";
    case CURLE_PARTIAL_FILE:
        return "the answer was cut off";
    case CURLE_RECV_ERROR:
        return system_phrase(call, "the connection broke");
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return "the connection broke while the request was being sent";
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return "the answer is not HTTP";
    case CURLE_BAD_CONTENT_ENCODING:
        return "the answer has an unknown transfer encoding";
    case CURLE_OUT_OF_MEMORY:
        return call->no_memory ? "out of memory" : HEAD_TOO_LARGE;
    default:
        return curl_easy_strerror(code);
    }
}

/* libcurl before 8.6 has one code for want of memory and for a line of a head over its bound. What
 * comes between the count of what waits and the reading is not counted: half the bound. */
static bool line_is_too_long(const struct upstream_call *call)
{
    return !call->head.final && call->head_came > call->head_used + CURL_MAX_HTTP_HEADER / 2;
}

/* libcurl 8 writes out a URL that was read for it before, and says so where it finds no memory. */
static bool is_url_without_memory(const struct upstream_call *call, CURLcode code)
{
    return code == CURLE_URL_MALFORMAT && call->url != NULL && call->url->parsed != NULL;
}

enum upstream_result why_failed(struct upstream_call *call, CURLcode code)
{
    code = is_url_without_memory(call, code) ? CURLE_OUT_OF_MEMORY : code;
    call->no_memory = call->no_memory || (call->failed == NULL && code == CURLE_OUT_OF_MEMORY &&
                                          !line_is_too_long(call));
    if (call->failed != NULL) {
        set_why(call, call->failed);
        return UPSTREAM_BROKE;
    }
    if (code == CURLE_COULDNT_CONNECT && call->no_socket) {
        call->no_memory = true;
        set_why(call, "no descriptor for the connection");
        return UPSTREAM_BROKE;
    }
    if (!call->head.final && set_why_unreachable(call, code)) {
        return UPSTREAM_UNREACHABLE;
    }
    set_why(call, broken_phrase(call, code));
    return UPSTREAM_BROKE;
}
