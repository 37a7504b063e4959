/* schedule.c: what a decision of the scheduler costs with many waiting tasks: microseconds for each
 * event, with everything that the gate asks after it (path/schedule/gate.c: who is overdue, who
 * starts, when to look again).
 *
 * usage: bench_schedule [WAITING]
 *
 * Three tasks of each turn wait for one slot, which a task or a chat has. Half of the turns have
 * waited before, so that the table of turns is full.
 */
#include "lull/path/schedule/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVENTS = 2000, TASKS_OF_A_TURN = 3 };

static char name[] = "one";
static struct figures *figures;
static struct servers *servers;
static struct schedule *s;
static struct upstream_settings to = {.name = name, .machine = name, .slots = 1};
static struct kind_policy policy = {.name = name,
                                    .cls = KIND_CLASS_BACKGROUND,
                                    .yield = YIELD_AUTO,
                                    .max_hold = 3600 * USEC_PER_S,
                                    .settle = USEC_PER_S,
                                    .max_requeue = 2,
                                    .priority = 4,
                                    .queue = INT32_MAX};
static struct schedule_job *running;
static mono_t now = {1000 * USEC_PER_S};

static double clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct hash_key key(uint64_t n)
{
    return (struct hash_key){.hi = n + 1, .lo = n + 1};
}

static struct schedule_job job(uint64_t n)
{
    uint64_t turn = n / TASKS_OF_A_TURN;
    return (struct schedule_job){.to = &to,
                                 .policy = &policy,
                                 .conversation = {.person = key(turn), .chat = key(turn)},
                                 .turn = key(turn),
                                 .model = key(7),
                                 .expected = -1,
                                 .cost = -1};
}

/* What the gate does at the end of a turn of the loop. */
static void decide_all(void)
{
    struct schedule_job *j = NULL;
    usec_t due = -1;
    now.us += 100;
    (void)schedule_overdue(s, now);
    while ((j = schedule_next(s, now, &due)) != NULL) {
        running = j;
    }
}

static void a_task_comes_and_goes(void)
{
    struct schedule_job j = job(1 << 20);
    schedule_wait(s, &j, now);
    decide_all();
    schedule_end(s, &j, now, false);
    decide_all();
}

static void a_task_ends_and_comes_back(void)
{
    struct schedule_job *j = running;
    schedule_end(s, j, now, false);
    decide_all();
    schedule_wait(s, j, now);
    decide_all();
}

static void a_chat_begins_and_ends(void)
{
    struct schedule_interactive chat = {
        .to = &to, .kind = SCHEDULE_CHAT, .conversation = {.person = key(3), .chat = key(3)}};
    schedule_interactive_began(s, &chat, now);
    (void)schedule_victim(s, &to, now);
    decide_all();
    schedule_interactive_ended(s, &chat, now, false);
    decide_all();
}

static void report(const char *what, void (*twice)(void))
{
    double from = clock_us();
    for (int i = 0; i < EVENTS / 2; i++) {
        twice();
    }
    printf("%s %.3f\n", what, (clock_us() - from) / EVENTS);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    struct schedule_job *jobs = mem_new(count * sizeof *jobs);
    figures = figures_create();
    servers = servers_create(NULL, NULL, figures);
    servers_bind(servers, &to, 1);
    s = schedule_create(servers);
    for (size_t i = 0; i < count; i++) {
        jobs[i] = job(i);
        schedule_wait(s, &jobs[i], now);
        now.us += 1000;
        if (i % 2 == 0) { /* its wait counts for its turn */
            schedule_end(s, &jobs[i], now, false);
            schedule_wait(s, &jobs[i], now);
        }
    }
    decide_all();
    report("a task comes or goes", a_task_comes_and_goes);
    report("a task ends and the next one starts", a_task_ends_and_comes_back);
    report("a chat begins or ends", a_chat_begins_and_ends);
    for (size_t i = 0; i < count; i++) {
        schedule_end(s, &jobs[i], now, false);
    }
    schedule_destroy(s);
    servers_destroy(servers);
    figures_destroy(figures);
    free(jobs);
    return 0;
}
