/* test_config_urls.c: what the url of an upstream says: whose machine it is, and which paths. */
#include "unit/config/config_support.h"

#include "lull/base/host.h"

static struct tried with_url(const char *url)
{
    char file[512];
    snprintf(file, sizeof file,
             "[server]\nlisten = 127.0.0.1:11435\n[upstream default]\nurl = %s\n", url);
    struct tried t = try_config(file, NULL, NULL);
    if (t.config == NULL) {
        fail_msg("%s: %s", url, t.errors.data);
    }
    return t;
}

static void assert_machine(const char *url, const char *machine)
{
    struct tried t = with_url(url);
    const char *got = config_settings(t.config)->upstreams[0].machine;
    if (strcmp(got, machine) != 0) {
        fail_msg("%s is on '%s', not '%s'", url, got, machine);
    }
    tried_free(&t);
}

static void whose_machine_it_is(void **state)
{
    static const char *const here[] = {
        "http://localhost:11434",      "http://LocalHost.:11434",
        "http://llm.localhost:1",      "http://127.0.0.1:11434",
        "http://127.9.8.7:11434",      "http://0.0.0.0:11434",
        "http://[::]:11434/v1",        "http://[::1]:11434",
        "http://[0:0:0:0:0:0:0:1]:1",  "http://[::ffff:127.0.0.1]:123",
        "https://[::ffff:0.0.0.0]:12", "unix:/run/model.sock",
    };
    char own[256];
    char url[512];
    (void)state;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        assert_machine(here[i], "localhost");
    }
    host_own_name(own, sizeof own);
    if (own[0] != '\0') {
        snprintf(url, sizeof url, "http://%s:11434", own);
        assert_machine(url, "localhost");
    }
    assert_machine("http://GPU.Lan.:11434", "gpu.lan");
    assert_machine("http://127.example:11434", "127.example");
    assert_machine("http://10.0.0.1:11434", "10.0.0.1");
    assert_machine("http://[::ffff:10.0.0.1]:11434", "10.0.0.1");
    assert_machine("http://[2001:DB8:0::1]:11434", "2001:db8::1");
}

static void a_machine_that_is_set_is_kept(void **state)
{
    (void)state;
    assert_taken("[upstream default]\nurl = http://0.0.0.0:1\nmachine = Mine\n",
                 "\nupstream.default.machine = Mine  (/");
}

static void which_paths(void **state)
{
    static const struct {
        const char *url, *base;
        bool below_v1;
    } rows[] = {
        {"http://a", "", true},
        {"http://a/", "", true},
        {"http://a/v1", "", true},
        {"http://a//v1//", "", true},
        {"http://a/v1beta/openai", "/v1beta/openai", false},
        {"http://a/openai/v1", "/openai", true},
        {"http://a/api/v1/", "/api", true},
        {"http://a/base", "/base", false},
        {"http://a/xv1", "/xv1", false},
        {"unix:/a.sock", "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tried t = with_url(rows[i].url);
        const struct upstream_settings *u = &config_settings(t.config)->upstreams[0];
        assert_string_equal(u->base_path, rows[i].base);
        assert_int_equal(u->below_v1, rows[i].below_v1);
        tried_free(&t);
    }
}

static void assert_circle(const char *listen, const char *url, bool circle)
{
    char file[512];
    snprintf(file, sizeof file, "[server]\nlisten = %s\n[upstream default]\nurl = %s\n", listen,
             url);
    struct tried t = try_config(file, NULL, NULL);
    if ((t.config == NULL) != circle ||
        (circle && strstr(t.errors.data, ":4: url: lulld listens there itself") == NULL)) {
        fail_msg("listen = %s, url = %s: %s", listen, url, t.errors.data);
    }
    tried_free(&t);
}

static void a_url_is_not_lulls_own_address(void **state)
{
    static const struct {
        const char *listen, *url;
        bool circle;
    } rows[] = {
        {"127.0.0.1:11435", "http://127.0.0.1:11435", true},
        {"127.0.0.1:11435", "http://127.0.0.1:11434", false},
        {"127.0.0.1:11435", "http://localhost:11435/v1", true},
        {"127.0.0.1:11435", "http://LOCALHOST.:11435", true},
        {"127.0.0.1:11435", "http://a.localhost:11435", true},
        {"127.0.0.1:11435", "http://0.0.0.0:11435", true},
        {"127.0.0.1:11435", "http://[::ffff:127.0.0.1]:11435", true},
        {"127.0.0.1:11435", "http://[::1]:11435", false}, /* another socket */
        {"127.0.0.1:11435", "http://127.0.0.2:11435", false},
        {"127.0.0.2:11435", "http://localhost:11435", false},
        {"127.0.0.1:11435", "http://10.1.2.3:11435", false},
        {"127.0.0.1:11435", "https://127.0.0.1:11435", false}, /* lulld speaks no TLS */
        {"10.1.2.3:11435", "http://10.1.2.3:11435", true},
        {"10.1.2.3:11435", "http://localhost:11435", false},
        {"[::1]:11435", "http://localhost:11435", true},
        {"[::1]:11435", "http://[0:0::1]:11435", true},
        {"[::1]:11435", "http://[::]:11435", true},
        {"[::1]:11435", "http://127.0.0.1:11435", false},
        {"0.0.0.0:11435", "http://127.0.0.1:11435", true},
        {"0.0.0.0:11435", "http://127.9.9.9:11435", true},
        {"0.0.0.0:11435", "http://localhost:11435", true},
        {"0.0.0.0:11435", "http://[::1]:11435", false},
        {"0.0.0.0:11435", "http://192.0.2.1:11435", false}, /* another machine's */
        {"[::]:11435", "http://127.0.0.1:11435", true},
        {"[::]:11435", "http://[::1]:11435", true},
        {"0.0.0.0:80", "http://127.0.0.1", true},
        {"0:11435", "http://127.0.0.1:11435", true},
        {"127.1:11435", "http://localhost:11435", true},
        {"a.localhost:11435", "http://127.0.0.1:11435", true},
        {"gpu.:11435", "http://GPU:11435", true},
        {"127.0.0.1:1 127.0.0.1:2", "http://127.0.0.1:2", true},
        {"localhost:11435", "http://127.0.0.1:11435", true},
        {"localhost:11435", "http://localhost:11435", true},
        {"localhost:11435", "http://gpu:11435", false},
        {"unix:/run/a.sock", "unix:/run/a.sock", true},
        {"unix:/run/a.sock", "unix:/run/b.sock", false},
        {"unix:/run/a.sock", "http://127.0.0.1:11435", false},
        {"127.0.0.1:11435", "unix:/run/a.sock", false},
    };
    char own[256];
    char url[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_circle(rows[i].listen, rows[i].url, rows[i].circle);
    }
    host_own_name(own, sizeof own);
    if (own[0] != '\0') {
        snprintf(url, sizeof url, "http://%s:11435", own);
        assert_circle("0.0.0.0:11435", url, true);
    }
    struct tried t =
        try_config(NULL, NULL, (const char *const[]){"server.listen=127.0.0.1:11434", NULL});
    assert_null(t.config); /* --upstream http://127.0.0.1:11434 */
    assert_says(&t.errors, "lulld listens there itself");
    tried_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_machine_it_is),
        cmocka_unit_test(a_machine_that_is_set_is_kept),
        cmocka_unit_test(which_paths),
        cmocka_unit_test(a_url_is_not_lulls_own_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
