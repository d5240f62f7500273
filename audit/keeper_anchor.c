/* The chains' heads are written down outside the folder: in the database, in a file elsewhere, or both. Whoever cuts a
 * chain's end off, or takes it away whole, is found by them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/keeper_private.h"
#include "base/clock.h"
#include "base/encoding.h"

#define TEXT_CEILING ((size_t)1 << 20)

static const char *chain_of(struct keeper *keeper, size_t i)
{
    return i < keeper->options.log_count ? audit_log_chain(keeper->options.logs[i]) : keeper->own.chain;
}

static struct chain_head head_of(struct keeper *keeper, size_t i)
{
    return i < keeper->options.log_count ? audit_log_head(keeper->options.logs[i]) : keeper->own_head;
}

/* An anchored record must not be lost with the power: what was written so far goes to disk first. The last two
 * segments, for one may just have been closed; their names follow, all at once. */
static bool bring_to_disk(struct keeper *keeper, const char *chain)
{
    size_t count, first = keeper_segments_of(keeper, chain, &count);
    bool good = true;
    for (size_t i = count > 2 ? count - 2 : 0; i < count; i++) {
        char name[SEGMENT_NAME_MAX];
        const struct segment_name *segment = &keeper->list.items[first + i];
        segment_format(segment, name);
        int fd = segment->compressed ? -1 : openat(keeper->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        good = good && (fd < 0 || fdatasync(fd) == 0);
        if (fd >= 0)
            close(fd);
    }
    return good;
}

static void append_digits(struct buffer *out, const struct chain_head *head)
{
    char digits[2 * CHAIN_MAC_SIZE];
    encoding_hex(head->mac, CHAIN_MAC_SIZE, digits);
    buffer_append(out, digits, sizeof(digits));
}

static bool has_moved(const struct chain_head *head, const struct chain_head *anchored)
{
    return head->seq != anchored->seq;
}

/* CHAIN SEQ MAC TIME */
static bool to_file(struct keeper *keeper, const struct chain_head *heads, size_t count)
{
    struct buffer lines;
    buffer_init(&lines, TEXT_CEILING);
    for (size_t i = 0; i < count; i++)
        if (has_moved(&heads[i], &keeper->anchored[i].file)) {
            buffer_printf(&lines, "%s %llu ", chain_of(keeper, i), (unsigned long long)heads[i].seq);
            append_digits(&lines, &heads[i]);
            buffer_append_char(&lines, ' ');
            struct buffer time;
            char quoted[64];
            buffer_init_on(&time, quoted, sizeof(quoted), sizeof(quoted));
            record_append_time(&time, clock_wall_us());
            buffer_append(&lines, quoted + 1, time.size - 2);
            buffer_append_char(&lines, '\n');
        }
    /* In one write: whoever reads meanwhile sees whole lines. */
    off_t end = lseek(keeper->anchor_fd, 0, SEEK_END);
    bool written =
        !lines.failed && (lines.size == 0 || (write(keeper->anchor_fd, lines.data, lines.size) == (ssize_t)lines.size &&
                                              fdatasync(keeper->anchor_fd) == 0));
    if (!written) {
        keeper_fail(keeper, "audit_anchor_failed", "audit.anchors.file: cannot write %s: %s; tried again",
                    keeper->options.anchor_file, strerror(errno));
        if (end >= 0)
            (void)!ftruncate(keeper->anchor_fd, end);
    }
    buffer_free(&lines);
    for (size_t i = 0; written && i < count; i++)
        keeper->anchored[i].file = heads[i];
    return written;
}

static void append_arrays(struct keeper *keeper, const struct chain_head *heads, size_t count, struct buffer arrays[3])
{
    for (size_t i = 0; i < 3; i++)
        buffer_append_char(&arrays[i], '{');
    for (size_t i = 0; i < count; i++) {
        if (!has_moved(&heads[i], &keeper->anchored[i].database))
            continue;
        for (size_t k = 0; k < 3; k++)
            buffer_append(&arrays[k], ",", arrays[k].size > 1);
        buffer_append_string(&arrays[0], chain_of(keeper, i)); /* no character of it needs quotes */
        buffer_append_uint64(&arrays[1], heads[i].seq);
        append_digits(&arrays[2], &heads[i]);
    }
    for (size_t i = 0; i < 3; i++)
        buffer_append_char(&arrays[i], '}');
}

static bool to_database(struct keeper *keeper, const struct chain_head *heads, size_t count)
{
    struct buffer arrays[3];
    struct text parameters[3];
    struct failure failure = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 3; i++)
        buffer_init(&arrays[i], TEXT_CEILING);
    append_arrays(keeper, heads, count, arrays);
    for (size_t i = 0; i < 3; i++) {
        if (buffer_c_string(&arrays[i]) == NULL)
            status = failure_set(&failure, STATUS_FAILED, "out of memory");
        parameters[i] = buffer_text(&arrays[i]);
    }
    if (status == STATUS_OK && arrays[0].size > 2)
        status = postgres_session_query(keeper->session,
                                        "select sluice.audit_anchor_add($1::text[], $2::bigint[], $3::text[])", 3,
                                        parameters, NULL, NULL, &failure);
    for (size_t i = 0; i < 3; i++)
        buffer_free(&arrays[i]);
    if (status != STATUS_OK) {
        keeper_database_failed(keeper, status, "anchors", &failure);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        keeper->anchored[i].database = heads[i];
    return true;
}

static void note_time(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    keeper->statistics.anchors++;
    keeper->statistics.last_anchor_us = clock_wall_us();
    pthread_mutex_unlock(&keeper->lock);
}

void keeper_anchor(struct keeper *keeper, bool last)
{
    size_t count = keeper->options.log_count + 1;
    struct chain_head *heads = keeper->heads;
    int64_t now = keeper_now_us();
    bool file = keeper->anchor_fd >= 0, database = keeper->session != NULL && keeper->has_functions;
    if (keeper->options.anchor_ms == 0 || (!last && now < keeper->anchor_at_us) || (!file && !database))
        return;
    bool moved = false;
    for (size_t i = 0; i < count; i++) {
        heads[i] = head_of(keeper, i);
        moved = moved || (file && has_moved(&heads[i], &keeper->anchored[i].file)) ||
                (database && has_moved(&heads[i], &keeper->anchored[i].database));
    }
    keeper->anchor_at_us = now + (int64_t)keeper->options.anchor_ms * 1000;
    if (!moved)
        return;
    keeper_list(keeper, true);
    for (size_t i = 0; i < count; i++)
        if (!bring_to_disk(keeper, chain_of(keeper, i))) {
            keeper_fail(keeper, "audit_anchor_failed", "%s cannot be brought to disk: %s; not anchored",
                        chain_of(keeper, i), strerror(errno));
            return;
        }
    /* A descriptor of our own is not told of an error that the writer's has seen. */
    if (audit_sync_doubts(keeper->options.audit->sync) != 0)
        return;
    if (fsync(keeper->folder_fd) != 0) {
        keeper_fail(keeper, "audit_anchor_failed", "the names in %s cannot be brought to disk: %s; not anchored",
                    keeper->options.audit->folder, strerror(errno));
        return;
    }
    bool filed = file && to_file(keeper, heads, count);
    bool stored = database && to_database(keeper, heads, count);
    if (filed || stored)
        note_time(keeper);
}
