#include "handlers/named.h"

#include "api/customers.h"
#include "api/execute.h"
#include "api/problem.h"
#include "handlers/relations.h"

#define JOB_PLACE 2 /* behind them, and in no list */
#define AUDIT_PLACE 3

bool named_may_see(void *context, const struct datasets_schema *schema)
{
    const struct request *request = context;
    return schema->scope == NULL || principal_has_scope(request->principal, text_from_string(schema->scope));
}

enum stage_verdict named_refuse(struct request *request)
{
    return problem_send(request, PROBLEM_NOT_FOUND,
                        "no dataset of this name is served to this caller; GET /v1/datasets lists those that are");
}

/* The names live in `request`. False: nobody's, for customers are not configured, or none can be called so. */
static bool own_names(struct request *request, struct customer_names **names)
{
    *names = request->worker->customers != NULL ? arena_alloc(&request->arena, sizeof(**names)) : NULL;
    return *names != NULL && request->principal->customer.data != NULL &&
           customer_names_of(request->principal->customer, *names);
}

/* `own`: 0 for uploads, 1 for analyses. */
static struct datasets_place own_place(const struct request *request, const struct customer_names *names, size_t own)
{
    return (struct datasets_place){.schema = text_from_string(own == 0 ? names->uploads : names->analytics),
                                   .role = text_from_string(names->role),
                                   .prefix = own == 0 ? TEXT("uploads") : TEXT("analytics"),
                                   .index = request->worker->server->datasets.schema_count + own};
}

const struct datasets_place *named_places(struct request *request, size_t *count)
{
    const struct datasets_options *options = &request->worker->server->datasets;
    struct datasets_place *places =
        arena_calloc(&request->arena, options->schema_count + NAMED_OWN_PLACES, sizeof(*places));
    struct customer_names *names;
    *count = 0;
    for (size_t i = 0; places != NULL && i < options->schema_count; i++)
        if (named_may_see(request, &options->schemas[i]))
            places[(*count)++] = datasets_place_of(options, i);
    for (size_t own = 0; places != NULL && own_names(request, &names) && own < NAMED_OWN_PLACES; own++)
        places[(*count)++] = own_place(request, names, own);
    return places;
}

bool named_may_serve(const struct dataset *dataset)
{
    if (dataset->role.data == NULL)
        return true;
    /* Names that begin with '~' are on their way in or out. */
    return dataset->relation.data[0] != '~' && dataset->served;
}

/* The schema that Accept-Profile names, for names that stand bare; SIZE_MAX: none. PostgREST's clients send "public"
 * always. */
static size_t read_profile(struct request *request, enum status *status)
{
    struct text profile = request->headers.accept_profile;
    *status = STATUS_OK;
    if (profile.data == NULL || text_equal(profile, TEXT("public")))
        return SIZE_MAX;
    const struct config *config = request->worker->server->config;
    for (size_t i = 0; i < config->warehouse.schema_count; i++)
        if (text_equal(profile, text_from_string(config->warehouse.schemas[i].name)) &&
            named_may_see(request, &config->warehouse.schemas[i]))
            return i;
    *status = STATUS_INVALID;
    return SIZE_MAX;
}

bool named_settings(struct request *request, struct postgres_setting settings[NAMED_SETTINGS])
{
    const struct principal *principal = request->principal;
    struct buffer scopes;
    buffer_init(&scopes, 65536);
    for (size_t i = 0; i < principal->scope_count; i++) {
        buffer_append(&scopes, " ", i != 0);
        buffer_append_text(&scopes, principal->scopes[i]);
    }
    struct text kept = scopes.size != 0 ? arena_copy(&request->arena, buffer_text(&scopes)) : TEXT("");
    bool failed = scopes.failed || kept.data == NULL;
    buffer_free(&scopes);
    struct text tier = request->tier != NULL ? text_from_string(request->tier->name) : TEXT("");
    settings[0] = (struct postgres_setting){"sluice.customer", principal->customer};
    settings[1] = (struct postgres_setting){"sluice.subject", principal->subject};
    settings[2] = (struct postgres_setting){"sluice.tier", tier};
    settings[3] = (struct postgres_setting){"sluice.scopes", kept};
    return !failed;
}

struct waiting { /* hung on the request: the wait's context */
    struct request *request;
    struct named *named;
};

static void on_dataset(void *context, enum status status, const struct dataset *dataset)
{
    struct waiting *waiting = context;
    struct request *request = waiting->request;
    bool waited = request->dataset_wait != NULL;
    request->dataset_wait = NULL;
    waiting->named->status = status;
    if (status == STATUS_OK) {
        dataset_ref(dataset);
        request->dataset = dataset;
    }
    if (waited)
        request_resume(request);
}

static enum stage_verdict refuse_job(struct request *request)
{
    return problem_send(request, PROBLEM_NOT_FOUND,
                        "this customer has no job of this id, or its result has expired; GET /v1/jobs lists those "
                        "that there are");
}

static enum stage_verdict take(struct request *request, const struct named *named)
{
    if (named->of_audit && named->status == STATUS_NOT_FOUND)
        return problem_send(request, PROBLEM_NOT_FOUND,
                            "the audit log is not kept in this database; whoever runs this gateway brings it up to "
                            "date with `sluice migrate`");
    if (named->job.data != NULL && named->status == STATUS_NOT_FOUND)
        return refuse_job(request);
    if (named->status == STATUS_NOT_FOUND || (named->status == STATUS_OK && !named_may_serve(request->dataset)))
        return named_refuse(request);
    return named->status == STATUS_OK ? STAGE_NEXT : problem_send_status(request, named->status);
}

/* "uploads.X" and "analytics.X" are the caller's own X, whatever the warehouse has. */
static bool find_own(struct request *request, struct text prefix, struct text relation, struct datasets_place *place)
{
    struct customer_names *names;
    bool uploads = text_equal(prefix, TEXT("uploads")), analytics = text_equal(prefix, TEXT("analytics"));
    if (!(uploads || analytics) || relation.size == 0 || relation.data[0] == '~' || !own_names(request, &names))
        return false;
    *place = own_place(request, names, analytics);
    return true;
}

/* "shared.OWNER.X": the analysis X of another customer, read as its owner, for a view is its owner's SQL. */
bool named_shared_place(struct request *request, struct text owner, struct datasets_place *place)
{
    struct customer_names *own, *names = arena_alloc(&request->arena, sizeof(*names));
    if (names == NULL || !own_names(request, &own) || !customer_names_of(owner, names) ||
        text_equal(owner, request->principal->customer))
        return false;
    *place = own_place(request, names, 1);
    char *prefix = arena_alloc(&request->arena, owner.size + 8);
    if (prefix == NULL)
        return false;
    memcpy(prefix, "shared.", 7);
    memcpy(prefix + 7, owner.data, owner.size);
    place->prefix = text_of(prefix, owner.size + 7);
    return true;
}

static bool find_shared(struct request *request, struct text rest, struct datasets_place *place, struct text *relation)
{
    struct text owner = text_split(&rest, '.');
    *relation = rest;
    return rest.size != 0 && rest.data[0] != '~' && named_shared_place(request, owner, place);
}

/* Results are tables of his own that no name leads to. */
static bool find_job(struct request *request, struct datasets_place *place)
{
    struct customer_names *names;
    if (!own_names(request, &names))
        return false;
    *place = own_place(request, names, JOB_PLACE);
    place->schema = text_from_string(names->jobs);
    place->prefix = TEXT("jobs");
    return true;
}

/* A view of ours that no name leads to; it shows whoever sluice.customer names his own records. */
static void find_audit(struct request *request, struct datasets_place *place, struct text *relation)
{
    *relation = TEXT("audit");
    *place = (struct datasets_place){.schema = TEXT("sluice"),
                                     .prefix = TEXT("audit"),
                                     .index = request->worker->server->datasets.schema_count + AUDIT_PLACE};
}

/* STAGE_NEXT with where the caller's name leads. */
static enum stage_verdict find_place(struct request *request, const struct named *named, struct datasets_place *place,
                                     struct text *relation)
{
    struct text name = named->name;
    const struct datasets_options *options = &request->worker->server->datasets;
    enum status status;
    if (named->of_audit) {
        find_audit(request, place, relation);
        return STAGE_NEXT;
    }
    if (named->job.data != NULL) {
        *relation = named->job;
        return find_job(request, place) ? STAGE_NEXT : relations_refuse_stranger(request);
    }
    struct text rest = name, prefix = text_split(&rest, '.');
    if (rest.data != NULL && datasets_is_reserved(prefix)) {
        if (text_equal(prefix, TEXT("shared")))
            return find_shared(request, rest, place, relation) ? STAGE_NEXT : named_refuse(request);
        *relation = rest;
        return find_own(request, prefix, rest, place) ? STAGE_NEXT : named_refuse(request);
    }
    if (request->headers.accept_profile.data != NULL &&
        find_own(request, request->headers.accept_profile, name, place)) {
        *relation = name;
        return STAGE_NEXT;
    }
    size_t profile = read_profile(request, &status);
    if (status != STATUS_OK)
        return problem_send(request, PROBLEM_NOT_ACCEPTABLE,
                            "Accept-Profile names no schema that is served to this caller; leave it out, or name one "
                            "of those that GET /v1/datasets shows");
    size_t schema = datasets_split(options, name, named_may_see, request, relation);
    if (schema == 0 && profile != SIZE_MAX)
        schema = profile;
    if (schema == SIZE_MAX)
        return named_refuse(request);
    *place = datasets_place_of(options, schema);
    return STAGE_NEXT;
}

static void on_share_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct named *named = request->executor;
    named->found = postgres_rows_count(rows) != 0;
    if (!named->found || named->share != NAMED_ASKED_JOB)
        return;
    struct text error = postgres_rows_value(rows, 0, 1);
    named->state = arena_copy(&request->arena, postgres_rows_value(rows, 0, 0));
    named->error = error.data != NULL ? arena_copy(&request->arena, error) : TEXT_NONE;
}

static void on_share_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct named *named = request->executor;
    execute_asked(request);
    named->status = error == NULL ? STATUS_OK : error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
    request_resume(request);
}

static enum status ask(struct request *request, struct named *named, struct postgres *lane, const char *sql,
                       const struct text *values, size_t value_count, const struct postgres_setting *settings)
{
    static const struct postgres_handlers handlers = {on_share_rows, on_share_done};
    struct postgres_statement *statement = arena_alloc(&request->arena, sizeof(*statement));
    if (statement == NULL)
        return STATUS_TOO_LARGE;
    postgres_statement_init(statement, sql, value_count, NULL);
    const struct postgres_call call = {.statement = statement,
                                       .parameters = values,
                                       .settings = settings,
                                       .setting_count = settings != NULL ? NAMED_SETTINGS : 0,
                                       .whole = true};
    request->executor = named;
    return execute_ask(request, lane, &call, &handlers);
}

/* Row level security leaves the caller's own jobs. */
static enum stage_verdict ask_job(struct request *request, struct named *named)
{
    static const char sql[] = "select state, error from sluice.job where job_id = $1::uuid and customer_id ="
                              " sluice.me() and expires_at > clock_timestamp()";
    struct postgres_setting settings[NAMED_SETTINGS];
    struct customer_names *names;
    if (!own_names(request, &names))
        return relations_refuse_stranger(request);
    if (!named_settings(request, settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    named->share = NAMED_ASKED_JOB;
    enum status status = ask(request, named, customers_lane(request->worker->customers, request->principal->customer),
                             sql, &named->job, 1, settings);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* STAGE_NEXT: there is a result. */
static enum stage_verdict take_job(struct request *request, struct named *named, bool is_there)
{
    named->share = NAMED_SHARED;
    if (!is_there)
        return refuse_job(request);
    if (text_equal(named->state, TEXT("failed")))
        return problem_send(request, PROBLEM_CONFLICT, "the job has failed, and has no rows: %.*s",
                            TEXT_ARGS(named->error));
    if (!text_equal(named->state, TEXT("done")))
        return problem_send(request, PROBLEM_CONFLICT,
                            "the job is %.*s, and has no rows before it is done; GET /v1/jobs/%.*s?wait=60 waits for "
                            "that",
                            TEXT_ARGS(named->state), TEXT_ARGS(named->job));
    return STAGE_NEXT;
}

/* A login that fails does not tell why: who is no registered customer has no shares. */
static enum stage_verdict ask_reader(struct request *request, struct named *named)
{
    static const char sql[] = "select 1 from pg_catalog.pg_roles where rolname = $1 and rolcanlogin";
    struct customer_names *names;
    if (!own_names(request, &names))
        return named_refuse(request);
    const struct text role = text_from_string(names->role);
    named->share = NAMED_ASKED_READER;
    enum status status = ask(request, named, request->worker->describe, sql, &role, 1, NULL);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* On the reader's own login, which sees the shares that are for him: nothing of the owner's is touched before. */
static enum stage_verdict ask_share(struct request *request, struct named *named, const struct datasets_place *place,
                                    struct text relation)
{
    static const char sql[] = "select 1 from sluice.share where customer_id = $1 and name = 'analytics.' || $2 and"
                              " reader_id = sluice.me()";
    struct text reader = request->principal->customer;
    struct postgres_setting settings[NAMED_SETTINGS];
    const struct text values[] = {text_of(place->prefix.data + 7, place->prefix.size - 7), relation};
    if (!named_settings(request, settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    named->share = NAMED_ASKED_SHARE;
    enum status status =
        ask(request, named, customers_lane(request->worker->customers, reader), sql, values, 2, settings);
    if (status == STATUS_UNAVAILABLE) /* a login that has just failed is not tried again at once */
        return ask_reader(request, named);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* STAGE_NEXT: it is shared with this caller. */
static enum stage_verdict take_share(struct request *request, struct named *named)
{
    bool is_there = named->found;
    named->found = false;
    if (named->status == STATUS_UNAVAILABLE && named->share != NAMED_ASKED_READER)
        return ask_reader(request, named);
    if (named->status != STATUS_OK)
        return problem_send_status(request, named->status);
    if (named->share == NAMED_ASKED_READER && !is_there && named->job.data != NULL)
        return relations_refuse_stranger(request);
    if (named->share == NAMED_ASKED_READER)
        return is_there ? problem_send_status(request, STATUS_UNAVAILABLE) : named_refuse(request);
    if (named->share == NAMED_ASKED_JOB)
        return take_job(request, named, is_there);
    named->share = NAMED_SHARED;
    return is_there ? STAGE_NEXT : named_refuse(request);
}

enum stage_verdict named_find(struct request *request, struct named *named)
{
    struct datasets_place place = {.schema = TEXT_NONE};
    struct text relation = TEXT_NONE;
    bool asked_share = named->share != NAMED_OWN && named->share != NAMED_SHARED;
    if (request->resumed && !asked_share)
        return take(request, named);
    enum stage_verdict shared = asked_share ? take_share(request, named) : STAGE_NEXT;
    if (shared != STAGE_NEXT)
        return shared;
    if (named->job.data != NULL && named->share == NAMED_OWN)
        return ask_job(request, named);
    if (find_place(request, named, &place, &relation) != STAGE_NEXT)
        return STAGE_DONE;
    if (named->share == NAMED_OWN && text_starts_with(place.prefix, TEXT("shared.")))
        return ask_share(request, named, &place, relation);
    struct waiting *waiting = arena_alloc(&request->arena, sizeof(*waiting));
    if (waiting == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    *waiting = (struct waiting){request, named};
    request->dataset_wait = datasets_get(request->held->datasets, &place, relation, on_dataset, waiting);
    return request->dataset_wait != NULL ? STAGE_WAIT : take(request, named);
}
