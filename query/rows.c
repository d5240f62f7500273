#include "base/csv.h"
#include "base/json.h"
#include "query/rows_private.h"
#include "query/value.h"

#define VALUE_SIZE 8 /* bytes of a value, about */

const char *rows_media_type(enum rows_format format)
{
    static const char *const types[] = {"application/json", "text/csv; charset=utf-8", "application/x-ndjson"};
    return types[format];
}

bool rows_is_number(uint32_t type)
{
    return type == 20 || type == 21 || type == 23 || type == 700 || type == 701 || type == 1700;
}

static enum form form_of(const struct type *type)
{
    if (type == NULL)
        return FORM_STRING;
    switch (type->kind) {
    case TYPE_NUMBER: /* not all may be NaN or infinite */
        return type->base == 20 || type->base == 21 || type->base == 23 ? FORM_RAW : FORM_NUMBER;
    case TYPE_BOOLEAN:
        return FORM_BOOLEAN;
    case TYPE_TIMESTAMP:
        return FORM_TIMESTAMP;
    case TYPE_JSON:
        return type->base == 3802 ? FORM_RAW : FORM_JSON;
    case TYPE_ARRAY:
    case TYPE_COMPOSITE:
        return FORM_NESTED;
    case TYPE_STRING:
        break;
    }
    return type->base == 1082 || type->base == 2950 ? FORM_QUOTED : FORM_STRING; /* date, uuid */
}

static void append_timestamp(struct buffer *out, struct text value)
{
    buffer_append_char(out, '"');
    value_append_timestamp(out, value);
    buffer_append_char(out, '"');
}

/* The type json keeps its author's line ends, which can only be white space between tokens; an object keeps to its
 * line. */
static void append_json(struct buffer *out, struct text value)
{
    size_t start = out->size;
    buffer_append_text(out, value);
    for (size_t i = start; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

static void append_value(struct buffer *out, enum form form, const struct type *type, struct text value)
{
    char first = value.size != 0 ? value.data[value.data[0] == '-' && value.size > 1] : '\0';
    switch (form) {
    case FORM_NUMBER:
        if (first < '0' || first > '9') {
            buffer_append_char(out, '"');
            buffer_append_text(out, value);
            buffer_append_char(out, '"');
            break;
        }
        buffer_append_text(out, value);
        break;
    case FORM_RAW:
        buffer_append_text(out, value);
        break;
    case FORM_JSON:
        append_json(out, value);
        break;
    case FORM_QUOTED:
        buffer_append_char(out, '"');
        buffer_append_text(out, value);
        buffer_append_char(out, '"');
        break;
    case FORM_BOOLEAN:
        buffer_append_text(out, first == 't' ? TEXT("true") : TEXT("false"));
        break;
    case FORM_TIMESTAMP:
        append_timestamp(out, value);
        break;
    case FORM_NESTED:
        value_append_json(out, type, value);
        break;
    case FORM_STRING:
        json_append_string(out, value);
        break;
    }
}

void rows_append_json(struct buffer *out, uint32_t type, struct text value)
{
    const struct type *known = type_builtin(type);
    if (value.data == NULL)
        buffer_append_literal(out, "null");
    else
        append_value(out, form_of(known), known, value);
}

#define TEXT_CEILING 65536 /* bytes of a key, and of what precedes the first */
#define KEY_FIRST 160      /* of these, bytes that cost no allocation: a name of 63 in quotes, and one before it */

/* The buffer's content in the arena, with KEY_STEP bytes behind it that may be read. TEXT_NONE: out of memory. */
static struct text keep(struct arena *arena, struct buffer *buffer)
{
    size_t size = buffer->size;
    for (size_t i = 0; i < KEY_STEP; i++)
        buffer_append_char(buffer, ' ');
    struct text kept = buffer->failed ? TEXT_NONE : arena_copy(arena, buffer_text(buffer));
    buffer_free(buffer);
    return text_of(kept.data, kept.data != NULL ? size : 0);
}

/* What stands in every row alike is written out once: in JSON it becomes part of the first key. */
static bool make_opening(struct rows_encoder *encoder, struct arena *arena, const struct rows_options *options)
{
    bool is_csv = options->format == ROWS_CSV;
    struct buffer opening, leading;
    char first[2][KEY_FIRST];
    buffer_init_on(&opening, first[0], KEY_FIRST, TEXT_CEILING);
    buffer_init_on(&leading, first[1], KEY_FIRST, TEXT_CEILING);
    if (!is_csv)
        buffer_append_char(&opening, '{');
    if (options->leading_name.data != NULL) {
        (is_csv ? csv_append_field : json_append_string)(&opening, options->leading_name);
        if (!is_csv)
            buffer_append_char(&opening, ':');
        (is_csv ? csv_append_field : json_append_string)(is_csv ? &leading : &opening, options->leading_value);
    }
    encoder->opening = keep(arena, &opening);
    encoder->leading = keep(arena, &leading);
    return encoder->opening.data != NULL && encoder->leading.data != NULL;
}

static struct text make_key(struct rows_encoder *encoder, struct arena *arena, size_t index)
{
    struct buffer key;
    char first[KEY_FIRST];
    buffer_init_on(&key, first, sizeof(first), 2 * TEXT_CEILING);
    if (index == 0 && !encoder->strip_nulls)
        buffer_append_text(&key, encoder->opening);
    if (index != 0 || encoder->strip_nulls || encoder->opening.size > 1)
        buffer_append_char(&key, ',');
    json_append_string(&key, encoder->columns[index].name);
    buffer_append_char(&key, ':');
    return keep(arena, &key);
}

/* Its binary form is its text. */
static bool is_text(uint32_t oid)
{
    return oid != BYTEA && oid != TIME;
}

static bool make_column(struct rows_encoder *encoder, struct arena *arena, const struct rows_options *options,
                        const struct postgres_rows *rows, size_t index)
{
    struct column *column = &encoder->columns[index];
    uint32_t oid = postgres_rows_type(rows, index);
    const struct type *told = options->types != NULL ? options->types[index] : NULL;
    /* A view that was replaced since it was described has other types than it was planned with: the wire is right. A
     * domain is on the wire as its base. */
    column->type = told != NULL && (told->oid == oid || told->base == oid) ? told : type_builtin(oid);
    column->form = form_of(column->type);
    if (postgres_rows_is_binary(rows, index) && binary_knows(oid) && (column->form != FORM_STRING || !is_text(oid)))
        column->binary_type = oid;
    if (column->binary_type == TIME)
        column->form = FORM_QUOTED;
    column->name = arena_copy(arena, text_from_string(postgres_rows_name(rows, index)));
    column->key = make_key(encoder, arena, index);
    return column->name.data != NULL && column->key.data != NULL;
}

bool rows_are_known(const struct postgres_rows *rows)
{
    for (size_t i = 0; i < postgres_rows_columns(rows); i++)
        if (postgres_rows_is_binary(rows, i) && !binary_knows(postgres_rows_type(rows, i)))
            return false;
    return true;
}

struct rows_encoder *rows_encoder_create(struct arena *arena, const struct rows_options *options,
                                         const struct postgres_rows *rows)
{
    size_t count = postgres_rows_columns(rows);
    if (options->visible != 0 && options->visible < count)
        count = options->visible;
    struct rows_encoder *encoder = arena_calloc(arena, 1, sizeof(*encoder) + count * sizeof(encoder->columns[0]));
    if (encoder == NULL || !make_opening(encoder, arena, options))
        return NULL;
    encoder->format = options->format;
    encoder->strip_nulls = options->strip_nulls;
    encoder->singular = options->singular;
    encoder->no_final_newline = options->no_final_newline;
    encoder->column_count = count;
    for (size_t i = 0; i < count; i++) {
        if (!make_column(encoder, arena, options, rows, i))
            return NULL;
        encoder->row_size += (options->format == ROWS_CSV ? 1 : encoder->columns[i].key.size) + VALUE_SIZE;
        encoder->row_room += encoder->columns[i].key.size + ROOM_FOR_VALUE;
    }
    encoder->row_size += encoder->leading.size;
    encoder->row_room += KEY_STEP + 1;
    return encoder;
}

void rows_encoder_begin(struct rows_encoder *encoder, struct buffer *out)
{
    /* With its brackets, so that an answer of one row does not grow on the way. */
    if (encoder->row_room + 4 <= out->ceiling - out->size)
        buffer_reserve(out, encoder->row_room + 4);
    if (encoder->format == ROWS_JSON && !encoder->singular)
        buffer_append_char(out, '[');
    if (encoder->format == ROWS_CSV)
        rows_append_header(encoder, out);
}

/* By way of the server's text: for what is too rare to have a shorter one, days before the common era say. */
static void append_as_text(struct buffer *out, const struct column *column, struct text value)
{
    struct buffer text;
    buffer_init(&text, out->ceiling);
    binary_append(&text, column->binary_type, value);
    append_value(out, column->form, column->type, buffer_text(&text));
    out->failed |= text.failed;
    buffer_free(&text);
}

static void append_binary(struct buffer *out, const struct column *column, struct text value)
{
    if (column->form == FORM_BOOLEAN) {
        buffer_append_text(out, value.data[0] != 0 ? TEXT("true") : TEXT("false"));
        return;
    }
    if (column->form == FORM_TIMESTAMP) {
        append_as_text(out, column, value);
        return;
    }
    if (column->form == FORM_QUOTED || column->form == FORM_STRING) {
        /* Of all that stands in quotes only bytea's text needs an escape: the backslash that it begins with. */
        buffer_append_string(out, column->form == FORM_STRING ? "\"\\" : "\"");
        binary_append(out, column->binary_type, value);
        buffer_append_char(out, '"');
        return;
    }
    size_t start = out->size;
    binary_append(out, column->binary_type, value);
    /* NaN and infinities are strings; there is room for the quotes, because they are checked for. */
    char last = out->size > start ? out->data[out->size - 1] : '\0';
    if (last < '0' || last > '9') {
        char word[16];
        size_t size = out->size - start < sizeof(word) ? out->size - start : sizeof(word);
        memcpy(word, out->data + start, size);
        out->size = start;
        buffer_append_char(out, '"');
        buffer_append(out, word, size);
        buffer_append_char(out, '"');
    }
}

/* The string that the row before had, whose JSON is here. */
static bool is_repeated(const struct column *column, struct text value)
{
    return column->repeated.json_size != 0 && value.size == column->repeated.size &&
           memcmp(value.data, column->repeated.value, value.size) == 0;
}

/* Key and value, where the value is of the common binary ones, or the same string again. Returns the end; NULL for all
 * others, and for null. */
static char *put_member(struct column *column, struct text value, char *at)
{
    bool repeated = column->binary_type == 0;
    if (value.data == NULL || (repeated && !is_repeated(column, value)))
        return NULL;
    /* In steps of a known size, which cost no call: the key has room behind it (make_key), and so has the row. */
    for (size_t i = 0; i < column->key.size; i += KEY_STEP)
        memcpy(at + i, column->key.data + i, KEY_STEP);
    at += column->key.size;
    if (repeated)
        return put_text(at, text_of(column->repeated.json, column->repeated.json_size));
    if (column->form != FORM_QUOTED && column->form != FORM_TIMESTAMP)
        return put_value(column, value, at);
    *at++ = '"';
    at = put_value(column, value, at);
    if (at != NULL)
        *at++ = '"';
    return at;
}

/* A text of a known form, and its key: one reservation, and nothing that would have to be called for a short one. */
static void append_bare(const struct column *column, struct text value, struct buffer *out)
{
    bool quoted = column->form == FORM_QUOTED;
    if (column->form == FORM_NUMBER) {
        char first = value.size != 0 ? value.data[value.data[0] == '-' && value.size > 1] : '\0';
        quoted = first < '0' || first > '9'; /* NaN and infinities */
    }
    char *room = buffer_reserve(out, column->key.size + KEY_STEP + value.size + 2), *at = room;
    if (room == NULL)
        return;
    for (size_t i = 0; i < column->key.size; i += KEY_STEP)
        memcpy(at + i, column->key.data + i, KEY_STEP);
    at += column->key.size;
    *at = '"';
    at += quoted;
    at = put_text(at, value);
    *at = '"';
    at += quoted;
    out->size += (size_t)(at - room);
}

static void append_string(struct column *column, struct text value, struct buffer *out)
{
    if (is_repeated(column, value)) {
        buffer_append(out, column->repeated.json, column->repeated.json_size);
        return;
    }
    size_t start = out->size;
    json_append_string(out, value);
    size_t size = out->size - start;
    column->repeated.json_size = 0;
    if (out->failed || value.size > REPEATED_SIZE || size > sizeof(column->repeated.json))
        return;
    column->repeated.size = value.size;
    column->repeated.json_size = size;
    memcpy(column->repeated.value, value.data, value.size);
    memcpy(column->repeated.json, out->data + start, size);
}

static void append_member(struct column *column, struct text value, struct buffer *out)
{
    bool bare = column->form == FORM_RAW || column->form == FORM_NUMBER || column->form == FORM_QUOTED;
    /* So close to the ceiling there may be no room for all of it at once. */
    if (bare && column->binary_type == 0 && value.data != NULL &&
        column->key.size + KEY_STEP + value.size + 2 <= out->ceiling - out->size) {
        append_bare(column, value, out);
        return;
    }
    buffer_append_text(out, column->key);
    if (value.data == NULL)
        buffer_append_literal(out, "null");
    else if (column->binary_type != 0)
        append_binary(out, column, value);
    else if (column->form == FORM_STRING)
        append_string(column, value, out);
    else
        append_value(out, column->form, column->type, value);
}

/* As json_strip_nulls over the row: members that are null are left out wherever they stand, elements stay. */
static void append_stripped(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row,
                            struct buffer *out)
{
    size_t start = out->size;
    buffer_append_text(out, encoder->opening);
    for (size_t i = 0; i < encoder->column_count; i++) {
        struct column *column = &encoder->columns[i];
        struct text value = postgres_rows_value(rows, row, i);
        size_t member = out->size;
        if (value.data == NULL)
            continue;
        append_member(column, value, out);
        if (out->failed)
            return;
        if (member == start + 1) { /* the first one: its key's comma goes */
            memmove(out->data + member, out->data + member + 1, out->size - member - 1);
            out->size--;
        }
        bool nested = column->type != NULL && (column->type->kind == TYPE_JSON || column->form == FORM_NESTED);
        size_t at = member + column->key.size - (member == start + 1);
        if (nested)
            out->size = at + value_strip_nulls(out->data + at, out->size - at);
        if (nested && text_equal(text_of(out->data + at, out->size - at), TEXT("null")))
            out->size = member;
    }
    buffer_append_char(out, '}');
}

/* One reservation holds for all values of known size up to the next one that has none. A row that comes so close to
 * the ceiling that it might not fit goes value by value. */
static void append_object(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row,
                          struct buffer *out)
{
    char *at = NULL;
    for (size_t i = 0; i < encoder->column_count; i++) {
        struct column *column = &encoder->columns[i];
        struct text value = postgres_rows_value(rows, row, i);
        if (at == NULL && encoder->row_room <= out->ceiling - out->size)
            at = buffer_reserve(out, encoder->row_room);
        char *end = at != NULL ? put_member(column, value, at) : NULL;
        if (end == NULL)
            append_member(column, value, out);
        else
            out->size += (size_t)(end - at);
        at = end;
    }
    if (encoder->column_count == 0)
        buffer_append_text(out, encoder->opening);
    buffer_append_char(out, '}');
}

void rows_encoder_append(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t first, size_t count,
                         struct buffer *out)
{
    /* Once for all, instead of growing and moving on the way; a guess that does not fit costs nothing but that. */
    if (count > 1 && count * encoder->row_size < out->ceiling - out->size)
        buffer_reserve(out, count * encoder->row_size);
    for (size_t row = first; row < first + count; row++) {
        if (encoder->format == ROWS_CSV) {
            rows_append_record(encoder, rows, row, out);
        } else {
            if (encoder->format == ROWS_JSON && encoder->count != 0)
                buffer_append_literal(out, ",\n");
            (encoder->strip_nulls ? append_stripped : append_object)(encoder, rows, row, out);
            if (encoder->format == ROWS_NDJSON)
                buffer_append_char(out, '\n');
        }
        encoder->count++;
    }
}

void rows_encoder_end(struct rows_encoder *encoder, struct buffer *out)
{
    if (encoder->format == ROWS_JSON)
        buffer_append_string(out, encoder->singular ? "\n" : "]\n");
}

uint64_t rows_encoder_count(const struct rows_encoder *encoder)
{
    return encoder->count;
}
