/* A chain of audit records: every line carries a number and a keyed hash of itself and of the hash before it, so that
 * no byte can be flipped, no line dropped, moved or added, without the key. HMAC-SHA256 (RFC 2104) cut to 128 bits (its
 * section 5), over the hash before (16 bytes; zeros before the first) and the line's bytes up to ,"mac":
 *
 *     {"seq":7,"time":"2026-11-21T17:03:12.123456Z","event":"request",…,"mac":"5a0c…"}LF
 *
 * One writer; no lock. */
#ifndef SLUICE_AUDIT_CHAIN_H
#define SLUICE_AUDIT_CHAIN_H

#include "base/buffer.h"
#include "base/hash.h"

#define CHAIN_MAC_SIZE 16                                /* bytes */
#define CHAIN_TAIL_SIZE (8 + 2 * CHAIN_MAC_SIZE + 2 + 1) /* ,"mac":"…"} and LF */
#define CHAIN_KEY_MINIMUM 32                             /* bytes of the secret that a key is set from */
#define CHAIN_LINE_MAX ((size_t)16 << 10)                /* bytes of a line with its LF */

struct chain_head {
    uint64_t seq; /* of the last record; 0: none yet */
    unsigned char mac[CHAIN_MAC_SIZE];
};

/* Begins a line in `out`: {"seq":N. The caller appends ,"name":value … and then calls chain_seal with the size that
 * `out` had before. Lines may gather in one buffer. */
void chain_begin_line(const struct chain_head *head, struct buffer *out);
/* Ends the line that began at `start`, and moves the head on. A buffer that has failed, or a line that became too long,
 * leaves the head where it was and returns false: the caller drops the line. */
bool chain_seal(struct chain_head *head, const struct hash_hmac_key *key, struct buffer *out, size_t start) MUST_CHECK;

enum chain_verdict {
    CHAIN_GOOD,
    CHAIN_MALFORMED, /* no record: lacks its beginning, its tail or its LF, or is too long */
    CHAIN_BAD_MAC,   /* its bytes, or those before it, are not what was written under this key */
    CHAIN_BAD_SEQ    /* a good hash, yet not the next number: cannot happen to what chain_seal wrote */
};
/* Is `line` (with its LF) what follows `head`? Good: the head moves on. Constant time in the hash. */
enum chain_verdict chain_check(struct chain_head *head, const struct hash_hmac_key *key, struct text line) MUST_CHECK;
/* Number and hash that a line claims, unchecked: where a check begins in the middle. False: malformed. */
bool chain_read(struct text line, struct chain_head *claimed) MUST_CHECK;

#endif
