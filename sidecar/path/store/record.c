/* record.c: a record on disk: head, checksum, value, in one piece or several. Nothing of it is used
 * before its checksum is right: damaged pages can hold any bytes.
 */
#include "path/store/store_priv.h"

_Static_assert(sizeof(struct record_head) == 96, "the head has no holes");
_Static_assert(sizeof(struct index_row) == 16, "the row has no holes");
_Static_assert(sizeof(size_t) == 8, "MDB_INTEGERKEY takes 8 bytes");
_Static_assert((STORE_RUN / STORE_WHOLE) + STORE_PAGE / STORE_LEAF + 2 <= STORE_STEP,
               "a record has enough positions for its pieces");

/* What LMDB takes of a page, and of the page for a piece that shares it. */
enum { PAGE_HEAD = 16, NODE = 18, LEAVES_MOST = 8 };

uint64_t record_checksum(const struct record_head *head, const void *value)
{
    return hash_join(
        hash_checksum(&head->format, sizeof *head - offsetof(struct record_head, format)),
        hash_checksum(value, (size_t)(head->length - head->rest)));
}

MDB_val record_key(const struct hash_key *key)
{
    return (MDB_val){sizeof *key, (void *)(uintptr_t)key};
}

int64_t record_position(MDB_val key)
{
    int64_t at = 0;
    if (key.mv_size == sizeof at) {
        memcpy(&at, key.mv_data, sizeof at);
    }
    return at / STORE_STEP * STORE_STEP;
}

/* What LMDB writes before a value that has pages of its own; other values are not right behind the
 * head of a page, where the places of its nodes are. */
struct own_pages {
    uint64_t number; /* of the first, in the file */
    uint16_t pad, flags;
    uint32_t count;
};
enum { OWN_PAGES = 4 };

bool record_is_sound(const struct store *s, MDB_val value)
{
    struct own_pages own;
    uintptr_t at = (uintptr_t)value.mv_data - s->map;
    if (s->map == 0 || at >= s->map_size || at % s->page != sizeof own) {
        return true; /* a page's copy that this transaction made, or part of a page */
    }
    memcpy(&own, (const char *)value.mv_data - sizeof own, sizeof own);
    return own.number == at / s->page && own.flags == OWN_PAGES &&
           own.count == (sizeof own - 1 + value.mv_size) / s->page + 1;
}

int record_find(const struct store *s, MDB_txn *txn, MDB_dbi index, const struct hash_key *key,
                struct index_row *out)
{
    MDB_val k = record_key(key);
    MDB_val raw;
    int rc = mdb_get(txn, index, &k, &raw);
    if (rc == 0 && (raw.mv_size != sizeof *out || !record_is_sound(s, raw))) {
        return MDB_CORRUPTED;
    }
    if (rc == 0) {
        memcpy(out, raw.mv_data, sizeof *out);
    }
    return rc;
}

/* The first piece of the record at a position. */
static int first_piece(MDB_cursor *log, int64_t position, struct record_head *head, MDB_val *raw)
{
    MDB_val key = {sizeof position, &position};
    int rc = mdb_cursor_get(log, &key, raw, MDB_SET_KEY);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    }
    if (raw->mv_size < sizeof *head) {
        return MDB_CORRUPTED;
    }
    memcpy(head, raw->mv_data, sizeof *head);
    return head->format == STORE_FORMAT && head->position == position ? 0 : MDB_CORRUPTED;
}

int record_head(MDB_cursor *log, int64_t position, struct record_head *head)
{
    MDB_val raw;
    return first_piece(log, position, head, &raw);
}

/* Copies the pieces into room, one after the other, beginning with the first. */
static bool gather(MDB_cursor *log, int64_t position, MDB_val piece, size_t total, char *room)
{
    MDB_val key;
    size_t have = piece.mv_size;
    if (total >= STORE_RUN || have > total) {
        return false;
    }
    memcpy(room, piece.mv_data, have);
    while (have < total && mdb_cursor_get(log, &key, &piece, MDB_NEXT) == 0) {
        if (record_position(key) != position || piece.mv_size > total - have) {
            return false;
        }
        memcpy(room + have, piece.mv_data, piece.mv_size);
        have += piece.mv_size;
    }
    return have == total;
}

enum err record_read(MDB_cursor *log, int64_t position, char *room, struct record_head *head,
                     struct span *value)
{
    MDB_val raw;
    if (first_piece(log, position, head, &raw) != 0 || head->length > SIZE_MAX - sizeof *head ||
        head->rest > head->length) {
        return ERR_CORRUPT;
    }
    size_t total = sizeof *head + (size_t)head->length;
    const char *data = raw.mv_data;
    if (raw.mv_size != total) {
        if (!gather(log, position, raw, total, room)) {
            return ERR_CORRUPT;
        }
        data = room;
    }
    *value = span_make(data + sizeof *head, (size_t)head->length);
    return head->checksum == record_checksum(head, value->ptr) ? ERR_OK : ERR_CORRUPT;
}

enum err record_read_whole(MDB_cursor *log, int64_t position, char *room, struct record_head *head,
                           struct span *value)
{
    enum err e = record_read(log, position, room, head, value);
    return e == ERR_OK && !store_rest_is_good(*value, head->rest, head->rest_checksum) ? ERR_CORRUPT
                                                                                       : e;
}

bool store_rest_is_good(struct span value, uint64_t rest, uint64_t checksum)
{
    return rest == 0 ||
           hash_checksum(value.ptr + (value.len - (size_t)rest), (size_t)rest) == checksum;
}

/* In how many pieces the end of a record shares pages: as few as fill seven eighths of a page with
 * their like. Each piece costs a reader a step. */
static size_t leaves_of(size_t size)
{
    enum { ROOM = STORE_PAGE - PAGE_HEAD };
    size_t count = (size + STORE_LEAF - 1) / STORE_LEAF;
    for (; count > 0 && count < LEAVES_MOST; count++) {
        size_t piece = (size + count - 1) / count + NODE;
        if (ROOM / piece * piece >= ROOM / 8 * 7) {
            break;
        }
    }
    return count;
}

size_t record_pieces(size_t total, size_t sizes[STORE_STEP])
{
    if (total <= STORE_LEAF || total >= STORE_RUN) {
        sizes[0] = total;
        return 1;
    }
    size_t pages = total / STORE_WHOLE;
    size_t remainder = total % STORE_WHOLE;
    if (remainder > 0 && remainder < sizeof(struct record_head)) { /* the head is in one piece */
        pages--;
        remainder += STORE_WHOLE;
    }
    bool nearly =
        remainder > STORE_WHOLE * 4 / 5 && remainder <= STORE_WHOLE; /* a page of its own */
    size_t leaves = nearly ? 1 : leaves_of(remainder);
    for (size_t i = 0; i < leaves; i++) {
        sizes[i] = remainder / leaves + (i < remainder % leaves ? 1 : 0);
    }
    for (size_t i = 0; i < pages; i++) {
        sizes[leaves + i] = STORE_WHOLE;
    }
    return leaves + pages;
}

/* LMDB adds 18 bytes to a piece that shares a page, and to a piece with pages of its own 16 bytes
 * in each and 26 in the leaf that names them. Pages of rows are about two thirds full. */
uint64_t store_room(size_t length)
{
    enum { PAGE_NODE = 26, KEY_ROW = 64 };
    size_t sizes[STORE_STEP];
    size_t count = record_pieces(length + sizeof(struct record_head), sizes);
    uint64_t room = KEY_ROW;
    for (size_t i = 0; i < count; i++) {
        room += sizes[i] > STORE_LEAF
                    ? (sizes[i] + PAGE_HEAD + STORE_PAGE - 1) / STORE_PAGE * STORE_PAGE + PAGE_NODE
                    : sizes[i] + NODE;
    }
    return room;
}
