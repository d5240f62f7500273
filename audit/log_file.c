/* The segments of a worker's log: written whole batch by whole batch, rotated by size and age. */
#include <errno.h>
#include <unistd.h>

#include "audit/log_private.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"

#define ROTATE_RETRY_MS 5000

static void take(struct audit_log *log, struct audit_sync_file *file)
{
    log->file = file;
    log->size = 0;
    log->torn = false;
    log->fresh = true;
    log->opened_ms = loop_now_ms(log->loop);
    log->rotate_ms = 0;
}

static void unlink_segment(struct audit_log *log, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX];
    segment_format(segment, name);
    unlinkat(log->folder_fd, name, 0);
}

/* NULL: errno tells, and there is no such file. */
static struct audit_sync_file *create(struct audit_log *log, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX];
    int fd = segment_create(log->folder_fd, segment);
    if (fd < 0)
        return NULL;
    segment_format(segment, name);
    struct audit_sync_file *file =
        audit_sync_file_open(log->loop, fd, log->folder_fd, name, &log->options->key, &log->on_file);
    if (file != NULL)
        return file;
    int error = errno;
    unlink_segment(log, segment);
    close(fd);
    errno = error;
    return NULL;
}

bool log_file_create(struct audit_log *log)
{
    struct audit_sync_file *file = create(log, &log->segment);
    if (file != NULL)
        take(log, file);
    return file != NULL;
}

/* What stands behind the last whole record goes. */
static bool cut_off(struct audit_log *log)
{
    if (log->torn && ftruncate(log->file->fd, (off_t)log->size) != 0)
        return false;
    log->torn = false;
    return true;
}

static void publish(struct audit_log *log)
{
    struct log_published *published = &log->published;
    uint64_t turn = atomic_load_explicit(&published->turn, memory_order_relaxed);
    uint64_t words[LOG_PUBLISHED_WORDS] = {log->on_file.seq};
    memcpy(words + 1, log->on_file.mac, CHAIN_MAC_SIZE);
    atomic_store_explicit(&published->turn, turn + 1, memory_order_relaxed);
    /* Released: who reads one of them sees the odd number, or a later one. */
    for (size_t i = 0; i < LOG_PUBLISHED_WORDS; i++)
        atomic_store_explicit(&published->words[i], words[i], memory_order_release);
    atomic_store_explicit(&published->turn, turn + 2, memory_order_release);
}

struct chain_head audit_log_head(struct audit_log *log)
{
    struct log_published *published = &log->published;
    uint64_t turn, words[LOG_PUBLISHED_WORDS];
    struct chain_head head;
    do {
        turn = atomic_load_explicit(&published->turn, memory_order_acquire);
        for (size_t i = 0; i < LOG_PUBLISHED_WORDS; i++)
            words[i] = atomic_load_explicit(&published->words[i], memory_order_acquire);
    } while ((turn & 1) != 0 || atomic_load_explicit(&published->turn, memory_order_relaxed) != turn);
    head.seq = words[0];
    memcpy(head.mac, words + 1, CHAIN_MAC_SIZE);
    return head;
}

bool log_file_write(struct audit_log *log)
{
    if (!cut_off(log))
        return false;
    log->torn = true;
    if (!file_write_all(log->file->fd, buffer_text(&log->lines))) {
        int error = errno;
        if (!cut_off(log))
            log_event(LOG_ERROR, "audit_cut_failed", "part of an audit record cannot be cut off; tried again");
        errno = error;
        return false;
    }
    log->torn = false;
    log->size += log->lines.size;
    log->statistics.writes++;
    log->statistics.bytes += log->lines.size;
    log->on_file = log->head;
    buffer_clear(&log->lines);
    buffer_clear(&log->kept);
    publish(log);
    return true;
}

static void append_close(struct audit_log *log)
{
    entry_append_number(&log->lines, "segment", log->segment.number);
}

/* The hash before stands in the line too: it is the trust's beginning where the segments before are deleted. */
static void append_continue(struct audit_log *log)
{
    char previous[2 * CHAIN_MAC_SIZE];
    encoding_hex(log->head.mac, CHAIN_MAC_SIZE, previous);
    entry_append_text(&log->lines, "chain", text_from_string(log->segment.chain));
    entry_append_number(&log->lines, "segment", log->segment.number);
    entry_append_text(&log->lines, "previous", text_of(previous, sizeof(previous)));
}

static bool is_due(const struct audit_log *log)
{
    uint64_t now = loop_now_ms(log->loop);
    return now >= log->rotate_ms && log->lines.size == 0 &&
           (log->size >= log->options->segment_bytes || now - log->opened_ms >= log->options->segment_age_ms);
}

/* False: the old segment goes on. */
static bool close_segment(struct audit_log *log)
{
    struct chain_head before = log->head;
    log_append_event(log, "close", append_close);
    if (log_file_write(log))
        return true;
    log->head = before;
    buffer_clear(&log->lines);
    buffer_clear(&log->kept);
    return false;
}

/* The next file is made first: where that fails nothing was said yet. */
void log_file_rotate(struct audit_log *log)
{
    struct segment_name next = log->segment;
    if (!is_due(log))
        return;
    /* One closed segment at most may not be on disk yet: then recovery knows what a power cut may leave. */
    if (audit_sync_is_closing(log->options->sync))
        return;
    /* No file more while the disk does not keep those that are there: the writer asks it again. */
    if (audit_sync_doubts(log->options->sync) != 0) {
        log->rotate_ms = loop_now_ms(log->loop) + ROTATE_RETRY_MS;
        log_sync(log);
        return;
    }
    next.number++;
    struct audit_sync_file *old = log->file, *file = create(log, &next);
    if (file == NULL || !close_segment(log)) {
        log_event(LOG_ERROR, "audit_rotate_failed", "cannot begin another segment of the audit log in %s: %s",
                  log->options->folder, strerror(errno));
        log->rotate_ms = loop_now_ms(log->loop) + ROTATE_RETRY_MS;
        if (file != NULL) {
            unlink_segment(log, &next);
            audit_sync_drop(log->options->sync, file);
        }
        return;
    }
    audit_sync_close(log->options->sync, old, log->size, &log->on_file);
    log->segment.number = next.number; /* only: its chain's name is read on other threads */
    take(log, file);
    file->head = log->on_file; /* "close" */
    log_append_event(log, "continue", append_continue);
}
