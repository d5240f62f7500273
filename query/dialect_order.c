/* order=column->step.desc.nullslast,… */
#include "query/dialect_private.h"

/* Takes ".asc" and its like: the suffix is a word of its own. */
static bool take_suffix(struct dialect_parser *parser, struct text suffix)
{
    size_t start = parser->at;
    if (dialect_peek(parser, start) == '.') {
        parser->at++;
        if (text_equal(dialect_read_word(parser), suffix))
            return true;
    }
    parser->at = start;
    return false;
}

static bool refuse_suffix(struct dialect_parser *parser)
{
    static const struct text known[] = {{"asc", 3}, {"desc", 4}, {"nullsfirst", 10}, {"nullslast", 9}};
    size_t start = parser->at++;
    struct text word = dialect_read_word(parser);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (text_equal(word, known[i]))
            return dialect_wrong(parser, start, "write column.desc.nullslast: one direction, then one place for nulls",
                                 "misplaced suffix `.%s`", dialect_show(word).text);
    return dialect_wrong(parser, start, "try .asc, .desc, .nullsfirst, .nullslast", "unknown suffix `.%s`",
                         dialect_show(word).text);
}

static bool read_order(struct dialect_parser *parser, struct dialect_order *order)
{
    *order = (struct dialect_order){0};
    if (!dialect_read_field(parser, &order->field))
        return false;
    if (!take_suffix(parser, TEXT("asc")))
        order->descending = take_suffix(parser, TEXT("desc"));
    if (take_suffix(parser, TEXT("nullsfirst")))
        order->nulls = DIALECT_NULLS_FIRST;
    else if (take_suffix(parser, TEXT("nullslast")))
        order->nulls = DIALECT_NULLS_LAST;
    dialect_skip_space(parser);
    char next = dialect_peek(parser, parser->at);
    if (next == '.')
        return refuse_suffix(parser);
    if (next == '(')
        return dialect_wrong(parser, parser->at, "order by columns of the dataset itself",
                             "embedding of other relations is not offered; `(` stands");
    return next == ',' || next == '\0' ||
           dialect_wrong(parser, parser->at, "a comma or the end belongs there: order=a.desc,b", "unexpected %s",
                         dialect_show_at(parser, parser->at).text);
}

bool dialect_read_orders(struct dialect_parser *parser, struct dialect_query *query)
{
    struct dialect_order *orders = NULL;
    dialect_skip_space(parser);
    if (dialect_peek(parser, parser->at) == '\0')
        return true;
    for (size_t count = 0;; parser->at++) {
        dialect_skip_space(parser);
        if (count == DIALECT_MAX_ORDERS)
            return dialect_too_many(parser, parser->at, "columns to order by", DIALECT_MAX_ORDERS);
        orders = dialect_grow(parser, orders, count, sizeof(*orders));
        if (orders == NULL || !read_order(parser, &orders[count]))
            return false;
        query->orders = orders;
        query->order_count = ++count;
        if (dialect_peek(parser, parser->at) == '\0')
            return true;
    }
}
