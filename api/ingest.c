#include "api/ingest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/address_count.h"
#include "api/ingest_private.h"
#include "api/sockets.h"
#include "base/clock.h"
#include "base/log.h"

#define STACK_SIZE ((size_t)8 << 20)      /* as a task's */
#define FIRST_CLIENT (1 + INGEST_SOCKETS) /* in what is polled: its event and its sockets stand before */
#define RETRY_MS 50                       /* how soon a listener that ran out of descriptors or threads tries again */

void ingest_wake(int event)
{
    const uint64_t once = 1;
    if (write(event, &once, sizeof(once)) < 0)
        return; /* full: it is awake */
}

bool ingest_is_stopping(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    bool stopping = ingest->stopping;
    pthread_mutex_unlock(&ingest->lock);
    return stopping;
}

void ingest_unref(struct ingest_connection *connection)
{
    if (atomic_fetch_sub(&connection->references, 1) == 1)
        free(connection);
}

/* Connections. */

static void link_connection(struct ingest *ingest, struct ingest_connection *connection)
{
    connection->next = ingest->first;
    if (connection->next != NULL)
        connection->next->previous = connection;
    ingest->first = connection;
    ingest->open++;
}

static void unlink_connection(struct ingest *ingest, struct ingest_connection *connection)
{
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        ingest->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
}

static void close_connection(struct ingest_connection *connection)
{
    close(connection->fd);
    if (connection->pair >= 0)
        close(connection->pair);
    if (connection->wake >= 0)
        close(connection->wake);
}

static void *run_connection(void *context)
{
    struct ingest_connection *connection = context;
    struct ingest *ingest = connection->ingest;
    pthread_setname_np(pthread_self(), "ingest");
    ingest_serve(connection);
    pthread_mutex_lock(&ingest->lock);
    unlink_connection(ingest, connection);
    connection->next = ingest->ended;
    ingest->ended = connection;
    /* The descriptors go under the lock: while a connection is in the list they are its own. */
    close_connection(connection);
    pthread_mutex_unlock(&ingest->lock);
    ingest_wake(ingest->wake);
    return NULL;
}

/* Signals are the main thread's. */
static int start_thread(pthread_t *thread, void *(*run)(void *), void *context)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, &attributes, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static unsigned address_of(const struct sockaddr_storage *peer)
{
    return (unsigned)(address_hash((const struct sockaddr *)peer) % INGEST_ADDRESSES);
}

static bool begin_connection(struct ingest *ingest, int fd, const struct sockaddr_storage *peer)
{
    struct ingest_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        close(fd);
        return false;
    }
    connection->ingest = ingest;
    connection->references = 1;
    connection->fd = fd;
    connection->pair = -1;
    connection->peer = *peer;
    connection->address = address_of(peer);
    connection->started_us = clock_monotonic_us();
    connection->deadline_us = connection->started_us + (uint64_t)ingest->options.deadline_ms * 1000;
    connection->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&ingest->lock);
    bool begun = connection->wake >= 0 && start_thread(&connection->thread, run_connection, connection) == 0;
    if (begun)
        link_connection(ingest, connection);
    pthread_mutex_unlock(&ingest->lock);
    if (!begun) {
        close_connection(connection);
        free(connection);
    }
    return begun;
}

static bool somebody_waits(const struct ingest *ingest)
{
    bool waits = false;
    for (size_t i = 0; !waits && i < ingest->sockets; i++) {
        struct pollfd one = {ingest->listening[i], POLLIN, 0};
        waits = poll(&one, 1, 0) > 0;
    }
    return waits;
}

/* A head costs a thread: whoever sends one slowly must not keep others out. While somebody waits for a connection,
 * heads that take longer than INGEST_SLOW_US are cut. Behind a proxy, which reads heads itself, all have its address.
 */
static void cut_slow_heads(struct ingest *ingest)
{
    uint64_t now_us = clock_monotonic_us();
    if (!somebody_waits(ingest))
        return;
    pthread_mutex_lock(&ingest->lock);
    for (struct ingest_connection *one = ingest->first; one != NULL; one = one->next) {
        if (one->attended || one->cut || now_us < one->started_us + INGEST_SLOW_US)
            continue;
        one->cut = true;
        if (ingest->options.proxies == NULL)
            ingest->slow_until_us[one->address] = now_us + INGEST_SLOW_KNOWN_US;
        atomic_fetch_add_explicit(&ingest->refused, 1, memory_order_relaxed);
        shutdown(one->fd, SHUT_RDWR);
        ingest_wake(one->wake);
    }
    pthread_mutex_unlock(&ingest->lock);
}

/* Its address was slow a moment ago, and has a quarter of the connections in heads by now. */
static bool is_known_slow(struct ingest *ingest, const struct sockaddr_storage *peer)
{
    unsigned address = address_of(peer);
    size_t heads = 0;
    if (clock_monotonic_us() >= ingest->slow_until_us[address])
        return false;
    pthread_mutex_lock(&ingest->lock);
    for (const struct ingest_connection *one = ingest->first; one != NULL; one = one->next)
        heads += one->address == address && !one->attended;
    pthread_mutex_unlock(&ingest->lock);
    return heads >= (ingest->options.connections + 3) / 4;
}

static bool is_full(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    bool full = ingest->open >= ingest->options.connections;
    pthread_mutex_unlock(&ingest->lock);
    return full;
}

/* False: out of descriptors, memory or threads; the next try comes a little later. */
static bool accept_from(struct ingest *ingest, int listening)
{
    for (;;) {
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof(peer);
        if (is_full(ingest))
            return true;
        int fd = accept4(listening, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
        atomic_fetch_add_explicit(&ingest->accepted, 1, memory_order_relaxed);
        if (is_known_slow(ingest, &peer)) {
            atomic_fetch_add_explicit(&ingest->refused, 1, memory_order_relaxed);
            close(fd);
            continue;
        }
        if (!begin_connection(ingest, fd, &peer))
            return false;
    }
}

static bool accept_all(struct ingest *ingest)
{
    bool good = true;
    for (size_t i = 0; good && i < ingest->sockets; i++)
        good = accept_from(ingest, ingest->listening[i]);
    return good;
}

static void close_sockets(struct ingest *ingest)
{
    while (ingest->sockets != 0)
        close(ingest->listening[--ingest->sockets]);
}

static void join_ended(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    struct ingest_connection *ended = ingest->ended;
    ingest->ended = NULL;
    pthread_mutex_unlock(&ingest->lock);
    while (ended != NULL) {
        struct ingest_connection *next = ended->next;
        pthread_join(ended->thread, NULL);
        ingest_unref(ended);
        pthread_mutex_lock(&ingest->lock);
        ingest->open--;
        pthread_mutex_unlock(&ingest->lock);
        ended = next;
    }
}

/* The listener's thread. */

/* Its own event, its socket where it may accept, and the clients of loads whose bodies are through. */
static nfds_t gather(struct ingest *ingest, bool paused)
{
    nfds_t count = FIRST_CLIENT;
    pthread_mutex_lock(&ingest->lock);
    bool accepts = !paused && !ingest->stopping && ingest->open < ingest->options.connections;
    ingest->polled[0] = (struct pollfd){ingest->wake, POLLIN, 0};
    for (size_t i = 0; i < INGEST_SOCKETS; i++)
        ingest->polled[1 + i] = (struct pollfd){accepts && i < ingest->sockets ? ingest->listening[i] : -1, POLLIN, 0};
    for (struct ingest_connection *connection = ingest->first; connection != NULL; connection = connection->next)
        if (connection->watched) {
            ingest->polled[count] = (struct pollfd){connection->fd, POLLRDHUP, 0};
            ingest->polled_of[count++] = connection;
        }
    pthread_mutex_unlock(&ingest->lock);
    return count;
}

/* Connections are freed by this thread alone, so those that were polled are still there. */
static void cancel_gone(struct ingest *ingest, nfds_t count)
{
    pthread_mutex_lock(&ingest->lock);
    for (nfds_t i = FIRST_CLIENT; i < count; i++) {
        struct ingest_connection *connection = ingest->polled_of[i];
        if (ingest->polled[i].revents == 0 || !connection->watched)
            continue;
        connection->watched = false;
        if (connection->task != NULL)
            atomic_store(&connection->task->cancelled, true);
    }
    pthread_mutex_unlock(&ingest->lock);
}

/* First the tasks are told, and their clients can't send any more: an answer still goes out. Then all is shut. */
static void cut_all(struct ingest *ingest, bool whole)
{
    pthread_mutex_lock(&ingest->lock);
    if (ingest->first != NULL && !whole)
        log_event(LOG_WARNING, "drain_timeout",
                  "the ingest listener cuts its connections, which did not end within drain_timeout");
    for (struct ingest_connection *connection = ingest->first; connection != NULL; connection = connection->next) {
        if (connection->task != NULL)
            atomic_store(&connection->task->cancelled, true);
        connection->watched = false;
        shutdown(connection->fd, whole ? SHUT_RDWR : SHUT_RD);
        if (whole && connection->pair >= 0)
            shutdown(connection->pair, SHUT_RDWR);
        ingest_wake(connection->wake);
    }
    pthread_mutex_unlock(&ingest->lock);
}

static void turn(struct ingest *ingest, bool paused, int timeout_ms)
{
    uint64_t times;
    nfds_t count = gather(ingest, paused);
    if (poll(ingest->polled, count, timeout_ms) <= 0)
        return;
    if (ingest->polled[0].revents != 0 && read(ingest->wake, &times, sizeof(times)) < 0)
        return; /* EAGAIN: nothing was there */
    cancel_gone(ingest, count);
}

/* False: nothing is open any more. */
static bool wait_until(struct ingest *ingest, uint64_t due_us)
{
    for (;;) {
        join_ended(ingest);
        pthread_mutex_lock(&ingest->lock);
        bool open = ingest->open != 0;
        pthread_mutex_unlock(&ingest->lock);
        int left_ms = ingest_until(due_us, 1000);
        if (!open || left_ms == 0)
            return open;
        turn(ingest, true, left_ms);
    }
}

/* Whoever had sent no head ends by himself. */
static void drain(struct ingest *ingest)
{
    uint64_t due_us = clock_monotonic_us() + (uint64_t)ingest->options.drain_timeout_ms * 1000;
    pthread_mutex_lock(&ingest->lock);
    for (struct ingest_connection *connection = ingest->first; connection != NULL; connection = connection->next)
        ingest_wake(connection->wake);
    pthread_mutex_unlock(&ingest->lock);
    if (!wait_until(ingest, due_us))
        return;
    cut_all(ingest, false);
    if (!wait_until(ingest, clock_monotonic_us() + (uint64_t)INGEST_CUT_MS * 1000))
        return;
    cut_all(ingest, true);
    wait_until(ingest, UINT64_MAX);
}

static bool is_leaving(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    bool leaving = ingest->leaving;
    pthread_mutex_unlock(&ingest->lock);
    return leaving;
}

static void *run_listener(void *context)
{
    struct ingest *ingest = context;
    bool paused = false;
    pthread_setname_np(pthread_self(), "ingest-listener");
    while (!ingest_is_stopping(ingest)) {
        bool full = is_full(ingest);
        turn(ingest, paused, paused || full ? RETRY_MS : -1);
        if (full)
            cut_slow_heads(ingest);
        join_ended(ingest);
        if (is_leaving(ingest))
            close_sockets(ingest); /* what waits in their queues is another process's */
        paused = !accept_all(ingest);
    }
    close_sockets(ingest);
    drain(ingest);
    return NULL;
}

static enum status listen_on(struct ingest *ingest, struct failure *failure)
{
    const struct sockets_order order = {.address = ingest->options.address};
    int fds[SOCKETS_MAX];
    size_t count = 0;
    enum status status = sockets_open(ingest->options.sockets, &order, fds, &count, failure);
    if (status == STATUS_OK && count > INGEST_SOCKETS)
        status = failure_set(failure, STATUS_INVALID,
                             "server.ingest.listen: %zu sockets were handed over, %d are taken", count, INGEST_SOCKETS);
    ingest->sockets = count < INGEST_SOCKETS ? count : INGEST_SOCKETS;
    memcpy(ingest->listening, fds, ingest->sockets * sizeof(fds[0]));
    while (count > ingest->sockets)
        close(fds[--count]);
    return status;
}

enum status ingest_open(const struct ingest_options *options, struct ingest **out, struct failure *failure)
{
    struct ingest *ingest = calloc(1, sizeof(*ingest));
    if (ingest == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    ingest->options = *options;
    ingest->has_tls = options->tls != NULL;
    ingest->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ingest->polled = calloc(options->connections + FIRST_CLIENT, sizeof(*ingest->polled));
    ingest->polled_of = calloc(options->connections + FIRST_CLIENT, sizeof(*ingest->polled_of));
    pthread_mutex_init(&ingest->lock, NULL);
    enum status status = ingest->wake >= 0 && ingest->polled != NULL && ingest->polled_of != NULL
                             ? listen_on(ingest, failure)
                             : failure_set(failure, STATUS_FAILED, "out of memory or descriptors");
    if (status != STATUS_OK) {
        ingest_destroy(ingest);
        return status;
    }
    *out = ingest;
    return STATUS_OK;
}

enum status ingest_start(struct ingest *ingest, struct failure *failure)
{
    int error = start_thread(&ingest->thread, run_listener, ingest);
    if (error != 0)
        return failure_set(failure, STATUS_FAILED, "could not start the thread of the ingest listener: %s",
                           strerror(error));
    ingest->started = true;
    return STATUS_OK;
}

void ingest_set_tls(struct ingest *ingest, SSL_CTX *tls)
{
    pthread_mutex_lock(&ingest->lock);
    ingest->options.tls = tls;
    pthread_mutex_unlock(&ingest->lock);
}

void ingest_leave(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    ingest->leaving = true;
    pthread_mutex_unlock(&ingest->lock);
    ingest_wake(ingest->wake);
}

void ingest_stop(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    ingest->stopping = true;
    pthread_mutex_unlock(&ingest->lock);
    ingest_wake(ingest->wake);
}

void ingest_destroy(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    if (ingest->wake >= 0)
        ingest_stop(ingest);
    if (ingest->started)
        pthread_join(ingest->thread, NULL);
    close_sockets(ingest);
    if (ingest->wake >= 0)
        close(ingest->wake);
    pthread_mutex_destroy(&ingest->lock);
    free(ingest->polled);
    free(ingest->polled_of);
    free(ingest);
}

struct ingest_statistics ingest_statistics(struct ingest *ingest)
{
    struct ingest_statistics statistics = {.accepted = atomic_load_explicit(&ingest->accepted, memory_order_relaxed),
                                           .refused = atomic_load_explicit(&ingest->refused, memory_order_relaxed),
                                           .bytes = atomic_load_explicit(&ingest->bytes, memory_order_relaxed)};
    pthread_mutex_lock(&ingest->lock);
    statistics.connections = ingest->open;
    pthread_mutex_unlock(&ingest->lock);
    return statistics;
}
