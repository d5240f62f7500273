#include "query/series.h"

#include <math.h>

#include "base/date.h"
#include "tests/unit/query/warehouse.h"

#define DAYS_MAX 6000

/* All of one region's days, read plainly: what the aggregates are computed from anew. */
struct days {
    size_t count;
    int32_t day[DAYS_MAX];
    double value[DAYS_MAX][2]; /* temperature_c (mean), precipitation_mm (sum); NAN: null */
};

static struct reader reader;
static struct days days;

static double number_at(const struct postgres_rows *rows, size_t row, size_t column)
{
    struct text value = postgres_rows_value(rows, row, column);
    return value.data != NULL ? strtod(value.data, NULL) : (double)NAN;
}

static void keep_days(void *context, const struct postgres_rows *rows)
{
    days.count = postgres_rows_count(rows);
    assert_in_range(days.count, 1, DAYS_MAX);
    for (size_t i = 0; i < days.count; i++) {
        assert_true(date_parse(postgres_rows_value(rows, i, 0), &days.day[i]));
        days.value[i][0] = number_at(rows, i, 1);
        days.value[i][1] = number_at(rows, i, 2);
    }
}

static int set_up(void **state)
{
    struct failure failure = {0};
    warehouse_start();
    warehouse_demo();
    reader_open(&reader, 1000);
    return postgres_session_query(reader.session,
                                  "select day, temperature_c, precipitation_mm from warehouse.weather_daily where "
                                  "region_id = 'TY-outer-2' order by day",
                                  0, NULL, keep_days, NULL, &failure) != STATUS_OK;
}

static int tear_down(void **state)
{
    reader_close(&reader);
    warehouse_stop();
    return 0;
}

static int32_t day_of(const char *text)
{
    int32_t day = 0;
    assert_true(date_parse(text_from_string(text), &day));
    return day;
}

static struct series_request request_of(const char *region_id, enum series_grain grain, const char *from,
                                        const char *to)
{
    struct series_request request = {.view = &reader.catalog->views[CATALOG_WEATHER],
                                     .region_id = text_from_string(region_id),
                                     .grain = grain,
                                     .has_from = from != NULL,
                                     .has_to = to != NULL};
    request.from = from != NULL ? day_of(from) : 0;
    request.to = to != NULL ? day_of(to) : 0;
    return request;
}

static void run(const struct series_request *request, void (*on_rows)(void *context, const struct postgres_rows *rows),
                void *context)
{
    struct arena arena;
    struct plan plan;
    struct failure failure = {0};
    arena_init(&arena, NULL, 0, 1 << 20);
    if (series_plan(reader.versions, request, &arena, &plan, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    /* The rows are looked at as text here; binary.c's test shows that their binary form says the same. */
    assert_true(plan.statement.binary);
    plan.statement.binary = false;
    reader_run(&reader, &plan, on_rows, context);
    arena_free(&arena);
}

/* The first day of the period that `day` lies in, by counting: 1970-01-01 was a Thursday. */
static int32_t period_of(int32_t day, enum series_grain grain)
{
    int year;
    unsigned month, day_of_month;
    date_to_civil(day, &year, &month, &day_of_month);
    switch (grain) {
    case SERIES_DAY:
        return day;
    case SERIES_WEEK:
        return day - ((day + 3) % 7 + 7) % 7;
    case SERIES_MONTH:
        return day - (int32_t)day_of_month + 1;
    case SERIES_YEAR:
        break;
    }
    return date_from_civil(year, 1, 1);
}

struct period {
    int32_t first;
    int64_t days, counts[2];
    double sums[2];
};

static struct period gather(size_t *at, const struct series_request *request)
{
    struct period period = {.first = period_of(days.day[*at], request->grain)};
    for (; *at < days.count && period_of(days.day[*at], request->grain) == period.first; (*at)++) {
        if (request->has_to && days.day[*at] > request->to)
            break;
        period.days++;
        for (size_t m = 0; m < 2; m++)
            if (!isnan(days.value[*at][m])) {
                period.counts[m]++;
                period.sums[m] += days.value[*at][m];
            }
    }
    return period;
}

static void expect_number(const struct postgres_rows *rows, size_t row, size_t column, int64_t count, double wanted)
{
    double got = number_at(rows, row, column);
    if (isnan(got) != (count == 0) || (count != 0 && fabs(got - wanted) > 1e-9 * (1 + fabs(wanted))))
        fail_msg("row %zu column %zu: %.17g, not %.17g", row, column, got, wanted);
}

static void expect_periods(void *context, const struct postgres_rows *rows)
{
    static const char *const names[] = {"day", "week", "month", "year"};
    const struct series_request *request = context;
    size_t at = 0, row = 0;
    assert_string_equal(postgres_rows_name(rows, 0), names[request->grain]);
    assert_string_equal(postgres_rows_name(rows, 1), "days");
    assert_string_equal(postgres_rows_name(rows, 2), "temperature_c_mean");
    assert_string_equal(postgres_rows_name(rows, 3), "precipitation_mm_sum");
    assert_int_equal(postgres_rows_type(rows, 0), 1082);
    while (request->has_from && at < days.count && days.day[at] < request->from)
        at++;
    for (; at < days.count && (!request->has_to || days.day[at] <= request->to); row++) {
        struct period period = gather(&at, request);
        char first[DATE_TEXT_SIZE];
        date_format(period.first, first);
        assert_in_range(row, 0, postgres_rows_count(rows) - 1);
        assert_string_equal(postgres_rows_value(rows, row, 0).data, first);
        assert_int_equal(strtoll(postgres_rows_value(rows, row, 1).data, NULL, 10), period.days);
        expect_number(rows, row, 2, period.counts[0], period.sums[0] / (double)period.counts[0]);
        expect_number(rows, row, 3, period.counts[1], period.sums[1]);
    }
    assert_int_equal(postgres_rows_count(rows), row);
}

static void weeks_months_and_years_hold_what_their_days_add_up_to(void **state)
{
    for (enum series_grain grain = SERIES_WEEK; grain <= SERIES_YEAR; grain++) {
        struct series_request request = request_of("TY-outer-2", grain, NULL, NULL);
        run(&request, expect_periods, &request);
    }
}

static void a_period_cut_by_the_bounds_holds_only_the_days_within(void **state)
{
    for (enum series_grain grain = SERIES_WEEK; grain <= SERIES_YEAR; grain++) {
        struct series_request request = request_of("TY-outer-2", grain, "2019-12-18", "2021-01-02");
        run(&request, expect_periods, &request);
        request = request_of("TY-outer-2", grain, "2020-02-29", "2020-02-29");
        run(&request, expect_periods, &request);
    }
}

struct column {
    char text[400]; /* the first column's values, a blank between */
};

static void keep_times(void *context, const struct postgres_rows *rows)
{
    struct column *column = context;
    column->text[0] = '\0';
    for (size_t i = 0; i < postgres_rows_count(rows) && i < 30; i++) {
        strcat(column->text, i != 0 ? " " : "");
        strcat(column->text, postgres_rows_value(rows, i, 0).data);
    }
}

static void expect_times(const char *region_id, enum series_grain grain, const char *from, const char *to,
                         const char *wanted)
{
    struct column column;
    struct series_request request = request_of(region_id, grain, from, to);
    run(&request, keep_times, &column);
    assert_string_equal(column.text, wanted);
}

static void a_week_at_the_turn_of_the_year_is_one_iso_week(void **state)
{
    /* 2020 has an ISO week 53, 2018-12-31 belongs to 2019's first. */
    expect_times("AR", SERIES_WEEK, "2020-12-27", "2021-01-04", "2020-12-21 2020-12-28 2021-01-04");
    expect_times("AR", SERIES_WEEK, "2018-12-31", "2019-01-06", "2018-12-31");
    expect_times("AR", SERIES_MONTH, "2020-12-31", "2021-01-01", "2020-12-01 2021-01-01");
    expect_times("AR", SERIES_YEAR, "2020-12-31", "2021-01-01", "2020-01-01 2021-01-01");
}

static void bounds_are_inclusive_and_each_may_be_missing(void **state)
{
    expect_times("AR", SERIES_DAY, "2024-02-28", "2024-03-01", "2024-02-28 2024-02-29 2024-03-01");
    expect_times("AR", SERIES_DAY, "2025-12-30", NULL, "2025-12-30 2025-12-31");
    expect_times("AR", SERIES_DAY, NULL, "2011-01-02", "2011-01-01 2011-01-02");
    expect_times("AR", SERIES_DAY, "2024-03-01", "2024-02-28", "");
    expect_times("AR", SERIES_DAY, "0001-01-01", "2010-12-31", "");
    expect_times("nowhere' or true --", SERIES_DAY, "2024-02-28", "2024-03-01", "");
}

static void keep_json(void *context, const struct postgres_rows *rows)
{
    struct buffer *names = context;
    for (size_t i = 0; i < postgres_rows_columns(rows); i++)
        buffer_printf(names, "%s%s", i != 0 ? "," : "", postgres_rows_name(rows, i));
}

static void expect_columns(const struct series_request *request, const char *wanted)
{
    struct buffer names;
    buffer_init(&names, 4096);
    run(request, keep_json, &names);
    assert_string_equal(buffer_c_string(&names), wanted);
    buffer_free(&names);
}

static void fields_come_in_the_order_asked_and_all_without_any(void **state)
{
    static const struct text fields[] = {{"snowfall_cm", 11}, {"temperature_c", 13}};
    struct series_request request = request_of("AR", SERIES_DAY, "2024-01-01", "2024-01-03");
    expect_columns(&request, "day,temperature_c,precipitation_mm,wind_kmh,cloud_pct,snowfall_cm");
    request.fields = fields;
    request.field_count = 2;
    expect_columns(&request, "day,snowfall_cm,temperature_c");
    request.grain = SERIES_MONTH;
    expect_columns(&request, "month,days,snowfall_cm_sum,temperature_c_mean");
    request = request_of("AR", SERIES_YEAR, NULL, NULL);
    request.view = &reader.catalog->views[CATALOG_MARKET];
    expect_columns(&request, "year,days,interest_index_mean,price_eur_mwh_mean");
}

static void expect_refusal(const struct text *fields, size_t count, const char *const *words)
{
    struct arena arena;
    struct plan plan;
    struct failure failure = {0};
    struct series_request request = request_of("AR", SERIES_MONTH, NULL, NULL);
    request.fields = fields;
    request.field_count = count;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(series_plan(reader.versions, &request, &arena, &plan, &failure), STATUS_INVALID);
    for (; *words != NULL; words++)
        if (strstr(failure.message, *words) == NULL)
            fail_msg("'%s' is not in: %s", *words, failure.message);
    arena_free(&arena);
}

static void an_unknown_field_is_refused_and_the_known_ones_named(void **state)
{
    static const char *const words[] = {"temperatur ",
                                        "temperature_c, precipitation_mm, wind_kmh, cloud_pct, snowfall_cm", NULL};
    static const char *const injected[] = {"cloud_pct) from pg_authid", "temperature_c", NULL};
    struct text fields[] = {TEXT("wind_kmh"), TEXT("temperatur")};
    expect_refusal(fields, 2, words);
    fields[0] = TEXT("cloud_pct) from pg_authid");
    expect_refusal(fields, 1, injected);
    fields[0] = TEXT("day"); /* a column, but no measure */
    expect_refusal(fields, 1, (const char *const[]){"day is no measure", NULL});
}

static void a_field_twice_or_too_many_of_them_is_refused(void **state)
{
    struct text fields[65] = {TEXT("wind_kmh"), TEXT("cloud_pct"), TEXT("wind_kmh")};
    expect_refusal(fields, 3, (const char *const[]){"wind_kmh is named twice", NULL});
    expect_refusal(fields, 65, (const char *const[]){"65", "64", NULL});
}

static struct plan plan_of(struct arena *arena, enum series_grain grain, const char *from, const char *to)
{
    struct plan plan;
    struct failure failure = {0};
    struct series_request request = request_of("AR", grain, from, to);
    assert_int_equal(series_plan(reader.versions, &request, arena, &plan, &failure), STATUS_OK);
    return plan;
}

static void the_plan_bounds_its_rows_and_takes_the_fast_lane_for_few(void **state)
{
    static const struct {
        enum series_grain grain;
        const char *from, *to;
        uint64_t at_least, at_most;
        enum plan_lane lane;
    } cases[] = {
        {SERIES_DAY, "2024-01-01", "2024-01-01", 1, 1, PLAN_FAST},
        {SERIES_DAY, "2024-01-01", "2024-12-31", 366, 366, PLAN_FAST},
        {SERIES_DAY, "2024-01-01", "2025-02-03", 400, 400, PLAN_FAST},
        {SERIES_DAY, "2024-01-01", "2025-02-04", 401, 401, PLAN_SCAN},
        {SERIES_WEEK, "2024-01-07", "2024-01-08", 2, 3, PLAN_FAST},
        {SERIES_MONTH, "2011-01-31", "2011-02-01", 2, 3, PLAN_FAST},
        {SERIES_DAY, "2011-01-01", "2025-12-31", 5479, 5479, PLAN_SCAN},
        {SERIES_DAY, NULL, "2025-12-31", 0, 0, PLAN_SCAN},
        {SERIES_YEAR, "2011-01-01", NULL, 0, 0, PLAN_SCAN},
    };
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan plan = plan_of(&arena, cases[i].grain, cases[i].from, cases[i].to);
        assert_in_range(plan.rows_at_most, cases[i].at_least, cases[i].at_most);
        assert_int_equal(plan.lane, cases[i].lane);
        assert_int_equal(plan.target, PLAN_WAREHOUSE);
        assert_true(text_equal(plan.relation, TEXT("serving.weather_daily")));
        assert_int_equal(plan.version, 1);
    }
    arena_free(&arena);
}

/* The bound must hold where the calendar is at its worst: each first day of four years, each length to 70 days. */
static void no_range_has_more_periods_than_the_plan_says(void **state)
{
    static char memory[1 << 16];
    for (enum series_grain grain = SERIES_DAY; grain <= SERIES_YEAR; grain++)
        for (int32_t from = day_of("2019-12-01"); from < day_of("2024-03-02"); from += 1 + from % 3) {
            uint64_t periods = 1;
            for (int32_t to = from; to < from + 70; to++) {
                struct arena arena;
                struct plan plan;
                struct failure failure;
                struct series_request request = {.view = &reader.catalog->views[CATALOG_WEATHER],
                                                 .region_id = TEXT("AR"),
                                                 .grain = grain,
                                                 .has_from = true,
                                                 .has_to = true,
                                                 .from = from,
                                                 .to = to};
                arena_init(&arena, memory, sizeof(memory), 1 << 20);
                assert_int_equal(series_plan(reader.versions, &request, &arena, &plan, &failure), STATUS_OK);
                periods += to > from && period_of(to, grain) != period_of(to - 1, grain);
                assert_true(plan.rows_at_most >= periods);
                arena_free(&arena);
            }
        }
}

static void no_parameter_is_lost_when_memory_runs_out(void **state)
{
    static char memory[2048];
    struct series_request request = request_of("AR", SERIES_DAY, "2024-01-01", "2024-01-03");
    for (size_t size = 0; size <= sizeof(memory); size += 16) {
        struct arena arena;
        struct plan plan;
        struct failure failure;
        arena_init(&arena, memory, size, 0);
        enum status status = series_plan(reader.versions, &request, &arena, &plan, &failure);
        assert_true(status == STATUS_OK || status == STATUS_TOO_LARGE);
        for (size_t i = 0; status == STATUS_OK && i < plan.statement.parameter_count; i++)
            assert_non_null(plan.parameters[i].data);
        assert_true(status == STATUS_OK || size < sizeof(memory));
    }
}

static void keep_explain(void *context, const struct postgres_rows *rows)
{
    struct buffer *out = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++)
        buffer_append_text(out, postgres_rows_value(rows, i, 0));
}

static void every_grain_reads_by_the_primary_key(void **state)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (enum series_grain grain = SERIES_DAY; grain <= SERIES_YEAR; grain++)
        for (int bounded = 0; bounded < 2; bounded++) {
            struct plan plan = plan_of(&arena, grain, bounded ? "2024-01-01" : NULL, bounded ? "2024-01-31" : NULL);
            struct buffer sql, out;
            struct failure failure = {0};
            buffer_init(&sql, 1 << 16);
            buffer_init(&out, 1 << 16);
            buffer_printf(&sql, "explain %s", plan.statement.sql);
            if (postgres_session_query(reader.session, buffer_c_string(&sql), plan.statement.parameter_count,
                                       plan.parameters, keep_explain, &out, &failure) != STATUS_OK)
                fail_msg("%s", failure.message);
            if (strstr(buffer_c_string(&out), "weather_daily_pkey") == NULL ||
                strstr(buffer_c_string(&out), "Seq Scan") != NULL)
                fail_msg("%s", buffer_c_string(&out));
            buffer_free(&sql);
            buffer_free(&out);
        }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weeks_months_and_years_hold_what_their_days_add_up_to),
        cmocka_unit_test(a_period_cut_by_the_bounds_holds_only_the_days_within),
        cmocka_unit_test(a_week_at_the_turn_of_the_year_is_one_iso_week),
        cmocka_unit_test(bounds_are_inclusive_and_each_may_be_missing),
        cmocka_unit_test(fields_come_in_the_order_asked_and_all_without_any),
        cmocka_unit_test(an_unknown_field_is_refused_and_the_known_ones_named),
        cmocka_unit_test(a_field_twice_or_too_many_of_them_is_refused),
        cmocka_unit_test(the_plan_bounds_its_rows_and_takes_the_fast_lane_for_few),
        cmocka_unit_test(no_range_has_more_periods_than_the_plan_says),
        cmocka_unit_test(no_parameter_is_lost_when_memory_runs_out),
        cmocka_unit_test(every_grain_reads_by_the_primary_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
