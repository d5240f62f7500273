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
FOREIGN_WORDS = (OTHER, "ledger", "margin", "frozen", "bestowed", "topsecret", "bertkey")
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
    (f"shared.{OTHER}.bestowed", f"shared.{OTHER}.bestawed"), (f"shared.{OTHER}.bestowed", "shared.isobort.bestowed"), (f"shared.{OTHER}.margin", "shared.isobort.margin"),
    (f"shared.{OTHER}.ledger", "shared.isobort.ledger"), (f"shared.{OTHER}.uploads.ledger", "shared.isobort.uploads.ledger"),
    (f"shared.{OTHER}.", "shared.isobort."), (f"shared.{OTHER}", "shared.isobort"), (f"SHARED.{OTHER}.bestowed", "SHARED.isobort.bestowed"),
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
        ledger = made(upload(api, "ledger", "id,who\n1,topsecret\n2,topsecret\nthree,topsecret\n", OTHER, "?max_bad=0.5&types=id:integer", "bertkey-1"))
        assert ledger.json()["quarantined"] == 1, ledger.text
        made(call(api, "PUT", "/v1/analytics/margin", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", "/v1/analytics/frozen", OTHER, json={"sql": "select who from uploads.ledger", "as": "table"}))
        made(call(api, "PUT", "/v1/analytics/bestowed", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", f"/v1/analytics/bestowed/shares/{STRANGER}", OTHER))
        self.session = made(session_of(api, OTHER, "later")).headers["Location"].rpartition("/")[2]
        job = call(api, "POST", "/v1/query", OTHER, {"Prefer": "respond-async"}, json={"sql": "select who from uploads.ledger"})
        assert job.status_code == 202, job.text
        self.job = job.headers["Location"].rpartition("/")[2]
        eventually(lambda: call(api, "GET", f"/v1/jobs/{self.job}", OTHER).json()["state"] == "done", within=20, says="the other's job")
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
    rows = {name: call(api, "GET", f"/v1/datasets/{name}", OTHER).text for name in ("uploads.sales", "uploads.ledger", "analytics.total", "analytics.margin", "analytics.frozen", "analytics.bestowed")}
    kept = [office.query(f"select md5(string_agg(t::text, '|' order by t::text)) from sluice.{table} t where {column} = %s", (OTHER,))
            for table, column in (("upload", "customer_id"), ("analysis", "customer_id"), ("share", "customer_id"), ("idempotency", "owner"), ("quarantine", "customer_id"))]
    names = office.query("select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname like %s order by 1, 2", (OTHER + "%",))
    return rows, kept, names


# --- What differs between any two answers, and what the caller wrote himself, is masked. ---

CHANGING = {"date", "x-request-id", "server-timing", "ratelimit", "traceparent", "upload-expires"}


def words_of(name):
    return re.findall(r"\w+", name)


def mask(text, real, twin):
    """What was written is the twin's in both answers; the words are as long."""
    for one, other in zip(words_of(real), words_of(twin), strict=True):
        if one != other:
            for form in (str, str.lower, str.upper):
                text = text.replace(form(one), form(other))
    text = re.sub(r'"(request_id|session_id|job_id|version)": ?"[^"]*"', r'"\1":"-"', text)
    text = re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z', "TIME", text)
    return re.sub(r"/sessions/[0-9a-f-]{36}", "/sessions/-", text)


def seen(answer, real, twin):
    changing = CHANGING | ({"etag", "last-modified"} if answer.status_code < 300 else set())
    headers = {key.lower(): mask(value, real, twin) for key, value in answer.headers.items() if key.lower() not in changing}
    return answer.status_code, headers, mask(answer.text, real, twin)


def same(first, second, real="", twin="", at=""):
    told, twins = seen(first, real, twin), seen(second, real, twin)
    assert told == twins, f"{at} {real} / {twin}\n{told}\n{twins}"


def tells_nothing(answer, name=""):
    told = answer.text + str({key: value for key, value in answer.headers.items() if key != "X-Request-Id"})
    for word in sorted(words_of(name), key=len, reverse=True):
        for form in (word, word.lower(), word.upper()):
            told = told.replace(form, "-")
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


# --- Views made with SQL on the customer's own login: none is served that the check of his SQL would refuse. ---

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


# --- SQL of his own: each is refused, and in the words of a twin that nobody has where it has one. ---

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
    assert len(set(ESCAPES)) >= 60 and len(VIEWS) >= 25


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
