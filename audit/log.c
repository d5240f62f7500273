#include "audit/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "audit/log_private.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/random.h"

static struct audit_log *log_of_hook(struct loop_hook *hook)
{
    return (struct audit_log *)((char *)hook - offsetof(struct audit_log, hook));
}

void audit_options_set(struct audit_options *options, struct text secret)
{
    unsigned char digest[HASH_SHA256_SIZE], chance[2];
    char digits[4];
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm utc;
    hash_hmac_key_set(&options->key, secret);
    hash_sha256(secret, digest);
    encoding_hex(digest, 4, options->key_name);
    options->key_name[8] = '\0';
    random_bytes(chance, sizeof(chance));
    encoding_hex(chance, sizeof(chance), digits);
    gmtime_r(&now, &utc);
    size_t size = strftime(options->started, sizeof(options->started), "%Y%m%dT%H%M%S", &utc);
    snprintf(options->started + size, sizeof(options->started) - size, "-%.4s", digits);
}

/* --- lines --- */

/* The line that began at `start` counts; false: it found no room, and never was. */
static bool end_line(struct audit_log *log, size_t start, bool tells_what_was)
{
    log->appended++;
    if (!chain_seal(&log->head, &log->options->key, &log->lines, start)) {
        log->lines.size = start;
        log->lines.failed = false;
        log->dropped++;
        log->statistics.dropped++;
        return false;
    }
    buffer_append_char(&log->kept, tells_what_was ? 'k' : 'd');
    log->statistics.records++;
    return true;
}

bool log_append_event(struct audit_log *log, const char *event, void (*append)(struct audit_log *log))
{
    size_t start = log->lines.size;
    chain_begin_line(&log->head, &log->lines);
    entry_append_event(&log->lines, clock_wall_us(), event);
    if (append != NULL)
        append(log);
    return end_line(log, start, true);
}

static void append_gap(struct audit_log *log)
{
    if (log->dropped != 0)
        entry_append_number(&log->lines, "dropped", log->dropped);
    if (log->refused != 0)
        entry_append_number(&log->lines, "refused", log->refused);
    log->dropped = log->refused = 0;
}

/* A person's pseudonym, remembered by a hash of who he is (64 bits, seeded: nobody can aim at another's). */
static struct text pseudonym_of(struct audit_log *log, const struct audit_record *record)
{
    if (record->subject.data == NULL || log->options->subjects == NULL)
        return TEXT_NONE;
    uint64_t person = hash_text(record->subject) ^ (hash_text(record->customer) * 0x9E3779B97F4A7C15u);
    uint64_t generation = subjects_generation(log->options->subjects);
    struct log_memo *memo = &log->memo[person % LOG_MEMO];
    if (memo->person != person || memo->generation != generation) {
        if (!subjects_find(log->options->subjects, record->customer, record->subject, memo->pseudonym)) {
            memo->generation = 0;
            return TEXT("unrecorded");
        }
        memo->person = person;
        memo->generation = generation;
    }
    return text_of(memo->pseudonym, sizeof(memo->pseudonym));
}

/* A full disk takes nothing back of what its caller learns at once. */
static bool is_kept(const struct audit_log *log, enum audit_kind kind)
{
    if (kind == AUDIT_READ_INTENT || kind == AUDIT_READ_ANSWER)
        return audit_log_accepts(log);
    return kind == AUDIT_OUTCOME || kind == AUDIT_INCOMPLETE;
}

bool audit_log_append(struct audit_log *log, enum audit_kind kind, const struct audit_record *record)
{
    size_t start = log->lines.size;
    struct text subject = kind == AUDIT_INCOMPLETE ? TEXT_NONE : pseudonym_of(log, record);
    chain_begin_line(&log->head, &log->lines);
    if (kind == AUDIT_INTENT || kind == AUDIT_READ_INTENT) {
        entry_append_intent(&log->lines, record, subject, log->options->address);
    } else if (kind == AUDIT_INCOMPLETE) {
        entry_append_event(&log->lines, clock_wall_us(), "incomplete");
        entry_append_text(&log->lines, "request_id", record->request_id);
        entry_append_number(&log->lines, "bytes", record->bytes);
    } else {
        entry_append_request(&log->lines, record, subject, log->options->address);
    }
    bool has_room = end_line(log, start, is_kept(log, kind));
    loop_hook_request(log->loop, &log->hook);
    return has_room || log->options->on_full == AUDIT_CONTINUE;
}

/* --- who waits --- */

static void end_turn(struct audit_log *log);

static void unlink_wait(struct log_waits *waits, struct audit_wait *wait)
{
    *(wait->previous != NULL ? &wait->previous->next : &waits->first) = wait->next;
    *(wait->next != NULL ? &wait->next->previous : &waits->last) = wait->previous;
    wait->log = NULL;
}

static struct log_waits *waits_of(struct audit_log *log, enum audit_reached reached)
{
    return reached == AUDIT_WRITTEN ? &log->for_written : &log->for_durable;
}

/* It works, or it is the sync alone that does not. */
static bool takes_writes(const struct audit_log *log)
{
    return !log->failing || log->undurable;
}

static bool is_time_to_write(const struct audit_log *log)
{
    return log->lines.size >= LOG_WRITE_BYTES && takes_writes(log);
}

static void begin_wait(struct audit_wait *wait)
{
    struct audit_log *log = wait->log;
    struct log_waits *waits = waits_of(log, wait->reached);
    wait->previous = waits->last;
    *(waits->last != NULL ? &waits->last->next : &waits->first) = wait;
    waits->last = wait;
    loop_hook_request(log->loop, &log->hook);
}

void audit_log_wait(struct audit_log *log, struct audit_wait *wait, bool appended, enum audit_reached reached,
                    void (*on_reached)(struct audit_wait *wait, bool there))
{
    /* Whatever becomes of the write: what is kept in the tail was decided when it was appended. */
    bool there = appended && reached == AUDIT_WRITTEN && audit_log_accepts(log), lost = !appended;
    if (is_time_to_write(log) && !log->turning) {
        end_turn(log);
        lost = lost || !audit_log_accepts(log); /* rolled back, before anybody stood in the list */
    }
    *wait = (struct audit_wait){.position = log->appended,
                                .reached = reached,
                                .lost = lost && !there,
                                .log = there ? NULL : log,
                                .on_reached = on_reached};
    if (there)
        on_reached(wait, true);
    else
        begin_wait(wait);
}

void audit_log_leave(struct audit_wait *wait)
{
    if (wait->log != NULL)
        unlink_wait(waits_of(wait->log, wait->reached), wait);
}

/* Callbacks may append and wait anew: those stand behind `position`. */
static void resolve(struct log_waits *waits, uint64_t position, bool there)
{
    struct audit_wait *wait;
    while ((wait = waits->first) != NULL && wait->position <= position) {
        unlink_wait(waits, wait);
        wait->on_reached(wait, there && !wait->lost);
    }
}

/* --- a disk that takes nothing --- */

/* Between the number and the hash. */
static struct text words_of(struct text line)
{
    const char *comma = memchr(line.data, ',', line.size);
    return text_of(comma, (size_t)(line.data + line.size - CHAIN_TAIL_SIZE - comma));
}

/* Refusing: what must not happen without its record does not happen, so its record goes; what has happened stays. */
static void roll_back(struct audit_log *log)
{
    struct buffer lines = log->lines, kept = log->kept;
    size_t at = 0;
    tail_begin_other(&log->tail, &log->lines);
    buffer_init(&log->kept, TAIL_HALF);
    log->head = log->on_file;
    for (size_t i = 0; i < kept.size; i++) {
        const char *end = memchr(lines.data + at, '\n', lines.size - at);
        size_t size = (size_t)(end + 1 - (lines.data + at)), start = log->lines.size;
        if (kept.data[i] == 'k') {
            chain_begin_line(&log->head, &log->lines);
            buffer_append_text(&log->lines, words_of(text_of(lines.data + at, size)));
            end_line(log, start, true);
            log->appended--; /* it was counted when it was appended first */
            log->statistics.records--;
        } else {
            log->refused++;
            log->statistics.records--;
        }
        at += size;
    }
    tail_switch(&log->tail);
    buffer_free(&kept);
}

/* Until the next try: nothing goes out, or all of it. */
static void resolve_without_writing(struct audit_log *log, bool refuse)
{
    uint64_t position = log->appended;
    if (refuse)
        roll_back(log);
    resolve(&log->for_written, position, !refuse);
    resolve(&log->for_durable, position, !refuse);
}

static void on_retry(struct loop_timer *timer);

static void fail(struct audit_log *log, int error)
{
    bool refuse = log->options->on_full == AUDIT_REFUSE;
    if (!log->failing)
        log_event(LOG_ERROR, "audit_failed", "the audit log cannot be written in %s: %s; %s", log->options->folder,
                  strerror(error), refuse ? "requests are refused until it can" : "requests are served, records wait");
    log->failing = log->statistics.failing = true;
    log->statistics.failures++;
    loop_timer_start(log->loop, &log->retry, LOG_RETRY_MS, on_retry);
    resolve_without_writing(log, refuse);
}

/* --- a turn's end --- */

static bool flush(struct audit_log *log);

static void on_synced(struct loop_message *message)
{
    struct audit_log *log =
        (struct audit_log *)((char *)message - offsetof(struct audit_log, job) - offsetof(struct audit_sync_job, done));
    log->syncing = false;
    log->statistics.syncs++;
    if (log->job.error != 0) {
        log->undurable = true;
        fail(log, log->job.error);
        return;
    }
    /* The job's segment may be closed by now: then the next one's name is still to come. */
    if (log->job.folder_fd >= 0 && log->syncing_segment == log->segment.number)
        log->fresh = false;
    log->durable = log->syncing_to;
    if (log->undurable) {
        log->undurable = false;
        if (!flush(log))
            fail(log, errno);
    }
    resolve(&log->for_durable, log->durable, true);
    if (log->for_durable.first != NULL && !log->failing)
        log_sync(log);
}

/* A segment that was closed meanwhile is synced by a job in front of this one. */
void log_sync(struct audit_log *log)
{
    if (log->syncing)
        return;
    log->syncing = true;
    log->syncing_to = log->written;
    log->syncing_segment = log->segment.number;
    log->job.file = log->file;
    log->job.to = log->size;
    log->job.head = log->on_file;
    log->job.folder_fd = log->fresh ? log->folder_fd : -1;
    log->job.done.on_message = on_synced;
    audit_sync_start(log->options->sync, &log->job);
}

/* Where a full buffer does not even take this, the numbers stay for the next one. */
static void tell_gap(struct audit_log *log)
{
    uint64_t dropped = log->dropped, refused = log->refused;
    if (!log_append_event(log, "gap", append_gap)) {
        log->statistics.dropped--;
        log->dropped = dropped;
        log->refused = refused;
    }
}

static bool flush(struct audit_log *log)
{
    if (log->failing && !log->undurable && (log->dropped != 0 || log->refused != 0 || log->lines.size == 0))
        tell_gap(log);
    if (log->lines.size != 0 && !log_file_write(log))
        return false;
    log->written = log->appended;
    if (log->undurable)
        return true;
    if (log->failing)
        log_event(LOG_WARNING, "audit_works_again", "the audit log in %s can be written again", log->options->folder);
    log->failing = log->statistics.failing = false;
    if (log->dropped != 0 || log->refused != 0) {
        tell_gap(log);
        loop_hook_request(log->loop, &log->hook);
    }
    return true;
}

static void write_and_resolve(struct audit_log *log)
{
    bool refuse = log->failing && log->options->on_full == AUDIT_REFUSE;
    if (refuse || !takes_writes(log)) {
        resolve_without_writing(log, refuse);
        return;
    }
    if (!flush(log)) {
        fail(log, errno);
        return;
    }
    resolve(&log->for_written, log->written, true);
    if (log->for_durable.first != NULL)
        log_sync(log);
    /* The job's file must not be closed under it: a closed segment follows the jobs that stand before it. */
    log_file_rotate(log);
    if (log->lines.size != 0)
        loop_hook_request(log->loop, &log->hook);
}

static void end_turn(struct audit_log *log)
{
    log->turning = true;
    write_and_resolve(log);
    log->turning = false;
}

static void on_soon(struct loop_timer *timer)
{
    struct audit_log *log = (struct audit_log *)((char *)timer - offsetof(struct audit_log, soon));
    if (log->lines.size != 0 && takes_writes(log))
        end_turn(log);
}

static void on_turn_end(struct loop_hook *hook)
{
    struct audit_log *log = log_of_hook(hook);
    if (log->for_written.first != NULL || log->for_durable.first != NULL || is_time_to_write(log))
        end_turn(log);
    else if (log->soon.loop == NULL)
        loop_timer_start(log->loop, &log->soon, LOG_WRITE_MS, on_soon);
}

static void on_retry(struct loop_timer *timer)
{
    struct audit_log *log = (struct audit_log *)((char *)timer - offsetof(struct audit_log, retry));
    if (log->undurable)
        log_sync(log); /* its end tells */
    else if (!flush(log))
        fail(log, errno);
}

static void on_age(struct loop_timer *timer)
{
    struct audit_log *log = (struct audit_log *)((char *)timer - offsetof(struct audit_log, age));
    end_turn(log);
    loop_timer_start(log->loop, timer, log->options->segment_age_ms, on_age);
}

/* --- its life --- */

static void append_begin(struct audit_log *log)
{
    const struct audit_options *options = log->options;
    entry_append_text(&log->lines, "chain", text_from_string(log->segment.chain));
    entry_append_text(&log->lines, "instance", text_from_string(options->instance));
    entry_append_number(&log->lines, "pid", (uint64_t)getpid());
    entry_append_text(&log->lines, "release", text_from_string(options->release));
    entry_append_text(&log->lines, "key", text_from_string(options->key_name));
}

static int sync_now(struct audit_log *log)
{
    return audit_sync_now(log->options->sync, log->file, log->size, &log->on_file);
}

static enum status begin(struct audit_log *log, struct failure *failure)
{
    const struct audit_options *options = log->options;
    log->folder_fd = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->folder_fd < 0)
        return failure_set(failure, STATUS_FAILED, "audit.folder: cannot open %s: %s", options->folder,
                           strerror(errno));
    if (!log_file_create(log))
        return failure_set(failure, STATUS_FAILED, "audit.folder: cannot make a file in %s: %s", options->folder,
                           strerror(errno));
    if (!tail_create(&log->tail, log->folder_fd, log->segment.chain))
        return failure_set(failure, STATUS_FAILED,
                           "audit.folder: cannot make %s/%s.tail: %s; it needs %zu MB for each worker, on a file "
                           "system that lets files be mapped shared",
                           options->folder, log->segment.chain, strerror(errno), 2 * TAIL_HALF >> 20);
    tail_begin(&log->tail, &log->lines);
    log_append_event(log, "begin", append_begin);
    if (!log_file_write(log) || (errno = sync_now(log)) != 0 || fsync(log->folder_fd) != 0)
        return failure_set(failure, STATUS_FAILED, "audit.folder: cannot write in %s: %s", options->folder,
                           strerror(errno));
    log->fresh = false;
    log->written = log->durable = log->appended;
    loop_timer_start(log->loop, &log->age, options->segment_age_ms, on_age);
    return STATUS_OK;
}

enum status audit_log_open(struct loop *loop, const struct audit_options *options, unsigned index,
                           struct audit_log **out, struct failure *failure)
{
    struct audit_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    log->loop = loop;
    log->options = options;
    log->folder_fd = -1;
    log->hook.on_turn_end = on_turn_end;
    buffer_init(&log->kept, TAIL_HALF);
    log->segment.number = 1;
    snprintf(log->segment.chain, sizeof(log->segment.chain), "%s-%s-w%u", options->instance, options->started, index);
    enum status status = begin(log, failure);
    if (status == STATUS_OK)
        *out = log;
    else
        audit_log_close(log);
    return status;
}

static void append_end(struct audit_log *log)
{
    entry_append_number(&log->lines, "segment", log->segment.number);
}

/* What is left goes first: a tail that is full has no room for the end. */
static bool write_end(struct audit_log *log)
{
    if (log->lines.size != 0 && !log_file_write(log))
        return false;
    if (log->dropped != 0 || log->refused != 0)
        tell_gap(log);
    log_append_event(log, "end", append_end);
    return log_file_write(log);
}

void audit_log_close(struct audit_log *log)
{
    if (log == NULL)
        return;
    if (log->syncing) {
        audit_sync_await(log->options->sync, &log->job);
        loop_deliver(log->loop);
    }
    /* Only now: what was delivered may have asked for them. */
    loop_hook_cancel(log->loop, &log->hook);
    loop_timer_stop(&log->soon);
    loop_timer_stop(&log->retry);
    loop_timer_stop(&log->age);
    if (log->file != NULL) {
        if (write_end(log) && (errno = sync_now(log)) == 0)
            tail_remove(log->folder_fd, log->segment.chain);
        else
            log_event(LOG_ERROR, "audit_failed", "the end of the audit log cannot be written: %s", strerror(errno));
        audit_sync_drop(log->options->sync, log->file);
    }
    if (log->folder_fd >= 0)
        close(log->folder_fd);
    tail_close(&log->tail);
    buffer_free(&log->kept);
    free(log);
}

bool audit_log_has(const struct audit_log *log, const struct audit_wait *wait)
{
    return wait->position <= log->written && !wait->lost;
}

bool audit_log_accepts(const struct audit_log *log)
{
    return !log->failing || log->options->on_full == AUDIT_CONTINUE;
}

struct audit_statistics audit_log_statistics(const struct audit_log *log)
{
    struct audit_statistics statistics = log->statistics;
    statistics.head = log->on_file;
    return statistics;
}

const char *audit_log_chain(const struct audit_log *log)
{
    return log->segment.chain;
}
