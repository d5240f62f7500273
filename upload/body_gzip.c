#include <stdlib.h>
#include <zlib.h>

#include "upload/body_private.h"

#define GZIP_WINDOW 31 /* 15 bits, and 16 for gzip's own header and nothing else */

static enum status tell(const struct body_decoder *decoder, int result, struct failure *failure)
{
    const z_stream *stream = decoder->state;
    const char *words = stream->msg != NULL ? stream->msg : "it does not decode";
    if (result == Z_MEM_ERROR)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    if (strcmp(words, "incorrect header check") != 0)
        return failure_set(failure, STATUS_INVALID, "the body's gzip is damaged: %s", words);
    if (decoder->ended != 0)
        return failure_set(failure, STATUS_INVALID,
                           "the body has bytes behind its end that are no gzip; send the gzip file alone");
    return failure_set(failure, STATUS_INVALID,
                       "the body is not gzip, which Content-Encoding says; leave that header away, or compress it");
}

static enum status gzip_decode(struct body_decoder *decoder, struct text *in, char *out, size_t size, size_t *got,
                               struct failure *failure)
{
    z_stream *stream = decoder->state;
    int result = Z_OK;
    if (in->size != 0 && decoder->between && inflateReset(stream) != Z_OK)
        return failure_set(failure, STATUS_FAILED, "zlib cannot begin a member");
    stream->next_in = (unsigned char *)(uintptr_t)in->data;
    stream->avail_in = (unsigned)in->size;
    stream->next_out = (unsigned char *)out;
    stream->avail_out = (unsigned)size;
    if (in->size != 0 || !decoder->between) {
        result = inflate(stream, Z_NO_FLUSH);
        decoder->between = false;
    }
    *got = size - stream->avail_out;
    in->data += in->size - stream->avail_in;
    in->size = stream->avail_in;
    if (result == Z_STREAM_END) {
        decoder->between = true;
        decoder->ended++;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return tell(decoder, result, failure);
    }
    return STATUS_OK;
}

static void gzip_free(struct body_decoder *decoder)
{
    inflateEnd(decoder->state);
    free(decoder->state);
}

bool body_gzip_open(struct body_decoder *decoder)
{
    z_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL || inflateInit2(stream, GZIP_WINDOW) != Z_OK) {
        free(stream);
        return false;
    }
    *decoder = (struct body_decoder){.state = stream,
                                     .decode = gzip_decode,
                                     .free = gzip_free,
                                     .between = true,
                                     .name = "gzip",
                                     .element = "member"};
    return true;
}
