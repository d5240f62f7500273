/* Types of values: what an encoder and the SQL builder must know of them. Immutable. */
#ifndef SLUICE_QUERY_TYPE_H
#define SLUICE_QUERY_TYPE_H

#include "base/text.h"

enum type_kind {
    TYPE_STRING, /* everything whose JSON form is its text in quotes: text, uuid, ranges, intervals, bytea, enums … */
    TYPE_NUMBER, /* raw; NaN and infinities quoted */
    TYPE_BOOLEAN,
    TYPE_TIMESTAMP, /* with T; timestamptz with the offset's minutes */
    TYPE_JSON,      /* json, jsonb: raw */
    TYPE_ARRAY,
    TYPE_COMPOSITE
};

struct type_field {
    struct text name;
    const struct type *type;
};
struct type {
    uint32_t oid;  /* as the wire says it */
    uint32_t base; /* a domain's base type, found through all domains; otherwise oid */
    enum type_kind kind;
    struct text name;           /* format_type: "integer", "numeric(10,2)" without modifiers, "serving.mood" */
    const struct type *element; /* ARRAY */
    char delimiter;             /* ARRAY: between elements, ',' but for box */
    const struct type_field *fields;
    size_t field_count; /* COMPOSITE */
    bool is_range;      /* range or multirange */
    bool is_enum;
    bool is_vector;                 /* int2vector, oidvector: printed with spaces, to_json makes an array of them */
    bool has_no_order;              /* no default btree operator class: json, xml, point … */
    const struct text *enum_labels; /* in their order; is_enum only */
    size_t enum_label_count;
};
/* Of a type of pg_catalog, its arrays too; NULL for others. Static. */
const struct type *type_builtin(uint32_t oid);
/* A type's name as a caller writes it in a cast: SQL's names (integer, double precision …), pg_catalog's (int4, _int4),
 * with (n) or (n,m) and [] behind. Writes it as SQL, of pg_catalog and quoted by the one function; false: not of that
 * form, or one of the reg… types or aclitem, which would name other tenants' relations, schemas and roles. Whether such
 * a type exists is the server's to say (42704). */
struct buffer;
bool type_append_cast(struct buffer *sql, struct text name);
/* The type that such a cast gives, when it is a builtin; NULL: not known. */
const struct type *type_of_cast(struct text name);

#endif
