/* test_lists.c: GET /entries: a list is made in parts, in turns of the loop. */
#include "scenario/scenario.h"

#include "lull/path/cache/cache.h"

enum { ENTRIES = 100, MANY = 600, PART = 32, ROWS = 256 };

/* Calls of cache_list(), which the linker leads here. */
static struct {
    uint64_t calls;
    size_t most, most_rows; /* that one of them was asked for */
} parts;

void __real_cache_list(struct cache *c, const struct cache_filter *filter, size_t limit,
                       size_t rows, int64_t after,
                       void (*fn)(void *ctx, const struct cache_info *info), void *ctx,
                       int64_t *next);
void __wrap_cache_list(struct cache *c, const struct cache_filter *filter, size_t limit,
                       size_t rows, int64_t after,
                       void (*fn)(void *ctx, const struct cache_info *info), void *ctx,
                       int64_t *next);

void __wrap_cache_list(struct cache *c, const struct cache_filter *filter, size_t limit,
                       size_t rows, int64_t after,
                       void (*fn)(void *ctx, const struct cache_info *info), void *ctx,
                       int64_t *next)
{
    parts.calls++;
    parts.most = limit > parts.most ? limit : parts.most;
    parts.most_rows = rows > parts.most_rows ? rows : parts.most_rows;
    __real_cache_list(c, filter, limit, rows, after, fn, ctx, next);
}

static uint64_t calls(struct world *w)
{
    (void)w;
    return parts.calls;
}

static struct world *begin(size_t entries)
{
    static const char *const sets[] = {"upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    world_control(w);
    for (size_t i = 0; i < entries; i++) {
        char user[32], title[48];
        struct client *c = client_open(w);
        snprintf(user, sizeof user, "Question %zu?", i);
        snprintf(title, sizeof title, "{\"title\": \"Title %zu\"}", i);
        client_post(c, "/v1/chat/completions", "", ask_title(user, "Fine."));
        model_answer(model_call(w, 0), title);
        model_forget(model_call(w, 0));
        client_close(c);
    }
    cache_flush(world_cache(w));
    memset(&parts, 0, sizeof parts);
    return w;
}

/* Asks for a list, and looks in each turn how many parts were made. */
static struct client *list(struct world *w, const char *query, struct turn_look *look, uint64_t all)
{
    char request[256];
    struct client *c = client_open_at(w, world_control_path(w));
    *look = (struct turn_look){.world = w, .count = calls, .all = all};
    int len =
        snprintf(request, sizeof request, "GET /entries%s HTTP/1.1\r\nHost: lull\r\n\r\n", query);
    world_look(look);
    client_send(c, request, (size_t)len);
    return c;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static void a_list_is_made_a_part_in_a_turn(void **state)
{
    struct turn_look look;
    (void)state;
    struct world *w = begin(MANY);
    struct client *c = list(w, "?limit=1000", &look, MANY / PART + 1);
    assert_has(client_reply(c), "HTTP/1.1 200 ");
    assert_has(client_reply(c), "{\"entries\":[{\"id\":\"");
    assert_has(client_reply(c), "\"hits\":0}],\"next\":null}");
    assert_int_equal(count_of(client_reply(c), "\"kind\":\"title\""), MANY);
    assert_int_equal(count_of(client_reply(c), "},{\"id\":\""), MANY - 1);
    assert_int_equal(parts.calls, MANY / PART + 1);
    assert_int_equal(parts.most, PART);
    assert_int_equal(parts.most_rows, ROWS);
    assert_int_equal(look.most, 1);
    world_end(w);
}

/* What `next` says leads on, however the parts and the pages fall. */
static void pages_of_any_size_list_each_entry_once(void **state)
{
    static const size_t limits[] = {0, 1, PART - 1, PART, PART + 1, 2 * PART, 50, ENTRIES};
    (void)state;
    struct world *w = begin(ENTRIES);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        char query[96] = "", next[32] = "";
        size_t seen = 0, pages = 0;
        do {
            struct turn_look look;
            snprintf(query, sizeof query, "?limit=%zu%s%s", limits[i], pages > 0 ? "&after=" : "",
                     next);
            struct client *c = list(w, query, &look, 1);
            const char *reply = client_reply(c), *at = strstr(reply, "],\"next\":");
            assert_non_null(at);
            size_t here = count_of(reply, "\"kind\":\"title\"");
            assert_true(here <= limits[i]);
            seen += here;
            pages++;
            next[0] = '\0';
            (void)sscanf(at, "],\"next\":\"%31[0-9]", next);
            client_close(c);
        } while (next[0] != '\0');
        assert_int_equal(seen, limits[i] == 0 ? 0 : ENTRIES);
    }
    world_end(w);
}

/* Few of many pass: what is read has a bound as well. */
static void what_does_not_pass_is_read_in_parts(void **state)
{
    struct turn_look look;
    (void)state;
    struct world *w = begin(ROWS + 44);
    struct client *c = list(w, "?kind=tags", &look, 2);
    assert_has(client_reply(c), "{\"entries\":[],\"next\":null}");
    assert_int_equal(parts.calls, 2);
    assert_int_equal(look.most, 1);
    world_end(w);
}

static struct client *leaving;

static uint64_t leaves_after_the_first(struct world *w)
{
    (void)w;
    if (parts.calls == 1 && leaving != NULL) {
        struct client *c = leaving;
        leaving = NULL;
        client_close(c);
    }
    return parts.calls;
}

static void a_list_ends_with_its_client(void **state)
{
    (void)state;
    struct world *w = begin(ENTRIES);
    struct turn_look look = {.world = w, .count = leaves_after_the_first, .all = 2};
    leaving = client_open_at(w, world_control_path(w));
    static const char REQUEST[] = "GET /entries?limit=1000 HTTP/1.1\r\nHost: lull\r\n\r\n";
    world_look(&look);
    client_send(leaving, REQUEST, sizeof REQUEST - 1);
    world_pass(w, 0);
    assert_null(leaving);
    assert_int_equal(parts.calls, 1);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_made_a_part_in_a_turn),
        cmocka_unit_test(pages_of_any_size_list_each_entry_once),
        cmocka_unit_test(what_does_not_pass_is_read_in_parts),
        cmocka_unit_test(a_list_ends_with_its_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
