/* hints.h: how Open WebUI is set up, as far as its requests show it: for lullctl doctor.
 *
 * Counters since the start, for each upstream that was addressed, and the beginnings of chats that
 * look like a task of an unknown template.
 */
#ifndef LULL_PATH_EXCHANGE_HINTS_H
#define LULL_PATH_EXCHANGE_HINTS_H

#include "lull/base/clock.h"
#include "lull/config/settings.h"
#include "lull/http/request.h"

#include <stdint.h>

enum {
    HINTS_UPSTREAMS = 64,  /* upstreams that are counted; further ones are not */
    HINTS_LOOKALIKES = 8,  /* chats that are kept; a newer one replaces the oldest */
    HINTS_TEXT_BYTES = 240 /* of 60 code points */
};

struct hints_upstream {
    char name[65];
    bool header_seen; /* with any value: said once in the log */
    uint64_t tasks_by_header, tasks_by_text;
    uint64_t chats_with_header;       /* the task header was there, and empty */
    uint64_t chats_without_header;    /* it was absent */
    uint64_t with_user, without_user; /* tasks and chats, by the user header */
    uint64_t crowded; /* chats without a user id that began while another such chat was open */
    uint64_t unknown_header; /* chats whose task header names no kind of this version */
};

struct hints_lookalike {
    wall_t at;
    char text[HINTS_TEXT_BYTES + 1]; /* the first 60 code points of its last message */
};

/* Plain values; zero at first. */
struct hints {
    struct hints_upstream upstreams[HINTS_UPSTREAMS];
    size_t upstream_count;
    struct hints_lookalike lookalikes[HINTS_LOOKALIKES];
    uint64_t lookalike_count; /* ever; the newest is at (lookalike_count - 1) % HINTS_LOOKALIKES */
    uint64_t chats_open_without_user;
    struct {
        uint64_t count;
        mono_t at;               /* the last one */
    } refused[HTTP_ERROR_COUNT]; /* requests that lull refused by itself, by the error */
};

#endif
