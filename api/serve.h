/* `sluice serve`: a process from its start to its end. */
#ifndef SLUICE_API_SERVE_H
#define SLUICE_API_SERVE_H

#include "api/handler.h"

struct config;
/* Serves until SIGTERM or SIGINT; the exit status. SIGHUP reloads, SIGUSR2 starts `arguments` anew in its place. The
 * configuration is the caller's. */
int serve_run(const struct config *config, char *const *arguments, const struct handler *const *handlers,
              size_t handler_count);

#endif
