/* The rows behind a cursor, in the total order that select_order.c has made: row comparisons where an index can serve
 * them, else a chain over nulls and mixed directions. */
#include "query/select_private.h"

struct keyset {
    struct select_builder *builder;
    const struct cursor *after;
    struct text parameters[CURSOR_MAX_VALUES]; /* "$7" with its cast; data == NULL: the value is null */
    bool inclusive;                            /* also rows that are the same in all columns */
};

/* What the server cannot infer from the other side: a record's type, and that of the names of its own objects, which it
 * compares as the oids they stand for. */
static bool needs_cast(const struct type *type)
{
    static const uint32_t names[] = {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191};
    bool found = type != NULL && type->kind == TYPE_COMPOSITE;
    for (size_t i = 0; type != NULL && i < sizeof(names) / sizeof(names[0]); i++)
        found = found || type->base == names[i];
    return found;
}

static bool make_parameters(struct keyset *keyset)
{
    struct select_builder *builder = keyset->builder;
    for (size_t i = 0; i < builder->order_count; i++) {
        const struct type *type = builder->orders[i].expression.type;
        size_t start = builder->sql.size;
        keyset->parameters[i] = TEXT_NONE;
        if (keyset->after->values[i].data == NULL)
            continue;
        if (!select_append_parameter(builder, keyset->after->values[i]))
            return false;
        if (needs_cast(type)) {
            buffer_append_literal(&builder->sql, "::");
            buffer_append_text(&builder->sql, type->name);
        }
        keyset->parameters[i] = select_take(builder, start);
        if (keyset->parameters[i].data == NULL)
            return false;
    }
    return true;
}

/* Whether from `first` on all columns go one way and know no null. */
static bool is_row(const struct keyset *keyset, size_t first)
{
    const struct select_builder *builder = keyset->builder;
    for (size_t i = first; i < builder->order_count; i++) {
        const struct select_order *order = &builder->orders[i];
        if (order->expression.nullable || keyset->parameters[i].data == NULL ||
            order->descending != builder->orders[first].descending)
            return false;
    }
    return true;
}

static void append_columns(struct keyset *keyset, size_t first)
{
    struct buffer *sql = &keyset->builder->sql;
    for (size_t i = first; i < keyset->builder->order_count; i++) {
        buffer_append_string(sql, i == first ? "(" : ", ");
        buffer_append_text(sql, keyset->builder->orders[i].expression.sql);
    }
    buffer_append_char(sql, ')');
}

static void append_pair(struct keyset *keyset, size_t i, const char *sign)
{
    struct buffer *sql = &keyset->builder->sql;
    buffer_append_text(sql, keyset->builder->orders[i].expression.sql);
    buffer_append_string(sql, sign);
    buffer_append_text(sql, keyset->parameters[i]);
}

static void append_row(struct keyset *keyset, size_t first)
{
    static const char *const signs[2][2] = {{" > ", " >= "}, {" < ", " <= "}};
    struct buffer *sql = &keyset->builder->sql;
    const char *sign = signs[keyset->builder->orders[first].descending][keyset->inclusive];
    if (first + 1 == keyset->builder->order_count) {
        append_pair(keyset, first, sign);
        return;
    }
    append_columns(keyset, first);
    buffer_append_string(sql, sign);
    for (size_t i = first; i < keyset->builder->order_count; i++) {
        buffer_append_string(sql, i == first ? "(" : ", ");
        buffer_append_text(sql, keyset->parameters[i]);
    }
    buffer_append_char(sql, ')');
}

static void append_from(struct keyset *keyset, size_t i);

/* A record all of whose fields are null "is null", one with a null among them is neither that nor "not null"; but both
 * are in their order as values. */
static void append_null_test(struct keyset *keyset, size_t i, bool is_null)
{
    const struct select_expression *expression = &keyset->builder->orders[i].expression;
    struct buffer *sql = &keyset->builder->sql;
    bool plain = expression->type != NULL && expression->type->kind != TYPE_COMPOSITE;
    buffer_append_text(sql, expression->sql);
    if (plain)
        buffer_append_string(sql, is_null ? " is null" : " is not null");
    else
        buffer_append_string(sql, is_null ? " is not distinct from null" : " is distinct from null");
}

static void append_behind_null(struct keyset *keyset, size_t i)
{
    const struct select_order *order = &keyset->builder->orders[i];
    struct buffer *sql = &keyset->builder->sql;
    buffer_append_char(sql, '(');
    append_null_test(keyset, i, !order->nulls_first);
    buffer_append_string(sql, order->nulls_first ? " or " : " and ");
    append_from(keyset, i + 1);
    buffer_append_char(sql, ')');
}

static void append_behind_value(struct keyset *keyset, size_t i)
{
    const struct select_order *order = &keyset->builder->orders[i];
    struct buffer *sql = &keyset->builder->sql;
    bool nulls_behind = order->expression.nullable && !order->nulls_first, last = i + 1 == keyset->builder->order_count;
    const char *beyond = order->descending ? " < " : " > ", *from = order->descending ? " <= " : " >= ";
    buffer_append_char(sql, '(');
    if (nulls_behind) {
        append_null_test(keyset, i, true);
        buffer_append_literal(sql, " or ");
    }
    if (last) {
        append_pair(keyset, i, keyset->inclusive ? from : beyond);
    } else {
        /* The bound before the alternative is what an index can begin at. */
        append_pair(keyset, i, from);
        buffer_append_literal(sql, " and (");
        append_pair(keyset, i, beyond);
        buffer_append_literal(sql, " or ");
        append_from(keyset, i + 1);
        buffer_append_char(sql, ')');
    }
    buffer_append_char(sql, ')');
}

static void append_from(struct keyset *keyset, size_t i)
{
    if (i == keyset->builder->order_count)
        buffer_append_string(&keyset->builder->sql, keyset->inclusive ? "true" : "false");
    else if (is_row(keyset, i))
        append_row(keyset, i);
    else if (keyset->parameters[i].data == NULL)
        append_behind_null(keyset, i);
    else
        append_behind_value(keyset, i);
}

bool select_append_behind(struct select_builder *builder, const struct cursor *after)
{
    struct keyset keyset = {.builder = builder, .after = after, .inclusive = builder->plan->counts_ties};
    if (!make_parameters(&keyset))
        return false;
    append_from(&keyset, 0);
    return builder->status == STATUS_OK;
}
