/* GET /v1/regions/{region_id}/summary: case 1, from the cache where the data's version allows it. */
#include "api/execute.h"
#include "api/problem.h"
#include "handlers/handlers.h"

enum { REGION_ID, WINDOW, AS_OF };
static const char *const parameters[] = {"region_id", "window", "as_of", NULL};

/* What a load needs to know, copied into it: the request may be gone by then. */
struct argument {
    char region_id[64], window[8];
    size_t region_id_size, window_size;
    struct date_window length;
    bool has_as_of;
    int32_t as_of;
    enum rows_format format;
};

static struct summary_request ask_of(const struct argument *argument)
{
    return (struct summary_request){text_of(argument->region_id, argument->region_id_size),
                                    text_of(argument->window, argument->window_size), argument->length,
                                    argument->has_as_of, argument->as_of};
}

static enum status encode(struct execute_load *load, const struct postgres_rows *rows, struct buffer *out)
{
    const struct argument *argument = load->state;
    const struct server *server = load->worker->server;
    struct summary_request ask = ask_of(argument);
    return summary_encode(server->summary, server->versions, &ask, rows, argument->format, out);
}

static void load_summary(struct cache_load *cache, const void *memory)
{
    struct execute_load *load = execute_load_create(cache);
    if (load == NULL)
        return;
    const struct server *server = load->worker->server;
    struct argument *argument = (struct argument *)arena_copy(&load->arena, text_of(memory, sizeof(*argument))).data;
    load->state = argument;
    load->encode = encode;
    enum status status = STATUS_TOO_LARGE;
    if (argument != NULL) {
        struct summary_request ask = ask_of(argument);
        status = summary_plan(server->summary, server->versions, &ask, &load->arena, &load->plan);
    }
    execute_load_start(load, status);
}

static enum stage_verdict plan(struct request *request)
{
    const struct openapi_value *window = request_value(request, WINDOW), *region = request_value(request, REGION_ID);
    const struct openapi_value *as_of = request_value(request, AS_OF);
    struct argument *argument = arena_calloc(&request->arena, 1, sizeof(*argument));
    if (argument == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    if (region->text.size > sizeof(argument->region_id) || window->text.size > sizeof(argument->window) ||
        !date_window_parse(window->text, &argument->length)) {
        static const struct problem_mistake mistake = {
            .place = "query",
            .field = "window",
            .message = "give a whole number and d, w, m or y, from 1d to 200y: 30d, 12w, 6m, 1y"};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    }
    memcpy(argument->region_id, region->text.data, argument->region_id_size = region->text.size);
    memcpy(argument->window, window->text.data, argument->window_size = window->text.size);
    argument->has_as_of = as_of->present;
    argument->as_of = as_of->present ? (int32_t)as_of->integer : 0;
    argument->format = request->format;
    request->handler_state = argument;
    request->plan.target = PLAN_WAREHOUSE;
    request->plan.lane = PLAN_FAST;
    request->plan.relation = summary_relation(request->worker->server->summary);
    request->has_plan = true;
    return STAGE_NEXT;
}

static enum stage_verdict execute(struct request *request)
{
    const struct server *server = request->worker->server;
    const struct argument *argument = request->handler_state;
    /* The argument is all that the answer depends on, and every byte of it is set: it is the key. */
    char *key = arena_alloc(&request->arena, 8 + sizeof(*argument));
    if (key == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    memcpy(key, "summary:", 8);
    memcpy(key + 8, argument, sizeof(*argument));
    struct execute_document document = {
        .key = text_of(key, 8 + sizeof(*argument)),
        .version = summary_version(server->summary, server->versions),
        .content_type = text_from_string(rows_media_type(request->format)),
        .load = load_summary,
        .argument = argument,
        .argument_size = sizeof(*argument),
    };
    return execute_document(request, &document);
}

const struct handler handlers_get_region_summary = {"getRegionSummary", parameters, plan, execute};
