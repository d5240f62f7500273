/* Columns with their JSON paths, and casts. */
#include "query/dialect_private.h"

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Only a well-formed number is an index: behind its digits the step must end, `12ab` is a key. */
static bool read_index(struct dialect_parser *parser, struct dialect_step *step)
{
    size_t start = dialect_past_space(parser, parser->at);
    size_t at = start + (dialect_peek(parser, start) == '-');
    size_t digits = at;
    while (is_digit(dialect_peek(parser, at)))
        at++;
    size_t end = dialect_past_space(parser, at);
    char next = dialect_peek(parser, end);
    bool arrow = next == '-' && dialect_peek(parser, end + 1) == '>';
    if (at == digits || !(arrow || next == '\0' || strchr(":.,", next) != NULL))
        return false;
    step->key = text_of(parser->input.data + start, at - start);
    step->is_index = true;
    parser->at = end;
    return true;
}

static bool read_step(struct dialect_parser *parser, struct dialect_step *step)
{
    size_t start = parser->at;
    *step = (struct dialect_step){.as_text = dialect_looking_at(parser, TEXT("->>"))};
    parser->at += step->as_text ? 3 : 2;
    if (!read_index(parser, step))
        return dialect_read_name(parser, "a JSON key or index", &step->key);
    int64_t index;
    if (!text_to_int64(step->key, &index) || index < INT32_MIN || index > INT32_MAX)
        return dialect_wrong(parser, start, "an index lies within 32 bits; a key of digits goes in \"\"",
                             "the index `%s` is out of range", dialect_show(step->key).text);
    return true;
}

static bool read_steps(struct dialect_parser *parser, struct dialect_field *field)
{
    struct dialect_step steps[DIALECT_MAX_STEPS];
    size_t count = 0;
    for (; dialect_looking_at(parser, TEXT("->")); count++) {
        if (count == DIALECT_MAX_STEPS)
            return dialect_too_many(parser, parser->at, "steps in a JSON path", DIALECT_MAX_STEPS);
        if (!read_step(parser, &steps[count]))
            return false;
    }
    field->step_count = count;
    if (count == 0)
        return true;
    struct dialect_step *kept = arena_alloc(parser->arena, count * sizeof(*kept));
    if (kept == NULL)
        return dialect_no_memory(parser);
    memcpy(kept, steps, count * sizeof(*kept));
    field->steps = kept;
    return true;
}

bool dialect_read_field(struct dialect_parser *parser, struct dialect_field *field)
{
    dialect_skip_space(parser);
    size_t start = parser->at;
    *field = (struct dialect_field){.place = dialect_place_at(parser, start)};
    if (!dialect_read_name(parser, "a column", &field->column))
        return false;
    if (field->column.size == 0)
        return dialect_wrong(parser, start, "no column has an empty name", "an empty name stands");
    return read_steps(parser, field);
}

bool dialect_read_cast(struct dialect_parser *parser, struct text *cast)
{
    size_t start = parser->at += 2;
    for (bool more = true; more;) {
        dialect_read_word(parser);
        more = dialect_peek(parser, parser->at) == ' ';
        parser->at += more;
    }
    *cast = text_trim(dialect_since(parser, start));
    if (cast->size == 0 || dialect_peek(parser, parser->at) == '[' || dialect_peek(parser, parser->at) == '"')
        return dialect_wrong(parser, parser->at, "write a bare type name: ::text, ::int8, ::_int4 (an array of int4)",
                             "a type is expected behind ::, but %s stands", dialect_show_at(parser, parser->at).text);
    return true;
}
