#include "query/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>

static void targets_and_lanes_have_the_names_that_sluice_plan_shows(void **state)
{
    assert_string_equal(plan_target_name(PLAN_WAREHOUSE), "warehouse");
    assert_string_equal(plan_target_name(PLAN_ANALYTICS), "analytics");
    assert_string_equal(plan_target_name(PLAN_UPLOAD), "upload");
    assert_string_equal(plan_lane_name(PLAN_FAST), "fast");
    assert_string_equal(plan_lane_name(PLAN_SCAN), "scan");
    assert_string_equal(plan_lane_name(PLAN_CUSTOMER), "customer");
    assert_string_equal(plan_lane_name(PLAN_COPY), "copy");
    assert_string_equal(plan_lane_name(PLAN_REPLICA), "replica");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(targets_and_lanes_have_the_names_that_sluice_plan_shows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
