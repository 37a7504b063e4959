/* main.c: arguments → daemon. Nothing else. */
#include "lull/app/daemon.h"
#include "lull/base/os.h"

int main(int argc, char **argv)
{
    struct config_sources sources;
    os_fill_standard_descriptors();
    os_hide_memory(); /* before a key is read */
    int status = args_parse(argc, argv, &sources);
    if (status < 0) {
        status = daemon_run(&sources);
        args_free(&sources);
    }
    return status;
}
