/* Parameters against compiled schemas, and the checks that they share with bodies. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/date.h"
#include "base/encoding.h"
#include "openapi/schema.h"

#define SAY(mistake, ...) snprintf((mistake)->message, sizeof((mistake)->message), __VA_ARGS__)

static bool is_constant(const struct schema_constant *constant, const struct schema_constant *wanted)
{
    if ((constant->types & wanted->types) == 0)
        return false;
    if (constant->types & wanted->types & SCHEMA_STRING)
        return text_equal(constant->text, wanted->text);
    if (constant->types & wanted->types & (SCHEMA_INTEGER | SCHEMA_BOOLEAN))
        return constant->integer == wanted->integer;
    return (wanted->types & SCHEMA_NULL) != 0 || constant->number == wanted->number;
}

bool schema_has_constant(const struct openapi_schema *schema, const struct schema_constant *wanted,
                         struct openapi_mistake *mistake)
{
    if (schema->constant_count == 0)
        return true;
    for (size_t i = 0; i < schema->constant_count; i++)
        if (is_constant(&schema->constants[i], wanted))
            return true;
    size_t at = (size_t)SAY(mistake, schema->constant_count == 1 ? "must be " : "must be one of ");
    for (size_t i = 0; i < schema->constant_count && at < sizeof(mistake->message); i++)
        at += (size_t)snprintf(mistake->message + at, sizeof(mistake->message) - at, "%s%.*s", i != 0 ? ", " : "",
                               TEXT_ARGS(schema->constants[i].text));
    return false;
}

/* A hair's breadth is allowed for: 0.3 is no exact multiple of 0.1. */
static enum status check_multiple(const struct openapi_schema *schema, double number, struct openapi_mistake *mistake)
{
    if (fabs(remainder(number, schema->multiple_of)) <= 1e-9 * schema->multiple_of)
        return STATUS_OK;
    SAY(mistake, "must be a multiple of %.15g", schema->multiple_of);
    return STATUS_INVALID;
}

static enum status say_bound(const struct schema_bound *bound, bool upper, struct openapi_mistake *mistake)
{
    static const char *const words[2][2] = {{"at least", "more than"}, {"at most", "less than"}};
    SAY(mistake, "must be %s %.*s", words[upper][bound->exclusive], TEXT_ARGS(bound->text));
    return STATUS_INVALID;
}

enum status schema_check_whole(const struct openapi_schema *schema, int64_t number, struct openapi_mistake *mistake)
{
    if (schema->format == SCHEMA_INT32 && (number < INT32_MIN || number > INT32_MAX)) {
        SAY(mistake, "must be a whole number within 32 bits");
        return STATUS_INVALID;
    }
    if (schema->minimum.given && number < schema->minimum.whole)
        return say_bound(&schema->minimum, false, mistake);
    if (schema->maximum.given && number > schema->maximum.whole)
        return say_bound(&schema->maximum, true, mistake);
    if (schema->whole_multiple != 0 && number % schema->whole_multiple != 0) {
        SAY(mistake, "must be a multiple of %" PRId64, schema->whole_multiple);
        return STATUS_INVALID;
    }
    if (schema->multiple_of != 0 && schema->whole_multiple == 0)
        return check_multiple(schema, (double)number, mistake);
    return STATUS_OK;
}

enum status schema_check_number(const struct openapi_schema *schema, double number, struct openapi_mistake *mistake)
{
    const struct schema_bound *low = &schema->minimum, *high = &schema->maximum;
    if (low->given && (low->exclusive ? number <= low->number : number < low->number))
        return say_bound(low, false, mistake);
    if (high->given && (high->exclusive ? number >= high->number : number > high->number))
        return say_bound(high, true, mistake);
    return schema->multiple_of != 0 ? check_multiple(schema, number, mistake) : STATUS_OK;
}

static enum status check_integer(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                 struct openapi_mistake *mistake)
{
    value->type = OPENAPI_INTEGER;
    if (!text_to_int64(text, &value->integer)) {
        if (schema->minimum.given && schema->maximum.given)
            SAY(mistake, "must be a whole number from %" PRId64 " to %" PRId64, schema->minimum.whole,
                schema->maximum.whole);
        else
            SAY(mistake, "must be a whole number within %s bits", schema->format == SCHEMA_INT32 ? "32" : "64");
        return STATUS_INVALID;
    }
    struct schema_constant given = {
        .types = SCHEMA_INTEGER | SCHEMA_NUMBER, .integer = value->integer, .number = (double)value->integer};
    return schema_has_constant(schema, &given, mistake) ? schema_check_whole(schema, value->integer, mistake)
                                                        : STATUS_INVALID;
}

static enum status check_number(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake)
{
    value->type = OPENAPI_NUMBER;
    if (!text_to_double(text, &value->number)) {
        SAY(mistake, "must be a finite decimal number, like 12.5 (64 characters at most)");
        return STATUS_INVALID;
    }
    struct schema_constant given = {.types = SCHEMA_NUMBER, .number = value->number};
    return schema_has_constant(schema, &given, mistake) ? schema_check_number(schema, value->number, mistake)
                                                        : STATUS_INVALID;
}

static enum status check_boolean(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                 struct openapi_mistake *mistake)
{
    value->type = OPENAPI_BOOLEAN;
    value->integer = text_equal(text, TEXT("true"));
    struct schema_constant given = {.types = SCHEMA_BOOLEAN, .integer = value->integer};
    if (value->integer || text_equal(text, TEXT("false")))
        return schema_has_constant(schema, &given, mistake) ? STATUS_OK : STATUS_INVALID;
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

enum status schema_check_string(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake)
{
    int32_t day;
    struct schema_constant given = {.types = SCHEMA_STRING, .text = text};
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
    if (check_length(schema, text, mistake) != STATUS_OK || !schema_has_constant(schema, &given, mistake))
        return STATUS_INVALID;
    if (schema->pattern == NULL || schema_pattern_matches(schema->pattern, text))
        return STATUS_OK;
    SAY(mistake, "must match the pattern %.*s", TEXT_ARGS(schema->pattern_text));
    return STATUS_INVALID;
}

enum status schema_check_count(const struct openapi_schema *schema, size_t count, const char *what,
                               struct openapi_mistake *mistake)
{
    bool few = schema->min_items >= 0 && (int64_t)count < schema->min_items,
         many = schema->max_items >= 0 && (int64_t)count > schema->max_items;
    if (!few && !many)
        return STATUS_OK;
    if (schema->min_items == schema->max_items)
        SAY(mistake, "must have exactly %" PRId64 " %s, has %zu", schema->min_items, what, count);
    else
        SAY(mistake, "must have %s %" PRId64 " %s, has %zu", few ? "at least" : "at most",
            few ? schema->min_items : schema->max_items, what, count);
    return STATUS_INVALID;
}

static bool same_value(const struct openapi_value *a, const struct openapi_value *b)
{
    if (a->type == OPENAPI_NUMBER)
        return a->number == b->number;
    return a->type == OPENAPI_STRING ? text_equal(a->text, b->text) : a->integer == b->integer;
}

enum status schema_decode_query(struct text *text, struct arena *arena, struct openapi_mistake *mistake)
{
    bool plain = true;
    size_t size;
    for (size_t i = 0; i < text->size; i++) {
        unsigned char byte = (unsigned char)text->data[i];
        plain &= byte != '%' && byte != '+' && byte < 0x80 && byte != 0;
    }
    if (plain)
        return STATUS_OK;
    char *decoded = arena_alloc(arena, text->size);
    if (decoded == NULL) {
        SAY(mistake, "is too long");
        mistake->too_long = true;
        return STATUS_INVALID;
    }
    if (!encoding_percent_decode(*text, true, decoded, &size) || !text_is_utf8(text_of(decoded, size))) {
        SAY(mistake, "holds a broken percent-escape, a NUL, or bytes that are not UTF-8");
        return STATUS_INVALID;
    }
    *text = text_of(decoded, size);
    return STATUS_OK;
}

static enum status check_item(const struct openapi_schema *schema, struct text item, bool in_query, struct arena *arena,
                              struct openapi_value *value, struct openapi_mistake *mistake)
{
    static const struct openapi_schema any = {.min_length = -1, .max_length = -1};
    const struct openapi_schema *one = schema->items != NULL ? schema->items : &any;
    if (in_query)
        return schema_check_query(one, item, arena, value, mistake);
    return schema_check_text(one, text_trim(item), arena, value, mistake);
}

/* style: form (of queries) or simple, explode: false. */
static enum status check_array(const struct openapi_schema *schema, struct text text, bool in_query,
                               struct arena *arena, struct openapi_value *value, struct openapi_mistake *mistake)
{
    size_t count = 1;
    value->type = OPENAPI_ARRAY;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ',';
    if (schema_check_count(schema, count, "values separated by commas", mistake) != STATUS_OK)
        return STATUS_INVALID;
    struct openapi_value *items = arena_calloc(arena, count, sizeof(*items));
    if (items == NULL) {
        SAY(mistake, "has too many values");
        mistake->too_long = true;
        return STATUS_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        struct openapi_mistake inner;
        inner.too_long = false;
        if (check_item(schema, text_split(&text, ','), in_query, arena, &items[i], &inner) != STATUS_OK) {
            SAY(mistake, "value %zu %.300s", i + 1, inner.message);
            mistake->too_long = inner.too_long;
            return STATUS_INVALID;
        }
        for (size_t k = 0; schema->unique_items && k < i; k++)
            if (same_value(&items[k], &items[i])) {
                struct text twice = items[i].text;
                SAY(mistake, "names %.*s twice; give each once", (int)(twice.size < 64 ? twice.size : 64), twice.data);
                return STATUS_INVALID;
            }
    }
    value->items = items;
    value->count = count;
    return STATUS_OK;
}

static enum status check_scalar(const struct openapi_schema *schema, struct text text, struct openapi_value *value,
                                struct openapi_mistake *mistake)
{
    value->present = true;
    value->text = text;
    if (schema->types & SCHEMA_INTEGER)
        return check_integer(schema, text, value, mistake);
    if (schema->types & SCHEMA_NUMBER)
        return check_number(schema, text, value, mistake);
    if (schema->types & SCHEMA_BOOLEAN)
        return check_boolean(schema, text, value, mistake);
    return schema_check_string(schema, text, value, mistake);
}

enum status schema_check_text(const struct openapi_schema *schema, struct text text, struct arena *arena,
                              struct openapi_value *value, struct openapi_mistake *mistake)
{
    if (!(schema->types & SCHEMA_ARRAY))
        return check_scalar(schema, text, value, mistake);
    value->present = true;
    value->text = text;
    return check_array(schema, text, false, arena, value, mistake);
}

enum status schema_check_query(const struct openapi_schema *schema, struct text raw, struct arena *arena,
                               struct openapi_value *value, struct openapi_mistake *mistake)
{
    value->present = true;
    value->text = raw;
    if (schema->types & SCHEMA_ARRAY)
        return check_array(schema, raw, true, arena, value, mistake);
    if (schema_decode_query(&raw, arena, mistake) != STATUS_OK)
        return STATUS_INVALID;
    return check_scalar(schema, raw, value, mistake);
}
