#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "api/ingest_private.h"
#include "base/clock.h"

#define FLOOR_WINDOW_US 30000000 /* over which min_receive_rate is averaged; a third of a shorter deadline */
#define LOOK_MS 500              /* how often a task's `cancelled` is looked at while the client sends nothing */
#define RELAY_SIZE 16384

/* The head. */

/* Of this hop alone (RFC 9110 section 7.6.1), and the body's framing. */
static bool is_hop_header(struct text name)
{
    static const char *const names[] = {
        "connection", "content-length",    "expect",  "http2-settings",     "keep-alive", "proxy-connection", "te",
        "trailer",    "transfer-encoding", "upgrade", "proxy-authorization"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (text_equal(name, text_from_string(names[i])))
            return true;
    return false;
}

static bool is_named_by_connection(const struct http_head *head, struct text name)
{
    for (size_t i = 0; i < head->line_count; i++) {
        struct text list = head->lines[i].value;
        if (!text_equal(head->lines[i].name, TEXT("connection")))
            continue;
        while (list.data != NULL)
            if (text_equal_ignoring_case(text_trim(text_split(&list, ',')), name))
                return true;
    }
    return false;
}

void ingest_write_head(const struct http_head *head, struct buffer *out)
{
    buffer_printf(out, "%.*s %.*s HTTP/1.%d\r\n", TEXT_ARGS(head->method), TEXT_ARGS(head->target), head->minor);
    for (size_t i = 0; i < head->line_count; i++) {
        const struct http_head_line *line = &head->lines[i];
        bool is_host = text_equal(line->name, TEXT("host"));
        if (!is_host && (is_hop_header(line->name) || is_named_by_connection(head, line->name)))
            continue;
        buffer_append_text(out, line->name);
        buffer_append_literal(out, ": ");
        buffer_append_text(out, line->value);
        buffer_append_literal(out, "\r\n");
    }
    buffer_append_literal(out, "connection: close\r\n\r\n");
}

/* The body. */

static uint64_t window_us(const struct ingest_connection *connection)
{
    uint64_t third = (uint64_t)connection->ingest->options.deadline_ms * 1000 / 3;
    return third < FLOOR_WINDOW_US ? third : FLOOR_WINDOW_US;
}

/* Only what was spent waiting for the client counts: while the load sees to other things its bytes wait for us. */
static enum status judge_pace(struct ingest_connection *connection, struct failure *failure)
{
    uint64_t window = window_us(connection), rate = connection->ingest->options.min_receive_rate;
    struct ingest_body *body = &connection->body;
    if (clock_monotonic_us() >= connection->deadline_us)
        return failure_set(failure, STATUS_TIMEOUT,
                           "the body did not end within %u s, after %llu bytes; send it in parts, or compressed",
                           connection->ingest->options.deadline_ms / 1000, (unsigned long long)body->size);
    if (body->window_us < window)
        return STATUS_OK;
    if ((double)body->window_bytes * 1e6 < (double)rate * (double)body->window_us)
        return failure_set(failure, STATUS_TIMEOUT,
                           "the body came at %llu bytes a second, at least %llu are asked for; it was cut after %llu "
                           "bytes",
                           (unsigned long long)(body->window_bytes * 1000000 / body->window_us),
                           (unsigned long long)rate, (unsigned long long)body->size);
    body->window_us = body->window_bytes = 0;
    return STATUS_OK;
}

static enum status wait_for_client(struct ingest_connection *connection, struct failure *failure)
{
    uint64_t before_us = clock_monotonic_us();
    unsigned events =
        ingest_poll(connection, connection->wants, POLLIN | POLLRDHUP, ingest_until(connection->deadline_us, LOOK_MS));
    connection->body.window_us += clock_monotonic_us() - before_us;
    /* The answer is there already, or the worker's request is gone. */
    if ((events & INGEST_PAIR) != 0 || atomic_load(&connection->task->cancelled))
        return failure_set(failure, STATUS_UNAVAILABLE, "the load was cancelled after %llu bytes",
                           (unsigned long long)connection->body.size);
    return judge_pace(connection, failure);
}

static enum status refuse_end(const struct ingest_connection *connection, struct failure *failure)
{
    const struct ingest_body *body = &connection->body;
    if (connection->head.chunked)
        return failure_set(failure, STATUS_UNAVAILABLE, "the client left after %llu bytes, before the last chunk",
                           (unsigned long long)body->size);
    return failure_set(failure, STATUS_UNAVAILABLE, "the client left after %llu of %llu bytes",
                       (unsigned long long)body->size, (unsigned long long)connection->head.length);
}

/* Bytes as they are on the wire: first those that came with the head. */
static enum status take_raw(struct ingest_connection *connection, char *out, size_t size, size_t *got,
                            struct failure *failure)
{
    size_t kept = connection->size - connection->used;
    if (kept != 0) {
        *got = kept < size ? kept : size;
        memcpy(out, connection->bytes + connection->used, *got);
        connection->used += *got;
        return STATUS_OK;
    }
    for (;;) {
        ssize_t received = ingest_receive(connection, out, size);
        if (received > 0) {
            *got = (size_t)received;
            connection->taken += *got;
            connection->body.window_bytes += *got;
            atomic_fetch_add_explicit(&connection->ingest->bytes, *got, memory_order_relaxed);
            return STATUS_OK;
        }
        if (received != INGEST_AGAIN)
            return refuse_end(connection, failure);
        enum status status = wait_for_client(connection, failure);
        if (status != STATUS_OK)
            return status;
    }
}

static enum status refuse_size(const struct ingest_connection *connection, struct failure *failure)
{
    return failure_set(failure, STATUS_TOO_LARGE, "the body has more than %llu bytes, which are taken at most",
                       (unsigned long long)connection->ingest->options.max_body);
}

static enum status begin_body(struct ingest_connection *connection, struct failure *failure)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct ingest_body *body = &connection->body;
    body->begun = true;
    body->left = connection->head.has_length ? connection->head.length : 0;
    body->ended = !connection->head.chunked && body->left == 0;
    if (body->left > connection->ingest->options.max_body)
        return refuse_size(connection, failure);
    if (!body->ended && connection->head.expects_continue && connection->size == connection->used &&
        !ingest_send(connection, interim, sizeof(interim) - 1,
                     clock_monotonic_us() + (uint64_t)connection->ingest->options.head_timeout_ms * 1000))
        return refuse_end(connection, failure);
    return STATUS_OK;
}

static enum status read_chunks(struct ingest_connection *connection, char *out, size_t size, size_t *got,
                               struct failure *failure)
{
    struct ingest_body *body = &connection->body;
    size_t raw = 0, used;
    *got = 0;
    while (*got == 0 && !body->ended) {
        enum status status = take_raw(connection, out, size, &raw, failure);
        if (status == STATUS_OK && http_chunks_decode(&body->chunks, out, raw, got, &used, &body->ended) != STATUS_OK)
            status = failure_set(failure, STATUS_INVALID,
                                 "the chunks of the body are malformed after %llu bytes (RFC 9112 section 7.1)",
                                 (unsigned long long)body->size + *got);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* From here on the listener's thread looks whether the client leaves. */
static void watch(struct ingest_connection *connection)
{
    struct ingest *ingest = connection->ingest;
    pthread_mutex_lock(&ingest->lock);
    connection->watched = true;
    pthread_mutex_unlock(&ingest->lock);
    ingest_wake(ingest->wake);
}

static enum status read_body(struct ingest_connection *connection, char *out, size_t size, size_t *got,
                             struct failure *failure)
{
    struct ingest_body *body = &connection->body;
    enum status status = body->begun ? STATUS_OK : begin_body(connection, failure);
    *got = 0;
    if (status == STATUS_OK && atomic_load(&connection->task->cancelled))
        status = failure_set(failure, STATUS_UNAVAILABLE, "the load was cancelled after %llu bytes",
                             (unsigned long long)body->size);
    if (status != STATUS_OK || body->ended)
        return status;
    if (connection->head.chunked) {
        status = read_chunks(connection, out, size, got, failure);
    } else {
        status = take_raw(connection, out, size < body->left ? size : (size_t)body->left, got, failure);
        body->left -= status == STATUS_OK ? *got : 0;
        body->ended = status == STATUS_OK && body->left == 0;
    }
    body->size += *got;
    if (status == STATUS_OK && body->size > connection->ingest->options.max_body)
        status = refuse_size(connection, failure);
    return status;
}

static enum status source_read(void *context, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct ingest_connection *connection = context;
    struct ingest_body *body = &connection->body;
    bool ended = body->ended;
    *got = 0;
    /* What has failed once stays so. */
    enum status status = body->failure.status != STATUS_OK ? body->failure.status
                                                           : read_body(connection, out, size, got, &body->failure);
    if (status != STATUS_OK) {
        *got = 0;
        if (failure != NULL)
            *failure = body->failure;
    } else if (body->ended && !ended) {
        watch(connection);
    }
    return status;
}

enum status ingest_body_status(const struct ingest_connection *connection, const char **words)
{
    *words = connection->body.failure.message;
    return connection->body.failure.status;
}

struct body_source ingest_source(struct ingest_connection *connection)
{
    return (struct body_source){source_read, connection};
}

/* The answer. */

void ingest_relay(struct ingest_connection *connection)
{
    uint64_t due_us = clock_monotonic_us() + (uint64_t)connection->ingest->options.head_timeout_ms * 1000;
    char piece[RELAY_SIZE];
    for (;;) {
        ssize_t got = recv(connection->pair, piece, sizeof(piece), MSG_DONTWAIT);
        if (got == 0)
            return;
        if (got > 0) {
            if (!ingest_send(connection, piece, (size_t)got, due_us))
                return;
            continue;
        }
        int left_ms = ingest_until(due_us, 1000);
        if ((errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) || left_ms == 0)
            return;
        if ((ingest_poll(connection, 0, POLLIN, left_ms) & INGEST_CLIENT) != 0)
            return;
    }
}
