/* A good token of each kind of key, to be spoilt. */
#ifndef TESTS_UNIT_AUTH_SPOIL_H
#define TESTS_UNIT_AUTH_SPOIL_H

#include "judge.h"

#define GOOD_HEADER "{\"alg\":\"$\",\"typ\":\"JWT\",\"kid\":\"k-$\"}"
#define EXP "\"exp\":1700000600"
#define NBF "\"nbf\":1699999990"
#define IAT "\"iat\":1699999980"
#define AUD "\"aud\":\"sluice\""
#define ISS "\"iss\":\"https://issuer.example\""
#define CUSTOMER "\"customer\":\"acme\""
#define SCOPE "\"scope\":\"regions:read\""
#define GOOD_PAYLOAD                                                                                                   \
    "{" ISS "," AUD ",\"sub\":\"user-1\"," CUSTOMER ",\"tier\":\"free\"," SCOPE ",\"jti\":\"id-1\"," IAT "," NBF       \
    "," EXP "}"

static size_t spoilt; /* tokens of all kinds that were tried */

static inline void replace_text(struct buffer *out, const char *whole, const char *from, const char *to)
{
    const char *at = strstr(whole, from);
    if (at == NULL)
        fail_msg("there is no %s to be spoilt in %s", from, whole);
    buffer_clear(out);
    buffer_append(out, whole, (size_t)(at - whole));
    buffer_append_string(out, to);
    buffer_append_string(out, at + strlen(from));
}

static inline void forge_good(size_t i)
{
    forge_token(&fixture.token, forge_algorithms[i], fixture.pkeys[i], GOOD_HEADER, GOOD_PAYLOAD);
}

/* The control. */
static inline void expect_good(size_t i)
{
    forge_good(i);
    expect_valid(forge_algorithms[i]);
}

static inline void expect_bad(const char *what, size_t i)
{
    spoilt++;
    if (judge_at(fixture.keys, FORGE_NOW) == TOKENS_VALID)
        fail_msg("%s (%s) was accepted", what, forge_algorithms[i]);
    assert_null(facts.principal);
}

#endif
