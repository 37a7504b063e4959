/* fuzz_control_query.c: any bytes as the query of a control request: refused with a reason, or each
 * value as an independent decoder reads it, in its place.
 * covers: control/query.c
 */
#include "control/control_priv.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *config;

static void read_config(void)
{
    char url[] = "upstream.default.url=http://127.0.0.1:1", own[] = "task.mine.match=Write";
    char *sets[] = {url, own};
    struct config_sources sources = {.sets = {sets, 2}};
    struct buf errors = {.max = 4096}, warnings = {.max = 4096};
    config = config_read(&sources, &errors, &warnings);
    require(config != NULL);
    buf_free(&errors);
    buf_free(&warnings);
}

struct checking {
    struct span rest; /* of the query */
    size_t count;
};

/* The next NAME=VALUE of the query, decoded by libcurl. */
static bool check_value(void *ctx, struct span name, struct span value)
{
    struct checking *c = ctx;
    struct span part = SPAN_NONE;
    while (part.len == 0) {
        size_t end = span_find(c->rest, SPAN("&"), 0);
        size_t skip = end == SIZE_MAX ? c->rest.len : end + 1;
        require(c->rest.len > 0);
        part = span_make(c->rest.ptr, end == SIZE_MAX ? c->rest.len : end);
        c->rest = span_make(c->rest.ptr + skip, c->rest.len - skip);
    }
    size_t equals = span_find(part, SPAN("="), 0);
    require(equals != SIZE_MAX && span_eq(name, span_make(part.ptr, equals)));
    char *raw = mem_strndup(part.ptr + equals + 1, part.len - equals - 1);
    for (char *p = raw; *p != '\0'; p++) {
        *p = *p == '+' ? ' ' : *p;
    }
    int len = 0;
    char *decoded = curl_easy_unescape(NULL, raw, (int)(part.len - equals - 1), &len);
    require(decoded != NULL && span_eq(span_make(decoded, (size_t)len), value));
    require(value.ptr[value.len] == '\0' && strlen(value.ptr) == value.len);
    curl_free(decoded);
    free(raw);
    c->count++;
    return true;
}

static void check_parsed(const struct control_query *q, struct span query)
{
    require(q->limit <= 1000 && q->after >= 0);
    const struct cache_filter *f = &q->filter;
    bool conditions = f->kind.len > 0 || f->scope.len > 0 || f->model.len > 0 || f->older.us > 0;
    require(conditions == q->any);
    require(!q->all || span_find(query, SPAN("all="), 0) != SIZE_MAX);
    require(f->kind.len == 0 || settings_find_kind(config_settings(config), f->kind) != KIND_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (config == NULL) {
        read_config();
    }
    struct span query = span_make((const char *)data, size);
    struct buf why = {.max = 64 * 1024}, text = {.max = 16 * 1024};
    struct checking checking = {query, 0};
    bool walked = control_query_walk(query, &text, check_value, &checking, &why);
    require(walked == (why.len == 0));
    struct control_query q;
    buf_clear(&why);
    bool good =
        control_query_parse(&q, query, config_settings(config), (wall_t){1700000000000000}, &why);
    require(good == (why.len == 0) && (walked || !good));
    if (good) {
        check_parsed(&q, query);
    }
    control_query_free(&q);
    buf_free(&why);
    buf_free(&text);
    return 0;
}
