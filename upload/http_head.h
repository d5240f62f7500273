/* The head of one HTTP/1.1 request, and the framing of its body, read from a socket without h2o: for the ingest
 * listener. RFC 9112; anything ambiguous is refused: both framings, two lengths, folded lines, bare CR, a
 * Transfer-Encoding other than chunked, HTTP/1.0 with chunks. Knows no socket: fed bytes. */
#ifndef SLUICE_UPLOAD_HTTP_HEAD_H
#define SLUICE_UPLOAD_HTTP_HEAD_H

#include "base/buffer.h"

#define HTTP_HEAD_MAX ((size_t)32 << 10)
#define HTTP_HEAD_LINES 100

struct http_head_line {
    struct text name, value; /* within the head's bytes; name in lower case there */
};
struct http_head {
    struct text method, target;
    int minor; /* HTTP/1.minor: 0 or 1 */
    struct http_head_line lines[HTTP_HEAD_LINES];
    size_t line_count;
    size_t size; /* bytes of the head: the body begins there */
    bool chunked, has_length, expects_continue;
    uint64_t length;
};
enum http_head_verdict {
    HTTP_HEAD_MORE,
    HTTP_HEAD_COMPLETE,
    HTTP_HEAD_BAD,
    HTTP_HEAD_TOO_LARGE,
    HTTP_HEAD_EXPECTATION /* 417 */
};
/* `bytes` is all that came so far, and is written to (names become lower case). */
enum http_head_verdict http_head_parse(char *bytes, size_t size, struct http_head *head, const char **reason);

/* Of a method or a header's name (RFC 9110 section 5.6.2). */
bool http_head_is_token(struct text text);

/* Takes the chunks' framing off. */
struct http_chunks { /* zero it */
    int state;
    uint64_t left;            /* of the chunk */
    unsigned digits, trailer; /* bounded: 15 digits, 8 KB of extensions and trailers */
};
/* Decodes in place: *kept bytes of `data` are body afterwards; *done: the last chunk and its trailers are through, and
 * *used says how many of the bytes belonged to the body (what follows is another request: refused by the caller).
 * STATUS_INVALID: malformed. */
enum status http_chunks_decode(struct http_chunks *chunks, char *data, size_t size, size_t *kept, size_t *used,
                               bool *done) MUST_CHECK;

#endif
