/* The limiter without Redis, on a clock that the test moves: what one process decides by itself. */
#include "tests/unit/limit/calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/date.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* These take the place of base/clock.c's. Time moves forward only, as the loop expects: by a microsecond with each
 * look, and by what the test says, however long the machine takes for all that. */
static uint64_t moved_us;
static atomic_uint_fast64_t looks;

static uint64_t kernel_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t passed_us(void)
{
    return moved_us + atomic_fetch_add(&looks, 1);
}

static uint64_t begun_us;
static int64_t wall_begun_us;

uint64_t clock_monotonic_us(void)
{
    return begun_us + passed_us();
}

int64_t clock_wall_us(void)
{
    return wall_begun_us + (int64_t)passed_us();
}

static void move_clock(uint64_t seconds)
{
    moved_us += seconds * 1000000;
    loop_turn(loop, 0); /* the loop knows the time as of its turn */
}

/* To `second` seconds after the next midnight in UTC (day_of_month 0), or after that of the next first of a month. */
static void move_to_midnight(unsigned day_of_month)
{
    int32_t day = (int32_t)(clock_wall_us() / DAY_US) + 1;
    int year;
    unsigned month, of_month;
    date_to_civil(day, &year, &month, &of_month);
    while (day_of_month != 0 && of_month != day_of_month)
        date_to_civil(++day, &year, &month, &of_month);
    moved_us += (uint64_t)(day * DAY_US - clock_wall_us()) + 1000;
    loop_turn(loop, 0);
}

static struct limiter_store *store;
static struct limiter *limiter;

static int set_up(void **state)
{
    if (loop == NULL)
        loop = loop_create();
    store = limiter_store_create(1000);
    assert_non_null(store);
    limiter = limiter_on(NULL, store, 1);
    move_clock(0);
    return 0;
}

static int tear_down(void **state)
{
    limiter_destroy(limiter);
    limiter_store_destroy(store);
    return 0;
}

static const struct limit_tier five_a_minute = {"five", {RATE("minute", 5, 60000, 5)}, 1};

static void a_tier_without_policies_admits_everything(void **state)
{
    struct limit_tier none = {.name = "none"};
    for (int i = 0; i < 100; i++) {
        struct limit_verdict verdict = ask(limiter, "customer:a", &none, 1000000);
        assert_true(verdict.admitted);
        assert_null(verdict.policy);
    }
}

static void a_call_without_redis_is_answered_at_once(void **state)
{
    struct calls calls = {0};
    assert_null(call(limiter, "customer:a", &five_a_minute, 1, &calls));
    assert_int_equal(calls.admitted, 1);
    struct limiter_statistics statistics = limiter_statistics(limiter);
    assert_int_equal(statistics.admitted, 1);
    assert_int_equal(statistics.local, 1);
    assert_int_equal(statistics.scripts, 0);
}

static void a_burst_is_admitted_then_one_call_for_each_token_that_came_back(void **state)
{
    for (uint32_t i = 1; i <= 5; i++) {
        struct limit_verdict verdict = ask(limiter, "customer:a", &five_a_minute, 1);
        assert_true(verdict.admitted);
        assert_int_equal(verdict.remaining, 5 - i);
        assert_int_equal(verdict.reset_s, 12 * i); /* until the bucket is full again */
        assert_string_equal(verdict.policy->name, "minute");
    }
    struct limit_verdict refused = ask(limiter, "customer:a", &five_a_minute, 1);
    assert_refused_by(refused, "minute");
    assert_int_equal(refused.remaining, 0);
    assert_int_equal(refused.retry_after_s, 12);
    assert_int_equal(refused.reset_s, 60);
    for (int i = 0; i < 3; i++) {
        move_clock(11);
        assert_false(ask(limiter, "customer:a", &five_a_minute, 1).admitted);
        move_clock(1);
        assert_int_equal(admitted_of(limiter, "customer:a", &five_a_minute, 3), 1);
    }
}

static void the_time_to_retry_is_that_of_the_calls_weight(void **state)
{
    assert_true(ask(limiter, "customer:a", &five_a_minute, 4).admitted);
    struct limit_verdict refused = ask(limiter, "customer:a", &five_a_minute, 4);
    assert_refused_by(refused, "minute");
    assert_int_equal(refused.retry_after_s, 36); /* three tokens lack */
    assert_int_equal(refused.remaining, 1);
    assert_true(ask(limiter, "customer:a", &five_a_minute, 1).admitted);
    move_clock(47);
    assert_false(ask(limiter, "customer:a", &five_a_minute, 4).admitted);
    move_clock(1);
    assert_true(ask(limiter, "customer:a", &five_a_minute, 4).admitted);
}

static void an_idle_bucket_never_holds_more_than_its_burst(void **state)
{
    admitted_of(limiter, "customer:a", &five_a_minute, 10);
    move_clock(100000);
    assert_int_equal(admitted_of(limiter, "customer:a", &five_a_minute, 20), 5);
}

static void a_weight_above_the_burst_or_the_quota_is_refused_and_takes_nothing(void **state)
{
    static const struct limit_tier day = {"day", {QUOTA("day", 10, LIMIT_DAY)}, 1};
    assert_refused_by(ask(limiter, "customer:a", &five_a_minute, 6), "minute");
    assert_refused_by(ask(limiter, "customer:a", &five_a_minute, UINT64_MAX), "minute");
    assert_int_equal(admitted_of(limiter, "customer:a", &five_a_minute, 9), 5);
    assert_refused_by(ask(limiter, "customer:b", &day, 11), "day");
    assert_refused_by(ask(limiter, "customer:b", &day, UINT64_MAX), "day");
    assert_int_equal(admitted_of(limiter, "customer:b", &day, 19), 10);
}

static void a_refusal_by_one_policy_takes_nothing_from_the_others(void **state)
{
    static const struct limit_tier both = {"both", {RATE("hour", 36, 3600000, 36), RATE("minute", 4, 60000, 4)}, 2};
    static const struct limit_tier quota_last = {"q", {RATE("hour", 36, 3600000, 36), QUOTA("day", 4, LIMIT_DAY)}, 2};
    assert_int_equal(admitted_of(limiter, "customer:a", &both, 50), 4);
    assert_refused_by(ask(limiter, "customer:a", &both, 1), "minute");
    move_clock(60); /* four in "minute" again; one came back to "hour" too, whose 36 had lost 4 and not 50 */
    assert_int_equal(admitted_of(limiter, "customer:a", &both, 50), 4);
    assert_int_equal(admitted_of(limiter, "customer:b", &quota_last, 50), 4);
    assert_refused_by(ask(limiter, "customer:b", &quota_last, 1), "day");
}

static void the_policy_with_the_least_left_in_proportion_is_told(void **state)
{
    static const struct limit_tier both = {"both", {RATE("minute", 10, 60000, 10), QUOTA("day", 100, LIMIT_DAY)}, 2};
    static const struct limit_tier turned = {"turned", {QUOTA("day", 5, LIMIT_DAY), RATE("minute", 10, 60000, 10)}, 2};
    struct limit_verdict verdict = ask(limiter, "customer:a", &both, 1);
    assert_string_equal(verdict.policy->name, "minute");
    assert_int_equal(verdict.remaining, 9);
    verdict = ask(limiter, "customer:b", &turned, 1);
    assert_string_equal(verdict.policy->name, "day");
    assert_int_equal(verdict.remaining, 4);
}

static void keys_and_their_buckets_are_apart(void **state)
{
    assert_int_equal(admitted_of(limiter, "customer:a", &five_a_minute, 6), 5);
    assert_int_equal(admitted_of(limiter, "customer:b", &five_a_minute, 6), 5);
    assert_int_equal(admitted_of(limiter, "customer:", &five_a_minute, 6), 5);
    assert_int_equal(admitted_of(limiter, "customer:ab", &five_a_minute, 6), 5);
}

static void a_quota_by_day_is_exact_and_starts_anew_at_midnight_in_utc(void **state)
{
    static const struct limit_tier day = {"day", {QUOTA("day", 7, LIMIT_DAY)}, 1};
    move_to_midnight(0);
    move_clock(86400 - 100);
    assert_int_equal(admitted_of(limiter, "customer:a", &day, 20), 7);
    struct limit_verdict refused = ask(limiter, "customer:a", &day, 1);
    assert_refused_by(refused, "day");
    assert_int_equal(refused.remaining, 0);
    assert_in_range(refused.retry_after_s, 98, 100);
    assert_in_range(refused.reset_s, 98, 100);
    move_clock(90);
    assert_false(ask(limiter, "customer:a", &day, 1).admitted);
    move_clock(11);
    assert_int_equal(admitted_of(limiter, "customer:a", &day, 20), 7);
    assert_in_range(ask(limiter, "customer:a", &day, 1).retry_after_s, 86390, 86400);
}

static void a_quota_by_month_starts_anew_on_the_first(void **state)
{
    static const struct limit_tier month = {"month", {QUOTA("month", 3, LIMIT_MONTH)}, 1};
    move_to_midnight(1);
    move_to_midnight(28); /* over many midnights the count stays */
    int year, next_year;
    unsigned m, next_m, d;
    int32_t today = (int32_t)(clock_wall_us() / DAY_US), first = today;
    date_to_civil(today, &year, &m, &d);
    do
        date_to_civil(++first, &next_year, &next_m, &d);
    while (next_m == m);
    assert_int_equal(admitted_of(limiter, "customer:a", &month, 9), 3);
    struct limit_verdict refused = ask(limiter, "customer:a", &month, 1);
    assert_in_range(refused.retry_after_s, (uint64_t)(first - today) * 86400 - 10, (uint64_t)(first - today) * 86400);
    assert_int_equal(refused.reset_s, refused.retry_after_s);
    if (first - today > 1) {
        move_to_midnight(0);
        assert_false(ask(limiter, "customer:a", &month, 1).admitted);
    }
    move_to_midnight(1);
    assert_int_equal(admitted_of(limiter, "customer:a", &month, 9), 3);
}

static void a_fast_rate_is_exact_here_too(void **state)
{
    static const struct limit_tier fast = {"fast", {RATE("second", 1000, 1000, 50)}, 1};
    uint64_t start = clock_monotonic_us();
    size_t admitted = 0;
    for (int second = 0; second < 100; second++) {
        admitted += admitted_of(limiter, "customer:a", &fast, 100);
        moved_us += 20000;
        loop_turn(loop, 0);
    }
    double lasted = (double)(clock_monotonic_us() - start) / 1e6;
    assert_true((double)admitted <= 1000 * lasted + 50);
    assert_true((double)admitted >= 0.98 * (20.0 * 100 + 30));
}

static void workers_share_the_store_of_their_process(void **state)
{
    struct limiter *other = limiter_on(NULL, store, 1);
    size_t admitted = 0;
    for (int i = 0; i < 10; i++)
        admitted += ask(limiter, "customer:a", &five_a_minute, 1).admitted +
                    ask(other, "customer:a", &five_a_minute, 1).admitted;
    assert_int_equal(admitted, 5);
    limiter_destroy(other);
}

#define THREADS 4
static const struct limit_tier five_hundred = {"many", {RATE("hour", 500, 3600000, 500)}, 1};
static struct loop *thread_loops[THREADS]; /* made once: h2o's can't be destroyed without a leak */

static void *call_in_thread(void *context)
{
    struct limiter_options options = {.prefix = "test:", .store = store, .instances = 1, .max_keys = 10};
    struct limiter *own = limiter_create(thread_loops[(size_t)context], &options);
    struct calls calls = {0};
    for (int i = 0; i < 2000; i++)
        limiter_check(own, TEXT("customer:a"), &five_hundred, 1, on_verdict, &calls);
    limiter_destroy(own);
    return (void *)calls.admitted;
}

static void workers_that_call_at_once_take_no_token_twice(void **state)
{
    pthread_t threads[THREADS];
    size_t admitted = 0;
    for (size_t i = 0; i < THREADS; i++) {
        thread_loops[i] = loop_create();
        assert_int_equal(pthread_create(&threads[i], NULL, call_in_thread, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        admitted += (size_t)result;
    }
    assert_int_equal(admitted, 500);
}

static void each_of_three_instances_enforces_its_third(void **state)
{
    static const struct limit_tier nine = {"nine", {RATE("minute", 9, 60000, 9)}, 1};
    static const struct limit_tier day = {"day", {QUOTA("day", 9, LIMIT_DAY)}, 1};
    struct limiter *third = limiter_on(NULL, store, 3);
    assert_int_equal(admitted_of(third, "customer:a", &nine, 20), 3);
    assert_in_range(ask(third, "customer:a", &nine, 1).retry_after_s, 19, 20); /* 3 a minute */
    move_clock(60);
    assert_int_equal(admitted_of(third, "customer:a", &nine, 20), 3);
    move_to_midnight(0);
    assert_int_equal(admitted_of(third, "customer:b", &day, 20), 3);
    limiter_destroy(third);
}

static void a_share_below_one_call_still_admits_one(void **state)
{
    static const struct limit_tier two = {"two", {RATE("minute", 2, 60000, 2)}, 1};
    struct limiter *tenth = limiter_on(NULL, store, 10);
    assert_int_equal(admitted_of(tenth, "customer:a", &two, 20), 1);
    limiter_destroy(tenth);
}

static void a_key_starts_anew_when_its_policies_change(void **state)
{
    static const struct limit_tier seven = {"seven", {RATE("minute", 7, 60000, 7)}, 1};
    assert_int_equal(admitted_of(limiter, "customer:a", &five_a_minute, 9), 5);
    assert_int_equal(admitted_of(limiter, "customer:a", &seven, 9), 7);
}

static void a_full_store_forgets_somebody_and_goes_on(void **state)
{
    struct limiter_store *small_store = limiter_store_create(256);
    struct limiter_options options = {.prefix = "test:", .store = small_store, .instances = 1, .max_keys = 256};
    struct limiter *small = limiter_create(loop, &options);
    for (int i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "address:%d", i);
        assert_true(ask(small, key, &five_a_minute, 1).admitted);
        if (i % 4 == 0) /* somebody who calls all the time is not the one to be forgotten */
            ask(small, "customer:busy", &five_a_minute, 1);
    }
    assert_false(ask(small, "customer:busy", &five_a_minute, 1).admitted);
    limiter_destroy(small);
    limiter_store_destroy(small_store);
}

static void keys_of_any_bytes_and_lengths_are_taken(void **state)
{
    char long_key[4096];
    memset(long_key, 'k', sizeof(long_key));
    struct calls calls = {0};
    struct text keys[] = {TEXT(""), TEXT("a\0b"), TEXT("a\0c"), text_of(long_key, sizeof(long_key)),
                          text_of(long_key, sizeof(long_key) - 1)};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        for (int n = 0; n < 6; n++)
            limiter_check(limiter, keys[i], &five_a_minute, 1, on_verdict, &calls);
        assert_int_equal(calls.admitted, 5 * (i + 1));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tier_without_policies_admits_everything),
        TEST(a_call_without_redis_is_answered_at_once),
        TEST(a_burst_is_admitted_then_one_call_for_each_token_that_came_back),
        TEST(the_time_to_retry_is_that_of_the_calls_weight),
        TEST(an_idle_bucket_never_holds_more_than_its_burst),
        TEST(a_weight_above_the_burst_or_the_quota_is_refused_and_takes_nothing),
        TEST(a_refusal_by_one_policy_takes_nothing_from_the_others),
        TEST(the_policy_with_the_least_left_in_proportion_is_told),
        TEST(keys_and_their_buckets_are_apart),
        TEST(a_quota_by_day_is_exact_and_starts_anew_at_midnight_in_utc),
        TEST(a_quota_by_month_starts_anew_on_the_first),
        TEST(a_fast_rate_is_exact_here_too),
        TEST(workers_share_the_store_of_their_process),
        TEST(workers_that_call_at_once_take_no_token_twice),
        TEST(each_of_three_instances_enforces_its_third),
        TEST(a_share_below_one_call_still_admits_one),
        TEST(a_key_starts_anew_when_its_policies_change),
        TEST(a_full_store_forgets_somebody_and_goes_on),
        TEST(keys_of_any_bytes_and_lengths_are_taken),
    };
    begun_us = kernel_us(CLOCK_MONOTONIC);
    wall_begun_us = (int64_t)kernel_us(CLOCK_REALTIME);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
