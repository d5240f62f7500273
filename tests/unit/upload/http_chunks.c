#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "upload/http_head.h"

struct decoded {
    char body[65536];
    size_t size, used;
    bool done;
    enum status status;
};
static struct decoded decoded;

static void decode(struct text framed, size_t piece_size)
{
    struct http_chunks chunks = {0};
    static char piece[65536];
    decoded = (struct decoded){0};
    while (framed.size != 0 && decoded.status == STATUS_OK && !decoded.done) {
        size_t size = framed.size < piece_size ? framed.size : piece_size, kept = 0, used = 0;
        memcpy(piece, framed.data, size);
        decoded.status = http_chunks_decode(&chunks, piece, size, &kept, &used, &decoded.done);
        assert_true(kept <= used && used <= size);
        memcpy(decoded.body + decoded.size, piece, kept);
        decoded.size += kept;
        decoded.used += used;
        framed.data += size;
        framed.size -= size;
    }
}

static void assert_decodes(struct text framed, struct text body, size_t behind)
{
    for (size_t piece = 1; piece <= framed.size; piece++) {
        decode(framed, piece);
        assert_int_equal(decoded.status, STATUS_OK);
        assert_true(decoded.done);
        assert_int_equal(decoded.size, body.size);
        assert_memory_equal(decoded.body, body.data, body.size);
        assert_int_equal(decoded.used, framed.size - behind);
    }
}

static void assert_malformed(struct text framed)
{
    for (size_t piece = 1; piece <= framed.size; piece++) {
        decode(framed, piece);
        if (decoded.status != STATUS_INVALID)
            fail_msg("taken: %.*s", TEXT_ARGS(framed));
    }
}

static void chunks_are_decoded_however_they_are_cut(void **state)
{
    assert_decodes(TEXT("0\r\n\r\n"), TEXT(""), 0);
    assert_decodes(TEXT("5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\n"), TEXT("hello 0123456789"), 0);
    assert_decodes(TEXT("2\r\n\r\n\r\n000\r\n\r\nGET / HTTP"), TEXT("\r\n"), 10);
    assert_decodes(TEXT("3;a=b;c=\"d e\"\r\nabc\r\n1 ; x\r\nd\r\n0;last\r\nDigest: x\r\nB:\r\n\r\n"), TEXT("abcd"), 0);
}

static void an_end_is_an_end(void **state)
{
    struct http_chunks chunks = {0};
    char bytes[] = "0\r\n\r\nmore";
    size_t kept, used;
    bool done;
    assert_int_equal(http_chunks_decode(&chunks, bytes, 9, &kept, &used, &done), STATUS_OK);
    assert_true(done);
    assert_int_equal(used, 5);
    assert_int_equal(http_chunks_decode(&chunks, bytes, 9, &kept, &used, &done), STATUS_OK);
    assert_true(done);
    assert_int_equal(used, 0);
    decode(TEXT("5\r\nhell"), 3);
    assert_int_equal(decoded.status, STATUS_OK);
    assert_false(decoded.done);
}

static void what_others_may_read_otherwise_is_malformed(void **state)
{
    assert_malformed(TEXT("\r\n"));
    assert_malformed(TEXT("g\r\n"));
    assert_malformed(TEXT("-1\r\n"));
    assert_malformed(TEXT("0x5\r\nhello\r\n"));
    assert_malformed(TEXT(" 5\r\nhello\r\n"));
    assert_malformed(TEXT("5 \r\nhello\r\n"));
    assert_malformed(TEXT("5\nhello\n"));
    assert_malformed(TEXT("5\rhello"));
    assert_malformed(TEXT("5;a\nb\r\nhello\r\n"));
    assert_malformed(TEXT("5;a\rb\r\nhello\r\n"));
    assert_malformed(TEXT("5;a\0b\r\nhello\r\n"));
    assert_malformed(TEXT("5\r\nhelloX\r\n"));
    assert_malformed(TEXT("5\r\nhello\n"));
    assert_malformed(TEXT("5\r\nhello\r\r\n"));
    assert_malformed(TEXT("0\r\n\n"));
    assert_malformed(TEXT("0\r\n\rX"));
    assert_malformed(TEXT("0\r\n folded\r\n\r\n"));
    assert_malformed(TEXT("0\r\nno colon\r\n\r\n"));
    assert_malformed(TEXT("0\r\n: b\r\n\r\n"));
    assert_malformed(TEXT("0\r\nA: b\nC: d\r\n\r\n"));
    assert_malformed(TEXT("1;;;;\x7f\r\n"));
}

static void sizes_and_what_stands_beside_them_are_bounded(void **state)
{
    decode(TEXT("fffffffffffffff\r\nabc"), 100);
    assert_int_equal(decoded.status, STATUS_OK);
    assert_int_equal(decoded.size, 3);
    assert_malformed(TEXT("0fffffffffffffff\r\nabc"));
    assert_malformed(TEXT("00000000000000000\r\n\r\n"));
    static char framed[32768];
    size_t size = 0;
    while (size < 30000)
        size += (size_t)sprintf(framed + size, "1;\r\nx\r\n");
    decode(text_of(framed, size), 4096);
    assert_int_equal(decoded.status, STATUS_OK);
    size = (size_t)sprintf(framed, "1;%08191d\r\nx\r\n0\r\n\r\n", 0);
    decode(text_of(framed, size), 4096);
    assert_int_equal(decoded.status, STATUS_OK);
    assert_true(decoded.done);
    size = (size_t)sprintf(framed, "1;%08191d\r\nx\r\n0;\r\n\r\n", 0);
    decode(text_of(framed, size), 4096);
    assert_int_equal(decoded.status, STATUS_INVALID);
    size = (size_t)sprintf(framed, "0\r\nA: %08192d\r\n\r\n", 0);
    decode(text_of(framed, size), 4096);
    assert_int_equal(decoded.status, STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_decoded_however_they_are_cut),
        cmocka_unit_test(an_end_is_an_end),
        cmocka_unit_test(what_others_may_read_otherwise_is_malformed),
        cmocka_unit_test(sizes_and_what_stands_beside_them_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
