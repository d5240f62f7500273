/* gzip (RFC 1952) by zlib. */
#ifndef SLUICE_API_GZIP_H
#define SLUICE_API_GZIP_H

#include "base/buffer.h"

/* Appends the whole of `body`, compressed. False, with the buffer as it was, when it does not fit the ceiling or would
 * not be smaller. */
bool gzip_whole(struct text body, struct buffer *out) MUST_CHECK;

struct gzip;                  /* about 256 KB */
struct gzip *gzip_open(void); /* NULL: out of memory */
/* Appends what `part` becomes; everything given so far can be unpacked from what has come out. `last`: ends the gzip
 * file. False: the buffer's ceiling was reached. */
bool gzip_stream(struct gzip *gzip, struct text part, bool last, struct buffer *out) MUST_CHECK;
void gzip_close(struct gzip *gzip);

#endif
