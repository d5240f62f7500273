/* select and order, and the names, paths and casts that they are made of. */
#include "tests/unit/query/dialect_print.h"

static void select_takes_alias_column_and_cast(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=a", "; select [a]"},
        {"select=a,b,c", "; select [a], [b], [c]"},
        {"select=x:a", "; select x=[a]"},
        {"select=a::text", "; select [a]::text"},
        {"select=x:a::int8", "; select x=[a]::int8"},
        {"select=a::_int4", "; select [a]::_int4"},
        {"select=a::double+precision,b", "; select [a]::double precision, [b]"},
        {"select=*", "; select *"},
        {"select=*,x:a::text", "; select *, x=[a]::text"},
        {"select=a,*,b", "; select [a], *, [b]"},
        {"select=a,a", "; select [a], [a]"},
        {"select= a , x:b ,c::text ", "; select [a], x=[b], [c]::text"},
        {"select=%0Aa,%09b%0A", "; select [a], [b]"},
        {"select=\"my alias\":\"my:col\"", "; select my alias=[my:col]"},
        {"select=select,order:limit", "; select [select], order=[limit]"},
        {"select=", ""},
        {"select=+", ""},
        {"select", ""},
    };
    CHECK_CASES(cases);
}

static void names_need_quotes_for_reserved_characters_alone(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=a-b,$c,d_1,e$f,1g", "; select [a-b], [$c], [d_1], [e$f], [1g]"},
        {"select=my col, spaced ", "; select [my col], [spaced]"},
        {"select=Gr%C3%B6%C3%9Fe,%E5%9C%B0", "; select [Größe], [地]"},
        {"select=\"a.b\",\"c,d\",\"e:f\",\"g(h)\",\"i->j\"", "; select [a.b], [c,d], [e:f], [g(h)], [i->j]"},
        {"select=\"say \\\"hi\\\"\",\"back\\\\slash\"", "; select [say \"hi\"], [back\\slash]"},
        {"select=\" a \"", "; select [ a ]"},
        {"\"my.col\"=eq.1", "[my.col] eq '1'"},
        {"%22my.col%22=eq.1", "[my.col] eq '1'"},
        {"\"limit\"=eq.1&\"or\"=eq.2", "[limit] eq '1' & [or] eq '2'"},
        {"my+col=eq.1", "[my col] eq '1'"},
        {"a-b=eq.1&$c=eq.2", "[a-b] eq '1' & [$c] eq '2'"},
        {"order=\"a.desc\".desc", "; order [a.desc] desc"},
        {"select=\"a", "mistake select:1 the quoted name that begins at column 1; …"},
        {"select=\"\"", "mistake select:1 …"},
        {"select=a\"b\"", "mistake select:2 unexpected `\"` at column 2; …"},
        {"select=-a", "mistake select:1 a column is expected, but `-` stands at column 1; …"},
        {"select=a/b", "mistake select:2 unexpected `/`…"},
        {"select=a;b", "mistake select:2 …"},
        {"\"a=eq.1", "mistake \"a:0 the quoted name that begins at column 1 of the parameter's name; …"},
        {"a/b=eq.1", "mistake a/b:0 unexpected `/` at column 2 of the parameter's name; …"},
        {"=eq.1", "mistake :0 a column is expected, but the end stands at column 1 of the parameter's name; …"},
        {"+=eq.1", "mistake  :0 …"},
    };
    CHECK_CASES(cases);
}

static void json_paths_go_into_objects_and_arrays(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=data->a->>b", "; select [data]->[a]->>[b]"},
        {"select=data->0,data->-1,data->>12", "; select [data]->#0, [data]->#-1, [data]->>#12"},
        {"select=data->0->>a", "; select [data]->#0->>[a]"},
        {"select=data->1a,data->12->b2", "; select [data]->[1a], [data]->#12->[b2]"},
        {"select=data->\"0\",data->\"a.b\"->>\"c,d\"", "; select [data]->[0], [data]->[a.b]->>[c,d]"},
        {"select=data->\"\"", "; select [data]->[]"},
        {"select=x:data->>a::int4", "; select x=[data]->>[a]::int4"},
        {"select=data->>x::json", "; select [data]->>[x]::json"},
        {"select=data->0::text", "; select [data]->#0::text"},
        {"select=data->>n.sum()", "; select [data]->>[n].sum()"},
        {"select=data->>0.sum(),data->1.max()", "; select [data]->>#0.sum(), [data]->#1.max()"},
        {"select=a-b->c-d", "; select [a-b]->[c-d]"},
        {"data->>a=eq.1", "[data]->>[a] eq '1'"},
        {"data->a->>-1=is.null", "[data]->[a]->>#-1 is null"},
        {"data-%3E%3Ea=eq.1", "[data]->>[a] eq '1'"},
        {"order=data->>a.desc.nullslast,b->0", "; order [data]->>[a] desc nulls last, [b]->#0"},
        {"select=data->", "mistake select:7 a JSON key or index is expected, but the end stands at column 7; …"},
        {"select=data->->a", "mistake select:7 …"},
        {"select=data->--1", "mistake select:7 …"},
        {"select=data->-1x", "mistake select:7 …"},
        {"select=data->'x'", "mistake select:7 …"},
        {"select=data->a>b", "mistake select:8 unexpected `>`…"},
        {"select=data->99999999999", "mistake select:5 the index `99999999999` is out of range at column 5; …"},
    };
    CHECK_CASES(cases);
}

static void aggregates_cast_before_and_after(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=count()", "; select .count()"},
        {"select=n:count()::text", "; select n=.count()::text"},
        {"select=count", "; select count"},
        {"select=a,n:count", "; select [a], n=count"},
        {"select=count::text", "; select count::text"},
        {"select=\"count\",counts,count->a", "; select [count], [counts], [count]->[a]"},
        {"select=count.sum(),count::int8.max()::text", "; select [count].sum(), [count]::int8.max()::text"},
        {"select=a.count()", "; select [a].count()"},
        {"select=a.sum(),b.avg(),c.min(),d.max()", "; select [a].sum(), [b].avg(), [c].min(), [d].max()"},
        {"select=x:a.sum()::text", "; select x=[a].sum()::text"},
        {"select=x:a::int.avg()::text,b", "; select x=[a]::int.avg()::text, [b]"},
        {"select=sum,avg.max()", "; select [sum], [avg].max()"},
        {"select=a.median()", "mistake select:2 unknown aggregate `.median` at column 2; try .count(), .sum(), …"},
        {"select=a.sum", "mistake select:2 …"},
        {"select=a.sum(b)", "mistake select:2 …"},
        {"select=sum()", "mistake select:1 `sum()` lacks its column at column 1; write column.sum(), …"},
        {"select=a.sum().max()", "mistake select:8 …"},
        {"select=count()x", "mistake select:8 …"},
        {"select=a.b", "mistake select:2 unknown aggregate `.b`…put names that hold a dot in \"\""},
    };
    CHECK_CASES(cases);
}

static void embedding_is_refused_by_its_name(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=a,rel(b)", "mistake select:3 embedding of other relations is not offered; …at column 3; read each…"},
        {"select=rel(*)", "mistake select:1 embedding…"},
        {"select=x:rel(b)", "mistake select:3 embedding…"},
        {"select=rel!inner(b)", "mistake select:1 embedding…"},
        {"select=...rel(b)", "mistake select:1 embedding…"},
        {"select=count(id)", "mistake select:1 embedding…"},
        {"order=rel(a).desc", "mistake order:4 embedding…"},
        {"rel.a=eq.1", "mistake rel.a:0 embedding…column 4 of the parameter's name; …"},
        {"rel.order=a", "mistake rel.order:0 embedding…"},
        {"rel.or=(a.eq.1)", "mistake rel.or:0 embedding…"},
        {"rel.limit=1", "mistake rel.limit:0 embedding…"},
    };
    CHECK_CASES(cases);
}

static void a_broken_select_is_a_mistake_with_its_column(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=a,,b", "mistake select:3 a column is expected, but `,` stands at column 3; …"},
        {"select=a,", "mistake select:3 a column is expected, but the end stands at column 3; …"},
        {"select=,a", "mistake select:1 …"},
        {"select=a::", "mistake select:4 a type is expected behind ::, but the end stands at column 4; …"},
        {"select=a::,b", "mistake select:4 …"},
        {"select=a::int4[]", "mistake select:8 …an array of int4)"},
        {"select=a::numeric(10,2)", "mistake select:11 unexpected `(`…"},
        {"select=a::text::int", "mistake select:8 …"},
        {"select=x:y:a", "mistake select:4 unexpected `:`…"},
        {"select=x:", "mistake select:3 …"},
        {"select=:a", "mistake select:1 …"},
        {"select=\"\":a", "mistake select:1 an empty alias stands at column 1; …"},
        {"select=x:*", "mistake select:3 …"},
        {"select=*::text", "mistake select:2 …"},
        {"select=%C3%A4%C3%B6,%2F", "mistake select:4 a column is expected, but `/` stands at column 4; …"},
    };
    CHECK_CASES(cases);
}

static void order_takes_a_direction_and_a_place_for_nulls(void **state)
{
    static const struct dialect_case cases[] = {
        {"order=a", "; order [a]"},
        {"order=a.asc", "; order [a]"},
        {"order=a.desc", "; order [a] desc"},
        {"order=a.nullsfirst", "; order [a] nulls first"},
        {"order=a.nullslast", "; order [a] nulls last"},
        {"order=a.asc.nullsfirst", "; order [a] nulls first"},
        {"order=a.desc.nullslast,b.asc,c", "; order [a] desc nulls last, [b], [c]"},
        {"order= a.desc , b ", "; order [a] desc, [b]"},
        {"order=desc.asc,asc.desc", "; order [desc], [asc] desc"},
        {"order=", ""},
    };
    CHECK_CASES(cases);
}

static void any_other_suffix_is_a_mistake_that_names_those_there_are(void **state)
{
    static const struct dialect_case cases[] = {
        {"order=price_total.descc",
         "mistake order:12 unknown suffix `.descc` at column 12; try .asc, .desc, .nullsfirst, .nullslast"},
        {"order=a,b.DESC", "mistake order:4 unknown suffix `.DESC`…"},
        {"order=a.", "mistake order:2 unknown suffix `.`…"},
        {"order=a.desc.last", "mistake order:7 unknown suffix `.last`…"},
        {"order=a.nullslast.desc",
         "mistake order:12 misplaced suffix `.desc` at column 12; write column.desc.nullslast…"},
        {"order=a.asc.desc", "mistake order:6 misplaced suffix…"},
        {"order=a.desc.nullslast.nullsfirst", "mistake order:17 misplaced suffix…"},
        {"order=a.descending", "mistake order:2 unknown suffix `.descending`…"},
        {"order=a,", "mistake order:3 a column is expected…"},
        {"order=a desc", "; order [a desc]"},
        {"order=a::int", "mistake order:2 unexpected `:`…"},
        {"order=a.desc;b", "mistake order:7 unexpected `;`…"},
        {"order=*", "mistake order:1 …"},
    };
    CHECK_CASES(cases);
}

static void check_bound(const char *start, const char *item, unsigned bound, const char *message)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        struct buffer input, line;
        buffer_init(&input, 1 << 20);
        buffer_init(&line, 1 << 20);
        buffer_append_string(&input, start);
        for (unsigned i = 0; i < bound + extra; i++)
            buffer_append_string(&input, i != 0 || item[0] != ',' ? item : item + 1);
        print_parsed(&line, buffer_text(&input));
        assert_int_equal(strstr(line.data, message) != NULL, extra);
        buffer_free(&input);
        buffer_free(&line);
    }
}

static void one_more_than_a_bound_is_too_many_and_names_the_bound(void **state)
{
    check_bound("select=", ",a", DIALECT_MAX_SELECTS,
                "too many selected columns at column 1001; at most 500 are taken");
    check_bound("order=", ",a", DIALECT_MAX_ORDERS, "too many columns to order by at column 65; at most 32 are taken");
    check_bound("select=a", "->b", DIALECT_MAX_STEPS,
                "too many steps in a JSON path at column 98; at most 32 are taken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select_takes_alias_column_and_cast),
        cmocka_unit_test(names_need_quotes_for_reserved_characters_alone),
        cmocka_unit_test(json_paths_go_into_objects_and_arrays),
        cmocka_unit_test(aggregates_cast_before_and_after),
        cmocka_unit_test(embedding_is_refused_by_its_name),
        cmocka_unit_test(a_broken_select_is_a_mistake_with_its_column),
        cmocka_unit_test(order_takes_a_direction_and_a_place_for_nulls),
        cmocka_unit_test(any_other_suffix_is_a_mistake_that_names_those_there_are),
        cmocka_unit_test(one_more_than_a_bound_is_too_many_and_names_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
