#include "chains.h"

#include <sys/file.h>

static void a_name_says_chain_number_and_form(void **state)
{
    struct segment_name name;
    char text[SEGMENT_NAME_MAX];
    assert_true(segment_parse(CHAINS_W0 "-000012.jsonl", &name));
    assert_string_equal(name.chain, CHAINS_W0);
    assert_int_equal(name.number, 12);
    assert_false(name.compressed);
    assert_true(segment_parse(CHAINS_W0 "-1000000.jsonl.zst", &name));
    assert_int_equal(name.number, 1000000);
    assert_true(name.compressed);
    segment_format(&name, text);
    assert_string_equal(text, CHAINS_W0 "-1000000.jsonl.zst");
}

static void other_names_are_no_segments(void **state)
{
    static const char *const names[] = {"",
                                        ".jsonl",
                                        "-000001.jsonl",
                                        "w0-000000.jsonl",
                                        "w0-00001.jsonl",
                                        "w0-0000001.jsonl",
                                        "w0-000001.json",
                                        "w0-000001.jsonl.gz",
                                        "w0-000001.jsonl.zst.zst",
                                        "w0-000001.jsonl.jsonl",
                                        "w0000001.jsonl",
                                        ".w0-000001.jsonl",
                                        ".w0-000001.jsonl.new",
                                        "W0-000001.jsonl",
                                        "w/0-000001.jsonl",
                                        "w0-4294967297.jsonl",
                                        "subjects"};
    struct segment_name name;
    char text[300];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (segment_parse(names[i], &name))
            fail_msg("%s was taken for a segment", names[i]);
    memset(text, 'a', sizeof(text));
    strcpy(text + 280, "-000001.jsonl");
    assert_false(segment_parse(text, &name));
    strcpy(text + SEGMENT_CHAIN_MAX - 1, "-000001.jsonl");
    assert_true(segment_parse(text, &name));
    strcpy(text + SEGMENT_CHAIN_MAX, "-000001.jsonl");
    assert_false(segment_parse(text + 0, &name) && strlen(name.chain) >= SEGMENT_CHAIN_MAX);
}

static void a_folder_is_listed_by_chain_and_number_each_segment_once(void **state)
{
    static const char *const names[] = {"b-w0-000002.jsonl",     "b-w0-000001.jsonl.zst", "b-w0-1000000.jsonl",
                                        "a-w0-000001.jsonl.zst", "a-w0-000001.jsonl",     "subjects"};
    struct chains chains;
    struct segment_list list;
    char name[SEGMENT_NAME_MAX];
    static const char *const expected[] = {"a-w0-000001.jsonl", "b-w0-000001.jsonl.zst", "b-w0-000002.jsonl",
                                           "b-w0-1000000.jsonl"};
    chains_open(&chains);
    for (size_t i = 0; i < 6; i++)
        chains_write(&chains, names[i], TEXT(""));
    assert_int_equal(segment_list(chains.folder, &list, NULL), STATUS_OK);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < list.count; i++) {
        segment_format(&list.items[i], name);
        assert_string_equal(name, expected[i]);
    }
    segment_list_free(&list);
    unlinkat(chains.folder_fd, "subjects", 0);
    chains_close(&chains);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct segment_list list;
    struct failure failure;
    assert_int_equal(segment_list("/tmp/sluice-no-such-folder", &list, &failure), STATUS_FAILED);
    assert_non_null(strstr(failure.message, "/tmp/sluice-no-such-folder"));
}

static void a_new_segment_is_held_while_its_writer_lives(void **state)
{
    struct chains chains;
    struct segment_name name = {CHAINS_W0, 1, false};
    struct stat info;
    chains_open(&chains);
    assert_false(segment_is_held(chains.folder_fd, &name));
    int fd = segment_create(chains.folder_fd, &name);
    assert_true(fd >= 0);
    assert_true(segment_is_held(chains.folder_fd, &name));
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_nlink, 1); /* its hidden name is gone */
    assert_int_equal(segment_create(chains.folder_fd, &name), -1);
    assert_int_equal(errno, EEXIST);
    close(fd);
    assert_false(segment_is_held(chains.folder_fd, &name));
    chains_close(&chains);
}

/* Reads all of a segment, and asserts that its pieces are the content of `expected`. */
static enum status read_whole(const struct chains *chains, const struct segment_name *segment, struct buffer *expected,
                              size_t *lines)
{
    struct segment_reader *reader;
    struct text line;
    uint64_t offset = 0, at = 0;
    enum status status = segment_open(chains->folder_fd, segment, &reader, NULL);
    *lines = 0;
    while (status == STATUS_OK && (status = segment_next(reader, &line, &offset, NULL)) == STATUS_OK) {
        assert_int_equal(offset, at);
        assert_true(line.size != 0 && line.size <= CHAIN_LINE_MAX && at + line.size <= expected->size);
        assert_memory_equal(line.data, expected->data + at, line.size);
        at += line.size;
        ++*lines;
    }
    segment_close(reader);
    if (status == STATUS_NOT_FOUND)
        assert_int_equal(at, expected->size);
    return status;
}

static void lines_come_whole_and_long_ones_in_pieces_plain_or_compressed(void **state)
{
    struct chains chains;
    struct segment_name segment = {CHAINS_W0, 1, false};
    struct buffer bytes;
    size_t lines;
    chains_open(&chains);
    buffer_init(&bytes, CHAINS_MAX);
    for (size_t i = 0; i < 3000; i++) {
        for (size_t k = 0; k < i % 997; k++)
            buffer_append_char(&bytes, (char)('a' + (i * 31 + k * 7) % 26));
        buffer_append_char(&bytes, '\n');
    }
    for (size_t i = 0; i < CHAIN_LINE_MAX - 1; i++)
        buffer_append_char(&bytes, 'x');
    buffer_append_literal(&bytes, "\n"); /* the longest line: whole */
    for (size_t i = 0; i < CHAIN_LINE_MAX + 5; i++)
        buffer_append_char(&bytes, 'y');
    buffer_append_literal(&bytes, "\n"); /* in two */
    buffer_append_literal(&bytes, "torn");
    chains_write(&chains, CHAINS_W0 "-000001.jsonl", buffer_text(&bytes));
    assert_int_equal(read_whole(&chains, &segment, &bytes, &lines), STATUS_NOT_FOUND);
    assert_int_equal(lines, 3000 + 1 + 2 + 1);
    chains_compress(&chains, CHAINS_W0 "-000001.jsonl");
    segment.compressed = true;
    assert_int_equal(read_whole(&chains, &segment, &bytes, &lines), STATUS_NOT_FOUND);
    assert_int_equal(lines, 3000 + 1 + 2 + 1);
    buffer_free(&bytes);
    chains_close(&chains);
}

static void what_is_no_single_whole_frame_is_damaged(void **state)
{
    static const char skipped[] = "\x50\x2A\x4D\x18\x03\x00\x00\x00"
                                  "abc";
    struct chains chains;
    struct segment_name segment = {CHAINS_W0, 1, true};
    struct buffer plain, packed, twice;
    size_t lines;
    chains_open(&chains);
    buffer_init(&plain, CHAINS_MAX);
    buffer_init(&twice, CHAINS_MAX);
    for (size_t i = 0; i < 500; i++)
        buffer_printf(&plain, "line %zu\n", i * i);
    chains_write(&chains, CHAINS_W0 "-000001.jsonl", buffer_text(&plain));
    chains_compress(&chains, CHAINS_W0 "-000001.jsonl");
    chains_read(&chains, CHAINS_W0 "-000001.jsonl.zst", &packed);
    for (size_t size = 0; size < packed.size; size++) {
        chains_write(&chains, CHAINS_W0 "-000001.jsonl.zst", text_of(packed.data, size));
        assert_int_equal(read_whole(&chains, &segment, &plain, &lines), STATUS_INVALID);
    }
    buffer_append_text(&twice, buffer_text(&packed));
    buffer_append(&twice, skipped, sizeof(skipped) - 1);
    chains_write(&chains, CHAINS_W0 "-000001.jsonl.zst", buffer_text(&twice));
    assert_int_equal(read_whole(&chains, &segment, &plain, &lines), STATUS_INVALID);
    buffer_clear(&twice);
    buffer_append(&twice, skipped, sizeof(skipped) - 1);
    buffer_append_text(&twice, buffer_text(&packed));
    chains_write(&chains, CHAINS_W0 "-000001.jsonl.zst", buffer_text(&twice));
    assert_int_equal(read_whole(&chains, &segment, &plain, &lines), STATUS_INVALID);
    buffer_free(&plain);
    buffer_free(&packed);
    buffer_free(&twice);
    chains_close(&chains);
}

static void a_link_or_a_folder_is_no_segment(void **state)
{
    struct chains chains;
    struct segment_name segment = {CHAINS_W0, 1, false};
    struct segment_reader *reader;
    chains_open(&chains);
    assert_int_equal(segment_open(chains.folder_fd, &segment, &reader, NULL), STATUS_NOT_FOUND);
    assert_int_equal(symlinkat("/etc/passwd", chains.folder_fd, CHAINS_W0 "-000001.jsonl"), 0);
    assert_int_equal(segment_open(chains.folder_fd, &segment, &reader, NULL), STATUS_INVALID);
    unlinkat(chains.folder_fd, CHAINS_W0 "-000001.jsonl", 0);
    assert_int_equal(mkdirat(chains.folder_fd, CHAINS_W0 "-000001.jsonl", 0700), 0);
    assert_int_equal(segment_open(chains.folder_fd, &segment, &reader, NULL), STATUS_INVALID);
    unlinkat(chains.folder_fd, CHAINS_W0 "-000001.jsonl", AT_REMOVEDIR);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_says_chain_number_and_form),
        cmocka_unit_test(other_names_are_no_segments),
        cmocka_unit_test(a_folder_is_listed_by_chain_and_number_each_segment_once),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
        cmocka_unit_test(a_new_segment_is_held_while_its_writer_lives),
        cmocka_unit_test(lines_come_whole_and_long_ones_in_pieces_plain_or_compressed),
        cmocka_unit_test(what_is_no_single_whole_frame_is_damaged),
        cmocka_unit_test(a_link_or_a_folder_is_no_segment),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
