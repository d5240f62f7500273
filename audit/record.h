/* What is known of a request when it is written down: who asked for what, from where, and what came of it. Two logs
 * tell of it: the request log for troubleshooting (request_log.h), and the audit log (entry.h, log.h). Names no secret:
 * a token is present only as its subject and jti. */
#ifndef SLUICE_AUDIT_RECORD_H
#define SLUICE_AUDIT_RECORD_H

#include "base/buffer.h"

#define RECORD_SQL_SIZE 16 /* bytes of SHA-256 over a statement's text, values not included */

struct audit_record {
    int64_t time_us; /* of arrival, since the epoch */
    uint64_t duration_us;
    struct text request_id, trace_id, span_id;
    bool traced; /* trace_id is the caller's; else it begins with this request, whose id says as much */
    struct text method;
    struct text path;                          /* raw, with query */
    struct text address;                       /* of the caller, behind trusted proxies */
    struct text operation;                     /* TEXT_NONE: none was found */
    struct text customer, subject, token_id;   /* TEXT_NONE: not authenticated */
    struct text target, lane, relation, cache; /* of the plan; TEXT_NONE: none */
    uint64_t version;                          /* of what is read; 0: not known */
    unsigned char sql[RECORD_SQL_SIZE];
    bool has_sql;
    struct text reason; /* of a denial or failure: the problem's name */
    int status;         /* 0: the client left before an answer began */
    uint64_t rows, bytes, database_us;
    bool complete; /* the whole answer was handed to the kernel */
};

/* As the request log has it: one JSON object and LF; fields without a value are left out, the path is cut to 2 KB. */
void record_append_line(struct buffer *out, const struct audit_record *record);
/* RFC 3339 with microseconds, in quotes. Cheap for instants of one second. */
void record_append_time(struct buffer *out, int64_t time_us);

#endif
