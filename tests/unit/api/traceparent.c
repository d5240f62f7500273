/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "api/traceparent.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static bool parse(const char *header, struct traceparent *trace)
{
    return traceparent_parse(text_from_string(header), trace);
}

static void assert_lower_hex(const char *data, size_t size)
{
    size_t zeros = 0;
    for (size_t i = 0; i < size; i++) {
        assert_non_null(strchr("0123456789abcdef", data[i]));
        zeros += data[i] == '0';
    }
    assert_true(zeros < size);
}

static void a_callers_trace_goes_on_with_a_span_of_our_own(void **state)
{
    struct traceparent trace, second;
    assert_true(parse("00-" TRACE "-" SPAN "-01", &trace));
    assert_memory_equal(trace.trace_id, TRACE, 32);
    assert_memory_not_equal(trace.span_id, SPAN, 16);
    assert_lower_hex(trace.span_id, 16);
    assert_true(parse("00-" TRACE "-" SPAN "-01", &second));
    assert_memory_not_equal(trace.span_id, second.span_id, 16);
}

static void the_lowest_flag_says_whether_it_is_sampled(void **state)
{
    static const struct {
        const char *header;
        bool sampled;
    } cases[] = {{"00-" TRACE "-" SPAN "-00", false}, {"00-" TRACE "-" SPAN "-01", true},
                 {"00-" TRACE "-" SPAN "-02", false}, {"00-" TRACE "-" SPAN "-03", true},
                 {"00-" TRACE "-" SPAN "-fe", false}, {"00-" TRACE "-" SPAN "-ff", true},
                 {"00-" TRACE "-" SPAN "-0a", false}, {"00-" TRACE "-" SPAN "-0b", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct traceparent trace;
        assert_true(parse(cases[i].header, &trace));
        assert_int_equal(trace.sampled, cases[i].sampled);
    }
}

static void what_later_versions_append_is_passed_over(void **state)
{
    struct traceparent trace;
    assert_true(parse("01-" TRACE "-" SPAN "-01", &trace));
    assert_true(parse("cc-" TRACE "-" SPAN "-01-what-the-future-brings", &trace));
    assert_true(parse("fe-" TRACE "-" SPAN "-01-", &trace));
}

static void a_malformed_header_is_refused_and_nothing_written(void **state)
{
    static const char *const headers[] = {
        "",
        "0",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01 ",
        " 00-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-01-more",
        "00-" TRACE "-" SPAN "-011",
        "01-" TRACE "-" SPAN "-01.more",
        "ff-" TRACE "-" SPAN "-01",
        "FE-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-" TRACE "-" SPAN "-0A",
        "00-" TRACE "-" SPAN "-0x",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-0" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\n-" SPAN "-01",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct traceparent trace, before;
        memset(&trace, 'x', sizeof(trace));
        before = trace;
        if (parse(headers[i], &trace))
            fail_msg("taken: %s", headers[i]);
        assert_memory_equal(&trace, &before, sizeof(trace));
    }
    struct traceparent trace;
    assert_false(traceparent_parse(TEXT_NONE, &trace));
}

static void a_trace_that_begins_here_is_well_formed_and_its_own(void **state)
{
    struct traceparent one, other;
    traceparent_make(&one);
    traceparent_make(&other);
    assert_lower_hex(one.trace_id, 32);
    assert_lower_hex(one.span_id, 16);
    assert_memory_not_equal(one.trace_id, other.trace_id, 32);
    assert_memory_not_equal(one.span_id, other.span_id, 16);
    assert_false(one.sampled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callers_trace_goes_on_with_a_span_of_our_own),
        cmocka_unit_test(the_lowest_flag_says_whether_it_is_sampled),
        cmocka_unit_test(what_later_versions_append_is_passed_over),
        cmocka_unit_test(a_malformed_header_is_refused_and_nothing_written),
        cmocka_unit_test(a_trace_that_begins_here_is_well_formed_and_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
