/* The end of a worker's chain that is not in its segment yet: sealed lines in CHAIN.tail, a file that is mapped shared.
 * Its pages are the kernel's, so a line outlives the process as soon as it stands there, as a written one does; and
 * lines are written to the segment many at once. (A power cut takes both: what must outlive that is written and synced,
 * audit/sync.h.) Of a process that died without "end", audit_recover takes what goes on where the segment ends.
 *
 * Two halves of TAIL_HALF bytes, each with lines from its first byte on: where lines must be sealed anew it is done in
 * the other half, so that at any moment one of them is whole. Behind the last line stands what was there before: the
 * numbers and hashes tell it. 0600. Its blocks are allocated when it is made: a full disk takes nothing from it. */
#ifndef SLUICE_AUDIT_TAIL_H
#define SLUICE_AUDIT_TAIL_H

#include "audit/segment.h"

#define TAIL_HALF ((size_t)1 << 20)

struct tail {     /* zero it before first use */
    char *halves; /* NULL: there is none */
    unsigned used;
};
/* `chain`'s segment must be there and held: until then recovery would take the tail for a dead process's. False: errno
 * tells. */
bool tail_create(struct tail *tail, int folder_fd, const char *chain) MUST_CHECK;
/* `lines` becomes an empty buffer on the half in use, with TAIL_HALF as its ceiling. */
void tail_begin(struct tail *tail, struct buffer *lines);
/* The same on the other half; what stands in the half in use counts until tail_switch. */
void tail_begin_other(struct tail *tail, struct buffer *lines);
void tail_switch(struct tail *tail);
/* The file stays. Harmless where there is none. */
void tail_close(struct tail *tail);

/* A dead process's: both halves, appended to `out`; nothing where there is no such file. */
enum status tail_read(int folder_fd, const char *chain, struct buffer *out, struct failure *failure) MUST_CHECK;
void tail_remove(int folder_fd, const char *chain);

#endif
