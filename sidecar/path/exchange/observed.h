/* observed.h: the virtual calls of `mode = observe`, between observe.c and observed.c. */
#ifndef PATH_EXCHANGE_OBSERVED_H
#define PATH_EXCHANGE_OBSERVED_H

#include "path/exchange/exchange_priv.h"

enum observed_state { OBSERVED_WINDOW, OBSERVED_WAITING, OBSERVED_RUNNING, OBSERVED_OVER };

struct observe {
    struct engine *engine;
    struct schedule *schedule;
    struct gate *gate;
    struct through *through;
    struct typist_table *typists;
    struct list all;
    size_t count, bytes;
};

struct observed {
    struct list node; /* in observe->all */
    struct observe *of;
    struct flight_spec spec; /* texts in `memory`; without a body */
    struct buf memory;
    struct list exchanges; /* whose real calls are under way; the first one's makes the answer */
    enum observed_state state;
    struct loop_timer *timer; /* the window, max_hold, what is left of the call */
    struct gate_ticket ticket;
    struct loop_deferred gone;
    bool settled; /* class completion: see typist_verdict */
    uint64_t run;
    size_t members;  /* requests that it would answer ... */
    size_t shared;   /* ... of which that many are counted as collapsed */
    int64_t arrived; /* held back: the sum of the times since when its members are */
    mono_t queued;   /* since when it is held back again; zero: it never gave way */
    mono_t started;  /* RUNNING */
    bool completed;  /* the real call is over: */
    usec_t took;
    bool answered; /* ... with an answer, which is not kept yet */
    struct answer answer;
    struct flight_end end;
};

mono_t observe_now(const struct observe *o);
const struct kind_policy *observed_policy(const struct observed *v);
bool observed_is_completion(const struct observed *v);
/* A new one, without members, neither held nor queued. NULL: the table is full. */
struct observed *observed_begin(struct exchange *x, const struct flight_spec *spec);
/* The exchange is a member now: the virtual call would answer it. */
void observed_join(struct observed *v, struct exchange *x);
/* The virtual call that an equal request would join; NULL: none. */
struct observed *observed_find_equal(struct observe *o, const struct flight_spec *spec);
/* An autocomplete: supersedes older ones, and waits in its window. */
void observed_debounce(struct observed *v);
/* Any other task: waits at the gate. */
void observed_enqueue(struct observed *v);
/* Ends the virtual call, which is freed at the end of the loop iteration. */
void observed_end(struct observed *v);

#endif
