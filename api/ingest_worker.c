/* How connections of the ingest listener reach the workers. */
#include <unistd.h>

#include "api/ingest_private.h"

static void on_closed(void *context)
{
    ingest_unref(context);
}

/* On the worker's loop. */
static void on_handed_over(struct loop_message *message)
{
    struct ingest_connection *connection = H2O_STRUCT_FROM_MEMBER(struct ingest_connection, message, message);
    listener_adopt(connection->worker->listener, connection->worker_fd, on_closed, connection);
}

static bool hand_over(void *context, struct ingest_connection *connection)
{
    struct server *server = context;
    struct ingest *ingest = connection->ingest;
    connection->worker = server->workers[ingest->next_worker++ % server->worker_count];
    connection->message.on_message = on_handed_over;
    atomic_fetch_add(&connection->worker->ingested, 1);
    loop_post(connection->worker->loop, &connection->message);
    return true;
}

static void let_go(struct ingest_connection *connection)
{
    atomic_fetch_sub(&connection->worker->ingested, 1);
}

enum status ingest_create(struct server *server, struct ingest **ingest, struct failure *failure)
{
    const struct config *config = server->config;
    struct ingest_options options = {
        .address = &config->server.ingest.listen,
        .sockets = server->sockets,
        .tls = server->settings->tls,
        .proxies = config->server.proxy_protocol ? &config->server.trusted_proxies : NULL,
        .connections = config->server.ingest.connections,
        .max_body = config->server.ingest.max_body,
        .min_receive_rate = config->server.ingest.min_receive_rate,
        .head_timeout_ms = config->server.request_timeout_ms,
        .deadline_ms = config->server.ingest.deadline_ms,
        .drain_timeout_ms = config->server.drain_timeout_ms,
        .hand_over = hand_over,
        .let_go = let_go,
        .context = server,
    };
    return ingest_open(&options, ingest, failure);
}

struct ingest_connection *ingest_of(const struct request *request)
{
    h2o_conn_t *connection = request->h2o->conn;
    return listener_adopted(connection->callbacks->get_socket(connection));
}
