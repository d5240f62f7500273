#include "query/select.h"

#include "tests/unit/query/shop.h"

/* SQL is written here without what always stands there: "sluice_t" before columns, the relation's full name. */
struct expectation {
    const char *query; /* behind '~': with a cursor wanted */
    const char *sql;
    const char *parameters; /* between '|' */
    const char *marks;      /* K: found by key; T: bounded in time */
};
static const struct expectation expectations[] = {
#include "tests/unit/query/select_cases.h"
};

struct refusal {
    const char *query;
    enum status status;
    const char *parameter;
    unsigned column;
    const char *message;
};
static const struct refusal refusals[] = {
    {"select=data->a->b->0,data->a->b->1", STATUS_INVALID, "select", 15,
     "two columns of the result are named `b`; give one of them an alias, as in `other:b`"},
    {"select=age.sum(),ratio.sum()", STATUS_INVALID, "select", 11,
     "two columns of the result are named `sum`; give one of them an alias, as in `other:sum`"},
    {"select=raw,count()", STATUS_NOT_FOUND, "select", 1,
     "`raw` is of type json, by which rows cannot be grouped; cast it, as in `raw::text`, or leave it out"},
    {"select=active.max()", STATUS_NOT_FOUND, "select", 1,
     "`active` is of type boolean, which has no max(); cast it before, as in `active::text.max()`"},
    {"select=name.sum()", STATUS_NOT_FOUND, "select", 1,
     "`name` is of type text, which has no sum(); cast it before, as in `name::numeric.sum()`"},
    {"select=id,id:name", STATUS_INVALID, "select", 7,
     "two columns of the result are named `id`; give one of them an alias, as in `other:id`"},
    {"select=name,x:name,name:age", STATUS_INVALID, "select", 18,
     "two columns of the result are named `name`; give one of them an alias, as in `other:name`"},
    {"select=name,count()&order=age", STATUS_INVALID, "order", 1,
     "`age` is neither grouped by nor a name in the result; add it to `select`, or order by one that is there"},
    {"select=id&order=raw", STATUS_NOT_FOUND, "order", 1,
     "`raw` is of type json, which has no order; order by another column, or by text in it with `->>`"},
    {"select=id&order=raw->a", STATUS_NOT_FOUND, "order", 1,
     "`raw` is of type json, which has no order; order by another column, or by text in it with `->>`"},
    {"select=id&order=spot.desc", STATUS_NOT_FOUND, "order", 1,
     "`spot` is of type point, which has no order; order by another column"},
    {"select=nam", STATUS_INVALID, "select", 1, "unknown column `nam` at column 1; did you mean `name`?"},
    {"select=id&agee=eq.1", STATUS_INVALID, "agee", 0, "unknown column `agee`; did you mean `age`?"},
    {"select=id&zzzzzzz=eq.1", STATUS_INVALID, "zzzzzzz", 0,
     "unknown column `zzzzzzz`; the dataset's schema lists those there are"},
    {"select=id&order=nome", STATUS_INVALID, "order", 1, "unknown column `nome` at column 1; did you mean `name`?"},
    {"select=id&and=(id.eq.1,nome.eq.2)", STATUS_INVALID, "and", 10,
     "unknown column `nome` at column 10; did you mean `name`?"},
    {"select=id&age=eq.abc", STATUS_INVALID, "age", 4,
     "\"abc\" is not an integer at column 4; `age` is of type integer"},
    {"select=id&and=(id.gt.0,age.in.(1,x))", STATUS_INVALID, "and", 17,
     "\"x\" is not an integer at column 17; `age` is of type integer"},
    {"select=id&age=like.1*", STATUS_NOT_FOUND, "age", 1, "`age` is of type integer, which has no operator `like`"},
    {"select=id&raw=eq.1", STATUS_NOT_FOUND, "raw", 1, "`raw` is of type json, which has no operator `eq`"},
    {"select=id&spot=eq.(1,2)", STATUS_NOT_FOUND, "spot", 1, "`spot` is of type point, which has no operator `eq`"},
    {"select=id&age=sl.1", STATUS_NOT_FOUND, "age", 1, "`age` is of type integer, which has no operator `sl`"},
    {"select=id&data=ov.{}", STATUS_NOT_FOUND, "data", 1, "`data` is of type jsonb, which has no operator `ov`"},
    {"select=id&age=fts.x", STATUS_NOT_FOUND, "age", 1, "`age` is of type integer, which has no operator `fts`"},
    {"select=id&age=is.true", STATUS_INVALID, "age", 4,
     "`age` is of type integer, and only a boolean is true, false or unknown; `is` takes null and not_null here"},
    {"select=id&age->a=eq.1", STATUS_NOT_FOUND, "age->a", 0,
     "`age` is of type integer, which has no parts to reach with `->`; leave the path out"},
    {"select=id&small=eq.40000", STATUS_INVALID, "small", 4,
     "\"40000\" is not an integer from -32768 to 32767 at column 4; `small` is of type smallint"},
    {"select=id&day=eq.2021-02-30", STATUS_INVALID, "day", 4,
     "\"2021-02-30\" is not a date like 2021-10-31 at column 4; `day` is of type date"},
    {"select=id&active=eq.maybe", STATUS_INVALID, "active", 4,
     "\"maybe\" is not true or false at column 4; `active` is of type boolean"},
    {"select=id&code=eq.1", STATUS_INVALID, "code", 4, "\"1\" is not a UUID at column 4; `code` is of type uuid"},
    {"select=id&price=eq.1,5", STATUS_INVALID, "price", 4,
     "\"1,5\" is not a number at column 4; `price` is of type numeric"},
    {"select=data->>a->b", STATUS_INVALID, "select", 1,
     "in a path on `data` a step follows `->>`, which gives text; only the last may be `->>`"},
};

static struct postgres_session *session;

static int open_shop(void **state)
{
    warehouse_start();
    shop_describe();
    session = warehouse_open("postgres", "postgres");
    warehouse_script(session, shop_sql);
    return 0;
}

static int close_shop(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

static int set_up(void **state)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    arena_init(arena, NULL, 0, 64 << 20);
    *state = arena;
    return 0;
}

static int tear_down(void **state)
{
    arena_free(*state);
    free(*state);
    return 0;
}

static void replace(char *text, const char *from, const char *to)
{
    for (char *at = text; (at = strstr(at, from)) != NULL; at += strlen(to)) {
        memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
        memcpy(at, to, strlen(to));
    }
}

static const char *shortened(struct arena *arena, const char *sql)
{
    char *copy = (char *)arena_copy(arena, text_from_string(sql)).data;
    replace(copy, " from \"public\".\"shop\" as \"sluice_t\"", " from shop");
    replace(copy, "\"sluice_t\".", "");
    replace(copy, "\"sluice_g\".", "g.");
    replace(copy, " as \"sluice_g\"", " g");
    return copy;
}

static enum status plan(struct arena *arena, const char *query, const struct cursor *after, uint64_t limit,
                        struct select_plan *plan, struct select_mistake *mistake)
{
    bool wants = query[0] == '~';
    struct select_request request = {.dataset = &shop,
                                     .query = shop_parse(arena, query + wants),
                                     .limit = limit,
                                     .after = after,
                                     .wants_cursor = wants};
    return select_plan(&request, arena, plan, mistake);
}

static struct select_plan must_plan(struct arena *arena, const char *query, const struct cursor *after, uint64_t limit)
{
    struct select_plan made;
    struct select_mistake mistake;
    if (plan(arena, query, after, limit, &made, &mistake) != STATUS_OK)
        fail_msg("%s: %s", query, mistake.message);
    return made;
}

static void the_table_of_reads_gives_this_sql_with_these_parameters(void **state)
{
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        const struct expectation *expected = &expectations[i];
        struct select_plan made = must_plan(*state, expected->query, NULL, UINT64_MAX);
        struct buffer joined;
        buffer_init(&joined, 1 << 16);
        for (size_t j = 0; j < made.statement.parameter_count; j++) {
            buffer_append_string(&joined, j != 0 ? "|" : "");
            buffer_append_text(&joined, made.parameters[j]);
        }
        assert_string_equal(shortened(*state, made.statement.sql), expected->sql);
        assert_string_equal(buffer_c_string(&joined), expected->parameters);
        assert_int_equal(made.by_key, strchr(expected->marks, 'K') != NULL);
        assert_int_equal(made.time_filtered, strchr(expected->marks, 'T') != NULL);
        buffer_free(&joined);
    }
}

/* Those behind the visible ones, which only a cursor needs. */
static size_t unseen_columns(const struct select_plan *made)
{
    size_t end = made->visible;
    for (size_t i = 0; i < made->order_count; i++)
        end = made->order_at[i] >= end ? made->order_at[i] + 1u : end;
    return end - made->visible;
}

static void take_types(void *context, const struct postgres_rows *rows)
{
    struct select_plan *made = context;
    assert_int_equal(postgres_rows_columns(rows), made->visible + unseen_columns(made));
    for (size_t i = 0; i < made->visible; i++)
        if (made->types[i] != NULL && made->types[i]->oid < 90000)
            assert_int_equal(postgres_rows_type(rows, i), made->types[i]->oid);
}

static void ignore_rows(void *context, const struct postgres_rows *rows)
{
}

static void the_server_takes_all_of_it_and_gives_the_types_foretold(void **state)
{
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        struct failure failure = {.message = ""};
        struct select_plan made = must_plan(*state, expectations[i].query, NULL, 10);
        if (shop_run(session, *state, &made.statement, made.parameters, take_types, &made, &failure) != STATUS_OK)
            fail_msg("%s: %s\n%s", expectations[i].query, failure.message, made.statement.sql);
        if (shop_run(session, *state, &made.count_statement, made.parameters, ignore_rows, NULL, &failure) != STATUS_OK)
            fail_msg("%s: %s\n%s", expectations[i].query, failure.message, made.count_statement.sql);
    }
}

static void mistakes_say_where_and_what_would_be_right(void **state)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *refusal = &refusals[i];
        struct select_plan made;
        struct select_mistake mistake;
        assert_int_equal(plan(*state, refusal->query, NULL, UINT64_MAX, &made, &mistake), refusal->status);
        assert_int_equal(mistake.status, refusal->status);
        assert_string_equal(mistake.message, refusal->message);
        assert_true(text_equal(mistake.place.parameter, text_from_string(refusal->parameter)));
        assert_int_equal(mistake.place.column, refusal->column);
    }
}

static void star_is_all_columns_but_the_computed_and_a_column_said_twice_is_shown_once(void **state)
{
    assert_int_equal(must_plan(*state, "", NULL, 1).visible, SHOP_COLUMNS - 1);
    assert_int_equal(must_plan(*state, "select=", NULL, 1).visible, SHOP_COLUMNS - 1);
    assert_int_equal(must_plan(*state, "select=*", NULL, 1).visible, SHOP_COLUMNS - 1);
    assert_int_equal(must_plan(*state, "select=*,total,id", NULL, 1).visible, SHOP_COLUMNS);
    assert_int_equal(must_plan(*state, "select=id,*,*", NULL, 1).visible, SHOP_COLUMNS - 1);
}

static void one_row_more_than_the_page_is_asked_for_in_literal_digits(void **state)
{
    struct select_request request = {
        .dataset = &shop, .query = shop_parse(*state, "select=id"), .limit = 7, .offset = 3};
    struct select_plan made;
    struct select_mistake mistake;
    assert_int_equal(select_plan(&request, *state, &made, &mistake), STATUS_OK);
    assert_string_equal(shortened(*state, made.statement.sql), "select \"id\" from shop limit 8 offset 3");
    request.limit = UINT64_MAX;
    request.offset = UINT64_MAX;
    assert_int_equal(select_plan(&request, *state, &made, &mistake), STATUS_OK);
    assert_string_equal(shortened(*state, made.statement.sql), "select \"id\" from shop offset 9223372036854775807");
    request.query = shop_parse(*state, "select=id&id=eq.1");
    request.limit = 7;
    request.offset = 0;
    assert_int_equal(select_plan(&request, *state, &made, &mistake), STATUS_OK);
    assert_string_equal(shortened(*state, made.statement.sql), "select \"id\" from shop where \"id\" = $1");
}

static void the_count_has_the_filters_and_only_their_parameters(void **state)
{
    struct select_plan made =
        must_plan(*state, "~select=data->>x&order=data->>y&name=eq.a&data->>z=eq.b&or=(age.gt.1,age.is.null)", NULL, 5);
    assert_string_equal(shortened(*state, made.count_statement.sql),
                        "select count(*) from shop where \"name\" = $1 and (\"data\" ->> $2::text) = $3 and (\"age\" "
                        "> $4 or \"age\" is null)");
    assert_int_equal(made.filter_parameter_count, 4);
    assert_int_equal(made.statement.parameter_count, 6);
}

static void the_count_of_groups_counts_groups(void **state)
{
    struct select_plan made = must_plan(*state, "select=data->>x,count()&name=eq.a&order=count", NULL, 5);
    assert_string_equal(
        shortened(*state, made.count_statement.sql),
        "select count(*) from (select (\"data\" ->> $2::text) as \"sluice_1\", count(*) as \"sluice_2\" "
        "from shop where \"name\" = $1 group by 1) g");
    assert_int_equal(made.filter_parameter_count, 2);
    assert_int_equal(made.count_statement.parameter_count, 2);
}

static void a_cursor_of_another_order_is_refused(void **state)
{
    struct select_plan made;
    struct select_mistake mistake;
    struct cursor after = {.values = {TEXT("1"), TEXT("2"), TEXT("3")}};
    for (after.count = 0; after.count <= 3; after.count++)
        assert_int_equal(plan(*state, "~select=id&order=name", &after, 5, &made, &mistake),
                         after.count == 2 ? STATUS_OK : STATUS_INVALID);
    assert_true(text_equal(mistake.place.parameter, TEXT("cursor")));
}

static void an_index_can_serve_what_lies_behind_a_cursor(void **state)
{
    static const struct {
        const char *query, *behind;
    } cases[] = {
        {"~select=id", " where \"id\" > $1"},
        {"~select=id&order=id.desc", " where \"id\" < $1"},
        {"~select=id&order=name", " where (\"name\" is null or \"name\" >= $1 and (\"name\" > $1 or \"id\" > $2))"},
        {"~select=id&order=name.nullsfirst", " where (\"name\" >= $1 and (\"name\" > $1 or \"id\" > $2))"},
        {"~select=id&order=name.desc", " where (\"name\" <= $1 and (\"name\" < $1 or \"id\" > $2))"},
        {"~select=id&order=name.desc&age=eq.3",
         " where \"age\" = $1 and (\"name\" <= $2 and (\"name\" < $2 or \"id\" > $3))"},
    };
    struct cursor after = {.values = {TEXT("1"), TEXT("2")}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        after.count = strstr(cases[i].query, "name") != NULL ? 2 : 1;
        struct select_plan made = must_plan(*state, cases[i].query, &after, UINT64_MAX);
        const char *sql = strstr(shortened(*state, made.statement.sql), " where ");
        assert_memory_equal(sql, cases[i].behind, strlen(cases[i].behind));
    }
}

/* The keys of two columns: a table of days of regions. */
static void what_a_filter_fixes_is_neither_ordered_by_nor_kept_in_the_cursor(void **state)
{
    static const unsigned short columns[] = {1, 9};
    static const struct dataset_key key = {columns, 2, true};
    struct dataset days = shop;
    days.keys = &key;
    struct cursor after = {.values = {TEXT("2021-10-01")}, .count = 1};
    struct select_request request = {
        .dataset = &days, .query = shop_parse(*state, "select=id&name=eq.AR"), .limit = 9, .after = &after};
    struct select_plan made;
    struct select_mistake mistake;
    assert_int_equal(select_plan(&request, *state, &made, &mistake), STATUS_OK);
    assert_string_equal(
        shortened(*state, made.statement.sql),
        "select \"id\", \"day\" from shop where \"name\" = $1 and \"day\" > $2 order by \"day\" limit 10");
    after.values[0] = TEXT("AR");
    after.values[after.count++] = TEXT("2021-10-01");
    request.query = shop_parse(*state, "select=id");
    assert_int_equal(select_plan(&request, *state, &made, &mistake), STATUS_OK);
    assert_string_equal(shortened(*state, made.statement.sql),
                        "select \"id\", \"name\", \"day\" from shop where (\"name\", \"day\") > ($1, $2) order by "
                        "\"name\", \"day\" limit 10");
}

static void what_is_selected_anyway_is_not_selected_once_more_for_the_cursor(void **state)
{
    static const struct {
        const char *query, *sql;
        size_t count;
        uint16_t at[3];
    } cases[] = {
        {"~select=name,id&order=name", "select \"name\", \"id\" from shop", 2, {0, 1}},
        {"~select=other:id,name", "select \"id\" as \"other\", \"name\" from shop", 1, {0}},
        {"~select=name&order=age,name", "select \"name\", \"age\", \"id\" from shop", 3, {1, 0, 2}},
        {"~select=id::text", "select cast(\"id\" as \"pg_catalog\".\"text\") as \"id\", \"id\" from shop", 1, {1}},
        {"~select=age,count()", "select g.\"sluice_1\" as \"age\", g.\"sluice_2\" as \"count\" from (", 1, {0}},
        {"~select=age,count()&order=count.desc",
         "select g.\"sluice_1\" as \"age\", g.\"sluice_2\" as \"count\" from (",
         2,
         {1, 0}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct select_plan made = must_plan(*state, cases[i].query, NULL, 5);
        struct text sql = text_from_string(shortened(*state, made.statement.sql));
        if (!text_starts_with(sql, text_from_string(cases[i].sql)))
            fail_msg("%s: %s", cases[i].query, sql.data);
        assert_int_equal(made.order_count, cases[i].count);
        assert_memory_equal(made.order_at, cases[i].at, cases[i].count * sizeof(uint16_t));
    }
}

static void a_large_list_is_one_parameter(void **state)
{
    struct buffer query;
    buffer_init(&query, 4 << 20);
    buffer_append_literal(&query, "select=id&id=in.(0");
    for (int i = 1; i < 100000; i++)
        buffer_printf(&query, ",%d", i);
    buffer_append_char(&query, ')');
    struct select_plan made = must_plan(*state, buffer_c_string(&query), NULL, 5);
    assert_int_equal(made.statement.parameter_count, 1);
    assert_int_equal(made.parameters[0].data[made.parameters[0].size - 1], '}');
    buffer_free(&query);
}

static void a_full_arena_is_too_large_wherever_it_fills_up(void **state)
{
    const struct dialect_query *query = shop_parse(
        *state,
        "select=id,data->>a,n:name,price::text&order=name,data->>b&name=in.(a,b)&words=fts(english).cat&id=gt.1");
    struct cursor after = {.values = {TEXT("1"), TEXT("2"), TEXT("3")}, .count = 3};
    struct select_request request = {.dataset = &shop, .query = query, .limit = 9, .after = &after};
    struct select_plan made;
    struct select_mistake mistake;
    char first[65536];
    bool done = false;
    for (size_t size = 0; size < sizeof(first) && !done; size += 16) {
        struct arena small;
        arena_init(&small, first, size, 0);
        enum status status = select_plan(&request, &small, &made, &mistake);
        assert_true(status == STATUS_OK || status == STATUS_TOO_LARGE);
        done = status == STATUS_OK;
        arena_free(&small);
    }
    assert_true(done);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_table_of_reads_gives_this_sql_with_these_parameters),
        TEST(the_server_takes_all_of_it_and_gives_the_types_foretold),
        TEST(mistakes_say_where_and_what_would_be_right),
        TEST(star_is_all_columns_but_the_computed_and_a_column_said_twice_is_shown_once),
        TEST(one_row_more_than_the_page_is_asked_for_in_literal_digits),
        TEST(the_count_has_the_filters_and_only_their_parameters),
        TEST(the_count_of_groups_counts_groups),
        TEST(a_cursor_of_another_order_is_refused),
        TEST(an_index_can_serve_what_lies_behind_a_cursor),
        TEST(what_a_filter_fixes_is_neither_ordered_by_nor_kept_in_the_cursor),
        TEST(what_is_selected_anyway_is_not_selected_once_more_for_the_cursor),
        TEST(a_large_list_is_one_parameter),
        TEST(a_full_arena_is_too_large_wherever_it_fills_up),
    };
    return cmocka_run_group_tests(tests, open_shop, close_shop);
}
