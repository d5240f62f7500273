/* Both headers; a form that was chosen is one of ours. */
#include <stdlib.h>

#include "api/accept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text header = text_of((const char *)data, size);
    enum rows_format format;
    enum status status = accept_choose(header, &format);
    if (status != STATUS_OK && status != STATUS_INVALID)
        abort();
    if (status == STATUS_OK && format != ROWS_JSON && format != ROWS_CSV && format != ROWS_NDJSON)
        abort();
    struct accept_rows rows;
    status = accept_rows(header, &rows);
    if (status != STATUS_OK && status != STATUS_INVALID)
        abort();
    if (status == STATUS_OK && (rows.content_type.size == 0 || (rows.format != ROWS_JSON && rows.singular)))
        abort();
    accept_gzip(header);
    return 0;
}
