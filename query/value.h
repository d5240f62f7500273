/* A value of any PostgreSQL type as JSON, from its text form on the wire: what to_json would print. */
#ifndef SLUICE_QUERY_VALUE_H
#define SLUICE_QUERY_VALUE_H

#include "base/buffer.h"
#include "query/type.h"

#define VALUE_MAX_DEPTH 64 /* of arrays in composites in arrays …; deeper: a string */
/* Appends `value` (not null) of `type`: numbers raw, NaN and infinities quoted, timestamps with T, arrays (with all
 * their dimensions, and bounds left out) as arrays, composites as objects, json raw (line ends as spaces), the rest as
 * a string. False: the text is not of that form, which no server sends; then it stands there as a string. */
bool value_append_json(struct buffer *out, const struct type *type, struct text value);
/* The same as a CSV field (PostgREST's form: arrays and composites as their JSON, strings bare, quoted where RFC 4180
 * wants it; an empty string is "" so that null, which is nothing, is another one). */
void value_append_csv(struct buffer *out, const struct type *type, struct text value);
/* Takes the members that are null, and all white space, out of a JSON value, in place: as json_strip_nulls does, in
 * nested objects too, while elements of arrays stay. Returns its size then. */
size_t value_strip_nulls(char *json, size_t size);
/* A timestamp's text as to_json has it, without quotes: "2024-02-29 12:00:00.5+00" is "2024-02-29T12:00:00.5+00:00",
 * "0044-03-15 12:00:00+00 BC" is "0044-03-15T12:00:00+00:00 BC". */
void value_append_timestamp(struct buffer *out, struct text value);
/* A CSV field that is not null, quoted where it must be; looks at eight bytes at once. */
void value_append_field(struct buffer *out, struct text value);

#endif
