/* command_line.c: the options of lullctl, and its --help. */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>

static const char USAGE[] =
    "usage: lullctl [--socket PATH] [--json] VERB\n"
    "\n"
    "  stats                  what lulld has done\n"
    "  top                    a live screen: servers, tasks, kinds, the last exchanges\n"
    "  tail [--kind KIND] [--outcome OUTCOME] [--slow 1s]\n"
    "                         finished exchanges as they end, one a line\n"
    "  report [--days 35] [--by user] [--csv]\n"
    "                         savings per day and kind, or per user\n"
    "  flights                what runs and waits now, and why\n"
    "  doctor                 what is wrong with the set-up, worst first, and what to change\n"
    "  health                 whether it is alive and ready\n"
    "  ls [CONDITION...]      answers in the cache, newest first\n"
    "  get ID                 one of them, with its request\n"
    "  rm ID...               remove them\n"
    "  purge CONDITION...     remove all that match\n"
    "  explain [--all] FILE|- [PATH] [HEADER...]\n"
    "                         what would be done with a request; of a miss the nearest\n"
    "                         stored request, and what differs; --all: with every value\n"
    "  explain --last-miss KIND\n"
    "                         the same of the last missed request of a kind\n"
    "  compare --kind KIND --model MODEL[@UPSTREAM]... [--last 50] [--show]\n"
    "                         try models on the stored requests of a kind; asks for\n"
    "                         --yes-send-stored-requests before they leave their upstream\n"
    "  compare --prefix --kind KIND [--last 50]\n"
    "                         ask them as they came and behind their conversations, where held\n"
    "  config [--changed]     every value and where it came from; --changed: only what was set "
    "live\n"
    "  set SECTION.KEY=VALUE...\n"
    "                         change values at once, all or none; not written to the file\n"
    "  pause [60s], resume    answer background tasks empty for a while; end that\n"
    "  completion SHELL       a completion script for bash, zsh or fish\n"
    "  reload                 read the configuration again\n"
    "  drain                  stop when everything open is done\n"
    "\n"
    "CONDITION: kind=title scope=... model=... older=7d, for ls also limit=50 after=...,\n"
    "for purge also all=yes.\n"
    "Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 no daemon.\n";

/* An option that only some verbs have. */
static void take_option(struct ctl *ctl, int o, const char *value)
{
    struct ctl_compare *c = &ctl->compare;
    switch (o) {
    case 'k':
        ctl->kind = value;
        ctl->given |= CTL_OPTION_KIND;
        return;
    case 'o':
        ctl->outcome = value;
        ctl->given |= CTL_OPTION_FILTER;
        return;
    case 'S':
        ctl->slow = value;
        ctl->given |= CTL_OPTION_FILTER;
        return;
    case 'c':
        ctl->given |= CTL_OPTION_CHANGED;
        return;
    case 'd':
        ctl->days = value;
        ctl->given |= CTL_OPTION_REPORT;
        return;
    case 'b':
        ctl->by = value;
        ctl->given |= CTL_OPTION_REPORT;
        return;
    case 'C':
        ctl->csv = true;
        ctl->given |= CTL_OPTION_REPORT;
        return;
    case 'M':
        ctl->last_miss = value;
        ctl->given |= CTL_OPTION_EXPLAIN;
        return;
    case 'a':
        ctl->all = true;
        ctl->given |= CTL_OPTION_EXPLAIN;
        return;
    case 'm':
        c->models[c->count] = value;
        c->count += c->count < CTL_MODELS ? 1 : 0;
        break;
    case 'l':
        c->last = value;
        break;
    case 'w':
        c->show = true;
        break;
    case 'p':
        c->prefix = true;
        break;
    default: /* y */
        c->yes = true;
        break;
    }
    ctl->given |= CTL_OPTION_COMPARE;
}

int command_line_parse(int argc, char **argv, struct ctl *ctl)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"kind", required_argument, NULL, 'k'},
                                            {"outcome", required_argument, NULL, 'o'},
                                            {"changed", no_argument, NULL, 'c'},
                                            {"slow", required_argument, NULL, 'S'},
                                            {"last-miss", required_argument, NULL, 'M'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"model", required_argument, NULL, 'm'},
                                            {"last", required_argument, NULL, 'l'},
                                            {"show", no_argument, NULL, 'w'},
                                            {"prefix", no_argument, NULL, 'p'},
                                            {"yes-send-stored-requests", no_argument, NULL, 'y'},
                                            {"days", required_argument, NULL, 'd'},
                                            {"by", required_argument, NULL, 'b'},
                                            {"csv", no_argument, NULL, 'C'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    for (int o = 0; (o = getopt_long(argc, argv, "s:jVh", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            ctl->socket = optarg;
            break;
        case 'j':
            ctl->json = true;
            break;
        case 'V':
            printf("lullctl " LULL_VERSION "\n");
            return CTL_DONE;
        case 'h':
            fputs(USAGE, stdout);
            return CTL_DONE;
        case '?':
            fputs("try lullctl --help\n", stderr); /* getopt_long() has said what is wrong */
            return CTL_USAGE;
        default:
            take_option(ctl, o, optarg);
        }
    }
    if (optind == argc) {
        fputs(USAGE, stderr);
        return CTL_USAGE;
    }
    ctl->verb = argv[optind];
    ctl->arguments = argv + optind + 1;
    return CTL_GO_ON;
}
