#include "audit/recover.h"

#include <sys/file.h>

#include "audit/line.h"
#include "audit/verify.h"
#include "chains.h"

static const char *const first = CHAINS_W0 "-000001.jsonl", *const second = CHAINS_W0 "-000002.jsonl";

static void on_finding(void *context, const char *words)
{
    snprintf(context, 512, "%s", words);
}

static uint64_t findings(const struct chains *chains, uint64_t *lost)
{
    char words[512] = "";
    struct verify_options options = {chains->folder, &chains->key, NULL, 0, on_finding, words};
    struct verify_result result;
    assert_int_equal(verify_folder(&options, &result, NULL), STATUS_OK);
    if (lost != NULL)
        *lost = result.lost;
    return result.findings;
}

static struct recover_result recover(const struct chains *chains)
{
    struct recover_result result;
    assert_int_equal(recover_folder(chains->folder, &chains->key, &result, NULL), STATUS_OK);
    return result;
}

static void assert_holds(const struct chains *chains, const char *name, const char *words)
{
    struct buffer bytes;
    chains_read(chains, name, &bytes);
    if (memmem(bytes.data, bytes.size, words, strlen(words)) == NULL)
        fail_msg("%s lacks %s: %.*s", name, words, TEXT_ARGS(buffer_text(&bytes)));
    buffer_free(&bytes);
}

static void a_torn_chain_is_cut_ended_and_tells_what_was_lost(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    uint64_t lost;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "before");
    chains_intent(&writer, "done");
    chains_rotate(&writer);
    chains_request(&writer, "done", "acme", 200);
    chains_intent(&writer, "under-way");
    chains_request(&writer, "read", "acme", 200);
    buffer_append_literal(&writer.lines, "{\"seq\":99,\"ti");
    chains_save(&writer);
    assert_int_equal(findings(&chains, NULL), 1);
    struct recover_result result = recover(&chains);
    assert_int_equal(result.chains, 1);
    assert_int_equal(result.lost, 2);
    assert_int_equal(result.torn_bytes, 13);
    assert_int_equal(result.broken, 0);
    assert_int_equal(findings(&chains, &lost), 0);
    assert_int_equal(lost, 2);
    assert_holds(&chains, second, "\"event\":\"lost\",\"request_id\":\"before\",\"intent\":2,");
    assert_holds(&chains, second, "\"event\":\"lost\",\"request_id\":\"under-way\",\"intent\":7,");
    assert_holds(&chains, second, "\"event\":\"end\",\"crash\":true,\"segment\":2,\"torn\":13,\"lost\":2,");
    result = recover(&chains); /* there is nothing left to do */
    assert_int_equal(result.chains + result.lost + result.broken, 0);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

/* Wherever the crash cut the file: the chain is good afterwards, and every intent has an outcome or is lost. */
static void a_chain_cut_anywhere_is_mended(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    struct buffer bytes;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_rotate(&writer);
    chains_intent(&writer, "b");
    chains_request(&writer, "a", "acme", 200);
    chains_save(&writer);
    chains_read(&chains, second, &bytes);
    for (size_t size = 0; size <= bytes.size; size++) {
        size_t b = 0, a = 0;
        chains_write(&chains, second, text_of(bytes.data, size));
        struct recover_result result = recover(&chains);
        assert_int_equal(result.chains, 1);
        assert_int_equal(findings(&chains, NULL), 0);
        struct text kept = text_of(bytes.data, size);
        for (struct text part = text_split(&kept, '\n'); kept.data != NULL; part = text_split(&kept, '\n')) {
            b += memmem(part.data, part.size, TEXT("\"b\"").data, 3) != NULL;
            a += memmem(part.data, part.size, TEXT("\"a\"").data, 3) != NULL;
        }
        assert_int_equal(result.lost, 1 - a + b);
    }
    buffer_free(&bytes);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void a_crash_between_two_segments_is_mended(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_rotate(&writer);
    assert_int_equal(recover(&chains).lost, 1);
    assert_int_equal(findings(&chains, NULL), 0);
    assert_holds(&chains, second, "\"event\":\"continue\"");
    buffer_free(&writer.lines);
    chains_close(&chains);
}

/* The power went while two segments were on their way to the disk. */
static void what_follows_a_segment_without_its_close_goes_whole(void **state)
{
    static const char third[] = CHAINS_W0 "-000003.jsonl";
    struct chains chains;
    struct chains_writer writer;
    struct buffer bytes;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_rotate(&writer);
    chains_intent(&writer, "b");
    chains_rotate(&writer);
    chains_intent(&writer, "c");
    chains_read(&chains, second, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        bool empty = size % 2 != 0;
        chains_write(&chains, second, text_of(bytes.data, size));
        chains_write(&chains, third, empty ? TEXT("") : buffer_text(&writer.lines));
        struct recover_result result = recover(&chains);
        assert_int_equal(result.chains, 1);
        assert_int_equal(result.broken, 0);
        assert_int_equal(findings(&chains, NULL), 0);
        assert_true(empty || result.torn_bytes >= writer.lines.size);
        assert_int_equal(faccessat(chains.folder_fd, third, F_OK, 0), -1);
    }
    /* Not where a hash is wrong. */
    bytes.data[60] ^= 1;
    chains_write(&chains, second, text_of(bytes.data, bytes.size - 1));
    chains_write(&chains, third, buffer_text(&writer.lines));
    assert_int_equal(recover(&chains).broken, 1);
    assert_int_equal(faccessat(chains.folder_fd, third, F_OK, 0), 0);
    buffer_free(&bytes);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void an_empty_first_segment_becomes_a_whole_chain(void **state)
{
    struct chains chains;
    chains_open(&chains);
    chains_write(&chains, first, TEXT(""));
    assert_int_equal(recover(&chains).chains, 1);
    assert_int_equal(findings(&chains, NULL), 0);
    chains_close(&chains);
}

/* A recovery that crashed itself. */
static void what_a_recovery_has_begun_is_gone_on_with(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    struct buffer bytes;
    uint64_t lost;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_intent(&writer, "b");
    chains_save(&writer);
    assert_int_equal(recover(&chains).lost, 2);
    chains_read(&chains, first, &bytes);
    const char *end = memmem(bytes.data, bytes.size, TEXT("{\"seq\":5").data, 8);
    chains_write(&chains, first, text_of(bytes.data, (size_t)(end - bytes.data)));
    assert_int_equal(recover(&chains).lost, 2);
    assert_int_equal(findings(&chains, &lost), 0);
    assert_int_equal(lost, 2);
    buffer_free(&bytes);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void a_chain_that_is_written_is_left_alone(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_save(&writer);
    int fd = openat(chains.folder_fd, first, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(recover(&chains).chains, 0);
    close(fd);
    assert_int_equal(recover(&chains).chains, 1);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void a_changed_chain_is_left_as_it_is_and_told(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    struct buffer before, after;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    writer.lines.data[60] ^= 1;
    chains_save(&writer);
    chains_read(&chains, first, &before);
    struct recover_result result = recover(&chains);
    assert_int_equal(result.broken, 1);
    assert_int_equal(result.chains, 0);
    chains_read(&chains, first, &after);
    assert_true(text_equal(buffer_text(&before), buffer_text(&after)));
    buffer_free(&before);
    buffer_free(&after);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void an_ended_chain_is_left_as_it_is(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_intent(&writer, "a");
    chains_end(&writer);
    assert_int_equal(recover(&chains).chains, 0);
    chains_compress(&chains, first);
    assert_int_equal(recover(&chains).chains, 0);
    buffer_free(&writer.lines);
    chains_close(&chains);
}

static void more_lost_intents_than_are_kept_are_counted(void **state)
{
    struct chains chains;
    struct chains_writer writer;
    char id[24];
    chains_open(&chains);
    chains_begin(&writer, &chains, CHAINS_W0);
    for (int i = 0; i < RECOVER_INTENTS + 7; i++) {
        snprintf(id, sizeof(id), "%020d", i);
        chains_intent(&writer, id);
    }
    chains_save(&writer);
    uint64_t lost;
    assert_int_equal(recover(&chains).lost, RECOVER_INTENTS + 7);
    assert_int_equal(findings(&chains, &lost), 0);
    assert_int_equal(lost, RECOVER_INTENTS + 7);
    assert_holds(&chains, first, ",\"lost_more\":7,");
    buffer_free(&writer.lines);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_chain_is_cut_ended_and_tells_what_was_lost),
        cmocka_unit_test(a_chain_cut_anywhere_is_mended),
        cmocka_unit_test(a_crash_between_two_segments_is_mended),
        cmocka_unit_test(what_follows_a_segment_without_its_close_goes_whole),
        cmocka_unit_test(an_empty_first_segment_becomes_a_whole_chain),
        cmocka_unit_test(what_a_recovery_has_begun_is_gone_on_with),
        cmocka_unit_test(a_chain_that_is_written_is_left_alone),
        cmocka_unit_test(a_changed_chain_is_left_as_it_is_and_told),
        cmocka_unit_test(an_ended_chain_is_left_as_it_is),
        cmocka_unit_test(more_lost_intents_than_are_kept_are_counted),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
