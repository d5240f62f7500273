#include "api/session_owners.h"

#include "api/customer_names.h"
#include "api/server.h"
#include "drivers/postgres_session.h"

#define NAMES_CEILING ((size_t)4 << 20)

struct found {
    bool *gone;
    size_t count;
};

static void on_gone(void *context, const struct postgres_rows *rows)
{
    struct found *found = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        int64_t number;
        if (text_to_int64(postgres_rows_value(rows, i, 0), &number) && number >= 1 && (size_t)number <= found->count)
            found->gone[number - 1] = true;
    }
}

/* An array of roles, as text. A name that no customer can have stands for no role: it is left as it is. */
static void append_roles(struct buffer *out, const struct text *customers, size_t count)
{
    struct customer_names names;
    buffer_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i != 0 ? "," : "");
        buffer_append_string(out, customer_names_of(customers[i], &names) ? names.role : "NULL");
    }
    buffer_append_char(out, '}');
}

static enum status ask(const struct server *server, struct buffer *roles, struct found *found, struct failure *failure)
{
    static const char sql[] =
        "select n from unnest($1::text[]) with ordinality as t (role, n) where role is not null and not exists"
        " (select from pg_catalog.pg_roles r where r.rolname = role)";
    struct postgres_resolved resolved;
    struct postgres_login login;
    struct postgres_session *session;
    const char *text = buffer_c_string(roles);
    if (text == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    enum status status = server_login(server->config, &server->database_password, &resolved, &login, failure);
    if (status == STATUS_OK)
        status = postgres_session_open(&login, &session, failure);
    if (status != STATUS_OK)
        return status;
    struct text parameter = text_from_string(text);
    status = postgres_session_query(session, sql, 1, &parameter, on_gone, found, failure);
    postgres_session_close(session);
    return status;
}

enum status session_owners_gone(void *context, const struct text *customers, size_t count, bool *gone,
                                struct failure *failure)
{
    struct found found = {gone, count};
    struct buffer roles;
    buffer_init(&roles, NAMES_CEILING);
    append_roles(&roles, customers, count);
    enum status status = ask(context, &roles, &found, failure);
    buffer_free(&roles);
    return status;
}
