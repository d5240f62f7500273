#include "api/request_task.h"

#include "api/ingest.h"
#include "base/hash.h"

static void on_done(struct task *base)
{
    struct request_task *task = (struct request_task *)base;
    struct request *request = task->request;
    task->worker->tasks--;
    if (request != NULL) {
        request->task = NULL;
        gone_stop(&request->gone);
    }
    task->done(task);
}

void request_task_leave(struct request_task *task)
{
    task->request->task = NULL;
    task->request = NULL;
    task->worker->metrics.tasks_abandoned++;
    tasks_cancel(&task->task);
}

static void on_gone(struct gone_watch *watch)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, gone, watch);
    static const struct respond_head head = {.status = 499, .reason = "Client Closed Request"};
    request->worker->metrics.clients_gone++;
    request->reason = "client-gone";
    if (request->task != NULL)
        request_task_leave(request->task);
    request->h2o->http1_is_persistent = 0;
    respond_send(request, &head, TEXT_NONE, NULL);
    request->respond.complete = false;
}

enum status request_task_start(struct request *request, struct request_task *task)
{
    struct worker *worker = request->worker;
    struct ingest_connection *connection = ingest_of(request);
    h2o_conn_t *client = request->h2o->conn;
    task->worker = worker;
    task->request = request;
    task->task.loop = worker->loop;
    task->task.done = on_done;
    task->task.customer = hash_text(request->principal->customer);
    if (connection != NULL) {
        if (!ingest_has_room(connection, task->task.customer))
            return STATUS_BUSY;
        ingest_run(connection, &task->task);
    } else {
        enum status status =
            worker->server->loads != NULL ? tasks_start(worker->server->loads, &task->task) : STATUS_UNAVAILABLE;
        if (status != STATUS_OK)
            return status;
    }
    worker->tasks++;
    request->task = task;
    /* While the worker stops, the reading side of connections that were idle is shut: that is no client who left. */
    if (!worker->stopping)
        gone_start(worker->gone, &request->gone, h2o_socket_get_fd(client->callbacks->get_socket(client)), on_gone);
    return STATUS_OK;
}
