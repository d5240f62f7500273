#include "api/customers.h"

#include <stdlib.h>

#include "base/hash.h"

#define BUCKETS 1024
#define POOLS_MAX 4096  /* of a worker; more customers at once are refused */
#define POOLS_SPARE 64  /* beside those that may have connections: a pool is soon made, and holds memory */
#define SHARE_MINIMUM 2 /* connections of a worker */

/* A customer's pool. */
struct entry {
    struct entry *newer, *older; /* in the order of use */
    struct entry *next;          /* of the bucket */
    uint64_t hash;
    struct postgres *pool;
    size_t name_size;
    char name[CUSTOMER_NAME_MAX];
};

struct customers {
    struct loop *loop;
    const struct config *config;
    struct text login_key;
    struct postgres_login reader; /* host, host_name and ports are owned, the others the configuration's */
    struct postgres_share *share;
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    size_t count, easy; /* easy: pools that are kept however idle they are */
    bool stopped;
    struct loop_hook prune_hook;
    struct postgres_statistics gone; /* of pools that were forgotten: their counters */
};

/* As the reader's lanes, and what a role could have set for itself that changes how SQL is read. */
static const char *const settings[] = {
    "TimeZone",
    "UTC",
    "DateStyle",
    "ISO, MDY",
    "IntervalStyle",
    "postgres",
    "bytea_output",
    "hex",
    "default_transaction_read_only",
    "on",
    "search_path",
    "",
    "jit",
    "off",
    "client_connection_check_interval",
    "1s",
    "default_transaction_isolation",
    "read committed",
    "transform_null_equals",
    "off",
    "array_nulls",
    "on",
    "backslash_quote",
    "safe_encoding",
    "xmloption",
    "content",
    "row_security",
    "on",
    NULL,
};

/* The second wall: the login is the customer's, and the customer's alone. */
static const char login_check[] =
    "select session_user = current_user and not r.rolsuper and not r.rolbypassrls and not r.rolcreaterole and"
    " not r.rolcreatedb and not r.rolreplication and not exists (select 1 from pg_catalog.pg_auth_members m join"
    " pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid and g.rolname <> 'sluice_customer')"
    " from pg_catalog.pg_roles r where r.rolname = current_user";

/* The order of use, and the table. */

static void unlink_use(struct customers *customers, struct entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        customers->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        customers->oldest = entry->newer;
}

static void link_newest(struct customers *customers, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = customers->newest;
    if (customers->newest != NULL)
        customers->newest->newer = entry;
    else
        customers->oldest = entry;
    customers->newest = entry;
}

static struct entry *find(struct customers *customers, struct text name, uint64_t hash)
{
    struct entry *entry = customers->buckets[hash % BUCKETS];
    while (entry != NULL && (entry->hash != hash || !text_equal(text_of(entry->name, entry->name_size), name)))
        entry = entry->next;
    return entry;
}

static void add_counters(struct postgres_statistics *sum, const struct postgres_statistics *one)
{
    sum->queries += one->queries;
    sum->errors += one->errors;
    sum->cancels += one->cancels;
    sum->reconnects += one->reconnects;
    sum->refused_busy += one->refused_busy;
}

static void forget(struct customers *customers, struct entry *entry)
{
    struct entry **place = &customers->buckets[entry->hash % BUCKETS];
    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    unlink_use(customers, entry);
    customers->count--;
    struct postgres_statistics counters = postgres_statistics(entry->pool);
    add_counters(&customers->gone, &counters);
    postgres_destroy(entry->pool);
    free(entry);
}

/* At the turn's end: within a callback of one of the pools it must not go. */
static void on_prune(struct loop_hook *hook)
{
    struct customers *customers = (struct customers *)((char *)hook - offsetof(struct customers, prune_hook));
    for (struct entry *entry = customers->oldest, *newer; entry != NULL && customers->count > customers->easy;
         entry = newer) {
        newer = entry->newer;
        if (postgres_is_idle(entry->pool))
            forget(customers, entry);
    }
}

/* The public side. */

struct customers *customers_create(struct loop *loop, const struct config *config, const struct postgres_login *reader,
                                   struct text login_key)
{
    struct customers *customers = calloc(1, sizeof(*customers));
    size_t connections = config->customers.connections / config->server.workers;
    connections = connections > SHARE_MINIMUM ? connections : SHARE_MINIMUM;
    if (customers == NULL)
        return NULL;
    customers->loop = loop;
    customers->config = config;
    customers->login_key = login_key;
    customers->easy = connections + POOLS_SPARE;
    customers->prune_hook.on_turn_end = on_prune;
    customers->reader = *reader;
    customers->reader.host = strdup(reader->host);
    customers->reader.host_name = reader->host_name != NULL ? strdup(reader->host_name) : NULL;
    customers->reader.ports = reader->ports != NULL ? strdup(reader->ports) : NULL;
    customers->share = postgres_share_create(connections);
    if (customers->share == NULL || customers->reader.host == NULL ||
        (reader->ports != NULL && customers->reader.ports == NULL) ||
        (reader->host_name != NULL && customers->reader.host_name == NULL)) {
        customers_destroy(customers);
        return NULL;
    }
    return customers;
}

void customers_stop(struct customers *customers)
{
    if (customers == NULL)
        return;
    customers->stopped = true;
    for (struct entry *entry = customers->newest; entry != NULL; entry = entry->older)
        postgres_stop(entry->pool);
}

void customers_destroy(struct customers *customers)
{
    if (customers == NULL)
        return;
    customers_stop(customers);
    loop_hook_cancel(customers->loop, &customers->prune_hook);
    while (customers->newest != NULL)
        forget(customers, customers->newest);
    postgres_share_destroy(customers->share);
    free((char *)(uintptr_t)customers->reader.host);
    free((char *)(uintptr_t)customers->reader.host_name);
    free((char *)(uintptr_t)customers->reader.ports);
    free(customers);
}

static struct postgres *make_pool(struct customers *customers, struct text customer)
{
    const struct config *config = customers->config;
    struct customer_login login;
    struct postgres *pool = NULL;
    struct failure ignored = {0}; /* memory: NULL says that */
    customers_login(&customers->reader, customers->login_key, customer, &login);
    const struct postgres_options options = {.login = login.login,
                                             .mode = POSTGRES_STREAMED,
                                             .connections = config->customers.each,
                                             .queue = config->customers.queue,
                                             .queue_timeout_ms = config->customers.queue_timeout_ms,
                                             .statement_timeout_ms = config->customers.statement_timeout_ms,
                                             .idle_timeout_ms = config->customers.idle_ms,
                                             .share = customers->share,
                                             .settings = settings,
                                             .check = login_check};
    enum status status = postgres_create(customers->loop, &options, &pool, &ignored);
    return status == STATUS_OK ? pool : NULL;
}

struct postgres *customers_lane(struct customers *customers, struct text customer)
{
    struct customer_names names;
    uint64_t hash = hash_text(customer);
    struct entry *entry = customers != NULL && !customers->stopped ? find(customers, customer, hash) : NULL;
    if (entry != NULL) {
        unlink_use(customers, entry);
        link_newest(customers, entry);
        return entry->pool;
    }
    if (customers == NULL || customers->stopped || customer.size > CUSTOMER_NAME_MAX ||
        !customer_names_of(customer, &names))
        return NULL;
    if (customers->count > customers->easy)
        loop_hook_request(customers->loop, &customers->prune_hook);
    if (customers->count >= POOLS_MAX || (entry = malloc(sizeof(*entry))) == NULL)
        return NULL;
    *entry = (struct entry){.hash = hash, .name_size = customer.size, .pool = make_pool(customers, customer)};
    if (entry->pool == NULL) {
        free(entry);
        return NULL;
    }
    memcpy(entry->name, customer.data, customer.size);
    entry->next = customers->buckets[hash % BUCKETS];
    customers->buckets[hash % BUCKETS] = entry;
    link_newest(customers, entry);
    customers->count++;
    return entry->pool;
}

struct customers_statistics customers_statistics(const struct customers *customers)
{
    struct customers_statistics statistics = {.lanes = customers->gone, .pools = customers->count};
    for (const struct entry *entry = customers->newest; entry != NULL; entry = entry->older) {
        struct postgres_statistics one = postgres_statistics(entry->pool);
        add_counters(&statistics.lanes, &one);
        statistics.lanes.open += one.open;
        statistics.lanes.busy += one.busy;
        statistics.lanes.waiting += one.waiting;
    }
    return statistics;
}
