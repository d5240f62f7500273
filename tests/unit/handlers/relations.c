#include "handlers/relations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct text schemas[] = {{"serving", 7}, {"ware", 4}};

static struct relations anna(void)
{
    struct relations relations = {
        .customer = TEXT("anna"), .schemas = schemas, .schema_count = 2, .bare = TEXT("serving")};
    assert_true(customer_names_of(relations.customer, &relations.names));
    return relations;
}

static void expect(struct text schema, struct text name, const char *real)
{
    struct relations relations = anna();
    struct text real_schema, real_name;
    bool found = relations_resolve(&relations, schema, name, &real_schema, &real_name);
    assert_int_equal(found, real != NULL);
    if (!found) {
        assert_true(text_equal(relations.refused_name, name));
        return;
    }
    assert_true(text_equal(real_schema, text_from_string(real)));
    assert_true(text_equal(real_name, name));
}

static void names_lead_to_the_callers_own_and_to_the_schemas_that_he_may_see(void **state)
{
    (void)state;
    expect(TEXT_NONE, TEXT("weather"), "serving");
    expect(TEXT("serving"), TEXT("weather"), "serving");
    expect(TEXT("ware"), TEXT("price"), "ware");
    expect(TEXT("uploads"), TEXT("sales"), "anna_uploads");
    expect(TEXT("analytics"), TEXT("total"), "anna_analytics");
}

static void other_names_lead_nowhere(void **state)
{
    static const char *const others[] = {"anna_uploads", "bert_uploads", "shared",  "jobs", "sluice",
                                         "pg_catalog",   "pg_temp",      "Uploads", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        expect(text_from_string(others[i]), TEXT("x"), NULL);
    expect(TEXT("uploads"), TEXT("~load_1"), NULL);
    expect(TEXT("uploads"), TEXT(""), NULL);
}

static void a_bare_name_leads_nowhere_without_the_first_schemas_scope(void **state)
{
    struct relations relations = anna();
    struct text real_schema, real_name;
    (void)state;
    relations.bare = TEXT_NONE;
    assert_false(relations_resolve(&relations, TEXT_NONE, TEXT("weather"), &real_schema, &real_name));
}

/* The four ways in which a relation may be out of reach. */
static void what_is_not_there_and_what_is_denied_have_the_same_words(void **state)
{
    struct relations relations = anna();
    const struct sql_check_relation one = {TEXT("uploads"), TEXT("sales"), TEXT("anna_uploads"), TEXT("sales")};
    const struct sql_checked checked = {.relations = &one, .relation_count = 1};
    static const char *const told[][2] = {{"42P01", "relation \"anna_uploads.sales\" does not exist"},
                                          {"42501", "permission denied for view sales"},
                                          {"42501", "permission denied for schema anna_uploads"},
                                          {"3F000", "schema \"anna_uploads\" does not exist"}};
    const struct sql_check_mistake refused = {.position = 15, .message = "of the checker's own"};
    struct relations_mistake first, mistake;
    (void)state;
    relations.refused_schema = TEXT("uploads");
    relations.refused_name = TEXT("sales");
    relations_refused(&relations, STATUS_INVALID, &refused, &first);
    for (size_t i = 0; i < 4; i++) {
        relations_failed(&checked, STATUS_FAILED, told[i][0], told[i][1], &mistake);
        assert_int_equal(mistake.status, STATUS_INVALID);
        assert_string_equal(mistake.words, first.words);
        assert_int_equal(mistake.position, first.position);
        assert_null(mistake.sqlstate);
    }
    assert_null(strstr(first.words, "anna_"));
}

static void what_is_shared_is_said_to_be_read_elsewhere(void **state)
{
    struct relations relations = anna();
    const struct sql_check_mistake refused = {.position = 15, .message = "of the checker's own"};
    struct relations_mistake mistake;
    (void)state;
    relations.refused_schema = TEXT("shared");
    relations.refused_name = TEXT("given");
    relations_refused(&relations, STATUS_INVALID, &refused, &mistake);
    assert_int_equal(mistake.status, STATUS_INVALID);
    assert_non_null(strstr(mistake.words, "shared.given is not read in SQL"));
    assert_non_null(strstr(mistake.words, "/v1/datasets/shared.OWNER.NAME"));
}

static void a_value_of_the_data_is_not_repeated(void **state)
{
    const struct sql_checked checked = {.relation_count = 0};
    struct relations_mistake mistake;
    (void)state;
    relations_failed(&checked, STATUS_INVALID, "22P02", "invalid input syntax for type integer: \"secret\"", &mistake);
    assert_int_equal(mistake.status, STATUS_INVALID);
    assert_null(strstr(mistake.words, "secret"));
    assert_non_null(strstr(mistake.words, "22P02"));
}

static void only_what_the_sql_is_to_blame_for_is_told(void **state)
{
    static const struct {
        const char *sqlstate;
        enum status status, means;
    } cases[] = {{"42703", STATUS_FAILED, STATUS_INVALID},     {"54001", STATUS_FAILED, STATUS_INVALID},
                 {"57014", STATUS_TIMEOUT, STATUS_TIMEOUT},    {"53200", STATUS_FAILED, STATUS_FAILED},
                 {"", STATUS_UNAVAILABLE, STATUS_UNAVAILABLE}, {"XX000", STATUS_FAILED, STATUS_FAILED},
                 {"40P01", STATUS_FAILED, STATUS_UNAVAILABLE}};
    const struct sql_checked checked = {.relation_count = 0};
    struct relations_mistake mistake;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relations_failed(&checked, cases[i].status, cases[i].sqlstate, "words", &mistake);
        assert_int_equal(mistake.status, cases[i].means);
    }
    relations_failed(&checked, STATUS_FAILED, "XX000", "could not open relation with OID 44416", &mistake);
    assert_int_equal(mistake.status, STATUS_UNAVAILABLE);
}

static void a_budget_is_told_with_what_the_plan_takes(void **state)
{
    const struct plan_estimate estimate = {.known = true, .cost = 100, .rows = 5000, .bytes = 40000};
    char words[320];
    (void)state;
    assert_false(relations_over_budget(&estimate, &(struct rules_budget){.cost = 200, .rows = 5000}, words, 320));
    assert_true(relations_over_budget(&estimate, &(struct rules_budget){.rows = 4000}, words, sizeof(words)));
    assert_non_null(strstr(words, "5000 rows"));
    assert_non_null(strstr(words, "4000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_the_callers_own_and_to_the_schemas_that_he_may_see),
        cmocka_unit_test(other_names_lead_nowhere),
        cmocka_unit_test(a_bare_name_leads_nowhere_without_the_first_schemas_scope),
        cmocka_unit_test(what_is_not_there_and_what_is_denied_have_the_same_words),
        cmocka_unit_test(what_is_shared_is_said_to_be_read_elsewhere),
        cmocka_unit_test(a_value_of_the_data_is_not_repeated),
        cmocka_unit_test(only_what_the_sql_is_to_blame_for_is_told),
        cmocka_unit_test(a_budget_is_told_with_what_the_plan_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
