#include "audit/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/entry.h"
#include "audit/recover_private.h"
#include "audit/tail.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"

#define LINES_CEILING ((size_t)1 << 20)
#define COMPRESSED_TO 10                /* times: what records come to */
#define LINES_WRITE ((size_t)256 << 10) /* bytes that are written at once */

/* A chain that nobody has ended. */
struct patient {
    const char *folder;
    int folder_fd, fd; /* fd: of the segment that is ended, locked, or -1 */
    const struct hash_hmac_key *key;
    struct recover_result *result;
    struct segment_name segment;
    char name[SEGMENT_NAME_MAX];
    struct recover_reading reading;
    struct buffer tail; /* of the dead process: both halves, or nothing */
    struct buffer lines;
};

static enum status fail(const struct patient *patient, const char *what, struct failure *failure)
{
    return failure_set(failure, STATUS_FAILED, "audit.folder: cannot %s %s/%s: %s; check the disk it is on", what,
                       patient->folder, patient->name, strerror(errno));
}

static enum status flush(struct patient *patient, struct failure *failure)
{
    if (patient->lines.failed)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    if (!file_write_all(patient->fd, buffer_text(&patient->lines)))
        return fail(patient, "write to", failure);
    buffer_clear(&patient->lines);
    return STATUS_OK;
}

static size_t begin_line(struct patient *patient, const char *event)
{
    size_t start = patient->lines.size;
    chain_begin_line(&patient->reading.head, &patient->lines);
    entry_append_event(&patient->lines, clock_wall_us(), event);
    return start;
}

static enum status seal(struct patient *patient, size_t start, struct failure *failure)
{
    if (!chain_seal(&patient->reading.head, patient->key, &patient->lines, start))
        return failure_set(failure, STATUS_FAILED, "out of memory");
    return patient->lines.size >= LINES_WRITE ? flush(patient, failure) : STATUS_OK;
}

/* A segment's first line, where the crash came before it: as its writer would have written it. */
static enum status write_first(struct patient *patient, struct failure *failure)
{
    char previous[2 * CHAIN_MAC_SIZE];
    bool is_first = patient->segment.number == 1;
    encoding_hex(patient->reading.head.mac, CHAIN_MAC_SIZE, previous);
    size_t start = begin_line(patient, is_first ? "begin" : "continue");
    entry_append_text(&patient->lines, "chain", text_from_string(patient->segment.chain));
    if (!is_first) {
        entry_append_number(&patient->lines, "segment", patient->segment.number);
        entry_append_text(&patient->lines, "previous", text_of(previous, sizeof(previous)));
    }
    return seal(patient, start, failure);
}

static enum status write_lost(struct patient *patient, struct failure *failure)
{
    enum status status = STATUS_OK;
    struct recover_intent intent;
    for (size_t at = 0; status == STATUS_OK && recover_intents_each(&patient->reading.intents, &at, &intent);) {
        size_t start = begin_line(patient, "lost");
        entry_append_text(&patient->lines, "request_id", text_of(intent.request_id, intent.size));
        entry_append_number(&patient->lines, "intent", intent.seq);
        status = seal(patient, start, failure);
        patient->reading.lost++;
    }
    return status;
}

static enum status write_end(struct patient *patient, uint64_t torn, struct failure *failure)
{
    uint64_t more = patient->reading.intents.more;
    size_t start = begin_line(patient, "end");
    buffer_append_literal(&patient->lines, ",\"crash\":true");
    entry_append_number(&patient->lines, "segment", patient->segment.number);
    entry_append_number(&patient->lines, "torn", torn);
    entry_append_number(&patient->lines, "lost", patient->reading.lost);
    if (more != 0)
        entry_append_number(&patient->lines, "lost_more", more);
    enum status status = seal(patient, start, failure);
    patient->result->lost += patient->reading.lost + more;
    return status;
}

/* The crash came between a segment's "close" and the next one. */
static enum status begin_next(struct patient *patient, struct failure *failure)
{
    if (fdatasync(patient->fd) != 0)
        return fail(patient, "write to", failure);
    close(patient->fd);
    patient->segment.number++;
    segment_format(&patient->segment, patient->name);
    patient->fd = segment_create(patient->folder_fd, &patient->segment);
    return patient->fd < 0 ? fail(patient, "make", failure) : STATUS_OK;
}

/* A segment's "close" may come out of the tail, and what follows it in the next segment. */
static enum status begin_next_if_closed(struct patient *patient, struct failure *failure)
{
    if (patient->reading.last != RECOVER_CLOSE || patient->reading.lines == 0)
        return STATUS_OK;
    enum status status = flush(patient, failure);
    if (status == STATUS_OK)
        status = begin_next(patient, failure);
    patient->reading.lines = 0;
    return status;
}

/* What the process had sealed and not written. */
static enum status write_tail(struct patient *patient, struct failure *failure)
{
    enum status status = STATUS_OK;
    struct text best = TEXT_NONE, rest;
    for (size_t at = 0; at < patient->tail.size; at += TAIL_HALF) {
        rest = recover_tail_rest(&patient->reading, text_of(patient->tail.data + at, TAIL_HALF), patient->key);
        if (rest.size > best.size)
            best = rest;
    }
    while (status == STATUS_OK && best.size != 0) {
        size_t size = (size_t)((const char *)memchr(best.data, '\n', best.size) + 1 - best.data);
        buffer_append(&patient->lines, best.data, size);
        recover_read_on(&patient->reading, text_of(best.data, size));
        best = text_of(best.data + size, best.size - size);
        if (patient->reading.last == RECOVER_CLOSE || patient->reading.last == RECOVER_END)
            break; /* the last one of its segment */
        if (patient->lines.size >= LINES_WRITE)
            status = flush(patient, failure);
    }
    return status;
}

/* The process may have died when it had sealed its "end". */
static enum status write_last(struct patient *patient, uint64_t torn, struct failure *failure)
{
    enum status status = STATUS_OK;
    if (patient->reading.last == RECOVER_END)
        return STATUS_OK;
    if (patient->reading.lines == 0)
        status = write_first(patient, failure);
    if (status == STATUS_OK)
        status = write_lost(patient, failure);
    return status == STATUS_OK ? write_end(patient, torn, failure) : status;
}

static enum status write_rest(struct patient *patient, uint64_t torn, struct failure *failure)
{
    if (torn != 0 && ftruncate(patient->fd, (off_t)patient->reading.good_size) != 0)
        return fail(patient, "cut the torn end off", failure);
    enum status status = begin_next_if_closed(patient, failure);
    if (status == STATUS_OK)
        status = write_tail(patient, failure);
    if (status == STATUS_OK)
        status = begin_next_if_closed(patient, failure);
    if (status == STATUS_OK)
        status = write_last(patient, torn, failure);
    if (status == STATUS_OK)
        status = flush(patient, failure);
    if (status == STATUS_OK && (fdatasync(patient->fd) != 0 || fsync(patient->folder_fd) != 0))
        status = fail(patient, "write to", failure);
    if (status == STATUS_OK) {
        patient->result->chains++;
        patient->result->torn_bytes += torn;
    }
    return status;
}

/* A writer makes its next segment before it lets go of the one before, and that may be compressed at once. */
static bool has_next(int folder_fd, struct segment_name segment)
{
    char name[SEGMENT_NAME_MAX];
    struct stat info;
    bool found = false;
    segment.number++;
    for (int compressed = 0; compressed < 2 && !found; compressed++) {
        segment.compressed = compressed;
        segment_format(&segment, name);
        found = fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return found;
}

/* The segment, locked; -1: somebody writes it, or it is no file. */
static int lock(int folder_fd, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX];
    struct stat info;
    int result = -1;
    segment_format(segment, name);
    int fd = openat(folder_fd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        do
            result = flock(fd, LOCK_EX | LOCK_NB);
        while (result != 0 && errno == EINTR);
    if (result == 0 && fstat(fd, &info) == 0 && info.st_nlink != 0) /* it may have been deleted until then */
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A power cut may leave names of segments, and even what stands in the newest one, and not all of the one before. A
 * record is promised only when all before it are on disk, so behind a segment without its "close" nothing was: true. */
static bool is_behind_open(const struct patient *patient, const struct segment_list *list, size_t at)
{
    const struct segment_name *former = at > 0 ? &list->items[at - 1] : NULL;
    if (former == NULL || former->compressed || strcmp(former->chain, list->items[at].chain) != 0 ||
        former->number + 1 != list->items[at].number)
        return false;
    int fd = lock(patient->folder_fd, former);
    bool open = fd >= 0 && !recover_ends_with(fd, TEXT("close")) && !recover_ends_with(fd, TEXT("end"));
    if (fd >= 0)
        close(fd);
    return open;
}

/* The newest one first: whatever comes between, none is missing in the middle. */
static enum status drop(struct patient *patient, const struct segment_list *list, size_t from, size_t to,
                        uint64_t *torn, struct failure *failure)
{
    for (; to > from; to--) {
        char name[SEGMENT_NAME_MAX];
        struct stat info;
        segment_format(&list->items[to], name);
        if (fstatat(patient->folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            unlinkat(patient->folder_fd, name, 0) != 0)
            return failure_set(failure, STATUS_FAILED, "audit.folder: cannot delete %s/%s: %s", patient->folder, name,
                               strerror(errno));
        *torn += (uint64_t)info.st_size;
    }
    return STATUS_OK;
}

/* How many segments before it intents are looked for in: one, and more while all are small, for then a write that was
 * under way may have begun in one that is long closed. */
static unsigned formers(const struct patient *patient, const struct segment_list *list, size_t first)
{
    unsigned count = 0;
    uint64_t bytes = 0;
    while (count < first && count < list->items[first].number - 1 && bytes < RECOVER_BYTES &&
           strcmp(list->items[first - count - 1].chain, list->items[first].chain) == 0) {
        const struct segment_name *former = &list->items[first - count - 1];
        char name[SEGMENT_NAME_MAX];
        struct stat info;
        if (former->number + count + 1 != list->items[first].number)
            break;
        segment_format(former, name);
        if (fstatat(patient->folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)info.st_size * (former->compressed ? COMPRESSED_TO : 1);
        count++;
    }
    return count;
}

/* `first` gets the end; those behind it, up to `newest`, go. */
static enum status end_chain(struct patient *patient, const struct segment_list *list, size_t first, size_t newest,
                             struct failure *failure)
{
    recover_reading_init(&patient->reading);
    enum status status = recover_read(&patient->reading, patient->folder_fd, &patient->segment,
                                      formers(patient, list, first), patient->key, failure);
    if (status == STATUS_INVALID || (status == STATUS_OK && patient->reading.last == RECOVER_END)) {
        patient->result->broken += status == STATUS_INVALID;
        status = STATUS_OK;
    } else if (status == STATUS_OK) {
        uint64_t torn = patient->reading.size - patient->reading.good_size;
        status = drop(patient, list, first, newest, &torn, failure);
        if (status == STATUS_OK)
            status = tail_read(patient->folder_fd, patient->segment.chain, &patient->tail, failure);
        if (status == STATUS_OK)
            status = write_rest(patient, torn, failure);
        if (status == STATUS_OK)
            tail_remove(patient->folder_fd, patient->segment.chain);
    }
    recover_reading_free(&patient->reading);
    return status;
}

/* Nobody writes it, and nobody has since the folder was listed: then it is ours. */
static enum status heal(struct patient *patient, const struct segment_list *list, size_t newest,
                        struct failure *failure)
{
    enum status status = STATUS_OK;
    size_t first = newest;
    int fd = lock(patient->folder_fd, &list->items[newest]);
    if (fd < 0)
        return STATUS_OK;
    if (recover_ends_with(fd, TEXT("end"))) {
        tail_remove(patient->folder_fd, list->items[newest].chain);
    } else if (!has_next(patient->folder_fd, list->items[newest])) {
        while (is_behind_open(patient, list, first))
            first--;
        patient->segment = list->items[first];
        segment_format(&patient->segment, patient->name);
        patient->fd = first == newest ? fd : lock(patient->folder_fd, &patient->segment);
        if (patient->fd >= 0)
            status = end_chain(patient, list, first, newest, failure);
    }
    if (patient->fd != fd)
        close(fd);
    return status;
}

enum status recover_folder(const char *folder, const struct hash_hmac_key *key, struct recover_result *result,
                           struct failure *failure)
{
    struct segment_list list;
    *result = (struct recover_result){0};
    enum status status = segment_list(folder, &list, failure);
    if (status != STATUS_OK)
        return status;
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        status = failure_set(failure, STATUS_FAILED, "audit.folder: cannot open %s: %s", folder, strerror(errno));
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        bool is_newest = i + 1 == list.count || strcmp(list.items[i + 1].chain, list.items[i].chain) != 0;
        /* What is compressed was closed or ended before; behind it a process may have died before its tail was gone. */
        if (is_newest && list.items[i].compressed && !has_next(folder_fd, list.items[i]))
            tail_remove(folder_fd, list.items[i].chain);
        if (!is_newest || list.items[i].compressed)
            continue;
        struct patient patient = {folder, folder_fd, -1, key, result, .segment = list.items[i]};
        buffer_init(&patient.lines, LINES_CEILING);
        buffer_init(&patient.tail, 2 * TAIL_HALF);
        status = heal(&patient, &list, i, failure);
        if (patient.fd >= 0)
            close(patient.fd);
        buffer_free(&patient.lines);
        buffer_free(&patient.tail);
    }
    if (folder_fd >= 0)
        close(folder_fd);
    segment_list_free(&list);
    return status;
}
