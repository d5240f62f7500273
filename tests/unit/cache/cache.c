/* The cache of one worker in its own memory. */
#include "tests/unit/cache/source.h"

static struct cache *cache;

static int set_up(void **state)
{
    if (loop == NULL)
        loop = loop_create();
    source_reset();
    cache = cache_on(NULL, 1 << 20, 100, 60000);
    return 0;
}

static int tear_down(void **state)
{
    cache_destroy(cache);
    loop_turn(loop, 0);
    return 0;
}

static void a_miss_is_loaded_and_then_answered_from_memory_within_the_call(void **state)
{
    assert_null(cache_peek(cache, TEXT("a"), 1));
    struct answer answer = get(cache, "a", 1);
    assert_answer(answer, CACHE_LOADED, "payload 1");
    assert_int_equal(answer.version, 1);
    struct answer again = {0};
    assert_null(start(cache, "a", 1, &again));
    assert_answer(again, CACHE_MEMORY, "payload 1");
    assert_false(again.stale);
    const struct cache_entry *entry = cache_peek(cache, TEXT("a"), 1);
    assert_non_null(entry);
    assert_memory_equal(entry->payload.data, "payload 1", 9);
    assert_int_equal(source.started, 1);
    struct cache_statistics statistics = cache_statistics(cache);
    assert_int_equal(statistics.misses, 1);
    assert_true(statistics.hits_memory >= 1);
    assert_int_equal(statistics.entries, 1);
}

static void a_load_is_told_its_argument_and_its_owner(void **state)
{
    get(cache, "a key of some length", 3);
    assert_string_equal(source.argument, "a key of some length");
    assert_ptr_equal(source.owner, &source);
}

static void a_newer_version_is_loaded_and_an_older_question_takes_what_is_there(void **state)
{
    get(cache, "a", 5);
    assert_null(cache_peek(cache, TEXT("a"), 6));
    struct answer newer = get(cache, "a", 6);
    assert_answer(newer, CACHE_LOADED, "payload 2");
    assert_int_equal(newer.version, 6);
    assert_answer(get(cache, "a", 5), CACHE_MEMORY, "payload 2");
    assert_int_equal(source.started, 2);
}

static void who_knows_a_newer_version_is_not_given_a_load_begun_for_an_older_one(void **state)
{
    struct answer old = {0}, new = {0};
    source.deferred = true;
    start(cache, "a", 1, &old);
    loop_until(source.pending_count == 1);
    start(cache, "a", 2, &new);
    loop_for(5);
    while (source.pending_count != 0 || new.answers == 0) {
        source_finish_next(STATUS_OK);
        loop_turn(loop, 1);
    }
    assert_answer(old, CACHE_LOADED, "payload 1");
    assert_int_equal(new.answers, 1);
    assert_true(new.version >= 2);
    assert_string_equal(new.payload, "payload 2");
    assert_non_null(cache_peek(cache, TEXT("a"), 2));
}

static void without_a_version_an_entry_is_fresh_for_its_time(void **state)
{
    get(cache, "a", 0);
    assert_answer(get(cache, "a", 0), CACHE_MEMORY, "payload 1");
    loop_for(120); /* ttl is 100 ms */
    assert_null(cache_peek(cache, TEXT("a"), 0));
    assert_answer(get(cache, "a", 0), CACHE_LOADED, "payload 2");
}

static void with_a_version_an_entry_outlives_the_time(void **state)
{
    get(cache, "a", 1);
    loop_for(120);
    assert_answer(get(cache, "a", 1), CACHE_MEMORY, "payload 1");
}

static void a_thousand_simultaneous_misses_are_one_load(void **state)
{
    static struct answer answers[1000];
    memset(answers, 0, sizeof(answers));
    source.deferred = true;
    for (int i = 0; i < 1000; i++)
        start(cache, "a", 1, &answers[i]);
    loop_until(source.pending_count == 1);
    source_finish_next(STATUS_OK);
    for (int i = 0; i < 1000; i++) {
        loop_until(answers[i].answers == 1);
        assert_string_equal(answers[i].payload, "payload 1");
    }
    loop_for(5);
    assert_int_equal(answers[0].answers + answers[999].answers, 2);
    assert_int_equal(source.started, 1);
    assert_int_equal(cache_statistics(cache).coalesced, 999);
}

static void other_keys_load_by_themselves(void **state)
{
    struct answer a = {0}, b = {0};
    source.deferred = true;
    start(cache, "a", 1, &a);
    start(cache, "b", 1, &b);
    loop_until(source.pending_count == 2);
    source_finish_next(STATUS_OK);
    source_finish_next(STATUS_OK);
    loop_until(a.answers == 1 && b.answers == 1);
    assert_string_not_equal(a.payload, b.payload);
}

static void a_load_that_fails_is_answered_by_the_outdated_entry(void **state)
{
    static const enum status failures[] = {STATUS_UNAVAILABLE, STATUS_BUSY, STATUS_TIMEOUT, STATUS_FAILED};
    for (size_t i = 0; i < 4; i++) {
        char key[] = {'a' + (char)i, '\0'};
        source.status = STATUS_OK;
        struct answer first = get(cache, key, 1);
        source.status = failures[i];
        struct answer answer = get(cache, key, 2);
        assert_answer(answer, CACHE_STALE, first.payload);
        assert_true(answer.stale);
        assert_int_equal(answer.version, 1);
    }
    assert_int_equal(cache_statistics(cache).stale, 4);
}

static void who_still_knows_the_old_version_gets_a_fresh_answer_after_a_stale_one(void **state)
{
    get(cache, "a", 1);
    source.status = STATUS_UNAVAILABLE;
    get(cache, "a", 2);
    struct answer answer = get(cache, "a", 1);
    assert_answer(answer, CACHE_MEMORY, "payload 1");
    assert_false(answer.stale);
}

static void an_outdated_entry_stands_in_no_longer_than_allowed(void **state)
{
    struct cache *brief = cache_on(NULL, 1 << 20, 100, 2500);
    get(brief, "a", 0);
    source.status = STATUS_UNAVAILABLE;
    loop_for(150);
    assert_answer(get(brief, "a", 0), CACHE_STALE, "payload 1");
    loop_for(2700); /* ttl 100 ms, stale 2500 ms */
    struct answer answer = get(brief, "a", 0);
    assert_int_equal(answer.status, STATUS_UNAVAILABLE);
    assert_false(answer.had_entry);
    cache_destroy(brief);
}

static void while_the_outdated_entry_stands_in_the_source_is_asked_every_200_ms_at_most(void **state)
{
    get(cache, "a", 1);
    source.status = STATUS_UNAVAILABLE;
    uint64_t start_us = clock_monotonic_us();
    loop_turn(loop, 0); /* the loop's time is of its turn */
    for (int i = 0; i < 50; i++)
        assert_answer(get(cache, "a", 2), CACHE_STALE, "payload 1");
    assert_in_range(source.started, 2, 2 + (clock_monotonic_us() - start_us) / 200000);
    loop_for(230);
    source.status = STATUS_OK;
    char expected[32];
    snprintf(expected, sizeof(expected), "payload %zu", source.started + 1);
    assert_answer(get(cache, "a", 2), CACHE_LOADED, expected);
}

static void what_is_not_there_is_not_answered_by_an_outdated_entry(void **state)
{
    static const enum status others[] = {STATUS_NOT_FOUND, STATUS_INVALID, STATUS_DENIED};
    for (size_t i = 0; i < 3; i++) {
        char key[] = {'a' + (char)i, '\0'};
        source.status = STATUS_OK;
        get(cache, key, 1);
        source.status = others[i];
        struct answer answer = get(cache, key, 2);
        assert_int_equal(answer.status, others[i]);
        assert_false(answer.had_entry);
    }
}

static void a_failure_without_an_outdated_entry_is_passed_on_and_not_remembered(void **state)
{
    source.status = STATUS_TIMEOUT;
    assert_int_equal(get(cache, "a", 1).status, STATUS_TIMEOUT);
    source.status = STATUS_OK;
    assert_answer(get(cache, "a", 1), CACHE_LOADED, "payload 2");
}

static void an_answer_that_must_not_be_kept_is_given_and_forgotten(void **state)
{
    source.keep = false;
    assert_answer(get(cache, "a", 1), CACHE_LOADED, "payload 1");
    assert_null(cache_peek(cache, TEXT("a"), 1));
    assert_answer(get(cache, "a", 1), CACHE_LOADED, "payload 2");
    assert_int_equal(cache_statistics(cache).entries, 0);
}

static void a_load_goes_on_when_those_who_waited_have_left(void **state)
{
    struct answer answers[3] = {{0}};
    struct cache_wait *waits[3];
    source.deferred = true;
    for (int i = 0; i < 3; i++)
        waits[i] = start(cache, "a", 1, &answers[i]);
    loop_until(source.pending_count == 1);
    for (int i = 0; i < 3; i++)
        cache_cancel(waits[i]);
    source_finish_next(STATUS_OK);
    loop_for(5);
    assert_int_equal(answers[0].answers + answers[1].answers + answers[2].answers, 0);
    assert_answer(get(cache, "a", 1), CACHE_MEMORY, "payload 1");
}

static void one_may_leave_and_the_others_are_answered(void **state)
{
    struct answer answers[5] = {{0}};
    struct cache_wait *waits[5];
    source.deferred = true;
    for (int i = 0; i < 5; i++)
        waits[i] = start(cache, "a", 1, &answers[i]);
    cache_cancel(waits[0]);
    cache_cancel(waits[2]);
    cache_cancel(waits[4]);
    loop_until(source.pending_count == 1);
    source_finish_next(STATUS_OK);
    loop_until(answers[1].answers == 1 && answers[3].answers == 1);
    loop_for(5);
    assert_int_equal(answers[0].answers + answers[2].answers + answers[4].answers, 0);
}

static void an_answer_may_cancel_a_neighbour_and_ask_again(void **state)
{
    struct answer one = {0}, other = {0}, again = {0};
    source.deferred = true;
    other.cancels = start(cache, "a", 1, &one);
    one.cancels = start(cache, "a", 1, &other);
    one.rival = &other, other.rival = &one;
    one.asks_again = other.asks_again = &again;
    one.cache = other.cache = cache;
    loop_until(source.pending_count == 1);
    source_finish_next(STATUS_OK);
    loop_until(again.answers == 1);
    loop_for(5);
    assert_int_equal(one.answers + other.answers, 1);
    assert_answer(again, CACHE_MEMORY, "payload 1");
}

static void an_entry_stays_while_its_answer_makes_another_push_it_out(void **state)
{
    struct cache *small = cache_on(NULL, 16 << 10, 10000, 1000);
    struct answer answer = {.cache = small, .asks_first = "large"}, other = {0};
    source.payload_size = 9000;
    get(small, "a", 1);
    answer.asks_again = &other;
    start(small, "a", 1, &answer);
    assert_int_equal(other.answers, 1);
    assert_null(cache_peek(small, TEXT("a"), 1)); /* pushed out, or this says nothing */
    assert_answer(answer, CACHE_MEMORY, "payload 1");
    cache_destroy(small);
}

static void an_answer_of_unknown_version_takes_the_place_of_an_old_one(void **state)
{
    get(cache, "a", 5);
    loop_for(120); /* ttl is 100 ms */
    assert_answer(get(cache, "a", 0), CACHE_LOADED, "payload 2");
    assert_answer(get(cache, "a", 0), CACHE_MEMORY, "payload 2");
}

static void the_memory_is_bounded_and_the_least_used_leaves(void **state)
{
    struct cache *small = cache_on(NULL, 64 << 10, 10000, 1000);
    source.payload_size = 4000;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        get(small, key, 1);
        assert_true(cache_statistics(small).bytes <= 64 << 10);
        if (i < 99)
            get(small, "key 0", 1); /* used all the time */
    }
    struct cache_statistics statistics = cache_statistics(small);
    assert_in_range(statistics.entries, 8, 16);
    assert_non_null(cache_peek(small, TEXT("key 99"), 1));
    assert_non_null(cache_peek(small, TEXT("key 0"), 1));
    assert_null(cache_peek(small, TEXT("key 1"), 1));
    assert_int_equal(source.started, 100);
    cache_destroy(small);
}

static void an_answer_larger_than_the_memory_is_given_and_not_kept(void **state)
{
    struct cache *small = cache_on(NULL, 16 << 10, 10000, 1000);
    get(small, "small", 1);
    source.payload_size = 20000;
    assert_int_equal(get(small, "large", 1).size, 20000);
    assert_null(cache_peek(small, TEXT("large"), 1));
    assert_true(cache_statistics(small).bytes <= 16 << 10);
    cache_destroy(small);
}

static void an_entry_that_is_held_outlives_its_eviction_and_the_cache(void **state)
{
    struct cache *small = cache_on(NULL, 16 << 10, 10000, 1000);
    get(small, "a", 1);
    const struct cache_entry *entry = cache_peek(small, TEXT("a"), 1);
    assert_non_null(entry);
    cache_entry_ref(entry);
    source.payload_size = 6000;
    for (int i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        get(small, key, 1);
    }
    assert_null(cache_peek(small, TEXT("a"), 1));
    cache_destroy(small);
    assert_memory_equal(entry->payload.data, "payload 1", 9);
    cache_entry_unref(entry);
}

static void a_load_may_end_after_its_cache(void **state)
{
    struct cache *short_lived = cache_on(NULL, 1 << 20, 100, 100);
    struct answer answers[3] = {{0}};
    source.deferred = true;
    for (int i = 0; i < 3; i++)
        start(short_lived, i == 0 ? "a" : "b", 1, &answers[i]);
    loop_until(source.pending_count == 2);
    cache_destroy(short_lived);
    size_t before = answers[0].answers + answers[1].answers + answers[2].answers;
    source_finish_next(STATUS_OK);
    source_finish_next(STATUS_UNAVAILABLE);
    loop_for(5);
    assert_int_equal(answers[0].answers + answers[1].answers + answers[2].answers, before);
}

static void keys_and_payloads_of_any_bytes_are_kept_apart(void **state)
{
    struct answer answers[3] = {{0}};
    struct text keys[] = {TEXT("a\0b"), TEXT("a\0c"), TEXT("a")};
    for (int i = 0; i < 3; i++) {
        struct cache_request request = request_for("x", 1);
        request.key = keys[i];
        cache_get(cache, &request, on_answer, &answers[i]);
        loop_until(answers[i].answers == 1);
        assert_int_equal(answers[i].source, CACHE_LOADED);
    }
    source.payload_size = SIZE_MAX; /* empty */
    assert_int_equal(get(cache, "empty", 1).size, 0);
    assert_int_equal(get(cache, "empty", 1).source, CACHE_MEMORY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_miss_is_loaded_and_then_answered_from_memory_within_the_call),
        TEST(a_load_is_told_its_argument_and_its_owner),
        TEST(a_newer_version_is_loaded_and_an_older_question_takes_what_is_there),
        TEST(who_knows_a_newer_version_is_not_given_a_load_begun_for_an_older_one),
        TEST(without_a_version_an_entry_is_fresh_for_its_time),
        TEST(with_a_version_an_entry_outlives_the_time),
        TEST(a_thousand_simultaneous_misses_are_one_load),
        TEST(other_keys_load_by_themselves),
        TEST(a_load_that_fails_is_answered_by_the_outdated_entry),
        TEST(who_still_knows_the_old_version_gets_a_fresh_answer_after_a_stale_one),
        TEST(an_outdated_entry_stands_in_no_longer_than_allowed),
        TEST(while_the_outdated_entry_stands_in_the_source_is_asked_every_200_ms_at_most),
        TEST(what_is_not_there_is_not_answered_by_an_outdated_entry),
        TEST(a_failure_without_an_outdated_entry_is_passed_on_and_not_remembered),
        TEST(an_answer_that_must_not_be_kept_is_given_and_forgotten),
        TEST(a_load_goes_on_when_those_who_waited_have_left),
        TEST(one_may_leave_and_the_others_are_answered),
        TEST(an_answer_may_cancel_a_neighbour_and_ask_again),
        TEST(an_entry_stays_while_its_answer_makes_another_push_it_out),
        TEST(an_answer_of_unknown_version_takes_the_place_of_an_old_one),
        TEST(the_memory_is_bounded_and_the_least_used_leaves),
        TEST(an_answer_larger_than_the_memory_is_given_and_not_kept),
        TEST(an_entry_that_is_held_outlives_its_eviction_and_the_cache),
        TEST(a_load_may_end_after_its_cache),
        TEST(keys_and_payloads_of_any_bytes_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
