#include <inttypes.h>
#include <stdlib.h>

#include "audit/verify_private.h"

static int compare_anchors(const void *left, const void *right)
{
    const struct verify_anchor *a = left, *b = right;
    int order = strcmp(a->chain, b->chain);
    return order != 0 ? order : a->head.seq < b->head.seq ? -1 : a->head.seq > b->head.seq;
}

void verify_sort_anchors(struct verify_anchor *anchors, size_t count)
{
    if (count != 0)
        qsort(anchors, count, sizeof(anchors[0]), compare_anchors);
}

/* Both lists are sorted by chain: merged. */
enum status verify_chains_of(struct verify *verify, struct failure *failure)
{
    const struct segment_list *list = &verify->list;
    const struct verify_anchor *anchors = verify->options->anchors;
    size_t anchor_count = verify->options->anchor_count, segment = 0, anchor = 0;
    size_t room = list->count + anchor_count;
    verify->chains = calloc(room != 0 ? room : 1, sizeof(verify->chains[0]));
    if (verify->chains == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory for the names of %zu segments and %zu anchors",
                           list->count, anchor_count);
    while (segment < list->count || anchor < anchor_count) {
        struct verify_chain *chain = &verify->chains[verify->chain_count++];
        bool from_list = segment < list->count &&
                         (anchor == anchor_count || strcmp(list->items[segment].chain, anchors[anchor].chain) <= 0);
        chain->name = from_list ? list->items[segment].chain : anchors[anchor].chain;
        chain->first_segment = segment;
        chain->first_anchor = anchor;
        while (segment < list->count && strcmp(list->items[segment].chain, chain->name) == 0)
            segment++;
        while (anchor < anchor_count && strcmp(anchors[anchor].chain, chain->name) == 0)
            anchor++;
        chain->segment_count = segment - chain->first_segment;
        chain->anchor_count = anchor - chain->first_anchor;
    }
    return STATUS_OK;
}

void verify_anchors_pass(struct verify *verify, struct verify_chain *chain, const struct chain_head *head)
{
    for (; chain->anchors_seen < chain->anchor_count; chain->anchors_seen++) {
        const struct chain_head *anchor = &verify->options->anchors[chain->first_anchor + chain->anchors_seen].head;
        if (anchor->seq > head->seq)
            break;
        if (anchor->seq == head->seq && !hash_equal(anchor->mac, head->mac, CHAIN_MAC_SIZE)) {
            verify_tell(verify, chain,
                        "%s: record %" PRIu64 ": an anchor holds another hash for it: the chain was written anew",
                        chain->name, head->seq);
            return;
        }
    }
}

void verify_anchors_end(struct verify *verify, struct verify_chain *chain, const struct chain_head *head)
{
    if (chain->anchors_seen < chain->anchor_count)
        verify_tell(
            verify, chain,
            "%s: ends with record %" PRIu64 ", and record %" PRIu64 " was anchored: its last records were removed",
            chain->name, head->seq, verify->options->anchors[chain->first_anchor + chain->anchor_count - 1].head.seq);
}

void verify_settle(struct verify *verify)
{
    for (size_t i = 0; i < verify->chain_count; i++) {
        struct verify_chain *chain = &verify->chains[i];
        if (chain->broken)
            continue;
        if (chain->missing_through > chain->retained_through)
            verify_tell(verify, chain,
                        "%s: its segments up to number %u are not there, and no keeper wrote down that the retention "
                        "rule deleted them",
                        chain->name, chain->missing_through);
        if (chain->segment_count != 0 || chain->anchor_count == 0)
            continue;
        uint64_t last = verify->options->anchors[chain->first_anchor + chain->anchor_count - 1].head.seq;
        if (last > chain->retained_seq)
            verify_tell(verify, chain,
                        "%s: this chain is not there, its record %" PRIu64
                        " was anchored, and no keeper wrote down that the retention rule deleted it",
                        chain->name, last);
    }
}
