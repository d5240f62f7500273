/* A dataset in documents: its description, and its part of the OpenAPI document. */
#ifndef SLUICE_QUERY_DOCUMENT_H
#define SLUICE_QUERY_DOCUMENT_H

#include "base/json.h"
#include "query/dataset.h"

/* The path of a dataset's rows: "/v1/datasets/weather_daily", percent-encoded (RFC 3986 section 3.3). */
void document_append_path(struct buffer *out, struct text name);
/* {"rows":…,"schema":…} */
void document_append_links(struct json *json, struct text name);
/* The answer of GET /v1/datasets/{dataset}/schema. `latest`: the newest value of the time column, text form; TEXT_NONE:
 * not known. */
void document_append_schema(struct json *json, const struct dataset *dataset, struct text latest);
/* JSON Schema (2020-12) of a value as the encoders write it. */
void document_append_type(struct json *json, const struct type *type, bool nullable);
/* JSON Schema of a row. */
void document_append_row(struct json *json, const struct dataset *dataset);
/* The Path Item Object (OpenAPI 3.1) of a dataset's rows: a parameter a column, typed rows, examples. Its row's schema
 * is named by document_append_identifier, under components. */
void document_append_path_item(struct json *json, const struct dataset *dataset);
/* A name for components.schemas and operationIds: ^[A-Za-z0-9_]+$, the same for the same name of a dataset, another
 * one for another. */
void document_append_identifier(struct buffer *out, struct text name);

#endif
