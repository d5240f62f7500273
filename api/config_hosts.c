/* The servers of the database: one, or several of which the primary serves. */
#include <stdio.h>

#include "api/config_read.h"
#include "drivers/postgres_session.h"

#define LIST_CEILING 4096
#define HOST_MAX 253 /* of a name in DNS */

/* "name", "name:5433", "10.0.0.1:5433", "[::1]:5433", "::1" and "/run/postgresql": the host, and the port or nothing.
 */
static bool split_port(struct text item, struct text *host, struct text *port)
{
    *host = item;
    *port = TEXT_NONE;
    if (item.size == 0 || item.data[0] == '/')
        return item.size != 0;
    if (item.data[0] == '[') {
        const char *end = memchr(item.data, ']', item.size);
        if (end == NULL)
            return false;
        struct text rest = text_of(end + 1, item.size - (size_t)(end + 1 - item.data));
        *host = text_of(item.data + 1, (size_t)(end - item.data) - 1);
        if (rest.size != 0 && rest.data[0] != ':')
            return false;
        if (rest.size != 0)
            *port = text_of(rest.data + 1, rest.size - 1);
        return host->size != 0;
    }
    const char *colon = memchr(item.data, ':', item.size);
    if (colon == NULL || memchr(colon + 1, ':', item.size - (size_t)(colon + 1 - item.data)) != NULL)
        return true; /* no port, or a bare IPv6 address */
    *host = text_of(item.data, (size_t)(colon - item.data));
    *port = text_of(colon + 1, item.size - host->size - 1);
    return host->size != 0;
}

struct hosts {
    struct buffer names, ports;
    size_t count;
};

/* A host without a port of its own has 0 until the end: database.port may stand further down. */
static bool add_host(struct hosts *hosts, struct text item)
{
    struct text host, port;
    int64_t number = 0;
    if (hosts->count == POSTGRES_HOSTS_MAX || !split_port(text_trim(item), &host, &port) || host.size > HOST_MAX ||
        memchr(host.data, '\0', host.size) != NULL || memchr(host.data, ',', host.size) != NULL ||
        (port.data != NULL && (!text_to_int64(port, &number) || number < 1 || number > 65535)))
        return false;
    buffer_printf(&hosts->names, "%s%.*s", hosts->count != 0 ? "," : "", TEXT_ARGS(host));
    buffer_printf(&hosts->ports, "%s%d", hosts->count != 0 ? "," : "", (int)number);
    hosts->count++;
    return true;
}

/* A scalar may have commas, as libpq takes them. */
static bool add_hosts(struct hosts *hosts, const struct yaml_node *node)
{
    struct text rest = node->kind == YAML_SCALAR && !yaml_is_null(node) ? node->text : TEXT_NONE;
    for (bool first = true; rest.data != NULL; first = false) {
        struct text item = text_split(&rest, ',');
        if ((!first && item.size == 0) || !add_host(hosts, item))
            return false;
    }
    return node->kind == YAML_SCALAR && !yaml_is_null(node);
}

static void read_hosts(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node,
                       const char **ports)
{
    struct hosts hosts = {.count = 0};
    buffer_init(&hosts.names, LIST_CEILING);
    buffer_init(&hosts.ports, LIST_CEILING);
    bool good = node->kind != YAML_SEQUENCE ? add_hosts(&hosts, node) : node->count != 0;
    for (size_t i = 0; good && node->kind == YAML_SEQUENCE && i < node->count; i++)
        good = add_hosts(&hosts, node->items[i]);
    if (!good)
        config_complain(reader, node->line, field->path,
                        "needs a text, or a list of at most %d: addresses or names, each with its own port where it "
                        "has one, like [db1, \"db2:5433\"]; or the folder of a socket",
                        POSTGRES_HOSTS_MAX);
    *(const char **)config_member(reader, field) = good ? config_string(reader, buffer_text(&hosts.names)) : "";
    *ports = good ? config_string(reader, buffer_text(&hosts.ports)) : NULL;
    buffer_free(&hosts.names);
    buffer_free(&hosts.ports);
}

void config_read_hosts(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    read_hosts(reader, field, node, &reader->config->database.ports);
}

void config_read_replica_hosts(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node)
{
    if (!yaml_is_null(node))
        read_hosts(reader, field, node, &reader->config->database.replica_ports);
}

static void finish(struct config_reader *reader, const char **list)
{
    struct text rest = text_from_string(*list);
    struct buffer ports;
    if (rest.data == NULL)
        return; /* none, or a mistake, told already */
    buffer_init(&ports, LIST_CEILING);
    while (rest.data != NULL) {
        struct text port = text_split(&rest, ',');
        if (text_equal(port, TEXT("0")))
            buffer_printf(&ports, "%u", reader->config->database.port);
        else
            buffer_append_text(&ports, port);
        if (rest.data != NULL)
            buffer_append_char(&ports, ',');
    }
    *list = config_string(reader, buffer_text(&ports));
    buffer_free(&ports);
}

void config_finish_hosts(struct config_reader *reader)
{
    finish(reader, &reader->config->database.ports);
    finish(reader, &reader->config->database.replica_ports);
}
