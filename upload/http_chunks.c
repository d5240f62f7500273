#include "upload/http_head.h"
#include "upload/http_private.h"

#define DIGITS_MAX 15    /* what comes never passes 2^60: no sum of sizes overflows */
#define TRAILER_MAX 8192 /* bytes of extensions and trailers, over the whole body */

enum {
    SIZE_FIRST, /* zero: where a zeroed structure begins */
    SIZE,
    SPACE, /* behind the size: nothing but the semicolon of an extension may follow */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE_FIRST, /* of a trailer, or of the empty line */
    NAME,
    VALUE,
    VALUE_LF,
    LAST_LF,
    DONE,
    BROKEN
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int on_size(struct http_chunks *chunks, char c)
{
    int digit = hex(c);
    if (digit >= 0 && chunks->state != SPACE) {
        if (chunks->state == SIZE_FIRST)
            chunks->left = chunks->digits = 0;
        if (++chunks->digits > DIGITS_MAX)
            return BROKEN;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return SIZE;
    }
    if (chunks->state == SIZE_FIRST)
        return BROKEN;
    if (c == ';')
        return EXTENSION;
    if (c == ' ' || c == '\t')
        return SPACE;
    return c == '\r' && chunks->state == SIZE ? SIZE_LF : BROKEN;
}

static int on_line_first(char c)
{
    if (c == '\r')
        return LAST_LF;
    return http_is_token_byte(c) ? NAME : BROKEN;
}

/* The state after one byte of framing. */
static int step(struct http_chunks *chunks, char c)
{
    switch (chunks->state) {
    case SIZE_FIRST:
    case SIZE:
    case SPACE:
        return on_size(chunks, c);
    case EXTENSION:
        return c == '\r' ? SIZE_LF : http_is_value_byte(c) ? EXTENSION : BROKEN;
    case SIZE_LF:
        return c != '\n' ? BROKEN : chunks->left != 0 ? DATA : LINE_FIRST;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BROKEN;
    case DATA_LF:
        return c == '\n' ? SIZE_FIRST : BROKEN;
    case LINE_FIRST:
        return on_line_first(c);
    case NAME:
        return c == ':' ? VALUE : http_is_token_byte(c) ? NAME : BROKEN;
    case VALUE:
        return c == '\r' ? VALUE_LF : http_is_value_byte(c) ? VALUE : BROKEN;
    case VALUE_LF:
        return c == '\n' ? LINE_FIRST : BROKEN;
    case LAST_LF:
        return c == '\n' ? DONE : BROKEN;
    default:
        return BROKEN;
    }
}

static bool is_bounded(const struct http_chunks *chunks)
{
    return chunks->state == SPACE || chunks->state == EXTENSION || chunks->state == NAME || chunks->state == VALUE;
}

enum status http_chunks_decode(struct http_chunks *chunks, char *data, size_t size, size_t *kept, size_t *used,
                               bool *done)
{
    size_t in = 0, out = 0;
    while (in < size && chunks->state != DONE && chunks->state != BROKEN) {
        if (chunks->state != DATA) {
            chunks->state = step(chunks, data[in++]);
            if (is_bounded(chunks) && ++chunks->trailer > TRAILER_MAX)
                chunks->state = BROKEN;
            continue;
        }
        size_t piece = size - in < chunks->left ? size - in : (size_t)chunks->left;
        if (out != in)
            memmove(data + out, data + in, piece);
        in += piece;
        out += piece;
        chunks->left -= piece;
        if (chunks->left == 0)
            chunks->state = DATA_CR;
    }
    *kept = out;
    *used = in;
    *done = chunks->state == DONE;
    return chunks->state == BROKEN ? STATUS_INVALID : STATUS_OK;
}
