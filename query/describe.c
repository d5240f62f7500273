#include <stdlib.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "query/describe_private.h"
#include "query/own_views.h"

#define ARENA_CEILING ((size_t)8 << 20) /* of one description */
#define MAX_COLUMNS 10000               /* a table has 1,600 at most; functions of its row come on top */
#define OID_TSVECTOR 3614

const json_t *describe_array(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_array(value) ? value : NULL; /* jansson takes NULL for an empty one */
}

uint32_t describe_oid(const json_t *value)
{
    /* json_build_object quotes an oid: it is no number to it. */
    if (json_is_string(value))
        return (uint32_t)strtoul(json_string_value(value), NULL, 10);
    return (uint32_t)json_integer_value(value);
}

struct text describe_text(struct describe_reading *reading, const json_t *value)
{
    if (!json_is_string(value))
        return TEXT_NONE;
    struct text copy =
        arena_copy(&reading->dataset->arena, text_of(json_string_value(value), json_string_length(value)));
    reading->failed |= copy.data == NULL;
    return copy;
}

void *describe_allocate(struct describe_reading *reading, size_t count, size_t size)
{
    void *memory = arena_calloc(&reading->dataset->arena, count, size);
    reading->failed |= memory == NULL;
    return memory;
}

void *describe_scratch(struct describe_reading *reading, size_t count, size_t size)
{
    void *memory = arena_calloc(&reading->scratch, count, size);
    reading->failed |= memory == NULL;
    return memory;
}

size_t describe_find_column(const struct describe_reading *reading, struct text name)
{
    for (size_t i = 0; i < reading->column_count; i++)
        if (text_equal(reading->columns[i].name, name))
            return i;
    return SIZE_MAX;
}

/* Digits and a sign: the sum has more of them than 64 bits. 0 stands for none. */
uint64_t describe_signature(struct text sum)
{
    return hash_stable(sum) | 1;
}

/* Names. */

static struct text keep(struct describe_reading *reading, struct text text)
{
    struct text kept = text.data != NULL ? arena_copy(&reading->dataset->arena, text) : TEXT_NONE;
    reading->failed |= kept.data == NULL && text.data != NULL;
    return kept;
}

static void read_names(struct describe_reading *reading, const struct datasets_place *place, struct text relation)
{
    struct dataset *dataset = reading->dataset;
    struct buffer words;
    buffer_init(&words, 4096);
    datasets_append_name(reading->options, place, relation, &words);
    dataset->name = keep(reading, buffer_text(&words));
    buffer_clear(&words);
    postgres_append_identifier(&words, place->schema);
    buffer_append_char(&words, '.');
    postgres_append_identifier(&words, relation);
    dataset->sql_name = keep(reading, buffer_text(&words));
    dataset->schema = keep(reading, place->schema);
    dataset->relation = keep(reading, relation);
    dataset->role = keep(reading, place->role);
    dataset->prefix = keep(reading, place->prefix);
    reading->failed |= words.failed;
    buffer_free(&words);
}

/* The configuration tells of the warehouse's datasets; a customer's of the same name is none of them. */
static void find_override(struct describe_reading *reading)
{
    for (size_t i = 0; reading->dataset->role.data == NULL && i < reading->options->override_count; i++)
        if (text_equal(text_from_string(reading->options->overrides[i].dataset), reading->dataset->name))
            reading->override = &reading->options->overrides[i];
}

/* Columns. */

static void read_type(struct describe_reading *reading, struct dataset_column *column, uint32_t oid)
{
    column->type = describe_make_type(reading, oid);
    column->is_tsvector = column->type != NULL && column->type->base == OID_TSVECTOR;
}

static void read_column(struct describe_reading *reading, const json_t *row, size_t i)
{
    struct dataset_column *column = &reading->columns[i];
    struct catalog_measure measure = {.aggregate = AGGREGATE_MEAN};
    uint32_t type = describe_oid(json_array_get(row, 2));
    reading->numbers[i] = (unsigned short)json_integer_value(json_array_get(row, 0));
    column->name = describe_text(reading, json_array_get(row, 1));
    read_type(reading, column, type);
    column->nullable = !json_is_true(json_array_get(row, 3)) && !describe_type_is_not_null(reading, type);
    column->default_sql = describe_text(reading, json_array_get(row, 5));
    struct text comment = describe_text(reading, json_array_get(row, 4));
    if (comment.data == NULL)
        return;
    /* An unknown function after the unit leaves the mean. */
    enum status ignored = comment_parse(comment, &measure);
    (void)ignored;
    column->description = measure.description.size != 0 ? measure.description : TEXT_NONE;
    column->unit = measure.unit;
    column->aggregate = measure.aggregate;
}

/* A column hides a function of its name. */
static void read_computed(struct describe_reading *reading, const json_t *row)
{
    struct dataset_column *column = &reading->columns[reading->column_count];
    struct buffer function;
    const json_t *name = json_array_get(row, 0);
    if (describe_find_column(reading, text_of(json_string_value(name), json_string_length(name))) != SIZE_MAX)
        return;
    *column = (struct dataset_column){.name = describe_text(reading, name), .computed = true, .nullable = true};
    read_type(reading, column, describe_oid(json_array_get(row, 1)));
    column->description = describe_text(reading, json_array_get(row, 2));
    buffer_init(&function, 4096);
    postgres_append_identifier(&function, reading->dataset->schema);
    buffer_append_char(&function, '.');
    postgres_append_identifier(&function, column->name);
    column->function = arena_copy(&reading->dataset->arena, buffer_text(&function));
    reading->failed |= function.failed || column->function.data == NULL;
    buffer_free(&function);
    reading->column_count++;
}

static void read_columns(struct describe_reading *reading)
{
    const json_t *columns = describe_array(reading->document, "columns");
    /* A function of a customer's row is SQL that nobody has checked. */
    bool is_own = reading->dataset->role.data != NULL;
    const json_t *computed = is_own ? NULL : describe_array(reading->document, "computed");
    size_t own = json_array_size(columns), most = own + json_array_size(computed);
    if (most > MAX_COLUMNS) {
        reading->failed = true;
        return;
    }
    reading->columns = describe_allocate(reading, most, sizeof(*reading->columns));
    reading->numbers = describe_scratch(reading, most, sizeof(*reading->numbers));
    for (size_t i = 0; !reading->failed && i < own; i++) {
        read_column(reading, json_array_get(columns, i), i);
        reading->column_count++;
    }
    for (size_t i = 0; !reading->failed && i < most - own; i++)
        read_computed(reading, json_array_get(computed, i));
    reading->dataset->columns = reading->columns;
    reading->dataset->column_count = reading->column_count;
}

/* The tables whose versions count, with their versions: one that is not tracked makes the sum unknown. */
static void read_bases(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    const json_t *rows = describe_array(reading->document, "bases");
    size_t count = json_array_size(rows);
    struct text *bases = describe_allocate(reading, count, sizeof(*bases));
    bool tracked = count != 0;
    for (size_t i = 0; !reading->failed && i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        json_int_t changed_at = json_integer_value(json_array_get(row, 2));
        bases[i] = describe_text(reading, json_array_get(row, 0));
        tracked = tracked && json_is_integer(json_array_get(row, 1));
        dataset->version += (uint64_t)json_integer_value(json_array_get(row, 1));
        dataset->changed_at = changed_at > dataset->changed_at ? changed_at : dataset->changed_at;
    }
    dataset->bases = bases;
    dataset->base_count = reading->failed ? 0 : count;
    if (!tracked) {
        dataset->version = 0;
        dataset->changed_at = 0;
    }
}

static void read_things(struct describe_reading *reading)
{
    const json_t *rows = describe_array(reading->document, "things"), *sum;
    size_t count = json_array_size(rows);
    struct dataset_thing *things = describe_allocate(reading, count, sizeof(*things));
    for (size_t i = 0; !reading->failed && i < count; i++) {
        const char *kind = json_string_value(json_array_get(json_array_get(rows, i), 0));
        things[i] = (struct dataset_thing){kind != NULL ? kind[0] : 's',
                                           describe_oid(json_array_get(json_array_get(rows, i), 1))};
    }
    reading->dataset->things = things;
    reading->dataset->thing_count = reading->failed ? 0 : count;
    sum = json_object_get(reading->document, "signature");
    reading->dataset->signature = describe_signature(text_of(json_string_value(sum), json_string_length(sum)));
}

/* A view's is that of the largest table under it. */
static void read_estimate(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    dataset->row_estimate = -1;
    for (size_t i = 0; i < reading->relation_count; i++) {
        const struct describe_relation *relation = &reading->relations[i];
        double estimate = json_number_value(json_object_get(relation->row, "estimate"));
        bool counts = dataset->kind == DATASET_VIEW ? relation->kind != 'v' : relation->oid == dataset->oid;
        if (counts && estimate > dataset->row_estimate)
            dataset->row_estimate = estimate;
    }
}

static void read_relation(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    const json_t *document = reading->document;
    struct text comment = describe_text(reading, json_object_get(document, "words"));
    dataset->oid = describe_oid(json_object_get(document, "oid"));
    const char *kind = json_string_value(json_object_get(document, "kind"));
    dataset->kind = dataset_kind_of(kind != NULL ? kind[0] : 'r');
    dataset->asks_caller = json_is_true(json_object_get(document, "asks"));
    dataset->moves = json_is_true(json_object_get(document, "moves"));
    reading->failed |=
        comment_parse_relation(comment.data != NULL ? comment : TEXT(""), &dataset->arena, &reading->told) != STATUS_OK;
    dataset->description = reading->told.description;
    const struct describe_relation *self = NULL;
    for (size_t i = 0; i < reading->relation_count; i++)
        if (reading->relations[i].oid == dataset->oid)
            self = &reading->relations[i];
    /* ctid is a row's only within one table: those that inherit from it have rows of the same. */
    dataset->has_ctid = json_is_true(json_object_get(document, "has_ctid")) && self != NULL &&
                        !json_is_true(json_object_get(self->row, "inherited"));
}

/* A customer's relation is one of his own itself: no row at all is no answer that could be trusted. */
static void read_served(struct describe_reading *reading)
{
    bool is_own = reading->dataset->role.data != NULL;
    bool told = json_array_size(describe_array(reading->document, "own")) != 0;
    reading->dataset->served = !is_own || (told && own_views_judge(reading->document, reading->options) == 0);
}

static void read_document(struct describe_reading *reading, const struct datasets_place *place, struct text relation)
{
    void (*const parts[])(struct describe_reading *) = {
        find_override, describe_types, describe_relations, read_columns, read_served,  read_relation,
        describe_keys, describe_told,  read_bases,         read_things,  read_estimate};
    read_names(reading, place, relation);
    for (size_t i = 0; !reading->failed && i < sizeof(parts) / sizeof(parts[0]); i++)
        parts[i](reading);
}

enum status describe_read(struct text document, const struct datasets_options *options,
                          const struct datasets_place *place, struct text relation, struct dataset **out,
                          struct failure *failure)
{
    json_error_t error;
    json_t *parsed = json_loadb(document.data, document.size, JSON_REJECT_DUPLICATES, &error);
    struct dataset *dataset = calloc(1, sizeof(*dataset));
    struct describe_reading reading = {.dataset = dataset, .options = options, .document = parsed};
    if (parsed == NULL || dataset == NULL) {
        json_decref(parsed);
        free(dataset);
        return failure_set(failure, STATUS_FAILED, "the catalog's description of %.*s cannot be read: %s",
                           TEXT_ARGS(relation), parsed == NULL ? error.text : "out of memory");
    }
    dataset->references = 1;
    arena_init(&dataset->arena, NULL, 0, ARENA_CEILING);
    arena_init(&reading.scratch, NULL, 0, ARENA_CEILING);
    read_document(&reading, place, relation);
    arena_free(&reading.scratch);
    json_decref(parsed);
    if (reading.failed) {
        dataset_unref(dataset);
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the description of %.*s takes more than %zu MB; serve a view of fewer columns",
                           TEXT_ARGS(relation), ARENA_CEILING >> 20);
    }
    *out = dataset;
    return STATUS_OK;
}
