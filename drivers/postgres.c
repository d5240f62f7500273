/* A pool: its queue, its connections' work, and the queries' lives. */
#include "drivers/postgres.h"

#include <stdlib.h>

#include "base/log.h"
#include "drivers/postgres_private.h"

#define SPARES_MAX 1024
#define KEPT_MEMORY 4096 /* bytes of parameters that a recycled query keeps */

/* Queries. */

static void append(struct postgres_query **first, struct postgres_query **last, struct postgres_query *query)
{
    query->previous = *last;
    query->next = NULL;
    if (*last != NULL)
        (*last)->next = query;
    else
        *first = query;
    *last = query;
}

static void take_out(struct postgres_query **first, struct postgres_query **last, struct postgres_query *query)
{
    if (query->previous != NULL)
        query->previous->next = query->next;
    else
        *first = query->next;
    if (query->next != NULL)
        query->next->previous = query->previous;
    else
        *last = query->previous;
    query->previous = query->next = NULL;
}

static void leave_lists(struct postgres_query *query)
{
    struct postgres *pool = query->pool;
    if (query->is_waiting) {
        take_out(&pool->waiting_first, &pool->waiting_last, query);
        pool->waiting--;
    } else {
        take_out(&pool->sent_first, &pool->sent_last, query);
    }
    query->is_waiting = false;
}

static void wait_in_queue(struct postgres_query *query)
{
    struct postgres *pool = query->pool;
    append(&pool->waiting_first, &pool->waiting_last, query);
    query->is_waiting = true;
    pool->waiting++;
}

void query_recycle(struct postgres_query *query)
{
    struct postgres *pool = query->pool;
    pool->total--;
    if (pool->finishing == query)
        pool->finishing = NULL;
    if (pool->spare_count >= SPARES_MAX) {
        free(query->memory);
        free(query);
        return;
    }
    if (query->memory_size > KEPT_MEMORY) {
        free(query->memory);
        query->memory = NULL;
        query->memory_size = 0;
    }
    query->next = pool->spare;
    pool->spare = query;
    pool->spare_count++;
}

void query_finish(struct postgres_query *query, const struct postgres_error *error)
{
    void (*on_done)(void *, const struct postgres_error *) = query->handlers.on_done;
    void *context = query->context;
    struct postgres_error copy;
    if (error != NULL) {
        copy = *error;
        query->pool->statistics.errors++;
    }
    leave_lists(query);
    query_recycle(query);
    on_done(context, error != NULL ? &copy : NULL);
}

void query_requeue(struct postgres_query *query)
{
    leave_lists(query);
    wait_in_queue(query);
}

static struct postgres_query *new_query(struct postgres *pool)
{
    struct postgres_query *query = pool->spare;
    if (query == NULL) {
        query = calloc(1, sizeof(*query));
        if (query == NULL)
            return NULL;
    } else {
        pool->spare = query->next;
        pool->spare_count--;
    }
    char *memory = query->memory;
    size_t memory_size = query->memory_size;
    *query = (struct postgres_query){.pool = pool, .memory = memory, .memory_size = memory_size};
    pool->total++;
    return query;
}

static char *copy_value(char *at, struct text value, const char **out)
{
    *out = value.data != NULL ? at : NULL;
    if (value.size != 0)
        memcpy(at, value.data, value.size);
    at[value.size] = '\0';
    return at + value.size + 1;
}

/* The addresses of the values and of the settings' names and values, and their bytes, each with a NUL, in one block. */
static bool copy_values(struct postgres_query *query, const struct postgres_call *call)
{
    size_t count = call->statement->parameter_count, pointers = count + 2 * call->setting_count;
    size_t needed = pointers * sizeof(char *);
    for (size_t i = 0; i < count; i++)
        needed += call->parameters[i].size + 1;
    for (size_t i = 0; i < call->setting_count; i++)
        needed += strlen(call->settings[i].name) + call->settings[i].value.size + 2;
    if (needed > query->memory_size) {
        free(query->memory);
        query->memory_size = needed < 256 ? 256 : needed;
        query->memory = malloc(query->memory_size);
        if (query->memory == NULL) {
            query->memory_size = 0;
            return false;
        }
    }
    query->parameter_count = count;
    query->setting_count = call->setting_count;
    query->values = (const char **)(void *)query->memory;
    query->setting_values = query->values + count;
    char *at = query->memory + pointers * sizeof(char *);
    for (size_t i = 0; i < count; i++)
        at = copy_value(at, call->parameters[i], &query->values[i]);
    for (size_t i = 0; i < call->setting_count; i++) {
        at = copy_value(at, text_from_string(call->settings[i].name), &query->setting_values[2 * i]);
        at = copy_value(at, call->settings[i].value, &query->setting_values[2 * i + 1]);
    }
    return true;
}

/* Connections. */

static bool takes_more(const struct connection *connection)
{
    return connection->state == CONNECTION_READY && connection->in_flight < IN_FLIGHT_MAX &&
           connection->slot_count + 16 < SLOTS;
}

/* Ready, and with the least to do; for a large result the first one, as long as it takes more. */
static struct connection *free_connection(struct postgres *pool, const struct postgres_query *query)
{
    struct connection *best = NULL;
    bool pipelined = pool->options.mode == POSTGRES_PIPELINED;
    if (pipelined && query->statement->large && takes_more(pool->connections))
        return pool->connections;
    for (size_t i = 0; i < pool->options.connections; i++) {
        struct connection *connection = &pool->connections[i];
        if (!pipelined && connection->state == CONNECTION_READY)
            return connection;
        if (pipelined && takes_more(connection) && (best == NULL || connection->in_flight < best->in_flight))
            best = connection;
    }
    return best;
}

/* A pool of its own tries again by its timer. */
static bool may_open(struct postgres *pool)
{
    return pool->options.share != NULL ? loop_now_ms(pool->loop) >= pool->retry_ms && share_take(pool)
                                       : !pool->last_failed;
}

/* A streamed pool opens connections as they are needed: as many as wait beyond those that are on their way. */
static void open_for_waiting(struct postgres *pool)
{
    size_t coming = 0;
    for (size_t i = 0; i < pool->options.connections; i++) {
        enum connection_state state = pool->connections[i].state;
        coming += state == CONNECTION_CONNECTING || state == CONNECTION_SETTING_UP || state == CONNECTION_CANCELLING;
    }
    for (size_t i = 0; i < pool->options.connections && coming < pool->waiting; i++)
        if (pool->connections[i].state == CONNECTION_CLOSED && pool->connections[i].timer.loop == NULL &&
            may_open(pool)) {
            coming++;
            connection_open(&pool->connections[i]);
        }
    if (pool->options.share != NULL && coming < pool->waiting)
        share_wait(pool);
}

static void on_turn_end(struct loop_hook *hook)
{
    struct postgres *pool = (struct postgres *)((char *)hook - offsetof(struct postgres, flush_hook));
    pool_dispatch(pool);
    for (size_t i = 0; i < pool->options.connections; i++)
        if (pool->connections[i].state == CONNECTION_READY)
            segment_flush(&pool->connections[i]);
}

static void send_query(struct connection *connection, struct postgres_query *query)
{
    struct postgres *pool = connection->pool;
    leave_lists(query);
    append(&pool->sent_first, &pool->sent_last, query);
    if (pool->options.mode == POSTGRES_PIPELINED) {
        pipeline_send(connection, query);
        loop_hook_request(pool->loop, &pool->flush_hook);
    } else {
        stream_send(connection, query);
    }
}

void pool_dispatch(struct postgres *pool)
{
    if (pool->dispatching || pool->closing)
        return;
    pool->dispatching = true;
    while (pool->waiting_first != NULL) {
        struct connection *connection = free_connection(pool, pool->waiting_first);
        if (connection == NULL)
            break;
        send_query(connection, pool->waiting_first);
    }
    if (pool->waiting != 0 && pool->options.mode == POSTGRES_STREAMED)
        open_for_waiting(pool);
    pool->dispatching = false;
}

static bool any_alive(const struct postgres *pool)
{
    for (size_t i = 0; i < pool->options.connections; i++)
        if (pool->connections[i].state >= CONNECTION_READY)
            return true;
    return false;
}

/* An attempt to connect failed: whoever waits for nothing but that is told. */
void pool_connection_failed(struct postgres *pool)
{
    struct postgres_error error;
    if (any_alive(pool))
        return;
    pool->last_failed = true;
    postgres_error_set(&error, STATUS_UNAVAILABLE, "the database cannot be reached");
    while (pool->waiting_first != NULL)
        query_finish(pool->waiting_first, &error);
}

static void on_queue_timer(struct loop_timer *timer)
{
    struct postgres *pool = (struct postgres *)((char *)timer - offsetof(struct postgres, queue_timer));
    uint64_t now = loop_now_ms(pool->loop);
    struct postgres_error error;
    postgres_error_set(&error, STATUS_BUSY, "waited too long for a connection");
    while (pool->waiting_first != NULL && now >= pool->waiting_first->queued_ms + pool->options.queue_timeout_ms)
        query_finish(pool->waiting_first, &error);
    if (pool->waiting_first != NULL)
        loop_timer_start(pool->loop, timer, pool->waiting_first->queued_ms + pool->options.queue_timeout_ms - now,
                         on_queue_timer);
}

/* The public side. */

static char *copy_string(const char *string)
{
    return string != NULL ? strdup(string) : NULL;
}

enum status postgres_create(struct loop *loop, const struct postgres_options *options, struct postgres **out,
                            struct failure *failure)
{
    struct postgres *pool = calloc(1, sizeof(*pool));
    struct connection *connections = calloc(options->connections, sizeof(*connections));
    if (pool == NULL || connections == NULL) {
        free(pool);
        free(connections);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    pool->loop = loop;
    pool->options = *options;
    pool->connections = connections;
    pool->backoff_ms = 50;
    pool->flush_hook.on_turn_end = on_turn_end;
    struct postgres_login *login = &pool->options.login;
    const char **const strings[] = {&login->host,    &login->database,    &login->user,      &login->password,
                                    &login->sslmode, &login->ca_file,     &login->host_name, &login->application_name,
                                    &login->ports,   &pool->options.check};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        *strings[i] = copy_string(*strings[i]);
    if (options->mode == POSTGRES_STREAMED)
        pool->canceller = options->share != NULL ? share_canceller(options->share, loop) : canceller_create(loop);
    if (options->mode == POSTGRES_STREAMED && pool->canceller == NULL) {
        postgres_destroy(pool);
        return failure_set(failure, STATUS_FAILED, "cannot start the thread that cancels queries");
    }
    for (size_t i = 0; i < options->connections; i++) {
        connections[i].pool = pool;
        if (options->mode == POSTGRES_PIPELINED || (i == 0 && options->share == NULL))
            loop_timer_start(loop, &connections[i].timer, 0, connection_on_timer);
    }
    *out = pool;
    return STATUS_OK;
}

void postgres_stop(struct postgres *pool)
{
    struct postgres_error error;
    pool->closing = true;
    postgres_error_set(&error, STATUS_UNAVAILABLE, "the service is stopping");
    while (pool->waiting_first != NULL)
        query_finish(pool->waiting_first, &error);
    while (pool->sent_first != NULL) {
        pool->sent_first->connection = NULL;
        query_finish(pool->sent_first, &error);
    }
    if (pool->options.share != NULL) {
        canceller_forget(pool->canceller, pool);
        share_leave(pool);
    } else {
        canceller_destroy(pool->canceller);
    }
    pool->canceller = NULL;
    for (size_t i = 0; i < pool->options.connections; i++)
        if (pool->connections[i].pool != NULL) {
            pool->connections[i].query = NULL;
            connection_close(&pool->connections[i]);
        }
}

void postgres_destroy(struct postgres *pool)
{
    if (pool == NULL)
        return;
    postgres_stop(pool);
    loop_hook_cancel(pool->loop, &pool->flush_hook);
    loop_timer_stop(&pool->queue_timer);
    while (pool->spare != NULL) {
        struct postgres_query *query = pool->spare;
        pool->spare = query->next;
        free(query->memory);
        free(query);
    }
    struct postgres_login *login = &pool->options.login;
    const char *const strings[] = {login->host,    login->database,    login->user,      login->password,
                                   login->sslmode, login->ca_file,     login->host_name, login->application_name,
                                   login->ports,   pool->options.check};
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        free((char *)(uintptr_t)strings[i]);
    free(pool->connections);
    free(pool);
}

enum status postgres_start(struct postgres *pool, const struct postgres_call *call,
                           const struct postgres_handlers *handlers, void *context, struct postgres_query **out)
{
    /* Streamed: a query that waits for its connection to be opened has a place there already. */
    size_t places = pool->options.queue + (pool->options.mode == POSTGRES_STREAMED ? pool->options.connections : 0);
    /* With a share it is a query that tries the connection again. */
    bool tries = pool->options.share != NULL && loop_now_ms(pool->loop) >= pool->retry_ms;
    if (pool->closing || (pool->last_failed && !tries && !any_alive(pool)))
        return STATUS_UNAVAILABLE;
    if (pool->total >= places) {
        pool->statistics.refused_busy++;
        return STATUS_BUSY;
    }
    if (call->setting_count > POSTGRES_SETTINGS_MAX)
        return STATUS_TOO_LARGE;
    struct postgres_query *query = new_query(pool);
    if (query == NULL)
        return STATUS_TOO_LARGE;
    if (!copy_values(query, call)) {
        query_recycle(query);
        return STATUS_TOO_LARGE;
    }
    query->statement = call->statement;
    query->handlers = *handlers;
    query->context = context;
    query->whole = call->whole;
    query->whole_most = call->whole ? call->whole_most : 0;
    query->queued_ms = loop_now_ms(pool->loop);
    pool->statistics.queries++;
    wait_in_queue(query);
    /* Sent at the turn's end, so that no callback comes from within this call and a turn's queries leave together. */
    loop_hook_request(pool->loop, &pool->flush_hook);
    if (pool->options.queue_timeout_ms != 0 && pool->queue_timer.loop == NULL)
        loop_timer_start(pool->loop, &pool->queue_timer, pool->options.queue_timeout_ms, on_queue_timer);
    *out = query;
    return STATUS_OK;
}

void postgres_cancel(struct postgres_query *query)
{
    struct postgres *pool = query->pool;
    struct connection *connection = query->connection;
    leave_lists(query);
    query->connection = NULL;
    if (connection != NULL)
        slots_detach(connection, query);
    if (connection != NULL && pool->options.mode == POSTGRES_STREAMED)
        stream_cancel(connection);
    query_recycle(query);
}

void postgres_pause(struct postgres_query *query)
{
    query->paused = true;
    if (query->connection != NULL && query->connection->state == CONNECTION_BUSY && !query->connection->is_delivering)
        loop_watch_readable(query->connection->watch, false);
}

void postgres_resume(struct postgres_query *query)
{
    struct connection *connection = query->connection;
    if (!query->paused)
        return;
    query->paused = false;
    if (connection != NULL)
        connection->answered = true; /* the server's silence counts from here */
    if (connection != NULL && connection->state == CONNECTION_BUSY && !connection->is_delivering)
        loop_timer_start(query->pool->loop, &connection->resume, 0, connection_on_resume);
}

bool postgres_is_idle(const struct postgres *pool)
{
    for (size_t i = 0; i < pool->options.connections; i++)
        if (pool->connections[i].state != CONNECTION_CLOSED || pool->connections[i].cancels_pending != 0)
            return false;
    return pool->total == 0;
}

bool postgres_is_up(const struct postgres *pool)
{
    return any_alive(pool);
}

struct postgres_statistics postgres_statistics(const struct postgres *pool)
{
    struct postgres_statistics statistics = pool->statistics;
    statistics.waiting = pool->waiting;
    return statistics;
}
