#include "api/revocations_admin.h"

#include <pwd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#define LINE_CEILING 65536

/* The columns as texts that say a time in UTC. */
#define COLUMNS                                                                                                        \
    "kind, nullif(customer, ''), nullif(subject, ''), nullif(jti, ''), to_char(before at time zone 'UTC', " FORM       \
    "), to_char(until at time zone 'UTC', " FORM "), to_char(at at time zone 'UTC', " FORM "), by"
#define FORM "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'"

const char revocations_sql[] = "select " COLUMNS " from sluice.revoke($1, $2, $3, $4, $5::bigint, $6::bigint, $7)";

struct revocation_lives revocations_lives(const struct config *config)
{
    return (struct revocation_lives){config->auth.max_lifetime_s + 2 * config->auth.leeway_s, config->auth.leeway_s};
}

static struct text write_number(char out[24], int64_t value)
{
    return text_of(out, (size_t)snprintf(out, 24, "%lld", (long long)value));
}

void revocations_parameters(const struct revocation *order, struct text by, struct revocations_parameters *parameters)
{
    *parameters = (struct revocations_parameters){0};
    bool is_token = order->kind == REVOCATION_TOKEN;
    struct text *texts = parameters->texts;
    texts[0] = text_from_string(revocation_kind_name(order->kind));
    texts[1] = order->customer;
    texts[2] = order->subject;
    texts[3] = order->token_id;
    texts[4] = is_token ? TEXT_NONE : write_number(parameters->before, order->before_s);
    texts[5] = write_number(parameters->until, order->until_s);
    texts[6] = by;
}

void revocations_append_json(struct buffer *out, const struct postgres_rows *rows, size_t row)
{
    static const char *const names[] = {"kind", "customer", "subject", "jti", "before", "until", "at", "by"};
    struct json json = json_writer(out);
    json_open_object(&json);
    for (size_t i = 0; i < 8; i++) {
        struct text value = postgres_rows_value(rows, row, i);
        if (value.data != NULL)
            json_field_text(&json, names[i], value);
    }
    json_close_object(&json);
}

struct printing {
    FILE *out;
    bool json;
    struct buffer *line;
};

/* Subjects are what an issuer made them: quoted, so that none writes on the terminal. */
static void print_row(const struct printing *printing, const struct postgres_rows *rows, size_t row)
{
    struct buffer *line = printing->line;
    struct text cells[8];
    for (size_t i = 0; i < 8; i++)
        cells[i] = postgres_rows_value(rows, row, i);
    buffer_clear(line);
    if (printing->json) {
        revocations_append_json(line, rows, row);
    } else if (cells[3].data != NULL) {
        buffer_append_literal(line, "the token ");
        json_append_string(line, cells[3]);
    } else {
        buffer_append_literal(line, "tokens of the customer ");
        json_append_string(line, cells[1]);
        if (cells[2].data != NULL) {
            buffer_append_literal(line, ", subject ");
            json_append_string(line, cells[2]);
        }
        buffer_printf(line, ", issued before %.*s", TEXT_ARGS(cells[4]));
    }
    if (!printing->json) {
        buffer_printf(line, "; kept until %.*s; written %.*s by ", TEXT_ARGS(cells[5]), TEXT_ARGS(cells[6]));
        json_append_string(line, cells[7]);
    }
    fprintf(printing->out, "%.*s", (int)line->size, line->data);
}

static void on_revoked(void *context, const struct postgres_rows *rows)
{
    const struct printing *printing = context;
    if (postgres_rows_count(rows) != 1)
        return;
    fputs("revoked: ", printing->out);
    print_row(printing, rows, 0);
    fputs("\n", printing->out);
}

enum status revocations_revoke(const struct config *config, struct postgres_session *session,
                               const struct revocation_wish *wish, FILE *out, struct failure *failure)
{
    struct revocation order;
    struct revocations_parameters parameters;
    struct buffer line;
    char by[64];
    const struct revocation_lives lives = revocations_lives(config);
    enum status status = revocation_order_make(wish, clock_wall_us() / 1000000, &lives, &order, failure);
    if (status != STATUS_OK)
        return status;
    const struct passwd *user = getpwuid(getuid());
    snprintf(by, sizeof(by), "%s", user != NULL ? user->pw_name : "");
    if (by[0] == '\0')
        snprintf(by, sizeof(by), "uid %u", (unsigned)getuid());
    revocations_parameters(&order, text_from_string(by), &parameters);
    buffer_init(&line, LINE_CEILING);
    struct printing printing = {out, false, &line};
    status = postgres_session_query(session, revocations_sql, REVOCATIONS_PARAMETERS, parameters.texts, on_revoked,
                                    &printing, failure);
    buffer_free(&line);
    return status;
}

static void on_list(void *context, const struct postgres_rows *rows)
{
    const struct printing *printing = context;
    size_t count = postgres_rows_count(rows);
    for (size_t i = 0; i < count; i++) {
        if (printing->json)
            fputs(i == 0 ? "[" : ",\n", printing->out);
        print_row(printing, rows, i);
        if (!printing->json)
            fputs("\n", printing->out);
    }
    if (printing->json)
        fputs(count == 0 ? "[]\n" : "]\n", printing->out);
    else if (count == 0)
        fputs("nothing is revoked\n", printing->out);
}

enum status revocations_list(struct postgres_session *session, bool json, FILE *out, struct failure *failure)
{
    struct buffer line;
    buffer_init(&line, LINE_CEILING);
    struct printing printing = {out, json, &line};
    enum status status =
        postgres_session_query(session,
                               "select " COLUMNS " from sluice.revocation where until > clock_timestamp() order by "
                               "counter desc",
                               0, NULL, on_list, &printing, failure);
    buffer_free(&line);
    return status;
}
