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
        status = set_password(session, config->database.user, &config->database.password, failure);
    if (status == STATUS_OK)
        status = set_password(session, config->database.writer_user, &config->database.writer_password, failure);
    return status;
}
