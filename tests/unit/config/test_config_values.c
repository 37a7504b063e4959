/* test_config_values.c: what each type of value takes and refuses, how the file is written, and what
 * holds between keys.
 */
#include "unit/config/config_support.h"

struct row {
    const char *section, *line, *part; /* part: of what is said, or of --print-config */
};

static void in_section(const struct row *r, char *file, size_t size)
{
    bool upstream = strncmp(r->section, "upstream", 8) == 0;
    snprintf(file, size, "%s[%s]\n%s%s\n", upstream ? "" : "[upstream u]\nurl = http://x\n",
             r->section, upstream ? "url = http://x\n" : "", r->line);
}

static void assert_rows_refused(const struct row *rows, size_t count)
{
    char file[1024];
    for (size_t i = 0; i < count; i++) {
        in_section(&rows[i], file, sizeof file);
        assert_refused(file, rows[i].part);
    }
}

static void assert_rows_taken(const struct row *rows, size_t count)
{
    char file[1024];
    for (size_t i = 0; i < count; i++) {
        in_section(&rows[i], file, sizeof file);
        assert_taken(file, rows[i].part);
    }
}

static void numbers_are_whole_and_in_range(void **state)
{
    static const struct row refused[] = {
        {"server", "max_connections = many", "max_connections: not a whole number"},
        {"server", "max_connections = 12x", "max_connections: not a whole number"},
        {"server", "max_connections = -1", "max_connections: not a whole number"},
        {"server", "max_connections = 99999999999999999999", "not a whole number"},
        {"server", "max_connections = 0", "max_connections: out of range: "},
        {"server", "max_task_body = 1KiB", "a size is a whole number, with KB, MB, GB or TB"},
        {"server", "max_task_body = 9999999999TB", "a size is a whole number"},
        {"server", "max_task_body = 1GB", "max_task_body: out of range: "},
        {"server", "header_timeout = 10", "a duration is a whole number with its unit"},
        {"server", "header_timeout = 1.5s", "a duration is a whole number with its unit"},
        {"server", "header_timeout = 0", "header_timeout: out of range: "},
        {"tasks", "max_tokens = x", "max_tokens: write as-asked or a whole number"},
        {"tasks", "max_tokens = 5 tokens", "max_tokens: write as-asked or a whole number"},
        {"tasks", "max_tokens = 0", "max_tokens: out of range: "},
        {"upstream u", "slots = many", "slots: write auto or a whole number"},
        {"upstream u", "slots = 2x", "slots: write auto or a whole number"},
        {"upstream u", "slots = 1025", "slots: out of range: "},
        {"tasks", "num_ctx = big", "num_ctx: write match, as-asked or a number of tokens"},
        {"tasks", "num_ctx = 8k", "num_ctx: write match, as-asked or a number of tokens"},
        {"tasks", "num_ctx = 0", "num_ctx: out of range: "},
        {"task autocomplete", "debounce = soon", "write off, auto or a duration with its unit"},
        {"task autocomplete", "debounce = 1h", "debounce: out of range: "},
    };
    static const struct row taken[] = {
        {"tasks", "max_tokens = 5", "max_tokens = 5 "},
        {"tasks", "max_tokens = as-asked", "max_tokens = as-asked "},
        {"upstream u", "slots = auto", "slots = auto "},
        {"server", "header_timeout = 2M", "header_timeout = 2M "},
        {"task autocomplete", "debounce = 0", "debounce = 0"},
        {"task autocomplete", "debounce = off", "debounce = off "},
    };
    (void)state;
    assert_rows_refused(refused, sizeof refused / sizeof refused[0]);
    assert_rows_taken(taken, sizeof taken / sizeof taken[0]);
}

static void hosts_are_names(void **state)
{
    static const struct row refused[] = {
        {"server", "hosts = http://chat.example.org",
         "'http://chat.example.org' is no name of a host"},
        {"server", "hosts = a.example.org *.example.org", "'*.example.org' is no name of a host"},
        {"server", "hosts = example.org/chat", "is no name of a host"},
        {"server", "hosts = ::1", "is no name of a host"},
    };
    static const struct row taken[] = {
        {"server", "hosts = chat.example.org a_b:8080", "hosts = chat.example.org a_b:8080"},
        {"server", "hosts = [fd00::5] 10.0.0.7", "hosts = [fd00::5] 10.0.0.7"},
        {"server", "hosts =", "hosts ="},
    };
    (void)state;
    assert_rows_refused(refused, sizeof refused / sizeof refused[0]);
    assert_rows_taken(taken, sizeof taken / sizeof taken[0]);
}

static void decimals_are_digits_with_one_point(void **state)
{
    static const char *const wrong[] = {"warm",
                                        "1e-1",
                                        "+1",
                                        "-1",
                                        ".5",
                                        "1.",
                                        "0.1.2",
                                        "00.5",
                                        "01",
                                        "0.1234567890123456",
                                        "1234567890123456"};
    static const struct row out_of_range[] = {
        {"tasks", "temperature = 2.1", "temperature: out of range: from 0 to 2"},
        {"tasks", "temperature = 20", "temperature: out of range: from 0 to 2"},
    };
    static const struct row taken[] = {
        {"tasks", "temperature = 0", "temperature = 0 "},
        {"tasks", "temperature = 0.70", "temperature = 0.70 "},
        {"tasks", "temperature = as-asked", "temperature = as-asked "},
        {"upstream u", "price_in = 0.15", "price_in = 0.15"},
    };
    char line[64];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(line, sizeof line, "temperature = %s", wrong[i]);
        struct row r = {"tasks", line, "temperature: write as-asked or a number such as 0.7"};
        assert_rows_refused(&r, 1);
    }
    struct row price = {"upstream u", "price_out = cheap",
                        "price_out: a price is a number such as"};
    assert_rows_refused(&price, 1);
    assert_rows_refused(out_of_range, sizeof out_of_range / sizeof out_of_range[0]);
    assert_rows_taken(taken, sizeof taken / sizeof taken[0]);
}

static void texts_are_what_their_type_says(void **state)
{
    static const struct row refused[] = {
        {"tasks", "extra = [1]", "extra: write a JSON object, such as"},
        {"tasks", "extra = {\"a\":1", "extra: write a JSON object, such as"},
        {"tasks", "extra = {\"model\":\"m\"}", "extra: model is not a further member"},
        {"tasks", "extra = {\"messages\":[]}", "extra: messages is not a further member"},
        {"server", "control_mode = 999", "control_mode: permission bits are written in octal"},
        {"server", "control_mode = 60", "control_mode: permission bits are written in octal"},
        {"server", "control_mode = 06600", "control_mode: permission bits are written in octal"},
        {"server", "control_mode = 1777", "control_mode: permission bits are written in octal"},
        {"server", "control_private = maybe", "control_private: write yes or no"},
        {"server", "listen =", "listen: must not be empty"},
        {"server", "listen = nowhere", "'nowhere' is no address; write HOST:PORT"},
        {"server",
         "metrics_listen = a:1 a:2 a:3 a:4 a:5 a:6 a:7 a:8 a:9 b:1 b:2 b:3 b:4 b:5 b:6 b:7 b:8",
         "metrics_listen: more than 16 entries"},
        {"server", "task_header = X-Task:", "task_header: not the name of a header; - for none"},
        {"server", "user_header = X User", "user_header: not the name of a header; - for none"},
        {"server", "task_header =", "task_header: must not be empty"},
        {"upstream u", "proxy = socks5://h:1", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://h", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://h:1/path", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://:3128", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://a b:3128", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://[::1]", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://[::g]:3128", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://a:b:3128", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://ann:pw@:3128", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://h:0", "proxy: write http://HOST:PORT"},
        {"upstream u", "proxy = http://h:65536", "proxy: write http://HOST:PORT"},
        {"upstream u", "api_key = two words", "api_key: a key has only visible ASCII characters"},
        {"upstream u", "api_key = clé", "api_key: a key has only visible ASCII characters"},
        {"tasks", "keep_alive = soon", "keep_alive: write match, as-asked, a duration"},
        {"tasks", "keep_alive = -5m", "keep_alive: write match, as-asked, a duration"},
        {"tasks", "keep_alive = 2147483648", "keep_alive: write match, as-asked, a duration"},
        {"tasks", "keep_alive = 99999d", "keep_alive: write match, as-asked, a duration"},
    };
    static const struct row taken[] = {
        {"server", "control_mode = 600", "control_mode = 600 "},
        {"upstream u", "proxy = http://user:pw@h:3128", "proxy = http://"},
        {"upstream u", "proxy = http://[::1]:3128", "proxy = http://"},
        {"tasks", "keep_alive = 2D", "keep_alive = 2D "},
    };
    (void)state;
    assert_rows_refused(refused, sizeof refused / sizeof refused[0]);
    assert_rows_taken(taken, sizeof taken / sizeof taken[0]);
}

static void a_text_longer_than_its_bound_is_refused(void **state)
{
    char file[8192], word[4200];
    (void)state;
    memset(word, 'k', sizeof word - 1);
    word[4097] = '\0';
    snprintf(file, sizeof file, "[upstream u]\nurl = http://x\napi_key = %s\n", word);
    assert_refused(file, "api_key: longer than 4096 bytes");
    word[2042] = '\0';
    snprintf(file, sizeof file, "[upstream u]\nurl = http://%s\n", word);
    assert_refused(file, "url: longer than 2048 bytes");
    word[254] = '\0';
    snprintf(file, sizeof file, "[upstream u]\nurl = http://%s\n", word);
    assert_refused(file, "the host or the port is not one");
}

static void a_url_has_a_host_a_port_and_a_plain_path(void **state)
{
    static const char *const rows[][2] = {
        {"http://h:", "the host or the port is not one"},
        {"http://h:0", "the host or the port is not one"},
        {"http://h:65536", "the host or the port is not one"},
        {"http://h:000080", "the host or the port is not one"},
        {"http://h:8o", "the host or the port is not one"},
        {"http://", "the host or the port is not one"},
        {"http://a b", "the host or the port is not one"},
        {"http://h%41", "the host or the port is not one"},
        {"http://[::1", "the host or the port is not one"},
        {"http://[]", "the host or the port is not one"},
        {"http://[::1]x", "the host or the port is not one"},
        {"http://[::g]:1", "the host or the port is not one"},
        {"http://[0000000000000000000000000000000000000000000000000000000000000001]",
         "the host or the port is not one"},
        {"http://h/a?b=c", "the path must be plain, without ? and #"},
        {"http://h/a\"b", "the path must be plain, without ? and #"},
        {"http://h/ä", "the path must be plain, without ? and #"},
        {"http://h/a b", "the path must be plain, without ? and #"},
        {"ftp://h", "write http://HOST:PORT, https://HOST or unix:/path"},
        {"h:1", "write http://HOST:PORT, https://HOST or unix:/path"},
        {"unix:relative", "a Unix socket is written unix:/path, at most 107 bytes"},
        {"unix:/"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
         "5678901234567890123456",
         "a Unix socket is written unix:/path, at most 107 bytes"},
    };
    static const char *const fine[] = {"http://h:65535", "HTTP://h-1.example_x:1", "http://[::1]:1",
                                       "https://[2001:DB8::1]", "unix:/run/api"};
    char file[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(file, sizeof file, "[upstream u]\nurl = %s\n", rows[i][0]);
        assert_refused(file, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        snprintf(file, sizeof file, "[upstream u]\nurl = %s\n", fine[i]);
        struct tried t = try_config(file, NULL, NULL);
        assert_string_equal(t.errors.data, "");
        assert_string_equal(t.warnings.data, "");
        tried_free(&t);
    }
}

#define UP "[upstream u]\nurl = http://x\n"

static void lines_of_the_file(void **state)
{
    static const char *const refused[][2] = {
        {UP "[tasks]\nmodel = \"a\" b\n", ":4: text after the closing quote"},
        {UP "[tasks]\nmodel = \"a\n", ":4: the closing quote is missing"},
        {UP "[tasks]\nmodel = \"a\\\n", ":4: in quotes, \\ is written \\\\"},
        {UP "[tasks]\nmodel = \"a\\x\"\n", ":4: in quotes, \\ is written \\\\"},
        {"log_level = info\n" UP, ":1: a key before the first [section]"},
        {UP "[tasks]\nmodel\n", ":4: expected [section], key = value or # comment"},
        {UP "[tasks\n", ":3: a section is written [server] or [upstream NAME]"},
        {UP "[tasks] model = a\n", ":3: a section is written [server] or [upstream NAME]"},
        {UP "[tasks]\nmodel = a\x01"
            "b\n",
         ":4: a control character"},
        {UP "[tasks]\nmodel = a\x7f\n", ":4: a control character"},
        {UP "[tasks]\nmodel = qw\xe9n\n", ":4: model: the text is not UTF-8"},
        {UP "[tasks]\nmodel\xc2\xa0= a\n", ":4: a no-break space (U+00A0) before the ="},
        {"[upstream u]\rurl = http://x\r", ":1: a line that ends with a carriage return alone"},
        {"\xff\xfe[u\n", ":1: the file is UTF-16; save it as UTF-8"},
        {"[upstream u]\nurl =\xc2\xa0http://x\n", ":2: url: write http://HOST:PORT, https://HOST "
                                                  "or unix:/path; behind \"\" there is a blank"},
        {"[upstream u]\nurl = http://x y\n", "; behind \"http://x\" there is a blank or"},
        {"[upstream u]\nurl = 'http://x'\n", "unix:/path, without quotes"},
        {"[upstream u]\nurl = http://x/v1\xc2\xa0\n",
         "without ? and #; behind \"http://x/v1\" there is"},
        {"[upstream u]\nurl = ftp://a:pw@x y\n",
         "or unix:/path; in it there is a blank or another"},
        {"[upstream u]\nurl: http://x\n", ":2: expected [section], key = value or # comment"},
        {UP "[task]\n", ":3: the section needs a name of a-z, 0-9 and _: [task title]"},
        {UP "[upstream Ü]\nurl = http://y\n",
         ":3: the section needs a name of a-z, 0-9 and _: [upstream chat]"},
        {UP "[cache big]\n", ":3: this section has no name"},
    };
    static const char *const taken[][2] = {
        {"\xef\xbb\xbf" UP "[tasks]\r\n\tmodel\t=\ta # why\r\n", "model = a "},
        {UP "[tasks]\nmodel = \"a \\\"b\\\" \\\\ # c\" # why", "model = \"a \\\"b\\\" \\\\ # c\""},
        {UP "[task own]\nmatch = \"Name it:\\n\\tfirst\"\n", "match = \"Name it:\\n\\tfirst\""},
        {UP "[tasks]\nmodel = a\"b # c\"\n", "model = \"a\\\"b # c\\\"\""},
        {UP "[tasks]\nmodel = a#b\n", "model = "},
        {"# caf\xe9\n" UP "[cache]\n[server]\ndata_dir = /caf\xe9\n", "data_dir = /caf"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_refused(refused[i][0], refused[i][1]);
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_taken(taken[i][0], taken[i][1]);
    }
}

static void what_holds_between_keys(void **state)
{
    static const char *const rows[][2] = {
        {UP "[server]\ncontrol_group = no-such-group\n",
         ":4: control_group: there is no group 'no-such-group'"},
        {UP "[server]\nmax_body = 2KB\nmax_task_body = 4KB\n",
         ":5: max_task_body: larger than max_body"},
        {UP "[server]\ndefault_upstream = v\n", ":4: default_upstream: there is no [upstream v]"},
        {UP "[upstream v]\nurl = http://y\n",
         "several upstreams (u, v) and none is called default"},
        {"[upstream u]\n", ":1: [upstream u] needs its url"},
        {UP "api_key = k\napi_key_file = /dev/null\n",
         ":4: api_key_file: api_key is set too; give one of them"},
        {UP "[task title]\nclass = background\n",
         ":4: class: the class of a built-in kind is fixed"},
        {UP "[task image_prompt]\nenabled = no\n", "has no harmless answer"},
        {UP "[task own]\nmatch = abc\n", ":4: match: shorter than "},
        {UP "[task own]\nsystem_match = abc\n", ":4: system_match: shorter than "},
        {UP "[task moa]\nttl = 1h\n", ":3: moa is a chat in everything; it has no settings"},
        {UP "[task title]\nfallback = v\n", ":4: fallback: there is no [upstream v]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_refused(rows[i][0], rows[i][1]);
    }
    assert_taken(UP "[tasks]\nenabled = no\n[task title]\nenabled = yes\n", "enabled = no");
    assert_taken(UP "[tasks]\nenabled = no\n", "\ntask.image_prompt.enabled = yes  (default)\n");
}

static void set_is_section_key_value(void **state)
{
    static const char *const rows[][2] = {
        {"server", "--set server: write SECTION.KEY=VALUE"},
        {"server=1", "--set server: write SECTION.KEY=VALUE"},
        {"servre.log_level=debug", "write SECTION.KEY=VALUE, as in server.log_level=debug"},
        {"task.ttl=1h", "--set task.ttl: the section needs a name: task.title.ttl=2d"},
        {"task.Title.ttl=1h", "the section needs a name: task.title.ttl=2d"},
        {"server.a.log_level=debug", "this section has no name: SECTION.KEY=VALUE"},
        {"server.log_level=loud", "log_level: write error, warn, info or debug"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const sets[] = {rows[i][0], NULL};
        struct tried t = try_config(NULL, NULL, sets);
        assert_null(t.config);
        assert_says(&t.errors, rows[i][1]);
        assert_int_equal(lines_in(t.errors.data), 1);
        tried_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_and_in_range),
        cmocka_unit_test(hosts_are_names),
        cmocka_unit_test(decimals_are_digits_with_one_point),
        cmocka_unit_test(texts_are_what_their_type_says),
        cmocka_unit_test(a_text_longer_than_its_bound_is_refused),
        cmocka_unit_test(a_url_has_a_host_a_port_and_a_plain_path),
        cmocka_unit_test(lines_of_the_file),
        cmocka_unit_test(what_holds_between_keys),
        cmocka_unit_test(set_is_section_key_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
