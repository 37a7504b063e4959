/* events.c: one event of each dialect's stream, or its whole answer, into the neutral answer. */
#include "path/dialect/dialect_priv.h"

static const cJSON *get(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static int64_t count_of(const cJSON *object, const char *name)
{
    const cJSON *n = get(object, name);
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble < 1e15
               ? (int64_t)n->valuedouble
               : -1;
}

static void take_count(int64_t *to, int64_t n)
{
    *to = n >= 0 ? n : *to;
}

static void take_finish(struct assembler *a, const cJSON *reason)
{
    if (!cJSON_IsString(reason)) {
        return;
    }
    struct span r = span_of(reason->valuestring);
    if (span_eq(r, SPAN("stop"))) {
        a->answer.finish = FINISH_STOP;
    } else if (span_eq(r, SPAN("length"))) {
        a->answer.finish = FINISH_LENGTH;
    } else if (r.len > 0) {
        a->answer.finish = FINISH_OTHER;
    }
}

static bool has_calls(const cJSON *message)
{
    const cJSON *function = get(message, "function_call");
    return cJSON_GetArraySize(get(message, "tool_calls")) > 0 ||
           (function != NULL && !cJSON_IsNull(function));
}

static void take_message(struct assembler *a, const cJSON *message)
{
    const cJSON *thinking = get(message, "reasoning_content");
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls || cJSON_IsArray(get(message, "content"));
    assemble_content(a, get(message, "content"));
    assemble_thinking(a, cJSON_IsString(thinking) ? thinking : get(message, "reasoning"));
}

static void take_usage(struct assembler *a, const cJSON *root)
{
    const cJSON *usage = get(root, "usage");
    const cJSON *timings = get(root, "timings");
    take_count(&a->answer.tokens_in, count_of(usage, "prompt_tokens"));
    take_count(&a->answer.tokens_out, count_of(usage, "completion_tokens"));
    take_count(&a->answer.cached_tokens,
               count_of(get(usage, "prompt_tokens_details"), "cached_tokens"));
    /* llama.cpp says it with the last event, also where no usage was asked for */
    int64_t cached = count_of(timings, "cache_n");
    int64_t read = count_of(timings, "prompt_n");
    take_count(&a->answer.cached_tokens, cached);
    if (a->answer.tokens_in < 0 && cached >= 0 && read >= 0) {
        a->answer.tokens_in = cached + read;
    }
    if (a->answer.tokens_out < 0) {
        take_count(&a->answer.tokens_out, count_of(timings, "predicted_n"));
    }
    const cJSON *prompt = get(timings, "prompt_ms");
    const cJSON *predicted = get(timings, "predicted_ms");
    if (cJSON_IsNumber(prompt) && cJSON_IsNumber(predicted)) {
        a->answer.model_time = (usec_t)((prompt->valuedouble + predicted->valuedouble) * 1000);
    }
}

void openai_event(struct assembler *a, const cJSON *root, bool streamed)
{
    const cJSON *choices = get(root, "choices");
    if (get(root, "error") != NULL && !cJSON_IsNull(get(root, "error"))) {
        assemble_error(a, root);
        return;
    }
    if (!cJSON_IsArray(choices)) {
        a->odd = true;
        return;
    }
    int count = cJSON_GetArraySize(choices);
    const cJSON *choice = cJSON_GetArrayItem(choices, 0);
    if (count > 1 || count_of(choice, "index") > 0 || (!streamed && count == 0)) {
        a->odd = true;
        return;
    }
    if (choice != NULL) {
        const cJSON *message = get(choice, streamed ? "delta" : "message");
        a->odd = a->odd || (!streamed && !cJSON_IsObject(message));
        take_message(a, message);
        take_finish(a, get(choice, "finish_reason"));
    }
    take_usage(a, root);
    a->ended = a->ended || !streamed;
}

void ollama_event(struct assembler *a, const cJSON *root)
{
    const cJSON *message = get(root, "message");
    const cJSON *response = get(root, "response");
    if (get(root, "error") != NULL) {
        assemble_error(a, root);
        return;
    }
    if (!cJSON_IsObject(message) && !cJSON_IsString(response)) {
        a->odd = true;
        return;
    }
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls;
    assemble_content(a, message != NULL ? get(message, "content") : response);
    assemble_thinking(a, message != NULL ? get(message, "thinking") : get(root, "thinking"));
    if (!cJSON_IsTrue(get(root, "done"))) {
        return;
    }
    a->ended = true;
    take_finish(a, get(root, "done_reason"));
    take_count(&a->answer.tokens_in, count_of(root, "prompt_eval_count"));
    take_count(&a->answer.tokens_out, count_of(root, "eval_count"));
    int64_t prompt = count_of(root, "prompt_eval_duration");
    int64_t eval = count_of(root, "eval_duration");
    int64_t load = count_of(root, "load_duration");
    int64_t total = count_of(root, "total_duration");
    if (eval >= 0) {
        a->answer.model_time = (eval + (prompt > 0 ? prompt : 0) + (load > 0 ? load : 0)) / 1000;
    } else if (total >= 0) {
        a->answer.model_time = total / 1000;
    }
}
