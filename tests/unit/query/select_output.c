/* Aggregates over every type of pg_catalog: what is refused the server lacks, and the types foretold are those that
 * come. */
#include "query/select_private.h"

#include "tests/unit/query/shop.h"

#define OIDS 20000 /* pg_catalog's fixed ones are below */

static struct postgres_session *session;

static int open_server(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    return 0;
}

static int close_server(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

static void take_type(void *context, const struct postgres_rows *rows)
{
    uint32_t *oid = context;
    *oid = postgres_rows_type(rows, 0);
}

static void check_aggregate(const struct type *type, const char *name)
{
    struct dataset_column column = {.name = TEXT("x"), .type = type, .nullable = true};
    struct dataset dataset = {
        .sql_name = TEXT("\"public\".\"one\""), .columns = &column, .column_count = 1, .time_column = -1};
    struct arena arena;
    struct select_plan plan;
    struct select_mistake mistake;
    char text[128];
    uint32_t oid = 0;
    arena_init(&arena, NULL, 0, 1 << 20);
    snprintf(text, sizeof(text), "select=x.%s()", name);
    struct select_request request = {.dataset = &dataset, .query = shop_parse(&arena, text), .limit = 5};
    enum status status = select_plan(&request, &arena, &plan, &mistake);
    snprintf(text, sizeof(text), "select %s(null::%.*s)", name, TEXT_ARGS(type->name));
    bool taken = postgres_session_query(session, text, 0, NULL, take_type, &oid, NULL) == STATUS_OK;
    /* Of xml[] there is min(), which fails at the first value. */
    if (status != STATUS_OK && taken && !type->has_no_order)
        fail_msg("%s is there: %s", text, mistake.message);
    if (taken && status == STATUS_OK && plan.types[0] != NULL && plan.types[0]->oid != oid)
        fail_msg("%s is of type %u, not %u", text, oid, plan.types[0]->oid);
    arena_free(&arena);
}

static void aggregates_are_refused_and_typed_as_the_server_does(void **state)
{
    static const char *const names[] = {"count", "sum", "avg", "min", "max"};
    for (uint32_t oid = 1; oid < OIDS; oid++)
        for (size_t i = 0; type_builtin(oid) != NULL && i < sizeof(names) / sizeof(names[0]); i++)
            check_aggregate(type_builtin(oid), names[i]);
}

static void a_column_named_count_is_what_a_bare_count_means(void **state)
{
    struct dataset_column column = {.name = TEXT("count"), .type = type_builtin(25), .nullable = true};
    struct dataset dataset = {
        .sql_name = TEXT("\"public\".\"one\""), .columns = &column, .column_count = 1, .time_column = -1};
    struct arena arena;
    struct select_plan plan;
    struct select_mistake mistake;
    arena_init(&arena, NULL, 0, 1 << 20);
    struct select_request request = {.dataset = &dataset, .query = shop_parse(&arena, "select=count"), .limit = 5};
    assert_int_equal(select_plan(&request, &arena, &plan, &mistake), STATUS_OK);
    assert_string_equal(plan.statement.sql,
                        "select \"sluice_t\".\"count\" from \"public\".\"one\" as \"sluice_t\" limit 6");
    assert_false(plan.aggregated);
    request.query = shop_parse(&arena, "select=n:count()");
    assert_int_equal(select_plan(&request, &arena, &plan, &mistake), STATUS_OK);
    assert_true(plan.aggregated);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregates_are_refused_and_typed_as_the_server_does),
        cmocka_unit_test(a_column_named_count_is_what_a_bare_count_means),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
