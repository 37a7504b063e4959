/* lullctl.c: lullctl: one verb, one exit status. */
#include "ctl/ctl.h"

#include "lull/base/os.h"

#include <curl/curl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char socket_path[512];
    struct ctl ctl = {.socket = socket_path};
    os_fill_standard_descriptors();
    os_hide_memory(); /* texts, and keys that are set */
    ctl_default_socket(socket_path, sizeof socket_path);
    int result = command_line_parse(argc, argv, &ctl);
    if (result == CTL_GO_ON) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        result = verbs_run(&ctl);
        curl_global_cleanup();
    }
    if (!ctl_flush()) {
        fprintf(stderr, "lullctl: the output cannot be written\n");
        return CTL_REFUSED;
    }
    return result;
}
