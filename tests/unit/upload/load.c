#include "tests/unit/upload/lake.h"

#define SALES "acme_uploads.sales"

/* Runs a load that must fail, with words; what was there is there afterwards. */
static void refused(struct trial *trial, const char *text, enum status status, const char *words)
{
    char *before =
        strdup(lake_value("select coalesce((select jsonb_agg(t order by t::text)::text from acme_uploads.sales t), '-')"
                          " || (select jsonb_agg(u)::text from sluice.upload u)"
                          " || (select jsonb_agg(v order by relation)::text from sluice.dataset_version v)"
                          " || (select count(*) from sluice.quarantine) || (select count(*) from sluice.idempotency)"
                          " || (select string_agg(oid::regclass::text, ' ' order by relname) from pg_class"
                          " where relnamespace in ('acme_uploads'::regnamespace, 'acme_analytics'::regnamespace))"));
    trial_run(trial, text);
    trial_words(trial, status, words);
    const char *after =
        lake_value("select coalesce((select jsonb_agg(t order by t::text)::text from acme_uploads.sales t), '-')"
                   " || (select jsonb_agg(u)::text from sluice.upload u)"
                   " || (select jsonb_agg(v order by relation)::text from sluice.dataset_version v)"
                   " || (select count(*) from sluice.quarantine) || (select count(*) from sluice.idempotency)"
                   " || (select string_agg(oid::regclass::text, ' ' order by relname) from pg_class"
                   " where relnamespace in ('acme_uploads'::regnamespace, 'acme_analytics'::regnamespace))");
    assert_string_equal(before, after);
    free(before);
    trial_free(trial);
}

static void a_file_becomes_a_typed_table_with_a_key_and_an_index_on_time(void **state)
{
    lake_sales("x\n1\n");
    struct trial *trial = trial_new();
    trial_key(trial, "id");
    trial_ok(trial, "id,day,amount,code,ok,note\n1,2021-10-01,1.50,007,true,\"a\tb\"\n"
                    "2,2021-10-02,9223372036854775808,010,false,\"c\\\nd\"\n");
    assert_int_equal(trial->report.rows, 2);
    assert_int_equal(trial->report.column_count, 6);
    assert_true(trial->report.version > 0);
    assert_string_equal(lake_rows(SALES), "(1,2021-10-01,1.50,007,t,\"a\tb\") "
                                          "(2,2021-10-02,9223372036854775808,010,f,\"c\\\\\nd\")");
    assert_string_equal(lake_value("select string_agg(format_type(atttypid, atttypmod), ' ' order by attnum) from"
                                   " pg_attribute where attrelid = 'acme_uploads.sales'::regclass and attnum > 0"),
                        "bigint date numeric text boolean text");
    assert_string_equal(lake_value("select string_agg(pg_get_indexdef(indexrelid), ' ' order by indisprimary) ~"
                                   " 'btree \\(day\\).*btree \\(id\\)' from pg_index"
                                   " where indrelid = 'acme_uploads.sales'::regclass"),
                        "t");
    assert_string_equal(lake_value("select rows || ' ' || quarantined || ' ' || (columns->2->>'type') || ' ' ||"
                                   " (options->>'delimiter') from sluice.upload where name = 'sales'"),
                        "2 0 numeric ,");
    assert_string_equal(lake_value("select version::text = (select version::text from sluice.dataset_version"
                                   " where relation = 'acme_uploads.sales') from sluice.upload"),
                        "t");
    trial_free(trial);
}

static void a_header_alone_is_a_table_without_rows(void **state)
{
    lake_sales("a,b\n");
    assert_string_equal(lake_value("select count(*) from acme_uploads.sales"), "0");
}

static void an_append_adds_by_name_and_an_upsert_changes_by_key(void **state)
{
    lake_sales("id,qty\n1,10\n2,20\n");
    struct trial *trial = trial_new();
    trial_key(trial, "id");
    trial_ok(trial, "id,qty\n1,10\n2,20\n");
    trial_free(trial);
    uint64_t version = strtoull(lake_value("select version from sluice.upload"), NULL, 10);
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_APPEND;
    trial_ok(trial, "qty,id\n30,3\n");
    assert_int_equal(trial->report.inserted, 1);
    assert_int_equal(trial->report.version, version + 1);
    trial_free(trial);
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_UPSERT;
    trial_ok(trial, "id,qty\n3,31\n4,40\n");
    assert_int_equal(trial->report.inserted, 1);
    assert_int_equal(trial->report.updated, 1);
    trial_free(trial);
    assert_string_equal(lake_rows(SALES), "(1,10) (2,20) (3,31) (4,40)");
    assert_string_equal(lake_value("select rows from sluice.upload"), "4");
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_UPSERT;
    refused(trial, "id,qty\n7,1\n8,2\n7,3\n", STATUS_INVALID,
            "the key 7 stands twice in the file in line 2 and again in line 4");
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_APPEND;
    refused(trial, "id,qty\n5,50\n1,0\n", STATUS_INVALID, "line 3");
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_UPSERT;
    trial_key(trial, "qty");
    refused(trial, "id,qty\n5,50\n", STATUS_INVALID, "no unique index on exactly these key columns");
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_APPEND;
    refused(trial, "id,qty,more\n5,50,1\n", STATUS_INVALID, "uploads.sales has no column more");
    trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_APPEND;
    refused(trial, "qty\n50\n", STATUS_INVALID, "the file has no column id");
}

static void a_key_must_name_every_row_once(void **state)
{
    lake_sales("id,x\n1,1\n");
    struct trial *trial = trial_new();
    trial_key(trial, "id");
    refused(trial, "id,x\n1,1\nb,2\n\n1,3\n", STATUS_INVALID,
            "the key 1 stands twice in the file in line 2 and again in line 5");
    trial = trial_new();
    trial_key(trial, "id");
    refused(trial, "id,x\n1,1\n,2\n", STATUS_INVALID, "line 3, column id: is empty, and the column belongs to the key");
    trial = trial_new();
    trial_key(trial, "nothing");
    refused(trial, "id,x\n1,1\n", STATUS_INVALID, "the key's column nothing is not in the file");
}

static void a_bad_row_refuses_the_file_or_goes_to_quarantine(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct trial *trial = trial_new();
    refused(trial, "id,qty\n1,10\n2,20,30\n", STATUS_INVALID, "line 3");
    trial = trial_new();
    trial->types[trial->order.type_count++] = TEXT("qty=integer");
    refused(trial, "id,qty\n1,10\n2,ten\n", STATUS_INVALID, "line 3, column qty: \"ten\"");
    trial = trial_new();
    trial->types[trial->order.type_count++] = TEXT("qty=integer");
    trial->order.max_bad = 0.5;
    trial_ok(trial, "id,qty\n1,10\n2,ten\n3,30\n4,4,4\n");
    assert_int_equal(trial->report.rows, 2);
    assert_int_equal(trial->report.quarantined, 2);
    assert_int_equal(trial->report.bad_count, 2);
    trial_free(trial);
    assert_string_equal(lake_rows(SALES), "(1,10) (3,30)");
    assert_string_equal(
        lake_value("select string_agg(line || ':' || coalesce(column_name, '') || ':' || raw, ' ' order by line)"
                   " from sluice.quarantine where customer_id = 'acme' and name = 'sales'"),
        "3:qty:2,ten 5::4,4,4");
    assert_string_equal(lake_value("select rows || ' ' || quarantined from sluice.upload"), "2 2");
    trial = trial_new();
    trial->types[trial->order.type_count++] = TEXT("qty=integer");
    trial->order.max_bad = 0.25;
    refused(trial, "id,qty\n1,10\n2,ten\n3,30\n4,4,4\n", STATUS_INVALID, "max_bad=0.25");
}

static void what_a_file_cannot_be_is_refused_and_the_old_rows_stay(void **state)
{
    static const struct {
        const char *text, *words;
    } files[] = {{"", "empty"},
                 {"a,a\n1,2\n", "a"},
                 {"a,ctid\n1,2\n", "ctid"},
                 {"a,b\n1,\"2\n", "line 2"},
                 {"PK\x03\x04zip", "zip"}};
    lake_sales("id,qty\n1,10\n");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct trial *trial = trial_new();
        trial->order.told.quote = '"'; /* else a quote that is never closed is none */
        refused(trial, files[i].text, STATUS_INVALID, files[i].words);
    }
    lake_sales("select,order\n1,10\n");
    assert_string_equal(lake_value("select \"select\" + \"order\" from acme_uploads.sales"), "11");
}

static void views_survive_a_replace_that_keeps_their_columns(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct postgres_session *acme = lake_open("sluice_c_acme");
    lake_script(acme, "create view acme_analytics.first with (security_barrier = true) as select id, qty * 2 as twice "
                      "from acme_uploads.sales;"
                      "create view acme_analytics.second as select f.*, s.qty from acme_analytics.first f join "
                      "acme_uploads.sales s using (id);"
                      "create view acme_analytics.third as select * from acme_analytics.first where exists (select "
                      "from acme_analytics.second);"
                      "comment on view acme_analytics.first is 'it''s twice';"
                      "comment on column acme_analytics.first.twice is 'two';"
                      "comment on table acme_uploads.sales is 'what was sold';"
                      "grant select on acme_analytics.second to sluice_reader");
    struct trial *trial = trial_new();
    trial_ok(trial, "qty,id,more\n7,1,x\n8,2,y\n");
    trial_free(trial);
    assert_string_equal(lake_rows("acme_analytics.second"), "(1,14,7) (2,16,8)");
    assert_string_equal(lake_value("select count(*) from acme_analytics.third"), "2");
    assert_string_equal(lake_value("select obj_description('acme_analytics.first'::regclass) || ' ' ||"
                                   " col_description('acme_analytics.first'::regclass, 2) || ' ' ||"
                                   " obj_description('acme_uploads.sales'::regclass)"),
                        "it's twice two what was sold");
    assert_string_equal(
        lake_value(
            "select (select reloptions::text from pg_class where oid = 'acme_analytics.first'::regclass) || ' ' ||"
            " has_table_privilege('sluice_reader', 'acme_analytics.second', 'select')"),
        "{security_barrier=true} true");
    trial = trial_new();
    refused(trial, "id,price\n1,2.5\n", STATUS_CONFLICT, "analytics.first reads uploads.sales and would break");
    assert_string_equal(lake_rows("acme_analytics.second"), "(1,14,7) (2,16,8)");
    lake_script(acme, "create materialized view acme_analytics.kept as select * from acme_uploads.sales");
    refused(trial_new(), "id,qty\n1,2\n", STATUS_CONFLICT, "analytics.kept is a materialized view");
    postgres_session_close(acme);
}

static void a_reader_with_an_open_transaction_holds_the_swap_off(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct postgres_session *reader = lake_open("sluice_c_acme");
    lake_script(reader, "begin; select * from acme_uploads.sales");
    refused(trial_new(), "id,qty\n2,20\n", STATUS_CONFLICT, "readers hold uploads.sales");
    lake_script(reader, "commit");
    postgres_session_close(reader);
    struct trial *trial = trial_new();
    trial_ok(trial, "id,qty\n2,20\n");
    trial_free(trial);
    assert_string_equal(lake_rows(SALES), "(2,20)");
}

/* The twin runs while the first is about to commit. */
struct twin {
    struct trial *trial;
    const char *text;
};

static void *run_twin(void *context)
{
    struct twin *twin = context;
    trial_run(twin->trial, twin->text);
    return NULL;
}

static void start_twin(struct trial *trial)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_twin, trial->context), 0);
    pthread_join(thread, NULL);
}

static struct trial *keyed(const char *key)
{
    struct trial *trial = trial_new();
    trial->order.idempotency.key = text_from_string(key);
    trial->order.idempotency.operation = TEXT("putUpload sales");
    return trial;
}

static void an_idempotency_key_names_one_load(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct twin twin = {keyed("k1"), "id,qty\n3,30\n"};
    struct trial *trial = keyed("k1");
    trial->before_commit = start_twin;
    trial->context = &twin;
    trial_ok(trial, "id,qty\n3,30\n");
    trial_words(twin.trial, STATUS_CONFLICT, "runs at this moment");
    trial->before_commit = NULL;
    assert_false(trial->report.replayed);
    arena_free(&trial->arena);
    free(trial);
    trial_free(twin.trial);
    trial = keyed("k1");
    trial_ok(trial, "id,qty\n3,30\n");
    assert_true(trial->report.replayed);
    assert_true(text_equal(trial->report.answer, TEXT("{\"rows\":1}")));
    trial_free(trial);
    refused(keyed("k1"), "id,qty\n3,31\n", STATUS_DENIED, "used for another body");
    /* A key that failed is free again; one of another operation is another one. */
    refused(keyed("k2"), "id,qty\n3,31,5\n", STATUS_INVALID, "line 2");
    trial = keyed("k2");
    trial_ok(trial, "id,qty\n3,31\n");
    trial_free(trial);
    trial = keyed("k2");
    trial->order.idempotency.operation = TEXT("putUpload else");
    trial_ok(trial, "id,qty\n9,9\n");
    assert_false(trial->report.replayed);
    trial_free(trial);
    lake_script(lake.admin, "update sluice.idempotency set created_at = now() - interval '25 hours'");
    trial = keyed("k1");
    trial_ok(trial, "id,qty\n4,4\n");
    assert_false(trial->report.replayed);
    trial_free(trial);
    assert_string_equal(lake_value("select count(*) from sluice.idempotency"), "1");
}

static void two_loads_of_one_name_do_not_mix(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct twin twin = {trial_new(), "id,qty\n3,30\n"};
    struct trial *trial = trial_new();
    trial->before_commit = start_twin;
    trial->context = &twin;
    trial_ok(trial, "id,qty\n2,20\n");
    trial_words(twin.trial, STATUS_CONFLICT, "another load of uploads.sales runs");
    arena_free(&trial->arena);
    free(trial);
    trial_free(twin.trial);
    assert_string_equal(lake_rows(SALES), "(2,20)");
}

static void kill_loads(struct trial *trial)
{
    (void)trial;
    lake_value("select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where usename = 'sluice_c_acme'");
}

static void a_session_killed_right_before_its_commit_leaves_nothing(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct trial *trial = keyed("killed");
    trial->before_commit = kill_loads;
    refused(trial, "id,qty\n2,20\n", STATUS_UNAVAILABLE, "");
    trial = keyed("killed");
    trial_ok(trial, "id,qty\n2,20\n");
    trial_free(trial);
}

static void a_session_killed_in_copy_leaves_nothing(void **state)
{
    lake_sales("id,qty\n1,10\n");
    lake_script(lake.admin,
                "create function public.die() returns trigger language plpgsql security definer as"
                " 'begin if new.id = 3 then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end';"
                "create trigger die before insert on acme_uploads.sales for each row execute function public.die()");
    struct trial *trial = trial_new();
    trial->order.existing = true;
    trial->order.mode = LOAD_APPEND;
    refused(trial, "id,qty\n2,20\n3,30\n4,40\n", STATUS_UNAVAILABLE, "");
    lake_script(lake.admin, "drop trigger die on acme_uploads.sales; drop function public.die()");
}

static void a_load_that_a_change_came_between_says_so_and_leaves_nothing(void **state)
{
    static const char *const states[] = {"40P01", "40001", "XX000"};
    char script[512];
    (void)state;
    lake_sales("id,qty\n1,10\n");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        snprintf(script, sizeof(script),
                 "create or replace function public.collide() returns trigger language plpgsql as"
                 " 'begin raise exception using errcode = ''%s'', message = ''on purpose''; end';"
                 "create or replace trigger collide before insert on acme_uploads.sales for each row execute function "
                 "public.collide()",
                 states[i]);
        lake_script(lake.admin, script);
        struct trial *trial = trial_new();
        trial->order.existing = true;
        trial->order.mode = LOAD_APPEND;
        refused(trial, "id,qty\n2,20\n", STATUS_CONFLICT, "another change of uploads.sales came in between");
    }
    lake_script(lake.admin, "drop trigger collide on acme_uploads.sales; drop function public.collide()");
}

static void cancel(struct trial *trial)
{
    atomic_store(&trial->cancelled, true);
}

static void a_load_that_is_told_to_end_leaves_nothing(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct trial *trial = trial_new();
    trial->before_commit = cancel;
    refused(trial, "id,qty\n2,20\n", STATUS_UNAVAILABLE, "told to end");
    trial = trial_new();
    atomic_store(&trial->cancelled, true);
    refused(trial, "id,qty\n2,20\n", STATUS_UNAVAILABLE, "told to end");
}

static void *cancel_when_it_waits(void *context)
{
    struct trial *trial = context;
    while (strcmp(lake_value("select count(*) from pg_stat_activity where usename = 'sluice_c_acme'"
                             " and wait_event_type = 'Lock'"),
                  "0") == 0)
        continue;
    atomic_store(&trial->cancelled, true);
    return NULL;
}

static void a_load_that_waits_for_a_lock_ends_when_told(void **state)
{
    pthread_t thread;
    lake_sales("id,qty\n1,10\n");
    struct postgres_session *reader = lake_open("postgres");
    lake_script(reader, "begin; select * from acme_uploads.sales");
    struct trial *trial = trial_new();
    trial->order.lock_timeout_ms = 60000;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_it_waits, trial), 0);
    uint64_t start = clock_monotonic_us();
    trial_run(trial, "id,qty\n2,20\n");
    pthread_join(thread, NULL);
    assert_true(clock_monotonic_us() - start < 30000000);
    trial_words(trial, STATUS_UNAVAILABLE, "told to end");
    trial_free(trial);
    postgres_session_close(reader);
    assert_string_equal(lake_rows(SALES), "(1,10)");
}

static void quotas_are_kept(void **state)
{
    lake_sales("id,qty\n1,10\n");
    struct trial *trial = trial_new();
    trial->order.relation = TEXT("second");
    trial->order.dataset = TEXT("uploads.second");
    trial->order.quota_relations = 1;
    refused(trial, "a\n1\n", STATUS_TOO_LARGE, "2 uploads and analyses, and 1 are allowed");
    trial = trial_new();
    trial->order.quota_relations = 1;
    trial->order.quota_bytes = 64 << 10;
    trial_ok(trial, "id,qty\n1,11\n");
    trial_free(trial);
    struct buffer large;
    buffer_init(&large, 1 << 20);
    buffer_append_literal(&large, "id,qty\n");
    for (int i = 0; i < 20000; i++)
        buffer_printf(&large, "%d,%d\n", i, i);
    trial = trial_new();
    trial->order.quota_bytes = 64 << 10;
    refused(trial, buffer_c_string(&large), STATUS_TOO_LARGE, "are allowed; delete something first");
    buffer_free(&large);
    /* Analyses count as uploads do, and what has its name already is no relation more. */
    lake_script(lake.admin, "create view acme_analytics.doubled as select qty * 2 as twice from acme_uploads.sales;"
                            "alter view acme_analytics.doubled owner to sluice_c_acme;"
                            "create table acme_analytics.wide as select repeat('x', 1000) as x from"
                            " generate_series(1, 1000)");
    trial = trial_new();
    trial->order.relation = TEXT("second");
    trial->order.dataset = TEXT("uploads.second");
    trial->order.quota_relations = 3;
    refused(trial, "a\n1\n", STATUS_TOO_LARGE, "4 uploads and analyses, and 3 are allowed");
    trial = trial_new();
    trial->order.quota_relations = 1;
    trial_ok(trial, "id,qty\n1,12\n");
    trial_free(trial);
    trial = trial_new();
    trial->order.quota_bytes = 1 << 20;
    refused(trial, "id,qty\n1,13\n", STATUS_TOO_LARGE, "bytes, and 1048576 are allowed");
    lake_script(lake.admin, "update sluice.customer set quota_bytes = 0 where customer_id = 'acme'");
    trial = trial_new();
    trial->order.quota_bytes = 1 << 20;
    trial_ok(trial, "id,qty\n1,13\n");
    trial_free(trial);
    lake_script(lake.admin, "update sluice.customer set quota_bytes = null where customer_id = 'acme'");
}

static void members_that_come_late_are_columns_whose_first_rows_are_null(void **state)
{
    lake_sales("{\"a\":1}\n{\"a\":2,\"b\":{\"x\":[1]}}\n{\"b\":null}\n");
    assert_string_equal(lake_rows(SALES), "(,) (1,) (2,\"{\"\"x\"\": [1]}\")");
}

static void rows_of_every_size_come_through(void **state)
{
    struct buffer file;
    buffer_init(&file, 16 << 20);
    buffer_append_literal(&file, "id,text\n");
    for (int i = 0; i < 20000; i++)
        buffer_printf(&file, "%d,%0*d x\n", i, i % 400 + 1, i);
    lake_sales(buffer_c_string(&file));
    assert_string_equal(lake_value("select count(*) || ' ' || sum(id) || ' ' || sum(length(text)) >= '20000 199990000' "
                                   "from acme_uploads.sales"),
                        "t");
    assert_string_equal(lake_value("select count(*) || ' ' || sum(id) from acme_uploads.sales"), "20000 199990000");
    buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_becomes_a_typed_table_with_a_key_and_an_index_on_time),
        cmocka_unit_test(a_header_alone_is_a_table_without_rows),
        cmocka_unit_test(an_append_adds_by_name_and_an_upsert_changes_by_key),
        cmocka_unit_test(a_key_must_name_every_row_once),
        cmocka_unit_test(a_bad_row_refuses_the_file_or_goes_to_quarantine),
        cmocka_unit_test(what_a_file_cannot_be_is_refused_and_the_old_rows_stay),
        cmocka_unit_test(views_survive_a_replace_that_keeps_their_columns),
        cmocka_unit_test(a_reader_with_an_open_transaction_holds_the_swap_off),
        cmocka_unit_test(an_idempotency_key_names_one_load),
        cmocka_unit_test(two_loads_of_one_name_do_not_mix),
        cmocka_unit_test(a_session_killed_right_before_its_commit_leaves_nothing),
        cmocka_unit_test(a_session_killed_in_copy_leaves_nothing),
        cmocka_unit_test(a_load_that_a_change_came_between_says_so_and_leaves_nothing),
        cmocka_unit_test(a_load_that_is_told_to_end_leaves_nothing),
        cmocka_unit_test(a_load_that_waits_for_a_lock_ends_when_told),
        cmocka_unit_test(quotas_are_kept),
        cmocka_unit_test(members_that_come_late_are_columns_whose_first_rows_are_null),
        cmocka_unit_test(rows_of_every_size_come_through),
    };
    return cmocka_run_group_tests(tests, lake_setup, lake_teardown);
}
