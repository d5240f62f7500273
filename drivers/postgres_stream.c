/* The streamed pool: one query a connection, rows handed over at the pace of whoever takes them, cancelled when nobody
 * does. */
#include <stdio.h>

#include "drivers/postgres_private.h"

#define ROWS_A_TURN 256 /* then the loop sees to its other sockets */
#define CANCEL_DEADLINE_MS 2000
#define CANCEL_AGAIN_MS 25

static void deliver(struct connection *connection);
static void drain(struct connection *connection);

static void send_step(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    const struct postgres_statement *statement = query->statement;
    char name[20];
    int sent;
    connection->step = query->step;
    connection->step_statement = statement->id;
    snprintf(name, sizeof(name), "s%016llx", (unsigned long long)statement->id);
    if (query->step == STEP_FORGET)
        sent = PQsendQuery(connection->pg, "deallocate all");
    else if (query->step == STEP_PREPARE)
        sent = PQsendPrepare(connection->pg, name, statement->sql,
                             statement->parameter_types != NULL ? (int)statement->parameter_count : 0,
                             statement->parameter_types);
    else
        sent = PQsendQueryPrepared(connection->pg, name, (int)query->parameter_count, query->values, NULL, NULL,
                                   statement->binary);
    if (sent == 1 && query->step == STEP_EXECUTE && !query->whole)
        sent = PQsetSingleRowMode(connection->pg);
    int left = sent == 1 ? PQflush(connection->pg) : -1;
    if (left < 0)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (left == 1)
        loop_watch_writable(connection->watch, true);
}

void stream_send(struct connection *connection, struct postgres_query *query)
{
    connection_enter(connection, CONNECTION_BUSY);
    connection->query = query;
    query->connection = connection;
    query->step = connection_is_prepared(connection, query->statement->id) ? STEP_EXECUTE
                  : connection->prepared_count >= PREPARED_MAX             ? STEP_FORGET
                                                                           : STEP_PREPARE;
    send_step(connection);
}

/* The server did what was sent last, wanted any more or not. */
static void note_step(struct connection *connection)
{
    if (connection->step == STEP_FORGET) {
        memset(connection->prepared, 0, sizeof(connection->prepared));
        connection->prepared_count = 0;
    } else if (connection->step == STEP_PREPARE) {
        connection_set_prepared(connection, connection->step_statement, true);
    }
}

/* PQgetResult gave NULL: the step has ended. */
static void end_step(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    struct postgres *pool = connection->pool;
    if (!query->has_error && query->step != STEP_EXECUTE) {
        note_step(connection);
        query->step = query->step == STEP_FORGET ? STEP_PREPARE : STEP_EXECUTE;
        send_step(connection);
        /* It was switched off where the step's end was met after a pause. */
        if (connection->state == CONNECTION_BUSY)
            loop_watch_readable(connection->watch, true);
        return;
    }
    connection->query = NULL;
    query->connection = NULL;
    connection_enter(connection, CONNECTION_READY);
    loop_watch_readable(connection->watch, true);
    query_finish(query, query->has_error ? &query->error : NULL);
    pool_dispatch(pool);
}

static void take_result(struct connection *connection, const PGresult *result)
{
    struct postgres_query *query = connection->query;
    struct postgres_rows rows = {result};
    switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        query->delivered = true;
        if (query->handlers.on_rows != NULL)
            query->handlers.on_rows(query->context, &rows);
        break;
    case PGRES_TUPLES_OK:
        /* In single-row mode the end, without rows: told only when there was no row at all. */
        if ((query->whole || !query->delivered) && query->step == STEP_EXECUTE && query->handlers.on_rows != NULL)
            query->handlers.on_rows(query->context, &rows);
        break;
    case PGRES_FATAL_ERROR:
        if (!query->has_error)
            postgres_error_from_result(&query->error, result);
        query->has_error = true;
        break;
    default:
        break;
    }
}

void connection_on_resume(struct loop_timer *timer)
{
    deliver((struct connection *)((char *)timer - offsetof(struct connection, resume)));
}

static void deliver(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    if (connection->is_delivering)
        return;
    connection->is_delivering = true;
    int count = 0;
    bool is_lost = false;
    /* A handler may cancel the query, or the connection may be lost, within any of these calls. */
    while (connection->state == CONNECTION_BUSY && connection->query == query && !query->paused &&
           !PQisBusy(connection->pg)) {
        if (count++ == ROWS_A_TURN) {
            loop_timer_start(connection->pool->loop, &connection->resume, 0, connection_on_resume);
            break;
        }
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL) {
            connection->is_delivering = false;
            end_step(connection);
            return;
        }
        take_result(connection, result);
        is_lost = postgres_result_is_fatal(result);
        PQclear(result);
        if (is_lost)
            break;
    }
    connection->is_delivering = false;
    if (connection->state == CONNECTION_CANCELLING)
        drain(connection); /* what libpq holds already would not wake the loop again */
    else if (is_lost && connection->state == CONNECTION_BUSY)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (connection->state == CONNECTION_BUSY && connection->query == query)
        loop_watch_readable(connection->watch, !query->paused && connection->resume.loop == NULL);
}

static void finish_cancel(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    if (connection->state != CONNECTION_CANCELLING || !connection->drained || connection->cancels_pending != 0)
        return;
    connection_enter(connection, CONNECTION_READY);
    loop_watch_readable(connection->watch, true);
    pool_dispatch(pool);
}

/* Reads what still comes of the cancelled query. */
static void drain(struct connection *connection)
{
    bool is_lost = false;
    while (!connection->drained && !PQisBusy(connection->pg)) {
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL)
            connection->drained = true;
        else if (PQresultStatus(result) == PGRES_COMMAND_OK)
            note_step(connection);
        is_lost = is_lost || postgres_result_is_fatal(result);
        PQclear(result);
    }
    if (is_lost || PQstatus(connection->pg) == CONNECTION_BAD) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    finish_cancel(connection);
}

static void on_cancel_returned(struct connection *connection)
{
    connection->cancels_pending--;
    finish_cancel(connection);
}

void stream_cancel(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    connection->query = NULL;
    connection->drained = false;
    pool->statistics.cancels++;
    connection_enter(connection, CONNECTION_CANCELLING);
    loop_timer_stop(&connection->resume);
    if (!canceller_run(pool->canceller, connection, on_cancel_returned)) {
        connection_lost(connection, "out of memory");
        return;
    }
    connection->cancels_pending++;
    connection->cancelled_ms = loop_now_ms(pool->loop);
    loop_timer_start(pool->loop, &connection->timer, CANCEL_AGAIN_MS, connection_on_timer);
    loop_watch_readable(connection->watch, true);
    /* What libpq holds already would not wake the loop again. Within a handler, deliver does this. */
    if (!connection->is_delivering)
        drain(connection);
}

/* PostgreSQL ignores a request to cancel that comes before it has read the query: so it is made again. None outlives
 * the state, because the connection is not given away while one is pending. */
void stream_cancel_again(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    if (loop_now_ms(pool->loop) - connection->cancelled_ms >= CANCEL_DEADLINE_MS) {
        connection_lost(connection, "a cancelled query did not end");
        return;
    }
    if (connection->cancels_pending == 0 && canceller_run(pool->canceller, connection, on_cancel_returned))
        connection->cancels_pending++;
    loop_timer_start(pool->loop, &connection->timer, CANCEL_AGAIN_MS, connection_on_timer);
}

void stream_read(struct connection *connection)
{
    if (connection->state == CONNECTION_BUSY)
        deliver(connection);
    else if (connection->state == CONNECTION_CANCELLING)
        drain(connection);
    else if (PQstatus(connection->pg) == CONNECTION_BAD)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else
        (void)PQisBusy(connection->pg); /* a notice or a parameter's change on an idle connection */
}

void stream_fail(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    struct postgres_error error;
    connection->query = NULL;
    if (query == NULL)
        return;
    query->connection = NULL;
    postgres_error_set(&error, STATUS_UNAVAILABLE, "the connection to the database was lost");
    query_finish(query, query->has_error ? &query->error : &error);
}
