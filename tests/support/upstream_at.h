/* upstream_at.h: the settings of one model server as a configuration with an address alone would leave
 * them: every text is set.
 */
#ifndef TESTS_SUPPORT_UPSTREAM_AT_H
#define TESTS_SUPPORT_UPSTREAM_AT_H

#include "lull/config/settings.h"

/* origin: "http://HOST", with a port where it has one. unix_socket: the path of its socket; empty: TCP.
 * The texts stay the caller's. No timeout but that of the connection is set. */
static inline struct upstream_settings upstream_at(char *origin, char *host, char *unix_socket)
{
    static char name[] = "default", empty[] = "";
    return (struct upstream_settings){.name = name,
                                      .url = origin,
                                      .origin = origin,
                                      .host = host,
                                      .base_path = empty,
                                      .unix_socket = unix_socket,
                                      .api_key = empty,
                                      .api_key_file = empty,
                                      .ca_file = empty,
                                      .proxy = empty,
                                      .task_header = empty,
                                      .machine = host,
                                      .connect_timeout = 5 * USEC_PER_S,
                                      .keepalive = 4 * USEC_PER_S};
}

#endif
