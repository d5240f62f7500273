#include <stdio.h>

#include "query/sql_check_private.h"

/* --- Relations --- */

bool sql_check_cte_name(struct sql_check *check, const char *name)
{
    /* Were a scope ever misjudged, a bare name could at least not be one of the server's own relations. */
    if (strncmp(name, "pg_", 3) == 0)
        return sql_check_fail(check, "the name %.63s in WITH is not allowed: names with pg_ are the server's", name);
    struct sql_check_cte *cte = arena_alloc(check->arena, sizeof(*cte));
    if (cte == NULL)
        return sql_check_no_memory(check);
    *cte = (struct sql_check_cte){name, check->ctes};
    check->ctes = cte;
    return true;
}

static bool is_cte(const struct sql_check *check, const char *name)
{
    for (const struct sql_check_cte *cte = check->ctes; cte != NULL; cte = cte->up)
        if (strcmp(cte->name, name) == 0)
            return true;
    return false;
}

/* The same words for what doesn't exist and for what isn't the caller's. */
static bool no_relation(struct sql_check *check, const char *schema, const char *name)
{
    return sql_check_fail(check, "there is no relation %.63s%s%.63s that you may read: GET /v1/datasets lists yours",
                          schema, *schema != '\0' ? "." : "", name);
}

/* Whatever the resolver says, the server's own relations are nobody's. */
static bool is_servers(struct text schema)
{
    return schema.size == 0 || text_starts_with(schema, TEXT("pg_")) || text_equal(schema, TEXT("information_schema"));
}

static bool resolve(struct sql_check *check, const char *schema, const char *name, struct sql_check_relation *relation)
{
    *relation = (struct sql_check_relation){.schema = *schema != '\0' ? text_from_string(schema) : TEXT_NONE,
                                            .name = text_from_string(name)};
    if (!check->resolve(check->context, relation->schema, relation->name, &relation->real_schema,
                        &relation->real_name) ||
        relation->real_name.size == 0 || is_servers(relation->real_schema))
        return no_relation(check, schema, name);
    relation->real_schema = arena_copy(check->arena, relation->real_schema);
    relation->real_name = arena_copy(check->arena, relation->real_name);
    return (relation->real_schema.data != NULL && relation->real_name.data != NULL) || sql_check_no_memory(check);
}

static bool remember(struct sql_check *check, const struct sql_check_relation *relation)
{
    for (size_t i = 0; i < check->relation_count; i++)
        if (text_equal(check->relations[i].real_schema, relation->real_schema) &&
            text_equal(check->relations[i].real_name, relation->real_name))
            return true;
    if (check->relation_count == SQL_CHECK_RELATIONS)
        return sql_check_fail(check, "a query reads at most %d relations", SQL_CHECK_RELATIONS);
    check->relations[check->relation_count++] = *relation;
    return true;
}

/* The name as it was written stays what columns are qualified by. */
static bool keep_name(struct sql_check *check, PgQuery__RangeVar *relation)
{
    PgQuery__Alias *alias = arena_alloc(check->arena, sizeof(*alias));
    if (alias == NULL)
        return sql_check_no_memory(check);
    pg_query__alias__init(alias);
    alias->aliasname = relation->relname;
    relation->alias = alias;
    return true;
}

bool sql_check_relation(struct sql_check *check, PgQuery__RangeVar *relation)
{
    struct sql_check_relation found;
    if (strcmp(relation->catalogname, "shared") == 0)
        return sql_check_fail(
            check,
            "shared.%.63s.%.63s is not read in SQL, for its own SQL is carried out as its owner: what "
            "is shared is read at GET /v1/datasets/shared.%.63s.%.63s",
            relation->schemaname, relation->relname, relation->schemaname, relation->relname);
    if (*relation->catalogname != '\0')
        return sql_check_fail(check, "the relation %.63s is named with a database: leave that out", relation->relname);
    if (*relation->schemaname == '\0' && is_cte(check, relation->relname))
        return true;
    if (!resolve(check, relation->schemaname, relation->relname, &found) || !remember(check, &found))
        return false;
    if (relation->alias == NULL && !text_equal(found.name, found.real_name) && !keep_name(check, relation))
        return false;
    relation->schemaname = (char *)found.real_schema.data;
    relation->relname = (char *)found.real_name.data;
    return true;
}

/* --- Functions in FROM --- */

static const char *default_name(const PgQuery__RangeFunction *function)
{
    const PgQuery__Node *items = function->n_functions != 0 ? function->functions[0] : NULL;
    if (items == NULL || items->node_case != PG_QUERY__NODE__NODE_LIST || items->list->n_items == 0 ||
        items->list->items[0]->node_case != PG_QUERY__NODE__NODE_FUNC_CALL)
        return NULL;
    const PgQuery__FuncCall *call = items->list->items[0]->func_call;
    return call->n_funcname != 0 ? sql_check_string(call->funcname[call->n_funcname - 1]) : NULL;
}

bool sql_check_collect(struct sql_check *check, ProtobufCMessage *message)
{
    if (message->descriptor != &pg_query__range_function__descriptor)
        return sql_check_children(check, message, sql_check_collect);
    const PgQuery__RangeFunction *function = (PgQuery__RangeFunction *)message;
    const char *name = function->alias != NULL ? function->alias->aliasname : default_name(function);
    if (name == NULL)
        return sql_check_fail(check, "an expression in FROM needs a name: write … AS name");
    struct sql_check_function_alias *alias = arena_alloc(check->arena, sizeof(*alias));
    if (alias == NULL)
        return sql_check_no_memory(check);
    *alias = (struct sql_check_function_alias){name, function, check->functions};
    check->functions = alias;
    return sql_check_children(check, message, sql_check_collect);
}

/* --- Columns ---
 * PostgreSQL takes value.name, where there is no such column, for the call name(value): (x).pg_read_file reads a file,
 * and so does f.pg_read_file where f is a function in FROM that gives single values. A relation's row is a composite:
 * no function of the server takes one that tells more than the row does, and customers have no functions. */

/* Result columns of the functions that are allowed. */
static bool is_known_field(const char *name)
{
    static const char *const fields[] = {"key", "value", "ordinality", "lexeme", "positions", "weights"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(fields[i], name) == 0)
            return true;
    return sql_check_function_allowed(name);
}

static bool names_column(const PgQuery__RangeFunction *function, const char *name)
{
    for (size_t i = 0; function->alias != NULL && i < function->alias->n_colnames; i++) {
        const char *column = sql_check_string(function->alias->colnames[i]);
        if (column != NULL && strcmp(column, name) == 0)
            return true;
    }
    for (size_t i = 0; i < function->n_coldeflist; i++)
        if (function->coldeflist[i]->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF &&
            strcmp(function->coldeflist[i]->column_def->colname, name) == 0)
            return true;
    return false;
}

/* Of every function in FROM with that name, wherever it stands: scopes need no judging then. */
static bool is_function_column(const struct sql_check *check, const char *qualifier, const char *name)
{
    for (const struct sql_check_function_alias *each = check->functions; each != NULL; each = each->next) {
        if (strcmp(each->name, qualifier) != 0 || names_column(each->function, name))
            continue;
        bool renamed = each->function->alias != NULL && each->function->alias->n_colnames != 0;
        if ((strcmp(name, qualifier) != 0 || renamed) && !is_known_field(name))
            return false;
    }
    return true;
}

static bool is_system_column(const char *name)
{
    static const char *const names[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* schema.relation.column: the relation's schema as it is; where the relation has another name, that name was kept. */
static bool name_really(struct sql_check *check, PgQuery__ColumnRef *column)
{
    const char *schema = sql_check_string(column->fields[0]), *name = sql_check_string(column->fields[1]);
    struct sql_check_relation found;
    if (schema == NULL || name == NULL || *schema == '\0')
        return sql_check_fail(check, "this column can't be read: write relation.column");
    if (!resolve(check, schema, name, &found))
        return false;
    if (text_equal(found.name, found.real_name)) {
        column->fields[0]->string->sval = (char *)found.real_schema.data;
    } else {
        column->fields++;
        column->n_fields--;
    }
    return true;
}

bool sql_check_column(struct sql_check *check, PgQuery__ColumnRef *column)
{
    size_t count = column->n_fields;
    const char *last = count != 0 ? sql_check_string(column->fields[count - 1]) : NULL;
    const char *qualifier = count > 1 ? sql_check_string(column->fields[count - 2]) : NULL;
    if (count > 3)
        return sql_check_fail(check, "a column has at most three names: schema.relation.column");
    if (last != NULL && is_system_column(last))
        return sql_check_fail(check, "the column %s is the server's own: it can't be read", last);
    if (last != NULL && qualifier != NULL && strncmp(last, "pg_", 3) == 0)
        return sql_check_fail(check, "%.63s.%.63s may be a call of a function: it is not allowed", qualifier, last);
    if (last != NULL && qualifier != NULL && !is_function_column(check, qualifier, last))
        return sql_check_fail(check,
                              "%.63s.%.63s may be a call of a function: name the function's columns, as in AS %.63s(a)",
                              qualifier, last, qualifier);
    return count < 3 || name_really(check, column);
}

bool sql_check_field(struct sql_check *check, const PgQuery__AIndirection *field)
{
    for (size_t i = 0; i < field->n_indirection; i++) {
        const char *name = sql_check_string(field->indirection[i]);
        if (name != NULL && !is_known_field(name))
            return sql_check_fail(check,
                                  "(…).%.63s may be a call of a function: write relation.column, or "
                                  "to_jsonb(…) ->> 'field' for a field of a value",
                                  name);
    }
    return true;
}
