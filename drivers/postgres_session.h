/* A blocking PostgreSQL session, for command lines, for the start, and for threads that load; never on a loop's thread
 * once it serves. What the server only remarks (notices, warnings) is dropped. */
#ifndef SLUICE_DRIVERS_POSTGRES_SESSION_H
#define SLUICE_DRIVERS_POSTGRES_SESSION_H

#include "drivers/postgres.h"

struct postgres_session;
/* Replaces the names in login->host by numeric addresses and sets host_name (all inside `storage`). Of several hosts
 * those that cannot be resolved now are left out, with a warning, unless none is left. */
#define POSTGRES_HOSTS_MAX 8
struct postgres_resolved {
    char address[POSTGRES_HOSTS_MAX * 64];
    char name[POSTGRES_HOSTS_MAX * 256];
    char ports[POSTGRES_HOSTS_MAX * 6];
};
enum status postgres_resolve(struct postgres_login *login, struct postgres_resolved *storage,
                             struct failure *failure) MUST_CHECK;
/* STATUS_UNAVAILABLE (not reachable: try again) or STATUS_DENIED (password, role, database: trying again won't help).
 */
enum status postgres_session_open(const struct postgres_login *login, struct postgres_session **session,
                                  struct failure *failure) MUST_CHECK;
void postgres_session_close(struct postgres_session *session);
/* Closes it as well, but first rolls back what is open and lets go of its advisory locks, which the server otherwise
 * does at some time after the close: whoever hears of the outcome then has nothing of it in his way. One round trip,
 * given up after four seconds; none where the connection is lost, or was told to end. */
void postgres_session_leave(struct postgres_session *session);
/* One statement with parameters (each NUL-terminated behind its size); on_rows (may be NULL) once with the whole
 * result. The failure carries the server's message and SQLSTATE. */
enum status postgres_session_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                                   const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure) MUST_CHECK;
/* Rows that the last postgres_session_query has selected, inserted, updated or deleted. */
uint64_t postgres_session_affected(const struct postgres_session *session);
/* The same, a row at a time, however many there are: `rows` holds one. While on_row takes its time the server waits.
 * on_row must not call the session. False: the statement is cancelled, the session can only be closed, and the answer
 * is STATUS_DENIED. */
enum status postgres_session_each(struct postgres_session *session, const char *sql, size_t parameter_count,
                                  const struct text *parameters,
                                  bool (*on_row)(void *context, const struct postgres_rows *rows), void *context,
                                  struct failure *failure) MUST_CHECK;
/* Several statements without parameters, simple protocol (one implicit transaction). For migrations. */
enum status postgres_session_script(struct postgres_session *session, const char *sql,
                                    struct failure *failure) MUST_CHECK;
/* The same, and the server's own words of the last failed call: its SQLSTATE ("" where it was not the server's), the
 * column, table or constraint that it named, and the line of COPY's data that its context tells (0: none). Valid until
 * the next call. */
struct postgres_session_error {
    char sqlstate[6];
    char column[64], constraint[64], relation[64];
    uint64_t copy_line;
};
const struct postgres_session_error *postgres_session_error(const struct postgres_session *session);
/* Ends a call under way on another thread, soon, and what it calls afterwards, with STATUS_UNAVAILABLE: the statement
 * is cancelled (PQcancel, on a thread of its own), and a server that does not answer within two seconds is given up. A
 * call whose statement had its end before that ends as the server says: a COMMIT that was answered is STATUS_OK. Any
 * thread, never waits, as long as the session is open. */
void postgres_session_interrupt(struct postgres_session *session);
/* The same from within: while a call waits, `told_to_end` is asked every 50 ms, on the session's own thread; true is an
 * interrupt. NULL: no more. Between the calls only. */
void postgres_session_watch(struct postgres_session *session, bool (*told_to_end)(void *context), void *context);

/* COPY … FROM STDIN: begin with the statement, put bytes (any pieces; waits while the server is slow, memory stays
 * bounded), then end (rows that were copied) or abort (the transaction is in error afterwards). A put or an end that
 * fails has ended the copy; an abort is harmless then. */
enum status postgres_session_copy_begin(struct postgres_session *session, const char *sql,
                                        struct failure *failure) MUST_CHECK;
enum status postgres_session_copy_put(struct postgres_session *session, struct text bytes,
                                      struct failure *failure) MUST_CHECK;
enum status postgres_session_copy_end(struct postgres_session *session, uint64_t *rows,
                                      struct failure *failure) MUST_CHECK;
void postgres_session_copy_abort(struct postgres_session *session, const char *reason);

/* ALTER ROLE … PASSWORD with a verifier made here (SCRAM where the server wants it), so that no password travels in SQL
 * or stands in the server's log. `role` and `password` are NUL-terminated. */
enum status postgres_session_set_password(struct postgres_session *session, const char *role, const char *password,
                                          struct failure *failure) MUST_CHECK;
/* An identifier or literal as SQL; failure sticks in the buffer. identifier: always double-quoted. The one function for
 * quoting. */
void postgres_append_identifier(struct buffer *buffer, struct text name);
void postgres_append_literal(struct buffer *buffer, struct text value);

#endif
