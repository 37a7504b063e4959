/* thoughts.c: thinking inside of an answer's content, between the tags of thinking.def. A thought
 * that never ends reaches to the end of the text: a model that was cut off while it thought has
 * given no answer, whatever its thought holds. */
#include "lull/base/scan.h"
#include "path/webui/webui_priv.h"

static const struct {
    const char *open, *close;
    bool alone;
} tags[] = {
#define THINKING(open, close, alone, prompts) {open, close, alone},
#include "lull/path/webui/thinking.def"
#undef THINKING
};

enum { TAGS = sizeof tags / sizeof tags[0], TAGS_OF_OPEN_WEBUI = 8 /* the first rows */ };

/* A text whose thinking is being blanked out. */
struct thinking {
    struct buf *text;
    size_t clean; /* before it nothing is left: it stood before a closing tag */
};

/* The next place at which a tag may begin; the end: there is none. */
static size_t next_tag(struct span s, size_t at)
{
    return at < s.len ? at + scan_to_mark(s.ptr + at, s.len - at, "<[\xE2") : s.len;
}

static size_t blank_between(struct thinking *t, size_t from, size_t to)
{
    memset(t->text->data + from, 0, to - from);
    return to;
}

/* The second byte is compared first: most of what begins like a tag is none. */
static bool begins(struct span s, const char *tag)
{
    return s.len > 1 && s.ptr[1] == tag[1] && span_starts(s, span_of(tag));
}

/* Blanks the thought that begins, or ended, at `at`; the place behind it. */
static size_t blank_at(struct thinking *t, size_t at)
{
    struct span all = buf_span(t->text);
    struct span rest = span_make(all.ptr + at, all.len - at);
    for (size_t i = 0; i < TAGS; i++) {
        if (tags[i].alone && begins(rest, tags[i].close)) {
            t->clean = blank_between(t, t->clean, at + strlen(tags[i].close));
            return t->clean;
        }
        if (begins(rest, tags[i].open)) {
            size_t end = span_find(all, span_of(tags[i].close), at);
            return blank_between(t, at, end == SIZE_MAX ? all.len : end + strlen(tags[i].close));
        }
    }
    return at + 1;
}

void thoughts_blank(struct buf *text)
{
    struct thinking t = {.text = text};
    size_t at = 0;
    while ((at = next_tag(buf_span(text), at)) < text->len) {
        at = blank_at(&t, at);
    }
}

size_t thoughts_unended(struct span text)
{
    size_t at = 0;
    while ((at = next_tag(text, at)) < text.len) {
        struct span rest = span_make(text.ptr + at, text.len - at);
        size_t i = 0;
        while (i < TAGS && !begins(rest, tags[i].open)) {
            i++;
        }
        size_t end = i < TAGS ? span_find(text, span_of(tags[i].close), at) : at;
        if (end == SIZE_MAX) {
            return at;
        }
        at = i < TAGS ? end + strlen(tags[i].close) : at + 1;
    }
    return SIZE_MAX;
}

size_t thoughts_leading(struct span reply)
{
    for (size_t i = 0; i < TAGS_OF_OPEN_WEBUI; i++) {
        size_t end =
            begins(reply, tags[i].open) ? span_find(reply, span_of(tags[i].close), 0) : SIZE_MAX;
        if (end != SIZE_MAX) {
            return end + strlen(tags[i].close);
        }
    }
    return 0;
}
