#include "api/job_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct task tasks_of[4];

static struct job_entry job_of(size_t index, uint64_t customer)
{
    struct job_entry job = {.task = &tasks_of[index], .customer = customer};
    snprintf(job.id, sizeof(job.id), "01234567-89ab-4cde-8f01-00000000000%zu", index);
    return job;
}

static void job_is_known_from_its_begin_to_its_end(void **state)
{
    struct job_list *list = job_list_create();
    struct job_entry one = job_of(0, 1), other = job_of(1, 1);
    assert_false(job_list_has(list, text_from_string(one.id)));
    assert_true(job_list_add(list, &one, 2));
    assert_true(job_list_add(list, &other, 2));
    assert_true(job_list_has(list, text_from_string(one.id)));
    job_list_remove(list, &one);
    assert_false(job_list_has(list, text_from_string(one.id)));
    assert_true(job_list_has(list, text_from_string(other.id)));
    job_list_remove(list, &other);
    job_list_remove(list, &other);
    assert_false(job_list_has(list, text_from_string(other.id)));
    job_list_destroy(list);
}

static void each_customer_has_a_number_of_his_own(void **state)
{
    struct job_list *list = job_list_create();
    struct job_entry one = job_of(0, 1), two = job_of(1, 1), others = job_of(2, 2);
    assert_true(job_list_add(list, &one, 1));
    assert_false(job_list_add(list, &two, 1));
    assert_false(job_list_has(list, text_from_string(two.id)));
    assert_true(job_list_add(list, &others, 1));
    job_list_remove(list, &one);
    assert_true(job_list_add(list, &two, 1));
    job_list_remove(list, &two);
    job_list_remove(list, &others);
    job_list_destroy(list);
}

static void cancel_reaches_the_one_of_that_id(void **state)
{
    struct job_list *list = job_list_create();
    struct job_entry one = job_of(0, 1), two = job_of(1, 1);
    assert_true(job_list_add(list, &one, 2));
    assert_true(job_list_add(list, &two, 2));
    job_list_cancel(list, TEXT("01234567-89ab-4cde-8f01-000000000009"));
    job_list_cancel(list, text_from_string(two.id));
    assert_false(atomic_load(&tasks_of[0].cancelled));
    assert_true(atomic_load(&tasks_of[1].cancelled));
    job_list_remove(list, &one);
    job_list_remove(list, &two);
    job_list_destroy(list);
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
