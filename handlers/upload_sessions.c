/* Resumable uploads, tus 1.0.0 (https://tus.io): /v1/uploads/sessions. A session's bytes are taken one piece after the
 * other; with the last one the upload is loaded, as putUpload would. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/problem.h"
#include "api/tus.h"
#include "base/date.h"
#include "base/json.h"
#include "handlers/handlers.h"
#include "handlers/own_sql.h"
#include "handlers/upload_session.h"

enum { CREATE_LENGTH, CREATE_METADATA };
static const char *const create_parameters[] = {"upload-length", "upload-metadata", NULL};
enum { SESSION_ID, PATCH_OFFSET, PATCH_CHECKSUM };
static const char *const patch_parameters[] = {"session_id", "upload-offset", "upload-checksum", NULL};
static const char *const session_parameters[] = {"session_id", NULL};

static struct text header_of(const struct request *request, const char *name)
{
    ssize_t at = h2o_find_header_by_str(&request->h2o->headers, name, strlen(name), -1);
    return at < 0 ? TEXT_NONE
                  : text_of(request->h2o->headers.entries[at].value.base, request->h2o->headers.entries[at].value.len);
}

/* What two lines say may differ, and a proxy before us may have read the other one. */
static bool stand_once(struct request *request)
{
    static const char *const names[] = {"upload-offset",   "upload-length", "upload-metadata",
                                        "upload-checksum", "tus-resumable", NULL};
    for (size_t i = 0; names[i] != NULL; i++) {
        const h2o_headers_t *headers = &request->h2o->headers;
        ssize_t at = h2o_find_header_by_str(headers, names[i], strlen(names[i]), -1);
        if (at >= 0 && h2o_find_header_by_str(headers, names[i], strlen(names[i]), at) >= 0) {
            problem_send(request, PROBLEM_BAD_REQUEST, "the header %s stands there twice; send it once", names[i]);
            return false;
        }
    }
    return true;
}

/* Every request of tus says its version; a GET is no request of tus. */
static enum stage_verdict plan(struct request *request)
{
    struct text version = header_of(request, "tus-resumable");
    h2o_iovec_t method = request->h2o->input.method;
    if (request->worker->server->sessions == NULL)
        return problem_send(request, PROBLEM_NOT_FOUND, "this gateway takes no uploads");
    if (!stand_once(request))
        return STAGE_DONE;
    if (text_equal(version, TEXT(TUS_VERSION)) ||
        (version.data == NULL && h2o_memis(method.base, method.len, H2O_STRLIT("GET"))))
        return STAGE_NEXT;
    h2o_add_header_by_str(&request->h2o->pool, &request->h2o->res.headers, H2O_STRLIT("tus-version"), 0, NULL,
                          H2O_STRLIT(TUS_VERSION));
    return problem_send(request, PROBLEM_UNSUPPORTED_VERSION, "send the header Tus-Resumable: " TUS_VERSION);
}

static struct session_owner owner_of(const struct request *request)
{
    return (struct session_owner){request->principal->customer, request->principal->subject};
}

/* RFC 9110 section 5.6.7. */
static struct text http_date(struct request *request, int64_t seconds)
{
    struct tm parts;
    time_t when = (time_t)seconds;
    char *out = arena_alloc(&request->arena, 32);
    if (out == NULL || gmtime_r(&when, &parts) == NULL)
        return TEXT_NONE;
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int size = snprintf(out, 32, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * parts.tm_wday, parts.tm_mday,
                        months + 3 * parts.tm_mon, parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    return text_of(out, size > 0 && size < 32 ? (size_t)size : 0);
}

static struct text number(struct request *request, uint64_t value)
{
    char *out = arena_alloc(&request->arena, 24);
    return out != NULL ? text_of(out, (size_t)snprintf(out, 24, "%llu", (unsigned long long)value)) : TEXT_NONE;
}

/* h2o keeps no pointer to what dies with the session: all values are in the request's arena. */
struct told {
    struct respond_header headers[8];
    size_t count;
};

static void tell(struct told *told, const char *name, struct text value)
{
    if (value.data != NULL)
        told->headers[told->count++] = (struct respond_header){text_from_string(name), value};
}

static void tell_session(struct request *request, const struct session_about *about, struct told *told)
{
    tell(told, "upload-offset", number(request, about->offset));
    tell(told, "upload-expires", http_date(request, about->expires_s));
    if (about->ended)
        tell(told, "sluice-upload", arena_copy(&request->arena, about->result));
}

/* The rows' address. */
static void tell_rows(struct request *request, const struct session_about *about, struct told *told)
{
    static const char front[] = "/v1/datasets/uploads.";
    struct tus_metadata metadata;
    if (!about->ended || tus_headers_metadata(about->metadata, &request->arena, &metadata, NULL) != STATUS_OK)
        return;
    struct text name = tus_headers_value(&metadata, TEXT("dataset"));
    char *address = arena_alloc(&request->arena, sizeof(front) + name.size);
    if (address != NULL)
        tell(told, "location",
             text_of(address, (size_t)snprintf(address, sizeof(front) + name.size, "%s%.*s", front, TEXT_ARGS(name))));
}

enum stage_verdict upload_session_accept(struct request *request, struct session *session)
{
    struct session_about about = session_about(session);
    struct told told = {.count = 0};
    tell_session(request, &about, &told);
    tell_rows(request, &about, &told);
    session_release(session);
    struct respond_head head = {.status = 204,
                                .reason = "No Content",
                                .cache_control = "no-store",
                                .headers = told.headers,
                                .header_count = told.count};
    return respond_send(request, &head, TEXT_NONE, NULL);
}

static struct text show(struct request *request, const struct session_about *about)
{
    char expires[DATE_INSTANT_TEXT_SIZE];
    struct buffer body;
    buffer_init(&body, 65536);
    struct json json = json_writer(&body);
    date_format_instant(about->expires_s * 1000000, expires);
    json_open_object(&json);
    json_field_string(&json, "session_id", about->id);
    json_field_int64(&json, "offset", (int64_t)about->offset);
    json_field_int64(&json, "length", (int64_t)about->length);
    json_field_string(&json, "expires_at", expires);
    json_field_string(&json, "state", about->ended ? "loaded" : "open");
    json_key(&json, TEXT("result"));
    if (about->ended && about->result.size != 0)
        json_raw(&json, about->result);
    else
        json_nothing(&json);
    json_close_object(&json);
    buffer_append_char(&body, '\n');
    struct text kept = body.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&body));
    buffer_free(&body);
    return kept;
}

enum stage_verdict upload_session_show(struct request *request, struct session *session)
{
    struct session_about about = session_about(session);
    struct told told = {.count = 0};
    struct text body = show(request, &about);
    tell_session(request, &about, &told);
    tell(&told, "upload-length", number(request, about.length));
    tell(&told, "upload-metadata", about.metadata.size != 0 ? arena_copy(&request->arena, about.metadata) : TEXT_NONE);
    session_release(session);
    if (body.data == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .cache_control = "no-store",
                                .headers = told.headers,
                                .header_count = told.count};
    return respond_send(request, &head, body, NULL);
}

static enum stage_verdict refuse(struct request *request, enum status status, const struct failure *failure)
{
    static const enum problem problems[] = {[STATUS_INVALID] = PROBLEM_INVALID_PARAMETER,
                                            [STATUS_NOT_FOUND] = PROBLEM_NOT_FOUND,
                                            [STATUS_CONFLICT] = PROBLEM_LOCKED,
                                            [STATUS_TOO_LARGE] = PROBLEM_BODY_TOO_LARGE,
                                            [STATUS_BUSY] = PROBLEM_QUOTA_EXCEEDED};
    if (status == STATUS_FAILED || status >= sizeof(problems) / sizeof(problems[0]) || problems[status] == 0)
        return problem_send_status(request, STATUS_FAILED);
    return problem_send(request, problems[status], "%s", failure->message);
}

static bool hold(struct request *request, struct session **session)
{
    struct failure failure;
    enum status status = sessions_hold(request->worker->server->sessions, request_value(request, SESSION_ID)->text,
                                       owner_of(request), session, &failure);
    if (status != STATUS_OK)
        refuse(request, status, &failure);
    return status == STATUS_OK;
}

/* What this customer's tier lets him keep bounds one file as well. */
static bool check_length(struct request *request, uint64_t length)
{
    const struct server *server = request->worker->server;
    uint64_t most = sessions_most(server->sessions);
    const struct config_tier *tier = request->allowance;
    if (tier != NULL && tier->upload_bytes != 0 && tier->upload_bytes < most)
        most = tier->upload_bytes;
    if (length == 0)
        problem_send(request, PROBLEM_INVALID_FILE, "Upload-Length is 0: an empty file has nothing to load");
    else if (length > most)
        problem_send(request, PROBLEM_BODY_TOO_LARGE, "Upload-Length is %llu, %llu bytes are allowed here",
                     (unsigned long long)length, (unsigned long long)most);
    return length != 0 && length <= most;
}

static bool has_body(const struct request *request)
{
    struct ingest_connection *connection = ingest_of(request);
    return connection != NULL ? ingest_has_body(connection)
                              : request->h2o->entity.base != NULL && request->h2o->entity.len != 0;
}

/* Bytes are kept for registered customers only, and not first refused behind the last one. */
static enum stage_verdict plan_create(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    if (plan(request) != STAGE_NEXT)
        return STAGE_DONE;
    struct own_sql *own = arena_calloc(&request->arena, 1, sizeof(*own));
    return own != NULL ? own_begin(request, own) : problem_send_status(request, STATUS_TOO_LARGE);
}

static enum stage_verdict create(struct request *request)
{
    const struct openapi_value *told_metadata = request_value(request, CREATE_METADATA);
    struct text metadata = told_metadata->present ? text_trim(told_metadata->text) : TEXT("");
    uint64_t length;
    if (has_body(request))
        return problem_send(request, PROBLEM_BODY_NOT_ALLOWED,
                            "a session begins without bytes; send them with PATCH to its Location");
    if (!tus_headers_number(request_value(request, CREATE_LENGTH)->text, &length))
        return problem_send(request, PROBLEM_INVALID_PARAMETER, "Upload-Length is no number of bytes");
    if (!check_length(request, length))
        return STAGE_DONE;
    /* What can't be loaded is refused before it is sent. */
    struct load_task *load = upload_session_order(request, metadata, NULL);
    if (load == NULL)
        return STAGE_DONE;
    load_order_free(load);
    return upload_session_begin(request, metadata, length);
}

enum stage_verdict upload_session_begun(struct request *request, enum status status, const char *id,
                                        const struct failure *failure)
{
    static const char front[] = "/v1/uploads/sessions/";
    struct told told = {.count = 0};
    char *address = arena_alloc(&request->arena, sizeof(front) + SESSIONS_ID_SIZE);
    if (failure == NULL || status == STATUS_UNAVAILABLE)
        return problem_send_status(request, status);
    if (status != STATUS_OK)
        return refuse(request, status, failure);
    if (address == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    int size = snprintf(address, sizeof(front) + SESSIONS_ID_SIZE, "%s%s", front, id);
    int64_t lifetime_s = request->worker->server->config->uploads.sessions_lifetime_ms / 1000;
    tell(&told, "location", text_of(address, (size_t)size));
    tell(&told, "upload-expires", http_date(request, request->arrived_us / 1000000 + lifetime_s));
    struct respond_head head = {.status = 201,
                                .reason = "Created",
                                .cache_control = "no-store",
                                .headers = told.headers,
                                .header_count = told.count};
    return respond_send(request, &head, TEXT_NONE, NULL);
}

/* Bytes that the head tells of; false: chunked. */
static bool told_size(const struct request *request, uint64_t *size)
{
    struct ingest_connection *connection = ingest_of(request);
    *size = connection != NULL ? ingest_length(connection)
                               : (request->h2o->entity.base != NULL ? request->h2o->entity.len : 0);
    return *size != UINT64_MAX;
}

/* STAGE_NEXT with the session still held, or it was answered. */
static enum stage_verdict check_piece(struct request *request, struct session *session, uint64_t offset)
{
    struct session_about about = session_about(session);
    uint64_t size, left = about.length - about.offset;
    if (about.refused)
        return upload_session_refuse(request, session);
    if (offset != about.offset) {
        session_release(session);
        return problem_send(request, PROBLEM_CONFLICT,
                            "Upload-Offset is %llu, and the session's is %llu; go on from there",
                            (unsigned long long)offset, (unsigned long long)about.offset);
    }
    if (told_size(request, &size) && size > left) {
        session_release(session);
        return problem_send(request, PROBLEM_BODY_TOO_LARGE,
                            "the body has %llu bytes, and %llu are left of Upload-Length", (unsigned long long)size,
                            (unsigned long long)left);
    }
    return about.ended ? upload_session_accept(request, session) : STAGE_NEXT;
}

static enum stage_verdict patch(struct request *request)
{
    const struct openapi_value *told_checksum = request_value(request, PATCH_CHECKSUM);
    struct tus_checksum checksum;
    struct failure failure;
    struct session *session;
    uint64_t offset;
    if (!tus_headers_number(request_value(request, PATCH_OFFSET)->text, &offset))
        return problem_send(request, PROBLEM_INVALID_PARAMETER, "Upload-Offset is no number of bytes");
    if (tus_headers_checksum(told_checksum->present ? told_checksum->text : TEXT_NONE, &checksum, &failure) !=
        STATUS_OK)
        return problem_send(request, PROBLEM_INVALID_PARAMETER, "%s", failure.message);
    if (!hold(request, &session))
        return STAGE_DONE;
    enum stage_verdict verdict = check_piece(request, session, offset);
    if (verdict != STAGE_NEXT)
        return verdict;
    struct session_about about = session_about(session);
    struct load_task *load = upload_session_order(request, about.metadata, about.id);
    if (load != NULL)
        return upload_session_start(request, session, load, &checksum, true);
    session_release(session);
    return STAGE_DONE;
}

/* A session whose bytes are all there and that was not loaded (its process ended then, or the database was away) is
 * loaded now: the client takes an offset at the end for success. */
static enum stage_verdict state(struct request *request)
{
    static const struct tus_checksum none;
    struct session *session;
    if (!hold(request, &session))
        return STAGE_DONE;
    struct session_about about = session_about(session);
    if (about.ended || about.offset < about.length)
        return about.refused ? upload_session_refuse(request, session) : upload_session_show(request, session);
    struct load_task *load = upload_session_order(request, about.metadata, about.id);
    if (load != NULL)
        return upload_session_start(request, session, load, &none, false);
    session_release(session);
    return STAGE_DONE;
}

static enum stage_verdict drop(struct request *request)
{
    static const struct respond_head head = {.status = 204, .reason = "No Content", .cache_control = "no-store"};
    struct session *session;
    if (!hold(request, &session))
        return STAGE_DONE;
    session_remove(session);
    return respond_send(request, &head, TEXT_NONE, NULL);
}

const struct handler handlers_upload_session_create = {"uploadSessionCreate", create_parameters, plan_create, create};
const struct handler handlers_upload_session_head = {"uploadSessionHead", session_parameters, plan, state};
const struct handler handlers_upload_session_patch = {"uploadSessionPatch", patch_parameters, plan, patch};
const struct handler handlers_upload_session_delete = {"uploadSessionDelete", session_parameters, plan, drop};
