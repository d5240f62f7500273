#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ingest_private.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/random.h"

#define REFUSAL_CEILING 8192
#define FORWARD_CEILING (2 * HTTP_HEAD_MAX)

static const char *reason_phrase(int status)
{
    return status == 400   ? "Bad Request"
           : status == 431 ? "Request Header Fields Too Large"
           : status == 503 ? "Service Unavailable"
                           : "Refused";
}

/* What no worker gets to see. The target may be anything: it is not told back. */
static PRINTF_LIKE(3, 4) void refuse(struct ingest_connection *connection, enum problem problem, const char *format,
                                     ...)
{
    char detail[256], id[REQUEST_ID_SIZE + 1];
    unsigned char random[REQUEST_ID_SIZE / 2];
    struct buffer body, answer;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    random_bytes(random, sizeof(random));
    encoding_hex(random, sizeof(random), id);
    buffer_init(&body, REFUSAL_CEILING);
    buffer_init(&answer, REFUSAL_CEILING);
    problem_append(&body, problem, text_from_string(detail), TEXT(""), text_of(id, REQUEST_ID_SIZE), NULL);
    buffer_printf(&answer,
                  "HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %zu\r\n"
                  "cache-control: no-store\r\nx-request-id: %.*s\r\nconnection: close\r\n\r\n",
                  problem_status(problem), reason_phrase(problem_status(problem)), body.size, REQUEST_ID_SIZE, id);
    buffer_append_text(&answer, buffer_text(&body));
    atomic_fetch_add_explicit(&connection->ingest->refused, 1, memory_order_relaxed);
    if (!answer.failed && !body.failed &&
        ingest_send(connection, answer.data, answer.size,
                    clock_monotonic_us() + (uint64_t)connection->ingest->options.head_timeout_ms * 1000))
        ingest_hang_up(connection);
    buffer_free(&body);
    buffer_free(&answer);
}

/* False: answered, or there is nobody to answer. */
static bool judge_head(struct ingest_connection *connection, enum http_head_verdict verdict, const char *reason)
{
    struct http_head *head = &connection->head;
    switch (verdict) {
    case HTTP_HEAD_COMPLETE:
        connection->used = head->size;
        connection->taken = connection->size - head->size;
        atomic_fetch_add_explicit(&connection->ingest->bytes, connection->taken, memory_order_relaxed);
        return true;
    case HTTP_HEAD_TOO_LARGE:
        refuse(connection, PROBLEM_TOO_MANY_HEADERS, "%s; send fewer or shorter headers", reason);
        return false;
    case HTTP_HEAD_EXPECTATION:
        refuse(connection, PROBLEM_BAD_REQUEST, "%s; send Expect: 100-continue, or no Expect", reason);
        return false;
    default:
        refuse(connection, PROBLEM_BAD_REQUEST, "%s (RFC 9112)", reason);
        return false;
    }
}

static bool read_head(struct ingest_connection *connection, uint64_t due_us)
{
    const char *reason = "";
    for (;;) {
        char *at = connection->bytes + connection->size;
        ssize_t got = ingest_receive(connection, at, HTTP_HEAD_MAX - connection->size);
        if (got > 0) {
            connection->size += (size_t)got;
            /* A head ends with a line: no need to look through it again for a piece of one. */
            enum http_head_verdict verdict =
                memchr(at, '\n', (size_t)got) != NULL || connection->size == HTTP_HEAD_MAX
                    ? http_head_parse(connection->bytes, connection->size, &connection->head, &reason)
                    : HTTP_HEAD_MORE;
            if (verdict != HTTP_HEAD_MORE)
                return judge_head(connection, verdict, reason);
            continue;
        }
        int left_ms = ingest_until(due_us, 1000);
        if (got != INGEST_AGAIN || left_ms == 0 || ingest_is_stopping(connection->ingest)) {
            if (connection->size != 0)
                atomic_fetch_add_explicit(&connection->ingest->refused, 1, memory_order_relaxed);
            return false;
        }
        ingest_poll(connection, connection->wants, 0, left_ms);
    }
}

/* The head lies in the pair before the worker hears of it: it fits, as a pair's buffer holds more than a head. */
static bool write_head(struct ingest_connection *connection)
{
    struct buffer forwarded;
    buffer_init(&forwarded, FORWARD_CEILING);
    ingest_write_head(&connection->head, &forwarded);
    bool written = !forwarded.failed && send(connection->pair, forwarded.data, forwarded.size,
                                             MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)forwarded.size;
    buffer_free(&forwarded);
    return written;
}

/* False: no worker will answer. */
static bool pass_on(struct ingest_connection *connection)
{
    struct ingest *ingest = connection->ingest;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return false;
    connection->pair = pair[0];
    connection->worker_fd = pair[1];
    bool passed = write_head(connection);
    if (passed) {
        pthread_mutex_lock(&ingest->lock);
        atomic_fetch_add(&connection->references, 1);
        passed = !ingest->stopping && ingest->options.hand_over(ingest->options.context, connection);
        connection->attended = passed;
        if (!passed)
            atomic_fetch_sub(&connection->references, 1);
        pthread_mutex_unlock(&ingest->lock);
    }
    if (!passed)
        close(pair[1]);
    return passed;
}

static struct task *current_task(struct ingest_connection *connection)
{
    pthread_mutex_lock(&connection->ingest->lock);
    struct task *task = connection->task;
    pthread_mutex_unlock(&connection->ingest->lock);
    return task;
}

/* Nobody else looks at the task afterwards. `last`: no other one is taken. */
static void finish_task(struct ingest_connection *connection, bool last)
{
    pthread_mutex_lock(&connection->ingest->lock);
    struct task *task = connection->task;
    connection->task = NULL;
    connection->watched = false;
    if (last)
        connection->attended = false;
    pthread_mutex_unlock(&connection->ingest->lock);
    if (task == NULL)
        return;
    if (!task->started)
        atomic_store(&task->cancelled, true);
    tasks_give_back(task);
}

/* While the worker decides nothing is read from the client; only that it is gone altogether is seen. */
static void attend(struct ingest_connection *connection)
{
    for (;;) {
        struct task *task = current_task(connection);
        if (task != NULL) {
            task->started = true;
            if (!atomic_load(&task->cancelled))
                task->run(task);
            finish_task(connection, false);
        }
        unsigned events = ingest_poll(connection, 0, POLLIN | POLLRDHUP, -1);
        if ((events & INGEST_PAIR) != 0) {
            ingest_relay(connection);
            ingest_hang_up(connection);
            return;
        }
        if ((events & INGEST_CLIENT) != 0)
            return;
    }
}

void ingest_serve(struct ingest_connection *connection)
{
    uint64_t due_us = connection->started_us + (uint64_t)connection->ingest->options.head_timeout_ms * 1000;
    if (ingest_greet(connection, due_us) && read_head(connection, due_us)) {
        if (pass_on(connection)) {
            attend(connection);
            finish_task(connection, true);
            connection->ingest->options.let_go(connection);
        } else {
            refuse(connection, PROBLEM_OVERLOADED, "no new request is taken at the moment; try again in a second");
        }
    }
    if (connection->tls != NULL)
        SSL_free(connection->tls);
    connection->tls = NULL;
}

void ingest_run(struct ingest_connection *connection, struct task *task)
{
    struct ingest *ingest = connection->ingest;
    atomic_store(&task->cancelled, false);
    task->started = false;
    task->tasks = NULL;
    pthread_mutex_lock(&ingest->lock);
    bool taken = connection->attended && !connection->had_task;
    if (taken) {
        connection->had_task = true;
        connection->task = task;
        ingest_wake(connection->wake);
    }
    pthread_mutex_unlock(&ingest->lock);
    if (!taken) {
        atomic_store(&task->cancelled, true);
        tasks_give_back(task);
    }
}

bool ingest_has_room(const struct ingest_connection *connection, uint64_t customer)
{
    struct ingest *ingest = connection->ingest;
    size_t running = 0;
    pthread_mutex_lock(&ingest->lock);
    for (const struct ingest_connection *other = ingest->first; other != NULL; other = other->next)
        running += other->task != NULL && other->task->customer == customer;
    pthread_mutex_unlock(&ingest->lock);
    return running < (ingest->options.connections + 1) / 2;
}

const struct sockaddr_storage *ingest_peer(const struct ingest_connection *connection)
{
    return &connection->peer;
}

bool ingest_has_body(const struct ingest_connection *connection)
{
    return ingest_length(connection) != 0;
}

uint64_t ingest_length(const struct ingest_connection *connection)
{
    return connection->head.chunked ? UINT64_MAX : connection->head.has_length ? connection->head.length : 0;
}
