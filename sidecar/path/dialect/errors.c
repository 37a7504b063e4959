/* errors.c: a server's error in the other dialect. Every server has its own form of it, so the text
 * is looked for where any of them puts it. */
#include "path/dialect/dialect_priv.h"

#include "lull/path/dialect/convert.h"

enum { TEXT_MAX = 1024 * 1024 };

/* FastAPI says what is wrong with a body in a list of {"loc", "msg", "type"}. */
static bool join_details(const struct json_node *list, struct buf *text)
{
    JSON_EACH(item, list)
    {
        const struct json_node *msg =
            item->type == JSON_STRING ? item : json_get(item, SPAN("msg"));
        size_t before = text->len;
        bool good = json_is(msg, JSON_STRING) &&
                    (before == 0 || buf_append_span(text, SPAN("; ")) == ERR_OK);
        size_t from = text->len;
        good = good && json_append_text(msg, text) && text->len > from;
        text->len = good ? text->len : before;
    }
    return text->len > 0;
}

/* Appends the error's text from where any server puts it. false: it is nowhere, or empty. */
static bool find_text(const struct json_node *root, struct buf *text)
{
    const struct json_node *error = json_get(root, SPAN("error"));
    const struct json_node *detail = json_get(root, SPAN("detail"));
    const struct json_node *const places[] = {
        json_get(error, SPAN("message")), error, detail, json_get(detail, SPAN("message")),
        json_get(root, SPAN("message")),
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (json_append_text(places[i], text) && text->len > 0) {
            return true;
        }
    }
    return json_is(detail, JSON_ARRAY) && join_details(detail, text);
}

static enum err put_error(struct span text, int status, enum dialect to, struct buf *out)
{
    if (to == DIALECT_OLLAMA) {
        enum err e = buf_append_span(out, SPAN("{\"error\":"));
        e = e == ERR_OK ? buf_append_json_string(out, text) : e;
        return e == ERR_OK ? buf_append_char(out, '}') : e;
    }
    bool client = status >= 400 && status < 500;
    enum err e = buf_append_span(out, SPAN("{\"error\":{\"message\":"));
    e = e == ERR_OK ? buf_append_json_string(out, text) : e;
    return e == ERR_OK ? buf_printf(out, ",\"type\":\"%s\",\"code\":%d}}",
                                    client ? "invalid_request_error" : "server_error", status)
                       : e;
}

bool dialect_convert_error(struct span body, int status, enum dialect to, struct buf *out)
{
    struct buf text = {.max = TEXT_MAX};
    size_t before = out->len;
    struct json_doc doc;
    const struct json_node *root = json_read(body, &doc);
    bool good = doc.whole && json_is(root, JSON_OBJECT) && find_text(root, &text) &&
                put_error(buf_span(&text), status, to, out) == ERR_OK;
    if (!good) {
        out->len = before;
    }
    buf_free(&text);
    json_doc_free(&doc);
    return good;
}
