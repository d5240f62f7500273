#include "query/versions.h"

#include "base/clock.h"
#include "tests/unit/query/warehouse.h"

static struct reader reader;
static struct postgres_session *owner;

static int set_up(void **state)
{
    warehouse_start();
    warehouse_demo();
    owner = warehouse_open("sluice_owner", "sluice");
    reader_open(&reader, 5);
    return 0;
}

static int tear_down(void **state)
{
    reader_close(&reader);
    postgres_session_close(owner);
    warehouse_stop();
    return 0;
}

static const struct catalog_view *view_of(size_t index)
{
    return &reader.catalog->views[index];
}

static uint64_t version_of(size_t index)
{
    return versions_of(reader.versions, view_of(index));
}

/* Until a poll that was begun after this call has been answered: the second answer from now on. */
static void wait_for_poll(void)
{
    uint64_t give_up = clock_monotonic_us() + 20 * 1000000;
    uint64_t wanted = postgres_statistics(reader.pool).queries + 2;
    while (postgres_statistics(reader.pool).queries < wanted) {
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(reader.loop, 100);
    }
}

static void every_view_has_a_version_before_the_first_turn_of_the_loop(void **state)
{
    for (size_t i = 0; i < CATALOG_VIEWS; i++)
        assert_int_equal(version_of(i), 1);
    assert_true(versions_polled_at(reader.versions) != 0);
    assert_true(versions_polled_at(reader.versions) <= clock_monotonic_us() / 1000);
}

static void changed_at_is_the_time_of_the_change_in_microseconds(void **state)
{
    char *wanted = warehouse_value(owner, "select (extract(epoch from changed_at) * 1000000)::bigint from "
                                          "sluice.dataset_version where relation = 'warehouse.market_daily'");
    assert_int_equal(versions_changed_at(reader.versions, view_of(CATALOG_MARKET)), strtoll(wanted, NULL, 10));
    assert_true(llabs(clock_wall_us() - versions_changed_at(reader.versions, view_of(CATALOG_MARKET))) <
                INT64_C(600) * 1000000);
    free(wanted);
}

static void a_change_raises_the_version_of_its_view_only(void **state)
{
    uint64_t market = version_of(CATALOG_MARKET), weather = version_of(CATALOG_WEATHER);
    int64_t changed_at = versions_changed_at(reader.versions, view_of(CATALOG_MARKET));
    warehouse_script(
        owner, "update warehouse.market_daily set price_eur_mwh = 1 where region_id = 'AR' and day = '2024-01-01'");
    wait_for_poll();
    assert_int_equal(version_of(CATALOG_MARKET), market + 1);
    assert_int_equal(version_of(CATALOG_WEATHER), weather);
    assert_true(versions_changed_at(reader.versions, view_of(CATALOG_MARKET)) > changed_at);
}

static void a_change_that_is_not_committed_or_rolled_back_is_no_change(void **state)
{
    uint64_t market = version_of(CATALOG_MARKET);
    warehouse_script(owner, "begin");
    warehouse_script(
        owner, "update warehouse.market_daily set price_eur_mwh = 2 where region_id = 'AR' and day = '2024-01-02'");
    wait_for_poll();
    assert_int_equal(version_of(CATALOG_MARKET), market);
    warehouse_script(owner, "rollback");
    wait_for_poll();
    assert_int_equal(version_of(CATALOG_MARKET), market);
}

static void polled_at_goes_on_with_every_poll(void **state)
{
    uint64_t before = versions_polled_at(reader.versions);
    uint64_t give_up = clock_monotonic_us() + 20 * 1000000;
    while (versions_polled_at(reader.versions) == before) {
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(reader.loop, 100);
    }
    assert_true(versions_polled_at(reader.versions) > before);
}

/* The view's version is the sum over its tables; without one of them nothing is known. */
static void a_view_over_two_tables_changes_with_either_and_is_unknown_when_one_is_untracked(void **state)
{
    struct catalog *catalog = NULL;
    struct versions *versions = NULL;
    struct failure failure = {0};
    struct catalog_options options = warehouse_views;
    warehouse_script(
        owner, "create view serving.both as select w.region_id, w.day, w.temperature_c, m.price_eur_mwh from "
               "warehouse.weather_daily w "
               "join warehouse.market_daily m using (region_id, day); grant select on serving.both to sluice_reader;"
               "update sluice.dataset_version set version = 5 where relation = 'warehouse.weather_daily';"
               "update sluice.dataset_version set version = 37 where relation = 'warehouse.market_daily'");
    options.views[CATALOG_WEATHER] = "serving.both";
    assert_int_equal(catalog_load(reader.session, &options, &catalog, &failure), STATUS_OK);
    assert_int_equal(versions_create(reader.loop, reader.pool, reader.session, catalog, 1000, &versions, &failure),
                     STATUS_OK);
    assert_int_equal(versions_of(versions, &catalog->views[CATALOG_WEATHER]), 42);
    assert_int_equal(versions_changed_at(versions, &catalog->views[CATALOG_WEATHER]),
                     versions_changed_at(versions, &catalog->views[CATALOG_MARKET]));
    versions_destroy(versions);
    warehouse_script(owner, "delete from sluice.dataset_version where relation = 'warehouse.weather_daily'");
    assert_int_equal(versions_create(reader.loop, reader.pool, reader.session, catalog, 1000, &versions, &failure),
                     STATUS_OK);
    assert_int_equal(versions_of(versions, &catalog->views[CATALOG_WEATHER]), 0);
    assert_int_equal(versions_changed_at(versions, &catalog->views[CATALOG_WEATHER]), 0);
    assert_int_equal(versions_of(versions, &catalog->views[CATALOG_REGION]), 1);
    versions_destroy(versions);
    catalog_free(catalog);
    warehouse_script(owner, "select sluice.track('warehouse.weather_daily'); drop view serving.both");
}

static void an_untracked_table_that_is_tracked_again_is_known_again(void **state)
{
    warehouse_script(owner, "delete from sluice.dataset_version where relation = 'warehouse.weather_forecast'");
    wait_for_poll();
    assert_int_equal(version_of(CATALOG_FORECAST), 0);
    warehouse_script(owner, "select sluice.track('warehouse.weather_forecast')");
    wait_for_poll();
    assert_true(version_of(CATALOG_FORECAST) != 0);
}

static void polls_go_on_after_the_connection_was_lost(void **state)
{
    uint64_t region = version_of(CATALOG_REGION), give_up = clock_monotonic_us() + 30 * 1000000;
    struct postgres_session *root = warehouse_open("postgres", "postgres");
    free(warehouse_value(root, "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where usename = "
                               "'sluice_reader' and query ~ 'dataset_version' and pid <> pg_backend_pid()"));
    postgres_session_close(root);
    warehouse_script(owner, "update warehouse.region set name = name where region_id = 'AR'");
    while (version_of(CATALOG_REGION) == region) {
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(reader.loop, 100);
    }
    assert_int_equal(version_of(CATALOG_REGION), region + 1);
}

static void without_the_table_of_versions_nothing_is_made_and_the_failure_says_why(void **state)
{
    struct failure failure = {0};
    struct versions *versions = NULL;
    struct postgres_session *elsewhere = warehouse_open("postgres", "postgres");
    assert_true(versions_create(reader.loop, reader.pool, elsewhere, reader.catalog, 1000, &versions, &failure) !=
                STATUS_OK);
    assert_null(versions);
    assert_non_null(strstr(failure.message, "sluice.dataset_version"));
    assert_non_null(strstr(failure.message, "sluice migrate"));
    postgres_session_close(elsewhere);
}

static void nothing_is_polled_after_the_end(void **state)
{
    versions_destroy(reader.versions); /* a poll may be under way */
    reader.versions = NULL;
    versions_destroy(NULL);
    uint64_t queries = postgres_statistics(reader.pool).queries;
    for (int i = 0; i < 5; i++)
        loop_turn(reader.loop, 20);
    assert_int_equal(postgres_statistics(reader.pool).queries, queries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_view_has_a_version_before_the_first_turn_of_the_loop),
        cmocka_unit_test(changed_at_is_the_time_of_the_change_in_microseconds),
        cmocka_unit_test(a_change_raises_the_version_of_its_view_only),
        cmocka_unit_test(a_change_that_is_not_committed_or_rolled_back_is_no_change),
        cmocka_unit_test(polled_at_goes_on_with_every_poll),
        cmocka_unit_test(a_view_over_two_tables_changes_with_either_and_is_unknown_when_one_is_untracked),
        cmocka_unit_test(an_untracked_table_that_is_tracked_again_is_known_again),
        cmocka_unit_test(polls_go_on_after_the_connection_was_lost),
        cmocka_unit_test(without_the_table_of_versions_nothing_is_made_and_the_failure_says_why),
        cmocka_unit_test(nothing_is_polled_after_the_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
