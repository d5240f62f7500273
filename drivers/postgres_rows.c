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

void postgres_reason(char *out, size_t size, const char *words)
{
    size_t at = 0;
    out[0] = '\0';
    while (*words != '\0') {
        size_t line = strcspn(words, "\n");
        if (line != 0 && words[0] != '\t' && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%.*s", at != 0 ? "; " : "", (int)line, words);
        words += line + (words[line] != '\0');
    }
}

/* The list with its n-th item in front: "a,b,c" and 1 is "b,c,a". NULL stays NULL. */
static const char *turn(const char *list, size_t first, char *out, size_t size)
{
    const char *from = list;
    for (; from != NULL && first != 0; first--) {
        from = strchr(from, ',');
        from = from != NULL ? from + 1 : list; /* a shorter list: none is handed in */
    }
    if (list == NULL || from == list)
        return list;
    snprintf(out, size, "%s,%.*s", from, (int)(from - list - 1), list);
    return out;
}

static size_t count_items(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

void postgres_keywords(const struct postgres_login *login, size_t first, struct postgres_keyword_room *room,
                       const char *keywords[POSTGRES_KEYWORDS], const char *values[POSTGRES_KEYWORDS])
{
    size_t count = 0, hosts = count_items(login->host);
    bool is_socket = login->host[0] == '/';
    struct postgres_resolved *turned = &room->turned;
    first %= hosts;
    snprintf(room->port, sizeof(room->port), "%u", login->port);
    snprintf(room->timeout, sizeof(room->timeout), "%u", (login->connect_timeout_ms + 999) / 1000);
    const char *host = turn(login->host, first, turned->address, sizeof(turned->address));
    const char *name = turn(login->host_name, first, turned->name, sizeof(turned->name));
    const char *ports = turn(login->ports, first, turned->ports, sizeof(turned->ports));
    const struct {
        const char *keyword, *value;
    } pairs[] = {
        {is_socket ? "host" : "hostaddr", host},
        {"host", is_socket ? NULL : name},
        {"port", ports != NULL ? ports : room->port},
        {"target_session_attrs", hosts > 1 ? "primary" : NULL},
        {"dbname", login->database},
        {"user", login->user},
        {"password", login->password},
        {"sslmode", login->sslmode},
        {"sslrootcert", login->ca_file},
        {"application_name", login->application_name},
        {"connect_timeout", room->timeout},
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
