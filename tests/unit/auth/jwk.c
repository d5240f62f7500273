#include "auth/jwk.h"

#include "forge.h"

static const char *const all[] = {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", NULL};
static struct key_list list;
static struct jwk_skipped skipped;
static struct failure failure;
static struct buffer document;

static int set_up(void **state)
{
    list.count = 0;
    buffer_init(&document, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    key_list_clear(&list);
    buffer_free(&document);
    return 0;
}

static enum status read_with(const char *const *allowed)
{
    char *exact = malloc(document.size);
    memcpy(exact, document.data, document.size);
    enum status status = jwk_read_set(text_of(exact, document.size), allowed, &list, &skipped, &failure);
    free(exact);
    return status;
}

static void put(const char *type, const char *kid, const char *members)
{
    EVP_PKEY *pkey = forge_pkey(type);
    forge_jwk(&document, pkey, kid);
    buffer_append_string(&document, members);
    EVP_PKEY_free(pkey);
}

static void keys_of_each_kind_are_read_with_their_algorithm(void **state)
{
    static const struct {
        const char *type, *members, *expected;
    } rows[] = {
        {"RS256", "}", "RS256"},
        {"RS256", ",\"alg\":\"RS384\"}", "RS384"},
        {"RS256", ",\"alg\":\"RS512\",\"use\":\"sig\"}", "RS512"},
        {"ES256", "}", "ES256"},
        {"ES384", ",\"key_ops\":[\"sign\",\"verify\"]}", "ES384"},
        {"ES512", ",\"alg\":\"ES512\",\"x5t\":\"whatever\",\"x5c\":[]}", "ES512"},
    };
    char kid[8] = "k0";
    buffer_append_string(&document, "{\"more\":{},\"keys\":[");
    for (size_t i = 0; i < 6; i++, kid[1]++) {
        buffer_append_string(&document, i != 0 ? "," : "");
        put(rows[i].type, kid, rows[i].members);
    }
    buffer_append_string(&document, "]}");
    assert_int_equal(read_with(all), STATUS_OK);
    assert_int_equal(list.count, 6);
    assert_int_equal(skipped.count, 0);
    kid[1] = '0';
    for (size_t i = 0; i < 6; i++, kid[1]++) {
        assert_string_equal(list.items[i]->algorithm->name, rows[i].expected);
        assert_true(text_equal(list.items[i]->kid, text_from_string(kid)));
    }
}

static void a_key_that_was_read_verifies_what_its_pair_signed(void **state)
{
    for (size_t i = 3; i < FORGE_COUNT; i += 3) {
        unsigned char signature[1024];
        EVP_PKEY *pkey = forge_pkey(forge_algorithms[i]);
        buffer_clear(&document);
        buffer_append_string(&document, "{\"keys\":[");
        forge_jwk(&document, pkey, NULL);
        buffer_append_string(&document, "}]}");
        assert_int_equal(read_with(all), STATUS_OK);
        struct key *key = list.items[list.count - 1];
        size_t size = forge_signature(key->algorithm->name, pkey, TEXT_NONE, TEXT("input"), signature);
        assert_true(key_verify(key, TEXT("input"), text_of((char *)signature, size)));
        assert_false(key_verify(key, TEXT("inpuT"), text_of((char *)signature, size)));
        EVP_PKEY_free(pkey);
    }
}

/* Each stands beside a good key, so that only it is skipped. */
static void expect_skipped(const char *key, const char *why)
{
    struct buffer good = document;
    buffer_init(&document, 1 << 20);
    buffer_append_string(&document, "{\"keys\":[");
    buffer_append_string(&document, key);
    buffer_append_string(&document, ",");
    buffer_append_text(&document, buffer_text(&good));
    buffer_append_string(&document, "]}");
    key_list_clear(&list);
    if (read_with(all) != STATUS_OK)
        fail_msg("%s: %s", key, failure.message);
    if (list.count != 1 || skipped.count != 1 || strstr(skipped.first, why) == NULL)
        fail_msg("%s: %zu keys, %zu skipped: %s", key, list.count, skipped.count, skipped.first);
    buffer_free(&document);
    document = good;
}

static void what_cannot_verify_tokens_is_skipped_and_named(void **state)
{
    static const struct {
        const char *members, *why;
    } ec[] = {
        {",\"use\":\"enc\"}", "use is not"},
        {",\"use\":1}", "use is not"},
        {",\"key_ops\":[\"sign\"]}", "key_ops"},
        {",\"key_ops\":\"verify\"}", "key_ops"},
        {",\"d\":\"AAAA\"}", "private"},
        {",\"alg\":\"ES384\"}", "alg"},
        {",\"alg\":\"RS256\"}", "alg"},
        {",\"alg\":\"HS256\"}", "alg"},
        {",\"alg\":\"none\"}", "alg"},
        {",\"alg\":\"ECDH-ES\"}", "alg"},
        {",\"alg\":null}", "alg"},
        {",\"kid\":1}", "kid"},
        {",\"kid\":\"\"}", "kid"},
        {",\"kid\":\"good\"}", NULL}, /* the good one comes second and is the one skipped */
    };
    put("ES256", "good", "}");
    for (size_t i = 0; i < sizeof(ec) / sizeof(ec[0]); i++) {
        struct buffer key;
        EVP_PKEY *pkey = forge_pkey("ES256");
        buffer_init(&key, 8192);
        forge_jwk(&key, pkey, NULL);
        buffer_append_string(&key, ec[i].members);
        expect_skipped(buffer_c_string(&key), ec[i].why != NULL ? ec[i].why : "seen before");
        buffer_free(&key);
        EVP_PKEY_free(pkey);
    }
}

static void malformed_keys_are_skipped(void **state)
{
    static const char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    char key[2048], big[1500];
    put("RS256", "good", "}");
    expect_skipped("1", "not an object");
    expect_skipped("[]", "not an object");
    expect_skipped("{}", "kty");
    expect_skipped("{\"kty\":\"oct\",\"k\":\"AAAA\"}", "kty");
    expect_skipped("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", "kty");
    expect_skipped("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", "curve");
    expect_skipped("{\"kty\":\"EC\",\"crv\":\"P-256\"}", "x or y");
    expect_skipped("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", "x or y");
    snprintf(key, sizeof(key), "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", zeros, zeros);
    expect_skipped(key, "x or y");
    expect_skipped("{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "n or e");
    expect_skipped("{\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"A=\"}", "n or e");
    memset(big, '_', sizeof(big));
    big[171] = '8';
    snprintf(key, sizeof(key), "{\"kty\":\"RSA\",\"n\":\"%.172s\",\"e\":\"AQAB\"}", big);
    expect_skipped(key, "1032 bits");
    big[171] = '_';
    snprintf(key, sizeof(key), "{\"kty\":\"RSA\",\"n\":\"%.344s\",\"e\":\"AQ\"}", big);
    expect_skipped(key, "exponent");
    snprintf(key, sizeof(key), "{\"kty\":\"RSA\",\"n\":\"%.344s\",\"e\":\"Ag\"}", big);
    expect_skipped(key, "exponent");
    snprintf(key, sizeof(key), "{\"kty\":\"RSA\",\"n\":\"%.1400s\",\"e\":\"AQAB\"}", big);
    expect_skipped(key, "n or e");
}

static void a_key_whose_algorithm_is_not_allowed_is_skipped(void **state)
{
    static const char *const only[] = {"ES256", NULL};
    buffer_append_string(&document, "{\"keys\":[");
    put("RS256", "a", "},");
    put("ES256", "b", "}]}");
    assert_int_equal(read_with(only), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_non_null(strstr(skipped.first, "allowed_algorithms"));
}

static void a_document_without_a_usable_key_is_refused(void **state)
{
    static const char *const documents[] = {"{\"keys\":[]}",
                                            "{\"keys\":{}}",
                                            "{}",
                                            "[]",
                                            "null",
                                            "<html>",
                                            "{\"keys\":[]} x",
                                            "{\"keys\":[],\"keys\":[]}",
                                            "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
                                            "{\"keys\":[\xff]}",
                                            " "};
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        buffer_clear(&document);
        buffer_append_string(&document, documents[i]);
        failure.message[0] = '\0';
        assert_int_equal(read_with(all), STATUS_INVALID);
        assert_int_not_equal(strlen(failure.message), 0);
        assert_int_equal(list.count, 0);
    }
    while (document.size <= JWK_MAX_DOCUMENT)
        buffer_append_char(&document, ' ');
    assert_int_equal(read_with(all), STATUS_INVALID);
    assert_int_equal(jwk_read_set(TEXT_NONE, all, &list, &skipped, &failure), STATUS_INVALID);
}

static void no_more_than_sixty_four_keys_are_taken(void **state)
{
    EVP_PKEY *pkey = forge_pkey("ES256");
    buffer_append_string(&document, "{\"keys\":[");
    for (int i = 0; i < 70; i++) {
        char kid[8];
        snprintf(kid, sizeof(kid), "k%d", i);
        buffer_append_string(&document, i != 0 ? "," : "");
        forge_jwk(&document, pkey, kid);
        buffer_append_string(&document, "}");
    }
    buffer_append_string(&document, "]}");
    assert_int_equal(read_with(all), STATUS_OK);
    assert_int_equal(list.count, KEY_LIST_MAX);
    assert_int_equal(skipped.count, 70 - KEY_LIST_MAX);
    EVP_PKEY_free(pkey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_of_each_kind_are_read_with_their_algorithm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_that_was_read_verifies_what_its_pair_signed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_verify_tokens_is_skipped_and_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_keys_are_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_whose_algorithm_is_not_allowed_is_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_without_a_usable_key_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_than_sixty_four_keys_are_taken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
