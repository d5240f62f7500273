/* The loaded document as this folder sees it. */
#ifndef SLUICE_OPENAPI_DOCUMENT_H
#define SLUICE_OPENAPI_DOCUMENT_H

#include "base/buffer.h"
#include "openapi/openapi.h"
#include "openapi/schema.h"

enum { METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_PATCH, METHOD_DELETE, METHODS };

struct document_path {
    struct text template;
    struct text segments[OPENAPI_MAX_SEGMENTS]; /* a literal, or the variable's name */
    bool is_variable[OPENAPI_MAX_SEGMENTS];
    size_t segment_count;
    const struct openapi_operation *operations[METHODS]; /* NULL: not served */
    char allow[64];
};

struct openapi {
    struct arena arena;          /* holds all that is below, but for the patterns' code and the JSON */
    struct document_path *paths; /* literals before variables */
    size_t path_count;
    struct openapi_operation *operations;
    size_t operation_count;
    struct schema_pattern *patterns;
    struct buffer json;
};

#endif
