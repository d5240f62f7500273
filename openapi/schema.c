#include "openapi/schema.h"

#include <stdio.h>

#define MAX_DEPTH 32
#define MAX_HOPS 8      /* references that lead to references */
#define MAX_UNIQUE 1000 /* items that are compared each with each */

static enum status refuse(struct schema_compiler *compiler, const struct yaml_node *node, const char *what)
{
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: %s", compiler->name, node->line, what);
}

static enum status out_of_memory(struct schema_compiler *compiler)
{
    return failure_set(compiler->failure, STATUS_TOO_LARGE, "%s: the document is too large", compiler->name);
}

/* One step of a JSON pointer (RFC 6901): ~1 is '/', ~0 is '~'. One that does not fit leads nowhere. */
static void unescape_step(struct text step, char *out, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < step.size && at + 1 < size; i++) {
        bool escaped = step.data[i] == '~' && i + 1 < step.size && (step.data[i + 1] == '0' || step.data[i + 1] == '1');
        out[at++] = !escaped ? step.data[i] : step.data[++i] == '0' ? '~' : '/';
    }
    out[at] = '\0';
}

/* What the $ref of `node` names. */
static enum status follow(struct schema_compiler *compiler, const struct yaml_node *reference,
                          const struct yaml_node **target)
{
    struct text path = reference->text;
    if (!text_starts_with(path, TEXT("#/")))
        return refuse(compiler, reference, "only references within the document (#/…) are followed");
    path = text_of(path.data + 2, path.size - 2);
    const struct yaml_node *at = compiler->root;
    while (path.data != NULL && at != NULL) {
        char key[256];
        unescape_step(text_split(&path, '/'), key, sizeof(key));
        at = yaml_get(at, key);
    }
    if (at == NULL)
        return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the reference %.*s leads nowhere", compiler->name,
                           reference->line, TEXT_ARGS(reference->text));
    *target = at;
    return STATUS_OK;
}

enum status schema_resolve(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct yaml_node **resolved)
{
    for (int hops = 0; hops < MAX_HOPS; hops++) {
        const struct yaml_node *reference = yaml_get(node, "$ref");
        if (reference == NULL) {
            *resolved = node;
            return STATUS_OK;
        }
        enum status status = follow(compiler, reference, &node);
        if (status != STATUS_OK)
            return status;
    }
    return refuse(compiler, node, "a reference refers to itself");
}

static const char *const type_names[] = {"string", "integer", "number", "boolean", "array", "object", "null"};

void schema_name_types(unsigned types, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned n = 0; n < 7; n++)
        if ((types & 1u << n) != 0 && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at != 0 ? " or " : "", type_names[n]);
}

/* Keywords, each read by a function of its own. */

static enum status read_types(struct schema_compiler *compiler, const struct yaml_node *node,
                              struct openapi_schema *schema)
{
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    if (count == 0)
        return refuse(compiler, node, "type needs one name at least");
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *one = node->kind == YAML_SEQUENCE ? node->items[i] : node;
        unsigned bit = 0;
        for (unsigned n = 0; n < 7; n++)
            if (text_equal(one->text, text_from_string(type_names[n])))
                bit = 1u << n;
        if (bit == 0)
            return refuse(compiler, one,
                          "unknown type; known are string, integer, number, boolean, array, object, null");
        schema->types |= bit;
    }
    return STATUS_OK;
}

static enum status read_format(struct schema_compiler *compiler, const struct yaml_node *node,
                               struct openapi_schema *schema)
{
    static const struct {
        const char *name;
        enum schema_format format;
        unsigned types; /* that it says something about */
    } formats[] = {{"date", SCHEMA_DATE, SCHEMA_STRING},     {"date-time", SCHEMA_DATE_TIME, SCHEMA_STRING},
                   {"uuid", SCHEMA_UUID, SCHEMA_STRING},     {"int32", SCHEMA_INT32, SCHEMA_INTEGER},
                   {"int64", SCHEMA_INT64, SCHEMA_INTEGER},  {"double", SCHEMA_NOTED, SCHEMA_NUMBER},
                   {"uri", SCHEMA_NOTED, SCHEMA_STRING},     {"uri-reference", SCHEMA_NOTED, SCHEMA_STRING},
                   {"duration", SCHEMA_NOTED, SCHEMA_STRING}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (text_equal(node->text, text_from_string(formats[i].name))) {
            schema->format = formats[i].format;
            return (schema->types & formats[i].types) != 0
                       ? STATUS_OK
                       : failure_set(compiler->failure, STATUS_INVALID,
                                     "%s:%d: the format %.*s does not belong to the schema's type", compiler->name,
                                     node->line, TEXT_ARGS(node->text));
        }
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the validator has no format %.*s", compiler->name,
                       node->line, TEXT_ARGS(node->text));
}

static enum status read_enum(struct schema_compiler *compiler, const struct yaml_node *node,
                             struct openapi_schema *schema)
{
    return schema_read_constants(compiler, node, true, schema);
}

static enum status read_const(struct schema_compiler *compiler, const struct yaml_node *node,
                              struct openapi_schema *schema)
{
    return schema_read_constants(compiler, node, false, schema);
}

static enum status read_required(struct schema_compiler *compiler, const struct yaml_node *node,
                                 struct openapi_schema *schema)
{
    struct text *texts = arena_calloc(compiler->arena, node->count + 1, sizeof(*texts));
    if (texts == NULL)
        return out_of_memory(compiler);
    if (node->kind != YAML_SEQUENCE)
        return refuse(compiler, node, "required needs a list of names");
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i]->kind != YAML_SCALAR)
            return refuse(compiler, node->items[i], "required needs a list of names");
        texts[i] = node->items[i]->text;
    }
    schema->required = texts;
    schema->required_count = node->count;
    return STATUS_OK;
}

static enum status read_pattern(struct schema_compiler *compiler, const struct yaml_node *node,
                                struct openapi_schema *schema)
{
    if (node->kind != YAML_SCALAR)
        return refuse(compiler, node, "pattern needs a regular expression");
    schema->pattern = schema_pattern_compile(compiler, node);
    schema->pattern_text = node->text;
    return schema->pattern != NULL ? STATUS_OK : STATUS_INVALID;
}

static enum status read_count(struct schema_compiler *compiler, const struct yaml_node *node, int64_t *out)
{
    if (yaml_to_int64(node, out) && *out >= 0)
        return STATUS_OK;
    return refuse(compiler, node, "a whole number from 0 is needed here");
}

static enum status read_multiple(struct schema_compiler *compiler, const struct yaml_node *node,
                                 struct openapi_schema *schema)
{
    if (!yaml_to_double(node, &schema->multiple_of) || schema->multiple_of <= 0)
        return refuse(compiler, node, "multipleOf needs a number above 0");
    if (!yaml_to_int64(node, &schema->whole_multiple))
        schema->whole_multiple = 0;
    return STATUS_OK;
}

static enum status read_list(struct schema_compiler *compiler, const struct yaml_node *node,
                             const struct openapi_schema *const **out, size_t *count)
{
    const struct openapi_schema **list = arena_calloc(compiler->arena, node->count, sizeof(struct openapi_schema *));
    if (list == NULL)
        return out_of_memory(compiler);
    if (node->kind != YAML_SEQUENCE || node->count == 0)
        return refuse(compiler, node, "a list of schemas is needed here");
    for (size_t i = 0; i < node->count; i++) {
        enum status status = schema_compile(compiler, node->items[i], &list[i]);
        if (status != STATUS_OK)
            return status;
    }
    *out = list;
    *count = node->count;
    return STATUS_OK;
}

static enum status read_properties(struct schema_compiler *compiler, const struct yaml_node *node,
                                   struct openapi_schema *schema)
{
    struct schema_property *properties = arena_calloc(compiler->arena, node->count, sizeof(*properties));
    if (properties == NULL)
        return out_of_memory(compiler);
    if (node->kind != YAML_MAPPING)
        return refuse(compiler, node, "properties must map names to schemas");
    for (size_t i = 0; i < node->count; i++) {
        properties[i].name = node->pairs[i].key->text;
        enum status status = schema_compile(compiler, node->pairs[i].value, &properties[i].schema);
        if (status != STATUS_OK)
            return status;
    }
    schema->properties = properties;
    schema->property_count = node->count;
    return STATUS_OK;
}

static enum status read_additional(struct schema_compiler *compiler, const struct yaml_node *node,
                                   struct openapi_schema *schema)
{
    bool allowed;
    if (yaml_to_bool(node, &allowed)) {
        schema->closed = !allowed;
        return STATUS_OK;
    }
    return schema_compile(compiler, node, &schema->additional);
}

static enum status read_limit(struct schema_compiler *compiler, struct text key, const struct yaml_node *value,
                              struct openapi_schema *schema)
{
    if (text_equal(key, TEXT("minimum")) || text_equal(key, TEXT("exclusiveMinimum")))
        return schema_read_bound(compiler, value, false, key.data[0] == 'e', &schema->minimum);
    if (text_equal(key, TEXT("maximum")) || text_equal(key, TEXT("exclusiveMaximum")))
        return schema_read_bound(compiler, value, true, key.data[0] == 'e', &schema->maximum);
    if (text_equal(key, TEXT("minLength")))
        return read_count(compiler, value, &schema->min_length);
    if (text_equal(key, TEXT("maxLength")))
        return read_count(compiler, value, &schema->max_length);
    if (text_equal(key, TEXT("minItems")))
        return read_count(compiler, value, &schema->min_items);
    if (text_equal(key, TEXT("maxItems")))
        return read_count(compiler, value, &schema->max_items);
    return STATUS_NOT_FOUND;
}

static bool is_annotation(struct text key)
{
    static const char *const known[] = {"title",      "description", "example",   "examples",
                                        "deprecated", "readOnly",    "writeOnly", "$comment"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (text_equal(key, text_from_string(known[i])))
            return true;
    return text_starts_with(key, TEXT("x-"));
}

static enum status read_keyword(struct schema_compiler *compiler, const struct yaml_pair *pair,
                                struct openapi_schema *schema)
{
    static const struct {
        const char *name;
        enum status (*read)(struct schema_compiler *, const struct yaml_node *, struct openapi_schema *);
    } keywords[] = {{"format", read_format},       {"enum", read_enum},
                    {"const", read_const},         {"pattern", read_pattern},
                    {"multipleOf", read_multiple}, {"properties", read_properties},
                    {"required", read_required},   {"additionalProperties", read_additional}};
    struct text key = pair->key->text;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (text_equal(key, text_from_string(keywords[i].name)))
            return keywords[i].read(compiler, pair->value, schema);
    enum status status = read_limit(compiler, key, pair->value, schema);
    if (status != STATUS_NOT_FOUND)
        return status;
    if (text_equal(key, TEXT("items")))
        return schema_compile(compiler, pair->value, &schema->items);
    if (text_equal(key, TEXT("uniqueItems")))
        return yaml_to_bool(pair->value, &schema->unique_items)
                   ? STATUS_OK
                   : refuse(compiler, pair->value, "true or false is needed here");
    if (text_equal(key, TEXT("allOf")))
        return read_list(compiler, pair->value, &schema->all_of, &schema->all_of_count);
    if (text_equal(key, TEXT("anyOf")))
        return read_list(compiler, pair->value, &schema->any_of, &schema->any_of_count);
    if (text_equal(key, TEXT("oneOf")))
        return read_list(compiler, pair->value, &schema->one_of, &schema->one_of_count);
    if (is_annotation(key) || text_equal(key, TEXT("type")) || text_equal(key, TEXT("default")))
        return STATUS_OK; /* those two are read before and after the rest */
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the validator has no schema keyword %.*s",
                       compiler->name, pair->key->line, TEXT_ARGS(key));
}

/* As schema_resolve. Beside a $ref stand words only: in OpenAPI 3.1 other keywords there would narrow the schema. */
static enum status resolve_schema(struct schema_compiler *compiler, const struct yaml_node *node,
                                  const struct yaml_node **resolved)
{
    const struct yaml_node *reference;
    for (int hops = 0; (reference = yaml_get(node, "$ref")) != NULL; hops++) {
        if (hops == MAX_HOPS)
            return refuse(compiler, node, "a reference refers to itself");
        for (size_t i = 0; i < node->count; i++) {
            struct text key = node->pairs[i].key->text;
            if (!text_equal(key, TEXT("$ref")) && !is_annotation(key))
                return failure_set(compiler->failure, STATUS_INVALID,
                                   "%s:%d: %.*s beside a $ref is not followed; put both into an allOf", compiler->name,
                                   node->pairs[i].key->line, TEXT_ARGS(key));
        }
        enum status status = follow(compiler, reference, &node);
        if (status != STATUS_OK)
            return status;
    }
    *resolved = node;
    return STATUS_OK;
}

static enum status check_sense(struct schema_compiler *compiler, const struct yaml_node *node,
                               const struct openapi_schema *schema)
{
    const struct schema_bound *low = &schema->minimum, *high = &schema->maximum;
    bool only_whole = (schema->types & (SCHEMA_INTEGER | SCHEMA_NUMBER)) == SCHEMA_INTEGER;
    if (low->given && high->given && (low->number > high->number || (only_whole && low->whole > high->whole)))
        return refuse(compiler, node, "the minimum is above the maximum");
    if (schema->max_length >= 0 && schema->min_length > schema->max_length)
        return refuse(compiler, node, "minLength is above maxLength");
    if (schema->max_items >= 0 && schema->min_items > schema->max_items)
        return refuse(compiler, node, "minItems is above maxItems");
    if (schema->unique_items && (schema->max_items < 0 || schema->max_items > MAX_UNIQUE))
        return refuse(compiler, node, "uniqueItems needs maxItems of 1000 at most, because each is compared with each");
    return STATUS_OK;
}

static enum status read_keywords(struct schema_compiler *compiler, const struct yaml_node *node,
                                 struct openapi_schema *schema)
{
    const struct yaml_node *types = yaml_get(node, "type"), *fallback = yaml_get(node, "default");
    enum status status = types != NULL ? read_types(compiler, types, schema) : STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < node->count; i++)
        status = read_keyword(compiler, &node->pairs[i], schema);
    if (status == STATUS_OK)
        status = check_sense(compiler, node, schema);
    return status == STATUS_OK && fallback != NULL ? schema_read_default(compiler, fallback, schema) : status;
}

enum status schema_compile(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct openapi_schema **out)
{
    enum status status = resolve_schema(compiler, node, &node);
    if (status != STATUS_OK)
        return status;
    if (node->kind != YAML_MAPPING)
        return refuse(compiler, node, "a schema must be a mapping");
    if (++compiler->depth > MAX_DEPTH)
        return refuse(compiler, node, "a schema refers to itself, or is nested too deeply");
    struct openapi_schema *schema = arena_calloc(compiler->arena, 1, sizeof(*schema));
    if (schema == NULL)
        return out_of_memory(compiler);
    schema->min_length = schema->max_length = schema->min_items = schema->max_items = -1;
    status = read_keywords(compiler, node, schema);
    compiler->depth--;
    *out = schema;
    return status;
}

bool schema_is_uuid(struct text text)
{
    if (text.size != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        char byte = text.data[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
        if (dash ? byte != '-' : !hex)
            return false;
    }
    return true;
}

int64_t schema_length(struct text utf8)
{
    int64_t count = 0;
    for (size_t i = 0; i < utf8.size; i++)
        count += ((unsigned char)utf8.data[i] & 0xC0) != 0x80;
    return count;
}
