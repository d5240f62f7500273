#include "query/describe.h"

#include "tests/unit/query/warehouse.h"

static struct postgres_session *owner, *reader_session, *super;

static const char shape[] =
    "create schema lake; create schema \"a.b\"; create schema closed; create schema other;"
    "grant usage on schema lake, \"a.b\", other to sluice_reader;"
    "create type lake.mood as enum ('sad', 'ok', 'glad');"
    "create domain lake.whole as int not null check (value > 0);"
    "create domain lake.big_whole as lake.whole;"
    "create domain lake.words as tsvector;"
    "create type lake.place as (x int, town text, moods lake.mood[]);"
    "create type lake.trip as (start lake.place, stops lake.place[]);"
    "create type lake.span as range (subtype = float8);"
    "create table lake.every (id bigint generated always as identity primary key, name varchar(20) not null default "
    "'none', day date not null, at timestamptz, amount numeric(10,2), flags boolean[], doc jsonb, mood lake.mood,"
    "  moods lake.mood[], n lake.big_whole, found lake.words, trip lake.trip, span lake.span, spot point,"
    "  twice int generated always as (2) stored, unique (name, day));"
    "create unique index on lake.every (at);"
    "create unique index on lake.every (lower(name));"
    "create unique index on lake.every (day) where id > 5;"
    "comment on table lake.every is E'What there is.\\nExpected lag: 3 days. Expected every: 14 days. It goes on.';"
    "comment on column lake.every.amount is 'What was paid [EUR; sum]';"
    "comment on column lake.every.day is 'The day.';"
    "create function lake.total(lake.every) returns numeric language sql immutable as 'select $1.amount * 2';"
    "comment on function lake.total(lake.every) is 'Twice the amount';"
    "create function lake.hidden(lake.every) returns numeric language sql immutable as 'select 1.0';"
    "revoke all on function lake.hidden(lake.every) from public;"
    "create function lake.many(lake.every) returns setof int language sql immutable as 'select 1';"
    "create function lake.name(lake.every) returns text language sql immutable as 'select ''column hides it''';"
    "create function other.elsewhere(lake.every) returns int language sql immutable as 'select 1';"
    "create view lake.simple as select e.day as on_day, e.name as title, e.id as number, (select max(x.id) from "
    "lake.every x) as last, e.amount + 1 as more from lake.every e where exists (select x.id, x.day from lake.every x);"
    "create view lake.over as select title, on_day, number from lake.simple where number > 3;"
    "create view lake.partly as select title, more from lake.simple;"
    "create view lake.grouped as select day, count(*) as n from lake.every group by day;"
    "create view lake.joined as select a.id, b.day from lake.every a join lake.every b using (id);"
    "create view lake.ruled as select a.id, b.day from lake.every a join lake.every b on true;"
    "create rule r1 as on delete to lake.ruled do instead nothing;"
    "create rule r2 as on update to lake.ruled do instead nothing;"
    "create rule r3 as on insert to lake.ruled do instead nothing;"
    "create materialized view lake.kept as select id, day, now() as made from lake.every;"
    "create unique index on lake.kept (id);"
    "create table lake.parts (id int, day date, v int, primary key (id, day)) partition by range (day);"
    "create table lake.parts_1 partition of lake.parts for values from ('2020-01-01') to ('2021-01-01');"
    "create table lake.parts_2 partition of lake.parts for values from ('2021-01-01') to ('2022-01-01');"
    "insert into lake.parts select n, date '2020-06-01' + n * 200, n from generate_series(0, 2) n; analyze lake.parts;"
    "create table lake.mother (id int primary key, at timestamp); create table lake.child () inherits (lake.mother);"
    "create table lake.some (id int primary key, secret text, open text);"
    "create function lake.shown(lake.some) returns text language sql immutable as 'select $1.open';"
    "create table lake.nothing (id int); create table closed.inside (id int);"
    "create table \"a.b\".\"t.1\" (\"q\"\"1\" int primary key);"
    "create table lake.\"a.b.c\" (x int);"
    "create table lake.told (a int, b int, \"When\" timestamp, other date);"
    "comment on table lake.told is 'KEY: a, b. time: When. Grain: Hour. expected LAG: none';"
    "create table lake.wrong (a int); comment on table lake.wrong is 'Expected lag: soon. Key: zebra. Grain: blue';"
    "create table lake.loose (id int, day date, sometimes int); create index on lake.loose (day);"
    "create table lake.two (day date, at timestamp);"
    "create view lake.asks as select * from lake.every where name = current_setting('Sluice.Customer', true);"
    "create view lake.asks_not as select * from lake.every where name = current_setting('TimeZone');"
    "create view lake.asks_somehow as select * from lake.every where name = current_setting('slu' || name);"
    "create view lake.over_asks as select * from lake.asks;"
    "create function lake.who() returns text language sql stable as $$select current_setting('sluice.subject', true)$$;"
    "create function lake.who_else() returns text language plpgsql stable as $$begin return lake.who(); end$$;"
    "create function lake.body() returns text stable return current_setting('sluice.tier', true);"
    "create view lake.calls as select id from lake.every where name = lake.who_else();"
    "create view lake.calls_body as select id from lake.every where name = lake.body();"
    "create table lake.rows_of (id int primary key, customer text); alter table lake.rows_of enable row level security;"
    "create policy p on lake.rows_of using (customer = current_setting('sluice.customer', true));"
    "create view lake.over_policy as select id from lake.rows_of;"
    "create table lake.guarded (id int); alter table lake.guarded enable row level security;"
    "create policy p on lake.guarded using (id in (select id from lake.some));"
    "create view lake.clock as select id from lake.every where day < current_date;"
    "create view lake.clock_2 as select id, now() as n from lake.every;"
    "create view lake.dice as select id, random() as n from lake.every;"
    "create view lake.sample as select id from lake.every tablesample bernoulli (50);"
    "create view lake.steady as select id, upper(name) as n, day + 1 as d from lake.every;"
    "create view lake.from_catalog as select oid, relname from pg_catalog.pg_class;"
    "create table lake.tracked (id int primary key); create view lake.both as select a.id from lake.tracked a, "
    "lake.every e;"
    "create table lake.walk (id int primary key); create function lake.rolled(lake.walk) returns int language sql as "
    "'select 1';"
    "grant select on all tables in schema lake, \"a.b\", closed to sluice_reader;"
    "revoke all on lake.some, lake.nothing from sluice_reader; grant select (id, open) on lake.some to sluice_reader;"
    "select sluice.track('lake.tracked'); insert into lake.tracked values (1)";

static const char *const day_and_title[] = {"on_day", "title", NULL}, *const no_such[] = {"zebra", NULL};
static const struct datasets_schema schemas[] = {{"lake", NULL}, {"a.b", NULL}, {"closed", NULL}, {"a", NULL}};
static const struct datasets_override overrides[] = {
    {.dataset = "grouped", .time_column = "day", .grain = "week", .expected_lag_s = 60, .expected_every_s = -1},
    {.dataset = "partly", .expected_lag_s = -1, .expected_every_s = 3600, .key = day_and_title},
    {.dataset = "over", .expected_lag_s = 0, .expected_every_s = -1, .key = day_and_title},
    {.dataset = "joined", .expected_lag_s = -1, .expected_every_s = -1, .key = no_such}};
static const struct datasets_options options = {.schemas = schemas,
                                                .schema_count = 4,
                                                .overrides = overrides,
                                                .override_count = sizeof(overrides) / sizeof(overrides[0])};

static int set_up(void **state)
{
    warehouse_start();
    warehouse_migrate();
    owner = warehouse_open("sluice_owner", "sluice");
    super = warehouse_open("postgres", "sluice");
    reader_session = warehouse_open("sluice_reader", "sluice");
    warehouse_script(owner, shape);
    return 0;
}

static int tear_down(void **state)
{
    postgres_session_close(owner);
    postgres_session_close(super);
    postgres_session_close(reader_session);
    warehouse_stop();
    return 0;
}

static enum status try_describe(size_t schema, const char *relation, const struct dataset **dataset)
{
    struct failure failure = {0};
    const struct datasets_place place = datasets_place_of(&options, schema);
    enum status status =
        datasets_describe_now(reader_session, &options, &place, text_from_string(relation), dataset, &failure);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        fail_msg("%s: %s", relation, failure.message);
    return status;
}

static const struct dataset *describe(const char *relation)
{
    const struct dataset *dataset = NULL;
    if (try_describe(0, relation, &dataset) != STATUS_OK)
        fail_msg("%s is not found", relation);
    return dataset;
}

static void assert_text(struct text text, const char *wanted)
{
    if (!text_equal(text, text_from_string(wanted)))
        fail_msg("%.*s, not %s", TEXT_ARGS(text), wanted != NULL ? wanted : "nothing");
}

static const struct dataset_column *column_of(const struct dataset *dataset, const char *name)
{
    const struct dataset_column *column = dataset_column(dataset, text_from_string(name));
    if (column == NULL)
        fail_msg("%.*s has no column %s", TEXT_ARGS(dataset->name), name);
    return column;
}

/* "name,day" of each key with ';' between them, the primary one in brackets. */
static void assert_keys(const char *relation, const char *wanted)
{
    const struct dataset *dataset = describe(relation);
    struct buffer words;
    buffer_init(&words, 4096);
    for (size_t i = 0; i < dataset->key_count; i++) {
        buffer_append_string(&words, i != 0 ? ";" : "");
        buffer_append_string(&words, dataset->keys[i].primary ? "[" : "");
        for (size_t k = 0; k < dataset->keys[i].count; k++) {
            buffer_append_string(&words, k != 0 ? "," : "");
            buffer_append_text(&words, dataset->columns[dataset->keys[i].columns[k]].name);
        }
        buffer_append_string(&words, dataset->keys[i].primary ? "]" : "");
    }
    if (strcmp(buffer_c_string(&words), wanted) != 0)
        fail_msg("%s: %s, not %s", relation, buffer_c_string(&words), wanted);
    buffer_free(&words);
    dataset_unref(dataset);
}

static void columns_stand_in_their_order_with_types_and_words(void **state)
{
    const struct dataset *dataset = describe("every");
    assert_text(dataset->name, "every");
    assert_text(dataset->schema, "lake");
    assert_text(dataset->sql_name, "\"lake\".\"every\"");
    assert_int_equal(dataset->kind, DATASET_TABLE);
    assert_int_equal(dataset->column_count, 16);
    assert_text(dataset->columns[0].name, "id");
    assert_text(dataset->columns[15].name, "total");
    const struct dataset_column *amount = column_of(dataset, "amount"), *name = column_of(dataset, "name");
    assert_ptr_equal(amount->type, type_builtin(1700));
    assert_text(amount->description, "What was paid");
    assert_text(amount->unit, "EUR");
    assert_int_equal(amount->aggregate, AGGREGATE_SUM);
    assert_true(amount->nullable);
    assert_false(name->nullable);
    assert_text(name->type->name, "character varying");
    assert_text(name->default_sql, "'none'::character varying");
    assert_text(column_of(dataset, "day")->description, "The day.");
    assert_null(column_of(dataset, "twice")->default_sql.data);
    assert_null(column_of(dataset, "doc")->description.data);
    assert_null(column_of(dataset, "doc")->unit.data);
    assert_true(column_of(dataset, "spot")->type->has_no_order);
    dataset_unref(dataset);
}

static void types_of_ones_own_are_trees(void **state)
{
    const struct dataset *dataset = describe("every");
    const struct type *mood = column_of(dataset, "mood")->type, *moods = column_of(dataset, "moods")->type;
    const struct type *n = column_of(dataset, "n")->type, *trip = column_of(dataset, "trip")->type;
    assert_true(mood->is_enum);
    assert_int_equal(mood->enum_label_count, 3);
    assert_text(mood->enum_labels[2], "glad");
    assert_text(mood->name, "lake.mood");
    assert_false(mood->has_no_order);
    assert_int_equal(moods->kind, TYPE_ARRAY);
    assert_ptr_equal(moods->element, mood);
    assert_text(moods->name, "lake.mood[]");
    assert_int_equal(moods->delimiter, ',');
    assert_int_equal(n->base, 23);
    assert_int_equal(n->kind, TYPE_NUMBER);
    assert_true(n->oid != 23);
    assert_text(n->name, "lake.big_whole");
    assert_false(column_of(dataset, "n")->nullable);
    assert_true(column_of(dataset, "found")->is_tsvector);
    assert_false(column_of(dataset, "doc")->is_tsvector);
    assert_true(column_of(dataset, "span")->type->is_range);
    assert_int_equal(trip->kind, TYPE_COMPOSITE);
    assert_int_equal(trip->field_count, 2);
    assert_text(trip->fields[1].name, "stops");
    assert_int_equal(trip->fields[1].type->kind, TYPE_ARRAY);
    assert_ptr_equal(trip->fields[1].type->element, trip->fields[0].type);
    assert_ptr_equal(trip->fields[0].type->fields[2].type, moods);
    assert_false(trip->has_no_order);
    dataset_unref(dataset);
}

static void functions_of_a_row_are_computed_columns(void **state)
{
    const struct dataset *dataset = describe("every");
    const struct dataset_column *total = column_of(dataset, "total");
    assert_true(total->computed);
    assert_text(total->function, "\"lake\".\"total\"");
    assert_text(total->description, "Twice the amount");
    assert_ptr_equal(total->type, type_builtin(1700));
    assert_false(column_of(dataset, "name")->computed);
    assert_null(dataset_column(dataset, TEXT("hidden")));
    assert_null(dataset_column(dataset, TEXT("many")));
    assert_null(dataset_column(dataset, TEXT("elsewhere")));
    assert_false(dataset->moves);
    dataset_unref(dataset);
    dataset = describe("walk");
    assert_true(dataset->moves); /* its function says that it may answer otherwise each time */
    dataset_unref(dataset);
}

static void only_what_may_be_read_is_there(void **state)
{
    const struct dataset *dataset = describe("some");
    assert_int_equal(dataset->column_count, 2);
    assert_text(dataset->columns[1].name, "open");
    assert_false(dataset->has_ctid); /* a system column needs the whole table's right */
    assert_int_equal(dataset->key_count, 1);
    dataset_unref(dataset);
    assert_int_equal(try_describe(0, "nothing", &dataset), STATUS_NOT_FOUND);
    assert_int_equal(try_describe(0, "absent", &dataset), STATUS_NOT_FOUND);
    assert_int_equal(try_describe(0, "", &dataset), STATUS_NOT_FOUND);
    assert_int_equal(try_describe(2, "inside", &dataset), STATUS_NOT_FOUND);
    assert_int_equal(try_describe(3, "no_such_schema", &dataset), STATUS_NOT_FOUND);
    char cut[65];
    memset(cut, 'x', sizeof(cut));
    cut[64] = '\0';
    assert_int_equal(try_describe(0, cut, &dataset), STATUS_NOT_FOUND);
}

static void keys_are_those_that_no_two_rows_can_share(void **state)
{
    assert_keys("every", "[id];name,day");
    assert_keys("parts", "[id,day]");
    assert_keys("kept", "");   /* its columns may be null, as far as the database knows */
    assert_keys("mother", ""); /* children have ids of their own */
    assert_keys("child", "");
    assert_keys("loose", "");
    assert_keys("told", "[a,b]");
    assert_keys("wrong", "");
}

static void a_simple_view_has_its_tables_keys(void **state)
{
    assert_keys("simple", "[number];title,on_day");
    assert_keys("grouped", "");
    assert_keys("ruled", ""); /* rules say how it is written, not what it reads */
    assert_keys("joined", "");
    const struct dataset *dataset = describe("simple");
    assert_false(column_of(dataset, "title")->nullable);
    assert_true(column_of(dataset, "more")->nullable);
    assert_true(column_of(dataset, "last")->nullable);
    dataset_unref(dataset);
}

static void a_configured_key_wins_and_is_passed_over_when_a_column_is_missing(void **state)
{
    assert_keys("over", "[on_day,title];number;title,on_day");
    assert_keys("partly", "");
    assert_keys("joined", "");
}

static void kinds_and_places_of_rows_are_known(void **state)
{
    static const struct {
        const char *name;
        enum dataset_kind kind;
        bool has_ctid;
    } cases[] = {{"every", DATASET_TABLE, true},       {"simple", DATASET_VIEW, false},
                 {"kept", DATASET_MATERIALIZED, true}, {"parts", DATASET_PARTITIONED, true},
                 {"parts_1", DATASET_TABLE, true},     {"mother", DATASET_TABLE, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dataset *dataset = describe(cases[i].name);
        assert_int_equal(dataset->kind, cases[i].kind);
        assert_int_equal(dataset->has_ctid, cases[i].has_ctid);
        dataset_unref(dataset);
    }
}

static void assert_told(const char *relation, const char *description, int64_t lag, int64_t every)
{
    const struct dataset *dataset = describe(relation);
    assert_text(dataset->description, description);
    assert_int_equal(dataset->expected_lag_s, lag);
    assert_int_equal(dataset->expected_every_s, every);
    dataset_unref(dataset);
}

static void comments_tell_of_the_relation_and_the_configuration_goes_before_them(void **state)
{
    assert_told("every", "What there is.\nIt goes on.", 3 * 86400, 14 * 86400);
    assert_told("told", NULL, 0, -1);
    assert_told("wrong", "Expected lag: soon. Grain: blue", -1, -1);
    assert_told("grouped", NULL, 60, 14 * 86400);
    assert_told("partly", NULL, 3 * 86400, 3600); /* of the table under the view under it */
    assert_told("over", NULL, 0, 14 * 86400);
    assert_told("loose", NULL, -1, -1);
}

static void assert_time(const char *relation, const char *column, const char *grain, bool indexed)
{
    const struct dataset *dataset = describe(relation);
    struct text found = dataset->time_column >= 0 ? dataset->columns[dataset->time_column].name : TEXT_NONE;
    if (!text_equal(found, text_from_string(column)))
        fail_msg("%s: time column %.*s, not %s", relation, TEXT_ARGS(found), column != NULL ? column : "none");
    if ((dataset->grain == NULL) != (grain == NULL) || (grain != NULL && strcmp(dataset->grain, grain) != 0))
        fail_msg("%s: grain %s", relation, dataset->grain != NULL ? dataset->grain : "none");
    if (dataset->time_is_indexed != indexed)
        fail_msg("%s: its index", relation);
    dataset_unref(dataset);
}

static void the_time_column_is_told_or_the_keys_or_the_only_one_of_such_a_name(void **state)
{
    assert_time("every", NULL, NULL, false); /* two that could be, neither in the primary key */
    assert_time("parts", "day", "day", true);
    assert_time("grouped", "day", "week", false);
    assert_time("told", "When", "hour", false);
    assert_time("loose", "day", "day", true);
    assert_time("two", NULL, NULL, false);
    assert_time("mother", "at", NULL, false);
    assert_time("over", "on_day", "day", true); /* the configured key's */
    assert_time("joined", "day", "day", false);
}

static void estimates_are_of_all_the_tables_under_it(void **state)
{
    const struct dataset *parts = describe("parts"), *unknown = describe("loose"), *first = describe("parts_1");
    assert_true(parts->row_estimate == 3);
    assert_true(first->row_estimate == 2);
    assert_true(unknown->row_estimate == -1);
    dataset_unref(parts);
    dataset_unref(unknown);
    dataset_unref(first);
    warehouse_script(owner, "insert into lake.two select '2020-01-01', '2020-01-01' from generate_series(1, 500); "
                            "analyze lake.two; create view lake.wide as select t.* from lake.two t, lake.parts");
    warehouse_script(owner, "grant select on lake.wide to sluice_reader");
    const struct dataset *wide = describe("wide");
    assert_true(wide->row_estimate == 500);
    dataset_unref(wide);
}

static void assert_asks(const char *relation, bool wanted)
{
    const struct dataset *dataset = describe(relation);
    if (dataset->asks_caller != wanted)
        fail_msg("%s %s who reads", relation, wanted ? "asks" : "doesn't ask");
    dataset_unref(dataset);
}

static void whoever_asks_who_reads_is_known(void **state)
{
    assert_asks("asks", true);
    assert_asks("over_asks", true);
    assert_asks("asks_somehow", true);
    assert_asks("calls", true); /* through a function that a function's text names */
    assert_asks("calls_body", true);
    assert_asks("rows_of", true);
    assert_asks("over_policy", true);
    assert_asks("asks_not", false);
    assert_asks("guarded", false);
    assert_asks("every", false);
    assert_asks("simple", false);
}

static void assert_moves(const char *relation, bool wanted)
{
    const struct dataset *dataset = describe(relation);
    if (dataset->moves != wanted)
        fail_msg("%s %s", relation, wanted ? "moves" : "stays");
    dataset_unref(dataset);
}

static void what_answers_otherwise_while_nothing_changes_is_known(void **state)
{
    assert_moves("clock", true);
    assert_moves("clock_2", true);
    assert_moves("dice", true);
    assert_moves("sample", true);
    assert_moves("calls", true); /* what a function of somebody's own reads is not known */
    assert_moves("steady", false);
    assert_moves("every", false);
    assert_moves("kept", false); /* until it is refreshed */
    assert_moves("grouped", false);
}

static void assert_bases(const char *relation, const char *wanted)
{
    const struct dataset *dataset = describe(relation);
    struct buffer words;
    buffer_init(&words, 4096);
    for (size_t i = 0; i < dataset->base_count; i++) {
        buffer_append_string(&words, i != 0 ? " " : "");
        buffer_append_text(&words, dataset->bases[i]);
    }
    if (strcmp(buffer_c_string(&words), wanted) != 0)
        fail_msg("%s: %s, not %s", relation, buffer_c_string(&words), wanted);
    buffer_free(&words);
    dataset_unref(dataset);
}

static void bases_are_the_tables_whose_changes_count(void **state)
{
    assert_bases("every", "lake.every");
    assert_bases("over", "lake.every");
    assert_bases("parts", "lake.parts");
    assert_bases("parts_2", "lake.parts");
    assert_bases("kept", "lake.kept");
    assert_bases("mother", "lake.child lake.mother");
    assert_bases("guarded", "lake.guarded lake.some"); /* its policy reads another one */
    assert_bases("from_catalog", "pg_catalog.pg_class");
    assert_bases("both", "lake.every lake.tracked");
}

static void versions_are_summed_and_unknown_when_one_is_not_tracked(void **state)
{
    const struct dataset *tracked = describe("tracked"), *both = describe("both");
    char *wanted = warehouse_value(owner, "select version || ' ' || (extract(epoch from changed_at) * 1000000)::bigint "
                                          "from sluice.dataset_version where relation = 'lake.tracked'");
    char words[64];
    snprintf(words, sizeof(words), "%llu %lld", (unsigned long long)tracked->version, (long long)tracked->changed_at);
    assert_string_equal(words, wanted);
    assert_int_equal(both->version, 0);
    assert_int_equal(both->changed_at, 0);
    free(wanted);
    dataset_unref(tracked);
    dataset_unref(both);
}

static void names_are_as_callers_write_them(void **state)
{
    const struct dataset *dataset = NULL;
    assert_int_equal(try_describe(1, "t.1", &dataset), STATUS_OK);
    assert_text(dataset->name, "a.b.t.1");
    assert_text(dataset->sql_name, "\"a.b\".\"t.1\"");
    assert_text(dataset->columns[0].name, "q\"1");
    dataset_unref(dataset);
    dataset = describe("a.b.c");
    assert_text(dataset->name, "lake.a.b.c"); /* bare, it would be one of another schema */
    dataset_unref(dataset);
}

/* Whatever a description tells of is part of its signature. */
static void every_change_of_a_definition_changes_its_signature(void **state)
{
    static const struct {
        const char *relation, *change;
        bool counts;
    } cases[] = {
        {"every", "select 1", false},
        {"every", "insert into lake.every (name, day, n) values ('a', '2020-01-01', 1)", false},
        {"every", "alter table lake.every add column more int", true},
        {"every", "alter table lake.every rename column more to less", true},
        {"every", "alter table lake.every alter column less type text", true},
        {"every", "alter table lake.every drop column less", true},
        {"every", "comment on table lake.every is 'Other words'", true},
        {"every", "comment on column lake.every.doc is 'Other words'", true},
        {"every", "create index another on lake.every (day)", true},
        {"every", "drop index lake.another", true},
        {"every", "alter type lake.mood add value 'angry'", true},
        {"every", "alter type lake.place add attribute z int", true},
        {"every", "alter domain lake.whole drop not null", true},
        {"every", "create function lake.half(lake.every) returns int language sql immutable as 'select 1'", true},
        {"every", "create or replace function lake.half(lake.every) returns int language sql as 'select 2'", true},
        {"every", "drop function lake.half(lake.every)", true},
        {"every", "grant select (id) on lake.every to public", true},
        {"every", "alter table lake.every alter column name set default 'x'", true},
        {"every", "create table lake.unrelated (id int)", false},
        {"over", "alter table lake.every alter column day drop not null", true},
        {"over",
         "create or replace view lake.simple as select e.day as on_day, e.name as title, e.id as number, 1::bigint "
         "as last, e.amount + 2 as more from lake.every e",
         true},
        {"calls", "create or replace function lake.who() returns text language sql stable as 'select ''me'''", true},
        {"over_policy", "drop policy p on lake.rows_of", true},
        {"parts", "create table lake.parts_3 partition of lake.parts for values from ('2022-01-01') to ('2023-01-01')",
         true},
        {"two",
         "insert into lake.two select '2020-01-01', '2020-01-01' from generate_series(1, 5000); analyze lake.two",
         true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dataset *before = describe(cases[i].relation), *after;
        warehouse_script(owner, cases[i].change);
        after = describe(cases[i].relation);
        if ((before->signature != after->signature) != cases[i].counts)
            fail_msg("%s: %s", cases[i].relation, cases[i].change);
        dataset_unref(before);
        dataset_unref(after);
    }
}

static void a_document_that_is_none_is_a_failure(void **state)
{
    struct dataset *dataset = NULL;
    struct failure failure = {0};
    const struct datasets_place place = datasets_place_of(&options, 0);
    assert_int_equal(describe_read(TEXT("{"), &options, &place, TEXT("x"), &dataset, &failure), STATUS_FAILED);
    assert_non_null(strstr(failure.message, "x"));
    assert_int_equal(describe_read(TEXT("{}"), &options, &place, TEXT("x"), &dataset, &failure), STATUS_OK);
    assert_int_equal(dataset->column_count, 0);
    dataset_unref(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_stand_in_their_order_with_types_and_words),
        cmocka_unit_test(types_of_ones_own_are_trees),
        cmocka_unit_test(functions_of_a_row_are_computed_columns),
        cmocka_unit_test(only_what_may_be_read_is_there),
        cmocka_unit_test(keys_are_those_that_no_two_rows_can_share),
        cmocka_unit_test(a_simple_view_has_its_tables_keys),
        cmocka_unit_test(a_configured_key_wins_and_is_passed_over_when_a_column_is_missing),
        cmocka_unit_test(kinds_and_places_of_rows_are_known),
        cmocka_unit_test(comments_tell_of_the_relation_and_the_configuration_goes_before_them),
        cmocka_unit_test(the_time_column_is_told_or_the_keys_or_the_only_one_of_such_a_name),
        cmocka_unit_test(estimates_are_of_all_the_tables_under_it),
        cmocka_unit_test(whoever_asks_who_reads_is_known),
        cmocka_unit_test(what_answers_otherwise_while_nothing_changes_is_known),
        cmocka_unit_test(bases_are_the_tables_whose_changes_count),
        cmocka_unit_test(versions_are_summed_and_unknown_when_one_is_not_tracked),
        cmocka_unit_test(names_are_as_callers_write_them),
        cmocka_unit_test(every_change_of_a_definition_changes_its_signature),
        cmocka_unit_test(a_document_that_is_none_is_a_failure),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
