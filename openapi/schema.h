/* A compiled schema: JSON Schema 2020-12 as far as the contract uses it. Immutable once the document is loaded. */
#ifndef SLUICE_OPENAPI_SCHEMA_H
#define SLUICE_OPENAPI_SCHEMA_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/yaml.h"
#include "openapi/openapi.h"

enum {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64
};

enum schema_format {
    SCHEMA_PLAIN,
    SCHEMA_DATE,
    SCHEMA_DATE_TIME,
    SCHEMA_UUID,
    SCHEMA_INT32,
    SCHEMA_INT64
};

#define SCHEMA_MAX_HEIGHT 16 /* schemas that apply to one value through $ref, allOf, anyOf, oneOf within each other */
#define SCHEMA_MAX_LISTED 1000 /* maxItems at most, where the cost of a check grows with it */

struct schema_pattern {
    pcre2_code *code; /* with JIT where the machine has it */
    struct text source;
    pcre2_match_context *limits; /* shared, read only */
    struct schema_pattern *next;
};

/* What the arena cannot free. */
struct schema_patterns {
    struct schema_pattern *first;
    pcre2_match_context *limits;
};

/* A value of enum or const. */
struct schema_constant {
    unsigned type;    /* one bit */
    struct text text; /* as written */
    double number;    /* INTEGER, NUMBER */
    int64_t integer;  /* INTEGER; BOOLEAN 0 or 1 */
};

struct schema_property {
    struct text name;
    const struct openapi_schema *schema;
};

struct schema_list {
    const struct openapi_schema **items;
    size_t count;
};

struct openapi_schema {
    const struct yaml_node *node;
    const struct yaml_node *fallback; /* `default`; NULL: none */
    unsigned types;                   /* bits; 0: any */
    enum openapi_type value_type;     /* of a parameter with this schema */
    enum schema_format format;
    size_t min_length, max_length;           /* characters (code points) */
    double minimum, maximum;                 /* infinities: none */
    double above, below;                     /* exclusiveMinimum, exclusiveMaximum */
    int64_t integer_minimum, integer_maximum; /* all bounds and the format together */
    double multiple_of;                      /* 0: none */
    const struct schema_pattern *pattern;
    const struct schema_constant *constants; /* enum, or the one of const; NULL: any */
    size_t constant_count;
    size_t min_items, max_items;
    bool unique_items;
    const struct openapi_schema *items; /* of elements behind `prefix`; NULL: any */
    struct schema_list prefix;
    const struct schema_property *properties;
    size_t property_count;
    const struct text *required;
    size_t required_count;
    const struct openapi_schema *additional; /* NULL: any, or none when closed */
    bool closed;                             /* additionalProperties: false */
    struct schema_list all, any, one;        /* $ref counts as one more of allOf */
    struct text expected;                    /* for messages: "an integer from 1 to 1000" */
    unsigned height;                         /* 0: not yet known */
    bool visiting;
    struct openapi_schema *next; /* all of a loader's */
};

struct schema_entry { /* a compiled schema by its node */
    const struct yaml_node *node;
    struct openapi_schema *schema;
    struct schema_entry *next;
};

struct loader;

/* The schema at `node`, compiled once; failures name line and keyword. */
enum status schema_compile(struct loader *loader, const struct yaml_node *node,
                           const struct openapi_schema **schema) MUST_CHECK;
/* After all are compiled: refuses schemas that contain themselves without a value in between. */
enum status schema_check_cycles(struct loader *loader) MUST_CHECK;
/* Reads one keyword of `schema`; STATUS_NOT_FOUND: there is no such keyword. */
enum status schema_read_keyword(struct loader *loader, struct openapi_schema *schema, const struct yaml_node *key,
                                const struct yaml_node *value) MUST_CHECK;
/* The keywords of structure, which compile further schemas; the same. */
enum status schema_read_structure(struct loader *loader, struct openapi_schema *schema, const struct yaml_node *key,
                                  const struct yaml_node *value) MUST_CHECK;
/* schema->expected. */
enum status schema_describe(struct loader *loader, struct openapi_schema *schema) MUST_CHECK;
/* A scalar as a constant. False: a list or a mapping. */
bool schema_constant_of(const struct yaml_node *node, struct schema_constant *constant);
/* "string", "integer": the bit's name. */
const char *schema_type_name(unsigned type);
void schema_patterns_free(struct schema_patterns *patterns);

/* Whether the pattern is found in `text` (valid UTF-8). *data is made when first needed and is the caller's to free. */
bool schema_matches(const struct schema_pattern *pattern, struct text text, pcre2_match_data **data);
bool schema_is_uuid(struct text text);
/* Code points. */
size_t schema_length(struct text text);

#endif
