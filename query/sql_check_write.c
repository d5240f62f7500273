/* From the tree back to text. libpg_query's printer leaves parentheses out where they are needed ((a)[1], (a IS
 * NULL)::int, (a AT TIME ZONE b)::date). What it prints is therefore parsed again, and where that gives another tree,
 * operands are wrapped into calls of a function whose name is then taken out of the text: its parentheses stay. */
#include <stdio.h>

#include "query/sql_check_private.h"

struct packed {
    uint8_t *data;
    size_t size;
};

static bool pack(struct sql_check *check, const PgQuery__ParseResult *tree, struct packed *packed)
{
    packed->size = pg_query__parse_result__get_packed_size(tree);
    packed->data = arena_alloc(check->arena, packed->size);
    if (packed->data == NULL)
        return sql_check_no_memory(check);
    pg_query__parse_result__pack(tree, packed->data);
    return true;
}

/* *sql is TEXT_NONE where the printer gives up. */
static bool print(struct sql_check *check, const struct packed *packed, struct text *sql)
{
    PgQueryDeparseResult printed = pg_query_deparse_protobuf((PgQueryProtobuf){packed->size, (char *)packed->data});
    bool done = true;
    *sql = TEXT_NONE;
    if (printed.error == NULL && printed.query != NULL) {
        *sql = arena_copy(check->arena, text_from_string(printed.query));
        done = sql->data != NULL || sql_check_no_memory(check);
    }
    pg_query_free_deparse_result(printed);
    return done;
}

/* *same: what runs is the text, what was looked at is the tree, and they are one. */
static bool read_again(struct sql_check *check, const PgQuery__ParseResult *tree, struct text sql, bool *same)
{
    struct sql_check_mistake mistake;
    struct sql_check reader = {.arena = check->arena, .mistake = &mistake, .location = -1};
    PgQuery__ParseResult *again;
    *same = sql_check_parse(&reader, sql.data, &again) && sql_check_equal(&tree->base, &again->base);
    return reader.status != STATUS_TOO_LARGE || sql_check_no_memory(check);
}

/* --- Parentheses --- */

static PgQuery__Node *name_node(struct sql_check *check, const char *name)
{
    PgQuery__Node *node = arena_alloc(check->arena, sizeof(*node));
    PgQuery__String *string = arena_alloc(check->arena, sizeof(*string));
    if (node == NULL || string == NULL)
        return NULL;
    pg_query__node__init(node);
    pg_query__string__init(string);
    string->sval = (char *)name;
    node->node_case = PG_QUERY__NODE__NODE_STRING;
    node->string = string;
    return node;
}

static bool wrap(struct sql_check *check, PgQuery__Node **slot)
{
    PgQuery__Node *outer = arena_alloc(check->arena, sizeof(*outer));
    PgQuery__FuncCall *call = arena_alloc(check->arena, sizeof(*call));
    PgQuery__Node **lists = arena_alloc(check->arena, 2 * sizeof(*lists));
    if (outer == NULL || call == NULL || lists == NULL || (lists[0] = name_node(check, check->wrapper)) == NULL)
        return sql_check_no_memory(check);
    pg_query__node__init(outer);
    pg_query__func_call__init(call);
    lists[1] = *slot;
    call->n_funcname = 1;
    call->funcname = &lists[0];
    call->n_args = 1;
    call->args = &lists[1];
    call->funcformat = PG_QUERY__COERCION_FORM__COERCE_EXPLICIT_CALL;
    outer->node_case = PG_QUERY__NODE__NODE_FUNC_CALL;
    outer->func_call = call;
    *slot = outer;
    return true;
}

static bool has_own_syntax(const PgQuery__FuncCall *call)
{
    return call->funcformat == PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX;
}

static bool needs_parentheses(const PgQuery__Node *node, bool subscripted)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_A_EXPR:
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
    case PG_QUERY__NODE__NODE_TYPE_CAST:
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
        return true;
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return subscripted || has_own_syntax(node->func_call);
    case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
    case PG_QUERY__NODE__NODE_CASE_EXPR:
    case PG_QUERY__NODE__NODE_A_INDIRECTION:
    case PG_QUERY__NODE__NODE_A_CONST:
        return subscripted;
    default:
        return false;
    }
}

static bool wrap_slot(struct sql_check *check, PgQuery__Node **slot, bool subscripted)
{
    return *slot == NULL || !needs_parentheses(*slot, subscripted) || wrap(check, slot);
}

static bool wrap_slots(struct sql_check *check, size_t count, PgQuery__Node **slots)
{
    for (size_t i = 0; i < count; i++)
        if (!wrap_slot(check, &slots[i], false))
            return false;
    return true;
}

static bool wrap_expression(struct sql_check *check, PgQuery__AExpr *expression)
{
    bool between = expression->kind >= PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN &&
                   expression->kind <= PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM;
    PgQuery__Node *right = expression->rexpr;
    if (between && right != NULL && right->node_case == PG_QUERY__NODE__NODE_LIST &&
        !wrap_slots(check, right->list->n_items, right->list->items))
        return false;
    return wrap_slot(check, &expression->lexpr, false) && wrap_slot(check, &expression->rexpr, false);
}

/* Children first: then a node's slots are changed once. */
static bool wrap_operands(struct sql_check *check, ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *kind = message->descriptor;
    if (!sql_check_children(check, message, wrap_operands))
        return false;
    if (kind == &pg_query__a__expr__descriptor)
        return wrap_expression(check, (PgQuery__AExpr *)message);
    if (kind == &pg_query__bool_expr__descriptor)
        return wrap_slots(check, ((PgQuery__BoolExpr *)message)->n_args, ((PgQuery__BoolExpr *)message)->args);
    if (kind == &pg_query__null_test__descriptor)
        return wrap_slot(check, &((PgQuery__NullTest *)message)->arg, false);
    if (kind == &pg_query__boolean_test__descriptor)
        return wrap_slot(check, &((PgQuery__BooleanTest *)message)->arg, false);
    if (kind == &pg_query__type_cast__descriptor)
        return wrap_slot(check, &((PgQuery__TypeCast *)message)->arg, false);
    if (kind == &pg_query__collate_clause__descriptor)
        return wrap_slot(check, &((PgQuery__CollateClause *)message)->arg, false);
    if (kind == &pg_query__sub_link__descriptor)
        return wrap_slot(check, &((PgQuery__SubLink *)message)->testexpr, false);
    if (kind == &pg_query__a__indirection__descriptor)
        return wrap_slot(check, &((PgQuery__AIndirection *)message)->arg, true);
    if (kind == &pg_query__func_call__descriptor && has_own_syntax((PgQuery__FuncCall *)message))
        return wrap_slots(check, ((PgQuery__FuncCall *)message)->n_args, ((PgQuery__FuncCall *)message)->args);
    return true;
}

/* A name that stands nowhere in `sql`. */
static bool name_wrapper(struct sql_check *check, struct text sql)
{
    for (unsigned i = 0; i < SQL_CHECK_VIEW_MAX; i++) {
        snprintf(check->wrapper, sizeof(check->wrapper), "sluice_%u_", i);
        if (memmem(sql.data, sql.size, check->wrapper, strlen(check->wrapper)) == NULL)
            return true;
    }
    return false;
}

static void take_out(struct sql_check *check, struct text *sql)
{
    size_t size = strlen(check->wrapper);
    char *start = (char *)sql->data, *to = start; /* the arena's: ours */
    for (const char *from = start, *end = start + sql->size; from < end;) {
        const char *next = memmem(from, (size_t)(end - from), check->wrapper, size);
        size_t kept = (size_t)((next != NULL ? next : end) - from);
        memmove(to, from, kept);
        to += kept;
        from += kept + (next != NULL ? size : 0);
    }
    *to = '\0';
    sql->size = (size_t)(to - start);
}

static bool print_wrapped(struct sql_check *check, const struct packed *packed, struct text *sql)
{
    ProtobufCAllocator allocator = sql_check_allocator(check->arena);
    PgQuery__ParseResult *copy = pg_query__parse_result__unpack(&allocator, packed->size, packed->data);
    struct packed wrapped;
    if (copy == NULL)
        return sql_check_no_memory(check);
    if (!name_wrapper(check, *sql)) {
        *sql = TEXT_NONE;
        return true;
    }
    if (!wrap_operands(check, &copy->base) || !pack(check, copy, &wrapped) || !print(check, &wrapped, sql))
        return false;
    if (sql->data != NULL)
        take_out(check, sql);
    return true;
}

bool sql_check_write(struct sql_check *check, const PgQuery__ParseResult *tree, struct text *sql)
{
    struct packed packed;
    bool same = false;
    check->location = -1;
    if (!pack(check, tree, &packed) || !print(check, &packed, sql))
        return false;
    if (sql->data != NULL && !read_again(check, tree, *sql, &same))
        return false;
    if (sql->data != NULL && !same &&
        (!print_wrapped(check, &packed, sql) || (sql->data != NULL && !read_again(check, tree, *sql, &same))))
        return false;
    return same || sql_check_fail(check, "this query can't be written back as it was read: write it in plainer words");
}
