#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "drivers/redis.h"

#include "servers.h"

static struct server server;
static struct loop *loop; /* for the life of the process */

#define TURN_UNTIL(condition, limit_ms)                                                                                \
    for (uint64_t end_us = clock_monotonic_us() + (limit_ms) * (uint64_t)1000; !(condition); loop_turn(loop, 5))       \
        if (clock_monotonic_us() > end_us)                                                                             \
    fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, (int)(limit_ms), #condition)

struct answer {
    int times;
    unsigned order;
    bool lost;
    enum redis_type type;
    int64_t integer;
    char text[128];
    size_t count;
};
static unsigned answered;

static void on_answer(void *context, const struct redis_reply *reply)
{
    struct answer *answer = context;
    answer->times++;
    answer->order = ++answered;
    answer->lost = reply == NULL;
    if (reply == NULL)
        return;
    answer->type = reply->type;
    answer->integer = reply->integer;
    answer->count = reply->count;
    snprintf(answer->text, sizeof(answer->text), "%.*s", (int)reply->text.size,
             reply->text.data != NULL ? reply->text.data : "");
}

static char address[32];

static struct redis *open_redis(uint32_t timeout_ms, size_t queue)
{
    struct redis_options options = {.address = address, .timeout_ms = timeout_ms, .queue = queue};
    struct redis *redis = NULL;
    struct failure failure;
    snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
    assert_int_equal(redis_create(loop, &options, &redis, &failure), STATUS_OK);
    memset(address, 'x', sizeof(address)); /* options are copied */
    assert_false(redis_is_up(redis));
    TURN_UNTIL(redis_is_up(redis), 20000);
    return redis;
}

static enum status send_words(struct redis *redis, struct answer *answer, const char *a, const char *b, const char *c)
{
    const struct text words[] = {text_from_string(a), text_from_string(b), text_from_string(c)};
    return redis_send(redis, b == NULL ? 1 : c == NULL ? 2 : 3, words, on_answer, answer);
}

static void commands_of_a_turn_leave_together_and_are_answered_in_order(void **state)
{
    struct redis *redis = open_redis(10000, 1000);
    struct answer answers[500] = {0};
    uint64_t round_trips = redis_statistics(redis).round_trips;
    answered = 0;
    for (int i = 0; i < 500; i++)
        assert_int_equal(send_words(redis, &answers[i], "INCR", "pipelined", NULL), STATUS_OK);
    TURN_UNTIL(answered == 500, 10000);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(answers[i].order, i + 1);
        assert_int_equal(answers[i].integer, i + 1);
    }
    assert_int_equal(redis_statistics(redis).round_trips - round_trips, 1);
    redis_destroy(redis);
}

static void replies_keep_their_types(void **state)
{
    struct redis *redis = open_redis(10000, 10);
    struct answer set = {0}, get = {0}, missing = {0}, list = {0}, wrong = {0};
    answered = 0;
    assert_int_equal(send_words(redis, &set, "SET", "key", "value"), STATUS_OK);
    assert_int_equal(send_words(redis, &get, "GET", "key", NULL), STATUS_OK);
    assert_int_equal(send_words(redis, &missing, "GET", "nothing", NULL), STATUS_OK);
    assert_int_equal(send_words(redis, &list, "MGET", "key", "nothing"), STATUS_OK);
    assert_int_equal(send_words(redis, &wrong, "INCR", "key", NULL), STATUS_OK);
    TURN_UNTIL(answered == 5, 10000);
    assert_int_equal(set.type, REDIS_STATUS);
    assert_string_equal(set.text, "OK");
    assert_int_equal(get.type, REDIS_TEXT);
    assert_string_equal(get.text, "value");
    assert_int_equal(missing.type, REDIS_NIL);
    assert_int_equal(list.type, REDIS_ARRAY);
    assert_int_equal(list.count, 2);
    assert_int_equal(wrong.type, REDIS_ERROR);
    assert_int_equal(redis_send(redis, 1, &TEXT("PING"), NULL, NULL), STATUS_OK); /* don't care */
    redis_destroy(redis);
}

static void a_full_queue_is_busy(void **state)
{
    struct redis *redis = open_redis(10000, 3);
    struct answer answers[4] = {0};
    answered = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_words(redis, &answers[i], "PING", NULL, NULL), i < 3 ? STATUS_OK : STATUS_BUSY);
    TURN_UNTIL(answered == 3, 10000);
    assert_int_equal(send_words(redis, &answers[3], "PING", NULL, NULL), STATUS_OK);
    TURN_UNTIL(answered == 4, 10000);
    redis_destroy(redis);
}

static void a_script_unknown_to_the_server_is_sent_whole(void **state)
{
    struct redis *redis = open_redis(10000, 100);
    struct redis_script script;
    redis_script_init(&script, "return {KEYS[1], ARGV[1], 7}");
    for (int round = 0; round < 2; round++) {
        struct answer flush = {0}, answers[20] = {0};
        answered = 0;
        assert_int_equal(send_words(redis, &flush, "SCRIPT", "FLUSH", NULL), STATUS_OK);
        for (int i = 0; i < 20; i++)
            assert_int_equal(redis_run(redis, &script, 1, &TEXT("key"), 1, &TEXT("argument"), on_answer, &answers[i]),
                             STATUS_OK);
        TURN_UNTIL(answered == 21, 10000);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(answers[i].times, 1);
            assert_int_equal(answers[i].type, REDIS_ARRAY);
            assert_int_equal(answers[i].count, 3);
        }
    }
    redis_destroy(redis);
}

static void a_refused_login_is_never_up(void **state)
{
    struct server locked = {0};
    char place[32];
    struct redis *redis = NULL;
    struct failure failure;
    struct answer answer = {0};
    redis_server_start(&locked, "right");
    snprintf(place, sizeof(place), "127.0.0.1:%u", locked.port);
    struct redis_options options = {.address = place, .password = "wrong", .timeout_ms = 500, .queue = 10};
    assert_int_equal(redis_create(loop, &options, &redis, &failure), STATUS_OK);
    TURN_UNTIL(redis_statistics(redis).reconnects >= 3, 20000);
    assert_false(redis_is_up(redis));
    assert_int_equal(send_words(redis, &answer, "PING", NULL, NULL), STATUS_UNAVAILABLE);
    redis_destroy(redis);
    options.password = "right";
    options.database = 3;
    assert_int_equal(redis_create(loop, &options, &redis, &failure), STATUS_OK);
    TURN_UNTIL(redis_is_up(redis), 20000);
    redis_destroy(redis);
    redis_server_stop(&locked);
    assert_int_equal(answer.times, 0);
}

static void a_name_is_no_address(void **state)
{
    static const char *const wrong[] = {
        "localhost:6379",  "127.0.0.1", "127.0.0.1:", "127.0.0.1:0",  "[::1:6379", "127.0.0.1:x",
        "127.0.0.1:70000", ":6379",     "",           "unix:relative"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct redis_options options = {.address = wrong[i], .timeout_ms = 100, .queue = 1};
        struct redis *redis = NULL;
        struct failure failure;
        if (redis_create(loop, &options, &redis, &failure) != STATUS_INVALID)
            fail_msg("%s passed", wrong[i]);
        assert_non_null(strstr(failure.message, "redis.address"));
    }
}

/* More than the socket takes, so that hiredis has bytes left over: the loop must wait for room, not spin. */
static void a_stopped_server_costs_its_timeout_and_no_processor(void **state)
{
    struct redis *redis = open_redis(1000, 100);
    static char large[1 << 20];
    struct answer answers[40] = {0};
    struct timespec before, after;
    int turns = 0;
    memset(large, 'x', sizeof(large));
    const struct text words[] = {TEXT("SET"), TEXT("large"), text_of(large, sizeof(large))};
    kill(server.pid, SIGSTOP);
    answered = 0;
    for (int i = 0; i < 40; i++)
        assert_int_equal(redis_send(redis, 3, words, on_answer, &answers[i]), STATUS_OK);
    loop_turn(loop, 1);
    uint64_t begin = clock_monotonic_us();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (; answered < 40 && clock_monotonic_us() - begin < 50000000; turns++)
        loop_turn(loop, 50);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    uint64_t took = clock_monotonic_us() - begin;
    kill(server.pid, SIGCONT);
    assert_int_equal(answered, 40);
    for (int i = 0; i < 40; i++)
        assert_true(answers[i].lost && answers[i].times == 1);
    assert_true(took < 10000000); /* one for all of them; one each would be 40 s */
    assert_true(turns < 100);     /* of 50 ms each, if none spins */
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 500);
    TURN_UNTIL(redis_is_up(redis), 20000);
    redis_destroy(redis);
}

static struct redis *again;
static enum status again_status;
static void send_again(void *context, const struct redis_reply *reply)
{
    on_answer(context, reply);
    again_status = send_words(again, context, "PING", NULL, NULL);
}

static void a_killed_server_loses_what_was_in_flight_and_is_found_again(void **state)
{
    struct redis *redis = again = open_redis(30000, 100); /* the loss tells them, not the time-out */
    struct answer answers[50] = {0}, refused = {0}, back = {0};
    const struct text block[] = {TEXT("BLPOP"), TEXT("nothing"), TEXT("0")};
    answered = 0;
    for (int i = 0; i < 50; i++)
        assert_int_equal(redis_send(redis, 3, block, i == 49 ? send_again : on_answer, &answers[i]), STATUS_OK);
    loop_turn(loop, 1);
    server_kill(&server, SIGKILL);
    TURN_UNTIL(answered == 50, 10000);
    assert_int_equal(again_status, STATUS_UNAVAILABLE);
    assert_false(redis_is_up(redis));
    assert_int_equal(send_words(redis, &refused, "PING", NULL, NULL), STATUS_UNAVAILABLE);
    for (int i = 0; i < 50; i++)
        assert_true(answers[i].lost && answers[i].times == 1);
    redis_server_run(&server, NULL);
    TURN_UNTIL(redis_is_up(redis), 5000); /* what the issue promises */
    assert_int_equal(send_words(redis, &back, "PING", NULL, NULL), STATUS_OK);
    TURN_UNTIL(back.times, 10000);
    assert_string_equal(back.text, "PONG");
    assert_int_equal(refused.times, 0);
    redis_destroy(redis);
}

static void destroying_answers_every_command_once(void **state)
{
    for (int turns = 0; turns < 8; turns++) {
        struct redis *redis = open_redis(10000, 100);
        struct redis_script script;
        char text[64];
        struct answer answers[40] = {0};
        snprintf(text, sizeof(text), "return %d", turns); /* unknown to the server */
        redis_script_init(&script, text);
        for (int i = 0; i < 40; i++)
            assert_int_equal(i % 2 ? send_words(redis, &answers[i], "INCR", "some", NULL)
                                   : redis_run(redis, &script, 0, NULL, 0, NULL, on_answer, &answers[i]),
                             STATUS_OK);
        for (int i = 0; i < turns; i++)
            loop_turn(loop, 0);
        redis_destroy(redis);
        for (int i = 0; i < 40; i++)
            assert_int_equal(answers[i].times, 1);
        loop_turn(loop, 5);
    }
    struct redis_options options = {.address = "127.0.0.1:1", .timeout_ms = 100, .queue = 1};
    struct redis *never = NULL;
    struct failure failure;
    for (int turns = 0; turns < 4; turns++) {
        assert_int_equal(redis_create(loop, &options, &never, &failure), STATUS_OK);
        for (int i = 0; i < turns; i++)
            loop_turn(loop, 2);
        redis_destroy(never);
    }
    loop_turn(loop, 5);
}

static int setup(void **state)
{
    redis_server_start(&server, NULL);
    loop = loop_create();
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    redis_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_a_turn_leave_together_and_are_answered_in_order),
        cmocka_unit_test(replies_keep_their_types),
        cmocka_unit_test(a_full_queue_is_busy),
        cmocka_unit_test(a_script_unknown_to_the_server_is_sent_whole),
        cmocka_unit_test(a_refused_login_is_never_up),
        cmocka_unit_test(a_name_is_no_address),
        cmocka_unit_test(a_stopped_server_costs_its_timeout_and_no_processor),
        cmocka_unit_test(a_killed_server_loses_what_was_in_flight_and_is_found_again),
        cmocka_unit_test(destroying_answers_every_command_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
