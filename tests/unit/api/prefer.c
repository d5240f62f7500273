/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>

#include "api/prefer.h"

static struct arena arena;
static struct buffer applied;

static int set_up(void **state)
{
    arena_init(&arena, NULL, 0, 1 << 16);
    buffer_init(&applied, 4096);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(&arena);
    buffer_free(&applied);
    return 0;
}

struct header {
    const char *prefer;
    const char *result; /* Preference-Applied; "!words": refused with these in the message */
};

static void assert_headers(const struct header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct prefer prefer;
        struct prefer_mistake mistake;
        enum status status = prefer_read(text_from_string(headers[i].prefer), &arena, &prefer, &mistake);
        buffer_clear(&applied);
        prefer_append_applied(&applied, &prefer);
        const char *result = headers[i].result;
        if (result[0] == '!' && status == STATUS_INVALID && strstr(mistake.message, result + 1) != NULL)
            continue;
        if (result[0] == '!' || status != STATUS_OK || !text_equal(buffer_text(&applied), text_from_string(result)))
            fail_msg("%s: wanted %s, got status %s, %.*s, %s", headers[i].prefer, result, status_name(status),
                     TEXT_ARGS(buffer_text(&applied)), mistake.message);
    }
}

#define HEADERS(...)                                                                                                   \
    do {                                                                                                               \
        static const struct header headers[] = {__VA_ARGS__};                                                          \
        assert_headers(headers, sizeof(headers) / sizeof(headers[0]));                                                 \
    } while (0)

static void what_is_preferred_is_applied(void **state)
{
    HEADERS({NULL, ""}, {"", ""}, {" , ,", ""}, {"count=exact", "count=exact"}, {"count=planned", "count=planned"},
            {"count=estimated", "count=estimated"}, {"handling=strict", "handling=strict"},
            {"handling=lenient", "handling=lenient"}, {"timezone=Europe/Sofia", "timezone=Europe/Sofia"},
            {"timezone=America/Los_Angeles, handling=strict, count=exact",
             "count=exact, handling=strict, timezone=America/Los_Angeles"});
}

static void names_have_any_case_and_values_one(void **state)
{
    HEADERS({"COUNT=exact", "count=exact"}, {"count=Exact", ""}, {"Handling = strict", "handling=strict"},
            {"count\t=\texact", "count=exact"});
}

static void values_may_stand_in_quotes(void **state)
{
    HEADERS({"count=\"exact\"", "count=exact"}, {"count=\"ex\\act\"", "count=exact"},
            {"timezone=\"EST5EDT,M3.2.0,M11.1.0\", count=exact", "count=exact, timezone=\"EST5EDT,M3.2.0,M11.1.0\""},
            {"timezone=\"a;b\"", "timezone=\"a;b\""}, {"count=\"exact", ""}, {"count=\"exact\\", ""},
            {"count=\"exact\"x, handling=strict", "!count"}, {"count=ex\"act\"", ""});
}

static void parameters_of_a_preference_are_passed_over(void **state)
{
    HEADERS({"count=exact; depth=3", "count=exact"},
            {"count=exact;a=\"b,c\", handling=lenient", "count=exact, handling=lenient"},
            {"count=exact;", "count=exact"});
}

static void first_valid_one_of_a_repeated_preference_wins(void **state)
{
    HEADERS({"count=exact, count=planned", "count=exact"}, {"count=planned,count=exact", "count=planned"},
            {"timezone=UTC, timezone=Asia/Tokyo", "timezone=UTC"},
            {"handling=lenient, handling=strict, nonsense", "handling=lenient"},
            {"count=none, count=exact", "count=exact"});
}

static void preferences_of_writes_are_known_and_not_echoed(void **state)
{
    HEADERS({"return=representation, resolution=merge-duplicates, missing=default, tx=rollback, max-affected=10", ""},
            {"handling=strict, return=minimal, return=headers-only, resolution=ignore-duplicates, missing=null, "
             "tx=commit, max-affected=0",
             "handling=strict"});
}

static void lenient_reading_passes_over_what_it_does_not_know(void **state)
{
    HEADERS({"respond-async, wait=10, count=exact", "count=exact"}, {"count=all", ""}, {"count", ""}, {"=", ""},
            {"=exact", ""}, {"timezone=", ""}, {"timezone=\"\"", ""}, {"handling=Strict, x", ""}, {"timezone=\x01", ""},
            {"timezone=\xc3\xa9", ""}, {"timezone=\"a\\\"b\"", ""});
}

static void strict_reading_names_the_first_mistake(void **state)
{
    HEADERS({"handling=strict, depth=3", "!unknown preference `depth=3`; known are count, handling, timezone"},
            {"depth=3, handling=strict", "!`depth=3`"},
            {"handling=strict, count=all", "!`count=all`; try count=exact, count=planned"},
            {"handling=strict, count", "!`count`"}, {"handling=strict, timezone=", "!Europe/Sofia"},
            {"handling=strict, max-affected=-1", "!max-affected=10"},
            {"handling=strict, max-affected=x", "!whole number"}, {"handling=strict, return=all", "!return=minimal"},
            {"handling=strict, tx=maybe", "!tx=commit, tx=rollback"}, {"a=1, b=2, handling=strict", "!`a=1`"},
            {"handling=strict, \x01\xff", "!`??`"}, {"handling=strict, handling=none", "!handling=lenient"});
}

static void zone_of_more_than_64_bytes_is_none(void **state)
{
    char header[128];
    for (int size = 64; size <= 65; size++) {
        struct prefer prefer;
        struct prefer_mistake mistake;
        snprintf(header, sizeof(header), "timezone=%0*d", size, 0);
        assert_int_equal(prefer_read(text_from_string(header), &arena, &prefer, &mistake), STATUS_OK);
        assert_int_equal(prefer.timezone.size, size == 64 ? 64 : 0);
    }
}

static void message_is_short_and_printable_whatever_was_sent(void **state)
{
    static char header[8192] = "handling=strict,";
    struct prefer prefer;
    struct prefer_mistake mistake;
    memset(header + 16, '\n', sizeof(header) - 17);
    memset(header + 16, 'n', 100);
    assert_int_equal(prefer_read(text_from_string(header), &arena, &prefer, &mistake), STATUS_INVALID);
    assert_true(strlen(mistake.message) < sizeof(mistake.message) - 1);
    for (const char *at = mistake.message; *at != '\0'; at++)
        assert_true(*at >= ' ' && *at <= '~');
}

static void too_much_for_the_arena_is_said(void **state)
{
    static char header[1 << 17];
    struct prefer prefer;
    struct prefer_mistake mistake;
    memset(header, 'a', sizeof(header) - 1);
    memcpy(header, "count=\"", 7);
    header[sizeof(header) - 2] = '"';
    assert_int_equal(prefer_read(text_from_string(header), &arena, &prefer, &mistake), STATUS_TOO_LARGE);
    assert_non_null(strstr(mistake.message, "too long"));
}

static void respond_async_is_found_where_it_stands_as_a_preference(void **state)
{
    static const char *const yes[] = {"respond-async", "wait=10, Respond-Async", "respond-async; x=1, count=exact"};
    static const char *const no[] = {"", "respond-asynchronous", "timezone=\"a, respond-async\"", "x; respond-async",
                                     "respond-async=1"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(prefer_is_async(text_from_string(yes[i])));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(prefer_is_async(text_from_string(no[i])));
    assert_false(prefer_is_async(TEXT_NONE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_preferred_is_applied),
        TEST(names_have_any_case_and_values_one),
        TEST(values_may_stand_in_quotes),
        TEST(parameters_of_a_preference_are_passed_over),
        TEST(first_valid_one_of_a_repeated_preference_wins),
        TEST(preferences_of_writes_are_known_and_not_echoed),
        TEST(lenient_reading_passes_over_what_it_does_not_know),
        TEST(strict_reading_names_the_first_mistake),
        TEST(zone_of_more_than_64_bytes_is_none),
        TEST(message_is_short_and_printable_whatever_was_sent),
        TEST(too_much_for_the_arena_is_said),
        TEST(respond_async_is_found_where_it_stands_as_a_preference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
