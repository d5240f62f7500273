/* Filters, and trees of them: and=(a.eq.1,or(b.is.null,not.and(c.gt.2,c.lt.3))). */
#include "query/dialect_private.h"

static bool keep(struct dialect_parser *parser, const struct dialect_condition *condition)
{
    struct dialect_condition *kept = arena_alloc(parser->arena, sizeof(*kept));
    if (kept == NULL)
        return dialect_no_memory(parser);
    *kept = *condition;
    parser->pending[parser->pending_count++] = kept;
    return true;
}

static bool count_leaf(struct dialect_parser *parser)
{
    return ++parser->leaf_count <= DIALECT_MAX_CONDITIONS ||
           dialect_too_many(parser, parser->at, "conditions", DIALECT_MAX_CONDITIONS);
}

bool dialect_read_filter(struct dialect_parser *parser, const struct dialect_field *field)
{
    struct dialect_condition leaf = {.kind = DIALECT_LEAF, .field = *field};
    if (!count_leaf(parser) || !dialect_read_operation(parser, &leaf))
        return false;
    dialect_skip_space(parser);
    if (parser->at != parser->input.size)
        return dialect_wrong(parser, parser->at, "put elements that hold , or ) in \"\"",
                             "unexpected %s behind the list", dialect_show_at(parser, parser->at).text);
    return keep(parser, &leaf);
}

static bool read_leaf(struct dialect_parser *parser)
{
    struct dialect_condition leaf = {.kind = DIALECT_LEAF};
    if (!count_leaf(parser) || !dialect_read_field(parser, &leaf.field))
        return false;
    if (dialect_peek(parser, parser->at) != '.')
        return dialect_wrong(parser, parser->at, "write column.eq.value, and(…), or(…), not.and(…) or not.or(…)",
                             "a dot and an operator are expected, but %s stands",
                             dialect_show_at(parser, parser->at).text);
    parser->at++;
    return dialect_read_operation(parser, &leaf) && keep(parser, &leaf);
}

/* Takes "and", "or", "not.and" or "not.or" when a parenthesis follows: without one it begins a column's name. */
static bool take_logic(struct dialect_parser *parser, struct dialect_condition *node)
{
    size_t start = parser->at;
    node->negated = dialect_looking_at(parser, TEXT("not."));
    parser->at += node->negated ? 4 : 0;
    struct text word = dialect_read_word(parser);
    node->kind = text_equal(word, TEXT("and")) ? DIALECT_AND : DIALECT_OR;
    dialect_skip_space(parser);
    if (dialect_peek(parser, parser->at) == '(' && (node->kind == DIALECT_AND || text_equal(word, TEXT("or"))))
        return true;
    parser->at = start;
    return false;
}

static bool read_node(struct dialect_parser *parser, struct dialect_condition *node, unsigned depth);

static bool read_member(struct dialect_parser *parser, unsigned depth)
{
    struct dialect_condition node = {.place = dialect_place_at(parser, parser->at)};
    if (take_logic(parser, &node))
        return read_node(parser, &node, depth + 1);
    return read_leaf(parser);
}

/* What was read since `first` becomes the node's children, and the node takes their place. */
static bool close_node(struct dialect_parser *parser, struct dialect_condition *node, size_t first)
{
    node->child_count = parser->pending_count - first;
    const struct dialect_condition **children = arena_alloc(parser->arena, node->child_count * sizeof(*children));
    if (children == NULL)
        return dialect_no_memory(parser);
    memcpy(children, parser->pending + first, node->child_count * sizeof(*children));
    node->children = children;
    parser->pending_count = first;
    return keep(parser, node);
}

/* From '(' to behind ')'. `depth` counts from 1. */
static bool read_node(struct dialect_parser *parser, struct dialect_condition *node, unsigned depth)
{
    size_t first = parser->pending_count;
    if (depth > DIALECT_MAX_DEPTH)
        return dialect_too_many(parser, parser->at, "levels of parentheses", DIALECT_MAX_DEPTH);
    do {
        parser->at++;
        dialect_skip_space(parser);
        if (dialect_peek(parser, parser->at) == ')')
            return dialect_wrong(parser, parser->at, "write (a.eq.1,b.eq.2)", "a condition is missing");
        if (!read_member(parser, depth))
            return false;
        dialect_skip_space(parser);
    } while (dialect_peek(parser, parser->at) == ',');
    if (dialect_peek(parser, parser->at) != ')')
        return dialect_wrong(parser, parser->at, "values that hold , or ) and lists of lists go in \"\"",
                             "a comma or ) is expected, but %s stands", dialect_show_at(parser, parser->at).text);
    parser->at++;
    return close_node(parser, node, first);
}

bool dialect_read_tree(struct dialect_parser *parser, enum dialect_kind kind, bool negated)
{
    struct dialect_condition node = {.kind = kind, .negated = negated, .place = dialect_place_at(parser, 0)};
    parser->in_tree = true;
    dialect_skip_space(parser);
    if (dialect_peek(parser, parser->at) != '(')
        return dialect_wrong(parser, parser->at, "write or=(a.eq.1,b.eq.2)", "a ( is expected, but %s stands",
                             dialect_show_at(parser, parser->at).text);
    /* What follows the closing parenthesis is passed over, as PostgREST does. */
    return read_node(parser, &node, 1);
}
