#include "drivers/postgres_session.h"

/* `quote` at both ends, and doubled within. A NUL cannot stand in SQL: it fails the buffer. */
static void append_quoted(struct buffer *buffer, struct text text, char quote)
{
    if (text.size != 0 && memchr(text.data, '\0', text.size) != NULL) {
        buffer->failed = true;
        return;
    }
    buffer_append_char(buffer, quote);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == quote)
            buffer_append_char(buffer, quote);
        buffer_append_char(buffer, text.data[i]);
    }
    buffer_append_char(buffer, quote);
}

void postgres_append_identifier(struct buffer *buffer, struct text name)
{
    append_quoted(buffer, name, '"');
}

void postgres_append_literal(struct buffer *buffer, struct text value)
{
    /* With a backslash in it, E'…' means the same whatever standard_conforming_strings says. */
    if (value.size == 0 || memchr(value.data, '\\', value.size) == NULL) {
        append_quoted(buffer, value, '\'');
        return;
    }
    buffer_append_literal(buffer, " E'");
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] == '\'' || value.data[i] == '\\')
            buffer_append_char(buffer, value.data[i]);
        if (value.data[i] == '\0')
            buffer->failed = true;
        buffer_append_char(buffer, value.data[i]);
    }
    buffer_append_char(buffer, '\'');
}
