/* One key of each algorithm, and what the verifier says of a token. */
#ifndef TESTS_UNIT_AUTH_JUDGE_H
#define TESTS_UNIT_AUTH_JUDGE_H

#include "auth/token.h"

#include "forge.h"

#define HEADER "{\"alg\":\"$\",\"kid\":\"k-$\",\"typ\":\"JWT\"}"

static struct {
    EVP_PKEY *pkeys[FORGE_COUNT];
    struct keys *keys;   /* one for each algorithm, kid "k-HS256" … */
    struct keys *single; /* the ES256 one alone */
    struct buffer token;
} fixture;

static inline struct key *make_key(const char *algorithm, EVP_PKEY *pkey, const char *kid)
{
    struct key *key = NULL;
    struct failure failure = {0};
    const struct algorithm *found = algorithm_find(text_from_string(algorithm));
    char *pem = pkey != NULL ? forge_pem(pkey, false) : NULL;
    enum status status = pkey != NULL
                             ? key_from_pem(text_from_string(kid), found, text_from_string(pem), &key, &failure)
                             : key_from_secret(text_from_string(kid), found, text_of(forge_secret, 64), &key, &failure);
    free(pem);
    if (status != STATUS_OK)
        fail_msg("%s: %s", algorithm, failure.message);
    return key;
}

static inline int set_up(void **state)
{
    struct key_list list = {.count = 0}, one = {.count = 0};
    for (size_t i = 0; i < FORGE_COUNT; i++) {
        char kid[16];
        snprintf(kid, sizeof(kid), "k-%s", forge_algorithms[i]);
        fixture.pkeys[i] = forge_pkey(forge_algorithms[i]);
        assert_int_equal(key_list_add(&list, make_key(forge_algorithms[i], fixture.pkeys[i], kid)), KEY_LIST_ADDED);
    }
    key_list_add(&one, make_key("ES256", fixture.pkeys[6], "k-ES256"));
    fixture.keys = keys_create(&list);
    fixture.single = keys_create(&one);
    key_list_clear(&list);
    key_list_clear(&one);
    buffer_init(&fixture.token, 1 << 20);
    return 0;
}

static inline int tear_down(void **state)
{
    for (size_t i = 0; i < FORGE_COUNT; i++)
        EVP_PKEY_free(fixture.pkeys[i]);
    keys_unref(fixture.keys);
    keys_unref(fixture.single);
    buffer_free(&fixture.token);
    return 0;
}

static struct token_facts facts;

static inline enum tokens_verdict judge_at(struct keys *keys, int64_t now_s)
{
    /* An exact copy, so that the address sanitizer sees a read past the end. */
    char *copy = malloc(fixture.token.size != 0 ? fixture.token.size : 1);
    memcpy(copy, fixture.token.data, fixture.token.size);
    enum tokens_verdict verdict =
        token_verify(&keys, &forge_rules, text_of(copy, fixture.token.size), now_s, 7, &facts);
    free(copy);
    return verdict;
}

static inline void expect_valid(const char *what)
{
    if (judge_at(fixture.keys, FORGE_NOW) != TOKENS_VALID)
        fail_msg("%s was refused: %s", what, facts.reason);
    principal_unref(facts.principal);
}

static inline void expect_refused(const char *what, const char *algorithm, const char *reason)
{
    enum tokens_verdict verdict = judge_at(fixture.keys, FORGE_NOW);
    if (verdict == TOKENS_VALID)
        fail_msg("%s (%s) was accepted", what, algorithm);
    if (strcmp(facts.reason, reason) != 0)
        fail_msg("%s (%s) was refused with \"%s\", not \"%s\"", what, algorithm, facts.reason, reason);
}

#endif
