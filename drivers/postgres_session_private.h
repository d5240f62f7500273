/* What the files of the blocking session share. Nobody else includes this. */
#ifndef SLUICE_DRIVERS_POSTGRES_SESSION_PRIVATE_H
#define SLUICE_DRIVERS_POSTGRES_SESSION_PRIVATE_H

#include <stdatomic.h>

#include "drivers/postgres_private.h"
#include "drivers/postgres_session.h"

struct postgres_session {
    PGconn *pg; /* nonblocking: this file's own waits are what blocks */
    int wake_fd;
    atomic_bool interrupted;
    bool cancelling;     /* the server was told; it answers until give_up_us, or is given up */
    uint64_t give_up_us; /* of clock_monotonic_us */
    bool lost;           /* given up, or broken: nothing is asked any more */
    bool copying;
    uint64_t affected;                  /* rows, by the last statement */
    bool (*told_to_end)(void *context); /* NULL: none */
    void *told_context;
    struct postgres_session_error error;
};

/* postgres_session_wait.c */

/* At the beginning of each call: forgets the last error. STATUS_UNAVAILABLE: interrupted, or lost. */
enum status session_enter(struct postgres_session *session, struct failure *failure) MUST_CHECK;
/* Waits until the socket is ready for `events` (POLLIN, POLLOUT); *ready what it is ready for. False: given up after an
 * interrupt. */
bool session_wait(struct postgres_session *session, short events, short *ready) MUST_CHECK;
/* Tells the server to cancel what it does, once; from here on it has a short time to answer. */
void session_cancel(struct postgres_session *session);
/* Sends what libpq holds; reads meanwhile, so that a server that talks first is not waited for forever. */
enum status session_flush(struct postgres_session *session, struct failure *failure) MUST_CHECK;
/* The next result of what was sent, NULL: there is none any more. PQclear it. */
enum status session_result(struct postgres_session *session, PGresult **result, struct failure *failure) MUST_CHECK;
/* The other end of a COPY (PGRES_COPY_IN, PGRES_COPY_OUT) that nobody here has one for. */
enum status session_end_copy(struct postgres_session *session, int kind, struct failure *failure) MUST_CHECK;
/* Reads and drops the results that are left. */
enum status session_drain(struct postgres_session *session, struct failure *failure) MUST_CHECK;
/* The connection is of no use any more. */
enum status session_lose(struct postgres_session *session, struct failure *failure);
/* Keeps the server's words. */
enum status session_fail(struct postgres_session *session, const PGresult *result, struct failure *failure);

#endif
