#include "api/replica_lag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void nothing_is_known_before_a_mark_was_passed(void **state)
{
    (void)state;
    struct replica_lag lag = {.first = 0};
    assert_int_equal(replica_lag_ms(&lag, 5000), REPLICA_LAG_UNKNOWN);
    replica_lag_replayed(&lag, 900);
    assert_int_equal(replica_lag_fresh_ms(&lag), 0);
    replica_lag_written(&lag, 1000, 950);
    assert_int_equal(replica_lag_fresh_ms(&lag), 0);
    replica_lag_replayed(&lag, 950);
    assert_int_equal(replica_lag_fresh_ms(&lag), 1000);
}

static void a_primary_that_writes_nothing_makes_no_lag(void **state)
{
    (void)state;
    struct replica_lag lag = {.first = 0};
    replica_lag_replayed(&lag, 900);
    for (uint64_t now = 1000; now < 100000; now += 250) {
        replica_lag_written(&lag, now, 900);
        assert_int_equal(replica_lag_ms(&lag, now + 200), 0);
        assert_int_equal(replica_lag_fresh_ms(&lag), now);
    }
}

static void a_standby_is_as_late_as_the_newest_mark_that_it_has_passed(void **state)
{
    (void)state;
    struct replica_lag lag = {.first = 0};
    replica_lag_written(&lag, 1000, 100);
    replica_lag_written(&lag, 2000, 200);
    replica_lag_written(&lag, 3000, 300);
    replica_lag_replayed(&lag, 250);
    assert_int_equal(replica_lag_fresh_ms(&lag), 2000);
    assert_int_equal(replica_lag_ms(&lag, 3500), 1500);
    assert_int_equal(replica_lag_ms(&lag, 9000), 7000);
    replica_lag_replayed(&lag, 300);
    assert_int_equal(replica_lag_ms(&lag, 9000), 0);
}

static void a_standby_that_went_back_is_not_trusted_for_what_it_had(void **state)
{
    (void)state;
    struct replica_lag lag = {.first = 0};
    replica_lag_written(&lag, 1000, 100);
    replica_lag_replayed(&lag, 180);
    replica_lag_written(&lag, 2000, 200);
    replica_lag_replayed(&lag, 90);
    assert_int_equal(replica_lag_fresh_ms(&lag), 0);
    replica_lag_replayed(&lag, 200);
    assert_int_equal(replica_lag_fresh_ms(&lag), 2000);
    replica_lag_forget(&lag);
    replica_lag_written(&lag, 3000, 200);
    assert_int_equal(replica_lag_fresh_ms(&lag), 0);
    replica_lag_replayed(&lag, 200);
    assert_int_equal(replica_lag_fresh_ms(&lag), 3000);
}

static void marks_past_the_bound_make_it_later_not_earlier(void **state)
{
    (void)state;
    struct replica_lag lag = {.first = 0};
    replica_lag_written(&lag, 1, 1);
    replica_lag_replayed(&lag, 1);
    for (uint64_t i = 2; i < 2000; i++)
        replica_lag_written(&lag, i, i);
    replica_lag_replayed(&lag, 1000); /* its marks are forgotten */
    assert_int_equal(replica_lag_fresh_ms(&lag), 1);
    replica_lag_replayed(&lag, 1900);
    assert_int_equal(replica_lag_fresh_ms(&lag), 1900);
    assert_int_equal(replica_lag_ms(&lag, 2000), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_a_mark_was_passed),
        cmocka_unit_test(a_primary_that_writes_nothing_makes_no_lag),
        cmocka_unit_test(a_standby_is_as_late_as_the_newest_mark_that_it_has_passed),
        cmocka_unit_test(a_standby_that_went_back_is_not_trusted_for_what_it_had),
        cmocka_unit_test(marks_past_the_bound_make_it_later_not_earlier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
