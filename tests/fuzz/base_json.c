/* Any bytes as a JSON string and a CSV field. The string is UTF-8 without raw control characters, and means the bytes
 * again where they were valid UTF-8. */
#include "base/json.h"

#include <stdlib.h>

#include "base/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One character of the string at *at; the escapes that the writer knows, nothing else. */
static char unescape(const char **at)
{
    static const char names[] = "\"\\nrtbf", meant[] = "\"\\\n\r\t\b\f";
    const char *name = strchr(names, (*at)[1]);
    if ((*at)[1] == '\0' || ((*at)[1] != 'u' && name == NULL))
        abort();
    if (name != NULL) {
        *at += 2;
        return meant[name - names];
    }
    char hex[5] = {(*at)[2], (*at)[3], (*at)[4], (*at)[5], '\0'};
    unsigned long value = strtoul(hex, NULL, 16);
    if (strspn(hex, "0123456789abcdef") != 4 || value >= 0x20)
        abort();
    *at += 6;
    return (char)value;
}

static void check_string(struct text text, struct buffer *json)
{
    struct buffer plain;
    buffer_init(&plain, json->size + 1);
    const char *at = buffer_c_string(json), *end = at + json->size;
    if (*at++ != '"' || *--end != '"' || !text_is_utf8(buffer_text(json)))
        abort();
    while (at < end) {
        if ((unsigned char)*at < 0x20 || *at == '"')
            abort();
        if (*at == '\\')
            buffer_append_char(&plain, unescape(&at));
        else
            buffer_append_char(&plain, *at++);
    }
    if (at != end || (text_is_utf8(text) && !text_equal(text, buffer_text(&plain))))
        abort();
    buffer_free(&plain);
}

static void check_csv(struct text text)
{
    struct buffer field, plain;
    buffer_init(&field, text.size * 2 + 3);
    buffer_init(&plain, text.size * 2 + 3);
    csv_append_field(&field, text);
    bool quoted = field.data[0] == '"';
    for (size_t i = quoted; i < field.size - quoted; i++) {
        if (!quoted && strchr(",\"\r\n", field.data[i]) != NULL && field.data[i] != '\0')
            abort();
        if (field.data[i] == '"' && field.data[++i] != '"')
            abort();
        buffer_append_char(&plain, field.data[i]);
    }
    if (!text_equal(text, buffer_text(&plain)))
        abort();
    buffer_free(&field);
    buffer_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = text_of((const char *)data, size);
    struct buffer json, small;
    buffer_init(&json, size * 6 + 3);
    json_append_string(&json, text);
    check_string(text, &json);
    /* Cut anywhere by a ceiling, it fails and stays below. */
    buffer_init(&small, json.size / 2 + 1);
    json_append_string(&small, text);
    if (small.size > small.ceiling || small.failed != (json.size > small.ceiling))
        abort();
    buffer_free(&small);
    buffer_free(&json);
    check_csv(text_of(data != NULL ? (const char *)data : "", size));
    return 0;
}
