/* scan.h: how far a run of ordinary bytes goes, 16 bytes at a time: most of what a request and an
 * answer hold is text that needs no care.
 */
#ifndef LULL_BASE_SCAN_H
#define LULL_BASE_SCAN_H

#include <stddef.h>

/* How many bytes from p on stand in a JSON string as they are: ASCII, and neither a control byte
 * nor a quote nor a backslash. DEL counts. Reads p[0..len) only; p may be NULL where len is 0, here
 * and below. */
size_t scan_json_plain(const char *p, size_t len);
/* How many bytes from p on are none of three. */
size_t scan_to_mark(const char *p, size_t len, const char marks[3]);
/* How many bytes from p on are ASCII. */
size_t scan_ascii(const char *p, size_t len);
/* How many bytes from p on make a token of HTTP (ascii_is_token). */
size_t scan_token(const char *p, size_t len);
/* How many bytes from p on may stand in the value of a field of HTTP: no control byte but tab. */
size_t scan_field_value(const char *p, size_t len);

/* How many bytes a and b have in common from their beginnings on; scan_common_back(): from their ends
 * backwards, where a_end and b_end point behind the last byte. Both have at least len bytes. */
size_t scan_common(const char *a, const char *b, size_t len);
size_t scan_common_back(const char *a_end, const char *b_end, size_t len);

#endif
