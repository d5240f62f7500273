/* Results and errors: libpq's, seen through the driver's types. */
#include <stdio.h>

#include "base/hash.h"
#include "drivers/postgres_private.h"

size_t postgres_rows_count(const struct postgres_rows *rows)
{
    return (size_t)PQntuples(rows->result);
}

size_t postgres_rows_columns(const struct postgres_rows *rows)
{
    return (size_t)PQnfields(rows->result);
}

const char *postgres_rows_name(const struct postgres_rows *rows, size_t column)
{
    return PQfname(rows->result, (int)column);
}

uint32_t postgres_rows_type(const struct postgres_rows *rows, size_t column)
{
    return PQftype(rows->result, (int)column);
}

bool postgres_rows_is_binary(const struct postgres_rows *rows, size_t column)
{
    return PQfformat(rows->result, (int)column) == 1;
}

struct text postgres_rows_value(const struct postgres_rows *rows, size_t row, size_t column)
{
    int size = PQgetlength(rows->result, (int)row, (int)column);
    if (size == 0 && PQgetisnull(rows->result, (int)row, (int)column))
        return TEXT_NONE;
    return text_of(PQgetvalue(rows->result, (int)row, (int)column), (size_t)size);
}

void postgres_statement_init(struct postgres_statement *statement, const char *sql, size_t parameter_count,
                             const uint32_t *parameter_types)
{
    *statement = (struct postgres_statement){.sql = sql,
                                             .parameter_count = parameter_count,
                                             .parameter_types = parameter_types,
                                             .id = hash_stable(text_from_string(sql))};
    if (statement->id == 0)
        statement->id = 1; /* 0 marks an empty place in the table of prepared statements */
}

void postgres_error_set(struct postgres_error *error, enum status status, const char *message)
{
    *error = (struct postgres_error){.status = status};
    snprintf(error->message, sizeof(error->message), "%s", message != NULL ? message : "unknown");
}

static enum status status_of(const char *state)
{
    if (strcmp(state, "57014") == 0)
        return STATUS_TIMEOUT; /* query_canceled: by statement_timeout, since our own cancels ask for no answer */
    if (strcmp(state, "42501") == 0)
        return STATUS_DENIED;
    if (strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0 || strncmp(state, "53", 2) == 0 ||
        state[0] == '\0')
        return STATUS_UNAVAILABLE; /* shutting down, connection exceptions, out of resources, or no server's answer at
                                      all */
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return STATUS_INVALID;
    return STATUS_FAILED;
}

void postgres_error_from_result(struct postgres_error *error, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    postgres_error_set(error, status_of(state != NULL ? state : ""),
                       message != NULL ? message : PQresultErrorMessage(result));
    snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", state != NULL ? state : "");
}

bool postgres_result_is_fatal(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

void postgres_keywords(const struct postgres_login *login, char port[8], char timeout[16],
                       const char *keywords[POSTGRES_KEYWORDS], const char *values[POSTGRES_KEYWORDS])
{
    size_t count = 0;
    bool is_socket = login->host[0] == '/';
    snprintf(port, 8, "%u", login->port);
    snprintf(timeout, 16, "%u", (login->connect_timeout_ms + 999) / 1000);
    const struct {
        const char *keyword, *value;
    } pairs[] = {
        {is_socket ? "host" : "hostaddr", login->host},
        {"host", is_socket ? NULL : login->host_name},
        {"port", port},
        {"dbname", login->database},
        {"user", login->user},
        {"password", login->password},
        {"sslmode", login->sslmode},
        {"sslrootcert", login->ca_file},
        {"application_name", login->application_name},
        {"connect_timeout", timeout},
        {"client_encoding", "UTF8"},
        {"tcp_user_timeout", "10000"},
        {"keepalives_idle", "30"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].value != NULL) {
            keywords[count] = pairs[i].keyword;
            values[count++] = pairs[i].value;
        }
    keywords[count] = values[count] = NULL;
}
