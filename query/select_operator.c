#include "query/select_private.h"

/* OIDs of pg_catalog, the same in every PostgreSQL. */
enum {
    BOOLEAN = 16,
    CHARACTER = 18,
    NAME = 19,
    TEXTUAL = 25,
    JSON = 114,
    XML = 142,
    POINT = 600,
    BOX = 603,
    POLYGON = 604,
    CIDR = 650,
    CIRCLE = 718,
    INET = 869,
    BPCHAR = 1042,
    VARCHAR = 1043,
    DATE = 1082,
    TIME = 1083,
    INTERVAL = 1186,
    TIMETZ = 1266,
    UUID = 2950,
    TSVECTOR = 3614,
    TSQUERY = 3615,
    JSONB = 3802,
    JSONPATH = 4072
};

const char *select_operator_sql(enum dialect_operator op)
{
    static const char *const signs[] = {[DIALECT_EQ] = "=",
                                        [DIALECT_NEQ] = "<>",
                                        [DIALECT_GT] = ">",
                                        [DIALECT_GTE] = ">=",
                                        [DIALECT_LT] = "<",
                                        [DIALECT_LTE] = "<=",
                                        [DIALECT_LIKE] = "like",
                                        [DIALECT_ILIKE] = "ilike",
                                        [DIALECT_MATCH] = "~",
                                        [DIALECT_IMATCH] = "~*",
                                        [DIALECT_CS] = "@>",
                                        [DIALECT_CD] = "<@",
                                        [DIALECT_OV] = "&&",
                                        [DIALECT_SL] = "<<",
                                        [DIALECT_SR] = ">>",
                                        [DIALECT_NXR] = "&<",
                                        [DIALECT_NXL] = "&>",
                                        [DIALECT_ADJ] = "-|-",
                                        [DIALECT_ISDISTINCT] = "is distinct from",
                                        [DIALECT_IN] = "= any"};
    return op < sizeof(signs) / sizeof(signs[0]) ? signs[op] : NULL;
}

static bool is_words(uint32_t oid)
{
    return oid == TEXTUAL || oid == VARCHAR || oid == BPCHAR || oid == NAME || oid == CHARACTER;
}

static bool is_simple(const struct type *type) /* has no inside and no place: nothing to contain or to lie left of */
{
    uint32_t oid = type->base;
    return type->kind == TYPE_NUMBER || type->kind == TYPE_BOOLEAN || type->kind == TYPE_TIMESTAMP || is_words(oid) ||
           oid == DATE || oid == TIME || oid == TIMETZ || oid == INTERVAL || oid == UUID;
}

static bool lacks_search(const struct type *type)
{
    return !is_words(type->base) && type->kind != TYPE_JSON && type->base != TSVECTOR &&
           (is_simple(type) || type->kind == TYPE_ARRAY);
}

/* Extensions and users add types with operators of their own: of those nothing is known here. */
bool select_lacks_operator(const struct type *type, enum dialect_operator op)
{
    if (type == NULL || type->is_range || (type_builtin(type->base) == NULL && type->kind != TYPE_ARRAY))
        return false;
    uint32_t oid = type->base;
    bool structured = type->kind == TYPE_JSON || type->kind == TYPE_ARRAY || type->kind == TYPE_COMPOSITE;
    switch (op) {
    case DIALECT_EQ:
    case DIALECT_NEQ:
    case DIALECT_IN:
    case DIALECT_ISDISTINCT:
    case DIALECT_GT:
    case DIALECT_GTE:
    case DIALECT_LT:
    case DIALECT_LTE:
        return oid == JSON || oid == XML || oid == POLYGON || oid == JSONPATH || (oid == POINT && op != DIALECT_NEQ);
    case DIALECT_LIKE:
    case DIALECT_ILIKE:
    case DIALECT_MATCH:
    case DIALECT_IMATCH:
        return structured || (is_simple(type) && !is_words(oid));
    case DIALECT_CS:
    case DIALECT_CD:
        return is_simple(type) || oid == JSON || oid == TSVECTOR;
    case DIALECT_OV:
        return is_simple(type) || type->kind == TYPE_JSON || oid == TSVECTOR;
    case DIALECT_SL:
    case DIALECT_SR:
    case DIALECT_NXR:
    case DIALECT_NXL:
        return is_simple(type) || structured || oid == TSVECTOR || oid == TSQUERY;
    case DIALECT_ADJ:
        return is_simple(type) || structured || oid == BOX || oid == CIRCLE || oid == INET || oid == CIDR;
    case DIALECT_FTS:
    case DIALECT_PLFTS:
    case DIALECT_PHFTS:
    case DIALECT_WFTS:
        return lacks_search(type);
    case DIALECT_IS:
        return false;
    }
    return false;
}
