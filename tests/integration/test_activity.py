"""What /metrics tells of loads, jobs, resumable uploads and the check of SQL."""
import pytest

from gateway import assert_problem
from office import opened
from test_tus import SALES, begin, bearer, begun, patch
from wait import eventually


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "activity", ("tusanna",)) as one:
        yield one


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("activity")
    one = begin(folder, postgres, redis, office, folder / "spool")
    yield one
    one.stop()


def tell(api, name, **labels):
    braces = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    return api.metrics()[f"sluice_{name}{braces}"]


def put(api, name, body, parameters=""):
    return api.get(f"/v1/uploads/{name}{parameters}", method="PUT", data=body, bearer=bearer("tusanna"), headers={"Content-Type": "text/csv"})


def test_loads_are_counted_by_outcome_with_rows_and_bytes(api):
    before = {outcome: tell(api, "loads_total", target="upload", outcome=outcome) for outcome in ("done", "refused")}
    rows, held, sent = (tell(api, f"load_{what}_total", target="upload") for what in ("rows", "quarantined_rows", "bytes"))
    assert put(api, "counted", b"id\n1\nx\n3\n", "?types=id:integer&max_bad=0.5").status_code == 201
    assert_problem(put(api, "refused", b"id\n1\nx\n", "?types=id:integer"), 422)
    assert patch(api, begun(api, len(SALES), dataset="pieces"), 0, SALES).status_code == 204
    eventually(lambda: tell(api, "loads_total", target="upload", outcome="done") == before["done"] + 2)
    assert tell(api, "loads_total", target="upload", outcome="refused") == before["refused"] + 1
    assert tell(api, "load_rows_total", target="upload") == rows + 4
    assert tell(api, "load_quarantined_rows_total", target="upload") == held + 1
    assert tell(api, "load_bytes_total", target="upload") >= sent + len(SALES) + 9
    assert tell(api, "load_seconds_total", target="upload", outcome="done") > 0
    assert tell(api, "loads_total", target="warehouse", outcome="done") == 0
    assert tell(api, "tasks_waiting", pool="loads") == 0


def test_jobs_and_refused_sql_are_counted(api):
    refused = tell(api, "sql_refused_total")
    query = lambda sql: api.get("/v1/query", method="POST", bearer=bearer("tusanna"), json={"sql": sql}, headers={"Prefer": "respond-async"})
    assert query("select 1 as n").status_code == 202
    assert query("select 1 / (count(*) - count(*)) as n from (values (1)) as v (a)").status_code == 202
    assert_problem(query("select pg_sleep(1)"), 422)
    eventually(lambda: (tell(api, "jobs_total", outcome="done"), tell(api, "jobs_total", outcome="failed")) == (1, 1), within=20)
    assert tell(api, "job_seconds_total", outcome="done") > 0
    assert tell(api, "jobs_total", outcome="cancelled") == 0
    assert tell(api, "sql_refused_total") == refused + 1
    eventually(lambda: tell(api, "tasks_running", pool="jobs") == 0)


def test_resumable_uploads_and_the_spool_are_gauged(api):
    opened_before = tell(api, "upload_sessions_open")
    path = begun(api, 1000, dataset="waits")
    assert tell(api, "upload_sessions_open") == opened_before + 1
    assert tell(api, "upload_sessions_bytes") == tell(api, "spool_bytes") == 1000
    assert tell(api, "spool_size_bytes") == 64 << 20
    api.get(path, method="DELETE", bearer=bearer("tusanna"), headers={"Tus-Resumable": "1.0.0"})
    assert tell(api, "upload_sessions_open") == opened_before and tell(api, "spool_bytes") == 0


def test_no_customer_stands_in_the_metrics(api):
    assert "tusanna" not in api.session.get(api.admin + "/metrics", timeout=10).text
