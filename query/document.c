#include "query/document.h"

#include "base/date.h"
#include "base/encoding.h"
#include "base/hash.h"

void document_append_path(struct buffer *out, struct text name)
{
    buffer_append_literal(out, "/v1/datasets/");
    encoding_percent_append(out, name);
}

void document_append_links(struct json *json, struct text name)
{
    json_open_object(json);
    json_key(json, TEXT("rows"));
    buffer_append_char(json->buffer, '"');
    document_append_path(json->buffer, name);
    buffer_append_char(json->buffer, '"');
    json->comma = true;
    json_key(json, TEXT("schema"));
    buffer_append_char(json->buffer, '"');
    document_append_path(json->buffer, name);
    buffer_append_literal(json->buffer, "/schema\"");
    json->comma = true;
    json_close_object(json);
}

/* Types. */

static bool is_integer(uint32_t oid)
{
    return oid == 20 || oid == 21 || oid == 23 || oid == 26;
}

static const char *json_type(const struct type *type)
{
    switch (type->kind) {
    case TYPE_NUMBER:
        return is_integer(type->base) ? "integer" : "number";
    case TYPE_BOOLEAN:
        return "boolean";
    case TYPE_ARRAY:
        return "array";
    case TYPE_COMPOSITE:
        return "object";
    case TYPE_JSON:
        return "any";
    case TYPE_STRING:
    case TYPE_TIMESTAMP:
        break;
    }
    return "string";
}

/* RFC 3339 forms only: a timestamp without time zone has none. */
static const char *json_format(uint32_t oid)
{
    switch (oid) {
    case 20:
        return "int64";
    case 21:
    case 23:
        return "int32";
    case 701:
        return "double";
    case 700:
        return "float";
    case 1082:
        return "date";
    case 1184:
        return "date-time";
    case 2950:
        return "uuid";
    default:
        return NULL;
    }
}

static void append_type_names(struct json *json, const char *name, bool nullable, bool may_be_string)
{
    json_key(json, TEXT("type"));
    if (!nullable && !may_be_string) {
        json_c_string(json, name);
        return;
    }
    json_open_array(json);
    json_c_string(json, name);
    if (may_be_string)
        json_c_string(json, "string"); /* NaN, Infinity */
    if (nullable)
        json_c_string(json, "null");
    json_close_array(json);
}

static void append_fields(struct json *json, const struct type *type)
{
    json_key(json, TEXT("properties"));
    json_open_object(json);
    for (size_t i = 0; i < type->field_count; i++) {
        json_key(json, type->fields[i].name);
        document_append_type(json, type->fields[i].type, true);
    }
    json_close_object(json);
}

static void append_labels(struct json *json, const struct type *type, bool nullable)
{
    json_key(json, TEXT("enum"));
    json_open_array(json);
    for (size_t i = 0; i < type->enum_label_count; i++)
        json_text(json, type->enum_labels[i]);
    if (nullable)
        json_nothing(json);
    json_close_array(json);
}

void document_append_type(struct json *json, const struct type *type, bool nullable)
{
    const char *name = json_type(type), *format = json_format(type->base);
    bool infinite = type->base == 700 || type->base == 701 || type->base == 1700;
    json_open_object(json);
    if (type->kind != TYPE_JSON)
        append_type_names(json, name, nullable, infinite);
    if (format != NULL)
        json_field_string(json, "format", format);
    if (type->kind == TYPE_ARRAY) {
        json_key(json, TEXT("items"));
        /* Arrays of arrays have the same type here. */
        json_open_object(json);
        json_close_object(json);
    }
    if (type->kind == TYPE_COMPOSITE)
        append_fields(json, type);
    if (type->is_enum)
        append_labels(json, type, nullable);
    json_close_object(json);
}

/* The description. */

static void append_column(struct json *json, const struct dataset_column *column)
{
    json_open_object(json);
    json_field_text(json, "name", column->name);
    json_field_string(json, "type", json_type(column->type));
    json_field_text(json, "format", column->type->name);
    json_field_bool(json, "nullable", column->nullable);
    json_field_text(json, "unit", column->unit);
    json_field_text(json, "description", column->description);
    bool is_measure = column->type->kind == TYPE_NUMBER;
    json_field_string(json, "aggregate", is_measure ? aggregate_name(column->aggregate) : NULL);
    json_field_bool(json, "computed", column->computed);
    json_key(json, TEXT("enum"));
    if (column->type->is_enum) {
        json_open_array(json);
        for (size_t i = 0; i < column->type->enum_label_count; i++)
            json_text(json, column->type->enum_labels[i]);
        json_close_array(json);
    } else {
        json_nothing(json);
    }
    json_close_object(json);
}

static void append_keys(struct json *json, const struct dataset *dataset)
{
    json_key(json, TEXT("keys"));
    json_open_array(json);
    for (size_t k = 0; k < dataset->key_count; k++) {
        json_open_array(json);
        for (size_t i = 0; i < dataset->keys[k].count; i++)
            json_text(json, dataset->columns[dataset->keys[k].columns[i]].name);
        json_close_array(json);
    }
    json_close_array(json);
}

/* ISO 8601 durations: P3D, PT6H. */
static void append_duration(struct json *json, const char *key, int64_t seconds)
{
    json_key(json, text_from_string(key));
    if (seconds < 0) {
        json_nothing(json);
        return;
    }
    json->comma = true;
    if (seconds % 86400 == 0)
        buffer_printf(json->buffer, "\"P%lldD\"", (long long)(seconds / 86400));
    else if (seconds % 3600 == 0)
        buffer_printf(json->buffer, "\"PT%lldH\"", (long long)(seconds / 3600));
    else
        buffer_printf(json->buffer, "\"PT%lldS\"", (long long)seconds);
}

static void append_freshness(struct json *json, const struct dataset *dataset, struct text latest)
{
    char changed[DATE_INSTANT_TEXT_SIZE], version[24];
    struct buffer number;
    json_key(json, TEXT("freshness"));
    json_open_object(json);
    json_field_text(json, "latest", latest);
    if (dataset->changed_at != 0)
        date_format_instant(dataset->changed_at, changed);
    json_field_string(json, "changed_at", dataset->changed_at != 0 ? changed : NULL);
    buffer_init(&number, sizeof(version));
    buffer_append_uint64(&number, dataset->version);
    json_field_text(json, "version", dataset->version != 0 ? buffer_text(&number) : TEXT_NONE);
    buffer_free(&number);
    json_close_object(json);
}

void document_append_schema(struct json *json, const struct dataset *dataset, struct text latest)
{
    json_open_object(json);
    json_field_text(json, "name", dataset->name);
    json_field_string(json, "kind", dataset_kind_name(dataset->kind));
    json_field_text(json, "description", dataset->description);
    json_key(json, TEXT("columns"));
    json_open_array(json);
    for (size_t i = 0; i < dataset->column_count; i++)
        append_column(json, &dataset->columns[i]);
    json_close_array(json);
    append_keys(json, dataset);
    bool has_time = dataset->time_column >= 0;
    json_field_text(json, "time_column", has_time ? dataset->columns[dataset->time_column].name : TEXT_NONE);
    json_field_string(json, "grain", dataset->grain);
    append_duration(json, "expected_lag", dataset->expected_lag_s);
    append_duration(json, "expected_every", dataset->expected_every_s);
    append_freshness(json, dataset, latest);
    json_key(json, TEXT("row_estimate"));
    if (dataset->row_estimate >= 0 && !dataset->asks_caller) /* those of all callers are nothing for one */
        json_double(json, dataset->row_estimate);
    else
        json_nothing(json);
    json_key(json, TEXT("rollups"));
    json_open_array(json);
    json_close_array(json);
    json_key(json, TEXT("links"));
    document_append_links(json, dataset->name);
    json_close_object(json);
}

/* OpenAPI. */

static bool is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_';
}

void document_append_identifier(struct buffer *out, struct text name)
{
    bool plain = true;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        buffer_append_char(out, is_word(byte) ? byte : '_');
        plain = plain && is_word(byte);
    }
    if (!plain) /* two names may look alike now */
        buffer_printf(out, "_%08x", (unsigned)hash_stable(name));
}

void document_append_row(struct json *json, const struct dataset *dataset)
{
    json_open_object(json);
    json_field_string(json, "type", "object");
    if (dataset->description.data != NULL)
        json_field_text(json, "description", dataset->description);
    json_key(json, TEXT("properties"));
    json_open_object(json);
    for (size_t i = 0; i < dataset->column_count; i++) {
        const struct dataset_column *column = &dataset->columns[i];
        json_key(json, column->name);
        document_append_type(json, column->type, column->nullable);
        struct buffer *out = json->buffer;
        if (column->description.data == NULL || out->failed || out->size == 0)
            continue;
        out->size--; /* the brace: the column's words go into the same object */
        json->comma = out->data[out->size - 1] != '{';
        if (column->unit.data != NULL) {
            struct buffer words;
            buffer_init(&words, 65536);
            buffer_printf(&words, "%.*s [%.*s]", TEXT_ARGS(column->description), TEXT_ARGS(column->unit));
            json_field_text(json, "description", buffer_text(&words));
            buffer_free(&words);
        } else {
            json_field_text(json, "description", column->description);
        }
        json_close_object(json);
    }
    json_close_object(json);
    json_close_object(json);
}

/* What a filter on the column looks like. */
static const char *filter_example(const struct type *type)
{
    switch (type->kind) {
    case TYPE_NUMBER:
        return "gte.0";
    case TYPE_BOOLEAN:
        return "is.true";
    case TYPE_TIMESTAMP:
        return "gte.2025-01-01T00:00:00Z";
    case TYPE_ARRAY:
        return "cs.{}";
    case TYPE_JSON:
    case TYPE_COMPOSITE:
        return "not.is.null";
    case TYPE_STRING:
        break;
    }
    return type->base == 1082 ? "gte.2025-01-01" : "not.is.null";
}

static void append_parameter(struct json *json, struct text name, const char *description, const char *example)
{
    json_open_object(json);
    json_field_text(json, "name", name);
    json_field_string(json, "in", "query");
    json_field_string(json, "description", description);
    json_key(json, TEXT("schema"));
    json_open_object(json);
    json_field_string(json, "type", "string");
    json_close_object(json);
    if (example != NULL)
        json_field_string(json, "example", example);
    json_close_object(json);
}

static void append_references(struct json *json)
{
    static const char *const names[] = {"Select", "Order", "Limit",  "Offset", "RowsCursor", "RowsFormat",
                                        "And",    "Or",    "Prefer", "Range",  "RangeUnit",  "AcceptProfile"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct buffer reference;
        buffer_init(&reference, 256);
        buffer_printf(&reference, "#/components/parameters/%s", names[i]);
        json_open_object(json);
        json_field_text(json, "$ref", buffer_text(&reference));
        json_close_object(json);
        buffer_free(&reference);
    }
}

/* A column's name as the dialect reads it: in quotes where it would be something else without. */
static void append_filter_name(struct buffer *out, struct text name)
{
    static const char *const reserved[] = {"select", "order", "limit", "offset",  "cursor",
                                           "format", "and",   "or",    "columns", "on_conflict"};
    bool plain = name.size != 0;
    for (size_t i = 0; i < name.size; i++)
        plain = plain && (is_word(name.data[i]) || name.data[i] == '$' || (unsigned char)name.data[i] >= 0x80);
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        plain = plain && !text_equal(name, text_from_string(reserved[i]));
    buffer_append(out, "\"", !plain);
    for (size_t i = 0; i < name.size; i++) {
        buffer_append(out, "\\", name.data[i] == '"' || name.data[i] == '\\');
        buffer_append_char(out, name.data[i]);
    }
    buffer_append(out, "\"", !plain);
}

static void append_parameters(struct json *json, const struct dataset *dataset)
{
    json_key(json, TEXT("parameters"));
    json_open_array(json);
    append_references(json);
    for (size_t i = 0; i < dataset->column_count; i++) {
        const struct dataset_column *column = &dataset->columns[i];
        struct buffer name;
        buffer_init(&name, 1024);
        append_filter_name(&name, column->name);
        append_parameter(json, buffer_text(&name),
                         "Filter: operator.value, with not. before it where it shall not hold",
                         filter_example(column->type));
        buffer_free(&name);
    }
    json_close_array(json);
}

static void append_rows_content(struct json *json, struct text row)
{
    struct buffer reference;
    buffer_init(&reference, 1024);
    buffer_printf(&reference, "#/components/schemas/row_%.*s", TEXT_ARGS(row));
    json_key(json, TEXT("content"));
    json_open_object(json);
    json_key(json, TEXT("application/json"));
    json_raw(json, TEXT("{\"schema\":{\"type\":\"array\",\"items\":{\"$ref\":"));
    json_append_string(json->buffer, buffer_text(&reference));
    buffer_append_literal(json->buffer, "}}}");
    json->comma = true;
    json_key(json, TEXT("application/vnd.pgrst.object+json"));
    json_raw(json, TEXT("{\"schema\":{\"$ref\":"));
    json_append_string(json->buffer, buffer_text(&reference));
    buffer_append_literal(json->buffer, "}}");
    json->comma = true;
    json_key(json, TEXT("text/csv"));
    json_raw(json, TEXT("{\"schema\":{\"type\":\"string\"}}"));
    json_key(json, TEXT("application/x-ndjson"));
    json_raw(json, TEXT("{\"schema\":{\"type\":\"string\"}}"));
    json_close_object(json);
    buffer_free(&reference);
}

static void append_responses(struct json *json, struct text row)
{
    static const struct {
        const char *status, *name;
    } others[] = {{"304", "NotModified"},         {"400", "BadRequest"},  {"401", "Unauthorized"},
                  {"403", "Forbidden"},           {"404", "NotFound"},    {"406", "NotAcceptable"},
                  {"416", "RangeNotSatisfiable"}, {"422", "OverBudget"},  {"429", "TooManyRequests"},
                  {"500", "InternalError"},       {"503", "Unavailable"}, {"504", "Timeout"}};
    static const char *const good[] = {"200", "206"};
    json_key(json, TEXT("responses"));
    json_open_object(json);
    for (size_t i = 0; i < 2; i++) {
        json_key(json, text_from_string(good[i]));
        json_open_object(json);
        json_field_string(json, "description", i == 0 ? "The rows" : "A part of the rows, whose number was asked for");
        append_rows_content(json, row);
        json_close_object(json);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        json_key(json, text_from_string(others[i].status));
        struct buffer reference;
        buffer_init(&reference, 256);
        buffer_printf(&reference, "{\"$ref\":\"#/components/responses/%s\"}", others[i].name);
        json_raw(json, buffer_text(&reference));
        buffer_free(&reference);
    }
    json_close_object(json);
}

void document_append_path_item(struct json *json, const struct dataset *dataset)
{
    struct buffer words;
    buffer_init(&words, 65536);
    buffer_append_literal(&words, "read_");
    document_append_identifier(&words, dataset->name);
    json_open_object(json);
    json_key(json, TEXT("get"));
    json_open_object(json);
    json_field_text(json, "operationId", buffer_text(&words));
    buffer_clear(&words);
    buffer_printf(&words, "Rows of %.*s", TEXT_ARGS(dataset->name));
    json_field_text(json, "summary", buffer_text(&words));
    buffer_free(&words);
    if (dataset->description.data != NULL)
        json_field_text(json, "description", dataset->description);
    json_key(json, TEXT("tags"));
    json_raw(json, TEXT("[\"datasets\"]"));
    json_key(json, TEXT("security"));
    json_raw(json, TEXT("[{\"bearerAuth\":[\"datasets:read\"]}]"));
    append_parameters(json, dataset);
    buffer_init(&words, 65536);
    document_append_identifier(&words, dataset->name);
    append_responses(json, buffer_text(&words));
    buffer_free(&words);
    json_close_object(json);
    json_close_object(json);
}
