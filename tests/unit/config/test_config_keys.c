/* test_config_keys.c: keys of lull.conf: where each may stand, what it is called, what it defaults
 * to for each kind.
 */
#include "unit/config/config_support.h"

static void max_hold_of_a_completion_is_short(void **state)
{
    (void)state;
    assert_taken(NULL, "\ntask.title.max_hold = 1m  (default)\n");
    assert_taken(NULL, "\ntask.tags.max_hold = 20s  (default)\n");
    assert_taken(NULL, "\ntask.query.max_hold = 20s  (default)\n");
    assert_taken(NULL, "\ntask.autocomplete.max_hold = 300ms  (default)\n");
    assert_taken("[task mine]\nmatch = Complete this\nclass = completion\n",
                 "\ntask.mine.max_hold = 300ms  (default)\n");
    assert_taken("[task autocomplete]\nmax_hold = 2s\n", "\ntask.autocomplete.max_hold = 2s  (/");
}

static void max_hold_of_tasks_makes_no_completion_wait_longer(void **state)
{
    (void)state;
    assert_taken("[tasks]\nmax_hold = 30s\n", "\ntask.autocomplete.max_hold = 300ms  (default)\n");
    assert_taken("[tasks]\nmax_hold = 30s\n", "\ntask.title.max_hold = 30s  (/");
    assert_taken("[tasks]\nmax_hold = 100ms\n", "\ntask.autocomplete.max_hold = 100ms  (/");
    assert_taken("[tasks]\nmax_hold = 30s\n[task autocomplete]\nmax_hold = 1s\n",
                 "\ntask.autocomplete.max_hold = 1s  (/");
}

static void a_renamed_key_names_the_new_one(void **state)
{
    (void)state;
    static const char *const variables[] = {"LULL_TASK_AUTOCOMPLETE_BUSY_WAIT=1s", NULL};
    static const char *const sets[] = {"task.autocomplete.busy_wait=1s", NULL};
    assert_refused("[task autocomplete]\nbusy_wait = 1s\n",
                   ":2: busy_wait is called max_hold now\n");
    assert_refused("[tasks]\nbusy_wait = 1s\n", ":2: busy_wait is called max_hold now\n");
    struct tried t = try_config(NULL, variables, NULL);
    assert_says(&t.errors, "LULL_TASK_AUTOCOMPLETE_BUSY_WAIT: busy_wait is called max_hold now");
    tried_free(&t);
    t = try_config(NULL, NULL, sets);
    assert_says(&t.errors, "busy_wait is called max_hold now");
    tried_free(&t);
}

static void prefix_is_of_four_kinds(void **state)
{
    (void)state;
    assert_taken(NULL, "\ntask.follow_up.prefix = auto  (default)\n");
    assert_taken("[tasks]\nprefix = chat\n", "\ntask.query.prefix = chat  (/");
    assert_taken("[tasks]\nprefix = chat\n[task tags]\nprefix = as-asked\n",
                 "\ntask.tags.prefix = as-asked  (/");
    assert_refused("[task autocomplete]\nprefix = chat\n",
                   ":2: prefix: only for the kinds follow_up, tags, title and query\n");
    assert_refused("[tasks]\nprefix = yes\n", ":2: prefix: write auto, as-asked or chat\n");
}

static void task_header_is_a_list_of_headers(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"X-Priority", "write NAME: value"},
        {"X-Priority:", "write NAME: value"},
        {": 10", "write NAME: value"},
        {"X Priority: 10", "write NAME: value"},
        {"X: \xC3\xA4", "write NAME: value"},
        {"Host: other", "Host cannot be set"},
        {"content-length: 3", "cannot be set"},
        {"Authorization: Bearer x", "cannot be set"},
        {"A:1;B:1;C:1;D:1;E:1;F:1;G:1;H:1;I:1", "at most 8 headers"},
    };
    char file[256];
    snprintf(file, sizeof file, "%s",
             "[upstream default]\nurl = http://127.0.0.1:1\ntask_header = X-SMG-Priority: 10; "
             "X-Class:  low ;\n");
    struct tried t = try_config(file, NULL, NULL);
    assert_string_equal(t.errors.data, "");
    assert_string_equal(config_settings(t.config)->upstreams[0].task_header,
                        "X-SMG-Priority: 10\r\nX-Class: low\r\n");
    tried_free(&t);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(file, sizeof file,
                 "[upstream default]\nurl = http://127.0.0.1:1\ntask_header = %s\n", bad[i][0]);
        t = try_config(file, NULL, NULL);
        assert_says(&t.errors, ":3: task_header: ");
        assert_says(&t.errors, bad[i][1]);
        tried_free(&t);
    }
}

static void keep_alive_and_num_ctx_take_values(void **state)
{
    static const char *const rows[][3] = {
        {"30m", "\"30m\"", "4096"}, {"0", "0", "8192"},         {"-1", "-1", "1"},
        {"300", "300", "16777216"}, {"7d", "\"168h\"", "2048"}, {"1H", "\"1h\"", "2048"},
    };
    char file[128];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(file, sizeof file, "[task title]\nkeep_alive = %s\nnum_ctx = %s\n", rows[i][0],
                 rows[i][2]);
        struct tried t = try_config(file, NULL, NULL);
        assert_string_equal(t.errors.data, "");
        const struct kind_policy *k = &config_settings(t.config)->kinds[KIND_TITLE];
        assert_int_equal(k->keep_alive, MATCH_VALUE);
        assert_int_equal(k->num_ctx, MATCH_VALUE);
        assert_string_equal(k->keep_alive_value, rows[i][1]);
        assert_string_equal(k->num_ctx_value, rows[i][2]);
        assert_int_equal(config_settings(t.config)->kinds[KIND_TAGS].num_ctx, MATCH_CHAT);
        tried_free(&t);
    }
    assert_taken("[tasks]\nkeep_alive = as-asked\nnum_ctx = match\n", "keep_alive = as-asked  (");
    assert_refused("[tasks]\nkeep_alive = long\n", "write match, as-asked, a duration");
    assert_refused("[tasks]\nkeep_alive = -5m\n", "write match, as-asked, a duration");
    assert_refused("[tasks]\nnum_ctx = 8k\n", "write match, as-asked or a number of tokens: 8192");
    assert_refused("[tasks]\nnum_ctx = 0\n", "num_ctx: out of range");
}

/* Every key whose values are words sets what was asked for. */
static void words_set_their_enum(void **state)
{
    (void)state;
    struct tried t = try_config("[server]\nlog_level = warn\nlog_format = json\n"
                                "[tasks]\nmode = observe\nscope = shared\nyield = when_full\n"
                                "think = on\n[task follow_up]\nobsolete = keep\n"
                                "[task mine]\nmatch = Complete\nclass = foreground\n"
                                "[upstream a]\nurl = http://x\ndialect = ollama\nrewarm = auto\n"
                                "[cache]\ndurability = os\n",
                                NULL, NULL);
    assert_string_equal(t.errors.data, "");
    const struct settings *s = config_settings(t.config);
    assert_int_equal(s->server.log_level, LOG_LEVEL_WARN);
    assert_int_equal(s->server.log_format, LOG_FORMAT_JSON);
    assert_int_equal(s->mode, TASKS_OBSERVE);
    assert_int_equal(s->kinds[KIND_TAGS].scope, SCOPE_SHARED);
    assert_int_equal(s->kinds[KIND_TAGS].yield, YIELD_WHEN_FULL);
    assert_int_equal(s->kinds[KIND_TAGS].think, THINK_ON);
    assert_int_equal(s->kinds[KIND_FOLLOW_UP].obsolete, OBSOLETE_KEEP);
    assert_int_equal(s->kinds[KIND_BUILTIN_COUNT].cls, KIND_CLASS_FOREGROUND);
    assert_int_equal(s->upstreams[0].dialect, DIALECT_CHOICE_OLLAMA);
    assert_int_equal(s->upstreams[0].rewarm, REWARM_AUTO);
    assert_int_equal(s->cache.durability, DURABILITY_OS);
    tried_free(&t);
}

static void max_connections_fits_the_process(void **state)
{
    (void)state;
    struct buf errors = {.max = 4096}, warnings = {.max = 4096};
    struct config_sources sources = {.upstream = "http://x", .most_connections = 100};
    struct config *c = config_read(&sources, &errors, &warnings);
    assert_non_null(c);
    assert_int_equal(config_settings(c)->server.max_connections, 100);
    assert_int_equal(buf_append_char(&warnings, '\0'), ERR_OK);
    assert_string_equal(warnings.data,
                        "lulld: max_connections: lowered from 4096 to 100: the limit "
                        "of descriptors allows no more\n");
    config_destroy(c);
    buf_free(&warnings);
    buf_free(&errors);
}

static void every_way_to_this_machine_is_one_machine(void **state)
{
    static const char *const urls[] = {"http://127.0.0.1:1", "http://localhost:2", "http://[::1]:3",
                                       "http://0.0.0.0:4",   "http://[::]:5",      "unix:/tmp/x"};
    char file[128];
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        snprintf(file, sizeof file, "[upstream a]\nurl = %s\n", urls[i]);
        struct tried t = try_config(file, NULL, NULL);
        assert_string_equal(config_settings(t.config)->upstreams[0].machine, "localhost");
        tried_free(&t);
    }
}

static void no_secret_is_printed(void **state)
{
    (void)state;
    struct tried t = try_config("[server]\nclient_token = planted\n[upstream default]\n"
                                "url = http://x\napi_key = planted\n"
                                "proxy = http://ann:planted@10.0.0.1:3128\n"
                                "task_header = X-Priority: 5; X-Api-Key: planted;authx:planted\n",
                                NULL, NULL);
    struct buf json = {.max = 1024 * 1024};
    assert_string_equal(t.errors.data, "");
    config_print_json(t.config, "", &json);
    assert_int_equal(buf_append_char(&json, '\0'), ERR_OK);
    assert_says(&t.printed, "upstream.default.proxy = http://***@10.0.0.1:3128  (");
    assert_says(&t.printed, "task_header = X-Priority: 5; X-Api-Key: ***;authx: ***  (");
    assert_says(&t.printed, "server.client_token = ***  (");
    assert_null(strstr(t.printed.data, "planted"));
    assert_null(strstr(json.data, "planted"));
    buf_free(&json);
    tried_free(&t);
}

/* --help-config says the default of every key. */
static void help_has_every_default(void **state)
{
    static const char *const parts[] = {
        "  max_hold = 20s; title 1m, autocomplete 300ms\n",
        "  settle = 1s; autocomplete 0\n",
        "  ttl = 1h; title 7d, query 12h, autocomplete 10m, emoji 7d, image_prompt 12h\n",
        "  cache = yes; tool_selection no, memory_review no, context_compaction no\n",
        "  num_ctx = match\n      match, as-asked or a number from 1 to 16777216",
        "  data_dir = /",
    };
    struct buf help = {.max = 1024 * 1024};
    (void)state;
    config_help(&help);
    assert_int_equal(buf_append_char(&help, '\0'), ERR_OK);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_says(&help, parts[i]);
    }
    assert_null(strstr(help.data, "@"));
    buf_free(&help);
}

static void assert_diff(const char *before, const char *after, const char *names,
                        const char *applied, const char *fixed)
{
    struct tried a = try_config(before, NULL, NULL), b = try_config(after, NULL, NULL);
    struct buf got[3] = {{.max = 4096}, {.max = 4096}, {.max = 4096}};
    const char *const wanted[] = {names, applied, fixed};
    config_diff(a.config, b.config, &got[0], &got[1], &got[2]);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(buf_append_char(&got[i], '\0'), ERR_OK);
        assert_string_equal(got[i].data, wanted[i]);
        buf_free(&got[i]);
    }
    tried_free(&a);
    tried_free(&b);
}

static void a_change_is_named_once(void **state)
{
    static const char up[] = "[upstream default]\nurl = http://x\n";
    (void)state;
    assert_diff(up, up, "", "", "");
    assert_diff("[tasks]\nttl = 1h\n", "[tasks]\nttl = 2h\n", "tasks.ttl\n", "tasks.ttl = 2h", "");
    assert_diff("[tasks]\n", "[task title]\nttl = 2h\n[task tags]\nttl = 3h\n",
                "task.title.ttl\ntask.tags.ttl\n", "task.title.ttl = 2h, task.tags.ttl = 3h", "");
    assert_diff("[upstream default]\nurl = http://x\napi_key = sk-one\n",
                "[upstream default]\nurl = http://x\napi_key = sk-two\n",
                "upstream.default.api_key\n", "upstream.default.api_key = ***", "");
    assert_diff(up, "[upstream default]\nurl = http://x\n[upstream b]\nurl = http://y\n",
                "upstream.b\n", "upstream.b added", "");
    assert_diff("[upstream default]\nurl = http://x\n[upstream b]\nurl = http://y\n", up,
                "upstream.b\n", "upstream.b removed", "");
    assert_diff(
        up, "[server]\ndata_dir = /tmp/x\nclient_token = t\n[upstream default]\nurl = http://x\n",
        "server.data_dir\nserver.client_token\n", "server.client_token = ***",
        "server.data_dir = /tmp/x");
}

/* The value behind the name is that of the line, and a line that says it for one kind is no other's. */
static void a_line_of_tasks_is_named_by_what_it_says(void **state)
{
    (void)state;
    assert_diff("[tasks]\nttl = 3h\n", "[tasks]\n", "tasks.ttl\n", "tasks.ttl removed", "");
    assert_diff("[tasks]\nttl = 3h\n", "[tasks]\nttl = 3h\n[task title]\nttl = 5h\n",
                "task.title.ttl\n", "task.title.ttl = 5h", "");
    assert_diff("[tasks]\nttl = 3h\n[task title]\nttl = 5h\n", "[tasks]\nttl = 3h\n",
                "task.title.ttl\n", "task.title.ttl = 3h", "");
    assert_diff("[tasks]\nttl = 3h\n", "[task title]\nttl = 5h\n", "task.title.ttl\ntasks.ttl\n",
                "task.title.ttl = 5h, tasks.ttl removed", "");
    assert_diff("[tasks]\n", "[tasks]\nttl = 3h\n[task title]\nttl = 5h\n",
                "task.title.ttl\ntasks.ttl\n", "task.title.ttl = 5h, tasks.ttl = 3h", "");
    assert_diff("[task own]\nmatch = abcdef\nclass = completion\ndebounce = 1s\n",
                "[task own]\nmatch = abcdef\nclass = completion\n", "task.own.debounce\n",
                "task.own.debounce = auto", "");
}

/* In the settings as well as in what is shown: the folder of the cache is asked for its disk. */
static void what_only_a_restart_changes_stays(void **state)
{
    static const char before[] = "[server]\ndata_dir = /tmp/a\ncontrol = /tmp/a.sock\n"
                                 "control_mode = 0600\nmetrics_listen = 127.0.0.1:9\n"
                                 "[upstream default]\nurl = http://x\n";
    static const char after[] = "[server]\ndata_dir = /tmp/b\ncontrol = /tmp/b.sock\n"
                                "max_connections = 7\nmetrics_listen = 127.0.0.1:8 [::1]:8\n"
                                "[upstream default]\nurl = http://x\n";
    (void)state;
    struct tried running = try_config(before, NULL, NULL), fresh = try_config(after, NULL, NULL);
    config_keep_fixed(fresh.config, running.config);
    const struct server_settings *s = &config_settings(fresh.config)->server;
    assert_string_equal(s->data_dir, "/tmp/a");
    assert_string_equal(s->control, "/tmp/a.sock");
    assert_int_equal(s->control_mode, 0600);
    assert_int_equal(s->metrics_listen.count, 1);
    assert_string_equal(s->metrics_listen.items[0], "127.0.0.1:9");
    assert_int_equal(s->max_connections, 7);
    char *shown = config_value(fresh.config, "server.data_dir");
    assert_string_equal(shown, "/tmp/a");
    free(shown);
    tried_free(&running); /* they share nothing */
    assert_string_equal(s->control, "/tmp/a.sock");
    tried_free(&fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_a_restart_changes_stays),
        cmocka_unit_test(max_hold_of_a_completion_is_short),
        cmocka_unit_test(max_hold_of_tasks_makes_no_completion_wait_longer),
        cmocka_unit_test(a_renamed_key_names_the_new_one),
        cmocka_unit_test(prefix_is_of_four_kinds),
        cmocka_unit_test(task_header_is_a_list_of_headers),
        cmocka_unit_test(keep_alive_and_num_ctx_take_values),
        cmocka_unit_test(words_set_their_enum),
        cmocka_unit_test(max_connections_fits_the_process),
        cmocka_unit_test(every_way_to_this_machine_is_one_machine),
        cmocka_unit_test(no_secret_is_printed),
        cmocka_unit_test(help_has_every_default),
        cmocka_unit_test(a_change_is_named_once),
        cmocka_unit_test(a_line_of_tasks_is_named_by_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
