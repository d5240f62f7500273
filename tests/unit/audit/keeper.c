#include "audit/keeper.h"

#include <pthread.h>
#include <sys/time.h>

#include "audit/verify.h"
#include "chains.h"
#include "fake_database.h"

static struct chains chains;
static struct audit_options audit;
static struct keeper_options options;
static struct keeper *keeper;
static const struct postgres_login login;
static struct failure failure;

static int set_up(void **state)
{
    chains_open(&chains);
    audit = (struct audit_options){.folder = chains.folder,
                                   .release = "1",
                                   .instance = "gw1",
                                   .started = "20261121T180000-abcd",
                                   .key = chains.key,
                                   .key_name = "01234567"};
    options = (struct keeper_options){.audit = &audit};
    database_away = ended_chain = false;
    has_functions = true;
    stored = doubles = anchor_calls = 0;
    fail_stores = 0;
    poison = 0;
    erasure[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    keeper_destroy(keeper);
    keeper = NULL;
    subjects_close(audit.subjects);
    unlinkat(chains.folder_fd, "subjects", 0);
    unlinkat(chains.folder_fd, "erased", 0);
    unlinkat(chains.folder_fd, "anchors", 0);
    chains_close(&chains);
    return 0;
}

static void start(void)
{
    assert_int_equal(keeper_create(&options, &keeper, &failure), STATUS_OK);
}

/* Polled, for at most thirty seconds. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        int tries = 0;                                                                                                 \
        while (!(condition)) {                                                                                         \
            assert_true(tries++ < 3000);                                                                               \
            usleep(10000);                                                                                             \
        }                                                                                                              \
    } while (0)

static bool exists(const char *name)
{
    struct stat info;
    return fstatat(chains.folder_fd, name, &info, 0) == 0;
}

static size_t stored_now(void)
{
    pthread_mutex_lock(&database_lock);
    size_t now = stored;
    pthread_mutex_unlock(&database_lock);
    return now;
}

static void set_away(bool away)
{
    pthread_mutex_lock(&database_lock);
    database_away = away;
    pthread_mutex_unlock(&database_lock);
}

/* Two closed segments and an ended one, of `requests` records each. */
static uint64_t write_chain(const char *name, size_t requests)
{
    struct chains_writer writer;
    chains_begin(&writer, &chains, name);
    for (int segment = 0; segment < 3; segment++) {
        if (segment != 0)
            chains_rotate(&writer);
        for (size_t i = 0; i < requests; i++)
            chains_request(&writer, "id", "acme", 200);
    }
    chains_end(&writer);
    uint64_t seq = writer.head.seq;
    buffer_free(&writer.lines);
    return seq;
}

static void on_finding(void *context, const char *words)
{
    print_message("%s\n", words);
}

static struct verify_result verify(void)
{
    struct verify_result result;
    const struct verify_options verifying = {chains.folder, &chains.key, NULL, 0, on_finding, NULL};
    assert_int_equal(verify_folder(&verifying, &result, &failure), STATUS_OK);
    return result;
}

static void closed_segments_are_compressed_and_stay_good(void **state)
{
    write_chain(CHAINS_W0, 100);
    start();
    AWAIT(keeper_statistics(keeper).compressed == 3);
    assert_false(exists(CHAINS_W0 "-000001.jsonl"));
    assert_true(exists(CHAINS_W0 "-000003.jsonl.zst"));
    assert_int_equal(verify().findings, 0);
    assert_int_equal(verify().live, 1);
}

static void the_chain_of_its_own_begins_and_ends(void **state)
{
    start();
    assert_int_equal(verify().live, 1);
    keeper_destroy(keeper);
    keeper = NULL;
    struct verify_result result = verify();
    assert_int_equal(result.findings, 0);
    assert_int_equal(result.live, 0);
    assert_int_equal(result.records, 2);
}

static void what_a_writer_holds_is_left_alone(void **state)
{
    struct chains_writer writer;
    struct segment_name name = {.chain = CHAINS_W0, .number = 1};
    int fd = segment_create(chains.folder_fd, &name);
    assert_true(fd >= 0);
    chains_begin(&writer, &chains, CHAINS_W1);
    chains_save(&writer);
    buffer_free(&writer.lines);
    write_chain("gw1-20261121T170312-1f3a-w2", 10);
    start();
    AWAIT(keeper_statistics(keeper).compressed == 3);
    assert_true(exists(CHAINS_W0 "-000001.jsonl"));
    assert_true(exists(CHAINS_W1 "-000001.jsonl")); /* no end yet */
    close(fd);
}

static void make_old(const char *name, int days)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= days * 86400L;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

static void old_segments_go_and_the_chain_says_so(void **state)
{
    char path[512];
    write_chain(CHAINS_W0, 10);
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof(path), "%s/" CHAINS_W0 "-%06d.jsonl", chains.folder, i);
        make_old(path, 10);
    }
    options.keep_days = 7;
    start();
    AWAIT(keeper_statistics(keeper).deleted == 2);
    struct verify_result result = verify();
    assert_int_equal(result.findings, 0);
    assert_int_equal(result.deleted, 2);
    assert_true(exists(CHAINS_W0 "-000003.jsonl.zst") || exists(CHAINS_W0 "-000003.jsonl"));
}

static void a_bound_on_the_size_takes_the_oldest(void **state)
{
    write_chain(CHAINS_W0, 50);
    write_chain(CHAINS_W1, 50);
    options.keep_bytes = 1;
    start();
    AWAIT(keeper_statistics(keeper).deleted == 6);
    assert_int_equal(verify().findings, 0);
}

static void nothing_goes_that_is_not_shipped(void **state)
{
    write_chain(CHAINS_W0, 50);
    options.keep_bytes = 1;
    options.ship = true;
    options.login = &login;
    database_away = true;
    start();
    AWAIT(keeper_statistics(keeper).failures >= 3);
    assert_int_equal(keeper_statistics(keeper).deleted, 0);
    set_away(false);
    AWAIT(keeper_statistics(keeper).deleted == 3);
}

static void all_records_are_shipped_once(void **state)
{
    uint64_t seq = write_chain(CHAINS_W0, 1500);
    write_chain("gw2-20261121T170312-1f3a-w0", 5);   /* another instance's */
    write_chain("gw1-x-20261121T170312-1f3a-w0", 5); /* only begins so */
    options.ship = true;
    options.login = &login;
    start();
    AWAIT(stored_now() == seq + 1); /* and its own "begin" */
    AWAIT(keeper_statistics(keeper).shipped == seq + 1);
    AWAIT(keeper_statistics(keeper).ship_lag == 0);
    assert_int_equal(doubles, 0);
    assert_true(ended_chain);
    assert_true(is_stored(CHAINS_W0, 1) && is_stored(CHAINS_W0, seq));
}

static void an_answer_that_is_lost_loses_no_record_and_doubles_none(void **state)
{
    uint64_t seq = write_chain(CHAINS_W0, 1500);
    options.ship = true;
    options.login = &login;
    fail_stores = 2;
    start();
    AWAIT(stored_now() == seq + 1);
    AWAIT(keeper_statistics(keeper).ship_lag == 0);
    assert_int_equal(doubles, 0); /* the database was asked how far it is */
}

static void a_database_that_is_away_is_waited_for(void **state)
{
    uint64_t seq = write_chain(CHAINS_W0, 10);
    options.ship = true;
    options.login = &login;
    database_away = true;
    start();
    AWAIT(keeper_statistics(keeper).compressed == 3); /* the rest goes on */
    AWAIT(keeper_statistics(keeper).ship_lag == 1);
    set_away(false);
    AWAIT(stored_now() == seq + 1);
}

static void a_record_that_the_database_refuses_stops_no_other(void **state)
{
    uint64_t seq = write_chain(CHAINS_W0, 100);
    options.ship = true;
    options.login = &login;
    poison = 7;
    start();
    AWAIT(stored_now() == seq);
    assert_false(is_stored(CHAINS_W0, 7));
    assert_true(is_stored(CHAINS_W0, 8));
}

static void a_nul_in_a_record_is_shipped_as_a_replacement(void **state)
{
    struct chains_writer writer;
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_line(&writer, "request");
    entry_append_text(&writer.lines, "dataset", text_of("a\0b\\u0000", 9));
    chains_seal(&writer);
    chains_end(&writer);
    buffer_free(&writer.lines);
    options.ship = true;
    options.login = &login;
    start();
    AWAIT(keeper_statistics(keeper).shipped == 4);
    keeper_destroy(keeper);
    keeper = NULL;
    assert_non_null(strstr(shipped_w0, "\"a\\ufffdb\\\\u0000\""));
}

static void what_is_no_record_is_not_shipped(void **state)
{
    chains_write(&chains, CHAINS_W0 "-000001.jsonl", TEXT("{\"seq\":1,nothing}\n"));
    uint64_t seq = write_chain(CHAINS_W1, 10);
    options.ship = true;
    options.login = &login;
    start();
    AWAIT(stored_now() == seq + 1);
    assert_false(is_stored(CHAINS_W0, 1));
    assert_true(keeper_statistics(keeper).failures >= 1);
}

static void without_its_functions_the_database_gets_nothing(void **state)
{
    write_chain(CHAINS_W0, 10);
    options.ship = true;
    options.login = &login;
    has_functions = false;
    start();
    AWAIT(keeper_statistics(keeper).compressed == 3);
    assert_int_equal(stored_now(), 0);
}

static void heads_are_anchored_in_the_file_and_the_database(void **state)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/anchors", chains.folder);
    options.anchor_ms = 50;
    options.anchor_file = path;
    options.login = &login;
    start();
    AWAIT(keeper_statistics(keeper).anchors >= 1);
    assert_true(keeper_statistics(keeper).last_anchor_us > 0);
    keeper_destroy(keeper);
    keeper = NULL;
    struct buffer bytes;
    chains_read(&chains, "anchors", &bytes);
    assert_non_null(memmem(bytes.data, bytes.size, "gw1-20261121T180000-abcd-k 1 ", 29));
    assert_non_null(memmem(bytes.data, bytes.size, "gw1-20261121T180000-abcd-k 2 ", 29)); /* its end */
    assert_non_null(strstr(last_anchors, "{gw1-20261121T180000-abcd-k} {2} {"));
    size_t lines = 0;
    for (size_t i = 0; i < bytes.size; i++)
        lines += bytes.data[i] == '\n';
    assert_int_equal(lines, 2); /* a head that has not moved is not told again */
    buffer_free(&bytes);
}

static void a_person_is_erased_once(void **state)
{
    char before[SUBJECTS_PSEUDONYM_SIZE], after[SUBJECTS_PSEUDONYM_SIZE], later[SUBJECTS_PSEUDONYM_SIZE];
    unsigned char index[SUBJECTS_INDEX_SIZE];
    assert_int_equal(subjects_open(chains.folder, &chains.key, &audit.subjects, &failure), STATUS_OK);
    assert_true(subjects_find(audit.subjects, TEXT("acme"), TEXT("ann"), before));
    subjects_index(&chains.key, TEXT("acme"), TEXT("ann"), index);
    options.login = &login;
    uint64_t generation = subjects_generation(audit.subjects);
    start();
    pthread_mutex_lock(&database_lock);
    for (size_t i = 0; i < sizeof(index); i++)
        snprintf(erasure + 2 * i, 3, "%02x", index[i]);
    pthread_mutex_unlock(&database_lock);
    AWAIT(subjects_generation(audit.subjects) != generation);
    AWAIT(exists("erased"));
    assert_true(subjects_find(audit.subjects, TEXT("acme"), TEXT("ann"), after));
    assert_memory_not_equal(before, after, SUBJECTS_PSEUDONYM_SIZE);
    keeper_destroy(keeper);
    keeper = NULL;
    strcpy(audit.started, "20261121T180001-abcd");
    start(); /* the mark in the folder says how far it was */
    AWAIT(keeper_statistics(keeper).compressed >= 1);
    assert_true(subjects_find(audit.subjects, TEXT("acme"), TEXT("ann"), later));
    assert_memory_equal(after, later, SUBJECTS_PSEUDONYM_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    hash_init();
    const struct CMUnitTest tests[] = {TEST(closed_segments_are_compressed_and_stay_good),
                                       TEST(the_chain_of_its_own_begins_and_ends),
                                       TEST(what_a_writer_holds_is_left_alone),
                                       TEST(old_segments_go_and_the_chain_says_so),
                                       TEST(a_bound_on_the_size_takes_the_oldest),
                                       TEST(nothing_goes_that_is_not_shipped),
                                       TEST(all_records_are_shipped_once),
                                       TEST(an_answer_that_is_lost_loses_no_record_and_doubles_none),
                                       TEST(a_database_that_is_away_is_waited_for),
                                       TEST(a_record_that_the_database_refuses_stops_no_other),
                                       TEST(a_nul_in_a_record_is_shipped_as_a_replacement),
                                       TEST(what_is_no_record_is_not_shipped),
                                       TEST(without_its_functions_the_database_gets_nothing),
                                       TEST(heads_are_anchored_in_the_file_and_the_database),
                                       TEST(a_person_is_erased_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
