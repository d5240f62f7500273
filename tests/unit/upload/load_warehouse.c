/* Loads into tables that stand, as pipelines do them. */
#include "tests/unit/upload/lake.h"

static void a_table_that_stands_has_its_own_types(void **state)
{
    lake_script(lake.admin, "create table warehouse.typed (i integer, s smallint, v varchar(3), d date, t timestamptz,"
                            " f float8, n numeric(6,2), b boolean, u uuid, j jsonb);"
                            "grant select, insert, update, delete on warehouse.typed to sluice_writer;"
                            "select sluice.track('warehouse.typed')");
    struct trial *trial = trial_warehouse("typed", LOAD_APPEND);
    trial->order.told.null = TEXT(""); /* else NaN is found to stand for null */
    trial->order.told.header = 1;      /* as short names of texts above texts they could be a row */
    trial_ok(trial, "i,s,v,d,t,f,n,b,u,j\n"
                    "007,+1,abc,2021-10-01,2021-10-01,1e3,1.5,1,6f2d8b7e-0000-4000-8000-000000000001,{}\n"
                    "3.0,,\xc3\xa4\xc3\xb6\xc3\xbc,,,NaN,,f,,\n");
    assert_true(trial->report.version > 0);
    assert_int_equal(trial->report.inserted, 2);
    trial_free(trial);
    assert_string_equal(
        lake_value("select string_agg(i || v || coalesce(s::text, '-') || f, ' ' order by i) from warehouse.typed"),
        "3\xc3\xa4\xc3\xb6\xc3\xbc-NaN 7abc11000");
    static const struct {
        const char *text, *words;
    } files[] = {{"i\n1\n2147483648\n", "line 3, column i: \"2147483648\" is out of the range of integer"},
                 {"s\n-32769\n", "line 2, column s: \"-32769\" is out of the range of smallint"},
                 {"v\nabc\nabcd\n", "line 3, column v: \"abcd\" is longer than the column takes"},
                 {"i\n1.5\n", "\"1.5\" is no integer"},
                 {"d\n2021-02-30\n", "line 2, column d"},
                 {"n,i\n1,2\n12345.6,1\n", "line 3"},
                 {"u,i\n6f2d8b7e-0000-4000-8000-000000000001,1\nnothing,2\n", "line 3"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        trial = trial_warehouse("typed", LOAD_APPEND);
        trial->order.told.header = 1;
        trial_run(trial, files[i].text);
        trial_words(trial, STATUS_INVALID, files[i].words);
        trial_free(trial);
    }
    assert_string_equal(lake_value("select count(*) from warehouse.typed"), "2");
    trial = trial_warehouse("typed", LOAD_APPEND);
    trial->order.told.header = 1;
    trial->order.max_bad = 0.5;
    trial_ok(trial, "i\nx\n5\n");
    assert_int_equal(trial->report.quarantined, 1);
    trial_free(trial);
    assert_string_equal(lake_value("select name || line || raw from sluice.quarantine where customer_id is null"),
                        "typed2x");
    trial = trial_warehouse("not_there", LOAD_APPEND);
    trial_run(trial, "i\n1\n");
    trial_words(trial, STATUS_NOT_FOUND, "there is no table not_there");
    trial_free(trial);
}

static void a_partition_is_replaced_as_often_as_one_likes(void **state)
{
    lake_script(lake.admin,
                "create table warehouse.daily (region text, day date, v numeric, primary key (region, day));"
                "grant select, insert, update, delete on warehouse.daily to sluice_writer;"
                "insert into warehouse.daily values ('a', '2021-10-01', 1), ('a', '2021-10-02', 2);"
                "select sluice.track('warehouse.daily')");
    for (int i = 0; i < 2; i++) {
        struct trial *trial = trial_warehouse("daily", LOAD_REPLACE);
        trial->partitions[trial->order.partition_count++] = (struct load_partition){TEXT("day"), TEXT("2021-10-01")};
        trial_ok(trial, "region,day,v\nb,2021-10-01,3\nc,2021-10-01,4\n");
        assert_int_equal(trial->report.rows, 2);
        trial_free(trial);
        assert_string_equal(lake_rows("warehouse.daily"), "(a,2021-10-02,2) (b,2021-10-01,3) (c,2021-10-01,4)");
    }
    struct trial *trial = trial_warehouse("daily", LOAD_REPLACE);
    trial->partitions[trial->order.partition_count++] = (struct load_partition){TEXT("day"), TEXT("2021-10-01")};
    trial_run(trial, "region,day,v\nb,2021-10-01,3\nc,2021-10-02,4\n");
    trial_words(trial, STATUS_INVALID, "line 3, column day: \"2021-10-02\" lies outside the partition");
    trial_free(trial);
    trial = trial_warehouse("daily", LOAD_UPSERT);
    trial_ok(trial, "region,day,v\nb,2021-10-01,5\nd,2021-10-01,6\n");
    assert_int_equal(trial->report.updated, 1);
    trial_free(trial);
    assert_string_equal(lake_rows("warehouse.daily"),
                        "(a,2021-10-02,2) (b,2021-10-01,5) (c,2021-10-01,4) (d,2021-10-01,6)");
    trial = trial_warehouse("daily", LOAD_REPLACE);
    trial_ok(trial, "region,day,v\nz,2021-10-01,5\n");
    trial_free(trial);
    assert_string_equal(lake_rows("warehouse.daily"), "(z,2021-10-01,5)");
}

static void a_partitioned_table_takes_upserts_too(void **state)
{
    lake_script(lake.admin,
                "create table warehouse.parted (id int primary key, v int) partition by range (id);"
                "create table warehouse.parted_1 partition of warehouse.parted for values from (0) to (10);"
                "create table warehouse.parted_2 partition of warehouse.parted for values from (10) to (20);"
                "insert into warehouse.parted values (1, 1), (11, 11);"
                "grant select, insert, update, delete on warehouse.parted to sluice_writer");
    struct trial *trial = trial_warehouse("parted", LOAD_UPSERT);
    trial_ok(trial, "id,v\n1,2\n12,12\n");
    assert_int_equal(trial->report.inserted, 1);
    assert_int_equal(trial->report.updated, 1);
    trial_free(trial);
    assert_string_equal(lake_rows("warehouse.parted"), "(1,2) (11,11) (12,12)");
    trial = trial_warehouse("parted", LOAD_APPEND);
    trial_run(trial, "id,v\n2,2\n25,1\n");
    trial_words(trial, STATUS_INVALID, "line 3");
    trial_free(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_stands_has_its_own_types),
        cmocka_unit_test(a_partition_is_replaced_as_often_as_one_likes),
        cmocka_unit_test(a_partitioned_table_takes_upserts_too),
    };
    return cmocka_run_group_tests(tests, lake_setup, lake_teardown);
}
