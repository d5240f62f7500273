#include "api/migrate.h"

#include "sql/migrations.h"

static void on_applied(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) != 0;
}

/* A migration and the note that it was made, in one transaction. */
static enum status apply(struct postgres_session *session, const struct migration *migration, FILE *out,
                         struct failure *failure)
{
    bool applied = false;
    struct text name = text_from_string(migration->name);
    enum status status = postgres_session_query(session, "select 1 from sluice.migration where name = $1", 1, &name,
                                                on_applied, &applied, failure);
    if (status != STATUS_OK || applied)
        return status;
    struct buffer sql;
    buffer_init(&sql, (size_t)4 << 20);
    buffer_append(&sql, migration->begin, (size_t)(migration->end - migration->begin));
    buffer_printf(&sql, "\n;insert into sluice.migration (name) values ('%s')", migration->name);
    const char *text = buffer_c_string(&sql);
    status = text != NULL ? postgres_session_script(session, text, failure)
                          : failure_set(failure, STATUS_FAILED, "out of memory");
    buffer_free(&sql);
    if (status == STATUS_OK)
        fprintf(out, "applied %s\n", migration->name);
    else
        fprintf(out, "%s failed; nothing of it remains\n", migration->name);
    return status;
}

static enum status set_password(struct postgres_session *session, const char *role, const struct config_secret *secret,
                                struct failure *failure)
{
    struct buffer password;
    buffer_init(&password, 65536);
    enum status status = role != NULL ? config_secret_read(secret, &password, failure) : STATUS_OK;
    if (status == STATUS_OK && password.size != 0)
        status = postgres_session_set_password(session, role, buffer_c_string(&password), failure);
    buffer_free(&password);
    return status;
}

static void on_rule(void *context, const struct postgres_rows *rows)
{
    FILE *out = context;
    if (postgres_rows_count(rows) != 0)
        fprintf(out, "audit log: %.*s\n", TEXT_ARGS(postgres_rows_value(rows, 0, 0)));
}

/* How long the audit log is kept is the owner's word: the gateways' login may ask for less to be deleted, never more.
 */
static enum status set_rule(struct postgres_session *session, const struct config *config, FILE *out,
                            struct failure *failure)
{
    char ship_days[16], keep_days[16];
    snprintf(ship_days, sizeof(ship_days), "%u", config->audit.ship_days);
    snprintf(keep_days, sizeof(keep_days), "%u", config->audit.keep_days);
    const struct text parameters[] = {text_from_string(ship_days), text_from_string(keep_days)};
    return postgres_session_query(session,
                                  "update sluice.audit_rule set ship_days = $1::integer, keep_days = $2::integer"
                                  " where (ship_days, keep_days) <> ($1::integer, $2::integer)"
                                  " returning format('shipped records stay %s, files %s',"
                                  "   coalesce(nullif(ship_days, 0) || ' days', 'for ever'),"
                                  "   coalesce(nullif(keep_days, 0) || ' days', 'for ever'))",
                                  2, parameters, on_rule, out, failure);
}

enum status migrate_run(const struct config *config, struct postgres_session *session, FILE *out,
                        struct failure *failure)
{
    /* Two of us at once wait for each other; the lock ends with the session. */
    enum status status = postgres_session_script(session,
                                                 "set client_min_messages = warning; select pg_advisory_lock(77531902);"
                                                 "create schema if not exists sluice;"
                                                 "create table if not exists sluice.migration (name text primary key,"
                                                 " applied_at timestamptz not null default clock_timestamp())",
                                                 failure);
    for (size_t i = 0; status == STATUS_OK && i < migrations_count; i++)
        status = apply(session, &migrations[i], out, failure);
    if (status == STATUS_OK)
        status = set_rule(session, config, out, failure);
    if (status == STATUS_OK)
        status = set_password(session, config->database.user, &config->database.password, failure);
    if (status == STATUS_OK)
        status = set_password(session, config->database.writer_user, &config->database.writer_password, failure);
    return status;
}
