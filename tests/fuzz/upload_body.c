/* Any bytes as a body of each coding, and as a Content-Digest: what comes out does not depend on how the bytes came, is
 * bounded, and no more memory is taken than the limits say. The first byte chooses coding and piece. */
#include "upload/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPANDED ((size_t)3 << 20)

struct pieces {
    struct text rest;
    size_t piece;
};

static enum status read_piece(void *context, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct pieces *pieces = context;
    (void)failure;
    *got = size < pieces->piece ? size : pieces->piece;
    if (*got > pieces->rest.size)
        *got = pieces->rest.size;
    if (*got != 0)
        memcpy(out, pieces->rest.data, *got);
    pieces->rest.data += *got;
    pieces->rest.size -= *got;
    return STATUS_OK;
}

struct outcome {
    enum status status;
    struct buffer out;
    unsigned char digest[32];
};

static void run(struct outcome *outcome, struct text bytes, enum body_coding coding, size_t piece, size_t step)
{
    static const struct body_limits limits = {.size = 1 << 20, .expanded = EXPANDED, .expansion = 1000};
    struct pieces pieces = {bytes, piece};
    struct body_source source = {read_piece, &pieces};
    struct body *body = NULL;
    struct failure failure = {0};
    size_t got = 0;
    *outcome = (struct outcome){0};
    buffer_init(&outcome->out, EXPANDED + step);
    if (body_open(&source, coding, &limits, TEXT_NONE, &body, &failure) != STATUS_OK)
        abort();
    do {
        char *room = buffer_reserve(&outcome->out, step);
        if (room == NULL)
            abort();
        outcome->status = body_read(body, room, step, &got, &failure);
        outcome->out.size += got;
    } while (outcome->status == STATUS_OK && got != 0);
    if ((outcome->status != STATUS_OK) != (failure.message[0] != '\0') || outcome->out.size > EXPANDED)
        abort();
    if (outcome->status == STATUS_OK && (body_raw_size(body) != bytes.size || body_size(body) != outcome->out.size))
        abort();
    body_digest(body, outcome->digest);
    body_close(body);
}

static void check_digest_header(struct text header)
{
    struct body_memory memory = {TEXT("")};
    struct body_source source = body_source_memory(&memory);
    const struct body_limits limits = {.size = 10, .expanded = 10};
    struct body *body = NULL;
    struct failure failure = {0};
    char byte;
    size_t got;
    enum status status = body_open(&source, BODY_IDENTITY, &limits, header, &body, &failure);
    if (status == STATUS_OK)
        status = body_read(body, &byte, 1, &got, &failure);
    if (status != STATUS_OK && status != STATUS_INVALID)
        abort();
    body_close(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct text bytes = text_of((const char *)data + 1, size - 1);
    enum body_coding coding = data[0] % 4 % 3;
    if (data[0] % 4 == 3) {
        check_digest_header(bytes);
        return 0;
    }
    struct outcome whole, cut;
    run(&whole, bytes, coding, 1 << 20, 1 << 16);
    run(&cut, bytes, coding, 1 + data[0] / 4, 1000);
    /* How much went in when so much had come out depends on the pieces: a ratio near the limit may be met by one only.
     */
    bool at_limit = whole.status == STATUS_TOO_LARGE || cut.status == STATUS_TOO_LARGE;
    if (!at_limit && whole.status != cut.status)
        abort();
    if (!at_limit && whole.status == STATUS_OK &&
        (!text_equal(buffer_text(&whole.out), buffer_text(&cut.out)) || memcmp(whole.digest, cut.digest, 32) != 0))
        abort();
    buffer_free(&whole.out);
    buffer_free(&cut.out);
    return 0;
}
