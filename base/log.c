#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/json.h"

#define RING_CEILING ((size_t)1 << 20) /* bytes waiting for the writer; as many again may be with it */
#define NOTICE_SIZE 160                /* bytes of the line that tells of lost ones, at most */
#define STALLED_MS 1000                /* how long a descriptor that takes nothing may hold up log_stop */

/* The one log of the process: everything else would have to carry it through every function. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_t thread;
    struct buffer
        pending;  /* under the lock; RING_CEILING allocated at the start, so that a copy never waits for more */
    bool running; /* under the lock */
    int fd;       /* constant while the thread runs */
    bool torn;    /* the writer's: the last line written was cut, the next begins on a new one */
    _Atomic int level;
    atomic_uint_fast64_t dropped;
    uint64_t told; /* under the lock: how many of the dropped a notice has told of */
} the_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .level = LOG_INFO};

static uint64_t count_lines(struct text lines)
{
    uint64_t count = 0;
    for (const char *at = lines.data, *end = at + lines.size; at != end; at++)
        count += *at == '\n';
    return count;
}

static bool still_running(void)
{
    pthread_mutex_lock(&the_log.lock);
    bool running = the_log.running;
    pthread_mutex_unlock(&the_log.lock);
    return running;
}

/* Waits until the descriptor takes more. False once the log is to stop and nobody reads. */
static bool wait_writable(int fd)
{
    for (;;) {
        struct pollfd wanted = {.fd = fd, .events = POLLOUT};
        int ready = poll(&wanted, 1, STALLED_MS);
        if (ready > 0)
            return true;
        if ((ready < 0 && errno != EINTR) || (ready == 0 && !still_running()))
            return false;
    }
}

/* What was not written, from *text on, remains in it. Standard output is often a blocking pipe: in pieces that a
 * writable one takes whole, because a write that waits for its reader would hold up log_stop for ever. */
static bool write_all(int fd, struct text *text)
{
    while (text->size != 0) {
        if (!wait_writable(fd))
            return false;
        ssize_t written = write(fd, text->data, text->size < PIPE_BUF ? text->size : PIPE_BUF);
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (written <= 0)
            return false;
        text->data += written;
        text->size -= (size_t)written;
    }
    return true;
}

static void write_batch(struct text lines)
{
    struct text line_end = TEXT("\n");
    const char *start = lines.data;
    if (the_log.torn)
        the_log.torn = !write_all(the_log.fd, &line_end);
    bool written = !the_log.torn && write_all(the_log.fd, &lines);
    if (lines.data != start)
        the_log.torn = lines.data[-1] != '\n';
    if (!written)
        atomic_fetch_add(&the_log.dropped, count_lines(lines));
}

static void *log_run(void *context)
{
    struct buffer *writing = context;
    bool running = true;
    while (running) {
        pthread_mutex_lock(&the_log.lock);
        while (the_log.pending.size == 0 && the_log.running)
            pthread_cond_wait(&the_log.filled, &the_log.lock);
        running = the_log.running;
        struct buffer full = the_log.pending;
        the_log.pending = *writing;
        pthread_mutex_unlock(&the_log.lock);
        *writing = full;
        if (writing->size != 0)
            write_batch(buffer_text(writing));
        buffer_clear(writing);
    }
    buffer_free(writing);
    return NULL;
}

/* Signals are the main thread's: one that this thread took would not reach its signalfd. */
static bool start_thread(struct buffer *writing)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&the_log.thread, NULL, log_run, writing) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void log_set_level(enum log_level level)
{
    atomic_store(&the_log.level, (int)level);
}

void log_start(int fd, enum log_level level)
{
    static struct buffer writing; /* the thread's, from here on */
    pthread_mutex_lock(&the_log.lock);
    atomic_store(&the_log.level, (int)level);
    if (!the_log.running) {
        the_log.fd = fd;
        the_log.torn = false;
        buffer_init(&the_log.pending, RING_CEILING);
        buffer_init(&writing, RING_CEILING);
        the_log.running = buffer_reserve(&the_log.pending, RING_CEILING) != NULL &&
                          buffer_reserve(&writing, RING_CEILING) != NULL && start_thread(&writing);
        if (!the_log.running) { /* lines go on to stderr */
            buffer_free(&the_log.pending);
            buffer_free(&writing);
        }
    }
    pthread_mutex_unlock(&the_log.lock);
}

void log_stop(void)
{
    pthread_mutex_lock(&the_log.lock);
    bool was_running = the_log.running;
    the_log.running = false;
    pthread_cond_signal(&the_log.filled);
    pthread_mutex_unlock(&the_log.lock);
    if (!was_running)
        return;
    pthread_join(the_log.thread, NULL);
    pthread_mutex_lock(&the_log.lock);
    buffer_free(&the_log.pending);
    pthread_mutex_unlock(&the_log.lock);
}

/* Under the lock: the line that says how many were lost since the last that said so. False when it doesn't fit. */
static bool tell_of_dropped(void)
{
    uint64_t dropped = atomic_load(&the_log.dropped), lost = dropped - the_log.told;
    char now[DATE_INSTANT_TEXT_SIZE], line[NOTICE_SIZE];
    if (lost == 0)
        return true;
    date_format_instant(clock_wall_us(), now);
    int size = snprintf(line, sizeof(line),
                        "{\"time\":\"%s\",\"level\":\"warning\",\"event\":\"log_lines_dropped\","
                        "\"message\":\"%llu lines were lost\",\"lines\":%llu}\n",
                        now, (unsigned long long)lost, (unsigned long long)lost);
    if ((size_t)size > RING_CEILING - the_log.pending.size)
        return false;
    buffer_append(&the_log.pending, line, (size_t)size);
    the_log.told = dropped;
    return true;
}

/* Under the lock: as many whole lines as there is room for; the rest is counted. */
static void enqueue(struct text lines)
{
    size_t room = tell_of_dropped() ? RING_CEILING - the_log.pending.size : 0;
    size_t fitting = lines.size;
    if (fitting > room) {
        const char *last = room != 0 ? memrchr(lines.data, '\n', room) : NULL;
        fitting = last != NULL ? (size_t)(last - lines.data) + 1 : 0;
        atomic_fetch_add(&the_log.dropped, count_lines(text_of(lines.data + fitting, lines.size - fitting)));
    }
    buffer_append(&the_log.pending, lines.data, fitting);
}

void log_lines(struct text lines)
{
    if (lines.size == 0)
        return;
    pthread_mutex_lock(&the_log.lock);
    bool running = the_log.running;
    if (running) {
        bool was_empty = the_log.pending.size == 0;
        enqueue(lines);
        if (was_empty)
            pthread_cond_signal(&the_log.filled);
    }
    pthread_mutex_unlock(&the_log.lock);
    if (!running && !write_all(STDERR_FILENO, &lines))
        atomic_fetch_add(&the_log.dropped, count_lines(lines));
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    char message[1024], now[DATE_INSTANT_TEXT_SIZE];
    if ((int)level < atomic_load(&the_log.level))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    struct buffer line;
    buffer_init(&line, 16384); /* a message of escapes only takes 6 bytes a character */
    struct json json = json_writer(&line);
    date_format_instant(clock_wall_us(), now);
    json_open_object(&json);
    json_field_string(&json, "time", now);
    json_field_string(&json, "level", levels[level]);
    json_field_string(&json, "event", event);
    json_field_string(&json, "message", message);
    json_close_object(&json);
    buffer_append_char(&line, '\n');
    if (line.failed)
        atomic_fetch_add(&the_log.dropped, 1);
    else
        log_lines(buffer_text(&line));
    buffer_free(&line);
}

uint64_t log_dropped(void)
{
    return atomic_load(&the_log.dropped);
}
