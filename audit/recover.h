/* After a crash: at the start, before chains of our own are begun, every chain of this folder that has no "end" and
 * that nobody writes is ended. Its torn last line (part of a record that the tail has whole, or that was never promised
 * to anybody) is cut off; then follow what its process left in its tail (audit/tail.h), and, under the same key, one
 * line "lost" for each intent without outcome, and one "end" with "crash":true, "torn" (bytes cut off) and "lost"
 * (their number); all on disk before this returns. Segments behind one that was never closed go whole, for what a power
 * cut left of them was never promised either. A chain whose hashes are wrong is left as it is, and told: `sluice audit
 * verify` names the place. */
#ifndef SLUICE_AUDIT_RECOVER_H
#define SLUICE_AUDIT_RECOVER_H

#include "audit/segment.h"

struct recover_result {
    uint64_t chains, lost, torn_bytes, broken;
};
/* Intents are looked for in the last segment, the one before it, and as many more as hold RECOVER_BYTES in all; memory
 * is bounded by RECOVER_INTENTS of them (more are counted, "lost_more", and not named). */
#define RECOVER_INTENTS 100000
#define RECOVER_BYTES ((uint64_t)16 << 20)
enum status recover_folder(const char *folder, const struct hash_hmac_key *key, struct recover_result *result,
                           struct failure *failure) MUST_CHECK;

#endif
