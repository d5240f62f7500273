/* Parts of the configuration with a structure of their own. */
#include <stdio.h>

#include "api/config_read.h"

struct config_path config_join(const char *path, const char *member)
{
    struct config_path joined;
    snprintf(joined.text, sizeof(joined.text), "%s.%s", path, member);
    return joined;
}

struct config_path config_join_item(const char *path, size_t index)
{
    struct config_path joined;
    snprintf(joined.text, sizeof(joined.text), "%s[%zu]", path, index);
    return joined;
}

const char *config_member_text(struct config_reader *reader, const struct yaml_node *node, const char *path,
                               const char *member, bool required)
{
    const struct yaml_node *value = yaml_get(node, member);
    if (value != NULL && value->kind == YAML_SCALAR && !yaml_is_null(value) && value->text.size != 0)
        return config_string(reader, value->text);
    if (required || (value != NULL && !yaml_is_null(value)))
        config_complain(reader, value != NULL ? value->line : node->line, config_join(path, member).text,
                        "needs a text");
    return NULL;
}

uint32_t config_member_duration(struct config_reader *reader, const struct yaml_node *node, const char *path,
                                const char *member, uint32_t fallback)
{
    const struct yaml_node *value = yaml_get(node, member);
    int64_t milliseconds;
    if (value == NULL)
        return fallback;
    if (value->kind == YAML_SCALAR && config_parse_duration(value->text, &milliseconds) && milliseconds >= 100 &&
        milliseconds <= 86400000)
        return (uint32_t)milliseconds;
    config_complain(reader, value->line, config_join(path, member).text,
                    "needs a duration from 100ms to 24h, like 30s");
    return fallback;
}

void config_read_tls(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    static const char *const known[] = {"certificate", "key", "minimum", NULL};
    struct config *config = reader->config;
    if (yaml_is_null(node) || !config_check_keys(reader, node, field->path, known))
        return;
    config->server.tls_certificate = config_member_text(reader, node, field->path, "certificate", true);
    config->server.tls_key = config_member_text(reader, node, field->path, "key", true);
    config->server.tls_minimum = config_member_text(reader, node, field->path, "minimum", false);
    if (config->server.tls_minimum == NULL)
        config->server.tls_minimum = "1.2";
    if (strcmp(config->server.tls_minimum, "1.2") != 0 && strcmp(config->server.tls_minimum, "1.3") != 0)
        config_complain(reader, node->line, "server.tls.minimum", "must be \"1.2\" or \"1.3\"");
}

/* {rate: 10/s, burst: 20} and perhaps more keys that the caller has checked. */
static void read_rate(struct config_reader *reader, const struct yaml_node *node, const char *path,
                      struct config_rate *rate)
{
    const struct yaml_node *value = yaml_get(node, "rate"), *burst = yaml_get(node, "burst");
    int64_t tokens;
    if (value == NULL || value->kind != YAML_SCALAR || !config_parse_rate(value->text, rate))
        config_complain(reader, value != NULL ? value->line : node->line, config_join(path, "rate").text,
                        "needs a rate like 10/s, 300/min or 5000/h, 10,000,000 tokens at most");
    if (burst == NULL)
        config_complain(reader, node->line, config_join(path, "burst").text,
                        "is missing; give how many calls may come at once");
    else if (config_read_whole(reader, burst, config_join(path, "burst").text, 1, 10000000, &tokens))
        rate->burst = (uint64_t)tokens;
}

void config_read_address_limit(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node)
{
    static const char *const known[] = {"rate", "burst", "exempt", NULL};
    static const struct config_field exempt = {.path = "limits.address.exempt",
                                               .offset = offsetof(struct config, limits.address_exempt)};
    struct config *config = reader->config;
    config->limits.has_address = !yaml_is_null(node);
    if (yaml_is_null(node) || !config_check_keys(reader, node, field->path, known))
        return;
    read_rate(reader, node, field->path, &config->limits.address);
    const struct yaml_node *networks = yaml_get(node, "exempt");
    if (networks != NULL)
        config_read_networks(reader, &exempt, networks);
}

static void read_quota(struct config_reader *reader, const struct yaml_node *node, const char *path,
                       struct config_quota *quota)
{
    static const char *const known[] = {"limit", "per", NULL};
    const struct yaml_node *limit, *per;
    int64_t value;
    if (!config_check_keys(reader, node, path, known))
        return;
    limit = yaml_get(node, "limit");
    per = yaml_get(node, "per");
    if (limit == NULL)
        config_complain(reader, node->line, config_join(path, "limit").text, "is missing");
    else if (config_read_whole(reader, limit, config_join(path, "limit").text, 1, 1000000000000, &value))
        quota->limit = (uint64_t)value;
    quota->per_month = per != NULL && text_equal(per->text, TEXT("month"));
    if (!quota->per_month && (per == NULL || !text_equal(per->text, TEXT("day"))))
        config_complain(reader, per != NULL ? per->line : node->line, config_join(path, "per").text,
                        "must be day or month");
}

#define MAX_RATES 4
#define MAX_QUOTAS 4 /* together they fit LIMIT_MAX_POLICIES */

/* {cost: 0, rows: 0, bytes: 0}; what is missing is not limited. */
static void read_budget(struct config_reader *reader, const struct yaml_node *node, const char *path,
                        struct config_budget *budget)
{
    static const char *const known[] = {"cost", "rows", "bytes", NULL};
    int64_t value;
    if (!config_check_keys(reader, node, path, known))
        return;
    const struct yaml_node *cost = yaml_get(node, "cost"), *rows = yaml_get(node, "rows"),
                           *bytes = yaml_get(node, "bytes");
    if (cost != NULL &&
        (cost->kind != YAML_SCALAR || !text_to_double(cost->text, &budget->cost) || !(budget->cost >= 0)))
        config_complain(reader, cost->line, config_join(path, "cost").text,
                        "needs a cost in PostgreSQL's units, like 100000; 0 for no limit");
    if (rows != NULL && config_read_whole(reader, rows, config_join(path, "rows").text, 0, 1000000000000000, &value))
        budget->rows = (uint64_t)value;
    if (bytes == NULL)
        return;
    if (bytes->kind == YAML_SCALAR && config_parse_size(bytes->text, &value))
        budget->bytes = (uint64_t)value;
    else
        config_complain(reader, bytes->line, config_join(path, "bytes").text,
                        "needs a size, like 64MB or 1GB; 0 for no limit");
}

/* {bytes: 10GB, relations: 100}; what is missing is not limited. */
static void read_upload(struct config_reader *reader, const struct yaml_node *node, const char *path,
                        struct config_tier *tier)
{
    static const char *const known[] = {"bytes", "relations", NULL};
    int64_t value;
    if (yaml_is_null(node) || !config_check_keys(reader, node, path, known))
        return;
    const struct yaml_node *bytes = yaml_get(node, "bytes"), *relations = yaml_get(node, "relations");
    if (relations != NULL &&
        config_read_whole(reader, relations, config_join(path, "relations").text, 0, CONFIG_RELATIONS_MAX, &value))
        tier->upload_relations = (uint64_t)value;
    if (bytes == NULL)
        return;
    if (bytes->kind == YAML_SCALAR && config_parse_size(bytes->text, &value))
        tier->upload_bytes = (uint64_t)value;
    else
        config_complain(reader, bytes->line, config_join(path, "bytes").text,
                        "needs a size, like 500MB or 10GB; 0 for no limit");
}

static void read_plan_limits(struct config_reader *reader, const struct yaml_node *node, const char *path,
                             struct config_tier *tier)
{
    const struct yaml_node *budget = yaml_get(node, "budget"), *jobs = yaml_get(node, "job_budget"),
                           *page = yaml_get(node, "page");
    const struct yaml_node *upload = yaml_get(node, "upload");
    int64_t rows;
    if (upload != NULL)
        read_upload(reader, upload, config_join(path, "upload").text, tier);
    if (budget != NULL && !yaml_is_null(budget))
        read_budget(reader, budget, config_join(path, "budget").text, &tier->budget);
    if (jobs != NULL && !yaml_is_null(jobs))
        read_budget(reader, jobs, config_join(path, "job_budget").text, &tier->job_budget);
    if (page != NULL && config_read_whole(reader, page, config_join(path, "page").text, 0, 1000000000, &rows))
        tier->page = (size_t)rows;
}

static void read_tier(struct config_reader *reader, const struct yaml_node *node, const char *path,
                      struct config_tier *tier)
{
    static const char *const known[] = {"rates", "quotas", "budget", "job_budget", "page", "upload", NULL},
                             *const rate_keys[] = {"rate", "burst", NULL};
    if (!config_check_keys(reader, node, path, known))
        return;
    read_plan_limits(reader, node, path, tier);
    const struct yaml_node *rates = yaml_get(node, "rates"), *quotas = yaml_get(node, "quotas");
    struct config_rate *rate_items = config_allocate(reader, MAX_RATES, sizeof(*rate_items));
    struct config_quota *quota_items = config_allocate(reader, MAX_QUOTAS, sizeof(*quota_items));
    if (rates != NULL && (rates->kind != YAML_SEQUENCE || rates->count > MAX_RATES))
        config_complain(reader, rates->line, config_join(path, "rates").text,
                        "needs a list of at most %d rates, like [{rate: 10/s, burst: 20}]", MAX_RATES);
    else
        for (size_t i = 0; rates != NULL && i < rates->count; i++) {
            struct config_path item = config_join_item(config_join(path, "rates").text, i);
            if (config_check_keys(reader, rates->items[i], item.text, rate_keys))
                read_rate(reader, rates->items[i], item.text, &rate_items[tier->rate_count++]);
        }
    if (quotas != NULL && (quotas->kind != YAML_SEQUENCE || quotas->count > MAX_QUOTAS))
        config_complain(reader, quotas->line, config_join(path, "quotas").text,
                        "needs a list of at most %d quotas, like [{limit: 10000, per: day}]", MAX_QUOTAS);
    else
        for (size_t i = 0; quotas != NULL && i < quotas->count; i++)
            read_quota(reader, quotas->items[i], config_join_item(config_join(path, "quotas").text, i).text,
                       &quota_items[tier->quota_count++]);
    tier->rates = rate_items;
    tier->quotas = quota_items;
}

void config_read_tiers(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (node->kind != YAML_MAPPING || node->count == 0) {
        config_complain(reader, node->line, field->path, "needs at least one tier");
        return;
    }
    struct config_tier *tiers = config_allocate(reader, node->count, sizeof(*tiers));
    for (size_t i = 0; i < node->count; i++) {
        tiers[i].name = config_string(reader, node->pairs[i].key->text);
        if (node->pairs[i].key->text.size == 0 || node->pairs[i].key->text.size > 40)
            config_complain(reader, node->pairs[i].key->line, field->path, "a tier's name has 1 to 40 characters");
        read_tier(reader, node->pairs[i].value, config_join(field->path, tiers[i].name).text, &tiers[i]);
    }
    reader->config->limits.tiers = tiers;
    reader->config->limits.tier_count = node->count;
}

void config_read_weights(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (node->kind != YAML_MAPPING) {
        config_complain(reader, node->line, field->path,
                        "needs operations and their weights, like {getRegionWeather: 5}");
        return;
    }
    struct config_weight *weights = config_allocate(reader, node->count, sizeof(*weights));
    for (size_t i = 0; i < node->count; i++) {
        int64_t weight = 1;
        weights[i].operation = config_string(reader, node->pairs[i].key->text);
        if (config_read_whole(reader, node->pairs[i].value, config_join(field->path, weights[i].operation).text, 1,
                              1000000, &weight))
            weights[i].weight = (uint64_t)weight;
    }
    reader->config->limits.weights = weights;
    reader->config->limits.weight_count = node->count;
}

void config_read_aggregates(struct config_reader *reader, const struct config_field *field,
                            const struct yaml_node *node)
{
    if (node->kind != YAML_MAPPING) {
        config_complain(reader, node->line, field->path,
                        "needs columns and their functions, like {precipitation_mm: sum}");
        return;
    }
    struct config_aggregate *aggregates = config_allocate(reader, node->count, sizeof(*aggregates));
    for (size_t i = 0; i < node->count; i++) {
        static const char *const functions[] = {"mean", "sum", "min", "max"};
        const struct yaml_pair *pair = &node->pairs[i];
        aggregates[i].column = config_string(reader, pair->key->text);
        for (size_t k = 0; k < 4 && pair->value->kind == YAML_SCALAR; k++)
            if (text_equal(pair->value->text, text_from_string(functions[k])))
                aggregates[i].function = functions[k];
        if (aggregates[i].function == NULL)
            config_complain(reader, pair->value->line, config_join(field->path, aggregates[i].column).text,
                            "must be mean, sum, min or max");
    }
    reader->config->serving.aggregates = aggregates;
    reader->config->serving.aggregate_count = node->count;
}
