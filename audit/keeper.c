#include "audit/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/keeper_private.h"
#include "audit/recover_private.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define LIST_AGAIN_US 60000000 /* at the latest */
#define KEEPER_NICE 10         /* requests go first */
#define SETTLE_NS 1000000000   /* a folder that changed so recently may change again within its clock's tick */
#define STOP_US 1500000        /* for the last anchor in the database */
#define LINES_CEILING ((size_t)16 << 20)

int64_t keeper_now_us(void)
{
    return (int64_t)clock_monotonic_us();
}

bool keeper_is_stopping(const struct keeper *keeper)
{
    return atomic_load_explicit(&keeper->stopping, memory_order_relaxed);
}

void keeper_count(struct keeper *keeper, uint64_t *counter, uint64_t more)
{
    pthread_mutex_lock(&keeper->lock);
    *counter += more;
    pthread_mutex_unlock(&keeper->lock);
}

void keeper_fail(struct keeper *keeper, const char *event, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    log_event(LOG_ERROR, event, "%s", words);
    keeper_count(keeper, &keeper->statistics.failures, 1);
}

/* --- the folder --- */

bool keeper_list(struct keeper *keeper, bool always)
{
    struct stat about;
    struct segment_list list;
    struct failure failure = {0};
    int64_t now = keeper_now_us();
    if (fstat(keeper->folder_fd, &about) != 0)
        return false;
    int64_t change = (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec;
    bool settled = keeper->listed_us != 0 && change == keeper->folder_change &&
                   clock_wall_us() * 1000 - change > SETTLE_NS && now - keeper->listed_us < LIST_AGAIN_US;
    if (settled && !always)
        return false;
    if (segment_list(keeper->options.audit->folder, &list, &failure) != STATUS_OK) {
        keeper_fail(keeper, "audit_keeper_failed", "%s", failure.message);
        return false;
    }
    segment_list_free(&keeper->list);
    keeper->list = list;
    keeper->listed_us = now;
    keeper->folder_change = change;
    return true;
}

size_t keeper_segments_of(const struct keeper *keeper, const char *chain, size_t *count)
{
    const struct segment_list *list = &keeper->list;
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list->items[middle].chain, chain) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0; low + *count < list->count && strcmp(list->items[low + *count].chain, chain) == 0;)
        ++*count;
    return low;
}

bool keeper_is_closed(struct keeper *keeper, size_t index)
{
    const struct segment_name *segment = &keeper->list.items[index];
    char name[SEGMENT_NAME_MAX];
    bool is_newest =
        index + 1 == keeper->list.count || strcmp(keeper->list.items[index + 1].chain, segment->chain) != 0;
    if (segment->compressed || !is_newest)
        return true; /* a writer still at its fdatasync holds the lock: keeper_take leaves it */
    if (strcmp(segment->chain, keeper->own.chain) == 0)
        return false;
    segment_format(segment, name);
    int fd = openat(keeper->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ended = fd >= 0 && recover_ends_with(fd, TEXT("end"));
    if (fd >= 0)
        close(fd);
    return ended;
}

int keeper_take(struct keeper *keeper, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX];
    struct stat about;
    segment_format(segment, name);
    int fd = openat(keeper->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -1;
    /* Another process's keeper may have been here since the folder was listed. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink == 1)
        return fd;
    close(fd);
    return -1;
}

/* --- the chain of our own --- */

size_t keeper_begin(struct keeper *keeper, struct chain_head *head, struct buffer *lines, const char *event)
{
    (void)keeper;
    size_t start = lines->size;
    chain_begin_line(head, lines);
    entry_append_event(lines, clock_wall_us(), event);
    return start;
}

bool keeper_seal(struct keeper *keeper, struct chain_head *head, struct buffer *lines, size_t start)
{
    return chain_seal(head, &keeper->options.audit->key, lines, start);
}

static bool cut_off(struct keeper *keeper)
{
    if (keeper->own_torn && ftruncate(keeper->own_fd, (off_t)keeper->own_size) != 0)
        return false;
    keeper->own_torn = false;
    return true;
}

bool keeper_write(struct keeper *keeper, const struct chain_head *head, struct buffer *lines)
{
    if (lines->failed) {
        errno = ENOMEM;
        return false;
    }
    if (!cut_off(keeper))
        return false;
    keeper->own_torn = true;
    if (!file_write_all(keeper->own_fd, buffer_text(lines)) || fdatasync(keeper->own_fd) != 0) {
        int error = errno;
        (void)cut_off(keeper); /* else the next time */
        errno = error;
        return false;
    }
    keeper->own_torn = false;
    keeper->own_size += lines->size;
    keeper->own_head = *head;
    return true;
}

/* "begin" and "end". */
static bool write_event(struct keeper *keeper, const char *event)
{
    const struct audit_options *audit = keeper->options.audit;
    struct chain_head head = keeper->own_head;
    struct buffer lines;
    buffer_init(&lines, LINES_CEILING);
    size_t start = keeper_begin(keeper, &head, &lines, event);
    if (head.seq == 0) {
        entry_append_text(&lines, "chain", text_from_string(keeper->own.chain));
        entry_append_text(&lines, "instance", text_from_string(audit->instance));
        entry_append_number(&lines, "pid", (uint64_t)getpid());
        entry_append_text(&lines, "release", text_from_string(audit->release));
        entry_append_text(&lines, "key", text_from_string(audit->key_name));
    } else {
        entry_append_number(&lines, "segment", keeper->own.number);
    }
    bool written = keeper_seal(keeper, &head, &lines, start) && keeper_write(keeper, &head, &lines);
    buffer_free(&lines);
    return written;
}

static enum status begin(struct keeper *keeper, struct failure *failure)
{
    const struct audit_options *audit = keeper->options.audit;
    keeper->own.number = 1;
    snprintf(keeper->own.chain, sizeof(keeper->own.chain), "%s-%s-k", audit->instance, audit->started);
    keeper->folder_fd = open(audit->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (keeper->folder_fd >= 0)
        keeper->own_fd = segment_create(keeper->folder_fd, &keeper->own);
    if (keeper->own_fd < 0 || !write_event(keeper, "begin") || fsync(keeper->folder_fd) != 0)
        return failure_set(failure, STATUS_FAILED, "audit.folder: cannot make a file in %s: %s", audit->folder,
                           strerror(errno));
    if (keeper->options.anchor_file == NULL)
        return STATUS_OK;
    keeper->anchor_fd = open(keeper->options.anchor_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return keeper->anchor_fd >= 0 ? STATUS_OK
                                  : failure_set(failure, STATUS_INVALID,
                                                "audit.anchors.file: cannot open %s: %s; its folder must be there",
                                                keeper->options.anchor_file, strerror(errno));
}

/* --- the thread --- */

static void look_after_files(struct keeper *keeper)
{
    if (keeper_list(keeper, false))
        keeper_compress(keeper);
    keeper_tidy(keeper);
}

/* True: there is more to do at once. */
static void look_after_database(struct keeper *keeper)
{
    if (keeper->options.login == NULL || !keeper_reach(keeper))
        return;
    keeper_erase(keeper);
    if (keeper->session != NULL)
        keeper_ship(keeper);
    keeper_expire(keeper);
}

static void publish(struct keeper *keeper)
{
    uint64_t lag = keeper_lag(keeper);
    pthread_mutex_lock(&keeper->lock);
    keeper->statistics.ship_lag = lag;
    pthread_mutex_unlock(&keeper->lock);
}

static void wait_a_tick(struct keeper *keeper)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += KEEPER_TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&keeper->lock);
    if (!keeper_is_stopping(keeper))
        pthread_cond_timedwait(&keeper->wake, &keeper->lock, &until);
    pthread_mutex_unlock(&keeper->lock);
}

static void *run(void *context)
{
    struct keeper *keeper = context;
    pthread_setname_np(pthread_self(), "audit-keeper");
    setpriority(PRIO_PROCESS, 0, KEEPER_NICE); /* Linux: of this thread alone */
    while (!keeper_is_stopping(keeper)) {
        look_after_files(keeper);
        look_after_database(keeper);
        keeper_anchor(keeper, false);
        publish(keeper);
        wait_a_tick(keeper);
    }
    if (!write_event(keeper, "end"))
        log_event(LOG_ERROR, "audit_keeper_failed",
                  "the end of the keeper's chain cannot be written: %s; the next "
                  "start ends it",
                  strerror(errno));
    keeper_anchor(keeper, true);
    return NULL;
}

static enum status start(struct keeper *keeper, struct failure *failure)
{
    int error = pthread_create(&keeper->thread, NULL, run, keeper);
    keeper->started = error == 0;
    return error == 0 ? STATUS_OK
                      : failure_set(failure, STATUS_FAILED, "cannot start the audit log's keeper: %s", strerror(error));
}

static void init_locks(struct keeper *keeper)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_init(&keeper->stopping, false);
}

enum status keeper_create(const struct keeper_options *options, struct keeper **out, struct failure *failure)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    keeper->options = *options;
    keeper->folder_fd = keeper->own_fd = keeper->anchor_fd = -1;
    init_locks(keeper);
    buffer_init(&keeper->batch, KEEPER_BATCH_BYTES + 4 * CHAIN_LINE_MAX);
    keeper->anchored = calloc(options->log_count + 1, sizeof(*keeper->anchored));
    keeper->heads = calloc(options->log_count + 1, sizeof(*keeper->heads));
    keeper->window = malloc(KEEPER_WINDOW);
    enum status status = keeper->anchored != NULL && keeper->heads != NULL && keeper->window != NULL
                             ? begin(keeper, failure)
                             : failure_set(failure, STATUS_FAILED, "out of memory");
    if (status == STATUS_OK)
        status = start(keeper, failure);
    if (status == STATUS_OK)
        *out = keeper;
    else
        keeper_destroy(keeper);
    return status;
}

static void stop(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->stop_by_us = keeper_now_us() + STOP_US;
    atomic_store(&keeper->stopping, true);
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
}

void keeper_destroy(struct keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->started)
        stop(keeper);
    postgres_session_close(keeper->session);
    keeper_forget_places(keeper);
    free(keeper->chains);
    free(keeper->anchored);
    free(keeper->heads);
    free(keeper->window);
    buffer_free(&keeper->batch);
    segment_list_free(&keeper->list);
    if (keeper->own_fd >= 0)
        close(keeper->own_fd);
    if (keeper->anchor_fd >= 0)
        close(keeper->anchor_fd);
    if (keeper->folder_fd >= 0)
        close(keeper->folder_fd);
    pthread_cond_destroy(&keeper->wake);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

struct keeper_statistics keeper_statistics(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    struct keeper_statistics statistics = keeper->statistics;
    pthread_mutex_unlock(&keeper->lock);
    return statistics;
}
