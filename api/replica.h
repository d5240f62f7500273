/* Standbys of the database that scans may be read from while it is known how far they are behind. The control thread
 * finds that out (api/replica_poll.h); workers read it without a lock. */
#ifndef SLUICE_API_REPLICA_H
#define SLUICE_API_REPLICA_H

#include <stdatomic.h>

#include "api/config.h"
#include "drivers/postgres_session.h"
#include "query/plan.h"

#define REPLICAS_MAX POSTGRES_HOSTS_MAX

struct worker;
struct request;

struct replica {
    struct postgres_login login; /* borrows from `resolved`, the configuration and the password */
    struct postgres_resolved resolved;
    char host[256], name[264];     /* as configured; and with its port, for messages and metrics */
    atomic_uint_fast64_t fresh_ms; /* all that was committed before (monotonic clock) can be read there; 0: not known */
    atomic_uint_fast64_t lag_ms;   /* as measured, or REPLICA_LAG_UNKNOWN */
};

struct replicas {
    uint32_t max_lag_ms;
    size_t count;
    struct replica items[REPLICAS_MAX];
};

/* NULL in *replicas: none are configured, or no name of them can be resolved, which was logged. Borrows `password`. */
enum status replicas_create(const struct config *config, const struct buffer *password, struct replicas **replicas,
                            struct failure *failure) MUST_CHECK;
void replicas_destroy(struct replicas *replicas);
/* Its fresh_ms, or 0 when that is further back than max_lag. Any thread. */
uint64_t replicas_fresh_ms(const struct replicas *replicas, size_t place);
/* Plans a scan for the usable standby with the least to do, if there is one that may answer it (rules_may_lag): its
 * answer is labelled with `version` (0: none), which was seen at `version_seen_ms`. */
void replicas_take(struct request *request, uint64_t version, uint64_t version_seen_ms);
/* Whether what request->plan was promised of its standby still holds: the same or newer rows are there now. True where
 * none is read from. */
bool replicas_still_hold(const struct request *request);
/* Samples of /metrics. */
void replicas_append_metrics(const struct replicas *replicas, struct buffer *out);

#endif
