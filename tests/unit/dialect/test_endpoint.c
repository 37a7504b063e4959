/* test_endpoint.c: which endpoint a path is, whatever base stands before it, and where tasks go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/path/dialect/chat_request.h"

#include <string.h>

static void known_by_the_end_of_the_path(void **state)
{
    static const struct {
        const char *path;
        enum endpoint endpoint;
        const char *base;
    } rows[] = {
        {"/chat/completions", ENDPOINT_CHAT, ""},
        {"/v1/chat/completions", ENDPOINT_CHAT, ""},
        {"/v1/chat/completions/", ENDPOINT_CHAT, ""},
        {"/openai/v1/chat/completions", ENDPOINT_CHAT, "/openai"},            /* Groq */
        {"/api/v1/chat/completions", ENDPOINT_CHAT, "/api"},                  /* Lemonade */
        {"/api/v0/chat/completions", ENDPOINT_CHAT, "/api/v0"},               /* LM Studio */
        {"/api/chat/completions", ENDPOINT_CHAT, "/api"},                     /* Open WebUI */
        {"/v1beta/openai/chat/completions", ENDPOINT_CHAT, "/v1beta/openai"}, /* Gemini */
        {"/a/b/c/v1/chat/completions", ENDPOINT_CHAT, "/a/b/c"},
        {"/v1/completions", ENDPOINT_COMPLETIONS, ""},
        {"/openai/v1/completions", ENDPOINT_COMPLETIONS, "/openai"},
        {"/v1/responses", ENDPOINT_RESPONSES, ""},
        {"/api/v1/responses", ENDPOINT_RESPONSES, "/api"},
        {"/anthropic/v1/messages", ENDPOINT_MESSAGES, "/anthropic"},
        {"/api/chat", ENDPOINT_OLLAMA_CHAT, ""},
        {"/ollama/api/chat", ENDPOINT_OLLAMA_CHAT, "/ollama"},
        {"/v1/api/chat", ENDPOINT_OLLAMA_CHAT, "/v1"},
        {"/api/generate", ENDPOINT_OLLAMA_GENERATE, ""},
        {"/ollama/api/generate/", ENDPOINT_OLLAMA_GENERATE, "/ollama"},
        {"/v1/embeddings", ENDPOINT_EMBEDDINGS, ""},
        {"/embeddings", ENDPOINT_EMBEDDINGS, ""},
        {"/openai/v1/embeddings", ENDPOINT_EMBEDDINGS, "/openai"},
        {"/api/embed", ENDPOINT_EMBEDDINGS, ""},
        {"/ollama/api/embeddings", ENDPOINT_EMBEDDINGS, "/ollama/api"},
        {"/openai/deployments/gpt/chat/completions", ENDPOINT_DEPLOYMENT, NULL}, /* Azure */
        {"/openai/deployments/a/b/chat/completions", ENDPOINT_CHAT, NULL},
        {"/deployments/chat/completions", ENDPOINT_CHAT, NULL},
        {"", ENDPOINT_OTHER, ""},
        {"/", ENDPOINT_OTHER, ""},
        {"/v1", ENDPOINT_OTHER, ""},
        {"/v1/models", ENDPOINT_OTHER, "/v1/models"},
        {"/api/tags", ENDPOINT_OTHER, NULL},
        {"/chat", ENDPOINT_OTHER, NULL},
        {"/v1/chat/completions/x", ENDPOINT_OTHER, NULL},
        {"/v1/chat/completions//", ENDPOINT_OTHER, NULL}, /* never so: slashes are merged before */
        {"/v1/mychat/completions", ENDPOINT_COMPLETIONS, "/v1/mychat"},
        {"/v1/xcompletions", ENDPOINT_OTHER, NULL},
        {"/myapi/chat", ENDPOINT_OTHER, NULL},
        {"/v1/Chat/Completions", ENDPOINT_OTHER, NULL}, /* servers mind the case */
        {"/API/chat", ENDPOINT_OTHER, NULL},
        {"/v1/chat%2Fcompletions", ENDPOINT_OTHER, NULL},
        {"/v1/ch%61t/completions", ENDPOINT_COMPLETIONS, NULL},
        {"/api/ch%61t", ENDPOINT_OTHER, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span path = span_of(rows[i].path);
        if (endpoint_of(path) != rows[i].endpoint) {
            fail_msg("'%s' is endpoint %d", rows[i].path, (int)endpoint_of(path));
        }
        struct span base = endpoint_base(path);
        if (rows[i].base != NULL && !span_eq(base, span_of(rows[i].base))) {
            fail_msg("'%s' has the base '%.*s'", rows[i].path, (int)base.len, base.ptr);
        }
    }
}

static void errors_are_in_the_words_of_the_path(void **state)
{
    static const struct {
        const char *path;
        enum dialect dialect;
    } rows[] = {
        {"/v1/models", DIALECT_OPENAI},
        {"/api/tags", DIALECT_OLLAMA},
        {"/api/chat", DIALECT_OLLAMA},
        {"/ollama/api/pull", DIALECT_OLLAMA},
        {"/api/embed", DIALECT_OLLAMA},
        {"/api/blobs/sha256:12", DIALECT_OLLAMA},
        {"/api/version", DIALECT_OLLAMA},
        {"/api/v1/chat/completions", DIALECT_OPENAI},
        {"/api/chat/completions", DIALECT_OPENAI},
        {"/api/v1/models", DIALECT_OPENAI},
        {"/api/v0/models", DIALECT_OPENAI},
        {"/api/v1/embeddings", DIALECT_OPENAI},
        {"/api", DIALECT_OPENAI},
        {"/", DIALECT_OPENAI},
        {"", DIALECT_OPENAI},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (endpoint_error_dialect(span_of(rows[i].path)) != rows[i].dialect) {
            fail_msg("'%s'", rows[i].path);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_by_the_end_of_the_path),
        cmocka_unit_test(errors_are_in_the_words_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
