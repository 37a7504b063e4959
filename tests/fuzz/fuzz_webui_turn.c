/* fuzz_webui_turn.c: a task's prompt and a chat of any bytes. Input: the prompt, a zero byte, the
 * chat's body. What is made plain is never longer, and plain already; a whole message is found in
 * its own chat.
 * covers: path/webui/turn.c path/webui/prompt.c
 */
#include "lull/path/webui/turn.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(struct span message, struct buf *out)
{
    buf_clear(out);
    require(task_plain(message, out) == ERR_OK);
    require(out->len <= message.len);
    struct span plain = buf_span(out);
    require(span_trim(plain).len == plain.len);
}

static size_t code_points(struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80 ? 1 : 0;
    }
    return n;
}

static bool find_itself(void *ctx, struct span role, struct span text)
{
    const struct dialect_request *chat = ctx;
    struct buf plain = {.max = SIZE_MAX};
    (void)role;
    check_plain(text, &plain);
    /* a search looks at messages that are at least as long as what it looks for */
    require(task_reply_is_in(buf_span(&plain), chat) ==
            (code_points(buf_span(&plain)) >= TASK_REPLY_MIN));
    buf_free(&plain);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_make((const char *)data, size);
    size_t split = span_find(all, SPAN("\0"), 0);
    struct span body =
        split == SIZE_MAX ? SPAN_NONE : span_make(all.ptr + split + 1, all.len - split - 1);
    struct dialect_request task = {.endpoint = ENDPOINT_CHAT,
                                   .has_input = true,
                                   .message_count = 1,
                                   .last_text =
                                       split == SIZE_MAX ? all : span_make(all.ptr, split)};
    struct task_turn turn = task_turn_of(&task);
    struct span last = task.last_text;
    require(turn.reply.len == 0 || (turn.known && turn.reply.ptr >= last.ptr &&
                                    turn.reply.ptr + turn.reply.len <= last.ptr + last.len));
    struct buf plain = {.max = SIZE_MAX};
    check_plain(turn.reply, &plain);
    struct dialect_request chat;
    if (dialect_request_parse(body, ENDPOINT_CHAT, &chat)) {
        if (task_reply_is_in(buf_span(&plain), &chat)) {
            require(code_points(buf_span(&plain)) >= TASK_REPLY_MIN);
        }
        dialect_request_walk(&chat, find_itself, &chat);
    }
    dialect_request_free(&chat);
    buf_free(&plain);
    return 0;
}
