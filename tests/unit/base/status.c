#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_status_has_its_own_name(void **state)
{
    for (int a = STATUS_OK; a <= STATUS_FAILED; a++) {
        assert_string_not_equal(status_name((enum status)a), "unknown");
        for (int b = STATUS_OK; b < a; b++)
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
    }
    assert_string_equal(status_name(STATUS_NOT_FOUND), "not_found");
    assert_string_equal(status_name(STATUS_FAILED), "failed");
}

static void a_failure_keeps_its_status_and_words(void **state)
{
    struct failure failure;
    assert_int_equal(failure_set(&failure, STATUS_INVALID, "%s: line %d", "x.yaml", 7), STATUS_INVALID);
    assert_int_equal(failure.status, STATUS_INVALID);
    assert_string_equal(failure.message, "x.yaml: line 7");
}

static void the_status_is_returned_without_anywhere_to_write_to(void **state)
{
    assert_int_equal(failure_set(NULL, STATUS_BUSY, "%s", "full"), STATUS_BUSY);
}

static void an_old_message_may_be_part_of_the_new(void **state)
{
    struct failure failure;
    failure_set(&failure, STATUS_FAILED, "%s", "refused");
    failure_set(&failure, STATUS_UNAVAILABLE, "cannot reach redis: %s; start it", failure.message);
    assert_string_equal(failure.message, "cannot reach redis: refused; start it");
}

static void a_message_too_long_is_cut_and_terminated(void **state)
{
    struct failure failure;
    char words[2000];
    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    failure_set(&failure, STATUS_INVALID, "%s", words);
    assert_int_equal(strlen(failure.message), sizeof(failure.message) - 1);
    assert_memory_equal(failure.message, words, sizeof(failure.message) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(a_failure_keeps_its_status_and_words),
        cmocka_unit_test(the_status_is_returned_without_anywhere_to_write_to),
        cmocka_unit_test(an_old_message_may_be_part_of_the_new),
        cmocka_unit_test(a_message_too_long_is_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
