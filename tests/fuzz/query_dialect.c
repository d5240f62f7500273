/* A query string as a client sends it. What parses is walked to its last byte; its canonical form must parse to the
 * same tree but for the cursor, hold nothing but printable ASCII, and be its own canonical form. */
#include <stdlib.h>

#include "query/dialect.h"

/* The tree as numbers: equal trees in equal order give equal sums. Reads every byte that the tree points to. */
static void mix(uint64_t *sum, uint64_t value)
{
    *sum = (*sum ^ value) * 0x100000001b3;
}

static void mix_text(uint64_t *sum, struct text text)
{
    mix(sum, text.data == NULL ? UINT64_MAX : text.size);
    for (size_t i = 0; i < text.size; i++)
        mix(sum, (unsigned char)text.data[i]);
    if (!text_is_utf8(text))
        abort();
}

static void mix_field(uint64_t *sum, const struct dialect_field *field)
{
    mix_text(sum, field->column);
    mix_text(sum, field->place.parameter);
    mix(sum, field->place.column);
    for (size_t i = 0; i < field->step_count; i++) {
        mix_text(sum, field->steps[i].key);
        mix(sum, (uint64_t)field->steps[i].is_index * 2 + field->steps[i].as_text);
    }
}

static void mix_condition(uint64_t *sum, const struct dialect_condition *condition, unsigned depth)
{
    if (depth > DIALECT_MAX_DEPTH || (condition->kind != DIALECT_LEAF && condition->child_count == 0))
        abort();
    mix(sum, (uint64_t)condition->kind * 2 + condition->negated);
    mix_text(sum, condition->place.parameter);
    mix(sum, condition->place.column);
    for (size_t i = 0; i < condition->child_count; i++)
        mix_condition(sum, condition->children[i], depth + 1);
    if (condition->kind != DIALECT_LEAF)
        return;
    mix_field(sum, &condition->field);
    mix_text(sum, text_from_string(dialect_operator_name(condition->op)));
    mix(sum, (uint64_t)condition->quantifier * 8 + condition->is);
    mix(sum, condition->value_column);
    mix_text(sum, condition->language);
    mix_text(sum, condition->value);
    for (size_t i = 0; i < condition->value_count; i++)
        mix_text(sum, condition->values[i]);
}

static void mix_select(uint64_t *sum, const struct dialect_select *select)
{
    mix(sum, (uint64_t)select->is_all * 2 + select->bare_count);
    mix_text(sum, select->alias);
    mix_field(sum, &select->field);
    mix_text(sum, select->cast);
    mix(sum, select->aggregate);
    mix_text(sum, select->aggregate_cast);
}

static void mix_page(uint64_t *sum, const struct dialect_query *query)
{
    mix(sum, (uint64_t)query->has_limit * 2 + query->negative_limit);
    mix(sum, query->limit);
    mix(sum, query->offset);
    mix_text(sum, query->format);
    if (query->limit > INT64_MAX || query->offset > INT64_MAX || query->condition_count > DIALECT_MAX_CONDITIONS ||
        query->select_count > DIALECT_MAX_SELECTS || query->order_count > DIALECT_MAX_ORDERS)
        abort();
}

/* Conditions are added up, since sorting the parameters changes their order. */
static uint64_t walk(const struct dialect_query *query)
{
    uint64_t sum = 1, conditions = 0;
    for (size_t i = 0; i < query->condition_count; i++) {
        uint64_t one = 1;
        mix_condition(&one, query->conditions[i], 0);
        conditions += one;
    }
    for (size_t i = 0; i < query->select_count; i++)
        mix_select(&sum, &query->selects[i]);
    for (size_t i = 0; i < query->order_count; i++) {
        mix_field(&sum, &query->orders[i].field);
        mix(&sum, (uint64_t)query->orders[i].nulls * 2 + query->orders[i].descending);
    }
    mix_page(&sum, query);
    return sum + conditions;
}

static void check_canonical(struct text input, const struct dialect_query *query, struct arena *arena)
{
    struct text once, twice;
    const struct dialect_query *again;
    struct dialect_mistake mistake;
    if (dialect_canonical(input, arena, &once) != STATUS_OK || dialect_canonical(once, arena, &twice) != STATUS_OK)
        abort();
    for (size_t i = 0; i < once.size; i++)
        if (once.data[i] <= ' ' || once.data[i] > '~')
            abort();
    if (!text_equal(once, twice) || dialect_parse(once, arena, &again, &mistake) != STATUS_OK ||
        walk(again) != walk(query) || again->cursor.data != NULL)
        abort();
}

static void check_mistake(const struct dialect_mistake *mistake)
{
    struct text message = text_from_string(mistake->message);
    if (message.size == 0 || !text_is_utf8(message) || !text_is_utf8(mistake->parameter))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 64 << 20);
    struct text input = text_of((const char *)data, size);
    enum status status = dialect_parse(input, &arena, &query, &mistake);
    if (status == STATUS_OK)
        check_canonical(input, query, &arena);
    else if (status == STATUS_INVALID)
        check_mistake(&mistake);
    arena_free(&arena);
    return 0;
}
