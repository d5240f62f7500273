#include "tests/unit/query/datasets_lake.h"

static const struct datasets_options usual = {.schemas = schemas, .schema_count = 3};

static int set_up(void **state)
{
    warehouse_start();
    warehouse_migrate();
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    warehouse_script(owner, shape);
    postgres_session_close(owner);
    return 0;
}

static int tear_down(void **state)
{
    warehouse_stop();
    return 0;
}

static bool sees_all(void *context, const struct datasets_schema *schema)
{
    return true;
}

static bool sees_open(void *context, const struct datasets_schema *schema)
{
    return schema->scope == NULL;
}

static bool sees_more(void *context, const struct datasets_schema *schema)
{
    return schema->scope != NULL;
}

static void names_are_split_by_the_schemas_that_a_caller_sees(void **state)
{
    static const struct {
        const char *name;
        bool (*visible)(void *, const struct datasets_schema *);
        size_t schema;
        const char *relation;
    } cases[] = {
        {"one", sees_all, 0, "one"},        {"more.a", sees_all, 1, "a"},       {"more.b.c", sees_all, 1, "b.c"},
        {"more.a", sees_open, 0, "more.a"}, /* as if it were not configured */
        {"lake.one", sees_all, 0, "one"},   {"lake.deep.t", sees_all, 2, "t"},  {"other.a", sees_all, 0, "other.a"},
        {".a", sees_all, 0, ".a"},          {"one", sees_more, SIZE_MAX, NULL}, {"more.a", sees_more, 1, "a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text relation = TEXT_NONE;
        assert_int_equal(datasets_split(&usual, text_from_string(cases[i].name), cases[i].visible, NULL, &relation),
                         cases[i].schema);
        if (!text_equal(relation, text_from_string(cases[i].relation)))
            fail_msg("%s: %.*s", cases[i].name, TEXT_ARGS(relation));
    }
}

static struct datasets_place listed[4];
static size_t listed_count;

static void append_rows(void *context, const struct postgres_rows *rows)
{
    struct buffer *words = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct datasets_listing listing;
        datasets_list_read(listed, listed_count, rows, i, &listing);
        buffer_printf(words, "%zu:%.*s:%c:%.*s ", listing.place->index, TEXT_ARGS(listing.relation),
                      dataset_kind_name(listing.kind)[0], (int)listing.description.size,
                      listing.description.data != NULL ? listing.description.data : "");
    }
}

static void list(struct postgres_session *session, const size_t *indexes, size_t count, size_t after_schema,
                 struct text after, uint64_t limit, struct buffer *words)
{
    struct failure failure = {0};
    struct arena arena;
    struct text values[DATASETS_LIST_PARAMETERS];
    for (size_t i = 0; i < count; i++)
        listed[i] = datasets_place_of(&usual, indexes[i]);
    listed_count = count;
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_clear(words);
    assert_int_equal(datasets_list_parameters(listed, count, after_schema, after, limit, &arena, values), STATUS_OK);
    if (postgres_session_query(session, datasets_list_statement()->sql, DATASETS_LIST_PARAMETERS, values, append_rows,
                               words, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    arena_free(&arena);
    buffer_append_literal(words, "");
    if (buffer_c_string(words) == NULL)
        fail();
}

static void pages_of_the_list_follow_the_schemas_and_then_the_names(void **state)
{
    static const size_t all[] = {0, 1, 2}, first[] = {0};
    struct postgres_session *session = warehouse_open("sluice_reader", "sluice");
    struct buffer words;
    buffer_init(&words, 65536);
    list(session, all, 3, 0, TEXT_NONE, 100, &words);
    assert_string_equal(words.data,
                        "0:one:t: 0:over:v: 0:parts:p: 0:two:t:The second 1:a:t: 1:b.c:t: 1:kept:m: 2:t:t: ");
    list(session, first, 1, 0, TEXT_NONE, 100, &words);
    assert_string_equal(words.data, "0:one:t: 0:over:v: 0:parts:p: 0:two:t:The second ");
    list(session, all, 3, 0, TEXT("over"), 3, &words);
    assert_string_equal(words.data, "0:parts:p: 0:two:t:The second 1:a:t: ");
    list(session, all, 3, 1, TEXT("a"), 2, &words);
    assert_string_equal(words.data, "1:b.c:t: 1:kept:m: ");
    list(session, all, 3, 2, TEXT("t"), 2, &words);
    assert_string_equal(words.data == NULL ? "" : words.data, "");
    buffer_free(&words);
    postgres_session_close(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_split_by_the_schemas_that_a_caller_sees),
        cmocka_unit_test(pages_of_the_list_follow_the_schemas_and_then_the_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
