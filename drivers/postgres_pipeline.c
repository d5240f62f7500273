/* The pipelined lane. Queries of one loop turn share segments: several queries, one Sync. libpq sends with every Sync,
 * so a segment is one system call on either side and one transaction on the server's. An error spoils the rest of its
 * segment: those queries, all of them reads, are sent again, each in a segment of its own. */
#include <stdio.h>

#include "drivers/postgres_private.h"

void pipeline_send(struct connection *connection, struct postgres_query *query)
{
    if (connection->in_flight++ == 0 && connection->timer.loop == NULL)
        connection_expect(connection);
    segment_add(connection, query);
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
    } else if (query->complete) {
        query_finish(query, NULL);
    } else if (!query->alone) {
        query->alone = true; /* spoiled by a neighbour, or its statement was */
        query_requeue(query);
    } else {
        struct postgres_error error;
        postgres_error_set(&error, STATUS_FAILED, "the server skipped the query");
        query_finish(query, &error);
    }
}

static void hand_over(struct postgres_query *query, const PGresult *result)
{
    struct postgres_rows rows = {result};
    query->delivered = true;
    if (query->handlers.on_rows != NULL)
        query->handlers.on_rows(query->context, &rows);
}

/* Whoever uses the statement next prepares it anew. Not before the failed query's answer has ended: libpq 15 loses its
 * end (the NULL) when something is sent between the error and that. */
static void forget_stale(struct connection *connection)
{
    uint64_t stale = connection->stale;
    connection->stale = 0;
    if (stale == 0 || connection->pg == NULL)
        return;
    segment_forget(connection, stale);
    loop_hook_request(connection->pool->loop, &connection->pool->flush_hook);
}

void pipeline_read(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    PGconn *pg = connection->pg;
    bool is_lost = false;
    while (connection->pg == pg && !is_lost && connection->slot_count != 0 && !PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        struct slot *front = slot_at(connection, 0);
        if (result == NULL) {
            if (front->kind == SLOT_SYNC)
                break; /* nothing more until the Sync is there */
            struct slot ended = slot_pop(connection);
            forget_stale(connection);
            if (ended.kind == SLOT_QUERY && connection->pg == pg)
                end_query(connection, ended.query);
            continue;
        }
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC && front->kind == SLOT_SYNC)
            slot_pop(connection);
        else if (slot_take(connection, result))
            hand_over(front->query, result);
        is_lost = postgres_result_is_fatal(result) || connection->spoiled != NULL;
        PQclear(result);
    }
    if (connection->pg == pg && (is_lost || PQstatus(pg) == CONNECTION_BAD)) {
        connection_lost(connection, connection->spoiled != NULL ? connection->spoiled : PQerrorMessage(pg));
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
