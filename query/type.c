#include "query/type.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "drivers/postgres_session.h"

#define NAME_SIZE_MAX 63 /* of an identifier: NAMEDATALEN - 1 */
#define MODIFIER_DIGITS_MAX 8
#define FLOAT4_BITS_MAX 24 /* float(n): a real up to here, as SQL has it */
#define FLOAT8_BITS_MAX 53
#define INTERVAL_ALL_FIELDS "32767"

/* Where each type stands in the table. */
#define SCALAR(oid, name, sql, kind, order) AT_##name,
#define RANGE(oid, name, sql, kind, order) AT_##name,
#define ARRAY(oid, name, sql, element, delimiter, order) AT_##name,
#define VECTOR(oid, name, sql, element, delimiter, order) AT_##name,
enum place {
#include "query/type_table.h"
    TYPES
};
#undef SCALAR
#undef RANGE
#undef ARRAY
#undef VECTOR

#define SQL_NAME(literal)                                                                                              \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }
#define ORDER false
#define NO_ORDER true
#define SCALAR(number, id, sql, is, order)                                                                             \
    {.oid = (number), .base = (number), .name = SQL_NAME(sql), .kind = (is), .has_no_order = (order)},
#define RANGE(number, id, sql, is, order)                                                                              \
    {.oid = (number), .base = (number), .name = SQL_NAME(sql), .kind = (is), .is_range = true, .has_no_order = (order)},
#define LIST(number, sql, of, between, vector, order)                                                                  \
    {.oid = (number),                                                                                                  \
     .base = (number),                                                                                                 \
     .name = SQL_NAME(sql),                                                                                            \
     .kind = TYPE_ARRAY,                                                                                               \
     .element = &types[of],                                                                                            \
     .delimiter = (between),                                                                                           \
     .is_vector = (vector),                                                                                            \
     .has_no_order = (order)},
#define ARRAY(number, id, sql, of, between, order) LIST(number, sql, AT_##of, between, false, order)
#define VECTOR(number, id, sql, of, between, order) LIST(number, sql, AT_##of, between, true, order)
static const struct type types[TYPES] = {
#include "query/type_table.h"
};
#undef SCALAR
#undef RANGE
#undef ARRAY
#undef VECTOR

/* pg_catalog's names, in the same places. */
#define SCALAR(oid, name, sql, kind, order) SQL_NAME(#name),
#define RANGE(oid, name, sql, kind, order) SQL_NAME(#name),
#define ARRAY(oid, name, sql, element, delimiter, order) SQL_NAME(#name),
#define VECTOR(oid, name, sql, element, delimiter, order) SQL_NAME(#name),
static const struct text names[TYPES] = {
#include "query/type_table.h"
};

const struct type *type_builtin(uint32_t oid)
{
    size_t low = 0, high = TYPES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (types[middle].oid == oid)
            return &types[middle];
        if (types[middle].oid < oid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* A cast taken apart. */
struct cast {
    char name[NAME_SIZE_MAX + 1]; /* pg_catalog's, but for its dimensions; lower case unless it was quoted */
    size_t size;
    char modifier[2 * MODIFIER_DIGITS_MAX + 4]; /* "(10,2)"; "": none */
    int place;                                  /* in the table; TYPES: not there */
    bool is_array;
};

/* SQL's own names. `modifier` is what SQL means where none is written: char is one character long, while pg_catalog's
 * bpchar is of any length. */
static const struct {
    struct text sql;
    enum place place;
    const char *modifier;
} aliases[] = {{SQL_NAME("smallint"), AT_int2, ""},
               {SQL_NAME("int"), AT_int4, ""},
               {SQL_NAME("integer"), AT_int4, ""},
               {SQL_NAME("bigint"), AT_int8, ""},
               {SQL_NAME("real"), AT_float4, ""},
               {SQL_NAME("float"), AT_float8, ""},
               {SQL_NAME("double precision"), AT_float8, ""},
               {SQL_NAME("boolean"), AT_bool, ""},
               {SQL_NAME("dec"), AT_numeric, ""},
               {SQL_NAME("decimal"), AT_numeric, ""},
               {SQL_NAME("char"), AT_bpchar, "(1)"},
               {SQL_NAME("character"), AT_bpchar, "(1)"},
               {SQL_NAME("nchar"), AT_bpchar, "(1)"},
               {SQL_NAME("national char"), AT_bpchar, "(1)"},
               {SQL_NAME("national character"), AT_bpchar, "(1)"},
               {SQL_NAME("char varying"), AT_varchar, ""},
               {SQL_NAME("character varying"), AT_varchar, ""},
               {SQL_NAME("national char varying"), AT_varchar, ""},
               {SQL_NAME("national character varying"), AT_varchar, ""},
               {SQL_NAME("bit"), AT_bit, "(1)"},
               {SQL_NAME("bit varying"), AT_varbit, ""},
               {SQL_NAME("timestamp without time zone"), AT_timestamp, ""},
               {SQL_NAME("timestamp with time zone"), AT_timestamptz, ""},
               {SQL_NAME("time without time zone"), AT_time, ""},
               {SQL_NAME("time with time zone"), AT_timetz, ""}};

/* What an OID means is a name, of a relation, a role or a schema: `id::regnamespace` would read other tenants' names
 * off a column of numbers, and an access item asks which roles there are. */
static bool is_name_of_something(struct text name)
{
    struct text item = name.data[0] == '_' ? text_of(name.data + 1, name.size - 1) : name;
    return text_starts_with(item, TEXT("reg")) || text_equal(item, TEXT("aclitem"));
}

/* It has no values, and the server fails over it (XX000). */
static bool is_no_type(struct text name)
{
    return text_equal(name, TEXT("unknown"));
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* One "[]" or "[3]" off the end, if there is one. */
static bool take_dimension(struct text *name)
{
    size_t at = name->size;
    if (at == 0 || name->data[at - 1] != ']')
        return false;
    for (at--; at > 0 && name->data[at - 1] >= '0' && name->data[at - 1] <= '9';)
        at--;
    if (at == 0 || name->data[at - 1] != '[' || name->size - at > MODIFIER_DIGITS_MAX)
        return false;
    *name = text_trim_lines(text_of(name->data, at - 1));
    return true;
}

static bool is_number(struct text text)
{
    if (text.size == 0 || text.size > MODIFIER_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return true;
}

/* "10, 2" as "(10,2)". */
static bool read_modifier(struct text inside, struct cast *cast)
{
    size_t size = 0;
    int count = 0;
    while (inside.data != NULL) {
        struct text number = text_trim_lines(text_split(&inside, ','));
        bool negative = count == 1 && number.size != 0 && number.data[0] == '-'; /* numeric(3,-2) */
        struct text digits = negative ? text_of(number.data + 1, number.size - 1) : number;
        if (count == 2 || !is_number(digits) || number.size > MODIFIER_DIGITS_MAX)
            return false;
        cast->modifier[size++] = count++ == 0 ? '(' : ',';
        memcpy(cast->modifier + size, number.data, number.size);
        size += number.size;
    }
    cast->modifier[size++] = ')';
    cast->modifier[size] = '\0';
    return true;
}

/* Words with one space between them, in lower case. */
static bool read_words(struct text words, struct cast *cast)
{
    for (size_t i = 0; i < words.size; i++) {
        char byte = words.data[i];
        if (is_space(byte) && (cast->size == 0 || cast->name[cast->size - 1] == ' '))
            continue;
        if (cast->size == NAME_SIZE_MAX)
            return false;
        if (byte >= 'A' && byte <= 'Z')
            byte = (char)(byte - 'A' + 'a');
        bool letter = (byte >= 'a' && byte <= 'z') || byte == '_' || (unsigned char)byte >= 0x80;
        bool inner = (byte >= '0' && byte <= '9') || byte == '$';
        if (!is_space(byte) && !letter && !(inner && cast->size != 0 && cast->name[cast->size - 1] != ' '))
            return false;
        cast->name[cast->size++] = is_space(byte) ? ' ' : byte;
    }
    return true;
}

/* "char" in quotes is another type than char: PostgreSQL's own, of one byte. */
static bool read_quoted(struct text name, struct cast *cast)
{
    if (name.size < 3 || name.size - 2 > NAME_SIZE_MAX || name.data[name.size - 1] != '"' ||
        memchr(name.data + 1, '"', name.size - 2) != NULL || !text_is_utf8(name))
        return false;
    cast->size = name.size - 2;
    memcpy(cast->name, name.data + 1, cast->size);
    return memchr(cast->name, '\0', cast->size) == NULL;
}

static bool read_float(struct cast *cast)
{
    char *end;
    long bits = strtol(cast->modifier + 1, &end, 10);
    if (*end != ')' || bits < 1 || bits > FLOAT8_BITS_MAX)
        return false;
    cast->place = bits <= FLOAT4_BITS_MAX ? AT_float4 : AT_float8;
    cast->modifier[0] = '\0';
    return true;
}

/* Which type it is, and whether it takes what stands in parentheses. */
static bool resolve(struct cast *cast, bool quoted)
{
    struct text name = text_of(cast->name, cast->size);
    cast->place = TYPES;
    for (size_t i = 0; !quoted && i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (text_equal(name, aliases[i].sql)) {
            cast->place = (int)aliases[i].place;
            if (cast->modifier[0] == '\0')
                memcpy(cast->modifier, aliases[i].modifier, strlen(aliases[i].modifier) + 1);
        }
    for (int i = 0; cast->place == TYPES && i < TYPES; i++)
        if (text_equal(name, names[i]))
            cast->place = i;
    if (cast->place == AT_float8 && text_equal(name, TEXT("float")) && cast->modifier[0] != '\0' && !read_float(cast))
        return false;
    if (cast->place == TYPES)
        return cast->modifier[0] == '\0' && (quoted || memchr(cast->name, ' ', cast->size) == NULL) &&
               !is_name_of_something(name) && !is_no_type(name);
    if (is_name_of_something(names[cast->place]) || is_no_type(names[cast->place]))
        return false;
    bool pair = strchr(cast->modifier, ',') != NULL;
    bool takes = cast->place == AT_bpchar || cast->place == AT_varchar || cast->place == AT_bit ||
                 cast->place == AT_varbit || cast->place == AT_timestamp || cast->place == AT_timestamptz ||
                 cast->place == AT_time || cast->place == AT_timetz || cast->place == AT_interval;
    if (cast->modifier[0] != '\0' && cast->place != AT_numeric && (!takes || pair))
        return false;
    if (cast->place == AT_interval && cast->modifier[0] != '\0') { /* as its parser does: all fields, this precision */
        char precision[MODIFIER_DIGITS_MAX + 2];
        snprintf(precision, sizeof(precision), "%s", cast->modifier + 1);
        snprintf(cast->modifier, sizeof(cast->modifier), "(" INTERVAL_ALL_FIELDS ",%s", precision);
    }
    return true;
}

static bool read_cast(struct text name, struct cast *cast)
{
    memset(cast, 0, sizeof(*cast));
    name = text_trim_lines(name);
    while (take_dimension(&name))
        cast->is_array = true;
    bool quoted = name.size != 0 && name.data[0] == '"';
    if (quoted)
        return read_quoted(name, cast) && resolve(cast, true);
    const char *open = name.size != 0 ? memchr(name.data, '(', name.size) : NULL;
    struct text before = name, behind = TEXT_NONE;
    if (open != NULL) { /* timestamp(3) with time zone: there may be words behind */
        const char *close = memchr(open, ')', name.size - (size_t)(open - name.data));
        if (close == NULL || !read_modifier(text_of(open + 1, (size_t)(close - open - 1)), cast))
            return false;
        before = text_of(name.data, (size_t)(open - name.data));
        behind = text_of(close + 1, (size_t)(name.data + name.size - close - 1));
    }
    if (!read_words(before, cast) || (behind.size != 0 && (!read_words(TEXT(" "), cast) || !read_words(behind, cast))))
        return false;
    while (cast->size != 0 && cast->name[cast->size - 1] == ' ')
        cast->size--;
    return cast->size != 0 && text_is_utf8(text_of(cast->name, cast->size)) && resolve(cast, false);
}

bool type_append_cast(struct buffer *sql, struct text name)
{
    struct cast cast;
    if (!read_cast(name, &cast))
        return false;
    buffer_append_literal(sql, "\"pg_catalog\".");
    postgres_append_identifier(sql, cast.place != TYPES ? names[cast.place] : text_of(cast.name, cast.size));
    buffer_append_string(sql, cast.modifier);
    buffer_append_string(sql, cast.is_array ? "[]" : "");
    return true;
}

const struct type *type_of_cast(struct text name)
{
    struct cast cast;
    if (!read_cast(name, &cast) || cast.place == TYPES)
        return NULL;
    const struct type *type = &types[cast.place];
    if (!cast.is_array)
        return type;
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].element == type && !types[i].is_vector)
            return &types[i];
    return NULL;
}
