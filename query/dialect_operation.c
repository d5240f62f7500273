/* not.eq(any).{a,b}: an operator, what qualifies it, and its value. */
#include "query/dialect_private.h"

#include <stdio.h>

/* What an operator takes between parentheses. */
enum qualifier { NOTHING, QUANTIFIER, LANGUAGE };

static const struct {
    const char *name;
    enum qualifier qualifier;
} operators[] = {
    [DIALECT_EQ] = {"eq", QUANTIFIER},
    [DIALECT_NEQ] = {"neq", NOTHING},
    [DIALECT_GT] = {"gt", QUANTIFIER},
    [DIALECT_GTE] = {"gte", QUANTIFIER},
    [DIALECT_LT] = {"lt", QUANTIFIER},
    [DIALECT_LTE] = {"lte", QUANTIFIER},
    [DIALECT_LIKE] = {"like", QUANTIFIER},
    [DIALECT_ILIKE] = {"ilike", QUANTIFIER},
    [DIALECT_MATCH] = {"match", QUANTIFIER},
    [DIALECT_IMATCH] = {"imatch", QUANTIFIER},
    [DIALECT_IN] = {"in", NOTHING},
    [DIALECT_IS] = {"is", NOTHING},
    [DIALECT_ISDISTINCT] = {"isdistinct", NOTHING},
    [DIALECT_CS] = {"cs", NOTHING},
    [DIALECT_CD] = {"cd", NOTHING},
    [DIALECT_OV] = {"ov", NOTHING},
    [DIALECT_SL] = {"sl", NOTHING},
    [DIALECT_SR] = {"sr", NOTHING},
    [DIALECT_NXR] = {"nxr", NOTHING},
    [DIALECT_NXL] = {"nxl", NOTHING},
    [DIALECT_ADJ] = {"adj", NOTHING},
    [DIALECT_FTS] = {"fts", LANGUAGE},
    [DIALECT_PLFTS] = {"plfts", LANGUAGE},
    [DIALECT_PHFTS] = {"phfts", LANGUAGE},
    [DIALECT_WFTS] = {"wfts", LANGUAGE},
};
#define OPERATOR_COUNT (sizeof(operators) / sizeof(operators[0]))

const char *dialect_operator_name(enum dialect_operator op)
{
    return operators[op].name;
}

static const char some_operators[] = "eq, neq, gt, gte, lt, lte, like, ilike, in, is, cs, fts";

/* Nearer than half of what was written; NULL: none. */
static const char *nearest(struct text word)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; i < OPERATOR_COUNT; i++) {
        size_t distance = text_distance(word, text_from_string(operators[i].name));
        if (distance < least && distance < word.size) {
            least = distance;
            best = operators[i].name;
        }
    }
    return best;
}

static bool refuse_operator(struct dialect_parser *parser, size_t start, struct text word)
{
    char remedy[160];
    const char *near = nearest(word);
    struct text value;
    if (text_equal(word, TEXT("not")))
        return dialect_wrong(parser, start, "write not.eq.value", "`not` lacks its operator");
    if (dialect_peek(parser, parser->at) != '.' && dialect_peek(parser, parser->at) != '(') {
        parser->at = start;
        if (!dialect_read_value(parser, &value))
            return false;
        snprintf(remedy, sizeof(remedy), "write eq.%s for equality; operators are %s, …", dialect_show(value).text,
                 some_operators);
        return dialect_wrong(parser, start, remedy, "an operator and a dot are missing");
    }
    snprintf(remedy, sizeof(remedy), "%s%s%soperators are %s, …", near != NULL ? "did you mean `" : "",
             near != NULL ? near : "", near != NULL ? "`? Other " : "", some_operators);
    return dialect_wrong(parser, start, remedy, "unknown operator `%s`", dialect_show(word).text);
}

static bool find_operator(struct text word, enum dialect_operator *op)
{
    for (size_t i = 0; i < OPERATOR_COUNT; i++) {
        if (text_equal(word, text_from_string(operators[i].name))) {
            *op = (enum dialect_operator)i;
            return true;
        }
    }
    return false;
}

static bool apply_qualifier(struct dialect_parser *parser, size_t start, struct text inside,
                            struct dialect_condition *condition)
{
    const char *name = dialect_operator_name(condition->op);
    enum qualifier takes = operators[condition->op].qualifier;
    if (takes == LANGUAGE && inside.size != 0) {
        condition->language = inside;
        return true;
    }
    if (takes == QUANTIFIER && (text_equal(inside, TEXT("any")) || text_equal(inside, TEXT("all")))) {
        condition->quantifier = text_equal(inside, TEXT("any")) ? DIALECT_ANY : DIALECT_ALL;
        return true;
    }
    const char *remedy = takes == QUANTIFIER ? "it takes (any) or (all) and then a list: eq(any).{1,2}"
                         : takes == LANGUAGE ? "it takes a language: fts(english).word"
                                             : "it takes none; write the operator, a dot and the value";
    return dialect_wrong(parser, start, remedy, "wrong parentheses behind `%s`", name);
}

static bool read_qualifier(struct dialect_parser *parser, struct dialect_condition *condition)
{
    size_t start = parser->at++;
    size_t inside = parser->at;
    /* A language's name may hold a '-' or spaces as little as a type's. */
    dialect_read_word(parser);
    struct text word = dialect_since(parser, inside);
    if (dialect_peek(parser, parser->at) != ')')
        return apply_qualifier(parser, start, TEXT(""), condition);
    parser->at++;
    return apply_qualifier(parser, start, word, condition);
}

static bool read_is(struct dialect_parser *parser, struct dialect_condition *condition)
{
    static const struct text words[] = {[DIALECT_IS_NULL] = {"null", 4},
                                        [DIALECT_IS_NOT_NULL] = {"not_null", 8},
                                        [DIALECT_IS_TRUE] = {"true", 4},
                                        [DIALECT_IS_FALSE] = {"false", 5},
                                        [DIALECT_IS_UNKNOWN] = {"unknown", 7}};
    size_t start = parser->at;
    struct text value;
    if (!dialect_read_value(parser, &value))
        return false;
    value = text_trim(value);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (text_equal_ignoring_case(value, words[i])) {
            condition->is = (enum dialect_is)i;
            return true;
        }
    }
    return dialect_wrong(parser, start, "try null, not_null, true, false, unknown; compare other values with eq",
                         "`is` does not take `%s`", dialect_show(value).text);
}

/* The % of LIKE would have to be escaped in a URL: * stands for it. */
static bool replace_stars(struct dialect_parser *parser, struct text *value)
{
    const char *star = value->size != 0 ? memchr(value->data, '*', value->size) : NULL;
    if (star == NULL)
        return true;
    char *copy = arena_alloc(parser->arena, value->size);
    if (copy == NULL)
        return dialect_no_memory(parser);
    for (size_t i = 0; i < value->size; i++)
        copy[i] = value->data[i] == '*' ? '%' : value->data[i];
    value->data = copy;
    return true;
}

static bool read_operand(struct dialect_parser *parser, struct dialect_condition *condition)
{
    size_t start = parser->at;
    if (condition->op == DIALECT_IS)
        return read_is(parser, condition);
    if (condition->op == DIALECT_IN)
        return dialect_read_list(parser, &condition->values, &condition->value_count);
    if (!dialect_read_value(parser, &condition->value))
        return false;
    struct text list = text_trim(condition->value);
    if (condition->quantifier != DIALECT_ONE &&
        (list.size < 2 || list.data[0] != '{' || list.data[list.size - 1] != '}'))
        return dialect_wrong(parser, start, "write it as {a,b}", "(any) and (all) compare with a list, and `%s` stands",
                             dialect_show(condition->value).text);
    if (condition->op == DIALECT_LIKE || condition->op == DIALECT_ILIKE)
        return replace_stars(parser, &condition->value);
    return true;
}

bool dialect_read_operation(struct dialect_parser *parser, struct dialect_condition *condition)
{
    if (dialect_looking_at(parser, TEXT("not."))) {
        condition->negated = true;
        parser->at += 4;
    }
    size_t start = parser->at;
    condition->place = dialect_place_at(parser, start);
    struct text word = dialect_read_word(parser);
    if (!find_operator(word, &condition->op))
        return refuse_operator(parser, start, word);
    if (dialect_peek(parser, parser->at) == '(' && !read_qualifier(parser, condition))
        return false;
    if (dialect_peek(parser, parser->at) != '.')
        return dialect_wrong(parser, parser->at, "write eq.value; the empty text is eq.",
                             "a dot belongs behind `%s`, but %s stands", dialect_operator_name(condition->op),
                             dialect_show_at(parser, parser->at).text);
    parser->at++;
    condition->value_column = dialect_place_at(parser, parser->at).column;
    return read_operand(parser, condition);
}
