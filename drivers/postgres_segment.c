/* What goes out for a query, the same in both lanes, and what the answers say of the connection's statements. A segment
 * is what one Sync ends: one transaction on the server. A query takes [Parse, settings,] [Parse,] execution; for each
 * of these a slot stands in a ring until its answer has been read. */
#include "base/log.h"
#include "drivers/postgres_private.h"

#define PREAMBLE_1 "set_config($1, $2, true), "
#define PREAMBLE_2 PREAMBLE_1 "set_config($3, $4, true), "
#define PREAMBLE_3 PREAMBLE_2 "set_config($5, $6, true), "
#define PREAMBLE_4 PREAMBLE_3 "set_config($7, $8, true), "
#define PREAMBLE_5 PREAMBLE_4 "set_config($9, $10, true), "
#define PREAMBLE_6 PREAMBLE_5 "set_config($11, $12, true), "
#define PREAMBLE_7 PREAMBLE_6 "set_config($13, $14, true), "
#define PREAMBLE_8 PREAMBLE_7 "set_config($15, $16, true), "
/* The user comes last, because a setting may be the role. The ids are out of the way of hashes for as good as certain;
 * 1 stands for a hash that is 0. */
#define PREAMBLE(n)                                                                                                    \
    {                                                                                                                  \
        .sql = "select " PREAMBLE_##n "current_user", .parameter_count = 2 * (n), .id = 1 + (n)                        \
    }

static const struct postgres_statement *preamble_of(const struct postgres_query *query)
{
    static const struct postgres_statement preambles[POSTGRES_SETTINGS_MAX] = {
        PREAMBLE(1), PREAMBLE(2), PREAMBLE(3), PREAMBLE(4), PREAMBLE(5), PREAMBLE(6), PREAMBLE(7), PREAMBLE(8)};
    return &preambles[query->setting_count - 1];
}

/* The ring. */

struct slot *slot_at(struct connection *connection, size_t place)
{
    return &connection->slots[(connection->slot_first + place) % SLOTS];
}

static void push_slot(struct connection *connection, enum slot_kind kind, struct postgres_query *query,
                      uint64_t statement)
{
    *slot_at(connection, connection->slot_count++) = (struct slot){kind, query, statement};
}

struct slot slot_pop(struct connection *connection)
{
    struct slot slot = *slot_at(connection, 0);
    connection->slot_first = (connection->slot_first + 1) % SLOTS;
    connection->slot_count--;
    return slot;
}

void slots_detach(struct connection *connection, const struct postgres_query *query)
{
    for (size_t i = 0; i < connection->slot_count; i++)
        if (slot_at(connection, i)->query == query)
            slot_at(connection, i)->query = NULL;
}

/* Sending. Whatever loses the connection leaves connection->pg NULL, and has failed its queries, which may be gone. */

void segment_end(struct connection *connection)
{
    if (connection->segment == 0)
        return;
    connection->segment = 0;
    push_slot(connection, SLOT_SYNC, NULL, 0);
    if (PQpipelineSync(connection->pg) != 1)
        connection_lost(connection, PQerrorMessage(connection->pg));
}

void segment_flush(struct connection *connection)
{
    segment_end(connection);
    if (connection->pg == NULL)
        return;
    int left = PQflush(connection->pg);
    if (left < 0)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (left == 1)
        loop_watch_writable(connection->watch, true);
}

/* An s and the id in 16 digits. By hand: it is made for every query. */
static void statement_name(uint64_t id, char name[20])
{
    static const char digits[] = "0123456789abcdef";
    name[0] = 's';
    for (int i = 16; i != 0; i--, id >>= 4)
        name[i] = digits[id & 15];
    name[17] = '\0';
}

void segment_forget(struct connection *connection, uint64_t id)
{
    char sql[40] = "deallocate all";
    if (id != 0)
        statement_name(id, sql + sizeof("deallocate ") - 1);
    segment_end(connection);
    if (connection->pg == NULL)
        return;
    if (PQsendQueryParams(connection->pg, sql, 0, NULL, NULL, NULL, NULL, 0) != 1) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_slot(connection, id != 0 ? SLOT_FORGET : SLOT_FORGET_ALL, NULL, id);
    if (id != 0) {
        connection_set_prepared(connection, id, false);
    } else {
        memset(connection->prepared, 0, sizeof(connection->prepared));
        connection->prepared_count = 0;
    }
    connection->segment = 1;
    segment_end(connection);
}

/* Prepared where it is not yet. A query that is sent for the second time depends on no other segment: it goes without a
 * prepared statement. */
static bool send_statement(struct connection *connection, struct postgres_query *query, enum slot_kind kind,
                           const struct postgres_statement *statement, const char *const *values)
{
    char name[20];
    int count = (int)statement->parameter_count, typed = statement->parameter_types != NULL ? count : 0;
    statement_name(statement->id, name);
    if (query->alone) {
        if (PQsendQueryParams(connection->pg, statement->sql, count, statement->parameter_types, values, NULL, NULL,
                              statement->binary) != 1)
            return false;
        push_slot(connection, kind, query, statement->id);
        return true;
    }
    if (!connection_is_prepared(connection, statement->id)) {
        if (PQsendPrepare(connection->pg, name, statement->sql, typed, statement->parameter_types) != 1)
            return false;
        push_slot(connection, SLOT_PREPARE, query, statement->id);
        connection_set_prepared(connection, statement->id, true);
    }
    if (PQsendQueryPrepared(connection->pg, name, count, values, NULL, NULL, statement->binary) != 1)
        return false;
    push_slot(connection, kind, query, statement->id);
    return true;
}

/* A connection keeps a bounded number of statements: past it all are forgotten. Not between a query's settings and the
 * query, which share a transaction. */
static bool needs_room(const struct connection *connection, const struct postgres_query *query)
{
    size_t wanted = !connection_is_prepared(connection, query->statement->id);
    if (query->setting_count != 0)
        wanted += !connection_is_prepared(connection, preamble_of(query)->id);
    return !query->alone && wanted != 0 && connection->prepared_count + wanted > PREPARED_MAX;
}

void segment_add(struct connection *connection, struct postgres_query *query)
{
    /* What stands before it must not fail into it, what stands behind must not see its settings. */
    bool separate = query->alone || query->setting_count != 0;
    query->connection = connection;
    if (separate)
        segment_end(connection);
    if (connection->pg != NULL && needs_room(connection, query))
        segment_forget(connection, 0);
    if (connection->pg == NULL)
        return;
    bool sent = (query->setting_count == 0 ||
                 send_statement(connection, query, SLOT_SETTINGS, preamble_of(query), query->setting_values)) &&
                send_statement(connection, query, SLOT_QUERY, query->statement, query->values);
    if (!sent) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    if (++connection->segment >= SEGMENT_MAX || separate)
        segment_end(connection);
}

/* Answers. */

/* The server has it not. Whoever sent a Parse of it since then will know better. */
static void note_missing(struct connection *connection, uint64_t statement)
{
    for (size_t i = 1; i < connection->slot_count; i++)
        if (slot_at(connection, i)->kind == SLOT_PREPARE && slot_at(connection, i)->statement == statement)
            return;
    connection_set_prepared(connection, statement, false);
}

/* The server has it, and it is no good any more: its result type has changed, or its relation is gone. */
static void note_stale(struct connection *connection, uint64_t statement)
{
    for (size_t i = 1; i < connection->slot_count; i++) {
        const struct slot *slot = slot_at(connection, i);
        if (slot->kind == SLOT_FORGET_ALL || (slot->kind == SLOT_FORGET && slot->statement == statement))
            return; /* a neighbour saw it first */
    }
    connection_set_prepared(connection, statement, false);
    connection->stale = statement;
}

/* The first error of a query is its own; what follows is only its echo. */
static void note_error(struct postgres_query *query, const PGresult *result)
{
    if (query == NULL || query->has_error)
        return;
    postgres_error_from_result(&query->error, result);
    query->has_error = true;
}

/* Sorts out the statement that an error is about. True: the query is not to blame, and is sent once more.
 * A statement may be missing because segments are sent before the answers of those ahead of them are known: where a
 * Parse was in a segment that was spoiled, the next ones miss its statement. */
static bool is_statements_fault(struct connection *connection, const struct slot *slot, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool again = slot->query == NULL || (!slot->query->alone && !slot->query->delivered);
    if (state == NULL || (slot->query != NULL && slot->query->alone))
        return false;
    if (slot->kind == SLOT_PREPARE) {
        if (strcmp(state, "42P05") == 0) { /* it stands there after all: a request to cancel hit its deallocation */
            note_stale(connection, slot->statement);
            return true;
        }
        note_missing(connection, slot->statement);
        return false;
    }
    if (strcmp(state, "26000") == 0) {
        note_missing(connection, slot->statement);
        return again;
    }
    if (strcmp(state, "0A000") == 0 && again) {
        note_stale(connection, slot->statement);
        return true;
    }
    if (strcmp(state, "42P01") == 0)
        note_stale(connection, slot->statement);
    return false;
}

static void check_user(struct connection *connection, struct postgres_query *query, const PGresult *result)
{
    const char *expected = connection->pool->options.login.user;
    const char *user = PQntuples(result) == 1 ? PQgetvalue(result, 0, PQnfields(result) - 1) : "";
    if (strcmp(user, expected) == 0)
        return;
    log_event(LOG_ERROR, "database_user_changed",
              "a query on a connection of %s ran as %s: its answer is refused, the connection closed", expected, user);
    connection->spoiled = "a query changed the connection's user";
    if (query == NULL || query->has_error)
        return;
    postgres_error_set(&query->error, STATUS_DENIED, connection->spoiled);
    query->has_error = true;
}

bool slot_take(struct connection *connection, const PGresult *result)
{
    const struct slot *slot = slot_at(connection, 0);
    struct postgres_query *query = slot->query;
    switch (PQresultStatus(result)) {
    case PGRES_FATAL_ERROR:
        if (slot->kind == SLOT_FORGET_ALL)
            connection->spoiled = "its statements could not be deallocated";
        else if (slot->kind != SLOT_FORGET && !is_statements_fault(connection, slot, result))
            note_error(query, result);
        return false;
    case PGRES_PIPELINE_ABORTED:
        if (slot->kind == SLOT_PREPARE)
            note_missing(connection, slot->statement);
        return false;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        if (slot->kind == SLOT_SETTINGS)
            check_user(connection, query, result);
        if (slot->kind == SLOT_QUERY && query != NULL)
            query->complete = true;
        return slot->kind == SLOT_QUERY && query != NULL && !query->has_error;
    case PGRES_SINGLE_TUPLE:
        return query != NULL && !query->has_error;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        connection->spoiled = "COPY from stdin or to stdout has no other end here";
        if (query != NULL && !query->has_error)
            postgres_error_set(&query->error, STATUS_FAILED, connection->spoiled);
        if (query != NULL)
            query->has_error = true;
        return false;
    default:
        return false;
    }
}
