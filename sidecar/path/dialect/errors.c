/* errors.c: a server's error in the other dialect. Every server has its own form of it
 * (model-servers.md §2), so the text is looked for where any of them puts it. */
#include "path/dialect/dialect_priv.h"

#include "lull/path/dialect/convert.h"

enum { TEXT_MAX = 1024 * 1024 };

static struct span text_at(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? span_of(item->valuestring) : SPAN_NONE;
}

/* FastAPI says what is wrong with a body in a list of {"loc", "msg", "type"}. */
static enum err join_details(const cJSON *list, struct buf *text)
{
    const cJSON *item = NULL;
    enum err e = ERR_OK;
    cJSON_ArrayForEach(item, list)
    {
        struct span msg = cJSON_IsString(item) ? span_of(item->valuestring) : text_at(item, "msg");
        if (msg.len > 0 && text->len > 0 && e == ERR_OK) {
            e = buf_append_span(text, SPAN("; "));
        }
        e = e == ERR_OK ? buf_append_span(text, msg) : e;
    }
    return e;
}

static enum err find_text(const cJSON *root, struct buf *text)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(root, "error");
    const cJSON *detail = cJSON_GetObjectItemCaseSensitive(root, "detail");
    const struct span places[] = {
        text_at(error, "message"),  text_at(root, "error"),   text_at(root, "detail"),
        text_at(detail, "message"), text_at(root, "message"),
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i].len > 0) {
            return buf_append_span(text, places[i]);
        }
    }
    return cJSON_IsArray(detail) ? join_details(detail, text) : ERR_OK;
}

static enum err put_error(struct span text, int status, enum dialect to, struct buf *out)
{
    if (to == DIALECT_OLLAMA) {
        enum err e = buf_append_span(out, SPAN("{\"error\":"));
        e = e == ERR_OK ? put_string(out, text) : e;
        return e == ERR_OK ? buf_append_char(out, '}') : e;
    }
    bool client = status >= 400 && status < 500;
    enum err e = buf_append_span(out, SPAN("{\"error\":{\"message\":"));
    e = e == ERR_OK ? put_string(out, text) : e;
    return e == ERR_OK ? buf_printf(out, ",\"type\":\"%s\",\"code\":%d}}",
                                    client ? "invalid_request_error" : "server_error", status)
                       : e;
}

bool dialect_convert_error(struct span body, int status, enum dialect to, struct buf *out)
{
    struct buf text = {.max = TEXT_MAX};
    size_t before = out->len;
    cJSON *root = body.len == 0 ? NULL : json_tree_parse(body);
    bool good = cJSON_IsObject(root) && find_text(root, &text) == ERR_OK && text.len > 0 &&
                put_error(buf_span(&text), status, to, out) == ERR_OK;
    if (!good) {
        out->len = before;
    }
    buf_free(&text);
    cJSON_Delete(root);
    return good;
}
