/* page.c: GET /: the page (page.html, built into the program).
 *
 * Its Content-Security-Policy allows nothing but the page's own script and style, named by their
 * SHA-256, and requests to the listener that served it.
 */
#include "control/control_priv.h"

#include "lull/base/hash.h"

#include <stdio.h>

/* The build makes these from page.html. */
extern const unsigned char page_html[];
extern const size_t page_html_len;

/* What stands between <name> and </name>. */
static struct span element_text(struct span html, const char *open, const char *close)
{
    size_t start = span_find(html, span_of(open), 0);
    size_t end = span_find(html, span_of(close), start);
    require(start != SIZE_MAX && end != SIZE_MAX);
    start += strlen(open);
    return span_make(html.ptr + start, end - start);
}

void control_page(struct control *ctl, struct http_conn *c)
{
    struct span html = span_make((const char *)page_html, page_html_len);
    char script[HASH_SHA256_BASE64], style[HASH_SHA256_BASE64], lines[512];
    (void)ctl;
    hash_sha256_base64(element_text(html, "<script>", "</script>"), script);
    hash_sha256_base64(element_text(html, "<style>", "</style>"), style);
    int len = snprintf(lines, sizeof lines,
                       "Content-Security-Policy: default-src 'none'; script-src 'sha256-%s'; "
                       "style-src 'sha256-%s'; img-src data:; connect-src 'self'; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'\r\n"
                       "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                       "Cache-Control: no-cache\r\n",
                       script, style);
    http_reply_full(c, 200, SPAN("text/html; charset=utf-8"), span_make(lines, (size_t)len), html);
}
