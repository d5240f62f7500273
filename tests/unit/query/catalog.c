#include "query/catalog.h"

#include "tests/unit/query/warehouse.h"

static struct postgres_session *owner, *reader;

/* Views that are almost right, a fault each; the last ones are right in unusual ways. */
static const char odd_views[] =
    "create schema odd; grant usage on schema odd to sluice_reader;"
    "create view odd.no_day as select region_id, temperature_c from warehouse.weather_daily;"
    "create view odd.day_is_text as select region_id, day::text as day, temperature_c from warehouse.weather_daily;"
    "create view odd.day_is_instant as select region_id, day::timestamptz as day from warehouse.weather_daily;"
    "create view odd.id_is_number as select 7 as region_id, day, temperature_c from warehouse.weather_daily;"
    "create view odd.no_latitude as select region_id, name, kind, parent_id, longitude, attributes from "
    "warehouse.region;"
    "create view odd.place_is_text as select region_id, name, kind, parent_id, longitude::text as longitude, latitude, "
    "attributes from warehouse.region;"
    "create view odd.attributes_are_text as select region_id, name, kind, parent_id, longitude, latitude, "
    "attributes::text as attributes from warehouse.region;"
    "create view odd.bad_comment as select region_id, day, temperature_c from warehouse.weather_daily;"
    "comment on column odd.bad_comment.temperature_c is 'Temperature [C; median]';"
    "create table odd.part (region_id varchar(20), day date, n int2, i int4, b bigint, r real, d float8, c numeric(9, "
    "2), t text, f boolean, j jsonb) partition by range (day);"
    "create table odd.part_2024 partition of odd.part for values from ('2024-01-01') to ('2025-01-01');"
    "create view odd.inner_view as select * from odd.part;"
    "create materialized view odd.kept as select region_id, max(day) as day from warehouse.market_daily group by 1;"
    "create view odd.\"Outer.View\" as select p.region_id, p.day, p.n, p.i, p.b, p.r, p.d, p.c, p.t, p.f, p.j from "
    "odd.inner_view p"
    "  where exists (select from odd.kept k where k.region_id = p.region_id) union all select region_id, day, 0::int2, "
    "0, 0, 0, 0, 0, '', false, null from odd.inner_view;"
    "create view odd.of_values as select 'AR'::text as region_id, date '2024-01-01' as day, 1.5::float8 as v;"
    "grant select on all tables in schema odd to sluice_reader;"
    "create view odd.not_granted as select region_id, day, temperature_c from warehouse.weather_daily;"
    "create schema closed; create view closed.weather as select region_id, day, temperature_c from "
    "warehouse.weather_daily;"
    "grant select on closed.weather to sluice_reader;"
    "select sluice.track('odd.part');";

static int set_up(void **state)
{
    warehouse_start();
    warehouse_demo();
    owner = warehouse_open("sluice_owner", "sluice");
    reader = warehouse_open("sluice_reader", "sluice");
    warehouse_script(owner, odd_views);
    return 0;
}

static int tear_down(void **state)
{
    postgres_session_close(owner);
    postgres_session_close(reader);
    warehouse_stop();
    return 0;
}

static struct catalog *load(const struct catalog_options *options)
{
    struct failure failure = {0};
    struct catalog *catalog = NULL;
    if (catalog_load(reader, options, &catalog, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    return catalog;
}

/* The status must be INVALID and the message hold each of the words, the remedy among them. */
static void expect_refusal(const struct catalog_options *options, const char *const words[])
{
    struct failure failure = {0};
    struct catalog *catalog = NULL;
    enum status status = catalog_load(reader, options, &catalog, &failure);
    if (status != STATUS_INVALID || catalog != NULL)
        fail_msg("%s: %s", status_name(status), failure.message);
    for (; *words != NULL; words++)
        if (strstr(failure.message, *words) == NULL)
            fail_msg("'%s' is not in: %s", *words, failure.message);
}

#define EXPECT_REFUSAL(options, ...) expect_refusal(options, (const char *const[]){__VA_ARGS__, NULL})

static struct catalog_options with_view(size_t index, const char *name)
{
    struct catalog_options options = warehouse_views;
    options.views[index] = name;
    return options;
}

static void expect_measure(const struct catalog_view *view, const char *name, uint32_t type, const char *unit,
                           const char *description, enum aggregate aggregate)
{
    const struct catalog_measure *measure = catalog_measure(view, text_from_string(name));
    if (measure == NULL)
        fail_msg("no measure %s", name);
    assert_int_equal(measure->type, type);
    assert_true(text_equal(measure->unit, text_from_string(unit)));
    assert_int_equal(measure->unit.data == NULL, unit == NULL);
    assert_true(text_equal(measure->description, text_from_string(description)));
    assert_int_equal(measure->aggregate, aggregate);
}

static void the_demos_measures_have_their_units_words_and_functions(void **state)
{
    struct catalog *catalog = load(&warehouse_views);
    const struct catalog_view *weather = &catalog->views[CATALOG_WEATHER], *market = &catalog->views[CATALOG_MARKET];
    static const char *const order[] = {"temperature_c", "precipitation_mm", "wind_kmh", "cloud_pct", "snowfall_cm"};
    assert_int_equal(catalog->views[CATALOG_REGION].measure_count, 0);
    assert_int_equal(weather->measure_count, 5);
    assert_int_equal(market->measure_count, 2);
    assert_int_equal(catalog->views[CATALOG_FORECAST].measure_count, 5); /* issued_on is a date */
    for (size_t i = 0; i < 5; i++)
        assert_true(text_equal(weather->measures[i].name, text_from_string(order[i])));
    expect_measure(weather, "temperature_c", 701, "°C", "Mean air temperature", AGGREGATE_MEAN);
    expect_measure(weather, "precipitation_mm", 701, "mm", "Precipitation", AGGREGATE_SUM);
    expect_measure(market, "price_eur_mwh", 1700, "EUR/MWh", "Day-ahead electricity price", AGGREGATE_MEAN);
    assert_null(catalog_measure(weather, TEXT("price_eur_mwh")));
    assert_null(catalog_measure(weather, TEXT("temperature")));
    assert_null(catalog_measure(weather, TEXT("day")));
    assert_true(text_equal(weather->sql_name, TEXT("\"serving\".\"weather_daily\"")));
    assert_int_equal(weather->index, CATALOG_WEATHER);
    catalog_free(catalog);
}

static void each_view_knows_the_table_under_it(void **state)
{
    static const char *const tables[] = {"warehouse.region", "warehouse.weather_daily", "warehouse.market_daily",
                                         "warehouse.weather_forecast"};
    struct catalog *catalog = load(&warehouse_views);
    for (size_t i = 0; i < CATALOG_VIEWS; i++) {
        assert_int_equal(catalog->views[i].base_count, 1);
        assert_true(text_equal(catalog->views[i].bases[0], text_from_string(tables[i])));
    }
    catalog_free(catalog);
}

static void bases_are_found_through_views_unions_and_materialized_views_once_each(void **state)
{
    struct catalog_options options = with_view(CATALOG_WEATHER, "odd.Outer.View");
    struct catalog *catalog = load(&options);
    const struct catalog_view *view = &catalog->views[CATALOG_WEATHER];
    assert_int_equal(view->base_count, 3);
    assert_true(text_equal(view->bases[0], TEXT("odd.kept")));
    assert_true(text_equal(view->bases[1], TEXT("odd.part")));
    assert_true(text_equal(view->bases[2], TEXT("warehouse.market_daily")));
    catalog_free(catalog);
}

static void every_numeric_type_is_a_measure_and_nothing_else_is(void **state)
{
    static const uint32_t types[] = {21, 23, 20, 700, 701, 1700};
    struct catalog_options options = with_view(CATALOG_WEATHER, "odd.Outer.View");
    struct catalog *catalog = load(&options);
    const struct catalog_view *view = &catalog->views[CATALOG_WEATHER];
    assert_int_equal(view->measure_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(view->measures[i].type, types[i]);
        assert_null(view->measures[i].unit.data);
        assert_int_equal(view->measures[i].aggregate, AGGREGATE_MEAN);
    }
    catalog_free(catalog);
}

static void a_view_of_no_table_has_no_base(void **state)
{
    struct catalog_options options = with_view(CATALOG_FORECAST, "odd.of_values");
    struct catalog *catalog = load(&options);
    assert_int_equal(catalog->views[CATALOG_FORECAST].base_count, 0);
    catalog_free(catalog);
}

static void a_table_serves_as_well_as_a_view(void **state)
{
    struct catalog_options options = with_view(CATALOG_WEATHER, "warehouse.weather_daily");
    struct catalog *catalog = load(&options);
    assert_int_equal(catalog->views[CATALOG_WEATHER].base_count, 1);
    assert_true(text_equal(catalog->views[CATALOG_WEATHER].bases[0], TEXT("warehouse.weather_daily")));
    catalog_free(catalog);
}

static void overrides_take_the_place_of_what_the_comments_say(void **state)
{
    static const struct catalog_override overrides[] = {{"temperature_c", AGGREGATE_MAX},
                                                        {"price_eur_mwh", AGGREGATE_MIN}};
    struct catalog_options options = warehouse_views;
    options.overrides = overrides;
    options.override_count = 2;
    struct catalog *catalog = load(&options);
    assert_int_equal(catalog_measure(&catalog->views[CATALOG_WEATHER], TEXT("temperature_c"))->aggregate,
                     AGGREGATE_MAX);
    assert_int_equal(catalog_measure(&catalog->views[CATALOG_FORECAST], TEXT("temperature_c"))->aggregate,
                     AGGREGATE_MAX);
    assert_int_equal(catalog_measure(&catalog->views[CATALOG_MARKET], TEXT("price_eur_mwh"))->aggregate, AGGREGATE_MIN);
    assert_int_equal(catalog_measure(&catalog->views[CATALOG_WEATHER], TEXT("precipitation_mm"))->aggregate,
                     AGGREGATE_SUM);
    catalog_free(catalog);
}

static void an_override_of_an_unknown_column_is_refused(void **state)
{
    static const struct catalog_override overrides[] = {{"temperature_c", AGGREGATE_MAX},
                                                        {"temprature_c", AGGREGATE_MIN}};
    struct catalog_options options = warehouse_views;
    options.overrides = overrides;
    options.override_count = 2;
    EXPECT_REFUSAL(&options, "serving.aggregates", "temprature_c");
}

static void a_missing_view_is_refused_by_name(void **state)
{
    static const char *const names[] = {"serving.wether_daily", "nowhere.weather_daily", "SERVING.weather_daily",
                                        "a.b.c"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct catalog_options options = with_view(CATALOG_WEATHER, names[i]);
        EXPECT_REFUSAL(&options, names[i], "no such view", "create it");
    }
}

static void a_name_that_is_no_schema_and_name_is_refused(void **state)
{
    static const char *const names[] = {"weather_daily", "", ".weather_daily", "serving.", "."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct catalog_options options = with_view(CATALOG_MARKET, names[i]);
        EXPECT_REFUSAL(&options, names[i], "schema.name");
    }
}

static void a_name_is_data_and_never_sql(void **state)
{
    struct catalog_options options = with_view(CATALOG_WEATHER, "serving.x\"; drop view serving.region; --");
    EXPECT_REFUSAL(&options, "no such view");
    free(warehouse_value(reader, "select count(*) from serving.region"));
}

static void a_view_that_the_login_may_not_read_is_refused_with_the_grant_to_give(void **state)
{
    struct catalog_options options = with_view(CATALOG_WEATHER, "odd.not_granted");
    EXPECT_REFUSAL(&options, "odd.not_granted", "may not read it", "grant select");
}

static void a_view_in_a_closed_schema_is_refused_with_the_grant_to_give(void **state)
{
    struct catalog_options options = with_view(CATALOG_MARKET, "closed.weather");
    EXPECT_REFUSAL(&options, "closed.weather", "closed to this login", "grant usage");
}

static void a_column_that_is_missing_or_of_another_type_is_refused_by_name(void **state)
{
    static const struct {
        size_t index;
        const char *view, *column, *wanted;
    } cases[] = {
        {CATALOG_WEATHER, "odd.no_day", "no column day", "date"},
        {CATALOG_WEATHER, "odd.day_is_text", "column day", "date"},
        {CATALOG_FORECAST, "odd.day_is_instant", "column day", "date"},
        {CATALOG_MARKET, "odd.id_is_number", "column region_id", "text"},
        {CATALOG_REGION, "odd.no_latitude", "no column latitude", "double precision"},
        {CATALOG_REGION, "odd.place_is_text", "column longitude", "double precision"},
        {CATALOG_REGION, "odd.attributes_are_text", "column attributes", "jsonb"},
        {CATALOG_REGION, "serving.weather_daily", "no column name", "text"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct catalog_options options = with_view(cases[i].index, cases[i].view);
        EXPECT_REFUSAL(&options, cases[i].view, cases[i].column, cases[i].wanted);
    }
}

static void a_comment_with_an_unknown_function_is_refused_by_column(void **state)
{
    struct catalog_options options = with_view(CATALOG_WEATHER, "odd.bad_comment");
    EXPECT_REFUSAL(&options, "odd.bad_comment", "temperature_c", "[unit; sum]");
}

static void a_view_with_too_many_measures_is_refused(void **state)
{
    struct buffer sql;
    buffer_init(&sql, 1 << 16);
    buffer_append_literal(&sql, "create or replace view odd.wide as select region_id, day");
    for (int i = 0; i < 129; i++)
        buffer_printf(&sql, ", temperature_c as m%d", i);
    buffer_append_literal(&sql, " from warehouse.weather_daily; grant select on odd.wide to sluice_reader");
    warehouse_script(owner, buffer_c_string(&sql));
    buffer_free(&sql);
    struct catalog_options options = with_view(CATALOG_WEATHER, "odd.wide");
    EXPECT_REFUSAL(&options, "odd.wide", "129", "128");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demos_measures_have_their_units_words_and_functions),
        cmocka_unit_test(each_view_knows_the_table_under_it),
        cmocka_unit_test(bases_are_found_through_views_unions_and_materialized_views_once_each),
        cmocka_unit_test(every_numeric_type_is_a_measure_and_nothing_else_is),
        cmocka_unit_test(a_view_of_no_table_has_no_base),
        cmocka_unit_test(a_table_serves_as_well_as_a_view),
        cmocka_unit_test(overrides_take_the_place_of_what_the_comments_say),
        cmocka_unit_test(an_override_of_an_unknown_column_is_refused),
        cmocka_unit_test(a_missing_view_is_refused_by_name),
        cmocka_unit_test(a_name_that_is_no_schema_and_name_is_refused),
        cmocka_unit_test(a_name_is_data_and_never_sql),
        cmocka_unit_test(a_view_that_the_login_may_not_read_is_refused_with_the_grant_to_give),
        cmocka_unit_test(a_view_in_a_closed_schema_is_refused_with_the_grant_to_give),
        cmocka_unit_test(a_column_that_is_missing_or_of_another_type_is_refused_by_name),
        cmocka_unit_test(a_comment_with_an_unknown_function_is_refused_by_column),
        cmocka_unit_test(a_view_with_too_many_measures_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
