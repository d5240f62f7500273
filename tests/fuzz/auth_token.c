/* A token as a caller sends it. The first byte chooses: 0 takes the rest as the whole token, 1 as a header and 2 as the
 * claims of one that is signed here with the right secret, so that what lies behind the signature is reached too. */
#include <stdlib.h>

#include "auth/token.h"
#include "base/encoding.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";
static const char *const audiences[] = {"sluice", NULL};
static const struct tokens_issuer issuers[] = {
    {.issuer = "https://issuer.example", .audiences = audiences, .customer_claim = "customer", .tier_claim = "tier"}};
static const struct tokens_options rules = {
    .issuers = issuers, .issuer_count = 1, .leeway_s = 30, .max_lifetime_s = 86400, .cache = 16};

static struct keys *make_keys(void)
{
    struct key_list list = {.count = 0};
    struct key *key = NULL;
    if (key_from_secret(TEXT("k"), algorithm_find(TEXT("HS256")), text_of(secret, sizeof(secret) - 1), &key, NULL) !=
        STATUS_OK)
        abort();
    key_list_add(&list, key);
    struct keys *keys = keys_create(&list);
    key_list_clear(&list);
    return keys;
}

static void sign(struct buffer *out, struct text header, struct text claims)
{
    unsigned char tag[HASH_SHA256_SIZE];
    encoding_base64url_append(out, header.data, header.size);
    buffer_append_char(out, '.');
    encoding_base64url_append(out, claims.data, claims.size);
    hash_hmac_sha256(text_of(secret, sizeof(secret) - 1), buffer_text(out), tag);
    buffer_append_char(out, '.');
    encoding_base64url_append(out, tag, sizeof(tag));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_facts facts = {0};
    struct buffer token;
    if (size == 0)
        return 0;
    struct text input = text_of((const char *)data + 1, size - 1);
    struct keys *keys = make_keys();
    buffer_init(&token, 1 << 20);
    if (data[0] == 1)
        sign(&token, input,
             TEXT("{\"iss\":\"https://issuer.example\",\"aud\":\"sluice\",\"sub\":\"s\",\"customer\":\"c\","
                  "\"nbf\":1,\"exp\":1000100}"));
    else if (data[0] == 2)
        sign(&token, TEXT("{\"alg\":\"HS256\",\"kid\":\"k\"}"), input);
    else
        buffer_append_text(&token, input);
    enum tokens_verdict verdict = token_verify(&keys, &rules, buffer_text(&token), 1000000, 1, &facts);
    if (verdict == TOKENS_VALID) {
        if (data[0] == 0 || facts.principal == NULL || facts.principal->customer.size == 0)
            abort(); /* nobody finds a signature by chance */
        principal_unref(facts.principal);
    }
    buffer_free(&token);
    keys_unref(keys);
    return 0;
}
