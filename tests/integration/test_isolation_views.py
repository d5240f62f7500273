"""Views made with SQL on the customer's own login: none is served that the check of his SQL would refuse."""
import pytest

from gateway import assert_problem
from isolation import ME, OTHER, api, call, office, same, tells_nothing, world  # noqa: F401  (fixtures)
from wait import eventually

VIEWS = {
    "classes": "select relname from pg_class",
    "roles": "select rolname from pg_roles",
    "namespaces": "select nspname from pg_namespace",
    "activity": "select usename, query from pg_stat_activity",
    "tables": "select table_schema, table_name from information_schema.tables",
    "schemata": "select schema_name from information_schema.schemata",
    "statistics": "select schemaname, relname, n_live_tup from pg_stat_all_tables",
    "definitions": "select schemaname, viewname, definition from pg_views",
    "settings": "select name, setting from pg_settings",
    "databases": "select datname from pg_database",
    "attributes": "select attname from pg_attribute",
    "descriptions": "select description from pg_description",
    "locks": "select relation from pg_locks",
    "xml": "select query_to_xml('select relname from pg_class', true, false, '')::text as x",
    "xml_table": "select table_to_xml('pg_catalog.pg_namespace'::regclass, true, false, '')::text as x",
    "has_schema": "select has_schema_privilege('sluice_c_isobert', 'isobert_uploads', 'usage') as x",
    "has_table": "select has_table_privilege('sluice_c_isobert', 'isobert_uploads.ledger', 'select') as x",
    "regclass": "select to_regclass('isobert_uploads.ledger') is not null as x",
    "regclass_constant": "select 'pg_catalog.pg_class'::regclass as x",
    "regnamespace": "select to_regnamespace('isobert_uploads') as x",
    "regrole": "select to_regrole('sluice_c_isobert') as x",
    "definition": "select pg_get_viewdef(c.oid) as x from pg_class c where c.relname = 'margin'",
    "setting": "select current_setting('sluice.customer', true) as x",
    "who": "select current_user as x, session_user as y",
    "version": "select version() as x",
    "size": "select pg_database_size(current_database()) as x",
    "relation_size": "select pg_relation_size(c.oid) as x from pg_class c",
    "statistics_function": "select pg_stat_get_live_tuples(c.oid) as x from pg_class c",
    "sleeper": "select pg_sleep(0)::text as x",
    "in_where": "select 1 as x where exists (select from pg_roles where rolname = 'sluice_c_isobert')",
    "in_a_subquery": "select (select count(*) from pg_class) as x",
    "in_a_cte": "with c as (select nspname from pg_namespace) select * from c",
    "in_a_cte_called_sales": "with sales as (select nspname from pg_catalog.pg_namespace) select * from sales",
    "in_a_union": "select who from isoanna_uploads.sales union all select rolname::text from pg_roles",
    "in_a_join": "select s.who from isoanna_uploads.sales s left join pg_class c on c.relname = s.who",
    "in_an_order": "select who from isoanna_uploads.sales order by (select count(*) from pg_class)",
    "in_a_filter": "select count(*) filter (where exists (select from pg_roles)) as x from isoanna_uploads.sales",
    "in_a_window": "select sum(id) over (partition by (select count(*) from pg_namespace)) as x from isoanna_uploads.sales",
    "in_a_lateral": "select l.* from isoanna_uploads.sales s cross join lateral (select rolname from pg_roles limit s.id) l",
    "in_values": "values ((select count(*) from pg_class))",
    "in_a_limit": "select who from isoanna_uploads.sales limit (select count(*) from pg_roles)",
    "in_a_case": "select case when exists (select from pg_namespace where nspname = 'isobert_uploads') then 1 end as x",
    "system_column": "select tableoid as x from isoanna_uploads.sales",
    "sample": "select who from isoanna_uploads.sales tablesample system (100)",
    "ours": "select customer_id from sluice.customer",
    "our_uploads": "select name from sluice.upload",
    "our_keys": "select key from sluice.idempotency",
    "backends": "select pid from pg_stat_get_activity(null)",
    "options": "select * from pg_options_to_table(array['a=b'])",
    "sequence": "select * from generate_series(1, (select count(*) from pg_class))",
    "slow": "select count(*) as x from pg_class a, pg_class b, pg_class c",
    "long": "select " + ", ".join(f"'{'x' * 60}'::text as c{n}" for n in range(400)),
}


def of_mine(office, sql):
    office.as_customer(ME, sql)


def refused_everywhere(api, real, twin):
    """As what is not there, whichever way it is read."""
    for path in ("/v1/datasets/analytics.{}", "/v1/datasets/analytics.{}/schema", "/v1/datasets/analytics.{}?select=count()"):
        answers = [call(api, "GET", path.format(name)) for name in (real, twin)]
        same(*answers, real, twin, path)
        assert answers[0].status_code == 404, answers[0].text
    answers = [call(api, "POST", "/v1/query/plan", json={"url": f"/v1/datasets/analytics.{name}"}) for name in (real, twin)]
    same(*answers, real, twin, "plan")
    assert answers[0].status_code == 404


def refused_in_sql(api, real, twin):
    for path in ("/v1/query", "/v1/query/plan"):
        for sql in ("select * from analytics.{}", "select count(*) from uploads.sales where exists (select from analytics.{} v)"):
            answers = [call(api, "POST", path, json={"sql": sql.format(name)}) for name in (real, twin)]
            same(*answers, real, twin, path)
            assert answers[0].status_code == 422, answers[0].text
    answers = [call(api, "POST", "/v1/query", headers={"Prefer": "respond-async"}, json={"sql": f"select * from analytics.{name}"}) for name in (real, twin)]
    same(*answers, real, twin, "respond-async")
    assert answers[0].status_code == 422, answers[0].text
    for kind in ("view", "table"):
        answers = [call(api, "PUT", "/v1/analytics/taken", json={"sql": f"select count(*) as n from analytics.{name}", "as": kind}) for name in (real, twin)]
        same(*answers, real, twin, "PUT")
        assert answers[0].status_code == 422


def twin_of(name):
    return "zz" + name[2:]


@pytest.fixture
def mine(office, world):
    """mine(name, sql): a view of that name; what a test has made goes."""
    names = []

    def make(name, sql, kind="view"):
        of_mine(office, f"create {kind} {ME}_analytics.{name} as {sql}")
        names.append((kind, name))

    yield make
    for kind, name in reversed(names):
        of_mine(office, f"drop {kind} if exists {ME}_analytics.{name} cascade")


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_over_what_is_not_the_customers_is_not_there(api, mine, name):
    mine(f"v_{name}", VIEWS[name])
    refused_everywhere(api, f"v_{name}", twin_of(f"v_{name}"))
    tells_nothing(call(api, "GET", "/v1/openapi.json"))


@pytest.mark.parametrize("name", ["roles", "xml", "setting", "in_a_cte", "ours", "slow"])
def test_nor_is_it_there_for_sql(api, mine, name):
    mine(f"w_{name}", VIEWS[name])
    refused_in_sql(api, f"w_{name}", twin_of(f"w_{name}"))


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("name", ["roles", "regclass", "ours"])
def test_nor_under_views_of_his_own(api, mine, name, depth):
    mine("deep_0", VIEWS[name])
    for level in range(depth):
        mine(f"deep_{level + 1}", f"select * from {ME}_analytics.deep_{level}" if level % 2 else f"select a.* from {ME}_analytics.deep_{level} a, {ME}_uploads.sales")
    refused_everywhere(api, f"deep_{depth}", f"zeep_{depth}")
    refused_in_sql(api, f"deep_{depth}", f"zeep_{depth}")


def test_nor_what_a_materialized_view_kept_of_it(api, mine):
    mine("kept_roles", "select rolname::text from pg_roles", "materialized view")
    mine("over_kept", f"select * from {ME}_analytics.kept_roles")
    for name in ("kept_roles", "over_kept"):
        refused_everywhere(api, name, twin_of(name))


def test_a_view_of_too_many_views_is_not_there(api, mine):
    for n in range(70):
        mine(f"part_{n}", f"select {n} as n")
    mine("of_many", " union all ".join(f"select * from {ME}_analytics.part_{n}" for n in range(70)))
    mine("of_some", " union all ".join(f"select * from {ME}_analytics.part_{n}" for n in range(60)))
    refused_everywhere(api, "of_many", "zf_many")
    assert call(api, "GET", "/v1/datasets/analytics.of_some?select=count()").json() == [{"count": 60}]


HARMLESS = {
    "own_upload": "select * from isoanna_uploads.sales",
    "with_warehouse": "select s.who, p.price::float8 as price from isoanna_uploads.sales s join ware.price p on p.day = date '2024-01-01' + s.id::integer",
    "functions": "select upper(who) as u, coalesce(nullif(who, ''), 'x') as c, extract(year from date '2024-02-03') as y, date_trunc('month', now()) as m, who ~~ 'm%' as l, round(1.25, 1) as r, "
                 "substring(who from 1 for 2) as s, position('m' in who) as p, trim(both ' ' from who) as t, who is distinct from 'x' as d, overlay(who placing 'xx' from 1) as o, "
                 "now() at time zone 'UTC' as z, who ilike 'M%' as i, id between 1 and 2 as b, id in (1, 2) as n, array[id, 2] as a, current_date as k, greatest(id, 2) as g, who similar to 'm.*' as q, interval '1 day' as v from isoanna_uploads.sales",
    "aggregates": "select who, count(*) as n, sum(id) as s, avg(id) as a, string_agg(who, ',' order by id) as l, percentile_cont(0.5) within group (order by id) as p, count(*) filter (where id > 1) as f from isoanna_uploads.sales group by rollup (who)",
    "windows": "select id, row_number() over w as r, lag(who, 1) over w as l, sum(id) over (order by id rows between 1 preceding and current row) as s from isoanna_uploads.sales window w as (order by id)",
    "recursion": "with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select * from r",
    "series": "select * from generate_series(1, 3) g(n)",
    "values": "values (1, 'a'), (2, 'b')",
    "json": "select json_build_object('a', id) as j, to_jsonb(who) ->> 0 as k from isoanna_uploads.sales",
    "over_an_analysis": "select t.n from isoanna_analytics.total t",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_view_is_served(api, mine, name):
    mine(f"ok_{name}", HARMLESS[name])
    for path in (f"/v1/datasets/analytics.ok_{name}", f"/v1/datasets/analytics.ok_{name}/schema"):
        answer = call(api, "GET", path)
        assert answer.status_code == 200, answer.text
    assert call(api, "POST", "/v1/query", json={"sql": f"select * from analytics.ok_{name}"}).status_code == 200


def test_a_view_that_is_replaced_is_checked_again(api, mine, office):
    mine("changing", f"select who::text as x from {ME}_uploads.sales")
    assert call(api, "GET", "/v1/datasets/analytics.changing").status_code == 200
    of_mine(office, f"create or replace view {ME}_analytics.changing as select rolname::text collate \"default\" as x from pg_roles")
    eventually(lambda: call(api, "GET", "/v1/datasets/analytics.changing").status_code == 404, within=5, says="the check of the new one")
    of_mine(office, f"create or replace view {ME}_analytics.changing as select who::text as x from {ME}_uploads.sales")
    eventually(lambda: call(api, "GET", "/v1/datasets/analytics.changing").status_code == 200, within=5, says="the check of the newest")


def test_a_view_under_one_that_is_replaced_is_checked_again(api, mine, office):
    mine("below", f"select who::text as x from {ME}_uploads.sales")
    mine("above", f"select * from {ME}_analytics.below")
    assert call(api, "GET", "/v1/datasets/analytics.above").status_code == 200
    of_mine(office, f"create or replace view {ME}_analytics.below as select rolname::text collate \"default\" as x from pg_roles")
    eventually(lambda: call(api, "GET", "/v1/datasets/analytics.above").status_code == 404, within=5, says="the check of the new one")


@pytest.fixture
def functions(office, world):
    """What a customer can't make, but may be given: functions of all sorts, in his schema."""
    office.query(f"""
        create function {ME}_analytics.names() returns setof text language sql security definer as 'select rolname::text from pg_roles';
        create function {ME}_analytics.upper(text) returns text language sql as 'select string_agg(rolname::text, $1) from pg_roles';
        create function {ME}_uploads.leak({ME}_uploads.sales) returns text language sql as 'select string_agg(rolname::text, '','') from pg_roles';
        create operator {ME}_analytics.## (function = {ME}_analytics.upper, rightarg = text);
        create function public.lower_of(text) returns text language sql as 'select string_agg(rolname::text, $1) from pg_roles'""")
    yield
    office.query(f"drop function {ME}_analytics.names() cascade; drop function {ME}_analytics.upper(text) cascade; drop function {ME}_uploads.leak({ME}_uploads.sales) cascade; drop function public.lower_of(text) cascade")


@pytest.mark.parametrize("name, sql", [("fn_set", "select * from isoanna_analytics.names() n(x)"), ("fn_shadow", "select isoanna_analytics.upper(who) as x from isoanna_uploads.sales"),
                                       ("fn_operator", "select operator(isoanna_analytics.##) who as x from isoanna_uploads.sales"), ("fn_row", "select isoanna_uploads.leak(s) as x from isoanna_uploads.sales s"),
                                       ("fn_public", "select public.lower_of(who) as x from isoanna_uploads.sales")])
def test_a_view_with_a_function_that_somebody_made_is_not_there(api, functions, mine, name, sql):
    mine(name, sql)
    refused_everywhere(api, name, twin_of(name))


def test_a_function_of_the_row_is_no_column(api, functions, office):
    of_mine(office, f"comment on table {ME}_uploads.sales is 'Anew'")
    eventually(lambda: call(api, "GET", "/v1/datasets/uploads.sales/schema").json()["description"] == "Anew", within=5, says="the new description")
    assert [one["name"] for one in call(api, "GET", "/v1/datasets/uploads.sales/schema").json()["columns"]] == ["id", "who"]
    real, twin = (call(api, "GET", f"/v1/datasets/uploads.sales?select={name}") for name in ("leak", "leek"))
    same(real, twin, "leak", "leek")
    assert real.status_code == 400
    for name in ("leak", "leek"):
        assert_problem(call(api, "POST", "/v1/query", json={"sql": f"select {ME}_uploads.{name}(s) from uploads.sales s"}), 422)


def test_a_policy_on_ones_own_table_is_sql_that_nobody_checked(api, mine, office):
    mine("guarded", "select 1 as id", "table")
    eventually(lambda: call(api, "GET", "/v1/datasets/analytics.guarded").status_code == 200, within=5, says="the table")
    of_mine(office, f"create policy p on {ME}_analytics.guarded using (exists (select from pg_roles where rolname = 'sluice_c_isobert')); "
                    f"alter table {ME}_analytics.guarded enable row level security; alter table {ME}_analytics.guarded force row level security")
    eventually(lambda: call(api, "GET", "/v1/datasets/analytics.guarded").status_code == 404, within=5, says="its end")
    mine("over_guarded", f"select * from {ME}_analytics.guarded")
    refused_everywhere(api, "over_guarded", "zver_guarded")


def test_what_the_other_grants_with_sql_is_not_shared(api, mine, office, world):
    """Shares are the gateway's to give: a grant between two logins opens no way through it."""
    office.as_customer(OTHER, f"grant usage on schema {OTHER}_uploads to sluice_c_{ME}; grant select on {OTHER}_uploads.ledger to sluice_c_{ME}")
    try:
        mine("granted", f"select * from {OTHER}_uploads.ledger")
        refused_everywhere(api, "granted", "zzanted")
        for name in (f"{OTHER}_uploads.ledger", f"shared.{OTHER}.ledger"):
            assert call(api, "GET", f"/v1/datasets/{name}").status_code == 404
            assert call(api, "POST", "/v1/query", json={"sql": f"select * from {name}"}).status_code == 422
    finally:
        office.as_customer(OTHER, f"revoke select on {OTHER}_uploads.ledger from sluice_c_{ME}; revoke usage on schema {OTHER}_uploads from sluice_c_{ME}")


def test_there_are_enough_views():
    assert len(VIEWS) >= 25
