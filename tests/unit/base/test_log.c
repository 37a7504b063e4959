/* test_log.c: one line for each message, with its text as it is. */
#include "support/check.h"

#include "lull/base/log.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_and_backslashes_stay_in_text),
        cmocka_unit_test(json_escapes_them),
        cmocka_unit_test(a_long_text_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
