/* Rows that do not fit a table that stands: judged here, or by the server, they go to quarantine one by one. */
#include "tests/unit/upload/lake.h"

static const char quarantine[] =
    "select coalesce(string_agg(line || ':' || coalesce(column_name, '') || ':' || reason, ' | ' order by line), '')"
    " from sluice.quarantine where customer_id is null and name = 'rules'";

/* A table of every kind of rule. */
static void make_rules(void)
{
    lake_script(lake.admin,
                "drop table if exists warehouse.rules; drop type if exists warehouse.state; drop domain if exists"
                " warehouse.short; drop domain if exists warehouse.even;"
                "create type warehouse.state as enum ('sent', 'held');"
                "create domain warehouse.short as varchar(3) not null;"
                "create domain warehouse.even as int check (value % 2 = 0);"
                "create table warehouse.rules (id int primary key, u uuid, s warehouse.state, v varchar(3), n"
                " numeric(4,1), r real, f float8, j jsonb, b boolean, a inet, d warehouse.short default 'x', e"
                " warehouse.even, p int constraint positive check (p > 0), w interval);"
                "grant usage on schema warehouse to sluice_writer;"
                "grant select, insert, update, delete on warehouse.rules to sluice_writer;"
                "select sluice.track('warehouse.rules')");
}

static struct trial *rules(enum load_mode mode, double max_bad)
{
    struct trial *trial = trial_warehouse("rules", mode);
    trial->order.told.header = 1;
    trial->order.max_bad = max_bad;
    return trial;
}

static void what_is_cheap_to_tell_is_judged_before_the_server_sees_it(void **state)
{
    static const struct {
        const char *column, *good, *bad, *reason;
    } cases[] = {{"u", "{6F2D8B7E-0000-4000-8000-000000000001}", "6f2d", "\"6f2d\" is no uuid"},
                 {"s", "held", "lost", "\"lost\" is none of the column's values: sent, held"},
                 {"v", "\xc3\xa4\xc3\xb6\xc3\xbc", "abcd", "\"abcd\" is longer than the column takes"},
                 {"d", "abc", "abcd", "\"abcd\" is longer than the column takes"},
                 {"n", "999.94", "999.95", "\"999.95\" is out of the range of the column"},
                 {"r", "1e38", "1e39", "\"1e39\" is out of the range of the column"},
                 {"f", "1e308", "1e309", "\"1e309\" is out of the range of the column"},
                 {"j", "\"{\"\"a\"\": [1]}\"", "{a}", "\"{a}\" is no JSON"},
                 {"b", "yes", "perhaps", "\"perhaps\" is neither true nor false"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char file[256], wanted[256];
        make_rules();
        struct trial *trial = rules(LOAD_APPEND, 0.95);
        /* More bad rows than COPY would be tried again for. */
        int size = snprintf(file, sizeof(file), "id,%s\n1,%s\n", cases[i].column, cases[i].good);
        for (int row = 2; row < 14; row++)
            size += snprintf(file + size, sizeof(file) - (size_t)size, "%d,%s\n", row, cases[i].bad);
        trial_ok(trial, file);
        assert_int_equal(trial->report.rows, 1);
        assert_int_equal(trial->report.quarantined, 12);
        trial_free(trial);
        snprintf(wanted, sizeof(wanted), "3:%s:%s | 4:%s:", cases[i].column, cases[i].reason, cases[i].column);
        assert_memory_equal(lake_value(quarantine), wanted, strlen(wanted));
        trial = rules(LOAD_APPEND, 0);
        snprintf(file, sizeof(file), "id,%s\n2,%s\n3,%s\n", cases[i].column, cases[i].good, cases[i].bad);
        trial_run(trial, file);
        trial_words(trial, STATUS_INVALID, cases[i].reason);
        trial_words(trial, STATUS_INVALID, "line 3, column ");
        trial_free(trial);
    }
}

static void what_only_the_server_can_judge_is_quarantined_and_the_rest_is_loaded(void **state)
{
    static const enum load_mode modes[] = {LOAD_APPEND, LOAD_UPSERT, LOAD_REPLACE};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        make_rules();
        uint64_t version = strtoull(lake_value("select version from sluice.dataset_version where relation ="
                                               " 'warehouse.rules'"),
                                    NULL, 10);
        struct trial *trial = rules(modes[i], 0.9);
        trial_ok(trial, "id,a,e,p,w,n\n1,10.0.0.1,2,1,1 day,1\n2,nowhere,2,1,1 day,1\n\n3,10.0.0.1,3,1,1 day,1\n"
                        "4,10.0.0.1,2,0,1 day,1\nx,10.0.0.1,2,1,1 day,1\n5,10.0.0.1,2,1,soon,1\n6,,,,,\n");
        assert_int_equal(trial->report.rows, 2);
        assert_int_equal(trial->report.inserted, 2);
        assert_int_equal(trial->report.quarantined, 5);
        assert_int_equal(trial->report.bad_count, 5);
        assert_true(trial->report.version > version);
        char told[24];
        snprintf(told, sizeof(told), "%llu", (unsigned long long)trial->report.version);
        assert_string_equal(lake_value("select version from sluice.dataset_version where relation = 'warehouse.rules'"),
                            told);
        trial_free(trial);
        assert_string_equal(lake_value("select string_agg(id::text, ' ' order by id) from warehouse.rules"), "1 6");
        assert_string_equal(
            lake_value("select string_agg(line || ':' || coalesce(column_name, '') || ':' || raw, ' | ' order by line)"
                       " from sluice.quarantine where customer_id is null and name = 'rules'"),
            "3:a:2,nowhere,2,1,1 day,1 | 5:e:3,10.0.0.1,3,1,1 day,1 | 6::4,10.0.0.1,2,0,1 day,1 | "
            "7:id:x,10.0.0.1,2,1,1 day,1 | 8:w:5,10.0.0.1,2,1,soon,1");
        assert_non_null(strstr(lake_value(quarantine), "breaks the condition positive that rows must meet"));
        assert_string_equal(lake_value("select count(*) from pg_class where relname like '~%'"), "0");
    }
}

static void a_row_that_is_there_already_is_a_bad_row_of_an_append(void **state)
{
    make_rules();
    lake_script(lake.admin, "insert into warehouse.rules (id) values (2)");
    struct trial *trial = rules(LOAD_APPEND, 0.5);
    trial_ok(trial, "id,p\n1,1\n2,2\n3,3\n1,4\n4,4\n");
    assert_int_equal(trial->report.rows, 3);
    trial_free(trial);
    assert_string_equal(lake_value("select string_agg(id || '=' || coalesce(p, 0), ' ' order by id) from"
                                   " warehouse.rules"),
                        "1=1 2=0 3=3 4=4");
    assert_string_equal(lake_value("select string_agg(line::text, ' ' order by line) from sluice.quarantine"
                                   " where name = 'rules'"),
                        "3 5");
}

static void the_share_counts_and_so_does_the_number_of_passes(void **state)
{
    make_rules();
    lake_script(lake.admin, "insert into warehouse.rules (id) values (77)");
    struct trial *trial = rules(LOAD_APPEND, 0.3);
    trial_run(trial, "id,a\n1,10.0.0.1\n2,nowhere\n3,10.0.0.1\n4,nowhere\n5,10.0.0.1\n");
    trial_words(trial, STATUS_INVALID, "max_bad=0.3 allows fewer");
    trial_free(trial);
    char file[512];
    for (int bad = 8; bad <= 9; bad++) {
        int size = snprintf(file, sizeof(file), "id,a\n100,10.0.0.1\n");
        for (int i = 0; i < bad; i++)
            size += snprintf(file + size, sizeof(file) - (size_t)size, "%d,nowhere\n", i);
        trial = rules(LOAD_REPLACE, 1);
        trial_run(trial, file);
        if (bad == 8) {
            assert_int_equal(trial->status, STATUS_OK);
            assert_int_equal(trial->report.quarantined, 8);
            assert_string_equal(lake_rows("(select id from warehouse.rules)"), "(100)");
        } else {
            trial_words(trial, STATUS_INVALID, "line 11: ");
            trial_words(trial, STATUS_INVALID, "more than 8 rows were refused by the database itself");
            assert_int_equal(trial->report.line, 11);
        }
        trial_free(trial);
    }
    assert_string_equal(lake_rows("(select id from warehouse.rules)"), "(100)");
    assert_string_equal(lake_value("select count(*) from sluice.quarantine where name = 'rules'"), "8");
}

static void rows_of_one_line_are_told_apart(void **state)
{
    make_rules();
    struct trial *trial = rules(LOAD_APPEND, 0.9);
    trial_ok(trial, "[{\"id\":1,\"a\":\"10.0.0.1\"},{\"id\":2,\"a\":\"no\"},{\"id\":3,\"a\":\"10.0.0.3\"},"
                    "{\"id\":4,\"a\":\"nor\"}]");
    assert_int_equal(trial->report.rows, 2);
    trial_free(trial);
    assert_string_equal(lake_value("select string_agg(id::text, ' ' order by id) from warehouse.rules"), "1 3");
}

static void an_upsert_names_the_line_that_breaks_a_condition(void **state)
{
    make_rules();
    struct trial *trial = rules(LOAD_UPSERT, 0);
    trial_run(trial, "id,p\n1,1\n2,-2\n");
    trial_words(trial, STATUS_INVALID, "line 3: breaks the condition positive");
    trial_free(trial);
}

static void a_customers_own_upload_keeps_its_rules_too(void **state)
{
    lake_sales("id,qty\n1,10\n");
    lake_script(lake.admin,
                "alter table acme_uploads.sales add constraint few check (qty < 100), add primary key (id)");
    struct trial *trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_UPSERT;
    trial->order.max_bad = 0.5;
    trial_ok(trial, "id,qty\n1,11\n2,1000\n3,30\n");
    assert_int_equal(trial->report.inserted, 1);
    assert_int_equal(trial->report.updated, 1);
    trial_free(trial);
    assert_string_equal(lake_rows("acme_uploads.sales"), "(1,11) (3,30)");
    assert_string_equal(lake_value("select line || reason || raw from sluice.quarantine where customer_id = 'acme'"),
                        "3breaks the condition few that rows must meet2,1000");
    assert_string_equal(lake_value("select version = (select version from sluice.dataset_version where relation ="
                                   " 'acme_uploads.sales') from sluice.upload"),
                        "t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_cheap_to_tell_is_judged_before_the_server_sees_it),
        cmocka_unit_test(what_only_the_server_can_judge_is_quarantined_and_the_rest_is_loaded),
        cmocka_unit_test(a_row_that_is_there_already_is_a_bad_row_of_an_append),
        cmocka_unit_test(the_share_counts_and_so_does_the_number_of_passes),
        cmocka_unit_test(rows_of_one_line_are_told_apart),
        cmocka_unit_test(an_upsert_names_the_line_that_breaks_a_condition),
        cmocka_unit_test(a_customers_own_upload_keeps_its_rules_too),
    };
    return cmocka_run_group_tests(tests, lake_setup, lake_teardown);
}
