#include "upload/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "upload/spool_file.h"

struct spool_space {
    char *folder;
    uint64_t bytes;
    _Atomic uint64_t used; /* taken before anything is written; above `bytes` by what a start finds alone */
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

uint64_t spool_space_size(const struct spool_space *space)
{
    return space->bytes;
}

bool spool_space_take(struct spool_space *space, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&space->used, memory_order_relaxed);
    do {
        if (used > space->bytes || bytes > space->bytes - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&space->used, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void spool_space_take_anyway(struct spool_space *space, uint64_t bytes)
{
    atomic_fetch_add_explicit(&space->used, bytes, memory_order_relaxed);
}

void spool_space_give_back(struct spool_space *space, uint64_t bytes)
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

enum status spool_write(struct spool *spool, struct text bytes, struct failure *failure)
{
    struct spool_space *space = spool->space;
    if (bytes.size == 0)
        return STATUS_OK;
    if (!spool_space_take(space, bytes.size))
        return failure_set(
            failure, STATUS_TOO_LARGE,
            "the spool's %llu bytes are used up by this load, the others that run and resumable uploads; "
            "try again later, or with less",
            (unsigned long long)space->bytes);
    int error = spool_file_write(spool->fd, bytes, spool->size);
    if (error != 0) {
        /* What was counted is what the disk holds. */
        int ignored = ftruncate(spool->fd, (off_t)spool->size);
        (void)ignored;
        spool_space_give_back(space, bytes.size);
        return spool_file_tell(error, "try again later, or with less", failure);
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
    return spool_file_read(spool->fd, &spool->position, spool->size, out, size, got, failure);
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
    spool_space_give_back(spool->space, spool->size);
    free(spool);
}
