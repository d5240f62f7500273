/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/config.h"
#include "base/file.h"
#include "query/datasets.h"

#define MINIMAL                                                                                                        \
    "auth: {issuers: [{issuer: \"https://issuer.example\", audience: sluice, jwks_url: "                               \
    "\"https://issuer.example/jwks\"}]}\n"

static struct buffer report;
static struct failure failure;

static int set_up(void **state)
{
    buffer_init(&report, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buffer_free(&report);
    return 0;
}

/* The configuration of a text that has no mistakes. */
static struct config *load(const char *source)
{
    struct config *config = NULL;
    buffer_clear(&report);
    if (config_parse("t.yaml", text_from_string(source), &config, &report) != STATUS_OK)
        fail_msg("%s", buffer_c_string(&report));
    assert_int_equal(report.size, 0);
    return config;
}

/* A copy of `source` with the one occurrence of `from` replaced. */
static char *replace(char *source, const char *from, const char *to)
{
    char *at = strstr(source, from), *copy = malloc(strlen(source) + strlen(to) + 1);
    if (at == NULL)
        fail_msg("the example lacks: %s", from);
    sprintf(copy, "%.*s%s%s", (int)(at - source), source, to, at + strlen(from));
    free(source);
    return copy;
}

/* sluice.example.yaml with what is required. */
static char *example(void)
{
    struct buffer source;
    buffer_init(&source, 1 << 20);
    assert_int_equal(file_read(SLUICE_SOURCE_DIR "/sluice.example.yaml", &source, &failure), STATUS_OK);
    char *text = strdup(buffer_c_string(&source));
    buffer_free(&source);
    return replace(
        text, "issuers: []",
        "issuers: [{issuer: \"https://issuer.example\", audience: sluice, jwks_url: \"https://issuer.example/jwks\"}]");
}

#define SAME(member) assert_true(one->member == other->member)
#define SAME_TEXT(member)                                                                                              \
    do {                                                                                                               \
        assert_int_equal(one->member == NULL, other->member == NULL);                                                  \
        if (one->member != NULL)                                                                                       \
            assert_string_equal(one->member, other->member);                                                           \
    } while (0)
#define SAME_SECRET(member)                                                                                            \
    do {                                                                                                               \
        SAME_TEXT(member.file);                                                                                        \
        SAME_TEXT(member.environment);                                                                                 \
    } while (0)
#define SAME_LIST(member)                                                                                              \
    for (size_t list_i = 0; one->member[list_i] != NULL || other->member[list_i] != NULL; list_i++)                    \
    SAME_TEXT(member[list_i])
#define SAME_NETWORKS(member)                                                                                          \
    do {                                                                                                               \
        SAME(member.count);                                                                                            \
        for (size_t net_i = 0; net_i < one->member.count; net_i++) {                                                   \
            SAME(member.items[net_i].prefix);                                                                          \
            assert_memory_equal(one->member.items[net_i].bytes, other->member.items[net_i].bytes, 16);                 \
        }                                                                                                              \
    } while (0)
#define SAME_RATE(member)                                                                                              \
    do {                                                                                                               \
        SAME(member.tokens);                                                                                           \
        SAME(member.window_ms);                                                                                        \
        SAME(member.burst);                                                                                            \
    } while (0)

static void assert_same_server(const struct config *one, const struct config *other)
{
    SAME_TEXT(server.listen.text);
    SAME_TEXT(server.admin.text);
    SAME(server.workers);
    SAME(server.max_connections);
    SAME(server.max_connections_per_address);
    SAME(server.max_body);
    SAME(server.max_uri);
    SAME(server.max_headers);
    SAME(server.request_timeout_ms);
    SAME(server.drain_delay_ms);
    SAME(server.drain_timeout_ms);
    SAME(server.min_send_rate);
    SAME(server.proxy_protocol);
    SAME(server.core_dumps);
    SAME_NETWORKS(server.trusted_proxies);
    SAME_TEXT(server.tls_certificate);
    SAME_TEXT(server.tls_key);
    SAME_TEXT(server.ingest.listen.text);
    SAME(server.ingest.connections);
    SAME(server.ingest.max_body);
    SAME(server.ingest.min_receive_rate);
    SAME(server.ingest.deadline_ms);
    SAME_LIST(cors.origins);
    SAME(cors.max_age_s);
    SAME(log.level);
    SAME_TEXT(log.requests);
    SAME_SECRET(paging.cursor_key);
    SAME(paging.max_limit);
}

static void assert_same_sources(const struct config *one, const struct config *other)
{
    SAME_TEXT(database.host);
    SAME(database.port);
    SAME_TEXT(database.ports);
    SAME_TEXT(database.name);
    SAME_TEXT(database.user);
    SAME_TEXT(database.sslmode);
    SAME_TEXT(database.ca_file);
    SAME_TEXT(database.admin_user);
    SAME_SECRET(database.password);
    SAME_SECRET(database.admin_password);
    SAME_TEXT(database.writer_user);
    SAME_SECRET(database.writer_password);
    SAME_SECRET(customers.login_key);
    SAME(customers.connections);
    SAME(customers.each);
    SAME(customers.queue);
    SAME(customers.idle_ms);
    SAME(customers.statement_timeout_ms);
    SAME(customers.queue_timeout_ms);
    SAME(database.connect_timeout_ms);
    SAME(database.fast_connections);
    SAME(database.fast_queue);
    SAME(database.scan_connections);
    SAME(database.scan_queue);
    SAME(database.fast_timeout_ms);
    SAME(database.scan_timeout_ms);
    SAME(database.scan_queue_timeout_ms);
    SAME_TEXT(serving.region);
    SAME_TEXT(serving.weather);
    SAME_TEXT(serving.market);
    SAME_TEXT(serving.forecast);
    SAME(serving.aggregate_count);
    SAME_TEXT(redis.address);
    SAME_SECRET(redis.password);
    SAME(redis.database);
    SAME_TEXT(redis.prefix);
    SAME(redis.timeout_ms);
    SAME(cache.memory);
    SAME(cache.ttl_ms);
    SAME(cache.stale_ms);
    SAME(cache.version_poll_ms);
    SAME(cache.answers);
    SAME(cache.answer_max);
}

static void assert_same_warehouse(const struct config *one, const struct config *other)
{
    SAME(warehouse.schema_count);
    for (size_t i = 0; i < one->warehouse.schema_count; i++) {
        SAME_TEXT(warehouse.schemas[i].name);
        SAME_TEXT(warehouse.schemas[i].scope);
    }
    SAME(warehouse.catalog_check_ms);
    SAME(warehouse.catalog_memory);
    SAME(warehouse.override_count);
    SAME(warehouse.document_limit);
}

static void assert_same_auth(const struct config *one, const struct config *other)
{
    SAME(auth.leeway_s);
    SAME(auth.max_lifetime_s);
    SAME(auth.cache);
    SAME(auth.revocation_max_age_ms);
    SAME(auth.revocation_refuses);
    SAME(auth.issuer_count);
    for (size_t i = 0; i < one->auth.issuer_count; i++) {
        SAME_TEXT(auth.issuers[i].issuer);
        SAME_LIST(auth.issuers[i].audiences);
        SAME_TEXT(auth.issuers[i].customer_claim);
        SAME_TEXT(auth.issuers[i].tier_claim);
        SAME_TEXT(auth.issuers[i].jwks_url);
        SAME(auth.issuers[i].refresh_ms);
        SAME_LIST(auth.issuers[i].allowed_algorithms);
    }
}

static void assert_same_limits(const struct config *one, const struct config *other)
{
    SAME(limits.instances);
    SAME(limits.has_address);
    SAME_RATE(limits.address);
    SAME_NETWORKS(limits.address_exempt);
    SAME_TEXT(limits.default_tier);
    SAME(limits.tier_count);
    SAME(limits.weight_count);
    for (size_t i = 0; i < one->limits.tier_count; i++) {
        SAME_TEXT(limits.tiers[i].name);
        SAME(limits.tiers[i].rate_count);
        SAME(limits.tiers[i].quota_count);
        for (size_t k = 0; k < one->limits.tiers[i].rate_count; k++)
            SAME_RATE(limits.tiers[i].rates[k]);
        for (size_t k = 0; k < one->limits.tiers[i].quota_count; k++) {
            SAME(limits.tiers[i].quotas[k].limit);
            SAME(limits.tiers[i].quotas[k].per_month);
        }
        SAME(limits.tiers[i].budget.cost);
        SAME(limits.tiers[i].budget.rows);
        SAME(limits.tiers[i].budget.bytes);
        SAME(limits.tiers[i].job_budget.cost);
        SAME(limits.tiers[i].job_budget.rows);
        SAME(limits.tiers[i].job_budget.bytes);
        SAME(limits.tiers[i].page);
        SAME(limits.tiers[i].upload_bytes);
        SAME(limits.tiers[i].upload_relations);
    }
}

static void assert_same_audit(const struct config *one, const struct config *other)
{
    assert_null(one->audit.folder);
    assert_null(one->audit.key.file);
    assert_null(one->audit.instance);
    assert_null(one->audit.anchor_file);
    SAME(audit.segment_bytes);
    SAME(audit.segment_age_ms);
    SAME(audit.on_full);
    SAME(audit.address);
    SAME(audit.keep_days);
    SAME(audit.keep_bytes);
    SAME(audit.anchor_ms);
    SAME(audit.ship);
    SAME(audit.ship_days);
}

static void the_examples_values_are_the_defaults(void **state)
{
    char *source = example();
    struct config *shown = load(source), *applied = load(MINIMAL);
    assert_same_server(shown, applied);
    assert_same_sources(shown, applied);
    assert_same_auth(shown, applied);
    assert_same_limits(shown, applied);
    assert_same_warehouse(shown, applied);
    assert_same_audit(shown, applied);
    config_free(shown);
    config_free(applied);
    free(source);
}

/* The paths of the keys are read off the code: a test that had its own list would not notice a new one. */
static void the_example_explains_every_key(void **state)
{
    struct buffer code;
    char *source = example();
    size_t keys = 0;
    buffer_init(&code, 1 << 20);
    assert_int_equal(file_read(SLUICE_SOURCE_DIR "/api/config.c", &code, &failure), STATUS_OK);
    for (const char *at = buffer_c_string(&code); (at = strstr(at, "    {\"")) != NULL; at++) {
        char path[64], *last;
        if (sscanf(at, "    {\"%63[a-z_.]\", config_read", path) != 1 || (last = strrchr(path, '.')) == NULL)
            continue;
        keys++;
        if (strstr(source, last + 1) == NULL)
            fail_msg("sluice.example.yaml does not explain %s", path);
    }
    assert_true(keys >= 60);
    buffer_free(&code);
    free(source);
}

static void the_example_as_it_stands_lacks_only_keys(void **state)
{
    struct config *config = NULL;
    assert_int_equal(config_load(SLUICE_SOURCE_DIR "/sluice.example.yaml", &config, &report), STATUS_INVALID);
    assert_null(config);
    assert_non_null(strstr(buffer_c_string(&report), "auth.issuers: is empty"));
    assert_ptr_equal(strchr(report.data, '\n'), report.data + report.size - 1); /* one line */
}

static void values_are_read_with_their_units(void **state)
{
    struct config *config =
        load(MINIMAL "server: {listen: \"[::1]:81\", workers: 3, max_body: 64KB, request_timeout: 2m,\n"
                     "  trusted_proxies: [10.0.0.0/8, \"::1\"], min_send_rate: 5}\n"
                     "cors: {origins: [\"*\"], max_age: 1h}\n"
                     "redis: {address: 127.0.0.1:6379, timeout: 300ms}\n"
                     "limits: {address: null, default_tier: a, weights: {getRegion: 5},\n"
                     "  tiers: {a: {rates: [{rate: 5/min, burst: 7}, {rate: 9/h, burst: 1}]}}}\n"
                     "serving: {aggregates: {rain: sum}}\n"
                     "log: {level: error}\n");
    assert_int_equal(config->server.listen.address.ss_family, AF_INET6);
    assert_int_equal(config->server.workers, 3);
    assert_int_equal(config->server.max_body, 65536);
    assert_int_equal(config->server.request_timeout_ms, 120000);
    assert_int_equal(config->server.min_send_rate, 5);
    assert_int_equal(config->server.trusted_proxies.items[0].prefix, 104);
    assert_string_equal(config->cors.origins[0], "*");
    assert_null(config->cors.origins[1]);
    assert_int_equal(config->cors.max_age_s, 3600);
    assert_string_equal(config->redis.address, "127.0.0.1:6379");
    assert_int_equal(config->redis.timeout_ms, 300);
    assert_string_equal(config->redis.prefix, "sluice:");
    assert_false(config->limits.has_address);
    assert_int_equal(config->limits.tier_count, 1);
    assert_int_equal(config->limits.tiers[0].rates[0].window_ms, 60000);
    assert_int_equal(config->limits.tiers[0].rates[1].window_ms, 3600000);
    assert_int_equal(config->limits.weights[0].weight, 5);
    assert_string_equal(config->serving.aggregates[0].function, "sum");
    assert_int_equal(config->log.level, LOG_ERROR);
    config_free(config);
}

static void what_customers_may_keep_and_how_they_log_in_is_read(void **state)
{
    struct config *config =
        load(MINIMAL "customers: {login_key_env: KEY, connections: 8, each: 2, queue: 3, idle: 1s}\n"
                     "database: {writer: {user: loader, password_env: LOADER}}\n"
                     "limits: {default_tier: a, tiers: {a: {upload: {bytes: 10GB, relations: 9}},\n"
                     "  b: {upload: {relations: 0}}, c: {upload: null}}}\n");
    assert_string_equal(config->customers.login_key.environment, "KEY");
    assert_string_equal(config->customers.login_key.key, "customers.login_key");
    assert_int_equal(config->customers.connections, 8);
    assert_int_equal(config->customers.each, 2);
    assert_int_equal(config->customers.queue, 3);
    assert_int_equal(config->customers.idle_ms, 1000);
    assert_string_equal(config->database.writer_user, "loader");
    assert_string_equal(config->database.writer_password.environment, "LOADER");
    assert_true(config->limits.tiers[0].upload_bytes == 10ULL << 30 && config->limits.tiers[0].upload_relations == 9);
    for (size_t i = 1; i < 3; i++)
        assert_true(config->limits.tiers[i].upload_bytes == 0 && config->limits.tiers[i].upload_relations == 0);
    config_free(config);
}

static void the_warehouses_schemas_keep_their_order_and_scopes(void **state)
{
    struct config *config =
        load(MINIMAL "warehouse:\n  schemas: [lake, {name: Premium Data, scope: \"premium:read\"}, {name: public}]\n"
                     "  catalog_check: 1s\n  catalog_memory: 1MB\n  document_limit: 0\n");
    const struct datasets_schema *schemas = config->warehouse.schemas;
    assert_int_equal(config->warehouse.schema_count, 3);
    assert_string_equal(schemas[0].name, "lake");
    assert_null(schemas[0].scope);
    assert_string_equal(schemas[1].name, "Premium Data");
    assert_string_equal(schemas[1].scope, "premium:read");
    assert_string_equal(schemas[2].name, "public");
    assert_null(schemas[2].scope);
    assert_int_equal(config->warehouse.catalog_check_ms, 1000);
    assert_int_equal(config->warehouse.catalog_memory, 1 << 20);
    assert_int_equal(config->warehouse.document_limit, 0);
    config_free(config);
}

static void what_is_told_of_a_dataset_is_kept_and_the_rest_is_not_told(void **state)
{
    struct config *config = load(MINIMAL "warehouse:\n  datasets:\n"
                                         "    weather_daily: {time_column: day, grain: day, expected_lag: 1d,\n"
                                         "      expected_every: 2w, key: [region_id, day]}\n"
                                         "    premium.Slow Data: {expected_lag: 0s}\n"
                                         "    empty: {time_column: null, key: null}\n");
    const struct datasets_override *told = config->warehouse.overrides;
    assert_int_equal(config->warehouse.override_count, 3);
    assert_string_equal(told[0].dataset, "weather_daily");
    assert_string_equal(told[0].time_column, "day");
    assert_string_equal(told[0].grain, "day");
    assert_int_equal(told[0].expected_lag_s, 86400);
    assert_int_equal(told[0].expected_every_s, 14 * 86400);
    assert_string_equal(told[0].key[0], "region_id");
    assert_string_equal(told[0].key[1], "day");
    assert_null(told[0].key[2]);
    assert_string_equal(told[1].dataset, "premium.Slow Data");
    assert_int_equal(told[1].expected_lag_s, 0);
    for (size_t i = 1; i < 3; i++) {
        assert_null(told[i].time_column);
        assert_null(told[i].grain);
        assert_null(told[i].key);
        assert_int_equal(told[i].expected_every_s, -1);
    }
    assert_int_equal(told[2].expected_lag_s, -1);
    config_free(config);
}

static void a_tier_has_a_budget_and_a_page(void **state)
{
    struct config *config =
        load(MINIMAL "limits:\n  tiers:\n    free: {budget: {cost: 2.5e5, rows: 1000000, bytes: 64MB},"
                     " page: 5000}\n    rest: {budget: {rows: 7}, job_budget: {cost: 9e6, rows: 8, bytes: 1GB}}\n    "
                     "none: {budget: null}\n"
                     "cache: {answers: 0, answer_max: 256KB}\n");
    const struct config_tier *tiers = config->limits.tiers;
    assert_true(tiers[0].budget.cost == 250000.0);
    assert_int_equal(tiers[0].budget.rows, 1000000);
    assert_int_equal(tiers[0].budget.bytes, 64 << 20);
    assert_int_equal(tiers[0].page, 5000);
    assert_true(tiers[1].budget.cost == 0.0 && tiers[1].budget.bytes == 0 && tiers[1].budget.rows == 7);
    assert_true(tiers[1].job_budget.cost == 9e6 && tiers[1].job_budget.rows == 8);
    assert_int_equal(tiers[1].job_budget.bytes, 1 << 30);
    assert_true(tiers[2].job_budget.cost == 0.0 && tiers[2].job_budget.rows == 0 && tiers[2].job_budget.bytes == 0);
    assert_true(tiers[2].budget.cost == 0.0 && tiers[2].budget.rows == 0 && tiers[2].page == 0);
    assert_int_equal(config->cache.answers, 0);
    assert_int_equal(config->cache.answer_max, 262144);
    config_free(config);
}

static void the_cores_are_counted_when_no_workers_are_given(void **state)
{
    struct config *config = load(MINIMAL);
    assert_true(config->server.workers >= 1);
    config_free(config);
}

static void a_file_that_is_not_there_is_a_failure_of_its_own(void **state)
{
    struct config *config = NULL;
    assert_int_equal(config_load("/nonexistent/sluice.yaml", &config, &report), STATUS_FAILED);
    assert_null(config);
    assert_non_null(strstr(buffer_c_string(&report), "/nonexistent/sluice.yaml"));
}

static void a_file_of_nothing_but_mistakes_is_refused_without_a_crash(void **state)
{
    char *source = malloc(400000), *at = source;
    struct config *config = NULL;
    for (int i = 0; i < 4000; i++)
        at += sprintf(at, "k%05d: 1\n", i);
    assert_int_equal(config_parse("t.yaml", text_from_string(source), &config, &report), STATUS_INVALID);
    if (strstr(buffer_c_string(&report), "more mistakes") == NULL)
        fail_msg("%s", report.data);
    assert_true(report.size < 200000);
    at = source + sprintf(source, MINIMAL "server: {trusted_proxies: [");
    for (int i = 0; i < 100000; i++)
        at += sprintf(at, "::,");
    strcpy(at, "]}\n");
    buffer_clear(&report);
    enum status status = config_parse("t.yaml", text_from_string(source), &config, &report);
    assert_int_equal(status == STATUS_OK, report.size == 0);
    if (status == STATUS_OK)
        config_free(config);
    free(source);
}

static void a_database_may_have_several_hosts_each_with_its_port(void **state)
{
    static const struct {
        const char *written, *hosts, *ports;
    } cases[] = {
        {"{}", "127.0.0.1", "5432"},
        {"{host: db1}", "db1", "5432"},
        {"{host: \"::1\", port: 6000}", "::1", "6000"},
        {"{host: \"[::1]:7000\", port: 6000}", "::1", "7000"},
        {"{host: /run/postgresql}", "/run/postgresql", "5432"},
        {"{host: [db1, \"db2:5433\"], port: 6000}", "db1,db2", "6000,5433"},
        {"{port: 6000, host: \"db1:1, [fe80::1]:2, 10.0.0.1\"}", "db1,fe80::1,10.0.0.1", "1,2,6000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char source[512];
        snprintf(source, sizeof(source), MINIMAL "database: %s\n", cases[i].written);
        struct config *config = load(source);
        assert_string_equal(config->database.host, cases[i].hosts);
        assert_string_equal(config->database.ports, cases[i].ports);
        config_free(config);
    }
}

static void standbys_to_read_from_are_named_like_hosts_or_not_at_all(void **state)
{
    (void)state;
    struct config *config = load(MINIMAL "database: {host: db1}\n");
    assert_null(config->database.replica_host);
    config_free(config);
    config = load(MINIMAL "database: {port: 6000, replica: {host: [db2, \"db3:7000\"], max_lag: 800ms}}\n");
    assert_string_equal(config->database.replica_host, "db2,db3");
    assert_string_equal(config->database.replica_ports, "6000,7000");
    assert_int_equal(config->database.replica_max_lag_ms, 800);
    assert_int_equal(config->database.replica_connections, 16);
    assert_string_equal(config->database.ports, "6000");
    config_free(config);
}

static void secrets_come_from_a_file_or_the_environment(void **state)
{
    char path[] = "/tmp/sluice-secret-XXXXXX";
    int fd = mkstemp(path); /* mode 0600 */
    assert_int_equal(write(fd, "from the file\n", 14), 14);
    close(fd);
    struct buffer secret;
    buffer_init(&secret, 4096);
    setenv("SLUICE_TEST_SECRET", "from the environment", 1);
    unsetenv("SLUICE_TEST_NOTHING");
    struct config_secret file = {.file = path, .key = "redis.password"}, none = {.key = "redis.password"},
                         environment = {.environment = "SLUICE_TEST_SECRET", .key = "redis.password"},
                         unset = {.environment = "SLUICE_TEST_NOTHING", .key = "redis.password"},
                         missing = {.file = "/nonexistent/secret", .key = "redis.password"};
    assert_int_equal(config_secret_read(&file, &secret, &failure), STATUS_OK);
    assert_string_equal(secret.data, "from the file");
    buffer_clear(&secret);
    assert_int_equal(config_secret_read(&environment, &secret, &failure), STATUS_OK);
    assert_string_equal(secret.data, "from the environment");
    struct config *config = load(MINIMAL "redis: {address: 127.0.0.1:1, password_env: SLUICE_TEST_SECRET}\n");
    const char *where = getenv("SLUICE_TEST_SECRET");
    config_secrets_forget(config);
    assert_null(getenv("SLUICE_TEST_SECRET"));
    assert_int_equal(where[0], '\0'); /* /proc/PID/environ shows the place itself */
    config_free(config);
    buffer_clear(&secret);
    assert_int_equal(config_secret_read(&none, &secret, &failure), STATUS_OK);
    assert_int_equal(secret.size, 0);
    assert_int_equal(config_secret_read(&unset, &secret, &failure), STATUS_INVALID);
    assert_non_null(strstr(failure.message, "SLUICE_TEST_NOTHING"));
    assert_int_not_equal(config_secret_read(&missing, &secret, &failure), STATUS_OK);
    assert_non_null(strstr(failure.message, "/nonexistent/secret"));
    chmod(path, 0644);
    buffer_clear(&secret);
    assert_int_not_equal(config_secret_read(&file, &secret, &failure), STATUS_OK);
    assert_int_equal(secret.size, 0);
    unlink(path);
    buffer_free(&secret);
    /* glibc keeps what setenv was given, and that string was wiped: another one. */
    setenv("SLUICE_TEST_SECRET", "another secret from the environment", 1);
    buffer_init(&secret, 8); /* nor is one cut that is too long, and taken for the whole */
    assert_int_equal(config_secret_read(&environment, &secret, &failure), STATUS_TOO_LARGE);
    assert_non_null(strstr(failure.message, "redis.password: the secret is longer than the 8 bytes allowed"));
    buffer_free(&secret);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_examples_values_are_the_defaults),
        TEST(the_example_explains_every_key),
        TEST(the_example_as_it_stands_lacks_only_keys),
        TEST(values_are_read_with_their_units),
        TEST(what_customers_may_keep_and_how_they_log_in_is_read),
        TEST(the_warehouses_schemas_keep_their_order_and_scopes),
        TEST(what_is_told_of_a_dataset_is_kept_and_the_rest_is_not_told),
        TEST(a_tier_has_a_budget_and_a_page),
        TEST(the_cores_are_counted_when_no_workers_are_given),
        TEST(a_file_that_is_not_there_is_a_failure_of_its_own),
        TEST(a_database_may_have_several_hosts_each_with_its_port),
        TEST(standbys_to_read_from_are_named_like_hosts_or_not_at_all),
        TEST(secrets_come_from_a_file_or_the_environment),
        TEST(a_file_of_nothing_but_mistakes_is_refused_without_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
