#include "upload/text_encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* However the bytes are cut, the same comes out. Returns the status; the line of a mistake in *line. */
static enum status decode(enum text_encoding encoding, struct text bytes, const char *expected, uint64_t *line)
{
    enum status first = STATUS_OK;
    for (size_t step = bytes.size + 1; step >= 1; step = step > 7 ? 7 : step - 1) {
        struct text_decoder decoder = {.encoding = encoding};
        struct failure failure;
        struct buffer out;
        enum status status = STATUS_OK;
        buffer_init(&out, 1 << 16);
        for (size_t at = 0; status == STATUS_OK && at <= bytes.size; at += step) {
            size_t left = bytes.size - at, size = left < step ? left : step;
            status = text_decode(&decoder, text_of(bytes.data + at, size), size < step, &out, &failure);
        }
        if (step > bytes.size)
            first = status;
        assert_int_equal(status, first);
        if (line != NULL && step > bytes.size)
            *line = decoder.line;
        if (line != NULL)
            assert_int_equal(decoder.line, *line);
        if (status == STATUS_OK && expected != NULL) {
            assert_int_equal(out.size, strlen(expected));
            assert_memory_equal(out.data, expected, out.size);
        }
        buffer_free(&out);
    }
    return first;
}

static void utf8_goes_through_and_mistakes_name_their_line(void **state)
{
    uint64_t line;
    assert_int_equal(decode(ENCODING_UTF8, TEXT("a long line of ASCII, then ü and €, 🌡 at the end"),
                            "a long line of ASCII, then ü and €, 🌡 at the end", NULL),
                     STATUS_OK);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("a\nb\r\nc\rd\xC3(\n"), NULL, &line), STATUS_INVALID);
    assert_int_equal(line, 4);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("one\r\ntwo, and some more of it here\r\nx\0y\n"), NULL, &line),
                     STATUS_INVALID);
    assert_int_equal(line, 3);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("a\xE2\x82"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("\xED\xA0\x80"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("\xC0\x80"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF8, TEXT("\xF4\x90\x80\x80"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF8, TEXT(""), "", NULL), STATUS_OK);
}

static void utf16_becomes_utf8_in_both_orders(void **state)
{
    uint64_t line;
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0\xFC\0\xAC\x20\x3D\xD8\x00\xDE"), "aü€😀", NULL), STATUS_OK);
    assert_int_equal(decode(ENCODING_UTF16BE, TEXT("\0a\0\xFC\x20\xAC\xD8\x3D\xDE\x00"), "aü€😀", NULL), STATUS_OK);
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0\n\0\x3D\xD8 \0"), NULL, &line), STATUS_INVALID);
    assert_int_equal(line, 2);
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0\x00\xDE"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0b"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0\0\0"), NULL, NULL), STATUS_INVALID);
    assert_int_equal(decode(ENCODING_UTF16LE, TEXT("a\0\x3D\xD8"), NULL, NULL), STATUS_INVALID);
}

static void windows_1252_has_all_bytes_but_nul(void **state)
{
    uint64_t line;
    assert_int_equal(decode(ENCODING_LATIN1, TEXT("M\xFCnchen \x80 \x93x\x94 \x81"), "München € “x” \xC2\x81", NULL),
                     STATUS_OK);
    assert_int_equal(decode(ENCODING_LATIN1, TEXT("\xFC\r\n\xFC\n\0"), NULL, &line), STATUS_INVALID);
    assert_int_equal(line, 3);
}

static enum text_encoding sniff(struct text head, bool whole)
{
    size_t mark;
    return text_encoding_sniff(head, whole, &mark);
}

static void marks_decide_and_are_measured(void **state)
{
    size_t mark;
    assert_int_equal(text_encoding_sniff(TEXT("\xEF\xBB\xBFx"), true, &mark), ENCODING_UTF8);
    assert_int_equal(mark, 3);
    assert_int_equal(text_encoding_sniff(TEXT("\xFF\xFEx\0"), true, &mark), ENCODING_UTF16LE);
    assert_int_equal(mark, 2);
    assert_int_equal(text_encoding_sniff(TEXT("\xFE\xFF\0x"), true, &mark), ENCODING_UTF16BE);
    assert_int_equal(text_encoding_sniff(TEXT("x"), true, &mark), ENCODING_UTF8);
    assert_int_equal(mark, 0);
}

static void without_a_mark_bytes_tell(void **state)
{
    assert_int_equal(sniff(TEXT("1\0\n\0"), true), ENCODING_UTF16LE);
    assert_int_equal(sniff(TEXT("\0"
                                "1\0\n"),
                           true),
                     ENCODING_UTF16BE);
    assert_int_equal(sniff(TEXT("a,b\n1,\0\n"), true), ENCODING_UTF8); /* a stray NUL: text_decode names it */
    assert_int_equal(sniff(TEXT("caf\xE9,x"), true), ENCODING_LATIN1);
    assert_int_equal(sniff(TEXT("caf\xC3"), false), ENCODING_UTF8); /* cut by the head's end */
    assert_int_equal(sniff(TEXT("caf\xC3"), true), ENCODING_LATIN1);
    assert_int_equal(sniff(TEXT("\xC3\xA9 \xC3\xBC caf\xE9"), true), ENCODING_UTF8); /* mixed: a mistake, not 1252 */
    assert_int_equal(sniff(TEXT(""), true), ENCODING_UTF8);
}

static void encodings_are_known_by_many_names(void **state)
{
    enum text_encoding encoding;
    assert_true(text_encoding_named(TEXT("ISO-8859-1"), &encoding));
    assert_int_equal(encoding, ENCODING_LATIN1);
    assert_string_equal(text_encoding_name(encoding), "windows-1252");
    assert_true(text_encoding_named(TEXT("UTF-16BE"), &encoding));
    assert_int_equal(encoding, ENCODING_UTF16BE);
    assert_false(text_encoding_named(TEXT("koi8-r"), &encoding));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_goes_through_and_mistakes_name_their_line),
        cmocka_unit_test(utf16_becomes_utf8_in_both_orders),
        cmocka_unit_test(windows_1252_has_all_bytes_but_nul),
        cmocka_unit_test(marks_decide_and_are_measured),
        cmocka_unit_test(without_a_mark_bytes_tell),
        cmocka_unit_test(encodings_are_known_by_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
