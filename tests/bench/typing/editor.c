/* editor.c: the two kinds of clients.
 *
 * (a) is Open WebUI's editor as captured: a second after the last key it asks for the paragraph's
 * text, if the caret is at its end; one request at a time, what is due meanwhile is lost; an answer
 * is thrown away when text or caret have changed since; any key but Tab clears what is shown and
 * restarts the second, so that a bare Shift asks for the same text again; the mouse clears it
 * and asks for nothing.
 *
 * (b) asks at every change of the text before the caret and never takes a request back. It shows
 * the newest answer that fits what is before the caret now, and keeps showing it while it is typed.
 */
#include "bench/typing/desk.h"

static const usec_t EDITOR_WAIT = USEC_PER_S;

static void ghost_clear(struct editor *e)
{
    e->ghost_len = 0;
    e->ghost_serial = 0;
}

static void ghost_show(struct editor *e, struct span text, uint64_t serial)
{
    bool same = e->ghost_len == text.len && memcmp(e->ghost, text.ptr, text.len) == 0;
    e->shown_at = same ? e->shown_at : desk_now(e->desk);
    memmove(e->ghost, text.ptr, text.len);
    e->ghost_len = text.len;
    e->ghost_serial = serial;
}

static void on_second_over(void *ctx)
{
    struct editor *e = ctx;
    if (e->loading || !e->at_end || span_trim(e->before).len == 0) {
        return;
    }
    e->loading = true;
    e->asked_version = e->version;
    desk_ask(e);
}

void editor_begin(struct editor *e)
{
    e->at_end = true;
    e->before = SPAN("");
    e->timer = loop_timer_create(e->desk->loop, on_second_over, e);
}

void editor_end(struct editor *e)
{
    loop_timer_destroy(e->timer);
}

static void take_text(struct editor *e, const struct key *key)
{
    e->message = key->message;
    e->before = key->before;
    e->at_end = key->at_end;
}

static void own_editor_key(struct editor *e, const struct key *key)
{
    e->version += key->kind == KEY_TAP && e->ghost_len == 0 ? 0 : 1;
    ghost_clear(e);
    take_text(e, key);
    if (key->kind == KEY_CLICK) {
        loop_timer_stop(e->timer);
    } else {
        loop_timer_start(e->timer, EDITOR_WAIT);
    }
}

/* What was typed may be the beginning of what is shown. */
static void type_along(struct editor *e, const struct key *key)
{
    struct span old = e->before;
    struct span ghost = span_make(e->ghost, e->ghost_len);
    struct span rest = SPAN_NONE;
    if (ghost.len > 0 && key->at_end && span_starts(key->before, old)) {
        struct span typed = span_make(key->before.ptr + old.len, key->before.len - old.len);
        if (span_starts(ghost, typed)) {
            rest = span_make(ghost.ptr + typed.len, ghost.len - typed.len);
        }
    }
    if (span_trim(rest).len == 0) {
        ghost_clear(e);
        return;
    }
    memmove(e->ghost, rest.ptr, rest.len); /* the same suggestion: it has been there all along */
    e->ghost_len = rest.len;
}

static void every_key(struct editor *e, const struct key *key)
{
    bool changed = key->kind == KEY_TEXT || key->kind == KEY_BACKSPACE || key->kind == KEY_PASTE;
    if (key->kind == KEY_TAP) {
        return;
    }
    if (key->kind == KEY_TEXT || key->kind == KEY_PASTE) {
        type_along(e, key);
    } else {
        ghost_clear(e);
    }
    take_text(e, key);
    if (changed && span_trim(key->before).len > 0) {
        desk_ask(e);
    }
}

void editor_key(struct editor *e, const struct key *key)
{
    if (e->desk->client == CLIENT_EDITOR) {
        own_editor_key(e, key);
    } else {
        every_key(e, key);
    }
}

void editor_tab(struct editor *e, const struct key *key)
{
    ghost_clear(e);
    e->version++;
    take_text(e, key);
    if (e->desk->client == CLIENT_EVERY_KEY) {
        desk_ask(e);
    }
}

void editor_answer(struct editor *e, const struct asking *asking, const struct answered *answered)
{
    struct span text = span_make(answered->text, answered->len);
    if (e->desk->client == CLIENT_EDITOR) {
        e->loading = false;
        if (e->version == e->asked_version && span_trim(text).len > 0) {
            ghost_show(e, text, asking->serial);
        }
        return;
    }
    if (asking->serial < e->ghost_serial || !e->at_end || asking->message != e->message ||
        !span_starts(e->before, asking->text)) {
        return;
    }
    struct span typed =
        span_make(e->before.ptr + asking->text.len, e->before.len - asking->text.len);
    if (!span_starts(text, typed)) {
        return;
    }
    text = span_make(text.ptr + typed.len, text.len - typed.len);
    if (span_trim(text).len > 0) {
        ghost_show(e, text, asking->serial);
    }
}
