#include "tests/unit/query/datasets_lake.h"

#include <signal.h>

#include "base/clock.h"

#define CHECK_MS 200
#define TABLES 1000
#define BATCH 100 /* asked for at once */

static struct postgres_session *owner, *super;
static struct loop *loop;
static struct postgres *pool;
static struct datasets *datasets;

static const struct datasets_options usual = {
    .schemas = schemas, .schema_count = 3, .memory = (size_t)4 << 20, .check_ms = CHECK_MS, .forget_ms = 60000};

/* A statement of its own, because it commits on the way: locks are bounded. */
static const char many_tables[] =
    "do $$ begin for i in 1..1000 loop execute format('create table many.t%s (id int not null, day date)', i);"
    " if i % 200 = 0 then commit; end if; end loop; end $$";

static void open_pool(void)
{
    struct failure failure = {0};
    struct postgres_options options = {.login = warehouse_login("sluice_reader", "sluice"),
                                       .mode = POSTGRES_PIPELINED,
                                       .connections = 1,
                                       .queue = 4096};
    if (postgres_create(loop, &options, &pool, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
}

static struct datasets_options served;

static void make(const struct datasets_options *options)
{
    datasets_destroy(datasets);
    datasets = datasets_create(loop, pool, options);
    served = *options;
    assert_non_null(datasets);
}

static int set_up(void **state)
{
    warehouse_start();
    warehouse_migrate();
    owner = warehouse_open("sluice_owner", "sluice");
    super = warehouse_open("postgres", "sluice");
    warehouse_script(owner, shape);
    warehouse_script(owner, many_tables);
    loop = loop_create();
    reader_evloop = loop_evloop(loop);
    open_pool();
    return 0;
}

static int tear_down(void **state)
{
    datasets_destroy(datasets);
    postgres_destroy(pool);
    loop_destroy(loop);
    postgres_session_close(owner);
    postgres_session_close(super);
    warehouse_stop();
    return 0;
}

static int fresh(void **state)
{
    make(&usual);
    return 0;
}

struct asked {
    unsigned answers;
    enum status status;
    const struct dataset *dataset; /* a reference */
    struct datasets_wait *wait;
};

static void on_answer(void *context, enum status status, const struct dataset *dataset)
{
    struct asked *asked = context;
    asked->answers++;
    asked->status = status;
    asked->wait = NULL;
    if (dataset != NULL)
        dataset_ref(dataset);
    dataset_unref(asked->dataset);
    asked->dataset = dataset;
}

static const struct datasets_place nowhere;

static void start(struct asked *asked, size_t schema, const char *relation)
{
    *asked = (struct asked){0};
    const struct datasets_place place = schema < served.schema_count ? datasets_place_of(&served, schema) : nowhere;
    struct datasets_wait *wait = datasets_get(datasets, &place, text_from_string(relation), on_answer, asked);
    if (asked->answers == 0)
        asked->wait = wait;
    else
        assert_null(wait);
}

static void wait_for(struct asked *asked)
{
    uint64_t give_up = clock_monotonic_us() + 30 * 1000000;
    while (asked->answers == 0) {
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(loop, 100);
    }
}

static enum status get(size_t schema, const char *relation)
{
    struct asked asked;
    start(&asked, schema, relation);
    wait_for(&asked);
    dataset_unref(asked.dataset);
    return asked.status;
}

/* To be unref'd. */
static const struct dataset *take(const char *relation)
{
    struct asked asked;
    start(&asked, 0, relation);
    wait_for(&asked);
    if (asked.status != STATUS_OK)
        fail_msg("%s: %s", relation, status_name(asked.status));
    return asked.dataset;
}

static void turn_for(uint64_t milliseconds)
{
    uint64_t end = clock_monotonic_us() + milliseconds * 1000;
    while (clock_monotonic_us() < end)
        loop_turn(loop, 10);
}

static void the_first_get_asks_and_the_next_ones_do_not(void **state)
{
    const struct dataset *one = take("one");
    uint64_t queries = postgres_statistics(pool).queries;
    struct asked asked;
    assert_int_equal(one->column_count, 2);
    for (int i = 0; i < 100; i++) {
        start(&asked, 0, "one"); /* within the call */
        assert_int_equal(asked.answers, 1);
        assert_ptr_equal(asked.dataset, one);
        dataset_unref(asked.dataset);
    }
    assert_int_equal(postgres_statistics(pool).queries, queries);
    assert_int_equal(datasets_statistics(datasets).misses, 1);
    assert_int_equal(datasets_statistics(datasets).hits, 100);
    assert_int_equal(datasets_statistics(datasets).entries, 1);
    dataset_unref(one);
}

static void a_thousand_gets_in_one_turn_ask_once(void **state)
{
    static struct asked asked[1000];
    uint64_t queries = postgres_statistics(pool).queries;
    for (size_t i = 0; i < 1000; i++)
        start(&asked[i], 0, "one");
    datasets_cancel(asked[0].wait);
    datasets_cancel(asked[500].wait);
    datasets_cancel(asked[999].wait);
    wait_for(&asked[998]);
    assert_int_equal(postgres_statistics(pool).queries, queries + 1);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(asked[i].answers, i % 500 == 0 || i == 999 ? 0 : 1);
        dataset_unref(asked[i].dataset);
    }
}

static void what_was_asked_for_is_kept_when_nobody_waits_any_more(void **state)
{
    struct asked asked;
    start(&asked, 0, "one");
    datasets_cancel(asked.wait);
    while (datasets_statistics(datasets).entries == 0)
        loop_turn(loop, 100);
    assert_int_equal(asked.answers, 0);
}

static void waits_under_way_at_the_end_are_never_answered(void **state)
{
    struct asked asked;
    start(&asked, 0, "one");
    assert_non_null(asked.wait);
    datasets_destroy(datasets);
    datasets = NULL;
    turn_for(50);
    assert_int_equal(asked.answers, 0);
}

static void names_that_can_be_nobodys_are_not_found_without_asking(void **state)
{
    uint64_t queries = postgres_statistics(pool).queries;
    struct asked asked = {0};
    assert_int_equal(get(0, ""), STATUS_NOT_FOUND);
    assert_int_equal(get(0, "\xff"), STATUS_NOT_FOUND);
    assert_int_equal(get(9, "one"), STATUS_NOT_FOUND);
    assert_int_equal(get(0, "0123456789012345678901234567890123456789012345678901234567890123"), STATUS_NOT_FOUND);
    const struct datasets_place place = datasets_place_of(&usual, 0);
    assert_null(datasets_get(datasets, &place, text_of("a\0b", 3), on_answer, &asked));
    assert_int_equal(asked.status, STATUS_NOT_FOUND);
    assert_int_equal(postgres_statistics(pool).queries, queries);
}

static void what_is_not_there_is_asked_for_once_in_a_while(void **state)
{
    struct datasets_options patient = usual;
    patient.check_ms = 60000;
    make(&patient);
    assert_int_equal(get(0, "absent"), STATUS_NOT_FOUND);
    uint64_t queries = postgres_statistics(pool).queries;
    assert_int_equal(get(0, "absent"), STATUS_NOT_FOUND);
    assert_int_equal(get(0, "absent"), STATUS_NOT_FOUND);
    assert_int_equal(postgres_statistics(pool).queries, queries);
    assert_int_equal(get(0, "hidden"), STATUS_NOT_FOUND);
    assert_int_equal(get(2, "one"), STATUS_NOT_FOUND);
    make(&usual);
    assert_int_equal(get(0, "absent"), STATUS_NOT_FOUND);
    turn_for(CHECK_MS + 10);
    queries = postgres_statistics(pool).queries;
    assert_int_equal(get(0, "absent"), STATUS_NOT_FOUND);
    assert_int_equal(postgres_statistics(pool).queries, queries + 1);
    assert_int_equal(datasets_statistics(datasets).entries, 0);
}

/* Milliseconds until get says so; after `change` it was otherwise. *slowest: those of the longest question and turn. */
static uint64_t until(const char *relation, enum status wanted, size_t columns, uint64_t *slowest)
{
    uint64_t began = clock_monotonic_us();
    *slowest = 0;
    for (uint64_t last = began;;) {
        struct asked asked;
        start(&asked, 0, relation);
        wait_for(&asked);
        bool is = asked.status == wanted && (wanted != STATUS_OK || asked.dataset->column_count == columns);
        dataset_unref(asked.dataset);
        uint64_t now = clock_monotonic_us(), took = (now - began) / 1000;
        *slowest = (now - last) / 1000 > *slowest ? (now - last) / 1000 : *slowest;
        last = now;
        if (is)
            return took;
        if (took > 30000)
            fail_msg("%s: not seen after %llu ms", relation, (unsigned long long)took);
        loop_turn(loop, 5);
    }
}

/* An answer is at most CHECK_MS old; twice that while the database is being asked, and half of it more behind an answer
 * that took long. The question that finds the change, and one that was under way, take what they take here. */
static void assert_seen(const char *change, const char *relation, enum status wanted, size_t columns)
{
    uint64_t slowest;
    warehouse_script(owner, change);
    uint64_t took = until(relation, wanted, columns, &slowest);
    if (took > 3 * CHECK_MS + 2 * slowest)
        fail_msg("%s: seen after %llu ms, of which a question took %llu", change, (unsigned long long)took,
                 (unsigned long long)slowest);
}

static void changes_at_run_time_are_seen(void **state)
{
    assert_int_equal(get(0, "new"), STATUS_NOT_FOUND);
    assert_seen("create table lake.new (id int); grant select on lake.new to sluice_reader", "new", STATUS_OK, 1);
    assert_seen("alter table lake.new add column v int", "new", STATUS_OK, 2);
    assert_seen("alter table lake.new rename to newer", "new", STATUS_NOT_FOUND, 0);
    assert_seen("select 1", "newer", STATUS_OK, 2);
    assert_seen("revoke select on lake.newer from sluice_reader", "newer", STATUS_NOT_FOUND, 0);
    assert_seen("grant select (v) on lake.newer to sluice_reader", "newer", STATUS_OK, 1);
    assert_seen("drop table lake.newer; create table lake.newer (a int, b int, c int); grant select on lake.newer to "
                "sluice_reader",
                "newer", STATUS_OK, 3);
    assert_seen("revoke usage on schema lake from sluice_reader", "newer", STATUS_NOT_FOUND, 0);
    assert_seen("grant usage on schema lake to sluice_reader", "newer", STATUS_OK, 3);
    assert_seen("drop table lake.newer", "newer", STATUS_NOT_FOUND, 0);
    assert_true(datasets_statistics(datasets).changes > 0);
}

/* What is in use is looked at in the background: gets go on being answered within the call. */
static void datasets_in_use_are_looked_at_in_the_background(void **state)
{
    struct datasets_options options = usual;
    options.check_ms = 10 * CHECK_MS; /* a machine may stand still for that long, before a get has to ask */
    make(&options);
    const struct dataset *one = take("one"), *over = take("over");
    uint64_t misses = datasets_statistics(datasets).misses, give_up = clock_monotonic_us() + 60 * 1000000;
    while (datasets_statistics(datasets).checks < 4) {
        struct asked asked;
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(loop, 5);
        start(&asked, 0, "one");
        assert_int_equal(asked.answers, 1);
        assert_ptr_equal(asked.dataset, one);
        dataset_unref(asked.dataset);
    }
    assert_int_equal(datasets_statistics(datasets).misses, misses);
    assert_int_equal(datasets_statistics(datasets).changes, 0);
    dataset_unref(one);
    dataset_unref(over);
}

static void versions_go_on_within_a_description(void **state)
{
    const struct dataset *one = take("one"), *over = take("over"), *two = take("two");
    uint64_t version = one->version, began = clock_monotonic_us();
    int64_t changed_at = one->changed_at;
    assert_true(version != 0);
    assert_int_equal(over->version, version);
    assert_int_equal(two->version, 0);
    warehouse_script(owner, "insert into lake.one values (1, 1)");
    while (one->version == version || over->version == version) {
        assert_true(clock_monotonic_us() - began < 10000000);
        loop_turn(loop, 10);
    }
    assert_int_equal(one->version, version + 1);
    assert_int_equal(over->version, version + 1);
    assert_true(one->changed_at > changed_at);
    assert_int_equal(two->version, 0);
    assert_int_equal(datasets_statistics(datasets).changes, 0);
    dataset_unref(one);
    dataset_unref(over);
    dataset_unref(two);
}

static void what_is_not_used_is_no_longer_looked_at(void **state)
{
    struct datasets_options options = usual;
    options.forget_ms = CHECK_MS;
    make(&options);
    dataset_unref(take("one"));
    turn_for(3 * CHECK_MS);
    uint64_t queries = postgres_statistics(pool).queries;
    turn_for(2 * CHECK_MS);
    assert_int_equal(postgres_statistics(pool).queries, queries);
    uint64_t misses = datasets_statistics(datasets).misses;
    dataset_unref(take("one")); /* it was not looked at for too long */
    assert_int_equal(datasets_statistics(datasets).misses, misses + 1);
}

static void what_is_forgotten_is_asked_anew_and_a_reference_stays_valid(void **state)
{
    const struct dataset *one = take("one"), *again;
    datasets_forget(datasets, one);
    again = take("one");
    assert_int_equal(datasets_statistics(datasets).misses, 2);
    assert_ptr_not_equal(again, one);
    assert_true(text_equal(one->columns[0].name, TEXT("id")));
    dataset_unref(again);
    dataset_unref(one);
}

/* The next `times` questions about what has a version fail. The locks that count them are a session's: what fails
 * undoes none. */
static void stumble(const char *sqlstate, int times)
{
    static int number;
    char script[1024];
    number++;
    snprintf(
        script, sizeof(script),
        "create or replace function lake.stumble() returns boolean language plpgsql as $$ declare failed int :="
        " (select count(*) from pg_locks where locktype = 'advisory' and classid = %d); begin"
        " if failed < %d then perform pg_advisory_lock(%d, failed); raise exception using errcode = '%s', message ="
        " 'on purpose'; end if; return true; end $$",
        number, times, number, sqlstate);
    warehouse_script(super, script);
    make(&usual);
}

static void a_question_that_a_change_overtook_is_asked_again_a_few_times(void **state)
{
    static const char *const states[] = {"XX000", "40P01", "42P01", "42703"};
    stumble("XX000", 0);
    warehouse_script(super, "alter table sluice.dataset_version rename to real_version; create view "
                            "sluice.dataset_version as select * from sluice.real_version where lake.stumble(); "
                            "grant select on sluice.dataset_version to sluice_reader");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        stumble(states[i], 7);
        dataset_unref(take("one"));
        stumble(states[i], 8);
        assert_int_equal(get(0, "one"), STATUS_UNAVAILABLE);
    }
    stumble("22012", 1);
    assert_int_equal(get(0, "one"), STATUS_FAILED);
    warehouse_script(super, "drop view sluice.dataset_version; alter table sluice.real_version rename to "
                            "dataset_version; drop function lake.stumble()");
}

/* Its question may have been answered before the change that the failed query saw. */
static void nobody_joins_a_question_that_was_put_before_something_was_forgotten(void **state)
{
    const struct dataset *one = take("one");
    struct asked early, late;
    datasets_forget(datasets, one);
    start(&early, 0, "one");
    datasets_forget(datasets, one);
    start(&late, 0, "one");
    wait_for(&late);
    wait_for(&early);
    assert_int_equal(datasets_statistics(datasets).misses, 3);
    assert_ptr_not_equal(early.dataset, late.dataset);
    dataset_unref(early.dataset);
    start(&early, 0, "one");
    assert_ptr_equal(early.dataset, late.dataset);
    dataset_unref(early.dataset);
    dataset_unref(late.dataset);
    dataset_unref(one);
}

/* Nothing is left to ask about: the answer has no row of a relation at all. */
static void the_only_dataset_in_use_is_missed_when_it_goes(void **state)
{
    warehouse_script(owner, "create table lake.alone (id int); grant select on lake.alone to sluice_reader");
    const struct dataset *alone = take("alone");
    turn_for(2 * CHECK_MS); /* it was found to be the same a few times */
    assert_true(alone->checked_ms != 0);
    warehouse_script(owner, "drop table lake.alone");
    uint64_t began = clock_monotonic_us();
    while (alone->checked_ms != 0) {
        assert_true(clock_monotonic_us() - began < 10000000);
        loop_turn(loop, 10);
    }
    assert_int_equal(get(0, "alone"), STATUS_NOT_FOUND);
    dataset_unref(alone);
}

static void memory_is_bounded_however_many_relations_are_asked_for(void **state)
{
    static const struct datasets_schema many[] = {{"many", NULL}};
    struct datasets_options options = usual;
    options.schemas = many;
    options.schema_count = 1;
    options.memory = (size_t)512 << 10;
    make(&options);
    for (int i = 0; i < TABLES; i += BATCH) {
        static struct asked asked[BATCH];
        for (int k = 0; k < BATCH; k++) {
            char name[16];
            snprintf(name, sizeof(name), "t%d", i + k + 1);
            start(&asked[k], 0, name);
        }
        for (int k = 0; k < BATCH; k++) {
            wait_for(&asked[k]);
            assert_int_equal(asked[k].status, STATUS_OK);
            dataset_unref(asked[k].dataset);
        }
        assert_true(datasets_statistics(datasets).bytes <= options.memory);
    }
    struct datasets_statistics statistics = datasets_statistics(datasets);
    assert_true(statistics.entries > 50);
    assert_int_equal(statistics.evicted, TABLES - statistics.entries);
    print_message("a description takes %zu bytes; %zu of them in %zu\n", statistics.bytes / statistics.entries,
                  statistics.entries, statistics.bytes);
}

static void kill_backends(void)
{
    free(warehouse_value(super, "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = "
                                "'sluice_reader'"));
}

static void descriptions_stand_in_while_the_database_is_away_unless_known_to_be_wrong(void **state)
{
    const struct dataset *one = take("one");
    dataset_unref(take("two"));
    const struct dataset *two = take("two");
    datasets_forget(datasets, two);
    dataset_unref(two);
    warehouse_script(super, "alter role sluice_reader nologin");
    kill_backends();
    uint64_t began = clock_monotonic_us();
    while (postgres_is_up(pool)) {
        assert_true(clock_monotonic_us() - began < 10000000);
        loop_turn(loop, 10);
    }
    turn_for(2 * CHECK_MS);
    const struct dataset *still = take("one");
    assert_ptr_equal(still, one);
    dataset_unref(still);
    assert_int_equal(get(0, "two"), STATUS_UNAVAILABLE);
    assert_int_equal(get(0, "over"), STATUS_UNAVAILABLE);
    warehouse_script(super, "alter role sluice_reader login; alter table lake.one add column w int");
    uint64_t slowest;
    until("one", STATUS_OK, 3, &slowest);
    until("two", STATUS_OK, 1, &slowest);
    dataset_unref(one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(the_first_get_asks_and_the_next_ones_do_not),
        TEST(a_thousand_gets_in_one_turn_ask_once),
        TEST(what_was_asked_for_is_kept_when_nobody_waits_any_more),
        TEST(waits_under_way_at_the_end_are_never_answered),
        TEST(names_that_can_be_nobodys_are_not_found_without_asking),
        TEST(what_is_not_there_is_asked_for_once_in_a_while),
        TEST(changes_at_run_time_are_seen),
        TEST(datasets_in_use_are_looked_at_in_the_background),
        TEST(versions_go_on_within_a_description),
        TEST(what_is_not_used_is_no_longer_looked_at),
        TEST(what_is_forgotten_is_asked_anew_and_a_reference_stays_valid),
        TEST(nobody_joins_a_question_that_was_put_before_something_was_forgotten),
        TEST(a_question_that_a_change_overtook_is_asked_again_a_few_times),
        TEST(the_only_dataset_in_use_is_missed_when_it_goes),
        TEST(memory_is_bounded_however_many_relations_are_asked_for),
        TEST(descriptions_stand_in_while_the_database_is_away_unless_known_to_be_wrong),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
