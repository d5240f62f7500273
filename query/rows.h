/* Encodes rows of a result as JSON, CSV or NDJSON, straight from the wire's text values. Hot path. Values have the form
 * that PostgreSQL's to_json gives: numbers raw (exact), NaN and infinities as strings, booleans, json/jsonb raw (but
 * without line ends), timestamps with T, everything else a string. */
#ifndef SLUICE_QUERY_ROWS_H
#define SLUICE_QUERY_ROWS_H

#include "base/arena.h"
#include "base/buffer.h"
#include "drivers/postgres.h"

enum rows_format { ROWS_JSON, ROWS_CSV, ROWS_NDJSON };
const char *
rows_media_type(enum rows_format format); /* "application/json", "text/csv; charset=utf-8", "application/x-ndjson" */

struct rows_encoder; /* in the arena given */
/* Reads names and types from `rows` (which may be empty). NULL: out of memory. */
struct rows_encoder *rows_encoder_create(struct arena *arena, enum rows_format format,
                                         const struct postgres_rows *rows);
/* "[", or the CSV header line, or nothing. */
void rows_encoder_begin(struct rows_encoder *encoder, struct buffer *out);
void rows_encoder_append(struct rows_encoder *encoder, const struct postgres_rows *rows, size_t first, size_t count,
                         struct buffer *out);
/* "]\n" or nothing. JSON: one object a line: "[{…},\n{…}]". CSV: header row, LF, every row ended by LF. */
void rows_encoder_end(struct rows_encoder *encoder, struct buffer *out);
uint64_t rows_encoder_count(const struct rows_encoder *encoder);
/* One value as JSON by its type OID, for whoever writes its own objects. */
void rows_append_json(struct buffer *out, uint32_t type, struct text value);
/* A last line for NDJSON streams: {"error":{…problem…}} is the caller's business; this only says which OIDs are
 * numbers. */
bool rows_is_number(uint32_t type);

#endif
