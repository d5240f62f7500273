#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/encoding.h"

static void assert_hex(const unsigned char digest[HASH_SHA256_SIZE], const char *expected)
{
    char hex[2 * HASH_SHA256_SIZE + 1] = "";
    encoding_hex(digest, HASH_SHA256_SIZE, hex);
    assert_string_equal(hex, expected);
}

/* FIPS 180-4's examples. */
static void sha256_is_that_of_the_standard(void **state)
{
    unsigned char digest[HASH_SHA256_SIZE];
    hash_sha256(TEXT("abc"), digest);
    assert_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256(TEXT_NONE, digest);
    assert_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_sha256(TEXT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), digest);
    assert_hex(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    hash_sha256(text_of(million, 1000000), digest);
    free(million);
    assert_hex(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231, cases 1 to 3, 6 and 7. */
static void hmac_is_that_of_the_rfc(void **state)
{
    unsigned char digest[HASH_SHA256_SIZE];
    char key[131], data[50];
    memset(key, 0x0B, 20);
    hash_hmac_sha256(text_of(key, 20), TEXT("Hi There"), digest);
    assert_hex(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hash_hmac_sha256(TEXT("Jefe"), TEXT("what do ya want for nothing?"), digest);
    assert_hex(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xAA, sizeof(key));
    memset(data, 0xDD, sizeof(data));
    hash_hmac_sha256(text_of(key, 20), text_of(data, 50), digest);
    assert_hex(digest, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    hash_hmac_sha256(text_of(key, 131), TEXT("Test Using Larger Than Block-Size Key - Hash Key First"), digest);
    assert_hex(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hash_hmac_sha256(text_of(key, 131),
                     TEXT("This is a test using a larger than block-size key and a larger than block-size data. The "
                          "key needs to be hashed before being used by the HMAC algorithm."),
                     digest);
    assert_hex(digest, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
    hash_hmac_sha256(TEXT_NONE, TEXT_NONE, digest);
    assert_hex(digest, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void the_stable_hash_never_changes(void **state)
{
    uint64_t before = hash_stable(TEXT("select 1"));
    hash_init();
    assert_true(hash_stable(TEXT("select 1")) == before);
    /* XXH3's value for no input at all, as its specification gives it. */
    assert_true(hash_stable(TEXT_NONE) == 0x2D06800538D394C2);
    assert_true(hash_stable(TEXT("")) == hash_stable(TEXT_NONE));
}

static void the_seeded_hash_follows_the_content_and_the_seed(void **state)
{
    char copy[] = "BG-sofia";
    hash_init();
    uint64_t before = hash_text(TEXT("BG-sofia"));
    assert_true(hash_text(text_from_string(copy)) == before);
    assert_true(hash_text(TEXT("BG-sofib")) != before);
    assert_true(hash_text(text_of(copy, 7)) != before);
    hash_init();
    assert_true(hash_text(TEXT("BG-sofia")) != before);
}

static void equality_looks_at_every_byte(void **state)
{
    unsigned char a[32] = {0}, b[32] = {0};
    assert_true(hash_equal(a, b, 32));
    for (size_t i = 0; i < 32; i++) {
        b[i] = 0x80;
        assert_false(hash_equal(a, b, 32));
        assert_true(hash_equal(a, b, i));
        b[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_that_of_the_standard),
        cmocka_unit_test(hmac_is_that_of_the_rfc),
        cmocka_unit_test(the_stable_hash_never_changes),
        cmocka_unit_test(the_seeded_hash_follows_the_content_and_the_seed),
        cmocka_unit_test(equality_looks_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
