#include "api/settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/config_change.h"
#include "api/listener.h"
#include "base/clock.h"
#include "base/file.h"
#include "limit/tier.h"

#define SECRET_CEILING 65536
#define FORGET_MS 10000 /* a dataset that nobody asked for this long is not watched any more */

/* Limits. */

static void name_policy(struct limit_tier *tier, struct limit_policy *policy, const char *name)
{
    int taken = 0;
    for (size_t i = 0; i < tier->count; i++)
        taken += strncmp(tier->policies[i].name, name, strlen(name)) == 0;
    if (taken == 0)
        snprintf(policy->name, sizeof(policy->name), "%s", name);
    else
        snprintf(policy->name, sizeof(policy->name), "%s%d", name, taken + 1);
}

static void add_rate(struct limit_tier *tier, const struct config_rate *rate)
{
    struct limit_policy *policy = &tier->policies[tier->count];
    name_policy(tier, policy, rate->window_ms == 1000 ? "second" : rate->window_ms == 60000 ? "minute" : "hour");
    policy->tokens = rate->tokens;
    policy->window_ms = rate->window_ms;
    policy->burst = rate->burst;
    tier->count++;
}

static void add_quota(struct limit_tier *tier, const struct config_quota *quota)
{
    struct limit_policy *policy = &tier->policies[tier->count];
    name_policy(tier, policy, quota->per_month ? "month" : "day");
    policy->tokens = quota->limit;
    policy->period = quota->per_month ? LIMIT_MONTH : LIMIT_DAY;
    tier->count++;
}

/* draft-ietf-httpapi-ratelimit-headers: q is the quota, w its window in seconds; burst is ours. */
static void write_tier_header(const struct limit_tier *tier, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < tier->count && at < size; i++) {
        const struct limit_policy *policy = &tier->policies[i];
        const char *comma = i != 0 ? ", " : "";
        if (policy->period == LIMIT_NONE)
            at += (size_t)snprintf(out + at, size - at, "%s\"%s\";q=%llu;w=%llu;burst=%llu", comma, policy->name,
                                   (unsigned long long)policy->tokens, (unsigned long long)policy->window_ms / 1000,
                                   (unsigned long long)policy->burst);
        else
            at += (size_t)snprintf(out + at, size - at, "%s\"%s\";q=%llu;w=%u", comma, policy->name,
                                   (unsigned long long)policy->tokens, policy->period == LIMIT_DAY ? 86400u : 2678400u);
    }
}

static const struct limit_tier *make_tier(const struct config_tier *from)
{
    struct limit_tier tier;
    memset(&tier, 0, sizeof(tier));
    snprintf(tier.name, sizeof(tier.name), "%s", from->name);
    for (size_t i = 0; i < from->rate_count; i++)
        add_rate(&tier, &from->rates[i]);
    for (size_t i = 0; i < from->quota_count; i++)
        add_quota(&tier, &from->quotas[i]);
    return tier_intern(&tier);
}

static const struct limit_tier *make_address_tier(const struct config *config)
{
    struct limit_tier tier;
    memset(&tier, 0, sizeof(tier));
    snprintf(tier.name, sizeof(tier.name), "address");
    if (config->limits.has_address)
        add_rate(&tier, &config->limits.address);
    return tier_intern(&tier);
}

static enum status make_tiers(struct settings *settings, struct failure *failure)
{
    const struct config *config = settings->config;
    settings->tiers = calloc(config->limits.tier_count + 1, sizeof(*settings->tiers));
    settings->address_tier = make_address_tier(config);
    bool made = settings->tiers != NULL && settings->address_tier != NULL;
    for (size_t i = 0; made && i < config->limits.tier_count; i++) {
        struct settings_tier *tier = &settings->tiers[i];
        tier->limit = make_tier(&config->limits.tiers[i]);
        made = tier->limit != NULL;
        if (made)
            write_tier_header(tier->limit, tier->header, sizeof(tier->header));
    }
    return made ? STATUS_OK : failure_set(failure, STATUS_FAILED, "out of memory");
}

size_t settings_tier_index(const struct settings *settings, struct text name)
{
    const struct config *config = settings->config;
    if (name.data == NULL)
        name = text_from_string(config->limits.default_tier);
    for (size_t i = 0; i < config->limits.tier_count; i++)
        if (text_equal(name, text_from_string(settings->tiers[i].limit->name)))
            return i;
    return SIZE_MAX;
}

static enum status set_weights(struct settings *settings, const struct openapi *contract, struct failure *failure)
{
    const struct config *config = settings->config;
    size_t count = openapi_operation_count(contract);
    settings->weights = calloc(count + 1, sizeof(*settings->weights));
    if (settings->weights == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < count; i++)
        settings->weights[i] = 1;
    for (size_t i = 0; i < config->limits.weight_count; i++) {
        const struct openapi_operation *operation =
            openapi_operation_by_id(contract, text_from_string(config->limits.weights[i].operation));
        if (operation == NULL)
            return failure_set(failure, STATUS_INVALID,
                               "%s: limits.weights.%s: the contract has no such operation; its operationIds stand in "
                               "openapi/openapi.yaml",
                               config->path, config->limits.weights[i].operation);
        settings->weights[operation->index] = config->limits.weights[i].weight;
    }
    return STATUS_OK;
}

/* OpenSSL reads the key itself and asks for no mode. */
static enum status make_tls(struct settings *settings, struct failure *failure)
{
    const struct config *config = settings->config;
    struct buffer key;
    if (config->server.tls_certificate == NULL)
        return STATUS_OK;
    buffer_init(&key, SECRET_CEILING);
    enum status status = file_read_secret(config->server.tls_key, &key, failure);
    if (key.data != NULL)
        explicit_bzero(key.data, key.size);
    buffer_free(&key);
    return status == STATUS_OK ? listener_tls(config->server.tls_certificate, config->server.tls_key,
                                              config->server.tls_minimum, &settings->tls, failure)
                               : status;
}

static void set_issuers(struct settings *settings)
{
    for (size_t i = 0; i < settings->config->auth.issuer_count; i++) {
        const struct config_issuer *issuer = &settings->config->auth.issuers[i];
        settings->issuers[i] = (struct tokens_issuer){.issuer = issuer->issuer,
                                                      .audiences = issuer->audiences,
                                                      .customer_claim = issuer->customer_claim,
                                                      .customer = issuer->customer,
                                                      .tier_claim = issuer->tier_claim,
                                                      .tier = issuer->tier};
    }
}

static void set_datasets(struct settings *settings)
{
    const struct config *config = settings->config;
    settings->datasets = (struct datasets_options){.schemas = config->warehouse.schemas,
                                                   .schema_count = config->warehouse.schema_count,
                                                   .overrides = config->warehouse.overrides,
                                                   .override_count = config->warehouse.override_count,
                                                   .memory = config->warehouse.catalog_memory,
                                                   .check_ms = config->warehouse.catalog_check_ms,
                                                   .forget_ms = FORGET_MS};
}

static void compare(struct settings *settings, const struct settings *before)
{
    if (before == NULL)
        return;
    settings->same_auth = !config_differs(before->config, settings->config, "auth");
    settings->same_catalog = !config_differs(before->config, settings->config, "warehouse.datasets") &&
                             !config_differs(before->config, settings->config, "warehouse.catalog_check");
}

enum status settings_create(const struct settings_order *order, struct settings **out, struct failure *failure)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL) {
        if (order->owns)
            config_free((struct config *)order->config);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    atomic_init(&settings->references, 1);
    settings->config = order->config;
    settings->own_config = order->owns ? (struct config *)order->config : NULL;
    settings->loaded_us = clock_wall_us();
    set_issuers(settings);
    set_datasets(settings);
    compare(settings, order->before);
    enum status status = make_tls(settings, failure);
    if (status == STATUS_OK)
        status = make_tiers(settings, failure);
    if (status == STATUS_OK)
        status = set_weights(settings, order->contract, failure);
    if (status != STATUS_OK) {
        settings_free(settings);
        return status;
    }
    *out = settings;
    return STATUS_OK;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; settings->tiers != NULL && i < settings->config->limits.tier_count; i++)
        tier_unref(settings->tiers[i].limit);
    tier_unref(settings->address_tier);
    if (settings->tls != NULL)
        SSL_CTX_free(settings->tls);
    free(settings->tiers);
    free(settings->weights);
    config_free(settings->own_config);
    free(settings);
}

void settings_ref(struct settings *settings)
{
    atomic_fetch_add_explicit(&settings->references, 1, memory_order_relaxed);
}

void settings_unref(struct settings *settings)
{
    if (settings != NULL && atomic_fetch_sub_explicit(&settings->references, 1, memory_order_acq_rel) == 1 &&
        settings->on_unused != NULL)
        settings->on_unused(settings);
}
