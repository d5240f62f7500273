#include "api/customer_names.h"

#include <stdio.h>

#include "base/hash.h"

#define KEY_LEAST 32 /* bytes: as many as the hash has */

static bool is_name(struct text customer)
{
    if (customer.size == 0 || customer.size > CUSTOMER_NAME_MAX || customer.data[0] < 'a' || customer.data[0] > 'z')
        return false;
    for (size_t i = 1; i < customer.size; i++)
        if (!((customer.data[i] >= 'a' && customer.data[i] <= 'z') ||
              (customer.data[i] >= '0' && customer.data[i] <= '9') || customer.data[i] == '_'))
            return false;
    return true;
}

/* PostgreSQL keeps pg_… for its own schemas; "warehouse" owns the idempotency keys of loads into the warehouse. */
static bool is_reserved(struct text customer)
{
    return text_equal(customer, TEXT("pg")) || text_equal(customer, TEXT("warehouse")) ||
           (customer.size > 3 && memcmp(customer.data, "pg_", 3) == 0);
}

bool customer_names_of(struct text customer, struct customer_names *names)
{
    if (!is_name(customer) || is_reserved(customer))
        return false;
    snprintf(names->role, sizeof(names->role), "sluice_c_%.*s", TEXT_ARGS(customer));
    snprintf(names->uploads, sizeof(names->uploads), "%.*s_uploads", TEXT_ARGS(customer));
    snprintf(names->analytics, sizeof(names->analytics), "%.*s_analytics", TEXT_ARGS(customer));
    snprintf(names->jobs, sizeof(names->jobs), "%.*s_jobs", TEXT_ARGS(customer));
    return true;
}

enum status customer_login_key(const struct config *config, struct buffer *out, struct failure *failure)
{
    enum status status = config_secret_read(&config->customers.login_key, out, failure);
    if (status == STATUS_OK && out->size != 0 && out->size < KEY_LEAST)
        return failure_set(failure, STATUS_INVALID,
                           "customers.login_key has %zu bytes; give %d random ones or more, like openssl rand -hex 32",
                           out->size, KEY_LEAST);
    return status;
}

void customer_password(struct text login_key, struct text customer, char out[CUSTOMER_PASSWORD_SIZE])
{
    unsigned char digest[HASH_SHA256_SIZE];
    hash_hmac_sha256(login_key, customer, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    explicit_bzero(digest, sizeof(digest));
}

void customers_login(const struct postgres_login *reader, struct text login_key, struct text customer,
                     struct customer_login *storage)
{
    *storage = (struct customer_login){.login = *reader};
    snprintf(storage->role, sizeof(storage->role), "sluice_c_%.*s", TEXT_ARGS(customer));
    customer_password(login_key, customer, storage->password);
    storage->login.user = storage->role;
    storage->login.password = storage->password;
}
