/* Where the parser stands, what it says is wrong, and names. */
#include "query/dialect_private.h"

#include <stdarg.h>
#include <stdio.h>

static bool is_control(char byte)
{
    return (unsigned char)byte < 0x20 || byte == 0x7F;
}

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

void dialect_begin(struct dialect_parser *parser, struct arena *arena, struct dialect_mistake *mistake)
{
    memset(parser, 0, offsetof(struct dialect_parser, pending));
    parser->arena = arena;
    parser->mistake = mistake;
}

struct dialect_shown dialect_show(struct text text)
{
    struct dialect_shown shown;
    size_t size = text.size < 40 ? text.size : 40;
    while (size < text.size && size > 0 && is_continuation(text.data[size]))
        size--;
    for (size_t i = 0; i < size; i++)
        shown.text[i] = is_control(text.data[i]) ? '?' : text.data[i];
    memcpy(shown.text + size, size < text.size ? "…" : "", size < text.size ? sizeof("…") : 1);
    return shown;
}

struct dialect_shown dialect_show_at(const struct dialect_parser *parser, size_t at)
{
    struct dialect_shown shown = {"the end"};
    bool valid;
    if (at < parser->input.size) {
        struct text rest = text_of(parser->input.data + at, parser->input.size - at);
        rest.size = text_utf8_sequence(rest, &valid);
        snprintf(shown.text, sizeof(shown.text), "`%s`", dialect_show(rest).text);
    }
    return shown;
}

/* Columns are asked for in nearly rising order: counts on from the last one asked for, back or forth. */
static unsigned column_of(struct dialect_parser *parser, size_t at)
{
    for (; parser->counted < at; parser->counted++)
        parser->column += !is_continuation(parser->input.data[parser->counted]);
    for (; parser->counted > at; parser->counted--)
        parser->column -= !is_continuation(parser->input.data[parser->counted - 1]);
    return parser->column;
}

bool dialect_wrong(struct dialect_parser *parser, size_t at, const char *remedy, const char *what, ...)
{
    struct dialect_mistake *mistake = parser->mistake;
    char text[256];
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(text, sizeof(text), what, arguments);
    va_end(arguments);
    unsigned column = column_of(parser, at);
    *mistake = (struct dialect_mistake){.parameter = parser->parameter, .column = parser->in_name ? 0 : column};
    snprintf(mistake->message, sizeof(mistake->message), "%s at column %u%s; %s", text, column,
             parser->in_name ? " of the parameter's name" : "", remedy);
    parser->status = STATUS_INVALID;
    return false;
}

bool dialect_too_many(struct dialect_parser *parser, size_t at, const char *what, size_t bound)
{
    char remedy[96];
    snprintf(remedy, sizeof(remedy), "at most %zu are taken: ask for less, or in several requests", bound);
    dialect_wrong(parser, at, remedy, "too many %s", what);
    parser->mistake->too_many = true;
    return false;
}

bool dialect_no_memory(struct dialect_parser *parser)
{
    parser->status = STATUS_TOO_LARGE;
    return false;
}

void dialect_start(struct dialect_parser *parser, struct text input, bool in_name)
{
    parser->input = input.data != NULL ? input : TEXT("");
    parser->in_name = in_name;
    parser->in_tree = false;
    parser->at = parser->counted = 0;
    parser->column = 1;
}

struct dialect_place dialect_place_at(struct dialect_parser *parser, size_t at)
{
    return (struct dialect_place){parser->parameter, parser->in_name ? 0 : column_of(parser, at)};
}

char dialect_peek(const struct dialect_parser *parser, size_t at)
{
    return at < parser->input.size ? parser->input.data[at] : '\0';
}

bool dialect_looking_at(const struct dialect_parser *parser, struct text text)
{
    return text_starts_with(text_of(parser->input.data + parser->at, parser->input.size - parser->at), text);
}

size_t dialect_past_space(const struct dialect_parser *parser, size_t at)
{
    char byte;
    while ((byte = dialect_peek(parser, at)) == ' ' || byte == '\t' || byte == '\n' || byte == '\r')
        at++;
    return at;
}

void dialect_skip_space(struct dialect_parser *parser)
{
    parser->at = dialect_past_space(parser, parser->at);
}

struct text dialect_since(const struct dialect_parser *parser, size_t start)
{
    return text_of(parser->input.data + start, parser->at - start);
}

static bool is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_' || byte == '$' || (unsigned char)byte >= 0x80;
}

struct text dialect_read_word(struct dialect_parser *parser)
{
    size_t start = parser->at;
    while (is_word(dialect_peek(parser, parser->at)))
        parser->at++;
    return dialect_since(parser, start);
}

/* Words with spaces between, and with '-' that is no arrow. */
static struct text read_bare_name(struct dialect_parser *parser)
{
    size_t start = parser->at;
    for (char byte; (byte = dialect_peek(parser, parser->at)) != '\0'; parser->at++)
        if (!is_word(byte) && byte != ' ' &&
            (byte != '-' || parser->at == start || dialect_peek(parser, parser->at + 1) == '>'))
            break;
    return text_trim(dialect_since(parser, start));
}

bool dialect_read_name(struct dialect_parser *parser, const char *what, struct text *name)
{
    dialect_skip_space(parser);
    size_t start = parser->at;
    if (dialect_peek(parser, start) == '"') {
        bool escaped;
        size_t end = dialect_quoted_end(parser, start, &escaped);
        if (end == 0)
            return dialect_wrong(parser, start, "end it with a \" (within it, \\\" stands for a quote)",
                                 "the quoted name that begins");
        parser->at = end;
        if (!dialect_unquote(parser, start, end, escaped, name))
            return false;
        dialect_skip_space(parser);
        return true;
    }
    *name = read_bare_name(parser);
    if (name->size == 0)
        return dialect_wrong(parser, parser->at,
                             "names that hold other characters than letters, digits, _, $, - and spaces go in \"\"",
                             "%s is expected, but %s stands", what, dialect_show_at(parser, parser->at).text);
    dialect_skip_space(parser);
    return true;
}
