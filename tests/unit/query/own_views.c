#include "query/own_views.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <stdio.h>

static const struct datasets_schema schemas[] = {{.name = "ware"}, {.name = "secret", .scope = "secret:read"}};
static const struct datasets_options options = {.schemas = schemas, .schema_count = 2};
static const struct datasets_options guarded = {.schemas = schemas + 1, .schema_count = 1};

static size_t judge(const char *own_schemas, const char *definition, const struct datasets_options *with)
{
    char document[1024];
    snprintf(document, sizeof(document), "{\"own_schemas\":%s,\"own\":[[\"v\",false,\"%s\",3]]}", own_schemas,
             definition);
    return own_views_read(text_from_string(document), with);
}

static const char own[] = "SELECT sales.id FROM anna_uploads.sales;", ware[] = "SELECT price.day FROM ware.price;";

static void a_view_reads_its_owners_schemas_and_those_that_need_no_scope(void **state)
{
    (void)state;
    assert_int_equal(judge("[\"anna_uploads\"]", own, &options), 0);
    assert_int_equal(judge("[\"anna_uploads\"]", ware, &options), 0);
    assert_int_equal(judge("[\"anna_uploads\"]", "SELECT plan.id FROM secret.plan;", &options), 3);
    assert_int_equal(judge("[\"anna_uploads\"]", "SELECT pg_sleep(1);", &options), 3);
    assert_int_equal(judge("null", own, &options), 3);
    assert_int_equal(own_views_read(TEXT("no json"), &options), 1);
}

static void a_verdict_that_is_remembered_is_of_its_schemas_alone(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(judge("[\"anna_uploads\"]", own, &options), 0);
        assert_int_equal(judge("[\"bert_uploads\"]", own, &options), 3);
        assert_int_equal(judge("[\"anna_uploads\"]", ware, &options), 0);
        assert_int_equal(judge("[\"anna_uploads\"]", ware, &guarded), 3);
    }
}

/* More than there are places for. */
static void a_verdict_gives_way_to_another(void **state)
{
    char definition[128];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 700; i++) {
            snprintf(definition, sizeof(definition), "SELECT sales.id FROM %s.sales LIMIT %d;",
                     i % 2 == 0 ? "anna_uploads" : "bert_uploads", i);
            assert_int_equal(judge("[\"anna_uploads\"]", definition, &options), i % 2 == 0 ? 0 : 3);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_reads_its_owners_schemas_and_those_that_need_no_scope),
        cmocka_unit_test(a_verdict_that_is_remembered_is_of_its_schemas_alone),
        cmocka_unit_test(a_verdict_gives_way_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
