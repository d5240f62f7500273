/* Walks by cursor over random rows full of ties and nulls: every row once, in the order that one SELECT gives. */
#include "query/select_private.h"

#include "tests/unit/query/shop.h"

#define ROWS 700
#define PAGE 7

static const char walk_sql[] =
    "create table walk (n int, a int, b text, c numeric, d float8, e timestamptz, f jsonb, g json, h int[], i point,"
    "  k interval, fixed int not null default 1);"
    "select setseed(0.5);"
    "insert into walk select n, case when random() > 0.2 then (random() * 9)::int end,"
    "  case when random() > 0.2 then (array['', 'a', 'B', 'ä', '\"', E'x\\\\y', 'null'])[1 + (random() * 6)::int] end,"
    "  case when random() > 0.2 then (array['1', '1.0', '1.00', '-3.5', 'NaN', '1e30'])[1 + (random() * "
    "5)::int]::numeric "
    "end,"
    "  case when random() > 0.2 then (array['0', '-0', '0.1', 'NaN', '-Infinity', '1e-300', "
    "'0.30000000000000004'])[1 + (random() * 6)::int]::float8 end,"
    "  case when random() > 0.2 then '2021-10-31 00:00:00.123456+00'::timestamptz + (random() * 3)::int * interval '1 "
    "hour' end,"
    "  case when random() > 0.2 then jsonb_build_object('x', (random() * 2)::int, 'y', array[(random() * 2)::int]) end,"
    "  case when random() > 0.2 then '{\"x\": 1 }'::json end, case when random() > 0.2 then array[(random() * 2)::int] "
    "end,"
    "  case when random() > 0.2 then point(0.1, (random() * 2)::int) end,"
    "  case when random() > 0.5 then interval '1 day' else interval '24 hours' end"
    "  from generate_series(1, 700) n;"
    "create table keyed as select * from walk order by random(); alter table keyed add primary key (n);"
    "create table doubled as select a % 2 as a, b, c, d, e, f, g, h, i, k, fixed from walk;"
    "create view nokey as select * from doubled;"
    "create table split (n int, a int, b text) partition by range (n);"
    "create table split1 partition of split for values from (0) to (1000);"
    "create table split2 partition of split for values from (1000) to (9000); insert into split select n, a, b from "
    "walk";

struct walk_column {
    const char *name;
    uint32_t type;
};
static const struct walk_column walk_columns[] = {{"n", 23},   {"a", 23},   {"b", 25},   {"c", 1700},
                                                  {"d", 701},  {"e", 1184}, {"f", 3802}, {"g", 114},
                                                  {"h", 1007}, {"i", 600},  {"k", 1186}, {"fixed", 23}};
#define COLUMNS (sizeof(walk_columns) / sizeof(walk_columns[0]))

static const unsigned short first_column[] = {0};
static const struct dataset_key first_key = {first_column, 1, true};
static struct dataset_column described[COLUMNS];
static struct postgres_session *session;

static struct dataset describe(const char *sql_name, size_t skip, size_t count)
{
    for (size_t i = 0; i < COLUMNS; i++)
        described[i] = (struct dataset_column){.name = text_from_string(walk_columns[i].name),
                                               .type = type_builtin(walk_columns[i].type),
                                               .nullable = i != 0 && i != COLUMNS - 1};
    return (struct dataset){
        .sql_name = text_from_string(sql_name), .columns = described + skip, .column_count = count, .time_column = -1};
}

static int open_walk(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    warehouse_script(session, walk_sql);
    return 0;
}

static int close_walk(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

/* What was seen, a line a row: visible columns only. */
struct seen {
    struct buffer lines;
    size_t rows;
    const struct select_plan *plan;
    struct arena *arena;
    struct cursor last; /* behind the last row of the page */
    uint64_t ties;
    bool more;
    size_t page;
};

static void append_line(struct seen *seen, const struct postgres_rows *rows, size_t row)
{
    for (size_t i = 0; i < seen->plan->visible; i++) {
        struct text value = postgres_rows_value(rows, row, i);
        buffer_append_string(&seen->lines, value.data == NULL ? "~" : "");
        buffer_append_text(&seen->lines, value);
        buffer_append_char(&seen->lines, '|');
    }
    buffer_append_char(&seen->lines, '\n');
    seen->rows++;
}

/* As the executor does it: ties are counted over the pages. */
static void take_page(void *context, const struct postgres_rows *rows)
{
    struct seen *seen = context;
    size_t count = postgres_rows_count(rows);
    seen->more = count > seen->page;
    for (size_t row = 0; row < count && row < seen->page; row++) {
        bool again = seen->last.count != 0 && select_is_at(seen->plan, rows, row, &seen->last);
        seen->ties = again ? seen->ties + 1 : 1;
        assert_int_equal(select_cursor(seen->plan, rows, row, seen->ties, seen->arena, &seen->last), STATUS_OK);
        append_line(seen, rows, row);
    }
}

/* The cursor goes through its text form, as it does between two requests. */
static struct cursor through_text(const struct cursor *cursor, struct arena *arena)
{
    static const struct text key = {"0123456789abcdef0123456789abcdef", 32}, purpose = {"walk", 4};
    struct buffer text;
    struct cursor read;
    buffer_init(&text, 1 << 20);
    cursor_append(&text, key, purpose, cursor);
    assert_int_equal(cursor_parse(buffer_text(&text), key, purpose, arena, &read), STATUS_OK);
    buffer_free(&text);
    return read;
}

static void read_page(struct seen *seen, const struct select_request *request, struct arena *arena)
{
    struct select_plan plan;
    struct select_mistake mistake;
    struct failure failure = {.message = ""};
    if (select_plan(request, arena, &plan, &mistake) != STATUS_OK)
        fail_msg("%s", mistake.message);
    seen->plan = &plan;
    seen->arena = arena;
    seen->ties = plan.ties;
    if (shop_run(session, arena, &plan.statement, plan.parameters, take_page, seen, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, plan.statement.sql);
}

static void take_count(void *context, const struct postgres_rows *rows)
{
    int64_t *count = context;
    assert_true(text_to_int64(postgres_rows_value(rows, 0, 0), count));
}

static int64_t count_of(const struct select_request *request, struct arena *arena)
{
    struct select_plan plan;
    struct select_mistake mistake;
    struct failure failure = {.message = ""};
    int64_t count = 0;
    assert_int_equal(select_plan(request, arena, &plan, &mistake), STATUS_OK);
    if (shop_run(session, arena, &plan.count_statement, plan.parameters, take_count, &count, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    assert_true(count > 0);
    return count;
}

/* All of it at once against page after page. */
static void walk(const struct dataset *dataset, const char *query, size_t page)
{
    struct seen whole = {.page = SIZE_MAX}, pages = {.page = page, .more = true};
    struct arena arena, kept;
    arena_init(&arena, NULL, 0, 64 << 20);
    buffer_init(&whole.lines, 16 << 20);
    buffer_init(&pages.lines, 16 << 20);
    struct select_request request = {
        .dataset = dataset, .query = shop_parse(&arena, query), .limit = UINT64_MAX, .wants_cursor = true};
    read_page(&whole, &request, &arena);
    assert_int_equal(whole.rows, count_of(&request, &arena));
    request.limit = page;
    arena_init(&kept, NULL, 0, 1 << 20);
    for (struct cursor after = {.count = 0}; pages.more; request.after = &after) {
        struct arena turn;
        arena_init(&turn, NULL, 0, 64 << 20);
        pages.last = after;
        read_page(&pages, &request, &turn);
        struct cursor next = pages.more ? through_text(&pages.last, &turn) : (struct cursor){.count = 0};
        arena_free(&kept);
        arena_init(&kept, NULL, 0, 1 << 20);
        for (size_t i = 0; i < next.count; i++)
            after.values[i] = next.values[i].data != NULL ? arena_copy(&kept, next.values[i]) : TEXT_NONE;
        after.count = next.count;
        arena_free(&turn);
    }
    if (pages.rows != whole.rows || !text_equal(buffer_text(&pages.lines), buffer_text(&whole.lines)))
        fail_msg("%.*s?%s: %zu rows by pages, %zu at once, or another order", TEXT_ARGS(dataset->sql_name), query,
                 pages.rows, whole.rows);
    arena_free(&kept);
    arena_free(&arena);
    buffer_free(&whole.lines);
    buffer_free(&pages.lines);
}

/* Each direction, nulls wherever, mixed; and what the key makes of them. */
static const char *const orders[] = {
    "",
    "order=n",
    "order=n.desc",
    "order=a",
    "order=a.desc",
    "order=a.nullsfirst",
    "order=a.desc.nullslast",
    "order=a,b",
    "order=a.desc,b.desc",
    "order=a,b.desc",
    "order=a.desc.nullslast,b.nullsfirst",
    "order=a.nullsfirst,b.desc.nullslast,c",
    "order=fixed,a",
    "order=fixed.desc,n.desc",
    "order=fixed,n.desc",
    "order=c",
    "order=c.desc.nullslast",
    "order=d,c",
    "order=d.desc,e",
    "order=e.nullsfirst",
    "order=e.desc,a",
    "order=f",
    "order=f.desc.nullslast",
    "order=f->x,f->>y.desc",
    "order=f->y->0.desc.nullslast,a",
    "order=h,k.desc",
    "order=k,b",
    "order=b&a=gt.0",
    "order=b.desc&or=(a.eq.1,b.is.null)",
    "a=eq.1",
};

static void each_row_once_and_in_order_with_a_primary_key(void **state)
{
    struct dataset dataset = describe("\"public\".\"keyed\"", 0, COLUMNS);
    dataset.keys = &first_key;
    dataset.key_count = 1;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        walk(&dataset, orders[i], PAGE);
}

static void each_row_once_and_in_order_by_the_places_of_a_heap(void **state)
{
    struct dataset dataset = describe("\"public\".\"walk\"", 0, COLUMNS);
    dataset.has_ctid = true;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i += 2)
        walk(&dataset, orders[i], PAGE);
}

static void each_row_once_and_in_order_by_the_places_in_partitions(void **state)
{
    struct dataset dataset = describe("\"public\".\"split\"", 0, 3);
    dataset.has_ctid = true;
    dataset.kind = DATASET_PARTITIONED;
    walk(&dataset, "", PAGE);
    walk(&dataset, "order=a.desc.nullslast,b", PAGE);
}

/* Without n: rows that are the same in all columns, and some that only look the same to `=`. */
static void each_row_as_often_as_it_is_there_without_any_key(void **state)
{
    struct dataset dataset = describe("\"public\".\"nokey\"", 1, COLUMNS - 1);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        if (strstr(orders[i], "=n") == NULL && strstr(orders[i], ",n") == NULL)
            walk(&dataset, orders[i], 41);
    dataset.column_count = 2; /* a, b: twenty-odd sorts of rows */
    walk(&dataset, "", PAGE);
    walk(&dataset, "order=b.desc", PAGE);
    walk(&dataset, "order=b.desc&select=b", 3);
    /* Names of the statement's own. */
    walk(&dataset, "order=a.desc&select=sluice_row:a,sluice_1:b", 3);
}

static void groups_are_walked_like_rows(void **state)
{
    struct dataset dataset = describe("\"public\".\"keyed\"", 0, COLUMNS);
    dataset.keys = &first_key;
    dataset.key_count = 1;
    walk(&dataset, "select=a,b,count()", PAGE);
    walk(&dataset, "select=a,b,count()&order=count.desc", PAGE);
    walk(&dataset, "select=a,b,s:d.sum(),count()&order=s.nullsfirst,b.desc", PAGE);
    walk(&dataset, "select=x:f->x,c,count()&order=c.desc.nullslast,f->x", PAGE);
    walk(&dataset, "select=count(),n.max()", PAGE);
}

static void take_explanation(void *context, const struct postgres_rows *rows)
{
    bool *found = context;
    for (size_t row = 0; row < postgres_rows_count(rows); row++)
        *found |= strstr(postgres_rows_value(rows, row, 0).data, "Index Cond") != NULL;
}

static void an_index_begins_at_the_cursor_where_it_has_that_order(void **state)
{
    static const struct {
        const char *query, *values[3];
    } cases[] = {{"", {"7"}},
                 {"order=n.desc", {"7"}},
                 {"order=fixed,n", {"1", "7"}},
                 {"order=fixed.desc,n.desc", {"1", "7"}},
                 {"order=a.nullsfirst", {"3", "7"}},
                 {"order=a.desc.nullslast&b=eq.a&a=gt.3", {"3", "7"}},
                 {"order=n.desc&b=eq.a", {"7"}}};
    struct dataset dataset = describe("\"public\".\"keyed\"", 0, COLUMNS);
    dataset.keys = &first_key;
    dataset.key_count = 1;
    warehouse_script(session, "create index on keyed (fixed, n); create index on keyed (a nulls first, n); analyze "
                              "keyed; set enable_seqscan to off; set enable_bitmapscan to off");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena;
        struct select_plan plan;
        struct select_mistake mistake;
        struct failure failure = {.message = ""};
        struct cursor after = {.count = 0};
        struct buffer sql;
        bool found = false;
        arena_init(&arena, NULL, 0, 1 << 20);
        buffer_init(&sql, 1 << 16);
        for (; after.count < 3 && cases[i].values[after.count] != NULL; after.count++)
            after.values[after.count] = text_from_string(cases[i].values[after.count]);
        struct select_request request = {
            .dataset = &dataset, .query = shop_parse(&arena, cases[i].query), .limit = PAGE, .after = &after};
        assert_int_equal(select_plan(&request, &arena, &plan, &mistake), STATUS_OK);
        buffer_printf(&sql, "explain %s", plan.statement.sql);
        struct postgres_statement explain = plan.statement;
        explain.sql = buffer_c_string(&sql);
        if (shop_run(session, &arena, &explain, plan.parameters, take_explanation, &found, &failure) != STATUS_OK)
            fail_msg("%s", failure.message);
        if (!found)
            fail_msg("no index begins at the cursor: %s", plan.statement.sql);
        buffer_free(&sql);
        arena_free(&arena);
    }
    warehouse_script(session, "reset enable_seqscan; reset enable_bitmapscan");
}

/* Of each row how often it was seen. */
struct tally {
    struct seen seen;
    unsigned char times[3 * ROWS];
};

static void take_tally(void *context, const struct postgres_rows *rows)
{
    struct tally *tally = context;
    for (size_t row = 0; row < postgres_rows_count(rows) && row < tally->seen.page; row++) {
        int64_t n;
        assert_true(text_to_int64(postgres_rows_value(rows, row, 0), &n));
        assert_int_equal(++tally->times[n], 1);
    }
    take_page(&tally->seen, rows);
}

static void take_survivors(void *context, const struct postgres_rows *rows)
{
    const struct tally *tally = context;
    assert_true(postgres_rows_count(rows) > ROWS / 2);
    for (size_t row = 0; row < postgres_rows_count(rows); row++) {
        int64_t n;
        assert_true(text_to_int64(postgres_rows_value(rows, row, 0), &n));
        assert_int_equal(tally->times[n], 1);
    }
}

/* Rows come and go everywhere between the pages; those that stay are seen once. */
static void rows_that_come_and_go_neither_repeat_nor_drop_the_others(void **state)
{
    static const char churn[] = "delete from churn where n in (select n from churn order by random() limit 2);"
                                "insert into churn select (select max(n) + 1 from churn), (random() * 9)::int, case "
                                "when random() > 0.3 then 'a' end";
    struct dataset dataset = describe("\"public\".\"churn\"", 0, 3);
    dataset.keys = &first_key;
    dataset.key_count = 1;
    struct tally tally = {.seen = {.page = PAGE, .more = true}};
    struct cursor after = {.count = 0};
    struct arena arena;
    struct failure failure = {.message = ""};
    warehouse_script(session, "create table churn as select n, a, b from keyed; alter table churn add primary key (n)");
    arena_init(&arena, NULL, 0, 64 << 20);
    buffer_init(&tally.seen.lines, 16 << 20);
    struct select_request request = {.dataset = &dataset,
                                     .query = shop_parse(&arena, "select=n,a&order=a.desc,b.nullsfirst"),
                                     .limit = PAGE,
                                     .wants_cursor = true};
    for (; tally.seen.more; request.after = &after) {
        struct select_plan plan;
        struct select_mistake mistake;
        assert_int_equal(select_plan(&request, &arena, &plan, &mistake), STATUS_OK);
        tally.seen.plan = &plan;
        tally.seen.arena = &arena;
        if (shop_run(session, &arena, &plan.statement, plan.parameters, take_tally, &tally, &failure) != STATUS_OK)
            fail_msg("%s", failure.message);
        after = through_text(&tally.seen.last, &arena);
        warehouse_script(session, churn);
    }
    assert_int_equal(postgres_session_query(session, "select n from churn where n <= 700", 0, NULL, take_survivors,
                                            &tally, &failure),
                     STATUS_OK);
    arena_free(&arena);
    buffer_free(&tally.seen.lines);
}

static int64_t first_number(const struct seen *seen, size_t from)
{
    int64_t number = 0;
    struct text line = text_of(seen->lines.data + from, seen->lines.size - from);
    line.size = (size_t)((const char *)memchr(line.data, '|', line.size) - line.data);
    assert_true(text_to_int64(line, &number));
    return number;
}

/* Each number is there twice. Where a page ends, both, one or none of the rows that it ended with go. */
static void rows_that_go_from_where_a_cursor_is_take_no_others_with_them(void **state)
{
    static const char setup[] =
        "create table twins as select n from generate_series(1, 60) as n, generate_series(1, 2)";
    struct dataset dataset = describe("\"public\".\"twins\"", 0, 1);
    struct seen seen = {.page = 3, .more = true};
    struct cursor after = {.count = 0};
    struct arena arena;
    int64_t last = 0;
    size_t at = 0;
    warehouse_script(session, setup);
    arena_init(&arena, NULL, 0, 64 << 20);
    buffer_init(&seen.lines, 1 << 20);
    struct select_request request = {
        .dataset = &dataset, .query = shop_parse(&arena, "order=n"), .limit = 3, .wants_cursor = true};
    for (int turn = 0, gone = 0; seen.more; turn++, request.after = &after) {
        char script[160];
        bool sent_one = seen.ties == 1;
        read_page(&seen, &request, &arena);
        if (seen.lines.size == at)
            break; /* what was said to be there went */
        int64_t expected = turn == 0 ? 1 : gone == 0 && sent_one ? last : last + 1;
        assert_int_equal(first_number(&seen, at), expected);
        assert_true(text_to_int64(seen.last.values[0], &last));
        at = seen.lines.size;
        after = through_text(&seen.last, &arena);
        gone = turn % 3;
        snprintf(script, sizeof(script),
                 "delete from twins where ctid in (select ctid from twins where n = %d limit %d)", (int)last, gone);
        warehouse_script(session, script);
    }
    assert_int_equal(last, 60);
    arena_free(&arena);
    buffer_free(&seen.lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_once_and_in_order_with_a_primary_key),
        cmocka_unit_test(each_row_once_and_in_order_by_the_places_of_a_heap),
        cmocka_unit_test(each_row_once_and_in_order_by_the_places_in_partitions),
        cmocka_unit_test(each_row_as_often_as_it_is_there_without_any_key),
        cmocka_unit_test(groups_are_walked_like_rows),
        cmocka_unit_test(an_index_begins_at_the_cursor_where_it_has_that_order),
        cmocka_unit_test(rows_that_come_and_go_neither_repeat_nor_drop_the_others),
        cmocka_unit_test(rows_that_go_from_where_a_cursor_is_take_no_others_with_them),
    };
    return cmocka_run_group_tests(tests, open_walk, close_walk);
}
