#include "query/rows.h"

#include "base/csv.h"
#include "base/json.h"
#include "query/binary.h"

#define VALUE_SIZE 8 /* bytes of a value, about */
#define KEY_STEP 16
#define REPEATED_SIZE 32 /* bytes of a string that is worth remembering */

/* What a value needs on its way from PostgreSQL's text to JSON. */
enum form {
    FORM_RAW,
    FORM_JSON,
    FORM_NUMBER,
    FORM_QUOTED /* never holds anything to escape */,
    FORM_BOOLEAN,
    FORM_TIMESTAMP,
    FORM_STRING
};

struct column {
    enum form form;
    uint32_t binary_type; /* 0: values come as text */
    struct text name;
    struct text key;       /* JSON: `{"name":` or `,"name":` */
    struct binary_day day; /* the one written last */
    struct {               /* a short string that was written last, and its JSON: region after region is the same one */
        size_t size, json_size;
        char value[REPEATED_SIZE], json[2 * REPEATED_SIZE + 2];
    } repeated;
};

struct rows_encoder {
    enum rows_format format;
    uint64_t count;
    size_t column_count;
    size_t row_size; /* bytes, about: what is reserved for many rows at once */
    struct column columns[];
};

const char *rows_media_type(enum rows_format format)
{
    static const char *const types[] = {"application/json", "text/csv; charset=utf-8", "application/x-ndjson"};
    return types[format];
}

bool rows_is_number(uint32_t type)
{
    return type == 20 || type == 21 || type == 23 || type == 700 || type == 701 || type == 1700;
}

static enum form form_of(uint32_t type)
{
    if (type == 700 || type == 701 || type == 1700)
        return FORM_NUMBER; /* may be NaN or infinite */
    if (rows_is_number(type) || type == 3802)
        return FORM_RAW;
    if (type == 114)
        return FORM_JSON;
    if (type == 1082 || type == 2950)
        return FORM_QUOTED; /* date, uuid */
    if (type == 16)
        return FORM_BOOLEAN;
    return type == 1114 || type == 1184 ? FORM_TIMESTAMP : FORM_STRING;
}

/* "2024-02-29 12:00:00.5+00" to "2024-02-29T12:00:00.5+00:00" and "0044-03-15 12:00:00+00 BC" to
 * "0044-03-15T12:00:00+00:00 BC", as to_json has them. */
static void append_timestamp(struct buffer *out, struct text value)
{
    const char *space = memchr(value.data, ' ', value.size);
    buffer_append_char(out, '"');
    if (space == NULL) {
        buffer_append_text(out, value); /* infinity */
    } else {
        size_t at = (size_t)(space - value.data), end = value.size;
        if (end > at + 4 && value.data[end - 1] == 'C') /* " BC" */
            end -= 3;
        buffer_append(out, value.data, at);
        buffer_append_char(out, 'T');
        buffer_append(out, space + 1, end - at - 1);
        bool short_offset = end > at + 4 && (value.data[end - 3] == '+' || value.data[end - 3] == '-');
        if (short_offset)
            buffer_append_literal(out, ":00");
        buffer_append(out, value.data + end, value.size - end);
    }
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

static void append_value(struct buffer *out, enum form form, struct text value)
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
    case FORM_STRING:
        json_append_string(out, value);
        break;
    }
}

void rows_append_json(struct buffer *out, uint32_t type, struct text value)
{
    if (value.data == NULL)
        buffer_append_literal(out, "null");
    else
        append_value(out, form_of(type), value);
}

static struct text make_key(struct arena *arena, struct text name, bool first)
{
    struct buffer key;
    buffer_init(&key, 4096);
    buffer_append_char(&key, first ? '{' : ',');
    json_append_string(&key, name);
    buffer_append_char(&key, ':');
    size_t size = key.size;
    for (size_t i = 0; i < KEY_STEP; i++)
        buffer_append_char(&key, ' ');
    struct text kept = key.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&key));
    buffer_free(&key);
    return text_of(kept.data, kept.data != NULL ? size : 0);
}

struct rows_encoder *rows_encoder_create(struct arena *arena, enum rows_format format, const struct postgres_rows *rows)
{
    size_t count = postgres_rows_columns(rows);
    struct rows_encoder *encoder = arena_calloc(arena, 1, sizeof(*encoder) + count * sizeof(encoder->columns[0]));
    if (encoder == NULL)
        return NULL;
    encoder->format = format;
    encoder->column_count = count;
    for (size_t i = 0; i < count; i++) {
        struct column *column = &encoder->columns[i];
        column->name = arena_copy(arena, text_from_string(postgres_rows_name(rows, i)));
        column->key = make_key(arena, column->name, i == 0);
        column->form = form_of(postgres_rows_type(rows, i));
        if (postgres_rows_is_binary(rows, i) && column->form != FORM_STRING)
            column->binary_type = postgres_rows_type(rows, i);
        if (column->name.data == NULL || column->key.data == NULL)
            return NULL;
        encoder->row_size += (format == ROWS_CSV ? 1 : column->key.size) + VALUE_SIZE;
    }
    return encoder;
}

void rows_encoder_begin(struct rows_encoder *encoder, struct buffer *out)
{
    if (encoder->format == ROWS_JSON)
        buffer_append_char(out, '[');
    for (size_t i = 0; encoder->format == ROWS_CSV && i < encoder->column_count; i++) {
        buffer_append(out, ",", i != 0);
        csv_append_field(out, encoder->columns[i].name);
        if (i + 1 == encoder->column_count)
            buffer_append_char(out, '\n');
    }
}

static void append_binary(struct buffer *out, const struct column *column, struct text value)
{
    if (column->form == FORM_BOOLEAN) {
        buffer_append_text(out, value.data[0] != 0 ? TEXT("true") : TEXT("false"));
        return;
    }
    if (column->form == FORM_QUOTED)
        buffer_append_char(out, '"');
    size_t start = out->size;
    binary_append(out, column->binary_type, value);
    if (column->form == FORM_QUOTED) {
        buffer_append_char(out, '"');
        return;
    }
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

/* Key and value in one reservation, where the value is of the common binary ones. */
static bool put_member(struct column *column, struct text value, struct buffer *out)
{
    bool quoted = column->form == FORM_QUOTED;
    if (column->binary_type == 0 || value.data == NULL)
        return false;
    char *room = buffer_reserve(out, column->key.size + KEY_STEP + BINARY_PUT_SIZE + 2), *at = room;
    if (room == NULL)
        return false;
    /* In steps of a known size, which cost no call: the key has room behind it (make_key), and so has the buffer. */
    for (size_t i = 0; i < column->key.size; i += KEY_STEP)
        memcpy(at + i, column->key.data + i, KEY_STEP);
    at += column->key.size;
    if (quoted)
        *at++ = '"';
    at = binary_put(at, column->binary_type, value, &column->day);
    if (at == NULL)
        return false;
    if (quoted)
        *at++ = '"';
    out->size += (size_t)(at - room);
    return true;
}

static void append_string(struct column *column, struct text value, struct buffer *out)
{
    if (column->repeated.json_size != 0 && value.size == column->repeated.size &&
        memcmp(value.data, column->repeated.value, value.size) == 0) {
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

static void append_object(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row,
                          struct buffer *out)
{
    for (size_t i = 0; i < encoder->column_count; i++) {
        struct column *column = &encoder->columns[i];
        struct text value = postgres_rows_value(rows, row, i);
        if (put_member(column, value, out))
            continue;
        buffer_append_text(out, column->key);
        if (value.data == NULL)
            buffer_append_literal(out, "null");
        else if (column->form == FORM_STRING)
            append_string(column, value, out);
        else if (column->binary_type != 0)
            append_binary(out, column, value);
        else
            append_value(out, column->form, value);
    }
    if (encoder->column_count == 0)
        buffer_append_char(out, '{');
    buffer_append_char(out, '}');
}

/* A field has the form that it has in JSON, but without the quotes. */
static void append_field(struct buffer *out, enum form form, struct text value)
{
    if (value.data == NULL)
        return;
    if (form == FORM_BOOLEAN) {
        buffer_append_text(out, value.data[0] == 't' ? TEXT("true") : TEXT("false"));
    } else if (form == FORM_TIMESTAMP) {
        size_t start = out->size;
        append_timestamp(out, value);
        if (!out->failed) { /* without the quotes around it */
            memmove(out->data + start, out->data + start + 1, out->size - start - 2);
            out->size -= 2;
        }
    } else if (form == FORM_STRING || form == FORM_RAW || form == FORM_JSON) {
        csv_append_field(out, value);
    } else {
        buffer_append_text(out, value);
    }
}

static void append_record(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row,
                          struct buffer *out)
{
    for (size_t i = 0; i < encoder->column_count; i++) {
        buffer_append(out, ",", i != 0);
        struct text value = postgres_rows_value(rows, row, i);
        if (encoder->columns[i].binary_type == 0 || value.data == NULL)
            append_field(out, encoder->columns[i].form, value);
        else if (encoder->columns[i].form == FORM_BOOLEAN)
            buffer_append_text(out, value.data[0] != 0 ? TEXT("true") : TEXT("false"));
        else
            binary_append(out, encoder->columns[i].binary_type, value);
    }
    buffer_append_char(out, '\n');
}

void rows_encoder_append(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t first, size_t count,
                         struct buffer *out)
{
    /* Once for all, instead of growing and moving on the way; a guess that does not fit costs nothing but that. */
    if (count > 1 && count * encoder->row_size < out->ceiling - out->size)
        buffer_reserve(out, count * encoder->row_size);
    for (size_t row = first; row < first + count; row++) {
        if (encoder->format == ROWS_CSV) {
            append_record(encoder, rows, row, out);
        } else {
            if (encoder->format == ROWS_JSON && encoder->count != 0)
                buffer_append_literal(out, ",\n");
            append_object(encoder, rows, row, out);
            if (encoder->format == ROWS_NDJSON)
                buffer_append_char(out, '\n');
        }
        encoder->count++;
    }
}

void rows_encoder_end(struct rows_encoder *encoder, struct buffer *out)
{
    if (encoder->format == ROWS_JSON)
        buffer_append_literal(out, "]\n");
}

uint64_t rows_encoder_count(const struct rows_encoder *encoder)
{
    return encoder->count;
}
