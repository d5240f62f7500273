#include "query/series.h"

#include <stdio.h>

#include "base/date.h"
#include "query/binary.h"

#define MAX_PARAMETERS 3
#define SQL_CEILING 65536
#define MAX_FIELDS 64
#define LOOK_UP_ROWS 40 /* more of them are a large result */
#define FAST_ROWS 400   /* a longer answer would hold up its neighbours in the pipelined lane */

static const char *const grains[] = {"day", "week", "month", "year"};
static const int grain_days[] = {1, 7, 28, 365}; /* at the least */
static const uint32_t types[] = {25, 1082, 1082};

static enum status unknown_field(const struct catalog_view *view, struct text field, struct failure *failure)
{
    struct buffer known;
    buffer_init(&known, 400);
    for (size_t i = 0; i < view->measure_count; i++) {
        buffer_append(&known, ", ", i != 0 ? 2 : 0);
        buffer_append_text(&known, view->measures[i].name);
    }
    int size = known.size < 300 ? (int)known.size : 300;
    enum status status =
        failure_set(failure, STATUS_INVALID, "%.*s is no measure of this series; known are %.*s",
                    (int)(field.size < 64 ? field.size : 64), field.data, size, known.size != 0 ? known.data : "none");
    buffer_free(&known);
    return status;
}

static void append_measure(struct buffer *sql, const struct catalog_measure *measure, enum series_grain grain)
{
    buffer_append_literal(sql, ", ");
    if (grain == SERIES_DAY) {
        buffer_append_literal(sql, "s.");
        postgres_append_identifier(sql, measure->name);
        return;
    }
    char alias[160];
    int size = snprintf(alias, sizeof(alias), "%.*s_%s", TEXT_ARGS(measure->name), aggregate_name(measure->aggregate));
    buffer_append_string(sql, aggregate_sql(measure->aggregate));
    buffer_append_literal(sql, "(s.");
    postgres_append_identifier(sql, measure->name);
    buffer_append_literal(sql, ") as ");
    postgres_append_identifier(sql, text_of(alias, (size_t)size));
}

static enum status append_measures(struct buffer *sql, const struct series_request *request, struct failure *failure)
{
    if (request->field_count > MAX_FIELDS)
        return failure_set(failure, STATUS_INVALID, "%zu fields were asked for, %d are allowed", request->field_count,
                           MAX_FIELDS);
    for (size_t i = 0; i < request->field_count; i++) {
        const struct catalog_measure *measure = catalog_measure(request->view, request->fields[i]);
        if (measure == NULL)
            return unknown_field(request->view, request->fields[i], failure);
        for (size_t k = 0; k < i; k++)
            if (text_equal(request->fields[k], request->fields[i]))
                return failure_set(failure, STATUS_INVALID, "%.*s is named twice; name each field once",
                                   TEXT_ARGS(measure->name));
        append_measure(sql, measure, request->grain);
    }
    for (size_t i = 0; request->field_count == 0 && i < request->view->measure_count; i++)
        append_measure(sql, &request->view->measures[i], request->grain);
    return STATUS_OK;
}

static struct text day_text(struct arena *arena, int32_t day)
{
    char text[DATE_TEXT_SIZE];
    date_format(day, text);
    return arena_copy(arena, text_from_string(text));
}

static void bound_rows(const struct series_request *request, struct plan *plan)
{
    if (!request->has_from || !request->has_to)
        return;
    plan->rows_at_most = (uint64_t)(request->to - request->from) / (uint64_t)grain_days[request->grain] + 2;
    if (request->grain == SERIES_DAY)
        plan->rows_at_most--;
}

static void append_where(struct buffer *sql, const struct series_request *request, struct arena *arena,
                         struct plan *plan, size_t *parameters)
{
    buffer_append_literal(sql, " from ");
    buffer_append_text(sql, request->view->sql_name);
    buffer_append_literal(sql, " s where s.region_id = $1");
    plan->parameters[(*parameters)++] = request->region_id;
    if (request->has_from) {
        plan->parameters[(*parameters)++] = day_text(arena, request->from);
        buffer_printf(sql, " and s.day >= $%zu", *parameters);
    }
    if (request->has_to) {
        plan->parameters[(*parameters)++] = day_text(arena, request->to);
        buffer_printf(sql, " and s.day <= $%zu", *parameters);
    }
}

/* The columns are text, dates, counts, and measures or aggregates of them: of the numeric types only float4 stays
 * float4, and is better printed by the server. */
static bool comes_binary(const struct catalog_view *view)
{
    for (size_t i = 0; i < view->measure_count; i++)
        if (!binary_knows(view->measures[i].type))
            return false;
    return true;
}

enum status series_plan(const struct versions *versions, const struct series_request *request, struct arena *arena,
                        struct plan *plan, struct failure *failure)
{
    const char *grain = grains[request->grain];
    size_t parameters = 0;
    struct buffer sql;
    buffer_init(&sql, SQL_CEILING);
    *plan = (struct plan){
        .target = PLAN_WAREHOUSE, .relation = request->view->name, .version = versions_of(versions, request->view)};
    if (!plan_parameters(plan, arena, MAX_PARAMETERS))
        return failure_set(failure, STATUS_TOO_LARGE, "the request is too large; ask for fewer fields");
    if (request->grain == SERIES_DAY)
        buffer_append_literal(&sql, "select s.day");
    else
        buffer_printf(&sql, "select date_trunc('%s', s.day::timestamp)::date as \"%s\", count(*) as days", grain,
                      grain);
    enum status status = append_measures(&sql, request, failure);
    append_where(&sql, request, arena, plan, &parameters);
    buffer_append_string(&sql, request->grain == SERIES_DAY ? " order by s.day" : " group by 1 order by 1");
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&sql));
    buffer_free(&sql);
    for (size_t i = 0; i < parameters; i++)
        if (plan->parameters[i].data == NULL)
            kept = TEXT_NONE; /* out of memory: a null would be another question */
    if (status != STATUS_OK)
        return status;
    if (kept.data == NULL)
        return failure_set(failure, STATUS_TOO_LARGE, "the request is too large; ask for fewer fields");
    postgres_statement_init(&plan->statement, kept.data, parameters, types);
    plan->statement.binary = comes_binary(request->view);
    bound_rows(request, plan);
    plan->lane = plan->rows_at_most != 0 && plan->rows_at_most <= FAST_ROWS ? PLAN_FAST : PLAN_SCAN;
    plan->statement.large = plan->rows_at_most > LOOK_UP_ROWS;
    return STATUS_OK;
}
