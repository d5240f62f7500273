#include "audit/entry.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/encoding.h"
#include "base/json.h"

#define METHOD_MAX 32 /* bytes: a client may send any word */

/* Words that are known to need no escape. */
static void append_plain(struct buffer *out, const char *key, size_t key_size, struct text value)
{
    if (value.data == NULL)
        return;
    char *room = buffer_reserve(out, key_size + value.size + 1);
    if (room == NULL)
        return;
    memcpy(room, key, key_size);
    memcpy(room + key_size, value.data, value.size);
    room[key_size + value.size] = '"';
    out->size += key_size + value.size + 1;
}
#define PLAIN(out, name, value) append_plain((out), ",\"" name "\":\"", sizeof(",\"" name "\":\"") - 1, (value))

static void append_escaped(struct buffer *out, const char *key, size_t key_size, struct text value)
{
    if (value.data == NULL)
        return;
    buffer_append(out, key, key_size);
    json_append_string(out, value);
}
#define ESCAPED(out, name, value) append_escaped((out), ",\"" name "\":", sizeof(",\"" name "\":") - 1, (value))

static void append_number(struct buffer *out, const char *key, size_t key_size, uint64_t value)
{
    buffer_append(out, key, key_size);
    buffer_append_uint64(out, value);
}
#define NUMBER(out, name, value) append_number((out), ",\"" name "\":", sizeof(",\"" name "\":") - 1, (value))

void entry_append_text(struct buffer *out, const char *name, struct text value)
{
    if (value.data == NULL)
        return;
    buffer_append_literal(out, ",\"");
    buffer_append_string(out, name);
    buffer_append_literal(out, "\":");
    json_append_string(out, value);
}

void entry_append_number(struct buffer *out, const char *name, uint64_t value)
{
    buffer_append_literal(out, ",\"");
    buffer_append_string(out, name);
    buffer_append_literal(out, "\":");
    buffer_append_uint64(out, value);
}

void entry_append_event(struct buffer *out, int64_t time_us, const char *event)
{
    buffer_append_literal(out, ",\"time\":");
    record_append_time(out, time_us);
    PLAIN(out, "event", text_from_string(event));
}

/* 192.0.2.77 → 192.0.2.0/24; 2001:db8:1:2::3 → 2001:db8:1::/48. What is no address becomes nothing. */
static size_t truncate_address(const char *address, char cut[INET6_ADDRSTRLEN + 4])
{
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];
    bool is_four = inet_pton(AF_INET, address, bytes) == 1;
    if (!is_four && inet_pton(AF_INET6, address, bytes) != 1)
        return 0;
    memset(bytes + (is_four ? 3 : 6), 0, is_four ? 1 : 10);
    inet_ntop(is_four ? AF_INET : AF_INET6, bytes, text, sizeof(text));
    return (size_t)snprintf(cut, INET6_ADDRSTRLEN + 4, "%s/%s", text, is_four ? "24" : "48");
}

/* Clients send more than one request: the last address is remembered. */
static void append_truncated(struct buffer *out, struct text address)
{
    static __thread char last[INET6_ADDRSTRLEN], cut[INET6_ADDRSTRLEN + 4];
    static __thread size_t last_size, cut_size;
    if (address.size >= sizeof(last))
        return;
    if (!text_equal(address, text_of(last, last_size))) {
        memcpy(last, address.data, address.size);
        last[address.size] = '\0';
        last_size = address.size;
        cut_size = truncate_address(last, cut);
    }
    if (cut_size != 0)
        PLAIN(out, "address", text_of(cut, cut_size));
}

static void append_address(struct buffer *out, struct text address, enum entry_address how)
{
    if (address.data == NULL || how == ENTRY_ADDRESS_NONE)
        return;
    if (how == ENTRY_ADDRESS_FULL)
        ESCAPED(out, "address", address);
    else
        append_truncated(out, address);
}

static struct text cut(struct text text, size_t most)
{
    return text.size > most ? text_of(text.data, most) : text;
}

/* What is known before the answer. */
static void append_asked(struct buffer *out, const struct audit_record *record, struct text subject,
                         enum entry_address address)
{
    PLAIN(out, "request_id", record->request_id);
    if (record->traced)
        PLAIN(out, "trace_id", record->trace_id);
    append_address(out, record->address, address);
    ESCAPED(out, "customer", record->customer);
    PLAIN(out, "subject", subject);
    ESCAPED(out, "method", cut(record->method, METHOD_MAX));
    PLAIN(out, "operation", record->operation);
    ESCAPED(out, "dataset", record->relation);
    if (record->version != 0)
        NUMBER(out, "version", record->version);
    PLAIN(out, "target", record->target);
    PLAIN(out, "lane", record->lane);
    PLAIN(out, "cache", record->cache);
    if (record->has_sql) {
        char digits[2 * RECORD_SQL_SIZE];
        encoding_hex(record->sql, RECORD_SQL_SIZE, digits);
        PLAIN(out, "sql", text_of(digits, sizeof(digits)));
    }
}

void entry_append_intent(struct buffer *out, const struct audit_record *record, struct text subject,
                         enum entry_address address)
{
    entry_append_event(out, record->time_us, "intent");
    append_asked(out, record, subject, address);
}

void entry_append_request(struct buffer *out, const struct audit_record *record, struct text subject,
                          enum entry_address address)
{
    entry_append_event(out, record->time_us, "request");
    append_asked(out, record, subject, address);
    NUMBER(out, "status", (uint64_t)record->status);
    PLAIN(out, "reason", record->reason);
    NUMBER(out, "rows", record->rows);
    NUMBER(out, "bytes", record->bytes);
    NUMBER(out, "duration_us", record->duration_us);
    if (!record->complete)
        buffer_append_literal(out, ",\"complete\":false");
}
