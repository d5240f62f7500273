#include "verify_sample.h"

#include <sys/file.h>
#include <sys/resource.h>

static void what_was_written_is_found_good(void **state)
{
    struct chains chains;
    struct told told;
    chains_open(&chains);
    assert_clean(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    write_sample(&chains, CHAINS_W1, NULL);
    chains_compress(&chains, files[0]);
    struct verify_result result = verify(&chains, &told);
    assert_int_equal(told.count, 0);
    assert_int_equal(result.chains, 2);
    assert_int_equal(result.segments, 6);
    assert_int_equal(result.records, 2 * RECORDS);
    assert_int_equal(result.live, 0);
    chains_close(&chains);
}

static void a_missing_segment_is_named(void **state)
{
    struct chains chains;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    unlinkat(chains.folder_fd, files[1], 0);
    assert_finding(&chains, files[1]);
    write_sample(&chains, CHAINS_W0, NULL);
    unlinkat(chains.folder_fd, files[0], 0);
    assert_finding(&chains, CHAINS_W0 ": its segments up to number 1 are not there");
    chains_close(&chains);
}

static void renamed_files_are_found(void **state)
{
    struct chains chains;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W1, NULL);
    for (unsigned i = 1; i <= 3; i++) {
        char from[SEGMENT_NAME_MAX];
        segment_format(&(struct segment_name){CHAINS_W1, i, false}, from);
        assert_int_equal(renameat(chains.folder_fd, from, chains.folder_fd, files[i - 1]), 0);
    }
    assert_finding(&chains, "belongs to another chain");
    chains_close(&chains);
}

static void a_torn_tail_is_held_against_a_dead_chain_alone(void **state)
{
    struct chains chains;
    struct told told;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    buffer_append_literal(&writer.lines, "{\"seq\":2,\"ti");
    chains_save(&writer);
    int fd = openat(chains.folder_fd, files[0], O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    struct verify_result result = verify(&chains, &told);
    assert_int_equal(told.count, 0);
    assert_int_equal(result.live, 1);
    close(fd);
    result = verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_int_equal(result.live, 0);
    assert_record(&told, 2);
    assert_told(&told, "12 bytes that are no record");
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void a_live_chain_between_two_segments_is_good(void **state)
{
    struct chains chains;
    struct told told;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_rotate(&writer);
    buffer_free(&writer.lines);
    int fd = openat(chains.folder_fd, files[0], O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(verify(&chains, &told).live, 1);
    assert_int_equal(told.count, 0);
    int next = segment_create(chains.folder_fd, &(struct segment_name){CHAINS_W0, 2, false});
    close(fd);
    assert_int_equal(verify(&chains, &told).live, 1);
    assert_int_equal(told.count, 0);
    close(next);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    chains_close(&chains);
}

static void one_bad_chain_hides_no_other(void **state)
{
    struct chains chains;
    struct told told;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    write_sample(&chains, CHAINS_W1, NULL);
    chains_write(&chains, files[0], TEXT("nonsense\n"));
    chains_write(&chains, CHAINS_W1 "-000003.jsonl", TEXT("nonsense\n"));
    verify(&chains, &told);
    assert_int_equal(told.count, 2);
    chains_close(&chains);
}

static void a_folder_that_cannot_be_read_is_no_finding(void **state)
{
    struct told told = {0};
    struct hash_hmac_key key;
    struct verify_result result;
    chains_key(&key, "a key of the tests, of more than 32 bytes");
    struct verify_options options = {"/tmp/sluice-no-such-folder", &key, NULL, 0, on_finding, &told};
    assert_int_equal(verify_folder(&options, &result, NULL), STATUS_FAILED);
    assert_int_equal(told.count, 0);
}

static void large_logs_take_no_more_memory_than_small_ones(void **state)
{
    struct chains chains;
    struct told told;
    struct chains_writer writer;
    struct rusage before, after;
    const char *megabytes = getenv("SLUICE_TEST_MEGABYTES"); /* 200 in the long tests */
    size_t wanted = (megabytes != NULL ? (size_t)atoi(megabytes) : 8) << 20, written = 0;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    for (; written < wanted; written += 1 << 20) {
        while (writer.lines.size < 1 << 20)
            chains_request(&writer, "0123456789abcdef0123", "acme", 200);
        if (writer.segment.number % 8 == 0) {
            char name[SEGMENT_NAME_MAX];
            segment_format(&writer.segment, name);
            chains_rotate(&writer);
            chains_compress(&chains, name);
        } else {
            chains_rotate(&writer);
        }
    }
    chains_end(&writer);
    buffer_free(&writer.lines);
    getrusage(RUSAGE_SELF, &before);
    struct verify_result result = verify(&chains, &told);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(told.count, 0);
    assert_true(result.records > wanted / 300);
    assert_true(after.ru_maxrss - before.ru_maxrss < 16 << 10); /* KB */
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_found_good),
        cmocka_unit_test(a_missing_segment_is_named),
        cmocka_unit_test(renamed_files_are_found),
        cmocka_unit_test(a_torn_tail_is_held_against_a_dead_chain_alone),
        cmocka_unit_test(a_live_chain_between_two_segments_is_good),
        cmocka_unit_test(one_bad_chain_hides_no_other),
        cmocka_unit_test(a_folder_that_cannot_be_read_is_no_finding),
        cmocka_unit_test(large_logs_take_no_more_memory_than_small_ones),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
