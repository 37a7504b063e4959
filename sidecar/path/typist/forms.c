/* forms.c: forms of requests, which lead to a context without reading the request.
 *
 * A client that types on sends the same bytes again and again but for the text that grows. What stands
 * around the text is compared whole, with what decides beside the body: the hash only finds. A form
 * belongs to the context that its requests have, and is dropped with it.
 */
#include "path/typist/through_priv.h"

#include <stdlib.h>

struct form {
    struct list node;       /* in a bucket */
    struct list in_context; /* in context->forms */
    struct context *context;
    size_t head, before, after; /* lengths */
    struct buf bytes;           /* head, before, after, note */
};

static struct span part(const struct form *f, size_t from, size_t len)
{
    return span_make(f->bytes.data + from, len);
}

static struct list *bucket_of(const struct through *t, struct span head, struct span before)
{
    uint64_t hash = hash_key_of(&t->secret, head).lo ^ hash_key_of(&t->secret, before).hi;
    return &t->buckets[2 * BUCKETS + FEW_BUCKETS + hash % FEW_BUCKETS];
}

static struct form *find_form(struct list *bucket, struct span head, struct span before,
                              struct span after)
{
    list_each(node, bucket)
    {
        struct form *f = list_item(node, struct form, node);
        if (span_eq(part(f, 0, f->head), head) && span_eq(part(f, f->head, f->before), before) &&
            span_eq(part(f, f->head + f->before, f->after), after)) {
            return f;
        }
    }
    return NULL;
}

static void form_drop(struct through *t, struct form *f)
{
    f->context->form_count--;
    t->bytes -= f->bytes.len + ROOM_FORM;
    list_remove(&f->node);
    list_remove(&f->in_context);
    buf_free(&f->bytes);
    free(f);
}

void forms_drop(struct through *t, struct context *c)
{
    list_each(node, &c->forms)
    {
        form_drop(t, list_item(node, struct form, in_context));
    }
}

/* NULL: no memory. */
static struct form *form_new(const struct through_form *form)
{
    const struct span parts[] = {form->head, form->before, form->after, form->note};
    struct form *f = mem_new(sizeof *f);
    enum err e = ERR_OK;
    f->head = form->head.len;
    f->before = form->before.len;
    f->after = form->after.len;
    buf_init(&f->bytes, THROUGH_BYTES);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && e == ERR_OK; i++) {
        e = buf_append_span(&f->bytes, parts[i]);
    }
    if (e != ERR_OK) {
        buf_free(&f->bytes);
        free(f);
        return NULL;
    }
    return f;
}

void through_keep_form(struct through *t, const struct typist_context *context,
                       const struct through_form *form)
{
    size_t need = form->head.len + form->before.len + form->after.len + form->note.len;
    struct context *c = need > THROUGH_BYTES / 8 ? NULL : through_context(t, context);
    struct list *bucket = c == NULL ? NULL : bucket_of(t, form->head, form->before);
    if (c == NULL || find_form(bucket, form->head, form->before, form->after) != NULL) {
        return;
    }
    struct form *f = form_new(form);
    if (f == NULL) {
        return;
    }
    if (c->form_count == THROUGH_FORMS) {
        form_drop(t, list_item(c->forms.next, struct form, in_context));
    }
    f->context = c;
    list_init(&f->node);
    list_init(&f->in_context);
    list_append(bucket, &f->node);
    list_append(&c->forms, &f->in_context);
    c->form_count++;
    t->bytes += f->bytes.len + ROOM_FORM;
    through_make_room(t, t->max, THROUGH_BYTES);
}

bool through_find_form(const struct through *t, struct span head, struct span before,
                       struct span after, struct through_known *out)
{
    const struct form *f =
        t->count == 0 ? NULL : find_form(bucket_of(t, head, before), head, before, after);
    if (f == NULL) {
        return false;
    }
    size_t note = f->head + f->before + f->after;
    *out = (struct through_known){
        .context = {.hash = f->context->hash, .material = buf_span(&f->context->material)},
        .note = part(f, note, f->bytes.len - note),
        .in = f->context};
    return true;
}

void through_forget_forms(struct through *t)
{
    for (struct list *at = t->ages.next; at != &t->ages; at = at->next) {
        forms_drop(t, list_item(at, struct entry, age)->context);
    }
}
