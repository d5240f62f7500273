/* Opaque keyset cursors: base64url(payload || HMAC-SHA-256(key, purpose || payload) cut to 16 bytes). Tamper-proof,
 * bound to their purpose. */
#ifndef SLUICE_QUERY_CURSOR_H
#define SLUICE_QUERY_CURSOR_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

#define CURSOR_MAX_VALUES 40
/* Bytes of all values of a cursor together, with a few bytes for each; larger ones cannot be written. */
#define CURSOR_MAX_SIZE 65536
struct cursor {
    struct text values[CURSOR_MAX_VALUES]; /* the last row's order key, text form; data == NULL: null */
    size_t count;
};
/* `purpose` says what the cursor is for, so that it fits nowhere else: operation, filters, order, customer. */
void cursor_append(struct buffer *out, struct text key, struct text purpose, const struct cursor *cursor);
/* STATUS_INVALID: not made by us, for another purpose, or changed. Values are copied into `arena`. */
enum status cursor_parse(struct text text, struct text key, struct text purpose, struct arena *arena,
                         struct cursor *cursor) MUST_CHECK;

#endif
