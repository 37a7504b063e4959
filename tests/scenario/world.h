/* world.h: a whole lulld in virtual time, in one process: the daemon's own objects, a real LMDB
 * directory, real Unix sockets; only base/loop and the upstream contract are replaced, by the
 * virtual loop and by a model that does what the test says.
 *
 * Nothing happens by itself: a test sends, lets time pass (world_pass), looks at what came.
 * world_end checks the equations of the figures and that every accepted request was answered.
 */
#ifndef TESTS_SCENARIO_WORLD_H
#define TESTS_SCENARIO_WORLD_H

#include "lull/config/figures.h"
#include "lull/config/settings.h"
#include "lull/path/cache/cache.h"

struct world;
struct client;
struct upstream_call;

/* sets: "section.key=value", NULL-terminated; one upstream "default" is always there. */
struct world *world_begin(const char *const *sets);
void world_end(struct world *w);
/* Settings as a reload would swap them in. */
void world_reload(struct world *w, const char *const *sets);
/* Lets virtual time pass; 0: only what is due now. */
void world_pass(struct world *w, usec_t us);
/* Ends the daemon and starts it again on the same data directory. */
void world_restart(struct world *w);
struct cache *world_cache(struct world *w);
uint64_t world_entry_hits(struct world *w); /* of all stored answers; at most 50 */
const struct task_figures *world_task(struct world *w, const char *kind);
const struct figures *world_figures(struct world *w);
struct engine *world_engine(struct world *w);
struct compare *world_compare(struct world *w);
/* In force now; valid until a reload. */
struct settings *world_settings(struct world *w);

/* Opens the control socket, now and at each start from now on. POST /config, /reload and /drain do
 * what the daemon does; a reload reads what world_begin or world_reload was given last. */
void world_control(struct world *w);
const char *world_control_path(const struct world *w);
struct control *world_control_of(const struct world *w);
bool world_draining(const struct world *w); /* it does not accept any more until a restart */

/* Clients */
struct client *client_open(struct world *w);
struct client *client_open_at(struct world *w, const char *path); /* of a socket */
void client_send(struct client *c, const char *bytes, size_t len);
/* The same where the daemon may have ended the connection. */
void client_try_send(struct client *c, const char *bytes, size_t len);
/* As much of them as the daemon takes now; returns how much. */
size_t client_offer(struct client *c, const char *bytes, size_t len);
/* Puts bytes in front of what client_reply has. */
void client_unread(struct client *c, struct span bytes);
/* POSTs a body. headers: lines with CRLF, may be "". Then world_pass(w, 0). */
void client_post(struct client *c, const char *path, const char *headers, const char *body);
/* The reply as far as it came, terminated; client_clear forgets it. Head and body. */
const char *client_reply(struct client *c);
/* Reads one piece of the reply, 64 KB at most, where the others read all that is there; returns how much. */
size_t client_take(struct client *c);
bool client_answered(struct client *c); /* a complete reply with Content-Length is there */
bool client_closed(struct client *c);
void client_clear(struct client *c);
void client_close(struct client *c); /* leaves, at once */

/* The model: calls in the order in which they began; they stay listed when they are over. */
size_t model_calls(struct world *w);
struct upstream_call *model_call(struct world *w, size_t i);
bool model_open(const struct upstream_call *call); /* neither ended nor aborted */
bool model_aborted(const struct upstream_call *call);
bool model_distrusted(const struct upstream_call *call);     /* upstream_distrust_answer() */
const char *model_body(const struct upstream_call *call);    /* request body, terminated */
const char *model_headers(const struct upstream_call *call); /* lines */
const char *model_target(const struct upstream_call *call);
const char *model_upstream(const struct upstream_call *call);
/* Not once more where it was sent before. */
void model_head(struct upstream_call *call, int status, const char *content_type);
bool model_has_head(const struct upstream_call *call);
void model_data(struct upstream_call *call, const char *bytes);
void model_end(struct upstream_call *call);   /* the transport ended well */
void model_close(struct upstream_call *call); /* only the close says so */
/* Whether the caller has enough of the answer for now; a server has to wait then. */
bool model_held(const struct upstream_call *call);
/* Servers that do not take requests' bodies at once, from now on or no longer; model_take takes what
 * such a one has kept waiting. */
void world_slow(struct world *w, bool slow);
void model_take(struct upstream_call *call);
void model_break(struct upstream_call *call, bool unreachable); /* it did not */
void model_short(struct upstream_call *call); /* lull had no memory for the call */
/* A whole answer of that status, with further header lines (CRLF; at most one), as JSON. */
void model_refuse(struct upstream_call *call, int status, const char *line, const char *body);
/* A whole good answer of the call's dialect with that content, streamed if a stream was asked for.
 */
void model_answer(struct upstream_call *call, const char *content);
/* The same over OpenAI's API, with the tokens of the prompt, how many of them the server says it had
 * cached (-1: it does not say), and 20 tokens of answer. */
void model_answer_cached(struct upstream_call *call, const char *content, int prompt, int cached);

/* A model that runs by itself on the world's loop, in place of a test that answers each call. began
 * is called for each new call and must not answer it (start a timer); aborted, when a call is
 * aborted. NULL removes the script. Copied. */
struct model_script {
    void (*began)(void *ctx, struct upstream_call *call);
    void (*aborted)(void *ctx, struct upstream_call *call);
    void *ctx;
};
void world_script(struct world *w, const struct model_script *script);
/* Frees a call that is over; it is not listed any more. */
void model_forget(struct upstream_call *call);
/* What the model servers answer to GET /props, which, like GET /api/version (404), is not listed
 * among the calls; 0: 404. */
void world_props(struct world *w, int slots);
/* How they are answered. MUTE: never; the connection stays open. OLLAMA: with a version. LOOP: the
 * request comes back to the daemon, as where the url leads to it. KEY: as OLLAMA, and 401 where they
 * have no Authorization. GATEWAY: 502. */
enum world_probes {
    PROBES_ANSWERED,
    PROBES_MUTE,
    PROBES_REFUSED,
    PROBES_OLLAMA,
    PROBES_LOOP,
    PROBES_KEY,
    PROBES_GATEWAY
};
void world_probes(struct world *w, enum world_probes how);
/* The record of an upstream that is configured; "up" ...: its state now. */
struct server *world_server(struct world *w, const char *upstream);
struct servers *world_servers(struct world *w);
const char *world_server_state(struct world *w, const char *upstream);
size_t world_probe_count(const struct world *w); /* calls, each step one */
struct loop *world_loop(struct world *w);
struct schedule *world_schedule(struct world *w);
/* Looks once in each turn of the loop what `count` says, from the next turn on until it is `all`: how
 * much the most of one turn was is in `most`. `seen` is what it was before. The caller's, valid until
 * then. */
struct turn_look {
    struct world *world;
    uint64_t (*count)(struct world *w);
    uint64_t seen, all, most;
    struct loop_deferred work; /* private */
    int looks;                 /* private */
};
void world_look(struct turn_look *look);
const char *world_port(const struct world *w); /* path of the socket that is listened on */

/* requests.c: bodies as Open WebUI writes them; static buffers, valid until the next call. */
const char *ask_autocomplete(const char *text);
const char *ask_title(const char *user, const char *reply);
const char *ask_follow_up(const char *user, const char *reply);
const char *ask_query(const char *user);
/* A streamed chat; turns: user, assistant, user ..., NULL at the end. */
const char *ask_chat(const char *const *turns);

#endif
