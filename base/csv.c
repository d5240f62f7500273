#include "base/csv.h"

static bool needs_quotes(struct text text)
{
    if (text.size == 0)
        return true;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == ',' || text.data[i] == '"' || text.data[i] == '\n' || text.data[i] == '\r')
            return true;
    return false;
}

void csv_append_field(struct buffer *buffer, struct text text)
{
    if (text.data == NULL)
        return;
    if (!needs_quotes(text)) {
        buffer_append_text(buffer, text);
        return;
    }
    buffer_append_char(buffer, '"');
    while (text.data != NULL) {
        struct text part = text_split(&text, '"');
        buffer_append_text(buffer, part);
        if (text.data != NULL)
            buffer_append_literal(buffer, "\"\"");
    }
    buffer_append_char(buffer, '"');
}
