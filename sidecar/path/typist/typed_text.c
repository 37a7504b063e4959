/* typed_text.c: where a text may be cut, and what is left of a suggestion.
 *
 * The space. A model that completes "How do" often answers "I ..." and not " I ..."; the user types
 * the space. So where neither side of the seam has white space, one typed space is taken as typed
 * before the suggestion. In the opposite case (a suggestion that begins with a space behind a text
 * that ends in one) it does not fit: the page would show other text than the model's.
 *
 * The table of marks is Unicode 15's Grapheme_Extend, Extended_Pictographic's modifiers and the
 * spacing marks of Indic scripts, in whole ranges: a range may have a letter too many, which costs
 * a suggestion and never splits a grapheme.
 */
#include "lull/path/typist/typed_text.h"

#include "lull/base/ascii.h"
#include "lull/base/utf8.h"

struct range {
    unsigned from, to;
};

static const struct range marks[] = {
    {0x0300, 0x036F},   {0x0483, 0x0489},   {0x0591, 0x05C7},   {0x0610, 0x061A},
    {0x064B, 0x065F},   {0x0670, 0x0670},   {0x06D6, 0x06ED},   {0x0711, 0x0711},
    {0x0730, 0x074A},   {0x07A6, 0x07B0},   {0x07EB, 0x07F3},   {0x0816, 0x082D},
    {0x0859, 0x085B},   {0x0898, 0x0903},   {0x093A, 0x094F},   {0x0951, 0x0957},
    {0x0962, 0x0963},   {0x0981, 0x0983},   {0x09BC, 0x09D7},   {0x09E2, 0x09E3},
    {0x0A01, 0x0A03},   {0x0A3C, 0x0A51},   {0x0A70, 0x0A83},   {0x0ABC, 0x0ACD},
    {0x0AE2, 0x0AE3},   {0x0AFA, 0x0B03},   {0x0B3C, 0x0B57},   {0x0B62, 0x0B63},
    {0x0B82, 0x0B82},   {0x0BBE, 0x0BD7},   {0x0C00, 0x0C04},   {0x0C3C, 0x0C56},
    {0x0C62, 0x0C63},   {0x0C81, 0x0C83},   {0x0CBC, 0x0CD6},   {0x0CE2, 0x0CE3},
    {0x0D00, 0x0D03},   {0x0D3B, 0x0D57},   {0x0D62, 0x0D63},   {0x0D81, 0x0D83},
    {0x0DCA, 0x0DDF},   {0x0DF2, 0x0DF3},   {0x0E31, 0x0E3A},   {0x0E47, 0x0E4E},
    {0x0EB1, 0x0EBC},   {0x0EC8, 0x0ECE},   {0x0F18, 0x0F19},   {0x0F35, 0x0F39},
    {0x0F3E, 0x0F3F},   {0x0F71, 0x0F87},   {0x0F8D, 0x0FBC},   {0x102B, 0x103E},
    {0x1056, 0x1059},   {0x105E, 0x1064},   {0x1071, 0x1074},   {0x1082, 0x109D},
    {0x1160, 0x11FF},   {0x135D, 0x135F},   {0x1712, 0x1715},   {0x1732, 0x1734},
    {0x17B4, 0x17D3},   {0x180B, 0x180F},   {0x1920, 0x193B},   {0x1A17, 0x1A1B},
    {0x1A55, 0x1A7F},   {0x1AB0, 0x1B04},   {0x1B34, 0x1B44},   {0x1B6B, 0x1B73},
    {0x1B80, 0x1B82},   {0x1BA1, 0x1BAD},   {0x1BE6, 0x1BF3},   {0x1C24, 0x1C37},
    {0x1CD0, 0x1CF9},   {0x1DC0, 0x1DFF},   {0x200C, 0x200D},   {0x20D0, 0x20F0},
    {0x2CEF, 0x2CF1},   {0x2DE0, 0x2DFF},   {0x302A, 0x302F},   {0x3099, 0x309A},
    {0xA66F, 0xA67D},   {0xA69E, 0xA69F},   {0xA6F0, 0xA6F1},   {0xA802, 0xA827},
    {0xA880, 0xA881},   {0xA8B4, 0xA8C5},   {0xA8E0, 0xA8F1},   {0xA926, 0xA953},
    {0xA980, 0xA983},   {0xA9B3, 0xA9C0},   {0xAA29, 0xAA4D},   {0xAAB0, 0xAAC1},
    {0xAAEB, 0xAAF6},   {0xABE3, 0xABED},   {0xD7B0, 0xD7FB},   {0xFB1E, 0xFB1E},
    {0xFE00, 0xFE0F},   {0xFE20, 0xFE2F},   {0xFF9E, 0xFF9F},   {0x101FD, 0x101FD},
    {0x10A01, 0x10A3F}, {0x11000, 0x11002}, {0x11038, 0x11046}, {0x110B0, 0x110BA},
    {0x11100, 0x11134}, {0x1D165, 0x1D1AD}, {0x1E000, 0x1E02A}, {0x1E8D0, 0x1E8D6},
    {0x1E944, 0x1E94A}, {0x1F3FB, 0x1F3FF}, {0xE0020, 0xE007F}, {0xE0100, 0xE01EF},
};

/* The code point at `at`; 0 where there is none. */
static unsigned code_point(struct span s, size_t at)
{
    size_t n = at < s.len ? utf8_length(s.ptr + at, s.len - at) : 0;
    return n > 0 ? utf8_decode(s.ptr + at, n) : 0;
}

static unsigned code_point_before(struct span s, size_t at)
{
    size_t from = at - 1;
    while (from > 0 && at - from < 4 && utf8_continues(s.ptr[from])) {
        from--;
    }
    return code_point(span_make(s.ptr, at), from);
}

static bool is_mark(unsigned cp)
{
    size_t from = 0;
    size_t to = sizeof marks / sizeof marks[0];
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (cp < marks[mid].from) {
            to = mid;
        } else if (cp > marks[mid].to) {
            from = mid + 1;
        } else {
            return true;
        }
    }
    return false;
}

static bool is_flag_half(unsigned cp)
{
    return cp >= 0x1F1E6 && cp <= 0x1F1FF;
}

bool text_boundary(struct span s, size_t at)
{
    if (at == 0 || at >= s.len) {
        return at == 0 || at == s.len;
    }
    if (utf8_continues(s.ptr[at])) {
        return false;
    }
    unsigned before = code_point_before(s, at);
    unsigned next = code_point(s, at);
    return !is_mark(next) && before != 0x200D && !(before == '\r' && next == '\n') &&
           !(is_flag_half(before) && is_flag_half(next));
}

/* Whether a typed space may be one that the model left out: none on either side of the seam. */
static bool space_left_out(struct span old_text, struct span suggestion, struct span typed)
{
    return typed.len > 0 && typed.ptr[0] == ' ' && suggestion.len > 0 &&
           !ascii_is_blank(suggestion.ptr[0]) && old_text.len > 0 &&
           !ascii_is_blank(old_text.ptr[old_text.len - 1]);
}

static struct span behind(struct span s, size_t n)
{
    return span_make(s.ptr + n, s.len - n);
}

bool text_remainder(struct span old_text, struct span suggestion, struct span typed,
                    struct span *remainder)
{
    struct span covered = typed; /* by the suggestion */
    if (!span_starts(suggestion, covered)) {
        if (!space_left_out(old_text, suggestion, typed)) {
            return false;
        }
        covered = behind(typed, 1);
        if (!span_starts(suggestion, covered)) {
            return false;
        }
    }
    if (!text_boundary(suggestion, covered.len)) {
        return false;
    }
    *remainder = behind(suggestion, covered.len);
    return span_trim(*remainder).len > 0 &&
           !is_mark(code_point(typed.len == 0 ? *remainder : typed, 0));
}

static bool either_begins(struct span a, struct span b)
{
    return span_starts(a, b) || span_starts(b, a);
}

bool text_may_fit(struct span old_text, struct span begun, struct span typed)
{
    return either_begins(begun, typed) ||
           (space_left_out(old_text, begun, typed) && either_begins(begun, behind(typed, 1)));
}

struct span text_last_paragraph(struct span message)
{
    struct span text = span_trim(message);
    size_t end = span_rfind(text, SPAN("\n"));
    return end == SIZE_MAX ? text : span_trim(behind(text, end + 1));
}
