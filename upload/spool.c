#include "upload/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "upload/spool_file.h"

struct spool_space {
    char *folder;
    uint64_t bytes;
    /* Taken before anything is written; above `bytes` by what a start finds, and by the heads of encrypted records
     * (less than a thousandth). */
    _Atomic uint64_t used;
    bool encrypted;
    struct spool_key own, lasting; /* of loads; of what outlives the process */
};

struct spool {
    struct spool_space *space;
    struct spool_file file;
    uint64_t taken; /* of the space */
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

enum status spool_space_encrypt(struct spool_space *space, struct text secret, struct failure *failure)
{
    char random[SPOOL_KEY_MINIMUM];
    if (secret.size < SPOOL_KEY_MINIMUM)
        return failure_set(
            failure, STATUS_INVALID,
            "uploads.encryption_key: the secret has %zu bytes, at least %d are needed; make one: openssl "
            "rand -hex 32",
            secret.size, SPOOL_KEY_MINIMUM);
    random_bytes(random, sizeof(random));
    spool_key_set(&space->own, text_of(random, sizeof(random)));
    spool_key_set(&space->lasting, secret);
    hash_wipe(random, sizeof(random));
    space->encrypted = true;
    return STATUS_OK;
}

const struct spool_key *spool_space_key(const struct spool_space *space)
{
    return space->encrypted ? &space->lasting : NULL;
}

void spool_space_destroy(struct spool_space *space)
{
    if (space == NULL)
        return;
    hash_wipe(&space->own, sizeof(space->own));
    hash_wipe(&space->lasting, sizeof(space->lasting));
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

/* `fd` is owned by the spool from now on. */
static int begin(struct spool *spool, int fd)
{
    if (fd < 0)
        return errno;
    int error = spool_file_begin(&spool->file, fd, spool->space->encrypted ? &spool->space->own : NULL);
    if (error != 0)
        close(fd);
    return error;
}

enum status spool_open(struct spool_space *space, struct spool **out, struct failure *failure)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    if (spool == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    spool->space = space;
    int error = begin(spool, open_nameless(space->folder));
    if (error != 0) {
        bool is_full = error == ENOSPC || error == EDQUOT;
        free(spool);
        return failure_set(failure, is_full ? STATUS_TOO_LARGE : STATUS_FAILED,
                           "no file can be made in the spool's folder: %s", strerror(error));
    }
    *out = spool;
    return STATUS_OK;
}

/* What is taken is what the spool holds, in memory or on the disk. */
static void settle(struct spool *spool)
{
    uint64_t holds = spool->file.size > spool->file.end ? spool->file.size : spool->file.end;
    if (holds > spool->taken)
        spool_space_take_anyway(spool->space, holds - spool->taken);
    else if (holds < spool->taken)
        spool_space_give_back(spool->space, spool->taken - holds);
    spool->taken = holds;
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
    spool->taken += bytes.size;
    int error = spool_file_append(&spool->file, bytes);
    settle(spool);
    return error == 0 ? STATUS_OK : spool_file_tell(error, "try again later, or with less", failure);
}

void spool_rewind(struct spool *spool)
{
    spool_file_rewind(&spool->file);
}

enum status spool_read(struct spool *spool, char *out, size_t size, size_t *got, struct failure *failure)
{
    enum status status = spool_file_read(&spool->file, out, size, got, failure);
    settle(spool); /* a first read has the rest written */
    return status;
}

uint64_t spool_size(const struct spool *spool)
{
    return spool->file.size;
}

void spool_close(struct spool *spool)
{
    if (spool == NULL)
        return;
    spool_file_forget(&spool->file);
    close(spool->file.fd);
    spool_space_give_back(spool->space, spool->taken);
    free(spool);
}
