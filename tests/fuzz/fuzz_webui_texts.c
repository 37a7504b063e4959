/* fuzz_webui_texts.c: a system message and a user message of any bytes through the text rule and
 * the readers of prompts. Input: one byte of flags, the system message, a zero byte, the user
 * message.
 * covers: path/webui/classify.c path/webui/signatures.c path/webui/prompt.c
 */
#include "lull/path/webui/classify.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_completion(const struct dialect_request *r)
{
    struct task_completion c = task_completion_of(r);
    struct span last = r->last_text;
    if (c.text.len != 0) {
        require(c.text.ptr >= last.ptr && c.text.ptr + c.text.len <= last.ptr + last.len);
    }
    require(c.found || c.history_empty);
    struct span less = span_make(c.text.ptr, c.text.len / 2);
    if (task_same_typist(less, c.text, true, false)) {
        require(task_same_typist(c.text, less, true, false));
        require(less.len >= 12);
    }
}

static void check_decision(const struct settings *settings, const struct dialect_request *r)
{
    struct task_decision d = task_classify(settings, r->endpoint, TASK_HEADER_ABSENT, SPAN_NONE, r);
    require(d.why != NULL);
    require((d.cls == TASK_CLASS_TASK) == (d.kind != KIND_NONE));
    require(!d.lookalike || d.cls == TASK_CLASS_CHAT);
    require(d.cls != TASK_CLASS_TASK || (!r->streamed && !r->has_tools && r->message_count <= 2));
    d = task_classify(settings, r->endpoint, TASK_HEADER_VALUE, r->last_text, r);
    require(!d.lookalike);
}

/* Another text in the place of the completed one: the kind stays, and the text is found again where
 * it has no '<'. */
static void check_apart(const struct settings *settings, const struct dialect_request *r)
{
    static const struct span others[] = {{"x", 1},
                                         {" ", 1},
                                         {"#### Output:", 12},
                                         {"Query: \nHistory:\n", 17},
                                         {"</text>  \n#### Output:\n", 23},
                                         {"<type>general</type>\n<text>", 27},
                                         {"<chat_history>\n</chat_history>", 30}};
    struct task_decision d = task_classify(settings, r->endpoint, TASK_HEADER_ABSENT, SPAN_NONE, r);
    struct task_completion c = task_completion_of(r);
    if (d.cls != TASK_CLASS_TASK || !c.found || !task_class_is_apart(settings, r, &d, c.text)) {
        return;
    }
    size_t before = (size_t)(c.text.ptr - r->last_text.ptr);
    const char *behind = c.text.ptr + c.text.len;
    size_t after = r->last_text.len - before - c.text.len;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct dialect_request other = *r;
        struct buf text = {.max = r->last_text.len + 64};
        require_ok(buf_append(&text, r->last_text.ptr, before));
        require_ok(buf_append_span(&text, others[i]));
        require_ok(buf_append(&text, behind, after));
        other.last_text = buf_span(&text);
        struct task_decision again =
            task_classify(settings, r->endpoint, TASK_HEADER_ABSENT, SPAN_NONE, &other);
        require(again.kind == d.kind && again.cls == d.cls && again.why == d.why);
        struct task_completion found = task_completion_of(&other);
        require(memchr(others[i].ptr, '<', others[i].len) != NULL ||
                (found.found && found.text.ptr == text.data + before &&
                 found.text.len == others[i].len && found.history_empty == c.history_empty));
        buf_free(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char none[] = "";
    static char match[] = "Erzeuge";
    struct kind_policy kinds[KIND_BUILTIN_COUNT + 1];
    struct settings settings = {.kinds = kinds, .kind_count = KIND_BUILTIN_COUNT + 1};
    for (size_t i = 0; i < settings.kind_count; i++) {
        kinds[i] = (struct kind_policy){.name = match, .match = none, .system_match = none};
    }
    kinds[KIND_BUILTIN_COUNT].match = match;
    if (size < 1) {
        return 0;
    }
    uint8_t flags = data[0];
    struct span rest = span_make((const char *)data + 1, size - 1);
    size_t split = span_find(rest, SPAN("\0"), 0);
    struct dialect_request r = {.endpoint = flags & 1 ? ENDPOINT_OLLAMA_CHAT : ENDPOINT_CHAT,
                                .has_input = true,
                                .streamed = (flags & 2) != 0,
                                .has_tools = (flags & 4) != 0,
                                .message_count = 1,
                                .last_text = rest};
    if (split != SIZE_MAX) {
        r.system = span_make(rest.ptr, split);
        r.last_text = span_make(rest.ptr + split + 1, rest.len - split - 1);
        r.message_count = flags & 8 ? 3 : 2;
    }
    check_decision(&settings, &r);
    check_completion(&r);
    check_apart(&settings, &r);
    (void)task_title_has_reply(&r);
    return 0;
}
