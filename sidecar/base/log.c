/* log.c: one write(2) per line, so that lines of two threads do not mix and nothing is lost in a
 * buffer. Control characters of the text are escaped: whatever a peer sent cannot forge a line.
 */
#include "lull/base/log.h"

#include "lull/base/buf.h"

#include <errno.h>
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

/* Escapes control characters and broken UTF-8. Quotes and backslashes are escaped in JSON only: a
 * text line is for reading, and for copying paths and JSON from. */
static enum err append_text(struct buf *line, struct span text, bool json)
{
    enum err e = ERR_OK;
    size_t at = 0;
    for (size_t i = 0; i < text.len && e == ERR_OK && !json; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            e = buf_append_json(line, span_make(text.ptr + at, i - at));
            e = e == ERR_OK ? buf_append_char(line, text.ptr[i]) : e;
            at = i + 1;
        }
    }
    return e == ERR_OK ? buf_append_json(line, span_make(text.ptr + at, text.len - at)) : e;
}

static void write_all(struct span line)
{
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.ptr, line.len);
        if (n < 0 && errno != EINTR) {
            return; /* nowhere to complain */
        }
        size_t done = n > 0 ? (size_t)n : 0;
        line = span_make(line.ptr + done, line.len - done);
    }
}

void log_text(enum log_level level, const char *group, struct span text)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char when[40];
    bool json = atomic_load(&log_format_now) == LOG_FORMAT_JSON;
    text = span_trim(text);
    struct buf line = {.max = text.len * 6 + 256};
    if (!log_enabled(level)) {
        return;
    }
    timestamp(when, sizeof when);
    enum err e = buf_printf(
        &line,
        json ? "{\"time\":\"%s\",\"level\":\"%s\",\"group\":\"%s\",\"message\":\"" : "%s %-5s %s: ",
        when, levels[level], group);
    e = e == ERR_OK ? append_text(&line, text, json) : e;
    e = e == ERR_OK ? buf_append_span(&line, json ? SPAN("\"}\n") : SPAN("\n")) : e;
    if (e == ERR_OK) {
        write_all(buf_span(&line));
    }
    buf_free(&line);
}

void log_line(enum log_level level, const char *group, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX];
    if (!log_enabled(level)) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n;
    log_text(level, group, span_make(text, len < sizeof text ? len : sizeof text - 1));
}
