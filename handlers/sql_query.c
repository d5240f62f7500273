/* POST /v1/query: a SELECT of the caller's, on his own login; answered at once, or as a job. */
#include <stdio.h>

#include "api/execute.h"
#include "api/prefer.h"
#include "api/problem.h"
#include "handlers/handlers.h"
#include "handlers/job_run.h"
#include "handlers/own_sql.h"

#define RANGE_SIZE 64

static const char *const parameters[] = {"format", NULL};

struct queried {
    struct own_sql own; /* first */
    struct respond_header headers[1];
    char range[RANGE_SIZE];
};

static enum stage_verdict plan(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct queried *queried = arena_calloc(&request->arena, 1, sizeof(*queried));
    if (queried == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct prefer prefer;
    struct prefer_mistake mistake;
    if (prefer_read(request->headers.prefer, &request->arena, &prefer, &mistake) == STATUS_TOO_LARGE)
        return problem_send_status(request, STATUS_TOO_LARGE);
    /* A strict caller gets rows or a refusal, unless he asks for a job himself. */
    queried->own.when = prefer_is_async(request->headers.prefer) ? OWN_LATER
                        : prefer.strict                          ? OWN_NOW
                                                                 : OWN_NOW_OR_LATER;
    queried->own.kept = true;
    return own_sql_begin(request, &queried->own);
}

/* A page that the tier or the size of an answer has cut says so: 206, and which rows it holds. */
static bool on_end(struct request *request, bool more)
{
    struct queried *queried = request->handler_state;
    if (request->respond.started || !more || !queried->own.capped)
        return true;
    struct respond_head *head = &request->respond.head;
    snprintf(queried->range, sizeof(queried->range), "%llu-%llu/*", (unsigned long long)queried->own.offset,
             (unsigned long long)(queried->own.offset + request->rows - 1));
    queried->headers[0] = (struct respond_header){TEXT("content-range"), text_from_string(queried->range)};
    head->status = 206;
    head->reason = "Partial Content";
    head->headers = queried->headers;
    head->header_count = 1;
    return true;
}

static bool on_error(struct request *request, const struct postgres_error *error)
{
    own_sql_refuse(request, error);
    return true;
}

static enum stage_verdict execute(struct request *request)
{
    const struct queried *queried = request->handler_state;
    const struct own_sql *own = &queried->own;
    if (own->later)
        return job_submit(request, own);
    const struct execute_rows options = {.head = {.status = 200,
                                                  .reason = "OK",
                                                  .content_type = text_from_string(rows_media_type(request->format)),
                                                  .cache_control = "no-store",
                                                  .vary = true,
                                                  .whole = own->capped},
                                         .limit = own->limit == UINT64_MAX ? 0 : own->limit,
                                         .on_end = on_end,
                                         .on_error = on_error};
    return execute_rows(request, &options);
}

const struct handler handlers_run_query = {"runQuery", parameters, plan, execute};
