/* Calls in a row: the runs that they are asked about in, and what each is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "limit/waits.h"

static void add(struct waits *waits, uint64_t weight)
{
    struct limit_wait *wait = calloc(1, sizeof(*wait));
    assert_non_null(wait);
    wait->weight = weight;
    waits_push(waits, wait);
}

static void calls_of_one_weight_that_follow_each_other_are_one_run(void **state)
{
    static const uint64_t weights[] = {1, 1, 3, 3, 3, 1};
    struct waits waits = {0}, asked = {0};
    struct limit_ask ask = {0};
    for (size_t i = 0; i < 6; i++)
        add(&waits, weights[i]);
    waits_ask(&waits, &asked, &ask);
    assert_null(waits.first);
    assert_null(waits.last);
    assert_int_equal(ask.run_count, 3);
    assert_int_equal(ask.runs[0].count, 2);
    assert_int_equal(ask.runs[1].count, 3);
    assert_int_equal(ask.runs[1].weight, 3);
    assert_int_equal(ask.runs[2].count, 1);
    waits_free(&asked);
}

static void the_first_of_each_run_are_admitted(void **state)
{
    static const uint64_t weights[] = {1, 1, 3, 3, 3, 1};
    static const bool expected[] = {true, false, true, true, false, true};
    struct waits waits = {0}, asked = {0};
    struct limit_ask ask = {0};
    struct limit_grant grant = {.admitted = {1, 2, 1}};
    struct waits_place place = {0, 0};
    for (size_t i = 0; i < 6; i++)
        add(&waits, weights[i]);
    waits_ask(&waits, &asked, &ask);
    for (size_t i = 0; i < 6; i++) {
        bool admitted;
        struct limit_wait *wait = waits_next(&asked, &place, &grant, &admitted);
        assert_int_equal(wait->weight, weights[i]);
        assert_int_equal(admitted, expected[i]);
        free(wait);
    }
    bool admitted;
    assert_null(waits_next(&asked, &place, &grant, &admitted));
}

static void what_does_not_fit_one_ask_waits_on(void **state)
{
    struct waits waits = {0}, asked = {0};
    struct limit_ask ask = {0};
    for (uint64_t i = 0; i < LIMIT_MAX_RUNS + 5; i++)
        add(&waits, 1 + i);
    waits_ask(&waits, &asked, &ask);
    assert_int_equal(ask.run_count, LIMIT_MAX_RUNS);
    assert_int_equal(asked.last->weight, LIMIT_MAX_RUNS);
    assert_null(asked.last->next);
    assert_int_equal(waits.first->weight, LIMIT_MAX_RUNS + 1);
    waits_free(&asked);
    waits_free(&waits);
}

static void a_call_can_be_taken_out_wherever_it_stands(void **state)
{
    for (int place = 0; place < 3; place++) {
        struct waits waits = {0};
        struct limit_wait stranger = {0}, *out;
        for (int i = 0; i < 3; i++)
            add(&waits, 1);
        out = place == 0 ? waits.first : place == 1 ? waits.first->next : waits.last;
        assert_false(waits_remove(&waits, &stranger));
        assert_true(waits_remove(&waits, out));
        assert_false(waits_remove(&waits, out));
        free(out);
        add(&waits, 2);
        assert_int_equal(waits.last->weight, 2);
        int count = 0;
        for (struct limit_wait *wait; (wait = waits_pop(&waits)) != NULL; count++)
            free(wait);
        assert_int_equal(count, 3);
        assert_null(waits.last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_of_one_weight_that_follow_each_other_are_one_run),
        cmocka_unit_test(the_first_of_each_run_are_admitted),
        cmocka_unit_test(what_does_not_fit_one_ask_waits_on),
        cmocka_unit_test(a_call_can_be_taken_out_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
