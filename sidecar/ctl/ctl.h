/* ctl.h: what the files of lullctl share. lullctl.c has main(): command_line.c fills struct ctl, and
 * verbs.c runs the verb with the other files.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "lull/base/buf.h"

#include <cjson/cJSON.h>
#include <signal.h>

/* Exit statuses; CTL_GO_ON: the command line is complete and the verb is to be run. */
enum { CTL_GO_ON = -1, CTL_DONE = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_NO_DAEMON = 3 };

enum { CTL_MODELS = 16 };

/* Options that only some verbs take: --kind; --outcome, --slow; those of struct ctl_compare;
 * --changed; --days, --by, --csv; --last-miss, --all. */
enum {
    CTL_OPTION_KIND = 1,
    CTL_OPTION_FILTER = 2,
    CTL_OPTION_COMPARE = 4,
    CTL_OPTION_CHANGED = 8,
    CTL_OPTION_REPORT = 16,
    CTL_OPTION_EXPLAIN = 32,
};

struct ctl_compare {
    const char *last;                   /* NULL: not given */
    const char *models[CTL_MODELS + 1]; /* one more than are allowed */
    size_t count;
    bool show, yes, prefix;
};

struct ctl {
    const char *socket;
    bool json;
    const char *verb;
    char **arguments;                  /* ends with NULL */
    unsigned given;                    /* CTL_OPTION_... */
    const char *kind, *outcome, *slow; /* NULL: not given */
    const char *last_miss;             /* a kind; NULL: not given */
    bool all;
    struct ctl_compare compare;
    const char *days, *by; /* NULL: not given */
    bool csv;
    const volatile sig_atomic_t *stop; /* not NULL: no request goes on where it is not 0 */
};

/* ---- command_line.c, verbs.c ---- */

/* Fills ctl, whose socket is set to the default before. CTL_GO_ON, or the exit status after a
 * message on standard error or the text that was asked for. Texts point into argv. */
int command_line_parse(int argc, char **argv, struct ctl *ctl);
/* Runs the verb; returns the exit status. */
int verbs_run(const struct ctl *ctl);
/* The i-th verb of the table; NULL past the end. */
const char *verbs_name(size_t i);

/* ---- conditions.c ---- */

/* Appends "?NAME=VALUE&..." of the conditions of a verb (ls or purge) to target, encoded. NULL, or
 * what is wrong with one of them (static text). */
const char *conditions_append(const char *verb, char *const *given, struct buf *target);
/* Whether it is a duration as the configuration has it; the range is not checked. */
bool conditions_is_duration(const char *text);

/* ---- ask.c: requests to the control socket ---- */

/* The control socket where none is given: LULL_SERVER_CONTROL, else the daemon's own default, else,
 * where there is none, the system's. out gets the text. */
void ctl_default_socket(char *out, size_t size);
/* One request; the body of the answer is appended to out (bounded). Returns the HTTP status; 0 when
 * there is no daemon, after a message on standard error. */
long ctl_ask(const struct ctl *ctl, const char *method, const char *target, struct buf *out);
/* GETs it in a media type, such as "text/csv". */
long ctl_ask_as(const struct ctl *ctl, const char *target, const char *type, struct buf *out);
/* The same with a body and further headers, lines "Name: value", count of them. */
long ctl_send(const struct ctl *ctl, const char *target, char *const *lines, size_t count,
              struct span body, struct buf *out);
/* GETs a JSON document, of any status; the caller deletes it. NULL: no answer, or no JSON. quiet:
 * without a message when there is no daemon. */
cJSON *ctl_fetch(const struct ctl *ctl, const char *target, bool quiet);
/* POSTs a body; an answer of status 200 comes line by line, as it arrives, each terminated and
 * without its line feed; of any other status it is appended to out. No time limit. */
long ctl_stream(const struct ctl *ctl, const char *target, struct span body,
                void (*line)(void *ctx, char *text), void *ctx, struct buf *out);
/* GETs a stream: each line as it arrives, until the daemon ends it. Status and out as above. */
long ctl_follow(const struct ctl *ctl, const char *target, void (*line)(void *ctx, char *text),
                void *ctx, struct buf *out);
/* The same for a caller that waits for other things too: a libcurl easy handle for curl_multi_*. */
struct ctl_stream;
struct ctl_stream *ctl_stream_open(const struct ctl *ctl, const char *target,
                                   void (*line)(void *ctx, char *text), void *ctx);
void *ctl_stream_handle(struct ctl_stream *s);
void ctl_stream_close(struct ctl_stream *s);
/* Percent-encodes into out. */
void ctl_encode(struct buf *out, struct span text);
/* Prints an answer: its JSON with --json, else by print (NULL: nothing); an error goes to standard
 * error. out is freed. Returns the exit status. */
int ctl_finish(const struct ctl *ctl, long status, struct buf *out, void (*print)(const cJSON *));
/* ctl_ask and ctl_finish. */
int ctl_run(const struct ctl *ctl, const char *method, const char *target,
            void (*print)(const cJSON *answer));

/* ---- print.c ---- */

/* Bytes of the control character at text (C0, DEL, or C1 in UTF-8); 0: it begins with none. */
size_t ctl_control_length(const char *text);
/* Prints text from the daemon: control characters as \xNN, so that no byte of a request controls
 * the terminal. Line feeds and tabs stay where lines is true. */
void ctl_print_text(const char *text, bool lines);
/* How many columns that text takes, as far as code points tell. */
int ctl_width_of(const char *text);
/* Prints it in one line, and blanks up to the width. */
void ctl_print_padded(const char *text, int width);
/* The same, and a blank behind it, however long the text is. */
void ctl_print_column(const char *text, int width);
/* Prints JSON of the daemon and a line feed: the same document, with control characters as \u escapes. */
void ctl_print_json(struct span text);
/* The name that a member has in its object; "" for an element of an array. */
const char *ctl_name_of(const cJSON *item);
/* A member of an answer; NULL: it is not there. */
static inline const cJSON *ctl_member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}
/* The same as text or number; "" or 0 where it is not there or not of that type. */
const char *ctl_text_of(const cJSON *o, const char *name);
double ctl_number_of(const cJSON *o, const char *name);
/* A member in milliseconds as "0.3 ms", "250 ms", "12.4 s"; "-" where it is no number. */
void ctl_format_ms(const cJSON *o, const char *name, char *out, size_t size);
/* Writes what was printed; false: it cannot be written (a full disk, a terminal that is gone). */
bool ctl_flush(void);
/* Whether output goes to a terminal that shows colours, and NO_COLOR is not set. */
bool ctl_has_colour(void);
/* Answers as text. */
void ctl_print_stats(const cJSON *stats);
void ctl_print_flights(const cJSON *answer);
void ctl_print_entries(const cJSON *page);
void ctl_print_entry(const cJSON *entry);
void ctl_print_config(const cJSON *config);
void ctl_print_reload(const cJSON *answer);
void ctl_print_paused(const cJSON *answer);
void ctl_print_health(const cJSON *answer);
void ctl_print_purged(const cJSON *answer);
void ctl_print_draining(const cJSON *answer);

/* ---- one verb each: ask and print; return the exit status ---- */

int ctl_tail(const struct ctl *ctl);
int ctl_top(const struct ctl *ctl);
int ctl_doctor(const struct ctl *ctl);
/* What is wrong with the socket at path, where no daemon answers on it: the finding goes to text, and what to
 * change is returned (static). */
const char *ctl_doctor_socket(const char *path, char *text, size_t size);
int ctl_completion(const struct ctl *ctl);
/* --days, --by and --csv are not checked before. */
int ctl_report(const struct ctl *ctl);
/* SECTION.KEY=VALUE..., at least one argument. */
int ctl_set(const struct ctl *ctl);
/* GET /config; --changed: only what was set over the control socket, as lines of the file. */
int ctl_config(const struct ctl *ctl);
/* --kind and ctl->compare are checked first. */
int ctl_compare(const struct ctl *ctl);
/* FILE|- [PATH] [HEADER...], or --last-miss without arguments. */
int ctl_explain(const struct ctl *ctl);

/* ---- explanation.c ---- */

/* The answer to an explain, with the values that decided, or with all. */
void ctl_print_explanation(const cJSON *answer);
void ctl_print_explanation_all(const cJSON *answer);

#endif
