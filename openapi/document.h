/* The loaded document as this folder sees it, and what is at hand while it is being loaded. */
#ifndef SLUICE_OPENAPI_DOCUMENT_H
#define SLUICE_OPENAPI_DOCUMENT_H

#include "base/buffer.h"
#include "base/yaml.h"
#include "openapi/openapi.h"
#include "openapi/schema.h"

#define DOCUMENT_MAX_PARAMETERS 64 /* an operation; validation keeps them in the bits of one word */

/* An operation and what only this folder needs of it. */
struct operation {
    struct openapi_operation shown;                  /* first: what callers hold is a pointer to this */
    const struct openapi_value *initial;             /* parameter_count values: defaults, or absent */
    uint64_t required;                               /* bit i: parameter i must be given */
    unsigned char variable_at[OPENAPI_MAX_SEGMENTS]; /* path variable, in the template's order → parameter */
    size_t variable_count;
};

struct openapi {
    struct arena arena; /* holds all that is below, but for the patterns' code and the JSON */
    struct operation **operations;
    size_t operation_count;
    struct route_node *routes;
    struct schema_patterns patterns;
    struct buffer json;
};

#define LOADER_BUCKETS 256

struct loader {
    struct openapi *document;
    struct arena *arena; /* the document's */
    const char *name;    /* of the file, for messages */
    const struct yaml_node *root;
    struct failure *failure;
    unsigned depth;                                  /* of schemas being compiled within each other */
    struct schema_entry *compiled[LOADER_BUCKETS];   /* schemas by their node: what $ref names is compiled once */
};

/* "openapi.yaml:12: …" */
enum status loader_refuse(const struct loader *loader, const struct yaml_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);
enum status loader_out_of_memory(const struct loader *loader);
/* Every key of the mapping `node` must be in the NULL-terminated `known` or begin with "x-". `what` names the node. */
enum status loader_check_keys(const struct loader *loader, const struct yaml_node *node, const char *const *known,
                              const char *what) MUST_CHECK;
/* Follows {"$ref": "#/…"} until something else is reached. */
enum status loader_resolve(const struct loader *loader, const struct yaml_node *node,
                           const struct yaml_node **target) MUST_CHECK;

/* All operations under `paths`, into document->operations and the routes. */
enum status operation_load_all(struct loader *loader) MUST_CHECK;
/* One parameter (or reference to one) into *parameter and its default into *initial. */
enum status parameter_load(struct loader *loader, const struct yaml_node *node, struct openapi_parameter *parameter,
                           struct openapi_value *initial) MUST_CHECK;
/* Compiles the schemas of responses, headers and media types, so that a mistake in them is found at the start. */
enum status response_load_all(struct loader *loader, const struct yaml_node *responses) MUST_CHECK;
enum status response_load_content(struct loader *loader, const struct yaml_node *content) MUST_CHECK;
enum status response_load_components(struct loader *loader) MUST_CHECK;

/* Adds the operation at its method and path; refuses a path of the same shape with another template. */
enum status route_add(struct loader *loader, const struct yaml_node *path, struct operation *operation) MUST_CHECK;

#endif
