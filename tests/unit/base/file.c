#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sluice-file-XXXXXX";
static char path[64];
static struct buffer buffer;
static struct failure failure;

static int set_up(void **state)
{
    buffer_init(&buffer, 10000);
    failure = (struct failure){0};
    snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int tear_down(void **state)
{
    buffer_free(&buffer);
    unlink(path);
    return 0;
}

static void write_file(struct text content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.data, content.size), content.size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void assert_holds(struct text expected)
{
    assert_int_equal(buffer.size, expected.size);
    assert_memory_equal(buffer.size != 0 ? buffer.data : "", expected.data, expected.size);
}

static void assert_said(const char *words)
{
    if (strstr(failure.message, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", failure.message, words);
    assert_non_null(strstr(failure.message, path));
}

static void a_file_is_read_whole_with_nul_and_line_ends(void **state)
{
    write_file(TEXT("a\0b\r\n"), 0644);
    buffer_append_literal(&buffer, "before ");
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_OK);
    assert_holds(TEXT("before a\0b\r\n"));
}

static void an_empty_file_is_no_failure(void **state)
{
    write_file(TEXT(""), 0644);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_OK);
    assert_int_equal(buffer.size, 0);
}

static void exactly_the_ceiling_is_read_and_one_byte_more_refused(void **state)
{
    char content[10001];
    memset(content, 'c', sizeof(content));
    write_file(text_of(content, 10000), 0644);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_OK);
    assert_int_equal(buffer.size, 10000);
    buffer_clear(&buffer);
    write_file(text_of(content, 10001), 0644);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_TOO_LARGE);
    assert_said("10000 bytes");
}

static void what_is_not_there_is_named(void **state)
{
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_NOT_FOUND);
    assert_said(strerror(ENOENT));
    snprintf(path, sizeof(path), "%s/none/file", folder);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_NOT_FOUND);
    assert_said(strerror(ENOENT));
}

static void folders_devices_and_pipes_are_refused_without_waiting(void **state)
{
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_INVALID);
    assert_said("not a regular file");
    snprintf(path, sizeof(path), "%s", folder);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_INVALID);
    assert_said("not a regular file");
    snprintf(path, sizeof(path), "/dev/zero");
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_INVALID);
    snprintf(path, sizeof(path), "%s/file", folder);
}

static void a_secret_loses_its_line_ends_and_nothing_else(void **state)
{
    write_file(TEXT(" pass word \t\r\n\n"), 0600);
    buffer_append_literal(&buffer, "kept\n");
    assert_int_equal(file_read_secret(path, &buffer, &failure), STATUS_OK);
    assert_holds(TEXT("kept\n pass word \t"));
    buffer_clear(&buffer);
    write_file(TEXT("s"), 0400);
    assert_int_equal(file_read_secret(path, &buffer, &failure), STATUS_OK);
    assert_holds(TEXT("s"));
}

static void a_secret_that_others_may_touch_is_refused_unread(void **state)
{
    static const mode_t modes[] = {0640, 0620, 0604, 0602, 0666, 0440};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_file(TEXT("hunter2"), modes[i]);
        assert_int_equal(file_read_secret(path, &buffer, &failure), STATUS_DENIED);
        assert_int_equal(buffer.size, 0);
        assert_said("chmod 600");
        assert_null(strstr(failure.message, "hunter2"));
        assert_int_equal(file_read(path, &buffer, &failure), STATUS_OK); /* as an ordinary file */
        buffer_clear(&buffer);
    }
}

/* In a process of another user than root, whose group a mounted secret belongs to. */
static bool another_user_reads(mode_t mode, gid_t group)
{
    int ended = 0;
    write_file(TEXT("s"), mode);
    assert_int_equal(chown(path, 0, group), 0);
    pid_t child = fork();
    if (child == 0) {
        bool is_other = chmod(folder, 0755) == 0 && setgid(10001) == 0 && setuid(10001) == 0;
        _exit(is_other && file_read_secret(path, &buffer, NULL) == STATUS_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    return WIFEXITED(ended) && WEXITSTATUS(ended) == 0;
}

static void a_secret_of_roots_may_be_readable_for_our_own_group(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_true(another_user_reads(0440, 10001));
    assert_true(another_user_reads(0640, 10001));
    assert_false(another_user_reads(0444, 10001));
    assert_false(another_user_reads(0460, 10001));
    assert_false(another_user_reads(0444, 10002));
}

static void an_empty_secret_is_refused(void **state)
{
    write_file(TEXT("\n\r\n"), 0600);
    buffer_append_literal(&buffer, "kept\n");
    assert_int_equal(file_read_secret(path, &buffer, &failure), STATUS_DENIED);
    assert_said("empty");
    assert_holds(TEXT("kept\n"));
}

static void no_descriptor_stays_open(void **state)
{
    write_file(TEXT("x"), 0644);
    int before = dup(0);
    close(before);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(file_read(path, &buffer, NULL), STATUS_OK);
        assert_int_equal(file_read_secret(path, &buffer, NULL), STATUS_DENIED);
        assert_int_equal(file_read(folder, &buffer, NULL), STATUS_INVALID);
    }
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    return rmdir(folder);
}

static void all_is_written_or_it_is_told_why_not(void **state)
{
    write_file(TEXT(""), 0600);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(file_write_all(fd, TEXT("one ")));
    assert_true(file_write_all(fd, TEXT("")));
    assert_true(file_write_all(fd, TEXT("two")));
    close(fd);
    assert_int_equal(file_read(path, &buffer, &failure), STATUS_OK);
    assert_true(text_equal(buffer_text(&buffer), TEXT("one two")));
    fd = open("/dev/full", O_WRONLY);
    assert_false(file_write_all(fd, TEXT("one")));
    assert_int_equal(errno, ENOSPC);
    close(fd);
    assert_false(file_write_all(-1, TEXT("one")));
    assert_int_equal(errno, EBADF);
}

/* A pipe takes what it has room for: the rest follows when somebody reads. */
static void what_is_written_piece_by_piece_is_whole(void **state)
{
    static char sent[1 << 18], got[1 << 18];
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 7 % 251);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(file_write_all(ends[1], text_of(sent, sizeof(sent))) ? 0 : 1);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t more; (more = read(ends[0], got + size, 1000)) > 0;)
        size += (size_t)more;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(size, sizeof(sent));
    assert_memory_equal(sent, got, sizeof(sent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_whole_with_nul_and_line_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_is_written_or_it_is_told_why_not, set_up, tear_down),
        cmocka_unit_test(what_is_written_piece_by_piece_is_whole),
        cmocka_unit_test_setup_teardown(an_empty_file_is_no_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exactly_the_ceiling_is_read_and_one_byte_more_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_devices_and_pipes_are_refused_without_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_loses_its_line_ends_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_that_others_may_touch_is_refused_unread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_of_roots_may_be_readable_for_our_own_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_secret_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_descriptor_stays_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
