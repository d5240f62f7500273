#include "audit/tail.h"

#include "audit/recover.h"
#include "audit/verify.h"
#include "chains.h"

#define NAME CHAINS_W0 ".tail"

static const char *const first = CHAINS_W0 "-000001.jsonl", *const second = CHAINS_W0 "-000002.jsonl";

/* A dead process's: what its halves began with. */
static void leave_tail(const struct chains *chains, struct text left, struct text right)
{
    struct tail tail = {0};
    struct buffer lines;
    tail_remove(chains->folder_fd, CHAINS_W0);
    assert_true(tail_create(&tail, chains->folder_fd, CHAINS_W0));
    tail_begin(&tail, &lines);
    buffer_append_text(&lines, left);
    tail_begin_other(&tail, &lines);
    buffer_append_text(&lines, right);
    assert_false(lines.failed);
    tail_close(&tail);
}

static struct recover_result recover(const struct chains *chains)
{
    struct recover_result result;
    assert_int_equal(recover_folder(chains->folder, &chains->key, &result, NULL), STATUS_OK);
    assert_int_equal(faccessat(chains->folder_fd, NAME, F_OK, 0), -1);
    return result;
}

static void on_finding(void *context, const char *words)
{
    (void)context;
    print_message("%s\n", words);
}

/* Each event's first letter, of all segments. */
static void assert_events(const struct chains *chains, const char *letters)
{
    struct verify_options options = {chains->folder, &chains->key, NULL, 0, on_finding, NULL};
    struct verify_result result;
    char found[128] = "";
    struct buffer bytes;
    assert_int_equal(verify_folder(&options, &result, NULL), STATUS_OK);
    assert_int_equal(result.findings, 0);
    for (int i = 0; i < 2; i++) {
        if (faccessat(chains->folder_fd, i == 0 ? first : second, F_OK, 0) != 0)
            continue;
        chains_read(chains, i == 0 ? first : second, &bytes);
        struct text rest = buffer_text(&bytes), line;
        while ((line = text_split(&rest, '\n')).size != 0) {
            const char *event = memmem(line.data, line.size, TEXT("\"event\":\"").data, TEXT("\"event\":\"").size);
            strncat(found, event + TEXT("\"event\":\"").size, 1);
        }
        buffer_free(&bytes);
    }
    assert_string_equal(found, letters);
}

static void lines_are_there_as_soon_as_they_stand_in_it(void **state)
{
    struct chains chains;
    struct tail tail = {0};
    struct buffer lines, bytes;
    chains_open(&chains);
    assert_true(tail_create(&tail, chains.folder_fd, CHAINS_W0));
    struct tail again = {0};
    assert_false(tail_create(&again, chains.folder_fd, CHAINS_W0));
    tail_close(&again);
    tail_begin(&tail, &lines);
    buffer_append_literal(&lines, "one\n");
    tail_begin_other(&tail, &lines);
    buffer_append_literal(&lines, "two\n");
    buffer_init(&bytes, 2 * TAIL_HALF);
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, NULL), STATUS_OK);
    assert_int_equal(bytes.size, 2 * TAIL_HALF);
    assert_string_equal(bytes.data, "one\n");
    assert_string_equal(bytes.data + TAIL_HALF, "two\n");
    tail_switch(&tail);
    buffer_clear(&bytes);
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, NULL), STATUS_OK);
    assert_string_equal(bytes.data, "");
    assert_string_equal(bytes.data + TAIL_HALF, "two\n");
    buffer_free(&bytes);
    struct stat info;
    assert_int_equal(fstatat(chains.folder_fd, NAME, &info, 0), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true((uint64_t)info.st_blocks * 512 >= 2 * TAIL_HALF);
    tail_close(&tail);
    tail_remove(chains.folder_fd, CHAINS_W0);
    chains_close(&chains);
}

static void it_takes_a_half_and_no_more(void **state)
{
    struct chains chains;
    struct tail tail = {0};
    struct buffer lines;
    chains_open(&chains);
    assert_true(tail_create(&tail, chains.folder_fd, CHAINS_W0));
    for (int half = 0; half < 2; half++) {
        half == 0 ? tail_begin(&tail, &lines) : tail_begin_other(&tail, &lines);
        char *room = buffer_reserve(&lines, TAIL_HALF);
        assert_non_null(room);
        memset(room, 'x', TAIL_HALF);
        lines.size = TAIL_HALF;
        assert_null(buffer_reserve(&lines, 1));
        assert_true(lines.failed);
    }
    tail_close(&tail);
    tail_remove(chains.folder_fd, CHAINS_W0);
    chains_close(&chains);
}

static void a_tail_that_is_not_there_or_was_cut_reads_as_nothing(void **state)
{
    struct chains chains;
    struct buffer bytes;
    chains_open(&chains);
    buffer_init(&bytes, 2 * TAIL_HALF);
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, NULL), STATUS_OK);
    assert_int_equal(bytes.size, 0);
    chains_write(&chains, NAME, TEXT("abc"));
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, NULL), STATUS_OK);
    assert_int_equal(bytes.size, 2 * TAIL_HALF);
    assert_string_equal(bytes.data, "abc");
    buffer_free(&bytes);
    tail_remove(chains.folder_fd, CHAINS_W0);
    chains_close(&chains);
}

/* Wherever the segment was cut: a write is not one step for a process that is killed. */
static void what_a_segment_lacks_is_taken_from_the_tail(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    size_t begin = writer.lines.size;
    chains_intent(&writer, "a");
    chains_intent(&writer, "b");
    chains_request(&writer, "a", "acme", 200);
    struct text all = buffer_text(&writer.lines);
    for (size_t size = begin; size <= all.size; size++) {
        chains_write(&chains, first, text_of(all.data, size));
        leave_tail(&chains, text_of(all.data + begin, all.size - begin), TEXT(""));
        struct recover_result result = recover(&chains);
        assert_int_equal(result.chains, 1);
        assert_int_equal(result.lost, 1);
        assert_events(&chains, "biirle");
    }
    /* "begin" was not written either. */
    chains_write(&chains, first, TEXT(""));
    leave_tail(&chains, TEXT(""), all);
    assert_int_equal(recover(&chains).lost, 1);
    assert_events(&chains, "biirle");
    buffer_free(&writer.lines);
    chains_close(&chains);
}

/* Behind the lines of now stand parts of older ones, and a line that was under way. */
static void what_does_not_go_on_is_not_taken(void **state)
{
    struct chains chains;
    struct chains_writer writer, other;
    struct buffer bytes;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    size_t size = writer.lines.size;
    chains_intent(&writer, "b");
    size_t second_size = writer.lines.size;
    chains_intent(&writer, "c");
    struct text all = buffer_text(&writer.lines);
    const struct text pieces[] = {TEXT(""),
                                  TEXT("\n"),
                                  TEXT("{\"seq\":3\n"),
                                  text_of(all.data, size),
                                  text_of(all.data + second_size, all.size - second_size),
                                  text_of(all.data + size, second_size - size - 1)};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        chains_write(&chains, first, text_of(all.data, size));
        leave_tail(&chains, pieces[i], TEXT(""));
        assert_int_equal(recover(&chains).broken, 0);
        assert_events(&chains, "bile");
    }
    /* A line of now, then what is left of older ones. */
    buffer_init(&bytes, CHAINS_MAX);
    buffer_append(&bytes, all.data + size, second_size - size);
    buffer_append(&bytes, all.data + 20, size - 20);
    chains_write(&chains, first, text_of(all.data, size));
    leave_tail(&chains, buffer_text(&bytes), TEXT(""));
    assert_int_equal(recover(&chains).lost, 2);
    assert_events(&chains, "biille");
    buffer_free(&bytes);
    /* Another key's. */
    struct chains foreign = chains;
    chains_key(&foreign.key, "another key of the tests, of more than 32 bytes");
    chains_begin(&other, &foreign, CHAINS_W0);
    chains_intent(&other, "a");
    size_t other_size = other.lines.size;
    chains_intent(&other, "forged");
    chains_write(&chains, first, text_of(all.data, size));
    leave_tail(&chains, text_of(other.lines.data + other_size, other.lines.size - other_size), TEXT(""));
    assert_int_equal(recover(&chains).lost, 1);
    assert_events(&chains, "bile");
    buffer_free(&other.lines);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void the_half_that_goes_on_furthest_counts(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    size_t begin = writer.lines.size;
    chains_intent(&writer, "a");
    size_t short_size = writer.lines.size - begin;
    chains_intent(&writer, "b");
    struct text rest = text_of(writer.lines.data + begin, writer.lines.size - begin);
    for (int swapped = 0; swapped < 2; swapped++) {
        struct text half = text_of(rest.data, short_size);
        chains_write(&chains, first, text_of(writer.lines.data, begin));
        leave_tail(&chains, swapped ? half : rest, swapped ? rest : half);
        assert_int_equal(recover(&chains).lost, 2);
        assert_events(&chains, "biille");
    }
    buffer_free(&writer.lines);
    chains_close(&chains);
}

/* The steps of a rotation: the next file, "close" in the tail, "close" in the segment, "continue" in the tail. */
static void a_rotation_that_was_killed_anywhere_is_gone_on_with(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    struct buffer plain;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    size_t open_size = writer.lines.size;
    chains_rotate(&writer);
    chains_intent(&writer, "b");
    chains_read(&chains, first, &plain);
    struct text closed = buffer_text(&plain), close_line = text_of(plain.data + open_size, plain.size - open_size),
                rest = buffer_text(&writer.lines);
    const struct {
        struct text first, second, tail; /* second without data: no such file */
        const char *events;
    } cases[] = {
        {text_of(plain.data, open_size), TEXT(""), TEXT(""), "bile"},
        {text_of(plain.data, open_size), TEXT(""), close_line, "biccle"},
        {text_of(plain.data, open_size), TEXT_NONE, close_line, "biccle"},
        {closed, TEXT(""), close_line, "biccle"},
        {closed, TEXT(""), rest, "biccille"},
        {closed, TEXT_NONE, rest, "biccille"},
        {closed, text_of(rest.data, 30), rest, "biccille"},
        {closed, rest, rest, "biccille"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        chains_write(&chains, first, cases[i].first);
        unlinkat(chains.folder_fd, second, 0);
        if (cases[i].second.data != NULL)
            chains_write(&chains, second, cases[i].second);
        leave_tail(&chains, cases[i].tail, TEXT(""));
        assert_int_equal(recover(&chains).broken, 0);
        assert_events(&chains, cases[i].events);
    }
    buffer_free(&plain);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

/* The process was killed between sealing its "end" and writing it. */
static void an_end_that_stands_in_the_tail_is_the_chains(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    struct buffer bytes;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    size_t begin = writer.lines.size;
    chains_request(&writer, "a", "acme", 200);
    chains_end(&writer);
    chains_read(&chains, first, &bytes);
    for (size_t size = begin; size < bytes.size; size++) {
        chains_write(&chains, first, text_of(bytes.data, size));
        leave_tail(&chains, text_of(bytes.data + begin, bytes.size - begin), TEXT(""));
        assert_int_equal(recover(&chains).chains, 1);
        assert_events(&chains, "bre");
    }
    buffer_free(&bytes);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void an_ended_chains_tail_goes(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_end(&writer);
    leave_tail(&chains, TEXT("anything"), TEXT(""));
    assert_int_equal(recover(&chains).chains, 0);
    assert_events(&chains, "be");
    /* Its segment was compressed meanwhile. */
    leave_tail(&chains, TEXT("anything"), TEXT(""));
    chains_compress(&chains, first);
    assert_int_equal(recover(&chains).chains, 0);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void a_name_that_is_no_file_is_told(void **state)
{
    struct chains chains;
    struct buffer bytes;
    struct failure failure;
    chains_open(&chains);
    buffer_init(&bytes, 2 * TAIL_HALF);
    assert_int_equal(mkdirat(chains.folder_fd, NAME, 0700), 0);
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, &failure), STATUS_FAILED);
    assert_string_equal(failure.message, "audit.folder: " NAME " is not a file; move it away");
    assert_int_equal(unlinkat(chains.folder_fd, NAME, AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("elsewhere", chains.folder_fd, NAME), 0);
    assert_int_equal(tail_read(chains.folder_fd, CHAINS_W0, &bytes, &failure), STATUS_FAILED);
    assert_non_null(strstr(failure.message, "cannot open " NAME));
    tail_remove(chains.folder_fd, CHAINS_W0);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_there_as_soon_as_they_stand_in_it),
        cmocka_unit_test(it_takes_a_half_and_no_more),
        cmocka_unit_test(a_tail_that_is_not_there_or_was_cut_reads_as_nothing),
        cmocka_unit_test(what_a_segment_lacks_is_taken_from_the_tail),
        cmocka_unit_test(what_does_not_go_on_is_not_taken),
        cmocka_unit_test(the_half_that_goes_on_furthest_counts),
        cmocka_unit_test(a_rotation_that_was_killed_anywhere_is_gone_on_with),
        cmocka_unit_test(an_end_that_stands_in_the_tail_is_the_chains),
        cmocka_unit_test(an_ended_chains_tail_goes),
        cmocka_unit_test(a_name_that_is_no_file_is_told),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
