/* A column's comment: whatever a database's owner wrote there. */
#include <stdlib.h>

#include "query/comment.h"

static void check_inside(struct text part, const char *data, size_t size)
{
    if (part.data != NULL && (part.data < data || part.data + part.size > data + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalog_measure measure = {.aggregate = AGGREGATE_MAX};
    const char *start = (const char *)data;
    if (comment_parse(text_of(start, size), &measure) == STATUS_OK && measure.aggregate > AGGREGATE_MAX)
        abort();
    check_inside(measure.description, start, size);
    check_inside(measure.unit, start, size);
    if (measure.unit.data != NULL && measure.unit.size == 0)
        abort();
    return 0;
}
