/* The walk visits every message in every field by protobuf-c's reflection, so that nothing can stand in a place that
 * nobody thought of; a kind of node that isn't on the list is refused. */
#include <ctype.h>
#include <stdio.h>

#include "query/sql_check_private.h"

static bool visit(struct sql_check *check, ProtobufCMessage *message);

const char *sql_check_string(const PgQuery__Node *node)
{
    return node != NULL && node->node_case == PG_QUERY__NODE__NODE_STRING ? node->string->sval : NULL;
}

static bool visit_field(struct sql_check *check, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        bool (*each)(struct sql_check *check, ProtobufCMessage *message))
{
    const char *at = (const char *)message;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *(const size_t *)(at + field->quantifier_offset);
        ProtobufCMessage *const *items = *(ProtobufCMessage *const *const *)(at + field->offset);
        for (size_t i = 0; i < count; i++)
            if (items[i] != NULL && !each(check, items[i]))
                return false;
        return true;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)(at + field->quantifier_offset) != field->id)
        return true;
    ProtobufCMessage *item = *(ProtobufCMessage *const *)(at + field->offset);
    return item == NULL || each(check, item);
}

bool sql_check_children(struct sql_check *check, const ProtobufCMessage *message,
                        bool (*each)(struct sql_check *check, ProtobufCMessage *message))
{
    /* A node holds one of 200 kinds. */
    if (message->descriptor == &pg_query__node__descriptor) {
        unsigned which = (unsigned)((const PgQuery__Node *)message)->node_case;
        const ProtobufCFieldDescriptor *held = protobuf_c_message_descriptor_get_field(message->descriptor, which);
        return held == NULL || visit_field(check, message, held, each);
    }
    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        if (!visit_field(check, message, &message->descriptor->fields[i], each))
            return false;
    return true;
}

/* --- Kinds of nodes that need more than a look at their children --- */

static bool visit_with(struct sql_check *check, PgQuery__WithClause *with)
{
    /* WITH RECURSIVE: each sees all of them, itself and later ones too. Otherwise each sees those before it. */
    for (int pass = with->recursive ? 0 : 1; pass < 2; pass++)
        for (size_t i = 0; i < with->n_ctes; i++) {
            if (with->ctes[i]->node_case != PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR)
                return sql_check_fail(check, "WITH holds something that is not a query");
            if (pass == 1 && !visit(check, &with->ctes[i]->base))
                return false;
            bool adds = with->recursive ? pass == 0 : pass == 1;
            if (adds && !sql_check_cte_name(check, with->ctes[i]->common_table_expr->ctename))
                return false;
        }
    return true;
}

static bool visit_but_with(struct sql_check *check, ProtobufCMessage *message)
{
    return message->descriptor == &pg_query__with_clause__descriptor || visit(check, message);
}

static bool visit_select(struct sql_check *check, ProtobufCMessage *message)
{
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)message;
    const struct sql_check_cte *outside = check->ctes;
    if (select->into_clause != NULL)
        return sql_check_fail(check, "SELECT INTO is not allowed: a query only reads");
    if (select->n_locking_clause != 0)
        return sql_check_fail(check, "FOR UPDATE and FOR SHARE are not allowed: a query only reads");
    bool done = (select->with_clause == NULL || visit_with(check, select->with_clause)) &&
                sql_check_children(check, message, visit_but_with);
    check->ctes = outside;
    return done;
}

/* `names`: what is called; in pg_catalog or bare. */
static const char *name_of(size_t count, PgQuery__Node *const *names)
{
    if (count == 0 || count > 2)
        return NULL;
    const char *schema = count == 2 ? sql_check_string(names[0]) : "pg_catalog";
    return schema != NULL && strcmp(schema, "pg_catalog") == 0 ? sql_check_string(names[count - 1]) : NULL;
}

static const char *last_of(size_t count, PgQuery__Node *const *names)
{
    const char *last = count != 0 ? sql_check_string(names[count - 1]) : NULL;
    return last != NULL ? last : "?";
}

static bool visit_function(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__FuncCall *call = (PgQuery__FuncCall *)message;
    const char *name = name_of(call->n_funcname, call->funcname);
    if (name == NULL || !sql_check_function_allowed(name))
        return sql_check_fail(check, "the function %.63s is not allowed in a query",
                              last_of(call->n_funcname, call->funcname));
    return sql_check_children(check, message, visit);
}

static bool visit_type(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__TypeName *type = (PgQuery__TypeName *)message;
    const char *name = name_of(type->n_names, type->names);
    if (name == NULL || type->setof || type->pct_type || type->type_oid != 0 || !sql_check_type_allowed(name))
        return sql_check_fail(check, "the type %.63s is not allowed in a query: built-in types of values are",
                              last_of(type->n_names, type->names));
    return sql_check_children(check, message, visit);
}

static bool check_operator(struct sql_check *check, size_t count, PgQuery__Node *const *names)
{
    if (name_of(count, names) == NULL)
        return sql_check_fail(check, "the operator %.63s is not allowed with this schema: write it bare",
                              last_of(count, names));
    return true;
}

static bool visit_expression(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__AExpr *expression = (PgQuery__AExpr *)message;
    return check_operator(check, expression->n_name, expression->name) && sql_check_children(check, message, visit);
}

static bool visit_sublink(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__SubLink *link = (PgQuery__SubLink *)message;
    return (link->n_oper_name == 0 || check_operator(check, link->n_oper_name, link->oper_name)) &&
           sql_check_children(check, message, visit);
}

static bool visit_sort(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__SortBy *sort = (PgQuery__SortBy *)message;
    return (sort->n_use_op == 0 || check_operator(check, sort->n_use_op, sort->use_op)) &&
           sql_check_children(check, message, visit);
}

static bool visit_collation(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__CollateClause *collation = (PgQuery__CollateClause *)message;
    const char *name = name_of(collation->n_collname, collation->collname);
    bool bare = collation->n_collname == 1;
    if (name == NULL || (bare && strcmp(name, "C") != 0 && strcmp(name, "POSIX") != 0))
        return sql_check_fail(check, "the collation %.63s is not allowed: \"C\", \"POSIX\" and pg_catalog.\"…\" are",
                              last_of(collation->n_collname, collation->collname));
    return sql_check_children(check, message, visit);
}

static bool visit_value_function(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__SQLValueFunction *function = (PgQuery__SQLValueFunction *)message;
    if (function->op < PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE ||
        function->op > PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N)
        return sql_check_fail(check, "current_user and its like are not allowed in a query: dates and times are");
    return sql_check_children(check, message, visit);
}

static bool visit_relation(struct sql_check *check, ProtobufCMessage *message)
{
    return sql_check_children(check, message, visit) && sql_check_relation(check, (PgQuery__RangeVar *)message);
}

static bool visit_column(struct sql_check *check, ProtobufCMessage *message)
{
    return sql_check_column(check, (PgQuery__ColumnRef *)message) && sql_check_children(check, message, visit);
}

static bool visit_indirection(struct sql_check *check, ProtobufCMessage *message)
{
    return sql_check_field(check, (PgQuery__AIndirection *)message) && sql_check_children(check, message, visit);
}

static bool visit_parameter(struct sql_check *check, ProtobufCMessage *message)
{
    return sql_check_parameter(check, (PgQuery__ParamRef *)message);
}

static bool visit_children(struct sql_check *check, ProtobufCMessage *message)
{
    return sql_check_children(check, message, visit);
}

/* A column of a function's result (AS t(a int)): a name, a type, a collation, nothing of a table's column. */
static bool visit_column_definition(struct sql_check *check, ProtobufCMessage *message)
{
    const PgQuery__ColumnDef *column = (PgQuery__ColumnDef *)message;
    if (column->raw_default != NULL || column->cooked_default != NULL || column->identity_sequence != NULL ||
        column->n_constraints != 0 || column->n_fdwoptions != 0)
        return sql_check_fail(check, "a column of a function's result has a name and a type only");
    return sql_check_children(check, message, visit);
}

static const struct {
    const ProtobufCMessageDescriptor *descriptor;
    bool (*visit)(struct sql_check *check, ProtobufCMessage *message);
} kinds[] = {
    {&pg_query__node__descriptor, visit_children},
    {&pg_query__string__descriptor, visit_children},
    {&pg_query__column_ref__descriptor, visit_column},
    {&pg_query__a__const__descriptor, visit_children},
    {&pg_query__res_target__descriptor, visit_children},
    {&pg_query__a__expr__descriptor, visit_expression},
    {&pg_query__func_call__descriptor, visit_function},
    {&pg_query__type_name__descriptor, visit_type},
    {&pg_query__type_cast__descriptor, visit_children},
    {&pg_query__integer__descriptor, visit_children},
    {&pg_query__float__descriptor, visit_children},
    {&pg_query__boolean__descriptor, visit_children},
    {&pg_query__bit_string__descriptor, visit_children},
    {&pg_query__list__descriptor, visit_children},
    {&pg_query__select_stmt__descriptor, visit_select},
    {&pg_query__raw_stmt__descriptor, visit_children},
    {&pg_query__parse_result__descriptor, visit_children},
    {&pg_query__range_var__descriptor, visit_relation},
    {&pg_query__alias__descriptor, visit_children},
    {&pg_query__join_expr__descriptor, visit_children},
    {&pg_query__range_subselect__descriptor, visit_children},
    {&pg_query__range_function__descriptor, visit_children},
    {&pg_query__column_def__descriptor, visit_column_definition},
    {&pg_query__bool_expr__descriptor, visit_children},
    {&pg_query__sub_link__descriptor, visit_sublink},
    {&pg_query__null_test__descriptor, visit_children},
    {&pg_query__boolean_test__descriptor, visit_children},
    {&pg_query__case_expr__descriptor, visit_children},
    {&pg_query__case_when__descriptor, visit_children},
    {&pg_query__coalesce_expr__descriptor, visit_children},
    {&pg_query__min_max_expr__descriptor, visit_children},
    {&pg_query__row_expr__descriptor, visit_children},
    {&pg_query__a__array_expr__descriptor, visit_children},
    {&pg_query__a__indices__descriptor, visit_children},
    {&pg_query__a__indirection__descriptor, visit_indirection},
    {&pg_query__a__star__descriptor, visit_children},
    {&pg_query__collate_clause__descriptor, visit_collation},
    {&pg_query__param_ref__descriptor, visit_parameter},
    {&pg_query__sqlvalue_function__descriptor, visit_value_function},
    {&pg_query__named_arg_expr__descriptor, visit_children},
    {&pg_query__sort_by__descriptor, visit_sort},
    {&pg_query__window_def__descriptor, visit_children},
    {&pg_query__grouping_func__descriptor, visit_children},
    {&pg_query__grouping_set__descriptor, visit_children},
    {&pg_query__with_clause__descriptor, visit_children},
    {&pg_query__common_table_expr__descriptor, visit_children},
    {&pg_query__ctesearch_clause__descriptor, visit_children},
    {&pg_query__ctecycle_clause__descriptor, visit_children},
};

/* "CreateTableAsStmt" → "CREATE TABLE AS". */
static bool refuse(struct sql_check *check, const char *kind)
{
    static const struct {
        const char *kind, *words;
    } named[] = {{"RangeTableSample", "TABLESAMPLE"},
                 {"RangeTableFunc", "XMLTABLE"},
                 {"XmlExpr", "XML"},
                 {"XmlSerialize", "XML"},
                 {"SetToDefault", "DEFAULT"},
                 {"CurrentOfExpr", "CURRENT OF"}};
    char words[64];
    size_t size = 0, kind_size = strlen(kind);
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (strcmp(named[i].kind, kind) == 0)
            return sql_check_fail(check, "%s is not allowed in a query", named[i].words);
    bool statement = kind_size > 4 && strcmp(kind + kind_size - 4, "Stmt") == 0;
    for (size_t i = 0; i < kind_size - (statement ? 4 : 0) && size < sizeof(words) - 2; i++) {
        if (i != 0 && isupper((unsigned char)kind[i]))
            words[size++] = ' ';
        words[size++] = (char)toupper((unsigned char)kind[i]);
    }
    return statement ? sql_check_fail(check, "%.*s is not allowed: a query is one SELECT", (int)size, words)
                     : sql_check_fail(check, "%.*s is not allowed in a query", (int)size, words);
}

/* Where `message` stands in the text; -1 where it doesn't tell. */
static int32_t location_of(const ProtobufCMessage *message)
{
    for (unsigned i = message->descriptor->n_fields; i-- != 0;) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type == PROTOBUF_C_TYPE_INT32 &&
            (strcmp(field->name, "location") == 0 || strcmp(field->name, "stmt_location") == 0))
            return *(const int32_t *)((const char *)message + field->offset);
    }
    return -1;
}

static bool visit(struct sql_check *check, ProtobufCMessage *message)
{
    int32_t outside = check->location, here = location_of(message);
    if (here >= 0)
        check->location = here;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].descriptor == message->descriptor) {
            bool done = kinds[i].visit(check, message);
            check->location = outside;
            return done;
        }
    return refuse(check, message->descriptor->short_name);
}

bool sql_check_walk(struct sql_check *check, PgQuery__ParseResult *tree)
{
    return sql_check_collect(check, &tree->base) && visit(check, &tree->base);
}
