/* Workers of one process: limiters on one store and one Redis, which live on one loop here, or on threads of their own.
 */
#include "tests/unit/limit/calls.h"

#include <pthread.h>

#define WORKERS 2

static struct redis *connections[WORKERS];
static struct limiter_store *store;
static struct limiter *workers[WORKERS];
static const struct limit_tier thousand_a_second = {"fast", {RATE("second", 1000, 1000, 1000)}, 1};
/* Nearly nothing comes back while a test runs: its bucket holds what it gave. */
static const struct limit_tier still = {"still", {RATE("second", 10, 1000, 300)}, 1};
static char caller[32]; /* whose calls are counted: another one's bucket is full */

static int set_up(void **state)
{
    if (redis_server.pid == 0)
        redis_server_start();
    store = limiter_store_create(1000);
    for (int i = 0; i < WORKERS; i++) {
        connections[i] = redis_connect(REDIS_PATIENCE);
        workers[i] = limiter_on(connections[i], store, 1);
    }
    redis_ask(connections[0], "redis.call('FLUSHALL') return 1");
    strcpy(caller, "customer:a");
    return 0;
}

static int tear_down(void **state)
{
    if (redis_server.pid != 0)
        kill(redis_server.pid, SIGCONT);
    for (int i = 0; i < WORKERS; i++) {
        limiter_destroy(workers[i]);
        redis_destroy(connections[i]);
    }
    limiter_store_destroy(store);
    loop_turn(loop, 0);
    return 0;
}

static uint64_t scripts_run(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < WORKERS; i++)
        sum += limiter_statistics(workers[i]).scripts;
    return sum;
}

/* Calls at `rate` a second, in turn at all workers, for `ms`; the time that it took in milliseconds. */
static double call_steadily(const struct limit_tier *tier, uint64_t rate, uint64_t ms, struct calls *calls)
{
    uint64_t start = clock_monotonic_us(), now;
    while ((now = clock_monotonic_us()) < start + ms * 1000) {
        while (calls->asked < rate * (now - start) / 1000000)
            call(workers[calls->asked % WORKERS], caller, tier, 1, calls);
        loop_turn(loop, 1);
    }
    loop_until(calls->answered == calls->asked);
    return (double)(clock_monotonic_us() - start) / 1000;
}

static void the_demand_of_all_workers_costs_one_script_in_the_time_of_a_lease(void **state)
{
    struct calls calls = {0};
    double lasted = call_steadily(&thousand_a_second, 330, 2000, &calls);
    print_message("%zu admitted of %zu in %.0f ms, %llu scripts\n", calls.admitted, calls.asked, lasted,
                  (unsigned long long)scripts_run());
    assert_int_equal(calls.admitted, calls.asked);
    /* One each 100 ms; a few more while the demand is not yet known, and when it goes up and down. */
    assert_true((double)scripts_run() <= lasted / 100 * 1.3 + 5);
}

static void a_worker_is_served_at_once_from_what_another_took(void **state)
{
    struct calls calls = {0};
    for (int i = 0; i < 50; i++)
        call(workers[0], "customer:a", &thousand_a_second, 1, &calls);
    loop_until(calls.answered == 50);
    uint64_t before = scripts_run();
    assert_null(call(workers[1], "customer:a", &thousand_a_second, 1, &calls));
    assert_int_equal(calls.admitted, 51);
    assert_int_equal(scripts_run(), before);
}

static void one_asks_while_the_others_wait_for_its_answer(void **state)
{
    struct calls calls = {0};
    uint64_t start = clock_monotonic_us();
    kill(redis_server.pid, SIGSTOP);
    for (int i = 0; i < 10; i++)
        call(workers[0], "customer:a", &thousand_a_second, 1, &calls);
    loop_turn(loop, 0);
    for (int i = 0; i < 3; i++)
        call(workers[1], "customer:a", &thousand_a_second, 1, &calls);
    loop_for(10);
    assert_int_equal(limiter_statistics(workers[0]).scripts, 1);
    assert_int_equal(calls.answered, 0);
    kill(redis_server.pid, SIGCONT);
    loop_until(calls.answered == 13);
    assert_int_equal(calls.admitted, 13);
    if (clock_monotonic_us() - start < 45000) /* a machine that stood still for longer says nothing */
        assert_int_equal(scripts_run(), 1);
}

static void who_waited_long_enough_asks_for_itself(void **state)
{
    struct calls calls = {0};
    kill(redis_server.pid, SIGSTOP);
    loop_turn(loop, 0);
    uint64_t start = loop_now_us(loop);
    for (int i = 0; i < WORKERS; i++) {
        call(workers[i], "customer:a", &thousand_a_second, 1, &calls);
        loop_turn(loop, 0);
    }
    loop_until(scripts_run() == 2);
    assert_true(clock_monotonic_us() - start >= 49000); /* and no sooner: the 50 ms of limit/pool.h */
    kill(redis_server.pid, SIGCONT);
    loop_until(calls.answered == 2);
    assert_int_equal(calls.admitted, 2);
}

static void a_bucket_is_used_up_to_its_last_token_and_no_further(void **state)
{
    struct calls calls = {0};
    uint64_t start = clock_monotonic_us();
    call_steadily(&still, 3000, 1500, &calls);
    double lasted = (double)(clock_monotonic_us() - start) / 1e6;
    assert_true((double)calls.admitted <= 300 + 10 * lasted + 1);
    assert_true(calls.admitted >= 300);
}

static void a_pause_that_one_worker_was_told_is_kept_by_all(void **state)
{
    struct calls calls = {0};
    uint64_t first = clock_monotonic_us();
    call_steadily(&still, 3000, 600, &calls);
    /* Empty: tokens come at 10/s, and nobody asks more often than that. */
    uint64_t before = scripts_run(), start = clock_monotonic_us();
    call_steadily(&still, 3000, 1000, &calls);
    double lasted = (double)(clock_monotonic_us() - start) / 1e6;
    assert_true((double)(scripts_run() - before) <= 10 * lasted + 2);
    assert_true((double)calls.admitted <= 300 + 10 * (double)(clock_monotonic_us() - first) / 1e6 + 2);
}

static void leases_under_overload_add_up_to_the_rate(void **state)
{
    bool used_up = false;
    for (int trial = 0; trial < TRIALS && !used_up; trial++) {
        struct calls calls = {0};
        uint64_t before = scripts_run();
        snprintf(caller, sizeof(caller), "customer:%d", trial);
        double lasted = call_steadily(&thousand_a_second, 4000, 2000, &calls) / 1000;
        assert_true((double)calls.admitted <= 1000 * lasted + 1000);
        used_up = (double)calls.admitted >= 0.98 * (1000 * 2 + 1000) &&
                  (double)(scripts_run() - before) < 0.05 * (double)calls.admitted;
    }
    assert_true(used_up);
}

static void what_a_limiter_held_at_its_end_goes_back_with_the_others_next_ask(void **state)
{
    static const struct limit_tier big = {"big", {RATE("second", 1000, 1000, 400)}, 1};
    struct calls calls = {0};
    for (int i = 0; i < 40; i++)
        call(workers[0], "customer:a", &big, 1, &calls);
    loop_until(calls.answered == 40); /* and as many are leased */
    for (int i = 0; i < 10; i++)
        assert_null(call(workers[0], "customer:a", &big, 1, &calls));
    limiter_destroy(workers[0]);
    workers[0] = NULL;
    /* 350 are left, 30 of them in the lease; within 18 ms no others take their place. */
    assert_true(ask(workers[1], "customer:a", &big, 348).admitted);
    assert_int_equal(limiter_statistics(workers[1]).scripts, 1);
    workers[0] = limiter_on(connections[0], store, 1);
}

static void a_limiter_that_ends_while_it_asks_leaves_the_turn_to_the_others(void **state)
{
    struct calls gone = {0}, calls = {0};
    kill(redis_server.pid, SIGSTOP);
    call(workers[0], "customer:a", &thousand_a_second, 1, &gone);
    loop_turn(loop, 0);
    call(workers[1], "customer:a", &thousand_a_second, 1, &calls);
    loop_turn(loop, 0);
    limiter_destroy(workers[0]);
    kill(redis_server.pid, SIGCONT);
    loop_until(calls.answered == 1);
    assert_int_equal(calls.admitted, 1);
    assert_int_equal(gone.answered, 0);
    workers[0] = limiter_on(connections[0], store, 1);
}

static void an_ask_that_came_to_nothing_leaves_the_turn_at_once(void **state)
{
    struct calls gone = {0}, calls = {0};
    kill(redis_server.pid, SIGSTOP);
    call(workers[0], "customer:a", &thousand_a_second, 1, &gone);
    loop_turn(loop, 0);
    limiter_destroy(workers[0]);
    redis_destroy(connections[0]);
    call(workers[1], "customer:a", &thousand_a_second, 1, &calls);
    loop_turn(loop, 0);
    assert_int_equal(limiter_statistics(workers[1]).scripts, 1);
    kill(redis_server.pid, SIGCONT);
    loop_until(calls.answered == 1);
    connections[0] = redis_connect(REDIS_PATIENCE);
    workers[0] = limiter_on(connections[0], store, 1);
}

static void a_limiter_may_end_while_it_waits_for_anothers_ask(void **state)
{
    struct calls gone = {0}, calls = {0};
    kill(redis_server.pid, SIGSTOP);
    call(workers[0], "customer:a", &thousand_a_second, 1, &calls);
    loop_turn(loop, 0);
    struct limit_wait *wait = call(workers[1], "customer:a", &thousand_a_second, 1, &gone);
    call(workers[1], "customer:a", &thousand_a_second, 1, &gone);
    loop_for(5);
    limiter_cancel(wait);
    limiter_destroy(workers[1]);
    kill(redis_server.pid, SIGCONT);
    loop_until(calls.answered == 1);
    loop_for(5);
    assert_int_equal(gone.answered, 0);
    workers[1] = limiter_on(connections[1], store, 1);
}

static void who_waits_when_redis_dies_is_answered_by_the_share(void **state)
{
    static const struct limit_tier thirty = {"thirty", {RATE("second", 30, 1000, 30)}, 1};
    struct calls calls = {0};
    kill(redis_server.pid, SIGSTOP);
    for (int i = 0; i < 100; i++) {
        call(workers[i / 50], "customer:a", &thirty, 1, &calls);
        if (i == 49)
            loop_turn(loop, 0);
    }
    loop_for(5);
    assert_int_equal(calls.answered, 0);
    uint64_t start = clock_monotonic_us();
    redis_server_kill();
    loop_until(calls.answered == 100);
    uint64_t came_back = 30 * (clock_monotonic_us() - start) / 1000000;
    assert_in_range(calls.admitted, 30, 33 + came_back); /* one share of the process */
    redis_server_start();
    loop_until(redis_is_up(connections[0]) && redis_is_up(connections[1]));
    assert_true(ask(workers[1], "customer:b", &thirty, 20).admitted);
}

static void calls_that_change_workers_use_the_bucket_up(void **state)
{
    struct calls calls = {0};
    uint64_t start = clock_monotonic_us();
    for (int i = 0; i < 400; i++) {
        call(workers[i % WORKERS], "customer:a", &still, 1, &calls);
        if (i % 7 == 0)
            loop_turn(loop, 0);
    }
    loop_until(calls.answered == 400);
    assert_in_range(calls.admitted, 290, 312 + 10 * (clock_monotonic_us() - start) / 1000000);
}

/* Each worker on its own thread, loop and connection. */
static struct loop *thread_loops[WORKERS]; /* h2o's can't be destroyed without a leak */
struct worker_thread {
    struct loop *loop;
    struct calls calls;
    uint64_t scripts;
};

static void *run_worker(void *context)
{
    struct worker_thread *self = context;
    struct redis_options to = {.address = redis_server.address, .timeout_ms = REDIS_PATIENCE, .queue = 4096};
    struct redis *redis = NULL;
    struct failure failure;
    if (redis_create(self->loop, &to, &redis, &failure) != STATUS_OK)
        return NULL;
    while (!redis_is_up(redis))
        loop_turn(self->loop, 5);
    struct limiter_options options = {
        .redis = redis, .prefix = "test:", .store = store, .instances = 1, .max_keys = 10};
    struct limiter *limiter = limiter_create(self->loop, &options);
    uint64_t end = clock_monotonic_us() + 1500000;
    while (clock_monotonic_us() < end || self->calls.answered < self->calls.asked) {
        for (int i = 0; i < 5 && clock_monotonic_us() < end; i++) {
            self->calls.asked++;
            limiter_check(limiter, text_from_string(caller), &thousand_a_second, 1, on_verdict, &self->calls);
        }
        loop_turn(self->loop, 1);
    }
    self->scripts = limiter_statistics(limiter).scripts;
    limiter_destroy(limiter);
    redis_destroy(redis);
    loop_turn(self->loop, 0);
    return NULL;
}

/* Whether the rate was used up, and with how few scripts; it must be kept. */
static bool run_workers(void)
{
    struct worker_thread threads[WORKERS] = {{0}};
    pthread_t ids[WORKERS];
    uint64_t start = clock_monotonic_us(), admitted = 0, scripts = 0;
    for (int i = 0; i < WORKERS; i++) {
        threads[i].loop = thread_loops[i];
        assert_int_equal(pthread_create(&ids[i], NULL, run_worker, &threads[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(threads[i].calls.answered, threads[i].calls.asked);
        admitted += threads[i].calls.admitted;
        scripts += threads[i].scripts;
    }
    double lasted = (double)(clock_monotonic_us() - start) / 1e6;
    print_message("%llu admitted in %.3f s, %llu scripts\n", (unsigned long long)admitted, lasted,
                  (unsigned long long)scripts);
    assert_true((double)admitted <= 1000 * lasted + 1000);
    return (double)admitted >= 0.95 * (1000 * 1.5 + 1000) && (double)scripts < 0.05 * (double)admitted;
}

static void workers_on_threads_share_leases_and_keep_the_rate(void **state)
{
    bool used_up = false;
    for (int i = 0; i < WORKERS; i++)
        thread_loops[i] = loop_create();
    for (int trial = 0; trial < TRIALS && !used_up; trial++) {
        snprintf(caller, sizeof(caller), "customer:%d", trial);
        used_up = run_workers();
    }
    assert_true(used_up);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_demand_of_all_workers_costs_one_script_in_the_time_of_a_lease),
        TEST(a_worker_is_served_at_once_from_what_another_took),
        TEST(one_asks_while_the_others_wait_for_its_answer),
        TEST(who_waited_long_enough_asks_for_itself),
        TEST(a_bucket_is_used_up_to_its_last_token_and_no_further),
        TEST(a_pause_that_one_worker_was_told_is_kept_by_all),
        TEST(leases_under_overload_add_up_to_the_rate),
        TEST(what_a_limiter_held_at_its_end_goes_back_with_the_others_next_ask),
        TEST(a_limiter_that_ends_while_it_asks_leaves_the_turn_to_the_others),
        TEST(an_ask_that_came_to_nothing_leaves_the_turn_at_once),
        TEST(a_limiter_may_end_while_it_waits_for_anothers_ask),
        TEST(who_waits_when_redis_dies_is_answered_by_the_share),
        TEST(calls_that_change_workers_use_the_bucket_up),
        TEST(workers_on_threads_share_leases_and_keep_the_rate),
    };
    return cmocka_run_group_tests(tests, redis_server_set_up, redis_server_tear_down);
}
