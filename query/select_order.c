/* The order of rows: the caller's, and what makes it total, so that a cursor says one place in it. */
#include "drivers/postgres_session.h"
#include "query/select_private.h"

#define DIGEST_VALUES 2 /* places in a cursor that are kept: for the digest of a row, and the count of its likes */
#define LEADING_MAX 8   /* columns that come first where neither the caller nor a key says how */

static bool same_field(const struct dialect_field *a, const struct dialect_field *b)
{
    if (!text_equal(a->column, b->column) || a->step_count != b->step_count)
        return false;
    for (size_t i = 0; i < a->step_count; i++)
        if (!text_equal(a->steps[i].key, b->steps[i].key) || a->steps[i].as_text != b->steps[i].as_text ||
            a->steps[i].is_index != b->steps[i].is_index)
            return false;
    return true;
}

static bool is_ordered_by(const struct select_builder *builder, int column)
{
    for (size_t i = 0; i < builder->order_count; i++)
        if (builder->orders[i].expression.column == column)
            return true;
    return false;
}

static bool add_order(struct select_builder *builder, const struct select_order *order, struct dialect_place place)
{
    if (builder->order_count == CURSOR_MAX_VALUES - DIGEST_VALUES)
        return select_fail(builder, STATUS_INVALID, place, "`order` has more than %d columns; leave the last ones out",
                           CURSOR_MAX_VALUES - DIGEST_VALUES);
    builder->orders[builder->order_count++] = *order;
    return true;
}

static bool add_ascending(struct select_builder *builder, struct select_expression expression)
{
    struct select_order order = {.expression = expression};
    return expression.sql.data != NULL && add_order(builder, &order, (struct dialect_place){TEXT("order"), 0});
}

/* "sluice_3": the third column of the grouped subselect. */
static struct select_expression group_column(struct select_builder *builder, size_t index)
{
    const struct select_output *output = &builder->outputs[index];
    size_t start = builder->sql.size;
    buffer_printf(&builder->sql, "\"sluice_g\".\"sluice_%zu\"", index + 1);
    return (struct select_expression){.sql = select_take(builder, start),
                                      .type = output->expression.type,
                                      .column = (int)index,
                                      .nullable = output->expression.nullable};
}

/* Of grouped rows: a name in the result, or a field that they are grouped by. */
static bool find_group(struct select_builder *builder, const struct dialect_field *field,
                       struct select_expression *expression)
{
    for (size_t i = 0; field->step_count == 0 && i < builder->output_count; i++)
        if (text_equal(builder->outputs[i].key, field->column)) {
            *expression = group_column(builder, i);
            return expression->sql.data != NULL;
        }
    for (size_t i = 0; i < builder->output_count; i++) {
        const struct dialect_select *select = builder->outputs[i].select;
        if (!builder->outputs[i].is_aggregate && select != NULL && !select->is_all && select->cast.data == NULL &&
            same_field(&select->field, field)) {
            *expression = group_column(builder, i);
            return expression->sql.data != NULL;
        }
    }
    return select_fail(
        builder, STATUS_INVALID, field->place,
        "`%.*s` is neither grouped by nor a name in the result; add it to `select`, or order by one that "
        "is there",
        TEXT_ARGS(select_shown(field->column)));
}

static bool check_orderable(struct select_builder *builder, const struct dialect_field *field,
                            const struct select_expression *expression)
{
    const struct type *type = expression->type;
    if (type == NULL || !type->has_no_order)
        return true;
    return select_fail(builder, STATUS_NOT_FOUND, field->place,
                       "`%.*s` is of type %.*s, which has no order; order by another column%s",
                       TEXT_ARGS(select_shown(field->column)), TEXT_ARGS(type->name),
                       select_is_json(type) ? ", or by text in it with `->>`" : "");
}

/* Behind a whole primary key nothing is left to order; an index serves what ends there. */
static bool is_decided(const struct select_builder *builder)
{
    const struct dataset *dataset = builder->dataset;
    if (builder->plan->aggregated || dataset->key_count == 0 || !dataset->keys[0].primary)
        return false;
    for (size_t i = 0; i < dataset->keys[0].count; i++)
        if (!is_ordered_by(builder, dataset->keys[0].columns[i]))
            return false;
    return true;
}

static bool add_given(struct select_builder *builder, size_t index)
{
    const struct dialect_order *orders = builder->request->query->orders, *given = &orders[index];
    struct select_order order = {.descending = given->descending};
    bool found = builder->plan->aggregated ? find_group(builder, &given->field, &order.expression)
                                           : select_field(builder, &given->field, &order.expression);
    if (!found || !check_orderable(builder, &given->field, &order.expression))
        return false;
    order.nulls_first = given->nulls == DIALECT_NULLS_DEFAULT ? given->descending : given->nulls == DIALECT_NULLS_FIRST;
    for (size_t i = 0; i < index; i++)
        if (same_field(&orders[i].field, &given->field))
            return true; /* the first one has decided */
    if (is_decided(builder))
        return true;
    return add_order(builder, &order, given->field.place);
}

/* The digest of a whole row as text, which tells apart what differs at all, 1.0 and 1.00 too; in a cursor it is small
 * whatever the columns hold. */
static bool add_digest(struct select_builder *builder)
{
    size_t start = builder->sql.size, added = 0;
    const struct dataset *dataset = builder->dataset;
    size_t count = builder->plan->aggregated ? builder->output_count : dataset->column_count;
    buffer_append_literal(&builder->sql, "md5(row(");
    for (size_t i = 0; i < count; i++) {
        struct select_expression column;
        if (!builder->plan->aggregated && dataset->columns[i].computed)
            continue;
        if (builder->plan->aggregated)
            column = group_column(builder, i);
        else if (!select_column(builder, i, &column))
            return false;
        buffer_append_string(&builder->sql, added++ == 0 ? "" : ", ");
        buffer_append_text(&builder->sql, column.sql);
    }
    buffer_append_literal(&builder->sql, ")::text)");
    struct select_order order = {.expression = {.sql = select_take(builder, start), .column = -1}};
    builder->orders[builder->order_count++] = order;
    return order.expression.sql.data != NULL;
}

static bool add_system_column(struct select_builder *builder, const char *name)
{
    size_t start = builder->sql.size;
    buffer_append_literal(&builder->sql, "\"sluice_t\".");
    buffer_append_string(&builder->sql, name);
    return add_ascending(builder, (struct select_expression){.sql = select_take(builder, start), .column = -1});
}

static size_t missing_of(const struct select_builder *builder, const struct dataset_key *key)
{
    size_t missing = 0;
    for (size_t i = 0; i < key->count; i++)
        missing += !builder->equal[key->columns[i]] && !is_ordered_by(builder, key->columns[i]);
    return missing;
}

/* The key that needs the fewest columns more; NULL: none, or none that fits in a cursor. */
static const struct dataset_key *cheapest_key(const struct select_builder *builder)
{
    const struct dataset *dataset = builder->dataset;
    const struct dataset_key *best = NULL;
    size_t room = CURSOR_MAX_VALUES - DIGEST_VALUES - builder->order_count;
    for (size_t i = 0; i < dataset->key_count; i++) {
        size_t missing = missing_of(builder, &dataset->keys[i]);
        if (missing <= room && (best == NULL || missing < missing_of(builder, best)))
            best = &dataset->keys[i];
        if (builder->request->query->order_count == 0 && best != NULL)
            break; /* nothing else tells an order: the first key's */
    }
    return best;
}

static bool add_key(struct select_builder *builder, const struct dataset_key *key)
{
    for (size_t i = 0; i < key->count; i++) {
        struct select_expression column;
        if (builder->equal[key->columns[i]] || is_ordered_by(builder, key->columns[i]))
            continue;
        if (!select_column(builder, key->columns[i], &column) || !add_ascending(builder, column))
            return false;
    }
    return true;
}

/* Small in a cursor whatever their values. */
static bool is_short(const struct type *type)
{
    static const uint32_t dates[] = {1082, 1083, 1114, 1184, 1266, 2950};
    if (type == NULL || type->has_no_order)
        return false;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
        if (type->base == dates[i])
            return true;
    return type->is_enum || type->kind == TYPE_BOOLEAN || (type->kind == TYPE_NUMBER && type->base != 1700);
}

/* Nobody tells an order: time first, then the short columns as they stand. */
static bool add_leading(struct select_builder *builder)
{
    const struct dataset *dataset = builder->dataset;
    struct select_expression column;
    if (dataset->time_column >= 0 && is_short(dataset->columns[dataset->time_column].type) &&
        (!select_column(builder, (size_t)dataset->time_column, &column) || !add_ascending(builder, column)))
        return false;
    for (size_t i = 0; i < dataset->column_count && builder->order_count < LEADING_MAX; i++) {
        if ((int)i == dataset->time_column || dataset->columns[i].computed || !is_short(dataset->columns[i].type))
            continue;
        if (!select_column(builder, i, &column) || !add_ascending(builder, column))
            return false;
    }
    return true;
}

static bool add_groups(struct select_builder *builder)
{
    size_t missing = 0;
    for (size_t i = 0; i < builder->output_count; i++)
        missing += !builder->outputs[i].is_aggregate && !is_ordered_by(builder, (int)i);
    if (missing > CURSOR_MAX_VALUES - DIGEST_VALUES - builder->order_count)
        return add_digest(builder);
    for (size_t i = 0; i < builder->output_count; i++)
        if (!builder->outputs[i].is_aggregate && !is_ordered_by(builder, (int)i) &&
            !add_ascending(builder, group_column(builder, i)))
            return false;
    return true;
}

static bool make_total(struct select_builder *builder)
{
    const struct dataset *dataset = builder->dataset;
    if (builder->plan->aggregated)
        return add_groups(builder);
    const struct dataset_key *key = cheapest_key(builder);
    if (key != NULL)
        return add_key(builder, key);
    if (dataset->has_ctid && builder->order_count + 2 <= CURSOR_MAX_VALUES - DIGEST_VALUES)
        return (dataset->kind != DATASET_PARTITIONED || add_system_column(builder, "tableoid")) &&
               add_system_column(builder, "ctid");
    builder->plan->counts_ties = true;
    return (builder->request->query->order_count != 0 || add_leading(builder)) && add_digest(builder);
}

bool select_orders(struct select_builder *builder, bool total)
{
    for (size_t i = 0; i < builder->request->query->order_count; i++)
        if (!add_given(builder, i))
            return false;
    return !total || make_total(builder);
}

bool select_append_order(struct select_builder *builder)
{
    for (size_t i = 0; i < builder->order_count; i++) {
        const struct select_order *order = &builder->orders[i];
        buffer_append_string(&builder->sql, i == 0 ? " order by " : ", ");
        buffer_append_text(&builder->sql, order->expression.sql);
        if (order->descending)
            buffer_append_literal(&builder->sql, " desc");
        /* Said only where it is another order than the default: an index serves no other. */
        if (order->expression.nullable && order->nulls_first != order->descending)
            buffer_append_string(&builder->sql, order->nulls_first ? " nulls first" : " nulls last");
    }
    return builder->status == STATUS_OK;
}
