/* err.h: the codes that functions return, and the checks that stop the program.
 *
 * A fallible function returns `enum err` and is marked MUST_CHECK; results go through out
 * parameters. Each library's own codes are translated in one function in its home folder.
 */
#ifndef LULL_BASE_ERR_H
#define LULL_BASE_ERR_H

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
    ERR_OK = 0,
    ERR_NOMEM,     /* an allocation sized by a peer failed */
    ERR_TOO_LARGE, /* over a limit */
    ERR_INVALID,   /* malformed input */
    ERR_NOT_FOUND, /* an ordinary "no" */
    ERR_FULL,      /* a bounded table or the map is full */
    ERR_CORRUPT,   /* stored bytes fail their checks */
    ERR_BUSY,      /* in use */
    ERR_PERM,      /* permission denied */
    ERR_IO,        /* everything else the system said */
};

/* Short lower-case name, for logs. Never NULL. */
const char *err_name(enum err e);

/* The enum err for an errno value (ENOSPC is ERR_FULL, EACCES is ERR_PERM, ...). */
enum err err_from_errno(int errnum);

/* Always checked, in every build: prints the place and aborts. No side effects inside. */
#define require(cond) ((cond) ? (void)0 : require_failed(#cond, __FILE__, __LINE__))
/* The call must return ERR_OK: prints the place and aborts otherwise. For calls that act: evaluated
 * once, in every build. */
#define require_ok(call) require_ok_at((call), #call, __FILE__, __LINE__)
/* What require() calls: says the place on standard error and aborts. */
__attribute__((noreturn)) void require_failed(const char *what, const char *file, int line);

static inline void require_ok_at(enum err e, const char *what, const char *file, int line)
{
    if (e != ERR_OK) {
        require_failed(what, file, line);
    }
}

/* Small allocations whose size the program or the configuration fixes: never NULL, abort when memory
 * is gone. Zeroed. Free with free(). What a peer can make large (bodies, heads, answers, lists of
 * entries) is allocated with malloc() or a struct buf, and its absence is an answer. */
void *mem_new(size_t size);
/* p, which a library has allocated in the same way; aborts where it is NULL. */
void *mem_have(void *p);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);

#endif
