/* log.c: each line is written at once and whole, so that lines of two threads do not mix and nothing is
 * lost in a buffer. Control characters of the text are escaped: whatever a peer sent cannot forge a line.
 *
 * The loop writes these lines, so it must not wait for a pipe, a socket or a terminal that nothing reads. A
 * line that finds no room is lost and counted, and the count is the first line once there is room. O_NONBLOCK
 * on standard error would be set for every program that has the same one, so the file is opened again. Where
 * it cannot be, poll() must do: it says that a pipe has room for PIPE_BUF bytes, and a terminal for one.
 */
#include "lull/base/log.h"

#include "lull/base/buf.h"
#include "lull/base/os.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_TEXT_MAX = 8 * 1024,
    PATIENCE_MS = 100, /* for a reader that is only slow; not again before it has read */
};

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

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER; /* guards these, and standard error */
static uint64_t lost; /* lines, since the last one was written */
static bool cut;      /* the last one written has no end */
static int output_fd = STDERR_FILENO;

void log_open_again(void)
{
    int fd = os_reopen_stderr();
    pthread_mutex_lock(&output);
    if (output_fd != STDERR_FILENO) {
        close(output_fd);
    }
    output_fd = fd < 0 ? STDERR_FILENO : fd;
    pthread_mutex_unlock(&output);
}

static bool has_room(void)
{
    struct pollfd to = {.fd = output_fd, .events = POLLOUT};
    int n = 0;
    do {
        n = poll(&to, 1, lost > 0 ? 0 : PATIENCE_MS);
    } while (n < 0 && errno == EINTR);
    return n != 0; /* an error is the write's to find */
}

/* false: there is no room for it, or not for all of it. */
static bool write_all(struct span line)
{
    while (line.len > 0) {
        if (!has_room()) {
            return false;
        }
        ssize_t n = write(output_fd, line.ptr, line.len < PIPE_BUF ? line.len : PIPE_BUF);
        if (n < 0 && errno == EAGAIN) {
            return false; /* another program took the room */
        }
        if (n < 0 && errno != EINTR) {
            return true; /* this is where errors are reported */
        }
        size_t done = n > 0 ? (size_t)n : 0;
        line = span_make(line.ptr + done, line.len - done);
        cut = line.len > 0;
    }
    return true;
}

static enum err compose(struct buf *line, enum log_level level, const char *group, struct span text)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char when[40];
    bool json = atomic_load(&log_format_now) == LOG_FORMAT_JSON;
    line->max = text.len * 6 + 256;
    timestamp(when, sizeof when);
    enum err e = buf_printf(
        line,
        json ? "{\"time\":\"%s\",\"level\":\"%s\",\"group\":\"%s\",\"message\":\"" : "%s %-5s %s: ",
        when, levels[level], group);
    e = e == ERR_OK ? append_text(line, text, json) : e;
    return e == ERR_OK ? buf_append_span(line, json ? SPAN("\"}\n") : SPAN("\n")) : e;
}

/* Whether all lost lines are accounted for: there are none, or their number is written. */
static bool say_lost(void)
{
    struct buf line = {0};
    char text[80];
    int n = snprintf(text, sizeof text,
                     "%" PRIu64 " lines before this one are lost: nothing read the log", lost);
    if (lost > 0 && compose(&line, LOG_LEVEL_WARN, "log", span_make(text, (size_t)n)) == ERR_OK &&
        (!cut || write_all(SPAN("\n"))) && write_all(buf_span(&line))) {
        lost = 0;
    }
    buf_free(&line);
    return lost == 0;
}

void log_text(enum log_level level, const char *group, struct span text)
{
    struct buf line = {0};
    if (!log_enabled(level)) {
        return;
    }
    if (compose(&line, level, group, span_trim(text)) == ERR_OK) {
        pthread_mutex_lock(&output);
        if (!say_lost() || !write_all(buf_span(&line))) {
            lost++;
        }
        pthread_mutex_unlock(&output);
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
