"""Customers' own relations as datasets: read on each one's own login, few connections for all, nobody sees another's."""
import concurrent.futures
import csv
import io
import re
import threading
from pathlib import Path

import pytest

from conftest import start_gateway
from gateway import SLOWNESS, assert_problem, token, write_secret
from office import LOGIN_KEY, opened, password_of
from wait import eventually

WAREHOUSE = """
create schema ware; grant usage on schema ware to sluice_reader;
create table ware.price (day date primary key, price numeric not null);
insert into ware.price select date '2024-01-01' + n, 10 + n from generate_series(0, 99) n;
alter table ware.price owner to sluice_owner; alter schema ware owner to sluice_owner;
grant select on ware.price to sluice_reader;
"""
# As each customer, on his own login. %s is what his rows say.
OWN = """
create table {0}_uploads.sales (id integer primary key, day date not null, amount numeric(10, 2) not null, who text not null);
insert into {0}_uploads.sales select n, date '2024-01-01' + n % 100, n * 1.25, '{0}' from generate_series(1, 300) n;
create view {0}_analytics.revenue as select s.day, sum(s.amount * p.price) as revenue, min(s.who) as who from {0}_uploads.sales s join ware.price p using (day) group by s.day;
create view {0}_analytics.slow as select id, (select count(*) from generate_series(1, 300000) n where n > s.id)::text as t from {0}_uploads.sales s;
create view {0}_analytics.broken as select id, 1 / (id - 5) as x from {0}_uploads.sales;
create view {0}_analytics.me as select current_user::text as role, current_setting('sluice.customer', true) as customer;
"""
# Patient: a machine that is busy with other tests takes long to log in.
CHANGES = {"database": {"connect_timeout": "20s"}, "warehouse": {"schemas": ["ware"]}, "customers": {"connections": 8, "each": 2, "queue": 40, "queue_timeout": "20s", "idle": "1s"}}
GONE = "no dataset of this name"


def bearer(name):
    return token(customer=name, scope="regions:read datasets:read")


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "lane", ("anna", "bert"), WAREHOUSE, {"warehouse": CHANGES["warehouse"]}, OWN) as one:
        yield one


def begin(folder, postgres, redis, office, customers=None):
    own = {**CHANGES["customers"], "login_key_file": write_secret(folder, "login.key", LOGIN_KEY), **(customers or {})}
    return start_gateway(folder, postgres, redis, office.database, {**CHANGES, "customers": own})


@pytest.fixture(scope="module")
def lane(postgres, redis, office, tmp_path_factory):
    one = begin(tmp_path_factory.mktemp("lane"), postgres, redis, office)
    yield one
    one.stop()


@pytest.fixture
def lanes(postgres, redis, office, tmp_path):
    """Gateways of one's own, with other settings of `customers`."""
    started = []

    def start(**customers):
        started.append(begin(tmp_path, postgres, redis, office, customers))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def connections(office, name="%"):
    return office.query("select count(*) from pg_stat_activity where datname = current_database() and usename like %s", (f"sluice_c_{name}",))[0][0]


def active(office, name="%"):
    return office.query("select count(*) from pg_stat_activity where datname = current_database() and usename like %s and state = 'active'", (f"sluice_c_{name}",))[0][0]


def reading(office, name):
    """His queries of the slow view itself, not of what it is."""
    return office.query("select count(*) from pg_stat_activity where datname = current_database() and usename like %s and state = 'active' and query like '%%slow%%' and query not ilike 'explain%%'",
                        (f"sluice_c_{name}",))[0][0]


def words(answer):
    """A problem, without what is of this one request."""
    return {name: value for name, value in answer.json().items() if name not in ("request_id", "instance")}


def test_the_dialect_reads_what_a_customer_made_with_psql(lane):
    anna = bearer("anna")
    rows = lane.json("/v1/datasets/uploads.sales?select=id,amount,who&id=lte.3&order=id.desc", bearer=anna)
    assert rows == [{"id": 3, "amount": 3.75, "who": "anna"}, {"id": 2, "amount": 2.5, "who": "anna"}, {"id": 1, "amount": 1.25, "who": "anna"}]
    assert lane.json("/v1/datasets/uploads.sales?id=eq.7&select=id", bearer=anna) == [{"id": 7}]
    answer = lane.get("/v1/datasets/uploads.sales?limit=10", bearer=anna, headers={"Prefer": "count=exact"})
    assert answer.status_code == 206 and answer.headers["Content-Range"] == "0-9/300"
    assert "target=upload" in answer.headers["Sluice-Plan"].replace('"', "") and "customer" in answer.headers["Sluice-Plan"]
    for method in ("count=planned", "count=estimated"):
        assert lane.get("/v1/datasets/uploads.sales?limit=10", bearer=anna, headers={"Prefer": method}).status_code in (200, 206)
    text = lane.get("/v1/datasets/uploads.sales?select=id,who&id=lt.3&order=id&format=csv", bearer=anna).text
    assert list(csv.reader(io.StringIO(text))) == [["id", "who"], ["1", "anna"], ["2", "anna"]]
    assert len(lane.get("/v1/datasets/uploads.sales?format=ndjson", bearer=anna).text.splitlines()) == 300
    revenue = lane.json("/v1/datasets/analytics.revenue?order=day&limit=1", bearer=anna)
    assert revenue == [{"day": "2024-01-01", "revenue": 10 * (100 + 200 + 300) * 1.25, "who": "anna"}]
    record = lane.record_of(lane.get("/v1/datasets/analytics.revenue?limit=2", bearer=anna))
    assert record["target"] == "analytics" and record["lane"] == "customer"


def test_a_cursor_walks_through_all_rows(lane):
    path, seen = "/v1/datasets/uploads.sales?select=id&order=day,id&limit=70&cursor=", []
    while path:
        answer = lane.get(path, bearer=bearer("anna"))
        assert answer.status_code == 200, answer.text
        seen += [row["id"] for row in answer.json()]
        found = re.search('<([^>]*)>; rel="next"', answer.headers.get("Link", ""))
        path = found and found.group(1)
    assert len(seen) == 300 and sorted(seen) == list(range(1, 301))


def test_it_runs_on_the_customers_own_login_and_a_view_that_asks_who_reads_is_not_there(lane, office):
    for name in ("anna", "bert"):
        with lane.connect(timeout=30) as connection:
            connection.sendall(f"GET /v1/datasets/analytics.slow?order=t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer(name)}\r\n\r\n".encode())
            eventually(lambda: reading(office, name) == 1, within=10, says="the query on his login")
        eventually(lambda: active(office, name) == 0, within=2 * SLOWNESS, says="the query's end")
        assert_problem(lane.get("/v1/datasets/analytics.me", bearer=bearer(name)), 404, "not-found")


def test_what_is_made_appears_within_a_second_and_what_is_dropped_goes(lane, office):
    anna = bearer("anna")
    missing = lane.get("/v1/datasets/uploads.late", bearer=anna)
    assert_problem(missing, 404, "not-found")
    office.as_customer("anna", "create table anna_uploads.late (id integer primary key); insert into anna_uploads.late values (1)")
    eventually(lambda: lane.get("/v1/datasets/uploads.late", bearer=anna).status_code == 200, within=1.2 * SLOWNESS, says="the new table")
    office.as_customer("anna", "alter table anna_uploads.late add column more text default 'x'")
    eventually(lambda: lane.json("/v1/datasets/uploads.late", bearer=anna) == [{"id": 1, "more": "x"}], within=1.2 * SLOWNESS, says="the new column")
    office.as_customer("anna", "drop table anna_uploads.late")
    eventually(lambda: lane.get("/v1/datasets/uploads.late", bearer=anna).status_code == 404, within=1.2 * SLOWNESS, says="the end of the table")
    assert words(lane.get("/v1/datasets/uploads.late", bearer=anna)) == words(missing)


def test_the_list_goes_on_through_the_callers_own(lane):
    for name in ("anna", "bert"):
        every = [one["name"] for one in lane.json("/v1/datasets?limit=100", bearer=bearer(name))["datasets"]]
        assert every == ["price", "uploads.sales", "analytics.broken", "analytics.me", "analytics.revenue", "analytics.slow"]
        paged, path = [], "/v1/datasets?limit=1"
        while path:
            page = lane.json(path, bearer=bearer(name))
            paged += [one["name"] for one in page["datasets"]]
            path = page["next"]
        assert paged == every
    assert [one["name"] for one in lane.json("/v1/datasets", bearer=bearer("nobody"))["datasets"]] == ["price"]


def test_its_schema_and_its_plan_and_its_place_in_the_contract_are_shown(lane):
    anna = bearer("anna")
    schema = lane.json("/v1/datasets/uploads.sales/schema", bearer=anna)
    assert schema["name"] == "uploads.sales" and [column["name"] for column in schema["columns"]] == ["id", "day", "amount", "who"]
    for dataset, target in (("uploads.sales?id=eq.1", "upload"), ("analytics.revenue", "analytics")):
        answer = lane.get("/v1/query/plan", method="POST", json={"url": f"/v1/datasets/{dataset}"}, bearer=anna)
        assert answer.status_code == 200, answer.text
        plan = answer.json()
        assert (plan["target"], plan["lane"], plan["verdict"]) == (target, "customer", "runs") and plan["estimate"]["cost"] > 0
    paths = lane.json("/v1/openapi.json", bearer=anna)["paths"]
    assert "/v1/datasets/uploads.sales" in paths and "/v1/datasets/analytics.revenue" in paths
    assert "bert" not in str(paths)


def test_a_name_is_each_callers_own(lane):
    def read(turn):
        name = ("anna", "bert")[turn % 2]
        rows = lane.json("/v1/datasets/uploads.sales?select=who&limit=5", bearer=bearer(name))
        return rows == [{"who": name}] * 5

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))


@pytest.mark.parametrize("name", ["bert_uploads.sales", "anna_uploads.sales", "uploads.bert_uploads.sales", "uploads.~load_1", "uploads.", "jobs.x", "shared.x", "analytics.sales", "uploads.revenue",
                                  "UPLOADS.sales", "uploads.Sales", "ware.uploads.sales", "sluice.customer", "pg_catalog.pg_class"])
def test_what_is_not_the_callers_is_not_there(lane, office, name):
    if name == "uploads.~load_1":
        office.as_customer("anna", 'create table if not exists anna_uploads."~load_1" (id integer)')
    missing = words(lane.get("/v1/datasets/uploads.nothing", bearer=bearer("anna")))
    answer = lane.get(f"/v1/datasets/{name}", bearer=bearer("anna"))
    assert_problem(answer, 404, "not-found")
    assert words(answer) == missing and GONE in missing["detail"]
    assert words(lane.get(f"/v1/datasets/{name}/schema", bearer=bearer("anna"))) == missing


@pytest.mark.parametrize("customer", ["nobody", "pg_x", "pg", "warehouse", "ann_", "anna_uploads"])
def test_who_is_no_customer_has_nothing(lane, customer):
    answer = lane.get("/v1/datasets/uploads.sales", bearer=bearer(customer))
    assert_problem(answer, 404, "not-found")
    assert words(answer) == words(lane.get("/v1/datasets/uploads.nothing", bearer=bearer("anna")))


def test_a_profile_may_name_the_place(lane):
    rows = lane.json("/v1/datasets/sales?select=who&limit=1", bearer=bearer("bert"), headers={"Accept-Profile": "uploads"})
    assert rows == [{"who": "bert"}]


def test_a_customers_own_mistake_is_a_400(lane):
    problem = assert_problem(lane.get("/v1/datasets/analytics.broken?order=x", bearer=bearer("anna")), 400)
    assert "22012" in problem["detail"] and "analytics.broken" in problem["detail"]
    assert lane.json("/v1/datasets/analytics.broken?id=gt.299", bearer=bearer("anna"))[0]["id"] == 300


def test_without_a_login_key_nobody_has_data_of_his_own(postgres, redis, office, tmp_path):
    one = start_gateway(tmp_path, postgres, redis, office.database, {"warehouse": CHANGES["warehouse"]})
    try:
        assert_problem(one.get("/v1/datasets/uploads.sales", bearer=bearer("anna")), 404, "not-found")
        assert [row["name"] for row in one.json("/v1/datasets", bearer=bearer("anna"))["datasets"]] == ["price"]
    finally:
        one.stop()


def make_many(office, count):
    """Customers with one table each, faster than the command makes them."""
    names = [f"many{number}" for number in range(count)]
    for name in names:
        office.query(f"create role sluice_c_{name} login inherit password '{password_of(name)}' in role sluice_customer; grant connect on database \"{office.database}\" to sluice_c_{name};"
                     f"create schema {name}_uploads authorization sluice_c_{name}; create table {name}_uploads.mine as select '{name}' as who; alter table {name}_uploads.mine owner to sluice_c_{name}")
    return names


def open_peers(port):
    """Of a port of ours the other ends of connections that both ends hold open. One that the other end has closed is not among them, though its backend lives until it is given the processor."""
    rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{port:04X} " in line]
    return {int(other.rpartition(":")[2], 16) for own, other, state in rows if own.endswith(f":{port:04X}") and state == "01"}


def test_two_hundred_customers_share_few_connections(lane, office):
    names = make_many(office, 200)
    most, stop = [0], threading.Event()
    watched = office.postgres.connect(office.database)

    def watch():
        with watched.cursor() as cursor:
            while not stop.wait(0.005):
                cursor.execute("select client_port from pg_stat_activity where datname = current_database() and usename like 'sluice_c_%'")
                logged_in = {port for (port,) in cursor.fetchall()}
                most[0] = max(most[0], len(logged_in & open_peers(office.postgres.port)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            for _ in range(2):
                answers = list(pool.map(lambda name: lane.get("/v1/datasets/uploads.mine", bearer=bearer(name)), names))
                assert [answer.status_code for answer in answers] == [200] * len(names)
                assert [answer.json() for answer in answers] == [[{"who": name}] for name in names]
    finally:
        stop.set()
        watcher.join()
        watched.close()
    assert 0 < most[0] <= 8, most[0]
    assert lane.metrics()['sluice_lane_connections_open{lane="customer"}'] <= 8
    eventually(lambda: connections(office) == 0, within=10 * SLOWNESS, says="the end of idle connections")
    for name in names:
        office.query(f"drop schema {name}_uploads cascade; drop owned by sluice_c_{name}; drop role sluice_c_{name}")


def test_who_leaves_ends_his_query(lane, office):
    for path in ("analytics.slow?format=ndjson", "analytics.slow?order=t"):
        connection = lane.connect(timeout=30)
        connection.sendall(f"GET /v1/datasets/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer('anna')}\r\n\r\n".encode())
        eventually(lambda: reading(office, "anna") == 1, within=10, says="the query's start")
        connection.close()
        eventually(lambda: active(office, "anna") == 0, within=2 * SLOWNESS, every=0.005, says="the query's end")
    assert lane.json("/v1/datasets/uploads.sales?id=eq.1&select=id", bearer=bearer("anna")) == [{"id": 1}]


def test_a_full_queue_is_one_customers_own(lanes, office):
    one = lanes(each=1, queue=1)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        slow = [pool.submit(one.get, f"/v1/datasets/analytics.slow?id=lt.30&order=t&limit={n + 40}", bearer=bearer("anna")) for n in range(12)]
        eventually(lambda: reading(office, "anna") >= 1, within=20, says="the first slow query")
        assert one.json("/v1/datasets/uploads.sales?select=who&limit=1", bearer=bearer("bert")) == [{"who": "bert"}]
        answers = [future.result() for future in slow]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and all("Retry-After" in answer.headers for answer in refused)
    assert [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 503}


def test_a_login_that_fails_is_told_to_the_operator_by_the_roles_name(lanes, office):
    office.ok("add", "carl")
    office.as_customer("carl", "create table carl_uploads.t as select 1 as id")
    one = lanes()
    office.query("alter role sluice_c_carl password 'another'")
    assert_problem(one.get("/v1/datasets/uploads.t", bearer=bearer("carl")), 503)
    eventually(lambda: "sluice_c_carl" in one.errors(), says="the event")
    assert password_of("carl") not in one.errors()
    assert one.json("/v1/datasets/uploads.sales?select=who&limit=1", bearer=bearer("anna")) == [{"who": "anna"}]
    office.query(f"alter role sluice_c_carl password '{password_of('carl')}'")
    eventually(lambda: one.get("/v1/datasets/uploads.t", bearer=bearer("carl")).status_code == 200, within=20, says="the right password again")
    office.erase("carl")


def test_a_role_that_goes_under_way_ends_its_reads_and_nobody_elses(lanes, office):
    office.ok("add", "dora")
    office.as_customer("dora", "create table dora_uploads.t as select n as id from generate_series(1, 300) n; create view dora_analytics.slow as select id, (select count(*) from generate_series(1, 600000) n where n > s.id)::text as t from dora_uploads.t s")
    one = lanes()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answer = pool.submit(one.get, "/v1/datasets/analytics.slow?order=t", bearer=bearer("dora"))
        eventually(lambda: reading(office, "dora") == 1, within=10, says="the query's start")
        office.ok("remove", "dora", "--yes")
        assert answer.result().status_code in (404, 503)
    eventually(lambda: one.get("/v1/datasets/uploads.t", bearer=bearer("dora")).status_code == 404, within=3 * SLOWNESS, says="404 for what is gone")
    assert one.json("/v1/datasets/uploads.sales?select=who&limit=1", bearer=bearer("anna")) == [{"who": "anna"}]
