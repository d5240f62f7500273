/* What a resource of handlers/ gives to the request path. */
#ifndef SLUICE_API_HANDLER_H
#define SLUICE_API_HANDLER_H

#include "base/status.h"
#include "openapi/openapi.h"

struct request;

/* What a stage says: go on with the next one, come back later (request_resume), or the answer has begun and nothing
 * follows. */
enum stage_verdict { STAGE_NEXT, STAGE_WAIT, STAGE_DONE };

#define HANDLER_MAX_PARAMETERS 16

struct handler {
    const char *operation;         /* operationId */
    const char *const *parameters; /* names in the order of the handler's own enum, NULL-terminated; NULL: none */
    /* Decides what will be done, from validated values: no database, no waiting. NULL: nothing to plan. */
    enum stage_verdict (*plan)(struct request *request);
    /* Carries it out and answers. */
    enum stage_verdict (*execute)(struct request *request);
};

/* A handler bound to its operation: made at the start, immutable. */
struct handler_binding {
    const struct handler *handler;
    const struct openapi_operation *operation;
    unsigned char parameter_at[HANDLER_MAX_PARAMETERS]; /* the handler's index → index in operation->parameters */
};

/* Binds every operation of the contract, in the document's order; `count` handlers. STATUS_INVALID names an operation
 * without handler, a handler without operation, or a parameter that the operation does not declare. *bindings is
 * malloc'd. */
enum status handler_bind(const struct openapi *contract, const struct handler *const *handlers, size_t count,
                         struct handler_binding **bindings, struct failure *failure) MUST_CHECK;

#endif
