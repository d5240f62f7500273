/* What the parts of verify.h share. */
#ifndef SLUICE_AUDIT_VERIFY_PRIVATE_H
#define SLUICE_AUDIT_VERIFY_PRIVATE_H

#include "audit/verify.h"

/* A chain that has segments in the folder, or anchors, or both. */
struct verify_chain {
    const char *name; /* in the list of segments, or in the anchors */
    size_t first_segment, segment_count;
    size_t first_anchor, anchor_count;
    size_t anchors_seen;       /* of them, passed by the reading */
    unsigned missing_through;  /* segments 1 to this number were not there */
    unsigned retained_through; /* a keeper's word: it deleted 1 to this number */
    uint64_t retained_seq;     /* and the records up to this number */
    bool broken;               /* told, and not read further */
};

struct verify {
    const struct verify_options *options;
    struct verify_result *result;
    int folder_fd;
    struct segment_list list;
    struct verify_chain *chains; /* sorted by name */
    size_t chain_count;
};

void verify_tell(struct verify *verify, struct verify_chain *chain, const char *format, ...) PRINTF_LIKE(3, 4);
/* Of a keeper's chain that is good so far. */
void verify_retention(struct verify *verify, struct text line);

/* verify_chain.c. STATUS_FAILED: a file cannot be read. */
enum status verify_chain_read(struct verify *verify, struct verify_chain *chain, struct failure *failure) MUST_CHECK;

/* verify_anchors.c */
enum status verify_chains_of(struct verify *verify, struct failure *failure) MUST_CHECK;
/* The head stands at a record that was found good: do the anchors of its number agree? */
void verify_anchors_pass(struct verify *verify, struct verify_chain *chain, const struct chain_head *head);
/* The chain's end was reached, at `head`. */
void verify_anchors_end(struct verify *verify, struct verify_chain *chain, const struct chain_head *head);
/* After all chains: what is missing must have been deleted by the rule. */
void verify_settle(struct verify *verify);

#endif
