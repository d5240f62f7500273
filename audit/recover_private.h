/* What recovery reads of a chain, before it writes: its head, and the intents that have no outcome. */
#ifndef SLUICE_AUDIT_RECOVER_PRIVATE_H
#define SLUICE_AUDIT_RECOVER_PRIVATE_H

#include "audit/recover.h"

#define RECOVER_ID_MAX 48 /* bytes of a request's id, raw; ours have 20 */

struct recover_intent {
    uint64_t seq;
    uint32_t next; /* of its bucket or of the free ones, + 1; 0: none */
    uint16_t size;
    bool taken;
    char request_id[RECOVER_ID_MAX];
};
struct recover_intents {
    struct recover_intent *items; /* grows to RECOVER_INTENTS */
    uint32_t *buckets;            /* index + 1 */
    size_t count, room;
    uint32_t free; /* index + 1 of the first that was let go */
    uint64_t more; /* intents for which there was no room; some may have had an outcome */
};
/* The next one in the order of the table; *at is 0 at first. */
bool recover_intents_each(const struct recover_intents *intents, size_t *at, struct recover_intent *intent) MUST_CHECK;

enum recover_last { RECOVER_NONE, RECOVER_RECORD, RECOVER_CLOSE, RECOVER_END };
struct recover_reading {
    struct chain_head head;
    struct recover_intents intents;
    enum recover_last last;   /* record, of the chain */
    uint64_t lines;           /* of the newest segment */
    uint64_t good_size, size; /* bytes of it, up to its last LF and in all */
    uint64_t lost;            /* a recovery that did not come to its end has written so many */
};
void recover_reading_init(struct recover_reading *reading);
void recover_reading_free(struct recover_reading *reading);
/* Reads `newest` and, before it, so many segments that stand there. STATUS_INVALID: a hash is wrong. */
enum status recover_read(struct recover_reading *reading, int folder_fd, const struct segment_name *newest,
                         unsigned formers, const struct hash_hmac_key *key, struct failure *failure) MUST_CHECK;
/* Those lines of a tail's half (audit/tail.h) that go on where the reading is; empty: none. */
struct text recover_tail_rest(const struct recover_reading *reading, struct text half,
                              const struct hash_hmac_key *key) MUST_CHECK;
/* Goes on with a line that recover_tail_rest has given. */
void recover_read_on(struct recover_reading *reading, struct text line);
/* Is the file's last line this event? Not checked: who forges one is found by `sluice audit verify`. Keeps the start
 * short where many old chains lie. */
bool recover_ends_with(int fd, struct text event) MUST_CHECK;

#endif
