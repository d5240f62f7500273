#include "audit/grep.h"

#include "chains.h"

struct found {
    struct buffer ids; /* of the requests, with spaces */
    size_t most;
    size_t count;
};

static bool on_line(void *context, struct text line)
{
    struct found *found = context;
    const char *id = memmem(line.data, line.size, TEXT("request_id\":\"").data, 13);
    assert_int_equal(line.data[line.size - 1], '\n');
    if (id != NULL)
        buffer_append(&found->ids, id + 13, 1);
    return ++found->count < found->most;
}

/* a, b, c at seconds 1, 2, 4; d in another chain; closed segments compressed. */
static void write_sample(const struct chains *chains)
{
    struct chains_writer writer;
    chains_begin(&writer, chains, CHAINS_W0);
    chains_request(&writer, "a", "acme", 200);
    chains_request(&writer, "b", "say \"acme\"", 403);
    chains_rotate(&writer);
    chains_request(&writer, "c", "acme", 499);
    chains_line(&writer, "request");
    entry_append_text(&writer.lines, "request_id", TEXT("e"));
    entry_append_text(&writer.lines, "subject", TEXT("0123456789abcdef01234567"));
    entry_append_text(&writer.lines, "dataset", TEXT("sales"));
    chains_seal(&writer);
    chains_end(&writer);
    buffer_free(&writer.lines);
    chains_compress(chains, CHAINS_W0 "-000001.jsonl");
    chains_begin(&writer, chains, CHAINS_W1);
    chains_request(&writer, "d", "acme", 500);
    chains_end(&writer);
    buffer_free(&writer.lines);
}

static void assert_found(struct grep_options options, const char *expected)
{
    struct chains chains;
    struct found found = {.most = SIZE_MAX};
    uint64_t matches;
    chains_open(&chains);
    write_sample(&chains);
    buffer_init(&found.ids, 1000);
    options.folder = chains.folder;
    options.on_line = on_line;
    options.context = &found;
    assert_int_equal(grep_folder(&options, &matches, NULL), STATUS_OK);
    assert_string_equal(found.ids.size != 0 ? buffer_c_string(&found.ids) : "", expected);
    assert_int_equal(matches, found.count);
    buffer_free(&found.ids);
    chains_close(&chains);
}

#define OPEN .from_us = INT64_MIN, .to_us = INT64_MAX

static void records_are_found_by_each_field(void **state)
{
    struct text subject = TEXT("0123456789abcdef01234567"), other = TEXT("0123456789abcdef01234568");
    struct text both[] = {other, subject};
    assert_found((struct grep_options){OPEN}, "abced");
    assert_found((struct grep_options){OPEN, .customer = TEXT("acme")}, "acd");
    assert_found((struct grep_options){OPEN, .customer = TEXT("say \"acme\"")}, "b");
    assert_found((struct grep_options){OPEN, .customer = TEXT("acm")}, "");
    assert_found((struct grep_options){OPEN, .request_id = TEXT("c")}, "c");
    assert_found((struct grep_options){OPEN, .dataset = TEXT("sales")}, "e");
    assert_found((struct grep_options){OPEN, .operation = TEXT("listDatasets")}, "");
    assert_found((struct grep_options){OPEN, .event = TEXT("close")}, "");
    assert_found((struct grep_options){OPEN, .subjects = &subject, .subject_count = 1}, "e");
    assert_found((struct grep_options){OPEN, .subjects = both, .subject_count = 2}, "e");
    assert_found((struct grep_options){OPEN, .subjects = &other, .subject_count = 1}, "");
    assert_found((struct grep_options){OPEN, .status_low = 400, .status_high = 499}, "bc");
    assert_found((struct grep_options){OPEN, .status_low = 403, .status_high = 403}, "b");
    assert_found((struct grep_options){OPEN, .customer = TEXT("acme"), .status_low = 500, .status_high = 599}, "d");
}

static void time_is_from_inclusive_to_exclusive(void **state)
{
    const int64_t second = 1795280000000000;
    assert_found((struct grep_options){.from_us = second + 1000000, .to_us = second + 2000000}, "ad");
    assert_found((struct grep_options){.from_us = second + 2000000, .to_us = INT64_MAX}, "bce");
    assert_found((struct grep_options){.from_us = INT64_MIN, .to_us = second + 1000000}, "");
}

static void enough_is_enough(void **state)
{
    struct chains chains;
    struct found found = {.most = 2};
    uint64_t matches;
    chains_open(&chains);
    write_sample(&chains);
    buffer_init(&found.ids, 1000);
    struct grep_options options = {chains.folder, OPEN, .on_line = on_line, .context = &found};
    assert_int_equal(grep_folder(&options, &matches, NULL), STATUS_OK);
    assert_int_equal(matches, 2);
    buffer_free(&found.ids);
    chains_close(&chains);
}

static void a_damaged_segment_is_told_and_the_others_are_searched(void **state)
{
    struct chains chains;
    struct found found = {.most = SIZE_MAX};
    struct failure failure;
    uint64_t matches;
    chains_open(&chains);
    write_sample(&chains);
    chains_write(&chains, CHAINS_W0 "-000001.jsonl.zst", TEXT("nonsense"));
    buffer_init(&found.ids, 1000);
    struct grep_options options = {chains.folder, OPEN, .on_line = on_line, .context = &found};
    assert_int_equal(grep_folder(&options, &matches, &failure), STATUS_INVALID);
    assert_non_null(strstr(failure.message, CHAINS_W0 "-000001.jsonl.zst"));
    assert_string_equal(buffer_c_string(&found.ids), "ced");
    buffer_free(&found.ids);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_found_by_each_field),
        cmocka_unit_test(time_is_from_inclusive_to_exclusive),
        cmocka_unit_test(enough_is_enough),
        cmocka_unit_test(a_damaged_segment_is_told_and_the_others_are_searched),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
