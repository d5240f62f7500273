/* Scalars and lists of scalars. */
#include <arpa/inet.h>
#include <inttypes.h>

#include "api/address.h"
#include "api/config_read.h"

static bool is_scalar(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node,
                      const char *wanted)
{
    if (node->kind == YAML_SCALAR && !yaml_is_null(node))
        return true;
    config_complain(reader, node->line, field->path, "needs %s", wanted);
    return false;
}

void config_read_optional_text(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node)
{
    const char **out = config_member(reader, field);
    *out = NULL;
    if (!yaml_is_null(node))
        config_read_text(reader, field, node);
}

void config_read_text(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    const char **out = config_member(reader, field);
    *out = "";
    if (!is_scalar(reader, field, node, "a text"))
        return;
    if (node->text.size == 0 || memchr(node->text.data, '\0', node->text.size) != NULL)
        config_complain(reader, node->line, field->path, "must not be empty nor hold a NUL");
    else
        *out = config_string(reader, node->text);
}

bool config_read_whole(struct config_reader *reader, const struct yaml_node *node, const char *path, int64_t low,
                       int64_t high, int64_t *value)
{
    if (node->kind == YAML_SCALAR && yaml_to_int64(node, value) && *value >= low && *value <= high)
        return true;
    if (high == INT64_MAX)
        config_complain(reader, node->line, path, "needs a whole number from %" PRId64 " on", low);
    else
        config_complain(reader, node->line, path, "needs a whole number from %" PRId64 " to %" PRId64, low, high);
    return false;
}

void config_read_count(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (config_read_whole(reader, node, field->path, field->low, field->high, &value))
        *(size_t *)config_member(reader, field) = (size_t)value;
}

void config_read_unsigned(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (config_read_whole(reader, node, field->path, field->low, field->high, &value))
        *(uint32_t *)config_member(reader, field) = (uint32_t)value;
}

void config_read_int(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (config_read_whole(reader, node, field->path, field->low, field->high, &value))
        *(int *)config_member(reader, field) = (int)value;
}

void config_read_port(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (config_read_whole(reader, node, field->path, 1, 65535, &value))
        *(uint16_t *)config_member(reader, field) = (uint16_t)value;
}

/* A whole number and one of the units; the unit "" may be among them. */
static bool parse_with_unit(struct text text, const char *const *units, const int64_t *factors, size_t count,
                            int64_t *value)
{
    size_t digits = 0;
    int64_t number;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (digits == 0 || !text_to_int64(text_of(text.data, digits), &number))
        return false;
    struct text unit = text_of(text.data + digits, text.size - digits);
    for (size_t i = 0; i < count; i++)
        if (text_equal(unit, text_from_string(units[i])))
            return !__builtin_mul_overflow(number, factors[i], value);
    return false;
}

bool config_parse_duration(struct text text, int64_t *milliseconds)
{
    static const char *const units[] = {"ms", "s", "m", "h"};
    static const int64_t factors[] = {1, 1000, 60000, 3600000};
    return parse_with_unit(text, units, factors, 4, milliseconds);
}

bool config_parse_span(struct text text, int64_t *seconds)
{
    static const char *const units[] = {"s", "m", "h", "d", "w"};
    static const int64_t factors[] = {1, 60, 3600, 86400, 604800};
    return parse_with_unit(text, units, factors, 5, seconds);
}

bool config_parse_size(struct text text, int64_t *bytes)
{
    static const char *const units[] = {"", "KB", "MB", "GB"};
    static const int64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30};
    return parse_with_unit(text, units, factors, 4, bytes);
}

static bool read_size(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node,
                      int64_t *value)
{
    if (node->kind == YAML_SCALAR && config_parse_size(node->text, value) && *value >= field->low &&
        *value <= field->high)
        return true;
    config_complain(reader, node->line, field->path,
                    "needs a size from %" PRId64 " to %" PRId64 " bytes, like 64KB, 8MB or 1GB", field->low,
                    field->high);
    return false;
}

void config_read_size(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (read_size(reader, field, node, &value))
        *(size_t *)config_member(reader, field) = (size_t)value;
}

void config_read_rate(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (read_size(reader, field, node, &value))
        *(uint64_t *)config_member(reader, field) = (uint64_t)value;
}

/* `low` and `high` in milliseconds. */
static bool read_duration(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node,
                          int64_t *milliseconds)
{
    if (node->kind == YAML_SCALAR && config_parse_duration(node->text, milliseconds) && *milliseconds >= field->low &&
        *milliseconds <= field->high)
        return true;
    config_complain(reader, node->line, field->path,
                    "needs a duration from %" PRId64 "ms to %" PRId64 "s with its unit, like 250ms, 30s, 10m or 1h",
                    field->low, field->high / 1000);
    return false;
}

void config_read_milliseconds(struct config_reader *reader, const struct config_field *field,
                              const struct yaml_node *node)
{
    int64_t value;
    if (read_duration(reader, field, node, &value))
        *(uint32_t *)config_member(reader, field) = (uint32_t)value;
}

void config_read_seconds(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    int64_t value;
    if (read_duration(reader, field, node, &value))
        *(int64_t *)config_member(reader, field) = value / 1000;
}

void config_read_seconds_unsigned(struct config_reader *reader, const struct config_field *field,
                                  const struct yaml_node *node)
{
    int64_t value;
    if (read_duration(reader, field, node, &value))
        *(uint32_t *)config_member(reader, field) = (uint32_t)(value / 1000);
}

void config_read_bool(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (!yaml_to_bool(node, config_member(reader, field)))
        config_complain(reader, node->line, field->path, "needs true or false");
}

void config_read_address(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    struct config_address *address = config_member(reader, field);
    address->text = "";
    if (node->kind == YAML_SCALAR && address_parse(node->text, &address->address)) {
        bool is_v4 = address->address.ss_family == AF_INET;
        uint16_t port = is_v4 ? ((struct sockaddr_in *)&address->address)->sin_port
                              : ((struct sockaddr_in6 *)&address->address)->sin6_port;
        address->size = is_v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        address->text = config_string(reader, node->text);
        if (port != 0)
            return;
    }
    config_complain(reader, node->line, field->path,
                    "needs a numeric address and a port, like 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\"");
}

void config_read_optional_address(struct config_reader *reader, const struct config_field *field,
                                  const struct yaml_node *node)
{
    struct config_address *address = config_member(reader, field);
    address->text = NULL;
    if (!yaml_is_null(node))
        config_read_address(reader, field, node);
}

static void map_v4(const struct in_addr *v4, unsigned char bytes[16])
{
    memset(bytes, 0, 10);
    bytes[10] = bytes[11] = 0xFF;
    memcpy(bytes + 12, v4, 4);
}

bool config_parse_network(struct text text, struct config_network *network)
{
    struct sockaddr_storage address;
    struct text rest = text, host = text_split(&rest, '/');
    int64_t prefix = -1;
    if (host.size == 0 || !address_parse(host, &address) || (host.data[0] == '['))
        return false;
    bool is_v4 = address.ss_family == AF_INET;
    if (is_v4 && memchr(host.data, ':', host.size) != NULL)
        return false; /* a port, be it 0 */
    if (rest.data != NULL && (!text_to_int64(rest, &prefix) || prefix < 0 || prefix > (is_v4 ? 32 : 128)))
        return false;
    if (is_v4)
        map_v4(&((struct sockaddr_in *)&address)->sin_addr, network->bytes);
    else
        memcpy(network->bytes, &((struct sockaddr_in6 *)&address)->sin6_addr, 16);
    network->prefix = prefix < 0 ? 128 : (unsigned)prefix + (is_v4 ? 96 : 0);
    return true;
}

bool config_networks_contain(const struct config_networks *networks, const struct sockaddr *address)
{
    unsigned char bytes[16];
    if (address->sa_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)address)->sin_addr, bytes);
    else if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    else
        return false;
    for (size_t i = 0; i < networks->count; i++) {
        const struct config_network *network = &networks->items[i];
        unsigned whole = network->prefix / 8, rest = network->prefix % 8;
        if (memcmp(bytes, network->bytes, whole) == 0 &&
            (rest == 0 || ((bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0))
            return true;
    }
    return false;
}

void config_read_networks(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    struct config_networks *networks = config_member(reader, field);
    if (node->kind != YAML_SEQUENCE) {
        config_complain(reader, node->line, field->path, "needs a list of networks, like [10.0.0.0/8, \"::1\"]");
        return;
    }
    struct config_network *items = config_allocate(reader, node->count, sizeof(*items));
    for (size_t i = 0; i < node->count; i++)
        if (node->items[i]->kind != YAML_SCALAR || !config_parse_network(node->items[i]->text, &items[i]))
            config_complain(reader, node->items[i]->line, field->path,
                            "needs networks like 10.0.0.0/8, 192.0.2.7 or \"2001:db8::/32\"");
    *networks = (struct config_networks){items, node->count};
}

void config_read_texts(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    const char *const **out = config_member(reader, field);
    const char **texts = config_allocate(reader, node->kind == YAML_SEQUENCE ? node->count + 1 : 1, sizeof(*texts));
    *out = texts;
    if (node->kind != YAML_SEQUENCE) {
        config_complain(reader, node->line, field->path, "needs a list of texts");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        texts[i] = "";
        if (node->items[i]->kind != YAML_SCALAR || yaml_is_null(node->items[i]))
            config_complain(reader, node->items[i]->line, field->path, "needs a list of texts");
        else
            texts[i] = config_string(reader, node->items[i]->text);
    }
}

/* One of `count` words; its index. */
static void read_word(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node,
                      const char *const *words, unsigned count, const char *complaint)
{
    unsigned *out = config_member(reader, field);
    for (unsigned i = 0; i < count; i++)
        if (text_equal(node->text, text_from_string(words[i]))) {
            *out = i;
            return;
        }
    config_complain(reader, node->line, field->path, "%s", complaint);
}

_Static_assert(sizeof(enum log_level) == sizeof(unsigned) && sizeof(enum audit_on_full) == sizeof(unsigned) &&
                   sizeof(enum entry_address) == sizeof(unsigned),
               "read_word writes an unsigned");

void config_read_level(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    read_word(reader, field, node, levels, 4, "must be debug, info, warning or error");
}

void config_read_on_full(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    static const char *const ways[] = {"refuse", "continue"};
    read_word(reader, field, node, ways, 2, "must be refuse (requests, while no record can be written) or continue");
}

void config_read_audit_address(struct config_reader *reader, const struct config_field *field,
                               const struct yaml_node *node)
{
    static const char *const ways[] = {"truncated", "full", "none"};
    read_word(reader, field, node, ways, 3, "must be truncated (to /24 or /48), full or none");
}

void config_read_relation(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    config_read_text(reader, field, node);
    struct text rest = node->kind == YAML_SCALAR ? node->text : TEXT_NONE, schema = text_split(&rest, '.');
    if (schema.size == 0 || rest.size == 0 || schema.size > 63 || rest.size > 63 ||
        memchr(rest.data, '.', rest.size) != NULL)
        config_complain(reader, node->line, field->path, "needs a view as schema.name, like serving.region");
}

bool config_parse_rate(struct text text, struct config_rate *rate)
{
    static const struct {
        struct text unit;
        uint64_t window_ms;
    } units[] = {{{"s", 1}, 1000}, {{"min", 3}, 60000}, {{"h", 1}, 3600000}};
    struct text unit = text, digits = text_split(&unit, '/');
    int64_t tokens;
    if (digits.size == 0 || digits.data[0] == '-' || !text_to_int64(digits, &tokens) || tokens < 1 || tokens > 10000000)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (text_equal(unit, units[i].unit)) {
            rate->tokens = (uint64_t)tokens;
            rate->window_ms = units[i].window_ms;
            return true;
        }
    return false;
}
