/* events.c: one event of each dialect's stream, or its whole answer, into the neutral answer. */
#include "path/dialect/dialect_priv.h"

enum { REASON_MAX = 64 };

/* A number that a server says, times factor, below a bound that no real one reaches; -1: none. */
static int64_t number_of(const struct json_node *object, struct span name, double factor,
                         double bound)
{
    const struct json_node *n = json_get(object, name);
    double d = json_is(n, JSON_NUMBER) ? json_number_of(n) * factor : -1;
    return d >= 0 && d < bound ? (int64_t)d : -1;
}

/* Tokens: sums and prices of them stay far inside of an int64_t. */
static int64_t count_of(const struct json_node *object, struct span name)
{
    return number_of(object, name, 1, 1e12);
}

/* A duration in microseconds, of which the server's unit has `us`. */
static usec_t duration_of(const struct json_node *object, struct span name, double us)
{
    return number_of(object, name, us, 1e12);
}

static void take_count(int64_t *to, int64_t n)
{
    *to = n >= 0 ? n : *to;
}

/* The words that servers end an answer with. `OTHER`: it is no answer, or not all of it. */
static const struct {
    struct span word;
    enum finish finish;
} reasons[] = {
    {{"stop", 4}, FINISH_STOP},
    {{"eos", 3}, FINISH_STOP},
    {{"eos_token", 9}, FINISH_STOP},
    {{"end_turn", 8}, FINISH_STOP},
    {{"stop_sequence", 13}, FINISH_STOP},
    {{"length", 6}, FINISH_LENGTH},
    {{"max_tokens", 10}, FINISH_LENGTH},
    {{"model_length", 12}, FINISH_LENGTH},
    {{"max_output_tokens", 17}, FINISH_LENGTH},
    {{"content_filter", 14}, FINISH_OTHER},
    {{"safety", 6}, FINISH_OTHER},
    {{"recitation", 10}, FINISH_OTHER},
    {{"refusal", 7}, FINISH_OTHER},
    {{"tool_calls", 10}, FINISH_OTHER},
    {{"tool_use", 8}, FINISH_OTHER},
    {{"function_call", 13}, FINISH_OTHER},
    {{"load", 4}, FINISH_OTHER},
    {{"unload", 6}, FINISH_OTHER},
    {{"error", 5}, FINISH_OTHER},
    {{"abort", 5}, FINISH_OTHER},
    {{"cancelled", 9}, FINISH_OTHER},
};

/* A word that is not known says nothing: what ends such an answer is its end mark. Gateways before Gemini
 * say "stop" in every event: a reason beside text is doubted. */
static void take_finish(struct assembler *a, const struct json_node *reason, bool beside_text)
{
    struct buf scratch = {.max = REASON_MAX};
    struct span word = json_is(reason, JSON_STRING) ? json_text_of(reason, &scratch) : SPAN_NONE;
    for (size_t i = 0; word.len > 0 && i < sizeof reasons / sizeof reasons[0]; i++) {
        if (span_eq_nocase(word, reasons[i].word)) {
            a->answer.finish = reasons[i].finish;
            a->finish_seen = true;
            a->finish_doubted = beside_text;
            break;
        }
    }
    buf_free(&scratch);
}

static bool has_calls(const struct json_node *message)
{
    return json_first(json_get(message, SPAN("tool_calls"))) != NULL ||
           json_given(message, SPAN("function_call")) != NULL;
}

static void take_thinking(struct assembler *a, const struct json_node *text, bool is_reasoning)
{
    size_t before = a->answer.thinking.len;
    assemble_text(a, &a->answer.thinking, text);
    if (a->answer.thinking.len > before) {
        a->answer.is_reasoning = is_reasoning;
    }
}

static void take_message(struct assembler *a, const struct json_node *message)
{
    const struct json_node *thinking = json_given(message, SPAN("reasoning_content"));
    const struct json_node *reasoning = json_given(message, SPAN("reasoning"));
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls;
    assemble_text(a, &a->answer.content, json_get(message, SPAN("content")));
    /* some say it under both names */
    bool second = thinking == NULL || (json_is_text(thinking, SPAN("")) && reasoning != NULL);
    take_thinking(a, second ? reasoning : thinking, second);
}

static void take_usage(struct assembler *a, const struct json_node *root)
{
    const struct json_node *usage = json_get(root, SPAN("usage"));
    const struct json_node *timings = json_get(root, SPAN("timings"));
    take_count(&a->answer.tokens_in, count_of(usage, SPAN("prompt_tokens")));
    take_count(&a->answer.tokens_out, count_of(usage, SPAN("completion_tokens")));
    take_count(&a->answer.cached_tokens,
               count_of(json_get(usage, SPAN("prompt_tokens_details")), SPAN("cached_tokens")));
    /* llama.cpp says it with the last event, also where no usage was asked for */
    int64_t cached = count_of(timings, SPAN("cache_n"));
    int64_t read = count_of(timings, SPAN("prompt_n"));
    take_count(&a->answer.cached_tokens, cached);
    if (a->answer.tokens_in < 0 && cached >= 0 && read >= 0) {
        a->answer.tokens_in = cached + read;
    }
    if (a->answer.tokens_out < 0) {
        take_count(&a->answer.tokens_out, count_of(timings, SPAN("predicted_n")));
    }
    usec_t prompt = duration_of(timings, SPAN("prompt_ms"), 1000);
    usec_t predicted = duration_of(timings, SPAN("predicted_ms"), 1000);
    take_count(&a->answer.prompt_time, prompt);
    if (prompt >= 0 && predicted >= 0) {
        a->answer.model_time = prompt + predicted;
    }
}

/* OpenRouter says of each choice what went wrong with it: {"error": {"code": 502, "message": …}}. */
static bool take_choice_error(struct assembler *a, const struct json_node *choice)
{
    const struct json_node *error = find_error(choice);
    if (error != NULL) {
        assemble_error(a, choice, error);
    }
    return error != NULL;
}

static void take_choice(struct assembler *a, const struct json_node *choice, bool streamed)
{
    size_t before = a->answer.content.len + a->answer.thinking.len;
    const struct json_node *delta = streamed ? json_get(choice, SPAN("delta")) : NULL;
    /* Some servers send the whole message as the only event of a stream. After deltas it would be
     * said twice. */
    bool takes_whole = delta == NULL && (!streamed || before == 0);
    a->said.anywhere = takes_whole;
    const struct json_node *message =
        takes_whole ? json_given(choice, SPAN("message")) : json_given(choice, SPAN("delta"));
    if (!json_is(message, JSON_OBJECT) && (!streamed || message != NULL)) {
        a->odd = true;
        return;
    }
    take_message(a, message);
    if (message == NULL) { /* some servers stream a chat as they would a completion */
        assemble_text(a, &a->answer.content, json_get(choice, SPAN("text")));
    }
    bool grew = a->answer.content.len + a->answer.thinking.len > before;
    if (grew) {
        a->finish_repeats = a->finish_repeats || a->finish_seen; /* it was not the end */
        a->finish_seen = false;
    }
    take_finish(a, json_get(choice, SPAN("finish_reason")), grew);
}

/* An event that only keeps the connection alive: {}, {"type": "ping"}, or {"error": null} and other
 * errors that say none. */
static bool is_ping(const struct json_node *root)
{
    const struct json_node *first = json_first(root);
    if (first == NULL || json_is_text(json_get(root, SPAN("type")), SPAN("ping"))) {
        return true;
    }
    return first == json_get(root, SPAN("error")) && json_after(root, first) == NULL;
}

void openai_event(struct assembler *a, const struct json_node *root, bool streamed)
{
    const struct json_node *choices = json_get(root, SPAN("choices"));
    const struct json_node *error = find_error(root);
    if (error != NULL) {
        assemble_error(a, root, error);
        return;
    }
    if (streamed && is_ping(root)) {
        return;
    }
    const struct json_node *choice = json_first(choices);
    /* the event with the usage has an empty list, null or no choices, as the server likes */
    bool usage = choices == NULL && json_is(json_get(root, SPAN("usage")), JSON_OBJECT);
    bool list =
        json_is(choices, JSON_ARRAY) || (streamed && (usage || json_is(choices, JSON_NULL)));
    bool several = choice != NULL && json_after(choices, choice) != NULL;
    bool readable = choice == NULL ? streamed : !streamed || choice->type == JSON_OBJECT;
    if (!list || several || !readable || count_of(choice, SPAN("index")) > 0) {
        a->odd = true;
        return;
    }
    if (choice != NULL && take_choice_error(a, choice)) {
        return;
    }
    if (choice != NULL) {
        take_choice(a, choice, streamed);
    }
    take_usage(a, root);
    a->ended = a->ended || !streamed;
}

static void take_ollama_figures(struct answer *to, const struct json_node *root)
{
    take_count(&to->tokens_in, count_of(root, SPAN("prompt_eval_count")));
    take_count(&to->tokens_out, count_of(root, SPAN("eval_count")));
    usec_t prompt = duration_of(root, SPAN("prompt_eval_duration"), 0.001);
    usec_t eval = duration_of(root, SPAN("eval_duration"), 0.001);
    usec_t load = duration_of(root, SPAN("load_duration"), 0.001);
    take_count(&to->prompt_time, prompt);
    if (eval >= 0) {
        to->model_time = eval + (prompt > 0 ? prompt : 0) + (load > 0 ? load : 0);
    } else {
        take_count(&to->model_time, duration_of(root, SPAN("total_duration"), 0.001));
    }
}

void ollama_event(struct assembler *a, const struct json_node *root)
{
    const struct json_node *message = json_given(root, SPAN("message"));
    const struct json_node *response = json_get(root, SPAN("response"));
    const struct json_node *error = find_error(root);
    if (error != NULL) {
        assemble_error(a, root, error);
        return;
    }
    if (is_ping(root)) {
        return;
    }
    bool chat = json_is(message, JSON_OBJECT);
    bool done = json_is(json_get(root, SPAN("done")), JSON_TRUE);
    bool nothing =
        message == NULL && response == NULL && done; /* the end, as old servers send it */
    if (!chat && !nothing && (message != NULL || response == NULL)) {
        a->odd = true;
        return;
    }
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls;
    assemble_text(a, &a->answer.content, chat ? json_get(message, SPAN("content")) : response);
    take_thinking(a, json_get(chat ? message : root, SPAN("thinking")), false);
    if (done) {
        a->ended = true;
        take_finish(a, json_get(root, SPAN("done_reason")), false);
        take_ollama_figures(&a->answer, root);
    }
}
