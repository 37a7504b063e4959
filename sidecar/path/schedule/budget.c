/* budget.c: how long the after-reply tasks of one turn have waited together. Open WebUI asks for
 * them one after another (follow-ups, tags, memory review) and the chat looks busy until the last
 * is answered, so one budget holds for all. A fixed table; a turn that is forgotten, or that began
 * TURN_LASTS ago, has spent nothing. Each waiting task asks for its turn in each decision: rows are found
 * by their hash.
 */
#include "path/schedule/schedule_priv.h"

bool key_is_zero(struct hash_key k)
{
    return hash_key_eq(k, (struct hash_key){0});
}

/* The place in the table of the first turn of its chain. */
static uint16_t *chain_of(const struct schedule *s, struct hash_key turn)
{
    return &s->turns->first[turn.lo % SCHEDULE_CHAINS];
}

static struct turn_row *find(const struct schedule *s, struct hash_key turn)
{
    uint16_t at = *chain_of(s, turn);
    while (at != 0 && !hash_key_eq(s->turns->rows[at - 1].key, turn)) {
        at = s->turns->rows[at - 1].next;
    }
    return at == 0 ? NULL : &s->turns->rows[at - 1];
}

static bool is_over(const struct turn_row *row, mono_t now)
{
    return mono_diff(now, row->began) >= TURN_LASTS;
}

usec_t turn_waited(const struct schedule *s, struct hash_key turn, mono_t now)
{
    const struct turn_row *row = s->turns == NULL || key_is_zero(turn) ? NULL : find(s, turn);
    return row == NULL || is_over(row, now) ? 0 : row->waited;
}

static void unlink_row(struct schedule *s, const struct turn_row *row)
{
    uint16_t *link = chain_of(s, row->key);
    uint16_t at = (uint16_t)(row - s->turns->rows + 1);
    while (*link != at) {
        link = &s->turns->rows[*link - 1].next;
    }
    *link = row->next;
}

/* The least recently used row, in its new chain. */
static struct turn_row *take_row(struct schedule *s, struct hash_key turn, mono_t now)
{
    struct turn_row *row = &s->turns->rows[0];
    for (size_t i = 1; i < SCHEDULE_TURNS; i++) {
        row = s->turns->rows[i].used.us < row->used.us ? &s->turns->rows[i] : row;
    }
    if (row->used.us != 0) {
        unlink_row(s, row);
    }
    uint16_t *first = chain_of(s, turn);
    *row = (struct turn_row){.key = turn, .began = now, .next = *first};
    *first = (uint16_t)(row - s->turns->rows + 1);
    return row;
}

void turn_add(struct schedule *s, struct hash_key turn, usec_t waited, mono_t now)
{
    if (key_is_zero(turn)) {
        return;
    }
    if (s->turns == NULL) {
        s->turns = mem_new(sizeof *s->turns);
    }
    struct turn_row *row = find(s, turn);
    row = row == NULL ? take_row(s, turn, now) : row;
    if (is_over(row, now)) {
        row->began = now;
        row->waited = 0;
    }
    row->waited += waited;
    row->used = now;
}
