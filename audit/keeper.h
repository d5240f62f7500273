/* The thread that looks after the log while the gateway serves: compresses closed segments, deletes old ones by the
 * retention rule (and writes down in a chain of its own that it did), anchors the heads of the chains outside, ships
 * records into the database, and carries out erasures that were asked for there. Never in a request's way: when the
 * database is away it waits and goes on where it was. */
#ifndef SLUICE_AUDIT_KEEPER_H
#define SLUICE_AUDIT_KEEPER_H

#include "audit/log.h"
#include "audit/subjects.h"
#include "drivers/postgres_session.h"

struct keeper;
struct keeper_options {
    const struct audit_options *audit; /* borrowed, as all here */
    struct audit_log *const *logs;     /* of the workers */
    size_t log_count;
    uint32_t keep_days;                 /* of a closed segment; 0: for ever */
    uint64_t keep_bytes;                /* of all closed segments but keepers'; the oldest go first; 0: no bound */
    uint32_t anchor_ms;                 /* between two anchors; 0: none */
    const char *anchor_file;            /* a second place: a line an anchor, appended; NULL: none */
    const struct postgres_login *login; /* NULL: the database gets neither anchors nor records */
    bool ship;                          /* records into sluice.audit_entry */
    uint32_t ship_days;                 /* kept there; 0: for ever */
};
enum status keeper_create(const struct keeper_options *options, struct keeper **keeper,
                          struct failure *failure) MUST_CHECK;
/* A last anchor, "end" of its chain. Before the workers' logs are closed. NULL is allowed. */
void keeper_destroy(struct keeper *keeper);
struct keeper_statistics {
    uint64_t compressed, deleted, shipped, anchors, failures;
    uint64_t ship_lag;      /* records of the chains being written that are not shipped */
    int64_t last_anchor_us; /* wall clock; 0: never */
};
/* Any thread. */
struct keeper_statistics keeper_statistics(struct keeper *keeper);

#endif
