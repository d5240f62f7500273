/* Declarations of parameters: read, and refused where validate.c could not keep to them. */
#include "openapi/loader.h"

#define MAX_PARAMETERS 64

static struct text lower_copy(struct arena *arena, struct text text)
{
    struct text copy = arena_copy(arena, text);
    for (size_t i = 0; i < copy.size; i++)
        if (copy.data[i] >= 'A' && copy.data[i] <= 'Z')
            ((char *)(uintptr_t)copy.data)[i] += 32;
    return copy;
}

static enum status read_place(struct loader *loader, const struct yaml_node *node, enum openapi_place *place)
{
    static const char *const names[] = {"path", "query", "header"};
    const struct yaml_node *in = yaml_get(node, "in");
    for (size_t i = 0; in != NULL && i < 3; i++)
        if (text_equal(in->text, text_from_string(names[i]))) {
            *place = (enum openapi_place)i;
            return STATUS_OK;
        }
    return loader_refuse(loader, in != NULL ? in : node, "`in` of a parameter must be path, query or header");
}

/* Arrays travel as one comma-separated value: anything else is refused rather than read wrongly. */
static enum status check_style(struct loader *loader, const struct yaml_node *node,
                               const struct openapi_parameter *parameter)
{
    const struct yaml_node *style = yaml_get(node, "style"), *explode = yaml_get(node, "explode");
    bool exploded = parameter->place == OPENAPI_QUERY; /* the default of style form */
    const char *wanted = parameter->place == OPENAPI_QUERY ? "form" : "simple";
    if (style != NULL && !text_equal(style->text, text_from_string(wanted)))
        return loader_refuse(loader, style, "the validator has only style %s here", wanted);
    if (explode != NULL && !yaml_to_bool(explode, &exploded))
        return loader_refuse(loader, explode, "explode must be true or false");
    if ((parameter->schema->types & SCHEMA_ARRAY) && exploded)
        return loader_refuse(loader, node, "the array parameter %.*s must say explode: false",
                             TEXT_ARGS(parameter->name));
    /* The router has decoded it: an escaped comma can no longer be told from a separator. */
    if ((parameter->schema->types & SCHEMA_ARRAY) && parameter->place == OPENAPI_PATH)
        return loader_refuse(loader, node, "the validator has no array in a path, as %.*s is",
                             TEXT_ARGS(parameter->name));
    return STATUS_OK;
}

/* Exploded, such an object is any other parameters of the query (and exploded is the default of a query's style). */
static bool is_open_query(const struct openapi_parameter *parameter)
{
    const struct openapi_schema *schema = parameter->schema;
    return parameter->place == OPENAPI_QUERY && schema->types == SCHEMA_OBJECT && schema->property_count == 0 &&
           schema->additional != NULL && schema->additional->types == SCHEMA_STRING;
}

static enum status check_open_query(struct loader *loader, const struct yaml_node *node,
                                    const struct openapi_parameter *parameter)
{
    const struct yaml_node *style = yaml_get(node, "style"), *explode = yaml_get(node, "explode");
    bool exploded = true;
    if (style != NULL && !text_equal(style->text, TEXT("form")))
        return loader_refuse(loader, style, "the validator has only style form for the object parameter %.*s",
                             TEXT_ARGS(parameter->name));
    if (explode != NULL && (!yaml_to_bool(explode, &exploded) || !exploded))
        return loader_refuse(loader, explode, "the object parameter %.*s must say explode: true",
                             TEXT_ARGS(parameter->name));
    return STATUS_OK;
}

/* What stands as text has one type; what text can't be, or what only bodies are checked for, is refused. */
static enum status check_as_text(struct loader *loader, const struct yaml_node *node, struct text name,
                                 const struct openapi_schema *schema, bool is_item)
{
    unsigned types = schema->types & ~(unsigned)SCHEMA_NULL;
    if (types & SCHEMA_OBJECT)
        return loader_refuse(loader, node,
                             "the validator has no object parameters, as %.*s is, but for exploded ones of a query "
                             "with additionalProperties: {type: string}",
                             TEXT_ARGS(name));
    if (is_item && (types & SCHEMA_ARRAY))
        return loader_refuse(loader, node, "the validator has no arrays within the array parameter %.*s",
                             TEXT_ARGS(name));
    if (types == 0 || (types & (types - 1)) != 0)
        return loader_refuse(loader, node, "the parameter %.*s needs exactly one type", TEXT_ARGS(name));
    if (schema->all_of_count + schema->any_of_count + schema->one_of_count != 0)
        return loader_refuse(loader, node, "the validator has no allOf, anyOf or oneOf in the parameter %.*s",
                             TEXT_ARGS(name));
    if ((types & SCHEMA_ARRAY) && schema->constant_count != 0)
        return loader_refuse(loader, node, "the validator has no enum of arrays, as in the parameter %.*s",
                             TEXT_ARGS(name));
    if (types != SCHEMA_ARRAY || schema->items == NULL)
        return STATUS_OK;
    return check_as_text(loader, node, name, schema->items, true);
}

static enum status read_name(struct loader *loader, const struct yaml_node *node, struct openapi_parameter *parameter)
{
    /* OpenAPI takes these from elsewhere: media types and security. */
    static const char *const taken[] = {"accept", "content-type", "authorization"};
    const struct yaml_node *name = yaml_get(node, "name");
    if (!loader_is_word(name))
        return loader_refuse(loader, node, "a parameter needs a name");
    parameter->name = name->text;
    if (parameter->place != OPENAPI_HEADER)
        return STATUS_OK;
    parameter->name = lower_copy(&loader->document->arena, name->text);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (text_equal(parameter->name, text_from_string(taken[i])))
            return loader_refuse(loader, name, "the header %s is no parameter in OpenAPI", taken[i]);
    return STATUS_OK;
}

static enum status read_parameter(struct loader *loader, const struct yaml_node *node,
                                  struct openapi_parameter *parameter)
{
    static const char *const known[] = {"name",    "in",       "description", "required", "deprecated", "schema",
                                        "example", "examples", "style",       "explode",  NULL};
    enum status status = schema_resolve(&loader->compiler, node, &node);
    if (status == STATUS_OK)
        status = loader_check_members(loader, node, "a parameter", known);
    if (status == STATUS_OK)
        status = read_place(loader, node, &parameter->place);
    if (status == STATUS_OK)
        status = read_name(loader, node, parameter);
    if (status != STATUS_OK)
        return status;
    const struct yaml_node *required = yaml_get(node, "required"), *schema = yaml_get(node, "schema");
    if (schema == NULL)
        return loader_refuse(loader, node, "the parameter %.*s needs a schema", TEXT_ARGS(parameter->name));
    if (required != NULL && !yaml_to_bool(required, &parameter->required))
        return loader_refuse(loader, required, "required must be true or false");
    if (parameter->place == OPENAPI_PATH && !parameter->required)
        return loader_refuse(loader, node, "the path parameter %.*s must say required: true",
                             TEXT_ARGS(parameter->name));
    status = schema_compile(&loader->compiler, schema, &parameter->schema);
    if (status == STATUS_OK && is_open_query(parameter))
        return check_open_query(loader, node, parameter);
    if (status == STATUS_OK)
        status = check_as_text(loader, node, parameter->name, parameter->schema, false);
    return status == STATUS_OK ? check_style(loader, node, parameter) : status;
}

static enum status add_parameter(struct loader *loader, const struct yaml_node *node,
                                 struct openapi_parameter *parameters, size_t *count)
{
    struct openapi_parameter *parameter = &parameters[*count];
    enum status status = read_parameter(loader, node, parameter);
    if (status != STATUS_OK)
        return status;
    /* In whatever place: handlers ask for them by name. */
    for (size_t k = 0; k < *count; k++)
        if (text_equal(parameters[k].name, parameter->name))
            return loader_refuse(loader, node, "the parameter %.*s is declared twice", TEXT_ARGS(parameter->name));
    ++*count;
    return STATUS_OK;
}

/* Nobody would look for a required parameter where the query is the handler's. */
static enum status mark_open_query(struct loader *loader, const struct yaml_node *node,
                                   struct openapi_operation *operation)
{
    for (size_t i = 0; i < operation->parameter_count; i++)
        operation->open_query = operation->open_query || is_open_query(&operation->parameters[i]);
    for (size_t i = 0; operation->open_query && i < operation->parameter_count; i++)
        if (operation->parameters[i].place == OPENAPI_QUERY && operation->parameters[i].required)
            return loader_refuse(loader, node, "the parameter %.*s can't be required beside an object of any others",
                                 TEXT_ARGS(operation->parameters[i].name));
    return STATUS_OK;
}

enum status loader_read_parameters(struct loader *loader, const struct yaml_node *path, const struct yaml_node *node,
                                   struct openapi_operation *operation)
{
    const struct yaml_node *lists[] = {yaml_get(path, "parameters"), yaml_get(node, "parameters")};
    size_t most = 0;
    for (size_t l = 0; l < 2; l++) {
        if (lists[l] != NULL && lists[l]->kind != YAML_SEQUENCE)
            return loader_refuse(loader, lists[l], "parameters must be a list");
        most += lists[l] != NULL ? lists[l]->count : 0;
    }
    if (most > MAX_PARAMETERS)
        return loader_refuse(loader, node, "the operation has more than %d parameters", MAX_PARAMETERS);
    struct openapi_parameter *parameters = arena_calloc(&loader->document->arena, most + 1, sizeof(*parameters));
    if (parameters == NULL)
        return loader_out_of_memory(loader);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] != NULL && i < lists[l]->count; i++) {
            enum status status = add_parameter(loader, lists[l]->items[i], parameters, &operation->parameter_count);
            if (status != STATUS_OK)
                return status;
        }
    operation->parameters = parameters;
    return mark_open_query(loader, node, operation);
}
