/* Bad tokens by the dozen, for each kind of key. Each is a good one with one thing spoilt, and the good one is shown to
 * be good beside it: so it is the spoiling that is refused. */
#include "auth/token.h"

#include "spoil.h"

struct spoiling {
    const char *what, *from, *to;
};

/* Properly signed, whatever stands in them. */
static const struct spoiling headers[] = {
    {"none", "\"alg\":\"$\"", "\"alg\":\"none\""},
    {"None", "\"alg\":\"$\"", "\"alg\":\"None\""},
    {"NONE", "\"alg\":\"$\"", "\"alg\":\"NONE\""},
    {"nOnE", "\"alg\":\"$\"", "\"alg\":\"nOnE\""},
    {"none with a blank", "\"alg\":\"$\"", "\"alg\":\"none \""},
    {"none with a NUL", "\"alg\":\"$\"", "\"alg\":\"none\\u0000\""},
    {"none first, twice", "\"alg\":\"$\"", "\"alg\":\"none\",\"alg\":\"$\""},
    {"none last, twice", "\"alg\":\"$\"", "\"alg\":\"$\",\"alg\":\"none\""},
    {"none escaped, twice", "\"alg\":\"$\"", "\"alg\":\"$\",\"\\u0061lg\":\"none\""},
    {"no alg", "\"alg\":\"$\",", ""},
    {"alg empty", "\"alg\":\"$\"", "\"alg\":\"\""},
    {"alg null", "\"alg\":\"$\"", "\"alg\":null"},
    {"alg a number", "\"alg\":\"$\"", "\"alg\":256"},
    {"alg a list", "\"alg\":\"$\"", "\"alg\":[\"$\"]"},
    {"alg an object", "\"alg\":\"$\"", "\"alg\":{\"$\":1}"},
    {"Alg", "\"alg\"", "\"Alg\""},
    {"alg with a blank", "\"alg\":\"$\"", "\"alg\":\"$ \""},
    {"PS256", "\"alg\":\"$\"", "\"alg\":\"PS256\""},
    {"ES256K", "\"alg\":\"$\"", "\"alg\":\"ES256K\""},
    {"EdDSA", "\"alg\":\"$\"", "\"alg\":\"EdDSA\""},
    {"HS1", "\"alg\":\"$\"", "\"alg\":\"HS1\""},
    {"RSA1_5", "\"alg\":\"$\"", "\"alg\":\"RSA1_5\",\"enc\":\"A128GCM\""},
    {"dir", "\"alg\":\"$\"", "\"alg\":\"dir\",\"enc\":\"A128GCM\""},
    {"enc", "\"typ\"", "\"enc\":\"A128GCM\",\"typ\""},
    {"zip", "\"typ\"", "\"zip\":\"DEF\",\"typ\""},
    {"crit of a known claim", "\"typ\"", "\"crit\":[\"exp\"],\"typ\""},
    {"crit empty", "\"typ\"", "\"crit\":[],\"typ\""},
    {"crit null", "\"typ\"", "\"crit\":null,\"typ\""},
    {"crit b64", "\"typ\"", "\"crit\":[\"b64\"],\"b64\":false,\"typ\""},
    {"b64 false", "\"typ\"", "\"b64\":false,\"typ\""},
    {"b64 true", "\"typ\"", "\"b64\":true,\"typ\""},
    {"cty JWT", "\"typ\"", "\"cty\":\"JWT\",\"typ\""},
    {"typ JWE", "\"typ\":\"JWT\"", "\"typ\":\"JWE\""},
    {"typ of an id token", "\"typ\":\"JWT\"", "\"typ\":\"logout+jwt\""},
    {"typ dpop", "\"typ\":\"JWT\"", "\"typ\":\"dpop+jwt\""},
    {"typ a list", "\"typ\":\"JWT\"", "\"typ\":[\"JWT\"]"},
    {"typ null", "\"typ\":\"JWT\"", "\"typ\":null"},
    {"typ twice", "\"typ\":\"JWT\"", "\"typ\":\"JWT\",\"typ\":\"JWT\""},
    {"no kid", ",\"kid\":\"k-$\"", ""},
    {"kid empty", "\"k-$\"", "\"\""},
    {"kid null", "\"k-$\"", "null"},
    {"kid a number", "\"k-$\"", "1"},
    {"kid a list", "\"k-$\"", "[\"k-$\"]"},
    {"kid an object", "\"k-$\"", "{\"kid\":\"k-$\"}"},
    {"kid twice", "\"kid\":\"k-$\"", "\"kid\":\"k-$\",\"kid\":\"k-$\""},
    {"kid with a NUL", "\"k-$\"", "\"k-$\\u0000\""},
    {"kid with a blank", "\"k-$\"", "\"k-$ \""},
    {"kid in capitals", "\"k-$\"", "\"K-$\""},
    {"kid a path", "\"k-$\"", "\"../../../../../dev/null\""},
    {"kid a path to the key", "\"k-$\"", "\"./k-$\""},
    {"kid a device", "\"k-$\"", "\"/dev/null\""},
    {"kid SQL", "\"k-$\"", "\"k-$' or '1'='1\""},
    {"kid SQL that brings a key", "\"k-$\"", "\"x' union select '0123456789abcdef' --\""},
    {"kid a command", "\"k-$\"", "\"k-$|true\""},
    {"kid an address", "\"k-$\"", "\"https://evil.example/k-$\""},
    {"kid with a percent", "\"k-$\"", "\"%6b-$\""},
    {"a list", GOOD_HEADER, "[" GOOD_HEADER "]"},
    {"two objects", GOOD_HEADER, GOOD_HEADER GOOD_HEADER},
    {"a text", GOOD_HEADER, "\"$\""},
    {"null", GOOD_HEADER, "null"},
    {"junk behind", GOOD_HEADER, GOOD_HEADER "x"},
    {"a comment", GOOD_HEADER, "/**/" GOOD_HEADER},
    {"a trailing comma", "\"kid\":\"k-$\"}", "\"kid\":\"k-$\",}"},
    {"single quotes", "\"kid\":\"k-$\"", "'kid':'k-$'"},
    {"bytes that are no UTF-8", "\"k-$\"", "\"k-$\xff\""},
};

static const struct spoiling payloads[] = {
    {"no iss", ISS ",", ""},
    {"iss of a stranger", ISS, "\"iss\":\"https://evil.example\""},
    {"iss with a slash", ISS, "\"iss\":\"https://issuer.example/\""},
    {"iss in capitals", ISS, "\"iss\":\"https://ISSUER.example\""},
    {"iss cut", ISS, "\"iss\":\"https://issuer.exampl\""},
    {"iss with a NUL", ISS, "\"iss\":\"https://issuer.example\\u0000.evil\""},
    {"iss a list", ISS, "\"iss\":[\"https://issuer.example\"]"},
    {"iss twice", ISS, ISS ",\"iss\":\"https://evil.example\""},
    {"no aud", AUD ",", ""},
    {"aud of another", AUD, "\"aud\":\"other\""},
    {"aud a prefix", AUD, "\"aud\":\"sluic\""},
    {"aud longer", AUD, "\"aud\":\"sluice2\""},
    {"aud in capitals", AUD, "\"aud\":\"Sluice\""},
    {"aud two in one", AUD, "\"aud\":\"other sluice\""},
    {"aud empty", AUD, "\"aud\":\"\""},
    {"aud null", AUD, "\"aud\":null"},
    {"aud a number", AUD, "\"aud\":1"},
    {"aud an object", AUD, "\"aud\":{\"sluice\":true}"},
    {"aud an empty list", AUD, "\"aud\":[]"},
    {"aud a list of others", AUD, "\"aud\":[\"a\",\"b\"]"},
    {"aud a list in a list", AUD, "\"aud\":[[\"sluice\"]]"},
    {"aud a list with a number", AUD, "\"aud\":[\"sluice\",1]"},
    {"aud twice", AUD, "\"aud\":\"other\"," AUD},
    {"no exp", "," EXP, ""},
    {"exp past", EXP, "\"exp\":1699999970"},
    {"exp long past", EXP, "\"exp\":1"},
    {"exp zero", EXP, "\"exp\":0"},
    {"exp negative", EXP, "\"exp\":-1700000600"},
    {"exp a text", EXP, "\"exp\":\"1700000600\""},
    {"exp null", EXP, "\"exp\":null"},
    {"exp true", EXP, "\"exp\":true"},
    {"exp a list", EXP, "\"exp\":[1700000600]"},
    {"exp too far ahead", EXP, "\"exp\":1700086431"},
    {"exp in milliseconds", EXP, "\"exp\":1700000600000"},
    {"exp huge", EXP, "\"exp\":9223372036854775807"},
    {"exp past 64 bits", EXP, "\"exp\":9223372036854775808"},
    {"exp past 2^64", EXP, "\"exp\":18446744075409552216"},
    {"exp a float of the past", EXP, "\"exp\":1699999970.9"},
    {"exp a huge float", EXP, "\"exp\":1e300"},
    {"exp infinite", EXP, "\"exp\":1e999"},
    {"exp NaN", EXP, "\"exp\":NaN"},
    {"exp Infinity", EXP, "\"exp\":Infinity"},
    {"exp hexadecimal", EXP, "\"exp\":0x6553f3d8"},
    {"exp with a zero", EXP, "\"exp\":01700000600"},
    {"exp twice", EXP, "\"exp\":1," EXP},
    {"exp twice, escaped", EXP, EXP ",\"e\\u0078p\":1"},
    {"nbf ahead", NBF, "\"nbf\":1700000031"},
    {"nbf a text", NBF, "\"nbf\":\"1699999990\""},
    {"nbf negative", NBF, "\"nbf\":-1"},
    {"nbf a huge float", NBF, "\"nbf\":1e300"},
    {"nbf a float ahead", NBF, "\"nbf\":1700000030.1"},
    {"nbf null", NBF, "\"nbf\":null"},
    {"iat ahead", IAT, "\"iat\":1700000031"},
    {"iat a text", IAT, "\"iat\":\"1699999980\""},
    {"iat negative", IAT, "\"iat\":-1"},
    {"iat huge", IAT, "\"iat\":9223372036854775807"},
    {"iat too long before exp", IAT, "\"iat\":1699914169"},
    {"iat a list", IAT, "\"iat\":[]"},
    {"no sub", "\"sub\":\"user-1\",", ""},
    {"sub empty", "\"sub\":\"user-1\"", "\"sub\":\"\""},
    {"sub a number", "\"sub\":\"user-1\"", "\"sub\":1"},
    {"sub with a NUL", "\"sub\":\"user-1\"", "\"sub\":\"user-1\\u0000\""},
    {"sub twice", "\"sub\":\"user-1\"", "\"sub\":\"user-1\",\"sub\":\"user-2\""},
    {"no customer", CUSTOMER ",", ""},
    {"customer empty", CUSTOMER, "\"customer\":\"\""},
    {"customer in capitals", CUSTOMER, "\"customer\":\"Acme\""},
    {"customer with a line end", CUSTOMER, "\"customer\":\"acme\\n\""},
    {"customer with a NUL", CUSTOMER, "\"customer\":\"acme\\u0000\""},
    {"customer with a tab", CUSTOMER, "\"customer\":\"ac\\tme\""},
    {"customer with an escape", CUSTOMER, "\"customer\":\"acme\\u001b[2J\""},
    {"customer SQL", CUSTOMER, "\"customer\":\"acme\\\"; drop schema x\""},
    {"customer a path", CUSTOMER, "\"customer\":\"../acme\""},
    {"customer with another alphabet's a", CUSTOMER, "\"customer\":\"\\u0430cme\""},
    {"customer a digit first", CUSTOMER, "\"customer\":\"1acme\""},
    {"customer of 42 bytes", CUSTOMER, "\"customer\":\"a12345678901234567890123456789012345678901\""},
    {"customer a list", CUSTOMER, "\"customer\":[\"acme\"]"},
    {"customer twice", CUSTOMER, "\"customer\":\"birch\"," CUSTOMER},
    {"tier a number", "\"tier\":\"free\"", "\"tier\":1"},
    {"tier empty", "\"tier\":\"free\"", "\"tier\":\"\""},
    {"jti a number", "\"jti\":\"id-1\"", "\"jti\":1"},
    {"jti empty", "\"jti\":\"id-1\"", "\"jti\":\"\""},
    {"scope a number", SCOPE, "\"scope\":1"},
    {"scope an object", SCOPE, "\"scope\":{}"},
    {"scope with two blanks", SCOPE, "\"scope\":\"a  b\""},
    {"scope with a line end", SCOPE, "\"scope\":\"a\\nb\""},
    {"scope with a quote", SCOPE, "\"scope\":\"a\\\"b\""},
    {"scope a list with a list", SCOPE, "\"scope\":[[\"a\"]]"},
    {"scope a list of several in one", SCOPE, "\"scope\":[\"a b\"]"},
    {"scope twice", SCOPE, SCOPE ",\"scope\":\"warehouse:write\""},
    {"not an object", GOOD_PAYLOAD, "[" GOOD_PAYLOAD "]"},
    {"a text", GOOD_PAYLOAD, "\"acme\""},
    {"null", GOOD_PAYLOAD, "null"},
    {"two objects", GOOD_PAYLOAD, GOOD_PAYLOAD GOOD_PAYLOAD},
    {"bytes that are no UTF-8", "\"user-1\"", "\"user-1\xc0\x80\""},
    {"half a surrogate", "\"user-1\"", "\"user-1\\ud800\""},
};

static void a_header_or_a_claim_that_is_spoilt_is_refused_whatever_signed_it(void **state)
{
    struct buffer text;
    buffer_init(&text, 65536);
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        expect_good(i);
        for (size_t row = 0; row < sizeof(headers) / sizeof(headers[0]); row++) {
            replace_text(&text, GOOD_HEADER, headers[row].from, headers[row].to);
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], buffer_c_string(&text), GOOD_PAYLOAD);
            expect_bad(headers[row].what, i);
        }
        for (size_t row = 0; row < sizeof(payloads) / sizeof(payloads[0]); row++) {
            replace_text(&text, GOOD_PAYLOAD, payloads[row].from, payloads[row].to);
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], GOOD_HEADER, buffer_c_string(&text));
            expect_bad(payloads[row].what, i);
        }
        expect_good(i);
    }
    buffer_free(&text);
}

/* Where the part begins. */
static size_t part(int which)
{
    size_t at = 0;
    while (which > 0)
        if (fixture.token.data[at++] == '.')
            which--;
    return at;
}

static void put(size_t at, size_t old, const char *new)
{
    struct buffer made;
    buffer_init(&made, 1 << 20);
    buffer_append(&made, fixture.token.data, at);
    buffer_append_string(&made, new);
    buffer_append(&made, fixture.token.data + at + old, fixture.token.size - at - old);
    buffer_free(&fixture.token);
    fixture.token = made;
}

static void what_base64url_is_not_is_refused_in_each_part(void **state)
{
    static const char *const junk[] = {"=", "==", " ", "\n", "\r\n", "\t", "+", "/", "!", "%41", "\x80", "A", "~"};
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (int which = 0; which < 3; which++)
            for (size_t k = 0; k < 2 * sizeof(junk) / sizeof(junk[0]); k++) {
                expect_good(i);
                size_t end = which < 2 ? part(which + 1) - 1 : fixture.token.size;
                put(k % 2 != 0 ? end : part(which) + 3, 0, junk[k / 2]);
                expect_bad(junk[k / 2], i);
            }
}

static void a_token_is_refused_wherever_it_is_cut(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        expect_good(i);
        size_t whole = fixture.token.size, step = 7;
        for (size_t size = 0; size < whole; size += size + step < whole ? step : 1) {
            forge_good(i); /* of ES* no two have the same bytes, but all have as many */
            fixture.token.size = size;
            expect_bad("cut", i);
        }
    }
}

static void parts_that_are_too_few_too_many_or_of_another_token_are_refused(void **state)
{
    struct buffer other;
    buffer_init(&other, 65536);
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        static const char *const behind[] = {".", "..", ".AAAA", ".AAAA.AAAA", "...."};
        expect_good(i);
        for (size_t k = 0; k < sizeof(behind) / sizeof(behind[0]); k++) {
            forge_good(i);
            put(fixture.token.size, 0, behind[k]);
            expect_bad("more parts", i);
            forge_good(i);
            put(0, 0, behind[k]);
            expect_bad("more parts in front", i);
        }
        for (int which = 0; which < 3; which++) { /* each part missing, its dot there */
            forge_good(i);
            size_t end = which < 2 ? part(which + 1) - 1 : fixture.token.size;
            put(part(which), end - part(which), "");
            expect_bad("an empty part", i);
        }
        /* The signature of another token of the same key, and the claims under it. */
        forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], GOOD_HEADER,
                    "{" ISS "," AUD ",\"sub\":\"user-2\"," CUSTOMER "," EXP "}");
        expect_valid("the other token");
        buffer_clear(&other);
        buffer_append(&other, fixture.token.data + part(2), fixture.token.size - part(2));
        forge_good(i);
        put(part(2), fixture.token.size - part(2), buffer_c_string(&other));
        expect_bad("another token's signature", i);
        /* A whole token as the claims of another. */
        forge_good(i);
        buffer_clear(&other);
        buffer_append_text(&other, buffer_text(&fixture.token));
        forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], GOOD_HEADER, buffer_c_string(&other));
        expect_bad("nested", i);
        forge_good(i);
        while (fixture.token.size < 65536)
            buffer_append_char(&fixture.token, 'A');
        expect_bad("64 KB", i);
    }
    buffer_free(&other);
}

static void there_were_more_than_120_ways_for_each_kind_of_key(void **state)
{
    assert_true(sizeof(headers) / sizeof(headers[0]) + sizeof(payloads) / sizeof(payloads[0]) >= 120);
    assert_true(spoilt >= 120 * FORGE_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_or_a_claim_that_is_spoilt_is_refused_whatever_signed_it),
        cmocka_unit_test(what_base64url_is_not_is_refused_in_each_part),
        cmocka_unit_test(a_token_is_refused_wherever_it_is_cut),
        cmocka_unit_test(parts_that_are_too_few_too_many_or_of_another_token_are_refused),
        cmocka_unit_test(there_were_more_than_120_ways_for_each_kind_of_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
