#include "query/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include "base/encoding.h"

static const struct text key = {"0123456789abcdef0123456789abcdef", 32};
static const struct text purpose = {"regions?kind=city", 17};

struct fixture {
    struct arena arena;
    struct buffer text;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    arena_init(&fixture->arena, NULL, 0, 1 << 20);
    buffer_init(&fixture->text, 1 << 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_free(&fixture->arena);
    buffer_free(&fixture->text);
    free(fixture);
    return 0;
}

static enum status read_back(struct fixture *fixture, struct text text, struct text with_key, struct text with_purpose,
                             struct cursor *cursor)
{
    return cursor_parse(text, with_key, with_purpose, &fixture->arena, cursor);
}

static void values_come_back_byte_for_byte_and_null_differs_from_empty(void **state)
{
    struct fixture *fixture = *state;
    const struct text kinds[] = {TEXT("12.5"),    TEXT_NONE,    TEXT(""),
                                 TEXT("n;3:a:b"), TEXT("a\0b"), TEXT("\xf0\x9f\x8c\x8d \n"),
                                 TEXT(":"),       TEXT("n;")};
    struct cursor written;
    for (size_t i = 0; i < CURSOR_MAX_VALUES; i++)
        written.values[i] = kinds[i % 8];
    for (size_t count = 0; count <= CURSOR_MAX_VALUES; count++) {
        struct cursor read = {.count = 99};
        written.count = count;
        buffer_clear(&fixture->text);
        cursor_append(&fixture->text, key, purpose, &written);
        assert_false(fixture->text.failed);
        assert_int_equal(read_back(fixture, buffer_text(&fixture->text), key, purpose, &read), STATUS_OK);
        assert_int_equal(read.count, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(text_equal(read.values[i], written.values[i]));
            assert_int_equal(read.values[i].data == NULL, written.values[i].data == NULL);
        }
    }
}

static void a_cursor_can_stand_in_a_url_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT("\xff\xfe\xfb?&=+/ ")}, .count = 1};
    cursor_append(&fixture->text, key, purpose, &cursor);
    for (size_t i = 0; i < fixture->text.size; i++) {
        char c = fixture->text.data[i];
        assert_true((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_');
    }
}

static void any_changed_bit_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT("AR-coast-1"), TEXT("7")}, .count = 2}, read;
    struct buffer raw;
    buffer_init(&raw, 4096);
    cursor_append(&fixture->text, key, purpose, &cursor);
    assert_true(encoding_base64url_decode(buffer_text(&fixture->text), &raw));
    for (size_t bit = 0; bit < raw.size * 8; bit++) {
        struct buffer changed;
        buffer_init(&changed, 4096);
        raw.data[bit / 8] ^= (char)(1 << bit % 8);
        encoding_base64url_append(&changed, raw.data, raw.size);
        raw.data[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(read_back(fixture, buffer_text(&changed), key, purpose, &read), STATUS_INVALID);
        buffer_free(&changed);
    }
    buffer_free(&raw);
}

static void a_cut_or_lengthened_cursor_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT("AR-coast-1")}, .count = 1}, read;
    cursor_append(&fixture->text, key, purpose, &cursor);
    for (size_t size = 0; size < fixture->text.size; size++)
        assert_int_equal(read_back(fixture, text_of(fixture->text.data, size), key, purpose, &read), STATUS_INVALID);
    buffer_append_literal(&fixture->text, "AAAA");
    assert_int_equal(read_back(fixture, buffer_text(&fixture->text), key, purpose, &read), STATUS_INVALID);
}

static void a_cursor_fits_no_other_purpose_and_no_other_key(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT("x")}, .count = 1}, read;
    cursor_append(&fixture->text, key, purpose, &cursor);
    struct text text = buffer_text(&fixture->text);
    assert_int_equal(read_back(fixture, text, key, TEXT("regions?kind=state"), &read), STATUS_INVALID);
    assert_int_equal(read_back(fixture, text, key, TEXT("regions?kind=cit"), &read), STATUS_INVALID);
    assert_int_equal(read_back(fixture, text, key, TEXT(""), &read), STATUS_INVALID);
    assert_int_equal(read_back(fixture, text, TEXT("0123456789abcdef0123456789abcdeF"), purpose, &read),
                     STATUS_INVALID);
    assert_int_equal(read_back(fixture, text, TEXT(""), purpose, &read), STATUS_INVALID);
}

static void a_byte_moved_from_payload_to_purpose_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT_NONE, TEXT_NONE}, .count = 2}, read;
    struct buffer raw, moved;
    buffer_init(&raw, 4096);
    buffer_init(&moved, 4096);
    cursor_append(&fixture->text, key, TEXT("p"), &cursor);
    assert_true(encoding_base64url_decode(buffer_text(&fixture->text), &raw));
    encoding_base64url_append(&moved, raw.data + 2, raw.size - 2); /* without its first "n;" */
    assert_int_equal(read_back(fixture, buffer_text(&moved), key, TEXT("pn;"), &read), STATUS_INVALID);
    buffer_free(&raw);
    buffer_free(&moved);
}

/* Where no tag can be made, no cursor may pass: least of all one whose tag is zeros. */
static void a_purpose_too_large_to_sign_makes_and_accepts_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct cursor cursor = {.values = {TEXT("x")}, .count = 1}, read;
    const size_t size = 1 << 20;
    char *large = malloc(size), forged[3 + 16] = "1:x";
    memset(large, 'p', size);
    encoding_base64url_append(&fixture->text, forged, sizeof(forged));
    assert_int_equal(read_back(fixture, buffer_text(&fixture->text), key, text_of(large, size), &read), STATUS_INVALID);
    buffer_clear(&fixture->text);
    cursor_append(&fixture->text, key, text_of(large, size), &cursor);
    assert_true(fixture->text.failed);
    free(large);
}

static void values_above_the_ceiling_fail_the_buffer_and_large_text_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = 200000;
    char *large = malloc(size);
    memset(large, 'A', size);
    struct cursor cursor = {.values = {text_of(large, CURSOR_MAX_SIZE)}, .count = 1}, read;
    cursor_append(&fixture->text, key, purpose, &cursor);
    assert_false(fixture->text.failed);
    assert_int_equal(read_back(fixture, buffer_text(&fixture->text), key, purpose, &read), STATUS_OK);
    assert_int_equal(read.values[0].size, CURSOR_MAX_SIZE);
    cursor.values[0].size = CURSOR_MAX_SIZE + 1000;
    cursor_append(&fixture->text, key, purpose, &cursor);
    assert_true(fixture->text.failed);
    assert_int_equal(read_back(fixture, text_of(large, size), key, purpose, &read), STATUS_INVALID);
    free(large);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(values_come_back_byte_for_byte_and_null_differs_from_empty),
        TEST(a_cursor_can_stand_in_a_url_as_it_is),
        TEST(any_changed_bit_is_refused),
        TEST(a_cut_or_lengthened_cursor_is_refused),
        TEST(a_cursor_fits_no_other_purpose_and_no_other_key),
        TEST(a_byte_moved_from_payload_to_purpose_is_refused),
        TEST(a_purpose_too_large_to_sign_makes_and_accepts_nothing),
        TEST(values_above_the_ceiling_fail_the_buffer_and_large_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
