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

struct schema_pattern; /* compiled; pattern.c */

/* One value of enum, or that of const. */
struct schema_constant {
    unsigned types;   /* bits; a whole number is INTEGER | NUMBER */
    struct text text; /* as the document has it */
    int64_t integer;  /* INTEGER, BOOLEAN */
    double number;    /* NUMBER */
};

/* minimum, exclusiveMinimum, maximum or exclusiveMaximum. */
struct schema_bound {
    bool given, exclusive;
    double number;
    int64_t whole;    /* the outermost whole number that is allowed: doubles can't hold every int64 */
    struct text text; /* as the document has it */
};

struct schema_property {
    struct text name;
    const struct openapi_schema *schema;
};

struct openapi_schema {
    unsigned types; /* bits; 0: any */
    enum schema_format format;
    const struct schema_constant *constants; /* enum, or the one of const */
    size_t constant_count;
    const struct schema_pattern *pattern;
    struct text pattern_text;
    struct schema_bound minimum, maximum;
    double multiple_of;             /* 0: none */
    int64_t whole_multiple;         /* multiple_of where it is whole, otherwise 0 */
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
/* The keywords that say what one value may be: bounds, enum, const, default (constant.c). */
enum status schema_read_bound(struct schema_compiler *compiler, const struct yaml_node *node, bool upper,
                              bool exclusive, struct schema_bound *bound) MUST_CHECK;
enum status schema_read_constants(struct schema_compiler *compiler, const struct yaml_node *node, bool is_list,
                                  struct openapi_schema *schema) MUST_CHECK;
enum status schema_read_default(struct schema_compiler *compiler, const struct yaml_node *node,
                                struct openapi_schema *schema) MUST_CHECK;
/* Follows {"$ref": "#/…"} until something else is reached. */
enum status schema_resolve(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct yaml_node **resolved) MUST_CHECK;

/* A decoded parameter against its schema (check.c): fills *value, or mistake->message. */
enum status schema_check_text(const struct openapi_schema *schema, struct text text, struct arena *arena,
                              struct openapi_value *value, struct openapi_mistake *mistake) MUST_CHECK;
/* The same for what stands in a query, not yet decoded: arrays are split at raw commas first, so that %2C stays within
 * its item. */
enum status schema_check_query(const struct openapi_schema *schema, struct text raw, struct arena *arena,
                               struct openapi_value *value, struct openapi_mistake *mistake) MUST_CHECK;
/* Percent-decodes a name or value of the query, '+' as space; what holds no escape is used where it stands. */
enum status schema_decode_query(struct text *text, struct arena *arena, struct openapi_mistake *mistake) MUST_CHECK;
/* A body's value at JSON pointer `pointer` (body.c): fills mistake->field and message. */
enum status schema_check_json(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                              struct openapi_mistake *mistake) MUST_CHECK;

/* Pieces of the checks that parameters and bodies share (check.c). All fill mistake->message. */
bool schema_has_constant(const struct openapi_schema *schema, const struct schema_constant *wanted,
                         struct openapi_mistake *mistake);
enum status schema_check_whole(const struct openapi_schema *schema, int64_t number,
                               struct openapi_mistake *mistake) MUST_CHECK;
enum status schema_check_number(const struct openapi_schema *schema, double number,
                                struct openapi_mistake *mistake) MUST_CHECK;
enum status schema_check_string(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake) MUST_CHECK;
/* `what` an array has too few or too many of: "values separated by commas". */
enum status schema_check_count(const struct openapi_schema *schema, size_t count, const char *what,
                               struct openapi_mistake *mistake) MUST_CHECK;

/* Joins the list `*patterns`, which owns what the arena can't free; NULL with `failure` set (pattern.c). */
const struct schema_pattern *schema_pattern_compile(struct schema_compiler *compiler, const struct yaml_node *node);
void schema_free_patterns(struct schema_pattern *patterns);
/* Whether the pattern is found in `text` (valid UTF-8). */
bool schema_pattern_matches(const struct schema_pattern *pattern, struct text text);
/* "a string", "an integer or null"; for messages. */
void schema_name_types(unsigned types, char *out, size_t size);
bool schema_is_uuid(struct text text);
/* Code points. */
int64_t schema_length(struct text utf8);

#endif
