/* A column: the first byte says how it is read, the rest is its values, one a line; a line that begins with " is a
 * quoted field. What is inferred must be what every value can be written as, in COPY's text, one field each; and no
 * told type may break anything. */
#include <stdlib.h>

#include "upload/infer.h"

static struct field field_of(struct text line, bool strings)
{
    if (strings)
        return (struct field){FIELD_STRING, line};
    if (line.size != 0 && line.data[0] == '"')
        return (struct field){FIELD_QUOTED, text_of(line.data + 1, line.size - 1)};
    return (struct field){FIELD_PLAIN, line};
}

static void write_column(struct text values, bool strings, const struct infer_result *type, bool must)
{
    struct buffer out;
    const char *reason = NULL;
    while (values.data != NULL) {
        struct field field = field_of(text_split(&values, '\n'), strings);
        buffer_init(&out, (size_t)1 << 24);
        enum status status = infer_append_copy(&out, type, &field, &reason);
        if (status != STATUS_OK && (must || status != STATUS_INVALID || out.size != 0 || reason == NULL))
            abort();
        for (size_t i = 0; i < out.size; i++)
            if (out.data[i] == '\t' || out.data[i] == '\n' || out.data[i] == '\r' ||
                (out.data[i] == '\\' && i++ >= out.size - 1))
                abort();
        buffer_free(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || memchr(data, '\0', size) != NULL)
        return 0;
    bool strings = (data[0] & 16) != 0;
    const struct infer_options options = {(data[0] & 1) != 0, (data[0] >> 1 & 3) - 1};
    struct text values = text_of((const char *)data + 1, size - 1), rest = values;
    struct infer_column column;
    struct infer_result result;
    infer_begin(&column);
    while (rest.data != NULL) {
        struct field field = field_of(text_split(&rest, '\n'), strings);
        infer_add(&column, &options, &field);
    }
    infer_end(&column, &options, &result);
    write_column(values, strings, &result, true);
    for (int type = INFER_BOOLEAN; type <= INFER_TEXT; type++) {
        struct infer_result told = {type, result.date_order, result.decimal_comma};
        write_column(values, strings, &told, false);
    }
    return 0;
}
