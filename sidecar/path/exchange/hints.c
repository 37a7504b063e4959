/* hints.c: see hints.h. */
#include "path/exchange/exchange_priv.h"

#include "lull/base/log.h"

#include "lull/base/utf8.h"
#include <stdio.h>

enum { LOOKALIKE_CODE_POINTS = 60 };

static struct hints_upstream *hints_row(struct hints *h, const char *name)
{
    for (size_t i = 0; i < h->upstream_count; i++) {
        if (strcmp(h->upstreams[i].name, name) == 0) {
            return &h->upstreams[i];
        }
    }
    if (h->upstream_count == HINTS_UPSTREAMS) {
        return NULL;
    }
    struct hints_upstream *row = &h->upstreams[h->upstream_count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

/* The first code points of the text. */
static struct span text_beginning(struct span text)
{
    size_t at = 0;
    for (size_t n = 0; n < LOOKALIKE_CODE_POINTS && at < text.len; n++) {
        at++;
        while (at < text.len && utf8_continues(text.ptr[at])) {
            at++;
        }
    }
    return span_make(text.ptr, at < HINTS_TEXT_BYTES ? at : HINTS_TEXT_BYTES);
}

static void keep_lookalike(struct exchange *x)
{
    struct hints *h = &x->engine->hints;
    struct hints_lookalike *l = &h->lookalikes[h->lookalike_count++ % HINTS_LOOKALIKES];
    struct span text = text_beginning(x->parsed ? x->request.last_text : SPAN_NONE);
    l->at = loop_wall(x->engine->parts.loop);
    memcpy(l->text, text.len > 0 ? text.ptr : "", text.len);
    l->text[text.len] = '\0';
}

void hints_begin(struct exchange *x)
{
    struct hints *h = &x->engine->hints;
    struct hints_upstream *row = hints_row(h, exchange_upstream(x)->name);
    if (row == NULL || x->decision.cls == TASK_CLASS_OTHER) {
        return;
    }
    if (x->head.header != TASK_HEADER_ABSENT && !row->header_seen) {
        row->header_seen = true;
        log_info("webui", "requests to upstream %s name their task in %s", row->name,
                 x->settings->server.task_header);
    }
    bool has_user = x->head.user.ptr != NULL;
    *(has_user ? &row->with_user : &row->without_user) += 1;
    if (x->decision.cls == TASK_CLASS_TASK) {
        *(x->decision.by_header ? &row->tasks_by_header : &row->tasks_by_text) += 1;
        return;
    }
    bool absent = x->head.header == TASK_HEADER_ABSENT;
    *(absent ? &row->chats_without_header : &row->chats_with_header) += 1;
    row->unknown_header += x->decision.unknown_header ? 1 : 0;
    if (!has_user) {
        row->crowded += h->chats_open_without_user > 0 ? 1 : 0;
        h->chats_open_without_user++;
        x->counted_without_user = true;
    }
    if (x->decision.lookalike) {
        keep_lookalike(x);
    }
}

void hints_end(struct exchange *x)
{
    if (x->counted_without_user) {
        x->counted_without_user = false;
        x->engine->hints.chats_open_without_user--;
    }
}

const struct hints *engine_hints(const struct engine *e)
{
    return &e->hints;
}
