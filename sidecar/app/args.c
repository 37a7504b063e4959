/* args.c: the command line of lulld. Options that ask only for text (--help, --version, --check,
 * --print-config, --help-config) are answered here, without other side effects.
 */
#include "lull/app/daemon.h"

#include "app/app_priv.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

static const char DEFAULT_FILE[] = "/etc/lull/lull.conf";

static const char USAGE[] =
    "usage: lulld [-c FILE] [--listen ADDR]... [--upstream URL] [--data-dir DIR]\n"
    "             [--control PATH] [--set SECTION.KEY=VALUE]...\n"
    "       lulld -t | --check | --print-config | --help-config | --version | --help\n"
    "\n"
    "Stands between Open WebUI and a model server; keeps background calls from\n"
    "slowing down the chat. Stays in the foreground and logs to standard error.\n"
    "\n"
    "  -c FILE                  configuration file (default: /etc/lull/lull.conf, if there)\n"
    "      --listen ADDR        listen here (replaces the file's list); HOST:PORT or unix:/path\n"
    "      --upstream URL       the model server: http://127.0.0.1:11434\n"
    "      --data-dir DIR       where the cache is kept\n"
    "      --control PATH       the control socket\n"
    "      --set SECTION.KEY=VALUE\n"
    "                           any key: task.autocomplete.debounce=300ms\n"
    "  -t, --check              say everything that is wrong with the configuration\n"
    "      --print-config       every effective value and where it came from\n"
    "      --help-config        every key\n"
    "  -V, --version            -h, --help\n"
    "\n"
    "Exit status: 0 stopped when asked, 1 failed, 2 wrong usage or configuration.\n";

enum {
    ARG_LISTEN = 256,
    ARG_UPSTREAM,
    ARG_DATA_DIR,
    ARG_CONTROL,
    ARG_SET,
    ARG_PRINT,
    ARG_HELP_CONFIG
};

static const struct option OPTIONS[] = {
    {"config", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, ARG_LISTEN},
    {"upstream", required_argument, NULL, ARG_UPSTREAM},
    {"data-dir", required_argument, NULL, ARG_DATA_DIR},
    {"control", required_argument, NULL, ARG_CONTROL},
    {"set", required_argument, NULL, ARG_SET},
    {"check", no_argument, NULL, 't'},
    {"print-config", no_argument, NULL, ARG_PRINT},
    {"help-config", no_argument, NULL, ARG_HELP_CONFIG},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void strings_add(struct strings *list, char *item)
{
    char **items = mem_new((list->count + 1) * sizeof *items);
    for (size_t i = 0; i < list->count; i++) {
        items[i] = list->items[i];
    }
    items[list->count] = item;
    free(list->items);
    list->items = items;
    list->count++;
}

static int print_buf(const struct buf *b, FILE *to)
{
    if (b->len > 0) {
        fwrite(b->data, 1, b->len, to);
    }
    return fflush(to) == 0 && ferror(to) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}

static int help_config(void)
{
    struct buf out = {.max = 1024 * 1024};
    config_help(&out);
    int status = print_buf(&out, stdout);
    buf_free(&out);
    return status;
}

/* --check and --print-config. */
static int read_and_print(const struct config_sources *sources, bool check)
{
    struct buf errors = {.max = 1024 * 1024};
    struct buf warnings = {.max = 1024 * 1024};
    struct buf out = {.max = 1024 * 1024};
    struct config *config = config_read(sources, &errors, &warnings);
    (void)print_buf(&warnings, stderr);
    (void)print_buf(&errors, stderr);
    int status = config == NULL ? EXIT_USAGE : EXIT_STOPPED;
    if (config != NULL && !check) {
        config_print(config, &out);
        status = print_buf(&out, stdout);
    } else if (config != NULL) {
        status = app_check(config, sources->file);
    }
    config_destroy(config);
    buf_free(&errors);
    buf_free(&warnings);
    buf_free(&out);
    return status;
}

struct parsed {
    bool check, print;
    int status; /* >= 0: leave with it */
};

static void take_option(int option, struct config_sources *s, struct parsed *p)
{
    switch (option) {
    case 'c':
        s->file = optarg;
        s->file_optional = false;
        break;
    case ARG_LISTEN:
        strings_add(&s->listen, optarg);
        break;
    case ARG_UPSTREAM:
        s->upstream = optarg;
        break;
    case ARG_DATA_DIR:
        s->data_dir = optarg;
        break;
    case ARG_CONTROL:
        s->control = optarg;
        break;
    case ARG_SET:
        strings_add(&s->sets, optarg);
        break;
    case 't':
        p->check = true;
        break;
    case ARG_PRINT:
        p->print = true;
        break;
    case ARG_HELP_CONFIG:
        p->status = help_config();
        break;
    case 'V':
        printf("lulld " LULL_VERSION "\n");
        p->status = EXIT_STOPPED;
        break;
    case 'h':
        fputs(USAGE, stdout);
        p->status = EXIT_STOPPED;
        break;
    default:
        fputs("try lulld --help\n", stderr);
        p->status = EXIT_USAGE;
        break;
    }
}

int args_parse(int argc, char **argv, struct config_sources *sources)
{
    struct parsed parsed = {.status = -1};
    *sources = (struct config_sources){
        .file = DEFAULT_FILE, .file_optional = true, .environment = environ};
    while (parsed.status < 0) {
        int option = getopt_long(argc, argv, "c:tVh", OPTIONS, NULL);
        if (option < 0) {
            break;
        }
        take_option(option, sources, &parsed);
    }
    if (parsed.status < 0 && optind < argc) {
        fprintf(stderr, "lulld: unexpected argument '%s'; try lulld --help\n", argv[optind]);
        parsed.status = EXIT_USAGE;
    }
    if (parsed.status < 0 && (parsed.check || parsed.print)) {
        parsed.status = read_and_print(sources, parsed.check);
    }
    if (parsed.status == EXIT_STOPPED && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        parsed.status = EXIT_FAILED;
    }
    if (parsed.status == EXIT_FAILED) {
        fputs("lulld: the output cannot be written\n", stderr);
    }
    if (parsed.status >= 0) {
        args_free(sources);
    }
    return parsed.status;
}

void args_free(struct config_sources *sources)
{
    free(sources->listen.items);
    free(sources->sets.items);
    *sources = (struct config_sources){0};
}
