"""Filters, trees and full text search: each rule of the dialect against the same question in SQL."""
import pytest

from dialect_every import address, by_psql, every, pairs, parse, same_rows  # noqa: F401
from gateway import assert_problem, quote


def ids(table, condition):
    return f"select id from {table} where {condition}"


COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
VALUES = {"i": "10", "n": "1.5", "f": "0.5", "t": "alpha", "b": "true", "d": "2021-01-01", "ts": "2021-01-01T00:00:00Z", "m": "ok",
          "u": "c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "w": "1 day"}


@pairs(*[(f"measure?select=id&{column}={negation}{name}.{quote(value)}", ids("measure", f"{'not ' if negation else ''}({column} {sign} '{value}')")) for name,
         sign in COMPARISONS.items() for column, value in VALUES.items() for negation in ("", "not.")])
def test_a_comparison_and_its_negation_give_the_rows_that_sql_gives(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"measure?select=id&{column}=isdistinct.{quote(value)}", ids("measure", f"{column} is distinct from '{value}'")) for column, value in VALUES.items()],
       ("measure?select=id&i=not.isdistinct.10", ids("measure", "not (i is distinct from 10)")),
       ("measure?select=id&t=isdistinct.", ids("measure", "t is distinct from ''")))
def test_isdistinct_takes_null_for_a_value_of_its_own(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("words?t=eq.", "select * from words where t = ''"), ("words?t=neq.", "select * from words where t <> ''"),
       ("words?t=eq.null", "select * from words where t = 'null'"), ("words?t=not.eq.null", "select * from words where not t = 'null'"),
       ("words?t=eq.eq.a", "select * from words where t = 'eq.a'"), ("words?t=eq.not.eq.a", "select * from words where t = 'not.eq.a'"),
       ("words?and=(t.eq.)", "select * from words where t = ''"), ("words?or=(t.eq.null,t.eq.)", "select * from words where t in ('null', '')"))
def test_eq_compares_with_the_empty_text_and_eq_null_with_the_text_null(same_rows, url, sql):
    same_rows(url, sql)


WORDS = ["a,b", "a)b", "(a)", '"q"', "back\\slash", "a*b", "a%b", "a_b", "ünï 中文 🚰", "line\nbreak", " lead", "{a,b}", 'a"b', "a.b", "a+b", "a b", "a&b=c",
         "not.eq.a", "Robert'); drop table words;--", "$1", "a\\b", "double\\\\slash", "trail ", "%", "or", "[x]^{2}", "#frag", "a/b"]


def sql_text(text):
    return "'" + text.replace("'", "''") + "'"


def in_quotes(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pairs(*[(f"words?t=eq.{quote(word)}", f"select * from words where t = {sql_text(word)}") for word in WORDS])
def test_a_filters_value_is_the_whole_of_the_parameter_whatever_it_holds(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"words?t=in.({quote(in_quotes(word))},zzz)", f"select * from words where t = {sql_text(word)}") for word in WORDS])
def test_a_quoted_element_of_a_list_may_hold_anything(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"words?and=(id.gt.0,t.eq.{quote(in_quotes(word))})", f"select * from words where t = {sql_text(word)}") for word in WORDS])
def test_a_quoted_value_in_a_tree_may_hold_anything(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"words?t=isdistinct.{quote(word)}&id=gt.3", f"select * from words where t <> {sql_text(word)} and id > 3") for word in WORDS[:6]])
def test_several_filters_must_all_hold(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("words?t=eq.a+b", "select * from words where t = 'a b'"), ("words?t=eq.a%2Bb", "select * from words where t = 'a+b'"),
       ("words?t=eq.a%20b", "select * from words where t = 'a b'"), ("words?%74=eq.%61", "select * from words where t = 'a'"),
       ("words?t=eq.a%26b%3Dc", "select * from words where t = 'a&b=c'"), ("words?t=eq.a%26b=c", "select * from words where t = 'a&b=c'"),
       ("words?t=%65%71%2Ea", "select * from words where t = 'a'"), ("words?t=eq.{a,b}", "select * from words where t = '{a,b}'"),
       ('words?t=eq."q"', "select * from words where t = '\"q\"'"), ("words?t=eq.[x]^{2}", "select * from words where t = '[x]^{2}'"),
       ("words?t=eq.a\\b", "select * from words where t = 'a\\b'"), ("words?t=gt.a&&t=lt.b&", "select * from words where t > 'a' and t < 'b'"),
       ("words?&t=eq.a", "select * from words where t = 'a'"), ("papers?select=id&datab->>foo=eq.bar", ids("papers", "datab->>'foo' = 'bar'")),
       ("words?t=eq.a%2fb", "select * from words where t = 'a/b'"), ("odd?select=id&a+b=eq.b1", ids("odd", "\"a b\" = 'b1'")),
       ("words?t=eq.%C3%BCn%C3%AF+%E4%B8%AD%E6%96%87+%F0%9F%9A%B0", "select * from words where t = 'ünï 中文 🚰'"))
def test_names_and_values_are_percent_decoded_a_plus_is_a_space_and_raw_braces_quotes_and_arrows_pass(every, postgres, url, sql):
    request = f"GET {address(url)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {every.token}\r\n\r\n"
    status, _, body = every.raw(request.encode(), half_close=False)  # requests would encode them
    assert status == 200, body
    assert sorted(parse(body)) == sorted(parse(by_psql(postgres, sql)[1]))


@pairs(("measure?select=id&i=gt.0&i=lt.10", ids("measure", "i > 0 and i < 10")), ("measure?select=id&i=eq.10&i=eq.7", ids("measure", "i = 10 and i = 7")),
       ("measure?select=id&and=(i.gt.0)&and=(i.lt.10)", ids("measure", "i > 0 and i < 10")),
       ("measure?select=id&or=(i.eq.7,i.eq.10)&or=(id.eq.1,id.eq.7)", ids("measure", "i in (7, 10) and id in (1, 7)")),
       ("measure?select=id&or=(i.eq.7,i.eq.10)&and=(b.is.true)&id=lt.7", ids("measure", "i in (7, 10) and b and id < 7")),
       ("measure?select=id&not.or=(i.eq.7,i.eq.10)&not.and=(id.eq.2,i.eq.-5)", ids("measure", "not (i in (7, 10)) and not (id = 2 and i = -5)")))
def test_repeated_filters_and_several_trees_are_anded(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("items?select=id&select=nothing", "select id from items"), ("measure?order=id.desc&order=nothing&select=id", "select id from measure order by id desc"),
       ("items?limit=1&limit=3&order=id", "select * from items order by id limit 3"), ("items?select=", "select * from items"),
       ("items?select=&order=id", "select * from items order by id"), ("items?columns=x&on_conflict=y", "select * from items"),
       ("items?", "select * from items"), ("items?order=&id=lt.3", "select * from items where id < 3"))
def test_the_first_select_and_order_and_the_last_limit_win_and_an_empty_select_is_all(same_rows, url, sql):
    same_rows(url, sql)


IS = {"null": "is null", "not_null": "is not null", "true": "is true", "false": "is false", "unknown": "is unknown", "NULL": "is null",
      "Not_Null": "is not null", "TRUE": "is true", "fAlSe": "is false", "UNKNOWN": "is unknown"}


@pairs(*[(f"measure?select=id&b={negation}is.{word}", ids("measure", f"{'not ' if negation else ''}(b {sql})")) for word,
         sql in IS.items() for negation in ("", "not.")],
       *[(f"measure?select=id&or=(b.{negation}is.{word})", ids("measure", f"{'not ' if negation else ''}(b {sql})")) for word,
         sql in IS.items() for negation in ("", "not.")], ("measure?select=id&t=is.null", ids("measure", "t is null")),
       ("measure?select=id&u=not.is.null", ids("measure", "u is not null")), ("spans?select=id&c=is.null", ids("spans", "c is null")),
       ("items?select=id&always_true=is.true", "select id from items"), ("papers?select=id&datab->nul=is.null", ids("papers", "datab->'nul' is null")),
       ("papers?select=id&datab->>nul=is.null", ids("papers", "datab->>'nul' is null")))
def test_is_takes_null_not_null_true_false_and_unknown_in_any_case(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("words?t=like.a*b", "select * from words where t like 'a%b'"), ("words?t=like.a%25b", "select * from words where t like 'a%b'"),
       ("words?t=like.a_b", "select * from words where t like 'a_b'"), ("words?t=like.*", "select * from words where t like '%'"),
       ("words?t=like.", "select * from words where t like ''"), ("words?t=ilike.A", "select * from words where t ilike 'A'"),
       ("words?t=ilike.*SLASH", "select * from words where t ilike '%SLASH'"), ("words?t=like.*SLASH", "select * from words where t like '%SLASH'"),
       ("words?t=not.like.a*", "select * from words where not t like 'a%'"), ("words?t=not.ilike.*B*", "select * from words where not t ilike '%B%'"),
       ("words?t=like.a%5C%25b", "select * from words where t like 'a\\%b'"), ("words?t=like.a%5C_b", "select * from words where t like 'a\\_b'"),
       ("words?or=(t.like.a*b,t.ilike.A)", "select * from words where t like 'a%b' or t ilike 'A'"),
       ("words?and=(t.like.\"a,*\")", "select * from words where t like 'a,%'"), ("words?t=like.*中*", "select * from words where t like '%中%'"),
       ("words?t=like.a%5C*b", "select * from words where t like 'a\\%b'"))
def test_a_star_is_a_percent_sign_in_like_and_ilike(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("words?t=match.^a", "select * from words where t ~ '^a'"), ("words?t=imatch.^A", "select * from words where t ~* '^A'"),
       ("words?t=not.match.b$", "select * from words where not t ~ 'b$'"), ("words?t=match.a*b", "select * from words where t ~ 'a*b'"),
       ("words?t=match.^.%7B3%7D$", "select * from words where t ~ '^.{3}$'"), ("words?t=imatch.%5C(a%5C)", "select * from words where t ~* '\\(a\\)'"),
       ("words?and=(t.match.\"^(a|b)$\")", "select * from words where t ~ '^(a|b)$'"), ("words?t=not.imatch.A", "select * from words where not t ~* 'A'"),
       ("words?t=match.", "select * from words where t ~ ''"))
def test_match_and_imatch_take_regular_expressions(same_rows, url, sql):
    same_rows(url, sql)


QUANTIFIED = {"eq": ("=", "a,b,(a)"), "gt": (">", "a,b"), "gte": (">=", "a,b"), "lt": ("<", "a,b"), "lte": ("<=", "a,b"), "like": ("like", "a*,*b"),
              "ilike": ("ilike", "A*,*B"), "match": ("~", "^a,b$"), "imatch": ("~*", "^A,B$")}


@pairs(*[(f"words?t={negation}{name}({quantifier}).{{{quote(values)}}}",
          f"select * from words where {'not ' if negation else ''}(t {sign} {quantifier}('{{{values.replace('*', '%') if 'like' in name else values}}}'))")
         for name, (sign, values) in QUANTIFIED.items() for quantifier in ("any", "all") for negation in ("", "not.")],
       *[(f"words?or=(id.eq.1,t.{name}({quantifier}).{{{quote(values)}}})",
          f"select * from words where id = 1 or (t {sign} {quantifier}('{{{values.replace('*', '%') if 'like' in name else values}}}'))") for name,
         (sign, values) in QUANTIFIED.items() for quantifier in ("any", "all")], ("measure?select=id&i=eq(any).{10,7}", ids("measure", "i = any('{10,7}')")),
       ("measure?select=id&i=gt(all).{}", ids("measure", "i > all('{}')")), ("measure?select=id&i=eq(any).{}", ids("measure", "i = any('{}')")),
       ('words?t=eq(any).{"a,b","a\\"b"}', "select * from words where t in ('a,b', 'a\"b')"),
       ("measure?select=id&i=eq(any).{10,NULL}", ids("measure", "i = any('{10,null}')")),
       ("measure?select=id&i=eq(any).{1,x}", ids("measure", "i = any('{1,x}')")))
def test_any_and_all_compare_with_the_elements_of_a_list_in_braces(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("measure?select=id&i=in.(10,7)", ids("measure", "i in (10, 7)")), ("measure?select=id&i=not.in.(10,7)", ids("measure", "i not in (10, 7)")),
       ("words?t=in.(a,b)", "select * from words where t in ('a', 'b')"),
       ('words?t=in.("a,b","a)b",(a)', "select * from words where t in ('a,b', 'a)b', '(a')"),
       ('words?t=in.("a,b","a)b","(a)")', "select * from words where t in ('a,b', 'a)b', '(a)')"),
       ('words?t=in.("a\\"b","back\\\\slash")', "select * from words where t in ('a\"b', 'back\\slash')"),
       ('words?t=in.(a"b,back\\slash)', "select * from words where t in ('a\"b', 'back\\slash')"),
       ('words?t=in.(a\\b,double\\\\slash)', "select * from words where t in ('a\\b', 'double\\\\slash')"),
       ("words?t=in.()", "select * from words where false"), ("words?t=not.in.()", "select * from words where t is not null"),
       ("words?t=in.(,a)", "select * from words where t in ('', 'a')"), ("words?t=in.(a,)", "select * from words where t in ('a', '')"),
       ("words?t=in.(a,,b)", "select * from words where t in ('a', '', 'b')"), ('words?t=in.("")', "select * from words where t = ''"),
       ('words?t=in.(" lead")', "select * from words where t = ' lead'"),
       ("measure?select=id&d=in.(2021-01-01,infinity)", ids("measure", "d in ('2021-01-01', 'infinity')")),
       ("measure?select=id&m=in.(ok,\"a, b\")", ids("measure", "m in ('ok', 'a, b')")), ("measure?select=id&i=in.(10)", ids("measure", "i = 10")),
       ("measure?select=id&b=in.(true)", ids("measure", "b")), ("words?t=in.(null)", "select * from words where t = 'null'"),
       ("words?or=(t.in.(a,b),id.in.(1,2))", "select * from words where t in ('a', 'b') or id in (1, 2)"),
       ("words?or=(t.in.(),id.not.in.(1,2))", "select * from words where id not in (1, 2)"),
       ("words?t=in.(eq.a,not.eq.a)", "select * from words where t in ('eq.a', 'not.eq.a')"),
       ("spans?select=id&a=in.(\"{1,2,3}\",\"{}\")", ids("spans", "a in ('{1,2,3}', '{}')")),
       ("spans?select=id&r=in.(\"[1,10)\",empty)", ids("spans", "r in ('[1,10)', 'empty')")),
       ("spans?select=id&c=in.(\"(1,2)\")", ids("spans", "c in ('(1,2)'::size)")), ("words?t=in.( a , b )", "select * from words where t in (' a ', ' b ')"),
       ("items?id=in.(" + ",".join(map(str, range(1, 1500))) + ")", "select * from items"))
def test_in_takes_a_list_whose_elements_may_be_quoted_or_empty(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("measure?select=id&or=(i.eq.7,t.eq.gamma)", ids("measure", "i = 7 or t = 'gamma'")),
       ("measure?select=id&and=(i.gt.0,or(t.eq.alpha,t.eq.ALPHA))", ids("measure", "i > 0 and (t = 'alpha' or t = 'ALPHA')")),
       ("measure?select=id&or=( i.eq.7 , t.eq.gamma )", ids("measure", "i = 7 or t = 'gamma '")),
       ("measure?select=id&or=(and(i.gt.0,i.lt.10),and(id.eq.3,not.or(b.is.true,b.is.false)))",
        ids("measure", "(i > 0 and i < 10) or (id = 3 and not (b is true or b is false))")),
       ("measure?select=id&not.and=(i.gt.0,b.is.true)", ids("measure", "not (i > 0 and b is true)")),
       ("measure?select=id&not.or=(i.gt.0,b.is.true)", ids("measure", "not (i > 0 or b is true)")),
       ("measure?select=id&or=(i.not.eq.10,b.not.is.null)", ids("measure", "not i = 10 or b is not null")),
       ("measure?select=id&and=(not.and(id.eq.1,i.eq.10))", ids("measure", "not (id = 1 and i = 10)")),
       ("measure?select=id&or=(i.eq.7)", ids("measure", "i = 7")), ("odd?select=id&or=(and_more.eq.1,orange.eq.2)", ids("odd", "and_more = 1 or orange = 2")),
       ("odd?select=id&and=(nots.gt.1,orange.not.eq.3)", ids("odd", "nots > 1 and orange <> 3")),
       ("odd?select=id&or=(and.eq.1,or.eq.2)", ids("odd", '"and" = 1 or "or" = 2')), ("odd?select=id&and=(not.gt.1)", ids("odd", '"not" > 1')),
       ("odd?select=id&or=(select.eq.s1,order.eq.20,limit.eq.3)", ids("odd", "true")),
       ('odd?select=id&or=("a.b".eq.d1,"a,b".eq.c2)', ids("odd", "\"a.b\" = 'd1' or \"a,b\" = 'c2'")),
       ('odd?select=id&or=("a\\"b".eq.q1,"(x)".eq.p3)', ids("odd", "id in (1, 3)")), ("odd?select=id&and=(not.and(not.eq.1,id.eq.1))", ids("odd", "id <> 1")),
       ("words?or=(t.eq.a b,t.eq.a+b)", "select * from words where t = 'a b'"),
       ("words?or=(t.eq.\"a,b\",t.eq.\"a)b\")", "select * from words where t in ('a,b', 'a)b')"),
       ("spans?select=id&or=(a.cs.{1,2},a.cs.{4})", ids("spans", "a @> '{1,2}' or a @> '{4}'")),
       ("spans?select=id&and=(a.cs.{1,2},id.gt.1)", ids("spans", "a @> '{1,2}' and id > 1")),
       ("words?or=(t.eq.{a,b},t.eq.a)", "select * from words where t in ('{a,b}', 'a')"),
       ("spans?select=id&or=(r.ov.\"[1,2]\",r.cs.\"[25,25]\")", ids("spans", "r && '[1,2]' or r @> '[25,25]'")),
       ("measure?select=id&or=(i.eq.7,t.eq.gamma)anything", ids("measure", "i = 7 or t = 'gamma'")),
       ("measure?select=id&and=(i.eq.7))", ids("measure", "i = 7")),
       ("papers?select=id&or=(datab->>foo.eq.bar,datab->n.eq.10)", ids("papers", "datab->>'foo' = 'bar' or datab->'n' = '10'")),
       ("measure?select=id&or=(\ti.eq.7,\n or ( t.eq.gamma ) )", ids("measure", "i = 7 or t = 'gamma '")),
       ("words?and=(t.neq.null,id.lt.5)", "select * from words where t <> 'null' and id < 5"))
def test_trees_nest_negate_allow_spaces_and_text_behind_and_columns_that_begin_with_and_or_or(same_rows, url, sql):
    same_rows(url, sql)


SPANS = {"cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-"}
SPAN_VALUES = {"r": "[5,12)", "nr": "(2,3]", "tr": "[2021-01-15,2021-02-15)", "dr": "[2021-02-01,2021-02-10)", "mr": "{[4,9)}"}


@pairs(*[(f"spans?select=id&{column}={negation}{name}.{quote(value)}", ids("spans", f"{'not ' if negation else ''}({column} {sign} '{value}')")) for column,
         value in SPAN_VALUES.items() for name, sign in {**SPANS, **COMPARISONS}.items() for negation in ("", "not.")],
       *[(f"spans?select=id&{column}={name}.{quote(value)}", ids("spans", f"{column} {sign} '{value}'")) for column,
         value in (("a", "{1,2,3}"), ("a", "{}"), ("ta", '{"b,c",d}'), ("ta", "{NULL}")) for name,
         sign in {"cs": "@>", "cd": "<@", "ov": "&&", **COMPARISONS}.items()], ("spans?select=id&j=cs.{\"a\":1}", ids("spans", "j @> '{\"a\":1}'")),
       ("spans?select=id&j=cd.{\"a\":1,\"b\":2}", ids("spans", "j <@ '{\"a\":1,\"b\":2}'")), ("spans?select=id&j=cs.[1,2]", ids("spans", "j @> '[1,2]'")),
       ("spans?select=id&ip=sl.10.0.0.0/7", ids("spans", "ip << '10.0.0.0/7'")), ("spans?select=id&ip=ov.10.0.0.0/8", ids("spans", "ip && '10.0.0.0/8'")),
       ("spans?select=id&box=ov.(2,2),(1,1)", ids("spans", "box && '(2,2),(1,1)'")), ("spans?select=id&r=cs.7", ids("spans", "r @> '7'")),
       ("spans?select=id&c=eq.(1,2)", ids("spans", "c = '(1,2)'::size")), ("spans?select=id&c=gt.(1,1)", ids("spans", "c > '(1,1)'::size")))
def test_arrays_and_ranges_contain_overlap_adjoin_and_compare(same_rows, url, sql):
    same_rows(url, sql)


SEARCHES = {"fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery"}


@pairs(*[(f"docs?select=id&{column}={negation}{name}{f'({language})' if language else ''}.{quote(word)}",
          ids("docs",
              f"{'not ' if negation else ''}({left(column, language)} @@ {function}({f'{chr(39)}{language}{chr(39)}, ' if language else ''}'{word}'))"))
         for left in (lambda column,
                      language: column if column in ("v", "dv") else f"to_tsvector({f'{chr(39)}{language}{chr(39)}, ' if language else ''}{column})",
                      ) for column in ("t", "j", "jb", "v", "dv") for name,
         function in SEARCHES.items() for language in ("", "english", "french", "simple") for word in (("fat & cat" if name == "fts" else "fat cat"),
             ) for negation in (("", "not.") if language != "french" else ("",))],
       ("docs?select=id&t=fts(english).imposs:*", ids("docs", "to_tsvector('english', t) @@ to_tsquery('english', 'imposs:*')")),
       ("docs?select=id&v=wfts.\"fat cats\" -dog", ids("docs", "v @@ websearch_to_tsquery('\"fat cats\" -dog')")),
       ("docs?select=id&or=(t.fts(english).cat,v.plfts(french).impossible)",
        ids("docs", "to_tsvector('english', t) @@ to_tsquery('english', 'cat') or v @@ plainto_tsquery('french', 'impossible')")),
       ("docs?select=id&t=fts.", ids("docs", "to_tsvector(t) @@ to_tsquery('')")),
       ("docs?select=id&t=fts.a%20b", ids("docs", "to_tsvector(t) @@ to_tsquery('a b')")),
       ("papers?select=id&datab->>foo=fts.bar", ids("papers", "to_tsvector(datab->>'foo') @@ to_tsquery('bar')")),
       ("papers?select=id&datab->foo=plfts(simple).bar", ids("papers", "to_tsvector('simple', datab->'foo') @@ plainto_tsquery('simple', 'bar')")))
def test_searches_take_text_and_json_through_to_tsvector_and_tsvectors_and_their_domains_as_they_are(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("items?select=id&doubled=gt.20", ids("items", "id * 2 > 20")), ('items?select=id&"odd name"=eq.odd 3', ids("items", "id = 3")),
       ("items?select=id&odd+name=eq.odd 3", ids("items", "id = 3")), ("items?select=id&tags_of=cs.{t4}", ids("items", "id = 4")),
       ("items?select=id&or=(doubled.eq.2,always_true.is.false)", ids("items", "id = 1")))
def test_computed_columns_are_filtered_by_as_any_other(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"{name}?select=id", "select 1 as id") for name in ("Mixed%20Case", "Mixed+Case".replace("+", "%20"), "semi%3Bcolon", "semi;colon", "dollar%24",
    "dollar$", "quo%22te", "na%C3%AFve%20%E4%B8%AD%E6%96%87", "per%25cent", "sla%2Fsh", "select", "plus%2B", "plus+", "que%3Fry",
    "%27%3B%20drop%20table%20every.items%3B%20--", "third.items", "third.Do.t%20%24%3B")])
def test_relations_of_any_name_are_reached_by_their_percent_encoded_name(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"{name}?limit=10&order=1st".replace("1st", column), f"select * from {name} order by {column} limit 10") for name,
         column in (("seen", "id"), ("kept", "g"), ("parts", "id"), ("abroad", "a"))], ("parts?id=eq.2&day=eq.2021-05-05", "select * from parts where id = 2"),
       ("abroad?b=is.null", "select * from abroad where b is null"), ("kept?n=gt.428", "select * from kept where n > 428"))
def test_views_partitioned_materialised_and_foreign_tables_are_read_as_any_other(same_rows, url, sql):
    same_rows(url, sql)


@pytest.mark.parametrize("name", ["items/1", "items/", "items/schema/x", "dot/ted"])
def test_a_path_below_a_relation_is_not_found(every, name):
    assert_problem(every.get(address(name)), 404, "not-found")
