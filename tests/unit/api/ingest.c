/* Heads, connections, drains, and who calls. */
#include "tests/unit/api/ingest_side.h"

#include "api/config_read.h"

static struct config_network network;
static struct config_networks networks = {&network, 1};

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
        cmocka_unit_test_teardown(a_head_that_is_ambiguous_is_refused_and_no_worker_sees_it, end),
        cmocka_unit_test_teardown(a_head_of_more_than_32_KB_is_431, end),
        cmocka_unit_test_teardown(a_head_that_does_not_end_in_time_ends_the_connection, end),
        cmocka_unit_test_teardown(past_its_connections_the_listener_waits, end),
        cmocka_unit_test_teardown(a_drain_finishes_what_runs_and_takes_nothing_new, end),
        cmocka_unit_test_teardown(a_drain_that_takes_too_long_cancels_and_cuts, end),
        cmocka_unit_test_teardown(a_proxy_line_tells_who_calls_and_only_a_trusted_one_may, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
