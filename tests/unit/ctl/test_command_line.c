/* test_command_line.c: which command lines of lullctl are wrong usage: found without a daemon. */
#include "support/capture.h"

#include "ctl/ctl.h"

#include <getopt.h>

enum { WORDS_MAX = 24, OUT_MAX = 8192 };

struct line {
    struct ctl ctl;
    char *argv[WORDS_MAX];
    char text[512];
    char out[OUT_MAX]; /* of standard output and standard error */
    int result;
};

/* Splits at blanks, parses, and runs the verb where nothing is wrong; no daemon is there. */
static void line_run(struct line *l, const char *command)
{
    struct capture out, err;
    char *rest = NULL;
    int argc = 0;
    *l = (struct line){.ctl = {.socket = "/nonexistent/lull.sock"}};
    snprintf(l->text, sizeof l->text, "lullctl %s", command);
    for (char *word = strtok_r(l->text, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < WORDS_MAX - 1);
        l->argv[argc++] = word;
    }
    optind = 0; /* glibc: begin again */
    capture_begin(&out, stdout);
    capture_begin(&err, stderr);
    l->result = command_line_parse(argc, l->argv, &l->ctl);
    if (l->result == CTL_GO_ON) {
        l->result = verbs_run(&l->ctl);
    }
    capture_end(&err, l->out, sizeof l->out);
    size_t len = strlen(l->out);
    capture_end(&out, l->out + len, sizeof l->out - len);
}

static void wrong_usage_says_what_is_wrong(void **state)
{
    static const struct {
        const char *command, *message;
    } cases[] = {
        {"", "usage: lullctl"},
        {"nosuch", "lullctl: nosuch is not a verb; try lullctl --help\n"},
        {"report --days 36", "lullctl: --days takes a number from 1 to 35; try lullctl --help\n"},
        {"report --days 0", "lullctl: --days takes a number from 1 to 35; try lullctl --help\n"},
        {"report --by day", "lullctl: --by takes user or kind; try lullctl --help\n"},
        {"report x", "lullctl: report takes no arguments; try lullctl --help\n"},
        {"stats --csv", "lullctl: stats takes no such option; try lullctl --help\n"},
        {"--json report --csv",
         "lullctl: --csv and --json exclude each other; try lullctl --help\n"},
        {"pause 60", "lullctl: pause takes a duration with its unit, as in pause 60s\n"},
        {"pause 1s 2s", "lullctl: pause takes one duration, as in pause 60s; try lullctl --help\n"},
        {"set", "lullctl: set needs SECTION.KEY=VALUE; try lullctl --help\n"},
        {"set a=b.c", "lullctl: write SECTION.KEY=VALUE, as in task.autocomplete.debounce=300ms\n"},
        {"stats --changed", "lullctl: stats takes no such option; try lullctl --help\n"},
        {"stats x", "lullctl: stats takes no arguments; try lullctl --help\n"},
        {"top x", "lullctl: top takes no arguments; try lullctl --help\n"},
        {"--json top",
         "lullctl: top has no JSON; stats, flights and tail have; try lullctl --help\n"},
        {"--json completion bash", "lullctl: completion has no JSON; try lullctl --help\n"},
        {"stats --nosuch", "lullctl: unrecognized option '--nosuch'\ntry lullctl --help\n"},
        {"explain /nonexistent",
         "lullctl: /nonexistent cannot be read: No such file or directory\n"},
        {"explain /", "lullctl: / cannot be read: Is a directory\n"},
        {"explain /dev/zero", "lullctl: /dev/zero cannot be read: it is larger than 2 MB\n"},
        {"get", "lullctl: get needs an id; try lullctl --help\n"},
        {"get 1 2", "lullctl: get needs an id; try lullctl --help\n"},
        {"rm", "lullctl: rm needs an id; try lullctl --help\n"},
        {"explain", "lullctl: explain needs a file, or -; try lullctl --help\n"},
        {"purge",
         "lullctl: purge needs a condition, or all=yes for everything; try lullctl --help\n"},
        {"stats --kind title", "lullctl: stats takes no such option; try lullctl --help\n"},
        {"tail --model m", "lullctl: tail takes no such option; try lullctl --help\n"},
        {"compare --kind title --model m --slow 1s",
         "lullctl: compare takes no such option; try lullctl --help\n"},
        {"compare", "lullctl: compare needs --kind, as in --kind title; try lullctl --help\n"},
        {"compare --kind title", "lullctl: compare needs --model MODEL or MODEL@UPSTREAM, or "
                                 "--prefix; try lullctl --help\n"},
        {"compare --prefix",
         "lullctl: compare needs --kind, as in --kind title; try lullctl --help\n"},
        {"compare --kind title --prefix --model m",
         "lullctl: compare takes --prefix or --model, not both; try lullctl --help\n"},
        {"compare --kind title --prefix --yes-send-stored-requests",
         "lullctl: compare --prefix sends requests to no other upstream; try lullctl --help\n"},
        {"stats --prefix", "lullctl: stats takes no such option; try lullctl --help\n"},
        {"compare --kind title --model m --last 0",
         "lullctl: --last is a number from 1 to 1000; try lullctl --help\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line l;
        line_run(&l, cases[i].command);
        assert_int_equal(l.result, CTL_USAGE);
        assert_memory_equal(l.out, cases[i].message, strlen(cases[i].message));
    }
}

static void too_many_models_are_refused(void **state)
{
    char command[512] = "compare --kind title";
    struct line l;
    (void)state;
    for (int i = 0; i <= CTL_MODELS; i++) {
        size_t len = strlen(command);
        snprintf(command + len, sizeof command - len, " --model=m%d", i);
    }
    line_run(&l, command);
    assert_int_equal(l.result, CTL_USAGE);
    assert_non_null(strstr(l.out, "compare takes 16 models at most"));
}

static void a_condition_of_tail_is_never_left_out(void **state)
{
    char command[400] = "tail --kind ";
    struct line l;
    (void)state;
    memset(command + strlen(command), 'k', 300);
    line_run(&l, command);
    assert_int_equal(l.result, CTL_USAGE);
    assert_string_equal(l.out, "lullctl: --kind is too long\n");
}

static void without_a_daemon_the_status_is_3(void **state)
{
    static const char *const commands[] = {"stats",
                                           "flights",
                                           "health",
                                           "ls",
                                           "purge all=yes",
                                           "get 0123",
                                           "rm 1 2",
                                           "tail --slow 1s",
                                           "compare --kind a --model b",
                                           "config",
                                           "reload",
                                           "drain",
                                           "pause",
                                           "resume",
                                           "set a.b=c",
                                           "config --changed"};
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct line l;
        line_run(&l, commands[i]);
        assert_int_equal(l.result, CTL_NO_DAEMON);
        assert_non_null(strstr(l.out, "is lulld running? --socket names another"));
    }
}

/* rm asks for each id, but not again after the daemon is gone. */
static void one_message_says_that_there_is_no_daemon(void **state)
{
    struct line l;
    (void)state;
    line_run(&l, "rm 1 2 3");
    const char *first = strstr(l.out, "no answer on");
    assert_non_null(first);
    assert_null(strstr(first + 1, "no answer on"));
}

static void help_and_version_are_answered_without_a_verb(void **state)
{
    struct line l;
    (void)state;
    line_run(&l, "--help");
    assert_int_equal(l.result, CTL_DONE);
    assert_memory_equal(l.out, "usage: lullctl", 14);
    line_run(&l, "-V");
    assert_int_equal(l.result, CTL_DONE);
    assert_string_equal(l.out, "lullctl " LULL_VERSION "\n");
}

/* ---- conditions ---- */

static void conditions_become_a_query(void **state)
{
    static const struct {
        const char *verb;
        char *given[4];
        const char *target;
    } cases[] = {
        {"ls", {NULL}, "/x"},
        {"ls", {(char *)"kind=title", (char *)"limit=5", NULL}, "/x?kind=title&limit=5"},
        {"ls", {(char *)"model=a b/c&d=e%", NULL}, "/x?model=a%20b%2Fc%26d%3De%25"},
        {"purge", {(char *)"older=7d", (char *)"all=yes", NULL}, "/x?older=7d&all=yes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf target = {.max = 1024};
        buf_text(&target, "/x");
        assert_null(conditions_append(cases[i].verb, cases[i].given, &target));
        assert_span(buf_span(&target), cases[i].target);
        buf_free(&target);
    }
}

static void a_wrong_condition_is_named(void **state)
{
    static const struct {
        const char *verb, *given, *why;
    } cases[] = {
        {"ls", "title", "a condition is written NAME=VALUE, as in kind=title"},
        {"ls", "kind=", "kind is written kind=title"},
        {"ls", "older=7", "older is a duration with its unit, as in older=7d"},
        {"ls", "older=d", "older is a duration with its unit, as in older=7d"},
        {"ls", "limit=-1", "limit is a number, as in limit=50"},
        {"ls", "all=yes", "conditions are kind, scope, model, older, limit and after"},
        {"purge", "limit=5", "conditions are kind, scope, model, older and all"},
        {"purge", "all=no", "all is written all=yes"},
        {"purge", "kin=title", "conditions are kind, scope, model, older and all"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        char *given[] = {text, NULL};
        struct buf target = {.max = 1024};
        snprintf(text, sizeof text, "%s", cases[i].given);
        assert_string_equal(conditions_append(cases[i].verb, given, &target), cases[i].why);
        buf_free(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_usage_says_what_is_wrong),
        cmocka_unit_test(too_many_models_are_refused),
        cmocka_unit_test(a_condition_of_tail_is_never_left_out),
        cmocka_unit_test(without_a_daemon_the_status_is_3),
        cmocka_unit_test(one_message_says_that_there_is_no_daemon),
        cmocka_unit_test(help_and_version_are_answered_without_a_verb),
        cmocka_unit_test(conditions_become_a_query),
        cmocka_unit_test(a_wrong_condition_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
