/* err.c: names of codes, and the two ways in which the program stops itself: a broken invariant,
 * and no memory for a small fixed allocation.
 */
#include "lull/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *err_name(enum err e)
{
    static const char *const names[] = {
        [ERR_OK] = "ok",           [ERR_NOMEM] = "out of memory", [ERR_TOO_LARGE] = "too large",
        [ERR_INVALID] = "invalid", [ERR_NOT_FOUND] = "not found", [ERR_FULL] = "full",
        [ERR_CORRUPT] = "corrupt", [ERR_BUSY] = "busy",           [ERR_PERM] = "permission denied",
        [ERR_IO] = "I/O error",
    };
    return (size_t)e < sizeof names / sizeof names[0] ? names[e] : "unknown error";
}

enum err err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return ERR_OK;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_PERM;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EBUSY:
    case EADDRINUSE:
    case EWOULDBLOCK:
        return ERR_BUSY;
    case EINVAL:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}

static void write_stderr(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

void require_failed(const char *what, const char *file, int line)
{
    char number[16];
    size_t at = sizeof number - 1;
    number[at] = '\0';
    for (int rest = line; at > 0 && (rest > 0 || at == sizeof number - 1); rest /= 10) {
        number[--at] = (char)('0' + rest % 10);
    }
    write_stderr("lull: broken invariant: ");
    write_stderr(what);
    write_stderr(" at ");
    write_stderr(file);
    write_stderr(":");
    write_stderr(number + at);
    write_stderr("\n");
    abort();
}

void *mem_have(void *p)
{
    if (p == NULL) {
        require_failed("memory for a small allocation", __FILE__, __LINE__);
    }
    return p;
}

void *mem_new(size_t size)
{
    enum {
        QUICK = 1024
    }; /* glibc keeps freed blocks up to here at hand, and calloc() takes none */
    if (size == 0 || size > QUICK) {
        return mem_have(calloc(1, size == 0 ? 1 : size));
    }
    return memset(mem_have(malloc(size)), 0, size);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy = mem_new(len + 1);
    memcpy(copy, s, len);
    return copy;
}
