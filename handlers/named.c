#include "handlers/named.h"

#include "api/problem.h"

bool named_may_see(void *context, const struct datasets_schema *schema)
{
    const struct request *request = context;
    return schema->scope == NULL || principal_has_scope(request->principal, text_from_string(schema->scope));
}

enum stage_verdict named_refuse(struct request *request)
{
    return problem_send(request, PROBLEM_NOT_FOUND,
                        "no dataset of this name is served to this caller; GET /v1/datasets lists those that are");
}

/* The schema that Accept-Profile names, for names that stand bare; SIZE_MAX: none. PostgREST's clients send "public"
 * always. */
static size_t read_profile(struct request *request, enum status *status)
{
    struct text profile = request->headers.accept_profile;
    *status = STATUS_OK;
    if (profile.data == NULL || text_equal(profile, TEXT("public")))
        return SIZE_MAX;
    const struct config *config = request->worker->server->config;
    for (size_t i = 0; i < config->warehouse.schema_count; i++)
        if (text_equal(profile, text_from_string(config->warehouse.schemas[i].name)) &&
            named_may_see(request, &config->warehouse.schemas[i]))
            return i;
    *status = STATUS_INVALID;
    return SIZE_MAX;
}

struct waiting { /* hung on the request: the wait's context */
    struct request *request;
    struct named *named;
};

static void on_dataset(void *context, enum status status, const struct dataset *dataset)
{
    struct waiting *waiting = context;
    struct request *request = waiting->request;
    bool waited = request->dataset_wait != NULL;
    request->dataset_wait = NULL;
    waiting->named->status = status;
    if (status == STATUS_OK) {
        dataset_ref(dataset);
        request->dataset = dataset;
    }
    if (waited)
        request_resume(request);
}

static enum stage_verdict take(struct request *request, const struct named *named)
{
    if (named->status == STATUS_NOT_FOUND)
        return named_refuse(request);
    return named->status == STATUS_OK ? STAGE_NEXT : problem_send_status(request, named->status);
}

enum stage_verdict named_find(struct request *request, struct named *named)
{
    struct worker *worker = request->worker;
    struct text relation;
    enum status status;
    if (request->resumed)
        return take(request, named);
    size_t profile = read_profile(request, &status);
    if (status != STATUS_OK)
        return problem_send(request, PROBLEM_NOT_ACCEPTABLE,
                            "Accept-Profile names no schema that is served to this caller; leave it out, or name one "
                            "of those that GET /v1/datasets shows");
    size_t schema = datasets_split(&worker->server->datasets, named->name, named_may_see, request, &relation);
    if (schema == 0 && profile != SIZE_MAX)
        schema = profile;
    if (schema == SIZE_MAX)
        return named_refuse(request);
    struct waiting *waiting = arena_alloc(&request->arena, sizeof(*waiting));
    if (waiting == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    *waiting = (struct waiting){request, named};
    request->dataset_wait = datasets_get(worker->datasets, schema, relation, on_dataset, waiting);
    return request->dataset_wait != NULL ? STAGE_WAIT : take(request, named);
}
