#include <ctype.h>
#include <stdio.h>

#include "query/sql_check_private.h"

#define NAME_MAX_SIZE 63 /* bytes, as PostgreSQL's identifiers */

static size_t name_size(struct text text, size_t start)
{
    size_t end = start;
    while (end < text.size && (isalnum((unsigned char)text.data[end]) || text.data[end] == '_'))
        end++;
    return end - start;
}

/* The number of a name, from 1; 0 after a failure. */
static size_t number_of(struct sql_check *check, struct text name)
{
    for (size_t i = 0; i < check->parameter_count; i++)
        if (text_equal(check->parameters[i], name))
            return i + 1;
    if (check->parameter_count == SQL_CHECK_PARAMETERS) {
        sql_check_fail(check, "the parameter :%.*s is one too many: a query takes at most %d", TEXT_ARGS(name),
                       SQL_CHECK_PARAMETERS);
        return 0;
    }
    check->parameters[check->parameter_count++] = name;
    return check->parameter_count;
}

/* What a value may end with: a colon behind it within [ ] is a slice's. */
static bool ends_operand(PgQuery__Token token)
{
    switch (token) {
    case PG_QUERY__TOKEN__IDENT:
    case PG_QUERY__TOKEN__ICONST:
    case PG_QUERY__TOKEN__PARAM:
    case PG_QUERY__TOKEN__ASCII_41: /* ) */
    case PG_QUERY__TOKEN__ASCII_93: /* ] */
        return true;
    default:
        return false;
    }
}

static bool is_parameter(const PgQuery__ScanResult *scanned, size_t i, size_t brackets, struct text text)
{
    const PgQuery__ScanToken *colon = scanned->tokens[i],
                             *next = i + 1 < scanned->n_tokens ? scanned->tokens[i + 1] : 0;
    if (colon->token != PG_QUERY__TOKEN__ASCII_58 || next == NULL || next->start != colon->end)
        return false;
    unsigned char first = (unsigned char)text.data[next->start];
    if (!isalpha(first) && first != '_')
        return false;
    return brackets == 0 || i == 0 || !ends_operand(scanned->tokens[i - 1]->token);
}

static bool swap_name(struct sql_check *check, const PgQuery__ScanToken *colon, const PgQuery__ScanToken *next,
                      struct sql_check_swap *swap, struct buffer *sql)
{
    size_t start = (size_t)next->start, size = name_size(check->text, start);
    struct text name = text_of(check->text.data + start, size);
    size_t written = (size_t)(next->end - next->start);
    check->location = (int32_t)colon->start;
    if (size != written || size > NAME_MAX_SIZE)
        return sql_check_fail(check,
                              "the parameter :%.*s… has a name that can't be used: at most 63 letters, digits and _",
                              (int)(size < NAME_MAX_SIZE ? size : NAME_MAX_SIZE), name.data);
    size_t number = number_of(check, name);
    if (number == 0)
        return false;
    const struct sql_check_swap *last = check->swap_count != 0 ? swap - 1 : NULL;
    size_t done = last != NULL ? last->old_start + last->old_size : 0;
    buffer_append(sql, check->text.data + done, (size_t)colon->start - done);
    /* A space of its own on both sides: neither 1:a nor :a:b may grow together with their neighbours. */
    size_t at = sql->size;
    buffer_printf(sql, " $%zu ", number);
    *swap = (struct sql_check_swap){(size_t)colon->start, size + 1, at, sql->size - at};
    check->swap_count++;
    return true;
}

static bool swap_all(struct sql_check *check, const PgQuery__ScanResult *scanned, struct sql_check_swap *swaps,
                     struct buffer *sql)
{
    const PgQuery__ScanToken *positional = NULL;
    size_t brackets = 0;
    for (size_t i = 0; i < scanned->n_tokens; i++) {
        const PgQuery__ScanToken *token = scanned->tokens[i];
        if (token->token == PG_QUERY__TOKEN__PARAM)
            positional = token;
        else if (token->token == PG_QUERY__TOKEN__ASCII_91)
            brackets++;
        else if (token->token == PG_QUERY__TOKEN__ASCII_93 && brackets != 0)
            brackets--;
        else if (is_parameter(scanned, i, brackets, check->text) &&
                 !swap_name(check, token, scanned->tokens[i + 1], &swaps[check->swap_count], sql))
            return false;
    }
    if (check->swap_count == 0)
        return true;
    if (positional != NULL) {
        check->location = positional->start;
        return sql_check_fail(check, "this query has parameters by name (:%.*s) and by number: use one of the two",
                              TEXT_ARGS(check->parameters[0]));
    }
    const struct sql_check_swap *last = &swaps[check->swap_count - 1];
    size_t done = last->old_start + last->old_size;
    buffer_append(sql, check->text.data + done, check->text.size - done);
    struct text whole = arena_copy(check->arena, buffer_text(sql));
    if (sql->failed || whole.data == NULL)
        return sql_check_no_memory(check);
    check->sql = whole.data;
    check->swaps = swaps;
    check->named = true;
    check->location = -1;
    return true;
}

bool sql_check_number_parameters(struct sql_check *check)
{
    if (memchr(check->text.data, ':', check->text.size) == NULL)
        return true;
    PgQueryScanResult scan = pg_query_scan(check->sql);
    bool done = true;
    /* What can't be scanned can't be parsed either: the parser says why. */
    if (scan.error == NULL) {
        ProtobufCAllocator allocator = sql_check_allocator(check->arena);
        const PgQuery__ScanResult *scanned =
            pg_query__scan_result__unpack(&allocator, scan.pbuf.len, (const uint8_t *)scan.pbuf.data);
        struct sql_check_swap *swaps =
            scanned != NULL ? arena_alloc(check->arena, (scanned->n_tokens + 1) * sizeof(*swaps)) : NULL;
        struct buffer sql;
        buffer_init(&sql, 4 * SQL_CHECK_TEXT_MAX);
        done = swaps != NULL ? swap_all(check, scanned, swaps, &sql) : sql_check_no_memory(check);
        buffer_free(&sql);
    }
    pg_query_free_scan_result(scan);
    return done;
}

bool sql_check_parameter(struct sql_check *check, const PgQuery__ParamRef *parameter)
{
    if (check->is_view)
        return sql_check_fail(check, "a view has no parameters");
    if (parameter->number < 1 || parameter->number > SQL_CHECK_PARAMETERS)
        return sql_check_fail(check, "the parameter $%d can't be used: parameters are $1 to $%d", parameter->number,
                              SQL_CHECK_PARAMETERS);
    check->numbers[parameter->number - 1] = true;
    if (!check->named && (size_t)parameter->number > check->parameter_count)
        check->parameter_count = (size_t)parameter->number;
    return true;
}
