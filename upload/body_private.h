/* What the files of a body share. Nobody else includes this. */
#ifndef SLUICE_UPLOAD_BODY_PRIVATE_H
#define SLUICE_UPLOAD_BODY_PRIVATE_H

#include "upload/body.h"

/* A decoder of one coding: takes from *in, puts into `out`. */
struct body_decoder {
    void *state; /* the library's; owned */
    /* STATUS_OK: *got bytes came out, *in lost what was taken. Called with an empty *in where the last call filled
     * `out`: more may be waiting inside. STATUS_INVALID: not of this coding, or damaged. */
    enum status (*decode)(struct body_decoder *decoder, struct text *in, char *out, size_t size, size_t *got,
                          struct failure *failure);
    void (*free)(struct body_decoder *decoder);
    bool between;        /* members or frames: the body may end here */
    uint64_t ended;      /* members or frames that came to their end */
    const char *name;    /* of the coding, for words */
    const char *element; /* "member", "frame" */
};
/* False: out of memory. */
bool body_gzip_open(struct body_decoder *decoder) MUST_CHECK;
bool body_zstd_open(struct body_decoder *decoder) MUST_CHECK;

/* The digests that a caller told. */
struct body_told_digests {
    bool has_sha256, has_sha512;
    unsigned char sha256[32], sha512[64];
};
/* RFC 9530's Content-Digest: a dictionary of structured fields (RFC 8941), with the items of RFC 9651 too. */
enum status body_digests_parse(struct text header, struct body_told_digests *told, struct failure *failure) MUST_CHECK;

#endif
