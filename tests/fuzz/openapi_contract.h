/* The contract that harnesses of the router and the validator ask, loaded once. */
#ifndef SLUICE_TESTS_OPENAPI_CONTRACT_H
#define SLUICE_TESTS_OPENAPI_CONTRACT_H

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "openapi/openapi.h"

static inline struct openapi *contract(void)
{
    static struct openapi *document;
    struct buffer source;
    struct failure failure;
    if (document != NULL)
        return document;
    buffer_init(&source, 1 << 20);
    if (file_read(SLUICE_SOURCE_DIR "/openapi/openapi.yaml", &source, &failure) != STATUS_OK ||
        openapi_load("openapi.yaml", buffer_text(&source), &document, &failure) != STATUS_OK) {
        fprintf(stderr, "%s\n", failure.message);
        abort();
    }
    buffer_free(&source);
    return document;
}

#endif
