/* Values that stand in a schema: bounds, enum, const, default. Read exactly, with their types, so that one that could
 * never fit is found when the document is loaded. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/buffer.h"
#include "openapi/schema.h"

#define JSON_CEILING ((size_t)1 << 20)
#define TWO_TO_63 9223372036854775808.0

static enum status refuse(struct schema_compiler *compiler, const struct yaml_node *node, const char *what)
{
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: %s", compiler->name, node->line, what);
}

/* The nearest whole number inside the bound; where that is past int64, the last one there is. */
static int64_t innermost(double bound, bool upper, bool exclusive)
{
    double whole = upper ? floor(bound) : ceil(bound);
    if (exclusive && whole == bound)
        whole += upper ? -1 : 1;
    return whole >= TWO_TO_63 ? INT64_MAX : whole < -TWO_TO_63 ? INT64_MIN : (int64_t)whole;
}

enum status schema_read_bound(struct schema_compiler *compiler, const struct yaml_node *node, bool upper,
                              bool exclusive, struct schema_bound *bound)
{
    if (bound->given)
        return refuse(compiler, node,
                      upper ? "give either maximum or exclusiveMaximum, not both"
                            : "give either minimum or exclusiveMinimum, not both");
    if (!yaml_to_double(node, &bound->number))
        return refuse(compiler, node, "a number is needed here");
    bound->given = true;
    bound->exclusive = exclusive;
    bound->text = node->text;
    if (!yaml_to_int64(node, &bound->whole))
        bound->whole = innermost(bound->number, upper, exclusive);
    else if (exclusive && __builtin_add_overflow(bound->whole, upper ? -1 : 1, &bound->whole))
        return refuse(compiler, node, "the bound leaves no 64-bit number");
    return STATUS_OK;
}

static bool read_constant(const struct yaml_node *node, struct schema_constant *constant)
{
    bool boolean;
    if (node->kind != YAML_SCALAR)
        return false;
    constant->text = node->text;
    if (yaml_is_null(node)) {
        constant->types = SCHEMA_NULL;
    } else if (yaml_to_bool(node, &boolean)) {
        constant->types = SCHEMA_BOOLEAN;
        constant->integer = boolean;
    } else if (yaml_to_int64(node, &constant->integer)) {
        constant->types = SCHEMA_INTEGER | SCHEMA_NUMBER;
        constant->number = (double)constant->integer;
    } else if (yaml_to_double(node, &constant->number)) {
        constant->types = SCHEMA_NUMBER;
    } else {
        constant->types = SCHEMA_STRING;
    }
    return true;
}

enum status schema_read_constants(struct schema_compiler *compiler, const struct yaml_node *node, bool is_list,
                                  struct openapi_schema *schema)
{
    size_t count = is_list ? node->count : 1;
    if (is_list && (node->kind != YAML_SEQUENCE || count == 0))
        return refuse(compiler, node, "enum needs a list of values");
    if (schema->constant_count != 0)
        return refuse(compiler, node, "give either enum or const, not both");
    struct schema_constant *constants = arena_calloc(compiler->arena, count, sizeof(*constants));
    if (constants == NULL)
        return failure_set(compiler->failure, STATUS_TOO_LARGE, "%s: the document is too large", compiler->name);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *one = is_list ? node->items[i] : node;
        if (!read_constant(one, &constants[i]))
            return refuse(compiler, one, "the values of enum and const must be scalars");
        if (schema->types != 0 && (schema->types & constants[i].types) == 0)
            return failure_set(compiler->failure, STATUS_INVALID,
                               "%s:%d: the value %.*s is not of the schema's type (quote what shall be a string)",
                               compiler->name, one->line, TEXT_ARGS(one->text));
    }
    schema->constants = constants;
    schema->constant_count = count;
    return STATUS_OK;
}

/* What a caller would have sent to mean the scalar: strings as they stand, numbers as JSON writes them. */
static struct text sent_text(struct arena *arena, const struct yaml_node *node)
{
    struct schema_constant constant = {0};
    if (read_constant(node, &constant) && constant.types == SCHEMA_STRING)
        return node->text;
    struct buffer written;
    buffer_init(&written, JSON_CEILING);
    yaml_append_json(node, &written);
    struct text copy = written.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&written));
    buffer_free(&written);
    return copy;
}

static bool fill_array(struct schema_compiler *compiler, const struct yaml_node *node,
                       const struct openapi_schema *schema, struct openapi_value *value,
                       struct openapi_mistake *mistake)
{
    static const struct openapi_schema any = {.min_length = -1, .max_length = -1, .min_items = -1, .max_items = -1};
    struct openapi_value *items = arena_calloc(compiler->arena, node->count, sizeof(*items));
    for (size_t i = 0; items != NULL && i < node->count; i++)
        if (schema_check_text(schema->items != NULL ? schema->items : &any, sent_text(compiler->arena, node->items[i]),
                              compiler->arena, &items[i], mistake) != STATUS_OK)
            return false;
    *value = (struct openapi_value){.present = true, .type = OPENAPI_ARRAY, .items = items, .count = node->count};
    return items != NULL;
}

static enum status unfit(struct schema_compiler *compiler, const struct yaml_node *node, const char *why)
{
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the default does not fit its own schema: %s",
                       compiler->name, node->line, why);
}

/* First as JSON, which knows every type; then as the parameter that it stands for. */
enum status schema_read_default(struct schema_compiler *compiler, const struct yaml_node *node,
                                struct openapi_schema *schema)
{
    struct openapi_mistake mistake = {0};
    struct buffer written;
    json_error_t error;
    buffer_init(&written, JSON_CEILING);
    yaml_append_json(node, &written);
    json_t *json = written.failed
                       ? NULL
                       : json_loadb(buffer_text(&written).data, buffer_text(&written).size, JSON_DECODE_ANY, &error);
    buffer_free(&written);
    if (json == NULL)
        return unfit(compiler, node, "it is no JSON, or a number beyond 64 bits");
    enum status status = schema_check_json(schema, json, "", &mistake);
    bool scalar = !json_is_null(json) && !json_is_object(json) && !json_is_array(json), array = json_is_array(json);
    json_decref(json);
    if (status != STATUS_OK)
        return unfit(compiler, node, mistake.message);
    if (scalar && !(schema->types & SCHEMA_ARRAY)) {
        schema->has_default = true;
        status = schema_check_text(schema, sent_text(compiler->arena, node), compiler->arena, &schema->default_value,
                                   &mistake);
    } else if (array && (schema->types & SCHEMA_ARRAY)) {
        bool flat = true;
        for (size_t i = 0; i < node->count; i++)
            flat = flat && node->items[i]->kind == YAML_SCALAR;
        schema->has_default = flat; /* deeper ones belong to bodies, where defaults are not filled in */
        if (flat && !fill_array(compiler, node, schema, &schema->default_value, &mistake))
            status = STATUS_INVALID;
    }
    return status == STATUS_OK ? STATUS_OK : unfit(compiler, node, mistake.message);
}
