/* test_config_environment.c: LULL_ variables: empty ones, those of container platforms, those that
 * look like others.
 */
#include "unit/config/config_support.h"

static struct tried of_variable(const char *variable)
{
    const char *const list[] = {variable, NULL};
    return try_config(NULL, list, NULL);
}

/* Every printed name of the configuration as a variable, empty: nothing is set by it. */
static void an_empty_value_is_unset(void **state)
{
    struct tried plain = try_config("[upstream default]\nurl = http://x\n", NULL, NULL);
    char *line = plain.printed.data;
    size_t count = 0;
    (void)state;
    for (char *end = NULL; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char variable[256] = "LULL_", with_file[300];
        size_t len = 5;
        for (const char *c = line; *c != ' '; c++) {
            variable[len++] = (char)(*c == '.'                ? '_'
                                     : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A'
                                                              : *c);
        }
        variable[len] = '\0';
        snprintf(with_file, sizeof with_file, "%s_FILE=", variable);
        variable[len++] = '=';
        const char *const list[] = {variable, with_file, NULL};
        struct tried t = try_config("[upstream default]\nurl = http://x\n", list, NULL);
        assert_string_equal(t.errors.data, "");
        assert_string_equal(t.warnings.data, "");
        assert_null(strstr(t.printed.data, "(environment)"));
        tried_free(&t);
        count++;
    }
    assert_true(count > 300);
    tried_free(&plain);
    struct tried t = of_variable("LULL_UPSTREAM= ");
    assert_string_equal(t.errors.data, "");
    tried_free(&t);
}

static void a_file_without_a_secret_is_no_open_door(void **state)
{
    (void)state;
    struct tried t = of_variable("LULL_SERVER_CLIENT_TOKEN_FILE=/dev/null");
    assert_says(&t.errors, "LULL_SERVER_CLIENT_TOKEN_FILE: client_token: /dev/null is empty");
    tried_free(&t);
    t = of_variable("LULL_SERVER_CLIENT_TOKEN_FILE=/nonexistent/token");
    assert_says(&t.errors, "client_token: /nonexistent/token cannot be read: No such file");
    tried_free(&t);
}

/* Variables have no order: the last one of the list would win. */
static void two_values_of_a_key_are_an_error(void **state)
{
    static const char *const two[] = {"LULL_UPSTREAM=http://a",
                                      "LULL_UPSTREAM_DEFAULT_URL=http://b", NULL};
    static const char *const equal[] = {"LULL_UPSTREAM=http://a",
                                        "LULL_UPSTREAM_DEFAULT_URL=http://a", NULL};
    (void)state;
    struct tried t = try_config(NULL, two, NULL);
    assert_says(&t.errors, "environment LULL_UPSTREAM_DEFAULT_URL: url is already set at "
                           "LULL_UPSTREAM");
    tried_free(&t);
    t = try_config(NULL, equal, NULL);
    assert_string_equal(t.errors.data, "");
    tried_free(&t);
    t = try_config("[upstream default]\nurl = http://x\n", equal, NULL);
    assert_string_equal(t.errors.data, "");
    tried_free(&t);
}

static void what_is_wrong_in_a_variable_names_no_file(void **state)
{
    static const char *const latin[] = {"LULL_UPSTREAM=http://a", "LULL_TASKS_MODEL=qw\xe9n", NULL};
    (void)state;
    struct tried t = try_config(NULL, latin, NULL);
    assert_says(&t.errors, "environment LULL_TASKS_MODEL: model: the text is not UTF-8\n");
    tried_free(&t);
}

static void what_platforms_inject_is_one_line(void **state)
{
    static const char *const list[] = {
        "LULL_PORT=tcp://10.0.0.1:11435",
        "LULL_PORT_11435_TCP=tcp://10.0.0.1:11435",
        "LULL_PORT_11435_TCP_ADDR=10.0.0.1",
        "LULL_SERVICE_HOST=10.0.0.1",
        "LULL_SERVICE_PORT_HTTP=11435",
        "LULL_PROXY_PORT=tcp://10.0.0.1:11435",
        "LULL_PROXY_PORT_11435_TCP=tcp://10.0.0.1:11435",
        "LULL_PROXY_SERVICE_HOST=10.0.0.1",
        "LULL_PROXY_SERVICE_PORT=11435",
        "LULL_UPSTREAM_SERVICE_HOST=10.0.0.1",
        "LULL_TASK_SERVICE_PORT=1",
        "LULL_SERVER_PORT=tcp://10.0.0.1:1",
        NULL,
    };
    (void)state;
    struct tried t = try_config(NULL, list, NULL);
    assert_string_equal(t.errors.data, "");
    assert_int_equal(lines_in(t.warnings.data), 1);
    assert_says(&t.warnings, "environment: ignored, set by the container platform: LULL_PORT ");
    assert_says(&t.warnings, "LULL_PROXY_SERVICE_HOST");
    tried_free(&t);
}

static void a_key_of_ours_wins_over_such_a_form(void **state)
{
    (void)state;
    struct tried t = of_variable("LULL_TASK_A_SERVICE_B_MATCH=Do the thing");
    assert_string_equal(t.errors.data, "");
    assert_string_equal(t.warnings.data, "");
    assert_says(&t.printed, "task.a_service_b.match = Do the thing  (environment)");
    tried_free(&t);
    t = of_variable("LULL_UPSTREAM_X_PORT_1_URL=http://127.0.0.1:2");
    assert_says(&t.printed, "upstream.x_port_1.url = http://127.0.0.1:2  (environment)");
    tried_free(&t);
}

static void an_unknown_name_says_which_is_meant(void **state)
{
    static const char *const rows[][2] = {
        {"LULL_MODEL=x", "did you mean LULL_TASKS_MODEL?"},
        {"LULL_LISTEN=x", "did you mean LULL_SERVER_LISTEN?"},
        {"LULL_DATA_DIR=x", "did you mean LULL_SERVER_DATA_DIR?"},
        {"LULL_URL=x", "did you mean LULL_UPSTREAM_DEFAULT_URL?"},
        {"LULL_UPSTREAM_URL=x", "did you mean LULL_UPSTREAM_DEFAULT_URL?"},
        {"LULL_SERVER_TTL=x", "did you mean LULL_TASKS_TTL?"},
        {"LULL_TITLE_MODEL=x", "did you mean LULL_TASK_TITLE_MODEL?"},
        {"LULL_TASKS_DEBOUNCE=x", "did you mean LULL_TASK_AUTOCOMPLETE_DEBOUNCE?"},
        {"LULL_API_KEY_FILE=x", "did you mean LULL_UPSTREAM_DEFAULT_API_KEY_FILE?"},
        {"LULL_CLIENT_TOKEN_FILE=x", "did you mean LULL_SERVER_CLIENT_TOKEN_FILE?"},
        {"LULL_SERVER_LISTN=x", "did you mean LULL_SERVER_LISTEN?"},
        {"LULL_UPSTREEM=x", "did you mean LULL_UPSTREAM?"},
        {"LULL_CONF=x", "unknown name; write LULL_SECTION_KEY, as in "},
        {"LULL_HOME=x", "unknown name; write LULL_SECTION_KEY, as in "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tried t = of_variable(rows[i][0]);
        assert_says(&t.errors, rows[i][1]);
        assert_int_equal(lines_in(t.errors.data), 1);
        tried_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_value_is_unset),
        cmocka_unit_test(a_file_without_a_secret_is_no_open_door),
        cmocka_unit_test(two_values_of_a_key_are_an_error),
        cmocka_unit_test(what_is_wrong_in_a_variable_names_no_file),
        cmocka_unit_test(what_platforms_inject_is_one_line),
        cmocka_unit_test(a_key_of_ours_wins_over_such_a_form),
        cmocka_unit_test(an_unknown_name_says_which_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
