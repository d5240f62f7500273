/* A chain of three segments to be verified, and what verifying it must tell. */
#ifndef SLUICE_TESTS_AUDIT_VERIFY_SAMPLE_H
#define SLUICE_TESTS_AUDIT_VERIFY_SAMPLE_H

#include "audit/verify.h"

#include <inttypes.h>

#include "chains.h"

#define RECORDS 14 /* of the sample */

struct told {
    uint64_t count;
    char first[512];
};

static inline void on_finding(void *context, const char *words)
{
    struct told *told = context;
    if (told->count++ == 0)
        snprintf(told->first, sizeof(told->first), "%s", words);
}

static inline struct verify_result verify_with(const struct chains *chains, struct told *told,
                                               const struct verify_anchor *anchors, size_t count)
{
    struct verify_options options = {chains->folder, &chains->key, anchors, count, on_finding, told};
    struct verify_result result;
    *told = (struct told){0};
    assert_int_equal(verify_folder(&options, &result, NULL), STATUS_OK);
    assert_int_equal(result.findings, told->count);
    return result;
}

static inline struct verify_result verify(const struct chains *chains, struct told *told)
{
    return verify_with(chains, told, NULL, 0);
}

static inline void assert_clean(const struct chains *chains)
{
    struct told told;
    verify(chains, &told);
    if (told.count != 0)
        fail_msg("%s", told.first);
}

static inline void assert_told(const struct told *told, const char *words)
{
    assert_int_not_equal(told->count, 0);
    if (strstr(told->first, words) == NULL)
        fail_msg("told: %s; expected: %s", told->first, words);
}

static inline void assert_record(const struct told *told, uint64_t seq)
{
    char words[64];
    snprintf(words, sizeof(words), "record %" PRIu64 " (byte ", seq);
    assert_told(told, words);
}

/* Exactly one finding, in these words. */
static inline void assert_finding(const struct chains *chains, const char *words)
{
    struct told told;
    verify(chains, &told);
    assert_int_equal(told.count, 1);
    assert_told(&told, words);
}

static inline void assert_finding_at(const struct chains *chains, uint64_t seq)
{
    struct told told;
    verify(chains, &told);
    assert_int_equal(told.count, 1);
    assert_record(&told, seq);
}

/* Records 1 to 5, 6 to 9, 10 to 14 in three segments; *heads[n] follows record n. */
static inline void write_sample(const struct chains *chains, const char *chain, struct chain_head heads[RECORDS + 1])
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

#endif
