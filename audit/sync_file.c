#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/sync_private.h"
#include "base/file.h"

#define PIECE (8 * CHAIN_LINE_MAX) /* bytes that are written again at once */

struct audit_sync_file *audit_sync_file_open(struct loop *loop, int fd, int folder_fd, const char *path,
                                             const struct hash_hmac_key *key, const struct chain_head *head)
{
    struct audit_sync_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return NULL;
    *file = (struct audit_sync_file){.loop = loop, .fd = fd, .key = key, .head = *head};
    file->again_fd = openat(folder_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file->again_fd >= 0)
        return file;
    int error = errno;
    free(file);
    errno = error;
    return NULL;
}

void sync_file_free(struct audit_sync_file *file)
{
    close(file->again_fd);
    close(file->fd);
    free(file);
}

/* Whole records from `bytes`, each the next one of the chain: their size. 0: there is none. */
static size_t check(struct chain_head *head, const struct hash_hmac_key *key, const char *bytes, size_t size)
{
    size_t good = 0;
    for (const char *end; (end = memchr(bytes + good, '\n', size - good)) != NULL; good = (size_t)(end + 1 - bytes))
        if (chain_check(head, key, text_of(bytes + good, (size_t)(end + 1 - bytes) - good)) != CHAIN_GOOD)
            return 0;
    return good;
}

static bool read_all(int fd, char *bytes, size_t size, uint64_t at)
{
    while (size != 0) {
        ssize_t got = pread(fd, bytes, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return false;
        }
        bytes += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

/* What cannot be read back as it was written is lost: EIO then, for as long as the file is open, so that nothing is
 * promised behind it. */
static bool write_again(const struct audit_sync_file *file, uint64_t to, const struct chain_head *last)
{
    struct chain_head head = file->head;
    char *bytes = malloc(PIECE);
    bool good = bytes != NULL;
    errno = ENOMEM;
    for (uint64_t at = file->durable; good && at < to;) {
        size_t size = to - at < PIECE ? (size_t)(to - at) : PIECE;
        good = read_all(file->again_fd, bytes, size, at);
        if (!good)
            break;
        size = check(&head, file->key, bytes, size);
        good = size != 0;
        if (!good)
            errno = EIO;
        else
            good =
                lseek(file->again_fd, (off_t)at, SEEK_SET) >= 0 && file_write_all(file->again_fd, text_of(bytes, size));
        at += size;
    }
    if (good && (head.seq != last->seq || !hash_equal(head.mac, last->mac, CHAIN_MAC_SIZE))) {
        errno = EIO;
        good = false;
    }
    int error = errno;
    free(bytes);
    errno = error;
    return good;
}

int sync_file_settle(struct audit_sync_file *file, uint64_t to, const struct chain_head *head)
{
    bool good = (!file->doubtful || write_again(file, to, head)) && fdatasync(file->fd) == 0;
    file->doubtful = !good;
    if (!good)
        return errno;
    file->durable = to;
    file->head = *head;
    return 0;
}
