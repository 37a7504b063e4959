/* explain.h: what would be done with a request, as plain values: asked over the control socket,
 * answered by engine_explain().
 */
#ifndef LULL_PATH_EXCHANGE_EXPLAIN_H
#define LULL_PATH_EXCHANGE_EXPLAIN_H

#include "lull/base/clock.h"
#include "lull/http/request.h"
#include "lull/path/fingerprint/fingerprint.h"

/* A request as a client would POST it. */
struct explain_request {
    struct span path;  /* may begin with /@NAME */
    struct span query; /* without '?' */
    const struct http_header *headers;
    size_t header_count; /* those over HTTP_MAX_HEADERS are left out */
    struct span body;
    const struct scope *scope; /* stands in for that of the headers; NULL: those decide */
};

/* A missed request that is kept. Its memory is valid until the engine handles the next request. */
struct explain_miss {
    wall_t at;
    wall_t expired; /* when its stored answer had expired; 0: there was none */
    struct explain_request request;
};

/* Static texts and copies: valid without the request. */
struct explanation {
    const char *refused; /* name of the error that it would get; NULL: none */
    const char *cls;     /* "task", "chat" or "other" */
    const char *why;     /* one phrase: what made it that */
    char kind[65];       /* of a task; else "" */
    char upstream[65], model[256];
    enum endpoint endpoint;
    char fallback[65]; /* of a miss: the upstream that is asked in place of that one; "": none */
    char scope[SCOPE_SHOWN + 1], fingerprint[33]; /* "": it has none */
    const char
        *decision; /* "pass", "bypass", "switched-off", "hit", "pending", "type-through", "miss" */
    const char *detail;            /* of a bypass, or of a miss that is not looked up; NULL: none */
    int64_t ttl_s;                 /* of a hit; -1: none */
    usec_t window;                 /* of an autocomplete that misses: its debounce; -1: else */
    const char *waits;             /* of a miss: what it would wait for at the gate; "": nothing */
    bool may_prefix;               /* of a miss: the kind may be asked behind its conversation */
    enum prefix_reason prefix_not; /* why it would not be; NONE: it would */
    bool joins;                    /* an identical request is being answered: shares its call */
    bool follows; /* a call for shorter text is under way and still fits: takes its remainder */
};

#endif
