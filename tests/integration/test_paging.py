"""Pages that never lie: a walk by cursor gives each row once whatever the order and whoever writes meanwhile; cursors are nobody else's; caps, heads, ranges,
validators, kept answers, budgets and plans say what is true."""
import base64
import collections
import contextlib
import csv
import io
import itertools
import json
import random
import re
import threading
import time

import pytest
import requests

import contract
from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import RELEASE_BINARY, SLOWNESS, assert_problem, quote, token
from wait import eventually

SMALL, QUICK, LARGE = 600, 20_000, 1_000_000
SINGULAR = "application/vnd.pgrst.object+json"
TIERS = {name: {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], **more} for name, more in (
    ("test", {}), ("paged", {"page": 10}), ("lone", {"page": 1}), ("cheap", {"budget": {"cost": 300}}),
    ("few", {"budget": {"rows": 100}}), ("light", {"budget": {"bytes": "10KB"}}))}

# Rows with ties and nulls in every column; `n` numbers them, and what is numbered below 0 comes and goes while others read.
ROW = """{n} as id, case when {n} % 7 <> 0 then ({n} % 13)::integer end as grp, case when {n} % 5 <> 0 then 'n' || {n} % 101 end as name,
    case {n} % 50 when 0 then 'NaN'::float8 when 1 then '-Infinity' when 2 then null when 3 then '-0' when 4 then 0 else ({n} % 9) / 3.0::float8 end as f,
    case when {n} % 3 <> 0 then timestamptz '2025-01-01 00:00:00.000001+00' + ({n} % 40) * interval '1 hour' end as at,
    case {n} % 4 when 0 then null when 1 then '{{}}' else jsonb_build_object('a', {n} % 17, 'b', jsonb_build_array('x' || {n} % 6)) end as extra,
    case when {n} % 11 <> 0 then {n} % 2 = 0 end as mark, case when {n} % 6 <> 0 then ({n} % 8)::numeric / 4 end as amount"""


def relations(name, count):
    """A table with a key, one without, and a view of rows that nothing tells apart: each row of it is there twice, but for every third."""
    return f"""
create table walk.{name}_keyed as select {ROW.format(n='n')} from generate_series(1::bigint, {count}) as n order by md5(n::text);
alter table walk.{name}_keyed add primary key (id);
create index on walk.{name}_keyed (grp, id);
create table walk.{name}_keyless as select * from walk.{name}_keyed order by md5('x' || id);
create function walk.twice(r walk.{name}_keyed) returns integer language sql immutable as $$ select r.grp * 2 $$;
create function walk.twice(r walk.{name}_keyless) returns integer language sql immutable as $$ select r.grp * 2 $$;
create view walk.{name}_blurred as select t.*, grp * 2 as twice from walk.{name}_keyless as t union all select t.*, grp * 2 from walk.{name}_keyless as t where id % 3 <> 0;
"""


SQL = f"""
create schema walk; grant usage on schema walk to sluice_reader;
{relations('small', SMALL)} {relations('quick', QUICK)}
create table walk.item (id integer primary key, day date not null, name text not null, n integer);
insert into walk.item select n, date '2025-01-01' + n % 300, 'item ' || n, n % 7 from generate_series(1, 3000) as n;
create table walk.other (like walk.item including all);
insert into walk.other select * from walk.item;
create table walk.owned (id integer primary key, customer text not null);
insert into walk.owned select n, case when n % 2 = 0 then 'acme' else 'birch' end from generate_series(1, 60) as n;
create view walk.mine as select id, customer from walk.owned where customer = current_setting('sluice.customer', true);
create function walk.explode(id integer) returns integer language plpgsql stable as $$ begin raise exception 'it was run'; end $$;
create view walk.mined as select id, day, walk.explode(id) as n from walk.item;
create table walk.secret (id integer primary key);
grant select on all tables in schema walk to sluice_reader;
revoke all on walk.secret from sluice_reader;
"""
RELATIONS = ("keyed", "keyless", "blurred")
ORDERS = ["", "id", "id.desc", "grp", "grp.desc", "grp.nullsfirst", "grp.desc.nullslast,name", "name.desc,grp.asc.nullsfirst", "f", "f.desc", "f.nullsfirst,amount.desc",
          "extra->a.desc.nullslast", "extra->b->>0,at.desc", "at.desc.nullslast,mark", "mark.desc,amount.asc.nullsfirst,name.desc.nullslast", "twice.desc", "twice.nullsfirst,id.desc"]
# The same in SQL: what decides the order, and how.
SQL_OF = {"extra->a": "extra -> 'a'", "extra->b->>0": "extra -> 'b' ->> 0", "twice": "grp * 2"}
FORMATS = ("json", "csv", "ndjson")


def reader(**changes):
    return token(**{"scope": "datasets:read", **changes})


def started(folder, postgres, redis, name, **options):
    one = start_gateway(folder, postgres, redis, name, {"warehouse": {"schemas": ["walk"]}, "limits": {"tiers": TIERS}, "server": {"workers": 1}}, **options)
    one.database, one.token = name, reader()
    return one


@pytest.fixture(scope="module")
def store(postgres, redis, tmp_path_factory):
    name = postgres.clone(f"paging_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, SQL)
    postgres.query(name, "select sluice.track('walk.item'::regclass), sluice.track('walk.owned'::regclass)")
    postgres.query(name, "analyze")
    one = started(tmp_path_factory.mktemp("paging"), postgres, redis, name)
    yield one
    one.stop()
    postgres.drop(name)


def next_of(answer):
    return answer.links["next"]["url"] if "next" in answer.links else None


def ids_in(answer, form):
    if form == "json":
        return [row["id"] for row in answer.json()]
    if form == "csv":
        return [int(row["id"]) for row in csv.DictReader(io.StringIO(answer.content.decode()))]
    return [json.loads(line)["id"] for line in answer.text.splitlines()]


def with_limit(path, limit):
    return re.sub(r"limit=\d+", f"limit={limit}", path)


def pages(one, dataset, query, limits, form="json", **options):
    """The ids of each page from the first to the last, by following the links; the limits come in turn."""
    path, sizes = f"/v1/datasets/{dataset}?{query}&limit=1&format={form}&cursor=", itertools.cycle(limits)
    with requests.Session() as session:
        session.trust_env = False
        while path is not None:
            limit = next(sizes)
            answer = one.get(with_limit(path, limit), session=session, timeout=120, **options)
            assert answer.status_code == 200, f"{path}: {answer.text[:500]}"
            found = ids_in(answer, form)
            path = next_of(answer)
            assert len(found) == limit if path else len(found) <= limit
            yield found


def order_of(text):
    """The dialect's order as SQL, but for what makes it total."""
    words = []
    for item in text.split(",") if text else []:
        field, *suffixes = item.split(".")
        words.append(" ".join([SQL_OF.get(field, field), *("nulls first" if one == "nullsfirst" else "nulls last" if one == "nullslast" else one for one in suffixes)]))
    return ", ".join(words)


def encoded(order):
    return f"order={quote(order)}" if order else "select=id,grp"


# A walk gives each row once, in its order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("relation", RELATIONS)
def test_a_walk_gives_each_row_once_and_in_its_order(postgres, store, relation, order):
    form = FORMATS[(ORDERS.index(order) + RELATIONS.index(relation)) % 3]
    found = list(itertools.chain(*pages(store, f"small_{relation}", encoded(order), [97, 1, 13, 200], form)))
    said = order_of(order)
    rank = f"dense_rank() over (order by {said})" if said else "1"
    expected = postgres.query(store.database, f"select id, {rank} from walk.small_{relation}")
    assert collections.Counter(found) == collections.Counter(row for row, _ in expected)
    ranks = dict(expected)
    assert [ranks[row] for row in found] == sorted(ranks[row] for row in found)


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_walk_backwards_is_a_walk_forwards_reversed(store, relation):
    forwards = list(itertools.chain(*pages(store, f"small_{relation}", "order=at.asc.nullsfirst,id.asc", [50])))
    backwards = list(itertools.chain(*pages(store, f"small_{relation}", "order=at.desc.nullslast,id.desc", [70])))
    assert backwards == forwards[::-1]


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_walk_keeps_its_filters(store, relation):
    query = "or=(grp.eq.3,name.is.null)&f=isdistinct.NaN&order=name.desc"
    whole = store.json(f"/v1/datasets/small_{relation}?{query}")
    walked = list(itertools.chain(*pages(store, f"small_{relation}", query, [9])))
    assert len(walked) > 50 and collections.Counter(walked) == collections.Counter(row["id"] for row in whole)


def test_a_walk_over_groups_gives_each_group_once(store):
    query = "select=grp,mark,count()&order=count.desc"
    whole = store.json(f"/v1/datasets/small_keyed?{query}")
    path, walked = f"/v1/datasets/small_keyed?{query}&limit=5&cursor=", []
    while path is not None:
        answer = store.get(path)
        walked += answer.json()
        path = next_of(answer)
    key = lambda row: json.dumps(row, sort_keys=True)
    assert len(walked) > 20 and sorted(walked, key=key) == sorted(whole, key=key)
    assert [row["count"] for row in walked] == sorted((row["count"] for row in whole), reverse=True)


# … whoever writes meanwhile


class Writer(threading.Thread):
    """Puts rows with negative numbers everywhere into the order and takes them away again, and takes away every tenth of the first rows too (those that end in 7)."""

    def __init__(self, postgres, database, table, count, batch=40):
        super().__init__(daemon=True)
        self.connection = postgres.connect(database)
        self.table, self.count, self.batch = table, count, batch
        self.stopping, self.rounds, self.problem = threading.Event(), 0, None
        self.random = random.Random(4)

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                while not self.stopping.is_set():
                    self.write(cursor)
        except Exception as problem:  # shown by the test that waits for it
            self.problem = problem

    def write(self, cursor):
        first = self.rounds * self.batch
        cursor.execute(f"""insert into {self.table} select -1 - {first} - row_number() over () as id, grp, name, f, at, extra, mark, amount
            from (select {ROW.format(n='n')} from (select (random() * {self.count})::bigint as n from generate_series(1, {self.batch})) as r) as t""")
        cursor.execute(f"delete from {self.table} where id = any(%s)", ([-1 - number for number in range(max(0, first - 3 * self.batch), first, 2)],))
        doomed = [self.random.randrange(self.count // 10) * 10 + 7 for _ in range(self.batch // 4)]
        cursor.execute(f"delete from {self.table} where id = any(%s)", (doomed,))
        self.rounds += 1

    @contextlib.contextmanager
    def at_work(self):
        self.start()
        try:
            eventually(lambda: self.rounds > 2 or self.problem, within=60, says="the first writes")
            yield self
        finally:
            self.stopping.set()
            self.join(60)
            self.connection.close()
        assert self.problem is None, self.problem


def check_survivors(found, count, times):
    """`times` of an id says how often it stands in the relation."""
    seen = collections.Counter(found)
    survivors = [number for number in range(1, count + 1) if number % 10 != 7]
    wrong = [(number, seen[number]) for number in survivors if seen[number] != times(number)]
    assert not wrong, f"{len(wrong)} of {len(survivors)} rows that stayed: {wrong[:10]} (id, times)"
    repeated = [(number, often) for number, often in seen.items() if number > 0 and number % 10 == 7 and often > times(number) or number < 0 and often > 2]
    assert not repeated, f"rows that came or went stood there too often: {repeated[:10]}"


def walk_under_writes(postgres, one, name, relation, count, query, limits, form):
    """One walk with a writer beside it; the seconds and pages that it took."""
    base = f"walk.{name}_{'keyed' if relation == 'keyed' else 'keyless'}"
    times = (lambda number: 2 if number % 3 else 1) if relation == "blurred" else lambda number: 1
    began = time.monotonic()
    with Writer(postgres, one.database, base, count).at_work() as writer:
        came = []
        for page in pages(one, f"{name}_{relation}", query, limits, form):
            came.append(page)
            eventually(lambda seen=writer.rounds: writer.rounds > seen or writer.problem, within=60, says="a write behind each page")
    found = list(itertools.chain(*came))
    if relation != "blurred":
        assert max(collections.Counter(found).values()) == 1
    check_survivors(found, count, times)
    return time.monotonic() - began, len(came), writer.rounds


UNDER_WRITES = [("keyed", "order=grp", "json"), ("keyed", "order=f.desc,name.asc.nullsfirst", "ndjson"), ("keyed", "order=extra-%3Ea.desc.nullslast,twice", "csv"),
                ("keyless", "order=name.desc.nullslast,grp", "csv"), ("keyless", "select=id", "ndjson"), ("blurred", "order=grp.desc,at.nullsfirst", "json")]


@pytest.fixture
def fresh_rows(postgres, store):
    """What a writer took away is there again, and what it left is not."""
    def refresh(name, count):
        database = store.database
        for kind, order in (("keyed", "n"), ("keyless", "n + 1")):
            postgres.query(database, f"truncate walk.{name}_{kind}")
            postgres.query(database, f"insert into walk.{name}_{kind} select {ROW.format(n='n')} from generate_series(1::bigint, {count}) as n order by md5(({order})::text)")
            postgres.query(database, f"analyze walk.{name}_{kind}")
    return refresh


@pytest.mark.parametrize("relation,query,form", UNDER_WRITES)
def test_a_walk_over_20000_rows_gives_each_surviving_row_once_while_others_write(postgres, store, fresh_rows, relation, query, form):
    fresh_rows("quick", QUICK)
    walk_under_writes(postgres, store, "quick", relation, QUICK, query, [1900, 700, 3000], form)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("relation,query,form", [("keyed", "order=grp", "json"), ("keyed", "order=name.desc.nullslast,f.asc.nullsfirst", "csv"),
                                                 ("keyless", "order=extra-%3Ea.nullsfirst,mark.desc", "ndjson"), ("blurred", "order=at.desc,grp.nullsfirst", "json")])
def test_a_walk_over_a_million_rows_gives_each_surviving_row_once_while_others_write(postgres, redis, database, tmp_path, relation, query, form):
    postgres.query(database, "create schema walk; grant usage on schema walk to sluice_reader;" + relations("large", LARGE) + "grant select on all tables in schema walk to sluice_reader")
    postgres.query(database, "analyze")
    one = started(tmp_path, postgres, redis, database, **({"binary": RELEASE_BINARY} if RELEASE_BINARY else {}))
    try:
        took, count, rounds = walk_under_writes(postgres, one, "large", relation, LARGE, f"select=id&{query}", [30_000, 20_000], form)
        print(f"{relation} {query} {form}: {count} pages in {took:.1f} s, {rounds} rounds of writes")
    finally:
        one.stop()


# Cursors are made for one question, and nobody else's


WALK = "/v1/datasets/item?order=n.desc,name&limit=10&cursor="


def cursor_of(one, path, **options):
    return next_of(one.get(path, **options)).partition("cursor=")[2]


@pytest.mark.parametrize("path,changes", [
    ("/v1/datasets/other?order=n.desc,name&limit=10", {}), ("/v1/datasets/item?order=n.desc&limit=10", {}), ("/v1/datasets/item?order=n.asc,name&limit=10", {}),
    ("/v1/datasets/item?order=n.desc.nullslast,name&limit=10", {}), ("/v1/datasets/item?order=name,n.desc&limit=10", {}), ("/v1/datasets/item?limit=10", {}),
    ("/v1/datasets/item?order=n.desc,name&limit=10&n=lt.5", {}), ("/v1/datasets/item?order=n.desc,name&limit=10&or=(n.eq.1,n.eq.2)", {}),
    ("/v1/datasets/item?order=n.desc,name&limit=10", {"bearer": reader(customer="birch")}), ("/v1/datasets?limit=10", {}), ("/v1/regions?limit=10", {"bearer": token()})],
    ids=["dataset", "shorter order", "direction", "nulls", "columns' order", "no order", "filter", "tree", "customer", "list", "regions"])
def test_a_cursor_from_elsewhere_is_refused(store, path, changes):
    cursor = cursor_of(store, WALK)
    assert store.get(WALK + cursor).status_code == 200
    problem = assert_problem(store.get(f"{path}&cursor={cursor}", **changes), 400, "invalid-cursor")
    assert cursor not in json.dumps(problem)


def test_every_flipped_bit_of_a_cursor_is_refused(store):
    cursor = cursor_of(store, WALK)
    whole = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert len(whole) > 20
    for place in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        assert_problem(store.get(WALK + base64.urlsafe_b64encode(changed).decode().rstrip("=")), 400, "invalid-cursor")


def test_a_cursor_that_was_cut_lengthened_or_written_otherwise_is_refused(store):
    cursor = cursor_of(store, WALK)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [cursor[:size] for size in range(1, len(cursor))] + [cursor + more for more in ("A", "AA", "AAAA", "=", "%0A")] + [cursor * 2, cursor[::-1], "x", "%7F", "null", "'", "A" * 5000]
    others += [cursor[:-1] + one for one in last if one != cursor[-1]]
    for wrong in others:
        assert_problem(store.get(WALK + wrong), 400, "invalid-cursor")


def test_an_empty_cursor_is_the_beginning_and_the_limit_may_change_from_page_to_page(store):
    whole = [row["id"] for row in store.json("/v1/datasets/item?order=n.desc,name")]
    first = store.get(WALK)
    assert [row["id"] for row in first.json()] == whole[:10]
    second = store.get(with_limit(next_of(first), 25))
    assert [row["id"] for row in second.json()] == whole[10:35]
    third = store.get(with_limit(next_of(second), 1))
    assert [row["id"] for row in third.json()] == whole[35:36]
    assert [row["id"] for row in store.json(next_of(third).replace("limit=1&", "limit=5&"))] == whole[36:41]


def test_a_cursor_may_go_on_in_another_format_and_by_another_subject_of_the_customer(store):
    page = store.get(WALK + "&format=csv")
    answer = store.get(WALK + cursor_of(store, WALK), bearer=reader(sub="somebody-else-of-acme"), headers={"Accept": "application/x-ndjson"})
    assert len(ids_in(page, "csv")) == 10 and not set(ids_in(page, "csv")) & set(ids_in(answer, "ndjson"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("limit,count", [(7, 7), (10, 10), (11, 10), (3, 10)])
def test_every_page_but_the_last_has_a_link(store, limit, count, form):
    """10 rows: a page that ends with the last of them has none."""
    came, links, path = [], [], f"/v1/datasets/item?id=lte.{count}&order=id&limit={limit}&format={form}&cursor="
    while path is not None:
        answer = store.get(path)
        came += ids_in(answer, form)
        path = next_of(answer)
        links.append(path is not None)
    assert came == list(range(1, count + 1))
    assert links == [True] * (-(-count // limit) - 1) + [False]


def test_a_cursor_behind_the_last_row_gives_no_rows_and_no_link(postgres, store):
    postgres.query(store.database, "create table walk.brief (id integer primary key); insert into walk.brief values (1), (2), (3); grant select on walk.brief to sluice_reader")
    eventually(lambda: store.get("/v1/datasets/brief").status_code == 200, within=2 * SLOWNESS)
    path = next_of(store.get("/v1/datasets/brief?order=id&limit=2&cursor="))
    postgres.query(store.database, "delete from walk.brief where id > 1")
    answer = store.get(path)
    assert (answer.status_code, answer.json(), next_of(answer)) == (200, [], None)
    assert "Content-Range" not in answer.headers


def test_a_page_with_a_limit_leads_on_without_asking_for_a_cursor(store):
    first = store.get("/v1/datasets/item?limit=10")
    assert next_of(first) is not None and next_of(store.get("/v1/datasets/item?order=n&limit=10")) is not None
    assert next_of(store.get("/v1/datasets/item?limit=3000")) is None
    assert not {row["id"] for row in first.json()} & {row["id"] for row in store.json(next_of(first))}


# A tier's page


@pytest.mark.parametrize("query", ["", "limit=1000", "limit=11", "order=name", "order=n.desc&limit=500", "select=id,n"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_tiers_page_says_that_there_is_more_and_how_to_get_it(store, query, form):
    poor = reader(tier="paged")
    query = f"id=lte.45&{query}" if query else "id=lte.45"
    path, sizes, came = f"/v1/datasets/item?{query}&format={form}", [], []
    while path is not None:
        answer = store.get(path, bearer=poor)
        assert answer.status_code == 200, answer.text
        came += ids_in(answer, form)
        sizes.append(len(ids_in(answer, form)))
        path = next_of(answer)
    assert sizes == [10, 10, 10, 10, 5] and sorted(came) == list(range(1, 46))


def test_a_tiers_page_is_no_single_row(store):
    poor, headers = reader(tier="paged"), {"Accept": SINGULAR}
    assert_problem(store.get("/v1/datasets/item", bearer=poor, headers=headers), 406, "not-one-row")
    assert_problem(store.get("/v1/datasets/item?id=gt.2998", bearer=poor, headers=headers), 406, "not-one-row")
    assert store.json("/v1/datasets/item?id=eq.7&select=id", bearer=poor, headers=headers) == {"id": 7}
    assert store.json("/v1/datasets/item?order=id&limit=1&select=id", bearer=poor, headers=headers) == {"id": 1}


def test_one_row_is_not_the_only_one_because_the_tiers_page_holds_no_more(store):
    lone, headers = reader(tier="lone"), {"Accept": SINGULAR}
    assert_problem(store.get("/v1/datasets/item?order=id", bearer=lone, headers=headers), 406, "not-one-row")
    assert store.json("/v1/datasets/item?id=eq.7&select=id", bearer=lone, headers=headers) == {"id": 7}


def test_a_tiers_page_is_no_total(store):
    answer = store.get("/v1/datasets/item?order=id", bearer=reader(tier="paged"), headers={"Prefer": "count=exact"})
    assert answer.status_code == 206 and answer.headers["Content-Range"] == "0-9/3000" and next_of(answer) is not None


# Offset, Range, HEAD


@pytest.mark.parametrize("query,headers,status,span,first,count", [
    ("limit=10&offset=20", {}, 200, "20-29/*", 21, 10), ("limit=10&offset=20", {"Prefer": "count=exact"}, 206, "20-29/3000", 21, 10),
    ("offset=2995", {"Prefer": "count=exact"}, 206, "2995-2999/3000", 2996, 5), ("limit=5000", {"Prefer": "count=exact"}, 200, "0-2999/3000", 1, 3000),
    ("offset=3000", {"Prefer": "count=exact"}, 206, "*/3000", None, 0), ("", {"Range": "5-9", "Range-Unit": "items"}, 200, "5-9/*", 6, 5),
    ("offset=7", {"Range": "5-9"}, 200, "7-9/*", 8, 3), ("limit=2", {"Range": "5-9", "Prefer": "count=exact"}, None, None, None, None),
    ("", {"Range": "2990-", "Prefer": "count=exact"}, 206, "2990-2999/3000", 2991, 10)])
def test_offset_and_range_say_where_the_page_stands(store, query, headers, status, span, first, count):
    answer = store.get(f"/v1/datasets/item?order=id&select=id&{query}", headers=headers)
    if status is None:
        assert_problem(answer, 416)
        return
    assert (answer.status_code, answer.headers["Content-Range"]) == (status, span)
    assert [row["id"] for row in answer.json()] == (list(range(first, first + count)) if count else [])


def test_an_offset_past_the_total_is_a_416(store):
    answer = store.get("/v1/datasets/item?offset=3001", headers={"Prefer": "count=exact"})
    assert_problem(answer, 416)
    assert answer.headers["Content-Range"] == "*/3000"


def test_pages_by_offset_lead_on_by_cursor(store):
    answer = store.get("/v1/datasets/item?order=id&select=id&limit=3&offset=6")
    assert "offset" not in next_of(answer)
    assert [row["id"] for row in store.json(next_of(answer))] == [10, 11, 12]


@pytest.mark.parametrize("query,changes", [("order=n&limit=10&cursor=", {}), ("limit=7", {}), ("id=eq.4", {}), ("order=id", {"bearer": reader(tier="paged")}), ("limit=3&offset=5", {})])
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
def test_a_head_has_the_headers_of_the_get_and_no_body(store, query, changes, accept):
    path, headers = f"/v1/datasets/item?{query}", {"Accept": accept}
    get, head = store.get(path, headers=headers, **changes), store.get(path, method="HEAD", headers=headers, **changes)
    assert get.status_code == head.status_code == 200 and get.content and not head.content
    for name in ("Content-Type", "Content-Range", "ETag", "Link", "Vary", "Content-Location", "Cache-Control"):
        assert head.headers.get(name) == get.headers.get(name), name
    assert head.headers.get("Content-Length") in (None, get.headers["Content-Length"])


# Validators and kept answers


def plan_of(answer):
    return dict(part.strip().partition("=")[::2] for part in answer.headers["Sluice-Plan"].split(","))


def touch(postgres, store, number):
    postgres.query(store.database, "update walk.item set name = name || '!' where id = %s", (number,))


def test_an_etag_stands_as_long_as_the_data_and_falls_within_a_second(postgres, store):
    path = "/v1/datasets/item?order=id&limit=5"
    first = store.get(path)
    headers = {"If-None-Match": first.headers["ETag"]}
    again = store.get(path, headers=headers)
    assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == first.headers["ETag"]
    assert store.get(path + "&cursor=", headers=headers).status_code == 200, "another question"
    touch(postgres, store, 1)
    outdated = [time.monotonic()]  # and when those asked that were still told of the old one

    def another():
        asked = time.monotonic()
        answer = store.get(path, headers=headers)
        if answer.status_code != 200:
            outdated.append(asked)
        return answer.status_code == 200 and answer

    changed = eventually(another, within=10, says="another answer")
    assert outdated[-1] - outdated[0] < 1.2 * SLOWNESS
    assert changed.headers["ETag"] != first.headers["ETag"] and changed.json()[0]["name"] == first.json()[0]["name"] + "!"


def test_a_small_answer_is_kept_until_its_data_change(postgres, store):
    path = "/v1/datasets/item?order=id&limit=4&select=id,name,n&n=gte.0"
    touch(postgres, store, 1)
    fresh = store.get(path)
    name = postgres.query(store.database, "select name from walk.item where id = 1")[0][0]
    eventually(lambda: store.json(path)[0]["name"] == name, within=2 * SLOWNESS)
    # This one, not the next: the version that is noticed in between ends what was kept with the one before.
    kept = eventually(lambda: plan_of(answer := store.get(path))["cache"] == "memory" and answer, within=2 * SLOWNESS, says="a kept answer")
    assert plan_of(fresh)["cache"] == "none"
    for header in ("ETag", "Content-Range", "Content-Type", "Link", "Content-Location", "Content-Length"):
        assert header in kept.headers
    touch(postgres, store, 1)
    eventually(lambda: store.json(path)[0]["name"] == name + "!", within=1.2 * SLOWNESS, says="the change")


@pytest.mark.parametrize("change", [{"headers": {"Accept": "text/csv"}}, {"headers": {"Prefer": "count=exact"}}, {"headers": {"Range": "0-1"}}, {"bearer": reader(tier="paged")}])
def test_a_kept_answer_is_no_other_questions(store, change):
    path = "/v1/datasets/item?order=id&select=id&id=lte.30"
    plain = store.get(path)
    other = store.get(path, **change)
    assert plain.status_code == 200 and other.status_code in (200, 206)
    assert (other.headers["Content-Type"], other.headers["Content-Range"], other.content) != (plain.headers["Content-Type"], plain.headers["Content-Range"], plain.content)
    assert store.get(path).content == plain.content and store.get(path, **change).content == other.content


def test_what_asks_who_reads_is_kept_for_nobody(store):
    path = "/v1/datasets/mine?order=id&limit=5&select=id"
    tags = set()
    for customer in ("acme", "birch", "acme", "birch"):
        answer = store.get(path, bearer=reader(customer=customer))
        assert [row["id"] for row in answer.json()] == list(range(2 if customer == "acme" else 1, 11, 2))
        assert plan_of(answer)["cache"] == "none"
        tags.add((customer, answer.headers.get("ETag")))
    acmes = dict(tags).get("acme")
    if acmes:
        assert store.get(path, bearer=reader(customer="birch"), headers={"If-None-Match": acmes}).status_code == 200
    cursor = cursor_of(store, path)
    assert_problem(store.get(f"{path}&cursor={cursor}", bearer=reader(customer="birch")), 400, "invalid-cursor")


@pytest.mark.parametrize("query,lane", [("id=eq.5", "fast"), ("id=gt.5&limit=3", "scan"), ("n=eq.5", "scan"), ("id=in.(5)", "scan")])
def test_every_answer_says_its_plan(store, query, lane):
    told = plan_of(store.get(f"/v1/datasets/item?{query}&order=id", headers={"Prefer": "timezone=Europe/Paris"}))
    assert (told["target"], told["lane"], told["relation"], told["cache"]) == ("warehouse", lane, '"item"', "none")
    assert ("cost" in told) == (lane == "scan") == ("rows" in told)


# Budgets and plans


def ask_plan(one, url, **options):
    return one.get("/v1/query/plan", method="POST", json={"url": url}, **options)


@pytest.mark.parametrize("tier,unit,limit", [("cheap", "cost", "300"), ("few", "rows", "100"), ("light", "bytes", "10240")])
def test_a_read_over_the_budget_is_refused_before_it_runs(store, tier, unit, limit):
    poor, url = reader(tier=tier), "/v1/datasets/mined"
    problem = assert_problem(store.get(url, bearer=poor), 422, "over-budget")
    estimate = ask_plan(store, url, bearer=poor).json()["estimate"][unit]
    assert f"{estimate:.0f}" in problem["detail"] and limit in problem["detail"] and unit in problem["detail"]
    assert "time column" in problem["detail"] and "day=gte." in problem["detail"]
    assert_problem(store.get(url), 500)  # with no budget it runs, and says so in its way


def test_the_refusal_says_what_is_missing_to_narrow_it(store):
    poor = reader(tier="few")
    whole = assert_problem(store.get("/v1/datasets/item?n=gte.0", bearer=poor), 422, "over-budget")["detail"]
    dated = assert_problem(store.get("/v1/datasets/item?day=gte.2025-01-01", bearer=poor), 422, "over-budget")["detail"]
    assert "day=gte.…&day=lt.…" in whole and "key: id" in whole and "limit" in whole
    assert "shorter range of day" in dated and "day=gte." not in dated
    for narrowed in ("day=gte.2025-01-05&day=lt.2025-01-07", "id=eq.5", "limit=50", "id=lt.50"):
        assert store.get(f"/v1/datasets/item?{narrowed}", bearer=poor).status_code == 200, narrowed


def test_the_plan_is_shown_and_not_run(store):
    answer = ask_plan(store, "/v1/datasets/mined?n=eq.3&select=id&order=day.desc&limit=10")
    contract.check_answer("planQuery", answer)
    told = answer.json()
    assert (told["target"], told["lane"], told["relation"], told["verdict"], told["narrow"]) == ("warehouse", "scan", "mined", "runs", None)
    assert all(told["estimate"][unit] > 0 for unit in ("cost", "rows", "bytes")) and set(told["budget"].values()) == {None}
    assert '"mined"' in told["sql"] and "= $1" in told["sql"].replace("OPERATOR(pg_catalog.=)", "=") and told["parameters"]


def test_the_plan_of_what_is_over_the_budget_says_refused(store):
    answer = ask_plan(store, "/v1/datasets/item", bearer=reader(tier="few"))
    contract.check_answer("planQuery", answer)
    told = answer.json()
    assert answer.status_code == 200 and told["verdict"] == "refused" and "day" in told["narrow"]
    assert told["budget"]["rows"] == 100 and told["estimate"]["rows"] == 3000


def test_the_plan_of_a_key_is_fast_and_of_what_is_versioned_kept(store):
    told = ask_plan(store, "/v1/datasets/item?id=eq.3").json()
    assert (told["lane"], told["cache"], len(told["parameters"])) == ("fast", "version", 1)
    assert ask_plan(store, "/v1/datasets/mine?id=eq.3").json()["cache"] == "none"


@pytest.mark.parametrize("url", ["/v1/datasets/secret", "/v1/datasets/none", "/v1/datasets/pg_catalog.pg_class", "/v1/datasets/warehouse.region"])
def test_the_plan_of_what_the_caller_may_not_see_is_a_404(store, url):
    assert_problem(ask_plan(store, url), 404, "not-found")


@pytest.mark.parametrize("url", ["item", "/v1/datasets/", "/v1/datasets", "/v1/regions", "http://elsewhere.test/v1/datasets/item", "/v1/datasets/item/schema", "/v1/datasets/%00",
                                 "/v1/datasets/%zz", "/v1/datasets/%FF", "/v1/datasets/item?none=eq.1", "/v1/datasets/item?id=zz.1", "/v1/datasets/item?limit=5&cursor=abc", "?", ""])
def test_the_plan_of_a_wrong_address_is_a_400(store, url):
    assert_problem(ask_plan(store, url), 400)


@pytest.mark.parametrize("body,kind,status", [(b"url=/v1/datasets/item", "application/x-www-form-urlencoded", 415), (b"{}", "text/plain", 415), (b"{}", "application/json", 400),
                                              (b"{", "application/json", 400), (b"", "application/json", 400), (b'["/v1/datasets/item"]', "application/json", 400),
                                              (b'{"url": 5}', "application/json", 400), (b'{"url": "/v1/datasets/item", "more": 1}', "application/json", 400),
                                              (b'{"url": "/v1/datasets/item\\u0000"}', "application/json", 400), (b"\xff\xfe", "application/json", 400)])
def test_a_plan_asked_for_wrongly_is_a_4xx(store, body, kind, status):
    assert_problem(store.get("/v1/query/plan", method="POST", data=body, headers={"Content-Type": kind}), status)
