/* The writer thread behind the records: workers add to one buffer under a lock that is held for a memcpy, the thread
 * swaps it for an empty one and writes. */
#include "audit/request_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

/* 16 MB hold a second of the fastest gateway's records; a disk that stands still longer than that loses records,
 * counted. */
#define SINK_CEILING (16u << 20)
#define LOG_CEILING (4u << 20)
/* A worker hands over when this much has gathered, or this much time has passed: the writer's wake-ups cost the
 * workers' cores. */
#define HAND_OVER_BYTES (64u << 10)
#define HAND_OVER_MS 20

struct request_sink {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct buffer pending; /* under the lock */
    bool stopping;         /* under the lock */
    atomic_uint_fast64_t dropped;
};

struct request_log {
    struct loop *loop;
    struct request_sink *sink;
    struct loop_timer timer;
    struct buffer lines;
    uint64_t count; /* lines in the buffer */
};

static uint64_t count_lines(struct text text)
{
    uint64_t count = 0;
    for (const char *at = text.data, *end = at + text.size;
         at != NULL && at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        count++;
    return count;
}

static void write_all(struct request_sink *sink, struct text text)
{
    while (text.size != 0) {
        ssize_t written = write(sink->fd, text.data, text.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            atomic_fetch_add(&sink->dropped, count_lines(text));
            log_event(LOG_ERROR, "request_log_failed", "cannot write request records: %s", strerror(errno));
            return;
        }
        text.data += written;
        text.size -= (size_t)written;
    }
}

static void *sink_run(void *context)
{
    struct request_sink *sink = context;
    struct buffer writing;
    bool stopping = false;
    buffer_init(&writing, SINK_CEILING);
    while (!stopping) {
        pthread_mutex_lock(&sink->lock);
        while (sink->pending.size == 0 && !sink->stopping)
            pthread_cond_wait(&sink->filled, &sink->lock);
        stopping = sink->stopping;
        struct buffer full = sink->pending;
        sink->pending = writing;
        pthread_mutex_unlock(&sink->lock);
        writing = full;
        write_all(sink, buffer_text(&writing));
        buffer_clear(&writing);
    }
    buffer_free(&writing);
    return NULL;
}

enum status request_sink_create(const char *path, struct request_sink **out, struct failure *failure)
{
    struct request_sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    sink->fd =
        strcmp(path, "stdout") == 0 ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (sink->fd < 0) {
        enum status status = failure_set(failure, STATUS_INVALID,
                                         "log.requests: cannot append to %s: %s; name a file in a writable folder",
                                         path, strerror(errno));
        free(sink);
        return status;
    }
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->filled, NULL);
    buffer_init(&sink->pending, SINK_CEILING);
    if (pthread_create(&sink->thread, NULL, sink_run, sink) != 0) {
        close(sink->fd);
        free(sink);
        return failure_set(failure, STATUS_FAILED, "cannot start the request log's thread");
    }
    *out = sink;
    return STATUS_OK;
}

void request_sink_destroy(struct request_sink *sink)
{
    if (sink == NULL)
        return;
    pthread_mutex_lock(&sink->lock);
    sink->stopping = true;
    pthread_cond_signal(&sink->filled);
    pthread_mutex_unlock(&sink->lock);
    pthread_join(sink->thread, NULL);
    buffer_free(&sink->pending);
    pthread_mutex_destroy(&sink->lock);
    pthread_cond_destroy(&sink->filled);
    close(sink->fd);
    free(sink);
}

uint64_t request_sink_dropped(const struct request_sink *sink)
{
    return sink != NULL ? atomic_load(&sink->dropped) : 0;
}

static void hand_over(struct request_log *log)
{
    struct request_sink *sink = log->sink;
    if (log->lines.failed || log->lines.size == 0) {
        atomic_fetch_add(&sink->dropped, log->lines.failed ? log->count : 0);
    } else {
        pthread_mutex_lock(&sink->lock);
        bool was_empty = sink->pending.size == 0;
        buffer_append_text(&sink->pending, buffer_text(&log->lines));
        bool dropped = sink->pending.failed;
        sink->pending.failed = false;
        if (was_empty)
            pthread_cond_signal(&sink->filled);
        pthread_mutex_unlock(&sink->lock);
        if (dropped)
            atomic_fetch_add(&sink->dropped, log->count);
    }
    log->count = 0;
    buffer_clear(&log->lines);
}

static void on_due(struct loop_timer *timer)
{
    hand_over((struct request_log *)((char *)timer - offsetof(struct request_log, timer)));
}

struct request_log *request_log_create(struct loop *loop, struct request_sink *sink)
{
    struct request_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return NULL;
    log->loop = loop;
    log->sink = sink;
    buffer_init(&log->lines, LOG_CEILING);
    return log;
}

void request_log_destroy(struct request_log *log)
{
    if (log == NULL)
        return;
    loop_timer_stop(&log->timer);
    if (log->sink != NULL)
        hand_over(log);
    buffer_free(&log->lines);
    free(log);
}

bool request_log_is_kept(const struct request_log *log)
{
    return log->sink != NULL;
}

void request_log_record(struct request_log *log, const struct audit_record *record)
{
    if (log->sink == NULL)
        return;
    record_append_line(&log->lines, record);
    log->count++;
    if (log->lines.size >= HAND_OVER_BYTES)
        hand_over(log);
    else if (log->timer.loop == NULL)
        loop_timer_start(log->loop, &log->timer, HAND_OVER_MS, on_due);
}
