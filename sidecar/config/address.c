/* address.c: lists of addresses to listen on that cannot all be open at once. */
#include "config/config_priv.h"

#include "lull/base/listen_address.h"

#include <sys/socket.h>

bool is_address(const char *text)
{
    struct listen_address a;
    return listen_address_parse(text, &a);
}

/* `first` is opened first, by the same server or another one. */
static bool collide(const char *first, const char *second, bool same_server, struct buf *why)
{
    struct listen_address a;
    struct listen_address b;
    if (!listen_address_parse(first, &a) || !listen_address_parse(second, &b) ||
        !listen_addresses_overlap(&a, &b) ||
        (same_server && listen_address_is_wildcard(&a, AF_INET) &&
         listen_address_is_wildcard(&b, AF_INET6))) {
        return false;
    }
    if (strcmp(first, second) == 0) {
        buf_text(why, "%.150s is given twice", first);
    } else {
        buf_text(why, "%.150s and %.150s are the same address, or one takes in the other", first,
                 second);
    }
    return true;
}

bool addresses_collide(const struct strings *list, struct buf *why)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (collide(list->items[k], list->items[i], true, why)) {
                return true;
            }
        }
    }
    return false;
}

bool address_lists_collide(const struct strings *list, const struct strings *other, struct buf *why)
{
    for (size_t i = 0; i < other->count; i++) {
        for (size_t k = 0; k < list->count; k++) {
            if (collide(list->items[k], other->items[i], false, why)) {
                return true;
            }
        }
    }
    return false;
}
