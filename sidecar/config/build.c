/* build.c: from assignments to settings: for every option of every section the last assignment or
 * the default is read into its field; then the rules that concern more than one value are checked.
 */
#include "config/config_priv.h"

#include "lull/base/listen_address.h"
#include "lull/base/os.h"

#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VALUE_NAME_MAX = 192, PATH_TEXT_MAX = 4096, CA_FILE_MAX = 16 * 1024 * 1024 };

/* data_dir where it is not set: the service manager's directory; else the system's for root, and
 * the XDG one for other users. */
static void default_data_dir(char *out, size_t size)
{
    const char *given = os_service_directory("STATE_DIRECTORY");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (given != NULL) {
        snprintf(out, size, "%s", given);
    } else if (geteuid() == 0) {
        snprintf(out, size, "/var/lib/lull");
    } else if (state != NULL && state[0] == '/') {
        snprintf(out, size, "%s/lull", state);
    } else {
        snprintf(out, size, "%s/.local/state/lull",
                 home != NULL && home[0] == '/' ? home : "/nonexistent");
    }
}

void build_default_path(const struct option *o, char *out, size_t size)
{
    if (strcmp(o->key, "control") == 0) {
        os_default_control(out, size);
    } else {
        default_data_dir(out, size);
    }
}

static void build_section(struct config *c, struct assignments *r, enum section section,
                          const char *name, void *base)
{
    char prefix[VALUE_NAME_MAX];
    snprintf(prefix, sizeof prefix, "%s%s%s", section_word(section), name[0] != '\0' ? "." : "",
             name);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        bool here = section_has(section, o) && !o->absent &&
                    (section != SECTION_TASKS || o->section == OPTION_TASKS);
        if (!here) {
            continue;
        }
        char path[PATH_TEXT_MAX];
        const char *def = o->def;
        if (strcmp(def, "@") == 0) {
            build_default_path(o, path, sizeof path);
            def = path;
        }
        value_add(c, r, prefix, o, assignments_find(r, section, name, o), def, base);
    }
}

/* metrics_listen and listen must not have an address in common. */
static void check_metrics(const struct server_settings *s, struct assignments *r)
{
    const struct assignment *a = assignments_find_key(r, SECTION_SERVER, "", "metrics_listen");
    struct buf why = {.max = 1024};
    if (a != NULL && address_lists_collide(&s->listen, &s->metrics_listen, &why)) {
        report_error(r, a, "metrics_listen: %.*s", (int)why.len, why.data);
    }
    buf_free(&why);
}

/* The control socket's file cannot be an address of listen as well. */
static void check_control(const struct server_settings *s, struct assignments *r)
{
    const struct assignment *listen = assignments_find_key(r, SECTION_SERVER, "", "listen");
    for (size_t i = 0; s->control != NULL && i < s->listen.count; i++) {
        struct listen_address a;
        if (listen_address_parse(s->listen.items[i], &a) &&
            listen_address_has_path(&a, s->control)) {
            report_error(r, listen, "listen: %.150s is the control socket", s->listen.items[i]);
        }
    }
}

static void fit_connections(struct server_settings *s, struct assignments *r)
{
    const struct assignment *a = assignments_find_key(r, SECTION_SERVER, "", "max_connections");
    if (r->most_connections > 0 && s->max_connections > r->most_connections) {
        report_warning(
            r, a,
            "max_connections: lowered from %lld to %lld: the limit of descriptors allows "
            "no more",
            (long long)s->max_connections, (long long)r->most_connections);
        s->max_connections = r->most_connections;
    }
}

static void check_server(struct settings *s, struct assignments *r)
{
    check_control(&s->server, r);
    check_metrics(&s->server, r);
    fit_connections(&s->server, r);
    const struct assignment *a = assignments_find_key(r, SECTION_SERVER, "", "control_group");
    if (s->server.control_group != NULL && s->server.control_group[0] != '\0' &&
        getgrnam(s->server.control_group) == NULL) {
        report_error(r, a, "control_group: there is no group '%.64s'", s->server.control_group);
    }
    a = assignments_find_key(r, SECTION_SERVER, "", "max_task_body");
    if (s->server.max_body > 0 && s->server.max_task_body > s->server.max_body && a != NULL) {
        report_error(r, a, "max_task_body: larger than max_body");
    }
}

/* ---- upstreams ---- */

static void load_key(struct upstream_settings *u, struct assignments *r)
{
    const struct assignment *a = assignments_find_key(r, SECTION_UPSTREAM, u->name, "api_key_file");
    struct buf text = {.max = 65536};
    struct buf why = {.max = 1024};
    if (a == NULL || u->api_key_file == NULL || u->api_key_file[0] == '\0') {
        return;
    }
    if (u->api_key != NULL && u->api_key[0] != '\0') {
        report_error(r, a, "api_key_file: api_key is set too; give one of them");
    } else if (read_kept_file(r, a->source, a->place, "api_key_file", u->api_key_file, &text)) {
        struct span key = span_trim(buf_span(&text));
        if (key.len == 0) {
            report_error(r, a, "api_key_file: %.200s is empty", u->api_key_file);
        }
        char *owned = mem_strndup(key.len > 0 ? key.ptr : "", key.len);
        free(u->api_key);
        u->api_key = NULL;
        if (!value_read(option_find(SECTION_UPSTREAM, SPAN("api_key")), owned, u, &why)) {
            report_error(r, a, "api_key_file: %.*s", (int)why.len, why.data);
        }
        free(owned);
    }
    buf_free(&text);
    buf_free(&why);
}

/* Whether that was checked when r->same was read. */
static bool has_same_certificates(const struct upstream_settings *u, const struct assignments *r)
{
    int i = r->same == NULL ? -1 : settings_find_upstream(r->same->settings, span_of(u->name));
    const char *was = i < 0 ? NULL : r->same->settings->upstreams[i].ca_file;
    return was != NULL && strcmp(was, u->ca_file) == 0;
}

/* A file without a certificate would fail every call. */
static void check_certificates(const struct upstream_settings *u, const struct assignment *ca,
                               struct assignments *r)
{
    struct buf text = {.max = CA_FILE_MAX};
    if (read_whole_file(r, ca->source, ca->place, "ca_file", u->ca_file, &text) &&
        span_find(buf_span(&text), SPAN("CERTIFICATE-----"), 0) == SIZE_MAX) {
        report_error(r, ca, "ca_file: %.200s has no certificate in PEM form", u->ca_file);
    }
    buf_free(&text);
}

static void check_upstream(struct upstream_settings *u, struct assignments *r)
{
    const struct assignment *url = assignments_find_key(r, SECTION_UPSTREAM, u->name, "url");
    const struct assignment *ca = assignments_find_key(r, SECTION_UPSTREAM, u->name, "ca_file");
    struct buf why = {.max = 1024};
    if (url == NULL) {
        const struct assignment *head = assignments_find(r, SECTION_UPSTREAM, u->name, NULL);
        if (!r->unread) {
            report_error(r, head, "[upstream %s] needs its url", u->name);
        }
    } else if (u->url != NULL && !url_split(u, &why)) {
        report_error(r, url, "url: %.*s", (int)why.len, why.data);
    } else if (u->url != NULL && url_is_doubtful(u, &why)) {
        report_warning(r, url, "url: %.*s", (int)why.len, why.data);
    }
    if (ca != NULL && u->ca_file != NULL && u->ca_file[0] != '\0' && !has_same_certificates(u, r)) {
        check_certificates(u, ca, r);
    }
    load_key(u, r);
    buf_free(&why);
}

static struct upstream_settings *add_upstream(struct settings *s, const char *name)
{
    size_t size = (s->upstream_count + 1) * sizeof *s->upstreams;
    s->upstreams = mem_have(realloc(s->upstreams, size));
    struct upstream_settings *u = &s->upstreams[s->upstream_count++];
    *u = (struct upstream_settings){.name = mem_strdup(name)};
    return u;
}

static void build_upstreams(struct config *c, struct assignments *r)
{
    struct settings *s = c->settings;
    for (size_t i = 0; i < r->count; i++) {
        const struct assignment *a = &r->items[i];
        if (a->section == SECTION_UPSTREAM && settings_find_upstream(s, span_of(a->name)) < 0) {
            struct upstream_settings *u = add_upstream(s, a->name);
            build_section(c, r, SECTION_UPSTREAM, u->name, u);
            check_upstream(u, r);
        }
    }
}

static void report_no_default(const struct settings *s, struct assignments *r)
{
    struct buf names = {.max = 512};
    for (size_t i = 0; i < s->upstream_count; i++) {
        buf_text(&names, "%s%s", i > 0 ? ", " : "", s->upstreams[i].name);
    }
    report_error(r, NULL,
                 "several upstreams (%.*s) and none is called default: set [server] "
                 "default_upstream to one of them",
                 (int)names.len, names.data);
    buf_free(&names);
}

static void choose_default(struct settings *s, struct assignments *r)
{
    const char *name = s->server.default_upstream;
    const struct assignment *a = assignments_find_key(r, SECTION_SERVER, "", "default_upstream");
    s->default_upstream = settings_find_upstream(s, SPAN("default"));
    if (s->upstream_count == 0 && r->unread) {
        return;
    }
    if (s->upstream_count == 0) {
        report_error(r, NULL,
                     "no model server: give --upstream http://127.0.0.1:11434, or an "
                     "[upstream NAME] section with its url%s%s",
                     r->missing != NULL ? "; there is no " : "",
                     r->missing != NULL ? r->missing : "");
    } else if (name != NULL && name[0] != '\0') {
        s->default_upstream = settings_find_upstream(s, span_of(name));
        if (s->default_upstream < 0) {
            report_error(r, a, "default_upstream: there is no [upstream %.64s]", name);
        }
    } else if (s->upstream_count == 1) {
        s->default_upstream = 0;
    } else if (s->default_upstream < 0) {
        report_no_default(s, r);
    }
}

static void check_own_listener(const struct settings *s, struct assignments *r)
{
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        const char *own = u->origin == NULL ? NULL : own_listener_of(u, &s->server.listen);
        if (own != NULL) {
            report_error(
                r, assignments_find_key(r, SECTION_UPSTREAM, u->name, "url"),
                "url: lulld listens there itself (listen = %.128s); give the address of the "
                "model server",
                own);
        }
    }
}

void build_settings(struct config *c, struct assignments *r)
{
    struct settings *s = c->settings;
    build_section(c, r, SECTION_SERVER, "", &s->server);
    build_section(c, r, SECTION_CACHE, "", &s->cache);
    build_upstreams(c, r);
    build_section(c, r, SECTION_TASKS, "", s);
    policies_build(c, r);
    check_server(s, r);
    check_own_listener(s, r);
    choose_default(s, r);
}
