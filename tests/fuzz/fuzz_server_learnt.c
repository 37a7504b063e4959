/* fuzz_server_learnt.c: any bytes as the note of what was learnt of models (half of the inputs as a
 * record with a good head), and as a Retry-After. What is taken is plain values that are used, shown,
 * saved and taken again as the same; nothing is taken twice.
 * covers: path/server/prefix.c path/server/throttle.c
 */
#include "support/fake_loop.h"

#include "lull/path/server/prefix.h"
#include "lull/path/server/throttle.h"

#include <curl/curl.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const wall_t NOW = {1700000000000000};
static char name[] = "default", url[] = "http://127.0.0.1:1";

struct fixture {
    struct loop *loop;
    struct figures *figures;
    struct servers *servers;
    struct upstream_settings up;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_create(), .figures = figures_create()};
    f->servers = servers_create(f->loop, NULL, f->figures);
    f->up = (struct upstream_settings){.name = name, .url = url};
    servers_bind(f->servers, &f->up, 1);
}

static void end(struct fixture *f)
{
    servers_destroy(f->servers);
    figures_destroy(f->figures);
    loop_destroy(f->loop);
}

static void look(void *ctx, const struct prefix_view *v)
{
    size_t *count = ctx;
    for (int i = 0; i < PREFIX_WHENS; i++) {
        const struct prefix_gain *g = &v->learnt->gain[i];
        require(!(g->on && g->off) && g->calls >= 0 && g->tokens_read >= 0);
        require(prefix_state(g)[0] != '\0');
    }
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        require(prefix_wrong(&v->learnt->kinds[i].behind) <= v->learnt->kinds[i].behind.count);
        require(v->learnt->kinds[i].behind.count <= 50 && v->learnt->kinds[i].asked.count <= 50);
    }
    require(v->learnt->token_us >= 0 && v->learnt->shown >= 0);
    ++*count;
}

/* It goes on being learnt. */
static void use(struct fixture *f, struct server_model *m, uint8_t choice)
{
    const struct prefix_call call = {.kind = choice % KIND_BUILTIN_COUNT,
                                     .behind = choice % 2 == 0,
                                     .when = (enum prefix_when)(choice % PREFIX_WHENS),
                                     .conversation = choice * 10,
                                     .wrong_form = choice % 3 == 0,
                                     .tokens_in = choice * 20,
                                     .cached = choice % 5 == 0 ? -1 : choice * 9,
                                     .prompt_time = choice % 7 == 0 ? -1 : choice * 1000};
    (void)prefix_look(m, call.kind, call.when, PREFIX_AUTO, NOW);
    (void)prefix_may(m, call.kind, PREFIX_AUTO, NOW);
    prefix_note(m, &call, NOW);
    prefix_note_size(m, choice * 100);
    require(prefix_context(m, 0) >= 0);
    (void)prefix_goes_back(m);
    size_t count = 0;
    prefix_each(f->servers, look, &count);
}

static void check_load(struct span note, uint8_t choice)
{
    struct fixture first, second;
    struct buf saved = {.max = SIZE_MAX}, again = {.max = SIZE_MAX};
    size_t count = 0, count_again = 0;
    begin(&first);
    begin(&second);
    prefix_load(first.servers, note);
    prefix_each(first.servers, look, &count);
    require(prefix_save(first.servers, &saved) == ERR_OK);
    prefix_load(second.servers, buf_span(&saved));
    prefix_each(second.servers, look, &count_again);
    require(prefix_save(second.servers, &again) == ERR_OK);
    require(span_eq(buf_span(&saved), buf_span(&again)) && count_again <= count);
    prefix_load(first.servers, buf_span(&saved)); /* it is known: nothing changes */
    buf_clear(&again);
    require(prefix_save(first.servers, &again) == ERR_OK &&
            span_eq(buf_span(&saved), buf_span(&again)));
    use(&first, server_model(server_of(first.servers, &first.up), SPAN("m")), choice);
    end(&first);
    end(&second);
    buf_free(&saved);
    buf_free(&again);
}

/* A record of model "m" with these bytes in it. */
static void record_of(struct span body, struct buf *out)
{
    struct fixture f;
    begin(&f);
    prefix_note_size(server_model(server_of(f.servers, &f.up), SPAN("m")), 1);
    require(prefix_save(f.servers, out) == ERR_OK);
    size_t learnt = sizeof(struct prefix_learnt);
    memcpy(out->data + out->len - learnt, body.ptr, body.len < learnt ? body.len : learnt);
    end(&f);
}

/* 2069: libcurl's first year of two digits whose century strptime and RFC 9110 see otherwise. */
static const time_t TWO_DIGITS_DIFFER = 3124224000;

/* Against libcurl's reading of dates; what it does not read may be a fraction. */
static void check_retry(struct span value)
{
    usec_t wait = throttle_retry_after(value, NOW);
    char text[64];
    require(wait >= -1 && wait <= 3600 * USEC_PER_S);
    if (value.len == 0 || value.len >= sizeof text) {
        require(wait == -1);
        return;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    time_t date = curl_getdate(text, NULL);
    size_t digits = strspn(text, "0123456789");
    bool same_century = date < TWO_DIGITS_DIFFER;
    if (wait >= 0 && digits == 0 && date != -1 && same_century) {
        usec_t left = (usec_t)date * USEC_PER_S - NOW.us;
        left = left < 0 ? 0 : left > 3600 * USEC_PER_S ? 3600 * USEC_PER_S : left;
        require(wait == left);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf record = {.max = SIZE_MAX};
    if (size < 1) {
        return 0;
    }
    struct span text = span_make((const char *)data + 1, size - 1);
    check_load(text, data[0]);
    record_of(text, &record);
    check_load(buf_span(&record), data[0]);
    check_retry(text);
    buf_free(&record);
    return 0;
}
