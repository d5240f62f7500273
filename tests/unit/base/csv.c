#include "base/csv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_field(struct text text, const char *expected)
{
    struct buffer buffer;
    buffer_init(&buffer, 4096);
    csv_append_field(&buffer, text);
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, strlen(expected));
    assert_memory_equal(buffer.size != 0 ? buffer.data : "", expected, buffer.size);
    buffer_free(&buffer);
}

static void a_plain_field_stands_as_it_is(void **state)
{
    assert_field(TEXT("12.5"), "12.5");
    assert_field(TEXT(" Sofia; \t'x' "), " Sofia; \t'x' ");
    assert_field(TEXT("\xD0\xA1\xD0\xBE\xD1\x84\xD0\xB8\xD1\x8F"), "\xD0\xA1\xD0\xBE\xD1\x84\xD0\xB8\xD1\x8F");
}

static void what_would_end_a_field_is_quoted(void **state)
{
    assert_field(TEXT("a,b"), "\"a,b\"");
    assert_field(TEXT("a\nb"), "\"a\nb\"");
    assert_field(TEXT("a\rb"), "\"a\rb\"");
    assert_field(TEXT(","), "\",\"");
}

static void quotes_are_doubled_wherever_they_stand(void **state)
{
    assert_field(TEXT("\""), "\"\"\"\"");
    assert_field(TEXT("a\""), "\"a\"\"\"");
    assert_field(TEXT("\"a\""), "\"\"\"a\"\"\"");
    assert_field(TEXT("say \"\" twice"), "\"say \"\"\"\" twice\"");
}

static void null_and_the_empty_string_differ(void **state)
{
    assert_field(TEXT_NONE, "");
    assert_field(TEXT(""), "\"\"");
}

static void a_field_past_the_ceiling_fails_the_buffer(void **state)
{
    struct buffer buffer;
    buffer_init(&buffer, 6);
    csv_append_field(&buffer, TEXT("a\"b,c"));
    assert_true(buffer.failed);
    buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_field_stands_as_it_is),
        cmocka_unit_test(what_would_end_a_field_is_quoted),
        cmocka_unit_test(quotes_are_doubled_wherever_they_stand),
        cmocka_unit_test(null_and_the_empty_string_differ),
        cmocka_unit_test(a_field_past_the_ceiling_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
