/* A log in a folder of its own, on a disk that fails when it is told to; and what is in its files then. */
#ifndef SLUICE_TESTS_AUDIT_LOG_PLACE_H
#define SLUICE_TESTS_AUDIT_LOG_PLACE_H

#include "audit/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/log_private.h"

/* The disk: these stand before libc's. */
static size_t room = SIZE_MAX; /* bytes that it still takes */
static bool sync_fails, sync_blocks;
static unsigned syncs;
static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sync_freed = PTHREAD_COND_INITIALIZER;

static inline bool is_log(int fd)
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

static inline void block_sync(bool blocks)
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

static inline int set_up(void **state)
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

static inline void open_log(void)
{
    assert_int_equal(audit_log_open(loop, &options, 0, &audit, &failure), STATUS_OK);
}

static inline int tear_down(void **state)
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

static inline void append_event(struct found *found, struct text line)
{
    const char *at = memmem(line.data, line.size, "\"event\":\"", 9);
    const char *end = strchr(at + 9, '"');
    size_t size = strlen(found->events);
    snprintf(found->events + size, sizeof(found->events) - size, "%s%.*s", size != 0 ? "," : "", (int)(end - at - 9),
             at + 9);
}

static inline void read_all(struct found *found)
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

static inline void assert_events(const char *events)
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

static inline void on_reached(struct audit_wait *wait, bool there)
{
    struct answer *answer = (struct answer *)wait;
    assert_int_equal(answer->called, 0);
    answer->called = there ? 1 : -1;
}

static inline bool append(enum audit_kind kind)
{
    struct audit_record record = {.time_us = 1763744592123456,
                                  .request_id = TEXT("00112233445566778899"),
                                  .method = TEXT("GET"),
                                  .address = TEXT("192.0.2.77"),
                                  .operation = TEXT("getRegion"),
                                  .status = 200,
                                  .complete = true};
    return audit_log_append(audit, kind, &record);
}

static inline void ask(struct answer *answer, enum audit_kind kind, enum audit_reached reached)
{
    bool appended = append(kind);
    audit_log_wait(audit, &answer->wait, appended, reached, on_reached);
}

/* Until the segment has what was appended. */
static inline void settle(void)
{
    for (int i = 0; i < 2000 && audit_log_head(audit).seq != audit_log_statistics(audit).records; i++)
        loop_turn(loop, 10);
    assert_int_equal(audit_log_head(audit).seq, audit_log_statistics(audit).records);
}

static inline void turn_until(const int *flag)
{
    for (int i = 0; i < 2000 && *flag == 0; i++)
        loop_turn(loop, 10);
    assert_int_not_equal(*flag, 0);
}

#endif
