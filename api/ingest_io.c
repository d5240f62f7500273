#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ingest_private.h"
#include "base/clock.h"

#define PROXY_LINE_MAX 107    /* bytes, with CR and LF: the PROXY protocol's version 1 */
#define HANG_UP_US 1000000    /* how long a client may take to read its answer and close */
#define SEND_TIMEOUT_MS 60000 /* a peer that acknowledges nothing for this long is dropped */

int ingest_until(uint64_t due_us, int most)
{
    uint64_t now_us = clock_monotonic_us();
    uint64_t left_ms = due_us > now_us ? (due_us - now_us + 999) / 1000 : 0;
    return left_ms < (uint64_t)most ? (int)left_ms : most;
}

unsigned ingest_poll(struct ingest_connection *connection, short wants, short pair_events, int timeout_ms)
{
    struct pollfd polled[] = {{connection->fd, wants, 0},
                              {pair_events != 0 ? connection->pair : -1, pair_events, 0},
                              {connection->wake, POLLIN, 0}};
    uint64_t times;
    if (poll(polled, 3, timeout_ms) <= 0)
        return 0;
    if (polled[2].revents != 0 && read(connection->wake, &times, sizeof(times)) < 0)
        polled[2].revents = 0;
    return (polled[0].revents != 0 ? INGEST_CLIENT : 0u) | (polled[1].revents != 0 ? INGEST_PAIR : 0u) |
           (polled[2].revents != 0 ? INGEST_WOKEN : 0u);
}

/* What a call of OpenSSL that did not succeed waits for. */
static ssize_t judge_tls(struct ingest_connection *connection, int result)
{
    switch (SSL_get_error(connection->tls, result)) {
    case SSL_ERROR_WANT_READ:
        connection->wants = POLLIN;
        return INGEST_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        connection->wants = POLLOUT;
        return INGEST_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        /* OpenSSL forbids SSL_shutdown after such an error. */
        ERR_clear_error();
        SSL_free(connection->tls);
        connection->tls = NULL;
        shutdown(connection->fd, SHUT_RDWR);
        return INGEST_BROKEN;
    }
}

ssize_t ingest_receive(struct ingest_connection *connection, char *out, size_t size)
{
    if (connection->tls != NULL) {
        ERR_clear_error();
        int got = SSL_read(connection->tls, out, size < 1 << 20 ? (int)size : 1 << 20);
        return got > 0 ? got : judge_tls(connection, got);
    }
    connection->wants = POLLIN;
    for (;;) {
        ssize_t got = recv(connection->fd, out, size, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return INGEST_AGAIN;
        if (errno != EINTR)
            return INGEST_BROKEN;
    }
}

static ssize_t send_some(struct ingest_connection *connection, const char *data, size_t size)
{
    if (connection->tls != NULL) {
        ERR_clear_error();
        int sent = SSL_write(connection->tls, data, size < 1 << 20 ? (int)size : 1 << 20);
        if (sent > 0)
            return sent;
        ssize_t verdict = judge_tls(connection, sent);
        return verdict == 0 ? INGEST_BROKEN : verdict;
    }
    connection->wants = POLLOUT;
    ssize_t sent = send(connection->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? INGEST_AGAIN : INGEST_BROKEN;
}

bool ingest_send(struct ingest_connection *connection, const char *data, size_t size, uint64_t due_us)
{
    while (size != 0) {
        ssize_t sent = send_some(connection, data, size);
        if (sent == INGEST_BROKEN)
            return false;
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
            continue;
        }
        int left_ms = ingest_until(due_us, 1000);
        if (left_ms == 0)
            return false;
        ingest_poll(connection, connection->wants, 0, left_ms);
    }
    return true;
}

/* One byte at a time: what follows the line is TLS's, or the head's. */
static size_t read_proxy_line(struct ingest_connection *connection, char line[PROXY_LINE_MAX + 1], uint64_t due_us)
{
    size_t size = 0;
    while (size < PROXY_LINE_MAX && (size < 2 || line[size - 1] != '\n')) {
        ssize_t got = ingest_receive(connection, line + size, 1);
        if (got > 0) {
            size++;
            continue;
        }
        int left_ms = ingest_until(due_us, 1000);
        if (got != INGEST_AGAIN || left_ms == 0 || ingest_is_stopping(connection->ingest))
            return 0;
        ingest_poll(connection, POLLIN, 0, left_ms);
    }
    line[size] = '\0';
    return size;
}

static bool put_address(struct sockaddr_storage *out, bool six, const char *host, unsigned port)
{
    memset(out, 0, sizeof(*out));
    if (six) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)out;
        address->sin6_family = AF_INET6;
        address->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host, &address->sin6_addr) == 1;
    }
    struct sockaddr_in *address = (struct sockaddr_in *)out;
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

/* "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443", or "PROXY UNKNOWN": a health check of the proxy itself. */
static bool take_proxy_line(struct ingest_connection *connection, uint64_t due_us)
{
    char line[PROXY_LINE_MAX + 1], family[8], host[64];
    unsigned port;
    int end = 0;
    size_t size = read_proxy_line(connection, line, due_us);
    if (size < 2 || memcmp(line + size - 2, "\r\n", 2) != 0)
        return false;
    if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == ' ' || line[13] == '\r'))
        return true;
    if (sscanf(line, "PROXY %7s %63s %*63s %5u %*5u%n", family, host, &port, &end) != 3 || end == 0 ||
        strcmp(line + end, "\r\n") != 0 || port > 65535)
        return false;
    if (strcmp(family, "TCP4") != 0 && strcmp(family, "TCP6") != 0)
        return false;
    return put_address(&connection->peer, family[3] == '6', host, port);
}

static bool begin_tls(struct ingest_connection *connection, uint64_t due_us)
{
    pthread_mutex_lock(&connection->ingest->lock);
    connection->tls = SSL_new(connection->ingest->options.tls); /* holds it from here on */
    pthread_mutex_unlock(&connection->ingest->lock);
    if (connection->tls == NULL || SSL_set_fd(connection->tls, connection->fd) != 1)
        return false;
    for (;;) {
        ERR_clear_error();
        int result = SSL_accept(connection->tls);
        if (result == 1)
            return true;
        int left_ms = ingest_until(due_us, 1000);
        if (judge_tls(connection, result) != INGEST_AGAIN || left_ms == 0 || ingest_is_stopping(connection->ingest))
            return false;
        ingest_poll(connection, connection->wants, 0, left_ms);
    }
}

bool ingest_greet(struct ingest_connection *connection, uint64_t due_us)
{
    const struct ingest_options *options = &connection->ingest->options;
    unsigned timeout = SEND_TIMEOUT_MS;
    int one = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (options->proxies != NULL && (!config_networks_contain(options->proxies, (struct sockaddr *)&connection->peer) ||
                                     !take_proxy_line(connection, due_us)))
        return false;
    return !connection->ingest->has_tls || begin_tls(connection, due_us);
}

/* What still comes is dropped, as it is on the wire; past INGEST_DROPPED it is left where it is. */
static void drop_rest(struct ingest_connection *connection)
{
    uint64_t due_us = clock_monotonic_us() + HANG_UP_US;
    char dropped[4096];
    for (;;) {
        uint64_t room = connection->taken < INGEST_DROPPED ? INGEST_DROPPED - connection->taken : 0;
        if (room != 0) {
            ssize_t got =
                recv(connection->fd, dropped, room < sizeof(dropped) ? (size_t)room : sizeof(dropped), MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
                return;
            if (got > 0) {
                connection->taken += (uint64_t)got;
                atomic_fetch_add_explicit(&connection->ingest->bytes, (uint64_t)got, memory_order_relaxed);
                continue;
            }
        }
        struct pollfd polled = {connection->fd, (short)(room != 0 ? POLLIN | POLLRDHUP : POLLRDHUP), 0};
        int left_ms = ingest_until(due_us, 1000);
        if (left_ms == 0 || poll(&polled, 1, left_ms) < 0)
            return;
        if ((polled.revents & (POLLERR | POLLHUP)) != 0 || (room == 0 && (polled.revents & POLLRDHUP) != 0))
            return;
    }
}

void ingest_hang_up(struct ingest_connection *connection)
{
    if (connection->tls != NULL) {
        ERR_clear_error();
        SSL_shutdown(connection->tls); /* sends the alert; the client's own is not waited for */
        ERR_clear_error();
    }
    shutdown(connection->fd, SHUT_WR);
    drop_rest(connection);
}
