/* budget.c: how long the after-reply tasks of one turn have waited together. Open WebUI asks for
 * them one after another (follow-ups, tags, memory review) and the chat looks busy until the last
 * is answered, so one budget holds for all. A fixed table; a forgotten turn begins with nothing
 * spent.
 */
#include "path/schedule/schedule_priv.h"

bool key_is_zero(struct hash_key k)
{
    return hash_key_eq(k, (struct hash_key){0});
}

usec_t turn_waited(const struct schedule *s, struct hash_key turn)
{
    for (size_t i = 0; s->turns != NULL && !key_is_zero(turn) && i < SCHEDULE_TURNS; i++) {
        if (hash_key_eq(s->turns[i].key, turn)) {
            return s->turns[i].waited;
        }
    }
    return 0;
}

void turn_add(struct schedule *s, struct hash_key turn, usec_t waited, mono_t now)
{
    if (key_is_zero(turn)) {
        return;
    }
    if (s->turns == NULL) {
        s->turns = mem_new(SCHEDULE_TURNS * sizeof *s->turns);
    }
    struct turn_row *row = &s->turns[0];
    for (size_t i = 0; i < SCHEDULE_TURNS; i++) {
        if (hash_key_eq(s->turns[i].key, turn)) {
            row = &s->turns[i];
            break;
        }
        row = s->turns[i].used.us < row->used.us ? &s->turns[i] : row;
    }
    if (!hash_key_eq(row->key, turn)) {
        *row = (struct turn_row){.key = turn};
    }
    row->waited += waited;
    row->used = now;
}
