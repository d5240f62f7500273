#include "drivers/postgres_session.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "drivers/postgres_session_private.h"

#define PARAMETERS_MAX 64
#define LEAVE_US 2000000 /* longer nobody's answer waits for a server that does not let go of locks */

static enum status resolve_one(const char *host, char *address, size_t size, struct failure *failure)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int error = getaddrinfo(host, NULL, &hints, &found);
    if (error != 0)
        return failure_set(failure, STATUS_UNAVAILABLE,
                           "database.host %s cannot be resolved: %s; give an address, or a name that resolves", host,
                           gai_strerror(error));
    getnameinfo(found->ai_addr, found->ai_addrlen, address, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return STATUS_OK;
}

static void add_item(char *list, size_t size, bool first, const char *item)
{
    size_t at = strlen(list);
    snprintf(list + at, size - at, "%s%s", first ? "" : ",", item);
}

/* A folder has no address: libpq then takes the name. */
static enum status resolve_several(struct postgres_login *login, struct postgres_resolved *storage,
                                   struct failure *failure)
{
    struct text hosts = text_from_string(login->host);
    struct text ports = login->ports != NULL ? text_from_string(login->ports) : TEXT_NONE;
    bool first = true;
    *storage = (struct postgres_resolved){.address = ""};
    while (hosts.size != 0) {
        char name[256], address[64] = "", port[8];
        struct text host = text_split(&hosts, ',');
        snprintf(name, sizeof(name), "%.*s", TEXT_ARGS(host));
        snprintf(port, sizeof(port), "%u", login->port);
        if (ports.data != NULL) {
            struct text own = text_split(&ports, ',');
            snprintf(port, sizeof(port), "%.*s", TEXT_ARGS(own));
        }
        if (name[0] != '/' && resolve_one(name, address, sizeof(address), failure) != STATUS_OK) {
            log_event(LOG_WARNING, "database_host_unknown", "%s; the other hosts are used without it",
                      failure->message);
            continue;
        }
        add_item(storage->address, sizeof(storage->address), first, address);
        add_item(storage->name, sizeof(storage->name), first, name);
        add_item(storage->ports, sizeof(storage->ports), first, port);
        first = false;
    }
    if (first)
        return STATUS_UNAVAILABLE; /* the last failure says which */
    login->host = storage->address;
    login->host_name = storage->name;
    login->ports = storage->ports;
    return STATUS_OK;
}

enum status postgres_resolve(struct postgres_login *login, struct postgres_resolved *storage, struct failure *failure)
{
    if (strchr(login->host, ',') != NULL)
        return resolve_several(login, storage, failure);
    if (login->host[0] == '/')
        return STATUS_OK;
    enum status status = resolve_one(login->host, storage->address, sizeof(storage->address), failure);
    if (status != STATUS_OK)
        return status;
    snprintf(storage->name, sizeof(storage->name), "%s", login->host);
    login->host_name = storage->name;
    login->host = storage->address;
    return STATUS_OK;
}

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

enum status postgres_session_open(const struct postgres_login *login, struct postgres_session **out,
                                  struct failure *failure)
{
    const char *keywords[POSTGRES_KEYWORDS], *values[POSTGRES_KEYWORDS];
    char reason[600];
    struct postgres_keyword_room room;
    postgres_keywords(login, 0, &room, keywords, values);
    struct postgres_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    atomic_init(&session->interrupted, false);
    session->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (session->wake_fd < 0) {
        free(session);
        return failure_set(failure, STATUS_FAILED, "out of descriptors");
    }
    session->pg = PQconnectdbParams(keywords, values, 0);
    if (PQstatus(session->pg) == CONNECTION_OK && PQsetnonblocking(session->pg, 1) == 0) {
        PQsetNoticeProcessor(session->pg, ignore_notice, NULL); /* libpq's own writes them to stderr */
        *out = session;
        return STATUS_OK;
    }
    postgres_reason(reason, sizeof(reason), PQerrorMessage(session->pg));
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
    close(session->wake_fd);
    free(session);
}

static bool is_past(void *context)
{
    return clock_monotonic_us() >= *(const uint64_t *)context;
}

void postgres_session_leave(struct postgres_session *session)
{
    uint64_t end_us = clock_monotonic_us() + LEAVE_US;
    struct failure failure;
    if (session == NULL)
        return;
    postgres_session_watch(session, is_past, &end_us);
    (void)!postgres_session_script(session, "rollback; select pg_catalog.pg_advisory_unlock_all()", &failure);
    postgres_session_close(session);
}

const struct postgres_session_error *postgres_session_error(const struct postgres_session *session)
{
    return &session->error;
}

static void copy_field(char *out, size_t size, const PGresult *result, int field)
{
    const char *value = PQresultErrorField(result, field);
    snprintf(out, size, "%s", value != NULL ? value : "");
}

/* "COPY sales, line 12, column amount: …" stands at the beginning of one of the context's lines, in English. */
static uint64_t copy_line_of(const char *context)
{
    while (context != NULL && strncmp(context, "COPY ", 5) != 0) {
        context = strchr(context, '\n');
        context = context != NULL ? context + 1 : NULL;
    }
    const char *line = context != NULL ? strstr(context, ", line ") : NULL;
    return line != NULL ? strtoull(line + 7, NULL, 10) : 0;
}

/* "COPY sales, line 3, column price: "x"": the column that stands there, where the server names none otherwise. */
static void copy_column_of(char *out, size_t size, const char *context)
{
    const char *from = context != NULL ? strstr(context, ", column ") : NULL;
    const char *end = from != NULL ? strstr(from, ": ") : NULL;
    if (out[0] != '\0' || end == NULL || strncmp(context, "COPY ", 5) != 0)
        return;
    from += 9;
    if ((size_t)(end - from) >= size)
        return;
    memcpy(out, from, (size_t)(end - from));
    out[end - from] = '\0';
}

enum status session_fail(struct postgres_session *session, const PGresult *result, struct failure *failure)
{
    struct postgres_error error;
    struct postgres_session_error *kept = &session->error;
    postgres_error_from_result(&error, result);
    memcpy(kept->sqlstate, error.sqlstate, sizeof(kept->sqlstate));
    copy_field(kept->column, sizeof(kept->column), result, PG_DIAG_COLUMN_NAME);
    copy_field(kept->constraint, sizeof(kept->constraint), result, PG_DIAG_CONSTRAINT_NAME);
    copy_field(kept->relation, sizeof(kept->relation), result, PG_DIAG_TABLE_NAME);
    copy_column_of(kept->column, sizeof(kept->column), PQresultErrorField(result, PG_DIAG_CONTEXT));
    kept->copy_line = copy_line_of(PQresultErrorField(result, PG_DIAG_CONTEXT));
    if (atomic_load(&session->interrupted) && strcmp(error.sqlstate, "57014") == 0)
        return failure_set(failure, STATUS_UNAVAILABLE, "the call to the database was told to end");
    error.message[strcspn(error.message, "\n")] = '\0';
    return failure_set(failure, error.status, "%s (SQLSTATE %s)", error.message, error.sqlstate);
}

static enum status check_result(struct postgres_session *session, const PGresult *result, struct failure *failure)
{
    ExecStatusType kind = PQresultStatus(result);
    if (kind == PGRES_TUPLES_OK || kind == PGRES_SINGLE_TUPLE || kind == PGRES_COMMAND_OK || kind == PGRES_EMPTY_QUERY)
        return STATUS_OK;
    if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT)
        return failure_set(failure, STATUS_FAILED,
                           "COPY from stdin or to stdout has no other end here; use INSERT, or psql");
    return session_fail(session, result, failure);
}

static enum status send_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                              const struct text *parameters, struct failure *failure)
{
    const char *values[PARAMETERS_MAX];
    enum status status = session_enter(session, failure);
    if (status != STATUS_OK)
        return status;
    if (session->copying)
        return failure_set(failure, STATUS_FAILED, "a copy is under way; end it first");
    if (parameter_count > PARAMETERS_MAX)
        return failure_set(failure, STATUS_TOO_LARGE, "too many parameters");
    for (size_t i = 0; i < parameter_count; i++)
        values[i] = parameters[i].data; /* callers give NUL-terminated text here */
    session->affected = 0;
    if (PQsendQueryParams(session->pg, sql, (int)parameter_count, NULL, values, NULL, NULL, 0) != 1)
        return session_lose(session, failure);
    return session_flush(session, failure);
}

/* A COPY needs its other end before the results go on. */
static bool is_copy(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT;
}

/* The last result, or the first that failed; the others are dropped. */
static enum status collect(struct postgres_session *session, PGresult **out, struct failure *failure)
{
    PGresult *result, *last = NULL;
    enum status status;
    while ((status = session_result(session, &result, failure)) == STATUS_OK && result != NULL) {
        bool failed = last != NULL && (PQresultStatus(last) == PGRES_FATAL_ERROR || is_copy(last));
        ExecStatusType kind = PQresultStatus(result);
        if (failed) {
            PQclear(result);
        } else {
            PQclear(last);
            last = result;
        }
        if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT)
            status = session_end_copy(session, kind, failure);
        if (status != STATUS_OK)
            break;
    }
    if (status != STATUS_OK) {
        PQclear(last);
        return status;
    }
    *out = last;
    return STATUS_OK;
}

enum status postgres_session_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                                   const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure)
{
    PGresult *result = NULL;
    enum status status = send_query(session, sql, parameter_count, parameters, failure);
    if (status == STATUS_OK)
        status = collect(session, &result, failure);
    if (status == STATUS_OK)
        status = check_result(session, result, failure);
    struct postgres_rows rows = {result};
    if (status == STATUS_OK)
        session->affected = strtoull(PQcmdTuples(result), NULL, 10);
    if (status == STATUS_OK && on_rows != NULL)
        on_rows(context, &rows);
    PQclear(result);
    return status;
}

uint64_t postgres_session_affected(const struct postgres_session *session)
{
    return session->affected;
}

static bool hand_over(const PGresult *result, bool (*on_row)(void *context, const struct postgres_rows *rows),
                      void *context)
{
    struct postgres_rows rows = {result};
    return PQresultStatus(result) != PGRES_SINGLE_TUPLE || on_row(context, &rows);
}

enum status postgres_session_each(struct postgres_session *session, const char *sql, size_t parameter_count,
                                  const struct text *parameters,
                                  bool (*on_row)(void *context, const struct postgres_rows *rows), void *context,
                                  struct failure *failure)
{
    PGresult *result;
    bool stopped = false;
    enum status ended = STATUS_OK;
    enum status status = send_query(session, sql, parameter_count, parameters, failure);
    if (status == STATUS_OK && PQsetSingleRowMode(session->pg) != 1)
        status = session_lose(session, failure);
    while (status == STATUS_OK && (status = session_result(session, &result, failure)) == STATUS_OK && result != NULL) {
        if (ended == STATUS_OK && !stopped)
            ended = check_result(session, result, failure);
        if (is_copy(result)) {
            status = session_end_copy(session, PQresultStatus(result), NULL);
        } else if (ended == STATUS_OK && !stopped && !hand_over(result, on_row, context)) {
            stopped = true;
            session_cancel(session);
        }
        PQclear(result);
    }
    if (!stopped)
        return status != STATUS_OK ? status : ended;
    session->lost = true; /* the word to cancel may come late, and must not end what follows */
    return failure_set(failure, STATUS_DENIED, "the rows' receiver has said stop");
}

enum status postgres_session_script(struct postgres_session *session, const char *sql, struct failure *failure)
{
    PGresult *result = NULL;
    enum status status = session_enter(session, failure);
    if (status != STATUS_OK)
        return status;
    if (session->copying)
        return failure_set(failure, STATUS_FAILED, "a copy is under way; end it first");
    if (PQsendQuery(session->pg, sql) != 1)
        return session_lose(session, failure);
    status = session_flush(session, failure);
    if (status == STATUS_OK)
        status = collect(session, &result, failure);
    if (status == STATUS_OK)
        status = check_result(session, result, failure);
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
