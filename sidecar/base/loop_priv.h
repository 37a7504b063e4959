/* loop_priv.h: what the files of the loop share.
 *
 *   loop.c       libevent: timers, descriptors, signals, wakers; what is ready goes into its lane
 *   loop_turn.c  a turn: what is called in it, in which order, and how long it takes
 */
#ifndef BASE_LOOP_PRIV_H
#define BASE_LOOP_PRIV_H

#include "lull/base/list.h"
#include "lull/base/loop.h"

#include <stddef.h>
#include <sys/time.h>

/* What is ready waits for its call in one of these. */
enum lane {
    LANE_URGENT, /* watches that are urgent */
    LANE_TIMER,  /* timers, signals, wakers */
    LANE_WATCH,  /* the other watches */
    LANE_LATER,  /* work of loop_later() */
    LANES
};

/* The head of everything that libevent reports. */
struct source {
    struct loop *loop;
    struct event *event;
    void (*call)(struct source *source); /* the user's callback */
    struct list ready;                   /* in its lane while `is_ready` */
    bool is_ready;
    enum lane lane;
    struct source *next_dead;
    struct list refused; /* in loop->refused while `is_refused` */
    bool is_refused;
    struct timeval delay; /* of a timer that was refused */
};

/* Of loop_deferred. */
struct work_queue {
    struct loop_deferred *first, *last;
};

struct loop {
    struct event_base *base;
    bool stop;
    bool clock_read;
    mono_t now;
    wall_t wall;
    struct list lanes[LANE_LATER]; /* of sources */
    struct work_queue later;       /* LANE_LATER */
    unsigned waiting;              /* the lanes of which something is to be called, as bits */
    uint64_t looks;
    unsigned seen, room;  /* descriptors: found ready by the last look, the most that it can find */
    bool signalled;       /* one of the descriptors that were found is that of the signals */
    unsigned lane, share; /* which one is served, and how often more in a row */
    struct work_queue deferred; /* to the end of the turn */
    struct source *dead;
    struct list refused; /* sources to be added once more */
    mono_t warned;
    struct turns turns;
    mono_t cpu_read; /* when the thread's CPU time was read last ... */
    usec_t cpu;      /* ... and what it was */
};

/* loop_turn.c */
void turn_init(struct loop *loop);
void turn_read_clocks(struct loop *loop);
/* The source is not to be called any more, if it was. */
void turn_unready(struct source *source);

/* Reads the clock of the turn, where that was not done. */
static inline void turn_begin(struct loop *loop)
{
    if (!loop->clock_read) {
        turn_read_clocks(loop);
    }
}

/* The source is to be called, behind what waits in its lane; once, however often it is ready. */
static inline void turn_ready(struct source *source)
{
    struct loop *loop = source->loop;
    turn_begin(loop);
    if (!source->is_ready) {
        source->is_ready = true;
        list_append(&loop->lanes[source->lane], &source->ready);
        loop->waiting |= 1U << source->lane;
    }
}

/* loop.c */
/* Looks once for what is ready, and waits for it; at_once: does not wait. false: it failed. */
bool events_look(struct loop *loop, bool at_once);
/* At the end of a turn: frees what was destroyed, tries again to add what was refused. */
void events_end_turn(struct loop *loop);

static inline void events_tidy(struct loop *loop)
{
    if (loop->dead != NULL || !list_empty(&loop->refused)) {
        events_end_turn(loop);
    }
}

#endif
