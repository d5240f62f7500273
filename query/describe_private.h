/* Between the files of query/describe*.c: one document being read. */
#ifndef SLUICE_QUERY_DESCRIBE_PRIVATE_H
#define SLUICE_QUERY_DESCRIBE_PRIVATE_H

#include <jansson.h>

#include "query/comment.h"
#include "query/describe.h"

struct describe_target { /* an entry of a view's list of columns */
    unsigned number;     /* the view's column */
    uint32_t relation;   /* whose column it passes through; 0: none's */
    unsigned column;
};
struct describe_relation {
    const json_t *row;
    uint32_t oid;
    char kind;
    bool simple; /* a view whose rows are those of one relation */
    bool scanned;
    struct describe_target *targets;
    size_t target_count;
};
struct describe_type {
    uint32_t oid;
    const json_t *row;
    const struct type *made; /* NULL: not yet */
};

struct describe_origin { /* where a column comes from */
    uint32_t relation;   /* 0: a view computes it */
    unsigned column;
    bool simple; /* through simple views only: a row of the relation is a row of the dataset */
};

struct describe_reading {
    struct dataset *dataset;
    const struct datasets_options *options;
    const struct datasets_override *override; /* NULL: none */
    const json_t *document;
    struct dataset_column *columns;
    unsigned short *numbers; /* of the columns, as the catalog counts them; 0: computed */
    size_t column_count;
    struct describe_type *types;
    size_t type_count;
    struct describe_relation *relations;
    size_t relation_count;
    struct describe_origin *origins; /* of the columns */
    struct comment_relation told;    /* by its comment */
    struct arena scratch;            /* goes when the document has been read */
    bool failed;                     /* out of memory */
};

/* Members of the document. Not there, or null: an empty array, 0, false, TEXT_NONE. Texts are copied. */
const json_t *describe_array(const json_t *object, const char *name);
uint32_t describe_oid(const json_t *value);
struct text describe_text(struct describe_reading *reading, const json_t *value);
void *describe_allocate(struct describe_reading *reading, size_t count, size_t size);

void *describe_scratch(struct describe_reading *reading, size_t count, size_t size);   /* not kept */
size_t describe_find_column(const struct describe_reading *reading, struct text name); /* SIZE_MAX: none */

/* describe_type.c */
void describe_types(struct describe_reading *reading);
const struct type *describe_make_type(struct describe_reading *reading, uint32_t oid);
/* The type, or a domain on the way to its base, is never null. */
bool describe_type_is_not_null(const struct describe_reading *reading, uint32_t oid);

/* describe_key.c: keys, nullability and the time column's index come from the tables whose columns a view passes
 * through. */
void describe_relations(struct describe_reading *reading);
void describe_keys(struct describe_reading *reading);
bool describe_leads_index(struct describe_reading *reading, size_t column);

/* describe_told.c: what the configuration and the comments say. */
void describe_told(struct describe_reading *reading);

#endif
