/* Why a session's file was refused: kept with the session, and told to whoever asks for it until it expires. */
#include <jansson.h>
#include <stdlib.h>

#include "api/problem.h"
#include "base/log.h"
#include "handlers/upload_session.h"

#define CUT_MAX 3 /* bytes of a character whose end a failure's words have lost */

/* NULL: it is no UTF-8. */
static json_t *string_of(struct text words)
{
    json_t *string = json_stringn(words.data, words.size);
    for (size_t cut = 1; string == NULL && cut <= CUT_MAX && cut <= words.size; cut++)
        string = json_stringn(words.data, words.size - cut);
    return string;
}

/* In ASCII: it goes into a header too. To be freed. */
static char *make_reason(const struct load_task *load)
{
    enum problem problem = load->status == STATUS_TOO_LARGE ? PROBLEM_QUOTA_EXCEEDED : PROBLEM_INVALID_FILE;
    json_t *reason = json_object(), *message = string_of(text_from_string(load->failure.message));
    json_object_set_new(reason, "problem", json_string(problem_name(problem)));
    json_object_set_new(reason, "message", message != NULL ? message : json_string("the file was refused"));
    if (load->report.column.data != NULL)
        json_object_set_new(reason, "column", string_of(load->report.column));
    if (load->report.line != 0)
        json_object_set_new(reason, "line", json_integer((json_int_t)load->report.line));
    char *text = json_dumps(reason, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(reason);
    return text;
}

void upload_session_keep_reason(struct session *session, const struct load_task *load)
{
    struct failure failure;
    char *reason = make_reason(load);
    /* Where it can't be kept the bytes stay: whoever asks next has the load tried again, and is told then. */
    if (session_refuse(session, text_from_string(reason != NULL ? reason : "{}"), &failure) != STATUS_OK)
        log_event(LOG_WARNING, "upload_session_not_ended", "%s", failure.message);
    free(reason);
}

enum stage_verdict upload_session_refuse(struct request *request, struct session *session)
{
    struct text kept = arena_copy(&request->arena, session_about(session).result);
    session_release(session);
    json_t *reason = kept.data != NULL ? json_loadb(kept.data, kept.size, 0, NULL) : NULL;
    const char *problem = json_string_value(json_object_get(reason, "problem"));
    const char *message = json_string_value(json_object_get(reason, "message"));
    const char *column = json_string_value(json_object_get(reason, "column"));
    json_int_t line = json_integer_value(json_object_get(reason, "line"));
    struct problem_mistake mistake = {.place = "file",
                                      .field = column != NULL ? column : "",
                                      .message = message != NULL ? message : "the file was refused",
                                      .line = line > 0 ? (uint64_t)line : 0};
    if (kept.data != NULL) /* HEAD's answer has no body that could tell it */
        h2o_add_header_by_str(&request->h2o->pool, &request->h2o->res.headers, H2O_STRLIT("sluice-upload"), 0, NULL,
                              kept.data, kept.size);
    enum stage_verdict verdict = problem != NULL && strcmp(problem, problem_name(PROBLEM_QUOTA_EXCEEDED)) == 0
                                     ? problem_send(request, PROBLEM_QUOTA_EXCEEDED, "%s", mistake.message)
                                     : problem_send_mistake(request, PROBLEM_INVALID_FILE, &mistake);
    json_decref(reason);
    return verdict;
}
