/* The versions of the serving views' base tables, from sluice.dataset_version: polled by the control thread, read by
 * all workers without a lock. */
#ifndef SLUICE_QUERY_VERSIONS_H
#define SLUICE_QUERY_VERSIONS_H

#include "drivers/postgres.h"
#include "query/catalog.h"

/* SQL: what is added to a counter, 0 as long as no standby was ever promoted. A standby that was behind when it was
 * promoted counts again from what it had: its numbers would then tell of other rows than before, to callers and caches
 * that had seen the lost ones. Each promotion begins a new timeline, and a version of a later timeline is higher than
 * any of an earlier one. (A standby tells the timeline of its last restart point.) */
#define VERSIONS_EPOCH                                                                                                 \
    "(((case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())"                          \
    " else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint end) - 1) << 40)"

struct versions;
/* `pool`: a pipelined pool on `loop` (the control thread's). The first poll is made with `session`, waiting. */
enum status versions_create(struct loop *loop, struct postgres *pool, struct postgres_session *session,
                            const struct catalog *catalog, uint32_t interval_ms, struct versions **versions,
                            struct failure *failure) MUST_CHECK;
void versions_destroy(struct versions *versions);
/* Any thread. The sum of the view's base tables' counters: it rises when any of them changes. 0 when one of them isn't
 * tracked. */
uint64_t versions_of(const struct versions *versions, const struct catalog_view *view);
/* Any thread; ask after the version. Milliseconds (monotonic clock): the version was the database's by then. */
uint64_t versions_seen_ms(const struct versions *versions, const struct catalog_view *view);
/* Any thread. Latest change of any base table, microseconds since the epoch; 0: not known. */
int64_t versions_changed_at(const struct versions *versions, const struct catalog_view *view);
/* Any thread. Milliseconds (monotonic clock) of the last successful poll. */
uint64_t versions_polled_at(const struct versions *versions);

#endif
