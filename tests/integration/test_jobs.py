"""Jobs: POST /v1/query with Prefer: respond-async, and what becomes of it under /v1/jobs."""
import csv
import io
import signal
import time
import uuid

import pytest

from gateway import SLOWNESS, assert_problem
from test_analytics import TIERS, bearer, begin, office, own, words  # noqa: F401  (fixtures)
from wait import eventually

LONG = "select count(*) as n from uploads.sales a, uploads.sales b, uploads.sales c, uploads.sales d"  # hours
ACTIVE = "select count(*) from pg_stat_activity where usename = 'sluice_c_anna' and state = 'active' and query like 'create table%'"


def submit(own, sql, parameters=None, who="anna", tier=None, prefer="respond-async", **more):
    body = {"sql": sql, **({} if parameters is None else {"parameters": parameters}), **more}
    return own.get("/v1/query", method="POST", json=body, bearer=bearer(who, **({"tier": tier} if tier else {})), headers={"Prefer": prefer})


def begun(answer):
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['job_id']}"
    return job


def get(own, job, who="anna", path="", **options):
    return own.get(f"/v1/jobs/{job if isinstance(job, str) else job['job_id']}{path}", bearer=bearer(who), **options)


def ended(own, job, who="anna"):
    answer = get(own, job, who, "?wait=60", timeout=90)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] in ("done", "failed"), answer.text
    return answer.json()


def done(own, job, who="anna"):
    told = ended(own, job, who)
    assert told["state"] == "done", told
    return told


def delete(own, job, who="anna"):
    return get(own, job, who, method="DELETE")


def tables(office, name="anna"):
    return [row[0] for row in office.query(f"select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname = '{name}_jobs' and relkind = 'r'")]


@pytest.fixture
def clean(own, office):
    """No job is left, nor a table of one."""
    yield
    for who in ("anna", "bert"):
        for one in own.json("/v1/jobs", bearer=bearer(who))["jobs"]:
            assert delete(own, one, who).status_code == 204
        eventually(lambda who=who: tables(office, who) == [], within=10 * SLOWNESS, says="the tables' end")


@pytest.mark.tsan
def test_a_query_becomes_a_job_and_its_rows_are_read_in_the_dialect(own, clean):
    answer = submit(own, "select id, who, amount, day from uploads.sales where id <= :most order by id", {"most": 20})
    job = begun(answer)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert job["state"] == "waiting" and job["links"]["result"] is None and job["parameters"] == {"most": 20}
    told = done(own, job)
    assert told["rows"] == 20 and told["bytes"] > 0 and told["error"] is None and told["seconds"] >= 0
    assert told["links"]["result"] == f"/v1/jobs/{job['job_id']}/result"
    rows = get(own, job, path="/result?select=id,who&order=id.desc&id=gt.17")
    assert rows.status_code == 200 and rows.json() == [{"id": n, "who": "anna"} for n in (20, 19, 18)], rows.text
    assert rows.headers["Content-Location"].startswith(told["links"]["result"] + "?")
    text = get(own, job, path="/result?format=csv&limit=2&order=id").text
    assert list(csv.reader(io.StringIO(text)))[1:] == [["1", "anna", "1.25", "2024-01-02"], ["2", "anna", "2.50", "2024-01-03"]]
    assert len(get(own, job, path="/result", headers={"Accept": "application/x-ndjson"}).text.splitlines()) == 20
    assert_problem(get(own, job, path="/result?nothing=eq.1"), 400, "invalid-parameter")


def test_a_result_is_walked_in_pages(own, clean):
    job = done(own, begun(submit(own, "select id from uploads.sales")))
    path, seen = job["links"]["result"] + "?order=id&limit=70", []
    while path:
        answer = own.get(path, bearer=bearer("anna"))
        assert answer.status_code == 200, answer.text
        seen += [row["id"] for row in answer.json()]
        link = answer.headers.get("Link")
        path = link and link.partition("<")[2].partition(">")[0]
        assert not path or path.startswith(job["links"]["result"] + "?")
    assert seen == list(range(1, 301))


@pytest.mark.parametrize("value", ["a'b\\c", "', (select 1)) --", "$1", "x" * 5000, "é\n", ""])
def test_values_are_values_whatever_stands_in_them(own, clean, value):
    job = done(own, begun(submit(own, "select :v::text as v, :n::int as n, :none::date as none", {"v": value, "n": 7, "none": None})))
    assert get(own, job, path="/result").json() == [{"v": value, "n": 7, "none": None}]


def test_values_become_the_types_that_the_database_infers(own, clean):
    job = done(own, begun(submit(own, "select count(*) as n from uploads.sales where id = any($1) and day >= $2 and amount < $3 and $4", ["{1,2,3}", "2024-01-03", 3.75, True])))
    assert get(own, job, path="/result").json() == [{"n": 1}]


def test_limit_and_offset_count_and_the_tiers_page_does_not(own, clean):
    job = done(own, begun(submit(own, "select id from uploads.sales order by id", tier="paged", limit=30, offset=5)))
    assert job["rows"] == 30
    assert [row["id"] for row in get(own, job, path="/result?order=id&limit=2").json()] == [6, 7]
    assert done(own, begun(submit(own, "select id from uploads.sales", tier="paged")))["rows"] == 300


MANY = "select a.id from uploads.sales a, uploads.sales b"


def test_a_plan_over_the_budget_becomes_a_job_unless_the_caller_is_strict(own, clean):
    asked = submit(own, MANY, tier="small")
    unasked = submit(own, MANY, tier="small", prefer="count=none")
    assert asked.headers["Preference-Applied"] == "respond-async" and "Preference-Applied" not in unasked.headers
    assert "lane=customer" in unasked.headers["Sluice-Plan"]
    assert [done(own, begun(one))["rows"] for one in (asked, unasked)] == [90000, 90000]
    assert "1000" in assert_problem(submit(own, MANY, tier="small", prefer="handling=strict"), 422, "over-budget")["detail"]
    begun(submit(own, MANY, tier="small", prefer="respond-async, handling=strict"))
    assert submit(own, "select id from uploads.sales", tier="small", prefer="count=none").status_code == 200
    named = submit(own, "select a.id, :word as word from uploads.sales a, uploads.sales b where a.id < :most", {"word": "it's", "most": 100}, tier="small", prefer="count=none", limit=5000, offset=1)
    job = done(own, begun(named))
    assert job["parameters"] == {"word": "it's", "most": 100} and job["rows"] == 5000
    assert get(own, job, path="/result?limit=1&select=word").json() == [{"word": "it's"}]


def test_jobs_have_a_budget_of_their_own(own, clean):
    for prefer in ("count=none", "respond-async"):
        detail = assert_problem(submit(own, MANY, tier="tight", prefer=prefer), 422, "over-budget")["detail"]
        assert "job" in detail and "1000" in detail  # of all its rows, not of the tier's page
    assert "100;" in assert_problem(submit(own, MANY, tier="tight", prefer="handling=strict"), 422, "over-budget")["detail"]
    job = done(own, begun(submit(own, "select id from uploads.sales", tier="tight", prefer="count=none")))
    assert job["rows"] == 300  # a page of the tier has 150
    assert own.json("/v1/jobs", bearer=bearer("anna"))["jobs"] != []


def test_mistakes_and_strangers_are_told_before_a_plan_becomes_a_job(own, clean):
    assert_problem(submit(own, MANY, tier="small", who="carl", prefer="count=none"), 403, "unregistered-customer")
    assert_problem(submit(own, MANY + ", uploads.nothing c", tier="small", prefer="count=none"), 422, "invalid-sql")
    assert own.json("/v1/jobs", bearer=bearer("anna"))["jobs"] == []


def test_mistakes_are_told_before_there_is_a_job(own, clean):
    assert_problem(submit(own, "select nothing from uploads.sales"), 422, "invalid-sql")
    assert_problem(submit(own, "drop table uploads.sales"), 422, "invalid-sql")
    assert_problem(submit(own, "select 1 as one", who="carl"), 403, "unregistered-customer")
    assert own.json("/v1/jobs", bearer=bearer("anna"))["jobs"] == []


def test_a_query_that_fails_is_a_job_that_has_failed(own, clean, office):
    job = ended(own, begun(submit(own, "select 1 / (id - 5) as x from uploads.sales")))
    assert job["state"] == "failed" and "22012" in job["error"] and job["links"]["result"] is None
    assert "22012" in assert_problem(get(own, job, path="/result"), 409, "conflict")["detail"]
    assert "twice" in (twice := ended(own, begun(submit(own, "select 1 as twice, 2 as twice"))))["error"] and twice["state"] == "failed"
    assert tables(office) == []


def test_other_preferences_answer_at_once(own, clean):
    assert submit(own, "select 1 as one", prefer="count=exact").json() == [{"one": 1}]
    assert submit(own, "select 1 as one", prefer='timezone="x, respond-async"').json() == [{"one": 1}]
    begun(submit(own, "select 1 as one", prefer="wait=10, Respond-Async; x=1"))


@pytest.mark.tsan
def test_delete_ends_what_runs_and_erases_it(own, clean, office):
    job = begun(submit(own, LONG))
    eventually(lambda: office.query(ACTIVE)[0][0] == 1, within=20 * SLOWNESS, says="the query's start")
    assert get(own, job).json()["state"] == "running"
    assert_problem(get(own, job, path="/result"), 409, "conflict")
    assert delete(own, job).status_code == 204
    eventually(lambda: office.query(ACTIVE)[0][0] == 0, within=10 * SLOWNESS, says="the query's end")
    for answer in (get(own, job), get(own, job, path="/result"), delete(own, job)):
        assert_problem(answer, 404, "not-found")
    assert tables(office) == []


def test_delete_erases_a_result(own, clean, office):
    job = done(own, begun(submit(own, "select 1 as one")))
    assert tables(office) == [job["job_id"]]
    assert delete(own, job).status_code == 204
    assert tables(office) == []
    assert_problem(get(own, job, path="/result"), 404, "not-found")


@pytest.mark.tsan
def test_who_waits_is_answered_when_it_has_ended_or_the_time_is_over(own, clean, office):
    job = begun(submit(own, LONG))
    start = time.monotonic()
    assert get(own, job, path="?wait=2").json()["state"] in ("waiting", "running")
    assert 1.9 < time.monotonic() - start < 4 * SLOWNESS
    assert_problem(get(own, job, path="?wait=61"), 400, "invalid-parameter")
    assert_problem(get(own, job, path="?wait=-1"), 400, "invalid-parameter")


@pytest.mark.tsan
def test_who_leaves_waits_no_more(own, clean):
    job = begun(submit(own, LONG))
    before = own.metrics()["sluice_clients_gone_total"]
    with own.connect(timeout=30) as connection:
        connection.sendall(f"GET /v1/jobs/{job['job_id']}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer('anna')}\r\n\r\n".encode())
        connection.settimeout(1.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    eventually(lambda: own.metrics()["sluice_clients_gone_total"] > before, within=10, says="the end of the wait")


def test_a_view_that_is_replaced_while_the_job_waits_is_checked_again(own, clean, office):
    office.as_customer("anna", "create view anna_analytics.turned as select 'harmless' as word")
    try:
        before = [begun(submit(own, LONG)) for _ in range(2)]
        job = begun(submit(own, "select word from analytics.turned"))
        eventually(lambda: office.query(ACTIVE)[0][0] == 2, within=20 * SLOWNESS, says="two that run")
        office.as_customer("anna", "create or replace view anna_analytics.turned as select rolname::text collate \"default\" as word from pg_catalog.pg_roles")
        for one in before:
            assert delete(own, one).status_code == 204
        told = ended(own, job)
        assert told["state"] == "failed" and "analytics.turned" in told["error"]
    finally:
        office.as_customer("anna", "drop view anna_analytics.turned")


def test_jobs_are_bounded(own, clean, office):
    jobs = [begun(submit(own, LONG)) for _ in range(10)]
    assert "10 jobs" in assert_problem(submit(own, LONG), 409, "conflict")["detail"]
    assert "10 jobs" in assert_problem(submit(own, MANY, tier="small", prefer="count=none"), 409, "conflict")["detail"]
    assert submit(own, "select 1 as one", tier="small", prefer="count=none").json() == [{"one": 1}]
    states = lambda: sorted(one["state"] for one in own.json("/v1/jobs", bearer=bearer("anna"))["jobs"])
    eventually(lambda: states() == ["running"] * 2 + ["waiting"] * 8, within=20 * SLOWNESS, says="two that run")
    assert delete(own, jobs[-1]).status_code == 204
    begun(submit(own, LONG))


def test_the_list_is_paged_newest_first(own, clean):
    ids = [done(own, begun(submit(own, f"select {n} as n")))["job_id"] for n in range(5)]
    path, seen = "/v1/jobs?limit=2", []
    while path:
        page = own.json(path, bearer=bearer("anna"))
        seen += [one["job_id"] for one in page["jobs"]]
        path = page["next"]
    assert seen == ids[::-1]


def test_another_customers_job_is_no_job(own, clean):
    job = done(own, begun(submit(own, "select who from uploads.sales limit 1", who="bert")), "bert")
    none = str(uuid.uuid4())
    for path, method in (("", "GET"), ("?wait=1", "GET"), ("", "DELETE"), ("/result", "GET"), ("/result?limit=1&nothing=eq.1", "GET"), ("/result?cursor=", "GET")):
        theirs, nobodys = (get(own, one, path=path, method=method) for one in (job["job_id"], none))
        assert_problem(theirs, 404, "not-found")
        assert words(theirs) == words(nobodys)
    for path in (f"jobs.{job['job_id']}", f"bert_jobs.{job['job_id']}", f"uploads.{job['job_id']}"):
        assert_problem(own.get(f"/v1/datasets/{path}", bearer=bearer("anna")), 404, "not-found")
    assert own.json("/v1/jobs", bearer=bearer("anna"))["jobs"] == []
    assert own.json(f"/v1/jobs?after={job['job_id']}", bearer=bearer("anna"))["jobs"] == []
    assert get(own, job, "bert", "/result").json() == [{"who": "bert"}]


@pytest.mark.parametrize("path, method", [("/v1/jobs", "GET"), ("/v1/jobs/ID", "GET"), ("/v1/jobs/ID", "DELETE"), ("/v1/jobs/ID/result", "GET"), ("/v1/query", "POST")])
def test_each_operation_has_its_scope_and_its_customer(own, path, method):
    path = path.replace("ID", str(uuid.uuid4()))
    options = {"method": method, "headers": {"Prefer": "respond-async"}, **({"json": {"sql": "select 1 as one"}} if method == "POST" else {})}
    assert_problem(own.get(path, bearer=bearer("anna", scope="regions:read analytics:write"), **options), 403, "missing-scope")
    assert_problem(own.get(path, bearer=bearer("carl"), **options), 403, "unregistered-customer")


@pytest.mark.parametrize("job", ["x", "01234567-89AB-4cde-8f01-23456789abcd", "01234567-89ab-4cde-8f01-23456789abcde", "%27"])
def test_an_id_that_is_none_is_a_mistake(own, job):
    for path, method in (("", "GET"), ("", "DELETE"), ("/result", "GET")):
        assert get(own, job, path=path, method=method).status_code in (400, 404)


def test_a_full_queue_of_jobs_is_busy_and_answers_at_once_go_on(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office, {"limits": {"default_tier": "test", "tiers": TIERS}, "jobs": {"threads": 1, "queue": 1}})
    try:
        jobs = [begun(submit(one, LONG))]
        eventually(lambda: get(one, jobs[0]).json()["state"] == "running", within=20 * SLOWNESS, says="one that runs")
        jobs.append(begun(submit(one, LONG, who="bert")))
        for prefer in ("respond-async", "count=none"):
            refused = submit(one, MANY, tier="small", prefer=prefer)
            assert_problem(refused, 503)
            assert int(refused.headers["Retry-After"]) > 0 and "Location" not in refused.headers
        assert submit(one, "select 1 as one", tier="small", prefer="count=none").json() == [{"one": 1}]
        assert len(one.json("/v1/jobs", bearer=bearer("anna"))["jobs"]) == 1
        for job, who in zip(jobs, ("anna", "bert")):
            assert delete(one, job, who).status_code == 204
    finally:
        one.stop()


def test_results_expire(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office, {"limits": {"default_tier": "test", "tiers": TIERS}, "jobs": {"keep": "1s"}})
    try:
        job = begun(submit(one, "select 1 as one"))
        eventually(lambda: get(one, job).status_code == 404, within=20 * SLOWNESS, says="its end")
        assert_problem(get(one, job, path="/result"), 404, "not-found")
        # A look at it tidies up, unless its worker has not put it away yet, or a lock is not had at once: then the next one does.
        gone = lambda: get(one, job).status_code == 404 and office.query("select count(*) from sluice.job")[0][0] == 0 and tables(office) == []
        eventually(gone, within=5 * SLOWNESS, says="the end of its row and its table")
    finally:
        one.stop()


def test_a_query_past_the_time_of_jobs_fails(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office, {"limits": {"default_tier": "test", "tiers": TIERS}, "jobs": {"timeout": "500ms"}})
    try:
        job = ended(one, begun(submit(one, LONG)))
        assert job["state"] == "failed" and "0.5 s" in job["error"]
        assert delete(one, job).status_code == 204
    finally:
        one.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_under_way_has_failed_after_a_restart(postgres, redis, office, tmp_path, how):
    one = begin(tmp_path, postgres, redis, office, {"limits": {"default_tier": "test", "tiers": TIERS}})
    try:
        kept = done(one, begun(submit(one, "select 1 as one")))
        jobs = [begun(submit(one, LONG)) for _ in range(3)]
        eventually(lambda: office.query(ACTIVE)[0][0] == 2, within=20 * SLOWNESS, says="the queries' start")
        one.process.send_signal(how)
        one.process.wait(60)
        one.start()
        for job in jobs:
            told = get(one, job).json()
            assert told["state"] == "failed" and "send the query again" in told["error"], told
        assert get(one, kept, path="/result").json() == [{"one": 1}]
        assert sorted(tables(office)) == [kept["job_id"]]
        for job in [*jobs, kept]:
            assert delete(one, job).status_code == 204
    finally:
        office.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sluice_c_anna' and query like 'create table%'")
        one.stop()
