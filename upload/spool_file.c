#include "upload/spool_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int spool_file_write(int fd, struct text bytes, uint64_t offset)
{
    while (bytes.size != 0) {
        ssize_t written = pwrite(fd, bytes.data, bytes.size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : ENOSPC;
        bytes.data += written;
        bytes.size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

enum status spool_file_tell(int error, const char *advice, struct failure *failure)
{
    switch (error) {
    case ENOSPC:
        return failure_set(failure, STATUS_TOO_LARGE, "the disk of the spool is full; %s", advice);
    case EDQUOT:
        return failure_set(failure, STATUS_TOO_LARGE, "the gateway's quota on the disk of the spool is used up; %s",
                           advice);
    case EFBIG:
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the file is larger than the spool's file system or the process's limit allows");
    default:
        return failure_set(failure, STATUS_FAILED, "the spool cannot be written: %s", strerror(error));
    }
}

enum status spool_file_read(int fd, uint64_t *position, uint64_t end, char *out, size_t size, size_t *got,
                            struct failure *failure)
{
    uint64_t left = end - *position;
    ssize_t count = 0;
    *got = 0;
    if (size > left)
        size = (size_t)left;
    if (size == 0)
        return STATUS_OK;
    do
        count = pread(fd, out, size, (off_t)*position);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return failure_set(failure, STATUS_FAILED, "the spool cannot be read: %s",
                           count < 0 ? strerror(errno) : "it is shorter than what was written");
    *position += (uint64_t)count;
    *got = (size_t)count;
    return STATUS_OK;
}
