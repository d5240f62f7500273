/* Asks the database twice a second what has been revoked since, and keeps the store. On the control thread. */
#ifndef SLUICE_API_REVOCATION_POLL_H
#define SLUICE_API_REVOCATION_POLL_H

#include "auth/revocations.h"
#include "drivers/postgres_session.h"

struct revocation_poll;
/* `pool`: a pipelined pool on `loop`. The first time all is asked with `session`, waiting. */
enum status revocation_poll_create(struct loop *loop, struct postgres *pool, struct postgres_session *session,
                                   struct revocations_store *store, struct revocation_poll **poll,
                                   struct failure *failure) MUST_CHECK;
void revocation_poll_destroy(struct revocation_poll *poll);
/* Asks now: something has been written. */
void revocation_poll_now(struct revocation_poll *poll);

#endif
