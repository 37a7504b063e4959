/* log.h: lines on standard error. Never a request body, an answer, a key or a token.
 *
 * Levels: error = something failed and lulld goes on, an operator should look; warn = a thing to
 * change; info = life of the daemon; debug = one line per exchange.
 */
#ifndef LULL_BASE_LOG_H
#define LULL_BASE_LOG_H

#include "lull/base/buf.h"

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* May be called again (reload). Before the first call: info, text. */
void log_setup(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* Opens standard error again where it is a terminal or a pipe, so that no write to it waits: a write waits
 * where a terminal has room for a part of the line, or another program has just taken the room. Where it
 * may not be opened (another user's), lines are written to it as before. Called again where standard error
 * was replaced. */
void log_open_again(void);
/* group: one word, the part of the program ("cache"). One line is written, whatever the
 * text holds: control characters are escaped. Thread-safe. Where nothing reads standard error the line is
 * lost after 100 ms at most, and a later line says how many were; the lines after it do not wait. */
void log_line(enum log_level level, const char *group, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same for a text of any length; log_line cuts at 8 KB. */
void log_text(enum log_level level, const char *group, struct span text);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    (log_enabled(LOG_LEVEL_DEBUG) ? log_line(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)

#endif
