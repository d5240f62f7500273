/* POST /revocations on the admin listener. */
#ifndef SLUICE_API_CONTROL_REVOCATIONS_H
#define SLUICE_API_CONTROL_REVOCATIONS_H

#include <h2o.h>

#include "api/config.h"
#include "drivers/postgres.h"

struct control_revocations {
    const struct config *config;
    struct postgres *pool; /* NULL: the database was not reached yet */
    void (*on_written)(void *context);
    void *context;
};
/* `revocations` must outlive the host. On the thread of its pool's loop. */
void control_revocations_register(h2o_hostconf_t *host, struct control_revocations *revocations);

#endif
