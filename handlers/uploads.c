/* PUT /v1/uploads/{dataset}: a file becomes a table of the customer's. */
#include "api/problem.h"
#include "handlers/handlers.h"
#include "handlers/load_order.h"
#include "handlers/upload_name.h"

enum { DATASET, ASKED };
static const char *const parameters[] = {"dataset",   "mode",       "key",      "types",   "header",
                                         "delimiter", "quote",      "encoding", "null",    "decimal",
                                         "dates",     "skip_lines", "format",   "max_bad", NULL};

static enum stage_verdict execute(struct request *request)
{
    struct upload_name name;
    struct text asked[LOAD_ORDER_PARAMETERS];
    if (upload_name_find(request, request_value(request, DATASET)->text, &name) != STAGE_NEXT)
        return STAGE_DONE;
    for (size_t i = 0; i < LOAD_ORDER_PARAMETERS; i++) {
        const struct openapi_value *value = request_value(request, ASKED + i);
        asked[i] = value->present ? value->text : TEXT_NONE;
    }
    struct load_task *task = load_order_create(request, "putUpload", name.dataset, asked, NULL, 0);
    if (task == NULL)
        return STAGE_DONE;
    task->names = name.names;
    task->customer = arena_copy(&task->arena, request->principal->customer);
    task->order.customer = task->customer.data;
    task->order.schema = text_from_string(task->names.uploads);
    task->order.relation = arena_copy(&task->arena, name.relation);
    if (task->customer.data == NULL || task->order.relation.data == NULL) {
        load_order_free(task);
        return problem_send_status(request, STATUS_TOO_LARGE);
    }
    load_order_quota(request, &task->order);
    request->plan = (struct plan){.target = PLAN_UPLOAD, .lane = PLAN_COPY, .relation = name.dataset};
    request->has_plan = true;
    return load_order_start(request, task);
}

const struct handler handlers_put_upload = {"putUpload", parameters, NULL, execute};
