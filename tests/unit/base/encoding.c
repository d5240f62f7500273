#include "base/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buffer buffer;

static int set_up(void **state)
{
    buffer_init(&buffer, 1 << 16);
    return 0;
}

static int tear_down(void **state)
{
    buffer_free(&buffer);
    return 0;
}

static void assert_holds(struct text expected)
{
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, expected.size);
    assert_memory_equal(buffer.size != 0 ? buffer.data : "", expected.data, expected.size);
}

static void base64url_is_written_as_in_rfc_4648(void **state)
{
    static const struct {
        struct text plain, encoded;
    } cases[] = {{TEXT(""), TEXT("")},
                 {TEXT("f"), TEXT("Zg")},
                 {TEXT("fo"), TEXT("Zm8")},
                 {TEXT("foo"), TEXT("Zm9v")},
                 {TEXT("foob"), TEXT("Zm9vYg")},
                 {TEXT("fooba"), TEXT("Zm9vYmE")},
                 {TEXT("foobar"), TEXT("Zm9vYmFy")},
                 {TEXT("\xFB\xEF\xFF"), TEXT("--__")},
                 {TEXT("\0\0\0\0"), TEXT("AAAAAA")}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buffer_clear(&buffer);
        encoding_base64url_append(&buffer, cases[i].plain.data, cases[i].plain.size);
        assert_holds(cases[i].encoded);
        buffer_clear(&buffer);
        assert_true(encoding_base64url_decode(cases[i].encoded, &buffer));
        assert_holds(cases[i].plain);
    }
}

static void bytes_of_every_length_survive_base64url(void **state)
{
    char bytes[300];
    struct buffer decoded;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 167 + 13);
    buffer_init(&decoded, 1000);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        buffer_clear(&buffer);
        buffer_clear(&decoded);
        encoding_base64url_append(&buffer, bytes, size);
        assert_true(encoding_base64url_decode(buffer_text(&buffer), &decoded));
        assert_int_equal(decoded.size, size);
        assert_memory_equal(size != 0 ? decoded.data : "", bytes, size);
    }
    buffer_free(&decoded);
}

static void other_base64_is_refused_and_the_buffer_unchanged(void **state)
{
    static const struct text cases[] = {TEXT("Zg=="),
                                        TEXT("Zg="),
                                        TEXT("A"),
                                        TEXT("AAAAA"),
                                        TEXT("Zm9v\n"),
                                        TEXT("Zm 9v"),
                                        TEXT("++//"),
                                        TEXT("Zh"),
                                        TEXT("Zm9"),
                                        TEXT("AB"),
                                        TEXT("AAB"),
                                        TEXT("AA\0A"),
                                        TEXT("\xFF\xFF\xFF\xFF"),
                                        TEXT("Zm9vYg.A")};
    buffer_append_literal(&buffer, "kept");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (encoding_base64url_decode(cases[i], &buffer))
            fail_msg("%.*s was decoded", TEXT_ARGS(cases[i]));
        assert_holds(TEXT("kept"));
    }
}

static void decoding_past_the_ceiling_is_refused(void **state)
{
    buffer_free(&buffer);
    buffer_init(&buffer, 3);
    assert_true(encoding_base64url_decode(TEXT("AAAA"), &buffer));
    buffer_clear(&buffer);
    assert_false(encoding_base64url_decode(TEXT("AAAAAA"), &buffer));
    assert_int_equal(buffer.size, 0);
}

static void hexadecimal_is_lower_case(void **state)
{
    char out[] = "########!";
    encoding_hex("\x00\x9A\xBF\xFF", 4, out);
    assert_string_equal(out, "009abfff!");
}

/* Every byte, at every place of a word, with what is left behind the last word. */
static void hexadecimal_has_two_digits_for_every_byte(void **state)
{
    unsigned char bytes[256 + 7];
    char out[2 * sizeof(bytes) + 1], expected[2 * sizeof(bytes) + 1];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)i;
        snprintf(expected + 2 * i, 3, "%02x", bytes[i]);
    }
    for (size_t from = 0; from < 4; from++)
        for (size_t size = 0; from + size <= sizeof(bytes); size++) {
            memset(out, '!', sizeof(out));
            encoding_hex(bytes + from, size, out);
            assert_memory_equal(out, expected + 2 * from, 2 * size);
            assert_int_equal(out[2 * size], '!');
        }
}

static void hexadecimal_is_read_back_in_its_one_spelling(void **state)
{
    static const char *const wrong[] = {"009aBfff", "009abfFF", "009abf f", "009abfg0", "x09abfff", "009abf-1"};
    unsigned char out[5] = {1, 1, 1, 1, 1};
    assert_true(encoding_hex_decode("009abfff", 4, out));
    assert_memory_equal(out, "\x00\x9A\xBF\xFF\x01", 5);
    assert_true(encoding_hex_decode("", 0, out));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(encoding_hex_decode(wrong[i], 4, out));
}

/* The text is decoded on the heap, to the byte, and in place. */
static bool decode(struct text text, bool plus_is_space, const char *expected)
{
    char *exact = malloc(text.size != 0 ? text.size : 1);
    size_t size = 12345;
    if (text.size != 0)
        memcpy(exact, text.data, text.size);
    bool decoded = encoding_percent_decode(text_of(exact, text.size), plus_is_space, exact, &size);
    if (decoded)
        assert_true(size == strlen(expected) && memcmp(exact, expected, size) == 0);
    free(exact);
    return decoded;
}

static void percent_encoding_is_decoded_once(void **state)
{
    assert_true(decode(TEXT(""), false, ""));
    assert_true(decode(TEXT("BG-sofia"), false, "BG-sofia"));
    assert_true(decode(TEXT("%41"), false, "A"));
    assert_true(decode(TEXT("a%2fb%2F"), false, "a/b/"));
    assert_true(decode(TEXT("%2541"), false, "%41"));
    assert_true(decode(TEXT("%ff%C3%a4"), false, "\xFF\xC3\xA4"));
    assert_true(decode(TEXT("a+b%2B"), false, "a+b+"));
    assert_true(decode(TEXT("a+b%2B"), true, "a b+"));
}

static void broken_escapes_and_nul_are_refused(void **state)
{
    static const struct text cases[] = {
        TEXT("%"),     TEXT("%4"),   TEXT("a%"),   TEXT("%zz"), TEXT("%4g"), TEXT("%g4"),  TEXT("%%41"),   TEXT("%00"),
        TEXT("a%00b"), TEXT("a\0b"), TEXT("% 41"), TEXT("%+1"), TEXT("%-1"), TEXT("%41%"), TEXT("%u0041"), TEXT("\0")};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (decode(cases[i], true, ""))
            fail_msg("%.*s was decoded", TEXT_ARGS(cases[i]));
}

static void all_but_unreserved_characters_are_escaped_and_read_back(void **state)
{
    char all[255], out[3 * sizeof(all)];
    size_t size;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i + 1);
    encoding_percent_append(&buffer, text_of(all, sizeof(all)));
    assert_int_equal(buffer.size, 66 + 3 * (sizeof(all) - 66));
    assert_true(encoding_percent_decode(buffer_text(&buffer), true, out, &size));
    assert_int_equal(size, sizeof(all));
    assert_memory_equal(out, all, size);
    buffer_clear(&buffer);
    encoding_percent_append(&buffer, TEXT("a b/\xC3\xA4~-._+"));
    assert_holds(TEXT("a%20b%2F%C3%A4~-._%2B"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(base64url_is_written_as_in_rfc_4648, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_of_every_length_survive_base64url, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_base64_is_refused_and_the_buffer_unchanged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decoding_past_the_ceiling_is_refused, set_up, tear_down),
        cmocka_unit_test(hexadecimal_is_lower_case),
        cmocka_unit_test(hexadecimal_has_two_digits_for_every_byte),
        cmocka_unit_test(hexadecimal_is_read_back_in_its_one_spelling),
        cmocka_unit_test(percent_encoding_is_decoded_once),
        cmocka_unit_test(broken_escapes_and_nul_are_refused),
        cmocka_unit_test_setup_teardown(all_but_unreserved_characters_are_escaped_and_read_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
