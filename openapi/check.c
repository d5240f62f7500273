/* Values against compiled schemas. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/date.h"
#include "openapi/schema.h"

#define SAY(mistake, ...) snprintf((mistake)->message, sizeof((mistake)->message), __VA_ARGS__)

static enum status check_enum(const struct openapi_schema *schema, struct text text, struct openapi_mistake *mistake)
{
    if (schema->enumeration_count == 0)
        return STATUS_OK;
    for (size_t i = 0; i < schema->enumeration_count; i++)
        if (text_equal(schema->enumeration[i], text))
            return STATUS_OK;
    size_t at = (size_t)SAY(mistake, "must be one of ");
    for (size_t i = 0; i < schema->enumeration_count && at < sizeof(mistake->message); i++)
        at += (size_t)snprintf(mistake->message + at, sizeof(mistake->message) - at, "%s%.*s", i != 0 ? ", " : "",
                               TEXT_ARGS(schema->enumeration[i]));
    return STATUS_INVALID;
}

static enum status check_bounds(const struct openapi_schema *schema, double number, struct openapi_mistake *mistake)
{
    bool low =
        schema->has_minimum && (schema->exclusive_minimum ? number <= schema->minimum : number < schema->minimum);
    bool high =
        schema->has_maximum && (schema->exclusive_maximum ? number >= schema->maximum : number > schema->maximum);
    if (low) {
        SAY(mistake, "must be %s%.15g", schema->exclusive_minimum ? "more than " : "at least ", schema->minimum);
        return STATUS_INVALID;
    }
    if (high) {
        SAY(mistake, "must be %s%.15g", schema->exclusive_maximum ? "less than " : "at most ", schema->maximum);
        return STATUS_INVALID;
    }
    if (schema->multiple_of != 0 && fabs(remainder(number, schema->multiple_of)) > 1e-9 * fabs(schema->multiple_of)) {
        SAY(mistake, "must be a multiple of %.15g", schema->multiple_of);
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status check_integer(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                 struct openapi_mistake *mistake)
{
    value->type = OPENAPI_INTEGER;
    if (!text_to_int64(text, &value->integer)) {
        if (schema->has_minimum && schema->has_maximum)
            SAY(mistake, "must be a whole number from %.15g to %.15g", schema->minimum, schema->maximum);
        else
            SAY(mistake, "must be a whole number within 64 bits");
        return STATUS_INVALID;
    }
    if (schema->format == SCHEMA_INT32 && (value->integer < INT32_MIN || value->integer > INT32_MAX)) {
        SAY(mistake, "must be a whole number within 32 bits");
        return STATUS_INVALID;
    }
    return check_bounds(schema, (double)value->integer, mistake);
}

static enum status check_number(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake)
{
    value->type = OPENAPI_NUMBER;
    if (!text_to_double(text, &value->number)) {
        SAY(mistake, "must be a finite decimal number, like 12.5 (64 characters at most)");
        return STATUS_INVALID;
    }
    return check_bounds(schema, value->number, mistake);
}

static enum status check_boolean(struct text text, struct openapi_value *value, struct openapi_mistake *mistake)
{
    value->type = OPENAPI_BOOLEAN;
    value->integer = text_equal(text, TEXT("true"));
    if (value->integer || text_equal(text, TEXT("false")))
        return STATUS_OK;
    SAY(mistake, "must be true or false");
    return STATUS_INVALID;
}

static enum status check_length(const struct openapi_schema *schema, struct text text, struct openapi_mistake *mistake)
{
    int64_t length = schema_length(text);
    if (schema->min_length >= 0 && length < schema->min_length) {
        SAY(mistake, "must have at least %" PRId64 " character%s, has %" PRId64, schema->min_length,
            schema->min_length == 1 ? "" : "s", length);
        return STATUS_INVALID;
    }
    if (schema->max_length >= 0 && length > schema->max_length) {
        SAY(mistake, "must have at most %" PRId64 " characters, has %" PRId64, schema->max_length, length);
        mistake->too_long = true;
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static bool looks_like_date(struct text text)
{
    if (text.size != 10)
        return false;
    for (size_t i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text.data[i] != '-' : text.data[i] < '0' || text.data[i] > '9')
            return false;
    return true;
}

static enum status check_string(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake)
{
    int32_t day;
    value->type = OPENAPI_STRING;
    if (schema->format == SCHEMA_DATE) {
        value->type = OPENAPI_DATE;
        if (!date_parse(text, &day)) {
            if (looks_like_date(text))
                SAY(mistake, "%.*s is no day of the calendar; give one as YYYY-MM-DD", TEXT_ARGS(text));
            else
                SAY(mistake, "must be a day as YYYY-MM-DD, like 2024-02-29");
            return STATUS_INVALID;
        }
        value->integer = day;
    } else if (schema->format == SCHEMA_DATE_TIME) {
        value->type = OPENAPI_DATE_TIME;
        if (!date_parse_instant(text, &value->integer)) {
            SAY(mistake, "must be an instant as in RFC 3339, like 2024-02-29T12:00:00Z");
            return STATUS_INVALID;
        }
    } else if (schema->format == SCHEMA_UUID && !schema_is_uuid(text)) {
        SAY(mistake, "must be a UUID, like 123e4567-e89b-12d3-a456-426614174000");
        return STATUS_INVALID;
    }
    if (check_length(schema, text, mistake) != STATUS_OK || check_enum(schema, text, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (schema->pattern == NULL || schema_pattern_matches(schema->pattern, text))
        return STATUS_OK;
    SAY(mistake, "must match the pattern %.*s", TEXT_ARGS(schema->pattern_text));
    return STATUS_INVALID;
}

static enum status check_item_count(const struct openapi_schema *schema, size_t count, struct openapi_mistake *mistake)
{
    bool few = schema->min_items >= 0 && (int64_t)count < schema->min_items,
         many = schema->max_items >= 0 && (int64_t)count > schema->max_items;
    if (!few && !many)
        return STATUS_OK;
    if (schema->min_items == schema->max_items)
        SAY(mistake, "must have exactly %" PRId64 " values separated by commas, has %zu", schema->min_items, count);
    else
        SAY(mistake, "must have %s %" PRId64 " values separated by commas, has %zu", few ? "at least" : "at most",
            few ? schema->min_items : schema->max_items, count);
    return STATUS_INVALID;
}

/* style: form (or simple), explode: false. */
static enum status check_array(const struct openapi_schema *schema, struct text text, struct arena *arena,
                               struct openapi_value *value, struct openapi_mistake *mistake)
{
    size_t count = 1;
    value->type = OPENAPI_ARRAY;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ',';
    if (check_item_count(schema, count, mistake) != STATUS_OK)
        return STATUS_INVALID;
    struct openapi_value *items = arena_calloc(arena, count, sizeof(*items));
    if (items == NULL) {
        SAY(mistake, "has too many values");
        mistake->too_long = true;
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        struct text item = text_split(&text, ',');
        struct openapi_mistake inner = {0};
        if (schema->items != NULL && schema_check_text(schema->items, item, arena, &items[i], &inner) != STATUS_OK) {
            SAY(mistake, "value %zu %.300s", i + 1, inner.message);
            return STATUS_INVALID;
        }
        for (size_t k = 0; schema->unique_items && k < i; k++)
            if (text_equal(items[k].text, item)) {
                SAY(mistake, "names %.*s twice; give each once", (int)(item.size < 64 ? item.size : 64), item.data);
                return STATUS_INVALID;
            }
    }
    value->items = items;
    value->count = count;
    return STATUS_OK;
}

enum status schema_check_text(const struct openapi_schema *schema, struct text text, struct arena *arena,
                              struct openapi_value *value, struct openapi_mistake *mistake)
{
    value->present = true;
    value->text = text;
    if (schema->types & SCHEMA_ARRAY)
        return check_array(schema, text, arena, value, mistake);
    if (schema->types & SCHEMA_INTEGER)
        return check_integer(schema, text, value, mistake);
    if (schema->types & SCHEMA_NUMBER)
        return check_number(schema, text, value, mistake);
    if (schema->types & SCHEMA_BOOLEAN)
        return check_boolean(text, value, mistake);
    return check_string(schema, text, value, mistake);
}

/* Bodies. */

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

static enum status fail_at(struct openapi_mistake *mistake, const char *pointer)
{
    snprintf(mistake->field, sizeof(mistake->field), "%s", pointer[0] != '\0' ? pointer : "/");
    return STATUS_INVALID;
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
    char path[128];
    for (size_t i = 0; i < schema->required_count; i++) {
        snprintf(path, sizeof(path), "%.*s", TEXT_ARGS(schema->required[i]));
        if (json_object_get(value, path) == NULL) {
            SAY(mistake, "the member %s is missing", path);
            return fail_at(mistake, pointer);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, child)
    {
        bool known;
        const struct openapi_schema *inner = property_schema(schema, text_from_string(key), &known);
        snprintf(path, sizeof(path), "%s/%s", pointer, key);
        if (!known && schema->closed) {
            SAY(mistake, "is not a known member");
            return fail_at(mistake, path);
        }
        if (inner != NULL && schema_check_json(inner, child, path, mistake) != STATUS_OK)
            return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status check_items(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                               struct openapi_mistake *mistake)
{
    char path[128];
    size_t count = json_array_size(value);
    if (check_item_count(schema, count, mistake) != STATUS_OK)
        return fail_at(mistake, pointer);
    for (size_t i = 0; i < count; i++) {
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

static enum status check_scalar(const struct openapi_schema *schema, const json_t *value,
                                struct openapi_mistake *mistake)
{
    struct openapi_value ignored = {0};
    if (json_is_string(value))
        return check_string(schema, text_of(json_string_value(value), json_string_length(value)), &ignored, mistake);
    if (json_is_number(value))
        return check_bounds(schema, json_number_value(value), mistake);
    return STATUS_OK;
}

static enum status check_combinations(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                                      struct openapi_mistake *mistake)
{
    size_t fitting = 0;
    for (size_t i = 0; i < schema->all_of_count; i++)
        if (schema_check_json(schema->all_of[i], value, pointer, mistake) != STATUS_OK)
            return STATUS_INVALID;
    for (size_t i = 0; i < schema->any_of_count && fitting == 0; i++)
        fitting += schema_check_json(schema->any_of[i], value, pointer, mistake) == STATUS_OK;
    if (schema->any_of_count != 0 && fitting == 0)
        return STATUS_INVALID;
    fitting = 0;
    for (size_t i = 0; i < schema->one_of_count; i++)
        fitting += schema_check_json(schema->one_of[i], value, pointer, mistake) == STATUS_OK;
    if (schema->one_of_count == 0 || fitting == 1)
        return STATUS_OK;
    if (fitting > 1)
        SAY(mistake, "fits more than one of its alternatives");
    return fail_at(mistake, pointer);
}

enum status schema_check_json(const struct openapi_schema *schema, const json_t *value, const char *pointer,
                              struct openapi_mistake *mistake)
{
    if (schema->types != 0 && (schema->types & type_of(value)) == 0) {
        SAY(mistake, "has the wrong type");
        return fail_at(mistake, pointer);
    }
    if (json_is_object(value) && check_object(schema, value, pointer, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (json_is_array(value) && check_items(schema, value, pointer, mistake) != STATUS_OK)
        return STATUS_INVALID;
    if (check_scalar(schema, value, mistake) != STATUS_OK)
        return fail_at(mistake, pointer);
    return check_combinations(schema, value, pointer, mistake);
}
