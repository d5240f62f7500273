/* What workers of one process share of a lease, on a clock that is handed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "limit/pool.h"

#define START 1000000 /* at the beginning of a period */

static struct pool *pool;
static const struct limit_tier fast = {
    "fast", {{.name = "second", .tokens = 1000, .window_ms = 1000, .burst = 1000}}, 1};
static const struct pool_key key = {{"customer:a", 10}, &fast};

struct worker {
    struct pool_demand demand;
    struct lease lease;
    struct pool_turn turn;
};

static int set_up(void **state)
{
    pool = pool_create(1000);
    return pool == NULL;
}

static int tear_down(void **state)
{
    pool_destroy(pool);
    return 0;
}

static enum pool_outcome draw(struct worker *worker, uint64_t weight, uint64_t now_ms)
{
    return pool_draw(pool, &key, weight, &worker->demand, &worker->lease, &worker->turn, now_ms);
}

static void settle(struct worker *worker, uint64_t tokens, uint64_t wait_ms, uint64_t now_ms)
{
    struct limit_grant grant = {.lease = tokens, .remaining = 7, .wait_us = wait_ms * 1000};
    pool_settle(pool, &key, worker->turn.number, &grant, now_ms);
}

/* Draws and spends one token after the other until nothing is here; how many there were. */
static uint64_t drain(struct worker *worker, uint64_t now_ms)
{
    uint64_t count = 0;
    struct pool_turn *none = NULL;
    while (lease_admits(&worker->lease, 1, now_ms) ||
           pool_draw(pool, &key, 1, &worker->demand, &worker->lease, none, now_ms) == POOL_DRAWN) {
        worker->lease.tokens--;
        count++;
    }
    return count;
}

static void who_finds_nothing_asks_and_the_others_wait_for_the_answer(void **state)
{
    struct worker a = {0}, b = {0}, c = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    assert_int_not_equal(a.turn.number, 0);
    assert_int_equal(draw(&b, 1, START), POOL_WAIT);
    assert_int_equal(draw(&c, 1, START + POOL_ASK_MS - 1), POOL_WAIT);
    settle(&a, 10, 0, START + 3);
    assert_int_equal(draw(&b, 1, START + 4), POOL_DRAWN);
    assert_int_equal(b.lease.until_ms, START + 3 + LEASE_MS);
    assert_true(b.lease.tokens >= 1);
}

static void who_does_not_mean_to_ask_begins_no_turn(void **state)
{
    struct worker a = {0}, b = {0};
    assert_int_equal(pool_draw(pool, &key, 1, &a.demand, &a.lease, NULL, START), POOL_WAIT);
    assert_int_equal(draw(&b, 1, START), POOL_ASK);
}

static void no_more_is_drawn_than_was_granted(void **state)
{
    struct worker a = {.demand = {.wanted = 60}}, b = {.demand = {.wanted = 5}};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 100, 0, START);
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(draw(&b, 1, START + 1), POOL_DRAWN);
        sum += b.lease.tokens;
        b.lease.tokens = 0;
    }
    assert_true(sum < 20); /* a quiet worker takes little at a time */
    assert_int_equal(sum + drain(&a, START + 1) + drain(&b, START + 1), 100);
    assert_int_equal(draw(&b, 1, START + 2), POOL_ASK);
    assert_int_equal(b.turn.give, 0);
}

static void a_heavy_call_draws_its_weight_or_nothing(void **state)
{
    struct worker a = {0}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 30, 0, START);
    assert_int_equal(draw(&b, 25, START), POOL_DRAWN);
    assert_int_equal(b.lease.tokens, 25);
    assert_int_equal(draw(&a, 25, START), POOL_ASK);
    assert_int_equal(a.turn.give, 5);
}

static void a_lease_ends_100_ms_after_its_grant_wherever_its_tokens_are(void **state)
{
    struct worker a = {.demand = {.wanted = 100}}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 100, 0, START);
    assert_int_equal(draw(&a, 1, START + 90), POOL_DRAWN);
    assert_int_equal(a.lease.until_ms, START + LEASE_MS);
    uint64_t held = a.lease.tokens;
    assert_false(lease_admits(&a.lease, 1, START + LEASE_MS));
    assert_int_equal(draw(&b, 1, START + LEASE_MS), POOL_ASK);
    assert_int_equal(b.turn.give, 100 - held);
    settle(&b, 8, 0, START + LEASE_MS + 2);
    /* What the other still held goes back with the ask after that. */
    assert_int_equal(draw(&a, 1, START + LEASE_MS + 3), POOL_DRAWN);
    assert_int_equal(drain(&a, START + LEASE_MS + 3) + drain(&b, START + LEASE_MS + 3), 8);
    assert_int_equal(draw(&b, 1, START + LEASE_MS + 4), POOL_ASK);
    assert_int_equal(b.turn.give, held);
}

static void what_a_worker_puts_back_in_time_is_there_for_the_others(void **state)
{
    struct worker a = {.demand = {.wanted = 1000}}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 10, 0, START);
    assert_int_equal(draw(&a, 1, START), POOL_DRAWN);
    assert_int_equal(a.lease.tokens, 10);
    assert_int_equal(pool_draw(pool, &key, 11, &a.demand, &a.lease, NULL, START + 1), POOL_WAIT);
    assert_int_equal(a.lease.tokens, 0);
    assert_int_equal(drain(&b, START + 2), 10);
}

static void a_pause_is_everybodys_after_the_last_token(void **state)
{
    struct worker a = {0}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 2, 40, START);
    assert_int_equal(draw(&b, 1, START + 1), POOL_DRAWN);
    assert_int_equal(b.lease.tokens, 1);
    assert_false(lease_refuses(&b.lease, 1, START + 1)); /* one more is here */
    assert_int_equal(drain(&b, START + 1), 2);
    assert_int_equal(draw(&b, 1, START + 1), POOL_REFUSED);
    assert_true(lease_refuses(&b.lease, 1, START + 39));
    assert_int_equal(draw(&a, 1, START + 39), POOL_REFUSED);
    assert_int_equal(draw(&a, 1, START + 40), POOL_ASK);
}

static void an_ask_without_an_answer_is_not_waited_for_long(void **state)
{
    struct worker a = {0}, b = {0}, c = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    assert_int_equal(draw(&b, 1, START + POOL_ASK_MS), POOL_ASK);
    assert_int_not_equal(a.turn.number, b.turn.number);
    /* The late answer's tokens count, and the second ask is still under way. */
    settle(&a, 3, 0, START + POOL_ASK_MS + 1);
    assert_int_equal(drain(&c, START + POOL_ASK_MS + 1), 3);
    assert_int_equal(draw(&c, 1, START + POOL_ASK_MS + 2), POOL_WAIT);
    settle(&b, 0, 0, START + POOL_ASK_MS + 3);
    assert_int_equal(draw(&c, 1, START + POOL_ASK_MS + 3), POOL_ASK);
}

static void leases_of_two_asks_add_up_and_end_with_the_first(void **state)
{
    struct worker a = {0}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    assert_int_equal(draw(&b, 1, START + POOL_ASK_MS), POOL_ASK);
    settle(&a, 3, 0, START + 60);
    settle(&b, 4, 0, START + 70);
    assert_int_equal(draw(&a, 1, START + 71), POOL_DRAWN);
    assert_int_equal(a.lease.until_ms, START + 60 + LEASE_MS);
    assert_int_equal(drain(&a, START + 71) + drain(&b, START + 71), 7);
}

static void an_abandoned_ask_leaves_the_turn_and_its_tokens_to_the_next(void **state)
{
    struct worker a = {0}, b = {0};
    pool_return(pool, &key, 5);
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    assert_int_equal(a.turn.give, 5);
    pool_abandon(pool, &key, a.turn.number, a.turn.give);
    assert_int_equal(draw(&b, 1, START), POOL_ASK);
    assert_int_equal(b.turn.give, 5);
}

static void the_demand_is_that_of_all_workers_and_is_forgotten(void **state)
{
    struct worker a = {.demand = {.wanted = 30}}, b = {.demand = {.wanted = 50}};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    assert_int_equal(a.turn.wanted, 30);
    for (int i = 0; i < 5; i++) /* told many times, counted once */
        assert_int_equal(draw(&b, 1, START + 1), POOL_WAIT);
    settle(&a, 0, 0, START + 2);
    assert_int_equal(draw(&a, 1, START + LEASE_MS), POOL_ASK);
    assert_int_equal(a.turn.wanted, 80);
    settle(&a, 0, 0, START + LEASE_MS);
    a.demand.wanted = 10;
    assert_int_equal(draw(&a, 1, START + 5 * LEASE_MS), POOL_ASK);
    assert_int_equal(a.turn.wanted, 10);
}

static void keys_and_tiers_are_apart(void **state)
{
    static const struct limit_tier other_tier = {
        "other", {{.name = "second", .tokens = 1000, .window_ms = 1000, .burst = 1000}}, 1};
    struct pool_key others[] = {{{"customer:b", 10}, &fast}, {{"customer:a", 10}, &other_tier}};
    struct worker a = {0}, b = {0};
    assert_int_equal(draw(&a, 1, START), POOL_ASK);
    settle(&a, 10, 0, START);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pool_draw(pool, &others[i], 1, &b.demand, &b.lease, &b.turn, START), POOL_ASK);
}

static void a_full_pool_forgets_who_was_not_there_for_long(void **state)
{
    struct pool *small = pool_create(16);
    struct worker busy = {0}, other = {0};
    struct limit_grant grant = {.lease = 1000};
    assert_int_equal(pool_draw(small, &key, 1, &busy.demand, &busy.lease, &busy.turn, START), POOL_ASK);
    pool_settle(small, &key, busy.turn.number, &grant, START);
    for (int i = 0; i < 500; i++) {
        char name[32];
        int size = snprintf(name, sizeof(name), "address:%d", i);
        struct pool_key one = {{name, (size_t)size}, &fast};
        memset(&other, 0, sizeof(other));
        assert_int_equal(pool_draw(small, &one, 1, &other.demand, &other.lease, &other.turn, START), POOL_ASK);
        busy.lease.tokens = 0;
        assert_int_equal(pool_draw(small, &key, 1, &busy.demand, &busy.lease, NULL, START), POOL_DRAWN);
    }
    pool_destroy(small);
}

/* Many threads, each asking a bucket whose tokens are counted: what was used and what is left is what was given. */
#define THREADS 4
#define ROUNDS 20000
static uint64_t given, given_back, used, asks; /* atomics */

static void *work(void *context)
{
    struct worker worker = {0};
    unsigned seed = (unsigned)(uintptr_t)context;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t now = START + i / 50, weight = 1 + (uint64_t)rand_r(&seed) % 3;
        worker.demand.wanted = (uint64_t)rand_r(&seed) % 200;
        if (!lease_admits(&worker.lease, weight, now)) {
            switch (draw(&worker, weight, now)) {
            case POOL_ASK:
                __atomic_fetch_add(&asks, 1, __ATOMIC_RELAXED);
                if (rand_r(&seed) % 8 == 0) {
                    pool_abandon(pool, &key, worker.turn.number, worker.turn.give);
                    continue;
                }
                __atomic_fetch_add(&given_back, worker.turn.give, __ATOMIC_RELAXED);
                uint64_t tokens = (uint64_t)rand_r(&seed) % 300;
                __atomic_fetch_add(&given, tokens, __ATOMIC_RELAXED);
                settle(&worker, tokens, (uint64_t)rand_r(&seed) % 3, now);
                continue;
            case POOL_DRAWN:
                break;
            default:
                continue;
            }
        }
        assert_true(worker.lease.tokens >= weight);
        worker.lease.tokens -= weight;
        __atomic_fetch_add(&used, weight, __ATOMIC_RELAXED);
    }
    pool_return(pool, &key, worker.lease.tokens);
    return NULL;
}

static void no_token_is_lost_or_used_twice_whatever_threads_do(void **state)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct worker last = {0};
    assert_int_equal(draw(&last, 1, START + 100 * ROUNDS), POOL_ASK);
    assert_true(used > 0 && asks > 10);
    assert_int_equal(given, used + given_back + last.turn.give);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_finds_nothing_asks_and_the_others_wait_for_the_answer),
        TEST(who_does_not_mean_to_ask_begins_no_turn),
        TEST(no_more_is_drawn_than_was_granted),
        TEST(a_heavy_call_draws_its_weight_or_nothing),
        TEST(a_lease_ends_100_ms_after_its_grant_wherever_its_tokens_are),
        TEST(what_a_worker_puts_back_in_time_is_there_for_the_others),
        TEST(a_pause_is_everybodys_after_the_last_token),
        TEST(an_ask_without_an_answer_is_not_waited_for_long),
        TEST(leases_of_two_asks_add_up_and_end_with_the_first),
        TEST(an_abandoned_ask_leaves_the_turn_and_its_tokens_to_the_next),
        TEST(the_demand_is_that_of_all_workers_and_is_forgotten),
        TEST(keys_and_tiers_are_apart),
        TEST(a_full_pool_forgets_who_was_not_there_for_long),
        TEST(no_token_is_lost_or_used_twice_whatever_threads_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
