#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Allocations that cannot succeed shall fail here as they do without the address sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct arena arena;

static int tear_down(void **state)
{
    arena_free(&arena);
    return 0;
}

static void memory_is_aligned_and_no_piece_touches_another(void **state)
{
    static unsigned char *pieces[2000];
    static size_t sizes[2000];
    _Alignas(16) char first[1000];
    arena_init(&arena, first + 1, sizeof(first) - 1, 16 << 20);
    for (size_t i = 0; i < 2000; i++) {
        sizes[i] = i * 37 % 5000;
        pieces[i] = arena_alloc(&arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i % 256), sizes[i]);
    }
    for (size_t i = 0; i < 2000; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            assert_true(pieces[i][at] == i % 256);
}

static void the_first_memory_is_used_before_any_is_allocated(void **state)
{
    _Alignas(16) char first[256];
    arena_init(&arena, first, sizeof(first), 4096);
    for (char *expected = first; expected < first + sizeof(first); expected += 64)
        assert_ptr_equal(arena_alloc(&arena, 64), expected);
    assert_int_equal(arena.used, 0);
    assert_null(arena.chunks);
    char *next = arena_alloc(&arena, 1);
    assert_true(next < first || next >= first + sizeof(first));
    assert_true(arena.used > 0);
}

static void first_memory_too_small_to_align_is_left_alone(void **state)
{
    _Alignas(16) char first[16];
    arena_init(&arena, first + 1, 15, 4096);
    char *memory = arena_alloc(&arena, 1);
    assert_true(memory < first || memory >= first + sizeof(first));
}

static void the_ceiling_is_reached_exactly_and_never_passed(void **state)
{
    for (size_t size = 16; size <= 4096; size *= 2) {
        size_t count = 0;
        arena_init(&arena, NULL, 0, 10000);
        while (arena_alloc(&arena, size) != NULL)
            count++;
        assert_true(arena.used <= 10000);
        assert_true(count >= (10000 - 4096) / size && count <= 10000 / size);
        if (size <= 1024)
            assert_int_equal(count, (4096 / size) * 2 + (10000 - 8192) / size);
        arena_free(&arena);
    }
}

static void a_large_piece_does_not_end_the_current_chunk(void **state)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    char *before = arena_alloc(&arena, 16);
    assert_non_null(arena_alloc(&arena, 100000));
    assert_ptr_equal(arena_alloc(&arena, 16), before + 16);
}

static void impossible_sizes_yield_null_and_the_arena_lives_on(void **state)
{
    arena_init(&arena, NULL, 0, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc(&arena, SIZE_MAX - 100));
    assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_copy(&arena, text_of("x", SIZE_MAX)).data);
    assert_non_null(arena_alloc(&arena, 1));
}

static void an_allocation_of_nothing_is_no_failure(void **state)
{
    arena_init(&arena, NULL, 0, 0);
    assert_non_null(arena_alloc(&arena, 0));
    assert_non_null(arena_calloc(&arena, 0, 8));
    assert_null(arena_alloc(&arena, 1));
    assert_null(arena_copy(&arena, TEXT("")).data); /* its NUL does not fit */
}

static void calloc_zeroes_memory_that_was_written_before(void **state)
{
    _Alignas(16) char first[64];
    memset(first, 'x', sizeof(first));
    arena_init(&arena, first, sizeof(first), 0);
    char *zeroed = arena_calloc(&arena, 8, 8);
    assert_ptr_equal(zeroed, first);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(zeroed[i], 0);
}

static void a_copy_is_its_own_and_ends_with_nul(void **state)
{
    char source[] = {'a', '\0', 'b'};
    arena_init(&arena, NULL, 0, 4096);
    struct text copy = arena_copy(&arena, text_of(source, 3));
    memset(source, 'z', 3);
    assert_int_equal(copy.size, 3);
    assert_memory_equal(copy.data, "a\0b\0", 4);
    copy = arena_copy(&arena, TEXT_NONE);
    assert_non_null(copy.data);
    assert_string_equal(copy.data, "");
}

static void a_freed_arena_starts_afresh_within_its_ceiling(void **state)
{
    arena_init(&arena, NULL, 0, 8192);
    for (int round = 0; round < 100; round++) {
        assert_non_null(arena_alloc(&arena, 5000));
        arena_free(&arena);
        assert_int_equal(arena.used, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(memory_is_aligned_and_no_piece_touches_another, tear_down),
        cmocka_unit_test_teardown(the_first_memory_is_used_before_any_is_allocated, tear_down),
        cmocka_unit_test_teardown(first_memory_too_small_to_align_is_left_alone, tear_down),
        cmocka_unit_test_teardown(the_ceiling_is_reached_exactly_and_never_passed, tear_down),
        cmocka_unit_test_teardown(a_large_piece_does_not_end_the_current_chunk, tear_down),
        cmocka_unit_test_teardown(impossible_sizes_yield_null_and_the_arena_lives_on, tear_down),
        cmocka_unit_test_teardown(an_allocation_of_nothing_is_no_failure, tear_down),
        cmocka_unit_test_teardown(calloc_zeroes_memory_that_was_written_before, tear_down),
        cmocka_unit_test_teardown(a_copy_is_its_own_and_ends_with_nul, tear_down),
        cmocka_unit_test_teardown(a_freed_arena_starts_afresh_within_its_ceiling, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
