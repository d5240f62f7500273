/* A schema compiled on its own, from flow-style YAML. */
#ifndef SLUICE_TESTS_OPENAPI_COMPILED_H
#define SLUICE_TESTS_OPENAPI_COMPILED_H

#include "fixture.h"

#include "openapi/schema.h"

struct compiled {
    struct arena arena;
    struct schema_compiler compiler;
    struct failure failure;
    const struct openapi_schema *schema; /* NULL: refused */
};

static inline void compiled_open(struct compiled *compiled, const char *yaml)
{
    struct yaml_node *root;
    memset(compiled, 0, sizeof(*compiled));
    arena_init(&compiled->arena, NULL, 0, 1 << 20);
    if (yaml_parse(&compiled->arena, "schema", text_from_string(yaml), &root, &compiled->failure) != STATUS_OK)
        fail_msg("%s", compiled->failure.message);
    compiled->compiler = (struct schema_compiler){
        .arena = &compiled->arena, .name = "schema", .root = root, .failure = &compiled->failure};
    if (schema_compile(&compiled->compiler, root, &compiled->schema) != STATUS_OK)
        compiled->schema = NULL;
}

static inline void compiled_close(struct compiled *compiled)
{
    schema_free_patterns(compiled->compiler.patterns);
    arena_free(&compiled->arena);
}

#endif
