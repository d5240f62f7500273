/* What the admin listener tells of a gateway. On the control thread. */
#ifndef SLUICE_API_CONTROL_TELL_H
#define SLUICE_API_CONTROL_TELL_H

#include "api/server.h"

/* Each appends an answer's body; *status stays what it is, or becomes 503. */
void control_tell_health(struct server *server, struct buffer *out, int *status);
void control_tell_readiness(struct server *server, struct buffer *out, int *status);
void control_tell_metrics(struct server *server, struct buffer *out, int *status);

#endif
