#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Allocations that cannot succeed shall fail here as they do without the address sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct buffer buffer;

static int tear_down(void **state)
{
    buffer_free(&buffer);
    return 0;
}

static void assert_holds(const char *expected)
{
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, strlen(expected));
    assert_memory_equal(buffer.data, expected, buffer.size);
}

static void a_new_buffer_holds_nothing_and_allocates_nothing(void **state)
{
    buffer_init(&buffer, 10);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
    assert_int_equal(buffer_text(&buffer).size, 0);
    buffer_append(&buffer, "", 0);
    buffer_append_text(&buffer, TEXT_NONE);
    assert_null(buffer.data);
    assert_false(buffer.failed);
}

static void appended_bytes_stand_in_order_across_reallocations(void **state)
{
    buffer_init(&buffer, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buffer_append_char(&buffer, (char)(i % 251));
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, 100000);
    for (int i = 0; i < 100000; i++)
        assert_true(buffer.data[i] == (char)(i % 251));
}

static void exactly_the_ceiling_fits_and_one_byte_more_fails(void **state)
{
    char bytes[1000];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t ceiling = 1; ceiling < sizeof(bytes); ceiling++) {
        buffer_init(&buffer, ceiling);
        buffer_append(&buffer, bytes, ceiling);
        assert_false(buffer.failed);
        assert_true(buffer.size == ceiling && buffer.capacity <= ceiling);
        buffer_append_char(&buffer, 'y');
        assert_true(buffer.failed);
        assert_int_equal(buffer.size, ceiling);
        buffer_free(&buffer);
    }
}

static void a_failure_sticks_and_drops_later_appends_whole(void **state)
{
    buffer_init(&buffer, 10);
    buffer_append_literal(&buffer, "12345");
    buffer_append_literal(&buffer, "678901");
    assert_true(buffer.failed);
    buffer_append_literal(&buffer, "6"); /* would have fitted */
    buffer_append_int64(&buffer, 7);
    buffer_printf(&buffer, "%d", 8);
    assert_null(buffer_reserve(&buffer, 1));
    assert_null(buffer_c_string(&buffer));
    assert_int_equal(buffer.size, 5);
    assert_memory_equal(buffer.data, "12345", 5);
    buffer_clear(&buffer);
    buffer_append_literal(&buffer, "again");
    assert_holds("again");
}

static void sizes_near_the_end_of_the_address_space_fail_without_overflow(void **state)
{
    buffer_init(&buffer, SIZE_MAX);
    buffer_append_literal(&buffer, "abc");
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 2));
    assert_true(buffer.failed);
    buffer_clear(&buffer);
    assert_null(buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_true(buffer.failed);
    buffer_clear(&buffer);
    buffer_append_literal(&buffer, "abc");
    assert_holds("abc");
}

static void what_fits_into_lent_memory_stays_there(void **state)
{
    char first[8];
    buffer_init_on(&buffer, first, sizeof(first), 100);
    buffer_append(&buffer, "abcdefgh", 8);
    assert_ptr_equal(buffer.data, first);
    assert_holds("abcdefgh");
    buffer_clear(&buffer);
    buffer_append_uint64(&buffer, 42);
    assert_ptr_equal(buffer.data, first);
    assert_holds("42");
}

static void what_outgrows_lent_memory_is_copied_out_of_it(void **state)
{
    char first[8];
    buffer_init_on(&buffer, first, sizeof(first), 100);
    buffer_append(&buffer, "abcdefgh", 8);
    buffer_append_char(&buffer, 'i');
    assert_ptr_not_equal(buffer.data, first);
    assert_holds("abcdefghi");
    buffer_append(&buffer, first, sizeof(first)); /* untouched */
    assert_holds("abcdefghiabcdefgh");
}

static void lent_memory_ends_at_the_ceiling_and_is_not_used_once_freed(void **state)
{
    char first[8];
    buffer_init_on(&buffer, first, sizeof(first), sizeof(first));
    buffer_append(&buffer, "abcdefgh", 8);
    buffer_append_char(&buffer, 'i');
    assert_true(buffer.failed);
    assert_memory_equal(first, "abcdefgh", 8);
    buffer_free(&buffer);
    assert_null(buffer.data);
    buffer_append_char(&buffer, 'i');
    assert_ptr_not_equal(buffer.data, first);
    assert_holds("i");
}

static void integers_are_written_to_their_bounds(void **state)
{
    buffer_init(&buffer, 1000);
    buffer_append_int64(&buffer, INT64_MIN);
    buffer_append_char(&buffer, ' ');
    buffer_append_int64(&buffer, INT64_MAX);
    buffer_append_char(&buffer, ' ');
    buffer_append_uint64(&buffer, UINT64_MAX);
    buffer_append_char(&buffer, ' ');
    buffer_append_int64(&buffer, 0);
    buffer_append_char(&buffer, ' ');
    buffer_append_int64(&buffer, -10);
    assert_holds("-9223372036854775808 9223372036854775807 18446744073709551615 0 -10");
}

static void printf_grows_for_what_does_not_fit(void **state)
{
    char expected[2001];
    buffer_init(&buffer, 4096);
    buffer_printf(&buffer, "%s", "");
    assert_int_equal(buffer.size, 0);
    memset(expected, 'p', 2000);
    expected[2000] = '\0';
    for (int i = 0; i < 1000; i++)
        buffer_printf(&buffer, "%c%c", 'p', 'p');
    assert_holds(expected);
    buffer_clear(&buffer);
    buffer_append_char(&buffer, 'p');
    buffer_printf(&buffer, "%s", expected + 1);
    assert_holds(expected);
}

static void printf_past_the_ceiling_leaves_the_content(void **state)
{
    buffer_init(&buffer, 8);
    buffer_append_literal(&buffer, "abc");
    buffer_printf(&buffer, "%d", 123456);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 3);
    assert_memory_equal(buffer.data, "abc", 3);
}

static void consuming_keeps_the_rest_in_front(void **state)
{
    buffer_init(&buffer, 100);
    buffer_consume(&buffer, 0);
    buffer_append_literal(&buffer, "0123456789");
    buffer_consume(&buffer, 0);
    buffer_consume(&buffer, 3);
    assert_holds("3456789");
    buffer_append_char(&buffer, '!');
    assert_holds("3456789!");
    buffer_consume(&buffer, 8);
    assert_int_equal(buffer.size, 0);
}

static void a_c_string_ends_behind_the_content_without_counting(void **state)
{
    buffer_init(&buffer, 4);
    assert_string_equal(buffer_c_string(&buffer), "");
    buffer_append_literal(&buffer, "abc");
    assert_string_equal(buffer_c_string(&buffer), "abc");
    assert_int_equal(buffer.size, 3);
    buffer_append_char(&buffer, 'd');
    assert_null(buffer_c_string(&buffer)); /* no room for the NUL */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_new_buffer_holds_nothing_and_allocates_nothing, tear_down),
        cmocka_unit_test_teardown(appended_bytes_stand_in_order_across_reallocations, tear_down),
        cmocka_unit_test_teardown(exactly_the_ceiling_fits_and_one_byte_more_fails, tear_down),
        cmocka_unit_test_teardown(a_failure_sticks_and_drops_later_appends_whole, tear_down),
        cmocka_unit_test_teardown(what_fits_into_lent_memory_stays_there, tear_down),
        cmocka_unit_test_teardown(what_outgrows_lent_memory_is_copied_out_of_it, tear_down),
        cmocka_unit_test_teardown(lent_memory_ends_at_the_ceiling_and_is_not_used_once_freed, tear_down),
        cmocka_unit_test_teardown(integers_are_written_to_their_bounds, tear_down),
        cmocka_unit_test_teardown(sizes_near_the_end_of_the_address_space_fail_without_overflow, tear_down),
        cmocka_unit_test_teardown(printf_grows_for_what_does_not_fit, tear_down),
        cmocka_unit_test_teardown(printf_past_the_ceiling_leaves_the_content, tear_down),
        cmocka_unit_test_teardown(consuming_keeps_the_rest_in_front, tear_down),
        cmocka_unit_test_teardown(a_c_string_ends_behind_the_content_without_counting, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
