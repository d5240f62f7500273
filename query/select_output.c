/* What the caller sees: columns, casts, aggregates, under which names. */
#include "drivers/postgres_session.h"
#include "query/select_private.h"

#define OUTPUTS_MAX 1600 /* PostgreSQL's target lists end at 1664; some are for what only a cursor needs */

/* Of pg_catalog. */
enum {
    BOOLEAN = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    TEXTUAL = 25,
    FLOAT4 = 700,
    FLOAT8 = 701,
    MONEY = 790,
    TIME = 1083,
    INTERVAL = 1186,
    NUMERIC = 1700
};

static const char *const aggregate_names[] = {
    [DIALECT_PLAIN] = "",  [DIALECT_COUNT] = "count", [DIALECT_SUM] = "sum",
    [DIALECT_AVG] = "avg", [DIALECT_MIN] = "min",     [DIALECT_MAX] = "max",
};

/* The type that PostgreSQL gives the aggregate; NULL: not known. */
static const struct type *aggregate_type(enum dialect_aggregate aggregate, const struct type *of)
{
    uint32_t oid = select_base(of);
    if (aggregate == DIALECT_COUNT)
        return type_builtin(INT8);
    if (aggregate == DIALECT_MIN || aggregate == DIALECT_MAX)
        /* Some of pg_catalog's have none of their own but their neighbours' (cidr: inet): the wire tells. */
        return type_builtin(oid) == NULL || oid == TEXTUAL || of->kind == TYPE_NUMBER || of->kind == TYPE_TIMESTAMP
                   ? of
                   : NULL;
    bool sums = aggregate == DIALECT_SUM;
    switch (oid) {
    case INT2:
    case INT4:
        return type_builtin(sums ? INT8 : NUMERIC);
    case INT8:
    case NUMERIC:
        return type_builtin(NUMERIC);
    case FLOAT4:
        return type_builtin(sums ? FLOAT4 : FLOAT8);
    case FLOAT8:
        return type_builtin(FLOAT8);
    case TIME:
    case INTERVAL:
        return type_builtin(INTERVAL);
    case MONEY:
        return sums ? type_builtin(oid) : NULL;
    default:
        return NULL;
    }
}

/* What surely is not there; of others the server says it. */
static bool lacks_aggregate(enum dialect_aggregate aggregate, const struct type *type)
{
    if (type == NULL || aggregate == DIALECT_COUNT || type_builtin(type->base) == NULL)
        return false;
    if (aggregate == DIALECT_MIN || aggregate == DIALECT_MAX)
        return type->has_no_order || type->base == BOOLEAN;
    return aggregate_type(aggregate, type) == NULL;
}

static bool append_cast(struct select_builder *builder, const struct dialect_field *field, struct text cast,
                        struct select_expression *expression)
{
    if (cast.data == NULL)
        return true;
    size_t start = builder->sql.size;
    buffer_append_literal(&builder->sql, "cast(");
    buffer_append_text(&builder->sql, expression->sql);
    buffer_append_literal(&builder->sql, " as ");
    if (!type_append_cast(&builder->sql, cast))
        return select_fail(builder, STATUS_INVALID, field->place,
                           "`::%.*s` is not the name of a type; try text, integer, numeric(10,2), date, text[]",
                           TEXT_ARGS(select_shown(cast)));
    buffer_append_char(&builder->sql, ')');
    expression->sql = select_take(builder, start);
    expression->type = type_of_cast(cast);
    expression->column = -1;
    expression->is_tsvector = false;
    builder->plan->caller_values = true;
    return expression->sql.data != NULL;
}

static bool append_aggregate(struct select_builder *builder, const struct dialect_select *select,
                             struct select_expression *expression)
{
    const char *name = aggregate_names[select->aggregate];
    bool extreme = select->aggregate == DIALECT_MIN || select->aggregate == DIALECT_MAX;
    size_t start = builder->sql.size;
    if (lacks_aggregate(select->aggregate, expression->type))
        return select_fail(builder, STATUS_NOT_FOUND, select->field.place,
                           "`%.*s` is of type %.*s, which has no %s(); cast it before, as in `%.*s::%s.%s()`",
                           TEXT_ARGS(select_shown(select->field.column)), TEXT_ARGS(expression->type->name), name,
                           TEXT_ARGS(select_shown(select->field.column)), extreme ? "text" : "numeric", name);
    buffer_append_string(&builder->sql, name);
    buffer_append_char(&builder->sql, '(');
    if (expression->sql.data != NULL)
        buffer_append_text(&builder->sql, expression->sql);
    else
        buffer_append_char(&builder->sql, '*');
    buffer_append_char(&builder->sql, ')');
    expression->type = aggregate_type(select->aggregate, expression->type);
    expression->sql = select_take(builder, start);
    expression->column = -1;
    expression->nullable = select->aggregate != DIALECT_COUNT;
    return expression->sql.data != NULL;
}

/* The last step that is not an index, else the column. */
static struct text key_of(const struct dialect_field *field)
{
    for (size_t i = field->step_count; i-- != 0;)
        if (!field->steps[i].is_index)
            return field->steps[i].key;
    return field->column;
}

static bool add_output(struct select_builder *builder, const struct select_output *output, struct dialect_place place)
{
    for (size_t i = 0; output->select != NULL && i < builder->output_count; i++) {
        const struct select_output *other = &builder->outputs[i];
        if (!text_equal(other->key, output->key))
            continue;
        /* `*,id`: said twice, shown once. */
        if (output->expression.column >= 0 && output->expression.column == other->expression.column)
            return true;
        return select_fail(builder, STATUS_INVALID, place,
                           "two columns of the result are named `%.*s`; give one of them an alias, as in `other:%.*s`",
                           TEXT_ARGS(select_shown(output->key)), TEXT_ARGS(select_shown(output->key)));
    }
    if (builder->output_count == OUTPUTS_MAX)
        return select_fail(builder, STATUS_INVALID, place, "more than %d columns are selected; select fewer",
                           OUTPUTS_MAX);
    builder->outputs[builder->output_count++] = *output;
    return true;
}

/* `*`: all but computed columns. `first`: nothing stands before it, so that no name can stand twice. */
static bool add_all(struct select_builder *builder, const struct dialect_select *select)
{
    struct dialect_place place = select != NULL ? select->field.place : (struct dialect_place){TEXT("select"), 0};
    bool first = builder->output_count == 0;
    for (size_t i = 0; i < builder->dataset->column_count; i++) {
        struct select_output output = {.key = builder->dataset->columns[i].name, .select = first ? NULL : select};
        if (builder->dataset->columns[i].computed)
            continue;
        if (!select_column(builder, i, &output.expression) || !add_output(builder, &output, place))
            return false;
    }
    return true;
}

static bool add_one(struct select_builder *builder, struct dialect_select select, const struct dialect_select *origin)
{
    struct select_output output = {.select = origin, .expression = {.column = -1}};
    struct dialect_place place = select.field.place;
    if (select.bare_count && dataset_column(builder->dataset, TEXT("count")) != NULL) {
        select.aggregate = DIALECT_PLAIN;
        select.field.column = TEXT("count");
        select.cast = select.cast.data != NULL ? select.cast : select.aggregate_cast;
    }
    if (select.field.column.data != NULL && (!select_field(builder, &select.field, &output.expression) ||
                                             !append_cast(builder, &select.field, select.cast, &output.expression)))
        return false;
    output.key = key_of(&select.field);
    if (select.aggregate != DIALECT_PLAIN) {
        if (!append_aggregate(builder, &select, &output.expression) ||
            !append_cast(builder, &select.field, select.aggregate_cast, &output.expression))
            return false;
        output.is_aggregate = builder->plan->aggregated = true;
        output.key = text_from_string(aggregate_names[select.aggregate]);
    }
    if (select.alias.data != NULL)
        output.key = select.alias;
    return add_output(builder, &output, place);
}

/* Rows are grouped by the others, which must be of types that know when two values are the same. */
static bool check_groups(struct select_builder *builder)
{
    for (size_t i = 0; builder->plan->aggregated && i < builder->output_count; i++) {
        const struct select_output *output = &builder->outputs[i];
        const struct type *type = output->expression.type;
        if (output->is_aggregate || type == NULL || !type->has_no_order)
            continue;
        struct dialect_place place =
            output->select != NULL ? output->select->field.place : (struct dialect_place){TEXT("select"), 0};
        return select_fail(builder, STATUS_NOT_FOUND, place,
                           "`%.*s` is of type %.*s, by which rows cannot be grouped; cast it, as in `%.*s::text`, or "
                           "leave it out",
                           TEXT_ARGS(select_shown(output->key)), TEXT_ARGS(type->name),
                           TEXT_ARGS(select_shown(output->key)));
    }
    return true;
}

static bool make_types(struct select_builder *builder)
{
    const struct type **types = arena_alloc(builder->arena, (builder->output_count + 1) * sizeof(struct type *));
    if (types == NULL) {
        builder->status = STATUS_TOO_LARGE;
        return false;
    }
    for (size_t i = 0; i < builder->output_count; i++)
        types[i] = builder->outputs[i].expression.type;
    builder->plan->types = types;
    builder->plan->visible = builder->output_count;
    return true;
}

bool select_outputs(struct select_builder *builder)
{
    const struct dialect_query *query = builder->request->query;
    size_t room = query->select_count + 1, columns = builder->dataset->column_count;
    for (size_t i = 0; i < query->select_count; i++)
        room += query->selects[i].is_all ? columns : 0;
    room += query->select_count == 0 ? columns : 0;
    builder->outputs =
        arena_alloc(builder->arena, (room < OUTPUTS_MAX ? room : OUTPUTS_MAX) * sizeof(*builder->outputs));
    if (builder->outputs == NULL) {
        builder->status = STATUS_TOO_LARGE;
        return false;
    }
    if (query->select_count == 0 && !add_all(builder, NULL))
        return false;
    for (size_t i = 0; i < query->select_count; i++) {
        const struct dialect_select *select = &query->selects[i];
        if (select->is_all ? !add_all(builder, select) : !add_one(builder, *select, select))
            return false;
    }
    return check_groups(builder) && make_types(builder);
}
