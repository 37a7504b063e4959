/* schedule.h: when may a flight start? Pure decisions over plain values: it is told what happens
 * and answers questions; it starts nothing, knows no clock and calls nobody.
 *
 * In this version only completions wait, for chats. What it counts already, per upstream (running
 * flights, open chats), is what slots, holds and preemption will be decided by.
 */
#ifndef LULL_PATH_SCHEDULE_SCHEDULE_H
#define LULL_PATH_SCHEDULE_SCHEDULE_H

#include "lull/base/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct schedule;

/* Nothing runs yet. Never NULL. */
struct schedule *schedule_create(void);
void schedule_destroy(struct schedule *s); /* NULL is fine */

enum schedule_answer { SCHEDULE_START, SCHEDULE_WAIT };

/* May a flight of that class start at this upstream now? A completion waits while a chat is open
 * there, except at a hosted one (https), which answers both at once. */
enum schedule_answer schedule_ask(const struct schedule *s, const struct upstream_settings *to,
                                  enum kind_class cls);

/* What happens. Begin and end come in pairs. */
void schedule_flight_began(struct schedule *s, const char *upstream);
void schedule_flight_ended(struct schedule *s, const char *upstream);
void schedule_chat_began(struct schedule *s, const char *upstream);
void schedule_chat_ended(struct schedule *s, const char *upstream);

/* Flights that run, and chats that are open, on that upstream now. */
size_t schedule_running(const struct schedule *s, const char *upstream);
size_t schedule_chats(const struct schedule *s, const char *upstream);

#endif
