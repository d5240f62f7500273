#include "handlers/read_error.h"

#include "api/problem.h"
#include "base/log.h"

#define FIELD_MAX 128 /* bytes of a parameter's name that are told; no column's is longer than 63 */
#define ASKS 4        /* of the catalog: it may change again while it is asked */

const char *read_error_field(struct request *request, struct text parameter)
{
    if (parameter.size > FIELD_MAX) {
        parameter.size = FIELD_MAX;
        while (parameter.size != 0 && ((unsigned char)parameter.data[parameter.size] & 0xC0) == 0x80)
            parameter.size--;
    }
    struct text name = arena_copy(&request->arena, parameter);
    return name.data != NULL && name.size != 0 ? name.data : "query";
}

enum stage_verdict read_error_mistake(struct request *request, enum status status, const struct select_mistake *mistake)
{
    struct problem_mistake told = {.place = "query",
                                   .field = read_error_field(request, mistake->place.parameter),
                                   .message = mistake->message,
                                   .column = mistake->place.column};
    return problem_send_mistake(
        request, status == STATUS_NOT_FOUND ? PROBLEM_UNSUPPORTED_OPERATOR : PROBLEM_INVALID_PARAMETER, &told);
}

static bool is(const struct postgres_error *error, const char *sqlstate)
{
    return strcmp(error->sqlstate, sqlstate) == 0;
}

bool read_error_is_outdated(const struct postgres_error *error)
{
    /* "could not open relation", "cache lookup failed"; a deadlock with what replaces the relations that it reads. */
    if (is(error, "XX000") || is(error, "40P01"))
        return true;
    /* Undefined table, column, schema or function; a plan whose result type has changed; a privilege that was taken. */
    return is(error, "42P01") || is(error, "42703") || is(error, "3F000") || is(error, "42883") || is(error, "0A000") ||
           is(error, "42501");
}

bool read_error_passes(const char *sqlstate, const char *message)
{
    /* The server's own words for what is not there any more: elog() translates none. */
    static const char *const gone[] = {"could not open relation with OID", "cache lookup failed for relation"};
    if (strncmp(sqlstate, "40", 2) == 0)
        return true;
    for (size_t i = 0; strcmp(sqlstate, "XX000") == 0 && i < sizeof(gone) / sizeof(gone[0]); i++)
        if (strstr(message, gone[i]) != NULL)
            return true;
    return false;
}

bool read_error_asks_again(const struct request *request, const struct postgres_error *error, unsigned *asked,
                           enum status *status)
{
    *status = error == NULL ? STATUS_OK : error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
    if (error == NULL)
        return false;
    if (read_error_is_outdated(error) && ++*asked < ASKS)
        return true;
    if (*status == STATUS_FAILED || *status == STATUS_DENIED)
        log_event(LOG_ERROR, "catalog_failed", "request %s: the catalog cannot be asked: %s %s", request->id,
                  error->sqlstate, error->message);
    return false;
}

/* SQLSTATEs that a caller's values, casts and patterns bring about, and what to tell of them. Without any of those the
 * fault is in the database's own views. */
static const struct {
    const char *sqlstate;
    enum problem problem;
    const char *words;
} mistakes[] = {
    {"22P02", PROBLEM_INVALID_PARAMETER, "a value is not of the type of its column or cast"},
    {"22P03", PROBLEM_INVALID_PARAMETER, "a value is not of the type of its column or cast"},
    {"22003", PROBLEM_INVALID_PARAMETER, "a number is outside of the range of its column's or cast's type"},
    {"22007", PROBLEM_INVALID_PARAMETER, "a value is no date or time that its column or cast can hold"},
    {"22008", PROBLEM_INVALID_PARAMETER, "a date or time is outside of the range of its type"},
    {"22009", PROBLEM_INVALID_PARAMETER, "a time zone displacement is outside of its range"},
    {"22019", PROBLEM_INVALID_PARAMETER, "the pattern of like or ilike has a wrong escape character"},
    {"22025", PROBLEM_INVALID_PARAMETER, "the pattern of like or ilike ends with its escape character; double it"},
    {"2201B", PROBLEM_INVALID_PARAMETER, "the regular expression of match or imatch is not valid"},
    {"22023", PROBLEM_INVALID_PARAMETER, "a value, language or time zone is not known to the database"},
    {"22030", PROBLEM_INVALID_PARAMETER, "a JSON value has a key twice"},
    {"22032", PROBLEM_INVALID_PARAMETER, "a value is no JSON"},
    {"2203G", PROBLEM_INVALID_PARAMETER, "a JSON value is not of the kind that the cast needs"},
    {"22000", PROBLEM_INVALID_PARAMETER, "a range's lower end is above its upper one, or a value is not valid"},
    {"2202E", PROBLEM_INVALID_PARAMETER, "an array's dimensions do not fit"},
    {"22021", PROBLEM_INVALID_PARAMETER, "a value holds a byte that the database's encoding lacks"},
    {"22P05", PROBLEM_INVALID_PARAMETER, "a value holds a character that the database's encoding lacks"},
    {"22001", PROBLEM_INVALID_PARAMETER, "a value is too long for its type"},
    {"2200N", PROBLEM_INVALID_PARAMETER, "a value is no valid XML"},
    {"2200M", PROBLEM_INVALID_PARAMETER, "a value is no valid XML document"},
    {"42601", PROBLEM_INVALID_PARAMETER, "a text search query or a type's name cannot be read"},
    {"42704", PROBLEM_INVALID_PARAMETER, "a cast names a type, or a text search names a language, that is not known"},
    {"42846", PROBLEM_INVALID_PARAMETER, "a column cannot be cast to that type"},
    {"42804", PROBLEM_INVALID_PARAMETER, "a filter needs a column of another type (is.true and its kin need boolean)"},
    {"42803", PROBLEM_INVALID_PARAMETER, "a column must be grouped or aggregated"},
    {"42809", PROBLEM_INVALID_PARAMETER, "the operator needs an array or a range"},
    {"42703", PROBLEM_INVALID_PARAMETER, "a column is not there any more"},
    {"42P18", PROBLEM_INVALID_PARAMETER, "the type of a value cannot be told; cast the column"},
    {"42P22", PROBLEM_INVALID_PARAMETER, "the collation of a comparison cannot be told"},
    {"42725", PROBLEM_INVALID_PARAMETER, "the operator or aggregate is ambiguous for this type; cast the column"},
    {"23514", PROBLEM_INVALID_PARAMETER, "a value breaks a rule of its domain"},
    {"54000", PROBLEM_INVALID_PARAMETER, "the query is too complex for the database"},
    {"54001", PROBLEM_INVALID_PARAMETER, "the query is too complex for the database"},
    {"54011", PROBLEM_INVALID_PARAMETER, "the query has too many columns"},
    {"54023", PROBLEM_INVALID_PARAMETER, "the query has too many values"},
    {"0A000", PROBLEM_INVALID_PARAMETER, "the database does not offer this cast or comparison for the column's type"},
    {"42883", PROBLEM_UNSUPPORTED_OPERATOR, "the type of a column lacks the operator or the aggregate"},
};

/* What the planner of PostgreSQL finds wrong with the statement itself is the caller's whether or not he gave values.
 */
static bool is_about_statement(const struct postgres_error *error)
{
    return strncmp(error->sqlstate, "42", 2) == 0 || strncmp(error->sqlstate, "54", 2) == 0;
}

static void log_error(const struct request *request, const struct postgres_error *error)
{
    log_event(LOG_ERROR, "query_failed", "request %s, %.*s in lane %s: %s %s", request->id,
              TEXT_ARGS(request->plan.relation), plan_lane_name(request->plan.lane), error->sqlstate, error->message);
}

void read_error_send(struct request *request, const struct select_plan *select, const struct postgres_error *error)
{
    if (is(error, "42P01") || is(error, "3F000") || error->status == STATUS_DENIED) {
        problem_send(request, PROBLEM_NOT_FOUND,
                     "no dataset of this name is served to this caller; GET /v1/datasets lists those that are");
        return;
    }
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        if (!is(error, mistakes[i].sqlstate) || !(select->caller_values || is_about_statement(error)))
            continue;
        struct problem_mistake told = {
            .place = "query", .field = "query", .message = mistakes[i].words, .sqlstate = mistakes[i].sqlstate};
        problem_send_mistake(request, mistakes[i].problem, &told);
        return;
    }
    if (request->plan.lane == PLAN_CUSTOMER && strncmp(error->sqlstate, "22", 2) == 0) {
        problem_send(request, PROBLEM_BAD_REQUEST,
                     "what defines %.*s failed on a value of its data (SQLSTATE %s); correct its definition, or filter "
                     "the rows that it fails on",
                     TEXT_ARGS(request->plan.relation), error->sqlstate);
        return;
    }
    if (read_error_passes(error->sqlstate, error->message)) { /* again and again: nobody's mistake */
        problem_send_status(request, STATUS_UNAVAILABLE);
        return;
    }
    bool ours = error->status == STATUS_INVALID || error->status == STATUS_FAILED;
    if (ours)
        log_error(request, error);
    problem_send_status(request, ours ? STATUS_FAILED : error->status);
}
