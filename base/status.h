/* The few ways in which something of ours can end. Drivers and subjects return these; api/problem.c alone turns them
 * into HTTP status codes, so that one cause always gives one answer. */
#ifndef SLUICE_BASE_STATUS_H
#define SLUICE_BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first) __attribute__((format(printf, format_index, first)))

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,     /* what was given is wrong: 400 */
    STATUS_NOT_FOUND,   /* no such thing, or none that the caller may know of: 404 */
    STATUS_DENIED,      /* known, and not allowed: 403 */
    STATUS_CONFLICT,    /* 409 */
    STATUS_TOO_LARGE,   /* a ceiling was reached: 413, or 503 for memory of ours */
    STATUS_BUSY,        /* a bounded queue is full: 503 with Retry-After, at once */
    STATUS_UNAVAILABLE, /* a dependency is away: 503 with Retry-After */
    STATUS_TIMEOUT,     /* a limit of time was reached: 504 */
    STATUS_FAILED       /* a dependency answered with a fault of its own: 500 */
};

/* Name of a status in lower case with underscores, for logs and metrics: "not_found". Static storage. */
const char *status_name(enum status status);

/* A failure with words. `message` says what was wrong, where, and what to do; never a secret, never a token. */
struct failure {
    enum status status;
    char message[512];
};

/* Fills *failure (may be NULL) and returns `status`, so that `return failure_set(failure, STATUS_INVALID, "…", …);`
 * works. A message that is too long is cut. */
enum status failure_set(struct failure *failure, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
