/* A request on its way through the stages. Lives from h2o's on_req until h2o disposes of its own request; belongs to
 * its worker. Whatever waits on its behalf is let go of in request_dispose, so that no callback ever meets a request
 * that is gone. */
#ifndef SLUICE_API_REQUEST_H
#define SLUICE_API_REQUEST_H

#include <h2o.h>

#include "api/address.h"
#include "api/gone.h"
#include "api/handler.h"
#include "api/request_record.h"
#include "api/respond.h"
#include "api/traceparent.h"
#include "api/worker.h"
#include "auth/principal.h"
#include "base/arena.h"
#include "query/datasets.h"
#include "query/plan.h"
#include "query/rows.h"

#define REQUEST_ID_SIZE 20 /* hexadecimal digits */

/* The headers that the request path itself reads. */
struct request_headers {
    struct text authorization, accept, accept_encoding, if_none_match, forwarded_for, origin, traceparent,
        preflight_method, prefer /* all lines, joined by commas */, range, range_unit, accept_profile;
    bool authorization_repeated;
};

struct request {
    h2o_req_t *h2o;
    struct worker *worker;
    struct worker_settings *held;    /* what it began under; counted */
    const struct settings *settings; /* its settings */
    struct request *previous, *next; /* worker->requests; `next` also links worker->spare */
    size_t stage;                    /* index of the stage that runs or waits */
    uint64_t started_us;             /* monotonic */
    int64_t arrived_us;              /* wall clock */
    struct text path, query;         /* raw; query without '?', TEXT_NONE if there is none */
    struct request_headers headers;
    struct sockaddr_storage peer; /* the caller's, behind trusted proxies */
    char address[64];
    char id[REQUEST_ID_SIZE + 1];
    struct traceparent trace;
    bool traced; /* the trace is the caller's; or it begins here */
    struct openapi_route route;
    const struct handler_binding *binding; /* NULL before the route is known */
    const struct openapi_value *values;
    const struct principal *principal;   /* a reference is held; NULL: none */
    const struct limit_tier *tier;       /* NULL: no principal, or not yet */
    const struct config_tier *allowance; /* the same, as it is configured: pages, budgets, quotas */
    const char *tier_header;             /* RateLimit-Policy */
    struct limit_verdict verdict;
    bool has_verdict;
    enum rows_format format;
    struct plan plan;
    bool has_plan;
    bool resumed; /* a stage that waited is being called again */
    /* What may be under way; NULL when not. */
    struct tokens_wait *token_wait;
    struct limit_wait *limit_wait;
    struct cache_wait *cache_wait;
    struct postgres_query *database_query;
    struct datasets_wait *dataset_wait;
    struct request_task *task;
    struct loop_timer pause; /* api/request_pause.h */
    struct gone_watch gone;
    const struct dataset *dataset; /* a reference is held; NULL: none */
    /* What a waiting stage was told. */
    enum tokens_verdict token_verdict;
    const char *token_reason;
    /* For the record and the headers. */
    const char *reason;     /* name of the problem; NULL: none */
    const char *cache_name; /* "memory", …; NULL: no cache was asked */
    uint64_t rows, database_started_us, database_us;
    struct request_record record;
    struct respond respond;
    void *executor;      /* execute.c's state, in the arena */
    void *handler_state; /* the handler's, in the arena */
    struct arena arena;
    char first[3072] __attribute__((aligned(16))); /* the arena's first memory */
};

/* h2o's handler: begins the way. */
int request_begin(h2o_handler_t *handler, h2o_req_t *h2o);
/* Runs stages from request->stage on until one waits or answers. */
void request_run(struct request *request);
/* The waiting stage is done: the next one follows. */
void request_resume(struct request *request);
/* From a stage behind it back to the plan, as if nothing had been planned: what it was made from has changed. The
 * answer must not have begun. */
void request_plan_again(struct request *request);
/* The value of the handler's parameter `index`. */
static inline const struct openapi_value *request_value(const struct request *request, size_t index)
{
    return &request->values[request->binding->parameter_at[index]];
}
/* Frees everything that recycled requests hold. */
void request_free_spares(struct worker *worker);
/* The client's request was a HEAD. */
bool request_is_head(const struct request *request);

#endif
