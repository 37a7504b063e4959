/* fuzz_config_url.c: any bytes as the url of an upstream and as an address to listen on, against
 * libcurl's reading. What is taken leads where libcurl says; what is refused has a reason.
 * covers: config/url.c config/address.c config/own_listener.c base/host.c
 */
#include "config/config_priv.h"
#include "lull/base/host.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part(CURLU *url, CURLUPart what)
{
    char *text = NULL;
    return curl_url_get(url, what, &text, 0) == CURLUE_OK ? text : NULL;
}

/* The host, the port and the beginning of the path are those that libcurl reads. */
static void check_parts(const struct upstream_settings *u)
{
    CURLU *whole = curl_url(), *origin = curl_url();
    require(whole != NULL && origin != NULL);
    require(curl_url_set(origin, CURLUPART_URL, u->origin, 0) == CURLUE_OK);
    if (curl_url_set(whole, CURLUPART_URL, u->url, CURLU_PATH_AS_IS) == CURLUE_OK) {
        static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            char *a = part(whole, parts[i]), *b = part(origin, parts[i]);
            require((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
            curl_free(a);
            curl_free(b);
        }
        char *path = part(whole, CURLUPART_PATH);
        require(path != NULL && strncmp(path, u->base_path, strlen(u->base_path)) == 0);
        curl_free(path);
        require(part(whole, CURLUPART_USER) == NULL && part(whole, CURLUPART_QUERY) == NULL);
    }
    char *none = part(origin, CURLUPART_USER);
    require(none == NULL);
    curl_url_cleanup(whole);
    curl_url_cleanup(origin);
}

/* The base path is that of the url, without "/v1" and slashes at its end; a port is one. */
static void check_texts(const struct upstream_settings *u)
{
    const char *authority = strstr(u->url, "://") + 3;
    size_t len = strcspn(authority, "/");
    const char *path = authority + len;
    size_t end = strlen(path);
    for (bool v1 = false; end > 0 && (path[end - 1] == '/' || !v1);) {
        bool here = end >= 3 && strncmp(path + end - 3, "/v1", 3) == 0;
        if (path[end - 1] != '/' && !here) {
            break;
        }
        v1 = v1 || path[end - 1] != '/';
        end -= path[end - 1] == '/' ? 1 : 3;
    }
    require(strlen(u->base_path) == end && strncmp(u->base_path, path, end) == 0);
    size_t port = len;
    while (port > 0 && strchr(":]", authority[port - 1]) == NULL) {
        port--;
    }
    if (port > 0 && authority[port - 1] == ':') {
        unsigned long number = strtoul(authority + port, NULL, 10);
        require(len - port <= 5 && number > 0 && number < 65536);
    }
}

static void check_split(const struct upstream_settings *u)
{
    struct span base = span_of(u->base_path);
    require(base.len == 0 || (base.ptr[0] == '/' && base.ptr[base.len - 1] != '/'));
    require(u->machine != NULL && u->machine[0] != '\0' && u->host[0] != '\0');
    for (const char *c = u->host; *c != '\0'; c++) {
        require(*c > ' ' && *c < 127 && strchr("@/?#\\", *c) == NULL);
    }
    if (u->unix_socket[0] == '\0') {
        check_parts(u);
        check_texts(u);
    } else {
        require(strlen(u->unix_socket) < 108 && u->unix_socket[0] == '/');
    }
}

static void check_address(char *text, const struct upstream_settings *u)
{
    char wildcard[] = "0.0.0.0:80";
    char *items[] = {text, wildcard};
    struct strings list = {items, 2};
    struct buf why = {.max = 4096};
    if (is_address(text)) {
        require(!addresses_collide(&list, &why) == (why.len == 0));
        const char *own = u != NULL ? own_listener_of(u, &list) : NULL;
        require(own == NULL || own == text || own == wildcard);
        list.count = 1;
        buf_clear(&why);
        require(!addresses_collide(&list, &why));
        items[1] = text;
        list.count = 2;
        bool free_port = span_ends(span_of(text), SPAN(":0")) ||
                         strspn(strrchr(text, ':'), ":0") == strlen(strrchr(text, ':'));
        require(addresses_collide(&list, &why) || free_port);
    }
    buf_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    struct upstream_settings u = {.url = text};
    struct buf why = {.max = SIZE_MAX};
    bool good = strlen(text) == size && url_split(&u, &why);
    if (strlen(text) == size) {
        require(good == (why.len == 0));
        check_address(text, good ? &u : NULL);
    }
    if (good) {
        check_split(&u);
        require(url_is_doubtful(&u, &why) == (why.len > 0));
    }
    struct span host = host_part(span_make((const char *)data, size));
    require(host.len <= size);
    require(!host_is_local(host) || host_is_this_machine(host));
    free(u.origin);
    free(u.host);
    free(u.base_path);
    free(u.unix_socket);
    free(u.machine);
    free(text);
    buf_free(&why);
    return 0;
}
