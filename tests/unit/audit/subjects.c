#include "audit/subjects.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static struct hash_hmac_key key;
static char folder[64], path[96];
static struct failure failure;
static bool disk_full;

/* Stands before libc's. */
ssize_t write(int fd, const void *data, size_t size)
{
    if (disk_full) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, data, size);
}

static int set_up(void **state)
{
    strcpy(folder, "/tmp/sluice-subjects-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/subjects", folder);
    disk_full = false;
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    rmdir(folder);
    return 0;
}

static struct audit_subjects *opened(void)
{
    struct audit_subjects *subjects = NULL;
    assert_int_equal(subjects_open(folder, &key, &subjects, &failure), STATUS_OK);
    return subjects;
}

static void find(struct audit_subjects *subjects, const char *customer, const char *subject, char out[25])
{
    assert_true(subjects_find(subjects, text_from_string(customer), text_from_string(subject), out));
    out[SUBJECTS_PSEUDONYM_SIZE] = '\0';
}

static void a_person_keeps_his_pseudonym_and_shares_it_with_nobody(void **state)
{
    struct audit_subjects *subjects = opened();
    char first[25], again[25], other[25], same_name[25];
    find(subjects, "acme", "ann", first);
    find(subjects, "acme", "ann", again);
    find(subjects, "acme", "bob", other);
    find(subjects, "globex", "ann", same_name);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_string_not_equal(first, same_name);
    subjects_close(subjects);
    subjects = opened();
    find(subjects, "acme", "ann", again);
    assert_string_equal(first, again);
    subjects_close(subjects);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void the_file_names_nobody(void **state)
{
    struct audit_subjects *subjects = opened();
    char pseudonym[25];
    struct buffer content;
    find(subjects, "acme", "ann@example.org", pseudonym);
    subjects_close(subjects);
    buffer_init(&content, 65536);
    assert_int_equal(file_read(path, &content, &failure), STATUS_OK);
    assert_null(memmem(content.data, content.size, "ann", 3));
    assert_null(memmem(content.data, content.size, "acme", 4));
    buffer_free(&content);
}

static void thousands_of_people_are_found_again_also_when_some_are_erased(void **state)
{
    struct audit_subjects *subjects = opened();
    static char pseudonyms[3000][25];
    char name[16], again[25];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "user-%d", i);
        find(subjects, "acme", name, pseudonyms[i]);
    }
    for (int i = 0; i < 3000; i += 100) {
        unsigned char index[SUBJECTS_INDEX_SIZE];
        snprintf(name, sizeof(name), "user-%d", i);
        subjects_index(&key, TEXT("acme"), text_from_string(name), index);
        assert_int_equal(subjects_erase(subjects, index, &failure), STATUS_OK);
    }
    for (int reopened = 0; reopened < 2; reopened++) {
        for (int i = 0; i < 3000; i++) {
            snprintf(name, sizeof(name), "user-%d", i);
            if (i % 100 == 0)
                continue;
            find(subjects, "acme", name, again);
            assert_string_equal(again, pseudonyms[i]);
        }
        subjects_close(subjects);
        subjects = opened();
    }
    find(subjects, "acme", "user-100", again);
    assert_string_not_equal(again, pseudonyms[100]);
    subjects_close(subjects);
}

static void an_erased_person_is_in_the_file_no_more_and_gets_another_pseudonym(void **state)
{
    struct audit_subjects *subjects = opened();
    unsigned char index[SUBJECTS_INDEX_SIZE];
    char before[25], after[25], found[SUBJECTS_EACH][SUBJECTS_PSEUDONYM_SIZE];
    size_t count = 0;
    struct buffer content;
    find(subjects, "acme", "ann", before);
    uint64_t generation = subjects_generation(subjects);
    assert_int_equal(subjects_look_up(folder, &key, TEXT("acme"), TEXT("ann"), found, &count, &failure), STATUS_OK);
    assert_int_equal(count, 1);
    assert_memory_equal(found[0], before, SUBJECTS_PSEUDONYM_SIZE);
    subjects_index(&key, TEXT("acme"), TEXT("ann"), index);
    assert_int_equal(subjects_erase(subjects, index, &failure), STATUS_OK);
    assert_true(subjects_generation(subjects) > generation);
    assert_int_equal(subjects_look_up(folder, &key, TEXT("acme"), TEXT("ann"), found, &count, &failure),
                     STATUS_NOT_FOUND);
    buffer_init(&content, 65536);
    assert_int_equal(file_read(path, &content, &failure), STATUS_OK);
    assert_null(memmem(content.data != NULL ? content.data : "", content.size, before, SUBJECTS_PSEUDONYM_SIZE));
    buffer_free(&content);
    assert_int_equal(subjects_erase(subjects, index, &failure), STATUS_NOT_FOUND);
    find(subjects, "acme", "ann", after);
    assert_string_not_equal(before, after);
    subjects_close(subjects);
}

static void another_process_that_has_the_file_open_writes_to_the_new_one(void **state)
{
    struct audit_subjects *one = opened(), *other = opened();
    unsigned char index[SUBJECTS_INDEX_SIZE];
    char ann[25], bob[25], again[25];
    find(one, "acme", "ann", ann);
    subjects_index(&key, TEXT("acme"), TEXT("ann"), index);
    assert_int_equal(subjects_erase(one, index, &failure), STATUS_OK);
    find(other, "acme", "bob", bob);
    subjects_close(one);
    subjects_close(other);
    one = opened();
    find(one, "acme", "bob", again);
    assert_string_equal(bob, again);
    subjects_close(one);
}

static void a_person_who_cannot_be_written_down_gets_no_pseudonym(void **state)
{
    struct audit_subjects *subjects = opened();
    char pseudonym[25];
    disk_full = true;
    assert_false(subjects_find(subjects, TEXT("acme"), TEXT("ann"), pseudonym));
    disk_full = false;
    find(subjects, "acme", "ann", pseudonym);
    subjects_close(subjects);
}

int main(void)
{
    hash_init();
    hash_hmac_key_set(&key, TEXT("0123456789abcdef0123456789abcdef"));
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_person_keeps_his_pseudonym_and_shares_it_with_nobody),
        TEST(the_file_names_nobody),
        TEST(thousands_of_people_are_found_again_also_when_some_are_erased),
        TEST(an_erased_person_is_in_the_file_no_more_and_gets_another_pseudonym),
        TEST(another_process_that_has_the_file_open_writes_to_the_new_one),
        TEST(a_person_who_cannot_be_written_down_gets_no_pseudonym),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
