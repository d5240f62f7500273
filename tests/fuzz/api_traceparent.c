/* Whatever is taken has the form that goes on to the log and to the SQL comment. */
#include <stdlib.h>

#include "api/traceparent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hex(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!((data[i] >= '0' && data[i] <= '9') || (data[i] >= 'a' && data[i] <= 'f')))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct traceparent trace;
    if (traceparent_parse(text_of((const char *)data, size), &trace)) {
        check_hex(trace.trace_id, sizeof(trace.trace_id));
        check_hex(trace.span_id, sizeof(trace.span_id));
    }
    return 0;
}
