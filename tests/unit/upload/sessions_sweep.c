#include "sessions_folder.h"

static void an_expired_session_is_not_found_and_swept(void **state)
{
    char id[SESSIONS_ID_SIZE], young[SESSIONS_ID_SIZE];
    struct session *session;
    begin("acme", 4, id);
    begin("acme", 4, young);
    age(id, DAY_S + 1);
    age(young, DAY_S - 60);
    assert_int_equal(try_hold(id, acme, &session), STATUS_NOT_FOUND);
    restart(); /* sweeps */
    assert_int_equal(files(), 2);
    assert_int_equal(sessions_statistics(sessions).open, 1);
    age(young, DAY_S + 1);
    restart();
    assert_int_equal(files(), 0);
}

static void the_sweep_leaves_what_is_held_and_what_went_on(void **state)
{
    char id[SESSIONS_ID_SIZE];
    begin("acme", 4, id);
    age(id, DAY_S - 60);
    restart();
    struct session *session = hold(id);
    age(id, DAY_S + 1);
    sessions_sweep(sessions);
    assert_int_equal(files(), 2);
    assert_int_equal(receive(session, TEXT("01"), STATUS_OK, NULL), STATUS_OK); /* touches it */
    session_release(session);
    sessions_sweep(sessions);
    assert_int_equal(files(), 2);
    session_release(hold(id));
}

static void what_a_customer_that_is_gone_had_is_swept(void **state)
{
    char id[SESSIONS_ID_SIZE], second[SESSIONS_ID_SIZE], held[SESSIONS_ID_SIZE], other[SESSIONS_ID_SIZE];
    begin("acme", 4, id);
    begin("acme", 4, second);
    begin("acme", 4, held);
    begin("other", 4, other);
    struct session *session = hold(held);
    gone_customer = "?"; /* the database is away */
    sessions_sweep_customers(sessions);
    assert_int_equal(files(), 8);
    gone_customer = "acme";
    sessions_sweep_customers(sessions);
    assert_int_equal(files(), 4);
    session_release(session);
    sessions_sweep_customers(sessions);
    gone_customer = "";
    assert_int_equal(files(), 2);
    assert_int_equal(sessions_statistics(sessions).open, 1);
    assert_int_equal(spool_space_used(space), 4);
}

static void a_customers_sessions_are_erased_from_outside(void **state)
{
    char id[SESSIONS_ID_SIZE], held[SESSIONS_ID_SIZE], other[SESSIONS_ID_SIZE];
    struct sessions_erased erased;
    begin("acme", 10, id);
    begin("acme", 10, held);
    begin("other", 10, other);
    struct session *session = hold(id);
    assert_int_equal(receive(session, TEXT("0123"), STATUS_OK, NULL), STATUS_OK);
    session_release(session);
    session = hold(held);
    assert_int_equal(sessions_erase(folder, TEXT("acme"), false, &erased, &failure), STATUS_OK);
    assert_int_equal(erased.count, 1);
    assert_int_equal(erased.bytes, 4);
    assert_int_equal(erased.held, 1);
    assert_int_equal(files(), 6);
    assert_int_equal(sessions_erase(folder, TEXT("acme"), true, &erased, &failure), STATUS_OK);
    assert_int_equal(erased.count, 1);
    assert_int_equal(files(), 4);
    session_release(session);
    assert_int_equal(sessions_erase("/nowhere/at-all", TEXT("acme"), true, &erased, &failure), STATUS_NOT_FOUND);
    /* Whoever serves them finds it out. */
    gone_customer = "acme";
    sessions_sweep_customers(sessions);
    gone_customer = "";
    assert_int_equal(sessions_statistics(sessions).open, 1);
    assert_int_equal(files(), 2);
}

static void of_ended_sessions_the_youngest_are_remembered(void **state)
{
    char ids[4][SESSIONS_ID_SIZE];
    for (int i = 0; i < 4; i++) {
        begin("acme", 1, ids[i]);
        struct session *session = hold(ids[i]);
        assert_int_equal(receive(session, TEXT("x"), STATUS_OK, NULL), STATUS_OK);
        assert_int_equal(session_end(session, TEXT("{}"), &failure), STATUS_OK);
        session_release(session);
        age(ids[i], 100 - i);
        restart();
    }
    struct session *session;
    assert_int_equal(try_hold(ids[0], acme, &session), STATUS_NOT_FOUND);
    session_release(hold(ids[1]));
    session_release(hold(ids[3]));
    assert_int_equal(files(), 6);
}

static void put(const char *id, const char *ending, const char *content)
{
    char path[128];
    path_of(id, ending, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void what_a_killed_process_left_half_made_is_dropped(void **state)
{
    static const char *const id = "01234567-89ab-4cde-8f01-23456789abcd";
    static const char *const endings[] = {".part", ".new", ".json"};
    char path[128];
    time_t then = (time_t)(clock_wall_us() / 1000000 - 120);
    struct timespec times[2] = {{then, 0}, {then, 0}};
    for (size_t i = 0; i < 3; i++) {
        put(id, endings[i], "{}");
        restart();
        assert_int_equal(files(), 1); /* it may be in the making */
        path_of(id, endings[i], path);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        restart();
        assert_int_equal(files(), 0);
    }
    put("someone-elses", ".part", "x");
    restart();
    assert_int_equal(files(), 1);
}

static void a_file_that_is_none_of_ours_is_no_session(void **state)
{
    static const char *const contents[] = {"", "{", "[]", "{\"customer\":\"acme\"}",
                                           ("{\"customer\":\"acme\",\"subject\":\"x\",\"length\":-1,\"metadata\":\"\","
                                            "\"ended\":false,\"result\":\"\"}")};
    char id[SESSIONS_ID_SIZE];
    struct session *session;
    begin("acme", 4, id);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        put(id, ".json", contents[i]);
        assert_int_equal(try_hold(id, acme, &session), STATUS_FAILED);
        assert_non_null(strstr(failure.message, id));
    }
    restart();
    assert_int_equal(sessions_statistics(sessions).open, 0);
    assert_int_equal(files(), 2);
    char path[128];
    time_t then = (time_t)(clock_wall_us() / 1000000 - DAY_S - 60);
    struct timespec times[2] = {{then, 0}, {then, 0}};
    for (int i = 0; i < 2; i++) {
        path_of(id, i == 0 ? ".json" : ".part", path);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    restart(); /* the folder has no order: its bytes may go a start later */
    restart();
    assert_int_equal(files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_expired_session_is_not_found_and_swept),     TEST(the_sweep_leaves_what_is_held_and_what_went_on),
        TEST(what_a_customer_that_is_gone_had_is_swept),     TEST(a_customers_sessions_are_erased_from_outside),
        TEST(of_ended_sessions_the_youngest_are_remembered), TEST(what_a_killed_process_left_half_made_is_dropped),
        TEST(a_file_that_is_none_of_ours_is_no_session),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
