/* Filters as SQL: every value of the caller's is a parameter. */
#include "drivers/postgres_session.h"
#include "query/select_private.h"

#define OID_JSON 114
#define OID_JSONB 3802
#define OID_TSVECTOR 3614
#define OID_BOX 603
#define IN_EACH_MAX 1000 /* values of an `in` that cannot go as one array */

struct leaf {
    const struct dialect_condition *condition;
    struct select_expression left;
    const char *cast; /* of the value: "::jsonb"; "": the server infers it from the other side */
};

static struct dialect_place value_place(const struct dialect_condition *condition)
{
    return (struct dialect_place){condition->place.parameter, condition->value_column};
}

/* Only columns as they are: of an expression the type may be another than it seems. */
static bool check_value(struct select_builder *builder, const struct leaf *leaf, struct text value)
{
    const struct dialect_condition *condition = leaf->condition;
    const char *expected = NULL;
    if (leaf->left.column >= 0 && condition->quantifier == DIALECT_ONE)
        expected = select_check(leaf->left.type, value);
    if (expected == NULL)
        return true;
    return select_fail(builder, STATUS_INVALID, value_place(condition),
                       "\"%.*s\" is not %s at column %u; `%.*s` is of type %.*s", TEXT_ARGS(select_shown(value)),
                       expected, condition->value_column, TEXT_ARGS(select_shown(condition->field.column)),
                       TEXT_ARGS(leaf->left.type->name));
}

static bool append_value(struct select_builder *builder, const struct leaf *leaf, struct text value)
{
    builder->plan->caller_values = true;
    if (!select_append_parameter(builder, value))
        return false;
    buffer_append_string(&builder->sql, leaf->cast);
    return true;
}

static bool fail_operator(struct select_builder *builder, const struct leaf *leaf)
{
    const struct dialect_condition *condition = leaf->condition;
    return select_fail(builder, STATUS_NOT_FOUND, condition->place,
                       "`%.*s` is of type %.*s, which has no operator `%s`",
                       TEXT_ARGS(select_shown(condition->field.column)), TEXT_ARGS(leaf->left.type->name),
                       dialect_operator_name(condition->op));
}

static bool append_is(struct select_builder *builder, const struct leaf *leaf)
{
    static const char *const words[] = {[DIALECT_IS_NULL] = " is null",
                                        [DIALECT_IS_NOT_NULL] = " is not null",
                                        [DIALECT_IS_TRUE] = " is true",
                                        [DIALECT_IS_FALSE] = " is false",
                                        [DIALECT_IS_UNKNOWN] = " is unknown"};
    enum dialect_is is = leaf->condition->is;
    const struct type *type = leaf->left.type;
    if (is != DIALECT_IS_NULL && is != DIALECT_IS_NOT_NULL && type != NULL && type->kind != TYPE_BOOLEAN)
        return select_fail(builder, STATUS_INVALID, value_place(leaf->condition),
                           "`%.*s` is of type %.*s, and only a boolean is true, false or unknown; `is` takes null and "
                           "not_null here",
                           TEXT_ARGS(select_shown(leaf->condition->field.column)), TEXT_ARGS(type->name));
    buffer_append_text(&builder->sql, leaf->left.sql);
    buffer_append_string(&builder->sql, words[is]);
    return true;
}

/* PostgreSQL's text form of an array: every element in quotes, so that none is null, empty or cut. */
static struct text array_of(struct select_builder *builder, const struct leaf *leaf)
{
    char delimiter = select_base(leaf->left.type) == OID_BOX ? ';' : ',';
    size_t size = 2;
    for (size_t i = 0; i < leaf->condition->value_count; i++)
        size += 2 * leaf->condition->values[i].size + 3;
    char *array = arena_alloc(builder->arena, size), *end = array;
    if (array == NULL) {
        builder->status = STATUS_TOO_LARGE;
        return TEXT_NONE;
    }
    *end++ = '{';
    for (size_t i = 0; i < leaf->condition->value_count; i++) {
        struct text value = leaf->condition->values[i];
        if (i != 0)
            *end++ = delimiter;
        *end++ = '"';
        for (size_t byte = 0; byte < value.size; byte++) {
            if (value.data[byte] == '"' || value.data[byte] == '\\')
                *end++ = '\\';
            *end++ = value.data[byte];
        }
        *end++ = '"';
    }
    *end++ = '}';
    return text_of(array, (size_t)(end - array));
}

/* Arrays and composites: there are no arrays of arrays, nor of records. */
static bool append_in_each(struct select_builder *builder, const struct leaf *leaf)
{
    const struct dialect_condition *condition = leaf->condition;
    if (condition->value_count > IN_EACH_MAX)
        return select_fail(builder, STATUS_INVALID, value_place(condition),
                           "`in` has %zu values; on `%.*s`, which is of type %.*s, %d are the most",
                           condition->value_count, TEXT_ARGS(select_shown(condition->field.column)),
                           TEXT_ARGS(leaf->left.type->name), IN_EACH_MAX);
    buffer_append_text(&builder->sql, leaf->left.sql);
    buffer_append_literal(&builder->sql, " in (");
    for (size_t i = 0; i < condition->value_count; i++) {
        buffer_append_string(&builder->sql, i != 0 ? ", " : "");
        if (!append_value(builder, leaf, condition->values[i]))
            return false;
    }
    buffer_append_char(&builder->sql, ')');
    return true;
}

static bool append_in(struct select_builder *builder, const struct leaf *leaf)
{
    const struct dialect_condition *condition = leaf->condition;
    const struct type *type = leaf->left.type;
    if (condition->value_count == 0) {
        if (condition->negated) /* under its `not`: all that are not null */
            buffer_append_text(&builder->sql, leaf->left.sql);
        buffer_append_string(&builder->sql, condition->negated ? " is null" : "false");
        return true;
    }
    for (size_t i = 0; i < condition->value_count; i++)
        if (!check_value(builder, leaf, condition->values[i]))
            return false;
    if (type != NULL && (type->kind == TYPE_ARRAY || type->kind == TYPE_COMPOSITE))
        return append_in_each(builder, leaf);
    struct text array = array_of(builder, leaf);
    if (array.data == NULL)
        return false;
    buffer_append_text(&builder->sql, leaf->left.sql);
    buffer_append_literal(&builder->sql, " = any(");
    if (!append_value(builder, leaf, array))
        return false;
    if (leaf->cast[0] != '\0')
        buffer_append_literal(&builder->sql, "[]");
    buffer_append_char(&builder->sql, ')');
    return true;
}

static bool append_search(struct select_builder *builder, const struct leaf *leaf)
{
    static const char *const functions[] = {"to_tsquery", "plainto_tsquery", "phraseto_tsquery",
                                            "websearch_to_tsquery"};
    const struct dialect_condition *condition = leaf->condition;
    size_t start = builder->sql.size;
    if (condition->language.data != NULL) {
        if (!append_value(builder, leaf, condition->language))
            return false;
        buffer_append_literal(&builder->sql, "::regconfig, ");
    }
    struct text language = select_take(builder, start);
    if (!leaf->left.is_tsvector) {
        buffer_append_literal(&builder->sql, "to_tsvector(");
        buffer_append_text(&builder->sql, language);
    }
    buffer_append_text(&builder->sql, leaf->left.sql);
    buffer_append_string(&builder->sql, leaf->left.is_tsvector ? " @@ " : ") @@ ");
    buffer_append_string(&builder->sql, functions[condition->op - DIALECT_FTS]);
    buffer_append_char(&builder->sql, '(');
    buffer_append_text(&builder->sql, language);
    if (!append_value(builder, leaf, condition->value))
        return false;
    buffer_append_char(&builder->sql, ')');
    return builder->status == STATUS_OK;
}

static bool is_comparison(enum dialect_operator op)
{
    return op <= DIALECT_LTE || op == DIALECT_ISDISTINCT;
}

static bool append_comparison(struct select_builder *builder, const struct leaf *leaf)
{
    static const char *const quantifiers[] = {[DIALECT_ONE] = " ", [DIALECT_ANY] = " any(", [DIALECT_ALL] = " all("};
    const struct dialect_condition *condition = leaf->condition;
    bool one = condition->quantifier == DIALECT_ONE;
    if (is_comparison(condition->op) && !check_value(builder, leaf, condition->value))
        return false;
    buffer_append_text(&builder->sql, leaf->left.sql);
    buffer_append_char(&builder->sql, ' ');
    buffer_append_string(&builder->sql, select_operator_sql(condition->op));
    buffer_append_string(&builder->sql, quantifiers[condition->quantifier]);
    if (!append_value(builder, leaf, condition->value))
        return false;
    if (!one)
        buffer_append_string(&builder->sql, leaf->cast[0] != '\0' ? "[])" : ")");
    return true;
}

/* What the server cannot infer: a record's type from the word "record"; and that json
 * has the operators of jsonb. */
static bool cast_sides(struct select_builder *builder, struct leaf *leaf)
{
    const struct type *type = leaf->left.type;
    enum dialect_operator op = leaf->condition->op;
    leaf->cast = "";
    if (type == NULL || op == DIALECT_IS || op >= DIALECT_FTS)
        return true;
    size_t start = builder->sql.size;
    if (type->kind == TYPE_COMPOSITE) {
        /* As format_type quotes it, from the catalog. */
        buffer_append_literal(&builder->sql, "::");
        buffer_append_text(&builder->sql, type->name);
        leaf->cast = select_take(builder, start).data;
        return leaf->cast != NULL;
    }
    if (type->base == OID_JSON && leaf->condition->field.step_count != 0) {
        leaf->cast = "::jsonb";
        leaf->left.type = type_builtin(OID_JSONB);
        buffer_append_text(&builder->sql, leaf->left.sql);
        buffer_append_literal(&builder->sql, "::jsonb");
        leaf->left.sql = select_take(builder, start);
    }
    return leaf->left.sql.data != NULL;
}

static bool append_leaf(struct select_builder *builder, const struct dialect_condition *condition)
{
    struct leaf leaf = {.condition = condition};
    if (!select_field(builder, &condition->field, &leaf.left) || !cast_sides(builder, &leaf))
        return false;
    bool search = condition->op >= DIALECT_FTS;
    leaf.left.is_tsvector |= select_base(leaf.left.type) == OID_TSVECTOR;
    if (!(search && leaf.left.is_tsvector) && select_lacks_operator(leaf.left.type, condition->op))
        return fail_operator(builder, &leaf);
    if (search)
        return append_search(builder, &leaf);
    if (condition->op == DIALECT_IS)
        return append_is(builder, &leaf);
    return condition->op == DIALECT_IN ? append_in(builder, &leaf) : append_comparison(builder, &leaf);
}

static bool append_condition(struct select_builder *builder, const struct dialect_condition *condition)
{
    bool group = condition->kind != DIALECT_LEAF;
    if (condition->negated)
        buffer_append_literal(&builder->sql, "not ");
    if (condition->negated || group)
        buffer_append_char(&builder->sql, '(');
    if (!group && !append_leaf(builder, condition))
        return false;
    for (size_t i = 0; group && i < condition->child_count; i++) {
        if (i != 0)
            buffer_append_string(&builder->sql, condition->kind == DIALECT_OR ? " or " : " and ");
        if (!append_condition(builder, condition->children[i]))
            return false;
    }
    if (condition->negated || group)
        buffer_append_char(&builder->sql, ')');
    return true;
}

/* Marks the columns that one value is asked of by a condition that every row meets. */
static void mark_equal(struct select_builder *builder, const struct dialect_condition *condition)
{
    if (condition->negated || condition->kind == DIALECT_OR)
        return;
    for (size_t i = 0; i < condition->child_count; i++)
        mark_equal(builder, condition->children[i]);
    if (condition->kind != DIALECT_LEAF || condition->op != DIALECT_EQ || condition->quantifier != DIALECT_ONE ||
        condition->field.step_count != 0)
        return;
    const struct dataset_column *column = dataset_column(builder->dataset, condition->field.column);
    if (column != NULL && !column->computed)
        builder->equal[column - builder->dataset->columns] = true;
}

static bool bounds_time(const struct select_builder *builder, const struct dialect_condition *condition)
{
    const struct dataset *dataset = builder->dataset;
    if (condition->negated)
        return false;
    if (condition->kind == DIALECT_LEAF) {
        bool compares = condition->op == DIALECT_IN || (condition->op <= DIALECT_LTE && condition->op != DIALECT_NEQ);
        return compares && condition->field.step_count == 0 &&
               text_equal(condition->field.column, dataset->columns[dataset->time_column].name);
    }
    size_t bounded = 0;
    for (size_t i = 0; i < condition->child_count; i++)
        bounded += bounds_time(builder, condition->children[i]);
    return condition->kind == DIALECT_AND ? bounded != 0 : bounded == condition->child_count;
}

bool select_append_conditions(struct select_builder *builder)
{
    const struct dialect_query *query = builder->request->query;
    for (size_t i = 0; i < query->condition_count; i++) {
        const struct dialect_condition *condition = query->conditions[i];
        buffer_append_string(&builder->sql, i == 0 ? " where " : " and ");
        if (!append_condition(builder, condition))
            return false;
        mark_equal(builder, condition);
        if (builder->dataset->time_column >= 0)
            builder->plan->time_filtered |= bounds_time(builder, condition);
    }
    return true;
}
