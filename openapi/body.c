/* JSON bodies against compiled schemas. */
#include <math.h>
#include <stdio.h>

#include "openapi/schema.h"

#define MAX_NESTING 64
#define POINTER_SIZE sizeof(((struct openapi_mistake *)NULL)->field)
#define TWO_TO_63 9223372036854775808.0
#define SAY(mistake, ...) snprintf((mistake)->message, sizeof((mistake)->message), __VA_ARGS__)

/* A JSON pointer (RFC 6901) with one more step; what does not fit is cut. */
static void step_into(char *out, const char *pointer, struct text step)
{
    size_t at = (size_t)snprintf(out, POINTER_SIZE, "%s/", pointer);
    for (size_t i = 0; i < step.size && at + 2 < POINTER_SIZE; i++) {
        unsigned char byte = (unsigned char)step.data[i];
        if (byte == '~' || byte == '/') {
            out[at++] = '~';
            out[at++] = byte == '~' ? '0' : '1';
        } else {
            out[at++] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
        }
        out[at] = '\0';
    }
}

static enum status fail_at(struct openapi_mistake *mistake, const char *pointer)
{
    mistake->place = OPENAPI_BODY;
    snprintf(mistake->field, sizeof(mistake->field), "%s", pointer);
    return STATUS_INVALID;
}

static unsigned type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_INTEGER:
        return SCHEMA_INTEGER | SCHEMA_NUMBER;
    case JSON_REAL:
        return SCHEMA_NUMBER | (json_real_value(value) == floor(json_real_value(value)) ? SCHEMA_INTEGER : 0u);
    case JSON_NULL:
        return SCHEMA_NULL;
    default:
        return SCHEMA_BOOLEAN;
    }
}

static const struct openapi_schema *property_schema(const struct openapi_schema *schema, struct text name, bool *known)
{
    for (size_t i = 0; i < schema->property_count; i++)
        if (text_equal(schema->properties[i].name, name)) {
            *known = true;
            return schema->properties[i].schema;
        }
    *known = false;
    return schema->additional;
}

static enum status check_object(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                                struct openapi_mistake *mistake)
{
    const char *key;
    json_t *child;
    char path[POINTER_SIZE];
    for (size_t i = 0; i < schema->required_count; i++)
        if (json_object_getn(value, schema->required[i].data, schema->required[i].size) == NULL) {
            SAY(mistake, "the member %.*s is missing", TEXT_ARGS(schema->required[i]));
            return fail_at(mistake, pointer);
        }
    /* The macro takes no const; it does not change the object. */
    json_object_foreach((json_t *)(uintptr_t)value, key, child)
    {
        bool known;
        const struct openapi_schema *inner = property_schema(schema, text_from_string(key), &known);
        if (inner == NULL && !schema->closed)
            continue;
        step_into(path, pointer, text_from_string(key));
        if (!known && schema->closed) {
            SAY(mistake, "is not a known member");
            return fail_at(mistake, path);
        }
        if (schema_check_json(inner, child, path, mistake) != STATUS_OK)
            return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status check_items(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                               struct openapi_mistake *mistake)
{
    char path[POINTER_SIZE];
    size_t count = json_array_size(value);
    if (schema_check_count(schema, count, "items", mistake) != STATUS_OK)
        return fail_at(mistake, pointer);
    for (size_t i = 0; i < count && (schema->items != NULL || schema->unique_items); i++) {
        snprintf(path, sizeof(path), "%s/%zu", pointer, i);
        if (schema->items != NULL &&
            schema_check_json(schema->items, json_array_get(value, i), path, mistake) != STATUS_OK)
            return STATUS_INVALID;
        for (size_t k = 0; schema->unique_items && k < i; k++)
            if (json_equal(json_array_get(value, k), json_array_get(value, i))) {
                SAY(mistake, "stands there twice");
                return fail_at(mistake, path);
            }
    }
    return STATUS_OK;
}

static enum status check_constants(const struct openapi_schema *schema, const json_t *value,
                                   struct openapi_mistake *mistake)
{
    if (schema->constant_count == 0)
        return STATUS_OK;
    struct schema_constant given = {.types = type_of(value)};
    if (json_is_string(value))
        given.text = text_of(json_string_value(value), json_string_length(value));
    else if (json_is_number(value))
        given.number = json_number_value(value);
    if (json_is_integer(value))
        given.integer = json_integer_value(value);
    else if (json_is_real(value))
        given.types = SCHEMA_NUMBER; /* compared as a double: it may be past int64 */
    else if (json_is_boolean(value))
        given.integer = json_is_true(value);
    return schema_has_constant(schema, &given, mistake) ? STATUS_OK : STATUS_INVALID;
}

/* 1.0 and 1e3 are whole numbers too. */
static enum status check_real(const struct openapi_schema *schema, double number, struct openapi_mistake *mistake)
{
    if ((schema->types & SCHEMA_INTEGER) == 0 || (schema->types & SCHEMA_NUMBER) != 0)
        return schema_check_number(schema, number, mistake);
    if (number >= -TWO_TO_63 && number < TWO_TO_63)
        return schema_check_whole(schema, (int64_t)number, mistake);
    SAY(mistake, "must be a whole number within 64 bits");
    return STATUS_INVALID;
}

static enum status check_scalar(const struct openapi_schema *schema, const json_t *value,
                                struct openapi_mistake *mistake)
{
    struct openapi_value ignored = {0};
    if (json_is_string(value))
        return schema_check_string(schema, text_of(json_string_value(value), json_string_length(value)), &ignored,
                                   mistake);
    if (check_constants(schema, value, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (json_is_integer(value))
        return schema_check_whole(schema, json_integer_value(value), mistake);
    return json_is_real(value) ? check_real(schema, json_real_value(value), mistake) : STATUS_OK;
}

/* Alternatives that do not fit leave nothing in *mistake unless none does: then the last one's. */
static enum status check_alternatives(const struct openapi_schema *const *alternatives, size_t count, bool exactly_one,
                                      const json_t *value, const char *pointer, struct openapi_mistake *mistake)
{
    size_t fitting = 0;
    struct openapi_mistake last = {0};
    for (size_t i = 0; i < count && (exactly_one || fitting == 0); i++)
        fitting += schema_check_json(alternatives[i], value, pointer, &last) == STATUS_OK;
    if (count == 0 || fitting == 1)
        return STATUS_OK;
    if (fitting == 0) {
        *mistake = last;
        return STATUS_INVALID;
    }
    SAY(mistake, "fits more than one of its alternatives");
    return fail_at(mistake, pointer);
}

enum status schema_check_json(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                              struct openapi_mistake *mistake)
{
    if (schema->types != 0 && (schema->types & type_of(value)) == 0) {
        char names[80];
        schema_name_types(schema->types, names, sizeof(names));
        SAY(mistake, "has the wrong type; needed is %s", names);
        return fail_at(mistake, pointer);
    }
    if (json_is_object(value) && check_object(schema, value, pointer, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (json_is_array(value) && check_items(schema, value, pointer, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (check_scalar(schema, value, mistake) != STATUS_OK)
        return fail_at(mistake, pointer);
    for (size_t i = 0; i < schema->all_of_count; i++)
        if (schema_check_json(schema->all_of[i], value, pointer, mistake) != STATUS_OK)
            return STATUS_INVALID;
    if (check_alternatives(schema->any_of, schema->any_of_count, false, value, pointer, mistake) != STATUS_OK)
        return STATUS_INVALID;
    return check_alternatives(schema->one_of, schema->one_of_count, true, value, pointer, mistake);
}

/* Counted before the text is parsed, because the parser recurses. */
static bool is_too_deep(struct text body)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.size; i++) {
        char byte = body.data[i];
        if (quoted && byte == '\\')
            i++;
        else if (byte == '"')
            quoted = !quoted;
        else if (!quoted && (byte == '[' || byte == '{') && ++depth > MAX_NESTING)
            return true;
        else if (!quoted && (byte == ']' || byte == '}') && depth != 0)
            depth--;
    }
    return false;
}

static enum status refuse_text(struct openapi_mistake *mistake, const json_error_t *error)
{
    /* jansson quotes the text near the mistake; it may be cut within a character. */
    const char *near = strstr(error->text, " near '");
    int size = near != NULL ? (int)(near - error->text) : (int)strlen(error->text);
    switch (json_error_code(error)) {
    case json_error_null_character:
    case json_error_null_byte_in_key:
        SAY(mistake, "holds \\u0000 at line %d, column %d; leave it out", error->line, error->column);
        break;
    case json_error_duplicate_key:
        SAY(mistake, "has a member twice, at line %d, column %d; give it once", error->line, error->column);
        break;
    case json_error_numeric_overflow:
        SAY(mistake, "has a number beyond 64 bits at line %d, column %d", error->line, error->column);
        break;
    default:
        SAY(mistake, "is no JSON: %.*s at line %d, column %d", size, error->text, error->line, error->column);
    }
    return fail_at(mistake, "");
}

enum status openapi_validate_body(const struct openapi_operation *operation, struct text body,
                                  struct openapi_mistake *mistake)
{
    json_error_t error;
    mistake->too_long = false;
    if (body.size == 0) {
        SAY(mistake, "is empty; JSON is needed");
        return fail_at(mistake, "");
    }
    if (is_too_deep(body)) {
        SAY(mistake, "is nested deeper than %d levels", MAX_NESTING);
        return fail_at(mistake, "");
    }
    json_t *value = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value == NULL)
        return refuse_text(mistake, &error);
    enum status status = schema_check_json(operation->body, value, "", mistake);
    json_decref(value);
    return status;
}
