/* Writes JSON (RFC 8259) into a buffer. The writer sets commas; failures stick in the buffer. */
#ifndef SLUICE_BASE_JSON_H
#define SLUICE_BASE_JSON_H

#include "base/buffer.h"

/* Names that jansson has already (json_string, json_null) are left to it. */

/* A quoted string: escapes '"', '\\' and control characters; each maximal invalid UTF-8 part becomes U+FFFD. */
void json_append_string(struct buffer *buffer, struct text text);
/* The shortest decimal that reads back as the same double (17 digits at most); NaN and infinities as strings, as
 * PostgreSQL's to_json prints them. */
void json_append_double(struct buffer *buffer, double value);

struct json {
    struct buffer *buffer; /* borrowed */
    bool comma;            /* a comma is due before the next key or element */
};

static inline struct json json_writer(struct buffer *buffer)
{
    return (struct json){buffer, false};
}

void json_open_object(struct json *json);
void json_close_object(struct json *json);
void json_open_array(struct json *json);
void json_close_array(struct json *json);
void json_key(struct json *json, struct text key);
void json_text(struct json *json, struct text text); /* text.data == NULL writes null */
void json_c_string(struct json *json, const char *string);
void json_int64(struct json *json, int64_t value);
void json_double(struct json *json, double value);
void json_bool(struct json *json, bool value);
void json_nothing(struct json *json);
/* `raw` is JSON already. */
void json_raw(struct json *json, struct text raw);

/* key + value in one call, for literals: json_field_text(&json, "name", text). */
void json_field_text(struct json *json, const char *key, struct text text);
void json_field_string(struct json *json, const char *key, const char *string);
void json_field_int64(struct json *json, const char *key, int64_t value);
void json_field_double(struct json *json, const char *key, double value);
void json_field_bool(struct json *json, const char *key, bool value);

#endif
