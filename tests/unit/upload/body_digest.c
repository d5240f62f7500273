#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "upload/body_private.h"

#define EMPTY_256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define EMPTY_512 "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="

static struct body_told_digests told;
static struct failure failure;

static enum status parse(const char *header)
{
    return body_digests_parse(text_from_string(header), &told, &failure);
}

static void digests_are_found_among_others(void **state)
{
    static const char *const headers[] = {
        "sha-256=:" EMPTY_256 ":, sha-512=:" EMPTY_512 ":",
        " sha-512=:" EMPTY_512 ":\t,\tsha-256=:" EMPTY_256 ": ",
        "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:,sha-256=:" EMPTY_256 ":,sha-512=:" EMPTY_512 ":;a=1;b",
        "a, b;c, d=?1, e=-12.5, f=\"x, \\\"y\\\\\", g=t/x:y, h=(1 \"b\" c;d=e :AA==:), i=(), j=@1659578233, "
        "k=%\"f%c3\", "
        "*l_m-n.o=*, sha-256=:" EMPTY_256 ":,   sha-512=:" EMPTY_512 ":",
        "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, sha-256=:" EMPTY_256 ":, sha-512=:" EMPTY_512 ":",
    };
    unsigned char expected[32];
    hash_sha256(TEXT(""), expected);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (parse(headers[i]) != STATUS_OK)
            fail_msg("%s: %s", headers[i], failure.message);
        assert_true(told.has_sha256);
        assert_memory_equal(told.sha256, expected, 32);
        assert_true(told.has_sha512);
        assert_int_equal(told.sha512[0], 0xcf);
        assert_int_equal(told.sha512[63], 0x3e);
    }
}

static void padding_may_be_missing(void **state)
{
    assert_int_equal(parse("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU:"), STATUS_OK);
    assert_int_equal(told.sha256[31], 0x55);
    assert_false(told.has_sha512);
}

static void nothing_told_is_nothing_to_compare(void **state)
{
    static const char *const headers[] = {"", "  ", "md5=:AA==:", "unixsum=30637", "SHA=1", "a"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        enum status status = parse(headers[i]);
        assert_int_equal(status, headers[i][0] == 'S' ? STATUS_INVALID : STATUS_OK); /* keys are of lower case */
        assert_false(told.has_sha256 || told.has_sha512);
    }
}

static void a_malformed_header_is_refused_in_words(void **state)
{
    static const char *const headers[] = {
        "sha-256",
        "sha-256=" EMPTY_256,
        "sha-256=\"" EMPTY_256 "\"",
        "sha-256=:" EMPTY_256,
        "sha-256=:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=:",
        "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU==:",
        "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSu==:",
        "sha-256=:" EMPTY_512 ":",
        "sha-512=:" EMPTY_256 ":",
        "sha-256=::",
        "sha-256=(:" EMPTY_256 ":)",
        "sha-256=:" EMPTY_256 ":,",
        "sha-256=:" EMPTY_256 ":, ,",
        "sha-256=:" EMPTY_256 ":; ",
        "sha-256=:" EMPTY_256 ": sha-512=:" EMPTY_512 ":",
        ",",
        "=1",
        "a=",
        "a=1234567890123456",
        "a=1.",
        "a=1.2345",
        "a=-",
        "a=\"b",
        "a=\"\\b\"",
        "a=\"\x7f\"",
        "a=?2",
        "a=(1",
        "a=(1\"b\")",
        "a=@",
        "a=%x",
        "a;",
        "a;=",
        "a=:\x01:",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        failure = (struct failure){0};
        if (parse(headers[i]) != STATUS_INVALID)
            fail_msg("taken: %s", headers[i]);
        assert_non_null(strstr(failure.message, "Content-Digest"));
    }
    assert_int_equal(body_digests_parse(TEXT("a\0b"), &told, &failure), STATUS_INVALID);
    assert_int_equal(body_digests_parse(TEXT("a=t\0"), &told, &failure), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_found_among_others),
        cmocka_unit_test(padding_may_be_missing),
        cmocka_unit_test(nothing_told_is_nothing_to_compare),
        cmocka_unit_test(a_malformed_header_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
