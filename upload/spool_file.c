#include "upload/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload/spool_sealed.h"

int spool_file_begin(struct spool_file *file, int fd, const struct spool_key *key)
{
    *file = (struct spool_file){.fd = fd};
    return key != NULL ? spool_sealed_begin(file, key) : 0;
}

enum status spool_file_resume(struct spool_file *file, int fd, const struct spool_key *key, struct failure *failure)
{
    struct stat about;
    *file = (struct spool_file){.fd = fd};
    if (fstat(fd, &about) != 0)
        return failure_set(failure, STATUS_FAILED, "the spool cannot be read: %s", strerror(errno));
    file->size = file->end = (uint64_t)about.st_size;
    return key != NULL ? spool_sealed_resume(file, key, failure) : STATUS_OK;
}

void spool_file_forget(struct spool_file *file)
{
    spool_sealed_free(file->sealed);
    file->sealed = NULL;
}

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

int spool_file_append(struct spool_file *file, struct text bytes)
{
    if (file->sealed != NULL)
        return spool_sealed_append(file, bytes);
    int error = spool_file_write(file->fd, bytes, file->end);
    if (error == 0) {
        file->size = file->end += bytes.size;
        return 0;
    }
    int ignored = ftruncate(file->fd, (off_t)file->end); /* what was counted is what the disk holds */
    (void)ignored;
    return error;
}

int spool_file_flush(struct spool_file *file)
{
    return file->sealed != NULL ? spool_sealed_flush(file) : 0;
}

int spool_file_cut(struct spool_file *file, uint64_t size, uint64_t end)
{
    if (file->sealed != NULL)
        spool_sealed_drop(file);
    if (ftruncate(file->fd, (off_t)end) != 0)
        return errno;
    file->size = size;
    file->end = end;
    spool_file_rewind(file);
    return 0;
}

int spool_file_empty(struct spool_file *file)
{
    return spool_file_cut(file, 0, file->sealed != NULL ? SPOOL_HEADER : 0);
}

void spool_file_rewind(struct spool_file *file)
{
    file->position = 0;
    if (file->sealed != NULL)
        spool_sealed_rewind(file);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

struct spool_cipher *spool_file_cipher(const struct spool_file *file)
{
    return file->sealed != NULL ? spool_sealed_cipher(file->sealed) : NULL;
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

enum status spool_file_read(struct spool_file *file, char *out, size_t size, size_t *got, struct failure *failure)
{
    if (file->sealed != NULL)
        return spool_sealed_read(file, out, size, got, failure);
    uint64_t left = file->size - file->position;
    ssize_t count = 0;
    *got = 0;
    if (size > left)
        size = (size_t)left;
    if (size == 0)
        return STATUS_OK;
    do
        count = pread(file->fd, out, size, (off_t)file->position);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return failure_set(failure, STATUS_FAILED, "the spool cannot be read: %s",
                           count < 0 ? strerror(errno) : "it is shorter than what was written");
    file->position += (uint64_t)count;
    *got = (size_t)count;
    return STATUS_OK;
}
