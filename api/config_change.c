#include "api/config_change.h"

#include <stdio.h>

#include "api/config_read.h"
#include "base/hash.h"

/* What a request looks up in its own settings, or what a worker makes anew: sections and keys. All else is read by the
 * start alone. */
static const char *const reloaded[] = {"server.max_uri",
                                       "server.max_headers",
                                       "server.min_send_rate",
                                       "server.tls",
                                       "cors",
                                       "warehouse.catalog_check",
                                       "warehouse.datasets",
                                       "warehouse.loadable",
                                       "warehouse.document_limit",
                                       "auth",
                                       "limits",
                                       "cache.ttl",
                                       "cache.answer_max",
                                       "paging.max_limit",
                                       "log.level"};

static uint64_t mix(uint64_t print, uint64_t more)
{
    const uint64_t both[] = {print, more};
    return hash_text(text_of((const char *)both, sizeof(both)));
}

uint64_t config_print(const struct yaml_node *node)
{
    if (node == NULL)
        return 0;
    uint64_t print = mix(hash_text(node->text), node->kind * 4 + (uint64_t)node->quoted * 2 + yaml_is_null(node));
    for (size_t i = 0; i < node->count && node->kind == YAML_SEQUENCE; i++)
        print = mix(print, config_print(node->items[i]));
    for (size_t i = 0; i < node->count && node->kind == YAML_MAPPING; i++)
        print = mix(mix(print, hash_text(node->pairs[i].key->text)), config_print(node->pairs[i].value));
    return print;
}

static bool is_below(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(path, prefix, size) == 0 && (path[size] == '\0' || path[size] == '.');
}

bool config_differs(const struct config *a, const struct config *b, const char *prefix)
{
    for (size_t i = 0; i < config_field_count(); i++)
        if (is_below(config_field_path(i), prefix) && a->prints[i] != b->prints[i])
            return true;
    return false;
}

static bool is_reloaded(const char *path)
{
    for (size_t i = 0; i < sizeof(reloaded) / sizeof(reloaded[0]); i++)
        if (is_below(path, reloaded[i]))
            return true;
    return false;
}

enum status config_check_reload(const struct config *running, const struct config *next, struct buffer *report)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < config_field_count(); i++) {
        const char *path = config_field_path(i);
        if (running->prints[i] == next->prints[i] || is_reloaded(path))
            continue;
        buffer_printf(report, "%s: %s: differs, and needs a restart; undo the change, or restart\n", next->path, path);
        status = STATUS_INVALID;
    }
    if ((running->server.tls_certificate == NULL) == (next->server.tls_certificate == NULL))
        return status;
    buffer_printf(report, "%s: server.tls: from plain to TLS or back needs a restart; undo the change, or restart\n",
                  next->path);
    return STATUS_INVALID;
}
