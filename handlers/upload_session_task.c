/* A piece of a resumable upload on its thread: it comes to the disk, and behind the last one the load runs. */
#include <jansson.h>
#include <stdlib.h>

#include "api/problem.h"
#include "base/log.h"
#include "handlers/upload_session.h"

/* What is kept of a load's answer: all but the columns and the first bad rows, which GET /v1/uploads/{dataset} tells.
 */
static void append_result(struct text answer, struct buffer *out)
{
    static const char *const kept[] = {"dataset",     "created", "mode",   "rows",    "inserted", "updated",
                                       "quarantined", "bytes",   "digest", "version", NULL};
    json_t *whole = json_loadb(answer.data, answer.size, 0, NULL), *result = json_object();
    for (size_t i = 0; kept[i] != NULL; i++) {
        json_t *value = json_object_get(whole, kept[i]);
        if (value != NULL)
            json_object_set(result, kept[i], value);
    }
    char *text = json_dumps(result, JSON_COMPACT | JSON_ENSURE_ASCII);
    buffer_append_string(out, text != NULL ? text : "{}");
    free(text);
    json_decref(result);
    json_decref(whole);
}

static void keep_result(struct upload_piece *piece)
{
    struct buffer result;
    struct failure failure;
    buffer_init(&result, SESSIONS_RESULT_MAX);
    append_result(piece->load->report.answer, &result);
    /* Where it can't be kept: the next one who asks finds the answer under the load's idempotency key. */
    if (session_end(piece->session, result.failed ? TEXT("{}") : buffer_text(&result), &failure) != STATUS_OK)
        log_event(LOG_WARNING, "upload_session_not_ended", "%s", failure.message);
    buffer_free(&result);
}

/* The file itself is refused: sending it again would change nothing. Past the body's end STATUS_TOO_LARGE is the
 * customer's quota. */
static bool is_final(const struct load_task *load)
{
    return load->status == STATUS_INVALID || (load->status == STATUS_TOO_LARGE && load->report.raw_bytes != 0);
}

/* The client may have left: all its bytes are here, so that the load goes on. Only the process's end stops it, and then
 * whoever asks for the session next has it made up for. */
static void run_load(struct upload_piece *piece)
{
    struct load_task *load = piece->load;
    piece->loads = true;
    piece->file = session_source(piece->session);
    load->source = &piece->file;
    load->cancelled = &load->server->draining;
    load_order_run(&load->base.task);
    if (load->status == STATUS_OK) {
        keep_result(piece);
    } else if (is_final(load)) {
        upload_session_keep_reason(piece->session, load);
    } else if (load->status == STATUS_DENIED) { /* registered no more */
        session_remove(piece->session);
        piece->session = NULL;
    }
}

static void run(struct task *base)
{
    struct upload_piece *piece = (struct upload_piece *)base;
    struct load_task *load = piece->load;
    if (piece->receives) {
        struct body_source source =
            load->connection != NULL ? ingest_source(load->connection) : body_source_memory(&load->memory);
        piece->status = session_receive(piece->session, &source, &piece->checksum, &base->cancelled, &piece->failure);
    }
    struct session_about about = session_about(piece->session);
    if (piece->status == STATUS_OK && about.offset == about.length)
        run_load(piece);
}

static void refuse_piece(struct request *request, const struct upload_piece *piece)
{
    const char *words = piece->failure.message;
    switch (piece->status) {
    case STATUS_DENIED:
        problem_send(request, PROBLEM_CHECKSUM, "%s", words);
        return;
    case STATUS_TOO_LARGE:
        problem_send(request, PROBLEM_BODY_TOO_LARGE, "%s", words);
        return;
    case STATUS_INVALID:
        problem_send(request, PROBLEM_BAD_REQUEST, "%s", words);
        return;
    case STATUS_UNAVAILABLE:
        problem_send(request, PROBLEM_UNAVAILABLE,
                     "the body did not come to its end; ask for Upload-Offset, and go on from there");
        return;
    case STATUS_TIMEOUT:
        problem_send(request, PROBLEM_TIMEOUT,
                     "the body came too slowly: %s; what came is kept: ask for Upload-Offset, and go on from there",
                     words);
        return;
    default:
        log_event(LOG_WARNING, "upload_session_failed", "%s", words);
        problem_send_status(request, STATUS_FAILED);
    }
}

/* Takes the session. */
static void answer_well(struct request *request, const struct upload_piece *piece)
{
    if (piece->receives)
        upload_session_accept(request, piece->session);
    else
        upload_session_show(request, piece->session);
}

static void done(struct request_task *base)
{
    struct upload_piece *piece = (struct upload_piece *)base;
    struct load_task *load = piece->load;
    struct request *request = base->request;
    bool refused = piece->loads && load->status != STATUS_OK;
    bool well = request != NULL && base->task.started && piece->status == STATUS_OK && !refused;
    if (request != NULL && piece->loads)
        request->rows = load->report.rows;
    if (well)
        answer_well(request, piece);
    else if (piece->session != NULL) /* before anything is answered, there as here */
        session_release(piece->session);
    if (request != NULL && !base->task.started)
        problem_send_status(request, STATUS_UNAVAILABLE);
    else if (request != NULL && piece->status != STATUS_OK)
        refuse_piece(request, piece);
    if (refused) { /* answers as putUpload does */
        load->base.request = request;
        load->base.task.started = true;
        load_order_done(&load->base);
    } else {
        load_order_free(load);
    }
    free(piece);
}

enum stage_verdict upload_session_start(struct request *request, struct session *session, struct load_task *load,
                                        const struct tus_checksum *checksum, bool receives)
{
    struct upload_piece *piece = calloc(1, sizeof(*piece));
    enum status status = STATUS_TOO_LARGE;
    if (piece != NULL) {
        piece->base.task.run = run;
        piece->base.done = done;
        piece->session = session;
        piece->load = load;
        piece->checksum = *checksum;
        piece->receives = receives;
        status = request_task_start(request, &piece->base);
    }
    if (status == STATUS_OK)
        return STAGE_WAIT;
    free(piece);
    session_release(session);
    load_order_free(load);
    return problem_send_status(request, status);
}
