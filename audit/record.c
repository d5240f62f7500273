#include "audit/record.h"

#include "base/date.h"
#include "base/json.h"

static void append_field(struct buffer *out, const char *key, size_t key_size, struct text value)
{
    if (value.data == NULL)
        return;
    buffer_append(out, key, key_size);
    json_append_string(out, value);
}
#define FIELD(out, name, value) append_field(out, ",\"" name "\":", sizeof(",\"" name "\":") - 1, value)

static void append_number(struct buffer *out, const char *key, size_t key_size, uint64_t value)
{
    buffer_append(out, key, key_size);
    buffer_append_uint64(out, value);
}
#define NUMBER(out, name, value) append_number(out, ",\"" name "\":", sizeof(",\"" name "\":") - 1, value)

/* Most records of a busy gateway fall into the second of the one before. */
void record_append_time(struct buffer *out, int64_t time_us)
{
    static __thread int64_t second = -1;
    static __thread char text[DATE_INSTANT_TEXT_SIZE];
    int64_t this_second = time_us / 1000000;
    uint32_t micros = (uint32_t)(time_us % 1000000);
    if (this_second != second) {
        date_format_instant(this_second * 1000000, text);
        second = this_second;
    }
    for (int i = 25; i > 19; i--, micros /= 10)
        text[i] = (char)('0' + micros % 10);
    buffer_append_char(out, '"');
    buffer_append(out, text, DATE_INSTANT_TEXT_SIZE - 1);
    buffer_append_char(out, '"');
}

void record_append_line(struct buffer *out, const struct audit_record *record)
{
    struct text path = record->path;
    if (path.size > 2048)
        path.size = 2048;
    buffer_append_literal(out, "{\"time\":");
    record_append_time(out, record->time_us);
    buffer_append_literal(out, ",\"event\":\"request\"");
    FIELD(out, "request_id", record->request_id);
    FIELD(out, "trace_id", record->trace_id);
    FIELD(out, "span_id", record->span_id);
    FIELD(out, "address", record->address);
    FIELD(out, "customer", record->customer);
    FIELD(out, "subject", record->subject);
    FIELD(out, "token_id", record->token_id);
    FIELD(out, "method", record->method);
    FIELD(out, "path", path);
    FIELD(out, "operation", record->operation);
    FIELD(out, "target", record->target);
    FIELD(out, "lane", record->lane);
    FIELD(out, "relation", record->relation);
    FIELD(out, "cache", record->cache);
    NUMBER(out, "status", (uint64_t)record->status);
    FIELD(out, "reason", record->reason);
    NUMBER(out, "rows", record->rows);
    NUMBER(out, "bytes", record->bytes);
    NUMBER(out, "duration_us", record->duration_us);
    if (record->database_us != 0)
        NUMBER(out, "database_us", record->database_us);
    if (!record->complete)
        buffer_append_literal(out, ",\"complete\":false");
    buffer_append_literal(out, "}\n");
}
