/* port.h: what stands between the editors and the model in a run: lull, nothing (`direct`), or the
 * oracle. Editors know only this.
 */
#ifndef TESTS_BENCH_TYPING_PORT_H
#define TESTS_BENCH_TYPING_PORT_H

#include "bench/typing/model.h"
#include "bench/typing/wire.h"

/* An autocomplete on its way. The editor's side fills it in and owns it until `done`. */
struct asking {
    size_t person, message, context;
    struct span text; /* lives as long as the run */
    usec_t until;     /* when the person's next key comes (only the oracle looks at it) */
    bool in_pause;    /* ... and that ends a pause that counts */
    void (*done)(struct asking *asking, const struct answered *answered);
    void *owner;
    uint64_t serial;
    bool reusable; /* filled in by desk.c: a suggestion for a shorter text held the answer */
};

struct port {
    /* done is called once, from the loop, not before return. */
    void (*ask)(struct port *port, struct asking *asking);
    /* Sends a message. The reply is discarded; only its first piece is timed. */
    void (*chat)(struct port *port, size_t person, size_t message);
    /* Ends it; nothing may be under way. */
    void (*destroy)(struct port *port);
    bool (*busy)(const struct port *port);
    struct tally *tally;
};

struct port *port_lull_create(struct world *w, const struct wire *wire, const struct cast *cast);
struct port *port_direct_create(struct loop *loop, struct model *m, const struct cast *cast);
struct port *port_oracle_create(struct loop *loop, struct model *m, const struct cast *cast);

#endif
