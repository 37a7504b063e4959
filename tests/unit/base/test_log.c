/* test_log.c: one line for each message, with its text as it is. */
#include "support/check.h"

#include "lull/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What log_text() writes for a text, without the time. */
static char *logged(enum log_format format, struct span text)
{
    char *out = calloc(1, text.len * 6 + 512);
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_true(out != NULL && file != NULL && kept >= 0);
    assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
    log_setup(LOG_LEVEL_INFO, format);
    log_text(LOG_LEVEL_INFO, "test", text);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    close(kept);
    rewind(file);
    assert_true(fread(out, 1, text.len * 6 + 511, file) > 0);
    fclose(file);
    return out;
}

static void assert_text(const char *text, const char *wanted)
{
    char *line = logged(LOG_FORMAT_TEXT, span_of(text));
    const char *at = strstr(line, "info  test: ");
    assert_non_null(at);
    assert_string_equal(at + strlen("info  test: "), wanted);
    free(line);
}

static void quotes_and_backslashes_stay_in_text(void **state)
{
    (void)state;
    assert_text("C:\\models", "C:\\models\n");
    assert_text("say \"C:\\models\"", "say \"C:\\models\"\n");
    assert_text("t\xc3\xadtulo", "t\xc3\xadtulo\n");
    assert_text("\"t\xc3\xadtulo\"", "\"t\xc3\xadtulo\"\n");
    assert_text("two\nlines \"and\rmore\"", "two\\nlines \"and\\rmore\"\n");
    assert_text("esc \x1b[31m", "esc \\u001b[31m\n");
}

static void json_escapes_them(void **state)
{
    (void)state;
    char *line = logged(LOG_FORMAT_JSON, SPAN("a \"b\\c\"\n d"));
    assert_non_null(strstr(line, "\"group\":\"test\",\"message\":\"a \\\"b\\\\c\\\"\\n d\"}\n"));
    free(line);
}

static void a_long_text_is_whole(void **state)
{
    size_t len = (size_t)100 * 1000;
    char *text = malloc(len);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    text[len - 1] = 'y';
    char *line = logged(LOG_FORMAT_TEXT, span_make(text, len));
    assert_int_equal(strlen(strstr(line, "test: ")), strlen("test: ") + len + 1);
    free(line);
    free(text);
}

/* Fills it with line ends, and puts it in the place of standard error. */
static void use_full(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (write(fd, "\n", 1) == 1) {
    }
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

/* A pipe without any room; its reading end. */
static int full_pipe(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    use_full(ends[1]);
    return ends[0];
}

/* Takes all that is in the pipe: the text of the last read, behind the line ends that filled it. */
static void take(int from, char *out, size_t size)
{
    ssize_t n = read(from, out, size - 1);
    assert_true(n > 0 && (size_t)n < size - 1);
    out[n] = '\0';
}

static void without_a_reader_lines_are_lost_and_counted(void **state)
{
    static char text[256 * 1024];
    int kept = dup(STDERR_FILENO);
    (void)state;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    int from = full_pipe();
    log_info("test", "one");
    log_info("test", "two");
    take(from, text, sizeof text);
    log_info("test", "three");
    take(from, text, sizeof text);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    close(kept);
    close(from);
    assert_null(strstr(text, "test: one"));
    assert_null(strstr(text, "test: two"));
    const char *at = strstr(text, " warn  log: 2 lines before this one are lost");
    assert_non_null(at);
    assert_non_null(strstr(at, " info  test: three\n"));
}

/* A terminal that nothing reads, with room for some lines. */
static void a_terminal_with_little_room_holds_up_nothing(void **state)
{
    enum { LINES = 100 };
    char piece[16];
    int kept = dup(STDERR_FILENO), terminal = posix_openpt(O_RDWR | O_NOCTTY);
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    (void)state;
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int side = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(side >= 0);
    use_full(side);
    while (poll(&room, 1, 0) == 0) {
        assert_true(read(terminal, piece, sizeof piece) > 0);
    }
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_open_again();
    for (int i = 0; i < LINES; i++) {
        log_info("test", "%0*d", 1 + i, 0); /* of every length: one of them fits in part */
    }
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    log_open_again();
    close(kept);
    close(terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_and_backslashes_stay_in_text),
        cmocka_unit_test(json_escapes_them),
        cmocka_unit_test(a_long_text_is_whole),
        cmocka_unit_test(without_a_reader_lines_are_lost_and_counted),
        cmocka_unit_test(a_terminal_with_little_room_holds_up_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
