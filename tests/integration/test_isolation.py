"""No customer learns of another's things: each operation of the contract by each way to name them. (With SQL: test_isolation_sql.py; by views made
on one's own login: test_isolation_views.py.)"""
import statistics
import time
import uuid

import pytest

from contract import operations
from gateway import quote
from isolation import ME, NOWHERE, OTHER, SALES, STRANGER, TUS, api, bearer, call, made, office, same, session_of, state_of_other, tells_nothing, upload, world  # noqa: F401  (fixtures)

# What exists, by a name that a stranger to it writes, and its twin: as long, and nobody's.
NAMES = [
    ("uploads.ledger", "uploads.lodger"), ("analytics.margin", "analytics.morgin"), ("analytics.frozen", "analytics.frazen"), ("uploads.margin", "uploads.morgin"),
    ("ledger", "lodger"), ("margin", "morgin"), (f"{OTHER}_uploads.ledger", "isobort_uploads.ledger"), (f"{OTHER}_uploads.ledger", f"{OTHER}_uploads.lodger"),
    (f"{OTHER}_analytics.margin", "isobort_analytics.margin"), (f"{OTHER}_jobs.one", "isobort_jobs.one"), (f"{OTHER}.ledger", "isobort.ledger"),
    (f"sluice_c_{OTHER}.ledger", "sluice_c_isobort.ledger"), (f'"{OTHER}_uploads"."ledger"', '"isobort_uploads"."ledger"'),
    (f"{OTHER}_uploads.ledger".upper(), "ISOBORT_UPLOADS.LEDGER"), ("Uploads.ledger", "Uploads.lodger"), ("uploads.LEDGER", "uploads.LODGER"),
    ('uploads."ledger"', 'uploads."lodger"'), (f"uploads.{OTHER}_uploads.ledger", "uploads.isobort_uploads.ledger"),
    (f"shared.{OTHER}.bestowed", f"shared.{OTHER}.bestawed"), (f"shared.{OTHER}.bestowed", "shared.isobort.bestowed"), (f"shared.{OTHER}.margin", "shared.isobort.margin"),
    (f"shared.{OTHER}.ledger", "shared.isobort.ledger"), (f"shared.{OTHER}.uploads.ledger", "shared.isobort.uploads.ledger"),
    (f"shared.{OTHER}.", "shared.isobort."), (f"shared.{OTHER}", "shared.isobort"), (f"SHARED.{OTHER}.bestowed", "SHARED.isobort.bestowed"),
    ("sluice.customer", "sluice.costumer"), ("sluice.upload", "sluice.uplood"), ("sluice.share", "sluice.shore"), ("pg_catalog.pg_class", "pg_catalog.pg_closs"),
    ("pg_class", "pg_closs"), ("pg_roles", "pg_rules_"[:8]), ("information_schema.tables", "information_schema.tobles"), ("secret.plan", "secret.plon"),
    ("jobs.one", "jobs.two"), ("uploads.~load_1", "uploads.~load_2"), (f"{ME}_uploads.ledger", f"{ME}_uploads.lodger"),
]


# --- The matrix: what each operation of the contract does with a name. ---


def get(path, headers=None, method="GET", **options):
    return lambda api, name, world: call(api, method, path.format(name=quote(name)), headers=headers, **options)


def put_upload(api, name, world):
    answer = upload(api, quote(name), SALES.format("mine"))
    if answer.status_code == 201:
        made(call(api, "DELETE", f"/v1/uploads/{quote(name)}"))
    return answer


def put_analysis(api, name, world):
    answer = call(api, "PUT", f"/v1/analytics/{quote(name)}", json={"sql": "select 1 as one"})
    if answer.status_code == 201:
        made(call(api, "DELETE", f"/v1/analytics/{quote(name)}"))
    return answer


def read_with(api, name, world):
    return call(api, "GET", f"/v1/datasets/{quote(name)}?select=*&limit=1&order=who", headers={"Prefer": "count=exact"})


def begin_session(api, name, world):
    answer = session_of(api, ME, name)
    if answer.status_code == 201:
        made(call(api, "DELETE", answer.headers["Location"], headers=TUS))
    return answer


def put_share(api, name, world):
    answer = call(api, "PUT", f"/v1/analytics/total/shares/{quote(name)}")
    if answer.status_code == 204:
        made(call(api, "DELETE", f"/v1/analytics/total/shares/{quote(name)}"))
    return answer


def sql_of(path):
    return lambda api, name, world: call(api, "POST", path, json={"sql": f"select * from {name}"})


REGION = [("isobert", "isobort"), ("ledger", "lodger")]
SIMPLE = [("ledger", "lodger"), ("margin", "morgin"), ("frozen", "frazen"), ("bestowed", "bestawed"), *NAMES[6:]]
MATRIX = {
    "listRegions": (REGION, [get("/v1/regions?q={name}")]),
    "getRegion": (REGION, [get("/v1/regions/{name}")]),
    "getRegionSummary": (REGION, [get("/v1/regions/{name}/summary")]),
    "getRegionWeather": (REGION, [get("/v1/regions/{name}/weather")]),
    "getRegionMarket": (REGION, [get("/v1/regions/{name}/market")]),
    "getRegionForecast": (REGION, [get("/v1/regions/{name}/forecast")]),
    "listDatasets": (NAMES, [get("/v1/datasets?after={name}"), get("/v1/datasets?cursor={name}")]),
    "getDatasetSchema": (NAMES, [get("/v1/datasets/{name}/schema")]),
    "readDataset": (NAMES, [get("/v1/datasets/{name}"), read_with, get("/v1/datasets/{name}?who=eq.topsecret", method="HEAD"),
                            get("/v1/datasets/{name}?select=count()", headers={"Accept": "text/csv"})]),
    "loadRows": (NAMES, [get("/v1/datasets/{name}/rows", method="PUT", headers={"Content-Type": "text/csv"}, data="id,who\n7,x\n")]),
    "listUploads": (SIMPLE, [get("/v1/uploads?after={name}")]),
    "uploadSessionCreate": (SIMPLE, [begin_session]),
    "uploadSessionHead": ("session", [get("/v1/uploads/sessions/{name}", headers=TUS), get("/v1/uploads/sessions/{name}", headers=TUS, method="HEAD")]),
    "uploadSessionPatch": ("session", [get("/v1/uploads/sessions/{name}", headers={**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}, method="PATCH", data=b"id\n1\n")]),
    "uploadSessionDelete": ("session", [get("/v1/uploads/sessions/{name}", headers=TUS, method="DELETE")]),
    "getUpload": (SIMPLE, [get("/v1/uploads/{name}")]),
    "putUpload": (SIMPLE, [put_upload]),
    "deleteUpload": (SIMPLE, [get("/v1/uploads/{name}", method="DELETE")]),
    "getUploadQuarantine": (SIMPLE, [get("/v1/uploads/{name}/quarantine")]),
    "planQuery": (NAMES, [sql_of("/v1/query/plan"), lambda api, name, world: call(api, "POST", "/v1/query/plan", json={"url": f"/v1/datasets/{quote(name)}?limit=1"})]),
    "runQuery": (NAMES, [sql_of("/v1/query")]),
    "listJobs": (SIMPLE, [get("/v1/jobs?after={name}")]),
    "getJob": ("job", [get("/v1/jobs/{name}"), get("/v1/jobs/{name}?wait=1")]),
    "getJobResult": ("job", [get("/v1/jobs/{name}/result"), get("/v1/jobs/{name}/result?who=eq.topsecret", headers={"Accept": "text/csv", "Prefer": "count=exact"})]),
    "deleteJob": ("job", [get("/v1/jobs/{name}", method="DELETE")]),
    "listAnalyses": (SIMPLE, [get("/v1/analytics?after={name}")]),
    "getAnalysis": (SIMPLE, [get("/v1/analytics/{name}")]),
    "putAnalysis": (SIMPLE, [put_analysis, lambda api, name, world: call(api, "PUT", "/v1/analytics/probe", json={"sql": f"select * from {name}", "as": "table"})]),
    "deleteAnalysis": (SIMPLE, [get("/v1/analytics/{name}", method="DELETE")]),
    "refreshAnalysis": (SIMPLE, [get("/v1/analytics/{name}/refresh", method="POST")]),
    "listShares": (SIMPLE, [get("/v1/analytics/{name}/shares")]),
    "putShare": (SIMPLE, [get("/v1/analytics/{name}/shares/isodora", method="PUT"), put_share]),
    "deleteShare": (SIMPLE, [get("/v1/analytics/{name}/shares/isocarl", method="DELETE"), get("/v1/analytics/total/shares/{name}", method="DELETE")]),
    "listAudit": (SIMPLE, [get("/v1/audit?subject=eq.{name}"), get("/v1/audit?subject=eq.{name}&select=count()", headers={"Accept": "text/csv"})]),
    "getOpenapi": (NAMES, [get("/v1/openapi.json?dataset={name}"), get("/v1/openapi.json", headers={"Accept-Profile": "isobert_uploads"})]),
}


def test_every_operation_of_the_contract_has_its_row():
    assert {operation["operationId"] for _, _, operation in operations()} == set(MATRIX)


@pytest.mark.parametrize("operation", sorted(MATRIX))
def test_what_is_anothers_is_as_what_is_not_there(api, world, office, operation):
    before = state_of_other(api, office)
    names, ways = MATRIX[operation]
    if isinstance(names, str):
        kept = getattr(world, names)
        names = [(kept, NOWHERE), (kept.upper(), "ABCDEF00-0000-4000-8000-000000000000"), (kept, str(uuid.uuid4()))]
    for real, twin in names:
        for number, way in enumerate(ways):
            answers = [way(api, name, world) for name in (real, twin)]
            at = f"{operation} {number}"
            same(*answers, real, twin, at)
            tells_nothing(answers[0], real)
            assert answers[0].status_code < 500, f"{at}: {answers[0].text}"
    assert state_of_other(api, office) == before


@pytest.mark.parametrize("who", [ME, STRANGER])
@pytest.mark.parametrize("path", ["/v1/datasets?limit=1000", "/v1/uploads", "/v1/analytics", "/v1/jobs", "/v1/openapi.json", "/v1/regions"])
def test_lists_hold_nothing_of_anothers(api, world, path, who):
    tells_nothing(call(api, "GET", path, who))


@pytest.mark.parametrize("real, twin", NAMES)
def test_who_is_not_registered_learns_no_more(api, world, real, twin):
    """The third: a token of a customer that has no login here, for whom one of the other's analyses would be shared."""
    for path in ("/v1/datasets/{}", "/v1/datasets/{}/schema"):
        answers = [call(api, "GET", path.format(quote(name)), STRANGER) for name in (real, twin)]
        same(*answers, real, twin)
        assert answers[0].status_code == 404
        tells_nothing(answers[0], real)


@pytest.mark.parametrize("customer", ["isobert_uploads", "sluice_c_isobert", "ISOBERT", "isobert ", "isobert\n", "isobert.", "is%bert", "isobert'--", '"isobert"', "postgres", "sluice_owner"])
def test_no_spelling_of_a_customer_in_a_token_is_the_other(api, world, customer):
    for path in ("/v1/datasets/uploads.ledger", "/v1/datasets/analytics.margin", "/v1/datasets/shared.isobert.bestowed", "/v1/uploads/ledger", "/v1/analytics/margin"):
        answer = api.get(path, bearer=bearer(customer))
        assert answer.status_code in (401, 403, 404, 503), f"{path}: {answer.status_code} {answer.text}"
        assert "topsecret" not in answer.text


def test_one_name_is_each_customers_own(api, world):
    for who, value in ((ME, "mine"), (OTHER, "topsecret")):
        for _ in range(2):  # from the database, and from what is kept of it
            assert call(api, "GET", "/v1/datasets/uploads.sales?select=who&limit=1", who).json() == [{"who": value}]
            assert call(api, "GET", "/v1/datasets/analytics.total", who).json() == [{"n": 2, "who": value}]
        assert call(api, "POST", "/v1/query", who, json={"sql": "select distinct who from uploads.sales"}).json() == [{"who": value}]
    tags = {who: call(api, "GET", "/v1/datasets/uploads.sales", who).headers.get("ETag") for who in (ME, OTHER)}
    again = call(api, "GET", "/v1/datasets/uploads.sales", headers={"If-None-Match": tags[OTHER] or '"x"'})
    assert again.status_code == 200 and "topsecret" not in again.text


@pytest.mark.parametrize("profile", ["isobert_uploads", "isobert_analytics", "sluice_c_isobert", "isobert", "shared.isobert", "shared"])
def test_accept_profile_names_no_others_schema(api, world, profile):
    answers = [call(api, "GET", "/v1/datasets/ledger", headers={"Accept-Profile": one}) for one in (profile, profile.replace("isobert", "isobort"))]
    assert answers[0].status_code in (404, 406)
    same(*answers, profile, profile.replace("isobert", "isobort"))


def test_anothers_cursor_goes_nowhere(api, world):
    """It was given for a dataset of the same name."""
    answer = call(api, "GET", f"/v1/datasets/uploads.sales?order=id&limit=1&cursor={world.cursor}")
    assert "topsecret" not in answer.text
    changed = world.cursor[:-6] + ("AAAAAA" if world.cursor[-6:] != "AAAAAA" else "BBBBBB")
    if answer.status_code != 200:
        same(answer, call(api, "GET", f"/v1/datasets/uploads.sales?order=id&limit=1&cursor={changed}"), world.cursor, changed)
    else:
        assert answer.json() == [{"id": 2, "who": "mine"}]


def test_anothers_idempotency_key_is_a_new_one(api, world):
    answers = []
    for name, key in (("ledgar", "bertkey-1"), ("lodgar", "nokey---1")):
        answers.append(upload(api, name, SALES.format("mine"), key=key))
        assert answers[-1].status_code == 201, answers[-1].text
        made(call(api, "DELETE", f"/v1/uploads/{name}"))
    same(*answers, "ledgar", "lodgar")
    answer = upload(api, "ledger", "id,who\n1,topsecret\n2,topsecret\nthree,topsecret\n", key="bertkey-1")  # his body, too: made, not repeated
    assert answer.status_code == 201 and answer.json()["created"] is True
    made(call(api, "DELETE", "/v1/uploads/ledger"))


# --- Time. ---


@pytest.mark.parametrize("way", ["dataset", "schema", "shared", "sql", "upload", "analysis"])
def test_a_denial_takes_as_long_as_for_what_is_not_there(api, world, way, record_property):
    """A hint would be an extra question to the database, or a wait: several times as long. What is less drowns in noise."""
    attempts = {"dataset": lambda n: call(api, "GET", f"/v1/datasets/{n}_uploads.ledger"), "schema": lambda n: call(api, "GET", f"/v1/datasets/{n}_analytics.margin/schema"),
                "shared": lambda n: call(api, "GET", f"/v1/datasets/shared.{n}.bestowed"), "sql": lambda n: call(api, "POST", "/v1/query", json={"sql": f"select * from {n}_uploads.ledger"}),
                "upload": lambda n: call(api, "GET", "/v1/uploads/" + ("ledger" if n == OTHER else "lodger")), "analysis": lambda n: call(api, "GET", "/v1/analytics/" + ("margin" if n == OTHER else "morgin"))}
    took = {OTHER: [], "isobort": []}
    for turn in range(110):
        for name in (OTHER, "isobort") if turn % 2 else ("isobort", OTHER):
            begun = time.perf_counter()
            answer = attempts[way](name)
            if turn >= 10:
                took[name].append(time.perf_counter() - begun)
            assert answer.status_code in (404, 422)
    real, twin = (statistics.median(took[name]) * 1e6 for name in (OTHER, "isobort"))
    record_property("median_us", f"{real:.0f} / {twin:.0f}")
    print(f"{way}: {real:.0f} us for what exists, {twin:.0f} us for what does not")
    assert max(real, twin) < 3 * min(real, twin)
