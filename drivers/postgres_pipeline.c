/* The pipelined lane. Queries of one loop turn share segments: several queries, one Sync. libpq sends with every Sync,
 * so a segment is one system call on either side and one transaction on the server's. An error spoils the rest of its
 * segment: those queries, all of them reads, are sent again, each in a segment of its own. */
#include <stdio.h>

#include "drivers/postgres_private.h"

static void push_slot(struct connection *connection, enum slot_kind kind, struct postgres_query *query,
                      uint64_t statement)
{
    size_t at = (connection->slot_first + connection->slot_count++) % SLOTS;
    connection->slots[at] = (struct slot){kind, query, statement};
}

static struct slot pop_slot(struct connection *connection)
{
    struct slot slot = connection->slots[connection->slot_first];
    connection->slot_first = (connection->slot_first + 1) % SLOTS;
    connection->slot_count--;
    return slot;
}

static void end_segment(struct connection *connection)
{
    if (connection->segment == 0)
        return;
    connection->segment = 0;
    push_slot(connection, SLOT_SYNC, NULL, 0);
    if (PQpipelineSync(connection->pg) != 1)
        connection_lost(connection, PQerrorMessage(connection->pg));
}

static void statement_name(uint64_t id, char name[20])
{
    snprintf(name, 20, "s%016llx", (unsigned long long)id);
}

/* A connection keeps a bounded number of statements: past it all are forgotten, in a segment of its own. */
static bool forget_statements(struct connection *connection)
{
    end_segment(connection);
    if (connection->state != CONNECTION_READY ||
        PQsendQueryParams(connection->pg, "deallocate all", 0, NULL, NULL, NULL, NULL, 0) != 1)
        return false;
    push_slot(connection, SLOT_IGNORED, NULL, 0);
    memset(connection->prepared, 0, sizeof(connection->prepared));
    connection->prepared_count = 0;
    connection->segment = 1;
    end_segment(connection);
    return connection->state == CONNECTION_READY;
}

static bool send_prepare(struct connection *connection, struct postgres_query *query)
{
    const struct postgres_statement *statement = query->statement;
    char name[20];
    if (connection->prepared_count >= PREPARED_MAX && !forget_statements(connection))
        return false;
    statement_name(statement->id, name);
    if (PQsendPrepare(connection->pg, name, statement->sql,
                      statement->parameter_types != NULL ? (int)statement->parameter_count : 0,
                      statement->parameter_types) != 1)
        return false;
    push_slot(connection, SLOT_PREPARE, query, statement->id);
    connection_set_prepared(connection, statement->id, true);
    return true;
}

static bool send_prepared(struct connection *connection, struct postgres_query *query)
{
    char name[20];
    statement_name(query->statement->id, name);
    return (connection_is_prepared(connection, query->statement->id) || send_prepare(connection, query)) &&
           PQsendQueryPrepared(connection->pg, name, (int)query->parameter_count, query->values, NULL, NULL,
                               query->statement->binary) == 1;
}

/* Without a prepared statement: what is sent for the second time depends on no other segment. */
static bool send_alone(struct connection *connection, struct postgres_query *query)
{
    const struct postgres_statement *statement = query->statement;
    return PQsendQueryParams(connection->pg, statement->sql, (int)statement->parameter_count,
                             statement->parameter_types, query->values, NULL, NULL, query->statement->binary) == 1;
}

void pipeline_send(struct connection *connection, struct postgres_query *query)
{
    bool alone = query->alone;
    query->connection = connection;
    if (connection->in_flight++ == 0 && connection->timer.loop == NULL)
        connection_expect(connection);
    if (alone)
        end_segment(connection);
    if (connection->state != CONNECTION_READY)
        return; /* lost within that: the query has been failed with the others, and may be gone */
    if (!(alone ? send_alone(connection, query) : send_prepared(connection, query))) {
        /* The same, where it was lost within these calls. */
        if (connection->state == CONNECTION_READY)
            connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_slot(connection, SLOT_QUERY, query, query->statement->id);
    if (++connection->segment >= SEGMENT_MAX || alone)
        end_segment(connection);
}

void pipeline_flush(struct connection *connection)
{
    if (connection->state != CONNECTION_READY)
        return;
    end_segment(connection);
    if (connection->state != CONNECTION_READY)
        return;
    int left = PQflush(connection->pg);
    if (left < 0)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (left == 1)
        loop_watch_writable(connection->watch, true);
}

/* The server has it not. Whoever sent a Parse of it since then will know better. */
static void forget_one(struct connection *connection, uint64_t statement)
{
    for (size_t i = 1; i < connection->slot_count; i++) {
        const struct slot *slot = &connection->slots[(connection->slot_first + i) % SLOTS];
        if (slot->kind == SLOT_PREPARE && slot->statement == statement)
            return;
    }
    connection_set_prepared(connection, statement, false);
}

/* Segments are sent before the answers of those ahead of them are known: where a Parse was in a segment that was
 * spoiled, the next segments miss its statement. That is not the query's fault: it is sent again like one that a
 * neighbour spoiled. */
static bool is_statement_missing(struct connection *connection, const struct slot *slot, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (slot->kind != SLOT_QUERY || state == NULL || strcmp(state, "26000") != 0)
        return false;
    forget_one(connection, slot->statement);
    return slot->query == NULL || !slot->query->alone;
}

/* The first error of a query is its own; what follows is only its echo. */
static void note_error(struct postgres_query *query, const PGresult *result)
{
    if (query == NULL || query->has_error)
        return;
    postgres_error_from_result(&query->error, result);
    query->has_error = true;
}

static void take_result(struct connection *connection, struct slot *slot, const PGresult *result)
{
    struct postgres_query *query = slot->query;
    struct postgres_rows rows = {result};
    switch (PQresultStatus(result)) {
    case PGRES_FATAL_ERROR:
        if (is_statement_missing(connection, slot, result))
            break;
        note_error(query, result);
        if (slot->kind == SLOT_PREPARE)
            forget_one(connection, slot->statement);
        break;
    case PGRES_PIPELINE_ABORTED:
        if (slot->kind == SLOT_PREPARE)
            forget_one(connection, slot->statement);
        break;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (slot->kind != SLOT_QUERY || query == NULL)
            break;
        query->delivered = true;
        if (query->handlers.on_rows != NULL)
            query->handlers.on_rows(query->context, &rows);
        break;
    default:
        break;
    }
}

static void end_query(struct connection *connection, struct postgres_query *query)
{
    connection->in_flight--;
    connection->answered = true;
    if (query == NULL)
        return;
    query->connection = NULL;
    if (query->has_error) {
        query_finish(query, &query->error);
    } else if (query->delivered) {
        query_finish(query, NULL);
    } else if (!query->alone) {
        query->alone = true; /* spoiled by a neighbour */
        query_requeue(query);
    } else {
        struct postgres_error error;
        postgres_error_set(&error, STATUS_FAILED, "the server skipped the query");
        query_finish(query, &error);
    }
}

void pipeline_read(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    PGconn *pg = connection->pg;
    bool is_lost = false;
    while (connection->pg == pg && !is_lost && connection->slot_count != 0 && !PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        struct slot *front = &connection->slots[connection->slot_first];
        if (result == NULL) {
            if (front->kind == SLOT_SYNC)
                break; /* nothing more until the Sync is there */
            struct slot ended = pop_slot(connection);
            if (ended.kind == SLOT_QUERY)
                end_query(connection, ended.query);
            continue;
        }
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC && front->kind == SLOT_SYNC)
            pop_slot(connection);
        else
            take_result(connection, front, result);
        is_lost = postgres_result_is_fatal(result);
        PQclear(result);
    }
    if (connection->pg == pg && (is_lost || PQstatus(pg) == CONNECTION_BAD)) {
        connection_lost(connection, PQerrorMessage(pg));
        return;
    }
    pool_dispatch(pool);
}

/* The connection is gone (its slots were forgotten with it): whoever waited for it is told. */
void pipeline_fail(struct connection *connection)
{
    struct postgres_error error;
    postgres_error_set(&error, STATUS_UNAVAILABLE, "the connection to the database was lost");
    struct postgres *pool = connection->pool;
    for (;;) {
        struct postgres_query *query = NULL;
        for (struct postgres_query *each = pool->sent_first; each != NULL && query == NULL; each = each->next)
            if (each->connection == connection)
                query = each;
        if (query == NULL)
            return;
        query->connection = NULL;
        query_finish(query, query->has_error ? &query->error : &error);
    }
}
