/* The streamed pool: one query a connection, rows handed over at the pace of whoever takes them, cancelled when nobody
 * does. */
#include <sys/ioctl.h>

#include "base/clock.h"
#include "drivers/postgres_private.h"

#define TURN_US 100     /* then the loop sees to its other sockets */
#define DRAIN_US 500    /* the same while a cancelled query's rest is read: it is short, and the server waits for it */
#define ROWS_A_LOOK 32  /* rows between two looks at the clock */
#define READS_A_LOOK 8  /* of the socket, for one answer: a whole result of the usual size in one go */
#define READ_SIZE 16384 /* bytes that libpq reads at once, at first */
#define READ_LARGE ((size_t)64 << 10) /* bytes: is it so much, its buffer is not made larger for a whole result */
#define CANCEL_DEADLINE_MS 2000
#define CANCEL_AGAIN_MS 25

static void deliver(struct connection *connection);
static void drain(struct connection *connection);

/* A query's rows come one by one once its answer is next. What nobody waits for must not gather in memory either. */
static void choose_mode(struct connection *connection)
{
    const struct slot *front = slot_at(connection, 0);
    if (connection->slot_count != 0 && front->kind == SLOT_QUERY && (front->query == NULL || !front->query->whole))
        (void)PQsetSingleRowMode(connection->pg);
}

static void send_query(struct connection *connection, struct postgres_query *query)
{
    if (connection->stale != 0)
        segment_forget(connection, connection->stale);
    connection->stale = 0;
    if (connection->pg != NULL)
        segment_add(connection, query);
    if (connection->pg != NULL)
        segment_flush(connection);
    if (connection->pg != NULL)
        choose_mode(connection);
}

void stream_send(struct connection *connection, struct postgres_query *query)
{
    connection_enter(connection, CONNECTION_BUSY);
    connection_expect(connection);
    connection->query = query;
    connection->unread = 0;
    if (connection->read_size < READ_SIZE)
        connection->read_size = READ_SIZE;
    query->connection = connection;
    send_query(connection, query);
}

/* A query that no connection is busy with any more. Where its rows' taker asks for a pause, there is nothing to wait
 * with: he has them all. */
static void finish_whole(struct postgres_query *query, PGresult *held)
{
    struct postgres *pool = query->pool;
    const struct postgres_rows rows = {held};
    if (!query->has_error && query->handlers.on_rows != NULL)
        query->handlers.on_rows(query->context, &rows);
    if (pool->finishing == query)
        query_finish(query, query->has_error ? &query->error : NULL);
}

/* The Sync has come: the query has ended, or is sent once more because its statement was no good.
 * The connection has its next query before a whole result is handed over: what is made of it takes as long as the
 * server takes for a good part of the next one. */
static void end_query(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    struct postgres *pool = connection->pool;
    if (!query->has_error && !query->complete && !query->alone) {
        query->alone = true;
        send_query(connection, query);
        return;
    }
    if (!query->has_error && !query->complete) {
        postgres_error_set(&query->error, STATUS_FAILED, "the server skipped the query");
        query->has_error = true;
    }
    PGresult *held = connection->held;
    connection->held = NULL;
    connection->query = NULL;
    query->connection = NULL;
    connection_enter(connection, CONNECTION_READY);
    loop_watch_readable(connection->watch, true);
    pool->finishing = held != NULL ? query : NULL;
    if (held == NULL)
        query_finish(query, query->has_error ? &query->error : NULL);
    share_return(connection);
    pool_dispatch(pool);
    /* Whoever made a callback meanwhile may have cancelled the query, or stopped the pool. */
    if (held != NULL && pool->finishing == query)
        finish_whole(query, held);
    PQclear(held);
}

/* One answer, or the end of one. False: nothing more until something is read from the socket. */
static bool take_next(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    PGresult *result = PQgetResult(connection->pg);
    enum slot_kind kind = slot_at(connection, 0)->kind;
    struct postgres_rows rows = {result};
    if (result == NULL && kind == SLOT_SYNC)
        return false;
    ExecStatusType status = PQresultStatus(result);
    if (result == NULL || (status == PGRES_PIPELINE_SYNC && kind == SLOT_SYNC)) {
        slot_pop(connection);
        choose_mode(connection);
    } else if (slot_take(connection, result) && !(status != PGRES_SINGLE_TUPLE && !query->whole && query->delivered)) {
        /* In single-row mode the end comes without rows: told only when there was no row at all. */
        query->delivered = true;
        if (query->whole && connection->held == NULL) {
            connection->held = result;
            return true;
        }
        if (query->handlers.on_rows != NULL)
            query->handlers.on_rows(query->context, &rows);
    }
    if (postgres_result_is_fatal(result) && connection->spoiled == NULL)
        connection->spoiled = "the server ended the connection";
    PQclear(result);
    return true;
}

void connection_on_resume(struct loop_timer *timer)
{
    struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, resume));
    if (connection->state == CONNECTION_CANCELLING)
        drain(connection);
    else
        deliver(connection);
}

/* libpq does not tell how much it has gathered of an answer. What stands in the socket before each of its reads does,
 * to within what came while it read: it reads as much as its buffer has room for, which a long row has made larger on
 * some connections than on others. How large is seen when there is less left behind a read than there should be. */
bool stream_note_waiting(struct connection *connection)
{
    int waiting = 0;
    struct postgres_query *query = connection->query;
    if (ioctl(PQsocket(connection->pg), FIONREAD, &waiting) != 0 || waiting <= 0)
        return false;
    size_t here = (size_t)waiting;
    if (query != NULL) {
        if (connection->unread > here) {
            query->gathered += connection->unread - here;
            connection->read_size += connection->unread - here;
        }
        size_t read = here < connection->read_size ? here : connection->read_size;
        query->gathered += read;
        connection->unread = here - read;
    }
    return true;
}

/* libpq makes its buffer larger when it is asked to read and there is no room left. A whole result stands in memory at
 * its end anyway: here it comes in a few large reads instead of many small ones, and those that this connection brings
 * later too. */
bool stream_consume(struct connection *connection)
{
    const struct postgres_query *query = connection->query;
    do
        if (PQconsumeInput(connection->pg) != 1)
            return false;
    while (query != NULL && query->whole && connection->unread != 0 && connection->read_size < READ_LARGE &&
           stream_note_waiting(connection));
    return true;
}

/* libpq holds another answer, or the socket has more of one. False too where the connection was found broken. */
static bool has_more(struct connection *connection)
{
    for (int i = 0; i < READS_A_LOOK; i++) {
        if (!PQisBusy(connection->pg))
            return true;
        if (!stream_note_waiting(connection) || !stream_consume(connection))
            return false;
    }
    return !PQisBusy(connection->pg);
}

/* A result that was thought to be small and is not: as if its caller had cancelled it, but he is told. */
static bool has_outgrown(struct connection *connection)
{
    const struct postgres_query *query = connection->query;
    return query->whole_most != 0 && query->gathered > query->whole_most && !query->delivered &&
           PQisBusy(connection->pg);
}

static void end_outgrown(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    struct postgres_error error;
    postgres_error_set(&error, STATUS_TOO_LARGE, "the result is larger than one that comes whole may be");
    slots_detach(connection, query);
    query->connection = NULL;
    stream_cancel(connection);
    query_finish(query, &error);
}

static void deliver(struct connection *connection)
{
    struct postgres_query *query = connection->query;
    if (connection->is_delivering)
        return;
    connection->is_delivering = true;
    uint64_t end_us = clock_monotonic_us() + TURN_US;
    unsigned count = 0;
    /* A handler may cancel the query, or the connection may be lost, within any of these calls. */
    while (connection->state == CONNECTION_BUSY && connection->query == query && !query->paused &&
           connection->spoiled == NULL && connection->slot_count != 0 && has_more(connection)) {
        if (count++ % ROWS_A_LOOK == ROWS_A_LOOK - 1 && clock_monotonic_us() >= end_us) {
            loop_timer_start(connection->pool->loop, &connection->resume, 0, connection_on_resume);
            break;
        }
        if (!take_next(connection))
            break;
    }
    connection->is_delivering = false;
    if (connection->state == CONNECTION_CANCELLING)
        drain(connection); /* what libpq holds already would not wake the loop again */
    else if (connection->state != CONNECTION_BUSY || connection->query != query)
        return;
    else if (connection->spoiled != NULL || PQstatus(connection->pg) == CONNECTION_BAD)
        connection_lost(connection, connection->spoiled != NULL ? connection->spoiled : PQerrorMessage(connection->pg));
    else if (connection->slot_count == 0)
        end_query(connection);
    else if (has_outgrown(connection))
        end_outgrown(connection);
    if (connection->state == CONNECTION_BUSY && connection->query == query)
        loop_watch_readable(connection->watch, !query->paused && connection->resume.loop == NULL);
}

static void finish_cancel(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    if (connection->state != CONNECTION_CANCELLING || connection->slot_count != 0 || connection->cancels_pending != 0)
        return;
    connection_enter(connection, CONNECTION_READY);
    loop_watch_readable(connection->watch, true);
    share_return(connection);
    pool_dispatch(pool);
}

/* Reads what still comes of the cancelled query. Not one read a turn: megabytes may stand in the sockets' buffers, and
 * the server heeds the request only once it gets rid of what it was writing. */
static void drain(struct connection *connection)
{
    uint64_t end_us = clock_monotonic_us() + DRAIN_US;
    unsigned count = 0;
    while (connection->slot_count != 0 && connection->spoiled == NULL && has_more(connection)) {
        if (count++ % ROWS_A_LOOK == ROWS_A_LOOK - 1 && clock_monotonic_us() >= end_us) {
            /* Not read on beside that: libpq would gather faster than this takes from it, and keeps a buffer that
             * became 4 MB for as long as the connection lives. */
            loop_watch_readable(connection->watch, false);
            loop_timer_start(connection->pool->loop, &connection->resume, 0, connection_on_resume);
            return;
        }
        if (!take_next(connection))
            break;
    }
    if (connection->spoiled != NULL || PQstatus(connection->pg) == CONNECTION_BAD) {
        connection_lost(connection, connection->spoiled != NULL ? connection->spoiled : PQerrorMessage(connection->pg));
        return;
    }
    loop_watch_readable(connection->watch, true);
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
    PQclear(connection->held);
    connection->held = NULL;
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

bool stream_is_fed(const struct connection *connection)
{
    int waiting = 0;
    return (connection->query != NULL && connection->query->paused) || connection->resume.loop != NULL ||
           (ioctl(PQsocket(connection->pg), FIONREAD, &waiting) == 0 && waiting > 0);
}

void stream_read(struct connection *connection)
{
    connection->answered = true;
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
