#include "upload/body.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/hash.h"
#include "upload/body_private.h"

#define INPUT_SIZE ((size_t)64 << 10)
#define EXPANSION_FROM ((uint64_t)1 << 20) /* bytes out: before, a high ratio is nothing but a small file */

struct body {
    struct body_source source;
    struct body_limits limits;
    struct body_decoder decoder; /* decode NULL: identity */
    char *input;                 /* raw bytes that the decoder has not taken */
    struct text waiting;         /* within `input` */
    bool source_ended, ended, filled /* the last call's room: more may wait inside the decoder */;
    uint64_t raw_size, size;
    EVP_MD_CTX *sha256, *sha512; /* sha512: only where it was told */
    struct body_told_digests told;
    unsigned char digest[32];
    enum status status; /* other than OK: how it ended, and how each later call ends */
    struct failure failure;
};

static enum status read_memory(void *context, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct body_memory *memory = context;
    (void)failure;
    *got = size < memory->rest.size ? size : memory->rest.size;
    if (*got != 0)
        memcpy(out, memory->rest.data, *got);
    memory->rest.data += *got;
    memory->rest.size -= *got;
    return STATUS_OK;
}

struct body_source body_source_memory(struct body_memory *memory)
{
    return (struct body_source){read_memory, memory};
}

bool body_coding_named(struct text header, enum body_coding *coding)
{
    struct text name = text_trim(header);
    if (header.data == NULL || text_equal_ignoring_case(name, TEXT("identity")))
        *coding = BODY_IDENTITY;
    else if (text_equal_ignoring_case(name, TEXT("gzip")) || text_equal_ignoring_case(name, TEXT("x-gzip")))
        *coding = BODY_GZIP;
    else if (text_equal_ignoring_case(name, TEXT("zstd")))
        *coding = BODY_ZSTD;
    else
        return false;
    return true;
}

static EVP_MD_CTX *digest_begin(const EVP_MD *kind)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (digest != NULL && EVP_DigestInit_ex(digest, kind, NULL) == 1)
        return digest;
    EVP_MD_CTX_free(digest);
    return NULL;
}

static bool begin(struct body *body, enum body_coding coding)
{
    body->sha256 = digest_begin(EVP_sha256());
    if (body->sha256 == NULL)
        return false;
    if (body->told.has_sha512 && (body->sha512 = digest_begin(EVP_sha512())) == NULL)
        return false;
    if (coding == BODY_IDENTITY)
        return true;
    body->input = malloc(INPUT_SIZE);
    return body->input != NULL &&
           (coding == BODY_GZIP ? body_gzip_open(&body->decoder) : body_zstd_open(&body->decoder));
}

enum status body_open(const struct body_source *source, enum body_coding coding, const struct body_limits *limits,
                      struct text digest, struct body **out, struct failure *failure)
{
    struct body_told_digests told = {0};
    enum status status = digest.data != NULL ? body_digests_parse(digest, &told, failure) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    struct body *body = calloc(1, sizeof(*body));
    if (body == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    body->source = *source;
    body->limits = *limits;
    body->told = told;
    if (!begin(body, coding)) {
        body_close(body);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    *out = body;
    return STATUS_OK;
}

/* Raw bytes, counted and digested. The one byte above the limit is asked for, to tell "at" from "above". */
static enum status read_raw(struct body *body, char *out, size_t size, size_t *got)
{
    uint64_t room = body->limits.size - body->raw_size;
    if (room < size)
        size = (size_t)room + 1;
    enum status status = body->source.read(body->source.context, out, size, got, &body->failure);
    if (status != STATUS_OK)
        return status;
    if (*got == 0) {
        body->source_ended = true;
        return STATUS_OK;
    }
    if (*got > room)
        return failure_set(&body->failure, STATUS_TOO_LARGE, "the body is larger than %llu bytes, the most taken here",
                           (unsigned long long)body->limits.size);
    body->raw_size += *got;
    if (EVP_DigestUpdate(body->sha256, out, *got) != 1 ||
        (body->sha512 != NULL && EVP_DigestUpdate(body->sha512, out, *got) != 1))
        return failure_set(&body->failure, STATUS_FAILED, "the body's digest cannot be computed");
    return STATUS_OK;
}

static enum status check_end(struct body *body)
{
    const struct body_decoder *decoder = &body->decoder;
    if (decoder->decode == NULL)
        return STATUS_OK;
    if (body->raw_size == 0)
        return failure_set(&body->failure, STATUS_INVALID, "the body is empty, and Content-Encoding says that it is %s",
                           decoder->name);
    if (!decoder->between && decoder->ended != 0)
        return failure_set(&body->failure, STATUS_INVALID,
                           "the body ends within %s %llu of its %s: it was cut, or has bytes behind its end; send it "
                           "whole",
                           decoder->element, (unsigned long long)decoder->ended + 1, decoder->name);
    if (!decoder->between)
        return failure_set(&body->failure, STATUS_INVALID, "the body's %s was cut before its end; send it whole",
                           decoder->name);
    return STATUS_OK;
}

static enum status check_digests(struct body *body)
{
    unsigned char sha512[64];
    const char *wrong = NULL;
    if (EVP_DigestFinal_ex(body->sha256, body->digest, NULL) != 1 ||
        (body->sha512 != NULL && EVP_DigestFinal_ex(body->sha512, sha512, NULL) != 1))
        return failure_set(&body->failure, STATUS_FAILED, "the body's digest cannot be computed");
    if (body->told.has_sha256 && !hash_equal(body->told.sha256, body->digest, sizeof(body->digest)))
        wrong = "sha-256";
    else if (body->sha512 != NULL && !hash_equal(body->told.sha512, sha512, sizeof(sha512)))
        wrong = "sha-512";
    if (wrong == NULL)
        return STATUS_OK;
    return failure_set(&body->failure, STATUS_INVALID,
                       "Content-Digest's %s is not that of the %llu bytes that came: the body was changed on its way, "
                       "or the digest is of other bytes (it is taken after Content-Encoding)",
                       wrong, (unsigned long long)body->raw_size);
}

static enum status finish(struct body *body)
{
    enum status status = check_end(body);
    if (status == STATUS_OK)
        status = check_digests(body);
    body->ended = status == STATUS_OK;
    return status;
}

static enum status check_expansion(struct body *body)
{
    uint64_t taken = body->raw_size - body->waiting.size;
    if (body->size > body->limits.expanded)
        return failure_set(&body->failure, STATUS_TOO_LARGE,
                           "the body is larger than %llu bytes once its Content-Encoding is off, the most taken here",
                           (unsigned long long)body->limits.expanded);
    if (body->decoder.decode != NULL && body->limits.expansion != 0 && body->size > EXPANSION_FROM &&
        body->size > taken * body->limits.expansion)
        return failure_set(&body->failure, STATUS_TOO_LARGE,
                           "the body's %llu bytes of %s become %llu and more: above %u to 1 it is taken for an attack; "
                           "send it without Content-Encoding",
                           (unsigned long long)taken, body->decoder.name, (unsigned long long)body->size,
                           body->limits.expansion);
    return STATUS_OK;
}

/* Until something comes out, or nothing goes in any more. */
static enum status read_decoded(struct body *body, char *out, size_t size, size_t *got)
{
    struct body_decoder *decoder = &body->decoder;
    for (;;) {
        if (body->waiting.size != 0 || body->filled) {
            enum status status = decoder->decode(decoder, &body->waiting, out, size, got, &body->failure);
            body->filled = status == STATUS_OK && *got == size;
            if (status != STATUS_OK || *got != 0)
                return status;
        }
        if (body->waiting.size != 0)
            continue;
        if (body->source_ended) {
            *got = 0;
            return STATUS_OK;
        }
        size_t came = 0;
        enum status status = read_raw(body, body->input, INPUT_SIZE, &came);
        if (status != STATUS_OK)
            return status;
        body->waiting = text_of(body->input, came);
    }
}

static enum status read_some(struct body *body, char *out, size_t size, size_t *got)
{
    enum status status =
        body->decoder.decode != NULL ? read_decoded(body, out, size, got) : read_raw(body, out, size, got);
    if (status != STATUS_OK)
        return status;
    if (*got == 0)
        return finish(body);
    body->size += *got;
    return check_expansion(body);
}

enum status body_read(struct body *body, char *out, size_t size, size_t *got, struct failure *failure)
{
    if (size > (size_t)1 << 30)
        size = (size_t)1 << 30; /* zlib counts in 32 bits */
    *got = 0;
    if (body->status == STATUS_OK && !body->ended && size != 0)
        body->status = read_some(body, out, size, got);
    if (body->status != STATUS_OK) {
        *got = 0;
        if (failure != NULL)
            *failure = body->failure;
    }
    return body->status;
}

uint64_t body_raw_size(const struct body *body)
{
    return body->raw_size;
}

uint64_t body_size(const struct body *body)
{
    return body->size;
}

void body_digest(const struct body *body, unsigned char out[32])
{
    memcpy(out, body->digest, sizeof(body->digest));
}

void body_close(struct body *body)
{
    if (body == NULL)
        return;
    if (body->decoder.free != NULL)
        body->decoder.free(&body->decoder);
    EVP_MD_CTX_free(body->sha256);
    EVP_MD_CTX_free(body->sha512);
    free(body->input);
    free(body);
}
