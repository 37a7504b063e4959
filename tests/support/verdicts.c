/* verdicts.c: lull's verdicts on contents, for the comparison with Open WebUI's parsers
 * (tests/integration/test_webui_parsers.py). Reads records from stdin: a line "KIND CONTENT_BYTES
 * THINKING_BYTES", then these bytes. Writes for each a line "VERDICT MENDED VERDICT_THEN BYTES",
 * then the content as it is served.
 */
#include "lull/path/webui/repair.h"

#include <stdio.h>

static int kind_named(const char *name)
{
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        if (strcmp(kind_info((enum kind_id)i)->name, name) == 0) {
            return i;
        }
    }
    return KIND_NONE;
}

static bool take(struct buf *to, size_t len)
{
    if (buf_reserve(to, len) != ERR_OK || fread(to->data, 1, len, stdin) != len) {
        return false;
    }
    to->len = len;
    return true;
}

static void say(struct answer *a, int kind)
{
    static const char *const names[] = {"good", "empty", "bad"};
    const struct kind_info *info = kind_info((enum kind_id)kind);
    struct kind_policy policy = {
        .cls = info->cls, .shape = info->shape, .shape_member = (char *)(uintptr_t)info->member};
    enum answer_verdict before = answer_validate(a, &policy, kind);
    bool mended = answer_repair(a, &policy, kind);
    printf("%s %d %s %zu\n", names[before], mended, names[answer_validate(a, &policy, kind)],
           a->content.len);
    if (a->content.len > 0) {
        fwrite(a->content.data, 1, a->content.len, stdout);
    }
}

int main(void)
{
    char name[32];
    size_t content = 0, thinking = 0;
    while (scanf("%31s %zu %zu", name, &content, &thinking) == 3 && getchar() == '\n') {
        struct answer a;
        int kind = kind_named(name);
        answer_init(&a);
        a.finish = FINISH_STOP;
        bool good = kind != KIND_NONE && take(&a.content, content) && take(&a.thinking, thinking);
        if (good) {
            say(&a, kind);
        }
        answer_free(&a);
        if (!good) {
            return 1;
        }
    }
    return 0;
}
