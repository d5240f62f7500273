/* The control thread: the admin listener (health, readiness, metrics), the versions of datasets, and the keys that
 * tokens may be signed with. Nothing of a request waits for it. */
#ifndef SLUICE_API_CONTROL_H
#define SLUICE_API_CONTROL_H

#include "api/server.h"

/* Adds the keys to server->settings, which are its own from here on; binds the admin listener and starts the thread:
 * health is told from here on, while the server may still be waiting for its database. */
enum status control_create(struct server *server, struct control **control, struct failure *failure) MUST_CHECK;
/* Makes server->versions, on the control thread, which this waits for. The first poll is made with `session`. */
enum status control_watch_versions(struct control *control, struct postgres_session *session,
                                   struct failure *failure) MUST_CHECK;
/* The main thread, which waits for it: makes the settings of a configuration (taken over in every case), with their
 * keys; the reference is the caller's. STATUS_INVALID, or another: what is wrong. */
enum status control_read_settings(struct control *control, struct config *config, struct settings **settings,
                                  struct failure *failure) MUST_CHECK;
/* The same: they are the current ones from here on. Takes the reference over. */
void control_take_settings(struct control *control, struct settings *settings);
/* The main thread: what /readyz would say. */
bool control_is_ready(struct control *control);
/* Any thread: the gateway serves, so the admin listener accepts, if another process had told of itself until now. */
void control_serve(struct control *control);
/* Any thread: another process serves on the same socket now; closes it. */
void control_leave(struct control *control);
/* Ends the thread; after the workers, so that readiness is told until the end. */
void control_stop(struct control *control);
void control_destroy(struct control *control);

#endif
