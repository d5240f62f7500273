/* A compiled schema: JSON Schema 2020-12 as far as the contract uses it. Immutable once the document is loaded. */
#ifndef SLUICE_OPENAPI_SCHEMA_H
#define SLUICE_OPENAPI_SCHEMA_H

#include <jansson.h>

#include "base/yaml.h"
#include "openapi/openapi.h"

/* Bits of openapi_schema.types, in the order of the names that read_types knows. */
enum {
    SCHEMA_STRING = 1,
    SCHEMA_INTEGER = 2,
    SCHEMA_NUMBER = 4,
    SCHEMA_BOOLEAN = 8,
    SCHEMA_ARRAY = 16,
    SCHEMA_OBJECT = 32,
    SCHEMA_NULL = 64
};

enum schema_format {
    SCHEMA_PLAIN,
    SCHEMA_DATE,
    SCHEMA_DATE_TIME,
    SCHEMA_UUID,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_NOTED /* documentation only */
};

struct schema_pattern; /* compiled; schema.c */

struct schema_property {
    struct text name;
    const struct openapi_schema *schema;
};

struct openapi_schema {
    unsigned types; /* bits; 0: any */
    enum schema_format format;
    const struct text *enumeration; /* enum, or the one of const */
    size_t enumeration_count;
    const struct schema_pattern *pattern;
    struct text pattern_text;
    bool has_minimum, has_maximum, exclusive_minimum, exclusive_maximum;
    double minimum, maximum;
    double multiple_of;             /* 0: none */
    int64_t min_length, max_length; /* characters (code points); -1: none */
    int64_t min_items, max_items;   /* -1: none */
    bool unique_items;
    const struct openapi_schema *items; /* NULL: any */
    const struct schema_property *properties;
    size_t property_count;
    const struct text *required;
    size_t required_count;
    const struct openapi_schema *additional; /* NULL: any, or none when closed */
    bool closed;                             /* additionalProperties: false */
    const struct openapi_schema *const *all_of, *const *any_of, *const *one_of;
    size_t all_of_count, any_of_count, one_of_count;
    bool has_default;
    struct openapi_value default_value;
};

struct schema_compiler {
    struct arena *arena;
    const char *name; /* of the document, for messages */
    const struct yaml_node *root;
    struct failure *failure;
    unsigned depth;                  /* of schemas being compiled within each other */
    struct schema_pattern *patterns; /* all that were made: what the arena can't free */
};

/* The schema at `node`; failures name line and keyword. */
enum status schema_compile(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct openapi_schema **schema) MUST_CHECK;
/* Follows {"$ref": "#/…"} until something else is reached. */
enum status schema_resolve(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct yaml_node **resolved) MUST_CHECK;
void schema_free_patterns(struct schema_pattern *patterns);

/* A decoded parameter against its schema (check.c): fills *value, or mistake->message. */
enum status schema_check_text(const struct openapi_schema *schema, struct text text, struct arena *arena,
                              struct openapi_value *value, struct openapi_mistake *mistake) MUST_CHECK;
/* A body's value at JSON pointer `pointer` (check.c): fills mistake->field and message. */
enum status schema_check_json(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                              struct openapi_mistake *mistake) MUST_CHECK;

/* Whether the pattern is found in `text` (valid UTF-8). */
bool schema_pattern_matches(const struct schema_pattern *pattern, struct text text);
bool schema_is_uuid(struct text text);
/* Code points. */
int64_t schema_length(struct text utf8);

#endif
