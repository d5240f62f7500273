#include <zstd.h>
#include <zstd_errors.h>

#include "upload/body_private.h"

/* 128 MB: what `zstd --ultra` makes and every decoder takes. `--long=28` and above would cost as much memory as the
 * sender likes. */
#define WINDOW_LOG_MAX 27

static enum status tell(const struct body_decoder *decoder, size_t result, struct failure *failure)
{
    ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    if (code == ZSTD_error_memory_allocation)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    if (code == ZSTD_error_frameParameter_windowTooLarge)
        return failure_set(failure, STATUS_INVALID,
                           "the body's zstd needs a window above %u MB; compress it with --long=27 or less",
                           1u << (WINDOW_LOG_MAX - 20));
    if (code == ZSTD_error_dictionary_wrong)
        return failure_set(failure, STATUS_INVALID,
                           "the body's zstd was made with a dictionary; compress it without one");
    if (code == ZSTD_error_prefix_unknown && decoder->ended != 0)
        return failure_set(failure, STATUS_INVALID,
                           "the body has bytes behind its end that are no zstd; send the zstd file alone");
    if (code == ZSTD_error_prefix_unknown)
        return failure_set(failure, STATUS_INVALID,
                           "the body is not zstd, which Content-Encoding says; leave that header away, or compress it");
    return failure_set(failure, STATUS_INVALID, "the body's zstd is damaged: %s", ZSTD_getErrorName(result));
}

static enum status zstd_decode(struct body_decoder *decoder, struct text *in, char *out, size_t size, size_t *got,
                               struct failure *failure)
{
    ZSTD_inBuffer input = {in->data, in->size, 0};
    ZSTD_outBuffer output = {out, size, 0};
    *got = 0;
    if (in->size == 0 && decoder->between)
        return STATUS_OK;
    size_t result = ZSTD_decompressStream(decoder->state, &output, &input);
    if (ZSTD_isError(result))
        return tell(decoder, result, failure);
    in->data += input.pos;
    in->size -= input.pos;
    *got = output.pos;
    decoder->between = result == 0;
    if (result == 0)
        decoder->ended++;
    return STATUS_OK;
}

static void zstd_free(struct body_decoder *decoder)
{
    ZSTD_freeDStream(decoder->state);
}

bool body_zstd_open(struct body_decoder *decoder)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        ZSTD_freeDStream(stream);
        return false;
    }
    *decoder = (struct body_decoder){
        .state = stream, .decode = zstd_decode, .free = zstd_free, .between = true, .name = "zstd", .element = "frame"};
    return true;
}
