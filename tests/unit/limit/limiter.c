/* Limiters of three instances on one Redis, which lives, hangs, dies and comes back. */
#include "tests/unit/limit/calls.h"

#include <time.h>

#define INSTANCES 3

static struct redis *connections[INSTANCES];
static struct limiter_store *stores[INSTANCES];
static struct limiter *limiters[INSTANCES];
static const struct limit_tier five_a_minute = {"five", {RATE("minute", 5, 60000, 5)}, 1};
static const struct limit_tier nine_a_minute = {"nine", {RATE("minute", 9, 60000, 9)}, 1};
static const struct limit_tier thousand_a_second = {"fast", {RATE("second", 1000, 1000, 1000)}, 1};
static const struct limit_tier fast_with_quota = {
    "quota", {RATE("second", 1000, 1000, 1000), QUOTA("day", 300, LIMIT_DAY)}, 2};

/* Quotas count by the day in UTC: a test that begins seconds before midnight would see two of them. */
static void avoid_midnight(void)
{
    while (time(NULL) % 86400 > 86400 - 20)
        loop_turn(loop, 1000);
}

static int set_up(void **state)
{
    if (redis_server.pid == 0)
        redis_server_start();
    avoid_midnight();
    for (int i = 0; i < INSTANCES; i++) {
        connections[i] = redis_connect(REDIS_PATIENCE);
        stores[i] = limiter_store_create(1000);
        limiters[i] = limiter_on(connections[i], stores[i], INSTANCES);
    }
    redis_ask(connections[0], "redis.call('FLUSHALL') return 1");
    return 0;
}

static int tear_down(void **state)
{
    if (redis_server.pid != 0)
        kill(redis_server.pid, SIGCONT);
    for (int i = 0; i < INSTANCES; i++) {
        limiter_destroy(limiters[i]);
        redis_destroy(connections[i]);
        limiter_store_destroy(stores[i]);
    }
    loop_turn(loop, 0);
    return 0;
}

static uint64_t scripts_run(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < INSTANCES; i++)
        sum += limiter_statistics(limiters[i]).scripts;
    return sum;
}

static uint64_t fallbacks(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < INSTANCES; i++)
        sum += limiter_statistics(limiters[i]).fallbacks;
    return sum;
}

static void a_tier_without_policies_asks_nobody(void **state)
{
    struct limit_tier none = {.name = "none"};
    struct calls calls = {0};
    assert_null(call(limiters[0], "customer:a", &none, 5, &calls));
    assert_int_equal(calls.admitted, 1);
    assert_null(calls.last.policy);
    assert_int_equal(scripts_run(), 0);
}

static void of_a_hundred_simultaneous_calls_at_three_instances_five_are_admitted(void **state)
{
    struct calls calls = {0};
    uint64_t start = clock_monotonic_us();
    for (int i = 0; i < 100; i++)
        call(limiters[i % INSTANCES], "customer:a", &five_a_minute, 1, &calls);
    loop_until(calls.answered == 100);
    assert_int_equal(calls.admitted, 5);
    for (int i = 0; i < INSTANCES; i++) {
        struct limit_verdict refused = ask(limiters[i], "customer:a", &five_a_minute, 1);
        assert_refused_by(refused, "minute");
        assert_in_range(refused.retry_after_s, left_of(12, start), 12);
        assert_in_range(refused.reset_s, left_of(60, start), 60);
        assert_int_equal(refused.remaining, 0);
    }
    assert_int_equal(fallbacks(), 0);
}

/* `batch` calls a turn at the first `count` instances in turn, for `ms`; the time that it took in seconds. */
static double call_for(const char *key, const struct limit_tier *tier, int batch, int count, uint64_t ms,
                       struct calls *calls)
{
    uint64_t start = clock_monotonic_us();
    while (clock_monotonic_us() - start < ms * 1000) {
        for (int i = 0; i < batch; i++)
            call(limiters[i % count], key, tier, 1, calls);
        loop_turn(loop, 1);
    }
    loop_until(calls->answered == calls->asked);
    return (double)(clock_monotonic_us() - start) / 1e6;
}

static const char *trial_key(int trial)
{
    static char key[32];
    snprintf(key, sizeof(key), "customer:%d", trial);
    return key;
}

static void one_call_is_admitted_each_time_a_token_came_back(void **state)
{
    static const struct limit_tier slow = {"slow", {RATE("second", 4, 1000, 2)}, 1}; /* one every 250 ms: no leases */
    size_t most = 0;
    for (int trial = 0; trial < TRIALS && most < 2 + 8 - 1; trial++) {
        struct calls calls = {0};
        double lasted = call_for(trial_key(trial), &slow, INSTANCES, INSTANCES, 2100, &calls);
        assert_true((double)calls.admitted <= 2 + 4 * lasted);
        most = calls.admitted;
    }
    assert_true(most >= 2 + 8 - 1);
}

static void calls_of_one_turn_share_a_round_trip(void **state)
{
    struct calls calls = {0};
    uint64_t before = redis_statistics(connections[0]).round_trips;
    for (int i = 0; i < 50; i++) {
        char key[32];
        snprintf(key, sizeof(key), "customer:%d", i);
        call(limiters[0], key, &five_a_minute, 1, &calls);
    }
    loop_until(calls.answered == 50);
    assert_int_equal(calls.admitted, 50);
    /* One more for the script's text, the first time. */
    assert_true(redis_statistics(connections[0]).round_trips - before <= 2);
}

static void a_refused_caller_costs_no_script_until_it_may_retry(void **state)
{
    static const struct limit_tier slow = {"slow", {RATE("second", 1, 4000, 1)}, 1};
    assert_true(ask(limiters[0], "customer:a", &slow, 1).admitted);
    struct limit_verdict refused = ask(limiters[0], "customer:a", &slow, 1);
    assert_refused_by(refused, "second");
    uint64_t before = scripts_run(), start = clock_monotonic_us();
    struct calls calls = {0};
    for (int i = 0; i < 1000; i++)
        assert_null(call(limiters[0], "customer:a", &slow, 1, &calls));
    assert_true(clock_monotonic_us() - start < 3500000); /* within the four seconds, or this says nothing */
    assert_int_equal(calls.admitted, 0);
    assert_int_equal(scripts_run(), before);
    assert_refused_by(calls.last, "second");
    loop_for(4020);
    assert_true(ask(limiters[0], "customer:a", &slow, 1).admitted);
}

static void a_heavy_call_that_was_refused_does_not_shut_out_a_light_one(void **state)
{
    uint64_t start = clock_monotonic_us();
    assert_true(ask(limiters[0], "customer:a", &five_a_minute, 3).admitted);
    struct limit_verdict refused = ask(limiters[0], "customer:a", &five_a_minute, 5);
    assert_refused_by(refused, "minute");
    assert_in_range(refused.retry_after_s, left_of(36, start), 36);
    assert_true(ask(limiters[0], "customer:a", &five_a_minute, 2).admitted);
    assert_refused_by(ask(limiters[0], "customer:a", &five_a_minute, 6), "minute");
}

static void a_light_call_is_not_refused_for_a_heavy_one_of_the_same_turn(void **state)
{
    struct calls heavy = {0}, light = {0};
    assert_true(ask(limiters[0], "customer:a", &five_a_minute, 3).admitted);
    call(limiters[0], "customer:a", &five_a_minute, 4, &heavy);
    call(limiters[0], "customer:a", &five_a_minute, 2, &light);
    loop_until(heavy.answered == 1 && light.answered == 1);
    assert_refused_by(heavy.last, "minute");
    assert_true(light.last.admitted);
}

static void all_policies_admit_or_nothing_is_taken(void **state)
{
    static const struct limit_tier both = {"both", {RATE("hour", 100, 3600000, 100), RATE("minute", 4, 60000, 4)}, 2};
    for (int i = 0; i < INSTANCES; i++)
        assert_int_equal(admitted_of(limiters[i], "customer:a", &both, 10), i == 0 ? 4 : 0);
    assert_refused_by(ask(limiters[1], "customer:a", &both, 1), "minute");
    /* Heavier than "minute" ever admits, light enough for "hour": had it taken from "hour", little would be left. */
    for (int i = 0; i < 10; i++)
        assert_refused_by(ask(limiters[2], "customer:b", &both, 50), "minute");
    assert_int_equal(admitted_of(limiters[2], "customer:b", &both, 6), 4);
    assert_string_equal(ask(limiters[2], "customer:b", &both, 1).policy->name, "minute");
}

static void leases_keep_to_the_rate_under_overload_and_use_it_up(void **state)
{
    bool used_up = false;
    for (int trial = 0; trial < TRIALS && !used_up; trial++) {
        struct calls calls = {0};
        uint64_t before = scripts_run();
        double lasted = call_for(trial_key(trial), &thousand_a_second, INSTANCES * 4, INSTANCES, 3000, &calls);
        double scripts = (double)(scripts_run() - before);
        print_message("admitted %zu of %zu in %.3f s, %.0f scripts: %.2f per 100 admitted\n", calls.admitted,
                      calls.asked, lasted, scripts, scripts * 100 / (double)calls.admitted);
        assert_true((double)calls.admitted <= 1000 * lasted + 1000 + 100);
        assert_int_equal(fallbacks(), 0);
        used_up = (double)calls.admitted >= 0.98 * (1000 * 3 + 1000) && scripts < 0.05 * (double)calls.admitted;
    }
    assert_true(used_up);
}

/* The load of one loud instance must not be held down by leases that quiet ones keep. */
static void an_idle_instance_gives_its_lease_up(void **state)
{
    size_t most = 0;
    for (int trial = 0; trial < TRIALS && most < 1900; trial++) {
        struct calls calls = {0};
        for (int i = 0; i < INSTANCES; i++)
            ask(limiters[i], trial_key(trial), &thousand_a_second, 1);
        loop_for(150);
        call_for(trial_key(trial), &thousand_a_second, 8, 1, 1000, &calls);
        most = calls.admitted;
    }
    assert_true(most >= 1900); /* 1000 a second and most of the burst */
}

static void a_quota_is_exact_beside_leases(void **state)
{
    struct calls calls = {0};
    call_for("customer:a", &fast_with_quota, INSTANCES * 2, INSTANCES, 1500, &calls);
    /* Those were too few where the machine stood still. */
    for (int more = 0; more < 10 && calls.admitted < 300; more++)
        call_for("customer:a", &fast_with_quota, INSTANCES * 2, INSTANCES, 500, &calls);
    assert_int_equal(calls.admitted, 300);
    uint32_t before = 86400 - (uint32_t)(time(NULL) % 86400);
    struct limit_verdict refused = ask(limiters[1], "customer:a", &fast_with_quota, 1);
    assert_refused_by(refused, "day");
    assert_in_range(refused.retry_after_s, 86400 - (uint32_t)(time(NULL) % 86400) - 2, before + 1);
}

/* Tokens of the quota that quiet instances leased come back; the loud one uses them all. */
static void a_quota_is_used_up_although_others_held_leases(void **state)
{
    struct calls calls = {0};
    size_t quiet = 0;
    for (int i = 1; i < INSTANCES; i++)
        quiet += ask(limiters[i], "customer:a", &fast_with_quota, 1).admitted;
    assert_int_equal(quiet, 2);
    call_for("customer:a", &fast_with_quota, 1, 1, 1500, &calls);
    for (int more = 0; more < 10 && calls.admitted + quiet < 300; more++)
        call_for("customer:a", &fast_with_quota, 1, 1, 500, &calls);
    assert_int_equal(calls.admitted + quiet, 300);
}

static void an_instance_that_ends_gives_its_leases_back(void **state)
{
    ask(limiters[0], "customer:a", &fast_with_quota, 1);
    limiter_destroy(limiters[0]);
    limiters[0] = NULL;
    redis_ask(connections[0], "return 1"); /* behind what it gave back */
    assert_int_equal(admitted_of(limiters[1], "customer:a", &fast_with_quota, 400), 299);
    limiters[0] = limiter_on(connections[0], stores[0], INSTANCES);
}

static void a_lost_redis_leaves_each_instance_its_share_at_once_and_comes_back(void **state)
{
    static const struct limit_tier day = {"day", {QUOTA("day", 9, LIMIT_DAY)}, 1};
    assert_true(ask(limiters[0], "customer:warm", &nine_a_minute, 1).admitted);
    redis_server_kill();
    /* The first call may find out by itself that Redis is gone. */
    uint64_t start = clock_monotonic_us();
    for (int i = 0; i < INSTANCES; i++) {
        assert_int_equal(admitted_of(limiters[i], "customer:a", &nine_a_minute, 20), 3);
        assert_int_equal(admitted_of(limiters[i], "customer:b", &day, 20), 3);
    }
    assert_true(clock_monotonic_us() - start < REDIS_PATIENCE * 1000 / 2); /* no time-out was waited for */
    assert_true(fallbacks() >= INSTANCES);
    redis_server_start();
    loop_until(redis_is_up(connections[0]) && redis_is_up(connections[1]) && redis_is_up(connections[2]));
    uint64_t scripts = scripts_run();
    struct calls calls = {0};
    for (int i = 0; i < 60; i++)
        call(limiters[i % INSTANCES], "customer:c", &nine_a_minute, 1, &calls);
    loop_until(calls.answered == 60);
    assert_int_equal(calls.admitted, 9);
    assert_true(scripts_run() > scripts);
}

/* What the share refused, the whole may admit: a refusal of the time without Redis is not kept till midnight. */
static void who_was_refused_by_the_share_is_admitted_when_redis_is_back(void **state)
{
    static const struct limit_tier day = {"day", {QUOTA("day", 9, LIMIT_DAY)}, 1};
    redis_server_kill();
    assert_int_equal(admitted_of(limiters[0], "customer:a", &day, 20), 3);
    redis_server_start();
    loop_until(redis_is_up(connections[0]));
    assert_int_equal(admitted_of(limiters[0], "customer:a", &day, 20), 9);
}

static void calls_on_their_way_when_redis_dies_are_answered(void **state)
{
    struct calls calls = {0};
    kill(redis_server.pid, SIGSTOP); /* so that they are surely on their way */
    for (int i = 0; i < 30; i++)
        call(limiters[i % INSTANCES], "customer:a", &nine_a_minute, 1, &calls);
    loop_for(20);
    assert_int_equal(calls.answered, 0);
    redis_server_kill();
    loop_until(calls.answered == 30);
    assert_int_equal(calls.admitted, 9); /* three at each */
}

static void a_redis_that_hangs_is_not_waited_for(void **state)
{
    struct calls calls = {0};
    limiter_destroy(limiters[0]);
    redis_destroy(connections[0]);
    connections[0] = redis_connect(500);
    limiters[0] = limiter_on(connections[0], stores[0], INSTANCES);
    kill(redis_server.pid, SIGSTOP);
    uint64_t start = clock_monotonic_us();
    for (int i = 0; i < 10; i++)
        call(limiters[0], "customer:a", &nine_a_minute, 1, &calls);
    loop_until(calls.answered == 10);
    assert_in_range(clock_monotonic_us() - start, 0, 4500000); /* one timeout, and not one for each call */
    assert_int_equal(calls.admitted, 3);
    assert_true(limiter_statistics(limiters[0]).fallbacks >= 1);
    assert_false(ask(limiters[0], "customer:a", &nine_a_minute, 1).admitted);
    kill(redis_server.pid, SIGCONT);
    loop_until(redis_is_up(connections[0]));
    assert_true(ask(limiters[0], "customer:b", &nine_a_minute, 4).admitted); /* more than the share */
}

static void a_redis_that_forgot_its_scripts_and_keys_is_told_again(void **state)
{
    assert_int_equal(admitted_of(limiters[0], "customer:a", &five_a_minute, 2), 2);
    redis_ask(connections[1], "redis.call('FLUSHALL') return 1");
    struct text flush[] = {TEXT("SCRIPT"), TEXT("FLUSH")};
    struct redis_asked asked = {false, 0, ""};
    assert_int_equal(redis_send(connections[1], 2, flush, on_redis_asked, &asked), STATUS_OK);
    loop_until(asked.answered);
    assert_int_equal(admitted_of(limiters[0], "customer:b", &five_a_minute, 9), 5);
    assert_int_equal(fallbacks(), 0);
}

static void a_cancelled_call_is_not_answered_and_its_neighbours_are(void **state)
{
    struct calls kept = {0}, cancelled = {0};
    call(limiters[0], "customer:a", &nine_a_minute, 1, &kept);
    struct limit_wait *at_once = call(limiters[0], "customer:a", &nine_a_minute, 1, &cancelled);
    struct limit_wait *on_its_way = call(limiters[0], "customer:b", &nine_a_minute, 1, &cancelled);
    call(limiters[0], "customer:b", &nine_a_minute, 1, &kept);
    assert_non_null(at_once);
    assert_non_null(on_its_way);
    limiter_cancel(at_once);
    kill(redis_server.pid, SIGSTOP);
    loop_turn(loop, 0); /* sent off */
    limiter_cancel(on_its_way);
    kill(redis_server.pid, SIGCONT);
    loop_until(kept.answered == 2);
    loop_for(20);
    assert_int_equal(kept.admitted, 2);
    assert_int_equal(cancelled.answered, 0);
}

static void calls_of_fast_tiers_can_be_cancelled_too(void **state)
{
    struct calls kept = {0}, cancelled = {0};
    struct limit_wait *waits[40];
    for (int i = 0; i < 40; i++)
        waits[i] = call(limiters[0], "customer:a", &thousand_a_second, 1, i % 2 == 0 ? &kept : &cancelled);
    for (int i = 1; i < 40; i += 2)
        if (waits[i] != NULL)
            limiter_cancel(waits[i]);
    size_t before = cancelled.answered;
    loop_until(kept.answered == 20);
    loop_for(20);
    assert_int_equal(kept.admitted, 20);
    assert_int_equal(cancelled.answered, before);
}

struct chain {
    struct limiter *limiter;
    struct calls calls;
    size_t left;
};

static void on_chain(void *context, const struct limit_verdict *verdict)
{
    struct chain *chain = context;
    chain->calls.answered++;
    chain->calls.admitted += verdict->admitted;
    if (chain->left-- > 1)
        limiter_check(chain->limiter, TEXT("customer:chain"), &five_a_minute, 1, on_chain, chain);
}

static void an_answer_may_make_the_next_call(void **state)
{
    struct chain chain = {.limiter = limiters[0], .left = 20};
    limiter_check(limiters[0], TEXT("customer:chain"), &five_a_minute, 1, on_chain, &chain);
    loop_until(chain.calls.answered == 20);
    assert_int_equal(chain.calls.admitted, 5);
}

static void a_limiter_may_end_with_calls_on_their_way_and_leases_in_hand(void **state)
{
    struct calls calls = {0};
    ask(limiters[0], "customer:a", &thousand_a_second, 1);
    kill(redis_server.pid, SIGSTOP);
    for (int i = 0; i < 10; i++) {
        char key[32];
        snprintf(key, sizeof(key), "customer:%d", i);
        call(limiters[0], key, &thousand_a_second, 1, &calls);
        if (i == 5)
            loop_turn(loop, 0); /* some sent off, some not */
    }
    limiter_destroy(limiters[0]);
    size_t answered = calls.answered;
    kill(redis_server.pid, SIGCONT);
    loop_for(50);
    assert_int_equal(calls.answered, answered);
    limiters[0] = limiter_on(connections[0], stores[0], INSTANCES);
}

static void every_key_in_redis_has_the_prefix_and_an_end(void **state)
{
    static const struct limit_tier all = {"all",
                                          {RATE("second", 1000, 1000, 1000), RATE("minute", 5, 60000, 5),
                                           QUOTA("day", 100, LIMIT_DAY), QUOTA("month", 100, LIMIT_MONTH)},
                                          4};
    for (int i = 0; i < INSTANCES; i++) {
        admitted_of(limiters[i], "customer:a", &thousand_a_second, 20);
        admitted_of(limiters[i], "customer:b", &fast_with_quota, 20);
        admitted_of(limiters[i], "customer:c", &all, 10);
        admitted_of(limiters[i], "address:10.0.0.1", &five_a_minute, 10);
    }
    assert_true(redis_ask(connections[0], REDIS_COUNT_KEYS).integer >= 4);
    assert_string_equal(redis_ask(connections[0], REDIS_BAD_KEYS).text, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tier_without_policies_asks_nobody),
        TEST(of_a_hundred_simultaneous_calls_at_three_instances_five_are_admitted),
        TEST(one_call_is_admitted_each_time_a_token_came_back),
        TEST(calls_of_one_turn_share_a_round_trip),
        TEST(a_refused_caller_costs_no_script_until_it_may_retry),
        TEST(a_heavy_call_that_was_refused_does_not_shut_out_a_light_one),
        TEST(a_light_call_is_not_refused_for_a_heavy_one_of_the_same_turn),
        TEST(all_policies_admit_or_nothing_is_taken),
        TEST(leases_keep_to_the_rate_under_overload_and_use_it_up),
        TEST(an_idle_instance_gives_its_lease_up),
        TEST(a_quota_is_exact_beside_leases),
        TEST(a_quota_is_used_up_although_others_held_leases),
        TEST(an_instance_that_ends_gives_its_leases_back),
        TEST(a_lost_redis_leaves_each_instance_its_share_at_once_and_comes_back),
        TEST(who_was_refused_by_the_share_is_admitted_when_redis_is_back),
        TEST(calls_on_their_way_when_redis_dies_are_answered),
        TEST(a_redis_that_hangs_is_not_waited_for),
        TEST(a_redis_that_forgot_its_scripts_and_keys_is_told_again),
        TEST(a_cancelled_call_is_not_answered_and_its_neighbours_are),
        TEST(calls_of_fast_tiers_can_be_cancelled_too),
        TEST(an_answer_may_make_the_next_call),
        TEST(a_limiter_may_end_with_calls_on_their_way_and_leases_in_hand),
        TEST(every_key_in_redis_has_the_prefix_and_an_end),
    };
    return cmocka_run_group_tests(tests, redis_server_set_up, redis_server_tear_down);
}
