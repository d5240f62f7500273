/* How a worker counts its demand for a key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limit/slot.h"

#define START 1000000

static const struct limit_tier fast = {
    "fast", {{.name = "second", .tokens = 1000, .window_ms = 1000, .burst = 1000}}, 1};
static const struct limit_tier counted = {"counted",
                                          {{.name = "second", .tokens = 1000, .window_ms = 1000, .burst = 1000},
                                           {.name = "day", .tokens = 1000, .period = LIMIT_DAY}},
                                          2};
static struct slot *slot;

static int set_up(void **state)
{
    slot = slot_create(NULL, TEXT("customer:a"), &fast, NULL);
    return slot == NULL;
}

static int tear_down(void **state)
{
    slot_evict(slot);
    return 0;
}

static uint64_t measured(uint64_t tokens, uint64_t now_ms)
{
    slot->tokens_wanted += tokens;
    slot_measure(slot, now_ms);
    return slot->demand.wanted;
}

static void a_first_call_expects_no_more_than_its_like(void **state)
{
    assert_int_equal(measured(1, START), 1);
}

static void a_steady_demand_is_what_it_is_in_100_ms(void **state)
{
    measured(1, START);
    for (uint64_t i = 1; i <= 10; i++)
        assert_in_range(measured(14, START + i * 70), 14, 20);
    assert_int_equal(measured(14, START + 11 * 70), 20);
}

static void a_demand_that_rises_counts_at_once_and_one_that_falls_with_the_next_measure(void **state)
{
    measured(1, START);
    measured(5, START + 50);
    assert_int_equal(slot->demand.wanted, 10);
    assert_int_equal(measured(40, START + 60), 200); /* 40 in 10 ms, taken for 20 */
    assert_int_equal(measured(0, START + 90), 200);
    assert_int_equal(measured(0, START + 100), 80);
    assert_int_equal(measured(1, START + 200), 1);
}

static void what_was_wanted_long_ago_is_no_demand_of_now(void **state)
{
    measured(1, START);
    measured(500, START + 100);
    assert_int_equal(measured(2, START + 60000), 2);
}

static void only_a_leased_tier_has_a_pool(void **state)
{
    struct pool *pool = pool_create(10);
    struct slot *leased = slot_create(NULL, TEXT("a"), &fast, pool),
                *exact = slot_create(NULL, TEXT("a"), &counted, pool);
    assert_ptr_equal(leased->pool, pool);
    assert_int_equal(leased->lease_most, 100);
    assert_null(exact->pool);
    assert_int_equal(exact->spacing_us, 0);
    slot_evict(leased);
    slot_evict(exact);
    pool_destroy(pool);
}

static void what_a_slot_holds_at_its_end_is_in_the_pool(void **state)
{
    struct pool *pool = pool_create(10);
    struct pool_demand demand = {0};
    struct lease lease = {0};
    struct pool_turn turn;
    struct slot *leased = slot_create(NULL, TEXT("a"), &fast, pool);
    struct pool_key key = {{"a", 1}, &fast};
    leased->from_redis = true;
    leased->lease.tokens = 7;
    leased->pins = 1;
    slot_evict(leased);
    assert_int_equal(leased->lease.tokens, 7); /* pinned, it is still there */
    leased->pins = 0;
    slot_let_go(leased);
    assert_int_equal(pool_draw(pool, &key, 1, &demand, &lease, &turn, START), POOL_ASK);
    assert_int_equal(turn.give, 7);
    pool_destroy(pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_first_call_expects_no_more_than_its_like),
        TEST(a_steady_demand_is_what_it_is_in_100_ms),
        TEST(a_demand_that_rises_counts_at_once_and_one_that_falls_with_the_next_measure),
        TEST(what_was_wanted_long_ago_is_no_demand_of_now),
        TEST(only_a_leased_tier_has_a_pool),
        TEST(what_a_slot_holds_at_its_end_is_in_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
