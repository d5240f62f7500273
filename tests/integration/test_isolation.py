"""No customer learns of another's things: each operation by each way to name them, SQL, and views made on one's own login. What is another's
is answered as what is not there: the twin of each attempt names a thing of the same length that nobody has."""
import base64
import json
import re
import statistics
import time
import uuid

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from contract import operations
from gateway import assert_problem, quote, token, write_secret
from test_customers import LOGIN_KEY, Office
from wait import eventually

WAREHOUSE = """
create schema ware; grant usage on schema ware to sluice_reader, sluice_writer;
create table ware.price (day date primary key, price numeric not null);
insert into ware.price select date '2024-01-01' + n, 10 + n from generate_series(0, 9) n;
create schema secret; grant usage on schema secret to sluice_reader; create table secret.plan (id integer primary key);
alter schema ware owner to sluice_owner; alter table ware.price owner to sluice_owner;
alter schema secret owner to sluice_owner; alter table secret.plan owner to sluice_owner;
grant select on ware.price, secret.plan to sluice_reader;
"""
SCHEMAS = {"warehouse": {"schemas": ["ware", {"name": "secret", "scope": "secret:read"}]}}
ALL = "datasets:read analytics:write uploads:write warehouse:write regions:read"
ME, OTHER, STRANGER = "isoanna", "isobert", "isocarl"
FOREIGN_WORDS = (OTHER, "ledger", "margin", "frozen", "given", "topsecret", "bertkey")
SALES = "id,who\n1,{0}\n2,{0}\n"
NOWHERE = "00000000-0000-4000-8000-000000000000"
TUS = {"Tus-Resumable": "1.0.0"}
# What exists, by a name that a stranger to it writes, and its twin: as long, and nobody's.
NAMES = [
    ("uploads.ledger", "uploads.lodger"), ("analytics.margin", "analytics.morgin"), ("analytics.frozen", "analytics.frazen"), ("uploads.margin", "uploads.morgin"),
    ("ledger", "lodger"), ("margin", "morgin"), (f"{OTHER}_uploads.ledger", "isobort_uploads.ledger"), (f"{OTHER}_uploads.ledger", f"{OTHER}_uploads.lodger"),
    (f"{OTHER}_analytics.margin", "isobort_analytics.margin"), (f"{OTHER}_jobs.one", "isobort_jobs.one"), (f"{OTHER}.ledger", "isobort.ledger"),
    (f"sluice_c_{OTHER}.ledger", "sluice_c_isobort.ledger"), (f'"{OTHER}_uploads"."ledger"', '"isobort_uploads"."ledger"'),
    (f"{OTHER}_uploads.ledger".upper(), "ISOBORT_UPLOADS.LEDGER"), ("Uploads.ledger", "Uploads.lodger"), ("uploads.LEDGER", "uploads.LODGER"),
    ('uploads."ledger"', 'uploads."lodger"'), (f"uploads.{OTHER}_uploads.ledger", "uploads.isobort_uploads.ledger"),
    (f"shared.{OTHER}.given", f"shared.{OTHER}.goven"), (f"shared.{OTHER}.given", "shared.isobort.given"), (f"shared.{OTHER}.margin", "shared.isobort.margin"),
    (f"shared.{OTHER}.ledger", "shared.isobort.ledger"), (f"shared.{OTHER}.uploads.ledger", "shared.isobort.uploads.ledger"),
    (f"shared.{OTHER}.", "shared.isobort."), (f"shared.{OTHER}", "shared.isobort"), (f"SHARED.{OTHER}.given", "SHARED.isobort.given"),
    ("sluice.customer", "sluice.costumer"), ("sluice.upload", "sluice.uplood"), ("sluice.share", "sluice.shore"), ("pg_catalog.pg_class", "pg_catalog.pg_closs"),
    ("pg_class", "pg_closs"), ("pg_roles", "pg_rules_"[:8]), ("information_schema.tables", "information_schema.tobles"), ("secret.plan", "secret.plon"),
    ("jobs.one", "jobs.two"), ("uploads.~load_1", "uploads.~load_2"), (f"{ME}_uploads.ledger", f"{ME}_uploads.lodger"),
]


def bearer(name=ME, scope=ALL, **claims):
    return token(customer=name, scope=scope, **claims)


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    database = postgres.clone(f"isolation_{next(NUMBERS)}", TEMPLATE)
    postgres.query(database, WAREHOUSE)
    one = Office(postgres, database, tmp_path_factory.mktemp("office"), SCHEMAS)
    for name in (ME, OTHER):
        one.ok("add", name)
    yield one
    for name in (ME, OTHER):
        one.erase(name)
    postgres.drop(database)


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolation")
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    one = start_gateway(folder, postgres, redis, office.database,
                        {**SCHEMAS, "customers": {"connections": 8, "each": 2, "login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": {"spool": str(spool)}})
    yield one
    one.stop()


def call(api, method, path, who=ME, headers=None, scope=ALL, **options):
    return api.get(path, method=method, headers=headers, bearer=bearer(who, scope), **options)


def made(answer):
    assert answer.status_code in (200, 201, 204), f"{answer.status_code} {answer.text}"
    return answer


def upload(api, name, body, who=ME, query="", key=None):
    return call(api, "PUT", f"/v1/uploads/{name}{query}", who, {"Content-Type": "text/csv", "Idempotency-Key": key}, data=body)


def session_of(api, who, dataset):
    encoded = base64.b64encode(dataset.encode()).decode()
    return call(api, "POST", "/v1/uploads/sessions", who, {**TUS, "Upload-Length": "100", "Upload-Metadata": f"dataset {encoded}"})


class World:
    """What both have under one name, and what only the other has."""

    def __init__(self, api):
        for who in (ME, OTHER):
            made(upload(api, "sales", SALES.format("topsecret" if who == OTHER else "mine"), who))
            made(call(api, "PUT", "/v1/analytics/total", who, json={"sql": "select count(*) as n, min(who) as who from uploads.sales"}))
        made(upload(api, "ledger", "id,who\n1,topsecret\n2,topsecret\nthree,topsecret\n", OTHER, "?columns=id:integer&max_bad=0.5" if False else "", "bertkey-1"))
        made(call(api, "PUT", "/v1/analytics/margin", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", "/v1/analytics/frozen", OTHER, json={"sql": "select who from uploads.ledger", "as": "table"}))
        made(call(api, "PUT", "/v1/analytics/given", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", f"/v1/analytics/given/shares/{STRANGER}", OTHER))
        self.session = made(session_of(api, OTHER, "later")).headers["Location"].rpartition("/")[2]
        page = made_page(call(api, "GET", "/v1/datasets/uploads.sales?order=id&limit=1", OTHER))
        self.cursor = page


def made_page(answer):
    assert answer.status_code in (200, 206), answer.text
    found = re.search(r"cursor=([^&>]+)", answer.headers.get("Link", ""))
    assert found, answer.headers
    return found[1]


@pytest.fixture(scope="module")
def world(api):
    return World(api)


def state_of_other(api, office):
    """All that the other has, as the database and his own calls tell."""
    rows = {name: call(api, "GET", f"/v1/datasets/{name}", OTHER).text for name in ("uploads.sales", "uploads.ledger", "analytics.total", "analytics.margin", "analytics.frozen", "analytics.given")}
    kept = [office.query(f"select md5(string_agg(t::text, '|' order by t::text)) from sluice.{table} t where {column} = %s", (OTHER,))
            for table, column in (("upload", "customer_id"), ("analysis", "customer_id"), ("share", "customer_id"), ("idempotency", "owner"), ("quarantine", "customer_id"))]
    names = office.query("select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname like %s order by 1, 2", (OTHER + "%",))
    return rows, kept, names


# --- What differs between any two answers, and what the caller wrote himself, is masked. ---

CHANGING = {"date", "x-request-id", "server-timing", "ratelimit", "traceparent", "upload-expires"}


def written(name):
    """The forms in which an answer may repeat what was written."""
    bare = name.replace('"', "")
    forms = {name, bare, quote(name), quote(bare), json.dumps(name)[1:-1], *re.split(r"[.]", bare), *re.split(r"[.]", name), bare.partition(".")[2], bare.rpartition(".")[2]}
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)


def mask(text, names):
    for name in names:
        text = text.replace(name, "*" * len(name))
    text = re.sub(r'"(request_id|session_id)": ?"[^"]*"', r'"\1":"-"', text)
    text = re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z', "TIME", text)
    return re.sub(r"/sessions/[0-9a-f-]{36}", "/sessions/-", text)


def seen(answer, name):
    names = written(name)
    headers = {key.lower(): mask(value, names) for key, value in answer.headers.items() if key.lower() not in CHANGING}
    return answer.status_code, headers, mask(answer.text, names)


def tells_nothing(answer, name=""):
    told = mask(answer.text + str({key: value for key, value in answer.headers.items() if key != "X-Request-Id"}), written(name))
    for word in FOREIGN_WORDS:
        assert word not in told, f"{word}: {told[:800]}"


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


PLAIN = [("?q=isobert", "?q=isobort"), ("", "")]  # of what no customer owns
REGION = [("isobert", "isobort"), ("ledger", "lodger")]
READERS = [(OTHER, "isobort")]
SIMPLE = [("ledger", "lodger"), ("margin", "morgin"), ("frozen", "frazen"), ("given", "goven"), *NAMES[6:]]
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
    "uploadSessionHead": (None, [get("/v1/uploads/sessions/{name}", headers=TUS), get("/v1/uploads/sessions/{name}", headers=TUS, method="HEAD")]),
    "uploadSessionPatch": (None, [get("/v1/uploads/sessions/{name}", headers={**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}, method="PATCH", data=b"id\n1\n")]),
    "uploadSessionDelete": (None, [get("/v1/uploads/sessions/{name}", headers=TUS, method="DELETE")]),
    "getUpload": (SIMPLE, [get("/v1/uploads/{name}")]),
    "putUpload": (SIMPLE, [put_upload]),
    "deleteUpload": (SIMPLE, [get("/v1/uploads/{name}", method="DELETE")]),
    "getUploadQuarantine": (SIMPLE, [get("/v1/uploads/{name}/quarantine")]),
    "planQuery": (NAMES, [sql_of("/v1/query/plan"), lambda api, name, world: call(api, "POST", "/v1/query/plan", json={"url": f"/v1/datasets/{quote(name)}?limit=1"})]),
    "runQuery": (NAMES, [sql_of("/v1/query")]),
    "listAnalyses": (SIMPLE, [get("/v1/analytics?after={name}")]),
    "getAnalysis": (SIMPLE, [get("/v1/analytics/{name}")]),
    "putAnalysis": (SIMPLE, [put_analysis, lambda api, name, world: call(api, "PUT", "/v1/analytics/probe", json={"sql": f"select * from {name}", "as": "table"})]),
    "deleteAnalysis": (SIMPLE, [get("/v1/analytics/{name}", method="DELETE")]),
    "refreshAnalysis": (SIMPLE, [get("/v1/analytics/{name}/refresh", method="POST")]),
    "listShares": (SIMPLE, [get("/v1/analytics/{name}/shares")]),
    "putShare": (SIMPLE, [get("/v1/analytics/{name}/shares/isodora", method="PUT"), put_share]),
    "deleteShare": (SIMPLE, [get("/v1/analytics/{name}/shares/isocarl", method="DELETE"), get("/v1/analytics/total/shares/{name}", method="DELETE")]),
    "getOpenapi": (NAMES, [get("/v1/openapi.json?dataset={name}"), get("/v1/openapi.json", headers={"Accept-Profile": "isobert_uploads"})]),
}


def test_every_operation_of_the_contract_has_its_row():
    assert {operation["operationId"] for _, _, operation in operations()} == set(MATRIX)


@pytest.mark.parametrize("operation", sorted(MATRIX))
def test_what_is_anothers_is_as_what_is_not_there(api, world, office, operation):
    before = state_of_other(api, office)
    names, ways = MATRIX[operation]
    for real, twin in names or [(world.session, NOWHERE), (world.session.upper(), NOWHERE.upper()), (world.session, str(uuid.uuid4()))]:
        for number, way in enumerate(ways):
            answers = [way(api, name, world) for name in (real, twin)]
            at = f"{operation} {number} {real} / {twin}"
            told, twins = seen(answers[0], real), seen(answers[1], twin)
            assert told == twins, f"{at}\n{told}\n{twins}"
            tells_nothing(answers[0], real)
            assert answers[0].status_code < 500, f"{at}: {answers[0].text}"
    assert state_of_other(api, office) == before


@pytest.mark.parametrize("who", [ME, STRANGER])
@pytest.mark.parametrize("path", ["/v1/datasets?limit=1000", "/v1/uploads", "/v1/analytics", "/v1/openapi.json", "/v1/regions"])
def test_lists_hold_nothing_of_anothers(api, world, path, who):
    tells_nothing(call(api, "GET", path, who))


@pytest.mark.parametrize("real, twin", NAMES)
def test_who_is_not_registered_learns_no_more(api, world, real, twin):
    """The third: a token of a customer that has no login here, for whom one of the other's analyses would be shared."""
    for path in ("/v1/datasets/{}", "/v1/datasets/{}/schema"):
        answers = [call(api, "GET", path.format(quote(name)), STRANGER) for name in (real, twin)]
        assert answers[0].status_code == 404 and seen(answers[0], real) == seen(answers[1], twin)
        tells_nothing(answers[0], real)


@pytest.mark.parametrize("customer", ["isobert_uploads", "sluice_c_isobert", "ISOBERT", "isobert ", "isobert\n", "isobert.", "is%bert", "isobert'--", '"isobert"', "postgres", "sluice_owner"])
def test_no_spelling_of_a_customer_in_a_token_is_the_other(api, world, customer):
    for path in ("/v1/datasets/uploads.ledger", "/v1/datasets/analytics.margin", "/v1/datasets/shared.isobert.given", "/v1/uploads/ledger", "/v1/analytics/margin"):
        answer = api.get(path, bearer=bearer(customer))
        assert answer.status_code in (401, 403, 404), f"{path}: {answer.status_code} {answer.text}"
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
    assert seen(answers[0], profile) == seen(answers[1], profile.replace("isobert", "isobort"))


def test_anothers_cursor_goes_nowhere(api, world):
    """It was given for a dataset of the same name."""
    answer = call(api, "GET", f"/v1/datasets/uploads.sales?order=id&limit=1&cursor={world.cursor}")
    assert "topsecret" not in answer.text
    changed = world.cursor[:-6] + ("AAAAAA" if world.cursor[-6:] != "AAAAAA" else "BBBBBB")
    if answer.status_code != 200:
        assert seen(answer, "") == seen(call(api, "GET", f"/v1/datasets/uploads.sales?order=id&limit=1&cursor={changed}"), "")
    else:
        assert answer.json() == [{"id": 2, "who": "mine"}]


def test_anothers_idempotency_key_is_a_new_one(api, world):
    answers = []
    for name, key in (("ledgar", "bertkey-1"), ("lodgar", "nokey---1")):
        answers.append(upload(api, name, SALES.format("mine"), key=key))
        assert answers[-1].status_code == 201, answers[-1].text
        made(call(api, "DELETE", f"/v1/uploads/{name}"))
    assert seen(answers[0], "ledgar") == seen(answers[1], "lodgar")
    answer = upload(api, "ledger", "id,who\n1,topsecret\n2,topsecret\nthree,topsecret\n", key="bertkey-1")  # his body, too: made, not repeated
    assert answer.status_code == 201 and answer.json()["created"] is True
    made(call(api, "DELETE", "/v1/uploads/ledger"))
