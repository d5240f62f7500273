#include "upload/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define LONG "a name that is much longer than the database allows for columns"

static struct failure failure;

/* The names of `list` (parts by |) as they come out, or the words. */
static const char *names_of(const char *list)
{
    static char joined[4096];
    struct text names[64], rest = text_from_string(list);
    struct arena arena;
    size_t count = 0, at = 0;
    arena_init(&arena, NULL, 0, 1 << 20);
    while (rest.data != NULL)
        names[count++] = text_split(&rest, '|');
    joined[0] = '\0';
    if (table_names(names, count, &arena, &failure) != STATUS_OK) {
        assert_int_equal(failure.status, STATUS_INVALID);
        snprintf(joined, sizeof(joined), "%s", failure.message);
    } else {
        for (size_t i = 0; i < count; i++) {
            assert_true(names[i].size != 0 && names[i].size <= TABLE_NAME_MAX);
            at += (size_t)snprintf(joined + at, sizeof(joined) - at, "%s%.*s", i != 0 ? "|" : "", TEXT_ARGS(names[i]));
        }
    }
    arena_free(&arena);
    return joined;
}

static void names_stay_but_for_spaces_around_and_empty_ones_are_numbered(void **state)
{
    assert_string_equal(names_of("id| Name |order by|ID|\"x\""), "id|Name|order by|ID|\"x\"");
    assert_string_equal(names_of("a||c|"), "a|c2|c|c4");
    assert_string_equal(names_of("c2|"), "c2|c2_2");
}

static void long_names_are_cut_at_a_character_and_made_distinct(void **state)
{
    assert_string_equal(names_of(LONG "1|" LONG "2"),
                        LONG "|a name that is much longer than the database allows for colum_2");
    assert_string_equal(names_of(LONG "1|" LONG),
                        "a name that is much longer than the database allows for colum_2|" LONG);
    const char *umlauts = names_of("ääääääääääääääääääääääääääääääääääääääää"); /* 80 bytes */
    assert_int_equal(strlen(umlauts), 62);
}

static void what_cannot_be_is_refused_with_words(void **state)
{
    assert_non_null(strstr(names_of("id|n|id"), "columns 1 and 3 are both called \"id\""));
    assert_non_null(strstr(names_of(LONG "1|" LONG "1"), "columns 1 and 2 are both called"));
    assert_non_null(strstr(names_of("id|xmin"), "column 2 is called \"xmin\""));
    assert_string_equal(names_of("XMIN"), "XMIN");
    assert_non_null(strstr(names_of("id|a\tb"), "column 2 has a control character"));
}

static void there_is_an_end_to_columns(void **state)
{
    static struct text names[TABLE_COLUMNS_MAX + 1];
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i <= TABLE_COLUMNS_MAX; i++)
        names[i] = TEXT("");
    assert_int_equal(table_names(names, TABLE_COLUMNS_MAX + 1, &arena, &failure), STATUS_INVALID);
    assert_int_equal(table_names(names, TABLE_COLUMNS_MAX, &arena, &failure), STATUS_OK);
    assert_memory_equal(names[TABLE_COLUMNS_MAX - 1].data, "c1500", 5);
    arena_free(&arena);
}

static void too_little_memory_is_said(void **state)
{
    struct text names[] = {TEXT("a"), TEXT("b")};
    struct arena arena;
    arena_init(&arena, NULL, 0, 1);
    assert_int_equal(table_names(names, 2, &arena, &failure), STATUS_FAILED);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_but_for_spaces_around_and_empty_ones_are_numbered),
        cmocka_unit_test(long_names_are_cut_at_a_character_and_made_distinct),
        cmocka_unit_test(what_cannot_be_is_refused_with_words),
        cmocka_unit_test(there_is_an_end_to_columns),
        cmocka_unit_test(too_little_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
