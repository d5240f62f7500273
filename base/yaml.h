/* Reads YAML 1.1 (libyaml) into a tree that remembers lines, so that whoever reads it can say where a mistake stands.
 */
#ifndef SLUICE_BASE_YAML_H
#define SLUICE_BASE_YAML_H

#include "base/arena.h"
#include "base/status.h"

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    int line;         /* from 1 */
    bool quoted;      /* scalar was quoted or a block: never null, bool or number */
    struct text text; /* scalar; NUL-terminated behind */
    size_t count;     /* items or pairs */
    struct yaml_node **items;
    struct yaml_pair *pairs; /* in the order of the file */
};

struct yaml_pair {
    struct yaml_node *key; /* always a scalar */
    struct yaml_node *value;
};

/* One document. Everything is allocated in `arena`. Refused with line and reason: syntax errors, a second document,
 * duplicate keys, keys that are not scalars, anchors/aliases (no "billion laughs"), nesting past 64, invalid UTF-8.
 * `name` is for messages. */
enum status yaml_parse(struct arena *arena, const char *name, struct text source, struct yaml_node **root,
                       struct failure *failure) MUST_CHECK;
/* The value of `key` in a mapping; NULL if node is NULL, no mapping, or has no such key. */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* An unquoted scalar null, "~" or empty. */
bool yaml_is_null(const struct yaml_node *node);
/* Unquoted integer/number/boolean (true, false) scalars. */
bool yaml_to_int64(const struct yaml_node *node, int64_t *value) MUST_CHECK;
bool yaml_to_double(const struct yaml_node *node, double *value) MUST_CHECK;
bool yaml_to_bool(const struct yaml_node *node, bool *value) MUST_CHECK;
/* The tree as JSON, with scalars typed by the YAML 1.2 core schema. For serving a YAML document as JSON. */
struct buffer;
void yaml_append_json(const struct yaml_node *node, struct buffer *buffer);

#endif
