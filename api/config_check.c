/* What no key of the configuration can tell alone. */
#include <string.h>
#include <unistd.h>

#include "api/config_read.h"
#include "base/hash.h"
#include "upload/spool_cipher.h"

/* The line of a key by its path of two or three parts, for messages; 0: it does not stand in the file. */
static int line_of(const struct yaml_node *root, const char *section, const char *key)
{
    const struct yaml_node *node = yaml_get(yaml_get(root, section), key);
    return node != NULL ? node->line : 0;
}

static void check_file(struct config_reader *reader, int line, const char *path, const char *file)
{
    if (file != NULL && access(file, R_OK) != 0)
        config_complain(reader, line, path, "%s can't be read by this user; check the path and its mode", file);
}

static void check_secret(struct config_reader *reader, struct config_secret *secret, const char *key, int line)
{
    secret->key = key;
    if (secret->file != NULL && secret->environment != NULL)
        config_complain(reader, line, key, "both %s_file and %s_env are given; keep one", key, key);
    check_file(reader, line, key, secret->file);
}

static void check_secrets(struct config_reader *reader, const struct yaml_node *root)
{
    struct config *config = reader->config;
    check_secret(reader, &config->database.password, "database.password", line_of(root, "database", "password_file"));
    check_secret(reader, &config->redis.password, "redis.password", line_of(root, "redis", "password_file"));
    check_secret(reader, &config->paging.cursor_key, "paging.cursor_key", line_of(root, "paging", "cursor_key_file"));
    check_secret(reader, &config->customers.login_key, "customers.login_key",
                 line_of(root, "customers", "login_key_file"));
    check_secret(reader, &config->audit.key, "audit.key", line_of(root, "audit", "key_file"));
    check_secret(reader, &config->uploads.encryption_key, "uploads.encryption_key",
                 line_of(root, "uploads", "encryption_key_file"));
    check_secret(reader, &config->database.writer_password, "database.writer.password",
                 line_of(root, "database", "writer"));
    if (config->database.writer_user == NULL &&
        (config->database.writer_password.file != NULL || config->database.writer_password.environment != NULL))
        config_complain(reader, line_of(root, "database", "writer"), "database.writer.user",
                        "is missing; name the login whose password that is, like sluice_writer");
    /* The owner's login is no business of the server that serves: its file need not be readable there. */
    config->database.admin_password.key = "database.admin.password";
    if (config->database.admin_password.file != NULL && config->database.admin_password.environment != NULL)
        config_complain(reader, line_of(root, "database", "admin"), "database.admin.password",
                        "both password_file and password_env are given; keep one");
}

/* Not at the first upload, nor at the start of a gateway. */
static void check_encryption(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config_secret *secret = &reader->config->uploads.encryption_key;
    int line = line_of(root, "uploads", "encryption_key_file");
    struct buffer bytes;
    struct failure failure;
    if (secret->file == NULL || secret->environment != NULL || access(secret->file, R_OK) != 0)
        return; /* told already, or not this user's to know */
    buffer_init(&bytes, 65536);
    if (config_secret_read(secret, &bytes, &failure) != STATUS_OK)
        config_complain(reader, line, "uploads.encryption_key_file", "%s", failure.message);
    else if (bytes.size < SPOOL_KEY_MINIMUM)
        config_complain(reader, line, "uploads.encryption_key_file",
                        "the secret has %zu bytes, at least %d are needed; make one: openssl rand -hex 32", bytes.size,
                        SPOOL_KEY_MINIMUM);
    if (bytes.data != NULL)
        hash_wipe(bytes.data, bytes.capacity);
    buffer_free(&bytes);
}

static void check_auth(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config *config = reader->config;
    if (config->auth.issuer_count == 0)
        config_complain(reader, line_of(root, "auth", "issuers"), "auth.issuers",
                        "is empty: no token could be verified; name who issues them, as sluice.example.yaml shows");
    for (size_t i = 0; i < config->auth.issuer_count; i++) {
        const struct config_issuer *issuer = &config->auth.issuers[i];
        struct config_path path = config_join_item("auth.issuers", i);
        for (size_t k = 0; k < issuer->key_count; k++)
            check_file(reader, issuer->line, config_join(path.text, "keys").text, issuer->keys[k].file);
        bool known = issuer->tier == NULL;
        for (size_t k = 0; k < config->limits.tier_count; k++)
            known = known || strcmp(config->limits.tiers[k].name, issuer->tier) == 0;
        if (!known)
            config_complain(reader, issuer->line, config_join(path.text, "tier").text,
                            "%s is not among limits.tiers; add it there or choose another one", issuer->tier);
        check_file(reader, issuer->line, config_join(path.text, "jwks_file").text, issuer->jwks_file);
        check_file(reader, issuer->line, config_join(path.text, "ca_file").text, issuer->ca_file);
    }
}

static bool is_instance(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    return size != 0 && size <= AUDIT_INSTANCE_MAX && name[size] == '\0';
}

static void check_audit(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config *config = reader->config;
    if (config->audit.folder != NULL && config->audit.key.file == NULL && config->audit.key.environment == NULL)
        config_complain(reader, line_of(root, "audit", "folder"), "audit.key_file",
                        "is missing; name a file with a secret of at least %d bytes, like: openssl rand -hex 32",
                        CHAIN_KEY_MINIMUM);
    if (config->audit.instance != NULL && !is_instance(config->audit.instance))
        config_complain(reader, line_of(root, "audit", "instance"), "audit.instance",
                        "must have 1 to %d characters of a-z, 0-9, '.' and '-'", AUDIT_INSTANCE_MAX);
}

static bool is_same(const struct config_address *one, const struct config_address *other)
{
    return one->size == other->size && memcmp(&one->address, &other->address, one->size) == 0;
}

static void check_server(struct config_reader *reader, const struct yaml_node *root)
{
    static const char *const modes[] = {"disable", "prefer", "require", "verify-ca", "verify-full"};
    const struct config *config = reader->config;
    bool known = false;
    check_file(reader, line_of(root, "server", "tls"), "server.tls.certificate", config->server.tls_certificate);
    check_file(reader, line_of(root, "server", "tls"), "server.tls.key", config->server.tls_key);
    /* SO_REUSEPORT would let both be bound, and the kernel deal requests out to either. */
    if (is_same(&config->server.listen, &config->server.admin))
        config_complain(reader, line_of(root, "server", "admin"), "server.admin",
                        "is the address of server.listen too; give another port");
    if (config->server.ingest.listen.text != NULL && (is_same(&config->server.ingest.listen, &config->server.listen) ||
                                                      is_same(&config->server.ingest.listen, &config->server.admin)))
        config_complain(reader, line_of(root, "server", "ingest"), "server.ingest.listen",
                        "is the address of server.listen or server.admin too; give another port");
    if (config->server.proxy_protocol && config->server.trusted_proxies.count == 0)
        config_complain(reader, line_of(root, "server", "proxy_protocol"), "server.proxy_protocol",
                        "needs server.trusted_proxies: without them every connection would be refused");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        known = known || strcmp(config->database.sslmode, modes[i]) == 0;
    if (!known)
        config_complain(reader, line_of(root, "database", "tls"), "database.tls",
                        "must be disable, prefer, require, verify-ca or verify-full");
    check_file(reader, line_of(root, "database", "ca_file"), "database.ca_file", config->database.ca_file);
    if (yaml_get(root, "redis") != NULL && !yaml_is_null(yaml_get(root, "redis")) && config->redis.address == NULL)
        config_complain(reader, yaml_get(root, "redis")->line, "redis.address",
                        "is missing; give it, or leave the whole section out to do without Redis");
}

static void check_limits(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config *config = reader->config;
    for (size_t i = 0; i < config->limits.tier_count; i++)
        if (strcmp(config->limits.tiers[i].name, config->limits.default_tier) == 0)
            return;
    config_complain(reader, line_of(root, "limits", "default_tier"), "limits.default_tier",
                    "%s is not among limits.tiers; add it there or choose another one", config->limits.default_tier);
}

static void check_customers(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config *config = reader->config;
    bool told = yaml_get(yaml_get(root, "customers"), "each") != NULL;
    if (config->customers.connections != 0 && config->customers.each > config->customers.connections)
        config_complain(reader, line_of(root, "customers", told ? "each" : "connections"), "customers.each",
                        "is more than customers.connections, which all customers share; lower it");
}

static void check_cache(struct config_reader *reader, const struct yaml_node *root)
{
    const struct config *config = reader->config;
    if (config->cache.answers != 0 && config->cache.answer_max > config->cache.answers)
        config_complain(reader, line_of(root, "cache", "answer_max"), "cache.answer_max",
                        "is more than cache.answers, of which one answer may be a part; lower it, or give 0 for "
                        "cache.answers to keep none");
}

void config_check(struct config_reader *reader, const struct yaml_node *root)
{
    config_finish_hosts(reader);
    check_server(reader, root);
    check_secrets(reader, root);
    check_encryption(reader, root);
    check_auth(reader, root);
    check_audit(reader, root);
    check_limits(reader, root);
    check_cache(reader, root);
    check_customers(reader, root);
}
