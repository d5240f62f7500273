#include "api/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#define LEVEL 5        /* past it JSON and CSV shrink little more for much more time */
#define GZIP_WINDOW 31 /* 15 bits, and 16 for gzip's own header */
#define STEP 16384     /* bytes of output asked for at a time */

struct gzip {
    z_stream stream;
};

struct gzip *gzip_open(void)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    if (gzip != NULL && deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        gzip = NULL;
    }
    return gzip;
}

void gzip_close(struct gzip *gzip)
{
    deflateEnd(&gzip->stream);
    free(gzip);
}

bool gzip_stream(struct gzip *gzip, struct text part, bool last, struct buffer *out)
{
    gzip->stream.next_in = (unsigned char *)(uintptr_t)part.data;
    gzip->stream.avail_in = (unsigned)part.size;
    do {
        unsigned char *room = (unsigned char *)buffer_reserve(out, STEP);
        if (room == NULL)
            return false;
        gzip->stream.next_out = room;
        gzip->stream.avail_out = STEP;
        if (deflate(&gzip->stream, last ? Z_FINISH : Z_SYNC_FLUSH) == Z_STREAM_ERROR)
            return false;
        out->size += STEP - gzip->stream.avail_out;
    } while (gzip->stream.avail_out == 0);
    return true;
}

bool gzip_whole(struct text body, struct buffer *out)
{
    size_t before = out->size;
    struct gzip *gzip = gzip_open();
    if (gzip == NULL)
        return false;
    bool packed = gzip_stream(gzip, body, true, out) && out->size - before < body.size;
    gzip_close(gzip);
    if (!packed) {
        out->size = before;
        out->failed = false;
    }
    return packed;
}
