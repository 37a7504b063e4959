/* test_upstream_names.c: the name of a model server and its address: when it is looked up again. The look-up is
 * replaced here. */
#include "unit/upstream/answers.h"

#include "path/upstream/upstream_priv.h"

#include <netdb.h>

static int look_ups;
static in_addr_t moved_to; /* network order; 0: the loopback address */

/* In place of the C library's, also for libcurl. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in in;
    } *answer = mem_new(sizeof *answer);
    (void)node;
    (void)hints;
    look_ups++;
    answer->in.sin_family = AF_INET;
    answer->in.sin_port = htons((uint16_t)strtoul(service, NULL, 10));
    answer->in.sin_addr.s_addr = moved_to == 0 ? htonl(INADDR_LOOPBACK) : moved_to;
    answer->info = (struct addrinfo){.ai_family = AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_addrlen = sizeof answer->in,
                                     .ai_addr = (struct sockaddr *)&answer->in};
    *out = &answer->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
}

static void name_the_server(struct world *w)
{
    const char *port = strchr(w->server.host, ':');
    char host[64];
    snprintf(host, sizeof host, "model.test%s", port);
    memcpy(w->server.host, host, sizeof host);
    snprintf(w->server.origin, sizeof w->server.origin, "http://%.40s", host);
    look_ups = 0;
}

static void a_name_that_moved_is_looked_up_again_at_once(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK), .after = CLOSE}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 1);
    name_the_server(w);
    moved_to = inet_addr("127.0.0.9"); /* it refuses */
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_UNREACHABLE);
    int first = look_ups; /* just looked up: once */
    moved_to = 0;
    for (int i = 0; i < 4; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_body(w, "ok");
    }
    assert_int_equal(look_ups, 3 * first); /* again, at the next call, then remembered */
}

/* libcurl asks a name again on its own where a kept connection ended. It does not report the close of its
 * resolver's descriptor, only that it is not waited for any more: nothing may be left of it, for the
 * next descriptor with that number is of another connection, perhaps of a client's. */
static void a_descriptor_of_the_resolver_is_no_connection(void **state)
{
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    struct upstream_call call = {.pool = w->pool, .easy = curl_easy_init(), .attempts = 1};
    call.to = req.to;
    list_init(&call.socks);
    int pair[2];
    assert_non_null(call.easy);
    curl_easy_setopt(call.easy, CURLOPT_PRIVATE, &call);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    (void)sockets_wanted(call.easy, pair[0], CURL_POLL_IN, w->pool, NULL);
    assert_false(list_empty(&w->pool->socks));
    (void)sockets_wanted(call.easy, pair[0], CURL_POLL_REMOVE, w->pool, NULL);
    assert_true(list_empty(&w->pool->socks));
    sockets_release(&call);
    curl_easy_cleanup(call.easy);
    close(pair[0]);
    close(pair[1]);
}

/* More servers than there are rows for, while the call to the first is about to connect. */
static void an_address_stays_as_long_as_its_call(void **state)
{
    enum { SERVERS = 64 };
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    static char origins[SERVERS][32];
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    probe_start(&w->probe, &req);
    for (int i = 0; i < SERVERS; i++) {
        struct upstream_settings to = w->server.to;
        struct probe other;
        snprintf(origins[i], sizeof origins[i], "http://127.0.0.1:%d", i + 1);
        to.origin = origins[i];
        req.to = &to;
        probe_init(&other, w);
        probe_start(&other, &req);
        probe_abort(&other);
        probe_free(&other);
    }
    world_run(w);
    assert_body(w, "ok");
}

static void one_that_stays_away_is_tried_twice(void **state)
{
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    name_the_server(w);
    moved_to = inet_addr("127.0.0.9");
    int first = 0;
    for (int i = 1; i <= 3; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_UNREACHABLE);
        assert_string_equal(w->probe.why, "connection refused");
        first = i == 1 ? look_ups : first;
        assert_int_equal(look_ups, i * first);
    }
    moved_to = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_name_that_moved_is_looked_up_again_at_once),
        T(a_descriptor_of_the_resolver_is_no_connection),
        T(one_that_stays_away_is_tried_twice),
        T(an_address_stays_as_long_as_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
