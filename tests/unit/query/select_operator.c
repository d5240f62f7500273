/* Over every type of pg_catalog: what the server has is never refused here, and what is refused it lacks. */
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

static bool server_takes(const struct type *type, enum dialect_operator op, struct failure *failure)
{
    static const char *const search[] = {"to_tsquery", "plainto_tsquery", "phraseto_tsquery", "websearch_to_tsquery"};
    char sql[256];
    struct text null = TEXT_NONE;
    int size = (int)type->name.size;
    const char *name = type->name.data;
    if (op >= DIALECT_FTS)
        snprintf(sql, sizeof(sql), "select 1 where to_tsvector(null::%.*s) @@ %s($1)", size, name,
                 search[op - DIALECT_FTS]);
    else if (op == DIALECT_IN)
        snprintf(sql, sizeof(sql), "select 1 where null::%.*s in ($1, $1)", size, name);
    else
        snprintf(sql, sizeof(sql), "select 1 where null::%.*s %s $1", size, name, select_operator_sql(op));
    return postgres_session_query(session, sql, 1, &null, NULL, NULL, failure) == STATUS_OK;
}

static void no_operator_is_refused_that_the_server_has(void **state)
{
    size_t types = 0, refused = 0;
    for (uint32_t oid = 1; oid < OIDS; oid++) {
        const struct type *type = type_builtin(oid);
        if (type == NULL || type->base == 3614)
            continue;
        types++;
        for (enum dialect_operator op = DIALECT_EQ; op <= DIALECT_WFTS; op++) {
            struct failure failure = {.message = ""};
            if (op == DIALECT_IS || !select_lacks_operator(type, op))
                continue;
            refused++;
            if (server_takes(type, op, &failure))
                fail_msg("%.*s has `%s`", TEXT_ARGS(type->name), dialect_operator_name(op));
        }
    }
    assert_true(types > 100);
    assert_true(refused > 500);
}

static void the_common_types_lack_what_the_server_says_they_lack(void **state)
{
    static const uint32_t common[] = {16, 20, 21, 23, 700, 701, 1082, 1114, 1184, 1700, 2950, 114, 3802, 1007, 1009};
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        for (enum dialect_operator op = DIALECT_EQ; op <= DIALECT_WFTS; op++) {
            struct failure failure = {.message = ""};
            const struct type *type = type_builtin(common[i]);
            if (op == DIALECT_IS || server_takes(type, op, &failure) || strstr(failure.message, "42883") == NULL)
                continue;
            if (!select_lacks_operator(type, op))
                fail_msg("%.*s lacks `%s`: %s", TEXT_ARGS(type->name), dialect_operator_name(op), failure.message);
        }
}

static void of_types_that_extensions_bring_nothing_is_refused(void **state)
{
    static const struct type other = {.oid = 99999, .base = 99999, .name = {"hstore", 6}};
    for (enum dialect_operator op = DIALECT_EQ; op <= DIALECT_WFTS; op++) {
        assert_false(select_lacks_operator(NULL, op));
        assert_false(select_lacks_operator(&other, op));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_operator_is_refused_that_the_server_has),
        cmocka_unit_test(the_common_types_lack_what_the_server_says_they_lack),
        cmocka_unit_test(of_types_that_extensions_bring_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
