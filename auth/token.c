/* Two verifiers must agree. Ours (key_verify: OpenSSL with the parsed key) comes first: it takes one exact encoding of
 * a signature, costs a tenth of libjwt's, and keeps forged payloads away from libjwt's parser. libjwt then decodes the
 * same token with the same key; a mistake in either lets nothing through. Tokens of RFC 9068 ("typ": "at+jwt") libjwt
 * refuses to look at: these rest on ours alone. */
#include "auth/token.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>

#include "auth/claims.h"
#include "base/encoding.h"

struct parts {
    struct text header, payload, signature; /* base64url */
    struct text input;                      /* what is signed: header, dot, payload */
};

struct header {
    const struct algorithm *algorithm;
    bool is_access_token; /* typ at+jwt */
    size_t kid_size;      /* 0: none */
    char kid[KEY_MAX_KID];
};

/* Exactly three, none empty. */
static bool split(struct text token, struct parts *parts)
{
    struct text rest = token;
    parts->header = text_split(&rest, '.');
    parts->payload = rest.data != NULL ? text_split(&rest, '.') : TEXT_NONE;
    parts->signature = rest;
    parts->input = text_of(token.data, parts->header.size + 1 + parts->payload.size);
    return parts->header.size != 0 && parts->payload.size != 0 && rest.size != 0 &&
           memchr(rest.data, '.', rest.size) == NULL;
}

static const char *read_kid(const json_t *root, struct header *header)
{
    const json_t *kid = json_object_get(root, "kid");
    if (kid == NULL)
        return NULL;
    if (!json_is_string(kid) || json_string_length(kid) == 0 || json_string_length(kid) > KEY_MAX_KID)
        return "kid is not a string of 1 to 255 bytes";
    header->kid_size = json_string_length(kid);
    memcpy(header->kid, json_string_value(kid), header->kid_size);
    return NULL;
}

static const char *read_type(const json_t *root, struct header *header)
{
    const json_t *type = json_object_get(root, "typ");
    struct text text = json_is_string(type) ? text_of(json_string_value(type), json_string_length(type)) : TEXT_NONE;
    if (type == NULL)
        return NULL;
    header->is_access_token =
        text_equal_ignoring_case(text, TEXT("at+jwt")) || text_equal_ignoring_case(text, TEXT("application/at+jwt"));
    return header->is_access_token || text_equal_ignoring_case(text, TEXT("JWT")) ? NULL
                                                                                  : "typ is neither JWT nor at+jwt";
}

static const char *check_header(const json_t *root, struct header *header)
{
    if (!json_is_object(root))
        return "the header is not a JSON object without duplicate members";
    const json_t *algorithm = json_object_get(root, "alg");
    if (json_is_string(algorithm))
        header->algorithm = algorithm_find(text_of(json_string_value(algorithm), json_string_length(algorithm)));
    if (header->algorithm == NULL)
        return "alg is missing or not supported";
    /* Whoever understands none of the critical extensions must refuse (RFC 7515 section 4.1.11); b64 belongs into it.
     */
    if (json_object_get(root, "crit") != NULL || json_object_get(root, "b64") != NULL)
        return "critical extensions are not supported";
    if (json_object_get(root, "enc") != NULL || json_object_get(root, "zip") != NULL)
        return "encrypted tokens are not supported";
    if (json_object_get(root, "cty") != NULL)
        return "nested tokens are not supported";
    const char *reason = read_type(root, header);
    return reason == NULL ? read_kid(root, header) : reason;
}

/* Decodes into *out, which the caller frees. */
static bool decode(struct text encoded, struct buffer *out)
{
    buffer_init(out, TOKEN_MAX_SIZE);
    return encoding_base64url_decode(encoded, out);
}

static const char *read_header(struct text encoded, struct header *header)
{
    struct buffer decoded;
    json_error_t error;
    json_t *root = NULL;
    *header = (struct header){0};
    const char *reason = "the header is not base64url";
    if (decode(encoded, &decoded)) {
        root = json_loadb(decoded.data, decoded.size, JSON_REJECT_DUPLICATES, &error);
        reason = check_header(root, header);
    }
    json_decref(root);
    buffer_free(&decoded);
    return reason;
}

static bool verify_signature(const struct key *key, const struct parts *parts)
{
    struct buffer signature;
    bool good = decode(parts->signature, &signature) && key_verify(key, parts->input, buffer_text(&signature));
    buffer_free(&signature);
    return good;
}

/* A NULL or empty key would make libjwt accept anything: material is never empty, and said so here once more. */
static bool verify_with_libjwt(const struct key *key, struct text token)
{
    char copy[TOKEN_MAX_SIZE + 1];
    jwt_t *jwt = NULL;
    if (key->material.size == 0 || token.size > TOKEN_MAX_SIZE)
        return false;
    memcpy(copy, token.data, token.size);
    copy[token.size] = '\0';
    bool good = jwt_decode(&jwt, copy, (const unsigned char *)key->material.data, (int)key->material.size) == 0 &&
                jwt != NULL && jwt_get_alg(jwt) == jwt_str_alg(key->algorithm->name);
    jwt_free(jwt);
    ERR_clear_error();
    return good;
}

static enum tokens_verdict refuse(struct token_facts *facts, const char *reason)
{
    facts->reason = reason;
    return TOKENS_INVALID;
}

/* The payload, which nobody has verified yet: NULL, or its JSON, which the caller lets go. */
static json_t *read_payload(const struct parts *parts, const char **reason)
{
    struct buffer decoded;
    json_error_t error;
    json_t *root = NULL;
    *reason = "the payload is not base64url";
    if (decode(parts->payload, &decoded)) {
        if (decoded.size != 0)
            root = json_loadb(decoded.data, decoded.size, JSON_REJECT_DUPLICATES, &error);
        *reason = NULL;
    }
    buffer_free(&decoded);
    return root;
}

static enum tokens_verdict verify(const struct keys *keys, const struct tokens_options *rules, struct text token,
                                  const struct parts *parts, const struct header *header, const json_t *payload,
                                  int64_t now_s, uint64_t serial, struct token_facts *facts)
{
    facts->names_key = header->kid_size != 0;
    facts->key = keys_find(keys, text_of(header->kid, header->kid_size));
    if (facts->key == NULL) {
        facts->reason = facts->names_key || keys_count(keys) == 0 ? "unknown key" : "kid is missing";
        return facts->names_key || keys_count(keys) == 0 ? TOKENS_UNKNOWN_KEY : TOKENS_INVALID;
    }
    if (facts->key->algorithm != header->algorithm)
        return refuse(facts, "alg is not the one that the key is for");
    if (!verify_signature(facts->key, parts))
        return refuse(facts, "wrong signature");
    /* Before libjwt only because ours says which claim is wrong. */
    const char *reason = claims_read(payload, rules, facts->issuer, now_s, serial, &facts->principal);
    if (reason == NULL && !header->is_access_token && !verify_with_libjwt(facts->key, token)) {
        principal_unref(facts->principal);
        facts->principal = NULL;
        reason = "wrong signature";
    }
    return reason == NULL ? TOKENS_VALID : refuse(facts, reason);
}

enum tokens_verdict token_verify(struct keys *const *keys, const struct tokens_options *rules, struct text token,
                                 int64_t now_s, uint64_t serial, struct token_facts *facts)
{
    struct parts parts;
    struct header header;
    *facts = (struct token_facts){0};
    if (token.size > TOKEN_MAX_SIZE)
        return refuse(facts, "longer than 8192 bytes");
    /* A NUL would end libjwt's reading before ours. */
    if (token.size == 0 || memchr(token.data, '\0', token.size) != NULL || !split(token, &parts))
        return refuse(facts, "not three parts with dots between");
    const char *reason = read_header(parts.header, &header);
    if (reason != NULL)
        return refuse(facts, reason);
    json_t *payload = read_payload(&parts, &reason);
    if (reason == NULL)
        reason = claims_find_issuer(payload, rules, &facts->issuer);
    enum tokens_verdict verdict =
        reason != NULL ? refuse(facts, reason)
                       : verify(keys[facts->issuer], rules, token, &parts, &header, payload, now_s, serial, facts);
    json_decref(payload);
    return verdict;
}
