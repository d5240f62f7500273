/* Picks the members of a record's line, which is one JSON object, without memory of its own. A line may have been
 * changed by anybody: it is read exactly, and what is not JSON ends the reading.
 *
 * Texts are given raw, as they stand between their quotes, escapes included: who compares writes his own word as JSON
 * first (line_encode); what our writer wrote has one spelling. */
#ifndef SLUICE_AUDIT_LINE_H
#define SLUICE_AUDIT_LINE_H

#include "base/buffer.h"

#define LINE_DEPTH_MAX 8 /* of objects and arrays within the line's own */

enum line_kind { LINE_TEXT, LINE_NUMBER, LINE_OTHER /* true, false, null, and all of an object or array */ };

struct line_member {
    struct text name; /* raw */
    enum line_kind kind;
    struct text value; /* raw; LINE_TEXT: without its quotes */
};
struct line_cursor {
    const char *at, *end;
    bool begun, bad;
};
/* `line`: with its LF or without. */
struct line_cursor line_begin(struct text line);
/* The next member. False: no more; `cursor->bad` tells whether the line is no JSON object, from there on. */
bool line_next(struct line_cursor *cursor, struct line_member *member) MUST_CHECK;

/* The first member of that name and kind. */
bool line_text(struct text line, const char *name, struct text *raw) MUST_CHECK;
/* A whole number without sign; false as well when it does not fit. */
bool line_number(struct text line, const char *name, uint64_t *value) MUST_CHECK;
bool line_is_number(struct text digits, uint64_t *value) MUST_CHECK;

/* Appends `word` as a JSON text's inside: what line_text gives for it. */
void line_encode(struct buffer *out, struct text word);

#endif
