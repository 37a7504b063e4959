/* ctl.h: what the files of lullctl share: one request to the control socket, and printing. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "lull/base/buf.h"

#include <cjson/cJSON.h>

enum { CTL_DONE = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_NO_DAEMON = 3 };

enum { CTL_MODELS = 16 };

/* What only `compare` is told. */
struct ctl_compare {
    bool given; /* any of it */
    const char *kind, *last;
    const char *models[CTL_MODELS + 1]; /* one more than there may be */
    size_t count;
    bool show, yes;
};

/* Conditions of `tail`; NULL: all. */
struct ctl_tail_filter {
    const char *kind, *outcome, *slow;
};

struct ctl {
    const char *socket;
    bool json;
    bool changed; /* of config: only what was set live */
    struct ctl_tail_filter tail;
    struct ctl_compare compare;
};

/* The control socket where nothing is said: LULL_SERVER_CONTROL, else the daemon's own default,
 * else, where there is none, the system's. out gets the text. */
void ctl_default_socket(char *out, size_t size);

/* One request; the body of the answer is appended to out (bounded). Returns the HTTP status; 0 when
 * there is no daemon, after saying so on standard error. */
long ctl_ask(const struct ctl *ctl, const char *method, const char *target, struct buf *out);
/* GETs; says nothing when there is no daemon. */
long ctl_ask_quietly(const struct ctl *ctl, const char *target, struct buf *out);
/* The same with a body and further headers, lines "Name: value", count of them. */
long ctl_send(const struct ctl *ctl, const char *target, char *const *lines, size_t count,
              struct span body, struct buf *out);
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
/* lullctl tail and top; return an exit status. */
int ctl_tail(const struct ctl *ctl);
int ctl_top(const struct ctl *ctl);
/* lullctl doctor: 0 nothing to change, 1 something to change. */
int ctl_doctor(const struct ctl *ctl);
/* lullctl set SECTION.KEY=VALUE...; returns an exit status. */
int ctl_set(const struct ctl *ctl, char **lines);
/* Whether output goes to a terminal that shows colours, and NO_COLOR is not set. */
bool ctl_has_colour(void);
/* A member in milliseconds as "0.3 ms", "250 ms", "12.4 s"; "-" where it is no number. */
void ctl_format_ms(const cJSON *o, const char *name, char *out, size_t size);
/* lullctl compare: asks and prints; returns an exit status. */
int ctl_compare(const struct ctl *ctl);
/* lullctl explain FILE|- [PATH] [HEADER...]; returns an exit status. */
int ctl_explain(const struct ctl *ctl, char **arguments);
/* Asks and prints by `print`; NULL prints nothing. out is freed. */
int ctl_finish(const struct ctl *ctl, long status, struct buf *out, void (*print)(const cJSON *));

/* Percent-encodes into out. */
void ctl_encode(struct buf *out, const char *text);

/* Prints text from the daemon: control characters as \xNN, so that a terminal obeys nothing that
 * was in a request. Line feeds stay where lines is true. */
void ctl_print_text(const char *text, bool lines);
/* A member of an answer; "" or 0 where it is not there or not of that type. */
const char *ctl_text_of(const cJSON *o, const char *name);
double ctl_number_of(const cJSON *o, const char *name);
/* Human forms of the answers. */
void ctl_print_stats(const cJSON *stats);
void ctl_print_flights(const cJSON *answer);
void ctl_print_entries(const cJSON *page);
void ctl_print_entry(const cJSON *entry);
void ctl_print_config(const cJSON *config);
/* Only what was set over the control socket, as lines of the configuration file. */
void ctl_print_changed(const cJSON *config);
void ctl_print_set(const cJSON *answer);
void ctl_print_reload(const cJSON *answer);

#endif
