/* One record a request: who asked for what, from where, and what came of it; one JSON object a line (see audit_append
 * for the fields). A worker gathers its records and hands them to the sink's writer thread in batches, so that no
 * request waits for a disk. Names no secret: a token is present only as its subject and jti. */
#ifndef SLUICE_AUDIT_RECORD_H
#define SLUICE_AUDIT_RECORD_H

#include "base/buffer.h"
#include "drivers/loop.h"

struct audit_record {
    int64_t time_us; /* of arrival, since the epoch */
    uint64_t duration_us;
    struct text request_id, trace_id, span_id;
    struct text method;
    struct text path;                          /* raw, with query; cut to 2 KB */
    struct text address;                       /* of the caller, behind trusted proxies */
    struct text operation;                     /* TEXT_NONE: none was found */
    struct text customer, subject, token_id;   /* TEXT_NONE: not authenticated */
    struct text target, lane, relation, cache; /* of the plan; TEXT_NONE: none */
    struct text reason;                        /* of a denial or failure: the problem's name */
    int status;                                /* 0: the client left before an answer began */
    uint64_t rows, bytes, database_us;
    bool complete; /* the whole answer was handed to the kernel */
};

/* Appends the record as one line with LF; fields without a value are left out. */
void audit_append(struct buffer *out, const struct audit_record *record);

/* Where records go: a thread that writes what workers hand over. `path`: "stdout", or a file that is appended to (mode
 * 0600). */
struct audit_sink;
enum status audit_sink_create(const char *path, struct audit_sink **sink, struct failure *failure) MUST_CHECK;
/* Writes what is left. Every log must be gone. NULL is allowed. */
void audit_sink_destroy(struct audit_sink *sink);
/* Lines that had to be dropped because the disk could not follow, or failed. */
uint64_t audit_sink_dropped(const struct audit_sink *sink);

/* A worker's part. */
struct audit_log;
struct audit_log *audit_log_create(struct loop *loop,
                                   struct audit_sink *sink); /* sink NULL: records are dropped. NULL: out of memory */
void audit_log_destroy(struct audit_log *log);
/* Formats now, hands over within 20 ms. */
void audit_log_record(struct audit_log *log, const struct audit_record *record);

#endif
