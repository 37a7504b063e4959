/* call.c: what one call of a model server costs by libcurl and without it: CPU in microseconds, over
 * one kept connection to `bench_bare model`.
 *
 * usage: bench_call PORT [CALLS]
 *
 *   reset   the handle is reset and all options are set for each call, as sidecar/path/upstream does
 *   reused  options and headers are set once; only the body changes
 *   bare    send() and recv(), and a look for the end of the answer: the limit
 */
#include "lull/base/buf.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 2048 };

static char body[BODY];
static char url[64];
static int port;
static struct curl_slist *headers;
static CURL *easy;
static int bare = -1;

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t drop(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    return size * count;
}

static void set_options(void)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16L * 1024);
    curl_easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)BODY);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, "/v1/chat/completions");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

static void perform(void)
{
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK) {
        fprintf(stderr, "bench_call: %s\n", curl_easy_strerror(code));
        exit(1);
    }
}

static void call_reset(void)
{
    curl_easy_reset(easy);
    set_options();
    perform();
}

static void call_reused(void)
{
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    perform();
}

static void call_bare(void)
{
    char out[BODY + 512], in[4096];
    int n = snprintf(out, sizeof out,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: "
                     "Bearer k\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: "
                     "Python/3.11\r\nContent-Length: %d\r\n\r\n",
                     port, BODY);
    size_t have = 0, end = SIZE_MAX, length = 0;
    memcpy(out + n, body, BODY);
    bool sent = send(bare, out, (size_t)n + BODY, MSG_NOSIGNAL) == n + BODY;
    while (sent && (end == SIZE_MAX || have < end + 4 + length)) {
        ssize_t got = recv(bare, in + have, sizeof in - have, 0);
        have += got > 0 ? (size_t)got : 0;
        sent = got > 0;
        struct span all = span_make(in, have);
        end = span_find(all, SPAN("\r\n\r\n"), 0);
        size_t field = span_find(all, SPAN("Content-Length: "), 0);
        length = field == SIZE_MAX ? 0 : strtoul(in + field + 16, NULL, 10);
    }
    if (!sent) {
        fprintf(stderr, "bench_call: the model server has closed the connection\n");
        exit(1);
    }
}

static void connect_bare(void)
{
    int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bare = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(bare, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(bare, (const struct sockaddr *)&to, sizeof to) != 0) {
        perror("bench_call");
        exit(1);
    }
}

static void measure(const char *name, void (*call)(void), int calls)
{
    for (int i = 0; i < 100; i++) {
        call();
    }
    double from = cpu_us();
    for (int i = 0; i < calls; i++) {
        call();
    }
    printf("%-7s %6.1f us of CPU a call\n", name, (cpu_us() - from) / calls);
}

int main(int argc, char **argv)
{
    static const char *const lines[] = {"Authorization: Bearer k", "Content-Type: application/json",
                                        "Accept: */*", "User-Agent: Python/3.11"};
    int calls = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5000;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_call PORT [CALLS]\n");
        return 2;
    }
    port = (int)strtol(argv[1], NULL, 10);
    memset(body, 'x', sizeof body);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        headers = curl_slist_append(headers, lines[i]);
    }
    easy = curl_easy_init();
    connect_bare();
    set_options();
    for (int round = 0; round < 3; round++) {
        measure("reset", call_reset, calls);
        measure("reused", call_reused, calls);
        measure("bare", call_bare, calls);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    close(bare);
    return 0;
}
