#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"

static struct arena arena;
static struct buffer buffer;
static struct failure failure;
static struct yaml_node *root;

static int set_up(void **state)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&buffer, 1 << 20);
    failure = (struct failure){0};
    root = NULL;
    return 0;
}

static int tear_down(void **state)
{
    arena_free(&arena);
    buffer_free(&buffer);
    return 0;
}

/* Parses an exact copy that is gone afterwards: the tree may not point into it. */
static enum status parse(struct text source)
{
    char *exact = malloc(source.size != 0 ? source.size : 1);
    if (source.size != 0)
        memcpy(exact, source.data, source.size);
    enum status status = yaml_parse(&arena, "x.yaml", text_of(exact, source.size), &root, &failure);
    free(exact);
    return status;
}

static void assert_parsed(struct text source)
{
    if (parse(source) != STATUS_OK)
        fail_msg("%.*s: %s", TEXT_ARGS(source), failure.message);
}

static void assert_refused(struct text source, const char *where, const char *why)
{
    failure = (struct failure){0};
    if (parse(source) != STATUS_INVALID)
        fail_msg("accepted: %.*s", TEXT_ARGS(source));
    if (strstr(failure.message, where) != failure.message || strstr(failure.message, why) == NULL)
        fail_msg("%.*s\nis refused with \"%s\", not \"%s … %s\"", TEXT_ARGS(source), failure.message, where, why);
}

static void assert_json(struct text source, const char *expected)
{
    assert_parsed(source);
    buffer_clear(&buffer);
    yaml_append_json(root, &buffer);
    assert_string_equal(buffer_c_string(&buffer), expected);
}

static void nodes_know_their_lines(void **state)
{
    assert_parsed(TEXT("# comment\n\na: 1\nb:\n  - x\n\n  - y: z\n    w:\nc: |\n  text\nd: end\n"));
    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->count, 4);
    assert_int_equal(root->pairs[0].key->line, 3);
    struct yaml_node *b = yaml_get(root, "b");
    assert_int_equal(b->kind, YAML_SEQUENCE);
    assert_int_equal(b->items[0]->line, 5);
    assert_int_equal(b->items[1]->line, 7);
    assert_int_equal(b->items[1]->pairs[1].key->line, 8);
    assert_int_equal(yaml_get(root, "c")->line, 9);
    assert_int_equal(yaml_get(root, "d")->line, 11);
}

static void windows_line_ends_count_once(void **state)
{
    assert_parsed(TEXT("a: 1\r\nb: 2\r\nc: 3\r\n"));
    assert_int_equal(yaml_get(root, "c")->line, 3);
    assert_string_equal(yaml_get(root, "b")->text.data, "2");
    assert_refused(TEXT("a: 1\r\nb: \"\x01\"\r\n"), "x.yaml:2: ", "0x01");
}

static void keys_keep_the_order_of_the_file_and_unknown_ones_are_absent(void **state)
{
    assert_parsed(TEXT("z: 1\na: 2\n\"m n\": 3\n1: 4\n"));
    assert_string_equal(root->pairs[0].key->text.data, "z");
    assert_string_equal(root->pairs[3].key->text.data, "1");
    assert_string_equal(yaml_get(root, "m n")->text.data, "3");
    assert_null(yaml_get(root, "q"));
    assert_null(yaml_get(yaml_get(root, "z"), "q"));
    assert_null(yaml_get(NULL, "q"));
}

static void syntax_errors_name_line_and_reason(void **state)
{
    assert_refused(TEXT("a: 1\nb: [1, 2\nc: 3\n"), "x.yaml:3: ", "line 2");
    assert_refused(TEXT("a: 1\n\tb: 2\n"), "x.yaml:2: ", "");
    assert_refused(TEXT("a: 'open\n"), "x.yaml:2: ", "line 1");
    assert_refused(TEXT("a: 1\n  b: 2\n"), "x.yaml:2: ", "mapping values are not allowed");
    assert_refused(TEXT("a: }\n"), "x.yaml:1: ", "");
    assert_refused(TEXT("a: \"\\q\"\n"), "x.yaml:1: ", "unknown escape");
    assert_refused(TEXT("a: 1\nb\n"), "x.yaml:3: ", "");
    assert_refused(TEXT("%YAML 3.0\n---\na: 1\n"), "x.yaml:1: ", "");
}

static void a_duplicate_key_is_refused_with_both_lines(void **state)
{
    assert_refused(TEXT("a: 1\nb: 2\n\na: 3\n"), "x.yaml:4: ", "first in line 1");
    assert_refused(TEXT("o:\n  a: 1\n  'a': 3\n"), "x.yaml:3: ", "first in line 2");
    assert_refused(TEXT("{a: 1, \"a\": 2}"), "x.yaml:1: ", "first in line 1");
    assert_parsed(TEXT("a: {a: 1}\nb: {a: 1}\n"));
}

static void anchors_aliases_and_tags_are_refused(void **state)
{
    assert_refused(TEXT("a: &x 1\nb: 2\n"), "x.yaml:1: ", "anchors and aliases");
    assert_refused(TEXT("a: 1\nb: *x\n"), "x.yaml:2: ", "anchors and aliases");
    assert_refused(TEXT("a: &x [1]\n"), "x.yaml:1: ", "anchors and aliases");
    assert_refused(TEXT("&x a: 1\n"), "x.yaml:1: ", "anchors and aliases");
    assert_refused(TEXT("a:\n  <<: *base\n"), "x.yaml:2: ", "anchors and aliases");
    assert_refused(TEXT("a: !!str 1\n"), "x.yaml:1: ", "tags");
    assert_refused(TEXT("a: !secret x\n"), "x.yaml:1: ", "tags");
    assert_refused(TEXT("!!map {a: 1}\n"), "x.yaml:1: ", "tags");
}

static void a_billion_laughs_take_no_memory(void **state)
{
    buffer_append_literal(&buffer, "a0: &a0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n");
    for (int i = 1; i < 100; i++)
        buffer_printf(&buffer, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_refused(buffer_text(&buffer), "x.yaml:1: ", "anchors and aliases");
    assert_true(arena.used <= 8192);
}

static void keys_must_be_scalars(void **state)
{
    assert_refused(TEXT("? [a, b]\n: 1\n"), "x.yaml:1: ", "a key must be a scalar");
    assert_refused(TEXT("x: 1\n{a: 1}: 2\n"), "x.yaml:2: ", "a key must be a scalar");
}

static void one_document_is_read_and_no_more(void **state)
{
    assert_refused(TEXT("a: 1\n---\nb: 2\n"), "x.yaml:2: ", "second document");
    assert_refused(TEXT(""), "x.yaml:1: ", "empty");
    assert_refused(TEXT_NONE, "x.yaml:1: ", "empty");
    assert_refused(TEXT("# only this\n"), "x.yaml:2: ", "empty");
    assert_parsed(TEXT("---\na: 1\n...\n"));
    assert_parsed(TEXT("\xEF\xBB\xBF"
                       "a: 1\n"));
    assert_non_null(yaml_get(root, "a"));
}

static void broken_utf8_and_nul_are_refused_with_their_line(void **state)
{
    assert_refused(TEXT("a: 1\nb: \xFF\n"), "x.yaml:2: ", "UTF-8");
    assert_refused(TEXT("a: 1\n\nb: \"\xED\xA0\x80\"\n"), "x.yaml:3: ", "UTF-8");
    assert_refused(TEXT("a: \"x\\0y\"\n"), "x.yaml:1: ", "NUL");
    assert_refused(TEXT("a: 1\n# \0\n"), "x.yaml:2: ", "");
    assert_refused(TEXT("\xFF\xFE"
                        "a\0:\0"),
                   "x.yaml:1: ", "UTF-8"); /* UTF-16 */
}

static void nested(const char *open, int depth, const char *close)
{
    buffer_clear(&buffer);
    for (int i = 0; i < depth; i++)
        buffer_append_string(&buffer, open);
    buffer_append_char(&buffer, '1');
    for (int i = 0; i < depth; i++)
        buffer_append_string(&buffer, close);
}

static void nesting_ends_at_64_levels(void **state)
{
    nested("[", 64, "]");
    assert_parsed(buffer_text(&buffer));
    nested("[", 65, "]");
    assert_refused(buffer_text(&buffer), "x.yaml:1: ", "64 levels");
    nested("{a: ", 65, "}");
    assert_refused(buffer_text(&buffer), "x.yaml:1: ", "64 levels");
    nested("[", 100000, "]");
    assert_refused(buffer_text(&buffer), "x.yaml:1: ", "64 levels");
    nested("- ", 1000, "");
    assert_refused(buffer_text(&buffer), "x.yaml:1: ", "64 levels");
}

static void a_mapping_may_have_4096_keys_and_a_sequence_65536_items(void **state)
{
    arena_free(&arena);
    arena_init(&arena, NULL, 0, 64 << 20);
    for (int i = 0; i < 4096; i++)
        buffer_printf(&buffer, "k%d: 1\n", i);
    assert_parsed(buffer_text(&buffer));
    assert_int_equal(root->count, 4096);
    assert_string_equal(root->pairs[4095].key->text.data, "k4095");
    buffer_append_literal(&buffer, "more: 1\n");
    assert_refused(buffer_text(&buffer), "x.yaml:4097: ", "4096 keys");
    buffer_clear(&buffer);
    for (int i = 0; i < 65536; i++)
        buffer_append_literal(&buffer, "- 1\n");
    assert_parsed(buffer_text(&buffer));
    assert_int_equal(root->count, 65536);
    assert_string_equal(root->items[65535]->text.data, "1");
    buffer_append_literal(&buffer, "- 1\n");
    assert_refused(buffer_text(&buffer), "x.yaml:65537: ", "65536 items");
}

static void every_ceiling_of_memory_is_reported_and_kept(void **state)
{
    struct text source = TEXT("a: [1, 2, {b: c, d: [e, f]}]\ng: 'h'\ni:\n  - j\n  - k: l\n");
    size_t refused = 0;
    for (size_t ceiling = 0; ceiling < 4096; ceiling += 16) {
        arena_free(&arena);
        arena_init(&arena, NULL, 0, ceiling);
        enum status status = parse(source);
        assert_true(status == STATUS_OK || status == STATUS_TOO_LARGE);
        assert_true(arena.used <= ceiling);
        refused += status != STATUS_OK;
    }
    assert_true(refused > 50 && refused < 250);
    assert_non_null(strstr(failure.message, "x.yaml: takes more than"));
}

static void a_long_scalar_does_not_take_long_or_crash(void **state)
{
    buffer_append_literal(&buffer, "a: ");
    for (int i = 0; i < 200000; i++)
        buffer_append_literal(&buffer, "xyz ");
    assert_parsed(buffer_text(&buffer));
    assert_int_equal(yaml_get(root, "a")->text.size, 799999);
}

static struct yaml_node *scalar(const char *text)
{
    static struct yaml_node node;
    node = (struct yaml_node){.kind = YAML_SCALAR, .text = text_from_string(text)};
    return &node;
}

static void unquoted_scalars_are_typed_as_the_core_schema_says(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } integers[] = {{"0", 0},
                    {"-0", 0},
                    {"+12", 12},
                    {"007", 7},
                    {"-12", -12},
                    {"0x1F", 31},
                    {"0o17", 15},
                    {"0xdeadBEEF", 0xDEADBEEF},
                    {"9223372036854775807", INT64_MAX},
                    {"-9223372036854775808", INT64_MIN},
                    {"0x7fffffffffffffff", INT64_MAX},
                    {"0x00000000000000000001", 1}};
    static const char *const no_integers[] = {"",
                                              "+",
                                              "-",
                                              "+-1",
                                              "--1",
                                              "1.0",
                                              "1e3",
                                              "0x",
                                              "0o",
                                              "0xg",
                                              "0o8",
                                              "-0x1",
                                              "1_000",
                                              "1:30",
                                              "~",
                                              "true",
                                              " 1",
                                              "0b1",
                                              "9223372036854775808",
                                              "0x8000000000000000",
                                              "0xFFFFFFFFFFFFFFFFF"};
    int64_t value;
    double number;
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        assert_true(yaml_to_int64(scalar(integers[i].text), &value) && value == integers[i].value);
        assert_true(yaml_to_double(scalar(integers[i].text), &number) && number == (double)integers[i].value);
    }
    for (size_t i = 0; i < sizeof(no_integers) / sizeof(no_integers[0]); i++)
        if (yaml_to_int64(scalar(no_integers[i]), &value))
            fail_msg("%s was taken for an integer", no_integers[i]);
}

static void numbers_are_read_and_what_is_none_is_refused(void **state)
{
    static const struct {
        const char *text;
        double value;
    } numbers[] = {{".5", 0.5}, {"+.5", 0.5}, {"1.", 1}, {"-3e+4", -3e4}, {"007.50", 7.5}, {"1E3", 1000}, {"-.0", 0}};
    static const char *const none[] = {"",      ".",    "e5",    "1e",    "1e+",   ".e1",   "1.2.3", ".inf",
                                       "-.Inf", ".nan", "inf",   "1e999", "nan",   "0x1p3", "1,5",   "~",
                                       "true",  "1 2",  "--1.5", "+-1",   "1e1.5", "1d"};
    double value;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_true(yaml_to_double(scalar(numbers[i].text), &value) && value == numbers[i].value);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (yaml_to_double(scalar(none[i]), &value))
            fail_msg("%s was taken for a number", none[i]);
}

static void booleans_and_null_are_those_of_yaml_1_2(void **state)
{
    static const char *const others[] = {"yes", "no", "on", "off", "y", "tRUE", "1", "0", "", "null"};
    bool value;
    assert_true(yaml_to_bool(scalar("true"), &value) && value);
    assert_true(yaml_to_bool(scalar("FALSE"), &value) && !value);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(yaml_to_bool(scalar(others[i]), &value));
    assert_true(yaml_is_null(scalar("")) && yaml_is_null(scalar("~")) && yaml_is_null(scalar("Null")));
    assert_false(yaml_is_null(scalar("none")));
    assert_false(yaml_is_null(NULL));
}

static void quoted_and_block_scalars_are_always_strings(void **state)
{
    int64_t integer;
    double number;
    bool boolean;
    assert_parsed(TEXT("- '1'\n- \"true\"\n- ''\n- |-\n  null\n- >-\n  1.5\n"));
    for (size_t i = 0; i < root->count; i++) {
        assert_false(yaml_to_int64(root->items[i], &integer));
        assert_false(yaml_to_double(root->items[i], &number));
        assert_false(yaml_to_bool(root->items[i], &boolean));
        assert_false(yaml_is_null(root->items[i]));
    }
    assert_false(yaml_to_int64(root, &integer) || yaml_to_int64(NULL, &integer) || yaml_to_double(root, &number));
}

static void a_tree_becomes_json_of_the_same_types(void **state)
{
    assert_json(TEXT("a: 1\nb: [x, '1', ~, true, no, 1.50, 0x10, +7, .5, 1., -007, 2024-01-01]\n\"c\\n\": {}\nd:\n"
                     "e: []\n"),
                "{\"a\":1,\"b\":[\"x\",\"1\",null,true,\"no\",1.50,16,7,0.5,1,-7,\"2024-01-01\"],\"c\\n\":{},"
                "\"d\":null,\"e\":[]}");
    assert_json(TEXT("- 1e999\n- .inf\n- 1e5\n- 1E+5\n- 12345678901234567890123456789012345678901\n- -0\n- 00\n"),
                "[\"1e999\",\".inf\",1e5,1e+5,12345678901234567890123456789012345678901,-0,0]");
    char digits[512], expected[512];
    snprintf(digits, sizeof(digits), "1%0400d", 0);
    snprintf(expected, sizeof(expected), "\"%s\"", digits);
    assert_json(text_from_string(digits), expected);
    assert_json(TEXT("just text"), "\"just text\"");
    assert_json(TEXT("|\n  two\n  lines\n"), "\"two\\nlines\\n\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nodes_know_their_lines),
        TEST(windows_line_ends_count_once),
        TEST(keys_keep_the_order_of_the_file_and_unknown_ones_are_absent),
        TEST(syntax_errors_name_line_and_reason),
        TEST(a_duplicate_key_is_refused_with_both_lines),
        TEST(anchors_aliases_and_tags_are_refused),
        TEST(a_billion_laughs_take_no_memory),
        TEST(keys_must_be_scalars),
        TEST(one_document_is_read_and_no_more),
        TEST(broken_utf8_and_nul_are_refused_with_their_line),
        TEST(nesting_ends_at_64_levels),
        TEST(a_mapping_may_have_4096_keys_and_a_sequence_65536_items),
        TEST(every_ceiling_of_memory_is_reported_and_kept),
        TEST(a_long_scalar_does_not_take_long_or_crash),
        TEST(unquoted_scalars_are_typed_as_the_core_schema_says),
        TEST(numbers_are_read_and_what_is_none_is_refused),
        TEST(booleans_and_null_are_those_of_yaml_1_2),
        TEST(quoted_and_block_scalars_are_always_strings),
        TEST(a_tree_becomes_json_of_the_same_types),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
