/* A configuration is taken without words, or refused with at least one whole line of them. */
#include <stdlib.h>

#include "api/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer report;
    struct config *config = NULL;
    buffer_init(&report, 1 << 20);
    enum status status = config_parse("fuzz.yaml", text_of((const char *)data, size), &config, &report);
    if (report.failed || (status == STATUS_OK) != (config != NULL) || (status == STATUS_OK) != (report.size == 0))
        abort();
    if (status != STATUS_OK && report.data[report.size - 1] != '\n')
        abort();
    config_free(config);
    buffer_free(&report);
    return 0;
}
