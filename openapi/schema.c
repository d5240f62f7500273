#define PCRE2_CODE_UNIT_WIDTH 8
#include "openapi/schema.h"

#include <math.h>
#include <pcre2.h>
#include <stdio.h>

#define MAX_DEPTH 32
#define MATCH_LIMIT 100000 /* steps of one match: a pattern of the contract's that explodes ends as "no match" */

struct schema_pattern {
    struct schema_pattern *next;
    pcre2_code *code;
    pcre2_match_context *limits;
};

static enum status refuse(struct schema_compiler *compiler, const struct yaml_node *node, const char *what)
{
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: %s", compiler->name, node->line, what);
}

static enum status out_of_memory(struct schema_compiler *compiler)
{
    return failure_set(compiler->failure, STATUS_TOO_LARGE, "%s: the document is too large", compiler->name);
}

enum status schema_resolve(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct yaml_node **resolved)
{
    for (int hops = 0; hops < 8; hops++) {
        const struct yaml_node *reference = yaml_get(node, "$ref");
        if (reference == NULL) {
            *resolved = node;
            return STATUS_OK;
        }
        struct text path = reference->text;
        if (!text_starts_with(path, TEXT("#/")))
            return refuse(compiler, reference, "only references within the document (#/…) are followed");
        path = text_of(path.data + 2, path.size - 2);
        const struct yaml_node *at = compiler->root;
        while (path.data != NULL && at != NULL) {
            char key[256];
            struct text step = text_split(&path, '/');
            snprintf(key, sizeof(key), "%.*s", TEXT_ARGS(step));
            at = yaml_get(at, key);
        }
        if (at == NULL)
            return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the reference %.*s leads nowhere",
                               compiler->name, reference->line, TEXT_ARGS(reference->text));
        node = at;
    }
    return refuse(compiler, node, "a reference refers to itself");
}

/* Keywords, each read by a function of its own. */

static enum status read_types(struct schema_compiler *compiler, const struct yaml_node *node,
                              struct openapi_schema *schema)
{
    static const char *const names[] = {"string", "integer", "number", "boolean", "array", "object", "null"};
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *one = node->kind == YAML_SEQUENCE ? node->items[i] : node;
        unsigned bit = 0;
        for (unsigned n = 0; n < 7; n++)
            if (text_equal(one->text, text_from_string(names[n])))
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
    } formats[] = {{"date", SCHEMA_DATE},   {"date-time", SCHEMA_DATE_TIME}, {"uuid", SCHEMA_UUID},
                   {"int32", SCHEMA_INT32}, {"int64", SCHEMA_INT64},         {"double", SCHEMA_NOTED},
                   {"uri", SCHEMA_NOTED},   {"uri-reference", SCHEMA_NOTED}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (text_equal(node->text, text_from_string(formats[i].name))) {
            schema->format = formats[i].format;
            return STATUS_OK;
        }
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the validator has no format %.*s", compiler->name,
                       node->line, TEXT_ARGS(node->text));
}

static enum status read_texts(struct schema_compiler *compiler, const struct yaml_node *node, const struct text **out,
                              size_t *count)
{
    bool list = node->kind == YAML_SEQUENCE;
    struct text *texts = arena_calloc(compiler->arena, list ? node->count : 1, sizeof(*texts));
    if (texts == NULL)
        return out_of_memory(compiler);
    for (size_t i = 0; list && i < node->count; i++)
        texts[i] = node->items[i]->text;
    if (!list)
        texts[0] = node->text;
    *out = texts;
    *count = list ? node->count : 1;
    return STATUS_OK;
}

static enum status read_enum(struct schema_compiler *compiler, const struct yaml_node *node,
                             struct openapi_schema *schema)
{
    return read_texts(compiler, node, &schema->enumeration, &schema->enumeration_count);
}

static enum status read_required(struct schema_compiler *compiler, const struct yaml_node *node,
                                 struct openapi_schema *schema)
{
    return read_texts(compiler, node, &schema->required, &schema->required_count);
}

static enum status read_pattern(struct schema_compiler *compiler, const struct yaml_node *node,
                                struct openapi_schema *schema)
{
    int error;
    PCRE2_SIZE at;
    struct schema_pattern *pattern = arena_calloc(compiler->arena, 1, sizeof(*pattern));
    if (pattern == NULL)
        return out_of_memory(compiler);
    pattern->code = pcre2_compile((PCRE2_SPTR)node->text.data, node->text.size, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY,
                                  &error, &at, NULL);
    if (pattern->code == NULL) {
        PCRE2_UCHAR words[128];
        pcre2_get_error_message(error, words, sizeof(words));
        return failure_set(compiler->failure, STATUS_INVALID,
                           "%s:%d: the pattern does not compile: %s at character %zu", compiler->name, node->line,
                           (char *)words, (size_t)at);
    }
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    pattern->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    pattern->next = compiler->patterns;
    compiler->patterns = pattern;
    schema->pattern = pattern;
    schema->pattern_text = node->text;
    return STATUS_OK;
}

static enum status read_count(struct schema_compiler *compiler, const struct yaml_node *node, int64_t *out)
{
    if (yaml_to_int64(node, out) && *out >= 0)
        return STATUS_OK;
    return refuse(compiler, node, "a whole number from 0 is needed here");
}

static enum status read_number(struct schema_compiler *compiler, const struct yaml_node *node, double *out)
{
    return yaml_to_double(node, out) ? STATUS_OK : refuse(compiler, node, "a number is needed here");
}

static enum status read_list(struct schema_compiler *compiler, const struct yaml_node *node,
                             const struct openapi_schema *const **out, size_t *count)
{
    const struct openapi_schema **list = arena_calloc(compiler->arena, node->count, sizeof(struct openapi_schema *));
    if (list == NULL || node->kind != YAML_SEQUENCE)
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
    if (properties == NULL || node->kind != YAML_MAPPING)
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
    if (text_equal(key, TEXT("minimum")) || text_equal(key, TEXT("exclusiveMinimum"))) {
        schema->has_minimum = true;
        schema->exclusive_minimum = key.data[0] == 'e';
        return read_number(compiler, value, &schema->minimum);
    }
    if (text_equal(key, TEXT("maximum")) || text_equal(key, TEXT("exclusiveMaximum"))) {
        schema->has_maximum = true;
        schema->exclusive_maximum = key.data[0] == 'e';
        return read_number(compiler, value, &schema->maximum);
    }
    if (text_equal(key, TEXT("multipleOf")))
        return read_number(compiler, value, &schema->multiple_of);
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
    static const char *const known[] = {"title",    "description", "example", "examples", "deprecated",
                                        "readOnly", "writeOnly",   "default", "$ref"};
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
    } keywords[] = {{"type", read_types},        {"format", read_format},
                    {"enum", read_enum},         {"const", read_enum},
                    {"pattern", read_pattern},   {"properties", read_properties},
                    {"required", read_required}, {"additionalProperties", read_additional}};
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
    if (is_annotation(key))
        return STATUS_OK;
    return failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the validator has no schema keyword %.*s",
                       compiler->name, pair->key->line, TEXT_ARGS(key));
}

enum status schema_compile(struct schema_compiler *compiler, const struct yaml_node *node,
                           const struct openapi_schema **out)
{
    enum status status = schema_resolve(compiler, node, &node);
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
    for (size_t i = 0; status == STATUS_OK && i < node->count; i++)
        status = read_keyword(compiler, &node->pairs[i], schema);
    compiler->depth--;
    const struct yaml_node *fallback = yaml_get(node, "default");
    if (status == STATUS_OK && fallback != NULL && fallback->kind == YAML_SCALAR) {
        struct openapi_mistake mistake;
        schema->has_default = true;
        if (schema_check_text(schema, fallback->text, compiler->arena, &schema->default_value, &mistake) != STATUS_OK)
            status =
                failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the default does not fit its own schema: %s",
                            compiler->name, fallback->line, mistake.message);
    }
    *out = schema;
    return status;
}

void schema_free_patterns(struct schema_pattern *patterns)
{
    for (; patterns != NULL; patterns = patterns->next) {
        pcre2_code_free(patterns->code);
        pcre2_match_context_free(patterns->limits);
    }
}

bool schema_pattern_matches(const struct schema_pattern *pattern, struct text text)
{
    /* Match data is a thread's own; one place for the whole match is all that is asked for. */
    static __thread pcre2_match_data *data;
    if (data == NULL)
        data = pcre2_match_data_create(1, NULL);
    return data != NULL && pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.size, 0, PCRE2_NO_UTF_CHECK, data,
                                       pattern->limits) >= 0;
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
