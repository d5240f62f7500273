/* One connection's life: connecting, settings and check, serving, loss, and the next attempt. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/random.h"
#include "drivers/postgres_private.h"

#define READS_PER_TURN 4           /* then the loop sees to its other sockets */
#define SILENCE_MS 2000            /* beyond statement_timeout, after which the server itself would have spoken */
#define RECEIVE_BUFFER (256 << 10) /* bytes; streamed connections */
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 2000

void connection_on_timer(struct loop_timer *timer);

/* The only place where a state changes. */
void connection_enter(struct connection *connection, enum connection_state state)
{
    struct postgres *pool = connection->pool;
    bool was_open = connection->state >= CONNECTION_READY, is_open = state >= CONNECTION_READY;
    bool was_busy = connection->state >= CONNECTION_BUSY, is_busy = state >= CONNECTION_BUSY;
    pool->statistics.open += (size_t)is_open - (size_t)was_open;
    pool->statistics.busy += (size_t)is_busy - (size_t)was_busy;
    enum connection_state before = connection->state;
    connection->state = state;
    if (pool->options.share != NULL)
        share_moved(connection, before);
    loop_timer_stop(&connection->timer);
    if (state == CONNECTION_READY && pool->options.mode == POSTGRES_STREAMED && pool->options.idle_timeout_ms != 0 &&
        (connection != pool->connections || pool->options.share != NULL))
        loop_timer_start(pool->loop, &connection->timer, pool->options.idle_timeout_ms, connection_on_timer);
}

bool connection_is_prepared(const struct connection *connection, uint64_t id)
{
    size_t at = id % PREPARED_TABLE;
    while (connection->prepared[at] != 0 && connection->prepared[at] != id)
        at = (at + 1) % PREPARED_TABLE;
    return connection->prepared[at] == id;
}

void connection_set_prepared(struct connection *connection, uint64_t id, bool prepared)
{
    size_t at = id % PREPARED_TABLE;
    while (connection->prepared[at] != 0 && connection->prepared[at] != id)
        at = (at + 1) % PREPARED_TABLE;
    if (prepared && connection->prepared[at] == 0) {
        connection->prepared[at] = id;
        connection->prepared_count++;
    }
    if (prepared || connection->prepared[at] == 0)
        return;
    /* Those behind it must still be found: put the rest of the run in again. */
    connection->prepared[at] = 0;
    connection->prepared_count--;
    for (size_t next = (at + 1) % PREPARED_TABLE; connection->prepared[next] != 0; next = (next + 1) % PREPARED_TABLE) {
        uint64_t moved = connection->prepared[next];
        connection->prepared[next] = 0;
        connection->prepared_count--;
        connection_set_prepared(connection, moved, true);
    }
}

void connection_close(struct connection *connection)
{
    loop_timer_stop(&connection->timer);
    loop_timer_stop(&connection->resume);
    if (connection->watch != NULL)
        loop_watch_stop(connection->watch);
    connection->watch = NULL;
    if (connection->pg != NULL)
        PQfinish(connection->pg);
    connection->pg = NULL;
    PQclear(connection->held);
    connection->held = NULL;
    memset(connection->prepared, 0, sizeof(connection->prepared));
    connection->prepared_count = 0;
    connection->slot_first = connection->slot_count = connection->in_flight = connection->segment = 0;
    connection->check_passed = false;
    connection->stale = 0;
    connection->read_size = 0;
    connection->spoiled = NULL;
    connection_enter(connection, CONNECTION_CLOSED);
}

/* Is it wanted without anybody waiting? The first one always, so that the pool knows when the server is back; but of a
 * share there are too many for that. */
static bool is_kept(const struct connection *connection)
{
    const struct postgres *pool = connection->pool;
    return pool->options.mode == POSTGRES_PIPELINED || (connection == pool->connections && pool->options.share == NULL);
}

void connection_lost(struct connection *connection, const char *reason)
{
    struct postgres *pool = connection->pool;
    bool was_serving = connection->state >= CONNECTION_READY;
    char words[600];
    postgres_reason(words, sizeof(words), reason != NULL ? reason : "closed");
    connection_close(connection);
    if (pool->closing)
        return;
    if (was_serving || !pool->last_failed)
        log_event(LOG_WARNING, "database_connection_lost", "%s as %s: %s; trying again", pool->options.login.database,
                  pool->options.login.user, words);
    pool->statistics.reconnects++;
    if (!was_serving) {
        pool->backoff_ms = pool->backoff_ms * 2 < BACKOFF_LAST_MS ? pool->backoff_ms * 2 : BACKOFF_LAST_MS;
        pool->retry_ms = loop_now_ms(pool->loop) + pool->backoff_ms;
        pool_connection_failed(pool);
    } else {
        pool->backoff_ms = BACKOFF_FIRST_MS;
        pool->retry_ms = 0;
    }
    if (is_kept(connection))
        loop_timer_start(pool->loop, &connection->timer, 1 + random_below(pool->backoff_ms), connection_on_timer);
    if (was_serving && pool->options.mode == POSTGRES_PIPELINED)
        pipeline_fail(connection);
    else if (was_serving)
        stream_fail(connection);
    if (pool->options.share != NULL && pool->waiting != 0)
        loop_hook_request(pool->loop, &pool->flush_hook); /* nothing else looks after those that wait */
}

static void continue_setup(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    while (connection->pg != NULL && !PQisBusy(connection->pg)) {
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK)
            connection->check_passed = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
        bool failed = status == PGRES_FATAL_ERROR;
        char reason[160];
        snprintf(reason, sizeof(reason), "%s", failed ? PQresultErrorMessage(result) : "");
        PQclear(result);
        if (failed) {
            connection_lost(connection, reason);
            return;
        }
    }
    if (PQisBusy(connection->pg))
        return;
    if (!connection->check_passed) {
        log_event(LOG_ERROR, "database_role_refused", "the role %s is not what this lane needs: %s",
                  pool->options.login.user,
                  "it has rights or memberships beyond it; sluice migrate and sluice customer add make roles that fit");
        connection_lost(connection, "role refused");
        return;
    }
    if (PQenterPipelineMode(connection->pg) != 1) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    connection_enter(connection, CONNECTION_READY);
    pool->last_failed = false;
    pool->backoff_ms = BACKOFF_FIRST_MS;
    if (pool->waiting == 0)
        share_return(connection);
    pool_dispatch(pool);
}

/* libpq reads once for each call, and as much as its buffer has room for: 16 KB on one connection, a megabyte on
 * another that once had a large message. Read once a turn, the first would starve beside the second. */
static void read_pipeline(struct connection *connection)
{
    PGconn *pg = connection->pg;
    for (int i = 0, waiting = 1; i < READS_PER_TURN && waiting != 0; i++) {
        if (i != 0 && PQconsumeInput(pg) != 1) {
            connection_lost(connection, PQerrorMessage(pg));
            return;
        }
        pipeline_read(connection);
        if (connection->pg != pg || connection->state != CONNECTION_READY ||
            ioctl(PQsocket(pg), FIONREAD, &waiting) != 0)
            return;
    }
}

static void on_readable(void *context)
{
    struct connection *connection = context;
    bool streamed = connection->pool->options.mode == POSTGRES_STREAMED;
    if (streamed)
        (void)stream_note_waiting(connection); /* an end that stands there is found by reading */
    if (streamed ? !stream_consume(connection) : PQconsumeInput(connection->pg) != 1) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    if (connection->state == CONNECTION_SETTING_UP)
        continue_setup(connection);
    else if (connection->pool->options.mode == POSTGRES_PIPELINED)
        read_pipeline(connection);
    else
        stream_read(connection);
}

static void on_writable(void *context)
{
    struct connection *connection = context;
    int left = PQflush(connection->pg);
    if (left < 0)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (left == 0)
        loop_watch_writable(connection->watch, false);
}

void connection_watch(struct connection *connection)
{
    if (connection->watch != NULL)
        loop_watch_stop(connection->watch);
    connection->watch =
        loop_watch_start(connection->pool->loop, PQsocket(connection->pg), on_readable, on_writable, connection);
    if (connection->watch != NULL)
        loop_watch_readable(connection->watch, true);
}

/* The kernel's own choice grows to megabytes: held for each paused stream, and to be read by whoever cancels one,
 * because the server heeds that only when it gets rid of what it was writing. */
static void bound_receive_buffer(struct connection *connection)
{
    const int size = RECEIVE_BUFFER;
    (void)setsockopt(PQsocket(connection->pg), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* One simple query for all settings and the check: one round trip. */
static void start_setup(struct connection *connection)
{
    const struct postgres_options *options = &connection->pool->options;
    struct buffer sql;
    buffer_init(&sql, 16384);
    buffer_printf(
        &sql,
        "set statement_timeout = %u; set standard_conforming_strings = on; set datestyle = 'ISO, YMD'; set "
        "intervalstyle = iso_8601; "
        "set timezone = 'UTC'; set extra_float_digits = 1; set bytea_output = hex; set client_min_messages = error; ",
        options->statement_timeout_ms);
    for (size_t i = 0; options->settings != NULL && options->settings[i] != NULL; i += 2) {
        buffer_append_literal(&sql, "set ");
        postgres_append_identifier(&sql, text_from_string(options->settings[i]));
        buffer_append_literal(&sql, " = ");
        postgres_append_literal(&sql, text_from_string(options->settings[i + 1]));
        buffer_append_literal(&sql, "; ");
    }
    buffer_append_string(&sql, options->check != NULL ? options->check : "select true");
    const char *text = buffer_c_string(&sql);
    connection_enter(connection, CONNECTION_SETTING_UP);
    if (options->mode == POSTGRES_STREAMED)
        bound_receive_buffer(connection);
    loop_timer_start(connection->pool->loop, &connection->timer, options->login.connect_timeout_ms,
                     connection_on_timer);
    connection_watch(connection);
    bool sent = text != NULL && connection->watch != NULL && PQsetnonblocking(connection->pg, 1) == 0 &&
                PQsendQuery(connection->pg, text) == 1;
    buffer_free(&sql);
    if (!sent)
        connection_lost(connection, PQerrorMessage(connection->pg));
    else if (PQflush(connection->pg) == 1)
        loop_watch_writable(connection->watch, true);
}

static void on_connect_event(void *context);

static void poll_connect(struct connection *connection)
{
    PostgresPollingStatusType wanted = PQconnectPoll(connection->pg);
    if (connection->watch != NULL)
        loop_watch_stop(connection->watch);
    connection->watch = NULL;
    if (wanted == PGRES_POLLING_OK) {
        start_setup(connection);
        return;
    }
    /* libpq may have gone on to another socket: the watch is made anew for every step. */
    if (wanted != PGRES_POLLING_FAILED)
        connection->watch = loop_watch_start(connection->pool->loop, PQsocket(connection->pg), on_connect_event,
                                             on_connect_event, connection);
    if (connection->watch == NULL) {
        connection_lost(connection, PQerrorMessage(connection->pg));
        return;
    }
    loop_watch_readable(connection->watch, wanted == PGRES_POLLING_READING);
    loop_watch_writable(connection->watch, wanted == PGRES_POLLING_WRITING);
}

static void on_connect_event(void *context)
{
    poll_connect(context);
}

/* libpq would print them on stderr. What matters comes as an error too. */
static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

void connection_open(struct connection *connection)
{
    const char *keywords[POSTGRES_KEYWORDS], *values[POSTGRES_KEYWORDS];
    struct postgres_keyword_room room;
    const struct postgres_login *login = &connection->pool->options.login;
    postgres_keywords(login, connection->pool->first_host, &room, keywords, values);
    connection_enter(connection, CONNECTION_CONNECTING);
    connection->pg = PQconnectStartParams(keywords, values, 0);
    if (connection->pg == NULL || PQstatus(connection->pg) == CONNECTION_BAD) {
        connection_lost(connection, connection->pg != NULL ? PQerrorMessage(connection->pg) : "out of memory");
        return;
    }
    PQsetNoticeProcessor(connection->pg, ignore_notice, NULL);
    loop_timer_start(connection->pool->loop, &connection->timer, login->connect_timeout_ms, connection_on_timer);
    connection->watch = loop_watch_start(connection->pool->loop, PQsocket(connection->pg), on_connect_event,
                                         on_connect_event, connection);
    if (connection->watch == NULL)
        connection_lost(connection, "out of descriptors");
    else
        loop_watch_writable(connection->watch, true); /* libpq: begin as if it had asked for writing */
}

void connection_expect(struct connection *connection)
{
    uint32_t timeout_ms = connection->pool->options.statement_timeout_ms;
    connection->answered = false;
    if (timeout_ms != 0)
        loop_timer_start(connection->pool->loop, &connection->timer, timeout_ms + SILENCE_MS, connection_on_timer);
}

void connection_on_timer(struct loop_timer *timer)
{
    struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
    switch (connection->state) {
    case CONNECTION_CLOSED:
        connection_open(connection);
        break;
    case CONNECTION_CONNECTING:
    case CONNECTION_SETTING_UP:
        /* libpq goes on to the next host when one refuses, but waits for one that says nothing as long as we let it. */
        connection->pool->first_host++;
        connection_lost(connection, "connecting took too long");
        break;
    case CONNECTION_READY:
        if (connection->pool->options.mode == POSTGRES_STREAMED)
            connection_close(connection); /* idle for long enough */
        else if (connection->in_flight != 0 && !connection->answered)
            connection_lost(connection, "the server does not answer");
        else if (connection->in_flight != 0)
            connection_expect(connection);
        break;
    case CONNECTION_CANCELLING:
        stream_cancel_again(connection);
        break;
    case CONNECTION_BUSY:
        if (connection->answered || stream_is_fed(connection))
            connection_expect(connection);
        else
            connection_lost(connection, "the server does not answer");
        break;
    }
}
