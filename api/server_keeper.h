/* The audit log's keeper (audit/keeper.h) as this process needs it: with the configuration's rules, the workers' logs
 * and the reader's login. */
#ifndef SLUICE_API_SERVER_KEEPER_H
#define SLUICE_API_SERVER_KEEPER_H

#include "audit/keeper.h"
#include "base/buffer.h"

struct server;
struct server_keeper;
/* The workers must be there. */
enum status server_keeper_create(struct server *server, struct server_keeper **keeper,
                                 struct failure *failure) MUST_CHECK;
/* Before the workers' logs are closed. NULL is allowed. */
void server_keeper_destroy(struct server_keeper *keeper);
/* sluice_audit_…, as Prometheus reads them. Any thread. */
void server_keeper_metrics(struct server_keeper *keeper, struct buffer *out);

#endif
