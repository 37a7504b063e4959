/* test_events.c: GET /events in virtual time. */
#include "scenario/scenario.h"

#include <stdlib.h>

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

/* Events wait 50 ms for others, in 64 KB. */
static void what_finds_no_room_before_it_is_sent_is_counted(void **state)
{
    enum { ASKED = 1000 };
    static const char EVENTS[] = "GET /events HTTP/1.1\r\nHost: lull\r\n\r\n";
    (void)state;
    struct world *w = world_begin(NULL);
    world_control(w);
    struct client *reader = client_open_at(w, world_control_path(w));
    struct client *asks = client_open(w);
    client_send(reader, EVENTS, sizeof EVENTS - 1);
    world_pass(w, 0);
    for (int i = 0; i < ASKED; i++) {
        client_post(asks, "/@none/v1/chat/completions", "", "{}");
        client_clear(asks);
    }
    assert_int_equal(count_of(client_reply(reader), "data: {"), 0);
    ms(w, 50);
    const char *lost = strstr(client_reply(reader), "event: lost\ndata: {\"lost\":");
    size_t seen = count_of(client_reply(reader), "data: {\"time\"");
    assert_non_null(lost);
    assert_int_equal(seen + strtoul(strrchr(lost, ':') + 1, NULL, 10), ASKED);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_finds_no_room_before_it_is_sent_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
