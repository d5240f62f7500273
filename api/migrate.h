/* What `sluice migrate` does: brings the database's schema up to date, over a session of its owner. */
#ifndef SLUICE_API_MIGRATE_H
#define SLUICE_API_MIGRATE_H

#include <stdio.h>

#include "api/config.h"
#include "drivers/postgres_session.h"

/* Blocks. Each migration that was not made yet is one transaction, and is said on `out`; then the passwords of the
 * reader and of the writer are set. */
enum status migrate_run(const struct config *config, struct postgres_session *session, FILE *out,
                        struct failure *failure) MUST_CHECK;

#endif
