/* A private PostgreSQL for one test binary, on a unix socket in a folder of its own. A guardian process holds it: when
 * this process ends, however it ends, the guardian stops the server and removes the folder. */
#ifndef SLUICE_TESTS_QUERY_WAREHOUSE_H
#define SLUICE_TESTS_QUERY_WAREHOUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/postgres_session.h"
#include "query/plan.h"
#include "query/versions.h"

#define WAREHOUSE_BIN "/usr/lib/postgresql/15/bin"

static struct {
    char folder[64];
    pid_t guardian;
    int leash; /* the guardian reads its other end: end of file means that we are gone */
} warehouse;

/* Says the folder when the server answers; then waits for the end of file. */
static const char warehouse_guardian[] =
    "set -eu; cd /\n"
    "as() { if [ \"$(id -u)\" = 0 ]; then runuser -u postgres -- \"$@\"; else \"$@\"; fi; }\n"
    "folder=$(as mktemp -d /var/tmp/sluice-query-XXXXXX)\n"
    "trap 'as " WAREHOUSE_BIN
    "/pg_ctl -D $folder/data -m immediate -w stop >/dev/null 2>&1 || true; rm -rf $folder' EXIT\n"
    "as " WAREHOUSE_BIN
    "/initdb -D $folder/data -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null\n"
    "as " WAREHOUSE_BIN
    "/pg_ctl -D $folder/data -l $folder/log -w -t 60 -o \"-c listen_addresses= -c fsync=off -c jit=off"
    " -c unix_socket_directories=$folder\" start >/dev/null || { cat $folder/log >&2; exit 1; }\n"
    "echo $folder; exec 1>&-\n"
    "while read -r line; do :; done\n";

static inline void warehouse_start(void)
{
    int leash[2], answer[2];
    if (access(WAREHOUSE_BIN "/postgres", X_OK) != 0) {
        fprintf(stderr, "skipped: %s/postgres is not installed\n", WAREHOUSE_BIN);
        exit(77);
    }
    if (pipe2(leash, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0)
        exit(1);
    warehouse.guardian = fork();
    if (warehouse.guardian == 0) {
        dup2(leash[0], 0);
        dup2(answer[1], 1);
        setpgid(0, 0); /* a Ctrl-C at the terminal is not the guardian's */
        execl("/bin/sh", "sh", "-c", warehouse_guardian, (char *)NULL);
        _exit(127);
    }
    close(leash[0]);
    close(answer[1]);
    warehouse.leash = leash[1];
    FILE *words = fdopen(answer[0], "r");
    if (words == NULL || fgets(warehouse.folder, sizeof(warehouse.folder), words) == NULL) {
        fprintf(stderr, "the private PostgreSQL did not start\n");
        exit(1);
    }
    warehouse.folder[strcspn(warehouse.folder, "\n")] = '\0';
    fclose(words);
}

static inline void warehouse_stop(void)
{
    close(warehouse.leash);
    waitpid(warehouse.guardian, NULL, 0);
}

static inline struct postgres_login warehouse_login(const char *role, const char *database)
{
    return (struct postgres_login){.host = warehouse.folder,
                                   .port = 5432,
                                   .database = database,
                                   .user = role,
                                   .sslmode = "disable",
                                   .application_name = "unit",
                                   .connect_timeout_ms = 10000};
}

static inline struct postgres_session *warehouse_open(const char *role, const char *database)
{
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    struct postgres_login login = warehouse_login(role, database);
    if (postgres_session_open(&login, &session, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    return session;
}

static inline void warehouse_script(struct postgres_session *session, const char *sql)
{
    struct failure failure = {0};
    if (postgres_session_script(session, sql, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
}

static inline void warehouse_keep_value(void *context, const struct postgres_rows *rows)
{
    char **kept = context;
    struct text value = postgres_rows_count(rows) != 0 ? postgres_rows_value(rows, 0, 0) : TEXT_NONE;
    *kept = strdup(value.data != NULL ? value.data : "(null)");
}

/* The first value; the caller frees it. */
static inline char *warehouse_value(struct postgres_session *session, const char *sql)
{
    struct failure failure = {0};
    char *value = NULL;
    if (postgres_session_query(session, sql, 0, NULL, warehouse_keep_value, &value, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
    return value;
}

static inline void warehouse_psql(const char *role, const char *database, const char *file, const char *options)
{
    char command[1024];
    snprintf(command, sizeof(command), WAREHOUSE_BIN "/psql -X -q -h %s -U %s -d %s -v ON_ERROR_STOP=1 %s -f %s/sql/%s",
             warehouse.folder, role, database, options, SLUICE_SOURCE_DIR, file);
    if (system(command) != 0)
        fail_msg("psql could not run sql/%s", file);
}

/* Roles, database and schema as ./dev and `sluice migrate` make them; the owner is no superuser. */
static inline void warehouse_migrate(void)
{
    struct postgres_session *session = warehouse_open("postgres", "postgres");
    warehouse_script(session, "create role sluice_owner login createrole createdb");
    warehouse_script(session, "create database sluice owner sluice_owner");
    warehouse_script(session, "revoke all on database sluice from public");
    postgres_session_close(session);
    warehouse_psql("sluice_owner", "sluice", "migrations/0001_versions.sql", "-1");
    warehouse_psql("sluice_owner", "sluice", "migrations/0002_customers.sql", "-1");
    warehouse_psql("sluice_owner", "sluice", "migrations/0003_reader.sql", "-1");
}

/* The daily tables with a few regions in them: the demo's own filling, which takes minutes on a small machine, leaves
 * alone what is filled. Gaps and nulls are on purpose. */
static const char warehouse_days[] =
    "create table warehouse.weather_daily (region_id text not null, day date not null, temperature_c float8, "
    "precipitation_mm float8, wind_kmh float8,"
    "  cloud_pct float8, snowfall_cm float8, primary key (region_id, day));"
    "create table warehouse.weather_forecast (region_id text not null, day date not null, issued_on date not null, "
    "temperature_c float8,"
    "  precipitation_mm float8, wind_kmh float8, cloud_pct float8, snowfall_cm float8, primary key (region_id, day));"
    "create table warehouse.market_daily (region_id text not null, day date not null, interest_index numeric, "
    "price_eur_mwh numeric, primary key (region_id, day));"
    "create table warehouse.source_a (region_id text not null, day date not null, visitors bigint, spend_eur numeric, "
    "primary key (region_id, day));"
    "create table warehouse.source_b (region_id text not null, day date not null, vegetation_index float8, "
    "soil_moisture_pct float8, primary key (region_id, day));"
    "insert into warehouse.weather_daily select r, date '2011-01-01' + n, case when n % 97 <> 5 then round((12 + 14 * "
    "sin(n / 58.1) + n * 7919 % 13)::numeric, 1) end,"
    "  case when n % 5 <> 0 then (n * 31 % 200) / 10.0 else 0 end, n % 40, case when n >= 900 then n % 101 end, 0"
    "  from unnest(array['AR', 'AR-coast-1', 'KE-plain-1', 'TY-outer-2']) r, generate_series(0, 5478) n where n % 211 "
    "<> 7 and (r <> 'TY-outer-2' or n not between 2000 and 2090);"
    "insert into warehouse.weather_forecast select 'AR', date '2025-12-31' + n, '2025-12-31', n, 0, 0, 0, 0 from "
    "generate_series(1, 7) n;"
    "insert into warehouse.market_daily select r, date '2011-01-01' + n, case when n % 50 <> 3 then 50 + n % 37 + 0.25 "
    "end, round(40.5 + 20 * sin(n / 7.0)::numeric, 2)"
    "  from unnest(array['AR', 'AR-alps', 'KE', 'TY']) r, generate_series(0, 5474) n;"
    "insert into warehouse.source_a values ('AR', '2024-01-01', 1, 1); insert into warehouse.source_b values ('AR', "
    "'2024-01-01', 1, 1)";

static inline void warehouse_demo(void)
{
    warehouse_migrate();
    warehouse_psql("sluice_owner", "sluice", "shape.sql", "");
    struct postgres_session *session = warehouse_open("sluice_owner", "sluice");
    warehouse_script(session, warehouse_days);
    postgres_session_close(session);
    warehouse_psql("sluice_owner", "sluice", "demo.sql", "");
}

static const struct catalog_options warehouse_views = {
    .views = {"serving.region", "serving.weather_daily", "serving.market_daily", "serving.weather_forecast"}};

/* A loop, the reader's pipelined pool, its catalog and versions: what a worker has. */
struct reader {
    struct loop *loop;
    struct postgres *pool;
    struct postgres_session *session;
    struct catalog *catalog;
    struct versions *versions;
};

/* h2o cannot free a loop of its own (see loop_destroy): kept reachable, it is no leak. */
static void *volatile reader_evloop;

static inline void reader_open(struct reader *reader, uint32_t interval_ms)
{
    struct failure failure = {0};
    struct postgres_options options = {
        .login = warehouse_login("sluice_reader", "sluice"), .mode = POSTGRES_PIPELINED, .connections = 1, .queue = 16};
    reader->session = warehouse_open("sluice_reader", "sluice");
    reader->loop = loop_create();
    reader_evloop = loop_evloop(reader->loop);
    if (catalog_load(reader->session, &warehouse_views, &reader->catalog, &failure) != STATUS_OK ||
        postgres_create(reader->loop, &options, &reader->pool, &failure) != STATUS_OK ||
        versions_create(reader->loop, reader->pool, reader->session, reader->catalog, interval_ms, &reader->versions,
                        &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
}

static inline void reader_close(struct reader *reader)
{
    versions_destroy(reader->versions);
    postgres_destroy(reader->pool);
    loop_destroy(reader->loop);
    catalog_free(reader->catalog);
    postgres_session_close(reader->session);
}

struct reader_run {
    void (*on_rows)(void *context, const struct postgres_rows *rows);
    void *context;
    bool done;
    struct postgres_error error; /* status STATUS_OK: none */
};

static inline void reader_on_rows(void *context, const struct postgres_rows *rows)
{
    struct reader_run *run = context;
    run->on_rows(run->context, rows);
}

static inline void reader_on_done(void *context, const struct postgres_error *error)
{
    struct reader_run *run = context;
    run->done = true;
    if (error != NULL)
        run->error = *error;
}

/* Carries a plan out as the gateway does: prepared, with the plan's parameter types. */
static inline void reader_run(struct reader *reader, const struct plan *plan,
                              void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    static const struct postgres_handlers handlers = {reader_on_rows, reader_on_done};
    struct reader_run run = {.on_rows = on_rows, .context = context};
    struct postgres_query *query;
    const struct postgres_call call = {.statement = &plan->statement, .parameters = plan->parameters};
    assert_int_equal(postgres_start(reader->pool, &call, &handlers, &run, &query), STATUS_OK);
    while (!run.done)
        loop_turn(reader->loop, 1000);
    if (run.error.status != STATUS_OK)
        fail_msg("%s %s\nin: %s", run.error.sqlstate, run.error.message, plan->statement.sql);
}

#endif
