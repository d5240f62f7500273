/* The types of a file's columns, from all of its rows, never lossily: what would not come back as it stood stays text.
 * And values of those types as PostgreSQL's COPY (text format) takes them. */
#ifndef SLUICE_UPLOAD_INFER_H
#define SLUICE_UPLOAD_INFER_H

#include "upload/sniff.h"

enum infer_type {
    INFER_BOOLEAN,
    INFER_INTEGER /* bigint */,
    INFER_NUMERIC,
    INFER_DATE,
    INFER_TIMESTAMP,
    INFER_TIMESTAMPTZ,
    INFER_JSON /* jsonb */,
    INFER_TEXT
};
const char *infer_type_name(enum infer_type type); /* as SQL: "boolean", "bigint", "numeric", "date", "timestamp",
                                                      "timestamptz", "jsonb", "text" */
/* A caller's word for a column: also "integer", "int", "float", "double", "float8", "decimal", "json", "bool", "string"
 * and PostgreSQL's long names of these types. False: not known.
 * (double precision is told only: numeric keeps what stood there.) */
bool infer_type_named(struct text name, enum infer_type *type) MUST_CHECK;

/* One column's knowledge: which types every value so far could be. Feed each field of the file. Rules:
 * - integer: minus or nothing, digits, no leading zero (007 keeps its zeros: text), within 64 bits; past them numeric.
 *   -0 and +1 are not what would come back: text.
 * - numeric: digits with one decimal mark (point, or comma as sniffed), optional exponent (to 1,000 either way), at
 * most 1,000 digits: "1.50" stays 1.50 in numeric. Leading zeros as above, .5 is a number, 5. is not. No NaN or
 * Infinity: text (they are null words where told).
 * - thousands: commas with a decimal point; points, spaces, narrow and no-break spaces with a decimal comma. "1,234"
 * and "1.234" alone could be either: they count as numbers where another value of the column has a decimal mark or two
 *   groups, else the column is text.
 * - 1e5, an exponent without sign and decimal mark, may be a code (12E4): a number of JSON, or where another value of
 *   the column has a decimal mark or a signed exponent; else text.
 * - boolean: true/false, t/f, yes/no, y/n in one spelling (lower, upper, capital) through the column; of all but
 *   true/false both words must be there (a column of F alone is no boolean). 0/1 are integers.
 * - date: 2021-10-01, 2021/10/01, 20211001 not (integer); 01.10.2021, 1/10/2021, 1-10-2021: order found from all values
 *   (a day > 12), or told; in doubt (all <= 12): text, unless told. Impossible days (31.02.) make text.
 * - timestamp: date, T or space, HH:MM[:SS[.ffffff]]; with Z or an offset in all values: timestamptz; more than 6
 *   digits of a second, 24:00 and second 60: text.
 * - json: only FIELD_JSON (objects, arrays) of JSON formats; a column of mixed kinds in JSON is jsonb if any is
 *   FIELD_JSON, else text.
 * - Spaces and tabs around a number, boolean, date or timestamp don't count.
 * - A column of nulls alone is text. FIELD_STRING is text, date or timestamp. FIELD_QUOTED counts as FIELD_PLAIN but
 *   for the empty one, which is an empty text and makes the column text; in a column whose every other value is quoted
 *   too, as in files that quote everything, it is null. */
struct infer_column {
    unsigned possible;    /* bit mask of enum infer_type */
    unsigned date_orders; /* bit mask of enum sniff_date_order */
    unsigned spellings;   /* of booleans */
    unsigned seen;        /* what settles doubts; bits of infer_private.h */
    uint64_t values, nulls;
    size_t widest; /* bytes */
};
struct infer_options {
    bool decimal_comma;
    int date_order; /* enum sniff_date_order of dates that could be either; -1: found out */
};
void infer_begin(struct infer_column *column);
void infer_add(struct infer_column *column, const struct infer_options *options, const struct field *field);
struct infer_result {
    enum infer_type type;
    enum sniff_date_order date_order; /* of dates and timestamps */
    bool decimal_comma;
};
void infer_end(const struct infer_column *column, const struct infer_options *options, struct infer_result *result);

/* One field as COPY text (without the tab): \N for null, backslashes, tabs, LF, CR escaped; numbers with a point and
 * without thousands, dates ISO. STATUS_INVALID: it is not of the type: *reason (static) says what is wrong with it.
 * Only a told type, or a row behind a told sample, can come to that. A told type is taken at its word, so more is let
 * in than is inferred, as long as the value stays what it is: 007, +7 and 7.0 are integers, 1 and 0 booleans, a
 * timestamp at midnight is a date and a date a timestamp. Empty fields are null, but in a text column, where an empty
 * field that the reader did not take for null is an empty text. */
enum status infer_append_copy(struct buffer *out, const struct infer_result *type, const struct field *field,
                              const char **reason) MUST_CHECK;

#endif
