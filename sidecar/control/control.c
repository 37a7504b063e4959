/* control.c: the life of the control socket and of the listeners of metrics_listen: where they listen,
 * who may connect, and their end.
 *
 * The permission bits of the socket and of its folder say who may connect; routes.c says who may ask for
 * what.
 */
#include "control/control_priv.h"

#include "lull/base/host.h"
#include "lull/base/os.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64 };

/* The folder is made where it is missing; below /tmp only for its owner. */
static enum err make_folder(const struct server_settings *s, char *why, size_t why_size)
{
    const char *slash = strrchr(s->control, '/');
    if (s->control[0] != '/' || slash == s->control) {
        return ERR_OK; /* relative, or in "/": it is there */
    }
    char *folder = mem_strndup(s->control, (size_t)(slash - s->control));
    bool private_folder = strncmp(folder, "/tmp/", 5) == 0;
    enum err e =
        access(folder, F_OK) == 0 ? ERR_OK : os_mkdirs(folder, private_folder ? 0700 : 0755);
    if (e != ERR_OK) {
        snprintf(why, why_size,
                 "the folder of the control socket, %s, cannot be made (%s); set "
                 "[server] control or make it",
                 folder, err_name(e));
    } else if (!os_is_out_of_reach(s->control)) {
        e = ERR_PERM;
        snprintf(why, why_size,
                 "the folder of the control socket, %s, is another user's, or others may write to "
                 "it; set [server] control",
                 folder);
    }
    free(folder);
    return e;
}

static enum err set_group(const struct server_settings *s, char *why, size_t why_size)
{
    if (s->control_group[0] == '\0') {
        return ERR_OK;
    }
    const struct group *g = getgrnam(s->control_group);
    if (g == NULL || chown(s->control, (uid_t)-1, g->gr_gid) != 0) {
        snprintf(
            why, why_size,
            "the control socket cannot be given to the group %s (%s); lulld's user must be root "
            "or a member of it",
            s->control_group, g == NULL ? "there is no such group" : strerror(errno));
        return ERR_PERM;
    }
    return ERR_OK;
}

static enum err listen_everywhere(struct control *ctl, const struct server_settings *s, char *why,
                                  size_t why_size)
{
    char address[512];
    snprintf(address, sizeof address, "unix:%s", s->control);
    enum err e = make_folder(s, why, why_size);
    if (e == ERR_OK) {
        e = http_server_listen(ctl->server, address, (mode_t)s->control_mode, why, why_size);
    }
    if (e == ERR_OK) {
        e = set_group(s, why, why_size);
    }
    for (size_t i = 0; i < s->metrics_listen.count && e == ERR_OK; i++) {
        e = http_server_listen(ctl->public_server, s->metrics_listen.items[i], 0666, why, why_size);
    }
    return e;
}

enum err control_create(const struct control_parts *parts, struct control **out, char *why,
                        size_t why_size)
{
    struct http_limits limits = {.header_timeout = 10 * USEC_PER_S,
                                 .body_timeout = 10 * USEC_PER_S,
                                 .idle_timeout = 75 * USEC_PER_S,
                                 .send_timeout = 60 * USEC_PER_S,
                                 .max_connections = CONNECTIONS_MAX,
                                 .replaces_idle = true,
                                 .urgent = true,
                                 .max_buffered = 64 * CONTROL_BODY_MAX, /* with long replies */
                                 .max_body = 4 * CONTROL_BODY_MAX};
    struct control *ctl = mem_new(sizeof *ctl);
    control_json_watch();
    ctl->parts = *parts;
    list_init(&ctl->pending);
    list_init(&ctl->tails);
    ctl->server = http_server_create(parts->loop, &limits, &control_handler, ctl);
    ctl->public_server = http_server_create(parts->loop, &limits, &control_public_handler, ctl);
    ctl->history = history_create(parts->loop, parts->figures, parts->schedule);
    ctl->ledger = ledger_create(parts->loop, parts->figures, parts->cache);
    ctl->learnt = learnt_create(parts->loop, parts->servers, parts->cache);
    host_own_name(ctl->hostname, sizeof ctl->hostname);
    enum err e = listen_everywhere(ctl, &control_settings(parts)->server, why, why_size);
    if (e != ERR_OK) {
        control_destroy(ctl);
        return e;
    }
    *out = ctl;
    return ERR_OK;
}

static void on_server_drained(void *ctx)
{
    struct control *ctl = ctx;
    if (--ctl->servers_open == 0) {
        ctl->drained(ctl->drained_ctx);
    }
}

void control_drain(struct control *ctl, loop_fn done, void *ctx)
{
    ctl->servers_open = 2;
    ctl->drained = done;
    ctl->drained_ctx = ctx;
    control_events_end_all(ctl);
    http_server_drain(ctl->server, on_server_drained, ctl);
    http_server_drain(ctl->public_server, on_server_drained, ctl);
}

void control_destroy(struct control *ctl)
{
    if (ctl == NULL) {
        return;
    }
    control_compare_gone(ctl, NULL);
    control_entries_gone_all(ctl);
    control_events_gone_all(ctl);
    http_server_destroy(ctl->server);
    http_server_destroy(ctl->public_server);
    history_destroy(ctl->history);
    ledger_destroy(ctl->ledger);
    learnt_destroy(ctl->learnt);
    free(ctl);
}
