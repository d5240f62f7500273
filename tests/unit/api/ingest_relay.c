/* A body on its way from the client to who reads it, and the answer on its way back. */
#include "tests/unit/api/ingest_side.h"

#include <errno.h>

static void a_body_with_a_length_comes_whole_and_the_answer_goes_back(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 11\r\n\r\nhello ");
    say(fd, "world");
    struct load load = load_of(fd);
    assert_body(&load, "hello world");
    assert_string_equal(hear(fd), ANSWER);
    assert_int_equal(ingest_statistics(ingest).bytes, 11);
    close(fd);
}

static void chunks_come_without_their_framing(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    int fd = client_of(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r");
    say(fd, "\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n");
    struct load load = load_of(fd);
    assert_body(&load, "hello world");
    assert_string_equal(hear(fd), ANSWER);
    close(fd);
}

static void a_client_that_waits_for_100_gets_it_at_the_first_read_only(void **state)
{
    struct ingest_options options = usual();
    struct load load = {0};
    char interim[64] = "";
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    struct ingest_connection *connection = take_handed();
    assert_int_equal(recv(fd, interim, sizeof(interim), MSG_DONTWAIT), -1);
    begin_load(&load, connection);
    assert_int_equal(recv(fd, interim, 25, MSG_WAITALL), 25);
    assert_memory_equal(interim, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    say(fd, "ab");
    TURN_UNTIL(load.done != 0);
    answer(connection, ANSWER);
    assert_body(&load, "ab");
    assert_string_equal(hear(fd), ANSWER);
    close(fd);
}

/* Sends as long as the sockets' buffers take anything; bytes. */
static size_t flood(int fd)
{
    static const char zeros[65536];
    size_t sent = 0;
    for (;;) {
        ssize_t more = send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd polled = {fd, POLLOUT, 0};
        if (more > 0)
            sent += (size_t)more;
        else if (errno != EAGAIN || poll(&polled, 1, 200) != 1)
            return sent;
    }
}

static void an_answer_before_the_body_is_heard_and_the_body_stays_unread(void **state)
{
    static const char refusal[] = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 10737418240\r\n\r\n");
    struct ingest_connection *connection = take_handed();
    assert_true(flood(fd) > 65536);
    assert_true(ingest_statistics(ingest).bytes <= HTTP_HEAD_MAX);
    answer(connection, refusal);
    assert_string_equal(hear(fd), refusal);
    close(fd);
    TURN_UNTIL(ingest_statistics(ingest).connections == 0);
    assert_true(ingest_statistics(ingest).bytes < 65536);
}

static void chunks_of_garbage_end_the_body(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    int fd = client_of(PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
    struct load load = load_of(fd);
    assert_fails(&load, STATUS_INVALID, "malformed after 5 bytes");
    assert_string_equal(hear(fd), ANSWER);
    close(fd);
}

static void a_body_of_more_than_max_body_ends(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    options.max_body = 8;
    start(&options);
    int fd = client_of(PUT "Transfer-Encoding: chunked\r\n\r\n9\r\nhello wor");
    struct load load = load_of(fd);
    assert_fails(&load, STATUS_TOO_LARGE, "more than 8 bytes");
    close(fd);
    fd = client_of(PUT "Content-Length: 9\r\n\r\n");
    load = load_of(fd);
    assert_fails(&load, STATUS_TOO_LARGE, "more than 8 bytes");
    assert_int_equal(load.body.size, 0);
    close(fd);
}

static void a_sender_under_the_floor_is_cut(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    options.min_receive_rate = 1 << 20;
    options.deadline_ms = 6000; /* a window of two seconds, long before it */
    start(&options);
    int fd = client_of(PUT "Content-Length: 1000000\r\n\r\nhello");
    struct load load = load_of(fd);
    assert_fails(&load, STATUS_TIMEOUT, "at least 1048576 are asked for");
    close(fd);
}

static void a_body_that_does_not_end_in_time_is_cut(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    options.deadline_ms = 300;
    start(&options);
    int fd = client_of(PUT "Content-Length: 1000000\r\n\r\nhello");
    struct load load = load_of(fd);
    assert_fails(&load, STATUS_TIMEOUT, "did not end within");
    close(fd);
}

static void a_client_that_leaves_in_the_middle_is_unavailable(void **state)
{
    static const char *const heads[] = {PUT "Content-Length: 10\r\n\r\nhello",
                                        PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    for (size_t i = 0; i < 2; i++) {
        int fd = client_of(heads[i]);
        close(fd);
        struct load load = load_of(fd);
        assert_fails(&load, STATUS_UNAVAILABLE, "the client left after 5");
    }
}

static void a_client_that_leaves_behind_its_body_cancels_the_task(void **state)
{
    struct ingest_options options = usual();
    struct load load = {.only_wait = true};
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 5\r\n\r\nhello");
    struct ingest_connection *connection = take_handed();
    begin_load(&load, connection);
    TURN_UNTIL(atomic_load(&load.came) == SIZE_MAX);
    close(fd);
    TURN_UNTIL(load.done != 0);
    assert_true(atomic_load(&load.task.cancelled));
    assert_body(&load, "hello");
    close_handed(connection);
}

static void a_worker_that_lets_go_ends_the_body(void **state)
{
    struct ingest_options options = usual();
    struct load load = {0};
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 10\r\n\r\nhello");
    struct ingest_connection *connection = take_handed();
    begin_load(&load, connection);
    TURN_UNTIL(atomic_load(&load.came) == 5);
    close_handed(connection);
    TURN_UNTIL(load.done != 0);
    assert_fails(&load, STATUS_UNAVAILABLE, "cancelled after 5 bytes");
    close(fd);
}

static void a_task_for_a_client_that_has_left_comes_back_unstarted(void **state)
{
    struct ingest_options options = usual();
    struct linger reset = {1, 0};
    struct load load = {0};
    (void)state;
    start(&options);
    int fd = client_of(PUT "Content-Length: 10\r\n\r\n");
    struct ingest_connection *connection = take_handed();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    TURN_UNTIL(ingest_statistics(ingest).connections == 0);
    begin_load(&load, connection);
    assert_int_equal(load.done, 0);
    TURN_UNTIL(load.done != 0);
    assert_false(load.task.started);
    assert_true(atomic_load(&load.task.cancelled));
    buffer_free(&load.body);
    close_handed(connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_body_with_a_length_comes_whole_and_the_answer_goes_back, end),
        cmocka_unit_test_teardown(chunks_come_without_their_framing, end),
        cmocka_unit_test_teardown(a_client_that_waits_for_100_gets_it_at_the_first_read_only, end),
        cmocka_unit_test_teardown(an_answer_before_the_body_is_heard_and_the_body_stays_unread, end),
        cmocka_unit_test_teardown(chunks_of_garbage_end_the_body, end),
        cmocka_unit_test_teardown(a_body_of_more_than_max_body_ends, end),
        cmocka_unit_test_teardown(a_sender_under_the_floor_is_cut, end),
        cmocka_unit_test_teardown(a_body_that_does_not_end_in_time_is_cut, end),
        cmocka_unit_test_teardown(a_client_that_leaves_in_the_middle_is_unavailable, end),
        cmocka_unit_test_teardown(a_client_that_leaves_behind_its_body_cancels_the_task, end),
        cmocka_unit_test_teardown(a_worker_that_lets_go_ends_the_body, end),
        cmocka_unit_test_teardown(a_task_for_a_client_that_has_left_comes_back_unstarted, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
