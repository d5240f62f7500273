/* GET /v1/openapi.json: the contract; with a token that may read datasets, the caller's own are in it. */
#include "api/execute.h"
#include "api/problem.h"
#include "base/json.h"
#include "handlers/answer.h"
#include "handlers/handlers.h"
#include "handlers/named.h"
#include "handlers/read_error.h"
#include "handlers/shared.h"
#include "query/document.h"

/* Past this no more datasets are described: GET /v1/datasets lists all. */
#define PATHS_ENOUGH ((size_t)4 << 20)
#define DOCUMENT_CEILING ((size_t)16 << 20) /* bytes of the whole document */

enum part { PART_LIST, PART_SHARED, PART_PATHS, PART_SCHEMAS, PART_REST };

struct listed {
    const struct datasets_place *place;
    struct text relation, name;
};

/* The document in the making: the contract's text with the datasets' paths and rows put in, one dataset at a time. */
struct contract {
    struct text head, middle, tail; /* of the contract: the paths go in behind head, the rows' schemas behind middle */
    const struct datasets_place *places;
    size_t place_count;
    struct text values[DATASETS_LIST_PARAMETERS]; /* of the list's statement */
    struct listed *datasets;
    size_t count, at;
    struct shared shared;
    enum part part;
    enum status status;
    unsigned asked;
    bool again; /* the list is to be asked for once more */
};

static enum stage_verdict send_contract(struct request *request)
{
    struct text document = openapi_json(request->worker->server->contract);
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .etag = execute_etag(&request->arena, document, 1),
                                .cache_control = "public, max-age=300",
                                .vary = true};
    if (respond_not_modified(request, head.etag))
        return respond_send_not_modified(request, &head);
    return respond_send(request, &head, document, NULL);
}

/* Where the object that stands under `key` begins, behind its brace: keys of the document's first and second level.
 * SIZE_MAX: nowhere. */
static size_t find_object(struct text document, struct text key, int level)
{
    int depth = 0;
    for (size_t i = 0; i < document.size; i++) {
        char byte = document.data[i];
        if (byte == '{' || byte == '[')
            depth++;
        else if (byte == '}' || byte == ']')
            depth--;
        if (byte != '"')
            continue;
        size_t start = ++i;
        while (i < document.size && document.data[i] != '"')
            i += document.data[i] == '\\' ? 2 : 1;
        if (depth != level || !text_equal(text_of(document.data + start, i - start), key))
            continue;
        size_t brace = i + 1;
        while (brace < document.size && document.data[brace] != '{' && document.data[brace] != ',')
            brace++;
        if (brace < document.size && document.data[brace] == '{')
            return brace + 1;
    }
    return SIZE_MAX;
}

static bool split_contract(struct request *request, struct contract *contract)
{
    struct text document = openapi_json(request->worker->server->contract);
    size_t paths = find_object(document, TEXT("paths"), 1), schemas = find_object(document, TEXT("schemas"), 2);
    if (paths == SIZE_MAX || schemas == SIZE_MAX || schemas < paths)
        return false;
    contract->head = text_of(document.data, paths);
    contract->middle = text_of(document.data + paths, schemas - paths);
    contract->tail = text_of(document.data + schemas, document.size - schemas);
    return true;
}

/* The list. */

/* What has no room is left out, as what is past the limit: GET /v1/datasets has it. */
static void keep_listed(struct request *request, const struct datasets_place *place, struct text relation)
{
    struct contract *contract = request->handler_state;
    struct buffer name;
    if (contract->count == request->settings->config->warehouse.document_limit)
        return;
    struct listed *listed = &contract->datasets[contract->count];
    buffer_init(&name, 4096);
    datasets_append_name(&request->worker->server->datasets, place, relation, &name);
    listed->place = place;
    listed->name = name.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&name));
    buffer_free(&name);
    if (listed->name.data == NULL)
        return;
    listed->relation = text_of(listed->name.data + listed->name.size - relation.size, relation.size);
    contract->count++;
}

static void on_list(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct contract *contract = request->handler_state;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct datasets_listing listing;
        datasets_list_read(contract->places, contract->place_count, rows, i, &listing);
        keep_listed(request, listing.place, listing.relation);
    }
}

static void on_share(struct request *request, const struct datasets_listing *listing, struct text owner)
{
    struct datasets_place *place = arena_alloc(&request->arena, sizeof(*place));
    if (place != NULL && named_shared_place(request, owner, place))
        keep_listed(request, place, listing->relation);
}

static void on_list_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct contract *contract = request->handler_state;
    execute_asked(request);
    contract->again = read_error_asks_again(request, error, &contract->asked, &contract->status);
    request_resume(request);
}

static enum stage_verdict ask_list(struct request *request, struct contract *contract)
{
    static const struct postgres_handlers handlers = {on_list, on_list_done};
    contract->places = named_places(request, &contract->place_count);
    contract->datasets = arena_calloc(&request->arena, request->settings->config->warehouse.document_limit + 1,
                                      sizeof(*contract->datasets));
    enum status status = contract->places == NULL || contract->datasets == NULL
                             ? STATUS_TOO_LARGE
                             : datasets_list_parameters(contract->places, contract->place_count, 0, TEXT_NONE,
                                                        request->settings->config->warehouse.document_limit,
                                                        &request->arena, contract->values);
    struct postgres_call call = {.statement = datasets_list_statement(), .parameters = contract->values, .whole = true};
    if (status == STATUS_OK)
        status = execute_ask(request, request->worker->scan, &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* The datasets. */

static void append_path(struct buffer *out, const struct dataset *dataset)
{
    struct json json = json_writer(out);
    buffer_append_char(out, '"');
    document_append_path(out, dataset->name);
    buffer_append_literal(out, "\":");
    document_append_path_item(&json, dataset);
    buffer_append_char(out, ',');
}

/* Of a dataset that has gone since its path was written only the name is left: the reference to it must not dangle. */
static void append_schema(struct buffer *out, const struct listed *listed, const struct dataset *dataset)
{
    struct json json = json_writer(out);
    buffer_append_literal(out, "\"row_");
    document_append_identifier(out, listed->name);
    buffer_append_literal(out, "\":");
    if (dataset != NULL)
        document_append_row(&json, dataset);
    else
        buffer_append_literal(out, "{\"type\":\"object\"}");
    buffer_append_char(out, ',');
}

static void on_dataset(void *context, enum status status, const struct dataset *dataset)
{
    struct request *request = context;
    struct contract *contract = request->handler_state;
    struct buffer *out = respond_buffer(&request->respond);
    bool waited = request->dataset_wait != NULL;
    request->dataset_wait = NULL;
    if (dataset != NULL && !named_may_serve(dataset))
        dataset = NULL;
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        contract->status = status;
    else if (contract->part == PART_SCHEMAS)
        append_schema(out, &contract->datasets[contract->at], dataset);
    else if (dataset != NULL)
        append_path(out, dataset);
    contract->at++;
    if (waited)
        request_resume(request);
}

/* Both parts, one dataset after the other. STAGE_NEXT: all of it is written. */
static enum stage_verdict write_parts(struct request *request, struct contract *contract)
{
    struct buffer *out = respond_buffer(&request->respond);
    while (contract->part != PART_REST) {
        if (contract->status != STATUS_OK)
            return problem_send_status(request, contract->status);
        if (contract->part == PART_PATHS && out->size > PATHS_ENOUGH)
            contract->count = contract->at;
        if (contract->at == contract->count) {
            buffer_append_text(out, contract->part == PART_PATHS ? contract->middle : contract->tail);
            contract->part++;
            contract->at = 0;
            continue;
        }
        const struct listed *listed = &contract->datasets[contract->at];
        request->dataset_wait =
            datasets_get(request->held->datasets, listed->place, listed->relation, on_dataset, request);
        if (request->dataset_wait != NULL)
            return STAGE_WAIT;
    }
    return STAGE_NEXT;
}

static enum stage_verdict begin(struct request *request)
{
    static const struct respond_head head = {.status = 200,
                                             .reason = "OK",
                                             .content_type = {"application/json", 16},
                                             .cache_control = "private, no-cache",
                                             .vary = true,
                                             .whole = true};
    struct contract *contract = arena_calloc(&request->arena, 1, sizeof(*contract));
    if (contract == NULL || !split_contract(request, contract))
        return problem_send_status(request, STATUS_FAILED);
    request->handler_state = contract;
    respond_begin(request, &head, NULL);
    respond_buffer(&request->respond)->ceiling = DOCUMENT_CEILING;
    buffer_append_text(respond_buffer(&request->respond), contract->head);
    return ask_list(request, contract);
}

/* Behind the caller's own what is shared with him. STAGE_NEXT: the list stands. */
static enum stage_verdict finish_list(struct request *request, struct contract *contract)
{
    enum stage_verdict verdict = STAGE_NEXT;
    if (contract->part == PART_LIST && contract->again)
        return ask_list(request, contract);
    if (contract->part == PART_LIST && contract->status != STATUS_OK)
        return problem_send_status(request, contract->status);
    if (contract->part == PART_LIST) {
        contract->part = PART_SHARED;
        contract->shared.limit = request->settings->config->warehouse.document_limit - contract->count;
        contract->shared.on_share = on_share;
        verdict = shared_begin(request, &contract->shared);
    } else if (contract->part == PART_SHARED) {
        verdict = shared_resume(request);
    }
    if (verdict == STAGE_NEXT && contract->part == PART_SHARED)
        contract->part = PART_PATHS;
    return verdict;
}

static enum stage_verdict execute(struct request *request)
{
    if (!request->resumed) {
        bool reads = request->principal != NULL && principal_has_scope(request->principal, TEXT("datasets:read"));
        return reads ? begin(request) : send_contract(request);
    }
    enum stage_verdict listed = finish_list(request, request->handler_state);
    if (listed != STAGE_NEXT)
        return listed;
    enum stage_verdict written = write_parts(request, request->handler_state);
    return written == STAGE_NEXT ? answer_finish(request, 0) : written;
}

const struct handler handlers_get_openapi = {.operation = "getOpenapi", .execute = execute};
