/* Is the log what was written? Reads all chains of a folder in constant memory. */
#ifndef SLUICE_AUDIT_VERIFY_H
#define SLUICE_AUDIT_VERIFY_H

#include "audit/segment.h"

/* A head that was written down elsewhere (the database, a second place). */
struct verify_anchor {
    char chain[SEGMENT_CHAIN_MAX];
    struct chain_head head;
};
void verify_sort_anchors(struct verify_anchor *anchors, size_t count);

struct verify_options {
    const char *folder;
    const struct hash_hmac_key *key;
    const struct verify_anchor
        *anchors; /* as verify_sort_anchors sorts; a chain's last one is enough, more find more */
    size_t anchor_count;
    /* Each bad thing, a line of words without LF: "gw1-20261121T170312-1f3a-w0-000002.jsonl: record 120 (byte 48213):
     * its bytes were changed". The first one of a chain is exact; the chain is not read further. */
    void (*on_finding)(void *context, const char *words);
    void *context;
};
struct verify_result {
    uint64_t chains, segments, records, findings;
    uint64_t live;    /* chains whose writer is at work: their last, unfinished line is not held against them */
    uint64_t lost;    /* intents without an outcome, as the recoveries wrote them down */
    uint64_t deleted; /* segments that the retention rule has deleted, as the keepers wrote it down */
    uint64_t dropped; /* records that a full disk did not take, as the logs wrote it down ("gap") */
};
/* What counts as a finding: a byte flipped, a record or segment missing, doubled, out of order, added, or sealed with
 * another key; bytes behind the last record of a chain that nobody writes; a chain without "end" that nobody writes; a
 * chain that begins behind its first segment, unless a keeper's "retention" record says so; an anchor whose record is
 * not there, or another one (a keeper's "retention" record with its "through_seq" excuses what it deleted).
 * STATUS_FAILED: the folder cannot be read. */
enum status verify_folder(const struct verify_options *options, struct verify_result *result,
                          struct failure *failure) MUST_CHECK;

#endif
