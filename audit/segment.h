/* The files of the chains, all in one folder, mode 0600, each held by flock while its writer lives:
 *
 *     CHAIN-000001.jsonl      lines; the newest one of a chain grows
 *     CHAIN-000001.jsonl.zst  closed, compressed (RFC 8878)
 *
 * CHAIN is INSTANCE-STARTED-wN (a worker's) or INSTANCE-STARTED-k (the keeper's): an instance's name, the second of its
 * process's start as 20261121T170312, four hexadecimal digits of chance. A process begins chains of its own; it never
 * goes on with another one's. A chain's first line has the event "begin"; a segment's last line "close" (another one
 * follows, whose first line is "continue") or "end" (nothing follows). "begin" and "continue" tell "chain", the name,
 * so that renamed files are seen; "continue" tells "segment", its number, and "previous", the hash of the "close"
 * before it in hexadecimal: there a check can begin when the retention rule has deleted what came before. What a crash
 * left without "end" gets it from audit_recover. */
#ifndef SLUICE_AUDIT_SEGMENT_H
#define SLUICE_AUDIT_SEGMENT_H

#include <sys/types.h>

#include "audit/chain.h"

#define SEGMENT_CHAIN_MAX 96 /* bytes of a chain's name, with NUL */
#define SEGMENT_NAME_MAX (SEGMENT_CHAIN_MAX + 24)

struct segment_name {
    char chain[SEGMENT_CHAIN_MAX];
    unsigned number; /* 1 … */
    bool compressed;
};
/* False: `name` is not a segment's. */
bool segment_parse(const char *name, struct segment_name *parsed) MUST_CHECK;
void segment_format(const struct segment_name *segment, char out[SEGMENT_NAME_MAX]);

struct segment_list {
    struct segment_name *items; /* malloc'd; by chain, then number */
    size_t count;
};
/* All of a folder, at most a million. Where a segment stands there plain and compressed (a crash between the two), it
 * is listed once, as plain. */
enum status segment_list(const char *folder, struct segment_list *list, struct failure *failure) MUST_CHECK;
void segment_list_free(struct segment_list *list);

/* Makes a segment that must not be there yet, locked: O_APPEND, 0600. -1: errno tells. */
int segment_create(int folder_fd, const struct segment_name *segment);
/* Is its writer alive? */
bool segment_is_held(int folder_fd, const struct segment_name *segment);

/* Reads a segment's lines, plain or compressed, in constant memory (CHAIN_LINE_MAX and zstd's window, at most 8 MB). */
struct segment_reader;
enum status segment_open(int folder_fd, const struct segment_name *segment, struct segment_reader **reader,
                         struct failure *failure) MUST_CHECK;
/* The next line with its LF, valid until the next call; what stands behind the last LF comes as it is, without one (a
 * line of more than CHAIN_LINE_MAX is cut into such pieces). STATUS_NOT_FOUND: no more. STATUS_INVALID: not
 * decompressible from here on. *offset: of the line's first byte in the plain file. */
enum status segment_next(struct segment_reader *reader, struct text *line, uint64_t *offset,
                         struct failure *failure) MUST_CHECK;
void segment_close(struct segment_reader *reader);

#endif
