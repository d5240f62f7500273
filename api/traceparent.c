#include "api/traceparent.h"

#include "base/encoding.h"
#include "base/random.h"

#define LENGTH 55 /* "00-" 32 "-" 16 "-" 2 */

static bool is_lower_hex(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((data[i] >= '0' && data[i] <= '9') || (data[i] >= 'a' && data[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != '0')
            return false;
    return true;
}

static void make_span(struct traceparent *trace)
{
    unsigned char bytes[8];
    random_bytes(bytes, sizeof(bytes));
    bytes[0] |= 1; /* an id of zeros alone is not valid */
    encoding_hex(bytes, sizeof(bytes), trace->span_id);
}

/* Versions to come may append fields; version ff and, in version 00, anything behind the flags are invalid. */
bool traceparent_parse(struct text header, struct traceparent *trace)
{
    const char *at = header.data;
    if (header.size < LENGTH || at[2] != '-' || at[35] != '-' || at[52] != '-' || !is_lower_hex(at, 2) ||
        !is_lower_hex(at + 3, 32) || !is_lower_hex(at + 36, 16) || !is_lower_hex(at + 53, 2))
        return false;
    bool first_version = at[0] == '0' && at[1] == '0';
    if ((at[0] == 'f' && at[1] == 'f') ||
        (first_version ? header.size != LENGTH : header.size > LENGTH && at[LENGTH] != '-'))
        return false;
    if (is_zero(at + 3, 32) || is_zero(at + 36, 16))
        return false;
    memcpy(trace->trace_id, at + 3, sizeof(trace->trace_id));
    trace->sampled = (at[54] >= 'a' ? at[54] - 'a' + 10 : at[54] - '0') & 1;
    make_span(trace);
    return true;
}

void traceparent_make(struct traceparent *trace)
{
    unsigned char bytes[16];
    random_bytes(bytes, sizeof(bytes));
    bytes[0] |= 1;
    encoding_hex(bytes, sizeof(bytes), trace->trace_id);
    trace->sampled = false;
    make_span(trace);
}
