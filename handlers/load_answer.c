/* What came of a load, for the client: JSON, or a problem. */
#include "api/problem.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/log.h"
#include "handlers/load_order.h"

#define CREATED "\"created\":true" /* behind the dataset's name, which holds no quote */

static void append_columns(struct json *json, const struct load_report *report)
{
    json_key(json, TEXT("columns"));
    json_open_array(json);
    for (size_t i = 0; i < report->column_count; i++) {
        json_open_object(json);
        json_field_text(json, "name", report->columns[i].name);
        json_field_string(json, "type", report->columns[i].type);
        json_field_bool(json, "guessed", report->columns[i].guessed);
        json_close_object(json);
    }
    json_close_array(json);
}

static void append_guess(struct json *json, const char *name, const struct sniffed *sniffed)
{
    const char quote[] = {sniffed->csv.quote, '\0'};
    if (strcmp(name, "format") == 0)
        json_field_string(json, name, sniff_format_name(sniffed->format));
    else if (strcmp(name, "encoding") == 0)
        json_field_string(json, name, text_encoding_name(sniffed->encoding));
    else if (strcmp(name, "delimiter") == 0)
        json_field_text(json, name, text_of(&sniffed->csv.delimiter, 1));
    else if (strcmp(name, "quote") == 0)
        json_field_string(json, name, sniffed->csv.quote != '\0' ? quote : "none");
    else if (strcmp(name, "header") == 0)
        json_field_bool(json, name, sniffed->csv.has_header);
    else if (strcmp(name, "null") == 0)
        json_field_text(json, name, sniffed->csv.null);
    else if (strncmp(name, "decimal", 7) == 0)
        json_field_string(json, "decimal", sniffed->decimal_comma ? "comma" : "point");
    else
        json_field_bool(json, name, true);
}

static void append_guesses(struct json *json, const struct sniffed *sniffed)
{
    json_key(json, TEXT("guessed"));
    json_open_object(json);
    for (size_t i = 0; i < sizeof(sniffed->guessed) / sizeof(sniffed->guessed[0]) && sniffed->guessed[i] != NULL; i++)
        append_guess(json, sniffed->guessed[i], sniffed);
    json_close_object(json);
}

static void append_bad(struct json *json, const struct load_report *report)
{
    json_field_int64(json, "quarantined", (int64_t)report->quarantined);
    json_key(json, TEXT("bad"));
    json_open_array(json);
    for (size_t i = 0; i < report->bad_count; i++) {
        json_open_object(json);
        json_field_int64(json, "line", (int64_t)report->bad[i].line);
        json_field_text(json, "column", report->bad[i].column);
        json_field_text(json, "reason", report->bad[i].reason);
        json_field_text(json, "raw", report->bad[i].raw);
        json_close_object(json);
    }
    json_close_array(json);
}

static void append_links(struct json *json, const struct load_task *task)
{
    char address[256];
    snprintf(address, sizeof(address), "/v1/datasets/%.*s", TEXT_ARGS(task->order.dataset));
    json_key(json, TEXT("links"));
    json_open_object(json);
    json_field_string(json, "rows", address);
    json_close_object(json);
}

enum status load_order_answer(void *context, const struct load_report *report, struct buffer *out)
{
    const struct load_task *task = context;
    char digest[8 + 64 + 1] = "sha-256:", version[24];
    struct json json = json_writer(out);
    encoding_hex(report->digest, sizeof(report->digest), digest + 8);
    digest[72] = '\0';
    snprintf(version, sizeof(version), "%llu", (unsigned long long)report->version);
    json_open_object(&json);
    json_field_text(&json, "dataset", task->order.dataset);
    json_field_bool(&json, "created", task->created);
    json_field_string(&json, "mode", load_mode_name(task->order.mode));
    json_field_int64(&json, "rows", (int64_t)report->rows);
    json_field_int64(&json, "inserted", (int64_t)report->inserted);
    json_field_int64(&json, "updated", (int64_t)report->updated);
    append_columns(&json, report);
    append_guesses(&json, &report->sniffed);
    append_bad(&json, report);
    json_field_int64(&json, "bytes", (int64_t)report->raw_bytes);
    json_field_string(&json, "digest", digest);
    json_field_text(&json, "version", report->version != 0 ? text_from_string(version) : TEXT_NONE);
    append_links(&json, task);
    json_close_object(&json);
    buffer_append_char(out, '\n');
    return out->failed ? STATUS_TOO_LARGE : STATUS_OK;
}

static void refuse_file(struct request *request, const struct load_task *task)
{
    const char *column =
        task->report.column.data != NULL ? arena_copy(&request->arena, task->report.column).data : NULL;
    struct problem_mistake mistake = {.place = "file",
                                      .field = column != NULL ? column : "",
                                      .message = task->failure.message,
                                      .line = task->report.line};
    problem_send_mistake(request, PROBLEM_INVALID_FILE, &mistake);
}

/* The framing or the pace of the body, which are no faults of the file. */
static bool refuse_body(struct request *request, const struct load_task *task)
{
    const char *words = "";
    enum status status = task->connection != NULL ? ingest_body_status(task->connection, &words) : STATUS_OK;
    if (status == STATUS_INVALID)
        problem_send(request, PROBLEM_BAD_REQUEST, "%s", words);
    else if (status == STATUS_TIMEOUT)
        problem_send(request, PROBLEM_BODY_TOO_SLOW, "%s", words);
    else if (status == STATUS_TOO_LARGE)
        problem_send(request, PROBLEM_BODY_TOO_LARGE, "%s", words);
    else
        return false;
    return true;
}

static void refuse(struct request *request, const struct load_task *task)
{
    const char *words = task->failure.message;
    if (refuse_body(request, task))
        return;
    switch (task->status) {
    case STATUS_INVALID:
        refuse_file(request, task);
        return;
    case STATUS_DENIED:
        problem_send(request, PROBLEM_KEY_REUSED, "%s", words);
        return;
    case STATUS_CONFLICT:
        problem_send(request, PROBLEM_CONFLICT, "%s", words);
        return;
    case STATUS_NOT_FOUND:
        if (task->customer.data == NULL) { /* the configuration's table: see the log */
            problem_send_status(request, STATUS_FAILED);
            return;
        }
        problem_send(request, PROBLEM_CONFLICT, "%.*s is not there any more; send the load again",
                     TEXT_ARGS(task->order.dataset));
        return;
    case STATUS_TOO_LARGE: /* behind the body's end it is the customer's quota */
        problem_send(request, task->report.raw_bytes != 0 ? PROBLEM_QUOTA_EXCEEDED : PROBLEM_BODY_TOO_LARGE, "%s",
                     words);
        return;
    case STATUS_UNAVAILABLE:
        problem_send(
            request, PROBLEM_UNAVAILABLE,
            "the load did not come to a certain end; send it again, with the same Idempotency-Key where it had "
            "one: what is loaded already is not loaded twice then");
        return;
    default:
        problem_send_status(request, task->status);
        return;
    }
}

/* Not the caller's mistake: the log tells the operator why. */
static bool is_strange(const struct load_task *task)
{
    enum status status = task->status;
    return status == STATUS_UNAVAILABLE || status == STATUS_FAILED || status == STATUS_BUSY ||
           status == STATUS_TIMEOUT || (status == STATUS_NOT_FOUND && task->customer.data == NULL);
}

static void succeed(struct request *request, const struct load_task *task)
{
    static const struct text link = {"location", 8};
    struct text answer = arena_copy(&request->arena, task->report.answer);
    char *address = arena_alloc(&request->arena, 16 + task->order.dataset.size);
    if (answer.data == NULL || address == NULL) {
        answer = TEXT("{}\n"); /* it is loaded */
        address = NULL;
    }
    size_t size = address != NULL ? (size_t)sprintf(address, "/v1/datasets/%.*s", TEXT_ARGS(task->order.dataset)) : 0;
    struct respond_header header = {link, text_of(address, size)};
    bool created = memmem(answer.data, answer.size < 128 ? answer.size : 128, CREATED, sizeof(CREATED) - 1) != NULL;
    struct respond_head head = {.status = created ? 201 : 200,
                                .reason = created ? "Created" : "OK",
                                .content_type = TEXT("application/json"),
                                .cache_control = "no-store",
                                .headers = &header,
                                .header_count = address != NULL};
    request->rows = task->report.rows;
    respond_send(request, &head, answer, NULL);
}

void load_order_done(struct request_task *base)
{
    struct load_task *task = (struct load_task *)base;
    struct request *request = base->request;
    if (!base->task.started)
        task->status = STATUS_UNAVAILABLE;
    if (is_strange(task))
        log_event(LOG_WARNING, "load_failed", "%.*s%s%.*s: %s", TEXT_ARGS(task->customer),
                  task->customer.data != NULL ? ": " : "", TEXT_ARGS(task->order.dataset), task->failure.message);
    if (request != NULL && task->status == STATUS_OK)
        succeed(request, task);
    else if (request != NULL && task->status == STATUS_DENIED && !task->registered)
        problem_send(request, PROBLEM_UNREGISTERED,
                     "uploads are for registered customers, and the token's customer is none; the operator registers "
                     "one with `sluice customer add`");
    else if (request != NULL)
        refuse(request, task);
    load_order_free(task);
}
