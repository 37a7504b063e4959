/* daemon.h: makes every part in order, runs, destroys them in reverse.
 */
#ifndef LULL_APP_DAEMON_H
#define LULL_APP_DAEMON_H

#include "lull/config/config.h"

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Reads the configuration and runs until a signal or POST /drain stops it. sources stays the
 * caller's and is read again for each reload. Returns the exit status; what is wrong with the
 * configuration is on standard error. */
int daemon_run(struct config_sources *sources);

/* Parses the command line; answers --help, --version, --check and the like itself. Returns -1 when
 * the daemon is to be run with *sources (filled; freed with args_free), else an exit status. */
int args_parse(int argc, char **argv, struct config_sources *sources);
void args_free(struct config_sources *sources);

#endif
