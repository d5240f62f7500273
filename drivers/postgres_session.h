/* A blocking PostgreSQL session, for command lines and for the start; never on a loop's thread once it serves. */
#ifndef SLUICE_DRIVERS_POSTGRES_SESSION_H
#define SLUICE_DRIVERS_POSTGRES_SESSION_H

#include "drivers/postgres.h"

struct postgres_session;
/* Replaces a name in login->host by a numeric address and sets host_name (both static inside `storage`). */
struct postgres_resolved {
    char address[64];
    char name[256];
};
enum status postgres_resolve(struct postgres_login *login, struct postgres_resolved *storage,
                             struct failure *failure) MUST_CHECK;
/* STATUS_UNAVAILABLE (not reachable: try again) or STATUS_DENIED (password, role, database: trying again won't help).
 */
enum status postgres_session_open(const struct postgres_login *login, struct postgres_session **session,
                                  struct failure *failure) MUST_CHECK;
void postgres_session_close(struct postgres_session *session);
/* One statement with parameters (each NUL-terminated behind its size); on_rows (may be NULL) once with the whole
 * result. The failure carries the server's message and SQLSTATE. */
enum status postgres_session_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                                   const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure) MUST_CHECK;
/* Several statements without parameters, simple protocol (one implicit transaction). For migrations. */
enum status postgres_session_script(struct postgres_session *session, const char *sql,
                                    struct failure *failure) MUST_CHECK;
/* ALTER ROLE … PASSWORD with a verifier made here (SCRAM where the server wants it), so that no password travels in SQL
 * or stands in the server's log. `role` and `password` are NUL-terminated. */
enum status postgres_session_set_password(struct postgres_session *session, const char *role, const char *password,
                                          struct failure *failure) MUST_CHECK;
/* An identifier or literal as SQL; failure sticks in the buffer. identifier: always double-quoted. The one function for
 * quoting. */
void postgres_append_identifier(struct buffer *buffer, struct text name);
void postgres_append_literal(struct buffer *buffer, struct text value);

#endif
