/* The encoder of rows from inside: rows.c makes it and writes objects, rows_csv.c writes records. */
#ifndef SLUICE_QUERY_ROWS_PRIVATE_H
#define SLUICE_QUERY_ROWS_PRIVATE_H

#include "query/binary.h"
#include "query/rows.h"

#define KEY_STEP 16
#define REPEATED_SIZE 32 /* bytes of a string that is worth remembering */
#define REPEATED_JSON (2 * REPEATED_SIZE + 2)
#define ROOM_FOR_VALUE (BINARY_PUT_SIZE + 2 > REPEATED_JSON ? BINARY_PUT_SIZE + 2 : REPEATED_JSON)

/* Types that binary values may have and whose text here is another than elsewhere. */
enum { BYTEA = 17, TIME = 1083, TIMESTAMPTZ = 1184 };

/* What a value needs on its way from PostgreSQL's text to JSON. */
enum form {
    FORM_RAW,
    FORM_JSON,
    FORM_NUMBER,
    FORM_QUOTED /* never holds anything to escape */,
    FORM_BOOLEAN,
    FORM_TIMESTAMP,
    FORM_NESTED, /* arrays, composites */
    FORM_STRING
};

struct column {
    enum form form;
    uint32_t binary_type;    /* 0: values come as text, or are the same in both */
    const struct type *type; /* NULL: a string */
    struct text name;
    struct text key;       /* JSON: `{"name":` or `,"name":` */
    struct binary_day day; /* the one written last */
    struct {               /* a short string that was written last, and its JSON: region after region is the same one */
        size_t size, json_size;
        char value[REPEATED_SIZE], json[REPEATED_JSON];
    } repeated;
};

struct rows_encoder {
    enum rows_format format;
    bool strip_nulls, singular, no_final_newline;
    uint64_t count;
    struct text opening; /* JSON: `{`, or `{"name":"value"` of the leading column; CSV: its header, or empty */
    struct text leading; /* CSV: its field */
    size_t column_count;
    size_t row_size; /* bytes, about: what is reserved for many rows at once */
    size_t row_room; /* bytes, at the most, of a row of keys and ROOM_FOR_VALUE for each value */
    struct column columns[];
};

/* A common binary value, in the form that to_json gives without its quotes. NULL: it is none. */
static inline char *put_value(struct column *column, struct text value, char *at)
{
    char *end = binary_put(at, column->binary_type, value, &column->day);
    if (end == NULL || column->form != FORM_TIMESTAMP)
        return end;
    at[sizeof(column->day.text)] = 'T';
    if (column->binary_type != TIMESTAMPTZ)
        return end;
    memcpy(end, ":00", 3);
    return end + 3;
}

/* Short ones, and most are, in two overlapping steps of a known size. */
static inline char *put_text(char *at, struct text value)
{
    size_t size = value.size;
    if (size >= 8 && size <= 16) {
        memcpy(at, value.data, 8);
        memcpy(at + size - 8, value.data + size - 8, 8);
    } else if (size >= 4 && size < 8) {
        memcpy(at, value.data, 4);
        memcpy(at + size - 4, value.data + size - 4, 4);
    } else if (size < 4) {
        for (size_t i = 0; i < size; i++)
            at[i] = value.data[i];
    } else {
        memcpy(at, value.data, size);
    }
    return at + size;
}

/* The header, and a line. */
void rows_append_header(const struct rows_encoder *encoder, struct buffer *out);
void rows_append_record(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t row, struct buffer *out);

#endif
