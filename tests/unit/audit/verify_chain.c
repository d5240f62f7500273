#include "verify_sample.h"

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
    assert_finding_at(&chains, 6);
    /* The first one's "close" before the second one's first record. */
    join(&chains, files[0], first.items, first.count - 1);
    moved[0] = first.items[first.count - 1];
    memcpy(moved + 1, second.items, second.count * sizeof(moved[0]));
    join(&chains, files[1], moved, second.count + 1);
    assert_finding_at(&chains, 5);
    buffer_free(&first.bytes);
    buffer_free(&second.bytes);
    chains_close(&chains);
}

static void added_bytes_are_found(void **state)
{
    static const char *const added[] = {"x", "\n", "{}\n", "{\"seq\":15,\"event\":\"request\"}\n"};
    struct chains chains;
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
            assert_finding(&chains, files[f]);
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
    assert_finding(&chains, "no \"end\"");
    chains_close(&chains);
}

static void a_chain_recomputed_with_another_key_is_refused(void **state)
{
    struct chains chains, other;
    chains_open(&chains);
    other = chains;
    chains_key(&other.key, "another key of the tests, of more than 32 bytes");
    write_sample(&other, CHAINS_W0, NULL);
    assert_clean(&other);
    assert_finding_at(&chains, 1);
    chains_close(&chains);
}

/* Who changes record 7 and knows not the key computes all hashes from there with a key of his own. */
static void a_chain_recomputed_from_the_middle_is_found_there(void **state)
{
    struct chains chains;
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
    assert_finding_at(&chains, 7);
    chains_close(&chains);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_is_found_at_its_record),
        cmocka_unit_test(every_flipped_bit_of_a_compressed_segment_is_found_or_changes_nothing),
        cmocka_unit_test(a_record_dropped_doubled_or_moved_is_found),
        cmocka_unit_test(records_moved_over_a_border_of_segments_are_found),
        cmocka_unit_test(added_bytes_are_found),
        cmocka_unit_test(a_tail_cut_off_anywhere_is_found),
        cmocka_unit_test(a_chain_recomputed_with_another_key_is_refused),
        cmocka_unit_test(a_chain_recomputed_from_the_middle_is_found_there),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
