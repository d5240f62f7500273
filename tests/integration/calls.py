"""Each operation of the contract as a call that is answered with 2xx, and a gateway where all of them have something to act on: two customers (DORA has an upload, analyses and a
share with EMIL), and a table that takes loads."""
import base64
import contextlib
from typing import Any, Callable, NamedTuple

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import merge, token, write_secret
from office import LOGIN_KEY, Office

DORA, EMIL = "calldora", "callemil"
SCOPES = "regions:read datasets:read uploads:write analytics:write warehouse:write audit:read"
WRITER_PASSWORD = "of the writer of the tests"
REGION = "AR-north-1"
WAREHOUSE = """
create schema ware; create schema shown; grant usage on schema ware to sluice_writer; grant usage on schema shown to sluice_reader;
create table ware.price (day date not null, zone text not null, price numeric not null, primary key (day, zone));
insert into ware.price select date '2024-01-01' + n, z, n from generate_series(0, 9) n, unnest(array['bg', 'ro']) z;
create view shown.price as select * from ware.price;
alter schema ware owner to sluice_owner; alter schema shown owner to sluice_owner; alter table ware.price owner to sluice_owner; alter view shown.price owner to sluice_owner;
grant select on shown.price to sluice_reader; grant select, insert, update, delete on ware.price to sluice_writer;
comment on view shown.price is '@reads ware.price';
"""
SALES = b"id,day,amount\n1,2024-01-01,1.50\n2,2024-01-02,2.25\n3,2024-01-03,x\n"
PRICES = b"day,zone,price\n2025-01-01,bg,1\n"
TOTAL = "select zone, sum(price) as total from shown.price group by zone"
SESSIONS = "/v1/uploads/sessions"
TUS = {"Tus-Resumable": "1.0.0"}
CSV = {"Content-Type": "text/csv"}
PIECE = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", **TUS}


class Call(NamedTuple):
    """`before` makes what the call acts on; what it returns stands for {} in the path."""

    path: str
    method: str = "GET"
    status: int = 200
    body: Any = None  # bytes, or what becomes JSON
    headers: dict = {}
    before: Callable = lambda api: ""


def bearer(who=DORA, scope=SCOPES, **claims):
    return token(customer=who, scope=scope, **claims)


def ask(api, call, more="", authorization=None, headers=None):
    """`more` goes behind the path's query."""
    path = call.path.replace("{}", call.before(api))
    path += ("&" if "?" in path else "?") + more if more else ""
    body = {} if call.body is None else {"data": call.body} if isinstance(call.body, bytes) else {"json": call.body}
    return api.get(path, method=call.method, bearer=authorization or bearer(), headers={**call.headers, **(headers or {})}, **body)


def must(api, method, path, *statuses, **options):
    answer = api.get(path, method=method, bearer=bearer(), **options)
    assert answer.status_code in statuses, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
    return answer


def put_upload(api, name, body=SALES, query="?types=amount:numeric&max_bad=0.5"):
    must(api, "PUT", f"/v1/uploads/{name}{query}", 200, 201, data=body, headers=CSV)
    return ""


def put_analysis(api, name, sql=TOTAL, kind="table"):
    must(api, "PUT", f"/v1/analytics/{name}", 200, 201, json={"sql": sql, "as": kind})
    return ""


def drop(api, path):
    must(api, "DELETE", path, 204, 404)
    return ""


def encode(**metadata):
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())


def begin_session(api, name="resumed", size=len(SALES), **metadata):
    metadata = encode(dataset=name, types="amount:numeric", max_bad="0.5", **metadata)
    answer = must(api, "POST", SESSIONS, 201, headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata})
    return answer.headers["Location"].rpartition("/")[2]


def end_job(api):
    """A job that is done; its id."""
    answer = must(api, "POST", "/v1/query", 202, json={"sql": "select id, amount from uploads.sales"}, headers={"Prefer": "respond-async"})
    job = must(api, "GET", answer.headers["Location"] + "?wait=20", 200).json()
    assert job["state"] == "done", job
    return job["job_id"]


def begin_share(api):
    must(api, "PUT", f"/v1/analytics/total/shares/{EMIL}", 204)
    return ""


CALLS = {
    "listRegions": Call("/v1/regions?q=ar&kind=city&parent=AR-north&bbox=-10,30,60,70&near=4,49&limit=5"),
    "getRegion": Call(f"/v1/regions/{REGION}"),
    "getRegionSummary": Call(f"/v1/regions/{REGION}/summary?window=30d&as_of=2025-06-30"),
    "getRegionWeather": Call(f"/v1/regions/{REGION}/weather?from=2024-01-01&to=2024-01-31&grain=day&fields=temperature_c"),
    "getRegionMarket": Call(f"/v1/regions/{REGION}/market?from=2024-01-01&to=2024-12-31&grain=month"),
    "getRegionForecast": Call(f"/v1/regions/{REGION}/forecast?grain=week"),
    "listDatasets": Call("/v1/datasets?limit=5"),
    "getDatasetSchema": Call("/v1/datasets/weather_daily/schema"),
    "readDataset": Call(f"/v1/datasets/weather_daily?select=region_id,day,temperature_c&region_id=eq.{REGION}&order=day.desc&limit=5"),
    "loadRows": Call("/v1/datasets/shown.price/rows?mode=replace&day=eq.2025-01-01", "PUT", body=PRICES, headers=CSV),
    "listUploads": Call("/v1/uploads?limit=5"),
    "getUpload": Call("/v1/uploads/sales"),
    "putUpload": Call("/v1/uploads/fresh?types=amount:numeric&max_bad=0.5&key=id", "PUT", 201, SALES, CSV, lambda api: drop(api, "/v1/uploads/fresh")),
    "deleteUpload": Call("/v1/uploads/spare", "DELETE", 204, before=lambda api: put_upload(api, "spare")),
    "getUploadQuarantine": Call("/v1/uploads/sales/quarantine?limit=5"),
    "uploadSessionCreate": Call(SESSIONS, "POST", 201, headers={**TUS, "Upload-Length": "10", "Upload-Metadata": encode(dataset="resumed")}),
    "uploadSessionHead": Call(SESSIONS + "/{}", headers=TUS, before=begin_session),
    "uploadSessionPatch": Call(SESSIONS + "/{}", "PATCH", 204, SALES, PIECE, begin_session),
    "uploadSessionDelete": Call(SESSIONS + "/{}", "DELETE", 204, headers=TUS, before=begin_session),
    "planQuery": Call("/v1/query/plan", "POST", body={"url": "/v1/datasets/weather_daily?select=day,temperature_c&region_id=eq.AR-north-1"}),
    "runQuery": Call("/v1/query", "POST", body={"sql": "select id, amount from uploads.sales where id < :most order by id", "parameters": {"most": 10}}),
    "listJobs": Call("/v1/jobs?limit=5"),
    "getJob": Call("/v1/jobs/{}?wait=1", before=end_job),
    "getJobResult": Call("/v1/jobs/{}/result?order=id&limit=5", before=end_job),
    "deleteJob": Call("/v1/jobs/{}", "DELETE", 204, before=end_job),
    "listAnalyses": Call("/v1/analytics?limit=5"),
    "getAnalysis": Call("/v1/analytics/total"),
    "putAnalysis": Call("/v1/analytics/fresh", "PUT", 201, {"sql": TOTAL, "as": "view", "description": "Prices by zone"}, before=lambda api: drop(api, "/v1/analytics/fresh")),
    "deleteAnalysis": Call("/v1/analytics/spare", "DELETE", 204, before=lambda api: put_analysis(api, "spare")),
    "refreshAnalysis": Call("/v1/analytics/total/refresh", "POST"),
    "listShares": Call("/v1/analytics/total/shares", before=begin_share),
    "putShare": Call(f"/v1/analytics/total/shares/{EMIL}", "PUT", 204),
    "deleteShare": Call(f"/v1/analytics/total/shares/{EMIL}", "DELETE", 204, before=begin_share),
    "listAudit": Call("/v1/audit?select=time,event,operation,status&order=time,chain,seq&limit=5"),
    "getOpenapi": Call("/v1/openapi.json"),
}


@contextlib.contextmanager
def opened(folder, postgres, redis, changes=None, sql=WAREHOUSE, schemas=("serving", "shown")):
    """A gateway on a warehouse of its own, with both customers and what DORA has; its `database` is the name, its `postgres` the server."""
    database = postgres.clone(f"calls_{next(NUMBERS)}", TEMPLATE)
    postgres.query(database, sql)
    postgres.query(database, f"alter role sluice_writer password '{WRITER_PASSWORD}'")
    warehouse = {"warehouse": {"schemas": list(schemas), "loadable": [{"dataset": "shown.price", "table": "ware.price"}]}}
    office = Office(postgres, database, folder, warehouse)
    own = {"database": {"writer": {"user": "sluice_writer", "password_file": write_secret(folder, "writer.password", WRITER_PASSWORD)}},
           "customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": {"lock_timeout": "300ms", "sessions": {"each": 1000}}, **warehouse}
    one = None
    try:
        for name in (DORA, EMIL):
            office.ok("add", name)
        one = start_gateway(folder, postgres, redis, database, merge(own, changes or {}))
        one.database, one.postgres, one.token = database, postgres, bearer()
        put_upload(one, "sales")
        put_analysis(one, "total")
        put_analysis(one, "busy", "select id, amount from uploads.sales", "view")
        yield one
    finally:
        if one is not None:
            one.stop()
        for name in (DORA, EMIL):
            office.erase(name)
        postgres.drop(database)
