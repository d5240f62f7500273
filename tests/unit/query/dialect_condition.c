#include "tests/unit/query/dialect_print.h"

static void every_operator_takes_its_value_as_it_stands(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=eq.5", "[a] eq '5'"},
        {"a=neq.5", "[a] neq '5'"},
        {"a=gt.5", "[a] gt '5'"},
        {"a=gte.5", "[a] gte '5'"},
        {"a=lt.5", "[a] lt '5'"},
        {"a=lte.5", "[a] lte '5'"},
        {"a=match.^x.*y$", "[a] match '^x.*y$'"},
        {"a=imatch.x", "[a] imatch 'x'"},
        {"a=isdistinct.5", "[a] isdistinct '5'"},
        {"a=cs.{1,2}", "[a] cs '{1,2}'"},
        {"a=cd.{1,2}", "[a] cd '{1,2}'"},
        {"a=ov.[1,2)", "[a] ov '[1,2)'"},
        {"a=sl.(1,2)", "[a] sl '(1,2)'"},
        {"a=sr.(1,2)", "[a] sr '(1,2)'"},
        {"a=nxr.(1,2)", "[a] nxr '(1,2)'"},
        {"a=nxl.(1,2)", "[a] nxl '(1,2)'"},
        {"a=adj.(1,2)", "[a] adj '(1,2)'"},
        {"a=fts.cat", "[a] fts 'cat'"},
        {"a=plfts.fat+cat", "[a] plfts 'fat cat'"},
        {"a=phfts.fat%20cat", "[a] phfts 'fat cat'"},
        {"a=wfts.fat", "[a] wfts 'fat'"},
        {"a=eq.", "[a] eq ''"},
        {"a=eq.null", "[a] eq 'null'"},
        {"a=eq.a.b,c)(", "[a] eq 'a.b,c)('"},
        {"a=eq.\"x\"", "[a] eq '\"x\"'"},
        {"a=eq.x\\y", "[a] eq 'x\\y'"},
        {"a=eq. x ", "[a] eq ' x '"},
        {"a=eq.b=c", "[a] eq 'b=c'"},
        {"a=eq.a%26b%3Dc%25", "[a] eq 'a&b=c%'"},
        {"a=eq.%0A%01", "[a] eq '\n\001'"},
        {"a=eq.gr%C3%BC%C3%9F", "[a] eq 'grüß'"},
        {"a=cs.{\"a\":[1,{\"b\":\"^\\\\>\"}]}", "[a] cs '{\"a\":[1,{\"b\":\"^\\\\>\"}]}'"},
        {"order_=eq.1", "[order_] eq '1'"},
    };
    CHECK_CASES(cases);
}

static void not_stands_before_any_operator_once(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=not.eq.5", "![a] eq '5'"},
        {"a=not.is.null", "![a] is null"},
        {"a=not.in.(1,2)", "![a] in ('1', '2')"},
        {"a=not.in.()", "![a] in ()"},
        {"a=not.like(any).{x*,y}", "![a] like(any) '{x%,y}'"},
        {"a=not.fts(english).cat", "![a] fts(english) 'cat'"},
        {"and=(a.not.eq.5,b.eq.1)", "and(![a] eq '5', [b] eq '1')"},
        {"a=not.not.eq.5", "mistake a:5 `not` lacks its operator at column 5; write not.eq.value"},
        {"a=not.5", "mistake a:5 …"},
        {"a=not", "mistake a:1 …"},
    };
    CHECK_CASES(cases);
}

static void a_star_is_a_percent_sign_in_like_alone(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=like.*x*y", "[a] like '%x%y'"},
        {"a=ilike.%25x_", "[a] ilike '%x_'"},
        {"a=ilike(all).{*a,b*}", "[a] ilike(all) '{%a,b%}'"},
        {"or=(a.like.\"*,*\",b.eq.*)", "or([a] like '%,%', [b] eq '*')"},
        {"a=match.x*", "[a] match 'x*'"},
        {"a=eq.*", "[a] eq '*'"},
    };
    CHECK_CASES(cases);
}

static void any_and_all_go_with_ten_operators_and_a_list(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=eq(any).{1,2}", "[a] eq(any) '{1,2}'"},
        {"a=gt(all).{1,2}", "[a] gt(all) '{1,2}'"},
        {"a=gte(any).{1}", "[a] gte(any) '{1}'"},
        {"a=lt(all).{}", "[a] lt(all) '{}'"},
        {"a=lte(any).{1}", "[a] lte(any) '{1}'"},
        {"a=like(any).{a*}", "[a] like(any) '{a%}'"},
        {"a=match(any).{a,b}", "[a] match(any) '{a,b}'"},
        {"a=imatch(all).{a}", "[a] imatch(all) '{a}'"},
        {"and=(a.eq(any).{1,2},b.eq.3)", "and([a] eq(any) '{1,2}', [b] eq '3')"},
        {"a=neq(any).{1}", "mistake a:4 wrong parentheses behind `neq` at column 4; it takes none…"},
        {"a=in(any).(1)", "mistake a:3 …"},
        {"a=is(any).null", "mistake a:3 …"},
        {"a=cs(all).{1}", "mistake a:3 …"},
        {"a=isdistinct(any).{1}", "mistake a:11 …"},
        {"a=eq(some).{1}", "mistake a:3 …it takes (any) or (all)…"},
        {"a=eq(ANY).{1}", "mistake a:3 …"},
        {"a=eq().{1}", "mistake a:3 …"},
        {"a=eq(any).5",
         "mistake a:9 (any) and (all) compare with a list, and `5` stands at column 9; write it as {a,b}"},
        {"a=eq(any.{1}", "mistake a:3 …"},
    };
    CHECK_CASES(cases);
}

static void a_language_goes_with_text_search_alone(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=fts(english).cat", "[a] fts(english) 'cat'"},
        {"a=plfts(german).cat", "[a] plfts(german) 'cat'"},
        {"a=phfts(my_config1).cat", "[a] phfts(my_config1) 'cat'"},
        {"a=wfts(simple).-cat", "[a] wfts(simple) '-cat'"},
        {"or=(a.fts(french).\"x,y\",a.wfts.z)", "or([a] fts(french) 'x,y', [a] wfts 'z')"},
        {"a=fts().cat", "mistake a:4 …it takes a language: fts(english).word"},
        {"a=fts(eng lish).cat", "mistake a:4 …"},
        {"a=fts('x').cat", "mistake a:4 …"},
        {"a=eq(english).cat", "mistake a:3 …"},
    };
    CHECK_CASES(cases);
}

static void is_takes_five_words_in_any_case(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=is.null", "[a] is null"},
        {"a=is.NULL", "[a] is null"},
        {"a=is.not_null", "[a] is not null"},
        {"a=is.Not_Null", "[a] is not null"},
        {"a=is.true", "[a] is true"},
        {"a=is.fAlse", "[a] is false"},
        {"a=is.unknown", "[a] is unknown"},
        {"or=(a.is.NULL,b.is.True )", "or([a] is null, [b] is true)"},
        {"a=is.nothing", "mistake a:4 `is` does not take `nothing` at column 4; try null, not_null, true, false, …"},
        {"a=is.", "mistake a:4 …"},
        {"a=is.nullx", "mistake a:4 …"},
        {"a=is.5", "mistake a:4 …"},
        {"and=(b.eq.1,a.is.nil)", "mistake and:14 `is` does not take `nil`…"},
    };
    CHECK_CASES(cases);
}

static void in_takes_a_list_whose_quotes_hold_commas_and_parentheses(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=in.(1)", "[a] in ('1')"},
        {"a=in.(1,2,3)", "[a] in ('1', '2', '3')"},
        {"a=in.(\"a,b\",\"c)d\",\"(e\")", "[a] in ('a,b', 'c)d', '(e')"},
        {"a=in.(\"say \\\"hi\\\"\",\"back\\\\slash\",\"\\x\")", "[a] in ('say \"hi\"', 'back\\slash', 'x')"},
        {"a=in.(plain\"quote,back\\slash)", "[a] in ('plain\"quote', 'back\\slash')"},
        {"a=in.(\"open,b)", "[a] in ('\"open', 'b')"},
        {"a=in.(\"a\"b,c)", "[a] in ('\"a\"b', 'c')"},
        {"a=in.(\"a\"b,\"c\"d,\"e\")", "[a] in ('\"a\"b', '\"c\"d', 'e')"},
        {"a=in.()", "[a] in ()"},
        {"a=in.( )", "[a] in ()"},
        {"a=in.(,)", "[a] in ('', '')"},
        {"a=in.(a,,b)", "[a] in ('a', '', 'b')"},
        {"a=in.(\"\")", "[a] in ('')"},
        {"a=in.(\"\",\"\")", "[a] in ('', '')"},
        {"a=in.( 1, 2 )", "[a] in ('1', ' 2 ')"},
        {"a=in.(\"a\" , \"b\")", "[a] in ('a', 'b')"},
        {"a=in.(a b,c)", "[a] in ('a b', 'c')"},
        {"a=in.((x)", "[a] in ('(x')"},
        {"a=in.(null,{1})", "[a] in ('null', '{1}')"},
        {"and=(a.in.( \"x,y\", 2),b.eq.1)", "and([a] in ('x,y', ' 2'), [b] eq '1')"},
        {"a=in.(1,2) ", "[a] in ('1', '2')"},
        {"a=in.(1,2", "mistake a:8 the list is not closed at column 8; …"},
        {"a=in.(", "mistake a:5 the list is not closed at column 5; …"},
        {"a=in.1,2", "mistake a:4 a list is expected, but `1` stands at column 4; write in.(a,b)"},
        {"a=in.", "mistake a:4 a list is expected, but the end stands at column 4; …"},
        {"a=in.(1),2)",
         "mistake a:7 unexpected `,` behind the list at column 7; put elements that hold , or ) in \"\""},
    };
    CHECK_CASES(cases);
}

static void trees_nest_and_negate(void **state)
{
    static const struct dialect_case cases[] = {
        {"or=(a.eq.1,b.eq.2)", "or([a] eq '1', [b] eq '2')"},
        {"and=(a.eq.1)", "and([a] eq '1')"},
        {"not.or=(a.eq.1,b.eq.2)", "!or([a] eq '1', [b] eq '2')"},
        {"not.and=(a.eq.1,b.eq.2)", "!and([a] eq '1', [b] eq '2')"},
        {"and=(a.not.eq.5,or(a.eq.1,not.and(b.eq.2,c.is.null)))",
         "and(![a] eq '5', or([a] eq '1', !and([b] eq '2', [c] is null)))"},
        {"and=(not.or(a.eq.1,b.eq.2),c.gt.3)", "and(!or([a] eq '1', [b] eq '2'), [c] gt '3')"},
        {"or=(a.eq.1)&or=(b.eq.2)&and=(c.eq.3)", "or([a] eq '1') & or([b] eq '2') & and([c] eq '3')"},
        {"a=eq.1&or=(b.eq.2,c.eq.3)&a=lt.4", "[a] eq '1' & or([b] eq '2', [c] eq '3') & [a] lt '4'"},
        {"or=(or(or(a.eq.1)))", "or(or(or([a] eq '1')))"},
        {"or=(a->b->>c.eq.1,d->0.is.null)", "or([a]->[b]->>[c] eq '1', [d]->#0 is null)"},
        {"or=(\"my.col\".eq.1,\"a,b)\"->\"x.y\".eq.2)", "or([my.col] eq '1', [a,b)]->[x.y] eq '2')"},
    };
    CHECK_CASES(cases);
}

static void a_column_in_a_tree_may_begin_with_and_or_or_not(void **state)
{
    static const struct dialect_case cases[] = {
        {"or=(order.eq.5,android.eq.1)", "or([order] eq '5', [android] eq '1')"},
        {"or=(or.eq.5,and.eq.1)", "or([or] eq '5', [and] eq '1')"},
        {"or=(not.eq.5,note.eq.1,not.not.is.null)", "or([not] eq '5', [note] eq '1', ![not] is null)"},
        {"or=(\"or\".eq.5)", "or([or] eq '5')"},
        {"or=(select.eq.5,limit.gt.1,cursor.eq.x)", "or([select] eq '5', [limit] gt '1', [cursor] eq 'x')"},
        {"and=(or_x.eq.1,not_and.eq.2,and-b.eq.3)", "and([or_x] eq '1', [not_and] eq '2', [and-b] eq '3')"},
        {"and=(order(a.eq.1))", "mistake and:7 …"},
        {"and=(nand(a.eq.1))", "mistake and:6 …not.and(…) or not.or(…)"},
    };
    CHECK_CASES(cases);
}

static void whitespace_may_stand_between_a_trees_parts(void **state)
{
    static const struct dialect_case cases[] = {
        {"and=( and ( a.in.( 1, 2, 3 ) , b.is.null ) , or ( c.eq.2 , c.eq.3 ) )",
         "and(and([a] in ('1', ' 2', ' 3 '), [b] is null), or([c] eq '2 ', [c] eq '3 '))"},
        {"or=%20%0A(%09a.eq.1,%0Db.eq.2)%20", "or([a] eq '1', [b] eq '2')"},
        {"or=( a .eq.1)", "or([a] eq '1')"},
        {"or=(a.eq.\"x\" , b.cs.{1,2} ,c.is.null )", "or([a] eq 'x', [b] cs '{1,2}', [c] is null)"},
        {"or=(not.and (a.eq.1))", "or(!and([a] eq '1'))"},
        {"or=(my col.eq.1)", "or([my col] eq '1')"},
    };
    CHECK_CASES(cases);
}

static void values_in_a_tree_end_at_a_comma_or_parenthesis_unless_quoted(void **state)
{
    static const struct dialect_case cases[] = {
        {"or=(a.eq.\"x,y\",b.eq.\"z)\")", "or([a] eq 'x,y', [b] eq 'z)')"},
        {"or=(a.eq.\"q\\\"\\\\b\",b.eq.1)", "or([a] eq 'q\"\\b', [b] eq '1')"},
        {"or=(a.eq.x\"y,b.eq.\"z\"w)", "or([a] eq 'x\"y', [b] eq '\"z\"w')"},
        {"or=(a.eq.\"x,b.eq.y)", "or([a] eq '\"x', [b] eq 'y')"},
        {"or=(a.eq.,b.eq.)", "or([a] eq '', [b] eq '')"},
        {"or=(a.eq.\"\")", "or([a] eq '')"},
        {"or=(a.eq.1.5,b.eq.(x)", "or([a] eq '1.5', [b] eq '(x')"},
        {"or=(a.cs.{1,2},b.cd.{\"x y\",z})", "or([a] cs '{1,2}', [b] cd '{\"x y\",z}')"},
        {"or=(a.cs.{},b.eq.1)", "or([a] cs '{}', [b] eq '1')"},
        {"or=(a.ov.\"[1,2)\",b.cs.\"{{1,2},{3,4}}\")", "or([a] ov '[1,2)', [b] cs '{{1,2},{3,4}}')"},
        {"or=(a.eq.{x,b.eq.y)", "or([a] eq '{x', [b] eq 'y')"},
        {"or=(a.cs.{{1,2},{3,4}})", "mistake or:12 …"},
    };
    CHECK_CASES(cases);
}

static void text_after_a_trees_end_is_tolerated(void **state)
{
    static const struct dialect_case cases[] = {
        {"or=(a.eq.1)x", "or([a] eq '1')"},
        {"and=(a.eq.1)),b.eq.2", "and([a] eq '1')"},
        {"or=(a.eq.1)(", "or([a] eq '1')"},
    };
    CHECK_CASES(cases);
}

static void a_broken_tree_is_a_mistake_with_its_column(void **state)
{
    static const struct dialect_case cases[] = {
        {"or=()", "mistake or:2 a condition is missing at column 2; write (a.eq.1,b.eq.2)"},
        {"or=( )", "mistake or:3 …"},
        {"or=", "mistake or:1 a ( is expected, but the end stands at column 1; …"},
        {"or", "mistake or:1 …"},
        {"or=a.eq.1", "mistake or:1 a ( is expected, but `a` stands at column 1; write or=(a.eq.1,b.eq.2)"},
        {"or=(a.eq.1", "mistake or:8 a comma or ) is expected, but the end stands at column 8; …"},
        {"or=(a.eq.1,", "mistake or:9 …"},
        {"or=(a.eq.1,)", "mistake or:9 a condition is missing…"},
        {"or=(,a.eq.1)", "mistake or:2 a column is expected, but `,` stands at column 2; …"},
        {"or=(a)", "mistake or:3 a dot and an operator are expected, but `)` stands…"},
        {"or=(a.eq)", "mistake or:6 a dot belongs behind `eq`, but `)` stands at column 6; …"},
        {"or=(a.equals.1)", "mistake or:4 unknown operator `equals` at column 4; …"},
        {"or=(ä.eq.1,ö.xx.1)", "mistake or:11 unknown operator `xx` at column 11; …"},
        {"or=(a.in.(1,2)", "mistake or:12 …"},
        {"or=(a.in.(1,2)x)", "mistake or:12 a comma or ) is expected, but `x` stands…"},
        {"or=(\"a.eq.1)", "mistake or:2 the quoted name that begins at column 2; …"},
        {"or=(and())", "mistake or:6 …"},
        {"or=(\"\".eq.1)", "mistake or:2 …"},
        {"not.and=(a.b.c.1)", "mistake not.and:4 …"},
        {"or=(a->.eq.1)", "mistake or:5 a JSON key or index is expected, but `.` stands…"},
    };
    CHECK_CASES(cases);
}

static void an_unknown_operator_is_named_with_its_neighbours(void **state)
{
    static const struct dialect_case cases[] = {
        {"a=eqq.5",
         "mistake a:1 unknown operator `eqq` at column 1; did you mean `eq`? Other operators are eq, neq, …"},
        {"a=lile.5", "mistake a:1 …did you mean `like`?…"},
        {"a=isdistict.5", "mistake a:1 …did you mean `isdistinct`?…"},
        {"a=EQ.5", "mistake a:1 unknown operator `EQ` at column 1; operators are …"},
        {"a=equalsexactly.5", "mistake a:1 unknown operator `equalsexactly` at column 1; operators are eq, …"},
        {"a=5", "mistake a:1 an operator and a dot are missing at column 1; write eq.5 for equality; …"},
        {"a=2020-01-02", "mistake a:1 …write eq.2020-01-02 for equality…"},
        {"a=", "mistake a:1 …"},
        {"a=.5", "mistake a:1 …"},
        {"a=eq", "mistake a:3 a dot belongs behind `eq`, but the end stands at column 3; …"},
        {"a=eq5", "mistake a:1 …"},
        {"a=eq:5", "mistake a:3 …"},
        {"a=%01%0D%0Ax.5", "mistake a:1 …"},
        {"a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.5",
         "mistake a:1 unknown operator `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` at column 1; …"},
    };
    CHECK_CASES(cases);
}

/* "(" `depth` times around one condition. */
static struct text nested(char *out, unsigned depth)
{
    size_t size = 0;
    memcpy(out, "or=", 3);
    size = 3;
    for (unsigned i = 1; i < depth; i++, size += 3)
        memcpy(out + size, "(or", 3);
    memcpy(out + size, "(a.eq.1", 7);
    memset(out + size + 7, ')', depth);
    return text_of(out, size + 7 + depth);
}

static void check_too_many(struct text input, const char *what)
{
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 8 << 20);
    assert_int_equal(dialect_parse(input, &arena, &query, &mistake), STATUS_INVALID);
    assert_true(mistake.too_many);
    assert_non_null(strstr(mistake.message, what));
    arena_free(&arena);
}

static void check_passes(struct text input)
{
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 8 << 20);
    assert_int_equal(dialect_parse(input, &arena, &query, &mistake), STATUS_OK);
    arena_free(&arena);
}

static void trees_of_32_levels_pass_and_deeper_ones_are_too_many(void **state)
{
    char *input = malloc(8192);
    check_passes(nested(input, DIALECT_MAX_DEPTH));
    check_too_many(nested(input, DIALECT_MAX_DEPTH + 1), "at most 32");
    check_too_many(nested(input, 1000), "levels of parentheses at column 97;");
    free(input);
}

static void the_201st_condition_is_too_many_wherever_it_stands(void **state)
{
    struct buffer input;
    buffer_init(&input, 1 << 20);
    buffer_append_literal(&input, "or=(a.eq.1");
    for (int i = 1; i < 150; i++)
        buffer_append_literal(&input, ",a.eq.1");
    buffer_append_literal(&input, ")");
    for (int i = 0; i < 50; i++)
        buffer_append_literal(&input, "&b=lt.2");
    check_passes(buffer_text(&input));
    buffer_append_literal(&input, "&b=lt.2");
    check_too_many(buffer_text(&input), "too many conditions at column 1; at most 200");
    buffer_clear(&input);
    for (int i = 0; i < 10000; i++)
        buffer_append_literal(&input, "b=lt.2&");
    check_too_many(buffer_text(&input), "at most 200");
    buffer_free(&input);
}

static void a_full_arena_is_told_from_a_mistake(void **state)
{
    struct buffer input;
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    buffer_init(&input, 1 << 21);
    buffer_append_literal(&input, "a=in.(1");
    for (int i = 0; i < 500000; i++)
        buffer_append_literal(&input, ",2");
    buffer_append_char(&input, ')');
    for (size_t ceiling = 0; ceiling < 12 << 20; ceiling = ceiling * 2 + 4096) {
        arena_init(&arena, NULL, 0, ceiling);
        enum status status = dialect_parse(buffer_text(&input), &arena, &query, &mistake);
        assert_int_equal(status, ceiling < 9 << 20 ? STATUS_TOO_LARGE : STATUS_OK);
        arena_free(&arena);
    }
    buffer_free(&input);
}

static void places_say_where_name_operator_and_value_stand(void **state)
{
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 1 << 20);
    struct text input = TEXT("%61=not.eq.5&or=(%C3%A4.eq.1,b.not.in.(2))");
    assert_int_equal(dialect_parse(input, &arena, &query, &mistake), STATUS_OK);
    const struct dialect_condition *a = query->conditions[0], *b = query->conditions[1]->children[1];
    assert_true(text_equal(a->place.parameter, TEXT("a")));
    assert_int_equal(a->place.column, 5);
    assert_int_equal(a->value_column, 8);
    assert_int_equal(a->field.place.column, 0);
    assert_true(text_equal(b->place.parameter, TEXT("or")));
    assert_true(text_equal(b->field.place.parameter, TEXT("or")));
    assert_int_equal(b->field.place.column, 9);
    assert_int_equal(b->place.column, 15);
    assert_int_equal(b->value_column, 18);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_takes_its_value_as_it_stands),
        cmocka_unit_test(not_stands_before_any_operator_once),
        cmocka_unit_test(a_star_is_a_percent_sign_in_like_alone),
        cmocka_unit_test(any_and_all_go_with_ten_operators_and_a_list),
        cmocka_unit_test(a_language_goes_with_text_search_alone),
        cmocka_unit_test(is_takes_five_words_in_any_case),
        cmocka_unit_test(in_takes_a_list_whose_quotes_hold_commas_and_parentheses),
        cmocka_unit_test(trees_nest_and_negate),
        cmocka_unit_test(a_column_in_a_tree_may_begin_with_and_or_or_not),
        cmocka_unit_test(whitespace_may_stand_between_a_trees_parts),
        cmocka_unit_test(values_in_a_tree_end_at_a_comma_or_parenthesis_unless_quoted),
        cmocka_unit_test(text_after_a_trees_end_is_tolerated),
        cmocka_unit_test(a_broken_tree_is_a_mistake_with_its_column),
        cmocka_unit_test(an_unknown_operator_is_named_with_its_neighbours),
        cmocka_unit_test(trees_of_32_levels_pass_and_deeper_ones_are_too_many),
        cmocka_unit_test(the_201st_condition_is_too_many_wherever_it_stands),
        cmocka_unit_test(a_full_arena_is_told_from_a_mistake),
        cmocka_unit_test(places_say_where_name_operator_and_value_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
