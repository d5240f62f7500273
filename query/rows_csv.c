#include "base/csv.h"
#include "query/rows_private.h"
#include "query/value.h"

void rows_append_header(const struct rows_encoder *encoder, struct buffer *out)
{
    buffer_append_text(out, encoder->opening);
    for (size_t i = 0; i < encoder->column_count; i++) {
        buffer_append(out, ",", i != 0 || encoder->opening.size != 0);
        csv_append_field(out, encoder->columns[i].name);
    }
    if (!encoder->no_final_newline && (encoder->column_count != 0 || encoder->opening.size != 0))
        buffer_append_char(out, '\n');
}

static void append_as_text(struct buffer *out, const struct column *column, struct text value)
{
    struct buffer text;
    buffer_init(&text, out->ceiling);
    binary_append(&text, column->binary_type, value);
    value_append_timestamp(out, buffer_text(&text));
    out->failed |= text.failed;
    buffer_free(&text);
}

/* A field has the form that it has in JSON, but without the quotes. */
static void append_field(struct buffer *out, struct column *column, struct text value)
{
    if (column->binary_type != 0 && BINARY_PUT_SIZE <= out->ceiling - out->size) {
        char *room = buffer_reserve(out, BINARY_PUT_SIZE), *end = room != NULL ? put_value(column, value, room) : NULL;
        if (end != NULL) {
            out->size += (size_t)(end - room);
            return;
        }
    }
    if (column->form == FORM_BOOLEAN)
        buffer_append_text(out, value.data[0] == (column->binary_type != 0 ? 1 : 't') ? TEXT("true") : TEXT("false"));
    else if (column->binary_type != 0 && column->form == FORM_TIMESTAMP)
        append_as_text(out, column, value);
    else if (column->binary_type != 0)
        binary_append(out, column->binary_type, value);
    else if (column->form == FORM_TIMESTAMP)
        value_append_timestamp(out, value);
    else if (column->form == FORM_NESTED)
        value_append_csv(out, column->type, value);
    else
        value_append_field(out, value);
}

void rows_append_record(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row, struct buffer *out)
{
    if (encoder->no_final_newline)
        buffer_append_char(out, '\n');
    buffer_append_text(out, encoder->leading);
    for (size_t i = 0; i < encoder->column_count; i++) {
        struct column *column = &encoder->columns[i];
        bool bare = column->form == FORM_NUMBER || column->form == FORM_QUOTED ||
                    (column->form == FORM_RAW && column->type->kind == TYPE_NUMBER);
        bool comma = i != 0 || encoder->opening.size != 0;
        struct text value = postgres_rows_value(rows, row, i);
        if (bare && column->binary_type == 0) {
            char *room = buffer_reserve(out, value.size + comma), *at = room;
            if (room == NULL)
                return;
            if (comma)
                *at = ',';
            out->size += (size_t)(put_text(at + comma, value) - room);
            continue;
        }
        buffer_append(out, ",", comma);
        if (value.data != NULL)
            append_field(out, column, value);
    }
    if (!encoder->no_final_newline)
        buffer_append_char(out, '\n');
}
