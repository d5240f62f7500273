#include "upload/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sluice-spool-XXXXXX";
static struct failure failure;
static bool no_tmpfile; /* the file system does not know O_TMPFILE */

/* In the place of libc's, for spool.c. */
int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static struct spool_space *space_of(uint64_t bytes)
{
    struct spool_space *space = NULL;
    failure = (struct failure){0};
    assert_int_equal(spool_space_create(folder, bytes, &space, &failure), STATUS_OK);
    return space;
}

static struct spool *spool_of(struct spool_space *space)
{
    struct spool *spool = NULL;
    assert_int_equal(spool_open(space, &spool, &failure), STATUS_OK);
    return spool;
}

static void assert_reads(struct spool *spool, struct text expected)
{
    char bytes[3];
    size_t got = 0, all = 0;
    spool_rewind(spool);
    do {
        assert_int_equal(spool_read(spool, bytes, sizeof(bytes), &got, &failure), STATUS_OK);
        assert_true(all + got <= expected.size);
        assert_memory_equal(bytes, expected.data + all, got);
        all += got;
    } while (got != 0);
    assert_int_equal(all, expected.size);
}

static unsigned names_in_folder(void)
{
    unsigned count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(directory);
    return count;
}

static void write_and_read_twice(void)
{
    struct spool_space *space = space_of(100);
    struct spool *spool = spool_of(space);
    assert_int_equal(spool_write(spool, TEXT("first "), &failure), STATUS_OK);
    assert_int_equal(spool_write(spool, TEXT(""), &failure), STATUS_OK);
    assert_reads(spool, TEXT("first "));
    assert_int_equal(spool_write(spool, TEXT("and second"), &failure), STATUS_OK);
    assert_reads(spool, TEXT("first and second"));
    assert_reads(spool, TEXT("first and second"));
    assert_int_equal(spool_size(spool), 16);
    assert_int_equal(spool_space_used(space), 16);
    assert_int_equal(names_in_folder(), 0); /* while it is open */
    spool_close(spool);
    spool_close(NULL);
    assert_int_equal(spool_space_used(space), 0);
    spool_space_destroy(space);
}

static void what_was_written_is_read_twice_and_has_no_name(void **state)
{
    write_and_read_twice();
}

static void without_o_tmpfile_there_is_no_name_either(void **state)
{
    no_tmpfile = true;
    write_and_read_twice();
    no_tmpfile = false;
}

static void the_space_is_shared_and_given_back(void **state)
{
    struct spool_space *space = space_of(10);
    struct spool *a = spool_of(space), *b = spool_of(space);
    assert_int_equal(spool_write(a, TEXT("123456"), &failure), STATUS_OK);
    assert_int_equal(spool_write(b, TEXT("12345"), &failure), STATUS_TOO_LARGE);
    assert_non_null(strstr(failure.message, "spool's 10 bytes"));
    assert_int_equal(spool_write(b, TEXT("1234"), &failure), STATUS_OK);
    assert_int_equal(spool_write(b, TEXT("5"), &failure), STATUS_TOO_LARGE);
    assert_reads(b, TEXT("1234"));
    spool_close(a);
    assert_int_equal(spool_write(b, TEXT("567890"), &failure), STATUS_OK);
    assert_reads(b, TEXT("1234567890"));
    spool_close(b);
    assert_int_equal(spool_space_used(space), 0);
    spool_space_destroy(space);
}

#define ROUNDS 300
static void *fill(void *context)
{
    struct spool_space *space = context;
    for (int i = 0; i < ROUNDS; i++) {
        struct spool *spool = NULL;
        if (spool_open(space, &spool, NULL) != STATUS_OK)
            return "no spool";
        while (spool_write(spool, TEXT("0123456789"), NULL) == STATUS_OK)
            if (spool_space_used(space) > 1005)
                return "used above the bound";
        if (spool_size(spool) > 1000)
            return "spool above the bound";
        spool_close(spool);
    }
    return NULL;
}

static void the_counter_is_exact_with_many_threads(void **state)
{
    struct spool_space *space = space_of(1005);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fill, space), 0);
    for (int i = 0; i < 6; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        if (wrong != NULL)
            fail_msg("%s", (char *)wrong);
    }
    assert_int_equal(spool_space_used(space), 0);
    spool_space_destroy(space);
}

static void a_full_disk_is_told_from_a_used_up_space(void **state)
{
    static char piece[64 << 10];
    char path[64];
    struct spool_space *space = NULL;
    snprintf(path, sizeof(path), "%s/disk", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=256k,mode=0700") != 0) {
        rmdir(path);
        skip(); /* no right to mount here */
    }
    enum status created = spool_space_create(path, 1 << 20, &space, &failure);
    struct spool *spool = created == STATUS_OK ? spool_of(space) : NULL;
    enum status status = created;
    uint64_t before = 0;
    while (status == STATUS_OK) {
        before = spool_size(spool);
        status = spool_write(spool, text_of(piece, sizeof(piece) - 1000), &failure);
    }
    uint64_t size = spool != NULL ? spool_size(spool) : 0, used = space != NULL ? spool_space_used(space) : 0;
    char byte;
    size_t got = 0;
    if (spool != NULL)
        spool_rewind(spool);
    enum status again = spool != NULL ? spool_read(spool, &byte, 1, &got, &failure) : STATUS_FAILED;
    spool_close(spool);
    spool_space_destroy(space);
    umount2(path, MNT_DETACH);
    rmdir(path);
    assert_int_equal(created, STATUS_OK);
    assert_int_equal(status, STATUS_TOO_LARGE);
    assert_non_null(strstr(failure.message, "disk of the spool is full"));
    assert_int_equal(size, before);
    assert_int_equal(used, size);
    assert_true(size > 100000);
    assert_int_equal(again, STATUS_OK);
    assert_int_equal(got, 1);
}

static void the_processs_limit_of_a_file_is_told_and_what_was_written_stays(void **state)
{
    struct spool_space *space = space_of(1 << 20);
    struct spool *spool = spool_of(space);
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 10;
    signal(SIGXFSZ, SIG_IGN); /* tasks' threads block it */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    enum status first = spool_write(spool, TEXT("12345678"), &failure);
    enum status second = spool_write(spool, TEXT("abcdefgh"), &failure); /* two of them fit */
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(first, STATUS_OK);
    assert_int_equal(second, STATUS_TOO_LARGE);
    assert_non_null(strstr(failure.message, "limit"));
    assert_int_equal(spool_space_used(space), 8);
    assert_reads(spool, TEXT("12345678"));
    assert_int_equal(spool_write(spool, TEXT("9"), &failure), STATUS_OK);
    assert_reads(spool, TEXT("123456789"));
    spool_close(spool);
    spool_space_destroy(space);
}

static void assert_refused(const char *path, const char *words)
{
    struct spool_space *space = NULL;
    assert_int_equal(spool_space_create(path, 10, &space, &failure), STATUS_DENIED);
    assert_null(space);
    assert_non_null(strstr(failure.message, path));
    if (strstr(failure.message, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", failure.message, words);
}

static void a_folder_that_cannot_be_used_is_refused_in_words(void **state)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/none", folder);
    assert_refused(path, "No such file");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_refused(path, "not a folder");
    assert_int_equal(unlink(path), 0);
    assert_refused("/proc", "");
    if (geteuid() == 0) {
        assert_int_equal(chown(folder, 65534, (gid_t)-1), 0);
        assert_refused(folder, "belongs to user 65534");
        assert_int_equal(chown(folder, 0, (gid_t)-1), 0);
    }
}

static int setup(void **state)
{
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    return rmdir(folder); /* nothing is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_twice_and_has_no_name),
        cmocka_unit_test(without_o_tmpfile_there_is_no_name_either),
        cmocka_unit_test(the_space_is_shared_and_given_back),
        cmocka_unit_test(the_counter_is_exact_with_many_threads),
        cmocka_unit_test(a_full_disk_is_told_from_a_used_up_space),
        cmocka_unit_test(the_processs_limit_of_a_file_is_told_and_what_was_written_stays),
        cmocka_unit_test(a_folder_that_cannot_be_used_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
