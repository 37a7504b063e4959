/* reader.h: the tokens of JSON, and where a value ends in text that is no whole document. */
#ifndef LULL_PATH_JSON_READER_H
#define LULL_PATH_JSON_READER_H

#include "lull/base/buf.h"

/* ---- json_token.c ---- */

/* The first byte at or after `at` that is no JSON white space; end where there is none. */
const char *json_blanks(const char *at, const char *end);
/* The value of four hex digits; -1: one of them is none. */
int json_hex4(const char *p);
/* The character that \c stands for, for a c of "\"\\/bfnrt"; 0: it stands for none. */
char json_escaped(char c);
/* Moves *at behind a number (RFC 8259 §6), or the word. false: there is none; *at is where it
 * departs from one, end where only more text could tell. */
bool json_number(const char **at, const char *end);
bool json_word(const char **at, const char *end, const char *word);
/* The code point of an escape at *at (behind the backslash), which is moved behind it; a pair of \u
 * escapes is one. 0: it has none in UTF-8 (half of a surrogate pair, U+0000), or is no escape. */
unsigned json_code_point(const char **at, const char *end);
/* Appends the text of a JSON string: raw is its inside or, with its quotes, the token. false: out
 * is full, raw is no string, or it has no text in UTF-8; out is unchanged then. Takes raw control
 * characters. */
bool json_text(struct span raw, struct buf *out);

/* ---- json_read.c ---- */

/* Who reads: json_read.c lists the differences. */
enum json_grammar { JSON_PYTHON, JSON_JAVASCRIPT, JSON_LOOSE };

enum json_extent {
    JSON_ENDS,   /* a whole value */
    JSON_CUT,    /* it ends before the value does: more text may make it one */
    JSON_BROKEN, /* whatever follows, it is none */
};

/* Reads the value at the beginning of text, without recursion. *looked: bytes that were read; up to
 * the end of the value if it ends. */
enum json_extent json_extent(struct span text, enum json_grammar grammar, size_t *looked);

/* Reads text as json_read() does (json.h), in that grammar. NULL also where something follows the
 * value or white space stands around it. */
struct json_doc;
const struct json_node *json_read_exactly(struct span text, enum json_grammar grammar,
                                          struct json_doc *doc);
/* Whether text is one value, without white space around it. */
bool json_is_whole(struct span text, enum json_grammar grammar);

#endif
