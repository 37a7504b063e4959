/* record.c: a record on disk: head, checksum, value. Nothing of it is trusted before the checksum
 * over all of it is right: damaged pages can hold anything.
 */
#include "path/store/store_priv.h"

_Static_assert(sizeof(struct record_head) == 64, "the head has no holes");
_Static_assert(sizeof(struct order_row) == 40, "the row has no holes");

uint64_t record_checksum(const struct record_head *head, const void *value)
{
    struct record_head clear = *head;
    clear.checksum = 0;
    uint64_t sums[2] = {hash_checksum(&clear, sizeof clear), hash_checksum(value, head->length)};
    return hash_checksum(sums, sizeof sums);
}

enum err record_check(MDB_val raw, enum store_table table, struct record_head *head,
                      struct span *value)
{
    if (raw.mv_size < sizeof *head) {
        return ERR_CORRUPT;
    }
    memcpy(head, raw.mv_data, sizeof *head);
    const char *data = (const char *)raw.mv_data + sizeof *head;
    if (head->format != STORE_FORMAT || head->table != (uint32_t)table ||
        head->length != raw.mv_size - sizeof *head ||
        head->checksum != record_checksum(head, data)) {
        return ERR_CORRUPT;
    }
    *value = span_make(data, (size_t)head->length);
    return ERR_OK;
}

/* Room a record takes in the file, measured on LMDB 0.9.24 with random keys: values over 2,014
 * bytes have pages of their own, with a head of 16 bytes; smaller ones share pages that are about
 * two thirds full. The order's row is about 100 bytes. */
uint64_t record_room(size_t length)
{
    uint64_t size = length + sizeof(struct record_head);
    if (size > 2014) {
        return (size + 16 + STORE_PAGE - 1) / STORE_PAGE * STORE_PAGE + 150;
    }
    return size * 3 / 2 + 250;
}

MDB_val record_key(const struct hash_key *key)
{
    return (MDB_val){sizeof *key, (void *)(uintptr_t)key};
}
