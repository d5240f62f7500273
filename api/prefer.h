/* The Prefer header (RFC 7240) of reads of rows. */
#ifndef SLUICE_API_PREFER_H
#define SLUICE_API_PREFER_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

enum prefer_count { PREFER_COUNT_NONE, PREFER_COUNT_EXACT, PREFER_COUNT_PLANNED, PREFER_COUNT_ESTIMATED };
enum prefer_handling { PREFER_HANDLING_NONE, PREFER_HANDLING_STRICT, PREFER_HANDLING_LENIENT };

struct prefer {
    enum prefer_count count;
    enum prefer_handling handling;
    bool strict;          /* handling is PREFER_HANDLING_STRICT */
    struct text timezone; /* printable ASCII without quotes, 64 bytes at most; TEXT_NONE: none. Whether there is such a
                             zone is the server's to say */
};
struct prefer_mistake {
    char message[384]; /* "unknown preference `depth=3`; known are …"; printable */
};

/* `header`: all lines of Prefer, joined by commas; TEXT_NONE: none. The first valid one of a repeated preference wins.
 * return, resolution, missing, tx and max-affected are known, and change nothing about a read. What is unknown or
 * malformed is passed over, but under handling=strict (wherever it stands) STATUS_INVALID with *mistake. Texts lie
 * within `header` or in `arena`; STATUS_TOO_LARGE, with *mistake too: that is full. */
enum status prefer_read(struct text header, struct arena *arena, struct prefer *prefer,
                        struct prefer_mistake *mistake) MUST_CHECK;
/* Whether respond-async is among them (RFC 7240, 4.1). */
bool prefer_is_async(struct text header);
/* The value of Preference-Applied: what *prefer holds, as "count=exact, handling=strict, timezone=Europe/Sofia";
 * nothing for none. */
void prefer_append_applied(struct buffer *out, const struct prefer *prefer);

#endif
