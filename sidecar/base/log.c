/* log.c: one write(2) per line, so that lines of two threads do not mix and nothing is lost in a
 * buffer. Control characters of the text are escaped: whatever a peer sent cannot forge a line.
 */
#include "lull/base/log.h"

#include "lull/base/buf.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LOG_TEXT_MAX = 8 * 1024 };

static atomic_int log_level_now = LOG_LEVEL_INFO;
static atomic_int log_format_now = LOG_FORMAT_TEXT;

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&log_level_now, (int)level);
    atomic_store(&log_format_now, (int)format);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load(&log_level_now);
}

static void timestamp(char *out, size_t size)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void log_line(enum log_level level, const char *group, const char *fmt, ...)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char text[LOG_TEXT_MAX];
    char when[40];
    struct buf line = {.max = LOG_TEXT_MAX * 6 + 256};
    if (!log_enabled(level)) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n;
    struct span said = span_trim(span_make(text, len < sizeof text ? len : sizeof text - 1));
    timestamp(when, sizeof when);
    bool json = atomic_load(&log_format_now) == LOG_FORMAT_JSON;
    enum err e = buf_printf(
        &line,
        json ? "{\"time\":\"%s\",\"level\":\"%s\",\"group\":\"%s\",\"message\":\"" : "%s %-5s %s: ",
        when, levels[level], group);
    size_t before = line.len;
    if (e == ERR_OK) {
        e = buf_append_json(&line, said);
    }
    if (e == ERR_OK && !json && memchr(said.ptr, '"', said.len) != NULL) {
        line.len = before; /* in text, quotes and backslashes stay as they are */
        for (size_t i = 0; i < said.len && e == ERR_OK; i++) {
            bool plain = said.ptr[i] == '"' || said.ptr[i] == '\\';
            e = plain ? buf_append_char(&line, said.ptr[i])
                      : buf_append_json(&line, span_make(said.ptr + i, 1));
        }
    }
    if (e == ERR_OK && buf_append_span(&line, json ? SPAN("\"}\n") : SPAN("\n")) == ERR_OK) {
        ssize_t written = write(STDERR_FILENO, line.data, line.len);
        (void)written; /* nowhere to complain */
    }
    buf_free(&line);
}
