/* The configuration: one YAML file (sluice.example.yaml explains every key), checked as a whole. Immutable. */
#ifndef SLUICE_API_CONFIG_H
#define SLUICE_API_CONFIG_H

#include "audit/log.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/status.h"

#include <netinet/in.h>

struct config_address { /* where to listen */
    struct sockaddr_storage address;
    socklen_t size;
    const char *text;
};
struct config_network { /* 10.0.0.0/8; IPv4 is kept as IPv4-mapped IPv6 */
    unsigned char bytes[16];
    unsigned prefix; /* bits, 0 … 128 */
};
struct config_networks {
    const struct config_network *items;
    size_t count;
};
/* `address` is an IPv4 or IPv6 socket address. */
bool config_networks_contain(const struct config_networks *networks, const struct sockaddr *address);

struct config_secret { /* where a secret comes from; at most one is set */
    const char *file, *environment;
    const char *key; /* the configuration's key, for messages */
};
/* The secret itself into `out`, with a NUL behind it that is not counted: threads that read it later write nothing.
 * STATUS_OK with an empty buffer when neither is set. */
enum status config_secret_read(const struct config_secret *secret, struct buffer *out,
                               struct failure *failure) MUST_CHECK;

struct config_key {
    const char *kid, *algorithm, *file;
};
/* Whose tokens are taken, and by which keys. One source of keys is set: keys, jwks_file, jwks_url or discovery. */
struct config_issuer {
    const char *issuer;
    const char *const *audiences; /* NULL-terminated */
    const char *customer_claim;   /* NULL: all are `customer`'s */
    const char *customer;
    const char *tier_claim; /* NULL: all have `tier` */
    const char *tier;
    const struct config_key *keys;
    size_t key_count;
    const char *jwks_file, *jwks_url;
    const char *discovery; /* the document's address */
    const char *ca_file;
    uint32_t refresh_ms, cooldown_ms, timeout_ms;
    const char *const *allowed_algorithms; /* NULL-terminated; of keys from a JWKS */
    int line;
};
struct config_rate {
    uint64_t tokens, window_ms, burst;
};
struct config_quota {
    uint64_t limit;
    bool per_month; /* else per day */
};
struct config_budget { /* what a plan may be estimated at; 0: no limit */
    double cost;       /* PostgreSQL's units */
    uint64_t rows, bytes;
};
struct config_tier {
    const char *name;
    const struct config_rate *rates;
    size_t rate_count;
    const struct config_quota *quotas;
    size_t quota_count;
    struct config_budget budget;     /* of what is answered at once */
    struct config_budget job_budget; /* of a job: what is over `budget` may become one */
    size_t page;                     /* rows of one answer; 0: no cap */
    /* What a customer may keep, where `sluice customer` told no other; 0: no limit. */
    uint64_t upload_bytes, upload_relations;
};
struct config_weight {
    const char *operation;
    uint64_t weight;
};
struct config_aggregate {
    const char *column, *function;
};

struct config_loadable {
    const char *dataset;        /* as callers name it */
    const char *schema, *table; /* where its rows go */
};

#define CONFIG_RELATIONS_MAX 1000000 /* that a customer may be allowed */

struct datasets_schema; /* query/datasets.h: what stands in the file is handed on as it is */
struct datasets_override;

struct config {
    struct arena arena;
    const char *path;
    uint64_t *prints; /* of what stands at each key, or would by default: api/config_change.h */
    struct {
        struct config_address listen, admin;
        unsigned workers; /* never 0: resolved to the cores this process may use */
        size_t max_connections, max_connections_per_address /* 0: any */, max_body, max_uri, max_headers;
        uint32_t request_timeout_ms, drain_delay_ms, drain_timeout_ms;
        uint64_t min_send_rate; /* bytes a second */
        struct {
            struct config_address listen; /* text NULL: there is no ingest listener */
            size_t connections;
            uint64_t max_body, min_receive_rate; /* bytes; bytes a second */
            uint32_t deadline_ms;
        } ingest;
        bool proxy_protocol, core_dumps;
        struct config_networks trusted_proxies;
        const char *tls_certificate, *tls_key, *tls_minimum; /* NULL: no TLS */
    } server;
    struct {
        const char *const *origins; /* NULL-terminated; never NULL */
        uint32_t max_age_s;
    } cors;
    struct {
        const char *host; /* or several, with commas between */
        uint16_t port;
        const char *ports; /* as many as hosts */
        const char *name, *user, *sslmode, *ca_file, *admin_user;
        struct config_secret password, admin_password;
        uint32_t connect_timeout_ms;
        size_t fast_connections, fast_queue, scan_connections, scan_queue;
        uint32_t fast_timeout_ms, scan_timeout_ms, scan_queue_timeout_ms;
        const char *replica_host, *replica_ports; /* as host and ports; NULL: no standby is read from */
        uint32_t replica_max_lag_ms;
        size_t replica_connections; /* to each, a worker */
        const char *writer_user;    /* who loads into the warehouse; NULL: nobody does */
        struct config_secret writer_password;
    } database;
    struct {
        struct config_secret login_key; /* neither file nor environment: customers have no data of their own here */
        size_t connections;             /* of the process, of all customers together */
        size_t each, queue;             /* of one customer, a worker */
        uint32_t idle_ms, statement_timeout_ms, queue_timeout_ms;
        uint32_t change_timeout_ms; /* of a statement that makes an analysis */
    } customers;
    struct {
        const char *spool;                   /* a folder of this process's own */
        struct config_secret encryption_key; /* of what lies there; neither: it is not encrypted */
        uint64_t spool_size;                 /* bytes of all loads at once */
        unsigned threads, each;
        size_t queue;
        uint32_t lock_timeout_ms;
        unsigned max_expansion; /* of a compressed body: out / in */
        size_t sessions_each;   /* open resumable uploads of one customer */
        uint32_t sessions_lifetime_ms;
    } uploads;
    struct {
        unsigned threads, each;
        size_t queue;
        uint32_t keep_ms, timeout_ms; /* of a result, and of its query */
    } jobs;
    struct {
        const char *region, *weather, *market, *forecast;
        const struct config_aggregate *aggregates;
        size_t aggregate_count;
    } serving;
    struct {
        const struct datasets_schema *schemas; /* at least one; the first one's relations are named bare */
        size_t schema_count;
        uint32_t catalog_check_ms;
        size_t catalog_memory; /* bytes, a worker */
        const struct datasets_override *overrides;
        size_t override_count;
        size_t document_limit;                  /* datasets */
        const struct config_loadable *loadable; /* what PUT /v1/datasets/{dataset}/rows takes rows for */
        size_t loadable_count;
    } warehouse;
    struct {
        const char *address; /* NULL: no Redis */
        struct config_secret password;
        int database;
        const char *prefix;
        uint32_t timeout_ms;
    } redis;
    struct {
        const struct config_issuer *issuers;
        size_t issuer_count;
        int64_t leeway_s, max_lifetime_s;
        size_t cache;
        uint32_t revocation_max_age_ms;
        bool revocation_refuses; /* while what is revoked has not been known for longer than that */
    } auth;
    struct {
        uint32_t instances;
        bool has_address;
        struct config_rate address;
        struct config_networks address_exempt;
        const char *default_tier;
        const struct config_tier *tiers;
        size_t tier_count;
        const struct config_weight *weights;
        size_t weight_count;
    } limits;
    struct {
        size_t memory;
        uint32_t ttl_ms, stale_ms, version_poll_ms;
        size_t answers,
            answer_max; /* bytes: of all encoded answers of datasets, a worker (0: none are kept), and of one */
    } cache;
    struct {
        const char *folder; /* NULL: there is no audit log */
        struct config_secret key;
        const char *instance; /* NULL: the host's name */
        uint64_t segment_bytes;
        uint32_t segment_age_ms;
        enum audit_on_full on_full;
        enum entry_address address;
        unsigned keep_days;
        uint64_t keep_bytes;
        uint32_t anchor_ms;
        const char *anchor_file;
        bool ship;
        unsigned ship_days;
    } audit;
    struct {
        enum log_level level;
        const char *requests; /* "stdout", "off", or a path */
    } log;
    struct {
        struct config_secret cursor_key;
        size_t max_limit;
    } paging;
};

/* Once all that is needed was read, and before there is a second thread: wipes the variables of all secrets, where
 * /proc/PID/environ shows them, and takes them out of the environment. */
void config_secrets_forget(const struct config *config);

/* Every mistake of the file is appended to `report`, a line each: "sluice.yaml:12: server.wrokers: unknown key; did you
 * mean workers?". STATUS_INVALID when there is any. STATUS_FAILED: the file could not be read (said in the report too).
 */
enum status config_load(const char *path, struct config **config, struct buffer *report) MUST_CHECK;
/* The same for a file's content; `name` is for messages. */
enum status config_parse(const char *name, struct text source, struct config **config,
                         struct buffer *report) MUST_CHECK;
void config_free(struct config *config);
/* "64KB", "8MB", "10GB" or bytes. */
bool config_parse_size(struct text text, int64_t *bytes) MUST_CHECK;

#endif
