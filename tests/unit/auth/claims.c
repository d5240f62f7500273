#include "auth/claims.h"

#include "judge.h"

static void what_the_standards_allow_is_accepted(void **state)
{
    static const struct {
        const char *header, *payload;
    } good[] = {
        {"{\"alg\":\"$\",\"kid\":\"k-$\"}", FORGE_GOOD},
        {"{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"jwt\"}", FORGE_GOOD},
        {"{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"at+jwt\"}", FORGE_GOOD},
        {"{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"AT+JWT\",\"x5t\":\"abc\"}", FORGE_GOOD},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700000600.75}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1.7000006e9,\"nbf\":1700000000.5,\"iat\":1699914170}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1699999971,\"nbf\":1700000030,\"iat\":1700000030}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700086430}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700000600,\"scope\":\"\",\"other\":[{\"a\":null}]}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700000600,\"scp\":[\"a\",\"b\"],\"jti\":\"x\"}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700000600,\"scp\":\"a b\"}"},
        {HEADER, "{" FORGE_BASE ",\"exp\":1700000600,\"scope\":[\"a\",\"b\"]}"},
        {"{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"application/at+jwt\"}", FORGE_GOOD},
        {HEADER, "{\"iss\":\"https://issuer.example\",\"aud\":[\"other\",\"sluice\"],\"sub\":\"\xc3\xa9\","
                 "\"customer\":\"a\",\"exp\":1700000600}"},
    };
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (size_t row = 0; row < sizeof(good) / sizeof(good[0]); row++) {
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], good[row].header, good[row].payload);
            expect_valid(good[row].payload);
        }
}

struct bad {
    const char *what, *header, *payload, *reason;
};

#define EXP ",\"exp\":1700000600"
#define WITHOUT(rest) "{" rest EXP "}"
#define ISS "\"iss\":\"https://issuer.example\""
#define AUD ",\"aud\":\"sluice\""
#define SUB ",\"sub\":\"u\""
#define CUSTOMER ",\"customer\":\"acme\""
#define NO_OBJECT "the payload is not a JSON object without duplicate members"
#define NO_HEADER "the header is not a JSON object without duplicate members"
#define BAD_AUD "aud is neither a string nor an array of strings"
#define BAD_ALG "alg is missing or not supported"
#define BAD_EXP "exp is not a time in seconds"
#define BAD_SCP "scope is neither a string nor an array of strings"
#define BAD_CHARACTER "a scope has a character that scopes may not have"
#define BAD_CUSTOMER "the claim that names the customer is missing or malformed"
#define LONG41 "a1234567890123456789012345678901234567890"
#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Signed with the right key, every one. */
static const struct bad signed_badly[] = {
    {"alg none", "{\"alg\":\"none\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg None", "{\"alg\":\"None\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg NONE", "{\"alg\":\"NONE\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg nOnE", "{\"alg\":\"nOnE\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg empty", "{\"alg\":\"\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg null", "{\"alg\":null,\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg a list", "{\"alg\":[\"$\"],\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg missing", "{\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg in lower case", "{\"alg\":\"rs256\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg with a space", "{\"alg\":\"$ \",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg PS256", "{\"alg\":\"PS256\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"k-$\"}", FORGE_GOOD, BAD_ALG},
    {"alg twice", "{\"alg\":\"$\",\"alg\":\"none\",\"kid\":\"k-$\"}", FORGE_GOOD, NO_HEADER},
    {"kid twice", "{\"alg\":\"$\",\"kid\":\"k-$\",\"kid\":\"k-$\"}", FORGE_GOOD, NO_HEADER},
    {"header a list", "[\"alg\",\"$\"]", FORGE_GOOD, NO_HEADER},
    {"header a string", "\"$\"", FORGE_GOOD, NO_HEADER},
    {"header cut", "{\"alg\":\"$\",\"kid\":\"k-$\"", FORGE_GOOD, NO_HEADER},
    {"header followed by more", "{\"alg\":\"$\",\"kid\":\"k-$\"}{}", FORGE_GOOD, NO_HEADER},
    {"header with invalid UTF-8", "{\"alg\":\"$\",\"kid\":\"k-$\",\"x\":\"\xff\"}", FORGE_GOOD, NO_HEADER},
    {"kid missing", "{\"alg\":\"$\"}", FORGE_GOOD, "kid is missing"},
    {"kid unknown", "{\"alg\":\"$\",\"kid\":\"k-other\"}", FORGE_GOOD, "unknown key"},
    {"kid a number", "{\"alg\":\"$\",\"kid\":1}", FORGE_GOOD, "kid is not a string of 1 to 255 bytes"},
    {"kid null", "{\"alg\":\"$\",\"kid\":null}", FORGE_GOOD, "kid is not a string of 1 to 255 bytes"},
    {"kid empty", "{\"alg\":\"$\",\"kid\":\"\"}", FORGE_GOOD, "kid is not a string of 1 to 255 bytes"},
    {"kid of 256 bytes", "{\"alg\":\"$\",\"kid\":\"" LONG64 LONG64 LONG64 LONG64 "\"}", FORGE_GOOD,
     "kid is not a string of 1 to 255 bytes"},
    {"kid with a NUL", "{\"alg\":\"$\",\"kid\":\"k-$\\u0000\"}", FORGE_GOOD, NO_HEADER},
    {"kid a path", "{\"alg\":\"$\",\"kid\":\"../../dev/null\"}", FORGE_GOOD, "unknown key"},
    {"kid a prefix", "{\"alg\":\"$\",\"kid\":\"k-\"}", FORGE_GOOD, "unknown key"},
    {"crit", "{\"alg\":\"$\",\"kid\":\"k-$\",\"crit\":[\"exp\"]}", FORGE_GOOD, "critical extensions are not supported"},
    {"crit empty", "{\"alg\":\"$\",\"kid\":\"k-$\",\"crit\":[]}", FORGE_GOOD, "critical extensions are not supported"},
    {"b64", "{\"alg\":\"$\",\"kid\":\"k-$\",\"b64\":false}", FORGE_GOOD, "critical extensions are not supported"},
    {"enc", "{\"alg\":\"$\",\"kid\":\"k-$\",\"enc\":\"A128GCM\"}", FORGE_GOOD, "encrypted tokens are not supported"},
    {"cty JWT", "{\"alg\":\"$\",\"kid\":\"k-$\",\"cty\":\"JWT\"}", FORGE_GOOD, "nested tokens are not supported"},
    {"typ JWE", "{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"JWE\"}", FORGE_GOOD, "typ is neither JWT nor at+jwt"},
    {"typ a number", "{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":1}", FORGE_GOOD, "typ is neither JWT nor at+jwt"},
    {"typ of a logout token", "{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"logout+jwt\"}", FORGE_GOOD,
     "typ is neither JWT nor at+jwt"},
    {"nested payload", HEADER, "eyJhbGciOiJub25lIn0.e30.", NO_OBJECT},
    {"payload a list", HEADER, "[]", NO_OBJECT},
    {"payload null", HEADER, "null", NO_OBJECT},
    {"payload cut", HEADER, "{" FORGE_BASE EXP, NO_OBJECT},
    {"payload followed by more", HEADER, FORGE_GOOD "x", NO_OBJECT},
    {"payload with invalid UTF-8", HEADER, "{" FORGE_BASE EXP ",\"x\":\"\xc3\"}", NO_OBJECT},
    {"payload with a NUL", HEADER, "{" FORGE_BASE EXP ",\"x\":\"\\u0000\"}", NO_OBJECT},
    {"claim twice", HEADER, "{" FORGE_BASE EXP ",\"sub\":\"other\"}", NO_OBJECT},
    {"nested claim twice", HEADER, "{" FORGE_BASE EXP ",\"x\":{\"a\":1,\"a\":2}}", NO_OBJECT},
    {"iss missing", HEADER, WITHOUT("\"x\":1" AUD SUB CUSTOMER), "wrong issuer"},
    {"iss wrong", HEADER, WITHOUT("\"iss\":\"https://issuer.example/\"" AUD SUB CUSTOMER), "wrong issuer"},
    {"iss a list", HEADER, WITHOUT("\"iss\":[\"https://issuer.example\"]" AUD SUB CUSTOMER), "wrong issuer"},
    {"aud missing", HEADER, WITHOUT(ISS SUB CUSTOMER), "aud is missing"},
    {"aud wrong", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":\"sluice2\""), "wrong audience"},
    {"aud a prefix", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":\"sluic\""), "wrong audience"},
    {"aud in upper case", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":\"Sluice\""), "wrong audience"},
    {"aud an empty list", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":[]"), "wrong audience"},
    {"aud a list of others", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":[\"a\",\"b\"]"), "wrong audience"},
    {"aud a mixed list", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":[\"sluice\",1]"), BAD_AUD},
    {"aud a nested list", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":[[\"sluice\"]]"), BAD_AUD},
    {"aud an object", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":{\"sluice\":1}"), BAD_AUD},
    {"aud a number", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":1"), BAD_AUD},
    {"aud true", HEADER, WITHOUT(ISS SUB CUSTOMER ",\"aud\":true"), BAD_AUD},
    {"exp missing", HEADER, "{" FORGE_BASE "}", "exp is missing"},
    {"exp a string", HEADER, "{" FORGE_BASE ",\"exp\":\"1700000600\"}", BAD_EXP},
    {"exp null", HEADER, "{" FORGE_BASE ",\"exp\":null}", BAD_EXP},
    {"exp true", HEADER, "{" FORGE_BASE ",\"exp\":true}", BAD_EXP},
    {"exp negative", HEADER, "{" FORGE_BASE ",\"exp\":-1}", BAD_EXP},
    {"exp a negative float", HEADER, "{" FORGE_BASE ",\"exp\":-0.5}", BAD_EXP},
    {"exp 1e999", HEADER, "{" FORGE_BASE ",\"exp\":1e999}", NO_OBJECT},
    {"exp 1e300", HEADER, "{" FORGE_BASE ",\"exp\":1e300}", BAD_EXP},
    {"exp past int64", HEADER, "{" FORGE_BASE ",\"exp\":99999999999999999999}", NO_OBJECT},
    {"exp the largest int64", HEADER, "{" FORGE_BASE ",\"exp\":9223372036854775807}", BAD_EXP},
    {"exp NaN", HEADER, "{" FORGE_BASE ",\"exp\":NaN}", NO_OBJECT},
    {"exp in milliseconds", HEADER, "{" FORGE_BASE ",\"exp\":1700000600000}", BAD_EXP},
    {"exp now minus leeway", HEADER, "{" FORGE_BASE ",\"exp\":1699999970}", "expired"},
    {"exp a fraction too early", HEADER, "{" FORGE_BASE ",\"exp\":1699999970.9}", "expired"},
    {"exp too far", HEADER, "{" FORGE_BASE ",\"exp\":1700086431}", "exp lies too far ahead"},
    {"nbf in the future", HEADER, "{" FORGE_BASE EXP ",\"nbf\":1700000031}", "not valid yet"},
    {"nbf a fraction in the future", HEADER, "{" FORGE_BASE EXP ",\"nbf\":1700000030.1}", "not valid yet"},
    {"nbf a string", HEADER, "{" FORGE_BASE EXP ",\"nbf\":\"0\"}", "nbf is not a time in seconds"},
    {"iat in the future", HEADER, "{" FORGE_BASE EXP ",\"iat\":1700000031}", "issued in the future"},
    {"iat negative", HEADER, "{" FORGE_BASE EXP ",\"iat\":-1}", "iat is not a time in seconds"},
    {"sub missing", HEADER, WITHOUT(ISS AUD CUSTOMER), "sub is not a string of 1 to 255 bytes"},
    {"sub empty", HEADER, WITHOUT(ISS AUD CUSTOMER ",\"sub\":\"\""), "sub is not a string of 1 to 255 bytes"},
    {"sub a number", HEADER, WITHOUT(ISS AUD CUSTOMER ",\"sub\":1"), "sub is not a string of 1 to 255 bytes"},
    {"sub of 256 bytes", HEADER, WITHOUT(ISS AUD CUSTOMER ",\"sub\":\"" LONG64 LONG64 LONG64 LONG64 "\""),
     "sub is not a string of 1 to 255 bytes"},
    {"customer missing", HEADER, WITHOUT(ISS AUD SUB), BAD_CUSTOMER},
    {"customer a list", HEADER, WITHOUT(ISS AUD SUB ",\"customer\":[\"acme\"]"), BAD_CUSTOMER},
    {"customer in upper case", HEADER, WITHOUT(ISS AUD SUB ",\"customer\":\"Acme\""), BAD_CUSTOMER},
    {"customer with SQL", HEADER, WITHOUT(ISS AUD SUB ",\"customer\":\"a;drop\""), BAD_CUSTOMER},
    {"customer beginning with a digit", HEADER, WITHOUT(ISS AUD SUB ",\"customer\":\"1a\""), BAD_CUSTOMER},
    {"customer of 42 bytes", HEADER, WITHOUT(ISS AUD SUB ",\"customer\":\"" LONG41 "x\""), BAD_CUSTOMER},
    {"tier a number", HEADER, "{" FORGE_BASE EXP ",\"tier\":1}", "the claim that names the tier is malformed"},
    {"jti a number", HEADER, "{" FORGE_BASE EXP ",\"jti\":1}", "jti is not a string of 1 to 255 bytes"},
    {"scope a list of numbers", HEADER, "{" FORGE_BASE EXP ",\"scope\":[\"a\",1]}", BAD_SCP},
    {"iat long ago", HEADER, "{" FORGE_BASE EXP ",\"iat\":1699900000}", "exp lies too far behind iat"},
    {"scope with two spaces", HEADER, "{" FORGE_BASE EXP ",\"scope\":\"a  b\"}", "an empty scope"},
    {"scope with a tab", HEADER, "{" FORGE_BASE EXP ",\"scope\":\"a\\tb\"}", BAD_CHARACTER},
    {"scope with a quote", HEADER, "{" FORGE_BASE EXP ",\"scope\":\"a\\\"b\"}", BAD_CHARACTER},
    {"scope with a backslash", HEADER, "{" FORGE_BASE EXP ",\"scp\":[\"a\\\\b\"]}", BAD_CHARACTER},
    {"scope beyond ASCII", HEADER, "{" FORGE_BASE EXP ",\"scp\":[\"\xc3\xa9\"]}", BAD_CHARACTER},
    {"scp with a space", HEADER, "{" FORGE_BASE EXP ",\"scp\":[\"a b\"]}", BAD_CHARACTER},
    {"scp mixed", HEADER, "{" FORGE_BASE EXP ",\"scp\":[\"a\",1]}", BAD_SCP},
    {"scp an object", HEADER, "{" FORGE_BASE EXP ",\"scp\":{\"a\":1}}", BAD_SCP},
    {"65 scopes", HEADER,
     "{" FORGE_BASE EXP ",\"scope\":\"a b c d e f g h i j k l m n o p a b c d e f g h i j k l m n o p "
     "a b c d e f g h i j k l m n o p a b c d e f g h i j k l m n o p q\"}",
     "more than 64 scopes"},
};

static void a_token_with_a_bad_header_or_claim_is_refused_whatever_signed_it(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++)
        for (size_t row = 0; row < sizeof(signed_badly) / sizeof(signed_badly[0]); row++) {
            const struct bad *bad = &signed_badly[row];
            forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], bad->header, bad->payload);
            expect_refused(bad->what, forge_algorithms[i], bad->reason);
        }
}

static void a_tier_claim_that_is_not_configured_is_not_read(void **state)
{
    struct tokens_issuer issuer = forge_issuer;
    struct tokens_options rules = forge_rules;
    issuer.tier_claim = NULL;
    rules.issuers = &issuer;
    forge_token(&fixture.token, "HS256", NULL, HEADER, FORGE_GOOD);
    assert_int_equal(token_verify(&fixture.keys, &rules, buffer_text(&fixture.token), FORGE_NOW, 1, &facts),
                     TOKENS_VALID);
    assert_null(facts.principal->tier.data);
    principal_unref(facts.principal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_standards_allow_is_accepted),
        cmocka_unit_test(a_token_with_a_bad_header_or_claim_is_refused_whatever_signed_it),
        cmocka_unit_test(a_tier_claim_that_is_not_configured_is_not_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
