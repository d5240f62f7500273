/* What /metrics tells: rate, errors and duration of each operation, counted by the worker that served it; nothing is
 * shared on the way. A worker publishes a copy twice a second (worker.h), and only the copy is read by others. */
#ifndef SLUICE_API_METRICS_H
#define SLUICE_API_METRICS_H

#include "api/customers.h"
#include "auth/tokens.h"
#include "base/buffer.h"
#include "cache/cache.h"
#include "drivers/postgres.h"
#include "limit/limiter.h"
#include "openapi/openapi.h"
#include "query/datasets.h"

#define METRICS_BUCKETS 14
#define METRICS_MAX_OPERATIONS 64 /* the last one counts what found no operation */
#define METRICS_CLASSES 6         /* by status / 100; 0: the client left before an answer began */

/* Upper bounds in microseconds of the duration histogram; one more bucket has none. */
extern const uint32_t metrics_bounds_us[METRICS_BUCKETS];

struct metrics_operation {
    uint64_t answers[METRICS_CLASSES];
    uint64_t buckets[METRICS_BUCKETS + 1];
    uint64_t duration_us; /* sum */
    uint64_t bytes;       /* of bodies, sum */
};

struct metrics_audit { /* of the audit log's chains */
    uint64_t records, bytes, writes, syncs, dropped, failures;
};

struct metrics {
    struct metrics_operation operations[METRICS_MAX_OPERATIONS + 1];
    size_t connections, requests; /* open now, in flight now */
    uint64_t slow_readers_cut, bodies_cut, connections_refused, clients_gone, streams_failed;
    uint64_t tasks_abandoned; /* their clients had left before they ended */
    bool fast_up, scan_up, redis_configured, redis_up;
    struct postgres_statistics fast, scan, replica;
    bool replica_configured;
    uint64_t replica_retries; /* reads that failed on a standby and were asked of the primary */
    struct customers_statistics customers;
    struct redis_statistics redis;
    struct cache_statistics cache, answers;
    struct datasets_statistics datasets;
    struct limiter_statistics limiter;
    struct tokens_statistics tokens;
    struct metrics_audit audit;
    bool audit_configured, audit_failing, audit_refusing; /* ORed: one worker is enough */
};

/* `operation` is its index, or SIZE_MAX for none. `status` 0: no answer was begun. */
void metrics_count(struct metrics *metrics, size_t operation, int status, uint64_t duration_us, uint64_t bytes);
/* Adds `other` to `sum`; up flags are ANDed: a dependency is up when every worker reaches it. */
void metrics_add(struct metrics *sum, const struct metrics *other);
void metrics_add_lane(struct postgres_statistics *sum, const struct postgres_statistics *other);
/* Prometheus text exposition format 0.0.4. */
void metrics_append(struct buffer *out, const struct metrics *sum, const struct openapi *contract);

#endif
