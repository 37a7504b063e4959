/* fuzz_webui_repair.c: any bytes as a task's answer. Input: one byte (kind and finish reason), then
 * the content. What is mended is readable, no longer than escapes make it, and needs no second mending;
 * what is not mended stays.
 * covers: path/webui/repair.c
 */
#include "lull/path/webui/repair.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    int kind = data[0] % KIND_BUILTIN_COUNT;
    const struct kind_info *info = kind_info((enum kind_id)kind);
    struct kind_policy policy = {.shape = info->shape,
                                 .shape_member = (char *)(uintptr_t)info->member};
    struct span content = span_make((const char *)data + 1, size - 1);
    struct answer a;
    answer_init(&a);
    a.finish = data[0] < 200 ? FINISH_STOP : (enum finish)(data[0] % 4);
    if (buf_append_span(&a.content, content) == ERR_OK) {
        enum finish finish = a.finish;
        enum answer_verdict before = answer_validate(&a, &policy, kind);
        if (answer_repair(&a, &policy, kind)) {
            require(before == ANSWER_BAD);
            require(answer_validate(&a, &policy, kind) != ANSWER_BAD);
            require(a.content.len <= 6 * content.len);
            require(!answer_repair(&a, &policy, kind));
        } else {
            require(span_eq(buf_span(&a.content), content));
        }
        require(a.finish == finish && a.thinking.len == 0);
    }
    answer_free(&a);
    return 0;
}
