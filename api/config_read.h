/* How the configuration's values are read from YAML; shared by the config_*.c files alone. */
#ifndef SLUICE_API_CONFIG_READ_H
#define SLUICE_API_CONFIG_READ_H

#include "api/config.h"
#include "base/yaml.h"

struct config_reader {
    struct config *config;
    const char *name; /* of the file, for messages */
    struct buffer *report;
    size_t mistakes;
};

/* One key of the file. */
struct config_field {
    const char *path; /* "server.listen" */
    /* Puts `node` into the member at `offset`, or complains. */
    void (*read)(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node);
    size_t offset;
    const char *fallback; /* the default, as YAML; NULL: the key is required */
    int64_t low, high;    /* bounds of counts, sizes and durations, in the member's unit */
};

/* "sluice.yaml:12: server.workers: …" */
void config_complain(struct config_reader *reader, int line, const char *path, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The member that a field describes. */
void *config_member(struct config_reader *reader, const struct config_field *field);
/* NUL-terminated copy in the configuration's arena. */
const char *config_string(struct config_reader *reader, struct text text);
void *config_allocate(struct config_reader *reader, size_t count, size_t size);
/* Complains of every key of the mapping `node` that is not among the NULL-terminated `known`; false: it is no mapping.
 */
bool config_check_keys(struct config_reader *reader, const struct yaml_node *node, const char *path,
                       const char *const *known);
/* The path of a member, for messages: "limits.tiers" + "free", "auth.issuers" + 0. */
struct config_path {
    char text[160];
};
struct config_path config_join(const char *path, const char *member);
struct config_path config_join_item(const char *path, size_t index);
/* The text of a member that must be there, or of one that may be missing (then NULL). */
const char *config_member_text(struct config_reader *reader, const struct yaml_node *node, const char *path,
                               const char *member, bool required);
/* Milliseconds, from 100 ms to 24 h. */
uint32_t config_member_duration(struct config_reader *reader, const struct yaml_node *node, const char *path,
                                const char *member, uint32_t fallback);
/* The name among `count` that is nearest to `text`, NULL if none is near. */
const char *config_nearest(struct text text, const char *const *names, size_t count);

/* Scalars, as they stand: false for what they can't be. */
bool config_parse_duration(struct text text, int64_t *milliseconds) MUST_CHECK;
bool config_parse_span(struct text text, int64_t *seconds) MUST_CHECK; /* takes d and w too */
bool config_parse_network(struct text text, struct config_network *network) MUST_CHECK;
bool config_parse_rate(struct text text, struct config_rate *rate) MUST_CHECK; /* tokens and window; "10/s" */
/* A whole number from `low` on; complains otherwise. */
bool config_read_whole(struct config_reader *reader, const struct yaml_node *node, const char *path, int64_t low,
                       int64_t high, int64_t *value) MUST_CHECK;

typedef void config_read(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node);
/* config_value.c: scalars and lists of them. */
config_read config_read_text, config_read_optional_text, config_read_count, config_read_unsigned, config_read_port,
    config_read_int, config_read_hosts, config_read_replica_hosts, config_read_size, config_read_rate,
    config_read_milliseconds, config_read_seconds, config_read_seconds_unsigned, config_read_bool, config_read_address,
    config_read_optional_address, config_read_networks, config_read_texts, config_read_level, config_read_relation,
    config_read_on_full, config_read_audit_address;
/* config_section.c: what has a structure of its own. */
config_read config_read_tls, config_read_address_limit, config_read_tiers, config_read_weights, config_read_aggregates;
/* config_auth.c */
config_read config_read_issuers, config_read_when_unknown;
/* config_warehouse.c */
config_read config_read_schemas, config_read_datasets, config_read_loadable;

/* config_change.c: what stands there, as a number that differs where it does. Within this process only. */
uint64_t config_print(const struct yaml_node *node);
/* config.c: all keys, in the order of config.prints. */
size_t config_field_count(void);
const char *config_field_path(size_t index);

/* config_hosts.c: gives database.port to the hosts without one of their own. */
void config_finish_hosts(struct config_reader *reader);

/* config_check.c: what no key can tell alone. */
void config_check(struct config_reader *reader, const struct yaml_node *root);

#endif
