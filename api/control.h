/* The control thread: the admin listener (health, readiness, metrics), the versions of datasets, and the keys that
 * tokens may be signed with. Nothing of a request waits for it. */
#ifndef SLUICE_API_CONTROL_H
#define SLUICE_API_CONTROL_H

#include "api/server.h"

/* Makes server->keys, binds the admin listener and starts the thread: health is told from here on, while the server may
 * still be waiting for its database. */
enum status control_create(struct server *server, struct control **control, struct failure *failure) MUST_CHECK;
/* Makes server->versions, on the control thread, which this waits for. The first poll is made with `session`. */
enum status control_watch_versions(struct control *control, struct postgres_session *session,
                                   struct failure *failure) MUST_CHECK;
/* Ends the thread; after the workers, so that readiness is told until the end. */
void control_stop(struct control *control);
void control_destroy(struct control *control);

#endif
