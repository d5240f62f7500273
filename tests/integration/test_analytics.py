"""Analyses: SELECTs that customers save as views and tables, refresh, read, join and delete."""
import concurrent.futures

import pytest

from conftest import start_gateway
from gateway import SLOWNESS, assert_problem, token, write_secret
from office import LOGIN_KEY, opened
from wait import eventually

# No autovacuum: an estimate that it brings in the middle of a test changes lists and their ETags.
WAREHOUSE = """
create schema ware; grant usage on schema ware to sluice_reader;
create table ware.price (day date primary key, price numeric not null) with (autovacuum_enabled = off);
insert into ware.price select date '2024-01-01' + n, 10 + n from generate_series(0, 99) n;
create view ware.mine as select day from ware.price where current_setting('sluice.customer', true) = 'anna';
create schema secret; grant usage on schema secret to sluice_reader;
create table secret.plan (id integer primary key); insert into secret.plan values (1);
alter table ware.price owner to sluice_owner; alter schema ware owner to sluice_owner; alter view ware.mine owner to sluice_owner;
alter schema secret owner to sluice_owner; alter table secret.plan owner to sluice_owner;
grant select on ware.price, ware.mine, secret.plan to sluice_reader;
"""
OWN = """
create table {0}_uploads.sales (id integer primary key, day date not null, amount numeric(10, 2) not null, who text not null) with (autovacuum_enabled = off);
insert into {0}_uploads.sales select n, date '2024-01-01' + n % 100, n * 1.25, '{0}' from generate_series(1, 300) n;
"""
SCHEMAS = {"warehouse": {"schemas": ["ware", {"name": "secret", "scope": "secret:read"}]}}
REVENUE = "select s.day, sum(s.amount * p.price) as revenue, min(s.who) as who from uploads.sales s join price p using (day) group by s.day"
ALL = "datasets:read analytics:write"


def bearer(name, scope=ALL, **claims):
    return token(customer=name, scope=scope, **claims)


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "analytics", ("anna", "bert"), WAREHOUSE, SCHEMAS, OWN) as one:
        yield one


def begin(folder, postgres, redis, office, changes=None):
    own = {"connections": 8, "each": 2, "login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}
    uploads = {"spool": str(folder / "spool")}
    (folder / "spool").mkdir(mode=0o700)
    return start_gateway(folder, postgres, redis, office.database, {**SCHEMAS, "customers": own, "uploads": uploads, **(changes or {})})


TIERS = {"test": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": []},
         "small": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], "budget": {"rows": 1000}},
         "paged": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], "page": 10},
         "tight": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], "budget": {"rows": 100}, "job_budget": {"rows": 1000}, "page": 150},
         "few": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": [], "upload": {"relations": 2}}}


@pytest.fixture(scope="module")
def own(postgres, redis, office, tmp_path_factory):
    one = begin(tmp_path_factory.mktemp("own"), postgres, redis, office, {"limits": {"default_tier": "test", "tiers": TIERS}})
    yield one
    one.stop()


def put(own, name, sql, who="anna", bearer_=None, **more):
    return own.get(f"/v1/analytics/{name}", method="PUT", json={"sql": sql, **more}, bearer=bearer_ or bearer(who))


def delete(own, name, who="anna"):
    return own.get(f"/v1/analytics/{name}", method="DELETE", bearer=bearer(who))


def refresh(own, name, who="anna"):
    return own.get(f"/v1/analytics/{name}/refresh", method="POST", bearer=bearer(who))


def rows(own, name, query="", who="anna"):
    return own.json(f"/v1/datasets/analytics.{name}{query}", bearer=bearer(who))


def words(answer):
    return {name: value for name, value in answer.json().items() if name not in ("request_id", "instance")}


def soon(condition, says):
    """Within the second that descriptions and kept answers may be old."""
    eventually(condition, within=1.2 * SLOWNESS, says=says)


@pytest.fixture
def clean(own):
    """Whatever a test has made goes; those that read others first."""
    yield
    for who in ("anna", "bert"):
        for _ in range(5):
            left = own.json("/v1/analytics", bearer=bearer(who))["analytics"]
            for one in left:
                delete(own, one["name"], who)
            if not left:
                break
        assert own.json("/v1/analytics", bearer=bearer(who))["analytics"] == []


@pytest.mark.parametrize("kind", ["view", "table"])
def test_an_analysis_joins_an_upload_with_the_warehouse_and_is_read_at_once(own, clean, kind):
    made = put(own, "revenue", REVENUE, **{"as": kind}, description="Money by day")
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["name"], told["dataset"], told["as"], told["sql"], told["description"]) == ("revenue", "analytics.revenue", kind, REVENUE, "Money by day")
    assert told["reads"] == ["ware.price", "uploads.sales"] or sorted(told["reads"]) == ["uploads.sales", "ware.price"]
    assert told["columns"] == [{"name": "day", "type": "date"}, {"name": "revenue", "type": "numeric"}, {"name": "who", "type": "text"}]
    assert told["rows"] == (100 if kind == "table" else None) and told["version"].isdigit()
    assert rows(own, "revenue", "?order=day&limit=1") == [{"day": "2024-01-01", "revenue": 10 * (100 + 200 + 300) * 1.25, "who": "anna"}]
    assert own.json("/v1/datasets/analytics.revenue/schema", bearer=bearer("anna"))["description"] == "Money by day"
    shown = own.json("/v1/analytics/revenue", bearer=bearer("anna"))
    assert {**shown, "version": told["version"], "refreshed_at": told["refreshed_at"]} == told
    assert [one["name"] for one in own.json("/v1/analytics", bearer=bearer("anna"))["analytics"]] == ["revenue"]
    assert_problem(own.get("/v1/analytics/revenue", bearer=bearer("bert")), 404, "not-found")
    again = put(own, "revenue", REVENUE, **{"as": kind})
    assert again.status_code == 200 and int(again.json()["version"]) > int(told["version"])
    gone = delete(own, "revenue")
    assert gone.status_code == 204, gone.text
    assert_problem(delete(own, "revenue"), 404, "not-found")
    assert_problem(own.get("/v1/analytics/revenue", bearer=bearer("anna")), 404, "not-found")


def test_a_view_and_a_table_take_each_others_place(own, clean):
    for kind in ("view", "table", "view"):
        answer = put(own, "one", f"select '{kind}' as made", **{"as": kind})
        assert answer.status_code in (200, 201), answer.text
        soon(lambda kind=kind: rows(own, "one") == [{"made": kind}], "the new one")


def test_a_table_stands_until_it_is_refreshed(own, clean, office):
    assert put(own, "total", "select sum(amount) as total from uploads.sales", **{"as": "table"}).status_code == 201
    before = rows(own, "total")
    office.as_customer("anna", "update anna_uploads.sales set amount = amount + 1 where id = 1")
    assert rows(own, "total") == before
    answer = refresh(own, "total")
    assert answer.status_code == 200, answer.text
    soon(lambda: rows(own, "total")[0]["total"] == before[0]["total"] + 1, "the new rows")
    office.as_customer("anna", "update anna_uploads.sales set amount = amount - 1 where id = 1")
    assert_problem(refresh(own, "nothing"), 404, "not-found")
    assert put(own, "now", "select 1 as one").status_code == 201
    assert_problem(refresh(own, "now"), 409, "conflict")


def test_what_reads_an_analysis_goes_on_when_it_is_made_again(own, clean, office):
    assert put(own, "base", "select day, amount from uploads.sales", **{"as": "table"}).status_code == 201
    assert put(own, "upper", "select day, sum(amount) as amount from analytics.base group by day").status_code == 201
    assert put(own, "top", "select max(amount) as amount from analytics.upper", description="the most").status_code == 201
    before = rows(own, "top")
    assert refresh(own, "base").status_code == 200
    assert rows(own, "top") == before
    answer = put(own, "base", "select day, amount * 2 as amount, id from uploads.sales")
    assert answer.status_code == 200, answer.text
    soon(lambda: rows(own, "top")[0]["amount"] == before[0]["amount"] * 2, "the new rows")
    assert office.as_customer("anna", "select obj_description('anna_analytics.top'::regclass)") == [("the most",)]
    problem = assert_problem(put(own, "base", "select id, amount from uploads.sales"), 409, "conflict")
    assert "analytics.upper" in problem["detail"]
    assert rows(own, "top")[0]["amount"] == before[0]["amount"] * 2
    problem = assert_problem(delete(own, "base"), 409, "conflict")
    assert "analytics.upper" in problem["detail"]
    assert own.json("/v1/analytics/base", bearer=bearer("anna"))["columns"][-1]["name"] == "id"


def test_what_was_made_with_sql_on_the_customers_login_is_there_too(own, clean, office):
    office.as_customer("anna", "create view anna_analytics.mine as select 1 as id")
    shown = own.json("/v1/analytics/mine", bearer=bearer("anna"))
    assert shown["sql"] is None and shown["as"] == "view" and shown["columns"] == [{"name": "id", "type": "integer"}]
    assert put(own, "mine", "select 2 as id").status_code == 200
    soon(lambda: rows(own, "mine") == [{"id": 2}], "the new one")
    office.as_customer("anna", "create materialized view anna_analytics.kept as select 1 as id")
    assert_problem(put(own, "kept", "select 1 as id"), 409, "conflict")
    assert delete(own, "kept").status_code == 204


@pytest.mark.parametrize("name", ["bert_uploads.sales", "bert_analytics.x", "anna_uploads.sales", "uploads.nothing", "analytics.nothing", "nothing", "ware.nothing", "nowhere.nothing", "sluice.customer",
                                  "pg_catalog.pg_class", "pg_class", "information_schema.tables", "secret.plan", "mine", 'uploads."~load_1"', "shared.bert.x", "jobs.x"])
def test_what_the_caller_may_not_read_is_as_what_is_not_there(own, clean, name, office):
    told = assert_problem(put(own, "bad", f"select 1 from {name}"), 422, "invalid-sql")
    asked = assert_problem(own.get("/v1/query", method="POST", json={"sql": f"select 1 from {name}"}, bearer=bearer("anna")), 422, "invalid-sql")
    assert told["detail"] == asked["detail"]
    if name.count(".") < 2:
        missing = assert_problem(put(own, "bad", "select 1 from uploads.absent"), 422)
        assert {**told, "detail": "", "message": "", "errors": "", "request_id": ""}.keys() == {**missing, "detail": ""}.keys()
        assert told["detail"].replace(name.replace('"', ""), "X") == missing["detail"].replace("uploads.absent", "X")
    assert_problem(own.get("/v1/analytics/bad", bearer=bearer("anna")), 404)
    assert office.as_customer("anna", "select count(*) from sluice.analysis") == [(0,)]


def test_what_a_scope_guards_is_not_read_in_sql(own, clean):
    """A login cannot tell who has the scope: customers have no rights there, and the words are those of what is not there."""
    with_scope = put(own, "plan", "select id from secret.plan", bearer_=bearer("anna", ALL + " secret:read"))
    assert words(with_scope)["detail"] == words(put(own, "plan", "select id from secret.plan"))["detail"] and with_scope.status_code == 422


@pytest.mark.parametrize("sql", ["delete from uploads.sales", "with x as (delete from uploads.sales returning *) select * from x", "select 1; select 2", "select pg_sleep(10)", "select set_config('a.b', 'c', false)",
                                 "select * into uploads.copy from uploads.sales", "select * from uploads.sales for update", "select pg_read_file('/etc/passwd')", "selec 1", "", "select :x", "select $1"])
def test_sql_that_is_more_than_a_select_changes_nothing(own, clean, sql):
    answer = put(own, "bad", sql)
    assert answer.status_code in (400, 422), answer.text
    assert_problem(own.get("/v1/analytics/bad", bearer=bearer("anna")), 404)


def test_mistakes_in_the_sql_are_told_in_its_words(own, clean):
    problem = assert_problem(put(own, "bad", "select nothing from uploads.sales"), 422, "invalid-sql")
    assert "nothing" in problem["detail"] and problem["code"] == "42703"
    problem = assert_problem(put(own, "bad", "select 1 / (id - 1) as x from uploads.sales", **{"as": "table"}), 422, "invalid-sql")
    assert "22012" in problem["detail"]
    assert put(own, "fine", "select 1 / (id - 1) as x from uploads.sales").status_code == 201


def test_a_plan_over_the_budget_is_not_made(own, clean):
    sql = "select a.id from uploads.sales a, uploads.sales b"
    problem = assert_problem(put(own, "big", sql, bearer_=bearer("anna", tier="small"), **{"as": "table"}), 422, "over-budget")
    assert "1000" in problem["detail"]
    assert_problem(own.get("/v1/analytics/big", bearer=bearer("anna")), 404)


def test_a_view_that_could_not_be_read_is_not_made(own, clean):
    sql = "select " + ",".join(f"id c{n}" for n in range(600)) + " from uploads.sales " + "x" * 60  # the database writes that name before each column
    assert len(sql) < 8192
    before = own.get("/v1/datasets/analytics.wide", bearer=bearer("anna")).status_code
    answer = put(own, "wide", sql)
    assert before == 404 and "24576" in assert_problem(answer, 422, "invalid-sql")["detail"]
    assert_problem(own.get("/v1/analytics/wide", bearer=bearer("anna")), 404)
    assert put(own, "wide", "select id from uploads.sales").status_code == 201
    assert_problem(put(own, "wide", sql), 422, "invalid-sql")
    assert list(rows(own, "wide", "?limit=1")[0]) == ["id"]  # as it was
    assert put(own, "wide", sql, **{"as": "table"}).status_code == 200
    assert len(rows(own, "wide", "?limit=1")[0]) == 600


def test_a_version_is_told_after_a_change_and_not_in_lists(own, clean):
    for kind in ("view", "table"):
        assert put(own, "told", "select 1 as id", **{"as": kind}).json()["version"].isdigit()
        assert "version" not in own.json("/v1/analytics/told", bearer=bearer("anna"))
        assert all("version" not in one for one in own.json("/v1/analytics", bearer=bearer("anna"))["analytics"])


def test_a_quota_of_relations_holds(own, clean):
    few = bearer("anna", tier="few")
    assert put(own, "one", "select 1 as id", bearer_=few).status_code == 201  # beside uploads.sales
    assert_problem(put(own, "two", "select 1 as id", bearer_=few), 403, "quota-exceeded")
    assert put(own, "one", "select 2 as id", bearer_=few).status_code == 200
    assert put(own, "two", "select 1 as id").status_code == 201


def test_names_are_each_customers_own(own, clean):
    for who in ("anna", "bert"):
        assert put(own, "who", "select min(who) as who from uploads.sales", who=who, **{"as": "table"}).status_code == 201
    for who in ("anna", "bert"):
        assert rows(own, "who", who=who) == [{"who": who}]
    assert delete(own, "who", "bert").status_code == 204
    assert rows(own, "who") == [{"who": "anna"}]
    soon(lambda: own.get("/v1/datasets/analytics.who", bearer=bearer("bert")).status_code == 404, "its end")


def test_who_is_not_registered_has_no_analyses(own):
    stranger = bearer("carl")
    assert_problem(put(own, "x", "select 1 as id", who="carl"), 403, "unregistered-customer")
    for path, method in (("/v1/analytics", "GET"), ("/v1/analytics/x", "GET"), ("/v1/analytics/x", "DELETE"), ("/v1/analytics/x/refresh", "POST")):
        assert_problem(own.get(path, method=method, bearer=stranger), 403, "unregistered-customer")
    assert_problem(own.get("/v1/analytics", bearer=token(customer="anna", scope="datasets:read")), 403, "missing-scope")


def test_the_list_goes_in_pages(own, clean):
    for name in ("c", "a", "b"):
        assert put(own, name, "select 1 as id").status_code == 201
    seen, path = [], "/v1/analytics?limit=1"
    while path:
        page = own.json(path, bearer=bearer("anna"))
        seen += [one["name"] for one in page["analytics"]]
        path = page["next"]
    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["A", "1a", "a-b", "~a", "a" * 64, "a%20b", "a%22"])
def test_a_name_that_sql_would_quote_is_refused(own, name):
    assert_problem(put(own, name, "select 1"), 400, "invalid-parameter")


def share(own, name, reader, method="PUT", who="anna"):
    return own.get(f"/v1/analytics/{name}/shares/{reader}", method=method, bearer=bearer(who))


def test_a_share_is_read_by_its_reader_alone_and_revoked_at_once(own, clean, office):
    path, bert = "/v1/datasets/shared.anna.given", bearer("bert")
    missing = words(own.get("/v1/datasets/shared.anna.nothing", bearer=bert))
    assert missing["type"].endswith("not-found")
    assert put(own, "given", "select id, amount, who from uploads.sales", description="For you").status_code == 201
    assert put(own, "kept", "select id from uploads.sales").status_code == 201
    assert words(own.get(path, bearer=bert)) == missing
    assert share(own, "given", "bert").status_code == 204 and share(own, "given", "bert").status_code == 204
    assert own.json(path + "?id=lte.2&order=id", bearer=bert) == [{"id": 1, "amount": 1.25, "who": "anna"}, {"id": 2, "amount": 2.5, "who": "anna"}]
    counted = own.get(path + "?limit=2", bearer=bert, headers={"Prefer": "count=exact"})
    assert counted.status_code == 206 and counted.headers["Content-Range"] == "0-1/300"
    schema = own.json(path + "/schema", bearer=bert)
    assert schema["name"] == "shared.anna.given" and schema["description"] == "For you"
    assert own.get("/v1/query/plan", method="POST", json={"url": path}, bearer=bert).json()["relation"] == "shared.anna.given"
    assert [one["reader"] for one in own.json("/v1/analytics/given/shares", bearer=bearer("anna"))["shares"]] == ["bert"]
    for other in ("kept", "nothing", "~given", "sales"):
        assert words(own.get(f"/v1/datasets/shared.anna.{other}", bearer=bert)) == missing
    assert words(own.get("/v1/datasets/shared.bert.given", bearer=bert)) == missing
    for stranger in ("anna", "carl"):
        assert words(own.get(path, bearer=bearer(stranger))) == missing
    assert_problem(query_of(own, "select 1 from shared.anna.given", "bert"), 422, "invalid-sql")
    for suffix in ("", "?id=lte.2&order=id", "/schema"):
        assert own.get(path + suffix, bearer=bert).status_code == 200
    assert share(own, "given", "bert", "DELETE").status_code == 204
    for suffix in ("", "?id=lte.2&order=id", "/schema"):
        assert words(own.get(path + suffix, bearer=bert)) == missing
    assert_problem(share(own, "given", "bert", "DELETE"), 404, "not-found")


def query_of(own, sql, who):
    return own.get("/v1/query", method="POST", json={"sql": sql}, bearer=bearer(who))


def test_a_share_ends_with_its_analysis(own, clean):
    bert = bearer("bert")
    assert put(own, "given", "select 1 as id", **{"as": "table"}).status_code == 201
    assert share(own, "given", "bert").status_code == 204
    assert own.json("/v1/datasets/shared.anna.given", bearer=bert) == [{"id": 1}]
    assert refresh(own, "given").status_code == 200
    assert own.json("/v1/datasets/shared.anna.given", bearer=bert) == [{"id": 1}]
    assert delete(own, "given").status_code == 204
    assert put(own, "given", "select 2 as id").status_code == 201
    assert_problem(own.get("/v1/datasets/shared.anna.given", bearer=bert), 404, "not-found")


def test_a_share_needs_an_analysis_and_another_customer(own, clean):
    assert_problem(share(own, "nothing", "bert"), 404, "not-found")
    assert_problem(own.get("/v1/analytics/nothing/shares", bearer=bearer("anna")), 404, "not-found")
    assert put(own, "given", "select 1 as id").status_code == 201
    assert own.json("/v1/analytics/given/shares", bearer=bearer("anna")) == {"shares": []}
    assert_problem(share(own, "given", "anna"), 409, "conflict")
    assert share(own, "given", "nobody").status_code == 204  # as for one that exists
    assert_problem(own.get("/v1/analytics/given/shares", bearer=bearer("bert")), 404, "not-found")
    assert_problem(share(own, "given", "anna", who="bert"), 404, "not-found")


def test_two_changes_of_one_name_follow_each_other(own, clean):
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: put(own, "same", f"select {n} as id", **{"as": ("view", "table")[n % 2]}), range(12)))
    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) <= {200, 201, 409, 503} and codes.count(201) == 1, [answer.text for answer in answers]
    told = own.json("/v1/analytics/same", bearer=bearer("anna"))
    soon(lambda: rows(own, "same") == [{"id": int(told["sql"].split()[1])}], "the last one")


@pytest.mark.parametrize("kind", ["view", "table", "upload"])
def test_two_that_are_replaced_at_the_same_time_do_not_hinder_each_other(own, clean, kind):
    def one(name, turn):
        if kind == "upload":
            return own.get(f"/v1/uploads/{name}", method="PUT", bearer=bearer("anna", ALL + " uploads:write"), data=b"n\n%d\n" % turn, headers={"Content-Type": "text/csv"})
        return put(own, name, f"select {turn} as n", **{"as": kind})

    replace = lambda name: [one(name, turn) for turn in range(25)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [answer for of_one in pool.map(replace, ("left", "middle", "right")) for answer in of_one]
    for name in ("left", "middle", "right") if kind == "upload" else ():
        assert own.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("anna", ALL + " uploads:write")).status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers if answer.status_code > 201][0]


LONG = "select count(*) as n from uploads.sales a, uploads.sales b, uploads.sales c, uploads.sales d"
ACTIVE = "select count(*) from pg_stat_activity where usename = 'sluice_c_anna' and state = 'active' and query like 'create table%%'"


def test_who_leaves_ends_what_is_being_made(own, clean, office):
    body = f'{{"sql": "{LONG}", "as": "table"}}'
    connection = own.connect(timeout=30)
    connection.sendall(f"PUT /v1/analytics/long HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {bearer('anna')}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    eventually(lambda: office.query(ACTIVE)[0][0] == 1, within=10, says="the statement's start")
    connection.close()
    eventually(lambda: office.query(ACTIVE)[0][0] == 0, within=8, every=0.01, says="the statement's end")
    assert_problem(own.get("/v1/analytics/long", bearer=bearer("anna")), 404, "not-found")


def test_a_session_that_is_killed_leaves_the_old_one(own, clean, office):
    assert put(own, "long", "select 7 as n", **{"as": "table"}).status_code == 201
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(put, own, "long", LONG, **{"as": "table"})
        eventually(lambda: office.query(ACTIVE)[0][0] == 1, within=10, says="the statement's start")
        office.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sluice_c_anna' and query like 'create table%%'")
        assert_problem(answer.result(), 503, "unavailable")
    assert rows(own, "long") == [{"n": 7}]


def test_nothing_is_left_of_what_was_made_on_the_way(own, office):
    assert office.query("select relname from pg_class where relname like '~%%'") == []
