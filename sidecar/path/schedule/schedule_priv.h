/* schedule_priv.h: what the files of schedule/ share. */
#ifndef PATH_SCHEDULE_SCHEDULE_PRIV_H
#define PATH_SCHEDULE_SCHEDULE_PRIV_H

#include "lull/path/schedule/schedule.h"

enum {
    SCHEDULE_DRAINING = 16, /* aborted calls whose slots may still be taken, per upstream */
    SCHEDULE_TYPING = 8,    /* users seen typing last, per machine */
    SCHEDULE_TURNS = 512,   /* whose waits are summed; the least recently used makes room */
    SCHEDULE_CHAINS = 1024, /* they are found by the hash of their key */
};

/* A reply that ended with tool calls goes on as soon as the tools have answered: measured within 20
 * ms with tools that take no time. Until then its slot counts as taken, for this long at most. */
static const usec_t GOES_ON = 5 * USEC_PER_S;
/* A task is left to finish, since aborts are slow, only when this much or less of it is left. */
static const usec_t ABORT_COST_MAX = 10 * USEC_PER_S;

/* An answer that is being written: an abort is noticed with the next token (0.03 to 0.2 s
 * measured).
 */
static const usec_t ABORT_COST_WRITING = 200 * USEC_PER_MS;
/* Shorter requests say more about what every request costs than about the pace of reading. */
enum { PACE_LEAST = 512 };
/* The answer takes its time too, and of a chat's bytes more are envelope than of a task's: such
 * calls took 7 to 15 s where 4 to 7 s were read off the chats. */
static const double ANSWER_TOO = 1.5;
/* What a foreground task waits for a throttled server, all in all. */
static const usec_t FOREGROUND_THROTTLE = 3 * USEC_PER_S;
/* A model that has answered within this time is loaded: Ollama unloads after five minutes. */
static const usec_t STAYS_LOADED = 300 * USEC_PER_S;
/* Users who have chatted within this time are likely to send a message. */
static const usec_t CHATTING = 600 * USEC_PER_S;
/* `settle` is longer by the usual time to a chat's first token, at most by this. */
static const usec_t SLOWNESS_MAX = 3 * USEC_PER_S;
static const usec_t READING_MAX = 8 * USEC_PER_S;
/* What a turn waited before is another one's, which has the same reply: "Hello! How can I help?" begins
 * many chats, and where no chat id comes with a task they look alike. */
static const usec_t TURN_LASTS = 300 * USEC_PER_S;

struct typing {
    struct hash_key person;
    mono_t at;
};

struct machine {
    struct machine *next;
    char *name;
    struct list interactive;
    struct typing typing[SCHEDULE_TYPING];
    mono_t typed_at;          /* the last of them; zero: none */
    size_t chats, foreground; /* among them; foreground jobs too */
    mono_t chatted_at;        /* the last chat began or ended; zero: there was none */
    mono_t quiet_since;       /* the last interactive request ended; zero: there was none */
    mono_t goes_on_until;
    mono_t active; /* anything ended last; zero: nothing did */
    struct {
        mono_t seen; /* when it was found; zero: not since it changed */
        usec_t usual;
    } slow; /* the usual time to a first token at one time, for all jobs of a decision */
};

struct schedule_upstream {
    struct schedule_upstream *next;
    struct server *server;
    struct machine *machine; /* of the settings last seen */
    struct machine *home;    /* by the configuration in force; NULL: it is not in it */
    struct list waiting, running;
    size_t waiting_count, running_count; /* running: background and completions */
    size_t interactive_count;            /* of its machine's chats and foreground, its own */
    uint64_t started, displacing;
    mono_t aborted_at;                  /* the last call that was cut off */
    mono_t draining[SCHEDULE_DRAINING]; /* until when an aborted call may hold its slot */
    struct {
        mono_t seen; /* when these were counted; zero: not since they changed */
        int64_t count;
        mono_t until;
    } drained;                         /* `draining` at one time, for all jobs of a decision */
    struct hash_key resident;          /* the model of the last call */
    struct hash_key interactive_model; /* of the last interactive request, as far as it is known */
    usec_t usual_token, abort_cost;    /* smoothed; -1: not measured */
    int64_t usual_size;                /* bytes of the requests behind usual_token */
    double best_pace; /* the least us per byte of a first turn's request that a first
                                       token took; 0: not measured */
};

struct turn_row {
    struct hash_key key;
    usec_t waited;
    mono_t began;  /* the first of its waits that are summed was over */
    mono_t used;   /* zero: never */
    uint16_t next; /* of its chain, counted from 1; 0: none */
};

struct turn_table {
    struct turn_row rows[SCHEDULE_TURNS];
    uint16_t first[SCHEDULE_CHAINS]; /* as next */
};

struct schedule {
    const struct servers *servers;
    struct machine *machines;
    struct schedule_upstream *upstreams;
    struct schedule_upstream **by_number; /* of their servers; NULL: not used yet */
    size_t numbers;
    struct turn_table *turns; /* made with the first use */
    struct {
        struct hash_key turn; /* waits were added to it since holds were set; zero: to none */
        bool several;         /* to others, too */
    } spent;
};

bool key_is_zero(struct hash_key k);
/* rows.c: the row of an upstream, made on first use, with the machine it stands on now. */
struct schedule_upstream *row_of(struct schedule *s, const struct upstream_settings *to);

/* Whether the model has answered there lately. */
bool is_loaded(const struct schedule_upstream *row, struct hash_key model, mono_t now);

/* schedule.c: the holds that end sooner by what their turn has waited since they were set. */
void set_spent_holds(struct schedule *s);

/* interactive.c */
/* Whether the job's chat is being answered, on whatever machine: a task model may have one of its
 * own. */
bool chat_is_here(const struct schedule *s, const struct schedule_job *j);
/* A foreground task of a conversation says that its chat is still to come. */
void restart_first_turn_wait(struct schedule *s, const struct schedule_conversation *conversation,
                             const struct machine *m, mono_t now);

/* loading.c: whether the job loads the model that the last interactive request at that upstream is
 * for. */
bool loads_for(const struct schedule_upstream *origin, const struct schedule_job *j, mono_t now);

/* budget.c */
usec_t turn_waited(const struct schedule *s, struct hash_key turn, mono_t now);
void turn_add(struct schedule *s, struct hash_key turn, usec_t waited, mono_t now);

/* decide.c: whether the job may start; *until: when that may change by itself (zero: not by time
 * alone). */
enum schedule_why decide(struct schedule *s, const struct schedule_job *j, mono_t now,
                         mono_t *until);
/* Sets when max_hold is over, after a change of what it depends on. */
void set_hold(const struct schedule *s, struct schedule_job *j);
/* Whether max_hold is over. */
bool hold_is_over(const struct schedule_job *j, mono_t now);
/* Of a job whose hold is over: whether it is renewed, since chats have every slot that the job's
 * server says it has, for the first time. */
bool must_renew_hold(const struct schedule_job *j);
/* Whether the server is throttled, and takes tasks again before the job's hold is over. */
bool waits_for_throttle(const struct schedule *s, const struct schedule_job *j, mono_t now);
/* Whether a job starts only to go elsewhere: it calls nothing here, and loads no model. */
bool leaves_now(const struct schedule_job *j, mono_t now);
/* Whether a running job has to give way. */
bool must_preempt(const struct schedule_job *j, mono_t now);
/* Until when one that need not, since it is expected to end first, has time for that; zero: that is not
 * why. */
mono_t left_until(const struct schedule_job *j, mono_t now);
/* Whether another model than its own is resident, and has to stay. */
bool waits_for_model(const struct schedule_job *j, mono_t now);
/* Whether the yield rule of a job holds at all. */
bool job_is_counted(const struct schedule_job *j);

#endif
