#include "api/mint.h"

#include "auth/tokens.h"
#include "base/clock.h"
#include "base/file.h"

/* Units of a token's lifetime. */
static bool parse_lifetime(const char *text, int64_t *seconds)
{
    size_t size = strlen(text);
    int64_t unit = 1;
    if (size != 0 && text[size - 1] >= 'a')
        unit = text[--size] == 's' ? 1 : text[size] == 'm' ? 60 : text[size] == 'h' ? 3600 : 0;
    return unit != 0 && text_to_int64(text_of(text, size), seconds) && *seconds > 0 && *seconds <= 366 * 86400 / unit &&
           (*seconds *= unit, true);
}

/* The first key of that kid, and whose it is. */
static const struct config_key *choose_key(const struct config *config, const char *kid,
                                           const struct config_issuer **issuer)
{
    for (size_t i = 0; i < config->auth.issuer_count; i++)
        for (size_t k = 0; k < config->auth.issuers[i].key_count; k++)
            if (kid == NULL || strcmp(config->auth.issuers[i].keys[k].kid, kid) == 0) {
                *issuer = &config->auth.issuers[i];
                return &(*issuer)->keys[k];
            }
    return NULL;
}

enum status mint_print(const struct config *config, const struct mint_order *order, FILE *out, struct failure *failure)
{
    const struct config_issuer *issuer = NULL;
    const struct config_key *key = choose_key(config, order->kid, &issuer);
    struct buffer secret, token;
    if (key == NULL)
        return failure_set(failure, STATUS_INVALID, "no issuer in %s has such a key among its keys; --kid names one",
                           config->path);
    if (issuer->customer != NULL && strcmp(issuer->customer, order->customer) != 0)
        return failure_set(failure, STATUS_INVALID, "all tokens of %s are those of the customer %s", issuer->issuer,
                           issuer->customer);
    struct tokens_grant grant = {.issuer = issuer->issuer,
                                 .audience = issuer->audiences[0],
                                 .subject = order->subject,
                                 .customer_claim = issuer->customer_claim,
                                 .customer = order->customer,
                                 .tier_claim = issuer->tier_claim,
                                 .tier = order->tier,
                                 .scope = order->scope,
                                 .issued_at = clock_wall_us() / 1000000,
                                 .lifetime_s = 3600};
    if (order->lifetime != NULL && !parse_lifetime(order->lifetime, &grant.lifetime_s))
        return failure_set(failure, STATUS_INVALID, "--lifetime needs a duration like 900s, 60m or 12h");
    if (order->lifetime == NULL && grant.lifetime_s > config->auth.max_lifetime_s)
        grant.lifetime_s = config->auth.max_lifetime_s;
    buffer_init(&secret, 65536);
    buffer_init(&token, 65536);
    enum status status = file_read_secret(order->key != NULL ? order->key : key->file, &secret, failure);
    if (status == STATUS_OK)
        status = tokens_mint(&grant, key->kid, key->algorithm, buffer_text(&secret), &token, failure);
    if (status == STATUS_OK)
        fprintf(out, "%.*s\n", (int)token.size, token.data);
    buffer_free(&secret);
    buffer_free(&token);
    return status;
}
