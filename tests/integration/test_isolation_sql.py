"""A customer's SQL: each statement that reaches for another's things is refused, and in the words of a twin that nobody has where it has one."""
import re

import pytest

from gateway import assert_problem
from isolation import api, call, office, same, tells_nothing, world  # noqa: F401  (fixtures)

ESCAPES = [
    "select * from isobert_uploads.ledger", "select * from ISOBERT_UPLOADS.LEDGER", 'select * from "isobert_uploads"."ledger"', 'select * from U&"isobert\\005fuploads".ledger',
    "select * from isolation.isobert_uploads.ledger", "select * from shared.isobert.bestowed", "select * from only isobert_uploads.ledger", "table isobert_uploads.ledger",
    "select (select count(*) from isobert_uploads.ledger)", "with l as (select * from isobert_uploads.ledger) select * from l", "select 1 where exists (select from isobert_uploads.ledger)",
    "select * from uploads.sales s, lateral (select * from isobert_uploads.ledger) l", "select * from uploads.sales union select * from isobert_uploads.ledger", "select isobert_uploads.ledger.who from uploads.sales",
    "with uploads as (select 1) select * from isobert_uploads.ledger", "with recursive r as (select 1 union all select id from isobert_uploads.ledger) select * from r", "select * from (values (1)) v(a) join isobert_uploads.ledger on true",
    "select * from uploads.sales order by (select who from isobert_uploads.ledger limit 1)", "select * from uploads.sales limit (select count(*) from isobert_uploads.ledger)", "select count(*) filter (where exists (select from isobert_uploads.ledger)) from uploads.sales",
    "select sum(id) over (order by (select count(*) from isobert_uploads.ledger)) from uploads.sales", "select * from uploads.sales group by grouping sets ((id, who), ((select 1 from isobert_uploads.ledger)))", "values ((select who from isobert_uploads.ledger))",
    "select * from isobert_analytics.margin", "select * from isobert_jobs.one", "select * from isoanna_uploads.sales", "select * from sluice_c_isobert.ledger",
    "select * from pg_class", "select * from pg_catalog.pg_class", "select * from pg_roles", "select * from pg_stat_activity", "select * from pg_stats", "select * from information_schema.tables", "select * from sluice.customer", "select * from sluice.upload", "select * from sluice.job",
    "select * from pg_stat_statements", "select * from public.pg_stat_statements", "select * from pg_toast.pg_toast_1255", "select * from pg_temp.x",
    "select 'isobert_uploads.ledger'::regclass", "select cast('isobert_uploads.ledger' as regclass)", "select 'sluice_c_isobert'::regrole", "select 'isobert_uploads'::regnamespace::oid", "select regclass 'isobert_uploads.ledger'", "select '16400'::oid::regclass",
    "select to_regclass('isobert_uploads.ledger')", "select pg_catalog.to_regclass('isobert_uploads.ledger')", "select has_schema_privilege('sluice_c_isobert', 'isobert_uploads', 'usage')", "select has_table_privilege('isobert_uploads.ledger', 'select')",
    "select query_to_xml('select * from pg_roles', true, false, '')", "select table_to_xml('isobert_uploads.ledger', true, false, '')", "select schema_to_xml('isobert_uploads', true, false, '')", "select database_to_xml(true, false, '')", "select cursor_to_xml('c', 1, true, false, '')",
    "select pg_get_viewdef('isobert_analytics.margin')", "select pg_relation_size('isobert_uploads.ledger')", "select pg_stat_get_live_tuples(16400)", "select obj_description(16400)", "select col_description(16400, 1)", "select pg_get_userbyid(16400)", "select format_type(16400, null)",
    "select current_setting('sluice.customer')", "select set_config('role', 'sluice_c_isobert', false)", "select current_user", "select session_user", "select current_catalog", "select current_schema", "select inet_server_addr()", "select version()", "select pg_backend_pid()",
    "select pg_read_file('/etc/passwd')", "select pg_ls_dir('.')", "select lo_import('/etc/passwd')", "select lo_get(1)", "select dblink('dbname=x', 'select 1')", "select pg_sleep(1)", "select pg_notify('a', 'b')", "select pg_advisory_lock(1)", "select nextval('x')", "select txid_current()",
    "select sluice.me()", "select sluice.raise_own('isobert_uploads', 'ledger')", "select (s).pg_sleep from uploads.sales s", "select (id).pg_get_userbyid from uploads.sales", "select s.pg_column_size from uploads.sales s", "select tableoid from uploads.sales", "select ctid from uploads.sales", "select xmin from uploads.sales",
    "select id operator(isobert_analytics.+) 1 from uploads.sales", "select id operator(public.=) 1 from uploads.sales", "select id::isobert_uploads.ledger from uploads.sales", "select null::isobert_uploads.ledger", "select 'x' collate isobert_uploads.c", "select * from uploads.sales tablesample system (1)",
    "set role sluice_c_isobert", "reset role", "set session authorization sluice_c_isobert", "select 1; select * from isobert_uploads.ledger", "select 1; set role sluice_c_isobert", "begin; select 1", "explain select 1", "explain analyze select * from isobert_uploads.ledger",
    "copy isobert_uploads.ledger to stdout", "copy (select 1) to program 'id'", "insert into isobert_uploads.ledger values (1)", "update isobert_uploads.ledger set who = 'x'", "delete from isobert_uploads.ledger", "drop table isobert_uploads.ledger", "truncate isobert_uploads.ledger", "create view x as select 1",
    "grant select on isobert_uploads.ledger to public", "do 'begin end'", "call x()", "lock table isobert_uploads.ledger", "listen x", "prepare p as select 1", "execute p", "declare c cursor for select 1", "fetch all from c", "vacuum", "show all", "with d as (delete from isobert_uploads.ledger returning *) select * from d",
    "select * into uploads.mine from isobert_uploads.ledger", "select * from uploads.sales for update", "select * from isobert_uploads.ledger -- uploads.sales", "select /* uploads.sales */ * from isobert_uploads.ledger", "select * from uploads.sales where who = (select who from isobert_uploads.ledger)",
    "select * from xmltable('/a' passing '<a/>' columns x text path '.')", "select xmlparse(document '<a/>')", "select * from rows from (pg_stat_get_activity(null))", "select * from pg_show_all_settings()", "select * from pg_stat_get_activity(null) a", "select * from uploads.sales natural join isobert_uploads.ledger",
]


def test_there_are_enough_attempts():
    assert len(set(ESCAPES)) >= 60


@pytest.mark.parametrize("sql", ESCAPES)
def test_sql_reaches_nothing_of_anothers(api, world, sql):
    twin = re.sub("(?i)isobert", lambda found: "ISOBORT" if found[0].isupper() else "isobort", sql)
    for method, path, more in (("POST", "/v1/query", {}), ("POST", "/v1/query/plan", {}), ("PUT", "/v1/analytics/taken", {"as": "view"}), ("PUT", "/v1/analytics/taken", {"as": "table"})):
        answers = [call(api, method, path, json={"sql": one, **more}) for one in (sql, twin)]
        assert answers[0].status_code == 422, f"{path}: {answers[0].status_code} {answers[0].text}"
        same(*answers, "isobert", "isobort", path)
        tells_nothing(answers[0], "isobert ledger margin bestowed")
    answers = [call(api, method, path) for method, path in (("GET", "/v1/analytics/taken"), ("GET", "/v1/datasets/analytics.taken"))]
    assert [answer.status_code for answer in answers] == [404, 404]


def test_parameters_are_values_and_no_names(api, world):
    for sql, parameters in (("select :a as x", {"a": "isobert_uploads.ledger"}), ("select :a::text as x", {"a": "'; select * from isobert_uploads.ledger --"})):
        answer = call(api, "POST", "/v1/query", json={"sql": sql, "parameters": parameters})
        assert answer.status_code == 200 and answer.json() == [{"x": parameters["a"]}]
    for kind in ("regclass", "regrole", "regnamespace", "oid::regclass"):
        assert_problem(call(api, "POST", "/v1/query", json={"sql": f"select :a::{kind}", "parameters": {"a": "pg_class"}}), 422)
