#include "api/ingest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/config_read.h"
#include "api/ingest_private.h"
#include "base/clock.h"

#define WAIT_US 20000000
#define PUT "PUT /v1/uploads/x HTTP/1.1\r\nHost: lake\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
#define TURN_UNTIL(condition)                                                                                          \
    for (uint64_t end_us = clock_monotonic_us() + WAIT_US; !(condition); loop_turn(loop, 5))                           \
        if (clock_monotonic_us() > end_us)                                                                             \
    fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition)

static struct ingest *ingest;
static struct loop *loop;
static struct config_address address;
static struct config_network network;
static struct config_networks networks = {&network, 1};
static int handed[2];   /* a pipe: connections as the "worker" gets them */
static atomic_int held; /* handed over and not let go */

/* What a test's task does with the body. */
struct load {
    struct task task;
    struct ingest_connection *connection;
    bool only_wait; /* reads the whole, then runs until it is told to end */
    struct buffer body;
    enum status status, verdict; /* the source's; the connection's */
    struct failure failure;
    atomic_size_t came; /* bytes so far; SIZE_MAX: it waits */
    int done;
};

static bool hand_over(void *context, struct ingest_connection *connection)
{
    (void)context;
    atomic_fetch_add(&held, 1);
    return write(handed[1], &connection, sizeof(struct ingest_connection *)) > 0;
}

static void let_go(struct ingest_connection *connection)
{
    (void)connection;
    atomic_fetch_sub(&held, 1);
}

static uint16_t free_port(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    close(fd);
    return any.sin_port;
}

static struct ingest_options usual(void)
{
    return (struct ingest_options){.address = &address,
                                   .connections = 8,
                                   .max_body = 1 << 20,
                                   .head_timeout_ms = 10000,
                                   .deadline_ms = 60000,
                                   .drain_timeout_ms = 10000,
                                   .hand_over = hand_over,
                                   .let_go = let_go};
}

static void start(const struct ingest_options *options)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&address.address;
    struct failure failure = {0};
    *in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = free_port()};
    address.size = sizeof(*in);
    address.text = "127.0.0.1";
    assert_int_equal(pipe(handed), 0);
    loop = loop_create();
    assert_int_equal(ingest_open(options, &ingest, &failure), STATUS_OK);
    assert_int_equal(ingest_start(ingest, &failure), STATUS_OK);
}

static int end(void **state)
{
    (void)state;
    ingest_destroy(ingest);
    ingest = NULL;
    assert_int_equal(atomic_load(&held), 0);
    close(handed[0]);
    close(handed[1]);
    loop_deliver(loop);
    loop_destroy(loop);
    return 0;
}

static int client(void)
{
    struct timeval patience = {20, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address.address, address.size), 0);
    return fd;
}

static void say(int fd, const char *words)
{
    assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

static int client_of(const char *words)
{
    int fd = client();
    say(fd, words);
    return fd;
}

/* All until the other side closes. */
static const char *hear(int fd)
{
    static char heard[8192];
    size_t size = 0;
    ssize_t got;
    while ((got = recv(fd, heard + size, sizeof(heard) - 1 - size, 0)) > 0)
        size += (size_t)got;
    heard[size] = '\0';
    return heard;
}

static struct ingest_connection *take_handed(void)
{
    struct ingest_connection *connection;
    struct pollfd polled = {handed[0], POLLIN, 0};
    assert_int_equal(poll(&polled, 1, 20000), 1);
    assert_int_equal(read(handed[0], &connection, sizeof(struct ingest_connection *)), sizeof(connection));
    return connection;
}

/* As the worker's socket is closed. */
static void close_handed(struct ingest_connection *connection)
{
    close(connection->worker_fd);
    ingest_unref(connection);
}

static void answer(struct ingest_connection *connection, const char *words)
{
    assert_int_equal(send(connection->worker_fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
    close_handed(connection);
}

static void run_load(struct task *task)
{
    struct load *load = (struct load *)task;
    struct body_source source = ingest_source(load->connection);
    char piece[777];
    size_t got = 1;
    while (load->status == STATUS_OK && got != 0) {
        load->status = source.read(source.context, piece, sizeof(piece), &got, &load->failure);
        buffer_append(&load->body, piece, load->status == STATUS_OK ? got : 0);
        atomic_store(&load->came, load->body.size);
    }
    const char *words;
    load->verdict = ingest_body_status(load->connection, &words);
    if (load->only_wait)
        atomic_store(&load->came, SIZE_MAX);
    while (load->only_wait && !atomic_load(&task->cancelled))
        poll(NULL, 0, 1);
}

static void on_done(struct task *task)
{
    ((struct load *)task)->done++;
}

static void begin_load(struct load *load, struct ingest_connection *connection)
{
    buffer_init(&load->body, 1 << 22);
    load->task = (struct task){.loop = loop, .run = run_load, .done = on_done};
    load->connection = connection;
    ingest_run(connection, &load->task);
}

/* Reads the whole body of what the client sent, and answers. */
static struct load load_of(int fd)
{
    struct load load = {0};
    struct ingest_connection *connection = take_handed();
    begin_load(&load, connection);
    TURN_UNTIL(load.done != 0);
    assert_true(load.task.started);
    answer(connection, ANSWER);
    (void)fd;
    return load;
}

static void assert_body(struct load *load, const char *expected)
{
    assert_int_equal(load->status, STATUS_OK);
    assert_string_equal(buffer_c_string(&load->body) != NULL ? load->body.data : "", expected);
    buffer_free(&load->body);
}

static void assert_fails(struct load *load, enum status status, const char *words)
{
    assert_int_equal(load->status, status);
    assert_int_equal(load->verdict, status);
    if (strstr(load->failure.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", load->failure.message, words);
    buffer_free(&load->body);
}

static const char *forwarded(char *head)
{
    static struct http_head parsed;
    static struct buffer out;
    const char *reason;
    assert_int_equal(http_head_parse(head, strlen(head), &parsed, &reason), HTTP_HEAD_COMPLETE);
    buffer_free(&out);
    buffer_init(&out, 65536);
    ingest_write_head(&parsed, &out);
    return buffer_c_string(&out);
}

static void a_head_goes_on_without_framing_and_without_what_is_for_this_hop(void **state)
{
    char head[] = "PUT /v1/x?a=b HTTP/1.1\r\nHost: lake\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
                  "Connection: close, X-Secret, host\r\nX-Secret: 1\r\nTE: trailers\r\nContent-Type: text/csv\r\n\r\n";
    (void)state;
    assert_string_equal(forwarded(head), "PUT /v1/x?a=b HTTP/1.1\r\nhost: lake\r\ncontent-type: text/csv\r\n"
                                         "connection: close\r\n\r\n");
}

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

static void a_head_that_is_ambiguous_is_refused_and_no_worker_sees_it(void **state)
{
    static const char *const heads[] = {PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
                                        PUT "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                                        PUT "X: a\r\n folded\r\n\r\n",
                                        "PUT / HTTP/1.1\r\n\r\n",
                                        "PUT /\n\n",
                                        PUT "Expect: 200-ok\r\n\r\n"};
    struct ingest_options options = usual();
    (void)state;
    start(&options);
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        int fd = client_of(heads[i]);
        const char *heard = hear(fd);
        assert_memory_equal(heard, "HTTP/1.1 400 Bad Request\r\n", 26);
        assert_non_null(strstr(heard, "urn:sluice:problem:bad-request"));
        close(fd);
    }
    assert_int_equal(ingest_statistics(ingest).refused, sizeof(heads) / sizeof(heads[0]));
}

static void a_head_of_more_than_32_KB_is_431(void **state)
{
    struct ingest_options options = usual();
    static char long_head[HTTP_HEAD_MAX + 64];
    (void)state;
    start(&options);
    memset(long_head, 'a', sizeof(long_head) - 1);
    memcpy(long_head, PUT "X: ", sizeof(PUT "X: ") - 1);
    int fd = client_of(long_head);
    assert_memory_equal(hear(fd), "HTTP/1.1 431 ", 13);
    close(fd);
}

static void a_head_that_does_not_end_in_time_ends_the_connection(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    options.head_timeout_ms = 100;
    start(&options);
    int fd = client_of(PUT);
    assert_string_equal(hear(fd), "");
    close(fd);
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
    options.deadline_ms = 600; /* a window of 200 ms */
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

static void past_its_connections_the_listener_waits(void **state)
{
    struct ingest_options options = usual();
    int fds[5];
    (void)state;
    options.connections = 3;
    start(&options);
    for (int i = 0; i < 5; i++) {
        char head[64];
        snprintf(head, sizeof(head), "PUT /%d HTTP/1.1\r\nHost: lake\r\n\r\n", i);
        fds[i] = client_of(head);
    }
    for (size_t i = 0; i < 5; i++) {
        struct ingest_connection *connection = take_handed();
        int fd = fds[connection->head.target.data[1] - '0'];
        assert_true(ingest_statistics(ingest).connections <= 3);
        answer(connection, ANSWER);
        assert_string_equal(hear(fd), ANSWER);
        close(fd);
    }
    assert_int_equal(ingest_statistics(ingest).accepted, 5);
}

static void a_drain_finishes_what_runs_and_takes_nothing_new(void **state)
{
    struct ingest_options options = usual();
    struct load load = {0};
    (void)state;
    start(&options);
    int idle = client();
    int fd = client_of(PUT "Content-Length: 10\r\n\r\nhello");
    struct ingest_connection *connection = take_handed();
    begin_load(&load, connection);
    ingest_stop(ingest);
    assert_string_equal(hear(idle), "");
    say(fd, "world");
    TURN_UNTIL(load.done != 0);
    answer(connection, ANSWER);
    assert_string_equal(hear(fd), ANSWER);
    assert_body(&load, "helloworld");
    close(fd);
    close(idle);
}

static void a_drain_that_takes_too_long_cancels_and_cuts(void **state)
{
    struct ingest_options options = usual();
    struct load load = {.only_wait = true};
    (void)state;
    options.drain_timeout_ms = 100;
    start(&options);
    int fd = client_of(PUT "Content-Length: 5\r\n\r\nhello");
    struct ingest_connection *connection = take_handed();
    begin_load(&load, connection);
    TURN_UNTIL(atomic_load(&load.came) == SIZE_MAX);
    ingest_stop(ingest);
    TURN_UNTIL(load.done != 0);
    assert_true(atomic_load(&load.task.cancelled));
    answer(connection, ANSWER); /* it still goes out */
    assert_string_equal(hear(fd), ANSWER);
    assert_body(&load, "hello");
    close(fd);
}

static void a_proxy_line_tells_who_calls_and_only_a_trusted_one_may(void **state)
{
    struct ingest_options options = usual();
    (void)state;
    assert_true(config_parse_network(TEXT("127.0.0.1/32"), &network));
    options.proxies = &networks;
    start(&options);
    int fd = client_of("PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n" PUT "\r\n");
    struct ingest_connection *connection = take_handed();
    const struct sockaddr_in *peer = (const struct sockaddr_in *)ingest_peer(connection);
    assert_int_equal(ntohl(peer->sin_addr.s_addr), 0xC0000207);
    assert_int_equal(ntohs(peer->sin_port), 4711);
    assert_false(ingest_has_body(connection));
    answer(connection, ANSWER);
    assert_string_equal(hear(fd), ANSWER);
    close(fd);
    static const char *const wrong[] = {PUT "\r\n", "PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n" PUT "\r\n",
                                        "PROXY TCP4 192.0.2.777 192.0.2.1 4711 443\r\n" PUT "\r\n"};
    for (size_t i = 0; i < 3; i++) {
        fd = client_of(wrong[i]);
        assert_string_equal(hear(fd), "");
        close(fd);
    }
    end(NULL);
    assert_true(config_parse_network(TEXT("10.0.0.0/8"), &network));
    start(&options);
    fd = client_of("PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n" PUT "\r\n");
    assert_string_equal(hear(fd), "");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_goes_on_without_framing_and_without_what_is_for_this_hop),
        cmocka_unit_test_teardown(a_body_with_a_length_comes_whole_and_the_answer_goes_back, end),
        cmocka_unit_test_teardown(chunks_come_without_their_framing, end),
        cmocka_unit_test_teardown(a_client_that_waits_for_100_gets_it_at_the_first_read_only, end),
        cmocka_unit_test_teardown(an_answer_before_the_body_is_heard_and_the_body_stays_unread, end),
        cmocka_unit_test_teardown(a_head_that_is_ambiguous_is_refused_and_no_worker_sees_it, end),
        cmocka_unit_test_teardown(a_head_of_more_than_32_KB_is_431, end),
        cmocka_unit_test_teardown(a_head_that_does_not_end_in_time_ends_the_connection, end),
        cmocka_unit_test_teardown(chunks_of_garbage_end_the_body, end),
        cmocka_unit_test_teardown(a_body_of_more_than_max_body_ends, end),
        cmocka_unit_test_teardown(a_sender_under_the_floor_is_cut, end),
        cmocka_unit_test_teardown(a_body_that_does_not_end_in_time_is_cut, end),
        cmocka_unit_test_teardown(a_client_that_leaves_in_the_middle_is_unavailable, end),
        cmocka_unit_test_teardown(a_client_that_leaves_behind_its_body_cancels_the_task, end),
        cmocka_unit_test_teardown(a_worker_that_lets_go_ends_the_body, end),
        cmocka_unit_test_teardown(a_task_for_a_client_that_has_left_comes_back_unstarted, end),
        cmocka_unit_test_teardown(past_its_connections_the_listener_waits, end),
        cmocka_unit_test_teardown(a_drain_finishes_what_runs_and_takes_nothing_new, end),
        cmocka_unit_test_teardown(a_drain_that_takes_too_long_cancels_and_cuts, end),
        cmocka_unit_test_teardown(a_proxy_line_tells_who_calls_and_only_a_trusted_one_may, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
