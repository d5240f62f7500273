#include "query/select.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "drivers/postgres_session.h"
#include "query/binary.h"
#include "query/select_private.h"

#define SQL_CEILING (4 << 20)
#define SQL_FIRST 2048       /* bytes of a statement that cost no allocation */
#define PARAMETERS_MAX 65535 /* of the protocol: 16 bits */
#define SHOWN_MAX 48         /* bytes of a name or value in a message */

bool select_fail(struct select_builder *builder, enum status status, struct dialect_place place, const char *format,
                 ...)
{
    va_list arguments;
    if (builder->status != STATUS_OK)
        return false;
    builder->status = status;
    builder->mistake->status = status;
    builder->mistake->place = place;
    if (place.parameter.data == NULL)
        builder->mistake->place.parameter = TEXT("select"); /* the one that need not be there */
    va_start(arguments, format);
    vsnprintf(builder->mistake->message, sizeof(builder->mistake->message), format, arguments);
    va_end(arguments);
    return false;
}

struct text select_shown(struct text text)
{
    size_t size = text.size;
    if (size > SHOWN_MAX) {
        size = SHOWN_MAX;
        while (size != 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80)
            size--;
    }
    return text_of(text.data != NULL ? text.data : "", size);
}

struct text select_take(struct select_builder *builder, size_t start)
{
    struct text taken = TEXT_NONE, made = TEXT("");
    if (builder->sql.size > start)
        made = text_of(builder->sql.data + start, builder->sql.size - start);
    if (!builder->sql.failed)
        taken = arena_copy(builder->arena, made);
    if (taken.data == NULL && builder->status == STATUS_OK)
        builder->status = STATUS_TOO_LARGE;
    if (taken.data != NULL)
        builder->sql.size = start;
    return taken;
}

bool select_append_parameter(struct select_builder *builder, struct text value)
{
    if (builder->parameter_count == builder->parameter_room) {
        size_t room = builder->parameter_room == 0 ? 16 : builder->parameter_room * 2;
        struct text *grown = room <= 2 * PARAMETERS_MAX ? arena_alloc(builder->arena, room * sizeof(*grown)) : NULL;
        if (grown == NULL) {
            builder->status = builder->status == STATUS_OK ? STATUS_TOO_LARGE : builder->status;
            return false;
        }
        if (builder->parameter_count != 0)
            memcpy(grown, builder->parameters, builder->parameter_count * sizeof(*grown));
        builder->parameters = grown;
        builder->parameter_room = room;
    }
    /* A value that is absent would be null, which is another question. */
    builder->parameters[builder->parameter_count++] = value.data != NULL ? value : TEXT("");
    buffer_append_char(&builder->sql, '$');
    buffer_append_uint64(&builder->sql, builder->parameter_count);
    return true;
}

static void append_relation(struct select_builder *builder)
{
    buffer_append_literal(&builder->sql, " from ");
    buffer_append_text(&builder->sql, builder->dataset->sql_name);
    buffer_append_literal(&builder->sql, " as \"sluice_t\"");
}

static void append_groups(struct select_builder *builder)
{
    bool first = true;
    for (size_t i = 0; i < builder->output_count; i++) {
        if (builder->outputs[i].is_aggregate)
            continue;
        buffer_append_string(&builder->sql, first ? " group by " : ", ");
        buffer_append_uint64(&builder->sql, i + 1);
        first = false;
    }
}

/* "from … where …", whose rows are those of the answer without its bounds; its parameters are the first. */
static bool make_filtered(struct select_builder *builder)
{
    struct select_plan *plan = builder->plan;
    size_t start = builder->sql.size;
    if (!select_append_conditions(builder))
        return false;
    struct text conditions = select_take(builder, start);
    plan->filter_parameter_count = builder->parameter_count;
    if (conditions.data == NULL || !select_outputs(builder))
        return false;
    if (plan->aggregated) {
        buffer_append_literal(&builder->sql, " from (select ");
        for (size_t i = 0; i < builder->output_count; i++) {
            buffer_append_string(&builder->sql, i != 0 ? ", " : "");
            buffer_append_text(&builder->sql, builder->outputs[i].expression.sql);
            buffer_printf(&builder->sql, " as \"sluice_%zu\"", i + 1);
        }
    }
    append_relation(builder);
    buffer_append_text(&builder->sql, conditions);
    if (plan->aggregated) {
        append_groups(builder);
        buffer_append_literal(&builder->sql, ") as \"sluice_g\"");
    }
    plan->filtered_sql = select_take(builder, start);
    return plan->filtered_sql.data != NULL;
}

static void append_outputs(struct select_builder *builder)
{
    for (size_t i = 0; i < builder->output_count; i++) {
        const struct select_output *output = &builder->outputs[i];
        const struct select_expression *expression = &output->expression;
        buffer_append_string(&builder->sql, i != 0 ? ", " : " ");
        if (builder->plan->aggregated)
            buffer_printf(&builder->sql, "\"sluice_g\".\"sluice_%zu\"", i + 1);
        else
            buffer_append_text(&builder->sql, expression->sql);
        bool named = !builder->plan->aggregated && expression->column >= 0 &&
                     !builder->dataset->columns[expression->column].computed &&
                     text_equal(builder->dataset->columns[expression->column].name, output->key);
        if (named)
            continue;
        buffer_append_literal(&builder->sql, " as ");
        postgres_append_identifier(&builder->sql, output->key);
    }
}

/* The column that the caller sees and that has the order's value; output_count: there is none. */
static size_t shown_at(const struct select_builder *builder, const struct select_expression *order)
{
    if (builder->plan->aggregated)
        return order->column >= 0 ? (size_t)order->column : builder->output_count;
    size_t i = 0;
    while (i < builder->output_count && !text_equal(builder->outputs[i].expression.sql, order->sql))
        i++;
    return i;
}

/* Most orders are by columns that are selected anyway; a value sent twice would be paid for in each row by all three:
 * the server, libpq and the network. Returns how many columns there are in all. */
static size_t append_hidden(struct select_builder *builder)
{
    struct select_plan *plan = builder->plan;
    size_t columns = builder->output_count;
    for (size_t i = 0; i < builder->order_count; i++) {
        size_t at = shown_at(builder, &builder->orders[i].expression);
        if (at == builder->output_count) {
            buffer_append_string(&builder->sql, columns != 0 ? ", " : " ");
            buffer_append_text(&builder->sql, builder->orders[i].expression.sql);
            at = columns++;
        }
        plan->order_at[i] = (uint16_t)at;
    }
    plan->order_count = builder->order_count;
    return columns;
}

/* Equality on a whole key: its index gives the one row there is. */
static bool finds_by_key(const struct select_builder *builder)
{
    const struct dataset *dataset = builder->dataset;
    for (size_t i = 0; i < dataset->key_count; i++) {
        size_t equal = 0;
        for (size_t column = 0; column < dataset->keys[i].count; column++)
            equal += builder->equal[dataset->keys[i].columns[column]];
        if (equal == dataset->keys[i].count)
            return !builder->plan->aggregated && builder->request->after == NULL;
    }
    return false;
}

static bool fail_cursor(struct select_builder *builder)
{
    return select_fail(builder, STATUS_INVALID, (struct dialect_place){TEXT("cursor"), 0},
                       "the cursor belongs to another order; take it from the Link header of the page before, with the "
                       "same parameters");
}

/* The cursor must be of this order. */
static bool read_cursor(struct select_builder *builder)
{
    const struct cursor *after = builder->request->after;
    size_t expected = builder->order_count + builder->plan->counts_ties;
    int64_t count = 0;
    if (after->count != expected)
        return fail_cursor(builder);
    if (!builder->plan->counts_ties)
        return true;
    struct text digest = after->values[expected - 2], last = after->values[expected - 1];
    if (digest.data == NULL || last.data == NULL || !text_to_int64(last, &count) || count < 0)
        return fail_cursor(builder);
    builder->plan->ties = (uint64_t)count;
    return true;
}

/* LIMIT and OFFSET are literals: with parameters for them the server would guess how many rows are wanted. */
static void append_limit(struct select_builder *builder, uint64_t more)
{
    if (builder->plan->by_key || builder->request->limit >= INT64_MAX)
        return;
    uint64_t room = INT64_MAX - builder->request->limit;
    buffer_append_literal(&builder->sql, " limit ");
    buffer_append_uint64(&builder->sql, builder->request->limit + (more < room ? more : room));
}

static void append_bounds(struct select_builder *builder)
{
    uint64_t offset = builder->request->after == NULL ? builder->request->offset : 0;
    append_limit(builder, builder->plan->ties < INT64_MAX ? builder->plan->ties + 1 : INT64_MAX);
    if (offset != 0) {
        buffer_append_literal(&builder->sql, " offset ");
        buffer_append_uint64(&builder->sql, offset < INT64_MAX ? offset : INT64_MAX);
    }
}

/* Where ties are counted the rows behind a cursor begin with those that are the same as its own. As many of these are
 * passed over as were sent, and no others: by an OFFSET rows would be lost in place of those that are gone since.
 * What stands from `start` on selects them, in `columns` columns; `digest`: the number of the parameter that is the
 * cursor's digest. */
static bool pass_over_ties(struct select_builder *builder, size_t start, size_t columns, size_t digest)
{
    const struct select_plan *plan = builder->plan;
    struct text page = select_take(builder, start);
    size_t last = plan->order_at[plan->order_count - 1];
    for (size_t i = 0; i < columns; i++) {
        buffer_printf(&builder->sql, "%s \"sluice_%zu\"", i == 0 ? "select" : ",", i + 1);
        if (i < builder->output_count) {
            buffer_append_literal(&builder->sql, " as ");
            postgres_append_identifier(&builder->sql, builder->outputs[i].key);
        }
    }
    buffer_append_literal(&builder->sql, " from (select *, row_number() over () as \"sluice_row\" from (");
    buffer_append_text(&builder->sql, page);
    buffer_append_literal(&builder->sql, ") as \"sluice_p\"");
    for (size_t i = 0; i < columns; i++)
        buffer_printf(&builder->sql, "%s\"sluice_%zu\"", i == 0 ? "(" : ", ", i + 1);
    buffer_printf(&builder->sql,
                  ")) as \"sluice_q\" where not (\"sluice_q\".\"sluice_row\" <= %" PRIu64
                  " and \"sluice_%zu\" = $%zu) order by \"sluice_q\".\"sluice_row\"",
                  plan->ties, last + 1, digest);
    append_limit(builder, 1);
    return page.data != NULL;
}

static bool append_page(struct select_builder *builder)
{
    const struct select_request *request = builder->request;
    struct select_plan *plan = builder->plan;
    bool total = (request->wants_cursor || request->after != NULL) && !plan->by_key;
    size_t start = builder->sql.size;
    if (!select_orders(builder, total))
        return false;
    if (plan->by_key)
        builder->order_count = 0; /* of one row there is no order; the caller's was only checked */
    buffer_append_literal(&builder->sql, "select");
    append_outputs(builder);
    size_t columns = total ? append_hidden(builder) : builder->output_count;
    buffer_append_text(&builder->sql, plan->filtered_sql);
    if (request->after != NULL) {
        if (!read_cursor(builder))
            return false;
        bool more = !plan->aggregated && request->query->condition_count != 0;
        buffer_append_string(&builder->sql, more ? " and " : " where ");
        if (!select_append_behind(builder, request->after))
            return false;
    }
    size_t digest = builder->parameter_count;
    if (!select_append_order(builder))
        return false;
    append_bounds(builder);
    return plan->ties == 0 || pass_over_ties(builder, start, columns, digest);
}

static bool is_binary(const struct select_expression *expression)
{
    const struct type *type = expression->type;
    return expression->column >= 0 && type != NULL && type->kind != TYPE_ARRAY && type->kind != TYPE_COMPOSITE &&
           binary_knows(type->base);
}

/* Printing floating point and times is most of what a page costs the server: it sends bits where they can be read, and
 * where it is sure that they can: of columns as they are, not of what casts and aggregates make of them. */
static bool comes_binary(const struct select_builder *builder)
{
    for (size_t i = 0; i < builder->output_count; i++)
        if (builder->plan->aggregated || !is_binary(&builder->outputs[i].expression))
            return false;
    for (size_t i = 0; i < builder->plan->order_count; i++)
        if (!is_binary(&builder->orders[i].expression))
            return false;
    return true;
}

static bool build(struct select_builder *builder)
{
    struct select_plan *plan = builder->plan;
    if (!make_filtered(builder))
        return false;
    if (plan->aggregated) /* what is grouped is counted, with the parameters of its expressions */
        plan->filter_parameter_count = builder->parameter_count;
    plan->by_key = finds_by_key(builder);
    size_t start = builder->sql.size;
    buffer_append_literal(&builder->sql, "select count(*)");
    buffer_append_text(&builder->sql, plan->filtered_sql);
    struct text count = select_take(builder, start);
    if (count.data == NULL || !append_page(builder))
        return false;
    struct text sql = select_take(builder, start);
    if (sql.data == NULL)
        return false;
    postgres_statement_init(&plan->count_statement, count.data, plan->filter_parameter_count, NULL);
    postgres_statement_init(&plan->statement, sql.data, builder->parameter_count, NULL);
    /* The server infers the values' types once, when it prepares: a column of another type needs another statement. */
    plan->count_statement.id ^= builder->dataset->signature;
    plan->statement.id ^= builder->dataset->signature;
    plan->statement.binary = comes_binary(builder);
    plan->parameters = builder->parameters;
    return true;
}

enum status select_plan(const struct select_request *request, struct arena *arena, struct select_plan *plan,
                        struct select_mistake *mistake)
{
    *plan = (struct select_plan){.visible = 0};
    *mistake = (struct select_mistake){.status = STATUS_OK};
    struct select_builder builder;
    char first[SQL_FIRST];
    memset(&builder, 0, offsetof(struct select_builder, orders));
    builder.request = request;
    builder.dataset = request->dataset;
    builder.arena = arena;
    builder.plan = plan;
    builder.mistake = mistake;
    builder.equal = arena_calloc(arena, request->dataset->column_count + 1, sizeof(bool));
    if (builder.equal == NULL)
        return STATUS_TOO_LARGE;
    buffer_init_on(&builder.sql, first, sizeof(first), SQL_CEILING);
    bool built = build(&builder);
    buffer_free(&builder.sql);
    if (!built && builder.status == STATUS_OK)
        builder.status = STATUS_TOO_LARGE;
    return builder.status;
}

/* A value of the order as the server would print it, for as long as `scratch` is not used again. */
static struct text order_text(const struct select_plan *plan, const struct postgres_rows *rows, size_t row, size_t i,
                              struct buffer *scratch)
{
    struct text value = postgres_rows_value(rows, row, plan->order_at[i]);
    if (value.data == NULL || !postgres_rows_is_binary(rows, plan->order_at[i]))
        return value;
    buffer_clear(scratch);
    binary_append(scratch, postgres_rows_type(rows, plan->order_at[i]), value);
    return scratch->size != 0 ? buffer_text(scratch) : TEXT("");
}

bool select_is_at(const struct select_plan *plan, const struct postgres_rows *rows, size_t row,
                  const struct cursor *cursor)
{
    struct buffer scratch;
    bool same = cursor->count >= plan->order_count;
    buffer_init(&scratch, SQL_CEILING);
    for (size_t i = 0; same && i < plan->order_count; i++) {
        struct text value = order_text(plan, rows, row, i, &scratch);
        same = (value.data == NULL) == (cursor->values[i].data == NULL) && text_equal(value, cursor->values[i]);
    }
    buffer_free(&scratch);
    return same;
}

enum status select_cursor(const struct select_plan *plan, const struct postgres_rows *rows, size_t row, uint64_t ties,
                          struct arena *arena, struct cursor *cursor)
{
    char digits[24];
    size_t size = 0;
    bool fits = true;
    struct buffer scratch;
    buffer_init(&scratch, SQL_CEILING);
    cursor->count = 0;
    for (size_t i = 0; fits && i < plan->order_count; i++) {
        struct text value = order_text(plan, rows, row, i, &scratch);
        struct text kept = value.data != NULL ? arena_copy(arena, value) : TEXT_NONE;
        size += value.size;
        fits = (value.data == NULL || kept.data != NULL) && size <= CURSOR_MAX_SIZE && !scratch.failed;
        cursor->values[cursor->count++] = kept;
    }
    buffer_free(&scratch);
    if (!fits)
        return STATUS_TOO_LARGE;
    if (!plan->counts_ties)
        return STATUS_OK;
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)ties);
    struct text kept = arena_copy(arena, text_of(digits, (size_t)length));
    cursor->values[cursor->count++] = kept;
    return kept.data != NULL ? STATUS_OK : STATUS_TOO_LARGE;
}
