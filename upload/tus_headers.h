/* The headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload): how resumable uploads say their length, where
 * they are, what a piece's digest is, and what they are about. */
#ifndef SLUICE_UPLOAD_TUS_HEADERS_H
#define SLUICE_UPLOAD_TUS_HEADERS_H

#include "base/arena.h"
#include "base/status.h"

#define TUS_METADATA_MAX 4096 /* bytes of the header */
#define TUS_METADATA_PAIRS 32
#define TUS_DIGEST_MAX 32 /* bytes */

/* Upload-Length, Upload-Offset: decimal digits, nothing else, at most 2^63 - 1. */
bool tus_headers_number(struct text header, uint64_t *value) MUST_CHECK;

struct tus_pair {
    struct text key, value; /* value decoded: UTF-8 without NUL, maybe empty */
};
struct tus_metadata { /* in the order of the header */
    struct tus_pair pairs[TUS_METADATA_PAIRS];
    size_t count;
};
/* Upload-Metadata: "key base64,key base64,…"; a key alone has the empty value. Values are allocated in `arena`, with a
 * NUL behind; keys point into the header. STATUS_INVALID: too long, too many, a key that is empty, repeated or not of
 * visible ASCII, a value that is no base64 (RFC 4648 section 4, padded) of UTF-8. TEXT_NONE gives none. */
enum status tus_headers_metadata(struct text header, struct arena *arena, struct tus_metadata *metadata,
                                 struct failure *failure) MUST_CHECK;
/* data == NULL: no such key. */
struct text tus_headers_value(const struct tus_metadata *metadata, struct text key);

enum tus_algorithm { TUS_NONE, TUS_SHA1, TUS_SHA256 };
struct tus_checksum {
    enum tus_algorithm algorithm;
    unsigned char digest[TUS_DIGEST_MAX];
    size_t size; /* 20 or 32 */
};
#define TUS_ALGORITHMS "sha1,sha256"
/* Upload-Checksum: "sha1 base64". TEXT_NONE gives TUS_NONE. STATUS_INVALID: malformed, or an algorithm that is not
 * offered (says which are). */
enum status tus_headers_checksum(struct text header, struct tus_checksum *checksum, struct failure *failure) MUST_CHECK;

#endif
