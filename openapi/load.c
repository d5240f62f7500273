#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "openapi/loader.h"

#define ARENA_CEILING ((size_t)64 << 20)
#define JSON_CEILING ((size_t)16 << 20)

static const char *const method_keys[METHODS] = {"get", "put", "post", "patch", "delete"};
static const char *const method_names[METHODS] = {"GET", "PUT", "POST", "PATCH", "DELETE"};

enum status loader_refuse(struct loader *loader, const struct yaml_node *node, const char *format, ...)
{
    char words[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    return failure_set(loader->compiler.failure, STATUS_INVALID, "%s:%d: %s", loader->compiler.name,
                       node != NULL ? node->line : 0, words);
}

enum status loader_out_of_memory(struct loader *loader)
{
    return failure_set(loader->compiler.failure, STATUS_TOO_LARGE, "%s: the document is too large",
                       loader->compiler.name);
}

enum status loader_check_members(struct loader *loader, const struct yaml_node *node, const char *what,
                                 const char *const *known)
{
    if (node->kind != YAML_MAPPING)
        return loader_refuse(loader, node, "%s must be a mapping", what);
    for (size_t i = 0; i < node->count; i++) {
        struct text key = node->pairs[i].key->text;
        bool found = text_starts_with(key, TEXT("x-"));
        for (size_t k = 0; !found && known[k] != NULL; k++)
            found = text_equal(key, text_from_string(known[k]));
        if (!found)
            return loader_refuse(loader, node->pairs[i].key, "%s has no member %.*s here", what, TEXT_ARGS(key));
    }
    return STATUS_OK;
}

bool loader_is_word(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && node->text.size != 0;
}

static bool has_scheme(const struct loader *loader, const char *name)
{
    return yaml_get(yaml_get(yaml_get(loader->root, "components"), "securitySchemes"), name) != NULL;
}

static bool is_empty_mapping(const struct yaml_node *node)
{
    return node->kind == YAML_MAPPING && node->count == 0;
}

/* The one scheme of a list, beside which {} may stand: whoever sends no token is answered too. NULL: neither. */
static const struct yaml_node *only_scheme(const struct yaml_node *security, bool *optional)
{
    size_t at = security->count == 2 && is_empty_mapping(security->items[0]) ? 1 : 0;
    *optional = security->count == 2 && is_empty_mapping(security->items[1 - at]);
    if (security->count != 1 && !*optional)
        return NULL;
    const struct yaml_node *one = security->items[at];
    return one->kind == YAML_MAPPING && one->count == 1 ? one : NULL;
}

/* One scheme with its scopes, or an empty list for public operations: alternatives would need a rule for choosing. */
static enum status read_security(struct loader *loader, const struct yaml_node *node,
                                 struct openapi_operation *operation)
{
    const struct yaml_node *security = yaml_get(node, "security");
    if (security == NULL)
        security = yaml_get(loader->root, "security");
    if (security == NULL || security->kind != YAML_SEQUENCE)
        return loader_refuse(loader, node, "the operation needs a security block (an empty list makes it public)");
    operation->is_public = security->count == 0;
    if (operation->is_public)
        return STATUS_OK;
    const struct yaml_node *one = only_scheme(security, &operation->optional_auth);
    if (one == NULL)
        return loader_refuse(loader, security,
                             "exactly one security scheme is needed, or one beside {} where the token is optional");
    struct text name = one->pairs[0].key->text;
    if (!has_scheme(loader, name.data))
        return loader_refuse(loader, one, "the security scheme %.*s is not declared under components", TEXT_ARGS(name));
    const struct yaml_node *scopes = one->pairs[0].value;
    struct text *texts = arena_calloc(&loader->document->arena, scopes->count + 1, sizeof(*texts));
    if (texts == NULL)
        return loader_out_of_memory(loader);
    if (scopes->kind != YAML_SEQUENCE)
        return loader_refuse(loader, one, "the security scheme %.*s needs a list of scopes", TEXT_ARGS(name));
    if (operation->optional_auth && scopes->count != 0)
        return loader_refuse(loader, one, "an optional token can't be asked for scopes: who sends none has none");
    for (size_t i = 0; i < scopes->count; i++) {
        if (!loader_is_word(scopes->items[i]))
            return loader_refuse(loader, scopes->items[i], "a scope must be a name");
        texts[i] = scopes->items[i]->text;
    }
    operation->scopes = texts;
    operation->scope_count = scopes->count;
    return STATUS_OK;
}

/* The media types of a body that the operation's handler reads as it comes: a content without a schema for JSON. */
static enum status read_media(struct loader *loader, const struct yaml_node *content,
                              struct openapi_operation *operation)
{
    struct text *media = arena_calloc(&loader->document->arena, content->count, sizeof(*media));
    if (media == NULL)
        return loader_out_of_memory(loader);
    for (size_t i = 0; i < content->count; i++) {
        media[i] = content->pairs[i].key->text;
        if (yaml_get(content->pairs[i].value, "schema") != NULL)
            return loader_refuse(loader, content->pairs[i].value,
                                 "only a body of application/json alone is validated; leave the schema out");
    }
    operation->media = media;
    operation->media_count = content->count;
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
    const struct yaml_node *content = yaml_get(body, "content");
    const struct yaml_node *schema = yaml_get(yaml_get(content, "application/json"), "schema");
    if (content == NULL || content->kind != YAML_MAPPING || content->count == 0)
        return loader_refuse(loader, body, "a request body needs the media types of its content");
    required = yaml_get(body, "required");
    if (required != NULL && !yaml_to_bool(required, &operation->body_required))
        return loader_refuse(loader, required, "required must be true or false");
    return schema != NULL && content->count == 1 ? schema_compile(&loader->compiler, schema, &operation->body)
                                                 : read_media(loader, content, operation);
}

/* Compiles the schemas that the members of `map` (media types, or headers) hold. */
static enum status check_schemas_of(struct loader *loader, const struct yaml_node *map)
{
    if (map != NULL && map->kind != YAML_MAPPING)
        return loader_refuse(loader, map, "a mapping is needed here");
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        const struct yaml_node *one;
        const struct openapi_schema *ignored;
        enum status status = schema_resolve(&loader->compiler, map->pairs[i].value, &one);
        const struct yaml_node *schema = status == STATUS_OK ? yaml_get(one, "schema") : NULL;
        if (schema != NULL)
            status = schema_compile(&loader->compiler, schema, &ignored);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* "200", "4XX" or "default". */
static bool is_response_code(struct text text)
{
    if (text_equal(text, TEXT("default")))
        return true;
    if (text.size != 3 || text.data[0] < '1' || text.data[0] > '5')
        return false;
    bool digits = text.data[1] >= '0' && text.data[1] <= '9' && text.data[2] >= '0' && text.data[2] <= '9';
    return digits || (text.data[1] == 'X' && text.data[2] == 'X');
}

/* Responses are not enforced, but a schema that nobody could check is a promise that nobody could keep. */
static enum status check_responses(struct loader *loader, const struct yaml_node *node)
{
    static const char *const known[] = {"description", "headers", "content", "links", NULL};
    const struct yaml_node *responses = yaml_get(node, "responses");
    if (responses == NULL || responses->kind != YAML_MAPPING || responses->count == 0)
        return loader_refuse(loader, node, "the operation declares no responses");
    for (size_t i = 0; i < responses->count; i++) {
        const struct yaml_node *response, *key = responses->pairs[i].key;
        if (!is_response_code(key->text))
            return loader_refuse(loader, key, "%.*s is no status of a response (200, 4XX, default)",
                                 TEXT_ARGS(key->text));
        enum status status = schema_resolve(&loader->compiler, responses->pairs[i].value, &response);
        if (status == STATUS_OK)
            status = loader_check_members(loader, response, "a response", known);
        if (status == STATUS_OK && yaml_get(response, "description") == NULL)
            status = loader_refuse(loader, response, "the response %.*s needs a description", TEXT_ARGS(key->text));
        if (status == STATUS_OK)
            status = check_schemas_of(loader, yaml_get(response, "headers"));
        if (status == STATUS_OK)
            status = check_schemas_of(loader, yaml_get(response, "content"));
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static bool has_path_parameter(const struct openapi_operation *operation, struct text name)
{
    for (size_t k = 0; k < operation->parameter_count; k++)
        if (operation->parameters[k].place == OPENAPI_PATH && text_equal(operation->parameters[k].name, name))
            return true;
    return false;
}

static enum status check_variables(struct loader *loader, const struct yaml_node *node,
                                   const struct document_path *path, const struct openapi_operation *operation)
{
    for (size_t i = 0; i < path->segment_count; i++)
        if (path->is_variable[i] && !has_path_parameter(operation, path->segments[i]))
            return loader_refuse(loader, node, "the path variable %.*s has no parameter", TEXT_ARGS(path->segments[i]));
    for (size_t k = 0; k < operation->parameter_count; k++) {
        const struct openapi_parameter *parameter = &operation->parameters[k];
        bool found = parameter->place != OPENAPI_PATH;
        for (size_t i = 0; i < path->segment_count; i++)
            found = found || (path->is_variable[i] && text_equal(path->segments[i], parameter->name));
        if (!found)
            return loader_refuse(loader, node, "the path parameter %.*s does not stand in the path",
                                 TEXT_ARGS(parameter->name));
    }
    return STATUS_OK;
}

static enum status read_operation(struct loader *loader, const struct yaml_node *path_node,
                                  const struct yaml_node *node, struct document_path *path, int method)
{
    struct openapi *document = loader->document;
    struct openapi_operation *operation = &document->operations[document->operation_count];
    static const char *const known[] = {"tags",        "summary",    "description", "externalDocs",
                                        "operationId", "parameters", "requestBody", "responses",
                                        "security",    "deprecated", NULL};
    enum status status = loader_check_members(loader, node, "an operation", known);
    if (status != STATUS_OK)
        return status;
    const struct yaml_node *id = yaml_get(node, "operationId");
    if (!loader_is_word(id))
        return loader_refuse(loader, node, "%s %.*s has no operationId", method_names[method],
                             TEXT_ARGS(path->template));
    if (openapi_operation_by_id(document, id->text) != NULL)
        return loader_refuse(loader, id, "the operationId %.*s stands there twice", TEXT_ARGS(id->text));
    *operation = (struct openapi_operation){.index = document->operation_count,
                                            .id = id->text,
                                            .method = text_from_string(method_names[method]),
                                            .path = path->template};
    status = loader_read_parameters(loader, path_node, node, operation);
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

static enum status add_segment(struct loader *loader, const struct yaml_node *node, struct text segment,
                               struct document_path *path)
{
    if (path->segment_count == OPENAPI_MAX_SEGMENTS)
        return loader_refuse(loader, node, "the path has more than %d segments", OPENAPI_MAX_SEGMENTS);
    bool variable = segment.size > 2 && segment.data[0] == '{' && segment.data[segment.size - 1] == '}';
    struct text name = variable ? text_of(segment.data + 1, segment.size - 2) : segment;
    if (name.size == 0 || text_equal(name, TEXT(".")) || text_equal(name, TEXT("..")))
        return loader_refuse(loader, node, "a path with an empty segment, . or .. finds nothing");
    for (size_t i = 0; i < name.size; i++)
        if (strchr("{}%?#", name.data[i]) != NULL)
            return loader_refuse(loader, node,
                                 "a variable must be a whole segment of the path, and literals stand there unescaped");
    for (size_t i = 0; variable && i < path->segment_count; i++)
        if (path->is_variable[i] && text_equal(path->segments[i], name))
            return loader_refuse(loader, node, "the variable %.*s stands twice in the path", TEXT_ARGS(name));
    path->is_variable[path->segment_count] = variable;
    path->segments[path->segment_count++] = name;
    return STATUS_OK;
}

static enum status split_template(struct loader *loader, const struct yaml_node *node, struct document_path *path)
{
    struct text rest = node->text;
    enum status status = STATUS_OK;
    path->template = node->text;
    if (!text_starts_with(rest, TEXT("/")))
        return loader_refuse(loader, node, "a path must begin with /");
    rest = text_of(rest.data + 1, rest.size - 1);
    while (status == STATUS_OK && rest.data != NULL)
        status = add_segment(loader, node, text_split(&rest, '/'), path);
    return status;
}

/* Literals before variables, from the left. By length first: among paths of several lengths this would be no order. */
static int compare_paths(const void *a, const void *b)
{
    const struct document_path *first = a, *second = b;
    if (first->segment_count != second->segment_count)
        return first->segment_count < second->segment_count ? -1 : 1;
    for (size_t i = 0; i < first->segment_count; i++)
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

static int method_of(struct text key)
{
    for (int method = 0; method < METHODS; method++)
        if (text_equal(key, text_from_string(method_keys[method])))
            return method;
    return -1;
}

static enum status read_path(struct loader *loader, const struct yaml_pair *pair, struct document_path *path)
{
    static const char *const known[] = {"parameters", "summary", "description", "get", "put",
                                        "post",       "patch",   "delete",      NULL};
    enum status status = split_template(loader, pair->key, path);
    for (size_t i = 0; status == STATUS_OK && i < loader->document->path_count; i++)
        if (same_shape(path, &loader->document->paths[i]))
            return loader_refuse(loader, pair->key, "the path has the same shape as %.*s",
                                 TEXT_ARGS(loader->document->paths[i].template));
    if (status == STATUS_OK)
        status = loader_check_members(loader, pair->value, "a path", known);
    for (size_t i = 0; status == STATUS_OK && i < pair->value->count; i++) {
        const struct yaml_pair *member = &pair->value->pairs[i];
        int method = method_of(member->key->text);
        if (method >= 0)
            status = read_operation(loader, pair->value, member->value, path, method);
    }
    write_allow(path);
    return status;
}

static enum status read_paths(struct loader *loader)
{
    const struct yaml_node *paths = yaml_get(loader->root, "paths");
    struct openapi *document = loader->document;
    if (paths == NULL || paths->kind != YAML_MAPPING)
        return loader_refuse(loader, loader->root, "the document has no paths");
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

static enum status read_root(struct loader *loader)
{
    static const char *const known[] = {"openapi",  "info",       "jsonSchemaDialect", "servers", "paths",
                                        "webhooks", "components", "security",          "tags",    "externalDocs",
                                        NULL};
    const struct yaml_node *version = yaml_get(loader->root, "openapi"), *info = yaml_get(loader->root, "info");
    if (version == NULL || !text_starts_with(version->text, TEXT("3.1.")))
        return loader_refuse(loader, version != NULL ? version : loader->root,
                             "an OpenAPI document of version 3.1 is needed: openapi: 3.1.0");
    enum status status = loader_check_members(loader, loader->root, "the document", known);
    if (status != STATUS_OK)
        return status;
    if (!loader_is_word(yaml_get(info, "title")) || !loader_is_word(yaml_get(info, "version")))
        return loader_refuse(loader, info != NULL ? info : loader->root, "info needs title and version");
    return read_paths(loader);
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
        status = read_root(&loader);
        document->patterns = loader.compiler.patterns;
    }
    if (status == STATUS_OK)
        yaml_append_json(root, &document->json);
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
