/* Tokens that somebody without a key made, or with another issuer's. Beside each a good one is shown to be good. */
#include "auth/token.h"

#include <openssl/x509.h>

#include "spoil.h"

/* GOOD_HEADER with another algorithm, the kid of the key at `i`, and perhaps more, before the signature. */
static void begin(const char *algorithm, size_t i, const char *more)
{
    struct buffer header;
    buffer_init(&header, 8192);
    buffer_printf(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"k-%s\"%s}", algorithm, forge_algorithms[i], more);
    buffer_clear(&fixture.token);
    forge_input(&fixture.token, buffer_c_string(&header), GOOD_PAYLOAD);
    buffer_free(&header);
}

static void end(const void *signature, size_t size)
{
    buffer_append_char(&fixture.token, '.');
    encoding_base64url_append(&fixture.token, signature, size);
}

static void try_secret(const char *algorithm, size_t i, struct text secret, const char *what)
{
    unsigned char signature[1024];
    begin(algorithm, i, "");
    size_t size = forge_signature(algorithm, NULL, secret, buffer_text(&fixture.token), signature);
    end(signature, size);
    expect_bad(what, i);
}

static void what_everybody_knows_is_no_secret(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        expect_good(i);
        for (size_t hash = 0; hash < 3; hash++) {
            const char *algorithm = forge_algorithms[hash];
            try_secret(algorithm, i, TEXT(""), "an empty secret");
            try_secret(algorithm, i, text_of("\0", 1), "a NUL");
            try_secret(algorithm, i, text_of(forge_secret, 63), "all of the secret but its end");
            try_secret(algorithm, i, text_from_string(forge_algorithms[i]), "the algorithm's name");
            if (fixture.pkeys[i] == NULL)
                continue;
            unsigned char *der = NULL;
            int size = i2d_PUBKEY(fixture.pkeys[i], &der);
            char *pem = forge_pem(fixture.pkeys[i], false);
            struct buffer jwk;
            buffer_init(&jwk, 8192);
            forge_jwk(&jwk, fixture.pkeys[i], NULL);
            buffer_append_char(&jwk, '}');
            try_secret(algorithm, i, text_of((char *)der, (size_t)size), "the public key as DER");
            try_secret(algorithm, i, text_from_string(pem), "as PEM");
            try_secret(algorithm, i, text_of(pem, strlen(pem) - 1), "as PEM without its line end");
            try_secret(algorithm, i, buffer_text(&jwk), "as JWK");
            OPENSSL_free(der);
            free(pem);
            buffer_free(&jwk);
        }
    }
}

static void a_key_that_the_token_brings_itself_is_not_used(void **state)
{
    static const size_t kinds[] = {3, 4, 5, 6, 7, 8};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        size_t i = kinds[k];
        EVP_PKEY *stranger = forge_pkey(forge_algorithms[i]);
        struct buffer jwk;
        unsigned char signature[1024];
        buffer_init(&jwk, 8192);
        expect_good(i);
        for (int way = 0; way < 5; way++) {
            static const char *const addresses[] = {
                ",\"jku\":\"https://evil.example/jwks.json\"", ",\"x5u\":\"https://evil.example/chain.pem\"",
                ",\"x5c\":[\"MIIB\"]", ",\"jku\":\"file:///tmp/jwks.json\",\"x5t\":\"AAAA\""};
            buffer_clear(&jwk);
            buffer_append_literal(&jwk, ",\"jwk\":");
            forge_jwk(&jwk, stranger, NULL);
            buffer_append_char(&jwk, '}');
            begin(forge_algorithms[i], i, way < 4 ? addresses[way] : buffer_c_string(&jwk));
            size_t size =
                forge_signature(forge_algorithms[i], stranger, TEXT_NONE, buffer_text(&fixture.token), signature);
            end(signature, size);
            expect_bad("a key in the header", i);
        }
        buffer_free(&jwk);
        EVP_PKEY_free(stranger);
    }
}

/* RSA: the other padding, and the signature's own bytes. */
static void a_signature_of_another_padding_is_refused(void **state)
{
    for (size_t i = 3; i < 6; i++) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_PKEY_CTX *padding;
        unsigned char signature[1024];
        static const char *const names[] = {NULL, "PS256", "PS384", "PS512"};
        for (size_t k = 0; k < 4; k++) {
            size_t size = sizeof(signature);
            expect_good(i);
            begin(names[k] != NULL ? names[k] : forge_algorithms[i], i, "");
            assert_int_equal(
                EVP_DigestSignInit(context, &padding, forge_digest(forge_algorithms[i]), NULL, fixture.pkeys[i]), 1);
            assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 1);
            assert_int_equal(
                EVP_DigestSign(context, signature, &size, (unsigned char *)fixture.token.data, fixture.token.size), 1);
            end(signature, size);
            expect_bad("PSS", i);
            EVP_MD_CTX_reset(context);
        }
        EVP_MD_CTX_free(context);
        begin(forge_algorithms[i], i, "");
        memset(signature, 0, sizeof(signature));
        end(signature, 256);
        expect_bad("zeros", i);
        begin(forge_algorithms[i], i, "");
        signature[255] = 1;
        end(signature, 256);
        expect_bad("one", i);
    }
}

static void an_elliptic_signature_that_is_zero_or_asn1_is_refused(void **state)
{
    for (size_t i = 6; i < FORGE_COUNT; i++) {
        size_t half = forge_coordinate(forge_algorithms[i]);
        unsigned char good[1024], bad[1024], der[1024];
        expect_good(i);
        for (int way = 0; way < 6; way++) {
            begin(forge_algorithms[i], i, "");
            size_t size =
                forge_signature(forge_algorithms[i], fixture.pkeys[i], TEXT_NONE, buffer_text(&fixture.token), good);
            size_t der_size =
                forge_sign_pkey(forge_algorithms[i], fixture.pkeys[i], buffer_text(&fixture.token), der, 1024);
            memcpy(bad, good, size);
            if (way == 0)
                memset(bad, 0, size);
            else if (way == 1)
                memset(bad, 0, half);
            else if (way == 2)
                memset(bad + half, 0, half);
            else if (way == 3)
                memset(bad, 0xFF, size);
            else if (way == 4) { /* s before r */
                memcpy(bad, good + half, half);
                memcpy(bad + half, good, half);
            }
            end(way < 5 ? bad : der, way < 5 ? size : der_size);
            expect_bad("an odd signature", i);
        }
    }
}

/* Two issuers whose keys bear the same names. */
static void a_key_of_one_issuer_verifies_no_token_of_another(void **state)
{
    static const char *const their_audiences[] = {"sluice", "theirs", NULL};
    const struct tokens_issuer issuers[] = {
        forge_issuer,
        {.issuer = "https://other.example", .audiences = their_audiences, .customer = "birch", .tier = "gold"}};
    struct tokens_options rules = forge_rules;
    struct key_list list = {.count = 0};
    EVP_PKEY *theirs[FORGE_COUNT];
    struct buffer payload;
    buffer_init(&payload, 8192);
    rules.issuers = issuers;
    rules.issuer_count = 2;
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        char kid[16];
        snprintf(kid, sizeof(kid), "k-%s", forge_algorithms[i]);
        theirs[i] = forge_pkey(forge_algorithms[i]);
        if (theirs[i] != NULL)
            assert_int_equal(key_list_add(&list, make_key(forge_algorithms[i], theirs[i], kid)), KEY_LIST_ADDED);
    }
    struct keys *both[] = {fixture.keys, keys_create(&list)};
    key_list_clear(&list);
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (int way = 0; way < 4; way++) { /* whose name, whose key */
            bool says_theirs = way % 2 != 0, signs_theirs = way / 2 != 0;
            if (signs_theirs && theirs[i] == NULL)
                continue;
            replace_text(&payload, GOOD_PAYLOAD, ISS, says_theirs ? "\"iss\":\"https://other.example\"" : ISS);
            forge_token(&fixture.token, forge_algorithms[i], signs_theirs ? theirs[i] : fixture.pkeys[i], GOOD_HEADER,
                        buffer_c_string(&payload));
            enum tokens_verdict verdict = token_verify(both, &rules, buffer_text(&fixture.token), FORGE_NOW, 1, &facts);
            if ((verdict == TOKENS_VALID) != (says_theirs == signs_theirs))
                fail_msg("%s, %d: %s", forge_algorithms[i], way, verdict == TOKENS_VALID ? "accepted" : facts.reason);
            assert_int_equal(facts.issuer, says_theirs);
            if (verdict == TOKENS_VALID) {
                assert_true(text_equal(facts.principal->customer, says_theirs ? TEXT("birch") : TEXT("acme")));
                assert_true(text_equal(facts.principal->tier, says_theirs ? TEXT("gold") : TEXT("free")));
            }
            principal_unref(facts.principal);
        }
    /* An audience of the one is none of the other. */
    replace_text(&payload, GOOD_PAYLOAD, AUD, "\"aud\":\"theirs\"");
    forge_token(&fixture.token, "ES256", fixture.pkeys[6], GOOD_HEADER, buffer_c_string(&payload));
    assert_int_equal(token_verify(both, &rules, buffer_text(&fixture.token), FORGE_NOW, 1, &facts), TOKENS_INVALID);
    assert_string_equal(facts.reason, "wrong audience");
    keys_unref(both[1]);
    for (size_t i = 0; i < FORGE_COUNT; i++)
        EVP_PKEY_free(theirs[i]);
    buffer_free(&payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_everybody_knows_is_no_secret),
        cmocka_unit_test(a_key_that_the_token_brings_itself_is_not_used),
        cmocka_unit_test(a_signature_of_another_padding_is_refused),
        cmocka_unit_test(an_elliptic_signature_that_is_zero_or_asn1_is_refused),
        cmocka_unit_test(a_key_of_one_issuer_verifies_no_token_of_another),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
