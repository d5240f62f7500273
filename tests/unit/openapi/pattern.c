#include <pthread.h>

#include "compiled.h"

#define THREADS 8
#define MATCHES 500

static void *match_often(void *context)
{
    const struct openapi_schema *schema = context;
    uintptr_t wrong = 0;
    for (int i = 0; i < MATCHES; i++) {
        wrong += !schema_pattern_matches(schema->pattern, TEXT("BG-sofia"));
        wrong += schema_pattern_matches(schema->pattern, TEXT("-BG"));
    }
    return (void *)wrong;
}

/* Threads that end must leave nothing behind: the leak sanitizer looks after them. */
static void one_pattern_serves_many_threads_and_leaves_nothing(void **state)
{
    struct compiled compiled;
    pthread_t threads[THREADS];
    compiled_open(&compiled, "{pattern: \"^[A-Za-z0-9][A-Za-z0-9._-]*$\"}");
    assert_non_null(compiled.schema);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, (void *)(uintptr_t)compiled.schema), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    compiled_close(&compiled);
}

/* (*NO_JIT) takes the interpreter, whose frames do not fit on the stack. */
static void pattern_matches_without_jit_too(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled, "{pattern: \"(*NO_JIT)^(a|b)*(c(d)?)+$\"}");
    assert_non_null(compiled.schema);
    assert_true(schema_pattern_matches(compiled.schema->pattern, TEXT("ababccdc")));
    assert_false(schema_pattern_matches(compiled.schema->pattern, TEXT("ababccdx")));
    compiled_close(&compiled);
}

static void match_that_explodes_ends_as_none(void **state)
{
    static const char *const patterns[] = {"{pattern: \"^(a+)+$\"}", "{pattern: \"(*NO_JIT)^(a+)+$\"}"};
    for (size_t i = 0; i < 2; i++) {
        struct compiled compiled;
        char text[5000];
        compiled_open(&compiled, patterns[i]);
        memset(text, 'a', sizeof(text));
        text[sizeof(text) - 1] = 'b';
        assert_false(schema_pattern_matches(compiled.schema->pattern, text_of(text, sizeof(text))));
        compiled_close(&compiled);
    }
}

static void dollar_is_the_very_end_and_a_dot_is_one_character(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled, "{pattern: ^.$}");
    assert_true(schema_pattern_matches(compiled.schema->pattern, TEXT("a")));
    assert_true(schema_pattern_matches(compiled.schema->pattern, TEXT("\xe2\x82\xac")));
    assert_false(schema_pattern_matches(compiled.schema->pattern, TEXT("a\n")));
    assert_false(schema_pattern_matches(compiled.schema->pattern, TEXT("")));
    compiled_close(&compiled);
}

static void pattern_that_does_not_compile_says_where(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled, "\n{pattern: \"ab[\"}");
    assert_null(compiled.schema);
    assert_non_null(strstr(compiled.failure.message, "schema:2: the pattern does not compile"));
    assert_non_null(strstr(compiled.failure.message, "character 3"));
    compiled_close(&compiled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pattern_serves_many_threads_and_leaves_nothing),
        cmocka_unit_test(pattern_matches_without_jit_too),
        cmocka_unit_test(match_that_explodes_ends_as_none),
        cmocka_unit_test(dollar_is_the_very_end_and_a_dot_is_one_character),
        cmocka_unit_test(pattern_that_does_not_compile_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
