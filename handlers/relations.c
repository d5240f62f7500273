#include "handlers/relations.h"

#include <stdio.h>

#include "api/problem.h"
#include "handlers/named.h"
#include "handlers/read_error.h"

#define NAME_TOLD 130 /* bytes of a name that messages repeat: two of the database's and a dot */

static enum status copy_schemas(const struct request *request, struct arena *arena, struct relations *relations)
{
    const struct config *config = request->worker->server->config;
    struct text *schemas = arena_calloc(arena, config->warehouse.schema_count + 1, sizeof(*schemas));
    if (schemas == NULL)
        return STATUS_TOO_LARGE;
    relations->schemas = schemas;
    for (size_t i = 0; i < config->warehouse.schema_count; i++) {
        const struct datasets_schema *schema = &config->warehouse.schemas[i];
        if (!named_may_see((void *)(uintptr_t)request, schema))
            continue;
        /* The configuration outlives every task. */
        schemas[relations->schema_count++] = text_from_string(schema->name);
        if (i == 0)
            relations->bare = text_from_string(schema->name);
    }
    return STATUS_OK;
}

enum status relations_of(const struct request *request, struct arena *arena, struct relations *relations)
{
    struct text customer = request->principal->customer;
    *relations = (struct relations){.customer = TEXT_NONE};
    if (request->worker->customers == NULL || customer.data == NULL || !customer_names_of(customer, &relations->names))
        return STATUS_DENIED;
    relations->customer = arena_copy(arena, customer);
    return relations->customer.data != NULL ? copy_schemas(request, arena, relations) : STATUS_TOO_LARGE;
}

static bool find_schema(const struct relations *relations, struct text schema, struct text *real)
{
    if (schema.data == NULL)
        *real = relations->bare;
    else if (text_equal(schema, TEXT("uploads")))
        *real = text_from_string(relations->names.uploads);
    else if (text_equal(schema, TEXT("analytics")))
        *real = text_from_string(relations->names.analytics);
    else
        *real = TEXT_NONE;
    for (size_t i = 0;
         real->data == NULL && schema.data != NULL && !datasets_is_reserved(schema) && i < relations->schema_count; i++)
        if (text_equal(schema, relations->schemas[i]))
            *real = relations->schemas[i];
    return real->data != NULL;
}

bool relations_resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                       struct text *real_name)
{
    struct relations *relations = context;
    *real_name = name;
    if (name.size != 0 && name.data[0] != '~' && find_schema(relations, schema, real_schema))
        return true;
    relations->refused_schema = schema;
    relations->refused_name = name;
    return false;
}

static void refuse_name(struct text schema, struct text name, struct relations_mistake *told)
{
    char full[NAME_TOLD];
    snprintf(full, sizeof(full), "%.*s%s%.*s", TEXT_ARGS(schema), schema.data != NULL ? "." : "", TEXT_ARGS(name));
    *told = (struct relations_mistake){.status = STATUS_INVALID};
    if (text_equal(schema, TEXT("shared"))) {
        snprintf(told->words, sizeof(told->words),
                 "%s is not read in SQL: what another customer shares is read at GET /v1/datasets/shared.OWNER.NAME",
                 full);
        return;
    }
    snprintf(told->words, sizeof(told->words),
             "there is no relation %s that this caller may read in SQL; GET /v1/datasets lists his datasets: those of "
             "the warehouse by their names, his own as uploads.x and analytics.x",
             full);
}

void relations_refused(const struct relations *relations, enum status status, const struct sql_check_mistake *mistake,
                       struct relations_mistake *told)
{
    if (status == STATUS_INVALID && relations->refused_name.data != NULL) {
        refuse_name(relations->refused_schema, relations->refused_name, told);
        return;
    }
    *told = (struct relations_mistake){.status = status, .position = mistake->position};
    snprintf(told->words, sizeof(told->words), "%s", mistake->message);
}

static bool begins(const char *sqlstate, const char *front)
{
    return strncmp(sqlstate, front, strlen(front)) == 0;
}

static bool is_about_relation(const char *sqlstate)
{
    return begins(sqlstate, "42P01") || begins(sqlstate, "3F000") || begins(sqlstate, "42501");
}

static bool holds(const char *message, struct text name)
{
    return memmem(message, strlen(message), name.data, name.size) != NULL;
}

/* The database names the relation, or only its schema, by the real name, which may be another than the caller's. */
static const struct sql_check_relation *find_named(const struct sql_checked *checked, const char *message)
{
    const struct sql_check_relation *found = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < checked->relation_count; i++) {
        const struct sql_check_relation *one = &checked->relations[i];
        size_t size = holds(message, one->real_name)     ? 64 + one->real_name.size /* past a schema's 63 */
                      : holds(message, one->real_schema) ? one->real_schema.size
                                                         : 0;
        if (size > longest) {
            found = one;
            longest = size;
        }
    }
    return found;
}

void relations_failed(const struct sql_checked *checked, enum status status, const char *sqlstate, const char *message,
                      struct relations_mistake *told)
{
    *told = (struct relations_mistake){.status = status, .sqlstate = sqlstate};
    if (is_about_relation(sqlstate)) {
        const struct sql_check_relation *one = find_named(checked, message);
        if (one != NULL) {
            refuse_name(one->schema, one->name, told);
            return;
        }
        told->status = STATUS_INVALID;
        snprintf(told->words, sizeof(told->words), "it reads something that this caller may not read, or that is gone");
    } else if (begins(sqlstate, "42") || begins(sqlstate, "0A")) {
        told->status = STATUS_INVALID; /* about names and types in his own text */
        snprintf(told->words, sizeof(told->words), "%s", message);
    } else if (begins(sqlstate, "22") || begins(sqlstate, "23") || begins(sqlstate, "21")) {
        /* The message may repeat a value of a row. */
        told->status = STATUS_INVALID;
        snprintf(told->words, sizeof(told->words),
                 "a value of the data or of the parameters does not fit where the SQL uses it (SQLSTATE %.5s)",
                 sqlstate);
    } else if (begins(sqlstate, "54")) {
        told->status = STATUS_INVALID;
        snprintf(told->words, sizeof(told->words), "the SQL is too complex for the database (SQLSTATE %.5s)", sqlstate);
    } else if (begins(sqlstate, "57014")) {
        told->status = STATUS_TIMEOUT;
    } else if (read_error_passes(sqlstate, message)) {
        told->status = STATUS_UNAVAILABLE;
    } else if (status == STATUS_INVALID) {
        told->status = STATUS_FAILED;
    }
}

enum stage_verdict relations_refuse(struct request *request, const struct relations_mistake *told, const char *field)
{
    if (told->status != STATUS_INVALID)
        return problem_send_status(request, told->status);
    const struct problem_mistake mistake = {
        .place = "body", .field = field, .message = told->words, .column = told->position, .sqlstate = told->sqlstate};
    return problem_send_mistake(request, PROBLEM_INVALID_SQL, &mistake);
}

enum stage_verdict relations_refuse_stranger(struct request *request)
{
    return problem_send(request, PROBLEM_UNREGISTERED,
                        "SQL and data of one's own are for registered customers, and the token's customer is none; the "
                        "operator registers one with `sluice customer add`");
}

bool relations_over_budget(const struct plan_estimate *estimate, const struct rules_budget *budget, char *words,
                           size_t size)
{
    enum rules_excess excess = rules_judge(estimate, budget);
    if (excess == RULES_WITHIN)
        return false;
    double is = excess == RULES_COST ? estimate->cost : excess == RULES_ROWS ? estimate->rows : estimate->bytes;
    double may = excess == RULES_COST   ? budget->cost
                 : excess == RULES_ROWS ? (double)budget->rows
                                        : (double)budget->bytes;
    snprintf(words, size,
             "the plan is estimated at %.0f %s, and this tier allows %.0f; filter by an indexed column, aggregate, or "
             "give a limit. POST /v1/query/plan shows the whole plan",
             is, excess == RULES_COST ? "units of cost" : rules_excess_name(excess), may);
    return true;
}

struct rules_budget relations_budget(const struct request *request, bool of_jobs)
{
    const struct config_tier *tier = request->allowance;
    if (tier == NULL)
        return (struct rules_budget){0};
    const struct config_budget *budget = of_jobs ? &tier->job_budget : &tier->budget;
    return (struct rules_budget){budget->cost, budget->rows, budget->bytes};
}
