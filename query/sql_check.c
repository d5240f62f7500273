#include "query/sql_check.h"

#include <stdarg.h>
#include <stdio.h>

#include "query/sql_check_private.h"

/* --- Mistakes --- */

static size_t characters_of(struct text text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

/* The swap that holds the byte, or NULL; *old becomes the byte in the caller's text. */
static const struct sql_check_swap *place(const struct sql_check *check, size_t byte, size_t *old)
{
    *old = byte;
    for (size_t i = 0; i < check->swap_count && check->swaps != NULL; i++) {
        const struct sql_check_swap *swap = &check->swaps[i];
        if (byte < swap->new_start)
            break;
        if (byte < swap->new_start + swap->new_size) {
            *old = swap->old_start;
            return swap;
        }
        *old = byte - (swap->new_start + swap->new_size) + swap->old_start + swap->old_size;
    }
    return NULL;
}

static unsigned position_of(const struct sql_check *check)
{
    size_t old;
    if (check->location < 0)
        return 0;
    place(check, (size_t)check->location, &old);
    return (unsigned)characters_of(text_of(check->text.data, old < check->text.size ? old : check->text.size)) + 1;
}

bool sql_check_fail(struct sql_check *check, const char *format, ...)
{
    if (check->status != STATUS_OK)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->mistake->message, sizeof(check->mistake->message), format, arguments);
    va_end(arguments);
    check->mistake->position = position_of(check);
    check->status = STATUS_INVALID;
    return false;
}

bool sql_check_no_memory(struct sql_check *check)
{
    check->location = -1;
    sql_check_fail(check, "this query needs more memory to be checked than there is for it");
    check->status = STATUS_TOO_LARGE;
    return false;
}

bool sql_check_fail_parse(struct sql_check *check, const PgQueryError *error)
{
    size_t byte = 0, old;
    /* From 1; to the byte. */
    for (int left = error->cursorpos; left > 1 && check->sql != NULL && check->sql[byte] != '\0'; left--)
        for (byte++; ((unsigned char)check->sql[byte] & 0xc0) == 0x80;)
            byte++;
    check->location = error->cursorpos > 0 ? (int32_t)byte : -1;
    const struct sql_check_swap *swap = error->cursorpos > 0 ? place(check, byte, &old) : NULL;
    if (swap != NULL)
        return sql_check_fail(check, "syntax error at or near \"%.*s\"", (int)swap->old_size,
                              check->text.data + swap->old_start);
    return sql_check_fail(check, "%.300s", error->message != NULL ? error->message : "this query can't be read");
}

/* --- The check --- */

static bool check_text(struct sql_check *check)
{
    size_t most = check->is_view ? SQL_CHECK_VIEW_MAX : SQL_CHECK_TEXT_MAX;
    if (check->text.size > most)
        return sql_check_fail(check, "this query has %zu bytes: at most %zu can be taken", check->text.size, most);
    if (check->text.size == 0)
        return sql_check_fail(check, "there is no query in the text");
    if (memchr(check->text.data, '\0', check->text.size) != NULL || !text_is_utf8(check->text))
        return sql_check_fail(check, "the query is not text in UTF-8");
    struct text copy = arena_copy(check->arena, check->text);
    check->sql = copy.data;
    return copy.data != NULL || sql_check_no_memory(check);
}

static bool check_statement(struct sql_check *check, const PgQuery__ParseResult *tree)
{
    if (tree->n_stmts == 0)
        return sql_check_fail(check, "there is no query in the text");
    if (tree->n_stmts > 1) {
        check->location = tree->stmts[1]->stmt_location;
        return sql_check_fail(check, "there is more than one statement: a query is one SELECT");
    }
    return true;
}

static bool check_numbers(struct sql_check *check)
{
    check->location = -1;
    for (size_t i = 0; i < check->parameter_count; i++)
        if (!check->numbers[i])
            return sql_check_fail(check, "the parameter $%zu is not used but $%zu is: number them without a gap", i + 1,
                                  check->parameter_count);
    return true;
}

static void describe_order(const PgQuery__ParseResult *tree, struct sql_checked *checked)
{
    const PgQuery__SelectStmt *select = tree->stmts[0]->stmt->select_stmt;
    const PgQuery__Node *count = select->limit_count;
    /* LIMIT ALL is a constant null. */
    bool all = count != NULL && count->node_case == PG_QUERY__NODE__NODE_A_CONST && count->a_const->isnull;
    checked->has_order = select->n_sort_clause != 0;
    checked->has_limit = count != NULL && !all;
}

static bool hand_back(struct sql_check *check, struct sql_checked *checked)
{
    size_t size = check->relation_count * sizeof(check->relations[0]);
    struct sql_check_relation *relations = arena_alloc(check->arena, size);
    struct text *parameters = arena_calloc(check->arena, check->parameter_count, sizeof(*parameters));
    if (relations == NULL || parameters == NULL)
        return sql_check_no_memory(check);
    memcpy(relations, check->relations, size);
    for (size_t i = 0; check->named && i < check->parameter_count; i++) {
        parameters[i] = arena_copy(check->arena, check->parameters[i]);
        if (parameters[i].data == NULL)
            return sql_check_no_memory(check);
    }
    checked->relations = relations;
    checked->relation_count = check->relation_count;
    checked->parameters = parameters;
    checked->parameter_count = check->parameter_count;
    return true;
}

static bool run(struct sql_check *check, struct sql_checked *checked)
{
    PgQuery__ParseResult *tree;
    if (!check_text(check) || (!check->is_view && !sql_check_number_parameters(check)) ||
        !sql_check_parse(check, check->sql, &tree) || !check_statement(check, tree) || !sql_check_walk(check, tree) ||
        !check_numbers(check) || !sql_check_write(check, tree, &checked->sql))
        return false;
    describe_order(tree, checked);
    return hand_back(check, checked);
}

static enum status start(struct text text, bool is_view, sql_check_resolve resolve, void *context, struct arena *arena,
                         struct sql_checked *checked, struct sql_check_mistake *mistake)
{
    *checked = (struct sql_checked){.sql = TEXT_NONE};
    *mistake = (struct sql_check_mistake){.position = 0};
    struct sql_check *check = arena_calloc(arena, 1, sizeof(*check));
    if (check == NULL)
        return STATUS_TOO_LARGE;
    *check = (struct sql_check){.arena = arena,
                                .resolve = resolve,
                                .context = context,
                                .mistake = mistake,
                                .is_view = is_view,
                                .text = text,
                                .location = -1};
    return run(check, checked) ? STATUS_OK : check->status;
}

enum status sql_check(struct text sql, sql_check_resolve resolve, void *context, struct arena *arena,
                      struct sql_checked *checked, struct sql_check_mistake *mistake)
{
    return start(sql, false, resolve, context, arena, checked, mistake);
}

enum status sql_check_view(struct text definition, sql_check_resolve resolve, void *context, struct arena *arena,
                           struct sql_checked *checked, struct sql_check_mistake *mistake)
{
    return start(definition, true, resolve, context, arena, checked, mistake);
}

/* TEXT_NONE stays what it is. */
static bool copy_text(struct arena *arena, struct text from, struct text *to)
{
    *to = from.data != NULL ? arena_copy(arena, from) : TEXT_NONE;
    return from.data == NULL || to->data != NULL;
}

enum status sql_checked_copy(const struct sql_checked *from, struct arena *arena, struct sql_checked *to)
{
    struct sql_check_relation *relations = arena_calloc(arena, from->relation_count + 1, sizeof(*relations));
    struct text *parameters = arena_calloc(arena, from->parameter_count + 1, sizeof(*parameters));
    *to = *from;
    to->relations = relations;
    to->parameters = parameters;
    bool copied = relations != NULL && parameters != NULL && copy_text(arena, from->sql, &to->sql);
    for (size_t i = 0; copied && i < from->relation_count; i++) {
        const struct sql_check_relation *one = &from->relations[i];
        copied = copy_text(arena, one->schema, &relations[i].schema) &&
                 copy_text(arena, one->name, &relations[i].name) &&
                 copy_text(arena, one->real_schema, &relations[i].real_schema) &&
                 copy_text(arena, one->real_name, &relations[i].real_name);
    }
    for (size_t i = 0; copied && i < from->parameter_count; i++)
        copied = copy_text(arena, from->parameters[i], &parameters[i]);
    return copied ? STATUS_OK : STATUS_TOO_LARGE;
}
