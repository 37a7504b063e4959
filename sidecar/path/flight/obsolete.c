/* obsolete.c: follow-ups of conversations that have moved on. Open WebUI shows follow-ups only
 * under the last message, so these would not be shown: they are answered empty, and their call is
 * aborted when no other request waits for it.
 *
 * Where no chat id says which conversation goes on, its whole history has to: "Hello! How can I help you
 * today?" is the reply in many, and without a user id they are many people's.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/webui/chat_history.h"

bool flight_turn_is_over(const struct flight_turn *turn, struct hash_key task_chat,
                         const struct schedule_conversation *conversation,
                         struct chat_history_chat *chat)
{
    static const struct hash_key none;
    if (!hash_key_eq(turn->conversation.person, conversation->person)) {
        return false;
    }
    if (!hash_key_eq(task_chat, none) && !hash_key_eq(conversation->chat, none)) {
        return hash_key_eq(task_chat, conversation->chat);
    }
    return chat->request != NULL && turn->history.len > 0 &&
           chat_history_goes_on(turn->history, chat);
}

/* Answers those of its waiters whose conversation has moved on. */
static void answer_obsolete(struct flight *f, const struct schedule_conversation *conversation,
                            struct chat_history_chat *chat)
{
    list_each(node, &f->waiters)
    {
        struct flight_waiter *w = list_item(node, struct flight_waiter, node);
        if (flight_turn_is_over(&f->spec.turn, w->chat, conversation, chat)) {
            flight_answer_empty(f, w, OUTCOME_OBSOLETE);
        }
    }
}

void flight_moved_on(struct flight_table *t, const struct schedule_conversation *conversation,
                     const struct dialect_request *chat)
{
    struct chat_history_chat read = {.request = chat};
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        if (f->state != FLIGHT_STATE_ENDING && f->spec.kind == KIND_FOLLOW_UP &&
            flight_policy(f)->obsolete == OBSOLETE_EMPTY) {
            answer_obsolete(f, conversation, &read);
            if (flight_is_idle(f)) {
                flight_drop(f, FLIGHT_EVENT_OBSOLETE);
            }
        }
    }
    chat_history_chat_free(&read);
}
