#include "handlers/read.h"

#include "api/execute.h"
#include "api/problem.h"
#include "api/replica.h"
#include "base/hash.h"
#include "handlers/read_error.h"
#include "query/verdicts.h"

#define PLANS 3 /* a relation may change again while its change is being found out */
#define PURPOSE_CEILING ((size_t)128 << 10)

static enum stage_verdict find_dataset(struct request *request, struct read *read);

enum stage_verdict read_begin(struct request *request, struct read *read)
{
    struct prefer_mistake mistake;
    const struct config_tier *tier = request->allowance;
    request->handler_state = read;
    if (prefer_read(request->headers.prefer, &request->arena, &read->prefer, &mistake) != STATUS_OK)
        return problem_send(request, PROBLEM_BAD_REQUEST, "Prefer: %s", mistake.message);
    if (tier != NULL)
        read->budget = (struct rules_budget){tier->budget.cost, tier->budget.rows, tier->budget.bytes};
    return find_dataset(request, read);
}

/* The page. */

/* A Range header's rows: "5-9", "5-", of the unit items; what cannot be read is as if it were not there. */
static bool parse_range(struct text text, uint64_t *first, uint64_t *last)
{
    int64_t from, to = INT64_MAX;
    if (text_starts_with(text, TEXT("items=")))
        text = text_of(text.data + 6, text.size - 6);
    struct text rest = text, start = text_split(&rest, '-');
    if (rest.data == NULL || !text_to_int64(start, &from) || from < 0)
        return false;
    if (rest.size != 0 && (!text_to_int64(rest, &to) || to < 0))
        return false;
    *first = (uint64_t)from;
    *last = (uint64_t)to;
    return true;
}

/* RFC 9110's range is given by the caller's limit and offset too: both must let a row pass. */
static bool intersect_range(const struct request *request, struct read *read)
{
    uint64_t first, last;
    struct text unit = request->headers.range_unit;
    bool is_get = h2o_memis(request->h2o->input.method.base, request->h2o->input.method.len, H2O_STRLIT("GET"));
    if (!is_get || request->headers.range.data == NULL || (unit.data != NULL && !text_equal(unit, TEXT("items"))) ||
        !parse_range(request->headers.range, &first, &last))
        return true;
    if (first > last)
        return false;
    if (read->limit == 0) /* no row is wanted of any range */
        return true;
    uint64_t end = read->limit > UINT64_MAX - read->offset ? UINT64_MAX : read->offset + read->limit;
    if (last != INT64_MAX && last + 1 < end)
        end = last + 1;
    if (first > read->offset)
        read->offset = first;
    if (end <= read->offset)
        return false;
    read->limit = end == UINT64_MAX ? UINT64_MAX : end - read->offset;
    return true;
}

static uint64_t page_of(const struct request *request)
{
    return request->allowance != NULL ? request->allowance->page : 0;
}

static enum stage_verdict bound_page(struct request *request, struct read *read)
{
    const struct dialect_query *tree = read->tree;
    uint64_t page = page_of(request);
    if (tree->negative_limit)
        return problem_send(request, PROBLEM_RANGE, "`limit` is negative; give 0 or more");
    read->limit = tree->has_limit ? tree->limit : UINT64_MAX;
    read->offset = tree->cursor.data != NULL ? 0 : tree->offset;
    if (!intersect_range(request, read))
        return problem_send(request, PROBLEM_RANGE,
                            "the header Range and the parameters limit and offset have no row in common; the lower end "
                            "of a range comes first");
    read->capped = page != 0 && read->limit > page;
    if (read->capped)
        read->limit = page;
    if (read->form.singular && (read->limit > 1 || read->capped)) {
        read->limit = 1;
        read->only_one = true;
    }
    read->walks = tree->cursor.data != NULL || read->capped || read->form.singular;
    return STAGE_NEXT;
}

/* The query. */

void read_append_query(const struct read *read, const char *const *without, struct buffer *out)
{
    struct text rest = read->canonical;
    while (rest.data != NULL && rest.size != 0) {
        struct text part = text_split(&rest, '&'), name = part;
        name = text_split(&name, '=');
        bool dropped = part.size == 0;
        for (const char *const *one = without; *one != NULL; one++)
            dropped = dropped || text_equal(name, text_from_string(*one));
        if (dropped)
            continue;
        buffer_append_text(out, part);
        buffer_append_char(out, '&');
    }
}

struct text read_purpose(struct request *request, struct read *read)
{
    static const char *const page[] = {"limit", "offset", "format", "cursor", NULL};
    struct buffer purpose;
    if (read->purpose.data != NULL)
        return read->purpose;
    buffer_init(&purpose, PURPOSE_CEILING);
    buffer_printf(&purpose, "readDataset|%zu:%.*s|%zu:%.*s|%.*s|", request->dataset->sql_name.size,
                  TEXT_ARGS(request->dataset->sql_name), request->principal->customer.size,
                  TEXT_ARGS(request->principal->customer), TEXT_ARGS(read->prefer.timezone));
    read_append_query(read, page, &purpose);
    read->purpose = purpose.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&purpose));
    buffer_free(&purpose);
    return read->purpose;
}

static enum stage_verdict choose_form(struct request *request, struct read *read)
{
    struct text format = read->tree->format;
    if (format.data != NULL) {
        if (!accept_rows_named(format, &read->form))
            return problem_send_mistake(
                request, PROBLEM_INVALID_PARAMETER,
                &(struct problem_mistake){
                    .place = "query", .field = "format", .message = "must be json, csv or ndjson", .column = 1});
    } else if (accept_rows(request->headers.accept, &read->form) != STATUS_OK) {
        return problem_send(request, PROBLEM_NOT_ACCEPTABLE, "Accept names none of %s; send one of them", read_formats);
    }
    request->format = read->form.format;
    return STAGE_NEXT;
}

static enum stage_verdict parse_query(struct request *request, struct read *read)
{
    struct dialect_mistake mistake = {0};
    enum status status = dialect_parse(read->query, &request->arena, &read->tree, &mistake);
    if (status == STATUS_OK)
        status = dialect_canonical(read->query, &request->arena, &read->canonical);
    if (status == STATUS_INVALID) {
        struct problem_mistake told = {.place = "query",
                                       .field = read_error_field(request, mistake.parameter),
                                       .message = mistake.message,
                                       .column = mistake.column};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &told);
    }
    if (status != STATUS_OK || (read->tree->cursor.size != 0 && read_purpose(request, read).data == NULL))
        return problem_send(request, PROBLEM_URI_TOO_LONG,
                            "the query needs more memory than a request may use; use "
                            "fewer or shorter parameters");
    if (choose_form(request, read) != STAGE_NEXT)
        return STAGE_DONE;
    if (read->tree->cursor.size != 0 && cursor_parse(read->tree->cursor, request->worker->server->cursor_key,
                                                     read->purpose, &request->arena, &read->after) != STATUS_OK)
        return problem_send(request, PROBLEM_INVALID_CURSOR,
                            "the cursor was not made for this dataset, these filters and this order, or was changed; "
                            "take it from the Link header of the page before, or begin with an empty `cursor=`");
    return bound_page(request, read);
}

struct text read_preference_applied(struct request *request, const struct read *read)
{
    struct prefer prefer = read->prefer;
    struct buffer applied;
    if (read->without_timezone)
        prefer.timezone = TEXT_NONE;
    buffer_init(&applied, 4096);
    prefer_append_applied(&applied, &prefer);
    struct text kept = applied.size == 0 ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&applied));
    buffer_free(&applied);
    return kept;
}

/* The plan. */

/* Where a relation asks who reads, and in whose time zone: settings of this one statement. */
static bool add_settings(struct request *request, const struct read *read)
{
    struct plan *plan = &request->plan;
    struct postgres_setting *settings = arena_calloc(&request->arena, NAMED_SETTINGS + 1, sizeof(*settings));
    if (settings == NULL)
        return false;
    plan->settings = settings;
    plan->setting_count = 0;
    if (read->prefer.timezone.data != NULL && !read->without_timezone) {
        settings[plan->setting_count++] = (struct postgres_setting){"TimeZone", read->prefer.timezone};
        plan->statement.binary = false; /* which knows no zone but UTC */
    }
    /* In a customer's lane always: with settings goes the look at who it is that asks. */
    if (!request->dataset->asks_caller && plan->lane != PLAN_CUSTOMER)
        return true;
    struct postgres_setting *caller = settings + plan->setting_count;
    plan->setting_count += NAMED_SETTINGS;
    return named_settings(request, caller);
}

/* A page goes on where it ends if that costs no sort that nobody asked for. */
static bool wants_cursor(const struct request *request, const struct read *read)
{
    if (read->walks && !read->form.singular)
        return true;
    return read->limit != UINT64_MAX && !read->form.singular &&
           (read->tree->order_count != 0 || request->dataset->key_count != 0);
}

static enum stage_verdict make_plan(struct request *request, struct read *read)
{
    struct plan *plan = &request->plan;
    struct select_mistake mistake = {0};
    struct select_request ask = {.dataset = request->dataset,
                                 .query = read->tree,
                                 .limit = read->limit,
                                 .offset = read->offset,
                                 .after = read->tree->cursor.size != 0 ? &read->after : NULL,
                                 .wants_cursor = wants_cursor(request, read)};
    enum status status = select_plan(&ask, &request->arena, &read->select, &mistake);
    if (status == STATUS_TOO_LARGE)
        return problem_send(request, PROBLEM_URI_TOO_LONG,
                            "the query needs more memory than a request may use; use fewer or shorter parameters");
    if (status != STATUS_OK)
        return read_error_mistake(request, status, &mistake);
    *plan = (struct plan){.target = rules_target(request->dataset),
                          .lane = rules_lane(request->dataset, &read->select),
                          .cache = rules_cache(request->dataset),
                          .relation = request->dataset->name,
                          .statement = read->select.statement,
                          .parameters = (struct text *)(uintptr_t)read->select.parameters,
                          .version = request->dataset->version,
                          .rows_at_most = read->select.by_key            ? 1
                                          : read->limit < UINT64_MAX - 1 ? read->limit + 1
                                                                         : 0};
    /* A count must agree with its rows, the audit log is asked for what has just been done, and what failed before is
     * not asked for at the same place again. */
    if (read->prefer.count == PREFER_COUNT_NONE && !read->named.of_audit && read->plans == 0)
        replicas_take(request, request->dataset->version, request->dataset->version_seen_ms);
    if (!add_settings(request, read))
        return problem_send_status(request, STATUS_TOO_LARGE);
    request->has_plan = true;
    return STAGE_NEXT;
}

/* The estimate. */

void read_estimate(const struct postgres_rows *rows, struct plan_estimate *estimate)
{
    if (postgres_rows_count(rows) != 0 && verdicts_read(rows, estimate) != STATUS_OK)
        estimate->known = false;
}

static void on_estimate_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    read_estimate(rows, &request->plan.estimate);
}

void read_on_asked(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct read *read = request->handler_state;
    execute_asked(request);
    read->status = error != NULL ? error->status : STATUS_OK;
    if (error != NULL)
        read->error = *error;
    request_resume(request);
}

enum stage_verdict read_judge(struct request *request, const struct plan_estimate *estimate)
{
    struct read *read = request->handler_state;
    read->excess = rules_judge(estimate, &read->budget);
    if (read->excess == RULES_WITHIN || read->dry)
        return STAGE_NEXT;
    double is = read->excess == RULES_COST   ? estimate->cost
                : read->excess == RULES_ROWS ? estimate->rows
                                             : estimate->bytes;
    double may = read->excess == RULES_COST   ? read->budget.cost
                 : read->excess == RULES_ROWS ? (double)read->budget.rows
                                              : (double)read->budget.bytes;
    struct text narrow = rules_narrow(request->dataset, &read->select, &request->arena);
    return problem_send(request, PROBLEM_OVER_BUDGET,
                        "the plan is estimated at %.0f %s, and this tier allows %.0f; %.*s. POST /v1/query/plan shows "
                        "the whole plan",
                        is, read->excess == RULES_COST ? "units of cost" : rules_excess_name(read->excess), may,
                        TEXT_ARGS(narrow));
}

static enum stage_verdict judge(struct request *request, struct read *read)
{
    read->step = READ_PLANNED;
    return read_judge(request, &request->plan.estimate);
}

uint64_t read_verdict_id(const struct read *read, const struct postgres_statement *statement)
{
    const struct rules_budget *budget = &read->budget;
    uint64_t id[2] = {statement->id, 0};
    if (budget->cost <= 0 && budget->rows == 0 && budget->bytes == 0)
        return statement->id;
    for (size_t i = 0; i < statement->parameter_count; i++) {
        id[1] = hash_stable(read->select.parameters[i]);
        id[0] = hash_stable(text_of((const char *)id, sizeof(id)));
    }
    return id[0];
}

static enum stage_verdict ask_estimate(struct request *request, struct read *read)
{
    static const struct postgres_handlers handlers = {on_estimate_rows, read_on_asked};
    struct plan *plan = &request->plan;
    if (!rules_needs_estimate(plan))
        return judge(request, read);
    plan->verdict = read_verdict_id(read, &plan->statement);
    if (verdicts_find(request->worker->verdicts, request->dataset, plan->verdict, &plan->estimate))
        return judge(request, read);
    struct postgres_statement *explain = arena_alloc(&request->arena, sizeof(*explain));
    if (explain == NULL || verdicts_explain(&plan->statement, &request->arena, explain) != STATUS_OK)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct postgres_call call = {.statement = explain,
                                 .parameters = plan->parameters,
                                 .settings = plan->settings,
                                 .setting_count = plan->setting_count,
                                 .whole = true};
    read->step = READ_ESTIMATE;
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    if (status != STATUS_OK && plan->lane == PLAN_REPLICA) {
        execute_go_home(request);
        status = execute_ask(request, execute_lane(request), &call, &handlers);
    }
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict plan_read(struct request *request, struct read *read)
{
    if (read->answered != NULL && read->answered(request))
        return STAGE_DONE;
    if (parse_query(request, read) != STAGE_NEXT || make_plan(request, read) != STAGE_NEXT)
        return STAGE_DONE;
    if (read->limit == 0) { /* nothing is asked of the database */
        read->step = READ_PLANNED;
        return STAGE_NEXT;
    }
    return ask_estimate(request, read);
}

static enum stage_verdict find_dataset(struct request *request, struct read *read)
{
    read->step = READ_DATASET;
    enum stage_verdict found = named_find(request, &read->named);
    return found == STAGE_NEXT ? plan_read(request, read) : found;
}

enum stage_verdict read_resume(struct request *request)
{
    struct read *read = request->handler_state;
    if (read->step == READ_DATASET)
        return find_dataset(request, read);
    if (read->status != STATUS_OK && request->plan.lane == PLAN_REPLICA && rules_goes_home(&read->error)) {
        execute_go_home(request);
        return ask_estimate(request, read);
    }
    if (read->status != STATUS_OK) {
        read_refuse(request, &read->error);
        return STAGE_DONE;
    }
    verdicts_keep(request->worker->verdicts, request->dataset, request->plan.verdict, &request->plan.estimate);
    return judge(request, read);
}

/* What was planned from is no more: once more, from what is there now. */
static void plan_again(struct request *request)
{
    respond_fail(request, TEXT_NONE); /* drops what was gathered */
    datasets_forget(request->held->datasets, request->dataset);
    dataset_unref(request->dataset);
    request->dataset = NULL;
    request->rows = 0;
    request_plan_again(request);
}

void read_refuse(struct request *request, const struct postgres_error *error)
{
    struct read *read = request->handler_state;
    bool begun = request->respond.started;
    if (!begun && read->plans < PLANS && read_error_is_outdated(error)) {
        read->plans++;
        plan_again(request);
        return;
    }
    /* A time zone that the server does not know: RFC 7240 says that a preference may be ignored. */
    bool zone = read->prefer.timezone.data != NULL && !read->without_timezone && !read->prefer.strict;
    if (!begun && zone && strcmp(error->sqlstate, "22023") == 0) {
        read->without_timezone = true;
        plan_again(request);
        return;
    }
    if (!begun && read->prefer.timezone.data != NULL && !read->select.caller_values &&
        strcmp(error->sqlstate, "22023") == 0) {
        problem_send(request, PROBLEM_BAD_REQUEST,
                     "Prefer: the database knows no time zone `%.*s`; name another, or ask for handling=lenient",
                     TEXT_ARGS(read->prefer.timezone));
        return;
    }
    read_error_send(request, &read->select, error);
}

const char *const read_formats = "application/json, text/csv, application/x-ndjson, application/vnd.pgrst.object+json, "
                                 "application/vnd.pgrst.array+json";
