#include "openapi/openapi.h"

#include "openapi/document.h"

size_t openapi_operation_count(const struct openapi *document)
{
    return document->operation_count;
}

const struct openapi_operation *openapi_operation_at(const struct openapi *document, size_t index)
{
    return &document->operations[index];
}

const struct openapi_operation *openapi_operation_by_id(const struct openapi *document, struct text id)
{
    for (size_t i = 0; i < document->operation_count; i++)
        if (text_equal(document->operations[i].id, id))
            return &document->operations[i];
    return NULL;
}

size_t openapi_parameter_index(const struct openapi_operation *operation, struct text name)
{
    for (size_t i = 0; i < operation->parameter_count; i++)
        if (text_equal(operation->parameters[i].name, name))
            return i;
    return SIZE_MAX;
}

struct text openapi_json(const struct openapi *document)
{
    return buffer_text(&document->json);
}
