/* test_config_words.c: what is said about wrong configurations: the right place, once, and never a
 * suggestion that is wrong.
 */
#include "unit/config/config_support.h"

static void a_key_in_another_section_is_sent_there(void **state)
{
    static const char *const rows[][2] = {
        {"[upstream default]\nurl = http://x\nkeep_alive = 5m\n",
         "unknown key 'keep_alive' in [upstream default]; it belongs to [tasks] and [task KIND]\n"},
        {"[upstream default]\nurl = http://x\nnum_ctx = 5\n",
         "belongs to [tasks] and [task KIND]\n"},
        {"[upstream default]\nurl = http://x\nmodel = m\n", "belongs to [tasks] and [task KIND]\n"},
        {"[tasks]\ndebounce = 1s\n", "belongs to [task autocomplete] and own kinds of class"},
        {"[tasks]\nfirst_turn_wait = 1s\n", "belongs to [task title]\n"},
        {"[tasks]\nobsolete = keep\n", "belongs to [task follow_up]\n"},
        {"[tasks]\nmatch = Title this\n", "belongs to [task KIND]\n"},
        {"[task title]\nmode = off\n", "belongs to [tasks]\n"},
        {"[cache]\nttl = 1s\n",
         "unknown key 'ttl' in [cache]; it belongs to [tasks] and [task KIND]\n"},
        {"[server]\nurl = http://x\n", "belongs to [upstream NAME]\n"},
        {"[server]\nmax_size = 1MB\n", "belongs to [cache]\n"},
        {"[tasks]\nlisten = 127.0.0.1:1\n", "belongs to [server]\n"},
        {"[server]\ndebounc = 1s\n", "did you mean 'debounce'; it belongs to [task autocomplete]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void a_word_that_is_near_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"[server]\nlistn = 127.0.0.1:1\n", "did you mean 'listen'?"},
        {"[tasks]\nmax-hold = 1s\n", "did you mean 'max_hold'?"},
        {"[tasks]\nModel = m\n", "did you mean 'model'?"},
        {"[upstream default]\nurl = http://x\ntimeout = 1s\n",
         "; there are connect_timeout, first_byte_timeout, stall_timeout, answer_timeout; lulld "
         "--help-config"},
        {"[cache]\nsize = 1MB\n",
         "; there are max_size, durability, keep_requests, type_through, "},
        {"[task follow-up]\nttl = 1h\n", "did you mean [task follow_up]?"},
        {"[task Title]\nttl = 1h\n", "did you mean [task title]?"},
        {"[task titel]\nttl = 1h\n", "unknown kind 'titel'; did you mean 'title'?"},
        {"[task title_generation]\nttl = 1h\n", "did you mean 'title'?"},
        {"[title]\nttl = 1h\n", "did you mean [task title]?"},
        {"[tasks title]\n", "did you mean [task title]?"},
        {"[Server]\n", "did you mean [server]?"},
        {"[upstream my-ollama]\nurl = http://x\n[upstream a]\nurl = http://y\n",
         "write [upstream my_ollama]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
}

static void no_suggestion_where_none_is_near(void **state)
{
    static const char *const files[] = {
        "[server]\nport = 1\n",    "[server]\nname = x\n",
        "[tasks]\ncolour = x\n",   "[upstream default]\nurl = http://x\nkey = x\n",
        "[task chat]\nttl = 1h\n", "[zebra]\n"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct tried t = try_config(files[i], NULL, NULL);
        assert_int_equal(lines_in(t.errors.data), 1);
        assert_null(strstr(t.errors.data, "did you mean"));
        assert_null(strstr(t.errors.data, "belongs"));
        tried_free(&t);
    }
}

static void what_tasks_says_wrong_is_said_once(void **state)
{
    (void)state;
    assert_refused("[tasks]\nttl = soon\n", ":2: ttl: a duration");
    assert_refused("[tasks]\nscope = all\n", ":2: scope: write");
    assert_refused("[tasks]\nupstream = nowhere\n", ":2: upstream: there is no [upstream nowhere]");
    assert_refused("[tasks]\nextra = {\n", ":2: extra: write a JSON object");
    assert_refused("[tasks]\npriority = 99\n", ":2: priority: out of range");
}

/* assert_refused() wants one line: no complaint that there is no model server. */
static void what_was_not_read_is_not_missing(void **state)
{
    static const char *const without[] = {"tasks.ttl", NULL};
    struct config_sources sources = {.file = "/nonexistent/lull.conf"};
    struct buf errors = {.max = 4096}, warnings = {.max = 4096};
    (void)state;
    assert_refused("[upstream]\nurl = http://x\n", ":1: the section needs a name");
    assert_refused("[upstream Default]\nurl = http://x\n", "; write [upstream default]");
    assert_refused("[upstream default]\nurl: http://x\n", ":2: expected [section], key = value");
    assert_refused("upstream: http://x\n", ":1: expected [section], key = value");
    assert_refused("LULL_UPSTREAM=http://x\n", ":1: a key before the first [section]");
    assert_refused("[upstream default\nurl = http://x\n", ":1: a section is written");
    assert_null(config_read(&sources, &errors, &warnings));
    assert_int_equal(buf_append_char(&errors, '\0'), ERR_OK);
    assert_string_equal(errors.data,
                        "/nonexistent/lull.conf: cannot be read: No such file or directory\n");
    buf_free(&errors);
    struct tried t = try_config(NULL, NULL, without);
    assert_says(&t.errors, "argument --set tasks.ttl: write SECTION.KEY=VALUE");
    tried_free(&t);
    assert_refused("[upstreams]\nurl = http://x\n", ":1: unknown section [upstreams]");
}

static void a_value_that_begins_with_a_hash_is_quoted(void **state)
{
    (void)state;
    assert_refused("[task title]\nmatch = ### Tarea: t\xc3\xadtulo\n",
                   ":2: match: a # here begins a comment; a value with it is quoted: match = \"#");
    assert_refused("[task title]\nmatch =### Tarea\n", ":2: match: a # here begins a comment");
    assert_refused("[server]\nclient_token = #secret\n", "client_token: a # here");
    struct tried t = try_config("[server]\nclient_token = #secret\n", NULL, NULL);
    assert_null(strstr(t.errors.data, "secret"));
    tried_free(&t);
    assert_taken("[task title]\nmatch = \"### Tarea: \"\n", "\ntask.title.match = \"### Tarea: \"");
    assert_taken("[task title]\nmatch = Tarea # a comment\n", "\ntask.title.match = Tarea  (");
}

static void addresses_that_exclude_each_other(void **state)
{
    static const char *const refused[] = {
        "127.0.0.1:80 127.0.0.1:80", "127.0.0.1:80 127.1:80",
        "0.0.0.0:80 127.0.0.1:80",   "127.0.0.1:80 0.0.0.0:80",
        "[::]:80 127.0.0.1:80",      "[::]:80 0.0.0.0:80",
        "localhost:80 127.0.0.1:80", "[::1]:80 [0:0:0:0:0:0:0:1]:80",
        "[::]:80 [::1]:80",          "[::ffff:127.0.0.1]:80 127.0.0.1:80",
        "host.test:80 HOST.test:80", "unix:/tmp/a unix:/tmp/a",
        "unix:/tmp/a unix:/tmp//a",  "127.0.0.1:1 [::1]:1 127.0.0.1:1",
    };
    static const char *const taken[] = {
        "127.0.0.1:80 127.0.0.1:81", "127.0.0.1:80 127.0.0.2:80", "0.0.0.0:80 [::]:80",
        "127.0.0.1:0 127.0.0.1:0",   "127.0.0.1:80 [::1]:80",     "unix:/tmp/a unix:/tmp/ab",
        "a.test:80 b.test:80",       "0.0.0.0:80 [::]:81",        "0:80 [::]:80",
    };
    char file[256], part[128];
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(file, sizeof file, "[server]\nlisten = %s\n", refused[i]);
        assert_refused(file, ":2: listen: ");
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        snprintf(file, sizeof file, "[server]\nlisten = %s\n", taken[i]);
        snprintf(part, sizeof part, "server.listen = %s  (", taken[i]);
        assert_taken(file, part);
    }
    assert_refused("[server]\nlisten = unix:/tmp/c.sock\ncontrol = /tmp//c.sock\n",
                   ":2: listen: unix:/tmp/c.sock is the control socket");
    assert_refused("[server]\nmetrics_listen = 127.0.0.1:11435\n",
                   ":2: metrics_listen: 127.0.0.1:11435 is given twice");
    assert_refused("[server]\nlisten = 0.0.0.0:80\nmetrics_listen = [::]:80\n",
                   ":3: metrics_listen: 0.0.0.0:80 and [::]:80 are the same address, or one takes "
                   "in the other");
}

static void urls_that_cannot_work(void **state)
{
    static const char *const rows[][2] = {
        {"http://H:1/v1/chat/completions", "write http://H:1/v1\n"},
        {"http://H:1/v1/chat/completions/", "write http://H:1/v1\n"},
        {"https://openrouter.ai/api/v1/chat/completions", "write https://openrouter.ai/api/v1\n"},
        {"http://H:1/api/chat", "write http://H:1\n"},
        {"http://H:1/api/generate", "write http://H:1\n"},
        {"http://H:1/v1/completions", "write http://H:1\n"},
        {"http://H:1/v1/models", "write http://H:1\n"},
        {"http://H:1/api/tags", "write http://H:1\n"},
        {"http://user:hidden@H:1", "a key goes into api_key\n"},
    };
    static const char *const fine[] = {"http://H:1",
                                       "http://H:1/v1",
                                       "https://openrouter.ai/api/v1",
                                       "http://H:1/v1beta/openai",
                                       "https://api.groq.com/openai/v1",
                                       "http://H:1/models"};
    char file[256];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(file, sizeof file, "[upstream default]\nurl = %s\n", rows[i][0]);
        assert_refused(file, rows[i][1]);
        assert_refused(file, ":2: url: ");
        struct tried t = try_config(file, NULL, NULL);
        assert_null(strstr(t.errors.data, "hidden"));
        tried_free(&t);
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        snprintf(file, sizeof file, "[upstream default]\nurl = %s\n", fine[i]);
        struct tried t = try_config(file, NULL, NULL);
        assert_string_equal(t.errors.data, "");
        assert_string_equal(t.warnings.data, "");
        tried_free(&t);
    }
    struct tried t = try_config("[upstream default]\nurl = http://H:1/api/\n", NULL, NULL);
    assert_non_null(t.config);
    assert_says(&t.warnings,
                ":2: url: requests to Ollama bring /api along; for Ollama write http://H:1,");
    tried_free(&t);
}

static void paths_that_a_shell_would_expand(void **state)
{
    (void)state;
    assert_int_equal(setenv("HOME", "/home/ann", 1), 0);
    assert_refused("[server]\ndata_dir = ~/lull\n",
                   ":2: data_dir: ~ is not expanded here; write /home/ann/lull\n");
    assert_refused("[server]\ncontrol = ~/c.sock\n", "write /home/ann/c.sock\n");
    assert_refused("[server]\ndata_dir = ~bob/lull\n",
                   "~ is not expanded here; write the whole path\n");
    assert_refused("[server]\ndata_dir = $HOME/lull\n", "$ is not expanded here");
    assert_refused("[upstream default]\nurl = http://x\napi_key_file = ~/key\n",
                   ":3: api_key_file: ~ is not expanded here; write /home/ann/key\n");
    assert_refused("[upstream default]\nurl = http://x\nca_file = ~/ca.pem\n",
                   ":3: ca_file: ~ is not expanded here");
}

static void files_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    assert_refused("[upstream default]\nurl = http://x\napi_key_file = /nonexistent/key\n",
                   ":3: api_key_file: /nonexistent/key cannot be read: No such file");
    assert_refused("[upstream default]\nurl = http://x\napi_key_file = /tmp\n",
                   ":3: api_key_file: /tmp cannot be read: Is a directory");
    assert_refused("[upstream default]\nurl = http://x\napi_key_file = /dev/null\n",
                   ":3: api_key_file: /dev/null is empty");
    assert_refused("[upstream default]\nurl = http://x\nca_file = /nonexistent/ca\n",
                   ":3: ca_file: /nonexistent/ca cannot be read: No such file");
}

/* A file that can be read, but holds nothing of use, is named at once, not by failing calls. */
static void assert_file_refused(const char *key, const char *bytes, size_t len, const char *wanted)
{
    char path[] = "/tmp/lull-test-XXXXXX", file[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    snprintf(file, sizeof file, "[upstream default]\nurl = http://x\n%s = %s\n", key, path);
    struct tried t = try_config(file, NULL, NULL);
    unlink(path);
    assert_int_equal(t.config == NULL, wanted != NULL);
    if (wanted != NULL) {
        assert_says(&t.errors, wanted);
    }
    tried_free(&t);
}

static void files_that_hold_nothing_of_use_are_named(void **state)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\n";
    (void)state;
    assert_file_refused("api_key_file", "key\n", 4, NULL);
    assert_file_refused("api_key_file", "k\0e\0y\0", 6, "holds a NUL byte, so it is no text");
    assert_file_refused("ca_file", pem, sizeof pem - 1, NULL);
    assert_file_refused("ca_file", "-----BEGIN PRIVATE KEY-----\n", 28,
                        "has no certificate in PEM form");
    assert_file_refused("ca_file", "", 0, "has no certificate in PEM form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_in_another_section_is_sent_there),
        cmocka_unit_test(a_word_that_is_near_is_named),
        cmocka_unit_test(no_suggestion_where_none_is_near),
        cmocka_unit_test(what_tasks_says_wrong_is_said_once),
        cmocka_unit_test(what_was_not_read_is_not_missing),
        cmocka_unit_test(a_value_that_begins_with_a_hash_is_quoted),
        cmocka_unit_test(addresses_that_exclude_each_other),
        cmocka_unit_test(urls_that_cannot_work),
        cmocka_unit_test(paths_that_a_shell_would_expand),
        cmocka_unit_test(files_that_cannot_be_read_are_named),
        cmocka_unit_test(files_that_hold_nothing_of_use_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
