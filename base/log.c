#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/json.h"

#define RING_CEILING ((size_t)1 << 20) /* bytes waiting for the writer */

/* The one log of the process: everything else would have to carry it through every function. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_t thread;
    struct buffer pending; /* under the lock */
    bool running;          /* under the lock */
    int fd;
    _Atomic int level;
    atomic_uint_fast64_t dropped;
} the_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .level = LOG_INFO};

static void write_all(int fd, struct text text)
{
    while (text.size != 0) {
        ssize_t written = write(fd, text.data, text.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody is left who could be told */
        text.data += written;
        text.size -= (size_t)written;
    }
}

static void *log_run(void *context)
{
    struct buffer writing;
    bool running = true;
    (void)context;
    buffer_init(&writing, RING_CEILING);
    while (running) {
        pthread_mutex_lock(&the_log.lock);
        while (the_log.pending.size == 0 && the_log.running)
            pthread_cond_wait(&the_log.filled, &the_log.lock);
        running = the_log.running;
        struct buffer full = the_log.pending;
        the_log.pending = writing;
        pthread_mutex_unlock(&the_log.lock);
        writing = full;
        write_all(the_log.fd, buffer_text(&writing));
        buffer_clear(&writing);
    }
    buffer_free(&writing);
    return NULL;
}

void log_start(int fd, enum log_level level)
{
    pthread_mutex_lock(&the_log.lock);
    the_log.fd = fd;
    the_log.level = level;
    buffer_init(&the_log.pending, RING_CEILING);
    the_log.running = pthread_create(&the_log.thread, NULL, log_run, NULL) == 0;
    pthread_mutex_unlock(&the_log.lock);
}

void log_stop(void)
{
    pthread_mutex_lock(&the_log.lock);
    bool was_running = the_log.running;
    the_log.running = false;
    pthread_cond_signal(&the_log.filled);
    pthread_mutex_unlock(&the_log.lock);
    if (was_running)
        pthread_join(the_log.thread, NULL);
    buffer_free(&the_log.pending);
}

static uint64_t count_lines(struct text lines)
{
    uint64_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    return count;
}

void log_lines(struct text lines)
{
    pthread_mutex_lock(&the_log.lock);
    bool running = the_log.running;
    if (running) {
        bool was_empty = the_log.pending.size == 0;
        buffer_append_text(&the_log.pending, lines);
        if (the_log.pending.failed)
            atomic_fetch_add(&the_log.dropped, count_lines(lines));
        the_log.pending.failed = false;
        if (was_empty)
            pthread_cond_signal(&the_log.filled);
    }
    pthread_mutex_unlock(&the_log.lock);
    if (!running)
        write_all(STDERR_FILENO, lines);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    char message[1024], time[DATE_INSTANT_TEXT_SIZE];
    if ((int)level < the_log.level)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    struct buffer line;
    buffer_init(&line, 16384);
    struct json json = json_writer(&line);
    date_format_instant(clock_wall_us(), time);
    json_open_object(&json);
    json_field_string(&json, "time", time);
    json_field_string(&json, "level", levels[level]);
    json_field_string(&json, "event", event);
    json_field_string(&json, "message", message);
    if (atomic_load(&the_log.dropped) != 0)
        json_field_int64(&json, "lines_dropped", (int64_t)atomic_load(&the_log.dropped));
    json_close_object(&json);
    buffer_append_char(&line, '\n');
    log_lines(buffer_text(&line));
    buffer_free(&line);
}

uint64_t log_dropped(void)
{
    return atomic_load(&the_log.dropped);
}
