"""What a hostile or a pedantic reader of /v1/datasets/{dataset} tries: kept answers, cursors, pages, heads and odd names."""
import concurrent.futures
import csv
import io
import json
import random
import socket
import struct

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import SLOWNESS, assert_problem, quote, token
from wait import eventually

ODD = 'od"d/na>m\\e ;ünï'
SQL = f"""
create schema pub; grant usage on schema pub to sluice_reader;
create table pub.item (id integer primary key, name text not null, n integer);
insert into pub.item select n, 'item ' || n, n % 7 from generate_series(1, 500) as n;
create table pub.fat (id integer primary key, body text);
insert into pub.fat select n, repeat(md5(n::text), 3200) from generate_series(1, 45) as n;
create table pub.many (id integer primary key, body text);
insert into pub.many select n, repeat('x', 200) from generate_series(1, 30000) as n;
create table pub.long_key (body text);
insert into pub.long_key select string_agg(md5(n::text || '.' || i::text), '') from generate_series(1, 30) as n, generate_series(1, 300) as i group by n;
create table pub.empty_days (day date primary key, v integer);
create table pub."{ODD.replace('"', '""')}" (id integer primary key, "Ünï ""q"", x" text);
insert into pub."{ODD.replace('"', '""')}" select n, repeat('v', 500) from generate_series(1, 2000) as n;
grant select on all tables in schema pub to sluice_reader;
"""
TIERS = {name: {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], **more}
         for name, more in (("test", {}), ("paged", {"page": 10}), ("poor", {"budget": {"cost": 300}}))}


def reader(**changes):
    return token(scope="datasets:read", **changes)


@pytest.fixture(scope="module")
def store(postgres, redis, tmp_path_factory):
    name = postgres.clone(f"review_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, SQL)
    for table in ("pub.item", "pub.fat"):
        postgres.query(name, "select sluice.track(%s::regclass)", (table,))
    postgres.query(name, "analyze")
    one = start_gateway(tmp_path_factory.mktemp("review"), postgres, redis, name, {"warehouse": {"schemas": ["pub"]}, "limits": {"tiers": TIERS}, "server": {"workers": 1}})
    one.database = name
    one.token = reader()
    yield one
    one.stop()
    postgres.drop(name)


def next_of(answer):
    return answer.links["next"]["url"] if "next" in answer.links else None


def walk(store, path, bearer=None):
    rows = []
    while path is not None:
        answer = store.get(path, bearer=bearer)
        assert answer.status_code == 200, answer.text
        rows += answer.json()
        path = next_of(answer)
    return rows


def test_the_link_of_a_kept_answer_leads_on_whoever_asked_first(store):
    for customer in ("acme", "birch"):
        assert len(walk(store, "/v1/datasets/item?limit=300", bearer=reader(customer=customer))) == 500, customer


def test_a_tiers_page_that_is_kept_leads_every_customer_on(store):
    for customer in ("acme", "birch"):
        rows = walk(store, "/v1/datasets/item?n=eq.3&select=id", bearer=reader(customer=customer, tier="paged"))
        assert [row["id"] for row in rows] == list(range(3, 501, 7))


def test_a_kept_page_of_a_range_is_not_served_to_whoever_names_another_unit(store):
    path = "/v1/datasets/item?select=id&order=id"
    first = store.get(path, headers={"Range": "0-4", "Range-Unit": "items"})
    assert len(first.json()) == 5
    other = store.get(path, headers={"Range": "0-4", "Range-Unit": "bytes"})
    assert len(other.json()) == 500
    again = store.get(path, headers={"Range": "0-4", "Range-Unit": "bytes", "If-None-Match": first.headers["ETag"]})
    assert again.status_code == 200


def test_no_row_is_wanted_of_any_range(store):
    answer = store.get("/v1/datasets/item?limit=0", headers={"Range": "0-4"})
    assert (answer.status_code, answer.json(), answer.headers["Content-Range"]) == (200, [], "*/*")


def test_a_walk_may_begin_without_a_limit_and_ends_its_pages_where_they_are_large(store):
    rows = walk(store, "/v1/datasets/many?cursor=")
    assert [row["id"] for row in rows] == list(range(1, 30001))


def test_a_page_that_no_cursor_can_follow_is_refused_not_cut(store):
    answer = store.get("/v1/datasets/long_key?order=body", bearer=reader(tier="paged"))
    if answer.status_code == 200 and next_of(answer) is not None:
        assert len(walk(store, "/v1/datasets/long_key?order=body", bearer=reader(tier="paged"))) == 30
    else:
        assert_problem(answer, 400)


@pytest.mark.parametrize("query", ["", "limit=5", "id=eq.7", "id=lt.0", "offset=3", "limit=0"])
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/vnd.pgrst.object+json"])
def test_a_head_says_what_the_get_says(store, query, accept):
    headers = {"Accept": accept, "Prefer": "count=exact"}
    path = f"/v1/datasets/item?{query}"
    head, get = store.get(path, method="HEAD", headers=headers), store.get(path, headers=headers)
    assert head.status_code == get.status_code
    for name in ("Content-Type", "Content-Range", "Content-Location", "ETag", "Preference-Applied"):
        assert head.headers.get(name) == get.headers.get(name), name
    assert head.headers.get("Content-Length") in (None, get.headers.get("Content-Length"))


def test_a_time_zone_that_nobody_knows_is_the_callers_mistake_when_he_is_strict(store):
    assert_problem(store.get("/v1/datasets/item?limit=1", headers={"Prefer": "handling=strict, timezone=Nowhere/Land"}), 400)
    lenient = store.get("/v1/datasets/item?limit=1", headers={"Prefer": "timezone=Nowhere/Land"})
    assert lenient.status_code == 200 and "Preference-Applied" not in lenient.headers


def test_the_newest_row_of_an_empty_relation_is_null(store):
    assert store.json("/v1/datasets/empty_days/schema")["freshness"]["latest"] is None


@pytest.mark.parametrize("raw", [quote(ODD), quote(ODD).replace("%22", '"').replace("%3E", ">").replace("%5C", "\\")])
def test_a_name_full_of_quotes_breaks_neither_headers_nor_lines(store, raw):
    def ask(path, **headers):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return store.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {store.token}\r\n{lines}\r\n".encode(), half_close=False)

    status, headers, body = ask(f"/v1/datasets/{raw}?limit=3&order=id")
    assert status == 200, body
    assert headers["link"] == f"</v1/datasets/{quote(ODD)}?limit=3&order=id&cursor={headers['link'].partition('cursor=')[2]}"
    assert headers["content-location"] == f"/v1/datasets/{quote(ODD)}?limit=3&order=id"
    status, headers, body = ask(f"/v1/datasets/{raw}?limit=1500", Accept="application/x-ndjson")
    lines = dechunked(headers, body).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 1501 and rows[-1]["next"].startswith(f"/v1/datasets/{quote(ODD)}?")


def dechunked(headers, body):
    if headers.get("transfer-encoding") != "chunked":
        return body
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[:int(size, 16)], body[int(size, 16) + 2:]
    return whole


def test_a_value_ends_at_no_nul(store):
    assert_problem(store.get("/v1/datasets/item?name=eq.item 7%00x"), 400)
    assert_problem(store.get("/v1/datasets/item?name=in.(%22item 7%00x%22)"), 400)
    assert_problem(store.get("/v1/datasets/item?select=a%00b:id"), 400)


def test_the_document_describes_a_dataset_of_any_name(store):
    document = store.json("/v1/openapi.json")
    path = document["paths"][f"/v1/datasets/{quote(ODD)}"]["get"]
    reference = path["responses"]["200"]["content"]["application/json"]["schema"]["items"]["$ref"]
    assert set(document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]) == {"id", 'Ünï "q", x'}


WILD_SQL = """
create table pub.purchase (id integer primary key, customer text, v integer);
insert into pub.purchase select n, case when n % 2 = 0 then 'acme' else 'birch' end, n from generate_series(1, 40) as n;
create view pub.mine as select id, customer, v from pub.purchase where customer = current_setting('sluice.customer', true);
create view pub.halfway as select id, 1000 / (400 - id) as v, repeat('y', 30000) as pad from pub.item;
create view pub.slow as select id, pg_sleep(0.02)::text as s from pub.item;
create table pub.stamp (id integer primary key, at timestamptz);
insert into pub.stamp values (1, '2025-01-01 00:00+00');
create table pub.giant (id integer primary key, body text);
insert into pub.giant values (1, repeat('z', 6000000)), (2, 'small');
grant select on all tables in schema pub to sluice_reader;
"""


@pytest.fixture(scope="module")
def wild(store, postgres):
    postgres.query(store.database, WILD_SQL)
    postgres.query(store.database, "select sluice.track('pub.purchase'::regclass), sluice.track('pub.stamp'::regclass)")
    return store


def test_rows_of_one_customer_are_never_kept_for_another(wild):
    tags = set()
    for _ in range(3):
        for customer, parity in (("acme", 0), ("birch", 1), ("nobody", None)):
            answer = wild.get("/v1/datasets/mine", bearer=reader(customer=customer))
            assert [row["id"] % 2 for row in answer.json()] == ([parity] * 20 if parity is not None else [])
            tags.add((customer, answer.headers.get("ETag")))
    assert len({tag for _, tag in tags}) == 3 or {tag for _, tag in tags} == {None}, tags


@pytest.mark.parametrize("query", ["limit=9223372036854775807", "limit=99999999999999999999999", "offset=9223372036854775807", "offset=99999999999999999999999",
                                   "limit=9223372036854775807&offset=9223372036854775807", "offset=-5", "limit=18446744073709551615", "cursor=&limit=9223372036854775807"])
@pytest.mark.parametrize("given", [{}, {"Range": "0-9223372036854775807"}, {"Range": "9223372036854775807-"}, {"Range": "0-18446744073709551616"}, {"Range": "5-"}])
def test_numbers_too_large_for_any_table_are_answered(wild, query, given):
    for path in ("item", "many"):
        answer = wild.get(f"/v1/datasets/{path}?select=id&id=lt.100&{query}", headers=given)
        assert answer.status_code in (200, 416), answer.text
        assert wild.get(f"/v1/datasets/{path}?select=id&id=lt.100&{query}", headers={**given, "Prefer": "count=exact"}).status_code in (200, 206, 416)


INJECTIONS = ["'; drop table pub.item; --", '"; select 1; --', "$1", "1) or (1=1", "\\'); --", "id\" from pub.many; --", "/*", "a'||(select version())||'"]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("form", ["name=eq.{}", "{}=eq.1", "select={}", "select={}:id", 'select="{}":id', "select=id::{}", "select=name->>{}", "order={}", "order=id.{}",
                                  "or=(name.eq.{},id.eq.1)", "name=fts({}).x", "name=in.({})", "name=like(any).{{{}}}", "cursor={}", "id={}.1", "id=is.{}", "limit={}",
                                  "select=count:{}.count()"])
def test_sql_in_a_query_is_a_value_a_name_or_a_mistake(wild, form, text):
    for filled in (form.format(quote(text)), form.format(quote('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'))):
        answer = wild.get(f"/v1/datasets/item?{filled}")
        assert answer.status_code in (200, 400, 404), f"{filled}: {answer.status_code} {answer.text}"
        if answer.status_code == 200:
            assert len(answer.json()) in (0, 1, 500)


def test_a_zone_of_one_request_is_not_the_next_ones(wild):
    for query in ("id=eq.1", "id=lt.5"):
        for zone, hour in (("Asia/Tokyo", "T09:00:00+09:00"), (None, "T00:00:00+00:00"), ("America/Lima", "T19:00:00-05:00"), (None, "T00:00:00+00:00")):
            rows = wild.json(f"/v1/datasets/stamp?{query}", headers={"Prefer": f"timezone={zone}"} if zone else {})
            assert rows[0]["at"].endswith(hour)


def test_a_view_that_fails_half_way_fails_for_all_to_see(wild):
    bearer = wild.token
    status, headers, body = wild.raw(f"GET /v1/datasets/halfway HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: application/x-ndjson\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode(), half_close=False)
    if status == 200:  # else the failure was known before anything was sent
        assert not body.endswith(b"0\r\n\r\n") and b'{"error":{' in body
    assert status in (200, 500) and b"division" not in body
    assert_problem(wild.get("/v1/datasets/halfway?id=eq.400"), 500)
    assert_problem(wild.get("/v1/datasets/halfway?select=id,v"), 500)  # small: it comes in one piece, and nothing of it before its failure is known


def test_names_that_callers_give_come_back_as_json_and_csv(wild):
    for alias in ('a"b', "a\\b", "tab\there", "ünï€", "a,b", "x" * 63, "</script>", "a\nb"):
        asked = quote('"' + alias.replace("\\", "\\\\").replace('"', '\\"') + '"')
        assert wild.json(f"/v1/datasets/item?select={asked}:id&id=eq.1") == [{alias: 1}]
        csv_text = wild.get(f"/v1/datasets/item?select={asked}:id&id=eq.1", headers={"Accept": "text/csv"}).content.decode()
        assert list(csv.reader(io.StringIO(csv_text))) == [[alias], ["1"]]


def test_a_cursor_leads_nowhere_but_where_it_was_made_for(wild):
    path = "/v1/datasets/item?select=id&order=n.desc&limit=5"
    url = next_of(wild.get(path))
    cursor = url.partition("cursor=")[2]
    assert wild.get(url).status_code == 200
    flipped = cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:]
    for wrong in (url.replace("/item", "/purchase"), url.replace("n.desc", "n.asc"), url.replace(cursor, flipped), url.replace(cursor, cursor[:-1]), url + "A", url + "&id=gt.3"):
        assert wild.get(wrong).status_code == 400, wrong
    assert wild.get(url, bearer=reader(customer="birch")).status_code == 400
    assert wild.get(url, headers={"Prefer": "timezone=Asia/Tokyo"}).status_code == 400


def leave(wild, path, after, headers="", method="GET", body=b""):
    with wild.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wild.token}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode().replace(b"Content-Length: 0\r\n", b"") + body)
        if after is not None:
            connection.settimeout(after)
            try:
                connection.recv(100)
            except (TimeoutError, ConnectionError):
                pass


def test_clients_that_leave_at_any_wait_leave_nothing_behind(wild, postgres):
    random.seed(4)
    plan = json.dumps({"url": "/v1/datasets/slow?id=gt.3"}).encode()
    asks = [("/v1/datasets/slow", "", "GET", b""), ("/v1/datasets/slow?limit=5", "Prefer: count=exact\r\n", "GET", b""), ("/v1/datasets/slow?id=gt.3", "Prefer: count=estimated\r\n", "GET", b""),
            ("/v1/datasets/many", "Accept-Encoding: gzip\r\n", "GET", b""), ("/v1/openapi.json", "", "GET", b""), ("/v1/datasets", "", "GET", b""), ("/v1/datasets/empty_days/schema", "", "GET", b""),
            ("/v1/datasets/slow?limit=5", "Prefer: timezone=Nowhere/X, count=planned\r\n", "GET", b""), ("/v1/query/plan", "Content-Type: application/json\r\n", "POST", plan),
            ("/v1/datasets/many?cursor=", "", "GET", b""), ("/v1/datasets/fat?limit=60", "", "GET", b"")]

    def one(n):
        path, headers, method, body = asks[n % len(asks)]
        leave(wild, path, random.choice([None, 0.001, 0.005, 0.02, 0.08]), headers, method, body)

    for round_ in range(3):
        postgres.query(wild.database, f"comment on table pub.empty_days is 'round {round_}'")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(one, range(110)))
    running = "select query from pg_stat_activity where datname = %s and state = 'active' and query like '%%sluice_t%%'"
    eventually(lambda: not postgres.query("postgres", running, (wild.database,)), within=10, says="no query goes on")
    # Connections whose queries were cancelled may be replaced, while a call waits for one at most five seconds.
    eventually(lambda: wild.get("/v1/datasets/item?limit=1").status_code == 200, within=10, says="the next reader's rows")


def test_a_relation_that_changes_between_two_questions_is_read_as_it_is(wild, postgres):
    for n in range(8):
        postgres.query(wild.database, f"drop table if exists pub.turning; create table pub.turning (id integer primary key, v {'text' if n % 2 else 'integer'}); "
                                      f"insert into pub.turning values (1, '{n}'), (2, '{n}'); grant select on pub.turning to sluice_reader")
        for query in ("id=eq.1", "order=id"):
            assert eventually(lambda q=query: wild.get(f"/v1/datasets/turning?{q}").status_code == 200, within=2 * SLOWNESS, says="it is seen")
    postgres.query(wild.database, "drop table pub.turning")
    eventually(lambda: wild.get("/v1/datasets/turning?id=eq.1").status_code == 404, within=2 * SLOWNESS, says="it is gone")


def test_a_narrow_filter_is_judged_by_its_own_values_not_by_a_wide_ones(store):
    poor = reader(tier="poor")
    for _ in range(2):
        assert store.get("/v1/datasets/many?select=id&id=gt.29990&body=neq.y", bearer=poor).status_code == 200
        assert_problem(store.get("/v1/datasets/many?select=id&id=gt.5&body=neq.y", bearer=poor), 422, "over-budget")


@pytest.mark.parametrize("kind", ["pg_node_tree", "record", "unknown", "trigger", "gtsvector", "regclass", "_regrole", "aclitem"])
def test_a_cast_that_makes_no_sense_is_the_callers_mistake(store, kind):
    for query in (f"select=name::{kind}", f'select=name::"{kind}"', f"select=name::{kind},count()"):
        assert store.get(f"/v1/datasets/item?{query}").status_code in (400, 404), query


def test_many_wide_relations_do_not_keep_the_document_from_being_made(wild, postgres):
    columns = ", ".join(f"measured_quantity_number_{n} numeric" for n in range(200))
    postgres.query(wild.database, "".join(f"create table pub.wide_{n} ({columns}); " for n in range(120)) + "grant select on all tables in schema pub to sluice_reader")
    document = wild.json("/v1/openapi.json", timeout=120)
    described = [path for path in document["paths"] if path.startswith("/v1/datasets/wide_")]
    assert len(described) > 50
    for path in described:
        reference = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]["$ref"]
        assert len(document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]) == 200


@pytest.mark.parametrize("query", ["limit=45", "", "select=body&limit=44"])
def test_large_rows_come_whole_or_in_pages_but_never_as_a_fault(store, query):
    rows = walk(store, f"/v1/datasets/fat?{query}")
    assert len(rows) in (44, 45)
    assert all(len(row["body"]) == 3200 * 32 for row in rows)


@pytest.mark.parametrize("form", ["application/json", "application/x-ndjson", "text/csv"])
def test_a_row_larger_than_any_buffer_is_no_fault(wild, form):
    answer = wild.get("/v1/datasets/giant?id=eq.1", headers={"Accept": form})
    assert answer.status_code == 200, answer.text
    answer = wild.get("/v1/datasets/giant?id=lt.9&order=id", headers={"Accept": form})
    assert answer.status_code == 200, answer.text


def test_a_count_is_no_way_around_the_budget(store):
    poor = reader(tier="poor")
    assert store.get("/v1/datasets/item?limit=1", bearer=poor).status_code == 200
    assert_problem(store.get("/v1/datasets/many?body=like.*y*", bearer=poor), 422, "over-budget")
    for kind in ("exact", "estimated"):
        assert_problem(store.get("/v1/datasets/many?body=like.*y*&limit=0", bearer=poor, headers={"Prefer": f"count={kind}"}), 422, "over-budget")
