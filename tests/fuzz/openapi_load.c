/* A document from bytes: loaded or refused with words, never a crash, a leak or an endless compile. */
#include <stdlib.h>

#include "openapi/openapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct openapi *document = NULL;
    struct failure failure;
    failure.message[0] = '\0';
    if (openapi_load("fuzz", text_of((const char *)data, size), &document, &failure) != STATUS_OK) {
        if (document != NULL || failure.message[0] == '\0')
            abort();
        return 0;
    }
    for (size_t i = 0; i < openapi_operation_count(document); i++) {
        const struct openapi_operation *operation = openapi_operation_at(document, i);
        if (openapi_operation_by_id(document, operation->id) != operation)
            abort();
        for (size_t k = 0; k < operation->parameter_count; k++)
            if (openapi_parameter_index(operation, operation->parameters[k].name) != k)
                abort();
    }
    if (openapi_json(document).size == 0)
        abort();
    openapi_free(document);
    return 0;
}
