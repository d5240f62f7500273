#include "audit/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SIZE (SEGMENT_CHAIN_MAX + 8)

static void format(const char *chain, char out[NAME_MAX_SIZE])
{
    snprintf(out, NAME_MAX_SIZE, "%s.tail", chain);
}

static char *map(int fd)
{
    int error = posix_fallocate(fd, 0, 2 * TAIL_HALF);
    if (error != 0) {
        errno = error;
        return NULL;
    }
    char *mapped = mmap(NULL, 2 * TAIL_HALF, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return mapped != MAP_FAILED ? mapped : NULL;
}

bool tail_create(struct tail *tail, int folder_fd, const char *chain)
{
    char name[NAME_MAX_SIZE];
    format(chain, name);
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    tail->halves = map(fd);
    tail->used = 0;
    int error = errno;
    close(fd);
    if (tail->halves != NULL)
        return true;
    unlinkat(folder_fd, name, 0);
    errno = error;
    return false;
}

static void begin(struct tail *tail, unsigned half, struct buffer *lines)
{
    char *bytes = tail->halves + half * TAIL_HALF;
    *bytes = '\0';
    buffer_init_on(lines, bytes, TAIL_HALF, TAIL_HALF);
}

void tail_begin(struct tail *tail, struct buffer *lines)
{
    begin(tail, tail->used, lines);
}

void tail_begin_other(struct tail *tail, struct buffer *lines)
{
    begin(tail, 1 - tail->used, lines);
}

/* A process may die between any two stores: the new half is whole before the old one goes. */
void tail_switch(struct tail *tail)
{
    atomic_signal_fence(memory_order_seq_cst);
    tail->halves[tail->used * TAIL_HALF] = '\0';
    tail->used = 1 - tail->used;
}

void tail_close(struct tail *tail)
{
    if (tail->halves != NULL)
        munmap(tail->halves, 2 * TAIL_HALF);
    tail->halves = NULL;
}

static enum status read_all(int fd, struct buffer *out)
{
    char *room = buffer_reserve(out, 2 * TAIL_HALF);
    if (room == NULL)
        return STATUS_FAILED;
    for (size_t got = 0; got < 2 * TAIL_HALF;) {
        ssize_t more = pread(fd, room + got, 2 * TAIL_HALF - got, (off_t)got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return STATUS_FAILED;
        if (more == 0)
            memset(room + got, 0, 2 * TAIL_HALF - got);
        got = more == 0 ? 2 * TAIL_HALF : got + (size_t)more;
    }
    out->size += 2 * TAIL_HALF;
    return STATUS_OK;
}

static enum status read_file(int fd, const char *name, struct buffer *out, struct failure *failure)
{
    struct stat info;
    if (fstat(fd, &info) == 0 && !S_ISREG(info.st_mode))
        return failure_set(failure, STATUS_FAILED, "audit.folder: %s is not a file; move it away", name);
    if (read_all(fd, out) == STATUS_OK)
        return STATUS_OK;
    return failure_set(failure, STATUS_FAILED, "audit.folder: cannot read %s: %s; check the disk it is on", name,
                       out->failed ? "out of memory" : strerror(errno));
}

enum status tail_read(int folder_fd, const char *chain, struct buffer *out, struct failure *failure)
{
    char name[NAME_MAX_SIZE];
    format(chain, name);
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT
                   ? STATUS_OK
                   : failure_set(failure, STATUS_FAILED, "audit.folder: cannot open %s: %s", name, strerror(errno));
    enum status status = read_file(fd, name, out, failure);
    close(fd);
    return status;
}

void tail_remove(int folder_fd, const char *chain)
{
    char name[NAME_MAX_SIZE];
    format(chain, name);
    unlinkat(folder_fd, name, 0);
}
