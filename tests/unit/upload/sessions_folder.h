/* A folder of upload sessions, emptied for each test, and what the tests do with one. */
#ifndef SLUICE_TESTS_UPLOAD_SESSIONS_FOLDER_H
#define SLUICE_TESTS_UPLOAD_SESSIONS_FOLDER_H

#include "upload/sessions.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"

#define DAY_S 86400

static char folder[] = "/tmp/sluice-sessions-XXXXXX";
static struct sessions *sessions;
static struct failure failure;
static struct spool_space *space;
static const struct session_owner acme = {{"acme", 4}, {"user-1", 6}};

/* Who is no customer any more; "?": not known. */
static const char *gone_customer = "";

static inline enum status ask_gone(void *context, const struct text *customers, size_t count, bool *gone,
                                   struct failure *why)
{
    for (size_t i = 0; i < count; i++)
        gone[i] = text_equal(customers[i], text_from_string(gone_customer));
    return strcmp(gone_customer, "?") == 0 ? STATUS_UNAVAILABLE : STATUS_OK;
}

static inline void open_sessions(void)
{
    failure = (struct failure){0};
    if (space == NULL)
        assert_int_equal(spool_space_create(folder, 2000, &space, &failure), STATUS_OK);
    struct sessions_options options = {
        .folder = folder, .space = space, .each = 3, .all = 6, .lifetime_s = DAY_S, .gone = ask_gone};
    assert_int_equal(sessions_create(&options, &sessions, &failure), STATUS_OK);
}

static inline void restart(void)
{
    sessions_destroy(sessions);
    open_sessions();
}

static inline unsigned files(void)
{
    unsigned count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static inline void empty_folder(void)
{
    char path[512];
    DIR *directory = opendir(folder);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            unlink(path);
        }
    closedir(directory);
}

static inline void path_of(const char *id, const char *ending, char out[128])
{
    snprintf(out, 128, "%s/%s%s", folder, id, ending);
}

/* As if nothing had come for so long. */
static inline void age(const char *id, int64_t seconds)
{
    char path[128];
    time_t then = (time_t)(clock_wall_us() / 1000000 - seconds);
    struct timespec times[2] = {{then, 0}, {then, 0}};
    path_of(id, ".part", path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static inline void begin(const char *customer, uint64_t length, char id[SESSIONS_ID_SIZE])
{
    struct session_owner owner = {text_from_string(customer), TEXT("user-1")};
    assert_int_equal(sessions_begin(sessions, owner, TEXT("dataset c2FsZXM="), length, id, &failure), STATUS_OK);
}

static inline enum status try_hold(const char *id, struct session_owner owner, struct session **session)
{
    *session = NULL;
    return sessions_hold(sessions, text_from_string(id), owner, session, &failure);
}

static inline struct session *hold(const char *id)
{
    struct session *session;
    assert_int_equal(try_hold(id, acme, &session), STATUS_OK);
    return session;
}

/* A source that gives one byte after the other and then fails. */
struct torn {
    struct text rest;
    enum status then;
};

static inline enum status read_torn(void *context, char *out, size_t size, size_t *got, struct failure *why)
{
    struct torn *torn = context;
    *got = torn->rest.size != 0 && size != 0;
    if (*got == 0)
        return torn->then;
    *out = *torn->rest.data++;
    torn->rest.size--;
    return STATUS_OK;
}

static inline enum status receive(struct session *session, struct text bytes, enum status then, const char *checksum)
{
    struct torn torn = {bytes, then};
    struct body_source source = {read_torn, &torn};
    struct tus_checksum told;
    failure = (struct failure){0};
    assert_int_equal(tus_headers_checksum(text_from_string(checksum), &told, &failure), STATUS_OK);
    return session_receive(session, &source, &told, NULL, &failure);
}

static inline void assert_bytes(struct session *session, struct text expected)
{
    char bytes[64];
    size_t got = 1, all = 0;
    struct body_source source = session_source(session);
    while (got != 0) {
        assert_int_equal(source.read(source.context, bytes + all, sizeof(bytes) - all, &got, &failure), STATUS_OK);
        all += got;
    }
    assert_int_equal(all, expected.size);
    assert_memory_equal(bytes, expected.data, all);
}

static inline int make(void **state)
{
    open_sessions();
    return 0;
}

static inline int drop(void **state)
{
    sessions_destroy(sessions);
    assert_int_equal(spool_space_used(space), 0);
    spool_space_destroy(space);
    space = NULL;
    empty_folder();
    return 0;
}

static inline int make_folder(void **state)
{
    hash_init();
    return mkdtemp(folder) == NULL;
}

static inline int remove_folder(void **state)
{
    return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

#endif
