/* The query string's parameters: which is what, and which of several counts. */
#include "query/dialect_private.h"

#include "base/encoding.h"

/* What stands before the byte at which decoding fails: all that can be decoded. */
static size_t decodable(struct text raw)
{
    size_t at = 0, ignored;
    char byte;
    while (at < raw.size) {
        size_t step = raw.data[at] == '%' && raw.size - at >= 3 ? 3 : 1;
        if (!encoding_percent_decode(text_of(raw.data + at, step), true, &byte, &ignored))
            break;
        at += step;
    }
    return at;
}

/* Up to the first ill-formed sequence. */
static size_t well_formed(struct text text)
{
    size_t at = 0;
    for (bool valid = true; at < text.size;) {
        size_t step = text_utf8_sequence(text_of(text.data + at, text.size - at), &valid);
        if (!valid)
            break;
        at += step;
    }
    return at;
}

/* The part that is in order becomes the input, so that the mistake has its column there. */
static bool decode(struct dialect_parser *parser, struct text raw, bool is_name, struct text *decoded)
{
    char *out = arena_alloc(parser->arena, raw.size);
    size_t size = 0;
    if (out == NULL)
        return dialect_no_memory(parser);
    bool escapes = encoding_percent_decode(raw, true, out, &size);
    if (!escapes && !encoding_percent_decode(text_of(raw.data, decodable(raw)), true, out, &size))
        size = 0;
    *decoded = text_of(out, size);
    bool formed = text_is_utf8(*decoded);
    if (escapes && formed)
        return true;
    if (!formed)
        decoded->size = well_formed(*decoded);
    if (is_name)
        parser->parameter = *decoded;
    dialect_start(parser, *decoded, is_name);
    return dialect_wrong(parser, decoded->size,
                         formed ? "write % as %25, other bytes as % and two hexadecimal digits, and never %00"
                                : "send text as UTF-8, percent-encoded",
                         formed ? "an ill-formed percent-escape or a NUL" : "bytes that are not UTF-8");
}

bool dialect_next_pair(struct dialect_parser *parser, struct text *raw, struct dialect_pair *pair)
{
    struct text part = TEXT_NONE;
    while (raw->data != NULL && part.size == 0)
        part = text_split(raw, '&');
    if (part.size == 0)
        return false;
    struct text value = part, name = text_split(&value, '=');
    *pair = (struct dialect_pair){TEXT_NONE, TEXT_NONE};
    if (!decode(parser, name, true, &pair->name))
        return false;
    parser->parameter = pair->name;
    return value.data == NULL || decode(parser, value, false, &pair->value);
}

enum parameter { SELECT, ORDER, LIMIT, OFFSET, CURSOR, FORMAT, AND, OR, NOT_AND, NOT_OR, IGNORED, COLUMN };

static enum parameter parameter_of(struct text name)
{
    static const struct {
        struct text name;
        enum parameter parameter;
    } reserved[] = {{{"select", 6}, SELECT}, {{"order", 5}, ORDER},     {{"limit", 5}, LIMIT},
                    {{"offset", 6}, OFFSET}, {{"cursor", 6}, CURSOR},   {{"format", 6}, FORMAT},
                    {{"and", 3}, AND},       {{"or", 2}, OR},           {{"not.and", 7}, NOT_AND},
                    {{"not.or", 6}, NOT_OR}, {{"columns", 7}, IGNORED}, {{"on_conflict", 11}, IGNORED}};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (text_equal(name, reserved[i].name))
            return reserved[i].parameter;
    return COLUMN;
}

/* False where it is no whole number. What does not fit becomes the nearest that does. */
static bool read_number(struct text text, int64_t *number)
{
    text = text_trim(text);
    size_t sign = text.size != 0 && text.data[0] == '-' ? 1 : 0;
    for (size_t i = sign; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    if (text.size == sign)
        return false;
    if (!text_to_int64(text, number))
        *number = sign != 0 ? INT64_MIN : INT64_MAX;
    return true;
}

static bool read_column(struct dialect_parser *parser, const struct dialect_pair *pair)
{
    struct dialect_field field;
    dialect_start(parser, pair->name, true);
    if (!dialect_read_field(parser, &field))
        return false;
    if (dialect_peek(parser, parser->at) == '.')
        return dialect_wrong(parser, parser->at, "filter this dataset's own columns; names that hold a dot go in \"\"",
                             "embedding of other relations is not offered; a dot stands");
    if (parser->at != parser->input.size)
        return dialect_wrong(parser, parser->at,
                             "names that hold other characters than letters, digits, _, $, - and spaces go in \"\"",
                             "unexpected %s", dialect_show_at(parser, parser->at).text);
    if (pair->value.data == NULL)
        return dialect_wrong(parser, parser->at, "write column=eq.value, column=is.null", "`=` is missing");
    dialect_start(parser, pair->value, false);
    return dialect_read_filter(parser, &field);
}

struct reading {
    struct dialect_query query;
    bool has_select, has_order; /* the first one counts */
    struct dialect_parser parser;
};

static void read_limit(struct dialect_query *query, struct text value)
{
    int64_t number;
    if (!read_number(value, &number))
        return;
    query->has_limit = true;
    query->negative_limit = number < 0;
    query->limit = number < 0 ? 0 : (uint64_t)number;
}

static void read_offset(struct dialect_query *query, struct text value)
{
    int64_t number;
    if (read_number(value, &number))
        query->offset = number < 0 ? 0 : (uint64_t)number;
}

static bool read_first(struct reading *reading, bool *seen,
                       bool (*read)(struct dialect_parser *parser, struct dialect_query *query))
{
    if (*seen)
        return true;
    *seen = true;
    return read(&reading->parser, &reading->query);
}

static bool read_pair(struct reading *reading, const struct dialect_pair *pair)
{
    struct dialect_parser *parser = &reading->parser;
    enum parameter parameter = parameter_of(pair->name);
    dialect_start(parser, pair->value, false);
    switch (parameter) {
    case SELECT:
        return read_first(reading, &reading->has_select, dialect_read_selects);
    case ORDER:
        return read_first(reading, &reading->has_order, dialect_read_orders);
    case LIMIT:
        read_limit(&reading->query, pair->value);
        return true;
    case OFFSET:
        read_offset(&reading->query, pair->value);
        return true;
    case CURSOR:
        reading->query.cursor = parser->input;
        return true;
    case FORMAT:
        reading->query.format = parser->input;
        return true;
    case AND:
    case NOT_AND:
        return dialect_read_tree(parser, DIALECT_AND, parameter == NOT_AND);
    case OR:
    case NOT_OR:
        return dialect_read_tree(parser, DIALECT_OR, parameter == NOT_OR);
    case IGNORED:
        return true;
    case COLUMN:
        break;
    }
    return read_column(parser, pair);
}

static void finish(struct reading *reading, const struct dialect_query **query)
{
    struct dialect_parser *parser = &reading->parser;
    size_t size = parser->pending_count * sizeof(parser->pending[0]);
    struct dialect_query *kept = arena_alloc(parser->arena, sizeof(*kept));
    const struct dialect_condition **conditions = arena_alloc(parser->arena, size);
    if (kept == NULL || conditions == NULL) {
        parser->status = STATUS_TOO_LARGE;
        return;
    }
    memcpy(conditions, parser->pending, size);
    *kept = reading->query;
    kept->conditions = conditions;
    kept->condition_count = parser->pending_count;
    *query = kept;
}

enum status dialect_parse(struct text raw, struct arena *arena, const struct dialect_query **query,
                          struct dialect_mistake *mistake)
{
    struct reading reading;
    struct dialect_pair pair;
    memset(&reading, 0, offsetof(struct reading, parser));
    dialect_begin(&reading.parser, arena, mistake);
    while (dialect_next_pair(&reading.parser, &raw, &pair))
        if (!read_pair(&reading, &pair))
            break;
    if (reading.parser.status == STATUS_OK)
        finish(&reading, query);
    return reading.parser.status;
}
