/* GET /v1/datasets/{dataset}, GET /v1/jobs/{job_id}/result and GET /v1/audit: rows, in the row dialect. */
#include <stdlib.h>

#include "api/execute.h"
#include "api/problem.h"
#include "api/replica.h"
#include "base/hash.h"
#include "handlers/answer.h"
#include "handlers/count.h"
#include "handlers/handlers.h"
#include "handlers/read.h"
#include "query/document.h"
#include "query/verdicts.h"

#define KEY_PARTS 8
#define RANGE_SIZE 64 /* bytes: three numbers of 20 digits, '-' and '/' */
#define IDENTITY_CEILING ((size_t)256 << 10)

enum { DATASET, JOB = DATASET };
static const char *const parameters[] = {"dataset", NULL};
static const char *const job_parameters[] = {"job_id", NULL};
static const char *const audit_parameters[] = {NULL};

struct rows {
    struct read read;
    struct text key; /* of the kept answer; TEXT_NONE: none is kept */
    struct text etag;
    struct answer answer;
    struct respond_header headers[ANSWER_HEADERS];
    struct cursor next;
    bool has_place; /* of the row before, and how many rows had the same: where rows are told apart by counting */
    uint64_t place, ties;
    struct count count;
};

/* What is kept. */

static bool is_get(const struct request *request)
{
    return !request_is_head(request);
}

/* A cursor is its customer's, in the Link of an answer too: it leads nobody else on. Parameters' names may be
 * percent-encoded. */
static bool may_hold_cursor(const struct read *read, struct text range, uint64_t page)
{
    struct text query = read->query;
    return page != 0 || range.data != NULL ||
           (query.data != NULL &&
            (memmem(query.data, query.size, "cursor", 6) != NULL ||
             memmem(query.data, query.size, "limit", 5) != NULL || memchr(query.data, '%', query.size) != NULL));
}

/* Everything that the answer is made from but the data. */
static struct text make_key(struct request *request, const struct read *read)
{
    const struct request_headers *headers = &request->headers;
    const struct dataset *dataset = request->dataset;
    uint64_t page = request->allowance != NULL ? request->allowance->page : 0;
    struct {
        uint64_t signature, page;
        uint32_t sizes[KEY_PARTS];
    } fixed = {.signature = dataset->signature, .page = page};
    bool walks = may_hold_cursor(read, headers->range, page);
    const struct text parts[KEY_PARTS] = {
        dataset->sql_name, request->path,  read->query,         headers->accept,
        headers->prefer,   headers->range, headers->range_unit, walks ? request->principal->customer : TEXT_NONE};
    size_t size = sizeof(fixed);
    for (size_t i = 0; i < KEY_PARTS; i++) {
        fixed.sizes[i] = (uint32_t)parts[i].size;
        size += parts[i].size;
    }
    char *key = arena_alloc(&request->arena, size), *at = key;
    if (key == NULL)
        return TEXT_NONE;
    memcpy(at, &fixed, sizeof(fixed));
    at += sizeof(fixed);
    for (size_t i = 0; i < KEY_PARTS; i++) {
        if (parts[i].size != 0)
            memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    return text_of(key, size);
}

/* Of an answer that depends on who asks: he stands in the validator too. */
static struct text make_etag(struct request *request, const struct rows *rows)
{
    const struct dataset *dataset = request->dataset;
    if (dataset->moves || dataset->version == 0)
        return TEXT_NONE;
    if (!dataset->asks_caller)
        return execute_etag(&request->arena, rows->key, dataset->version);
    const struct principal *principal = request->principal;
    struct buffer identity;
    buffer_init(&identity, IDENTITY_CEILING);
    buffer_append_text(&identity, rows->key);
    buffer_printf(&identity, "|%zu:%.*s|%zu:%.*s|%s", principal->customer.size, TEXT_ARGS(principal->customer),
                  principal->subject.size, TEXT_ARGS(principal->subject), request->tier->name);
    for (size_t i = 0; i < principal->scope_count; i++)
        buffer_printf(&identity, "|%.*s", TEXT_ARGS(principal->scopes[i]));
    struct text etag =
        identity.failed ? TEXT_NONE : execute_etag(&request->arena, buffer_text(&identity), dataset->version);
    buffer_free(&identity);
    return etag;
}

static void describe_kept(struct request *request, const struct answer *answer)
{
    request->plan = (struct plan){.target = rules_target(request->dataset),
                                  .lane = (enum plan_lane)answer->lane,
                                  .relation = request->dataset->name};
    request->has_plan = true;
    request->rows = answer->rows;
    request->cache_name = "memory";
}

static bool answered(struct request *request)
{
    struct rows *rows = request->handler_state;
    struct worker *worker = request->worker;
    rows->key = make_key(request, &rows->read);
    rows->etag = make_etag(request, rows);
    if (respond_not_modified(request, rows->etag)) {
        struct respond_head head;
        rows->answer.parts[ANSWER_ETAG] = rows->etag;
        answer_head(&rows->answer, rows->headers, &head);
        head.cache_control = "private, no-cache";
        respond_send_not_modified(request, &head);
        return true;
    }
    /* Range is for GET only: a HEAD with one is another question. */
    if (worker->answers == NULL || rules_cache(request->dataset) == PLAN_CACHE_NONE || rows->key.data == NULL ||
        (request_is_head(request) && request->headers.range.data != NULL))
        return false;
    const struct cache_entry *entry = cache_peek(worker->answers, rows->key, request->dataset->version);
    if (entry == NULL)
        return false;
    struct respond_head head;
    answer_read(entry->payload, &rows->answer);
    answer_head(&rows->answer, rows->headers, &head);
    head.cache_control = "private, no-cache";
    describe_kept(request, &rows->answer);
    respond_send(request, &head, rows->answer.parts[ANSWER_BODY], entry);
    return true;
}

static void keep_answer(struct request *request, struct rows *rows)
{
    struct worker *worker = request->worker;
    const struct config *config = request->settings->config;
    struct text body = buffer_text(respond_buffer(&request->respond));
    if (worker->answers == NULL || request->plan.cache == PLAN_CACHE_NONE || rows->key.data == NULL ||
        request->respond.started || !replicas_still_hold(request) || request_is_head(request) ||
        body.size > config->cache.answer_max)
        return;
    /* A look-up by key costs little and is seldom the same: it is kept when it comes again, so that those that don't
     * push nothing out. */
    if (request->plan.lane == PLAN_FAST && !worker_asked_before(worker, hash_text(rows->key)))
        return;
    struct buffer payload;
    buffer_init(&payload, config->cache.answer_max + 65536);
    rows->answer.parts[ANSWER_BODY] = body.data != NULL ? body : TEXT("");
    rows->answer.lane = request->plan.lane;
    rows->answer.rows = request->rows;
    answer_append(&payload, &rows->answer);
    if (!payload.failed)
        cache_put(worker->answers, rows->key, request->plan.version, buffer_text(&payload));
    buffer_free(&payload);
}

/* The head. */

/* first-last/total, with * for what is not known and for an empty span. */
static struct text content_range(struct request *request, const struct rows *rows, uint64_t count)
{
    char *text = arena_alloc(&request->arena, RANGE_SIZE);
    struct buffer range;
    if (text == NULL)
        return TEXT_NONE;
    buffer_init_on(&range, text, RANGE_SIZE, RANGE_SIZE);
    if (count != 0) {
        buffer_append_uint64(&range, rows->read.offset);
        buffer_append_char(&range, '-');
        buffer_append_uint64(&range, rows->read.offset + count - 1);
    } else {
        buffer_append_char(&range, '*');
    }
    buffer_append_char(&range, '/');
    if (rows->count.known)
        buffer_append_uint64(&range, rows->count.total);
    else
        buffer_append_char(&range, '*');
    return buffer_text(&range);
}

/* Behind a cursor nobody knows how many rows came before. */
static bool knows_span(const struct rows *rows)
{
    return rows->read.tree->cursor.size == 0;
}

static void append_path(const struct read *read, struct buffer *out)
{
    if (read->named.of_audit)
        buffer_append_literal(out, "/v1/audit");
    else if (read->named.job.data != NULL)
        buffer_printf(out, "/v1/jobs/%.*s/result", TEXT_ARGS(read->named.job));
    else
        document_append_path(out, read->named.name);
}

static struct text content_location(struct request *request, const struct read *read)
{
    static const char *const without[] = {NULL};
    struct buffer location;
    char first[512];
    buffer_init_on(&location, first, sizeof(first), IDENTITY_CEILING);
    append_path(read, &location);
    buffer_append_char(&location, '?');
    read_append_query(read, without, &location);
    size_t size = location.size;
    struct text kept = location.failed
                           ? TEXT_NONE
                           : arena_copy(&request->arena, text_of(location.data, size - 1)); /* no last & or ? */
    buffer_free(&location);
    return kept;
}

/* 206 when the total is known and this is not all of it. */
static int status_for(const struct rows *rows, uint64_t count)
{
    return rows->count.known && count < rows->count.total ? 206 : 200;
}

static void make_answer(struct request *request, struct rows *rows)
{
    rows->answer = (struct answer){.status = 200};
    rows->answer.parts[ANSWER_CONTENT_TYPE] = rows->read.form.content_type;
    rows->answer.parts[ANSWER_ETAG] = rows->etag;
    rows->answer.parts[ANSWER_LOCATION] = content_location(request, &rows->read);
    rows->answer.parts[ANSWER_APPLIED] = read_preference_applied(request, &rows->read);
}

static struct respond_head make_head(struct request *request, struct rows *rows)
{
    struct respond_head head;
    answer_head(&rows->answer, rows->headers, &head);
    head.cache_control = request->dataset->version != 0 || request->dataset->asks_caller
                             ? "private, no-cache"
                             : execute_cache_control(request, 0);
    return head;
}

/* The page. */

/* Of the columns that a cursor is made of. */
static uint64_t hash_place(const struct select_plan *select, const struct postgres_rows *page, size_t row)
{
    struct {
        uint64_t before, value, size;
    } content = {0, 0, 0};
    for (size_t i = 0; i < select->order_count; i++) {
        struct text value = postgres_rows_value(page, row, select->order_at[i]);
        content.value = value.data != NULL ? hash_stable(value) : 0;
        content.size = value.data != NULL ? value.size : UINT64_MAX;
        content.before = hash_stable(text_of((const char *)&content, sizeof(content)));
    }
    return content.before;
}

/* How many rows in a row had the same place, over the pages. */
static void count_ties(struct request *request, const struct postgres_rows *page, size_t count)
{
    struct rows *rows = request->handler_state;
    const struct select_plan *select = &rows->read.select;
    if (request->rows == 0) /* it may be asked for twice */
        rows->has_place = false;
    for (size_t row = 0; row < count; row++) {
        uint64_t place = hash_place(select, page, row);
        bool first = !rows->has_place;
        bool again = first ? rows->read.after.count != 0 && select_is_at(select, page, row, &rows->read.after)
                           : place == rows->place;
        rows->ties = again ? (first ? select->ties : rows->ties) + 1 : 1;
        rows->place = place;
        rows->has_place = true;
    }
}

static void on_last(struct request *request, const struct postgres_rows *page, size_t row)
{
    struct rows *rows = request->handler_state;
    rows->next.count = 0;
    if (rows->read.select.order_count != 0 &&
        select_cursor(&rows->read.select, page, row, rows->ties, &request->arena, &rows->next) != STATUS_OK)
        rows->next.count = 0;
}

/* The same request behind its last row; TEXT_NONE: no cursor can say where that is, or the address is longer than any
 * that is taken here. */
static struct text next_target(struct request *request, struct rows *rows)
{
    static const char *const without[] = {"cursor", "offset", NULL};
    struct text purpose = read_purpose(request, &rows->read);
    struct buffer target;
    if (purpose.data == NULL)
        return TEXT_NONE;
    buffer_init(&target, IDENTITY_CEILING);
    append_path(&rows->read, &target);
    buffer_append_char(&target, '?');
    read_append_query(&rows->read, without, &target);
    buffer_append_literal(&target, "cursor=");
    cursor_append(&target, request->worker->server->cursor_key, purpose, &rows->next);
    bool fits = !target.failed && target.size <= request->settings->config->server.max_uri;
    struct text kept = fits ? arena_copy(&request->arena, buffer_text(&target)) : TEXT_NONE;
    buffer_free(&target);
    return kept;
}

static struct text link_to(struct request *request, struct text target)
{
    char *link = target.data != NULL ? arena_alloc(&request->arena, target.size + 16) : NULL;
    if (link == NULL)
        return TEXT_NONE;
    link[0] = '<';
    memcpy(link + 1, target.data, target.size);
    memcpy(link + 1 + target.size, ">; rel=\"next\"", 13);
    return text_of(link, target.size + 14);
}

static bool refuse_singular(struct request *request, bool more)
{
    struct rows *rows = request->handler_state;
    if (request->rows == 1 && !(more && rows->read.only_one))
        return false;
    problem_send(request, PROBLEM_NOT_ONE_ROW,
                 "the answer has %s, and %.*s is for exactly one; filter by a key, or ask for application/json",
                 request->rows == 0 ? "no rows" : "more than one row", TEXT_ARGS(rows->read.form.content_type));
    return true;
}

static bool on_end(struct request *request, bool more)
{
    struct rows *rows = request->handler_state;
    if (rows->read.form.singular && refuse_singular(request, more))
        return false;
    struct text target = more && rows->next.count != 0 ? next_target(request, rows) : TEXT_NONE;
    if (more && rows->read.walks && !rows->read.form.singular && target.data == NULL) {
        problem_send(request, PROBLEM_INVALID_PARAMETER,
                     "there are more rows, and the address of the next page would be too long: order by columns with "
                     "shorter values, or send limit and offset");
        return false;
    }
    if (request->respond.started) {
        if (target.data != NULL && request->format == ROWS_NDJSON) {
            struct buffer *out = respond_buffer(&request->respond);
            buffer_append_literal(out, "{\"next\":\"");
            buffer_append_text(out, target);
            buffer_append_literal(out, "\"}\n");
        }
        return true;
    }
    if (knows_span(rows)) {
        rows->answer.status = (uint32_t)status_for(rows, request->rows);
        rows->answer.parts[ANSWER_RANGE] = content_range(request, rows, request->rows);
    }
    rows->answer.parts[ANSWER_LINK] = link_to(request, target);
    request->respond.head = make_head(request, rows);
    keep_answer(request, rows);
    return true;
}

static bool on_error(struct request *request, const struct postgres_error *error)
{
    read_refuse(request, error);
    return true;
}

/* What a stream will say of its span is known beforehand only from the count. */
static uint64_t foretell(const struct rows *rows)
{
    const struct read *read = &rows->read;
    uint64_t left = rows->count.total > read->offset ? rows->count.total - read->offset : 0;
    return left < read->limit ? left : read->limit;
}

static enum stage_verdict run(struct request *request)
{
    struct rows *rows = request->handler_state;
    const struct read *read = &rows->read;
    const struct select_plan *select = &read->select;
    if (rows->count.known && knows_span(rows)) {
        rows->answer.status = (uint32_t)status_for(rows, foretell(rows));
        rows->answer.parts[ANSWER_RANGE] = content_range(request, rows, foretell(rows));
    }
    struct execute_rows options = {.head = make_head(request, rows),
                                   .encoding = {.types = select->types,
                                                .visible = select->visible,
                                                .strip_nulls = read->form.strip_nulls,
                                                .singular = read->form.singular,
                                                .no_final_newline = true},
                                   .limit =
                                       select->by_key || (read->limit == UINT64_MAX && !read->walks) ? 0 : read->limit,
                                   .on_rows = select->counts_ties ? count_ties : NULL,
                                   .on_last = on_last,
                                   .on_end = on_end,
                                   .on_error = on_error};
    options.head.whole = read->walks;
    return execute_rows(request, &options);
}

/* No row is asked for, or none is wanted. */
static enum stage_verdict send_head_only(struct request *request, uint64_t count)
{
    struct rows *rows = request->handler_state;
    static const struct text empty[] = {[ROWS_JSON] = {"[]", 2}, [ROWS_CSV] = {"", 0}, [ROWS_NDJSON] = {"", 0}};
    rows->answer.status = (uint32_t)(count != 0 ? status_for(rows, count) : 200);
    rows->answer.parts[ANSWER_RANGE] = content_range(request, rows, count);
    struct respond_head head = make_head(request, rows);
    if (rows->read.form.singular && count != 1) {
        refuse_singular(request, count > 1);
        return STAGE_DONE;
    }
    /* What a GET's length would be is not known. */
    return respond_send(request, &head, count != 0 ? TEXT_NONE : empty[request->format], NULL);
}

static enum stage_verdict refuse_offset(struct request *request, struct rows *rows)
{
    struct text range = content_range(request, rows, 0);
    h2o_add_header(&request->h2o->pool, &request->h2o->res.headers, H2O_TOKEN_CONTENT_RANGE, NULL, range.data,
                   range.size);
    return problem_send(request, PROBLEM_RANGE,
                        "the offset is %llu, and there are %llu rows; begin with one that exists",
                        (unsigned long long)rows->read.offset, (unsigned long long)rows->count.total);
}

/* The stages. */

static enum stage_verdict plan(struct request *request)
{
    bool of_job = request->binding->handler == &handlers_get_job_result;
    if (request->resumed)
        return read_resume(request);
    struct rows *before = request->handler_state;
    struct rows *rows = arena_calloc(&request->arena, 1, sizeof(*rows));
    if (rows == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    rows->read.named.of_audit = request->binding->handler == &handlers_list_audit;
    rows->read.named.name = of_job                      ? TEXT("result")
                            : rows->read.named.of_audit ? TEXT("audit")
                                                        : request_value(request, DATASET)->text;
    rows->read.named.job = of_job ? request_value(request, JOB)->text : TEXT_NONE;
    rows->read.query = request->query;
    rows->read.answered = answered;
    if (before != NULL) { /* planned again */
        rows->read.plans = before->read.plans;
        rows->read.without_timezone = before->read.without_timezone;
    }
    return read_begin(request, &rows->read);
}

static enum stage_verdict execute(struct request *request)
{
    struct rows *rows = request->handler_state;
    enum stage_verdict counted;
    if (!request->resumed) {
        make_answer(request, rows);
        counted = count_begin(request, &rows->count);
    } else {
        counted = count_resume(request, &rows->count);
    }
    if (counted != STAGE_NEXT)
        return counted;
    if (rows->count.known && knows_span(rows) && rows->read.offset > rows->count.total)
        return refuse_offset(request, rows);
    if (rows->read.limit == 0)
        return send_head_only(request, 0);
    if (rows->count.known && !is_get(request) && knows_span(rows) && !rows->read.form.singular && foretell(rows) != 0)
        return send_head_only(request, foretell(rows));
    return run(request);
}

const struct handler handlers_read_dataset = {"readDataset", parameters, plan, execute};
const struct handler handlers_get_job_result = {"getJobResult", job_parameters, plan, execute};
const struct handler handlers_list_audit = {"listAudit", audit_parameters, plan, execute};
