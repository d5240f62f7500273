/* Tiers that are shared while they say the same, and go with whoever last knew them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "limit/pool.h"
#include "limit/slot.h"
#include "limit/tier.h"

static const struct limit_tier five = {"five", {{"second", 5, 1000, 5, LIMIT_NONE}}, 1};
static const struct limit_tier nine = {"nine", {{"second", 9, 1000, 9, LIMIT_NONE}}, 1};

static void equal_ones_are_one_until_the_last_reference(void **state)
{
    const struct limit_tier *a = tier_intern(&five), *b = tier_intern(&five), *c = tier_intern(&nine);
    (void)state;
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(tier_count(), 2);
    tier_unref(a);
    assert_string_equal(b->name, "five");
    tier_unref(b);
    tier_unref(c);
    assert_int_equal(tier_count(), 0);
}

static void what_lies_between_and_behind_the_values_counts_for_nothing(void **state)
{
    struct limit_tier other, differing = five;
    const struct limit_tier *a = tier_intern(&five), *b;
    (void)state;
    memset(&other, 0xa5, sizeof(other));
    snprintf(other.name, sizeof(other.name), "five");
    snprintf(other.policies[0].name, sizeof(other.policies[0].name), "second");
    other.policies[0].tokens = other.policies[0].burst = 5;
    other.policies[0].window_ms = 1000;
    other.policies[0].period = LIMIT_NONE;
    other.count = 1;
    b = tier_intern(&other);
    assert_ptr_equal(a, b);
    tier_unref(b);
    differing.policies[0].burst++;
    b = tier_intern(&differing);
    assert_ptr_not_equal(a, b);
    tier_unref(b);
    tier_unref(a);
    assert_int_equal(tier_count(), 0);
}

static void one_that_was_not_interned_is_nobodys(void **state)
{
    (void)state;
    tier_ref(&five);
    tier_unref(&five);
    tier_unref(&five);
    tier_unref(NULL);
    assert_int_equal(tier_count(), 0);
}

static void slots_and_leases_keep_theirs(void **state)
{
    const struct limit_tier *tier = tier_intern(&five);
    struct pool *pool = pool_create(16);
    struct slot *slot = slot_create(NULL, TEXT("customer:a"), tier, NULL);
    struct pool_key key = {TEXT("customer:a"), tier};
    (void)state;
    assert_non_null(pool);
    assert_non_null(slot);
    pool_return(pool, &key, 1);
    tier_unref(tier);
    assert_int_equal(tier_count(), 1);
    slot_evict(slot);
    assert_int_equal(tier_count(), 1);
    pool_destroy(pool);
    assert_int_equal(tier_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ones_are_one_until_the_last_reference),
        cmocka_unit_test(what_lies_between_and_behind_the_values_counts_for_nothing),
        cmocka_unit_test(one_that_was_not_interned_is_nobodys),
        cmocka_unit_test(slots_and_leases_keep_theirs),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
