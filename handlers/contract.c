/* GET /v1/openapi.json: the contract itself. */
#include "api/execute.h"
#include "handlers/handlers.h"

static enum stage_verdict execute(struct request *request)
{
    struct text document = openapi_json(request->worker->server->contract);
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .etag = execute_etag(&request->arena, document, 1),
                                .cache_control = "public, max-age=300",
                                .vary = true};
    if (respond_not_modified(request, head.etag))
        return respond_send_not_modified(request, &head);
    return respond_send(request, &head, document, NULL);
}

const struct handler handlers_get_openapi = {.operation = "getOpenapi", .execute = execute};
