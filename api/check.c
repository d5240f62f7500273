#include "api/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "api/server.h"
#include "drivers/postgres_session.h"
#include "query/datasets.h"

#define PAGE 1000 /* relations of a question */
#define ARENA_CEILING ((size_t)64 << 20)

struct checker {
    FILE *out;
    struct buffer *report;
    const struct config *config;
    struct datasets_options options;
    struct postgres_session *session;
    const struct datasets_place *place; /* the schema that is being looked at */
    struct arena arena;                 /* of one page */
    struct text *page;                  /* its relations */
    size_t page_count;
    bool *override_used;
    size_t datasets, warnings;
    bool out_of_memory;
};

static void warn(struct checker *checker, const char *format, ...) PRINTF_LIKE(2, 3);
static void warn(struct checker *checker, const char *format, ...)
{
    va_list arguments;
    checker->warnings++;
    fputs("  warning: ", checker->out);
    va_start(arguments, format);
    vfprintf(checker->out, format, arguments);
    va_end(arguments);
    fputc('\n', checker->out);
}

/* Names are the database's owner's: what a terminal would act on becomes '?'. */
static void print_name(FILE *out, struct text name)
{
    for (size_t i = 0; i < name.size; i++)
        fputc((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7F ? '?' : name.data[i], out);
}

static void print_span(FILE *out, const char *label, int64_t seconds)
{
    if (seconds < 0)
        return;
    bool days = seconds % 86400 == 0 && seconds != 0, hours = seconds % 3600 == 0 && seconds != 0;
    fprintf(out, "; %s %" PRId64 "%s", label,
            seconds / (days    ? 86400
                       : hours ? 3600
                               : 1),
            days    ? "d"
            : hours ? "h"
                    : "s");
}

static void print_keys(FILE *out, const struct dataset *dataset)
{
    for (size_t i = 0; i < dataset->key_count; i++) {
        fputs(dataset->keys[i].primary ? "; key (" : "; unique (", out);
        for (size_t k = 0; k < dataset->keys[i].count; k++) {
            fputs(k != 0 ? ", " : "", out);
            print_name(out, dataset->columns[dataset->keys[i].columns[k]].name);
        }
        fputc(')', out);
    }
}

static void print_dataset(FILE *out, const struct dataset *dataset)
{
    print_name(out, dataset->name);
    fprintf(out, ": %s; %zu column%s", dataset_kind_name(dataset->kind), dataset->column_count,
            dataset->column_count == 1 ? "" : "s");
    print_keys(out, dataset);
    if (dataset->time_column >= 0) {
        fputs("; time ", out);
        print_name(out, dataset->columns[dataset->time_column].name);
        if (dataset->grain != NULL)
            fprintf(out, " by %s", dataset->grain);
    }
    print_span(out, "lag", dataset->expected_lag_s);
    print_span(out, "every", dataset->expected_every_s);
    if (dataset->row_estimate >= 0)
        fprintf(out, "; about %.0f rows", dataset->row_estimate);
    if (dataset->asks_caller)
        fputs("; asks who reads", out);
    fputc('\n', out);
}

static const struct datasets_override *find_override(struct checker *checker, struct text name)
{
    for (size_t i = 0; i < checker->options.override_count; i++)
        if (text_equal(text_from_string(checker->options.overrides[i].dataset), name)) {
            checker->override_used[i] = true;
            return &checker->options.overrides[i];
        }
    return NULL;
}

static void check_override(struct checker *checker, const struct dataset *dataset)
{
    const struct datasets_override *override = find_override(checker, dataset->name);
    if (override == NULL)
        return;
    if (override->time_column != NULL && dataset_column(dataset, text_from_string(override->time_column)) == NULL)
        warn(checker, "warehouse.datasets.%s.time_column: there is no column %s; name one of the dataset's",
             override->dataset, override->time_column);
    for (size_t i = 0; override->key != NULL && override->key[i] != NULL; i++)
        if (dataset_column(dataset, text_from_string(override->key[i])) == NULL)
            warn(checker, "warehouse.datasets.%s.key: there is no column %s; name those of the dataset",
                 override->dataset, override->key[i]);
}

static void check_dataset(struct checker *checker, const struct dataset *dataset)
{
    print_dataset(checker->out, dataset);
    check_override(checker, dataset);
    if (dataset->key_count == 0)
        warn(checker,
             "no key: a cursor tells rows apart by %s, and no read is a key look-up; add a primary key, or name "
             "the columns under warehouse.datasets",
             dataset->has_ctid ? "their place in the table" : "counting those that are equal");
    if (dataset->time_column >= 0 && !dataset->time_is_indexed)
        warn(checker, "no index begins with %.*s: every range of time reads the whole; add one",
             TEXT_ARGS(dataset->columns[dataset->time_column].name));
    if (dataset->version == 0)
        warn(checker,
             "changes are not tracked: no ETag, and answers are not kept; select sluice.track('schema.table') for "
             "each table under it");
}

/* One page of the list. */

static void on_page(void *context, const struct postgres_rows *rows)
{
    struct checker *checker = context;
    size_t count = postgres_rows_count(rows);
    checker->page = arena_calloc(&checker->arena, count + 1, sizeof(*checker->page));
    checker->out_of_memory = checker->page == NULL;
    for (size_t i = 0; !checker->out_of_memory && i < count; i++) {
        struct datasets_listing listing;
        datasets_list_read(checker->place, 1, rows, i, &listing);
        checker->page[i] = arena_copy(&checker->arena, listing.relation);
        checker->out_of_memory = checker->page[i].data == NULL;
    }
    checker->page_count = checker->out_of_memory ? 0 : count;
}

static enum status ask_page(struct checker *checker, struct text after, struct failure *failure)
{
    const struct postgres_statement *statement = datasets_list_statement();
    struct text values[DATASETS_LIST_PARAMETERS];
    enum status status =
        datasets_list_parameters(checker->place, 1, checker->place->index, after, PAGE, &checker->arena, values);
    if (status != STATUS_OK)
        return failure_set(failure, status, "out of memory");
    status = postgres_session_query(checker->session, statement->sql, statement->parameter_count, values, on_page,
                                    checker, failure);
    return status == STATUS_OK && checker->out_of_memory ? failure_set(failure, STATUS_FAILED, "out of memory")
                                                         : status;
}

static void check_relation(struct checker *checker, struct text relation)
{
    const struct dataset *dataset;
    struct failure failure = {0};
    enum status status =
        datasets_describe_now(checker->session, &checker->options, checker->place, relation, &dataset, &failure);
    checker->datasets++;
    if (status == STATUS_OK) {
        check_dataset(checker, dataset);
        dataset_unref(dataset);
        return;
    }
    print_name(checker->out, relation);
    fputc('\n', checker->out);
    if (status == STATUS_NOT_FOUND)
        warn(checker, "%s may read none of its columns, or it has just been dropped", checker->config->database.user);
    else
        warn(checker, "it can't be described: %s", failure.message);
}

static enum status check_relations(struct checker *checker, size_t schema, struct failure *failure)
{
    const struct datasets_place place = datasets_place_of(&checker->options, schema);
    struct arena last;
    struct text after = TEXT_NONE;
    enum status status;
    checker->place = &place;
    arena_init(&last, NULL, 0, ARENA_CEILING);
    do {
        arena_init(&checker->arena, NULL, 0, ARENA_CEILING);
        status = ask_page(checker, after, failure);
        for (size_t i = 0; status == STATUS_OK && i < checker->page_count; i++)
            check_relation(checker, checker->page[i]);
        if (status == STATUS_OK && checker->page_count != 0)
            after = arena_copy(&last, checker->page[checker->page_count - 1]);
        arena_free(&checker->arena);
    } while (status == STATUS_OK && checker->page_count == PAGE);
    arena_free(&last);
    checker->place = NULL;
    return status;
}

/* Schemas. */

enum presence { PRESENCE_NONE, PRESENCE_UNREADABLE, PRESENCE_READABLE };

static void on_presence(void *context, const struct postgres_rows *rows)
{
    enum presence *presence = context;
    if (postgres_rows_count(rows) == 1)
        *presence = text_equal(postgres_rows_value(rows, 0, 0), TEXT("t")) ? PRESENCE_READABLE : PRESENCE_UNREADABLE;
}

static enum status check_schema(struct checker *checker, size_t index, bool *missing, struct failure *failure)
{
    const struct datasets_schema *schema = &checker->options.schemas[index];
    struct text name = text_from_string(schema->name);
    enum presence presence = PRESENCE_NONE;
    enum status status = postgres_session_query(
        checker->session, "select has_schema_privilege(oid, 'USAGE') from pg_catalog.pg_namespace where nspname = $1",
        1, &name, on_presence, &presence, failure);
    if (status != STATUS_OK)
        return status;
    fprintf(checker->out, "schema %s%s%s%s\n", schema->name, schema->scope != NULL ? ", for the scope " : "",
            schema->scope != NULL ? schema->scope : "", index == 0 ? ", named bare" : "");
    if (presence == PRESENCE_READABLE)
        return check_relations(checker, index, failure);
    if (presence == PRESENCE_UNREADABLE) {
        warn(checker, "%s may not use it; grant usage on schema \"%s\" to \"%s\"", checker->config->database.user,
             schema->name, checker->config->database.user);
        return STATUS_OK;
    }
    warn(checker, "it is not there");
    buffer_printf(checker->report,
                  "%s: warehouse.schemas[%zu]: the database %s has no schema %s; create it, or correct the name\n",
                  checker->config->path, index, checker->config->database.name, schema->name);
    *missing = true;
    return STATUS_OK;
}

static void check_overrides_are_used(struct checker *checker)
{
    for (size_t i = 0; i < checker->options.override_count; i++)
        if (!checker->override_used[i])
            warn(checker, "warehouse.datasets.%s: there is no such dataset; those above are all",
                 checker->options.overrides[i].dataset);
}

enum status check_catalog(const struct config *config, FILE *out, struct buffer *report)
{
    struct checker checker = {.out = out, .report = report, .config = config};
    struct failure failure = {0};
    bool missing = false;
    checker.options = (struct datasets_options){.schemas = config->warehouse.schemas,
                                                .schema_count = config->warehouse.schema_count,
                                                .overrides = config->warehouse.overrides,
                                                .override_count = config->warehouse.override_count,
                                                .memory = config->warehouse.catalog_memory,
                                                .check_ms = config->warehouse.catalog_check_ms};
    checker.override_used = calloc(checker.options.override_count + 1, sizeof(*checker.override_used));
    enum status status = checker.override_used != NULL ? server_open_reader(config, &checker.session, &failure)
                                                       : failure_set(&failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; status == STATUS_OK && i < checker.options.schema_count; i++)
        status = check_schema(&checker, i, &missing, &failure);
    if (status == STATUS_OK) {
        check_overrides_are_used(&checker);
        fprintf(out, "%zu dataset%s, %zu warning%s\n", checker.datasets, checker.datasets == 1 ? "" : "s",
                checker.warnings, checker.warnings == 1 ? "" : "s");
    } else {
        fprintf(out, "the catalog could not be read, the file alone was checked: %s\n", failure.message);
    }
    postgres_session_close(checker.session);
    free(checker.override_used);
    return missing ? STATUS_NOT_FOUND : STATUS_OK;
}
