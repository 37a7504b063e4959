/* folder.h: a folder for the files of one input of a fuzz target, below $TMPDIR.
 */
#ifndef LULL_TESTS_SUPPORT_FOLDER_H
#define LULL_TESTS_SUPPORT_FOLDER_H

#include "lull/base/err.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* path: its name. */
static inline void folder_make(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");
    snprintf(path, size, "%.40s/lull-XXXXXX", base == NULL ? "/tmp" : base);
    require(mkdtemp(path) != NULL);
}

/* With the files in it. */
static inline void folder_remove(const char *path)
{
    DIR *d = opendir(path);
    require(d != NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    require(rmdir(path) == 0);
}

#endif
