/* The request log: one JSON line a request, for troubleshooting. A worker gathers its lines and hands them to the
 * sink's writer thread in batches, so that no request waits for a disk; what a slow disk cannot take is dropped and
 * counted. What must not be lost is in the audit log (log.h). */
#ifndef SLUICE_AUDIT_REQUEST_LOG_H
#define SLUICE_AUDIT_REQUEST_LOG_H

#include "audit/record.h"
#include "drivers/loop.h"

/* Where lines go: a thread that writes what workers hand over. `path`: "stdout", or a file that is appended to (mode
 * 0600). */
struct request_sink;
enum status request_sink_create(const char *path, struct request_sink **sink, struct failure *failure) MUST_CHECK;
/* Writes what is left. Every log must be gone. NULL is allowed. */
void request_sink_destroy(struct request_sink *sink);
/* Lines that had to be dropped because the disk could not follow, or failed. */
uint64_t request_sink_dropped(const struct request_sink *sink);

/* A worker's part. */
struct request_log;
struct request_log *
request_log_create(struct loop *loop,
                   struct request_sink *sink); /* sink NULL: lines are dropped. NULL: out of memory */
void request_log_destroy(struct request_log *log);
/* False: what it is told goes nowhere. */
bool request_log_is_kept(const struct request_log *log);
/* Formats now, hands over within 20 ms. */
void request_log_record(struct request_log *log, const struct audit_record *record);

#endif
