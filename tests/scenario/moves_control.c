/* moves_control.c: what is asked on the control socket while the daemon works. Each reply is whole, and
 * JSON where it says so. */
#include "scenario/moves_priv.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_json(const char *reply)
{
    const char *body = strstr(reply, "\r\n\r\n");
    require(body != NULL && strncmp(reply, "HTTP/1.1 ", 9) == 0);
    if (strstr(reply, "Content-Type: application/json") != NULL && body[4] != '\0') {
        cJSON *tree = cJSON_Parse(body + 4);
        if (tree == NULL) {
            fprintf(stderr, "%s\n", reply);
        }
        require(tree != NULL);
        cJSON_Delete(tree);
    }
}

/* What was purged is not served any more, once the purge is answered: the writer does it. */
static void wait_for_purge(struct game *g, struct client *c, const char *line)
{
    bool titles = strstr(line, "kind=title") != NULL;
    for (int i = 0; i < 1000 && !disk_stands() && !client_closed(c) && !client_answered(c); i++) {
        usleep(200);
        world_pass(g->world, 0);
    }
    if (strncmp(client_reply(c), "HTTP/1.1 200", 12) == 0 && strstr(line, "older") == NULL) {
        for (int kind = 0; kind < ASK_KINDS; kind++) {
            g->purges[kind] += !titles || kind == ASK_TITLE ? 1 : 0;
        }
    }
}

static void ask(struct game *g, const char *line, const char *body)
{
    struct buf out = {.max = SIZE_MAX};
    struct client *c = client_open_at(g->world, world_control_path(g->world));
    buf_text(&out, "%s HTTP/1.1\r\nHost: lull\r\nContent-Length: %zu\r\n\r\n%s", line, strlen(body),
             body);
    client_try_send(c, out.data, out.len);
    world_pass(g->world, 0);
    const char *reply = client_reply(c);
    if (strncmp(line, "GET /events", 11) != 0 && strncmp(line, "POST /compare", 13) != 0 &&
        strncmp(line, "POST /purge", 11) != 0 && strncmp(line, "DELETE", 6) != 0) {
        check_json(reply);
    }
    if (strncmp(line, "POST /purge", 11) == 0) {
        wait_for_purge(g, c, line);
    }
    if (pick(g, 2) == 0) { /* else the connection stays, and what it waits for */
        client_close(c);
    }
    buf_free(&out);
}

void control_ask(struct game *g)
{
    static const struct {
        const char *line, *body;
    } asks[] = {
        {"GET /stats", ""},
        {"GET /metrics", ""},
        {"GET /flights", ""},
        {"GET /entries?limit=3", ""},
        {"GET /entries/0", ""},
        {"DELETE /entries/0123456789abcdef0123456789abcdef", ""},
        {"GET /history", ""},
        {"GET /report?days=3&by=user", ""},
        {"GET /config", ""},
        {"GET /doctor", ""},
        {"GET /readyz", ""},
        {"GET /events", ""},
        {"POST /explain/last?kind=title", ""},
        {"POST /explain",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q1q\"}]}"},
        {"POST /explain", NULL}, /* the last request */
        {"POST /compare?kind=title&last=2", "m\n"},
        {"POST /compare?kind=autocomplete&last=3", "m\nn\n"},
        {"POST /pause?for=5s", ""},
        {"POST /resume", ""},
        {"POST /reload", ""},
        {"POST /config", "tasks.settle=0\nupstream.other.machine=localhost\n"},
        {"POST /config", "tasks.settle=nonsense\n"},
        {"POST /config", "server.data_dir=/nowhere\n"},
        {"POST /purge?kind=title", ""},
        {"POST /purge?older=1s", ""},
        {"POST /purge?all=yes", ""},
    };
    unsigned which = pick(g, sizeof asks / sizeof asks[0]);
    ask(g, asks[which].line, asks[which].body == NULL ? g->asked : asks[which].body);
}
