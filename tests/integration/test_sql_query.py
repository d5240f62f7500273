"""POST /v1/query and POST /v1/query/plan with SQL: checked, priced, carried out on the customer's own login."""
import csv
import io

import pytest

from gateway import assert_problem
from test_analytics import bearer, office, own  # noqa: F401  (fixtures)
from wait import eventually


def query(own, sql, parameters=None, who="anna", tier=None, path="/v1/query", headers=None, **more):
    claims = {"tier": tier} if tier else {}
    body = {"sql": sql, **({} if parameters is None else {"parameters": parameters}), **more}
    return own.get(path, method="POST", json=body, bearer=bearer(who, **claims), headers=headers)


def ok(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_select_joins_what_is_the_callers_with_the_warehouse(own):
    sql = "select s.who, sum(p.price) as price from uploads.sales s join ware.price p using (day) where s.id <= 2 group by s.who"
    for who in ("anna", "bert"):
        assert ok(query(own, sql, who=who)) == [{"who": who, "price": 23}]


def test_values_are_bound_by_name_or_number(own):
    sql = "select id, amount from uploads.sales where id > :low and id <= :high and day >= :day order by id"
    assert ok(query(own, sql, {"low": 1, "high": 3, "day": "2024-01-01"})) == [{"id": 2, "amount": 2.5}, {"id": 3, "amount": 3.75}]
    assert ok(query(own, "select id from uploads.sales where id = $1 and who = $2", [7, "anna"])) == [{"id": 7}]
    assert ok(query(own, "select :b::boolean as b, :n::text as n, :f::float8 as f, :t::text as t", {"b": True, "n": None, "f": 0.1, "t": "a'b"})) == [{"b": True, "n": None, "f": 0.1, "t": "a'b"}]
    assert ok(query(own, "select 1 as one", {})) == [{"one": 1}]
    assert ok(query(own, "select count(*) as n from uploads.sales where id = any(:ids::integer[])", {"ids": "{1,2,3}"})) == [{"n": 3}]


@pytest.mark.parametrize("sql, parameters", [("select :a::int", {}), ("select :a::int", {"a": 1, "b": 2}), ("select :a::int", [1]), ("select $1::int", {"a": 1}), ("select $1::int", []),
                                             ("select :a::int", {"a": [1]}), ("select :a::int", {"a": {"b": 1}}), ("select 1", [1]), ("select 1", {"a": 1}), ("select :a::int", None)])
def test_values_that_do_not_match_the_parameters_are_refused(own, sql, parameters):
    assert_problem(query(own, sql, parameters), 400, "invalid-body")


def test_formats_are_those_of_datasets(own):
    sql = "select id, who from uploads.sales where id < 3 order by id"
    text = query(own, sql, path="/v1/query?format=csv").text
    assert list(csv.reader(io.StringIO(text))) == [["id", "who"], ["1", "anna"], ["2", "anna"]]
    assert query(own, sql, headers={"Accept": "application/x-ndjson"}).text.splitlines() == ['{"id":1,"who":"anna"}', '{"id":2,"who":"anna"}']
    assert ok(query(own, "select id from uploads.sales where false")) == []


def test_limit_and_offset_page_and_the_tiers_page_says_that_it_cuts(own):
    sql = "select id from uploads.sales order by id"
    assert ok(query(own, sql, limit=2, offset=3)) == [{"id": 4}, {"id": 5}]
    assert len(ok(query(own, sql))) == 300
    cut = query(own, sql, tier="paged")
    assert cut.status_code == 206 and cut.headers["Content-Range"] == "0-9/*" and [row["id"] for row in cut.json()] == list(range(1, 11))
    cut = query(own, sql, tier="paged", offset=285)
    assert cut.status_code == 206 and cut.headers["Content-Range"] == "285-294/*"
    assert [row["id"] for row in ok(query(own, sql, tier="paged", offset=295))] == list(range(296, 301))
    assert len(ok(query(own, sql, tier="paged", limit=5))) == 5
    assert ok(query(own, "select 1 as a, 2 as b union all select 3, 4 order by 1 limit 1", limit=5)) == [{"a": 1, "b": 2}]


def test_a_large_result_streams(own):
    answer = query(own, "select a.id, a.who from uploads.sales a, uploads.sales b", path="/v1/query?format=ndjson")
    assert answer.status_code == 200 and len(answer.text.splitlines()) == 90000


def test_a_plan_over_the_budget_is_refused_and_shown(own):
    sql = "select a.id from uploads.sales a, uploads.sales b"
    assert "1000" in assert_problem(query(own, sql, tier="small", headers={"Prefer": "handling=strict"}), 422, "over-budget")["detail"]
    assert ok(query(own, sql, tier="tight", path="/v1/query/plan", limit=2000))["verdict"] == "job"
    assert ok(query(own, "select id from uploads.sales", tier="tight", path="/v1/query/plan"))["verdict"] == "job"
    plan = ok(query(own, sql, tier="small", path="/v1/query/plan"))
    assert (plan["target"], plan["lane"], plan["verdict"]) == ("analytics", "customer", "job") and plan["narrow"] and plan["estimate"]["rows"] > 1000
    plan = ok(query(own, "select id from uploads.sales where id = :id", {"id": 1}, path="/v1/query/plan"))
    assert plan["verdict"] == "runs" and plan["parameters"] == ["inferred"] and "$1" in plan["sql"]


@pytest.mark.parametrize("body", [{}, {"url": "/v1/datasets/price", "sql": "select 1"}, {"url": "/v1/datasets/price", "limit": 1}, {"parameters": []}])
def test_a_plan_is_of_one_thing(own, body):
    assert_problem(own.get("/v1/query/plan", method="POST", json=body, bearer=bearer("anna")), 400, "invalid-body")


def test_a_plan_of_an_address_is_as_before(own):
    answer = own.get("/v1/query/plan", method="POST", json={"url": "/v1/datasets/price?limit=1"}, bearer=bearer("anna"))
    assert answer.status_code == 200 and answer.json()["relation"] == "price"


def test_mistakes_are_the_callers(own):
    assert assert_problem(query(own, "select nothing from uploads.sales"), 422, "invalid-sql")["code"] == "42703"
    assert "22012" in assert_problem(query(own, "select 1 / (id - 5) as x from uploads.sales"), 422, "invalid-sql")["detail"]
    assert "22P02" in assert_problem(query(own, "select id from uploads.sales where id = :id", {"id": "x"}), 422, "invalid-sql")["detail"]
    assert_problem(query(own, "selec 1"), 422, "invalid-sql")
    assert_problem(query(own, "select 1; select 2"), 422, "invalid-sql")


def test_sql_needs_a_registered_customer(own):
    assert_problem(query(own, "select 1 as one", who="carl"), 403, "unregistered-customer")
    assert_problem(query(own, "select 1 as one", who="carl", path="/v1/query/plan"), 403, "unregistered-customer")


def test_it_runs_as_the_customer_and_nothing_is_written(own, office):
    before = office.query("select count(*) from pg_class")[0][0]
    for sql in ("insert into uploads.sales values (999, now(), 1, 'x')", "create table uploads.x (id int)", "select lo_create(0)", "select nextval('x')"):
        assert_problem(query(own, sql), 422, "invalid-sql")
    assert office.query("select count(*) from pg_class")[0][0] == before


def test_who_leaves_ends_his_query(own, office):
    sql = "select count(*) from uploads.sales a, uploads.sales b, uploads.sales c, uploads.sales d"
    body = f'{{"sql": "{sql}"}}'
    connection = own.connect(timeout=30)
    connection.sendall(f"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {bearer('anna')}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    active = "select count(*) from pg_stat_activity where usename = 'sluice_c_anna' and state = 'active'"
    eventually(lambda: office.query(active)[0][0] == 1, within=10, says="the query's start")
    connection.close()
    eventually(lambda: office.query(active)[0][0] == 0, within=8, every=0.01, says="the query's end")
