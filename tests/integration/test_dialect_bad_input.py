"""What nobody should send, and SQL in every place that takes text: a 4xx that says where, nothing told that may not be seen, and the gateway goes on."""
import base64
import concurrent.futures
import json
import time

import pytest
import requests

from dialect_every import SCOPE, address, every, mistakes, opened, refused  # noqa: F401
from gateway import SLOWNESS, assert_problem, check_problem, quote, token

SECRETS = ("hidden", "treasure", "gold", "people_secret", "salary", "nearly_secret", "side", "notes")


@mistakes(("nothing", 404, "not-found", None, None, ()), ("every.nothing", 404, "not-found", None, None, ()),
          ("hidden.treasure", 404, "not-found", None, None, ()), ("pg_catalog.pg_class", 404, "not-found", None, None, ()),
          ("information_schema.tables", 404, "not-found", None, None, ()), ("ITEMS", 404, "not-found", None, None, ()),
          ("people_secret", 404, "not-found", None, None, ()), ("side.notes", 404, "not-found", None, None, ()), ("%00", None, None, None, None, ()),
          ("%ff", None, None, None, None, ()), ("items%00", None, None, None, None, ()),
          (quote('items"; drop table every.items; --'), 404, "not-found", None, None, ()), ("a" * 300, None, None, None, None, ()),
          ("..%2f..%2fetc", 404, None, None, None, ()))
def test_an_unknown_dataset_is_not_found_and_none_is_named_in_its_place(every, url, status, kind, field, column, words):
    answer = every.get(address(url))
    assert answer.status_code == status if status else 400 <= answer.status_code < 500
    problem = assert_problem(answer, answer.status_code, kind)
    assert not [secret for secret in SECRETS if secret in problem["detail"] and secret not in url], problem


@mistakes(("measure?tt=eq.1", 400, "invalid-parameter", "tt", None, ("unknown column `tt`", "did you mean `t`")),
          ("measure?and=(i.eq.1,idd.eq.2)", 400, "invalid-parameter", "and", 9, ("unknown column `idd`", "did you mean `id`")),
          ("measure?or=(and(xyzzy.eq.1,i.eq.1))", 400, "invalid-parameter", "or", 6, "unknown column `xyzzy`"),
          ("measure?xyzzy=eq.1", 400, "invalid-parameter", "xyzzy", None, "unknown column `xyzzy`"),
          ("measure?I=eq.1", 400, "invalid-parameter", "I", None, "unknown column `I`"),
          ("people?salary=eq.1", 400, "invalid-parameter", "salary", None, "unknown column"),
          ("items?ctid=eq.(0,1)", 400, "invalid-parameter", "ctid", None, "unknown column"),
          ("items?select=xmin", 400, "invalid-parameter", "select", 1, "unknown column"),
          ("items?order=tableoid", 400, "invalid-parameter", "order", 1, "unknown column"))
def test_an_unknown_column_is_refused_by_its_place(refused, url, status, kind, field, column, words):
    refused(url, status, kind, field, column, words)


@pytest.mark.parametrize("url",
                         ["people?nearly_secre=eq.x", "people?select=nearly_secret", "people?order=nearly_secret", "people?nearly_secret=eq.x",
                          "people?and=(nearly_secret.eq.x)", "people?select=nearly_secrets", "people_secre", "people?select=nearly_secret.max()",
                          "people?select=people"])
def test_a_hint_names_no_column_and_no_relation_that_the_caller_may_not_see(every, url):
    answer = every.get(address(url))
    assert answer.status_code in (400, 404), answer.text
    told = answer.text.replace("nearly_secrets", "").replace(f"`{url.partition('=')[2].partition('.')[0]}`", "").replace(answer.json()["instance"], "")
    assert "people_secret" not in told and "salary" not in told
    assert "did you mean" not in told or "nearly" not in told.partition("did you mean")[2]


@mistakes(("measure?i=eqq.1", 400, "invalid-parameter", "i", 1, ("unknown operator `eqq`", "did you mean `eq`")),
          ("measure?i=foo.1", 400, "invalid-parameter", "i", 1, "unknown operator `foo`"),
          ("measure?i=1", 400, "invalid-parameter", "i", 1, ("an operator and a dot are missing", "eq.1")),
          ("measure?i=", 400, "invalid-parameter", "i", 1, ()), ("measure?i", 400, "invalid-parameter", "i", None, "`=` is missing"),
          ("measure?i=EQ.1", 400, "invalid-parameter", "i", 1, ()), ("measure?i=not.1", 400, "invalid-parameter", "i", None, ()),
          ("measure?i=not.not.eq.1", 400, "invalid-parameter", "i", None, ()), ("measure?i=eq", 400, "invalid-parameter", "i", 3, "a dot belongs behind `eq`"),
          ("measure?i=neq(any).{1}", 400, "invalid-parameter", "i", 4, "wrong parentheses behind `neq`"),
          ("measure?i=eq(some).{1}", 400, "invalid-parameter", "i", 3, "(any)"), ("measure?i=eq(any).1", 400, "invalid-parameter", "i", 9, "{a,b}"),
          ("measure?i=in(any).(1)", 400, "invalid-parameter", "i", None, ()), ("measure?t=fts().x", 400, "invalid-parameter", "t", 4, "language"),
          ("measure?b=is.maybe", 400, "invalid-parameter", "b", 4, ("`is` does not take `maybe`", "not_null")),
          ("measure?b=is.", 400, "invalid-parameter", "b", 4, ()), ("measure?t=is.true", 400, "invalid-parameter", "t", None, "only a boolean"),
          ("measure?or=(i.is.false)", 400, "invalid-parameter", "or", None, "only a boolean"),
          ("measure?i=in.1", 400, "invalid-parameter", "i", 4, "a list is expected"), ("measure?i=in.(1", 400, "invalid-parameter", "i", 6, "not closed"),
          ("measure?i=in.(1)x", 400, "invalid-parameter", "i", 7, ()), ("measure?i=in.(1,x)", 400, "invalid-parameter", "i", None, "not an integer"),
          ('measure?t=in.("a', 400, "invalid-parameter", "t", None, "not closed"),
          ("measure?or=()", 400, "invalid-parameter", "or", 2, "a condition is missing"), ("measure?and=()", 400, "invalid-parameter", "and", 2, ()),
          ("measure?or=(i.eq.1,)", 400, "invalid-parameter", "or", None, ()), ("measure?or=", 400, "invalid-parameter", "or", None, ()),
          ("measure?or=i.eq.1", 400, "invalid-parameter", "or", 1, ()), ("measure?or=(i.eq.1", 400, "invalid-parameter", "or", 8, ()),
          ("measure?or=(i)", 400, "invalid-parameter", "or", 3, "a dot and an operator"),
          ("measure?or=(i.foo.1)", 400, "invalid-parameter", "or", 4, "unknown operator `foo`"),
          ("measure?or=(i.eq.1,or())", 400, "invalid-parameter", "or", None, ()), ("measure?or=(not.i.eq.1)", 400, "invalid-parameter", "or", None, ()),
          ("measure?a.b=eq.1", 400, "invalid-parameter", "a.b", None, "dot"),
          ("measure?i=eq.abc", 400, "invalid-parameter", "i", 4, ("not an integer", "integer")),
          ("measure?i=gt.2147483648", 400, "invalid-parameter", "i", 4, ()), ("measure?n=eq.1,5", 400, "invalid-parameter", "n", 4, "not a number"),
          ("measure?d=eq.2021-02-30", 400, "invalid-parameter", "d", 4, "not a date"), ("measure?u=eq.xyz", 400, "invalid-parameter", "u", 4, "UUID"),
          ("measure?b=eq.maybe", 400, "invalid-parameter", "b", 4, "true or false"),
          ("measure?ts=eq.yesterdayish", 400, "invalid-parameter", None, None, "date or time"),
          ("measure?m=eq.happy", 400, "invalid-parameter", None, None, "not of the type"), ("measure?w=eq.soon", 400, "invalid-parameter", None, None, ()),
          ("spans?r=cs.[5,1]", 400, "invalid-parameter", None, None, ()), ("spans?a=cs.{x}", 400, "invalid-parameter", None, None, ()),
          ("measure?t=match.[", 400, "invalid-parameter", None, None, "regular expression"),
          ("measure?t=match.(", 400, "invalid-parameter", None, None, "regular expression"),
          ("measure?t=like.a%5C", 400, "invalid-parameter", None, None, "escape"),
          ("measure?t=fts(klingon).x", 400, "invalid-parameter", None, None, "language"),
          ("measure?t=fts.a%26", 400, "invalid-parameter", None, None, "text search"), ("spans?j=cs.{", 400, "invalid-parameter", None, None, ()),
          ("measure?i=like.1*", 404, "unsupported-operator", "i", 1, "no operator `like`"),
          ("measure?i=cs.{1}", 404, "unsupported-operator", "i", 1, "no operator `cs`"),
          ("papers?data=eq.1", 404, "unsupported-operator", "data", 1, "no operator `eq`"),
          ("measure?d=fts.x", 404, "unsupported-operator", "d", 1, "no operator `fts`"),
          ("measure?or=(i.eq.1,b.sl.true)", 404, "unsupported-operator", "or", None, "no operator `sl`"),
          ("measure?format=xlsx", 400, "invalid-parameter", "format", 1, "json, csv or ndjson"), ("measure?%ff=eq.1", 400, None, None, None, ()),
          ("measure?t=eq.%ff", 400, None, None, None, ()), ("measure?t=eq.%00", 400, None, None, None, ()), ("measure?select=%00", 400, None, None, None, ()),
          ("measure?=eq.1", 400, None, None, None, ()))
def test_what_a_filter_does_not_know_is_refused_by_its_place(refused, url, status, kind, field, column, words):
    refused(url, status, kind, field, column, words)


INJECTIONS = ["'; drop table every.items; --", '"; drop table every.items; --', "1; select pg_sleep(5)", "1) or (1=1", "' or '1'='1", "$1", "$99", "%s",
              "\\'; drop table every.items; --", "1::int; drop table every.items", "(select gold from hidden.treasure)", "E'\\x27'", "/* */", "*/ drop", "--",
              "\u0000", "{\"a\":", "${jndi:x}", "pg_sleep(5)", "a\nb", "../", "\u202e", "null", "\ud7ff"]
PLACES = ["{}", "items?select={}", "items?select=x:{}", "items?select={}:id", "items?select=id::{}", "items?select=id.{}()", "papers?select=datab->>{}",
          'papers?select=datab->>"{}"', "papers?select=datab->{}->x", "items?order={}", "items?order=id.{}", "items?order=id.desc.{}",
          "papers?order=datab->>{}", "items?{}=eq.1", "items?id=eq.{}", "words?t=eq.{}", "words?t={}.a", "words?t=like.{}", "words?t=match.{}",
          "words?t=in.({})", 'words?t=in.("{}")', "words?t=eq(any).{{{}}}", "spans?a=cs.{{{}}}", "spans?r=ov.{}", "docs?t=fts.{}", "docs?t=fts({}).x",
          "docs?t=wfts.{}", "docs?t=plfts({}).x", "words?and=(t.eq.{})", "words?or=({}.eq.1,id.eq.1)", "words?or=({})", "measure?m=eq.{}", "measure?ts=gt.{}",
          "measure?w=eq.{}", "items?limit={}", "items?offset={}", "items?cursor={}", "items?format={}", "items?columns={}", "spans?c=eq.{}",
          "types?domain_text=eq.{}", "types?nested=eq.{}", "types?jsonpath=like.{}", "types?xml=eq.{}", "types?tsquery=eq.{}", "types?bit=eq.{}",
          "types?inet=sl.{}", "types?regclass=eq.{}", "types?box=sl.{}", "types?select=regclass->{}"]


@pytest.mark.parametrize("place", PLACES)
def test_sql_is_a_text_like_any_other_in_every_place_that_takes_text(every, postgres, place):
    for injection in INJECTIONS:
        began = time.monotonic()
        answer = every.get(address(place.format(quote(injection))))
        assert time.monotonic() - began < 4, injection
        assert answer.status_code < 500, f"{place} {injection}: {answer.status_code} {answer.text}"
        if answer.status_code >= 400 and answer.status_code != 404:
            assert_problem(answer, answer.status_code)
        assert "syntax error" not in answer.text and "pg_catalog" not in answer.text, answer.text
    assert postgres.query("every", "select count(*) from every.items") == [(15,)]


HEADERS = ["Accept", "Prefer", "Range", "Range-Unit", "Accept-Profile", "Content-Profile", "If-None-Match", "traceparent", "Accept-Encoding", "X-Request-Id",
           "User-Agent"]


@pytest.mark.parametrize("header", HEADERS)
def test_sql_in_a_header_is_a_text_like_any_other(every, postgres, header):
    for injection in INJECTIONS:
        if not injection.isascii() or not injection.isprintable():
            continue
        for text in (injection, f"count=exact, timezone={injection}", f"handling=strict, timezone={injection}", f'timezone="{injection}"'):
            answer = every.get(address("measure?select=id,ts"), headers={header: text})
            assert answer.status_code < 500, f"{header}: {text}: {answer.text}"
    assert postgres.query("every", "select count(*) from every.items") == [(15,)]


def test_ten_thousand_filters_are_refused_at_once(every):
    for count in (201, 1000):
        assert_problem(every.get(address("items?" + "&".join(["id=gt.0"] * count))), 400, "invalid-parameter")
    began = time.monotonic()
    answer = every.get(address("items?" + "&".join(["id=gt.0"] * 10000)))
    assert answer.status_code in (400, 414) and time.monotonic() - began < 2 * SLOWNESS
    assert_problem(answer, answer.status_code)


@pytest.fixture(scope="module")
def roomy(postgres, redis, tmp_path_factory):
    """Takes the longest addresses that the configuration allows."""
    one = opened(postgres, redis, tmp_path_factory.mktemp("roomy"), {"server": {"max_uri": "64KB"}, "database": {"scan": {"statement_timeout": "2s"}}})
    yield one
    one.stop()


@pytest.mark.parametrize("query",
                         ["&".join(["id=gt.0"] * 7000), "and=(" + ",".join(["id.gt.0"] * 7000) + ")", "or=(" + "and(" * 999 + "id.eq.1" + ")" * 1000,
                          "and=" + "(" * 1000, "not.and=(" + "not.or(" * 1000 + "id.eq.1" + ")" * 1001, "select=" + ",".join(["id"] * 9000),
                          "select=" + ",".join(f"a{n}:id" for n in range(3000)), "order=" + ",".join(["id"] * 9000), "select=x" + "->a" * 9000,
                          "select=id" + "::text" * 9000, "select=" + '"' * 30000, "id=" + "not." * 10000 + "eq.1", "select=" + "a" * 60000,
                          "a" * 60000 + "=eq.1", "select=id::" + "a" * 60000, "id=eq." + "9" * 60000, "id=in.(" + "," * 60000 + ")", "id=in.(" + '"' * 60000,
                          "and=(" + "id.in.(" * 5000, "&" * 60000, "=" * 60000, "%25" * 20000, "select=" + "(" * 60000, "order=" + "." * 60000],
                         ids=lambda query: f"{query[:24]} {len(query)}")
def test_long_and_deep_queries_are_refused_with_the_place_and_quickly(roomy, query):
    began = time.monotonic()
    answer = roomy.get(address("items?" + query))
    assert time.monotonic() - began < 2 * SLOWNESS
    if query == "&" * 60000:
        assert answer.status_code == 200
    else:
        assert_problem(answer, answer.status_code)
        assert answer.status_code in (400, 404, 414), answer.text
        assert len(answer.content) < 4096


def test_a_long_list_works_and_one_of_a_megabyte_is_too_long_an_address(roomy):
    values = ",".join(str(n) for n in range(1, 12000))
    assert len(roomy.json(address(f"items?id=in.({values})"))) == 15
    words = ",".join(f'"word {n}"' for n in range(3000))
    assert roomy.json(address(f"words?t=in.({words.replace(' ', '+')})")) == []
    assert roomy.get(address(f"items?id=in.({','.join(['1234567'] * 131072)})")).status_code == 414
    assert_problem(roomy.get(address(f"items?id=in.({','.join(['1234567'] * 20000)})")), 414, "uri-too-long")


EXPLOSIONS = ["(a*)*(a*)*(a*)*(a*)*c", "((a{1,100}){1,100}){1,100}c", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a|aa)+$c",
              "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)[xyz]$", "((((((((a{1,50}){1,50}){1,50}){1,50}){1,50}))))", "(?:a?){250}a{250}", "(a{0,255}b{0,255}){0,255}",
              "\\1(a)", "(a)\\1{255}" * 3]


def test_regular_expressions_that_explode_run_into_the_time_limit_and_hold_nobody_up(roomy):
    def explode(pattern):
        session = requests.Session()
        session.trust_env = False
        return roomy.get(address(f"long_words?t=match.{quote(pattern)}&select=id"), session=session, timeout=60)

    with concurrent.futures.ThreadPoolExecutor(len(EXPLOSIONS)) as pool:
        running = [pool.submit(explode, pattern) for pattern in EXPLOSIONS]
        for _ in range(20):
            began = time.monotonic()
            assert len(roomy.json(address("items?id=lt.5"))) == 4
            assert time.monotonic() - began < 1.0 * SLOWNESS
        for pattern, one in zip(EXPLOSIONS, running):
            answer = one.result()
            assert answer.status_code in (200, 400, 504), f"{pattern}: {answer.status_code} {answer.text}"
            if answer.status_code != 200:
                assert_problem(answer, answer.status_code)


def chunked(one, path, accept="application/json"):
    """The raw body, and whether it ended as it should."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\nAuthorization: Bearer {one.token}\r\n\r\n"
    status, headers, body = one.raw(request.encode(), half_close=False)
    whole = body.endswith(b"0\r\n\r\n") if headers.get("transfer-encoding") == "chunked" else len(body) == int(headers.get("content-length", -1))
    return status, headers, body, whole


@pytest.mark.parametrize("url",
                         ["late?select=id,t::int4", "late?select=id,t,x:t::numeric", "faulty", "faulty?order=id", "faulty?select=v.sum()", "faulty_at_once",
                          "faulty?limit=3000", "late?select=t::int4.sum()"])
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
def test_a_cast_or_a_division_that_fails_in_a_late_row_is_a_problem_or_a_stream_that_visibly_fails(every, url, accept):
    status, headers, body, whole = chunked(every, address(url), accept)
    callers = "late" in url
    if status != 200:
        problem = check_problem(headers["content-type"], body, status)
        assert status == (400 if callers else 500)
        assert "zero" not in problem["detail"] and "not a number" not in json.dumps(problem)
        return
    assert headers.get("transfer-encoding") == "chunked"
    if accept == "application/x-ndjson":
        assert b'{"error":' in body.rsplit(b"\n", 3)[-2] or not whole
    else:
        assert not whole


def read_to_the_end(one, path, accept):
    """How many bytes came, and the last of them; the stream may have millions of rows."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\nAuthorization: Bearer {one.token}\r\n\r\n"
    size, tail = 0, b""
    with one.connect(timeout=60) as connection:
        connection.sendall(request.encode())
        try:
            while chunk := connection.recv(1 << 20):
                size += len(chunk)
                tail = (tail + chunk)[-4000:]
        except ConnectionResetError:
            pass
    return size, tail


@pytest.mark.parametrize("row", [50_000, pytest.param(5_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
def test_a_cast_that_fails_far_behind_the_streams_beginning_cuts_it(every, postgres, row, accept):
    postgres.query("every",
                   f"create view every.far as select n as id, case when n = {row} then 'no number' else n::text end as t "
                   f"from generate_series(1, {row + 1000}) as n; grant select on every.far to sluice_reader")
    try:
        size, tail = read_to_the_end(every, address("far?select=id,t::int4"), accept)
        assert size > 10 * row and b"no number" not in tail
        assert (b'{"error":' in tail) == (accept == "application/x-ndjson")
        assert not tail.endswith(b"0\r\n\r\n") or accept == "application/x-ndjson"
    finally:
        postgres.query("every", "drop view every.far")


def test_a_cursor_of_another_dataset_order_filter_customer_or_with_a_flipped_bit_is_refused(every):
    target = every.get(address("many?order=g,id&limit=10")).links["next"]["url"]
    cursor = target.partition("cursor=")[2]
    assert every.get(target).status_code == 200
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flipped = [base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]).decode().rstrip("=") for at in range(len(raw))]
    for wrong in [*flipped, cursor[:-1], cursor + "A", cursor + cursor, "A" * 5000, "x", "....", "%00", "'; drop table items; --"]:
        assert_problem(every.get(address(f"many?order=g,id&limit=10&cursor={quote(wrong) if '%' not in wrong else wrong}")), 400)
    for other in ("many?order=g.desc,id", "many?order=id", "many", "many?order=g,id&id=gt.0", "many?order=g,id&select=id", "items?order=id", "measure"):
        assert_problem(every.get(address(f"{other}{'&' if '?' in other else '?'}limit=10&cursor={cursor}")), 400, "invalid-cursor")
    assert_problem(every.get(target, bearer=token(scope=SCOPE, customer="birch")), 400, "invalid-cursor")
    assert every.get(address(f"many?limit=3&order=g,id&cursor={cursor}")).status_code == 200


@pytest.mark.parametrize("query", ["t=eq.%zz", "t=eq.%2", "t=eq.%", "%zz=eq.1", "t=eq.%u0041"])
def test_a_percent_sign_without_two_digits_is_refused(every, query):
    head = f"GET {address('measure')}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {every.token}\r\n\r\n"
    status, headers, body = every.raw(head.encode(), half_close=False)
    check_problem(headers["content-type"], body, 400)
    assert status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_not_taken(every, method):
    assert every.get(address("items"), method=method).status_code in (404, 405, 501)
    assert len(every.json(address("items"))) == 15


def test_a_question_without_the_scope_is_refused_whatever_it_asks(every):
    for url in ("items", "nothing", "hidden.treasure", "items?nonsense"):
        assert_problem(every.get(address(url), bearer=token(scope="regions:read")), 403, "missing-scope")
