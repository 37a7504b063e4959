/* conversation.c: the user and the conversation of a request, and the turn that a task is about. A
 * conversation is identified by its chat id where Open WebUI sends one, else by the user and by what the
 * prompt has of it.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/base/utf8.h"
#include "lull/path/webui/turn.h"

enum {
    TURN_REPLY_BYTES = 256, /* of a reply, identify its turn: fewer than Open WebUI truncates to */
    TURN_PLAIN_MAX = 4 * 1024 * 1024,
};

struct hash_key conversation_person(struct exchange *x)
{
    const struct scope *scope = exchange_person(x);
    struct hash_key key;
    _Static_assert(sizeof key <= sizeof scope->digest, "a key is the beginning of a digest");
    memcpy(&key, scope->digest, sizeof key);
    return key;
}

uint32_t conversation_user(struct exchange *x)
{
    if (x->head.user.len == 0) {
        return FIGURE_USER_NONE;
    }
    const uint8_t *d = exchange_person(x)->digest;
    uint32_t user =
        (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | (uint32_t)d[3];
    return user == FIGURE_USER_NONE || user == FIGURE_USER_OTHERS ? 1 : user;
}

struct schedule_conversation conversation_of(struct exchange *x)
{
    return (struct schedule_conversation){.person = conversation_person(x),
                                          .chat =
                                              servers_key(x->engine->parts.servers, x->head.chat)};
}

/* Equal for all tasks of one reply, however much of the conversation each template includes. */
static struct hash_key turn_key(const struct exchange *x, const struct schedule_conversation *whose,
                                struct span reply)
{
    struct hash_state state;
    hash_begin(&state, cache_secret(x->engine->parts.cache));
    hash_update(&state, whose, sizeof *whose);
    hash_update(&state, reply.ptr, reply.len < TURN_REPLY_BYTES ? reply.len : TURN_REPLY_BYTES);
    return hash_end(&state);
}

struct flight_turn conversation_turn(struct exchange *x)
{
    struct flight_turn turn = {.conversation = conversation_of(x)};
    if (exchange_policy(x)->cls != KIND_CLASS_BACKGROUND || !x->parsed) {
        return turn;
    }
    struct task_turn found = task_turn_of(&x->request);
    turn.beside_reply = x->decision.kind == KIND_TITLE && found.known && found.reply.len == 0;
    struct buf plain = {.max = TURN_PLAIN_MAX};
    if (!turn.beside_reply && task_plain(found.reply, &plain) == ERR_OK) {
        struct span reply = buf_span(&plain);
        /* where there is a chat id, that says it, and nothing is copied */
        bool known_again = x->decision.kind == KIND_FOLLOW_UP &&
                           !hash_key_is_set(turn.conversation.chat) &&
                           utf8_count(reply) >= TASK_REPLY_MIN;
        turn.turn = turn_key(x, &turn.conversation, reply);
        turn.history = known_again ? found.history : SPAN_NONE;
    }
    buf_free(&plain);
    return turn;
}
