#include "upload/table.h"

#include <stdio.h>

#include "base/hash.h"

#define SLOTS 4096 /* a power of two, more than twice TABLE_COLUMNS_MAX */

_Static_assert(SLOTS > 2 * TABLE_COLUMNS_MAX, "the table of names must stay half empty");

/* Which names are taken: a hash table of index + 1 into `names`. */
struct taken {
    const struct text *names;
    uint16_t slots[SLOTS];
};

/* The index of a column that has the name already; else it is put in for `index`, and SIZE_MAX. */
static size_t put(struct taken *taken, struct text name, size_t index)
{
    size_t at = hash_text(name) & (SLOTS - 1);
    for (; taken->slots[at] != 0; at = (at + 1) & (SLOTS - 1))
        if (text_equal(taken->names[taken->slots[at] - 1], name))
            return taken->slots[at] - 1u;
    taken->slots[at] = (uint16_t)(index + 1);
    return SIZE_MAX;
}

static struct text cut(struct text name, size_t size)
{
    if (name.size <= size)
        return name;
    while (size != 0 && ((unsigned char)name.data[size] & 0xC0) == 0x80)
        size--;
    return text_of(name.data, size);
}

static bool has_control(struct text name)
{
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7F)
            return true;
    return false;
}

static bool is_reserved(struct text name)
{
    static const char *const reserved[] = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (text_equal(name, text_from_string(reserved[i])))
            return true;
    return false;
}

static struct text trim(struct text name)
{
    while (name.size != 0 &&
           (name.data[0] == '\n' || name.data[0] == '\r' || name.data[0] == ' ' || name.data[0] == '\t'))
        name = text_of(name.data + 1, name.size - 1);
    while (name.size != 0 && strchr(" \t\r\n", name.data[name.size - 1]) != NULL)
        name.size--;
    return name;
}

/* Names as they stand in the file, whole: what can't be a name, and what is there twice. */
static enum status check(struct text *names, size_t count, struct failure *failure)
{
    struct taken taken = {.names = names};
    for (size_t i = 0; i < count; i++) {
        names[i] = trim(names[i]);
        struct text shown = cut(names[i], TABLE_NAME_MAX);
        const char *rest = shown.size < names[i].size ? " …" : "";
        if (names[i].size == 0)
            continue;
        if (has_control(names[i]))
            return failure_set(failure, STATUS_INVALID,
                               "the name of column %zu has a control character (a line end?); rename it, or state "
                               "header=false if this is no header",
                               i + 1);
        if (is_reserved(names[i]))
            return failure_set(failure, STATUS_INVALID,
                               "column %zu is called \"%.*s\", which the database keeps for itself; rename it", i + 1,
                               TEXT_ARGS(shown));
        size_t other = put(&taken, names[i], i);
        if (other != SIZE_MAX)
            return failure_set(failure, STATUS_INVALID,
                               "columns %zu and %zu are both called \"%.*s\"%s; give each a name of its own", other + 1,
                               i + 1, TEXT_ARGS(shown), rest);
    }
    return STATUS_OK;
}

/* The first of "name", "name_2", "name_3" … that is free. Returns false when memory ran out. */
static bool make_distinct(struct taken *taken, struct text *name, size_t index, struct arena *arena)
{
    struct text wanted = cut(*name, TABLE_NAME_MAX);
    char made[TABLE_NAME_MAX + 1];
    unsigned number = 1;
    struct text candidate = wanted;
    /* At most TABLE_COLUMNS_MAX names are in the way. */
    while (put(taken, candidate, index) != SIZE_MAX) {
        char suffix[16];
        int size = snprintf(suffix, sizeof(suffix), "_%u", ++number);
        struct text stem = cut(wanted, TABLE_NAME_MAX - (size_t)size);
        memcpy(made, stem.data, stem.size);
        memcpy(made + stem.size, suffix, (size_t)size);
        candidate = text_of(made, stem.size + (size_t)size);
    }
    *name = arena_copy(arena, candidate);
    return name->data != NULL;
}

enum status table_names(struct text *names, size_t count, struct arena *arena, struct failure *failure)
{
    struct taken taken = {.names = names};
    char made[16];
    if (count > TABLE_COLUMNS_MAX)
        return failure_set(failure, STATUS_INVALID, "the file has %zu columns; a table can have %d", count,
                           TABLE_COLUMNS_MAX);
    enum status status = check(names, count, failure);
    if (status != STATUS_OK)
        return status;
    bool enough = true;
    for (size_t i = 0; i < count && enough; i++) /* those that stay as they are come first */
        if (names[i].size != 0 && names[i].size <= TABLE_NAME_MAX) {
            names[i] = arena_copy(arena, names[i]);
            enough = names[i].data != NULL && put(&taken, names[i], i) == SIZE_MAX;
        }
    for (size_t i = 0; i < count && enough; i++) {
        if (names[i].size == 0)
            names[i] = text_of(made, (size_t)snprintf(made, sizeof(made), "c%zu", i + 1));
        else if (names[i].size <= TABLE_NAME_MAX)
            continue;
        enough = make_distinct(&taken, &names[i], i, arena);
    }
    return enough ? STATUS_OK : failure_set(failure, STATUS_FAILED, "out of memory while reading the file");
}
