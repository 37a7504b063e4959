/* exchange.h: the data path: one client request, from its head to the last byte of its reply. The
 * engine is the handler of the port's HTTP server.
 *
 * A request takes the steps of steps.def, in order; sidecar/path/exchange/engine.c has them on one
 * page. Each step decides by a fact:
 *
 *   EXACT          the same bytes are in the cache ──────────▶ outcome hits
 *   TYPED_ON       an autocomplete in the form of an earlier ▶ type_through
 *   CLASSIFY       no task ──────────────────────────────────▶ forwarded: chat, other
 *   POLICY         Origin not allowed ───────────────────────▶ rejected
 *                  kind switched off ────────────────────────▶ switched_off
 *                  streamed, not readable, body not held ────▶ forwarded: bypassed
 *   NORMALIZED     the same content is in the cache ─────────▶ hits
 *   TYPE_THROUGH   a held suggestion goes on as was typed ───▶ type_through
 *   JOIN           an equal request is being answered ───────▶ collapsed
 *   DEBOUNCE       newer text comes first ───────────────────▶ superseded
 *   QUEUE          waits too long ───────────────────────────▶ busy, deadline
 *                  a chat makes it obsolete ─────────────────▶ obsolete, sent
 *                  its call ─────────────────────────────────▶ misses; stale after a failure
 *
 * A client that leaves first ends its exchange as abandoned. outcomes.def describes the outcomes.
 */
#ifndef LULL_PATH_EXCHANGE_EXCHANGE_H
#define LULL_PATH_EXCHANGE_EXCHANGE_H

#include "lull/base/loop.h"
#include "lull/config/figures.h"
#include "lull/config/settings.h"
#include "lull/http/server.h"
#include "lull/path/cache/cache.h"
#include "lull/path/exchange/explain.h"
#include "lull/path/flight/flight.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/upstream/upstream.h"

struct engine;
struct hints;

struct engine_parts {
    struct loop *loop;
    struct cache *cache;
    struct upstream_pool *pool;
    struct servers *servers;
    struct schedule *schedule; /* of these servers */
    struct figures *figures;
    struct budget *memory; /* that answers count in while they are put together, and what was read
                              of bodies; NULL: no bound */
};

/* Never NULL. Borrowed parts must outlive the engine; it takes a reference to settings. */
struct engine *engine_create(const struct engine_parts *parts, struct settings *settings);
/* No exchange may be open: destroy (or cut) the HTTP server first; nor a compare that uses its
 * flights. NULL is fine. */
void engine_destroy(struct engine *e);
/* Settings for requests that begin from now on; takes a reference. Requests that have begun keep
 * theirs. Refusals of servers are forgotten, and held suggestions are fitted to the new limit. */
void engine_configure(struct engine *e, struct settings *settings);

/* Forgets what is held of requests beside the cache: conversations, suggestions, missed requests. With
 * a purge or a removal, which keeps it from being used: here its memory goes too. */
void engine_forget(struct engine *e);

/* What would be done with a request now, by the same steps. Counts and changes nothing. Fills in out,
 * whose texts are copies or static. */
void engine_explain(struct engine *e, const struct explain_request *in, struct explanation *out);

/* The last request of that kind that the cache did not answer. Kept in memory only, while
 * keep_requests = yes and until an answer is removed or purged: one for each kind, bodies up to
 * 256 KB, 2 MB of them together. false: none is kept. */
bool engine_last_miss(struct engine *e, struct span kind, struct explain_miss *out);

/* The endpoint of a kept request, by the flags of its answer record. */
enum endpoint engine_entry_endpoint(unsigned flags);

/* The conversation that a kept request belongs to, which may have gone on since: among those of the
 * person whose scope begins with the request's (8 hex digits), at the server, path and model that
 * the request is to be sent to. spec: settings, kind, policy, upstream, endpoint, target, body,
 * model, scope. out->transcript: NULL, and out->why, or a reference that the caller gives back.
 * out->instruction is valid until the next call. */
void engine_find_behind(struct engine *e, const struct flight_spec *spec,
                        struct flight_behind *out);

/* The table of flights. Valid as long as the engine. */
struct flight_table *engine_flights(struct engine *e);

/* Requests that were refused for their head (Host, token, unknown upstream), or for a loop. */
int64_t engine_bad_requests(const struct engine *e);
/* How Open WebUI is set up, as far as its requests showed it (hints.h). Valid as long as the engine. */
const struct hints *engine_hints(const struct engine *e);

/* For that long (0: ends a pause) background tasks and completions that the cache cannot answer are
 * answered empty; all else goes on. Kinds without an empty answer go on too. */
void engine_pause(struct engine *e, usec_t duration);
/* What is left of a pause; 0: there is none. */
usec_t engine_paused(const struct engine *e);

/* The handler to give to edge_create, with the engine as ctx. */
extern const struct http_handler engine_handler;

#endif
