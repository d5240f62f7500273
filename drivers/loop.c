#include "drivers/loop.h"

#include <fcntl.h>
#include <h2o.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_HOOKS 256 /* a turn: hooks that request each other must not keep the loop from its sockets */
#define LONGEST_WAIT_MS 1000

struct loop {
    h2o_evloop_t *evloop;
    struct loop_timer **heap; /* soonest first */
    size_t timer_count, timer_capacity;
    struct loop_hook *hooks; /* requested for this turn's end */
    uint64_t now_us;         /* 0: not asked in this turn */
    uint64_t now_ms;
    struct loop_watch *wakeup;
    int wakeup_fd;
    pthread_mutex_t lock;
    struct loop_message *first, **last; /* under the lock */
    struct loop_message *taken;         /* being handled; the loop's thread only */
};

struct loop_watch {
    struct loop *loop;
    h2o_socket_t *socket;
    void (*on_readable)(void *context);
    void (*on_writable)(void *context);
    void *context;
    bool wants_write, notified; /* notified: h2o's one-shot, which cannot be taken back, is out */
    bool stopped;
    unsigned entered; /* callbacks of this watch on the stack: it may be freed only at 0 */
};

/* Timers: a binary heap. */

static void place(struct loop *loop, size_t index, struct loop_timer *timer)
{
    loop->heap[index] = timer;
    timer->heap_index = index;
}

static void sift_up(struct loop *loop, size_t index)
{
    struct loop_timer *timer = loop->heap[index];
    while (index != 0 && loop->heap[(index - 1) / 2]->due_ms > timer->due_ms) {
        place(loop, index, loop->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(loop, index, timer);
}

static void sift_down(struct loop *loop, size_t index)
{
    struct loop_timer *timer = loop->heap[index];
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= loop->timer_count)
            break;
        if (child + 1 < loop->timer_count && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (loop->heap[child]->due_ms >= timer->due_ms)
            break;
        place(loop, index, loop->heap[child]);
        index = child;
    }
    place(loop, index, timer);
}

void loop_timer_stop(struct loop_timer *timer)
{
    struct loop *loop = timer->loop;
    if (loop == NULL)
        return;
    size_t index = timer->heap_index;
    struct loop_timer *last = loop->heap[--loop->timer_count];
    timer->loop = NULL;
    if (last == timer)
        return;
    place(loop, index, last);
    sift_up(loop, index);
    sift_down(loop, last->heap_index);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms,
                      void (*on_due)(struct loop_timer *))
{
    loop_timer_stop(timer);
    if (loop->timer_count == loop->timer_capacity) {
        size_t capacity = loop->timer_capacity != 0 ? loop->timer_capacity * 2 : 64;
        struct loop_timer **heap = realloc(loop->heap, capacity * sizeof(*heap));
        if (heap == NULL)
            abort(); /* a deadline that can't be kept would be a promise broken */
        loop->heap = heap;
        loop->timer_capacity = capacity;
    }
    timer->loop = loop;
    timer->on_due = on_due;
    timer->due_ms = clock_monotonic_us() / 1000 + delay_ms;
    loop->heap[loop->timer_count] = timer;
    sift_up(loop, loop->timer_count++);
}

static void run_timers(struct loop *loop)
{
    uint64_t now = clock_monotonic_us() / 1000;
    while (loop->timer_count != 0 && loop->heap[0]->due_ms <= now) {
        struct loop_timer *timer = loop->heap[0];
        loop_timer_stop(timer);
        timer->on_due(timer);
    }
}

/* Hooks. */

void loop_hook_request(struct loop *loop, struct loop_hook *hook)
{
    if (hook->requested)
        return;
    hook->requested = true;
    hook->next = loop->hooks;
    loop->hooks = hook;
}

void loop_hook_cancel(struct loop *loop, struct loop_hook *hook)
{
    struct loop_hook **link = &loop->hooks;
    if (!hook->requested)
        return;
    while (*link != NULL && *link != hook)
        link = &(*link)->next;
    if (*link != NULL)
        *link = hook->next;
    hook->requested = false;
}

static void run_hooks(struct loop *loop)
{
    for (int count = 0; loop->hooks != NULL && count < MAX_HOOKS; count++) {
        struct loop_hook *hook = loop->hooks;
        loop->hooks = hook->next;
        hook->requested = false;
        hook->on_turn_end(hook);
    }
}

/* Watches. */

static void leave(struct loop_watch *watch)
{
    if (--watch->entered == 0 && watch->stopped)
        free(watch);
}

static void on_socket_readable(h2o_socket_t *socket, const char *error)
{
    struct loop_watch *watch = socket->data;
    (void)error;
    watch->entered++;
    if (!watch->stopped && watch->on_readable != NULL)
        watch->on_readable(watch->context);
    leave(watch);
}

static void on_socket_writable(h2o_socket_t *socket, const char *error)
{
    struct loop_watch *watch = socket->data;
    (void)error;
    watch->entered++;
    watch->notified = false;
    if (!watch->stopped && watch->wants_write && watch->on_writable != NULL)
        watch->on_writable(watch->context);
    if (!watch->stopped && watch->wants_write && !watch->notified) {
        watch->notified = true;
        h2o_socket_notify_write(watch->socket, on_socket_writable);
    }
    leave(watch);
}

struct loop_watch *loop_watch_start(struct loop *loop, int fd, void (*on_readable)(void *context),
                                    void (*on_writable)(void *context), void *context)
{
    struct loop_watch *watch = calloc(1, sizeof(*watch));
    int copy = watch != NULL ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        free(watch);
        return NULL;
    }
    watch->loop = loop;
    watch->on_readable = on_readable;
    watch->on_writable = on_writable;
    watch->context = context;
    watch->socket = h2o_evloop_socket_create(loop->evloop, copy, H2O_SOCKET_FLAG_DONT_READ);
    watch->socket->data = watch;
    return watch;
}

void loop_watch_readable(struct loop_watch *watch, bool wanted)
{
    if (wanted == (bool)h2o_socket_is_reading(watch->socket))
        return;
    if (wanted)
        h2o_socket_read_start(watch->socket, on_socket_readable);
    else
        h2o_socket_read_stop(watch->socket);
}

void loop_watch_writable(struct loop_watch *watch, bool wanted)
{
    watch->wants_write = wanted;
    if (wanted && !watch->notified) {
        watch->notified = true;
        h2o_socket_notify_write(watch->socket, on_socket_writable);
    }
}

void loop_watch_stop(struct loop_watch *watch)
{
    watch->stopped = true;
    h2o_socket_close(watch->socket);
    if (watch->entered == 0)
        free(watch);
}

/* Messages. */

void loop_deliver(struct loop *loop)
{
    struct loop_message **end = &loop->taken;
    while (*end != NULL)
        end = &(*end)->next;
    pthread_mutex_lock(&loop->lock);
    *end = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    /* Called from within a message, this handles those behind it too: their owner may be about to go. */
    while (loop->taken != NULL) {
        struct loop_message *message = loop->taken;
        loop->taken = message->next;
        message->on_message(message);
    }
}

static void on_wakeup(void *context)
{
    struct loop *loop = context;
    uint64_t count;
    ssize_t ignored = read(loop->wakeup_fd, &count, sizeof(count));
    (void)ignored;
    loop_deliver(loop);
}

void loop_post(struct loop *loop, struct loop_message *message)
{
    uint64_t one = 1;
    message->next = NULL;
    pthread_mutex_lock(&loop->lock);
    *loop->last = message;
    loop->last = &message->next;
    pthread_mutex_unlock(&loop->lock);
    ssize_t ignored = write(loop->wakeup_fd, &one, sizeof(one));
    (void)ignored;
}

/* The loop itself. */

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return NULL;
    pthread_mutex_init(&loop->lock, NULL);
    loop->last = &loop->first;
    loop->evloop = h2o_evloop_create();
    loop->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wakeup_fd >= 0)
        loop->wakeup = loop_watch_start(loop, loop->wakeup_fd, on_wakeup, NULL, loop);
    if (loop->wakeup == NULL) {
        loop_destroy(loop);
        return NULL;
    }
    loop_watch_readable(loop->wakeup, true);
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->wakeup != NULL)
        loop_watch_stop(loop->wakeup);
    if (loop->wakeup_fd >= 0)
        close(loop->wakeup_fd);
    /* h2o frees closed sockets in a turn of its loop. Its epoll descriptor stays open (h2o 2.2.5 never closes it): one
     * loop a thread, and a thread for the life of the process, make that harmless. */
    h2o_evloop_run(loop->evloop, 0);
    h2o_evloop_destroy(loop->evloop);
    free(loop->heap);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

struct st_h2o_evloop_t *loop_evloop(struct loop *loop)
{
    return loop->evloop;
}

/* A write that was made by a timer or a hook, and was through at once, is told of here. h2o itself would do that behind
 * its next wait, but in front of it would begin to watch the socket for writing, and never end that: where the socket
 * is full by then, its next readiness finds nobody who writes, and h2o aborts. */
static void tell_written(struct loop *loop)
{
    if (loop->evloop->_pending_as_client != NULL || loop->evloop->_pending_as_server != NULL)
        h2o_timeout__do_post_callback(loop->evloop);
}

void loop_turn(struct loop *loop, int32_t max_wait_ms)
{
    int32_t wait = max_wait_ms < LONGEST_WAIT_MS ? max_wait_ms : LONGEST_WAIT_MS;
    if (loop->hooks != NULL)
        wait = 0;
    if (wait != 0 && loop->timer_count != 0) {
        uint64_t now = clock_monotonic_us() / 1000, due = loop->heap[0]->due_ms;
        if (due <= now)
            wait = 0;
        else if (due - now < (uint64_t)wait)
            wait = (int32_t)(due - now);
    }
    loop->now_us = 0;
    h2o_evloop_run(loop->evloop, wait);
    run_timers(loop);
    run_hooks(loop);
    tell_written(loop);
}

uint64_t loop_now_us(const struct loop *loop)
{
    if (loop->now_us == 0)
        ((struct loop *)(uintptr_t)loop)->now_us = clock_monotonic_us();
    return loop->now_us;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop_now_us(loop) / 1000;
}
