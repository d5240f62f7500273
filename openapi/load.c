#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "openapi/document.h"

#define ARENA_CEILING ((size_t)64 << 20)
#define JSON_CEILING ((size_t)16 << 20)

static const char *const method_keys[METHODS] = {"get", "put", "post", "patch", "delete"};
static const char *const method_names[METHODS] = {"GET", "PUT", "POST", "PATCH", "DELETE"};

struct loader {
    struct openapi *document;
    const struct yaml_node *root;
    struct schema_compiler compiler;
};

static enum status refuse(struct loader *loader, const struct yaml_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);

static enum status refuse(struct loader *loader, const struct yaml_node *node, const char *format, ...)
{
    char words[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    return failure_set(loader->compiler.failure, STATUS_INVALID, "%s:%d: %s", loader->compiler.name,
                       node != NULL ? node->line : 0, words);
}

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
    return refuse(loader, in != NULL ? in : node, "`in` of a parameter must be path, query or header");
}

/* Arrays travel as one comma-separated value: anything else is refused rather than read wrongly. */
static enum status check_style(struct loader *loader, const struct yaml_node *node,
                               const struct openapi_parameter *parameter)
{
    const struct yaml_node *style = yaml_get(node, "style"), *explode = yaml_get(node, "explode");
    bool exploded = parameter->place == OPENAPI_QUERY; /* the default of style form */
    const char *wanted = parameter->place == OPENAPI_QUERY ? "form" : "simple";
    if (style != NULL && !text_equal(style->text, text_from_string(wanted)))
        return refuse(loader, style, "the validator has only style %s here", wanted);
    if (explode != NULL && !yaml_to_bool(explode, &exploded))
        return refuse(loader, explode, "explode must be true or false");
    if ((parameter->schema->types & SCHEMA_ARRAY) && exploded)
        return refuse(loader, node, "array parameters must say explode: false");
    if (parameter->schema->types & SCHEMA_OBJECT)
        return refuse(loader, node, "the validator has no object parameters");
    return STATUS_OK;
}

static enum status read_parameter(struct loader *loader, const struct yaml_node *node,
                                  struct openapi_parameter *parameter)
{
    enum status status = schema_resolve(&loader->compiler, node, &node);
    if (status != STATUS_OK)
        return status;
    const struct yaml_node *name = yaml_get(node, "name"), *required = yaml_get(node, "required"),
                           *schema = yaml_get(node, "schema");
    if (name == NULL || schema == NULL)
        return refuse(loader, node, "a parameter needs name, in and schema");
    status = read_place(loader, node, &parameter->place);
    if (status != STATUS_OK)
        return status;
    parameter->name =
        parameter->place == OPENAPI_HEADER ? lower_copy(&loader->document->arena, name->text) : name->text;
    if (required != NULL && !yaml_to_bool(required, &parameter->required))
        return refuse(loader, required, "required must be true or false");
    if (parameter->place == OPENAPI_PATH && !parameter->required)
        return refuse(loader, node, "a path parameter must say required: true");
    status = schema_compile(&loader->compiler, schema, &parameter->schema);
    return status == STATUS_OK ? check_style(loader, node, parameter) : status;
}

static enum status read_parameters(struct loader *loader, const struct yaml_node *path, const struct yaml_node *node,
                                   struct openapi_operation *operation)
{
    const struct yaml_node *lists[] = {yaml_get(path, "parameters"), yaml_get(node, "parameters")};
    size_t most = (lists[0] != NULL ? lists[0]->count : 0) + (lists[1] != NULL ? lists[1]->count : 0);
    struct openapi_parameter *parameters = arena_calloc(&loader->document->arena, most + 1, sizeof(*parameters));
    if (parameters == NULL || most > 64)
        return refuse(loader, node, "too many parameters");
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] != NULL && i < lists[l]->count; i++) {
            struct openapi_parameter *parameter = &parameters[operation->parameter_count];
            enum status status = read_parameter(loader, lists[l]->items[i], parameter);
            if (status != STATUS_OK)
                return status;
            for (size_t k = 0; k < operation->parameter_count; k++)
                if (parameters[k].place == parameter->place && text_equal(parameters[k].name, parameter->name))
                    return refuse(loader, lists[l]->items[i], "the parameter %.*s is declared twice",
                                  TEXT_ARGS(parameter->name));
            operation->parameter_count++;
        }
    operation->parameters = parameters;
    return STATUS_OK;
}

static bool has_scheme(const struct loader *loader, const char *name)
{
    return yaml_get(yaml_get(yaml_get(loader->root, "components"), "securitySchemes"), name) != NULL;
}

/* One scheme with its scopes, or an empty list for public operations: alternatives would need a rule for choosing. */
static enum status read_security(struct loader *loader, const struct yaml_node *node,
                                 struct openapi_operation *operation)
{
    const struct yaml_node *security = yaml_get(node, "security");
    if (security == NULL)
        security = yaml_get(loader->root, "security");
    if (security == NULL || security->kind != YAML_SEQUENCE)
        return refuse(loader, node, "the operation needs a security block (an empty list makes it public)");
    operation->is_public = security->count == 0;
    if (operation->is_public)
        return STATUS_OK;
    const struct yaml_node *one = security->items[0];
    char name[64];
    if (security->count != 1 || one->kind != YAML_MAPPING || one->count != 1)
        return refuse(loader, security, "exactly one security scheme is needed");
    snprintf(name, sizeof(name), "%.*s", TEXT_ARGS(one->pairs[0].key->text));
    if (!has_scheme(loader, name))
        return refuse(loader, one, "the security scheme %s is not declared under components", name);
    const struct yaml_node *scopes = one->pairs[0].value;
    struct text *texts = arena_calloc(&loader->document->arena, scopes->count + 1, sizeof(*texts));
    if (texts == NULL || scopes->kind != YAML_SEQUENCE)
        return refuse(loader, one, "a security scheme needs a list of scopes");
    for (size_t i = 0; i < scopes->count; i++)
        texts[i] = scopes->items[i]->text;
    operation->scopes = texts;
    operation->scope_count = scopes->count;
    return STATUS_OK;
}

static enum status read_body(struct loader *loader, const struct yaml_node *node, struct openapi_operation *operation)
{
    const struct yaml_node *body = yaml_get(node, "requestBody"), *required;
    if (body == NULL)
        return STATUS_OK;
    enum status status = schema_resolve(&loader->compiler, body, &body);
    if (status != STATUS_OK)
        return status;
    const struct yaml_node *schema = yaml_get(yaml_get(yaml_get(body, "content"), "application/json"), "schema");
    if (schema == NULL)
        return refuse(loader, body, "a request body needs a schema for application/json");
    required = yaml_get(body, "required");
    if (required != NULL && !yaml_to_bool(required, &operation->body_required))
        return refuse(loader, required, "required must be true or false");
    return schema_compile(&loader->compiler, schema, &operation->body);
}

/* Responses are not enforced, but a schema that nobody could check is a promise that nobody could keep. */
static enum status check_responses(struct loader *loader, const struct yaml_node *node)
{
    const struct yaml_node *responses = yaml_get(node, "responses");
    if (responses == NULL || responses->count == 0)
        return refuse(loader, node, "the operation declares no responses");
    for (size_t i = 0; i < responses->count; i++) {
        const struct yaml_node *response;
        enum status status = schema_resolve(&loader->compiler, responses->pairs[i].value, &response);
        const struct yaml_node *content = status == STATUS_OK ? yaml_get(response, "content") : NULL;
        for (size_t k = 0; status == STATUS_OK && content != NULL && k < content->count; k++) {
            const struct yaml_node *schema = yaml_get(content->pairs[k].value, "schema");
            const struct openapi_schema *ignored;
            status = schema != NULL ? schema_compile(&loader->compiler, schema, &ignored) : STATUS_OK;
        }
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status check_variables(struct loader *loader, const struct yaml_node *node,
                                   const struct document_path *path, const struct openapi_operation *operation)
{
    size_t variables = 0, declared = 0;
    for (size_t i = 0; i < path->segment_count; i++) {
        bool found = !path->is_variable[i];
        variables += path->is_variable[i];
        for (size_t k = 0; k < operation->parameter_count; k++)
            found = found || (operation->parameters[k].place == OPENAPI_PATH &&
                              text_equal(operation->parameters[k].name, path->segments[i]));
        if (!found)
            return refuse(loader, node, "the path variable %.*s has no parameter", TEXT_ARGS(path->segments[i]));
    }
    for (size_t k = 0; k < operation->parameter_count; k++)
        declared += operation->parameters[k].place == OPENAPI_PATH;
    return declared == variables ? STATUS_OK : refuse(loader, node, "a path parameter does not stand in the path");
}

static enum status read_operation(struct loader *loader, const struct yaml_node *path_node,
                                  const struct yaml_node *node, struct document_path *path, int method)
{
    struct openapi *document = loader->document;
    struct openapi_operation *operation = &document->operations[document->operation_count];
    const struct yaml_node *id = yaml_get(node, "operationId");
    if (id == NULL)
        return refuse(loader, node, "%s %.*s has no operationId", method_names[method], TEXT_ARGS(path->template));
    if (openapi_operation_by_id(document, id->text) != NULL)
        return refuse(loader, id, "the operationId %.*s stands there twice", TEXT_ARGS(id->text));
    *operation = (struct openapi_operation){.index = document->operation_count,
                                            .id = id->text,
                                            .method = text_from_string(method_names[method]),
                                            .path = path->template};
    enum status status = read_parameters(loader, path_node, node, operation);
    if (status == STATUS_OK)
        status = check_variables(loader, node, path, operation);
    if (status == STATUS_OK)
        status = read_security(loader, node, operation);
    if (status == STATUS_OK)
        status = read_body(loader, node, operation);
    if (status == STATUS_OK)
        status = check_responses(loader, node);
    path->operations[method] = operation;
    document->operation_count++;
    return status;
}

static void write_allow(struct document_path *path)
{
    size_t at = 0;
    for (int i = 0; i < METHODS; i++)
        if (path->operations[i] != NULL)
            at += (size_t)snprintf(path->allow + at, sizeof(path->allow) - at, "%s%s, ", method_names[i],
                                   i == METHOD_GET ? ", HEAD" : "");
    snprintf(path->allow + at, sizeof(path->allow) - at, "OPTIONS");
}

static enum status split_template(struct loader *loader, const struct yaml_node *node, struct document_path *path)
{
    struct text rest = node->text;
    path->template = node->text;
    if (!text_starts_with(rest, TEXT("/")))
        return refuse(loader, node, "a path must begin with /");
    rest = text_of(rest.data + 1, rest.size - 1);
    while (rest.data != NULL) {
        struct text segment = text_split(&rest, '/');
        if (path->segment_count == OPENAPI_MAX_SEGMENTS)
            return refuse(loader, node, "the path has more than %d segments", OPENAPI_MAX_SEGMENTS);
        bool variable = segment.size > 2 && segment.data[0] == '{' && segment.data[segment.size - 1] == '}';
        if (!variable && segment.size != 0 &&
            (memchr(segment.data, '{', segment.size) != NULL || memchr(segment.data, '%', segment.size) != NULL))
            return refuse(loader, node,
                          "a variable must be a whole segment of the path, and literals stand there unescaped");
        path->is_variable[path->segment_count] = variable;
        path->segments[path->segment_count++] = variable ? text_of(segment.data + 1, segment.size - 2) : segment;
    }
    return STATUS_OK;
}

/* Literals before variables, from the left. */
static int compare_paths(const void *a, const void *b)
{
    const struct document_path *first = a, *second = b;
    for (size_t i = 0; i < first->segment_count && i < second->segment_count; i++)
        if (first->is_variable[i] != second->is_variable[i])
            return first->is_variable[i] ? 1 : -1;
    return 0;
}

static bool same_shape(const struct document_path *a, const struct document_path *b)
{
    if (a->segment_count != b->segment_count)
        return false;
    for (size_t i = 0; i < a->segment_count; i++)
        if (a->is_variable[i] != b->is_variable[i] ||
            (!a->is_variable[i] && !text_equal(a->segments[i], b->segments[i])))
            return false;
    return true;
}

static enum status read_path(struct loader *loader, const struct yaml_pair *pair, struct document_path *path)
{
    enum status status = split_template(loader, pair->key, path);
    for (size_t i = 0; status == STATUS_OK && i < loader->document->path_count; i++)
        if (same_shape(path, &loader->document->paths[i]))
            return refuse(loader, pair->key, "the path has the same shape as %.*s",
                          TEXT_ARGS(loader->document->paths[i].template));
    for (size_t i = 0; status == STATUS_OK && i < pair->value->count; i++) {
        const struct yaml_pair *member = &pair->value->pairs[i];
        int method = -1;
        for (int m = 0; m < METHODS; m++)
            if (text_equal(member->key->text, text_from_string(method_keys[m])))
                method = m;
        if (method >= 0)
            status = read_operation(loader, pair->value, member->value, path, method);
        else if (!text_equal(member->key->text, TEXT("parameters")) &&
                 !text_equal(member->key->text, TEXT("summary")) && !text_equal(member->key->text, TEXT("description")))
            status = refuse(loader, member->key, "%.*s is not served: known are get, put, post, patch, delete",
                            TEXT_ARGS(member->key->text));
    }
    write_allow(path);
    return status;
}

static enum status read_paths(struct loader *loader)
{
    const struct yaml_node *paths = yaml_get(loader->root, "paths");
    struct openapi *document = loader->document;
    if (paths == NULL || paths->kind != YAML_MAPPING)
        return refuse(loader, loader->root, "the document has no paths");
    document->paths = arena_calloc(&document->arena, paths->count + 1, sizeof(*document->paths));
    document->operations = arena_calloc(&document->arena, paths->count * METHODS + 1, sizeof(*document->operations));
    if (document->paths == NULL || document->operations == NULL)
        return failure_set(loader->compiler.failure, STATUS_TOO_LARGE, "%s: too many paths", loader->compiler.name);
    for (size_t i = 0; i < paths->count; i++) {
        enum status status = read_path(loader, &paths->pairs[i], &document->paths[i]);
        if (status != STATUS_OK)
            return status;
        document->path_count++;
    }
    qsort(document->paths, document->path_count, sizeof(*document->paths), compare_paths);
    return STATUS_OK;
}

enum status openapi_load(const char *name, struct text yaml, struct openapi **out, struct failure *failure)
{
    struct openapi *document = calloc(1, sizeof(*document));
    struct yaml_node *root = NULL;
    if (document == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    arena_init(&document->arena, NULL, 0, ARENA_CEILING);
    buffer_init(&document->json, JSON_CEILING);
    enum status status = yaml_parse(&document->arena, name, yaml, &root, failure);
    if (status == STATUS_OK) {
        struct loader loader = {
            document, root, {.arena = &document->arena, .name = name, .root = root, .failure = failure}};
        const struct yaml_node *version = yaml_get(root, "openapi");
        if (version == NULL || !text_starts_with(version->text, TEXT("3.1.")))
            status = refuse(&loader, root, "an OpenAPI document of version 3.1 is needed");
        else
            status = read_paths(&loader);
        document->patterns = loader.compiler.patterns;
        yaml_append_json(root, &document->json);
    }
    if (status == STATUS_OK && document->json.failed)
        status = failure_set(failure, STATUS_TOO_LARGE, "%s: the document is too large", name);
    if (status != STATUS_OK) {
        openapi_free(document);
        return status;
    }
    *out = document;
    return STATUS_OK;
}

void openapi_free(struct openapi *document)
{
    if (document == NULL)
        return;
    schema_free_patterns(document->patterns);
    buffer_free(&document->json);
    arena_free(&document->arena);
    free(document);
}
