#include "sessions_folder.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

/* The disk, by what is asked of it. */
static char disk_steps[512];
static bool no_sync;

static void note_step(const char *what, const char *path)
{
    const char *name = strrchr(path, '/');
    const char *ending = name != NULL ? strrchr(name, '.') : NULL;
    size_t at = strlen(disk_steps);
    snprintf(disk_steps + at, sizeof(disk_steps) - at, "%s%s %s", at != 0 ? ", " : "", what,
             ending != NULL ? ending : "folder");
}

/* In the place of libc's, for sessions*.c. */
int fsync(int fd)
{
    char link[64], path[256];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size > 0 ? size : 0] = '\0';
    note_step("sync", path);
    if (no_sync && strstr(disk_steps, "rename") != NULL) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    note_step("rename", to);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void a_session_begins_empty_with_what_was_told(void **state)
{
    char id[SESSIONS_ID_SIZE], path[128];
    struct stat about_file;
    begin("acme", 10, id);
    struct session *session = hold(id);
    struct session_about about = session_about(session);
    assert_string_equal(about.id, id);
    assert_int_equal(about.length, 10);
    assert_int_equal(about.offset, 0);
    assert_false(about.ended);
    assert_true(text_equal(about.metadata, TEXT("dataset c2FsZXM=")));
    assert_in_range(about.expires_s, clock_wall_us() / 1000000 + DAY_S - 60, clock_wall_us() / 1000000 + DAY_S);
    session_release(session);
    for (int i = 0; i < 2; i++) {
        path_of(id, i == 0 ? ".part" : ".json", path);
        assert_int_equal(stat(path, &about_file), 0);
        assert_int_equal(about_file.st_mode & 0777, 0600);
    }
    assert_int_equal(files(), 2);
}

static void what_came_before_a_cut_is_kept_and_goes_on(void **state)
{
    char id[SESSIONS_ID_SIZE];
    begin("acme", 10, id);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("0123"), STATUS_UNAVAILABLE, NULL), STATUS_UNAVAILABLE);
    assert_int_equal(session_about(session).offset, 4);
    session_release(session);
    restart();
    session = hold(id);
    assert_int_equal(session_about(session).offset, 4);
    assert_int_equal(session_about(session).length, 10);
    assert_int_equal(receive(session, TEXT("456"), STATUS_TIMEOUT, NULL), STATUS_TIMEOUT);
    assert_int_equal(receive(session, TEXT("789"), STATUS_OK, NULL), STATUS_OK);
    assert_int_equal(session_about(session).offset, 10);
    assert_bytes(session, TEXT("0123456789"));
    assert_bytes(session, TEXT("0123456789"));
    session_release(session);
}

static void more_than_the_told_length_is_not_kept(void **state)
{
    char id[SESSIONS_ID_SIZE];
    begin("acme", 5, id);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("01"), STATUS_OK, NULL), STATUS_OK);
    assert_int_equal(receive(session, TEXT("2345"), STATUS_OK, NULL), STATUS_TOO_LARGE);
    assert_non_null(strstr(failure.message, "Upload-Length"));
    assert_int_equal(session_about(session).offset, 2);
    assert_bytes(session, TEXT("01"));
    session_release(session);
}

static void a_piece_with_a_checksum_is_kept_whole_or_not_at_all(void **state)
{
    static const char *const hello = "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="; /* of "hello" */
    static const char *const hello256 = "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    char id[SESSIONS_ID_SIZE];
    begin("acme", 20, id);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("hello"), STATUS_OK, hello), STATUS_OK);
    assert_int_equal(receive(session, TEXT("hellO"), STATUS_OK, hello), STATUS_DENIED);
    assert_int_equal(session_about(session).offset, 5);
    assert_int_equal(receive(session, TEXT("hello"), STATUS_UNAVAILABLE, hello), STATUS_UNAVAILABLE);
    assert_int_equal(session_about(session).offset, 5);
    assert_int_equal(receive(session, TEXT("hello"), STATUS_OK, hello256), STATUS_OK);
    assert_bytes(session, TEXT("hellohello"));
    session_release(session);
}

static void a_request_that_was_given_up_keeps_what_came(void **state)
{
    char id[SESSIONS_ID_SIZE];
    atomic_bool cancelled = true;
    struct body_memory memory = {TEXT("0123")};
    struct body_source source = body_source_memory(&memory);
    begin("acme", 10, id);
    struct session *session = hold(id);
    assert_int_equal(session_receive(session, &source, NULL, &cancelled, &failure), STATUS_UNAVAILABLE);
    assert_int_equal(session_about(session).offset, 0);
    session_release(session);
}

static void a_session_has_one_holder(void **state)
{
    char id[SESSIONS_ID_SIZE];
    struct session *second;
    begin("acme", 10, id);
    struct session *session = hold(id);
    assert_int_equal(try_hold(id, acme, &second), STATUS_CONFLICT);
    session_release(session);
    session_release(hold(id));
}

static void a_session_is_its_customers_and_subjects_alone(void **state)
{
    static const struct session_owner others[] = {{{"other", 5}, {"user-1", 6}},
                                                  {{"acme", 4}, {"user-2", 6}},
                                                  {{"acme", 4}, {"", 0}},
                                                  {{"acm", 3}, {"user-1", 6}}};
    char id[SESSIONS_ID_SIZE];
    struct session *session;
    struct failure unknown = {0};
    begin("acme", 10, id);
    assert_int_equal(sessions_hold(sessions, TEXT("00000000-0000-4000-8000-000000000000"), acme, &session, &unknown),
                     STATUS_NOT_FOUND);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(try_hold(id, others[i], &session), STATUS_NOT_FOUND);
        assert_string_equal(failure.message, unknown.message);
    }
    session_release(hold(id));
}

static void what_is_no_id_names_no_file(void **state)
{
    static const char *const names[] = {"",
                                        "x",
                                        "../../../../../../etc/passwd",
                                        "00000000-0000-4000-8000-00000000000/",
                                        "00000000-0000-4000-8000-00000000000A",
                                        "00000000-0000-4000-8000-0000000000000"};
    struct session *session;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(try_hold(names[i], acme, &session), STATUS_NOT_FOUND);
}

static void an_ended_session_tells_its_result_and_takes_no_space(void **state)
{
    char id[SESSIONS_ID_SIZE], path[128];
    struct stat about_file;
    begin("acme", 4, id);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("0123"), STATUS_OK, NULL), STATUS_OK);
    assert_int_equal(session_end(session, TEXT("{\"dataset\":\"uploads.sales\",\"rows\":1}"), &failure), STATUS_OK);
    session_release(session);
    restart();
    session = hold(id);
    struct session_about about = session_about(session);
    assert_true(about.ended);
    assert_int_equal(about.offset, 4);
    assert_true(text_equal(about.result, TEXT("{\"dataset\":\"uploads.sales\",\"rows\":1}")));
    session_release(session);
    path_of(id, ".part", path);
    assert_int_equal(stat(path, &about_file), 0);
    assert_int_equal(about_file.st_size, 0);
    assert_int_equal(sessions_statistics(sessions).bytes, 0);
    assert_int_equal(sessions_statistics(sessions).ended, 1);
}

static void a_removed_session_leaves_nothing(void **state)
{
    char id[SESSIONS_ID_SIZE];
    struct session *session;
    begin("acme", 4, id);
    session_remove(hold(id));
    assert_int_equal(files(), 0);
    assert_int_equal(try_hold(id, acme, &session), STATUS_NOT_FOUND);
    assert_int_equal(sessions_statistics(sessions).open, 0);
}

static void a_customer_has_a_bounded_number_of_open_sessions(void **state)
{
    char id[SESSIONS_ID_SIZE], first[SESSIONS_ID_SIZE];
    begin("acme", 1, first);
    begin("acme", 1, id);
    begin("acme", 1, id);
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 1, id, &failure), STATUS_BUSY);
    assert_non_null(strstr(failure.message, "3 upload sessions"));
    begin("other", 1, id);
    begin("other", 1, id);
    begin("other", 1, id);
    struct session_owner third = {TEXT("third"), TEXT("x")};
    assert_int_equal(sessions_begin(sessions, third, TEXT_NONE, 1, id, &failure), STATUS_BUSY);
    session_remove(hold(first));
    begin("acme", 1, id);
    restart();
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 1, id, &failure), STATUS_BUSY);
    assert_int_equal(files(), 12);
}

static void told_lengths_share_a_space(void **state)
{
    char id[SESSIONS_ID_SIZE], refused[SESSIONS_ID_SIZE];
    begin("acme", 600, id);
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 401, refused, &failure), STATUS_TOO_LARGE);
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, INT64_MAX, refused, &failure), STATUS_TOO_LARGE);
    begin("acme", 400, refused);
    session_remove(hold(id));
    begin("acme", 600, id);
    assert_int_equal(sessions_statistics(sessions).bytes, 1000);
}

static void sessions_and_loads_share_one_bound(void **state)
{
    char id[SESSIONS_ID_SIZE];
    struct spool *spool = NULL;
    begin("acme", 700, id);
    assert_int_equal(spool_space_used(space), 700);
    assert_int_equal(spool_open(space, &spool, &failure), STATUS_OK);
    char bytes[1300] = {0};
    assert_int_equal(spool_write(spool, text_of(bytes, sizeof(bytes)), &failure), STATUS_OK);
    assert_int_equal(spool_write(spool, TEXT("x"), &failure), STATUS_TOO_LARGE);
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 1, id, &failure), STATUS_TOO_LARGE);
    assert_int_equal(sessions_statistics(sessions).open, 1);
    spool_close(spool);
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 1, id, &failure), STATUS_OK);
    assert_int_equal(spool_space_used(space), 701);
}

static void a_restart_counts_the_open_ones_again_and_an_end_gives_its_bytes_back(void **state)
{
    char id[SESSIONS_ID_SIZE], other[SESSIONS_ID_SIZE];
    begin("acme", 4, id);
    begin("acme", 50, other);
    restart();
    assert_int_equal(spool_space_used(space), 54);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("0123"), STATUS_OK, NULL), STATUS_OK);
    assert_int_equal(session_end(session, TEXT("{}"), &failure), STATUS_OK);
    session_release(session);
    assert_int_equal(spool_space_used(space), 50);
    restart();
    assert_int_equal(spool_space_used(space), 50);
    session_remove(hold(id));
    assert_int_equal(spool_space_used(space), 50);
    session_remove(hold(other));
    assert_int_equal(spool_space_used(space), 0);
}

static void a_session_is_on_the_disk_with_its_names_before_it_is_told(void **state)
{
    char id[SESSIONS_ID_SIZE];
    disk_steps[0] = '\0';
    begin("acme", 4, id);
    assert_string_equal(disk_steps, "sync .part, sync .new, rename .json, sync folder");
    struct session *session = hold(id);
    disk_steps[0] = '\0';
    assert_int_equal(session_end(session, TEXT("{}"), &failure), STATUS_OK);
    assert_string_equal(disk_steps, "sync .new, rename .json, sync folder");
    session_release(session);
}

static void a_session_whose_names_are_not_on_the_disk_has_not_begun(void **state)
{
    char id[SESSIONS_ID_SIZE];
    disk_steps[0] = '\0';
    no_sync = true;
    assert_int_equal(sessions_begin(sessions, acme, TEXT_NONE, 4, id, &failure), STATUS_FAILED);
    no_sync = false;
    assert_int_equal(files(), 0);
    assert_int_equal(sessions_statistics(sessions).open, 0);
    assert_int_equal(spool_space_used(space), 0);
}

static void a_refused_session_tells_the_reason_until_it_expires_and_takes_no_space(void **state)
{
    const struct text reason = TEXT("{\"problem\":\"invalid-file\",\"line\":3}");
    char id[SESSIONS_ID_SIZE], path[128];
    struct stat about_file;
    begin("acme", 4, id);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("0123"), STATUS_OK, NULL), STATUS_OK);
    assert_int_equal(session_refuse(session, reason, &failure), STATUS_OK);
    session_release(session);
    restart();
    session = hold(id);
    assert_true(session_about(session).ended);
    assert_true(session_about(session).refused);
    assert_true(text_equal(session_about(session).result, reason));
    session_release(session);
    path_of(id, ".part", path);
    assert_int_equal(stat(path, &about_file), 0);
    assert_int_equal(about_file.st_size, 0);
    assert_int_equal(spool_space_used(space), 0);
    age(id, DAY_S + 1);
    restart();
    assert_int_equal(files(), 0);
}

#define ROUNDS 200
static void *work(void *context)
{
    const char *id = context;
    for (int i = 0; i < ROUNDS; i++) {
        struct session *session;
        struct failure why;
        enum status status = sessions_hold(sessions, text_of(id, 36), acme, &session, &why);
        if (status != STATUS_OK && status != STATUS_CONFLICT)
            return "another status";
        if (status != STATUS_OK)
            continue;
        struct body_memory memory = {TEXT("x")};
        struct body_source source = body_source_memory(&memory);
        uint64_t before = session_about(session).offset;
        if (before < 500 && (session_receive(session, &source, NULL, NULL, &why) != STATUS_OK ||
                             session_about(session).offset != before + 1))
            return "two holders";
        session_release(session);
    }
    return NULL;
}

static void many_threads_never_hold_one_at_once(void **state)
{
    char id[SESSIONS_ID_SIZE];
    pthread_t threads[4];
    begin("acme", 500, id);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, id), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        if (wrong != NULL)
            fail_msg("%s", (char *)wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_begins_empty_with_what_was_told),
        TEST(what_came_before_a_cut_is_kept_and_goes_on),
        TEST(more_than_the_told_length_is_not_kept),
        TEST(a_piece_with_a_checksum_is_kept_whole_or_not_at_all),
        TEST(a_request_that_was_given_up_keeps_what_came),
        TEST(a_session_has_one_holder),
        TEST(a_session_is_its_customers_and_subjects_alone),
        TEST(what_is_no_id_names_no_file),
        TEST(an_ended_session_tells_its_result_and_takes_no_space),
        TEST(a_removed_session_leaves_nothing),
        TEST(a_customer_has_a_bounded_number_of_open_sessions),
        TEST(told_lengths_share_a_space),
        TEST(sessions_and_loads_share_one_bound),
        TEST(a_restart_counts_the_open_ones_again_and_an_end_gives_its_bytes_back),
        TEST(a_session_is_on_the_disk_with_its_names_before_it_is_told),
        TEST(a_session_whose_names_are_not_on_the_disk_has_not_begun),
        TEST(a_refused_session_tells_the_reason_until_it_expires_and_takes_no_space),
        TEST(many_threads_never_hold_one_at_once),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
