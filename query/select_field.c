#include <stdio.h>

#include "drivers/postgres_session.h"
#include "query/select_private.h"

#define OID_TEXT 25
#define OID_JSON 114
#define OID_JSONB 3802
#define NEAR 3 /* letters between a name and the one that is offered instead */

uint32_t select_base(const struct type *type)
{
    return type != NULL ? type->base : 0;
}

bool select_is_json(const struct type *type)
{
    return select_base(type) == OID_JSON || select_base(type) == OID_JSONB;
}

/* Views say of no column that it is never null; their table's primary key is. */
static bool is_nullable(const struct dataset *dataset, size_t index)
{
    if (!dataset->columns[index].nullable)
        return false;
    for (size_t i = 0; i < dataset->key_count && dataset->keys[i].primary; i++)
        for (size_t column = 0; column < dataset->keys[i].count; column++)
            if (dataset->keys[i].columns[column] == index)
                return false;
    return true;
}

bool select_column(struct select_builder *builder, size_t index, struct select_expression *expression)
{
    const struct dataset_column *column = &builder->dataset->columns[index];
    size_t start = builder->sql.size;
    if (column->computed) {
        buffer_append_text(&builder->sql, column->function);
        buffer_append_literal(&builder->sql, "(\"sluice_t\".*)");
    } else {
        buffer_append_literal(&builder->sql, "\"sluice_t\".");
        postgres_append_identifier(&builder->sql, column->name);
    }
    *expression = (struct select_expression){.sql = select_take(builder, start),
                                             .type = column->type,
                                             .column = (int)index,
                                             .nullable = column->computed || is_nullable(builder->dataset, index),
                                             .is_tsvector = column->is_tsvector};
    return expression->sql.data != NULL;
}

static bool fail_unknown(struct select_builder *builder, const struct dialect_field *field)
{
    const struct dataset *dataset = builder->dataset;
    const struct dataset_column *nearest = NULL;
    size_t distance = NEAR + 1;
    for (size_t i = 0; i < dataset->column_count; i++) {
        size_t now = text_distance(dataset->columns[i].name, field->column);
        if (now < distance && now < field->column.size) {
            distance = now;
            nearest = &dataset->columns[i];
        }
    }
    struct text name = select_shown(field->column);
    char at[32] = "";
    if (field->place.column != 0) /* else the parameter's name is the column's */
        snprintf(at, sizeof(at), " at column %u", field->place.column);
    if (nearest != NULL)
        return select_fail(builder, STATUS_INVALID, field->place, "unknown column `%.*s`%s; did you mean `%.*s`?",
                           TEXT_ARGS(name), at, TEXT_ARGS(nearest->name));
    return select_fail(builder, STATUS_INVALID, field->place,
                       "unknown column `%.*s`%s; the dataset's schema lists those there are", TEXT_ARGS(name), at);
}

/* The value that a path begins at: json as it is, what to_jsonb makes of arrays and composites. False: it has no parts.
 */
static bool append_root(struct select_builder *builder, const struct dialect_field *field,
                        struct select_expression *expression)
{
    const struct type *type = expression->type;
    bool whole = type != NULL && (type->kind == TYPE_ARRAY || type->kind == TYPE_COMPOSITE);
    /* Types that extensions bring may have paths of their own (hstore): the server knows. */
    if (type != NULL && !whole && !select_is_json(type) && type_builtin(type->base) != NULL)
        return select_fail(builder, STATUS_NOT_FOUND, field->place,
                           "`%.*s` is of type %.*s, which has no parts to reach with `->`; leave the path out",
                           TEXT_ARGS(select_shown(field->column)), TEXT_ARGS(type->name));
    if (whole)
        buffer_append_literal(&builder->sql, "to_jsonb(");
    buffer_append_text(&builder->sql, expression->sql);
    if (whole) {
        buffer_append_char(&builder->sql, ')');
        expression->type = type_builtin(OID_JSONB);
    }
    return true;
}

/* Keys are the caller's: parameters, as all his values are. */
static bool append_path(struct select_builder *builder, const struct dialect_field *field,
                        struct select_expression *expression)
{
    size_t start = builder->sql.size;
    buffer_append_char(&builder->sql, '(');
    if (!append_root(builder, field, expression))
        return false;
    for (size_t i = 0; i < field->step_count; i++) {
        const struct dialect_step *step = &field->steps[i];
        if (i != 0 && field->steps[i - 1].as_text)
            return select_fail(builder, STATUS_INVALID, field->place,
                               "in a path on `%.*s` a step follows `->>`, which gives text; only the last may be `->>`",
                               TEXT_ARGS(select_shown(field->column)));
        buffer_append_string(&builder->sql, step->as_text ? " ->> " : " -> ");
        if (!select_append_parameter(builder, step->key))
            return false;
        buffer_append_string(&builder->sql, step->is_index ? "::int4" : "::text");
        if (step->as_text)
            expression->type = type_builtin(OID_TEXT);
    }
    buffer_append_char(&builder->sql, ')');
    builder->plan->caller_values = true;
    expression->sql = select_take(builder, start);
    expression->column = -1;
    expression->nullable = true;
    expression->is_tsvector = false;
    return expression->sql.data != NULL;
}

bool select_field(struct select_builder *builder, const struct dialect_field *field,
                  struct select_expression *expression)
{
    const struct dataset_column *column = dataset_column(builder->dataset, field->column);
    if (column == NULL)
        return fail_unknown(builder, field);
    if (!select_column(builder, (size_t)(column - builder->dataset->columns), expression))
        return false;
    return field->step_count == 0 || append_path(builder, field, expression);
}
