#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status read_all(int fd, const char *path, struct buffer *out, struct failure *failure)
{
    for (;;) {
        char part[4096];
        ssize_t got = read(fd, part, sizeof(part));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failure_set(failure, STATUS_FAILED, "cannot read %s: %s; check the disk it is on", path,
                               strerror(errno));
        if (got == 0)
            return STATUS_OK;
        buffer_append(out, part, (size_t)got);
        explicit_bzero(part, sizeof(part));
        if (out->failed)
            return failure_set(failure, STATUS_TOO_LARGE,
                               "%s is larger than the %zu bytes allowed; is it the right file?", path, out->ceiling);
    }
}

/* Who can read it besides this process' user? A file of root's may be readable for our group, as a mounted secret is in
 * Kubernetes: only root can have made it so. */
static bool lets_others_in(const struct stat *info)
{
    mode_t others = S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    if (info->st_uid == 0 && geteuid() != 0 && info->st_gid == getegid())
        others &= ~(mode_t)S_IRGRP;
    return (info->st_mode & others) != 0;
}

static enum status open_and_read(const char *path, bool secret, struct buffer *out, struct failure *failure)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        enum status status = errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND
                             : errno == EACCES || errno == EPERM ? STATUS_DENIED
                                                                 : STATUS_FAILED;
        return failure_set(failure, status, "cannot open %s: %s; check the path and its permissions", path,
                           strerror(errno));
    }
    enum status status = STATUS_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = failure_set(failure, STATUS_INVALID, "%s is not a regular file; name a file", path);
    else if (secret && lets_others_in(&info))
        status = failure_set(failure, STATUS_DENIED,
                             "%s holds a secret, and its mode %03o lets others at it; run: chmod 600 %s", path,
                             (unsigned)info.st_mode & 0777, path);
    else
        status = read_all(fd, path, out, failure);
    close(fd);
    return status;
}

enum status file_read(const char *path, struct buffer *out, struct failure *failure)
{
    return open_and_read(path, false, out, failure);
}

enum status file_read_secret(const char *path, struct buffer *out, struct failure *failure)
{
    size_t before = out->size;
    enum status status = open_and_read(path, true, out, failure);
    if (status != STATUS_OK)
        return status;
    while (out->size != before && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
        out->size--;
    if (out->size == before)
        return failure_set(failure, STATUS_DENIED, "%s is empty; a secret belongs into it", path);
    return STATUS_OK;
}

bool file_write_all(int fd, struct text bytes)
{
    while (bytes.size != 0) {
        ssize_t written = write(fd, bytes.data, bytes.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return false;
        }
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
    return true;
}
