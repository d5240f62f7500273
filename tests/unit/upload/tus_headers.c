#include "upload/tus_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;
static struct tus_metadata metadata;
static struct failure failure;

static enum status parse(struct text header)
{
    failure = (struct failure){0};
    return tus_headers_metadata(header, &arena, &metadata, &failure);
}

static void assert_refused(struct text header, const char *words)
{
    assert_int_equal(parse(header), STATUS_INVALID);
    if (strstr(failure.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", failure.message, words);
}

static void assert_value(const char *key, const char *value)
{
    struct text found = tus_headers_value(&metadata, text_from_string(key));
    assert_non_null(found.data);
    assert_string_equal(found.data, value);
    assert_int_equal(found.size, strlen(value));
}

static void metadata_are_pairs_of_a_key_and_a_base64_value(void **state)
{
    assert_int_equal(parse(TEXT("filename d29ybGQuY3N2,dataset c2FsZXM=, mode  cmVwbGFjZQ== ")), STATUS_OK);
    assert_int_equal(metadata.count, 3);
    assert_value("filename", "world.csv");
    assert_value("dataset", "sales");
    assert_value("mode", "replace");
    assert_null(tus_headers_value(&metadata, TEXT("Filename")).data);
}

static void a_key_alone_has_the_empty_value(void **state)
{
    assert_int_equal(parse(TEXT("is_confidential,dataset c2FsZXM=,empty ")), STATUS_OK);
    assert_value("is_confidential", "");
    assert_value("empty", "");
    assert_value("dataset", "sales");
}

static void no_metadata_are_none(void **state)
{
    assert_int_equal(parse(TEXT_NONE), STATUS_OK);
    assert_int_equal(metadata.count, 0);
    assert_int_equal(parse(TEXT("  ")), STATUS_OK);
    assert_int_equal(metadata.count, 0);
}

static void malformed_metadata_are_refused_with_words(void **state)
{
    assert_refused(TEXT("a YQ==,a YQ=="), "\"a\" twice");
    assert_refused(TEXT("a YQ==,,b YQ=="), "part 2");
    assert_refused(TEXT("a YQ==,"), "part 2");
    assert_refused(TEXT("\xc3\xa9 YQ=="), "part 1");
    assert_refused(TEXT("a YQ"), "value of \"a\"");
    assert_refused(TEXT("a YQ=a"), "value of \"a\"");
    assert_refused(TEXT("a Y==="), "value of \"a\"");
    assert_refused(TEXT("a YR=="), "value of \"a\""); /* bits behind the end */
    assert_refused(TEXT("a YQ==YQ=="), "value of \"a\"");
    assert_refused(TEXT("a YWI= YWI="), "value of \"a\"");
    assert_refused(TEXT("a _-8="), "value of \"a\"");
    assert_refused(TEXT("a /w=="), "value of \"a\""); /* not UTF-8 */
    assert_refused(TEXT("a AA=="), "value of \"a\""); /* NUL */
}

static void metadata_are_bounded(void **state)
{
    static char header[TUS_METADATA_MAX + 2];
    memset(header, 'k', sizeof(header));
    assert_refused(text_of(header, TUS_METADATA_MAX + 1), "4097 bytes");
    assert_int_equal(parse(text_of(header, TUS_METADATA_MAX)), STATUS_OK);
    size_t size = 0;
    for (int i = 0; i <= TUS_METADATA_PAIRS; i++)
        size += (size_t)snprintf(header + size, sizeof(header) - size, "%sk%d", i != 0 ? "," : "", i);
    assert_refused(text_of(header, size), "more than 32");
}

static void lengths_are_plain_digits(void **state)
{
    uint64_t value = 1;
    assert_true(tus_headers_number(TEXT("0"), &value));
    assert_int_equal(value, 0);
    assert_true(tus_headers_number(TEXT("9223372036854775807"), &value));
    assert_int_equal(value, INT64_MAX);
    assert_false(tus_headers_number(TEXT("9223372036854775808"), &value));
    assert_false(tus_headers_number(TEXT("00000000000000000001"), &value));
    assert_false(tus_headers_number(TEXT("-1"), &value));
    assert_false(tus_headers_number(TEXT("+1"), &value));
    assert_false(tus_headers_number(TEXT("1 "), &value));
    assert_false(tus_headers_number(TEXT("1, 1"), &value));
    assert_false(tus_headers_number(TEXT("0x10"), &value));
    assert_false(tus_headers_number(TEXT(""), &value));
    assert_false(tus_headers_number(TEXT_NONE, &value));
}

static void checksums_are_sha1_and_sha256(void **state)
{
    struct tus_checksum checksum;
    assert_int_equal(tus_headers_checksum(TEXT("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), &checksum, &failure), STATUS_OK);
    assert_int_equal(checksum.algorithm, TUS_SHA1);
    assert_int_equal(checksum.size, 20);
    assert_memory_equal(checksum.digest, "\x2a\xae\x6c\x35", 4);
    assert_int_equal(
        tus_headers_checksum(TEXT("sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), &checksum, &failure),
        STATUS_OK);
    assert_int_equal(checksum.algorithm, TUS_SHA256);
    assert_int_equal(checksum.size, 32);
    assert_int_equal(tus_headers_checksum(TEXT_NONE, &checksum, &failure), STATUS_OK);
    assert_int_equal(checksum.algorithm, TUS_NONE);
}

static void other_checksums_are_refused_with_words(void **state)
{
    static const struct {
        struct text header;
        const char *words;
    } cases[] = {
        {{"md5 1B2M2Y8AsgTpgAmY7PhCfg==", 28}, "sha1,sha256"},
        {{"sha1", 4}, "20 bytes"},
        {{"sha1 ", 5}, "20 bytes"},
        {{"sha1 YQ==", 9}, "20 bytes"},
        {{"sha1 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 49}, "20 bytes"},
        {{"sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", 35}, "32 bytes"},
        {{"", 0}, "sha1,sha256"},
    };
    struct tus_checksum checksum;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tus_headers_checksum(cases[i].header, &checksum, &failure), STATUS_INVALID);
        assert_non_null(strstr(failure.message, cases[i].words));
        assert_int_equal(checksum.algorithm, TUS_NONE);
    }
}

static int make(void **state)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    return 0;
}

static int drop(void **state)
{
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_are_pairs_of_a_key_and_a_base64_value),
        cmocka_unit_test(a_key_alone_has_the_empty_value),
        cmocka_unit_test(no_metadata_are_none),
        cmocka_unit_test(malformed_metadata_are_refused_with_words),
        cmocka_unit_test(metadata_are_bounded),
        cmocka_unit_test(lengths_are_plain_digits),
        cmocka_unit_test(checksums_are_sha1_and_sha256),
        cmocka_unit_test(other_checksums_are_refused_with_words),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
