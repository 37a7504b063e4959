/* compare_items.c: the stored requests of a comparison. They are copies, so that an eviction during
 * the run does not matter, bounded in number and in bytes. The cache is read one page per loop
 * iteration, since the requests of a rare kind may be far back.
 */
#include "path/compare/compare_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t BYTES_MAX = (size_t)64 * 1024 * 1024;

void compare_items_init(struct compare_items *items, const struct settings *settings, int kind,
                        size_t most)
{
    *items = (struct compare_items){.settings = settings,
                                    .kind = span_of(settings->kinds[kind].name),
                                    .list = mem_new(most * sizeof *items->list),
                                    .most = most};
}

void compare_items_free(struct compare_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        buf_free(&items->list[i].memory);
    }
    free(items->list);
    *items = (struct compare_items){0};
}

static bool copy_item(struct compare_item *item, struct span body, struct span answer,
                      struct span model)
{
    size_t size = body.len + answer.len + model.len;
    buf_init(&item->memory, size);
    if (buf_reserve(&item->memory, size) != ERR_OK ||
        buf_append_span(&item->memory, body) != ERR_OK ||
        buf_append_span(&item->memory, answer) != ERR_OK ||
        buf_append_span(&item->memory, model) != ERR_OK) {
        buf_free(&item->memory);
        return false;
    }
    item->body = span_make(item->memory.data, body.len);
    item->answer = span_make(item->memory.data + body.len, answer.len);
    item->model = span_make(item->memory.data + body.len + answer.len, model.len);
    return true;
}

static void collect(void *ctx, const struct cache_info *info)
{
    struct compare_items *items = ctx;
    struct answer answer;
    struct compare_item item = {.upstream = settings_find_upstream(items->settings, info->upstream),
                                .endpoint = engine_entry_endpoint(info->flags)};
    if (info->request.len == 0 || items->full || items->count == items->most ||
        answer_decode(info->answer, &answer) != ERR_OK) {
        return;
    }
    size_t size = info->request.len + answer.content.len + info->model.len;
    items->full = size > BYTES_MAX - items->bytes;
    if (!items->full && copy_item(&item, info->request, buf_span(&answer.content), info->model)) {
        hash_key_hex(info->id, item.id);
        snprintf(item.scope, sizeof item.scope, "%.*s", (int)info->scope.len, info->scope.ptr);
        items->bytes += size;
        items->list[items->count++] = item;
    }
    answer_free(&answer);
}

bool compare_items_page(struct compare_items *items, struct cache *cache)
{
    struct cache_filter filter = {.kind = items->kind};
    cache_list(cache, &filter, items->most - items->count, CACHE_LIST_ROWS, items->after, collect,
               items, &items->after);
    return items->after != 0 && items->count < items->most && !items->full;
}

int compare_item_upstream(const struct compare_item *item, const struct compare_candidate *c)
{
    return c->upstream >= 0 ? c->upstream : item->upstream;
}

static bool is_moved(const struct compare_item *item, int upstream)
{
    return upstream >= 0 && item->upstream != upstream;
}

static bool is_new_user(const struct compare_items *items, size_t at, int upstream)
{
    for (size_t i = 0; i < at; i++) {
        if (is_moved(&items->list[i], upstream) &&
            strcmp(items->list[i].scope, items->list[at].scope) == 0) {
            return false;
        }
    }
    return true;
}

struct compare_transfer compare_items_moved(const struct compare_items *items, int upstream)
{
    struct compare_transfer t = {0};
    for (size_t i = 0; i < items->count; i++) {
        if (is_moved(&items->list[i], upstream)) {
            t.requests++;
            t.users += is_new_user(items, i, upstream) ? 1 : 0;
        }
    }
    if (t.requests > 0) {
        const struct upstream_settings *to = &items->settings->upstreams[upstream];
        t.upstream = to->name;
        t.host = to->unix_socket[0] != '\0' ? to->unix_socket : to->host;
    }
    return t;
}
