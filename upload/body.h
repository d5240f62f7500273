/* The bytes of a request's body as they come, decoded: a source (memory, a socket), then gzip or zstd (RFC 9110 8.4,
 * RFC 8878), counted, bounded and digested (RFC 9530) on the way. Blocking: for the threads that load, never on a loop.
 */
#ifndef SLUICE_UPLOAD_BODY_H
#define SLUICE_UPLOAD_BODY_H

#include "base/buffer.h"

/* Where raw bytes come from: the body's framing (Content-Length, chunks) is off already. */
struct body_source {
    /* Up to `size` bytes into `out`, waiting for the first; *got 0: the body's regular end. STATUS_UNAVAILABLE: the
     * sender is gone (cut before its end); STATUS_TIMEOUT: too slow, or past its deadline; STATUS_INVALID: the chunks
     * are malformed; STATUS_TOO_LARGE: longer than allowed. */
    enum status (*read)(void *context, char *out, size_t size, size_t *got, struct failure *failure);
    void *context;
};
struct body_memory { /* a source over memory */
    struct text rest;
};
struct body_source body_source_memory(struct body_memory *memory);

enum body_coding { BODY_IDENTITY, BODY_GZIP, BODY_ZSTD };
/* Content-Encoding: identity, gzip, x-gzip, zstd; absent: identity. False: another, or more than one. */
bool body_coding_named(struct text header, enum body_coding *coding) MUST_CHECK;

struct body_limits {
    uint64_t size;      /* bytes of the raw body */
    uint64_t expanded;  /* bytes that come out of decoding */
    unsigned expansion; /* out / in, looked at past 1 MB out; 0: no limit */
};
struct body;
/* `digest`: the Content-Digest header (a dictionary: sha-256=:…:, sha-512=:…:; unknown algorithms passed over) or
 * TEXT_NONE; of the raw bytes as sent. STATUS_INVALID: malformed header. The sha-256 is computed always. */
enum status body_open(const struct body_source *source, enum body_coding coding, const struct body_limits *limits,
                      struct text digest, struct body **body, struct failure *failure) MUST_CHECK;
/* As a source reads: *got 0 at the end, when the digest has been compared (STATUS_INVALID: it differs) and the coding
 * has ended as it must (STATUS_INVALID: cut, or bytes behind it). Concatenated gzip members and zstd frames are one
 * body. */
enum status body_read(struct body *body, char *out, size_t size, size_t *got, struct failure *failure) MUST_CHECK;
uint64_t body_raw_size(const struct body *body);
uint64_t body_size(const struct body *body); /* decoded so far */
/* After the end: sha-256 of the raw bytes as sent. */
void body_digest(const struct body *body, unsigned char out[32]);
void body_close(struct body *body);

#endif
