/* Small documents for the tests of this folder. */
#ifndef SLUICE_TESTS_OPENAPI_FIXTURE_H
#define SLUICE_TESTS_OPENAPI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "openapi/openapi.h"

#define FIXTURE_HEAD "openapi: 3.1.0\ninfo: {title: T, version: \"1\"}\npaths:\n"
/* %s: parameters in flow style, between [ and ]. They stand in line 9. */
#define FIXTURE_OPERATION                                                                                              \
    FIXTURE_HEAD "  /x:\n    get:\n      operationId: getX\n      security: []\n"                                      \
                 "      responses: {\"200\": {description: fine}}\n      parameters: [%s]\n"

/* The document with its %s filled in; NULL, with *failure filled, when it is refused. */
static inline struct openapi *fixture_try(struct failure *failure, const char *yaml)
{
    struct openapi *document = NULL;
    failure->message[0] = '\0';
    enum status status = openapi_load("api.yaml", text_from_string(yaml), &document, failure);
    assert_true((status == STATUS_OK) == (document != NULL));
    return document;
}

static inline struct openapi *fixture_load(const char *yaml)
{
    struct failure failure;
    struct openapi *document = fixture_try(&failure, yaml);
    if (document == NULL)
        fail_msg("%s\n%s", failure.message, yaml);
    return document;
}

static inline struct openapi *fixture_with_parameters(const char *parameters)
{
    char yaml[8192];
    assert_in_range(snprintf(yaml, sizeof(yaml), FIXTURE_OPERATION, parameters), 1, sizeof(yaml) - 1);
    return fixture_load(yaml);
}

/* GET /x has the one query parameter p of this schema (flow style). */
static inline struct openapi *fixture_with_schema(const char *schema)
{
    char parameters[4096];
    assert_in_range(
        snprintf(parameters, sizeof(parameters), "{name: p, in: query, explode: false, schema: %s}", schema), 1,
        sizeof(parameters) - 1);
    return fixture_with_parameters(parameters);
}

/* The contract itself. */
static inline struct openapi *fixture_contract(void)
{
    struct buffer source;
    struct failure failure;
    struct openapi *document = NULL;
    buffer_init(&source, 1 << 20);
    if (file_read(SLUICE_SOURCE_DIR "/openapi/openapi.yaml", &source, &failure) != STATUS_OK ||
        openapi_load("openapi.yaml", buffer_text(&source), &document, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    buffer_free(&source);
    return document;
}

#endif
