/* fuzz_webui_suggestion.c: any bytes as a growing content: read in one piece and byte by byte
 * alike, whole code points only, and equal to what the parser of whole answers finds where both
 * find one. Input: the content.
 * covers: path/webui/suggestion.c
 */
#include "lull/base/utf8.h"
#include "lull/path/webui/suggestion.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span content = span_make((const char *)data, size);
    struct suggestion_reader once = {0}, slowly = {0};
    struct buf whole = {.max = SIZE_MAX};
    suggestion_read(&once, content);
    for (size_t len = 0; len <= size; len++) {
        suggestion_read(&slowly, span_make(content.ptr, len));
    }
    require(span_eq(buf_span(&once.text), buf_span(&slowly.text)));
    require(once.begun == slowly.begun && once.closed == slowly.closed && once.lost == slowly.lost);
    require(once.text.len <= SUGGESTION_MAX);
    if (utf8_valid(content) && suggestion_of(content, &whole)) { /* else it is repaired */
        struct buf written = {.max = SIZE_MAX}, again = {.max = SIZE_MAX};
        require(suggestion_write(buf_span(&whole), &written) == ERR_OK);
        require(suggestion_of(buf_span(&written), &again));
        require(span_eq(buf_span(&again), buf_span(&whole)));
        buf_free(&written);
        buf_free(&again);
    }
    suggestion_reader_free(&once);
    suggestion_reader_free(&slowly);
    buf_free(&whole);
    return 0;
}
