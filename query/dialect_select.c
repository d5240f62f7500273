/* select=alias:column->step::cast.aggregate()::cast,… */
#include "query/dialect_private.h"

static const struct {
    struct text name;
    enum dialect_aggregate aggregate;
} aggregates[] = {{{"count", 5}, DIALECT_COUNT},
                  {{"sum", 3}, DIALECT_SUM},
                  {{"avg", 3}, DIALECT_AVG},
                  {{"min", 3}, DIALECT_MIN},
                  {{"max", 3}, DIALECT_MAX}};

static enum dialect_aggregate aggregate_of(struct text name)
{
    for (size_t i = 0; i < sizeof(aggregates) / sizeof(aggregates[0]); i++)
        if (text_equal(name, aggregates[i].name))
            return aggregates[i].aggregate;
    return DIALECT_PLAIN;
}

static bool refuse_embedding(struct dialect_parser *parser, size_t at)
{
    return dialect_wrong(parser, at, "read each dataset by itself, or ask for a view that joins them",
                         "embedding of other relations is not offered; it is asked for");
}

/* Whether the next two bytes are "()"; takes them. */
static bool take_parentheses(struct dialect_parser *parser)
{
    bool taken = dialect_looking_at(parser, TEXT("()"));
    parser->at += taken ? 2 : 0;
    return taken;
}

static bool read_optional_cast(struct dialect_parser *parser, struct text *cast)
{
    return !dialect_looking_at(parser, TEXT("::")) || dialect_read_cast(parser, cast);
}

/* "(" or "!" behind a name: an aggregate without its column, or another relation. */
static bool refuse_call(struct dialect_parser *parser, const struct dialect_select *select, size_t start)
{
    if (aggregate_of(select->field.column) != DIALECT_PLAIN && dialect_looking_at(parser, TEXT("()")))
        return dialect_wrong(parser, start, "write column.sum(), column.avg(), column.min(), column.max() or count()",
                             "`%s()` lacks its column", dialect_show(select->field.column).text);
    return refuse_embedding(parser, start);
}

static bool read_aggregate(struct dialect_parser *parser, struct dialect_select *select)
{
    size_t start = parser->at++;
    struct text name = dialect_read_word(parser);
    select->aggregate = aggregate_of(name);
    if (select->aggregate == DIALECT_PLAIN || !take_parentheses(parser))
        return dialect_wrong(parser, start,
                             "try .count(), .sum(), .avg(), .min(), .max(), and put names that hold a dot in \"\"",
                             "unknown aggregate `.%s`", dialect_show(name).text);
    return read_optional_cast(parser, &select->aggregate_cast);
}

/* `count()`, and `count` alone: which of the two it is, only the dataset's columns tell; but what is aggregated again
 * is a column. */
static bool read_count(struct dialect_parser *parser, struct dialect_select *select)
{
    struct text name = select->field.column;
    select->bare_count = !take_parentheses(parser);
    select->aggregate = DIALECT_COUNT;
    select->field.column = TEXT_NONE;
    if (!read_optional_cast(parser, &select->aggregate_cast))
        return false;
    if (!select->bare_count || dialect_peek(parser, parser->at) != '.')
        return true;
    select->bare_count = false;
    select->field.column = name;
    select->cast = select->aggregate_cast;
    select->aggregate_cast = TEXT_NONE;
    return read_aggregate(parser, select);
}

static bool is_count(const struct dialect_parser *parser, const struct dialect_select *select, size_t start)
{
    char next = dialect_peek(parser, parser->at);
    return text_equal(select->field.column, TEXT("count")) && select->field.step_count == 0 &&
           dialect_peek(parser, start) != '"' &&
           (dialect_looking_at(parser, TEXT("()")) || dialect_looking_at(parser, TEXT("::")) || next == ',' ||
            next == '\0');
}

static bool read_expression(struct dialect_parser *parser, struct dialect_select *select)
{
    dialect_skip_space(parser);
    size_t start = parser->at;
    if (!dialect_read_field(parser, &select->field))
        return false;
    if (is_count(parser, select, start))
        return read_count(parser, select);
    char next = dialect_peek(parser, parser->at);
    if (next == '(' || next == '!')
        return refuse_call(parser, select, start);
    if (!read_optional_cast(parser, &select->cast))
        return false;
    return dialect_peek(parser, parser->at) != '.' || read_aggregate(parser, select);
}

/* "name:" but not "name::"; otherwise the parser stays where it is. */
static bool read_alias(struct dialect_parser *parser, struct text *alias)
{
    size_t start = parser->at;
    if (!dialect_read_name(parser, "a column", alias))
        return false;
    if (dialect_peek(parser, parser->at) == ':' && dialect_peek(parser, parser->at + 1) != ':') {
        parser->at++;
        return alias->size != 0 ||
               dialect_wrong(parser, start, "give it a name or leave out the colon", "an empty alias stands");
    }
    parser->at = start;
    *alias = TEXT_NONE;
    return true;
}

static bool read_select(struct dialect_parser *parser, struct dialect_select *select)
{
    *select = (struct dialect_select){.field.place = dialect_place_at(parser, parser->at)};
    if (dialect_looking_at(parser, TEXT("...")))
        return refuse_embedding(parser, parser->at);
    if (dialect_peek(parser, parser->at) == '*') {
        parser->at++;
        select->is_all = true;
    } else if (!read_alias(parser, &select->alias) || !read_expression(parser, select)) {
        return false;
    }
    dialect_skip_space(parser);
    char next = dialect_peek(parser, parser->at);
    return next == ',' || next == '\0' ||
           dialect_wrong(parser, parser->at, "a comma or the end belongs there: select=a,b", "unexpected %s",
                         dialect_show_at(parser, parser->at).text);
}

bool dialect_read_selects(struct dialect_parser *parser, struct dialect_query *query)
{
    struct dialect_select *selects = NULL;
    dialect_skip_space(parser);
    if (dialect_peek(parser, parser->at) == '\0')
        return true;
    for (size_t count = 0;; parser->at++) {
        dialect_skip_space(parser);
        if (count == DIALECT_MAX_SELECTS)
            return dialect_too_many(parser, parser->at, "selected columns", DIALECT_MAX_SELECTS);
        selects = dialect_grow(parser, selects, count, sizeof(*selects));
        if (selects == NULL || !read_select(parser, &selects[count]))
            return false;
        query->selects = selects;
        query->select_count = ++count;
        if (dialect_peek(parser, parser->at) == '\0')
            return true;
    }
}
