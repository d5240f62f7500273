#include "api/handler.h"

#include <stdlib.h>

static enum status bind_one(const struct handler *handler, const struct openapi_operation *operation,
                            struct handler_binding *binding, struct failure *failure)
{
    *binding = (struct handler_binding){.handler = handler, .operation = operation};
    for (size_t i = 0; handler->parameters != NULL && handler->parameters[i] != NULL; i++) {
        size_t index = openapi_parameter_index(operation, text_from_string(handler->parameters[i]));
        if (i >= HANDLER_MAX_PARAMETERS || index > UINT8_MAX)
            return failure_set(failure, STATUS_INVALID,
                               "the handler of operation %s wants a parameter %s that the contract does not declare; "
                               "add it to openapi/openapi.yaml or drop it from the handler",
                               handler->operation, handler->parameters[i]);
        binding->parameter_at[i] = (unsigned char)index;
    }
    return STATUS_OK;
}

enum status handler_bind(const struct openapi *contract, const struct handler *const *handlers, size_t count,
                         struct handler_binding **bindings, struct failure *failure)
{
    size_t operations = openapi_operation_count(contract);
    struct handler_binding *bound = calloc(operations != 0 ? operations : 1, sizeof(*bound));
    enum status status = bound != NULL ? STATUS_OK : failure_set(failure, STATUS_FAILED, "out of memory");

    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const struct openapi_operation *operation =
            openapi_operation_by_id(contract, text_from_string(handlers[i]->operation));
        if (operation == NULL)
            status = failure_set(failure, STATUS_INVALID, "the contract has no operation %s for its handler",
                                 handlers[i]->operation);
        else if (bound[operation->index].handler != NULL)
            status = failure_set(failure, STATUS_INVALID, "operation %s has two handlers", handlers[i]->operation);
        else
            status = bind_one(handlers[i], operation, &bound[operation->index], failure);
    }
    for (size_t i = 0; status == STATUS_OK && i < operations; i++) {
        const struct openapi_operation *operation = openapi_operation_at(contract, i);
        if (bound[i].handler == NULL)
            status = failure_set(failure, STATUS_INVALID, "operation %.*s of the contract has no handler",
                                 TEXT_ARGS(operation->id));
    }
    if (status != STATUS_OK) {
        free(bound);
        return status;
    }
    *bindings = bound;
    return STATUS_OK;
}
