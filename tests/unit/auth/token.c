#include "auth/token.h"

#include "judge.h"

static void a_good_token_of_each_algorithm_gives_its_principal(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], HEADER, FORGE_GOOD);
        if (judge_at(fixture.keys, FORGE_NOW) != TOKENS_VALID)
            fail_msg("%s was refused: %s", forge_algorithms[i], facts.reason);
        const struct principal *principal = facts.principal;
        assert_true(text_equal(principal->subject, TEXT("user-1")));
        assert_true(text_equal(principal->customer, TEXT("acme")));
        assert_true(text_equal(principal->tier, TEXT("free")));
        assert_null(principal->token_id.data);
        assert_int_equal(principal->scope_count, 2);
        assert_true(principal_has_scope(principal, TEXT("datasets:read")));
        assert_false(principal_has_scope(principal, TEXT("datasets:rea")));
        assert_int_equal(principal->expires_at, 1700000600);
        assert_int_equal(principal->serial, 7);
        assert_string_equal(facts.key->algorithm->name, forge_algorithms[i]);
        principal_unref(principal);
    }
}

/* Where the three parts begin. */
static size_t part(int which)
{
    size_t at = 0;
    while (which > 0)
        if (fixture.token.data[at++] == '.')
            which--;
    return at;
}

static void replace(size_t at, size_t old, const char *new)
{
    struct buffer made;
    buffer_init(&made, 1 << 20);
    buffer_append(&made, fixture.token.data, at);
    buffer_append_string(&made, new);
    buffer_append(&made, fixture.token.data + at + old, fixture.token.size - at - old);
    buffer_free(&fixture.token);
    fixture.token = made;
}

static void cut_one(void)
{
    fixture.token.size--;
}
static void cut_in_half(void)
{
    fixture.token.size /= 2;
}
static void cut_signature(void)
{
    fixture.token.size = part(2);
}
static void cut_last_dot(void)
{
    fixture.token.size = part(2) - 1;
}
static void double_it(void)
{
    char copy[8192];
    size_t size = fixture.token.size;
    memcpy(copy, fixture.token.data, size);
    buffer_append(&fixture.token, copy, size);
}
static void dot_behind(void)
{
    buffer_append_char(&fixture.token, '.');
}
static void dot_before(void)
{
    replace(0, 0, ".");
}
static void fourth_part(void)
{
    buffer_append_string(&fixture.token, ".e30");
}
static void five_parts(void)
{
    buffer_append_string(&fixture.token, ".AAAA.AAAA");
}
static void empty_header(void)
{
    replace(0, part(1) - 1, "");
}
static void empty_payload(void)
{
    replace(part(1), part(2) - 1 - part(1), "");
}
static void nothing(void)
{
    fixture.token.size = 0;
}
static void two_dots(void)
{
    buffer_clear(&fixture.token);
    buffer_append_string(&fixture.token, "..");
}
static void padded_header(void)
{
    replace(part(1) - 1, 0, "=");
}
static void padded_payload(void)
{
    replace(part(2) - 1, 0, "=");
}
static void padded_signature(void)
{
    buffer_append_char(&fixture.token, '=');
}
static void space_behind(void)
{
    buffer_append_char(&fixture.token, ' ');
}
static void newline_inside(void)
{
    replace(part(2) + 4, 0, "\r\n");
}
static void junk_in_signature(void)
{
    replace(part(2) + 4, 0, "!!!!");
}
static void nul_behind(void)
{
    buffer_append_char(&fixture.token, '\0');
}
static void plain_base64(void)
{
    fixture.token.data[part(2) + 1] = '+';
}
static void bits_behind_the_end(void)
{
    /* Every signature here is of 32, 48, 64, 96, 132 or 256 bytes; a multiple of three has no spare bits. */
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *last = &fixture.token.data[fixture.token.size - 1];
    if ((fixture.token.size - part(2)) % 4 != 0)
        *last = alphabet[(strchr(alphabet, *last) - alphabet) ^ 1];
    else
        fixture.token.size--;
}
static void other_payload(void)
{
    size_t at = part(1);
    fixture.token.data[at + 20] = fixture.token.data[at + 20] == 'A' ? 'B' : 'A';
}
static void zero_signature(void)
{
    memset(fixture.token.data + part(2), 'A', fixture.token.size - part(2));
}
static void short_signature(void)
{
    fixture.token.size -= 4;
}
static void long_signature(void)
{
    replace(part(2), 0, "AAAA");
}
static void sixty_four_kilobytes(void)
{
    while (fixture.token.size < 65536)
        buffer_append_char(&fixture.token, 'A');
}
static void just_too_long(void)
{
    while (fixture.token.size < TOKEN_MAX_SIZE + 1)
        buffer_append_char(&fixture.token, 'A');
}

static void a_token_that_was_tampered_with_is_refused_whatever_signed_it(void **state)
{
#define PARTS "not three parts with dots between"
#define ROW(function, why)                                                                                             \
    {                                                                                                                  \
#function, function, why                                                                                       \
    }
    static const struct {
        const char *what;
        void (*mangle)(void);
        const char *reason;
    } rows[] = {
        ROW(cut_one, "wrong signature"),
        ROW(cut_in_half, NULL),
        ROW(cut_signature, PARTS),
        ROW(cut_last_dot, PARTS),
        ROW(double_it, PARTS),
        ROW(dot_behind, PARTS),
        ROW(dot_before, PARTS),
        ROW(fourth_part, PARTS),
        ROW(five_parts, PARTS),
        ROW(empty_header, PARTS),
        ROW(empty_payload, PARTS),
        ROW(nothing, PARTS),
        ROW(two_dots, PARTS),
        ROW(padded_header, "the header is not base64url"),
        ROW(padded_payload, "the payload is not base64url"),
        ROW(padded_signature, "wrong signature"),
        ROW(space_behind, "wrong signature"),
        ROW(newline_inside, "wrong signature"),
        ROW(junk_in_signature, "wrong signature"),
        ROW(nul_behind, PARTS),
        ROW(plain_base64, "wrong signature"),
        ROW(bits_behind_the_end, "wrong signature"),
        ROW(other_payload, NULL), /* it may be no JSON then, or another issuer's */
        ROW(zero_signature, "wrong signature"),
        ROW(short_signature, "wrong signature"),
        ROW(long_signature, "wrong signature"),
        ROW(sixty_four_kilobytes, "longer than 8192 bytes"),
        ROW(just_too_long, "longer than 8192 bytes"),
    };
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], HEADER, FORGE_GOOD);
            rows[row].mangle();
            if (rows[row].reason != NULL)
                expect_refused(rows[row].what, forge_algorithms[i], rows[row].reason);
            else
                assert_int_not_equal(judge_at(fixture.keys, FORGE_NOW), TOKENS_VALID);
        }
}

static void a_token_is_refused_with_any_bit_of_its_signature_flipped(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        struct buffer signature, input;
        buffer_init(&signature, 1024);
        buffer_init(&input, 8192);
        forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], HEADER, FORGE_GOOD);
        buffer_append(&input, fixture.token.data, part(2));
        assert_true(
            encoding_base64url_decode(text_of(fixture.token.data + part(2), fixture.token.size - part(2)), &signature));
        for (size_t bit = 0; bit<signature.size * 8; bit += signature.size> 64 ? 61 : 7) {
            signature.data[bit / 8] ^= (char)(1 << bit % 8);
            buffer_clear(&fixture.token);
            buffer_append_text(&fixture.token, buffer_text(&input));
            encoding_base64url_append(&fixture.token, signature.data, signature.size);
            expect_refused("a flipped bit", forge_algorithms[i], "wrong signature");
            signature.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        buffer_free(&signature);
        buffer_free(&input);
    }
}

static void a_token_that_names_the_key_of_another_algorithm_is_refused(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (size_t other = 0; other < FORGE_COUNT; other++) {
            char header[64];
            if (i == other)
                continue;
            snprintf(header, sizeof(header), "{\"alg\":\"$\",\"kid\":\"k-%s\"}", forge_algorithms[other]);
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], header, FORGE_GOOD);
            expect_refused(header, forge_algorithms[i], "alg is not the one that the key is for");
        }
}

/* Signed as `algorithm` with the HMAC secret `secret`, naming the key `kid`. */
static void forge_hmac(const char *algorithm, const char *kid, struct text secret)
{
    char header[64];
    unsigned char signature[1024];
    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", algorithm, kid);
    buffer_clear(&fixture.token);
    forge_input(&fixture.token, header, FORGE_GOOD);
    size_t size = forge_signature(algorithm, NULL, secret, buffer_text(&fixture.token), signature);
    buffer_append_char(&fixture.token, '.');
    encoding_base64url_append(&fixture.token, signature, size);
}

static void a_public_key_used_as_hmac_secret_opens_nothing(void **state)
{
    for (size_t i = 3; i < FORGE_COUNT; i++)
        for (size_t hash = 0; hash < 3; hash++) {
            char kid[16];
            snprintf(kid, sizeof(kid), "k-%s", forge_algorithms[i]);
            char *pem = forge_pem(fixture.pkeys[i], false);
            forge_hmac(forge_algorithms[hash], kid, text_from_string(pem));
            expect_refused("the PEM as secret", forge_algorithms[i], "alg is not the one that the key is for");
            forge_hmac(forge_algorithms[hash], kid, text_of(pem, strlen(pem) - 1));
            expect_refused("the PEM without its line end", forge_algorithms[i],
                           "alg is not the one that the key is for");
            free(pem);
        }
}

static void an_empty_or_other_secret_opens_nothing(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        char kid[16];
        snprintf(kid, sizeof(kid), "k-%s", forge_algorithms[i]);
        forge_hmac(forge_algorithms[i], kid, TEXT(""));
        expect_refused("an empty secret", forge_algorithms[i], "wrong signature");
        forge_hmac(forge_algorithms[i], kid, text_of(forge_secret, 63));
        expect_refused("a shorter secret", forge_algorithms[i], "wrong signature");
    }
}

static void a_token_of_another_key_pair_is_refused(void **state)
{
    for (size_t i = 3; i < FORGE_COUNT; i += 3) {
        EVP_PKEY *stranger = forge_pkey(forge_algorithms[i]);
        forge_token(&fixture.token, forge_algorithms[i], stranger, HEADER, FORGE_GOOD);
        expect_refused("a stranger's signature", forge_algorithms[i], "wrong signature");
        EVP_PKEY_free(stranger);
    }
}

static void an_unsigned_token_is_refused(void **state)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"none\",\"kid\":\"k-HS256\"}",
                                          "{\"alg\":\"HS256\",\"kid\":\"k-HS256\"}"};
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&fixture.token);
        forge_input(&fixture.token, headers[i], FORGE_GOOD);
        buffer_append_char(&fixture.token, '.');
        expect_refused(headers[i], "none", "not three parts with dots between");
        buffer_append_string(&fixture.token, "AAAA");
        assert_int_not_equal(judge_at(fixture.keys, FORGE_NOW), TOKENS_VALID);
    }
}

static void with_signature(const char *algorithm, const void *signature, size_t size)
{
    char header[64];
    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k-%s\"}", algorithm, algorithm);
    buffer_clear(&fixture.token);
    forge_input(&fixture.token, header, FORGE_GOOD);
    buffer_append_char(&fixture.token, '.');
    encoding_base64url_append(&fixture.token, signature, size);
}

static void an_elliptic_signature_must_be_raw_and_in_range(void **state)
{
    for (size_t i = 6; i < FORGE_COUNT; i++) {
        const char *algorithm = forge_algorithms[i];
        size_t half = forge_coordinate(algorithm);
        unsigned char der[1024], raw[2 * 66] = {0};
        with_signature(algorithm, "x", 1);
        size_t size = forge_sign_pkey(algorithm, fixture.pkeys[i], text_of(fixture.token.data, part(2) - 1), der, 1024);
        with_signature(algorithm, der, size);
        expect_refused("ASN.1", algorithm, "wrong signature");
        with_signature(algorithm, raw, 2 * half);
        expect_refused("r = s = 0", algorithm, "wrong signature");
        raw[half - 1] = raw[2 * half - 1] = 1;
        with_signature(algorithm, raw, 2 * half);
        expect_refused("r = s = 1", algorithm, "wrong signature");
        memset(raw, 0xFF, 2 * half);
        with_signature(algorithm, raw, 2 * half);
        expect_refused("r and s past the order", algorithm, "wrong signature");
    }
}

static void without_kid_a_token_may_only_be_of_the_one_and_only_key(void **state)
{
    forge_token(&fixture.token, "ES256", fixture.pkeys[6], "{\"alg\":\"$\"}", FORGE_GOOD);
    assert_int_equal(judge_at(fixture.single, FORGE_NOW), TOKENS_VALID);
    principal_unref(facts.principal);
    expect_refused("no kid and nine keys", "ES256", "kid is missing");
    forge_token(&fixture.token, "ES256", fixture.pkeys[6], "{\"alg\":\"$\",\"kid\":\"other\"}", FORGE_GOOD);
    assert_int_equal(judge_at(fixture.single, FORGE_NOW), TOKENS_UNKNOWN_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_of_each_algorithm_gives_its_principal),
        cmocka_unit_test(a_token_that_was_tampered_with_is_refused_whatever_signed_it),
        cmocka_unit_test(a_token_is_refused_with_any_bit_of_its_signature_flipped),
        cmocka_unit_test(a_token_that_names_the_key_of_another_algorithm_is_refused),
        cmocka_unit_test(a_public_key_used_as_hmac_secret_opens_nothing),
        cmocka_unit_test(an_empty_or_other_secret_opens_nothing),
        cmocka_unit_test(a_token_of_another_key_pair_is_refused),
        cmocka_unit_test(an_unsigned_token_is_refused),
        cmocka_unit_test(an_elliptic_signature_must_be_raw_and_in_range),
        cmocka_unit_test(without_kid_a_token_may_only_be_of_the_one_and_only_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
