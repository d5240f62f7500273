#include "upload/body.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/hash.h"

static struct failure failure;
static const struct body_limits limits = {.size = 1 << 20, .expanded = 64 << 20, .expansion = 1000};
static struct buffer packed, out;

static int set_up(void **state)
{
    failure = (struct failure){0};
    buffer_init(&packed, 64 << 20);
    buffer_init(&out, 128 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buffer_free(&packed);
    buffer_free(&out);
    return 0;
}

static void gzip(struct text text)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t most = deflateBound(&stream, text.size);
    char *room = buffer_reserve(&packed, most);
    assert_non_null(room);
    stream.next_in = (unsigned char *)(uintptr_t)text.data;
    stream.avail_in = (unsigned)text.size;
    stream.next_out = (unsigned char *)room;
    stream.avail_out = (unsigned)most;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.size += most - stream.avail_out;
    deflateEnd(&stream);
}

static void zstd(struct text text)
{
    size_t most = ZSTD_compressBound(text.size);
    char *room = buffer_reserve(&packed, most);
    assert_non_null(room);
    size_t size = ZSTD_compress(room, most, text.data, text.size, 3);
    assert_false(ZSTD_isError(size));
    packed.size += size;
}

/* A source that hands out its bytes in pieces, and then ends with a status. */
struct pieces {
    struct text rest;
    size_t piece;
    enum status end;
};

static enum status read_piece(void *context, char *into, size_t size, size_t *got, struct failure *why)
{
    struct pieces *pieces = context;
    *got = size < pieces->piece ? size : pieces->piece;
    if (*got > pieces->rest.size)
        *got = pieces->rest.size;
    if (*got == 0 && pieces->end != STATUS_OK)
        return failure_set(why, pieces->end, "the sender is gone");
    if (*got != 0)
        memcpy(into, pieces->rest.data, *got);
    pieces->rest.data += *got;
    pieces->rest.size -= *got;
    return STATUS_OK;
}

static enum status read_all(struct pieces *pieces, enum body_coding coding, const struct body_limits *bounds,
                            struct text digest, size_t step, unsigned char sha256[32])
{
    struct body *body = NULL;
    struct body_source source = {read_piece, pieces};
    size_t got = 0;
    buffer_clear(&out);
    enum status status = body_open(&source, coding, bounds, digest, &body, &failure);
    if (status != STATUS_OK)
        return status;
    do {
        char *room = buffer_reserve(&out, step);
        assert_non_null(room);
        status = body_read(body, room, step, &got, &failure);
        assert_true(got <= step);
        out.size += got;
    } while (status == STATUS_OK && got != 0);
    assert_int_equal(body_read(body, (char[1]){0}, 1, &got, &failure), status); /* it stays at its end */
    assert_int_equal(got, 0);
    if (status == STATUS_OK)
        assert_int_equal(body_size(body), out.size);
    if (sha256 != NULL)
        body_digest(body, sha256);
    body_close(body);
    return status;
}

static enum status decode(struct text bytes, enum body_coding coding)
{
    return read_all(&(struct pieces){.rest = bytes, .piece = 65536}, coding, &limits, TEXT_NONE, 4096, NULL);
}

static void assert_out(struct text expected)
{
    assert_int_equal(out.size, expected.size);
    if (expected.size != 0)
        assert_memory_equal(out.data, expected.data, expected.size);
}

static void assert_said(const char *words)
{
    if (strstr(failure.message, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", failure.message, words);
}

static void a_coding_is_named_alone_or_not_at_all(void **state)
{
    enum body_coding coding = BODY_ZSTD;
    assert_true(body_coding_named(TEXT_NONE, &coding));
    assert_int_equal(coding, BODY_IDENTITY);
    assert_true(body_coding_named(TEXT(" GZip\t"), &coding));
    assert_int_equal(coding, BODY_GZIP);
    assert_true(body_coding_named(TEXT("x-gzip"), &coding));
    assert_true(body_coding_named(TEXT("zstd"), &coding));
    assert_int_equal(coding, BODY_ZSTD);
    assert_true(body_coding_named(TEXT("identity"), &coding));
    assert_int_equal(coding, BODY_IDENTITY);
    assert_false(body_coding_named(TEXT(""), &coding));
    assert_false(body_coding_named(TEXT("gzip, gzip"), &coding));
    assert_false(body_coding_named(TEXT("br"), &coding));
    assert_false(body_coding_named(TEXT("deflate"), &coding));
}

static void bodies_come_out_whatever_the_pieces_are(void **state)
{
    static const size_t steps[] = {1, 2, 7, 100, 65536};
    static char text[5000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i * i % 23);
    for (int coding = BODY_IDENTITY; coding <= BODY_ZSTD; coding++)
        for (size_t in = 0; in < 5; in++)
            for (size_t step = 0; step < 5; step++) {
                struct text half = text_of(text, 2500), rest = text_of(text + 2500, 2500);
                unsigned char told[32], expected[32];
                buffer_clear(&packed);
                if (coding == BODY_IDENTITY)
                    buffer_append(&packed, text, sizeof(text));
                else /* two members, two frames */
                    (coding == BODY_GZIP ? gzip : zstd)(half), (coding == BODY_GZIP ? gzip : zstd)(rest);
                struct pieces pieces = {.rest = buffer_text(&packed), .piece = steps[in]};
                assert_int_equal(read_all(&pieces, (enum body_coding)coding, &limits, TEXT_NONE, steps[step], told),
                                 STATUS_OK);
                assert_out(text_of(text, sizeof(text)));
                hash_sha256(buffer_text(&packed), expected);
                assert_memory_equal(told, expected, 32);
            }
}

static void the_memory_source_hands_out_all(void **state)
{
    struct body_memory memory = {TEXT("some bytes")};
    struct body_source source = body_source_memory(&memory);
    struct body *body = NULL;
    char bytes[32];
    size_t got = 0;
    assert_int_equal(body_open(&source, BODY_IDENTITY, &limits, TEXT_NONE, &body, &failure), STATUS_OK);
    assert_int_equal(body_read(body, bytes, 4, &got, &failure), STATUS_OK);
    assert_int_equal(got, 4);
    assert_int_equal(body_read(body, bytes + 4, 28, &got, &failure), STATUS_OK);
    assert_int_equal(got, 6);
    assert_int_equal(body_read(body, bytes, 28, &got, &failure), STATUS_OK);
    assert_int_equal(got, 0);
    assert_int_equal(body_raw_size(body), 10);
    body_close(body);
    body_close(NULL);
}

static void every_cut_of_a_packed_body_is_noticed(void **state)
{
    for (int coding = BODY_GZIP; coding <= BODY_ZSTD; coding++) {
        buffer_clear(&packed);
        (coding == BODY_GZIP ? gzip : zstd)(TEXT("first member"));
        size_t first = packed.size;
        (coding == BODY_GZIP ? gzip : zstd)(TEXT("second member"));
        for (size_t size = 0; size < packed.size; size++) {
            enum status status = decode(text_of(packed.data, size), (enum body_coding)coding);
            assert_int_equal(status, size == first ? STATUS_OK : STATUS_INVALID);
            if (size == 0)
                assert_said("is empty");
            else if (size != first)
                assert_said("cut");
        }
    }
}

static void what_stands_behind_the_end_is_noticed(void **state)
{
    for (int coding = BODY_GZIP; coding <= BODY_ZSTD; coding++)
        for (size_t size = 1; size < 40; size++) {
            buffer_clear(&packed);
            (coding == BODY_GZIP ? gzip : zstd)(TEXT("all of it"));
            buffer_append(&packed, "                                        ", size);
            assert_int_equal(decode(buffer_text(&packed), (enum body_coding)coding), STATUS_INVALID);
            assert_said("behind its end");
        }
}

static void what_is_not_of_the_coding_or_damaged_is_told(void **state)
{
    assert_int_equal(decode(TEXT("a,b,c\n1,2,3\n4,5,6\n"), BODY_GZIP), STATUS_INVALID);
    assert_said("is not gzip");
    assert_int_equal(decode(TEXT("a,b,c\n1,2,3\n4,5,6\n"), BODY_ZSTD), STATUS_INVALID);
    assert_said("is not zstd");
    gzip(TEXT("some words, some words, some words"));
    packed.data[packed.size - 6] ^= 1; /* of the checksum */
    assert_int_equal(decode(buffer_text(&packed), BODY_GZIP), STATUS_INVALID);
    assert_said("damaged");
}

/* A frame's head alone: 4 bytes of magic, a descriptor without size, a window of 2^(10 + exponent). */
static void a_window_above_128_mb_is_refused(void **state)
{
    unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00};
    assert_int_equal(decode(text_of((char *)frame, sizeof(frame)), BODY_ZSTD), STATUS_INVALID);
    assert_said("--long=27");
    frame[5] = 10 << 3;
    assert_int_equal(decode(text_of((char *)frame, sizeof(frame)), BODY_ZSTD), STATUS_OK);
    assert_int_equal(out.size, 0);
}

static void a_body_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
    const struct body_limits small = {.size = 10, .expanded = 100, .expansion = 0};
    for (size_t piece = 1; piece < 20; piece++) {
        struct pieces fits = {.rest = TEXT("0123456789"), .piece = piece};
        assert_int_equal(read_all(&fits, BODY_IDENTITY, &small, TEXT_NONE, 64, NULL), STATUS_OK);
        struct pieces above = {.rest = TEXT("0123456789a"), .piece = piece};
        assert_int_equal(read_all(&above, BODY_IDENTITY, &small, TEXT_NONE, 64, NULL), STATUS_TOO_LARGE);
        assert_said("10 bytes");
    }
    struct pieces none = {.rest = TEXT(""), .piece = 1};
    assert_int_equal(read_all(&none, BODY_IDENTITY, &small, TEXT_NONE, 64, NULL), STATUS_OK);
}

static void what_comes_out_is_bounded(void **state)
{
    struct body_limits bounds = {.size = 1 << 20, .expanded = 5000, .expansion = 0};
    static char text[5001];
    for (int coding = BODY_GZIP; coding <= BODY_ZSTD; coding++)
        for (size_t size = 5000; size <= 5001; size++) {
            buffer_clear(&packed);
            (coding == BODY_GZIP ? gzip : zstd)(text_of(text, size));
            struct pieces pieces = {.rest = buffer_text(&packed), .piece = 10};
            assert_int_equal(read_all(&pieces, (enum body_coding)coding, &bounds, TEXT_NONE, 64, NULL),
                             size == 5000 ? STATUS_OK : STATUS_TOO_LARGE);
        }
    assert_said("5000 bytes");
}

/* 1 MB may come out of anything; above, a thousandth of it must have gone in. */
static void a_bomb_is_refused_before_it_is_large(void **state)
{
    static char zeros[40 << 20];
    gzip(text_of(zeros, sizeof(zeros)));
    assert_int_equal(decode(buffer_text(&packed), BODY_GZIP), STATUS_TOO_LARGE);
    assert_said("attack");
    buffer_clear(&packed);
    zstd(text_of(zeros, sizeof(zeros)));
    assert_int_equal(decode(buffer_text(&packed), BODY_ZSTD), STATUS_TOO_LARGE);
    assert_true(out.size < 3 << 20);
    buffer_clear(&packed);
    zstd(text_of(zeros, 1 << 20));
    assert_int_equal(decode(buffer_text(&packed), BODY_ZSTD), STATUS_OK);
    const struct body_limits unlimited = {.size = 1 << 20, .expanded = 64 << 20, .expansion = 0};
    buffer_clear(&packed);
    zstd(text_of(zeros, sizeof(zeros)));
    struct pieces pieces = {.rest = buffer_text(&packed), .piece = 1000};
    assert_int_equal(read_all(&pieces, BODY_ZSTD, &unlimited, TEXT_NONE, 1 << 20, NULL), STATUS_OK);
    assert_out(text_of(zeros, sizeof(zeros)));
}

static void what_the_source_says_is_passed_on(void **state)
{
    static const enum status ends[] = {STATUS_UNAVAILABLE, STATUS_TIMEOUT, STATUS_INVALID, STATUS_TOO_LARGE};
    gzip(TEXT("some words"));
    for (size_t i = 0; i < 4; i++) {
        struct pieces plain = {.rest = TEXT("some words"), .piece = 3, .end = ends[i]};
        assert_int_equal(read_all(&plain, BODY_IDENTITY, &limits, TEXT_NONE, 64, NULL), ends[i]);
        assert_string_equal(failure.message, "the sender is gone");
        /* Also behind the end of what was packed: it was not the body's regular end. */
        struct pieces zipped = {.rest = buffer_text(&packed), .piece = 300, .end = ends[i]};
        assert_int_equal(read_all(&zipped, BODY_GZIP, &limits, TEXT_NONE, 64, NULL), ends[i]);
    }
}

static void digest_header(const EVP_MD *kind, const char *name, struct text of, char header[200])
{
    unsigned char digest[64], base64[128];
    unsigned size = 0;
    assert_int_equal(EVP_Digest(of.data, of.size, digest, &size, kind, NULL), 1);
    EVP_EncodeBlock(base64, digest, (int)size);
    snprintf(header, 200, "%s=:%s:", name, (char *)base64);
}

static void a_told_digest_is_compared_with_the_raw_bytes(void **state)
{
    char sha256[200], sha512[200], both[402];
    gzip(TEXT("some words"));
    digest_header(EVP_sha256(), "sha-256", buffer_text(&packed), sha256);
    digest_header(EVP_sha512(), "sha-512", buffer_text(&packed), sha512);
    snprintf(both, sizeof(both), "%s, %s", sha256, sha512);
    const char *const right[] = {sha256, sha512, both, "md5=:AAAA:", ""};
    for (size_t i = 0; i < 5; i++) {
        struct pieces pieces = {.rest = buffer_text(&packed), .piece = 7};
        assert_int_equal(read_all(&pieces, BODY_GZIP, &limits, text_from_string(right[i]), 64, NULL), STATUS_OK);
        assert_out(TEXT("some words"));
    }
    digest_header(EVP_sha256(), "sha-256", TEXT("some words"), sha256); /* of what comes out: the wrong one */
    struct pieces pieces = {.rest = buffer_text(&packed), .piece = 7};
    assert_int_equal(read_all(&pieces, BODY_GZIP, &limits, text_from_string(sha256), 64, NULL), STATUS_INVALID);
    assert_said("Content-Digest's sha-256");
    digest_header(EVP_sha512(), "sha-512", TEXT("other words"), sha512);
    struct pieces plain = {.rest = TEXT("some words"), .piece = 7};
    snprintf(both, sizeof(both), "%s, %s", sha256, sha512);
    assert_int_equal(read_all(&plain, BODY_IDENTITY, &limits, text_from_string(both), 64, NULL), STATUS_INVALID);
    assert_said("Content-Digest's sha-512");
}

static void a_malformed_digest_is_refused_before_anything_is_read(void **state)
{
    struct pieces pieces = {.rest = TEXT("some words"), .piece = 7};
    assert_int_equal(read_all(&pieces, BODY_IDENTITY, &limits, TEXT("sha-256=abc"), 64, NULL), STATUS_INVALID);
    assert_int_equal(pieces.rest.size, 10);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_coding_is_named_alone_or_not_at_all),
        EACH(bodies_come_out_whatever_the_pieces_are),
        EACH(the_memory_source_hands_out_all),
        EACH(every_cut_of_a_packed_body_is_noticed),
        EACH(what_stands_behind_the_end_is_noticed),
        EACH(what_is_not_of_the_coding_or_damaged_is_told),
        EACH(a_window_above_128_mb_is_refused),
        EACH(a_body_may_be_as_large_as_the_limit_and_no_larger),
        EACH(what_comes_out_is_bounded),
        EACH(a_bomb_is_refused_before_it_is_large),
        EACH(what_the_source_says_is_passed_on),
        EACH(a_told_digest_is_compared_with_the_raw_bytes),
        EACH(a_malformed_digest_is_refused_before_anything_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
