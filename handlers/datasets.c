/* GET /v1/datasets: what this caller may read. */
#include "query/datasets.h"

#include <stdlib.h>

#include "api/execute.h"
#include "api/problem.h"
#include "base/csv.h"
#include "base/json.h"
#include "handlers/answer.h"
#include "handlers/handlers.h"
#include "handlers/named.h"
#include "handlers/read_error.h"
#include "handlers/shared.h"
#include "query/cursor.h"
#include "query/document.h"

enum { CURSOR, LIMIT };
static const char *const parameters[] = {"cursor", "limit", NULL};

struct list {
    uint64_t limit;
    struct text purpose; /* what its cursors are bound to */
    const struct datasets_place *places;
    size_t place_count;
    struct text values[DATASETS_LIST_PARAMETERS];
    struct text rest; /* the address of the next page */
    bool more;        /* there is one */
    enum list_part { LIST_OWN, LIST_SHARED } part;
    struct shared shared; /* behind what the database's catalog tells */
    enum status status;
    unsigned asked;
    bool again; /* it is to be asked once more */
};

static enum stage_verdict refuse_cursor(struct request *request)
{
    return problem_send(request, PROBLEM_INVALID_CURSOR,
                        "the cursor was not made for this list; take it from the Link header of the page before");
}

static enum stage_verdict plan(struct request *request)
{
    const struct server *server = request->worker->server;
    struct list *list = arena_calloc(&request->arena, 1, sizeof(*list));
    if (list == NULL || (list->places = named_places(request, &list->place_count)) == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    const struct openapi_value *at = request_value(request, CURSOR);
    struct cursor after = {.count = 0};
    int64_t after_index = 0;
    list->purpose = TEXT("listDatasets");
    list->limit = (uint64_t)request_value(request, LIMIT)->integer;
    if (at->present &&
        (cursor_parse(at->text, server->cursor_key, list->purpose, &request->arena, &after) != STATUS_OK ||
         after.count != 2 || !text_to_int64(after.values[0], &after_index)))
        return refuse_cursor(request);
    if (at->present && (size_t)after_index == shared_index(request)) {
        list->part = LIST_SHARED;
        list->shared.after = after.values[1];
    }
    enum status status = datasets_list_parameters(list->places, list->place_count, (size_t)after_index,
                                                  at->present ? after.values[1] : TEXT_NONE, list->limit + 1,
                                                  &request->arena, list->values);
    if (status != STATUS_OK)
        return problem_send_status(request, status);
    request->plan = (struct plan){.target = PLAN_WAREHOUSE, .lane = PLAN_SCAN, .relation = TEXT("pg_catalog")};
    request->has_plan = true;
    request->handler_state = list;
    return STAGE_NEXT;
}

/* `owner`: who shares it; TEXT_NONE: nobody. */
static void append_entry(struct buffer *out, enum rows_format format, const struct datasets_listing *listing,
                         struct text name, struct text owner)
{
    if (format == ROWS_CSV) {
        csv_append_field(out, name);
        buffer_printf(out, ",%s,", dataset_kind_name(listing->kind));
        if (listing->description.data != NULL)
            csv_append_field(out, listing->description);
        buffer_append_char(out, ',');
        if (listing->row_estimate >= 0)
            json_append_double(out, listing->row_estimate);
        buffer_append_char(out, '\n');
        return;
    }
    struct json json = json_writer(out);
    json_open_object(&json);
    json_field_text(&json, "name", name);
    json_field_string(&json, "kind", dataset_kind_name(listing->kind));
    json_field_text(&json, "description", listing->description);
    if (listing->row_estimate >= 0) {
        json_field_double(&json, "row_estimate", listing->row_estimate);
    } else {
        json_key(&json, TEXT("row_estimate"));
        json_nothing(&json);
    }
    if (owner.data != NULL)
        json_field_text(&json, "shared_by", owner);
    json_key(&json, TEXT("links"));
    document_append_links(&json, name);
    json_close_object(&json);
}

static struct text name_of(struct request *request, const struct datasets_listing *listing, struct buffer *memory)
{
    const struct datasets_options *options = &request->worker->server->datasets;
    buffer_clear(memory);
    datasets_append_name(options, listing->place, listing->relation, memory);
    return buffer_text(memory);
}

/* The address of the page behind `listing`, where there may be one. */
static void make_rest(struct request *request, const struct datasets_listing *listing, struct text owner)
{
    struct list *list = request->handler_state;
    struct buffer rest, shared;
    char schema[24];
    struct cursor cursor = {.count = 2};
    buffer_init(&rest, 65536);
    buffer_init(&shared, 4096);
    buffer_printf(&shared, "%.*s.%.*s", TEXT_ARGS(owner), TEXT_ARGS(listing->relation));
    buffer_printf(&rest, "%zu", listing->place->index);
    memcpy(schema, rest.data, rest.size);
    cursor.values[0] = text_of(schema, rest.size);
    cursor.values[1] = owner.data != NULL ? buffer_text(&shared) : listing->relation;
    buffer_clear(&rest);
    buffer_append_text(&rest, request->path);
    buffer_printf(&rest, "?limit=%llu", (unsigned long long)list->limit);
    if (request->format != ROWS_JSON)
        buffer_printf(&rest, "&format=%s", request->format == ROWS_CSV ? "csv" : "ndjson");
    buffer_append_literal(&rest, "&cursor=");
    cursor_append(&rest, request->worker->server->cursor_key, list->purpose, &cursor);
    list->rest = rest.failed || shared.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&rest));
    buffer_free(&shared);
    buffer_free(&rest);
}

static void append_one(struct request *request, const struct datasets_listing *listing, struct text owner)
{
    struct list *list = request->handler_state;
    struct buffer name, *body = respond_buffer(&request->respond);
    if (request->rows == list->limit) {
        list->more = true;
        return;
    }
    buffer_init(&name, 4096);
    if (request->format == ROWS_JSON && request->rows != 0)
        buffer_append_literal(body, ",\n");
    append_entry(body, request->format, listing, name_of(request, listing, &name), owner);
    if (request->format == ROWS_NDJSON)
        buffer_append_char(body, '\n');
    if (++request->rows == list->limit)
        make_rest(request, listing, owner);
    buffer_free(&name);
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct list *list = request->handler_state;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct datasets_listing listing;
        datasets_list_read(list->places, list->place_count, rows, i, &listing);
        append_one(request, &listing, TEXT_NONE);
    }
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct list *list = request->handler_state;
    execute_asked(request);
    list->again = read_error_asks_again(request, error, &list->asked, &list->status);
    request_resume(request);
}

static struct text make_link(struct request *request, struct text rest)
{
    struct buffer link;
    buffer_init(&link, 65536);
    if (rest.data != NULL)
        buffer_printf(&link, "<%.*s>; rel=\"next\"", TEXT_ARGS(rest));
    struct text kept = link.size == 0 ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&link));
    buffer_free(&link);
    return kept;
}

static enum stage_verdict answer(struct request *request)
{
    struct list *list = request->handler_state;
    struct buffer *body = respond_buffer(&request->respond);
    if (!list->more)
        list->rest = TEXT_NONE;
    if (request->format == ROWS_JSON) {
        buffer_append_literal(body, "],\"next\":");
        if (list->rest.data != NULL)
            json_append_string(body, list->rest);
        else
            buffer_append_literal(body, "null");
        buffer_append_literal(body, "}\n");
    }
    request->respond.head.link = make_link(request, list->rest);
    return answer_finish(request, request->rows);
}

static enum stage_verdict begin_shared(struct request *request, struct list *list)
{
    list->part = LIST_SHARED;
    list->shared.limit = list->limit - request->rows + 1;
    list->shared.on_share = append_one;
    enum stage_verdict verdict = shared_begin(request, &list->shared);
    return verdict == STAGE_NEXT ? answer(request) : verdict;
}

static enum stage_verdict ask(struct request *request, struct list *list)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct postgres_call call = {.statement = datasets_list_statement(), .parameters = list->values, .whole = true};
    enum status status = execute_ask(request, request->worker->scan, &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict go_on(struct request *request, struct list *list)
{
    if (list->part == LIST_SHARED) {
        enum stage_verdict verdict = shared_resume(request);
        return verdict == STAGE_NEXT ? answer(request) : verdict;
    }
    if (list->again)
        return ask(request, list);
    if (list->status != STATUS_OK)
        return problem_send_status(request, list->status);
    return list->more ? answer(request) : begin_shared(request, list);
}

static enum stage_verdict execute(struct request *request)
{
    struct list *list = request->handler_state;
    if (request->resumed)
        return go_on(request, list);
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = text_from_string(rows_media_type(request->format)),
                                .cache_control = "private, no-cache",
                                .vary = true,
                                .whole = true};
    respond_begin(request, &head, NULL);
    buffer_append_string(respond_buffer(&request->respond), request->format == ROWS_JSON ? "{\"datasets\":["
                                                            : request->format == ROWS_CSV
                                                                ? "name,kind,description,row_estimate\n"
                                                                : "");
    if (list->part == LIST_SHARED)
        return begin_shared(request, list);
    return ask(request, list);
}

const struct handler handlers_list_datasets = {"listDatasets", parameters, plan, execute};
