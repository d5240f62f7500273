/* Encodes rows of a result as JSON, CSV or NDJSON, straight from the wire's values. Hot path. Values have the form
 * that PostgreSQL's to_json gives: numbers raw (exact), NaN and infinities as strings, booleans, json/jsonb raw (but
 * without line ends), timestamps with T, arrays and composites by query/value.h, everything else a string. */
#ifndef SLUICE_QUERY_ROWS_H
#define SLUICE_QUERY_ROWS_H

#include "base/arena.h"
#include "base/buffer.h"
#include "drivers/postgres.h"
#include "query/type.h"

enum rows_format { ROWS_JSON, ROWS_CSV, ROWS_NDJSON };
const char *
rows_media_type(enum rows_format format); /* "application/json", "text/csv; charset=utf-8", "application/x-ndjson" */

struct rows_options {
    enum rows_format format;
    /* A string that is the same in every row, and therefore no column of the result: written before the others. Name
     * TEXT_NONE: there is none. Copied. */
    struct text leading_name, leading_value;
    /* By column; where it is NULL, or has NULL, the type is told by the wire's OID (type_builtin), and one that is not
     * builtin is a string. They must live as long as the encoder. */
    const struct type *const *types;
    size_t visible;        /* columns; those behind are not encoded; 0: all */
    bool strip_nulls;      /* JSON, NDJSON: members that are null are left out, those of nested objects too */
    bool singular;         /* JSON: the one row as an object, no array */
    bool no_final_newline; /* CSV: LF between lines only */
};

struct rows_encoder; /* in the arena given */
/* False: values come in a binary form that is not known here, since the relation is another one than it was said to be.
 */
bool rows_are_known(const struct postgres_rows *rows);
/* Reads names and types from `rows` (which may be empty, and must be known). NULL: out of memory. */
struct rows_encoder *rows_encoder_create(struct arena *arena, const struct rows_options *options,
                                         const struct postgres_rows *rows);
/* "[", or the CSV header line, or nothing. */
void rows_encoder_begin(struct rows_encoder *encoder, struct buffer *out);
void rows_encoder_append(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t first, size_t count,
                         struct buffer *out);
/* "]\n" ("\n" when singular) or nothing. JSON: one object a line: "[{…},\n{…}]". CSV: header row, LF, every row ended
 * by LF, but for no_final_newline. */
void rows_encoder_end(struct rows_encoder *encoder, struct buffer *out);
uint64_t rows_encoder_count(const struct rows_encoder *encoder);
/* One value as JSON by its type OID, for whoever writes its own objects. */
void rows_append_json(struct buffer *out, uint32_t type, struct text value);
/* A last line for NDJSON streams: {"error":{…problem…}} is the caller's business; this only says which OIDs are
 * numbers. */
bool rows_is_number(uint32_t type);

#endif
