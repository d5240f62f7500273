#include "auth/claims.h"

#include <math.h>

#include <jansson.h>

#define MAX_SUBJECT 255
#define MAX_CUSTOMER 41
#define MAX_TIER 64
#define MAX_TOKEN_ID 255

/* Seconds beyond this (the year 9999) are nonsense, and far below what a double or an addition loses. */
#define MAX_SECONDS 253402300799LL

enum claim { CLAIM_ABSENT, CLAIM_WRONG, CLAIM_FOUND };

static enum claim read_text(const json_t *payload, const char *name, size_t max, struct text *text)
{
    const json_t *claim = json_object_get(payload, name);
    if (claim == NULL)
        return CLAIM_ABSENT;
    if (!json_is_string(claim) || json_string_length(claim) == 0 || json_string_length(claim) > max)
        return CLAIM_WRONG;
    *text = text_of(json_string_value(claim), json_string_length(claim));
    return CLAIM_FOUND;
}

/* A NumericDate. Fractions are allowed (RFC 7519 section 2); `round` turns them against the token: floor for the end of
 * its life, ceil for its beginning. */
static enum claim read_seconds(const json_t *payload, const char *name, double (*round)(double), int64_t *seconds)
{
    const json_t *claim = json_object_get(payload, name);
    if (claim == NULL)
        return CLAIM_ABSENT;
    if (json_is_real(claim)) {
        double value = json_real_value(claim);
        if (!(value >= 0 && value <= (double)MAX_SECONDS))
            return CLAIM_WRONG;
        *seconds = (int64_t)round(value);
        return CLAIM_FOUND;
    }
    if (!json_is_integer(claim) || json_integer_value(claim) < 0 || json_integer_value(claim) > MAX_SECONDS)
        return CLAIM_WRONG;
    *seconds = json_integer_value(claim);
    return CLAIM_FOUND;
}

static const char *check_times(const json_t *payload, const struct tokens_options *rules, int64_t now_s,
                               int64_t *expires_at)
{
    int64_t not_before = 0, issued_at = 0;
    switch (read_seconds(payload, "exp", floor, expires_at)) {
    case CLAIM_ABSENT:
        return "exp is missing";
    case CLAIM_WRONG:
        return "exp is not a time in seconds";
    case CLAIM_FOUND:
        break;
    }
    if (read_seconds(payload, "nbf", ceil, &not_before) == CLAIM_WRONG)
        return "nbf is not a time in seconds";
    if (read_seconds(payload, "iat", ceil, &issued_at) == CLAIM_WRONG)
        return "iat is not a time in seconds";
    if (*expires_at <= now_s - rules->leeway_s)
        return "expired";
    if (*expires_at - now_s > rules->max_lifetime_s + rules->leeway_s)
        return "exp lies too far ahead";
    if (not_before > now_s + rules->leeway_s)
        return "not valid yet";
    if (issued_at > now_s + rules->leeway_s)
        return "issued in the future";
    return NULL;
}

static bool is_string(const json_t *value, const char *expected)
{
    return json_is_string(value) &&
           text_equal(text_of(json_string_value(value), json_string_length(value)), text_from_string(expected));
}

static const char *check_audience(const json_t *audience, const char *expected)
{
    bool found = is_string(audience, expected);
    size_t at;
    json_t *element;
    if (audience == NULL)
        return "aud is missing";
    if (!json_is_string(audience) && !json_is_array(audience))
        return "aud is neither a string nor an array of strings";
    json_array_foreach(audience, at, element)
    {
        if (!json_is_string(element))
            return "aud is neither a string nor an array of strings";
        found = found || is_string(element, expected);
    }
    return found ? NULL : "wrong audience";
}

/* ^[a-z][a-z0-9_]{0,40}$: it becomes part of names of schemas and roles. */
static bool is_customer(struct text text)
{
    if (text.size == 0 || text.size > MAX_CUSTOMER || text.data[0] < 'a' || text.data[0] > 'z')
        return false;
    for (size_t i = 1; i < text.size; i++) {
        char byte = text.data[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_'))
            return false;
    }
    return true;
}

static const char *read_names(const json_t *payload, const struct tokens_options *rules, struct principal *principal)
{
    if (read_text(payload, "sub", MAX_SUBJECT, &principal->subject) != CLAIM_FOUND)
        return "sub is not a string of 1 to 255 bytes";
    if (read_text(payload, rules->customer_claim, MAX_CUSTOMER, &principal->customer) != CLAIM_FOUND ||
        !is_customer(principal->customer))
        return "the claim that names the customer is missing or malformed";
    if (rules->tier_claim != NULL && read_text(payload, rules->tier_claim, MAX_TIER, &principal->tier) == CLAIM_WRONG)
        return "the claim that names the tier is malformed";
    if (read_text(payload, "jti", MAX_TOKEN_ID, &principal->token_id) == CLAIM_WRONG)
        return "jti is not a string of 1 to 255 bytes";
    return NULL;
}

/* scope-token of RFC 6749 section 3.3: %x21 / %x23-5B / %x5D-7E */
static const char *add_scope(struct principal *principal, struct text scope)
{
    if (scope.size == 0)
        return "an empty scope";
    for (size_t i = 0; i < scope.size; i++)
        if (scope.data[i] < 0x21 || scope.data[i] > 0x7E || scope.data[i] == '"' || scope.data[i] == '\\')
            return "a scope has a character that scopes may not have";
    if (principal->scope_count == PRINCIPAL_MAX_SCOPES)
        return "more than 64 scopes";
    principal->scopes[principal->scope_count++] = scope;
    return NULL;
}

static const char *read_scopes(const json_t *payload, struct principal *principal)
{
    const json_t *claim = json_object_get(payload, "scope"), *scp = json_object_get(payload, "scp");
    const char *reason = NULL;
    size_t at;
    json_t *element;
    if (claim != NULL && !json_is_string(claim))
        return "scope is not a string";
    if (claim == NULL)
        claim = scp;
    if (claim != NULL && !json_is_string(claim) && !json_is_array(claim))
        return "scp is neither a string nor an array of strings";
    if (json_is_string(claim) && json_string_length(claim) != 0) {
        struct text rest = text_of(json_string_value(claim), json_string_length(claim));
        while (reason == NULL && rest.data != NULL)
            reason = add_scope(principal, text_split(&rest, ' '));
    }
    json_array_foreach(claim, at, element)
    {
        if (!json_is_string(element))
            return "scp is neither a string nor an array of strings";
        if (reason == NULL)
            reason = add_scope(principal, text_of(json_string_value(element), json_string_length(element)));
    }
    return reason;
}

static const char *read_all(const json_t *payload, const struct tokens_options *rules, int64_t now_s,
                            struct principal *principal)
{
    if (!json_is_object(payload))
        return "the payload is not a JSON object without duplicate members";
    if (!is_string(json_object_get(payload, "iss"), rules->issuer))
        return "wrong issuer";
    const char *reason = check_audience(json_object_get(payload, "aud"), rules->audience);
    if (reason == NULL)
        reason = check_times(payload, rules, now_s, &principal->expires_at);
    if (reason == NULL)
        reason = read_names(payload, rules, principal);
    return reason == NULL ? read_scopes(payload, principal) : reason;
}

const char *claims_read(struct text payload, const struct tokens_options *rules, int64_t now_s, uint64_t serial,
                        const struct principal **principal)
{
    json_error_t error;
    struct principal content = {.serial = serial};
    json_t *root = payload.size != 0 ? json_loadb(payload.data, payload.size, JSON_REJECT_DUPLICATES, &error) : NULL;
    const char *reason = read_all(root, rules, now_s, &content);
    if (reason == NULL) {
        *principal = principal_create(&content);
        if (*principal == NULL)
            reason = "out of memory";
    }
    json_decref(root);
    return reason;
}
