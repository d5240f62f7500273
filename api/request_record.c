#include "api/request_record.h"

#include "api/problem.h"
#include "api/request.h"
#include "audit/request_log.h"
#include "base/clock.h"
#include "base/hash.h"

static struct request *request_of(struct audit_wait *wait)
{
    return H2O_STRUCT_FROM_MEMBER(struct request, record, H2O_STRUCT_FROM_MEMBER(struct request_record, wait, wait));
}

static struct text or_none(const char *string)
{
    return string != NULL ? text_from_string(string) : TEXT_NONE;
}

static void fill_asked(const struct request *request, struct audit_record *record)
{
    const struct openapi_operation *operation = request->binding != NULL ? request->binding->operation : NULL;
    record->time_us = request->arrived_us;
    record->request_id = text_of(request->id, REQUEST_ID_SIZE);
    record->trace_id = text_of(request->trace.trace_id, sizeof(request->trace.trace_id));
    record->traced = request->traced;
    record->span_id = text_of(request->trace.span_id, sizeof(request->trace.span_id));
    record->method = text_of(request->h2o->input.method.base, request->h2o->input.method.len);
    record->path = text_of(request->h2o->input.path.base, request->h2o->input.path.len);
    record->address = text_from_string(request->address);
    if (operation != NULL)
        record->operation = operation->id;
    if (request->principal != NULL) {
        record->customer = request->principal->customer;
        record->subject = request->principal->subject;
        record->token_id = request->principal->token_id;
    }
    if (request->has_plan) {
        record->target = text_from_string(plan_target_name(request->plan.target));
        record->lane = text_from_string(plan_lane_name(request->plan.lane));
        record->relation = request->plan.relation;
        record->version = request->plan.version;
    }
    record->has_sql = request->record.has_sql;
    if (record->has_sql)
        memcpy(record->sql, request->record.sql, RECORD_SQL_SIZE);
}

static void fill_answered(const struct request *request, uint64_t duration_us, uint64_t bytes,
                          struct audit_record *record)
{
    fill_asked(request, record);
    record->duration_us = duration_us;
    record->reason = or_none(request->reason);
    record->cache = or_none(request->cache_name);
    record->status = request->respond.started ? request->h2o->res.status : 0;
    record->rows = request->rows;
    record->bytes = bytes;
    record->database_us = request->database_us;
    record->complete = request->respond.complete;
}

/* --- intent --- */

/* Everything but GET and HEAD changes something, unless it stands here. */
static bool is_write(const struct request *request)
{
    static const char *const only_read[] = {"runQuery", "planQuery"};
    const struct openapi_operation *operation = request->binding->operation;
    if (text_equal(operation->method, TEXT("GET")) || text_equal(operation->method, TEXT("HEAD")))
        return false;
    for (size_t i = 0; i < sizeof(only_read) / sizeof(only_read[0]); i++)
        if (text_equal(operation->id, text_from_string(only_read[i])))
            return false;
    return true;
}

static enum stage_verdict refuse(struct request *request)
{
    request->record.refused = true;
    return problem_send(request, PROBLEM_UNRECORDED,
                        "this request cannot be recorded, so it is not served; try again in a few seconds");
}

static void on_intent(struct audit_wait *wait, bool there)
{
    struct request *request = request_of(wait);
    if (there) {
        request_resume(request);
        return;
    }
    request->record.intended = audit_log_has(request->worker->audit, wait);
    refuse(request);
}

/* The statement without its values: equal questions have equal digests. */
static void digest_sql(struct request *request)
{
    unsigned char digest[HASH_SHA256_SIZE];
    if (!request->has_plan || request->plan.statement.sql == NULL)
        return;
    hash_sha256(text_from_string(request->plan.statement.sql), digest);
    memcpy(request->record.sql, digest, RECORD_SQL_SIZE);
    request->record.has_sql = true;
}

enum stage_verdict request_record_intent(struct request *request)
{
    struct audit_log *log = request->worker->audit;
    struct audit_record record = {0};
    if (log == NULL || request->resumed || request->record.intended)
        return STAGE_NEXT;
    if (!audit_log_accepts(log))
        return refuse(request);
    bool writes = is_write(request);
    if (!writes && (!request->has_plan || request->plan.lane == PLAN_FAST))
        return STAGE_NEXT;
    digest_sql(request);
    fill_asked(request, &record);
    if (!audit_log_append(log, writes ? AUDIT_INTENT : AUDIT_READ_INTENT, &record))
        return refuse(request);
    request->record.intended = true;
    if (!writes)
        return STAGE_NEXT;
    audit_log_wait(log, &request->record.wait, true, AUDIT_DURABLE, on_intent);
    return STAGE_WAIT;
}

/* --- answer --- */

static bool tell_answer(struct request *request, enum audit_kind kind)
{
    struct audit_record record = {0};
    size_t length = request->h2o->res.content_length;
    fill_answered(request, clock_monotonic_us() - request->started_us, length != SIZE_MAX ? length : 0, &record);
    request->record.told = true;
    return audit_log_append(request->worker->audit, kind, &record);
}

/* What was carried out stays so, whatever its caller hears: its outcome is told, now or when the disk takes it. */
static void on_answer(struct audit_wait *wait, bool there)
{
    struct request *request = request_of(wait);
    if (there) {
        request->record.release(request);
        return;
    }
    if (request->record.told && !audit_log_has(request->worker->audit, wait)) {
        request->record.told = false;
        if (request->record.intended)
            tell_answer(request, AUDIT_OUTCOME);
    }
    request->record.withheld = request->record.told;
    respond_reset(request);
    refuse(request);
}

void request_record_answer(struct request *request, bool whole, void (*release)(struct request *request))
{
    struct audit_log *log = request->worker->audit;
    if (log == NULL || request->record.refused) {
        release(request);
        return;
    }
    bool written_to = request->record.intended && is_write(request), appended = true;
    if (whole) {
        appended = tell_answer(request, written_to ? AUDIT_ANSWER : AUDIT_READ_ANSWER);
    } else if (!request->record.intended) {
        struct audit_record record = {0};
        fill_asked(request, &record);
        request->record.intended = appended = audit_log_append(log, AUDIT_READ_INTENT, &record);
    }
    request->record.release = release;
    audit_log_wait(log, &request->record.wait, appended, written_to ? AUDIT_DURABLE : AUDIT_WRITTEN, on_answer);
}

/* --- end --- */

void request_record_end(struct request *request)
{
    struct worker *worker = request->worker;
    const struct openapi_operation *operation = request->binding != NULL ? request->binding->operation : NULL;
    uint64_t duration = clock_monotonic_us() - request->started_us, bytes = request->h2o->bytes_sent;
    int status = request->respond.started ? request->h2o->res.status : 0;
    bool unaudited =
        worker->audit == NULL || (request->record.refused && !request->record.intended && !request->record.told);
    struct audit_record record = {0};
    audit_log_leave(&request->record.wait);
    metrics_count(&worker->metrics, operation != NULL ? operation->index : SIZE_MAX, status, duration, bytes);
    /* Mostly everything was told already. */
    if (!request_log_is_kept(worker->request_log) &&
        (unaudited || (request->record.told && !request->record.withheld && request->respond.complete)))
        return;
    fill_answered(request, duration, bytes, &record);
    request_log_record(worker->request_log, &record);
    if (unaudited)
        return;
    if (!request->record.told)
        audit_log_append(worker->audit, AUDIT_OUTCOME, &record);
    else if (!record.complete || request->record.withheld)
        audit_log_append(worker->audit, AUDIT_INCOMPLETE, &record);
}
