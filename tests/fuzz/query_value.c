/* A value's text of any type, as JSON and as a CSV field. The first byte chooses the type, the rest is the text. But
 * for json itself, whose text is the server's, what comes out must be one well-formed JSON value that holds its
 * brackets, whatever the bytes are; and the field must hold its quotes. */
#include <stdlib.h>

#include "query/value.h"

static struct type list, row, deep;
static struct type_field fields[3];
static const struct type *types[24];
static size_t count;

/* A composite that holds a number, a list of itself and a text; the server knows no such thing, but nothing nests
 * deeper. */
static void make_types(void)
{
    static const uint32_t oids[] = {16,   20,   22,   25,   30,   701,  1000, 1005, 1006, 1007,
                                    1009, 1014, 1020, 1114, 1115, 1184, 1185, 1231, 1700, 3904};
    for (size_t i = 0; i < sizeof(oids) / sizeof(oids[0]); i++)
        types[count++] = type_builtin(oids[i]);
    fields[0] = (struct type_field){TEXT("a\"b"), type_builtin(23)};
    fields[1] = (struct type_field){TEXT("list"), &list};
    fields[2] = (struct type_field){TEXT("c"), type_builtin(25)};
    row = (struct type){.kind = TYPE_COMPOSITE, .fields = fields, .field_count = 3};
    list = (struct type){.kind = TYPE_ARRAY, .element = &row, .delimiter = ','};
    deep = (struct type){.kind = TYPE_ARRAY, .element = &deep, .delimiter = ','};
    types[count++] = &row;
    types[count++] = &list;
    types[count++] = &deep;
}

static size_t skip_string(struct text json, size_t at)
{
    for (at++; at < json.size && json.data[at] != '"'; at++) {
        if ((unsigned char)json.data[at] < 0x20)
            abort();
        at += json.data[at] == '\\';
    }
    if (at >= json.size)
        abort(); /* the string has no end */
    return at + 1;
}

static size_t skip_value(struct text json, size_t at, unsigned depth);

/* Members or elements up to `close`, with one comma between two. */
static size_t skip_many(struct text json, size_t at, char close, unsigned depth)
{
    for (bool first = true; at < json.size && json.data[at] != close; first = false) {
        if (!first && json.data[at++] != ',')
            abort();
        if (close == '}') {
            at = skip_string(json, at);
            if (at >= json.size || json.data[at++] != ':')
                abort();
        }
        at = skip_value(json, at, depth + 1);
    }
    if (at >= json.size)
        abort();
    return at + 1;
}

static size_t skip_value(struct text json, size_t at, unsigned depth)
{
    static const char *const words[] = {"null", "true", "false"};
    if (at >= json.size || depth > 2 * VALUE_MAX_DEPTH)
        abort();
    if (json.data[at] == '"')
        return skip_string(json, at);
    if (json.data[at] == '[' || json.data[at] == '{')
        return skip_many(json, at + 1, json.data[at] == '[' ? ']' : '}', depth);
    for (size_t i = 0; i < 3; i++)
        if (text_starts_with(text_of(json.data + at, json.size - at), text_from_string(words[i])))
            return at + strlen(words[i]);
    size_t end = at;
    while (end < json.size && memchr("+-.eE0123456789", json.data[end], 15) != NULL)
        end++;
    double number;
    if (end == at || (end - at <= 64 && !text_to_double(text_of(json.data + at, end - at), &number) &&
                      memchr(json.data + at, 'e', end - at) == NULL && memchr(json.data + at, 'E', end - at) == NULL))
        abort(); /* no number; one with an exponent may just be too large for a double */
    return end;
}

static void check_field(struct text field)
{
    size_t quotes = 0;
    bool special = field.size == 0;
    for (size_t i = 0; i < field.size; i++) {
        quotes += field.data[i] == '"';
        special |= field.data[i] == ',' || field.data[i] == '\n' || field.data[i] == '\r';
    }
    if (quotes % 2 != 0 || ((special || quotes != 0) && (quotes < 2 || field.data[0] != '"')))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer out;
    if (count == 0)
        make_types();
    if (size == 0)
        return 0;
    const struct type *type = types[data[0] % count];
    struct text value = text_of((const char *)data + 1, size - 1);
    buffer_init(&out, 1 << 20);
    value_append_json(&out, type, value);
    if (!out.failed && (skip_value(buffer_text(&out), 0, 0) != out.size || !text_is_utf8(buffer_text(&out))))
        abort();
    buffer_free(&out);
    buffer_init(&out, 1 << 20);
    value_append_csv(&out, type, value);
    if (!out.failed)
        check_field(buffer_text(&out));
    buffer_free(&out);
    buffer_init(&out, 24); /* a ceiling that is reached fails, and nothing else */
    value_append_json(&out, type, value);
    value_append_csv(&out, type, value);
    buffer_free(&out);
    return 0;
}
