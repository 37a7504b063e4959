/* test_upstream_trust.c: whose certificates a call trusts. What libcurl loads goes through functions of
 * OpenSSL, which this program has instead of the library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/upstream/probe.h"

#include <curl/curl.h>

#include <string.h>

static char files[256], folders[256];

int X509_STORE_load_file(void *store, const char *file);
int X509_STORE_load_path(void *store, const char *folder);

int X509_STORE_load_file(void *store, const char *file)
{
    (void)store;
    snprintf(files + strlen(files), sizeof files - strlen(files), "%s ", file);
    return 1;
}

int X509_STORE_load_path(void *store, const char *folder)
{
    (void)store;
    snprintf(folders + strlen(folders), sizeof folders - strlen(folders), "%s ", folder);
    return 1;
}

static void call(struct world *w, char *ca_file)
{
    struct upstream_request req = simple_get(w);
    w->server.to.ca_file = ca_file;
    files[0] = folders[0] = '\0';
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_UNREACHABLE); /* it speaks no TLS */
}

static void a_ca_file_stands_instead_of_the_systems(void **state)
{
    static char none[] = "", file[] = "/etc/lull/ca.pem";
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    const struct answer answers[] = {
        {.bytes = SPAN("HTTP/1.1 400 Bad Request\r\n\r\n"), .after = CLOSE}};
    char origin[64];
    struct world *w = *state;
    scripted_script(&w->server, answers, 1);
    snprintf(origin, sizeof origin, "https://%s", w->server.to.host);
    w->server.to.origin = origin;
    w->server.to.tls = true;
    call(w, none);
    if (strstr(built->ssl_version, "OpenSSL/3") == NULL || files[0] == '\0') {
        print_message("libcurl with %s loads certificates in another way\n", built->ssl_version);
        skip();
    }
    bool kept = built->cainfo != NULL && access(built->cainfo, R_OK) == 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(folders[0] == '\0', kept || built->capath == NULL);
        for (int k = 0; k < 2; k++) { /* a reload may follow a change of it: it is read again */
            call(w, file);
            assert_string_equal(files, "/etc/lull/ca.pem ");
            assert_string_equal(folders, "");
        }
        call(w, none);
        assert_int_equal(files[0] == '\0', kept); /* the system's are read once */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ca_file_stands_instead_of_the_systems, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
