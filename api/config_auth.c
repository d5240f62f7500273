/* Who issues tokens. */
#include <stdio.h>

#include "api/config_read.h"
#include "auth/discovery.h"
#include "auth/tokens.h"

#define MAX_AUDIENCES 16
#define MAX_ALGORITHMS 16

static bool is_algorithm(const char *name)
{
    static const char *const known[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                        "RS512", "ES256", "ES384", "ES512"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

static void read_key(struct config_reader *reader, const struct yaml_node *node, const char *path,
                     struct config_key *key)
{
    static const char *const known[] = {"kid", "algorithm", "file", NULL};
    if (!config_check_keys(reader, node, path, known))
        return;
    key->kid = config_member_text(reader, node, path, "kid", true);
    key->algorithm = config_member_text(reader, node, path, "algorithm", true);
    key->file = config_member_text(reader, node, path, "file", true);
    if (key->algorithm != NULL && !is_algorithm(key->algorithm))
        config_complain(reader, node->line, config_join(path, "algorithm").text,
                        "must be HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384 or ES512");
}

static void read_keys(struct config_reader *reader, const struct yaml_node *node, const char *path,
                      struct config_issuer *issuer)
{
    if (node->kind != YAML_SEQUENCE || node->count == 0) {
        config_complain(reader, node->line, path,
                        "needs a list of keys, like [{kid: k1, algorithm: RS256, file: /etc/sluice/k1.pem}]");
        return;
    }
    struct config_key *keys = config_allocate(reader, node->count, sizeof(*keys));
    for (size_t i = 0; i < node->count; i++) {
        struct config_path item = config_join_item(path, i);
        read_key(reader, node->items[i], item.text, &keys[i]);
        for (size_t k = 0; k < i; k++)
            if (keys[i].kid != NULL && keys[k].kid != NULL && strcmp(keys[i].kid, keys[k].kid) == 0)
                config_complain(reader, node->items[i]->line, config_join(item.text, "kid").text,
                                "stands there twice; every key needs a kid of its own");
    }
    issuer->keys = keys;
    issuer->key_count = node->count;
}

/* One text or a list of them, of which none is empty. */
static const char *const *read_list(struct config_reader *reader, const struct yaml_node *node, const char *path,
                                    size_t most)
{
    const char **list = config_allocate(reader, most + 1, sizeof(*list));
    bool is_list = node->kind == YAML_SEQUENCE;
    size_t count = is_list ? node->count : 1;
    bool good = count != 0 && count <= most;
    for (size_t i = 0; good && i < count; i++) {
        const struct yaml_node *item = is_list ? node->items[i] : node;
        good = item->kind == YAML_SCALAR && !yaml_is_null(item) && item->text.size != 0;
        if (good)
            list[i] = config_string(reader, item->text);
    }
    if (!good)
        config_complain(reader, node->line, path, "needs a text, or a list of 1 to %zu texts", most);
    return list;
}

static void read_algorithms(struct config_reader *reader, const struct yaml_node *node, const char *path,
                            struct config_issuer *issuer)
{
    static const char *const all[] = {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", NULL};
    issuer->allowed_algorithms = all;
    if (node == NULL)
        return;
    issuer->allowed_algorithms = read_list(reader, node, path, MAX_ALGORITHMS);
    if (issuer->keys != NULL)
        config_complain(reader, node->line, path, "is of keys from a JWKS; those of `keys` name their algorithm");
    for (const char *const *name = issuer->allowed_algorithms; *name != NULL; name++)
        if (!is_algorithm(*name) || (*name)[0] == 'H')
            config_complain(reader, node->line, path,
                            "%s: must be RS256, RS384, RS512, ES256, ES384 or ES512; a JWKS holds public keys", *name);
}

/* `true`, or the document's own address. */
static const char *read_discovery(struct config_reader *reader, const struct yaml_node *node, const char *path,
                                  const struct config_issuer *issuer)
{
    struct buffer url;
    buffer_init(&url, DISCOVERY_MAX_URL + 64);
    if (node->kind == YAML_SCALAR && text_equal(node->text, TEXT("true")) && issuer->issuer != NULL)
        discovery_append_url(&url, text_from_string(issuer->issuer));
    else if (node->kind == YAML_SCALAR)
        buffer_append_text(&url, node->text);
    if (!discovery_is_safe(buffer_text(&url)))
        config_complain(reader, node->line, path,
                        "needs true, where the issuer is an address, or the document's address; either begins with "
                        "https:// (or http:// on this machine)");
    const char *copy = url.size != 0 ? config_string(reader, buffer_text(&url)) : "";
    buffer_free(&url);
    return copy;
}

static void read_source(struct config_reader *reader, const struct yaml_node *node, const char *path,
                        struct config_issuer *issuer)
{
    static const char *const sources[] = {"keys", "jwks_file", "jwks_url", "discovery"};
    size_t count = 0;
    for (size_t i = 0; i < 4; i++) {
        const struct yaml_node *source = yaml_get(node, sources[i]);
        count += source != NULL && !yaml_is_null(source);
    }
    if (count != 1) {
        config_complain(reader, node->line, path, "needs one source of keys: keys, jwks_file, jwks_url or discovery");
        return;
    }
    const struct yaml_node *keys = yaml_get(node, "keys"), *discovery = yaml_get(node, "discovery");
    if (keys != NULL && !yaml_is_null(keys))
        read_keys(reader, keys, config_join(path, "keys").text, issuer);
    if (discovery != NULL && !yaml_is_null(discovery))
        issuer->discovery = read_discovery(reader, discovery, config_join(path, "discovery").text, issuer);
    issuer->jwks_file = config_member_text(reader, node, path, "jwks_file", false);
    issuer->jwks_url = config_member_text(reader, node, path, "jwks_url", false);
    if (issuer->jwks_url != NULL && strncmp(issuer->jwks_url, "https://", 8) != 0 &&
        strncmp(issuer->jwks_url, "http://", 7) != 0)
        config_complain(reader, node->line, config_join(path, "jwks_url").text,
                        "must begin with https:// (or http:// for a trusted network)");
}

/* The same rule as for the claim: ^[a-z][a-z0-9_]{0,40}$ */
static bool is_customer(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return size != 0 && size <= 41 && name[size] == '\0' && name[0] >= 'a' && name[0] <= 'z';
}

static void read_names(struct config_reader *reader, const struct yaml_node *node, const char *path,
                       struct config_issuer *issuer)
{
    issuer->customer_claim = config_member_text(reader, node, path, "customer_claim", false);
    issuer->customer = config_member_text(reader, node, path, "customer", false);
    issuer->tier_claim = config_member_text(reader, node, path, "tier_claim", false);
    issuer->tier = config_member_text(reader, node, path, "tier", false);
    if (issuer->customer != NULL && issuer->customer_claim != NULL)
        config_complain(reader, node->line, config_join(path, "customer").text,
                        "and customer_claim are both given; keep one");
    if (issuer->customer != NULL && !is_customer(issuer->customer))
        config_complain(reader, node->line, config_join(path, "customer").text,
                        "needs a name of a-z, 0-9 and _, at most 41 characters, a letter first");
    if (issuer->tier != NULL && issuer->tier_claim != NULL)
        config_complain(reader, node->line, config_join(path, "tier").text, "and tier_claim are both given; keep one");
    if (issuer->customer == NULL && issuer->customer_claim == NULL)
        issuer->customer_claim = "customer";
    if (issuer->tier == NULL && issuer->tier_claim == NULL)
        issuer->tier_claim = "tier";
}

static void read_issuer(struct config_reader *reader, const struct yaml_node *node, const char *path,
                        struct config_issuer *issuer)
{
    static const char *const known[] = {"issuer",  "audience", "customer_claim", "customer", "tier_claim",
                                        "tier",    "keys",     "jwks_file",      "jwks_url", "discovery",
                                        "ca_file", "refresh",  "cooldown",       "timeout",  "allowed_algorithms",
                                        NULL};
    if (!config_check_keys(reader, node, path, known))
        return;
    issuer->line = node->line;
    issuer->issuer = config_member_text(reader, node, path, "issuer", true);
    const struct yaml_node *audience = yaml_get(node, "audience");
    if (audience == NULL)
        config_complain(reader, node->line, config_join(path, "audience").text,
                        "is missing; give what `aud` must name, or a list");
    else
        issuer->audiences = read_list(reader, audience, config_join(path, "audience").text, MAX_AUDIENCES);
    read_names(reader, node, path, issuer);
    read_source(reader, node, path, issuer);
    issuer->ca_file = config_member_text(reader, node, path, "ca_file", false);
    issuer->refresh_ms = config_member_duration(reader, node, path, "refresh", 600000);
    issuer->cooldown_ms = config_member_duration(reader, node, path, "cooldown", 30000);
    issuer->timeout_ms = config_member_duration(reader, node, path, "timeout", 5000);
    read_algorithms(reader, yaml_get(node, "allowed_algorithms"), config_join(path, "allowed_algorithms").text, issuer);
}

void config_read_issuers(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (node->kind != YAML_SEQUENCE || node->count > TOKENS_MAX_ISSUERS) {
        config_complain(reader, node->line, field->path, "needs a list of 1 to %d issuers", TOKENS_MAX_ISSUERS);
        return;
    }
    struct config_issuer *issuers = config_allocate(reader, node->count, sizeof(*issuers));
    for (size_t i = 0; i < node->count; i++) {
        struct config_path path = config_join_item(field->path, i);
        read_issuer(reader, node->items[i], path.text, &issuers[i]);
        for (size_t k = 0; k < i; k++)
            if (issuers[i].issuer != NULL && issuers[k].issuer != NULL &&
                strcmp(issuers[i].issuer, issuers[k].issuer) == 0)
                config_complain(reader, node->items[i]->line, config_join(path.text, "issuer").text,
                                "stands there twice; an issuer has one place, with all of its keys");
    }
    reader->config->auth.issuers = issuers;
    reader->config->auth.issuer_count = node->count;
}

void config_read_when_unknown(struct config_reader *reader, const struct config_field *field,
                              const struct yaml_node *node)
{
    bool refuse = node->kind == YAML_SCALAR && text_equal(node->text, TEXT("refuse"));
    if (!refuse && (node->kind != YAML_SCALAR || !text_equal(node->text, TEXT("serve"))))
        config_complain(reader, node->line, field->path, "must be serve or refuse");
    reader->config->auth.revocation_refuses = refuse;
}
