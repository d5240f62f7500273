#include "upload/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct spool_space {
    char *folder;
    uint64_t bytes;
    _Atomic uint64_t used; /* never above `bytes`: taken before anything is written */
};

struct spool {
    struct spool_space *space;
    int fd;
    uint64_t size, position; /* position: of the next read */
};

static bool has_no_tmpfile(int error)
{
    /* EISDIR: kernels that don't know the flag. EOPNOTSUPP: file systems that can't do it. */
    return error == EISDIR || error == EOPNOTSUPP || error == EINVAL;
}

/* A file without a name; -1 with errno. */
static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || !has_no_tmpfile(errno))
        return fd;
    char path[4096 + 32];
    if (snprintf(path, sizeof(path), "%s/.sluice-XXXXXX", folder) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static enum status check_folder(const char *folder, struct failure *failure)
{
    struct stat about;
    if (stat(folder, &about) != 0)
        return failure_set(failure, STATUS_DENIED,
                           "the spool's folder %s cannot be used: %s; make it, and give it to "
                           "the user that the gateway runs as",
                           folder, strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return failure_set(failure, STATUS_DENIED, "the spool's folder %s is not a folder", folder);
    if (about.st_uid != geteuid())
        return failure_set(failure, STATUS_DENIED,
                           "the spool's folder %s belongs to user %u, and the gateway runs as user %u; give it to that "
                           "user (chown)",
                           folder, (unsigned)about.st_uid, (unsigned)geteuid());
    int fd = open_nameless(folder);
    if (fd < 0)
        return failure_set(failure, STATUS_DENIED, "no file can be made in the spool's folder %s: %s", folder,
                           strerror(errno));
    close(fd);
    return STATUS_OK;
}

enum status spool_space_create(const char *folder, uint64_t bytes, struct spool_space **out, struct failure *failure)
{
    enum status status = check_folder(folder, failure);
    if (status != STATUS_OK)
        return status;
    struct spool_space *space = calloc(1, sizeof(*space));
    if (space != NULL)
        space->folder = strdup(folder);
    if (space == NULL || space->folder == NULL) {
        free(space);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    space->bytes = bytes;
    atomic_init(&space->used, 0);
    *out = space;
    return STATUS_OK;
}

void spool_space_destroy(struct spool_space *space)
{
    if (space == NULL)
        return;
    free(space->folder);
    free(space);
}

uint64_t spool_space_used(const struct spool_space *space)
{
    return atomic_load_explicit(&space->used, memory_order_relaxed);
}

static bool take(struct spool_space *space, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&space->used, memory_order_relaxed);
    do {
        if (bytes > space->bytes - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&space->used, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void give_back(struct spool_space *space, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&space->used, bytes, memory_order_relaxed);
}

enum status spool_open(struct spool_space *space, struct spool **out, struct failure *failure)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    if (spool == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    spool->space = space;
    spool->fd = open_nameless(space->folder);
    if (spool->fd < 0) {
        int error = errno;
        bool is_full = error == ENOSPC || error == EDQUOT;
        free(spool);
        return failure_set(failure, is_full ? STATUS_TOO_LARGE : STATUS_FAILED,
                           "no file can be made in the spool's folder: %s", strerror(error));
    }
    *out = spool;
    return STATUS_OK;
}

static enum status tell_write(int error, struct failure *failure)
{
    switch (error) {
    case ENOSPC:
        return failure_set(failure, STATUS_TOO_LARGE, "the disk of the spool is full; try again later, or with less");
    case EDQUOT:
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the gateway's quota on the disk of the spool is used up; try again later, or with less");
    case EFBIG:
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the file is larger than the spool's file system or the process's limit allows");
    default:
        return failure_set(failure, STATUS_FAILED, "the spool cannot be written: %s", strerror(error));
    }
}

/* All of it; 0 or errno. */
static int write_all(int fd, struct text bytes, uint64_t offset)
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

enum status spool_write(struct spool *spool, struct text bytes, struct failure *failure)
{
    struct spool_space *space = spool->space;
    if (bytes.size == 0)
        return STATUS_OK;
    if (!take(space, bytes.size))
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the spool's %llu bytes are used up by this load and the others that run; try again later, "
                           "or with less",
                           (unsigned long long)space->bytes);
    int error = write_all(spool->fd, bytes, spool->size);
    if (error != 0) {
        /* What was counted is what the disk holds. */
        int ignored = ftruncate(spool->fd, (off_t)spool->size);
        (void)ignored;
        give_back(space, bytes.size);
        return tell_write(error, failure);
    }
    spool->size += bytes.size;
    return STATUS_OK;
}

void spool_rewind(struct spool *spool)
{
    spool->position = 0;
    posix_fadvise(spool->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

enum status spool_read(struct spool *spool, char *out, size_t size, size_t *got, struct failure *failure)
{
    uint64_t left = spool->size - spool->position;
    ssize_t count = 0;
    *got = 0;
    if (size > left)
        size = (size_t)left;
    if (size == 0)
        return STATUS_OK;
    do
        count = pread(spool->fd, out, size, (off_t)spool->position);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return failure_set(failure, STATUS_FAILED, "the spool cannot be read: %s",
                           count < 0 ? strerror(errno) : "it is shorter than what was written");
    spool->position += (uint64_t)count;
    *got = (size_t)count;
    return STATUS_OK;
}

uint64_t spool_size(const struct spool *spool)
{
    return spool->size;
}

void spool_close(struct spool *spool)
{
    if (spool == NULL)
        return;
    close(spool->fd);
    give_back(spool->space, spool->size);
    free(spool);
}
