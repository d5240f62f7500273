#include "query/value.h"

#include "base/csv.h"
#include "base/json.h"

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS (EACH_BYTE * 0x80)

/* A text that is read from the front. `scratch` holds the item that was quoted, until the next one is. */
struct reader {
    const char *at, *end;
    struct buffer scratch;
};

struct item {
    struct text text;
    bool quoted; /* then it is no NULL */
};

static bool append(struct buffer *out, const struct type *type, struct text value, unsigned depth);

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* RFC 8259, section 6. */
static bool is_number(struct text value)
{
    const char *at = value.data, *end = at + value.size;
    at += at < end && *at == '-';
    if (at == end || !is_digit(*at) || (*at == '0' && at + 1 < end && is_digit(at[1])))
        return false;
    while (at < end && is_digit(*at))
        at++;
    if (at < end && *at == '.') {
        if (++at == end || !is_digit(*at))
            return false;
        while (at < end && is_digit(*at))
            at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        if (at == end || !is_digit(*at))
            return false;
        while (at < end && is_digit(*at))
            at++;
    }
    return at == end;
}

static bool append_number(struct buffer *out, struct text value)
{
    if (is_number(value)) {
        buffer_append_text(out, value);
        return true;
    }
    json_append_string(out, value);
    return text_equal(value, TEXT("NaN")) || text_equal(value, TEXT("Infinity")) ||
           text_equal(value, TEXT("-Infinity"));
}

static bool append_boolean(struct buffer *out, struct text value)
{
    bool is_true = text_equal(value, TEXT("t"));
    if (!is_true && !text_equal(value, TEXT("f")))
        return false;
    buffer_append_text(out, is_true ? TEXT("true") : TEXT("false"));
    return true;
}

/* Digits, signs and the letters of BC and infinity: nothing to escape. */
static bool is_timestamp(struct text value)
{
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.data[i];
        if (!is_digit(byte) && byte != '-' && byte != ':' && byte != ' ' && byte != '.' && byte != '+' &&
            !(byte >= 'a' && byte <= 'z') && byte != 'B' && byte != 'C')
            return false;
    }
    return value.size != 0;
}

void value_append_timestamp(struct buffer *out, struct text value)
{
    const char *space = memchr(value.data, ' ', value.size);
    if (space == NULL) { /* infinity */
        buffer_append_text(out, value);
        return;
    }
    size_t at = (size_t)(space - value.data), end = value.size;
    if (end > at + 4 && value.data[end - 1] == 'C') /* " BC" */
        end -= 3;
    char *room = buffer_reserve(out, value.size + 3);
    if (room == NULL)
        return;
    memcpy(room, value.data, end);
    room[at] = 'T';
    size_t size = end;
    if (end > at + 4 && (value.data[end - 3] == '+' || value.data[end - 3] == '-')) {
        memcpy(room + size, ":00", 3);
        size += 3;
    }
    memcpy(room + size, value.data + end, value.size - end);
    out->size += size + value.size - end;
}

/* The type json keeps its author's line ends, which can only be white space between tokens. */
static bool append_json(struct buffer *out, struct text value)
{
    size_t start = out->size;
    buffer_append_text(out, value);
    for (size_t i = start; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
    return value.size != 0;
}

/* Reads what stands in quotes, the first of which has been read: a backslash hides the byte behind it, and, in
 * composites, a quote stands twice. */
static bool read_quoted(struct reader *reader, bool doubled, struct item *item)
{
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\')
        reader->at++;
    item->quoted = true;
    if (reader->at == reader->end)
        return false;
    if (*reader->at == '"' && !(doubled && reader->at + 1 < reader->end && reader->at[1] == '"')) {
        item->text = text_of(start, (size_t)(reader->at++ - start));
        return true;
    }
    /* Holds all of what is left: appends that follow have their room. */
    buffer_clear(&reader->scratch);
    if (reader->scratch.ceiling == 0)
        buffer_init(&reader->scratch, (size_t)(reader->end - start));
    buffer_append(&reader->scratch, start, (size_t)(reader->at - start));
    while (reader->at < reader->end) {
        bool twice = doubled && reader->at + 1 < reader->end && reader->at[1] == '"';
        if (*reader->at == '"' && !twice) {
            reader->at++;
            item->text = buffer_text(&reader->scratch);
            if (item->text.data == NULL)
                item->text = TEXT("");
            return !reader->scratch.failed;
        }
        if ((*reader->at == '"' || *reader->at == '\\') && ++reader->at == reader->end)
            return false;
        buffer_append_char(&reader->scratch, *reader->at++);
    }
    return false;
}

/* An item of what `open` and `close` enclose, up to a delimiter or `close`. Only its own kind's brackets must stand in
 * quotes: "{(1,2),(0,0)}" is an array of one box, "({1})" a composite of one array. */
static bool read_item(struct reader *reader, char delimiter, const char *brackets, struct item *item)
{
    item->quoted = false;
    if (reader->at < reader->end && *reader->at == '"') {
        reader->at++;
        return read_quoted(reader, brackets[0] == '(', item);
    }
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at != delimiter && *reader->at != brackets[1]) {
        if (*reader->at == '"' || *reader->at == '\\' || *reader->at == brackets[0])
            return false;
        reader->at++;
    }
    item->text = text_of(start, (size_t)(reader->at - start));
    return reader->at < reader->end;
}

/* From behind its "{" to behind its "}". */
static bool append_dimension(struct buffer *out, const struct type *type, struct reader *reader, unsigned depth)
{
    bool more = reader->at < reader->end && *reader->at != '}';
    if (depth > VALUE_MAX_DEPTH)
        return false;
    buffer_append_char(out, '[');
    while (more) {
        struct item item;
        if (reader->at < reader->end && *reader->at == '{') {
            reader->at++;
            if (!append_dimension(out, type, reader, depth + 1))
                return false;
        } else if (!read_item(reader, type->delimiter, "{}", &item) || (!item.quoted && item.text.size == 0)) {
            return false;
        } else if (!item.quoted && text_equal(item.text, TEXT("NULL"))) {
            buffer_append_literal(out, "null");
        } else if (!append(out, type->element, item.text, depth + 1)) {
            return false;
        }
        more = reader->at < reader->end && *reader->at == type->delimiter;
        if (more) {
            buffer_append_char(out, ',');
            reader->at++;
        }
    }
    buffer_append_char(out, ']');
    return reader->at < reader->end && *reader->at++ == '}';
}

/* "[0:1][2:3]={{1,2},{3,4}}": the bounds are written only where they do not begin with 1. */
static bool append_array(struct buffer *out, const struct type *type, struct text value, unsigned depth)
{
    struct reader reader = {.at = value.data, .end = value.data + value.size};
    if (value.size != 0 && value.data[0] == '[') {
        const char *equals = memchr(value.data, '=', value.size);
        reader.at = equals != NULL ? equals + 1 : reader.end;
    }
    bool right = reader.at < reader.end && *reader.at++ == '{' && append_dimension(out, type, &reader, depth) &&
                 reader.at == reader.end;
    buffer_free(&reader.scratch);
    return right;
}

/* int2vector and oidvector: "1 2 3". */
static bool append_vector(struct buffer *out, const struct type *type, struct text value, unsigned depth)
{
    buffer_append_char(out, '[');
    struct text rest = value.size != 0 ? value : TEXT_NONE;
    for (bool first = true; rest.data != NULL; first = false) {
        struct text item = text_split(&rest, ' ');
        buffer_append(out, ",", !first);
        if (item.size == 0 || !append(out, type->element, item, depth + 1))
            return false;
    }
    buffer_append_char(out, ']');
    return true;
}

/* "(1,,\"a b\")": a field that is empty, without quotes, is null. */
static bool append_fields(struct buffer *out, const struct type *type, struct reader *reader, unsigned depth)
{
    for (size_t i = 0; i < type->field_count; i++) {
        struct item item;
        if (!read_item(reader, ',', "()", &item))
            return false;
        buffer_append(out, ",", i != 0);
        json_append_string(out, type->fields[i].name);
        buffer_append_char(out, ':');
        if (!item.quoted && item.text.size == 0)
            buffer_append_literal(out, "null");
        else if (!append(out, type->fields[i].type, item.text, depth + 1))
            return false;
        if (i + 1 < type->field_count && (reader->at == reader->end || *reader->at++ != ','))
            return false;
    }
    return reader->at < reader->end && *reader->at++ == ')' && reader->at == reader->end;
}

static bool append_composite(struct buffer *out, const struct type *type, struct text value, unsigned depth)
{
    struct reader reader = {.at = value.data, .end = value.data + value.size};
    buffer_append_char(out, '{');
    bool right = reader.at < reader.end && *reader.at++ == '(' && append_fields(out, type, &reader, depth);
    buffer_free(&reader.scratch);
    buffer_append_char(out, '}');
    return right;
}

static bool append_by_kind(struct buffer *out, const struct type *type, struct text value, unsigned depth)
{
    switch (type->kind) {
    case TYPE_NUMBER:
        return append_number(out, value);
    case TYPE_BOOLEAN:
        return append_boolean(out, value);
    case TYPE_TIMESTAMP:
        if (!is_timestamp(value))
            return false;
        buffer_append_char(out, '"');
        value_append_timestamp(out, value);
        buffer_append_char(out, '"');
        return true;
    case TYPE_JSON:
        return append_json(out, value);
    case TYPE_ARRAY:
        return type->is_vector ? append_vector(out, type, value, depth) : append_array(out, type, value, depth);
    case TYPE_COMPOSITE:
        return append_composite(out, type, value, depth);
    case TYPE_STRING:
        break;
    }
    json_append_string(out, value);
    return true;
}

/* Whatever was begun and turned out not to be of its type's form stands there as a string. */
static bool append(struct buffer *out, const struct type *type, struct text value, unsigned depth)
{
    size_t start = out->size;
    if (depth <= VALUE_MAX_DEPTH && append_by_kind(out, type, value, depth))
        return true;
    if (!out->failed)
        out->size = start;
    json_append_string(out, value);
    return depth > VALUE_MAX_DEPTH;
}

bool value_append_json(struct buffer *out, const struct type *type, struct text value)
{
    return append(out, type, value, 0);
}

static size_t string_end(const char *json, size_t size, size_t at)
{
    for (at++; at < size && json[at] != '"'; at++)
        at += json[at] == '\\';
    return at < size ? at + 1 : size;
}

static size_t space_end(const char *json, size_t size, size_t at)
{
    while (at < size && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

/* In one pass without a stack: a string with a colon behind is a key, and whether a comma is one too many shows when
 * what follows it has gone. */
size_t value_strip_nulls(char *json, size_t size)
{
    size_t at = space_end(json, size, 0), end = 0;
    while (at < size) {
        size_t next = json[at] == '"' ? string_end(json, size, at) : at + 1;
        size_t colon = json[at] == '"' ? space_end(json, size, next) : size;
        if (colon < size && json[colon] == ':') {
            size_t value = space_end(json, size, colon + 1);
            if (text_starts_with(text_of(json + value, size - value), TEXT("null"))) {
                at = space_end(json, size, value + 4);
                at = at < size && json[at] == ',' ? space_end(json, size, at + 1) : at;
                continue;
            }
        }
        if (json[at] == '}' && end != 0 && json[end - 1] == ',')
            end--;
        memmove(json + end, json + at, next - at);
        end += next - at;
        at = space_end(json, size, next);
    }
    return end;
}

/* Whether one of eight bytes is `each` of the pattern's bytes. A borrow can only make more look so than are. */
static bool has_byte(uint64_t eight, unsigned char byte)
{
    uint64_t zeroed = eight ^ (EACH_BYTE * byte);
    return ((zeroed - EACH_BYTE) & ~zeroed & HIGH_BITS) != 0;
}

/* Nothing in it asks for quotes; the last bytes are left to csv_append_field's own look, unless there are eight. */
static bool is_plain(struct text value)
{
    uint64_t eight;
    if (value.size < sizeof(eight))
        return false;
    for (size_t at = 0;; at += sizeof(eight)) {
        at = at < value.size - sizeof(eight) ? at : value.size - sizeof(eight);
        memcpy(&eight, value.data + at, sizeof(eight));
        if (has_byte(eight, ',') || has_byte(eight, '"') || has_byte(eight, '\n') || has_byte(eight, '\r'))
            return false;
        if (at == value.size - sizeof(eight))
            return true;
    }
}

void value_append_field(struct buffer *out, struct text value)
{
    if (is_plain(value))
        buffer_append_text(out, value);
    else
        csv_append_field(out, value);
}

void value_append_csv(struct buffer *out, const struct type *type, struct text value)
{
    switch (type->kind) {
    case TYPE_BOOLEAN:
        if (!append_boolean(out, value))
            value_append_field(out, value);
        break;
    case TYPE_TIMESTAMP:
        if (is_timestamp(value))
            value_append_timestamp(out, value);
        else
            value_append_field(out, value);
        break;
    case TYPE_ARRAY:
    case TYPE_COMPOSITE: {
        struct buffer json;
        buffer_init(&json, out->ceiling);
        append(&json, type, value, 0);
        value_append_field(out, buffer_text(&json));
        out->failed |= json.failed;
        buffer_free(&json);
        break;
    }
    case TYPE_STRING:
    case TYPE_NUMBER:
    case TYPE_JSON:
        value_append_field(out, value);
        break;
    }
}
