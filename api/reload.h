/* SIGHUP: the configuration is read anew and taken over as a whole, or not at all. */
#ifndef SLUICE_API_RELOAD_H
#define SLUICE_API_RELOAD_H

#include "api/server.h"

/* Returns when every worker begins its requests under the new configuration, or when the log has said why none does.
 * The main thread; the server serves. */
void reload_config(struct server *server);

#endif
