#include "base/json.h"

#include <math.h>

#include "base/decimal.h"

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS (EACH_BYTE * 0x80)

/* Whether one of eight bytes needs more than copying: below 0x20, from 0x80 on, a quote or a backslash. The borrow of a
 * subtraction can only make more bytes look special than are, never fewer. */
static bool is_special_among(uint64_t eight)
{
    uint64_t quote = eight ^ (EACH_BYTE * '"'), backslash = eight ^ (EACH_BYTE * '\\');
    return ((eight | (eight - EACH_BYTE * 0x20) | (quote - EACH_BYTE) | (backslash - EACH_BYTE)) & HIGH_BITS) != 0;
}

static bool is_special(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\' || byte >= 0x80;
}

/* Where the first special byte stands; text.size if there is none. */
static size_t clean_prefix(struct text text)
{
    size_t at = 0;
    for (uint64_t eight; text.size - at >= sizeof(eight); at += sizeof(eight)) {
        memcpy(&eight, text.data + at, sizeof(eight));
        if (is_special_among(eight))
            break;
    }
    while (at < text.size && !is_special((unsigned char)text.data[at]))
        at++;
    return at;
}

static void append_escape(struct buffer *buffer, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    const char *simple = byte == '"'    ? "\\\""
                         : byte == '\\' ? "\\\\"
                         : byte == '\n' ? "\\n"
                         : byte == '\r' ? "\\r"
                         : byte == '\t' ? "\\t"
                         : byte == '\b' ? "\\b"
                         : byte == '\f' ? "\\f"
                                        : NULL;
    if (simple != NULL)
        buffer_append(buffer, simple, 2);
    else
        buffer_append(buffer, escape, 6);
}

/* From the first special byte on: whole runs of what may stand as it is, and between them what may not. */
static void append_special(struct buffer *buffer, struct text text)
{
    size_t run = 0, at = 0;
    while (at < text.size) {
        unsigned char byte = (unsigned char)text.data[at];
        bool valid = false;
        size_t length = 1;
        if (!is_special(byte)) {
            at += clean_prefix(text_of(text.data + at, text.size - at));
            continue;
        }
        if (byte >= 0x80)
            length = text_utf8_sequence(text_of(text.data + at, text.size - at), &valid);
        if (!valid) {
            buffer_append(buffer, text.data + run, at - run);
            if (byte >= 0x80)
                buffer_append_literal(buffer, "\xEF\xBF\xBD");
            else
                append_escape(buffer, byte);
            run = at + length;
        }
        at += length;
    }
    buffer_append(buffer, text.data + run, at - run);
}

void json_append_string(struct buffer *buffer, struct text text)
{
    size_t clean = clean_prefix(text);
    char *room = buffer_reserve(buffer, clean + 2);
    if (room == NULL)
        return;
    room[0] = '"';
    if (clean != 0)
        memcpy(room + 1, text.data, clean);
    buffer->size += clean + 1;
    if (clean < text.size)
        append_special(buffer, text_of(text.data + clean, text.size - clean));
    buffer_append_char(buffer, '"');
}

void json_append_double(struct buffer *buffer, double value)
{
    if (!isfinite(value)) {
        buffer_append_string(buffer, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    char digits[DECIMAL_TEXT_SIZE];
    buffer_append(buffer, digits, decimal_format(value, digits));
}

static void separate(struct json *json)
{
    if (json->comma)
        buffer_append_char(json->buffer, ',');
    json->comma = true;
}

static void open_with(struct json *json, char bracket)
{
    separate(json);
    buffer_append_char(json->buffer, bracket);
    json->comma = false;
}

static void close_with(struct json *json, char bracket)
{
    buffer_append_char(json->buffer, bracket);
    json->comma = true;
}

void json_open_object(struct json *json)
{
    open_with(json, '{');
}

void json_close_object(struct json *json)
{
    close_with(json, '}');
}

void json_open_array(struct json *json)
{
    open_with(json, '[');
}

void json_close_array(struct json *json)
{
    close_with(json, ']');
}

void json_key(struct json *json, struct text key)
{
    separate(json);
    json_append_string(json->buffer, key);
    buffer_append_char(json->buffer, ':');
    json->comma = false;
}

void json_raw(struct json *json, struct text raw)
{
    separate(json);
    buffer_append_text(json->buffer, raw);
}

void json_nothing(struct json *json)
{
    json_raw(json, TEXT("null"));
}

void json_text(struct json *json, struct text text)
{
    if (text.data == NULL) {
        json_nothing(json);
        return;
    }
    separate(json);
    json_append_string(json->buffer, text);
}

void json_c_string(struct json *json, const char *string)
{
    json_text(json, text_from_string(string));
}

void json_int64(struct json *json, int64_t value)
{
    separate(json);
    buffer_append_int64(json->buffer, value);
}

void json_double(struct json *json, double value)
{
    separate(json);
    json_append_double(json->buffer, value);
}

void json_bool(struct json *json, bool value)
{
    json_raw(json, value ? TEXT("true") : TEXT("false"));
}

void json_field_text(struct json *json, const char *key, struct text text)
{
    json_key(json, text_from_string(key));
    json_text(json, text);
}

void json_field_string(struct json *json, const char *key, const char *string)
{
    json_key(json, text_from_string(key));
    json_c_string(json, string);
}

void json_field_int64(struct json *json, const char *key, int64_t value)
{
    json_key(json, text_from_string(key));
    json_int64(json, value);
}

void json_field_double(struct json *json, const char *key, double value)
{
    json_key(json, text_from_string(key));
    json_double(json, value);
}

void json_field_bool(struct json *json, const char *key, bool value)
{
    json_key(json, text_from_string(key));
    json_bool(json, value);
}
