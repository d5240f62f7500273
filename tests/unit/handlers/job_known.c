#include "handlers/job_known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct task tasks_of[4];

static struct job_known job_of(size_t index, uint64_t customer)
{
    struct job_known job = {.task = &tasks_of[index], .customer = customer};
    snprintf(job.id, sizeof(job.id), "01234567-89ab-4cde-8f01-00000000000%zu", index);
    return job;
}

static void job_is_known_from_its_begin_to_its_end(void **state)
{
    struct job_known one = job_of(0, 1), other = job_of(1, 1);
    assert_false(job_known_has(text_from_string(one.id)));
    assert_true(job_known_add(&one, 2));
    assert_true(job_known_add(&other, 2));
    assert_true(job_known_has(text_from_string(one.id)));
    job_known_remove(&one);
    assert_false(job_known_has(text_from_string(one.id)));
    assert_true(job_known_has(text_from_string(other.id)));
    job_known_remove(&other);
    job_known_remove(&other);
    assert_false(job_known_has(text_from_string(other.id)));
}

static void each_customer_has_a_number_of_his_own(void **state)
{
    struct job_known one = job_of(0, 1), two = job_of(1, 1), others = job_of(2, 2);
    assert_true(job_known_add(&one, 1));
    assert_false(job_known_add(&two, 1));
    assert_false(job_known_has(text_from_string(two.id)));
    assert_true(job_known_add(&others, 1));
    job_known_remove(&one);
    assert_true(job_known_add(&two, 1));
    job_known_remove(&two);
    job_known_remove(&others);
}

static void cancel_reaches_the_one_of_that_id(void **state)
{
    struct job_known one = job_of(0, 1), two = job_of(1, 1);
    assert_true(job_known_add(&one, 2));
    assert_true(job_known_add(&two, 2));
    job_known_cancel(TEXT("01234567-89ab-4cde-8f01-000000000009"));
    job_known_cancel(text_from_string(two.id));
    assert_false(atomic_load(&tasks_of[0].cancelled));
    assert_true(atomic_load(&tasks_of[1].cancelled));
    job_known_remove(&one);
    job_known_remove(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_is_known_from_its_begin_to_its_end),
        cmocka_unit_test(each_customer_has_a_number_of_his_own),
        cmocka_unit_test(cancel_reaches_the_one_of_that_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
