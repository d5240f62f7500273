#include "auth/tokens.h"

#include "judge.h"

static struct failure failure;

static const struct tokens_grant grant = {.issuer = "https://issuer.example",
                                          .audience = "sluice",
                                          .subject = "someone",
                                          .customer_claim = "customer",
                                          .customer = "acme",
                                          .tier_claim = "tier",
                                          .tier = "standard",
                                          .scope = "regions:read datasets:read",
                                          .issued_at = FORGE_NOW,
                                          .lifetime_s = 3600};

/* The key that a token of this algorithm is minted with; the caller frees. */
static char *minting_key(size_t i)
{
    return fixture.pkeys[i] != NULL ? forge_pem(fixture.pkeys[i], true) : strdup(forge_secret);
}

static void a_minted_token_of_each_algorithm_verifies(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        char kid[16], *key = minting_key(i);
        snprintf(kid, sizeof(kid), "k-%s", forge_algorithms[i]);
        buffer_clear(&fixture.token);
        if (tokens_mint(&grant, kid, forge_algorithms[i], text_from_string(key), &fixture.token, &failure) != STATUS_OK)
            fail_msg("%s: %s", forge_algorithms[i], failure.message);
        if (judge_at(fixture.keys, FORGE_NOW) != TOKENS_VALID)
            fail_msg("%s: %s", forge_algorithms[i], facts.reason);
        assert_true(text_equal(facts.principal->subject, TEXT("someone")));
        assert_true(text_equal(facts.principal->customer, TEXT("acme")));
        assert_true(text_equal(facts.principal->tier, TEXT("standard")));
        assert_int_equal(facts.principal->token_id.size, 32);
        assert_int_equal(facts.principal->scope_count, 2);
        assert_int_equal(facts.principal->expires_at, FORGE_NOW + 3600);
        principal_unref(facts.principal);
        assert_int_equal(judge_at(fixture.keys, FORGE_NOW + 3630), TOKENS_INVALID);
        assert_string_equal(facts.reason, "expired");
        free(key);
    }
}

static void no_two_minted_tokens_have_the_same_id(void **state)
{
    struct buffer other;
    buffer_init(&other, 8192);
    buffer_clear(&fixture.token);
    assert_int_equal(tokens_mint(&grant, "k-HS256", "HS256", text_of(forge_secret, 64), &fixture.token, &failure),
                     STATUS_OK);
    assert_int_equal(tokens_mint(&grant, "k-HS256", "HS256", text_of(forge_secret, 64), &other, &failure), STATUS_OK);
    assert_false(text_equal(buffer_text(&other), buffer_text(&fixture.token)));
    buffer_free(&other);
}

static void expect_not_minted(const char *algorithm, struct text key, const char *why)
{
    struct buffer out;
    buffer_init(&out, 8192);
    assert_int_equal(tokens_mint(&grant, "k", algorithm, key, &out, &failure), STATUS_INVALID);
    if (strstr(failure.message, why) == NULL)
        fail_msg("%s: %s", algorithm, failure.message);
    assert_int_equal(out.size, 0);
    buffer_free(&out);
}

static void a_key_that_does_not_fit_is_refused(void **state)
{
    char *rsa_public = forge_pem(fixture.pkeys[3], false), *rsa = forge_pem(fixture.pkeys[3], true);
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    char *weak_pem = forge_pem(weak, true);
    expect_not_minted("HS256", TEXT_NONE, "0 bytes");
    expect_not_minted("HS256", text_of(forge_secret, 31), "31 bytes");
    expect_not_minted("HS256", text_from_string(rsa), "can't be the secret");
    expect_not_minted("RS256", TEXT_NONE, "no private key");
    expect_not_minted("RS256", text_from_string(rsa_public), "no private key");
    expect_not_minted("RS256", text_from_string(weak_pem), "1024 bits");
    expect_not_minted("ES256", text_from_string(rsa), "P-256");
    expect_not_minted("none", text_from_string(rsa), "unknown");
    expect_not_minted(NULL, text_from_string(rsa), "unknown");
    free(rsa_public);
    free(rsa);
    free(weak_pem);
    EVP_PKEY_free(weak);
}

static void a_private_key_with_a_password_is_refused_without_asking(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    assert_int_equal(PEM_write_bio_PrivateKey(bio, fixture.pkeys[6], EVP_aes_128_cbc(), (const unsigned char *)"secret",
                                              6, NULL, NULL),
                     1);
    long size = BIO_get_mem_data(bio, &data);
    expect_not_minted("ES256", text_of(data, (size_t)size), "without a password");
    BIO_free(bio);
}

static void a_lifetime_of_nothing_is_refused(void **state)
{
    struct tokens_grant none = grant;
    none.lifetime_s = 0;
    assert_int_equal(tokens_mint(&none, "k", "HS256", text_of(forge_secret, 64), &fixture.token, &failure),
                     STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minted_token_of_each_algorithm_verifies),
        cmocka_unit_test(no_two_minted_tokens_have_the_same_id),
        cmocka_unit_test(a_key_that_does_not_fit_is_refused),
        cmocka_unit_test(a_private_key_with_a_password_is_refused_without_asking),
        cmocka_unit_test(a_lifetime_of_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
