/* throttle.c: see throttle.h. */
#include "lull/path/server/throttle.h"

#include "lull/base/err.h"

#include <string.h>
#include <time.h>

static const usec_t THROTTLE_MAX = 3600 * USEC_PER_S;

void throttle_note(struct server *s, mono_t until, bool said)
{
    if (said && until.us > s->said_until.us) {
        s->said_until = until;
    }
    s->throttled_until = until.us > s->throttled_until.us ? until : s->throttled_until;
}

bool throttle_is_on(const struct server *s, mono_t now)
{
    return s->throttled_until.us > now.us;
}

/* Delta-seconds, also with a fraction (some gateways send one), which is rounded up; -1: not that.
 */
static usec_t retry_seconds(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
    const char *end = text + digits + (fraction > 0 ? fraction + 1 : 0);
    if (digits == 0 || *end != '\0') {
        return -1;
    }
    usec_t most = THROTTLE_MAX / USEC_PER_S;
    usec_t seconds = 0;
    for (size_t i = 0; i < digits && seconds < most; i++) {
        seconds = seconds * 10 + (text[i] - '0');
    }
    bool more = fraction > 0 && strspn(text + digits + 1, "0") < fraction;
    seconds += more ? 1 : 0;
    return (seconds < most ? seconds : most) * USEC_PER_S;
}

/* Whether the text is that time as the form writes it, whatever its weekday. strptime takes no blank
 * for any number of them, fewer digits than the form has, and a day that the month does not have. */
static bool is_written_so(const char *text, const char *form, const struct tm *when)
{
    char written[64];
    const char *rest = strchr(text, ' ');
    return rest != NULL && strftime(written, sizeof written, form, when) > 0 &&
           strcmp(strchr(written, ' '), rest) == 0;
}

/* The three forms of RFC 9110 §5.6.7; -1: none of them. strptime takes any digits for a year: "30" of
 * a server that writes two would be long past. */
static usec_t retry_date(const char *text, wall_t now)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm when = {0};
        const char *rest = strptime(text, forms[i], &when);
        if (rest == NULL || *rest != '\0') {
            continue;
        }
        usec_t left =
            (usec_t)timegm(&when) * USEC_PER_S - now.us; /* makes the day one of its month */
        if (!is_written_so(text, forms[i], &when) || when.tm_year < 70) {
            return -1;
        }
        return left < 0 ? 0 : left > THROTTLE_MAX ? THROTTLE_MAX : left;
    }
    return -1;
}

usec_t throttle_retry_after(struct span value, wall_t now)
{
    char text[64];
    if (value.len == 0 || value.len >= sizeof text) {
        return -1;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    usec_t seconds = retry_seconds(text);
    return seconds >= 0 ? seconds : retry_date(text, now);
}
