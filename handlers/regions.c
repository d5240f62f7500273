/* GET /v1/regions and GET /v1/regions/{region_id}. */
#include "query/regions.h"
#include "api/execute.h"
#include "api/problem.h"
#include "api/replica.h"
#include "base/encoding.h"
#include "handlers/handlers.h"

/* One region. */

enum { REGION_ID };
static const char *const one_parameters[] = {"region_id", NULL};

struct one_argument {
    size_t size;
    enum rows_format format;
    char region_id[64];
};

static enum status encode_one(struct execute_load *load, const struct postgres_rows *rows, struct buffer *out)
{
    const struct one_argument *argument = load->state;
    return regions_encode_one(rows, argument->format, out);
}

static void load_one(struct cache_load *cache, const void *memory)
{
    struct execute_load *load = execute_load_create(cache);
    if (load == NULL)
        return;
    const struct server *server = load->worker->server;
    struct one_argument *argument =
        (struct one_argument *)arena_copy(&load->arena, text_of(memory, sizeof(*argument))).data;
    enum status status = STATUS_TOO_LARGE;
    if (argument != NULL)
        status = regions_plan_one(server->catalog, server->versions, text_of(argument->region_id, argument->size),
                                  &load->arena, &load->plan);
    load->state = argument;
    load->encode = encode_one;
    execute_load_start(load, status);
}

static enum stage_verdict execute_one(struct request *request)
{
    const struct server *server = request->worker->server;
    struct text region_id = request_value(request, REGION_ID)->text;
    const struct catalog_view *view = &server->catalog->views[CATALOG_REGION];
    char *key = arena_calloc(&request->arena, 1, 8 + sizeof(struct one_argument));
    if (key == NULL || region_id.size > sizeof(((struct one_argument *)0)->region_id))
        return problem_send_status(request, STATUS_NOT_FOUND);
    memcpy(key, "region::", 8);
    struct one_argument *argument = (struct one_argument *)(key + 8);
    argument->size = region_id.size;
    argument->format = request->format;
    memcpy(argument->region_id, region_id.data, region_id.size);
    request->plan.target = PLAN_WAREHOUSE;
    request->plan.lane = PLAN_FAST;
    request->plan.relation = view->name;
    request->has_plan = true;
    struct execute_document document = {
        .key = text_of(key, 8 + sizeof(*argument)),
        .version = versions_of(server->versions, view),
        .content_type = text_from_string(rows_media_type(request->format)),
        .load = load_one,
        .argument = argument,
        .argument_size = sizeof(*argument),
    };
    return execute_document(request, &document);
}

const struct handler handlers_get_region = {"getRegion", one_parameters, NULL, execute_one};

/* The search. */

enum { Q, KIND, PARENT, BBOX, NEAR, CURSOR, LIMIT };
static const char *const search_parameters[] = {"q", "kind", "parent", "bbox", "near", "cursor", "limit", NULL};

struct search {
    struct regions_search ask;
    struct cursor after, next;
    struct text purpose; /* what a cursor of this search is bound to */
};

static struct text text_or_none(const struct openapi_value *value)
{
    return value->present ? value->text : TEXT_NONE;
}

/* Everything that decides which rows come, and in which order. */
static struct text make_purpose(struct request *request)
{
    struct buffer purpose;
    buffer_init(&purpose, 16384);
    buffer_append_literal(&purpose, "listRegions");
    for (size_t i = Q; i <= NEAR; i++) {
        struct text text = text_or_none(request_value(request, i));
        buffer_printf(&purpose, "|%zu:", text.size);
        buffer_append_text(&purpose, text);
    }
    buffer_append_char(&purpose, '|');
    buffer_append_text(&purpose, request->principal->customer);
    struct text kept = purpose.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&purpose));
    buffer_free(&purpose);
    return kept;
}

static void read_numbers(const struct openapi_value *value, double *out, size_t count)
{
    for (size_t i = 0; i < count && i < value->count; i++)
        out[i] = value->items[i].type == OPENAPI_INTEGER ? (double)value->items[i].integer : value->items[i].number;
}

static enum stage_verdict refuse_box(struct request *request)
{
    static const struct problem_mistake mistake = {
        .place = "query",
        .field = "bbox",
        .message = "the southern latitude is north of the northern one; give west,south,east,north"};
    return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
}

static enum stage_verdict plan_search(struct request *request)
{
    const struct server *server = request->worker->server;
    struct search *search = arena_calloc(&request->arena, 1, sizeof(*search));
    if (search == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct regions_search *ask = &search->ask;
    ask->q = text_or_none(request_value(request, Q));
    ask->kind = text_or_none(request_value(request, KIND));
    ask->parent = text_or_none(request_value(request, PARENT));
    ask->has_box = request_value(request, BBOX)->present;
    ask->has_near = request_value(request, NEAR)->present;
    read_numbers(request_value(request, BBOX), ask->box, 4);
    read_numbers(request_value(request, NEAR), ask->near, 2);
    ask->limit = request_value(request, LIMIT)->integer;
    if (ask->limit > (int64_t)request->settings->config->paging.max_limit)
        ask->limit = (int64_t)request->settings->config->paging.max_limit;
    if (ask->has_box && ask->box[1] > ask->box[3])
        return refuse_box(request);
    search->purpose = make_purpose(request);
    const struct openapi_value *cursor = request_value(request, CURSOR);
    if (cursor->present) {
        if (cursor_parse(cursor->text, server->cursor_key, search->purpose, &request->arena, &search->after) !=
            STATUS_OK)
            return problem_send(request, PROBLEM_INVALID_CURSOR,
                                "the cursor was not made for this search; take it from the Link header of the page "
                                "before, with the same parameters");
        ask->after = &search->after;
    }
    struct failure failure;
    if (regions_plan_search(server->catalog, server->versions, ask, &request->arena, &request->plan, &failure) !=
        STATUS_OK)
        return problem_send(request, PROBLEM_INVALID_PARAMETER, "%s", failure.message);
    request->has_plan = true;
    request->handler_state = search;
    return STAGE_NEXT;
}

static void on_last(struct request *request, const struct postgres_rows *rows, size_t row)
{
    struct search *search = request->handler_state;
    regions_search_key(rows, row, search->ask.has_near, &request->arena, &search->next);
}

/* The same request, but for the cursor. */
static bool on_end(struct request *request, bool more)
{
    struct search *search = request->handler_state;
    struct buffer link;
    if (!more)
        return true;
    struct text rest = request->query;
    buffer_init(&link, 65536);
    buffer_append_literal(&link, "<");
    buffer_append_text(&link, request->path);
    buffer_append_char(&link, '?');
    while (rest.data != NULL) {
        struct text part = text_split(&rest, '&');
        if (part.size == 0 || text_starts_with(part, TEXT("cursor=")))
            continue;
        buffer_append_text(&link, part);
        buffer_append_char(&link, '&');
    }
    buffer_append_literal(&link, "cursor=");
    cursor_append(&link, request->worker->server->cursor_key, search->purpose, &search->next);
    buffer_append_literal(&link, ">; rel=\"next\"");
    request->respond.head.link = link.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&link));
    buffer_free(&link);
    return true;
}

static enum stage_verdict execute_search(struct request *request)
{
    struct search *search = request->handler_state;
    uint64_t version = request->plan.version;
    struct text target = text_of(request->h2o->input.path.base, request->h2o->input.path.len);
    struct text key = search->purpose;
    struct buffer identity;
    buffer_init(&identity, 65536);
    buffer_append_text(&identity, key);
    buffer_append_text(&identity, target);
    buffer_append_int64(&identity, request->format);
    struct execute_rows options = {
        .head = {.status = 200,
                 .reason = "OK",
                 .content_type = text_from_string(rows_media_type(request->format)),
                 .etag = identity.failed ? TEXT_NONE : execute_etag(&request->arena, buffer_text(&identity), version),
                 .cache_control = execute_cache_control(request, version),
                 .vary = true,
                 .whole = true},
        .limit = (uint64_t)search->ask.limit,
        .on_last = on_last,
        .on_end = on_end,
    };
    buffer_free(&identity);
    if (respond_not_modified(request, options.head.etag))
        return respond_send_not_modified(request, &options.head);
    const struct server *server = request->worker->server;
    replicas_take(request, version, versions_seen_ms(server->versions, &server->catalog->views[CATALOG_REGION]));
    return execute_rows(request, &options);
}

const struct handler handlers_list_regions = {"listRegions", search_parameters, plan_search, execute_search};
