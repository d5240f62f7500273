/* What load.c and parameter.c share while a document is being read. */
#ifndef SLUICE_OPENAPI_LOADER_H
#define SLUICE_OPENAPI_LOADER_H

#include "openapi/document.h"

struct loader {
    struct openapi *document;
    const struct yaml_node *root;
    struct schema_compiler compiler;
};

/* Sets the failure, with the document's name and the node's line before the words. */
enum status loader_refuse(struct loader *loader, const struct yaml_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);
enum status loader_out_of_memory(struct loader *loader);
/* Refuses a node that is no mapping, and members that are neither `known` (ends with NULL) nor x-…: one that nobody
 * reads is a misspelt one, or a promise that is not kept. */
enum status loader_check_members(struct loader *loader, const struct yaml_node *node, const char *what,
                                 const char *const *known) MUST_CHECK;
/* A scalar with something in it. */
bool loader_is_word(const struct yaml_node *node);
/* Those of the path and those of the operation; fills operation->parameters (parameter.c). */
enum status loader_read_parameters(struct loader *loader, const struct yaml_node *path, const struct yaml_node *node,
                                   struct openapi_operation *operation) MUST_CHECK;

#endif
