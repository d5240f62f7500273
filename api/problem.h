/* Errors as RFC 9457 problem details; the one place where a cause becomes a status code. */
#ifndef SLUICE_API_PROBLEM_H
#define SLUICE_API_PROBLEM_H

#include "api/handler.h"
#include "base/buffer.h"

enum problem {
    PROBLEM_BAD_REQUEST,
    PROBLEM_INVALID_PARAMETER,
    PROBLEM_INVALID_CURSOR,
    PROBLEM_BODY_NOT_ALLOWED,
    PROBLEM_MISSING_TOKEN,
    PROBLEM_INVALID_TOKEN,
    PROBLEM_MISSING_SCOPE,
    PROBLEM_UNKNOWN_TIER,
    PROBLEM_UNREGISTERED, /* SQL and own data are for customers that the operator has registered */
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_UNSUPPORTED_MEDIA,
    PROBLEM_INVALID_BODY,
    PROBLEM_INVALID_FILE,
    PROBLEM_INVALID_SQL,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_BODY_TOO_SLOW,
    PROBLEM_CONFLICT,
    PROBLEM_LOCKED,              /* tus: another request is at work on the session */
    PROBLEM_UNSUPPORTED_VERSION, /* tus: of the protocol */
    PROBLEM_CHECKSUM,            /* tus: the body differs from Upload-Checksum */
    PROBLEM_KEY_REUSED,
    PROBLEM_QUOTA_EXCEEDED,
    PROBLEM_NOT_ONE_ROW,
    PROBLEM_RANGE,
    PROBLEM_OVER_BUDGET,
    PROBLEM_UNSUPPORTED_OPERATOR,
    PROBLEM_URI_TOO_LONG,
    PROBLEM_TOO_MANY_HEADERS,
    PROBLEM_RATE_LIMITED,
    PROBLEM_INTERNAL,
    PROBLEM_OVERLOADED,
    PROBLEM_UNAVAILABLE,
    PROBLEM_TIMEOUT,
    PROBLEM_UNRECORDED, /* the audit log takes nothing */
    PROBLEM_COUNT
};

const char *problem_name(enum problem problem); /* "invalid-parameter": the last part of its type URI */
int problem_status(enum problem problem);

struct problem_mistake { /* what stood where; for invalid parameters */
    const char *place, *field, *message;
    uint64_t line;        /* of a file, from 1; 0: not told */
    unsigned column;      /* in the decoded value, from 1; 0: not told */
    const char *sqlstate; /* the database's, where it tells nothing about what the caller may not see; NULL: none */
};
/* {"type":"urn:sluice:problem:…","title":…,"status":…,"detail":…,"instance":…,"request_id":…,"errors":[…]}. `mistake`
 * may be NULL. */
void problem_append(struct buffer *out, enum problem problem, struct text detail, struct text instance,
                    struct text request_id, const struct problem_mistake *mistake);
/* Ends the request with a problem, where its answer has not begun; a stream that has begun is made to fail visibly.
 * `detail` says what was wrong and what to do. */
enum stage_verdict problem_send(struct request *request, enum problem problem, const char *format, ...)
    PRINTF_LIKE(3, 4);
enum stage_verdict problem_send_mistake(struct request *request, enum problem problem,
                                        const struct problem_mistake *mistake);
/* The problem that a status of ours stands for, with a detail of its own: never the database's words. */
enum stage_verdict problem_send_status(struct request *request, enum status status);

#endif
