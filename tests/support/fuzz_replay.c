/* fuzz_replay.c: runs a fuzz target over every file of the folders and files named on the command
 * line, so that CI replays the committed corpus with any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 0;
    }
    size_t cap = 1 << 20;
    uint8_t *data = malloc(cap);
    size_t len = data == NULL ? 0 : fread(data, 1, cap, f);
    fclose(f);
    /* an exact-size copy, so that ASan sees a read past the end */
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (exact != NULL && data != NULL) {
        memcpy(exact, data, len);
        LLVMFuzzerTestOneInput(exact, len);
    }
    free(exact);
    free(data);
    return 1;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return 0;
    }
    if (!S_ISDIR(st.st_mode)) {
        return replay_file(path);
    }
    DIR *dir = opendir(path);
    int count = 0;
    struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        char full[4096];
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        count += replay_file(full);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        count += replay(argv[i]);
    }
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1; /* an empty corpus is a mistake */
}
