#include "auth/discovery.h"

#include <arpa/inet.h>

#include <jansson.h>

static bool is_loopback(struct text host)
{
    char name[64];
    struct in_addr address;
    if (host.size >= sizeof(name))
        return false;
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    if (strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool discovery_is_safe(struct text url)
{
    bool is_plain = text_starts_with(url, TEXT("http://"));
    size_t scheme = is_plain ? 7 : 8, end = scheme;
    if ((!is_plain && !text_starts_with(url, TEXT("https://"))) || url.size > DISCOVERY_MAX_URL)
        return false;
    for (size_t i = 0; i < url.size; i++)
        if (url.data[i] <= ' ' || url.data[i] > '~' || url.data[i] == '\\')
            return false;
    while (end < url.size && strchr("/?#", url.data[end]) == NULL)
        end++;
    struct text authority = text_of(url.data + scheme, end - scheme);
    /* What looks like a host may be a name and a password before another. */
    if (authority.size == 0 || memchr(authority.data, '@', authority.size) != NULL)
        return false;
    struct text host = authority;
    const char *colon = memrchr(host.data, ':', host.size), *bracket = memrchr(host.data, ']', host.size);
    if (colon != NULL && (bracket == NULL || colon > bracket))
        host.size = (size_t)(colon - host.data);
    return host.size != 0 && (!is_plain || is_loopback(host));
}

void discovery_append_url(struct buffer *out, struct text issuer)
{
    while (issuer.size != 0 && issuer.data[issuer.size - 1] == '/')
        issuer.size--;
    buffer_append_text(out, issuer);
    buffer_append_literal(out, "/.well-known/openid-configuration");
}

static struct text member(const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);
    return json_is_string(value) ? text_of(json_string_value(value), json_string_length(value)) : TEXT_NONE;
}

enum status discovery_read(struct text document, struct text issuer, struct buffer *jwks_url, struct failure *failure)
{
    json_error_t error;
    enum status status = STATUS_OK;
    json_t *root = NULL;
    if (document.size != 0 && document.size <= DISCOVERY_MAX_DOCUMENT)
        root = json_loadb(document.data, document.size, JSON_REJECT_DUPLICATES, &error);
    struct text told = member(root, "issuer"), url = member(root, "jwks_uri");
    if (!json_is_object(root))
        status = failure_set(failure, STATUS_INVALID,
                             "this is no document of OpenID discovery: a JSON object was expected, without duplicate "
                             "members and of at most %d KB",
                             DISCOVERY_MAX_DOCUMENT >> 10);
    else if (!text_equal(told, issuer))
        status =
            failure_set(failure, STATUS_INVALID,
                        "the document is of the issuer \"%.*s\", not of \"%.*s\"; both must be the same, a slash at "
                        "the end included",
                        (int)(told.size < 128 ? told.size : 128), told.data != NULL ? told.data : "",
                        (int)(issuer.size < 128 ? issuer.size : 128), issuer.data);
    else if (url.data == NULL || !discovery_is_safe(url))
        status = failure_set(failure, STATUS_INVALID,
                             "jwks_uri must be an address that begins with https:// (or http:// on this machine)");
    if (status == STATUS_OK)
        buffer_append_text(jwks_url, url);
    json_decref(root);
    if (status == STATUS_OK && jwks_url->failed)
        status = failure_set(failure, STATUS_TOO_LARGE, "out of memory for the address of the keys");
    return status;
}
