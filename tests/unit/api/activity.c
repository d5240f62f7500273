#include "api/activity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct activity *activity;
static struct buffer text;

static const char *told(void)
{
    buffer_clear(&text);
    activity_append(&text, activity);
    const char *all = buffer_c_string(&text);
    assert_non_null(all);
    return all;
}

static void assert_tells(const char *line)
{
    char whole[160];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (strstr(told(), whole) == NULL)
        fail_msg("%s is not in: %s", line, told());
}

static void a_load_is_counted_by_target_and_outcome_with_its_rows_bytes_and_seconds(void **state)
{
    activity_count_load(activity, &(struct activity_load){.rows = 10, .bytes = 100, .quarantined = 2, .took_us = 1500});
    activity_count_load(activity, &(struct activity_load){.rows = 5, .bytes = 50, .warehouse = true, .took_us = 7});
    assert_tells("sluice_loads_total{target=\"upload\",outcome=\"done\"} 1");
    assert_tells("sluice_load_seconds_total{target=\"upload\",outcome=\"done\"} 0.001500");
    assert_tells("sluice_load_rows_total{target=\"upload\"} 10");
    assert_tells("sluice_load_quarantined_rows_total{target=\"upload\"} 2");
    assert_tells("sluice_load_bytes_total{target=\"warehouse\"} 50");
    assert_tells("sluice_loads_total{target=\"warehouse\",outcome=\"done\"} 1");
}

static void rows_that_were_not_loaded_are_not_counted(void **state)
{
    static const enum status refusals[] = {STATUS_INVALID, STATUS_NOT_FOUND, STATUS_DENIED, STATUS_CONFLICT,
                                           STATUS_TOO_LARGE};
    static const enum status failures[] = {STATUS_BUSY, STATUS_UNAVAILABLE, STATUS_TIMEOUT, STATUS_FAILED};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        activity_count_load(activity, &(struct activity_load){.rows = 1, .bytes = 10, .status = refusals[i]});
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        activity_count_load(activity, &(struct activity_load){.rows = 1, .bytes = 10, .status = failures[i]});
    activity_count_load(activity, &(struct activity_load){.rows = 1, .replayed = true});
    assert_tells("sluice_loads_total{target=\"upload\",outcome=\"refused\"} 5");
    assert_tells("sluice_loads_total{target=\"upload\",outcome=\"failed\"} 4");
    assert_tells("sluice_loads_total{target=\"upload\",outcome=\"replayed\"} 1");
    assert_tells("sluice_load_rows_total{target=\"upload\"} 0");
    assert_tells("sluice_load_bytes_total{target=\"upload\"} 90");
}

static void jobs_and_refused_sql_are_counted(void **state)
{
    activity_count_job(activity, ACTIVITY_JOB_DONE, 2000000);
    activity_count_job(activity, ACTIVITY_JOB_DONE, 500000);
    activity_count_job(activity, ACTIVITY_JOB_FAILED, 1);
    activity_count_job(activity, ACTIVITY_JOB_CANCELLED, 0);
    activity_count_sql_refused(activity);
    assert_tells("sluice_jobs_total{outcome=\"done\"} 2");
    assert_tells("sluice_job_seconds_total{outcome=\"done\"} 2.500000");
    assert_tells("sluice_jobs_total{outcome=\"failed\"} 1");
    assert_tells("sluice_jobs_total{outcome=\"cancelled\"} 1");
    assert_tells("sluice_sql_refused_total 1");
}

static int make(void **state)
{
    activity = activity_create();
    buffer_init(&text, 65536);
    return activity == NULL;
}

static int drop(void **state)
{
    activity_destroy(activity);
    buffer_free(&text);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_load_is_counted_by_target_and_outcome_with_its_rows_bytes_and_seconds),
        TEST(rows_that_were_not_loaded_are_not_counted),
        TEST(jobs_and_refused_sql_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
