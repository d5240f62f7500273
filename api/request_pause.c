#include "api/request_pause.h"

static void on_gone(struct gone_watch *watch)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, gone, watch);
    static const struct respond_head head = {.status = 499, .reason = "Client Closed Request"};
    loop_timer_stop(&request->pause);
    request->worker->metrics.clients_gone++;
    request->reason = "client-gone";
    request->h2o->http1_is_persistent = 0;
    respond_send(request, &head, TEXT_NONE, NULL);
    request->respond.complete = false;
}

static void on_due(struct loop_timer *timer)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, pause, timer);
    gone_stop(&request->gone);
    request_resume(request);
}

enum stage_verdict request_pause(struct request *request, uint64_t delay_ms)
{
    h2o_conn_t *client = request->h2o->conn;
    struct worker *worker = request->worker;
    loop_timer_start(worker->loop, &request->pause, delay_ms, on_due);
    /* While the worker stops, the reading side of connections that were idle is shut: that is no client who left. */
    if (!worker->stopping)
        gone_start(worker->gone, &request->gone, h2o_socket_get_fd(client->callbacks->get_socket(client)), on_gone);
    return STAGE_WAIT;
}
