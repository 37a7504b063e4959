/* origin.c: what is remembered of a server's address: when its name was resolved, and whether its
 * connections may be reused. A few rows; the one that was used least recently makes room.
 */
#include "path/upstream/upstream_priv.h"

#include "lull/base/host.h"
#include "lull/base/log.h"

#include <stdlib.h>

static const usec_t DISTRUST = 600 * USEC_PER_S, PLAIN = 600 * USEC_PER_S;

static bool is_row_of(const struct origin *row, const struct upstream_settings *to)
{
    return row->origin != NULL && strcmp(row->origin, to->origin) == 0 &&
           strcmp(row->socket, to->unix_socket) == 0;
}

struct origin_url *origin_url_take(struct origin *row)
{
    if (row->url == NULL) {
        row->url = mem_new(sizeof *row->url);
        row->url->uses = 1;
        row->url->parsed = curl_url();
        if (curl_url_set(row->url->parsed, CURLUPART_URL, row->origin, CURLU_PATH_AS_IS) !=
            CURLUE_OK) {
            curl_url_cleanup(row->url->parsed);
            row->url->parsed = NULL;
        }
    }
    row->url->uses++;
    return row->url;
}

void origin_url_give(struct origin_url *url)
{
    if (url != NULL && --url->uses == 0) {
        curl_url_cleanup(url->parsed);
        free(url);
    }
}

static void origin_free(struct origin *row)
{
    origin_url_give(row->url);
    free(row->name);
    free(row->origin);
    free(row->socket);
    *row = (struct origin){0};
}

void origins_free(struct upstream_pool *pool)
{
    for (size_t i = 0; i < UPSTREAM_ORIGINS; i++) {
        origin_free(&pool->origins[i]);
    }
}

struct origin *origin_of(struct upstream_pool *pool, const struct upstream_settings *to)
{
    struct origin *row = &pool->origins[0];
    for (size_t i = 0; i < UPSTREAM_ORIGINS && !is_row_of(row, to); i++) {
        struct origin *it = &pool->origins[i];
        row = is_row_of(it, to) || it->used.us < row->used.us ? it : row;
    }
    if (!is_row_of(row, to)) {
        origin_free(row);
        row->name = mem_strdup(to->name);
        row->origin = mem_strdup(to->origin);
        row->socket = mem_strdup(to->unix_socket);
    }
    row->used = loop_now(pool->loop);
    return row;
}

void origin_distrust(struct upstream_pool *pool, struct origin *row)
{
    if (row == NULL || row->origin == NULL || origin_is_distrusted(pool, row)) {
        return;
    }
    row->distrusted_until.us = loop_now(pool->loop).us + DISTRUST;
    log_warn(
        "upstream",
        "%s sent bytes that no request asked for: its connections are not reused for 10 minutes",
        row->name);
}

bool origin_is_distrusted(const struct upstream_pool *pool, const struct origin *row)
{
    return row->distrusted_until.us > loop_now(pool->loop).us;
}

void origin_take_plain(struct upstream_pool *pool, struct origin *row, bool plain)
{
    row->plain_until.us = plain ? loop_now(pool->loop).us + PLAIN : 0;
}

bool origin_is_plain(const struct upstream_pool *pool, const struct origin *row)
{
    return row->plain_until.us > loop_now(pool->loop).us;
}

/* Whether connecting needs a look-up that libcurl remembers. */
static bool is_named(const struct upstream_settings *to)
{
    struct span host = host_part(span_of(to->host));
    bool literal = host_address(host, NULL) || host_is_local(host);
    return to->proxy[0] != '\0' || (to->unix_socket[0] == '\0' && !literal);
}

bool origin_is_remembered(struct upstream_pool *pool, struct origin *row,
                          const struct upstream_settings *to)
{
    mono_t now = loop_now(pool->loop);
    if (!is_named(to)) {
        return false;
    }
    if (row->resolved.us != 0 &&
        mono_diff(now, row->resolved) <= UPSTREAM_DNS_SECONDS * USEC_PER_S) {
        return true;
    }
    row->resolved = now;
    return false;
}
