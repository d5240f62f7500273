#include "drivers/postgres_session.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/postgres_private.h"

struct postgres_session {
    PGconn *pg;
};

enum status postgres_resolve(struct postgres_login *login, struct postgres_resolved *storage, struct failure *failure)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (login->host[0] == '/')
        return STATUS_OK;
    int error = getaddrinfo(login->host, NULL, &hints, &found);
    if (error != 0)
        return failure_set(failure, STATUS_UNAVAILABLE,
                           "database.host %s cannot be resolved: %s; give an address, or a name that resolves",
                           login->host, gai_strerror(error));
    getnameinfo(found->ai_addr, found->ai_addrlen, storage->address, sizeof(storage->address), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    snprintf(storage->name, sizeof(storage->name), "%s", login->host);
    login->host_name = storage->name;
    login->host = storage->address;
    return STATUS_OK;
}

/* The first line of libpq's words. */
static void first_line(char *out, size_t size, const char *words)
{
    snprintf(out, size, "%s", words);
    out[strcspn(out, "\n")] = '\0';
}

enum status postgres_session_open(const struct postgres_login *login, struct postgres_session **out,
                                  struct failure *failure)
{
    const char *keywords[POSTGRES_KEYWORDS], *values[POSTGRES_KEYWORDS];
    char port[8], timeout[16], reason[300];
    postgres_keywords(login, port, timeout, keywords, values);
    struct postgres_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    session->pg = PQconnectdbParams(keywords, values, 0);
    if (PQstatus(session->pg) == CONNECTION_OK) {
        *out = session;
        return STATUS_OK;
    }
    first_line(reason, sizeof(reason), PQerrorMessage(session->pg));
    /* libpq gives no SQLSTATE of a refused login: its words must do. Starting up and shutting down pass; a wrong
     * password does not. */
    bool final = strstr(reason, "authentication failed") != NULL || strstr(reason, "does not exist") != NULL ||
                 strstr(reason, "no password supplied") != NULL ||
                 strstr(reason, "is not permitted to log in") != NULL || strstr(reason, "no pg_hba.conf entry") != NULL;
    postgres_session_close(session);
    return failure_set(failure, final ? STATUS_DENIED : STATUS_UNAVAILABLE, "cannot log in to database %s as %s: %s",
                       login->database, login->user, reason);
}

void postgres_session_close(struct postgres_session *session)
{
    if (session == NULL)
        return;
    PQfinish(session->pg);
    free(session);
}

static enum status check_result(PGresult *result, struct failure *failure)
{
    ExecStatusType kind = PQresultStatus(result);
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK || kind == PGRES_EMPTY_QUERY)
        return STATUS_OK;
    if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT)
        return failure_set(failure, STATUS_FAILED,
                           "COPY from stdin or to stdout has no other end here; use INSERT, or psql");
    struct postgres_error error;
    postgres_error_from_result(&error, result);
    return failure_set(failure, error.status, "%s (SQLSTATE %s)", error.message, error.sqlstate);
}

enum status postgres_session_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                                   const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure)
{
    const char *values[64];
    if (parameter_count > 64)
        return failure_set(failure, STATUS_TOO_LARGE, "too many parameters");
    for (size_t i = 0; i < parameter_count; i++)
        values[i] = parameters[i].data; /* callers give NUL-terminated text here */
    PGresult *result = PQexecParams(session->pg, sql, (int)parameter_count, NULL, values, NULL, NULL, 0);
    enum status status = check_result(result, failure);
    struct postgres_rows rows = {result};
    if (status == STATUS_OK && on_rows != NULL)
        on_rows(context, &rows);
    PQclear(result);
    return status;
}

enum status postgres_session_script(struct postgres_session *session, const char *sql, struct failure *failure)
{
    PGresult *result = PQexec(session->pg, sql);
    enum status status = check_result(result, failure);
    PQclear(result);
    return status;
}

enum status postgres_session_set_password(struct postgres_session *session, const char *role, const char *password,
                                          struct failure *failure)
{
    struct buffer sql;
    char *verifier = PQencryptPasswordConn(session->pg, password, role, NULL);
    if (verifier == NULL)
        return failure_set(failure, STATUS_FAILED, "no verifier could be made of the password: %s",
                           PQerrorMessage(session->pg));
    buffer_init(&sql, 4096);
    buffer_append_literal(&sql, "alter role ");
    postgres_append_identifier(&sql, text_from_string(role));
    buffer_append_literal(&sql, " password ");
    postgres_append_literal(&sql, text_from_string(verifier));
    PQfreemem(verifier);
    const char *statement = buffer_c_string(&sql);
    enum status status = statement != NULL ? postgres_session_script(session, statement, failure)
                                           : failure_set(failure, STATUS_TOO_LARGE, "the password is too long");
    buffer_free(&sql);
    return status;
}
