/* Both sides of an ingest listener: clients that write heads and bodies, and what plays the worker that gets
 * connections and runs loads. */
#ifndef SLUICE_TESTS_INGEST_SIDE_H
#define SLUICE_TESTS_INGEST_SIDE_H

#include <arpa/inet.h>
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

#include "api/ingest_private.h"
#include "base/clock.h"
#include "tests/unit/drivers/free_port.h"

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

static inline bool hand_over(void *context, struct ingest_connection *connection)
{
    (void)context;
    atomic_fetch_add(&held, 1);
    return write(handed[1], &connection, sizeof(struct ingest_connection *)) > 0;
}

static inline void let_go(struct ingest_connection *connection)
{
    (void)connection;
    atomic_fetch_sub(&held, 1);
}

static inline struct ingest_options usual(void)
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

static inline void start(const struct ingest_options *options)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&address.address;
    struct failure failure = {0};
    *in = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(free_port())};
    address.size = sizeof(*in);
    address.text = "127.0.0.1";
    assert_int_equal(pipe(handed), 0);
    loop = loop_create();
    assert_int_equal(ingest_open(options, &ingest, &failure), STATUS_OK);
    assert_int_equal(ingest_start(ingest, &failure), STATUS_OK);
}

static inline int end(void **state)
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

static inline int client(void)
{
    struct timeval patience = {20, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address.address, address.size), 0);
    return fd;
}

static inline void say(int fd, const char *words)
{
    assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

static inline int client_of(const char *words)
{
    int fd = client();
    say(fd, words);
    return fd;
}

/* All until the other side closes. */
static inline const char *hear(int fd)
{
    static char heard[8192];
    size_t size = 0;
    ssize_t got;
    while ((got = recv(fd, heard + size, sizeof(heard) - 1 - size, 0)) > 0)
        size += (size_t)got;
    heard[size] = '\0';
    return heard;
}

static inline struct ingest_connection *take_handed(void)
{
    struct ingest_connection *connection;
    struct pollfd polled = {handed[0], POLLIN, 0};
    assert_int_equal(poll(&polled, 1, 20000), 1);
    assert_int_equal(read(handed[0], &connection, sizeof(struct ingest_connection *)), sizeof(connection));
    return connection;
}

/* As the worker's socket is closed. */
static inline void close_handed(struct ingest_connection *connection)
{
    close(connection->worker_fd);
    ingest_unref(connection);
}

static inline void answer(struct ingest_connection *connection, const char *words)
{
    assert_int_equal(send(connection->worker_fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
    close_handed(connection);
}

static inline void run_load(struct task *task)
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

static inline void on_done(struct task *task)
{
    ((struct load *)task)->done++;
}

static inline void begin_load(struct load *load, struct ingest_connection *connection)
{
    buffer_init(&load->body, 1 << 22);
    load->task = (struct task){.loop = loop, .run = run_load, .done = on_done};
    load->connection = connection;
    ingest_run(connection, &load->task);
}

/* Reads the whole body of what the client sent, and answers. */
static inline struct load load_of(int fd)
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

static inline void assert_body(struct load *load, const char *expected)
{
    assert_int_equal(load->status, STATUS_OK);
    assert_string_equal(buffer_c_string(&load->body) != NULL ? load->body.data : "", expected);
    buffer_free(&load->body);
}

static inline void assert_fails(struct load *load, enum status status, const char *words)
{
    assert_int_equal(load->status, status);
    assert_int_equal(load->verdict, status);
    if (strstr(load->failure.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", load->failure.message, words);
    buffer_free(&load->body);
}

#endif
