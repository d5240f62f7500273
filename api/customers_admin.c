#include "api/customers_admin.h"

#include <inttypes.h>
#include <stdlib.h>

#include "api/customer_names.h"
#include "api/revocations_admin.h"
#include "query/datasets.h"
#include "upload/sessions.h"

#define SPARE_CONNECTIONS 8 /* of a customer, besides the gateways': his own psql */
#define SECRET_CEILING ((size_t)65536)
/* `sluice migrate` and others of us wait for this lock too: two grants at once would fail over one row of the catalog.
 */
#define BEGIN                                                                                                          \
    "begin; set local client_min_messages = error; set local lock_timeout = '30s';"                                    \
    "select pg_advisory_xact_lock(77531902)"

bool customers_action_of(const char *word, enum customers_action *action)
{
    static const char *const words[] = {"add", "list", "set", "remove"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0) {
            *action = (enum customers_action)i;
            return true;
        }
    return false;
}

/* What is wrong with an order. */

static const struct config_tier *find_tier(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->limits.tier_count; i++)
        if (strcmp(config->limits.tiers[i].name, name) == 0)
            return &config->limits.tiers[i];
    return NULL;
}

/* A schema of the warehouse would be the customer's. */
static const char *taken_schema(const struct config *config, const struct customer_names *names)
{
    for (size_t i = 0; i < config->warehouse.schema_count; i++) {
        const char *schema = config->warehouse.schemas[i].name;
        if (strcmp(schema, names->uploads) == 0 || strcmp(schema, names->analytics) == 0 ||
            strcmp(schema, names->jobs) == 0)
            return schema;
    }
    return NULL;
}

static enum status check_name(const struct config *config, const char *name, struct failure *failure)
{
    struct customer_names names;
    if (!customer_names_of(text_from_string(name), &names))
        return failure_set(
            failure, STATUS_INVALID,
            "a customer's name begins with a letter and holds up to %d lower-case letters, digits and _; "
            "pg, pg_… and warehouse are taken",
            CUSTOMER_NAME_MAX);
    const char *taken = taken_schema(config, &names);
    return taken == NULL ? STATUS_OK
                         : failure_set(failure, STATUS_INVALID,
                                       "the schema %s of warehouse.schemas would be this customer's; choose another "
                                       "name for the customer",
                                       taken);
}

/* *value: -1 for what the tier says. */
static bool read_quota(const char *text, bool is_size, int64_t *value)
{
    *value = -1;
    if (text == NULL || strcmp(text, "tier") == 0)
        return true;
    bool good =
        is_size ? config_parse_size(text_from_string(text), value) : text_to_int64(text_from_string(text), value);
    return good && *value >= 0 && (is_size || *value <= CONFIG_RELATIONS_MAX);
}

enum status customers_check(const struct config *config, const struct customers_order *order, struct failure *failure)
{
    int64_t value;
    if (order->name != NULL && check_name(config, order->name, failure) != STATUS_OK)
        return STATUS_INVALID;
    if (order->tier != NULL && find_tier(config, order->tier) == NULL)
        return failure_set(failure, STATUS_INVALID, "there is no tier %s; limits.tiers in %s lists them", order->tier,
                           config->path);
    if (!read_quota(order->bytes, true, &value))
        return failure_set(failure, STATUS_INVALID,
                           "--bytes needs a size like 500MB or 10GB, 0 for no limit, or tier for the tier's");
    if (!read_quota(order->relations, false, &value))
        return failure_set(failure, STATUS_INVALID,
                           "--relations needs a number up to %d, 0 for no limit, or tier for the tier's",
                           CONFIG_RELATIONS_MAX);
    if (order->action == CUSTOMERS_SET && order->tier == NULL && order->bytes == NULL && order->relations == NULL &&
        !order->print_login)
        return failure_set(failure, STATUS_INVALID,
                           "nothing to set: give --tier, --bytes, --relations or --print-login");
    return STATUS_OK;
}

static void forget(struct buffer *secret)
{
    if (secret->data != NULL)
        explicit_bzero(secret->data, secret->size);
    buffer_free(secret);
}

/* Calls that answer lines of text. */

struct lines {
    FILE *out;
    const char *prefix;
    size_t count;
};

static void on_lines(void *context, const struct postgres_rows *rows)
{
    struct lines *lines = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct text line = postgres_rows_value(rows, i, 0);
        bool remark = text_starts_with(line, TEXT("warning: ")) || text_starts_with(line, TEXT("note: "));
        fputs(remark ? "  " : lines->prefix, lines->out);
        for (size_t k = 0; k < line.size; k++) /* a relation's name must not act on the terminal */
            fputc((unsigned char)line.data[k] < 0x20 || line.data[k] == 0x7F ? '?' : line.data[k], lines->out);
        fputc('\n', lines->out);
        lines->count += !remark;
    }
}

/* Ends the transaction, well or not. */
static enum status finish(struct postgres_session *session, enum status status, struct failure *failure)
{
    if (status == STATUS_OK)
        return postgres_session_script(session, "commit", failure);
    struct failure ignored;
    if (postgres_session_script(session, "rollback", &ignored) != STATUS_OK)
        return status; /* the connection is gone, and the transaction with it */
    return status;
}

/* Adding. */

/* Connections that a role may have: what all gateways can open, and some. The lanes count with their cap: this
 * machine's cores, which tell the number of workers where none is configured, are not those of the machines that serve.
 */
static size_t connections_of(const struct config *config)
{
    size_t lanes = config->customers.connections, least = (size_t)2 * config->server.workers;
    if (lanes < least)
        lanes = least;
    return (lanes + config->uploads.each + config->jobs.each) * config->limits.instances + SPARE_CONNECTIONS;
}

static enum status set_quotas(struct postgres_session *session, const struct customers_order *order,
                              struct lines *lines, struct failure *failure)
{
    static const struct {
        const char *sql;
        bool is_size;
    } quotas[] = {
        {"update sluice.customer set quota_bytes = nullif($2::bigint, -1) where customer_id = $1"
         " and quota_bytes is distinct from nullif($2::bigint, -1) returning 'quota of bytes: ' ||"
         " coalesce(nullif(quota_bytes, 0)::text, case when quota_bytes = 0 then 'no limit' else 'the tier''s' end)",
         true},
        {"update sluice.customer set quota_relations = nullif($2::integer, -1) where customer_id = $1"
         " and quota_relations is distinct from nullif($2::integer, -1) returning 'quota of relations: ' ||"
         " coalesce(nullif(quota_relations, 0)::text,"
         "   case when quota_relations = 0 then 'no limit' else 'the tier''s' end)",
         false}};
    const char *const told[] = {order->bytes, order->relations};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < 2; i++) {
        int64_t value;
        char number[24];
        if (told[i] == NULL)
            continue;
        if (!read_quota(told[i], quotas[i].is_size, &value))
            return failure_set(failure, STATUS_INVALID, "the quota %s is no number", told[i]);
        snprintf(number, sizeof(number), "%" PRId64, value);
        struct text parameters[] = {text_from_string(order->name), text_from_string(number)};
        status = postgres_session_query(session, quotas[i].sql, 2, parameters, on_lines, lines, failure);
    }
    return status;
}

/* The warehouse's schemas that need no scope, as an array: what a scope guards, a login without one does not get. */
static enum status grant_warehouse(const struct config *config, struct postgres_session *session, struct lines *lines,
                                   struct failure *failure)
{
    struct buffer sql;
    struct text reader = text_from_string(config->database.user);
    buffer_init(&sql, (size_t)1 << 20);
    buffer_append_literal(&sql, "select * from sluice.grant_warehouse(array[");
    bool first = true;
    for (size_t i = 0; i < config->warehouse.schema_count; i++) {
        if (config->warehouse.schemas[i].scope != NULL) {
            fprintf(lines->out,
                    "  note: the schema %s needs the scope %s: customers do not read it on their own login\n",
                    config->warehouse.schemas[i].name, config->warehouse.schemas[i].scope);
            continue;
        }
        buffer_append_string(&sql, first ? "" : ", ");
        postgres_append_literal(&sql, text_from_string(config->warehouse.schemas[i].name));
        first = false;
    }
    buffer_append_literal(&sql, "]::text[], $1::name) union all select * from sluice.customer_warnings()");
    const char *text = buffer_c_string(&sql);
    enum status status = text != NULL ? postgres_session_query(session, text, 1, &reader, on_lines, lines, failure)
                                      : failure_set(failure, STATUS_TOO_LARGE, "warehouse.schemas has too many names");
    buffer_free(&sql);
    return status;
}

static enum status set_password(struct postgres_session *session, struct text key, const char *name,
                                struct failure *failure)
{
    struct postgres_login nothing = {0};
    struct customer_login login = {0};
    customers_login(&nothing, key, text_from_string(name), &login);
    enum status status = postgres_session_set_password(session, login.role, login.password, failure);
    explicit_bzero(login.password, sizeof(login.password));
    return status;
}

/* Role, schemas, password, grants; without a login key the row alone. */
static enum status make(const struct config *config, struct postgres_session *session,
                        const struct customers_order *order, struct text key, struct lines *lines,
                        struct failure *failure)
{
    char connections[24];
    snprintf(connections, sizeof(connections), "%zu", connections_of(config));
    struct text parameters[] = {text_from_string(order->name), text_from_string(order->tier),
                                text_from_string(config->limits.default_tier),
                                key.size != 0 ? text_from_string(connections) : TEXT_NONE};
    enum status status = postgres_session_query(session, "select * from sluice.make_customer($1, $2, $3, $4::integer)",
                                                4, parameters, on_lines, lines, failure);
    if (status == STATUS_OK)
        status = set_quotas(session, order, lines, failure);
    if (status != STATUS_OK || key.size == 0)
        return status;
    status = set_password(session, key, order->name, failure);
    return status == STATUS_OK ? grant_warehouse(config, session, lines, failure) : status;
}

static enum status add(const struct config *config, struct postgres_session *session,
                       const struct customers_order *order, FILE *out, struct failure *failure)
{
    struct lines lines = {out, "  made: ", 0};
    struct buffer key;
    buffer_init(&key, SECRET_CEILING);
    enum status status = customer_login_key(config, &key, failure);
    if (status == STATUS_OK) {
        fprintf(out, "customer %s\n", order->name);
        status = postgres_session_script(session, BEGIN, failure);
        if (status == STATUS_OK)
            status = make(config, session, order, buffer_text(&key), &lines, failure);
        status = finish(session, status, failure);
    }
    if (status != STATUS_OK)
        fputs("  failed: nothing of it was made\n", out);
    else if (key.size == 0)
        fputs("  customers.login_key_file is not configured: no login and no schemas are made, and the customer has no "
              "data of its own\n",
              out);
    else if (lines.count == 0)
        fputs("  nothing was missing\n", out);
    forget(&key);
    return status;
}

/* Listing. */

static void print_quota(FILE *out, struct text told, uint64_t tier)
{
    char number[24] = "no limit";
    if (told.data == NULL && tier != 0)
        snprintf(number, sizeof(number), "%" PRIu64, tier);
    else if (told.data != NULL && !text_equal(told, TEXT("0")))
        snprintf(number, sizeof(number), "%.*s", TEXT_ARGS(told));
    fputs(number, out);
}

struct listing {
    const struct config *config;
    FILE *out;
    bool json;
};

/* customer, tier, quota_bytes, quota_relations, uploads, analyses, jobs, bytes, login, created_at */
static void on_customers(void *context, const struct postgres_rows *rows)
{
    const struct listing *listing = context;
    static const struct config_tier none = {0};
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct text cells[9];
        char name[64];
        for (size_t k = 0; k < 9; k++)
            cells[k] = postgres_rows_value(rows, i, k);
        snprintf(name, sizeof(name), "%.*s", TEXT_ARGS(cells[1]));
        const struct config_tier *tier = find_tier(listing->config, name);
        fprintf(listing->out, "%.*s: tier %.*s%s; %.*s uploads, %.*s analyses, %.*s jobs; %.*s of ",
                TEXT_ARGS(cells[0]), TEXT_ARGS(cells[1]), tier == NULL ? " (which limits.tiers lacks)" : "",
                TEXT_ARGS(cells[4]), TEXT_ARGS(cells[5]), TEXT_ARGS(cells[6]), TEXT_ARGS(cells[7]));
        tier = tier != NULL ? tier : &none;
        print_quota(listing->out, cells[2], tier->upload_bytes);
        fputs(" bytes, at most ", listing->out);
        print_quota(listing->out, cells[3], tier->upload_relations);
        fprintf(listing->out, " relations%s\n", text_equal(cells[8], TEXT("t")) ? "" : "; without a login");
    }
}

static void on_json(void *context, const struct postgres_rows *rows)
{
    const struct listing *listing = context;
    fprintf(listing->out, "%.*s\n", TEXT_ARGS(postgres_rows_value(rows, 0, 0)));
}

static enum status list(const struct config *config, struct postgres_session *session,
                        const struct customers_order *order, FILE *out, struct failure *failure)
{
    struct listing listing = {config, out, order->json};
    if (order->json)
        return postgres_session_query(
            session, "select coalesce(json_agg(l order by customer), '[]') from sluice.customer_list() l", 0, NULL,
            on_json, &listing, failure);
    return postgres_session_query(session, "select * from sluice.customer_list()", 0, NULL, on_customers, &listing,
                                  failure);
}

/* Changing. */

/* As a shell takes it. */
static void print_variable(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s='", name);
    for (; *value != '\0'; value++)
        fputs(*value == '\'' ? "'\\''" : (char[]){*value, '\0'}, out);
    fputs("'\n", out);
}

static enum status print_login(const struct config *config, const char *name, FILE *out, struct failure *failure)
{
    struct buffer key;
    struct postgres_login nothing = {0};
    struct customer_login login = {0};
    buffer_init(&key, SECRET_CEILING);
    enum status status = customer_login_key(config, &key, failure);
    if (status == STATUS_OK && key.size == 0)
        status = failure_set(failure, STATUS_INVALID,
                             "customers.login_key_file is not configured in %s: customers have no login", config->path);
    if (status == STATUS_OK) {
        customers_login(&nothing, buffer_text(&key), text_from_string(name), &login);
        print_variable(out, "PGHOST", config->database.host);
        print_variable(out, "PGPORT", config->database.ports);
        if (strchr(config->database.host, ',') != NULL)
            print_variable(out, "PGTARGETSESSIONATTRS", "primary");
        print_variable(out, "PGDATABASE", config->database.name);
        print_variable(out, "PGSSLMODE", config->database.sslmode);
        print_variable(out, "PGUSER", login.role);
        print_variable(out, "PGPASSWORD", login.password);
        explicit_bzero(login.password, sizeof(login.password));
    }
    forget(&key);
    return status;
}

static void on_found(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) != 0;
}

static enum status set_tier(struct postgres_session *session, const struct customers_order *order, struct lines *lines,
                            struct failure *failure)
{
    struct text parameters[] = {text_from_string(order->name), text_from_string(order->tier)};
    return order->tier == NULL
               ? STATUS_OK
               : postgres_session_query(session,
                                        "update sluice.customer set tier = $2 where customer_id = $1 and tier <> $2"
                                        " returning 'tier ' || tier",
                                        2, parameters, on_lines, lines, failure);
}

static enum status set(const struct config *config, struct postgres_session *session,
                       const struct customers_order *order, FILE *out, struct failure *failure)
{
    struct lines lines = {order->print_login ? stderr : out, "  set: ", 0}; /* stdout is the login's alone */
    struct text name = text_from_string(order->name);
    bool found = false;
    enum status status = postgres_session_script(session, BEGIN, failure);
    if (status != STATUS_OK)
        return status;
    status = postgres_session_query(session, "select from sluice.customer where customer_id = $1 for update", 1, &name,
                                    on_found, &found, failure);
    if (status == STATUS_OK && !found)
        status = failure_set(failure, STATUS_NOT_FOUND, "there is no customer %s; sluice customer add %s makes it",
                             order->name, order->name);
    if (status == STATUS_OK)
        status = set_tier(session, order, &lines, failure);
    if (status == STATUS_OK)
        status = set_quotas(session, order, &lines, failure);
    status = finish(session, status, failure);
    if (status == STATUS_OK && order->print_login)
        return print_login(config, order->name, out, failure);
    if (status == STATUS_OK && lines.count == 0)
        fputs("  nothing was to be changed\n", out);
    return status;
}

/* Erasing. */

/* His resumable uploads, where the spool is this machine's. The gateways see to theirs. */
static void erase_sessions(const struct config *config, const struct customers_order *order, struct lines *lines)
{
    struct sessions_erased erased;
    struct failure failure;
    enum status status =
        sessions_erase(config->uploads.spool, text_from_string(order->name), order->yes, &erased, &failure);
    if (status == STATUS_OK && erased.count != 0) {
        fprintf(lines->out, "%s%zu resumable uploads, %" PRIu64 " bytes, in %s\n", lines->prefix, erased.count,
                erased.bytes, config->uploads.spool);
        lines->count += erased.count;
    }
    if (status == STATUS_OK && erased.held != 0)
        fprintf(lines->out, "  note: requests are at work on %zu of his resumable uploads; the gateway erases them\n",
                erased.held);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        fprintf(lines->out, "  warning: %s\n", failure.message);
    if (order->yes)
        fputs("  note: each gateway erases his resumable uploads in its own spool within a minute\n", lines->out);
}

/* They would open what a later customer of this name has. */
static enum status revoke_tokens(const struct config *config, struct postgres_session *session,
                                 const struct customers_order *order, FILE *out, struct failure *failure)
{
    const struct revocation_wish wish = {.customer = order->name};
    fputs("  ", out);
    return revocations_revoke(config, session, &wish, out, failure);
}

static enum status remove_customer(const struct config *config, struct postgres_session *session,
                                   const struct customers_order *order, FILE *out, struct failure *failure)
{
    struct lines lines = {out, order->yes ? "  erased: " : "  would erase: ", 0};
    struct text parameters[] = {text_from_string(order->name), order->yes ? TEXT("true") : TEXT("false")};
    enum status status = STATUS_OK;
    fprintf(out, "customer %s\n", order->name);
    /* Closed for good before his sessions are ended: none comes back in between. */
    if (order->yes)
        status =
            postgres_session_query(session, "select sluice.close_customer($1)", 1, parameters, NULL, NULL, failure);
    if (status == STATUS_OK && order->yes)
        status = revoke_tokens(config, session, order, out, failure);
    if (status == STATUS_OK)
        status = postgres_session_script(session, BEGIN, failure);
    if (status != STATUS_OK)
        return status;
    if (order->yes)
        status = postgres_session_query(session, "select * from sluice.end_sessions($1)", 1, parameters, on_lines,
                                        &lines, failure);
    if (status == STATUS_OK)
        status = postgres_session_query(session, "select * from sluice.erase_customer($1, $2::boolean)", 2, parameters,
                                        on_lines, &lines, failure);
    if (status == STATUS_OK)
        status = postgres_session_query(session, "select * from sluice.audit_of_removed($1)", 1, parameters, on_lines,
                                        &lines, failure);
    status = finish(session, status, failure);
    if (status != STATUS_OK) {
        fputs(order->yes
                  ? "  nothing was erased, but the login is closed and the tokens are revoked: run it again, or open "
                    "it by customer add\n"
                  : "  nothing was erased\n",
              out);
        return status;
    }
    erase_sessions(config, order, &lines);
    if (lines.count == 0)
        fputs("  there is nothing of it\n", out);
    else if (!order->yes)
        fputs("  nothing was erased; --yes erases it for good\n", out);
    return STATUS_OK;
}

enum status customers_carry_out(const struct config *config, struct postgres_session *session,
                                const struct customers_order *order, FILE *out, struct failure *failure)
{
    enum status status = customers_check(config, order, failure);
    if (status != STATUS_OK)
        return status;
    switch (order->action) {
    case CUSTOMERS_ADD:
        return add(config, session, order, out, failure);
    case CUSTOMERS_LIST:
        return list(config, session, order, out, failure);
    case CUSTOMERS_SET:
        return set(config, session, order, out, failure);
    case CUSTOMERS_REMOVE:
        return remove_customer(config, session, order, out, failure);
    }
    return failure_set(failure, STATUS_INVALID, "no such action");
}
