/* The control thread: the admin listener (health, readiness, metrics), the versions of datasets, and the keys that
 * tokens may be signed with. Nothing of a request waits for it. */
#ifndef SLUICE_API_CONTROL_H
#define SLUICE_API_CONTROL_H

#include "api/server.h"

/* Makes server->keys and server->versions (the first poll waits, with `session`) and binds the admin listener. */
enum status control_create(struct server *server, struct postgres_session *session, struct control **control,
                           struct failure *failure) MUST_CHECK;
enum status control_start(struct control *control, struct failure *failure) MUST_CHECK;
/* Ends the thread; after the workers, so that readiness is told until the end. */
void control_stop(struct control *control);
void control_destroy(struct control *control);

#endif
