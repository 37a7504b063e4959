/* fuzz_webui_behind.c: a chat and a task of any bytes. Input: the reply, a zero byte, the chat's body,
 * a zero byte, the task's body. Where the task's history is the end of the conversation, what is made of
 * the two is JSON that begins with the chat's messages, and the request that continues from the reply
 * is seen to continue. The chat continues each earlier request of its own, and no other body that
 * lacks a message of its.
 * covers: path/webui/chat_history.c path/dialect/behind.c
 */
#include "lull/base/utf8.h"
#include "lull/path/dialect/behind.h"
#include "lull/path/json/json.h"
#include "lull/path/webui/chat_history.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands before the next zero byte; the rest stays in *all. */
static struct span next_part(struct span *all)
{
    size_t end = span_find(*all, SPAN("\0"), 0);
    end = end == SIZE_MAX ? all->len : end;
    struct span part = span_make(all->ptr, end);
    size_t skip = end < all->len ? end + 1 : end;
    *all = span_make(all->ptr + skip, all->len - skip);
    return part;
}

/* The messages of `made` are those of the chat and two more. */
static void check_messages(struct span chat, struct span made)
{
    struct json_doc a, b;
    const struct json_node *before = json_get(json_read(chat, &a), SPAN("messages"));
    const struct json_node *after = json_get(json_read(made, &b), SPAN("messages"));
    const struct json_node *message = json_first(after);
    size_t more = 0;
    require(b.verdict == JSON_OK);
    JSON_EACH(known, before)
    {
        require(message != NULL && span_eq(known->raw, message->raw));
        message = json_after(after, message);
    }
    for (; message != NULL; message = json_after(after, message)) {
        more++;
    }
    require(more == 2);
    json_doc_free(&a);
    json_doc_free(&b);
}

static void check_sequel(struct span chat, struct span reply, struct span made,
                         enum endpoint endpoint)
{
    struct dialect_request next;
    bool repeats = false;
    if (dialect_request_parse(made, endpoint, &next)) {
        enum dialect_sequel sequel = dialect_sequel_of(chat, reply, &next, &repeats);
        require(sequel == DIALECT_SEQUEL_CONTINUES && repeats);
        dialect_request_free(&next);
    }
}

static void build(struct span chat, struct span task, struct span reply, struct span instruction,
                  enum endpoint endpoint)
{
    struct buf made = {.max = SIZE_MAX};
    const struct dialect_behind in = {endpoint, chat, task, reply, instruction};
    if (dialect_behind_request(&in, &made) == ERR_OK) {
        check_messages(chat, buf_span(&made));
        check_sequel(chat, reply, buf_span(&made), endpoint);
    }
    buf_free(&made);
}

static void try_task(const struct chat_history *h, struct span chat, struct span task,
                     struct span reply, enum endpoint endpoint)
{
    struct dialect_request request;
    struct chat_history_prompt prompt;
    struct chat_history_place place;
    struct buf instruction = {.max = SIZE_MAX};
    if (!dialect_request_parse(task, endpoint, &request)) {
        return;
    }
    for (unsigned forms = 0; forms < 4; forms++) {
        if (request.last_text.len > 0 && chat_history_find(request.last_text, forms, &prompt) &&
            chat_history_fits(h, &prompt, &place)) {
            buf_clear(&instruction);
            require(chat_history_instruction(&place, &instruction) == ERR_OK);
            build(chat, task, reply, buf_span(&instruction), endpoint);
        }
    }
    buf_free(&instruction);
    dialect_request_free(&request);
}

/* The messages of a readable body; 0: none. */
static size_t count_messages(struct span body)
{
    struct json_doc doc;
    size_t count = 0;
    const struct json_node *list = json_get(json_read(body, &doc), SPAN("messages"));
    if (doc.verdict == JSON_OK && json_is(list, JSON_ARRAY)) {
        JSON_EACH(message, list)
        {
            (void)message;
            count++;
        }
    }
    json_doc_free(&doc);
    return count;
}

/* As it was before each of its replies. */
static void check_earlier(struct span chat, const struct dialect_request *request)
{
    size_t count = count_messages(chat);
    for (size_t i = 0; i <= count; i++) {
        struct buf earlier = {.max = SIZE_MAX}, text = {.max = SIZE_MAX};
        bool repeats = false;
        if (dialect_earlier_request(chat, i, &earlier, &text) == ERR_OK) {
            require(i > 0 && i < count && count_messages(buf_span(&earlier)) == i);
            require(dialect_sequel_of(buf_span(&earlier), buf_span(&text), request, &repeats) ==
                    DIALECT_SEQUEL_CONTINUES);
            require(repeats);
        }
        buf_free(&earlier);
        buf_free(&text);
    }
}

/* Of two bodies that are what they are. */
static void check_strangers(struct span chat, struct span reply, struct span other,
                            enum endpoint endpoint)
{
    struct dialect_request next;
    bool repeats = false;
    if (dialect_request_parse(other, endpoint, &next)) {
        enum dialect_sequel sequel = dialect_sequel_of(chat, reply, &next, &repeats);
        size_t before = count_messages(chat), now = count_messages(other);
        require(sequel == DIALECT_SEQUEL_BRANCHES || before == 0 || now == 0 || now > before);
        require(sequel != DIALECT_SEQUEL_CONTINUES || repeats);
        dialect_request_free(&next);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_make((const char *)data, size);
    struct span said = next_part(&all);
    struct span chat = next_part(&all);
    struct buf reply = {.max = SIZE_MAX};
    struct dialect_request request;
    enum endpoint endpoint = size % 2 == 0 ? ENDPOINT_CHAT : ENDPOINT_OLLAMA_CHAT;
    bool known = chat_history_repeated_reply(said, size % 3 != 0, &reply) == ERR_OK &&
                 utf8_valid(buf_span(&reply)) && reply.len > 0;
    if (known && dialect_request_parse(chat, endpoint, &request)) {
        check_earlier(chat, &request);
        check_strangers(chat, buf_span(&reply), chat, endpoint);
        check_strangers(chat, buf_span(&reply), all, endpoint);
        struct chat_history h;
        if (chat_history_read(&request, buf_span(&reply), &h) == ERR_OK) {
            try_task(&h, chat, all, buf_span(&reply), endpoint);
        }
        chat_history_free(&h);
        dialect_request_free(&request);
    }
    buf_free(&reply);
    return 0;
}
