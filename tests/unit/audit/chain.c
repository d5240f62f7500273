#include "audit/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct hash_hmac_key key;

static void append(struct chain_head *head, struct buffer *out, const char *words)
{
    size_t start = out->size;
    chain_begin_line(head, out);
    buffer_append_string(out, words);
    assert_true(chain_seal(head, &key, out, start));
}

static struct text line_at(const struct buffer *lines, size_t index)
{
    const char *at = lines->data;
    for (; index != 0; index--)
        at = (const char *)memchr(at, '\n', lines->size - (size_t)(at - lines->data)) + 1;
    const char *end = memchr(at, '\n', lines->size - (size_t)(at - lines->data));
    return text_of(at, (size_t)(end + 1 - at));
}

static void three_lines(struct buffer *lines)
{
    struct chain_head head = {0};
    buffer_init(lines, 4096);
    append(&head, lines, ",\"event\":\"begin\"");
    append(&head, lines, ",\"event\":\"request\",\"status\":200");
    append(&head, lines, ",\"event\":\"end\"");
}

static void a_line_is_hmac_sha256_over_the_hash_before_and_its_words(void **state)
{
    struct buffer lines;
    three_lines(&lines);
    unsigned char input[256] = {0}, mac[HASH_SHA256_SIZE];
    static const char first[] = "{\"seq\":1,\"event\":\"begin\"";
    memcpy(input + CHAIN_MAC_SIZE, first, sizeof(first) - 1);
    hash_hmac_sha256(TEXT("0123456789abcdef0123456789abcdef"),
                     text_of((char *)input, CHAIN_MAC_SIZE + sizeof(first) - 1), mac);
    struct chain_head claimed;
    assert_true(chain_read(line_at(&lines, 0), &claimed));
    assert_int_equal(claimed.seq, 1);
    assert_memory_equal(claimed.mac, mac, CHAIN_MAC_SIZE);
    buffer_free(&lines);
}

static void what_was_sealed_is_good_line_by_line(void **state)
{
    struct buffer lines;
    struct chain_head head = {0};
    three_lines(&lines);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(chain_check(&head, &key, line_at(&lines, i)), CHAIN_GOOD);
    assert_int_equal(head.seq, 3);
    buffer_free(&lines);
}

static void no_bit_of_a_line_can_be_flipped(void **state)
{
    struct buffer lines;
    three_lines(&lines);
    struct text second = line_at(&lines, 1);
    char *changed = malloc(second.size);
    for (size_t bit = 0; bit < 8 * second.size; bit++) {
        struct chain_head head = {0};
        assert_int_equal(chain_check(&head, &key, line_at(&lines, 0)), CHAIN_GOOD);
        memcpy(changed, second.data, second.size);
        changed[bit / 8] = (char)(changed[bit / 8] ^ 1 << bit % 8);
        assert_int_not_equal(chain_check(&head, &key, text_of(changed, second.size)), CHAIN_GOOD);
        assert_int_equal(head.seq, 1);
    }
    free(changed);
    buffer_free(&lines);
}

static void a_line_left_out_or_doubled_or_of_another_key_is_refused(void **state)
{
    struct buffer lines;
    struct chain_head head = {0};
    struct hash_hmac_key other;
    three_lines(&lines);
    hash_hmac_key_set(&other, TEXT("another key of thirty-two bytes!"));
    assert_int_equal(chain_check(&head, &other, line_at(&lines, 0)), CHAIN_BAD_MAC);
    assert_int_equal(chain_check(&head, &key, line_at(&lines, 0)), CHAIN_GOOD);
    assert_int_equal(chain_check(&head, &key, line_at(&lines, 2)), CHAIN_BAD_MAC);
    assert_int_equal(chain_check(&head, &key, line_at(&lines, 0)), CHAIN_BAD_MAC);
    assert_int_equal(chain_check(&head, &key, TEXT("{}\n")), CHAIN_MALFORMED);
    buffer_free(&lines);
}

static void a_line_that_is_too_long_or_does_not_fit_leaves_the_head_where_it_was(void **state)
{
    struct chain_head head = {0};
    struct buffer lines, small;
    char *words = malloc(CHAIN_LINE_MAX);
    memset(words, 'x', CHAIN_LINE_MAX - 1);
    words[CHAIN_LINE_MAX - 1] = '\0';
    buffer_init(&lines, 65536);
    buffer_init(&small, 64);
    chain_begin_line(&head, &lines);
    buffer_append_string(&lines, words);
    assert_false(chain_seal(&head, &key, &lines, 0));
    chain_begin_line(&head, &small);
    buffer_append_literal(&small, ",\"a\":1");
    buffer_append(&small, words, 40);
    assert_false(chain_seal(&head, &key, &small, 0));
    assert_int_equal(head.seq, 0);
    buffer_free(&lines);
    buffer_free(&small);
    free(words);
}

int main(void)
{
    hash_hmac_key_set(&key, TEXT("0123456789abcdef0123456789abcdef"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_hmac_sha256_over_the_hash_before_and_its_words),
        cmocka_unit_test(what_was_sealed_is_good_line_by_line),
        cmocka_unit_test(no_bit_of_a_line_can_be_flipped),
        cmocka_unit_test(a_line_left_out_or_doubled_or_of_another_key_is_refused),
        cmocka_unit_test(a_line_that_is_too_long_or_does_not_fit_leaves_the_head_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
