"""The rules of lull, and for each the edits that take it out. A mutant's
old text stands exactly once in its file; one of its tests must fail with the new one."""
from collections import namedtuple

Mutant = namedtuple("Mutant", "name file old new tests")
MUTANTS = []

DECIDE = "sidecar/path/schedule/decide.c"
SCHEDULE = "sidecar/path/schedule/schedule.c"
BUDGET = "sidecar/path/schedule/budget.c"
INTERACTIVE = "sidecar/path/schedule/interactive.c"
ROWS = "sidecar/path/schedule/rows.c"
VIEW = "sidecar/path/flight/outlook.c"
FAILURE = "sidecar/path/flight/failure.c"
REFUSAL = "sidecar/path/server/refusal.c"
SERVER = "sidecar/path/server/server.c"
BREAKER = "sidecar/path/server/breaker.c"
THROTTLE = "sidecar/path/server/throttle.c"
WIRE = "sidecar/path/flight/wire.c"
GATE = "sidecar/path/schedule/gate.c"
OBSOLETE = "sidecar/path/flight/obsolete.c"
FLIGHT = "sidecar/path/flight/flight.c"
ADVANCE = "sidecar/path/flight/advance.c"
ENDING = "sidecar/path/flight/ending.c"
CALL = "sidecar/path/flight/call.c"
CALL_RESULT = "sidecar/path/flight/call_result.c"
CHAT = "sidecar/path/exchange/chat.c"
WHOSE = "sidecar/path/exchange/conversation.c"
PASS = "sidecar/path/exchange/forward.c"
REPLY = "sidecar/path/webui/turn.c"
REWARM = "sidecar/path/rewarm/rewarm.c"

UNIT = ("unit.schedule.test_schedule",)
YIELD = ("scenario.test_yield",)
BOUNDS = ("scenario.test_yield_bounds",)
UNIT_TURNS = ("unit.schedule.test_schedule_turns",)
UNIT_BOUNDS = ("unit.schedule.test_schedule_bounds",)
WARM = ("scenario.test_rewarm",)
WARM_BOUNDS = ("scenario.test_rewarm_bounds",)
WAITS = ("integration.waits",)
NEAREST = "sidecar/control/nearest_entry.c"
MISSES = "sidecar/path/exchange/misses.c"
DIFF = "sidecar/path/json/json_diff.c"


def mutant(rule, what, file, old, new, tests):
    MUTANTS.append(Mutant(f"rule {rule}: {what}", file, old, new, tests))


# ---- 1: slots, machines, yield ----

R = "1 slots"
mutant(R, "auto is 0 for https", DECIDE, "if (to->tls) {\n        return 0;", "if (to->tls) {\n        return 1;", UNIT)
mutant(R, "auto is what was found", DECIDE,
       "return server->found_slots > 0 ? server->found_slots : 1;", "return server != NULL ? 1 : 1;", UNIT)
mutant(R, "auto is what /props says", "sidecar/path/server/probe.c",
       "int64_t slots = dialect_props_slots(body);", "int64_t slots = body.len > 0 ? 0 : 0;", YIELD)
mutant(R, "else auto is 1", DECIDE, "? server->found_slots : 1;", "? server->found_slots : 2;", UNIT)
mutant(R, "a set number holds", DECIDE, "if (to->slots != SLOTS_AUTO) {", "if (to->slots == 0) {", UNIT)
mutant(R, "a machine is shared by upstreams", ROWS,
       "        row->machine = machine_of(s, to->machine);", "        row->machine = machine_of(s, to->name);", UNIT + YIELD)
mutant(R, "another machine is not shared", ROWS,
       "while (m != NULL && strcmp(m->name, name) != 0) {", "while (m != NULL && name == NULL) {", UNIT + YIELD)
mutant(R, "chats are never queued", PASS,
       "return x->decision.cls == TASK_CLASS_TASK && x->body_held && x->settings->mode == TASKS_ON &&\n"
       "           exchange_policy(x)->cls == KIND_CLASS_BACKGROUND;",
       "return x->body_held && x->settings->mode == TASKS_ON && (x->decision.cls == TASK_CLASS_CHAT ||\n"
       "           exchange_policy(x)->cls == KIND_CLASS_BACKGROUND);", YIELD)
mutant(R, "0 slots: a task never waits", DECIDE,
       "if (slots <= 0 || j->policy->cls == KIND_CLASS_FOREGROUND || j->forced) {",
       "if (j->policy->cls == KIND_CLASS_FOREGROUND || j->forced) {", UNIT + YIELD)
mutant(R, "0 slots: a task is never aborted for a chat", DECIDE,
       "if (!job_is_counted(j) || j->policy->cls == KIND_CLASS_FOREGROUND || j->fixed",
       "if (j->policy->cls == KIND_CLASS_FOREGROUND || j->fixed", UNIT_BOUNDS)
mutant(R, "0 slots: a chat there holds nothing", INTERACTIVE,
       "if (schedule_slots(s, f->to) == 0) {", "if (schedule_slots(s, f->to) < 0) {", UNIT_BOUNDS)
mutant(R, "0 slots: a chat there preempts nothing", SCHEDULE,
       "if (row->machine != m || schedule_slots(s, to) == 0) {", "if (row->machine != m) {", UNIT_BOUNDS)
mutant(R, "in mode observe no request waits", "sidecar/path/exchange/forward.c",
       "x->body_held && x->settings->mode == TASKS_ON &&", "x->body_held &&", YIELD)

R = "1 yield"
mutant(R, "auto is always up to 4 slots", DECIDE, "enum { YIELD_ALWAYS_UP_TO = 4 };",
       "enum { YIELD_ALWAYS_UP_TO = 3 };", UNIT)
mutant(R, "auto is when_full above 4 slots", DECIDE, "enum { YIELD_ALWAYS_UP_TO = 4 };",
       "enum { YIELD_ALWAYS_UP_TO = 5 };", UNIT)
mutant(R, "what is set goes before auto", DECIDE, "if (j->policy->yield != YIELD_AUTO) {", "if (j->policy == NULL) {",
       UNIT)
mutant(R, "always: not while a chat is answered", DECIDE, "if (open_interactive(m) > 0) {\n        return m->chats > 0",
       "if (open_interactive(m) > 99) {\n        return m->chats > 0", UNIT + YIELD)
mutant(R, "when_full: one slot is left beside open chats", DECIDE,
       "if (slots - 1 - open > 0) {\n            return slots - 1 - open;",
       "if (slots - open > 0) {\n            return slots - open;", UNIT)
mutant(R, "when_full: open chats count", DECIDE,
       "int64_t open = (int64_t)open_interactive(j->row->machine);", "int64_t open = (int64_t)open_interactive(j->row->machine) * 0;", UNIT)
mutant(R, "when_full: none beside a chat in the only slot", DECIDE, "return open == 0 ? 1 : 0;", "return 1;", UNIT)
mutant(R, "when_full: no more give way than needed", DECIDE,
       "return (int64_t)j->row->running_count > job_slots(j, slots_of(j->row->server, j->to));", "return true;", UNIT + YIELD)
mutant(R, "when_full: the youngest gives way", SCHEDULE,
       "for (struct list *n = row->running.prev; n != &row->running; n = n->prev) {",
       "for (struct list *n = row->running.next; n != &row->running; n = n->next) {", UNIT)
mutant(R, "never: does not wait for chats", DECIDE,
       "bool always = yield_with(j, slots) == YIELD_ALWAYS;", "bool always = yield_with(j, slots) != YIELD_WHEN_FULL;", UNIT)
mutant(R, "never: does not give way", DECIDE, "case YIELD_NEVER:\n        return false;",
       "case YIELD_NEVER:\n        return true;", UNIT)
mutant(R, "several slots leave one to the chat", DECIDE, "return slots > 1 ? slots - 1 : 1;", "return slots;", UNIT)
mutant(R, "no more tasks than slots", DECIDE, "return taken < job_slots(j, slots) ?", "return taken < 99 ?", UNIT)

# ---- 2: a chat takes the slot ----

R = "2 preempt"
mutant(R, "a chat aborts what runs", GATE, "preempt_for(g, f->to);\n    gate_changed(g);", "gate_changed(g);", YIELD)
mutant(R, "it is queued again, not lost", ADVANCE, "bool wanted = !f->detached && !flight_is_idle(f);",
       "bool wanted = false;", YIELD)
mutant(R, "it is queued again, not answered", ADVANCE, "        flight_apply(f, FLIGHT_EVENT_PREEMPTED);\n    }",
       "        flight_finish_empty(f, OUTCOME_SENT);\n        return false;\n    }",
       YIELD)
mutant(R, "all its waiters are kept", ADVANCE,
       "    hold_back(f);\n    completion_release_all(f);",
       "    hold_back(f);\n    completion_release_all(f);\n"
       "    if (f->waiters.next != f->waiters.prev) {\n"
       "        struct flight_waiter *w = list_item(f->waiters.prev, struct flight_waiter, node);\n"
       "        struct flight_end end = {.result = FLIGHT_RESULT_EMPTY, .outcome = OUTCOME_BUSY};\n"
       "        list_remove(&w->node);\n        w->flight = NULL;\n        w->done(w->ctx, &end);\n"
       "        buf_free(&end.reply);\n    }", YIELD)
mutant(R, "at most max_requeue times", DECIDE, "j->forced ||\n        (int64_t)j->requeued >= j->policy->max_requeue) {", "j->forced) {", UNIT + YIELD)
mutant(R, "a requeued task does not run in front of the chat", SCHEDULE, "j->requeued++;\n    enqueue(s, j, now);",
       "j->requeued++;\n    j->forced = true;\n    enqueue(s, j, now);", YIELD)
mutant(R, "a requeued task keeps its age", SCHEDULE,
       "j->requeued++;\n    enqueue(s, j, now);", "j->requeued++;\n    j->born = now;\n    enqueue(s, j, now);", UNIT)
mutant(R, "what cannot be aborted is not", DECIDE, "|| j->fixed || j->forced ||", "|| j->forced ||", UNIT + YIELD)
mutant(R, "an aborted call counts as taking its slot", INTERACTIVE,
       "if (row->draining[i].us > now.us) {\n            return true;",
       "if (row->draining[i].us > now.us) {\n            return false;", UNIT_BOUNDS)
mutant(R, "an abort counts in the decision after it", SCHEDULE, "    row->drained.seen = (mono_t){0};\n", "", UNIT_BOUNDS)
mutant(R, "a turn's row leaves its old chain", "sidecar/path/schedule/budget.c", "        unlink_row(s, row);", "        (void)unlink_row;", UNIT_BOUNDS)
mutant(R, "its slot is taken for as long as aborts take", SCHEDULE, "if (aborted && j->called) {\n        add_draining",
       "if (aborted && now.us < 0) {\n        add_draining", UNIT)
mutant(R, "not where nothing was sent", SCHEDULE, "if (aborted && j->called) {\n        add_draining",
       "if (aborted) {\n        add_draining", UNIT_BOUNDS)
mutant(R, "nor is a chat late by that", SCHEDULE, "f->after_abort || (j->called && f->began.us == now.us);",
       "f->after_abort || f->began.us == now.us;", UNIT_BOUNDS)
mutant(R, "a call says that it is sent", CALL, "    schedule_called(&f->ticket.job);\n", "", ("scenario.test_rewarm", "scenario.test_yield"))
mutant(R, "so does a task that passes", PASS, "    schedule_called(&x->ticket.job);\n", "", ("scenario.test_rewarm", "scenario.test_yield"))
mutant(R, "so it is after giving way", SCHEDULE, "leave_slot(s, j, now, true);\n    list_each",
       "leave_slot(s, j, now, false);\n    list_each", UNIT_BOUNDS)
mutant(R, "so it is when a client left", ENDING, "gate_end(f->table->parts.gate, &f->ticket, f->cut);",
       "gate_end(f->table->parts.gate, &f->ticket, false);", BOUNDS)
mutant(R, "how long aborts take is measured", INTERACTIVE, "smooth(&f->row->abort_cost, late);", "(void)late;", UNIT)
mutant(R, "against what a first token takes alone", INTERACTIVE, "if (f->alone && !f->after_abort) {",
       "if (!f->after_abort) {", UNIT_BOUNDS)
mutant(R, "chats tell of their first token", CHAT, "if (w->answer.first_token_seen && w->first_token.us == 0) {",
       "if (w->answer.first_token_seen && w->first_token.us < 0) {", BOUNDS)
mutant(R, "a nearly finished task is left to finish", DECIDE, "return yields(j) && !ends_first(j, now);",
       "return yields(j) && (now.us > 0 || !ends_first(j, now));", UNIT)
mutant(R, "it has as long as an abort takes", SCHEDULE, "                j->left_until = left_until(j, now);\n",
       "                (void)left_until;\n", BOUNDS)
mutant(R, "and is looked at then", SCHEDULE, "        look_at_running(row, now, soonest);\n", "        (void)look_at_running;\n", BOUNDS)
mutant(R, "what a task takes is known to the gate", ADVANCE,
       "    f->ticket.job.expected = pace_expected_for(flight_pace(f), f->spec.body.len);\n", "", BOUNDS)
mutant(R, "a slow server is left alone for longer", DECIDE, "slowness(s, m, now) + reading : 0)",
       "(usec_t)(s == NULL) + reading : 0)", UNIT)
mutant(R, "a typing user is about to send", DECIDE, "typed.us > m->quiet_since.us ? typed : m->quiet_since",
       "typed.us > INT64_MAX - 1 ? typed : m->quiet_since", UNIT_BOUNDS)
mutant(R, "but for the typing itself", DECIDE, "i < SCHEDULE_TYPING && !typing; i++", "i < SCHEDULE_TYPING && typing != 7; i++",
       UNIT_BOUNDS)
mutant(R, "whose task it is", DECIDE, "if (hash_key_eq(m->typing[i].person, j->conversation.person)) {",
       "if (m->typing[i].at.us != 0) {", UNIT_BOUNDS)
mutant(R, "a first token changes what is usual at once", INTERACTIVE, "        f->row->machine->slow.seen = (mono_t){0};\n", "", UNIT_BOUNDS)
mutant(R, "an upstream without anything of its own moves", ROWS, "row->interactive_count == 0) {", "row->machine->chats == 0) {", UNIT_BOUNDS)
mutant(R, "what is on it keeps its machine", ROWS, " && row->interactive_count == 0) {", ") {", UNIT_BOUNDS)
mutant(R, "a comparison's call is the last", SCHEDULE, "    if (has_client(a) != has_client(b)) {", "    if (a == b) {", UNIT_BOUNDS)
mutant(R, "slots that are found are used at once", "sidecar/path/exchange/engine.c", "    servers_watch(parts->servers, on_slots, e);\n", "", ("scenario.test_probes",))
mutant(R, "a reload looks at what waits", "sidecar/path/exchange/engine.c", "    on_slots(e); /* another url", "    (void)e; /* another url", ("scenario.test_probes",))
mutant(R, "a server that moves says nothing of its old machine", ROWS, "        m->slow.seen = (mono_t){0};\n", "        (void)m;\n", UNIT_BOUNDS)
mutant(R, "nor does one that left, for what began before", ROWS, "        row->machine = machine_of(s, to->machine);\n", "        row->machine = row->home = machine_of(s, to->machine);\n", UNIT_BOUNDS)
mutant(R, "nor one that was replaced, when it is used first", ROWS, "server->replaced ? NULL : machine_of(s, to->machine);", "machine_of(s, to->machine);", UNIT_BOUNDS)
mutant(R, "one long prompt is not what is usual", DECIDE, "m->slow.usual = slow < SLOWNESS_MAX ? slow : SLOWNESS_MAX;",
       "m->slow.usual = slow;", UNIT)
mutant(R, "an answer being written notices at once", DECIDE, "j->answering ? ABORT_COST_WRITING : ABORT_COST_MAX",
       "ABORT_COST_MAX", UNIT)
mutant(R, "a chat behind a chat measures nothing", INTERACTIVE, "if (f->after_abort && !f->had_slot) {",
       "if (f->after_abort && f->row == NULL) {", UNIT)
mutant(R, "long prompts take long by themselves", INTERACTIVE, "return times > 1 ? (usec_t)((double)row->usual_token * times) : row->usual_token;",
       "return times > 1e9 ? 0 : row->usual_token;", UNIT)
mutant(R, "settle after a reply", DECIDE, "if (since.us != 0 && settle > 0 && settled.us > now.us) {",
       "if (settled.us < 0) {", UNIT + YIELD)
mutant(R, "a reply with tool calls goes on", INTERACTIVE, "goes_on ? now.us + GOES_ON : 0", "goes_on ? 0 : 0",
       UNIT + YIELD)
mutant(R, "tool calls are seen in the stream", CHAT, "w->goes_on = how == ASSEMBLED_ODD && w->answer.calls;",
       "w->goes_on = false;", YIELD)
mutant(R, "aborted work counts as preempted", ADVANCE, "flight_task_figures(f)->preempted++;", "", YIELD)
mutant(R, "aborted work counts as wasted", CALL,
       "    call_wasted(f);\n    failure_forget_trial(f);", "    failure_forget_trial(f);", YIELD)

# ---- 3: obsolete ----

R = "3 obsolete"
mutant(R, "follow-ups of the same chat id", OBSOLETE, "return hash_key_eq(task_chat, conversation->chat);", "return false;",
       YIELD)
mutant(R, "not those of another chat id", OBSOLETE, "return hash_key_eq(task_chat, conversation->chat);",
       "return hash_key_eq(task_chat, conversation->chat) ||\n"
       "               (chat->request != NULL && chat_history_goes_on(turn->history, chat));", YIELD)
mutant(R, "the same person's", OBSOLETE, "if (!hash_key_eq(turn->conversation.person, conversation->person)) {",
       "if (turn == NULL) {", YIELD)
mutant(R, "those whose conversation the chat has", OBSOLETE,
       "chat_history_goes_on(turn->history, chat);", "false;", YIELD)
mutant(R, "not those whose conversation it has not", OBSOLETE,
       "chat_history_goes_on(turn->history, chat);", "true;", YIELD)
mutant(R, "the last reply is the one that a chat goes on from", "sidecar/path/webui/chat_history.c",
       "while (h->count > 0 && strcmp(h->lines[h->count - 1].role, \"ASSISTANT\") != 0) {", "while (h->count > 0 && h->lines == NULL) {", ("unit.webui.test_task_turn",))
mutant(R, "without a user id a short text was not sent", "sidecar/path/flight/completion.c",
       "task_same_typist(text, sent->paragraph, c->who.one_user, true);", "task_same_typist(text, sent->paragraph, true, true);", ("scenario.test_completion",))
mutant(R, "nor where a second request waits", "sidecar/path/flight/completion.c",
       "!c->usable || is_for_several(f) ||", "!c->usable ||", ("scenario.test_completion",))
mutant(R, "nor in another place of a conversation", "sidecar/path/flight/completion.c",
       ": begins && c->who.history_empty == sent->first_turn;", ": begins;", ("scenario.test_completion",))
CONVERSATION = "sidecar/path/exchange/conversation.c"
mutant(R, "12 code points at least", CONVERSATION, "utf8_count(reply) >= TASK_REPLY_MIN", "reply.len > 0", BOUNDS)
mutant(R, "12 are enough", CONVERSATION, "utf8_count(reply) >= TASK_REPLY_MIN", "utf8_count(reply) > TASK_REPLY_MIN", BOUNDS)
mutant(R, "code points, not bytes", CONVERSATION, "utf8_count(reply) >= TASK_REPLY_MIN", "reply.len >= TASK_REPLY_MIN", BOUNDS)
mutant(R, "thinking is left out", REPLY, "return s.ptr[at] == '<'   ? thinking_at(s, at, ahead)",
       "return s.ptr[at] == '<'   ? (size_t)0 * thinking_at(s, at, ahead)", YIELD)
mutant(R, "images are left out", REPLY, ": s.ptr[at] == '!' ? image_at(s, at, ahead)",
       ": s.ptr[at] == '!' ? (size_t)0 * image_at(s, at, ahead)", YIELD)
mutant(R, "they are left out of the prompt too", "sidecar/path/webui/chat_history.c",
       "read_lines(&prompt, buf_span(&plain));", "read_lines(&prompt, history);", YIELD)
mutant(R, "keep", OBSOLETE,
       "f->spec.kind == KIND_FOLLOW_UP &&\n            flight_policy(f)->obsolete == OBSOLETE_EMPTY) {",
       "f->spec.kind == KIND_FOLLOW_UP) {", YIELD)
mutant(R, "follow-ups only", OBSOLETE, "f->spec.kind == KIND_FOLLOW_UP &&", "", BOUNDS)
mutant(R, "only those waiters", OBSOLETE, "            answer_obsolete(f, conversation, &read);\n",
       "            const struct list *first = f->waiters.next;\n            answer_obsolete(f, conversation, &read);\n"
       "            if (f->waiters.next != first) {\n                flight_finish_empty(f, OUTCOME_OBSOLETE);\n"
       "                continue;\n            }\n", YIELD)
mutant(R, "its generation is aborted", OBSOLETE, "if (flight_is_idle(f)) {\n                flight_drop(f, FLIGHT_EVENT_OBSOLETE);",
       "if (f == NULL) {\n                flight_drop(f, FLIGHT_EVENT_OBSOLETE);", YIELD)
mutant(R, "a turn of tools is no new turn", CHAT, "flight_count(x->engine->flights) > 0 && !goes_on) {",
       "flight_count(x->engine->flights) > 0) {",
       BOUNDS)
mutant(R, "an autocomplete whose text was sent", CHAT, "    autocomplete_chat_sent(x);\n", "", ("scenario.test_completion",))

# ---- 4: the first turn ----

R = "4 first turn"
mutant(R, "not for a chat on another machine", SCHEDULE, "if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j))",
       "if (j->beside_reply && !chat_is_here(s, j))", UNIT_BOUNDS)
mutant(R, "its title waits for the chat", SCHEDULE, "if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j)) {", "if (j == NULL) {",
       UNIT + YIELD)
mutant(R, "for first_turn_wait", SCHEDULE, "if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j)) {\n"
       "        j->not_before = (mono_t){now.us + j->policy->first_turn_wait};",
       "if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j)) {\n"
       "        j->not_before = (mono_t){now.us + 2 * j->policy->first_turn_wait};", UNIT + YIELD)
mutant(R, "not where the chat is there", SCHEDULE, "if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j)) {",
       "if (j->beside_reply) {", UNIT)
mutant(R, "it is known by its prompt", WHOSE,
       "turn.beside_reply = x->decision.kind == KIND_TITLE && found.known && found.reply.len == 0;",
       "turn.beside_reply = x->decision.kind == KIND_TITLE && found.known && found.reply.len > 0;", YIELD)
mutant(R, "a title after a reply does not wait", WHOSE, " && found.known && found.reply.len == 0;",
       " && found.known;", YIELD)
mutant(R, "counted again after a foreground task", SCHEDULE,
       "m->quiet_since = now;\n        restart_first_turn_wait(s, &j->conversation, m, now);", "m->quiet_since = now;", UNIT)
mutant(R, "counted again after one that passed through", INTERACTIVE,
       "m->foreground--;\n        restart_first_turn_wait(s, &f->conversation, m, now);", "m->foreground--;", BOUNDS)
mutant(R, "of the same conversation", INTERACTIVE, "if (j->not_before.us != 0 && same_conversation(&j->conversation, conversation)) {",
       "if (j->not_before.us != 0) {\n                (void)conversation;", UNIT_BOUNDS)
mutant(R, "yields to its chat when it comes", INTERACTIVE, "            chat_has_come(row, f);\n",
       "            (void)chat_has_come;\n", UNIT)
mutant(R, "to its own chat", INTERACTIVE, "if (j->not_before.us != 0 && same_conversation(&j->conversation, &f->conversation) &&",
       "if (j->not_before.us != 0 &&", UNIT)
mutant(R, "a later turn is not its chat", INTERACTIVE, "(named || f->first_turn)) {", "(named || f != NULL)) {", BOUNDS)

# ---- 5: foreground ----

R = "5 foreground"
mutant(R, "never waits", DECIDE, "j->policy->cls == KIND_CLASS_FOREGROUND || j->forced) {", "j->forced) {",
       UNIT + YIELD)
mutant(R, "never gives way", DECIDE, "j->policy->cls == KIND_CLASS_FOREGROUND || j->fixed ||", "j->fixed ||", UNIT)
mutant(R, "preempts background work", GATE, "preempt_for(g, j->to);", "(void)t;", YIELD)
mutant(R, "holds background work", DECIDE, "return m->chats + m->foreground;", "return m->chats;", UNIT)
mutant(R, "what passes through too", CHAT, "exchange_policy(x)->cls == KIND_CLASS_FOREGROUND",
       "exchange_policy(x) == NULL", BOUNDS)
mutant(R, "the speech of a call waits for its emoji", "include/lull/config/kinds.def", '"emoji_generation", FOREGROUND',
       '"emoji_generation", BACKGROUND', YIELD)
mutant(R, "embeddings", CHAT, "x->head.endpoint == ENDPOINT_EMBEDDINGS", "x->head.target.len == 0", YIELD)

# ---- 6: bounds and order ----

R = "6 bounds"
mutant(R, "max_hold", DECIDE, "if (bounded && j->hold_ends.us <= now.us) {", "if (bounded && now.us < 0) {", UNIT + YIELD)
mutant(R, "a full server is not given a task", DECIDE, "free_slots -= f->row == j->row ? 1 : 0;", "free_slots -= f->row == j->row ? 0 : 0;", UNIT_BOUNDS)
mutant(R, "a chat at another server takes no slot", DECIDE, "free_slots -= f->row == j->row ? 1 : 0;", "free_slots -= 1;", UNIT_BOUNDS)
mutant(R, "a hold is renewed once", DECIDE, "free_slots == 0 || j->renewed > 0 ||", "free_slots == 0 ||", UNIT_BOUNDS)
mutant(R, "slots that are not known hold nothing up", DECIDE, "j->to->slots == SLOTS_AUTO ? j->row->server->found_slots : 0;",
       "slots_of(j->row->server, j->to);", UNIT_BOUNDS)
mutant(R, "a hold is renewed as a reply ends", INTERACTIVE, "            j->renewed = mono_diff(now, j->hold_ends) + j->policy->max_hold;\n",
       "            j->renewed = 1;\n", UNIT_BOUNDS)
mutant(R, "max_hold wakes by itself", DECIDE, "if (why != SCHEDULE_FREE && bounded) {",
       "if (why != SCHEDULE_FREE && bounded && now.us < 0) {", UNIT + YIELD)
mutant(R, "the waits of a turn are summed", DECIDE,
       "j->beside_reply ? 0 : turn_waited(s, j->turn, j->since);", "s == NULL ? 1 : 0;", UNIT)
mutant(R, "a later turn of the same words has spent nothing", BUDGET, "is_over(row, now) ? 0 : row->waited;", "now.us < 0 ? 0 : row->waited;",
       UNIT_TURNS)
mutant(R, "nor are its waits added to those", BUDGET, "    if (is_over(row, now)) {\n", "    if (is_over(row, now) && now.us < 0) {\n", UNIT_TURNS)
mutant(R, "a long call gives a task no new budget", DECIDE, "(turn > j->held ? turn : j->held)", "(j->beside_reply ? j->held : turn)", UNIT_TURNS)
mutant(R, "those that wait already end sooner", SCHEDULE, "        note_spent(s, j->turn);\n", "        (void)note_spent;\n", UNIT_BOUNDS)
mutant(R, "those of that turn", SCHEDULE, "if (s->spent.several || hash_key_eq(j->turn, s->spent.turn)) {", "if (s->spent.several) {", UNIT_BOUNDS)
mutant(R, "a wait of no turn is none of the turn before", SCHEDULE, "    if (key_is_zero(turn)) {\n", "    if (false) {\n", UNIT_BOUNDS)
mutant(R, "those of several turns", SCHEDULE, "    s->spent.several = s->spent.several || other;\n", "    (void)other;\n", UNIT_BOUNDS)
mutant(R, "by the turn's own key", WHOSE, "turn.turn = turn_key(x, &turn.conversation, reply);", "(void)turn_key;",
       BOUNDS)
mutant(R, "whichever task of the turn it is", WHOSE, "reply.len < TURN_REPLY_BYTES ? reply.len : TURN_REPLY_BYTES",
       "reply.len", BOUNDS)
mutant(R, "a title's budget is its own", DECIDE, "usec_t turn = j->beside_reply ? 0 : turn_waited", "usec_t turn = turn_waited",
       UNIT_BOUNDS)
mutant(R, "a title spends nothing of the turn's", SCHEDULE, "if (!j->beside_reply && j->policy->cls",
       "if (j->policy->cls", UNIT_BOUNDS)
mutant(R, "earlier waits count", SCHEDULE, "j->held += j->swapping ? 0 : waited;", "j->held += 0;", UNIT_BOUNDS)
mutant(R, "a title has 60 s", "sidecar/config/policies.c", "(is_kind(k, KIND_TITLE) ? 60 : 20) * USEC_PER_S",
       "(is_kind(k, KIND_TITLE) ? 20 : 20) * USEC_PER_S", YIELD)
mutant(R, "beside the chat it is left alone", SCHEDULE, "j->forced = j->forced || over;",
       "j->forced = j->forced || (over && now.us < 0);", UNIT)
mutant(R, "a full queue lets one go", SCHEDULE, "            make_room(j->row);\n", "            (void)make_room;\n",
       UNIT)
mutant(R, "a full queue lets the oldest go", SCHEDULE, "j->born.us < oldest->born.us", "j->born.us > oldest->born.us",
       UNIT)
mutant(R, "completions take no place in the queue", SCHEDULE,
       "return !j->forced && has_client(j) && j->policy->cls != KIND_CLASS_COMPLETION;",
       "return !j->forced && has_client(j);", UNIT)
mutant(R, "a futile one is not begun", "sidecar/path/flight/completion.c", "if ((expected <= limit && !holds_up && !costs) || rested) {",
       "if (expected >= 0 || rested) {", ("scenario.test_futile",))
mutant(R, "once a minute one is tried", "sidecar/path/flight/completion.c", "if ((expected <= limit && !holds_up && !costs) || rested) {",
       "if (expected <= limit && !holds_up && !costs) {", ("scenario.test_futile",))
mutant(R, "an autocomplete waits max_hold at most", ADVANCE, "if (flight_is_completion(f)) {\n        loop_timer_start",
       "if (f == NULL) {\n        loop_timer_start", YIELD)
mutant(R, "max_hold of [tasks] makes no completion wait longer", "sidecar/config/policies.c",
       "all.max_hold > default_max_hold(k);", "all.max_hold < 0;", ("unit.config.test_config_keys",))
mutant(R, "enabled of [tasks] is not of a kind that cannot be switched off", "sidecar/config/policies.c",
       "           !has_answer(r, k);", "           !has_answer(r, k) && false;", ("unit.config.test_config_values",))
R = "configuration"
WORDS, KEYS, ENVIRONMENT = (f"unit.config.test_config_{n}" for n in ("words", "keys", "environment"))
mutant(R, "an empty variable is unset", "sidecar/config/environment.c",
       "span_trim(span_make(*item + equals + 1, all.len - equals - 1)).len == 0", "*item == NULL", (ENVIRONMENT,))
mutant(R, "two variables do not give two values", "sidecar/config/assignments.c",
       "if (!twice || (!of_files && !of_variables)) {", "if (!twice || !of_files) {", (ENVIRONMENT,))
mutant(R, "a proxy has a port", "sidecar/config/url.c", "is_authority(authority) &&\n           host_port(authority) > 0;", "is_authority(authority);",
       ("unit.config.test_config_values",))
mutant(R, "READY=1 waits for room", "sidecar/base/os_paths.c", "(void)poll(&room, 1, 100);", "left = 1;", ("unit.base.test_os",))
mutant(R, "open replies do not wait for the service manager", "sidecar/base/os_paths.c", "int left = waits ? 10 : 0;;", "int left = 10;;", ("unit.base.test_os",))
mutant(R, "a service of any name is a platform's", "sidecar/config/environment.c",
       'span_ends(name, SPAN("_PORT")) ||', "", (ENVIRONMENT,))
mutant(R, "an empty file is no secret", "sidecar/config/environment.c",
       "} else if (t->option->type == TYPE_SECRET) {", "} else if (t == NULL) {", (ENVIRONMENT,))
mutant(R, "what [tasks] says wrong is said once", "sidecar/config/assignments.c",
       "if (!once || !has_line(", "if (once || !has_line(", (WORDS,))
mutant(R, "a # that begins a value is refused", "sidecar/config/ini.c",
       "if (value.len > 0 && value.ptr[0] == '#') {", "if (p == NULL) {", (WORDS,))
mutant(R, "a key is sent to the section that has it", "sidecar/config/nearest.c",
       "if (option_find(section, key) == NULL && append_places(key, out)) {", "if (out == NULL) {", (WORDS,))
ADDRESS = ("unit.base.test_listen_address",)
mutant(R, "a wildcard takes in the others", "sidecar/base/listen_address.c",
       "return host_is_wildcard(a) || host_is_wildcard(b) ||", "return", (WORDS, *ADDRESS))
mutant(R, "[::] takes in IPv4", "sidecar/base/listen_address.c",
       "return host_is_wildcard(a->family == AF_INET6 ? a : b);", "return false;", (WORDS, *ADDRESS))
mutant(R, "two wildcards stand beside each other", "sidecar/config/address.c",
       "        (same_server && listen", "        (false && listen", (WORDS,))
mutant(R, "but not those of two servers", "sidecar/config/address.c",
       "        (same_server && listen", "        (listen", (WORDS,))
mutant(R, "a short or a mapped address is read as the system does", "sidecar/base/listen_address.c",
       "    resolve_host(out);\n", "    struct host_address ip;\n    if (host_address(span_of(out->host), &ip)) {\n        add_ip(out, &ip);\n    }\n",
       ADDRESS)
mutant(R, "an endpoint is no url", "sidecar/config/url.c", "if (has_endpoint(url, why)) {", "if (why == NULL) {", (WORDS,))
mutant(R, "a word is one of its option's type", "sidecar/config/choices.c",
       "choices[i].type == type && span_eq(word", "span_eq(word", ("unit.config.test_choices",))
mutant(R, "a proxy's password is masked", "sidecar/config/value.c", "if (at != NULL) {", "if (at == v->text) {", (KEYS,))
mutant(R, "a change of [tasks] is one name", "sidecar/config/config.c", "    if (of_tasks) {", "    if (d == NULL) {", (KEYS,))
mutant(R, "a line of [tasks] that went is said to be removed", "sidecar/config/config.c", "*gone = was != NULL && now == NULL &&",
       "*gone = was == NULL && now == NULL &&", (KEYS,))
mutant(R, "a line for one kind is none of [tasks]", "sidecar/config/config.c", "(was == NULL || strcmp(was, now) != 0)",
       "(was == NULL || now != NULL)", (KEYS,))
mutant(R, "a list of changes is whole", "sidecar/app/lifecycle.c", "struct buf applied = {.max = LIST_MAX};", "struct buf applied = {.max = 4096};",
       ("integration.config",))
mutant(R, "and one of what a reload drops", "sidecar/app/lifecycle.c", "struct buf line = {.max = LIST_MAX};", "struct buf line = {.max = 2048};",
       ("integration.config",))
mutant(R, "a socket needs its folder", "sidecar/app/check.c", "} else if (missing && !makes_folder) {", "} else if (missing && why == NULL) {",
       ("unit.app.test_check",))
mutant(R, "one that can be written", "sidecar/app/check.c", "} else if (access(there, W_OK | X_OK) != 0) {",
       "} else if (access(there, W_OK | X_OK) > 0) {", ("unit.app.test_check",))
mutant(R, "and that is out of other users' reach", "sidecar/app/check.c", "if (!makes_folder || os_is_out_of_reach(below)) {",
       "if (below[0] != 0 || os_is_out_of_reach(below)) {", ("unit.app.test_check",))
mutant(R, "a check looks at the control socket", "sidecar/app/check.c", "usable = check_sockets(config, &said) && usable;",
       "usable = (check_sockets(config, &said) || true) && usable;", ("integration.config",))
mutant(R, "and at those of metrics_listen", "sidecar/app/check.c", "&s->metrics_listen, out) && usable", "&s->listen, out) && usable",
       ("integration.config",))
mutant(R, "a folder is no socket", "sidecar/app/check.c", "if (path[strlen(path) - 1] == '/' ||", "if (path[0] == '\\0' ||", ("unit.app.test_check",))
mutant(R, "num_ctx as a value is sent", "sidecar/path/dialect/overrides.c",
       "if (o->ollama && o->policy->num_ctx == MATCH_VALUE) {", "if (o == NULL) {", ("unit.dialect.test_overrides",))
mutant(R, "a data_dir that is there is in order", "sidecar/app/check.c",
       "if (status == 0 && !S_ISDIR(st.st_mode)) {", "if (status == 0) {", ("integration.config",))
mutant(R, "one line for each exchange", "sidecar/path/exchange/exchange.c", "    event_end(x);\n", "",
       ("integration.config",))
mutant(R, "an upstream's change is said once", SERVER,
       "} else if (!reached && s->called != SERVER_REACH_UNREACHED) {", "} else if (!reached) {", ("integration.config",))
mutant(R, "the breaker's opening is said once", BREAKER,
       "        if (b->open_until.us == 0) {\n            log_warn", "        if (b != NULL) {\n            log_warn",
       ("integration.config",))

R = "6 bounds"
mutant(R, "then it is answered empty", ADVANCE, "} else if (f->state == FLIGHT_STATE_QUEUED) {\n        flight_finish_empty(f, OUTCOME_BUSY);",
       "} else if (f->state == FLIGHT_STATE_QUEUED) {\n        call_start(f);", YIELD)
mutant(R, "so it is after giving way", ADVANCE, "completion_release_all(f);\n    arm_hold(f);",
       "completion_release_all(f);", YIELD)
mutant(R, "priority goes first", SCHEDULE, "if (a->policy->priority != b->policy->priority) {", "if (a == b) {", UNIT)
mutant(R, "the lower number goes first", SCHEDULE, "return a->policy->priority < b->policy->priority;",
       "return a->policy->priority > b->policy->priority;", UNIT)
mutant(R, "then the oldest", SCHEDULE, "held_a : a->born.us < b->born.us;", "held_a : a->born.us > b->born.us;", UNIT)
mutant(R, "a late joiner has waited as long as the first", FLIGHT, "add_waiter(f, waiter, true);\n",
       "add_waiter(f, waiter, true);\n        if (f->state == FLIGHT_STATE_QUEUED) {\n"
       "            gate_end(t->parts.gate, &f->ticket, false);\n"
       "            gate_wait(t->parts.gate, &f->ticket);\n        }\n", BOUNDS)

# ---- 7: one model ----

R = "7 one_model"
mutant(R, "another model waits", DECIDE, "if (!j->to->one_model ||", "if (j->to->one_model ||", UNIT)
mutant(R, "only where it is set", DECIDE, "if (!j->to->one_model || key_is_zero(row->resident)",
       "if (key_is_zero(row->resident)", BOUNDS)
mutant(R, "not while something runs", DECIDE, "if (open_interactive(row->machine) > 0 || row->running_count > 0) {",
       "if (row->machine == NULL) {", UNIT_BOUNDS)
mutant(R, "until quiet for swap_after", DECIDE, "quiet_since.us + j->to->swap_after}", "quiet_since.us}", UNIT)
mutant(R, "those of the resident model go together", SCHEDULE, "if (swap_a != swap_b) {", "if (a == b) {", UNIT_BOUNDS)
mutant(R, "outside max_hold", SCHEDULE, "        j->swapping = swapping;\n", "", UNIT)
mutant(R, "a swap ends the holds of its turn at once", SCHEDULE, "    if (best == NULL && !key_is_zero(s->spent.turn)) {", "    if (best == NULL && now.us < 0) {", UNIT_BOUNDS)
mutant(R, "what was waited before a swap counts", SCHEDULE, "        count_wait(s, j, now);\n        j->swapping = swapping;",
       "        j->since = now;\n        j->swapping = swapping;", UNIT_BOUNDS)
mutant(R, "before max_hold is asked", DECIDE, "enum schedule_why why = ask_model(j, now, until);",
       "enum schedule_why why = hold_is_over(j, now) ? SCHEDULE_FREE : ask_model(j, now, until);", UNIT)
mutant(R, "a chat's model is resident", INTERACTIVE, "f->row->resident = f->model;", "", UNIT)
mutant(R, "a task's model is resident", SCHEDULE, "j->row->resident = j->model;", "", UNIT_BOUNDS)
mutant(R, "a chat says its model", CHAT, ".model = servers_key(x->engine->parts.servers, model),", "", BOUNDS)
mutant(R, "a task says its model", ADVANCE, ".model = servers_key(f->table->parts.servers, flight_way_model(f)),", "", BOUNDS)

# ---- 8: rewarm ----

R = "8 rewarm"
mutant(R, "only after tasks", REWARM, "if (m.idle < 0 || !tasks || row->server->replaced || !is_wanted(r, to)) {",
       "if (m.idle < 0 || (!tasks && row == NULL) || row->server->replaced || !is_wanted(r, to)) {", WARM)
mutant(R, "only when idle", REWARM,
       "if (m.idle < 0 || !tasks || row->server->replaced || !is_wanted(r, to)) {\n        return -1;\n    }\n    return m.idle >= REST",
       "if (!tasks || row->server->replaced || !is_wanted(r, to)) {\n        return -1;\n    }\n    return m.idle < 0 || m.idle >= REST",
       WARM_BOUNDS)
mutant(R, "idle for a second", REWARM, "return m.idle >= REST ? 0 : REST - m.idle;", "return 0;", WARM)
mutant(R, "once a turn", REWARM, "if (!aborted || row->tries >= TRIES) {\n        forget_request(row);",
       "if (aborted && row->tries >= TRIES) {\n        forget_request(row);", WARM)
mutant(R, "tried twice at most", REWARM, "if (!aborted || row->tries >= TRIES) {", "if (!aborted) {", WARM)
mutant(R, "gives way to tasks and queries", REWARM, "    if (m->idle < 0) {\n        abort_call(row);", "    if (m->idle < 0 && took < 0) {\n        abort_call(row);", WARM)
mutant(R, "gives way to a chat before it is sent", REWARM, "    drop_request(row);\n    if (!first_turn",
       "    if (row->call != NULL) {\n        return gap;\n    }\n    if (!first_turn", WARM_BOUNDS)
mutant(R, "two minutes at most", REWARM, "if (took >= LONGEST) {\n        drop_request(row);",
       "if (row == NULL) {\n        drop_request(row);", WARM_BOUNDS)
mutant(R, "one token", "sidecar/path/dialect/warmup.c", '{SPAN("max_tokens"), SPAN("1")}',
       '{SPAN("max_tokens_"), SPAN("1")}', WARM)
mutant(R, "one token of Ollama's", "sidecar/path/dialect/warmup.c", '{SPAN("num_predict"), SPAN("1")}',
       '{SPAN("num_predict"), SPAN("0")}', WARM)
mutant(R, "off unless it is set", "include/lull/config/options.def", 'REWARM, rewarm, "off",',
       'REWARM, rewarm, "on",', WARM)
mutant(R, "a server that was replaced is not rewarmed", REWARM, "!tasks || row->server->replaced || ", "!tasks || ", WARM)
mutant(R, "auto asks for a loss", REWARM, "(to->rewarm == REWARM_AUTO && is_lossy(r, to));",
       "(to->rewarm == REWARM_AUTO && measured_of(r, to) && is_lossy != NULL);", WARM)
mutant(R, "auto: a loss that was measured", REWARM,
       "return m->count[good] == 0 || (loss > LOSS_LEAST && loss > m->token[good] / 2);",
       "return m->count[good] == 0 || loss > -LOSS_LEAST;", WARM)
mutant(R, "auto: two turns after tasks first", REWARM, "TRIAL_AFTER = 2", "TRIAL_AFTER = 1", WARM)
mutant(R, "its time is in rewarm_s", REWARM, "up->rewarm_us += mono_diff(loop_now(row->all->loop), row->began);", "",
       WARM)
mutant(R, "its time is in no other figure", REWARM, "    row->call = NULL;\n    row->rewarmed",
       '    figures_task(row->all->figures, "follow_up")->upstream_us += up->rewarm_us;\n'
       '    row->call = NULL;\n    row->rewarmed', WARM_BOUNDS)
mutant(R, "its call is no task's", REWARM, "    up->rewarms++;\n",
       '    up->rewarms++;\n    figures_task(row->all->figures, "follow_up")->upstream_calls++;\n', WARM_BOUNDS)

# ---- 9: what people see ----

R = "9 seen"
mutant(R, "flights say why they wait", VIEW,
       '.why = f->state == FLIGHT_STATE_QUEUED ? schedule_why_name(f->ticket.job.why) : "",', '.why = "",', BOUNDS)
mutant(R, "flights that run wait for nothing", VIEW,
       '.why = f->state == FLIGHT_STATE_QUEUED ? schedule_why_name(f->ticket.job.why) : "",', '.why = "chat",', BOUNDS)
mutant(R, "flights say how long they have waited", VIEW, ".waited = schedule_waited(&f->ticket.job, now),", "",
       BOUNDS)
mutant(R, "flights say how often they gave way", VIEW, ".requeued = f->ticket.job.requeued,", "", BOUNDS)
mutant(R, "flights say how many wait for them", VIEW, "            v.waiters++;\n", "", BOUNDS)
mutant(R, "explain knows the Origin", "sidecar/path/exchange/explain.c",
       "    if (!policy_allows_origin(x)) {", "    if (false && !policy_allows_origin(x)) {", ("integration.explain",))
mutant(R, "explain knows whose key would be lent", "sidecar/path/exchange/explain.c",
       "route_refuses(x, r);", "HTTP_ERROR_NONE;", ("integration.explain",))
mutant(R, "explain says what it would wait for", "sidecar/path/exchange/explain.c",
       "out->waits = schedule_why_name(ahead.why);", "", BOUNDS)
mutant(R, "explain knows what the turn has spent", SCHEDULE, "probe.state = SCHEDULE_WAITING;",
       "probe.state = SCHEDULE_IDLE;", BOUNDS)
mutant(R, "explain knows which turn it is", VIEW,
       ".conversation = spec->turn.conversation,\n                               .turn = spec->turn.turn,",
       ".conversation = spec->turn.conversation,", BOUNDS)
mutant(R, "GET /flights says why", "sidecar/control/flights.c", 'cJSON_AddStringToObject(one, "why", f->why);', "",
       WAITS)
mutant(R, "the place in the queue is the schedule's", SCHEDULE, "position += before(other, j)",
       "position += j == NULL", UNIT_BOUNDS)
mutant(R, "a late call has no time left", VIEW, "left > 0 ? left : 0", "left", BOUNDS)
mutant(R, "GET /flights says what a machine does", "sidecar/control/flights.c", '(double)m->waiting);', "0);",
       WAITS)
mutant(R, "GET /explain says what it would wait for", "sidecar/control/explain_reply.c",
       "e->waits[0] != '\\0' ? e->waits : NULL", "NULL", WAITS)
mutant(R, "a later answer is not near an earlier miss", NEAREST, "!later && !own && (", "(",
       ("integration.explain",))
mutant(R, "texts of stored requests are for the trusted", NEAREST, "if (texts && line->in_stored) {",
       "if (line->in_stored) {", ("integration.explain",))
mutant(R, "the last miss is for the trusted", "sidecar/control/explain_reply.c", "if (!q->trusted) {",
       "if (ctl == NULL) {", ("integration.explain",))
mutant(R, "a purge forgets the missed requests", "sidecar/path/exchange/engine.c",
       "    misses_clear(e->misses);\n    through_resize(", "    through_resize(",
       ("integration.explain",))
mutant(R, "no missed request is kept with keep_requests = no", MISSES, "!x->settings->cache.keep_requests ||", "",
       ("integration.explain",))
mutant(R, "large missed requests are not kept", MISSES, "x->body.len > BODY_MAX ||", "", ("integration.explain",))
mutant(R, "missed requests are forgotten with keep_requests = no", "sidecar/path/exchange/engine.c",
       "if (!settings->cache.keep_requests) {", "if (settings == NULL) {", ("integration.explain",))
mutant(R, "more equal values come before a likelier text", DIFF, "a->equal != b->equal ? a->equal > b->equal : ", "",
       ("unit.json.test_json_diff",))
mutant(R, "the ends of a text are counted once", DIFF, "(a.len < b.len ? a.len : b.len) - prefix",
       "(a.len < b.len ? a.len : b.len) - prefix * 0", ("unit.json.test_json_diff",))
mutant(R, "a position is at the beginning of a character", DIFF, "    while (n > 0 &&\n", "    while (n > a.len &&\n",
       ("unit.json.test_json_diff",))
mutant(R, "lullctl shows C1 controls as numbers", "sidecar/ctl/print.c",
       "first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0", "first == 0xc2 && second == 0 ? 2 : 0",
       ("unit.ctl.test_print",))
mutant(R, "lullctl takes no option of another verb", "sidecar/ctl/verbs.c", "(ctl->given & ~verb->options) != 0",
       "ctl == NULL", ("unit.ctl.test_command_line",))
mutant(R, "lullctl flights says why", "sidecar/ctl/print.c", 'print_member(f, "why", 10);',
       'print_member(f, "", 10);', WAITS)
mutant(R, "what is queued says why at once", SCHEDULE, "j->why = decide(s, j, now, &until);\n}",
       "(void)s, (void)j, (void)now, (void)until;\n}", UNIT_BOUNDS)
mutant(R, "machines say what is open", "sidecar/path/schedule/view.c", ".chats = m->chats, .foreground",
       ".chats = 0, .foreground", UNIT)

# ---- the load of a chat's own model ----

R = "load"
LOADING = ("scenario.test_loading",)
LOADS = "sidecar/path/schedule/loading.c"
mutant(R, "it is the chat's too", SCHEDULE, "bool spared = must && loads_for(origin, j, now);", "bool spared = must && j->spared && loads_for(origin, j, now);", LOADING)
mutant(R, "of its own model", LOADS, "return j->row == origin && hash_key_eq(j->model, origin->interactive_model) &&", "return j->row == origin &&", LOADING)
mutant(R, "not where it is loaded", LOADS, "           !is_loaded(j->row, j->model, now);", "           j->row != NULL && now.us > 0;", LOADING)
mutant(R, "for some minutes", "sidecar/path/schedule/schedule_priv.h", "STAYS_LOADED = 300 * USEC_PER_S;", "STAYS_LOADED = 3000 * USEC_PER_S;", LOADING)
mutant(R, "a chat's token says that it is loaded", INTERACTIVE, "        server_model_answered(f->row->server, f->model, now);\n", "", LOADING)
mutant(R, "until the first byte", "sidecar/path/schedule/gate.c", "while ((j = schedule_overdue(g->schedule, now)) != NULL) {", "while (now.us < 0 && (j = schedule_overdue(g->schedule, now)) != NULL) {", LOADING)
mutant(R, "only where models are loaded on demand", LOADS, "j->state == SCHEDULE_RUNNING && j->loads &&", "j->state == SCHEDULE_RUNNING &&", LOADING)
mutant(R, "one_model is such a server", CALL, "to->one_model || to->dialect", "to->dialect", LOADING)
mutant(R, "what was sent leaves its load", "sidecar/path/flight/completion.c", "was_sent(f, sent) && !flight_leave_loading(f, OUTCOME_SENT)) {", "was_sent(f, sent)) {", LOADING)
mutant(R, "what is superseded leaves its load", "sidecar/path/flight/completion.c", "if (!flight_leave_loading(f, OUTCOME_SUPERSEDED)) {", "if (f->call != NULL) {", LOADING)
mutant(R, "a call that was cut off drains behind its fallback too", ADVANCE, "gate_end(f->table->parts.gate, &f->ticket, f->cut);", "gate_end(f->table->parts.gate, &f->ticket, false);", ("scenario.test_failure",))
mutant(R, "no call begins behind its deadline", "sidecar/path/flight/completion.c", "if (f->call == NULL || !f->spec.store", "if (f->state != FLIGHT_STATE_CALLING || !f->spec.store", ("scenario.test_probes",))
mutant(R, "what follows a load goes on following", ENDING, "    answer_all_empty(f, outcome);\n    return true;",
       "    completion_release_all(f);\n    answer_all_empty(f, outcome);\n    return true;", LOADING)
mutant(R, "and ends with its first byte", CALL, "if (f->detached && f->for_load && list_empty(&f->followers)) {", "if (f->detached && f->call == NULL) {", LOADING)

# ---- 10: failures of model servers ----

R = "10 failure"
FAIL = ("scenario.test_failure",)
mutant(R, "what has a fallback waits for no throttle", DECIDE,
       "return j->leaves_throttled && throttle_is_on(j->row->server, now);", "return j->leaves_throttled && now.us < 0;", ("scenario.test_throttle",))
mutant(R, "explain says where a throttled server's task goes", VIEW, "o.falls_back = other && failure_keeps_away(",
       "o.falls_back = false && failure_keeps_away(", ("scenario.test_throttle",))
mutant(R, "what leaves for its fallback swaps no model", SCHEDULE,
       "if (!key_is_zero(j->model) && !leaves_now(j, now)) {", "if (!key_is_zero(j->model)) {", UNIT_BOUNDS)
mutant(R, "it goes there from the queue, too", FAILURE,
       "    enum flight_event event = throttle_divert(f);\n    return event == FLIGHT_EVENT_NONE ? breaker_divert(f) : event;",
       "    enum flight_event event = FLIGHT_EVENT_NONE;\n    return event == FLIGHT_EVENT_NONE ? breaker_divert(f) : event;", ("scenario.test_throttle",))
mutant(R, "a request that would come back is not forwarded", "sidecar/path/exchange/respond.c",
       "error == HTTP_ERROR_BUSY || error == HTTP_ERROR_LOOP", "error == HTTP_ERROR_BUSY", ("scenario.test_observe",))
REFUSED = ("scenario.test_refusal",)
mutant(R, "once more where not one byte came", FAILURE, "if (transport && !received && !f->retried && !f->has_first && !f->detached) {",
       "if (transport && !received && f->retried && !f->has_first) {", FAIL)
mutant(R, "never more than once", FAILURE, "        f->retried = true;\n", "", FAIL)
mutant(R, "the breaker opens", BREAKER, "if (b->failures >= to->breaker_failures) {", "if (b->failures < 0) {", FAIL)
mutant(R, "an open breaker lets nothing pass", BREAKER, "return b->open_until.us == 0 || *trial;",
       "return b->open_until.us >= 0 || *trial;", FAIL)
mutant(R, "one task tries", BREAKER, "b->half_open = b->half_open || *trial;", "", FAIL)
mutant(R, "a client that leaves ends the trial of a half-open breaker", BREAKER, "s->breaker.half_open = false;", "(void)s;", FAIL)
mutant(R, "a chat that is answered closes it", "sidecar/path/exchange/forward.c", "if (r->whole && !breaker_counts(r->status)) {", "if (r->status > 999) {", FAIL)
mutant(R, "4xx do not count", BREAKER, "return status >= 500 || status == 408 || status == 429;",
       "return status >= 400;", FAIL)
mutant(R, "a call that fell back goes on at the fallback", "sidecar/path/flight/state.c", "[FLIGHT_EVENT_FELL_BACK] = {HELD | QUEUED | CALLING, FLIGHT_STATE_QUEUED}",
       "[FLIGHT_EVENT_FELL_BACK] = {HELD | QUEUED, FLIGHT_STATE_QUEUED}", ("unit.flight.test_states",) + FAIL)
mutant(R, "the fallback is asked", FAILURE, "if (end->upstream_failed && falls_back(f)) {", "if (end == NULL && falls_back(f)) {", FAIL)
mutant(R, "once", FAILURE, "if (f->spec.fallback.upstream < 0 || f->fell_back || f->detached) {", "if (f->spec.fallback.upstream < 0) {", FAIL)
mutant(R, "its answer is not kept", "sidecar/path/exchange/dispatch.c", "spec->store && !end->fell_back;", "spec->store;", FAIL)
mutant(R, "429 closes the door", FAILURE, "    throttle_note(flight_server(f),", "    if (t == NULL) throttle_note(flight_server(f),", FAIL)
mutant(R, "no longer than max_hold", DECIDE, "(bounded || since.us + patience(s, j) >= open.us)", "(bounded || since.us >= 0)", FAIL)
mutant(R, "a date is written as its form says", THROTTLE, "if (!is_written_so(text, forms[i], &when) ||", "if (",
       ("unit.server.test_server",))
mutant(R, "a year of two digits is no year", THROTTLE, "|| when.tm_year < 70", "|| when.tm_year < -1900",
       ("unit.server.test_server",))
mutant(R, "a person waits 3 s at a door at most", DECIDE, "return throttle < left ? throttle : left;", "return left + 0 * throttle;", FAIL)
mutant(R, "a person's waits at the door add up", DECIDE, "FOREGROUND_THROTTLE - j->held;", "FOREGROUND_THROTTLE;", FAIL)
mutant(R, "a person waits for a time that was said", DECIDE, "return person ? server->said_until : server->throttled_until;",
       "return person ? server->throttled_until : server->throttled_until;", FAIL)
mutant(R, "a fraction of a second counts as one", THROTTLE, "seconds += more ? 1 : 0;", "seconds += more ? 0 : 0;", FAIL)
mutant(R, "a Retry-After that cannot be read is absent", THROTTLE, "if (digits == 0 || *end != '\\0') {", "if (digits == 0) {", FAIL)
mutant(R, "an hour at most", THROTTLE, "return (seconds < most ? seconds : most) * USEC_PER_S;", "return seconds * USEC_PER_S + 0 * most;", FAIL)
mutant(R, "a date in the past is now", THROTTLE, "return left < 0 ? 0 : left > THROTTLE_MAX", "return left < 0 ? -1 : left > THROTTLE_MAX", FAIL)
FLIGHT_T = ("scenario.test_flight",)
FLIGHT_ANSWERS = ("scenario.test_flight_answers",)
FLIGHT_MEMORY = ("scenario.test_flight_memory",)
mutant(R, "a flight without memory borrows nothing", "sidecar/path/flight/spec.c", "bare.target = bare.body = bare.material = bare.model = bare.scope = SPAN_NONE;", "",
       FLIGHT_MEMORY)
mutant(R, "not after a status about something else", CALL_RESULT, "others[] = {401, 403,", "others[] = {403,", REFUSED)
mutant(R, "a status without an answer is a failure", CALL_RESULT, ".upstream_failed = !f->assembling ||", ".upstream_failed = f->status >= 400 ||", FAIL)
mutant(R, "which is not that it is down", "sidecar/path/flight/failure.c", "bool refused = end->status >= 300 || !f->assembling;", "bool refused = end->status >= 400;", FAIL)
mutant(R, "not after a gateway's timeout", CALL_RESULT, "503, 504, 522, 524, 529};", "503};", REFUSED)
mutant(R, "a stream that is read forgets those that were not", REFUSAL, "read ? 0 : m->unread_streams + 1;", "m->unread_streams + (read ? 0 : 1);", REFUSED)
mutant(R, "a stream that is not read costs itself", REFUSAL, "if (m->unread_streams >= UNREAD_STREAMS) {", "if (m == NULL) {", REFUSED)
mutant(R, "a page says nothing of streams", CALL_RESULT, " && !failure_is_page(f);", ";", REFUSED)
mutant(R, "no second call once a token has come", CALL_RESULT, "may_ask_again(f, a->error_status) && !a->first_token_seen", "may_ask_again(f, a->error_status)", REFUSED)
mutant(R, "no second call for half an event", "sidecar/path/dialect/assemble.c", "return a->first_token_seen || event;", "return a->first_token_seen || (event && a == NULL);", REFUSED)
mutant(R, "once more after a cut", CALL_RESULT, "!f->answer_begun && may_ask_again(f, 0)) {", "f->answer_begun && may_ask_again(f, 0)) {", REFUSED)
mutant(R, "once more after a broken connection", CALL_RESULT, "if (reached && !f->answer_begun && may_ask_again(f, f->status)) {", "if (reached && f->answer_begun && may_ask_again(f, f->status)) {", REFUSED)
mutant(R, "an error without a status teaches nothing", CALL_RESULT, "return a->error_coded ? ask_again_refused", "return a->error_status > 0 ? ask_again_refused", REFUSED)
mutant(R, "the second try's schema alone is remembered", CALL_RESULT, "(more & ADDITION_SCHEMA) != 0 &&", "(more & ADDITION_SCHEMA) == 0 &&", REFUSED)
mutant(R, "one suspect at a time", REFUSAL, "r->step = r->last == ADDITION_STREAM ? what->sent : r->last;", "r->step = what->sent;", REFUSED)
mutant(R, "the most suspicious first", REFUSAL, "return set & (~set + 1); /* the lowest bit */", "unsigned one = ADDITION_STREAM;\n    while ((set & one) == 0) {\n        one >>= 1;\n    }\n    return one;", REFUSED)
mutant(R, "the one that the error names", REFUSAL, "what->named != 0 ? what->named : most_suspicious(what->sent);", "most_suspicious(what->sent);", REFUSED)
mutant(R, "a server without stream gets the next one bare", REFUSAL, "r->step = r->last == ADDITION_STREAM ? what->sent : r->last;", "r->step = r->last;", REFUSED)
mutant(R, "what is not proven comes back", REFUSAL, "    unsigned last = 0;\n    for (unsigned i = ADDITIONS; i-- > 0 && !r->searching;) {", "    unsigned last = 0;\n    for (unsigned i = ADDITIONS; i-- > ADDITIONS && !r->searching;) {", REFUSED)
mutant(R, "what comes back and is taken stays", REFUSAL, "        r->suspects &= ~trial;\n", "", REFUSED)
mutant(R, "another kind's answer proves nothing", REFUSAL, "if (r->searching && all_else && (asked->left & r->last) != 0) {", "if (r->searching && all_else) {", REFUSED)
mutant(R, "remembered for an hour", REFUSAL, "REMEMBERED = 3600 * USEC_PER_S", "REMEMBERED = 36000 * USEC_PER_S", REFUSED)
mutant(R, "a 5xx is doubted", REFUSAL, "r->doubtful = what->status >= 500 && what->status != 501;", "r->doubtful = what->status >= 600;", REFUSED)
mutant(R, "for five minutes", REFUSAL, "DOUBTED = 300 * USEC_PER_S", "DOUBTED = 3000 * USEC_PER_S", REFUSED)
mutant(R, "for that model", SERVER, "if (hash_key_eq(s->models[i]->key, key)) {", "if (key.lo != 0) {", REFUSED)
mutant(R, "for that server", SERVER, "return all->items[to->server - 1];", "return all->items[0];", REFUSED)
mutant(R, "a reload forgets it", "sidecar/path/exchange/engine.c", "    refusal_forget(e->parts.servers);\n", "", REFUSED)
mutant(R, "an old refusal is explained by what is left out", REFUSAL, "(known != NULL && (what->sent & out_of(known) & ~what->trial) != 0)", "(known != NULL && now.us < 0)", REFUSED)
mutant(R, "a server's count of tokens is bounded", "sidecar/path/flight/cost.c", "return n < TOKENS_MOST ? n : TOKENS_MOST;", "return n;", FLIGHT_ANSWERS)
mutant(R, "an old answer stands in", "sidecar/path/cache/cache.c", "wall_t kept = {put->expires.us + put->stale};",
       "wall_t kept = {put->expires.us};", FAIL)
mutant(R, "and is no hit", "sidecar/path/cache/cache.c", "(stale || v->fresh.us > now.us) &&",
       "(stale || v->fresh.us != 1) &&", FAIL)
mutant(R, "a wrong form is asked for once more", CALL_RESULT, "    if (!fit) {\n        return ask_for_shape(f);", "    if (!fit && f == NULL) {\n        return ask_for_shape(f);", FAIL)
mutant(R, "by the schema", WIRE, ".schema = f->shape_retried,", "", FAIL)
mutant(R, "the body is not read again for its call", WIRE, "body.ptr == f->spec.body.ptr ? f->nodes : NULL,", "NULL,", ("scenario.test_reading",))
mutant(R, "only its own nodes are of a body", WIRE, "body.ptr == f->spec.body.ptr ? f->nodes : NULL,", "f->nodes,", ("scenario.test_reading",))
mutant(R, "the first answer is kept for it", FAILURE, "    if (f->has_first) {\n        return call_use_first(f);",
       "    if (f->has_first && f->status == 0) {\n        return call_use_first(f);", FAIL)
mutant(R, "a model that never gets it is not asked twice", CALL_RESULT, "pace->shape_lost >= FLIGHT_SHAPE_LOST", "pace->shape_lost > 1000", FAIL)

# ---- the cache ----

R = "cache"
CACHE = "sidecar/path/cache/cache.c"
RECORDS = ("unit.cache.test_cache_records",)
UPKEEP = ("unit.cache.test_cache_upkeep",)
mutant(R, "what was seen while observing is never served", CACHE, "(key->observing || (v->flags & CACHE_FLAG_OBSERVED) == 0)",
       "(key->observing || (v->flags & CACHE_FLAG_OBSERVED) != 99)", RECORDS)
mutant(R, "and is seen while observing", CACHE, "(key->observing || (v->flags & CACHE_FLAG_OBSERVED) == 0)",
       "((v->flags & CACHE_FLAG_OBSERVED) == 0)", RECORDS)
CODEC = "sidecar/path/cache/codec.c"
RECORD = "sidecar/path/store/record.c"
CHANGE = "sidecar/path/store/change.c"
WRITER = "sidecar/path/store/writer.c"
FILES = "sidecar/path/store/files.c"
STORE = ("unit.store.test_store",)
FAULTS = ("unit.store.test_store_faults",)
DAMAGE = ("unit.store.test_store_damage",)
ROOM = ("unit.cache.test_cache_room",)
mutant(R, "a file may lack free pages at its end", FILES, "count_free(s, there, used) >= used - there;", "count_free(s, there, used) > used - there;", STORE)
mutant(R, "a file may lack no page that is used", FILES, "(used * page)) == 0 && count_free", "(used * page)) == 0 || count_free", STORE)
mutant(R, "an answer record answers its own key only", CACHE, "    if (!material_matches(c, key, &v)) {", "    if (v.fresh.us == 0) {", RECORDS)
MATERIAL = "sidecar/path/cache/material.c"
mutant(R, "its head by a digest", MATERIAL, "return memcmp(own, v->digest, sizeof own) == 0 && c->means != NULL &&", "return c->means != NULL &&", RECORDS)
mutant(R, "its body by what the kept request means", MATERIAL, "c->means(v->request, v->flags, key->body);", "c->means != NULL;", RECORDS)
mutant(R, "the digest at hand is of that head", MATERIAL, "if (head.len > 0 && span_eq(buf_span(&memo->head), head)) {", "if (memo->head.len > 0) {", RECORDS)
mutant(R, "a request that is not kept is digested", MATERIAL, "key->body.len > 0 && v->request.len > 0;", "key->body.len > 0;", RECORDS)
mutant(R, "an exact record answers its own head only", CODEC, "if (!span_eq(t->material, key->head) ||", "if (", RECORDS)
mutant(R, "and its own body only", CODEC, "span_eq(span_make(middle, t->middle.len), t->middle) &&", "", RECORDS)
mutant(R, "one with little in common keeps a digest", CODEC, "return t->middle.len <= CACHE_EXACT_MIDDLE;", "return t->middle.len <= 65536;",
       RECORDS)
mutant(R, "what a purge came before is not stored", CACHE, "return generation == c->generation ? ERR_OK : ERR_BUSY;", "return ERR_OK;", UPKEEP)
mutant(R, "nothing is added while the disk takes nothing", CACHE, 'if (strcmp(c->state, "on") != 0) {', 'if (c->state[0] == 0) {', UPKEEP)
mutant(R, "the checksum covers the value", RECORD, "return head->checksum == record_checksum(head, value->ptr) ? ERR_OK : ERR_CORRUPT;",
       "return ERR_OK;", DAMAGE)
mutant(R, "the rest of a value has its own", RECORD, "return rest == 0 ||", "return rest != UINT64_MAX ||", DAMAGE)
mutant(R, "records are cut so that pages are full", RECORD, "if (total <= STORE_LEAF || total >= STORE_RUN) {", "if (total > 0) {", ROOM)
TOUCHES = "sidecar/path/cache/touches.c"
mutant(R, "only what is served counts as hit", "sidecar/path/cache/cache.c", "    hit->model = v.exact.model;\n", "    hit->model = v.exact.model;\n    cache_touch(c, hit->id, hit->seq);\n",
       ("scenario.test_cache", "scenario.test_completion"))
mutant(R, "a title that is asked again is no hit", "sidecar/path/exchange/lookup.c", "        cache_release(cache);\n        return LOOKUP_REFRESH;", "        cache_count_hit(cache, &found->hit);\n        cache_release(cache);\n        return LOOKUP_REFRESH;",
       ("scenario.test_cache",))
mutant(R, "hits wait in a table of a fixed size", TOUCHES, "t->room < CACHE_TOUCHES_ROOM && ", "", UPKEEP)
mutant(R, "what it has no row for is not counted", TOUCHES, "if (row->hits == 0 && is_full(t)) {", "if (row->hits == UINT64_MAX) {", UPKEEP)
mutant(R, "a few hits are written at a time", TOUCHES, "t->count > 0 && taken < most;", "t->count > 0;", UPKEEP)
mutant(R, "a row that leaves hides no other", TOUCHES, "    close_gap(t, t->next);\n", "    (void)close_gap;\n", UPKEEP)
mutant(R, "and all have their turn", TOUCHES, "t->next = (t->next + 1) & (t->room - 1);\n        if (row->hits > 0) {",
       "t->next = (t->next + 1) & (t->room / 2 - 1);\n        if (row->hits > 0) {", UPKEEP)
mutant(R, "a commit of touches is bounded", "sidecar/path/store/jobs.c", "return job->kind == STORE_TOUCH ?", "return job->kind == STORE_REMOVE ?", STORE)
mutant(R, "what was hit is spared", CHANGE, "row.chance = 1;", "row.chance = 0;", STORE)
mutant(R, "once", CHANGE, "int rc = 0;\n    if (*spared) {", "int rc = 0;\n    if (*spared && c->s == NULL) {", STORE)
mutant(R, "with its exact record", CHANGE, "(at->table == STORE_ANSWER || leads_to_younger(c, at->position, value)) &&",
       "at->table == STORE_ANSWER &&", STORE)
mutant(R, "one commit at most goes by under a reading", CHANGE, "    wait_for_reading(s);\n", "    (void)wait_for_reading;\n", STORE)
mutant(R, "a position is believed for its own record only", "sidecar/path/store/store.c",
       "if (e == ERR_OK && !is_of(&head, table, key)) {", "if (e == ERR_OK && head.table != (uint32_t)table) {", STORE)
EXACT = ("unit.store.test_store_exact",)
mutant(R, "an exact key goes with its answer", CHANGE, "    rc = known ? delete_exact(c, &head) : 0;\n", "    (void)known;\n", EXACT)
mutant(R, "with one that is evicted or expires, too", CHANGE, "    rc = rc == 0 ? delete_exact(c, head) : rc;\n", "", EXACT)
mutant(R, "a key that was given away stays", CHANGE, "           row.position == head->position;\n}\n\n/* Deletes what leads", "           row.position != 0;\n}\n\n/* Deletes what leads", EXACT)
mutant(R, "a new record under an exact key leaves the answer that was there", CHANGE, "if (known && !is_own(&head, table, key)) {", "if (known && head.table > STORE_EXACT) {", EXACT)
mutant(R, "a row removes the record of its own key only", CHANGE, "return head->table == (uint32_t)table && hash_key_eq(head->key, *key);\n}\n\nint change_remove_key", "return head->table == (uint32_t)table && key != NULL;\n}\n\nint change_remove_key", DAMAGE)
mutant(R, "an exact record that an exact key led to is removed", CHANGE, "    if (rc == 0 && store_job_has_exact(job)) {", "    if (rc != 0 && store_job_has_exact(job)) {", EXACT)
mutant(R, "an answer that is spared takes no key back", CHANGE, "        if (!leads_here(c, &head)) {", "        if (head.table > STORE_EXACT) {", EXACT)
mutant(R, "an exact key leads to no answer that was replaced", CACHE, "return !is_replaced(c, f) && is_seen(", "return is_seen(", RECORDS)
mutant(R, "the answer of an exact key is fresh", CACHE, "is_seen(key, now, false, f, v) && v->has_exact;", "is_seen(key, now, true, f, v) && v->has_exact;", RECORDS)
mutant(R, "an exact key that expires first has its own record", CACHE, "is_open(c, &f) && answer.fresh.us <= expires.us &&", "is_open(c, &f) &&", RECORDS)
mutant(R, "pending is said of the answer, not of its key", CACHE, "    hit->model = v.exact.model;\n    return f.pending ?",
       "    hit->model = v.exact.model;\n    return pending_find(&c->pending, STORE_EXACT, key->hash) != NULL ?", ("scenario.test_cache",))
mutant(R, "the answer that was stored last is the one", CACHE, "    return c->open != NULL && f->pending && c->open->seq == f->seq;", "    return c->open != NULL && f->pending;", RECORDS)
mutant(R, "jobs keep their order", CACHE, "    job->ctx = c;\n    cache_hand_over(c);\n", "    job->ctx = c;\n", RECORDS)
mutant(R, "nothing is tried while there is trouble", WRITER, "    if (s->trouble[0] != '\\0') { /* only", "    if (s->stop) { /* only", FAULTS)
mutant(R, "trouble ends when the disk takes data", WRITER, "files_probe(s, s->failed_bytes) == 0;", "s->stop;", FAULTS)
mutant(R, "and not before", WRITER, "check_files(s) && files_probe(s, s->failed_bytes) == 0;", "check_files(s);", FAULTS)
mutant(R, "files that were removed are missed", FILES, "return (rc != 0 && (errno == ENOENT || errno == ENOTDIR)) ||", "return (rc > 0) ||", FAULTS)
mutant(R, "files that come back are not written any more", WRITER, "!is_over(s) && check_files(s);", "check_files(s);", FAULTS)
mutant(R, "only faults of the store leave a mark", FILES, "    return store_at_work > 0 ||", "    return signo > 0 ||", FAULTS)
mutant(R, "those of its thread do", FILES, "    return store_at_work > 0 ||", "    return signo < 0 ||", FAULTS)
MACHINES = ("unit.store.test_store_machines",)
mutant(R, "a page may begin at each boundary of the system's pages", "sidecar/path/store/open.c", "in_page < page; in_page += LEAST_PAGE", "in_page < page; in_page += page",
       ("unit.store.test_store_machines",))
mutant(R, "a group is small beside the cache", WRITER, "s->options.max_size / 8;", "s->options.max_size;", MACHINES)
mutant(R, "those in the map do", FILES, "(signo != SIGABRT && kernel && at >= map_from && at < map_to)", "false", FAULTS)

# ---- the listeners ----

R = "edge"
EDGE = "sidecar/path/edge/edge.c"
LISTENERS = ("unit.edge.test_edge",)
mutant(R, "a listener that stays is not opened again", EDGE, "return listed(&c->e->listen, address) && listed(c->list, address) && !takes_others(c, address);",
       "return c->e == NULL && address == NULL;", LISTENERS)
mutant(R, "a reload that fails closes what it opened", EDGE, "    for (size_t i = 0; i < count; i++) {\n        if (!is_kept(c, c->list",
       "    for (size_t i = 1000; i < count; i++) {\n        if (!is_kept(c, c->list", LISTENERS)
mutant(R, "and nothing that was open", EDGE, "        if (!is_kept(c, c->list->items[i])) {", "        if (c->list->count > 0) {", LISTENERS)
mutant(R, "and opens again what it closed", EDGE, "if (c->closed[i] && http_server_listen(", "if (i > 1000 && http_server_listen(", LISTENERS)
mutant(R, "what is gone is closed", EDGE, "        if (!c->closed[i] && !is_kept(c, open->items[i])) {", "        if (open->count == 0) {", LISTENERS)
mutant(R, "an address takes the place of one that excludes it", EDGE, "if (err == ERR_BUSY && close_port(", "if (err == ERR_OK && close_port(", LISTENERS)
mutant(R, "[::] is opened again where it is to take other connections", EDGE, "    return is_wildcard(address, AF_INET6) &&", "    return address == NULL &&", LISTENERS)
mutant(R, "port 0 is another one each time", EDGE, "port != 0 &&\n", "true &&\n", LISTENERS)
mutant(R, "inherited sockets stay", EDGE, "    if (!e->inherited) {", "    if (list->count > 0) {", LISTENERS)

R = "reload"
mutant(R, "what only a restart changes stays in the settings", "sidecar/config/config.c",
       "            copy_field(v->option, &running->settings->server, &c->settings->server);\n", "",
       ("unit.config.test_config_keys",))
mutant(R, "warnings are those of the configuration in force", "sidecar/app/lifecycle.c",
       "    report_warnings(d, &r.warnings);\n    return r;",
       "    report_warnings(d, &r.warnings);\n    buf_move(&d->warned, &r.warnings);\n    return r;", ("integration.life",))

UNIT_SERVER = ("unit.server.test_server",)
PROBED = ("scenario.test_probes",)
mutant(R, "a server that is replaced keeps its record", SERVER, "        found = moved ? found : s;", "        found = s;", UNIT_SERVER + PROBED + ("scenario.test_reload",))
mutant(R, "what waits for a replaced server goes on", SERVER, "            forget(s);\n        }", "            (void)forget;\n        }", UNIT_SERVER + PROBED)
THROTTLED = ("scenario.test_throttle",)
mutant(R, "another key is tried at once", SERVER, "            forget_failures(s);\n        }\n        list[i]", "        }\n        list[i]", UNIT_SERVER + PROBED)
mutant(R, "what another key meets is not kept", SERVER, "return to->access == s->access_number;", "return to->access <= s->access_number;", UNIT_SERVER + THROTTLED)
mutant(R, "nor does its 429 throttle", "sidecar/path/flight/failure.c", "!throttles ||\n        !server_access_is_current(flight_server(f), flight_upstream(f))", "!throttles", THROTTLED)
mutant(R, "a held chunked body goes on chunked", "sidecar/path/relay/relay.c", "        .chunked = request->chunked,\n", "", ("integration.passthrough",))
mutant(R, "another key is probed with at once", SERVER, "    probe_retry(s->probe);\n", "", PROBED)
mutant(R, "slots found while others were set count later", "sidecar/path/server/probe.c", "    server_found_slots(row->server, slots); /* a reload", "    server_found_slots(row->server, row->to->slots == SLOTS_AUTO ? slots : 0); /* a reload", PROBED)
mutant(R, "a server that left slows nothing down", "sidecar/path/schedule/decide.c", "slow = row->home == m &&", "slow = row->machine == m &&", ("unit.schedule.test_schedule_bounds",))
mutant(R, "an own kind has its pace by name", "sidecar/path/server/pace.c", "strcmp(m->paces[at].kind, name) != 0", "m->paces[at].kind == NULL", ("unit.server.test_pace",))

# ---- 11: figures ----

R = "11 figures"
mutant(R, "percentiles by nearest rank", "include/lull/config/figures.h", "return (count * percent + 99) / 100;",
       "return 1 + (count - 1) * percent / 100;", ("unit.config.test_figures",))
WATCH = "sidecar/path/exchange/watch.c"
RESPOND = "sidecar/path/exchange/respond.c"
TIME = ("scenario.test_model_time",)
HOUR = ("scenario.test_hour",)
mutant(R, "hits save the model time of their call", RESPOND, "exchange_count_saved(x, found->kind, hit->model_time,", "exchange_count_saved(x, found->kind, hit->model_time / 2,", HOUR)
mutant(R, "so does a request that shares a call", RESPOND, "exchange_count_saved(x, kind, end->model_time, end->tokens,", "exchange_count_saved(x, kind, 0, end->tokens,", HOUR)
mutant(R, "so does the rest of a suggestion", RESPOND, "exchange_count_saved(x, kind, hit->model_time,", "exchange_count_saved(x, kind, 0,", HOUR)
mutant(R, "a suggestion held by the end of the window needs no call", "sidecar/path/exchange/autocomplete.c",
       "if (!spec->settings->cache.type_through || !spec->store ||", "if (spec != NULL || !spec->store ||", ("scenario.test_completion",))
mutant(R, "and counts as typed through", RESPOND, "    if (end->held) {\n", "    if (end->held && end->remainder) {\n", ("scenario.test_completion",))
mutant(R, "zeros of a server say nothing", CALL, "if (f->assembling && f->assembler.answer.model_time > 0) {", "if (f->assembling && f->assembler.answer.model_time >= 0) {", TIME)
mutant(R, "a preempted task is held again", ADVANCE, "    hold_back(f);\n    completion_release_all(f);", "completion_release_all(f);", YIELD + HOUR)
mutant(R, "model time begins with the request", CALL, "return mono_diff(end, f->started);",
       "return mono_diff(end, f->first_data.us != 0 ? f->first_data : f->started);", TIME)
mutant(R, "and ends with the last byte", CALL, "mono_t end = whole && f->last_data.us != 0 ? f->last_data :",
       "mono_t end = whole && f->last_data.us < 0 ? f->last_data :", TIME)
mutant(R, "the server's own durations come first", CALL, "if (f->assembling && f->assembler.answer.model_time > 0) {",
       "if (f->assembling && f->assembler.answer.model_time < -1) {", TIME)
mutant(R, "every call's time is spent", CALL, "flight_task_figures(f)->upstream_us += took;",
       "flight_task_figures(f)->upstream_us += f->cut ? 0 : took;", TIME)
mutant(R, "a call that was not reached spends nothing", CALL, "reached ? model_time(f, whole) : 0",
       "model_time(f, whole) + (reached ? 0 : 1)", TIME)
mutant(R, "a failed call is wasted", CALL_RESULT, "    call_wasted(f);\n    return failure_next(f, f->status != 0);",
       "    return failure_next(f, f->status != 0);", TIME)
mutant(R, "an answer that was not taken is wasted", ADVANCE, "if (!followed && list_empty(&f->waiters)) {",
       "if (followed && list_empty(&f->waiters)) {", TIME)
mutant(R, "a first try is wasted where it is not the answer", ENDING,
       "flight_task_figures(f)->wasted_us += f->first->end.model_time; /* 0 where it is used */", "", TIME)
mutant(R, "so is one before a fallback", CALL_RESULT, "        flight_waste_first(f);\n        answer_free", "        answer_free", TIME)
mutant(R, "a waiter that is answered while held back was held", ENDING, "    count_wait(f, w);\n    list_remove", "    list_remove", TIME)
mutant(R, "a joined waiter was held since it came", ENDING, "w->since.us > f->held_from.us ? w->since : f->held_from;",
       "w->since.us < 0 ? w->since : f->held_from;", TIME)
mutant(R, "passing tasks spend model time", WATCH, "    figures->upstream_us += took;\n", "", TIME)
mutant(R, "a passing task that is left is wasted", WATCH, "figures->wasted_us += used ? 0 : took;", "(void)used;", TIME)
mutant(R, "a task that waits to pass was held", PASS, "    count_wait(x);\n    schedule_called", "    schedule_called", TIME)

# ---- 12: observe ----

R = "12 observe"
OBSERVE = "sidecar/path/exchange/observe.c"
OBSERVED = "sidecar/path/exchange/observed.c"
SEEN = ("scenario.test_observe",)
mutant(R, "what was seen is found", "sidecar/path/exchange/lookup.c", "key.observing = use == LOOKUP_OBSERVE;", "", SEEN)
mutant(R, "and marked", OBSERVED, "    v->spec.flags |= CACHE_FLAG_OBSERVED;\n", "", SEEN)
mutant(R, "nothing is served", "sidecar/path/exchange/engine.c", "        observe_task(x, how);\n        return STEP_FORWARD;",
       "        observe_task(x, how);", SEEN)
mutant(R, "a real answer stays", OBSERVE, "spec.store = spec.store && !real;", "(void)real;", SEEN)
mutant(R, "its suggestions are held apart", "sidecar/path/exchange/autocomplete.c", "hold(observed ? observe_through(e->observe) : e->through,",
       "hold(observed ? e->through : e->through,", SEEN)
mutant(R, "a title asked again would be made again", "sidecar/path/exchange/lookup.c", "if (asks_refresh(x, &found->hit)) {\n        cache_release",
       "if (use != LOOKUP_OBSERVE && asks_refresh(x, &found->hit)) {\n        cache_release", SEEN)
mutant(R, "bad answers would not be kept", OBSERVED, "    dispatch_store(v->of->engine, &v->spec, &v->end);\n",
       "    v->spec.kind = KIND_CONTEXT_COMPACTION;\n    dispatch_store(v->of->engine, &v->spec, &v->end);\n", SEEN)
mutant(R, "equal requests share", OBSERVE, "struct observed *v = spec.join ? observed_find_equal(x->engine->observe, &spec) : NULL;",
       "struct observed *v = spec.join ? NULL : observed_find_equal(x->engine->observe, &spec);", SEEN)
mutant(R, "a client that left shares nothing", OBSERVED, "if (v == NULL || r->client_gone) {", "if (v == NULL) {", SEEN)
mutant(R, "a superseded answer is not kept", OBSERVED, "if (v->state == OBSERVED_RUNNING || !observed_is_completion(v)) {",
       "if (v->state != OBSERVED_OVER) {", SEEN)
mutant(R, "newer text supersedes", OBSERVED, "            observed_end(older);\n", "", SEEN)
mutant(R, "virtual calls wait for chats", "sidecar/path/exchange/chat.c", "        observe_front_began(x->engine->observe, x);\n", "", SEEN)
mutant(R, "and no longer than they are open", "sidecar/path/exchange/chat.c", "        observe_front_ended(x->engine->observe, x);\n", "", SEEN)
mutant(R, "obsolete work waits no longer", "sidecar/path/exchange/chat.c", "            observe_moved_on(x->engine->observe, &whose, request);\n", "", SEEN)
mutant(R, "an exchange leaves its virtual call however it ends", "sidecar/path/exchange/exchange.c", "    observe_left(x);\n", "", SEEN)
mutant(R, "streamed tasks wait", "sidecar/path/exchange/engine.c", "        observe_passing(x);\n", "", SEEN)
mutant(R, "virtual calls have a bound", OBSERVED, "if (o->count >= OBSERVED_MOST ||", "if (", SEEN)
mutant(R, "an answer on the side has a bound", WATCH, "> WATCH_MAX) {", "> 64 * WATCH_MAX) {", SEEN)
# ---- routes: where a request goes, and what its head says ----

R = "routes"
ROUTES = ("scenario.test_routes",)
ENDPOINTS = ("unit.dialect.test_endpoint",)
FLY = "sidecar/path/exchange/dispatch.c"
HEAD = "sidecar/path/exchange/route.c"
LOOKUP = "sidecar/path/exchange/lookup.c"
mutant(R, "libcurl does not act without end in one turn", "sidecar/path/upstream/pool.c", "if (ms > 0 || pool->at_once > AT_ONCE) {", "if (ms > 0) {", ("unit.upstream.test_pool",))
mutant(R, "an exact record that stands is not written again", LOOKUP, "if (x->exact_made && !stands) {", "if (x->exact_made) {\n        (void)stands;", ("scenario.test_completion",))
REQUEST = "sidecar/path/dialect/chat_request.c"
mutant(R, "a task goes under the client's own path", FLY, "return upstream == x->head.upstream\n",
       "return upstream < 0\n", ROUTES)
mutant(R, "a fallback too", FLY, "f->target = call_target(x, index);", "f->target = x->head.target;", ROUTES)
mutant(R, "elsewhere it goes under the url's path", REQUEST, ": to->below_v1                  ? SPAN",
       ": to->below_v1 || true ? SPAN", ROUTES)
mutant(R, "a base path is part of the key", LOOKUP, ".base = own ? endpoint_base(x->head.path) : SPAN_NONE,", "", ROUTES)
mutant(R, "a query is part of the key", LOOKUP, ".query = own ? x->head.query : SPAN_NONE,", "", ROUTES)
mutant(R, "a deployment is not assembled", REQUEST, "return deployment ? ENDPOINT_DEPLOYMENT : endpoint;",
       "return deployment ? ENDPOINT_CHAT : endpoint;", ENDPOINTS)
mutant(R, "/api/v1 is OpenAI's", REQUEST, "return version ? DIALECT_OPENAI : DIALECT_OLLAMA;",
       "return version ? DIALECT_OLLAMA : DIALECT_OLLAMA;", ENDPOINTS)
mutant(R, "a template is no value", HEAD, "&& !is_template(r->headers[i].value)) {", ") {", ROUTES)
mutant(R, "no text, no typist", "sidecar/path/exchange/autocomplete.c", "found.found && found.text.len > 0", "found.text.len > 0", ROUTES)

# ---- hosts: who may speak, and what is on this machine ----

R = "hosts"
GUARD = "sidecar/http/guard.c"
URLS = ("unit.config.test_config_urls",)
mutant(R, "names in .internal are allowed", GUARD, 'host_is_below(name, "internal") ||', "", ("unit.http.test_guard",))
mutant(R, "names in .local are allowed", GUARD, '|| host_is_below(name, "local") ||', "||", ("unit.http.test_guard",))
mutant(R, "0.0.0.0 is this machine", "sidecar/base/host.c", "return host_is_loopback(&a) || host_is_wildcard(&a);",
       "return host_is_loopback(&a);", ("unit.base.test_host",) + URLS)
mutant(R, "this host's own name is this machine", "sidecar/base/host.c",
       "host_is_local(host) || host_is_named(host, span_of(own))", "host_is_local(host)", URLS)
mutant(R, "a wildcard listener is no loopback listener", "sidecar/http/listen.c", "host_is_loopback(&a);",
       "(host_is_loopback(&a) || host_is_wildcard(&a));", ("integration.http",))
# ---- the end of an answer ----

R = "answers"
ASSEMBLE_C = "sidecar/path/dialect/assemble.c"
EVENTS_C = "sidecar/path/dialect/events.c"
ASSEMBLE_T = ("unit.dialect.test_assemble",)
mutant(R, "content that is no text is odd", ASSEMBLE_C,
       "} else if (text != NULL && text->type != JSON_NULL) {\n        a->odd = true;",
       "} else if (text != NULL && text->type != JSON_NULL) {\n        a->odd = a->odd;", ASSEMBLE_T)
mutant(R, "U+0000 is odd", ASSEMBLE_C, "a->odd = a->odd || !full;", "(void)full;", ASSEMBLE_T)
mutant(R, "what is cut off is incomplete", ASSEMBLE_C, "if (!transport_whole || (cut && !ended)) {",
       "if (!transport_whole) {", ASSEMBLE_T)
mutant(R, "a body that only the close ends needs its end mark", CALL, "return !report->close_delimited && call_has_form(f) ?", "return report != NULL && call_has_form(f) ?", FLIGHT_ANSWERS)
mutant(R, "text without an end mark is no whole answer", CALL_RESULT, "return has_json_shape(policy) &&\n           answer_validate", "return has_json_shape(policy) || answer_validate", FLIGHT_ANSWERS)
mutant(R, "a choice may say an error", EVENTS_C, "if (choice != NULL && take_choice_error(a, choice)) {", "if (choice == NULL && take_choice_error(a, choice)) {", ASSEMBLE_T)
mutant(R, "a rewarm call has one cap", "sidecar/path/dialect/warmup.c", "(struct json_edit){longer[i], SPAN_NONE}", "(struct json_edit){SPAN(\"\"), SPAN_NONE}", ("unit.dialect.test_warmup",))
mutant(R, "thinking keeps its name", EVENTS_C, "a->answer.is_reasoning = is_reasoning;", "a->answer.is_reasoning = false && is_reasoning;", ASSEMBLE_T)
mutant(R, "an end without a message is an end", EVENTS_C, "if (!chat && !nothing && (message", "if (!chat && (message", ASSEMBLE_T)
mutant(R, "a part that is thinking is no text", ASSEMBLE_C, "assemble_string(a, &a->answer.thinking, thinking);", "assemble_string(a, &a->answer.content, thinking);", ASSEMBLE_T)
mutant(R, "a finish reason ends an answer", ASSEMBLE_C, "bool ended = a->ended || (a->finish_seen && !repeated);",
       "bool ended = a->ended;", ASSEMBLE_T)
mutant(R, "a finish reason in every event is no end mark", ASSEMBLE_C, "(a->finish_seen && !repeated);", "a->finish_seen;",
       ASSEMBLE_T)
mutant(R, "text behind a finish reason takes it back", EVENTS_C, "a->finish_seen = false;", "(void)before;", ASSEMBLE_T)
mutant(R, "an empty error is none", ASSEMBLE_C, "    if (!empty) {", "    if (error != NULL) {", ASSEMBLE_T)
REPEAT_C = "sidecar/path/dialect/repeat.c"
mutant(R, "a repeated event has one text", REPEAT_C, "if (said->count != 1 ||", "if (said->count == 0 ||", ASSEMBLE_T)
mutant(R, "a whole message is said once", REPEAT_C, "said->anywhere || more ||", "more ||", ASSEMBLE_T)
mutant(R, "a repeated event is equal behind its text", REPEAT_C, "form->json.len) || at != end) {", "from) || at > end) {", ASSEMBLE_T)
mutant(R, "a string ends at its own quote", REPEAT_C, "p += code ? 5 : 1;", "p += code ? 5 : 0;", ASSEMBLE_T)
mutant(R, "an event that is read gives its form up", REPEAT_C, "    buf_clear(&form->json);\n", "", ASSEMBLE_T)
mutant(R, "silence behind the end is the end", CALL, "finished ? END_WAIT : flight_upstream(f)->stall_timeout",
       "finished ? 10 * END_WAIT : flight_upstream(f)->stall_timeout", FLIGHT_ANSWERS)
mutant(R, "no wait goes beyond answer_timeout", CALL, "most < left ? most : left", "most", FLIGHT_ANSWERS)
mutant(R, "what comes behind the end does not prolong it", CALL, "if (!finished || !f->ending || said) {",
       "if (!finished || f->call != NULL) {", FLIGHT_ANSWERS)
mutant(R, "text behind the end prolongs it", CALL, "if (!finished || !f->ending || said) {", "if (!finished || !f->ending) {",
       FLIGHT_ANSWERS)
mutant(R, "silence behind a finish reason beside text is no end", CALL, "    if (may_go_on(f)) {", "    if (may_go_on(f) && f->cut) {",
       FLIGHT_ANSWERS)
mutant(R, "any 2xx is put together", CALL, "return status / 100 == 2 &&", "return status == 200 &&", FLIGHT_ANSWERS)
mutant(R, "half an answer counts as failed", CALL, "broke == NULL ? &up->finished : &up->failed", "&up->finished", FLIGHT_ANSWERS)

# ---- what Open WebUI's parsers read ----

R = "parsers"
VALIDATE = "sidecar/path/webui/validate.c"
REPAIR = "sidecar/path/webui/repair.c"
JSON_READ = "sidecar/path/json/json_read.c"
JUDGE_T = ("unit.webui.test_validate",)
JSON_T = ("unit.json.test_json",)
CONVERT_T = ("unit.dialect.test_convert",)
mutant(R, "one name twice is ambiguous", JSON_READ, "if (node->type == JSON_OBJECT && json_has_twins(node)) {",
       "if (node->type == JSON_OBJECT && node == NULL) {", JSON_T)
mutant(R, "the last of one name counts", "sidecar/path/json/json_members.c", "found = json_named(member, name) ? member : found;",
       "found = found == NULL && json_named(member, name) ? member : found;", JSON_T)
mutant(R, "nested too deep is ambiguous", JSON_READ, "worse(r, r->depth >= JSON_SAFE_DEPTH ? JSON_AMBIGUOUS : JSON_OK);",
       "worse(r, JSON_OK);", JSON_T)
mutant(R, "a key is written in order", "sidecar/path/dialect/convert.c", "size_t i = c->normalized ? next_by_name(members, last) : n;",
       "size_t i = last == NULL || n > 0 ? n : 0;", CONVERT_T)
mutant(R, "the model stands beside the key", "sidecar/path/dialect/convert.c",
       "if (!c->normalized) {\n        convert_put_member(c, &c->root, name, value);",
       "if (c != NULL) {\n        convert_put_member(c, &c->root, name, value);", CONVERT_T)
mutant(R, "a schema lies deeper in the other dialect", "sidecar/path/dialect/convert_ollama.c",
       "if (json_depth(value) + BELOW >= JSON_SAFE_DEPTH) {", "if (json_depth(value) >= JSON_SAFE_DEPTH) {", CONVERT_T)
mutant(R, "what is no UTF-8 is repaired", "sidecar/base/buf.c", 'memcpy(at, "\\xEF\\xBF\\xBD", 3);',
       'memcpy(at, "\\xFF\\xBF\\xBD", 3);', ("unit.base.test_buf",))
REPAIR_T = ("unit.webui.test_repair",)
mutant(R, "no raw control characters", JSON_READ, "if (c == 0 || r->as != JSON_LOOSE) {", "if (c == 0) {", JUDGE_T)
mutant(R, "NaN is no JavaScript", JSON_READ, "good = python && json_word(&r->at, r->end, \"NaN\");",
       "good = json_word(&r->at, r->end, \"NaN\");", JUDGE_T)
mutant(R, "NaN is Python", JSON_READ, "bool python = r->as != JSON_JAVASCRIPT;", "bool python = false;", JUDGE_T)
mutant(R, "image prompts are read from the last brace", VALIDATE, "kind == KIND_QUERY || kind == KIND_IMAGE_PROMPT",
       "kind == KIND_QUERY", JUDGE_T)
mutant(R, "a thought without an end is no answer", VALIDATE, "json.len == 0 || (size_t)(json.ptr - text.ptr) > thoughts_unended(text)",
       "json.len == 0", JUDGE_T)
mutant(R, "nor an emoji", VALIDATE, "picture < thoughts_unended(content)", "true", JUDGE_T)
mutant(R, "thinking that Open WebUI does not read is no answer", VALIDATE, "kind == KIND_FOLLOW_UP) && !a->is_reasoning;", "kind == KIND_FOLLOW_UP);", JUDGE_T)
mutant(R, "thinking cut by the cap is no answer", VALIDATE, "from_thinking && a->finish != FINISH_LENGTH", "from_thinking", JUDGE_T)
mutant(R, "tags and queries are strings", VALIDATE, "kind == KIND_TAGS || kind == KIND_QUERY || policy", "policy", JUDGE_T)
mutant(R, "what JavaScript trims is blank", VALIDATE, "cp == 0x3000", "cp == 0x3001", JUDGE_T)
mutant(R, "a part of an object that breaks off is no answer", REPAIR, "bool part = !parts && len == 0 &&", "bool part = !parts && len == 1 &&", ("unit.webui.test_repair",))
mutant(R, "where a member is looked for, it may be", REPAIR, "bool part = !parts && len == 0 &&", "bool part = len == 0 &&", ("unit.webui.test_repair",))
mutant(R, "control characters are escaped", REPAIR, "return buf_append_json(out, span_make(s.ptr, 1));",
       "return buf_append(out, s.ptr, 1);", REPAIR_T)
mutant(R, "braces of queries are escaped", REPAIR, "if (validate_reads_last(kind) && (c == '{' || c == '}')) {",
       "if (validate_reads_last(kind) && c == '\\0') {", REPAIR_T)
mutant(R, "nothing is taken out of a thought without an end", "sidecar/path/webui/thoughts.c",
       "end == SIZE_MAX ? all.len :", "end == SIZE_MAX ? (all.len > 4096 ? all.len : at + 1) :", REPAIR_T)


# ---- connections ----

R = "connections"
SOCKETS = "sidecar/path/upstream/sockets.c"
TRANSFER = "sidecar/path/upstream/transfer.c"
WIRED = ("unit.upstream.test_upstream_wire",)
REUSE = ("unit.upstream.test_upstream_reuse",)
BODY = ("unit.upstream.test_upstream_body",)
NAMES = ("unit.upstream.test_upstream_names",)
mutant(R, "Host stands first", "sidecar/path/upstream/setup.c", "if (!is_streamed_chunked(req)) {", "if (req->method.len > 0) {", WIRED)
mutant(R, "an idle one is looked at before a request goes out on it", SOCKETS,
       "if (has_bytes_or_ended(picked)) {", "if (picked->retired && has_bytes_or_ended(picked)) {", REUSE)
mutant(R, "a descriptor of the resolver is no connection", SOCKETS, "sock->connection || call->first_on;", "sock->connection || call->attempts > 0;", NAMES)
mutant(R, "a connection is found by its port", SOCKETS, "    ask_ports(pool);\n", "", REUSE)
mutant(R, "all are, where none has the port", SOCKETS, "        return all_are_silent(call->pool);\n", "        return true;\n", REUSE)
mutant(R, "a request on another than was looked at is asked again", SOCKETS, "call->picked != CURL_SOCKET_BAD && call->picked != fd) {",
       "call->picked != CURL_SOCKET_BAD && fd < 0) {", REUSE)
mutant(R, "what begins before the request has left is not its answer", SOCKETS,
       "return sending;", "return false;", REUSE)
mutant(R, "what is not HTTP is not the answer", "sidecar/path/upstream/upstream.c",
       "call->late || junk ||", "call->late ||", REUSE)
mutant(R, "unasked bytes cost the trust", SOCKETS, "if (n > 0 && !sock->tls && !is_farewell(",
       "if (n < 0 && !sock->tls && !is_farewell(", REUSE)
mutant(R, "bytes behind the last chunk end the connection", TRANSFER, "if (at < bytes.len) {\n        curl_easy_setopt",
       "if (at > bytes.len) {\n        curl_easy_setopt", REUSE)
mutant(R, "what lies on a connection that was reset is read", "sidecar/path/upstream/upstream.c",
       "call->unread.len > 0 && !call->aborted", "call->unread.len == 0 && !call->aborted", WIRED)
mutant(R, "a caller may leave while that is read", "sidecar/path/upstream/upstream.c",
       "        call->pool->in_curl++; /* as there: an abort by a callback waits until it has returned */\n        transfer_unread(call);\n        call->pool->in_curl--;\n",
       "        transfer_unread(call);\n", WIRED)
mutant(R, "a body that is gone is not sent again for an encoding", TRANSFER, "call->judged < 2 && call_is_repeatable(call) &&", "call->judged < 2 &&", BODY)
mutant(R, "a head that the caller does not have is not reported", "sidecar/path/upstream/upstream.c",
       ".got_head = call->given,", ".got_head = h->final,", WIRED)
mutant(R, "bytes behind a head end the connection", TRANSFER,
       "return !call->to->tls && call->head_came == call->head_used;", "return !call->to->tls;", REUSE)
mutant(R, "a fallback that cannot read the request is not asked", "sidecar/path/exchange/dispatch.c",
       "index != x->upstream && lookup_takes_dialect(x, index);", "index != x->upstream;", ("scenario.test_failure",))
mutant(R, "a shared answer has the form of each endpoint", "sidecar/path/exchange/respond.c", "end->reply_endpoint == x->head.endpoint &&", "", ("scenario.test_flight",))
mutant(R, "no other endpoint's answer is passed on as it is", "sidecar/path/exchange/respond.c", "    return end->status >= 400;", "    return true;", ("scenario.test_flight",))
mutant(R, "an error ends its connection", TRANSFER, "return call->head.status < 400 && end_is_seen(call);", "return end_is_seen(call);", REUSE)
mutant(R, "an answer that its caller distrusts ends the connection", SOCKETS, "if (sock != NULL && sock->idle) { /*", "if (sock == NULL) { /*", REUSE)
mutant(R, "a connection that libcurl never waited for is watched", SOCKETS, "fd != CURL_SOCKET_BAD && sock_find(call->pool, fd) == NULL) {",
       "fd != CURL_SOCKET_BAD && call == NULL) {", REUSE)
mutant(R, "what does not fit a task ends its connection", CALL, "if (!f->fits) {", "if (f == NULL) {", FLIGHT_ANSWERS)
mutant(R, "so does a wrong form", CALL_RESULT, "f->fits = end->verdict != ANSWER_BAD;", "f->fits = true;", FLIGHT_ANSWERS)
mutant(R, "a 408 on an idle connection is of no request", TRANSFER, "call->head.status == 408 && call->reused",
       "call->head.status == 407 && call->reused", REUSE)
mutant(R, "an address stays as long as its call", "sidecar/path/upstream/origin.c", "    row->url->uses++;\n    return row->url;", "    return row->url;", NAMES)
mutant(R, "an address that refuses is looked up again", "sidecar/path/upstream/upstream.c",
       "return call->remembered && call->attempts == 0 &&", "return !call->remembered && call->attempts == 0 &&", NAMES)
mutant(R, "an encoding that does not exist is none", TRANSFER, "call->decode ? h->unknown :", "call->decode ? false :", BODY)
mutant(R, "a packed answer of such a server is decoded", TRANSFER, ": h->encoded && !h->unknown;", ": false;", BODY)
TRUST = ("unit.upstream.test_upstream_trust",)
mutant(R, "a ca_file stands instead of the system's", "sidecar/path/upstream/setup.c", "if (ca_file[0] != '\\0' || call->pool->system_file) {", "if (ca_file[0] == '\\0') {", TRUST)
mutant(R, "the system's are read once", "sidecar/path/upstream/setup.c", "if (ca_file[0] != '\\0' || call->pool->system_file) {", "if (ca_file[0] != '\\0') {", TRUST)
mutant(R, "and is read again for each connection", "sidecar/path/upstream/setup.c", "CURLOPT_CA_CACHE_TIMEOUT, 0L", "CURLOPT_CA_CACHE_TIMEOUT, 86400L", TRUST)
mutant(R, "a server of such an encoding is known", "sidecar/path/upstream/setup.c", "req->decode && !origin_is_plain(call->pool, call->origin);",
       "req->decode;", BODY)
mutant(R, "a model that is no name stays in the key", "sidecar/path/dialect/convert.c",
       "    return json_is(model, JSON_STRING) && !json_is_text(model, SPAN(\"\"));",
       "    return !json_is_text(model, SPAN(\"\"));", ("unit.fingerprint.test_fingerprint_keys",))
mutant(R, "what only a restart changes is shown as it is in force", "sidecar/config/config.c",
       "        if (was != NULL) {\n            replace_text(&v->text", "        if (was == v) {\n            replace_text(&v->text", ("integration.config",))
mutant(R, "what is shown is text", "sidecar/control/reply.c", "bool whole = utf8_valid(text) ||", "bool whole = text.len > 0 ||", ("integration.control",))
mutant(R, "letters of another charset are the client's", "sidecar/path/dialect/assemble.c", "scan_ascii(piece.ptr, piece.len) < piece.len) {",
       "scan_ascii(piece.ptr, piece.len) == piece.len) {", ("unit.dialect.test_assemble",))
mutant(R, "an encoded answer is decoded", TRANSFER, "call->decoding = call->decode && h->encoded;",
       "call->decoding = !call->decode && h->encoded;", BODY)
mutant(R, "all Connection lines count", "sidecar/http/request.c",
       "!http_connection_add(&r->connection, value)) {",
       "r->connection.count == 0 && !http_connection_add(&r->connection, value)) {", ("unit.http.test_request",))
mutant(R, "Connection lines have few elements", "sidecar/http/fields.c", "c->elements++ == HTTP_MAX_CONNECTION",
       "c->elements++ == HTTP_MAX_CONNECTION + 1", ("unit.http.test_request",))
mutant(R, "a head has few folded lines", "sidecar/path/upstream/response_head.c", "if (h->folds++ == UPSTREAM_MAX_HEADERS) {",
       "if (h->folds++ == 10 * UPSTREAM_MAX_HEADERS) {", WIRED)
mutant(R, "an answer is read in parts", TRANSFER, "call->held || (call->given_work >= READ_MOST && sockets_are_known(call));", "call->held;", WIRED)
mutant(R, "a connection that is picked is not idle any more", "sidecar/path/upstream/sockets.c", "    picked->idle = false;\n    sock_give(picked, call);\n    loop_watch_set(picked->watch, 0);\n", "", ("unit.upstream.test_upstream_reuse",))
mutant(R, "no pause where the connection counts as idle", TRANSFER, " && sockets_are_known(call)", "", ("unit.upstream.test_upstream_reuse",))
mutant(R, "those of answers too", "sidecar/path/upstream/response_head.c", "h->final = connection_of(h, &named);",
       "h->final = connection_of(h, &named) || true;", WIRED)
mutant(R, "a media type ends where its parameters begin", "sidecar/http/fields.c",
       "(s.len == type.len || s.ptr[type.len] == ';' ||", "(s.len >= type.len || s.ptr[type.len] == ';' ||",
       ("unit.http.test_fields",))

R = "relay"
RELAY = "sidecar/path/relay/relay.c"
RELAY_T = ("unit.relay.test_relay",)
mutant(R, "a client that does not read stops the server", RELAY, "    return more;", "    return more || true;", RELAY_T)
mutant(R, "a server that does not read stops the client", RELAY, "        http_body_pause(r->conn);\n", "        (void)r;\n", RELAY_T)
mutant(R, "a broken answer is no whole one", RELAY, "        http_reply_cut(r->conn);", "        http_reply_end(r->conn);", RELAY_T)
mutant(R, "a second Authorization does not pass", RELAY, "if (r->key.len > 0 && !key) {", "if (false) {", RELAY_T)

# ---- probes and loops ----

R = "probes"
PROBE = "sidecar/path/server/probe.c"
OWN = "sidecar/config/own_listener.c"
PROBES = ("scenario.test_probes",)
LOOPS = ("integration.loops",)
mutant(R, "a probe ends", PROBE, "    loop_timer_start(row->limit, PROBE_LIMIT);\n", "", PROBES)
mutant(R, "a mute server is not waited for", PROBE, "if (row->mute || !is_asking(row)) {", "if (!is_asking(row)) {", PROBES)
mutant(R, "nothing is asked where all is set", PROBE, "return row->server->loops || (!to->tls && !set);",
       "return row->server->loops || (!to->tls && set == set);", PROBES)
mutant(R, "a set dialect says what it is", PROBE, "to->dialect == DIALECT_CHOICE_OLLAMA", "to->dialect == 99", PROBES)
mutant(R, "another url is another server", SERVER, "bool moved = strcmp(s->url, url) != 0;",
       "bool moved = s->url == NULL;", PROBES)
mutant(R, "a refused probe says down", PROBE, "? SERVER_REACH_UNREACHED : SERVER_REACH_REACHED;", "? SERVER_REACH_UNTRIED : SERVER_REACH_REACHED;", PROBES)
mutant(R, "untried is not up", SERVER, "? SERVER_STATE_UP : SERVER_STATE_UNTRIED;", "? SERVER_STATE_UP : SERVER_STATE_UP;", PROBES)
mutant(R, "a marked request is refused", "sidecar/path/exchange/route.c",
       "if (is_back(x, r)) {", "if (false && is_back(x, r)) {", LOOPS)
mutant(R, "what leads back is not sent to", "sidecar/path/exchange/engine.c", "if (forward_is_loop(x)) {",
       "if (forward_is_loop(x) && x == NULL) {", LOOPS)
mutant(R, "a gateway's 401 does not say what the server is", PROBE, "bool client = status == 401 ||", "bool client =", PROBES)
mutant(R, "a gateway's 502 does not say it either", PROBE, "return !client && (status < 500 || status == 501);", "return !client && status != 503;", PROBES)
mutant(R, "a probe has the client's key", PROBE, "} else if (row->auth.len > 0) {", "} else if (row == NULL) {", PROBES)
mutant(R, "a token for lull is not the server's key", "sidecar/path/exchange/forward.c", "own ? SPAN_NONE : x->head.auth", "x->head.auth", PROBES)
mutant(R, "a refused key is not tried again soon", PROBE, "again ? PROBE_REFUSED_PAUSE : PROBE_PAUSE;", "again ? PROBE_PAUSE : PROBE_PAUSE;", PROBES)
mutant(R, "a new key is tried soon", PROBE, "bool again = row->refused && (row->had_key || auth.len == 0);", "bool again = row->refused;", PROBES)
mutant(R, "a server that has not the other API is asked in the client's", "sidecar/path/flight/wire.c", "f->api_refused ? asked", "f == NULL ? asked", PROBES)
mutant(R, "another refusal says nothing of the API", "sidecar/path/flight/call_result.c", "bool missing = status == 404 || status == 405 || status == 501;", "bool missing = status >= 400;", PROBES)
mutant(R, "a task in Ollama's API shows that the server has it", "sidecar/path/flight/call_result.c", "    flight_server(f)->speaks_ollama |= endpoint_dialect(f->wire) == DIALECT_OLLAMA;\n", "", PROBES)
mutant(R, "a chat in Ollama's API shows that the server has it", "sidecar/path/exchange/chat.c", "w->whole && endpoint_dialect(x->head.endpoint) == DIALECT_OLLAMA;", "false;", PROBES)
mutant(R, "a circle without probes is suspected", PROBE, "row->streak >= PROBE_SUSPECT &&", "row->streak < 0 &&", LOOPS)
mutant(R, "a wildcard address is this machine's", OWN, "to = literal ? connected_to(to) : to;", "", URLS)
mutant(R, "a port of its own is another server", OWN, "listen.port == (port == 0 ? 80 : port) &&", "listen.port > 0 &&", URLS)

R = "early answers"
EARLY = ("integration.streaming",)
mutant(R, "what still comes is read", "sidecar/http/linger.c", "return !c->body_ended || behind ||",
       "return behind ||", ("unit.http.test_reply",))
mutant(R, "the head says close", "sidecar/http/response.c", "bool large = r->chunked || c->body_left > DISCARD_MAX;",
       "bool large = r->chunked && c->body_left > DISCARD_MAX;", EARLY)
REPLY_T = ("unit.http.test_reply",)
mutant("replies", "a head leaves with what follows", "sidecar/http/output.c", "    c->out_at = 0;\n    wait_for_more(c);\n", "    c->out_at = 0;\n    wait_for_more(c);\n    output_send_waiting(c);\n", REPLY_T)
mutant("replies", "a head alone leaves at the end of its turn", "sidecar/http/output.c", "    loop_defer(c->server->loop, &c->out_work);\n", "", REPLY_T)
mutant("replies", "the rest of a head stays before the body", "sidecar/http/output.c", "    c->out_at += of_waiting;\n", "    c->out_at += sent;\n", REPLY_T)
mutant("replies", "a reply without a body sends its head", "sidecar/http/response.c", "    output_send_waiting(c);\n    c->paused = false;", "    c->paused = false;", REPLY_T)
mutant("replies", "a piece leaves with what follows", "sidecar/http/response.c", "if (!soon || !output_hold(c, parts, count)) {", "if (!output_hold(c, parts, 0) || soon || !soon) {", REPLY_T)
mutant("replies", "what one read brings leaves in one call", "sidecar/path/relay/relay.c", "bool more = upstream_more_follows(r->call) ?", "bool more = upstream_more_follows(r->call) && r->conn == NULL ?", ("unit.relay.test_relay",))
mutant("replies", "what waits does not stop the caller", "sidecar/http/response.c", "if (!c->out_waits && output_unsent(c) > c->server", "if (output_unsent(c) > c->server", REPLY_T)
mutant("replies", "what waits stays little", "sidecar/http/output.c", "output_unsent(c) + len > HELD_MOST ||", "", REPLY_T)
mutant("replies", "a piece without more leaves at once", TRANSFER, "call->follows = bytes.len - at > strlen(\"\\r\\n\");", "call->follows = bytes.len >= at;", BODY)
mutant("replies", "a body that fails leaves the replies before it", "sidecar/http/receive.c", "    if (open) {\n        reply_cut(c);\n    }\n",
       "    if (!open) {\n        conn_close(c);\n        return;\n    }\n    reply_cut(c);\n", REPLY_T)
mutant("replies", "a body that fails leaves what was sent of a reply", "sidecar/http/receive.c", "    if (open) {\n        reply_cut(c);\n    }\n",
       "    if (open) {\n        conn_close(c);\n        return;\n    }\n", REPLY_T)
mutant(R, "the end of the connection is not that of the answer", "sidecar/path/upstream/upstream.c",
       "is_whole_early(call) ? UPSTREAM_DONE", "is_whole_early(call) || call != NULL ? UPSTREAM_DONE",
       ("unit.upstream.test_upstream_wire",))
mutant("origins", "a page may read our answers", "sidecar/http/response.c", "    head_put_cors(c, h, extra);\n", "", ("integration.http",))

R = "Open WebUI's settings"
SETUP, SETUP_TESTS = "contrib/open-webui/setup", ("integration.open_webui_setup",)
mutant(R, "a key reaches its own server only", SETUP, "if fits is not False or own[0] is None:", "if True:", SETUP_TESTS)
mutant(R, "never the server beside lull", SETUP, "if c not in chosen and base_of(c.url) in servers:", "if c is None:", SETUP_TESTS)
mutant(R, "a save keeps configurations by URL", SETUP, "have.get(str(i), have.get(url))", "have.get(str(i))", SETUP_TESTS)
mutant(R, "a changed header stays", SETUP, "if headers.get(name) != ours[name.lower()]:", "if name is None:", SETUP_TESTS)
mutant(R, "the first value comes back", SETUP, "known[0] if known and known[1] == before else before", "before", SETUP_TESTS)

# ---- the report ----

R = "report"
LEDGER = "sidecar/control/ledger.c"
DAYS = "sidecar/control/days.c"
NOTES = "sidecar/path/store/notes.c"
REPORT = ("unit.control.test_report",)
STORE_TEST = ("unit.store.test_store",)
mutant(R, "a minute is written", LEDGER, "    update(l);\n    write_days(l);\n    loop_timer_start", "    update(l);\n    loop_timer_start", REPORT)
mutant(R, "a stop writes", LEDGER, "    write_days(l);\n    loop_timer_destroy", "    loop_timer_destroy", REPORT)
mutant(R, "only growth counts", LEDGER, "        l->last[i] = now;\n", "        l->last[i] = growth;\n", REPORT)
mutant(R, "the file is read once", LEDGER, "    if (l->openings == 0) {", "    if (openings > 0) {", REPORT)
mutant(R, "a new file gets every day", LEDGER, "        l->days.items[i]->dirty = true;\n", "        (void)l;\n", REPORT)
mutant(R, "a clock that is ahead drops no days", DAYS, "while (days->count > DAYS_KEPT &&", "while (days->count > 0 &&", REPORT)
mutant(R, "days are written again behind a clock that was ahead", LEDGER, "if (strcmp(date, l->date) < 0) {", "if (strcmp(date, l->date) > 1) {", REPORT)
mutant(R, "35 days are kept", DAYS, "day_date(now, DAYS_KEPT - 1, first);", "day_date(now, DAYS_KEPT, first);", REPORT)
mutant(R, "a date is the local one", DAYS, "tm.tm_mday -= back;", "tm.tm_mday -= back + 1;", REPORT)
mutant(R, "days of a wrong clock are bounded", DAYS, "        if (at == days->count) {\n            return NULL;",
       "        if (at == days->count) {\n            at--;", REPORT)
mutant(R, "rows of a day are bounded", DAYS, "rows->count >= DAY_ROWS_MOST", "rows->count >= 10 * DAY_ROWS_MOST", REPORT)
mutant(R, "users of a minute are bounded", "sidecar/config/figures.c", "return figures_user(f, FIGURE_USER_OTHERS);",
       "return &f->users[0].sum;", REPORT)
mutant(R, "an expired note is removed", NOTES, "            rc = mdb_cursor_del(cursor, 0);\n", "            rc = 0;\n", STORE_TEST)
mutant(R, "an expired note is not found", NOTES, "!note_head_read(data, &head) || head.expires <= now.us ||\n            key",
       "!note_head_read(data, &head) ||\n            key", STORE_TEST)
mutant(R, "another format keeps the notes", "sidecar/path/store/store.c", "            notes_save(s, &notes);\n", "            (void)notes;\n",
       DAMAGE)
mutant(R, "a file without its secret is damaged", "sidecar/path/store/open.c", "rc = rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;",
       "rc = rc == MDB_NOTFOUND ? 0 : rc;", DAMAGE)
mutant(R, "what was not on the disk is set aside after another boot", FILES, "strcmp(was, now) != 0) {", "now[0] == 0) {",
       ("unit.store.test_store_faults",))
mutant(R, "a lock file without blocks has them before it is written to", FILES, "if (errnum == 0 && st.st_blocks == 0) {",
       "if (errnum == 0 && st.st_blocks < 0) {", ("unit.store.test_store_faults",))
mutant(R, "files of the store that cannot be written are seen by a check", FILES, "if (!S_ISREG(st.st_mode)) {\n            snprintf(why, why_size, \"%s is no file\", path);",
       "if (st.st_size < 0) {\n            snprintf(why, why_size, \"%s is no file\", path);", ("unit.app.test_check",))
mutant(R, "files of another user are seen by a check", FILES, "if (access(path, R_OK | W_OK) != 0) {",
       "if (access(path, R_OK | W_OK) > 0) {", ("unit.app.test_check",))
mutant(R, "a link that leads nowhere is no folder to make one in", "sidecar/base/os_paths.c", "if (lstat(out, &st) == 0) {",
       "if (lstat(out, &st) == 0 && st.st_size < 0) {", ("unit.app.test_check",))
mutant(R, "an open file that is not synced has a mark", FILES, "if (s->options.sync || !os_boot_id(",
       "if (!s->options.sync || !os_boot_id(", ("unit.store.test_store_faults",))
USERS = ("scenario.test_model_time", "scenario.test_hour", "scenario.test_flight", "scenario.test_compare", "scenario.test_failure",
         "scenario.test_observe", "scenario.test_yield")
EXCHANGE = "sidecar/path/exchange/exchange.c"
mutant(R, "users: every call's time is a user's", CALL, "    flight_user_figures(f, f->spec.user)->spent_us += took;\n", "", USERS)
mutant(R, "users: a wasted call is a user's", CALL, "    flight_user_figures(f, f->spec.user)->wasted_us += f->took;\n", "", USERS)
mutant(R, "users: a wait is a user's", ENDING, "    flight_user_figures(f, w->user)->wait_us += waited;\n", "", USERS)
mutant(R, "users: a passing task's time is a user's", WATCH, "    user->spent_us += took;\n", "", USERS)
mutant(R, "users: what is saved is a user's", EXCHANGE, "    user->saved_us += model_time;\n", "", USERS)
mutant(R, "users: a call that is not counted is no user's", "sidecar/path/flight/spec.c", "return f->spec.untracked ? &f->table->untracked_user", "return f->spec.untracked && f->table == NULL ? &f->table->untracked_user", USERS)

# ---- faults of the system ----

R = "faults"
REFUSED_WATCH = ("unit.base.test_loop_refused",)
mutant(R, "a refused descriptor is tried again", "sidecar/base/loop.c",
       "    free_dead(loop);\n    retry_refused(loop);", "    free_dead(loop);", REFUSED_WATCH)
mutant(R, "a refused descriptor is given up with its source", "sidecar/base/loop.c",
       "    if (source->is_refused) {\n        source->is_refused = false;", "    if (source->event == NULL) {\n        source->is_refused = false;", REFUSED_WATCH)
TURNS = ("unit.base.test_turns",)
TURN = "sidecar/base/loop_turn.c"
LANES = ("unit.base.test_loop_lanes",)
HTTP_TURNS = ("unit.http.test_in_parts",)
GATES = ("unit.schedule.test_gate",)
RELAYED = ("unit.relay.test_relay",)
LOOPS = ("unit.base.test_loop",)
mutant(R, "waiting is no part of a turn", "sidecar/base/loop_priv.h",
       "    if (!loop->clock_read) {", "    if (!loop->clock_read && loop->now.us == 0) {", TURNS)
mutant(R, "deferred work is part of its turn", TURN,
       "        run_deferred(loop);\n        events_tidy(loop);\n        end_turn(loop);",
       "        end_turn(loop);\n        run_deferred(loop);\n        events_tidy(loop);", TURNS)
mutant(R, "what a turn waits for is no CPU", TURN, "CLOCK_THREAD_CPUTIME_ID", "CLOCK_MONOTONIC", TURNS)
mutant(R, "the CPU of a turn begins with the loop", TURN, "    (void)read_cpu(loop, (mono_t){read_clock(CLOCK_MONOTONIC)});\n", "", TURNS)
mutant(R, "a turn makes a bounded number of calls", TURN, "calls < CALLS_OF_A_TURN && ", "", LANES)
mutant(R, "a turn is bounded in time", TURN, ">= most) {", ">= USEC_PER_S) {", LANES)
mutant(R, "what is urgent has a lane of its own", "sidecar/base/loop.c", "urgent ? LANE_URGENT : LANE_WATCH", "urgent ? LANE_WATCH : LANE_WATCH", LANES)
mutant(R, "a waker is one of the descriptors that a look finds", "sidecar/base/loop.c", "    source->loop->seen++;\n", "", LANES)
mutant(R, "the signals are one of the descriptors that a look finds", "sidecar/base/loop.c", "    source->loop->seen += source->loop->signalled ? 0 : 1;\n", "", LANES)
mutant(R, "all signals are one descriptor", "sidecar/base/loop.c", "source->loop->signalled ? 0 : 1;", "source->loop->signalled ? 1 : 1;", LANES)
mutant(R, "the share of a lane ends", TURN, "while (loop->share == 0 || ", "while (", LANES)
mutant(R, "what becomes urgent while it waits changes its lane", "sidecar/base/loop.c", "        if (watch->came != 0) {\n            turn_ready", "        if (watch->came < 0) {\n            turn_ready", LANES)
mutant(R, "one look sees all that is ready", "sidecar/base/loop.c", "loop->room == SEEN_MOST) {", "loop->room > 0) {", LANES)
mutant(R, "what is not watched any more is not called", "sidecar/base/loop.c", "int events = watch->came & watch->events;", "int events = watch->came;", LANES)
mutant(R, "a pipeline is served in parts", "sidecar/http/receive.c", "loop_later(loop, &c->work);", "loop_defer(loop, &c->work);", HTTP_TURNS)
mutant(R, "behind a late reply, too", "sidecar/http/conn.c", "c->put_off ? REQUESTS_PER_CALL : 0;", "REQUESTS_PER_CALL;", HTTP_TURNS)
mutant(R, "connections are accepted in parts", "sidecar/http/http_priv.h", "ACCEPTS_PER_TURN = 16,", "ACCEPTS_PER_TURN = 64,", HTTP_TURNS)
mutant(R, "an urgent reply goes before others", "sidecar/http/conn.c", "    c->urgent = true;\n    loop_watch_set_urgent(c->watch, true);", "    c->urgent = true;", HTTP_TURNS)
mutant(R, "jobs are started in parts", GATE, "g->started < STARTS_OF_A_TURN && ", "", GATES)
mutant(R, "also where a start changes the schedule", GATE, "    if (g->turn.us != now.us) {", "    {", GATES)
mutant(R, "the rest is started in a later turn", GATE, "        loop_later(g->loop, &g->rest);", "        loop_defer(g->loop, &g->rest);", GATES)
mutant(R, "an urgent relay's server goes before others", "sidecar/path/relay/relay.c", ".urgent = o->urgent,", "", RELAYED)
mutant(R, "readiness that is over ends no idle connection", "sidecar/path/upstream/sockets.c", "        if (has_bytes_or_ended(sock)) { /* else", "        if (sock->fd >= 0) { /* else",
       ("unit.upstream.test_upstream_idle",))
mutant(R, "an urgent call's socket goes before others", "sidecar/path/upstream/sockets.c", "call != NULL && call->urgent);", "false);", RELAYED)
mutant(R, "once for all replies of a turn", "sidecar/path/flight/prefix_call.c", "    loop_defer(t->parts.loop, &t->look); /*", "    behind_look_again(t); /*", ("unit.flight.test_states",))
mutant(R, "waiting tasks look for their conversation in parts", "sidecar/path/flight/prefix_call.c", "        if (looked == LOOKS_OF_A_TURN) {", "        if (looked < 0) {", ("unit.flight.test_states",))
mutant(R, "room for descriptors is made before they come", "sidecar/base/os.c", "int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)(count < most ? count : most) - 1);", "int high = fcntl(fd, F_DUPFD_CLOEXEC, 0);", ("unit.base.test_os",))
mutant(R, "put off is a turn later", TURN, "work != NULL && work->put_off != loop->looks", "work != NULL", LANES)
mutant(R, "what is put off does not wait for others", TURN, "loop->waiting != 0 || loop->later.first != NULL)", "loop->waiting != 0)", LOOPS)
mutant(R, "the most CPU may be of another turn", "sidecar/base/turns.c", "to->cpu = cost.cpu > to->cpu ? cost.cpu : to->cpu;", "to->cpu = cost.time >= to->time ? cost.cpu : to->cpu;", TURNS)
mutant(R, "slices that were skipped are cleared", "sidecar/base/turns.c", "i < passed && i < TURNS_SLICES", "i < passed && i < 1", TURNS)

R = "transcripts"
mutant(R, "the first user message counts, also one without content", "sidecar/path/dialect/chat_request.c", "first = first == NULL && user ? message : first;",
       "first = json_get(first, SPAN(\"content\")) == NULL && user ? message : first;", ("unit.dialect.test_convert",))

R = "heads of requests"
mutant(R, "a request line is bounded as a whole", "sidecar/http/request.c", "    if (len > LINE_MOST) {", "    if (len > LINE_MOST * 2) {",
       ("unit.http.test_request",))

R = "heads of answers"
WIRE_TEST = ("unit.upstream.test_upstream_wire",)
mutant(R, "a 101 is no answer", "sidecar/path/upstream/response_head.c", "h->status == 101 ? HEAD_SWITCH : HEAD_MORE",
       "h->status == 1010 ? HEAD_SWITCH : HEAD_MORE", WIRE_TEST)
mutant(R, "a folded value begins without a blank", "sidecar/path/upstream/response_head.c",
       'field->value_len > 0 ? SPAN(" ") : SPAN("")', 'field->value_len > 0 ? SPAN(" ") : SPAN(" ")', WIRE_TEST)

# ---- behind the chat ----
BEHIND = ("scenario.test_prefix",)
HELD = ("unit.transcript.test_transcript",)
LEARNT = ("unit.server.test_prefix_learnt",)
HISTORY = ("unit.webui.test_chat_history",)
PREFIX = "sidecar/path/server/prefix.c"
CHOICE = "sidecar/path/exchange/prefix_choice.c"
PREFIX_CALL = "sidecar/path/flight/prefix_call.c"
TRANSCRIPT = "sidecar/path/transcript/transcript.c"
CHAT_HISTORY = "sidecar/path/webui/chat_history.c"
SEQUEL = "sidecar/path/dialect/behind.c"
R = "behind the chat"
mutant(R, "few messages are the end of many conversations", CHAT_HISTORY, "e->certain = is_beginning(h, i, first) || count", "e->certain = h != NULL || count", HISTORY)
mutant(R, "a whole conversation is no other's end", CHAT_HISTORY, "e->certain = is_beginning(h, i, first) || count", "e->certain = count", HISTORY)
mutant(R, "a message behind it counts", CHAT_HISTORY, "count - i + e->more >=", "count - i >=", HISTORY)
mutant(R, "the first message and the last four are enough", CHAT_HISTORY, "size_t enough = first ? WITH_FIRST : LAST_LINES;", "size_t enough = LAST_LINES;", HISTORY)
mutant(R, "what is not certain has to be named", TRANSCRIPT, "if (found == NULL || !certain) {", "if (found == NULL) {", HELD)
mutant(R, "a chat id names it", TRANSCRIPT, "certain || here.certain || hash_key_is_set(chat);", "certain || here.certain;", HELD)
mutant(R, "a chat goes on from what is certain", CHAT_HISTORY, "&prompt, &e) && e.certain;", "&prompt, &e);", ("unit.webui.test_task_turn",))
mutant(R, "the conversation is part of the key", "sidecar/path/fingerprint/fingerprint.c",
       "        f->head = buf_span(&f->storage);\n        f->body = SPAN_NONE;\n        f->own = 0;\n        f->hash = hash_key_of(secret, f->head);",
       "        f->storage.len -= HASH_SHA256_BYTES;\n        (void)secret;", BEHIND)
mutant(R, "and no request says it", "sidecar/path/fingerprint/fingerprint.c", "        f->own = 0;\n        f->hash =", "        f->hash =", BEHIND)
mutant(R, "one that is found later too", PREFIX_CALL, "    f->spec.own = 0;\n", "", BEHIND)
mutant(R, "another user's is not found", TRANSCRIPT, "return hash_key_eq(a->person, b->person) && a->server == b->server &&",
       "return a->server == b->server &&", HELD)
mutant(R, "another model's is not found", TRANSCRIPT, "           span_eq(a->model, b->model);", "           true;", HELD)
mutant(R, "another chat's is not found", TRANSCRIPT,
       "    return same_place(&t->place, place) && (!hash_key_is_set(chat) || hash_key_eq(t->chat, chat));",
       "    (void)chat;\n    return same_place(&t->place, place);", HELD)
mutant(R, "two beginnings are ambiguous", TRANSCRIPT, "            return TRANSCRIPT_AMBIGUOUS;", "            break;", HELD)
mutant(R, "two models at once are not certain", TRANSCRIPT,
       "    t->changes = t->changes || rivals_began(all, &t->rival);\n", "", HELD)
mutant(R, "nor where the second begins later", "sidecar/path/transcript/rivals.c",
       "        t->changes = t->changes || are_rivals(&own, &t->rival);\n", "        (void)t;\n", HELD)
mutant(R, "a chat finds the conversation that it goes on by its id", TRANSCRIPT,
       "    list_append(row_of(&all->by_chat, t->chat.lo), &item->by_chat);", "    list_append(row_of(&all->by_chat, t->chat.lo + 1), &item->by_chat);", HELD)
mutant(R, "or by its first message", TRANSCRIPT, "        found = predecessor_by_texts(all, &next, sequel);",
       "        found = predecessor_by_texts(all, &next, sequel) == NULL ? NULL : NULL;", HELD)
mutant(R, "what changed is not certain", CHOICE, "    if (t->changes) {\n        return PREFIX_REASON_CHANGES;\n    }\n", "", BEHIND)
mutant(R, "a note of another layout is not taken", PREFIX, "if (s == NULL || !is_sound(&learnt)) {",
       "if (s == NULL || (!is_sound(&learnt) && s == NULL)) {", LEARNT)
mutant(R, "it must fit the context", CHOICE, "return need <= prefix_context(model_of(q), stated);",
       "return need <= prefix_context(model_of(q), stated) + 100000;", BEHIND)
mutant(R, "no exact record leads to it", "sidecar/path/exchange/respond.c", "end->stored && !end->behind &&", "end->stored &&", BEHIND)
mutant(R, "a title that waits for two chats is asked as it came", PREFIX_CALL,
       "        if (!same || (!named && count > 0)) {", "        if (!same && count > 100) {", BEHIND)
mutant(R, "a refused one is left out before the additions", CALL_RESULT,
       "    if (f->is_behind) { /* first without the conversation, and with the rest */", "    if (f->is_behind && f->again) {", BEHIND)
mutant(R, "thinking is not switched off where the chat does not think", WIRE,
       "policy.think = THINK_AS_ASKED; /*", "policy.think = THINK_OFF; /*", BEHIND)
mutant(R, "without a gain it is off", PREFIX, "    if (g->off || g->without >= WITHOUT_MOST || g->unknown >= UNKNOWN_MOST) {",
       "    if (g->off || g->without > 100 || g->unknown >= UNKNOWN_MOST) {", BEHIND)
mutant(R, "for a day", PREFIX, "    return age >= DAY || age < 0;", "    return age >= 30 * DAY || age < 0;", BEHIND)
mutant(R, "wrong forms switch it off", PREFIX, "(k->behind.wrong & 3U) == 3U;", "(k->behind.wrong & 7U) == 8U;", BEHIND)
mutant(R, "the history ends the conversation", CHAT_HISTORY, "        if (first || is_blank(rest)) {",
       "        if (first || rest.len > 0) {", HISTORY)
mutant(R, "few lines may be a new message", CHAT_HISTORY, "while (p->message_count < CHAT_HISTORY_MESSAGES) {",
       "while (p->message_count < CHAT_HISTORY_MESSAGES - 1) {", HISTORY)
mutant(R, "few conversations that begin alike are read", TRANSCRIPT, "at != row && compared < COMPARED_MOST;", "at != row && compared < 1000;",
       ("unit.transcript.test_transcript",))
mutant(R, "and only those with the chat's reply", TRANSCRIPT, "           dialect_repeats(next->messages[t->messages], t->reply) &&\n", "",
       ("unit.transcript.test_transcript",))
mutant(R, "few blanks stand around a text", CHAT_HISTORY, "i < BLANKS_MOST && s.len > 0", "i < 1000000 && s.len > 0", HISTORY)
mutant(R, "unknown members are not guessed at", SEQUEL, "if (same == NULL || !span_eq(same->raw, member->raw)) {",
       "if (same != NULL && !span_eq(same->raw, member->raw)) {", ("unit.dialect.test_behind",))
mutant(R, "and few are compared", SEQUEL, "others++ == OTHERS_MOST", "others++ == 1000000", ("unit.dialect.test_behind",))
mutant(R, "sampling is the task's", SEQUEL, "            edits[count++] = (struct json_edit){name, SPAN_NONE};", "            (void)name;",
       ("unit.dialect.test_behind",))
mutant(R, "tasks that keep the cache need no rewarm", SCHEDULE, "        j->row->displacing += j->keeps_cache ? 0 : 1;",
       "        j->row->displacing++;", BEHIND)
mutant(R, "what is read to its end waits longer", DECIDE, "(settle > 0 ? slowness(s, m, now) + reading : 0)", "(settle > 0 ? slowness(s, m, now) + reading / 10 : 0)", UNIT)
mutant(R, "the cheapest goes first", SCHEDULE, "return a->cost < b->cost ? -1 : 1;", "return a->cost < b->cost ? 1 : -1;", UNIT)
mutant(R, "an older turn goes first", SCHEDULE, "    if (!is_behind_same(a, b) || (alike && (a->cost < 0 || b->cost < 0))) {",
       "    if (!is_behind_same(a, b) || !alike || a->cost < 0 || b->cost < 0) {", UNIT)
mutant(R, "what is cached goes first", SCHEDULE, "return held_a != held_b ? held_a : a->born.us < b->born.us;",
       "return held_a != held_b ? held_b : a->born.us < b->born.us;", UNIT)
mutant(R, "the cache is known when the answer begins", PREFIX_CALL, "    if (f->is_behind) {\n        f->when = prefix_when_of(model, place_of(f));\n    }\n", "", BEHIND)
mutant(R, "an older turn has to go back", PREFIX, ": r->after_task || r->what.turn != what.turn ? PREFIX_AFTER_OWN", ": r->after_task ? PREFIX_AFTER_OWN", BEHIND)
mutant(R, "one state is enough to be bound", PREFIX, "        if (why == PREFIX_REASON_NONE) {\n            break;", "        if (why != PREFIX_REASON_NONE) {\n            break;", BEHIND)
mutant(R, "a title is bound to its first turn", CHOICE, "    flight_replied(e->flights);\n", "", BEHIND)
mutant(R, "a long prompt keeps completions off", "sidecar/path/flight/completion.c", "if ((expected <= limit && !holds_up && !costs) || rested) {", "if ((expected <= limit && !costs) || rested) {", ("scenario.test_futile",))
mutant(R, "a conversation keeps completions off", "sidecar/path/flight/completion.c", "if ((expected <= limit && !holds_up && !costs) || rested) {", "if ((expected <= limit && !holds_up) || rested) {", ("scenario.test_futile",))
mutant(R, "none is tried that costs the conversation", "sidecar/path/flight/completion.c", "                  !costs && !(holds_up", "                  !(holds_up", ("scenario.test_futile",))
mutant(R, "a chat that goes on says what was kept", CHOICE, "if (call.when == PREFIX_AFTER_OTHERS && t->tokens_before > 0) {", "if (call.when == PREFIX_AFTER_OTHERS && t->tokens_before > INT64_MAX - 1) {", ("scenario.test_futile",))
mutant(R, "by a chat that found its slot nothing is learnt", CHOICE, "if (call.when == PREFIX_AFTER_OTHERS && t->tokens_before > 0) {", "if (t->tokens_before > 0) {", ("scenario.test_futile",))
mutant(R, "two slots lose nothing", PREFIX, "slots_kept(slots) > 1 ||", "slots_kept(slots) > 8 ||", LEARNT)
mutant(R, "a server that keeps conversations loses nothing", PREFIX, "        !p->learnt.gain[PREFIX_AFTER_OTHERS].off) {", "        p->learnt.gain[PREFIX_AFTER_OTHERS].calls < 0) {", LEARNT)
mutant(R, "what its own task took is lost already", PREFIX, "return lost_by_its_task ? 0 : r->what.size;", "return r->what.size;", LEARNT)
mutant(R, "a rewarm brings the conversation back", "sidecar/path/rewarm/rewarm.c", "    note_slot(row, finished);\n", "", ("scenario.test_rewarm",))
mutant(R, "none is tried where an abort comes late", "sidecar/path/flight/completion.c", "!(holds_up && behind_aborts_late(f));", "!(holds_up && limit < 0);", ("scenario.test_futile",))
mutant(R, "a purge forgets conversations", CHOICE, "    if (generation != e->held_since) {", "    if (generation > e->held_since + 5) {", BEHIND)
mutant(R, "a model that is as bad as asked is not worse", PREFIX, "return more && (two ||", "return (more || two) && (two ||", LEARNT)

# ---- requests on the wire ----

R = "wire"
REQUEST = "sidecar/http/request.c"
CHUNKED = "sidecar/http/chunked.c"
HEAD_TEST = ("unit.http.test_request",)
mutant(R, "one Content-Length", REQUEST, "            if (r->content_length >= 0) {", "            if (r->content_length > INT64_MAX / 2) {", HEAD_TEST)
mutant(R, "one Transfer-Encoding", REQUEST, "            if (r->chunked) {\n", "            if (r->chunked && r->minor == 7) {\n", HEAD_TEST)
mutant(R, "not both of them", REQUEST, "if (r->chunked && (r->content_length >= 0 || r->minor == 0)) {", "if (r->chunked && r->minor == 0) {", HEAD_TEST)
mutant(R, "no chunks in HTTP/1.0", REQUEST, "if (r->chunked && (r->content_length >= 0 || r->minor == 0)) {", "if (r->chunked && r->content_length >= 0) {", HEAD_TEST)
mutant(R, "no coding but chunked", REQUEST, 'if (!span_eq_nocase(value, SPAN("chunked"))) {', 'if (value.len == 0) {', HEAD_TEST)
mutant(R, "one Host", REQUEST, "if (p->has_host || !host_is_valid(value)) {", "if (!host_is_valid(value)) {", HEAD_TEST)
mutant(R, "a Host", REQUEST, "if (!p->has_host && r->minor == 1) {", "if (!p->has_host && r->minor == 7) {", HEAD_TEST)
mutant(R, "a name ends at its colon", REQUEST, "if (colon == 0 || colon == left || line[colon] != ':') {", "if (colon == 0 || colon == left) {", HEAD_TEST)
mutant(R, "a chunk's size is bounded", CHUNKED, "if (c->line_len > 16 || c->left >> 58 != 0) {", "if (c->line_len > 99) {", ("integration.http",))
mutant(R, "a chunk ends with CR LF", CHUNKED, "    return ch == want;", "    return ch == want || ch > 0;", ("integration.http",))
mutant(R, "a trailer has a name", CHUNKED, "    return ascii_is_token(ch) && ++c->line_len <= MAX_TRAILERS;", "    return ch != '\\r' && ++c->line_len <= MAX_TRAILERS;", ("integration.http",))
mutant(R, "the token is compared whole", "sidecar/http/guard.c", "unsigned difference = got.len == want.len ? 0 : 1;", "unsigned difference = 0;", ("unit.http.test_guard",))
mutant(R, "the token is compared to its end", "sidecar/http/guard.c", "i < got.len; i++) {\n        difference |=",
       "i < got.len && difference == 0; i++) {\n        difference |=", ("unit.http.test_guard",))
mutant(R, "an Origin that is no origin is refused", "sidecar/http/guard.c", "        return false; /* \"null\", or not an origin at all */", "        return true;", ("unit.http.test_guard",))

# ---- keys ----

R = "keys"
KEYS = ("unit.fingerprint.test_fingerprint_keys",)
SCOPE = ("unit.fingerprint.test_fingerprint_scope",)
PRINT = "sidecar/path/fingerprint/fingerprint.c"
SCOPES = "sidecar/path/fingerprint/scope.c"
JSON = "sidecar/path/json/json.c"
mutant(R, "a kept request has its own meaning only", PRINT, "span_eq(span_make(own.ptr + LENGTH_BYTES, text.len), text);", "true;",
       ("scenario.test_collisions",))
CANONICAL = ("unit.json.test_json",)
mutant(R, "a canonical text unescapes the slash", JSON, '"\\"\\\\bfnrt", escape[1], 7)', '"\\"\\\\bfnrt/", escape[1], 8)', CANONICAL)
mutant(R, "and a code point of a named escape", JSON, '"\\"\\\\bfnrt", escape[1], 7)', '"\\"\\\\bfnrtu", escape[1], 8)', CANONICAL)
mutant(R, "and reads no escape behind a backslash", JSON, "next_escape(escape + 2, end)", "next_escape(escape + 1, end)", CANONICAL)
mutant(R, "the scope is that of the kind", "sidecar/path/exchange/lookup.c", ": rule == SCOPE_AUTO   ?", ": rule != SCOPE_SHARED ?", ("scenario.test_cache",))
FOUND = ("unit.base.test_buf",)
mutant(R, "a long text is found where all of it stands", "sidecar/base/buf.c", "if (hay == NULL || memcmp(hay, needle.ptr, needle.len) == 0) {", "if (hay == NULL || memcmp(hay, needle.ptr, FRONT) == 0) {", FOUND)
mutant(R, "the search goes on behind a place that only begins like it", "sidecar/base/buf.c", "        hay++;\n    }\n    return memmem(", "        hay += FRONT;\n    }\n    return memmem(", FOUND)
mutant(R, "at the very end too", "sidecar/base/buf.c", "left - (needle.len - FRONT), needle.ptr, FRONT", "left - needle.len, needle.ptr, FRONT", FOUND)
mutant(R, "a context is what stands before the text", PRINT, "    *from = json.len;", "    *from = 0;", KEYS)
mutant(R, "and behind it", PRINT, "    *to = json.len;\n    e = e", "    *to = *from;\n    e = e", KEYS)
mutant(R, "a key has its scope", PRINT, "        span_make((const char *)in->scope->digest, sizeof in->scope->digest),\n        in->header ==", "        SPAN_NONE,\n        in->header ==", KEYS)
mutant(R, "a normalized key too", PRINT, "        span_make((const char *)in->scope->digest, sizeof in->scope->digest),\n        span_of(policy->name),", "        SPAN_NONE,\n        span_of(policy->name),", KEYS)
mutant(R, "the kind", PRINT, "        span_of(policy->name),\n", "        SPAN_NONE,\n", KEYS)
mutant(R, "the model", PRINT, "        in->model,\n        shaping_of(", "        SPAN_NONE,\n        shaping_of(", KEYS)
mutant(R, "the policy's own members", PRINT, "        span_of(policy->extra),\n", "        SPAN_NONE,\n", KEYS)
mutant(R, "a document of two meanings has no key", PRINT, "    if (body->verdict != JSON_OK) {\n        return body->verdict;", "    if (body->verdict == JSON_TOO_LARGE) {\n        return body->verdict;", KEYS)
mutant(R, "a scope has the user", SCOPES, "        {(const char *)user_len, sizeof user_len},\n        user,\n", "        {(const char *)user_len, sizeof user_len},\n", SCOPE)
mutant(R, "scope user needs a user", SCOPES, ".usable = rule != SCOPE_USER || user.ptr != NULL};", ".usable = true};", SCOPE)

# ---- what a model server sends without an end ----

mutant("hostile", "an error without an end is left", "sidecar/path/flight/call.c", "assembler_finished(&f->assembler) : f->raw_over;",
       "assembler_finished(&f->assembler) : false;", ("integration.hostile",))
mutant("cache", "a damaged page is not the end of the log", "sidecar/path/store/change.c", "    return whole ? 0 : MDB_CORRUPTED;", "    return whole ? 0 : MDB_NOTFOUND;", DAMAGE)

# ---- lullctl compare --prefix ----

R = "prefix: compare"
FORMS = ("scenario.test_compare",)
FORM_FILE = "sidecar/path/compare/compare_forms.c"
mutant(R, "the conversation is read before the call behind it", FORM_FILE,
       "run->forms.reads = form == FORM_AS_ASKED;", "run->forms.reads = false;", FORMS)
mutant(R, "an answer to the other form does not count", FORM_FILE,
       "return behind && !end->asked_behind ?", "return behind && end == NULL ?", FORMS)
mutant(R, "nothing is learnt of sizes", "sidecar/path/flight/prefix_call.c",
       "a->tokens_out > 0 && !f->spec.untracked) {", "a->tokens_out > 0) {", FORMS)
mutant(R, "a request goes behind a conversation of the same person only", CHOICE,
       "out->why = person_of_scope(e, spec->scope, &q.place.person) ?",
       "out->why = transcript_person(e->transcripts, (const uint8_t *)\"\", 0, &q.place.person) ?", FORMS)
mutant(R, "a conversation that went on is taken as it was", CHOICE,
       "if (why != PREFIX_REASON_DIFFERS && why != PREFIX_REASON_NO_REPLY) {", "if (q->kind >= 0) {", FORMS)
mutant(R, "a key that could be of two persons tells none", TRANSCRIPT,
       "if (found && !hash_key_eq(*key, *person)) {", "if (found && len == 0) {", HELD)
mutant(R, "earlier turns that begin differently are ambiguous", TRANSCRIPT,
       "ambiguous || (found != NULL && !same_texts(found, cut));", "ambiguous;", HELD)

# ---- what is done once for requests that repeat ----

R = "fast: repeats"
KEPT_TESTS = ("unit.http.test_kept_head",)
KEPT = "sidecar/http/kept_head.c"
ROUTE = "sidecar/path/exchange/route.c"
mutant(R, "a length is digits", KEPT, "if (number >= 0 || k->number_len == 0) {", "if (number >= -1) {", KEPT_TESTS)
mutant(R, "a part of a head is no head", KEPT, "k->len > 0 && len >= k->len &&", "k->len > 0 && len > 0 &&", KEPT_TESTS)
mutant(R, "what stands behind the length counts", KEPT,
       "memcmp(k->bytes + behind, data + behind, k->len - behind) == 0", "memcmp(k->bytes + behind, data + behind, 0) == 0", KEPT_TESTS)
mutant(R, "a head that was changed in place is not kept", KEPT,
       "if (memcmp(k->bytes, data, r->head_len) != 0) {", "if (memcmp(k->bytes, data, 0) != 0) {", KEPT_TESTS)
mutant(R, "new settings read the head", "sidecar/path/exchange/engine.c",
       "    e->settings = settings;\n    route_forget(e);\n", "    e->settings = settings;\n", ("scenario.test_routes",))
mutant(R, "the listener decides about Host", ROUTE,
       "if (known != NULL && known->loopback == http_conn_is_loopback(x->conn)) {", "if (known != NULL) {", ("integration.http",))
mutant(R, "a head with Via is read each time", ROUTE,
       "http_header_get(r, SPAN(\"Via\")).ptr != NULL) {", "http_header_get(r, SPAN(\"Via\")).ptr == NULL && r->same == 0) {",
       ("scenario.test_routes",))
mutant(R, "a known head's key has the secret of the files that are there", "sidecar/path/exchange/lookup.c",
       "    x->scope = x->person = known->scope;\n",
       "    static struct hash_secret first;\n    static bool set;\n    first = set ? first : *secret;\n    set = true;\n"
       "    secret = &first;\n    x->scope = x->person = known->scope;\n", ("scenario.test_routes",))
mutant(R, "the hash of a known head is of its secret", "sidecar/path/fingerprint/fingerprint.c", "f->beside = of != NULL && of->secret_mark == f->secret_mark",
       "f->beside = of != NULL", ("unit.fingerprint.test_fingerprint_keys",))
mutant(R, "the body of the request counts, not the known one", "sidecar/path/fingerprint/fingerprint.c",
       "        seal_exact(f, of, body, secret);\n    }\n    return e;\n}\n\nvoid normalized_body_read(",
       "        seal_exact(f, of, of->body, secret);\n    }\n    return e;\n}\n\nvoid normalized_body_read(",
       ("unit.fingerprint.test_fingerprint_keys",))
mutant(R, "an exchange begins without what later steps left", "sidecar/path/exchange/exchange.c",
       "        memset((char *)x + SECOND_PART, 0, sizeof *x - SECOND_PART);\n", "", ("scenario.test_cache", "scenario.test_routes"))
mutant("connections", "a probe has a connection of its own", "sidecar/path/server/probe.c", "                                       .apart = true,\n", "", ("integration.reuse",))
mutant(R, "an id that cannot stand in a line is not said again", ROUTE,
       "    return good ? id : SPAN_NONE;", "    return id;", ("integration.events",))
STORED = ("unit.dialect.test_stored",)
mutant(R, "a hit has the body of its call", "sidecar/path/dialect/render.c", "    if (!a->escaped) {", "    if (a->content.len > 0) {", STORED)
mutant(R, "what cannot be read back is not stored", "sidecar/path/dialect/render.c", "memchr(s.ptr, '\\0', s.len) != NULL ?", "memchr(s.ptr, 0, 0) != NULL ?", STORED)
mutant(R, "every digit is written", "include/lull/base/ascii.h",
       "    if (n >= 10) {", "    if (n > 10) {", ("unit.base.test_ascii",))
mutant(R, "a timer is not early", "sidecar/base/loop.c", "    if (early > 0) {", "    if (early > USEC_PER_S) {", ("unit.base.test_loop",))
mutant(R, "an answer goes to a few waiters in a turn", ENDING, "i < FLIGHT_ANSWERED_AT_ONCE && ", "", FLIGHT_T)
mutant(R, "the other waiters get it in the next turns", ENDING, "        loop_later(f->table->parts.loop, &f->rest);", "        loop_defer(f->table->parts.loop, &f->rest);", FLIGHT_T)
mutant(R, "the phrase of a call outlasts it", ENDING, "        f->end.why = f->why;", "        f->end.why = end->why;", FLIGHT_T)
mutant(R, "a deadline answers a few waiters in a turn", ENDING, "!list_empty(&t->dismissed) && t->answered < FLIGHT_ANSWERED_AT_ONCE", "!list_empty(&t->dismissed)", ("scenario.test_completion", "scenario.test_yield"))
mutant("order", "what is odd either way is asked for as written at once", ADVANCE, "f->again = f->again || flight_pace(f)->odd >= FLIGHT_ODD;", "(void)f;", ("scenario.test_refusal",))
mutant("order", "until an answer is plain", CALL_RESULT, "    flight_pace(f)->odd = 0;\n", "", ("scenario.test_refusal",))
mutant("order", "twice in a row", CALL_RESULT, "flight_pace(f)->odd += f->again ? 1 : 0;", "flight_pace(f)->odd += f->again ? 2 : 0;", ("scenario.test_refusal",))
mutant("order", "the rest of those that are answered empty are", ENDING, "        loop_later(t->parts.loop, &t->dismissal);\n", "", ("scenario.test_yield",))
mutant("order", "in later turns", ENDING, "        loop_later(t->parts.loop, &t->dismissal);", "        loop_defer(t->parts.loop, &t->dismissal);", ("scenario.test_yield",))
mutant("order", "one that leaves before it is answered is not", FLIGHT, "    if (waiter->dismissed) {\n", "    if (waiter->flight != NULL && waiter->dismissed) {\n", ("scenario.test_yield",))
mutant("order", "a call that goes on for two reasons counts once", ENDING, "t->detached_count += f->detached ? 0 : 1;", "t->detached_count++;", LOADING)
mutant(R, "what waits for a probe begins in parts", "sidecar/path/server/probe.c", "i < PROBE_WAKES && ", "", ("scenario.test_probes",))
LISTS = ("scenario.test_lists",)
mutant(R, "a list is made in parts", "sidecar/control/entries.c", "entries = before < PART_ENTRIES ? before : PART_ENTRIES;", "entries = before;", LISTS)
mutant(R, "a part that is full may have read few", "sidecar/control/entries.c", "listed == entries ? listed : PART_ROWS;", "listed <= entries ? PART_ROWS : listed;", LISTS)
mutant(R, "a part reads so many records", "sidecar/control/entries.c", "entries, PART_ROWS, l->q.after,", "entries, CACHE_LIST_ROWS, l->q.after,", LISTS)
mutant(R, "one part in a turn", "sidecar/control/entries.c", "        loop_later(l->ctl->parts.loop, &l->work);", "        loop_defer(l->ctl->parts.loop, &l->work);", LISTS)
mutant(R, "a list ends with its client", "sidecar/control/entries.c", "    if (p->list != NULL) {", "    if (p->list == NULL) {", LISTS)
COLLECT = ("unit.cache.test_cache_collect",)
mutant(R, "finished jobs come back a few in a turn", "sidecar/path/cache/opening.c", "collect(ctx, CACHE_COLLECT_JOBS);", "collect(ctx, SIZE_MAX);", COLLECT)
mutant(R, "the others come back in the next turns", "sidecar/path/cache/opening.c",
       "    if (more) {\n        loop_later(c->loop, &c->rest);", "    if (more && c->store == NULL) {\n        loop_later(c->loop, &c->rest);", COLLECT)
mutant(R, "what is finished meanwhile comes behind them", "sidecar/path/store/jobs.c",
       "    s->done_last = *end == NULL ? NULL : s->done_last;", "    s->done_last = NULL;", ("unit.store.test_store",))
mutant(R, "what is collected is seen", "sidecar/path/store/jobs.c",
       "    reader_release(s);\n    pthread_mutex_lock(&s->mutex);\n    struct store_job *job", "    pthread_mutex_lock(&s->mutex);\n    struct store_job *job",
       ("unit.store.test_store",))

# ---- who may ask, and look ----

R = "security"
SECRETS = ("integration.secrets",)
mutant(R, "a key of lull's is not for other sites", ROUTE, "return lends_key(x) && foreign ?",
       "return false && lends_key(x) && foreign ?", ("integration.http",))
mutant(R, "another header with a key tells clients apart", ROUTE, "h->auth.ptr != NULL ? h->auth : other_credential(s, r);",
       "h->auth.ptr != NULL ? h->auth : SPAN_NONE; (void)other_credential;", ("scenario.test_cache",))
mutant(R, "a gateway's key too", ROUTE, "return !other && settings_is_key_header(name);", "return !other && name.len <= 14 && settings_is_key_header(name);", ("scenario.test_cache",))
mutant(R, "what differs with each request is no key", ROUTE, "        other = span_eq_nocase(name, others[i]);", "        other = span_eq_nocase(name, others[0]);", ("scenario.test_cache",))
mutant(R, "a header that is read as something else is no key", ROUTE, "        other = span_eq_nocase(name, named[i]);", "        (void)named;", ("scenario.test_cache",))
mutant(R, "how a person signed in is no key", ROUTE, "return !other && settings_is_key_header(name);", "(void)own;\n    return (!other || name.len == 21) && settings_is_key_header(name);", ("scenario.test_cache",))
mutant(R, "beside Authorization it does not count", ROUTE, "h->auth.ptr != NULL ? h->auth : other_credential(s, r);",
       "other_credential(s, r).ptr != NULL ? other_credential(s, r) : h->auth;", ("scenario.test_cache",))
mutant(R, "the host of an absolute target counts", "sidecar/http/request.c",
       "r->host = p->authority.len > 0 ? p->authority : r->host;", "(void)p->authority;", ("unit.http.test_request",))
mutant(R, "the control socket looks at Host", "sidecar/control/routes.c",
       "    return span_find(name, SPAN(\".\"), 0) == SIZE_MAX ||", "    return name.len < SIZE_MAX ||", ("integration.control",))
mutant(R, "no memory is shown", "sidecar/base/os.c", "    (void)prctl(PR_SET_DUMPABLE, 0);", "    (void)PR_SET_DUMPABLE;", SECRETS)
mutant(R, "a folder below /tmp is one's own", "sidecar/base/os_paths.c", "        if (below && !is_private(folder)) {",
       "        if (below && folder[0] == 0 && !is_private(folder)) {", SECRETS)
mutant(R, "lullctl asks no socket of another user", "sidecar/ctl/ask.c", "(own && !os_is_out_of_reach(out))", "false", SECRETS)
mutant(R, "no umask counts", "sidecar/base/os_paths.c", "            (void)chmod(part, wanted);", "            (void)part;", SECRETS)
mutant(R, "a header that may be a key is masked", "sidecar/config/value.c",
       "            secret = secret || span_eq_nocase(", "            secret = secret && span_eq_nocase(",
       ("unit.config.test_config_keys",))
COLLISIONS = ("scenario.test_collisions",)
mutant(R, "a memo compares the key whole", SCOPES, "memo->user_len == memo_len(user) && span_eq(span_make(memo->text, auth.len), auth) &&", "memo->user_len == memo_len(user) &&", SCOPE)
mutant(R, "a memo compares the user whole", SCOPES, "span_eq(span_make(memo->text + auth.len, user.len), user);", "true;", SCOPE)
mutant(R, "a flight is joined by its whole key", FLIGHT, "if (hash_key_eq(f->spec.hash, spec->hash) && span_eq(f->spec.material, spec->material)) {",
       "if (hash_key_eq(f->spec.hash, spec->hash)) {", COLLISIONS)
mutant(R, "an exact record is of those bytes", CODEC, "    return span_eq(span_make(body.ptr, t->first), span_make(request.ptr, t->first)) &&",
       "    return true || span_eq(span_make(body.ptr, t->first), span_make(request.ptr, t->first)) ||", COLLISIONS)

# ---- memory that clients and model servers decide about ----

R = "memory"
EXTREMES = ("integration.extremes",)
mutant(R, "what was read of a body counts", "sidecar/path/exchange/policy.c", "    if (x->parsed && !count_nodes(x)) {", "    if (x->parsed && !count_nodes(x) && x->conn == NULL) {",
       ("scenario.test_reading",))
mutant(R, "and is given back", "sidecar/path/exchange/exchange.c", "        (void)budget_settle(x->engine->parts.memory, &x->nodes_counted, 0);\n", "",
       ("scenario.test_reading",))
mutant(R, "answers that are put together count", "sidecar/path/flight/call.c", "    if (!flight_count_memory(f)) {", "    if (f == NULL) {",
       FLIGHT_MEMORY)
mutant(R, "what a flight counted is given back", FLIGHT, "    (void)budget_settle(f->table->parts.memory, &f->counted, 0);\n", "",
       FLIGHT_MEMORY)
mutant(R, "the answer of a chat that is read along counts", CHAT,
       "    if (!budget_settle(x->engine->parts.memory, &w->counted, assembler_room(&w->answer))) {", "    if (w == NULL) {",
       FLIGHT_MEMORY)
mutant(R, "what a chat counted is given back", CHAT,
       "(void)budget_settle(x->engine->parts.memory, &x->watch.counted, 0);", "x->watch.noted = x->watch.noted;", FLIGHT_MEMORY)
mutant(R, "a conversation with a chat id is not copied", "sidecar/path/exchange/conversation.c", "!hash_key_is_set(turn.conversation.chat)", "true", ("integration.extremes",))
mutant(R, "a held body counts with its copies", "sidecar/path/edge/edge.c", "HELD_COST = 6", "HELD_COST = 1",
       ("integration.http", "integration.extremes"))
mutant(R, "unsent replies count", "sidecar/http/output.c", "(!count_output(c, output_unsent(c) + s.len) || buf_append_span",
       "(count_output(c, 0), buf_append_span", EXTREMES)
mutant(R, "a purge forgets what is held", "sidecar/control/entries.c",
       "        engine_forget(ctl->parts.engine);\n        cache_purge(", "        cache_purge(", EXTREMES)
mutant(R, "holes in the heap go back", "sidecar/base/os.c", "malloc_trim(0) == 1", "spare > 0", ("unit.base.test_os",))

# ---- a damaged data file ----

R = "damaged file"
mutant(R, "pages that a damaged count names are not freed", "sidecar/path/store/change.c", "rc = record_is_sound(c->s, piece) ?", "rc = i >= 0 ?", DAMAGE)
mutant(R, "nor those of a note", "sidecar/path/store/notes.c", "if (!record_is_sound(c->s, data)) {", "if (data.mv_size == SIZE_MAX) {", DAMAGE)
mutant(R, "a fault of the map is known by its address", "sidecar/path/store/open.c", "return at - in_page - head.number * page;", "return 0;", DAMAGE)

# ---- what docs/reliability.md names ----

R = "guards of keys"
TYPED, THROUGH = "sidecar/path/typist/typed_text.c", "sidecar/path/typist/through.c"
THROUGH_T, TYPED_T = ("unit.typist.test_through",), ("unit.typist.test_typed_text",)
mutant(R, "a new start has the old secret", "sidecar/path/store/open.c",
       "        rc = meta_get(s, txn, \"secret\", &s->secret, sizeof s->secret);\n        rc = rc",
       "        rc = hash_secret_generate(&s->secret) == ERR_OK ? 0 : EIO;\n        rc = rc", ("scenario.test_cache",))
mutant(R, "each part of a key has its length", PRINT, "        write_length(out->data + out->len, fields[i].len);\n        out->len += LENGTH_BYTES;\n", "", KEYS)
mutant(R, "a suggestion is of its context", THROUGH, "            span_eq(buf_span(&c->material), wanted->material)) {",
       "            c->material.len > 0) {", THROUGH_T)
mutant(R, "a look-up goes back 128 characters", THROUGH, "at > 0 && passed <= TEXT_WALK; at--) {", "at > 0 && passed <= text.len; at--) {", THROUGH_T)
mutant(R, "a context counts a new suggestion", THROUGH, "    e->context->lengths[e->text_len % LENGTHS]++;\n", "", THROUGH_T)
mutant(R, "a context counts a dropped suggestion", THROUGH, "    e->context->lengths[e->text_len % LENGTHS]--;\n", "", THROUGH_T)
TYPED_ON, TYPED_ON_T = "sidecar/path/exchange/typed_on.c", ("scenario.test_typed_on",)
mutant(R, "a form is of its head", "sidecar/path/typist/forms.c", "if (span_eq(part(f, 0, f->head), head) && ", "if (head.len > 0 && ", THROUGH_T)
mutant(R, "a form is of what stands before the text", "sidecar/path/typist/forms.c", "span_eq(part(f, f->head, f->before), before) &&", "before.len > 0 &&", THROUGH_T)
mutant(R, "a form is of what stands behind the text", "sidecar/path/typist/forms.c",
       "span_eq(part(f, f->head + f->before, f->after), after)) {", "after.len > 0) {", TYPED_ON_T)
mutant(R, "a form is dropped with its context", "sidecar/path/typist/through.c", "        forms_drop(t, c);\n", "", THROUGH_T)
mutant(R, "the forms of a context have a bound", "sidecar/path/typist/forms.c", "if (c->form_count == THROUGH_FORMS) {", "if (t->max == 0) {", THROUGH_T)
mutant(R, "forms are forgotten at a reload", "sidecar/path/exchange/engine.c", "    through_forget_forms(e->through);\n", "", TYPED_ON_T)
mutant(R, "a text with escapes is read", TYPED_ON, "!task_typed_of(x->body, &typed) || !is_plain(typed.text) ||\n        !through_find_form",
       "!task_typed_of(x->body, &typed) ||\n        !through_find_form", TYPED_ON_T)
mutant(R, "the text of a form is where it was found", TYPED_ON, "    return at >= from && behind <= to && is_text_of(from, at,",
       "    return at != NULL || is_text_of(from, at,", TYPED_ON_T)
mutant(R, "a form does not depend on its text", TYPED_ON, "!task_class_is_apart(x->settings, &x->request, &x->decision, text)", "text.len == 0", TYPED_ON_T)
mutant(R, "an answer of its own goes before a remainder", TYPED_ON, "lookup_upstream(x) && !has_own_answer(x, known, text);",
       "(lookup_upstream(x) || !has_own_answer(x, known, text));", TYPED_ON_T)
mutant(R, "nor who asks in a dialect that is not taken any more", TYPED_ON, "           lookup_upstream(x) && !has_own_answer(x, known, text);",
       "           (lookup_upstream(x) || true) && !has_own_answer(x, known, text);", TYPED_ON_T)
mutant(R, "nothing outlives the data file", "sidecar/path/cache/opening.c", "        c->generation++;\n", "", TYPED_ON_T)
mutant(R, "a foreign page gets no remainder", TYPED_ON, "<= FINGERPRINT_PROMPT_MAX && policy_allows_origin(x) &&", "<= FINGERPRINT_PROMPT_MAX &&", TYPED_ON_T)
mutant(R, "a prompt that stands twice has no context", "sidecar/path/fingerprint/fingerprint.c", "    bool once = at != SIZE_MAX && span_find(body, buf_span(&json), at + 1) == SIZE_MAX;",
       "    bool once = at != SIZE_MAX;", KEYS)
mutant(R, "the event of a hit names its upstream", "sidecar/path/exchange/exchange.c", "    x->upstream = -1;\n", "", ("scenario.test_cache",))
mutant(R, "a suggestion ends with a purge", THROUGH, "    return e->expires.us <= s->now.us || e->generation != s->generation ||\n",
       "    return e->expires.us <= s->now.us ||\n", THROUGH_T)
mutant(R, "a suggestion expires", THROUGH, "    return e->expires.us <= s->now.us || e->generation != s->generation ||\n",
       "    return e->generation != s->generation ||\n", THROUGH_T)
mutant(R, "a suggestion of a wrong clock is none", THROUGH, "           wall_is_ahead(e->made, s->now);", "           false;",
       THROUGH_T)
mutant(R, "what is held has a bound", THROUGH, "    through_make_room(t, t->max, THROUGH_BYTES);\n}\n\nbool through_has", "}\n\nbool through_has", THROUGH_T)
mutant(R, "a remainder begins between characters", TYPED, "    if (!text_boundary(suggestion, covered.len)) {",
       "    if (covered.len > suggestion.len) {", TYPED_T)
mutant(R, "what was typed is what was suggested", TYPED, "        if (!space_left_out(old_text, suggestion, typed)) {",
       "        if (typed.len == 0) {", TYPED_T)
mutant(R, "a blank is no remainder", TYPED, "    return span_trim(*remainder).len > 0 &&", "    return remainder->len > 0 &&", TYPED_T)
mutant(R, "a prompt for chats is a chat", "sidecar/path/webui/signatures.c", "            return TEXT_CHAT;", "            break;",
       ("unit.webui.test_task_classify",))
mutant(R, "a task's prompt ends as it does", "sidecar/path/webui/signatures.c", "if (user_fits(t, user) && system_fits(t, system)) {",
       "if (begins_like(t, system, user)) {", ("unit.webui.test_task_classify",))

R = "guards of calls"
mutant(R, "an equal request joins", FLIGHT, "spec->join ? flight_find_to_join(t, spec) : NULL;", "spec->join ? NULL : NULL;", FLIGHT_T)
mutant(R, "a waiter that leaves does not end it for the others", FLIGHT, "    if (flight_is_idle(f)) {\n        flight_drop(f,", "    if (f->state != FLIGHT_STATE_ENDING) {\n        flight_drop(f,", FLIGHT_T)
mutant(R, "the last that leaves ends the call", FLIGHT, "    if (flight_is_idle(f)) {\n        flight_drop(f,", "    if (f->state == FLIGHT_STATE_ENDING) {\n        flight_drop(f,", FLIGHT_T)
mutant(R, "all waiters are answered", ENDING, "        loop_later(f->table->parts.loop, &f->rest);\n        return;", "        return;", FLIGHT_T)
mutant(R, "what must not be stored is not shared", FLY, "    spec->shared = x->bypass == NULL;\n    spec->join = x->bypass == NULL && !x->head.no_cache;",
       "    spec->shared = true;\n    spec->join = !x->head.no_cache;", ("integration.flight",))
mutant(R, "a superseded request is answered", "sidecar/path/flight/completion.c",
       "    if (!flight_leave_loading(f, OUTCOME_SUPERSEDED)) { /* the newer one needs the model, too */\n        flight_finish_empty(f, OUTCOME_SUPERSEDED);",
       "    if (!flight_leave_loading(f, OUTCOME_SUPERSEDED)) { /* the newer one needs the model, too */\n        flight_drop(f, FLIGHT_EVENT_SUPERSEDED);",
       ("scenario.test_debounce", "scenario.test_completion"))
mutant(R, "a stop waits for what is open", "sidecar/http/server.c",
       "    if (s->draining && s->counts.open == 0 && s->drained != NULL) {\n        loop_defer(s->loop, &s->drained_work);",
       "    if (s->draining && s->drained != NULL) {\n        loop_defer(s->loop, &s->drained_work);", ("integration.life",))

R = "guards of connections"
RECEIVE, HTTP_T, DUE = "sidecar/http/receive.c", ("integration.http",), ("scenario.test_deadlines",)
mutant(R, "what died on a pooled connection is asked again", "sidecar/path/upstream/upstream.c",
       "return unanswered && call->reused && !call->again &&", "return false && unanswered && call->reused && !call->again &&", REUSE)
mutant(R, "Upgrade is of one hop", "sidecar/http/fields.c", "{\"Upgrade\", 7},", "{\"Xpgrade\", 7},", ("integration.passthrough",))
mutant(R, "the slashes of a query stay", REQUEST, "if (!query && target[from] == '/' && to > 0", "if (target[from] == '/' && to > 0", ("integration.client_forms",))
mutant(R, "a kept HTTP/1.0 connection says so", "sidecar/http/response.c", "} else if (r->minor == 0) {", "} else if (r->minor > 1) {", ("integration.client_forms",))
mutant(R, "what lies behind a request is the next one", RECEIVE, "    memmove(c->slot->data, c->slot->data + used, c->in_len);", "    c->in_len = 0;", HTTP_T)
mutant(R, "a client that waits gets 100 Continue", RECEIVE, "if (r->expect_continue && !c->body_ended &&", "if (false && r->expect_continue && !c->body_ended &&", HTTP_T)
mutant(R, "a head has one timeout", RECEIVE, "    if (c->deadline != DEADLINE_HEAD) {", "    if (c->in_len > 0) {", DUE)
mutant(R, "a body has a timeout", RECEIVE, "    if (c->state == CONN_REQUEST && !c->body_ended) {\n        conn_set_deadline(c, DEADLINE_BODY,",
       "    if (c->state == CONN_CLOSED) {\n        conn_set_deadline(c, DEADLINE_BODY,", DUE)
mutant(R, "a connection between requests has a timeout", "sidecar/http/conn.c", "        conn_set_deadline(c, DEADLINE_IDLE, limits->idle_timeout);",
       "        conn_set_deadline(c, DEADLINE_NONE, 0);", DUE)
mutant(R, "it begins when the last reply has left", "sidecar/http/conn.c", "    if (!unsent) {", "    if (true || !unsent) {", DUE)
mutant(R, "and for that too there is one", "sidecar/http/conn.c", "        conn_set_deadline(c, DEADLINE_SEND, limits->send_timeout);",
       "        conn_set_deadline(c, DEADLINE_NONE, 0);", DUE)
mutant(R, "before the end of a connection too", RECEIVE, "        } else if (c->deadline != DEADLINE_SEND) {", "        } else if (c->body_seen < 0) {", DUE)
mutant(R, "a piece that the kernel had counts", "sidecar/http/conn.c", "    if (what == DEADLINE_SEND && queued_bytes(c) < c->out_queued) {",
       "    if (what == DEADLINE_SEND && s == NULL) {", DUE)
mutant(R, "it is for each piece", "sidecar/http/output.c", "    if (c->deadline == DEADLINE_SEND ||", "    if (c->broken ||", DUE)
mutant(R, "what is passed on waits for its client", "sidecar/http/response.c", "    c->out_passed = true;", "    c->out_passed = false;", DUE)
mutant(R, "a connection that lingers has no slot", "sidecar/http/linger.c", "        server_slot_back(c->server, c->slot);\n        c->slot = NULL;\n",
       "        c->body_at = 0;\n", ("integration.http",))
mutant(R, "a body that was answered is not held", "sidecar/http/linger.c", "    receive_drop_held(c);\n    c->in_len", "    c->in_len", ("unit.http.test_reply",))
mutant(R, "an idle connection to the control socket gives way", "sidecar/control/control.c", ".replaces_idle = true,", ".replaces_idle = false,", DUE)
mutant(R, "the one that has been idle longest", "sidecar/http/conn.c", "            since = c->deadline_at;\n", "", DUE)
mutant(R, "for a second at least", "sidecar/http/conn.c", "loop_now(s->loop).us - USEC_PER_S + s->limits", "loop_now(s->loop).us + s->limits", DUE)
mutant(R, "a new connection has a timeout", "sidecar/http/conn.c", "    conn_set_deadline(c, DEADLINE_IDLE, s->limits.idle_timeout);",
       "    conn_set_deadline(c, DEADLINE_NONE, 0);", DUE)
mutant(R, "that of a streamed body begins with each piece", RECEIVE, "        if (!c->paused) {\n            conn_set_deadline(c, DEADLINE_BODY,",
       "        if (c->state == CONN_CLOSED) {\n            conn_set_deadline(c, DEADLINE_BODY,", DUE)
mutant(R, "a body that stops ends its call", "sidecar/http/conn.c", "    if (what == DEADLINE_BODY) {\n        conn_abandon(c);\n    }\n", "", DUE)
mutant(R, "what is dropped has a bound a second", "sidecar/http/linger.c", "    if (c->linger_read < LINGER_PER_SECOND) {", "    if (c->linger_read > 0) {", DUE)
mutant(R, "and is read on in the next", "sidecar/http/linger.c", "{\n    begin_second(c);\n    linger_wait(c);\n}", "{\n    linger_wait(c);\n}", DUE)
mutant(R, "no memory for a control request's query is not its fault", "sidecar/control/query.c",
       "return e == ERR_NOMEM ? false : refuse_word(", "return refuse_word(", ("unit.control.test_query",))
mutant(R, "without memory for libcrypto's context lulld says so", "sidecar/base/hash.c", "    (void)mem_have(OSSL_LIB_CTX_get0_global_default());\n", "",
       ("unit.base.test_hash",))
mutant(R, "want of memory is no failure of the server", FAILURE, "    } else if (ours) {", "    } else if (ours && f->detached) {", ("scenario.test_failure",))
mutant(R, "nor is an answer without room for it", "sidecar/path/flight/call.c", "kept == ERR_NOMEM || f->assembler.no_memory", "kept == ERR_NOMEM", FLIGHT_MEMORY)
mutant(R, "and that room is memory", "sidecar/path/dialect/assemble.c", "a->no_memory || e == ERR_NOMEM;", "a->no_memory || e != ERR_OK;", ("unit.dialect.test_assemble",))
mutant(R, "nor of a chat's", PASS, "    if (!r->client_gone && !r->no_memory) {\n        struct server *server", "    if (!r->client_gone) {\n        struct server *server", ("scenario.test_failure",))
mutant(R, "nor is it down", PASS, "    if (!r->client_gone && !r->no_memory) {\n        server_note", "    if (!r->client_gone) {\n        server_note", ("scenario.test_failure",))
mutant(R, "a URL that was read is no wrong one", "sidecar/path/upstream/why.c", "code == CURLE_URL_MALFORMAT && call", "false && call", ("unit.upstream.test_upstream_why",))
mutant(R, "libcurl's code of a large head is known", "sidecar/path/upstream/why.c", "(int)code == TOO_LARGE &&", "false &&", ("unit.upstream.test_upstream_why",))
mutant(R, "libcurl's want of memory is not a large head", "sidecar/path/upstream/why.c", "!line_is_too_long(call)", "true", ("unit.upstream.test_upstream_why",))
mutant(R, "a body without memory is not too long", RECEIVE, "    if (!count_held(c, piece.len)) {\n        return ERR_NOMEM;", "    if (!count_held(c, piece.len)) {\n        return ERR_TOO_LARGE;",
       ("unit.http.test_reply",))
mutant(R, "a set has at most 1000 lines", "sidecar/control/steer.c", " || lines.count > LINES_MOST", "", ("integration.steer",))
mutant(R, "no more connections than max_connections", "sidecar/http/server.c", "        if (full && idle == NULL) {\n            stop",
       "        if (s->draining) {\n            stop", HTTP_T)
mutant(R, "without descriptors it accepts later", "sidecar/http/server.c", "        if (errno == EMFILE || errno == ENFILE ||", "        if (errno == ENFILE ||", ("integration.scale",))

R = "guards of the store"
mutant(R, "a file that is too large is made smaller", "sidecar/path/store/store.c", "    if (rc != 0 || was <= (int64_t)open_map_size(s, s->options.max_size)) {",
       "    if (rc != 0 || was > 0) {", STORE)
mutant(R, "what is not committed is listed", "sidecar/path/cache/admin.c", "    *next = after == 0 || in_pending ? list_pending(&l) : 0;", "    *next = 0;\n    (void)list_pending;", UPKEEP)
mutant(R, "a directory has one daemon", FILES, "    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {", "    if (flock(s->lock_fd, LOCK_SH | LOCK_NB) != 0) {", FAULTS)
mutant(R, "a store that cannot be opened is off", "sidecar/path/cache/opening.c", "        set_state(c, why);\n        return;", "        set_state(c, NULL);\n        return;", UPKEEP)
mutant(R, "an answer expires", CACHE, "f->expires.us > now.us && answer_record_decode(f->value, v) == ERR_OK &&\n           (stale || v->fresh.us > now.us) && !wall",
       "now.us > 0 && answer_record_decode(f->value, v) == ERR_OK &&\n           (stale || now.us > 0) && !wall", ("scenario.test_cache",))
mutant(R, "an answer of a wrong clock is none", CACHE, "!wall_is_ahead(v->created, now) &&", "",
       ("scenario.test_cache",))
mutant(R, "a title of a clock that was set back is asked for again", "sidecar/path/exchange/lookup.c", "(age > REFRESH_AFTER || age < 0);",
       "age > REFRESH_AFTER;", ("scenario.test_cache",))

R = "guards of answers and messages"
mutant(R, "a text may be a code", ASSEMBLE_C, "    return digits ? (s.ptr[0] - '0') * 100 +", "    return digits && s.len == 0 ? (s.ptr[0] - '0') * 100 +", ASSEMBLE_T)
mutant(R, "an answer of one's own is no forward", "sidecar/path/exchange/cache_status.c",
       "    case CACHE_STATUS_OWN:\n        break;", "    case CACHE_STATUS_OWN:\n        parts[1] = fwd_texts[CACHE_STATUS_BYPASS];\n        break;",
       ("unit.exchange.test_cache_status",))
mutant(R, "a text line is as it is read", "sidecar/base/log.c", "i < text.len && e == ERR_OK && !json; i++) {", "i < text.len && e == ERR_OK && json; i++) {", ("unit.base.test_log",))
mutant(R, "a client that closed is gone", RECEIVE, "    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {", "    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {", FLIGHT_T)

# ---- what a user reads of a failure ----

R = "words"
WORDS = ("integration.answers_as_text",)
mutant(R, "descriptors are counted where none is left", "sidecar/base/os.c", "&& st.st_size > 0", "&& st.st_size < 0", ("unit.base.test_os",))
mutant(R, "a look at thousands is worth its time", "sidecar/base/loop_turn.c", "if (loop->seen > CALLS_OF_A_TURN) {", "if (false) {", ("unit.base.test_loop_lanes",))
mutant(R, "without a row in libcurl's table of sockets lulld ends", "sidecar/path/upstream/pool.c", "(void)mem_have(NULL);", "(void)0;", ("unit.upstream.test_upstream_memory",))
mutant(R, "a short line of a head is not too long", "sidecar/path/upstream/why.c", "call->head_came > call->head_used + CURL_MAX_HTTP_HEADER / 2", "call->head_came > 0", ("unit.upstream.test_upstream_memory",))
mutant(R, "want of descriptors is not the server's fault", "sidecar/path/upstream/why.c", "code == CURLE_COULDNT_CONNECT && call->no_socket", "false", ("unit.upstream.test_upstream_why",))
mutant(R, "a server that began to answer was reachable", "sidecar/path/upstream/why.c", "!call->head.final && set_why", "set_why",
       ("unit.upstream.test_upstream_why",))
mutant(R, "a comparison that ends early is an error", "sidecar/ctl/compare_table.c", 'c->summary == NULL || ctl_member(c->summary, "error")',
       'c->summary != NULL && ctl_member(c->summary, "error")', WORDS)
mutant(R, "a socket of another user is said to be one", "sidecar/ctl/ask.c", "errnum == EACCES", "errnum < 0", WORDS)
mutant(R, "a client that goes on sending does not hold up the end", "sidecar/http/server.c", "            linger_drain(c);", "            continue;",
       ("integration.life",))

R = "the surroundings of the process"
LIMITS = "sidecar/app/limits.c"
LISTEN = "sidecar/http/listen.c"
mutant(R, "the log waits for no reader", "sidecar/base/log.c", "        if (!has_room()) {", "        if (!has_room() && lost > 9) {", ("unit.base.test_log",))
mutant(R, "lost lines are counted", "sidecar/base/log.c", "            lost++;", "            lost = 1;", ("unit.base.test_log",))
mutant(R, "a file at its limit is no end", LIMITS, "SIGPIPE, SIGXFSZ, ", "SIGPIPE, ", ("integration.life",))
mutant(R, "signals that the parent blocked are taken", LIMITS, "    sigprocmask(SIG_SETMASK, &none, NULL);",
       "    sigprocmask(SIG_BLOCK, &none, NULL);", ("integration.life",))
mutant(R, "a file size limit is as a full disk", "sidecar/base/err.c", "    case EFBIG:\n", "", ("unit.base.test_err", "integration.life"))
mutant(R, "only a socket without a process is removed", LISTEN, "errnum == ECONNREFUSED || errnum == ENOENT ? 0", "errnum != EADDRINUSE && errnum != EAGAIN ? 0",
       ("integration.http",))
mutant(R, "the socket of a successor stays", LISTEN, "st.st_dev == l->unix_dev && st.st_ino == l->unix_ino", "st.st_nlink > 0", ("integration.http",))

# ---- two things in one turn of the loop ----

R = "one turn"
SAME_TURN = ("scenario.test_same_turn",)
DRAINED = ("unit.http.test_drain",)
mutant(R, "a task that tries and gives way lets another one try", "sidecar/path/flight/advance.c",
       "    failure_forget_trial(f); /* there may be no call yet: it waits for a probe */\n", "", SAME_TURN)
mutant(R, "a server that was not reached is asked what it is", FAILURE,
       "    if (unreachable) {", "    if (unreachable && f->spec.fallback.upstream < 0) {", ("scenario.test_probes",))
mutant(R, "a rewarm that is refused is none", REWARM,
       "row->rewarmed = finished && !refused;", "row->rewarmed = finished;", WARM)
mutant(R, "what is refused takes no slot", "include/lull/path/server/prefix.h",
       "return status / 100 != 4;", "return status != 0;", WARM)
mutant(R, "nor what did not come there", PASS,
       "x->watch.noted = x->watch.noted || r->unreachable;", "x->watch.noted = x->watch.noted || (r->unreachable && r->whole);", WARM)
mutant(R, "nor does its slot hold the conversation", REWARM,
       "    if (!refused) {", "    if (row->call != NULL) {", WARM)
mutant(R, "a call that only followers kept is not queued again", "sidecar/path/flight/advance.c",
       "bool wanted = !f->detached && !flight_is_idle(f);", "bool wanted = !f->detached;", SAME_TURN)
mutant(R, "nor does it go on where none fits", "sidecar/path/flight/completion.c",
       "if (flight_is_idle(f) && !(released && leave_for_cache(f))) {", "if (released && flight_is_idle(f) && !leave_for_cache(f)) {", SAME_TURN)
mutant(R, "one that goes on for the cache is not made again", "sidecar/path/flight/completion.c",
       "if (flight_is_idle(f) && !(released && leave_for_cache(f))) {", "if (flight_is_idle(f) && !released) {", SAME_TURN)
mutant(R, "its time alone is no deadline", ENDING,
       "        stop_deadline(f); /* its time alone is no deadline of theirs */\n", "", SAME_TURN)
mutant(R, "nor does it end what is followed", "sidecar/path/flight/completion.c",
       "if (f->detached && list_empty(&f->followers)) {", "if (f->detached) {", SAME_TURN)
mutant(R, "what joins a call without requests has its deadline", FLIGHT,
       "if (joined && list_empty(&f->waiters)) {", "if (joined && f->detached) {", SAME_TURN)
mutant(R, "a connection that was not accepted yet is served", LISTEN,
       "    server_accept_some(l, BACKLOG);\n", "", DRAINED)
mutant(R, "a drain answers the request that is unread", "sidecar/http/conn.c", "    if (linger_has_unread(c)) {", "    if (false) {", DRAINED)
mutant(R, "a new connection may send its first request in a drain", "sidecar/http/conn.c", "    if (c->used) {\n        conn_close(c);", "    if (true) {\n        conn_close(c);", DRAINED)

R = "the surroundings of the process"
mutant(R, "descriptors that the parent closed are filled", "sidecar/base/os.c", "        if (fcntl(fd, F_GETFD) < 0) {", "        if (fcntl(fd, F_GETFD) < -1) {",
       ("integration.life",))
mutant(R, "a pipe is no configuration", "sidecar/config/assignments.c", "S_ISFIFO(st.st_mode)", "S_ISSOCK(st.st_mode)", ("integration.config",))
mutant(R, "a host has no scheme", "sidecar/config/value_types.c", "host[good] != '\\0' || ", "", ("unit.config.test_config_values",))
mutant(R, "a condition stands once", "sidecar/control/query.c", "        if (is_repeated(", "        if (name.len == 0 && is_repeated(", ("integration.control",))
mutant(R, "JSON does not control the terminal", "sidecar/ctl/print.c", "        if (c1 || c == 0x7f || ", "        if (c == 0x7f || ", ("unit.ctl.test_print",))
mutant(R, "a value has no control character", "sidecar/config/assignments.c", "        if ((c < ' ' && c != '\\n' && c != '\\t') || c == 0x7f) {",
       "        if (c == 0x7f) {", ("integration.steer",))
mutant(R, "not to be stored is no wrong form", "sidecar/path/exchange/dispatch.c", "    } else if (wanted || !keep) {", "    } else {", ("scenario.test_cache",))
mutant(R, "a cost is rounded to the nearest", "sidecar/path/flight/cost.c", "(int64_t)(cost + 0.5)", "(int64_t)cost", FLIGHT_ANSWERS)
mutant(R, "405 names the methods", "sidecar/control/routes.c", "        *methods |= 1U << table[i].method;", "        *methods |= 2U;", ("integration.control",))
R = "the surroundings of the process"
mutant(R, "each family of a name", LISTEN, "had[infos->ai_family == AF_INET6 ? 1 : 0]", "had[infos->ai_family == AF_INET6 ? 0 : 0]", ("integration.http",))
mutant(R, "a family that is missing is left out", LISTEN, "(errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)", "errno == EAFNOSUPPORT", ("integration.http",))

R = "last replies"
EVENTS_T = ("integration.events",)
mutant(R, "a stop waits for clients of the control socket", "sidecar/app/lifecycle.c", "    control_drain(d->control, on_control_drained, d);",
       "    loop_stop(d->loop);", EVENTS_T)
mutant(R, "events that wait are sent before the end", "sidecar/control/event_stream.c",
       "        tail_send(t, buf_span(&t->out));\n        say_lost(t);\n        tail_free", "        tail_free", EVENTS_T)
mutant(R, "an event stream has no clean end", "sidecar/control/event_stream.c", "        http_reply_cut(c); /*", "        http_reply_end(c); /*", EVENTS_T)
mutant(R, "both servers are waited for", "sidecar/control/control.c", "    if (--ctl->servers_open == 0) {", "    if (--ctl->servers_open == 1) {",
       ("scenario.test_compare",))
mutant(R, "no write of the log waits", "sidecar/base/os.c", "O_WRONLY | O_NONBLOCK | O_NOCTTY", "O_WRONLY | O_NOCTTY", ("unit.base.test_log",))
mutant(R, "what found no room among the events is said", "sidecar/control/event_stream.c", "    if (!t->blocked) {\n        say_lost(t); /*",
       "    if (t->blocked) {\n        say_lost(t); /*", ("scenario.test_events",))
mutant(R, "only keys of [tasks] are looked up in each kind", "sidecar/control/steer.c", "of_tasks && option_find(SECTION_TASKS, key) != NULL",
       "of_tasks", ("integration.steer",))
mutant(R, "a set leaves an edited file to the next reload", "sidecar/app/lifecycle.c", "lifecycle_read(d, d->config, text)",
       "lifecycle_read(d, NULL, text)", ("integration.steer",))
mutant(R, "a file of a key waits for a reload", "sidecar/config/build.c", "read_kept_file(r, a->source", "read_whole_file(r, a->source", ("integration.steer",))
mutant(R, "and one of the environment", "sidecar/config/environment.c", "read_kept_file(r, SOURCE_ENVIRONMENT", "read_whole_file(r, SOURCE_ENVIRONMENT", ("integration.steer",))
mutant(R, "and certificates", "sidecar/config/build.c", " && !has_same_certificates(u, r)", " && (true || has_same_certificates(u, r))", ("integration.steer",))
mutant(R, "what was not read is not missing", "sidecar/config/build.c", "if (s->upstream_count == 0 && r->unread) {", "if (s->upstream_count > 99 && r->unread) {",
       ("unit.config.test_config_words",))
mutant(R, "a failed call is said once a minute", "sidecar/path/server/server.c", "if (s->failure_said.us != 0 && mono_diff(now", "if (s->failure_said.us < 0 && mono_diff(now",
       ("unit.server.test_server",))
mutant(R, "a server that was replaced has no refusals to show", "sidecar/path/server/refusal.c", "all->items[i]->replaced ? 0 : all->items[i]->model_count;", "all->items[i]->model_count;",
       ("unit.server.test_server",))
mutant(R, "a refused task is kept until its model answers one", SERVER, "    note_refused(s, caller, model, 0);", "    note_refused(s, SERVER_CALLER_CHAT, model, 0);",
       ("unit.server.test_server",))
mutant(R, "or a reload may have named another model", SERVER, "        forget_refused_tasks(s);\n", "        (void)forget_refused_tasks;\n",
       ("unit.server.test_server",))
mutant(R, "a task that is refused is counted, too", "sidecar/path/exchange/respond.c", "    note_refused(x, error);\n    respond_error(", "    respond_error(",
       ("integration.doctor",))
mutant(R, "what another try may change is not kept", SERVER, "    if (is_of_setup(failure->status) && server",
       "    if (failure->status > 0 && server", ("unit.server.test_server",))
mutant(R, "a good chat ends the doctor's word about it", "sidecar/path/exchange/forward.c", "        } else if (r->whole) {\n            server_note_served(",
       "        } else if (r->status == 0) {\n            server_note_served(", ("integration.doctor",))
mutant(R, "lulld leaves a mark where the file kills it", "sidecar/app/daemon.c", ".crash_mark = true", ".crash_mark = false", ("integration.task_hits",))
mutant(R, "a refusal of long ago is no finding", "sidecar/ctl/doctor.c", "is_below(one, \"ago_s\", REFUSED_KEPT)", "is_below(one, \"ago_s\", 9e9)", ("integration.doctor",))
mutant(R, "a value is UTF-8", "sidecar/config/assignments.c", "o->type != TYPE_PATH && !utf8_valid(text)", "o->type == TYPE_SECRET && !utf8_valid(text)",
       ("unit.config.test_config_values",))
mutant(R, "a line that is wrong is not missing too", "sidecar/config/ini.c", "    p->r->unread = true; /* it may", "    p->r->unread |= false; /* it may",
       ("unit.config.test_config_words",))
