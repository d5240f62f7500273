#include "upload/spool_cipher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECRET TEXT("a secret of the tests, of 32 and more bytes")

static struct spool_key key, other;
static unsigned char header[SPOOL_HEADER];
static const struct text plain = {"id,name\n1,needle\n", 17};

static void what_was_sealed_is_opened_under_the_key_of_its_header(void **state)
{
    char sealed[17 + SPOOL_SEAL], opened[17];
    struct spool_cipher *one = spool_cipher_begin(&key, header), *again = NULL;
    assert_true(spool_cipher_seal(one, TEXT("place"), plain, sealed));
    assert_null(memmem(sealed, sizeof(sealed), "needle", 6));
    assert_int_equal(spool_cipher_resume(&key, header, &again, NULL), STATUS_OK);
    assert_true(spool_cipher_unseal(again, TEXT("place"), text_of(sealed, sizeof(sealed)), opened));
    assert_memory_equal(opened, plain.data, plain.size);
    spool_cipher_free(one);
    spool_cipher_free(again);
    spool_cipher_free(NULL);
}

static void every_flipped_bit_cut_and_other_place_is_refused(void **state)
{
    char sealed[17 + SPOOL_SEAL], opened[17];
    struct spool_cipher *one = spool_cipher_begin(&key, header);
    assert_true(spool_cipher_seal(one, TEXT("place"), plain, sealed));
    for (size_t i = 0; i < sizeof(sealed) * 8; i++) {
        sealed[i / 8] ^= (char)(1 << i % 8);
        assert_false(spool_cipher_unseal(one, TEXT("place"), text_of(sealed, sizeof(sealed)), opened));
        sealed[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t size = 0; size < sizeof(sealed); size++)
        assert_false(spool_cipher_unseal(one, TEXT("place"), text_of(sealed, size), opened));
    assert_false(spool_cipher_unseal(one, TEXT("plate"), text_of(sealed, sizeof(sealed)), opened));
    assert_false(spool_cipher_unseal(one, TEXT(""), text_of(sealed, sizeof(sealed)), opened));
    assert_true(spool_cipher_unseal(one, TEXT("place"), text_of(sealed, sizeof(sealed)), opened));
    spool_cipher_free(one);
}

static void each_file_has_a_key_and_each_piece_a_nonce_of_its_own(void **state)
{
    char first[17 + SPOOL_SEAL], second[17 + SPOOL_SEAL], opened[17];
    unsigned char elsewhere[SPOOL_HEADER];
    struct spool_cipher *one = spool_cipher_begin(&key, header), *two = spool_cipher_begin(&key, elsewhere);
    assert_memory_not_equal(header, elsewhere, SPOOL_HEADER);
    assert_true(spool_cipher_seal(one, TEXT(""), plain, first) && spool_cipher_seal(one, TEXT(""), plain, second));
    assert_memory_not_equal(first, second, 12);
    assert_memory_not_equal(first + 12, second + 12, plain.size);
    assert_false(spool_cipher_unseal(two, TEXT(""), text_of(first, sizeof(first)), opened));
    assert_true(spool_cipher_unseal(one, TEXT(""), text_of(second, sizeof(second)), opened));
    spool_cipher_free(one);
    spool_cipher_free(two);
}

static void another_keys_file_is_told_from_a_damaged_one(void **state)
{
    struct spool_cipher *one = spool_cipher_begin(&key, header), *no = NULL;
    unsigned char plain_file[SPOOL_HEADER] = "id,name\n";
    assert_int_equal(spool_cipher_resume(&other, header, &no, NULL), STATUS_NOT_FOUND);
    assert_int_equal(spool_cipher_resume(&key, plain_file, &no, NULL), STATUS_NOT_FOUND);
    assert_null(no);
    for (size_t i = 0; i < SPOOL_HEADER; i++) {
        char sealed[17 + SPOOL_SEAL], opened[17];
        assert_true(spool_cipher_seal(one, TEXT(""), plain, sealed));
        header[i] ^= 1;
        enum status status = spool_cipher_resume(&key, header, &no, NULL);
        assert_int_equal(status, i < 16 ? STATUS_NOT_FOUND : STATUS_OK);
        if (status == STATUS_OK) {
            assert_false(spool_cipher_unseal(no, TEXT(""), text_of(sealed, sizeof(sealed)), opened));
            spool_cipher_free(no);
        }
        header[i] ^= 1;
    }
    spool_cipher_free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_is_opened_under_the_key_of_its_header),
        cmocka_unit_test(every_flipped_bit_cut_and_other_place_is_refused),
        cmocka_unit_test(each_file_has_a_key_and_each_piece_a_nonce_of_its_own),
        cmocka_unit_test(another_keys_file_is_told_from_a_damaged_one),
    };
    spool_key_set(&key, SECRET);
    spool_key_set(&other, TEXT("another secret of the tests, 32 and more bytes"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
