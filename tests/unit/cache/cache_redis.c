/* The cache of one worker over Redis; a second cache plays the neighbour. */
#include "tests/unit/cache/source.h"

static struct redis *redis, *neighbour_redis;
static struct cache *cache, *neighbour;

static int set_up(void **state)
{
    if (redis_server.pid == 0)
        redis_server_start();
    source_reset();
    redis = redis_connect(REDIS_PATIENCE);
    neighbour_redis = redis_connect(REDIS_PATIENCE);
    redis_ask(redis, "redis.call('FLUSHALL') return 1");
    cache = cache_on(redis, 1 << 20, 2000, 5000);
    neighbour = cache_on(neighbour_redis, 1 << 20, 2000, 5000);
    return 0;
}

static int tear_down(void **state)
{
    if (redis_server.pid != 0)
        kill(redis_server.pid, SIGCONT);
    cache_destroy(cache);
    cache_destroy(neighbour);
    redis_destroy(redis);
    redis_destroy(neighbour_redis);
    loop_turn(loop, 0);
    return 0;
}

/* What was to be stored by then is: nobody waits for that, but commands are carried out in their order. */
static void let_store(struct redis *by)
{
    loop_turn(loop, 0);
    redis_ask(by, "return 1");
}

static void a_neighbour_finds_in_redis_what_one_has_loaded(void **state)
{
    get(cache, "a", 7);
    let_store(redis);
    struct answer answer = get(neighbour, "a", 7);
    assert_answer(answer, CACHE_REDIS, "payload 1");
    assert_int_equal(answer.version, 7);
    assert_answer(get(neighbour, "a", 7), CACHE_MEMORY, "payload 1");
    assert_int_equal(source.started, 1);
    assert_int_equal(cache_statistics(neighbour).hits_redis, 1);
    assert_int_equal(cache_statistics(neighbour).misses, 0);
}

static void what_redis_has_of_an_older_version_is_not_fresh(void **state)
{
    get(cache, "a", 7);
    let_store(redis);
    struct answer answer = get(neighbour, "a", 8);
    assert_answer(answer, CACHE_LOADED, "payload 2");
    let_store(neighbour_redis);
    assert_answer(get(cache, "a", 8), CACHE_REDIS, "payload 2");
    get(cache, "b", 9);
    let_store(redis);
    assert_answer(get(neighbour, "b", 8), CACHE_REDIS, "payload 3"); /* newer than asked for */
}

static void what_redis_has_of_an_older_version_may_stand_in(void **state)
{
    get(cache, "a", 7);
    let_store(redis);
    source.status = STATUS_UNAVAILABLE;
    struct answer answer = get(neighbour, "a", 8);
    assert_answer(answer, CACHE_STALE, "payload 1");
    assert_true(answer.stale);
    assert_int_equal(answer.version, 7);
}

static void without_a_version_the_time_does_not_begin_anew_from_redis_to_a_worker(void **state)
{
    struct cache *quick = cache_on(redis, 1 << 20, 3000, 60000),
                 *other = cache_on(neighbour_redis, 1 << 20, 3000, 60000);
    get(quick, "a", 0);
    loop_for(1000);
    assert_answer(get(other, "a", 0), CACHE_REDIS, "payload 1");
    loop_for(2200);
    assert_null(cache_peek(other, TEXT("a"), 0)); /* 3,200 ms old, of which it was here for 2,200 */
    assert_answer(get(other, "a", 0), CACHE_LOADED, "payload 2");
    cache_destroy(quick);
    cache_destroy(other);
}

static void a_thousand_simultaneous_misses_ask_redis_once(void **state)
{
    static struct answer answers[1000];
    memset(answers, 0, sizeof(answers));
    uint64_t before = redis_statistics(redis).commands;
    for (int i = 0; i < 1000; i++)
        start(cache, "a", 1, &answers[i]);
    for (int i = 0; i < 1000; i++)
        loop_until(answers[i].answers == 1);
    loop_for(20);
    assert_int_equal(source.started, 1);
    assert_int_equal(answers[999].answers, 1);
    assert_true(redis_statistics(redis).commands - before <= 2); /* one look, one store */
}

static void a_value_in_redis_that_is_not_ours_is_a_miss(void **state)
{
    static const char *const damages[] = {
        "redis.call('SET',k,'')",
        "redis.call('SET',k,'x')",
        "redis.call('SET',k,string.rep('\\255',40))",
        "local v=redis.call('GET',k) redis.call('SET',k,string.sub(v,1,-2))",
        "local v=redis.call('GET',k) redis.call('SET',k,v..'x')",
        "redis.call('DEL',k) redis.call('RPUSH',k,'1','2')",
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        char key[16], script[256];
        snprintf(key, sizeof(key), "key %zu", i);
        redis_ask(redis, "redis.call('FLUSHALL') return 1");
        source.started = 0;
        get(cache, key, 1);
        let_store(redis);
        assert_int_equal(redis_ask(redis, REDIS_COUNT_KEYS).integer, 1);
        snprintf(script, sizeof(script), "for _,k in ipairs(redis.call('KEYS','*')) do %s end return 1", damages[i]);
        redis_ask(redis, script);
        struct answer answer = get(neighbour, key, 1);
        if (answer.source != CACHE_LOADED)
            fail_msg("damage %zu was taken for an answer: %s", i, answer.payload);
        assert_string_equal(answer.payload, "payload 2");
    }
}

static void large_and_empty_answers_go_through_redis(void **state)
{
    source.payload_size = 300000;
    get(cache, "large", 1);
    source.payload_size = SIZE_MAX;
    get(cache, "empty", 1);
    let_store(redis);
    struct answer large = get(neighbour, "large", 1), empty = get(neighbour, "empty", 1);
    assert_answer(large, CACHE_REDIS, "payload 1");
    assert_int_equal(large.size, 300000);
    assert_int_equal(empty.source, CACHE_REDIS);
    assert_int_equal(empty.size, 0);
}

static void every_key_in_redis_has_the_prefix_and_an_end(void **state)
{
    get(cache, "a", 1);
    get(cache, "b", 0);
    get(cache, "a", 2);
    let_store(redis);
    assert_true(redis_ask(redis, REDIS_COUNT_KEYS).integer >= 2);
    assert_string_equal(redis_ask(redis, REDIS_BAD_KEYS).text, "");
}

static void what_must_not_be_kept_or_failed_is_not_put_into_redis(void **state)
{
    source.keep = false;
    get(cache, "a", 1);
    source.keep = true;
    source.status = STATUS_NOT_FOUND;
    get(cache, "b", 1);
    let_store(redis);
    assert_int_equal(redis_ask(redis, REDIS_COUNT_KEYS).integer, 0);
}

static void a_redis_that_is_away_is_passed_over(void **state)
{
    redis_server_kill();
    assert_answer(get(cache, "a", 1), CACHE_LOADED, "payload 1");
    assert_answer(get(cache, "a", 1), CACHE_MEMORY, "payload 1");
    assert_answer(get(cache, "b", 1), CACHE_LOADED, "payload 2");
    redis_server_start();
    loop_until(redis_is_up(redis) && redis_is_up(neighbour_redis));
    get(cache, "c", 1);
    let_store(redis);
    assert_answer(get(neighbour, "c", 1), CACHE_REDIS, "payload 3");
}

static void a_redis_that_hangs_is_not_waited_for(void **state)
{
    struct answer first = {0}, second = {0};
    struct redis *hurried_redis = redis_connect(200);
    struct cache *hurried = cache_on(hurried_redis, 1 << 20, 2000, 5000);
    kill(redis_server.pid, SIGSTOP);
    uint64_t start_us = clock_monotonic_us();
    start(hurried, "a", 1, &first);
    start(hurried, "a", 1, &second);
    loop_until(first.answers == 1 && second.answers == 1);
    assert_in_range(clock_monotonic_us() - start_us, 0, REDIS_PATIENCE * 1000 / 2); /* its timeout is 200 ms */
    assert_answer(first, CACHE_LOADED, "payload 1");
    assert_int_equal(source.started, 1);
    cache_destroy(hurried);
    redis_destroy(hurried_redis);
}

static void who_waits_for_redis_may_leave(void **state)
{
    struct answer gone = {0}, stays = {0};
    kill(redis_server.pid, SIGSTOP);
    struct cache_wait *wait = start(cache, "a", 1, &gone);
    start(cache, "a", 1, &stays);
    loop_turn(loop, 0);
    cache_cancel(wait);
    kill(redis_server.pid, SIGCONT);
    loop_until(stays.answers == 1);
    loop_for(5);
    assert_int_equal(gone.answers, 0);
}

static void a_cache_may_end_while_redis_is_asked(void **state)
{
    struct answer answer = {0};
    kill(redis_server.pid, SIGSTOP);
    start(cache, "a", 1, &answer);
    loop_turn(loop, 0);
    cache_destroy(cache);
    size_t before = answer.answers, started = source.started;
    kill(redis_server.pid, SIGCONT);
    loop_for(30);
    assert_int_equal(answer.answers, before);
    assert_int_equal(source.started, started);
    cache = cache_on(redis, 1 << 20, 2000, 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_neighbour_finds_in_redis_what_one_has_loaded),
        TEST(what_redis_has_of_an_older_version_is_not_fresh),
        TEST(what_redis_has_of_an_older_version_may_stand_in),
        TEST(without_a_version_the_time_does_not_begin_anew_from_redis_to_a_worker),
        TEST(a_thousand_simultaneous_misses_ask_redis_once),
        TEST(a_value_in_redis_that_is_not_ours_is_a_miss),
        TEST(large_and_empty_answers_go_through_redis),
        TEST(every_key_in_redis_has_the_prefix_and_an_end),
        TEST(what_must_not_be_kept_or_failed_is_not_put_into_redis),
        TEST(a_redis_that_is_away_is_passed_over),
        TEST(a_redis_that_hangs_is_not_waited_for),
        TEST(who_waits_for_redis_may_leave),
        TEST(a_cache_may_end_while_redis_is_asked),
    };
    return cmocka_run_group_tests(tests, redis_server_set_up, redis_server_tear_down);
}
