/* Values and lists, and what quotes do to them. */
#include "query/dialect_private.h"

size_t dialect_quoted_end(const struct dialect_parser *parser, size_t start, bool *escaped)
{
    *escaped = false;
    for (size_t at = start + 1; at < parser->input.size; at++) {
        if (parser->input.data[at] == '"')
            return at + 1;
        if (parser->input.data[at] == '\\') {
            *escaped = true;
            at++;
        }
    }
    return 0;
}

bool dialect_unquote(struct dialect_parser *parser, size_t start, size_t end, bool escaped, struct text *text)
{
    *text = text_of(parser->input.data + start + 1, end - start - 2);
    if (!escaped)
        return true;
    char *copy = arena_alloc(parser->arena, text->size);
    if (copy == NULL)
        return dialect_no_memory(parser);
    size_t size = 0;
    for (size_t i = 0; i < text->size; i++) {
        i += text->data[i] == '\\';
        copy[size++] = text->data[i];
    }
    *text = text_of(copy, size);
    return true;
}

static bool ends_value(char byte)
{
    return byte == ',' || byte == ')' || byte == '\0';
}

/* Where what is quoted at `start` ends, if nothing else follows it; else 0: then its quotes are literal. Each quote
 * that such a value can begin with ends the scan for the one before it, so that all scans together are linear. */
static size_t whole_quoted_end(const struct dialect_parser *parser, size_t start, bool *escaped)
{
    if (dialect_peek(parser, start) != '"')
        return 0;
    size_t end = dialect_quoted_end(parser, start, escaped);
    return end != 0 && ends_value(dialect_peek(parser, dialect_past_space(parser, end))) ? end : 0;
}

static struct text read_bare(struct dialect_parser *parser)
{
    size_t start = parser->at;
    while (!ends_value(dialect_peek(parser, parser->at)))
        parser->at++;
    return dialect_since(parser, start);
}

/* {a,b} within a tree; lists of lists need quotes. */
static bool read_braces(struct dialect_parser *parser, struct text *value)
{
    size_t at = parser->at;
    if (dialect_peek(parser, at) != '{')
        return false;
    do
        at++;
    while (at < parser->input.size && parser->input.data[at] != '{' && parser->input.data[at] != '}');
    if (dialect_peek(parser, at) != '}' || !ends_value(dialect_peek(parser, dialect_past_space(parser, at + 1))))
        return false;
    *value = text_of(parser->input.data + parser->at, at + 1 - parser->at);
    parser->at = at + 1;
    return true;
}

bool dialect_read_value(struct dialect_parser *parser, struct text *value)
{
    bool escaped;
    size_t start = parser->at, end;
    if (!parser->in_tree) {
        parser->at = parser->input.size;
        *value = dialect_since(parser, start);
        return true;
    }
    if ((end = whole_quoted_end(parser, start, &escaped)) != 0) {
        parser->at = end;
        return dialect_unquote(parser, start, end, escaped, value);
    }
    if (!read_braces(parser, value))
        *value = read_bare(parser);
    return true;
}

/* One element, up to the ',' or ')' behind it. Spaces around quotes do not count, elsewhere they do. `value` NULL: it
 * is only passed over. */
static bool read_element(struct dialect_parser *parser, struct text *value)
{
    bool escaped;
    size_t start = dialect_past_space(parser, parser->at);
    size_t end = whole_quoted_end(parser, start, &escaped);
    if (end == 0) {
        struct text bare = read_bare(parser);
        if (value != NULL)
            *value = bare;
        return true;
    }
    parser->at = dialect_past_space(parser, end);
    return value == NULL || dialect_unquote(parser, start, end, escaped, value);
}

/* Twice over the same text: first to count, so that a long list takes no more memory than its elements. */
static bool read_elements(struct dialect_parser *parser, struct text *values, size_t *count)
{
    size_t n = 0;
    for (;; parser->at++) {
        if (!read_element(parser, values != NULL ? &values[n] : NULL))
            return false;
        n++;
        if (dialect_peek(parser, parser->at) != ',')
            break;
    }
    if (dialect_peek(parser, parser->at) != ')')
        return dialect_wrong(parser, parser->at, "write (a,b) and put elements that hold , or ) in \"\"",
                             "the list is not closed");
    parser->at++;
    *count = n;
    return true;
}

bool dialect_read_list(struct dialect_parser *parser, const struct text **values, size_t *count)
{
    *values = NULL;
    *count = 0;
    dialect_skip_space(parser);
    if (dialect_peek(parser, parser->at) != '(')
        return dialect_wrong(parser, parser->at, "write in.(a,b)", "a list is expected, but %s stands",
                             dialect_show_at(parser, parser->at).text);
    parser->at++;
    dialect_skip_space(parser);
    size_t start = parser->at;
    if (dialect_peek(parser, start) == ')') {
        parser->at++;
        return true;
    }
    if (!read_elements(parser, NULL, count))
        return false;
    struct text *room = arena_alloc(parser->arena, *count * sizeof(*room));
    if (room == NULL)
        return dialect_no_memory(parser);
    parser->at = start;
    *values = room;
    return read_elements(parser, room, count);
}

void *dialect_grow(struct dialect_parser *parser, void *items, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return items;
    void *more = arena_alloc(parser->arena, (count != 0 ? 2 * count : 1) * size);
    if (more == NULL)
        dialect_no_memory(parser);
    else if (count != 0)
        memcpy(more, items, count * size);
    return more;
}
