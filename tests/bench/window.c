/* window.c: how many upstream calls a fixed window leaves of a person's typing. In virtual time: a
 * client that sends every key (front ends without a debounce of their own), and one that waits a
 * second after the last key, as Open WebUI's editor does. Prints requests and calls; asserts
 * nothing.
 *
 * Key intervals: log-normal, median 190 ms, sigma 0.55, and a pause of 1.2 to 3.5 s after one word
 * in eight: the shape that typing studies report. The generator is a fixed linear congruential one,
 * so that runs repeat exactly.
 */
#include "scenario/world.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const SENTENCES[] = {
    "Please write a short letter to my landlord about the broken heating in the kitchen",
    "How can I keep a small event loop fair when one connection sends much more than others",
    "Explain the difference between a mutex and a semaphore with an example from daily life",
    "What should I cook tonight if I have rice, two eggs, an onion and some old bread",
};

static uint64_t seed = 20261124;

static double uniform(void)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static usec_t key_interval(void)
{
    double normal = sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
    return (usec_t)(190000 * exp(0.55 * normal));
}

static void answer_due(struct world *w, int64_t *due, size_t *answered, int64_t now)
{
    while (*answered < model_calls(w) && due[*answered] <= now) {
        if (model_open(model_call(w, *answered))) {
            model_answer(model_call(w, *answered), "{\"text\": \" something else\"}");
        }
        (*answered)++;
    }
}

static void run(const char *window, usec_t client_debounce)
{
    char set[64];
    static int64_t due[4096];
    const char *sets[] = {set, NULL};
    snprintf(set, sizeof set, "task.autocomplete.debounce=%s", window);
    struct world *w = world_begin(sets);
    size_t keys = 0, requests = 0, answered = 0;
    int64_t now = 0;
    seed = 20261124;
    for (size_t s = 0; s < sizeof SENTENCES / sizeof SENTENCES[0]; s++) {
        size_t len = strlen(SENTENCES[s]);
        for (size_t n = 1; n <= len; n++) {
            char text[256];
            usec_t wait = key_interval();
            if (SENTENCES[s][n - 1] == ' ' && uniform() < 0.125) {
                wait += (usec_t)(1200000 + 2300000 * uniform());
            }
            wait = n == len ? 5 * USEC_PER_S : wait;
            snprintf(text, sizeof text, "%.*s", (int)n, SENTENCES[s]);
            keys++;
            if (wait > client_debounce) {
                struct client *c = client_open(w);
                world_pass(w, client_debounce);
                client_post(c, "/v1/chat/completions", "X-OpenWebUI-User-Id: ann\r\n",
                            ask_autocomplete(text));
                requests++;
                now += client_debounce;
                wait -= client_debounce;
            }
            /* the model takes 400 ms */
            for (usec_t step = 0; wait > 0; wait -= step) {
                size_t before = model_calls(w);
                step = wait < 10000 ? wait : 10000;
                world_pass(w, step);
                now += step;
                for (size_t i = before; i < model_calls(w) && i < 4096; i++) {
                    due[i] = now + 400000;
                }
                answer_due(w, due, &answered, now);
            }
        }
    }
    printf("%-8s %-12s %6zu %9zu %6zu\n", window, client_debounce == 0 ? "every key" : "after 1 s",
           keys, requests, model_calls(w));
    answer_due(w, due, &answered, INT64_MAX);
    world_end(w);
}

int main(void)
{
    static const char *const windows[] = {"off", "auto", "100ms", "300ms", "600ms"};
    printf("%-8s %-12s %6s %9s %6s\n", "window", "client", "keys", "requests", "calls");
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        run(windows[i], 0);
        run(windows[i], USEC_PER_S);
    }
    return 0;
}
