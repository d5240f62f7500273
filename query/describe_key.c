#include "base/log.h"
#include "query/describe_private.h"

#define MAX_VIEWS 64 /* over one another */
#define MAX_KEYS 32
#define MAX_TARGETS 2048 /* a view has 1664 columns at most, and some that only sort */
#define MAX_KEY 32       /* columns; PostgreSQL's bound for an index */

static struct describe_relation *find(const struct describe_reading *reading, uint32_t oid)
{
    for (size_t i = 0; i < reading->relation_count; i++)
        if (reading->relations[i].oid == oid)
            return &reading->relations[i];
    return NULL;
}

void describe_relations(struct describe_reading *reading)
{
    const json_t *rows = describe_array(reading->document, "relations");
    reading->relation_count = json_array_size(rows);
    reading->relations = describe_scratch(reading, reading->relation_count, sizeof(*reading->relations));
    for (size_t i = 0; !reading->failed && i < reading->relation_count; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *kind = json_string_value(json_object_get(row, "kind"));
        reading->relations[i] = (struct describe_relation){.row = row,
                                                           .oid = describe_oid(json_object_get(row, "oid")),
                                                           .kind = kind != NULL ? kind[0] : 'r',
                                                           .simple = json_is_true(json_object_get(row, "simple"))};
    }
}

/* A view's tree of nodes as text, "{QUERY :field value …}": what has a meaning of its own stands behind a backslash
 * when it is part of a name. */
struct scan {
    const char *at, *end;
    unsigned depth; /* of braces */
};

/* The next token of more than punctuation; an empty one at the end. Braces are counted. */
static struct text next_token(struct scan *scan)
{
    while (scan->at < scan->end && strchr(" \n\t(){}", *scan->at) != NULL) {
        scan->depth += *scan->at == '{';
        scan->depth -= *scan->at == '}';
        scan->at++;
    }
    const char *start = scan->at;
    while (scan->at < scan->end && strchr(" \n\t(){}", *scan->at) == NULL)
        scan->at += *scan->at == '\\' && scan->at + 1 < scan->end ? 2 : 1;
    return text_of(start, (size_t)(scan->at - start));
}

/* The entries of the outermost query stand at the second depth: those of queries within it lie deeper. */
static size_t scan_targets(struct text action, struct describe_target *targets, size_t most)
{
    struct scan scan = {action.data, action.data + action.size, 0};
    struct text token = next_token(&scan);
    size_t count = 0;
    bool in_entry = false;
    while (token.size != 0) {
        int64_t number;
        if (scan.depth == 2 && token.data[-1] == '{') {
            in_entry = text_equal(token, TEXT("TARGETENTRY"));
            if (in_entry && count == most)
                return count;
            if (in_entry)
                targets[count++] = (struct describe_target){0, 0, 0};
        }
        bool is_field = in_entry && scan.depth == 2 && token.data[0] == ':';
        struct text field = token;
        token = next_token(&scan);
        if (!is_field || !text_to_int64(token, &number) || number < 0)
            continue;
        if (text_equal(field, TEXT(":resno")))
            targets[count - 1].number = (unsigned)number;
        if (text_equal(field, TEXT(":resorigtbl")))
            targets[count - 1].relation = (uint32_t)number;
        if (text_equal(field, TEXT(":resorigcol")))
            targets[count - 1].column = (unsigned)number;
    }
    return count;
}

static const struct describe_target *find_target(struct describe_reading *reading, struct describe_relation *view,
                                                 unsigned column)
{
    if (!view->scanned) {
        const json_t *action = json_object_get(view->row, "action");
        struct text words = text_of(json_string_value(action), json_string_length(action));
        view->scanned = true;
        view->targets = describe_scratch(reading, MAX_TARGETS, sizeof(*view->targets));
        if (view->targets != NULL && words.data != NULL)
            view->target_count = scan_targets(words, view->targets, MAX_TARGETS);
    }
    for (size_t i = 0; i < view->target_count; i++)
        if (view->targets[i].number == column)
            return &view->targets[i];
    return NULL;
}

static struct describe_origin find_origin(struct describe_reading *reading, uint32_t relation, unsigned column)
{
    struct describe_origin origin = {relation, column, true};
    for (unsigned i = 0; i < MAX_VIEWS; i++) {
        struct describe_relation *known = find(reading, origin.relation);
        if (known == NULL)
            break;
        if (known->kind != 'v')
            return origin;
        const struct describe_target *target = find_target(reading, known, origin.column);
        if (target == NULL || target->relation == 0)
            break;
        origin = (struct describe_origin){target->relation, target->column, origin.simple && known->simple};
    }
    return (struct describe_origin){0, 0, false};
}

static bool has_number(const struct describe_relation *relation, const char *list, unsigned column)
{
    const json_t *numbers = describe_array(relation->row, list);
    for (size_t i = 0; i < json_array_size(numbers); i++)
        if (json_integer_value(json_array_get(numbers, i)) == (json_int_t)column)
            return true;
    return false;
}

/* The column of the dataset that is the table's; SIZE_MAX: none, or it may be null. */
static size_t find_key_column(const struct describe_reading *reading, const struct describe_origin *origins,
                              const struct describe_relation *table, unsigned column)
{
    for (size_t i = 0; has_number(table, "not_null", column) && i < reading->column_count; i++)
        if (origins[i].simple && origins[i].relation == table->oid && origins[i].column == column)
            return i;
    return SIZE_MAX;
}

/* False: a column of it is not in the dataset, or may be null. */
static bool make_key(struct describe_reading *reading, const struct describe_origin *origins,
                     const struct describe_relation *table, const json_t *row, struct dataset_key *key)
{
    const json_t *numbers = json_array_get(row, 1);
    size_t count = json_array_size(numbers), columns[MAX_KEY];
    if (count == 0 || count > MAX_KEY)
        return false;
    for (size_t i = 0; i < count; i++) {
        columns[i] = find_key_column(reading, origins, table, (unsigned)json_integer_value(json_array_get(numbers, i)));
        if (columns[i] == SIZE_MAX)
            return false;
    }
    unsigned short *kept = describe_allocate(reading, count, sizeof(*kept));
    for (size_t i = 0; kept != NULL && i < count; i++)
        kept[i] = (unsigned short)columns[i];
    *key = (struct dataset_key){kept, count, json_is_true(json_array_get(row, 0))};
    return kept != NULL;
}

/* The table whose rows are the dataset's; NULL: none. The children of a table that others inherit from have keys of
 * their own: rows of two of them may share one. */
static const struct describe_relation *find_table(const struct describe_reading *reading,
                                                  const struct describe_origin *origins)
{
    for (size_t i = 0; i < reading->column_count; i++) {
        const struct describe_relation *table = origins[i].simple ? find(reading, origins[i].relation) : NULL;
        if (table != NULL)
            return json_is_true(json_object_get(table->row, "inherited")) ? NULL : table;
    }
    return NULL;
}

/* A key that somebody told of. False: a column is not there. */
static bool make_told_key(struct describe_reading *reading, const struct text *names, size_t count,
                          struct dataset_key *key)
{
    unsigned short *columns = describe_allocate(reading, count, sizeof(*columns));
    for (size_t i = 0; columns != NULL && i < count; i++) {
        size_t at = describe_find_column(reading, names[i]);
        if (at == SIZE_MAX) {
            log_event(LOG_WARNING, "dataset_key_ignored",
                      "the key told of dataset %.*s names the column %.*s, which is not there or may not be read; "
                      "correct warehouse.datasets or the relation's comment",
                      TEXT_ARGS(reading->dataset->name), TEXT_ARGS(names[i]));
            return false;
        }
        columns[i] = (unsigned short)at;
    }
    *key = (struct dataset_key){columns, count, true};
    return columns != NULL;
}

static bool read_told_key(struct describe_reading *reading, struct dataset_key *key)
{
    struct text names[MAX_KEY];
    size_t count = 0;
    if (reading->override != NULL && reading->override->key != NULL) {
        for (; count < MAX_KEY && reading->override->key[count] != NULL; count++)
            names[count] = text_from_string(reading->override->key[count]);
        return count != 0 && make_told_key(reading, names, count, key);
    }
    struct text rest = reading->told.key;
    while (rest.data != NULL && count < MAX_KEY)
        names[count++] = text_trim(text_split(&rest, ','));
    return count != 0 && make_told_key(reading, names, count, key);
}

void describe_keys(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    struct describe_origin *origins = describe_scratch(reading, reading->column_count, sizeof(*origins));
    struct dataset_key *keys = describe_allocate(reading, MAX_KEYS, sizeof(*keys));
    reading->origins = origins;
    if (origins == NULL || keys == NULL)
        return;
    for (size_t i = 0; i < reading->column_count; i++)
        if (reading->numbers[i] != 0)
            origins[i] = find_origin(reading, dataset->oid, reading->numbers[i]);
    dataset->key_count = read_told_key(reading, &keys[0]) ? 1 : 0;
    bool told = dataset->key_count != 0;
    const struct describe_relation *table = find_table(reading, origins);
    const json_t *rows = describe_array(table != NULL ? table->row : NULL, "keys");
    for (size_t i = 0; i < json_array_size(rows) && dataset->key_count < MAX_KEYS; i++)
        if (make_key(reading, origins, table, json_array_get(rows, i), &keys[dataset->key_count]))
            keys[dataset->key_count++].primary &= !told;
    dataset->keys = keys;
    for (size_t i = 0; i < reading->column_count; i++) {
        const struct describe_relation *from = origins[i].simple ? find(reading, origins[i].relation) : NULL;
        if (from != NULL && has_number(from, "not_null", origins[i].column))
            reading->columns[i].nullable = false;
    }
}

bool describe_leads_index(struct describe_reading *reading, size_t column)
{
    const struct describe_origin *origin = &reading->origins[column];
    const struct describe_relation *table = find(reading, origin->relation);
    return table != NULL && has_number(table, "leading", origin->column);
}
