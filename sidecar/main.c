/* main.c: arguments → daemon. Nothing else. */
#include "lull/app/daemon.h"

int main(int argc, char **argv)
{
    struct config_sources sources;
    int status = args_parse(argc, argv, &sources);
    if (status < 0) {
        status = daemon_run(&sources);
        args_free(&sources);
    }
    return status;
}
