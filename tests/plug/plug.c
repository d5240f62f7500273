/* A file layer that can lose its power: preloaded (LD_PRELOAD) into a gateway by tests/integration/plug.py.
 *
 * It keeps beside the live folder of the audit log what a power cut would leave of it at least:
 *
 *     SHADOW/names     "INODE NAME" a line: the folder's names at its last fsync
 *     SHADOW/INODE     the file's content at its last fsync or fdatasync; none: empty
 *     SHADOW/control   struct control, which the test has mapped too
 *
 * A file's number is nobody else's meanwhile: each one is held open. The layer ends the process at the call that the
 * test has chosen. Environment: PLUG_FOLDER (absolute, without links), PLUG_SHADOW (there, on the same file system).
 * Files that are not in that folder are left alone. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define EXIT_STATUS 86 /* of a process whose plug was pulled */
#define PATH_SIZE 512
#define COPY_SIZE ((size_t)64 << 10)

/* Calls at which the plug can be pulled; the same numbers stand in plug.py. */
enum point { POINT_NONE, POINT_WRITE, POINT_SYNC, POINT_FOLDER_SYNC, POINT_NAME, POINT_ANY, POINT_COUNT };
enum moment { MOMENT_BEFORE, MOMENT_HALF /* of a write's bytes; else as MOMENT_BEFORE */, MOMENT_AFTER };

struct control {
    atomic_int point, moment;
    atomic_int left;                    /* such calls until the plug is pulled */
    atomic_int write_errno, sync_errno; /* what every write, sync fails with; 0: nothing */
    atomic_int lies;                    /* a sync says that it was done, and was not */
    atomic_int calls[POINT_COUNT];      /* seen so far */
};

static struct control *control;
static char folder[PATH_SIZE], shadow[PATH_SIZE / 2];
/* Held while the shadow changes and while the process ends: no shadow is half of one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*writev)(int, const struct iovec *, int);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*openat)(int, const char *, int, ...);
    int (*linkat)(int, const char *, int, const char *, int);
    int (*renameat)(int, const char *, int, const char *);
    int (*unlinkat)(int, const char *, int);
} real;

static void fail(const char *what)
{
    fprintf(stderr, "plug: %s: %s\n", what, strerror(errno));
    abort();
}

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL)
        fail(name);
    return symbol;
}

static void map_control(void)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/control", shadow);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail(path);
    control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (control == MAP_FAILED)
        fail("mmap");
}

/* --- which files --- */

enum kind { KIND_OTHER, KIND_FILE, KIND_FOLDER };

static enum kind kind_of(int fd)
{
    char link[64], path[PATH_SIZE];
    size_t size = strlen(folder);
    int kept = errno;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = control != NULL ? readlink(link, path, sizeof(path) - 1) : -1;
    errno = kept;
    if (length < (ssize_t)size || memcmp(path, folder, size) != 0)
        return KIND_OTHER;
    if ((size_t)length == size)
        return KIND_FOLDER;
    return path[size] == '/' ? KIND_FILE : KIND_OTHER;
}

/* --- the shadow; under the lock --- */

static void copy(int from, int to, off_t size)
{
    static char bytes[COPY_SIZE];
    for (off_t at = 0; at < size;) {
        size_t most = size - at < (off_t)COPY_SIZE ? (size_t)(size - at) : COPY_SIZE;
        ssize_t got = pread(from, bytes, most, at);
        if (got < 0 || (got > 0 && real.pwrite(to, bytes, (size_t)got, at) != got))
            fail("copying a file");
        if (got == 0)
            return;
        at += got;
    }
}

static void keep_content(int fd)
{
    char path[PATH_SIZE], link[64];
    struct stat info;
    if (fstat(fd, &info) != 0)
        fail("fstat");
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    snprintf(path, sizeof(path), "%s/%ju", shadow, (uintmax_t)info.st_ino);
    int from = open(link, O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        fail(path);
    copy(from, to, info.st_size);
    close(from);
    close(to);
}

static void keep_names(void)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/names", shadow);
    FILE *names = fopen(path, "w");
    DIR *live = opendir(folder);
    if (names == NULL || live == NULL)
        fail(path);
    for (struct dirent *entry; (entry = readdir(live)) != NULL;)
        if (entry->d_type == DT_REG)
            fprintf(names, "%ju %s\n", (uintmax_t)entry->d_ino, entry->d_name);
    closedir(live);
    if (fclose(names) != 0)
        fail(path);
}

/* Not the same description of it: that would hold its writer's lock too. Not another name: the keeper leaves files
 * alone that have one. Never closed. */
static void hold(const char *path)
{
    int kept = errno;
    if (open(path, O_RDONLY | O_CLOEXEC) < 0)
        fail(path);
    errno = kept;
}

static void hold_new(int fd)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    hold(link);
}

static void hold_all(void)
{
    DIR *live = opendir(folder);
    for (struct dirent *entry; live != NULL && (entry = readdir(live)) != NULL;) {
        char path[PATH_SIZE + sizeof(entry->d_name)];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_type == DT_REG)
            hold(path);
    }
    if (live != NULL)
        closedir(live);
}

__attribute__((constructor)) static void begin(void)
{
    const char *live = getenv("PLUG_FOLDER"), *beside = getenv("PLUG_SHADOW");
    *(void **)&real.write = next("write");
    *(void **)&real.pwrite = next("pwrite");
    *(void **)&real.writev = next("writev");
    *(void **)&real.fsync = next("fsync");
    *(void **)&real.fdatasync = next("fdatasync");
    *(void **)&real.openat = next("openat");
    *(void **)&real.linkat = next("linkat");
    *(void **)&real.renameat = next("renameat");
    *(void **)&real.unlinkat = next("unlinkat");
    if (live == NULL || beside == NULL || strlen(live) >= sizeof(folder) || strlen(beside) >= sizeof(shadow))
        return;
    strcpy(folder, live);
    strcpy(shadow, beside);
    map_control();
    hold_all();
}

/* --- the plug --- */

/* Is it this call? Nobody who was told so comes back. */
static bool is_the_call(enum point point)
{
    atomic_fetch_add(&control->calls[point], 1);
    int chosen = atomic_load(&control->point);
    return (chosen == (int)point || chosen == POINT_ANY) && atomic_fetch_sub(&control->left, 1) == 1;
}

static void pull(void)
{
    pthread_mutex_lock(&lock);
    _exit(EXIT_STATUS);
}

static bool pull_before(bool is_call)
{
    if (is_call && atomic_load(&control->moment) != MOMENT_AFTER)
        pull();
    return is_call;
}

/* --- the calls --- */

static ssize_t write_in_folder(int fd, const void *bytes, size_t size)
{
    bool is_call = is_the_call(POINT_WRITE);
    if (is_call && atomic_load(&control->moment) == MOMENT_HALF)
        (void)!real.write(fd, bytes, size / 2);
    pull_before(is_call);
    int error = atomic_load(&control->write_errno);
    if (error != 0) {
        /* A full disk takes what it still has room for. */
        if (error == ENOSPC && size > 1 && atomic_load(&control->calls[POINT_WRITE]) % 3 == 0)
            return real.write(fd, bytes, size / 2);
        errno = error;
        return -1;
    }
    ssize_t written = real.write(fd, bytes, size);
    if (is_call)
        pull();
    return written;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    return kind_of(fd) == KIND_FILE ? write_in_folder(fd, bytes, size) : real.write(fd, bytes, size);
}

/* Nobody writes the log with these; who begins to is not seen by this test, and must hear of it. */
EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (kind_of(fd) == KIND_FILE)
        fail("pwrite in the folder is not watched");
    return real.pwrite(fd, bytes, size, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (kind_of(fd) == KIND_FILE)
        fail("writev in the folder is not watched");
    return real.writev(fd, parts, count);
}

static int sync_in_folder(int fd, enum kind kind, int (*sync)(int))
{
    enum point point = kind == KIND_FILE ? POINT_SYNC : POINT_FOLDER_SYNC;
    bool is_call = pull_before(is_the_call(point));
    int error = atomic_load(&control->sync_errno);
    if (error != 0) {
        errno = error;
        return -1;
    }
    if (sync(fd) != 0)
        return -1;
    if (!atomic_load(&control->lies)) {
        pthread_mutex_lock(&lock);
        if (kind == KIND_FILE)
            keep_content(fd);
        else
            keep_names();
        pthread_mutex_unlock(&lock);
    }
    if (is_call)
        pull();
    return 0;
}

EXPORT int fsync(int fd)
{
    enum kind kind = kind_of(fd);
    return kind == KIND_OTHER ? real.fsync(fd) : sync_in_folder(fd, kind, real.fsync);
}

EXPORT int fdatasync(int fd)
{
    enum kind kind = kind_of(fd);
    return kind == KIND_OTHER ? real.fdatasync(fd) : sync_in_folder(fd, kind, real.fdatasync);
}

EXPORT int openat(int at, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    int fd = real.openat(at, name, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0 && kind_of(fd) == KIND_FILE)
        hold_new(fd);
    return fd;
}

EXPORT int openat64(int at, const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return openat(at, name, flags, mode);
}

static int name_changed(bool is_call, int result)
{
    if (is_call)
        pull();
    return result;
}

EXPORT int linkat(int from, const char *old, int to, const char *name, int flags)
{
    if (kind_of(to) != KIND_FOLDER)
        return real.linkat(from, old, to, name, flags);
    bool is_call = pull_before(is_the_call(POINT_NAME));
    return name_changed(is_call, real.linkat(from, old, to, name, flags));
}

EXPORT int renameat(int from, const char *old, int to, const char *name)
{
    if (kind_of(to) != KIND_FOLDER)
        return real.renameat(from, old, to, name);
    bool is_call = pull_before(is_the_call(POINT_NAME));
    return name_changed(is_call, real.renameat(from, old, to, name));
}

EXPORT int unlinkat(int from, const char *name, int flags)
{
    if (kind_of(from) != KIND_FOLDER)
        return real.unlinkat(from, name, flags);
    bool is_call = pull_before(is_the_call(POINT_NAME));
    return name_changed(is_call, real.unlinkat(from, name, flags));
}
