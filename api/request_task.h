/* Work of a request that blocks, on another thread. It outlives the request where the client leaves: it carries all
 * that it needs, and looks at `request` only when it is back on the loop. */
#ifndef SLUICE_API_REQUEST_TASK_H
#define SLUICE_API_REQUEST_TASK_H

#include "api/request.h"
#include "api/tasks.h"

struct request_task { /* first member of its owner */
    struct task task;
    struct worker *worker;
    struct request *request; /* the loop's; NULL: the client has left */
    /* On the worker's loop, always, exactly once, also where it never ran (task.started is false): answers where the
     * request is still there, and frees its owner. */
    void (*done)(struct request_task *task);
};

/* task.run and `done` are set, the rest is zero. It runs on the connection's own thread where that came through the
 * ingest listener, otherwise on one of server->loads. A client that leaves cancels it. STATUS_BUSY, STATUS_UNAVAILABLE:
 * as tasks_start; `done` is not called. */
enum status request_task_start(struct request *request, struct request_task *task) MUST_CHECK;
/* request_dispose's: nobody waits for the answer any more. */
void request_task_leave(struct request_task *task);

#endif
