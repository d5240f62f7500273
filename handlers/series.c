/* GET /v1/regions/{region_id}/weather, market, forecast: rows in order of time, as many as there are. */
#include "query/series.h"
#include "api/execute.h"
#include "api/problem.h"
#include "api/replica.h"
#include "handlers/handlers.h"
#include "query/regions.h"

enum { REGION_ID, FROM, TO, GRAIN, FIELDS };
static const char *const parameters[] = {"region_id", "from", "to", "grain", "fields", NULL};

struct series {
    struct series_request ask;
    struct text etag;
    uint64_t version;
};

/* Which region's rows answer for a region; cached, because every series needs it. */

struct source_argument {
    size_t size;
    char region_id[64];
};

/* The payload: the market region's id, empty where there is none. */
static enum status encode_source(struct execute_load *load, const struct postgres_rows *rows, struct buffer *out)
{
    struct text weather, market;
    (void)load;
    enum status status = regions_sources(rows, &weather, &market);
    if (status == STATUS_OK)
        buffer_append_text(out, market);
    return status;
}

static void load_source(struct cache_load *cache, const void *memory)
{
    const struct source_argument *argument = memory;
    struct execute_load *load = execute_load_create(cache);
    if (load == NULL)
        return;
    load->encode = encode_source;
    struct text region_id = arena_copy(&load->arena, text_of(argument->region_id, argument->size));
    enum status status = regions_plan_one(load->worker->server->catalog, load->worker->server->versions, region_id,
                                          &load->arena, &load->plan);
    execute_load_start(load, status);
}

static enum series_grain grain_of(struct text text)
{
    return text_equal(text, TEXT("week"))    ? SERIES_WEEK
           : text_equal(text, TEXT("month")) ? SERIES_MONTH
           : text_equal(text, TEXT("year"))  ? SERIES_YEAR
                                             : SERIES_DAY;
}

static enum stage_verdict read_fields(struct request *request, struct series_request *ask)
{
    const struct openapi_value *fields = request_value(request, FIELDS);
    if (!fields->present)
        return STAGE_NEXT;
    struct text *names = arena_calloc(&request->arena, fields->count, sizeof(*names));
    if (names == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    for (size_t i = 0; i < fields->count; i++)
        names[i] = fields->items[i].text;
    ask->fields = names;
    ask->field_count = fields->count;
    return STAGE_NEXT;
}

static enum stage_verdict plan(struct request *request, size_t view)
{
    const struct server *server = request->worker->server;
    const struct openapi_value *from = request_value(request, FROM), *to = request_value(request, TO);
    struct series *series = arena_calloc(&request->arena, 1, sizeof(*series));
    if (series == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct series_request *ask = &series->ask;
    ask->view = &server->catalog->views[view];
    ask->region_id = request_value(request, REGION_ID)->text;
    ask->grain = grain_of(request_value(request, GRAIN)->text);
    ask->has_from = from->present;
    ask->has_to = to->present;
    ask->from = from->present ? (int32_t)from->integer : 0;
    ask->to = to->present ? (int32_t)to->integer : 0;
    if (ask->has_from && ask->has_to && ask->from > ask->to) {
        static const struct problem_mistake mistake = {
            .place = "query", .field = "from", .message = "it is later than `to`; give the earlier day in from"};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    }
    if (read_fields(request, ask) != STAGE_NEXT)
        return STAGE_DONE;
    struct failure failure;
    if (series_plan(server->versions, ask, &request->arena, &request->plan, &failure) != STATUS_OK) {
        struct problem_mistake mistake = {.place = "query", .field = "fields", .message = failure.message};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    }
    request->has_plan = true;
    request->handler_state = series;
    return STAGE_NEXT;
}

static enum stage_verdict plan_weather(struct request *request)
{
    return plan(request, CATALOG_WEATHER);
}

static enum stage_verdict plan_market(struct request *request)
{
    return plan(request, CATALOG_MARKET);
}

static enum stage_verdict plan_forecast(struct request *request)
{
    return plan(request, CATALOG_FORECAST);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Of all that the answer's version is made of. */
static uint64_t version_seen_ms(const struct server *server, const struct series *series)
{
    uint64_t region = versions_seen_ms(server->versions, &server->catalog->views[CATALOG_REGION]);
    uint64_t market = versions_seen_ms(server->versions, &server->catalog->views[CATALOG_MARKET]);
    return later(versions_seen_ms(server->versions, series->ask.view), later(region, market));
}

static enum stage_verdict send_rows(struct request *request)
{
    const struct series *series = request->handler_state;
    replicas_take(request, series->version, version_seen_ms(request->worker->server, series));
    struct execute_rows options = {
        .head = {.status = 200,
                 .reason = "OK",
                 .content_type = text_from_string(rows_media_type(request->format)),
                 .etag = series->etag,
                 .cache_control = execute_cache_control(request, series->version),
                 .vary = true},
        .encoding = {.leading_name = TEXT("region_id"), .leading_value = series->ask.region_id}};
    return execute_rows(request, &options);
}

/* The region is known: plan again with the region whose rows answer. */
static enum stage_verdict use_source(struct request *request, const struct cache_entry *entry)
{
    struct series *series = request->handler_state;
    const struct server *server = request->worker->server;
    if (series->ask.view->index == CATALOG_MARKET && entry->payload.size != 0 &&
        !text_equal(entry->payload, series->ask.region_id)) {
        struct failure failure;
        series->ask.region_id = arena_copy(&request->arena, entry->payload);
        if (series_plan(server->versions, &series->ask, &request->arena, &request->plan, &failure) != STATUS_OK)
            return problem_send_status(request, STATUS_FAILED);
    }
    return send_rows(request);
}

static void on_source(void *context, enum status status, const struct cache_entry *entry, enum cache_source source)
{
    struct request *request = context;
    struct series *series = request->handler_state;
    request->cache_wait = NULL;
    if (source == CACHE_STALE) {
        /* Which region answers was true once: the rows may be another region's than this version's. */
        series->version = 0;
        series->etag = TEXT_NONE;
    }
    if (status != STATUS_OK)
        problem_send_status(request, status);
    else
        use_source(request, entry);
}

/* The sum of both versions, 0 when one is not known. */
static uint64_t source_version(const struct server *server)
{
    uint64_t region = versions_of(server->versions, &server->catalog->views[CATALOG_REGION]);
    uint64_t market = versions_of(server->versions, &server->catalog->views[CATALOG_MARKET]);
    return region != 0 && market != 0 ? region + market : 0;
}

static struct text make_etag(struct request *request, uint64_t version)
{
    struct buffer identity;
    buffer_init(&identity, 65536);
    buffer_append(&identity, request->h2o->input.path.base, request->h2o->input.path.len);
    buffer_printf(&identity, "|%d", (int)request->format);
    struct text etag = identity.failed ? TEXT_NONE : execute_etag(&request->arena, buffer_text(&identity), version);
    buffer_free(&identity);
    return etag;
}

static enum stage_verdict execute(struct request *request)
{
    struct series *series = request->handler_state;
    const struct server *server = request->worker->server;
    uint64_t sources = source_version(server);
    struct text region_id = series->ask.region_id;
    char *key = arena_calloc(&request->arena, 1, 8 + sizeof(struct source_argument));
    if (key == NULL || region_id.size > sizeof(((struct source_argument *)0)->region_id))
        return problem_send_status(request, STATUS_NOT_FOUND);
    memcpy(key, "source::", 8);
    struct source_argument *argument = (struct source_argument *)(key + 8);
    memcpy(argument->region_id, region_id.data, argument->size = region_id.size);

    series->version = request->plan.version != 0 && sources != 0 ? request->plan.version + sources : 0;
    series->etag = make_etag(request, series->version);
    struct respond_head head = {.etag = series->etag, .cache_control = "private, no-cache", .vary = true};
    if (respond_not_modified(request, series->etag))
        return respond_send_not_modified(request, &head);
    struct text cache_key = text_of(key, 8 + sizeof(*argument));
    const struct cache_entry *entry = cache_peek(request->worker->cache, cache_key, sources);
    if (entry != NULL)
        return use_source(request, entry);
    struct cache_request ask = {cache_key, sources, load_source, argument, sizeof(*argument), request->worker};
    request->cache_wait = cache_get(request->worker->cache, &ask, on_source, request);
    return STAGE_WAIT;
}

const struct handler handlers_get_region_weather = {"getRegionWeather", parameters, plan_weather, execute};
const struct handler handlers_get_region_market = {"getRegionMarket", parameters, plan_market, execute};
const struct handler handlers_get_region_forecast = {"getRegionForecast", parameters, plan_forecast, execute};
