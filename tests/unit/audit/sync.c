#include "audit/sync.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chains.h"

#define NAME CHAINS_W0 "-000001.jsonl"
#define DISK_SIZE ((size_t)1 << 20)

/* A disk whose pages count as clean when it could not write them: these stand before libc's. */
static struct {
    bool fails;
    char dirty[DISK_SIZE], content[DISK_SIZE];
} disk;

ssize_t write(int fd, const void *data, size_t size)
{
    if (size > 7)
        size = (size + 1) / 2; /* in parts, as it may be */
    ssize_t written = syscall(SYS_write, fd, data, size);
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (written > 0 && end > 0)
        memset(disk.dirty + end - written, 1, (size_t)written);
    return written;
}

int fdatasync(int fd)
{
    char link[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    int same = open(link, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < DISK_SIZE; i++)
        if (disk.dirty[i] && !disk.fails)
            assert_int_equal(pread(same, disk.content + i, 1, (off_t)i), 1);
    close(same);
    memset(disk.dirty, 0, sizeof(disk.dirty));
    errno = EIO;
    return disk.fails ? -1 : 0;
}

static struct chains chains;
static struct chains_writer writer;
static struct audit_sync *sync_thread;
static struct audit_sync_file *file;
static uint64_t size;
static struct loop *loop;
static int done;

static int set_up(void **state)
{
    struct chain_head none = {0};
    memset(&disk, 0, sizeof(disk));
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    int fd = openat(chains.folder_fd, NAME, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file = audit_sync_file_open(loop, fd, chains.folder_fd, NAME, &chains.key, &none);
    assert_non_null(file);
    size = 0;
    done = 0;
    return audit_sync_create(&sync_thread, NULL) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    audit_sync_destroy(sync_thread);
    buffer_free(&writer.lines);
    chains_close(&chains);
    return 0;
}

static void write_records(int count)
{
    for (int i = 0; i < count; i++)
        chains_request(&writer, "some", "acme", 200);
    while (size < writer.lines.size)
        size += (uint64_t)write(file->fd, writer.lines.data + size, writer.lines.size - size);
}

static int now(void)
{
    return audit_sync_now(sync_thread, file, size, &writer.head);
}

static void assert_on_disk(void)
{
    assert_memory_equal(disk.content, writer.lines.data, writer.lines.size);
}

static void what_a_failed_sync_has_lost_is_written_again_before_the_next_one_counts(void **state)
{
    write_records(3);
    assert_int_equal(now(), 0);
    write_records(1500);
    disk.fails = true;
    assert_int_equal(now(), EIO);
    assert_int_equal(now(), EIO);
    assert_int_equal(audit_sync_doubts(sync_thread), 1);
    disk.fails = false;
    write_records(2);
    assert_int_equal(now(), 0);
    assert_on_disk();
    assert_int_equal(audit_sync_doubts(sync_thread), 0);
    audit_sync_drop(sync_thread, file);
}

static void what_cannot_be_read_back_is_never_on_disk(void **state)
{
    write_records(20);
    disk.fails = true;
    assert_int_equal(now(), EIO);
    disk.fails = false;
    assert_int_equal(pwrite(file->again_fd, "\0", 1, 500), 1);
    assert_int_equal(now(), EIO);
    assert_int_equal(now(), EIO);
    audit_sync_drop(sync_thread, file);
}

static void on_done(struct loop_message *message)
{
    done = 1;
}

static int run(struct audit_sync_file *of, uint64_t to, const struct chain_head *head)
{
    struct audit_sync_job job = {.file = of, .to = to, .head = *head, .folder_fd = -1, .done.on_message = on_done};
    done = 0;
    audit_sync_start(sync_thread, &job);
    audit_sync_await(sync_thread, &job);
    loop_deliver(loop);
    assert_int_equal(done, 1);
    return job.error;
}

static void nothing_is_on_disk_behind_a_closed_file_that_is_not(void **state)
{
    static const char second[] = CHAINS_W0 "-000002.jsonl";
    write_records(5);
    disk.fails = true;
    audit_sync_close(sync_thread, file, size, &writer.head);
    while (audit_sync_is_closing(sync_thread))
        usleep(100);
    assert_int_equal(audit_sync_doubts(sync_thread), 1);
    /* An empty one, which itself has nothing to lose. */
    int fd = openat(chains.folder_fd, second, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct audit_sync_file *next = audit_sync_file_open(loop, fd, chains.folder_fd, second, &chains.key, &writer.head);
    assert_int_equal(run(next, 0, &writer.head), EIO);
    disk.fails = false;
    assert_int_equal(run(next, 0, &writer.head), 0);
    assert_on_disk();
    assert_int_equal(audit_sync_doubts(sync_thread), 0);
    audit_sync_drop(sync_thread, next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_failed_sync_has_lost_is_written_again_before_the_next_one_counts),
        TEST(what_cannot_be_read_back_is_never_on_disk),
        TEST(nothing_is_on_disk_behind_a_closed_file_that_is_not),
    };
    hash_init();
    loop = loop_create();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
