#include "audit/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* The disk: these stand before libc's. */
static size_t room = SIZE_MAX; /* bytes that it still takes */
static bool sync_fails, sync_blocks;
static unsigned syncs;
static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sync_freed = PTHREAD_COND_INITIALIZER;

static bool is_log(int fd)
{
    char link[32], target[256];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof(target) - 1);
    return size > 0 && memmem(target, (size_t)size, "sluice-audit-log", 16) != NULL;
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (room != SIZE_MAX && is_log(fd)) {
        if (room == 0) {
            errno = ENOSPC;
            return -1;
        }
        size = size < room ? size : room;
        room -= size;
    }
    return syscall(SYS_write, fd, data, size);
}

int fdatasync(int fd)
{
    pthread_mutex_lock(&sync_lock);
    while (sync_blocks)
        pthread_cond_wait(&sync_freed, &sync_lock);
    syncs++;
    bool fails = sync_fails;
    pthread_mutex_unlock(&sync_lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void block_sync(bool blocks)
{
    pthread_mutex_lock(&sync_lock);
    sync_blocks = blocks;
    pthread_cond_broadcast(&sync_freed);
    pthread_mutex_unlock(&sync_lock);
}

static struct loop *loop;
static struct audit_sync *sync_thread;
static struct audit_log *audit;
static struct audit_options options;
static struct failure failure;
static char folder[64];

static int set_up(void **state)
{
    strcpy(folder, "/tmp/sluice-audit-log-XXXXXX");
    assert_non_null(mkdtemp(folder));
    if (loop == NULL)
        loop = loop_create();
    assert_int_equal(audit_sync_create(&sync_thread, &failure), STATUS_OK);
    options = (struct audit_options){.folder = folder,
                                     .release = "1",
                                     .instance = "gw",
                                     .segment_bytes = 1 << 20,
                                     .segment_age_ms = 3600000,
                                     .sync = sync_thread};
    audit_options_set(&options, TEXT("0123456789abcdef0123456789abcdef"));
    room = SIZE_MAX;
    sync_fails = false;
    return 0;
}

static void open_log(void)
{
    assert_int_equal(audit_log_open(loop, &options, 0, &audit, &failure), STATUS_OK);
}

static int tear_down(void **state)
{
    char path[512];
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(entries);
    rmdir(folder);
    audit_sync_destroy(sync_thread);
    return 0;
}

/* --- what is in the files --- */

struct found {
    size_t lines, segments;
    char events[256]; /* begin,request,… */
    struct buffer all;
};

static void append_event(struct found *found, struct text line)
{
    const char *at = memmem(line.data, line.size, "\"event\":\"", 9);
    const char *end = strchr(at + 9, '"');
    size_t size = strlen(found->events);
    snprintf(found->events + size, sizeof(found->events) - size, "%s%.*s", size != 0 ? "," : "", (int)(end - at - 9),
             at + 9);
}

static void read_all(struct found *found)
{
    struct segment_list list;
    struct chain_head head = {0};
    memset(found, 0, sizeof(*found));
    buffer_init(&found->all, 16 << 20);
    assert_int_equal(segment_list(folder, &list, &failure), STATUS_OK);
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY);
    found->segments = list.count;
    for (size_t i = 0; i < list.count; i++) {
        struct segment_reader *reader = NULL;
        struct text line;
        uint64_t offset;
        assert_int_equal(segment_open(folder_fd, &list.items[i], &reader, &failure), STATUS_OK);
        while (segment_next(reader, &line, &offset, &failure) == STATUS_OK) {
            assert_int_equal(chain_check(&head, &options.key, line), CHAIN_GOOD);
            append_event(found, line);
            buffer_append_text(&found->all, line);
            found->lines++;
        }
        segment_close(reader);
    }
    close(folder_fd);
    segment_list_free(&list);
}

static void assert_events(const char *events)
{
    struct found found;
    read_all(&found);
    assert_string_equal(found.events, events);
    buffer_free(&found.all);
}

/* --- records and waits --- */

struct answer {
    struct audit_wait wait;
    int called; /* 0; 1: there; -1: not */
};

static void on_reached(struct audit_wait *wait, bool there)
{
    struct answer *answer = (struct answer *)wait;
    assert_int_equal(answer->called, 0);
    answer->called = there ? 1 : -1;
}

static void append(enum audit_kind kind)
{
    struct audit_record record = {.time_us = 1763744592123456,
                                  .request_id = TEXT("00112233445566778899"),
                                  .method = TEXT("GET"),
                                  .address = TEXT("192.0.2.77"),
                                  .operation = TEXT("getRegion"),
                                  .status = 200,
                                  .complete = true};
    audit_log_append(audit, kind, &record);
}

static void ask(struct answer *answer, enum audit_kind kind, enum audit_reached reached)
{
    append(kind);
    audit_log_wait(audit, &answer->wait, reached, on_reached);
    assert_int_equal(answer->called, 0);
}

static void turn_until(const int *flag)
{
    for (int i = 0; i < 2000 && *flag == 0; i++)
        loop_turn(loop, 10);
    assert_int_not_equal(*flag, 0);
}

static void an_answer_goes_out_at_the_turns_end_with_its_record_in_the_file(void **state)
{
    struct answer answer = {0}, other = {0};
    open_log();
    ask(&answer, AUDIT_ANSWER, AUDIT_WRITTEN);
    ask(&other, AUDIT_ANSWER, AUDIT_WRITTEN);
    assert_events("begin");
    uint64_t writes = audit_log_statistics(audit).writes;
    loop_turn(loop, 0);
    assert_int_equal(answer.called, 1);
    assert_int_equal(other.called, 1);
    assert_int_equal(audit_log_statistics(audit).writes, writes + 1);
    assert_events("begin,request,request");
    audit_log_close(audit);
    assert_events("begin,request,request,end");
}

static void who_leaves_is_not_called(void **state)
{
    struct answer answer = {0}, durable = {0};
    open_log();
    ask(&answer, AUDIT_ANSWER, AUDIT_WRITTEN);
    ask(&durable, AUDIT_INTENT, AUDIT_DURABLE);
    audit_log_leave(&answer.wait);
    audit_log_leave(&durable.wait);
    audit_log_leave(&durable.wait);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(answer.called, 0);
    assert_int_equal(durable.called, 0);
    audit_log_close(audit);
}

static void a_write_waits_for_the_disk_and_reads_do_not_wait_for_it(void **state)
{
    struct answer write_one = {0}, read_one = {0};
    open_log();
    block_sync(true);
    ask(&write_one, AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    ask(&read_one, AUDIT_ANSWER, AUDIT_WRITTEN);
    loop_turn(loop, 0);
    assert_int_equal(read_one.called, 1);
    assert_int_equal(write_one.called, 0);
    block_sync(false);
    turn_until(&write_one.called);
    assert_int_equal(write_one.called, 1);
    audit_log_close(audit);
}

static void writes_that_come_while_the_disk_works_share_the_next_sync(void **state)
{
    struct answer answers[20] = {0};
    open_log();
    block_sync(true);
    unsigned before = syncs;
    ask(&answers[0], AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    for (int i = 1; i < 20; i++)
        ask(&answers[i], AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    block_sync(false);
    turn_until(&answers[19].called);
    for (int i = 0; i < 20; i++)
        assert_int_equal(answers[i].called, 1);
    assert_int_equal(syncs - before, 2);
    audit_log_close(audit);
}

static void a_disk_that_does_not_sync_refuses_the_write(void **state)
{
    struct answer answer = {0};
    open_log();
    sync_fails = true;
    ask(&answer, AUDIT_INTENT, AUDIT_DURABLE);
    turn_until(&answer.called);
    assert_int_equal(answer.called, -1);
    assert_false(audit_log_accepts(audit));
    sync_fails = false;
    for (int i = 0; i < 2000 && !audit_log_accepts(audit); i++)
        loop_turn(loop, 10);
    assert_true(audit_log_accepts(audit));
    audit_log_close(audit);
}

static void a_full_disk_refuses_answers_and_keeps_what_has_happened(void **state)
{
    struct answer answer = {0}, later = {0}, again = {0};
    open_log();
    room = 100; /* part of a record: it is cut off again */
    ask(&answer, AUDIT_ANSWER, AUDIT_WRITTEN);
    append(AUDIT_OUTCOME);
    loop_turn(loop, 0);
    assert_int_equal(answer.called, -1);
    assert_false(audit_log_accepts(audit));
    assert_events("begin");
    ask(&later, AUDIT_ANSWER, AUDIT_WRITTEN);
    append(AUDIT_INCOMPLETE);
    loop_turn(loop, 0);
    assert_int_equal(later.called, -1);
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && !audit_log_accepts(audit); i++)
        loop_turn(loop, 10);
    assert_events("begin,request,incomplete,gap");
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"refused\":2", 11));
    buffer_free(&found.all);
    ask(&again, AUDIT_ANSWER, AUDIT_WRITTEN);
    loop_turn(loop, 0);
    assert_int_equal(again.called, 1);
    audit_log_close(audit);
    assert_events("begin,request,incomplete,gap,request,end");
}

static void where_it_is_configured_so_a_full_disk_stops_nobody_and_loses_nothing_that_fits(void **state)
{
    struct answer answers[3] = {0};
    options.on_full = AUDIT_CONTINUE;
    open_log();
    room = 0;
    for (int i = 0; i < 3; i++) {
        ask(&answers[i], i == 0 ? AUDIT_INTENT : AUDIT_ANSWER, i == 0 ? AUDIT_DURABLE : AUDIT_WRITTEN);
        loop_turn(loop, 0);
        assert_int_equal(answers[i].called, 1);
    }
    assert_true(audit_log_accepts(audit));
    assert_true(audit_log_statistics(audit).failing);
    assert_events("begin");
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && audit_log_statistics(audit).failing; i++)
        loop_turn(loop, 10);
    assert_events("begin,intent,request,request");
    audit_log_close(audit);
}

static void what_a_full_buffer_cannot_hold_is_counted(void **state)
{
    options.on_full = AUDIT_CONTINUE;
    open_log();
    room = 0;
    for (int i = 0; i < 40000; i++) {
        append(AUDIT_OUTCOME);
        if (i % 1000 == 0)
            loop_turn(loop, 0);
    }
    loop_turn(loop, 0);
    uint64_t dropped = audit_log_statistics(audit).dropped;
    assert_true(dropped > 1000);
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && audit_log_statistics(audit).failing; i++)
        loop_turn(loop, 10);
    append(AUDIT_OUTCOME);
    audit_log_close(audit);
    struct found found;
    struct chain_head head;
    read_all(&found);
    (void)head;
    assert_true(found.lines + dropped >= 40000);
    buffer_free(&found.all);
}

static void segments_follow_one_another_in_one_chain(void **state)
{
    options.segment_bytes = 2000;
    open_log();
    for (int i = 0; i < 50; i++) {
        append(AUDIT_OUTCOME);
        while (audit_sync_is_closing(sync_thread))
            usleep(100);
        loop_turn(loop, 0);
    }
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_true(found.segments > 5);
    buffer_free(&found.all);
}

static void a_write_that_waits_while_its_segment_is_closed_is_on_disk_when_it_is_told_so(void **state)
{
    struct answer answers[30] = {0};
    options.segment_bytes = 1000;
    open_log();
    for (int i = 0; i < 30; i++) {
        ask(&answers[i], AUDIT_INTENT, AUDIT_DURABLE);
        loop_turn(loop, 0);
    }
    for (int i = 0; i < 30; i++)
        turn_until(&answers[i].called);
    for (int i = 0; i < 30; i++)
        assert_int_equal(answers[i].called, 1);
    audit_log_close(audit);
}

static void addresses_are_cut_and_people_are_pseudonyms(void **state)
{
    struct audit_record record = {.address = TEXT("192.0.2.77"), .customer = TEXT("acme"), .subject = TEXT("ann@x")};
    assert_int_equal(subjects_open(folder, &options.key, &options.subjects, &failure), STATUS_OK);
    open_log();
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    record.address = TEXT("2001:db8:1:2:3:4:5:6");
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"address\":\"192.0.2.0/24\"", 24));
    assert_non_null(memmem(found.all.data, found.all.size, "\"address\":\"2001:db8:1::/48\"", 27));
    assert_null(memmem(found.all.data, found.all.size, "ann", 3));
    assert_null(memmem(found.all.data, found.all.size, "0.2.77", 6));
    buffer_free(&found.all);
    subjects_close(options.subjects);
}

static void a_trace_is_told_where_the_caller_began_it(void **state)
{
    struct audit_record record = {.trace_id = TEXT("0af7651916cd43dd8448eb211c80319c"), .traced = true};
    open_log();
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    record.trace_id = TEXT("b519dc826e8a5369884fc08473e7126d");
    record.traced = false;
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"", 45));
    assert_null(memmem(found.all.data, found.all.size, "b519dc", 6));
    buffer_free(&found.all);
}

/* --- the head that others read --- */

#define HEADS 2000

struct reading {
    uint64_t last;            /* the number that ends it */
    struct chain_head *heads; /* as they were read, each other than the one before */
    size_t count;
};

static void *read_heads(void *context)
{
    struct reading *reading = context;
    struct chain_head head = {0}, before = {0};
    while (head.seq != reading->last) {
        head = audit_log_head(audit);
        if (memcmp(&head, &before, sizeof(head)) != 0 && reading->count <= HEADS)
            reading->heads[reading->count++] = head;
        before = head;
    }
    return NULL;
}

static void a_head_that_is_read_while_it_moves_is_one_that_was_written(void **state)
{
    struct chain_head *written = calloc(HEADS + 2, sizeof(*written)); /* by number */
    struct reading reading = {.last = HEADS + 1, .heads = calloc(HEADS + 1, sizeof(*written))};
    pthread_t thread;
    assert_true(written != NULL && reading.heads != NULL);
    open_log();
    written[1] = audit_log_head(audit);
    assert_int_equal(pthread_create(&thread, NULL, read_heads, &reading), 0);
    for (size_t i = 2; i <= reading.last; i++) {
        append(AUDIT_OUTCOME);
        loop_turn(loop, 0);
        written[i] = audit_log_head(audit);
        assert_int_equal(written[i].seq, i);
    }
    pthread_join(thread, NULL);
    assert_int_not_equal(reading.count, 0);
    for (size_t i = 0; i < reading.count; i++)
        assert_memory_equal(&reading.heads[i], &written[reading.heads[i].seq], sizeof(*written));
    audit_log_close(audit);
    free(reading.heads);
    free(written);
}

int main(void)
{
    hash_init();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_goes_out_at_the_turns_end_with_its_record_in_the_file),
        TEST(who_leaves_is_not_called),
        TEST(a_write_waits_for_the_disk_and_reads_do_not_wait_for_it),
        TEST(writes_that_come_while_the_disk_works_share_the_next_sync),
        TEST(a_disk_that_does_not_sync_refuses_the_write),
        TEST(a_full_disk_refuses_answers_and_keeps_what_has_happened),
        TEST(where_it_is_configured_so_a_full_disk_stops_nobody_and_loses_nothing_that_fits),
        TEST(what_a_full_buffer_cannot_hold_is_counted),
        TEST(segments_follow_one_another_in_one_chain),
        TEST(a_write_that_waits_while_its_segment_is_closed_is_on_disk_when_it_is_told_so),
        TEST(addresses_are_cut_and_people_are_pseudonyms),
        TEST(a_trace_is_told_where_the_caller_began_it),
        TEST(a_head_that_is_read_while_it_moves_is_one_that_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
