/* rivals.c: whether conversations go on as expected: of one chat that is sent to two models the person
 * goes on with either reply, and a client may change what it has sent.
 */
#include "path/transcript/transcript_priv.h"

static const usec_t TOGETHER = 2 * USEC_PER_S; /* Open WebUI sends them within milliseconds */

struct place_record *rivals_record(struct transcripts *all, const struct transcript_place *place,
                                   mono_t now)
{
    const uint64_t parts[] = {place->person.hi, place->person.lo, place->server,
                              hash_checksum(place->model.ptr, place->model.len)};
    uint64_t key = hash_checksum(parts, sizeof parts) | 1;
    struct place_record *found = &all->places[0];
    for (size_t i = 0; i < PLACES && found->key != key; i++) {
        struct place_record *r = &all->places[i];
        found = r->key == key || r->used.us < found->used.us ? r : found;
    }
    if (found->key != key) {
        *found = (struct place_record){.key = key};
    }
    found->used = now;
    return found;
}

struct transcript_rival rivals_of(struct hash_key person, const struct dialect_request *request,
                                  mono_t begun)
{
    const struct json_node *root = request->json.count > 0 ? request->json.nodes : NULL;
    const struct json_node *messages = json_get(root, SPAN("messages"));
    struct span raw = messages == NULL ? SPAN("") : messages->raw;
    struct span model = request->model.len > 0 ? request->model : SPAN("");
    return (struct transcript_rival){person, hash_checksum(raw.ptr, raw.len),
                                     hash_checksum(model.ptr, model.len), begun};
}

static bool are_rivals(const struct transcript_rival *a, const struct transcript_rival *b)
{
    if (a->messages != b->messages || a->model == b->model) {
        return false;
    }
    usec_t apart = mono_diff(a->begun, b->begun);
    return hash_key_eq(a->person, b->person) || (apart < TOGETHER && apart > -TOGETHER);
}

void transcript_chat_began(struct transcripts *all, struct hash_key person,
                           const struct dialect_request *request, mono_t now)
{
    struct transcript_rival own = rivals_of(person, request, now);
    all->begun[all->begun_next] = own;
    all->begun_next = (all->begun_next + 1) % BEGUN;
    list_each(node, row_of(&all->by_messages, own.messages))
    {
        struct transcript *t = list_item(node, struct item, by_messages)->t;
        t->changes = t->changes || are_rivals(&own, &t->rival);
    }
}

bool rivals_began(const struct transcripts *all, const struct transcript_rival *own)
{
    for (size_t i = 0; i < BEGUN; i++) {
        if (are_rivals(&all->begun[i], own)) {
            return true;
        }
    }
    return false;
}
