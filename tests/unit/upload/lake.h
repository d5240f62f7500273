/* A private PostgreSQL with the migrations and two customers, and loads into it. */
#ifndef SLUICE_TESTS_UPLOAD_LAKE_H
#define SLUICE_TESTS_UPLOAD_LAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <glob.h>
#include <pthread.h>

#include "tests/unit/drivers/servers.h"
#include "upload/load.h"

static struct {
    struct server server;
    struct spool_space *spool;
    char spool_folder[64];
    struct postgres_session *admin; /* the superuser */
    atomic_bool stopping;
} lake;

/* One load and what became of it. Zeroed by load_begin. */
struct trial {
    struct load_order order;
    struct text types[8], key[4];
    struct load_partition partitions[2];
    struct arena arena;
    struct load_report report;
    struct failure failure;
    enum status status;
    atomic_bool cancelled;
    void (*before_commit)(struct trial *trial);
    void *context;
};

static inline struct postgres_login lake_login(const char *role)
{
    return (struct postgres_login){.host = "127.0.0.1",
                                   .port = lake.server.port,
                                   .database = "sluice",
                                   .user = role,
                                   .sslmode = "disable",
                                   .application_name = "unit",
                                   .connect_timeout_ms = 10000};
}

static inline struct postgres_session *lake_open(const char *role)
{
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    struct postgres_login login = lake_login(role);
    if (postgres_session_open(&login, &session, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    return session;
}

static inline void lake_script(struct postgres_session *session, const char *sql)
{
    struct failure failure = {0};
    if (postgres_session_script(session, sql, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
}

static inline void lake_keep_value(void *context, const struct postgres_rows *rows)
{
    struct text value = postgres_rows_count(rows) != 0 ? postgres_rows_value(rows, 0, 0) : TEXT_NONE;
    *(char **)context = strdup(value.data != NULL ? value.data : "(null)");
}

/* The first value, as the superuser sees it; kept until the next call. */
static inline const char *lake_value(const char *sql)
{
    static char *value;
    struct failure failure = {0};
    free(value);
    value = NULL;
    if (postgres_session_query(lake.admin, sql, 0, NULL, lake_keep_value, &value, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
    return value;
}

/* A table's rows in one line. */
static inline const char *lake_rows(const char *table)
{
    char sql[512];
    snprintf(sql, sizeof(sql), "select coalesce(string_agg(t::text, ' ' order by t::text), '') from %s t", table);
    return lake_value(sql);
}

static inline void lake_migrate(void)
{
    char command[1024], pattern[256];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/sql/migrations/*.sql", SLUICE_SOURCE_DIR);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        snprintf(command, sizeof(command),
                 "/usr/bin/psql -X -q -h 127.0.0.1 -p %u -U sluice_owner -d sluice -v ON_ERROR_STOP=1 -1 -f %s",
                 lake.server.port, found.gl_pathv[i]);
        if (system(command) != 0)
            fail_msg("psql could not run %s", found.gl_pathv[i]);
    }
    globfree(&found);
}

static inline int lake_setup(void **state)
{
    struct failure failure = {0};
    struct postgres_session *session = NULL;
    (void)state;
    postgres_server_start(&lake.server);
    struct postgres_login login = lake_login("postgres");
    login.database = "postgres";
    /* The port answers before the database does. */
    for (uint64_t end = clock_monotonic_us() + SERVER_WAIT_US;
         postgres_session_open(&login, &session, &failure) != STATUS_OK;)
        if (clock_monotonic_us() > end)
            fail_msg("%s", failure.message);
    lake_script(session, "create role sluice_owner login createrole createdb");
    lake_script(session, "create database sluice owner sluice_owner");
    postgres_session_close(session);
    lake_migrate();
    lake.admin = lake_open("postgres");
    session = lake_open("sluice_owner");
    lake_script(session, "select sluice.make_customer('acme', 'basic', 'basic', 8);"
                         "select sluice.make_customer('other', 'basic', 'basic', 8)");
    lake_script(session, "create schema warehouse; grant usage on schema warehouse to sluice_writer;"
                         "grant select on sluice.dataset_version to sluice_writer;"
                         "grant temporary on database sluice to sluice_writer");
    postgres_session_close(session);
    snprintf(lake.spool_folder, sizeof(lake.spool_folder), "/tmp/sluice-load-XXXXXX");
    assert_non_null(mkdtemp(lake.spool_folder));
    if (spool_space_create(lake.spool_folder, (uint64_t)64 << 20, &lake.spool, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    return 0;
}

static inline int lake_teardown(void **state)
{
    (void)state;
    postgres_session_close(lake.admin);
    spool_space_destroy(lake.spool);
    rmdir(lake.spool_folder);
    postgres_server_stop(&lake.server);
    return 0;
}

static inline struct trial *trial_new(void)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    trial->order =
        (struct load_order){.customer = "acme",
                            .schema = TEXT("acme_uploads"),
                            .relation = TEXT("sales"),
                            .dataset = TEXT("uploads.sales"),
                            .key = trial->key,
                            .types = trial->types,
                            .partitions = trial->partitions,
                            .told = {.format = -1, .encoding = -1, .header = -1, .decimal_comma = -1, .date_order = -1},
                            .lock_timeout_ms = 300};
    return trial;
}

static inline struct trial *trial_warehouse(const char *table, enum load_mode mode)
{
    struct trial *trial = trial_new();
    trial->order.customer = NULL;
    trial->order.schema = TEXT("warehouse");
    trial->order.relation = trial->order.dataset = text_from_string(table);
    trial->order.existing = true;
    trial->order.mode = mode;
    return trial;
}

static inline void trial_key(struct trial *trial, const char *column)
{
    trial->key[trial->order.key_count++] = text_from_string(column);
}

static inline enum status trial_answer(void *context, const struct load_report *report, struct buffer *out)
{
    struct trial *trial = context;
    buffer_printf(out, "{\"rows\":%llu}", (unsigned long long)report->rows);
    if (trial->before_commit != NULL)
        trial->before_commit(trial);
    return STATUS_OK;
}

static inline enum status trial_source(struct trial *trial, const struct body_source *source)
{
    const struct load_environment environment = {lake.spool, &lake.stopping};
    const struct body_limits limits = {(uint64_t)1 << 32, (uint64_t)1 << 32, 1000};
    struct postgres_login login = lake_login(trial->order.customer == NULL                ? "sluice_writer"
                                             : strcmp(trial->order.customer, "acme") == 0 ? "sluice_c_acme"
                                                                                          : "sluice_c_other");
    struct body *body = NULL;
    trial->order.login = &login;
    arena_init(&trial->arena, NULL, 0, (size_t)16 << 20);
    trial->report.arena = &trial->arena;
    if (body_open(source, BODY_IDENTITY, &limits, TEXT_NONE, &body, &trial->failure) != STATUS_OK)
        fail_msg("%s", trial->failure.message);
    trial->status = load_run(&environment, &trial->order, body, &trial->cancelled, trial_answer, trial, &trial->report,
                             &trial->failure);
    body_close(body);
    return trial->status;
}

static inline enum status trial_run(struct trial *trial, const char *text)
{
    struct body_memory memory = {text_from_string(text)};
    struct body_source source = body_source_memory(&memory);
    return trial_source(trial, &source);
}

static inline void trial_free(struct trial *trial)
{
    assert_int_equal(spool_space_used(lake.spool), 0);
    arena_free(&trial->arena);
    free(trial);
}

/* The load must succeed. */
static inline void trial_ok(struct trial *trial, const char *text)
{
    if (trial_run(trial, text) != STATUS_OK)
        fail_msg("%s: %s", status_name(trial->status), trial->failure.message);
}

static inline void trial_words(const struct trial *trial, enum status status, const char *words)
{
    if (trial->status != status || strstr(trial->failure.message, words) == NULL)
        fail_msg("%s: %s (expected %s: %s)", status_name(trial->status),
                 trial->status == STATUS_OK ? "" : trial->failure.message, status_name(status), words);
}

/* Makes acme's uploads.sales of a file, from nothing. */
static inline void lake_sales(const char *text)
{
    lake_script(lake.admin, "drop schema acme_uploads cascade; create schema acme_uploads authorization sluice_c_acme;"
                            "drop schema acme_analytics cascade; create schema acme_analytics authorization "
                            "sluice_c_acme; delete from sluice.upload; delete from sluice.quarantine;"
                            "delete from sluice.idempotency");
    struct trial *trial = trial_new();
    trial_ok(trial, text);
    trial_free(trial);
}

#endif
