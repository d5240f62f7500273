#include "verify_sample.h"

static struct verify_anchor anchor_of(const char *chain, const struct chain_head *head)
{
    struct verify_anchor anchor = {.head = *head};
    snprintf(anchor.chain, sizeof(anchor.chain), "%s", chain);
    return anchor;
}

static void anchors_that_agree_are_good(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, heads);
    struct verify_anchor anchors[] = {anchor_of(CHAINS_W0, &heads[14]), anchor_of(CHAINS_W0, &heads[3]),
                                      anchor_of(CHAINS_W0, &heads[8]), anchor_of(CHAINS_W0, &heads[3])};
    verify_sort_anchors(anchors, 4);
    verify_with(&chains, &told, anchors, 4);
    assert_int_equal(told.count, 0);
    chains_close(&chains);
}

static void an_anchored_chain_that_is_gone_or_shorter_is_found(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    struct chains_writer writer;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, heads);
    struct verify_anchor anchors[] = {anchor_of(CHAINS_W0, &heads[3]), anchor_of(CHAINS_W0, &heads[12])};
    chains_empty(&chains);
    verify_with(&chains, &told, anchors, 2);
    assert_int_equal(told.count, 1);
    assert_told(&told, CHAINS_W0 ": this chain is not there, its record 12 was anchored");
    /* With the key at hand: another chain of that name, shorter and whole. */
    chains_begin(&writer, &chains, CHAINS_W0);
    chains_end(&writer);
    buffer_free(&writer.lines);
    verify_with(&chains, &told, anchors, 2);
    assert_int_equal(told.count, 1);
    assert_told(&told, "ends with record 2, and record 12 was anchored");
    chains_close(&chains);
}

static void a_chain_written_anew_with_the_key_is_found_by_its_anchor(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, heads);
    heads[7].mac[0] ^= 1;
    struct verify_anchor anchor = anchor_of(CHAINS_W0, &heads[7]);
    verify_with(&chains, &told, &anchor, 1);
    assert_int_equal(told.count, 1);
    assert_told(&told, "record 7: an anchor holds another hash");
    chains_close(&chains);
}

/* Record 7 changed by somebody who has the key, and all behind it computed anew. */
static void write_anew(const struct chains *chains, const struct chain_head *before)
{
    struct chains_writer writer = {.segment = {CHAINS_W0, 2, false}, .head = *before, .chains = chains};
    chains_read(chains, files[1], &writer.lines);
    writer.lines.size = (size_t)((char *)memchr(writer.lines.data, '\n', writer.lines.size) + 1 - writer.lines.data);
    chains_request(&writer, "c", "acme", 404);
    chains_request(&writer, "d", "acme", 200);
    chains_rotate(&writer);
    while (writer.head.seq < RECORDS - 1)
        chains_request(&writer, "e", "acme", 200);
    chains_end(&writer);
    buffer_free(&writer.lines);
}

/* So that old anchors may be thinned out: the last one tells what all did. */
static void any_one_anchor_behind_the_place_finds_a_chain_written_anew_with_the_key(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, heads);
    write_anew(&chains, &heads[6]);
    assert_clean(&chains); /* without anchors nobody sees it */
    for (uint64_t seq = 1; seq <= RECORDS; seq++) {
        if (seq == 5 || seq == 9) /* "close": its head is not in the sample */
            continue;
        struct verify_anchor anchor = anchor_of(CHAINS_W0, &heads[seq]);
        verify_with(&chains, &told, &anchor, 1);
        assert_int_equal(told.count, seq >= 7);
        if (seq >= 7)
            assert_told(&told, "an anchor holds another hash");
    }
    chains_close(&chains);
}

static void write_keeper(const struct chains *chains, uint64_t through, uint64_t seq)
{
    struct chains_writer writer;
    chains_begin(&writer, chains, CHAINS_K);
    chains_line(&writer, "retention");
    entry_append_text(&writer.lines, "chain", TEXT(CHAINS_W0));
    entry_append_number(&writer.lines, "through", through);
    entry_append_number(&writer.lines, "through_seq", seq);
    chains_seal(&writer);
    chains_end(&writer);
    buffer_free(&writer.lines);
}

static void what_the_retention_rule_deleted_is_not_missed(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    struct buffer bytes;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, heads);
    struct verify_anchor anchors[] = {anchor_of(CHAINS_W0, &heads[3]), anchor_of(CHAINS_W0, &heads[12])};
    unlinkat(chains.folder_fd, files[0], 0);
    write_keeper(&chains, 1, 5);
    assert_int_equal(verify_with(&chains, &told, anchors, 2).deleted, 1);
    assert_int_equal(told.count, 0);
    /* The check that begins in the middle misses no byte of its first record. */
    chains_read(&chains, files[1], &bytes);
    size_t line = (size_t)((char *)memchr(bytes.data, '\n', bytes.size) + 1 - bytes.data);
    for (size_t i = 0; i < line; i++) {
        bytes.data[i] ^= 1;
        chains_write(&chains, files[1], buffer_text(&bytes));
        bytes.data[i] ^= 1;
        verify(&chains, &told);
        assert_int_equal(told.count, 1);
    }
    chains_write(&chains, files[1], buffer_text(&bytes));
    buffer_free(&bytes);
    /* More is gone than was deleted. */
    unlinkat(chains.folder_fd, files[1], 0);
    verify_with(&chains, &told, anchors, 2);
    assert_int_equal(told.count, 1);
    assert_told(&told, "up to number 2");
    unlinkat(chains.folder_fd, files[2], 0);
    verify_with(&chains, &told, anchors, 2);
    assert_int_equal(told.count, 1);
    write_keeper(&chains, 3, 14);
    verify_with(&chains, &told, anchors, 2);
    if (told.count != 0)
        fail_msg("%s", told.first);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors_that_agree_are_good),
        cmocka_unit_test(an_anchored_chain_that_is_gone_or_shorter_is_found),
        cmocka_unit_test(a_chain_written_anew_with_the_key_is_found_by_its_anchor),
        cmocka_unit_test(any_one_anchor_behind_the_place_finds_a_chain_written_anew_with_the_key),
        cmocka_unit_test(what_the_retention_rule_deleted_is_not_missed),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
