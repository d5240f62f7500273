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

void pipeline_send(struct connection *connection, struct postgres_query *query)
{
    char name[20];
    query->connection = connection;
    connection->in_flight++;
    if (query->alone)
        end_segment(connection);
    statement_name(query->statement->id, name);
    bool sent =
        connection->state == CONNECTION_READY &&
        (connection_is_prepared(connection, query->statement->id) || send_prepare(connection, query)) &&
        PQsendQueryPrepared(connection->pg, name, (int)query->parameter_count, query->values, NULL, NULL, 0) == 1;
    if (!sent) {
        /* Where the connection was lost within these calls, the query has been failed with the others. */
        if (connection->state == CONNECTION_READY)
            connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    push_slot(connection, SLOT_QUERY, query, 0);
    if (++connection->segment >= SEGMENT_MAX || query->alone)
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
        note_error(query, result);
        if (slot->kind == SLOT_PREPARE)
            connection_set_prepared(connection, slot->statement, false);
        break;
    case PGRES_PIPELINE_ABORTED:
        if (slot->kind == SLOT_PREPARE)
            connection_set_prepared(connection, slot->statement, false);
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
    while (connection->pg == pg && connection->slot_count != 0 && !PQisBusy(pg)) {
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
        PQclear(result);
    }
    if (connection->pg == pg && PQstatus(pg) == CONNECTION_BAD) {
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
        query_finish(query, &error);
    }
}
