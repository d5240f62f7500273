#include "audit/verify.h"

#include <inttypes.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "chains.h"

#define RECORDS 14 /* of the sample */

struct told {
    uint64_t count;
    char first[512];
};

static void on_finding(void *context, const char *words)
{
    struct told *told = context;
    if (told->count++ == 0)
        snprintf(told->first, sizeof(told->first), "%s", words);
}

static struct verify_result verify_with(const struct chains *chains, struct told *told,
                                        const struct verify_anchor *anchors, size_t count)
{
    struct verify_options options = {chains->folder, &chains->key, anchors, count, on_finding, told};
    struct verify_result result;
    *told = (struct told){0};
    assert_int_equal(verify_folder(&options, &result, NULL), STATUS_OK);
    assert_int_equal(result.findings, told->count);
    return result;
}

static struct verify_result verify(const struct chains *chains, struct told *told)
{
    return verify_with(chains, told, NULL, 0);
}

static void assert_clean(const struct chains *chains)
{
    struct told told;
    verify(chains, &told);
    if (told.count != 0)
        fail_msg("%s", told.first);
}

static void assert_told(const struct told *told, const char *words)
{
    assert_int_not_equal(told->count, 0);
    if (strstr(told->first, words) == NULL)
        fail_msg("told: %s; expected: %s", told->first, words);
}

static void assert_record(const struct told *told, uint64_t seq)
{
    char words[64];
    snprintf(words, sizeof(words), "record %" PRIu64 " (byte ", seq);
    assert_told(told, words);
}

/* Records 1 to 5, 6 to 9, 10 to 14 in three segments; *heads[n] follows record n. */
static void write_sample(const struct chains *chains, const char *chain, struct chain_head heads[RECORDS + 1])
{
    struct chains_writer writer;
    struct chain_head unwanted[RECORDS + 1];
    heads = heads != NULL ? heads : unwanted;
    heads[0] = (struct chain_head){0};
    chains_begin(&writer, chains, chain);
    heads[1] = writer.head;
    chains_intent(&writer, "a");
    heads[2] = writer.head;
    chains_request(&writer, "a", "acme", 200);
    heads[3] = writer.head;
    chains_request(&writer, "b", "acme", 403);
    heads[4] = writer.head;
    chains_rotate(&writer);
    heads[6] = writer.head;
    chains_request(&writer, "c", "acme", 200);
    heads[7] = writer.head;
    chains_request(&writer, "d", "acme", 200);
    heads[8] = writer.head;
    chains_rotate(&writer);
    heads[10] = writer.head;
    for (size_t i = 11; i < RECORDS; i++) {
        chains_request(&writer, "e", "acme", 200);
        heads[i] = writer.head;
    }
    chains_end(&writer);
    heads[RECORDS] = writer.head;
    buffer_free(&writer.lines);
}

static const char *const files[] = {CHAINS_W0 "-000001.jsonl", CHAINS_W0 "-000002.jsonl", CHAINS_W0 "-000003.jsonl"};
static const uint64_t firsts[] = {1, 6, 10};

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

static void every_flipped_byte_is_found_at_its_record(void **state)
{
    static const char flips[] = {1, 0x20, (char)0x80};
    struct chains chains;
    struct told told;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    for (size_t f = 0; f < 3; f++) {
        struct buffer bytes;
        chains_read(&chains, files[f], &bytes);
        for (size_t k = 0; k < sizeof(flips); k++) {
            uint64_t seq = firsts[f];
            for (size_t i = 0; i < bytes.size; i++) {
                bool ends = bytes.data[i] == '\n';
                bytes.data[i] = (char)(bytes.data[i] ^ flips[k]);
                chains_write(&chains, files[f], buffer_text(&bytes));
                bytes.data[i] = (char)(bytes.data[i] ^ flips[k]);
                verify(&chains, &told);
                assert_int_equal(told.count, 1);
                assert_record(&told, seq);
                assert_told(&told, files[f]);
                seq += ends;
            }
        }
        chains_write(&chains, files[f], buffer_text(&bytes));
        buffer_free(&bytes);
    }
    assert_clean(&chains);
    chains_close(&chains);
}

static bool same_content(const struct chains *chains, const struct segment_name *segment, const struct buffer *plain)
{
    struct segment_reader *reader;
    struct text line;
    uint64_t offset, at = 0;
    enum status status;
    assert_int_equal(segment_open(chains->folder_fd, segment, &reader, NULL), STATUS_OK);
    while ((status = segment_next(reader, &line, &offset, NULL)) == STATUS_OK) {
        if (at + line.size > plain->size || memcmp(plain->data + at, line.data, line.size) != 0)
            break;
        at += line.size;
    }
    segment_close(reader);
    return status == STATUS_NOT_FOUND && at == plain->size;
}

/* zstd has a few bits that mean nothing to what comes out: only those may pass. */
static void every_flipped_bit_of_a_compressed_segment_is_found_or_changes_nothing(void **state)
{
    struct chains chains;
    struct told told;
    struct segment_name segment = {CHAINS_W0, 2, true};
    struct buffer plain, packed;
    size_t harmless = 0;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    chains_read(&chains, files[1], &plain);
    chains_compress(&chains, files[1]);
    assert_clean(&chains);
    chains_read(&chains, CHAINS_W0 "-000002.jsonl.zst", &packed);
    for (size_t i = 0; i < packed.size * 8; i++) {
        packed.data[i / 8] = (char)(packed.data[i / 8] ^ 1 << i % 8);
        chains_write(&chains, CHAINS_W0 "-000002.jsonl.zst", buffer_text(&packed));
        packed.data[i / 8] = (char)(packed.data[i / 8] ^ 1 << i % 8);
        verify(&chains, &told);
        if (told.count == 0) {
            harmless++;
            assert_true(same_content(&chains, &segment, &plain));
        }
    }
    assert_true(harmless * 20 < packed.size * 8);
    buffer_free(&plain);
    buffer_free(&packed);
    chains_close(&chains);
}

/* The lines of a file. */
struct lines {
    struct buffer bytes;
    struct text items[16];
    size_t count;
};

static void split(const struct chains *chains, const char *name, struct lines *lines)
{
    chains_read(chains, name, &lines->bytes);
    lines->count = 0;
    for (const char *at = lines->bytes.data, *end = at + lines->bytes.size; at < end;) {
        const char *next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        lines->items[lines->count++] = text_of(at, (size_t)(next - at));
        at = next;
    }
}

static void join(const struct chains *chains, const char *name, const struct text *lines, size_t count)
{
    struct buffer bytes;
    buffer_init(&bytes, CHAINS_MAX);
    for (size_t i = 0; i < count; i++)
        buffer_append_text(&bytes, lines[i]);
    chains_write(chains, name, buffer_text(&bytes));
    buffer_free(&bytes);
}

static void try_lines(const struct chains *chains, size_t file, const struct text *lines, size_t count,
                      uint64_t expected)
{
    struct told told;
    join(chains, files[file], lines, count);
    verify(chains, &told);
    assert_int_equal(told.count, 1);
    if (expected != 0)
        assert_record(&told, expected);
}

/* Each record of a file dropped, doubled here and elsewhere, and swapped with each other one. */
static void move_lines(const struct chains *chains, size_t file, const struct lines *lines)
{
    struct text moved[17];
    uint64_t first = firsts[file];
    size_t count = lines->count;
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        memcpy(moved, lines->items, i * sizeof(moved[0]));
        memcpy(moved + i, lines->items + i + 1, (count - i - 1) * sizeof(moved[0]));
        /* The last line of a file away: the next file's first record is what does not fit. */
        try_lines(chains, file, moved, count - 1, last && file == 2 ? 0 : first + i);
        for (size_t at = 0; at <= count; at++) {
            memcpy(moved, lines->items, at * sizeof(moved[0]));
            moved[at] = lines->items[i];
            memcpy(moved + at + 1, lines->items + at, (count - at) * sizeof(moved[0]));
            if (at != i)
                try_lines(chains, file, moved, count + 1, first + (at == i ? i + 1 : at));
        }
        for (size_t k = i + 1; k < count; k++) {
            memcpy(moved, lines->items, count * sizeof(moved[0]));
            moved[i] = lines->items[k];
            moved[k] = lines->items[i];
            try_lines(chains, file, moved, count, first + i);
        }
    }
    join(chains, files[file], lines->items, count);
}

static void a_record_dropped_doubled_or_moved_is_found(void **state)
{
    struct chains chains;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    for (size_t f = 0; f < 3; f++) {
        struct lines lines;
        split(&chains, files[f], &lines);
        move_lines(&chains, f, &lines);
        buffer_free(&lines.bytes);
    }
    assert_clean(&chains);
    chains_close(&chains);
}

static void records_moved_over_a_border_of_segments_are_found(void **state)
{
    struct chains chains;
    struct told told;
    struct lines first, second;
    struct text moved[16];
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    split(&chains, files[0], &first);
    split(&chains, files[1], &second);
    /* The second one's first record behind the first one's last: the hashes fit. */
    memcpy(moved, first.items, first.count * sizeof(moved[0]));
    moved[first.count] = second.items[0];
    join(&chains, files[0], moved, first.count + 1);
    join(&chains, files[1], second.items + 1, second.count - 1);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_record(&told, 6);
    /* The first one's "close" before the second one's first record. */
    join(&chains, files[0], first.items, first.count - 1);
    moved[0] = first.items[first.count - 1];
    memcpy(moved + 1, second.items, second.count * sizeof(moved[0]));
    join(&chains, files[1], moved, second.count + 1);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_record(&told, 5);
    buffer_free(&first.bytes);
    buffer_free(&second.bytes);
    chains_close(&chains);
}

static void added_bytes_are_found(void **state)
{
    static const char *const added[] = {"x", "\n", "{}\n", "{\"seq\":15,\"event\":\"request\"}\n"};
    struct chains chains;
    struct told told;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    for (size_t f = 0; f < 3; f++) {
        struct buffer bytes;
        chains_read(&chains, files[f], &bytes);
        size_t size = bytes.size;
        for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
            bytes.size = size;
            buffer_append_string(&bytes, added[i]);
            chains_write(&chains, files[f], buffer_text(&bytes));
            verify(&chains, &told);
            assert_int_equal(told.count, 1);
            assert_told(&told, files[f]);
        }
        chains_write(&chains, files[f], text_of(bytes.data, size));
        buffer_free(&bytes);
    }
    chains_close(&chains);
}

static void a_tail_cut_off_anywhere_is_found(void **state)
{
    struct chains chains;
    struct told told;
    struct buffer bytes;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    chains_read(&chains, files[2], &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        chains_write(&chains, files[2], text_of(bytes.data, size));
        verify(&chains, &told);
        assert_int_equal(told.count, 1);
    }
    buffer_free(&bytes);
    unlinkat(chains.folder_fd, files[2], 0);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_told(&told, "no \"end\"");
    chains_close(&chains);
}

static void a_missing_segment_is_named(void **state)
{
    struct chains chains;
    struct told told;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W0, NULL);
    unlinkat(chains.folder_fd, files[1], 0);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_told(&told, files[1]);
    write_sample(&chains, CHAINS_W0, NULL);
    unlinkat(chains.folder_fd, files[0], 0);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_told(&told, CHAINS_W0 ": its segments up to number 1 are not there");
    chains_close(&chains);
}

static void renamed_files_are_found(void **state)
{
    struct chains chains;
    struct told told;
    chains_open(&chains);
    write_sample(&chains, CHAINS_W1, NULL);
    for (unsigned i = 1; i <= 3; i++) {
        char from[SEGMENT_NAME_MAX];
        segment_format(&(struct segment_name){CHAINS_W1, i, false}, from);
        assert_int_equal(renameat(chains.folder_fd, from, chains.folder_fd, files[i - 1]), 0);
    }
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_told(&told, "belongs to another chain");
    chains_close(&chains);
}

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

static void a_chain_recomputed_with_another_key_is_refused(void **state)
{
    struct chains chains, other;
    struct told told;
    chains_open(&chains);
    other = chains;
    chains_key(&other.key, "another key of the tests, of more than 32 bytes");
    write_sample(&other, CHAINS_W0, NULL);
    assert_clean(&other);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_record(&told, 1);
    chains_close(&chains);
}

/* Who changes record 7 and knows not the key computes all hashes from there with a key of his own. */
static void a_chain_recomputed_from_the_middle_is_found_there(void **state)
{
    struct chains chains;
    struct told told;
    struct chain_head heads[RECORDS + 1];
    struct chains_writer writer = {.segment = {CHAINS_W0, 2, false}};
    chains_open(&chains);
    struct chains other = chains;
    chains_key(&other.key, "another key of the tests, of more than 32 bytes");
    write_sample(&chains, CHAINS_W0, heads);
    writer.head = heads[6];
    writer.chains = &other;
    chains_read(&chains, files[1], &writer.lines);
    writer.lines.size = (size_t)((char *)memchr(writer.lines.data, '\n', writer.lines.size) + 1 - writer.lines.data);
    chains_request(&writer, "c", "acme", 404);
    chains_rotate(&writer);
    chains_end(&writer);
    buffer_free(&writer.lines);
    verify(&chains, &told);
    assert_int_equal(told.count, 1);
    assert_record(&told, 7);
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
        cmocka_unit_test(every_flipped_byte_is_found_at_its_record),
        cmocka_unit_test(every_flipped_bit_of_a_compressed_segment_is_found_or_changes_nothing),
        cmocka_unit_test(a_record_dropped_doubled_or_moved_is_found),
        cmocka_unit_test(records_moved_over_a_border_of_segments_are_found),
        cmocka_unit_test(added_bytes_are_found),
        cmocka_unit_test(a_tail_cut_off_anywhere_is_found),
        cmocka_unit_test(a_missing_segment_is_named),
        cmocka_unit_test(renamed_files_are_found),
        cmocka_unit_test(anchors_that_agree_are_good),
        cmocka_unit_test(an_anchored_chain_that_is_gone_or_shorter_is_found),
        cmocka_unit_test(a_chain_written_anew_with_the_key_is_found_by_its_anchor),
        cmocka_unit_test(a_chain_recomputed_with_another_key_is_refused),
        cmocka_unit_test(a_chain_recomputed_from_the_middle_is_found_there),
        cmocka_unit_test(a_torn_tail_is_held_against_a_dead_chain_alone),
        cmocka_unit_test(a_live_chain_between_two_segments_is_good),
        cmocka_unit_test(what_the_retention_rule_deleted_is_not_missed),
        cmocka_unit_test(one_bad_chain_hides_no_other),
        cmocka_unit_test(a_folder_that_cannot_be_read_is_no_finding),
        cmocka_unit_test(large_logs_take_no_more_memory_than_small_ones),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
