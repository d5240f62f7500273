/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>

#include "api/config.h"

/* Four lines: what follows them begins at line 5. */
#define MINIMAL                                                                                                        \
    "auth:\n  issuers:\n    - {issuer: \"https://issuer.example\", audience: sluice, jwks_url: "                       \
    "\"https://issuer.example/jwks\"}\n\n"
#define AUTH "auth:\n  issuers:\n    - issuer: i\n      audience: a\n"
#define WITH_URL AUTH "      jwks_url: \"https://i\"\n"

struct mistake {
    const char *source; /* what follows MINIMAL; a whole file if it begins with "auth:" or "#" */
    const char *begins; /* the report's first line behind "t.yaml:", line number and path */
    const char *says;   /* and further words in it; "+" in front: what the mistake leaves missing is told too */
};

static const struct mistake mistakes[] = {
    /* Keys. */
    {"server:\n  wrokers: 4\n", "6: server.wrokers: ", "unknown key; did you mean workers?"},
    {"sever: {}\n", "5: sever: ", "did you mean server?"},
    {"zzzzzzzzzzz: 1\n", "5: zzzzzzzzzzz: ", "known here are server, cors"},
    {"database:\n  fast:\n    quue: 1\n", "7: database.fast.quue: ", "did you mean queue?"},
    {"database: {fast: {zzzzzzzz: 1}}\n", "5: database.fast.zzzzzzzz: ", "connections, queue, statement_timeout"},
    {"server: 4\n", "5: server: ", "needs keys and values"},
    {"database: {fast: [1]}\n", "5: database.fast: ", "needs keys and values"},
    {"server.listen: 127.0.0.1:8080\n", "5: server.listen: ", "unknown key"},
    {"\"\": {server: {workers: 1}}\n", "5: ", "unknown key"},
    {"#\n- a\n", "2: ", "needs keys and values"},
    /* server. */
    {"server: {listen: localhost:8080}\n", "5: server.listen: ", "127.0.0.1:8080"},
    {"server: {listen: 127.0.0.1}\n", "5: server.listen: ", "port"},
    {"server: {listen: 127.0.0.1:0}\n", "5: server.listen: ", "port"},
    {"server: {listen: null}\n", "5: server.listen: ", "port"},
    {"server: {admin: [a]}\n", "5: server.admin: ", "port"},
    {"server: {admin: 127.0.0.1:8080}\n", "5: server.admin: ", "server.listen"},
    {"server: {workers: -1}\n", "5: server.workers: ", "0 to 256"},
    {"server: {workers: 257}\n", "5: server.workers: ", "0 to 256"},
    {"server: {workers: 1.5}\n", "5: server.workers: ", "whole number"},
    {"server: {workers: \"4\"}\n", "5: server.workers: ", "whole number"},
    {"server: {max_connections: 0}\n", "5: server.max_connections: ", "1 to 1000000"},
    {"server: {max_body: 8mb}\n", "5: server.max_body: ", "needs a size"},
    {"server: {max_body: 99999999999999GB}\n", "5: server.max_body: ", "needs a size"},
    {"server: {max_uri: 1}\n", "5: server.max_uri: ", "needs a size from 64"},
    {"server: {request_timeout: 30}\n", "5: server.request_timeout: ", "with its unit"},
    {"server: {request_timeout: 1d}\n", "5: server.request_timeout: ", "like 250ms"},
    {"server: {request_timeout: -5s}\n", "5: server.request_timeout: ", "needs a duration"},
    {"server: {request_timeout: 9999999999999999999s}\n", "5: server.request_timeout: ", "needs a duration"},
    {"server: {proxy_protocol: maybe}\n", "5: server.proxy_protocol: ", "true or false"},
    {"server: {proxy_protocol: true}\n", "5: server.proxy_protocol: ", "needs server.trusted_proxies"},
    {"server: {trusted_proxies: 10.0.0.0/8}\n", "5: server.trusted_proxies: ", "list of networks"},
    {"server: {trusted_proxies: [10.0.0.0/33]}\n", "5: server.trusted_proxies: ", "networks like"},
    {"server: {trusted_proxies: [proxy.example]}\n", "5: server.trusted_proxies: ", "networks like"},
    {"server: {trusted_proxies: [\"10.0.0.1:0\"]}\n", "5: server.trusted_proxies: ", "networks like"},
    {"server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - x\n", "8: server.trusted_proxies: ", "networks like"},
    {"server: {tls: {certificate: /dev/null}}\n", "5: server.tls.key: ", "needs a text"},
    {"server: {tls: {certificate: /dev/null, key: /nonexistent}}\n",
     "5: server.tls.key: ", "/nonexistent can't be read"},
    {"server: {tls: {certificate: /dev/null, key: /dev/null, minimum: \"1.1\"}}\n", "5: server.tls.minimum: ", "1.3"},
    {"server: {tls: {cert: a, certificate: /dev/null, key: /dev/null}}\n", "5: server.tls.cert: ", "unknown key"},
    {"server: {tls: yes}\n", "5: server.tls: ", "needs keys and values"},
    /* cors, database, serving, redis. */
    {"cors: {origins: https://a.example}\n", "5: cors.origins: ", "list of texts"},
    {"cors: {origins: [[a]]}\n", "5: cors.origins: ", "list of texts"},
    {"database: {port: 0}\n", "5: database.port: ", "1 to 65535"},
    {"database: {port: 70000}\n", "5: database.port: ", "1 to 65535"},
    {"database: {host: null}\n", "5: database.host: ", "needs a text"},
    {"database: {host: []}\n", "5: database.host: ", "list of at most 8"},
    {"database: {host: \"\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"a,,b\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: [a, null]}\n", "5: database.host: ", "needs a text"},
    {"database: {host: [a, [b]]}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"a:0\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"a:65536\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"a:b\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \":5432\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"[::1\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: \"[::1]5\"}\n", "5: database.host: ", "needs a text"},
    {"database: {host: [a, b, c, d, e, f, g, h, i]}\n", "5: database.host: ", "list of at most 8"},
    {"database: {name: \"\"}\n", "5: database.name: ", "must not be empty"},
    {"database: {tls: on}\n", "5: database.tls: ", "verify-full"},
    {"database: {ca_file: /nonexistent}\n", "5: database.ca_file: ", "can't be read"},
    {"database: {password_file: /nonexistent}\n", "5: database.password: ", "can't be read"},
    {"database: {password_file: /dev/null, password_env: A}\n", "5: database.password: ", "keep one"},
    {"database: {admin: {password_file: a, password_env: A}}\n", "5: database.admin.password: ", "keep one"},
    {"database:\n  scan:\n    statement_timeout: 0s\n", "7: database.scan.statement_timeout: ", "needs a duration"},
    {"serving: {region: region}\n", "5: serving.region: ", "schema.name"},
    {"serving: {region: a.b.c}\n", "5: serving.region: ", "schema.name"},
    {"serving: {market: [a]}\n", "5: serving.market: ", "+"},
    {"serving: {aggregates: {rain: median}}\n", "5: serving.aggregates.rain: ", "mean, sum, min or max"},
    {"serving: {aggregates: [a]}\n", "5: serving.aggregates: ", "needs columns"},
    {"redis: {timeout: 100ms}\n", "5: redis.address: ", "is missing"},
    {"redis: {address: \"127.0.0.1:1\", database: -1}\n", "5: redis.database: ", "0 to 1024"},
    {"redis: {address: \"127.0.0.1:1\", timeout: 1ms}\n", "5: redis.timeout: ", "needs a duration"},
    /* auth. */
    {"auth: {}\n", " auth.issuers: ", "is empty"},
    {"auth: {issuers: {}}\n", "1: auth.issuers: ", "+needs a list"},
    {"auth: {issuer: i}\n", "1: auth.issuer: ", "+did you mean issuers?"},
    {"auth: {issuers: [{audience: a, jwks_url: \"https://i\"}]}\n", "1: auth.issuers[0].issuer: ", "needs a text"},
    {"auth: {issuers: [{issuer: i, jwks_url: \"https://i\"}]}\n", "1: auth.issuers[0].audience: ", "is missing"},
    {"auth: {issuers: [{issuer: i, audience: [], jwks_url: \"https://i\"}]}\n",
     "1: auth.issuers[0].audience: ", "1 to 16 texts"},
    {AUTH, "3: auth.issuers[0]: ", "one source of keys"},
    {AUTH "      keys: {kid: a}\n", "5: auth.issuers[0].keys: ", "needs a list"},
    {AUTH "      keys:\n        - {algorithm: HS256, file: /dev/null}\n",
     "6: auth.issuers[0].keys[0].kid: ", "needs a text"},
    {AUTH "      keys: [{kid: a, algorithm: none, file: /dev/null}]\n",
     "5: auth.issuers[0].keys[0].algorithm: ", "HS256"},
    {AUTH "      keys: [{kid: a, algorithm: ES256, file: /nonexistent}]\n",
     "3: auth.issuers[0].keys: ", "can't be read"},
    {AUTH
     "      keys:\n        - {kid: a, algorithm: HS256, file: /dev/null}\n        - {kid: a, algorithm: HS256, file: "
     "/dev/null}\n",
     "7: auth.issuers[0].keys[1].kid: ", "twice"},
    {AUTH "      keys: [{kid: a, algorithm: HS256, file: /dev/null, use: sig}]\n",
     "5: auth.issuers[0].keys[0].use: ", "unknown key"},
    {AUTH "      jwks_url: \"ftp://i\"\n", "3: auth.issuers[0].jwks_url: ", "https://"},
    {WITH_URL "      jwks_file: /dev/null\n", "3: auth.issuers[0]: ", "one source of keys"},
    {AUTH "      jwks_file: /nonexistent\n", "3: auth.issuers[0].jwks_file: ", "can't be read"},
    {AUTH "      discovery: true\n", "5: auth.issuers[0].discovery: ", "where the issuer is an address"},
    {AUTH "      discovery: \"http://issuer.example/doc\"\n", "5: auth.issuers[0].discovery: ", "on this machine"},
    {WITH_URL "      refresh: 1ms\n", "6: auth.issuers[0].refresh: ", "100ms to 24h"},
    {WITH_URL "      allowed_algorithms: [HS256]\n", "6: auth.issuers[0].allowed_algorithms: ", "public keys"},
    {AUTH "      keys: [{kid: a, algorithm: HS256, file: /dev/null}]\n      allowed_algorithms: [RS256]\n",
     "6: auth.issuers[0].allowed_algorithms: ", "from a JWKS"},
    {WITH_URL "      customer: Acme\n", "3: auth.issuers[0].customer: ", "a letter first"},
    {WITH_URL "      customer: acme\n      customer_claim: c\n", "3: auth.issuers[0].customer: ", "keep one"},
    {WITH_URL "      tier: free\n      tier_claim: c\n", "3: auth.issuers[0].tier: ", "keep one"},
    {WITH_URL "      tier: gold\n", "3: auth.issuers[0].tier: ", "not among limits.tiers"},
    {WITH_URL "      jwks: {}\n", "6: auth.issuers[0].jwks: ", "unknown key"},
    {WITH_URL "    - {issuer: i, audience: b, jwks_url: \"https://j\"}\n", "6: auth.issuers[1].issuer: ", "twice"},
    {WITH_URL "  cache: 1\n", "6: auth.cache: ", "16"},
    {WITH_URL "  leeway: 2h\n", "6: auth.leeway: ", "needs a duration"},
    {WITH_URL "  revocation: {max_age: 1s}\n", "6: auth.revocation.max_age: ", "needs a duration"},
    {WITH_URL "  revocation: {when_unknown: panic}\n", "6: auth.revocation.when_unknown: ", "serve or refuse"},
    {"database: {writer: {password_env: A}}\n", "5: database.writer.user: ", "name the login"},
    {"database: {writer: {user: w, password_file: /nonexistent}}\n", "5: database.writer.password: ", "can't be read"},
    {"database: {writer: {name: w}}\n", "5: database.writer.name: ", "known here are user, password_file"},
    /* customers. */
    {"customers: {login_key: x}\n", "5: customers.login_key: ", "unknown key"},
    {"customers: {login_key_file: /nonexistent}\n", "5: customers.login_key: ", "can't be read"},
    {"customers: {login_key_file: /dev/null, login_key_env: A}\n", "5: customers.login_key: ", "keep one"},
    {"customers: {connections: 0}\n", "5: customers.connections: ", "1 to 4096"},
    {"customers: {connections: 3}\n", "5: customers.each: ", "more than customers.connections"},
    {"customers: {each: 65}\n", "5: customers.each: ", "1 to 64"},
    {"customers: {queue: 0}\n", "5: customers.queue: ", "1 to"},
    {"customers: {idle: 30}\n", "5: customers.idle: ", "with its unit"},
    /* limits. */
    {"limits: {instances: 0}\n", "5: limits.instances: ", "1 to 10000"},
    {"limits: {default_tier: gold}\n", "5: limits.default_tier: ", "gold is not among limits.tiers"},
    {"limits: {tiers: {}}\n", "5: limits.tiers: ", "+at least one tier"},
    {"limits: {tiers: {free: {rates: [{rate: 10/d, burst: 1}]}}}\n", "5: limits.tiers.free.rates[0].rate: ", "10/s"},
    {"limits: {tiers: {free: {rates: [{rate: 0/s, burst: 1}]}}}\n", "5: limits.tiers.free.rates[0].rate: ", "10/s"},
    {"limits: {tiers: {free: {rates: [{rate: 10/s}]}}}\n", "5: limits.tiers.free.rates[0].burst: ", "is missing"},
    {"limits: {tiers: {free: {rates: [{rate: 10/s, burst: 0}]}}}\n", "5: limits.tiers.free.rates[0].burst: ", "1 to"},
    {"limits: {tiers: {free: {rates: {rate: 10/s}}}}\n", "5: limits.tiers.free.rates: ", "needs a list"},
    {"limits: {tiers: {free: {quotas: [{limit: 1, per: week}]}}}\n",
     "5: limits.tiers.free.quotas[0].per: ", "day or month"},
    {"limits: {tiers: {free: {quotas: [{per: day}]}}}\n", "5: limits.tiers.free.quotas[0].limit: ", "is missing"},
    {"limits: {tiers: {free: {speed: 1}}}\n", "5: limits.tiers.free.speed: ", "unknown key"},
    {"limits: {weights: {getRegion: 0}}\n", "5: limits.weights.getRegion: ", "1 to"},
    {"limits: {weights: [a]}\n", "5: limits.weights: ", "operations and their weights"},
    {"limits: {address: {rate: 50/s}}\n", "5: limits.address.burst: ", "is missing"},
    {"limits: {address: {rate: 50/s, burst: 1, exempt: [x]}}\n", "5: limits.address.exempt: ", "networks like"},
    {"limits:\n  tiers:\n    free: {budget: 5}\n", "7: limits.tiers.free.budget: ", "needs keys and values"},
    {"limits: {tiers: {free: {job_budget: {row: 1}}}}\n",
     "5: limits.tiers.free.job_budget.row: ", "did you mean rows?"},
    {"limits: {tiers: {free: {budget: {row: 1}}}}\n", "5: limits.tiers.free.budget.row: ", "did you mean rows?"},
    {"limits: {tiers: {free: {budget: {cost: -1}}}}\n", "5: limits.tiers.free.budget.cost: ", "PostgreSQL's units"},
    {"limits: {tiers: {free: {budget: {cost: 1e999}}}}\n", "5: limits.tiers.free.budget.cost: ", "0 for no limit"},
    {"limits: {tiers: {free: {budget: {cost: [1]}}}}\n", "5: limits.tiers.free.budget.cost: ", "like 100000"},
    {"limits: {tiers: {free: {budget: {rows: 1.5}}}}\n", "5: limits.tiers.free.budget.rows: ", "whole number"},
    {"limits: {tiers: {free: {budget: {bytes: 1TB}}}}\n", "5: limits.tiers.free.budget.bytes: ", "64MB or 1GB"},
    {"limits: {tiers: {free: {upload: {rows: 1}}}}\n", "5: limits.tiers.free.upload.rows: ", "bytes, relations"},
    {"limits: {tiers: {free: {upload: {bytes: 1TB}}}}\n", "5: limits.tiers.free.upload.bytes: ", "500MB or 10GB"},
    {"limits: {tiers: {free: {upload: {relations: -1}}}}\n", "5: limits.tiers.free.upload.relations: ", "0 to 1000000"},
    {"limits: {tiers: {free: {upload: 5}}}\n", "5: limits.tiers.free.upload: ", "needs keys and values"},
    {"limits: {tiers: {free: {page: -1}}}\n", "5: limits.tiers.free.page: ", "0 to 1000000000"},
    /* warehouse. */
    {"warehouse:\n  schemas: serving\n", "6: warehouse.schemas: ", "list of 1 to 4096 schemas"},
    {"warehouse: {schemas: []}\n", "5: warehouse.schemas: ", "like [serving"},
    {"warehouse: {schemas: [\"\"]}\n", "5: warehouse.schemas[0]: ", "name of a schema"},
    {"warehouse: {schemas: [null]}\n", "5: warehouse.schemas[0]: ", "1 to 63 bytes"},
    {"warehouse:\n  schemas:\n    - serving\n    - {scope: a}\n", "8: warehouse.schemas[1].name: ", "name of a schema"},
    {"warehouse: {schemas: [{name: a, scopes: b}]}\n", "5: warehouse.schemas[0].scopes: ", "did you mean scope?"},
    {"warehouse: {schemas: [{name: a, scope: \"a b\"}]}\n", "5: warehouse.schemas[0].scope: ", "premium:read"},
    {"warehouse: {schemas: [{name: a, scope: [a]}]}\n", "5: warehouse.schemas[0].scope: ", "one scope"},
    {"warehouse: {schemas: [a, b, a]}\n", "5: warehouse.schemas[2]: ", "a stands there twice"},
    {"warehouse: {schemas: [pg_catalog]}\n", "5: warehouse.schemas[0]: ", "the database's own"},
    {"warehouse: {schemas: [information_schema]}\n", "5: warehouse.schemas[0]: ", "the database's own"},
    {"warehouse: {schemas: [serving, analytics]}\n", "5: warehouse.schemas[1]: ", "customers' own"},
    {"warehouse: {schemas: [a.b]}\n", "5: warehouse.schemas[0]: ", "through views in another schema"},
    {"warehouse: {catalog_check: 50ms}\n", "5: warehouse.catalog_check: ", "100ms to 1s"},
    {"warehouse: {catalog_check: 2s}\n", "5: warehouse.catalog_check: ", "100ms to 1s"},
    {"warehouse: {catalog_memory: 64KB}\n", "5: warehouse.catalog_memory: ", "needs a size"},
    {"warehouse: {document_limit: 10001}\n", "5: warehouse.document_limit: ", "0 to 10000"},
    {"warehouse: {datasets: [a]}\n", "5: warehouse.datasets: ", "weather_daily: {time_column: day}"},
    {"warehouse: {datasets: {a: day}}\n", "5: warehouse.datasets.a: ", "needs keys and values"},
    {"warehouse: {datasets: {\"\": {grain: day}}}\n", "5: warehouse.datasets: ", "1 to 200 bytes"},
    {"warehouse:\n  datasets:\n    a:\n      time_colum: day\n",
     "8: warehouse.datasets.a.time_colum: ", "did you mean time_column?"},
    {"warehouse: {datasets: {a.b: {time_column: [day]}}}\n",
     "5: warehouse.datasets.a.b.time_column: ", "name of a column"},
    {"warehouse: {datasets: {a: {grain: daily}}}\n", "5: warehouse.datasets.a.grain: ", "quarter or year"},
    {"warehouse: {datasets: {a: {expected_lag: 3}}}\n", "5: warehouse.datasets.a.expected_lag: ", "like 12h, 3d or 2w"},
    {"warehouse: {datasets: {a: {expected_lag: 99999999d}}}\n", "5: warehouse.datasets.a.expected_lag: ", "520w"},
    {"warehouse: {datasets: {a: {expected_every: 0s}}}\n", "5: warehouse.datasets.a.expected_every: ", "from 1s"},
    {"warehouse: {datasets: {a: {key: day}}}\n", "5: warehouse.datasets.a.key: ", "like [region_id, day]"},
    {"warehouse: {datasets: {a: {key: []}}}\n", "5: warehouse.datasets.a.key: ", "no two rows share"},
    {"warehouse: {datasets: {a: {key: [b, b]}}}\n", "5: warehouse.datasets.a.key: ", "b stands there twice"},
    {"warehouse: {datasets: {a: {key: [b, null]}}}\n", "5: warehouse.datasets.a.key[1]: ", "name of a column"},
    /* cache, log, paging. */
    {"cache: {answer_max: 512KB}\n", "5: cache.answer_max: ", "needs a size from 1024 to 262144"},
    {"cache:\n  answers: 4KB\n  answer_max: 5KB\n", "7: cache.answer_max: ", "more than cache.answers"},
    {"cache: {memory: 1KB}\n", "5: cache.memory: ", "needs a size"},
    {"cache: {version_poll: 1ms}\n", "5: cache.version_poll: ", "needs a duration"},
    {"log: {level: trace}\n", "5: log.level: ", "debug, info, warning or error"},
    {"paging: {max_limit: 0}\n", "5: paging.max_limit: ", "1 to 100000"},
    {"paging: {cursor_key_file: /nonexistent}\n", "5: paging.cursor_key: ", "can't be read"},
};

/* The report of a configuration that must be refused; NULL: it was taken. */
static const char *report_of(const char *source, struct buffer *report)
{
    char whole[4096];
    struct config *config = NULL;
    bool alone = source[0] == '#' || strncmp(source, "auth:", 5) == 0;
    snprintf(whole, sizeof(whole), "%s%s", alone ? "" : MINIMAL, source);
    buffer_clear(report);
    if (config_parse("t.yaml", text_from_string(whole), &config, report) == STATUS_OK) {
        config_free(config);
        return NULL;
    }
    assert_null(config);
    return buffer_c_string(report);
}

static void every_mistake_is_told_once_with_its_line_and_the_remedy(void **state)
{
    struct buffer report;
    size_t count = sizeof(mistakes) / sizeof(mistakes[0]), wrong = 0;
    assert_true(count >= 60);
    buffer_init(&report, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        char begins[160];
        const struct mistake *mistake = &mistakes[i];
        const char *told = report_of(mistake->source, &report);
        bool others_follow = mistake->says[0] == '+';
        snprintf(begins, sizeof(begins), "t.yaml:%s", mistake->begins);
        if (told != NULL && strncmp(told, begins, strlen(begins)) == 0 &&
            strstr(told, mistake->says + others_follow) != NULL &&
            (others_follow || strchr(told, '\n') == told + strlen(told) - 1))
            continue;
        wrong++;
        print_error("%s  wanted: %s…%s\n  told: %s\n", mistake->source, begins, mistake->says,
                    told != NULL ? told : "(taken)");
    }
    buffer_free(&report);
    assert_int_equal(wrong, 0);
}

static void all_mistakes_of_a_file_are_told_together(void **state)
{
    struct buffer report;
    buffer_init(&report, 1 << 20);
    const char *told = report_of("server: {workers: x, admin: y}\nlog: {level: z}\nextra: 1\n", &report);
    assert_non_null(strstr(told, "t.yaml:5: server.workers: "));
    assert_non_null(strstr(told, "t.yaml:5: server.admin: "));
    assert_non_null(strstr(told, "t.yaml:6: log.level: "));
    assert_non_null(strstr(told, "t.yaml:7: extra: "));
    buffer_free(&report);
}

static void what_is_no_yaml_is_told_with_its_line(void **state)
{
    static const char *const sources[] = {"# \nauth: {\n", "#\na: b: c\n", "#\na: 1\na: 2\n",  "#\na: &x 1\nb: *x\n",
                                          "#\n\ta: 1\n",   "#\na: \xff\n", "#\n--- a\n--- b\n"};
    struct buffer report;
    buffer_init(&report, 1 << 20);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        const char *told = report_of(sources[i], &report);
        if (told == NULL || strncmp(told, "t.yaml:", 7) != 0)
            fail_msg("%s: %s", sources[i], told != NULL ? told : "(taken)");
    }
    assert_non_null(report_of("#", &report)); /* empty */
    buffer_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_is_told_once_with_its_line_and_the_remedy),
        cmocka_unit_test(all_mistakes_of_a_file_are_told_together),
        cmocka_unit_test(what_is_no_yaml_is_told_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
