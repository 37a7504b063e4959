/* fuzz_webui_turn.c: a task's prompt and a chat of any bytes. Input: the prompt, a zero byte, the
 * chat's body. What is made plain is never longer, and plain already; a chat that goes on has a reply.
 * covers: path/webui/turn.c path/webui/prompt.c
 */
#include "lull/path/webui/chat_history.h"
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

static bool check_message(void *ctx, struct span role, struct span text)
{
    struct buf plain = {.max = SIZE_MAX};
    (void)ctx;
    (void)role;
    check_plain(text, &plain);
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
        struct chat_history_chat next = {.request = &chat};
        require(!chat_history_goes_on(SPAN(" "), &next));
        if (chat_history_goes_on(turn.history, &next)) {
            require(chat.answered);
        }
        chat_history_chat_free(&next);
        dialect_request_walk(&chat, check_message, NULL);
    }
    dialect_request_free(&chat);
    buf_free(&plain);
    return 0;
}
