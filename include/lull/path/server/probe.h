/* probe.h: what is asked of model servers themselves: GET /api/version (is it Ollama?), else GET
 * /props (is it llama.cpp, and how many slots has it?). Asked when the upstream is first used, and
 * again after it could not be reached (it may be another one now); never more than once in ten
 * seconds, since each answer postpones llama.cpp's look at clients that left. A status of a gateway
 * (401, 403, 5xx) says nothing of the server: it is asked again, after 401 or 403 in ten minutes, or
 * when a request has a key and the probe had none. A probe ends after
 * two seconds: the server is mute then, and requests do not wait for later probes until one is
 * answered. Over https nothing is asked, nor where dialect and slots are set. Not counted among the
 * calls.
 *
 * An upstream whose url leads back to this lulld, over other proxies or not, is found by a mark: a
 * Via value (RFC 9110 7.6.3) with a random id of this process and the number of the upstream, on
 * probes and on the calls of tasks. Requests that pass through do not carry it, since nothing is
 * added to them: a loop of those is found by the probe that goes out beside them, or by one that
 * is sent when many requests began in a row and none ended.
 */
#ifndef LULL_PATH_SERVER_PROBE_H
#define LULL_PATH_SERVER_PROBE_H

#include "lull/base/list.h"
#include "lull/path/dialect/overrides.h"
#include "lull/path/server/server.h"

/* The upstream is about to be used: asks it where something is not known. Slots that it names go
 * into the record. auth: the Authorization that the request has there, which the probe has where the
 * upstream has no api_key; a gateway may ask for one. It is copied. */
void probe_use(struct servers *all, struct settings *settings, int upstream, struct span auth);
/* A request is about to pass through to it: probe_use(), if its slots are to be found out. When
 * many began in a row and none ended, as in a loop, it is asked whatever is known or set. */
void probe_pass(struct servers *all, struct settings *settings, int upstream, struct span auth);
/* A call did not reach it: it is asked again when it is next used. */
void probe_forget(struct server *s);
/* What answers there: as it said, else as its dialect is set or its answers show, else
 * SERVER_OPENAI. */
enum server_sort probe_sort(const struct server *s, const struct upstream_settings *to);
/* Whether it has said what it is. Over https it is never asked, and never known. */
bool probe_known(const struct server *s, const struct upstream_settings *to);

/* The value of Via for calls to it; valid as long as the record. */
struct span probe_via(struct server *s);
/* Whether a Via value has the mark of this process: the request came back. Notes and logs the
 * server through which it did: server->loops, until a probe finds that it does not any more. */
bool probe_is_back(struct servers *all, struct span via);

/* The caller's; zeroed at first. */
struct probe_waiter {
    struct list node; /* private; linked while it waits */
    void (*fn)(void *ctx);
    void *ctx;
};
/* probe_use(), and true if an answer is under way that is worth waiting for: then fn is called from
 * the loop when it is there, or when the probe ends, two seconds after it began. */
bool probe_wait(struct servers *all, struct settings *settings, int upstream, struct span auth,
                struct probe_waiter *w);
/* Waits no more. Does nothing if it does not wait. */
void probe_leave(struct probe_waiter *w);

#endif
