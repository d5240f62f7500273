/* A parsed query string in one line, so that a table can hold what is expected of each input:
 *   CONDITION & CONDITION; select ITEM, ITEM; order ITEM; limit N; offset N; cursor 'C'; format 'F'
 * Names stand in [], values in '', steps as ->[key], ->>[key], ->#index; ! negates. A mistake is
 *   mistake PARAMETER:COLUMN MESSAGE */
#ifndef SLUICE_TESTS_UNIT_QUERY_DIALECT_PRINT_H
#define SLUICE_TESTS_UNIT_QUERY_DIALECT_PRINT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include "base/buffer.h"
#include "query/dialect.h"

struct dialect_case {
    const char *input, *expected;
};

static void print_list_mark(struct buffer *out, size_t index)
{
    if (index != 0)
        buffer_append_literal(out, ", ");
}

static void print_field(struct buffer *out, const struct dialect_field *field)
{
    buffer_printf(out, "[%.*s]", TEXT_ARGS(field->column));
    for (size_t i = 0; i < field->step_count; i++) {
        const struct dialect_step *step = &field->steps[i];
        buffer_printf(out, step->is_index ? "%s#%.*s" : "%s[%.*s]", step->as_text ? "->>" : "->", TEXT_ARGS(step->key));
    }
}

static void print_leaf(struct buffer *out, const struct dialect_condition *leaf)
{
    static const char *const quantifiers[] = {"", "(any)", "(all)"};
    static const char *const is[] = {"null", "not null", "true", "false", "unknown"};
    print_field(out, &leaf->field);
    buffer_printf(out, " %s%s", dialect_operator_name(leaf->op), quantifiers[leaf->quantifier]);
    if (leaf->language.data != NULL)
        buffer_printf(out, "(%.*s)", TEXT_ARGS(leaf->language));
    if (leaf->op == DIALECT_IS) {
        buffer_printf(out, " %s", is[leaf->is]);
    } else if (leaf->op == DIALECT_IN) {
        buffer_append_literal(out, " (");
        for (size_t i = 0; i < leaf->value_count; i++) {
            print_list_mark(out, i);
            buffer_printf(out, "'%.*s'", TEXT_ARGS(leaf->values[i]));
        }
        buffer_append_char(out, ')');
    } else {
        buffer_printf(out, " '%.*s'", TEXT_ARGS(leaf->value));
    }
}

static void print_condition(struct buffer *out, const struct dialect_condition *condition)
{
    if (condition->negated)
        buffer_append_char(out, '!');
    if (condition->kind == DIALECT_LEAF) {
        print_leaf(out, condition);
        return;
    }
    buffer_append_string(out, condition->kind == DIALECT_AND ? "and(" : "or(");
    for (size_t i = 0; i < condition->child_count; i++) {
        print_list_mark(out, i);
        print_condition(out, condition->children[i]);
    }
    buffer_append_char(out, ')');
}

static void print_select(struct buffer *out, const struct dialect_select *select)
{
    static const char *const aggregates[] = {"", ".count()", ".sum()", ".avg()", ".min()", ".max()"};
    if (select->alias.data != NULL)
        buffer_printf(out, "%.*s=", TEXT_ARGS(select->alias));
    if (select->is_all)
        buffer_append_char(out, '*');
    else if (select->field.column.data != NULL)
        print_field(out, &select->field);
    if (select->cast.data != NULL)
        buffer_printf(out, "::%.*s", TEXT_ARGS(select->cast));
    buffer_append_string(out, select->bare_count ? "count" : aggregates[select->aggregate]);
    if (select->aggregate_cast.data != NULL)
        buffer_printf(out, "::%.*s", TEXT_ARGS(select->aggregate_cast));
}

static void print_order(struct buffer *out, const struct dialect_order *order)
{
    static const char *const nulls[] = {"", " nulls first", " nulls last"};
    print_field(out, &order->field);
    buffer_printf(out, "%s%s", order->descending ? " desc" : "", nulls[order->nulls]);
}

static void print_page(struct buffer *out, const struct dialect_query *query)
{
    if (query->has_limit && query->negative_limit)
        buffer_append_literal(out, "; limit negative");
    else if (query->has_limit)
        buffer_printf(out, "; limit %llu", (unsigned long long)query->limit);
    if (query->offset != 0)
        buffer_printf(out, "; offset %llu", (unsigned long long)query->offset);
    if (query->cursor.data != NULL)
        buffer_printf(out, "; cursor '%.*s'", TEXT_ARGS(query->cursor));
    if (query->format.data != NULL)
        buffer_printf(out, "; format '%.*s'", TEXT_ARGS(query->format));
}

static void print_query(struct buffer *out, const struct dialect_query *query)
{
    for (size_t i = 0; i < query->condition_count; i++) {
        buffer_append_string(out, i != 0 ? " & " : "");
        print_condition(out, query->conditions[i]);
    }
    for (size_t i = 0; i < query->select_count; i++) {
        buffer_append_string(out, i != 0 ? ", " : "; select ");
        print_select(out, &query->selects[i]);
    }
    for (size_t i = 0; i < query->order_count; i++) {
        buffer_append_string(out, i != 0 ? ", " : "; order ");
        print_order(out, &query->orders[i]);
    }
    print_page(out, query);
}

/* NUL-terminated in `out`. */
static void print_parsed(struct buffer *out, struct text input)
{
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 8 << 20);
    /* An exact copy, so that the address sanitizer sees a read past the end. */
    char *exact = malloc(input.size + 1);
    char *end = exact + 1;
    memcpy(end, input.data, input.size);
    enum status status = dialect_parse(text_of(end, input.size), &arena, &query, &mistake);
    if (status == STATUS_OK)
        print_query(out, query);
    else if (status == STATUS_INVALID)
        buffer_printf(out, "mistake %.*s:%u %s", TEXT_ARGS(mistake.parameter), mistake.column, mistake.message);
    else
        buffer_printf(out, "status %s", status_name(status));
    buffer_append_char(out, '\0');
    free(exact);
    arena_free(&arena);
}

/* "…" in `expected` stands for anything. */
static bool matches(const char *line, const char *expected)
{
    for (bool anywhere = false;; anywhere = true) {
        const char *gap = strstr(expected, "…");
        if (gap == NULL) {
            size_t tail = strlen(expected), size = strlen(line);
            return anywhere ? size >= tail && strcmp(line + size - tail, expected) == 0 : strcmp(line, expected) == 0;
        }
        size_t size = (size_t)(gap - expected);
        const char *found = anywhere ? memmem(line, strlen(line), expected, size) : line;
        if (found == NULL || strncmp(found, expected, size) != 0)
            return false;
        line = found + size;
        expected = gap + strlen("…");
    }
}

static void check_cases(const struct dialect_case *cases, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        struct buffer line;
        buffer_init(&line, 1 << 20);
        print_parsed(&line, text_from_string(cases[i].input));
        if (!matches(line.data, cases[i].expected)) {
            print_error("input:    %s\nexpected: %s\ngot:      %s\n", cases[i].input, cases[i].expected, line.data);
            wrong++;
        }
        buffer_free(&line);
    }
    assert_int_equal(wrong, 0);
}
#define CHECK_CASES(cases) check_cases((cases), sizeof(cases) / sizeof((cases)[0]))

#endif
