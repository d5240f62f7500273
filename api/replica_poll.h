/* Asks the primary how far its log goes and each standby how far it has replayed it, four times a second, and keeps
 * what the workers read of it (api/replica.h). On the control thread. */
#ifndef SLUICE_API_REPLICA_POLL_H
#define SLUICE_API_REPLICA_POLL_H

#include "api/replica.h"

struct replica_poll;
/* `primary`: a pipelined pool on `loop`. *poll is NULL when `replicas` is. */
enum status replica_poll_create(struct loop *loop, struct postgres *primary, struct replicas *replicas,
                                struct replica_poll **poll, struct failure *failure) MUST_CHECK;
/* Its connections are closed, and no standby is usable any more; on the loop's thread, before destroy if that turned.
 */
void replica_poll_stop(struct replica_poll *poll);
void replica_poll_destroy(struct replica_poll *poll);

#endif
