#include "upload/table_private.h"

#include <stdio.h>

#define DEPTH_MAX 64 /* of objects and arrays within each other, the row's own object included */

static bool wrong(struct json_object *object, const char *what)
{
    snprintf(object->reason, object->reason_size, "%s at byte %zu", what, (size_t)(object->at - object->begin) + 1);
    return false;
}

static void skip_space(struct json_object *object)
{
    while (object->at < object->end && json_is_space(*object->at))
        object->at++;
}

static bool take(struct json_object *object, char byte)
{
    if (object->at == object->end || *object->at != byte)
        return false;
    object->at++;
    return true;
}

static bool read_four_hex(struct json_object *object, unsigned *unit)
{
    *unit = 0;
    if (object->end - object->at < 4)
        return wrong(object, "is not JSON: \\u without four hexadecimal digits");
    for (unsigned i = 0; i < 4; i++) {
        char digit = object->at[i], low = (char)(digit | 0x20);
        if (digit >= '0' && digit <= '9')
            *unit = *unit * 16 + (unsigned)(digit - '0');
        else if (low >= 'a' && low <= 'f')
            *unit = *unit * 16 + (unsigned)(low - 'a' + 10);
        else
            return wrong(object, "is not JSON: \\u without four hexadecimal digits");
    }
    object->at += 4;
    return true;
}

/* Behind \u. PostgreSQL has no NUL in its text, and half a surrogate pair is no character. */
static bool read_unicode(struct json_object *object, char *out, size_t *size)
{
    unsigned code, second;
    if (!read_four_hex(object, &code))
        return false;
    if (code == 0)
        return wrong(object, "holds \\u0000, which PostgreSQL cannot keep,");
    if (code >= 0xDC00 && code <= 0xDFFF)
        return wrong(object, "holds half a surrogate pair (\\uDC00 to \\uDFFF)");
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (!take(object, '\\') || !take(object, 'u'))
            return wrong(object, "holds half a surrogate pair (\\uD800 to \\uDBFF)");
        if (!read_four_hex(object, &second))
            return false;
        if (second < 0xDC00 || second > 0xDFFF)
            return wrong(object, "holds half a surrogate pair (\\uD800 to \\uDBFF)");
        code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
    }
    *size = text_utf8_write(code, out);
    return true;
}

/* Behind a backslash: the character it stands for. */
static bool read_escape(struct json_object *object, char out[4], size_t *size)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (take(object, 'u'))
        return read_unicode(object, out, size);
    const char *found = object->at < object->end ? memchr(from, *object->at, sizeof(from) - 1) : NULL;
    if (found == NULL)
        return wrong(object, "is not JSON: an unknown escape");
    object->at++;
    out[0] = to[found - from];
    *size = 1;
    return true;
}

/* Up to a quote, backslash or control character. False: the object ends before. */
static bool skip_plain(struct json_object *object)
{
    for (; object->at < object->end; object->at++) {
        unsigned char byte = (unsigned char)*object->at;
        if (byte == '"' || byte == '\\')
            return true;
        if (byte < 0x20)
            return wrong(object, "is not JSON: a control character within a string must be escaped;");
    }
    return wrong(object, "is not JSON: a string without its closing quote");
}

/* Behind the opening quote; past the closing one. A slice of the object where nothing is escaped. */
static bool read_string(struct json_object *object, struct text *text)
{
    const char *run = object->at;
    if (!skip_plain(object))
        return false;
    if (*object->at == '"') {
        *text = text_of(run, (size_t)(object->at++ - run));
        return true;
    }
    size_t start = object->out->size;
    while (*object->at == '\\') {
        char character[4];
        size_t size;
        buffer_append(object->out, run, (size_t)(object->at++ - run));
        if (!read_escape(object, character, &size))
            return false;
        buffer_append(object->out, character, size);
        run = object->at;
        if (!skip_plain(object))
            return false;
    }
    buffer_append(object->out, run, (size_t)(object->at++ - run));
    *text = text_of(object->out->data + start, object->out->size - start);
    return true;
}

/* The same, copied with its quotes and escapes. */
static bool copy_string(struct json_object *object)
{
    const char *start = object->at - 1;
    for (;;) {
        char character[4];
        size_t size;
        if (!skip_plain(object))
            return false;
        if (*object->at++ == '"')
            break;
        if (!read_escape(object, character, &size))
            return false;
    }
    buffer_append(object->out, start, (size_t)(object->at - start));
    return true;
}

static size_t skip_digits(struct json_object *object)
{
    const char *start = object->at;
    while (object->at < object->end && *object->at >= '0' && *object->at <= '9')
        object->at++;
    return (size_t)(object->at - start);
}

struct number {
    struct text text;
    size_t whole, fraction; /* digits */
    int64_t exponent;       /* within ±10^9 */
};

static bool read_number(struct json_object *object, struct number *number)
{
    const char *start = object->at;
    *number = (struct number){0};
    take(object, '-');
    if (take(object, '0'))
        number->whole = 1;
    else if ((number->whole = skip_digits(object)) == 0)
        return wrong(object, "is not JSON: a value is expected");
    if (take(object, '.') && (number->fraction = skip_digits(object)) == 0)
        return wrong(object, "is not JSON: a digit is expected");
    if (take(object, 'e') || take(object, 'E')) {
        bool negative = take(object, '-');
        if (!negative)
            take(object, '+');
        const char *digits = object->at;
        if (skip_digits(object) == 0)
            return wrong(object, "is not JSON: a digit is expected");
        for (; digits < object->at; digits++)
            if (number->exponent < 100000000)
                number->exponent = number->exponent * 10 + (*digits - '0');
        number->exponent = negative ? -number->exponent : number->exponent;
    }
    number->text = text_of(start, (size_t)(object->at - start));
    return true;
}

/* jsonb keeps numbers as numeric, with its bounds: one beyond them would fail the whole load at the server. */
static bool copy_number(struct json_object *object)
{
    struct number number;
    if (!read_number(object, &number))
        return false;
    if ((int64_t)number.whole + number.exponent > 131072 || (int64_t)number.fraction - number.exponent > 16383)
        return wrong(object,
                     "holds a number beyond PostgreSQL's numeric (131072 digits before the point, 16383 behind)");
    buffer_append_text(object->out, number.text);
    return true;
}

static bool read_literal(struct json_object *object, struct text literal)
{
    if (!text_starts_with(text_of(object->at, (size_t)(object->end - object->at)), literal))
        return wrong(object, "is not JSON: a value is expected");
    object->at += literal.size;
    return true;
}

static bool copy_literal(struct json_object *object, struct text literal)
{
    buffer_append_text(object->out, literal);
    return read_literal(object, literal);
}

static bool copy_value(struct json_object *object, unsigned depth);

/* Behind the opening bracket: elements, or members with their names. */
static bool copy_elements(struct json_object *object, bool members, unsigned depth)
{
    const char close = members ? '}' : ']';
    if (depth > DEPTH_MAX)
        return wrong(object, "is nested deeper than 64 levels");
    buffer_append_char(object->out, members ? '{' : '[');
    skip_space(object);
    for (bool first = true; !take(object, close); first = false) {
        if (!first && !take(object, ','))
            return wrong(object, members ? "is not JSON: , or } is expected" : "is not JSON: , or ] is expected");
        if (!first)
            buffer_append_char(object->out, ',');
        skip_space(object);
        if (members) {
            if (!take(object, '"'))
                return wrong(object, "is not JSON: a member's name in quotes is expected");
            if (!copy_string(object))
                return false;
            skip_space(object);
            if (!take(object, ':'))
                return wrong(object, "is not JSON: : is expected");
            buffer_append_char(object->out, ':');
            skip_space(object);
        }
        if (!copy_value(object, depth))
            return false;
        skip_space(object);
    }
    buffer_append_char(object->out, close);
    return true;
}

/* `depth` of what holds the value. Goes DEPTH_MAX calls deep at most. */
static bool copy_value(struct json_object *object, unsigned depth)
{
    switch (object->at < object->end ? *object->at : 0) {
    case '{':
    case '[':
        return copy_elements(object, *object->at++ == '{', depth + 1);
    case '"':
        object->at++;
        return copy_string(object);
    case 't':
        return copy_literal(object, TEXT("true"));
    case 'f':
        return copy_literal(object, TEXT("false"));
    case 'n':
        return copy_literal(object, TEXT("null"));
    default:
        return copy_number(object);
    }
}

static bool read_simple(struct json_object *object, struct field *value, enum field_kind kind, struct text literal)
{
    *value = (struct field){kind, kind == FIELD_NULL ? TEXT("") : literal};
    return read_literal(object, literal);
}

static bool read_value(struct json_object *object, struct field *value)
{
    struct number number;
    size_t start = object->out->size;
    switch (object->at < object->end ? *object->at : 0) {
    case '{':
    case '[':
        value->kind = FIELD_JSON;
        if (!copy_value(object, 1))
            return false;
        value->text = text_of(object->out->data + start, object->out->size - start);
        return true;
    case '"':
        object->at++;
        value->kind = FIELD_STRING;
        return read_string(object, &value->text);
    case 't':
        return read_simple(object, value, FIELD_BOOLEAN, TEXT("true"));
    case 'f':
        return read_simple(object, value, FIELD_BOOLEAN, TEXT("false"));
    case 'n':
        return read_simple(object, value, FIELD_NULL, TEXT("null"));
    default:
        if (!read_number(object, &number))
            return false;
        *value = (struct field){FIELD_NUMBER, number.text};
        return true;
    }
}

bool json_object_begin(struct json_object *object, struct text text, struct buffer *out, char *reason,
                       size_t reason_size)
{
    *object = (struct json_object){.begin = text.data,
                                   .at = text.data,
                                   .end = text.data + text.size,
                                   .out = out,
                                   .reason = reason,
                                   .reason_size = reason_size};
    buffer_clear(out);
    /* Neither unescaping nor taking white space away makes anything longer. */
    return buffer_reserve(out, text.size + 1) != NULL;
}

static enum json_step finish(struct json_object *object)
{
    skip_space(object);
    if (object->at == object->end)
        return JSON_END;
    wrong(object, "has something behind its end");
    return JSON_WRONG;
}

enum json_step json_object_next(struct json_object *object, struct json_member *member)
{
    bool first = !object->started;
    skip_space(object);
    if (first && !take(object, '{')) {
        wrong(object, "is not a JSON object: { is expected");
        return JSON_WRONG;
    }
    object->started = true;
    skip_space(object);
    if (take(object, '}'))
        return finish(object);
    if (!first && !take(object, ',')) {
        wrong(object, "is not JSON: , or } is expected");
        return JSON_WRONG;
    }
    skip_space(object);
    if (!take(object, '"')) {
        wrong(object, "is not JSON: a member's name in quotes is expected");
        return JSON_WRONG;
    }
    if (!read_string(object, &member->name))
        return JSON_WRONG;
    skip_space(object);
    if (!take(object, ':')) {
        wrong(object, "is not JSON: : is expected");
        return JSON_WRONG;
    }
    skip_space(object);
    return read_value(object, &member->value) ? JSON_MEMBER : JSON_WRONG;
}
