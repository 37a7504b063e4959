/* fuzz_config_file.c: any bytes as lull.conf: settings, or errors that name their line; never
 * both and never neither.
 * covers: config/ini.c config/assignments.c config/config.c config/build.c
 */
#include "lull/config/config.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/lull-fuzz-%ld.conf", (long)getpid());
    FILE *f = fopen(path, "wb");
    require(f != NULL && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    struct config_sources sources = {.file = path};
    struct buf errors = {.max = 16 * 1024 * 1024}, warnings = {.max = 16 * 1024 * 1024};
    struct config *c = config_read(&sources, &errors, &warnings);
    require((c == NULL) == (errors.len > 0));
    if (c != NULL) {
        struct buf out = {.max = 16 * 1024 * 1024};
        config_print(c, &out);
        require(out.len > 0);
        buf_free(&out);
    }
    config_destroy(c);
    buf_free(&errors);
    buf_free(&warnings);
    unlink(path);
    return 0;
}
