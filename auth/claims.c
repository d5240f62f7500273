#include "auth/claims.h"

#include <math.h>

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
                               struct principal *principal)
{
    int64_t not_before = 0, issued_at = 0, *expires_at = &principal->expires_at;
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
    /* A revocation of all before a moment is kept for max_lifetime: no token may come back after that. */
    if (read_seconds(payload, "iat", floor, &principal->issued_at) == CLAIM_FOUND &&
        *expires_at - principal->issued_at > rules->max_lifetime_s + rules->leeway_s)
        return "exp lies too far behind iat";
    return NULL;
}

static bool is_string(const json_t *value, const char *expected)
{
    return json_is_string(value) &&
           text_equal(text_of(json_string_value(value), json_string_length(value)), text_from_string(expected));
}

static bool is_one_of(const json_t *value, const char *const *expected)
{
    while (*expected != NULL && !is_string(value, *expected))
        expected++;
    return *expected != NULL;
}

static const char *check_audience(const json_t *audience, const char *const *expected)
{
    bool found = is_one_of(audience, expected);
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
        found = found || is_one_of(element, expected);
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

static const char *read_names(const json_t *payload, const struct tokens_issuer *rules, struct principal *principal)
{
    if (read_text(payload, "sub", MAX_SUBJECT, &principal->subject) != CLAIM_FOUND)
        return "sub is not a string of 1 to 255 bytes";
    if (rules->customer_claim == NULL)
        principal->customer = text_from_string(rules->customer);
    else if (read_text(payload, rules->customer_claim, MAX_CUSTOMER, &principal->customer) != CLAIM_FOUND ||
             !is_customer(principal->customer))
        return "the claim that names the customer is missing or malformed";
    if (rules->tier != NULL)
        principal->tier = text_from_string(rules->tier);
    else if (rules->tier_claim != NULL &&
             read_text(payload, rules->tier_claim, MAX_TIER, &principal->tier) == CLAIM_WRONG)
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

/* A string with spaces between (RFC 8693 section 4.2), or, as some issuers write it, an array; `scp` where there is no
 * `scope`. */
static const char *read_scopes(const json_t *payload, struct principal *principal)
{
    const json_t *claim = json_object_get(payload, "scope");
    const char *reason = NULL;
    size_t at;
    json_t *element;
    if (claim == NULL)
        claim = json_object_get(payload, "scp");
    if (claim != NULL && !json_is_string(claim) && !json_is_array(claim))
        return "scope is neither a string nor an array of strings";
    if (json_is_string(claim) && json_string_length(claim) != 0) {
        struct text rest = text_of(json_string_value(claim), json_string_length(claim));
        while (reason == NULL && rest.data != NULL)
            reason = add_scope(principal, text_split(&rest, ' '));
    }
    json_array_foreach(claim, at, element)
    {
        if (!json_is_string(element))
            return "scope is neither a string nor an array of strings";
        if (reason == NULL)
            reason = add_scope(principal, text_of(json_string_value(element), json_string_length(element)));
    }
    return reason;
}

const char *claims_find_issuer(const json_t *payload, const struct tokens_options *rules, size_t *issuer)
{
    if (!json_is_object(payload))
        return "the payload is not a JSON object without duplicate members";
    const json_t *claim = json_object_get(payload, "iss");
    for (*issuer = 0; *issuer < rules->issuer_count; (*issuer)++)
        if (is_string(claim, rules->issuers[*issuer].issuer))
            return NULL;
    return "wrong issuer";
}

const char *claims_read(const json_t *payload, const struct tokens_options *rules, size_t issuer, int64_t now_s,
                        uint64_t serial, const struct principal **principal)
{
    struct principal content = {.serial = serial};
    const struct tokens_issuer *own = &rules->issuers[issuer];
    if (!json_is_object(payload) || !is_string(json_object_get(payload, "iss"), own->issuer))
        return "wrong issuer";
    const char *reason = check_audience(json_object_get(payload, "aud"), own->audiences);
    if (reason == NULL)
        reason = check_times(payload, rules, now_s, &content);
    if (reason == NULL)
        reason = read_names(payload, own, &content);
    if (reason == NULL)
        reason = read_scopes(payload, &content);
    if (reason != NULL)
        return reason;
    *principal = principal_create(&content);
    return *principal != NULL ? NULL : "out of memory";
}
