/* cross.c: what it costs to put a task into the other dialect, and to shape it: µs per call over
 * the captured requests in tests/fixtures, beside a plain parse of the same body by cJSON (the
 * peer).
 *
 * usage: bench_cross [ROUNDS]
 */
#include "lull/path/dialect/convert.h"
#include "lull/path/dialect/overrides.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REQUESTS_MAX = 512 };

static struct {
    char *body;
    enum endpoint endpoint;
} requests[REQUESTS_MAX];
static size_t count;

static void load(const char *path)
{
    char *line = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    while (count < REQUESTS_MAX && getline(&line, &size, f) > 0) {
        cJSON *root = cJSON_Parse(line);
        const cJSON *body = cJSON_GetObjectItemCaseSensitive(root, "body");
        const cJSON *path_of = cJSON_GetObjectItemCaseSensitive(root, "path");
        if (cJSON_IsString(body)) {
            bool ollama = cJSON_IsString(path_of) && strstr(path_of->valuestring, "/api/") != NULL;
            requests[count].body = mem_strdup(body->valuestring);
            requests[count++].endpoint = ollama ? ENDPOINT_OLLAMA_CHAT : ENDPOINT_CHAT;
        }
        cJSON_Delete(root);
    }
    free(line);
    fclose(f);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t parse(size_t i)
{
    cJSON *root = cJSON_Parse(requests[i].body);
    size_t good = root != NULL ? 1 : 0;
    cJSON_Delete(root);
    return good;
}

static size_t convert(size_t i)
{
    struct span body = span_of(requests[i].body);
    struct buf out = {.max = 4 * body.len + 4096};
    enum endpoint to = requests[i].endpoint == ENDPOINT_CHAT ? ENDPOINT_OLLAMA_CHAT : ENDPOINT_CHAT;
    enum err e = dialect_convert_request(body, requests[i].endpoint, to, &out, NULL);
    buf_free(&out);
    return e == ERR_OK ? 1 : 0;
}

static size_t normalize(size_t i)
{
    struct span body = span_of(requests[i].body);
    struct buf out = {.max = 4 * body.len + 4096};
    struct dialect_request request;
    bool can = false;
    if (dialect_request_parse(body, requests[i].endpoint, &request)) {
        enum err e = dialect_normalize(&request, &out, &can);
        can = can && e == ERR_OK;
        dialect_request_free(&request);
    }
    buf_free(&out);
    return can ? 1 : 0;
}

static size_t override(size_t i)
{
    static char none[] = "";
    struct kind_policy policy = {.shape = KIND_SHAPE_TEXT,
                                 .shape_member = none,
                                 .temperature = none,
                                 .extra = none,
                                 .max_tokens = UNSET,
                                 .id_slot = UNSET};
    struct overrides how = {.policy = &policy, .sort = SERVER_LLAMA_CPP, .stream = true};
    struct span body = span_of(requests[i].body);
    struct buf out = {.max = 4 * body.len + 4096};
    struct additions added;
    enum err e = dialect_override(body, requests[i].endpoint, &how, &out, &added);
    buf_free(&out);
    return e == ERR_OK ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        size_t (*fn)(size_t i);
    } rows[] = {{"cJSON parse (peer)", parse},
                {"convert to the other dialect", convert},
                {"read, normalized form for the key", normalize},
                {"overrides (stream, think off)", override}};
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
    size_t bytes = 0;
    load(LULL_SOURCE_DIR "/tests/fixtures/requests/open-webui.jsonl");
    for (size_t i = 0; i < count; i++) {
        bytes += strlen(requests[i].body);
    }
    printf("%zu requests, %.1f KB each\n", count, (double)bytes / 1024 / (double)count);
    double peer = 0;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        size_t good = 0;
        double from = now_us();
        for (long k = 0; k < rounds; k++) {
            for (size_t i = 0; i < count; i++) {
                good += rows[r].fn(i);
            }
        }
        double each = (now_us() - from) / (double)rounds / (double)count;
        peer = r == 0 ? each : peer;
        printf("%-28s %7.1f us per call, %.2f x, %zu of %zu done\n", rows[r].name, each,
               each / peer, good / (size_t)rounds, count);
    }
    for (size_t i = 0; i < count; i++) {
        free(requests[i].body);
    }
    return 0;
}
