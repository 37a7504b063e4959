/* main.c: arguments → configuration → daemon. Nothing else. */
#include "lull/app/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct config_sources sources;
    int status = args_parse(argc, argv, &sources);
    if (status >= 0) {
        return status;
    }
    struct buf errors = {.max = 1024 * 1024};
    struct buf warnings = {.max = 1024 * 1024};
    struct config *config = config_read(&sources, &errors, &warnings);
    fprintf(stderr, "%.*s%.*s", (int)warnings.len, warnings.len > 0 ? warnings.data : "",
            (int)errors.len, errors.len > 0 ? errors.data : "");
    buf_free(&errors);
    buf_free(&warnings);
    status = config == NULL ? EXIT_USAGE : daemon_run(config, &sources);
    args_free(&sources);
    return status;
}
