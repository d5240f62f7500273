#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "audit/segment.h"

#define WINDOW_LOG_MAX 23 /* 8 MB */
#define PLAIN_SIZE (8 * CHAIN_LINE_MAX)
#define PACKED_SIZE ((size_t)128 << 10)
/* Of a zstd frame (RFC 8878, 3.1.1): its first bytes, then a descriptor whose bits "unused" and "reserved" are zero
 * and which names no dictionary. */
#define FRAME_MAGIC "\x28\xB5\x2F\xFD"
#define FRAME_HEAD 5
#define FRAME_FORBIDDEN 0x1B

struct segment_reader {
    int fd;
    char name[SEGMENT_NAME_MAX];
    ZSTD_DStream *unpacker; /* NULL: plain */
    size_t packed_begin, packed_end;
    bool head_seen, frame_ended, ended;
    size_t begin, end; /* of what is not handed out yet, in `plain` */
    uint64_t offset;   /* of plain[begin] in the plain file */
    char plain[PLAIN_SIZE];
    char packed[PACKED_SIZE];
};

static enum status read_some(struct segment_reader *reader, char *out, size_t size, size_t *got,
                             struct failure *failure)
{
    ssize_t result;
    do
        result = read(reader->fd, out, size);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return failure_set(failure, STATUS_FAILED, "cannot read %s: %s; check the disk it is on", reader->name,
                           strerror(errno));
    *got = (size_t)result;
    return STATUS_OK;
}

static enum status damaged(const struct segment_reader *reader, const char *why, struct failure *failure)
{
    return failure_set(failure, STATUS_INVALID, "%s: its compressed bytes are damaged (%s)", reader->name, why);
}

/* One frame a file, which begins as ours do: what zstd would skip in silence (a second frame, one to be skipped, bits
 * without a meaning) is no part of what was written. */
static bool is_frame(const char *head, size_t size)
{
    return size >= FRAME_HEAD && memcmp(head, FRAME_MAGIC, 4) == 0 && ((unsigned char)head[4] & FRAME_FORBIDDEN) == 0;
}

static enum status fetch_packed(struct segment_reader *reader, bool *more, struct failure *failure)
{
    size_t got = 1;
    reader->packed_begin = reader->packed_end = 0;
    while (got != 0 && reader->packed_end < PACKED_SIZE) {
        enum status status =
            read_some(reader, reader->packed + reader->packed_end, PACKED_SIZE - reader->packed_end, &got, failure);
        if (status != STATUS_OK)
            return status;
        reader->packed_end += got;
    }
    *more = reader->packed_end != 0;
    if (*more && !reader->head_seen && !is_frame(reader->packed, reader->packed_end))
        return damaged(reader, "no frame of zstd", failure);
    reader->head_seen |= *more;
    return STATUS_OK;
}

static enum status unpack(struct segment_reader *reader, size_t *got, struct failure *failure)
{
    *got = 0;
    while (*got == 0) {
        bool more = true;
        enum status status =
            reader->packed_begin == reader->packed_end ? fetch_packed(reader, &more, failure) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
        if (reader->frame_ended)
            return more ? damaged(reader, "bytes behind its end", failure) : STATUS_OK;
        ZSTD_inBuffer in = {reader->packed, reader->packed_end, reader->packed_begin};
        ZSTD_outBuffer out = {reader->plain + reader->end, PLAIN_SIZE - reader->end, 0};
        size_t result = ZSTD_decompressStream(reader->unpacker, &out, &in);
        if (ZSTD_isError(result))
            return damaged(reader, ZSTD_getErrorName(result), failure);
        reader->packed_begin = in.pos;
        reader->frame_ended = result == 0;
        *got = out.pos;
        if (!more && *got == 0 && !reader->frame_ended)
            return damaged(reader, "cut off", failure);
    }
    return STATUS_OK;
}

static enum status fill(struct segment_reader *reader, struct failure *failure)
{
    size_t got = 0;
    memmove(reader->plain, reader->plain + reader->begin, reader->end - reader->begin);
    reader->end -= reader->begin;
    reader->begin = 0;
    enum status status = reader->unpacker != NULL
                             ? unpack(reader, &got, failure)
                             : read_some(reader, reader->plain + reader->end, PLAIN_SIZE - reader->end, &got, failure);
    if (status == STATUS_OK) {
        reader->end += got;
        reader->ended = got == 0;
    }
    return status;
}

static enum status hand_out(struct segment_reader *reader, size_t size, struct text *line, uint64_t *offset)
{
    *line = text_of(reader->plain + reader->begin, size);
    *offset = reader->offset;
    reader->begin += size;
    reader->offset += size;
    return STATUS_OK;
}

enum status segment_next(struct segment_reader *reader, struct text *line, uint64_t *offset, struct failure *failure)
{
    size_t searched = 0;
    for (;;) {
        const char *from = reader->plain + reader->begin;
        size_t size = reader->end - reader->begin;
        size_t reach = size < CHAIN_LINE_MAX ? size : CHAIN_LINE_MAX;
        const char *found = reach > searched ? memchr(from + searched, '\n', reach - searched) : NULL;
        if (found != NULL)
            return hand_out(reader, (size_t)(found + 1 - from), line, offset);
        if (size >= CHAIN_LINE_MAX || (reader->ended && size != 0))
            return hand_out(reader, reach, line, offset);
        if (reader->ended)
            return STATUS_NOT_FOUND;
        searched = size;
        enum status status = fill(reader, failure);
        if (status != STATUS_OK)
            return status;
    }
}

static enum status open_file(int folder_fd, struct segment_reader *reader, struct failure *failure)
{
    struct stat info;
    /* A pipe or device of that name must not make us wait. */
    reader->fd = openat(folder_fd, reader->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (reader->fd < 0)
        return failure_set(failure,
                           errno == ENOENT  ? STATUS_NOT_FOUND
                           : errno == ELOOP ? STATUS_INVALID
                                            : STATUS_FAILED,
                           "cannot open %s: %s", reader->name, strerror(errno));
    if (fstat(reader->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return failure_set(failure, STATUS_INVALID, "%s is not a regular file; move it out of the folder",
                           reader->name);
    return STATUS_OK;
}

enum status segment_open(int folder_fd, const struct segment_name *segment, struct segment_reader **reader,
                         struct failure *failure)
{
    enum status status = STATUS_OK;
    struct segment_reader *made = malloc(sizeof(*made));
    *reader = NULL;
    if (made == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    memset(made, 0, offsetof(struct segment_reader, plain));
    segment_format(segment, made->name);
    status = open_file(folder_fd, made, failure);
    if (status == STATUS_OK && segment->compressed) {
        made->unpacker = ZSTD_createDStream();
        if (made->unpacker == NULL ||
            ZSTD_isError(ZSTD_DCtx_setParameter(made->unpacker, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
            status = failure_set(failure, STATUS_FAILED, "out of memory");
    }
    if (status == STATUS_OK)
        *reader = made;
    else
        segment_close(made);
    return status;
}

void segment_close(struct segment_reader *reader)
{
    if (reader == NULL)
        return;
    ZSTD_freeDStream(reader->unpacker);
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader);
}
