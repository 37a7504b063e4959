/* settings.h: the configuration as plain values: built and checked by config.h, immutable
 * afterwards. A reload builds another one; an exchange keeps a reference to the one that it began
 * with.
 */
#ifndef LULL_CONFIG_SETTINGS_H
#define LULL_CONFIG_SETTINGS_H

#include "lull/base/clock.h"
#include "lull/base/log.h"
#include "lull/config/kinds.h"

#include <stdint.h>

/* A list of strings: `items` has `count` entries. */
struct strings {
    char **items;
    size_t count;
};
/* Frees the texts and the list, and makes it empty; a copy owns its own. */
void strings_free(struct strings *list);
struct strings strings_copy(const struct strings *list);

enum tasks_mode { TASKS_ON, TASKS_OBSERVE, TASKS_OFF };
enum dialect_choice { DIALECT_CHOICE_AUTO, DIALECT_CHOICE_OPENAI, DIALECT_CHOICE_OLLAMA };
enum scope_rule { SCOPE_AUTO, SCOPE_USER, SCOPE_AUTH, SCOPE_SHARED };
enum yield_rule { YIELD_AUTO, YIELD_ALWAYS, YIELD_WHEN_FULL, YIELD_NEVER };
enum rewarm_rule { REWARM_OFF, REWARM_ON, REWARM_AUTO };
enum obsolete_rule { OBSOLETE_EMPTY, OBSOLETE_KEEP };
enum think_rule { THINK_AUTO, THINK_AS_ASKED, THINK_OFF, THINK_ON };
/* keep_alive, num_ctx: as the last chat had it, as the request has it, or a value */
enum match_rule { MATCH_CHAT, MATCH_AS_ASKED, MATCH_VALUE };
/* how a task is asked that belongs to a conversation; the kinds that have no such key: as asked */
enum prefix_rule { PREFIX_AS_ASKED, PREFIX_AUTO, PREFIX_CHAT };
enum durability { DURABILITY_GROUP, DURABILITY_OS };

/* debounce, deadline: a fixed time in us, or one of these */
enum { WINDOW_OFF = 0, WINDOW_AUTO = -1 };
enum { SLOTS_AUTO = -1, UNSET = -1 };

struct server_settings {
    struct strings listen; /* "127.0.0.1:11435", "[::]:11435", "unix:/path" */
    char *control;         /* path of the control socket */
    int control_mode;      /* permission bits */
    char *control_group;   /* "" = none */
    bool control_private;
    struct strings metrics_listen; /* as listen; empty: none */
    char *data_dir;
    enum log_level log_level;
    enum log_format log_format;
    char *default_upstream; /* "" = by rule; use settings.default_upstream */
    char *client_token;     /* "" = none */
    struct strings hosts;
    int64_t max_connections;
    int64_t max_task_body, max_body /* 0 = none */, max_buffered; /* bytes */
    usec_t header_timeout, body_timeout, send_timeout, idle_timeout, drain_timeout;
    char *task_header, *user_header, *chat_header; /* "-" = none */
};

struct upstream_settings {
    char *name;
    unsigned server; /* number of its record, by servers_bind() (path/server/server.h); 0: none */
    unsigned access; /* which key, proxy and ca_file of that record these are, by the same */
    char *url;
    enum dialect_choice dialect;
    char *api_key; /* "" = none; already read from api_key_file where that was given */
    char *api_key_file;
    char *ca_file;
    usec_t connect_timeout, first_byte_timeout, stall_timeout, answer_timeout, keepalive;
    int64_t slots; /* SLOTS_AUTO or a number; 0: not counted */
    char *machine; /* never "" once it is built: the host, "localhost", or as set */
    bool one_model;
    usec_t swap_after;
    enum rewarm_rule rewarm;
    char *proxy;       /* "" = none */
    char *task_header; /* lines "Name: value\r\n", sent with tasks; "" = none */
    int64_t breaker_failures;
    usec_t breaker_open;
    double price_in, price_out; /* money for a million tokens */
    /* derived from url: */
    bool tls;
    char *origin;      /* "http://127.0.0.1:11434": what curl is given, no path */
    char *host;        /* value of the Host header */
    char *base_path;   /* "" or "/base": no slash at the end, no "/v1" at the end */
    bool below_v1;     /* the url ends in "/v1", or has no path: OpenAI's paths begin with "/v1" */
    char *unix_socket; /* "" = TCP */
};

/* What holds for one kind: [task KIND] over [tasks] over the kind's own defaults. */
struct kind_policy {
    char *name;
    enum kind_class cls;
    bool builtin;
    bool enabled;
    char *upstream;     /* "" = the one addressed */
    int upstream_index; /* into settings.upstreams; -1 = the one addressed */
    char *model;        /* "" = as asked */
    char *fallback;     /* "" = none */
    int fallback_index; /* into settings.upstreams; -1 = none */
    usec_t stale_if_error;
    bool cache;
    usec_t ttl;
    enum scope_rule scope;
    enum yield_rule yield;
    usec_t max_hold; /* then a task runs beside the chat, a completion is answered empty */
    usec_t settle;
    int64_t max_requeue, priority, queue;
    usec_t first_turn_wait;      /* title only */
    enum obsolete_rule obsolete; /* follow_up only */
    usec_t debounce;             /* class COMPLETION only: WINDOW_OFF, WINDOW_AUTO or a time */
    usec_t deadline;             /* the same */
    usec_t max_expected;         /* class COMPLETION only; 0: no limit */
    int64_t max_tokens;          /* UNSET: as asked */
    char *temperature;           /* a number as written; "" = as asked */
    enum think_rule think;
    bool json_schema;
    enum match_rule keep_alive, num_ctx;
    char *keep_alive_value, *num_ctx_value; /* of MATCH_VALUE, as JSON; else NULL */
    int64_t id_slot;                        /* UNSET: none */
    char *extra; /* a JSON object of members to set, null removes one; "" = none */
    int64_t retry_shape;
    enum prefix_rule prefix;
    char *match;        /* beginning of the prompt; "" = none (built-ins: only their own texts) */
    char *system_match; /* beginning of the system message; "" = none */
    char *answer;       /* content of the harmless answer; NULL = none */
    enum kind_shape shape;
    char *shape_member; /* "" = none */
};

struct cache_settings {
    int64_t max_size; /* bytes */
    enum durability durability;
    bool keep_requests;
    bool type_through;
    int64_t type_through_entries;
};

struct settings {
    struct server_settings server;
    enum tasks_mode mode;
    struct upstream_settings *upstreams;
    size_t upstream_count;
    int default_upstream;      /* index */
    struct kind_policy *kinds; /* built-ins first, by kind_id; then own kinds */
    size_t kind_count;
    struct cache_settings cache;
    /* SHA-256 prefix over all values that decide an answer (kinds, upstream names and urls): part
     * of every level-1 key, so that exact records made under other values are not found. */
    uint8_t policy_digest[16];
    int refs; /* private */
};

/* References. The last unref frees it and everything in it. */
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s); /* NULL is fine */

/* Whether a header of that name may hold a key, by the words in it. */
bool settings_is_key_header(struct span name);
/* Index of the upstream of that name; -1 if there is none. */
int settings_find_upstream(const struct settings *s, struct span name);
/* Id of the kind of that name (built-in or own); KIND_NONE if there is none. */
int settings_find_kind(const struct settings *s, struct span name);

#endif
