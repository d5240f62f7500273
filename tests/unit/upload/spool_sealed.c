#include "upload/spool_sealed.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"

#define SIZE 200000 /* four cells */

static struct spool_key key, other;
static struct spool_file file;
static struct failure failure;
static char content[SIZE];

static int setup(void **state)
{
    spool_key_set(&key, TEXT("a secret of the tests, of 32 and more bytes"));
    spool_key_set(&other, TEXT("another secret of the tests, 32 and more bytes"));
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)('a' + i * 7 % 26);
    memcpy(content + 100, "needle", 6);
    failure = (struct failure){0};
    int fd = memfd_create("spool", MFD_CLOEXEC);
    return fd >= 0 ? spool_file_begin(&file, fd, &key) : -1;
}

static int teardown(void **state)
{
    spool_file_forget(&file);
    return close(file.fd);
}

static void append(size_t from, size_t to)
{
    assert_int_equal(spool_file_append(&file, text_of(content + from, to - from)), 0);
}

/* Reads all there is. What came is what was written, whether it fails or not. */
static enum status read_all(uint64_t *all)
{
    static char piece[30000];
    size_t got = 1;
    enum status status = STATUS_OK;
    *all = 0;
    spool_file_rewind(&file);
    while (status == STATUS_OK && got != 0) {
        status = spool_file_read(&file, piece, sizeof(piece), &got, &failure);
        if (status == STATUS_OK) {
            assert_true(*all + got <= SIZE);
            assert_memory_equal(piece, content + *all, got);
            *all += got;
        }
    }
    return status;
}

static void assert_reads(uint64_t size)
{
    uint64_t all;
    assert_int_equal(read_all(&all), STATUS_OK);
    assert_int_equal(all, size);
}

static void assert_damaged(void)
{
    uint64_t all;
    assert_int_equal(read_all(&all), STATUS_FAILED);
    if (strstr(failure.message, "spool") == NULL)
        fail_msg("%s", failure.message);
}

/* As a process does that starts anew. */
static enum status restart(const struct spool_key *with)
{
    int fd = file.fd;
    spool_file_forget(&file);
    return spool_file_resume(&file, fd, with, &failure);
}

static size_t disk_size(void)
{
    struct stat about;
    assert_int_equal(fstat(file.fd, &about), 0);
    return (size_t)about.st_size;
}

static void flip(size_t at)
{
    char byte;
    assert_int_equal(pread(file.fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file.fd, &byte, 1, (off_t)at), 1);
}

static void bytes_of_any_pieces_are_read_as_they_came_and_none_lies_in_the_file(void **state)
{
    static const size_t ends[] = {1, 2, 60, 65400, 65500, 65535, 65536, 65600, 131000, 131072, SIZE};
    size_t from = 0;
    assert_reads(0);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        append(from, ends[i]);
        if (i % 2 == 0)
            assert_reads(ends[i]); /* a read has all of it written */
        from = ends[i];
    }
    assert_reads(SIZE);
    assert_int_equal(disk_size(), file.end);
    assert_true(file.end < SIZE + SIZE / 100);
    char *raw = malloc(file.end);
    assert_non_null(raw);
    assert_int_equal(pread(file.fd, raw, file.end, 0), file.end);
    assert_null(memmem(raw, file.end, "needle", 6));
    assert_null(memmem(raw, file.end, content + 65530, 12));
    free(raw);
}

static void a_restart_goes_on_behind_what_was_flushed(void **state)
{
    size_t from = 0;
    for (size_t to = 1; to < SIZE; from = to, to = to * 3 / 2 + 7) {
        append(from, to);
        assert_int_equal(spool_file_flush(&file), 0);
        assert_int_equal(restart(&key), STATUS_OK);
        assert_int_equal(file.size, to);
        assert_reads(to);
    }
    append(from, from + 10); /* waits in memory */
    assert_int_equal(restart(&key), STATUS_OK);
    assert_int_equal(file.size, from);
}

static void another_key_and_a_plain_file_are_told(void **state)
{
    append(0, 1000);
    assert_int_equal(spool_file_flush(&file), 0);
    assert_int_equal(restart(&other), STATUS_NOT_FOUND);
    assert_int_equal(restart(&key), STATUS_OK);
    assert_reads(1000);
    assert_int_equal(ftruncate(file.fd, SPOOL_HEADER - 1), 0);
    assert_int_equal(restart(&key), STATUS_NOT_FOUND);
    assert_int_equal(ftruncate(file.fd, 0), 0);
    assert_int_equal(pwrite(file.fd, content, 1000, 0), 1000);
    assert_int_equal(restart(&key), STATUS_NOT_FOUND);
}

static void every_flipped_byte_is_found_or_lies_between_records(void **state)
{
    size_t between = 0;
    append(0, 65450); /* leaves a few bytes of the first cell */
    assert_int_equal(spool_file_flush(&file), 0);
    append(65450, 66000);
    assert_reads(66000);
    for (size_t at = SPOOL_HEADER; at < file.end; at += at < 200 || at > 64000 ? 1 : 991) {
        uint64_t all;
        flip(at);
        if (at >= SPOOL_HEADER + SPOOL_RECORD_OVERHEAD + 65450 && at < SPOOL_CELL) {
            assert_int_equal(read_all(&all), STATUS_OK);
            between++;
        } else {
            assert_damaged();
        }
        flip(at);
    }
    assert_true(between > 0 && between <= SPOOL_RECORD_OVERHEAD);
    assert_reads(66000);
}

static void swapped_copied_and_old_records_are_found(void **state)
{
    static char one[SPOOL_CELL], two[SPOOL_CELL];
    append(0, SIZE);
    assert_reads(SIZE);
    assert_int_equal(pread(file.fd, one, SPOOL_CELL, SPOOL_CELL), SPOOL_CELL);
    assert_int_equal(pread(file.fd, two, SPOOL_CELL, 2 * SPOOL_CELL), SPOOL_CELL);
    assert_int_equal(pwrite(file.fd, two, SPOOL_CELL, SPOOL_CELL), SPOOL_CELL);
    assert_damaged();
    assert_int_equal(pwrite(file.fd, one, SPOOL_CELL, 2 * SPOOL_CELL), SPOOL_CELL);
    assert_damaged();
    assert_int_equal(pwrite(file.fd, one, SPOOL_CELL, SPOOL_CELL), SPOOL_CELL);
    assert_int_equal(pwrite(file.fd, two, SPOOL_CELL, 2 * SPOOL_CELL), SPOOL_CELL);
    assert_reads(SIZE);
    assert_int_equal(ftruncate(file.fd, (off_t)file.end - 1), 0);
    assert_damaged();
    assert_int_equal(ftruncate(file.fd, 2 * SPOOL_CELL), 0);
    assert_damaged();
}

static void another_files_record_is_found(void **state)
{
    static char record[SPOOL_CELL];
    struct spool_file first = file;
    append(0, 500);
    assert_reads(500);
    size_t size = (size_t)file.end - SPOOL_HEADER;
    assert_int_equal(pread(file.fd, record, size, SPOOL_HEADER), size);
    first = file;
    assert_int_equal(spool_file_begin(&file, memfd_create("two", MFD_CLOEXEC), &key), 0);
    append(0, 500);
    assert_reads(500);
    assert_int_equal(pwrite(file.fd, record, size, SPOOL_HEADER), size);
    assert_damaged();
    teardown(NULL);
    file = first;
}

static void a_torn_end_is_cut_off_and_what_was_there_before_stays(void **state)
{
    append(0, 70000);
    assert_int_equal(spool_file_flush(&file), 0);
    size_t kept = (size_t)file.end;
    append(70000, 150000);
    assert_int_equal(spool_file_flush(&file), 0);
    size_t whole = (size_t)file.end;
    char *raw = malloc(whole);
    assert_non_null(raw);
    assert_int_equal(pread(file.fd, raw, whole, 0), whole);
    for (size_t cut = kept; cut < whole; cut += cut < kept + 100 ? 1 : 9973) {
        assert_int_equal(pwrite(file.fd, raw, whole, 0), whole);
        assert_int_equal(ftruncate(file.fd, (off_t)cut), 0);
        assert_int_equal(restart(&key), STATUS_OK);
        assert_true(file.size >= 70000 && file.size <= 150000);
        assert_int_equal(disk_size(), file.end);
        append((size_t)file.size, SIZE);
        assert_reads(SIZE);
        assert_int_equal(restart(&key), STATUS_OK);
        assert_int_equal(file.size, SIZE);
    }
    free(raw);
}

static void zeros_at_the_end_as_a_loss_of_power_leaves_them_are_cut_off(void **state)
{
    append(0, 1000);
    assert_int_equal(spool_file_flush(&file), 0);
    assert_int_equal(ftruncate(file.fd, 5 * SPOOL_CELL + 17), 0);
    assert_int_equal(restart(&key), STATUS_OK);
    assert_int_equal(file.size, 1000);
    append(1000, SIZE);
    assert_reads(SIZE);
    assert_int_equal(ftruncate(file.fd, (off_t)100 << 20), 0); /* more than what a loss of power leaves */
    assert_int_equal(restart(&key), STATUS_FAILED);
    assert_non_null(strstr(failure.message, "damaged"));
}

static void what_is_cut_back_is_gone_and_written_anew_under_other_nonces(void **state)
{
    static char before[600], after[600];
    append(0, 500);
    assert_int_equal(spool_file_flush(&file), 0);
    uint64_t size = file.size, end = file.end;
    append(500, 1000);
    assert_int_equal(spool_file_flush(&file), 0);
    assert_int_equal(pread(file.fd, before, 540, (off_t)end), 540);
    append(1000, 1100);
    assert_int_equal(spool_file_cut(&file, size, end), 0);
    assert_reads(500);
    append(500, 1000);
    assert_reads(1000);
    assert_int_equal(pread(file.fd, after, 540, (off_t)end), 540);
    assert_memory_equal(before, after, SPOOL_RECORD_HEAD);
    assert_memory_not_equal(before + SPOOL_RECORD_HEAD, after + SPOOL_RECORD_HEAD, 12);
    assert_memory_not_equal(before + 24, after + 24, 500);
    assert_int_equal(spool_file_empty(&file), 0);
    assert_int_equal(disk_size(), SPOOL_HEADER);
    assert_reads(0);
    assert_int_equal(restart(&key), STATUS_OK);
    append(0, 70000);
    assert_reads(70000);
}

static void pieces_of_all_sizes_at_random_come_back_across_restarts(void **state)
{
    for (int round = 0; round < 20; round++) {
        assert_int_equal(spool_file_empty(&file), 0);
        while (file.size < SIZE) {
            size_t from = (size_t)file.size, most = random_below(4) == 0 ? SIZE : 50;
            size_t to = from + 1 + random_below(most);
            append(from, to < SIZE ? to : SIZE);
            if (random_below(8) == 0)
                assert_int_equal(spool_file_flush(&file), 0);
            if (random_below(50) == 0)
                assert_int_equal(restart(&key), STATUS_OK);
        }
        assert_reads(SIZE);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_of_any_pieces_are_read_as_they_came_and_none_lies_in_the_file),
        TEST(a_restart_goes_on_behind_what_was_flushed),
        TEST(another_key_and_a_plain_file_are_told),
        TEST(every_flipped_byte_is_found_or_lies_between_records),
        TEST(swapped_copied_and_old_records_are_found),
        TEST(another_files_record_is_found),
        TEST(a_torn_end_is_cut_off_and_what_was_there_before_stays),
        TEST(zeros_at_the_end_as_a_loss_of_power_leaves_them_are_cut_off),
        TEST(what_is_cut_back_is_gone_and_written_anew_under_other_nonces),
        TEST(pieces_of_all_sizes_at_random_come_back_across_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
