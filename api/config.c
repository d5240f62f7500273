#include "api/config.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/config_read.h"
#include "base/file.h"

#define FILE_CEILING ((size_t)1 << 20)
#define ARENA_CEILING ((size_t)32 << 20)
#define MAX_MISTAKES 200 /* then the rest of the file isn't worth reading */

#define AT(member) offsetof(struct config, member)
#define HOUR ((int64_t)3600000)
#define DAY (24 * HOUR)
#define GB ((int64_t)1 << 30)

/* Every key, with its default as YAML. sluice.example.yaml shows the same defaults; a test compares them. */
static const struct config_field fields[] = {
    {"server.listen", config_read_address, AT(server.listen), "127.0.0.1:8080", 0, 0},
    {"server.admin", config_read_address, AT(server.admin), "127.0.0.1:9080", 0, 0},
    {"server.workers", config_read_unsigned, AT(server.workers), "0", 0, 256},
    {"server.max_connections", config_read_count, AT(server.max_connections), "10000", 1, 1000000},
    {"server.max_connections_per_address", config_read_count, AT(server.max_connections_per_address), "5000", 0,
     1000000},
    {"server.max_body", config_read_size, AT(server.max_body), "8MB", 0, GB},
    {"server.max_uri", config_read_size, AT(server.max_uri), "8KB", 64, 65536},
    {"server.max_headers", config_read_count, AT(server.max_headers), "100", 8, 100},
    {"server.request_timeout", config_read_milliseconds, AT(server.request_timeout_ms), "30s", 100, HOUR},
    {"server.min_send_rate", config_read_rate, AT(server.min_send_rate), "1KB", 0, GB},
    {"server.drain_delay", config_read_milliseconds, AT(server.drain_delay_ms), "0s", 0, HOUR},
    {"server.drain_timeout", config_read_milliseconds, AT(server.drain_timeout_ms), "30s", 0, HOUR},
    {"server.proxy_protocol", config_read_bool, AT(server.proxy_protocol), "false", 0, 0},
    {"server.core_dumps", config_read_bool, AT(server.core_dumps), "false", 0, 0},
    {"server.trusted_proxies", config_read_networks, AT(server.trusted_proxies), "[]", 0, 0},
    {"server.tls", config_read_tls, 0, "null", 0, 0},
    {"server.ingest.listen", config_read_optional_address, AT(server.ingest.listen), "null", 0, 0},
    {"server.ingest.connections", config_read_count, AT(server.ingest.connections), "64", 1, 1024},
    {"server.ingest.max_body", config_read_rate, AT(server.ingest.max_body), "16GB", 1, 65536 * GB},
    {"server.ingest.min_receive_rate", config_read_rate, AT(server.ingest.min_receive_rate), "10KB", 0, GB},
    {"server.ingest.deadline", config_read_milliseconds, AT(server.ingest.deadline_ms), "6h", 100, 7 * DAY},
    {"cors.origins", config_read_texts, AT(cors.origins), "[]", 0, 0},
    {"cors.max_age", config_read_seconds_unsigned, AT(cors.max_age_s), "600s", 0, DAY},
    {"database.port", config_read_port, AT(database.port), "5432", 0, 0},
    {"database.host", config_read_hosts, AT(database.host), "127.0.0.1", 0, 0},
    {"database.name", config_read_text, AT(database.name), "sluice", 0, 0},
    {"database.user", config_read_text, AT(database.user), "sluice_reader", 0, 0},
    {"database.password_file", config_read_optional_text, AT(database.password.file), "null", 0, 0},
    {"database.password_env", config_read_optional_text, AT(database.password.environment), "null", 0, 0},
    {"database.tls", config_read_text, AT(database.sslmode), "prefer", 0, 0},
    {"database.ca_file", config_read_optional_text, AT(database.ca_file), "null", 0, 0},
    {"database.connect_timeout", config_read_milliseconds, AT(database.connect_timeout_ms), "3s", 100, HOUR},
    {"database.fast.connections", config_read_count, AT(database.fast_connections), "2", 1, 64},
    {"database.fast.queue", config_read_count, AT(database.fast_queue), "1024", 1, 1000000},
    {"database.fast.statement_timeout", config_read_milliseconds, AT(database.fast_timeout_ms), "100ms", 1, HOUR},
    {"database.scan.connections", config_read_count, AT(database.scan_connections), "16", 1, 1024},
    {"database.scan.queue", config_read_count, AT(database.scan_queue), "64", 1, 1000000},
    {"database.scan.queue_timeout", config_read_milliseconds, AT(database.scan_queue_timeout_ms), "5s", 1, HOUR},
    {"database.scan.statement_timeout", config_read_milliseconds, AT(database.scan_timeout_ms), "30s", 1, DAY},
    {"database.replica.host", config_read_replica_hosts, AT(database.replica_host), "null", 0, 0},
    {"database.replica.max_lag", config_read_milliseconds, AT(database.replica_max_lag_ms), "5s", 500, 60000},
    {"database.replica.connections", config_read_count, AT(database.replica_connections), "16", 1, 1024},
    {"database.admin.user", config_read_text, AT(database.admin_user), "sluice_owner", 0, 0},
    {"database.admin.password_file", config_read_optional_text, AT(database.admin_password.file), "null", 0, 0},
    {"database.admin.password_env", config_read_optional_text, AT(database.admin_password.environment), "null", 0, 0},
    {"database.writer.user", config_read_optional_text, AT(database.writer_user), "null", 0, 0},
    {"database.writer.password_file", config_read_optional_text, AT(database.writer_password.file), "null", 0, 0},
    {"database.writer.password_env", config_read_optional_text, AT(database.writer_password.environment), "null", 0, 0},
    {"customers.login_key_file", config_read_optional_text, AT(customers.login_key.file), "null", 0, 0},
    {"customers.login_key_env", config_read_optional_text, AT(customers.login_key.environment), "null", 0, 0},
    {"customers.connections", config_read_count, AT(customers.connections), "64", 1, 4096},
    {"customers.each", config_read_count, AT(customers.each), "4", 1, 64},
    {"customers.queue", config_read_count, AT(customers.queue), "16", 1, 1000000},
    {"customers.idle", config_read_milliseconds, AT(customers.idle_ms), "30s", 100, HOUR},
    {"customers.queue_timeout", config_read_milliseconds, AT(customers.queue_timeout_ms), "5s", 1, HOUR},
    {"customers.statement_timeout", config_read_milliseconds, AT(customers.statement_timeout_ms), "30s", 1, DAY},
    {"uploads.spool", config_read_text, AT(uploads.spool), "/var/lib/sluice/spool", 0, 0},
    {"uploads.encryption_key_file", config_read_optional_text, AT(uploads.encryption_key.file), "null", 0, 0},
    {"uploads.encryption_key_env", config_read_optional_text, AT(uploads.encryption_key.environment), "null", 0, 0},
    {"uploads.spool_size", config_read_rate, AT(uploads.spool_size), "50GB", 1 << 20, 65536 * GB},
    {"uploads.threads", config_read_unsigned, AT(uploads.threads), "4", 1, 256},
    {"uploads.queue", config_read_count, AT(uploads.queue), "64", 1, 100000},
    {"uploads.each", config_read_unsigned, AT(uploads.each), "2", 1, 256},
    {"uploads.lock_timeout", config_read_milliseconds, AT(uploads.lock_timeout_ms), "5s", 1, HOUR},
    {"uploads.max_expansion", config_read_unsigned, AT(uploads.max_expansion), "1000", 1, 1000000},
    {"uploads.sessions.each", config_read_count, AT(uploads.sessions_each), "100", 1, 1000},
    {"uploads.sessions.lifetime", config_read_milliseconds, AT(uploads.sessions_lifetime_ms), "24h", 60000, 30 * DAY},
    {"jobs.threads", config_read_unsigned, AT(jobs.threads), "2", 1, 256},
    {"jobs.queue", config_read_count, AT(jobs.queue), "64", 1, 100000},
    {"jobs.each", config_read_unsigned, AT(jobs.each), "2", 1, 256},
    {"jobs.keep", config_read_milliseconds, AT(jobs.keep_ms), "24h", 1000, 30 * DAY},
    {"jobs.timeout", config_read_milliseconds, AT(jobs.timeout_ms), "30m", 100, DAY},
    {"customers.change_timeout", config_read_milliseconds, AT(customers.change_timeout_ms), "5m", 1, DAY},
    {"serving.region", config_read_relation, AT(serving.region), "serving.region", 0, 0},
    {"serving.weather", config_read_relation, AT(serving.weather), "serving.weather_daily", 0, 0},
    {"serving.market", config_read_relation, AT(serving.market), "serving.market_daily", 0, 0},
    {"serving.forecast", config_read_relation, AT(serving.forecast), "serving.weather_forecast", 0, 0},
    {"serving.aggregates", config_read_aggregates, 0, "{}", 0, 0},
    {"warehouse.schemas", config_read_schemas, 0, "[serving]", 0, 0},
    {"warehouse.catalog_check", config_read_milliseconds, AT(warehouse.catalog_check_ms), "500ms", 100, 1000},
    {"warehouse.catalog_memory", config_read_size, AT(warehouse.catalog_memory), "16MB", 1 << 20, 4 * GB},
    {"warehouse.datasets", config_read_datasets, 0, "{}", 0, 0},
    {"warehouse.loadable", config_read_loadable, 0, "[]", 0, 0},
    {"warehouse.document_limit", config_read_count, AT(warehouse.document_limit), "200", 0, 10000},
    {"redis.address", config_read_optional_text, AT(redis.address), "null", 0, 0},
    {"redis.password_file", config_read_optional_text, AT(redis.password.file), "null", 0, 0},
    {"redis.password_env", config_read_optional_text, AT(redis.password.environment), "null", 0, 0},
    {"redis.database", config_read_int, AT(redis.database), "0", 0, 1024},
    {"redis.prefix", config_read_text, AT(redis.prefix), "\"sluice:\"", 0, 0},
    {"redis.timeout", config_read_milliseconds, AT(redis.timeout_ms), "250ms", 10, 60000},
    {"auth.issuers", config_read_issuers, 0, "[]", 0, 0},
    {"auth.leeway", config_read_seconds, AT(auth.leeway_s), "30s", 0, HOUR},
    {"auth.max_lifetime", config_read_seconds, AT(auth.max_lifetime_s), "24h", 1000, 366 * DAY},
    {"auth.cache", config_read_count, AT(auth.cache), "10000", 16, 10000000},
    {"auth.revocation.max_age", config_read_milliseconds, AT(auth.revocation_max_age_ms), "60s", 2000, DAY},
    {"auth.revocation.when_unknown", config_read_when_unknown, 0, "serve", 0, 0},
    {"limits.instances", config_read_unsigned, AT(limits.instances), "1", 1, 10000},
    {"limits.address", config_read_address_limit, 0, "{rate: 50/s, burst: 100, exempt: [127.0.0.0/8, \"::1\"]}", 0, 0},
    {"limits.default_tier", config_read_text, AT(limits.default_tier), "free", 0, 0},
    {"limits.tiers", config_read_tiers, 0,
     "{free: {rates: [{rate: 10/s, burst: 20}], quotas: [{limit: 10000, per: day}, {limit: 100000, per: month}],"
     "  upload: {bytes: 1GB, relations: 20}},"
     " standard: {rates: [{rate: 1000/s, burst: 2000}], quotas: [], upload: {bytes: 10GB, relations: 100}}}",
     0, 0},
    {"limits.weights", config_read_weights, 0, "{}", 0, 0},
    {"cache.memory", config_read_size, AT(cache.memory), "32MB", 1 << 20, 64 * GB},
    {"cache.ttl", config_read_milliseconds, AT(cache.ttl_ms), "10s", 0, DAY},
    {"cache.stale", config_read_milliseconds, AT(cache.stale_ms), "1h", 0, 30 * DAY},
    {"cache.version_poll", config_read_milliseconds, AT(cache.version_poll_ms), "1s", 50, HOUR},
    {"cache.answers", config_read_size, AT(cache.answers), "16MB", 0, 64 * GB},
    {"cache.answer_max", config_read_size, AT(cache.answer_max), "64KB", 1 << 10, 256 << 10},
    {"audit.folder", config_read_optional_text, AT(audit.folder), "null", 0, 0},
    {"audit.key_file", config_read_optional_text, AT(audit.key.file), "null", 0, 0},
    {"audit.key_env", config_read_optional_text, AT(audit.key.environment), "null", 0, 0},
    {"audit.instance", config_read_optional_text, AT(audit.instance), "null", 0, 0},
    {"audit.segment_size", config_read_rate, AT(audit.segment_bytes), "64MB", 64 << 10, 16 * GB},
    {"audit.segment_age", config_read_milliseconds, AT(audit.segment_age_ms), "1h", 1000, 30 * DAY},
    {"audit.on_full", config_read_on_full, AT(audit.on_full), "refuse", 0, 0},
    {"audit.address", config_read_audit_address, AT(audit.address), "truncated", 0, 0},
    {"audit.keep_days", config_read_unsigned, AT(audit.keep_days), "0", 0, 36500},
    {"audit.keep_size", config_read_rate, AT(audit.keep_bytes), "0", 0, 65536 * GB},
    {"audit.anchors.every", config_read_milliseconds, AT(audit.anchor_ms), "10s", 0, DAY},
    {"audit.anchors.file", config_read_optional_text, AT(audit.anchor_file), "null", 0, 0},
    {"audit.ship", config_read_bool, AT(audit.ship), "true", 0, 0},
    {"audit.ship_days", config_read_unsigned, AT(audit.ship_days), "0", 0, 36500},
    {"log.level", config_read_level, AT(log.level), "info", 0, 0},
    {"log.requests", config_read_text, AT(log.requests), "stdout", 0, 0},
    {"paging.cursor_key_file", config_read_optional_text, AT(paging.cursor_key.file), "null", 0, 0},
    {"paging.cursor_key_env", config_read_optional_text, AT(paging.cursor_key.environment), "null", 0, 0},
    {"paging.max_limit", config_read_count, AT(paging.max_limit), "1000", 1, 100000},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

void config_complain(struct config_reader *reader, int line, const char *path, const char *format, ...)
{
    char words[512];
    va_list arguments;
    if (++reader->mistakes > MAX_MISTAKES)
        return;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    if (line > 0)
        buffer_printf(reader->report, "%s:%d: %s: %s\n", reader->name, line, path, words);
    else
        buffer_printf(reader->report, "%s: %s: %s\n", reader->name, path, words);
}

void *config_member(struct config_reader *reader, const struct config_field *field)
{
    return (char *)reader->config + field->offset;
}

void *config_allocate(struct config_reader *reader, size_t count, size_t size)
{
    void *memory = arena_calloc(&reader->config->arena, count + 1, size);
    if (memory == NULL)
        abort(); /* the file is bounded far below the arena's ceiling: memory itself is gone */
    return memory;
}

const char *config_string(struct config_reader *reader, struct text text)
{
    char *copy = config_allocate(reader, text.size + 1, 1);
    memcpy(copy, text.data, text.size);
    return copy;
}

const char *config_nearest(struct text text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = 4;
    for (size_t i = 0; i < count; i++) {
        size_t far = text_distance(text, text_from_string(names[i]));
        if (far < least) {
            least = far;
            nearest = names[i];
        }
    }
    return nearest;
}

static void complain_unknown(struct config_reader *reader, const struct yaml_node *key, const char *path,
                             const char *const *names, size_t count)
{
    char full[192], list[320] = "";
    const char *nearest = config_nearest(key->text, names, count);
    size_t at = 0;
    snprintf(full, sizeof(full), "%s%s%.*s", path, path[0] != '\0' ? "." : "",
             (int)(key->text.size < 64 ? key->text.size : 64), key->text.data);
    for (size_t i = 0; i < count && at < sizeof(list); i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i != 0 ? ", " : "", names[i]);
    if (nearest != NULL)
        config_complain(reader, key->line, full, "unknown key; did you mean %s?", nearest);
    else
        config_complain(reader, key->line, full, "unknown key; known here are %s", list);
}

bool config_check_keys(struct config_reader *reader, const struct yaml_node *node, const char *path,
                       const char *const *known)
{
    size_t count = 0;
    while (known[count] != NULL)
        count++;
    if (node->kind != YAML_MAPPING) {
        config_complain(reader, node->line, path, "needs keys and values, the first key being %s", known[0]);
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        bool found = false;
        for (size_t k = 0; k < count; k++)
            found = found || text_equal(node->pairs[i].key->text, text_from_string(known[k]));
        if (!found)
            complain_unknown(reader, node->pairs[i].key, path, known, count);
    }
    return true;
}

/* The next component of `path` behind `prefix` ("" or "server"); TEXT_NONE if it does not begin so. */
static struct text component_behind(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    if (size != 0 && (strncmp(path, prefix, size) != 0 || path[size] != '.'))
        return TEXT_NONE;
    struct text rest = text_from_string(path + size + (size != 0));
    return text_split(&rest, '.');
}

static void refuse_key(struct config_reader *reader, const struct yaml_node *key, const char *prefix)
{
    const char *names[FIELDS] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < FIELDS; i++) {
        struct text component = component_behind(fields[i].path, prefix);
        if (component.data == NULL || (count != 0 && text_equal(text_from_string(names[count - 1]), component)))
            continue;
        names[count++] = config_string(reader, component);
    }
    complain_unknown(reader, key, prefix, names, count);
}

static const struct config_field *find_field(const char *path)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (strcmp(fields[i].path, path) == 0)
            return &fields[i];
    return NULL;
}

static bool is_section(const char *path)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (component_behind(fields[i].path, path).data != NULL)
            return true;
    return false;
}

static void read_mapping(struct config_reader *reader, const struct yaml_node *node, const char *prefix, bool *seen)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        char path[160];
        snprintf(path, sizeof(path), "%s%s%.*s", prefix, prefix[0] != '\0' ? "." : "",
                 (int)(pair->key->text.size < 64 ? pair->key->text.size : 64), pair->key->text.data);
        /* A dot or nothing in a key would make a path of its own. */
        bool is_name = pair->key->text.size != 0 && memchr(pair->key->text.data, '.', pair->key->text.size) == NULL;
        const struct config_field *field = is_name ? find_field(path) : NULL;
        if (field != NULL) {
            seen[field - fields] = true;
            reader->config->prints[field - fields] = config_print(pair->value);
            field->read(reader, field, pair->value);
        } else if (!is_name || !is_section(path)) {
            refuse_key(reader, pair->key, prefix);
        } else if (pair->value->kind == YAML_MAPPING) {
            read_mapping(reader, pair->value, path, seen);
        } else if (!yaml_is_null(pair->value)) {
            config_complain(reader, pair->value->line, path, "needs keys and values below it");
        }
    }
}

static void apply_default(struct config_reader *reader, const struct config_field *field)
{
    struct yaml_node *node;
    struct failure failure;
    if (field->fallback == NULL) {
        config_complain(reader, 0, field->path, "is required; sluice.example.yaml explains it");
        *(const char **)config_member(reader, field) = "";
        return;
    }
    if (yaml_parse(&reader->config->arena, "default", text_from_string(field->fallback), &node, &failure) != STATUS_OK)
        return;
    reader->config->prints[field - fields] = config_print(node);
    field->read(reader, field, node);
}

static unsigned usable_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

enum status config_parse(const char *name, struct text source, struct config **out, struct buffer *report)
{
    struct config *config = calloc(1, sizeof(*config));
    bool seen[FIELDS] = {false};
    struct yaml_node *root;
    struct failure failure;
    if (config == NULL) {
        buffer_printf(report, "%s: out of memory\n", name);
        return STATUS_FAILED;
    }
    arena_init(&config->arena, NULL, 0, ARENA_CEILING);
    config->prints = arena_calloc(&config->arena, FIELDS, sizeof(*config->prints));
    struct config_reader reader = {.config = config, .name = name, .report = report};
    if (config->prints == NULL) {
        buffer_printf(report, "%s: out of memory\n", name);
        reader.mistakes++;
    } else if (yaml_parse(&config->arena, name, source, &root, &failure) != STATUS_OK) {
        buffer_printf(report, "%s\n", failure.message);
        reader.mistakes++;
    } else if (root->kind != YAML_MAPPING) {
        config_complain(&reader, root->line, "the file", "needs keys and values; begin with sluice.example.yaml");
    } else {
        read_mapping(&reader, root, "", seen);
        for (size_t i = 0; i < FIELDS; i++)
            if (!seen[i])
                apply_default(&reader, &fields[i]);
        config_check(&reader, root);
    }
    if (reader.mistakes > MAX_MISTAKES)
        buffer_printf(report, "%s: and %zu more mistakes\n", name, reader.mistakes - MAX_MISTAKES);
    if (reader.mistakes != 0) {
        config_free(config);
        return STATUS_INVALID;
    }
    if (config->server.workers == 0)
        config->server.workers = usable_cores();
    config->path = config_string(&reader, text_from_string(name));
    *out = config;
    return STATUS_OK;
}

enum status config_load(const char *path, struct config **config, struct buffer *report)
{
    struct buffer source;
    struct failure failure;
    buffer_init(&source, FILE_CEILING);
    enum status status = file_read(path, &source, &failure);
    if (status != STATUS_OK) {
        buffer_printf(report, "%s\n", failure.message);
        status = STATUS_FAILED;
    } else {
        status = config_parse(path, buffer_text(&source), config, report);
    }
    buffer_free(&source);
    return status;
}

size_t config_field_count(void)
{
    return FIELDS;
}

const char *config_field_path(size_t index)
{
    return fields[index].path;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    arena_free(&config->arena);
    free(config);
}

static enum status read_secret(const struct config_secret *secret, struct buffer *out, struct failure *failure)
{
    if (secret->file != NULL)
        return file_read_secret(secret->file, out, failure);
    if (secret->environment == NULL)
        return STATUS_OK;
    const char *value = getenv(secret->environment);
    if (value == NULL || value[0] == '\0')
        return failure_set(failure, STATUS_INVALID, "%s_env: the environment variable %s is not set", secret->key,
                           secret->environment);
    buffer_append_string(out, value);
    return STATUS_OK; /* one that is too long is found by config_secret_read */
}

void config_secrets_forget(const struct config *config)
{
    const struct config_secret *const secrets[] = {
        &config->database.password,   &config->database.admin_password, &config->database.writer_password,
        &config->customers.login_key, &config->redis.password,          &config->paging.cursor_key,
        &config->audit.key,           &config->uploads.encryption_key,
    };
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        char *value = secrets[i]->environment != NULL ? getenv(secrets[i]->environment) : NULL;
        if (value == NULL)
            continue;
        explicit_bzero(value, strlen(value));
        unsetenv(secrets[i]->environment);
    }
}

enum status config_secret_read(const struct config_secret *secret, struct buffer *out, struct failure *failure)
{
    enum status status = read_secret(secret, out, failure);
    if (status == STATUS_OK && buffer_c_string(out) == NULL)
        return failure_set(failure, STATUS_TOO_LARGE, "%s: the secret is longer than the %zu bytes allowed",
                           secret->key, out->ceiling);
    return status;
}
