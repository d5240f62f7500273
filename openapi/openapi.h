/* The contract: an OpenAPI 3.1 document that routes, validates and documents. Loaded once, immutable afterwards, shared
 * by all threads. */
#ifndef SLUICE_OPENAPI_OPENAPI_H
#define SLUICE_OPENAPI_OPENAPI_H

#include "base/arena.h"
#include "base/status.h"

struct openapi;

enum openapi_place { OPENAPI_PATH, OPENAPI_QUERY, OPENAPI_HEADER, OPENAPI_BODY };
enum openapi_type {
    OPENAPI_STRING,
    OPENAPI_INTEGER,
    OPENAPI_NUMBER,
    OPENAPI_BOOLEAN,
    OPENAPI_DATE,
    OPENAPI_DATE_TIME,
    OPENAPI_ARRAY
};

struct openapi_schema; /* compiled; openapi/schema.h */

struct openapi_parameter {
    struct text name; /* header names in lower case */
    enum openapi_place place;
    bool required;
    const struct openapi_schema *schema;
};

struct openapi_operation {
    size_t index;       /* from 0, in the order of the document */
    struct text id;     /* operationId */
    struct text method; /* "GET" */
    struct text path;   /* template: "/v1/regions/{region_id}" */
    bool is_public;     /* security: [] */
    bool optional_auth; /* security: [{}, {bearer: []}]: a token is verified where one is sent; not is_public */
    const struct text *scopes;
    size_t scope_count; /* all are needed; 0 with !is_public: any valid token */
    const struct openapi_parameter *parameters;
    size_t parameter_count;
    /* An exploded object of strings stands among the query's parameters: the whole query is the handler's to read, and
     * what is declared of it is documentation: values of query parameters are never present. */
    bool open_query;
    const struct openapi_schema *body; /* of application/json; NULL: takes no body, or one that is not validated here */
    /* A body that the handler reads as it comes (no schema stands there): its media types; never with `body`. */
    const struct text *media;
    size_t media_count;
    bool body_required;
};

/* Reads and compiles. Refused, each with line and name: a missing or repeated operationId, two paths of the same shape,
 * a template variable without parameter or the other way round, an unknown schema keyword or format, an unresolved $ref
 * (only "#/…" are followed, cycles refused where a parameter needs them), a security scheme that is not declared, a
 * pattern that does not compile. */
enum status openapi_load(const char *name, struct text yaml, struct openapi **document,
                         struct failure *failure) MUST_CHECK;
void openapi_free(struct openapi *document);
size_t openapi_operation_count(const struct openapi *document);
const struct openapi_operation *openapi_operation_at(const struct openapi *document, size_t index);
/* NULL if there is none. */
const struct openapi_operation *openapi_operation_by_id(const struct openapi *document, struct text id);
/* Index into operation->parameters, or SIZE_MAX. */
size_t openapi_parameter_index(const struct openapi_operation *operation, struct text name);
/* The document as JSON; made once, lives as long as the document. */
struct text openapi_json(const struct openapi *document);

#define OPENAPI_MAX_SEGMENTS 16 /* deeper paths are not found */

struct openapi_route {
    enum status status; /* OK; NOT_FOUND; DENIED: the path exists, the method does not; INVALID: bad escape */
    const struct openapi_operation *operation;   /* OK only. HEAD finds GET's */
    struct text variables[OPENAPI_MAX_SEGMENTS]; /* decoded path variables in the template's order, in `arena` or within
                                                    `path` */
    struct text names[OPENAPI_MAX_SEGMENTS];     /* and their names */
    size_t variable_count;
    char allow[64]; /* DENIED: value of Allow, HEAD and OPTIONS included; OK for OPTIONS requests too: status DENIED */
};
/* `path` is the raw path without query. Split at '/', each segment decoded once; "%2f" stays within its segment; a
 * decoded NUL, "%zz" and invalid UTF-8 are STATUS_INVALID; empty segments (//, trailing /), "." and ".." find nothing.
 * Literal segments win over variables. */
void openapi_route(const struct openapi *document, struct text method, struct text path, struct arena *arena,
                   struct openapi_route *route);

struct openapi_value {
    bool present; /* given, or by default */
    enum openapi_type type;
    struct text text; /* decoded; of every scalar type */
    int64_t
        integer;   /* INTEGER, BOOLEAN (0, 1), DATE (days since the epoch), DATE_TIME (microseconds since the epoch) */
    double number; /* NUMBER */
    const struct openapi_value *items; /* ARRAY */
    size_t count;
};

struct openapi_mistake {
    enum openapi_place place;
    char field[128];   /* the parameter; of the caller's making: cut and made printable */
    char message[384]; /* what was wrong and what is allowed */
    bool too_long;     /* the input is past a size limit */
};

struct openapi_input {
    const struct openapi_route *route;
    struct text query;                                            /* raw, without '?'; TEXT_NONE: none */
    struct text (*header)(void *context, struct text lower_name); /* TEXT_NONE: absent. May be NULL */
    void *header_context;
};
/* Fills values[0 … parameter_count), in the order of operation->parameters, allocated in `arena`. STATUS_INVALID with
 * *mistake for the first mistake: unknown or repeated query parameter (names the known ones, and the nearest), bad
 * escape, invalid UTF-8, wrong type, format, bound, enum (lists it), pattern, too many items, a missing required one.
 */
enum status openapi_validate(const struct openapi_input *input, struct arena *arena,
                             const struct openapi_value **values, struct openapi_mistake *mistake) MUST_CHECK;

/* Checks a JSON body against operation->body (never NULL here; an empty body is the caller's to judge by
 * body_required). STATUS_INVALID with *mistake for the first mistake: no JSON (line and column), a repeated member,
 * nesting past 64, or what the schema refuses; `field` is a JSON pointer (RFC 6901), "" for the whole body. Defaults
 * are not filled in. */
enum status openapi_validate_body(const struct openapi_operation *operation, struct text body,
                                  struct openapi_mistake *mistake) MUST_CHECK;

#endif
