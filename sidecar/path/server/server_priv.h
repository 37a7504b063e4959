/* server_priv.h: what the files of server/ share. */
#ifndef PATH_SERVER_SERVER_PRIV_H
#define PATH_SERVER_SERVER_PRIV_H

#include "lull/path/server/server.h"

enum { SERVER_ID_MAX = 40 };

struct servers {
    struct loop *loop;
    struct upstream_pool *pool;
    struct figures *figures;
    struct hash_secret secret;
    char id[SERVER_ID_MAX]; /* of this process: "lull-" and 128 random bits in hex */
    struct server **items;
    size_t count;
    void (*watch)(void *ctx); /* NULL: none */
    void *watch_ctx;
};

/* What a server was found to run at once. */
void server_found_slots(struct server *s, int64_t slots);

/* probe.c: forgets what was asked, and asks no more; waiters go on from the loop. NULL is
 * fine. */
void probe_reset(struct probe *p);
/* That the server refused, did not answer or could not be reached counts no more: it is asked with its
 * next use. NULL is fine. */
void probe_retry(struct probe *p);
void probe_destroy(struct probe *p); /* nothing may wait; NULL is fine */
/* What the last probe said. */
enum server_reach probe_reach(const struct server *s);

/* refusal.c: forgets what a model refuses. */
void refusals_free(struct server_model *m);

#endif
